/*
 * An HTTP/2 connection: the session, its settings, what it sends, and its end.
 */
#include "h2_conn.h"

#include "crt/log.h"
#include "crt/memory.h"

enum {
    READ_SIZE = 128 * 1024,
    UNSENT_MAX = 512 * 1024, /* no more is framed while the transport has this much to send */
    MANUAL_CONN_THRESHOLD = 32767,
    SETTINGS_MAX = 64,
    HEADERS_SENT_MAX = 16 << 20, /* what a request may be is the peer's business */
};

/* ---- output ---- */

void crt_h2_fail(crt_h2_conn *conn, int code, const char *detail) {
    if (conn->failure == 0) {
        conn->failure = code;
        conn->failure_detail = detail;
    }
}

/* False when there is nothing more to send now. */
static bool send_some(crt_h2_conn *conn) {
    const uint8_t *data = NULL;
    conn->in_session++;
    ssize_t n = nghttp2_session_mem_send(conn->session, &data);
    conn->in_session--;
    if (n < 0) {
        crt_h2_fail(conn, n == NGHTTP2_ERR_NOMEM ? AWS_ERROR_OOM : AWS_ERROR_HTTP_PROTOCOL_ERROR,
                    nghttp2_strerror((int)n));
        return false;
    }
    if (n == 0) {
        return false;
    }
    int status = crt_stream_put(conn->base.io, data, (size_t)n);
    if (status && status != AWS_IO_SOCKET_CLOSED) { /* that one is on its way as on_closed */
        crt_h2_fail(conn, status, "the frame could not be sent");
    }
    return status == 0;
}

void crt_h2_flush(crt_h2_conn *conn) {
    if (conn->in_session > 0 || conn->flushing || conn->base.closing) {
        return;
    }
    conn->flushing = true;
    while (conn->base.io->unsent < UNSENT_MAX && send_some(conn)) {
    }
    conn->flushing = false;
    if (conn->failure) {
        crt_http_conn_shut(&conn->base, conn->failure, conn->failure_detail);
    }
}

static int on_frame_sent(nghttp2_session *session, const nghttp2_frame *frame, void *user) {
    if (frame->hd.type == NGHTTP2_GOAWAY && frame->goaway.error_code != NGHTTP2_NO_ERROR) {
        crt_h2_fail(user, AWS_ERROR_HTTP_PROTOCOL_ERROR, nghttp2_http2_strerror(frame->goaway.error_code));
    }
    return 0;
}

/* A request that was cancelled, or that a GOAWAY overtook, while the transport was busy. */
static int on_frame_not_sent(nghttp2_session *session, const nghttp2_frame *frame, int error, void *user) {
    if (frame->hd.type == NGHTTP2_HEADERS) {
        crt_h2_stream_unsent(user, frame->hd.stream_id);
    }
    return 0;
}

/* ---- the transport's side ---- */

static void on_space(void *user, crt_span *space) {
    crt_h2_conn *conn = user;
    *space = (crt_span){NULL, 0};
    if (conn->base.closing) {
        return;
    }
    if (crt_buf_reserve(&conn->input, READ_SIZE)) {
        crt_http_conn_shut(&conn->base, AWS_ERROR_OOM, "no memory to read into");
        return;
    }
    *space = (crt_span){conn->input.ptr, READ_SIZE};
}

static void on_data(void *user, size_t n) {
    crt_h2_conn *conn = user;
    crt_ref_inc(&conn->base.lives);
    conn->in_session++;
    ssize_t used = nghttp2_session_mem_recv(conn->session, conn->input.ptr, n);
    conn->in_session--;
    if (used < 0) {
        crt_h2_fail(conn, used == NGHTTP2_ERR_NOMEM ? AWS_ERROR_OOM : AWS_ERROR_HTTP_PROTOCOL_ERROR,
                    nghttp2_strerror((int)used));
    }
    crt_h2_flush(conn);
    crt_http_conn_task_done(&conn->base);
}

