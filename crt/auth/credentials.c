#include "signing.h"

#include "crt/memory.h"

void crt_wipe(void *memory, size_t len) {
    volatile uint8_t *p = memory;
    while (len--) {
        *p++ = 0;
    }
}

static crt_bytes place(crt_credentials *credentials, size_t *at, crt_bytes value) {
    uint8_t *to = credentials->text + *at;
    if (value.len) {
        memcpy(to, value.ptr, value.len);
    }
    *at += value.len;
    return crt_bytes_of(to, value.len);
}

int crt_credentials_new(crt_bytes access_key_id, crt_bytes secret_access_key, crt_bytes session_token,
                        uint64_t expires_unix, crt_credentials **out) {
    if (!access_key_id.len || !secret_access_key.len) {
        return AWS_ERROR_INVALID_ARGUMENT;
    }
    size_t text_len = access_key_id.len + secret_access_key.len + session_token.len;
    crt_credentials *credentials = crt_malloc(sizeof(*credentials) + text_len);
    if (!credentials) {
        return AWS_ERROR_OOM;
    }
    size_t at = 0;
    crt_ref_init(&credentials->refs);
    credentials->text_len = text_len;
    credentials->access_key_id = place(credentials, &at, access_key_id);
    credentials->secret_access_key = place(credentials, &at, secret_access_key);
    credentials->session_token = place(credentials, &at, session_token);
    credentials->expires_unix = expires_unix;
    int code = crt_sha256(secret_access_key, credentials->fingerprint);
    if (code) {
        crt_credentials_release(credentials);
        return code;
    }
    *out = credentials;
    return 0;
}

void crt_credentials_acquire(crt_credentials *credentials) {
    crt_ref_inc(&credentials->refs);
}

void crt_credentials_release(crt_credentials *credentials) {
    if (!credentials || !crt_ref_dec(&credentials->refs)) {
        return;
    }
    crt_wipe(credentials->text, credentials->text_len);
    crt_wipe(credentials->fingerprint, sizeof(credentials->fingerprint));
    crt_free(credentials);
}

crt_bytes crt_credentials_access_key_id(const crt_credentials *credentials) {
    return credentials->access_key_id;
}

crt_bytes crt_credentials_secret_access_key(const crt_credentials *credentials) {
    return credentials->secret_access_key;
}

crt_bytes crt_credentials_session_token(const crt_credentials *credentials) {
    return credentials->session_token;
}

uint64_t crt_credentials_expires(const crt_credentials *credentials) {
    return credentials->expires_unix;
}
