/*
 * Request bodies on HTTP/2: the message's own body, then what crt_http_stream_write appends, in DATA frames as large
 * and as many as the peer's windows allow. nghttp2 asks; what has to be read first defers the stream.
 */
#include <unistd.h>

#include "crt/memory.h"
#include "h2_conn.h"

enum { ROOM = 64 * 1024 }; /* two of them per body that is read */

static void resume_data(crt_h2_stream *stream) {
    crt_h2_conn *conn = crt_h2_conn_of(stream);
    if (stream->deferred && stream->base.active && !stream->closed) {
        stream->deferred = false;
        conn->in_session++;
        (void)nghttp2_session_resume_data(conn->session, stream->id);
        conn->in_session--;
        crt_h2_flush(conn);
    }
}

/* ---- pieces ---- */

static void append(crt_h2_stream *stream, crt_http_outgoing *outgoing) {
    outgoing->next = NULL;
    *stream->last = outgoing;
    stream->last = &outgoing->next;
}

static void pop(crt_h2_stream *stream, int status) {
    crt_http_outgoing *done = stream->first;
    stream->first = done->next;
    if (!stream->first) {
        stream->last = &stream->first;
    }
    stream->all_read = false;
    crt_http_outgoing_done(done, status);
}

static void fail_body(crt_h2_stream *stream, int code) {
    if (stream->first) {
        pop(stream, code);
    }
    crt_h2_stream_reset(stream, code, NGHTTP2_INTERNAL_ERROR, "the request body could not be read");
}

/* ---- readers: one room fills while the other is sent ---- */

static bool is_empty(const crt_h2_room *room) {
    return room->start == room->end;
}

static bool reads(const crt_h2_stream *stream) {
    const crt_http_outgoing *piece = stream->first;
    return piece && piece->data && piece->data->kind == CRT_SOURCE_READER;
}

/* The older bytes are always in rooms[sending]. */
static void turn_rooms(crt_h2_stream *stream) {
    if (is_empty(&stream->rooms[stream->sending]) && !is_empty(&stream->rooms[!stream->sending])) {
        stream->sending = !stream->sending;
    }
}

static int read_ahead(crt_h2_stream *stream);

static void on_read(void *user, int status, size_t n, bool eof) {
    crt_h2_stream *stream = user;
    crt_h2_conn *conn = crt_h2_conn_of(stream);
    crt_source_release(stream->being_read);
    stream->being_read = NULL;
    if (stream->base.active && !stream->closed && !stream->fault.code && !stream->base.conn->closing) {
        if (!status) {
            stream->rooms[stream->filling].end = n;
            stream->all_read = eof;
            turn_rooms(stream);
            status = read_ahead(stream);
        }
        if (status) {
            fail_body(stream, status);
            crt_h2_flush(conn);
        } else {
            resume_data(stream);
        }
    }
    crt_http_stream_release(&stream->base);
}

/* Has an empty room filled, unless one is being filled or there is no more. */
static int read_ahead(crt_h2_stream *stream) {
    if (!reads(stream) || stream->being_read || stream->all_read) {
        return 0;
    }
    stream->filling = is_empty(&stream->rooms[stream->sending]) ? stream->sending : !stream->sending;
    crt_h2_room *room = &stream->rooms[stream->filling];
    if (!is_empty(room)) {
        return 0;
    }
    if (!room->ptr && !(room->ptr = crt_malloc(ROOM))) {
        return AWS_ERROR_OOM;
    }
    room->start = room->end = 0;
    /* The piece may be gone before the read is over. */
    stream->being_read = stream->first->data;
    crt_source_acquire(stream->being_read);
    crt_ref_inc(&stream->base.refs);
    stream->being_read->ops->read(stream->being_read, stream->base.conn->loop, (crt_span){room->ptr, ROOM}, on_read,
                                  stream);
    return 0;
}

/* ---- what nghttp2 asks for ---- */

static size_t least(size_t a, uint64_t b) {
    return a < b ? a : (size_t)b;
}

