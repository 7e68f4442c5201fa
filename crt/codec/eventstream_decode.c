/*
 * Reading event-stream messages. Bytes are checked as they come, so that what a peer claims is judged before it is
 * awaited, and a message is summed up while the rest of it is under way.
 */
#include "crt/checksums.h"
#include "crt/eventstream.h"

enum {
    READ_BYTES = 64 << 10,  /* room offered to a read: many small messages at once */
    KEEP_BYTES = 256 << 10, /* a buffer that a large message left behind is not kept */
};

static uint64_t get(const uint8_t *p, int width) {
    uint64_t value = 0;
    for (int i = 0; i < width; i++) {
        value = value << 8 | p[i];
    }
    return value;
}

/* ---- headers ---- */

/* Cuts n bytes off the front. */
static bool cut(crt_bytes *rest, size_t n, const uint8_t **out) {
    if (rest->len < n) {
        return false;
    }
    *out = rest->ptr;
    rest->ptr += n;
    rest->len -= n;
    return true;
}

static bool cut_number(crt_bytes *rest, int width, int64_t *out) {
    const uint8_t *p;
    if (!cut(rest, (size_t)width, &p)) {
        return false;
    }
    const int unused = 64 - 8 * width;
    *out = (int64_t)(get(p, width) << unused) >> unused; /* extends the sign */
    return true;
}

static int cut_bytes(crt_bytes *rest, crt_bytes *out) {
    const uint8_t *p;
    if (!cut(rest, 2, &p)) {
        return AWS_ERROR_EVENT_STREAM_MESSAGE_INVALID_HEADERS_LEN;
    }
    out->len = (size_t)get(p, 2);
    if (out->len > CRT_ES_VALUE_MAX || !cut(rest, out->len, &out->ptr)) {
        return AWS_ERROR_EVENT_STREAM_MESSAGE_INVALID_HEADERS_LEN;
    }
    return 0;
}

static int cut_value(crt_bytes *rest, crt_es_header *out) {
    static const uint8_t widths[] = {[CRT_ES_BYTE] = 1, [CRT_ES_INT16] = 2, [CRT_ES_INT32] = 4, [CRT_ES_INT64] = 8,
                                     [CRT_ES_TIMESTAMP] = 8};
    bool whole;
    switch (out->type) {
    case CRT_ES_TRUE:
    case CRT_ES_FALSE:
        return 0;
    case CRT_ES_BYTE_BUF:
    case CRT_ES_STRING:
        return cut_bytes(rest, &out->bytes);
    case CRT_ES_UUID:
        out->bytes.len = 16;
        whole = cut(rest, 16, &out->bytes.ptr);
        break;
    case CRT_ES_BYTE:
    case CRT_ES_INT16:
    case CRT_ES_INT32:
    case CRT_ES_INT64:
    case CRT_ES_TIMESTAMP:
        whole = cut_number(rest, widths[out->type], &out->number);
        break;
    default:
        return AWS_ERROR_EVENT_STREAM_MESSAGE_UNKNOWN_HEADER_TYPE;
    }
    return whole ? 0 : AWS_ERROR_EVENT_STREAM_MESSAGE_INVALID_HEADERS_LEN;
}

int crt_es_headers_next(crt_es_headers *block, crt_es_header *out) {
    const uint8_t *p;
    if (block->count == CRT_ES_HEADERS_MAX) {
        return AWS_ERROR_EVENT_STREAM_MESSAGE_TOO_MANY_HEADERS;
    }
    memset(out, 0, sizeof(*out));
    if (!cut(&block->rest, 1, &p)) {
        return AWS_ERROR_EVENT_STREAM_MESSAGE_INVALID_HEADERS_LEN;
    }
    out->name.len = *p;
    if (!cut(&block->rest, out->name.len, &out->name.ptr) || !cut(&block->rest, 1, &p)) {
        return AWS_ERROR_EVENT_STREAM_MESSAGE_INVALID_HEADERS_LEN;
    }
    if (*p >= CRT_ES_TYPES) {
        return AWS_ERROR_EVENT_STREAM_MESSAGE_UNKNOWN_HEADER_TYPE;
    }
    out->type = (crt_es_type)*p;
    block->count++;
    return cut_value(&block->rest, out);
}

