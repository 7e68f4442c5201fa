/*
 * Streams of either protocol: the public calls, which any thread may make, and what they lead to on the loop.
 */
#include "conn.h"
#include "crt/log.h"
#include "crt/memory.h"

void crt_http_stream_init(crt_http_stream *stream, crt_http_conn *conn, const crt_http_stream_handler *handler,
                          void *user) {
    crt_ref_init(&stream->refs);
    stream->conn = conn;
    stream->handler = handler;
    stream->user = user;
    stream->timeouts = conn->timeouts;
    crt_http_conn_acquire(conn);
}

/* Why the connection takes no new work; 0: it does. */
static int refusal(crt_http_conn *conn) {
    return crt_http_conn_is_open(conn) ? __atomic_load_n(&conn->refusal, __ATOMIC_ACQUIRE)
                                       : AWS_ERROR_HTTP_CONNECTION_CLOSED;
}

int crt_http_stream_new(crt_http_conn *conn, const crt_http_message *message, const crt_http_stream_handler *handler,
                        void *user, crt_http_stream **out) {
    return crt_http_stream_new_with(conn, message, handler, user, NULL, out);
}

int crt_http_stream_new_with(crt_http_conn *conn, const crt_http_message *message,
                             const crt_http_stream_handler *handler, void *user,
                             const crt_http_stream_options *options, crt_http_stream **out) {
    static const crt_http_stream_options none = {false, 0, NULL};
    *out = NULL;
    int status = refusal(conn);
    if (status) {
        return status;
    }
    options = options ? options : &none;
    status = conn->protocol->stream_new(conn, message, handler, user, options, out);
    if (!status && options->writes) {
        status = crt_http_stream_expect_writes(*out);
    }
    if (!status && options->timeouts) {
        (*out)->timeouts = *options->timeouts;
    }
    if (status) {
        crt_http_stream_release(*out);
        *out = NULL;
    }
    return status;
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
    int status = refusal(conn);
    if (status) {
        return status;
    }
    if (__atomic_exchange_n(&stream->activated, 1, __ATOMIC_SEQ_CST)) {
        return 0;
    }
    /* A cancel either sees `activated` and sends word, or was early enough to be seen here. */
    status = __atomic_load_n(&stream->cancel_code, __ATOMIC_SEQ_CST);
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
    bool activated = __atomic_load_n(&stream->activated, __ATOMIC_SEQ_CST);
    if (!activated && conn->protocol->version == CRT_HTTP_2) {
        return; /* there is no window yet */
    }
    uint64_t credit = __atomic_load_n(&stream->credit, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(&stream->credit, &credit, add_saturating(credit, n), true, __ATOMIC_SEQ_CST,
                                        __ATOMIC_RELAXED)) {
    }
    /* Before activation it only adds up: activation takes it. */
    if (activated || __atomic_load_n(&stream->activated, __ATOMIC_SEQ_CST)) {
        (void)crt_http_conn_mail(stream, CRT_HTTP_MAIL_CREDIT);
    }
}

/* ---- push-style writing ---- */

int crt_http_stream_expect_writes(crt_http_stream *stream) {
    if (!stream->conn->protocol->write) {
        return AWS_ERROR_UNSUPPORTED_OPERATION;
    }
    if (__atomic_load_n(&stream->activated, __ATOMIC_SEQ_CST)) {
        return AWS_ERROR_INVALID_STATE;
    }
    int status = stream->conn->protocol->expect_writes ? stream->conn->protocol->expect_writes(stream) : 0;
    if (!status) {
        stream->writing = CRT_HTTP_WRITING_OPEN;
    }
    return status;
}

/* 0, and the end is noted, when this write may be queued. */
static int admit_write(crt_http_stream *stream, bool end) {
    int state = CRT_HTTP_WRITING_OPEN;
    if (__atomic_load_n(&stream->writing, __ATOMIC_SEQ_CST) == CRT_HTTP_WRITING_NONE) {
        return AWS_ERROR_HTTP_MANUAL_WRITE_NOT_ENABLED;
    }
    if (!__atomic_load_n(&stream->activated, __ATOMIC_SEQ_CST)) {
        return AWS_ERROR_HTTP_STREAM_NOT_ACTIVATED;
    }
    if (__atomic_compare_exchange_n(&stream->writing, &state, end ? CRT_HTTP_WRITING_ENDED : CRT_HTTP_WRITING_OPEN, false,
                                    __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
        return 0;
    }
    return state == CRT_HTTP_WRITING_ENDED ? AWS_ERROR_HTTP_MANUAL_WRITE_HAS_COMPLETED
                                           : AWS_ERROR_HTTP_STREAM_HAS_COMPLETED;
}

static void run_write(crt_task *task, int status) {
    crt_http_outgoing *outgoing = CRT_CONTAINER(task, crt_http_outgoing, task);
    crt_http_conn *conn = outgoing->stream->conn;
    if (outgoing->stream->active) {
        conn->protocol->write(outgoing->stream, outgoing);
    } else {
        crt_http_outgoing_done(outgoing, AWS_ERROR_HTTP_STREAM_HAS_COMPLETED);
    }
    crt_http_conn_task_done(conn);
}

int crt_http_stream_write(crt_http_stream *stream, crt_source *data, bool end, crt_http_write_fn done, void *user) {
    if (stream->conn->generation != crt_fork_generation()) {
        return AWS_ERROR_HTTP_CONNECTION_CLOSED;
    }
    crt_http_outgoing *outgoing = crt_calloc(1, sizeof(*outgoing));
    if (!outgoing) {
        return AWS_ERROR_OOM;
    }
    int status = admit_write(stream, end);
    if (!status) {
        outgoing->task.run = run_write;
        outgoing->stream = stream;
        outgoing->end = end;
        outgoing->done = done;
        outgoing->user = user;
        outgoing->data = data;
        crt_ref_inc(&stream->refs);
        if (data) {
            crt_source_acquire(data);
        }
        status = crt_http_conn_post(stream->conn, &outgoing->task);
        if (!status) {
            return 0;
        }
        outgoing->done = NULL;
        crt_http_outgoing_done(outgoing, status);
        return status;
    }
    crt_free(outgoing);
    return status;
}

void crt_http_outgoing_done(crt_http_outgoing *outgoing, int status) {
    crt_source_release(outgoing->data); /* who is told has it back already */
    if (outgoing->done) {
        outgoing->done(outgoing->user, status);
    }
    if (outgoing->stream) {
        crt_http_stream_release(outgoing->stream);
    }
    crt_free(outgoing);
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
    if (__atomic_load_n(&stream->writing, __ATOMIC_SEQ_CST) != CRT_HTTP_WRITING_NONE) {
        __atomic_store_n(&stream->writing, CRT_HTTP_WRITING_COMPLETE, __ATOMIC_SEQ_CST);
    }
    stream->handler->on_complete(stream->user, fault, stream->status);
    crt_http_stream_release(stream);
}
