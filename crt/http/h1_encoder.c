#include "h1_encoder.h"

#include <assert.h>

#include "ascii.h"

static const char version_and_end[] = " HTTP/1.1\r\n";
static const char authorization_name[] = "Proxy-Authorization";

static bool is_path(crt_bytes path) {
    for (size_t i = 0; i < path.len; i++) {
        if (path.ptr[i] <= 0x20) {
            return false;
        }
    }
    return path.len > 0;
}

static bool is_value(crt_bytes value) {
    const uint8_t *end = value.ptr + value.len;
    return value.len == 0 || crt_http_skip_field_text(value.ptr, end) == end;
}

/* ---- framing headers of the request ---- */

typedef struct framing_seen {
    bool length;
    bool codings;
    bool chunked_last;
} framing_seen;

static int see_content_length(framing_seen *seen, crt_h1_request *r, crt_bytes value) {
    if (seen->length) {
        return AWS_ERROR_HTTP_INVALID_HEADER_FIELD;
    }
    seen->length = true;
    return crt_http_parse_decimal(value, &r->content_length) ? 0 : AWS_ERROR_HTTP_INVALID_HEADER_VALUE;
}

/* Names the last coding of this line; nothing may come after `chunked` (RFC 9112 section 6.1). */
static int see_codings(framing_seen *seen, crt_bytes value) {
    seen->codings = true;
    for (;;) {
        const uint8_t *comma = value.len ? memchr(value.ptr, ',', value.len) : NULL;
        size_t len = comma ? (size_t)(comma - value.ptr) : value.len;
        crt_bytes coding = crt_http_trim(crt_bytes_of(value.ptr, len));
        if (coding.len == 0 || seen->chunked_last) {
            return AWS_ERROR_HTTP_INVALID_HEADER_VALUE;
        }
        seen->chunked_last = crt_bytes_eq(coding, crt_bytes_str("chunked"));
        if (!comma) {
            return 0;
        }
        value = crt_bytes_of(comma + 1, value.len - len - 1);
    }
}

static int see_header(framing_seen *seen, crt_h1_request *r, const crt_http_header *h) {
    switch (h->name.len) {
    case 6:
        if (crt_http_ieq_str(h->name, "expect") && crt_http_ieq_str(h->value, "100-continue")) {
            r->expects_continue = true;
        }
        return 0;
    case 10:
        if (crt_http_ieq_str(h->name, "connection") && crt_bytes_eq(h->value, crt_bytes_str("close"))) {
            r->close = true;
        }
        return 0;
    case 14:
        return crt_http_ieq_str(h->name, "content-length") ? see_content_length(seen, r, h->value) : 0;
    case 17:
        return crt_http_ieq_str(h->name, "transfer-encoding") ? see_codings(seen, h->value) : 0;
    default:
        return 0;
    }
}

static int choose_framing(const framing_seen *seen, crt_h1_request *r, bool has_body, bool writes) {
    if (seen->codings && !seen->chunked_last) {
        return AWS_ERROR_HTTP_INVALID_HEADER_VALUE;
    }
    if (seen->codings && seen->length) {
        return AWS_ERROR_HTTP_INVALID_HEADER_FIELD;
    }
    if (r->content_length > 0 && !has_body && !writes) {
        return AWS_ERROR_HTTP_MISSING_BODY_STREAM;
    }
    if (seen->codings) {
        r->framing = CRT_H1_CHUNKED;
    } else if (r->content_length > 0) {
        r->framing = CRT_H1_LENGTH;
    }
    /* Nothing else would tell the peer where the writes end. */
    return writes && r->framing == CRT_H1_NO_BODY ? AWS_ERROR_HTTP_INVALID_HEADER_FIELD : 0;
}

/* ---- the request target ---- */

/* The path and query of a target in absolute form (RFC 9112 section 3.2.2), else the target itself. */
static crt_bytes strip_authority(crt_bytes target) {
    static const char *const schemes[] = {"http://", "https://"};
    for (size_t i = 0; i < 2; i++) {
        size_t n = strlen(schemes[i]);
        if (target.len >= n && crt_http_ieq_str(crt_bytes_of(target.ptr, n), schemes[i])) {
            while (n < target.len && target.ptr[n] != '/' && target.ptr[n] != '?') {
                n++;
            }
            return crt_bytes_of(target.ptr + n, target.len - n);
        }
    }
    return target;
}

