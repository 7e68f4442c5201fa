#include "crt/buffer.h"

#include <stdio.h>

#include "crt/memory.h"
#include "crt/status.h"

enum { SMALLEST = 256 };

static int grow(crt_buf *b, size_t n) {
    size_t len = crt_buf_len(b);
    size_t cap;
    uint8_t *ptr;

    if (n > SIZE_MAX / 2 - len) {
        return AWS_ERROR_OOM;
    }
    cap = b->cap * 2 > SMALLEST ? b->cap * 2 : SMALLEST;
    if (cap < len + n) {
        cap = len + n;
    }
    if (b->start == 0) {
        ptr = crt_realloc(b->ptr, cap);
        if (!ptr) {
            return AWS_ERROR_OOM;
        }
    } else {
        /* realloc would copy the consumed bytes as well */
        ptr = crt_malloc(cap);
        if (!ptr) {
            return AWS_ERROR_OOM;
        }
        memcpy(ptr, b->ptr + b->start, len);
        crt_free(b->ptr);
    }
    b->ptr = ptr;
    b->start = 0;
    b->end = len;
    b->cap = cap;
    return 0;
}

int crt_buf_reserve(crt_buf *b, size_t n) {
    size_t len = crt_buf_len(b);

    if (b->cap - b->end >= n) {
        return 0;
    }
    /* Move down only when at least as much was consumed as must be moved: every byte moves at most once. */
    if (b->cap - len >= n && b->start >= len) {
        memmove(b->ptr, b->ptr + b->start, len);
        b->start = 0;
        b->end = len;
        return 0;
    }
    return grow(b, n);
}

int crt_buf_append(crt_buf *b, const void *data, size_t n) {
    int status;

    if (n == 0) {
        return 0;
    }
    status = crt_buf_reserve(b, n);
    if (status) {
        return status;
    }
    memcpy(b->ptr + b->end, data, n);
    b->end += n;
    return 0;
}

int crt_buf_printf(crt_buf *b, const char *format, ...) {
    va_list args;
    int needed, status;

    va_start(args, format);
    needed = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (needed < 0) {
        return AWS_ERROR_INVALID_ARGUMENT;
    }
    status = crt_buf_reserve(b, (size_t)needed + 1); /* the terminator is written but not counted */
    if (status) {
        return status;
    }
    va_start(args, format);
    vsnprintf((char *)b->ptr + b->end, (size_t)needed + 1, format, args);
    va_end(args);
    b->end += (size_t)needed;
    return 0;
}

void crt_buf_free(crt_buf *b) {
    crt_free(b->ptr);
    b->ptr = NULL;
    b->start = b->end = b->cap = 0;
}
