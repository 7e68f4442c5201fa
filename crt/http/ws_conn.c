/*
 * The life of a WebSocket connection: word from other threads, and the ways it ends.
 */
#include "ws_conn.h"

#include <stdio.h>

#include "crt/memory.h"

enum { FLUSH_TIMEOUT_MS = 1000 }; /* for a CLOSE frame to leave */

/* ---- lifetime ---- */

void crt_ws_conn_acquire(crt_websocket *ws) {
    crt_ref_inc(&ws->refs);
}

void crt_ws_conn_unref(crt_websocket *ws) {
    if (!crt_ref_dec(&ws->refs)) {
        return;
    }
    while (ws->spare) {
        crt_ws_batch *batch = ws->spare;
        ws->spare = batch->next;
        crt_ws_batch_free(batch);
    }
    crt_ws_deflate_free(&ws->deflate);
    crt_ws_block_release(ws->block);
    crt_buf_free(&ws->assembly);
    crt_buf_free(&ws->scratch);
    pthread_mutex_destroy(&ws->lock);
    crt_free(ws);
}

/* ---- the end ---- */

static void set_fault(crt_websocket *ws, int code, const char *detail) {
    if (ws->faulted) {
        return;
    }
    ws->faulted = true;
    if (code) {
        crt_fail(&ws->fault, code, "WebSocket to %s: %s", ws->io->peer, detail);
    }
}

static void close_written(void *user, int status) {
    crt_websocket *ws = user;
    ws->close_written = true;
    if (ws->io && (ws->closing || status)) {
        crt_stream_close(ws->io, ws->fault.code);
    }
}

static void on_timeout(crt_timer *timer) {
    crt_websocket *ws = CRT_CONTAINER(timer, crt_websocket, timeout);
    if (!ws->peer_closed) {
        set_fault(ws, AWS_IO_SOCKET_TIMEOUT, "the peer did not answer CLOSE in time");
    }
    ws->closing = true;
    crt_stream_close(ws->io, ws->fault.code);
}

/* Whether a frame is on its way in pieces, so that none can follow now. */
static bool inside_frame(const crt_websocket *ws) {
    return ws->writing && ws->writing->source && ws->writing->rest.len > 0;
}

static void say_close(crt_websocket *ws, crt_bytes payload, uint32_t timeout_ms) {
    crt_timer_start(&ws->timeout, timeout_ms);
    if (crt_ws_send_close(ws, payload, close_written)) {
        ws->closing = true;
        crt_stream_close(ws->io, ws->fault.code);
    }
}

void crt_ws_conn_fail(crt_websocket *ws, int code, const char *detail, int close_code) {
    const uint8_t payload[2] = {(uint8_t)(close_code >> 8), (uint8_t)close_code};
    if (ws->closing || !ws->io) {
        return;
    }
    ws->closing = true;
    set_fault(ws, code, detail);
    crt_ws_send_drop(ws, AWS_ERROR_HTTP_CONNECTION_CLOSED);
    crt_ws_recv_end(ws, code);
    if (inside_frame(ws)) {
        crt_stream_close(ws->io, code);
        return;
    }
    say_close(ws, crt_bytes_of(payload, ws->messages && close_code ? sizeof(payload) : 0), FLUSH_TIMEOUT_MS);
}

void crt_ws_conn_peer_closed(crt_websocket *ws) {
    ws->peer_closed = true;
    if (!ws->messages) {
        return; /* the answer, and the end, are the user's to give */
    }
    set_fault(ws, 0, NULL);
    /* RFC 6455 section 5.5.1: the status code is echoed; section 7.1.1: the server ends the transport. */
    say_close(ws, crt_bytes_of(ws->control, ws->control_len >= 2 ? 2 : 0), ws->close_timeout_ms);
}

static void run_close(crt_websocket *ws) {
    if (ws->closing || ws->peer_closed) {
        if (!ws->messages && !ws->closing) {
            ws->closing = true;
            set_fault(ws, 0, NULL);
            say_close(ws, crt_bytes_of(NULL, 0), FLUSH_TIMEOUT_MS);
        }
        return;
    }
    if (!ws->messages) {
        ws->closing = true;
        set_fault(ws, 0, NULL);
    }
    say_close(ws, crt_bytes_of(ws->close_payload, ws->close_len),
              ws->messages ? ws->close_timeout_ms : FLUSH_TIMEOUT_MS);
}

static void on_closed(void *user, const crt_fault *fault) {
    crt_websocket *ws = user;
    crt_timer_stop(&ws->timeout);
    if (!ws->faulted) {
        ws->fault = *fault;
        if (ws->fault.code == 0) {
            crt_fail(&ws->fault, AWS_IO_SOCKET_CLOSED, "WebSocket to %s: closed by the peer", ws->io->peer);
        }
    }
    crt_ws_recv_end(ws, ws->fault.code && ws->fault.code != AWS_IO_SOCKET_CLOSED ? ws->fault.code
                                                                                : AWS_ERROR_HTTP_CONNECTION_CLOSED);
    crt_stream *io = ws->io;
    ws->closing = true;
    ws->io = NULL;
    pthread_mutex_lock(&ws->lock);
    ws->gone = true;
    if (ws->sending == CRT_WS_SENDING) {
        ws->sending = CRT_WS_CONN_FAILED;
    }
    pthread_mutex_unlock(&ws->lock);
    crt_ws_send_drop(ws, AWS_ERROR_HTTP_CONNECTION_CLOSED);
    crt_ws_send_tell_room(ws);
    crt_stream_release(io);
    ws->handler->on_shutdown(ws->user, &ws->fault);
    crt_ws_conn_unref(ws);
}

