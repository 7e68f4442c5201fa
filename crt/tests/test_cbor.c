/* CBOR elements: shortest heads, number forms, every reserved head, and skipping whole items. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "crt/cbor.h"

static size_t from_hex(uint8_t *out, const char *hex) {
    size_t size = strlen(hex) / 2;
    for (size_t i = 0; i < size; i++) {
        unsigned byte;
        assert_int_equal(sscanf(hex + 2 * i, "%2x", &byte), 1);
        out[i] = (uint8_t)byte;
    }
    return size;
}

static void assert_hex(const uint8_t *data, size_t size, const char *hex) {
    uint8_t expected[64];
    size_t expected_size = from_hex(expected, hex);
    assert_int_equal(size, expected_size);
    assert_memory_equal(data, expected, size);
}

static void heads_are_the_shortest(void **state) {
    static const struct {
        unsigned major;
        uint64_t value;
        const char *hex;
    } rows[] = {
        {0, 0, "00"},
        {0, 23, "17"},
        {0, 24, "1818"},
        {0, 255, "18ff"},
        {0, 256, "190100"},
        {0, 65535, "19ffff"},
        {0, 65536, "1a00010000"},
        {0, UINT32_MAX, "1affffffff"},
        {0, (uint64_t)UINT32_MAX + 1, "1b0000000100000000"},
        {0, UINT64_MAX, "1bffffffffffffffff"},
        {1, UINT64_MAX, "3bffffffffffffffff"},
        {6, 55799, "d9d9f7"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint8_t out[CRT_CBOR_HEAD_MAX];
        assert_hex(out, crt_cbor_put_head(out, rows[i].major, rows[i].value), rows[i].hex);
    }
}

static void numbers_take_the_shortest_equal_form(void **state) {
    static const struct {
        double value;
        const char *number;
        const char *real;
    } rows[] = {
        {0.0, "00", "fa00000000"},
        {-0.0, "00", "fa80000000"},
        {1.0, "01", "fa3f800000"},
        {-1.0, "20", "fabf800000"},
        {1.5, "fa3fc00000", "fa3fc00000"},
        {1.1, "fb3ff199999999999a", "fb3ff199999999999a"},
        {4294967295.0, "1affffffff", "fb41efffffffe00000"},
        {4294967296.0, "fa4f800000", "fa4f800000"},
        {4294967297.0, "fb41f0000000100000", "fb41f0000000100000"},
        {-4294967296.0, "3affffffff", "facf800000"},
        {-4294967297.0, "fbc1f0000000100000", "fbc1f0000000100000"},
        {3.4028234663852886e38, "fa7f7fffff", "fa7f7fffff"},
        {3.4028234663852889e38, "fb47efffffe0000001", "fb47efffffe0000001"},
        {1e300, "fb7e37e43c8800759c", "fb7e37e43c8800759c"},
        {5e-324, "fb0000000000000001", "fb0000000000000001"},
    };
    uint8_t out[CRT_CBOR_HEAD_MAX];
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_hex(out, crt_cbor_put_number(out, rows[i].value), rows[i].number);
        assert_hex(out, crt_cbor_put_float(out, rows[i].value), rows[i].real);
    }
    assert_hex(out, crt_cbor_put_number(out, NAN), "fa7fc00000");
    assert_hex(out, crt_cbor_put_number(out, INFINITY), "fa7f800000");
    assert_hex(out, crt_cbor_put_number(out, -INFINITY), "faff800000");
}

static crt_cbor_element read_one(const char *hex) {
    uint8_t data[64];
    crt_bytes src = crt_bytes_of(data, from_hex(data, hex));
    crt_cbor_element e;
    assert_int_equal(crt_cbor_next(&src, &e), 0);
    assert_int_equal(src.len, 0);
    return e;
}

static void half_floats_are_read(void **state) {
    assert_true(read_one("f90000").real == 0.0);
    assert_true(signbit(read_one("f98000").real));
    assert_true(read_one("f93c00").real == 1.0);
    assert_true(read_one("f97bff").real == 65504.0);
    assert_true(read_one("f90001").real == 5.960464477539063e-8);
    assert_true(read_one("f90400").real == 0.00006103515625);
    assert_true(read_one("f9c400").real == -4.0);
    assert_true(read_one("f9fc00").real == -INFINITY);
    assert_true(isnan(read_one("f97e00").real));
}

static void elements_have_their_types(void **state) {
    static const struct {
        const char *hex;
        enum crt_cbor_type type;
        uint64_t number;
    } rows[] = {
        {"1903e8", CRT_CBOR_UINT, 1000},   {"3863", CRT_CBOR_NEGINT, 99},   {"9b0000000000000003", CRT_CBOR_ARRAY, 3},
        {"a2", CRT_CBOR_MAP, 2},           {"c1", CRT_CBOR_TAG, 1},         {"f4", CRT_CBOR_BOOL, 0},
        {"f5", CRT_CBOR_BOOL, 1},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        crt_cbor_element e = read_one(rows[i].hex);
        assert_int_equal(e.type, rows[i].type);
        assert_int_equal(e.number, rows[i].number);
    }
    assert_int_equal(read_one("f6").type, CRT_CBOR_NULL);
    assert_int_equal(read_one("f7").type, CRT_CBOR_UNDEFINED);
    assert_int_equal(read_one("ff").type, CRT_CBOR_BREAK);
    assert_int_equal(read_one("5f").type, CRT_CBOR_INDEF_BYTES);
    assert_int_equal(read_one("7f").type, CRT_CBOR_INDEF_TEXT);
    assert_int_equal(read_one("9f").type, CRT_CBOR_INDEF_ARRAY);
    assert_int_equal(read_one("bf").type, CRT_CBOR_INDEF_MAP);
    assert_int_equal(read_one("43010203").bytes.len, 3);
    assert_int_equal(read_one("60").bytes.len, 0);
}

/* RFC 8949, 3: additional information 28 to 30 is reserved, 31 means something for some major types only. */
static void every_first_byte_is_an_element_short_or_reserved(void **state) {
    for (unsigned first = 0; first < 256; first++) {
        unsigned major = first >> 5, info = first & 31;
        bool open = major >= 2 && major <= 5;
        bool reserved = (info >= 28 && info <= 30) || (info == 31 && !open && major != 7) ||
                        (major == 7 && (info < 20 || info == 24));
        uint8_t data[2 + 24 + 9];
        memset(data, 0, sizeof(data));
        data[0] = (uint8_t)first;
        crt_bytes src = crt_bytes_of(data, sizeof(data));
        crt_cbor_element e;
        assert_int_equal(crt_cbor_next(&src, &e), reserved ? AWS_ERROR_INVALID_CBOR : 0);
        assert_int_equal(src.len == sizeof(data), reserved);
        if (!reserved && info >= 24 && info <= 27) {
            for (size_t size = 1; size <= (size_t)1 << (info - 24); size++) {
                src = crt_bytes_of(data, size);
                assert_int_equal(crt_cbor_next(&src, &e), AWS_ERROR_SHORT_BUFFER);
                assert_int_equal(src.len, size);
            }
        }
    }
}

