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
    credentials->ec_key = NULL;
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
    crt_ec_free(credentials->ec_key);
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

/* ---- the key of SigV4A ---- */

#if defined(_MSC_VER)
static crt_ec *load_key(crt_ec *volatile *place) {
    return _InterlockedCompareExchangePointer((void *volatile *)place, NULL, NULL);
}
static bool offer_key(crt_ec *volatile *place, crt_ec *key) {
    return _InterlockedCompareExchangePointer((void *volatile *)place, key, NULL) == NULL;
}
#else
static crt_ec *load_key(crt_ec *volatile *place) {
    return __atomic_load_n(place, __ATOMIC_ACQUIRE);
}
static bool offer_key(crt_ec *volatile *place, crt_ec *key) {
    crt_ec *none = NULL;
    return __atomic_compare_exchange_n(place, &none, key, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}
#endif

int crt_credentials_ec_key(const crt_credentials *credentials, crt_ec **out) {
    crt_ec *volatile *place = &((crt_credentials *)(uintptr_t)credentials)->ec_key;
    *out = load_key(place);
    if (*out) {
        return 0;
    }
    crt_ec *key;
    int code = crt_sigv4a_derive(credentials, &key);
    if (code) {
        return code;
    }
    if (!offer_key(place, key)) {
        crt_ec_free(key); /* another thread was first */
    }
    *out = load_key(place);
    return 0;
}
