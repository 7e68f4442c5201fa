/*
 * Signs whatever request the input describes: first line the target, then "name:value" lines. Signing either
 * succeeds and changes the message, or fails and leaves it alone.
 */
#include <stdlib.h>

#include "crt/auth.h"

static void add_lines(crt_http_message *message, crt_bytes rest) {
    while (rest.len) {
        const uint8_t *stop = memchr(rest.ptr, '\n', rest.len);
        crt_bytes line = crt_bytes_of(rest.ptr, stop ? (size_t)(stop - rest.ptr) : rest.len);
        size_t used = line.len + (stop ? 1 : 0);
        const uint8_t *colon = line.len ? memchr(line.ptr, ':', line.len) : NULL;
        if (colon) {
            crt_bytes name = crt_bytes_of(line.ptr, (size_t)(colon - line.ptr));
            crt_http_headers_add(crt_http_message_headers(message), name,
                                 crt_bytes_of(colon + 1, line.len - name.len - 1));
        }
        rest = crt_bytes_of(rest.ptr + used, rest.len - used);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2) {
        return 0;
    }
    uint8_t flags = data[0];
    crt_bytes rest = crt_bytes_of(data + 1, size - 1);
    const uint8_t *stop = memchr(rest.ptr, '\n', rest.len);
    crt_bytes target = crt_bytes_of(rest.ptr, stop ? (size_t)(stop - rest.ptr) : rest.len);
    crt_http_message *message = crt_http_message_new(NULL);
    crt_http_message_set_method(message, crt_bytes_str("GET"));
    crt_http_message_set_path(message, target);
    if (stop) {
        add_lines(message, crt_bytes_of(stop + 1, rest.len - target.len - 1));
    }

    crt_credentials *credentials = NULL;
    crt_credentials_new(crt_bytes_str("AKID"), crt_bytes_str("SECRET"), crt_bytes_str(flags & 1 ? "TOKEN" : ""),
                        UINT64_MAX, &credentials);
    crt_signing_config config = {
        .algorithm = flags & 2 ? CRT_SIGN_V4_S3EXPRESS : CRT_SIGN_V4,
        .signature_type = flags & 4 ? CRT_SIGN_QUERY : CRT_SIGN_HEADERS,
        .region = crt_bytes_str("us-east-1"),
        .service = crt_bytes_str(flags & 8 ? "vpc-lattice-svcs" : "s3"),
        .date_unix = 1440938160,
        .normalize_path = flags & 16,
        .double_uri_encode = flags & 32,
        .omit_session_token = flags & 64,
        .add_content_sha256 = flags & 128,
    };
    crt_fault fault;
    size_t headers = crt_http_headers_count(crt_http_message_headers(message));
    int code = crt_sign_message(message, &config, credentials, &fault);
    bool same = crt_http_headers_count(crt_http_message_headers(message)) == headers &&
                crt_bytes_eq(crt_http_message_path(message), target);
    if (same != (code != 0) || fault.code != code) {
        abort();
    }
    crt_credentials_release(credentials);
    crt_http_message_release(message);
    return 0;
}
