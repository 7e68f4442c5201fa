/*
 * Signs whatever the input describes: two bytes of options, then a line with the target, then "name:value" lines.
 *
 * A message is either signed and changed, or refused and left alone. A presigned URL is the URL with something behind
 * it, and what signing the same request as a message gives. Signatures of chunks have the length they must have, and
 * one that fails does not change the next.
 */
#include <stdlib.h>

#include "crt/auth.h"

enum { MESSAGE, MESSAGE_ASYMMETRIC, URL, CHUNKS };

typedef struct input {
    uint8_t flags;
    crt_bytes target;
    crt_http_headers *headers;
    crt_credentials *credentials;
    crt_signing_config config;
} input;

static void require(bool holds) {
    if (!holds) {
        abort();
    }
}

static void add_lines(crt_http_headers *headers, crt_bytes rest) {
    while (rest.len) {
        const uint8_t *stop = memchr(rest.ptr, '\n', rest.len);
        crt_bytes line = crt_bytes_of(rest.ptr, stop ? (size_t)(stop - rest.ptr) : rest.len);
        size_t used = line.len + (stop ? 1 : 0);
        const uint8_t *colon = line.len ? memchr(line.ptr, ':', line.len) : NULL;
        if (colon) {
            crt_bytes name = crt_bytes_of(line.ptr, (size_t)(colon - line.ptr));
            crt_http_headers_add(headers, name, crt_bytes_of(colon + 1, line.len - name.len - 1));
        }
        rest = crt_bytes_of(rest.ptr + used, rest.len - used);
    }
}

static void read_input(input *in, int kind, crt_bytes rest) {
    const uint8_t *stop = rest.len ? memchr(rest.ptr, '\n', rest.len) : NULL;
    uint8_t flags = in->flags;
    in->target = crt_bytes_of(rest.ptr, stop ? (size_t)(stop - rest.ptr) : rest.len);
    in->headers = crt_http_headers_new();
    if (stop) {
        add_lines(in->headers, crt_bytes_of(stop + 1, rest.len - in->target.len - 1));
    }
    in->credentials = NULL;
    crt_credentials_new(crt_bytes_str("AKID"), crt_bytes_str("SECRET"), crt_bytes_str(flags & 1 ? "TOKEN" : ""),
                        UINT64_MAX, &in->credentials);
    in->config = (crt_signing_config){
        .algorithm = kind == MESSAGE_ASYMMETRIC ? CRT_SIGN_V4_ASYMMETRIC
                     : flags & 2                ? CRT_SIGN_V4_S3EXPRESS
                                                : CRT_SIGN_V4,
        .signature_type = kind == URL || flags & 4 ? CRT_SIGN_QUERY : CRT_SIGN_HEADERS,
        .region = crt_bytes_str("us-east-1"),
        .service = crt_bytes_str(flags & 8 ? "vpc-lattice-svcs" : "s3"),
        .date_unix = 1440938160,
        .normalize_path = flags & 16,
        .double_uri_encode = flags & 32,
        .omit_session_token = flags & 64,
        .add_content_sha256 = flags & 128,
    };
}

static crt_http_message *message_of(const input *in, crt_bytes target) {
    crt_http_message *message = crt_http_message_new(in->headers);
    crt_http_message_set_method(message, crt_bytes_str("GET"));
    crt_http_message_set_path(message, target);
    return message;
}

static void sign_message(const input *in) {
    crt_http_message *message = message_of(in, in->target);
    size_t count = crt_http_headers_count(in->headers);
    crt_fault fault;
    int code = crt_sign_message(message, &in->config, in->credentials, &fault);
    bool same = crt_http_headers_count(in->headers) == count &&
                crt_bytes_eq(crt_http_message_path(message), in->target);
    require(same == (code != 0) && fault.code == code);
    size_t len = code ? 0 : crt_message_signature(message).len;
    require(code || (in->config.algorithm == CRT_SIGN_V4_ASYMMETRIC ? len > 0 && len <= CRT_SIGNATURE_MAX : len == 64));
    crt_http_message_release(message);
}

/* ---- URLs ---- */

static bool ends_with(crt_bytes text, const char *end) {
    size_t len = strlen(end);
    return text.len >= len && memcmp(text.ptr + text.len - len, end, len) == 0;
}

