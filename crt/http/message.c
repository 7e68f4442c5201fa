/*
 * crt_http_message: what a request consists of. Usual methods and paths fit into the object itself.
 */
#include "crt/http.h"
#include "crt/memory.h"

/* Text that is kept in place while it is short. `heap` is NULL then. */
typedef struct text {
    size_t len;
    uint8_t *heap;
} text;

struct crt_http_message {
    crt_refcount refs;
    crt_http_headers *headers;
    crt_source *body;
    text method;
    text path;
    uint8_t short_method[16];
    uint8_t short_path[128];
};

/* `value` may be a view of the present text. */
static int set_text(text *t, uint8_t *room, size_t room_len, crt_bytes value) {
    uint8_t *heap = NULL;
    if (value.len > room_len) {
        heap = crt_malloc(value.len);
        if (!heap) {
            return AWS_ERROR_OOM;
        }
    }
    if (value.len > 0) {
        memmove(heap ? heap : room, value.ptr, value.len);
    }
    crt_free(t->heap);
    t->heap = heap;
    t->len = value.len;
    return 0;
}

static crt_bytes view_text(const text *t, const uint8_t *room) {
    return crt_bytes_of(t->heap ? t->heap : room, t->len);
}

crt_http_message *crt_http_message_new(crt_http_headers *headers_or_null) {
    crt_http_message *m = crt_calloc(1, sizeof(*m));
    if (!m) {
        return NULL;
    }
    crt_ref_init(&m->refs);
    m->headers = headers_or_null;
    if (headers_or_null) {
        crt_http_headers_acquire(headers_or_null);
    } else if (!(m->headers = crt_http_headers_new())) {
        crt_free(m);
        return NULL;
    }
    return m;
}

void crt_http_message_acquire(crt_http_message *message) {
    crt_ref_inc(&message->refs);
}

void crt_http_message_release(crt_http_message *message) {
    if (!message || !crt_ref_dec(&message->refs)) {
        return;
    }
    crt_http_headers_release(message->headers);
    crt_source_release(message->body);
    crt_free(message->method.heap);
    crt_free(message->path.heap);
    crt_free(message);
}

int crt_http_message_set_method(crt_http_message *message, crt_bytes method) {
    return set_text(&message->method, message->short_method, sizeof(message->short_method), method);
}

int crt_http_message_set_path(crt_http_message *message, crt_bytes path) {
    return set_text(&message->path, message->short_path, sizeof(message->short_path), path);
}

crt_bytes crt_http_message_method(const crt_http_message *message) {
    return view_text(&message->method, message->short_method);
}

crt_bytes crt_http_message_path(const crt_http_message *message) {
    return view_text(&message->path, message->short_path);
}

crt_http_headers *crt_http_message_headers(const crt_http_message *message) {
    return message->headers;
}

void crt_http_message_set_body(crt_http_message *message, crt_source *body) {
    if (body) {
        crt_source_acquire(body);
    }
    crt_source_release(message->body);
    message->body = body;
}

crt_source *crt_http_message_body(const crt_http_message *message) {
    return message->body;
}
