/* Waiting awake (io/spin.h): when a loop goes on looking instead of sleeping. */
#include "support.h"

#include "../io/spin.h"
#include "crt/loop.h"

enum { SOON = 20 * 1000, LATE = 10 * 1000 * 1000 };

/* One turn with `events` and `bytes`, `gap` ns after the turn before. */
static bool turn(crt_spin *spin, uint64_t *now, uint64_t gap, uint32_t events, size_t bytes) {
    *now += gap;
    spin->events = events;
    spin->bytes = bytes;
    return crt_spin_goes_on(spin, *now);
}

static uint64_t exchange_messages(crt_spin *spin) {
    uint64_t now = 1000;
    for (int i = 0; i < 100; i++) {
        turn(spin, &now, SOON, 1, 100);
    }
    return now;
}

static void needs_a_second_processor(void) {
    if (crt_cpu_count() < 2) {
        skip();
    }
}

static void an_exchange_of_small_messages_keeps_the_loop_awake(void **state) {
    crt_spin spin = {0};
    needs_a_second_processor();
    uint64_t now = exchange_messages(&spin);
    assert_true(turn(&spin, &now, SOON, 1, 100));
    assert_true(turn(&spin, &now, SOON, 0, 0));   /* nothing came yet */
    assert_false(turn(&spin, &now, LATE, 0, 0));  /* nothing came for long */
}

static void the_first_messages_do_not(void **state) {
    crt_spin spin = {0};
    uint64_t now = 1000;
    for (int i = 0; i < 4; i++) {
        assert_false(turn(&spin, &now, SOON, 1, 100));
    }
}

static void messages_far_apart_do_not(void **state) {
    crt_spin spin = {0};
    uint64_t now = 1000;
    for (int i = 0; i < 100; i++) {
        assert_false(turn(&spin, &now, LATE, 1, 100));
    }
}

static void bulk_ends_it(void **state) {
    crt_spin spin = {0};
    uint64_t now = exchange_messages(&spin);
    assert_false(turn(&spin, &now, SOON, 1, 64 * 1024));
    assert_false(turn(&spin, &now, SOON, 1, 100)); /* it has to show anew */
}

static void many_events_at_once_end_it(void **state) {
    crt_spin spin = {0};
    uint64_t now = exchange_messages(&spin);
    assert_false(turn(&spin, &now, SOON, 32, 100));
}

static void a_pause_makes_it_doubtful(void **state) {
    crt_spin spin = {0};
    uint64_t now = exchange_messages(&spin);
    for (int i = 0; i < 8; i++) {
        turn(&spin, &now, LATE, 1, 100);
    }
    assert_false(turn(&spin, &now, SOON, 1, 100));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_exchange_of_small_messages_keeps_the_loop_awake),
        cmocka_unit_test(the_first_messages_do_not),
        cmocka_unit_test(messages_far_apart_do_not),
        cmocka_unit_test(bulk_ends_it),
        cmocka_unit_test(many_events_at_once_end_it),
        cmocka_unit_test(a_pause_makes_it_doubtful),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
