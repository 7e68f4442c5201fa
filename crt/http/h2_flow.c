/*
 * Flow control of what comes in (RFC 9113 section 5.2). The connection's window is opened wide unless the user governs
 * it: what a stream may hold back is bounded by its own.
 */
#include "crt/memory.h"
#include "h2_conn.h"

enum { WINDOW_GROWN_MAX = 8 << 20 }; /* automatic mode: a reader that keeps up gets a window for distant peers */

static void set_target(crt_h2_stream *stream, int32_t window) {
    crt_h2_conn *conn = crt_h2_conn_of(stream);
    stream->window_target = window;
    stream->threshold = conn->stream_threshold ? conn->stream_threshold : (uint32_t)window / 2;
}

static int32_t window_in_force(const crt_h2_conn *conn) {
    return (int32_t)nghttp2_session_get_local_settings(conn->session, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE);
}

void crt_h2_window_begin(crt_h2_stream *stream) {
    crt_h2_conn *conn = crt_h2_conn_of(stream);
    set_target(stream, window_in_force(conn));
    if (conn->base.manual_window && stream->base.credit > 0) {
        crt_h2_stream_credit(&stream->base);
    }
}

/* With a manual window the threshold stays what it was at activation: the user counts on it. */
void crt_h2_windows_changed(crt_h2_conn *conn) {
    int32_t window = window_in_force(conn);
    for (crt_h2_stream *s = conn->streams; s && !conn->base.manual_window; s = s->next) {
        if (s->window_target < window) {
            set_target(s, window);
        }
    }
}

static uint32_t add_credit(uint32_t a, uint64_t b) {
    return b > CRT_H2_WINDOW_MAX - a ? CRT_H2_WINDOW_MAX : a + (uint32_t)b;
}

/* Credit gathers while the peer still has plenty and then goes out as one WINDOW_UPDATE. */
static void send_credit(crt_h2_conn *conn, int32_t id, int32_t window, uint32_t threshold, uint32_t *pending) {
    uint32_t room = (uint32_t)(CRT_H2_WINDOW_MAX - (window > 0 ? window : 0));
    uint32_t n = *pending < room ? *pending : room;
    if (n == 0 || window >= (int64_t)threshold) {
        return;
    }
    conn->in_session++;
    if (nghttp2_submit_window_update(conn->session, NGHTTP2_FLAG_NONE, id, (int32_t)n) == 0) {
        *pending -= n;
    }
    conn->in_session--;
}

/* A consumer that empties the window as fast as it fills gets twice as much, up to a bound. */
static void grow_window(crt_h2_stream *stream, int32_t window) {
    crt_h2_conn *conn = crt_h2_conn_of(stream);
    if (conn->stream_threshold || stream->window_target >= WINDOW_GROWN_MAX || stream->window_target <= 0 ||
        window >= (int64_t)stream->threshold) {
        return;
    }
    stream->credit_pending = add_credit(stream->credit_pending, (uint64_t)stream->window_target);
    set_target(stream, stream->window_target * 2);
}

static void credit_stream(crt_h2_stream *stream, uint64_t n) {
    crt_h2_conn *conn = crt_h2_conn_of(stream);
    stream->credit_pending = add_credit(stream->credit_pending, n);
    if (stream->remote_end || stream->last_frame || stream->closed) {
        return; /* nothing more comes that would need it */
    }
    int32_t window = nghttp2_session_get_stream_local_window_size(conn->session, stream->id);
    if (!conn->base.manual_window) {
        grow_window(stream, window);
    }
    send_credit(conn, stream->id, window, stream->threshold, &stream->credit_pending);
}

static void credit_conn(crt_h2_conn *conn, uint64_t n) {
    conn->conn_credit = add_credit(conn->conn_credit, n);
    send_credit(conn, 0, nghttp2_session_get_local_window_size(conn->session), conn->conn_threshold,
                &conn->conn_credit);
}

void crt_h2_stream_credit(crt_http_stream *base) {
    crt_h2_stream *stream = (crt_h2_stream *)base;
    credit_stream(stream, crt_http_stream_take_credit(base, 0));
    crt_h2_flush(crt_h2_conn_of(stream));
}

void crt_h2_conn_credit(crt_http_conn *base, uint32_t n) {
    crt_h2_conn *conn = (crt_h2_conn *)base;
    if (conn->manual_conn_window) {
        credit_conn(conn, n);
        crt_h2_flush(conn);
    }
}

void crt_h2_received(crt_h2_conn *conn, size_t n) {
    if (!conn->manual_conn_window) {
        credit_conn(conn, n);
    }
}

void crt_h2_consumed(crt_h2_stream *stream, size_t n) {
    if (!crt_h2_conn_of(stream)->base.manual_window) {
        credit_stream(stream, n);
    }
}
