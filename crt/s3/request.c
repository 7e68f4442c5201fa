/* One HTTP request: credentials, signature, connection, attempt, retries. Runs on its shard's loop. */
#include "engine.h"

#include <stdio.h>
#include <time.h>

#include "crt/crypto.h"
#include "crt/log.h"

static void begin(crt_s3_request *request);

static void on_task(crt_task *task, int status);
static void on_abort_task(crt_task *task, int status);
static void on_backoff(crt_timer *timer);

crt_s3_request *crt_s3_request_new(crt_s3_transfer *transfer, const crt_s3_request_kind *kind,
                                   enum crt_s3_operation operation, crt_s3_shard *shard) {
    crt_s3_request *request = crt_calloc(1, sizeof *request);
    if (!request) {
        crt_s3_transfer_fail_text(transfer, AWS_ERROR_OOM, "no memory for an HTTP request");
        return NULL;
    }
    crt_ref_init(&request->refs);
    request->kind = kind;
    request->transfer = transfer;
    request->shard = shard;
    request->operation = operation;
    request->operation_name = crt_s3_operation_name(operation);
    request->length = CRT_S3_UNKNOWN;
    request->content_length = CRT_S3_UNKNOWN;
    request->abort_task.run = on_abort_task;
    crt_timer_init(&request->backoff, shard->loop, on_backoff);
    request->next = transfer->requests;
    if (request->next) {
        request->next->prev = request;
    }
    transfer->requests = request;
    transfer->active++;
    return request;
}

void crt_s3_request_release(crt_s3_request *request) {
    if (!crt_ref_dec(&request->refs)) {
        return;
    }
    crt_s3_response_reset(request);
    crt_buf_free(&request->body);
    crt_free_aligned(request->buffer);
    if (request->credentials) {
        crt_credentials_release(request->credentials);
    }
    crt_free(request);
}

/* ---- bodies ---- */

static void slice_destroy(crt_source *source) {
    crt_s3_request_release(CRT_CONTAINER(source, crt_s3_request, source));
}

static const crt_source_ops slice_ops = {.destroy = slice_destroy};

/* The slice's first reference is the request's own memory: whoever else holds the slice holds the request. */
static void slice_init(crt_s3_request *request, enum crt_source_kind kind, uint64_t length) {
    request->source.ops = &slice_ops;
    request->source.kind = kind;
    request->source.length = length;
    request->source.fd = -1;
    request->has_source = true;
}

void crt_s3_request_body_memory(crt_s3_request *request, const void *data, size_t length) {
    slice_init(request, CRT_SOURCE_MEMORY, length);
    request->source.memory = crt_bytes_of(data, length);
}

void crt_s3_request_body_file(crt_s3_request *request, int fd, uint64_t offset, uint64_t length) {
    slice_init(request, CRT_SOURCE_FILE, length);
    request->source.fd = fd;
    request->source.offset = offset;
}

/* ---- between the loops ---- */

static void to_shard(crt_s3_request *request) {
    request->task.run = on_task;
    if (crt_loop_is_current(request->shard->loop)) {
        begin(request);
    } else {
        crt_loop_post(request->shard->loop, &request->task);
    }
}

static void on_task(crt_task *task, int status) {
    begin(CRT_CONTAINER(task, crt_s3_request, task));
}

static void on_done_task(crt_task *task, int status) {
    crt_s3_transfer_request_done(CRT_CONTAINER(task, crt_s3_request, task));
}

static void finish(crt_s3_request *request) {
    crt_loop *home = request->transfer->home->loop;
    request->state = CRT_S3_REQ_FINISHED;
    if (crt_loop_is_current(home)) {
        crt_s3_transfer_request_done(request);
        return;
    }
    request->task.run = on_done_task;
    crt_loop_post(home, &request->task);
}

static void finish_with(crt_s3_request *request, int code, const char *detail) {
    crt_fail(&request->fault, code, "%s", detail);
    finish(request);
}

void crt_s3_request_start(crt_s3_request *request) {
    to_shard(request);
}

/* ---- memory of the receiver ---- */

