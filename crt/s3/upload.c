/*
 * PUT_OBJECT by multipart upload: Create, parts side by side, Complete; Abort when it fails.
 *
 * Parts of a file or of memory are slices that are sent from where they are. A reader's parts are read one after
 * the other into buffers, the next while earlier ones are on the wire.
 */
#include "engine.h"

#include <unistd.h>

#include "crt/crypto.h"
#include "xml.h"

enum { UPLOAD_ID_MAX = 2048 };

enum upload_step { STEP_CREATE, STEP_CREATING, STEP_PARTS, STEP_COMPLETE, STEP_COMPLETING };

typedef struct upload_details {
    enum upload_step step;
    uint64_t part_size;
    uint64_t parts;     /* CRT_S3_UNKNOWN until the reader ends */
    uint64_t next;      /* parts begun */
    uint64_t completed;
    char upload_id[UPLOAD_ID_MAX];
    crt_http_headers *created; /* the response to Create */
    char **etags;
    size_t etag_capacity;
    bool wants_md5; /* the caller sent Content-MD5: each part gets its own */
    crt_s3_reading reading;
    uint64_t reading_memory; /* what the permit of the part being read holds */
    bool is_reading;
    crt_buf xml;
} upload_details;

static upload_details *details_of(const crt_s3_transfer *transfer) {
    return transfer->details;
}

static bool knows_length(const crt_s3_transfer *transfer) {
    return transfer->length != CRT_S3_UNKNOWN;
}

static bool needs_buffers(const crt_s3_transfer *transfer) {
    return transfer->send_fd < 0 && crt_http_message_body(transfer->message)->kind == CRT_SOURCE_READER;
}

static int build_control(crt_http_message *message, const upload_details *upload) {
    return crt_s3_message_add_query(message, "uploadId", upload->upload_id);
}

/* ---- Create ---- */

static int build_create(crt_s3_request *request, crt_http_message *message) {
    int status = crt_s3_message_add_query(message, "uploads", NULL);
    return status ? status : crt_s3_message_set(message, "Content-Length", "0");
}

static bool create_done(crt_s3_request *request) {
    crt_s3_transfer *transfer = request->transfer;
    upload_details *upload = details_of(transfer);
    crt_bytes body = crt_buf_view(&request->body);
    if (!crt_s3_xml_text(body, "InitiateMultipartUploadResult/UploadId", upload->upload_id, UPLOAD_ID_MAX) ||
        !upload->upload_id[0]) {
        upload->upload_id[0] = '\0';
        crt_s3_transfer_fail_text(transfer, AWS_ERROR_S3_MISSING_UPLOAD_ID,
                                  "CreateMultipartUpload: the response names no UploadId");
        return false;
    }
    crt_s3_window_first_byte(&transfer->window, request->head_ns - request->sent_ns);
    upload->created = request->response;
    request->response = NULL;
    upload->step = STEP_PARTS;
    return false;
}

static const crt_s3_request_kind create_kind = {
    .build = build_create, .on_head = crt_s3_collect_head, .on_success = create_done};

/* ---- parts ---- */

static int build_part(crt_s3_request *request, crt_http_message *message) {
    char number[16];
    snprintf(number, sizeof number, "%u", (unsigned)request->part + 1);
    int status = crt_s3_message_add_query(message, "partNumber", number);
    if (!status) {
        status = build_control(message, details_of(request->transfer));
    }
    if (!status) {
        status = crt_s3_message_set_u64(message, "Content-Length", request->length);
    }
    if (!status && request->content_md5[0]) {
        status = crt_s3_message_set(message, "Content-MD5", request->content_md5);
    }
    return status;
}

static int keep_etag(upload_details *upload, uint64_t part, crt_bytes etag) {
    if (part >= upload->etag_capacity) {
        size_t capacity = upload->etag_capacity ? upload->etag_capacity * 2 : 64;
        while (capacity <= part) {
            capacity *= 2;
        }
        char **grown = crt_realloc(upload->etags, capacity * sizeof *grown);
        if (!grown) {
            return AWS_ERROR_OOM;
        }
        memset(grown + upload->etag_capacity, 0, (capacity - upload->etag_capacity) * sizeof *grown);
        upload->etags = grown;
        upload->etag_capacity = capacity;
    }
    upload->etags[part] = crt_strndup(etag.ptr, etag.len);
    return upload->etags[part] ? 0 : AWS_ERROR_OOM;
}

static void check_all_parts(upload_details *upload) {
    if (upload->step == STEP_PARTS && upload->completed == upload->parts) {
        upload->step = STEP_COMPLETE;
    }
}

