/* Stapled OCSP responses: verified when they come, not missed when they do not. */
#include "tls_support.h"

#include <openssl/ocsp.h>

static identity ca, site, stranger;

static int make_identities(void **state) {
    identity_new(&ca, &(identity_options){.common_name = "Test CA", .ca = true});
    identity_new(&site, &(identity_options){.common_name = "site", .issuer = &ca, .names = "DNS:site.example"});
    identity_new(&stranger, &(identity_options){.common_name = "Other CA", .ca = true});
    return 0;
}

static int free_identities(void **state) {
    identity_free(&ca);
    identity_free(&site);
    identity_free(&stranger);
    return 0;
}

typedef struct staple {
    unsigned char *der;
    int len;
} staple;

static void staple_new(staple *s, int status, const identity *signer, long this_update, long next_update) {
    OCSP_BASICRESP *basic = OCSP_BASICRESP_new();
    OCSP_CERTID *id = OCSP_cert_to_id(NULL, site.certificate, ca.certificate);
    ASN1_TIME *from = X509_gmtime_adj(NULL, this_update), *until = X509_gmtime_adj(NULL, next_update);
    ASN1_TIME *revoked = status == V_OCSP_CERTSTATUS_REVOKED ? X509_gmtime_adj(NULL, -600) : NULL;
    OCSP_RESPONSE *response;

    assert_non_null(OCSP_basic_add1_status(basic, id, status, OCSP_REVOKED_STATUS_NOSTATUS, revoked, from, until));
    assert_int_equal(OCSP_basic_sign(basic, signer->certificate, signer->key, EVP_sha256(), NULL, 0), 1);
    response = OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic);
    s->der = NULL;
    s->len = i2d_OCSP_RESPONSE(response, &s->der);
    assert_true(s->len > 0);
    OCSP_RESPONSE_free(response);
    OCSP_BASICRESP_free(basic);
    OCSP_CERTID_free(id);
    ASN1_TIME_free(from);
    ASN1_TIME_free(until);
    ASN1_TIME_free(revoked);
}

static int send_staple(SSL *ssl, void *arg) {
    const staple *s = arg;
    unsigned char *copy = OPENSSL_memdup(s->der, (size_t)s->len);
    SSL_set_tlsext_status_ocsp_resp(ssl, copy, s->len); /* takes it over */
    return SSL_TLSEXT_ERR_OK;
}

static int shake_hands(const staple *s, bool no_revocation, int version, char story[256]) {
    tls_server server;
    client c;
    crt_tls_ctx_options options = tls_options_trusting(&ca);
    int code;

    options.no_revocation = no_revocation;
    server_init(&server, &site);
    SSL_CTX_set_max_proto_version(server.ctx, version);
    SSL_CTX_set_tlsext_status_cb(server.ctx, send_staple);
    SSL_CTX_set_tlsext_status_arg(server.ctx, (void *)(uintptr_t)s);
    client_init(&c);
    tls_connect(&c, &server, &options, "site.example");
    code = c.connect_fault.code;
    strcpy(story, c.connect_fault.detail);
    client_free(&c);
    server_free(&server);
    return code;
}

static void expect(staple *s, int code) {
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    char story[256];

    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(shake_hands(s, false, versions[i], story), code);
        assert_true(code == 0 || strstr(story, "stapled OCSP response"));
        assert_int_equal(shake_hands(s, true, versions[i], story), 0); /* nobody asks, nobody looks */
    }
    OPENSSL_free(s->der);
}

static void a_good_response_is_accepted(void **state) {
    staple s;
    staple_new(&s, V_OCSP_CERTSTATUS_GOOD, &ca, -60, 3600);
    expect(&s, 0);
}

static void a_revoked_certificate_is_refused(void **state) {
    staple s;
    staple_new(&s, V_OCSP_CERTSTATUS_REVOKED, &ca, -60, 3600);
    expect(&s, AWS_IO_TLS_ERROR_NEGOTIATION_FAILURE);
}

static void a_response_that_is_out_of_date_is_refused(void **state) {
    staple s;
    staple_new(&s, V_OCSP_CERTSTATUS_GOOD, &ca, -7200, -3600);
    expect(&s, AWS_IO_TLS_ERROR_NEGOTIATION_FAILURE);
}

static void a_response_signed_by_somebody_else_is_refused(void **state) {
    staple s;
    staple_new(&s, V_OCSP_CERTSTATUS_GOOD, &stranger, -60, 3600);
    expect(&s, AWS_IO_TLS_ERROR_NEGOTIATION_FAILURE);
}

static void a_response_that_is_no_response_is_refused(void **state) {
    staple s = {OPENSSL_memdup("junk", 4), 4};
    expect(&s, AWS_IO_TLS_ERROR_NEGOTIATION_FAILURE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        leak_checked(a_good_response_is_accepted),
        leak_checked(a_revoked_certificate_is_refused),
        leak_checked(a_response_that_is_out_of_date_is_refused),
        leak_checked(a_response_signed_by_somebody_else_is_refused),
        leak_checked(a_response_that_is_no_response_is_refused),
    };
    return cmocka_run_group_tests(tests, make_identities, free_identities);
}
