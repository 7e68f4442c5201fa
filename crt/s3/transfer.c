/* What all transfers have in common: start, requests, failure, end. Home loop, but for start and cancel. */
#include "engine.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

void crt_s3_transfer_acquire(crt_s3_transfer *transfer) {
    crt_ref_inc(&transfer->refs);
}

static void close_files(crt_s3_transfer *transfer) {
    if (transfer->recv_fd >= 0) {
        close(transfer->recv_fd);
    }
    if (transfer->send_fd >= 0) {
        close(transfer->send_fd);
    }
    transfer->recv_fd = transfer->send_fd = -1;
}

static void transfer_free(crt_s3_transfer *transfer) {
    close_files(transfer);
    if (transfer->details) {
        transfer->kind->destroy(transfer);
    }
    if (transfer->message) {
        crt_http_message_release(transfer->message);
    }
    if (transfer->signing.credentials) {
        crt_credentials_release(transfer->signing.credentials);
    }
    if (transfer->headers) {
        crt_http_headers_release(transfer->headers);
    }
    if (transfer->endpoint) {
        crt_s3_endpoint_release(transfer->endpoint);
    }
    crt_buf_free(&transfer->body);
    crt_free(transfer->signing_text);
    crt_free(transfer->operation);
    crt_free(transfer->recv_path);
    crt_free(transfer->send_path);
    crt_s3_client_release(transfer->client);
    crt_free(transfer);
}

void crt_s3_transfer_release(crt_s3_transfer *transfer) {
    if (transfer && crt_ref_dec(&transfer->refs)) {
        transfer_free(transfer);
    }
}

crt_loop *crt_s3_transfer_home(const crt_s3_transfer *transfer) {
    return transfer->home->loop;
}

crt_s3_shard *crt_s3_transfer_shard(const crt_s3_transfer *transfer, uint64_t n) {
    crt_s3_client *client = transfer->client;
    return &client->shards[(transfer->home->index + n) % client->shard_count];
}

bool crt_s3_callers_header(const crt_s3_transfer *transfer, const char *name) {
    crt_bytes value;
    return crt_s3_header(crt_http_message_headers(transfer->message), name, &value);
}

/* ---- words about failures ---- */

void crt_s3_transfer_describe(const crt_s3_transfer *transfer, char *out, size_t size) {
    crt_bytes path = crt_http_message_path(transfer->message);
    const uint8_t *query = path.len ? memchr(path.ptr, '?', path.len) : NULL;
    size_t length = query ? (size_t)(query - path.ptr) : path.len;
    snprintf(out, size, "%s:%u%.*s", transfer->endpoint->host, (unsigned)transfer->endpoint->port, (int)length,
             (const char *)path.ptr);
}

int crt_s3_transfer_fail_text(crt_s3_transfer *transfer, int code, const char *format, ...) {
    char text[200], target[160];
    crt_fault fault;
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    crt_s3_transfer_describe(transfer, target, sizeof target);
    crt_fail(&fault, code, "%s: %s", target, text);
    crt_s3_transfer_fail(transfer, &fault);
    return code;
}

int crt_s3_code_of_errno(int error) {
    switch (error) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return AWS_ERROR_NO_SPACE;
    case ENOENT:
    case ENOTDIR:
    case EISDIR:
    case ELOOP:
    case ENAMETOOLONG:
        return AWS_ERROR_FILE_INVALID_PATH;
    case EACCES:
    case EPERM:
    case EROFS:
        return AWS_ERROR_NO_PERMISSION;
    case EMFILE:
    case ENFILE:
        return AWS_ERROR_MAX_FDS_EXCEEDED;
    case ENOMEM:
        return AWS_ERROR_OOM;
    default:
        return AWS_ERROR_SYS_CALL_FAILURE;
    }
}

/* ---- failing and ending ---- */

static void abort_requests(crt_s3_transfer *transfer) {
    for (crt_s3_request *r = transfer->requests; r; r = r->next) {
        crt_s3_request_abort(r);
    }
}

void crt_s3_transfer_fail(crt_s3_transfer *transfer, const crt_fault *fault) {
    if (transfer->state != CRT_S3_RUNNING) {
        return; /* the first failure wins */
    }
    transfer->state = CRT_S3_FAILING;
    transfer->fault = *fault;
    crt_s3_permit_drop(transfer);
    abort_requests(transfer);
    crt_s3_transfer_pump_soon(transfer); /* ends it when nothing is active */
}

