/*
 * XXH3 of long inputs, compiled once per register width: the including file sets XXH_VECTOR and the compiler's target,
 * then defines XXH_KERNEL, the name of its table.
 *
 * The header library decides for one width when it is compiled. Short inputs do not gain from a wider one; the state of
 * a stream has the same layout for all of them.
 */

/* Only at this level GCC unrolls the loops; the library asks for it. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3")
#endif
/* Bytes fetched ahead. More than the library's few hundred: a page or so, where the processor's own stops. */
#define XXH_PREFETCH_DIST 4096

#include "xxh_kernels.h"

static uint64_t long_64(crt_bytes data, uint64_t seed) {
    return XXH3_64bits_withSeed(data.ptr, data.len, seed);
}

static XXH128_hash_t long_128(crt_bytes data, uint64_t seed) {
    return XXH3_128bits_withSeed(data.ptr, data.len, seed);
}

static void update_64(XXH3_state_t *state, crt_bytes data) {
    (void)XXH3_64bits_update(state, data.ptr, data.len);
}

static void update_128(XXH3_state_t *state, crt_bytes data) {
    (void)XXH3_128bits_update(state, data.ptr, data.len);
}

const crt_xxh_kernels XXH_KERNEL = {
    .name = XXH_KERNEL_NAME,
    .long_64 = long_64,
    .long_128 = long_128,
    .update_64 = update_64,
    .update_128 = update_128,
};
