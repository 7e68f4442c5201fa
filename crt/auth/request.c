/*
 * The signature of one request: its canonical request, the string to sign, and for presigned requests the
 * parameters that are added to the query.
 */
#include "signing.h"

#include <stdio.h>

#include "crt/memory.h"

#define UNSIGNED_PAYLOAD "UNSIGNED-PAYLOAD"
/* The service's rule: it never sees the payload hash of a presigned request. */
#define LATTICE_SERVICE "vpc-lattice-svcs"
/* Signer's own headers or parameters. */
#define OWN_PAIRS 8

/* ---- headers ---- */

static bool is_signers_header(crt_bytes name, int algorithm) {
    switch (name.len) {
    case 10:
        return crt_signing_same_name(name, "x-amz-date");
    case 13:
        return crt_signing_same_name(name, "authorization");
    case 16:
        return crt_signing_same_name(name, "x-amz-region-set");
    case 20:
        return crt_signing_same_name(name, CRT_CONTENT_SHA256) ||
               crt_signing_same_name(name, "x-amz-security-token");
    case 21:
        return algorithm == CRT_SIGN_V4_S3EXPRESS && crt_signing_same_name(name, "x-amz-s3session-token");
    default:
        return false;
    }
}

/* Headers that proxies change on the way, or that the connection adds. */
static bool is_skipped(crt_bytes name) {
    switch (name.len) {
    case 6:
        return crt_signing_same_name(name, "expect");
    case 7:
        return crt_signing_same_name(name, "upgrade");
    case 10:
        return crt_signing_same_name(name, "user-agent");
    case 15:
        return crt_signing_same_name(name, "x-amzn-trace-id");
    case 17:
        return crt_signing_same_name(name, "transfer-encoding") || crt_signing_same_name(name, "sec-websocket-key");
    case 21:
        return crt_signing_same_name(name, "sec-websocket-version");
    case 22:
        return crt_signing_same_name(name, "sec-websocket-protocol");
    default:
        return false;
    }
}

static void push(crt_signing_request *r, crt_bytes name, crt_bytes value) {
    crt_signing_pair *pair = &r->pairs[r->count];
    pair->name = name;
    pair->value = value;
    pair->order = r->count++;
}

int crt_signing_request_add(crt_signing_request *r, crt_bytes name, crt_bytes value) {
    const crt_signing_config *config = r->signer->config;
    if (is_signers_header(name, config->algorithm)) {
        return crt_fail(r->fault, AWS_AUTH_SIGNING_ILLEGAL_REQUEST_HEADER,
                        "the signer sets the header '%.*s' itself; remove it from the request", (int)name.len,
                        (const char *)name.ptr);
    }
    bool wanted = !config->should_sign || config->should_sign(config->should_sign_user, name);
    if (wanted && !is_skipped(name)) {
        push(r, name, value);
    }
    return 0;
}

static int write_headers(crt_signing_request *r) {
    const crt_signer *signer = r->signer;
    const crt_signing_config *config = signer->config;
    crt_bytes token = signer->credentials->session_token;
    if (r->in_query) {
        if (r->lattice) {
            push(r, crt_bytes_str(CRT_CONTENT_SHA256), r->payload_hash);
        }
    } else {
        if (token.len && !config->omit_session_token) {
            push(r, signer->token_name, token);
        }
        push(r, crt_bytes_str("X-Amz-Date"), crt_bytes_of(signer->date_time, CRT_DATE_TIME_LEN));
        if (config->algorithm == CRT_SIGN_V4_ASYMMETRIC) {
            push(r, crt_bytes_str(CRT_REGION_SET), config->region);
        }
        if (config->add_content_sha256) {
            push(r, crt_bytes_str(CRT_CONTENT_SHA256), r->payload_hash);
        }
    }
    size_t count = r->count;
    r->count = 0; /* the pairs serve the query next */
    return crt_signing_canonical_headers(&r->headers, &r->names, r->pairs, count);
}

/* ---- query ---- */

