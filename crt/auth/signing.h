/*
 * Private to crt/auth: the steps of a signature, each a pure function over buffers.
 */
#ifndef CRT_AUTH_SIGNING_H
#define CRT_AUTH_SIGNING_H

#include "crt/auth.h"

#define CRT_SHA256_LEN 32

struct crt_credentials {
    crt_refcount refs;
    crt_bytes access_key_id;
    crt_bytes secret_access_key;
    crt_bytes session_token;
    uint64_t expires_unix;
    /* SHA-256 of the secret: names it in the cache of signing keys, which so never holds a secret itself. */
    uint8_t fingerprint[CRT_SHA256_LEN];
    size_t text_len;
    uint8_t text[];
};

/* memset that the compiler must not drop. */
CRT_HIDDEN void crt_wipe(void *memory, size_t len);

/* HMAC("AWS4" + secret, date) -> region -> service -> "aws4_request", from the cache when it has it. */
CRT_HIDDEN int crt_signing_key(const crt_credentials *credentials, const char date[8], crt_bytes region,
                               crt_bytes service, uint8_t key[CRT_SHA256_LEN]);

/* A header, or a query parameter in its encoded form. `order` keeps equal names in request order. */
typedef struct crt_signing_pair {
    crt_bytes name;
    crt_bytes value;
    size_t order;
} crt_signing_pair;

/* Path and query of a request target; scheme and authority of an absolute form are skipped.
   AWS_ERROR_MALFORMED_INPUT_STRING for an empty target. */
CRT_HIDDEN int crt_signing_split_target(crt_bytes target, crt_bytes *path, crt_bytes *query);
/* Room must have been reserved: crt_signing_encoded_max(text.len). */
CRT_HIDDEN void crt_signing_encode(crt_buf *out, crt_bytes text, bool keep_slash);
static inline size_t crt_signing_encoded_max(size_t len) {
    return 3 * len;
}
CRT_HIDDEN int crt_signing_canonical_path(crt_buf *out, crt_bytes path, bool normalize, bool encode);
/* Number of pairs that crt_signing_parse_query may write. */
CRT_HIDDEN size_t crt_signing_query_max(crt_bytes query);
/*
 * Decodes and re-encodes each parameter into `text` (room: 3 * query.len, so that views stay put) and lists them.
 * AWS_ERROR_MALFORMED_INPUT_STRING for a bad escape, AWS_AUTH_SIGNING_ILLEGAL_REQUEST_QUERY_PARAM for a
 * parameter that is the signer's own.
 */
CRT_HIDDEN int crt_signing_parse_query(crt_buf *text, crt_bytes query, crt_signing_pair *pairs, size_t *count);
/* Sorts and writes "key=value&key=value". */
CRT_HIDDEN int crt_signing_canonical_query(crt_buf *out, crt_signing_pair *pairs, size_t count);
/* Sorts and writes "name:value\n" per name to `out`, and "name;name" to `names`. */
CRT_HIDDEN int crt_signing_canonical_headers(crt_buf *out, crt_buf *names, crt_signing_pair *pairs, size_t count);

/* Compares names without ASCII case. */
CRT_HIDDEN bool crt_signing_same_name(crt_bytes a, const char *b);

#endif
