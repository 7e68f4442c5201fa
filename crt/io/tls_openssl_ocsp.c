/* Stapled OCSP responses (RFC 6066 section 8, RFC 6960): absent is fine, present must say "good". */
#include <openssl/err.h>
#include <openssl/ocsp.h>

#include "tls_openssl.h"

enum { CLOCK_SKEW_SECONDS = 300 };

/* The statement about the server's certificate: signed by its issuer, current, and "good". */
static bool says_good(SSL *ssl, OCSP_BASICRESP *basic) {
    STACK_OF(X509) *chain = SSL_get0_verified_chain(ssl);
    X509_STORE *store = SSL_CTX_get_cert_store(SSL_get_SSL_CTX(ssl));
    ASN1_GENERALIZEDTIME *this_update, *next_update;
    OCSP_CERTID *id;
    X509 *leaf, *issuer;
    int verdict = V_OCSP_CERTSTATUS_UNKNOWN;
    bool found;

    if (sk_X509_num(chain) < 1 || OCSP_basic_verify(basic, chain, store, 0) != 1) {
        return false;
    }
    leaf = sk_X509_value(chain, 0);
    issuer = sk_X509_num(chain) > 1 ? sk_X509_value(chain, 1) : leaf;
    id = OCSP_cert_to_id(NULL, leaf, issuer);
    if (!id) {
        return false;
    }
    found = OCSP_resp_find_status(basic, id, &verdict, NULL, NULL, &this_update, &next_update) == 1;
    OCSP_CERTID_free(id);
    return found && verdict == V_OCSP_CERTSTATUS_GOOD &&
           OCSP_check_validity(this_update, next_update, CLOCK_SKEW_SECONDS, -1) == 1;
}

/* 1: go on; 0: end the handshake with alert bad_certificate_status_response. */
static int on_status(SSL *ssl, void *unused) {
    const unsigned char *der;
    long len = SSL_get_tlsext_status_ocsp_resp(ssl, &der);
    OCSP_RESPONSE *response;
    OCSP_BASICRESP *basic = NULL;
    bool good = false;

    (void)unused;
    if (len <= 0) {
        return 1;
    }
    response = d2i_OCSP_RESPONSE(NULL, &der, len);
    if (response && OCSP_response_status(response) == OCSP_RESPONSE_STATUS_SUCCESSFUL) {
        basic = OCSP_response_get1_basic(response);
        good = basic && says_good(ssl, basic);
    }
    OCSP_BASICRESP_free(basic);
    OCSP_RESPONSE_free(response);
    ERR_clear_error(); /* leaves the handshake's own verdict as the only reason */
    return good ? 1 : 0;
}

void crt_openssl_check_stapled_status(SSL_CTX *ctx) {
    SSL_CTX_set_tlsext_status_type(ctx, TLSEXT_STATUSTYPE_ocsp);
    SSL_CTX_set_tlsext_status_cb(ctx, on_status);
}
