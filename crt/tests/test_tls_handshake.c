/* TLS handshakes against an OpenSSL server: who is trusted, what is negotiated, how failures are told. */
#include "tls_support.h"

static identity ca, site, client_id, other_ca;

static int make_identities(void **state) {
    identity_new(&ca, &(identity_options){.common_name = "Test CA", .ca = true});
    identity_new(&other_ca, &(identity_options){.common_name = "Other CA", .ca = true});
    identity_new(&site, &(identity_options){.common_name = "ignored.example", .issuer = &ca,
                                            .names = "DNS:site.example,DNS:*.wild.example,IP:127.0.0.1,IP:::1"});
    identity_new(&client_id, &(identity_options){.common_name = "device", .issuer = &ca});
    return 0;
}

static int free_identities(void **state) {
    identity_free(&ca);
    identity_free(&other_ca);
    identity_free(&site);
    identity_free(&client_id);
    return 0;
}

/* One handshake; on success the connection is closed again. Returns its code and keeps the story. */
static char story[256];

static int shake_hands(tls_server *server, const crt_tls_ctx_options *options, const char *name) {
    client c;
    int code;

    client_init(&c);
    tls_connect(&c, server, options, name);
    code = c.connect_fault.code;
    strcpy(story, c.connect_fault.detail);
    if (code == 0) {
        client_close(&c);
        assert_int_equal(c.close_fault.code, 0);
    } else {
        assert_null(c.stream);
    }
    client_free(&c);
    return code;
}

static int shake_hands_with(const identity *id, const crt_tls_ctx_options *options, const char *name) {
    tls_server server;
    int code;

    server_init(&server, id);
    code = shake_hands(&server, options, name);
    server_free(&server);
    return code;
}

static void expect_story(const char *part) {
    if (!strstr(story, part)) {
        fail_msg("'%s' does not say '%s'", story, part);
    }
}

/* ---- trust ---- */

static void a_chain_to_the_given_ca_is_trusted(void **state) {
    crt_tls_ctx_options options = tls_options_trusting(&ca);
    assert_int_equal(shake_hands_with(&site, &options, "site.example"), 0);
}

static void an_unknown_ca_is_refused_at_once_with_advice(void **state) {
    crt_tls_ctx_options options = tls_options_trusting(&other_ca);
    assert_int_equal(shake_hands_with(&site, &options, "site.example"), AWS_IO_TLS_ERROR_NEGOTIATION_FAILURE);
    expect_story("TLS with site.example (127.0.0.1:");
    expect_story("unknown CA");
    expect_story("override_default_trust_store");
}

static void a_self_signed_certificate_is_trusted_only_when_given(void **state) {
    identity alone;
    crt_tls_ctx_options options = tls_options_trusting(&ca);

    identity_new(&alone, &(identity_options){.common_name = "alone", .names = "DNS:site.example"});
    assert_int_equal(shake_hands_with(&alone, &options, "site.example"), AWS_IO_TLS_ERROR_NEGOTIATION_FAILURE);
    expect_story("self-signed");
    options = tls_options_trusting(&alone);
    assert_int_equal(shake_hands_with(&alone, &options, "site.example"), 0);
    identity_free(&alone);
}

/* A directory as c_rehash leaves it: files named by the hash of the subject. */
static void a_directory_of_hashed_names_is_searched(void **state) {
    crt_tls_ctx_options options = {.min_version = CRT_TLS_DEFAULT, .verify_peer = true};
    char directory[] = "/tmp/crt-test-ca-XXXXXX", path[64];
    FILE *file;

    assert_non_null(mkdtemp(directory));
    options.ca_dir = directory;
    assert_int_equal(shake_hands_with(&site, &options, "site.example"), AWS_IO_TLS_ERROR_NEGOTIATION_FAILURE);
    snprintf(path, sizeof(path), "%s/%08lx.0", directory, X509_subject_name_hash(ca.certificate));
    file = fopen(path, "w");
    assert_non_null(file);
    fputs(ca.cert_pem, file);
    fclose(file);
    assert_int_equal(shake_hands_with(&site, &options, "site.example"), 0);
    unlink(path);
    rmdir(directory);
}

