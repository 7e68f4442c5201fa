/*
 * The system's trust roots when they are a bundle: parsed on a thread of its own, while contexts are made and
 * handshakes wait. A FIFO in the bundle's place lets the tests say when the parsing ends. In order: what was loaded
 * stays loaded.
 */
#include "tls_support.h"

#include <sys/stat.h>
#include <sys/wait.h>

#include "../io/tls_openssl.h"

static identity ca, site;
static char directory[] = "/tmp/crt-test-trust-XXXXXX", bundle[64];

static int make_identities(void **state) {
    identity_new(&ca, &(identity_options){.common_name = "Test CA", .ca = true});
    identity_new(&site, &(identity_options){.common_name = "site", .issuer = &ca, .names = "DNS:site.example"});
    assert_non_null(mkdtemp(directory));
    snprintf(bundle, sizeof(bundle), "%s/bundle.pem", directory);
    crt_openssl_trust_places = (crt_trust_places){.bundles = {bundle}};
    return 0;
}

static int free_identities(void **state) {
    identity_free(&ca);
    identity_free(&site);
    unlink(bundle);
    rmdir(directory);
    return 0;
}

static const crt_tls_ctx_options verifying = {.min_version = CRT_TLS_DEFAULT, .verify_peer = true};

static void write_bundle(const char *text) {
    int fd = open(bundle, O_WRONLY | O_CREAT, 0600); /* a FIFO: waits for the reader */
    assert_in_range(fd, 0, 1024);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

/* Like tls_connect, but with a context that exists and without waiting. */
static void start_connecting(client *c, tls_server *server, crt_tls_ctx *ctx) {
    crt_tls_options tls = {.ctx = ctx, .server_name = "site.example"};
    crt_connect_options options;

    peer_start(&c->peer, serve_tls, server);
    options = client_options(c, "127.0.0.1", c->peer.port);
    options.tls = &tls;
    assert_non_null(crt_stream_connect(&options));
}

/* A connection of the same loop that gives up soon. */
typedef struct impatient {
    peer peer;
    latch done;
    int code;
} impatient;

static void on_given_up(void *user, const crt_fault *fault, crt_stream *stream) {
    impatient *i = user;

    (void)stream;
    i->code = fault->code;
    latch_add(&i->done, 1);
}

static int give_up_connecting(client *c, crt_tls_ctx *ctx) {
    impatient i = {0};
    crt_tls_options tls = {.ctx = ctx, .server_name = "site.example", .timeout_ms = 20};
    crt_connect_options options;

    latch_init(&i.done);
    peer_start(&i.peer, serve_until_closed, NULL);
    options = client_options(c, "127.0.0.1", i.peer.port);
    options.tls = &tls;
    options.done = on_given_up;
    options.user = &i;
    assert_non_null(crt_stream_connect(&options));
    latch_wait(&i.done, 1);
    peer_join(&i.peer);
    latch_destroy(&i.done);
    return i.code;
}

static void a_system_without_roots_is_told_at_once(void **state) {
    crt_fault fault = {0};
    crt_tls_ctx *ctx = NULL;

    assert_int_equal(crt_tls_ctx_new(&verifying, &ctx, &fault), AWS_IO_TLS_ERROR_DEFAULT_TRUST_STORE_NOT_FOUND);
    assert_null(ctx);
    assert_non_null(strstr(fault.detail, "override_default_trust_store"));
}

/* Of all contexts that were made while the roots were being parsed. */
static void roots_that_cannot_be_read_fail_the_handshake(void **state) {
    crt_tls_ctx *contexts[2];
    size_t i;

    assert_int_equal(mkfifo(bundle, 0600), 0);
    contexts[0] = tls_ctx_of(&verifying);
    contexts[1] = tls_ctx_of(&verifying);
    write_bundle("no certificate at all\n");
    for (i = 0; i < 2; i++) {
        tls_server server;
        client c;

        server_init(&server, &site);
        client_init(&c);
        start_connecting(&c, &server, contexts[i]);
        latch_wait(&c.connected, 1);
        assert_int_equal(c.connect_fault.code, AWS_IO_TLS_ERROR_DEFAULT_TRUST_STORE_NOT_FOUND);
        assert_non_null(strstr(c.connect_fault.detail, "the system's trust store"));
        crt_tls_ctx_release(contexts[i]);
        client_free(&c);
        server_free(&server);
    }
    unlink(bundle);
}

static void touch(void *arg) {
    *(bool *)arg = true;
}

static void handshakes_wait_for_the_roots_and_loops_do_not(void **state) {
    tls_server server;
    client c;
    crt_tls_ctx *first, *second;
    bool ran = false;

    assert_int_equal(mkfifo(bundle, 0600), 0);
    server_init(&server, &site);
    client_init(&c);
    first = tls_ctx_of(&verifying); /* returns, though nobody writes to the FIFO yet */
    second = tls_ctx_of(&verifying);
    start_connecting(&c, &server, first);
    assert_int_equal(give_up_connecting(&c, second), AWS_IO_TLS_NEGOTIATION_TIMEOUT);
    on_loop(c.loop, touch, &ran);
    assert_true(ran);
    assert_int_equal(c.connect_calls, 0);

    write_bundle(ca.cert_pem);
    latch_wait(&c.connected, 1);
    assert_int_equal(c.connect_fault.code, 0);
    client_close(&c);
    crt_tls_ctx_release(first);
    crt_tls_ctx_release(second);
    client_free(&c);
    server_free(&server);
}

static int connect_once(void) {
    tls_server server;
    client c;
    int code;

    server_init(&server, &site);
    client_init(&c);
    tls_connect(&c, &server, &verifying, "site.example");
    code = c.connect_fault.code;
    if (code == 0) {
        client_close(&c);
    }
    client_free(&c);
    server_free(&server);
    return code;
}

/* The bundle could not be read again: the FIFO has no writer. */
static void roots_are_loaded_once(void **state) {
    assert_int_equal(connect_once(), 0);
    assert_int_equal(connect_once(), 0);
}

#if !defined(__SANITIZE_THREAD__) /* it cannot follow threads that a forked child starts */
static void a_forked_child_loads_its_own(void **state) {
    int status = -1;
    pid_t child;

    unlink(bundle);
    write_bundle(ca.cert_pem);
    child = fork();
    if (child == 0) {
        _exit(connect_once() == 0 ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}
#endif

int main(void) {
    const struct CMUnitTest tests[] = {
        leak_checked(a_system_without_roots_is_told_at_once),
        leak_checked(roots_that_cannot_be_read_fail_the_handshake),
        leak_checked(handshakes_wait_for_the_roots_and_loops_do_not),
        leak_checked(roots_are_loaded_once),
#if !defined(__SANITIZE_THREAD__)
        leak_checked(a_forked_child_loads_its_own),
#endif
    };
    return cmocka_run_group_tests(tests, make_identities, free_identities);
}
