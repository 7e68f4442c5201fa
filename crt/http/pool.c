/* The pool's own life: lock, lives, the timer, statistics. */
#include "crt/memory.h"
#include "pool_internal.h"

enum {
    CONNECTIONS_PER_ORIGIN = 10,
    STREAMS_PER_CONNECTION = 100, /* the least that peers should allow (RFC 9113 section 6.5.2) */
    WAITING_PER_ORIGIN = 10000,
    IDLE_MS = 60000,
};

uint64_t crt_pool_now_ms(void) {
    return crt_clock_ns() / 1000000u;
}

void crt_pool_lock(crt_http_pool *pool) {
    pthread_mutex_lock(&pool->lock);
}

void crt_pool_unlock(crt_http_pool *pool, crt_pool_work *work) {
    pthread_mutex_unlock(&pool->lock);
    while (work->open) {
        crt_pool_conn *conn = work->open;
        work->open = conn->work_next;
        crt_pool_conn_open(conn);
    }
    while (work->start) {
        crt_http_pool_request *request = work->start;
        work->start = request->work_next;
        crt_pool_request_start(request);
    }
}

/* ---- lives ---- */

void crt_pool_life_add(crt_http_pool *pool) {
    crt_ref_inc(&pool->lives);
}

static void run_final(crt_task *task, int status) {
    crt_http_pool *pool = CRT_CONTAINER(task, crt_http_pool, final_task);
    crt_loop_group *group = pool->options.group;
    if (pool->options.on_closed) {
        pool->options.on_closed(pool->options.user);
    }
    crt_resolver_release(pool->options.resolver);
    pthread_mutex_destroy(&pool->lock);
    crt_free(pool);
    crt_loop_group_release(group);
}

void crt_pool_life_drop(crt_http_pool *pool) {
    if (crt_ref_dec(&pool->lives)) {
        crt_loop_post(pool->loop, &pool->final_task);
    }
}

/* ---- the timer ---- */

