/* HTTP over TLS: bodies in place, protocols, cut-off responses, TLS inside a proxy's tunnel. */
#include "tls_support.h"

#include "crt/http.h"

/* One connection and one GET on it; the body lands in `memory`. */
typedef struct fetch {
    crt_loop_group *group;
    crt_resolver *resolver;
    crt_http_conn *conn;
    latch connected;
    latch done;
    latch shut;
    crt_fault connect_fault;
    crt_fault fault;
    crt_fault shutdown;
    int status;
    uint8_t *memory;
    size_t capacity;
    size_t filled;
} fetch;

static void on_connected(void *user, const crt_fault *fault, crt_http_conn *conn) {
    fetch *f = user;
    f->connect_fault = *fault;
    f->conn = conn;
    latch_add(&f->connected, 1);
}

static void on_shutdown(void *user, const crt_fault *fault) {
    fetch *f = user;
    f->shutdown = *fault;
    latch_add(&f->shut, 1);
}

static int on_head(void *user, int status, const crt_http_header *headers, size_t count) {
    return 0;
}

static void on_space(void *user, uint64_t want, crt_span *space) {
    fetch *f = user;
    *space = (crt_span){f->memory + f->filled, f->capacity - f->filled};
}

static int on_body(void *user, crt_bytes data) {
    fetch *f = user;
    bool in_place = data.ptr == f->memory + f->filled;
    f->filled += data.len;
    return in_place ? 0 : AWS_ERROR_UNKNOWN;
}

static void on_complete(void *user, const crt_fault *fault, int status) {
    fetch *f = user;
    f->fault = *fault;
    f->status = status;
    latch_add(&f->done, 1);
}

static const crt_http_conn_handler conn_handler = {on_connected, on_shutdown};
static const crt_http_stream_handler stream_handler = {on_head, on_space, on_body, on_complete};

static void fetch_connect(fetch *f, uint16_t port, const crt_tls_ctx_options *tls, const crt_http_proxy *proxy) {
    crt_resolver_options resolver_options = {0};
    crt_tls_options per_connection = {.ctx = tls_ctx_of(tls)};
    memset(f, 0, sizeof(*f));
    latch_init(&f->connected);
    latch_init(&f->done);
    latch_init(&f->shut);
    f->group = group_new(1);
    assert_int_equal(crt_resolver_new(&resolver_options, &f->resolver), 0);
    crt_http_connect_options options = {.handler = &conn_handler, .user = f, .proxy = proxy, .version = CRT_HTTP_1_1};
    options.target.loop = crt_loop_group_at(f->group, 0);
    options.target.resolver = f->resolver;
    options.target.host = "localhost";
    options.target.port = port;
    options.target.socket = (crt_socket_options)CRT_SOCKET_OPTIONS_DEFAULT;
    options.target.tls = &per_connection;
    crt_http_connect(&options);
    crt_tls_ctx_release(per_connection.ctx);
    latch_wait(&f->connected, 1);
}

static void fetch_get(fetch *f, size_t capacity) {
    crt_http_stream *stream;
    crt_http_message *m = crt_http_message_new(NULL);
    f->memory = malloc(capacity);
    f->capacity = capacity;
    crt_http_message_set_method(m, crt_bytes_str("GET"));
    crt_http_message_set_path(m, crt_bytes_str("/"));
    assert_int_equal(crt_http_stream_new(f->conn, m, &stream_handler, f, &stream), 0);
    assert_int_equal(crt_http_stream_activate(stream), 0);
    crt_http_stream_release(stream);
    crt_http_message_release(m);
    latch_wait(&f->done, 1);
}

static void fetch_end(fetch *f) {
    if (f->conn) {
        crt_http_conn_release(f->conn);
        latch_wait(&f->shut, 1);
    }
    crt_resolver_release(f->resolver);
    group_end(f->group);
    latch_destroy(&f->connected);
    latch_destroy(&f->done);
    latch_destroy(&f->shut);
    free(f->memory);
}