static void strings_that_end_early_are_short(void **state) {
    uint8_t data[64];
    crt_cbor_element e;
    static const char *const rows[] = {"", "41", "4201", "6361", "5affffffff00", "7bffffffffffffffff00"};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        crt_bytes src = crt_bytes_of(data, from_hex(data, rows[i]));
        assert_int_equal(crt_cbor_next(&src, &e), AWS_ERROR_SHORT_BUFFER);
        assert_ptr_equal(src.ptr, data);
    }
}

static void skipping_ends_behind_the_item(void **state) {
    static const char *const rows[] = {"00",       "3903e7",   "420102",       "80",         "8301820203820405",
                                       "a201020304", "c11a514b67b0", "9f018202039f0405ffff", "5f42010243030405ff",
                                       "bf6346756ef563416d7421ff", "ff", "81ff", "bf01ff", "a0", "c1c1c100"};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint8_t data[64];
        size_t size = from_hex(data, rows[i]);
        data[size] = 0x00; /* another item */
        crt_bytes src = crt_bytes_of(data, size + 1);
        assert_int_equal(crt_cbor_skip(&src, NULL), 0);
        assert_ptr_equal(src.ptr, data + size);
        for (size_t end = 0; end < size; end++) {
            src = crt_bytes_of(data, end);
            assert_int_equal(crt_cbor_skip(&src, NULL), AWS_ERROR_SHORT_BUFFER);
        }
    }
}

static int skip_nested(uint8_t opener, size_t levels) {
    uint8_t data[256];
    memset(data, opener, levels);
    data[levels] = 0x00;
    crt_bytes src = crt_bytes_of(data, levels + 1);
    int status = crt_cbor_skip(&src, NULL);
    assert_int_equal(src.len, status ? 1 : 0);
    return status;
}

static void skipping_is_limited_in_depth(void **state) {
    assert_int_equal(skip_nested(0x81, CRT_CBOR_SKIP_DEPTH - 1), 0);
    assert_int_equal(skip_nested(0x81, CRT_CBOR_SKIP_DEPTH), AWS_ERROR_CBOR_RESOURCE_LIMIT_EXCEEDED);
    assert_int_equal(skip_nested(0xc6, CRT_CBOR_SKIP_DEPTH - 1), 0);
    assert_int_equal(skip_nested(0xc6, CRT_CBOR_SKIP_DEPTH), AWS_ERROR_CBOR_RESOURCE_LIMIT_EXCEEDED);
}

static void absurd_counts_end_with_the_data(void **state) {
    uint8_t data[64];
    static const char *const rows[] = {"9bffffffffffffffff00", "bb7fffffffffffffff00", "bb800000000000000000"};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        crt_bytes src = crt_bytes_of(data, from_hex(data, rows[i]));
        assert_int_equal(crt_cbor_skip(&src, NULL), AWS_ERROR_SHORT_BUFFER);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heads_are_the_shortest),
        cmocka_unit_test(numbers_take_the_shortest_equal_form),
        cmocka_unit_test(half_floats_are_read),
        cmocka_unit_test(elements_have_their_types),
        cmocka_unit_test(every_first_byte_is_an_element_short_or_reserved),
        cmocka_unit_test(strings_that_end_early_are_short),
        cmocka_unit_test(skipping_ends_behind_the_item),
        cmocka_unit_test(skipping_is_limited_in_depth),
        cmocka_unit_test(absurd_counts_end_with_the_data),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
