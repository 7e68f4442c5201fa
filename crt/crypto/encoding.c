/*
 * Base64 (RFC 4648 section 4, with padding) and hexadecimal text.
 */
#include "crt/crypto.h"
#include "crt/status.h"

static const char base64_alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

size_t crt_base64_encoded_len(size_t len) {
    return (len / 3 + (len % 3 != 0)) * 4;
}

void crt_base64_encode(crt_bytes data, char *out) {
    const uint8_t *in = data.ptr;
    size_t left = data.len;

    for (; left >= 3; left -= 3, in += 3, out += 4) {
        uint32_t bits = (uint32_t)in[0] << 16 | (uint32_t)in[1] << 8 | in[2];
        out[0] = base64_alphabet[bits >> 18];
        out[1] = base64_alphabet[bits >> 12 & 63];
        out[2] = base64_alphabet[bits >> 6 & 63];
        out[3] = base64_alphabet[bits & 63];
    }
    if (left == 0) {
        return;
    }
    uint32_t bits = (uint32_t)in[0] << 16 | (left == 2 ? (uint32_t)in[1] << 8 : 0);
    out[0] = base64_alphabet[bits >> 18];
    out[1] = base64_alphabet[bits >> 12 & 63];
    out[2] = left == 2 ? base64_alphabet[bits >> 6 & 63] : '=';
    out[3] = '=';
}

/* 0..63, or -1 for a character outside the alphabet. Ranges instead of a table: decoding is rare and short. */
static int base64_value(uint8_t c) {
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    if (c == '+') {
        return 62;
    }
    return c == '/' ? 63 : -1;
}

int crt_base64_decode(crt_bytes text, uint8_t *out, size_t *out_len) {
    *out_len = 0;
    if (text.len % 4 != 0) {
        return AWS_ERROR_INVALID_BASE64_STR;
    }
    size_t padding = 0;
    while (padding < 2 && padding < text.len && text.ptr[text.len - 1 - padding] == '=') {
        padding++;
    }
    size_t digits = text.len - padding;
    size_t written = 0;
    uint32_t bits = 0;
    for (size_t i = 0; i < digits; i++) {
        int value = base64_value(text.ptr[i]);
        if (value < 0) {
            return AWS_ERROR_INVALID_BASE64_STR;
        }
        bits = bits << 6 | (uint32_t)value;
        /* Every digit but the first of a group of four completes one byte. */
        if (i % 4 != 0) {
            out[written++] = (uint8_t)(bits >> (6 - 2 * (i % 4)));
        }
    }
    *out_len = written;
    return 0;
}

void crt_hex_encode(crt_bytes data, char *out) {
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < data.len; i++) {
        out[2 * i] = digits[data.ptr[i] >> 4];
        out[2 * i + 1] = digits[data.ptr[i] & 15];
    }
}
