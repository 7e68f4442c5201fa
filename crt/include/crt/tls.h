/*
 * TLS: contexts, per-connection options and the seam behind which the stacks stand.
 *
 * A provider is pure protocol: it moves bytes only through the two transport functions it is given.
 */
#ifndef CRT_TLS_H
#define CRT_TLS_H

#include "crt/base.h"
#include "crt/status.h"

CRT_EXTERN_C_BEGIN

typedef struct crt_tls_ctx crt_tls_ctx;

enum crt_tls_version {
    CRT_TLS_SSLV3 = 0,
    CRT_TLS_1_0 = 1,
    CRT_TLS_1_1 = 2,
    CRT_TLS_1_2 = 3,
    CRT_TLS_1_3 = 4,
    CRT_TLS_DEFAULT = 128,
};

enum crt_tls_cipher_pref {
    CRT_TLS_CIPHERS_DEFAULT = 0,
    CRT_TLS_CIPHERS_PQ_1_0_2021_05 = 6,
    CRT_TLS_CIPHERS_PQ_DEFAULT = 8,
    CRT_TLS_CIPHERS_1_2_2025_07 = 9,
};

typedef struct crt_tls_ctx_options {
    int min_version; /* enum crt_tls_version */
    int cipher_pref; /* enum crt_tls_cipher_pref */
    bool verify_peer;
    bool no_revocation;
    crt_bytes ca_pem;   /* replaces the system's trust store when either is given */
    const char *ca_dir; /* NULL: not given */
    crt_bytes cert_pem; /* client certificate chain and key, both or neither */
    crt_bytes key_pem;
    const char *alpn; /* names joined with ';', NULL or "" for none */
    /* Other sources of the client's identity; the first that is given counts, cert_pem before them. */
    crt_bytes pkcs12;               /* archive with certificate, key and perhaps a chain (RFC 7292) */
    const char *pkcs12_password;    /* UTF-8; NULL is "" */
    const char *windows_store_path; /* "CurrentUser\\MY\\<thumbprint>" */
    const struct crt_pkcs11_options *pkcs11; /* the key stays in a token (crt/pkcs11.h); comes after cert_pem; at most
                                                TLS 1.2 */
} crt_tls_ctx_options;

/*
 * Parses and checks everything now, but for the trust roots of the system: whether there are any is checked, and
 * they are loaded once per process on a thread of their own, for which handshakes wait.
 */
CRT_FN(int, crt_tls_ctx_new, (const crt_tls_ctx_options *options, crt_tls_ctx **out, crt_fault *fault));
CRT_FN(crt_tls_ctx *, crt_tls_ctx_acquire, (crt_tls_ctx *ctx));
CRT_FN(void, crt_tls_ctx_release, (crt_tls_ctx *ctx));
CRT_FN(bool, crt_tls_cipher_pref_supported, (int cipher_pref));

/* Per connection; borrowed by the call it is given to. */
typedef struct crt_tls_options {
    crt_tls_ctx *ctx;
    const char *server_name; /* SNI and host check; NULL: the connect call fills in its host */
    const char *alpn;        /* overrides the context's when not NULL */
    uint32_t timeout_ms;     /* 0: 10,000 */
} crt_tls_options;

/* ---- the provider seam ---- */

/* Result of a provider step. Errors are negative AWS codes, so that a byte count fits the same type. */
enum { CRT_TLS_WANT_READ = -1, CRT_TLS_WANT_WRITE = -2, CRT_TLS_EOF = -3 };

/* Reads or writes ciphertext without blocking: bytes moved, 0 = end of stream (recv only),
   CRT_TLS_WANT_READ / CRT_TLS_WANT_WRITE, or -(AWS error code) below -100. */
typedef struct crt_tls_transport {
    ptrdiff_t (*recv)(void *user, uint8_t *data, size_t len);
    ptrdiff_t (*send)(void *user, const uint8_t *data, size_t len);
    void *user;
} crt_tls_transport;

typedef struct crt_tls_session crt_tls_session;

typedef struct crt_tls_provider {
    const char *name; /* "openssl", "s2n", "schannel", "secure-transport" */
    int (*ctx_new)(const crt_tls_ctx_options *options, void **ctx, crt_fault *fault);
    void (*ctx_free)(void *ctx);
    int (*session_new)(void *ctx, const crt_tls_options *options, const crt_tls_transport *transport,
                       crt_tls_session **out, crt_fault *fault);
    void (*session_free)(crt_tls_session *session);
    /* 0 done, CRT_TLS_WANT_*, or -(code) with fault filled. */
    ptrdiff_t (*handshake)(crt_tls_session *session, crt_fault *fault);
    /* Plain bytes moved (> 0), CRT_TLS_WANT_*, CRT_TLS_EOF after close_notify, or -(code). */
    ptrdiff_t (*read)(crt_tls_session *session, uint8_t *data, size_t len, crt_fault *fault);
    ptrdiff_t (*write)(crt_tls_session *session, const uint8_t *data, size_t len, crt_fault *fault);
    void (*shutdown)(crt_tls_session *session); /* close_notify, best effort */
    /* Negotiated ALPN name; empty view when none. */
    crt_bytes (*alpn)(const crt_tls_session *session);
    bool (*cipher_pref_supported)(int cipher_pref);
    /*
     * The slow part of a context: the system's trust roots. While ctx_pending says true no session is made, and
     * ctx_prepare is called on a thread that may block. Then ctx_pending says false, or no session ever is made
     * with the context: 0 or a code with fault filled. Both NULL: there is no slow part.
     */
    bool (*ctx_pending)(const void *ctx);
    int (*ctx_prepare)(void *ctx, crt_fault *fault);
} crt_tls_provider;

/* The provider of this build: openssl unless AWS_CRT_TLS chooses another that was built in. */
CRT_FN(const crt_tls_provider *, crt_tls_provider_get, (void));
/* Provider-side object of a context. */
CRT_FN(void *, crt_tls_ctx_native, (crt_tls_ctx *ctx));

CRT_EXTERN_C_END
#endif
