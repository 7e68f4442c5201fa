/*
 * Writing event-stream messages: sizes first, then bytes into memory of exactly that size.
 */
#include "crt/checksums.h"
#include "crt/eventstream.h"

static uint8_t *put(uint8_t *out, uint64_t value, int width) {
    for (int shift = 8 * (width - 1); shift >= 0; shift -= 8) {
        *out++ = (uint8_t)(value >> shift);
    }
    return out;
}

static uint8_t *put_bytes(uint8_t *out, crt_bytes bytes) {
    if (bytes.len > 0) {
        memcpy(out, bytes.ptr, bytes.len);
    }
    return out + bytes.len;
}

/* Bytes of the number or the UUID; 0 for the types that have none or say their length. */
static int fixed_width(crt_es_type type) {
    static const uint8_t widths[CRT_ES_TYPES] = {0, 0, 1, 2, 4, 8, 0, 0, 8, 16};
    return widths[type];
}

int crt_es_header_size(const crt_es_header *header, size_t *size) {
    if (header->name.len == 0 || header->name.len > CRT_ES_NAME_MAX) {
        return AWS_ERROR_INVALID_ARGUMENT;
    }
    size_t value = (size_t)fixed_width(header->type);
    if (header->type == CRT_ES_BYTE_BUF || header->type == CRT_ES_STRING) {
        if (header->bytes.len > CRT_ES_VALUE_MAX) {
            return AWS_ERROR_EVENT_STREAM_MESSAGE_INVALID_HEADERS_LEN;
        }
        value = 2 + header->bytes.len;
    }
    *size = 1 + header->name.len + 1 + value;
    return 0;
}

int crt_es_message_size(size_t headers_len, size_t payload_len, size_t *size) {
    const size_t most = CRT_ES_MESSAGE_MAX - CRT_ES_OVERHEAD;
    if (headers_len > most || payload_len > most - headers_len) {
        return AWS_ERROR_EVENT_STREAM_MESSAGE_FIELD_SIZE_EXCEEDED;
    }
    *size = CRT_ES_OVERHEAD + headers_len + payload_len;
    return 0;
}

uint8_t *crt_es_header_write(uint8_t *out, const crt_es_header *header) {
    *out++ = (uint8_t)header->name.len;
    out = put_bytes(out, header->name);
    *out++ = (uint8_t)header->type;
    switch (header->type) {
    case CRT_ES_TRUE:
    case CRT_ES_FALSE:
        return out;
    case CRT_ES_BYTE_BUF:
    case CRT_ES_STRING:
        out = put(out, header->bytes.len, 2);
        return put_bytes(out, header->bytes);
    case CRT_ES_UUID:
        return put_bytes(out, header->bytes);
    default:
        return put(out, (uint64_t)header->number, fixed_width(header->type));
    }
}

void crt_es_message_seal(uint8_t *message, size_t size, size_t headers_len) {
    put(message, size, 4);
    put(message + 4, headers_len, 4);
    put(message + 8, crt_crc32(crt_bytes_of(message, 8), 0), 4);
    put(message + size - 4, crt_crc32(crt_bytes_of(message, size - 4), 0), 4);
}
