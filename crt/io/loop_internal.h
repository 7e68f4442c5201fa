/*
 * What sockets and the resolver need of a loop beyond crt/loop.h.
 */
#ifndef CRT_IO_LOOP_INTERNAL_H
#define CRT_IO_LOOP_INTERNAL_H

#include <uv.h>

#include "crt/loop.h"

/* The libuv loop below; loop thread only. */
CRT_HIDDEN uv_loop_t *crt_loop_uv(crt_loop *loop);

/*
 * An object that must end before its loop does. `on_shutdown` is called once on the loop, with the attachment
 * already detached. Loop thread only.
 */
typedef struct crt_attachment {
    void (*on_shutdown)(struct crt_attachment *attachment);
    struct crt_attachment *next;
    struct crt_attachment **link; /* NULL: not attached */
} crt_attachment;

CRT_HIDDEN void crt_loop_attach(crt_loop *loop, crt_attachment *attachment);
CRT_HIDDEN void crt_loop_detach(crt_attachment *attachment);

/* ---- threads of the runtime, for crt_threads_join (threads.c) ---- */

/* One more thread that will end by itself. */
CRT_HIDDEN void crt_threads_expect(size_t count);
/* The same, unless `*released` is already set: marks it and calls `signal` while no such thread can finish. */
CRT_HIDDEN void crt_threads_expect_and(size_t count, void (*signal)(void *arg), void *arg);
/* `count` expected threads have ended and been joined. */
CRT_HIDDEN void crt_threads_joined(size_t count);
/* The calling thread, `self`, is expected and ends now: its very last act. */
CRT_HIDDEN void crt_threads_finish(uv_thread_t self);

#endif
