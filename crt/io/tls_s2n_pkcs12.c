/* PKCS#12 archives for s2n-tls, which reads PEM only: the OpenSSL provider opens them, and writes PEM. */
#include "tls_provider.h"

#if defined(CRT_HAVE_S2N)
#include <openssl/err.h>
#include <openssl/pem.h>

#include "crt/memory.h"
#include "tls_openssl.h"
#include "tls_s2n.h"

static bool write_chain(BIO *out, SSL_CTX *from) {
    STACK_OF(X509) *chain = NULL;
    int i;

    if (PEM_write_bio_X509(out, SSL_CTX_get0_certificate(from)) != 1 || SSL_CTX_get0_chain_certs(from, &chain) != 1) {
        return false;
    }
    for (i = 0; i < sk_X509_num(chain); i++) {
        if (PEM_write_bio_X509(out, sk_X509_value(chain, i)) != 1) {
            return false;
        }
    }
    return true;
}

static crt_bytes contents_of(BIO *bio) {
    char *data = NULL;
    long len = BIO_get_mem_data(bio, &data);

    return crt_bytes_of(data, len > 0 ? (size_t)len : 0);
}

int crt_s2n_use_pkcs12(crt_s2n_ctx *ctx, const crt_tls_ctx_options *options, crt_fault *fault) {
    SSL_CTX *opened = SSL_CTX_new(TLS_client_method());
    BIO *chain = BIO_new(BIO_s_mem());
    BIO *key = BIO_new(BIO_s_secmem()); /* wiped when freed */
    int status;

    if (!opened || !chain || !key) {
        status = crt_fail(fault, AWS_ERROR_OOM, "no memory for the client certificate");
        goto cleanup;
    }
    SSL_CTX_set_security_level(opened, 0); /* what is too weak, s2n says */
    status = crt_openssl_use_pkcs12(opened, options->pkcs12, options->pkcs12_password, fault);
    if (status == 0 &&
        (!write_chain(chain, opened) ||
         PEM_write_bio_PKCS8PrivateKey(key, SSL_CTX_get0_privatekey(opened), NULL, NULL, 0, NULL, NULL) != 1)) {
        status = crt_fail(fault, AWS_IO_TLS_CTX_ERROR, "the contents of the PKCS#12 archive cannot be used");
    }
    if (status == 0) {
        status = crt_s2n_use_pem(ctx, contents_of(chain), contents_of(key), fault);
    }
cleanup:
    BIO_free(key);
    BIO_free(chain);
    SSL_CTX_free(opened);
    ERR_clear_error();
    return status;
}
#endif
