/* Origins: what makes two of them the same, and which request gets which connection. */
#include "ascii.h"
#include "crt/memory.h"
#include "pool_internal.h"

/* ---- keys ---- */

/* With its length in front, so that no text can look like two. */
static int put_text(crt_buf *key, const char *text) {
    return text ? crt_buf_printf(key, "%zu:%s,", strlen(text), text) : crt_buf_append(key, "-,", 2);
}

static int put_host(crt_buf *key, const char *host) {
    for (; *host; host++) {
        const char c = *host >= 'A' && *host <= 'Z' ? (char)(*host + ('a' - 'A')) : *host;
        if (crt_buf_append(key, &c, 1)) {
            return AWS_ERROR_OOM;
        }
    }
    return crt_buf_append(key, ",", 1);
}

static int put_tls(crt_buf *key, const crt_tls_options *tls) {
    if (!tls) {
        return put_text(key, NULL);
    }
    return crt_buf_printf(key, "%p %u ", (void *)tls->ctx, (unsigned)tls->timeout_ms) ||
                   put_text(key, tls->server_name) || put_text(key, tls->alpn)
               ? AWS_ERROR_OOM
               : 0;
}

static int put_proxy(crt_buf *key, const crt_http_proxy *proxy) {
    if (!proxy) {
        return put_text(key, NULL);
    }
    return put_text(key, proxy->host) || crt_buf_printf(key, "%u %d ", (unsigned)proxy->port, proxy->kind) ||
                   put_tls(key, proxy->tls) || put_text(key, proxy->user) || put_text(key, proxy->password)
               ? AWS_ERROR_OOM
               : 0;
}

static int put_socket(crt_buf *key, const crt_socket_options *s) {
    return crt_buf_printf(key, "%d %u %d %d %u %u %u ", s->domain, (unsigned)s->connect_timeout_ms, s->keep_alive,
                          s->no_delay, (unsigned)s->keep_alive_timeout_secs, (unsigned)s->keep_alive_interval_secs,
                          (unsigned)s->keep_alive_max_probes) ||
                   put_text(key, s->interface_name)
               ? AWS_ERROR_OOM
               : 0;
}

static int make_key(crt_buf *key, const crt_http_origin *o) {
    return put_host(key, o->host) ||
                   crt_buf_printf(key, "%u %d %d %p ", (unsigned)o->port, o->version, o->prior_knowledge,
                                  (void *)o->loop) ||
                   put_tls(key, o->tls) || put_proxy(key, o->proxy) || put_socket(key, &o->socket)
               ? AWS_ERROR_OOM
               : 0;
}

/* FNV-1a */
static size_t bucket_of(crt_bytes key) {
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < key.len; i++) {
        hash = (hash ^ key.ptr[i]) * 16777619u;
    }
    return hash % CRT_POOL_BUCKETS;
}

/* ---- life ---- */

static void origin_free(crt_pool_origin *origin) {
    if (origin->tls.ctx) {
        crt_tls_ctx_release(origin->tls.ctx);
    }
    if (origin->proxy_tls.ctx) {
        crt_tls_ctx_release(origin->proxy_tls.ctx);
    }
    for (size_t i = 0; i < CRT_POOL_TEXTS; i++) {
        crt_free(origin->texts[i]);
    }
    crt_buf_free(&origin->key);
    crt_free(origin);
}

typedef struct copier {
    crt_pool_origin *origin;
    size_t count;
    bool failed;
} copier;

static const char *copy(copier *c, const char *text) {
    if (!text) {
        return NULL;
    }
    char *own = crt_strdup(text);
    c->failed = c->failed || !own;
    c->origin->texts[c->count++] = own;
    return own;
}

static void copy_tls(copier *c, const crt_tls_options *from, crt_tls_options *to) {
    *to = *from;
    crt_tls_ctx_acquire(to->ctx);
    to->server_name = copy(c, from->server_name);
    to->alpn = copy(c, from->alpn);
}

/* Without TLS and ALPN there is nothing to choose the version by. */
static int known_version(const crt_http_origin *o) {
    if (o->version != CRT_HTTP_UNKNOWN) {
        return o->version;
    }
    if (o->tls) {
        return o->tls->alpn && !strstr(o->tls->alpn, "h2") ? CRT_HTTP_1_1 : CRT_HTTP_UNKNOWN;
    }
    return o->prior_knowledge ? CRT_HTTP_2 : CRT_HTTP_1_1;
}

/* `key` is taken over on success. */
static crt_pool_origin *origin_new(const crt_http_origin *given, const crt_buf *key) {
    crt_pool_origin *origin = crt_calloc(1, sizeof(*origin));
    if (!origin) {
        return NULL;
    }
    copier c = {origin, 0, false};
    origin->target = *given;
    origin->target.host = copy(&c, given->host);
    origin->target.socket.interface_name = copy(&c, given->socket.interface_name);
    if (given->tls) {
        copy_tls(&c, given->tls, &origin->tls);
        origin->target.tls = &origin->tls;
    }
    if (given->proxy) {
        origin->proxy = *given->proxy;
        origin->proxy.host = copy(&c, given->proxy->host);
        origin->proxy.user = copy(&c, given->proxy->user);
        origin->proxy.password = copy(&c, given->proxy->password);
        if (given->proxy->tls) {
            copy_tls(&c, given->proxy->tls, &origin->proxy_tls);
            origin->proxy.tls = &origin->proxy_tls;
        }
        origin->target.proxy = &origin->proxy;
    }
    if (c.failed) {
        origin_free(origin);
        return NULL;
    }
    origin->speaks = known_version(given);
    origin->key = *key;
    return origin;
}

