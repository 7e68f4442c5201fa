#include "h1_exchange.h"

#include "crt/memory.h"

struct crt_h1_exchange {
    crt_stream *io;
    const crt_h1_exchange_handler *handler;
    void *user;
    crt_timer timeout;
    crt_h1_decoder decoder;
    crt_buf input;
    crt_fault fault; /* why we closed; code 0: we did not */
};

static void free_exchange(crt_h1_exchange *x) {
    crt_timer_stop(&x->timeout);
    crt_h1_decoder_free(&x->decoder);
    crt_buf_free(&x->input);
    crt_free(x);
}

static void give_up(crt_h1_exchange *x, int code, const char *why) {
    if (x->fault.code == 0) {
        crt_fail(&x->fault, code, "%s: %s", x->io->peer, why);
    }
    crt_stream_close(x->io, code);
}

/* The head ends with CRLF CRLF: the bytes that are certainly still to come, given how the input ends. */
static size_t missing(crt_bytes input) {
    static const char end[] = "\r\n\r\n";
    for (size_t n = input.len < 3 ? input.len : 3; n > 0; n--) {
        if (memcmp(input.ptr + input.len - n, end, n) == 0) {
            return 4 - n;
        }
    }
    return 4;
}

static void on_space(void *user, crt_span *space) {
    crt_h1_exchange *x = user;
    size_t n = missing(crt_buf_view(&x->input));
    if (crt_buf_reserve(&x->input, n)) {
        give_up(x, AWS_ERROR_OOM, "no memory for the response");
        *space = (crt_span){NULL, 0};
        return;
    }
    *space = (crt_span){x->input.ptr + x->input.end, n};
}

static void take_head(crt_h1_exchange *x) {
    crt_fault fault = {0};
    int status = x->handler->on_head(x->user, x->io, &x->decoder, &fault);
    if (!status) {
        free_exchange(x);
        return;
    }
    x->fault = fault;
    crt_stream_close(x->io, status);
}

static void on_data(void *user, size_t n) {
    crt_h1_exchange *x = user;
    x->input.end += n;
    crt_h1_event event = crt_h1_decoder_next(&x->decoder, crt_buf_view(&x->input), 0);
    switch (event.kind) {
    case CRT_H1_HEAD:
        take_head(x);
        break;
    case CRT_H1_ERROR:
        give_up(x, AWS_ERROR_HTTP_PROTOCOL_ERROR, x->decoder.detail);
        break;
    default: /* an interim response may have been dropped */
        crt_buf_consume(&x->input, event.consumed);
        break;
    }
}

static void on_closed(void *user, const crt_fault *fault) {
    crt_h1_exchange *x = user;
    if (x->fault.code == 0) {
        x->fault = *fault;
    }
    if (x->fault.code == 0) {
        crt_fail(&x->fault, AWS_IO_SOCKET_CLOSED, "%s: closed before the response", x->io->peer);
    }
    crt_stream_release(x->io);
    x->handler->on_failed(x->user, &x->fault);
    free_exchange(x);
}

static void on_timeout(crt_timer *timer) {
    give_up(CRT_CONTAINER(timer, crt_h1_exchange, timeout), AWS_IO_SOCKET_TIMEOUT, "no answer in time");
}

static const crt_stream_handler io_handler = {on_space, on_data, NULL, on_closed};

crt_h1_exchange *crt_h1_exchange_start(crt_stream *io, enum crt_h1_request_kind kind, crt_bytes request,
                                       uint32_t timeout_ms, const crt_h1_exchange_handler *handler, void *user) {
    crt_h1_exchange *x = crt_calloc(1, sizeof(*x));
    if (!x) {
        return NULL;
    }
    x->io = io;
    x->handler = handler;
    x->user = user;
    crt_h1_decoder_init(&x->decoder);
    crt_h1_decoder_begin(&x->decoder, kind);
    crt_timer_init(&x->timeout, io->loop, on_timeout);
    crt_timer_start(&x->timeout, timeout_ms);
    crt_stream_set_handler(io, &io_handler, x);
    int status = crt_stream_put(io, request.ptr, request.len);
    if (status) {
        give_up(x, status, "the request could not be sent");
    }
    return x;
}

void crt_h1_exchange_cancel(crt_h1_exchange *exchange, int code) {
    give_up(exchange, code, "cancelled");
}
