/*
 * One event loop. Each turn of libuv runs: timers, then (in `prepare`) posted and deferred tasks and the
 * binding's hook, then polling with its callbacks. So whatever I/O and tasks produced in a turn is gathered
 * before the loop sleeps.
 */
#include "crt/memory.h"
#include "crt/status.h"
#include "loop_struct.h"

enum { ROUNDS_PER_TURN = 8 }; /* tasks that make tasks; then I/O gets its chance */

static _Thread_local crt_loop *current;

/* ---- tasks ---- */

bool crt_loop_is_current(const crt_loop *loop) {
    return current == loop;
}

bool crt_loop_is_foreign(const crt_loop *loop) {
    return loop->generation != crt_fork_generation();
}

static void wake_if_asleep(crt_loop *loop) {
    if (!__atomic_load_n(&loop->sleeping, __ATOMIC_SEQ_CST) ||
        !__atomic_exchange_n(&loop->sleeping, 0, __ATOMIC_SEQ_CST)) {
        return;
    }
    if (!crt_loop_is_foreign(loop)) {
        uv_async_send(&loop->wake);
    }
}

void crt_loop_post(crt_loop *loop, crt_task *task) {
    task->next = __atomic_load_n(&loop->posted, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(&loop->posted, &task->next, task, true, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED)) {
    }
    if (!crt_loop_is_current(loop)) {
        wake_if_asleep(loop);
    }
}

void crt_loop_defer(crt_loop *loop, crt_task *task) {
    task->next = NULL;
    *loop->deferred_tail = task;
    loop->deferred_tail = &task->next;
}

static crt_task *take_posted(crt_loop *loop) {
    crt_task *task = __atomic_exchange_n(&loop->posted, NULL, __ATOMIC_SEQ_CST);
    crt_task *in_order = NULL;

    while (task) {
        crt_task *next = task->next;
        task->next = in_order;
        in_order = task;
        task = next;
    }
    return in_order;
}

static crt_task *take_deferred(crt_loop *loop) {
    crt_task *task = loop->deferred;

    loop->deferred = NULL;
    loop->deferred_tail = &loop->deferred;
    return task;
}

static size_t run_list(crt_task *task, int status) {
    size_t count = 0;

    while (task) {
        crt_task *next = task->next; /* run may free the task */
        task->run(task, status);
        task = next;
        count++;
    }
    return count;
}

static bool has_tasks(const crt_loop *loop) {
    return loop->deferred || __atomic_load_n(&loop->posted, __ATOMIC_SEQ_CST);
}

/* ---- the turn ---- */

static void before_poll(crt_loop *loop) {
    const crt_loop_hooks *hooks = &loop->group->hooks;

    if (hooks->before_poll) {
        hooks->before_poll(hooks->user, loop);
    }
}

static void on_idle(uv_idle_t *handle) {
    (void)handle;
}

static void on_wake(uv_async_t *handle) {
    (void)handle; /* the tasks run in on_prepare */
}

/* Any post from now on wakes the poll; one that came before is seen here. */
static void allow_sleep(crt_loop *loop) {
    crt_timers_arm(loop);
    if (!has_tasks(loop) && !crt_spin_goes_on(&loop->spin, uv_hrtime())) {
        __atomic_store_n(&loop->sleeping, 1, __ATOMIC_SEQ_CST);
        if (!has_tasks(loop) && !__atomic_load_n(&loop->stop, __ATOMIC_SEQ_CST)) {
            uv_idle_stop(&loop->idle);
            return;
        }
        __atomic_store_n(&loop->sleeping, 0, __ATOMIC_SEQ_CST);
    }
    uv_idle_start(&loop->idle, on_idle);
}

static void on_prepare(uv_prepare_t *handle) {
    crt_loop *loop = handle->data;
    bool stop = false;
    int round;

    for (round = 0; round < ROUNDS_PER_TURN && !stop && (round == 0 || has_tasks(loop)); round++) {
        /* Looked at first: tasks posted before the last release still run as usual. */
        stop = __atomic_load_n(&loop->stop, __ATOMIC_SEQ_CST) != CRT_LOOP_RUNNING;
        loop->spin.events += (uint32_t)run_list(take_posted(loop), 0);
        loop->spin.events += (uint32_t)run_list(take_deferred(loop), 0);
    }
    before_poll(loop);
    if (stop) {
        uv_stop(&loop->uv);
    } else {
        allow_sleep(loop);
    }
}

static void on_check(uv_check_t *handle) {
    crt_loop *loop = handle->data;

    __atomic_store_n(&loop->sleeping, 0, __ATOMIC_SEQ_CST);
}

/* ---- begin and end ---- */

