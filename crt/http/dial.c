#include "dial.h"

#include "crt/crypto.h"
#include "crt/log.h"
#include "crt/memory.h"
#include "h1_exchange.h"

enum { PORT_MAX = 65535, ANSWER_TIMEOUT_MIN_MS = 10000 };

enum route { ROUTE_DIRECT, ROUTE_FORWARD, ROUTE_TUNNEL };

/* TLS options with strings and context of their own. */
typedef struct own_tls {
    bool present;
    crt_tls_options options;
    char *server_name;
    char *alpn;
} own_tls;

struct crt_http_dial {
    crt_task start;
    crt_connect_options target; /* its strings are ours */
    char *host;
    char *interface_name;
    own_tls tls;
    crt_http_proxy proxy;
    char *proxy_host;
    char *user;
    char *password;
    own_tls proxy_tls;
    int proxy_status; /* of the proxy options */
    enum route route;
    bool cancelled;
    uint32_t limit_ms; /* 0: none */
    crt_timer limit;
    const char *late; /* the step that took too long */
    /* what is under way; at most one */
    crt_connect *connect;
    crt_h1_exchange *exchange;
    crt_tls_handshake *handshake; /* with the host, inside the tunnel */
};

/* ---- copies ---- */

static bool copy_text(char **to, const char *from) {
    *to = crt_strdup(from);
    return *to || !from;
}

static bool copy_tls(own_tls *to, const crt_tls_options *from) {
    if (!from) {
        return true;
    }
    to->present = true;
    to->options = *from;
    crt_tls_ctx_acquire(from->ctx);
    if (!copy_text(&to->server_name, from->server_name) || !copy_text(&to->alpn, from->alpn)) {
        return false;
    }
    to->options.server_name = to->server_name;
    to->options.alpn = to->alpn;
    return true;
}

static void free_tls(own_tls *tls) {
    if (tls->present) {
        crt_tls_ctx_release(tls->options.ctx);
    }
    crt_free(tls->server_name);
    crt_free(tls->alpn);
}

static void free_dial(crt_http_dial *d) {
    crt_resolver_release(d->target.resolver);
    crt_free(d->host);
    crt_free(d->interface_name);
    crt_free(d->proxy_host);
    crt_free(d->user);
    crt_free(d->password);
    free_tls(&d->tls);
    free_tls(&d->proxy_tls);
    crt_free(d);
}

static const crt_tls_options *tls_of(const own_tls *tls) {
    return tls->present ? &tls->options : NULL;
}

/* ---- options ---- */

/* 0 or what is wrong with the kind of proxy. */
static int choose_route(const crt_http_proxy *proxy, bool tls, enum route *route) {
    *route = ROUTE_DIRECT;
    if (!proxy || !proxy->host) {
        return 0;
    }
    switch (proxy->kind) {
    case CRT_HTTP_PROXY_LEGACY:
        *route = tls ? ROUTE_TUNNEL : ROUTE_FORWARD;
        return 0;
    case CRT_HTTP_PROXY_FORWARDING:
        *route = ROUTE_FORWARD;
        return tls ? AWS_ERROR_INVALID_STATE : 0; /* nobody could forward what it cannot read */
    case CRT_HTTP_PROXY_TUNNELING:
        *route = ROUTE_TUNNEL;
        return 0;
    default:
        return AWS_ERROR_UNIMPLEMENTED;
    }
}

bool crt_http_dial_forwards(const crt_connect_options *target, const crt_http_proxy *proxy) {
    enum route route;
    return choose_route(proxy, target->tls != NULL, &route) == 0 && route == ROUTE_FORWARD;
}

int crt_http_put_authority(crt_buf *to, const char *host, uint32_t port) {
    bool bare_ipv6 = strchr(host, ':') && host[0] != '[';
    return crt_buf_printf(to, bare_ipv6 ? "[%s]:%u" : "%s:%u", host, (unsigned)port);
}

int crt_http_put_basic(crt_buf *to, const char *user, const char *password) {
    crt_buf plain = CRT_BUF_INIT;
    int status = crt_buf_printf(&plain, "%s:%s", user ? user : "", password ? password : "");
    if (!status) {
        status = crt_buf_append(to, "Basic ", 6);
    }
    size_t len = crt_base64_encoded_len(crt_buf_len(&plain));
    if (!status) {
        status = crt_buf_reserve(to, len);
    }
    if (!status) {
        crt_base64_encode(crt_buf_view(&plain), (char *)to->ptr + to->end);
        to->end += len;
    }
    crt_buf_free(&plain);
    return status;
}

