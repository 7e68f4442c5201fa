/*
 * GET_OBJECT: the first request tells how large the object is, the rest is fetched in ranges.
 *
 * Bodies go where they belong as they arrive: into the file at their offset, or into memory that the receiver named
 * for the part. Only delivery to a receiver is in order.
 */
#include "engine.h"

#include <unistd.h>

#include "xml.h"

/* An object that changes between empty and not empty this often is given up on. */
#define DISCOVERIES_MAX 3

enum get_step { STEP_DISCOVER, STEP_DISCOVERING, STEP_PARTS };

typedef struct get_details {
    enum get_step step;
    int discoveries;
    bool has_range;
    crt_s3_range range; /* the caller's */
    bool own_if_match;  /* the caller gave none: parts carry the ETag of the first response */
    char *etag;
    uint64_t first; /* absolute offset of the first byte wanted */
    crt_s3_parts parts;
    uint64_t count;
    uint64_t parts_from; /* 1 when part 0 came with the discovery */
    uint64_t next;       /* parts asked for so far */
    uint64_t completed;
    uint64_t deliver;    /* index of the part to deliver next */
    crt_s3_request *ready; /* completed parts ahead of it, ascending */
    size_t held;           /* parts asked for and not yet delivered */
} get_details;

static get_details *details_of(const crt_s3_transfer *transfer) {
    return transfer->details;
}

static bool spreads(const crt_s3_transfer *transfer) {
    return transfer->recv_fd >= 0 && !transfer->client->sequential;
}

/* ---- planning ---- */

static int keep_etag(crt_s3_transfer *transfer, const crt_http_headers *headers) {
    get_details *get = details_of(transfer);
    crt_bytes etag;
    if (!crt_s3_header(headers, "ETag", &etag) || !etag.len) {
        return AWS_ERROR_S3_MISSING_ETAG;
    }
    crt_free(get->etag);
    get->etag = crt_strndup(etag.ptr, etag.len);
    return get->etag ? 0 : AWS_ERROR_OOM;
}

/* The headers of the discovery response as if the whole had been answered at once. */
static int report_headers(crt_s3_transfer *transfer, const crt_http_headers *response, uint64_t size) {
    const get_details *get = details_of(transfer);
    uint64_t total = get->parts.total;
    crt_buf text = CRT_BUF_INIT;
    crt_http_headers *headers = crt_http_headers_new();
    int status = headers ? 0 : AWS_ERROR_OOM;
    for (size_t i = 0, n = crt_http_headers_count(response); i < n && !status; i++) {
        crt_http_header h = crt_http_headers_at(response, i);
        if (!crt_s3_bytes_are(h.name, "Content-Length") && !crt_s3_bytes_are(h.name, "Content-Range")) {
            status = crt_http_headers_add(headers, h.name, h.value);
        }
    }
    if (!status) {
        status = crt_buf_printf(&text, "%llu", (unsigned long long)total);
    }
    if (!status) {
        status = crt_http_headers_add(headers, crt_bytes_str("Content-Length"), crt_buf_view(&text));
    }
    crt_buf_clear(&text);
    if (!status && get->has_range && total) {
        status = crt_buf_printf(&text, "bytes %llu-%llu/%llu", (unsigned long long)get->first,
                                (unsigned long long)(get->first + total - 1), (unsigned long long)size);
        if (!status) {
            status = crt_http_headers_add(headers, crt_bytes_str("Content-Range"), crt_buf_view(&text));
        }
    }
    if (!status) {
        crt_s3_transfer_report_headers(transfer, get->has_range ? 206 : 200, headers);
    }
    crt_buf_free(&text);
    if (headers) {
        crt_http_headers_release(headers);
    }
    return status;
}

/* All is known now: the object has `size` bytes, `head` of those wanted are on their way with the first response. */
static int plan(crt_s3_transfer *transfer, const crt_http_headers *response, uint64_t size, uint64_t head) {
    get_details *get = details_of(transfer);
    const crt_s3_client *client = transfer->client;
    if (transfer->dynamic_parts) {
        transfer->part_size = crt_s3_plan_download_part(crt_bytes_str(get->etag), size, client->memory_limit,
                                                        client->ideal_connections);
    }
    if (transfer->want_body && transfer->part_size > client->memory_limit - CRT_S3_MEMORY_RESERVED) {
        return AWS_ERROR_S3_PART_SIZE_EXCEEDS_MEMORY_LIMIT;
    }
    get->parts.part_size = transfer->part_size;
    get->parts.head = head ? head : transfer->part_size;
    get->count = crt_s3_parts_count(&get->parts);
    if (transfer->recv_fd >= 0) {
        /* Makes the extent known to the file system; devices and pipes refuse, and need no extent. */
        (void)!ftruncate(transfer->recv_fd, (off_t)get->parts.total);
    }
    int status = report_headers(transfer, response, size);
    get->step = STEP_PARTS;
    crt_s3_transfer_pump_soon(transfer);
    return status;
}

