/*
 * The resolver: a cache in front of the system's lookup.
 *
 * A lookup blocks for as long as a name server likes, so it runs on a thread of its own that no loop waits for,
 * and serves everybody who asks for that host meanwhile, whatever loop they are on. One lock guards the cache; it
 * is never held while a callback runs.
 */
#include <stdlib.h>
#include <strings.h>

#include "../common/internal.h"
#include "crt/log.h"
#include "crt/memory.h"
#include "crt/status.h"
#include "dns.h"
#include "dns_records.h"
#include "loop_internal.h"

enum {
    LOOKUPS_MAX = 8, /* threads per resolver */
    HOSTS_DEFAULT = 16,
    BUCKETS_MAX = 1024,
    TTL_DEFAULT_MS = 30000,
    IDLE_MS = 30000,          /* a host nobody asked for in this time is forgotten */
    BETWEEN_LOOKUPS_MS = 100, /* of one host, when only to refresh what is known */
};

typedef struct waiter {
    crt_resolver *resolver;
    struct host *host; /* NULL once served: the host may be forgotten then */
    struct waiter *next;
    crt_loop *loop;
    crt_task task;
    crt_attachment attachment;
    crt_resolve_fn done;
    void *user;
    int status;
    size_t count;
    crt_address addresses[CRT_DNS_ADDRESSES_MAX];
} waiter;

typedef struct host {
    struct host *next;       /* in its bucket */
    struct host *next_query; /* in the queue of lookups */
    waiter *waiters;
    uint64_t asked_ms;
    uint64_t looked_up_ms; /* the end of the last lookup */
    crt_dns_records known;
    bool looking_up;
    char name[];
} host;

struct crt_resolver {
    crt_refcount refs;  /* of the users */
    crt_refcount inner; /* of users as a whole, waiters and lookup threads: what keeps the memory */
    uint32_t generation;
    uint32_t ttl_ms;
    uv_mutex_t lock;
    bool closed;
    size_t lookups; /* threads running */
    host *queue_first;
    host *queue_last;
    size_t bucket_count;
    host *buckets[];
};

static uint64_t now_ms(void) {
    return crt_clock_ns() / 1000000u;
}

static void release_inner(crt_resolver *resolver) {
    size_t i;

    if (!crt_ref_dec(&resolver->inner)) {
        return;
    }
    for (i = 0; i < resolver->bucket_count; i++) {
        while (resolver->buckets[i]) {
            host *gone = resolver->buckets[i];
            resolver->buckets[i] = gone->next;
            crt_free(gone);
        }
    }
    uv_mutex_destroy(&resolver->lock);
    crt_free(resolver);
}

/* ---- hosts (lock held) ---- */

/* FNV-1a; names differ only without regard to case (RFC 4343). */
static host **bucket_of(crt_resolver *resolver, const char *name) {
    uint32_t hash = 2166136261u;

    for (; *name; name++) {
        hash = (hash ^ (uint8_t)(*name | 0x20)) * 16777619u;
    }
    return &resolver->buckets[hash % resolver->bucket_count];
}

static host *find_host(crt_resolver *resolver, const char *name) {
    host *at = *bucket_of(resolver, name);

    while (at && strcasecmp(at->name, name) != 0) {
        at = at->next;
    }
    return at;
}

static void forget_idle(host **link, uint64_t now) {
    while (*link) {
        host *at = *link;
        if (at->looking_up || at->waiters || at->asked_ms + IDLE_MS > now) {
            link = &at->next;
            continue;
        }
        *link = at->next;
        crt_free(at);
    }
}

static host *find_or_add_host(crt_resolver *resolver, const char *name) {
    host *found = find_host(resolver, name);
    host **bucket = bucket_of(resolver, name);
    size_t i, size = strlen(name) + 1;

    if (found) {
        return found;
    }
    for (i = 0; i < resolver->bucket_count; i++) {
        forget_idle(&resolver->buckets[i], now_ms());
    }
    found = crt_calloc(1, sizeof(*found) + size);
    if (!found) {
        return NULL;
    }
    memcpy(found->name, name, size);
    found->next = *bucket;
    *bucket = found;
    return found;
}

/* ---- lookups ---- */

static void run_waiter(crt_task *task, int status) {
    waiter *w = CRT_CONTAINER(task, waiter, task);

    crt_loop_detach(&w->attachment);
    if (status) {
        w->status = status;
    }
    w->done(w->user, w->status, w->addresses, w->status ? 0 : w->count);
    release_inner(w->resolver);
    crt_free(w);
}

/* Lock held, which is also what keeps the waiters' loops from ending before they are posted to. */
static void serve_waiters(host *h, int status) {
    waiter *w = h->waiters;

    h->waiters = NULL;
    while (w) {
        waiter *next = w->next;
        w->host = NULL;
        w->status = status;
        if (status == 0) {
            w->count = crt_dns_records_list(&h->known, now_ms(), w->addresses);
        }
        crt_loop_post(w->loop, &w->task);
        w = next;
    }
}

