/*
 * What comes in on HTTP/2: header blocks, body bytes, settings, and the frames that end things. nghttp2 has checked
 * every frame before it calls; h2_message.c checks the messages they make.
 */
#include <stdio.h>

#include "crt/log.h"
#include "crt/memory.h"
#include "h2_conn.h"

enum { HEADER_OVERHEAD = 32 }; /* RFC 9113 section 10.5.1 */

static crt_h2_stream *stream_of(crt_h2_conn *conn, int32_t id) {
    return id > 0 ? nghttp2_session_get_stream_user_data(conn->session, id) : NULL;
}

/* ---- body ---- */

static void malformed(crt_h2_stream *stream, const char *what) {
    char detail[96];
    snprintf(detail, sizeof(detail), "malformed response: %s", what);
    crt_h2_stream_reset(stream, AWS_ERROR_HTTP_PROTOCOL_ERROR, NGHTTP2_PROTOCOL_ERROR, detail);
}

/* Bytes that the consumer has taken; it may have been paused or ended the stream. */
static size_t deliver(crt_h2_stream *stream, crt_bytes data) {
    size_t done = 0;
    stream->delivering = true;
    while (done < data.len && !stream->paused && !stream->fault.code) {
        crt_bytes piece = crt_bytes_of(data.ptr + done, data.len - done);
        if (stream->base.handler->on_space) {
            crt_span space = {NULL, 0};
            stream->base.handler->on_space(stream->base.user, stream->content_left, &space);
            stream->paused = space.len == 0;
            if (stream->paused) {
                break;
            }
            piece.len = space.len < piece.len ? space.len : piece.len;
            memcpy(space.ptr, piece.ptr, piece.len);
            piece.ptr = space.ptr;
        }
        int status = stream->base.handler->on_body(stream->base.user, piece);
        done += piece.len;
        stream->content_left -= stream->content_left == UINT64_MAX ? 0 : piece.len;
        crt_h2_consumed(stream, piece.len);
        if (status) {
            crt_h2_stream_reset(stream, status, NGHTTP2_INTERNAL_ERROR, "the consumer of the response body failed");
        }
    }
    stream->delivering = false;
    return done;
}

/* Trailers that came while the consumer was not done with the body. */
static void tell_kept_trailers(crt_h2_stream *stream) {
    if (!stream->trailers) {
        return;
    }
    int status = stream->base.handler->on_trailers(stream->base.user, stream->trailers, stream->trailer_count);
    crt_free(stream->trailers);
    stream->trailers = NULL;
    if (status) {
        crt_h2_stream_reset(stream, status, NGHTTP2_INTERNAL_ERROR, "the consumer of the trailers failed");
    }
}

static void tell_end(crt_h2_stream *stream) {
    if (stream->remote_end && crt_buf_len(&stream->held) == 0 && !stream->fault.code) {
        tell_kept_trailers(stream);
    }
    if (stream->remote_end && !stream->told_end && crt_buf_len(&stream->held) == 0 && !stream->fault.code) {
        stream->told_end = true;
        if (stream->base.handler->on_remote_end) {
            stream->base.handler->on_remote_end(stream->base.user);
        }
    }
}

void crt_h2_stream_resume(crt_http_stream *base) {
    crt_h2_stream *stream = (crt_h2_stream *)base;
    crt_h2_conn *conn = crt_h2_conn_of(stream);
    stream->paused = false;
    if (!base->active || stream->delivering) {
        return; /* called from a callback: the loop in deliver goes on */
    }
    crt_ref_inc(&base->refs);
    crt_buf_consume(&stream->held, deliver(stream, crt_buf_view(&stream->held)));
    if (stream->fault.code) {
        crt_buf_clear(&stream->held);
    }
    tell_end(stream);
    if (stream->closed) {
        crt_h2_stream_closed(stream);
    }
    crt_h2_flush(conn);
    crt_http_stream_release(base);
}

