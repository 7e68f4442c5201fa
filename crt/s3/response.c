/* Responses: what they mean, and where their bodies land. Runs on the shard's loop. */
#include "engine.h"

#include <strings.h>

#include "xml.h"

static bool is_success(int status) {
    return status == 200 || status == 204 || status == 206;
}

void crt_s3_response_reset(crt_s3_request *request) {
    if (request->response) {
        crt_http_headers_release(request->response);
        request->response = NULL;
    }
    crt_buf_clear(&request->body);
    request->status = 0;
    request->content_length = CRT_S3_UNKNOWN;
    request->received = 0;
    request->is_response = false;
    request->fault.code = 0;
    request->fault.detail[0] = '\0';
    request->sink_fault.code = 0;
}

static int on_head(void *user, int status, const crt_http_header *headers, size_t count) {
    crt_s3_request *request = user;
    crt_bytes length;
    request->head_ns = crt_clock_ns();
    request->status = status;
    request->response = crt_http_headers_new();
    if (!request->response) {
        return AWS_ERROR_OOM;
    }
    for (size_t i = 0; i < count; i++) {
        int failed = crt_http_headers_add(request->response, headers[i].name, headers[i].value);
        if (failed) {
            return failed;
        }
    }
    if (crt_s3_header(request->response, "Content-Length", &length)) {
        crt_s3_parse_u64(length, &request->content_length);
    }
    if (!is_success(status)) {
        request->sink = CRT_S3_SINK_BUFFER;
        return 0;
    }
    return request->kind->on_head(request);
}

int crt_s3_collect_head(crt_s3_request *request) {
    request->sink = CRT_S3_SINK_BUFFER;
    return 0;
}

int crt_s3_response_to_receiver(crt_s3_request *request, uint64_t length, uint64_t file_offset) {
    crt_s3_transfer *transfer = request->transfer;
    if (!crt_s3_shard_staging(request->shard)) {
        return AWS_ERROR_OOM;
    }
    if (transfer->recv_fd >= 0) {
        request->sink = crt_s3_file_wants_writer(request, length) ? CRT_S3_SINK_BLOCKS : CRT_S3_SINK_FILE;
        request->file_offset = file_offset;
        return 0;
    }
    if (!transfer->want_body) {
        request->sink = CRT_S3_SINK_DROP;
        return 0;
    }
    if (request->body_memory) {
        request->sink = CRT_S3_SINK_MEMORY;
        return 0;
    }
    /* Requests that did not ask for memory beforehand run on the home loop, where it can be asked for. */
    if (length == CRT_S3_UNKNOWN || length <= CRT_S3_SMALL_BODY) {
        request->sink = CRT_S3_SINK_BUFFER;
        return 0;
    }
    request->sink = CRT_S3_SINK_MEMORY;
    crt_s3_request_ask_memory(request);
    return 0;
}

/* Room for more of a body that is collected. */
static crt_span buffer_space(crt_s3_request *request, uint64_t want) {
    crt_span space = {NULL, 0};
    size_t room = want < CRT_S3_SMALL_BODY ? (size_t)want + 1 : CRT_S3_SMALL_BODY;
    if (crt_buf_reserve(&request->body, room) != 0) {
        crt_http_stream_cancel(request->stream, AWS_ERROR_OOM);
        return space;
    }
    space.ptr = request->body.ptr + request->body.end;
    space.len = room;
    return space;
}

static void on_space(void *user, uint64_t want, crt_span *space) {
    crt_s3_request *request = user;
    crt_s3_shard *shard = request->shard;
    crt_span staging = {shard->staging, CRT_S3_STAGING_SIZE};
    crt_span none = {NULL, 0};
    if (request->sink == CRT_S3_SINK_BUFFER) {
        *space = buffer_space(request, want);
    } else if (request->sink == CRT_S3_SINK_BLOCKS && request->received < request->length) {
        *space = crt_s3_file_space(request);
    } else if (request->sink == CRT_S3_SINK_MEMORY && !request->body_memory) {
        *space = none;
    } else if (request->sink == CRT_S3_SINK_MEMORY && request->received < request->length) {
        space->ptr = request->body_memory + request->received;
        space->len = (size_t)(request->length - request->received);
    } else {
        *space = staging;
    }
}

int crt_s3_response_store(crt_s3_request *request) {
    crt_bytes all = crt_buf_view(&request->body);
    request->received = 0;
    request->file_offset = 0;
    int status = crt_s3_file_write_now(request, all);
    request->received = all.len;
    return status;
}

static int to_memory(crt_s3_request *request, crt_bytes data) {
    uint8_t *at = request->body_memory + request->received;
    if (data.ptr != at) {
        memcpy(at, data.ptr, data.len);
    }
    return 0;
}