static void on_memory_task(crt_task *task, int status) {
    crt_s3_request *request = CRT_CONTAINER(task, crt_s3_request, memory_task);
    crt_s3_transfer *transfer = request->transfer;
    bool usable = transfer->state == CRT_S3_RUNNING && request->state != CRT_S3_REQ_FINISHED;
    request->memory_pending = false;
    if (usable && !request->memory_given) {
        crt_s3_transfer_fail_text(transfer, AWS_ERROR_OOM, "no memory for a part of %llu bytes",
                                  (unsigned long long)request->length);
        usable = false;
    }
    if (usable) {
        request->body_memory = request->memory_given;
        request->cookie = request->cookie_given;
    } else if (request->cookie_given) {
        transfer->handler->on_memory_unused(transfer->user, request->cookie_given);
    }
    if (request->state == CRT_S3_REQ_MEMORY) {
        if (usable) {
            request->state = CRT_S3_REQ_NEW;
            crt_s3_request_start(request);
        } else {
            finish_with(request, AWS_ERROR_S3_CANCELED, "canceled before it was sent");
        }
    } else if (usable && request->state == CRT_S3_REQ_STREAM) {
        crt_http_stream_resume(request->stream);
    }
    crt_s3_request_release(request);
    crt_s3_transfer_settle(transfer);
}

/* Always a task of its own: the receiver may hold locks that no I/O should be done under. */
void crt_s3_memory_ready(crt_s3_request *request, void *memory, void *cookie) {
    request->memory_given = memory;
    request->cookie_given = cookie;
    request->memory_task.run = on_memory_task;
    crt_loop_post(request->transfer->home->loop, &request->memory_task);
}

void crt_s3_request_ask_memory(crt_s3_request *request) {
    crt_s3_transfer *transfer = request->transfer;
    if (request->memory_pending) {
        return; /* an earlier attempt asked */
    }
    request->memory_pending = true;
    crt_ref_inc(&request->refs);
    transfer->active++;
    if (request->state == CRT_S3_REQ_NEW) {
        request->state = CRT_S3_REQ_MEMORY;
    }
    transfer->handler->on_memory(transfer->user, request, request->offset, (size_t)request->length);
}

/* ---- abort ---- */

static void abort_here(crt_s3_request *request) {
    request->aborted = true;
    switch (request->state) {
    case CRT_S3_REQ_CONNECTION:
        if (crt_s3_pool_leave(request)) {
            finish_with(request, AWS_ERROR_S3_CANCELED, "canceled while waiting for a connection");
        }
        break;
    case CRT_S3_REQ_STREAM:
        crt_http_stream_cancel(request->stream, AWS_ERROR_S3_CANCELED);
        break;
    case CRT_S3_REQ_BACKOFF:
        crt_timer_stop(&request->backoff);
        finish_with(request, AWS_ERROR_S3_CANCELED, "canceled while waiting to retry");
        break;
    default:
        break; /* noticed at the next step */
    }
}

static void on_abort_task(crt_task *task, int status) {
    crt_s3_request *request = CRT_CONTAINER(task, crt_s3_request, abort_task);
    if (request->state != CRT_S3_REQ_FINISHED) {
        abort_here(request);
    }
    crt_s3_request_release(request);
}

void crt_s3_request_abort(crt_s3_request *request) {
    if (request->abort_posted) {
        return;
    }
    request->abort_posted = true;
    crt_ref_inc(&request->refs);
    crt_loop_post(request->shard->loop, &request->abort_task);
}

/* ---- credentials and signature ---- */

static void send_signed(crt_s3_request *request);

static void on_credentials_task(crt_task *task, int status) {
    crt_s3_request *request = CRT_CONTAINER(task, crt_s3_request, task);
    if (request->aborted) {
        finish_with(request, AWS_ERROR_S3_CANCELED, "canceled while credentials were fetched");
    } else if (!request->credentials) {
        finish_with(request, request->credentials_code, "the credentials provider gave no credentials");
    } else {
        send_signed(request);
    }
}

/* Any thread. */
static void on_credentials(void *arg, crt_credentials *credentials, int code) {
    crt_s3_request *request = arg;
    if (credentials) {
        crt_credentials_acquire(credentials);
    }
    request->credentials = credentials;
    request->credentials_code = code ? code : AWS_AUTH_SIGNING_NO_CREDENTIALS;
    request->task.run = on_credentials_task;
    crt_loop_post(request->shard->loop, &request->task);
}

static void begin(crt_s3_request *request) {
    const crt_s3_signing *signing = &request->transfer->signing;
    if (request->aborted) {
        finish_with(request, AWS_ERROR_S3_CANCELED, "canceled before it was sent");
        return;
    }
    if (request->transfer->has_signing && !signing->credentials) {
        request->state = CRT_S3_REQ_CREDENTIALS;
        signing->query(signing->user, request->shard->loop, on_credentials, request);
        return;
    }
    send_signed(request);
}