uint32_t crt_http_answer_timeout_ms(const crt_socket_options *socket) {
    uint32_t ms = socket->connect_timeout_ms;
    return ms > ANSWER_TIMEOUT_MIN_MS ? ms : ANSWER_TIMEOUT_MIN_MS;
}

/* ---- the end ---- */

static void finish(crt_http_dial *d, const crt_fault *fault, crt_stream *stream) {
    crt_fault late;
    if (d->limit.loop) {
        crt_timer_stop(&d->limit);
    }
    if (d->late && fault->code) {
        crt_fail(&late, AWS_IO_SOCKET_TIMEOUT, "connecting to %s:%u: not done after %u ms, while %s", d->host,
                 (unsigned)d->target.port, (unsigned)d->limit_ms, d->late);
        fault = &late;
    }
    d->target.done(d->target.user, fault, stream);
    free_dial(d);
}

static void fail(crt_http_dial *d, int code, const char *why) {
    crt_fault fault;
    crt_fail(&fault, code, "connecting to %s:%u: %s", d->host, (unsigned)d->target.port, why);
    finish(d, &fault, NULL);
}

/* Ours is the reference of `stream`. */
static void fail_with(crt_http_dial *d, crt_stream *stream, int code, const char *why) {
    crt_stream_release(stream);
    fail(d, code, why);
}

/* ---- the tunnel ---- */

static void on_tunnel_tls(void *user, const crt_fault *fault, crt_stream *stream) {
    crt_http_dial *d = user;
    d->handshake = NULL;
    finish(d, fault, stream);
}

static int on_connect_head(void *user, crt_stream *io, const crt_h1_decoder *head, crt_fault *fault) {
    crt_http_dial *d = user;
    if (head->status != 200) {
        return crt_fail(fault, AWS_ERROR_HTTP_PROXY_CONNECT_FAILED,
                        "the proxy %s:%u answered CONNECT %s:%u with status %d", d->proxy_host,
                        (unsigned)d->proxy.port, d->host, (unsigned)d->target.port, head->status);
    }
    d->exchange = NULL;
    if (!d->tls.present) {
        const crt_fault none = {0};
        finish(d, &none, io);
        return 0;
    }
    d->handshake = crt_tls_start(io, &d->tls.options, d->host, on_tunnel_tls, d);
    if (!d->handshake) {
        fail(d, AWS_ERROR_OOM, "no memory for TLS");
    }
    return 0;
}

static void on_connect_failed(void *user, const crt_fault *fault) {
    finish(user, fault, NULL);
}

static const crt_h1_exchange_handler connect_handler = {on_connect_head, on_connect_failed};

static int put_connect_request(crt_http_dial *d, crt_buf *request) {
    int status = crt_buf_append(request, "CONNECT ", 8);
    status = status ? status : crt_http_put_authority(request, d->host, d->target.port);
    status = status ? status : crt_buf_printf(request, " HTTP/1.1\r\nHost: ");
    status = status ? status : crt_http_put_authority(request, d->host, d->target.port);
    status = status ? status : crt_buf_printf(request, "\r\nProxy-Connection: Keep-Alive\r\n");
    if (d->user || d->password) {
        status = status ? status : crt_buf_printf(request, "Proxy-Authorization: ");
        status = status ? status : crt_http_put_basic(request, d->user, d->password);
        status = status ? status : crt_buf_printf(request, "\r\n");
    }
    return status ? status : crt_buf_printf(request, "\r\n");
}

static void open_tunnel(crt_http_dial *d, crt_stream *stream) {
    crt_buf request = CRT_BUF_INIT;
    int status = put_connect_request(d, &request);
    if (!status) {
        d->exchange = crt_h1_exchange_start(stream, CRT_H1_REQUEST_CONNECT, crt_buf_view(&request),
                                            crt_http_answer_timeout_ms(&d->target.socket), &connect_handler, d);
        status = d->exchange ? 0 : AWS_ERROR_OOM;
    }
    crt_buf_free(&request);
    if (status) {
        fail_with(d, stream, status, "no memory for the request to the proxy");
    }
}

/* ---- the socket ---- */

static void on_socket(void *user, const crt_fault *fault, crt_stream *stream) {
    crt_http_dial *d = user;
    d->connect = NULL;
    if (fault->code) {
        finish(d, fault, NULL);
    } else if (d->route != ROUTE_TUNNEL) {
        finish(d, fault, stream);
    } else if (crt_bytes_eq(crt_stream_alpn(stream), crt_bytes_str("h2"))) {
        fail_with(d, stream, AWS_ERROR_HTTP_UNSUPPORTED_PROTOCOL, "the proxy speaks HTTP/2");
    } else {
        open_tunnel(d, stream);
    }
}