/* Adds a parameter of ours to the pairs and to what is appended to the query; there is room. */
static void push_parameter(crt_signing_request *r, crt_bytes name, crt_bytes value, bool is_signed) {
    size_t start = r->text.end;
    crt_signing_encode(&r->text, value, false);
    crt_bytes encoded = crt_bytes_of(r->text.ptr + start, r->text.end - start);
    if (is_signed) {
        push(r, name, encoded);
    }
    if (r->added.end) {
        crt_signing_put_str(&r->added, "&");
    }
    crt_signing_put(&r->added, name);
    crt_signing_put_str(&r->added, "=");
    crt_signing_put(&r->added, encoded);
}

static void push_own_parameters(crt_signing_request *r) {
    const crt_signer *signer = r->signer;
    const crt_signing_config *config = signer->config;
    crt_bytes token = signer->credentials->session_token;
    push_parameter(r, crt_bytes_str("X-Amz-Algorithm"), signer->algorithm, true);
    push_parameter(r, crt_bytes_str("X-Amz-Credential"), crt_buf_view(&signer->credential), true);
    push_parameter(r, crt_bytes_str("X-Amz-Date"), crt_bytes_of(signer->date_time, CRT_DATE_TIME_LEN), true);
    push_parameter(r, crt_bytes_str("X-Amz-SignedHeaders"), crt_buf_view(&r->names), true);
    if (config->expires_secs) {
        char expires[24];
        int len = snprintf(expires, sizeof(expires), "%llu", (unsigned long long)config->expires_secs);
        push_parameter(r, crt_bytes_str("X-Amz-Expires"), crt_bytes_of(expires, (size_t)len), true);
    }
    if (token.len) {
        push_parameter(r, signer->token_name, token, !config->omit_session_token);
    }
    if (config->algorithm == CRT_SIGN_V4_ASYMMETRIC) {
        push_parameter(r, crt_bytes_str(CRT_REGION_SET), config->region, true);
    }
}

/* Upper bound of our parameters' values, before encoding. */
static size_t own_values_max(const crt_signing_request *r) {
    const crt_signer *signer = r->signer;
    return crt_buf_len(&signer->credential) + crt_buf_len(&r->names) + signer->credentials->session_token.len +
           signer->config->region.len + 128;
}

static int collect_query(crt_signing_request *r) {
    size_t own = r->in_query ? own_values_max(r) : 0;
    /* Once, so that views into the buffer stay put. */
    int code = crt_buf_reserve(&r->text, crt_signing_encoded_max(r->query.len + own));
    if (code) {
        return code;
    }
    code = crt_signing_parse_query(&r->text, r->query, r->pairs, &r->count);
    if (code == AWS_AUTH_SIGNING_ILLEGAL_REQUEST_QUERY_PARAM) {
        return crt_fail(r->fault, code, "the signer sets the query parameter '%.*s' itself; remove it",
                        (int)r->pairs[r->count].name.len, (const char *)r->pairs[r->count].name.ptr);
    }
    if (code) {
        return crt_fail(r->fault, code, "a percent escape in the query is not two hex digits");
    }
    if (!r->in_query) {
        return 0;
    }
    code = crt_buf_reserve(&r->added, crt_signing_encoded_max(own) + 256);
    if (!code) {
        push_own_parameters(r);
    }
    return code;
}

/* ---- canonical request and signature ---- */

static int write_canonical_request(crt_signing_request *r, crt_bytes method) {
    const crt_signing_config *config = r->signer->config;
    crt_buf *out = &r->work;
    int code = write_headers(r);
    if (!code) {
        code = collect_query(r);
    }
    if (!code) { /* for all of it: what is put below does not fail */
        code = crt_buf_reserve(out, method.len + crt_signing_encoded_max(r->path.len) + crt_buf_len(&r->text) +
                                        32 * r->count + crt_buf_len(&r->headers) + crt_buf_len(&r->names) +
                                        r->payload_hash.len + 64);
    }
    if (code) {
        return code;
    }
    crt_signing_put(out, method);
    crt_signing_put_str(out, "\n");
    code = crt_signing_canonical_path(out, r->path, config->normalize_path, config->double_uri_encode);
    crt_signing_put_str(out, "\n");
    if (!code) {
        code = crt_signing_canonical_query(out, r->pairs, r->count);
    }
    crt_signing_put_str(out, "\n");
    crt_signing_put(out, crt_buf_view(&r->headers));
    crt_signing_put_str(out, "\n");
    crt_signing_put(out, crt_buf_view(&r->names));
    crt_signing_put_str(out, "\n");
    crt_signing_put(out, r->payload_hash);
    return code;
}

