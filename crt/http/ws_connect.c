/*
 * crt_websocket_connect: dials, sends the caller's handshake request and judges the answer. A refusal is read to its
 * end, since its body says why.
 */
#include "ascii.h"
#include "crt/memory.h"
#include "dial.h"
#include "h1_encoder.h"
#include "ws_conn.h"
#include "ws_handshake.h"

enum {
    READ_BYTES = 16 * 1024,
    BODY_MAX = 1024 * 1024, /* of a refusal; a longer one counts as incomplete */
};

typedef struct ws_connecting {
    crt_websocket_options options; /* target, proxy and request are not used after the start */
    crt_ws_deflate_options offer;
    char *host;
    crt_buf origin;        /* "http://host:port" for a forwarding proxy */
    crt_buf authorization; /* value of Proxy-Authorization; empty: none */
    crt_buf request;
    crt_buf key;
    crt_buf offered; /* subprotocols, comma-separated */
    crt_task failed; /* without memory to dial */
    /* the answer */
    crt_stream *io;
    crt_timer timeout;
    crt_h1_decoder decoder;
    crt_buf input;
    crt_buf head;  /* the text that the decoder's headers are views of */
    crt_buf body;
    int status;
    crt_http_header *headers; /* views of `head` */
    size_t header_count;
    bool complete;
    crt_fault fault; /* why we closed; code 0: we did not */
} ws_connecting;

static void free_connecting(ws_connecting *c) {
    crt_buf_free(&c->origin);
    crt_buf_free(&c->authorization);
    crt_buf_free(&c->request);
    crt_buf_free(&c->key);
    crt_buf_free(&c->offered);
    crt_buf_free(&c->input);
    crt_buf_free(&c->head);
    crt_buf_free(&c->body);
    crt_h1_decoder_free(&c->decoder);
    crt_free(c->headers);
    crt_free(c->host);
    crt_free(c);
}

static void report(ws_connecting *c, const crt_fault *fault, crt_websocket *ws) {
    const crt_ws_response response = {
        .status = c->status,
        .headers = c->headers,
        .header_count = c->header_count,
        .body = crt_buf_view(&c->body),
        .complete = c->complete,
    };
    c->options.handler->on_setup(c->options.user, fault, ws, c->status ? &response : NULL);
}

static void fail(ws_connecting *c, int code, const char *why) {
    crt_fault fault;
    crt_fail(&fault, code, "WebSocket to %s: %s", c->host, why);
    report(c, &fault, NULL);
    free_connecting(c);
}

/* ---- the answer ---- */

static void give_up(ws_connecting *c, int code, const char *why) {
    if (c->fault.code == 0) {
        crt_fail(&c->fault, code, "WebSocket to %s: %s", c->host, why);
    }
    crt_stream_close(c->io, code);
}

/* Copies the head: the decoder's views end with the input. */
static int keep_head(ws_connecting *c) {
    const crt_h1_decoder *d = &c->decoder;
    size_t total = 0;
    for (size_t i = 0; i < d->header_count; i++) {
        total += d->headers[i].name.len + d->headers[i].value.len;
    }
    c->headers = crt_calloc(d->header_count + 1, sizeof(*c->headers));
    if (!c->headers || crt_buf_reserve(&c->head, total + 1)) {
        return AWS_ERROR_OOM;
    }
    for (size_t i = 0; i < d->header_count; i++) {
        const crt_bytes from[2] = {d->headers[i].name, d->headers[i].value};
        crt_bytes *const to[2] = {&c->headers[i].name, &c->headers[i].value};
        for (int k = 0; k < 2; k++) {
            *to[k] = crt_bytes_of(c->head.ptr + c->head.end, from[k].len);
            if (from[k].len) {
                memcpy(c->head.ptr + c->head.end, from[k].ptr, from[k].len);
            }
            c->head.end += from[k].len;
        }
    }
    c->header_count = d->header_count;
    c->status = d->status;
    return 0;
}

/* The handshake stands: the stream changes hands. */
static void hand_over(ws_connecting *c, const crt_ws_deflate *deflate) {
    crt_websocket *ws;
    const crt_fault none = {0};
    if (crt_ws_conn_new(c->io, &c->options, deflate, crt_buf_view(&c->input), &ws)) {
        give_up(c, AWS_ERROR_OOM, "no memory");
        return;
    }
    crt_timer_stop(&c->timeout);
    crt_ws_conn_start(ws);
    report(c, &none, ws);
    free_connecting(c);
}

