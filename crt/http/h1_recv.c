/*
 * Responses: bytes from the transport through the decoder to the stream they belong to. Body bytes of a known
 * length go from the socket straight into the consumer's memory when the consumer names some.
 */
#include "crt/memory.h"
#include "h1_conn.h"

enum {
    READ_SIZE_MAX = 128 * 1024,
    HEAD_ROOM = 4 * 1024,    /* the least to read behind a head that is not complete */
    HELD_MAX = 64 * 1024,    /* read ahead while a complete response waits for its request to be sent */
    DIRECT_MIN = 4 * 1024,   /* shorter rests go through the buffer, with the next response behind them */
};

static void fail_with_decoder(crt_h1_conn *conn) {
    crt_http_conn_shut(&conn->base, AWS_ERROR_HTTP_PROTOCOL_ERROR, conn->decoder.detail);
}

/* ---- body ---- */

static uint64_t smaller(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

/* Asks the consumer where up to `most` bytes may go. False: nowhere for now, the stream is paused. */
static bool ask_space(crt_h1_stream *stream, uint64_t most, crt_span *space) {
    *space = (crt_span){NULL, 0};
    uint64_t left = crt_h1_decoder_body_left(&crt_h1_conn_of(stream)->decoder);
    stream->base.handler->on_space(stream->base.user, left, space);
    if (space->len > most) {
        space->len = (size_t)most;
    }
    stream->paused = space->len == 0;
    return !stream->paused;
}

/* False when the connection is closing because of it. */
static bool deliver(crt_h1_stream *stream, crt_bytes data) {
    if (stream->window != UINT64_MAX) {
        stream->window -= data.len;
    }
    int status = stream->base.handler->on_body(stream->base.user, data);
    if (status) {
        crt_http_conn_shut(stream->base.conn, status, "the consumer of the response body failed");
    }
    return !crt_h1_conn_of(stream)->base.closing;
}

/* One piece of body from the input buffer; false when nothing more can be done now. */
static bool deliver_buffered(crt_h1_stream *stream, crt_h1_event *event) {
    crt_h1_conn *conn = crt_h1_conn_of(stream);
    crt_span space = {NULL, 0};
    uint64_t limit = stream->window;
    stream->blocked = limit == 0;
    if (stream->blocked || stream->paused) {
        return false;
    }
    if (stream->base.handler->on_space) {
        if (!ask_space(stream, limit, &space)) {
            return false;
        }
        limit = space.len;
    }
    if (conn->base.closing) {
        return false;
    }
    *event = crt_h1_decoder_next(&conn->decoder, crt_buf_view(&conn->input), limit);
    crt_bytes data = event->body;
    if (space.ptr) {
        memcpy(space.ptr, data.ptr, data.len);
        data.ptr = space.ptr;
    }
    bool go_on = deliver(stream, data);
    crt_buf_consume(&conn->input, event->consumed);
    return go_on;
}

/* ---- head and end ---- */

/* False when the connection is closing because of it. */
static bool after_user(crt_h1_conn *conn, int status, const char *detail) {
    if (status) {
        crt_http_conn_shut(&conn->base, status, detail);
    }
    return !conn->base.closing;
}

static bool take_head(crt_h1_stream *stream) {
    crt_h1_conn *conn = crt_h1_conn_of(stream);
    crt_h1_decoder *d = &conn->decoder;
    bool tunnel = stream->request.kind == CRT_H1_REQUEST_CONNECT && d->status / 100 == 2;
    stream->base.status = d->status;
    stream->in_body = true;
    if ((d->close && !tunnel) || d->status == 101) {
        /* The peer takes no further request, nor the rest of this one (RFC 9112 section 9.6). */
        crt_http_conn_refuse(&conn->base);
        conn->stopped_sending = true;
    }
    if (stream->continue_at_ms) {
        /* Answered without the body (RFC 9110 section 10.1.1); where it would end, the peer cannot know. */
        stream->continue_at_ms = 0;
        stream->declined = true;
        crt_http_conn_refuse(&conn->base);
        conn->stopped_sending = true;
    }
    conn->switched = d->status == 101;
    int status = stream->base.handler->on_head(stream->base.user, d->status, d->headers, d->header_count);
    return after_user(conn, status, "the consumer of the response head failed");
}

static bool take_interim(crt_h1_stream *stream) {
    crt_h1_conn *conn = crt_h1_conn_of(stream);
    const crt_h1_decoder *d = &conn->decoder;
    if (d->status == 100) {
        crt_h1_stream_continue(stream);
    }
    if (conn->base.closing || !stream->base.handler->on_interim) {
        return !conn->base.closing;
    }
    int status = stream->base.handler->on_interim(stream->base.user, d->status, d->headers, d->header_count);
    return after_user(conn, status, "the consumer of an informational response failed");
}

static bool take_trailers(crt_h1_stream *stream) {
    crt_h1_conn *conn = crt_h1_conn_of(stream);
    const crt_h1_decoder *d = &conn->decoder;
    if (!stream->base.handler->on_trailers) {
        return true;
    }
    int status = stream->base.handler->on_trailers(stream->base.user, d->headers, d->header_count);
    return after_user(conn, status, "the consumer of the trailers failed");
}

static bool take_end(crt_h1_stream *stream) {
    crt_h1_conn *conn = crt_h1_conn_of(stream);
    stream->response_done = true;
    if (conn->switched) {
        return true; /* the stream stays open: what comes now is not HTTP */
    }
    if (!stream->sent && !conn->stopped_sending) {
        return false; /* waits for crt_h1_stream_sent */
    }
    crt_h1_stream_finish(stream);
    return !conn->base.closing;
}

/* ---- the loop over buffered input ---- */

/* Bytes that no request asked for. */
static bool take_unexpected(crt_h1_conn *conn) {
    if (crt_buf_len(&conn->input) > 0) {
        crt_http_conn_shut(&conn->base, conn->switched ? AWS_ERROR_HTTP_SWITCHED_PROTOCOLS : AWS_ERROR_INVALID_STATE,
                         "the peer sent bytes that belong to no response");
    }
    return false;
}

/* One event; false when nothing more can be done now. */
static bool step(crt_h1_conn *conn) {
    crt_h1_stream *stream = conn->first;
    if (!stream || conn->switched) {
        return take_unexpected(conn);
    }
    if (stream->response_done) {
        return false;
    }
    if (!stream->began) {
        if (crt_buf_len(&conn->input) == 0) {
            return false;
        }
        stream->began = true;
        crt_h1_decoder_begin(&conn->decoder, stream->request.kind);
    }
    crt_h1_event event = crt_h1_decoder_next(&conn->decoder, crt_buf_view(&conn->input), 0);
    bool go_on = false;
    switch (event.kind) {
    case CRT_H1_INTERIM: /* headers are views of the input: it is consumed afterwards */
        go_on = take_interim(stream);
        crt_buf_consume(&conn->input, event.consumed);
        return go_on;
    case CRT_H1_HEAD:
        go_on = take_head(stream);
        crt_buf_consume(&conn->input, event.consumed);
        return go_on;
    case CRT_H1_TRAILERS:
        go_on = take_trailers(stream);
        crt_buf_consume(&conn->input, event.consumed);
        return go_on;
    case CRT_H1_BLOCKED:
        crt_buf_consume(&conn->input, event.consumed);
        return deliver_buffered(stream, &event);
    case CRT_H1_END:
        crt_buf_consume(&conn->input, event.consumed);
        return take_end(stream);
    case CRT_H1_ERROR:
        fail_with_decoder(conn);
        return false;
    default:
        crt_buf_consume(&conn->input, event.consumed);
        return false;
    }
}

void crt_h1_receive(crt_h1_conn *conn) {
    if (conn->parsing || conn->base.closing) {
        return; /* called from a callback: the loop below is still running */
    }
    conn->parsing = true;
    while (step(conn)) {
    }
    conn->parsing = false;
    if (conn->reading_stopped && !conn->base.closing) {
        conn->reading_stopped = false;
        crt_stream_resume(conn->base.io); /* asks on_space again, which stops anew if nothing changed */
    }
}

/* ---- the transport's side ---- */

/* Body bytes are due next, with nothing buffered before them, and the consumer wants them in place. */
static bool wants_direct(const crt_h1_stream *stream) {
    const crt_h1_decoder *d = &crt_h1_conn_of(stream)->decoder;
    return stream->base.handler->on_space && stream->in_body && stream->window > 0 &&
           crt_h1_decoder_raw_body(d) >= DIRECT_MIN && crt_buf_len(&crt_h1_conn_of(stream)->input) == 0;
}

bool crt_h1_is_held_up(const crt_h1_stream *stream) {
    return stream->in_body && !stream->response_done && (stream->paused || stream->blocked);
}

static void name_buffer(crt_h1_conn *conn, crt_span *space) {
    size_t held = crt_buf_len(&conn->input);
    if (crt_buf_reserve(&conn->input, held ? HEAD_ROOM : conn->read_size)) {
        crt_http_conn_shut(&conn->base, AWS_ERROR_OOM, "no memory to read into");
        return;
    }
    space->ptr = conn->input.ptr + conn->input.end;
    space->len = conn->input.cap - conn->input.end;
}

static void on_space(void *user, crt_span *space) {
    crt_h1_conn *conn = user;
    crt_h1_stream *stream = conn->first;
    *space = (crt_span){NULL, 0};
    conn->direct = false;
    if (conn->base.closing) {
        return;
    }
    bool held_up = stream && crt_h1_is_held_up(stream);
    bool full = stream && stream->response_done && crt_buf_len(&conn->input) >= HELD_MAX;
    if (!held_up && !full) {
        if (!stream || !wants_direct(stream)) {
            name_buffer(conn, space);
            return;
        }
        conn->direct =
            ask_space(stream, smaller(crt_h1_decoder_raw_body(&conn->decoder), stream->window), &conn->direct_span);
        if (conn->direct && !conn->base.closing) {
            *space = conn->direct_span;
            return;
        }
    }
    conn->reading_stopped = true;
}

static void take_direct(crt_h1_conn *conn, size_t n) {
    crt_h1_stream *stream = conn->first;
    crt_h1_decoder_skip(&conn->decoder, n);
    conn->parsing = true;
    bool go_on = deliver(stream, crt_bytes_of(conn->direct_span.ptr, n));
    conn->parsing = false;
    if (go_on) {
        crt_h1_receive(conn); /* an end may be due, which takes no bytes */
    }
}

static void on_data(void *user, size_t n) {
    crt_h1_conn *conn = user;
    crt_h1_note_activity(conn);
    if (conn->direct) {
        take_direct(conn, n);
        return;
    }
    if (n == conn->input.cap - conn->input.end && conn->read_size < READ_SIZE_MAX) {
        conn->read_size *= 2; /* the peer has more than fits: fewer, larger reads */
    }
    conn->input.end += n;
    crt_h1_receive(conn);
}

bool crt_h1_receive_eof(crt_http_conn *base, const crt_fault *fault) {
    crt_h1_conn *conn = (crt_h1_conn *)base;
    crt_h1_stream *stream = conn->first;
    /* Over TLS only close_notify proves that nothing was cut off (RFC 9112 section 9.8). */
    bool proper = fault->code == 0 || (fault->code == AWS_IO_SOCKET_CLOSED && !conn->base.tls);
    if (!stream || !stream->in_body || stream->response_done || !proper || crt_buf_len(&conn->input) > 0 ||
        !crt_h1_decoder_eof(&conn->decoder)) {
        return false;
    }
    stream->response_done = true;
    return true;
}

const crt_stream_handler crt_h1_io_handler = {on_space, on_data, NULL, crt_http_conn_on_closed};