/* Remembers the response that the transfer fails with. */
static void keep_response(crt_s3_transfer *transfer, crt_s3_request *request) {
    transfer->is_response = true;
    transfer->status = request->status;
    transfer->headers = request->response;
    request->response = NULL;
    transfer->body = request->body;
    memset(&request->body, 0, sizeof request->body);
    /* DEFAULT requests echo the caller's spelling, which outlives them. */
    transfer->failed_operation = request->operation_name;
}

static void fail_by_request(crt_s3_transfer *transfer, crt_s3_request *request) {
    if (transfer->state != CRT_S3_RUNNING) {
        return;
    }
    if (request->is_response) {
        keep_response(transfer, request);
        crt_s3_transfer_fail(transfer, &request->fault);
        return;
    }
    crt_s3_transfer_fail_text(transfer, request->fault.code, "%s: %s", request->operation_name, request->fault.detail);
}

static void unlink_request(crt_s3_transfer *transfer, crt_s3_request *request) {
    if (request->prev) {
        request->prev->next = request->next;
    } else {
        transfer->requests = request->next;
    }
    if (request->next) {
        request->next->prev = request->prev;
    }
    request->next = request->prev = NULL;
}

void crt_s3_transfer_request_done(crt_s3_request *request) {
    crt_s3_transfer *transfer = request->transfer;
    unlink_request(transfer, request);
    if (request->has_slot) {
        crt_s3_permit_give_slot(transfer->client);
        request->has_slot = false;
    }
    /* The abort of a failed upload is the one request whose outcome changes nothing. */
    bool taken = false;
    if (transfer->state == CRT_S3_RUNNING) {
        bool handled = request->is_response && request->kind->on_refused && request->kind->on_refused(request);
        if (!request->fault.code) {
            taken = request->kind->on_success(request);
        } else if (!handled) {
            fail_by_request(transfer, request);
        }
    }
    if (!taken) {
        crt_s3_request_discard(request);
    }
    crt_s3_transfer_settle(transfer);
}

void crt_s3_request_discard(crt_s3_request *request) {
    crt_s3_transfer *transfer = request->transfer;
    if (request->cookie) {
        transfer->handler->on_memory_unused(transfer->user, request->cookie);
        request->cookie = NULL;
    }
    crt_s3_permit_give_memory(transfer->client, request->memory);
    request->memory = 0;
    crt_s3_request_release(request);
}

void crt_s3_transfer_settle(crt_s3_transfer *transfer) {
    transfer->active--;
    crt_s3_transfer_pump_soon(transfer);
}

void crt_s3_transfer_succeed(crt_s3_transfer *transfer, int status) {
    transfer->status = status;
    transfer->state = CRT_S3_ENDED;
    crt_s3_permit_drop(transfer);
    crt_s3_transfer_pump_soon(transfer);
}

static void report_progress(crt_s3_transfer *transfer) {
    if (transfer->progress) {
        uint64_t bytes = transfer->progress;
        transfer->progress = 0;
        transfer->handler->on_progress(transfer->user, bytes);
    }
}

void crt_s3_transfer_add_progress(crt_s3_transfer *transfer, uint64_t bytes) {
    uint64_t now = crt_loop_now_ms(transfer->home->loop);
    transfer->progress += bytes;
    if (now - transfer->progress_ms >= 1000) {
        transfer->progress_ms = now;
        report_progress(transfer);
    }
}

void crt_s3_transfer_report_headers(crt_s3_transfer *transfer, int status, crt_http_headers *headers) {
    if (!transfer->headers_reported) {
        transfer->headers_reported = true;
        transfer->handler->on_headers(transfer->user, status, headers);
    }
}

static void end(crt_s3_transfer *transfer) {
    bool failed = transfer->fault.code != 0;
    close_files(transfer);
    crt_http_message_set_body(transfer->message, NULL);
    if (!failed) {
        report_progress(transfer);
    } else if (transfer->is_response) {
        crt_s3_transfer_report_headers(transfer, transfer->status, transfer->headers);
    }
    crt_s3_result result = {
        .fault = transfer->fault,
        .status = transfer->status,
        .is_response = transfer->is_response,
        .headers = transfer->headers,
        .body = crt_buf_view(&transfer->body),
        .operation = transfer->failed_operation,
    };
    if (failed && !transfer->is_response) {
        result.status = 0;
    }
    transfer->ended = true;
    transfer->handler->on_done(transfer->user, &result);
    crt_s3_transfer_release(transfer);
}

