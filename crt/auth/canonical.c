/*
 * The canonical request: path, query and headers in the one form that client and service both compute
 * ("Create a canonical request", AWS Signature Version 4).
 */
#include "signing.h"

#include <stdlib.h>

static const char HEX[] = "0123456789ABCDEF";

static bool is_unreserved(uint8_t c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
           c == '.' || c == '~';
}

static uint8_t lower(uint8_t c) {
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
}

static bool is_space(uint8_t c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

bool crt_signing_same_name(crt_bytes a, const char *b) {
    size_t i = 0;
    for (; i < a.len && b[i]; i++) {
        if (lower(a.ptr[i]) != lower((uint8_t)b[i])) {
            return false;
        }
    }
    return i == a.len && !b[i];
}

/* ---- path ---- */

int crt_signing_split_target(crt_bytes target, crt_bytes *path, crt_bytes *query) {
    if (!target.len) {
        return AWS_ERROR_MALFORMED_INPUT_STRING;
    }
    const uint8_t *end = target.ptr + target.len;
    const uint8_t *mark = memchr(target.ptr, '?', target.len);
    const uint8_t *path_end = mark ? mark : end;
    const uint8_t *at = target.ptr;
    if (*at != '/') {
        for (const uint8_t *p = at; p + 3 <= path_end && *p != '/'; p++) {
            if (memcmp(p, "://", 3) == 0) {
                at = p + 3;
                break;
            }
        }
        /* What stands before the first slash is an authority, with or without a scheme. */
        const uint8_t *slash = memchr(at, '/', (size_t)(path_end - at));
        at = slash ? slash : path_end;
    }
    *path = crt_bytes_of(at, (size_t)(path_end - at));
    *query = mark ? crt_bytes_of(mark + 1, (size_t)(end - mark - 1)) : crt_bytes_of(end, 0);
    return 0;
}

void crt_signing_encode(crt_buf *out, crt_bytes text, bool keep_slash) {
    uint8_t *to = out->ptr + out->end;
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];
        if (is_unreserved(c) || (keep_slash && c == '/')) {
            *to++ = c;
        } else {
            *to++ = '%';
            *to++ = (uint8_t)HEX[c >> 4];
            *to++ = (uint8_t)HEX[c & 15];
        }
    }
    out->end = (size_t)(to - out->ptr);
}

static void put_segment(crt_buf *out, crt_bytes segment, bool encode) {
    out->ptr[out->end++] = '/';
    if (encode) {
        crt_signing_encode(out, segment, false);
    } else {
        memcpy(out->ptr + out->end, segment.ptr, segment.len);
        out->end += segment.len;
    }
}

/* RFC 3986, 5.2.4, and empty segments go as well. */
static void put_normalized(crt_buf *out, crt_bytes path, bool encode) {
    size_t base = out->end;
    size_t at = 0;
    while (at < path.len) {
        if (path.ptr[at] == '/') {
            at++;
            continue;
        }
        const uint8_t *start = path.ptr + at;
        const uint8_t *slash = memchr(start, '/', path.len - at);
        crt_bytes segment = crt_bytes_of(start, slash ? (size_t)(slash - start) : path.len - at);
        at += segment.len;
        if (crt_bytes_eq(segment, crt_bytes_str(".."))) {
            while (out->end > base && out->ptr[--out->end] != '/') {
            }
        } else if (!crt_bytes_eq(segment, crt_bytes_str("."))) {
            put_segment(out, segment, encode);
        }
    }
    bool trailing_slash = path.len && path.ptr[path.len - 1] == '/';
    if (out->end == base || trailing_slash) {
        out->ptr[out->end++] = '/';
    }
}

int crt_signing_canonical_path(crt_buf *out, crt_bytes path, bool normalize, bool encode) {
    int code = crt_buf_reserve(out, crt_signing_encoded_max(path.len) + 1);
    if (code) {
        return code;
    }
    if (normalize) {
        put_normalized(out, path, encode);
        return 0;
    }
    if (!path.len) {
        path = crt_bytes_str("/");
    }
    if (encode) {
        crt_signing_encode(out, path, true);
        return 0;
    }
    return crt_buf_append(out, path.ptr, path.len);
}

