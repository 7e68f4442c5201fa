/*
 * Requests go out in the order of activation, each as soon as the one before is wholly in the transport's
 * queue: the peer sees them back to back.
 */
#include "h1_conn.h"

static void begin_request(crt_h1_stream *stream) {
    crt_h1_conn *conn = crt_h1_conn_of(stream);
    stream->began_sending = true;
    if (stream->request.close) {
        crt_http_conn_refuse(&conn->base);
    }
    int status = crt_stream_put(conn->base.io, stream->head, stream->request.head_len);
    if (status == AWS_IO_SOCKET_CLOSED) {
        conn->stopped_sending = true; /* the peer may still have something to say; the end of that is near */
    } else if (status) {
        crt_http_conn_shut(&conn->base, status, "the request could not be sent");
    } else if (stream->continue_ms) {
        stream->continue_at_ms = crt_loop_now_ms(conn->base.loop) + stream->continue_ms;
        crt_http_conn_watch(&conn->base, stream->continue_at_ms);
    } else if (stream->body) {
        crt_h1_body_start(stream);
    }
}

void crt_h1_stream_continue(crt_h1_stream *stream) {
    crt_h1_conn *conn = crt_h1_conn_of(stream);
    if (stream->continue_at_ms) {
        stream->continue_at_ms = 0;
        crt_h1_note_activity(conn);
        crt_h1_body_start(stream);
        crt_h1_send(conn);
    }
}

static bool may_send(const crt_h1_conn *conn) {
    return conn->sending && !conn->base.closing && !conn->last_queued && !conn->stopped_sending;
}

void crt_h1_send(crt_h1_conn *conn) {
    while (may_send(conn)) {
        crt_h1_stream *stream = conn->sending;
        if (!stream->began_sending) {
            crt_ref_inc(&stream->base.refs);
            begin_request(stream); /* the user is told of writes, and may have the response delivered */
            bool complete = !stream->base.active;
            crt_http_stream_release(&stream->base);
            if (complete) {
                continue;
            }
        }
        if (!may_send(conn) || !crt_h1_body_queued(stream)) {
            return;
        }
        conn->sending = stream->next;
        conn->last_queued = stream->request.close;
        if (crt_h1_body_done(stream)) {
            crt_h1_stream_sent(stream);
        }
    }
}
