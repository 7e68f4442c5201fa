/* What is known of a host: order of addresses, expiry, and failures. The clock is in the test's hand. */
#include "support.h"

#include <sys/socket.h>

#include "../io/dns_records.h"

enum { TTL = 30000 };

typedef struct order {
    crt_address addresses[CRT_DNS_ADDRESSES_MAX];
    size_t count;
    char text[CRT_DNS_ADDRESSES_MAX + 1]; /* the last byte of each: letters are IPv6, digits IPv4 */
} order;

static crt_address address_of(char name) {
    crt_address v6 = {.family = AF_INET6, .ip = {0x20, 1, 0xd, 0xb8}};
    crt_address v4 = {.family = AF_INET, .ip = {192, 0, 2}};
    v6.ip[15] = (uint8_t)name;
    v4.ip[3] = (uint8_t)name;
    return name >= 'a' ? v6 : v4;
}

static void take(crt_dns_records *known, const char *names, uint64_t now) {
    crt_address addresses[64];
    size_t n = strlen(names), i;
    for (i = 0; i < n; i++) {
        addresses[i] = address_of(names[i]);
    }
    crt_dns_records_take(known, addresses, n, now, TTL);
}

static void report(crt_dns_records *known, char name, bool worked, uint64_t now) {
    crt_address address = address_of(name);
    crt_dns_records_report(known, &address, worked, now, TTL);
}

static const char *listed(crt_dns_records *known, uint64_t now, order *o) {
    size_t i;
    o->count = crt_dns_records_list(known, now, o->addresses);
    for (i = 0; i < o->count; i++) {
        o->text[i] = (char)o->addresses[i].ip[o->addresses[i].family == AF_INET6 ? 15 : 3];
    }
    o->text[o->count] = '\0';
    return o->text;
}

static void families_take_turns_beginning_with_the_preferred_one(void **state) {
    static const struct {
        const char *answer;
        const char *expected;
    } cases[] = {{"ab12", "a1b2"}, {"12ab", "1a2b"}, {"a123", "a123"}, {"abc1", "a1bc"}, {"123", "123"}, {"1", "1"}};
    size_t i;
    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        crt_dns_records known = {0};
        order o;
        take(&known, cases[i].answer, 1);
        assert_string_equal(listed(&known, 1, &o), cases[i].expected);
    }
}

static void the_address_used_longest_ago_comes_first_in_its_family(void **state) {
    static const char *const expected[] = {"a1b2", "b1a2", "a1b2", "b2a1"};
    crt_dns_records known = {0};
    order o;
    size_t i;
    take(&known, "ab12", 1);
    for (i = 0; i < 4; i++) {
        if (i == 3) {
            report(&known, '1', true, 1); /* that is what the last connection was made to */
        }
        assert_string_equal(listed(&known, 1, &o), expected[i]);
    }
}

static void addresses_that_failed_come_last_for_a_while(void **state) {
    crt_dns_records known = {0};
    order o;
    take(&known, "123", 0);
    report(&known, '1', false, 100);
    assert_string_equal(listed(&known, 100, &o), "231");
    assert_string_equal(listed(&known, 1099, &o), "321");
    assert_int_equal(listed(&known, 1100, &o)[0], '1'); /* used longest ago */
}

static void a_family_that_failed_gives_way_to_the_other(void **state) {
    crt_dns_records known = {0};
    order o;
    take(&known, "ab12", 0);
    report(&known, 'a', false, 0);
    report(&known, 'b', false, 0);
    assert_string_equal(listed(&known, 0, &o), "12ab");
    assert_false(crt_dns_records_all_avoided(&known, 0));
    report(&known, '1', false, 0);
    report(&known, '2', false, 0);
    assert_true(crt_dns_records_all_avoided(&known, 0));
    assert_string_equal(listed(&known, 0, &o), "a1b2"); /* better than none */
    assert_false(crt_dns_records_all_avoided(&known, 1000));
}

static void each_failure_in_a_row_doubles_the_time(void **state) {
    static const uint64_t expected_ms[] = {1000, 2000, 4000, 8000, 16000, TTL, TTL};
    crt_dns_records known = {0};
    uint64_t now = 5;
    order o;
    size_t i;
    take(&known, "12", now);
    for (i = 0; i < 7; i++) {
        report(&known, '1', false, now);
        report(&known, '2', true, now);
        assert_string_equal(listed(&known, now + expected_ms[i] - 1, &o), "21");
        now += expected_ms[i];
        report(&known, '2', true, now);
        assert_string_equal(listed(&known, now, &o), "12");
    }
    report(&known, '1', false, now);
    report(&known, '1', true, now); /* one success, and it starts anew */
    report(&known, '2', true, now);
    assert_string_equal(listed(&known, now, &o), "12");
    report(&known, '1', false, now);
    report(&known, '2', true, now);
    assert_string_equal(listed(&known, now + 999, &o), "21");
    report(&known, '2', true, now);
    assert_string_equal(listed(&known, now + 1000, &o), "12");
}

static void a_failure_counts_without_end(void **state) {
    crt_dns_records known = {0};
    order o;
    int i;
    take(&known, "12", 0);
    for (i = 0; i < 200; i++) {
        report(&known, '1', false, 0);
    }
    assert_string_equal(listed(&known, TTL - 1, &o), "21");
    report(&known, '9', false, 0); /* nobody knows it */
    assert_int_equal(known.count, 2);
}

static void addresses_gone_from_the_answers_stay_until_they_expire(void **state) {
    crt_dns_records known = {0};
    order o;
    take(&known, "12", 0);
    take(&known, "3", TTL - 1);
    assert_string_equal(listed(&known, TTL - 1, &o), "123");
    assert_int_equal(crt_dns_records_expiry(&known), 2 * TTL - 1);
    take(&known, "3", TTL);
    assert_string_equal(listed(&known, TTL, &o), "3");
    assert_int_equal(crt_dns_records_expiry(&known), 2 * TTL);
}

static void thirty_addresses_are_kept_the_latest_used(void **state) {
    crt_dns_records known = {0};
    char name;
    order o;
    for (name = 1; name <= 30; name++) {
        char one[2] = {name, '\0'};
        take(&known, one, 0);
    }
    for (name = 1; name <= 30; name++) {
        if (name != 7) {
            report(&known, name, true, 0);
        }
    }
    take(&known, "Z", 0);
    listed(&known, 0, &o);
    assert_int_equal(o.count, 30);
    assert_null(strchr(o.text, 7));
    assert_int_equal(o.text[0], 'Z');
}

static void nothing_is_known_of_a_new_host(void **state) {
    crt_dns_records known = {0};
    order o;
    assert_string_equal(listed(&known, 0, &o), "");
    assert_int_equal(crt_dns_records_expiry(&known), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(families_take_turns_beginning_with_the_preferred_one),
        cmocka_unit_test(the_address_used_longest_ago_comes_first_in_its_family),
        cmocka_unit_test(addresses_that_failed_come_last_for_a_while),
        cmocka_unit_test(a_family_that_failed_gives_way_to_the_other),
        cmocka_unit_test(each_failure_in_a_row_doubles_the_time),
        cmocka_unit_test(a_failure_counts_without_end),
        cmocka_unit_test(addresses_gone_from_the_answers_stay_until_they_expire),
        cmocka_unit_test(thirty_addresses_are_kept_the_latest_used),
        cmocka_unit_test(nothing_is_known_of_a_new_host),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
