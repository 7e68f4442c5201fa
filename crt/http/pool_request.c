/* Requests of the pool: in line, on a connection, once more, complete. */
#include "crt/memory.h"
#include "pool_internal.h"

enum { MOST_STARTS = 4 };

/* ---- the line ---- */

static void queue(crt_http_pool_request *request, crt_pool_origin *origin, bool in_front) {
    crt_http_pool_request *before = in_front ? NULL : origin->waiting_tail;
    crt_http_pool_request *after = in_front ? origin->waiting_head : NULL;
    request->origin = origin;
    request->prev = before;
    request->next = after;
    *(before ? &before->next : &origin->waiting_head) = request;
    *(after ? &after->prev : &origin->waiting_tail) = request;
    origin->waiting++;
    request->pool->stats.waiting++;
    if (request->deadline_ms != UINT64_MAX) {
        crt_pool_note_due(request->pool, request->deadline_ms);
    }
}

void crt_pool_request_leave(crt_http_pool_request *request) {
    crt_pool_origin *origin = request->origin;
    *(request->prev ? &request->prev->next : &origin->waiting_head) = request->next;
    *(request->next ? &request->next->prev : &origin->waiting_tail) = request->prev;
    request->prev = request->next = NULL;
    request->origin = NULL;
    origin->waiting--;
    request->pool->stats.waiting--;
}

/* ---- the end ---- */

static void complete(crt_http_pool_request *request, const crt_fault *fault, int status) {
    /* The body may be a source that holds the request itself. */
    crt_http_message *message = request->message;
    request->message = NULL;
    crt_http_message_release(message);
    request->handler->on_complete(request->user, fault, status);
    crt_http_pool_request_release(request);
}

static void run_fail(crt_task *task, int status) {
    crt_http_pool_request *request = CRT_CONTAINER(task, crt_http_pool_request, fail_task);
    request->loop = request->pool->loop;
    request->version = CRT_HTTP_UNKNOWN;
    complete(request, &request->fault, 0);
}

void crt_pool_request_fail(crt_http_pool_request *request, const crt_fault *fault) {
    request->complete = true;
    request->fault = *fault;
    crt_loop_post(request->pool->loop, &request->fail_task);
}

static void fail_with_code(crt_http_pool_request *request, int code, const char *what) {
    crt_fault fault;
    crt_fail(&fault, code, "%s", what);
    crt_pool_request_fail(request, &fault);
}

/* ---- once more ---- */

static bool is_idempotent(crt_bytes method) {
    static const char *const methods[] = {"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"};
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        if (crt_bytes_eq(method, crt_bytes_str(methods[i]))) {
            return true;
        }
    }
    return false;
}

/* The peer said so itself, or was never told (RFC 9113 sections 5.1.2 and 6.8). */
static bool was_not_processed(int code) {
    return code == AWS_ERROR_HTTP_GOAWAY_RECEIVED || code == AWS_ERROR_HTTP_MAX_CONCURRENT_STREAMS_EXCEEDED ||
           code == AWS_ERROR_HTTP_STREAM_IDS_EXHAUSTED;
}

static bool is_lost_connection(int code) {
    return code == AWS_IO_SOCKET_CLOSED || code == AWS_IO_BROKEN_PIPE || code == AWS_IO_SOCKET_NOT_CONNECTED ||
           code == AWS_ERROR_HTTP_CONNECTION_CLOSED || code == AWS_ERROR_HTTP_SERVER_CLOSED;
}

static bool rewind_body(const crt_http_pool_request *request) {
    crt_source *body = crt_http_message_body(request->message);
    if (!body || body->kind != CRT_SOURCE_READER) {
        return true; /* memory and files are read from where they begin */
    }
    return body->ops->rewind && body->ops->rewind(body) == 0;
}

/* A server may close a connection that it thinks idle just when a request sets out (RFC 9112 section 9.3.1). */
static bool may_try_again(crt_http_pool_request *request, int code) {
    if (code == 0 || request->no_retry || request->answered || request->starts >= MOST_STARTS) {
        return false;
    }
    if (was_not_processed(code)) {
        return rewind_body(request);
    }
    const bool stale = request->reused && is_lost_connection(code) &&
                       is_idempotent(crt_http_message_method(request->message));
    if (stale && rewind_body(request)) {
        request->wants_fresh = true;
        return true;
    }
    return false;
}

/* ---- what the stream tells, on the connection's loop ---- */

static int on_head(void *user, int status, const crt_http_header *headers, size_t count) {
    crt_http_pool_request *request = user;
    request->answered = true;
    return request->handler->on_head ? request->handler->on_head(request->user, status, headers, count) : 0;
}

