/* The arithmetic of S3 transfers, with the numbers that the S3 clients in use today arrive at. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "../s3/planner.h"

#define MIB CRT_S3_MIB
#define GIB CRT_S3_GIB

static void connections_follow_the_throughput(void **state) {
    assert_int_equal(crt_s3_plan_connections(10), 25);
    assert_int_equal(crt_s3_plan_connections(100), 250);
    assert_int_equal(crt_s3_plan_connections(4), 10);
    assert_int_equal(crt_s3_plan_connections(0.4), 1);
    assert_int_equal(crt_s3_plan_connections(0.41), 2);
    assert_int_equal(crt_s3_plan_connections(400), 1000);
    assert_int_equal(crt_s3_plan_connections(1e30), 10000);
}

static void memory_limit_follows_the_throughput(void **state) {
    assert_int_equal(crt_s3_plan_memory_limit(0), 2 * GIB);
    assert_int_equal(crt_s3_plan_memory_limit(0.1), 256 * MIB);
    assert_int_equal(crt_s3_plan_memory_limit(5), 512 * MIB);
    assert_int_equal(crt_s3_plan_memory_limit(10), 2 * GIB);
    assert_int_equal(crt_s3_plan_memory_limit(25), 4 * GIB);
    assert_int_equal(crt_s3_plan_memory_limit(99), 8 * GIB);
    assert_int_equal(crt_s3_plan_memory_limit(100), 16 * GIB);
    assert_int_equal(crt_s3_plan_memory_limit(200), 24 * GIB);
}

static void largest_part_is_half_of_the_memory_or_five_gib(void **state) {
    assert_int_equal(crt_s3_plan_largest_part(256 * MIB), 128 * MIB);
    assert_int_equal(crt_s3_plan_largest_part(24 * GIB), 5 * GIB);
}

static uint64_t download_part(const char *etag, uint64_t size, uint64_t limit, uint64_t connections) {
    return crt_s3_plan_download_part(crt_bytes_str(etag), size, limit, connections);
}

static void download_parts_match_stored_parts(void **state) {
    const uint64_t size = 100 * MIB;
    assert_int_equal(download_part("\"x\"", size, 2 * GIB, 25), 32 * MIB);
    assert_int_equal(download_part("\"x-2\"", size, 2 * GIB, 25), 32 * MIB);
    assert_int_equal(download_part("\"x-5\"", size, 2 * GIB, 25), 24 * MIB);
    assert_int_equal(download_part("\"x-10\"", size, 2 * GIB, 25), 16 * MIB);
    assert_int_equal(download_part("\"x-100\"", size, 2 * GIB, 25), 8 * MIB);
}

static void unreadable_etags_keep_the_base_part(void **state) {
    const char *const etags[] = {"\"x-x\"", "\"x-10-3\"", "\"x-0\"", "\"x-10001\"", "\"x-\"", "-99999999999999999999"};
    for (size_t i = 0; i < sizeof etags / sizeof *etags; i++) {
        assert_int_equal(download_part(etags[i], 100 * MIB, 2 * GIB, 25), 8 * MIB);
    }
    assert_int_equal(download_part("", 100 * MIB, 2 * GIB, 25), 32 * MIB);
}

static void download_parts_fit_the_memory(void **state) {
    assert_int_equal(download_part("x", 10 * GIB, 16 * GIB, 250), 24 * MIB);
    assert_int_equal(download_part("x", 10 * GIB, 512 * MIB, 10), 24 * MIB);
    assert_int_equal(download_part("x", 10 * GIB, 256 * MIB, 25), 8 * MIB);
    assert_int_equal(download_part("x-50", 50 * 50 * MIB, 8 * GIB, 25), 56 * MIB);
}

static crt_s3_upload_plan upload(uint64_t length, uint64_t client_part, uint64_t request_part, uint64_t request_threshold) {
    crt_s3_upload_sizes sizes = {.length = length, .client_part = client_part, .request_part = request_part,
                                 .request_threshold = request_threshold};
    return crt_s3_plan_upload(&sizes);
}

static void uploads_stay_below_ten_thousand_parts(void **state) {
    assert_int_equal(upload(10000 * 5 * MIB, 5 * MIB, 0, 0).part_size, 5 * MIB);
    assert_int_equal(upload(10000 * 5 * MIB, 5 * MIB, 0, 0).parts, 10000);
    assert_int_equal(upload(10000 * 5 * MIB + 1, 5 * MIB, 0, 0).part_size, 10 * MIB);
    assert_int_equal(upload(100 * GIB, 5 * MIB, 0, 0).part_size, 15 * MIB);
    assert_int_equal(upload(100 * GIB, 8 * MIB, 0, 0).part_size, 16 * MIB);
    assert_int_equal(upload(1100 * GIB, 8 * MIB, 0, 0).part_size, 120 * MIB);
}

static void small_bodies_go_in_one_request(void **state) {
    assert_false(upload(3 * MIB, 1 * MIB, 0, 0).multipart);
    assert_false(upload(0, 8 * MIB, 0, 0).multipart);
    assert_false(upload(8 * MIB, 8 * MIB, 0, 0).multipart); /* as long as the threshold */
    assert_true(upload(8 * MIB + 1, 8 * MIB, 0, 0).multipart);
    assert_false(upload(5 * MIB + MIB / 2, 5 * MIB, 6 * MIB, 0).multipart); /* the threshold follows the part size */
}

static void parts_are_at_least_five_mib(void **state) {
    crt_s3_upload_plan plan = upload(6 * MIB, 1 * MIB, 0, 0);
    assert_true(plan.multipart);
    assert_int_equal(plan.part_size, 5 * MIB);
    assert_int_equal(plan.parts, 2);
}

