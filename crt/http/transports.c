/*
 * The transports that other protocols find by name: "http-tunnel" is the host's byte stream behind a proxy,
 * "websocket" a byte stream in the frames of a WebSocket.
 */
#include "ascii.h"
#include "crt/log.h"
#include "crt/memory.h"
#include "dial.h"
#include "h1_encoder.h"
#include "h1_exchange.h"
#include "ws_handshake.h"
#include "ws_stream.h"

/* The proxy of the options. To other protocols a proxy is always a tunnel: it need not understand them. */
static crt_http_proxy proxy_of(const crt_transport_options *options) {
    crt_http_proxy proxy = {0};
    proxy.host = options->proxy_host;
    proxy.port = options->proxy_port;
    proxy.user = options->proxy_user;
    proxy.password = options->proxy_password;
    proxy.tls = options->proxy_tls;
    proxy.kind = CRT_HTTP_PROXY_TUNNELING;
    return proxy;
}

/* ---- http-tunnel ---- */

/* crt_connect is opaque to its users, so each transport hands out what it has. */
static crt_connect *tunnel_open(const crt_transport_options *options) {
    crt_http_proxy proxy = proxy_of(options);
    crt_http_dial *dial = crt_http_dial_new(&options->target, &proxy);
    if (dial) {
        crt_http_dial_start(dial);
    }
    return (crt_connect *)(void *)dial;
}

static void tunnel_cancel(crt_connect *connect) {
    crt_http_dial_cancel((crt_http_dial *)(void *)connect);
}

/* ---- websocket ---- */

typedef struct ws_connect {
    crt_connect_fn done;
    void *user;
    char *host;
    uint32_t answer_timeout_ms;
    char key[CRT_WS_KEY_LEN];
    crt_buf offered; /* subprotocols, comma-separated */
    crt_buf request;
    int status; /* of making the request */
    crt_http_dial *dial;
    crt_h1_exchange *exchange;
    crt_task failed;
    bool cancelled;
} ws_connect;

static void free_ws_connect(ws_connect *c) {
    crt_buf_free(&c->offered);
    crt_buf_free(&c->request);
    crt_free(c->host);
    crt_free(c);
}

static void finish(ws_connect *c, const crt_fault *fault, crt_stream *stream) {
    c->done(c->user, fault, stream);
    free_ws_connect(c);
}

static void fail(ws_connect *c, int code, const char *why) {
    crt_fault fault;
    crt_fail(&fault, code, "WebSocket to %s: %s", c->host ? c->host : "", why);
    finish(c, &fault, NULL);
}

static int on_head(void *user, crt_stream *io, const crt_h1_decoder *head, crt_fault *fault) {
    ws_connect *c = user;
    crt_stream *stream;
    const char *why = crt_ws_check_response(head->status, head->headers, head->header_count,
                                            crt_bytes_of(c->key, sizeof(c->key)), crt_buf_view(&c->offered), NULL);
    if (why) {
        return crt_fail(fault, AWS_ERROR_HTTP_WEBSOCKET_UPGRADE_FAILURE, "WebSocket to %s: %s (status %d)", c->host,
                        why, head->status);
    }
    int status = crt_ws_stream_new(io, &stream);
    if (status) {
        return crt_fail(fault, status, "WebSocket to %s: no memory", c->host);
    }
    const crt_fault none = {0};
    finish(c, &none, stream);
    return 0;
}

static void on_failed(void *user, const crt_fault *fault) {
    finish(user, fault, NULL);
}

static const crt_h1_exchange_handler exchange_handler = {on_head, on_failed};

static void on_stream(void *user, const crt_fault *fault, crt_stream *stream) {
    ws_connect *c = user;
    c->dial = NULL;
    if (fault->code) {
        finish(c, fault, NULL);
        return;
    }
    if (crt_bytes_eq(crt_stream_alpn(stream), crt_bytes_str("h2"))) {
        crt_stream_release(stream);
        fail(c, AWS_ERROR_HTTP_UNSUPPORTED_PROTOCOL, "the server chose HTTP/2; offer http/1.1 only");
        return;
    }
    c->exchange = crt_h1_exchange_start(stream, CRT_H1_REQUEST_OTHER, crt_buf_view(&c->request), c->answer_timeout_ms,
                                        &exchange_handler, c);
    if (!c->exchange) {
        crt_stream_release(stream);
        fail(c, AWS_ERROR_OOM, "no memory for the handshake");
    }
}

static void run_failed(crt_task *task, int status) {
    ws_connect *c = CRT_CONTAINER(task, ws_connect, failed);
    if (status || c->cancelled) {
        fail(c, status ? status : AWS_ERROR_IO_OPERATION_CANCELLED, "not started");
    } else {
        fail(c, c->status, "the handshake request is not valid");
    }
}

/* ---- the handshake request ---- */

static int note_offer(ws_connect *c, crt_bytes names) {
    int status = crt_buf_len(&c->offered) > 0 ? crt_buf_append(&c->offered, ",", 1) : 0;
    return status ? status : crt_buf_append(&c->offered, names.ptr, names.len);
}

