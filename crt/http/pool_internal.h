/*
 * The pool from inside. One lock guards all of it; connections live on loops, callers on any thread. Nothing that may
 * call back is called under the lock: what is decided there is noted in a crt_pool_work and done after it.
 *
 * pool.c: the pool's own life, its clock. pool_origin.c: origins and who gets which connection. pool_conn.c:
 * connections. pool_request.c: requests.
 */
#ifndef CRT_HTTP_POOL_INTERNAL_H
#define CRT_HTTP_POOL_INTERNAL_H

#include <pthread.h>

#include "crt/buffer.h"
#include "crt/http_pool.h"

enum { CRT_POOL_BUCKETS = 64, CRT_POOL_TEXTS = 9 };

typedef struct crt_pool_conn crt_pool_conn;

typedef struct crt_pool_origin {
    struct crt_pool_origin *next; /* in its bucket */
    crt_buf key;
    crt_http_origin target; /* what it points to is ours */
    crt_tls_options tls, proxy_tls;
    crt_http_proxy proxy;
    char *texts[CRT_POOL_TEXTS];
    int speaks; /* version of its latest connection, or what it must be; CRT_HTTP_UNKNOWN: may be HTTP/2 */
    crt_pool_conn *conns;
    crt_pool_conn *free_conns; /* with room for a request, the one used last in front */
    uint32_t conn_count;       /* not gone */
    uint32_t connecting;
    uint32_t settling; /* connections whose peer has not said yet how many streams it allows */
    crt_http_pool_request *waiting_head, *waiting_tail;
    uint32_t waiting;
} crt_pool_origin;

struct crt_pool_conn {
    crt_http_pool *pool; /* a life of it */
    crt_pool_origin *origin;
    crt_loop *loop;
    crt_http_conn *http; /* NULL while connecting */
    crt_pool_conn *prev, *next;           /* of the origin */
    crt_pool_conn *free_prev, *free_next; /* while it has room */
    crt_pool_conn *work_next;
    bool is_free;
    bool settling; /* HTTP/2: one request at most before the peer's first SETTINGS */
    bool retired; /* takes no new requests */
    bool gone;    /* its transport is */
    uint32_t active;
    uint32_t slots;
    uint64_t served;
    uint64_t made_ms;
    uint64_t idle_since_ms;
};

struct crt_http_pool_request {
    crt_refcount refs; /* the caller; the pool until completion */
    crt_http_pool *pool; /* a life of it */
    crt_http_message *message;
    const crt_http_stream_handler *handler;
    void *user;
    crt_http_timeouts timeouts;
    uint32_t continue_ms;
    bool no_retry;
    uint64_t began_ms;
    /* guarded by the lock */
    crt_pool_origin *origin; /* while it waits */
    crt_pool_conn *conn;     /* while it holds a slot */
    crt_http_stream *stream;
    crt_http_pool_request *prev, *next; /* in line */
    crt_http_pool_request *work_next;
    uint64_t deadline_ms; /* of the wait */
    int cancel_code;
    bool complete;
    bool reused;      /* its connection had served before */
    bool wants_fresh; /* it was lost on one that had: no such again */
    uint32_t starts;
    /* the loop's */
    bool answered; /* something of the response has come */
    crt_loop *loop;
    int version;
    crt_task fail_task;
    crt_fault fault;
};

struct crt_http_pool {
    crt_refcount lives; /* the owner, connections, requests, the timer */
    crt_http_pool_options options;
    uint32_t generation;
    crt_loop *loop; /* of the timer, and of failures without a connection */
    pthread_mutex_t lock;
    bool closed;
    crt_pool_origin *origins[CRT_POOL_BUCKETS];
    uint32_t retiring; /* connections that are to close and have not yet */
    bool starved;      /* somebody waits for a connection to close */
    crt_http_pool_stats stats;
    /* One timer for deadlines and idleness; set anew by a task, for timers are their loop's alone. */
    crt_timer timer;
    crt_task timer_task;
    uint64_t timer_due_ms;
    bool timer_posted;
    crt_task final_task;
};

/* What to do once the lock is released. */
typedef struct crt_pool_work {
    crt_pool_conn *open;
    crt_http_pool_request *start;
    crt_http_pool_request **start_tail;
} crt_pool_work;

#define CRT_POOL_WORK_INIT {NULL, NULL, NULL}

/* ---- pool.c ---- */

CRT_HIDDEN uint64_t crt_pool_now_ms(void);
CRT_HIDDEN void crt_pool_lock(crt_http_pool *pool);
/* Releases the lock and does the work. */
CRT_HIDDEN void crt_pool_unlock(crt_http_pool *pool, crt_pool_work *work);
CRT_HIDDEN void crt_pool_life_add(crt_http_pool *pool);
CRT_HIDDEN void crt_pool_life_drop(crt_http_pool *pool);
/* Locked: the timer fires then at the latest. */
CRT_HIDDEN void crt_pool_note_due(crt_http_pool *pool, uint64_t due_ms);

/* ---- pool_origin.c, all locked ---- */

CRT_HIDDEN int crt_pool_origin_get(crt_http_pool *pool, const crt_http_origin *target, crt_pool_origin **out);
CRT_HIDDEN void crt_pool_origin_drop_unused(crt_http_pool *pool, crt_pool_origin *origin);
/* Gives connections with room to those who wait, and opens what is missing. */
CRT_HIDDEN void crt_pool_plan(crt_http_pool *pool, crt_pool_origin *origin, crt_pool_work *work);
CRT_HIDDEN void crt_pool_plan_all(crt_http_pool *pool, crt_pool_work *work);
/* Requests that one new connection can carry, as far as is known. */
CRT_HIDDEN uint32_t crt_pool_capacity(const crt_http_pool *pool, const crt_pool_origin *origin);

/* ---- pool_conn.c; locked but for the first ---- */

CRT_HIDDEN void crt_pool_conn_open(crt_pool_conn *conn);
CRT_HIDDEN crt_pool_conn *crt_pool_conn_new(crt_http_pool *pool, crt_pool_origin *origin);
/* One that is open and has room, and if `fresh` has not served yet; NULL: none. */
CRT_HIDDEN crt_pool_conn *crt_pool_conn_find(crt_pool_origin *origin, bool fresh);
CRT_HIDDEN void crt_pool_conn_take_slot(crt_pool_conn *conn);
/* `failed`: what used it came to a bad end. May free the connection, and its origin. */
CRT_HIDDEN void crt_pool_conn_give_slot(crt_pool_conn *conn, bool failed, crt_pool_work *work);
CRT_HIDDEN void crt_pool_conn_retire(crt_pool_conn *conn);

/* ---- pool_request.c ---- */

CRT_HIDDEN void crt_pool_request_start(crt_http_pool_request *request);
/* Locked. Takes it out of the line. */
CRT_HIDDEN void crt_pool_request_leave(crt_http_pool_request *request);
/* Locked, in no line and on no connection: it completes on the pool's loop. */
CRT_HIDDEN void crt_pool_request_fail(crt_http_pool_request *request, const crt_fault *fault);

#endif
