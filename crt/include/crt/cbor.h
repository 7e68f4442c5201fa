/*
 * CBOR (RFC 8949), without I/O: heads and elements in and out of buffers.
 *
 * An element is what one head describes: a number, a whole definite string, the start of a container, a tag, a
 * break. Structure (counts, breaks, what a tag stands before) is the caller's; crt_cbor_skip knows it.
 */
#ifndef CRT_CBOR_H
#define CRT_CBOR_H

#include "crt/base.h"
#include "crt/buffer.h"
#include "crt/status.h"

CRT_EXTERN_C_BEGIN

/* The numbers are those of awscrt.cbor.AwsCborType. */
enum crt_cbor_type {
    CRT_CBOR_UNKNOWN = 0,
    CRT_CBOR_UINT = 1,
    CRT_CBOR_NEGINT = 2,
    CRT_CBOR_FLOAT = 3,
    CRT_CBOR_BYTES = 4,
    CRT_CBOR_TEXT = 5,
    CRT_CBOR_ARRAY = 6,
    CRT_CBOR_MAP = 7,
    CRT_CBOR_TAG = 8,
    CRT_CBOR_BOOL = 9,
    CRT_CBOR_NULL = 10,
    CRT_CBOR_UNDEFINED = 11,
    CRT_CBOR_BREAK = 12,
    CRT_CBOR_INDEF_BYTES = 13,
    CRT_CBOR_INDEF_TEXT = 14,
    CRT_CBOR_INDEF_ARRAY = 15,
    CRT_CBOR_INDEF_MAP = 16
};

/* Major types (RFC 8949, 3.1). */
enum crt_cbor_major {
    CRT_CBOR_MAJOR_UINT = 0,
    CRT_CBOR_MAJOR_NEGINT = 1,
    CRT_CBOR_MAJOR_BYTES = 2,
    CRT_CBOR_MAJOR_TEXT = 3,
    CRT_CBOR_MAJOR_ARRAY = 4,
    CRT_CBOR_MAJOR_MAP = 5,
    CRT_CBOR_MAJOR_TAG = 6,
    CRT_CBOR_MAJOR_SIMPLE = 7
};

/* Whole first bytes of elements without an argument. */
enum crt_cbor_initial {
    CRT_CBOR_BYTE_INDEF_BYTES = 0x5f,
    CRT_CBOR_BYTE_INDEF_TEXT = 0x7f,
    CRT_CBOR_BYTE_INDEF_ARRAY = 0x9f,
    CRT_CBOR_BYTE_INDEF_MAP = 0xbf,
    CRT_CBOR_BYTE_FALSE = 0xf4,
    CRT_CBOR_BYTE_TRUE = 0xf5,
    CRT_CBOR_BYTE_NULL = 0xf6,
    CRT_CBOR_BYTE_UNDEFINED = 0xf7,
    CRT_CBOR_BYTE_FLOAT16 = 0xf9,
    CRT_CBOR_BYTE_FLOAT32 = 0xfa,
    CRT_CBOR_BYTE_FLOAT64 = 0xfb,
    CRT_CBOR_BYTE_BREAK = 0xff
};

enum {
    CRT_CBOR_HEAD_MAX = 9,    /* bytes of the longest head; a float is one, too */
    CRT_CBOR_SKIP_DEPTH = 128 /* levels of an item that crt_cbor_skip takes, the innermost scalar included */
};

/* ---- writing: into memory that has room ---- */

/* The shortest head for a major type and its argument. Returns its size; `out` has CRT_CBOR_HEAD_MAX bytes. */
static inline size_t crt_cbor_put_head(uint8_t *out, unsigned major, uint64_t value) {
    uint8_t type = (uint8_t)(major << 5);
    if (value < 24) {
        out[0] = (uint8_t)(type | value);
        return 1;
    }
    unsigned log = value > UINT32_MAX ? 3 : value > UINT16_MAX ? 2 : value > UINT8_MAX ? 1 : 0;
    size_t size = (size_t)1 << log;
    out[0] = (uint8_t)(type | (24 + log));
    for (size_t i = size; i > 0; i--) {
        out[i] = (uint8_t)value;
        value >>= 8;
    }
    return 1 + size;
}

/* The shortest of integer, float32 and float64 that is equal; integers from -2^32 to 2^32-1, so -0.0 becomes 0.
   NaN becomes fa7fc00000. Never a half float. Returns its size; `out` has CRT_CBOR_HEAD_MAX bytes. */
CRT_FN(size_t, crt_cbor_put_number, (uint8_t *out, double value));
/* A float32 if that is equal (NaN: fa7fc00000), else a float64. As above. */
CRT_FN(size_t, crt_cbor_put_float, (uint8_t *out, double value));

/* ---- reading ---- */

/* One element. Which fields count: */
typedef struct crt_cbor_element {
    enum crt_cbor_type type;
    uint64_t number; /* UINT: value. NEGINT: n of -1-n. ARRAY, MAP: entries. TAG: its number. BOOL: 0, 1 */
    double real;     /* FLOAT */
    crt_bytes bytes; /* BYTES, TEXT (not checked to be UTF-8): inside the source */
} crt_cbor_element;

/* The argument of a head whose first byte is consumed. `info`: low five bits of that byte, at most 27. False: the
   source ends before it; nothing is consumed. */
static inline bool crt_cbor_get_argument(crt_bytes *src, unsigned info, uint64_t *value) {
    if (info < 24) {
        *value = info;
        return true;
    }
    size_t size = (size_t)1 << (info - 24);
    if (src->len < size) {
        return false;
    }
    uint64_t n = 0;
    for (size_t i = 0; i < size; i++) {
        n = n << 8 | src->ptr[i];
    }
    *value = n;
    src->ptr += size;
    src->len -= size;
    return true;
}

CRT_FN(double, crt_cbor_float16, (uint16_t bits));
CRT_FN(double, crt_cbor_float32, (uint32_t bits));
CRT_FN(double, crt_cbor_float64, (uint64_t bits));

/*
 * Reads one element and moves `src` behind it. AWS_ERROR_SHORT_BUFFER: `src` ends before the element does;
 * AWS_ERROR_INVALID_CBOR: reserved head, or a simple value other than false, true, null and undefined. `src` is
 * unchanged then.
 */
CRT_FN(int, crt_cbor_next, (crt_bytes *src, crt_cbor_element *element));

/*
 * Moves `src` behind one item with all its content. `first` (may be NULL) is an element that was read already and
 * begins the item. Lenient, as users of the AWS runtime know it: a break where an item is due counts as one, chunks
 * of strings may be anything. Errors as above, and AWS_ERROR_CBOR_RESOURCE_LIMIT_EXCEEDED for more than
 * CRT_CBOR_SKIP_DEPTH levels (tags are levels, too); `src` is at the failing element then.
 */
CRT_FN(int, crt_cbor_skip, (crt_bytes *src, const crt_cbor_element *first));

CRT_EXTERN_C_END
#endif