/* The caller's headers; those that the handshake itself needs are ours. */
static int add_headers(ws_connect *c, crt_http_headers *headers, const crt_transport_options *options) {
    static const char *const own[] = {"upgrade", "connection", "sec-websocket-key", "sec-websocket-version",
                                      "sec-websocket-extensions", "content-length", "transfer-encoding"};
    int status = 0;
    for (size_t i = 0; i < options->header_count && !status; i++) {
        crt_bytes name = crt_bytes_str(options->headers[i].name), value = crt_bytes_str(options->headers[i].value);
        bool ours = false;
        for (size_t k = 0; k < sizeof(own) / sizeof(own[0]); k++) {
            ours = ours || crt_http_ieq_str(name, own[k]);
        }
        if (ours) {
            continue;
        }
        status = crt_http_headers_add(headers, name, value);
        if (!status && crt_http_ieq_str(name, "sec-websocket-protocol")) {
            status = note_offer(c, value);
        }
    }
    return status;
}

static int add_host(crt_http_headers *headers, const crt_connect_options *target) {
    crt_buf authority = CRT_BUF_INIT;
    crt_bytes present;
    int status = 0;
    if (!crt_http_headers_get(headers, crt_bytes_str("host"), &present)) {
        status = crt_http_put_authority(&authority, target->host ? target->host : "", target->port);
        status = status ? status : crt_http_headers_add(headers, crt_bytes_str("Host"), crt_buf_view(&authority));
    }
    crt_buf_free(&authority);
    return status;
}

static int fill_message(ws_connect *c, crt_http_message *message, const crt_transport_options *options) {
    crt_http_headers *headers = crt_http_message_headers(message);
    int status = crt_http_message_set_method(message, crt_bytes_str("GET"));
    status = status ? status : crt_http_message_set_path(message, crt_bytes_str(options->path ? options->path : "/"));
    status = status ? status : add_headers(c, headers, options);
    status = status ? status : add_host(headers, &options->target);
    status = status ? status : crt_http_headers_add(headers, crt_bytes_str("Upgrade"), crt_bytes_str("websocket"));
    status = status ? status : crt_http_headers_add(headers, crt_bytes_str("Connection"), crt_bytes_str("Upgrade"));
    status = status ? status : crt_http_headers_add(headers, crt_bytes_str("Sec-WebSocket-Key"),
                                                    crt_bytes_of(c->key, sizeof(c->key)));
    return status ? status
                  : crt_http_headers_add(headers, crt_bytes_str("Sec-WebSocket-Version"), crt_bytes_str("13"));
}

static int make_request(ws_connect *c, const crt_transport_options *options) {
    crt_h1_request request;
    crt_http_message *message = crt_http_message_new(NULL);
    int status = message ? crt_ws_make_key(c->key) : AWS_ERROR_OOM;
    status = status ? status : fill_message(c, message, options);
    status = status ? status : crt_h1_check_request(message, NULL, false, &request);
    status = status ? status : crt_buf_reserve(&c->request, request.head_len);
    if (!status) {
        crt_h1_write_head(message, NULL, &request, c->request.ptr + c->request.end);
        c->request.end += request.head_len;
    }
    crt_http_message_release(message);
    return status;
}

static crt_connect *ws_open(const crt_transport_options *options) {
    ws_connect *c = crt_calloc(1, sizeof(*c));
    if (!c) {
        return NULL;
    }
    c->done = options->target.done;
    c->user = options->target.user;
    c->host = crt_strdup(options->target.host);
    c->answer_timeout_ms = crt_http_answer_timeout_ms(&options->target.socket);
    c->status = make_request(c, options);
    if (!c->status) {
        crt_connect_options target = options->target;
        crt_http_proxy proxy = proxy_of(options);
        target.done = on_stream;
        target.user = c;
        c->dial = crt_http_dial_new(&target, &proxy);
        c->status = c->dial ? 0 : AWS_ERROR_OOM;
    }
    /* The loop may be through with `c` before these calls return. */
    if (c->status) {
        c->failed.run = run_failed;
        crt_loop_post(options->target.loop, &c->failed);
    } else {
        crt_http_dial_start(c->dial);
    }
    return (crt_connect *)(void *)c;
}

static void ws_cancel(crt_connect *connect) {
    ws_connect *c = (ws_connect *)(void *)connect;
    c->cancelled = true;
    if (c->dial) {
        crt_http_dial_cancel(c->dial);
    } else if (c->exchange) {
        crt_h1_exchange_cancel(c->exchange, AWS_ERROR_IO_OPERATION_CANCELLED);
    }
}

/* ---- public ---- */

const crt_transport *crt_http_transport(const char *name) {
    static const crt_transport transports[] = {
        {CRT_TRANSPORT_ABI, "http-tunnel", tunnel_open, tunnel_cancel},
        {CRT_TRANSPORT_ABI, "websocket", ws_open, ws_cancel},
    };
    for (size_t i = 0; i < sizeof(transports) / sizeof(transports[0]); i++) {
        if (strcmp(transports[i].name, name) == 0) {
            return &transports[i];
        }
    }
    return NULL;
}
