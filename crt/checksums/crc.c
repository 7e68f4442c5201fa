/*
 * The public CRCs: inversion at both ends, choice of the kernel, combination.
 */
#include "crt/checksums.h"

#include "crc_engine.h"

#include <stdatomic.h>
#include <uv.h>

static crt_crc_engine engines[3];
static uv_once_t engines_once = UV_ONCE_INIT;

static void init_engines(void) {
    crt_crc_engine_init(&engines[CRT_CRC32], CRT_POLY_CRC32, 32);
    crt_crc_engine_init(&engines[CRT_CRC32C], CRT_POLY_CRC32C, 32);
    crt_crc_engine_init(&engines[CRT_CRC64NVME], CRT_POLY_CRC64NVME, 64);
}

const crt_crc_engine *crt_crc_engine_get(enum crt_crc_kind kind) {
    uv_once(&engines_once, init_engines);
    return &engines[kind];
}

#ifdef CRT_CRC_X86
/* The CRC32 instruction needs no set-up, folding has the higher speed: the break-even lies near here. */
#define CRC32C_FOLD_FROM 192

static uint64_t crc32c_sse42_pclmul(const crt_crc_engine *engine, uint64_t state, const uint8_t *data, size_t len) {
    return len < CRC32C_FOLD_FROM ? crt_crc32c_sse42(engine, state, data, len)
                                  : crt_crc_pclmul(engine, state, data, len);
}

static uint64_t crc32c_sse42_avx512(const crt_crc_engine *engine, uint64_t state, const uint8_t *data, size_t len) {
    return len < CRC32C_FOLD_FROM ? crt_crc32c_sse42(engine, state, data, len)
                                  : crt_crc_avx512(engine, state, data, len);
}

static crt_crc_kernel choose(enum crt_crc_kind kind) {
    bool wide = crt_cpu_has_avx512_pclmul();
    if (!crt_cpu_has_pclmul()) {
        return kind == CRT_CRC32C && crt_cpu_has_sse42() ? crt_crc32c_sse42 : crt_crc_portable;
    }
    if (kind == CRT_CRC32C && crt_cpu_has_sse42()) {
        return wide ? crc32c_sse42_avx512 : crc32c_sse42_pclmul;
    }
    return wide ? crt_crc_avx512 : crt_crc_pclmul;
}
#elif defined(CRT_CRC_ARM)
static crt_crc_kernel choose(enum crt_crc_kind kind) {
    if (kind == CRT_CRC64NVME || !crt_cpu_has_arm_crc()) {
        return crt_crc_portable;
    }
    return kind == CRT_CRC32C ? crt_crc32c_arm : crt_crc32_arm;
}
#else
static crt_crc_kernel choose(enum crt_crc_kind kind) {
    (void)kind;
    return crt_crc_portable;
}
#endif

static crt_crc_kernel _Atomic kernels[3];

/* A kernel that is set was published after the engines were ready (release, acquire), so that the usual call
   costs one load. */
static uint64_t update(enum crt_crc_kind kind, uint64_t state, crt_bytes data) {
    crt_crc_kernel kernel = atomic_load_explicit(&kernels[kind], memory_order_acquire);
    if (kernel == NULL) {
        (void)crt_crc_engine_get(kind);
        kernel = choose(kind);
        atomic_store_explicit(&kernels[kind], kernel, memory_order_release);
    }
    return kernel(&engines[kind], state, data.ptr, data.len);
}

uint32_t crt_crc32(crt_bytes data, uint32_t previous) {
    return ~(uint32_t)update(CRT_CRC32, (uint32_t)~previous, data);
}

uint32_t crt_crc32c(crt_bytes data, uint32_t previous) {
    return ~(uint32_t)update(CRT_CRC32C, (uint32_t)~previous, data);
}

uint64_t crt_crc64nvme(crt_bytes data, uint64_t previous) {
    return ~update(CRT_CRC64NVME, ~previous, data);
}

/*
 * CRC(a||b): a's part is what a followed by len(b) zero bytes contributes. The inversions at start and end
 * cancel out because both operands carry them.
 */
static uint64_t combine(enum crt_crc_kind kind, uint64_t a, uint64_t b, uint64_t len_b) {
    return len_b == 0 ? a : crt_crc_shift(crt_crc_engine_get(kind), a, len_b) ^ b;
}

uint32_t crt_crc32_combine(uint32_t a, uint32_t b, uint64_t len_b) {
    return (uint32_t)combine(CRT_CRC32, a, b, len_b);
}

uint32_t crt_crc32c_combine(uint32_t a, uint32_t b, uint64_t len_b) {
    return (uint32_t)combine(CRT_CRC32C, a, b, len_b);
}

uint64_t crt_crc64nvme_combine(uint64_t a, uint64_t b, uint64_t len_b) {
    return combine(CRT_CRC64NVME, a, b, len_b);
}
