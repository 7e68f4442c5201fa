/*
 * One request with its response on an HTTP/1.1 connection.
 */
#include "crt/memory.h"
#include "h1_conn.h"

static int add_body(crt_h1_stream *s, const crt_http_message *message, const crt_http_stream_options *options) {
    s->source = crt_http_message_body(message);
    if (s->source) {
        crt_source_acquire(s->source);
    }
    s->continue_ms = s->request.expects_continue ? options->continue_ms : 0;
    return crt_h1_body_new(s);
}

int crt_h1_stream_new(crt_http_conn *base, const crt_http_message *message, const crt_http_stream_handler *handler,
                      void *user, const crt_http_stream_options *options, crt_http_stream **out) {
    crt_h1_conn *conn = (crt_h1_conn *)base;
    crt_h1_request request;
    int status = crt_h1_check_request(message, conn->forward, options->writes, &request);
    if (status) {
        return status;
    }
    crt_h1_stream *s = crt_malloc(sizeof(*s) + request.head_len);
    if (!s) {
        return AWS_ERROR_OOM;
    }
    memset(s, 0, sizeof(*s));
    crt_http_stream_init(&s->base, base, handler, user);
    s->request = request;
    crt_h1_write_head(message, conn->forward, &request, s->head);
    if (request.framing != CRT_H1_NO_BODY) {
        status = add_body(s, message, options);
    }
    if (status) {
        crt_http_stream_release(&s->base);
        return status;
    }
    *out = &s->base;
    return 0;
}

int crt_h1_stream_expect_writes(crt_http_stream *stream) {
    return ((crt_h1_stream *)stream)->body ? 0 : AWS_ERROR_HTTP_INVALID_HEADER_FIELD;
}

void crt_h1_stream_free(crt_http_stream *base) {
    crt_h1_stream *stream = (crt_h1_stream *)base;
    crt_h1_body_free(stream);
    crt_free(stream);
}

/* A response cannot be left out of the order: the connection ends with its stream. */
void crt_h1_stream_cancel(crt_http_stream *stream, int code) {
    crt_http_conn_shut(stream->conn, code, "the stream was cancelled");
}

void crt_h1_stream_resume(crt_http_stream *base) {
    crt_h1_stream *stream = (crt_h1_stream *)base;
    stream->paused = false;
    if (base->active) {
        crt_h1_note_activity(crt_h1_conn_of(stream));
        crt_h1_receive(crt_h1_conn_of(stream));
    }
}

void crt_h1_stream_take_credit(crt_http_stream *base) {
    crt_h1_stream *stream = (crt_h1_stream *)base;
    stream->window = crt_http_stream_take_credit(base, stream->window);
    stream->blocked = false;
    crt_h1_note_activity(crt_h1_conn_of(stream));
    crt_h1_receive(crt_h1_conn_of(stream));
}

void crt_h1_stream_activate(crt_http_stream *base) {
    crt_h1_stream *stream = (crt_h1_stream *)base;
    crt_h1_conn *conn = crt_h1_conn_of(stream);
    if (conn->base.closing || conn->last_queued || conn->stopped_sending) {
        crt_fault fault = crt_http_fault_of_streams(&conn->base);
        crt_h1_body_free(stream);
        crt_http_stream_tell(base, &fault);
        return;
    }
    stream->base.active = true;
    stream->window = UINT64_MAX;
    if (conn->base.manual_window) {
        stream->window = crt_http_stream_take_credit(base, conn->base.initial_window);
    }
    if (!conn->first) {
        crt_h1_note_activity(conn);
        conn->turn_ms = conn->active_ms;
    }
    *conn->tail = stream;
    conn->tail = &stream->next;
    if (!conn->sending) {
        conn->sending = stream;
    }
    crt_http_stream_watch(base);
    crt_h1_send(conn);
}

void crt_h1_stream_complete(crt_h1_stream *stream, const crt_fault *fault) {
    crt_h1_conn *conn = crt_h1_conn_of(stream);
    conn->first = stream->next;
    conn->turn_ms = conn->active_ms;
    if (!conn->first) {
        conn->tail = &conn->first;
    }
    if (conn->sending == stream) {
        conn->sending = stream->next;
    }
    stream->next = NULL;
    stream->base.active = false;
    crt_h1_body_free(stream); /* whoever keeps the stream keeps no request body */
    crt_http_stream_tell(&stream->base, fault);
}

void crt_h1_stream_finish(crt_h1_stream *stream) {
    static const crt_fault none = {0};
    crt_h1_conn *conn = crt_h1_conn_of(stream);
    bool tunnel = stream->request.kind == CRT_H1_REQUEST_CONNECT && stream->base.status / 100 == 2;
    /* A request with Connection: close was the last one, and so was one answered with it. */
    if (stream->request.close || stream->declined || (conn->decoder.close && !tunnel)) {
        crt_http_conn_shut(&conn->base, 0, "the last exchange is complete");
    }
    crt_h1_stream_complete(stream, &none);
}

void crt_h1_stream_sent(crt_h1_stream *stream) {
    stream->sent = true;
    stream->sent_ms = crt_loop_now_ms(stream->base.conn->loop);
    if (stream->response_done && !stream->base.conn->closing) {
        crt_h1_conn *conn = crt_h1_conn_of(stream);
        crt_h1_stream_finish(stream);
        crt_h1_receive(conn); /* bytes of the next response may be waiting */
    }
}