static void on_loop_shutdown(crt_attachment *attachment) {
    waiter *w = CRT_CONTAINER(attachment, waiter, attachment);
    waiter **link;
    bool waiting;

    uv_mutex_lock(&w->resolver->lock);
    waiting = w->host != NULL;
    if (waiting) {
        for (link = &w->host->waiters; *link != w; link = &(*link)->next) {
        }
        *link = w->next;
    }
    uv_mutex_unlock(&w->resolver->lock);
    if (waiting) {
        run_waiter(&w->task, AWS_IO_EVENT_LOOP_SHUTDOWN);
    } /* else the task is already posted and runs next */
}

static host *next_query(crt_resolver *resolver) {
    host *h = resolver->queue_first;

    if (h) {
        resolver->queue_first = h->next_query;
        if (!resolver->queue_first) {
            resolver->queue_last = NULL;
        }
    }
    return h;
}

static void look_up(crt_resolver *resolver, host *h) {
    crt_address addresses[CRT_DNS_ADDRESSES_MAX];
    size_t count;
    int status = crt_dns_lookup(h->name, addresses, CRT_DNS_ADDRESSES_MAX, &count);

    CRT_LOG(CRT_LOG_DEBUG, CRT_LS_DNS, "%s: %s, %zu address(es)", h->name, crt_error_name(status), count);
    uv_mutex_lock(&resolver->lock);
    h->looking_up = false;
    h->looked_up_ms = now_ms();
    if (status == 0) {
        crt_dns_records_take(&h->known, addresses, count, h->looked_up_ms, resolver->ttl_ms);
    } else if (h->known.count) {
        status = 0; /* the last known addresses outlive an outage of the name server */
    }
    serve_waiters(h, status);
    uv_mutex_unlock(&resolver->lock);
}

static void run_lookups(void *arg) {
    crt_resolver *resolver = arg;
    host *h;

    crt_thread_set_name("AwsHostResolver");
    uv_mutex_lock(&resolver->lock);
    while (!resolver->closed && (h = next_query(resolver)) != NULL) {
        uv_mutex_unlock(&resolver->lock);
        look_up(resolver, h);
        uv_mutex_lock(&resolver->lock);
    }
    resolver->lookups--;
    uv_mutex_unlock(&resolver->lock);
    release_inner(resolver);
    crt_threads_finish();
}

/* Lock held. A host that is being looked up is never forgotten. */
static int start_lookup(crt_resolver *resolver, host *h) {
    uv_thread_t thread;
    int status;

    h->looking_up = true;
    h->next_query = NULL;
    if (resolver->queue_last) {
        resolver->queue_last->next_query = h;
    } else {
        resolver->queue_first = h;
    }
    resolver->queue_last = h;
    if (resolver->lookups >= LOOKUPS_MAX) {
        return 0; /* the thread that is done first takes it */
    }
    resolver->lookups++;
    crt_ref_inc(&resolver->inner);
    crt_threads_expect(1);
    status = crt_thread_create(&thread, run_lookups, resolver);
    if (status == 0) {
        return 0;
    }
    crt_threads_joined(1);
    crt_ref_dec(&resolver->inner);
    resolver->lookups--;
    if (resolver->lookups > 0) {
        return 0;
    }
    /* nobody is there to take it: the queue holds this host alone */
    resolver->queue_first = resolver->queue_last = NULL;
    h->looking_up = false;
    return status;
}

/* ---- asking ---- */

/*
 * Lock held: fresh addresses from the cache. They are refreshed in the background once half their time is over, and
 * when all of them failed: the host may have moved.
 */
static size_t from_cache(crt_resolver *resolver, host *h, crt_address *out) {
    uint64_t now = now_ms(), expiry = crt_dns_records_expiry(&h->known);

    if (expiry <= now) {
        return 0;
    }
    if (!h->looking_up && now - h->looked_up_ms >= BETWEEN_LOOKUPS_MS &&
        (expiry - now < resolver->ttl_ms / 2 || crt_dns_records_all_avoided(&h->known, now))) {
        start_lookup(resolver, h); /* what we have still serves when this fails */
    }
    return crt_dns_records_list(&h->known, now, out);
}

static int wait_for_lookup(crt_resolver *resolver, host *h, waiter *w) {
    int status = h->looking_up ? 0 : start_lookup(resolver, h);

    if (status) {
        return status;
    }
    crt_ref_inc(&resolver->inner);
    w->resolver = resolver;
    w->host = h;
    w->next = h->waiters;
    h->waiters = w;
    crt_loop_attach(w->loop, &w->attachment);
    return 0;
}

