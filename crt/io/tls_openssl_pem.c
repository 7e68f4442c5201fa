/* What the blocks of PEM texts are to OpenSSL: trusted certificates, the client's chain and its private key. */
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "tls_openssl.h"
#include "crt/pem.h"

static bool is_certificate(const crt_pem_block *block) {
    return strcmp(block->label, PEM_STRING_X509) == 0 || strcmp(block->label, PEM_STRING_X509_OLD) == 0 ||
           strcmp(block->label, PEM_STRING_X509_TRUSTED) == 0;
}

/* NULL with fault filled: the block is no certificate, or none that can be parsed. */
static X509 *parse_certificate(const crt_pem_block *block, const char *what, crt_fault *fault) {
    const unsigned char *at = block->der;
    X509 *certificate;

    if (!is_certificate(block)) {
        crt_fail(fault, AWS_IO_TLS_CTX_ERROR, "the %s contains a block '%s' that is no certificate", what,
                 block->label);
        return NULL;
    }
    /* The trusted form appends OpenSSL's own trust settings to the certificate. */
    certificate = strcmp(block->label, PEM_STRING_X509_TRUSTED) == 0 ? d2i_X509_AUX(NULL, &at, (long)block->len)
                                                                     : d2i_X509(NULL, &at, (long)block->len);
    if (!certificate) {
        crt_fail(fault, AWS_IO_TLS_CTX_ERROR, "the %s contains a certificate that cannot be parsed", what);
    }
    return certificate;
}

/* Called for each certificate of a text; `index` counts from 0. */
typedef int (*certificate_fn)(void *target, X509 *certificate, size_t index, crt_fault *fault);

static int each_certificate(crt_bytes pem, const char *what, certificate_fn use, void *target, crt_fault *fault) {
    crt_pem_block block;
    size_t count = 0;

    for (;;) {
        int status = crt_pem_next(&pem, what, &block, fault);
        X509 *certificate;

        if (status || block.text.len == 0) {
            return status == 0 && count == 0 ? crt_pem_no_block(what, fault) : status;
        }
        certificate = parse_certificate(&block, what, fault);
        status = certificate ? use(target, certificate, count++, fault) : AWS_IO_TLS_CTX_ERROR;
        X509_free(certificate);
        crt_pem_free(&block);
        if (status) {
            return status;
        }
    }
}

static int add_root(void *store, X509 *certificate, size_t index, crt_fault *fault) {
    (void)index;
    if (X509_STORE_add_cert(store, certificate) != 1) { /* a duplicate is not an error */
        return crt_fail(fault, AWS_ERROR_OOM, "no memory for a trusted certificate");
    }
    return 0;
}

int crt_openssl_add_roots(X509_STORE *store, crt_bytes pem, crt_fault *fault) {
    int status = each_certificate(pem, "trust store", add_root, store, fault);

    ERR_clear_error();
    return status;
}

static int use_certificate(void *ctx, X509 *certificate, size_t index, crt_fault *fault) {
    int ok = index == 0 ? SSL_CTX_use_certificate(ctx, certificate) : SSL_CTX_add1_chain_cert(ctx, certificate);

    if (ok != 1) {
        return crt_fail(fault, AWS_IO_TLS_CTX_ERROR, "certificate %zu of the client's chain cannot be used",
                        index + 1);
    }
    return 0;
}

int crt_openssl_use_chain(SSL_CTX *ctx, crt_bytes pem, crt_fault *fault) {
    int status = each_certificate(pem, "client certificate", use_certificate, ctx, fault);

    ERR_clear_error();
    return status;
}

/* ---- the private key ---- */

static bool is_key(const crt_pem_block *block) {
    static const char *const labels[] = {PEM_STRING_PKCS8INF, PEM_STRING_RSA, PEM_STRING_ECPRIVATEKEY};
    size_t i;

    for (i = 0; i < sizeof(labels) / sizeof(labels[0]); i++) {
        if (strcmp(block->label, labels[i]) == 0) {
            return true;
        }
    }
    return false;
}

static int parse_key(const crt_pem_block *block, EVP_PKEY **out, crt_fault *fault) {
    const unsigned char *at = block->der;

    if (block->encrypted) {
        return crt_fail(fault, AWS_IO_TLS_CTX_ERROR,
                        "the private key is encrypted; decrypt it first (openssl pkey -in key -out plain)");
    }
    if (!is_key(block)) {
        return crt_fail(fault, AWS_IO_TLS_CTX_ERROR, "the private key contains a block '%s' that is no private key",
                        block->label);
    }
    if (*out) {
        return crt_fail(fault, AWS_IO_TLS_CTX_ERROR, "more than one private key was given");
    }
    *out = d2i_AutoPrivateKey(NULL, &at, (long)block->len);
    return *out ? 0 : crt_fail(fault, AWS_IO_TLS_CTX_ERROR, "the private key cannot be parsed");
}

int crt_openssl_parse_key(crt_bytes pem, EVP_PKEY **out, crt_fault *fault) {
    static const char what[] = "private key";
    crt_pem_block block;
    size_t blocks = 0;
    int status;

    *out = NULL;
    while ((status = crt_pem_next(&pem, what, &block, fault)) == 0 && block.text.len > 0) {
        blocks++;
        /* `openssl ecparam -genkey` writes the curve's name in front of the key, which names it again. */
        if (strcmp(block.label, PEM_STRING_ECPARAMETERS) != 0) {
            status = parse_key(&block, out, fault);
        }
        crt_pem_free(&block);
        if (status) {
            break;
        }
    }
    ERR_clear_error();
    if (status == 0 && !*out) {
        status = blocks == 0 ? crt_pem_no_block(what, fault)
                             : crt_fail(fault, AWS_IO_TLS_CTX_ERROR, "the private key contains only curve parameters");
    }
    if (status) {
        EVP_PKEY_free(*out);
        *out = NULL;
    }
    return status;
}
