/*
 * What the HTTP/2 tests share: a peer that reads and writes frames byte by byte (RFC 9113 section 4.1), so that it can
 * break every rule, and clients that speak to it without TLS.
 */
#ifndef CRT_TESTS_H2_SUPPORT_H
#define CRT_TESTS_H2_SUPPORT_H

#include <nghttp2/nghttp2.h>

#include "http_support.h"

enum { H2_DATA, H2_HEADERS, H2_PRIORITY, H2_RST_STREAM, H2_SETTINGS, H2_PUSH_PROMISE, H2_PING, H2_GOAWAY,
       H2_WINDOW_UPDATE, H2_CONTINUATION };
enum { H2_END_STREAM = 1, H2_ACK = 1, H2_END_HEADERS = 4, H2_PADDED = 8 };
enum { H2_FRAME_MAX = 1 << 20 };

/* The peer. A script runs in its thread and gives up, with a reason, when something else comes than it waits for. */
typedef struct h2_peer {
    peer base;
    void (*script)(struct h2_peer *h);
    const void *argument; /* for the script */
    int fd;
    /* the frame read last */
    uint8_t type;
    uint8_t flags;
    uint32_t stream;
    size_t len;
    uint8_t *payload;
    /* everything the test may want to look at */
    uint8_t hello[256]; /* payload of the client's first SETTINGS */
    size_t hello_len;
    uint64_t window_given[16]; /* WINDOW_UPDATE increments, by stream */
    uint32_t value;            /* whatever the script wants to tell */
    latch reached;             /* the script's mark() */
    nghttp2_hd_inflater *inflater;
    char fields[2048]; /* of the request read last: "name=value\n" */
} h2_peer;