static void expired_and_future_certificates_are_refused(void **state) {
    identity expired, future;
    crt_tls_ctx_options options = tls_options_trusting(&ca);

    identity_new(&expired, &(identity_options){.common_name = "x", .issuer = &ca, .names = "DNS:site.example",
                                               .starts_in = -7200, .ends_in = -3600});
    assert_int_equal(shake_hands_with(&expired, &options, "site.example"), AWS_IO_TLS_ERROR_NEGOTIATION_FAILURE);
    expect_story("certificate has expired");
    identity_new(&future, &(identity_options){.common_name = "x", .issuer = &ca, .names = "DNS:site.example",
                                              .starts_in = 7200});
    assert_int_equal(shake_hands_with(&future, &options, "site.example"), AWS_IO_TLS_ERROR_NEGOTIATION_FAILURE);
    expect_story("not yet valid");
    identity_free(&expired);
    identity_free(&future);
}

static void without_verification_anything_goes(void **state) {
    identity bad;
    crt_tls_ctx_options options = {.min_version = CRT_TLS_DEFAULT, .verify_peer = false};

    identity_new(&bad, &(identity_options){.common_name = "x", .starts_in = -7200, .ends_in = -3600});
    assert_int_equal(shake_hands_with(&bad, &options, "site.example"), 0);
    identity_free(&bad);
}

/* ---- hosts ---- */

static void the_certificate_must_name_the_host(void **state) {
    crt_tls_ctx_options options = tls_options_trusting(&ca);

    assert_int_equal(shake_hands_with(&site, &options, "SITE.example"), 0);
    assert_int_equal(shake_hands_with(&site, &options, "site.example."), 0);
    assert_int_equal(shake_hands_with(&site, &options, "a.wild.example"), 0);
    assert_int_equal(shake_hands_with(&site, &options, "a.b.wild.example"), AWS_IO_TLS_ERROR_NEGOTIATION_FAILURE);
    assert_int_equal(shake_hands_with(&site, &options, "wild.example"), AWS_IO_TLS_ERROR_NEGOTIATION_FAILURE);
    /* its common name counts for nothing beside alternative names */
    assert_int_equal(shake_hands_with(&site, &options, "ignored.example"), AWS_IO_TLS_ERROR_NEGOTIATION_FAILURE);
    expect_story("certificate is not valid for host 'ignored.example'");
    expect_story("valid for: site.example, *.wild.example, 127.0.0.1, 0:0:0:0:0:0:0:1");
}

static void the_common_name_counts_when_there_is_nothing_else(void **state) {
    identity old;
    crt_tls_ctx_options options = tls_options_trusting(&ca);

    identity_new(&old, &(identity_options){.common_name = "old.example", .issuer = &ca});
    assert_int_equal(shake_hands_with(&old, &options, "old.example"), 0);
    assert_int_equal(shake_hands_with(&old, &options, "new.example"), AWS_IO_TLS_ERROR_NEGOTIATION_FAILURE);
    expect_story("valid for: old.example");
    identity_free(&old);
}

static void addresses_match_ip_alternative_names(void **state) {
    crt_tls_ctx_options options = tls_options_trusting(&ca);

    assert_int_equal(shake_hands_with(&site, &options, NULL), 0); /* the host of the connection: 127.0.0.1 */
    assert_int_equal(shake_hands_with(&site, &options, "::1"), 0);
    assert_int_equal(shake_hands_with(&site, &options, "127.0.0.2"), AWS_IO_TLS_ERROR_NEGOTIATION_FAILURE);
    expect_story("certificate is not valid for host '127.0.0.2'");
}

static void unprintable_names_of_the_peer_stay_out_of_messages(void **state) {
    identity nasty;
    crt_tls_ctx_options options = tls_options_trusting(&ca);

    identity_new(&nasty, &(identity_options){.common_name = "a\x1b[31mb", .issuer = &ca});
    assert_int_equal(shake_hands_with(&nasty, &options, "site.example"), AWS_IO_TLS_ERROR_NEGOTIATION_FAILURE);
    expect_story("valid for: a?[31mb");
    identity_free(&nasty);
}

static void the_server_is_asked_for_by_name(void **state) {
    tls_server server;
    crt_tls_ctx_options options = tls_options_trusting(&ca);

    server_init(&server, &site);
    assert_int_equal(shake_hands(&server, &options, "site.example"), 0);
    assert_string_equal(server.sni, "site.example");
    server.sni[0] = 'x';
    assert_int_equal(shake_hands(&server, &options, "127.0.0.1"), 0);
    assert_string_equal(server.sni, ""); /* RFC 6066: no literal addresses */
    server_free(&server);
}