/* "https://host/..." signed as a message with that host gives the same behind the host. */
static void compare_with_message(const input *in, crt_bytes signed_url) {
    size_t at = 0;
    while (in->target.ptr[at] != '/') {
        at++;
    }
    size_t host_at = at += 2;
    while (at < in->target.len && in->target.ptr[at] != '/' && in->target.ptr[at] != '?') {
        at++;
    }
    crt_bytes host = crt_bytes_of(in->target.ptr + host_at, at - host_at);
    crt_bytes ignored;
    if (at == in->target.len || in->target.ptr[at] == '?' || ends_with(host, ":443") || ends_with(host, ":80")) {
        return; /* the rules for these are the presigner's own */
    }
    if (!crt_http_headers_get(in->headers, crt_bytes_str("host"), &ignored)) {
        crt_http_headers_add(in->headers, crt_bytes_str("Host"), host);
    }
    crt_http_message *message = message_of(in, crt_bytes_of(in->target.ptr + at, in->target.len - at));
    crt_fault fault;
    require(crt_sign_message(message, &in->config, in->credentials, &fault) == 0);
    require(crt_bytes_eq(crt_http_message_path(message), crt_bytes_of(signed_url.ptr + at, signed_url.len - at)));
    crt_http_message_release(message);
}

static void presign(const input *in) {
    size_t count = crt_http_headers_count(in->headers);
    crt_http_header *views = malloc((count + 1) * sizeof(*views));
    crt_presigner *presigner;
    crt_buf out = {0}, again = {0};
    crt_fault fault;
    for (size_t i = 0; i < count; i++) {
        views[i] = crt_http_headers_at(in->headers, i);
    }
    require(crt_presigner_new(&in->config, in->credentials, views, count, &presigner, &fault) == 0);
    int code = crt_presign(presigner, crt_bytes_str("GET"), in->target, &out, &fault);
    require(fault.code == code && (code == 0) == (crt_buf_len(&out) > in->target.len));
    /* What is used again between URLs carries nothing over. */
    require(crt_presign(presigner, crt_bytes_str("GET"), in->target, &again, &fault) == code);
    require(crt_bytes_eq(crt_buf_view(&out), crt_buf_view(&again)));
    crt_presigner_free(presigner);
    free(views);
    if (!code) {
        require(memcmp(out.ptr, in->target.ptr, in->target.len) == 0);
        compare_with_message(in, crt_buf_view(&out));
    }
    crt_buf_free(&out);
    crt_buf_free(&again);
}

/* ---- chunks ---- */

static void sign_chunks(input *in) {
    crt_chunk_signer *signer;
    crt_fault fault;
    uint8_t digest[32] = {1}, raw[32];
    char signature[CRT_SIGNATURE_MAX];
    size_t len;
    in->config.algorithm = in->flags & 4 ? CRT_SIGN_V4_ASYMMETRIC : CRT_SIGN_V4;
    int code = crt_chunk_signer_new(&in->config, in->credentials, in->target, &signer, &fault);
    require(fault.code == code);
    if (code) {
        return;
    }
    size_t expected = in->flags & 4 ? CRT_SIGNATURE_MAX : 64;
    require(crt_sign_chunk(signer, digest, signature, &len) == 0 && len == expected);
    require(crt_sign_trailer(signer, in->headers, signature, &len) == 0 && len == expected);
    int64_t date_ms = 0;
    memcpy(&date_ms, in->target.ptr, in->target.len < 8 ? in->target.len : 8);
    crt_sign_event(signer, date_ms, digest, raw);
    code = crt_sign_event(signer, 0, digest, raw);
    require(code == (in->flags & 4 ? AWS_AUTH_SIGNING_UNSUPPORTED_SIGNATURE_TYPE : 0));
    crt_chunk_signer_free(signer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2) {
        return 0;
    }
    input in = {.flags = data[0]};
    int kind = data[1] & 3;
    read_input(&in, kind, crt_bytes_of(data + 2, size - 2));
    if (kind == URL) {
        presign(&in);
    } else if (kind == CHUNKS) {
        sign_chunks(&in);
    } else {
        sign_message(&in);
    }
    crt_credentials_release(in.credentials);
    crt_http_headers_release(in.headers);
    return 0;
}
