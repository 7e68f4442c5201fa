/* Connecting: failures, forwarding proxies, tunnels. */
#include "http_support.h"

#define OK "HTTP/1.1 200 OK\r\n"
#define EMPTY_OK OK "Content-Length: 0\r\n\r\n"

/* Ends a peer that may never have been connected to: one of us makes its accept return. */
static void peer_release(peer *p) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                  .sin_port = htons(p->port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    close(fd);
    uv_thread_join(&p->thread);
    p->failed = NULL; /* whichever connection it served */
    close(p->listener);
    latch_destroy(&p->go);
    peer_free(p);
}

/* ---- failures before any byte ---- */

static void expect_connect_failure(crt_http_connect_options *options, client *c, int code) {
    client_connect_with(c, options);
    assert_int_equal(c->connect_fault.code, code);
    assert_true(strlen(c->connect_fault.detail) > 0);
    assert_null(c->conn);
    client_end(c);
}

static void arguments_are_checked_on_the_loop(void **state) {
    client c;
    crt_tls_ctx_options tls_options = {.min_version = CRT_TLS_DEFAULT};
    crt_tls_ctx *ctx;
    crt_fault fault;
    assert_int_equal(crt_tls_ctx_new(&tls_options, &ctx, &fault), 0);
    crt_tls_options tls = {.ctx = ctx};

    client_init(&c);
    crt_http_connect_options options = client_options(&c, 80);
    options.target.host = "";
    expect_connect_failure(&options, &c, AWS_ERROR_INVALID_ARGUMENT);

    static const uint32_t ports[] = {0, 65536, UINT32_MAX};
    for (size_t i = 0; i < 3; i++) {
        client_init(&c);
        options = client_options(&c, 80);
        options.target.port = ports[i];
        expect_connect_failure(&options, &c, AWS_IO_SOCKET_INVALID_ADDRESS);
    }

    crt_http_proxy proxy = {.host = "127.0.0.1", .port = 1, .kind = CRT_HTTP_PROXY_FORWARDING};
    client_init(&c);
    options = client_options(&c, 443);
    options.proxy = &proxy;
    options.target.tls = &tls;
    expect_connect_failure(&options, &c, AWS_ERROR_INVALID_STATE);

    proxy.kind = 99;
    client_init(&c);
    options = client_options(&c, 80);
    options.proxy = &proxy;
    expect_connect_failure(&options, &c, AWS_ERROR_UNIMPLEMENTED);
    crt_tls_ctx_release(ctx);
}