static int on_data_chunk(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data, size_t len,
                         void *user) {
    crt_h2_conn *conn = user;
    crt_h2_stream *stream = stream_of(conn, id);
    crt_h2_received(conn, len);
    if (!stream || stream->fault.code) {
        return 0;
    }
    const char *problem = crt_h2_check_data(stream, len);
    if (problem) {
        malformed(stream, problem);
        return 0;
    }
    stream->last_frame = flags & NGHTTP2_FLAG_END_STREAM;
    crt_h2_note_activity(stream);
    size_t done = crt_buf_len(&stream->held) == 0 ? deliver(stream, crt_bytes_of(data, len)) : 0;
    if (done < len && !stream->fault.code && crt_buf_append(&stream->held, data + done, len - done)) {
        crt_h2_stream_reset(stream, AWS_ERROR_OOM, NGHTTP2_INTERNAL_ERROR, "no memory for the response body");
    }
    return 0;
}

/* ---- header blocks ---- */

static void begin_head(crt_h2_conn *conn, crt_h2_stream *stream) {
    conn->head_of = stream;
    conn->head_count = 0;
    conn->head_list_size = 0;
    conn->head = (crt_h2_head){0, false, UINT64_MAX};
    crt_buf_clear(&conn->head_text);
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user) {
    crt_h2_conn *conn = user;
    begin_head(conn, frame->hd.type == NGHTTP2_HEADERS ? stream_of(conn, frame->hd.stream_id) : NULL);
    return 0;
}

/* Grows for one more field and copies its text; views are made when the block is complete, for the text may move. */
static int keep_field(crt_h2_conn *conn, crt_bytes name, crt_bytes value) {
    if (conn->head_count == conn->head_capacity) {
        size_t capacity = conn->head_capacity ? conn->head_capacity * 2 : 16;
        crt_http_header *grown = crt_realloc(conn->head_fields, capacity * sizeof(*grown));
        if (!grown) {
            return AWS_ERROR_OOM;
        }
        conn->head_fields = grown;
        conn->head_capacity = capacity;
    }
    crt_buf *text = &conn->head_text;
    if (crt_buf_append(text, name.ptr, name.len) || crt_buf_append(text, value.ptr, value.len)) {
        return AWS_ERROR_OOM;
    }
    conn->head_fields[conn->head_count++] = (crt_http_header){{NULL, name.len}, {NULL, value.len}};
    return 0;
}

static size_t header_list_limit(const crt_h2_conn *conn) {
    uint32_t ours = nghttp2_session_get_local_settings(conn->session, NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE);
    return ours == UINT32_MAX || ours < CRT_H2_HEADER_LIST_DEFAULT ? CRT_H2_HEADER_LIST_DEFAULT : ours;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_len,
                     const uint8_t *value, size_t value_len, uint8_t flags, void *user) {
    crt_h2_conn *conn = user;
    crt_bytes n = crt_bytes_of(name, name_len), v = crt_bytes_of(value, value_len);
    conn->head_list_size += name_len + value_len + HEADER_OVERHEAD;
    if (conn->head_list_size > header_list_limit(conn)) {
        crt_h2_fail(conn, AWS_ERROR_HTTP_PROTOCOL_ERROR, "the peer's header list is longer than allowed");
        (void)nghttp2_session_terminate_session(session, NGHTTP2_ENHANCE_YOUR_CALM);
        return 0;
    }
    if (!conn->head_of || conn->head_of->fault.code) {
        return 0;
    }
    const char *problem = crt_h2_check_field(&conn->head, n, v);
    if (problem) {
        malformed(conn->head_of, problem);
    } else if (keep_field(conn, n, v)) {
        crt_h2_stream_reset(conn->head_of, AWS_ERROR_OOM, NGHTTP2_INTERNAL_ERROR, "no memory for the response head");
    }
    return 0;
}

static void point_fields(crt_h2_conn *conn) {
    const uint8_t *text = crt_buf_data(&conn->head_text);
    for (size_t i = 0; i < conn->head_count; i++) {
        crt_http_header *field = &conn->head_fields[i];
        field->name.ptr = text;
        field->value.ptr = text + field->name.len;
        text = field->value.ptr + field->value.len;
    }
}

static bool is_cookie(const crt_http_header *field) {
    return crt_bytes_eq(field->name, crt_bytes_str("cookie"));
}

