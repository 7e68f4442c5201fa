/*
 * What the HTTP tests share: a scripted peer in a thread of its own, connections, and streams that record what
 * they are told.
 */
#ifndef CRT_TESTS_HTTP_SUPPORT_H
#define CRT_TESTS_HTTP_SUPPORT_H

#include "support.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "crt/http.h"

/* ---- the peer ---- */

enum step_kind {
    STEP_END,
    STEP_READ,     /* until `text` has come since the last step */
    STEP_READ_LEN, /* `len` bytes */
    STEP_SEND,
    STEP_SEND_BYTEWISE,
    STEP_RESET, /* close with RST */
    STEP_WAIT,  /* until the test says go */
    STEP_READ_EOF,
};

typedef struct step {
    enum step_kind kind;
    const char *text;
    size_t len; /* 0: strlen(text) */
} step;

#define READ(t) {STEP_READ, (t), 0}
#define READ_LEN(n) {STEP_READ_LEN, NULL, (n)}
#define SEND(t) {STEP_SEND, (t), 0}
#define SEND_LEN(t, n) {STEP_SEND, (t), (n)}
#define SEND_BYTEWISE(t) {STEP_SEND_BYTEWISE, (t), 0}
#define WAIT {STEP_WAIT, NULL, 0}
#define READ_EOF {STEP_READ_EOF, NULL, 0}
#define RESET {STEP_RESET, NULL, 0}
#define END {STEP_END, NULL, 0}

typedef struct peer {
    int listener;
    uint16_t port;
    const step *steps;
    void (*serve)(struct peer *p, int fd);
    uv_thread_t thread;
    latch go;
    size_t waits;
    char *received; /* everything, terminated */
    size_t received_len;
    size_t seen; /* by earlier steps */
    const char *failed;
} peer;

static inline bool peer_read_more(peer *p, int fd) {
    struct pollfd readable = {fd, POLLIN, 0};
    if (poll(&readable, 1, TEST_DEADLINE_S * 1000) <= 0) {
        return false;
    }
    p->received = realloc(p->received, p->received_len + 65536 + 1);
    ssize_t n = recv(fd, p->received + p->received_len, 65536, 0);
    if (n <= 0) {
        return false;
    }
    p->received_len += (size_t)n;
    p->received[p->received_len] = 0;
    return true;
}

static inline bool peer_send(int fd, const char *text, size_t len) {
    while (len > 0) {
        ssize_t n = send(fd, text, len, MSG_NOSIGNAL);
        if (n <= 0) {
            return false;
        }
        text += n;
        len -= (size_t)n;
    }
    return true;
}

static inline bool peer_step(peer *p, int fd, const step *s) {
    size_t len = s->len || !s->text ? s->len : strlen(s->text);
    const struct linger abort_close = {1, 0};
    const char *found;
    switch (s->kind) {
        case STEP_READ:
            while (!p->received || !(found = strstr(p->received + p->seen, s->text))) {
                if (!peer_read_more(p, fd)) {
                    return false;
                }
            }
            p->seen = (size_t)(found - p->received) + len;
            return true;
        case STEP_READ_LEN:
            while (p->received_len - p->seen < len) {
                if (!peer_read_more(p, fd)) {
                    return false;
                }
            }
            p->seen += len;
            return true;
        case STEP_SEND:
            return peer_send(fd, s->text, len);
        case STEP_SEND_BYTEWISE:
            for (size_t i = 0; i < len; i++) {
                if (!peer_send(fd, s->text + i, 1)) {
                    return false;
                }
            }
            return true;
        case STEP_WAIT:
            return latch_reaches(&p->go, ++p->waits);
        case STEP_READ_EOF:
            while (peer_read_more(p, fd)) {
            }
            return true;
        case STEP_RESET:
            return setsockopt(fd, SOL_SOCKET, SO_LINGER, &abort_close, sizeof(abort_close)) == 0;
        default:
            return true;
    }
}

static inline void peer_serve_steps(peer *p, int fd) {
    for (const step *s = p->steps; s->kind != STEP_END; s++) {
        if (!peer_step(p, fd, s)) {
            p->failed = s->text ? s->text : "a step";
            return;
        }
    }
}

static inline void peer_run(void *arg) {
    peer *p = arg;
    const int on = 1;
    int fd = accept(p->listener, NULL, NULL);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    p->serve(p, fd);
    close(fd);
}

