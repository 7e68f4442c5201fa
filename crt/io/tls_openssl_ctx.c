/* SSL_CTX from the options: versions, cipher suites, groups, trust, client identity. */
#include <openssl/err.h>

#include "pkcs11_openssl.h"
#include "tls_openssl.h"
#include "tls_provider.h"

/* TLS 1.3 suites, then TLS 1.2 and older by falling preference: AEAD with forward secrecy, CBC, RSA key exchange. */
#define SUITES_GCM_1_3 "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384"
#define SUITES_1_3 SUITES_GCM_1_3 ":TLS_CHACHA20_POLY1305_SHA256"
#define SUITES_GCM                                                                                              \
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"                                                \
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384"
#define SUITES_ALL                                                                                              \
    SUITES_GCM ":ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:"                                    \
               "ECDHE-ECDSA-AES128-SHA256:ECDHE-RSA-AES128-SHA256:"                                             \
               "ECDHE-ECDSA-AES256-SHA384:ECDHE-RSA-AES256-SHA384:"                                             \
               "ECDHE-ECDSA-AES128-SHA:ECDHE-RSA-AES128-SHA:ECDHE-ECDSA-AES256-SHA:ECDHE-RSA-AES256-SHA:"       \
               "AES128-GCM-SHA256:AES256-GCM-SHA384:AES128-SHA256:AES256-SHA256:AES128-SHA:AES256-SHA"

/*
 * "*" sends a key share at once, "?" leaves a group out that this OpenSSL lacks: syntax of OpenSSL 3.5, the first
 * with ML-KEM. Older ones send one share, that of the first group.
 */
#define GROUPS_CLASSIC "P-256:X25519:P-384"
#define GROUPS_PQ "*X25519MLKEM768:?SecP256r1MLKEM768:?SecP384r1MLKEM1024:?MLKEM1024:*P-256:X25519:P-384"

#define SIGNATURES_ECDSA "ECDSA+SHA256:ECDSA+SHA384:ECDSA+SHA512"
#define SIGNATURES_RSA                                                                                          \
    "rsa_pss_pss_sha256:rsa_pss_pss_sha384:rsa_pss_pss_sha512:"                                                 \
    "rsa_pss_rsae_sha256:rsa_pss_rsae_sha384:rsa_pss_rsae_sha512:RSA+SHA256:RSA+SHA384:RSA+SHA512"
#define SIGNATURES_STRONG SIGNATURES_ECDSA ":" SIGNATURES_RSA
#define SIGNATURES_ALL SIGNATURES_RSA ":RSA+SHA224:" SIGNATURES_ECDSA ":ECDSA+SHA224:RSA+SHA1:ECDSA+SHA1"

/*
 * OpenSSL's security level: 0 is what TLS 1.0, TLS 1.1 and SHA-1 signatures need. Keys that it would let pass then
 * are refused by the check of the chain (weakness in tls_openssl.c).
 */
enum { LEVEL_LEGACY = 0, LEVEL_STRICT = 2 };

typedef struct security_policy {
    int min_version;
    const char *suites_1_3;
    const char *suites; /* up to TLS 1.2 */
    const char *groups;
    const char *signatures;
    int level;
} security_policy;

static const security_policy from_1_0 = {TLS1_VERSION,   SUITES_1_3,     SUITES_ALL,
                                         GROUPS_CLASSIC, SIGNATURES_ALL, LEVEL_LEGACY};
static const security_policy from_1_1 = {TLS1_1_VERSION, SUITES_1_3,     SUITES_ALL,
                                         GROUPS_CLASSIC, SIGNATURES_ALL, LEVEL_LEGACY};
static const security_policy from_1_2 = {TLS1_2_VERSION, SUITES_1_3,     SUITES_ALL,
                                         GROUPS_PQ,      SIGNATURES_ALL, LEVEL_LEGACY};
static const security_policy from_1_3 = {TLS1_3_VERSION, SUITES_1_3,     SUITES_ALL,
                                         GROUPS_PQ,      SIGNATURES_ALL, LEVEL_LEGACY};
static const security_policy standard = {TLS1_VERSION, SUITES_1_3,     SUITES_ALL,
                                         GROUPS_PQ,    SIGNATURES_ALL, LEVEL_LEGACY};
static const security_policy strict_2025_07 = {TLS1_2_VERSION, SUITES_GCM_1_3,    SUITES_GCM,
                                               "P-256:P-384",  SIGNATURES_STRONG, LEVEL_STRICT};

bool crt_openssl_cipher_pref_supported(int cipher_pref) {
    return cipher_pref == CRT_TLS_CIPHERS_DEFAULT || cipher_pref == CRT_TLS_CIPHERS_PQ_DEFAULT ||
           cipher_pref == CRT_TLS_CIPHERS_1_2_2025_07;
}

/* A cipher preference other than the default replaces what the minimum version would choose. */
static const security_policy *choose_policy(int min_version, int cipher_pref) {
    if (cipher_pref == CRT_TLS_CIPHERS_PQ_DEFAULT) {
        return &from_1_2;
    }
    if (cipher_pref == CRT_TLS_CIPHERS_1_2_2025_07) {
        return &strict_2025_07;
    }
    switch (min_version) {
        case CRT_TLS_SSLV3: /* OpenSSL has no SSL 3.0 any more; from TLS 1.0 on it is the same */
        case CRT_TLS_1_0:
            return &from_1_0;
        case CRT_TLS_1_1:
            return &from_1_1;
        case CRT_TLS_1_2:
            return &from_1_2;
        case CRT_TLS_1_3:
            return &from_1_3;
        default:
            return &standard;
    }
}

