/* One HTTP request as the caller wrote it: DEFAULT, a small PUT_OBJECT, and GET_OBJECT by part number. */
#include "engine.h"

#include <strings.h>

enum single_step { STEP_READ, STEP_READING, STEP_SEND, STEP_SENT };

typedef struct single_details {
    enum single_step step;
    bool is_get; /* the response body is an object, not a document */
    crt_s3_reading reading;
} single_details;

static single_details *details_of(const crt_s3_transfer *transfer) {
    return transfer->details;
}

static const crt_source *body_of(const crt_s3_transfer *transfer) {
    return crt_http_message_body(transfer->message);
}

/* Bodies are sent when their length is known; of other sources only readers are consulted at all. */
static bool sends_body(const crt_s3_transfer *transfer) {
    bool has_source = transfer->send_fd >= 0 || body_of(transfer);
    return has_source && transfer->length != CRT_S3_UNKNOWN && transfer->length > 0;
}

static bool must_read(const crt_s3_transfer *transfer) {
    return sends_body(transfer) && transfer->send_fd < 0 && body_of(transfer)->kind == CRT_SOURCE_READER;
}

/* ---- request ---- */

static int build(crt_s3_request *request, crt_http_message *message) {
    const crt_s3_transfer *transfer = request->transfer;
    bool upload = transfer->type == CRT_S3_PUT_OBJECT || strcasecmp(request->operation_name, "PutObject") == 0 ||
                  strcasecmp(request->operation_name, "UploadPart") == 0;
    if (transfer->has_content_length) {
        return 0;
    }
    if (request->has_source) {
        return crt_s3_message_set_u64(message, "Content-Length", request->source.length);
    }
    return upload ? crt_s3_message_set(message, "Content-Length", "0") : 0;
}

static uint64_t object_offset(const crt_s3_request *request) {
    crt_bytes value;
    uint64_t first = 0, last, size;
    if (crt_s3_header(request->response, "Content-Range", &value)) {
        crt_s3_parse_content_range(value, &first, &last, &size);
    }
    return first;
}

static int on_head(crt_s3_request *request) {
    const crt_s3_transfer *transfer = request->transfer;
    bool has_body = request->content_length != 0 && !crt_s3_bytes_are(crt_http_message_method(transfer->message), "HEAD");
    if (!details_of(transfer)->is_get || !has_body) {
        return crt_s3_collect_head(request);
    }
    request->offset = object_offset(request);
    request->length = request->content_length;
    return crt_s3_response_to_receiver(request, request->content_length, 0);
}

/* ---- response ---- */

static void deliver(crt_s3_request *request) {
    crt_s3_transfer *transfer = request->transfer;
    crt_s3_chunk chunk = {.offset = request->offset, .length = (size_t)request->received, .cookie = request->cookie};
    if (!transfer->want_body || !request->received || request->sink == CRT_S3_SINK_DROP) {
        return;
    }
    if (!chunk.cookie) {
        chunk.small = request->body;
        memset(&request->body, 0, sizeof request->body);
    }
    request->cookie = NULL;
    transfer->handler->on_body(transfer->user, &chunk);
}

/* A collected document goes to the file, too. */
static int store(crt_s3_request *request) {
    const crt_s3_transfer *transfer = request->transfer;
    bool collected = request->sink == CRT_S3_SINK_BUFFER && request->received;
    return transfer->recv_fd >= 0 && collected ? crt_s3_response_store(request) : 0;
}

static bool on_success(crt_s3_request *request) {
    crt_s3_transfer *transfer = request->transfer;
    bool upload = transfer->type == CRT_S3_PUT_OBJECT;
    if (store(request) != 0) {
        crt_s3_transfer_fail(transfer, &request->sink_fault);
        return false;
    }
    crt_s3_transfer_report_headers(transfer, request->status, request->response);
    deliver(request);
    crt_s3_transfer_add_progress(transfer, upload && sends_body(transfer) ? transfer->length
                                           : upload                       ? 0
                                                                          : request->received);
    crt_s3_transfer_succeed(transfer, request->status);
    return false;
}

static const crt_s3_request_kind request_kind = {.build = build, .on_head = on_head, .on_success = on_success};