static void judge(ws_connecting *c) {
    crt_ws_deflate deflate;
    crt_bytes extensions = {NULL, 0};
    const char *why = crt_ws_check_response(c->status, c->headers, c->header_count, crt_buf_view(&c->key),
                                            crt_buf_view(&c->offered), c->options.deflate ? &extensions : NULL);
    memset(&deflate, 0, sizeof(deflate));
    if (!why && c->options.deflate) {
        why = crt_ws_deflate_accept(&deflate, &c->offer, extensions);
    }
    if (!why) {
        hand_over(c, &deflate);
        return;
    }
    crt_fail(&c->fault, AWS_ERROR_HTTP_WEBSOCKET_UPGRADE_FAILURE, "WebSocket to %s: %s (status %d)", c->host, why,
             c->status);
    if (c->status == 101) {
        crt_stream_close(c->io, c->fault.code);
    }
}

static void take_body(ws_connecting *c, crt_bytes piece) {
    if (crt_buf_len(&c->body) + piece.len > BODY_MAX || crt_buf_append(&c->body, piece.ptr, piece.len)) {
        crt_buf_clear(&c->body);
        crt_stream_close(c->io, c->fault.code);
    }
}

/* One event; false when nothing more can be done now, or `c` is gone. */
static bool step(ws_connecting *c) {
    crt_h1_event event = crt_h1_decoder_next(&c->decoder, crt_buf_view(&c->input), UINT64_MAX);
    bool is_101;
    switch (event.kind) {
    case CRT_H1_HEAD:
        if (keep_head(c)) {
            give_up(c, AWS_ERROR_OOM, "no memory for the response");
            return false;
        }
        crt_buf_consume(&c->input, event.consumed);
        is_101 = c->status == 101;
        judge(c); /* `c` is gone when the handshake stands */
        return !is_101;
    case CRT_H1_BODY:
        take_body(c, event.body);
        break;
    case CRT_H1_END:
        c->complete = true;
        crt_stream_close(c->io, c->fault.code);
        return false;
    case CRT_H1_ERROR:
        give_up(c, AWS_ERROR_HTTP_PROTOCOL_ERROR, c->decoder.detail);
        return false;
    default: /* an interim response may have been dropped */
        crt_buf_consume(&c->input, event.consumed);
        return event.consumed > 0;
    }
    crt_buf_consume(&c->input, event.consumed);
    return true;
}

static void on_space(void *user, crt_span *space) {
    ws_connecting *c = user;
    if (crt_buf_reserve(&c->input, READ_BYTES)) {
        give_up(c, AWS_ERROR_OOM, "no memory for the response");
        return;
    }
    *space = (crt_span){c->input.ptr + c->input.end, READ_BYTES};
}

static void on_data(void *user, size_t n) {
    ws_connecting *c = user;
    c->input.end += n;
    while (step(c)) {
    }
}

static void on_closed(void *user, const crt_fault *fault) {
    ws_connecting *c = user;
    crt_timer_stop(&c->timeout);
    crt_stream_release(c->io);
    if (c->status && c->status != 101 && !c->complete) {
        c->complete = crt_h1_decoder_eof(&c->decoder);
    }
    if (c->fault.code == 0) {
        c->fault = *fault;
    }
    if (c->fault.code == 0) {
        crt_fail(&c->fault, AWS_IO_SOCKET_CLOSED, "WebSocket to %s: closed before the response", c->host);
    }
    report(c, &c->fault, NULL);
    free_connecting(c);
}

static void on_timeout(crt_timer *timer) {
    give_up(CRT_CONTAINER(timer, ws_connecting, timeout), AWS_IO_SOCKET_TIMEOUT, "no answer in time");
}

static const crt_stream_handler io_handler = {on_space, on_data, NULL, on_closed};

static void on_stream(void *user, const crt_fault *fault, crt_stream *stream) {
    ws_connecting *c = user;
    if (fault->code) {
        report(c, fault, NULL);
        free_connecting(c);
        return;
    }
    if (crt_bytes_eq(crt_stream_alpn(stream), crt_bytes_str("h2"))) {
        crt_stream_release(stream);
        fail(c, AWS_ERROR_HTTP_UNSUPPORTED_PROTOCOL, "the server chose HTTP/2; offer http/1.1 only");
        return;
    }
    c->io = stream;
    crt_h1_decoder_init(&c->decoder);
    crt_h1_decoder_begin(&c->decoder, CRT_H1_REQUEST_OTHER);
    crt_timer_init(&c->timeout, stream->loop, on_timeout);
    crt_timer_start(&c->timeout, c->options.answer_timeout_ms);
    crt_stream_set_handler(stream, &io_handler, c);
    if (crt_stream_put(stream, crt_buf_data(&c->request), crt_buf_len(&c->request))) {
        give_up(c, AWS_IO_SOCKET_CLOSED, "the request could not be sent");
    }
}

static void run_failed(crt_task *task, int status) {
    fail(CRT_CONTAINER(task, ws_connecting, failed), status ? status : AWS_ERROR_OOM, "not started");
}

/* ---- the request ---- */

