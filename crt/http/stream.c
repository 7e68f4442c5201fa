/*
 * Streams of either protocol: the public calls, which any thread may make, and what they lead to on the loop.
 */
#include "conn.h"
#include "crt/log.h"

void crt_http_stream_init(crt_http_stream *stream, crt_http_conn *conn, const crt_http_stream_handler *handler,
                          void *user) {
    crt_ref_init(&stream->refs);
    stream->conn = conn;
    stream->handler = handler;
    stream->user = user;
    crt_http_conn_acquire(conn);
}

int crt_http_stream_new(crt_http_conn *conn, const crt_http_message *message, const crt_http_stream_handler *handler,
                        void *user, crt_http_stream **out) {
    *out = NULL;
    if (!crt_http_conn_is_open(conn)) {
        return AWS_ERROR_HTTP_CONNECTION_CLOSED;
    }
    return conn->protocol->stream_new(conn, message, handler, user, out);
}

void crt_http_stream_release(crt_http_stream *stream) {
    if (!stream || !crt_ref_dec(&stream->refs)) {
        return;
    }
    crt_http_conn *conn = stream->conn;
    conn->protocol->stream_free(stream);
    crt_http_conn_release(conn);
}

crt_http_conn *crt_http_stream_conn(const crt_http_stream *stream) {
    return stream->conn;
}

size_t crt_http_stream_unsent(const crt_http_stream *stream) {
    const crt_stream *io = stream->conn->io;
    return io ? io->unsent : 0;
}

void crt_http_stream_resume(crt_http_stream *stream) {
    stream->conn->protocol->resume(stream);
}

int crt_http_stream_activate(crt_http_stream *stream) {
    crt_http_conn *conn = stream->conn;
    if (__atomic_load_n(&stream->activated, __ATOMIC_SEQ_CST)) {
        return 0;
    }
    if (!crt_http_conn_is_open(conn)) {
        return AWS_ERROR_HTTP_CONNECTION_CLOSED;
    }
    if (__atomic_exchange_n(&stream->activated, 1, __ATOMIC_SEQ_CST)) {
        return 0;
    }
    /* A cancel either sees `activated` and sends word, or was early enough to be seen here. */
    int status = __atomic_load_n(&stream->cancel_code, __ATOMIC_SEQ_CST);
    if (!status) {
        crt_ref_inc(&stream->refs);
        if (crt_loop_is_current(conn->loop) && !__atomic_load_n(&conn->mail, __ATOMIC_ACQUIRE)) {
            conn->protocol->activate(stream);
            return 0;
        }
        status = crt_http_conn_mail(stream, CRT_HTTP_MAIL_ACTIVATE);
        if (status) {
            crt_http_stream_release(stream);
        }
    }
    if (status) {
        __atomic_store_n(&stream->activated, 0, __ATOMIC_SEQ_CST);
    }
    return status;
}

void crt_http_stream_cancel(crt_http_stream *stream, int code) {
    int none = 0;
    if (stream->conn->generation != crt_fork_generation()) {
        return;
    }
    if (!__atomic_compare_exchange_n(&stream->cancel_code, &none, code ? code : AWS_ERROR_HTTP_STREAM_CANCELLED, false,
                                     __ATOMIC_SEQ_CST, __ATOMIC_RELAXED)) {
        return;
    }
    if (__atomic_load_n(&stream->activated, __ATOMIC_SEQ_CST)) {
        /* Refused only when the connection is gone, and the stream with it. */
        (void)crt_http_conn_mail(stream, CRT_HTTP_MAIL_CANCEL);
    }
}

static uint64_t add_saturating(uint64_t a, uint64_t b) {
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

void crt_http_stream_update_window(crt_http_stream *stream, uint64_t n) {
    crt_http_conn *conn = stream->conn;
    if (!conn->manual_window || n == 0 || conn->generation != crt_fork_generation()) {
        return;
    }
    uint64_t credit = __atomic_load_n(&stream->credit, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(&stream->credit, &credit, add_saturating(credit, n), true, __ATOMIC_SEQ_CST,
                                        __ATOMIC_RELAXED)) {
    }
    /* Before activation it only adds up: activation takes it. */
    if (__atomic_load_n(&stream->activated, __ATOMIC_SEQ_CST)) {
        (void)crt_http_conn_mail(stream, CRT_HTTP_MAIL_CREDIT);
    }
}

/* ---- loop only ---- */

void crt_http_stream_open_mail(crt_http_stream *stream, uint32_t what) {
    const crt_http_protocol *protocol = stream->conn->protocol;
    if (what & CRT_HTTP_MAIL_ACTIVATE) {
        protocol->activate(stream);
    }
    if (what & CRT_HTTP_MAIL_CREDIT && stream->active) {
        protocol->credit(stream);
    }
    if (what & CRT_HTTP_MAIL_CANCEL && stream->active) {
        protocol->cancel(stream, __atomic_load_n(&stream->cancel_code, __ATOMIC_ACQUIRE));
    }
}

uint64_t crt_http_stream_take_credit(crt_http_stream *stream, uint64_t window) {
    return add_saturating(window, __atomic_exchange_n(&stream->credit, 0, __ATOMIC_SEQ_CST));
}

void crt_http_stream_tell(crt_http_stream *stream, const crt_fault *fault) {
    CRT_LOG(CRT_LOG_DEBUG, CRT_LS_HTTP_STREAM, "id=%p: complete, status %d, code %d (%s)", (void *)stream,
            stream->status, fault->code, crt_error_name(fault->code));
    stream->handler->on_complete(stream->user, fault, stream->status);
    crt_http_stream_release(stream);
}
