#include "ascii.h"
#include "crt/memory.h"
#include "h2_conn.h"

/* Fields of an HTTP/1.1 connection that have no place in HTTP/2 (RFC 9113 section 8.2.2); host is :authority. */
static bool is_left_out(crt_bytes name) {
    static const char *const names[] = {"connection",       "host",    "keep-alive",
                                        "proxy-connection", "upgrade", "transfer-encoding"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (crt_http_ieq_str(name, names[i])) {
            return true;
        }
    }
    return false;
}

static bool is_value(crt_bytes value) {
    const uint8_t *end = value.ptr + value.len;
    return value.len == 0 || crt_http_skip_field_text(value.ptr, end) == end;
}

static int check(const crt_http_message *message, size_t *text, size_t *count, crt_bytes *host) {
    const crt_http_headers *headers = crt_http_message_headers(message);
    crt_bytes method = crt_http_message_method(message), path = crt_http_message_path(message);
    if (!crt_http_is_token(method)) {
        return AWS_ERROR_HTTP_INVALID_METHOD;
    }
    for (size_t i = 0; i < path.len; i++) {
        if (path.ptr[i] <= 0x20) {
            return AWS_ERROR_HTTP_INVALID_PATH;
        }
    }
    if (path.len == 0) {
        return AWS_ERROR_HTTP_INVALID_PATH;
    }
    *text = method.len + path.len;
    *count = 3;
    size_t all = crt_http_headers_count(headers);
    for (size_t i = 0; i < all; i++) {
        crt_http_header h = crt_http_headers_at(headers, i);
        if (!crt_http_is_token(h.name)) {
            return AWS_ERROR_HTTP_INVALID_HEADER_NAME;
        }
        if (!is_value(h.value)) {
            return AWS_ERROR_HTTP_INVALID_HEADER_VALUE;
        }
        if (!is_left_out(h.name)) {
            *text += h.name.len + h.value.len;
            ++*count;
        }
    }
    if (crt_http_headers_get(headers, crt_bytes_str("host"), host)) {
        *text += host->len;
        ++*count;
    }
    return 0;
}

typedef struct writer {
    nghttp2_nv *field;
    uint8_t *text;
} writer;

static uint8_t *copy(writer *w, crt_bytes from) {
    uint8_t *start = w->text;
    if (from.len > 0) {
        memcpy(start, from.ptr, from.len);
    }
    w->text += from.len;
    return start;
}

/* Secrets do not enter the compression tables of the peer and what lies between (RFC 7541 section 7.1.3). */
static uint8_t index_flag(crt_bytes name) {
    return crt_http_ieq_str(name, "authorization") || crt_http_ieq_str(name, "proxy-authorization") ||
                   crt_http_ieq_str(name, "x-amz-security-token")
               ? NGHTTP2_NV_FLAG_NO_INDEX
               : NGHTTP2_NV_FLAG_NONE;
}

static void put(writer *w, uint8_t *name, size_t name_len, crt_bytes value, uint8_t flags) {
    *w->field++ = (nghttp2_nv){name, copy(w, value), name_len, value.len,
                               (uint8_t)(flags | NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE)};
}

static void put_pseudo(writer *w, const char *name, crt_bytes value) {
    put(w, (uint8_t *)(uintptr_t)name, strlen(name), value, NGHTTP2_NV_FLAG_NONE);
}

static void put_header(writer *w, const crt_http_header *h) {
    uint8_t *name = copy(w, h->name);
    for (size_t i = 0; i < h->name.len; i++) {
        name[i] = name[i] >= 'A' && name[i] <= 'Z' ? (uint8_t)(name[i] + ('a' - 'A')) : name[i];
    }
    put(w, name, h->name.len, h->value, index_flag(h->name));
}

int crt_h2_request_new(const crt_http_message *message, bool tls, crt_h2_request *out) {
    const crt_http_headers *headers = crt_http_message_headers(message);
    const crt_bytes scheme = crt_bytes_str(tls ? "https" : "http");
    crt_bytes host = {NULL, 0};
    size_t text = 0, count = 0;
    int status = check(message, &text, &count, &host);
    if (status) {
        return status;
    }
    out->fields = crt_malloc(count * sizeof(nghttp2_nv) + text + scheme.len);
    if (!out->fields) {
        return AWS_ERROR_OOM;
    }
    out->count = count;
    writer w = {out->fields, (uint8_t *)(out->fields + count)};
    put_pseudo(&w, ":method", crt_http_message_method(message));
    put_pseudo(&w, ":scheme", scheme);
    if (host.ptr) {
        put_pseudo(&w, ":authority", host);
    }
    put_pseudo(&w, ":path", crt_http_message_path(message));
    size_t all = crt_http_headers_count(headers);
    for (size_t i = 0; i < all; i++) {
        crt_http_header h = crt_http_headers_at(headers, i);
        if (!is_left_out(h.name)) {
            put_header(&w, &h);
        }
    }
    return 0;
}