static int note_offers(ws_connecting *c, const crt_http_headers *headers) {
    int status = 0;
    for (size_t i = 0; i < crt_http_headers_count(headers) && !status; i++) {
        crt_http_header header = crt_http_headers_at(headers, i);
        if (crt_http_ieq_str(header.name, "sec-websocket-protocol")) {
            status = crt_buf_len(&c->offered) > 0 ? crt_buf_append(&c->offered, ",", 1) : 0;
            status = status ? status : crt_buf_append(&c->offered, header.value.ptr, header.value.len);
        }
    }
    return status;
}

static int check_handshake(const crt_websocket_options *options) {
    const crt_http_headers *headers = crt_http_message_headers(options->request);
    crt_bytes value;
    if (!options->target.host || !options->target.host[0] || crt_http_message_path(options->request).len == 0 ||
        !crt_bytes_eq(crt_http_message_method(options->request), crt_bytes_str("GET")) ||
        !crt_http_headers_get(headers, crt_bytes_str("sec-websocket-key"), &value) ||
        crt_http_headers_get(headers, crt_bytes_str("sec-websocket-extensions"), &value)) {
        return AWS_ERROR_INVALID_ARGUMENT;
    }
    return 0;
}

static int add_deflate_offer(ws_connecting *c, crt_http_headers *headers) {
    crt_buf offer = CRT_BUF_INIT;
    if (!c->options.deflate) {
        return 0;
    }
    c->offer = *c->options.deflate;
    int status = crt_ws_deflate_offer(&c->offer, &offer);
    status = status ? status : crt_http_headers_add(headers, crt_bytes_str("Sec-WebSocket-Extensions"),
                                                    crt_buf_view(&offer));
    crt_buf_free(&offer);
    return status;
}

static int prepare_forwarding(ws_connecting *c) {
    const crt_http_proxy *proxy = c->options.proxy;
    if (!crt_http_dial_forwards(&c->options.target, proxy)) {
        return 0;
    }
    int status = crt_buf_append(&c->origin, "http://", 7);
    status = status ? status : crt_http_put_authority(&c->origin, c->options.target.host, c->options.target.port);
    if (!status && (proxy->user || proxy->password)) {
        status = crt_http_put_basic(&c->authorization, proxy->user, proxy->password);
    }
    return status;
}

/* What the HTTP/1.1 layer thinks of the headers is told through on_setup, like every fault of the handshake. */
static int write_request(ws_connecting *c) {
    const crt_http_message *message = c->options.request;
    const crt_h1_forward forward = {crt_buf_view(&c->origin), crt_buf_view(&c->authorization)};
    const crt_h1_forward *how = crt_buf_len(&c->origin) ? &forward : NULL;
    crt_h1_request request;
    int status = crt_h1_check_request(message, how, false, &request);
    status = status ? status : crt_buf_reserve(&c->request, request.head_len);
    if (!status) {
        crt_h1_write_head(message, how, &request, c->request.ptr);
        c->request.end = request.head_len;
    }
    return status;
}

static void run_refused(crt_task *task, int status) {
    ws_connecting *c = CRT_CONTAINER(task, ws_connecting, failed);
    fail(c, status ? status : c->fault.code, "the handshake request is not valid");
}

static int prepare(ws_connecting *c) {
    crt_http_headers *headers = crt_http_message_headers(c->options.request);
    crt_bytes key;
    c->host = crt_strdup(c->options.target.host);
    if (!c->host || !crt_http_headers_get(headers, crt_bytes_str("sec-websocket-key"), &key)) {
        return AWS_ERROR_OOM;
    }
    int status = crt_buf_append(&c->key, key.ptr, key.len);
    status = status ? status : note_offers(c, headers);
    status = status ? status : add_deflate_offer(c, headers);
    return status ? status : prepare_forwarding(c);
}

int crt_websocket_connect(const crt_websocket_options *options) {
    int status = check_handshake(options);
    ws_connecting *c = status ? NULL : crt_calloc(1, sizeof(*c));
    if (!c) {
        return status ? status : AWS_ERROR_OOM;
    }
    c->options = *options;
    if (c->options.answer_timeout_ms == 0) {
        c->options.answer_timeout_ms = crt_http_answer_timeout_ms(&options->target.socket);
    }
    status = prepare(c);
    if (status) {
        free_connecting(c);
        return status;
    }
    c->fault.code = write_request(c);
    crt_connect_options target = options->target;
    target.done = on_stream;
    target.user = c;
    crt_http_dial *dial = c->fault.code ? NULL : crt_http_dial_new(&target, options->proxy);
    if (dial) {
        crt_http_dial_start(dial); /* `c` may be gone before this returns */
        return 0;
    }
    c->failed.run = c->fault.code ? run_refused : run_failed;
    crt_loop_post(target.loop, &c->failed);
    return 0;
}