/* ---- messages ---- */

static size_t total_of(const uint8_t *message) {
    return (size_t)get(message, 4);
}

static int check_prelude(const uint8_t *message) {
    const size_t total = total_of(message);
    const size_t headers = (size_t)get(message + 4, 4);
    if (get(message + 8, 4) != crt_crc32(crt_bytes_of(message, 8), 0)) {
        return AWS_ERROR_EVENT_STREAM_PRELUDE_CHECKSUM_FAILURE;
    }
    if (total > CRT_ES_MESSAGE_MAX) {
        return AWS_ERROR_EVENT_STREAM_MESSAGE_FIELD_SIZE_EXCEEDED;
    }
    if (total < CRT_ES_OVERHEAD) {
        return AWS_ERROR_EVENT_STREAM_BUFFER_LENGTH_MISMATCH;
    }
    return headers > total - CRT_ES_OVERHEAD ? AWS_ERROR_EVENT_STREAM_MESSAGE_INVALID_HEADERS_LEN : 0;
}

/* Sums up what is there of the first message not checked yet. *whole: it is complete, and its CRC is right. */
static int check_front(crt_es_decoder *d, bool *whole) {
    const uint8_t *message = crt_buf_data(&d->bytes) + d->checked;
    const size_t there = crt_buf_len(&d->bytes) - d->checked;
    *whole = false;
    if (there < CRT_ES_PRELUDE) {
        return 0;
    }
    int status = d->summed == 0 ? check_prelude(message) : 0;
    if (status) {
        return status;
    }
    const size_t total = total_of(message);
    const size_t sum_end = there < total - 4 ? there : total - 4;
    d->crc = crt_crc32(crt_bytes_of(message + d->summed, sum_end - d->summed), d->crc);
    d->summed = sum_end;
    if (there < total) {
        return 0;
    }
    if (get(message + total - 4, 4) != d->crc) {
        return AWS_ERROR_EVENT_STREAM_MESSAGE_CHECKSUM_FAILURE;
    }
    d->checked += total;
    d->summed = 0;
    d->crc = 0;
    *whole = true;
    return 0;
}

crt_span crt_es_decoder_space(crt_es_decoder *d) {
    crt_span none = {NULL, 0};
    if (d->status) {
        return none;
    }
    if (crt_buf_len(&d->bytes) == 0 && d->bytes.cap > KEEP_BYTES) {
        crt_buf_free(&d->bytes);
    }
    /* Memory follows what has come, not what a prelude promises. */
    size_t room = READ_BYTES;
    const size_t partial = crt_buf_len(&d->bytes) - d->checked;
    if (partial > room) {
        const size_t missing = total_of(crt_buf_data(&d->bytes) + d->checked) - partial;
        room = missing < partial ? missing : partial;
        room = room < READ_BYTES ? READ_BYTES : room;
    }
    if (d->bytes.cap - d->bytes.end < READ_BYTES / 4 && crt_buf_reserve(&d->bytes, room)) {
        return none;
    }
    crt_span space = {d->bytes.ptr + d->bytes.end, d->bytes.cap - d->bytes.end};
    return space;
}

int crt_es_decoder_add(crt_es_decoder *d, size_t n) {
    bool whole = true;
    d->bytes.end += n;
    while (whole && !d->status) {
        d->status = check_front(d, &whole);
    }
    return d->status;
}

bool crt_es_decoder_take(crt_es_decoder *d, crt_es_message *out) {
    if (d->checked == 0) {
        return false;
    }
    const uint8_t *message = crt_buf_data(&d->bytes);
    const size_t total = total_of(message);
    const size_t headers = (size_t)get(message + 4, 4);
    out->headers = crt_bytes_of(message + CRT_ES_PRELUDE, headers);
    out->payload = crt_bytes_of(message + CRT_ES_PRELUDE + headers, total - CRT_ES_OVERHEAD - headers);
    crt_buf_consume(&d->bytes, total);
    d->checked -= total;
    return true;
}

void crt_es_decoder_clear(crt_es_decoder *d) {
    crt_buf_free(&d->bytes);
    memset(d, 0, sizeof(*d));
}
