/*
 * x86-64 kernels: folding (crc_fold.h) on 128-bit and 512-bit registers; beside it, because they use other execution
 * units, bit matrices (crc_matrix.c) or, for CRC-32C, the CRC32 instruction, which also serves alone.
 */
#include "crc_engine.h"

#ifdef CRT_CPU_X86

#include <immintrin.h>

#define TARGET_PCLMUL __attribute__((target("pclmul,sse4.1")))
#define TARGET_SSE42 __attribute__((target("sse4.2")))
#define TARGET_BOTH __attribute__((target("pclmul,sse4.2")))
#define TARGET_AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,vpclmulqdq,pclmul,sse4.2")))
#define TARGET_GFNI __attribute__((target("gfni,avx512f,avx512bw,avx512dq,avx512vl,vpclmulqdq,pclmul,sse4.2")))

/* For loops over registers, and where no branch may come between. */
#ifdef __clang__
#define UNROLLED _Pragma("clang loop unroll(full)")
#else
#define UNROLLED _Pragma("GCC unroll 16")
#endif

/* ---- 128-bit blocks ---- */

typedef __m128i block;
#define FOLD_INLINE TARGET_PCLMUL static inline

FOLD_INLINE block block_load(const uint8_t *data) {
    return _mm_loadu_si128((const __m128i *)(const void *)data);
}
FOLD_INLINE block block_of(uint64_t first, uint64_t second) {
    return _mm_set_epi64x((long long)second, (long long)first);
}
FOLD_INLINE block block_xor(block a, block b) {
    return _mm_xor_si128(a, b);
}
FOLD_INLINE block block_multiply_first(block a, block b) {
    return _mm_clmulepi64_si128(a, b, 0x00);
}
FOLD_INLINE block block_multiply_second(block a, block b) {
    return _mm_clmulepi64_si128(a, b, 0x11);
}
FOLD_INLINE block block_multiply_cross(block a, block b) {
    return _mm_clmulepi64_si128(a, b, 0x10);
}
FOLD_INLINE uint64_t block_first(block a) {
    return (uint64_t)_mm_cvtsi128_si64(a);
}
FOLD_INLINE uint64_t block_second(block a) {
    return (uint64_t)_mm_extract_epi64(a, 1);
}
FOLD_INLINE block block_drop_first(block a) {
    return _mm_srli_si128(a, 8);
}

#include "crc_fold.h"

TARGET_PCLMUL uint64_t crt_crc_pclmul(const crt_crc_engine *engine, uint64_t state, const uint8_t *data, size_t len) {
    return fold_message(engine, state, data, len);
}

/* ---- 512-bit registers, each four blocks ---- */

typedef struct wide {
    __m512i a, b, c, d; /* 256 bytes in their order */
} wide;

/* The processor's own prefetching stops at the end of each page, so that pages are fetched from further away. What lies
   behind the data may be named here: a fetch never faults. */
#define AHEAD 6144

static inline void fetch_ahead(const uint8_t *data, size_t distance, size_t len) {
    UNROLLED for (size_t line = 0; line < len; line += 64) {
        __builtin_prefetch((const void *)((uintptr_t)data + distance + line));
    }
}

TARGET_AVX512 static inline __m512i wide_constants(crt_crc_fold fold) {
    return _mm512_broadcast_i32x4(fold_constants(fold));
}

TARGET_AVX512 static inline __m512i wide_into(__m512i moved, __m512i constants, __m512i target) {
    __m512i first = _mm512_clmulepi64_epi128(moved, constants, 0x00);
    __m512i second = _mm512_clmulepi64_epi128(moved, constants, 0x11);
    return _mm512_ternarylogic_epi64(first, second, target, 0x96); /* the truth table of a three-way exclusive or */
}

TARGET_AVX512 static inline wide wide_load(const uint8_t *data) {
    return (wide){_mm512_loadu_si512(data), _mm512_loadu_si512(data + 64), _mm512_loadu_si512(data + 128),
                  _mm512_loadu_si512(data + 192)};
}