/* Accepts one connection and serves it in a thread. */
static inline void peer_start_serving(peer *p, void (*serve)(peer *p, int fd)) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    p->serve = serve;
    p->listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(p->listener, (struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(p->listener, 4), 0);
    assert_int_equal(getsockname(p->listener, (struct sockaddr *)&address, &len), 0);
    p->port = ntohs(address.sin_port);
    latch_init(&p->go);
    assert_int_equal(uv_thread_create(&p->thread, peer_run, p), 0);
}

static inline void peer_start(peer *p, const step *steps) {
    memset(p, 0, sizeof(*p));
    p->steps = steps;
    peer_start_serving(p, peer_serve_steps);
}

/* Lets the peer's next WAIT go on. */
static inline void peer_go(peer *p) {
    latch_add(&p->go, 1);
}

static inline void peer_join(peer *p) {
    uv_thread_join(&p->thread);
    close(p->listener);
    latch_destroy(&p->go);
    if (p->failed) {
        fail_msg("the peer got stuck at: %s", p->failed);
    }
}

static inline void peer_free(peer *p) {
    free(p->received);
}

/* Joins and frees, when the test does not care what was received. */
static inline void peer_end(peer *p) {
    peer_join(p);
    peer_free(p);
}

/* ---- the connection ---- */

typedef struct client {
    crt_loop_group *group;
    crt_loop *loop;
    crt_resolver *resolver;
    crt_http_conn *conn;
    latch connected;
    latch shut;
    crt_fault connect_fault;
    crt_fault shutdown;
} client;

static inline void client_on_connected(void *user, const crt_fault *fault, crt_http_conn *conn) {
    client *c = user;
    c->connect_fault = *fault;
    c->conn = conn;
    latch_add(&c->connected, 1);
}

static inline void client_on_shutdown(void *user, const crt_fault *fault) {
    client *c = user;
    c->shutdown = *fault;
    latch_add(&c->shut, 1);
}

static const crt_http_conn_handler client_handler = {client_on_connected, client_on_shutdown};

static inline void client_init(client *c) {
    crt_resolver_options options = {0};
    memset(c, 0, sizeof(*c));
    c->group = group_new(1);
    c->loop = crt_loop_group_at(c->group, 0);
    assert_int_equal(crt_resolver_new(&options, &c->resolver), 0);
    latch_init(&c->connected);
    latch_init(&c->shut);
}

static inline crt_http_connect_options client_options(client *c, uint16_t port) {
    crt_http_connect_options options = {.handler = &client_handler, .user = c};
    options.target.loop = c->loop;
    options.target.resolver = c->resolver;
    options.target.host = "127.0.0.1";
    options.target.port = port;
    options.target.socket = (crt_socket_options)CRT_SOCKET_OPTIONS_DEFAULT;
    return options;
}

static inline void client_connect_with(client *c, const crt_http_connect_options *options) {
    crt_http_connect(options);
    latch_wait(&c->connected, 1);
}

static inline void client_connect(client *c, uint16_t port) {
    client_init(c);
    crt_http_connect_options options = client_options(c, port);
    client_connect_with(c, &options);
    assert_int_equal(c->connect_fault.code, 0);
    assert_non_null(c->conn);
    assert_true(crt_http_conn_is_open(c->conn));
}

/* Releases the connection if the test has not, waits for its end, ends the loop. */
static inline void client_end(client *c) {
    if (c->conn) {
        crt_http_conn_release(c->conn);
        latch_wait(&c->shut, 1);
    }
    crt_resolver_release(c->resolver);
    group_end(c->group);
    latch_destroy(&c->connected);
    latch_destroy(&c->shut);
}

/* ---- streams ---- */

typedef struct recorder {
    crt_http_stream *stream;
    latch done;
    int status; /* of on_head */
    char headers[512];
    char *body;
    size_t body_len;
    size_t largest_piece;
    size_t pieces;
    int heads;
    int completions;
    crt_fault fault;
    int final_status;
    uint64_t sequence; /* when it completed */
    bool open_at_completion;
    int head_result; /* what on_head answers */
    int body_result;
    latch headed;
    latch fed; /* counts body bytes */
    void (*then)(struct recorder *r); /* on completion */
} recorder;

static uint64_t next_sequence;