/* ---- delivery ---- */

static void deliver(crt_s3_transfer *transfer, crt_s3_request *request) {
    crt_s3_chunk chunk = {.offset = request->offset, .length = (size_t)request->length, .cookie = request->cookie};
    if (!chunk.cookie) {
        chunk.small = request->body;
        memset(&request->body, 0, sizeof request->body);
    }
    request->cookie = NULL;
    transfer->handler->on_body(transfer->user, &chunk);
    crt_s3_request_discard(request);
    details_of(transfer)->held--;
}

static void deliver_in_order(crt_s3_transfer *transfer, crt_s3_request *request) {
    get_details *get = details_of(transfer);
    crt_s3_request **p = &get->ready;
    while (*p && (*p)->part < request->part) {
        p = &(*p)->next_ready;
    }
    request->next_ready = *p;
    *p = request;
    while (get->ready && get->ready->part == get->deliver) {
        crt_s3_request *next = get->ready;
        get->ready = next->next_ready;
        get->deliver++;
        deliver(transfer, next);
    }
}

static bool part_done(crt_s3_request *request) {
    crt_s3_transfer *transfer = request->transfer;
    get_details *get = details_of(transfer);
    get->completed++;
    crt_s3_transfer_part_done(request);
    if (transfer->want_body) {
        deliver_in_order(transfer, request);
    } else {
        get->held--;
    }
    if (get->completed == get->count) {
        crt_s3_transfer_succeed(transfer, get->has_range ? 206 : 200);
    }
    return transfer->want_body;
}

/* ---- requests ---- */

static int build_part(crt_s3_request *request, crt_http_message *message) {
    const get_details *get = details_of(request->transfer);
    int status = crt_s3_message_set_range(message, request->offset, request->offset + request->length - 1);
    if (!status && get->etag && get->own_if_match) {
        status = crt_s3_message_set(message, "If-Match", get->etag);
    }
    return status;
}

/* The answer must be the range asked for, which may end early at the object's end. */
static int check_range(crt_s3_request *request, uint64_t *last, uint64_t *size) {
    crt_bytes value;
    uint64_t first = 0;
    if (!crt_s3_header(request->response, "Content-Range", &value)) {
        return AWS_ERROR_S3_MISSING_CONTENT_RANGE_HEADER;
    }
    if (!crt_s3_parse_content_range(value, &first, last, size) || first != request->offset) {
        return AWS_ERROR_S3_INVALID_CONTENT_RANGE_HEADER;
    }
    uint64_t asked = request->offset + request->length - 1;
    uint64_t expected = asked < *size - 1 ? asked : *size - 1;
    return *last == expected ? 0 : AWS_ERROR_S3_INVALID_CONTENT_RANGE_HEADER;
}

static int part_head(crt_s3_request *request) {
    const get_details *get = details_of(request->transfer);
    uint64_t last, size;
    int status = check_range(request, &last, &size);
    if (status) {
        return status;
    }
    if (last != request->offset + request->length - 1) {
        return AWS_ERROR_S3_INVALID_CONTENT_RANGE_HEADER; /* the object shrank */
    }
    return crt_s3_response_to_receiver(request, request->length, request->offset - get->first);
}

static const crt_s3_request_kind part_kind = {.build = build_part, .on_head = part_head, .on_success = part_done};

/* ---- discovery by the first range ---- */

static uint64_t wanted_end(const get_details *get, uint64_t size) {
    bool closed = get->has_range && get->range.kind == CRT_S3_RANGE_CLOSED;
    return closed && get->range.last < size ? get->range.last + 1 : size;
}

