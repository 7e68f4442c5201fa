/*
 * Event loops: one thread each, in groups. An object lives on one loop; its state is touched only there,
 * other threads post tasks. Timers and deferred tasks are loop-thread only.
 */
#ifndef CRT_LOOP_H
#define CRT_LOOP_H

#include "crt/base.h"

CRT_EXTERN_C_BEGIN

typedef struct crt_loop crt_loop;
typedef struct crt_loop_group crt_loop_group;

/*
 * Intrusive work item. `run` is called once on the loop with status 0, or with
 * AWS_IO_EVENT_LOOP_SHUTDOWN when the loop ends first. The item may be freed or reused inside run.
 */
typedef struct crt_task {
    void (*run)(struct crt_task *task, int status);
    struct crt_task *next;
} crt_task;

#define CRT_CONTAINER(ptr, type, member) ((type *)(void *)((char *)(ptr) - offsetof(type, member)))

/* Hooks for the language binding; all optional. They run on the loop's thread. */
typedef struct crt_loop_hooks {
    void (*thread_started)(void *user, crt_loop *loop);
    void (*before_poll)(void *user, crt_loop *loop); /* once per iteration, after all events of the batch */
    void (*thread_ending)(void *user, crt_loop *loop);
    void (*group_gone)(void *user); /* after all threads ended; on the clean-up thread; last use of user */
    void *user;
} crt_loop_hooks;

typedef struct crt_loop_group_options {
    uint16_t threads;  /* 0: half of the usable processors (affinity and cgroup quota), at least 1 */
    int cpu_group;     /* NUMA node to stay on, or -1 */
    crt_loop_hooks hooks;
} crt_loop_group_options;

CRT_FN(int, crt_loop_group_new, (const crt_loop_group_options *options, crt_loop_group **out));
CRT_FN(crt_loop_group *, crt_loop_group_acquire, (crt_loop_group *group));
/* Never blocks: threads end after the last release, joined by a clean-up thread. */
CRT_FN(void, crt_loop_group_release, (crt_loop_group *group));
CRT_FN(size_t, crt_loop_group_size, (const crt_loop_group *group));
CRT_FN(crt_loop *, crt_loop_group_at, (const crt_loop_group *group, size_t index));
/* The less busy of two loops picked at random. */
CRT_FN(crt_loop *, crt_loop_group_pick, (crt_loop_group *group));

CRT_FN(bool, crt_loop_is_current, (const crt_loop *loop));
/* Any thread. Wakes the loop only when it sleeps. */
CRT_FN(void, crt_loop_post, (crt_loop *loop, crt_task *task));
/* Loop thread: runs after the present batch of events, before the loop sleeps. */
CRT_FN(void, crt_loop_defer, (crt_loop *loop, crt_task *task));
/* A slot per loop for the binding, set in thread_started. */
CRT_FN(void, crt_loop_set_user, (crt_loop *loop, void *user));
CRT_FN(void *, crt_loop_user, (const crt_loop *loop));
/* Monotonic clocks: cached per iteration, and exact. */
CRT_FN(uint64_t, crt_loop_now_ms, (const crt_loop *loop));
CRT_FN(uint64_t, crt_clock_ns, (void));
/* Objects bound to the loop; used by crt_loop_group_pick. */
CRT_FN(void, crt_loop_load, (crt_loop *loop, int change));

/* Intrusive one-shot timer; loop thread only; may be freed as soon as it is stopped or has fired. */
typedef struct crt_timer {
    crt_loop *loop;
    void (*fire)(struct crt_timer *timer);
    uint64_t due_ms;
    size_t heap_index; /* private; 0 = not armed */
} crt_timer;

static inline void crt_timer_init(crt_timer *t, crt_loop *loop, void (*fire)(crt_timer *)) {
    t->loop = loop;
    t->fire = fire;
    t->due_ms = 0;
    t->heap_index = 0;
}
/* Arms or re-arms. */
CRT_FN(void, crt_timer_start, (crt_timer *timer, uint64_t delay_ms));
CRT_FN(void, crt_timer_stop, (crt_timer *timer));

/* Waits until every thread of the runtime has ended and is joined; those of groups that are still held never do.
   timeout_ms < 0: for ever. True when none is left. */
CRT_FN(bool, crt_threads_join, (int64_t timeout_ms));

/* Usable processors: affinity mask and cgroup quota respected. */
CRT_FN(uint32_t, crt_cpu_count, (void));

/*
 * Forks: grows by one in each forked child. Objects remember the generation they were made in; in a child
 * an object of the parent must only be dropped, without touching its threads or sockets.
 */
CRT_FN(uint32_t, crt_fork_generation, (void));

CRT_EXTERN_C_END
#endif
