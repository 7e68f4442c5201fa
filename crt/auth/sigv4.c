/*
 * Signature of an HTTP message. Everything is computed first and the message changed last, so that a failure leaves
 * it as it was.
 */
#include "signing.h"

#define OWN_HEADERS 5

/* ---- payload hash ---- */

/* `hex` is the place for a hash that is computed here. */
static int choose_payload_hash(crt_signing_request *r, const crt_http_message *message,
                               char hex[CRT_SHA256_HEX_LEN]) {
    const crt_source *body = crt_http_message_body(message);
    crt_bytes given = r->signer->config->body_value;
    if (given.len || r->lattice) {
        r->payload_hash = given;
        return 0;
    }
    if (!body) {
        r->payload_hash = crt_bytes_str(CRT_EMPTY_SHA256);
        return 0;
    }
    if (body->kind != CRT_SOURCE_MEMORY) {
        return crt_fail(r->fault, AWS_AUTH_SIGNING_INVALID_CONFIGURATION,
                        "the body is not in memory, so its hash must be given");
    }
    r->payload_hash = crt_bytes_of(hex, CRT_SHA256_HEX_LEN);
    return crt_sha256_hex(body->memory, hex);
}

/* ---- into the headers ---- */

/* In r->text, which compute has no more use for. */
static int build_authorization(crt_signing_request *r) {
    const crt_signer *signer = r->signer;
    crt_buf *out = &r->text;
    crt_buf_clear(out);
    int code = crt_buf_reserve(out, signer->algorithm.len + crt_buf_len(&signer->credential) +
                                        crt_buf_len(&r->names) + r->signature_len + 64);
    if (code) {
        return code;
    }
    crt_signing_put(out, signer->algorithm);
    crt_signing_put_str(out, " Credential=");
    crt_signing_put(out, crt_buf_view(&signer->credential));
    crt_signing_put_str(out, ", SignedHeaders=");
    crt_signing_put(out, crt_buf_view(&r->names));
    crt_signing_put_str(out, ", Signature=");
    crt_signing_put(out, crt_bytes_of(r->signature, r->signature_len));
    return 0;
}

/* In the order in which they are appended; returns how many. */
static size_t list_headers(const crt_signing_request *r, crt_http_header added[OWN_HEADERS]) {
    const crt_signer *signer = r->signer;
    size_t count = 0;
    if (signer->credentials->session_token.len) {
        added[count++] = (crt_http_header){signer->token_name, signer->credentials->session_token};
    }
    added[count++] = (crt_http_header){crt_bytes_str("X-Amz-Date"), crt_bytes_of(signer->date_time, CRT_DATE_TIME_LEN)};
    if (signer->config->algorithm == CRT_SIGN_V4_ASYMMETRIC) {
        added[count++] = (crt_http_header){crt_bytes_str(CRT_REGION_SET), signer->config->region};
    }
    if (signer->config->add_content_sha256) {
        added[count++] = (crt_http_header){crt_bytes_str(CRT_CONTENT_SHA256), r->payload_hash};
    }
    added[count++] = (crt_http_header){crt_bytes_str("Authorization"), crt_buf_view(&r->text)};
    return count;
}

static int apply_headers(crt_signing_request *r, crt_http_message *message) {
    crt_http_headers *headers = crt_http_message_headers(message);
    crt_http_header added[OWN_HEADERS];
    int code = build_authorization(r);
    if (code) {
        return code;
    }
    size_t count = list_headers(r, added);
    for (size_t i = 0; i < count; i++) {
        code = crt_http_headers_add(headers, added[i].name, added[i].value);
        if (code) {
            while (i--) { /* none of these names was there before */
                crt_http_headers_remove(headers, added[i].name);
            }
            return code;
        }
    }
    return 0;
}

/* ---- into the query ---- */

int crt_signing_append_query(const crt_signing_request *r, crt_bytes target, crt_buf *out) {
    const char *joint = r->query.len ? "&" : memchr(target.ptr, '?', target.len) ? "" : "?";
    int code = crt_buf_reserve(out, target.len + crt_buf_len(&r->added) + r->signature_len + 32);
    if (code) {
        return code;
    }
    crt_signing_put(out, target);
    crt_signing_put_str(out, joint);
    crt_signing_put(out, crt_buf_view(&r->added));
    crt_signing_put_str(out, "&X-Amz-Signature=");
    crt_signing_put(out, crt_bytes_of(r->signature, r->signature_len));
    return 0;
}

static int apply_query(crt_signing_request *r, crt_http_message *message) {
    crt_http_headers *headers = crt_http_message_headers(message);
    crt_bytes content_sha256 = crt_bytes_str(CRT_CONTENT_SHA256);
    crt_buf_clear(&r->text);
    int code = crt_signing_append_query(r, crt_http_message_path(message), &r->text);
    if (!code && r->lattice) {
        code = crt_http_headers_add(headers, content_sha256, r->payload_hash);
    }
    if (code) {
        return code;
    }
    code = crt_http_message_set_path(message, crt_buf_view(&r->text));
    if (code && r->lattice) {
        crt_http_headers_remove(headers, content_sha256);
    }
    return code;
}

/* ---- all of it ---- */

static int add_headers(crt_signing_request *r, const crt_http_headers *headers) {
    int code = 0;
    size_t count = crt_http_headers_count(headers);
    for (size_t i = 0; !code && i < count; i++) {
        crt_http_header header = crt_http_headers_at(headers, i);
        code = crt_signing_request_add(r, header.name, header.value);
    }
    return code;
}

static int sign(crt_signing_request *r, crt_http_message *message) {
    const crt_http_headers *headers = crt_http_message_headers(message);
    char hex[CRT_SHA256_HEX_LEN];
    int code = choose_payload_hash(r, message, hex);
    if (!code) {
        code = crt_signing_request_start(r, crt_http_message_path(message), crt_http_headers_count(headers));
    }
    if (!code) {
        code = add_headers(r, headers);
    }
    if (!code) {
        code = crt_signing_request_compute(r, crt_http_message_method(message));
    }
    if (code) {
        return code;
    }
    return r->in_query ? apply_query(r, message) : apply_headers(r, message);
}

int crt_sign_message(crt_http_message *message, const crt_signing_config *config, const crt_credentials *credentials,
                     crt_fault *fault) {
    crt_signer signer;
    crt_signing_request request;
    fault->code = 0;
    fault->detail[0] = '\0';
    int code = crt_signer_init(&signer, config, credentials, fault);
    if (!code) {
        crt_signing_request_init(&request, &signer, fault);
        code = sign(&request, message);
        crt_signing_request_clear(&request);
    }
    crt_signer_clear(&signer);
    fault->code = code;
    return code;
}

/* ---- reading it back ---- */

static crt_bytes behind_last(crt_bytes text, const char *mark) {
    size_t len = strlen(mark);
    for (size_t at = text.len; at >= len; at--) {
        if (memcmp(text.ptr + at - len, mark, len) == 0) {
            return crt_bytes_of(text.ptr + at, text.len - at);
        }
    }
    return crt_bytes_of(NULL, 0);
}

crt_bytes crt_message_signature(const crt_http_message *message) {
    crt_bytes authorization;
    if (crt_http_headers_get(crt_http_message_headers(message), crt_bytes_str("Authorization"), &authorization)) {
        return behind_last(authorization, "Signature=");
    }
    return behind_last(crt_http_message_path(message), "X-Amz-Signature=");
}