static int discovery_head(crt_s3_request *request) {
    crt_s3_transfer *transfer = request->transfer;
    get_details *get = details_of(transfer);
    uint64_t last, size;
    if (get->step == STEP_PARTS) {
        return part_head(request); /* a retry after the plan was made */
    }
    int status = check_range(request, &last, &size);
    if (!status) {
        status = keep_etag(transfer, request->response);
    }
    if (status) {
        return status;
    }
    crt_s3_window_first_byte(&transfer->window, request->head_ns - request->sent_ns);
    request->length = last - request->offset + 1;
    get->first = request->offset;
    get->parts.total = wanted_end(get, size) - get->first;
    status = plan(transfer, request->response, size, request->length);
    return status ? status : crt_s3_response_to_receiver(request, request->length, 0);
}

static bool discovery_refused(crt_s3_request *request);

static const crt_s3_request_kind discovery_kind = {
    .build = build_part, .on_head = discovery_head, .on_success = part_done, .on_refused = discovery_refused};

/* ---- discovery by HEAD: suffix ranges ---- */

static int build_nothing(crt_s3_request *request, crt_http_message *message) {
    return 0;
}

static bool head_done(crt_s3_request *request) {
    crt_s3_transfer *transfer = request->transfer;
    get_details *get = details_of(transfer);
    crt_bytes value;
    uint64_t first = 0, last = 0, size = 0;
    int status = keep_etag(transfer, request->response);
    crt_s3_window_first_byte(&transfer->window, request->head_ns - request->sent_ns);
    if (crt_s3_header(request->response, "Content-Range", &value)) {
        if (!status && !crt_s3_parse_content_range(value, &first, &last, &size)) {
            status = AWS_ERROR_S3_INVALID_CONTENT_RANGE_HEADER;
        }
        get->parts.total = last - first + 1;
    } else if (request->content_length == CRT_S3_UNKNOWN) {
        status = status ? status : AWS_ERROR_S3_MISSING_CONTENT_LENGTH_HEADER;
    } else {
        /* Servers may ignore Range on HEAD. */
        size = request->content_length;
        first = size > get->range.last ? size - get->range.last : 0;
        get->parts.total = size - first;
    }
    get->first = first;
    if (!status) {
        status = plan(transfer, request->response, size, 0);
    }
    if (status) {
        crt_s3_transfer_fail_text(transfer, status, "HeadObject: the response does not describe the object");
    } else if (!get->count) {
        crt_s3_transfer_succeed(transfer, 206);
    }
    return false;
}

static const crt_s3_request_kind head_kind = {
    .build = build_nothing, .on_head = crt_s3_collect_head, .on_success = head_done};

/* ---- empty objects ---- */

static int build_first_part(crt_s3_request *request, crt_http_message *message) {
    return crt_s3_message_add_query(message, "partNumber", "1");
}

static int first_part_head(crt_s3_request *request) {
    request->sink = CRT_S3_SINK_DROP;
    return crt_s3_shard_staging(request->shard) ? 0 : AWS_ERROR_OOM;
}

static bool first_part_done(crt_s3_request *request) {
    crt_s3_transfer *transfer = request->transfer;
    get_details *get = details_of(transfer);
    if (request->received) {
        get->step = STEP_DISCOVER; /* not empty any more */
        return false;
    }
    get->parts.total = 0;
    int status = report_headers(transfer, request->response, 0);
    if (status) {
        crt_s3_transfer_fail_text(transfer, status, "no memory for the response headers");
        return false;
    }
    crt_s3_transfer_succeed(transfer, 200);
    return false;
}

static const crt_s3_request_kind first_part_kind = {
    .build = build_first_part, .on_head = first_part_head, .on_success = first_part_done};

static bool is_empty_object(const crt_s3_request *request) {
    crt_bytes type;
    char size[24];
    return request->status == 416 && crt_s3_header(request->response, "Content-Type", &type) &&
           crt_s3_bytes_are(type, "application/xml") &&
           crt_s3_xml_text(crt_buf_view(&request->body), "Error/ActualObjectSize", size, sizeof size) &&
           strcmp(size, "0") == 0;
}

/* Any range of an empty object is refused: ask for its first part, which has no range. */
static bool discovery_refused(crt_s3_request *request) {
    crt_s3_transfer *transfer = request->transfer;
    get_details *get = details_of(transfer);
    if (get->has_range || get->step == STEP_PARTS || !is_empty_object(request)) {
        return false;
    }
    crt_s3_request *first = crt_s3_request_new(transfer, &first_part_kind, CRT_S3_OP_FIRST_PART, transfer->home);
    if (first) {
        crt_s3_request_start(first);
    }
    return true;
}

/* ---- the kind ---- */