/* Several cookie fields become one, behind the others (RFC 9113 section 8.2.3). */
static int merge_cookies(crt_h2_conn *conn) {
    size_t cookies = 0, room = 0, kept = 0;
    for (size_t i = 0; i < conn->head_count; i++) {
        if (is_cookie(&conn->head_fields[i])) {
            cookies++;
            room += conn->head_fields[i].value.len + 2;
        }
    }
    if (cookies < 2) {
        return 0;
    }
    if (crt_buf_reserve(&conn->head_text, room)) {
        return AWS_ERROR_OOM;
    }
    point_fields(conn); /* the text may have moved */
    uint8_t *merged = conn->head_text.ptr + conn->head_text.end, *end = merged;
    crt_http_header cookie = {{NULL, 0}, {merged, 0}};
    for (size_t i = 0; i < conn->head_count; i++) {
        crt_http_header field = conn->head_fields[i];
        if (!is_cookie(&field)) {
            conn->head_fields[kept++] = field;
            continue;
        }
        cookie.name = field.name;
        if (end > merged) {
            *end++ = ';';
            *end++ = ' ';
        }
        if (field.value.len > 0) {
            memcpy(end, field.value.ptr, field.value.len);
        }
        end += field.value.len;
    }
    cookie.value.len = (size_t)(end - merged);
    conn->head_fields[kept++] = cookie;
    conn->head_count = kept;
    return 0;
}

static int keep_trailers(crt_h2_conn *conn, crt_h2_stream *stream) {
    size_t size = 0;
    for (size_t i = 0; i < conn->head_count; i++) {
        size += sizeof(crt_http_header) + conn->head_fields[i].name.len + conn->head_fields[i].value.len;
    }
    crt_http_header *kept = crt_malloc(size ? size : 1);
    if (!kept) {
        return AWS_ERROR_OOM;
    }
    uint8_t *text = (uint8_t *)(kept + conn->head_count);
    for (size_t i = 0; i < conn->head_count; i++) {
        const crt_http_header *field = &conn->head_fields[i];
        kept[i] = (crt_http_header){{text, field->name.len}, {text + field->name.len, field->value.len}};
        memcpy(text, field->name.ptr, field->name.len); /* a name is never empty */
        if (field->value.len > 0) {
            memcpy(text + field->name.len, field->value.ptr, field->value.len);
        }
        text += field->name.len + field->value.len;
    }
    stream->trailers = kept;
    stream->trailer_count = conn->head_count;
    return 0;
}

static int tell_trailers(crt_h2_conn *conn, crt_h2_stream *stream) {
    const crt_http_stream_handler *handler = stream->base.handler;
    if (!handler->on_trailers) {
        return 0;
    }
    return crt_buf_len(&stream->held) > 0
               ? keep_trailers(conn, stream)
               : handler->on_trailers(stream->base.user, conn->head_fields, conn->head_count);
}

static int tell_fields(crt_h2_conn *conn, crt_h2_stream *stream) {
    const crt_http_stream_handler *handler = stream->base.handler;
    void *user = stream->base.user;
    int status = merge_cookies(conn);
    if (status) {
        return status;
    }
    if (stream->in_body) {
        return tell_trailers(conn, stream);
    }
    if (conn->head.status / 100 == 1) {
        return handler->on_interim
                   ? handler->on_interim(user, conn->head.status, conn->head_fields, conn->head_count)
                   : 0;
    }
    stream->in_body = true;
    stream->base.status = conn->head.status;
    return handler->on_head(user, conn->head.status, conn->head_fields, conn->head_count);
}

/* A complete block: an interim response, the response head, or trailers. */
static void take_head(crt_h2_conn *conn, crt_h2_stream *stream, bool ends) {
    if (stream->fault.code) {
        return;
    }
    const char *problem = crt_h2_check_head(stream, &conn->head, ends);
    if (problem) {
        malformed(stream, problem);
        return;
    }
    point_fields(conn);
    crt_h2_note_activity(stream);
    int status = tell_fields(conn, stream);
    if (status) {
        crt_h2_stream_reset(stream, status, NGHTTP2_INTERNAL_ERROR, "the consumer of the header fields failed");
    }
}

/* ---- other frames ---- */

