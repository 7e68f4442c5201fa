/*
 * What sockets and the resolver need of a loop beyond crt/loop.h.
 */
#ifndef CRT_IO_LOOP_INTERNAL_H
#define CRT_IO_LOOP_INTERNAL_H

#include <uv.h>

#include "crt/loop.h"

/* The libuv loop below; loop thread only. */
CRT_HIDDEN uv_loop_t *crt_loop_uv(crt_loop *loop);

/* The loop belongs to the process that forked this one: its descriptors are shared and must not be touched. */
CRT_HIDDEN bool crt_loop_is_foreign(const crt_loop *loop);

/* Bytes have been received; loop thread only. */
CRT_HIDDEN void crt_loop_note_io(crt_loop *loop, size_t bytes);

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

/* `count` more threads will end by themselves. */
CRT_HIDDEN void crt_threads_expect(size_t count);
/* `count` expected threads have ended and been joined. */
CRT_HIDDEN void crt_threads_joined(size_t count);
/* The calling thread is expected and ends now: its very last act. */
CRT_HIDDEN void crt_threads_finish(void);
/*
 * Waking a loop for the last time races with that loop freeing itself. So the wake-up happens under this lock,
 * and a loop takes it once between noticing the stop and taking itself apart.
 */
CRT_HIDDEN void crt_threads_lock(void);
CRT_HIDDEN void crt_threads_unlock(void);

#endif
