/* How many connections a transfer uses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "../s3/window.h"

#define MS 1000000ULL
#define PART (8ULL << 20)

static crt_s3_window window_of(uint64_t max) {
    crt_s3_window window;
    crt_s3_window_init(&window, CRT_S3_WINDOW_FILE, max);
    return window;
}

static void starts_with_a_few_and_never_above_the_cap(void **state) {
    assert_int_equal(window_of(25).size, 6);
    assert_int_equal(window_of(3).size, 3);
}

static void a_distant_peer_gets_all(void **state) {
    crt_s3_window window = window_of(25);
    crt_s3_window_first_byte(&window, 1 * MS);
    assert_int_equal(window.size, 6);
    crt_s3_window_first_byte(&window, 20 * MS);
    assert_int_equal(window.size, 25);
}

static void connections_slower_than_planned_get_company(void **state) {
    crt_s3_window window = window_of(25);
    crt_s3_window_part(&window, PART, 50 * MS); /* 168 MB/s */
    assert_int_equal(window.size, 6);
    crt_s3_window_part(&window, PART, 100 * MS); /* 84 MB/s */
    assert_int_equal(window.size, 12);
    crt_s3_window_part(&window, PART, 800 * MS);
    crt_s3_window_part(&window, PART, 800 * MS);
    assert_int_equal(window.size, 25);
}

static void small_parts_prove_nothing(void **state) {
    crt_s3_window window = window_of(25);
    crt_s3_window_part(&window, 1000, 400 * MS);
    assert_int_equal(window.size, 6);
}

static void stalls_widen(void **state) {
    crt_s3_window window = window_of(10000);
    crt_s3_window_stalled(&window);
    assert_int_equal(window.size, 12);
    for (int i = 0; i < 20; i++) {
        crt_s3_window_stalled(&window);
    }
    assert_int_equal(window.size, 10000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(starts_with_a_few_and_never_above_the_cap),
        cmocka_unit_test(a_distant_peer_gets_all),
        cmocka_unit_test(connections_slower_than_planned_get_company),
        cmocka_unit_test(small_parts_prove_nothing),
        cmocka_unit_test(stalls_widen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
