/*
 * One engine for all reflected CRCs up to 64 bits (private to this room).
 *
 * A reflected CRC keeps its register bit-reversed: bit i of a 64-bit word is the coefficient of x^(63-i), so
 * one step is "shift right, and subtract the polynomial when a one fell out". A 32-bit CRC is the same
 * computation with a polynomial whose upper 32 bits are zero, so CRC-32 and CRC-64 share everything below.
 * Every constant is computed from the polynomial when the engine is first used; none is written down.
 */
#ifndef CRT_CRC_ENGINE_H
#define CRT_CRC_ENGINE_H

#include "cpu.h"
#include "crt/base.h"

/* Fold constants for moving a 128-bit block `distance` bits further along the message. */
typedef struct crt_crc_fold {
    uint64_t first;  /* x^(distance + 64 - 1) mod P: for the first 8 bytes of the block */
    uint64_t second; /* x^(distance - 1) mod P: for the last 8 bytes */
} crt_crc_fold;

/* crt_crc32c_avx512 works on pieces of this size: four runs for the CRC32 instruction, twice as much for folding. */
enum { CRT_CRC32C_RUNS = 8, CRT_CRC32C_RUN = 1024, CRT_CRC32C_PIECE = (CRT_CRC32C_RUNS + 8) * CRT_CRC32C_RUN };

/*
 * crt_crc_gfni works on pieces of so many rounds; its matrices move 8 lines of 64 bytes in a round while 12 are folded.
 * A piece is the part for the matrices and then the one for folding, which has 256 bytes more to begin with.
 */
enum { CRT_CRC_GFNI_LINES = 8, CRT_CRC_GFNI_SMALL = 8, CRT_CRC_GFNI_LARGE = 128 };
#define CRT_CRC_GFNI_MATRICES(rounds) ((rounds) * CRT_CRC_GFNI_LINES * 64)
#define CRT_CRC_GFNI_FOLDED(rounds) (256 + (rounds) * CRT_CRC_GFNI_LINES * 96)
#define CRT_CRC_GFNI_PIECE(rounds) (CRT_CRC_GFNI_MATRICES(rounds) + CRT_CRC_GFNI_FOLDED(rounds))

typedef struct crt_crc_engine {
    uint64_t poly;          /* reflected, without its highest coefficient */
    unsigned width;         /* 32 or 64 */
    uint64_t table[8][256]; /* slice-by-8 */
    crt_crc_fold fold_128;
    crt_crc_fold fold_256;
    crt_crc_fold fold_384;
    crt_crc_fold fold_512;
    crt_crc_fold fold_1024;
    crt_crc_fold fold_1536;
    crt_crc_fold fold_2048;
    uint64_t within_512[8]; /* fold_384, fold_256, fold_128, 0: four blocks of one register into the last */
    uint64_t run_shift[CRT_CRC32C_RUNS]; /* CRC-32C: moves the state of a run to the end of its piece */
    uint64_t line_matrix[CRT_CRC_GFNI_LINES]; /* see crc_matrix.c */
    crt_crc_fold gfni_small; /* from the first 512 bytes of the part for folding to its end; in a small piece, */
    crt_crc_fold gfni_large; /* and in a large one */
    /* Barrett reduction of the last 128 bits; see crc_fold.h. */
    uint64_t barrett_quotient;
    uint64_t barrett_poly;
    uint64_t power[64]; /* x^(8 * 2^i) mod P, for combining */
} crt_crc_engine;

/* Moves a raw register (no inversions) over data. */
typedef uint64_t (*crt_crc_kernel)(const crt_crc_engine *engine, uint64_t state, const uint8_t *data, size_t len);
#define CRT_CRC_KERNEL(name) \
    CRT_HIDDEN uint64_t name(const crt_crc_engine *engine, uint64_t state, const uint8_t *data, size_t len)

CRT_HIDDEN void crt_crc_engine_init(crt_crc_engine *engine, uint64_t reflected_poly, unsigned width);
/* The part of it that fills line_matrix. */
CRT_HIDDEN void crt_crc_engine_init_matrices(crt_crc_engine *engine);

/* a * x mod P. */
static inline uint64_t crt_crc_times_x(const crt_crc_engine *engine, uint64_t a) {
    return (a >> 1) ^ (a & 1 ? engine->poly : 0);
}

/* a * b mod P. */
CRT_HIDDEN uint64_t crt_crc_multiply(const crt_crc_engine *engine, uint64_t a, uint64_t b);
/* The register of a message followed by len zero bytes. */
CRT_HIDDEN uint64_t crt_crc_shift(const crt_crc_engine *engine, uint64_t state, uint64_t len);

CRT_CRC_KERNEL(crt_crc_portable);
#ifdef CRT_CPU_X86
CRT_CRC_KERNEL(crt_crc_pclmul);    /* PCLMULQDQ, SSE4.1 */
CRT_CRC_KERNEL(crt_crc_avx512);    /* AVX-512, VPCLMULQDQ and what crt_crc_pclmul needs */
CRT_CRC_KERNEL(crt_crc_gfni);      /* also GFNI */
CRT_CRC_KERNEL(crt_crc32c_sse42);  /* these four for Castagnoli's polynomial only: SSE4.2, */
CRT_CRC_KERNEL(crt_crc32c_pclmul); /* also PCLMULQDQ, */
CRT_CRC_KERNEL(crt_crc32c_avx512); /* also VPCLMULQDQ */
CRT_CRC_KERNEL(crt_crc32c_gfni);   /* also GFNI */
#endif
#ifdef CRT_CPU_ARM
CRT_CRC_KERNEL(crt_crc_pmull);
CRT_CRC_KERNEL(crt_crc32_arm); /* for the polynomial in its name only */
CRT_CRC_KERNEL(crt_crc32_arm_pmull);
CRT_CRC_KERNEL(crt_crc32c_arm);
CRT_CRC_KERNEL(crt_crc32c_arm_pmull);
#endif

/* Reflected polynomials: the catalogue's (CRC RevEng) 0x04c11db7, 0x1edc6f41 and 0xad93d23594c93659, bits reversed. */
#define CRT_POLY_CRC32 0xedb88320u
#define CRT_POLY_CRC32C 0x82f63b78u
#define CRT_POLY_CRC64NVME 0x9a6c9329ac4bc9b5u

enum crt_crc_kind { CRT_CRC32, CRT_CRC32C, CRT_CRC64NVME };
CRT_HIDDEN const crt_crc_engine *crt_crc_engine_get(enum crt_crc_kind kind);

/* A kernel with the name that crt_checksum_kernel() tells. */
typedef struct crt_crc_variant {
    const char *name;
    crt_crc_kernel run;
} crt_crc_variant;

/* All that this machine can run for a kind, the later the more of its instructions; returns how many were written. */
enum { CRT_CRC_VARIANTS = 5 };
CRT_HIDDEN size_t crt_crc_variants(enum crt_crc_kind kind, crt_crc_variant space[CRT_CRC_VARIANTS]);

#endif
