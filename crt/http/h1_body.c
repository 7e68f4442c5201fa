/*
 * Request bodies. Memory and files go to the transport as they are; small memory is copied behind the head. A
 * reader fills two buffers in turn: one is being filled while the other is on its way.
 */
#include <stdio.h>

#include "crt/memory.h"
#include "h1_conn.h"

enum {
    COPY_LIMIT = 8 * 1024,   /* up to here one copy is cheaper than a write of its own */
    ROOM_MAX = 128 * 1024,
    CHUNK_HEAD_MAX = 8 + 2,  /* ROOM_MAX fits 8 hexadecimal digits */
    CHUNK_TAIL = 2,
};

static const char last_chunk[] = "0\r\n\r\n";

typedef struct slot {
    crt_write write;
    crt_h1_body *body;
    uint8_t *room; /* CHUNK_HEAD_MAX, `capacity` bytes, CHUNK_TAIL */
    bool busy;     /* being filled or written */
} slot;

struct crt_h1_body {
    crt_h1_stream *stream;
    bool chunked;
    uint64_t left;   /* of the content length */
    size_t capacity; /* of a slot's room */
    slot slots[2];
    slot *filling;
    bool all_read;
    int under_way; /* writes and reads; each holds the stream */
};

static bool is_live(const crt_h1_body *body) {
    return body->stream->base.active && !crt_h1_conn_of(body->stream)->base.closing && !crt_h1_conn_of(body->stream)->stopped_sending;
}

static void fail(crt_h1_body *body, int code) {
    if (code == AWS_IO_SOCKET_CLOSED) {
        /* The peer listens no more, but may have answered before it went: the reading side ends this. */
        crt_h1_conn_of(body->stream)->stopped_sending = true;
        return;
    }
    crt_http_conn_shut(body->stream->base.conn, code,
                     code == AWS_ERROR_HTTP_OUTGOING_STREAM_LENGTH_INCORRECT
                         ? "the request body is shorter or longer than its Content-Length"
                         : "the request body could not be read or sent");
}

static void begin_work(crt_h1_body *body) {
    crt_ref_inc(&body->stream->base.refs);
    body->under_way++;
}

/* May free the body, and its stream as well. */
static void end_work(crt_h1_body *body) {
    crt_h1_stream *stream = body->stream;
    body->under_way--;
    if (!stream->base.active) {
        crt_h1_body_free(stream);
    }
    crt_http_stream_release(&stream->base);
}

/* ---- writing ---- */

static void fill(crt_h1_body *body);

static void on_written(crt_write *write, int status) {
    slot *s = CRT_CONTAINER(write, slot, write);
    crt_h1_body *body = s->body;
    s->busy = false;
    if (!is_live(body)) {
        end_work(body);
        return;
    }
    if (status) {
        fail(body, status);
    } else if (!body->all_read) {
        fill(body);
    } else if (body->under_way == 1) {
        crt_h1_stream_sent(body->stream);
    }
    end_work(body);
}

static void write_slot(crt_h1_body *body, slot *s) {
    s->body = body;
    s->busy = true;
    s->write.done = on_written;
    begin_work(body);
    crt_stream_write(crt_h1_conn_of(body->stream)->base.io, &s->write);
}

static int put_text(crt_h1_body *body, const char *text) {
    return crt_stream_put(crt_h1_conn_of(body->stream)->base.io, text, strlen(text));
}

/* ---- memory and files: all at once ---- */

static int send_content(crt_h1_body *body, const crt_source *source) {
    if (source->kind == CRT_SOURCE_MEMORY && source->length <= COPY_LIMIT) {
        return crt_stream_put(crt_h1_conn_of(body->stream)->base.io, source->memory.ptr, (size_t)source->length);
    }
    slot *s = &body->slots[0];
    s->write.fd = source->kind == CRT_SOURCE_FILE ? source->fd : -1;
    s->write.data = source->memory;
    s->write.offset = source->offset;
    s->write.length = source->length;
    write_slot(body, s);
    return 0;
}

static int send_whole(crt_h1_body *body, const crt_source *source) {
    if (!body->chunked) {
        if (source->length != body->left) {
            return AWS_ERROR_HTTP_OUTGOING_STREAM_LENGTH_INCORRECT;
        }
        return send_content(body, source);
    }
    if (source->length == 0) {
        return put_text(body, last_chunk);
    }
    char text[24];
    snprintf(text, sizeof(text), "%llx\r\n", (unsigned long long)source->length);
    int status = put_text(body, text);
    if (!status) {
        status = send_content(body, source);
    }
    return status ? status : put_text(body, "\r\n0\r\n\r\n");
}

/* ---- readers ---- */

