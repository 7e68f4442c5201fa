/*
 * UTF-8 in pieces (RFC 3629): overlong forms, surrogates and code points above U+10FFFF are refused.
 */
#ifndef CRT_HTTP_UTF8_H
#define CRT_HTTP_UTF8_H

#include "crt/base.h"

/* Zeroed: between characters. */
typedef struct crt_utf8 {
    uint8_t missing; /* continuation bytes still to come */
    uint8_t low;     /* range of the next one */
    uint8_t high;
} crt_utf8;

/* False as soon as no continuation could make the text valid. */
CRT_HIDDEN bool crt_utf8_feed(crt_utf8 *state, crt_bytes piece);

/* False inside a character. */
static inline bool crt_utf8_ends_well(const crt_utf8 *state) {
    return state->missing == 0;
}

#endif
