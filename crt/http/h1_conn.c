/*
 * An HTTP/1.1 connection (RFC 9112): what it adds to the common life of connections.
 */
#include "crt/memory.h"
#include "h1_conn.h"

enum { FIRST_READ_SIZE = 16 * 1024 };

static const uint8_t *copy_view(uint8_t **to, crt_bytes from) {
    uint8_t *start = *to;
    memcpy(start, from.ptr, from.len);
    *to += from.len;
    return start;
}

/* The connection with what forwarding needs behind it, in one block. */
static crt_h1_conn *allocate(const crt_http_conn_options *options) {
    crt_bytes origin = options->forward_origin, authorization = options->forward_authorization;
    size_t extra = origin.len ? sizeof(crt_h1_forward) + origin.len + authorization.len : 0;
    crt_h1_conn *conn = crt_calloc(1, sizeof(*conn) + extra);
    if (conn && extra > 0) {
        crt_h1_forward *forward = (crt_h1_forward *)(void *)(conn + 1);
        uint8_t *text = (uint8_t *)(forward + 1);
        forward->origin = crt_bytes_of(copy_view(&text, origin), origin.len);
        if (authorization.len > 0) {
            forward->authorization = crt_bytes_of(copy_view(&text, authorization), authorization.len);
        }
        conn->forward = forward;
    }
    return conn;
}

static void free_conn(crt_http_conn *base) {
    crt_h1_conn *conn = (crt_h1_conn *)base;
    crt_h1_decoder_free(&conn->decoder);
    crt_buf_free(&conn->input);
    crt_free(conn);
}

static void end_streams(crt_http_conn *base) {
    crt_h1_conn *conn = (crt_h1_conn *)base;
    const crt_fault fault = crt_http_fault_of_streams(base);
    const crt_fault none = {0};
    while (conn->first) {
        crt_fault told = fault;
        if (fault.code == AWS_IO_SOCKET_CLOSED) {
            crt_fail(&told, fault.code, "%.150s, while %s", fault.detail, crt_h1_step_of(conn->first));
        }
        /* A response that was complete while its request was still being sent is a success. */
        crt_h1_stream_complete(conn->first, conn->first->response_done ? &none : &told);
    }
}

static const crt_http_protocol http_1_1 = {
    .version = CRT_HTTP_1_1,
    .stream_new = crt_h1_stream_new,
    .stream_free = crt_h1_stream_free,
    .activate = crt_h1_stream_activate,
    .credit = crt_h1_stream_take_credit,
    .cancel = crt_h1_stream_cancel,
    .resume = crt_h1_stream_resume,
    .write = crt_h1_body_write,
    .expect_writes = crt_h1_stream_expect_writes,
    .check_deadlines = crt_h1_check_deadlines,
    .receive_eof = crt_h1_receive_eof,
    .end_streams = end_streams,
    .conn_free = free_conn,
};

int crt_h1_conn_new(crt_stream *io, const crt_http_conn_options *options, crt_http_conn **out) {
    crt_h1_conn *conn = allocate(options);
    if (!conn) {
        return AWS_ERROR_OOM;
    }
    crt_http_conn_init(&conn->base, &http_1_1, io, options);
    conn->tail = &conn->first;
    conn->read_size = FIRST_READ_SIZE;
    crt_h1_decoder_init(&conn->decoder);
    crt_stream_set_handler(io, &crt_h1_io_handler, conn);
    *out = &conn->base;
    return 0;
}