static bool part_done(crt_s3_request *request) {
    crt_s3_transfer *transfer = request->transfer;
    upload_details *upload = details_of(transfer);
    crt_bytes etag = {NULL, 0};
    if (!crt_s3_header(request->response, "ETag", &etag) || !etag.len) {
        crt_s3_transfer_fail_text(transfer, AWS_ERROR_S3_MISSING_ETAG, "UploadPart: part %llu was answered without ETag",
                                  (unsigned long long)request->part + 1);
        return false;
    }
    int status = keep_etag(upload, request->part, etag);
    if (status) {
        crt_s3_transfer_fail_text(transfer, status, "no memory for the ETag of a part");
        return false;
    }
    upload->completed++;
    crt_s3_transfer_part_done(request);
    check_all_parts(upload);
    return false;
}

static const crt_s3_request_kind part_kind = {
    .build = build_part, .on_head = crt_s3_collect_head, .on_success = part_done};

/* RFC 1864 of a slice of the body. */
static int compute_md5(crt_s3_request *request) {
    enum { STEP = 256 * 1024 };
    crt_hash *hash = NULL;
    uint8_t digest[CRT_HASH_MAX];
    const crt_source *source = &request->source;
    uint8_t *block = source->kind == CRT_SOURCE_FILE ? crt_malloc(STEP) : NULL;
    int status = source->kind == CRT_SOURCE_FILE && !block ? AWS_ERROR_OOM : crt_hash_new(CRT_HASH_MD5, &hash);
    if (!status && request->has_source && !block) {
        status = crt_hash_update(hash, source->memory);
    }
    for (uint64_t done = 0; block && !status && done < source->length;) {
        size_t want = source->length - done < STEP ? (size_t)(source->length - done) : STEP;
        ssize_t n = pread(source->fd, block, want, (off_t)(source->offset + done));
        status = n > 0 ? crt_hash_update(hash, crt_bytes_of(block, (size_t)n)) : AWS_ERROR_S3_INCORRECT_CONTENT_LENGTH;
        done += n > 0 ? (uint64_t)n : 0;
    }
    if (!status) {
        status = crt_hash_digest(hash, digest);
    }
    if (!status) {
        crt_base64_encode(crt_bytes_of(digest, crt_hash_size(CRT_HASH_MD5)), request->content_md5);
    }
    if (hash) {
        crt_hash_free(hash);
    }
    crt_free(block);
    return status;
}

static void start_part(crt_s3_request *request) {
    crt_s3_transfer *transfer = request->transfer;
    upload_details *upload = details_of(transfer);
    int status = upload->wants_md5 ? compute_md5(request) : 0;
    if (status) {
        crt_s3_transfer_fail_text(transfer, status, "Content-MD5 of part %llu could not be computed",
                                  (unsigned long long)request->part + 1);
    }
    crt_s3_request_start(request); /* a failed transfer has told it to end at once */
}

static crt_s3_request *new_part(crt_s3_transfer *transfer, uint64_t length) {
    upload_details *upload = details_of(transfer);
    crt_s3_request *request = crt_s3_request_new(transfer, &part_kind, CRT_S3_OP_PART,
                                                 crt_s3_transfer_shard(transfer, upload->next));
    if (request) {
        request->has_slot = true;
        request->part = upload->next;
        request->offset = upload->next * upload->part_size;
        request->length = length;
        upload->next++;
    }
    return request;
}

static uint64_t length_of_next(const crt_s3_transfer *transfer) {
    const upload_details *upload = details_of(transfer);
    uint64_t left = transfer->length - upload->next * upload->part_size;
    return knows_length(transfer) && left < upload->part_size ? left : upload->part_size;
}

/* The next part is a slice of a file or of memory. */
static void launch_slice(crt_s3_transfer *transfer) {
    const crt_source *body = crt_http_message_body(transfer->message);
    crt_s3_request *request = new_part(transfer, length_of_next(transfer));
    if (!request) {
        return;
    }
    crt_s3_permit_use(transfer);
    if (transfer->send_fd >= 0) {
        crt_s3_request_body_file(request, transfer->send_fd, request->offset, request->length);
    } else if (body->kind == CRT_SOURCE_FILE) {
        crt_s3_request_body_file(request, body->fd, body->offset + request->offset, request->length);
    } else {
        crt_s3_request_body_memory(request, body->memory.ptr + request->offset, (size_t)request->length);
    }
    start_part(request);
}

/* ---- parts of a reader ---- */

