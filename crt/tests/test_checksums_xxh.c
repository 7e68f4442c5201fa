/* xxHash: published values, every kernel of this machine, streams against one call. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "../checksums/xxh_kernels.h"
#include "crt/checksums.h"

static const enum crt_xxh_kind kinds[] = {CRT_XXH64, CRT_XXH3_64, CRT_XXH3_128};

static void assert_hash(enum crt_xxh_kind kind, const char *text, const char *hex) {
    uint8_t digest[CRT_XXH_MAX];
    char actual[2 * CRT_XXH_MAX + 1] = "";
    crt_xxh(kind, crt_bytes_str(text), 0, digest);
    for (size_t i = 0; i < crt_xxh_size(kind); i++) {
        snprintf(actual + 2 * i, 3, "%02x", digest[i]);
    }
    assert_string_equal(actual, hex);
}

static void test_published_values(void **unused) {
    assert_hash(CRT_XXH64, "", "ef46db3751d8e999");
    assert_hash(CRT_XXH3_64, "", "2d06800538d394c2");
    assert_hash(CRT_XXH3_128, "", "99aa06d3014798d86001c324468d497f");
    assert_hash(CRT_XXH64, "Hello world", "c500b0c912b376d8");
    assert_hash(CRT_XXH3_64, "Hello world", "b6acb9d84a38ff74");
    assert_hash(CRT_XXH3_128, "Hello world", "7351f89812f97382b91d05b31e04dd7f");
}

enum { SAMPLE = 40000 };

static uint8_t *sample_new(void) {
    uint8_t *sample = malloc(SAMPLE);
    assert_non_null(sample);
    uint64_t state = 0x9e3779b97f4a7c15u;
    for (size_t i = 0; i < SAMPLE; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        sample[i] = (uint8_t)(state >> 56);
    }
    return sample;
}

static XXH3_state_t *state_new(uint64_t seed) {
    XXH3_state_t *state = XXH3_createState();
    assert_non_null(state);
    assert_int_equal(XXH3_64bits_reset_withSeed(state, seed), XXH_OK);
    return state;
}

/* The library compiled here, without a target of its own, speaks for the others. */
static void check_kernel(const crt_xxh_kernels *kernels, crt_bytes data, uint64_t seed) {
    assert_true(kernels->long_64(data, seed) == XXH3_64bits_withSeed(data.ptr, data.len, seed));
    assert_true(XXH128_isEqual(kernels->long_128(data, seed), XXH3_128bits_withSeed(data.ptr, data.len, seed)));

    XXH3_state_t *state = state_new(seed);
    kernels->update_64(state, crt_bytes_of(data.ptr, data.len / 3));
    kernels->update_64(state, crt_bytes_of(data.ptr + data.len / 3, data.len - data.len / 3));
    assert_true(XXH3_64bits_digest(state) == XXH3_64bits_withSeed(data.ptr, data.len, seed));

    assert_int_equal(XXH3_128bits_reset_withSeed(state, seed), XXH_OK);
    kernels->update_128(state, data);
    assert_true(XXH128_isEqual(XXH3_128bits_digest(state), XXH3_128bits_withSeed(data.ptr, data.len, seed)));
    assert_int_equal(XXH3_freeState(state), XXH_OK);
}

static void test_every_kernel_agrees(void **unused) {
    uint8_t *sample = sample_new();
    const crt_xxh_kernels *kernels[CRT_XXH_VARIANTS];
    size_t count = crt_xxh_variants(kernels);
    assert_true(count >= 1);
    for (size_t i = 0; i < count; i++) {
        for (size_t len = 0; len < 2100; len += 7) {
            check_kernel(kernels[i], crt_bytes_of(sample + len % 64, len), len % 2 ? 0 : len * 0x9e3779b97f4a7c15u);
        }
        check_kernel(kernels[i], crt_bytes_of(sample, SAMPLE), 42);
    }
    free(sample);
}

static void test_stream_equals_one_call(void **unused) {
    uint8_t *sample = sample_new();
    for (size_t k = 0; k < 3; k++) {
        for (size_t step = 1; step < 5000; step = step * 3 + 1) {
            crt_xxh_stream *stream;
            assert_int_equal(crt_xxh_stream_new(kinds[k], step, &stream), 0);
            for (size_t at = 0; at < SAMPLE; at += step) {
                crt_xxh_stream_update(stream, crt_bytes_of(sample + at, at + step < SAMPLE ? step : SAMPLE - at));
            }
            uint8_t digest[CRT_XXH_MAX], again[CRT_XXH_MAX], expected[CRT_XXH_MAX];
            crt_xxh_stream_digest(stream, digest);
            crt_xxh_stream_digest(stream, again);
            crt_xxh(kinds[k], crt_bytes_of(sample, SAMPLE), step, expected);
            assert_memory_equal(digest, expected, crt_xxh_size(kinds[k]));
            assert_memory_equal(again, expected, crt_xxh_size(kinds[k]));
            crt_xxh_stream_free(stream);
        }
    }
    free(sample);
}

static void test_empty_updates_change_nothing(void **unused) {
    for (size_t k = 0; k < 3; k++) {
        crt_xxh_stream *stream;
        assert_int_equal(crt_xxh_stream_new(kinds[k], 0, &stream), 0);
        crt_xxh_stream_update(stream, crt_bytes_of(NULL, 0));
        uint8_t digest[CRT_XXH_MAX], expected[CRT_XXH_MAX];
        crt_xxh_stream_digest(stream, digest);
        crt_xxh(kinds[k], crt_bytes_of(NULL, 0), 0, expected);
        assert_memory_equal(digest, expected, crt_xxh_size(kinds[k]));
        crt_xxh_stream_free(stream);
    }
    crt_xxh_stream_free(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_published_values),
        cmocka_unit_test(test_every_kernel_agrees),
        cmocka_unit_test(test_stream_equals_one_call),
        cmocka_unit_test(test_empty_updates_change_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
