/*
 * Request bodies on HTTP/2: the message's own body, then what crt_http_stream_write appends, in DATA frames as large
 * and as many as the peer's windows allow. nghttp2 asks; what has to be read first defers the stream.
 */
#include <unistd.h>

#include "crt/memory.h"
#include "h2_conn.h"

enum { ROOM = 64 * 1024 };

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
    stream->room_start = stream->room_end = 0;
    crt_http_outgoing_done(done, status);
}

static void fail_body(crt_h2_stream *stream, int code) {
    if (stream->first) {
        pop(stream, code);
    }
    crt_h2_stream_reset(stream, code, NGHTTP2_INTERNAL_ERROR, "the request body could not be read");
}

/* ---- readers ---- */

static void on_read(void *user, int status, size_t n, bool eof) {
    crt_h2_stream *stream = user;
    crt_h2_conn *conn = crt_h2_conn_of(stream);
    stream->reading = false;
    if (stream->base.active && !stream->closed && !stream->base.conn->closing && stream->first) {
        if (status) {
            fail_body(stream, status);
            crt_h2_flush(conn);
        } else {
            stream->room_end = n;
            stream->all_read = eof;
            resume_data(stream);
        }
    }
    crt_http_stream_release(&stream->base);
}

/* False without memory. */
static bool start_reading(crt_h2_stream *stream) {
    crt_source *source = stream->first->data;
    if (!stream->room && !(stream->room = crt_malloc(ROOM))) {
        return false;
    }
    stream->room_start = stream->room_end = 0;
    stream->reading = true;
    crt_ref_inc(&stream->base.refs);
    source->ops->read(source, stream->base.conn->loop, (crt_span){stream->room, ROOM}, on_read, stream);
    return true;
}

/* ---- what nghttp2 asks for ---- */

static size_t least(size_t a, uint64_t b) {
    return a < b ? a : (size_t)b;
}

/* Bytes of the first piece into `to`; 0 with *finished when it has no more, 0 without when it has to be read; or -1. */
static ptrdiff_t take(crt_h2_stream *stream, uint8_t *to, size_t room, bool *finished, int *code) {
    crt_http_outgoing *piece = stream->first;
    const crt_source *source = piece->data;
    *finished = false;
    if (!source) {
        *finished = true;
        return 0;
    }
    if (source->kind == CRT_SOURCE_READER) {
        size_t n = least(room, stream->room_end - stream->room_start);
        if (n > 0) {
            memcpy(to, stream->room + stream->room_start, n);
        }
        stream->room_start += n;
        *finished = stream->room_start == stream->room_end && stream->all_read;
        return (ptrdiff_t)n;
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

static ptrdiff_t wait_for_data(crt_h2_stream *stream) {
    crt_http_outgoing *piece = stream->first;
    bool reader = piece && piece->data && piece->data->kind == CRT_SOURCE_READER;
    if (reader && !stream->reading && !start_reading(stream)) {
        fail_body(stream, AWS_ERROR_OOM);
    }
    stream->deferred = true;
    return NGHTTP2_ERR_DEFERRED;
}

static ssize_t read_data(nghttp2_session *session, int32_t id, uint8_t *to, size_t room, uint32_t *flags,
                         nghttp2_data_source *source, void *user) {
    crt_h2_stream *stream = source->ptr;
    size_t filled = 0;
    while (filled < room && stream->first && !stream->reading && !stream->fault.code) {
        bool finished = false;
        int code = 0;
        ptrdiff_t n = take(stream, to + filled, room - filled, &finished, &code);
        if (n < 0) {
            fail_body(stream, code);
            break;
        }
        filled += (size_t)n;
        if (finished) {
            bool end = stream->first->end;
            pop(stream, 0);
            if (end) {
                *flags |= NGHTTP2_DATA_FLAG_EOF;
                return (ssize_t)filled;
            }
        } else if (n == 0) {
            break;
        }
    }
    return filled > 0 ? (ssize_t)filled : wait_for_data(stream);
}

/* ---- from outside ---- */

bool crt_h2_body_begin(crt_h2_stream *stream, nghttp2_data_provider *provider) {
    bool more = stream->base.writing != CRT_HTTP_WRITING_NONE;
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
