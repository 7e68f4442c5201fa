/*
 * Signature Version 4 of an HTTP request. Everything is computed first and the message changed last, so that a
 * failure leaves it as it was.
 */
#include "signing.h"

#include <stdio.h>

#include "crt/crypto.h"
#include "crt/memory.h"

#define ALGORITHM "AWS4-HMAC-SHA256"
#define EMPTY_SHA256 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define UNSIGNED_PAYLOAD "UNSIGNED-PAYLOAD"
#define CONTENT_SHA256 "x-amz-content-sha256"
/* The service's rule: it never sees the payload hash of a presigned request. */
#define LATTICE_SERVICE "vpc-lattice-svcs"

#define DATE_LEN 8
#define DATE_TIME_LEN 16
#define HEX_LEN (2 * CRT_SHA256_LEN)
/* On the stack: enough for all but unusual requests. */
#define INLINE_PAIRS 48
/* Signer's own headers or parameters. */
#define OWN_PAIRS 8

struct signing {
    crt_http_message *message;
    const crt_signing_config *config;
    const crt_credentials *credentials;
    crt_fault *fault;
    bool in_query;
    bool lattice; /* presigned for LATTICE_SERVICE */
    crt_bytes token;
    crt_bytes token_name;
    crt_bytes payload_hash;
    char payload_hex[HEX_LEN];
    char date_time[DATE_TIME_LEN + 1]; /* 20150830T123600Z */
    char signature[HEX_LEN];
    crt_bytes path;
    crt_bytes query;
    crt_bytes scope;    /* 20150830/us-east-1/service/aws4_request */
    crt_buf credential; /* access key id, slash, scope */
    crt_buf names;      /* host;x-amz-date */
    crt_buf headers;    /* canonical headers */
    crt_buf text;       /* encoded query parameters, then the value that goes into the message */
    crt_buf request;    /* canonical request, then the string to sign */
    crt_buf added;      /* query signing: what is appended to the path */
    crt_signing_pair *pairs;
    crt_signing_pair inline_pairs[INLINE_PAIRS];
};

/* ---- checks ---- */

static int check_config(const struct signing *s) {
    const crt_signing_config *config = s->config;
    if (config->algorithm == CRT_SIGN_V4_ASYMMETRIC) {
        return crt_fail(s->fault, AWS_AUTH_SIGNING_UNSUPPORTED_ALGORITHM,
                        "Asymmetric signing (SigV4A) is not available in this version; use V4");
    }
    if (config->algorithm != CRT_SIGN_V4 && config->algorithm != CRT_SIGN_V4_S3EXPRESS) {
        return crt_fail(s->fault, AWS_AUTH_SIGNING_UNSUPPORTED_ALGORITHM, "unknown algorithm %d", config->algorithm);
    }
    if (config->signature_type != CRT_SIGN_HEADERS && config->signature_type != CRT_SIGN_QUERY) {
        return crt_fail(s->fault, AWS_AUTH_SIGNING_UNSUPPORTED_SIGNATURE_TYPE, "unknown signature type %d",
                        config->signature_type);
    }
    if (!config->region.len || !config->service.len) {
        return crt_fail(s->fault, AWS_AUTH_SIGNING_INVALID_CONFIGURATION, "signing needs a region and a service");
    }
    if (!s->credentials) {
        return crt_fail(s->fault, AWS_AUTH_SIGNING_NO_CREDENTIALS, "no credentials were given");
    }
    return 0;
}