/* ---- the server ---- */

enum { LEN = 1500000 };

static bool read_request(SSL *ssl) {
    char text[4096];
    int at = 0;
    while (at < (int)sizeof(text) - 1) {
        int n = SSL_read(ssl, text + at, (int)sizeof(text) - 1 - at);
        if (n <= 0) {
            return false;
        }
        at += n;
        text[at] = 0;
        if (strstr(text, "\r\n\r\n")) {
            return true;
        }
    }
    return false;
}

static uint8_t byte_at(size_t i) {
    return (uint8_t)(i * 13 + i / 257);
}

static void answer_large(tls_server *server, SSL *ssl, int fd) {
    char head[100];
    uint8_t *body = malloc(LEN);
    for (size_t i = 0; i < LEN; i++) {
        body[i] = byte_at(i);
    }
    int n = snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", LEN);
    if (read_request(ssl) && ssl_send_all(ssl, (uint8_t *)head, (size_t)n) && ssl_send_all(ssl, body, LEN)) {
        talk_until_closed(server, ssl);
    }
    free(body);
}

static void answer_until_close(tls_server *server, SSL *ssl, int fd) {
    static const char text[] = "HTTP/1.0 200 OK\r\n\r\nall of it";
    bool orderly = server->arg != NULL;
    if (read_request(ssl) && ssl_send_all(ssl, (const uint8_t *)text, sizeof(text) - 1) && orderly) {
        SSL_shutdown(ssl);
    }
}

/* A proxy that is its own origin. */
static void serve_tunnel(peer *p, int fd) {
    static const char answer[] = "HTTP/1.1 200 OK\r\n\r\n";
    char request[1000];
    size_t at = 0;
    while (at < sizeof(request) - 1) {
        ssize_t n = recv(fd, request + at, 1, 0);
        if (n <= 0) {
            return;
        }
        at += (size_t)n;
        request[at] = 0;
        if (strstr(request, "\r\n\r\n")) {
            break;
        }
    }
    if (strncmp(request, "CONNECT localhost:4433 HTTP/1.1\r\n", 33) == 0 &&
        send_all(fd, (const uint8_t *)answer, sizeof(answer) - 1)) {
        serve_tls(p, fd);
    }
}

static identity server_identity;

static int make_identity(void **state) {
    identity_options options = {.common_name = "localhost", .names = "DNS:localhost", .ca = true};
    identity_new(&server_identity, &options);
    return 0;
}

static int free_identity(void **state) {
    identity_free(&server_identity);
    return 0;
}

/* ---- tests ---- */

static void expect_large_body(fetch *f) {
    fetch_get(f, LEN);
    assert_int_equal(f->fault.code, 0);
    assert_int_equal(f->status, 200);
    assert_int_equal(f->filled, LEN);
    for (size_t i = 0; i < LEN; i++) {
        if (f->memory[i] != byte_at(i)) {
            fail_msg("byte %zu differs", i);
        }
    }
}

static void bodies_are_decrypted_into_the_consumers_memory(void **state) {
    tls_server server;
    peer p;
    fetch f;
    crt_tls_ctx_options tls = tls_options_trusting(&server_identity);
    server_init(&server, &server_identity);
    server.talk = answer_large;
    peer_start(&p, serve_tls, &server);
    fetch_connect(&f, p.port, &tls, NULL);
    assert_int_equal(f.connect_fault.code, 0);
    expect_large_body(&f);
    fetch_end(&f);
    peer_join(&p);
    assert_true(server.got_close_notify);
    server_free(&server);
}

