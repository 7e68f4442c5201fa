/*
 * When a response is malformed (RFC 9113 section 8.1.1): the fields of a block one by one, the block as a whole, and
 * the body against its announced length. nghttp2's own checks are off: they refuse a `connection` field, which
 * many servers behind old proxies send and nobody is hurt by, and drop fields they do not like without a word.
 */
#include "ascii.h"
#include "h2_conn.h"

/* Fields that only make sense on an HTTP/1.1 connection (RFC 9113 section 8.2.2), but for `connection`. */
static bool is_forbidden(crt_bytes name) {
    static const char *const names[] = {"keep-alive", "proxy-connection", "te", "transfer-encoding", "upgrade"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (crt_bytes_eq(name, crt_bytes_str(names[i]))) {
            return true;
        }
    }
    return false;
}

static bool is_lower_token(crt_bytes name) {
    for (size_t i = 0; i < name.len; i++) {
        if (name.ptr[i] >= 'A' && name.ptr[i] <= 'Z') {
            return false;
        }
    }
    return crt_http_is_token(name);
}

static const char *check_status(crt_h2_head *head, crt_bytes value) {
    uint64_t status;
    if (head->has_regular) {
        return "a pseudo-header field behind a regular one";
    }
    if (head->status) {
        return "two :status fields";
    }
    if (value.len != 3 || !crt_http_parse_decimal(value, &status) || status < 100) {
        return "a :status that is no status";
    }
    head->status = (int)status;
    return NULL;
}

const char *crt_h2_check_field(crt_h2_head *head, crt_bytes name, crt_bytes value) {
    if (value.len > 0 && crt_http_skip_field_text(value.ptr, value.ptr + value.len) != value.ptr + value.len) {
        return "a control character in a field value";
    }
    if (name.len > 0 && name.ptr[0] == ':') {
        bool is_status = crt_bytes_eq(name, crt_bytes_str(":status"));
        return is_status ? check_status(head, value) : "an unknown pseudo-header field";
    }
    head->has_regular = true;
    if (!is_lower_token(name)) {
        return "a field name that is no token in lower case";
    }
    if (is_forbidden(name)) {
        return "a field of HTTP/1.1 connections";
    }
    if (crt_bytes_eq(name, crt_bytes_str("content-length"))) {
        if (head->content_length != UINT64_MAX) {
            return "two content-length fields";
        }
        if (!crt_http_parse_decimal(value, &head->content_length)) {
            return "a content-length that is no number";
        }
    }
    return NULL;
}

static const char *check_trailers(const crt_h2_head *head, bool ends) {
    if (head->status) {
        return "a :status among the trailers";
    }
    return ends ? NULL : "trailers without END_STREAM";
}

/* Section 8.1: an interim response has no body and is not the last; 101 does not exist in HTTP/2. */
static const char *check_interim(const crt_h2_head *head, bool ends) {
    if (head->status == 101) {
        return "status 101";
    }
    if (head->content_length != UINT64_MAX && head->content_length > 0) {
        return "an interim response with a body";
    }
    return ends ? "an interim response with END_STREAM" : NULL;
}

const char *crt_h2_check_head(crt_h2_stream *stream, const crt_h2_head *head, bool ends) {
    if (stream->in_body) {
        return check_trailers(head, ends);
    }
    if (!head->status) {
        return "no :status";
    }
    if (head->status / 100 == 1) {
        return check_interim(head, ends);
    }
    if (head->status == 204 && head->content_length != UINT64_MAX && head->content_length > 0) {
        return "a body announced with status 204";
    }
    stream->content_length = stream->is_head || head->status == 304 ? UINT64_MAX : head->content_length;
    stream->content_left = stream->content_length;
    return NULL;
}

const char *crt_h2_check_data(crt_h2_stream *stream, size_t len) {
    if (!stream->in_body) {
        return "body before the response head";
    }
    if (stream->content_length == UINT64_MAX) {
        return NULL;
    }
    if (len > stream->content_length) {
        return "more body than content-length";
    }
    stream->content_length -= len;
    return NULL;
}

const char *crt_h2_check_end(const crt_h2_stream *stream) {
    if (!stream->in_body) {
        return "the end before the response head";
    }
    return stream->content_length == UINT64_MAX || stream->content_length == 0 ? NULL : "less body than content-length";
}