static size_t take_read(crt_h2_stream *stream, uint8_t *to, size_t room, bool *finished) {
    crt_h2_room *from = &stream->rooms[stream->sending];
    size_t n = least(room, from->end - from->start);
    if (n > 0) {
        memcpy(to, from->ptr + from->start, n);
    }
    from->start += n;
    turn_rooms(stream);
    *finished = stream->all_read && is_empty(&stream->rooms[0]) && is_empty(&stream->rooms[1]);
    return n;
}

/* Bytes of the first piece into `to`; 0 with *finished when it has no more, 0 without when it has to be read; or -1. */
static ptrdiff_t take(crt_h2_stream *stream, uint8_t *to, size_t room, bool *finished, int *code) {
    crt_http_outgoing *piece = stream->first;
    const crt_source *source = piece->data;
    *finished = !source;
    if (!source) {
        return 0;
    }
    if (source->kind == CRT_SOURCE_READER) {
        return (ptrdiff_t)take_read(stream, to, room, finished);
    }
    size_t n = least(room, source->length - piece->sent);
    if (source->kind == CRT_SOURCE_MEMORY) {
        if (n > 0) {
            memcpy(to, source->memory.ptr + piece->sent, n);
        }
    } else if (n > 0) {
        ssize_t got = pread(source->fd, to, n, (off_t)(source->offset + piece->sent));
        if (got <= 0) {
            *code = got < 0 ? AWS_ERROR_FILE_READ_FAILURE : AWS_ERROR_HTTP_OUTGOING_STREAM_LENGTH_INCORRECT;
            return -1;
        }
        n = (size_t)got;
    }
    piece->sent += n;
    *finished = piece->sent == source->length;
    return (ptrdiff_t)n;
}

/* Fills `to` from as many pieces as it takes; true when the body ends with it. */
static bool fill(crt_h2_stream *stream, uint8_t *to, size_t room, size_t *filled) {
    *filled = 0;
    while (*filled < room && stream->first) {
        bool finished = false;
        int code = 0;
        ptrdiff_t n = take(stream, to + *filled, room - *filled, &finished, &code);
        if (n < 0) {
            fail_body(stream, code);
            return false;
        }
        *filled += (size_t)n;
        if (finished) {
            bool end = stream->first->end;
            pop(stream, 0);
            if (end) {
                return true;
            }
        } else if (n == 0) {
            return false;
        }
    }
    return false;
}

static ssize_t read_data(nghttp2_session *session, int32_t id, uint8_t *to, size_t room, uint32_t *flags,
                         nghttp2_data_source *source, void *user) {
    crt_h2_stream *stream = source->ptr;
    size_t filled = 0;
    if (!stream->fault.code) {
        if (fill(stream, to, room, &filled)) {
            *flags |= NGHTTP2_DATA_FLAG_EOF;
            crt_h2_note_sent(stream);
            return (ssize_t)filled;
        }
        int status = read_ahead(stream);
        if (status) {
            fail_body(stream, status);
        }
    }
    if (filled == 0) {
        stream->deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    crt_h2_note_activity(stream);
    return (ssize_t)filled;
}

/* ---- from outside ---- */

bool crt_h2_body_begin(crt_h2_stream *stream, nghttp2_data_provider *provider) {
    bool more = __atomic_load_n(&stream->base.writing, __ATOMIC_ACQUIRE) != CRT_HTTP_WRITING_NONE;
    provider->source.ptr = stream;
    provider->read_callback = read_data;
    if (stream->body) {
        crt_http_outgoing *piece = crt_calloc(1, sizeof(*piece));
        if (!piece) {
            return false;
        }
        piece->data = stream->body; /* takes over the reference */
        piece->end = !more;
        stream->body = NULL;
        append(stream, piece);
    }
    return more || stream->first;
}

void crt_h2_stream_write(crt_http_stream *base, crt_http_outgoing *outgoing) {
    crt_h2_stream *stream = (crt_h2_stream *)base;
    if (stream->closed || stream->fault.code) {
        crt_http_outgoing_done(outgoing, AWS_ERROR_HTTP_STREAM_HAS_COMPLETED);
        return;
    }
    append(stream, outgoing);
    resume_data(stream);
}

void crt_h2_body_end(crt_h2_stream *stream) {
    while (stream->first) {
        pop(stream, AWS_ERROR_HTTP_STREAM_HAS_COMPLETED);
    }
}
