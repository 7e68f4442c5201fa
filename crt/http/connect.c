/*
 * crt_http_connect: a connection that speaks HTTP, from the stream below it to the first call of the user.
 */
#include "crt/memory.h"
#include "dial.h"
#include "h1_conn.h"

typedef struct connecting {
    crt_http_conn_options options;
    crt_buf origin;        /* "http://host:port" */
    crt_buf authorization; /* value of Proxy-Authorization; empty: none */
    crt_task failed;       /* without memory to dial */
} connecting;

static void free_connecting(connecting *c) {
    crt_buf_free(&c->origin);
    crt_buf_free(&c->authorization);
    crt_free(c);
}

static void report(connecting *c, const crt_fault *fault, crt_http_conn *conn) {
    c->options.handler->on_connected(c->options.user, fault, conn);
    free_connecting(c);
}

static void on_stream(void *user, const crt_fault *fault, crt_stream *stream) {
    connecting *c = user;
    crt_http_conn *conn = NULL;
    crt_fault problem = *fault;
    if (problem.code == 0 && crt_bytes_eq(crt_stream_alpn(stream), crt_bytes_str("h2"))) {
        crt_fail(&problem, AWS_ERROR_HTTP_UNSUPPORTED_PROTOCOL, "%s chose HTTP/2; offer http/1.1 only", stream->peer);
    }
    if (problem.code == 0) {
        c->options.forward_origin = crt_buf_view(&c->origin);
        c->options.forward_authorization = crt_buf_view(&c->authorization);
        if (crt_h1_conn_new(stream, &c->options, &conn)) {
            crt_fail(&problem, AWS_ERROR_OOM, "no memory for the connection");
        }
    }
    if (problem.code && stream) {
        crt_stream_release(stream);
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
    crt_connect_options target = options->target;
    target.done = on_stream;
    target.user = c;
    crt_http_dial *dial = prepare_forwarding(c, options) ? NULL : crt_http_dial_new(&target, options->proxy);
    if (dial) {
        crt_http_dial_start(dial);
    } else {
        c->failed.run = run_failed;
        crt_loop_post(target.loop, &c->failed);
    }
}