static uint64_t discovery_length(const crt_s3_transfer *transfer) {
    const get_details *get = details_of(transfer);
    uint64_t length = transfer->part_size;
    if (get->has_range && get->range.kind == CRT_S3_RANGE_CLOSED) {
        uint64_t wanted = get->range.last - get->range.first + 1;
        length = wanted < length ? wanted : length;
    }
    return length;
}

static bool wants(crt_s3_transfer *transfer, uint64_t *memory) {
    const get_details *get = details_of(transfer);
    switch (get->step) {
    case STEP_DISCOVER:
        *memory = transfer->want_body ? discovery_length(transfer) : 0;
        return true;
    case STEP_DISCOVERING:
        return false;
    default:
        *memory = transfer->want_body ? transfer->part_size : 0;
        return get->next < get->count && get->held < transfer->window.size;
    }
}

static void launch_discovery(crt_s3_transfer *transfer) {
    get_details *get = details_of(transfer);
    bool by_head = get->has_range && get->range.kind == CRT_S3_RANGE_SUFFIX;
    if (++get->discoveries > DISCOVERIES_MAX) {
        crt_s3_transfer_fail_text(transfer, AWS_ERROR_S3_OBJECT_MODIFIED, "the object keeps changing");
        return;
    }
    crt_s3_request *request = crt_s3_request_new(transfer, by_head ? &head_kind : &discovery_kind,
                                                 by_head ? CRT_S3_OP_HEAD : CRT_S3_OP_GET, transfer->home);
    if (!request) {
        return;
    }
    request->has_slot = true;
    request->memory = transfer->permit.memory;
    crt_s3_permit_use(transfer);
    get->step = STEP_DISCOVERING;
    get->parts_from = get->next = get->held = by_head ? 0 : 1;
    if (!by_head) {
        request->offset = get->range.first;
        request->length = discovery_length(transfer);
    }
    crt_s3_request_start(request);
}

static void launch_part(crt_s3_transfer *transfer) {
    get_details *get = details_of(transfer);
    uint64_t base = get->parts_from;
    uint64_t turn = get->next - base;
    uint64_t index = base + (spreads(transfer) ? crt_s3_plan_spread(turn, get->count - base, transfer->max_connections)
                                               : turn);
    crt_s3_request *request =
        crt_s3_request_new(transfer, &part_kind, CRT_S3_OP_GET, crt_s3_transfer_shard(transfer, get->next));
    if (!request) {
        return;
    }
    request->has_slot = true;
    request->memory = transfer->permit.memory;
    crt_s3_permit_use(transfer);
    get->next++;
    get->held++;
    request->part = index;
    crt_s3_parts_at(&get->parts, index, &request->offset, &request->length);
    request->offset += get->first;
    if (transfer->want_body) {
        crt_s3_request_ask_memory(request);
    } else {
        crt_s3_request_start(request);
    }
}

static void launch(crt_s3_transfer *transfer) {
    if (details_of(transfer)->step == STEP_DISCOVER) {
        launch_discovery(transfer);
    } else {
        launch_part(transfer);
    }
}

/* Parts that were received but never delivered. */
static bool clean_up(crt_s3_transfer *transfer) {
    get_details *get = details_of(transfer);
    while (get->ready) {
        crt_s3_request *request = get->ready;
        get->ready = request->next_ready;
        crt_s3_request_discard(request);
    }
    return false;
}

static void destroy(crt_s3_transfer *transfer) {
    get_details *get = details_of(transfer);
    crt_free(get->etag);
    crt_free(get);
}

static const crt_s3_transfer_kind kind = {.wants = wants, .launch = launch, .clean_up = clean_up, .destroy = destroy};

int crt_s3_get_init(crt_s3_transfer *transfer, crt_fault *fault) {
    crt_bytes range;
    get_details *get = crt_calloc(1, sizeof *get);
    transfer->kind = &kind;
    transfer->details = get;
    if (!get) {
        return crt_fail(fault, AWS_ERROR_OOM, "no memory for a download");
    }
    get->own_if_match = !crt_s3_callers_header(transfer, "If-Match");
    get->has_range = crt_s3_header(crt_http_message_headers(transfer->message), "Range", &range);
    if (get->has_range && !crt_s3_parse_range(range, &get->range)) {
        return crt_fail(fault, AWS_ERROR_S3_INVALID_RANGE_HEADER, "Range '%.*s' is not one range of bytes",
                        (int)range.len, (const char *)range.ptr);
    }
    return 0;
}