int crt_pool_origin_get(crt_http_pool *pool, const crt_http_origin *target, crt_pool_origin **out) {
    crt_buf key = CRT_BUF_INIT;
    if (make_key(&key, target)) {
        crt_buf_free(&key);
        return AWS_ERROR_OOM;
    }
    crt_pool_origin **bucket = &pool->origins[bucket_of(crt_buf_view(&key))];
    for (*out = *bucket; *out; *out = (*out)->next) {
        if (crt_bytes_eq(crt_buf_view(&(*out)->key), crt_buf_view(&key))) {
            crt_buf_free(&key);
            return 0;
        }
    }
    *out = origin_new(target, &key);
    if (!*out) {
        crt_buf_free(&key);
        return AWS_ERROR_OOM;
    }
    (*out)->next = *bucket;
    *bucket = *out;
    pool->stats.origins++;
    return 0;
}

void crt_pool_origin_drop_unused(crt_http_pool *pool, crt_pool_origin *origin) {
    if (origin->conns || origin->waiting_head) {
        return;
    }
    crt_pool_origin **p = &pool->origins[bucket_of(crt_buf_view(&origin->key))];
    while (*p != origin) {
        p = &(*p)->next;
    }
    *p = origin->next;
    pool->stats.origins--;
    origin_free(origin);
}

/* ---- who gets what ---- */

uint32_t crt_pool_capacity(const crt_http_pool *pool, const crt_pool_origin *origin) {
    return origin->speaks == CRT_HTTP_1_1 ? 1 : pool->options.max_streams;
}

static void assign(crt_pool_conn *conn, crt_http_pool_request *request, crt_pool_work *work) {
    crt_pool_request_leave(request);
    request->conn = conn;
    request->reused = conn->served > 0;
    conn->pool->stats.reused += request->reused;
    crt_pool_conn_take_slot(conn);
    request->work_next = NULL;
    *(work->start_tail && work->start ? work->start_tail : &work->start) = request;
    work->start_tail = &request->work_next;
}

static bool retire_idle(const crt_pool_origin *origin) {
    for (crt_pool_conn *conn = origin->free_conns; conn; conn = conn->free_next) {
        if (conn->active == 0) {
            crt_pool_conn_retire(conn);
            return true;
        }
    }
    return false;
}

/* Closes an idle connection of any origin, unless one is on its way out: its end brings the next plan. */
static void make_room(crt_http_pool *pool) {
    pool->starved = true;
    for (size_t i = 0; i < CRT_POOL_BUCKETS && pool->retiring == 0; i++) {
        for (crt_pool_origin *origin = pool->origins[i]; origin; origin = origin->next) {
            if (retire_idle(origin)) {
                return;
            }
        }
    }
}

static bool may_open(crt_http_pool *pool, const crt_pool_origin *origin) {
    if (pool->closed) {
        return false;
    }
    if (origin->conn_count >= pool->options.max_connections_per_origin) {
        if (origin->waiting_head->wants_fresh && pool->retiring == 0) {
            (void)retire_idle(origin);
        }
        pool->starved = pool->starved || origin->waiting_head->wants_fresh;
        return false;
    }
    if (!pool->options.max_connections || pool->stats.connections < pool->options.max_connections) {
        return true;
    }
    make_room(pool);
    return false;
}

/* In order; but those who want a connection that nobody has used before do not hold up the others. */
static void lend(crt_pool_origin *origin, crt_pool_work *work) {
    for (crt_http_pool_request *request = origin->waiting_head, *next; request; request = next) {
        next = request->next;
        crt_pool_conn *conn = crt_pool_conn_find(origin, request->wants_fresh);
        if (conn) {
            assign(conn, request, work);
        } else if (!request->wants_fresh) {
            return;
        }
    }
}

void crt_pool_plan(crt_http_pool *pool, crt_pool_origin *origin, crt_pool_work *work) {
    lend(origin, work);
    while (origin->waiting > ((uint64_t)origin->connecting + origin->settling) * crt_pool_capacity(pool, origin) &&
           may_open(pool, origin)) {
        crt_pool_conn *conn = crt_pool_conn_new(pool, origin);
        if (!conn) {
            const crt_fault no_memory = {AWS_ERROR_OOM, "no memory for a connection"};
            crt_http_pool_request *request = origin->waiting_head;
            crt_pool_request_leave(request);
            crt_pool_request_fail(request, &no_memory);
            continue;
        }
        conn->work_next = work->open;
        work->open = conn;
    }
}

void crt_pool_plan_all(crt_http_pool *pool, crt_pool_work *work) {
    pool->starved = false;
    for (size_t i = 0; i < CRT_POOL_BUCKETS; i++) {
        for (crt_pool_origin *origin = pool->origins[i]; origin; origin = origin->next) {
            crt_pool_plan(pool, origin, work);
        }
    }
}