static int sign_canonical_request(crt_signing_request *r) {
    const crt_signer *signer = r->signer;
    char hex[CRT_SHA256_HEX_LEN];
    int code = crt_sha256_hex(crt_buf_view(&r->work), hex);
    if (code) {
        return code;
    }
    crt_buf_clear(&r->work);
    code = crt_buf_reserve(&r->work,
                           signer->algorithm.len + CRT_DATE_TIME_LEN + signer->scope.len + sizeof(hex) + 4);
    if (code) {
        return code;
    }
    crt_signing_put(&r->work, signer->algorithm);
    crt_signing_put_str(&r->work, "\n");
    crt_signing_put(&r->work, crt_bytes_of(signer->date_time, CRT_DATE_TIME_LEN));
    crt_signing_put_str(&r->work, "\n");
    crt_signing_put(&r->work, signer->scope);
    crt_signing_put_str(&r->work, "\n");
    crt_signing_put(&r->work, crt_bytes_of(hex, sizeof(hex)));
    return crt_signer_sign(signer, crt_buf_view(&r->work), r->signature, &r->signature_len);
}

/* ---- a request's life ---- */

void crt_signing_request_init(crt_signing_request *r, const crt_signer *signer, crt_fault *fault) {
    r->signer = signer;
    r->fault = fault;
    r->in_query = signer->config->signature_type == CRT_SIGN_QUERY;
    r->lattice = r->in_query && crt_bytes_eq(signer->config->service, crt_bytes_str(LATTICE_SERVICE));
    r->payload_hash = crt_bytes_of(NULL, 0);
    r->pairs = r->inline_pairs;
    r->capacity = CRT_SIGNING_INLINE_PAIRS;
    r->count = 0;
    r->names = r->headers = r->text = r->work = r->added = (crt_buf)CRT_BUF_INIT;
}

static void free_pairs(crt_signing_request *r) {
    if (r->pairs != r->inline_pairs) {
        crt_free(r->pairs);
    }
}

void crt_signing_request_clear(crt_signing_request *r) {
    free_pairs(r);
    crt_buf_free(&r->names);
    crt_buf_free(&r->headers);
    crt_buf_free(&r->text);
    crt_buf_free(&r->work);
    crt_buf_free(&r->added);
}

static int reserve_pairs(crt_signing_request *r, size_t count) {
    if (count <= r->capacity) {
        return 0;
    }
    crt_signing_pair *pairs = crt_malloc(count * sizeof(*pairs));
    if (!pairs) {
        return AWS_ERROR_OOM;
    }
    free_pairs(r);
    r->pairs = pairs;
    r->capacity = count;
    return 0;
}

int crt_signing_request_start(crt_signing_request *r, crt_bytes target, size_t headers) {
    crt_buf_clear(&r->names);
    crt_buf_clear(&r->headers);
    crt_buf_clear(&r->text);
    crt_buf_clear(&r->work);
    crt_buf_clear(&r->added);
    r->count = 0;
    int code = crt_signing_split_target(target, &r->path, &r->query);
    if (code) {
        return crt_fail(r->fault, code, "the request has no path");
    }
    size_t parameters = crt_signing_query_max(r->query);
    return reserve_pairs(r, (headers > parameters ? headers : parameters) + OWN_PAIRS);
}

int crt_signing_request_compute(crt_signing_request *r, crt_bytes method) {
    if (r->lattice) {
        r->payload_hash = crt_bytes_str(UNSIGNED_PAYLOAD);
    }
    int code = write_canonical_request(r, method);
    return code ? code : sign_canonical_request(r);
}
