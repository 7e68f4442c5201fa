/*
 * What the tests of loops and streams share. cmocka's assertions jump out of the test function, so they are used
 * on the test's thread only: callbacks record what they saw.
 */
#ifndef CRT_TESTS_SUPPORT_H
#define CRT_TESTS_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "crt/loop.h"
#include "crt/memory.h"
#include "crt/status.h"

enum { TEST_DEADLINE_S = 20 }; /* reached only by a test that fails */

#if defined(__SANITIZE_THREAD__)
/* Children of the tests' forks start threads, which this sanitizer refuses unless told otherwise. */
const char *__tsan_default_options(void);
const char *__tsan_default_options(void) {
    return "die_after_fork=0";
}
#endif

/* ---- latch: counts up; waited for by the test ---- */

typedef struct latch {
    uv_mutex_t lock;
    uv_cond_t changed;
    size_t count;
} latch;

static inline void latch_init(latch *l) {
    uv_mutex_init(&l->lock);
    uv_cond_init(&l->changed);
    l->count = 0;
}

static inline void latch_destroy(latch *l) {
    uv_cond_destroy(&l->changed);
    uv_mutex_destroy(&l->lock);
}

static inline void latch_add(latch *l, size_t n) {
    uv_mutex_lock(&l->lock);
    l->count += n;
    uv_cond_broadcast(&l->changed);
    uv_mutex_unlock(&l->lock);
}

static inline size_t latch_count(latch *l) {
    size_t count;
    uv_mutex_lock(&l->lock);
    count = l->count;
    uv_mutex_unlock(&l->lock);
    return count;
}

static inline bool latch_reaches(latch *l, size_t target) {
    bool reached;
    uv_mutex_lock(&l->lock);
    while (l->count < target) {
        if (uv_cond_timedwait(&l->changed, &l->lock, (uint64_t)TEST_DEADLINE_S * 1000000000u) != 0) {
            break;
        }
    }
    reached = l->count >= target;
    uv_mutex_unlock(&l->lock);
    return reached;
}

#define latch_wait(l, target) assert_true(latch_reaches((l), (target)))

/* ---- loops ---- */

static inline crt_loop_group *group_new(uint16_t threads) {
    crt_loop_group_options options = {.threads = threads, .cpu_group = -1};
    crt_loop_group *group = NULL;
    assert_int_equal(crt_loop_group_new(&options, &group), 0);
    return group;
}

/* Releases the group and waits until its threads are joined. */
static inline void group_end(crt_loop_group *group) {
    crt_loop_group_release(group);
    assert_true(crt_threads_join(TEST_DEADLINE_S * 1000));
}

/* Runs fn(arg) on the loop and waits for it. */
typedef struct loop_call {
    crt_task task;
    void (*fn)(void *arg);
    void *arg;
    int status;
    latch done;
} loop_call;

static inline void loop_call_run(crt_task *task, int status) {
    loop_call *call = CRT_CONTAINER(task, loop_call, task);
    call->status = status;
    if (status == 0) {
        call->fn(call->arg);
    }
    latch_add(&call->done, 1);
}

static inline void on_loop(crt_loop *loop, void (*fn)(void *arg), void *arg) {
    loop_call call = {.task = {.run = loop_call_run}, .fn = fn, .arg = arg};
    latch_init(&call.done);
    crt_loop_post(loop, &call.task);
    latch_wait(&call.done, 1);
    assert_int_equal(call.status, 0);
    latch_destroy(&call.done);
}

/* ---- leaks: a test ends with as many live blocks as it began with ---- */

static inline int leak_check_begin(void **state) {
    static size_t before;
    before = crt_memory_live();
    *state = &before;
    return 0;
}

static inline int leak_check_end(void **state) {
    size_t before = *(size_t *)*state;
    if (!crt_threads_join(TEST_DEADLINE_S * 1000)) {
        print_error("threads are still running\n");
        return -1;
    }
    if (crt_memory_live() != before) {
        print_error("%zu blocks leaked\n", crt_memory_live() - before);
        return -1;
    }
    return 0;
}

#define leak_checked(test) cmocka_unit_test_setup_teardown(test, leak_check_begin, leak_check_end)

#endif
