/* Connections of the pool: opened, lent by slots, retired, gone. */
#include "crt/memory.h"
#include "pool_internal.h"

/* ---- the list of those with room ---- */

static void leave_free(crt_pool_conn *conn) {
    if (!conn->is_free) {
        return;
    }
    conn->is_free = false;
    if (conn->active == 0) {
        conn->pool->stats.idle--;
    }
    *(conn->free_prev ? &conn->free_prev->free_next : &conn->origin->free_conns) = conn->free_next;
    if (conn->free_next) {
        conn->free_next->free_prev = conn->free_prev;
    }
    conn->free_prev = conn->free_next = NULL;
}

/* The one used last is used next: the others grow old and go. */
static void enter_free(crt_pool_conn *conn) {
    crt_pool_origin *origin = conn->origin;
    conn->is_free = true;
    if (conn->active == 0) {
        conn->pool->stats.idle++;
    }
    conn->free_next = origin->free_conns;
    if (origin->free_conns) {
        origin->free_conns->free_prev = conn;
    }
    origin->free_conns = conn;
}

static bool is_old(const crt_pool_conn *conn, uint64_t now) {
    const uint32_t age = conn->pool->options.max_age_ms;
    return age && now - conn->made_ms >= age;
}

/* ---- life ---- */

crt_pool_conn *crt_pool_conn_new(crt_http_pool *pool, crt_pool_origin *origin) {
    crt_pool_conn *conn = crt_calloc(1, sizeof(*conn));
    if (!conn) {
        return NULL;
    }
    crt_pool_life_add(pool);
    conn->pool = pool;
    conn->origin = origin;
    conn->loop = origin->target.loop ? origin->target.loop : crt_loop_group_pick(pool->options.group);
    conn->made_ms = crt_pool_now_ms();
    conn->next = origin->conns;
    if (origin->conns) {
        origin->conns->prev = conn;
    }
    origin->conns = conn;
    origin->conn_count++;
    origin->connecting++;
    pool->stats.connections++;
    pool->stats.connecting++;
    pool->stats.opened++;
    return conn;
}

/* Its socket counts no more. */
static void uncount(crt_pool_conn *conn) {
    conn->gone = true;
    conn->origin->conn_count--;
    conn->pool->stats.connections--;
}

/* Unlinks what nobody uses any more; the caller frees it with conn_free. */
static void unlink_conn(crt_pool_conn *conn) {
    crt_pool_origin *origin = conn->origin;
    *(conn->prev ? &conn->prev->next : &origin->conns) = conn->next;
    if (conn->next) {
        conn->next->prev = conn->prev;
    }
}

static void conn_free(crt_pool_conn *conn) {
    crt_http_pool *pool = conn->pool;
    crt_http_conn_release(conn->http);
    crt_free(conn);
    crt_pool_life_drop(pool);
}

void crt_pool_conn_retire(crt_pool_conn *conn) {
    leave_free(conn);
    if (!conn->retired) {
        conn->retired = true;
        conn->pool->retiring++;
    }
    if (conn->active == 0 && !conn->gone) {
        crt_http_conn_close(conn->http);
    }
}

/* ---- slots ---- */

crt_pool_conn *crt_pool_conn_find(crt_pool_origin *origin, bool fresh) {
    const uint64_t now = crt_pool_now_ms();
    for (crt_pool_conn *conn = origin->free_conns, *next; conn; conn = next) {
        next = conn->free_next;
        if (!crt_http_conn_is_open(conn->http) || is_old(conn, now)) {
            crt_pool_conn_retire(conn);
        } else if (!fresh || conn->served == 0) {
            return conn;
        }
    }
    return NULL;
}

void crt_pool_conn_take_slot(crt_pool_conn *conn) {
    leave_free(conn);
    conn->active++;
    conn->served++;
    conn->pool->stats.active++;
    if (conn->active < conn->slots) {
        enter_free(conn);
    }
}

static void back_to_work(crt_pool_conn *conn, uint64_t now) {
    if (conn->active == 0) {
        conn->idle_since_ms = now;
        crt_pool_note_due(conn->pool, now + conn->pool->options.idle_ms);
    }
    if (conn->active < conn->slots) {
        enter_free(conn);
    }
}

void crt_pool_conn_give_slot(crt_pool_conn *conn, bool failed, crt_pool_work *work) {
    crt_http_pool *pool = conn->pool;
    crt_pool_origin *origin = conn->origin;
    const uint64_t now = crt_pool_now_ms();
    leave_free(conn);
    conn->active--;
    pool->stats.active--;
    if (failed || conn->retired || pool->closed || is_old(conn, now) || !crt_http_conn_is_open(conn->http)) {
        crt_pool_conn_retire(conn);
    } else {
        back_to_work(conn, now);
    }
    crt_pool_plan(pool, origin, work);
    if (pool->starved) {
        crt_pool_plan_all(pool, work); /* what is idle now may make room for others */
    }
    if (conn->gone && conn->active == 0) {
        unlink_conn(conn);
        crt_pool_origin_drop_unused(pool, origin);
        conn_free(conn);
    }
}