static void maybe_end(crt_s3_transfer *transfer) {
    if (transfer->state == CRT_S3_RUNNING || transfer->active || transfer->ended) {
        return;
    }
    if (transfer->state == CRT_S3_FAILING && !transfer->cleaned_up) {
        transfer->cleaned_up = true;
        if (transfer->kind->clean_up && transfer->kind->clean_up(transfer)) {
            return;
        }
    }
    end(transfer);
}

/* ---- the pump: starts what may start, ends what is over ---- */

static void on_widen(crt_timer *timer) {
    crt_s3_transfer *transfer = CRT_CONTAINER(timer, crt_s3_transfer, widen_timer);
    transfer->widening = false;
    if (!transfer->part_done) {
        crt_s3_window_stalled(&transfer->window);
    }
    crt_s3_transfer_pump_soon(transfer);
}

/* As long as there are more connections to use than are used, progress is watched. */
static void watch_window(crt_s3_transfer *transfer) {
    bool narrow = transfer->window.size < transfer->window.max && transfer->active >= transfer->window.size;
    if (!narrow || transfer->state != CRT_S3_RUNNING) {
        crt_timer_stop(&transfer->widen_timer);
        transfer->widening = false;
    } else if (!transfer->widening) {
        transfer->widening = true;
        transfer->part_done = false;
        crt_timer_start(&transfer->widen_timer, CRT_S3_WIDEN_MS);
    }
}

void crt_s3_transfer_part_done(const crt_s3_request *request) {
    crt_s3_transfer *transfer = request->transfer;
    transfer->part_done = true;
    crt_s3_window_part(&transfer->window, request->length, request->done_ns - request->sent_ns);
    crt_s3_transfer_add_progress(transfer, request->length);
}

static void pump(crt_s3_transfer *transfer) {
    uint64_t memory = 0;
    while (transfer->state == CRT_S3_RUNNING && transfer->kind->wants(transfer, &memory)) {
        if (!crt_s3_permit_ask(transfer, memory)) {
            break;
        }
        transfer->kind->launch(transfer);
    }
    watch_window(transfer);
    maybe_end(transfer);
}

static void on_pump(crt_task *task, int status) {
    crt_s3_transfer *transfer = CRT_CONTAINER(task, crt_s3_transfer, pump_task);
    transfer->pump_posted = false;
    pump(transfer);
    crt_s3_transfer_release(transfer);
}

void crt_s3_transfer_pump_soon(crt_s3_transfer *transfer) {
    if (transfer->pump_posted) {
        return;
    }
    transfer->pump_posted = true;
    crt_s3_transfer_acquire(transfer);
    transfer->pump_task.run = on_pump;
    crt_loop_defer(transfer->home->loop, &transfer->pump_task);
}

/* ---- start ---- */

