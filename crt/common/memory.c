#include "crt/memory.h"

#include <stdlib.h>

#include "crt/log.h"
#include "internal.h"
#include "memory_trace.h"

enum { TRACE_NOTHING = 0, TRACE_SIZES = 1, TRACE_STACKS = 2 };

static size_t live_blocks;
static size_t traced_bytes;
static int tracing; /* TRACE_... */
static uv_once_t tracing_once = UV_ONCE_INIT;

static void read_environment(void) {
    const char *value = getenv("AWS_CRT_MEMORY_TRACING");

    if (value && (strcmp(value, "1") == 0 || strcmp(value, "2") == 0)) {
        tracing = value[0] - '0';
    }
}

static void trace_in(void *ptr) {
    size_t size = crt_raw_size(ptr);

    __atomic_fetch_add(&traced_bytes, size, __ATOMIC_RELAXED);
    if (tracing == TRACE_STACKS) {
        crt_memory_trace_add(ptr, size);
    }
}

static void trace_out(void *ptr) {
    __atomic_fetch_sub(&traced_bytes, crt_raw_size(ptr), __ATOMIC_RELAXED);
    if (tracing == TRACE_STACKS) {
        crt_memory_trace_remove(ptr);
    }
}

static void *count_in(void *ptr) {
    if (!ptr) {
        return NULL;
    }
    __atomic_fetch_add(&live_blocks, 1, __ATOMIC_RELAXED);
    uv_once(&tracing_once, read_environment);
    if (tracing) {
        trace_in(ptr);
    }
    return ptr;
}

static void count_out(void *ptr) {
    __atomic_fetch_sub(&live_blocks, 1, __ATOMIC_RELAXED);
    if (tracing) {
        trace_out(ptr);
    }
}

void *crt_malloc(size_t size) {
    return count_in(malloc(size ? size : 1));
}

void *crt_calloc(size_t count, size_t size) {
    return count_in(calloc(count ? count : 1, size ? size : 1));
}

void *crt_realloc(void *ptr, size_t size) {
    void *moved;

    if (!ptr) {
        return crt_malloc(size);
    }
    if (tracing) {
        trace_out(ptr);
    }
    moved = realloc(ptr, size ? size : 1);
    if (tracing) {
        trace_in(moved ? moved : ptr);
    }
    return moved;
}

void crt_free(void *ptr) {
    if (!ptr) {
        return;
    }
    count_out(ptr);
    free(ptr);
}

void *crt_malloc_aligned(size_t size) {
    return count_in(crt_raw_aligned(size ? size : 1));
}

void crt_free_aligned(void *ptr) {
    if (!ptr) {
        return;
    }
    count_out(ptr);
    crt_raw_aligned_free(ptr);
}

char *crt_strndup(const void *s, size_t len) {
    char *copy;

    if (!s || len == SIZE_MAX) {
        return NULL;
    }
    copy = crt_malloc(len + 1);
    if (!copy) {
        return NULL;
    }
    memcpy(copy, s, len);
    copy[len] = '\0';
    return copy;
}

char *crt_strdup(const char *s) {
    return s ? crt_strndup(s, strlen(s)) : NULL;
}

size_t crt_memory_live(void) {
    return __atomic_load_n(&live_blocks, __ATOMIC_RELAXED);
}

size_t crt_memory_traced_bytes(void) {
    return __atomic_load_n(&traced_bytes, __ATOMIC_RELAXED);
}

void crt_memory_dump(void) {
    CRT_LOG(CRT_LOG_TRACE, CRT_LS_MEMTRACE, "native memory in use: %zu blocks, %zu bytes traced",
            crt_memory_live(), crt_memory_traced_bytes());
    if (tracing == TRACE_STACKS) {
        crt_memory_trace_dump();
    }
}