static bool set_groups(SSL_CTX *ctx, const char *groups) {
    if (SSL_CTX_set1_groups_list(ctx, groups) == 1) {
        return true;
    }
    /* The library found at run time decides, not the headers of the build. */
    return strcmp(groups, GROUPS_PQ) == 0 && SSL_CTX_set1_groups_list(ctx, GROUPS_CLASSIC) == 1;
}

static int apply_policy(SSL_CTX *ctx, const security_policy *policy, crt_fault *fault) {
    SSL_CTX_set_security_level(ctx, policy->level);
    if (SSL_CTX_set_min_proto_version(ctx, policy->min_version) != 1 ||
        SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) != 1) {
        return crt_fail(fault, AWS_IO_TLS_VERSION_UNSUPPORTED, "this OpenSSL does not offer the minimum TLS version");
    }
    if (SSL_CTX_set_ciphersuites(ctx, policy->suites_1_3) != 1 || SSL_CTX_set_cipher_list(ctx, policy->suites) != 1 ||
        SSL_CTX_set1_sigalgs_list(ctx, policy->signatures) != 1 || !set_groups(ctx, policy->groups)) {
        return crt_fail(fault, AWS_IO_TLS_CIPHER_PREF_UNSUPPORTED,
                        "this OpenSSL lacks the algorithms of the preference");
    }
    return 0;
}

static void apply_transport_settings(SSL_CTX *ctx) {
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    /* One recv() brings several records, instead of two calls per record. Measured: more than 64 KiB gains nothing. */
    SSL_CTX_set_read_ahead(ctx, 1);
    SSL_CTX_set_default_read_buffer_len(ctx, 64 << 10);
}

static int apply_trust(SSL_CTX *ctx, const crt_tls_ctx_options *options, crt_fault *fault) {
    X509_STORE *store;
    int status;

    if (!options->verify_peer) {
        SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
        return 0;
    }
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    status = options->ca_pem.ptr || options->ca_dir
                 ? crt_openssl_custom_store(options->ca_pem, options->ca_dir, &store, fault)
                 : crt_openssl_system_store(&store, fault);
    if (status) {
        return status;
    }
    SSL_CTX_set_cert_store(ctx, store); /* takes the reference over */
    if (!options->no_revocation) {
        crt_openssl_check_stapled_status(ctx);
    }
    return 0;
}

static int apply_alpn(SSL_CTX *ctx, const char *names, crt_fault *fault) {
    uint8_t wire[CRT_TLS_ALPN_WIRE];
    size_t len;
    int status = crt_tls_alpn_encode(names, wire, &len, fault);

    /* Unlike its neighbours this one returns 0 for success. */
    if (status == 0 && len > 0 && SSL_CTX_set_alpn_protos(ctx, wire, (unsigned)len) != 0) {
        return crt_fail(fault, AWS_IO_TLS_CTX_ERROR, "OpenSSL refuses the ALPN names");
    }
    return status;
}

static int use_pem(SSL_CTX *ctx, const crt_tls_ctx_options *options, crt_fault *fault) {
    EVP_PKEY *key = NULL;
    int status = crt_openssl_use_chain(ctx, options->cert_pem, fault);

    if (status == 0) {
        status = crt_openssl_parse_key(options->key_pem, &key, fault);
    }
    if (status == 0 && (SSL_CTX_use_PrivateKey(ctx, key) != 1 || SSL_CTX_check_private_key(ctx) != 1)) {
        status = crt_fail(fault, AWS_IO_TLS_CTX_ERROR, "the private key does not belong to the client certificate");
    }
    EVP_PKEY_free(key);
    return status;
}

/* The client's certificate and key, from the first source that is given. */
static int use_identity(SSL_CTX *ctx, const crt_tls_ctx_options *options, crt_fault *fault) {
    if (options->cert_pem.ptr) {
        return use_pem(ctx, options, fault);
    }
    if (options->pkcs11) {
        return crt_openssl_use_pkcs11(ctx, options->pkcs11, fault);
    }
    if (options->pkcs12.ptr) {
        return crt_openssl_use_pkcs12(ctx, options->pkcs12, options->pkcs12_password, fault);
    }
    if (options->windows_store_path) {
        return crt_fail(fault, AWS_ERROR_PLATFORM_NOT_SUPPORTED,
                        "certificates of a Windows store need Windows; export '%s' as PEM or PKCS#12",
                        options->windows_store_path);
    }
    return 0;
}

int crt_openssl_ctx_new(const crt_tls_ctx_options *options, void **out, crt_fault *fault) {
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    int status;

    *out = NULL;
    if (!ctx) {
        ERR_clear_error();
        return crt_fail(fault, AWS_IO_TLS_CTX_ERROR, "OpenSSL cannot create a context");
    }
    apply_transport_settings(ctx);
    status = apply_policy(ctx, choose_policy(options->min_version, options->cipher_pref), fault);
    if (status == 0) {
        status = apply_trust(ctx, options, fault);
    }
    if (status == 0) {
        status = use_identity(ctx, options, fault);
    }
    if (status == 0) {
        status = apply_alpn(ctx, options->alpn, fault);
    }
    ERR_clear_error();
    if (status) {
        SSL_CTX_free(ctx);
        return status;
    }
    *out = ctx;
    return 0;
}
