/*
 * One request with its response on an HTTP/2 connection, from activation to completion.
 */
#include "crt/memory.h"
#include "h2_conn.h"

int crt_h2_stream_new(crt_http_conn *conn, const crt_http_message *message, const crt_http_stream_handler *handler,
                      void *user, const crt_http_stream_options *options, crt_http_stream **out) {
    crt_h2_request request = {NULL, 0};
    int status = crt_h2_request_new(message, conn->tls, &request);
    if (status) {
        return status;
    }
    crt_h2_stream *s = crt_calloc(1, sizeof(*s));
    if (!s) {
        crt_free(request.fields);
        return AWS_ERROR_OOM;
    }
    crt_http_stream_init(&s->base, conn, handler, user);
    s->request = request;
    s->last = &s->first;
    s->content_length = UINT64_MAX;
    s->content_left = UINT64_MAX;
    s->is_head = crt_bytes_eq(crt_http_message_method(message), crt_bytes_str("HEAD"));
    s->body = crt_http_message_body(message);
    if (s->body) {
        crt_source_acquire(s->body);
    }
    *out = &s->base;
    return 0;
}

void crt_h2_stream_free(crt_http_stream *base) {
    crt_h2_stream *stream = (crt_h2_stream *)base;
    crt_source_release(stream->body);
    crt_free(stream->request.fields);
    crt_free(stream->rooms[0].ptr);
    crt_free(stream->rooms[1].ptr);
    crt_buf_free(&stream->held);
    crt_free(stream->trailers);
    crt_free(stream);
}

/* ---- activation ---- */

static void refuse(crt_h2_stream *stream, int code, const char *why) {
    crt_fault fault;
    crt_fail(&fault, code, "%s", why);
    crt_http_stream_tell(&stream->base, &fault);
}

static void link_stream(crt_h2_conn *conn, crt_h2_stream *stream) {
    stream->next = conn->streams;
    stream->self = &conn->streams;
    if (stream->next) {
        stream->next->self = &stream->next;
    }
    conn->streams = stream;
}

static void unlink_stream(crt_h2_stream *stream) {
    *stream->self = stream->next;
    if (stream->next) {
        stream->next->self = stream->self;
    }
}

static void leave_session(crt_h2_stream *stream) {
    if (!stream->closed) {
        stream->closed = true;
        crt_h2_conn_of(stream)->active--;
    }
}

/* The stream's id, or the error that activation ends with. */
static int submit(crt_h2_conn *conn, crt_h2_stream *stream) {
    nghttp2_data_provider provider;
    bool has_body = crt_h2_body_begin(stream, &provider);
    conn->in_session++;
    stream->id = nghttp2_submit_request(conn->session, NULL, stream->request.fields, stream->request.count,
                                        has_body ? &provider : NULL, stream);
    conn->in_session--;
    if (nghttp2_session_get_next_stream_id(conn->session) > INT32_MAX && !conn->base.refusal) {
        __atomic_store_n(&conn->base.refusal, AWS_ERROR_HTTP_STREAM_IDS_EXHAUSTED, __ATOMIC_RELEASE);
    }
    if (stream->id > 0) {
        if (!has_body) {
            crt_h2_note_sent(stream);
        }
        return 0;
    }
    if (stream->id == NGHTTP2_ERR_STREAM_ID_NOT_AVAILABLE) {
        return AWS_ERROR_HTTP_STREAM_IDS_EXHAUSTED;
    }
    return stream->id == NGHTTP2_ERR_NOMEM ? AWS_ERROR_OOM : AWS_ERROR_INVALID_STATE;
}

void crt_h2_stream_activate(crt_http_stream *base) {
    crt_h2_stream *stream = (crt_h2_stream *)base;
    crt_h2_conn *conn = crt_h2_conn_of(stream);
    if (base->conn->closing) {
        crt_fault fault = {0};
        crt_fail(&fault, AWS_ERROR_HTTP_CONNECTION_CLOSED, "the connection was closed");
        crt_http_stream_tell(base, &fault);
        return;
    }
    if (conn->goaway_last >= 0) {
        refuse(stream, AWS_ERROR_HTTP_GOAWAY_RECEIVED, "the peer takes no new streams (GOAWAY)");
        return;
    }
    if (conn->active >= conn->remote[CRT_HTTP2_MAX_CONCURRENT_STREAMS]) {
        refuse(stream, AWS_ERROR_HTTP_MAX_CONCURRENT_STREAMS_EXCEEDED,
               "the peer's limit of concurrent streams is reached");
        return;
    }
    int status = submit(conn, stream);
    if (status) {
        crt_h2_body_end(stream);
        refuse(stream, status, "the request could not be submitted");
        return;
    }
    base->active = true;
    conn->active++;
    link_stream(conn, stream);
    crt_h2_window_begin(stream);
    crt_h2_note_activity(stream);
    crt_http_stream_watch(base);
    crt_h2_flush(conn);
}