int crt_loop_init(crt_loop *loop) {
    loop->deferred_tail = &loop->deferred;
    loop->uv_due_ms = UINT64_MAX;
    loop->generation = crt_fork_generation();
    if (uv_loop_init(&loop->uv) != 0) {
        return AWS_ERROR_SYS_CALL_FAILURE;
    }
    if (uv_async_init(&loop->uv, &loop->wake, on_wake) != 0) {
        uv_loop_close(&loop->uv);
        return AWS_ERROR_SYS_CALL_FAILURE;
    }
    uv_prepare_init(&loop->uv, &loop->prepare);
    uv_check_init(&loop->uv, &loop->check);
    uv_idle_init(&loop->uv, &loop->idle);
    uv_timer_init(&loop->uv, &loop->timer);
    loop->prepare.data = loop->check.data = loop->timer.data = loop;
    return 0;
}

static void close_own_handles(crt_loop *loop) {
    uv_close((uv_handle_t *)&loop->wake, NULL);
    uv_close((uv_handle_t *)&loop->prepare, NULL);
    uv_close((uv_handle_t *)&loop->check, NULL);
    uv_close((uv_handle_t *)&loop->idle, NULL);
    uv_close((uv_handle_t *)&loop->timer, NULL);
}

void crt_loop_discard(crt_loop *loop) {
    close_own_handles(loop);
    uv_run(&loop->uv, UV_RUN_DEFAULT);
    uv_loop_close(&loop->uv);
}

/* Ends what is attached and every task; their ends may bring forth more. */
static void wind_down(crt_loop *loop) {
    do {
        while (loop->attachments) {
            crt_attachment *attachment = loop->attachments;
            crt_loop_detach(attachment);
            attachment->on_shutdown(attachment);
        }
        run_list(take_posted(loop), AWS_IO_EVENT_LOOP_SHUTDOWN);
        run_list(take_deferred(loop), AWS_IO_EVENT_LOOP_SHUTDOWN);
        before_poll(loop);
    } while (loop->attachments || has_tasks(loop));
}

void crt_loop_run(crt_loop *loop) {
    const crt_loop_hooks *hooks = &loop->group->hooks;

    current = loop;
    if (hooks->thread_started) {
        hooks->thread_started(hooks->user, loop);
    }
    uv_prepare_start(&loop->prepare, on_prepare);
    uv_check_start(&loop->check, on_check);
    uv_run(&loop->uv, UV_RUN_DEFAULT);

    /* Whoever told us to stop may still be about to wake us. */
    crt_threads_lock();
    __atomic_store_n(&loop->stop, CRT_LOOP_ENDING, __ATOMIC_SEQ_CST);
    crt_threads_unlock();

    crt_timers_drop(loop);
    wind_down(loop);
    close_own_handles(loop);
    uv_run(&loop->uv, UV_RUN_DEFAULT); /* until the sockets are closed as well */
    wind_down(loop);
    if (hooks->thread_ending) {
        hooks->thread_ending(hooks->user, loop);
    }
    uv_loop_close(&loop->uv);
    current = NULL;
}

void crt_loop_signal_stop(crt_loop *loop) {
    __atomic_store_n(&loop->stop, CRT_LOOP_STOPPING, __ATOMIC_SEQ_CST);
    if (!crt_loop_is_current(loop)) {
        wake_if_asleep(loop);
    }
}

/* ---- small things ---- */

uv_loop_t *crt_loop_uv(crt_loop *loop) {
    return &loop->uv;
}

void crt_loop_note_io(crt_loop *loop, size_t bytes) {
    loop->spin.events++;
    loop->spin.bytes += bytes;
}

void crt_loop_attach(crt_loop *loop, crt_attachment *attachment) {
    attachment->next = loop->attachments;
    attachment->link = &loop->attachments;
    if (attachment->next) {
        attachment->next->link = &attachment->next;
    }
    loop->attachments = attachment;
}

void crt_loop_detach(crt_attachment *attachment) {
    if (!attachment->link) {
        return;
    }
    *attachment->link = attachment->next;
    if (attachment->next) {
        attachment->next->link = attachment->link;
    }
    attachment->link = NULL;
}

void crt_loop_set_user(crt_loop *loop, void *user) {
    loop->user = user;
}

void *crt_loop_user(const crt_loop *loop) {
    return loop->user;
}

uint64_t crt_loop_now_ms(const crt_loop *loop) {
    return uv_now(&loop->uv);
}

uint64_t crt_clock_ns(void) {
    return uv_hrtime();
}

void crt_loop_load(crt_loop *loop, int change) {
    __atomic_fetch_add(&loop->load, change, __ATOMIC_RELAXED);
}
