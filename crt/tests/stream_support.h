/*
 * Both ends of a connection for the tests of streams: a peer on a thread with blocking sockets, and a client
 * that records what its stream tells it.
 */
#ifndef CRT_TESTS_STREAM_SUPPORT_H
#define CRT_TESTS_STREAM_SUPPORT_H

#if !defined(_GNU_SOURCE)
#define _GNU_SOURCE
#endif
#include "support.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "crt/resolver.h"
#include "crt/stream.h"

/* ---- the peer ---- */

typedef struct peer {
    int listener;
    uint16_t port;
    char path[64]; /* of a Unix socket; else empty */
    void (*serve)(struct peer *p, int fd);
    void *arg;
    latch leave; /* for those who wait for the test */
    uv_thread_t thread;
    bool running;
} peer;

static inline void peer_limit_waiting(int fd) {
    struct timeval limit = {.tv_sec = TEST_DEADLINE_S};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
}

static inline void peer_run(void *arg) {
    peer *p = arg;
    sigset_t pipe;
    int fd;
    /* peers that write through a library cannot ask for MSG_NOSIGNAL */
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe, NULL);
    fd = accept(p->listener, NULL, NULL);
    if (fd >= 0) {
        peer_limit_waiting(fd);
        p->serve(p, fd);
        close(fd);
    }
}

static inline void peer_serve_one(peer *p, void (*serve)(peer *, int), void *arg) {
    p->serve = serve;
    p->arg = arg;
    p->running = true;
    latch_init(&p->leave);
    peer_limit_waiting(p->listener);
    assert_int_equal(uv_thread_create(&p->thread, peer_run, p), 0);
}

/* Listens on an IPv4 address (port 0: any), with no thread yet. */
static inline void peer_listen_on(peer *p, const char *ip, uint16_t port, int backlog) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
    socklen_t size = sizeof(at);
    memset(p, 0, sizeof(*p));
    inet_pton(AF_INET, ip, &at.sin_addr);
    p->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(p->listener, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(listen(p->listener, backlog), 0);
    assert_int_equal(getsockname(p->listener, (struct sockaddr *)&at, &size), 0);
    p->port = ntohs(at.sin_port);
}

static inline void peer_start(peer *p, void (*serve)(peer *, int), void *arg) {
    peer_listen_on(p, "127.0.0.1", 0, 16);
    peer_serve_one(p, serve, arg);
}

static inline void peer_start_local(peer *p, void (*serve)(peer *, int), void *arg) {
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    memset(p, 0, sizeof(*p));
    snprintf(p->path, sizeof(p->path), "/tmp/crt-test-%d.sock", (int)getpid());
    strcpy(at.sun_path, p->path);
    unlink(p->path);
    p->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(p->listener, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(listen(p->listener, 16), 0);
    peer_serve_one(p, serve, arg);
}

/* Waits until the peer has closed its connection; may be repeated. */
static inline void peer_join(peer *p) {
    if (!p->running) {
        return;
    }
    p->running = false;
    latch_add(&p->leave, 1);
    uv_thread_join(&p->thread);
    latch_destroy(&p->leave);
    close(p->listener);
    if (p->path[0]) {
        unlink(p->path);
    }
}

static inline bool send_all(int fd, const uint8_t *data, size_t len) {
    while (len > 0) {
        ssize_t n = send(fd, data, len, MSG_NOSIGNAL);
        if (n <= 0) {
            return false;
        }
        data += n;
        len -= (size_t)n;
    }
    return true;
}

static inline void serve_echo(peer *p, int fd) {
    uint8_t bytes[65536];
    ssize_t n;
    (void)p;
    while ((n = recv(fd, bytes, sizeof(bytes), 0)) > 0 && send_all(fd, bytes, (size_t)n)) {
    }
}

static inline void serve_until_closed(peer *p, int fd) {
    uint8_t bytes[4096];
    (void)p;
    while (recv(fd, bytes, sizeof(bytes), 0) > 0) {
    }
}

static inline void serve_nothing(peer *p, int fd) {
    (void)fd;
    latch_reaches(&p->leave, 1);
}

typedef struct sending {
    uint8_t *bytes;
    size_t len;
} sending;

static inline void serve_bytes(peer *p, int fd) {
    sending *s = p->arg;
    send_all(fd, s->bytes, s->len);
}

/* Not before it was spoken to: a reset that overtakes the client's connect would fail that instead. */
static inline void serve_reset(peer *p, int fd) {
    struct linger abort = {1, 0};
    uint8_t some[100];
    (void)p;
    recv(fd, some, sizeof(some), 0);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &abort, sizeof(abort));
}

