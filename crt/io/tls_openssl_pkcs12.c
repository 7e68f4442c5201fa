/*
 * PKCS#12 archives (RFC 7292): the client's key, its certificate and perhaps the chain in one file with a password.
 *
 * Older software encrypts them with RC2 or RC4, which OpenSSL 3 keeps in its legacy provider. That one is loaded
 * into a library context of its own, for such archives alone: nothing else in the process gets those algorithms.
 */
#include <limits.h>
#include <openssl/err.h>
#include <openssl/pkcs12.h>
#include <openssl/provider.h>

#include "tls_openssl.h"

/* The password is stretched this often before it can be checked: seconds, not hours, for a nonsensical file. */
enum { MOST_ITERATIONS = 10 * 1000 * 1000 };

typedef struct contents {
    EVP_PKEY *key;
    X509 *certificate;
    STACK_OF(X509) *chain;
} contents;

static void contents_free(contents *c) {
    EVP_PKEY_free(c->key);
    X509_free(c->certificate);
    sk_X509_pop_free(c->chain, X509_free);
    memset(c, 0, sizeof(*c));
}

/* `library` NULL: the default one. */
static PKCS12 *decode(crt_bytes der, OSSL_LIB_CTX *library) {
    const unsigned char *at = der.ptr;
    PKCS12 *archive = library ? PKCS12_init_ex(NID_pkcs7_data, library, NULL) : NULL;

    if (der.len > LONG_MAX || (library && !archive)) {
        PKCS12_free(archive);
        return NULL;
    }
    return d2i_PKCS12(archive ? &archive : NULL, &at, (long)der.len);
}

static bool iterates_too_often(const PKCS12 *archive) {
    const ASN1_INTEGER *iterations = NULL;
    int64_t count = 1;

    PKCS12_get0_mac(NULL, NULL, NULL, &iterations, archive);
    return iterations && (ASN1_INTEGER_get_int64(&count, iterations) != 1 || count < 0 || count > MOST_ITERATIONS);
}

static bool lacks_algorithm(void) {
    unsigned long error = ERR_peek_error();

    return ERR_GET_LIB(error) == ERR_LIB_EVP && ERR_GET_REASON(error) == ERR_R_UNSUPPORTED;
}

/* ---- the legacy algorithms ---- */

/* Objects remember the library context they were made in; written out and read again they belong to the default. */
static X509 *rehome_certificate(X509 *theirs) {
    unsigned char *der = NULL;
    int len = i2d_X509(theirs, &der);
    const unsigned char *at = der;
    X509 *ours = len > 0 ? d2i_X509(NULL, &at, len) : NULL;

    OPENSSL_free(der);
    return ours;
}

static EVP_PKEY *rehome_key(EVP_PKEY *theirs) {
    unsigned char *der = NULL;
    int len = i2d_PrivateKey(theirs, &der);
    const unsigned char *at = der;
    EVP_PKEY *ours = len > 0 ? d2i_AutoPrivateKey(NULL, &at, len) : NULL;

    OPENSSL_clear_free(der, len > 0 ? (size_t)len : 0);
    return ours;
}

static bool rehome(const contents *theirs, contents *ours) {
    int i;

    ours->key = theirs->key ? rehome_key(theirs->key) : NULL;
    ours->certificate = theirs->certificate ? rehome_certificate(theirs->certificate) : NULL;
    ours->chain = sk_X509_new_null();
    for (i = 0; ours->chain && i < sk_X509_num(theirs->chain); i++) {
        X509 *certificate = rehome_certificate(sk_X509_value(theirs->chain, i));
        if (!certificate || sk_X509_push(ours->chain, certificate) <= 0) {
            X509_free(certificate);
            return false;
        }
    }
    return ours->chain != NULL && !ours->key == !theirs->key && !ours->certificate == !theirs->certificate;
}

