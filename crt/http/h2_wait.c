/*
 * What a stream waits for, and for how long.
 */
#include "h2_conn.h"

static const char *step_of(const crt_h2_stream *stream) {
    if (stream->in_body && !stream->remote_end) {
        return "the response body was received";
    }
    return stream->sent_ms && !stream->remote_end ? "the response was awaited" : "the request was sent";
}

static crt_http_wait wait_of(const crt_h2_stream *stream) {
    crt_http_wait wait = {step_of(stream), 0, 0};
    bool waits_for_user = stream->paused || stream->deferred || stream->closed;
    if (stream->sent_ms && !stream->in_body) {
        wait.first_byte_from = stream->sent_ms;
    }
    if (!waits_for_user) {
        wait.idle_from = stream->active_ms;
    }
    return wait;
}

void crt_h2_note_activity(crt_h2_stream *stream) {
    if (stream->base.timeouts.idle_ms) {
        stream->active_ms = crt_loop_now_ms(stream->base.conn->loop);
    }
}

void crt_h2_note_sent(crt_h2_stream *stream) {
    stream->sent_ms = crt_loop_now_ms(stream->base.conn->loop);
    crt_h2_note_activity(stream);
}

uint64_t crt_h2_check_deadlines(crt_http_conn *base, uint64_t now_ms) {
    crt_h2_conn *conn = (crt_h2_conn *)base;
    uint64_t next_due = UINT64_MAX;
    for (crt_h2_stream *stream = conn->streams, *next; stream; stream = next) {
        uint64_t due;
        const crt_http_wait wait = wait_of(stream);
        crt_fault fault = crt_http_stream_lateness(&stream->base, &wait, now_ms, &due);
        next = stream->next;
        if (stream->fault.code) {
            continue; /* its end is on the way */
        }
        if (!fault.code) {
            next_due = due < next_due ? due : next_due;
            continue;
        }
        crt_h2_stream_reset(stream, fault.code, NGHTTP2_CANCEL, fault.detail);
        if (stream->closed) {
            crt_h2_stream_closed(stream);
        }
    }
    crt_h2_flush(conn);
    return next_due;
}
