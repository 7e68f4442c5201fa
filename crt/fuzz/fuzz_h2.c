/*
 * An HTTP/2 connection under arbitrary bytes in arbitrary pieces, over a stream that goes nowhere, with three requests
 * under way: one with a body that waits for windows, one whose consumer pauses. The first byte chooses the cuts.
 * Besides memory errors it checks that every stream completes exactly once and that nothing is leaked.
 */
#include <stdlib.h>
#include <uv.h>

#include "../http/h2_conn.h"
#include "crt/memory.h"

enum { STREAMS = 3 };

typedef struct null_stream {
    crt_stream base;
    bool closed;
} null_stream;

typedef struct exchange {
    crt_http_stream *stream;
    int completions;
    bool pauses;
    int turns;
    uint8_t room[100];
} exchange;

typedef struct session {
    crt_task task;
    uv_sem_t done;
    const uint8_t *data;
    size_t size;
    null_stream io;
    crt_http_conn *conn;
    int shutdowns;
    exchange exchanges[STREAMS];
} session;

/* ---- the transport ---- */

static void io_resume(crt_stream *stream) {
}

static int io_put(crt_stream *stream, const void *data, size_t len) {
    return 0;
}

static void io_write(crt_stream *stream, crt_write *write) {
    abort(); /* frames are small and are put */
}

static void io_close(crt_stream *stream, int status) {
    ((null_stream *)stream)->closed = true;
}

static void io_destroy(crt_stream *stream) {
}

static crt_bytes io_alpn(const crt_stream *stream) {
    return crt_bytes_str("h2");
}

static const crt_stream_ops io_ops = {io_resume, io_put, io_write, io_close, io_destroy, io_alpn};

/* ---- the user ---- */

static void on_connected(void *user, const crt_fault *fault, crt_http_conn *conn) {
}

static void on_shutdown(void *user, const crt_fault *fault) {
    ((session *)user)->shutdowns++;
}

static void on_settings(void *user, const crt_http2_setting *settings, size_t count) {
    if (count > 6) {
        abort();
    }
}

static const crt_http_conn_handler conn_handler = {on_connected, on_shutdown, on_settings};

static int on_head(void *user, int status, const crt_http_header *headers, size_t count) {
    volatile uint8_t last = 0;
    for (size_t i = 0; i < count; i++) {
        last = headers[i].name.len ? headers[i].name.ptr[headers[i].name.len - 1] : last;
        last = headers[i].value.len ? headers[i].value.ptr[headers[i].value.len - 1] : last;
    }
    return status == 599 ? AWS_ERROR_UNKNOWN : 0;
}

static void on_space(void *user, uint64_t want, crt_span *space) {
    exchange *e = user;
    if (!e->pauses || e->turns++ % 3 != 2) {
        *space = (crt_span){e->room, sizeof(e->room)};
    }
}

static int on_body(void *user, crt_bytes data) {
    return data.len > 0 && data.ptr[0] == 0xfe ? AWS_ERROR_UNKNOWN : 0;
}

static void on_complete(void *user, const crt_fault *fault, int status) {
    ((exchange *)user)->completions++;
}

static const crt_http_stream_handler handler = {.on_head = on_head,
                                                .on_space = on_space,
                                                .on_body = on_body,
                                                .on_complete = on_complete};

static void source_destroy(crt_source *source) {
}

static void begin(session *s, size_t index) {
    static const uint8_t text[70000];
    static const crt_source_ops ops = {NULL, NULL, source_destroy};
    static crt_source body = {&ops, {1}, CRT_SOURCE_MEMORY, {text, sizeof(text)}, -1, 0, sizeof(text)};
    exchange *e = &s->exchanges[index];
    crt_http_message *m = crt_http_message_new(NULL);
    if (!m || crt_http_message_set_method(m, crt_bytes_str(index == 2 ? "HEAD" : "PUT")) ||
        crt_http_message_set_path(m, crt_bytes_str("/"))) {
        abort();
    }
    crt_http_message_set_body(m, index == 0 ? &body : NULL);
    e->pauses = index == 1;
    if (crt_http_stream_new(s->conn, m, &handler, e, &e->stream) || crt_http_stream_activate(e->stream)) {
        abort();
    }
    crt_http_message_release(m);
}

/* ---- one input ---- */

static void connect_session(session *s, crt_loop *loop) {
    const crt_http_connect_options http2 = {.prior_knowledge = true};
    const crt_http_conn_options options = {.handler = &conn_handler, .user = s, .http2 = &http2};
    s->io.base.ops = &io_ops;
    s->io.base.loop = loop;
    crt_ref_init(&s->io.base.refs);
    if (crt_h2_conn_new(&s->io.base, &options, &s->conn)) {
        abort();
    }
}

static void feed(session *s, uint32_t seed) {
    size_t at = 0;
    while (at < s->size && !s->io.closed) {
        crt_span space = {NULL, 0};
        size_t n = seed ? 1 + (seed >> 24) % 60 : s->size;
        s->io.base.handler->on_space(s->io.base.user, &space);
        n = n < s->size - at ? n : s->size - at;
        n = n < space.len ? n : space.len;
        if (n == 0) {
            return;
        }
        memcpy(space.ptr, s->data + at, n);
        s->io.base.handler->on_data(s->io.base.user, n);
        at += n;
        seed = seed * 1664525u + 1013904223u * (seed != 0);
        if (!s->io.closed && s->exchanges[1].completions == 0) {
            crt_http_stream_resume(s->exchanges[1].stream);
        }
    }
}

static void finish(session *s) {
    crt_fault fault;
    crt_fail(&fault, AWS_IO_SOCKET_CLOSED, "the input has ended");
    crt_stream_gone(&s->io.base, &fault);
    for (int i = 0; i < STREAMS; i++) {
        while (s->exchanges[i].completions == 0) { /* received, and the consumer is not done */
            crt_http_stream_resume(s->exchanges[i].stream);
        }
        if (s->exchanges[i].completions != 1) {
            abort();
        }
        crt_http_stream_release(s->exchanges[i].stream);
    }
    crt_http_conn_release(s->conn);
    if (s->shutdowns != 1) {
        abort();
    }
}

static crt_loop *the_loop(void) {
    static crt_loop_group *group;
    const crt_loop_group_options options = {.threads = 1, .cpu_group = -1};
    if (!group && crt_loop_group_new(&options, &group)) {
        abort();
    }
    return crt_loop_group_at(group, 0);
}

static void run(crt_task *task, int status) {
    session *s = CRT_CONTAINER(task, session, task);
    uint32_t seed = s->size > 0 ? *s->data : 0;
    s->data += s->size > 0;
    s->size -= s->size > 0;
    size_t before = crt_memory_live();
    connect_session(s, the_loop());
    for (size_t i = 0; i < STREAMS; i++) {
        begin(s, i);
    }
    feed(s, seed);
    finish(s);
    if (crt_memory_live() != before) {
        abort();
    }
    uv_sem_post(&s->done);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    session s;
    memset(&s, 0, sizeof(s));
    s.task.run = run;
    s.data = data;
    s.size = size;
    uv_sem_init(&s.done, 0);
    crt_loop_post(the_loop(), &s.task);
    uv_sem_wait(&s.done);
    uv_sem_destroy(&s.done);
    return 0;
}