static int open_files(crt_s3_transfer *transfer, const crt_s3_transfer_options *options, crt_fault *fault) {
    struct stat info;
    if (options->recv_path) {
        transfer->recv_path = crt_strdup(options->recv_path);
        transfer->recv_fd = open(options->recv_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
        if (transfer->recv_fd < 0) {
            return crt_fail(fault, AWS_ERROR_FILE_INVALID_PATH, "recv_filepath '%s': %s", options->recv_path,
                            strerror(errno));
        }
    }
    if (!options->send_path) {
        return 0;
    }
    transfer->send_path = crt_strdup(options->send_path);
    transfer->send_fd = open(options->send_path, O_RDONLY | O_CLOEXEC);
    if (transfer->send_fd < 0 || fstat(transfer->send_fd, &info) != 0) {
        return crt_fail(fault, AWS_ERROR_FILE_INVALID_PATH, "send_filepath '%s': %s", options->send_path,
                        strerror(errno));
    }
    if (S_ISDIR(info.st_mode)) {
        return crt_fail(fault, AWS_ERROR_FILE_INVALID_PATH, "send_filepath '%s' is a directory", options->send_path);
    }
    transfer->send_size = (uint64_t)info.st_size;
    return 0;
}

static crt_bytes keep_text(char **at, crt_bytes text) {
    crt_bytes kept = crt_bytes_of(*at, text.len);
    if (text.len) {
        memcpy(*at, text.ptr, text.len);
    }
    *at += text.len;
    return kept;
}

static int copy_signing(crt_s3_transfer *transfer, const crt_s3_signing *signing, crt_fault *fault) {
    if (!signing) {
        return 0;
    }
    const crt_signing_config *from = &signing->config;
    char *at = crt_malloc(from->region.len + from->service.len + from->body_value.len + 1);
    if (!at) {
        return crt_fail(fault, AWS_ERROR_OOM, "no memory for a signing configuration");
    }
    transfer->signing_text = at;
    transfer->signing = *signing;
    transfer->signing.config.region = keep_text(&at, from->region);
    transfer->signing.config.service = keep_text(&at, from->service);
    transfer->signing.config.body_value = keep_text(&at, from->body_value);
    if (signing->credentials) {
        crt_credentials_acquire(signing->credentials);
    }
    transfer->has_signing = true;
    return 0;
}

/* Length of the body as far as anybody says. */
static int find_length(crt_s3_transfer *transfer, crt_fault *fault) {
    crt_bytes value;
    transfer->length = transfer->send_fd >= 0 ? transfer->send_size : CRT_S3_UNKNOWN;
    if (!crt_s3_header(crt_http_message_headers(transfer->message), "Content-Length", &value)) {
        return 0;
    }
    if (!crt_s3_parse_u64(value, &transfer->length)) {
        return crt_fail(fault, AWS_ERROR_S3_INVALID_CONTENT_LENGTH_HEADER, "Content-Length '%.*s' is not a number",
                        (int)value.len, (const char *)value.ptr);
    }
    transfer->has_content_length = true;
    const crt_source *body = crt_http_message_body(transfer->message);
    if (transfer->send_fd >= 0) {
        transfer->too_short = transfer->send_size < transfer->length;
    } else if (body && body->kind != CRT_SOURCE_READER) {
        transfer->too_short = body->length < transfer->length;
    }
    return 0;
}

static int init_upload(crt_s3_transfer *transfer, const crt_s3_transfer_options *options, crt_fault *fault) {
    const crt_s3_client *client = transfer->client;
    crt_source *body = crt_http_message_body(transfer->message);
    if (!body && transfer->send_fd < 0) {
        return crt_fail(fault, AWS_ERROR_INVALID_ARGUMENT, "PUT_OBJECT needs a body stream or send_filepath");
    }
    crt_s3_upload_sizes sizes = {
        .length = transfer->length,
        .client_part = client->part_size,
        .request_part = options->part_size,
        .client_threshold = client->multipart_threshold,
        .request_threshold = options->multipart_threshold,
    };
    crt_s3_upload_plan plan = crt_s3_plan_upload(&sizes);
    if (!plan.multipart) {
        return crt_s3_single_init(transfer, fault);
    }
    uint64_t largest = crt_s3_plan_largest_part(client->memory_limit);
    if (plan.part_size > largest) {
        return crt_fail(fault, AWS_ERROR_S3_PART_SIZE_EXCEEDS_MEMORY_LIMIT,
                        "parts of %llu bytes are needed, the memory limit allows %llu",
                        (unsigned long long)plan.part_size, (unsigned long long)largest);
    }
    return crt_s3_upload_init(transfer, &plan, fault);
}

static int init_kind(crt_s3_transfer *transfer, const crt_s3_transfer_options *options, crt_fault *fault) {
    bool split = !crt_s3_path_has_query_key(crt_http_message_path(transfer->message), "partNumber");
    switch (options->type) {
    case CRT_S3_DEFAULT:
        return crt_s3_single_init(transfer, fault);
    case CRT_S3_GET_OBJECT:
        return split ? crt_s3_get_init(transfer, fault) : crt_s3_single_init(transfer, fault);
    case CRT_S3_PUT_OBJECT:
        return init_upload(transfer, options, fault);
    default:
        return crt_fail(fault, AWS_ERROR_INVALID_ARGUMENT, "unknown transfer type %d", options->type);
    }
}

static int init(crt_s3_transfer *transfer, const crt_s3_transfer_options *options, crt_fault *fault) {
    crt_s3_client *client = transfer->client;
    crt_bytes host;
    transfer->message = crt_s3_message_copy(options->message);
    if (!transfer->message) {
        return crt_fail(fault, AWS_ERROR_OOM, "no memory for the request");
    }
    if (!crt_s3_header(crt_http_message_headers(transfer->message), "Host", &host)) {
        return crt_fail(fault, AWS_ERROR_INVALID_ARGUMENT, "the request has no Host header");
    }
    transfer->endpoint = crt_s3_endpoint_get(client, host, fault);
    if (!transfer->endpoint) {
        return fault->code;
    }
    if (options->send_path && crt_http_message_body(transfer->message)) {
        return crt_fail(fault, AWS_ERROR_INVALID_ARGUMENT, "both a body stream and send_filepath were given");
    }
    transfer->operation = crt_strdup(options->operation);
    int status = copy_signing(transfer, options->signing, fault);
    if (!status) {
        status = open_files(transfer, options, fault);
    }
    if (!status) {
        status = find_length(transfer, fault);
    }
    return status ? status : init_kind(transfer, options, fault);
}

static void on_start(crt_task *task, int status) {
    crt_s3_transfer *transfer = CRT_CONTAINER(task, crt_s3_transfer, start_task);
    transfer->progress_ms = crt_loop_now_ms(transfer->home->loop);
    if (transfer->too_short) {
        crt_s3_transfer_fail_text(transfer, AWS_ERROR_S3_INCORRECT_CONTENT_LENGTH,
                                  "the body is shorter than the Content-Length of %llu",
                                  (unsigned long long)transfer->length);
    }
    pump(transfer);
    crt_s3_transfer_release(transfer);
}

int crt_s3_transfer_start(crt_s3_client *client, const crt_s3_transfer_options *options, crt_s3_transfer **out,
                          crt_fault *fault) {
    crt_s3_transfer *transfer = crt_calloc(1, sizeof *transfer);
    if (!transfer) {
        return crt_fail(fault, AWS_ERROR_OOM, "no memory for a transfer");
    }
    crt_ref_inc(&client->users);
    transfer->client = client;
    transfer->refs.n = 3; /* the caller, the run, the start task */
    transfer->recv_fd = transfer->send_fd = -1;
    transfer->handler = options->handler;
    transfer->user = options->user;
    transfer->type = options->type;
    transfer->want_body = options->want_body && !options->recv_path;
    transfer->dynamic_parts = client->dynamic_parts && !options->part_size;
    transfer->part_size = options->part_size ? options->part_size : client->part_size;
    transfer->max_connections = client->max_connections;
    if (options->max_connections && options->max_connections < transfer->max_connections) {
        transfer->max_connections = options->max_connections;
    }
    crt_loop *loop = crt_loop_group_pick(client->loops);
    for (size_t i = 0; i < client->shard_count; i++) {
        if (client->shards[i].loop == loop) {
            transfer->home = &client->shards[i];
        }
    }
    crt_s3_window_init(&transfer->window, transfer->want_body ? CRT_S3_WINDOW_MEMORY : CRT_S3_WINDOW_FILE,
                       transfer->max_connections);
    crt_timer_init(&transfer->widen_timer, loop, on_widen);
    int status = init(transfer, options, fault);
    if (status) {
        transfer_free(transfer);
        return status;
    }
    transfer->start_task.run = on_start;
    *out = transfer;
    crt_loop_post(loop, &transfer->start_task);
    return 0;
}

/* ---- cancel ---- */

static void on_cancel(crt_task *task, int status) {
    crt_s3_transfer *transfer = CRT_CONTAINER(task, crt_s3_transfer, cancel_task);
    crt_s3_transfer_fail_text(transfer, transfer->cancel_code, "canceled");
    crt_s3_transfer_release(transfer);
}

void crt_s3_transfer_cancel(crt_s3_transfer *transfer, int code) {
    if (__atomic_exchange_n(&transfer->cancel_posted, true, __ATOMIC_ACQ_REL)) {
        return;
    }
    transfer->cancel_code = code;
    transfer->cancel_task.run = on_cancel;
    crt_s3_transfer_acquire(transfer);
    crt_loop_post(transfer->home->loop, &transfer->cancel_task);
}