static void a_name_longer_than_any_host_is_refused(void **state) {
    char name[400];
    crt_tls_ctx_options options = tls_options_trusting(&ca);

    memset(name, 'x', sizeof(name));
    name[sizeof(name) - 1] = '\0';
    assert_int_equal(shake_hands_with(&site, &options, name), AWS_IO_TLS_ERROR_NEGOTIATION_FAILURE);
}

/* ---- versions, suites, ALPN ---- */

static void the_best_common_version_is_used(void **state) {
    static const int versions[] = {TLS1_3_VERSION, TLS1_2_VERSION, TLS1_1_VERSION, TLS1_VERSION};
    crt_tls_ctx_options options = tls_options_trusting(&ca);
    size_t i;

    for (i = 0; i < sizeof(versions) / sizeof(versions[0]); i++) {
        tls_server server;
        server_init(&server, &site);
        SSL_CTX_set_max_proto_version(server.ctx, versions[i]);
        assert_int_equal(shake_hands(&server, &options, "site.example"), 0);
        assert_int_equal(server.version, versions[i]);
        server_free(&server);
    }
}

static void the_minimum_version_is_respected(void **state) {
    tls_server server;
    crt_tls_ctx_options options = tls_options_trusting(&ca);

    server_init(&server, &site);
    SSL_CTX_set_max_proto_version(server.ctx, TLS1_2_VERSION);
    options.min_version = CRT_TLS_1_3;
    assert_int_equal(shake_hands(&server, &options, "site.example"), AWS_IO_TLS_ERROR_NEGOTIATION_FAILURE);
    expect_story("protocol version");
    options.cipher_pref = CRT_TLS_CIPHERS_PQ_DEFAULT; /* replaces the policy of the minimum version */
    assert_int_equal(shake_hands(&server, &options, "site.example"), 0);
    server_free(&server);
}

static void the_strict_preference_has_no_cbc(void **state) {
    tls_server server;
    crt_tls_ctx_options options = tls_options_trusting(&ca);

    server_init(&server, &site);
    SSL_CTX_set_max_proto_version(server.ctx, TLS1_2_VERSION);
    SSL_CTX_set_cipher_list(server.ctx, "ECDHE-ECDSA-AES128-SHA256");
    assert_int_equal(shake_hands(&server, &options, "site.example"), 0);
    options.cipher_pref = CRT_TLS_CIPHERS_1_2_2025_07;
    assert_int_equal(shake_hands(&server, &options, "site.example"), AWS_IO_TLS_ERROR_NEGOTIATION_FAILURE);
    expect_story("alert");
    server_free(&server);
}

static int choose_h2(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *in,
                     unsigned in_len, void *arg) {
    return SSL_select_next_proto((unsigned char **)(uintptr_t)out, out_len, (const unsigned char *)"\x02h2", 3, in,
                                 in_len) == OPENSSL_NPN_NEGOTIATED
               ? SSL_TLSEXT_ERR_OK
               : SSL_TLSEXT_ERR_NOACK;
}

typedef struct alpn_check {
    client *c;
    char name[32];
} alpn_check;

static void read_alpn(void *arg) {
    alpn_check *check = arg;
    crt_bytes name = crt_stream_alpn(check->c->stream);
    snprintf(check->name, sizeof(check->name), "%.*s", (int)name.len, name.ptr ? (const char *)name.ptr : "");
}

static void expect_alpn(const char *offered, const char *chosen) {
    tls_server server;
    client c;
    alpn_check check = {.c = &c};
    crt_tls_ctx_options options = tls_options_trusting(&ca);

    server_init(&server, &site);
    SSL_CTX_set_alpn_select_cb(server.ctx, choose_h2, NULL);
    options.alpn = offered;
    client_init(&c);
    tls_connect(&c, &server, &options, "site.example");
    assert_int_equal(c.connect_fault.code, 0);
    on_loop(c.loop, read_alpn, &check);
    client_close(&c);
    client_free(&c);
    assert_string_equal(check.name, chosen);
    assert_string_equal(server.alpn, chosen);
    server_free(&server);
}

static void alpn_is_negotiated(void **state) {
    expect_alpn("h2;http/1.1", "h2");
    expect_alpn("http/1.1;h2", "h2");
    expect_alpn("http/1.1", ""); /* nothing in common is no error */
    expect_alpn(NULL, "");
}