/* Closing with bytes unread makes the kernel reset the connection behind the answer. */
static inline void serve_early_answer(peer *p, int fd) {
    uint8_t some[1000];
    if (recv(fd, some, sizeof(some), MSG_WAITALL) == (ssize_t)sizeof(some)) {
        serve_bytes(p, fd);
    }
}

typedef struct recording {
    uint8_t bytes[4096];
    size_t len;
} recording;

static inline void serve_record(peer *p, int fd) {
    recording *r = p->arg;
    ssize_t n;
    while (r->len < sizeof(r->bytes) && (n = recv(fd, r->bytes + r->len, sizeof(r->bytes) - r->len, 0)) > 0) {
        r->len += (size_t)n;
    }
}

/* ---- data ---- */

/* Bytes in which every displacement shows. */
static inline uint8_t *test_bytes(size_t len) {
    uint8_t *bytes = malloc(len);
    uint32_t random = 12345;
    size_t i;
    for (i = 0; i < len; i++) {
        random = random * 1664525u + 1013904223u;
        bytes[i] = (uint8_t)(random >> 24);
    }
    return bytes;
}

static inline int test_file(const uint8_t *bytes, size_t len) {
    char path[] = "/tmp/crt-test-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    unlink(path);
    assert_int_equal(write(fd, bytes, len), (ssize_t)len);
    return fd;
}

/* ---- the client ---- */

enum { CLIENT_ROOM = 32 << 20, CLIENT_SPACE = 256 << 10 };

typedef struct client {
    crt_loop_group *group;
    crt_loop *loop;
    crt_resolver *resolver;
    crt_stream *stream;
    peer peer;
    latch connected, received, written, drained, closed;
    crt_fault connect_fault, close_fault;
    int connect_calls, closed_calls, writes_done;
    uint8_t *in;
    size_t in_len;
    size_t window; /* bytes it is willing to take in all */
    size_t window_next;
    size_t observed;
    bool in_call;
    bool closed_inside;
    bool drop_on_data, drop_on_closed;
} client;

static inline void client_drop(void *arg) {
    client *c = arg;
    crt_stream *stream = c->stream;
    c->stream = NULL;
    crt_stream_release(stream);
}

static inline void client_on_space(void *user, crt_span *space) {
    client *c = user;
    size_t room = (c->window < CLIENT_ROOM ? c->window : CLIENT_ROOM) - c->in_len;
    space->ptr = c->in + c->in_len;
    space->len = room < CLIENT_SPACE ? room : CLIENT_SPACE;
}

static inline void client_on_data(void *user, size_t n) {
    client *c = user;
    c->in_len += n;
    latch_add(&c->received, n);
    if (c->drop_on_data) {
        crt_stream_close(c->stream, 0);
        client_drop(c);
    }
}

static inline void client_on_drained(void *user) {
    latch_add(&((client *)user)->drained, 1);
}

static inline void client_on_closed(void *user, const crt_fault *fault) {
    client *c = user;
    c->closed_calls++;
    c->close_fault = *fault;
    if (c->drop_on_closed) {
        client_drop(c);
    }
    latch_add(&c->closed, 1);
}

static const crt_stream_handler client_handler = {client_on_space, client_on_data, client_on_drained,
                                                  client_on_closed};