static inline int recorder_on_head(void *user, int status, const crt_http_header *headers, size_t count) {
    recorder *r = user;
    size_t len = 0;
    r->heads++;
    r->status = status;
    for (size_t i = 0; i < count && len < sizeof(r->headers); i++) { /* what fits */
        len += (size_t)snprintf(r->headers + len, sizeof(r->headers) - len, "%.*s=%.*s\n", (int)headers[i].name.len,
                                (const char *)headers[i].name.ptr, (int)headers[i].value.len,
                                (const char *)headers[i].value.ptr);
    }
    latch_add(&r->headed, 1);
    return r->head_result;
}

static inline int recorder_on_body(void *user, crt_bytes data) {
    recorder *r = user;
    r->body = realloc(r->body, r->body_len + data.len + 1);
    memcpy(r->body + r->body_len, data.ptr, data.len);
    r->body_len += data.len;
    r->body[r->body_len] = 0;
    r->pieces++;
    r->largest_piece = data.len > r->largest_piece ? data.len : r->largest_piece;
    latch_add(&r->fed, data.len);
    return r->body_result;
}

static inline void recorder_on_complete(void *user, const crt_fault *fault, int status) {
    recorder *r = user;
    r->completions++;
    r->fault = *fault;
    r->final_status = status;
    r->sequence = ++next_sequence;
    r->open_at_completion = crt_http_conn_is_open(crt_http_stream_conn(r->stream));
    if (r->then) {
        r->then(r);
    }
    latch_add(&r->done, 1);
}

static const crt_http_stream_handler recorder_handler = {recorder_on_head, NULL, recorder_on_body,
                                                         recorder_on_complete};

static inline void recorder_init(recorder *r) {
    memset(r, 0, sizeof(*r));
    latch_init(&r->done);
    latch_init(&r->headed);
    latch_init(&r->fed);
}

/* headers: name, value, ..., NULL */
static inline crt_http_message *make_message(const char *method, const char *path, const char *const *headers,
                                             crt_source *body) {
    crt_http_message *m = crt_http_message_new(NULL);
    assert_non_null(m);
    assert_int_equal(crt_http_message_set_method(m, crt_bytes_str(method)), 0);
    assert_int_equal(crt_http_message_set_path(m, crt_bytes_str(path)), 0);
    for (; headers && *headers; headers += 2) {
        assert_int_equal(crt_http_headers_add(crt_http_message_headers(m), crt_bytes_str(headers[0]),
                                              crt_bytes_str(headers[1])), 0);
    }
    crt_http_message_set_body(m, body);
    return m;
}

static inline void recorder_request_with(recorder *r, client *c, const crt_http_stream_handler *handler,
                                         crt_http_message *message) {
    assert_int_equal(crt_http_stream_new(c->conn, message, handler, r, &r->stream), 0);
    crt_http_message_release(message);
}

/* A stream that is not active yet. */
static inline void recorder_request(recorder *r, client *c, crt_http_message *message) {
    recorder_init(r);
    recorder_request_with(r, c, &recorder_handler, message);
}

static inline void recorder_get(recorder *r, client *c, const char *path) {
    recorder_request(r, c, make_message("GET", path, NULL, NULL));
}

static inline void recorder_start(recorder *r, client *c, const char *path) {
    recorder_get(r, c, path);
    assert_int_equal(crt_http_stream_activate(r->stream), 0);
}

static inline void recorder_wait(recorder *r) {
    latch_wait(&r->done, 1);
    assert_int_equal(r->completions, 1);
}

static inline void recorder_free(recorder *r) {
    crt_http_stream_release(r->stream);
    latch_destroy(&r->done);
    latch_destroy(&r->headed);
    latch_destroy(&r->fed);
    free(r->body);
}

static inline void expect_body(const recorder *r, const char *text) {
    assert_int_equal(r->body_len, strlen(text));
    if (r->body_len > 0) {
        assert_string_equal(r->body, text);
    }
}

static inline void expect_success(recorder *r, int status, const char *body) {
    recorder_wait(r);
    assert_string_equal(r->fault.detail, "");
    assert_int_equal(r->fault.code, 0);
    assert_int_equal(r->final_status, status);
    assert_int_equal(r->status, status);
    assert_int_equal(r->heads, 1);
    expect_body(r, body);
}

static inline void expect_failure(recorder *r, int code) {
    recorder_wait(r);
    assert_int_equal(r->fault.code, code);
}

static inline void expect_shutdown(client *c, int code) {
    latch_wait(&c->shut, 1);
    assert_int_equal(c->shutdown.code, code);
    assert_int_equal(latch_count(&c->shut), 1);
    assert_false(crt_http_conn_is_open(c->conn));
}

#endif
