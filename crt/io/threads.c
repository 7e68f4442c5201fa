/*
 * Which threads of the runtime have not ended yet. A thread that nobody waits for cannot join itself: it leaves
 * its handle here, and the next thread to end, or crt_threads_join, joins it.
 */
#include "../common/internal.h"
#include "loop_internal.h"

static const uint64_t LONGEST_MS = (uint64_t)100 * 365 * 86400 * 1000; /* for ever; fits nanoseconds in 64 bits */

static struct {
    uv_mutex_t lock;
    uv_cond_t changed;
    size_t expected;
    bool has_last;
    uv_thread_t last; /* has ended or is about to; to be joined */
} threads;

static uv_once_t once = UV_ONCE_INIT;

static void lock_before_fork(void) {
    uv_mutex_lock(&threads.lock);
}

static void unlock_in_parent(void) {
    uv_mutex_unlock(&threads.lock);
}

static void reset_in_child(void) {
    uv_cond_init(&threads.changed);
    threads.expected = 0;
    threads.has_last = false;
    uv_mutex_unlock(&threads.lock);
}

static crt_fork_hook fork_hook = {lock_before_fork, unlock_in_parent, reset_in_child, NULL};

static void init(void) {
    uv_mutex_init(&threads.lock);
    uv_cond_init(&threads.changed);
    crt_fork_watch(&fork_hook);
}

void crt_threads_lock(void) {
    uv_once(&once, init);
    uv_mutex_lock(&threads.lock);
}

void crt_threads_unlock(void) {
    uv_mutex_unlock(&threads.lock);
}

void crt_threads_expect(size_t count) {
    crt_threads_lock();
    threads.expected += count;
    crt_threads_unlock();
}

void crt_threads_joined(size_t count) {
    crt_threads_lock();
    threads.expected -= count;
    uv_cond_broadcast(&threads.changed);
    crt_threads_unlock();
}

/* Lock held; returns with the lock held and nothing left to join. */
static void join_last(void) {
    while (threads.has_last) {
        uv_thread_t last = threads.last;
        threads.has_last = false;
        crt_threads_unlock();
        uv_thread_join(&last);
        crt_threads_lock();
    }
}

void crt_threads_finish(void) {
    crt_threads_lock();
    join_last();
    threads.last = uv_thread_self();
    threads.has_last = true;
    threads.expected--;
    uv_cond_broadcast(&threads.changed);
    crt_threads_unlock();
}

bool crt_threads_join(int64_t timeout_ms) {
    uint64_t limit_ms = timeout_ms < 0 || (uint64_t)timeout_ms > LONGEST_MS ? LONGEST_MS : (uint64_t)timeout_ms;
    uint64_t deadline = crt_clock_ns() + limit_ms * 1000000u;
    bool done;

    crt_threads_lock();
    while (threads.expected > 0) {
        uint64_t now = crt_clock_ns();
        if (now >= deadline) {
            break;
        }
        uv_cond_timedwait(&threads.changed, &threads.lock, deadline - now);
    }
    done = threads.expected == 0;
    if (done) {
        join_last();
    }
    crt_threads_unlock();
    return done;
}
