/*
 * CBOR elements and items under arbitrary bytes. Besides memory errors: an element survives being written and read
 * again, nothing is consumed by a failure, and skipping an item consumes just what its elements do.
 */
#include <math.h>
#include <stdlib.h>

#include "crt/cbor.h"

static void check(bool holds) {
    if (!holds) {
        abort();
    }
}

static size_t put(uint8_t *out, const crt_cbor_element *e) {
    switch (e->type) {
    case CRT_CBOR_UINT:
        return crt_cbor_put_head(out, CRT_CBOR_MAJOR_UINT, e->number);
    case CRT_CBOR_NEGINT:
        return crt_cbor_put_head(out, CRT_CBOR_MAJOR_NEGINT, e->number);
    case CRT_CBOR_ARRAY:
        return crt_cbor_put_head(out, CRT_CBOR_MAJOR_ARRAY, e->number);
    case CRT_CBOR_MAP:
        return crt_cbor_put_head(out, CRT_CBOR_MAJOR_MAP, e->number);
    case CRT_CBOR_TAG:
        return crt_cbor_put_head(out, CRT_CBOR_MAJOR_TAG, e->number);
    case CRT_CBOR_FLOAT:
        return crt_cbor_put_float(out, e->real);
    default:
        return 0;
    }
}

static void write_and_read_again(const crt_cbor_element *e, size_t consumed) {
    uint8_t out[CRT_CBOR_HEAD_MAX];
    size_t size = put(out, e);
    if (size == 0) {
        return;
    }
    crt_bytes src = crt_bytes_of(out, size);
    crt_cbor_element again;
    check(crt_cbor_next(&src, &again) == 0 && src.len == 0 && again.type == e->type);
    if (e->type == CRT_CBOR_FLOAT) {
        check(again.real == e->real || (isnan(again.real) && isnan(e->real)));
    } else {
        check(again.number == e->number && size <= consumed);
    }
}

/* Counts the elements up to the end or the first failure. */
static size_t walk(crt_bytes src) {
    size_t elements = 0;
    for (;;) {
        crt_bytes before = src;
        crt_cbor_element e;
        int status = crt_cbor_next(&src, &e);
        if (status) {
            check(status == AWS_ERROR_SHORT_BUFFER || status == AWS_ERROR_INVALID_CBOR);
            check(src.ptr == before.ptr && src.len == before.len);
            return elements;
        }
        check(src.len < before.len && src.ptr + src.len == before.ptr + before.len);
        write_and_read_again(&e, before.len - src.len);
        elements++;
    }
}

static void skip(crt_bytes src) {
    crt_bytes peeked = src;
    crt_cbor_element first;
    if (crt_cbor_next(&peeked, &first)) {
        return;
    }
    crt_bytes rest = src;
    int status = crt_cbor_skip(&rest, NULL);
    check(crt_cbor_skip(&peeked, &first) == status);
    check(peeked.ptr == rest.ptr && peeked.len == rest.len);
    if (status) {
        return;
    }
    /* What was skipped is elements, to the last byte, and not an item any more when the last byte is missing. */
    crt_bytes item = crt_bytes_of(src.ptr, src.len - rest.len);
    size_t elements = walk(item);
    check(elements > 0);
    crt_bytes shorter = crt_bytes_of(item.ptr, item.len - 1);
    check(crt_cbor_skip(&shorter, NULL) == AWS_ERROR_SHORT_BUFFER);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    crt_bytes src = crt_bytes_of(data, size);
    walk(src);
    skip(src);
    return 0;
}
