/*
 * crt_http_headers: entries are offsets into one arena, so that a typical header block is a single allocation
 * and a lookup compares lengths before it touches any text. Removal leaves the text behind; the arena is
 * squeezed when it next has to grow.
 */
#include "ascii.h"
#include "crt/http.h"
#include "crt/memory.h"

enum { INLINE_ENTRIES = 12, INLINE_TEXT = 384 };

/* Name and value lie back to back; lengths of 32 bits bound a single header to 4 GiB. */
typedef struct entry {
    size_t at;
    uint32_t name_len;
    uint32_t value_len;
} entry;

struct crt_http_headers {
    crt_refcount refs;
    size_t count;
    size_t capacity;
    entry *entries;
    uint8_t *text;
    size_t text_len;
    size_t text_capacity;
    entry inline_entries[INLINE_ENTRIES];
    uint8_t inline_text[INLINE_TEXT];
};

crt_http_headers *crt_http_headers_new(void) {
    crt_http_headers *h = crt_malloc(sizeof(*h));
    if (!h) {
        return NULL;
    }
    crt_ref_init(&h->refs);
    h->count = 0;
    h->capacity = INLINE_ENTRIES;
    h->entries = h->inline_entries;
    h->text = h->inline_text;
    h->text_len = 0;
    h->text_capacity = INLINE_TEXT;
    return h;
}

void crt_http_headers_acquire(crt_http_headers *headers) {
    crt_ref_inc(&headers->refs);
}

static void free_text(crt_http_headers *h) {
    if (h->text != h->inline_text) {
        crt_free(h->text);
    }
}

static void free_entries(crt_http_headers *h) {
    if (h->entries != h->inline_entries) {
        crt_free(h->entries);
    }
}

void crt_http_headers_release(crt_http_headers *headers) {
    if (!headers || !crt_ref_dec(&headers->refs)) {
        return;
    }
    free_text(headers);
    free_entries(headers);
    crt_free(headers);
}

size_t crt_http_headers_count(const crt_http_headers *headers) {
    return headers->count;
}

static crt_bytes name_of(const crt_http_headers *h, const entry *e) {
    return crt_bytes_of(h->text + e->at, e->name_len);
}

static crt_bytes value_of(const crt_http_headers *h, const entry *e) {
    return crt_bytes_of(h->text + e->at + e->name_len, e->value_len);
}

crt_http_header crt_http_headers_at(const crt_http_headers *headers, size_t index) {
    crt_http_header header = {{NULL, 0}, {NULL, 0}};
    if (index < headers->count) {
        header.name = name_of(headers, &headers->entries[index]);
        header.value = value_of(headers, &headers->entries[index]);
    }
    return header;
}

static int reserve_entry(crt_http_headers *h) {
    if (h->count < h->capacity) {
        return 0;
    }
    size_t capacity = h->capacity * 2;
    entry *entries = crt_malloc(capacity * sizeof(*entries));
    if (!entries) {
        return AWS_ERROR_OOM;
    }
    memcpy(entries, h->entries, h->count * sizeof(*entries));
    free_entries(h);
    h->entries = entries;
    h->capacity = capacity;
    return 0;
}

/* Copies the text that entries still refer to, front to back. */
static size_t squeeze_into(crt_http_headers *h, uint8_t *to) {
    size_t len = 0;
    for (size_t i = 0; i < h->count; i++) {
        entry *e = &h->entries[i];
        size_t n = (size_t)e->name_len + e->value_len;
        memcpy(to + len, h->text + e->at, n);
        e->at = len;
        len += n;
    }
    return len;
}

static size_t live_text(const crt_http_headers *h) {
    size_t len = 0;
    for (size_t i = 0; i < h->count; i++) {
        len += (size_t)h->entries[i].name_len + h->entries[i].value_len;
    }
    return len;
}