/* What was read becomes one write; with chunked framing around it, the size written right before the data. */
static void queue_filled(crt_h1_body *body, slot *s, size_t n) {
    uint8_t *start = s->room + CHUNK_HEAD_MAX;
    size_t len = n;
    if (body->chunked) {
        char head[CHUNK_HEAD_MAX + 1];
        size_t head_len = (size_t)snprintf(head, sizeof(head), "%zx\r\n", n);
        start -= head_len;
        memcpy(start, head, head_len);
        memcpy(start + head_len + n, "\r\n", CHUNK_TAIL);
        len += head_len + CHUNK_TAIL;
    }
    s->write.fd = -1;
    s->write.data = crt_bytes_of(start, len);
    write_slot(body, s);
}

/* The rules for what a read may bring. Sets all_read. */
static int account(crt_h1_body *body, size_t n, bool eof) {
    if (body->chunked) {
        body->all_read = eof;
        return 0;
    }
    if (n > body->left || (eof && n < body->left)) {
        return AWS_ERROR_HTTP_OUTGOING_STREAM_LENGTH_INCORRECT;
    }
    body->left -= n;
    body->all_read = body->left == 0;
    return 0;
}

static void take_read(crt_h1_body *body, slot *s, int status, size_t n, bool eof) {
    if (!status) {
        status = account(body, n, eof);
    }
    if (status) {
        fail(body, status);
        return;
    }
    if (n > 0) {
        queue_filled(body, s, n);
    }
    if (!body->all_read) {
        fill(body);
        return;
    }
    if (body->chunked && (status = put_text(body, last_chunk))) {
        fail(body, status);
        return;
    }
    crt_h1_conn *conn = crt_h1_conn_of(body->stream);
    if (conn->sending == body->stream) {
        crt_h1_send(conn);
    }
}

static void on_read(void *user, int status, size_t n, bool eof) {
    crt_h1_body *body = user;
    slot *s = body->filling;
    body->filling = NULL;
    s->busy = false;
    if (!is_live(body)) {
        end_work(body);
        return;
    }
    crt_h1_stream *stream = body->stream;
    body->under_way--; /* first: what counts from here is what is still to come */
    take_read(body, s, status, n, eof); /* may free the body */
    crt_http_stream_release(&stream->base);
}

static slot *free_slot(crt_h1_body *body) {
    return !body->slots[0].busy ? &body->slots[0] : !body->slots[1].busy ? &body->slots[1] : NULL;
}

/* Asks the reader for more when a buffer is free. One byte more than is left, so that a longer body shows. */
static void fill(crt_h1_body *body) {
    slot *s = free_slot(body);
    if (body->filling || !s) {
        return;
    }
    if (!s->room && !(s->room = crt_malloc(CHUNK_HEAD_MAX + body->capacity + CHUNK_TAIL))) {
        fail(body, AWS_ERROR_OOM);
        return;
    }
    crt_span space = {s->room + CHUNK_HEAD_MAX, body->capacity};
    if (!body->chunked && body->left < body->capacity) {
        space.len = (size_t)body->left + 1;
    }
    crt_h1_stream *stream = body->stream;
    s->busy = true;
    body->filling = s;
    begin_work(body);
    stream->source->ops->read(stream->source, crt_h1_conn_of(stream)->base.loop, space, on_read, body);
}

/* ---- from outside ---- */

/* Everything that needs no reader. */
static int send_at_once(crt_h1_body *body) {
    body->all_read = true;
    return body->stream->source ? send_whole(body, body->stream->source) : put_text(body, last_chunk);
}

void crt_h1_body_start(crt_h1_stream *stream) {
    crt_h1_body *body = crt_calloc(1, sizeof(*body));
    if (!body) {
        crt_http_conn_shut(stream->base.conn, AWS_ERROR_OOM, "no memory for the request body");
        return;
    }
    stream->body = body;
    body->stream = stream;
    body->chunked = stream->request.framing == CRT_H1_CHUNKED;
    body->left = stream->request.content_length;
    if (stream->source && stream->source->kind == CRT_SOURCE_READER) {
        body->capacity = body->chunked || body->left >= ROOM_MAX ? ROOM_MAX : (size_t)body->left + 1;
        fill(body);
        return;
    }
    int status = send_at_once(body);
    if (status) {
        fail(body, status);
    }
}

bool crt_h1_body_queued(const crt_h1_stream *stream) {
    return !stream->body || stream->body->all_read;
}

bool crt_h1_body_done(const crt_h1_stream *stream) {
    return !stream->body || (stream->body->all_read && stream->body->under_way == 0);
}

void crt_h1_body_free(crt_h1_stream *stream) {
    crt_h1_body *body = stream->body;
    if (body && body->under_way > 0) {
        return;
    }
    if (body) {
        crt_free(body->slots[0].room);
        crt_free(body->slots[1].room);
        crt_free(body);
        stream->body = NULL;
    }
    crt_source_release(stream->source);
    stream->source = NULL;
}