static int check(const crt_http_dial *d, const char **why) {
    bool local = d->route == ROUTE_DIRECT && d->target.socket.domain == CRT_SOCKET_LOCAL;
    *why = "the host name is empty";
    if (!d->host || !d->host[0] || (d->route != ROUTE_DIRECT && !d->proxy_host[0])) {
        return AWS_ERROR_INVALID_ARGUMENT;
    }
    *why = "the port is not between 1 and 65535";
    if (!local && (d->target.port == 0 || d->target.port > PORT_MAX)) {
        return AWS_IO_SOCKET_INVALID_ADDRESS;
    }
    *why = "this kind of proxy connection does not suit";
    return d->proxy_status;
}

static const char *step_of(const crt_http_dial *d) {
    if (d->exchange) {
        return "the proxy's answer to CONNECT was awaited";
    }
    if (d->handshake) {
        return "TLS was negotiated inside the tunnel";
    }
    return d->route == ROUTE_DIRECT ? "the host was looked up and connected to" : "the proxy was connected to";
}

static void on_limit(crt_timer *timer) {
    crt_http_dial *d = CRT_CONTAINER(timer, crt_http_dial, limit);
    d->late = step_of(d);
    crt_http_dial_cancel(d);
}

static void run_start(crt_task *task, int status) {
    crt_http_dial *d = CRT_CONTAINER(task, crt_http_dial, start);
    const char *why = "the event loop ended";
    if (!status) {
        status = check(d, &why);
    }
    if (!status && d->cancelled) {
        status = AWS_ERROR_IO_OPERATION_CANCELLED;
        why = "cancelled";
    }
    if (status) {
        fail(d, status, why);
        return;
    }
    if (d->limit_ms) {
        crt_timer_init(&d->limit, d->target.loop, on_limit);
        crt_timer_start(&d->limit, d->limit_ms);
    }
    crt_connect_options options = d->target;
    options.done = on_socket;
    options.user = d;
    options.tls = tls_of(&d->tls);
    if (d->route != ROUTE_DIRECT) {
        options.host = d->proxy_host;
        options.port = d->proxy.port;
        options.tls = tls_of(&d->proxy_tls);
    }
    d->connect = crt_stream_connect(&options);
    if (!d->connect) {
        fail(d, AWS_ERROR_OOM, "no memory to connect");
    }
}

/* ---- public ---- */

static bool copy_options(crt_http_dial *d, const crt_connect_options *target, const crt_http_proxy *proxy) {
    d->target = *target;
    d->target.resolver = crt_resolver_acquire(target->resolver);
    if (!copy_text(&d->host, target->host) || !copy_text(&d->interface_name, target->socket.interface_name) ||
        !copy_tls(&d->tls, target->tls)) {
        return false;
    }
    d->target.host = d->host;
    d->target.socket.interface_name = d->interface_name;
    d->proxy_status = choose_route(proxy, target->tls != NULL, &d->route);
    if (!proxy || !proxy->host) {
        return true;
    }
    d->proxy = *proxy;
    return copy_text(&d->proxy_host, proxy->host) && copy_text(&d->user, proxy->user) &&
           copy_text(&d->password, proxy->password) && copy_tls(&d->proxy_tls, proxy->tls);
}

crt_http_dial *crt_http_dial_new(const crt_connect_options *target, const crt_http_proxy *proxy) {
    crt_http_dial *d = crt_calloc(1, sizeof(*d));
    if (!d) {
        return NULL;
    }
    if (!copy_options(d, target, proxy)) {
        free_dial(d);
        return NULL;
    }
    d->start.run = run_start;
    return d;
}

void crt_http_dial_limit(crt_http_dial *dial, uint32_t connect_ms, uint32_t tls_ms) {
    dial->limit_ms = connect_ms;
    if (tls_ms) {
        dial->tls.options.timeout_ms = tls_ms;
        dial->proxy_tls.options.timeout_ms = tls_ms;
    }
}

void crt_http_dial_start(crt_http_dial *dial) {
    crt_loop_post(dial->target.loop, &dial->start);
}

void crt_http_dial_cancel(crt_http_dial *dial) {
    dial->cancelled = true;
    if (dial->connect) {
        crt_connect_cancel(dial->connect);
    } else if (dial->exchange) {
        crt_h1_exchange_cancel(dial->exchange, AWS_ERROR_IO_OPERATION_CANCELLED);
    } else if (dial->handshake) {
        crt_tls_cancel(dial->handshake);
    }
}
