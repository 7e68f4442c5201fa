/*
 * Character classes of the HTTP grammar (RFC 9110 section 5.6) and comparisons that ignore ASCII case.
 */
#ifndef CRT_HTTP_ASCII_H
#define CRT_HTTP_ASCII_H

#include "crt/base.h"

/* 1 for the characters of a token: "!#$%&'*+-.^_`|~", digits, letters. */
extern CRT_HIDDEN const uint8_t crt_http_token_table[256];

static inline bool crt_http_is_token_char(uint8_t c) {
    return crt_http_token_table[c] != 0;
}

/* Not empty and nothing but token characters. */
CRT_HIDDEN bool crt_http_is_token(crt_bytes text);

/* First byte in [p, end) that may not stand in a field value (a control character other than tab); end if none. */
CRT_HIDDEN const uint8_t *crt_http_skip_field_text(const uint8_t *p, const uint8_t *end);

/* Without leading and trailing spaces and tabs. */
CRT_HIDDEN crt_bytes crt_http_trim(crt_bytes text);

CRT_HIDDEN bool crt_http_ieq(crt_bytes a, crt_bytes b);

/* `lower` is a literal in lower case. */
static inline bool crt_http_ieq_str(crt_bytes a, const char *lower) {
    return crt_http_ieq(a, crt_bytes_str(lower));
}

/* Nothing but decimal digits, at least one, and the value fits 64 bits. */
CRT_HIDDEN bool crt_http_parse_decimal(crt_bytes text, uint64_t *value);

#endif