/* Appends name and value; *at is where. Both may be views of this very arena. */
static int append_text(crt_http_headers *h, crt_bytes name, crt_bytes value, size_t *at) {
    size_t n = name.len + value.len;
    uint8_t *grown = NULL;
    if (n > h->text_capacity - h->text_len) {
        size_t capacity = 2 * (live_text(h) + n);
        grown = crt_malloc(capacity);
        if (!grown) {
            return AWS_ERROR_OOM;
        }
        h->text_len = squeeze_into(h, grown);
        h->text_capacity = capacity;
    }
    uint8_t *end = (grown ? grown : h->text) + h->text_len;
    memcpy(end, name.ptr, name.len);
    if (value.len > 0) {
        memcpy(end + name.len, value.ptr, value.len);
    }
    if (grown) {
        free_text(h);
        h->text = grown;
    }
    *at = h->text_len;
    h->text_len += n;
    return 0;
}

static int insert(crt_http_headers *h, crt_bytes name, crt_bytes value, bool front) {
    size_t at;
    if (name.len > UINT32_MAX || value.len > UINT32_MAX) {
        return AWS_ERROR_OVERFLOW_DETECTED;
    }
    int status = reserve_entry(h);
    if (status || (status = append_text(h, name, value, &at))) {
        return status;
    }
    size_t index = front ? 0 : h->count;
    memmove(&h->entries[index + 1], &h->entries[index], (h->count - index) * sizeof(entry));
    h->entries[index].at = at;
    h->entries[index].name_len = (uint32_t)name.len;
    h->entries[index].value_len = (uint32_t)value.len;
    h->count++;
    return 0;
}

static bool is_pseudo(crt_bytes name) {
    return name.len > 0 && name.ptr[0] == ':';
}

int crt_http_headers_add(crt_http_headers *headers, crt_bytes name, crt_bytes value) {
    if (name.len == 0) {
        return AWS_ERROR_HTTP_INVALID_HEADER_NAME;
    }
    /* Pseudo headers precede the others (RFC 9113 section 8.3). */
    bool front = is_pseudo(name) && headers->count > 0 &&
                 !is_pseudo(name_of(headers, &headers->entries[headers->count - 1]));
    return insert(headers, name, crt_http_trim(value), front);
}

static bool matches(const crt_http_headers *h, size_t index, crt_bytes name) {
    return crt_http_ieq(name_of(h, &h->entries[index]), name);
}

int crt_http_headers_set(crt_http_headers *headers, crt_bytes name, crt_bytes value) {
    if (name.len == 0) {
        return AWS_ERROR_HTTP_INVALID_HEADER_NAME;
    }
    bool front = is_pseudo(name);
    /* Insert first: on failure nothing has changed. The new entry is at one end, the old ones are removed
       from the rest. `name` may be a view of an old entry, so the new one stands for it from here. */
    int status = insert(headers, name, crt_http_trim(value), front);
    if (status) {
        return status;
    }
    size_t keep = front ? 0 : headers->count - 1;
    crt_bytes own = name_of(headers, &headers->entries[keep]);
    size_t kept = 0;
    for (size_t i = 0; i < headers->count; i++) {
        if (i == keep || !matches(headers, i, own)) {
            headers->entries[kept++] = headers->entries[i];
        }
    }
    headers->count = kept;
    return 0;
}

bool crt_http_headers_get(const crt_http_headers *headers, crt_bytes name, crt_bytes *value) {
    for (size_t i = 0; i < headers->count; i++) {
        if (matches(headers, i, name)) {
            *value = value_of(headers, &headers->entries[i]);
            return true;
        }
    }
    return false;
}

size_t crt_http_headers_remove(crt_http_headers *headers, crt_bytes name) {
    size_t kept = 0;
    for (size_t i = 0; i < headers->count; i++) {
        if (!matches(headers, i, name)) {
            headers->entries[kept++] = headers->entries[i];
        }
    }
    size_t removed = headers->count - kept;
    headers->count = kept;
    return removed;
}

bool crt_http_headers_remove_value(crt_http_headers *headers, crt_bytes name, crt_bytes value) {
    for (size_t i = 0; i < headers->count; i++) {
        if (matches(headers, i, name) && crt_bytes_eq(value_of(headers, &headers->entries[i]), value)) {
            memmove(&headers->entries[i], &headers->entries[i + 1], (headers->count - i - 1) * sizeof(entry));
            headers->count--;
            return true;
        }
    }
    return false;
}

void crt_http_headers_clear(crt_http_headers *headers) {
    headers->count = 0;
    headers->text_len = 0;
}
