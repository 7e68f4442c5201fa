/*
 * Request bodies: that of the message, then what the user writes. Memory and files go to the transport as they are;
 * small memory is copied behind what is queued already. A reader fills two buffers in turn: one is being filled
 * while the other is on its way.
 */
#include <stdio.h>

#include "crt/memory.h"
#include "h1_conn.h"

enum {
    COPY_LIMIT = 8 * 1024,   /* up to here one copy is cheaper than a write of its own */
    UNSENT_MAX = 64 * 1024,  /* behind so much nothing is copied: who writes shall wait for the peer */
    ROOM_MAX = 128 * 1024,
    CHUNK_HEAD_MAX = 8 + 2,  /* ROOM_MAX fits 8 hexadecimal digits */
    CHUNK_TAIL = 2,
};

typedef struct slot {
    crt_write write;
    crt_h1_body *body;
    crt_http_outgoing *piece; /* whose memory or file is being written; NULL: our room, or the message's body */
    uint8_t *room;            /* CHUNK_HEAD_MAX, `capacity` bytes, CHUNK_TAIL */
    bool busy;                /* being filled or written */
} slot;

struct crt_h1_body {
    crt_h1_stream *stream;
    bool chunked;
    bool started;
    bool starting;   /* inside crt_h1_body_start */
    bool open;       /* the user has not written the end */
    bool all_read;   /* everything is in the transport's queue */
    uint64_t left;   /* of the content length */
    size_t capacity; /* of a slot's room */
    slot slots[2];
    slot *filling;
    crt_source *source;       /* being sent; NULL: none. Of the message, or of `piece`. */
    crt_http_outgoing *piece; /* a write whose source is being read */
    crt_http_outgoing *queue; /* writes that wait */
    crt_http_outgoing **tail;
    int under_way; /* writes, reads and calls of users; each holds the stream */
};

static crt_stream *io_of(const crt_h1_body *body) {
    return body->stream->base.conn->io;
}

static bool is_live(const crt_h1_body *body) {
    const crt_h1_conn *conn = crt_h1_conn_of(body->stream);
    return body->stream->base.active && !conn->base.closing && !conn->stopped_sending;
}