static uint16_t closed_port(void) {
    const step none[] = {END};
    peer p;
    peer_start(&p, none);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                  .sin_port = htons(p.port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    peer_end(&p);
    close(fd);
    return p.port;
}

static void refused_connections_are_reported(void **state) {
    client c;
    client_init(&c);
    crt_http_connect_options options = client_options(&c, closed_port());
    expect_connect_failure(&options, &c, AWS_IO_SOCKET_CONNECTION_REFUSED);

    crt_http_proxy proxy = {.host = "127.0.0.1", .port = closed_port()};
    client_init(&c);
    options = client_options(&c, 80);
    options.proxy = &proxy;
    expect_connect_failure(&options, &c, AWS_IO_SOCKET_CONNECTION_REFUSED);
}

/* The proxy accepts and never answers. */
static void the_end_of_the_loop_ends_connecting(void **state) {
    const step steps[] = {READ_EOF, END};
    peer p;
    client c;
    peer_start(&p, steps);
    crt_http_proxy proxy = {.host = "127.0.0.1", .port = p.port, .kind = CRT_HTTP_PROXY_TUNNELING};
    client_init(&c);
    crt_http_connect_options options = client_options(&c, p.port);
    options.proxy = &proxy;
    crt_http_connect(&options);
    crt_loop_group_release(c.group);
    latch_wait(&c.connected, 1);
    assert_int_equal(c.connect_fault.code, AWS_IO_EVENT_LOOP_SHUTDOWN);
    assert_true(crt_threads_join(TEST_DEADLINE_S * 1000));
    crt_resolver_release(c.resolver);
    latch_destroy(&c.connected);
    latch_destroy(&c.shut);
    peer_release(&p);
}

/* ---- forwarding ---- */

static void run_forwarded(int kind, const char *user, const char *password, const char *expected) {
    const step steps[] = {READ("\r\n\r\n"), SEND(EMPTY_OK), READ_EOF, END};
    peer p;
    client c;
    recorder r;
    peer_start(&p, steps);
    client_init(&c);
    crt_http_proxy proxy = {.host = "127.0.0.1", .port = p.port, .kind = kind, .user = user, .password = password};
    crt_http_connect_options options = client_options(&c, 8080);
    options.target.host = "origin.example";
    options.proxy = &proxy;
    client_connect_with(&c, &options);
    assert_int_equal(c.connect_fault.code, 0);
    crt_http_message *m = make_message("GET", "/p?q", (const char *[]){"Host", "h", NULL}, NULL);
    crt_http_message_acquire(m);
    recorder_request(&r, &c, m);
    assert_int_equal(crt_http_stream_activate(r.stream), 0);
    expect_success(&r, 200, "");
    assert_true(crt_bytes_eq(crt_http_message_path(m), crt_bytes_str("/p?q"))); /* as the caller made it */
    assert_int_equal(crt_http_headers_count(crt_http_message_headers(m)), 1);
    crt_http_message_release(m);
    recorder_free(&r);
    client_end(&c);
    peer_join(&p);
    assert_string_equal(p.received, expected);
    peer_free(&p);
}

static void forwarded_requests_are_in_absolute_form(void **state) {
    run_forwarded(CRT_HTTP_PROXY_LEGACY, NULL, NULL, "GET http://origin.example:8080/p?q HTTP/1.1\r\nHost: h\r\n\r\n");
    run_forwarded(CRT_HTTP_PROXY_FORWARDING, "user", "pass",
                  "GET http://origin.example:8080/p?q HTTP/1.1\r\nHost: h\r\n"
                  "Proxy-Authorization: Basic dXNlcjpwYXNz\r\n\r\n");
}

/* ---- tunnels ---- */

typedef struct tunnelled {
    peer p;
    client c;
    crt_http_proxy proxy;
} tunnelled;

static void tunnel_connect(tunnelled *t, const step *steps, const char *host, const char *user) {
    peer_start(&t->p, steps);
    client_init(&t->c);
    t->proxy = (crt_http_proxy){.host = "127.0.0.1", .port = t->p.port, .kind = CRT_HTTP_PROXY_TUNNELING, .user = user};
    crt_http_connect_options options = client_options(&t->c, 8080);
    options.target.host = host;
    options.proxy = &t->proxy;
    client_connect_with(&t->c, &options);
}

static void tunnels_carry_requests_untouched(void **state) {
    static const char *const answers[] = {OK "\r\n", "HTTP/1.0 200 Connection established\r\nConnection: close\r\n\r\n",
                                          "HTTP/1.1 103 Wait\r\n\r\n" OK "Content-Length: 7\r\nVia: x\r\n\r\n"};
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        const step steps[] = {READ("\r\n\r\n"), SEND_BYTEWISE(answers[i]), READ("GET /p HTTP/1.1\r\n\r\n"),
                              SEND(OK "Content-Length: 2\r\n\r\nhi"), READ_EOF, END};
        tunnelled t;
        recorder r;
        tunnel_connect(&t, steps, "origin.example", i == 1 ? "" : NULL);
        assert_int_equal(t.c.connect_fault.code, 0);
        recorder_start(&r, &t.c, "/p");
        expect_success(&r, 200, "hi");
        recorder_free(&r);
        client_end(&t.c);
        peer_join(&t.p);
        assert_string_equal(t.p.received,
                            i == 1 ? "CONNECT origin.example:8080 HTTP/1.1\r\nHost: origin.example:8080\r\n"
                                     "Proxy-Connection: Keep-Alive\r\nProxy-Authorization: Basic Og==\r\n\r\n"
                                     "GET /p HTTP/1.1\r\n\r\n"
                                   : "CONNECT origin.example:8080 HTTP/1.1\r\nHost: origin.example:8080\r\n"
                                     "Proxy-Connection: Keep-Alive\r\n\r\nGET /p HTTP/1.1\r\n\r\n");
        peer_free(&t.p);
    }
}