static int connect_with_alpn(tls_server *server, const char *alpn) {
    client c;
    crt_tls_ctx_options context = tls_options_trusting(&ca);
    crt_tls_options options = {.server_name = "site.example", .alpn = alpn};
    crt_connect_options connect;
    int code;

    context.alpn = "http/1.1";
    client_init(&c);
    options.ctx = tls_ctx_of(&context);
    peer_start(&c.peer, serve_tls, server);
    connect = client_options(&c, "127.0.0.1", c.peer.port);
    connect.tls = &options;
    crt_stream_connect(&connect);
    crt_tls_ctx_release(options.ctx);
    latch_wait(&c.connected, 1);
    code = c.connect_fault.code;
    client_free(&c);
    return code;
}

static void a_connection_overrides_the_alpn_names_of_its_context(void **state) {
    tls_server server;

    server_init(&server, &site);
    SSL_CTX_set_alpn_select_cb(server.ctx, choose_h2, NULL);
    assert_int_equal(connect_with_alpn(&server, "h2"), 0);
    assert_string_equal(server.alpn, "h2");
    assert_int_equal(connect_with_alpn(&server, "h2;;x"), AWS_IO_TLS_CTX_ERROR);
    server_free(&server);
}

/* ---- client certificates ---- */

static void a_client_certificate_is_shown_when_asked_for(void **state) {
    tls_server server;
    crt_tls_ctx_options options = tls_options_trusting(&ca);

    server_init(&server, &site);
    SSL_CTX_set_verify(server.ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    X509_STORE_add_cert(SSL_CTX_get_cert_store(server.ctx), ca.certificate);
    options.cert_pem = crt_bytes_str(client_id.cert_pem);
    options.key_pem = crt_bytes_str(client_id.key_pem);
    assert_int_equal(shake_hands(&server, &options, "site.example"), 0);
    assert_string_equal(server.client_name, "device");
    SSL_CTX_set_verify(server.ctx, SSL_VERIFY_NONE, NULL);
    assert_int_equal(shake_hands(&server, &options, "site.example"), 0); /* not asked: fine as well */
    server_free(&server);
}

static void a_missing_client_certificate_fails_tls_1_2_handshakes(void **state) {
    tls_server server;
    crt_tls_ctx_options options = tls_options_trusting(&ca);

    server_init(&server, &site);
    SSL_CTX_set_max_proto_version(server.ctx, TLS1_2_VERSION);
    SSL_CTX_set_verify(server.ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    assert_int_equal(shake_hands(&server, &options, "site.example"), AWS_IO_TLS_ERROR_NEGOTIATION_FAILURE);
    expect_story("alert 'handshake failure'");
    server_free(&server);
}

static void a_missing_client_certificate_ends_tls_1_3_connections_with_an_alert(void **state) {
    tls_server server;
    client c;
    crt_tls_ctx_options options = tls_options_trusting(&ca);

    server_init(&server, &site);
    SSL_CTX_set_verify(server.ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    client_init(&c);
    tls_connect(&c, &server, &options, "site.example");
    assert_int_equal(c.connect_fault.code, 0);
    latch_wait(&c.closed, 1);
    assert_int_equal(c.close_fault.code, AWS_IO_TLS_ERROR_ALERT_RECEIVED);
    assert_non_null(strstr(c.close_fault.detail, "certificate required"));
    client_free(&c);
    server_free(&server);
}

/* ---- servers that do not behave ---- */

static void expect_failure_from(void (*serve)(peer *, int), void *arg, int code) {
    client c;
    crt_tls_ctx_options options = tls_options_trusting(&ca);

    client_init(&c);
    tls_connect_to(&c, serve, arg, &options, "site.example", 0);
    assert_int_equal(c.connect_fault.code, code);
    assert_non_null(strstr(c.connect_fault.detail, "TLS with site.example (127.0.0.1:"));
    client_free(&c);
}

static void serve_close_after_hello(peer *p, int fd) {
    uint8_t hello[2000];
    (void)p;
    recv(fd, hello, sizeof(hello), 0);
}

static void a_server_that_hangs_up_in_the_handshake(void **state) {
    expect_failure_from(serve_close_after_hello, NULL, AWS_IO_SOCKET_CLOSED);
    expect_failure_from(serve_reset, NULL, AWS_IO_SOCKET_CLOSED);
}

static void a_server_that_does_not_speak_tls(void **state) {
    sending http = {(uint8_t *)"HTTP/1.1 400 Bad Request\r\n\r\n", 28};
    expect_failure_from(serve_bytes, &http, AWS_IO_TLS_ERROR_NEGOTIATION_FAILURE);
}

static void a_silent_server_runs_into_the_timeout(void **state) {
    client c;
    crt_tls_ctx_options options = tls_options_trusting(&ca);

    client_init(&c);
    tls_connect_to(&c, serve_nothing, NULL, &options, "site.example", 30);
    assert_int_equal(c.connect_fault.code, AWS_IO_TLS_NEGOTIATION_TIMEOUT);
    client_free(&c);
}

typedef struct cancelling {
    crt_task task;
    client *c;
    crt_connect *connect;
    latch hello;
} cancelling;

static void serve_hello_seen(peer *p, int fd) {
    cancelling *x = p->arg;
    uint8_t hello[2000];
    recv(fd, hello, sizeof(hello), 0);
    latch_add(&x->hello, 1);
    latch_reaches(&p->leave, 1);
}

static void cancel_now(void *arg) {
    cancelling *x = arg;
    crt_connect_cancel(x->connect);
    x->c->observed = (size_t)x->c->connect_calls; /* not inside the call */
}

static void a_handshake_can_be_cancelled(void **state) {
    client c;
    cancelling x = {.c = &c};
    crt_tls_ctx_options context = tls_options_trusting(&ca);
    crt_tls_options options = {.server_name = "site.example"};
    crt_connect_options connect;

    latch_init(&x.hello);
    client_init(&c);
    options.ctx = tls_ctx_of(&context);
    peer_start(&c.peer, serve_hello_seen, &x);
    connect = client_options(&c, "127.0.0.1", c.peer.port);
    connect.tls = &options;
    x.connect = crt_stream_connect(&connect);
    crt_tls_ctx_release(options.ctx);
    latch_wait(&x.hello, 1);
    on_loop(c.loop, cancel_now, &x);
    latch_wait(&c.connected, 1);
    assert_int_equal(c.connect_calls, 1);
    assert_int_equal(c.observed, 0);
    assert_int_equal(c.connect_fault.code, AWS_ERROR_IO_OPERATION_CANCELLED);
    client_free(&c);
    latch_destroy(&x.hello);
}

static void the_end_of_the_loop_ends_a_handshake(void **state) {
    client c;
    cancelling x = {.c = &c};
    crt_tls_ctx_options context = tls_options_trusting(&ca);
    crt_tls_options options = {.server_name = "site.example"};
    crt_connect_options connect;

    latch_init(&x.hello);
    client_init(&c);
    options.ctx = tls_ctx_of(&context);
    peer_start(&c.peer, serve_hello_seen, &x);
    connect = client_options(&c, "127.0.0.1", c.peer.port);
    connect.tls = &options;
    crt_stream_connect(&connect);
    crt_tls_ctx_release(options.ctx);
    latch_wait(&x.hello, 1);
    client_end_loop(&c);
    assert_int_equal(c.connect_calls, 1);
    assert_int_equal(c.connect_fault.code, AWS_IO_EVENT_LOOP_SHUTDOWN);
    client_free(&c);
    latch_destroy(&x.hello);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        leak_checked(a_chain_to_the_given_ca_is_trusted),
        leak_checked(an_unknown_ca_is_refused_at_once_with_advice),
        leak_checked(a_self_signed_certificate_is_trusted_only_when_given),
        leak_checked(a_directory_of_hashed_names_is_searched),
        leak_checked(expired_and_future_certificates_are_refused),
        leak_checked(without_verification_anything_goes),
        leak_checked(the_certificate_must_name_the_host),
        leak_checked(the_common_name_counts_when_there_is_nothing_else),
        leak_checked(addresses_match_ip_alternative_names),
        leak_checked(unprintable_names_of_the_peer_stay_out_of_messages),
        leak_checked(the_server_is_asked_for_by_name),
        leak_checked(a_name_longer_than_any_host_is_refused),
        leak_checked(the_best_common_version_is_used),
        leak_checked(the_minimum_version_is_respected),
        leak_checked(the_strict_preference_has_no_cbc),
        leak_checked(alpn_is_negotiated),
        leak_checked(a_connection_overrides_the_alpn_names_of_its_context),
        leak_checked(a_client_certificate_is_shown_when_asked_for),
        leak_checked(a_missing_client_certificate_fails_tls_1_2_handshakes),
        leak_checked(a_missing_client_certificate_ends_tls_1_3_connections_with_an_alert),
        leak_checked(a_server_that_hangs_up_in_the_handshake),
        leak_checked(a_server_that_does_not_speak_tls),
        leak_checked(a_silent_server_runs_into_the_timeout),
        leak_checked(a_handshake_can_be_cancelled),
        leak_checked(the_end_of_the_loop_ends_a_handshake),
    };
    return cmocka_run_group_tests(tests, make_identities, free_identities);
}
