/*
 * AWS Signature Version 4 ("Signing AWS API requests", AWS General Reference) and its relatives: SigV4A, S3 Express,
 * presigned URLs, chunks and events. Pure computation.
 */
#ifndef CRT_AUTH_H
#define CRT_AUTH_H

#include "crt/http.h"

CRT_EXTERN_C_BEGIN

/* Immutable, shared between threads. Empty views: absent. */
typedef struct crt_credentials crt_credentials;
CRT_HTTP_FN(int, crt_credentials_new,
            (crt_bytes access_key_id, crt_bytes secret_access_key, crt_bytes session_token,
             uint64_t expires_unix /* UINT64_MAX: never */, crt_credentials **out));
CRT_HTTP_FN(void, crt_credentials_acquire, (crt_credentials *credentials));
CRT_HTTP_FN(void, crt_credentials_release, (crt_credentials *credentials));
CRT_HTTP_FN(crt_bytes, crt_credentials_access_key_id, (const crt_credentials *credentials));
CRT_HTTP_FN(crt_bytes, crt_credentials_secret_access_key, (const crt_credentials *credentials));
CRT_HTTP_FN(crt_bytes, crt_credentials_session_token, (const crt_credentials *credentials));
CRT_HTTP_FN(uint64_t, crt_credentials_expires, (const crt_credentials *credentials));

enum crt_signing_algorithm { CRT_SIGN_V4 = 0, CRT_SIGN_V4_ASYMMETRIC = 1, CRT_SIGN_V4_S3EXPRESS = 2 };
enum crt_signature_type { CRT_SIGN_HEADERS = 0, CRT_SIGN_QUERY = 1 };

typedef struct crt_signing_config {
    int algorithm;
    int signature_type;
    crt_bytes region; /* V4_ASYMMETRIC: the region set, e.g. "us-*" */
    crt_bytes service;
    int64_t date_unix; /* seconds */
    bool double_uri_encode;
    bool normalize_path;
    bool omit_session_token;
    bool add_content_sha256; /* header x-amz-content-sha256 */
    crt_bytes body_value;    /* payload hash used verbatim; empty: of no body or of one in memory it is computed */
    uint64_t expires_secs;   /* query signing; 0: absent */
    /* May be NULL: all headers (the skip list is always applied). It must leave the message alone. */
    bool (*should_sign)(void *user, crt_bytes name);
    void *should_sign_user;
} crt_signing_config;

/*
 * Signs in place: appends headers (or query parameters). On failure the message is unmodified.
 * Derived signing keys are cached per (secret, date, region, service). Thread-safe for different messages.
 */
CRT_HTTP_FN(int, crt_sign_message,
            (crt_http_message *message, const crt_signing_config *config, const crt_credentials *credentials,
             crt_fault *fault));

/* Longest signature in hexadecimal: an ECDSA signature on P-256 in DER has up to 72 bytes. */
#define CRT_SIGNATURE_MAX 144

/* The signature that crt_sign_message put into a message, a view into it; empty when there is none. */
CRT_HTTP_FN(crt_bytes, crt_message_signature, (const crt_http_message *message));

/* ---- presigned URLs, many of one moment ---- */

typedef struct crt_presigner crt_presigner;

/*
 * Config (its signature_type must be CRT_SIGN_QUERY), credentials and headers are borrowed until the presigner is
 * freed. `headers` are signed with each URL, and so must be sent with it; should_sign is asked about them once, here.
 */
CRT_HTTP_FN(int, crt_presigner_new,
            (const crt_signing_config *config, const crt_credentials *credentials, const crt_http_header *headers,
             size_t count, crt_presigner **out, crt_fault *fault));
CRT_HTTP_FN(void, crt_presigner_free, (crt_presigner *presigner));
/*
 * Appends the signed form of `url`, which is absolute: "https://host/path?query". The host, without the scheme's own
 * port, is signed as the header Host unless `headers` has one. The payload hash is the config's, or that of no body.
 * AWS_ERROR_MALFORMED_INPUT_STRING: no such URL, or one with bytes that have to be percent-encoded. Nothing is
 * appended on failure. One thread at a time.
 */
CRT_HTTP_FN(int, crt_presign,
            (crt_presigner *presigner, crt_bytes method, crt_bytes url, crt_buf *out, crt_fault *fault));

/* ---- what follows a signed request: each signature covers the one before ---- */

typedef struct crt_chunk_signer crt_chunk_signer;

/*
 * `previous` is the signature of the request, in hexadecimal; without it
 * AWS_AUTH_SIGNING_MISSING_PREVIOUS_SIGNATURE. What is needed of config is copied, the credentials are acquired.
 */
CRT_HTTP_FN(int, crt_chunk_signer_new,
            (const crt_signing_config *config, crt_credentials *credentials, crt_bytes previous,
             crt_chunk_signer **out, crt_fault *fault));
CRT_HTTP_FN(void, crt_chunk_signer_free, (crt_chunk_signer *signer));
/*
 * Of a chunk of an "aws-chunked" body, whose SHA-256 is given, and of the trailing headers behind the last chunk.
 * `signature` gets *len characters; those of V4_ASYMMETRIC are filled up with '*' to CRT_SIGNATURE_MAX, so that their
 * length is known before. A failure leaves the chain as it was.
 */
CRT_HTTP_FN(int, crt_sign_chunk,
            (crt_chunk_signer *signer, const uint8_t sha256[32], char signature[CRT_SIGNATURE_MAX], size_t *len));
CRT_HTTP_FN(int, crt_sign_trailer,
            (crt_chunk_signer *signer, const crt_http_headers *trailer, char signature[CRT_SIGNATURE_MAX],
             size_t *len));
/*
 * Of an event-stream message with the header ":date" `date_ms` (milliseconds since 1970) that carries another, whose
 * SHA-256 is given. The signature is what the header ":chunk-signature" holds. V4 only, else
 * AWS_AUTH_SIGNING_UNSUPPORTED_SIGNATURE_TYPE.
 */
CRT_HTTP_FN(int, crt_sign_event,
            (crt_chunk_signer *signer, int64_t date_ms, const uint8_t sha256[32], uint8_t signature[32]));

CRT_EXTERN_C_END
#endif
