/*
 * Signatures of what follows a signed request, each over the one before: chunks of an "aws-chunked" body and its
 * trailing headers ("Transferring payload in multiple chunks", Amazon S3 API Reference), events of an event-stream.
 */
#include "signing.h"

#include "crt/memory.h"

struct crt_chunk_signer {
    crt_signing_config config; /* region and service are views of the text below */
    crt_credentials *credentials;
    crt_signer signer;
    char previous[CRT_SIGNATURE_MAX];
    size_t previous_len;
    uint8_t text[];
};

static crt_bytes copy_of(crt_bytes value, uint8_t **at) {
    crt_bytes copy = crt_bytes_of(*at, value.len);
    memcpy(*at, value.ptr, value.len);
    *at += value.len;
    return copy;
}

static crt_bytes without_filling(crt_bytes signature) {
    while (signature.len && signature.ptr[signature.len - 1] == '*') {
        signature.len--;
    }
    return signature;
}

static int check_previous(crt_bytes previous, crt_fault *fault) {
    if (!previous.len) {
        return crt_fail(fault, AWS_AUTH_SIGNING_MISSING_PREVIOUS_SIGNATURE, "the request's signature is not given");
    }
    if (previous.len > CRT_SIGNATURE_MAX) {
        return crt_fail(fault, AWS_AUTH_SIGNING_INVALID_CONFIGURATION, "the previous signature has %zu characters",
                        previous.len);
    }
    return 0;
}

int crt_chunk_signer_new(const crt_signing_config *config, crt_credentials *credentials, crt_bytes previous,
                         crt_chunk_signer **out, crt_fault *fault) {
    *out = NULL;
    fault->code = 0;
    fault->detail[0] = '\0';
    previous = without_filling(previous);
    if (check_previous(previous, fault)) {
        return fault->code;
    }
    size_t text_len = config->region.len + config->service.len;
    crt_chunk_signer *s = crt_calloc(1, sizeof(*s) + text_len);
    if (!s) {
        return fault->code = AWS_ERROR_OOM;
    }
    uint8_t *at = s->text;
    s->config.algorithm = config->algorithm;
    s->config.signature_type = CRT_SIGN_HEADERS;
    s->config.date_unix = config->date_unix;
    s->config.region = config->region.len ? copy_of(config->region, &at) : config->region;
    s->config.service = config->service.len ? copy_of(config->service, &at) : config->service;
    memcpy(s->previous, previous.ptr, previous.len);
    s->previous_len = previous.len;
    fault->code = crt_signer_init(&s->signer, &s->config, credentials, fault);
    if (fault->code) {
        crt_chunk_signer_free(s);
        return fault->code;
    }
    s->credentials = credentials;
    crt_credentials_acquire(credentials);
    *out = s;
    return 0;
}

void crt_chunk_signer_free(crt_chunk_signer *signer) {
    if (!signer) {
        return;
    }
    crt_signer_clear(&signer->signer);
    crt_credentials_release(signer->credentials);
    crt_free(signer);
}

/* ---- the string to sign ---- */

/* Algorithm with its suffix, date, scope, previous signature, then one or two hashes: a line each. */
static int sign_lines(crt_chunk_signer *s, const char *suffix, crt_bytes first, crt_bytes second) {
    const crt_signer *signer = &s->signer;
    crt_buf text = CRT_BUF_INIT;
    int code = crt_buf_reserve(&text, signer->algorithm.len + strlen(suffix) + CRT_DATE_TIME_LEN + signer->scope.len +
                                          s->previous_len + first.len + second.len + 8);
    if (code) {
        return code;
    }
    crt_signing_put(&text, signer->algorithm);
    crt_signing_put_str(&text, suffix);
    crt_signing_put_str(&text, "\n");
    crt_signing_put(&text, crt_bytes_of(signer->date_time, CRT_DATE_TIME_LEN));
    crt_signing_put_str(&text, "\n");
    crt_signing_put(&text, signer->scope);
    crt_signing_put_str(&text, "\n");
    crt_signing_put(&text, crt_bytes_of(s->previous, s->previous_len));
    crt_signing_put_str(&text, "\n");
    crt_signing_put(&text, first);
    if (second.len) {
        crt_signing_put_str(&text, "\n");
        crt_signing_put(&text, second);
    }
    code = crt_signer_sign(signer, crt_buf_view(&text), s->previous, &s->previous_len);
    crt_buf_free(&text);
    return code;
}

/* Hands the new signature out. The filling is for the wire alone: what comes next is signed over the rest. */
static void give(const crt_chunk_signer *s, char signature[CRT_SIGNATURE_MAX], size_t *len) {
    memcpy(signature, s->previous, s->previous_len);
    *len = s->previous_len;
    if (s->config.algorithm == CRT_SIGN_V4_ASYMMETRIC) {
        memset(signature + *len, '*', CRT_SIGNATURE_MAX - *len);
        *len = CRT_SIGNATURE_MAX;
    }
}

