#include "crt/cbor.h"

#include <math.h>

/* ---- writing ---- */

static size_t put_big_endian(uint8_t *out, uint8_t first, uint64_t bits, size_t size) {
    out[0] = first;
    for (size_t i = size; i > 0; i--) {
        out[i] = (uint8_t)bits;
        bits >>= 8;
    }
    return 1 + size;
}

size_t crt_cbor_put_float(uint8_t *out, double value) {
    if (isnan(value)) {
        return put_big_endian(out, CRT_CBOR_BYTE_FLOAT32, 0x7fc00000, 4);
    }
    /* Converting what is out of float's range is undefined; infinities convert. */
    if (isinf(value) || (fabs(value) <= 3.4028234663852886e38 && (double)(float)value == value)) {
        float single = (float)value;
        uint32_t bits;
        memcpy(&bits, &single, sizeof(bits));
        return put_big_endian(out, CRT_CBOR_BYTE_FLOAT32, bits, 4);
    }
    uint64_t bits;
    memcpy(&bits, &value, sizeof(bits));
    return put_big_endian(out, CRT_CBOR_BYTE_FLOAT64, bits, 8);
}

size_t crt_cbor_put_number(uint8_t *out, double value) {
    if (value >= -4294967296.0 && value <= 4294967295.0 && (double)(int64_t)value == value) {
        int64_t n = (int64_t)value;
        return n < 0 ? crt_cbor_put_head(out, CRT_CBOR_MAJOR_NEGINT, (uint64_t)(-1 - n))
                     : crt_cbor_put_head(out, CRT_CBOR_MAJOR_UINT, (uint64_t)n);
    }
    return crt_cbor_put_float(out, value);
}

/* ---- reading ---- */

double crt_cbor_float16(uint16_t bits) {
    unsigned exponent = bits >> 10 & 0x1f, mantissa = bits & 0x3ff;
    double value;
    if (exponent == 0) {
        value = ldexp(mantissa, -24);
    } else if (exponent == 31) {
        value = mantissa ? NAN : INFINITY;
    } else {
        value = ldexp(mantissa + 1024, (int)exponent - 25);
    }
    return bits & 0x8000 ? -value : value;
}

double crt_cbor_float32(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

double crt_cbor_float64(uint64_t bits) {
    double value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

/* Major type 7: first byte and argument. */
static int simple_element(uint8_t first, uint64_t argument, crt_cbor_element *e) {
    switch (first) {
    case CRT_CBOR_BYTE_FALSE:
    case CRT_CBOR_BYTE_TRUE:
        e->type = CRT_CBOR_BOOL;
        e->number = first == CRT_CBOR_BYTE_TRUE;
        return 0;
    case CRT_CBOR_BYTE_NULL:
        e->type = CRT_CBOR_NULL;
        return 0;
    case CRT_CBOR_BYTE_UNDEFINED:
        e->type = CRT_CBOR_UNDEFINED;
        return 0;
    case CRT_CBOR_BYTE_FLOAT16:
        e->type = CRT_CBOR_FLOAT;
        e->real = crt_cbor_float16((uint16_t)argument);
        return 0;
    case CRT_CBOR_BYTE_FLOAT32:
        e->type = CRT_CBOR_FLOAT;
        e->real = crt_cbor_float32((uint32_t)argument);
        return 0;
    case CRT_CBOR_BYTE_FLOAT64:
        e->type = CRT_CBOR_FLOAT;
        e->real = crt_cbor_float64(argument);
        return 0;
    default:
        return AWS_ERROR_INVALID_CBOR;
    }
}

/* Additional information 31: an indefinite start or a break. */
static int open_element(uint8_t first, crt_cbor_element *e) {
    switch (first) {
    case CRT_CBOR_BYTE_INDEF_BYTES:
        e->type = CRT_CBOR_INDEF_BYTES;
        return 0;
    case CRT_CBOR_BYTE_INDEF_TEXT:
        e->type = CRT_CBOR_INDEF_TEXT;
        return 0;
    case CRT_CBOR_BYTE_INDEF_ARRAY:
        e->type = CRT_CBOR_INDEF_ARRAY;
        return 0;
    case CRT_CBOR_BYTE_INDEF_MAP:
        e->type = CRT_CBOR_INDEF_MAP;
        return 0;
    case CRT_CBOR_BYTE_BREAK:
        e->type = CRT_CBOR_BREAK;
        return 0;
    default:
        return AWS_ERROR_INVALID_CBOR;
    }
}

int crt_cbor_next(crt_bytes *src, crt_cbor_element *e) {
    static const enum crt_cbor_type types[] = {CRT_CBOR_UINT,  CRT_CBOR_NEGINT, CRT_CBOR_BYTES, CRT_CBOR_TEXT,
                                               CRT_CBOR_ARRAY, CRT_CBOR_MAP,    CRT_CBOR_TAG};
    if (src->len == 0) {
        return AWS_ERROR_SHORT_BUFFER;
    }
    uint8_t first = src->ptr[0];
    unsigned major = first >> 5, info = first & 31;
    crt_bytes rest = crt_bytes_of(src->ptr + 1, src->len - 1);
    if (info > 27) {
        int status = open_element(first, e);
        *src = status ? *src : rest;
        return status;
    }
    if (!crt_cbor_get_argument(&rest, info, &e->number)) {
        return AWS_ERROR_SHORT_BUFFER;
    }
    if (major == CRT_CBOR_MAJOR_SIMPLE) {
        int status = simple_element(first, e->number, e);
        *src = status ? *src : rest;
        return status;
    }
    e->type = types[major];
    if (major == CRT_CBOR_MAJOR_BYTES || major == CRT_CBOR_MAJOR_TEXT) {
        if (e->number > rest.len) {
            return AWS_ERROR_SHORT_BUFFER;
        }
        e->bytes = crt_bytes_of(rest.ptr, (size_t)e->number);
        rest = crt_bytes_of(rest.ptr + e->number, rest.len - (size_t)e->number);
    }
    *src = rest;
    return 0;
}