static bool parse_with_legacy(crt_bytes der, const char *password, contents *out) {
    OSSL_LIB_CTX *library = OSSL_LIB_CTX_new();
    OSSL_PROVIDER *legacy = library ? OSSL_PROVIDER_load(library, "legacy") : NULL;
    OSSL_PROVIDER *standard = legacy ? OSSL_PROVIDER_load(library, "default") : NULL;
    PKCS12 *archive = standard ? decode(der, library) : NULL;
    contents theirs = {0};
    bool ok = archive && PKCS12_parse(archive, password, &theirs.key, &theirs.certificate, &theirs.chain) == 1 &&
              rehome(&theirs, out);

    contents_free(&theirs);
    PKCS12_free(archive);
    if (standard) {
        OSSL_PROVIDER_unload(standard);
    }
    if (legacy) {
        OSSL_PROVIDER_unload(legacy);
    }
    OSSL_LIB_CTX_free(library);
    return ok;
}

/* ---- reading ---- */

static int refuse(crt_fault *fault) {
    int reason = ERR_GET_REASON(ERR_peek_error());

    if (ERR_GET_LIB(ERR_peek_error()) == ERR_LIB_PKCS12 && reason == PKCS12_R_MAC_VERIFY_FAILURE) {
        return crt_fail(fault, AWS_IO_TLS_CTX_ERROR, "the password of the PKCS#12 archive is wrong");
    }
    if (lacks_algorithm()) {
        return crt_fail(fault, AWS_IO_TLS_CTX_ERROR,
                        "the PKCS#12 archive is encrypted with an algorithm that this OpenSSL lacks; export it again "
                        "with AES (openssl pkcs12 -export -keypbe AES-256-CBC -certpbe AES-256-CBC)");
    }
    return crt_fail(fault, AWS_IO_TLS_CTX_ERROR, "the PKCS#12 archive is damaged");
}

static int parse(crt_bytes der, const char *password, contents *out, crt_fault *fault) {
    PKCS12 *archive = decode(der, NULL);
    int status = 0;

    if (!archive) {
        return crt_fail(fault, AWS_IO_TLS_CTX_ERROR, "this is no PKCS#12 archive");
    }
    if (iterates_too_often(archive)) {
        status = crt_fail(fault, AWS_IO_TLS_CTX_ERROR, "the PKCS#12 archive asks for more than %d iterations of its "
                                                       "key derivation", MOST_ITERATIONS);
    } else if (PKCS12_parse(archive, password, &out->key, &out->certificate, &out->chain) != 1) {
        contents_free(out);
        if (!lacks_algorithm() || !parse_with_legacy(der, password, out)) {
            status = refuse(fault);
        }
    }
    PKCS12_free(archive);
    return status;
}

static int use(SSL_CTX *ctx, const contents *c, crt_fault *fault) {
    int i;

    if (!c->certificate || !c->key) {
        return crt_fail(fault, AWS_IO_TLS_CTX_ERROR,
                        "the PKCS#12 archive contains no private key with its certificate");
    }
    if (SSL_CTX_use_certificate(ctx, c->certificate) != 1 || SSL_CTX_use_PrivateKey(ctx, c->key) != 1) {
        return crt_fail(fault, AWS_IO_TLS_CTX_ERROR,
                        "the key or the certificate of the PKCS#12 archive cannot be used");
    }
    for (i = 0; i < sk_X509_num(c->chain); i++) {
        if (SSL_CTX_add1_chain_cert(ctx, sk_X509_value(c->chain, i)) != 1) {
            return crt_fail(fault, AWS_IO_TLS_CTX_ERROR, "the chain of the PKCS#12 archive cannot be used");
        }
    }
    return 0;
}

int crt_openssl_use_pkcs12(SSL_CTX *ctx, crt_bytes der, const char *password, crt_fault *fault) {
    contents c = {0};
    int status;

    ERR_clear_error();
    status = parse(der, password ? password : "", &c, fault);
    if (status == 0) {
        status = use(ctx, &c, fault);
    }
    contents_free(&c);
    ERR_clear_error();
    return status;
}