static inline void client_on_connected(void *user, const crt_fault *fault, crt_stream *stream) {
    client *c = user;
    c->connect_calls++;
    c->connect_fault = *fault;
    c->stream = stream;
    if (stream) {
        crt_stream_set_handler(stream, &client_handler, c);
    }
    latch_add(&c->connected, 1);
}

/* Everything but the connection. */
static inline void client_init(client *c) {
    memset(c, 0, sizeof(*c));
    latch_init(&c->connected);
    latch_init(&c->received);
    latch_init(&c->written);
    latch_init(&c->drained);
    latch_init(&c->closed);
    c->in = malloc(CLIENT_ROOM);
    c->window = SIZE_MAX;
    c->group = group_new(1);
    c->loop = crt_loop_group_at(c->group, 0);
    assert_int_equal(crt_resolver_new(NULL, &c->resolver), 0);
}

static inline crt_connect_options client_options(client *c, const char *host, uint32_t port) {
    crt_connect_options options = {.loop = c->loop, .resolver = c->resolver, .host = host, .port = port,
                                   .socket = CRT_SOCKET_OPTIONS_DEFAULT, .done = client_on_connected, .user = c};
    options.socket.connect_timeout_ms = TEST_DEADLINE_S * 1000;
    return options;
}

static inline void client_open_window(client *c, void (*serve)(peer *, int), void *arg, size_t window) {
    crt_connect_options options;
    client_init(c);
    c->window = window;
    peer_start(&c->peer, serve, arg);
    options = client_options(c, "127.0.0.1", c->peer.port);
    assert_non_null(crt_stream_connect(&options));
    latch_wait(&c->connected, 1);
    assert_int_equal(c->connect_fault.code, 0);
}

static inline void client_open(client *c, void (*serve)(peer *, int), void *arg) {
    client_open_window(c, serve, arg, SIZE_MAX);
}

static inline void client_close_now(void *arg) {
    client *c = arg;
    crt_stream_close(c->stream, 0);
}

static inline void client_close(client *c) {
    on_loop(c->loop, client_close_now, c);
    latch_wait(&c->closed, 1);
}

/* Loop thread. */
static inline void client_widen(void *arg) {
    client *c = arg;
    c->window = c->window_next;
    crt_stream_resume(c->stream);
}

static inline void client_end_loop(client *c) {
    group_end(c->group);
    c->group = NULL;
}

static inline void client_free(client *c) {
    if (c->stream) {
        on_loop(c->loop, client_drop, c);
    }
    crt_resolver_release(c->resolver);
    if (c->group) {
        client_end_loop(c);
    }
    peer_join(&c->peer);
    free(c->in);
    latch_destroy(&c->connected);
    latch_destroy(&c->received);
    latch_destroy(&c->written);
    latch_destroy(&c->drained);
    latch_destroy(&c->closed);
}

typedef struct queued_write {
    crt_write write;
    client *c;
    int calls;
    int status;
    int position;
    bool inside_call;
    bool after_close;
} queued_write;

static inline void on_write_done(crt_write *write, int status) {
    queued_write *w = CRT_CONTAINER(write, queued_write, write);
    w->calls++;
    w->status = status;
    w->position = w->c->writes_done++;
    w->inside_call = w->c->in_call;
    w->after_close = w->c->closed_calls > 0;
    latch_add(&w->c->written, 1);
}

/* Loop thread. */
static inline void client_queue(client *c, queued_write *w) {
    w->c = c;
    w->write.done = on_write_done;
    c->in_call = true;
    crt_stream_write(c->stream, &w->write);
    c->in_call = false;
}

static inline void client_write(client *c, queued_write *w, const void *data, size_t len) {
    memset(w, 0, sizeof(*w));
    w->write.fd = -1;
    w->write.data = crt_bytes_of(data, len);
    client_queue(c, w);
}

static inline void client_write_file(client *c, queued_write *w, int fd, uint64_t offset, uint64_t length) {
    memset(w, 0, sizeof(*w));
    w->write.fd = fd;
    w->write.offset = offset;
    w->write.length = length;
    client_queue(c, w);
}

static inline void do_nothing(void *arg) {
    (void)arg;
}

#endif