static int sign(crt_s3_request *request, crt_http_message *message, crt_fault *fault) {
    const crt_s3_transfer *transfer = request->transfer;
    if (!transfer->has_signing) {
        return 0;
    }
    crt_signing_config config = transfer->signing.config;
    config.date_unix = (int64_t)time(NULL);
    crt_credentials *credentials = request->credentials ? request->credentials : transfer->signing.credentials;
    int status = crt_sign_message(message, &config, credentials, fault);
    if (request->credentials) {
        crt_credentials_release(request->credentials);
        request->credentials = NULL;
    }
    return status;
}

/* The message is made anew for each attempt: signatures carry the time. */
static crt_http_message *make_message(crt_s3_request *request, crt_fault *fault) {
    crt_http_message *message = crt_s3_message_for(request->transfer->message, request->operation);
    int status = message ? request->kind->build(request, message) : AWS_ERROR_OOM;
    if (!status) {
        status = crt_s3_message_set_user_agent(message);
    }
    if (status) {
        crt_fail(fault, status, "could not make the %s request", request->operation_name);
        goto failed;
    }
    if (request->has_source) {
        crt_ref_inc(&request->refs); /* given back when the message drops the source */
        crt_ref_init(&request->source.refs);
        crt_http_message_set_body(message, &request->source);
        crt_source_release(&request->source);
    }
    status = sign(request, message, fault);
    if (!status) {
        return message;
    }
failed:
    if (message) {
        crt_http_message_release(message);
    }
    return NULL;
}

static void send_signed(crt_s3_request *request) {
    request->state = CRT_S3_REQ_CONNECTION;
    crt_s3_pool_get(request);
}

/* ---- attempts ---- */

static void link_active(crt_s3_request *request) {
    crt_s3_shard *shard = request->shard;
    request->prev_active = NULL;
    request->next_active = shard->active;
    if (shard->active) {
        shard->active->prev_active = request;
    }
    shard->active = request;
}

static void unlink_active(crt_s3_request *request) {
    if (request->prev_active) {
        request->prev_active->next_active = request->next_active;
    } else {
        request->shard->active = request->next_active;
    }
    if (request->next_active) {
        request->next_active->prev_active = request->prev_active;
    }
}

static void retry_or_finish(crt_s3_request *request, enum crt_s3_retry_class cause);

void crt_s3_request_on_connection(crt_s3_request *request, crt_s3_conn *conn, const crt_fault *fault) {
    if (!conn) {
        request->fault = *fault;
        retry_or_finish(request, crt_s3_classify_transport(fault->code));
        return;
    }
    crt_fault failure = {0};
    crt_http_message *message = make_message(request, &failure);
    int status = failure.code;
    if (message) {
        status = crt_http_stream_new(conn->http, message, &crt_s3_stream_handler, request, &request->stream);
        crt_http_message_release(message);
    }
    if (!status) {
        request->conn = conn;
        request->state = CRT_S3_REQ_STREAM;
        request->stalled = false;
        request->seen_received = 0;
        request->seen_unsent = 0;
        request->moved_ms = crt_loop_now_ms(request->shard->loop);
        request->sent_ns = crt_clock_ns();
        link_active(request);
        status = crt_http_stream_activate(request->stream);
        if (!status) {
            return;
        }
        unlink_active(request);
        crt_http_stream_release(request->stream);
        request->stream = NULL;
        request->conn = NULL;
    }
    crt_s3_pool_put(conn);
    if (message) {
        crt_fail(&failure, status, "the request could not be sent");
    }
    request->fault = failure;
    retry_or_finish(request, message ? crt_s3_classify_transport(status) : CRT_S3_NO_RETRY);
}

