/*
 * The parts of XXH3 that depend on the width of registers (private to this room). Includes the xxHash library whole,
 * as static functions: nothing is linked.
 */
#ifndef CRT_XXH_KERNELS_H
#define CRT_XXH_KERNELS_H

#include "cpu.h"
#include "crt/base.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

typedef struct crt_xxh_kernels {
    const char *name;
    uint64_t (*long_64)(crt_bytes data, uint64_t seed);
    XXH128_hash_t (*long_128)(crt_bytes data, uint64_t seed);
    void (*update_64)(XXH3_state_t *state, crt_bytes data);
    void (*update_128)(XXH3_state_t *state, crt_bytes data);
} crt_xxh_kernels;

CRT_HIDDEN extern const crt_xxh_kernels crt_xxh_baseline; /* SSE2, NEON or scalar */
#ifdef CRT_CPU_X86
CRT_HIDDEN extern const crt_xxh_kernels crt_xxh_avx2;
CRT_HIDDEN extern const crt_xxh_kernels crt_xxh_avx512;
#endif

/* All that this machine can run, slowest first; returns how many were written. */
enum { CRT_XXH_VARIANTS = 3 };
CRT_HIDDEN size_t crt_xxh_variants(const crt_xxh_kernels *space[CRT_XXH_VARIANTS]);

#endif
