/*
 * Skipping whole items: what is still to come is counted per level, without recursion.
 */
#include "crt/cbor.h"

#define UNTIL_BREAK UINT64_MAX

/* How many items the element opens; 0: it is complete. */
static uint64_t items_of(const crt_cbor_element *e) {
    switch (e->type) {
    case CRT_CBOR_ARRAY:
        return e->number;
    case CRT_CBOR_MAP:
        /* Twice the entries must not wrap; no source is long enough for as many anyway. */
        return e->number > UINT64_MAX / 4 ? UINT64_MAX / 2 : 2 * e->number;
    case CRT_CBOR_TAG:
        return 1;
    case CRT_CBOR_INDEF_BYTES:
    case CRT_CBOR_INDEF_TEXT:
    case CRT_CBOR_INDEF_ARRAY:
    case CRT_CBOR_INDEF_MAP:
        return UNTIL_BREAK;
    default:
        return 0;
    }
}

int crt_cbor_skip(crt_bytes *src, const crt_cbor_element *first) {
    uint64_t left[CRT_CBOR_SKIP_DEPTH]; /* per open level: items that are not complete */
    int open = 0;
    crt_cbor_element e;
    do {
        crt_bytes rest = *src;
        if (first) {
            e = *first;
            first = NULL;
        } else {
            int status = crt_cbor_next(&rest, &e);
            if (status) {
                return status;
            }
        }
        bool ends = e.type == CRT_CBOR_BREAK && open && left[open - 1] == UNTIL_BREAK;
        if (!ends && open == CRT_CBOR_SKIP_DEPTH) {
            return AWS_ERROR_CBOR_RESOURCE_LIMIT_EXCEEDED;
        }
        *src = rest;
        uint64_t items = ends ? 0 : items_of(&e);
        if (items) {
            left[open++] = items;
            continue;
        }
        open -= ends;
        while (open && left[open - 1] != UNTIL_BREAK && --left[open - 1] == 0) {
            open--;
        }
    } while (open);
    return 0;
}