/* ---- the stream below ---- */

static void on_space(void *user, crt_span *space) {
    crt_ws_recv_space(user, space);
}

static void on_data(void *user, size_t n) {
    crt_ws_recv_data(user, n);
}

static const crt_stream_handler io_handler = {on_space, on_data, NULL, on_closed};

static void run_receive(crt_task *task, int status) {
    crt_websocket *ws = CRT_CONTAINER(task, crt_websocket, receive);
    ws->receive_due = false;
    if (ws->io) {
        crt_ws_recv_run(ws);
    }
    if (ws->io) {
        crt_stream_resume(ws->io);
    }
    crt_ws_conn_unref(ws);
}

static void receive_later(crt_websocket *ws) {
    if (!ws->receive_due) {
        ws->receive_due = true;
        crt_ws_conn_acquire(ws);
        crt_loop_defer(ws->loop, &ws->receive);
    }
}

/* ---- word from other threads ---- */

void crt_ws_conn_post(crt_websocket *ws, unsigned wants) {
    ws->wants |= wants;
    if (!ws->posted && !ws->gone) {
        ws->posted = true;
        crt_ws_conn_acquire(ws);
        crt_loop_post(ws->loop, &ws->wake);
    }
}

static uint64_t add_saturating(uint64_t a, uint64_t b) {
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

static void run_wake(crt_task *task, int status) {
    crt_websocket *ws = CRT_CONTAINER(task, crt_websocket, wake);
    pthread_mutex_lock(&ws->lock);
    unsigned wants = ws->wants;
    int abort_code = ws->abort_code;
    uint64_t credit = ws->credit;
    ws->wants = 0;
    ws->credit = 0;
    ws->posted = false;
    pthread_mutex_unlock(&ws->lock);
    ws->window = add_saturating(ws->window, credit);
    if (ws->io && (wants & CRT_WS_WANTS_ABORT)) {
        crt_ws_conn_fail(ws, abort_code, "ended by its user", CRT_WS_CLOSE_NORMAL);
    }
    if (ws->io && (wants & CRT_WS_WANTS_CLOSE)) {
        run_close(ws);
    }
    if (ws->io && (wants & CRT_WS_WANTS_RESUME)) {
        receive_later(ws);
    }
    crt_ws_send_pump(ws);
    crt_ws_conn_unref(ws);
}

void crt_websocket_close(crt_websocket *ws, crt_bytes payload) {
    pthread_mutex_lock(&ws->lock);
    if (!ws->close_asked) {
        ws->close_asked = true;
        ws->close_len = payload.len <= CRT_WS_CONTROL_MAX ? payload.len : 0;
        if (ws->close_len) {
            memcpy(ws->close_payload, payload.ptr, ws->close_len);
        }
        crt_ws_conn_post(ws, CRT_WS_WANTS_CLOSE);
    }
    pthread_mutex_unlock(&ws->lock);
}

void crt_websocket_abort(crt_websocket *ws, int code) {
    pthread_mutex_lock(&ws->lock);
    ws->abort_code = code;
    crt_ws_conn_post(ws, CRT_WS_WANTS_ABORT);
    pthread_mutex_unlock(&ws->lock);
}

void crt_websocket_credit(crt_websocket *ws, uint64_t n) {
    pthread_mutex_lock(&ws->lock);
    ws->credit = add_saturating(ws->credit, n);
    crt_ws_conn_post(ws, CRT_WS_WANTS_RESUME);
    pthread_mutex_unlock(&ws->lock);
}

void crt_websocket_resume(crt_websocket *ws) {
    pthread_mutex_lock(&ws->lock);
    crt_ws_conn_post(ws, CRT_WS_WANTS_RESUME);
    pthread_mutex_unlock(&ws->lock);
}

void crt_websocket_release(crt_websocket *ws) {
    crt_websocket_close(ws, crt_bytes_of(NULL, 0));
    crt_ws_conn_unref(ws);
}

bool crt_websocket_compresses(const crt_websocket *ws) {
    return ws->deflate.agreed;
}

crt_loop *crt_websocket_loop(const crt_websocket *ws) {
    return ws->loop;
}

/* ---- construction ---- */

int crt_ws_conn_new(crt_stream *io, const crt_websocket_options *options, const crt_ws_deflate *deflate,
                    crt_bytes rest, crt_websocket **out) {
    crt_websocket *ws = crt_calloc(1, sizeof(*ws));
    if (!ws) {
        return AWS_ERROR_OOM;
    }
    crt_ref_init(&ws->refs);
    pthread_mutex_init(&ws->lock, NULL);
    ws->handler = options->handler;
    ws->user = options->user;
    ws->loop = io->loop;
    ws->messages = options->messages;
    ws->max_message = options->max_message;
    ws->close_timeout_ms = options->close_timeout_ms;
    ws->manual_window = options->manual_window;
    ws->window = options->initial_window;
    ws->deflate = *deflate;
    ws->decoder.deflate = deflate->agreed;
    ws->tail = &ws->first;
    ws->wake.run = run_wake;
    ws->receive.run = run_receive;
    crt_timer_init(&ws->timeout, io->loop, on_timeout);
    if (crt_ws_recv_prefill(ws, rest)) {
        crt_ws_conn_unref(ws);
        return AWS_ERROR_OOM;
    }
    ws->io = io;
    *out = ws;
    return 0;
}

void crt_ws_conn_start(crt_websocket *ws) {
    crt_ws_conn_acquire(ws); /* until the transport is gone */
    crt_stream_set_handler(ws->io, &io_handler, ws);
    receive_later(ws);
}