/* What stands in the request line: origin, an inserted slash, path. */
typedef struct target_parts {
    crt_bytes origin;
    crt_bytes slash;
    crt_bytes path;
} target_parts;

static target_parts parts_of(const crt_http_message *message, const crt_h1_forward *forward) {
    target_parts t = {{NULL, 0}, {NULL, 0}, crt_http_message_path(message)};
    if (!forward) {
        return t;
    }
    t.origin = forward->origin;
    if (crt_bytes_eq(t.path, crt_bytes_str("*"))) {
        t.path.len = 0; /* RFC 9112 section 3.2.4: OPTIONS * becomes the bare origin */
        return t;
    }
    t.path = strip_authority(t.path);
    if (t.path.len == 0 || t.path.ptr[0] != '/') {
        t.slash = crt_bytes_str("/");
    }
    return t;
}

static bool replaces_authorization(const crt_h1_forward *forward, crt_bytes name) {
    return forward && forward->authorization.len > 0 && crt_http_ieq_str(name, "proxy-authorization");
}

/* ---- public ---- */

int crt_h1_check_request(const crt_http_message *message, const crt_h1_forward *forward, bool writes,
                         crt_h1_request *request) {
    const crt_http_headers *headers = crt_http_message_headers(message);
    crt_bytes method = crt_http_message_method(message);
    framing_seen seen = {false, false, false};
    memset(request, 0, sizeof(*request));
    if (!crt_http_is_token(method)) {
        return AWS_ERROR_HTTP_INVALID_METHOD;
    }
    if (!is_path(crt_http_message_path(message))) {
        return AWS_ERROR_HTTP_INVALID_PATH;
    }
    target_parts target = parts_of(message, forward);
    size_t len = method.len + 1 + target.origin.len + target.slash.len + target.path.len + sizeof(version_and_end) - 1;
    size_t count = crt_http_headers_count(headers);
    for (size_t i = 0; i < count; i++) {
        crt_http_header h = crt_http_headers_at(headers, i);
        if (!crt_http_is_token(h.name)) {
            return AWS_ERROR_HTTP_INVALID_HEADER_NAME;
        }
        int status = is_value(h.value) ? see_header(&seen, request, &h) : AWS_ERROR_HTTP_INVALID_HEADER_VALUE;
        if (status) {
            return status;
        }
        len += replaces_authorization(forward, h.name) ? 0 : h.name.len + 2 + h.value.len + 2;
    }
    if (forward && forward->authorization.len > 0) {
        len += sizeof(authorization_name) - 1 + 2 + forward->authorization.len + 2;
    }
    request->head_len = len + 2;
    if (crt_bytes_eq(method, crt_bytes_str("HEAD"))) {
        request->kind = CRT_H1_REQUEST_HEAD;
    } else if (crt_bytes_eq(method, crt_bytes_str("CONNECT"))) {
        request->kind = CRT_H1_REQUEST_CONNECT;
    }
    return choose_framing(&seen, request, crt_http_message_body(message) != NULL, writes);
}

static uint8_t *put(uint8_t *out, crt_bytes text) {
    if (text.len > 0) {
        memcpy(out, text.ptr, text.len);
    }
    return out + text.len;
}

static uint8_t *put_field(uint8_t *out, crt_bytes name, crt_bytes value) {
    out = put(out, name);
    *out++ = ':';
    *out++ = ' ';
    out = put(out, value);
    *out++ = '\r';
    *out++ = '\n';
    return out;
}

void crt_h1_write_head(const crt_http_message *message, const crt_h1_forward *forward, const crt_h1_request *request,
                       uint8_t *out) {
    const crt_http_headers *headers = crt_http_message_headers(message);
    target_parts target = parts_of(message, forward);
    const uint8_t *end = out + request->head_len;
    out = put(out, crt_http_message_method(message));
    *out++ = ' ';
    out = put(put(put(out, target.origin), target.slash), target.path);
    out = put(out, crt_bytes_of(version_and_end, sizeof(version_and_end) - 1));
    size_t count = crt_http_headers_count(headers);
    for (size_t i = 0; i < count; i++) {
        crt_http_header h = crt_http_headers_at(headers, i);
        if (!replaces_authorization(forward, h.name)) {
            out = put_field(out, h.name, h.value);
        }
    }
    if (forward && forward->authorization.len > 0) {
        out = put_field(out, crt_bytes_str(authorization_name), forward->authorization);
    }
    out = put(out, crt_bytes_str("\r\n"));
    assert(out == end);
    (void)end;
}