static void on_drained(void *user) {
    crt_h2_flush(user);
}

static const crt_stream_handler io_handler = {on_space, on_data, on_drained, crt_http_conn_on_closed};

/* ---- the end ---- */

static void farewell(crt_http_conn *base, int code) {
    crt_h2_conn *conn = (crt_h2_conn *)base;
    conn->in_session++;
    /* Without effect when the session has said so already. */
    (void)nghttp2_session_terminate_session(conn->session, code ? NGHTTP2_INTERNAL_ERROR : NGHTTP2_NO_ERROR);
    conn->in_session--;
    while (send_some(conn)) {
    }
}

static bool receive_eof(crt_http_conn *base, const crt_fault *fault) {
    return false;
}

static void end_pings(crt_h2_conn *conn) {
    crt_fault fault;
    crt_fail(&fault, AWS_ERROR_HTTP_CONNECTION_CLOSED, "the connection was closed");
    while (conn->pings) {
        crt_http_ping *ping = conn->pings;
        conn->pings = ping->next;
        ping->done(ping->user, &fault, 0);
        crt_free(ping);
    }
    conn->last_ping = &conn->pings;
}

static void end_streams(crt_http_conn *base) {
    crt_h2_conn *conn = (crt_h2_conn *)base;
    crt_fault closed;
    crt_fail(&closed, AWS_ERROR_HTTP_CONNECTION_CLOSED, "%s: %s", base->io->peer,
             base->cause.code ? base->cause.detail : "the connection was closed");
    for (crt_h2_stream *stream = conn->streams, *next; stream; stream = next) {
        next = stream->next;
        /* Completely received, and the consumer is still busy with it. Our own close does not wait for him. */
        if (stream->closed && base->cause.code && !stream->fault.code) {
            continue;
        }
        crt_buf_clear(&stream->held);
        crt_h2_stream_complete(stream, stream->fault.code ? &stream->fault : &closed);
    }
    end_pings(conn);
}

static void conn_free(crt_http_conn *base) {
    crt_h2_conn *conn = (crt_h2_conn *)base;
    nghttp2_session_del(conn->session);
    crt_buf_free(&conn->input);
    crt_buf_free(&conn->head_text);
    crt_free(conn->head_fields);
    crt_free(conn);
}

/* ---- birth ---- */

static void send_ping(crt_http_conn *base, crt_http_ping *ping) {
    crt_h2_conn *conn = (crt_h2_conn *)base;
    ping->next = NULL;
    *conn->last_ping = ping;
    conn->last_ping = &ping->next;
    if (nghttp2_submit_ping(conn->session, NGHTTP2_FLAG_NONE, NULL)) {
        crt_h2_fail(conn, AWS_ERROR_OOM, "no memory for a PING");
    }
    crt_h2_flush(conn);
}

static const crt_http_protocol http_2 = {
    .version = CRT_HTTP_2,
    .stream_new = crt_h2_stream_new,
    .stream_free = crt_h2_stream_free,
    .activate = crt_h2_stream_activate,
    .credit = crt_h2_stream_credit,
    .cancel = crt_h2_stream_cancel,
    .resume = crt_h2_stream_resume,
    .write = crt_h2_stream_write,
    .conn_credit = crt_h2_conn_credit,
    .ping = send_ping,
    .check_deadlines = crt_h2_check_deadlines,
    .farewell = farewell,
    .receive_eof = receive_eof,
    .end_streams = end_streams,
    .conn_free = conn_free,
};