static void judge_attempt(crt_s3_request *request) {
    const crt_fault *fault = &request->attempt;
    enum crt_s3_retry_class cause = CRT_S3_NO_RETRY;
    if (request->stalled) {
        crt_fail(&request->fault, AWS_ERROR_HTTP_CHANNEL_THROUGHPUT_FAILURE,
                 "no byte moved on the connection for %d s", CRT_S3_STALLED_MS / 1000);
        cause = CRT_S3_TRANSIENT;
    } else if (request->sink_fault.code) {
        /* Our own reason says more than the code that the connection was given. */
        request->fault = request->sink_fault;
        cause = crt_s3_classify_transport(request->fault.code);
    } else if (fault->code) {
        request->fault = *fault;
        if (fault->code == AWS_IO_STREAM_READ_FAILED && request->transfer->send_path) {
            crt_fail(&request->fault, fault->code, "%s is shorter than it was, or cannot be read",
                     request->transfer->send_path);
        }
        cause = crt_s3_classify_transport(fault->code);
    } else {
        cause = crt_s3_response_judge(request);
    }
    retry_or_finish(request, cause);
}

void crt_s3_request_attempt_done(crt_s3_request *request, const crt_fault *fault) {
    crt_s3_conn *conn = request->conn;
    request->done_ns = crt_clock_ns();
    unlink_active(request);
    crt_http_stream_release(request->stream);
    request->stream = NULL;
    request->conn = NULL;
    request->attempt = *fault;
    crt_s3_file_end(request);
    request->state = CRT_S3_REQ_WRITING;
    bool written = !request->writes;
    crt_s3_pool_put(conn);
    if (written) {
        judge_attempt(request);
    }
}

void crt_s3_request_writes_done(crt_s3_request *request) {
    if (request->state == CRT_S3_REQ_WRITING) {
        judge_attempt(request);
    }
}

static bool may_retry(crt_s3_request *request, enum crt_s3_retry_class cause) {
    const crt_s3_retry_policy *policy = &request->transfer->client->retry;
    crt_s3_endpoint *endpoint = request->transfer->endpoint;
    if (cause == CRT_S3_NO_RETRY || request->aborted || request->retry.retries >= policy->max_retries) {
        return false;
    }
    if (!policy->use_bucket) {
        return true;
    }
    pthread_mutex_lock(&endpoint->client->lock);
    bool allowed = crt_s3_bucket_take(&endpoint->bucket, cause, &request->retry);
    pthread_mutex_unlock(&endpoint->client->lock);
    return allowed;
}

static void reward(crt_s3_request *request) {
    crt_s3_endpoint *endpoint = request->transfer->endpoint;
    pthread_mutex_lock(&endpoint->client->lock);
    crt_s3_bucket_give(&endpoint->bucket, &request->retry);
    pthread_mutex_unlock(&endpoint->client->lock);
}

static void retry_or_finish(crt_s3_request *request, enum crt_s3_retry_class cause) {
    if (!request->fault.code) {
        reward(request);
        finish(request);
        return;
    }
    if (!may_retry(request, cause)) {
        if (cause != CRT_S3_NO_RETRY) {
            request->is_response = false; /* exhausted: the cause is reported, not a response */
        }
        finish(request);
        return;
    }
    uint64_t random = 0;
    crt_random(&random, sizeof random);
    uint64_t delay = crt_s3_retry_delay(&request->transfer->client->retry, &request->retry, random);
    CRT_LOG(CRT_LOG_INFO, CRT_LS_S3_CLIENT, "%s part %llu: retry %llu in %llu ms after %s", request->operation_name,
            (unsigned long long)request->part, (unsigned long long)request->retry.retries, (unsigned long long)delay,
            crt_error_name(request->fault.code));
    crt_s3_response_reset(request);
    request->state = CRT_S3_REQ_BACKOFF;
    crt_timer_start(&request->backoff, delay);
}

static void on_backoff(crt_timer *timer) {
    begin(CRT_CONTAINER(timer, crt_s3_request, backoff));
}

bool crt_s3_request_end_stalled(crt_s3_request *request, uint64_t now_ms) {
    if (request->stalled) {
        return false;
    }
    size_t unsent = crt_http_stream_unsent(request->stream);
    if (request->received != request->seen_received || unsent != request->seen_unsent) {
        request->seen_received = request->received;
        request->seen_unsent = unsent;
        request->moved_ms = now_ms;
        return false;
    }
    /* Paused by us: the peer is not to blame. */
    bool waits_for_memory = request->sink == CRT_S3_SINK_MEMORY && !request->body_memory;
    if (waits_for_memory || now_ms - request->moved_ms < CRT_S3_STALLED_MS) {
        return false;
    }
    request->stalled = true;
    crt_http_stream_cancel(request->stream, AWS_ERROR_HTTP_CHANNEL_THROUGHPUT_FAILURE);
    return true;
}
