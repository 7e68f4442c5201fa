/*
 * XXH64, XXH3-64 and XXH3-128 with the xxHash library: choice of the kernels, one call, streams.
 */
#include "crt/checksums.h"

#include "crt/memory.h"
#include "crt/status.h"

/* The baseline: registers that every processor of this architecture has. */
#define XXH_KERNEL crt_xxh_baseline
#define XXH_KERNEL_NAME "baseline"
#include "xxh_kernel.h"

#include <stdatomic.h>

/* XXH3 treats inputs up to this length without wide registers. */
#define SHORT_INPUT 240

size_t crt_xxh_variants(const crt_xxh_kernels *space[CRT_XXH_VARIANTS]) {
    size_t count = 0;
    space[count++] = &crt_xxh_baseline;
#ifdef CRT_CPU_X86
    if (crt_cpu_has_avx2()) {
        space[count++] = &crt_xxh_avx2;
    }
    if (crt_cpu_has_avx512()) {
        space[count++] = &crt_xxh_avx512;
    }
#endif
    return count;
}

static const crt_xxh_kernels *kernels(void) {
    static const crt_xxh_kernels *_Atomic chosen;
    const crt_xxh_kernels *now = atomic_load_explicit(&chosen, memory_order_relaxed);
    if (now) {
        return now;
    }
    /* Several threads may come here; all choose the same. */
    const crt_xxh_kernels *variants[CRT_XXH_VARIANTS];
    size_t count = crt_xxh_variants(variants);
    now = variants[count - 1];
#ifdef CRT_CPU_X86
    now = crt_cpu_wide_allowed() ? now : &crt_xxh_baseline;
#endif
    atomic_store_explicit(&chosen, now, memory_order_relaxed);
    return now;
}

const char *crt_xxh3_kernel(void) {
    return kernels()->name;
}

size_t crt_xxh_size(enum crt_xxh_kind kind) {
    return kind == CRT_XXH3_128 ? 16 : 8;
}

static void put_64(XXH64_hash_t hash, uint8_t *out) {
    XXH64_canonical_t canonical;
    XXH64_canonicalFromHash(&canonical, hash);
    memcpy(out, canonical.digest, sizeof(canonical.digest));
}

static void put_128(XXH128_hash_t hash, uint8_t *out) {
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, hash);
    memcpy(out, canonical.digest, sizeof(canonical.digest));
}

void crt_xxh(enum crt_xxh_kind kind, crt_bytes data, uint64_t seed, uint8_t *out) {
    bool is_short = data.len <= SHORT_INPUT;
    switch (kind) {
    case CRT_XXH64:
        put_64(XXH64(data.ptr, data.len, seed), out);
        return;
    case CRT_XXH3_64:
        put_64(is_short ? XXH3_64bits_withSeed(data.ptr, data.len, seed) : kernels()->long_64(data, seed), out);
        return;
    case CRT_XXH3_128:
        put_128(is_short ? XXH3_128bits_withSeed(data.ptr, data.len, seed) : kernels()->long_128(data, seed), out);
        return;
    }
}

/* ---- streams ---- */

struct crt_xxh_stream {
    void *memory; /* what was allocated: the stream begins at the next multiple of STREAM_ALIGNMENT */
    enum crt_xxh_kind kind;
    union {
        XXH64_state_t xxh64;
        XXH3_state_t xxh3; /* asks for the alignment */
    } state;
};

enum { STREAM_ALIGNMENT = _Alignof(struct crt_xxh_stream) };

static crt_xxh_stream *stream_alloc(void) {
    char *memory = crt_calloc(1, sizeof(crt_xxh_stream) + STREAM_ALIGNMENT - 1);
    if (!memory) {
        return NULL;
    }
    size_t beyond = (uintptr_t)memory % STREAM_ALIGNMENT;
    crt_xxh_stream *stream = (crt_xxh_stream *)(void *)(memory + (beyond ? STREAM_ALIGNMENT - beyond : 0));
    stream->memory = memory;
    return stream;
}

int crt_xxh_stream_new(enum crt_xxh_kind kind, uint64_t seed, crt_xxh_stream **out) {
    crt_xxh_stream *stream = stream_alloc();
    if (!stream) {
        return AWS_ERROR_OOM;
    }
    stream->kind = kind;
    if (kind == CRT_XXH64) {
        (void)XXH64_reset(&stream->state.xxh64, seed);
    } else if (kind == CRT_XXH3_64) {
        (void)XXH3_64bits_reset_withSeed(&stream->state.xxh3, seed);
    } else {
        (void)XXH3_128bits_reset_withSeed(&stream->state.xxh3, seed);
    }
    *out = stream;
    return 0;
}

void crt_xxh_stream_update(crt_xxh_stream *stream, crt_bytes data) {
    if (data.len == 0) {
        return; /* the library takes a null pointer for an error */
    }
    if (stream->kind == CRT_XXH64) {
        (void)XXH64_update(&stream->state.xxh64, data.ptr, data.len);
    } else if (stream->kind == CRT_XXH3_64) {
        kernels()->update_64(&stream->state.xxh3, data);
    } else {
        kernels()->update_128(&stream->state.xxh3, data);
    }
}

void crt_xxh_stream_digest(const crt_xxh_stream *stream, uint8_t *out) {
    if (stream->kind == CRT_XXH64) {
        put_64(XXH64_digest(&stream->state.xxh64), out);
    } else if (stream->kind == CRT_XXH3_64) {
        put_64(XXH3_64bits_digest(&stream->state.xxh3), out);
    } else {
        put_128(XXH3_128bits_digest(&stream->state.xxh3), out);
    }
}

void crt_xxh_stream_free(crt_xxh_stream *stream) {
    if (stream) {
        crt_free(stream->memory);
    }
}