static int session_new(crt_h2_conn *conn) {
    nghttp2_session_callbacks *callbacks = NULL;
    nghttp2_option *option = NULL;
    int status = AWS_ERROR_OOM;
    if (nghttp2_session_callbacks_new(&callbacks) || nghttp2_option_new(&option)) {
        goto cleanup;
    }
    crt_h2_set_recv_callbacks(callbacks);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_sent);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks, on_frame_not_sent);
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_option_set_no_http_messaging(option, 1); /* h2_message.c has other rules */
    nghttp2_option_set_max_send_header_block_length(option, HEADERS_SENT_MAX);
    nghttp2_option_set_peer_max_concurrent_streams(option, UINT32_MAX); /* until its SETTINGS: unlimited */
    if (nghttp2_session_client_new2(&conn->session, callbacks, conn, option) == 0) {
        status = 0;
    }
cleanup:
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_option_del(option);
    return status;
}

/* The first SETTINGS frame, and the connection's window opened wide unless the user governs it. */
static int greet(crt_h2_conn *conn, const crt_http_connect_options *http) {
    nghttp2_settings_entry entries[SETTINGS_MAX];
    size_t count = 0;
    if (http->setting_count >= SETTINGS_MAX) {
        return AWS_ERROR_INVALID_ARGUMENT;
    }
    if (conn->base.manual_window && conn->base.initial_window != CRT_H2_DEFAULT_WINDOW) {
        entries[count++] =
            (nghttp2_settings_entry){NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, (uint32_t)conn->base.initial_window};
    }
    for (size_t i = 0; i < http->setting_count; i++) {
        entries[count++] = (nghttp2_settings_entry){http->settings[i].id, http->settings[i].value};
    }
    int status = nghttp2_submit_settings(conn->session, NGHTTP2_FLAG_NONE, entries, count);
    if (status) {
        return status == NGHTTP2_ERR_NOMEM ? AWS_ERROR_OOM : AWS_ERROR_INVALID_ARGUMENT;
    }
    if (!conn->manual_conn_window && nghttp2_submit_window_update(conn->session, NGHTTP2_FLAG_NONE, 0,
                                                                  CRT_H2_WINDOW_MAX - CRT_H2_DEFAULT_WINDOW)) {
        return AWS_ERROR_OOM;
    }
    return 0;
}

static void init_peer_settings(crt_h2_conn *conn) {
    conn->remote[CRT_HTTP2_HEADER_TABLE_SIZE] = 4096;
    conn->remote[CRT_HTTP2_ENABLE_PUSH] = 1;
    conn->remote[CRT_HTTP2_MAX_CONCURRENT_STREAMS] = UINT32_MAX;
    conn->remote[CRT_HTTP2_INITIAL_WINDOW_SIZE] = CRT_H2_DEFAULT_WINDOW;
    conn->remote[CRT_HTTP2_MAX_FRAME_SIZE] = 16384;
    conn->remote[CRT_HTTP2_MAX_HEADER_LIST_SIZE] = UINT32_MAX;
}

int crt_h2_conn_new(crt_stream *io, const crt_http_conn_options *options, crt_http_conn **out) {
    const crt_http_connect_options *http = options->http2;
    if (options->manual_window && options->initial_window > CRT_H2_WINDOW_MAX) {
        return AWS_ERROR_INVALID_ARGUMENT;
    }
    crt_h2_conn *conn = crt_calloc(1, sizeof(*conn));
    if (!conn) {
        return AWS_ERROR_OOM;
    }
    crt_http_conn_init(&conn->base, &http_2, io, options);
    conn->goaway_last = -1;
    conn->last_ping = &conn->pings;
    conn->manual_conn_window = http->manual_conn_window;
    conn->conn_threshold = http->conn_window_threshold   ? http->conn_window_threshold
                           : http->manual_conn_window ? MANUAL_CONN_THRESHOLD
                                                      : CRT_H2_WINDOW_MAX / 2;
    conn->stream_threshold = http->stream_window_threshold;
    init_peer_settings(conn);
    int status = session_new(conn);
    status = status ? status : greet(conn, http);
    if (status) {
        conn_free(&conn->base);
        return status;
    }
    crt_stream_set_handler(io, &io_handler, conn);
    crt_h2_flush(conn);
    *out = &conn->base;
    return 0;
}