static bool is_signers_header(crt_bytes name, int algorithm) {
    switch (name.len) {
    case 10:
        return crt_signing_same_name(name, "x-amz-date");
    case 13:
        return crt_signing_same_name(name, "authorization");
    case 16:
        return crt_signing_same_name(name, "x-amz-region-set");
    case 20:
        return crt_signing_same_name(name, CONTENT_SHA256) || crt_signing_same_name(name, "x-amz-security-token");
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

/* ---- date ---- */

/* Civil date of a day count since 1970 (proleptic Gregorian): years start in March, so that leap days end them. */
static void civil_date(int64_t days, int64_t *year, int *month, int *day) {
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int64_t of_era = days - era * 146097;
    int64_t year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int shifted = (int)((5 * of_year + 2) / 153);
    *day = (int)(of_year - (153 * shifted + 2) / 5 + 1);
    *month = shifted < 10 ? shifted + 3 : shifted - 9;
    *year = year_of_era + era * 400 + (*month <= 2);
}

static void put_digits(char *to, int64_t value, int digits) {
    for (int i = digits - 1; i >= 0; i--) {
        to[i] = (char)('0' + value % 10);
        value /= 10;
    }
}

static int format_date(struct signing *s) {
    const int64_t seconds_of_day = 86400;
    const int64_t first = INT64_C(-62167219200); /* 0000-01-01 */
    const int64_t last = INT64_C(253402300799);  /* 9999-12-31T23:59:59 */
    int64_t at = s->config->date_unix;
    if (at < first || at > last) {
        return crt_fail(s->fault, AWS_AUTH_SIGNING_INVALID_CONFIGURATION, "the date is outside the years 0 to 9999");
    }
    int64_t days = at / seconds_of_day - (at % seconds_of_day < 0);
    int64_t second = at - days * seconds_of_day;
    int64_t year;
    int month, day;
    civil_date(days, &year, &month, &day);
    put_digits(s->date_time, year, 4);
    put_digits(s->date_time + 4, month, 2);
    put_digits(s->date_time + 6, day, 2);
    s->date_time[8] = 'T';
    put_digits(s->date_time + 9, second / 3600, 2);
    put_digits(s->date_time + 11, second / 60 % 60, 2);
    put_digits(s->date_time + 13, second % 60, 2);
    s->date_time[15] = 'Z';
    s->date_time[16] = '\0';
    return 0;
}

/* ---- preparation ---- */

static int append(crt_buf *out, crt_bytes bytes) {
    return bytes.len ? crt_buf_append(out, bytes.ptr, bytes.len) : 0;
}

static int append_str(crt_buf *out, const char *text) {
    return crt_buf_append(out, text, strlen(text));
}

static int build_credential(struct signing *s) {
    const crt_signing_config *config = s->config;
    crt_bytes id = s->credentials->access_key_id;
    crt_buf *out = &s->credential;
    int code = crt_buf_reserve(out, id.len + DATE_LEN + config->region.len + config->service.len + 16);
    if (code) {
        return code;
    }
    append(out, id);
    append_str(out, "/");
    append(out, crt_bytes_of(s->date_time, DATE_LEN));
    append_str(out, "/");
    append(out, config->region);
    append_str(out, "/");
    append(out, config->service);
    append_str(out, "/aws4_request");
    s->scope = crt_bytes_of(crt_buf_data(out) + id.len + 1, crt_buf_len(out) - id.len - 1);
    return 0;
}

static int choose_payload_hash(struct signing *s) {
    crt_source *body = crt_http_message_body(s->message);
    if (s->lattice) {
        s->payload_hash = crt_bytes_str(UNSIGNED_PAYLOAD);
    } else if (s->config->body_value.len) {
        s->payload_hash = s->config->body_value;
    } else if (!body) {
        s->payload_hash = crt_bytes_str(EMPTY_SHA256);
    } else if (body->kind == CRT_SOURCE_MEMORY) {
        uint8_t digest[CRT_SHA256_LEN];
        int code = crt_sha256(body->memory, digest);
        if (code) {
            return code;
        }
        crt_hex_encode(crt_bytes_of(digest, sizeof(digest)), s->payload_hex);
        s->payload_hash = crt_bytes_of(s->payload_hex, HEX_LEN);
    } else {
        return crt_fail(s->fault, AWS_AUTH_SIGNING_INVALID_CONFIGURATION,
                        "the body is not in memory, so its hash must be given");
    }
    return 0;
}

static int prepare(struct signing *s) {
    int code = check_config(s);
    if (!code) {
        code = format_date(s);
    }
    if (code) {
        return code;
    }
    s->in_query = s->config->signature_type == CRT_SIGN_QUERY;
    s->lattice = s->in_query && crt_bytes_eq(s->config->service, crt_bytes_str(LATTICE_SERVICE));
    s->token = s->credentials->session_token;
    s->token_name = crt_bytes_str(s->config->algorithm == CRT_SIGN_V4_S3EXPRESS ? "X-Amz-S3session-Token"
                                                                                : "X-Amz-Security-Token");
    code = choose_payload_hash(s);
    if (code) {
        return code;
    }
    code = build_credential(s);
    if (code) {
        return code;
    }
    code = crt_signing_split_target(crt_http_message_path(s->message), &s->path, &s->query);
    return code ? crt_fail(s->fault, code, "the request has no path") : 0;
}

/* ---- headers ---- */

static void push(struct signing *s, size_t *count, crt_bytes name, crt_bytes value) {
    crt_signing_pair *pair = &s->pairs[*count];
    pair->name = name;
    pair->value = value;
    pair->order = *count;
    (*count)++;
}

static int collect_headers(struct signing *s) {
    const crt_signing_config *config = s->config;
    const crt_http_headers *headers = crt_http_message_headers(s->message);
    size_t total = crt_http_headers_count(headers);
    size_t count = 0;
    for (size_t i = 0; i < total; i++) {
        crt_http_header header = crt_http_headers_at(headers, i);
        if (is_signers_header(header.name, config->algorithm)) {
            return crt_fail(s->fault, AWS_AUTH_SIGNING_ILLEGAL_REQUEST_HEADER,
                            "the signer sets the header '%.*s' itself; remove it from the request",
                            (int)header.name.len, (const char *)header.name.ptr);
        }
        bool wanted = !config->should_sign || config->should_sign(config->should_sign_user, header.name);
        if (wanted && !is_skipped(header.name)) {
            push(s, &count, header.name, header.value);
        }
    }
    if (s->in_query) {
        if (s->lattice) {
            push(s, &count, crt_bytes_str(CONTENT_SHA256), s->payload_hash);
        }
    } else {
        if (s->token.len && !config->omit_session_token) {
            push(s, &count, s->token_name, s->token);
        }
        push(s, &count, crt_bytes_str("X-Amz-Date"), crt_bytes_of(s->date_time, DATE_TIME_LEN));
        if (config->add_content_sha256) {
            push(s, &count, crt_bytes_str(CONTENT_SHA256), s->payload_hash);
        }
    }
    return crt_signing_canonical_headers(&s->headers, &s->names, s->pairs, count);
}

/* ---- query ---- */

/* Adds a parameter of ours to the pairs and to what is appended to the path. */
static void push_parameter(struct signing *s, size_t *count, crt_bytes name, crt_bytes value, bool is_signed) {
    size_t start = s->text.end;
    crt_signing_encode(&s->text, value, false);
    crt_bytes encoded = crt_bytes_of(s->text.ptr + start, s->text.end - start);
    if (is_signed) {
        push(s, count, name, encoded);
    }
    /* Room was reserved by collect_query. */
    if (s->added.end) {
        s->added.ptr[s->added.end++] = '&';
    }
    append(&s->added, name);
    s->added.ptr[s->added.end++] = '=';
    append(&s->added, encoded);
}

static void push_own_parameters(struct signing *s, size_t *count) {
    char expires[24];
    push_parameter(s, count, crt_bytes_str("X-Amz-Algorithm"), crt_bytes_str(ALGORITHM), true);
    push_parameter(s, count, crt_bytes_str("X-Amz-Credential"), crt_buf_view(&s->credential), true);
    push_parameter(s, count, crt_bytes_str("X-Amz-Date"), crt_bytes_of(s->date_time, DATE_TIME_LEN), true);
    push_parameter(s, count, crt_bytes_str("X-Amz-SignedHeaders"), crt_buf_view(&s->names), true);
    if (s->config->expires_secs) {
        int len = snprintf(expires, sizeof(expires), "%llu", (unsigned long long)s->config->expires_secs);
        push_parameter(s, count, crt_bytes_str("X-Amz-Expires"), crt_bytes_of(expires, (size_t)len), true);
    }
    if (s->token.len) {
        push_parameter(s, count, s->token_name, s->token, !s->config->omit_session_token);
    }
}

static int collect_query(struct signing *s, size_t *count) {
    size_t own = s->in_query ? crt_buf_len(&s->credential) + crt_buf_len(&s->names) + s->token.len + 128 : 0;
    /* Once, so that views into the buffer stay put. */
    int code = crt_buf_reserve(&s->text, crt_signing_encoded_max(s->query.len + own));
    if (code) {
        return code;
    }
    code = crt_signing_parse_query(&s->text, s->query, s->pairs, count);
    if (code == AWS_AUTH_SIGNING_ILLEGAL_REQUEST_QUERY_PARAM) {
        return crt_fail(s->fault, code, "the signer sets the query parameter '%.*s' itself; remove it",
                        (int)s->pairs[*count].name.len, (const char *)s->pairs[*count].name.ptr);
    }
    if (code) {
        return crt_fail(s->fault, code, "a percent escape in the query is not two hex digits");
    }
    if (!s->in_query) {
        return 0;
    }
    code = crt_buf_reserve(&s->added, crt_signing_encoded_max(own) + 256);
    if (code) {
        return code;
    }
    push_own_parameters(s, count);
    return 0;
}

/* ---- signature ---- */

static int build_canonical_request(struct signing *s) {
    crt_buf *out = &s->request;
    crt_bytes method = crt_http_message_method(s->message);
    size_t query_count = 0;
    int code = collect_headers(s);
    if (!code) {
        code = collect_query(s, &query_count);
    }
    if (!code) {
        code = crt_buf_reserve(out, method.len + 3 * s->path.len + crt_buf_len(&s->text) + 8 * query_count +
                                        crt_buf_len(&s->headers) + crt_buf_len(&s->names) + s->payload_hash.len + 256);
    }
    if (code) {
        return code;
    }
    append(out, method);
    append_str(out, "\n");
    code = crt_signing_canonical_path(out, s->path, s->config->normalize_path, s->config->double_uri_encode);
    if (!code) {
        code = append_str(out, "\n");
    }
    if (!code) {
        code = crt_signing_canonical_query(out, s->pairs, query_count);
    }
    if (!code) {
        code = append_str(out, "\n");
    }
    if (!code) {
        code = append(out, crt_buf_view(&s->headers));
    }
    if (!code) {
        code = append_str(out, "\n");
    }
    if (!code) {
        code = append(out, crt_buf_view(&s->names));
    }
    if (!code) {
        code = append_str(out, "\n");
    }
    return code ? code : append(out, s->payload_hash);
}

static int compute_signature(struct signing *s) {
    uint8_t digest[CRT_SHA256_LEN];
    uint8_t key[CRT_SHA256_LEN];
    char hex[HEX_LEN];
    int code = crt_sha256(crt_buf_view(&s->request), digest);
    if (code) {
        return code;
    }
    crt_hex_encode(crt_bytes_of(digest, sizeof(digest)), hex);
    crt_buf_clear(&s->request);
    code = crt_buf_reserve(&s->request, sizeof(ALGORITHM) + DATE_TIME_LEN + s->scope.len + HEX_LEN + 4);
    if (code) {
        return code;
    }
    append_str(&s->request, ALGORITHM "\n");
    append(&s->request, crt_bytes_of(s->date_time, DATE_TIME_LEN));
    append_str(&s->request, "\n");
    append(&s->request, s->scope);
    append_str(&s->request, "\n");
    append(&s->request, crt_bytes_of(hex, HEX_LEN));
    code = crt_signing_key(s->credentials, s->date_time, s->config->region, s->config->service, key);
    if (!code) {
        code = crt_hmac_sha256(crt_bytes_of(key, sizeof(key)), crt_buf_view(&s->request), digest);
    }
    crt_wipe(key, sizeof(key));
    if (!code) {
        crt_hex_encode(crt_bytes_of(digest, sizeof(digest)), s->signature);
    }
    return code;
}

/* ---- result ---- */

static int build_authorization(struct signing *s) {
    crt_buf *out = &s->text;
    crt_buf_clear(out);
    int code = crt_buf_reserve(out, crt_buf_len(&s->credential) + crt_buf_len(&s->names) + HEX_LEN + 96);
    if (code) {
        return code;
    }
    append_str(out, ALGORITHM " Credential=");
    append(out, crt_buf_view(&s->credential));
    append_str(out, ", SignedHeaders=");
    append(out, crt_buf_view(&s->names));
    append_str(out, ", Signature=");
    return append(out, crt_bytes_of(s->signature, HEX_LEN));
}

static int apply_headers(struct signing *s) {
    crt_http_headers *headers = crt_http_message_headers(s->message);
    struct {
        crt_bytes name;
        crt_bytes value;
    } added[4];
    size_t count = 0;
    int code = build_authorization(s);
    if (code) {
        return code;
    }
#define ADD(header_name, header_value)                                                                        \
    (added[count].name = (header_name), added[count].value = (header_value), count++)
    if (s->token.len) {
        ADD(s->token_name, s->token);
    }
    ADD(crt_bytes_str("X-Amz-Date"), crt_bytes_of(s->date_time, DATE_TIME_LEN));
    if (s->config->add_content_sha256) {
        ADD(crt_bytes_str(CONTENT_SHA256), s->payload_hash);
    }
    ADD(crt_bytes_str("Authorization"), crt_buf_view(&s->text));
#undef ADD
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

static int apply_query(struct signing *s) {
    crt_buf *out = &s->text;
    crt_bytes target = crt_http_message_path(s->message);
    const char *joint = s->query.len ? "&" : memchr(target.ptr, '?', target.len) ? "" : "?";
    crt_buf_clear(out);
    int code = crt_buf_reserve(out, target.len + crt_buf_len(&s->added) + HEX_LEN + 32);
    if (code) {
        return code;
    }
    append(out, target);
    append_str(out, joint);
    append(out, crt_buf_view(&s->added));
    append_str(out, "&X-Amz-Signature=");
    append(out, crt_bytes_of(s->signature, HEX_LEN));
    crt_http_headers *headers = crt_http_message_headers(s->message);
    if (s->lattice) {
        code = crt_http_headers_add(headers, crt_bytes_str(CONTENT_SHA256), s->payload_hash);
    }
    if (!code) {
        code = crt_http_message_set_path(s->message, crt_buf_view(out));
        if (code && s->lattice) {
            crt_http_headers_remove(headers, crt_bytes_str(CONTENT_SHA256));
        }
    }
    return code;
}

static int allocate_pairs(struct signing *s) {
    size_t headers = crt_http_headers_count(crt_http_message_headers(s->message));
    size_t parameters = crt_signing_query_max(s->query);
    size_t needed = (headers > parameters ? headers : parameters) + OWN_PAIRS;
    s->pairs = needed <= INLINE_PAIRS ? s->inline_pairs : crt_malloc(needed * sizeof(*s->pairs));
    return s->pairs ? 0 : AWS_ERROR_OOM;
}

int crt_sign_message(crt_http_message *message, const crt_signing_config *config, const crt_credentials *credentials,
                     crt_fault *fault) {
    struct signing s = {.message = message, .config = config, .credentials = credentials, .fault = fault};
    fault->code = 0;
    fault->detail[0] = '\0';
    int code = prepare(&s);
    if (!code) {
        code = allocate_pairs(&s);
    }
    if (!code) {
        code = build_canonical_request(&s);
    }
    if (!code) {
        code = compute_signature(&s);
    }
    if (!code) {
        code = s.in_query ? apply_query(&s) : apply_headers(&s);
    }
    if (s.pairs != s.inline_pairs) {
        crt_free(s.pairs);
    }
    crt_buf_free(&s.credential);
    crt_buf_free(&s.names);
    crt_buf_free(&s.headers);
    crt_buf_free(&s.text);
    crt_buf_free(&s.request);
    crt_buf_free(&s.added);
    fault->code = code;
    return code;
}