static uint64_t sooner(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

void crt_pool_note_due(crt_http_pool *pool, uint64_t due_ms) {
    if (due_ms >= pool->timer_due_ms) {
        return;
    }
    pool->timer_due_ms = due_ms;
    if (!pool->timer_posted) {
        pool->timer_posted = true;
        crt_pool_life_add(pool);
        crt_loop_post(pool->loop, &pool->timer_task);
    }
}

/* The armed timer holds a life, which it gets from the task that arms it first. */
static void run_timer_task(crt_task *task, int status) {
    crt_http_pool *pool = CRT_CONTAINER(task, crt_http_pool, timer_task);
    crt_pool_lock(pool);
    const bool was_armed = pool->timer.heap_index != 0;
    const uint64_t now = crt_pool_now_ms(), due = pool->timer_due_ms;
    const bool wanted = due != UINT64_MAX; /* else it fired meanwhile */
    pool->timer_posted = false;
    if (wanted) {
        crt_timer_start(&pool->timer, due > now ? due - now : 0);
    }
    pthread_mutex_unlock(&pool->lock);
    if (was_armed || !wanted) {
        crt_pool_life_drop(pool);
    }
}

static void fail_late(crt_http_pool_request *request, uint64_t now) {
    const uint32_t total = request->timeouts.total_ms;
    const char *host = request->origin->target.host;
    crt_fault fault;
    if (total && now >= request->began_ms + total) {
        crt_fail(&fault, AWS_IO_SOCKET_TIMEOUT, "%s: not complete after %u ms, while a connection was awaited", host,
                 (unsigned)total);
    } else {
        crt_fail(&fault, AWS_ERROR_HTTP_CONNECTION_MANAGER_ACQUISITION_TIMEOUT, "%s: no connection after %u ms", host,
                 (unsigned)request->pool->options.acquire_ms);
    }
    crt_pool_request_leave(request);
    crt_pool_request_fail(request, &fault);
}

static uint64_t sweep_waiting(crt_pool_origin *origin, uint64_t now) {
    uint64_t due = UINT64_MAX;
    for (crt_http_pool_request *r = origin->waiting_head, *next; r; r = next) {
        next = r->next;
        if (r->deadline_ms <= now) {
            fail_late(r, now);
        } else {
            due = sooner(due, r->deadline_ms);
        }
    }
    return due;
}

static uint64_t sweep_idle(crt_http_pool *pool, crt_pool_origin *origin, uint64_t now) {
    uint64_t due = UINT64_MAX;
    for (crt_pool_conn *c = origin->free_conns, *next; c; c = next) {
        next = c->free_next;
        if (c->active > 0) {
            continue;
        }
        uint64_t end = c->idle_since_ms + pool->options.idle_ms;
        if (pool->options.max_age_ms) {
            end = sooner(end, c->made_ms + pool->options.max_age_ms);
        }
        if (end <= now) {
            pool->stats.culled++;
            crt_pool_conn_retire(c);
        } else {
            due = sooner(due, end);
        }
    }
    return due;
}

static void on_timer(crt_timer *timer) {
    crt_http_pool *pool = CRT_CONTAINER(timer, crt_http_pool, timer);
    crt_pool_work work = CRT_POOL_WORK_INIT;
    const uint64_t now = crt_pool_now_ms();
    /* Connections are looked at in groups: nobody needs them closed to the millisecond. */
    const uint64_t next_look = now + pool->options.idle_ms / 8 + 1;
    uint64_t due = UINT64_MAX, idle_due = UINT64_MAX;
    crt_pool_lock(pool);
    pool->timer_due_ms = UINT64_MAX;
    for (size_t i = 0; i < CRT_POOL_BUCKETS; i++) {
        for (crt_pool_origin *origin = pool->origins[i], *next; origin; origin = next) {
            next = origin->next;
            due = sooner(due, sweep_waiting(origin, now));
            idle_due = sooner(idle_due, sweep_idle(pool, origin, now));
            crt_pool_origin_drop_unused(pool, origin);
        }
    }
    if (idle_due != UINT64_MAX) {
        due = sooner(due, idle_due > next_look ? idle_due : next_look);
    }
    crt_pool_note_due(pool, due);
    crt_pool_unlock(pool, &work);
    crt_pool_life_drop(pool);
}

/* ---- public ---- */

static uint32_t or_default(uint32_t given, uint32_t standard) {
    return given ? given : standard;
}

int crt_http_pool_new(const crt_http_pool_options *options, crt_http_pool **out) {
    *out = NULL;
    crt_http_pool *pool = crt_calloc(1, sizeof(*pool));
    if (!pool) {
        return AWS_ERROR_OOM;
    }
    if (pthread_mutex_init(&pool->lock, NULL)) {
        crt_free(pool);
        return AWS_ERROR_OOM;
    }
    crt_ref_init(&pool->lives);
    pool->options = *options;
    pool->options.max_connections_per_origin = or_default(options->max_connections_per_origin, CONNECTIONS_PER_ORIGIN);
    pool->options.max_streams = or_default(options->max_streams, STREAMS_PER_CONNECTION);
    pool->options.max_waiting = or_default(options->max_waiting, WAITING_PER_ORIGIN);
    pool->options.idle_ms = or_default(options->idle_ms, IDLE_MS);
    crt_loop_group_acquire(options->group);
    crt_resolver_acquire(options->resolver);
    pool->generation = crt_fork_generation();
    pool->loop = crt_loop_group_pick(options->group);
    pool->timer_due_ms = UINT64_MAX;
    pool->timer_task.run = run_timer_task;
    pool->final_task.run = run_final;
    crt_timer_init(&pool->timer, pool->loop, on_timer);
    *out = pool;
    return 0;
}

static void end_waiting(crt_pool_origin *origin) {
    crt_fault fault;
    crt_fail(&fault, AWS_ERROR_HTTP_CONNECTION_MANAGER_SHUTTING_DOWN, "%s: the pool was closed", origin->target.host);
    while (origin->waiting_head) {
        crt_http_pool_request *request = origin->waiting_head;
        crt_pool_request_leave(request);
        crt_pool_request_fail(request, &fault);
    }
}

void crt_http_pool_release(crt_http_pool *pool) {
    if (!pool || pool->generation != crt_fork_generation()) {
        return; /* its threads are in the parent of the fork */
    }
    crt_pool_lock(pool);
    pool->closed = true;
    for (size_t i = 0; i < CRT_POOL_BUCKETS; i++) {
        for (crt_pool_origin *origin = pool->origins[i], *next; origin; origin = next) {
            next = origin->next;
            end_waiting(origin);
            while (origin->free_conns) {
                crt_pool_conn_retire(origin->free_conns);
            }
            crt_pool_origin_drop_unused(pool, origin);
        }
    }
    if (pool->timer_due_ms != UINT64_MAX) {
        crt_pool_note_due(pool, 0); /* it finds nothing to do, and lets go of the pool */
    }
    pthread_mutex_unlock(&pool->lock);
    crt_pool_life_drop(pool);
}

void crt_http_pool_stats_get(crt_http_pool *pool, crt_http_pool_stats *out) {
    memset(out, 0, sizeof(*out));
    if (pool->generation != crt_fork_generation()) {
        return;
    }
    crt_pool_lock(pool);
    *out = pool->stats;
    pthread_mutex_unlock(&pool->lock);
}
