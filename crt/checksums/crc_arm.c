/*
 * ARMv8 kernels: folding (crc_fold.h) with PMULL, and the CRC32 and CRC32C instructions, eight bytes each.
 */
#include "crc_engine.h"

#ifdef CRT_CPU_ARM

#include <arm_acle.h>
#include <arm_neon.h>

#if defined(__clang__)
#define TARGET_CRC __attribute__((target("crc")))
#define TARGET_PMULL __attribute__((target("aes")))
#else
#define TARGET_CRC __attribute__((target("+crc")))
#define TARGET_PMULL __attribute__((target("+crypto")))
#endif

/* ---- 128-bit blocks ---- */

typedef uint64x2_t block;
#define FOLD_INLINE TARGET_PMULL static inline

FOLD_INLINE block block_load(const uint8_t *data) {
    return vreinterpretq_u64_u8(vld1q_u8(data));
}
FOLD_INLINE block block_of(uint64_t first, uint64_t second) {
    return vcombine_u64(vcreate_u64(first), vcreate_u64(second));
}
FOLD_INLINE block block_xor(block a, block b) {
    return veorq_u64(a, b);
}
FOLD_INLINE block block_multiply(uint64_t a, uint64_t b) {
    return vreinterpretq_u64_p128(vmull_p64((poly64_t)a, (poly64_t)b));
}
FOLD_INLINE uint64_t block_first(block a) {
    return vgetq_lane_u64(a, 0);
}
FOLD_INLINE uint64_t block_second(block a) {
    return vgetq_lane_u64(a, 1);
}
FOLD_INLINE block block_multiply_first(block a, block b) {
    return block_multiply(block_first(a), block_first(b));
}
FOLD_INLINE block block_multiply_second(block a, block b) {
    return vreinterpretq_u64_p128(vmull_high_p64(vreinterpretq_p64_u64(a), vreinterpretq_p64_u64(b)));
}
FOLD_INLINE block block_multiply_cross(block a, block b) {
    return block_multiply(block_first(a), block_second(b));
}
FOLD_INLINE block block_drop_first(block a) {
    return vextq_u64(a, vdupq_n_u64(0), 1);
}

#include "crc_fold.h"

TARGET_PMULL uint64_t crt_crc_pmull(const crt_crc_engine *engine, uint64_t state, const uint8_t *data, size_t len) {
    return fold_message(engine, state, data, len);
}

/* ---- the CRC instructions ---- */

TARGET_CRC uint64_t crt_crc32_arm(const crt_crc_engine *engine, uint64_t state, const uint8_t *data, size_t len) {
    (void)engine;
    uint32_t crc = (uint32_t)state;
    for (; len >= 8; len -= 8, data += 8) {
        uint64_t word;
        memcpy(&word, data, sizeof(word));
        crc = __crc32d(crc, word);
    }
    for (; len > 0; len--, data++) {
        crc = __crc32b(crc, *data);
    }
    return crc;
}

TARGET_CRC uint64_t crt_crc32c_arm(const crt_crc_engine *engine, uint64_t state, const uint8_t *data, size_t len) {
    (void)engine;
    uint32_t crc = (uint32_t)state;
    for (; len >= 8; len -= 8, data += 8) {
        uint64_t word;
        memcpy(&word, data, sizeof(word));
        crc = __crc32cd(crc, word);
    }
    for (; len > 0; len--, data++) {
        crc = __crc32cb(crc, *data);
    }
    return crc;
}

/* Below this the instruction is done before folding has begun to pay. */
#define FOLD_FROM 256

uint64_t crt_crc32_arm_pmull(const crt_crc_engine *engine, uint64_t state, const uint8_t *data, size_t len) {
    return len < FOLD_FROM ? crt_crc32_arm(engine, state, data, len) : crt_crc_pmull(engine, state, data, len);
}

uint64_t crt_crc32c_arm_pmull(const crt_crc_engine *engine, uint64_t state, const uint8_t *data, size_t len) {
    return len < FOLD_FROM ? crt_crc32c_arm(engine, state, data, len) : crt_crc_pmull(engine, state, data, len);
}

#endif