static void give_up_reading(crt_s3_transfer *transfer) {
    upload_details *upload = details_of(transfer);
    crt_free_aligned(upload->reading.memory);
    upload->reading.memory = NULL;
    crt_s3_permit_give_memory(transfer->client, upload->reading_memory);
    crt_s3_permit_give_slot(transfer->client);
}

/* What was read becomes a part. */
static void send_read_part(crt_s3_transfer *transfer, size_t n) {
    upload_details *upload = details_of(transfer);
    crt_s3_request *request = new_part(transfer, n);
    if (!request) {
        give_up_reading(transfer);
        return;
    }
    request->buffer = upload->reading.memory;
    request->memory = upload->reading_memory;
    upload->reading.memory = NULL;
    if (n) {
        crt_s3_request_body_memory(request, request->buffer, n);
    }
    start_part(request);
}

static void on_part_read(crt_s3_transfer *transfer, int status, size_t n) {
    upload_details *upload = details_of(transfer);
    upload->is_reading = false;
    if (transfer->state == CRT_S3_RUNNING && status) {
        crt_s3_transfer_fail_text(transfer, status, "reading the body of part %llu failed",
                                  (unsigned long long)upload->next + 1);
    } else if (transfer->state == CRT_S3_RUNNING && knows_length(transfer) && n < upload->reading.size) {
        crt_s3_transfer_fail_text(transfer, AWS_ERROR_S3_INCORRECT_CONTENT_LENGTH,
                                  "the body ended after %llu of %llu bytes",
                                  (unsigned long long)(upload->next * upload->part_size + n),
                                  (unsigned long long)transfer->length);
    }
    bool ended = n < upload->reading.size;
    if (transfer->state != CRT_S3_RUNNING || (n == 0 && upload->next > 0)) {
        give_up_reading(transfer);
    } else {
        send_read_part(transfer, n);
    }
    if (ended && !knows_length(transfer)) {
        upload->parts = upload->next;
        check_all_parts(upload);
    }
    crt_s3_transfer_settle(transfer);
}

static void launch_reading(crt_s3_transfer *transfer) {
    upload_details *upload = details_of(transfer);
    upload->reading_memory = transfer->permit.memory;
    crt_s3_permit_use(transfer);
    upload->reading.memory = crt_malloc_aligned(upload->part_size);
    if (!upload->reading.memory) {
        crt_s3_transfer_fail_text(transfer, AWS_ERROR_OOM, "no memory for a part of %llu bytes",
                                  (unsigned long long)upload->part_size);
        give_up_reading(transfer);
        return;
    }
    upload->reading.transfer = transfer;
    upload->reading.size = (size_t)length_of_next(transfer);
    upload->reading.filled = 0;
    upload->reading.done = on_part_read;
    upload->is_reading = true;
    transfer->active++;
    crt_s3_read_fully(&upload->reading);
}

/* ---- Complete ---- */

static int build_complete(crt_s3_request *request, crt_http_message *message) {
    const crt_s3_transfer *transfer = request->transfer;
    int status = build_control(message, details_of(transfer));
    if (!status && transfer->has_content_length) {
        status = crt_s3_message_set_u64(message, "x-amz-mp-object-size", transfer->length);
    }
    return status ? status : crt_s3_message_set_u64(message, "Content-Length", request->source.length);
}

static int copy_header(crt_http_headers *to, const crt_http_headers *from, const char *name) {
    crt_bytes value;
    return crt_s3_header(from, name, &value) ? crt_http_headers_set(to, crt_bytes_str(name), value) : 0;
}

/* The outcome's headers: Complete's, with the ETag of its body and what only Create says. */
static int merge_headers(crt_s3_request *request) {
    static const char *const of_create[] = {
        "x-amz-server-side-encryption-customer-algorithm",
        "x-amz-server-side-encryption-customer-key-MD5",
        "x-amz-server-side-encryption-context",
    };
    upload_details *upload = details_of(request->transfer);
    char etag[256];
    int status = 0;
    if (crt_s3_xml_text(crt_buf_view(&request->body), "CompleteMultipartUploadResult/ETag", etag, sizeof etag)) {
        status = crt_http_headers_set(request->response, crt_bytes_str("ETag"), crt_bytes_str(etag));
    }
    for (size_t i = 0; i < sizeof of_create / sizeof *of_create && !status; i++) {
        status = copy_header(request->response, upload->created, of_create[i]);
    }
    return status;
}