/* ---- body ---- */

static void attach_body(crt_s3_transfer *transfer, crt_s3_request *request) {
    const crt_source *body = body_of(transfer);
    single_details *single = details_of(transfer);
    if (!sends_body(transfer)) {
        return;
    }
    if (transfer->send_fd >= 0) {
        crt_s3_request_body_file(request, transfer->send_fd, 0, transfer->length);
    } else if (body->kind == CRT_SOURCE_READER) {
        request->buffer = single->reading.memory;
        single->reading.memory = NULL;
        crt_s3_request_body_memory(request, request->buffer, (size_t)transfer->length);
    } else if (body->kind == CRT_SOURCE_FILE) {
        crt_s3_request_body_file(request, body->fd, body->offset, transfer->length);
    } else {
        crt_s3_request_body_memory(request, body->memory.ptr, (size_t)transfer->length);
    }
}

static void on_body_read(crt_s3_transfer *transfer, int status, size_t n) {
    if (transfer->state == CRT_S3_RUNNING) {
        if (status) {
            crt_s3_transfer_fail_text(transfer, status, "reading the body failed");
        } else if (n < transfer->length) {
            crt_s3_transfer_fail_text(transfer, AWS_ERROR_S3_INCORRECT_CONTENT_LENGTH,
                                      "the body ended after %zu of %llu bytes", n,
                                      (unsigned long long)transfer->length);
        }
    }
    details_of(transfer)->step = STEP_SEND;
    crt_s3_transfer_settle(transfer);
}

/* The whole body is read first: a retry sends the same bytes again without asking the source. */
static void read_body(crt_s3_transfer *transfer) {
    single_details *single = details_of(transfer);
    crt_s3_reading *reading = &single->reading;
    reading->memory = crt_malloc_aligned((size_t)transfer->length);
    if (!reading->memory) {
        crt_s3_transfer_fail_text(transfer, AWS_ERROR_OOM, "no memory for a body of %llu bytes",
                                  (unsigned long long)transfer->length);
        return;
    }
    reading->transfer = transfer;
    reading->size = (size_t)transfer->length;
    reading->done = on_body_read;
    single->step = STEP_READING;
    transfer->active++;
    crt_s3_read_fully(reading);
}

/* ---- the kind ---- */

static bool wants(crt_s3_transfer *transfer, uint64_t *memory) {
    single_details *single = details_of(transfer);
    *memory = 0;
    if (single->step == STEP_READ) {
        read_body(transfer);
    }
    return single->step == STEP_SEND;
}

static void launch(crt_s3_transfer *transfer) {
    single_details *single = details_of(transfer);
    crt_s3_request *request = crt_s3_request_new(transfer, &request_kind, CRT_S3_OP_PLAIN, transfer->home);
    if (!request) {
        return;
    }
    crt_s3_permit_use(transfer);
    request->has_slot = true;
    request->operation_name = transfer->operation;
    single->step = STEP_SENT;
    attach_body(transfer, request);
    crt_s3_request_start(request);
}

static void destroy(crt_s3_transfer *transfer) {
    single_details *single = details_of(transfer);
    crt_free_aligned(single->reading.memory);
    crt_free(single);
}

static const crt_s3_transfer_kind kind = {.wants = wants, .launch = launch, .destroy = destroy};

int crt_s3_single_init(crt_s3_transfer *transfer, crt_fault *fault) {
    single_details *single = crt_calloc(1, sizeof *single);
    const char *name = transfer->type == CRT_S3_GET_OBJECT   ? "GetObject"
                       : transfer->type == CRT_S3_PUT_OBJECT ? "PutObject"
                                                             : transfer->operation;
    transfer->kind = &kind;
    transfer->details = single;
    if (name != transfer->operation) {
        crt_free(transfer->operation);
        transfer->operation = crt_strdup(name);
    }
    if (!single || !transfer->operation) {
        return crt_fail(fault, AWS_ERROR_OOM, "no memory for a request");
    }
    single->is_get = strcasecmp(transfer->operation, "GetObject") == 0;
    single->step = must_read(transfer) ? STEP_READ : STEP_SEND;
    return 0;
}
