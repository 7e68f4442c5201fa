/* Checksums: check values, every kernel of this machine against a bit-by-bit reference, combination. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "../checksums/crc_engine.h"
#include "crt/checksums.h"

/* Deterministic noise (xorshift64), so that a failure repeats. */
static uint64_t noise_state = 0x9e3779b97f4a7c15u;

static uint64_t noise(void) {
    noise_state ^= noise_state << 13;
    noise_state ^= noise_state >> 7;
    noise_state ^= noise_state << 17;
    return noise_state;
}

static uint64_t bitwise(uint64_t poly, uint64_t state, const uint8_t *data, size_t len) {
    for (size_t i = 0; i < len; i++) {
        state ^= data[i];
        for (int bit = 0; bit < 8; bit++) {
            state = (state >> 1) ^ (state & 1 ? poly : 0);
        }
    }
    return state;
}

static void test_check_values(void **unused) {
    crt_bytes digits = crt_bytes_str("123456789");
    assert_int_equal(crt_crc32(digits, 0), 0xcbf43926u);
    assert_int_equal(crt_crc32c(digits, 0), 0xe3069283u);
    assert_true(crt_crc64nvme(digits, 0) == 0xae8b14860a799888u);

    static const uint8_t zeros[32];
    crt_bytes thirty_two = crt_bytes_of(zeros, sizeof(zeros));
    assert_int_equal(crt_crc32(thirty_two, 0), 0x190a55adu);
    assert_int_equal(crt_crc32c(thirty_two, 0), 0x8a9136aau);
    assert_true(crt_crc64nvme(thirty_two, 0) == 0xcf3473434d4ecf3bu);
}

static void test_empty_input_keeps_the_previous_value(void **unused) {
    crt_bytes nothing = crt_bytes_of(NULL, 0);
    assert_int_equal(crt_crc32(nothing, 0x12345678u), 0x12345678u);
    assert_int_equal(crt_crc32c(nothing, 0x12345678u), 0x12345678u);
    assert_true(crt_crc64nvme(nothing, 0x123456789abcdef0u) == 0x123456789abcdef0u);
    assert_int_equal(crt_crc32_combine(7, 9, 0), 7);
    assert_true(crt_crc64nvme_combine(7, 9, 0) == 7);
}

enum {
    SMALL = CRT_CRC_GFNI_PIECE(CRT_CRC_GFNI_SMALL),
    LARGE = CRT_CRC_GFNI_PIECE(CRT_CRC_GFNI_LARGE),
    MANY = 3 * CRT_CRC32C_PIECE + 4096,
    SAMPLE = 2 * LARGE + 2 * SMALL + 4096,
    SHORT = 1200
};

static void check_one(const crt_crc_variant *variant, const crt_crc_engine *engine, const uint8_t *data, size_t len) {
    uint64_t state = noise() & (engine->width == 64 ? UINT64_MAX : UINT32_MAX);
    /* The portable kernel, itself checked bit by bit, speaks for the long ones: bits take their time. */
    uint64_t expected = len < SHORT ? bitwise(engine->poly, state, data, len)
                                    : crt_crc_portable(engine, state, data, len);
    uint64_t actual = variant->run(engine, state, data, len);
    if (actual != expected) {
        fail_msg("%s, width %u, length %zu: %llx, not %llx", variant->name, engine->width, len,
                 (unsigned long long)actual, (unsigned long long)expected);
    }
}

static void check_kernel(const crt_crc_variant *variant, const crt_crc_engine *engine, const uint8_t *sample) {
    for (size_t len = 0; len < SHORT; len++) { /* all tails of all kernels */
        check_one(variant, engine, sample + noise() % 64, len);
    }
    for (int round = 0; round < 300; round++) {
        check_one(variant, engine, sample + noise() % 64, noise() % MANY);
    }
    for (int round = 0; round < 10; round++) {
        check_one(variant, engine, sample + noise() % 64, noise() % (SAMPLE - 64));
    }
}

/* A kernel that works on pieces has 256 bytes before them. The data end where their memory ends, for the sanitizer. */
static void check_kernel_around_pieces(const crt_crc_variant *variant, const crt_crc_engine *engine,
                                       const uint8_t *sample) {
    for (size_t len = 256 + SMALL - 70; len < 256 + SMALL + 330; len++) {
        check_one(variant, engine, sample + SAMPLE - len, len);
    }
    static const size_t pieces[] = {2 * SMALL, LARGE, LARGE + SMALL, 2 * LARGE, 2 * LARGE + 2 * SMALL};
    static const size_t around[] = {0, 1, 64, 192, 255, 256, 257, 271, 320, 512};
    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        for (size_t j = 0; j < sizeof(around) / sizeof(around[0]); j++) {
            size_t len = pieces[i] + around[j];
            check_one(variant, engine, sample + SAMPLE - len, len);
        }
    }
}