static void take_settings(crt_h2_conn *conn, const nghttp2_settings *settings) {
    crt_http2_setting changed[CRT_HTTP2_MAX_HEADER_LIST_SIZE];
    size_t count = 0;
    uint32_t before[7];
    memcpy(before, conn->remote, sizeof(before));
    for (size_t i = 0; i < settings->niv; i++) {
        int32_t id = settings->iv[i].settings_id;
        if (id >= CRT_HTTP2_HEADER_TABLE_SIZE && id <= CRT_HTTP2_MAX_HEADER_LIST_SIZE) {
            conn->remote[id] = settings->iv[i].value;
        }
    }
    for (uint16_t id = CRT_HTTP2_HEADER_TABLE_SIZE; id <= CRT_HTTP2_MAX_HEADER_LIST_SIZE; id++) {
        if (conn->remote[id] != before[id]) {
            changed[count++] = (crt_http2_setting){id, conn->remote[id]};
        }
    }
    if (conn->base.handler->on_settings) {
        conn->base.handler->on_settings(conn->base.user, changed, count);
    }
}

static void take_pong(crt_h2_conn *conn) {
    static const crt_fault none = {0};
    crt_http_ping *ping = conn->pings;
    if (!ping) {
        (void)nghttp2_session_terminate_session(conn->session, NGHTTP2_PROTOCOL_ERROR); /* we asked for nothing */
        return;
    }
    conn->pings = ping->next;
    if (!conn->pings) {
        conn->last_ping = &conn->pings;
    }
    ping->done(ping->user, &none, crt_clock_ns() - ping->began_ns);
    crt_free(ping);
}

static void take_goaway(crt_h2_conn *conn, const nghttp2_goaway *goaway) {
    conn->goaway_last = goaway->last_stream_id;
    __atomic_store_n(&conn->base.refusal, AWS_ERROR_HTTP_GOAWAY_RECEIVED, __ATOMIC_RELEASE);
    CRT_LOG(CRT_LOG_INFO, CRT_LS_HTTP_CONNECTION, "id=%p: GOAWAY, last stream %d, %s", (void *)conn,
            (int)goaway->last_stream_id, nghttp2_http2_strerror(goaway->error_code));
}

static void take_end(crt_h2_stream *stream) {
    const char *problem = stream->fault.code ? NULL : crt_h2_check_end(stream);
    if (problem) {
        malformed(stream, problem);
    }
    stream->remote_end = true;
    tell_end(stream);
}

static void take_message(crt_h2_conn *conn, const nghttp2_frame *frame) {
    crt_h2_stream *stream = stream_of(conn, frame->hd.stream_id);
    bool ends = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
    if (!stream) {
        return;
    }
    if (frame->hd.type == NGHTTP2_HEADERS) {
        take_head(conn, stream, ends);
    } else if (!stream->fault.code && !stream->in_body) {
        malformed(stream, "body before the response head"); /* also an empty frame of it */
    }
    if (ends && !stream->remote_end) {
        take_end(stream);
    }
}

static void take_reset(crt_h2_conn *conn, int32_t id) {
    crt_h2_stream *stream = stream_of(conn, id);
    if (stream) {
        stream->reset_by_peer = true;
    }
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user) {
    crt_h2_conn *conn = user;
    bool ack = frame->hd.flags & NGHTTP2_FLAG_ACK;
    switch (frame->hd.type) {
    case NGHTTP2_HEADERS:
    case NGHTTP2_DATA:
        take_message(conn, frame);
        break;
    case NGHTTP2_SETTINGS:
        if (ack) {
            crt_h2_windows_changed(conn);
        } else {
            take_settings(conn, &frame->settings);
        }
        break;
    case NGHTTP2_PING:
        if (ack) {
            take_pong(conn);
        }
        break;
    case NGHTTP2_GOAWAY:
        take_goaway(conn, &frame->goaway);
        break;
    case NGHTTP2_RST_STREAM:
        take_reset(conn, frame->hd.stream_id);
        break;
    case NGHTTP2_PUSH_PROMISE:
        (void)nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->push_promise.promised_stream_id,
                                        NGHTTP2_REFUSED_STREAM);
        break;
    default:
        break;
    }
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t error_code, void *user) {
    crt_h2_stream *stream = stream_of(user, id);
    if (stream && stream->base.active) {
        stream->error_code = error_code;
        crt_h2_stream_closed(stream);
    }
    return 0;
}

void crt_h2_set_recv_callbacks(nghttp2_session_callbacks *callbacks) {
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data_chunk);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
}
