/*
 * PEM input (RFC 7468): certificates and private keys.
 *
 * Text around the blocks is allowed, as files made by `openssl x509 -text` have it. Keys that are encrypted are
 * refused instead of asking for a passphrase on the terminal, which is what OpenSSL's own loaders would do.
 */
#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "tls_openssl.h"

typedef struct pem_block {
    char *name;
    char *header; /* RFC 1421 headers, "" when there are none */
    unsigned char *data;
    long len;
} pem_block;

static void block_free(pem_block *block) {
    OPENSSL_free(block->name);
    OPENSSL_free(block->header);
    OPENSSL_clear_free(block->data, (size_t)block->len);
    memset(block, 0, sizeof(*block));
}

static BIO *open_text(crt_bytes pem) {
    return pem.len <= INT_MAX ? BIO_new_mem_buf(pem.ptr, (int)pem.len) : NULL;
}

/* True with the next block; false at the end of the text or at something that is no block. */
static bool next_block(BIO *text, pem_block *block) {
    memset(block, 0, sizeof(*block));
    if (PEM_read_bio(text, &block->name, &block->header, &block->data, &block->len) == 1) {
        return true;
    }
    ERR_clear_error();
    return false;
}

/* No block at all. Bytes beyond ASCII are what binary (DER) input and damaged files have in common. */
static int no_block(crt_bytes pem, const char *what, crt_fault *fault) {
    bool marked = false;
    size_t i;

    for (i = 0; i + 10 < pem.len && !marked; i++) {
        marked = memcmp(pem.ptr + i, "-----BEGIN", 10) == 0;
    }
    for (; marked && i < pem.len; i++) {
        if (pem.ptr[i] >= 0x80) {
            return crt_fail(fault, AWS_IO_FILE_VALIDATION_FAILURE, "the %s is damaged: it is not text", what);
        }
    }
    return crt_fail(fault, AWS_ERROR_INVALID_ARGUMENT,
                    "the %s contains no complete PEM block (-----BEGIN ... -----END)", what);
}

static bool is_certificate(const pem_block *block) {
    return strcmp(block->name, PEM_STRING_X509) == 0 || strcmp(block->name, PEM_STRING_X509_OLD) == 0 ||
           strcmp(block->name, PEM_STRING_X509_TRUSTED) == 0;
}

static X509 *parse_certificate(const pem_block *block) {
    const unsigned char *at = block->data;

    /* The trusted form appends OpenSSL's own trust settings to the certificate. */
    return strcmp(block->name, PEM_STRING_X509_TRUSTED) == 0 ? d2i_X509_AUX(NULL, &at, block->len)
                                                             : d2i_X509(NULL, &at, block->len);
}

int crt_openssl_add_roots(X509_STORE *store, crt_bytes pem, crt_fault *fault) {
    BIO *text = open_text(pem);
    pem_block block;
    size_t blocks = 0, certificates = 0;
    int status = 0;

    while (status == 0 && text && next_block(text, &block)) {
        X509 *certificate = is_certificate(&block) ? parse_certificate(&block) : NULL;
        blocks++;
        if (certificate) {
            certificates++;
            X509_STORE_add_cert(store, certificate); /* a duplicate is not an error */
            X509_free(certificate);
        } else if (is_certificate(&block)) {
            status = crt_fail(fault, AWS_IO_TLS_CTX_ERROR, "certificate %zu of the trust store cannot be parsed",
                              blocks);
        }
        block_free(&block);
    }
    BIO_free(text);
    ERR_clear_error();
    if (status == 0 && blocks == 0) {
        return no_block(pem, "trust store", fault);
    }
    if (status == 0 && certificates == 0) {
        return crt_fail(fault, AWS_IO_TLS_CTX_ERROR, "the trust store contains no certificate");
    }
    return status;
}

