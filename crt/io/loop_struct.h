/* The inside of a loop and its group, for loop.c, loop_group.c and timer.c. */
#ifndef CRT_IO_LOOP_STRUCT_H
#define CRT_IO_LOOP_STRUCT_H

#include "../common/internal.h"
#include "loop_internal.h"
#include "spin.h"

enum { CRT_LOOP_RUNNING = 0, CRT_LOOP_STOPPING = 1, CRT_LOOP_ENDING = 2 };

struct crt_loop {
    uv_loop_t uv;
    uv_async_t wake;
    uv_prepare_t prepare;
    uv_check_t check;
    uv_idle_t idle; /* active while work is left over: polling must not sleep then */
    uv_timer_t timer;

    /* Shared with other threads; atomic. */
    crt_task *posted; /* latest first */
    int sleeping;
    int stop; /* CRT_LOOP_... */
    int load;

    crt_task *deferred;
    crt_task **deferred_tail;
    crt_attachment *attachments;

    crt_timer **heap; /* slot 0 unused, so that index 0 can mean "not armed" */
    size_t heap_count;
    size_t heap_capacity;
    uint64_t uv_due_ms; /* what `timer` is set to; UINT64_MAX: nothing */

    crt_spin spin;

    void *user;
    crt_loop_group *group;
    size_t index;
    uint32_t generation;
    uv_thread_t thread;
    bool started;
    int cpu; /* to pin the thread to, or -1 */
};

struct crt_loop_group {
    crt_refcount refs;
    uint32_t generation;
    crt_loop_hooks hooks;
    size_t size;
    crt_loop *loops[];
};

/* loop.c */
CRT_HIDDEN int crt_loop_init(crt_loop *loop);
CRT_HIDDEN void crt_loop_run(crt_loop *loop);         /* until told to stop; ends with everything closed */
CRT_HIDDEN void crt_loop_discard(crt_loop *loop);     /* instead of running it */
CRT_HIDDEN void crt_loop_signal_stop(crt_loop *loop); /* under crt_threads_lock */

/* timer.c */
CRT_HIDDEN void crt_timers_fire(uv_timer_t *handle);
CRT_HIDDEN void crt_timers_arm(crt_loop *loop); /* sets the one libuv timer to the earliest of ours */
CRT_HIDDEN void crt_timers_drop(crt_loop *loop);

#endif