static inline uint32_t h2_u32(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline bool h2_fail(h2_peer *h, const char *why) {
    h->base.failed = h->base.failed ? h->base.failed : why;
    return false;
}

static inline bool h2_read_bytes(h2_peer *h, void *to, size_t len) {
    uint8_t *at = to;
    while (len > 0) {
        struct pollfd readable = {h->fd, POLLIN, 0};
        ssize_t n = poll(&readable, 1, TEST_DEADLINE_S * 1000) > 0 ? recv(h->fd, at, len, 0) : -1;
        if (n <= 0) {
            return false;
        }
        at += n;
        len -= (size_t)n;
    }
    return true;
}

/* The next frame, whatever it is; false at the end. */
static inline bool h2_next(h2_peer *h) {
    uint8_t head[9];
    if (!h2_read_bytes(h, head, sizeof(head))) {
        return false;
    }
    h->len = (size_t)head[0] << 16 | (size_t)head[1] << 8 | head[2];
    h->type = head[3];
    h->flags = head[4];
    h->stream = h2_u32(head + 5);
    if (h->len > H2_FRAME_MAX || !h2_read_bytes(h, h->payload, h->len)) {
        return false;
    }
    if (h->type == H2_WINDOW_UPDATE) {
        h->window_given[h->stream % 16] += h2_u32(h->payload);
    }
    return true;
}

/* Skips frames until one of that type comes, acknowledgements aside. */
static inline bool h2_until(h2_peer *h, uint8_t type) {
    static const char *const names[] = {"no DATA came",          "no HEADERS came",     "no PRIORITY came",
                                        "no RST_STREAM came",    "no SETTINGS came",    "no PUSH_PROMISE came",
                                        "no PING came",          "no GOAWAY came",      "no WINDOW_UPDATE came",
                                        "no CONTINUATION came"};
    while (h2_next(h)) {
        bool ack = (h->type == H2_SETTINGS || h->type == H2_PING) && h->flags & H2_ACK;
        if (h->type == type && !ack) {
            return true;
        }
    }
    return h2_fail(h, names[type]);
}

static inline bool h2_until_ack(h2_peer *h, uint8_t type) {
    while (h2_next(h)) {
        if (h->type == type && h->flags & H2_ACK) {
            return true;
        }
    }
    return h2_fail(h, "no acknowledgement came");
}

static inline bool h2_frame(h2_peer *h, uint8_t type, uint8_t flags, uint32_t stream, const void *payload, size_t len) {
    const uint8_t head[9] = {(uint8_t)(len >> 16), (uint8_t)(len >> 8), (uint8_t)len,           type,           flags,
                             (uint8_t)(stream >> 24), (uint8_t)(stream >> 16), (uint8_t)(stream >> 8), (uint8_t)stream};
    /* False when the client is gone: what the script waits for next will tell whether that is bad. */
    return peer_send(h->fd, (const char *)head, 9) && peer_send(h->fd, payload, len);
}

static inline bool h2_frame_u32(h2_peer *h, uint8_t type, uint8_t flags, uint32_t stream, uint32_t value) {
    const uint8_t payload[4] = {(uint8_t)(value >> 24), (uint8_t)(value >> 16), (uint8_t)(value >> 8), (uint8_t)value};
    return h2_frame(h, type, flags, stream, payload, 4);
}

static inline bool h2_goaway(h2_peer *h, uint32_t last, uint32_t code) {
    const uint8_t payload[8] = {(uint8_t)(last >> 24), (uint8_t)(last >> 16), (uint8_t)(last >> 8), (uint8_t)last,
                                0, 0, 0, (uint8_t)code};
    return h2_frame(h, H2_GOAWAY, 0, 0, payload, 8);
}

/* id, value, id, value, ..., 0 */
static inline bool h2_settings(h2_peer *h, const uint32_t *pairs) {
    uint8_t payload[96];
    size_t len = 0;
    for (; pairs && *pairs; pairs += 2) {
        const uint8_t entry[6] = {(uint8_t)(pairs[0] >> 8),  (uint8_t)pairs[0],         (uint8_t)(pairs[1] >> 24),
                                  (uint8_t)(pairs[1] >> 16), (uint8_t)(pairs[1] >> 8), (uint8_t)pairs[1]};
        memcpy(payload + len, entry, 6);
        len += 6;
    }
    return h2_frame(h, H2_SETTINGS, 0, 0, payload, len);
}

/* A literal without indexing (RFC 7541 section 6.2.2). */
static inline size_t h2_field(uint8_t *to, const char *name, const char *value, size_t value_len) {
    size_t name_len = strlen(name), at = 0;
    to[at++] = 0;
    to[at++] = (uint8_t)name_len;
    memcpy(to + at, name, name_len);
    at += name_len;
    if (value_len < 127) {
        to[at++] = (uint8_t)value_len;
    } else { /* an integer of more than seven bits (section 5.1) */
        size_t rest = value_len - 127;
        to[at++] = 127;
        for (; rest >= 128; rest /= 128) {
            to[at++] = (uint8_t)(rest % 128 + 128);
        }
        to[at++] = (uint8_t)rest;
    }
    memcpy(to + at, value, value_len);
    return at + value_len;
}

/* name, value, ..., NULL */
static inline size_t h2_block(uint8_t *to, const char *const *fields) {
    size_t len = 0;
    for (; *fields; fields += 2) {
        len += h2_field(to + len, fields[0], fields[1], strlen(fields[1]));
    }
    return len;
}

static inline bool h2_head(h2_peer *h, uint32_t stream, uint8_t flags, const char *const *fields) {
    uint8_t block[2048];
    return h2_frame(h, H2_HEADERS, flags | H2_END_HEADERS, stream, block, h2_block(block, fields));
}

#define FIELDS(...) ((const char *const[]){__VA_ARGS__, NULL})

static inline bool h2_data(h2_peer *h, uint32_t stream, uint8_t flags, const char *text) {
    return h2_frame(h, H2_DATA, flags, stream, text, strlen(text));
}

/* A complete 200 with that body. */
static inline bool h2_respond(h2_peer *h, uint32_t stream, const char *body) {
    return h2_head(h, stream, 0, FIELDS(":status", "200")) && h2_data(h, stream, H2_END_STREAM, body);
}

static inline void h2_decode(h2_peer *h) {
    size_t at = 0, used = 0;
    h->fields[0] = 0;
    for (;;) {
        nghttp2_nv field;
        int flags = 0;
        ssize_t n = nghttp2_hd_inflate_hd2(h->inflater, &field, &flags, h->payload + at, h->len - at, 1);
        if (n < 0) {
            h2_fail(h, "a request that cannot be decompressed");
            return;
        }
        at += (size_t)n;
        if (flags & NGHTTP2_HD_INFLATE_EMIT) {
            used += (size_t)snprintf(h->fields + used, sizeof(h->fields) - used, "%.*s=%.*s\n", (int)field.namelen,
                                     field.name, (int)field.valuelen, field.value);
        }
        if (flags & NGHTTP2_HD_INFLATE_FINAL) {
            nghttp2_hd_inflate_end_headers(h->inflater);
            return;
        }
    }
}

/* The next request; its fields are decoded. */
static inline bool h2_request(h2_peer *h) {
    if (!h2_until(h, H2_HEADERS)) {
        return false;
    }
    h2_decode(h);
    return !h->base.failed;
}

/* Lets the test know. */
static inline void h2_mark(h2_peer *h) {
    latch_add(&h->reached, 1);
}

/* Until the test says go. */
static inline bool h2_wait(h2_peer *h) {
    return latch_reaches(&h->base.go, ++h->base.waits) || h2_fail(h, "the test did not say go");
}

/* Reads on until the client closes. */
static inline void h2_drain(h2_peer *h) {
    while (h2_next(h)) {
    }
}

/* Answers one request with "hello"; `value` gets the flags of its HEADERS. */
static inline void h2_serve_hello(h2_peer *h) {
    if (h2_settings(h, NULL) && h2_request(h)) {
        h->value = h->flags;
        h2_respond(h, h->stream, "hello");
        h2_drain(h);
    }
}

static inline bool h2_greeted(h2_peer *h) {
    char preface[24];
    if (!h2_read_bytes(h, preface, sizeof(preface))) {
        return false; /* a client that changed its mind */
    }
    if (memcmp(preface, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24) != 0) {
        return h2_fail(h, "no connection preface");
    }
    if (!h2_next(h) || h->type != H2_SETTINGS || h->len > sizeof(h->hello)) {
        return h2_fail(h, "the first frame is no SETTINGS");
    }
    memcpy(h->hello, h->payload, h->len);
    h->hello_len = h->len;
    return true;
}

static inline void h2_serve(peer *p, int fd) {
    h2_peer *h = CRT_CONTAINER(p, h2_peer, base);
    h->fd = fd;
    if (h2_greeted(h)) {
        h->script(h);
    }
}

/* Without the server's SETTINGS: the script sends them. */
static inline void h2_start_silent(h2_peer *h, void (*script)(h2_peer *h), const void *argument) {
    memset(h, 0, sizeof(*h));
    h->script = script;
    h->argument = argument;
    h->payload = malloc(H2_FRAME_MAX);
    latch_init(&h->reached);
    assert_int_equal(nghttp2_hd_inflate_new(&h->inflater), 0);
    peer_start_serving(&h->base, h2_serve);
}

static inline void h2_free(h2_peer *h) {
    peer_free(&h->base);
    latch_destroy(&h->reached);
    nghttp2_hd_inflate_del(h->inflater);
    free(h->payload);
}

static inline void h2_end(h2_peer *h) {
    peer_join(&h->base);
    h2_free(h);
}

/* ---- the client ---- */

static inline crt_http_connect_options h2_options(client *c, const h2_peer *h) {
    client_init(c);
    crt_http_connect_options options = client_options(c, h->base.port);
    options.prior_knowledge = true;
    options.version = CRT_HTTP_2;
    return options;
}

static inline void h2_connect_with(client *c, const crt_http_connect_options *options) {
    client_connect_with(c, options);
    assert_string_equal(c->connect_fault.detail, "");
    assert_non_null(c->conn);
    assert_int_equal(crt_http_conn_version(c->conn), CRT_HTTP_2);
}

static inline void h2_connect(client *c, const h2_peer *h) {
    crt_http_connect_options options = h2_options(c, h);
    h2_connect_with(c, &options);
}

/* ---- sources ---- */

static inline void h2_never_freed(crt_source *source) {
}

static inline crt_source h2_memory(const void *data, size_t len) {
    static const crt_source_ops ops = {NULL, NULL, h2_never_freed};
    return (crt_source){&ops, {1}, CRT_SOURCE_MEMORY, crt_bytes_of(data, len), -1, 0, len};
}

/* A reader that gives bytes of a pattern, in pieces, from a task each; fails at the end when told to. */
typedef struct h2_reader {
    crt_source base;
    crt_task task;
    size_t left;
    size_t piece;
    size_t at;
    int fail_with;
    crt_span space;
    crt_source_done done;
    void *user;
} h2_reader;

static inline uint8_t h2_pattern(size_t at) {
    return (uint8_t)(at * 31 + at / 251);
}

static inline void h2_reader_answer(crt_task *task, int status) {
    h2_reader *r = CRT_CONTAINER(task, h2_reader, task);
    size_t n = r->left < r->piece ? r->left : r->piece;
    n = n < r->space.len ? n : r->space.len;
    for (size_t i = 0; i < n; i++) {
        r->space.ptr[i] = h2_pattern(r->at++);
    }
    r->left -= n;
    r->done(r->user, n == 0 ? r->fail_with : 0, n, n == 0);
}

static inline void h2_reader_read(crt_source *source, crt_loop *loop, crt_span space, crt_source_done done,
                                  void *user) {
    h2_reader *r = CRT_CONTAINER(source, h2_reader, base);
    r->space = space;
    r->done = done;
    r->user = user;
    crt_loop_post(loop, &r->task);
}

static inline void h2_reader_init(h2_reader *r, size_t len, size_t piece, int fail_with) {
    static const crt_source_ops ops = {h2_reader_read, NULL, h2_never_freed};
    memset(r, 0, sizeof(*r));
    crt_ref_init(&r->base.refs);
    r->base.ops = &ops;
    r->base.kind = CRT_SOURCE_READER;
    r->base.length = UINT64_MAX;
    r->task.run = h2_reader_answer;
    r->left = len;
    r->piece = piece;
    r->fail_with = fail_with;
}

#endif
