/*
 * The public CRCs: inversion at both ends, choice of the kernel, combination.
 */
#include "crt/checksums.h"

#include "crc_engine.h"

#include <stdatomic.h>
#include <uv.h>

static crt_crc_engine engines[3];
static crt_crc_variant chosen[3];
static uv_once_t engines_once = UV_ONCE_INIT;

size_t crt_crc_variants(enum crt_crc_kind kind, crt_crc_variant space[CRT_CRC_VARIANTS]) {
    size_t count = 0;
    space[count++] = (crt_crc_variant){"portable", crt_crc_portable};
#if defined(CRT_CPU_X86)
    bool castagnoli = kind == CRT_CRC32C && crt_cpu_has_sse42();
    if (castagnoli) {
        space[count++] = (crt_crc_variant){"sse4.2", crt_crc32c_sse42};
    }
    if (crt_cpu_has_pclmul()) {
        space[count++] = (crt_crc_variant){"pclmul", castagnoli ? crt_crc32c_pclmul : crt_crc_pclmul};
    }
    if (crt_cpu_has_vpclmul() && crt_cpu_has_sse42()) {
        space[count++] = (crt_crc_variant){"avx512", castagnoli ? crt_crc32c_avx512 : crt_crc_avx512};
        if (crt_cpu_has_gfni512()) {
            space[count++] = (crt_crc_variant){"avx512-gfni", castagnoli ? crt_crc32c_gfni : crt_crc_gfni};
        }
    }
#elif defined(CRT_CPU_ARM)
    bool instruction = kind != CRT_CRC64NVME && crt_cpu_has_arm_crc();
    if (instruction) {
        space[count++] = (crt_crc_variant){"arm-crc", kind == CRT_CRC32 ? crt_crc32_arm : crt_crc32c_arm};
    }
    if (crt_cpu_has_pmull()) {
        space[count++] = (crt_crc_variant){"pmull", !instruction          ? crt_crc_pmull
                                                    : kind == CRT_CRC32 ? crt_crc32_arm_pmull
                                                                        : crt_crc32c_arm_pmull};
    }
#else
    (void)kind;
#endif
    return count;
}

#ifdef CRT_CPU_X86
static bool is_wanted(const char *name) {
    if (!crt_cpu_wide_allowed() && strncmp(name, "avx512", 6) == 0) {
        return false;
    }
    return crt_cpu_prefers_gfni() || strcmp(name, "avx512-gfni") != 0;
}
#endif

static crt_crc_variant choose(enum crt_crc_kind kind) {
    crt_crc_variant variants[CRT_CRC_VARIANTS];
    size_t count = crt_crc_variants(kind, variants);
#ifdef CRT_CPU_X86
    while (!is_wanted(variants[count - 1].name)) {
        count--;
    }
#endif
    return variants[count - 1];
}

static void init_engine(enum crt_crc_kind kind, uint64_t reflected_poly, unsigned width) {
    crt_crc_engine_init(&engines[kind], reflected_poly, width);
    chosen[kind] = choose(kind);
}

static void init_engines(void) {
    init_engine(CRT_CRC32, CRT_POLY_CRC32, 32);
    init_engine(CRT_CRC32C, CRT_POLY_CRC32C, 32);
    init_engine(CRT_CRC64NVME, CRT_POLY_CRC64NVME, 64);
}

const crt_crc_engine *crt_crc_engine_get(enum crt_crc_kind kind) {
    uv_once(&engines_once, init_engines);
    return &engines[kind];
}

static uint64_t first_call(const crt_crc_engine *engine, uint64_t state, const uint8_t *data, size_t len);
static crt_crc_kernel _Atomic kernels[3] = {first_call, first_call, first_call};

/* Stands in for every kernel until the engines are ready. One that is set was published after that (release, acquire),
   so that later calls cost one load. */
static uint64_t first_call(const crt_crc_engine *engine, uint64_t state, const uint8_t *data, size_t len) {
    enum crt_crc_kind kind = (enum crt_crc_kind)(engine - engines);
    (void)crt_crc_engine_get(kind);
    crt_crc_kernel kernel = chosen[kind].run;
    atomic_store_explicit(&kernels[kind], kernel, memory_order_release);
    return kernel(engine, state, data, len);
}

static inline uint64_t update(enum crt_crc_kind kind, uint64_t state, crt_bytes data) {
    crt_crc_kernel kernel = atomic_load_explicit(&kernels[kind], memory_order_acquire);
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

static const char *kernel_name(enum crt_crc_kind kind) {
    (void)crt_crc_engine_get(kind);
    return chosen[kind].name;
}

const char *crt_crc32_kernel(void) {
    return kernel_name(CRT_CRC32);
}

const char *crt_crc32c_kernel(void) {
    return kernel_name(CRT_CRC32C);
}

const char *crt_crc64nvme_kernel(void) {
    return kernel_name(CRT_CRC64NVME);
}