static void tls_runs_inside_a_tunnel(void **state) {
    tls_server server;
    peer p;
    fetch f;
    crt_tls_ctx_options tls = tls_options_trusting(&server_identity);
    server_init(&server, &server_identity);
    server.talk = answer_large;
    peer_start(&p, serve_tunnel, &server);
    crt_http_proxy proxy = {.host = "127.0.0.1", .port = p.port, .kind = CRT_HTTP_PROXY_LEGACY};
    fetch_connect(&f, 4433, &tls, &proxy);
    assert_string_equal(f.connect_fault.detail, "");
    assert_int_equal(f.connect_fault.code, 0);
    expect_large_body(&f);
    fetch_end(&f);
    peer_join(&p);
    assert_string_equal(server.sni, "localhost");
    server_free(&server);
}

static void a_certificate_for_another_host_fails_inside_a_tunnel(void **state) {
    identity other;
    identity_options options = {.common_name = "elsewhere", .names = "DNS:elsewhere", .ca = true};
    tls_server server;
    peer p;
    fetch f;
    identity_new(&other, &options);
    crt_tls_ctx_options tls = tls_options_trusting(&other);
    server_init(&server, &other);
    peer_start(&p, serve_tunnel, &server);
    crt_http_proxy proxy = {.host = "127.0.0.1", .port = p.port, .kind = CRT_HTTP_PROXY_TUNNELING};
    fetch_connect(&f, 4433, &tls, &proxy);
    assert_int_equal(f.connect_fault.code, AWS_IO_TLS_ERROR_NEGOTIATION_FAILURE);
    assert_null(f.conn);
    fetch_end(&f);
    peer_join(&p);
    server_free(&server);
    identity_free(&other);
}

/* RFC 9112 section 9.8: without close_notify a body that lasts until the close may have been cut off. */
static void only_close_notify_ends_a_body_without_length(void **state) {
    for (int orderly = 0; orderly < 2; orderly++) {
        tls_server server;
        peer p;
        fetch f;
        crt_tls_ctx_options tls = tls_options_trusting(&server_identity);
        server_init(&server, &server_identity);
        server.talk = answer_until_close;
        server.arg = orderly ? &server : NULL;
        peer_start(&p, serve_tls, &server);
        fetch_connect(&f, p.port, &tls, NULL);
        fetch_get(&f, 100);
        assert_int_equal(f.fault.code, orderly ? 0 : AWS_IO_SOCKET_CLOSED);
        assert_int_equal(f.filled, 9);
        assert_memory_equal(f.memory, "all of it", 9);
        latch_wait(&f.shut, 1);
        assert_int_equal(f.shutdown.code, orderly ? 0 : AWS_IO_SOCKET_CLOSED);
        crt_http_conn_release(f.conn);
        f.conn = NULL;
        fetch_end(&f);
        peer_join(&p);
        server_free(&server);
    }
}

static int choose_h2(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *in,
                     unsigned in_len, void *arg) {
    *out = (const unsigned char *)"h2";
    *out_len = 2;
    return SSL_TLSEXT_ERR_OK;
}

static void a_server_that_chose_http2_is_refused(void **state) {
    tls_server server;
    peer p;
    fetch f;
    crt_tls_ctx_options tls = tls_options_trusting(&server_identity);
    tls.alpn = "h2;http/1.1";
    server_init(&server, &server_identity);
    SSL_CTX_set_alpn_select_cb(server.ctx, choose_h2, NULL);
    peer_start(&p, serve_tls, &server);
    fetch_connect(&f, p.port, &tls, NULL);
    assert_int_equal(f.connect_fault.code, AWS_ERROR_HTTP_UNSUPPORTED_PROTOCOL);
    assert_null(f.conn);
    fetch_end(&f);
    peer_join(&p);
    server_free(&server);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        leak_checked(bodies_are_decrypted_into_the_consumers_memory),
        leak_checked(tls_runs_inside_a_tunnel),
        leak_checked(a_certificate_for_another_host_fails_inside_a_tunnel),
        leak_checked(only_close_notify_ends_a_body_without_length),
        leak_checked(a_server_that_chose_http2_is_refused),
    };
    return cmocka_run_group_tests(tests, make_identity, free_identity);
}
