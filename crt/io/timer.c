/* One-shot timers: a binary heap per loop over a single libuv timer. */
#include "crt/log.h"
#include "crt/memory.h"
#include "loop_struct.h"

static void place(crt_loop *loop, size_t index, crt_timer *timer) {
    loop->heap[index] = timer;
    timer->heap_index = index;
}

static void sift_up(crt_loop *loop, size_t index, crt_timer *timer) {
    while (index > 1 && loop->heap[index / 2]->due_ms > timer->due_ms) {
        place(loop, index, loop->heap[index / 2]);
        index /= 2;
    }
    place(loop, index, timer);
}

static void sift_down(crt_loop *loop, size_t index, crt_timer *timer) {
    for (;;) {
        size_t child = index * 2;
        if (child > loop->heap_count) {
            break;
        }
        if (child < loop->heap_count && loop->heap[child + 1]->due_ms < loop->heap[child]->due_ms) {
            child++;
        }
        if (loop->heap[child]->due_ms >= timer->due_ms) {
            break;
        }
        place(loop, index, loop->heap[child]);
        index = child;
    }
    place(loop, index, timer);
}

/* Puts a timer whose due time changed, or that fills a gap, where it belongs. */
static void settle(crt_loop *loop, size_t index, crt_timer *timer) {
    if (index > 1 && loop->heap[index / 2]->due_ms > timer->due_ms) {
        sift_up(loop, index, timer);
    } else {
        sift_down(loop, index, timer);
    }
}

static bool make_room(crt_loop *loop) {
    size_t capacity = loop->heap_capacity * 2 > 64 ? loop->heap_capacity * 2 : 64;
    crt_timer **heap;

    if (loop->heap_count + 1 < loop->heap_capacity) {
        return true;
    }
    heap = crt_realloc(loop->heap, capacity * sizeof(*heap));
    if (!heap) {
        return false;
    }
    loop->heap = heap;
    loop->heap_capacity = capacity;
    return true;
}

void crt_timer_start(crt_timer *timer, uint64_t delay_ms) {
    crt_loop *loop = timer->loop;
    uint64_t now = uv_now(&loop->uv);

    timer->due_ms = delay_ms < UINT64_MAX - now ? now + delay_ms : UINT64_MAX;
    if (timer->heap_index) {
        settle(loop, timer->heap_index, timer);
        return;
    }
    if (__atomic_load_n(&loop->stop, __ATOMIC_RELAXED) == CRT_LOOP_ENDING) {
        return; /* the loop takes itself apart: timers no longer fire */
    }
    if (!make_room(loop)) {
        CRT_LOG(CRT_LOG_FATAL, CRT_LS_EVENT_LOOP, "no memory for a timer of %llu ms: it will not fire",
                (unsigned long long)delay_ms);
        return;
    }
    loop->heap_count++;
    sift_up(loop, loop->heap_count, timer);
}

void crt_timer_stop(crt_timer *timer) {
    crt_loop *loop = timer->loop;
    size_t index = timer->heap_index;
    crt_timer *last;

    if (!index) {
        return;
    }
    timer->heap_index = 0;
    last = loop->heap[loop->heap_count--];
    if (last != timer) {
        settle(loop, index, last);
    }
}

void crt_timers_fire(uv_timer_t *handle) {
    crt_loop *loop = handle->data;
    uint64_t now = uv_now(&loop->uv);
    size_t most = loop->heap_count; /* a timer that re-arms itself with 0 must not keep the loop here */

    loop->uv_due_ms = UINT64_MAX;
    while (most-- > 0 && loop->heap_count > 0 && loop->heap[1]->due_ms <= now) {
        crt_timer *timer = loop->heap[1];
        crt_timer_stop(timer);
        timer->fire(timer);
    }
}

void crt_timers_arm(crt_loop *loop) {
    uint64_t due = loop->heap_count ? loop->heap[1]->due_ms : UINT64_MAX;
    uint64_t now = uv_now(&loop->uv);

    /* Too early is harmless, and cheaper than moving the libuv timer with each of ours that is stopped. */
    if (due >= loop->uv_due_ms) {
        return;
    }
    loop->uv_due_ms = due;
    uv_timer_start(&loop->timer, crt_timers_fire, due > now ? due - now : 0, 0);
}

void crt_timers_drop(crt_loop *loop) {
    size_t i;

    for (i = 1; i <= loop->heap_count; i++) {
        loop->heap[i]->heap_index = 0;
    }
    loop->heap_count = 0;
    loop->heap_capacity = 0;
    crt_free(loop->heap);
    loop->heap = NULL;
}
