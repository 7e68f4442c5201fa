/*
 * The message channel: one byte stream, with the decoder on its receiving side and whole messages on the other.
 *
 * The stream is touched on the loop only. Other threads post; what they post keeps the channel alive.
 */
#include "crt/eventstream.h"
#include "crt/memory.h"

enum { READY_MAX = 128 << 10 }; /* bytes of messages not taken yet beyond which the socket is not read */

struct crt_es_channel {
    crt_refcount refs; /* the caller's, the connection's until it is over, and one for each task under way */
    crt_loop *loop;
    const crt_es_channel_handler *handler;
    void *user;
    crt_stream *stream;
    crt_es_decoder decoder;
    bool closing;  /* nothing is sent or decoded any more */
    bool told;     /* on_messages, and crt_es_channel_taken has not followed */
    bool paused;
    bool wants_tls;
    crt_tls_options tls; /* owned copies */
    char *server_name;
    char *alpn;
    crt_task close;
    int close_code;
    bool close_posted; /* atomic */
};

/* ---- lifetime ---- */

void crt_es_channel_release(crt_es_channel *c) {
    if (!c || !crt_ref_dec(&c->refs)) {
        return;
    }
    crt_es_decoder_clear(&c->decoder);
    if (c->wants_tls) {
        crt_tls_ctx_release(c->tls.ctx);
    }
    crt_free(c->server_name);
    crt_free(c->alpn);
    crt_free(c);
}

/* ---- receiving ---- */

static void end(crt_es_channel *c, int code) {
    if (!c->closing) {
        c->closing = true;
        crt_stream_close(c->stream, code);
    }
}

static void on_space(void *user, crt_span *space) {
    crt_es_channel *c = user;
    c->paused = c->closing || crt_es_decoder_ready(&c->decoder) >= READY_MAX;
    if (c->paused) {
        return;
    }
    *space = crt_es_decoder_space(&c->decoder);
    if (space->len == 0) {
        end(c, AWS_ERROR_OOM);
    }
}

static void on_data(void *user, size_t n) {
    crt_es_channel *c = user;
    int status = crt_es_decoder_add(&c->decoder, n);
    if (!c->told && crt_es_decoder_ready(&c->decoder) > 0) {
        c->told = true;
        c->handler->on_messages(c->user);
    }
    if (status) {
        end(c, status);
    }
}

static void on_gone(void *user, const crt_fault *fault) {
    crt_es_channel *c = user;
    crt_stream *stream = c->stream;
    c->closing = true;
    c->stream = NULL;
    c->handler->on_closed(c->user, fault);
    crt_stream_release(stream);
    crt_es_channel_release(c);
}

static const crt_stream_handler stream_handler = {on_space, on_data, NULL, on_gone};

bool crt_es_channel_take(crt_es_channel *c, crt_es_message *out) {
    return crt_es_decoder_take(&c->decoder, out);
}

void crt_es_channel_taken(crt_es_channel *c) {
    c->told = false;
    if (c->paused && !c->closing) {
        c->paused = false;
        crt_stream_resume(c->stream);
    }
}

/* ---- sending ---- */

static void finish_send(crt_es_send *send, int status) {
    crt_es_channel *c = send->channel;
    send->done(send, status);
    crt_es_channel_release(c);
}

static void on_written(crt_write *write, int status) {
    finish_send(CRT_CONTAINER(write, crt_es_send, write), status);
}

static void run_send(crt_task *task, int loop_status) {
    crt_es_send *send = CRT_CONTAINER(task, crt_es_send, task);
    crt_es_channel *c = send->channel;
    if (c->closing || loop_status) {
        finish_send(send, AWS_ERROR_EVENT_STREAM_RPC_CONNECTION_CLOSED);
        return;
    }
    if (send->status) {
        finish_send(send, send->status);
        return;
    }
    if (send->ended && *send->ended) {
        finish_send(send, AWS_ERROR_EVENT_STREAM_RPC_STREAM_CLOSED);
        return;
    }
    memset(&send->write, 0, sizeof(send->write));
    send->write.data = send->data;
    send->write.fd = -1;
    send->write.done = on_written;
    crt_stream_write(c->stream, &send->write);
}

void crt_es_channel_send(crt_es_channel *c, crt_es_send *send) {
    crt_ref_inc(&c->refs);
    send->channel = c;
    send->task.run = run_send;
    crt_loop_post(c->loop, &send->task);
}

/* ---- closing ---- */

static void run_close(crt_task *task, int loop_status) {
    crt_es_channel *c = CRT_CONTAINER(task, crt_es_channel, close);
    if (loop_status == 0) { /* else the stream ends with its loop */
        end(c, c->close_code);
    }
    crt_es_channel_release(c);
}

void crt_es_channel_close(crt_es_channel *c, int code) {
    if (__atomic_exchange_n(&c->close_posted, true, __ATOMIC_ACQ_REL)) {
        return;
    }
    crt_ref_inc(&c->refs);
    c->close_code = code;
    c->close.run = run_close;
    crt_loop_post(c->loop, &c->close);
}

/* ---- connecting ---- */

static void on_ready(void *user, const crt_fault *fault, crt_stream *stream) {
    crt_es_channel *c = user;
    if (fault->code) {
        c->closing = true;
        c->handler->on_connected(c->user, fault);
        crt_es_channel_release(c);
        return;
    }
    c->stream = stream;
    c->handler->on_connected(c->user, fault);
    crt_stream_set_handler(stream, &stream_handler, c);
}

static void on_socket(void *user, const crt_fault *fault, crt_stream *stream) {
    crt_es_channel *c = user;
    if (fault->code || !c->wants_tls) {
        on_ready(c, fault, stream);
        return;
    }
    /* A step of its own, because crt_stream_connect would verify the certificate for the host. */
    if (!crt_tls_start(stream, &c->tls, NULL, on_ready, c)) {
        crt_fault oom;
        crt_fail(&oom, AWS_ERROR_OOM, "no memory for TLS");
        on_ready(c, &oom, NULL);
    }
}

/* False without memory. */
static bool copy_tls(crt_es_channel *c, const crt_tls_options *tls) {
    if (!tls) {
        return true;
    }
    c->server_name = crt_strdup(tls->server_name);
    c->alpn = crt_strdup(tls->alpn);
    c->wants_tls = true;
    c->tls = *tls;
    c->tls.ctx = crt_tls_ctx_acquire(tls->ctx);
    c->tls.server_name = c->server_name;
    c->tls.alpn = c->alpn;
    return (c->server_name || !tls->server_name) && (c->alpn || !tls->alpn);
}

int crt_es_channel_connect(const crt_es_channel_options *options, crt_es_channel **out) {
    crt_es_channel *c = crt_calloc(1, sizeof(*c));
    *out = c;
    if (!c) {
        return AWS_ERROR_OOM;
    }
    crt_ref_init(&c->refs);
    c->loop = options->loop;
    c->handler = options->handler;
    c->user = options->user;
    crt_connect_options connect = {
        .loop = options->loop,
        .resolver = options->resolver,
        .host = options->host,
        .port = options->port,
        .socket = options->socket,
        .done = on_socket,
        .user = c,
    };
    crt_ref_inc(&c->refs);
    if (!copy_tls(c, options->tls) || !crt_stream_connect(&connect)) {
        *out = NULL;
        crt_es_channel_release(c);
        crt_es_channel_release(c);
        return AWS_ERROR_OOM;
    }
    return 0;
}
