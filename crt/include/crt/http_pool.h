/*
 * Connection pool: requests to any number of origins over connections that are kept and shared.
 *
 * HTTP/1.1 carries one request at a time per connection; HTTP/2 as many as the peer allows, so that a second
 * connection is opened only when the first is full. What finds no free connection waits in line, first come, first
 * served. Each connection resolves its host anew, which spreads connections over all addresses of the name.
 */
#ifndef CRT_HTTP_POOL_H
#define CRT_HTTP_POOL_H

#include "crt/http.h"

CRT_EXTERN_C_BEGIN

typedef struct crt_http_pool crt_http_pool;
typedef struct crt_http_pool_request crt_http_pool_request;

typedef struct crt_http_pool_options {
    crt_loop_group *group;    /* referenced; connections are spread over its loops */
    crt_resolver *resolver;   /* referenced */
    uint32_t max_connections; /* of all origins; 0: no limit but that per origin. Idle ones of others make room. */
    uint32_t max_connections_per_origin; /* 0: 10 */
    uint32_t max_streams; /* HTTP/2: requests at a time on a connection, if the peer allows as many; 0: 100 */
    uint32_t max_waiting; /* per origin; 0: 10,000 */
    uint32_t acquire_ms;  /* to wait for a connection at most; 0: for ever */
    uint32_t idle_ms;     /* unused connections are closed after it; 0: 60,000 */
    uint32_t max_age_ms;  /* older connections take no new requests; 0: no limit */
    crt_http_timeouts timeouts; /* of connections, and of requests that bring none of their own */
    void (*on_closed)(void *user); /* optional: once, on a loop of the group, when all is gone after the release */
    void *user;
} crt_http_pool_options;

/* Where requests go. Those that agree in all of it share connections. Everything is copied or referenced. */
typedef struct crt_http_origin {
    const char *host; /* ASCII case does not matter */
    uint32_t port;
    crt_socket_options socket;
    const crt_tls_options *tls; /* NULL: plain; contexts are compared by identity */
    const crt_http_proxy *proxy; /* NULL: directly */
    int version;           /* as in crt_http_connect_options */
    bool prior_knowledge;  /* likewise */
    crt_loop *loop;        /* the one to use; NULL: any. For callers that are bound to a loop themselves. */
} crt_http_origin;

typedef struct crt_http_pool_request_options {
    const crt_http_timeouts *timeouts; /* NULL: the pool's. total_ms counts from crt_http_pool_request on. */
    uint32_t continue_ms;              /* as in crt_http_stream_options */
    bool no_retry;                     /* whatever became of it */
} crt_http_pool_request_options;

typedef struct crt_http_pool_stats {
    uint32_t origins;     /* with a connection or a waiting request */
    uint32_t connections; /* open or being closed */
    uint32_t connecting;
    uint32_t idle;        /* open, without a request */
    uint32_t waiting;     /* requests in line */
    uint32_t active;      /* requests on connections */
    uint64_t requests;    /* taken on since the beginning */
    uint64_t opened;      /* connections that came about, and those that did not */
    uint64_t connect_failures;
    uint64_t reused;      /* requests on connections that had served before */
    uint64_t retried;
    uint64_t culled;      /* connections closed for being idle or old */
} crt_http_pool_stats;

CRT_HTTP_FN(int, crt_http_pool_new, (const crt_http_pool_options *options, crt_http_pool **out));
/* Any thread. What waits ends with AWS_ERROR_HTTP_CONNECTION_MANAGER_SHUTTING_DOWN, what is on a connection goes on;
   connections close with their last request. The pool must not be used any more. */
CRT_HTTP_FN(void, crt_http_pool_release, (crt_http_pool *pool));
CRT_HTTP_FN(void, crt_http_pool_stats_get, (crt_http_pool *pool, crt_http_pool_stats *out)); /* any thread */

/*
 * Any thread. The message is referenced and must not change before on_complete. On success the caller owns one
 * reference of *out and on_complete is called exactly once, never inside this call; all callbacks of a request run on
 * one loop of the group, which crt_http_pool_request_loop names. `options` may be NULL.
 *
 * A request that failed on a connection that had served before, without a byte of the response, is tried once more on
 * a new one if its method is idempotent (RFC 9110 section 9.2.2) and its body can be sent again. One that the peer
 * certainly has not processed is tried again whatever its method.
 *
 * AWS_ERROR_HTTP_CONNECTION_MANAGER_MAX_PENDING_ACQUISITIONS_EXCEEDED, _INVALID_STATE_FOR_ACQUIRE (made before a
 * fork), AWS_ERROR_INVALID_ARGUMENT, AWS_ERROR_OOM. on_complete gets AWS_ERROR_HTTP_CONNECTION_MANAGER_ACQUISITION_
 * TIMEOUT, AWS_IO_SOCKET_TIMEOUT when the total is over, what kept a connection from being opened, or what ended the
 * stream.
 */
CRT_HTTP_FN(int, crt_http_pool_request_new,
            (crt_http_pool *pool, const crt_http_origin *origin, crt_http_message *message,
             const crt_http_stream_handler *handler, void *user, const crt_http_pool_request_options *options,
             crt_http_pool_request **out));
/* Any thread: ends the request with `code` (0: AWS_ERROR_HTTP_STREAM_CANCELLED), in line or on its connection. */
CRT_HTTP_FN(void, crt_http_pool_request_cancel, (crt_http_pool_request *request, int code));
/* Inside callbacks, and tasks posted to it: see crt_http_stream_resume. */
CRT_HTTP_FN(void, crt_http_pool_request_resume, (crt_http_pool_request *request));
CRT_HTTP_FN(void, crt_http_pool_request_release, (crt_http_pool_request *request)); /* any thread */
/* Inside callbacks: the loop they run on; the version of the connection, CRT_HTTP_UNKNOWN without one. */
CRT_HTTP_FN(crt_loop *, crt_http_pool_request_loop, (const crt_http_pool_request *request));
CRT_HTTP_FN(int, crt_http_pool_request_version, (const crt_http_pool_request *request));

CRT_EXTERN_C_END
#endif