/* ---- query ---- */

static const char *const SIGNERS_PARAMETERS[] = {
    "X-Amz-Signature",      "X-Amz-Date",    "X-Amz-Credential", "X-Amz-Algorithm", "X-Amz-SignedHeaders",
    "X-Amz-Security-Token", "X-Amz-Expires", "X-Amz-Region-Set",
};

static int hex_value(uint8_t c) {
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Decodes percent escapes and encodes anew. The result is never more than three times as long. */
static int recode(crt_buf *text, crt_bytes raw, crt_bytes *out) {
    const uint8_t *start = text->ptr + text->end;
    for (size_t i = 0; i < raw.len; i++) {
        uint8_t c = raw.ptr[i];
        if (c == '%') {
            int high = i + 2 < raw.len ? hex_value(raw.ptr[i + 1]) : -1;
            int low = i + 2 < raw.len ? hex_value(raw.ptr[i + 2]) : -1;
            if (high < 0 || low < 0) {
                return AWS_ERROR_MALFORMED_INPUT_STRING;
            }
            c = (uint8_t)(high << 4 | low);
            i += 2;
        }
        crt_signing_encode(text, crt_bytes_of(&c, 1), false);
    }
    *out = crt_bytes_of(start, (size_t)(text->ptr + text->end - start));
    return 0;
}

size_t crt_signing_query_max(crt_bytes query) {
    size_t count = query.len ? 1 : 0;
    for (size_t i = 0; i < query.len; i++) {
        count += query.ptr[i] == '&';
    }
    return count;
}

static bool is_signers_parameter(crt_bytes encoded) {
    /* All are made of unreserved characters, so the encoded form is the decoded one. */
    if (encoded.len < 6 || lower(encoded.ptr[0]) != 'x') {
        return false;
    }
    for (size_t i = 0; i < sizeof(SIGNERS_PARAMETERS) / sizeof(SIGNERS_PARAMETERS[0]); i++) {
        if (crt_signing_same_name(encoded, SIGNERS_PARAMETERS[i])) {
            return true;
        }
    }
    return false;
}

int crt_signing_parse_query(crt_buf *text, crt_bytes query, crt_signing_pair *pairs, size_t *count) {
    const uint8_t *at = query.ptr;
    const uint8_t *end = query.ptr + query.len;
    *count = 0;
    while (at < end) {
        const uint8_t *stop = memchr(at, '&', (size_t)(end - at));
        crt_bytes item = crt_bytes_of(at, (size_t)((stop ? stop : end) - at));
        at = stop ? stop + 1 : end;
        if (!item.len) {
            continue;
        }
        const uint8_t *equals = memchr(item.ptr, '=', item.len);
        size_t name_len = equals ? (size_t)(equals - item.ptr) : item.len;
        crt_signing_pair *pair = &pairs[*count];
        pair->value = crt_bytes_of(NULL, 0);
        int code = recode(text, crt_bytes_of(item.ptr, name_len), &pair->name);
        if (!code && equals) {
            code = recode(text, crt_bytes_of(equals + 1, item.len - name_len - 1), &pair->value);
        }
        if (code) {
            return code;
        }
        if (is_signers_parameter(pair->name)) {
            return AWS_AUTH_SIGNING_ILLEGAL_REQUEST_QUERY_PARAM;
        }
        (*count)++;
    }
    return 0;
}

static int compare_bytes(crt_bytes a, crt_bytes b) {
    size_t n = a.len < b.len ? a.len : b.len;
    int order = n ? memcmp(a.ptr, b.ptr, n) : 0;
    return order ? order : (a.len > b.len) - (a.len < b.len);
}

static int compare_parameters(const void *a, const void *b) {
    const crt_signing_pair *x = a;
    const crt_signing_pair *y = b;
    int order = compare_bytes(x->name, y->name);
    return order ? order : compare_bytes(x->value, y->value);
}

/* Few and mostly sorted: insertion, which leaves qsort to the unusual. */
static void sort_pairs(crt_signing_pair *pairs, size_t count, int (*compare)(const void *, const void *)) {
    if (count > 24) {
        qsort(pairs, count, sizeof(*pairs), compare);
        return;
    }
    for (size_t i = 1; i < count; i++) {
        crt_signing_pair pair = pairs[i];
        size_t j = i;
        for (; j > 0 && compare(&pair, &pairs[j - 1]) < 0; j--) {
            pairs[j] = pairs[j - 1];
        }
        pairs[j] = pair;
    }
}

static void put(crt_buf *out, crt_bytes bytes) {
    if (bytes.len) {
        memcpy(out->ptr + out->end, bytes.ptr, bytes.len);
        out->end += bytes.len;
    }
}

int crt_signing_canonical_query(crt_buf *out, crt_signing_pair *pairs, size_t count) {
    size_t room = 0;
    for (size_t i = 0; i < count; i++) {
        room += pairs[i].name.len + pairs[i].value.len + 2;
    }
    int code = crt_buf_reserve(out, room);
    if (code) {
        return code;
    }
    sort_pairs(pairs, count, compare_parameters);
    for (size_t i = 0; i < count; i++) {
        if (i) {
            out->ptr[out->end++] = '&';
        }
        put(out, pairs[i].name);
        out->ptr[out->end++] = '=';
        put(out, pairs[i].value);
    }
    return 0;
}

/* ---- headers ---- */

static int compare_names(crt_bytes a, crt_bytes b) {
    for (size_t i = 0; i < a.len && i < b.len; i++) {
        int order = (int)lower(a.ptr[i]) - (int)lower(b.ptr[i]);
        if (order) {
            return order;
        }
    }
    return (a.len > b.len) - (a.len < b.len);
}

static int compare_headers(const void *a, const void *b) {
    const crt_signing_pair *x = a;
    const crt_signing_pair *y = b;
    int order = compare_names(x->name, y->name);
    return order ? order : (x->order > y->order) - (x->order < y->order);
}

static void put_lower(crt_buf *out, crt_bytes name) {
    for (size_t i = 0; i < name.len; i++) {
        out->ptr[out->end++] = lower(name.ptr[i]);
    }
}

/* Trimmed, and every run of white space made one space. */
static void put_folded(crt_buf *out, crt_bytes value) {
    uint8_t *to = out->ptr + out->end;
    uint8_t *start = to;
    bool gap = false;
    for (size_t i = 0; i < value.len; i++) {
        if (is_space(value.ptr[i])) {
            gap = to > start;
            continue;
        }
        if (gap) {
            *to++ = ' ';
            gap = false;
        }
        *to++ = value.ptr[i];
    }
    out->end = (size_t)(to - out->ptr);
}

int crt_signing_canonical_headers(crt_buf *out, crt_buf *names, crt_signing_pair *pairs, size_t count) {
    size_t room = 0;
    for (size_t i = 0; i < count; i++) {
        room += pairs[i].name.len + pairs[i].value.len + 2;
    }
    int code = crt_buf_reserve(out, room);
    if (!code) {
        code = crt_buf_reserve(names, room);
    }
    if (code) {
        return code;
    }
    sort_pairs(pairs, count, compare_headers);
    for (size_t i = 0; i < count; i++) {
        bool same = i && compare_names(pairs[i - 1].name, pairs[i].name) == 0;
        if (same) {
            out->ptr[out->end - 1] = ','; /* over the line end of the value before */
        } else {
            if (i) {
                names->ptr[names->end++] = ';';
            }
            put_lower(names, pairs[i].name);
            put_lower(out, pairs[i].name);
            out->ptr[out->end++] = ':';
        }
        put_folded(out, pairs[i].value);
        out->ptr[out->end++] = '\n';
    }
    return 0;
}