/* ---- the end ---- */

static const char *peer_of(const crt_h2_stream *stream) {
    return stream->base.conn->io ? stream->base.conn->io->peer : "the peer";
}

void crt_h2_stream_reset(crt_h2_stream *stream, int code, uint32_t error_code, const char *detail) {
    crt_h2_conn *conn = crt_h2_conn_of(stream);
    if (stream->fault.code) {
        return;
    }
    crt_fail(&stream->fault, code, "%s: %s", peer_of(stream), detail);
    if (!stream->delivering) {
        crt_buf_clear(&stream->held); /* nobody wants it any more */
    }
    if (stream->closed) { /* only the consumer's delay keeps it */
        return;
    }
    conn->in_session++;
    (void)nghttp2_submit_rst_stream(conn->session, NGHTTP2_FLAG_NONE, stream->id, error_code);
    conn->in_session--;
}

void crt_h2_stream_cancel(crt_http_stream *base, int code) {
    crt_h2_stream *stream = (crt_h2_stream *)base;
    /* Whoever gives a reason of his own has failed to deal with the response. */
    uint32_t error_code = code == AWS_ERROR_HTTP_STREAM_CANCELLED ? NGHTTP2_CANCEL : NGHTTP2_INTERNAL_ERROR;
    crt_h2_stream_reset(stream, code, error_code, "the stream was cancelled");
    if (stream->closed) {
        crt_h2_stream_closed(stream);
    }
    crt_h2_flush(crt_h2_conn_of(stream));
}

/* What the stream ends with, by what the session and we know about it. */
static crt_fault verdict(const crt_h2_stream *stream) {
    const crt_h2_conn *conn = crt_h2_conn_of(stream);
    const char *peer = peer_of(stream);
    const char *error = nghttp2_http2_strerror(stream->error_code);
    crt_fault fault = stream->fault;
    if (fault.code) {
        return fault;
    }
    if (stream->remote_end && stream->error_code == NGHTTP2_NO_ERROR) {
        return fault;
    }
    if (stream->reset_by_peer) {
        crt_fail(&fault, AWS_ERROR_HTTP_RST_STREAM_RECEIVED, "%s reset the stream: %s", peer, error);
    } else if (conn->goaway_last >= 0 && stream->id > conn->goaway_last) {
        crt_fail(&fault, AWS_ERROR_HTTP_GOAWAY_RECEIVED, "%s went away before it served the stream", peer);
    } else if (stream->error_code != NGHTTP2_NO_ERROR && !stream->base.conn->closing && conn->failure == 0) {
        crt_fail(&fault, AWS_ERROR_HTTP_PROTOCOL_ERROR, "%s broke the protocol of the stream: %s", peer, error);
    } else {
        crt_fail(&fault, AWS_ERROR_HTTP_CONNECTION_CLOSED, "%s: the connection was closed", peer);
    }
    return fault;
}

void crt_h2_stream_complete(crt_h2_stream *stream, const crt_fault *fault) {
    leave_session(stream);
    unlink_stream(stream);
    stream->base.active = false;
    crt_h2_body_end(stream);
    crt_http_stream_tell(&stream->base, fault);
}

void crt_h2_stream_closed(crt_h2_stream *stream) {
    leave_session(stream);
    if (crt_buf_len(&stream->held) > 0 || stream->delivering) {
        return;
    }
    crt_fault fault = verdict(stream);
    crt_h2_stream_complete(stream, &fault);
}

void crt_h2_stream_unsent(crt_h2_conn *conn, int32_t id) {
    for (crt_h2_stream *stream = conn->streams; stream; stream = stream->next) {
        if (stream->id == id) {
            /* The session may have opened it and be about to close it. */
            (void)nghttp2_session_set_stream_user_data(conn->session, id, NULL);
            crt_h2_stream_closed(stream);
            return;
        }
    }
}
