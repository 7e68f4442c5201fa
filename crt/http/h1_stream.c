/*
 * One request with its response: the public face of streams, and their way from activation to completion.
 */
#include "crt/log.h"
#include "crt/memory.h"
#include "h1_conn.h"

int crt_http_stream_new(crt_http_conn *conn, const crt_http_message *message, const crt_http_stream_handler *handler,
                        void *user, crt_http_stream **out) {
    crt_h1_request request;
    *out = NULL;
    if (!crt_http_conn_is_open(conn)) {
        return AWS_ERROR_HTTP_CONNECTION_CLOSED;
    }
    int status = crt_h1_check_request(message, conn->forward, &request);
    if (status) {
        return status;
    }
    crt_http_stream *s = crt_malloc(sizeof(*s) + request.head_len);
    if (!s) {
        return AWS_ERROR_OOM;
    }
    memset(s, 0, sizeof(*s));
    crt_ref_init(&s->refs);
    s->conn = conn;
    s->handler = handler;
    s->user = user;
    s->request = request;
    crt_h1_write_head(message, conn->forward, &request, s->head);
    if (request.framing != CRT_H1_NO_BODY && crt_http_message_body(message)) {
        s->source = crt_http_message_body(message);
        crt_source_acquire(s->source);
    }
    crt_http_conn_acquire(conn);
    *out = s;
    return 0;
}

void crt_http_stream_release(crt_http_stream *stream) {
    if (!stream || !crt_ref_dec(&stream->refs)) {
        return;
    }
    crt_h1_body_free(stream);
    crt_http_conn_release(stream->conn);
    crt_free(stream);
}

crt_http_conn *crt_http_stream_conn(const crt_http_stream *stream) {
    return stream->conn;
}

size_t crt_http_stream_unsent(const crt_http_stream *stream) {
    const crt_stream *io = stream->conn->io;
    return io ? io->unsent : 0;
}

/* ---- any thread ---- */

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
            crt_h1_stream_activate(stream);
            return 0;
        }
        status = crt_h1_conn_mail(stream, CRT_H1_MAIL_ACTIVATE);
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
        (void)crt_h1_conn_mail(stream, CRT_H1_MAIL_CANCEL);
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
        (void)crt_h1_conn_mail(stream, CRT_H1_MAIL_CREDIT);
    }
}

/* ---- loop only ---- */

void crt_http_stream_resume(crt_http_stream *stream) {
    stream->paused = false;
    if (stream->active) {
        crt_h1_receive(stream->conn);
    }
}

static void add_credit(crt_http_stream *stream) {
    stream->window = add_saturating(stream->window, __atomic_exchange_n(&stream->credit, 0, __ATOMIC_SEQ_CST));
}

void crt_h1_stream_take_credit(crt_http_stream *stream) {
    if (stream->active) {
        add_credit(stream);
        stream->blocked = false;
        crt_h1_receive(stream->conn);
    }
}

/* The last event of a stream. Gives back the reference that activation took. */
static void tell(crt_http_stream *stream, const crt_fault *fault) {
    CRT_LOG(CRT_LOG_DEBUG, CRT_LS_HTTP_STREAM, "id=%p: complete, status %d, code %d (%s)", (void *)stream,
            stream->status, fault->code, crt_error_name(fault->code));
    stream->handler->on_complete(stream->user, fault, stream->status);
    crt_h1_body_free(stream);
    crt_http_stream_release(stream);
}

void crt_h1_stream_activate(crt_http_stream *stream) {
    crt_http_conn *conn = stream->conn;
    if (conn->closing || conn->last_queued || conn->stopped_sending) {
        crt_fault fault = crt_h1_fault_of_streams(conn);
        tell(stream, &fault);
        return;
    }
    stream->active = true;
    stream->window = UINT64_MAX;
    if (conn->manual_window) {
        stream->window = conn->initial_window;
        add_credit(stream);
    }
    *conn->tail = stream;
    conn->tail = &stream->next;
    if (!conn->sending) {
        conn->sending = stream;
    }
    crt_h1_send(conn);
}

void crt_h1_stream_complete(crt_http_stream *stream, const crt_fault *fault) {
    crt_http_conn *conn = stream->conn;
    conn->first = stream->next;
    if (!conn->first) {
        conn->tail = &conn->first;
    }
    if (conn->sending == stream) {
        conn->sending = stream->next;
    }
    stream->next = NULL;
    stream->active = false;
    tell(stream, fault);
}

void crt_h1_stream_finish(crt_http_stream *stream) {
    static const crt_fault none = {0};
    crt_http_conn *conn = stream->conn;
    bool tunnel = stream->request.kind == CRT_H1_REQUEST_CONNECT && stream->status / 100 == 2;
    /* A request with Connection: close was the last one, and so was one answered with it. */
    if (stream->request.close || (conn->decoder.close && !tunnel)) {
        crt_h1_conn_shut(conn, 0, "the last exchange is complete");
    }
    crt_h1_stream_complete(stream, &none);
}

void crt_h1_stream_sent(crt_http_stream *stream) {
    stream->sent = true;
    if (stream->response_done && !stream->conn->closing) {
        crt_http_conn *conn = stream->conn;
        crt_h1_stream_finish(stream);
        crt_h1_receive(conn); /* bytes of the next response may be waiting */
    }
}