TARGET_AVX512 static inline wide wide_step(wide lanes, __m512i by_2048, const uint8_t *data) {
    lanes.a = wide_into(lanes.a, by_2048, _mm512_loadu_si512(data));
    lanes.b = wide_into(lanes.b, by_2048, _mm512_loadu_si512(data + 64));
    lanes.c = wide_into(lanes.c, by_2048, _mm512_loadu_si512(data + 128));
    lanes.d = wide_into(lanes.d, by_2048, _mm512_loadu_si512(data + 192));
    return lanes;
}

/* Four registers into the last, without a chain of multiplications. */
TARGET_AVX512 static inline __m512i wide_join(const crt_crc_engine *engine, wide lanes) {
    __m512i last = wide_into(lanes.a, wide_constants(engine->fold_1536), lanes.d);
    last = wide_into(lanes.b, wide_constants(engine->fold_1024), last);
    return wide_into(lanes.c, wide_constants(engine->fold_512), last);
}

/* The four blocks of a register into its last; then the rest of the message. */
TARGET_AVX512 static inline uint64_t wide_finish(const crt_crc_engine *engine, __m512i lane, const uint8_t *data,
                                                 size_t len) {
    const __m512i by_512 = wide_constants(engine->fold_512);
    for (; len >= 64; len -= 64, data += 64) {
        lane = wide_into(lane, by_512, _mm512_loadu_si512(data));
    }
    /* The constants for the last block are 0: it is not moved, but added below. */
    __m512i moved = wide_into(lane, _mm512_loadu_si512(engine->within_512), _mm512_setzero_si512());
    __m256i half = _mm256_xor_si256(_mm512_castsi512_si256(moved), _mm512_extracti64x4_epi64(moved, 1));
    block last = block_xor(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
    return fold_finish(engine, block_xor(last, _mm512_extracti32x4_epi32(lane, 3)), data, len);
}

/* The register so far acts as if it were added to the first bytes of the data. */
TARGET_AVX512 static inline wide wide_start(uint64_t state, const uint8_t *data) {
    wide lanes = wide_load(data);
    lanes.a = _mm512_xor_si512(lanes.a, _mm512_zextsi128_si512(block_of(state, 0)));
    return lanes;
}

/* All that comes after the lanes; inline, for a call would have them stored and loaded, which short messages notice. */
TARGET_AVX512 __attribute__((always_inline)) static inline uint64_t wide_rest(const crt_crc_engine *engine, wide lanes,
                                                                             const uint8_t *data, size_t len) {
    const __m512i by_2048 = wide_constants(engine->fold_2048);
    for (; len >= 256; len -= 256, data += 256) {
        fetch_ahead(data, AHEAD, 256);
        lanes = wide_step(lanes, by_2048, data);
    }
    return wide_finish(engine, wide_join(engine, lanes), data, len);
}

TARGET_AVX512 uint64_t crt_crc_avx512(const crt_crc_engine *engine, uint64_t state, const uint8_t *data, size_t len) {
    if (len < 256) {
        return fold_message(engine, state, data, len);
    }
    return wide_rest(engine, wide_start(state, data), data + 256, len - 256);
}

/* ---- bit matrices (GFNI) beside the folding ---- */

enum { LINES = CRT_CRC_GFNI_LINES };

/*
 * A line after the last eight, which are in a ring with the oldest at `from`: its data (`sum`) and what the oldest
 * `count` of the eight are moved to. The latest comes last: it may still be under way.
 */
TARGET_GFNI static inline __m512i lines_moved(__m512i sum, const __m512i line[LINES], size_t from,
                                              const __m512i matrix[LINES], size_t count) {
    UNROLLED for (size_t i = 0; i < count; i += 2) {
        __m512i one = _mm512_gf2p8affine_epi64_epi8(line[(from + i) % LINES], matrix[i], 0);
        __m512i other = i + 1 == count
                            ? _mm512_setzero_si512()
                            : _mm512_gf2p8affine_epi64_epi8(line[(from + i + 1) % LINES], matrix[i + 1], 0);
        sum = _mm512_ternarylogic_epi64(sum, one, other, 0x96);
    }
    return sum;
}

/*
 * One piece: matrices move its first part, line by line, while its second part is folded, both without a reduction. The
 * lanes, which stand for all that came before, go on as lines of the first part; returned are those at the piece's end.
 */
TARGET_GFNI static inline wide gfni_piece(const crt_crc_engine *engine, wide lanes, const uint8_t *data, size_t rounds,
                                          crt_crc_fold second_part) {
    __m512i matrix[LINES];
    UNROLLED for (size_t i = 0; i < LINES; i++) {
        matrix[i] = _mm512_set1_epi64((long long)engine->line_matrix[i]);
    }
    /* The last eight lines, the oldest first; four in front of the lanes do not exist. */
    const __m512i zero = _mm512_setzero_si512();
    __m512i line[LINES] = {zero, zero, zero, zero, zero, zero, zero, zero};
    line[4] = lines_moved(lanes.a, line, 4, matrix, LINES);
    line[5] = lines_moved(lanes.b, line, 5, matrix, LINES);
    line[6] = lines_moved(lanes.c, line, 6, matrix, LINES);
    line[7] = lines_moved(lanes.d, line, 7, matrix, LINES);

    const __m512i by_2048 = wide_constants(engine->fold_2048);
    const uint8_t *folded = data + CRT_CRC_GFNI_MATRICES(rounds);
    lanes = wide_load(folded);
    __m512i lane[4] = {lanes.a, lanes.b, lanes.c, lanes.d};
    for (folded += 256; rounds > 0; rounds--, data += LINES * 64, folded += LINES * 96) {
        fetch_ahead(data, AHEAD, LINES * 64);
        fetch_ahead(folded, AHEAD, LINES * 96);
        UNROLLED for (size_t i = 0; i < LINES; i++) {
            line[i] = lines_moved(_mm512_loadu_si512(data + 64 * i), line, i, matrix, LINES);
            /* Twelve folded lines beside eight, evenly. */
            UNROLLED for (size_t j = i * 3 / 2; j < (i + 1) * 3 / 2; j++) {
                lane[j % 4] = wide_into(lane[j % 4], by_2048, _mm512_loadu_si512(folded + 64 * j));
            }
        }
    }

    /* What the last eight lines stand for, in the place of the first eight of the second part. */
    __m512i over[LINES];
    UNROLLED for (size_t i = 0; i < LINES; i++) {
        over[i] = lines_moved(zero, line, i, matrix, LINES - i);
    }
    const __m512i to_end = wide_constants(second_part);
    UNROLLED for (size_t i = 0; i < 4; i++) {
        lane[i] = wide_into(wide_into(over[i], by_2048, over[i + 4]), to_end, lane[i]);
    }
    return (wide){lane[0], lane[1], lane[2], lane[3]};
}

TARGET_GFNI uint64_t crt_crc_gfni(const crt_crc_engine *engine, uint64_t state, const uint8_t *data, size_t len) {
    enum { SMALL = CRT_CRC_GFNI_PIECE(CRT_CRC_GFNI_SMALL), LARGE = CRT_CRC_GFNI_PIECE(CRT_CRC_GFNI_LARGE) };
    if (len < 256 + SMALL) {
        return crt_crc_avx512(engine, state, data, len);
    }
    wide lanes = wide_start(state, data);
    data += 256;
    len -= 256;
    for (; len >= LARGE; len -= LARGE, data += LARGE) {
        lanes = gfni_piece(engine, lanes, data, CRT_CRC_GFNI_LARGE, engine->gfni_large);
    }
    for (; len >= SMALL; len -= SMALL, data += SMALL) {
        lanes = gfni_piece(engine, lanes, data, CRT_CRC_GFNI_SMALL, engine->gfni_small);
    }
    return wide_rest(engine, lanes, data, len);
}

/* ---- the CRC32 instruction (Castagnoli's polynomial alone) ---- */

TARGET_SSE42 static inline uint64_t crc32c_word(uint64_t state, const uint8_t *data) {
    uint64_t word;
    memcpy(&word, data, sizeof(word));
    return _mm_crc32_u64(state, word);
}

TARGET_SSE42 static inline uint64_t crc32c_serial(uint64_t state, const uint8_t *data, size_t len) {
    for (; len >= 8; len -= 8, data += 8) {
        state = crc32c_word(state, data);
    }
    for (; len > 0; len--, data++) {
        state = _mm_crc32_u8((uint32_t)state, *data);
    }
    return state;
}

/* It needs no set-up, folding has the higher speed: the break-even lies near here. */
#define CRC32C_FOLD_FROM 192

TARGET_SSE42 uint64_t crt_crc32c_sse42(const crt_crc_engine *engine, uint64_t state, const uint8_t *data, size_t len) {
    (void)engine;
    return crc32c_serial(state, data, len);
}

TARGET_BOTH uint64_t crt_crc32c_pclmul(const crt_crc_engine *engine, uint64_t state, const uint8_t *data, size_t len) {
    return len < CRC32C_FOLD_FROM ? crc32c_serial(state, data, len) : fold_message(engine, state, data, len);
}

/*
 * One piece of CRT_CRC32C_PIECE bytes: its first half in equal runs by the CRC32 instruction (as many as keep its unit
 * busy, for each step of a run waits three cycles for the one before), the other half by folding, all at once. The
 * runs are then moved to the piece's end.
 */
TARGET_AVX512 static inline uint64_t crc32c_piece(const crt_crc_engine *engine, uint64_t state, const uint8_t *data) {
    enum { RUN = CRT_CRC32C_RUN, RUNS = CRT_CRC32C_RUNS };
    const __m512i by_2048 = wide_constants(engine->fold_2048);
    const uint8_t *folded = data + RUNS * RUN;
    wide lanes = wide_load(folded);
    uint64_t run[RUNS] = {state};
    for (size_t at = 0; at < RUN; at += 64) {
        if (at > 0) { /* the first 256 bytes were loaded above */
            lanes = wide_step(lanes, by_2048, folded + 8 * at);
        }
        lanes = wide_step(lanes, by_2048, folded + 8 * at + 256);
        fetch_ahead(folded + 8 * at, CRT_CRC32C_PIECE, 512);
        UNROLLED for (size_t i = 0; i < RUNS; i++) {
            fetch_ahead(data + i * RUN + at, CRT_CRC32C_PIECE, 64);
        }
        UNROLLED for (size_t word = at; word < at + 64; word += 8) {
            UNROLLED for (size_t i = 0; i < RUNS; i++) {
                run[i] = crc32c_word(run[i], data + i * RUN + word);
            }
        }
    }
    block moved = _mm_setzero_si128();
    for (int i = 0; i < RUNS; i++) {
        moved = block_xor(moved, block_multiply_first(block_of(run[i], 0), block_of(engine->run_shift[i], 0)));
    }
    return _mm_crc32_u64(0, block_first(moved)) ^ wide_finish(engine, wide_join(engine, lanes), data, 0);
}

TARGET_AVX512 uint64_t crt_crc32c_avx512(const crt_crc_engine *engine, uint64_t state, const uint8_t *data,
                                         size_t len) {
    if (len < CRC32C_FOLD_FROM) {
        return crc32c_serial(state, data, len);
    }
    for (; len >= CRT_CRC32C_PIECE; len -= CRT_CRC32C_PIECE, data += CRT_CRC32C_PIECE) {
        state = crc32c_piece(engine, state, data);
    }
    return len == 0 ? state : crt_crc_avx512(engine, state, data, len);
}

/* Its large pieces are a little faster, the small ones are not. */
TARGET_GFNI uint64_t crt_crc32c_gfni(const crt_crc_engine *engine, uint64_t state, const uint8_t *data, size_t len) {
    return len < 256 + CRT_CRC_GFNI_PIECE(CRT_CRC_GFNI_LARGE) ? crt_crc32c_avx512(engine, state, data, len)
                                                              : crt_crc_gfni(engine, state, data, len);
}

#endif
