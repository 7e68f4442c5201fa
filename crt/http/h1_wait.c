/*
 * What an exchange waits for, and for how long.
 */
#include "h1_conn.h"

const char *crt_h1_step_of(const crt_h1_stream *stream) {
    const crt_h1_conn *conn = crt_h1_conn_of(stream);
    if (stream != conn->first) {
        return "earlier responses on the connection were awaited";
    }
    if (stream->continue_at_ms) {
        return "the answer to Expect: 100-continue was awaited";
    }
    if (stream->in_body && !stream->response_done) {
        return "the response body was received";
    }
    if (stream->began && !stream->in_body) {
        return "the response head was received";
    }
    return stream->sent ? "the response was awaited" : "the request was sent";
}

static crt_http_wait wait_of(const crt_h1_stream *stream) {
    const crt_h1_conn *conn = crt_h1_conn_of(stream);
    crt_http_wait wait = {crt_h1_step_of(stream), 0, 0};
    if (stream != conn->first || stream->continue_at_ms) {
        return wait; /* the first one, or the time to continue, is watched instead */
    }
    if (stream->sent && !stream->began) {
        wait.first_byte_from = stream->sent_ms > conn->turn_ms ? stream->sent_ms : conn->turn_ms;
    }
    if (!crt_h1_is_held_up(stream) && !crt_h1_body_waits_for_user(stream)) {
        wait.idle_from = conn->active_ms;
    }
    return wait;
}

static uint64_t sooner(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

/* The body that waits for 100 (Continue) is sent when its time has come; otherwise, when that will be. */
static uint64_t check_continue(crt_h1_stream *stream, uint64_t now_ms) {
    uint64_t due = stream && stream->continue_at_ms ? stream->continue_at_ms : UINT64_MAX;
    if (now_ms < due) {
        return due;
    }
    crt_h1_stream_continue(stream);
    return UINT64_MAX;
}

uint64_t crt_h1_check_deadlines(crt_http_conn *base, uint64_t now_ms) {
    crt_h1_conn *conn = (crt_h1_conn *)base;
    uint64_t next = UINT64_MAX;
    if (base->io->unsent != conn->unsent_seen) { /* a large write tells only its end */
        conn->unsent_seen = base->io->unsent;
        conn->active_ms = now_ms;
    }
    for (crt_h1_stream *stream = conn->first; stream; stream = stream->next) {
        uint64_t due;
        const crt_http_wait wait = wait_of(stream);
        crt_fault fault = crt_http_stream_lateness(&stream->base, &wait, now_ms, &due);
        if (fault.code) {
            crt_http_conn_shut(base, fault.code, fault.detail);
            return UINT64_MAX;
        }
        next = sooner(next, due);
    }
    return sooner(next, check_continue(conn->sending, now_ms));
}
