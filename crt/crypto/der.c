#include "der.h"

#include "crt/status.h"

enum { CONSTRUCTED = 0x20, LONG_TAG = 0x1f, DEPTH_MAX = 16 };

/* The length octets at the front of `rest`. Longer forms than needed are BER, but harmless and seen in the wild. */
static bool take_length(crt_bytes *rest, size_t *length) {
    if (rest->len == 0) {
        return false;
    }
    size_t count = rest->ptr[0] & 0x7f;
    if (rest->ptr[0] < 0x80) {
        *length = count;
        *rest = crt_bytes_of(rest->ptr + 1, rest->len - 1);
        return true;
    }
    /* 0x80 is the indefinite length, which DER has not. */
    if (count == 0 || count > 4 || count >= rest->len) {
        return false;
    }
    *length = 0;
    for (size_t i = 1; i <= count; i++) {
        *length = *length << 8 | rest->ptr[i];
    }
    *rest = crt_bytes_of(rest->ptr + 1 + count, rest->len - 1 - count);
    return true;
}

static bool take_any(crt_bytes *rest, uint8_t *tag, crt_bytes *content) {
    if (rest->len == 0 || (rest->ptr[0] & LONG_TAG) == LONG_TAG) {
        return false;
    }
    crt_bytes at = crt_bytes_of(rest->ptr + 1, rest->len - 1);
    size_t length;
    if (!take_length(&at, &length) || length > at.len) {
        return false;
    }
    *tag = rest->ptr[0];
    *content = crt_bytes_of(at.ptr, length);
    *rest = crt_bytes_of(at.ptr + length, at.len - length);
    return true;
}

static bool all_whole(crt_bytes elements, int depth) {
    while (elements.len > 0) {
        uint8_t tag;
        crt_bytes content;
        if (!take_any(&elements, &tag, &content)) {
            return false;
        }
        if ((tag & CONSTRUCTED) && (depth == DEPTH_MAX || !all_whole(content, depth + 1))) {
            return false;
        }
    }
    return true;
}

bool crt_der_is_whole(crt_bytes der) {
    uint8_t tag;
    crt_bytes content, rest = der;
    return take_any(&rest, &tag, &content) && rest.len == 0 && all_whole(der, 0);
}

bool crt_der_take(crt_bytes *rest, uint8_t tag, crt_bytes *content) {
    crt_bytes at = *rest;
    uint8_t found;
    if (!take_any(&at, &found, content) || found != tag) {
        return false;
    }
    *rest = at;
    return true;
}

bool crt_der_take_unsigned(crt_bytes *rest, crt_bytes *magnitude) {
    crt_bytes at = *rest, content;
    if (!crt_der_take(&at, CRT_DER_INTEGER, &content) || content.len == 0 || content.ptr[0] >= 0x80) {
        return false;
    }
    while (content.len > 1 && content.ptr[0] == 0) {
        content = crt_bytes_of(content.ptr + 1, content.len - 1);
    }
    *magnitude = content;
    *rest = at;
    return true;
}

bool crt_der_take_version(crt_bytes *rest, uint8_t version) {
    crt_bytes at = *rest, value;
    if (!crt_der_take_unsigned(&at, &value) || value.len != 1 || value.ptr[0] != version) {
        return false;
    }
    *rest = at;
    return true;
}

int crt_der_pkcs8(crt_bytes der, crt_bytes *algorithm, crt_bytes *key) {
    crt_bytes fields, version;
    if (!crt_der_is_whole(der) || !crt_der_take(&der, CRT_DER_SEQUENCE, &fields)) {
        return AWS_ERROR_CAL_MALFORMED_ASN1_ENCOUNTERED;
    }
    crt_bytes at = fields;
    if (!crt_der_take(&at, CRT_DER_INTEGER, &version) || !crt_der_take(&at, CRT_DER_SEQUENCE, algorithm) ||
        !crt_der_take(&at, CRT_DER_OCTET_STRING, key)) {
        return AWS_ERROR_CAL_MALFORMED_ASN1_ENCOUNTERED;
    }
    /* Attributes may follow; they say nothing about the key. */
    return crt_der_take_version(&fields, 0) ? 0 : AWS_ERROR_CAL_UNSUPPORTED_KEY_FORMAT;
}