static int to_buffer(crt_s3_request *request, crt_bytes data) {
    crt_buf *body = &request->body;
    if (!is_success(request->status) && crt_buf_len(body) >= CRT_S3_ERROR_BODY_MAX) {
        return 0;
    }
    if (crt_buf_len(body) + data.len > request->transfer->client->memory_limit) {
        return crt_fail(&request->sink_fault, AWS_ERROR_S3_BUFFER_ALLOCATION_FAILED,
                        "the response is larger than the client's memory limit");
    }
    if (body->ptr && data.ptr == body->ptr + body->end) {
        body->end += data.len;
        return 0;
    }
    return crt_buf_append(body, data.ptr, data.len);
}

static int on_body(void *user, crt_bytes data) {
    crt_s3_request *request = user;
    int status = 0;
    if (request->sink != CRT_S3_SINK_BUFFER && request->length != CRT_S3_UNKNOWN &&
        data.len > request->length - request->received) {
        return crt_fail(&request->sink_fault, AWS_ERROR_HTTP_PROTOCOL_ERROR, "more body than the head announced");
    }
    switch (request->sink) {
    case CRT_S3_SINK_FILE:
        status = crt_s3_file_write_now(request, data);
        break;
    case CRT_S3_SINK_BLOCKS:
        crt_s3_file_received(request, data);
        break;
    case CRT_S3_SINK_MEMORY:
        status = to_memory(request, data);
        break;
    case CRT_S3_SINK_BUFFER:
        status = to_buffer(request, data);
        break;
    case CRT_S3_SINK_DROP:
        break;
    }
    request->received += data.len;
    return status;
}

static void on_complete(void *user, const crt_fault *fault, int status) {
    crt_s3_request_attempt_done(user, fault);
}

const crt_http_stream_handler crt_s3_stream_handler = {on_head, on_space, on_body, on_complete};

/* ---- judgement ---- */

/* The Code element of an error document; false when the body is none. */
static bool error_code_of(const crt_s3_request *request, char *code, size_t size) {
    crt_bytes body = crt_buf_view(&request->body);
    return request->sink == CRT_S3_SINK_BUFFER && body.len && crt_s3_xml_text(body, "Error/Code", code, size);
}

/* The response itself is the failure that is reported. */
static enum crt_s3_retry_class refuse(crt_s3_request *request, int code, const char *xml_code) {
    char target[160];
    crt_s3_transfer_describe(request->transfer, target, sizeof target);
    request->is_response = true;
    crt_fail(&request->fault, code, "%s for %s was answered with status %d%s%s", request->operation_name, target,
             request->status, xml_code[0] ? " " : "", xml_code);
    return CRT_S3_NO_RETRY;
}

enum crt_s3_retry_class crt_s3_response_judge(crt_s3_request *request) {
    const crt_s3_transfer *transfer = request->transfer;
    char xml_code[64] = "";
    int code = 0;
    bool success = is_success(request->status);
    bool is_get = strcasecmp(request->operation_name, "GetObject") == 0;
    /* Some operations report failures in the body of a 200 that was sent before the work was done. */
    bool has_error = (!success || !is_get) && error_code_of(request, xml_code, sizeof xml_code);
    if (success && !has_error) {
        bool short_body = request->length != CRT_S3_UNKNOWN && transfer->type == CRT_S3_GET_OBJECT && is_get &&
                          request->received != request->length;
        if (!short_body) {
            return CRT_S3_NO_RETRY;
        }
        crt_fail(&request->fault, AWS_ERROR_HTTP_CONNECTION_CLOSED, "the response ended after %llu of %llu bytes",
                 (unsigned long long)request->received, (unsigned long long)request->length);
        return CRT_S3_TRANSIENT;
    }
    enum crt_s3_retry_class cause = crt_s3_classify_response(request->status, has_error ? xml_code : NULL, &code);
    if (cause != CRT_S3_NO_RETRY) {
        crt_fail(&request->fault, code, "answered with status %d%s%s", request->status, xml_code[0] ? " " : "",
                 xml_code);
        request->is_response = true;
        return cause;
    }
    if (success) {
        return refuse(request, AWS_ERROR_S3_NON_RECOVERABLE_ASYNC_ERROR, xml_code);
    }
    bool modified = request->status == 412 && transfer->type == CRT_S3_GET_OBJECT &&
                    !crt_s3_callers_header(transfer, "If-Match");
    return refuse(request, modified ? AWS_ERROR_S3_OBJECT_MODIFIED : AWS_ERROR_S3_INVALID_RESPONSE_STATUS, xml_code);
}
