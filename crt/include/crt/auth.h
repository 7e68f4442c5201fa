/*
 * AWS Signature Version 4 ("Signing AWS API requests", AWS General Reference): pure computation on a message.
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
    crt_bytes region;
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

CRT_EXTERN_C_END
#endif