static int use_chain(SSL_CTX *ctx, crt_bytes pem, crt_fault *fault) {
    BIO *text = open_text(pem);
    pem_block block;
    size_t count = 0;
    int status = 0;

    while (status == 0 && text && next_block(text, &block)) {
        X509 *certificate = is_certificate(&block) ? parse_certificate(&block) : NULL;
        if (!certificate) {
            status = crt_fail(fault, AWS_IO_TLS_CTX_ERROR,
                              "the client certificate contains a block '%s' that is no usable certificate", block.name);
        } else if (count == 0 && SSL_CTX_use_certificate(ctx, certificate) != 1) {
            status = crt_fail(fault, AWS_IO_TLS_CTX_ERROR, "the client certificate cannot be used");
        } else if (count > 0 && SSL_CTX_add1_chain_cert(ctx, certificate) != 1) {
            status = crt_fail(fault, AWS_IO_TLS_CTX_ERROR, "the client certificate's chain cannot be used");
        }
        X509_free(certificate);
        block_free(&block);
        count++;
    }
    BIO_free(text);
    ERR_clear_error();
    return status == 0 && count == 0 ? no_block(pem, "client certificate", fault) : status;
}

static bool is_encrypted(const pem_block *block) {
    return strcmp(block->name, PEM_STRING_PKCS8) == 0 || strstr(block->header, "ENCRYPTED");
}

static bool is_key(const pem_block *block) {
    static const char *const names[] = {PEM_STRING_PKCS8INF, PEM_STRING_RSA, PEM_STRING_ECPRIVATEKEY};
    size_t i;

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(block->name, names[i]) == 0) {
            return true;
        }
    }
    return false;
}

static int use_key_block(SSL_CTX *ctx, const pem_block *block, crt_fault *fault) {
    const unsigned char *at = block->data;
    EVP_PKEY *key;
    int ok;

    if (is_encrypted(block)) {
        return crt_fail(fault, AWS_IO_TLS_CTX_ERROR,
                        "the private key is encrypted; decrypt it first (openssl pkey -in key -out plain)");
    }
    if (!is_key(block)) {
        return crt_fail(fault, AWS_IO_TLS_CTX_ERROR, "the private key contains a block '%s' that is no private key",
                        block->name);
    }
    key = d2i_AutoPrivateKey(NULL, &at, block->len);
    if (!key) {
        return crt_fail(fault, AWS_IO_TLS_CTX_ERROR, "the private key cannot be parsed");
    }
    ok = SSL_CTX_use_PrivateKey(ctx, key);
    EVP_PKEY_free(key);
    if (ok != 1) {
        return crt_fail(fault, AWS_IO_TLS_CTX_ERROR, "the private key does not belong to the client certificate");
    }
    return 0;
}

static int use_key(SSL_CTX *ctx, crt_bytes pem, crt_fault *fault) {
    BIO *text = open_text(pem);
    pem_block block;
    size_t blocks = 0;
    bool used = false;
    int status = 0;

    while (status == 0 && text && next_block(text, &block)) {
        blocks++;
        /* `openssl ecparam -genkey` writes the curve's name in front of the key, which names it again. */
        if (strcmp(block.name, PEM_STRING_ECPARAMETERS) != 0) {
            status = used ? crt_fail(fault, AWS_IO_TLS_CTX_ERROR, "more than one private key was given")
                          : use_key_block(ctx, &block, fault);
            used = true;
        }
        block_free(&block);
    }
    BIO_free(text);
    ERR_clear_error();
    if (status == 0 && blocks == 0) {
        return no_block(pem, "private key", fault);
    }
    if (status == 0 && !used) {
        return crt_fail(fault, AWS_IO_TLS_CTX_ERROR, "the private key contains only curve parameters");
    }
    return status;
}

int crt_openssl_use_identity(SSL_CTX *ctx, crt_bytes cert_pem, crt_bytes key_pem, crt_fault *fault) {
    int status = use_chain(ctx, cert_pem, fault);

    if (status == 0) {
        status = use_key(ctx, key_pem, fault);
    }
    if (status == 0 && SSL_CTX_check_private_key(ctx) != 1) {
        ERR_clear_error();
        return crt_fail(fault, AWS_IO_TLS_CTX_ERROR, "the private key does not belong to the client certificate");
    }
    return status;
}