/* ---- chunks and trailer ---- */

int crt_sign_chunk(crt_chunk_signer *signer, const uint8_t sha256[32], char signature[CRT_SIGNATURE_MAX],
                   size_t *len) {
    char hex[CRT_SHA256_HEX_LEN];
    crt_hex_encode(crt_bytes_of(sha256, CRT_SHA256_LEN), hex);
    int code = sign_lines(signer, "-PAYLOAD", crt_bytes_str(CRT_EMPTY_SHA256), crt_bytes_of(hex, sizeof(hex)));
    if (!code) {
        give(signer, signature, len);
    }
    return code;
}

static int hash_trailer(const crt_http_headers *trailer, char hex[CRT_SHA256_HEX_LEN]) {
    crt_buf lines = CRT_BUF_INIT, names = CRT_BUF_INIT;
    size_t count = crt_http_headers_count(trailer);
    crt_signing_pair *pairs = crt_malloc((count + 1) * sizeof(*pairs));
    if (!pairs) {
        return AWS_ERROR_OOM;
    }
    for (size_t i = 0; i < count; i++) {
        crt_http_header header = crt_http_headers_at(trailer, i);
        pairs[i] = (crt_signing_pair){header.name, header.value, i};
    }
    int code = crt_signing_canonical_headers(&lines, &names, pairs, count);
    if (!code) {
        code = crt_sha256_hex(crt_buf_view(&lines), hex);
    }
    crt_buf_free(&names);
    crt_buf_free(&lines);
    crt_free(pairs);
    return code;
}

int crt_sign_trailer(crt_chunk_signer *signer, const crt_http_headers *trailer, char signature[CRT_SIGNATURE_MAX],
                     size_t *len) {
    char hex[CRT_SHA256_HEX_LEN];
    int code = hash_trailer(trailer, hex);
    if (!code) {
        code = sign_lines(signer, "-TRAILER", crt_bytes_of(hex, sizeof(hex)), crt_bytes_of(NULL, 0));
    }
    if (!code) {
        give(signer, signature, len);
    }
    return code;
}

/* ---- events ---- */

/* Events have dates of their own; with the day the key changes, too. */
static int move_to(crt_chunk_signer *s, int64_t seconds) {
    crt_fault fault;
    crt_signer moved;
    int64_t before = s->config.date_unix;
    if (before == seconds) {
        return 0;
    }
    s->config.date_unix = seconds;
    int code = crt_signer_init(&moved, &s->config, s->credentials, &fault);
    if (code) {
        s->config.date_unix = before;
        crt_signer_clear(&moved);
        return code;
    }
    crt_signer_clear(&s->signer);
    s->signer = moved;
    return 0;
}

/* Hash of the header ":date" as it is encoded: name with its length, type timestamp, milliseconds. */
static int hash_date_header(int64_t date_ms, char hex[CRT_SHA256_HEX_LEN]) {
    uint8_t header[15] = {5, ':', 'd', 'a', 't', 'e', 8};
    for (int i = 0; i < 8; i++) {
        header[7 + i] = (uint8_t)((uint64_t)date_ms >> (56 - 8 * i));
    }
    return crt_sha256_hex(crt_bytes_of(header, sizeof(header)), hex);
}

static uint8_t digit_of(char hex) {
    return (uint8_t)(hex <= '9' ? hex - '0' : hex - 'a' + 10);
}

int crt_sign_event(crt_chunk_signer *signer, int64_t date_ms, const uint8_t sha256[32], uint8_t signature[32]) {
    char date_hex[CRT_SHA256_HEX_LEN], payload_hex[CRT_SHA256_HEX_LEN];
    if (signer->config.algorithm != CRT_SIGN_V4) {
        return AWS_AUTH_SIGNING_UNSUPPORTED_SIGNATURE_TYPE;
    }
    int code = hash_date_header(date_ms, date_hex);
    if (!code) {
        code = move_to(signer, date_ms / 1000 - (date_ms % 1000 < 0));
    }
    if (code) {
        return code;
    }
    crt_hex_encode(crt_bytes_of(sha256, CRT_SHA256_LEN), payload_hex);
    code = sign_lines(signer, "-PAYLOAD", crt_bytes_of(date_hex, sizeof(date_hex)),
                      crt_bytes_of(payload_hex, sizeof(payload_hex)));
    for (size_t i = 0; !code && i < CRT_SHA256_LEN; i++) {
        signature[i] = (uint8_t)(digit_of(signer->previous[2 * i]) << 4 | digit_of(signer->previous[2 * i + 1]));
    }
    return code;
}
