/*
 * A growable byte buffer: bytes are appended at the end and consumed at the front.
 */
#ifndef CRT_BUFFER_H
#define CRT_BUFFER_H

#include "crt/base.h"

CRT_EXTERN_C_BEGIN

typedef struct crt_buf {
    uint8_t *ptr;
    size_t start; /* first unread byte */
    size_t end;   /* first free byte */
    size_t cap;
} crt_buf;

#define CRT_BUF_INIT {NULL, 0, 0, 0}

static inline size_t crt_buf_len(const crt_buf *b) {
    return b->end - b->start;
}
static inline const uint8_t *crt_buf_data(const crt_buf *b) {
    return b->ptr + b->start;
}
static inline crt_bytes crt_buf_view(const crt_buf *b) {
    return crt_bytes_of(b->ptr ? b->ptr + b->start : NULL, b->end - b->start);
}
/* Drops n bytes (n <= len) from the front. */
static inline void crt_buf_consume(crt_buf *b, size_t n) {
    b->start += n;
    if (b->start == b->end) {
        b->start = b->end = 0;
    }
}
static inline void crt_buf_clear(crt_buf *b) {
    b->start = b->end = 0;
}

/* Room for n more bytes at ptr + end; moves or grows. 0 or AWS_ERROR_OOM. */
CRT_FN(int, crt_buf_reserve, (crt_buf *b, size_t n));
CRT_FN(int, crt_buf_append, (crt_buf *b, const void *data, size_t n));
CRT_FN(int, crt_buf_printf, (crt_buf *b, const char *format, ...));
CRT_FN(void, crt_buf_free, (crt_buf *b));

CRT_EXTERN_C_END
#endif