static bool complete_done(crt_s3_request *request) {
    crt_s3_transfer *transfer = request->transfer;
    int status = merge_headers(request);
    if (status) {
        crt_s3_transfer_fail_text(transfer, status, "no memory for the response headers");
        return false;
    }
    crt_s3_transfer_report_headers(transfer, request->status, request->response);
    details_of(transfer)->upload_id[0] = '\0'; /* nothing to abort any more */
    crt_s3_transfer_succeed(transfer, request->status);
    return false;
}

static const crt_s3_request_kind complete_kind = {
    .build = build_complete, .on_head = crt_s3_collect_head, .on_success = complete_done};

static int write_xml(upload_details *upload) {
    int status = crt_s3_xml_complete_begin(&upload->xml);
    for (uint64_t i = 0; i < upload->parts && !status; i++) {
        status = crt_s3_xml_complete_part(&upload->xml, (uint32_t)i + 1, crt_bytes_str(upload->etags[i]));
    }
    return status ? status : crt_s3_xml_complete_end(&upload->xml);
}

static void launch_control(crt_s3_transfer *transfer) {
    upload_details *upload = details_of(transfer);
    bool completes = upload->step == STEP_COMPLETE;
    if (completes && write_xml(upload) != 0) {
        crt_s3_transfer_fail_text(transfer, AWS_ERROR_OOM, "no memory for the list of parts");
        return;
    }
    crt_s3_request *request =
        crt_s3_request_new(transfer, completes ? &complete_kind : &create_kind,
                           completes ? CRT_S3_OP_COMPLETE : CRT_S3_OP_CREATE, transfer->home);
    if (!request) {
        return;
    }
    crt_s3_permit_use(transfer);
    request->has_slot = true;
    upload->step = completes ? STEP_COMPLETING : STEP_CREATING;
    if (completes) {
        crt_s3_request_body_memory(request, crt_buf_data(&upload->xml), crt_buf_len(&upload->xml));
    }
    crt_s3_request_start(request);
}

/* ---- Abort ---- */

static int build_abort(crt_s3_request *request, crt_http_message *message) {
    return build_control(message, details_of(request->transfer));
}

static bool abort_done(crt_s3_request *request) {
    return false;
}

static const crt_s3_request_kind abort_kind = {
    .build = build_abort, .on_head = crt_s3_collect_head, .on_success = abort_done};

static bool clean_up(crt_s3_transfer *transfer) {
    if (!details_of(transfer)->upload_id[0]) {
        return false;
    }
    crt_s3_request *request = crt_s3_request_new(transfer, &abort_kind, CRT_S3_OP_ABORT, transfer->home);
    if (request) {
        crt_s3_request_start(request);
    }
    return request != NULL;
}

/* ---- the kind ---- */

static bool wants(crt_s3_transfer *transfer, uint64_t *memory) {
    const upload_details *upload = details_of(transfer);
    *memory = 0;
    switch (upload->step) {
    case STEP_CREATE:
    case STEP_COMPLETE:
        return true;
    case STEP_PARTS:
        if (needs_buffers(transfer)) {
            *memory = upload->part_size;
        }
        return !upload->is_reading && upload->next < upload->parts && transfer->active < transfer->window.size;
    default:
        return false;
    }
}

static void launch(crt_s3_transfer *transfer) {
    if (details_of(transfer)->step != STEP_PARTS) {
        launch_control(transfer);
    } else if (needs_buffers(transfer)) {
        launch_reading(transfer);
    } else {
        launch_slice(transfer);
    }
}

static void destroy(crt_s3_transfer *transfer) {
    upload_details *upload = details_of(transfer);
    for (size_t i = 0; i < upload->etag_capacity; i++) {
        crt_free(upload->etags[i]);
    }
    crt_free(upload->etags);
    if (upload->created) {
        crt_http_headers_release(upload->created);
    }
    crt_buf_free(&upload->xml);
    crt_free(upload);
}

static const crt_s3_transfer_kind kind = {.wants = wants, .launch = launch, .clean_up = clean_up, .destroy = destroy};

int crt_s3_upload_init(crt_s3_transfer *transfer, const crt_s3_upload_plan *plan, crt_fault *fault) {
    upload_details *upload = crt_calloc(1, sizeof *upload);
    transfer->kind = &kind;
    transfer->details = upload;
    if (!upload) {
        return crt_fail(fault, AWS_ERROR_OOM, "no memory for an upload");
    }
    upload->part_size = plan->part_size;
    upload->parts = knows_length(transfer) ? plan->parts : CRT_S3_UNKNOWN;
    upload->wants_md5 = crt_s3_callers_header(transfer, "Content-MD5");
    return 0;
}