static bool is_busy(const crt_h1_body *body) {
    return body->slots[0].busy || body->slots[1].busy;
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

static void end_piece(crt_http_outgoing *piece, int status) {
    if (piece) {
        crt_http_outgoing_done(piece, status);
    }
}

/* ---- writing ---- */

static void advance(crt_h1_body *body);

static void on_written(crt_write *write, int status) {
    slot *s = CRT_CONTAINER(write, slot, write);
    crt_h1_body *body = s->body;
    crt_http_outgoing *piece = s->piece;
    s->busy = false;
    s->piece = NULL;
    end_piece(piece, status ? AWS_ERROR_HTTP_STREAM_HAS_COMPLETED : 0);
    if (!is_live(body)) {
        end_work(body);
        return;
    }
    crt_h1_note_activity(crt_h1_conn_of(body->stream));
    if (status) {
        fail(body, status);
    } else if (!body->all_read) {
        advance(body);
    } else if (!is_busy(body)) {
        crt_h1_stream_sent(body->stream);
    }
    end_work(body);
}

static void write_slot(crt_h1_body *body, slot *s) {
    s->body = body;
    s->busy = true;
    s->write.done = on_written;
    begin_work(body);
    crt_stream_write(io_of(body), &s->write);
}

static int put_text(crt_h1_body *body, const char *text) {
    return crt_stream_put(io_of(body), text, strlen(text));
}

static slot *free_slot(crt_h1_body *body) {
    return !body->slots[0].busy ? &body->slots[0] : !body->slots[1].busy ? &body->slots[1] : NULL;
}

/* ---- memory and files: all at once ---- */

static bool may_copy(const crt_h1_body *body) {
    return body->source->kind == CRT_SOURCE_MEMORY && body->source->length <= COPY_LIMIT &&
           io_of(body)->unsent < UNSENT_MAX;
}

static int send_content(crt_h1_body *body, slot *s) {
    const crt_source *source = body->source;
    if (!s) {
        return crt_stream_put(io_of(body), source->memory.ptr, (size_t)source->length);
    }
    s->write.fd = source->kind == CRT_SOURCE_FILE ? source->fd : -1;
    s->write.data = source->memory;
    s->write.offset = source->offset;
    s->write.length = source->length;
    s->piece = body->piece; /* ends when the transport has taken it */
    body->piece = NULL;
    write_slot(body, s);
    return 0;
}

/* The piece is the only one that will come: a wrong length shows before anything of it is sent. */
static bool is_wrong_length(const crt_h1_body *body, uint64_t length) {
    return !body->chunked && (length > body->left || (!body->open && length < body->left));
}

/* With its chunk's head and end around it. */
static int send_known(crt_h1_body *body, slot *s) {
    const uint64_t length = body->source->length;
    if (is_wrong_length(body, length)) {
        return AWS_ERROR_HTTP_OUTGOING_STREAM_LENGTH_INCORRECT;
    }
    if (length == 0) {
        return 0;
    }
    if (!body->chunked) {
        body->left -= length;
        return send_content(body, s);
    }
    char text[24];
    snprintf(text, sizeof(text), "%llx\r\n", (unsigned long long)length);
    int status = put_text(body, text);
    if (!status) {
        status = send_content(body, s);
    }
    return status ? status : put_text(body, "\r\n");
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

/* Takes the source off; what belongs to it has been framed. */
static void end_source(crt_h1_body *body, int status) {
    crt_http_outgoing *piece = body->piece;
    body->source = NULL;
    body->piece = NULL;
    end_piece(piece, status);
}

static void take_read(crt_h1_body *body, slot *s, int status, size_t n, bool eof) {
    if (!status && !body->chunked && n > body->left) {
        status = AWS_ERROR_HTTP_OUTGOING_STREAM_LENGTH_INCORRECT;
    }
    if (status) {
        end_source(body, status);
        fail(body, status);
        return;
    }
    if (n > 0) {
        body->left -= body->chunked ? 0 : n;
        queue_filled(body, s, n);
    }
    if (eof || (!body->chunked && body->left == 0)) {
        end_source(body, 0);
    }
    advance(body);
}

static void on_read(void *user, int status, size_t n, bool eof) {
    crt_h1_body *body = user;
    slot *s = body->filling;
    body->filling = NULL;
    s->busy = false;
    crt_h1_note_activity(crt_h1_conn_of(body->stream));
    if (is_live(body)) {
        take_read(body, s, status, n, eof);
    } else {
        end_source(body, AWS_ERROR_HTTP_STREAM_HAS_COMPLETED);
    }
    end_work(body);
}

/* Asks the reader for more when a buffer is free. One byte more than is left, so that a longer body shows. */
static void fill(crt_h1_body *body, slot *s) {
    if (!s->room && !(s->room = crt_malloc(CHUNK_HEAD_MAX + body->capacity + CHUNK_TAIL))) {
        fail(body, AWS_ERROR_OOM);
        return;
    }
    crt_span space = {s->room + CHUNK_HEAD_MAX, body->capacity};
    if (!body->chunked && body->left < body->capacity) {
        space.len = (size_t)body->left + 1;
    }
    s->busy = true;
    body->filling = s;
    begin_work(body);
    body->source->ops->read(body->source, body->stream->base.conn->loop, space, on_read, body);
}

/* ---- one source after the other ---- */

/* Everything is framed. */
static void finish(crt_h1_body *body) {
    int status = body->chunked ? put_text(body, "0\r\n\r\n")
                 : body->left > 0 ? AWS_ERROR_HTTP_OUTGOING_STREAM_LENGTH_INCORRECT
                                  : 0;
    if (status) {
        fail(body, status);
        return;
    }
    body->all_read = true;
    if (!body->starting) {
        crt_h1_send(crt_h1_conn_of(body->stream));
    }
}

/* The next write of the user becomes the source; false when none is there. A write of nothing is done at once. */
static bool take_piece(crt_h1_body *body) {
    crt_http_outgoing *piece = body->queue;
    if (!piece) {
        return false;
    }
    body->queue = piece->next;
    if (!body->queue) {
        body->tail = &body->queue;
    }
    body->open = !piece->end;
    body->source = piece->data;
    body->piece = piece;
    if (!piece->data) {
        end_source(body, 0);
    }
    return true;
}

/* False when it has to be continued by a read or a write that is under way, or a failure ended it. */
static bool send_source(crt_h1_body *body) {
    slot *s = free_slot(body);
    if (body->source->kind == CRT_SOURCE_READER) {
        if (s && !body->filling) {
            fill(body, s);
        }
        return false;
    }
    bool copies = may_copy(body);
    if (!s && !copies) {
        return false;
    }
    int status = send_known(body, copies ? NULL : s);
    end_source(body, status);
    if (status) {
        fail(body, status);
    }
    return !status;
}

static void advance(crt_h1_body *body) {
    begin_work(body);
    while (is_live(body) && !body->all_read) {
        if (body->source) {
            if (!send_source(body)) {
                break;
            }
        } else if (!take_piece(body)) {
            if (!body->open) {
                finish(body);
            }
            break;
        }
    }
    end_work(body);
}

/* ---- from outside ---- */

int crt_h1_body_new(crt_h1_stream *stream) {
    crt_h1_body *body = crt_calloc(1, sizeof(*body));
    if (!body) {
        return AWS_ERROR_OOM;
    }
    body->stream = stream;
    body->chunked = stream->request.framing == CRT_H1_CHUNKED;
    body->left = stream->request.content_length;
    body->tail = &body->queue;
    stream->body = body;
    return 0;
}

void crt_h1_body_start(crt_h1_stream *stream) {
    crt_h1_body *body = stream->body;
    body->started = true;
    body->open = __atomic_load_n(&stream->base.writing, __ATOMIC_SEQ_CST) != CRT_HTTP_WRITING_NONE;
    body->source = stream->source;
    body->capacity = body->chunked || body->left >= ROOM_MAX ? ROOM_MAX : (size_t)body->left + 1;
    begin_work(body);
    body->starting = true;
    advance(body);
    body->starting = false;
    end_work(body);
}

void crt_h1_body_write(crt_http_stream *base, crt_http_outgoing *outgoing) {
    crt_h1_body *body = ((crt_h1_stream *)base)->body;
    crt_h1_note_activity((crt_h1_conn *)base->conn);
    *body->tail = outgoing;
    body->tail = &outgoing->next;
    if (body->started) {
        advance(body);
    }
}

bool crt_h1_body_waits_for_user(const crt_h1_stream *stream) {
    const crt_h1_body *body = stream->body;
    return body && body->started && !body->all_read && io_of(body)->unsent == 0;
}

bool crt_h1_body_queued(const crt_h1_stream *stream) {
    return !stream->body || stream->body->all_read;
}

bool crt_h1_body_done(const crt_h1_stream *stream) {
    return !stream->body || (stream->body->all_read && !is_busy(stream->body));
}

static void end_queue(crt_h1_body *body) {
    while (body->queue) {
        crt_http_outgoing *piece = body->queue;
        body->queue = piece->next;
        crt_http_outgoing_done(piece, AWS_ERROR_HTTP_STREAM_HAS_COMPLETED);
    }
    body->tail = &body->queue;
}

void crt_h1_body_free(crt_h1_stream *stream) {
    crt_h1_body *body = stream->body;
    if (body) {
        body->under_way++; /* users may drop their references */
        end_queue(body);
        body->under_way--;
        if (body->under_way > 0) {
            return;
        }
        end_source(body, AWS_ERROR_HTTP_STREAM_HAS_COMPLETED); /* one that waited for a free buffer */
        crt_free(body->slots[0].room);
        crt_free(body->slots[1].room);
        crt_free(body);
        stream->body = NULL;
    }
    crt_source_release(stream->source);
    stream->source = NULL;
}