static void on_space(void *user, uint64_t want, crt_span *space) {
    crt_http_pool_request *request = user;
    request->handler->on_space(request->user, want, space);
}

static int on_body(void *user, crt_bytes data) {
    crt_http_pool_request *request = user;
    return request->handler->on_body ? request->handler->on_body(request->user, data) : 0;
}

static void on_remote_end(void *user) {
    crt_http_pool_request *request = user;
    if (request->handler->on_remote_end) {
        request->handler->on_remote_end(request->user);
    }
}

static int on_interim(void *user, int status, const crt_http_header *headers, size_t count) {
    crt_http_pool_request *request = user;
    request->answered = true;
    return request->handler->on_interim ? request->handler->on_interim(request->user, status, headers, count) : 0;
}

static int on_trailers(void *user, const crt_http_header *headers, size_t count) {
    crt_http_pool_request *request = user;
    return request->handler->on_trailers ? request->handler->on_trailers(request->user, headers, count) : 0;
}

static void on_complete(void *user, const crt_fault *fault, int status) {
    crt_http_pool_request *request = user;
    crt_http_pool *pool = request->pool;
    crt_pool_work work = CRT_POOL_WORK_INIT;
    bool again = may_try_again(request, fault->code);
    crt_pool_lock(pool);
    crt_pool_conn *conn = request->conn;
    crt_http_stream *stream = request->stream;
    request->conn = NULL;
    request->stream = NULL;
    again = again && !request->cancel_code && !pool->closed;
    request->complete = !again;
    if (again) {
        pool->stats.retried++;
        queue(request, conn->origin, true);
    }
    /* On HTTP/2 a stream that failed says nothing about the others. */
    crt_pool_conn_give_slot(conn, fault->code && crt_http_conn_version(conn->http) != CRT_HTTP_2, &work);
    crt_pool_unlock(pool, &work);
    crt_http_stream_release(stream);
    if (!again) {
        complete(request, fault, status);
    }
}

static const crt_http_stream_handler with_space = {on_head,       on_space,   on_body,    on_complete,
                                                   on_remote_end, on_interim, on_trailers};
static const crt_http_stream_handler without_space = {on_head,       NULL,       on_body,    on_complete,
                                                      on_remote_end, on_interim, on_trailers};

/* ---- the beginning ---- */

/* It never went out: any connection will do, whatever the method. */
static void not_started(crt_http_pool_request *request, int code) {
    crt_http_pool *pool = request->pool;
    crt_pool_work work = CRT_POOL_WORK_INIT;
    crt_pool_life_add(pool); /* the request may be complete, on its loop, before this is over */
    crt_pool_lock(pool);
    crt_pool_conn *conn = request->conn;
    crt_http_stream *stream = request->stream;
    request->conn = NULL;
    request->stream = NULL;
    const bool lost = is_lost_connection(code) || was_not_processed(code);
    if (request->cancel_code) {
        fail_with_code(request, request->cancel_code, "cancelled before it was sent");
    } else if (lost && request->starts < MOST_STARTS && !pool->closed) {
        queue(request, conn->origin, true);
    } else {
        fail_with_code(request, code, conn->origin->target.host);
    }
    crt_pool_conn_give_slot(conn, lost, &work);
    crt_pool_unlock(pool, &work);
    crt_http_stream_release(stream);
    crt_pool_life_drop(pool);
}

/* The total counts from the first moment on. */
static crt_http_timeouts what_is_left(const crt_http_pool_request *request) {
    crt_http_timeouts timeouts = request->timeouts;
    if (timeouts.total_ms) {
        const uint64_t spent = crt_pool_now_ms() - request->began_ms;
        timeouts.total_ms = spent < timeouts.total_ms ? (uint32_t)(timeouts.total_ms - spent) : 1;
    }
    return timeouts;
}

void crt_pool_request_start(crt_http_pool_request *request) {
    crt_http_pool *pool = request->pool;
    crt_http_conn *http = request->conn->http;
    const crt_http_timeouts timeouts = what_is_left(request);
    const crt_http_stream_options options = {false, request->continue_ms, &timeouts};
    crt_http_stream *stream = NULL;
    request->starts++;
    request->loop = crt_http_conn_loop(http);
    request->version = crt_http_conn_version(http);
    int status = crt_http_stream_new_with(http, request->message,
                                          request->handler->on_space ? &with_space : &without_space, request,
                                          &options, &stream);
    if (!status) {
        crt_pool_lock(pool);
        request->stream = stream;
        if (request->cancel_code) {
            crt_http_stream_cancel(stream, request->cancel_code);
        }
        pthread_mutex_unlock(&pool->lock);
        status = crt_http_stream_activate(stream);
    }
    if (status) {
        not_started(request, status);
    }
}

