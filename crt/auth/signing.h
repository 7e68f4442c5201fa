/*
 * Private to crt/auth: the steps of a signature.
 *
 *   credentials.c   what signs
 *   signing_key.c   the HMAC key of a day, region and service, and the cache of such keys
 *   sigv4a.c        the EC key of SigV4A, derived from the credentials
 *   signer.c        what all signatures of one moment share: date, scope, key; text in, signature out
 *   canonical.c     the canonical form of path, query and headers
 *   request.c       the signature of one request, over the two above
 *   sigv4.c         ... put into a message
 *   presign.c       ... put into URLs, many at a time
 *   chunk.c         signatures of chunks, trailing headers and events, each over the one before
 */
#ifndef CRT_AUTH_SIGNING_H
#define CRT_AUTH_SIGNING_H

#include "crt/auth.h"
#include "crt/buffer.h"
#include "crt/crypto.h"
#include "crt/keys.h"

#define CRT_SHA256_LEN 32
#define CRT_SHA256_HEX_LEN 64
#define CRT_DATE_LEN 8       /* 20150830 */
#define CRT_DATE_TIME_LEN 16 /* 20150830T123600Z */

#define CRT_EMPTY_SHA256 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define CRT_CONTENT_SHA256 "x-amz-content-sha256"
#define CRT_REGION_SET "X-Amz-Region-Set"

/* ---- credentials.c ---- */

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

/* ---- sigv4a.c ---- */

/* The caller wipes the number. */
CRT_HIDDEN int crt_sigv4a_derive(const crt_credentials *credentials, uint8_t number[CRT_SHA256_LEN]);
/* Makes a candidate, big-endian, the private number it stands for; false: it stands for none. */
CRT_HIDDEN bool crt_sigv4a_private_number(uint8_t candidate[CRT_SHA256_LEN]);

/* ---- signing_key.c ---- */

/* HMAC("AWS4" + secret, date) -> region -> service -> "aws4_request", from the cache when it has it. What is given
   back is ready for the text to sign; the caller wipes it. */
CRT_HIDDEN int crt_signing_key(const crt_credentials *credentials, const char date[CRT_DATE_LEN], crt_bytes region,
                               crt_bytes service, crt_hmac *key);

/* ---- signer.c ---- */

typedef struct crt_signer {
    const crt_signing_config *config;
    const crt_credentials *credentials;
    crt_bytes algorithm;                 /* its name in the string to sign */
    char date_time[CRT_DATE_TIME_LEN];
    crt_bytes token_name;
    crt_bytes scope;                     /* 20150830/us-east-1/service/aws4_request */
    crt_buf credential;                  /* access key id, slash, scope */
    crt_hmac key;                        /* V4 */
    uint8_t ec_number[CRT_SHA256_LEN];   /* V4_ASYMMETRIC: the private number */
} crt_signer;

/* Checks the configuration and prepares; config and credentials are borrowed. Clear it also after a failure. */
CRT_HIDDEN int crt_signer_init(crt_signer *signer, const crt_signing_config *config,
                               const crt_credentials *credentials, crt_fault *fault);
CRT_HIDDEN void crt_signer_clear(crt_signer *signer);
/* Hexadecimal signature of a string to sign. */
CRT_HIDDEN int crt_signer_sign(const crt_signer *signer, crt_bytes text, char signature[CRT_SIGNATURE_MAX],
                               size_t *len);
CRT_HIDDEN int crt_sha256_hex(crt_bytes data, char hex[CRT_SHA256_HEX_LEN]);

/* Appends to a buffer that has room for it. */
static inline void crt_signing_put(crt_buf *out, crt_bytes bytes) {
    if (bytes.len) {
        memcpy(out->ptr + out->end, bytes.ptr, bytes.len);
        out->end += bytes.len;
    }
}
static inline void crt_signing_put_str(crt_buf *out, const char *text) {
    crt_signing_put(out, crt_bytes_str(text));
}

/* ---- canonical.c ---- */

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

/* ---- request.c ---- */

/* On the stack: enough for all but unusual requests. */
#define CRT_SIGNING_INLINE_PAIRS 48

/*
 * The signature of one request: start, add its headers, compute. All but the pairs may be used again for the next
 * request, which saves the allocations.
 */
typedef struct crt_signing_request {
    const crt_signer *signer;
    crt_fault *fault;
    bool in_query;
    bool lattice;           /* presigned for a service that wants the payload hash as a signed header */
    crt_bytes payload_hash; /* set by the caller before compute */
    crt_bytes path, query;
    crt_signing_pair *pairs;
    size_t capacity, count; /* of pairs; those of headers until they are written out */
    crt_buf names;          /* host;x-amz-date */
    crt_buf headers;        /* canonical headers */
    crt_buf text;           /* encoded query parameters; afterwards free for other use */
    crt_buf work;           /* canonical request, then the string to sign */
    crt_buf added;          /* query signing: what is appended to the query, without the signature */
    char signature[CRT_SIGNATURE_MAX];
    size_t signature_len;
    crt_signing_pair inline_pairs[CRT_SIGNING_INLINE_PAIRS];
} crt_signing_request;

/* Once. */
CRT_HIDDEN void crt_signing_request_init(crt_signing_request *r, const crt_signer *signer, crt_fault *fault);
CRT_HIDDEN void crt_signing_request_clear(crt_signing_request *r);
/* Per request; `headers` is how many may be added. */
CRT_HIDDEN int crt_signing_request_start(crt_signing_request *r, crt_bytes target, size_t headers);
/* Views are kept until compute. Headers that are not signed are dropped, those of the signer refused. */
CRT_HIDDEN int crt_signing_request_add(crt_signing_request *r, crt_bytes name, crt_bytes value);
CRT_HIDDEN int crt_signing_request_compute(crt_signing_request *r, crt_bytes method);
/* After compute: `target`, which is what start was given or an absolute form of it, with the signature. */
CRT_HIDDEN int crt_signing_append_query(const crt_signing_request *r, crt_bytes target, crt_buf *out);

#endif