static void test_every_kernel_agrees_with_the_bitwise_reference(void **unused) {
    uint8_t *sample = malloc(SAMPLE);
    assert_non_null(sample);
    for (size_t i = 0; i < SAMPLE; i++) {
        sample[i] = (uint8_t)noise();
    }
    for (int kind = CRT_CRC32; kind <= CRT_CRC64NVME; kind++) {
        const crt_crc_engine *engine = crt_crc_engine_get((enum crt_crc_kind)kind);
        crt_crc_variant variants[CRT_CRC_VARIANTS];
        size_t count = crt_crc_variants((enum crt_crc_kind)kind, variants);
        for (size_t i = 0; i < count; i++) {
            check_kernel(&variants[i], engine, sample);
            check_kernel_around_pieces(&variants[i], engine, sample);
        }
    }
    free(sample);
}

/* Eight bits of eight lines must be able to stand for the eight bits of a line before them, whatever those are. */
static void test_line_matrices_keep_the_remainder(void **unused) {
    for (int kind = CRT_CRC32; kind <= CRT_CRC64NVME; kind++) {
        const crt_crc_engine *engine = crt_crc_engine_get((enum crt_crc_kind)kind);
        for (int byte = 1; byte < 256; byte++) {
            uint8_t one[9 * 64] = {(uint8_t)byte}, eight[9 * 64] = {0};
            for (int line = 0; line < CRT_CRC_GFNI_LINES; line++) {
                uint64_t matrix = engine->line_matrix[line];
                for (int bit = 0; bit < 8; bit++) { /* as the instruction is defined */
                    int row = byte & (int)(matrix >> (8 * (7 - bit)) & 0xff);
                    /* line_matrix[7] is for the next line. */
                    eight[(8 - line) * 64] |= (uint8_t)(__builtin_parity((unsigned)row) << bit);
                }
            }
            assert_true(crt_crc_portable(engine, 0, one, sizeof(one)) ==
                        crt_crc_portable(engine, 0, eight, sizeof(eight)));
        }
    }
}

static void test_pieces_and_combination_equal_the_whole(void **unused) {
    enum { LEN = LARGE + 100000 };
    uint8_t *sample = malloc(LEN);
    assert_non_null(sample);
    for (size_t i = 0; i < LEN; i++) {
        sample[i] = (uint8_t)noise();
    }
    crt_bytes whole = crt_bytes_of(sample, LEN);
    for (int round = 0; round < 200; round++) {
        size_t cut = noise() % (LEN + 1);
        crt_bytes a = crt_bytes_of(sample, cut), b = crt_bytes_of(sample + cut, LEN - cut);
        assert_int_equal(crt_crc32(b, crt_crc32(a, 0)), crt_crc32(whole, 0));
        assert_int_equal(crt_crc32c(b, crt_crc32c(a, 0)), crt_crc32c(whole, 0));
        assert_true(crt_crc64nvme(b, crt_crc64nvme(a, 0)) == crt_crc64nvme(whole, 0));
        assert_int_equal(crt_crc32_combine(crt_crc32(a, 0), crt_crc32(b, 0), b.len), crt_crc32(whole, 0));
        assert_int_equal(crt_crc32c_combine(crt_crc32c(a, 0), crt_crc32c(b, 0), b.len), crt_crc32c(whole, 0));
        assert_true(crt_crc64nvme_combine(crt_crc64nvme(a, 0), crt_crc64nvme(b, 0), b.len) ==
                    crt_crc64nvme(whole, 0));
    }
    free(sample);
}

/* Lengths no buffer can have here: combining in two steps must equal combining in one. */
static void test_combination_with_huge_lengths(void **unused) {
    uint64_t n = (uint64_t)1 << 62, m = ((uint64_t)1 << 61) + 12345;
    assert_int_equal(crt_crc32_combine(crt_crc32_combine(0x89abcdefu, 0, n), 0, m),
                     crt_crc32_combine(0x89abcdefu, 0, n + m));
    assert_true(crt_crc64nvme_combine(crt_crc64nvme_combine(0x89abcdef01234567u, 0, n), 0, m) ==
                crt_crc64nvme_combine(0x89abcdef01234567u, 0, n + m));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_check_values),
        cmocka_unit_test(test_empty_input_keeps_the_previous_value),
        cmocka_unit_test(test_every_kernel_agrees_with_the_bitwise_reference),
        cmocka_unit_test(test_line_matrices_keep_the_remainder),
        cmocka_unit_test(test_pieces_and_combination_equal_the_whole),
        cmocka_unit_test(test_combination_with_huge_lengths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