/* ---- public ---- */

static uint64_t deadline_of(const crt_http_pool_request *request) {
    const uint32_t total = request->timeouts.total_ms, acquire = request->pool->options.acquire_ms;
    const uint32_t first = total && acquire ? (total < acquire ? total : acquire) : total + acquire;
    return first ? request->began_ms + first : UINT64_MAX;
}

static crt_http_pool_request *request_new(crt_http_pool *pool, crt_http_message *message,
                                          const crt_http_stream_handler *handler, void *user,
                                          const crt_http_pool_request_options *options) {
    crt_http_pool_request *request = crt_calloc(1, sizeof(*request));
    if (!request) {
        return NULL;
    }
    crt_ref_init(&request->refs);
    crt_ref_inc(&request->refs);
    crt_pool_life_add(pool);
    crt_http_message_acquire(message);
    request->pool = pool;
    request->message = message;
    request->handler = handler;
    request->user = user;
    request->timeouts = options && options->timeouts ? *options->timeouts : pool->options.timeouts;
    request->continue_ms = options ? options->continue_ms : 0;
    request->no_retry = options && options->no_retry;
    request->began_ms = crt_pool_now_ms();
    request->deadline_ms = deadline_of(request);
    request->loop = pool->loop;
    request->fail_task.run = run_fail;
    return request;
}

static void request_free(crt_http_pool_request *request) {
    crt_http_pool *pool = request->pool;
    crt_http_message_release(request->message);
    crt_free(request);
    crt_pool_life_drop(pool);
}

int crt_http_pool_request_new(crt_http_pool *pool, const crt_http_origin *target, crt_http_message *message,
                              const crt_http_stream_handler *handler, void *user,
                              const crt_http_pool_request_options *options, crt_http_pool_request **out) {
    *out = NULL;
    if (!target->host || !target->host[0] || (target->tls && !target->tls->ctx)) {
        return AWS_ERROR_INVALID_ARGUMENT;
    }
    if (pool->generation != crt_fork_generation()) {
        return AWS_ERROR_HTTP_CONNECTION_MANAGER_INVALID_STATE_FOR_ACQUIRE;
    }
    crt_http_pool_request *request = request_new(pool, message, handler, user, options);
    if (!request) {
        return AWS_ERROR_OOM;
    }
    crt_pool_work work = CRT_POOL_WORK_INIT;
    crt_pool_origin *origin;
    crt_pool_lock(pool);
    int status = crt_pool_origin_get(pool, target, &origin);
    if (!status && origin->waiting >= pool->options.max_waiting) {
        status = AWS_ERROR_HTTP_CONNECTION_MANAGER_MAX_PENDING_ACQUISITIONS_EXCEEDED;
    }
    if (!status) {
        *out = request; /* before anything can complete */
        pool->stats.requests++;
        queue(request, origin, false);
        crt_pool_plan(pool, origin, &work);
    }
    crt_pool_unlock(pool, &work);
    if (status) {
        request_free(request);
    }
    return status;
}

void crt_http_pool_request_cancel(crt_http_pool_request *request, int code) {
    crt_http_pool *pool = request->pool;
    if (pool->generation != crt_fork_generation()) {
        return;
    }
    crt_pool_lock(pool);
    if (!request->complete && !request->cancel_code) {
        request->cancel_code = code ? code : AWS_ERROR_HTTP_STREAM_CANCELLED;
        if (request->origin) {
            crt_pool_origin *origin = request->origin;
            crt_pool_request_leave(request);
            fail_with_code(request, request->cancel_code, "cancelled while it waited for a connection");
            crt_pool_origin_drop_unused(pool, origin);
        } else if (request->stream) {
            crt_http_stream_cancel(request->stream, request->cancel_code);
        }
    }
    pthread_mutex_unlock(&pool->lock);
}

void crt_http_pool_request_resume(crt_http_pool_request *request) {
    crt_pool_lock(request->pool);
    crt_http_stream *stream = request->stream; /* ends on this loop, so it stays for the call */
    pthread_mutex_unlock(&request->pool->lock);
    if (stream) {
        crt_http_stream_resume(stream);
    }
}

void crt_http_pool_request_release(crt_http_pool_request *request) {
    if (request && crt_ref_dec(&request->refs) && request->pool->generation == crt_fork_generation()) {
        request_free(request);
    }
}

crt_loop *crt_http_pool_request_loop(const crt_http_pool_request *request) {
    return request->loop;
}

int crt_http_pool_request_version(const crt_http_pool_request *request) {
    return request->version;
}