/* ---- on the connection's loop ---- */

/* Those who waited when the attempt began, as many as it was made for. */
static void fail_those_it_was_for(const crt_pool_conn *conn, const crt_fault *fault) {
    crt_pool_origin *origin = conn->origin;
    uint32_t left = crt_pool_capacity(conn->pool, origin);
    while (left-- > 0 && origin->waiting_head && origin->waiting_head->began_ms <= conn->made_ms) {
        crt_http_pool_request *request = origin->waiting_head;
        crt_pool_request_leave(request);
        crt_pool_request_fail(request, fault);
    }
}

static void connect_failed(crt_pool_conn *conn, const crt_fault *fault, crt_pool_work *work) {
    crt_http_pool *pool = conn->pool;
    crt_pool_origin *origin = conn->origin;
    pool->stats.connect_failures++;
    uncount(conn);
    fail_those_it_was_for(conn, fault);
    crt_pool_plan(pool, origin, work);
    if (pool->starved) {
        crt_pool_plan_all(pool, work);
    }
    unlink_conn(conn);
    crt_pool_origin_drop_unused(pool, origin);
}

static void connected(crt_pool_conn *conn, crt_http_conn *http, crt_pool_work *work) {
    crt_http_pool *pool = conn->pool;
    conn->http = http;
    conn->origin->speaks = crt_http_conn_version(http);
    conn->slots = 1;
    if (conn->origin->speaks == CRT_HTTP_2) {
        conn->settling = true;
        conn->origin->settling++;
    }
    if (pool->closed) {
        crt_pool_conn_retire(conn);
        return;
    }
    back_to_work(conn, crt_pool_now_ms());
    crt_pool_plan(pool, conn->origin, work);
}

static void on_connected(void *user, const crt_fault *fault, crt_http_conn *http) {
    crt_pool_conn *conn = user;
    crt_http_pool *pool = conn->pool;
    crt_pool_work work = CRT_POOL_WORK_INIT;
    crt_pool_lock(pool);
    conn->origin->connecting--;
    pool->stats.connecting--;
    const bool failed = fault->code != 0;
    if (failed) {
        connect_failed(conn, fault, &work);
    } else {
        connected(conn, http, &work);
    }
    crt_pool_unlock(pool, &work);
    if (failed) {
        conn_free(conn);
    }
}

static void settle(crt_pool_conn *conn) {
    if (conn->settling) {
        conn->settling = false;
        conn->origin->settling--;
        conn->slots = conn->pool->options.max_streams;
    }
}

static void on_shutdown(void *user, const crt_fault *fault) {
    crt_pool_conn *conn = user;
    crt_http_pool *pool = conn->pool;
    crt_pool_origin *origin = conn->origin;
    crt_pool_work work = CRT_POOL_WORK_INIT;
    crt_pool_lock(pool);
    leave_free(conn);
    settle(conn);
    if (conn->retired) {
        pool->retiring--;
    }
    conn->retired = true;
    uncount(conn);
    const bool unused = conn->active == 0; /* else a request is just being started on it, to no avail */
    crt_pool_plan(pool, origin, &work);
    if (pool->starved) {
        crt_pool_plan_all(pool, &work);
    }
    if (unused) {
        unlink_conn(conn);
        crt_pool_origin_drop_unused(pool, origin);
    }
    crt_pool_unlock(pool, &work);
    if (unused) {
        conn_free(conn);
    }
}

/* The peer may allow more streams, or fewer than are under way. */
static void on_settings(void *user, const crt_http2_setting *settings, size_t count) {
    crt_pool_conn *conn = user;
    crt_http_pool *pool = conn->pool;
    crt_pool_work work = CRT_POOL_WORK_INIT;
    crt_pool_lock(pool);
    settle(conn);
    for (size_t i = 0; i < count; i++) {
        if (settings[i].id == CRT_HTTP2_MAX_CONCURRENT_STREAMS) {
            const uint32_t most = pool->options.max_streams;
            conn->slots = settings[i].value < most ? settings[i].value : most;
        }
    }
    if (conn->http && !conn->retired) {
        leave_free(conn);
        if (conn->active < conn->slots) {
            enter_free(conn);
        }
        crt_pool_plan(pool, conn->origin, &work);
    }
    crt_pool_unlock(pool, &work);
}

static const crt_http_conn_handler handler = {on_connected, on_shutdown, on_settings};

void crt_pool_conn_open(crt_pool_conn *conn) {
    const crt_http_origin *target = &conn->origin->target;
    const crt_http_pool_options *pool = &conn->pool->options;
    crt_http_connect_options options;
    memset(&options, 0, sizeof(options));
    options.target.loop = conn->loop;
    options.target.resolver = pool->resolver;
    options.target.host = target->host;
    options.target.port = target->port;
    options.target.socket = target->socket;
    options.target.tls = target->tls;
    options.proxy = target->proxy;
    options.handler = &handler;
    options.user = conn;
    options.version = target->version;
    options.prior_knowledge = target->prior_knowledge;
    options.timeouts = pool->timeouts;
    crt_http_connect(&options);
}
