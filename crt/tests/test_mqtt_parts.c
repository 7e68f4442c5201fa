/*
 * The small parts of the MQTT engine on their own: back-off, token buckets, packet identifiers, topic aliases.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "../mqtt/pacing.h"
#include "../mqtt/packet_ids.h"
#include "../mqtt/topic_alias.h"

static void backoff_without_jitter_doubles_up_to_the_maximum(void **state) {
    crt_mqtt_backoff b = {.jitter = CRT_MQTT_JITTER_NONE, .min_ms = 300, .max_ms = 2000};
    static const uint64_t expected[] = {300, 600, 1200, 2000, 2000};
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < 5; i++) {
            assert_int_equal(crt_mqtt_backoff_next(&b, 12345), expected[i]);
        }
        crt_mqtt_backoff_reset(&b);
    }
}

static void backoff_never_overflows(void **state) {
    crt_mqtt_backoff b = {.jitter = CRT_MQTT_JITTER_NONE, .min_ms = UINT32_MAX, .max_ms = UINT32_MAX};
    for (int i = 0; i < 100; i++) {
        assert_int_equal(crt_mqtt_backoff_next(&b, 0), UINT32_MAX);
    }
}

static void maximum_below_minimum_wins(void **state) {
    crt_mqtt_backoff b = {.jitter = CRT_MQTT_JITTER_NONE, .min_ms = 1000, .max_ms = 10};
    assert_int_equal(crt_mqtt_backoff_next(&b, 0), 10);
}

static void full_jitter_draws_from_zero_to_the_exponential(void **state) {
    crt_mqtt_backoff b = {.jitter = CRT_MQTT_JITTER_FULL, .min_ms = 100, .max_ms = 100000};
    assert_int_equal(crt_mqtt_backoff_next(&b, 0), 0);
    assert_int_equal(crt_mqtt_backoff_next(&b, 200), 200);
    assert_int_equal(crt_mqtt_backoff_next(&b, 401), 0);
}

static void decorrelated_jitter_follows_the_previous_delay(void **state) {
    crt_mqtt_backoff b = {.jitter = CRT_MQTT_JITTER_DECORRELATED, .min_ms = 100, .max_ms = 500};
    assert_int_equal(crt_mqtt_backoff_next(&b, 0), 100);
    assert_int_equal(crt_mqtt_backoff_next(&b, 200), 300); /* of 100..300 */
    assert_int_equal(crt_mqtt_backoff_next(&b, 800), 500); /* 900 of 100..900, capped */
}

static void bucket_starts_empty_and_fills(void **state) {
    crt_mqtt_bucket b;
    crt_mqtt_bucket_init(&b, 100, 100, 1000);
    assert_int_equal(crt_mqtt_bucket_wait(&b, 1, 1000), 10);
    assert_int_equal(crt_mqtt_bucket_wait(&b, 1, 1010), 0);
    crt_mqtt_bucket_take(&b, 1);
    assert_int_equal(crt_mqtt_bucket_wait(&b, 1, 1010), 10);
    assert_int_equal(crt_mqtt_bucket_wait(&b, 100, UINT64_MAX / 2), 0); /* full, however long it was */
    crt_mqtt_bucket_take(&b, 100);
    assert_int_equal(crt_mqtt_bucket_wait(&b, 1, UINT64_MAX / 2), 10);
}

static void bucket_lets_more_than_its_capacity_pass_when_full(void **state) {
    crt_mqtt_bucket b;
    crt_mqtt_bucket_init(&b, 100, 100, 0);
    assert_int_equal(crt_mqtt_bucket_wait(&b, 1000, 0), 1000);
    assert_int_equal(crt_mqtt_bucket_wait(&b, 1000, 1000), 0);
}

static void identifiers_count_on_and_skip_those_in_use(void **state) {
    static char what, other;
    crt_mqtt_ids ids = {0};
    uint16_t id = 0;
    assert_int_equal(crt_mqtt_ids_take(&ids, &what, &id), 0);
    assert_int_equal(id, 1);
    for (int i = 0; i < 65534; i++) {
        assert_int_equal(crt_mqtt_ids_take(&ids, &other, &id), 0);
    }
    assert_int_equal(id, 65535);
    assert_int_equal(crt_mqtt_ids_take(&ids, &other, &id), AWS_ERROR_MQTT_QUEUE_FULL);
    crt_mqtt_ids_drop_all(&ids, &other);
    assert_ptr_equal(crt_mqtt_ids_get(&ids, 1), &what);
    assert_int_equal(ids.used, 1);
    assert_int_equal(crt_mqtt_ids_take(&ids, &other, &id), 0);
    assert_int_equal(id, 2); /* wrapped: 0 is no identifier, 1 is in use */
    crt_mqtt_ids_free(&ids);
}

