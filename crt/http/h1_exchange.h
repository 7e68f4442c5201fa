/*
 * One request and the head of its response on a stream that then carries something else: a tunnel (CONNECT) or
 * WebSocket frames. Not a byte behind the response head is read, so that the next owner finds the stream as if
 * nothing had happened before.
 */
#ifndef CRT_H1_EXCHANGE_H
#define CRT_H1_EXCHANGE_H

#include "h1_decoder.h"

typedef struct crt_h1_exchange crt_h1_exchange;

typedef struct crt_h1_exchange_handler {
    /*
     * The final response head. 0 accepts it: the reference of `io` passes to the callee, who sets a new handler
     * before it returns, and nothing more is called. Otherwise the result of crt_fail on `fault`, which ends the
     * exchange.
     */
    int (*on_head)(void *user, crt_stream *io, const crt_h1_decoder *head, crt_fault *fault);
    /* The exchange failed and its stream is closed. */
    void (*on_failed)(void *user, const crt_fault *fault);
} crt_h1_exchange_handler;

/*
 * Loop thread. Takes over the reference of `io`, on success only; copies the request. One of the callbacks comes
 * exactly once, never inside this call. NULL without memory.
 */
CRT_HIDDEN crt_h1_exchange *crt_h1_exchange_start(crt_stream *io, enum crt_h1_request_kind kind, crt_bytes request,
                                                  uint32_t timeout_ms, const crt_h1_exchange_handler *handler,
                                                  void *user);
/* Before the callbacks: on_failed will come with `code`. */
CRT_HIDDEN void crt_h1_exchange_cancel(crt_h1_exchange *exchange, int code);

#endif