/* Bytes of the origin right behind the proxy's answer belong to the origin. */
static void nothing_behind_the_answer_is_lost(void **state) {
    const step steps[] = {READ("\r\n\r\n"), SEND(OK "\r\nHTTP/1.1 200 Early\r\nContent-Length: 2\r\n\r\nhi"), READ_EOF,
                          END};
    tunnelled t;
    tunnel_connect(&t, steps, "::1", NULL);
    assert_int_equal(t.c.connect_fault.code, 0);
    expect_shutdown(&t.c, AWS_ERROR_INVALID_STATE); /* an answer to no request: it was seen */
    client_end(&t.c);
    peer_join(&t.p);
    assert_non_null(strstr(t.p.received, "CONNECT [::1]:8080 HTTP/1.1\r\nHost: [::1]:8080\r\n"));
    peer_free(&t.p);
}

static void proxies_that_refuse_are_reported(void **state) {
    static const struct {
        const char *answer;
        int code;
    } rows[] = {
        {"HTTP/1.1 407 Authenticate\r\nContent-Length: 2\r\n\r\nno", AWS_ERROR_HTTP_PROXY_CONNECT_FAILED},
        {"HTTP/1.1 201 Created\r\n\r\n", AWS_ERROR_HTTP_PROXY_CONNECT_FAILED},
        {"HTTP/1.1 502 Bad\r\n\r\n", AWS_ERROR_HTTP_PROXY_CONNECT_FAILED},
        {"SSH-2.0-x\r\n", AWS_ERROR_HTTP_PROTOCOL_ERROR},
        {"HTTP/1.1 200 OK\n\n", AWS_ERROR_HTTP_PROTOCOL_ERROR},
        {"", AWS_IO_SOCKET_CLOSED},
        {"HTTP/1.1 200 OK\r\n", AWS_IO_SOCKET_CLOSED},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const step steps[] = {READ("\r\n\r\n"), SEND(rows[i].answer), END};
        tunnelled t;
        tunnel_connect(&t, steps, "origin.example", NULL);
        assert_int_equal(t.c.connect_fault.code, rows[i].code);
        assert_null(t.c.conn);
        client_end(&t.c);
        peer_end(&t.p);
    }
}

/* ---- the transport "http-tunnel" ---- */

typedef struct opened {
    latch done;
    crt_fault fault;
    crt_stream *stream;
    latch closed;
    uint8_t memory[64];
    size_t received;
    latch fed;
} opened;

static void stream_on_space(void *user, crt_span *space) {
    opened *o = user;
    *space = (crt_span){o->memory + o->received, sizeof(o->memory) - o->received};
}

static void stream_on_data(void *user, size_t n) {
    opened *o = user;
    o->received += n;
    latch_add(&o->fed, n);
}

static void stream_on_closed(void *user, const crt_fault *fault) {
    opened *o = user;
    latch_add(&o->closed, 1);
}

static void stream_done(void *user, const crt_fault *fault, crt_stream *stream) {
    static const crt_stream_handler handler = {stream_on_space, stream_on_data, NULL, stream_on_closed};
    opened *o = user;
    o->fault = *fault;
    o->stream = stream;
    if (stream) {
        crt_stream_set_handler(stream, &handler, o);
        crt_stream_put(stream, "ping", 4);
    }
    latch_add(&o->done, 1);
}

static void release_stream(void *arg) {
    crt_stream_release(arg);
}

static void opened_init(opened *o) {
    memset(o, 0, sizeof(*o));
    latch_init(&o->done);
    latch_init(&o->closed);
    latch_init(&o->fed);
}

static void opened_free(opened *o) {
    latch_destroy(&o->done);
    latch_destroy(&o->closed);
    latch_destroy(&o->fed);
}

static crt_transport_options tunnel_options(client *c, opened *o, uint16_t proxy_port) {
    crt_transport_options options = {.target = client_options(c, 8883).target};
    options.target.host = "broker.example";
    options.target.done = stream_done;
    options.target.user = o;
    options.proxy_host = "127.0.0.1";
    options.proxy_port = proxy_port;
    return options;
}

