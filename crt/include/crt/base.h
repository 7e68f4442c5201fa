/*
 * What every room includes: integer types, views of memory, visibility, reference counts.
 */
#ifndef CRT_BASE_H
#define CRT_BASE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(_MSC_VER)
#define CRT_HIDDEN
#define CRT_PRINTF(fmt, args)
#else
#define CRT_HIDDEN __attribute__((visibility("hidden")))
#define CRT_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#endif

#ifdef __cplusplus
#define CRT_EXTERN_C_BEGIN extern "C" {
#define CRT_EXTERN_C_END }
#define CRT_TYPEOF(x) decltype(x)
#else
#define CRT_EXTERN_C_BEGIN
#define CRT_EXTERN_C_END
#define CRT_TYPEOF(x) __typeof__(x)
#endif

/*
 * CRT_FN declares a function of the core rooms (common, crypto, checksums, io, codec).
 *
 * Built together (CMake, awscrt._core) it is an ordinary function. A feature's extension defines
 * CRT_CORE_VIA_TABLE: the same name is then a function pointer, filled once at import from core's
 * table (awscrt/core_api.h). Calls read the same either way, so one source serves both builds.
 */
#if defined(CRT_CORE_VIA_TABLE)
#define CRT_FN(ret, name, args) extern CRT_HIDDEN ret(*name) args
#else
#define CRT_FN(ret, name, args) CRT_HIDDEN ret name args
#endif

/* The same for the functions that awscrt-http exports (http, auth): see awscrt/http_api.h. */
#if defined(CRT_HTTP_VIA_TABLE)
#define CRT_HTTP_FN(ret, name, args) extern CRT_HIDDEN ret(*name) args
#else
#define CRT_HTTP_FN(ret, name, args) CRT_HIDDEN ret name args
#endif

/* Bytes to read: borrowed, not terminated. */
typedef struct crt_bytes {
    const uint8_t *ptr;
    size_t len;
} crt_bytes;

/* Memory to fill: borrowed. */
typedef struct crt_span {
    uint8_t *ptr;
    size_t len;
} crt_span;

static inline crt_bytes crt_bytes_of(const void *ptr, size_t len) {
    crt_bytes b;
    b.ptr = (const uint8_t *)ptr;
    b.len = len;
    return b;
}

/* A view of a C string without its terminator. NULL gives the empty view. */
static inline crt_bytes crt_bytes_str(const char *s) {
    return crt_bytes_of(s, s ? strlen(s) : 0);
}

static inline bool crt_bytes_eq(crt_bytes a, crt_bytes b) {
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* Reference count for objects shared between threads. */
typedef struct crt_refcount {
    volatile size_t n;
} crt_refcount;

static inline void crt_ref_init(crt_refcount *r) {
    r->n = 1;
}

#if defined(_MSC_VER)
#include <intrin.h>
static inline void crt_ref_inc(crt_refcount *r) {
    _InterlockedIncrement64((volatile long long *)&r->n);
}
static inline bool crt_ref_dec(crt_refcount *r) {
    return _InterlockedDecrement64((volatile long long *)&r->n) == 0;
}
#else
static inline void crt_ref_inc(crt_refcount *r) {
    __atomic_fetch_add(&r->n, 1, __ATOMIC_RELAXED);
}
/* True when the caller dropped the last reference and must free the object. */
static inline bool crt_ref_dec(crt_refcount *r) {
    return __atomic_sub_fetch(&r->n, 1, __ATOMIC_ACQ_REL) == 0;
}
#endif
/* How many there are; says something only where no other thread takes or drops references. */
static inline size_t crt_ref_count(const crt_refcount *r) {
    return r->n;
}

#endif
