/*
 * crt_http_connect: a connection that speaks HTTP, from the stream below it to the first call of the user.
 */
#include "crt/memory.h"
#include "dial.h"
#include "h1_conn.h"
#include "h2_conn.h"

typedef struct connecting {
    crt_http_conn_options options;
    crt_buf origin;        /* "http://host:port" */
    crt_buf authorization; /* value of Proxy-Authorization; empty: none */
    crt_http_connect_options http; /* the version and HTTP/2 parts; its settings are ours */
    crt_task failed;       /* without memory to dial */
} connecting;

static void free_connecting(connecting *c) {
    crt_buf_free(&c->origin);
    crt_buf_free(&c->authorization);
    crt_free((void *)(uintptr_t)c->http.settings);
    crt_free(c);
}

static void report(connecting *c, const crt_fault *fault, crt_http_conn *conn) {
    c->options.handler->on_connected(c->options.user, fault, conn);
    free_connecting(c);
}

/* What ALPN chose, or the caller without it. */
static int version_of(const connecting *c, const crt_stream *stream) {
    crt_bytes alpn = crt_stream_alpn(stream);
    bool http2 = alpn.len > 0 ? crt_bytes_eq(alpn, crt_bytes_str("h2")) : c->http.prior_knowledge;
    return http2 ? CRT_HTTP_2 : CRT_HTTP_1_1;
}

static int make_conn(connecting *c, crt_stream *stream, crt_http_conn **conn, crt_fault *fault) {
    int version = version_of(c, stream);
    if (c->http.version != CRT_HTTP_UNKNOWN && version != c->http.version) {
        return crt_fail(fault, AWS_ERROR_HTTP_UNSUPPORTED_PROTOCOL, "%s speaks HTTP/%s, HTTP/%s was asked for",
                        stream->peer, version == CRT_HTTP_2 ? "2" : "1.1", version == CRT_HTTP_2 ? "1.1" : "2");
    }
    int status = version == CRT_HTTP_2 ? crt_h2_conn_new(stream, &c->options, conn)
                                       : crt_h1_conn_new(stream, &c->options, conn);
    return status ? crt_fail(fault, status, "the connection to %s could not be set up", stream->peer) : 0;
}

static void on_stream(void *user, const crt_fault *fault, crt_stream *stream) {
    connecting *c = user;
    crt_http_conn *conn = NULL;
    crt_fault problem = *fault;
    if (problem.code == 0) {
        c->options.forward_origin = crt_buf_view(&c->origin);
        c->options.forward_authorization = crt_buf_view(&c->authorization);
        c->options.http2 = &c->http;
        if (make_conn(c, stream, &conn, &problem)) {
            crt_stream_release(stream);
        }
    }
    report(c, &problem, conn);
}

static void run_failed(crt_task *task, int status) {
    connecting *c = CRT_CONTAINER(task, connecting, failed);
    crt_fault fault;
    crt_fail(&fault, AWS_ERROR_OOM, "no memory to connect");
    report(c, &fault, NULL);
}

static int prepare_forwarding(connecting *c, const crt_http_connect_options *options) {
    const crt_http_proxy *proxy = options->proxy;
    if (!options->target.host || !crt_http_dial_forwards(&options->target, proxy)) {
        return 0;
    }
    int status = crt_buf_append(&c->origin, "http://", 7);
    if (!status) {
        status = crt_http_put_authority(&c->origin, options->target.host, options->target.port);
    }
    if (!status && (proxy->user || proxy->password)) {
        status = crt_http_put_basic(&c->authorization, proxy->user, proxy->password);
    }
    return status;
}

static int copy_http(connecting *c, const crt_http_connect_options *options) {
    c->http = *options;
    c->http.settings = NULL;
    if (options->setting_count == 0) {
        return 0;
    }
    crt_http2_setting *settings = crt_malloc(options->setting_count * sizeof(*settings));
    if (!settings) {
        return AWS_ERROR_OOM;
    }
    memcpy(settings, options->settings, options->setting_count * sizeof(*settings));
    c->http.settings = settings;
    return 0;
}

void crt_http_connect(const crt_http_connect_options *options) {
    /* Without memory even for this there is nothing to carry the news to the loop. */
    connecting *c = crt_calloc(1, sizeof(*c));
    const crt_fault no_memory = {AWS_ERROR_OOM, "no memory to connect"};
    if (!c) {
        options->handler->on_connected(options->user, &no_memory, NULL);
        return;
    }
    c->options.handler = options->handler;
    c->options.user = options->user;
    c->options.tls = options->target.tls || (options->proxy && options->proxy->host && options->proxy->tls);
    c->options.manual_window = options->manual_window;
    c->options.initial_window = options->initial_window;
    c->options.timeouts = options->timeouts;
    crt_connect_options target = options->target;
    target.done = on_stream;
    target.user = c;
    int status = copy_http(c, options) || prepare_forwarding(c, options);
    crt_http_dial *dial = status ? NULL : crt_http_dial_new(&target, options->proxy);
    if (dial) {
        crt_http_dial_limit(dial, options->timeouts.connect_ms, options->timeouts.tls_ms);
        crt_http_dial_start(dial);
    } else {
        c->failed.run = run_failed;
        crt_loop_post(target.loop, &c->failed);
    }
}
