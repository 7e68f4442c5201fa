/*
 * x86-64 kernels: folding with carry-less multiplication (Gopal et al., "Fast CRC Computation for Generic
 * Polynomials Using PCLMULQDQ Instruction"), and the CRC32 instruction for CRC-32C.
 *
 * A 16-byte block stands for H*x^64 + L (H: first 8 bytes). Moving it `distance` bits along the message gives
 * H * (x^(distance+64) mod P) + L * (x^distance mod P), which again fits one block and is added to the block
 * found there. Several blocks are carried side by side because each multiplication waits for the one before.
 */
#include "crc_engine.h"

#ifdef CRT_CRC_X86

#include <immintrin.h>

#define TARGET_PCLMUL __attribute__((target("pclmul,sse4.1")))
#define TARGET_AVX512 __attribute__((target("avx512f,avx512vl,vpclmulqdq,pclmul,sse4.1")))
#define TARGET_SSE42 __attribute__((target("sse4.2")))

bool crt_cpu_has_pclmul(void) {
    return __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("sse4.1");
}

/* The builtin also asks the operating system whether it saves the wide registers. */
bool crt_cpu_has_avx512_pclmul(void) {
    return crt_cpu_has_pclmul() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("vpclmulqdq");
}

bool crt_cpu_has_sse42(void) {
    return __builtin_cpu_supports("sse4.2");
}

TARGET_PCLMUL static inline __m128i load_fold(crt_crc_fold fold) {
    return _mm_set_epi64x((long long)fold.second, (long long)fold.first);
}

TARGET_PCLMUL static inline __m128i load_block(const uint8_t *data) {
    return _mm_loadu_si128((const __m128i *)(const void *)data);
}

TARGET_PCLMUL static inline __m128i fold_into(__m128i block, __m128i constants, __m128i target) {
    __m128i first = _mm_clmulepi64_si128(block, constants, 0x00);
    __m128i second = _mm_clmulepi64_si128(block, constants, 0x11);
    return _mm_xor_si128(_mm_xor_si128(first, second), target);
}

/*
 * The register after one last block V = H*x^64 + L, that is V * x^64 mod Q:
 *   T = H * (x^128 mod Q) + L * x^64          (fold the first half away; T = A*x^64 + B)
 *   quotient = floor(A * floor(x^128 / Q) / x^64),  result = B + the low 64 coefficients of quotient * Q
 * The constants lack their constant term, which is added by hand below when Q has one, so that they fit
 * 64 bits; the missing factor x is the one that a product of reflected words brings.
 */
TARGET_PCLMUL static inline uint64_t reduce(const crt_crc_engine *engine, __m128i block) {
    __m128i constants = _mm_set_epi64x((long long)engine->barrett_poly, (long long)engine->barrett_quotient);
    __m128i fold = _mm_cvtsi64_si128((long long)engine->fold_128.second);
    __m128i t = _mm_xor_si128(_mm_clmulepi64_si128(block, fold, 0x00), _mm_srli_si128(block, 8));
    __m128i quotient = _mm_clmulepi64_si128(t, constants, 0x00);
    __m128i product = _mm_clmulepi64_si128(quotient, constants, 0x10);
    uint64_t result = (uint64_t)_mm_extract_epi64(_mm_xor_si128(t, product), 1);
    if (engine->poly >> 63) {
        result ^= (uint64_t)_mm_cvtsi128_si64(quotient);
    }
    return result;
}

/* Folds whole blocks into `block`, reduces, and finishes the last bytes from the table. */
TARGET_PCLMUL static inline uint64_t finish(const crt_crc_engine *engine, __m128i block, const uint8_t *data,
                                            size_t len) {
    const __m128i by_128 = load_fold(engine->fold_128);
    for (; len >= 16; len -= 16, data += 16) {
        block = fold_into(block, by_128, load_block(data));
    }
    return crt_crc_portable(engine, reduce(engine, block), data, len);
}

TARGET_PCLMUL uint64_t crt_crc_pclmul(const crt_crc_engine *engine, uint64_t state, const uint8_t *data, size_t len) {
    if (len < 16) {
        return crt_crc_portable(engine, state, data, len);
    }
    /* The register so far acts as if it were added to the first bytes of the data. */
    __m128i a = _mm_xor_si128(load_block(data), _mm_cvtsi64_si128((long long)state));
    if (len < 64) {
        return finish(engine, a, data + 16, len - 16);
    }
    __m128i b = load_block(data + 16), c = load_block(data + 32), d = load_block(data + 48);
    const __m128i by_512 = load_fold(engine->fold_512);
    for (data += 64, len -= 64; len >= 64; len -= 64, data += 64) {
        a = fold_into(a, by_512, load_block(data));
        b = fold_into(b, by_512, load_block(data + 16));
        c = fold_into(c, by_512, load_block(data + 32));
        d = fold_into(d, by_512, load_block(data + 48));
    }
    /* Three independent multiplications instead of a chain: short messages notice. */
    c = fold_into(a, load_fold(engine->fold_384), fold_into(c, load_fold(engine->fold_128), d));
    return finish(engine, fold_into(b, load_fold(engine->fold_256), c), data, len);
}

TARGET_AVX512 static inline __m512i fold_wide(__m512i blocks, __m512i constants, const uint8_t *data) {
    __m512i first = _mm512_clmulepi64_epi128(blocks, constants, 0x00);
    __m512i second = _mm512_clmulepi64_epi128(blocks, constants, 0x11);
    /* 0x96: the truth table of a three-way exclusive or. */
    return _mm512_ternarylogic_epi64(first, second, _mm512_loadu_si512(data), 0x96);
}

/* Four wide registers hold the last 256 bytes; below that the narrow kernel is as fast. */
TARGET_AVX512 uint64_t crt_crc_avx512(const crt_crc_engine *engine, uint64_t state, const uint8_t *data, size_t len) {
    if (len < 512) {
        return crt_crc_pclmul(engine, state, data, len);
    }
    __m512i lanes[4];
    for (int i = 0; i < 4; i++) {
        lanes[i] = _mm512_loadu_si512(data + 64 * i);
    }
    lanes[0] = _mm512_xor_si512(lanes[0], _mm512_zextsi128_si512(_mm_cvtsi64_si128((long long)state)));

    const __m512i by_2048 = _mm512_broadcast_i32x4(load_fold(engine->fold_2048));
    for (data += 256, len -= 256; len >= 256; len -= 256, data += 256) {
        for (int i = 0; i < 4; i++) {
            lanes[i] = fold_wide(lanes[i], by_2048, data + 64 * i);
        }
    }
    /* The 256 bytes carried are themselves a message congruent to all that was read. */
    uint8_t carried[256];
    for (int i = 0; i < 4; i++) {
        _mm512_storeu_si512(carried + 64 * i, lanes[i]);
    }
    return crt_crc_pclmul(engine, crt_crc_pclmul(engine, 0, carried, sizeof(carried)), data, len);
}

TARGET_SSE42 uint64_t crt_crc32c_sse42(const crt_crc_engine *engine, uint64_t state, const uint8_t *data, size_t len) {
    (void)engine;
    for (; len >= 8; len -= 8, data += 8) {
        uint64_t word;
        memcpy(&word, data, sizeof(word));
        state = _mm_crc32_u64(state, word);
    }
    for (; len > 0; len--, data++) {
        state = _mm_crc32_u8((uint32_t)state, *data);
    }
    return state;
}

#endif