static void the_transport_hands_out_the_stream_behind_the_proxy(void **state) {
    const step steps[] = {READ("\r\n\r\n"), SEND(OK "\r\nhello"), READ("ping"), READ_EOF, END};
    const crt_transport *transport = crt_http_transport("http-tunnel");
    peer p;
    client c;
    opened o;
    assert_null(crt_http_transport("no-such-transport"));
    assert_int_equal(transport->abi, CRT_TRANSPORT_ABI);
    peer_start(&p, steps);
    client_init(&c);
    opened_init(&o);
    crt_transport_options options = tunnel_options(&c, &o, p.port);
    transport->open(&options);
    latch_wait(&o.done, 1);
    assert_int_equal(o.fault.code, 0);
    latch_wait(&o.fed, 5);
    assert_memory_equal(o.memory, "hello", 5);
    on_loop(c.loop, release_stream, o.stream);
    latch_wait(&o.closed, 1);
    opened_free(&o);
    client_end(&c);
    peer_join(&p);
    assert_non_null(strstr(p.received, "CONNECT broker.example:8883 HTTP/1.1\r\n"));
    peer_free(&p);
}

typedef struct cancelling {
    const crt_transport *transport;
    crt_connect *connect;
} cancelling;

static void cancel_transport(void *arg) {
    cancelling *x = arg;
    x->transport->cancel(x->connect);
}

static void the_transport_can_be_cancelled(void **state) {
    static const char *const names[] = {"http-tunnel", "websocket"};
    for (size_t i = 0; i < 2; i++) {
        const step steps[] = {READ("\r\n\r\n"), READ_EOF, END};
        cancelling x = {crt_http_transport(names[i]), NULL};
        peer p;
        client c;
        opened o;
        peer_start(&p, steps);
        client_init(&c);
        opened_init(&o);
        crt_transport_options options = tunnel_options(&c, &o, p.port);
        x.connect = x.transport->open(&options);
        on_loop(c.loop, cancel_transport, &x);
        latch_wait(&o.done, 1);
        assert_int_equal(o.fault.code, AWS_ERROR_IO_OPERATION_CANCELLED);
        assert_null(o.stream);
        opened_free(&o);
        client_end(&c);
        peer_release(&p);
    }
}

/* Agrees to the tunnel, says so when TLS begins in it, and never answers that. */
static void serve_silence_in_a_tunnel(peer *p, int fd) {
    static const step tunnel[] = {READ("\r\n\r\n"), SEND(OK "\r\n"), READ("\x16\x03"), END};
    p->steps = tunnel;
    peer_serve_steps(p, fd);
    peer_go(p);
    while (peer_read_more(p, fd)) {
    }
}

static void the_handshake_inside_a_tunnel_can_be_cancelled(void **state) {
    crt_tls_ctx_options tls_options = {.min_version = CRT_TLS_DEFAULT};
    crt_fault fault;
    crt_tls_options tls = {0};
    cancelling x = {crt_http_transport("http-tunnel"), NULL};
    peer p = {0};
    client c;
    opened o;
    assert_int_equal(crt_tls_ctx_new(&tls_options, &tls.ctx, &fault), 0);
    peer_start_serving(&p, serve_silence_in_a_tunnel);
    client_init(&c);
    opened_init(&o);
    crt_transport_options options = tunnel_options(&c, &o, p.port);
    options.target.tls = &tls;
    x.connect = x.transport->open(&options);
    latch_wait(&p.go, 1);
    on_loop(c.loop, cancel_transport, &x);
    latch_wait(&o.done, 1);
    assert_int_equal(o.fault.code, AWS_ERROR_IO_OPERATION_CANCELLED);
    assert_null(o.stream);
    peer_end(&p); /* ends because the connection was closed */
    opened_free(&o);
    client_end(&c);
    crt_tls_ctx_release(tls.ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        leak_checked(arguments_are_checked_on_the_loop),
        leak_checked(refused_connections_are_reported),
        leak_checked(the_end_of_the_loop_ends_connecting),
        leak_checked(forwarded_requests_are_in_absolute_form),
        leak_checked(tunnels_carry_requests_untouched),
        leak_checked(nothing_behind_the_answer_is_lost),
        leak_checked(proxies_that_refuse_are_reported),
        leak_checked(the_transport_hands_out_the_stream_behind_the_proxy),
        leak_checked(the_transport_can_be_cancelled),
        leak_checked(the_handshake_inside_a_tunnel_can_be_cancelled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