static crt_mqtt_publish to(const char *topic) {
    return (crt_mqtt_publish){.topic = crt_bytes_str(topic)};
}

static void forgotten_alias_is_told_again(void **state) {
    crt_mqtt_aliases a = {0};
    assert_int_equal(crt_mqtt_aliases_reset(&a, 2, true), 0);
    crt_mqtt_publish m = to("t");
    assert_int_equal(crt_mqtt_aliases_lru(&a, &m), 0);
    assert_int_equal(m.topic_alias, 1);
    crt_mqtt_aliases_forget(&a, 1);
    for (int i = 0; i < 3; i++) { /* past the capacity, so that the forgotten entry is taken over */
        m = to("t");
        assert_int_equal(crt_mqtt_aliases_lru(&a, &m), 0);
        assert_int_equal(m.topic.len, i == 0 ? 1 : 0);
        assert_int_equal(m.topic_alias, 2);
    }
    m = to("u");
    assert_int_equal(crt_mqtt_aliases_lru(&a, &m), 0);
    assert_int_equal(m.topic_alias, 1);
    crt_mqtt_aliases_free(&a);
}

static void many_aliases_in_hash_chains(void **state) {
    crt_mqtt_aliases a = {0};
    assert_int_equal(crt_mqtt_aliases_reset(&a, 100, true), 0);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 150; i++) {
            char topic[3] = {(char)('a' + i / 26), (char)('a' + i % 26), 0};
            crt_mqtt_publish m = to(topic);
            assert_int_equal(crt_mqtt_aliases_lru(&a, &m), 0);
            assert_int_equal(m.topic.len, 2); /* 150 topics in turn never find themselves among 100 */
            assert_true(m.topic_alias >= 1 && m.topic_alias <= 100);
            m = to(topic);
            assert_int_equal(crt_mqtt_aliases_lru(&a, &m), 0);
            assert_int_equal(m.topic.len, 0);
        }
    }
    crt_mqtt_aliases_free(&a);
}

static void inbound_aliases_out_of_range(void **state) {
    crt_mqtt_aliases a = {0};
    crt_mqtt_publish m = to("t");
    m.topic_alias = 1;
    assert_int_equal(crt_mqtt_aliases_inbound(&a, &m), AWS_ERROR_MQTT5_INVALID_INBOUND_TOPIC_ALIAS); /* disabled */
    assert_int_equal(crt_mqtt_aliases_reset(&a, 1, false), 0);
    assert_int_equal(crt_mqtt_aliases_inbound(&a, &m), 0);
    m.topic_alias = 0;
    assert_int_equal(crt_mqtt_aliases_inbound(&a, &m), AWS_ERROR_MQTT5_INVALID_INBOUND_TOPIC_ALIAS);
    m.topic_alias = 2;
    assert_int_equal(crt_mqtt_aliases_inbound(&a, &m), AWS_ERROR_MQTT5_INVALID_INBOUND_TOPIC_ALIAS);
    crt_mqtt_aliases_free(&a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(backoff_without_jitter_doubles_up_to_the_maximum),
        cmocka_unit_test(backoff_never_overflows),
        cmocka_unit_test(maximum_below_minimum_wins),
        cmocka_unit_test(full_jitter_draws_from_zero_to_the_exponential),
        cmocka_unit_test(decorrelated_jitter_follows_the_previous_delay),
        cmocka_unit_test(bucket_starts_empty_and_fills),
        cmocka_unit_test(bucket_lets_more_than_its_capacity_pass_when_full),
        cmocka_unit_test(identifiers_count_on_and_skip_those_in_use),
        cmocka_unit_test(forgotten_alias_is_told_again),
        cmocka_unit_test(many_aliases_in_hash_chains),
        cmocka_unit_test(inbound_aliases_out_of_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