static void a_low_threshold_gives_a_single_part(void **state) {
    crt_s3_upload_plan plan = upload(2 * MIB, 8 * MIB, 0, 1 * MIB);
    assert_true(plan.multipart);
    assert_int_equal(plan.parts, 1);
    assert_int_equal(plan.part_size, 2 * MIB);
}

static void unknown_length_is_multipart(void **state) {
    crt_s3_upload_plan plan = upload(CRT_S3_UNKNOWN, 8 * MIB, 0, 0);
    assert_true(plan.multipart);
    assert_int_equal(plan.part_size, 8 * MIB);
    assert_int_equal(plan.parts, 0);
}

static void parts_cover_the_object_once(void **state) {
    const crt_s3_parts parts = {.head = 8, .part_size = 32, .total = 100};
    uint64_t expected = 0, offset, length;
    assert_int_equal(crt_s3_parts_count(&parts), 4);
    for (uint64_t i = 0; i < 4; i++) {
        crt_s3_parts_at(&parts, i, &offset, &length);
        assert_int_equal(offset, expected);
        expected += length;
    }
    assert_int_equal(length, 28);
    assert_int_equal(expected, 100);
}

static void no_bytes_have_no_parts(void **state) {
    const crt_s3_parts none = {.head = 8, .part_size = 8, .total = 0};
    const crt_s3_parts one = {.head = 8, .part_size = 8, .total = 8};
    assert_int_equal(crt_s3_parts_count(&none), 0);
    assert_int_equal(crt_s3_parts_count(&one), 1);
}

static void spread_takes_one_part_of_each_region_in_turn(void **state) {
    /* 64 parts over 4 connections: the first came with the discovery, 63 are left (numbered from 2). */
    const uint64_t expected[] = {2, 18, 34, 50, 3, 19, 35, 51, 4};
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        assert_int_equal(crt_s3_plan_spread(i, 63, 4) + 2, expected[i]);
    }
}

static void spread_asks_for_every_part_once(void **state) {
    for (uint64_t count = 0; count < 40; count++) {
        for (uint64_t ways = 0; ways < 12; ways++) {
            uint64_t seen = 0;
            for (uint64_t i = 0; i < count; i++) {
                uint64_t part = crt_s3_plan_spread(i, count, ways);
                assert_true(part < count);
                assert_false(seen >> part & 1);
                seen |= (uint64_t)1 << part;
            }
        }
    }
}

static void few_parts_are_asked_for_in_order(void **state) {
    assert_int_equal(crt_s3_plan_spread(2, 4, 4), 2);
    assert_int_equal(crt_s3_plan_spread(2, 9, 1), 2);
}

static bool range(const char *text, crt_s3_range *out) {
    return crt_s3_parse_range(crt_bytes_str(text), out);
}

static void ranges_are_read(void **state) {
    crt_s3_range r;
    assert_true(range("bytes=5-9", &r));
    assert_int_equal(r.kind, CRT_S3_RANGE_CLOSED);
    assert_int_equal(r.first, 5);
    assert_int_equal(r.last, 9);
    assert_true(range("bytes=7-", &r));
    assert_int_equal(r.kind, CRT_S3_RANGE_OPEN);
    assert_int_equal(r.first, 7);
    assert_true(range("bytes=-12", &r));
    assert_int_equal(r.kind, CRT_S3_RANGE_SUFFIX);
    assert_int_equal(r.last, 12);
}

static void other_ranges_are_refused(void **state) {
    const char *const bad[] = {"", "bytes", "bytes=", "bytes=-", "bytes=9-5", "bytes=0-1,3-4", "items=0-1", "bytes=a-b",
                               "bytes=0-18446744073709551615", "bytes=0-99999999999999999999", "bytes= 0-1"};
    crt_s3_range r;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(range(bad[i], &r));
    }
}

static void content_ranges_are_read_and_checked(void **state) {
    uint64_t first, last, size;
    assert_true(crt_s3_parse_content_range(crt_bytes_str("bytes 5-9/100"), &first, &last, &size));
    assert_int_equal(first, 5);
    assert_int_equal(last, 9);
    assert_int_equal(size, 100);
    const char *const bad[] = {"bytes 9-5/100", "bytes 0-100/100", "bytes */100", "bytes 0-1/*", "0-1/2", "bytes 0-1"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(crt_s3_parse_content_range(crt_bytes_str(bad[i]), &first, &last, &size));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(connections_follow_the_throughput),
        cmocka_unit_test(memory_limit_follows_the_throughput),
        cmocka_unit_test(largest_part_is_half_of_the_memory_or_five_gib),
        cmocka_unit_test(download_parts_match_stored_parts),
        cmocka_unit_test(unreadable_etags_keep_the_base_part),
        cmocka_unit_test(download_parts_fit_the_memory),
        cmocka_unit_test(uploads_stay_below_ten_thousand_parts),
        cmocka_unit_test(small_bodies_go_in_one_request),
        cmocka_unit_test(parts_are_at_least_five_mib),
        cmocka_unit_test(a_low_threshold_gives_a_single_part),
        cmocka_unit_test(unknown_length_is_multipart),
        cmocka_unit_test(parts_cover_the_object_once),
        cmocka_unit_test(no_bytes_have_no_parts),
        cmocka_unit_test(spread_takes_one_part_of_each_region_in_turn),
        cmocka_unit_test(spread_asks_for_every_part_once),
        cmocka_unit_test(few_parts_are_asked_for_in_order),
        cmocka_unit_test(ranges_are_read),
        cmocka_unit_test(other_ranges_are_refused),
        cmocka_unit_test(content_ranges_are_read_and_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