static waiter *waiter_new(crt_loop *loop, crt_resolve_fn done, void *user) {
    waiter *w = crt_calloc(1, sizeof(*w));

    if (w) {
        w->loop = loop;
        w->done = done;
        w->user = user;
        w->task.run = run_waiter;
        w->attachment.on_shutdown = on_loop_shutdown;
    }
    return w;
}

/* Either `addresses` get filled or `*w` waits; 0 or a code. */
static int ask(crt_resolver *resolver, const char *name, crt_address *addresses, size_t *count, waiter *w) {
    host *h;
    int status = 0;

    uv_mutex_lock(&resolver->lock);
    h = find_or_add_host(resolver, name);
    if (!h) {
        status = AWS_ERROR_OOM;
    } else {
        h->asked_ms = now_ms();
        *count = from_cache(resolver, h, addresses);
        if (*count == 0) {
            status = wait_for_lookup(resolver, h, w);
        }
    }
    uv_mutex_unlock(&resolver->lock);
    return status;
}

void crt_resolver_resolve(crt_resolver *resolver, crt_loop *loop, const char *name, crt_resolve_fn done, void *user) {
    crt_address addresses[CRT_DNS_ADDRESSES_MAX];
    size_t count = 0;
    waiter *w;
    int status;

    if (crt_address_parse(name, &addresses[0])) {
        done(user, 0, addresses, 1);
        return;
    }
    if (name[0] == '\0') {
        done(user, AWS_IO_DNS_INVALID_NAME, addresses, 0);
        return;
    }
    if (resolver->generation != crt_fork_generation()) {
        done(user, AWS_ERROR_INVALID_STATE, addresses, 0);
        return;
    }
    w = waiter_new(loop, done, user);
    if (!w) {
        done(user, AWS_ERROR_OOM, addresses, 0);
        return;
    }
    status = ask(resolver, name, addresses, &count, w);
    if (status == 0 && count == 0) {
        return; /* w waits */
    }
    crt_free(w);
    done(user, status, addresses, count);
}

void crt_resolver_report(crt_resolver *resolver, const char *name, const crt_address *address, bool worked) {
    host *h;

    if (resolver->generation != crt_fork_generation()) {
        return;
    }
    uv_mutex_lock(&resolver->lock);
    h = find_host(resolver, name);
    if (h) {
        crt_dns_records_report(&h->known, address, worked, now_ms(), resolver->ttl_ms);
    }
    uv_mutex_unlock(&resolver->lock);
}

int crt_resolver_seed(crt_resolver *resolver, const char *name, const crt_address *addresses, size_t count) {
    host *h;

    uv_mutex_lock(&resolver->lock);
    h = find_or_add_host(resolver, name);
    if (h) {
        h->asked_ms = now_ms();
        h->looked_up_ms = h->asked_ms;
        crt_dns_records_take(&h->known, addresses, count, h->asked_ms, resolver->ttl_ms);
    }
    uv_mutex_unlock(&resolver->lock);
    return h ? 0 : AWS_ERROR_OOM;
}

/* ---- lifetime ---- */

static size_t buckets_for(size_t hosts) {
    if (hosts == 0) {
        return HOSTS_DEFAULT;
    }
    return hosts < BUCKETS_MAX ? hosts : BUCKETS_MAX;
}

int crt_resolver_new(const crt_resolver_options *options, crt_resolver **out) {
    size_t buckets = buckets_for(options ? options->max_hosts : 0);
    crt_resolver *resolver = crt_calloc(1, sizeof(*resolver) + buckets * sizeof(resolver->buckets[0]));

    *out = NULL;
    if (!resolver) {
        return AWS_ERROR_OOM;
    }
    resolver->bucket_count = buckets;
    crt_ref_init(&resolver->refs);
    crt_ref_init(&resolver->inner);
    resolver->generation = crt_fork_generation();
    resolver->ttl_ms = options && options->ttl_ms ? options->ttl_ms : TTL_DEFAULT_MS;
    uv_mutex_init(&resolver->lock);
    *out = resolver;
    return 0;
}

crt_resolver *crt_resolver_acquire(crt_resolver *resolver) {
    crt_ref_inc(&resolver->refs);
    return resolver;
}

void crt_resolver_release(crt_resolver *resolver) {
    size_t i;

    /* In a forked child the lock may be held by a thread that does not exist. */
    if (!resolver || resolver->generation != crt_fork_generation() || !crt_ref_dec(&resolver->refs)) {
        return;
    }
    uv_mutex_lock(&resolver->lock);
    resolver->closed = true;
    for (i = 0; i < resolver->bucket_count; i++) {
        host *h;
        for (h = resolver->buckets[i]; h; h = h->next) {
            serve_waiters(h, AWS_IO_DNS_HOST_REMOVED_FROM_CACHE);
        }
    }
    uv_mutex_unlock(&resolver->lock);
    release_inner(resolver);
}
