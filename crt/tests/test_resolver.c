/* Resolver: literals, cache, rotation, failed addresses, many askers. */
#include "support.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <sys/socket.h>

#include "../io/dns.h"
#include "crt/resolver.h"

typedef struct question {
    crt_resolver *resolver;
    crt_loop *loop;
    const char *host;
    crt_address addresses[30];
    size_t count;
    int status;
    int calls;
    bool on_loop;
    bool at_once;
    latch answered;
} question;

static void on_answer(void *user, int status, const crt_address *addresses, size_t count) {
    question *q = user;
    q->status = status;
    q->count = count;
    q->calls++;
    q->on_loop = crt_loop_is_current(q->loop);
    memcpy(q->addresses, addresses, count * sizeof(*addresses));
    latch_add(&q->answered, 1);
}

static void put_question(void *arg) {
    question *q = arg;
    int before = q->calls;
    crt_resolver_resolve(q->resolver, q->loop, q->host, on_answer, q);
    q->at_once = q->calls > before;
}

static void ask(question *q, const char *host) {
    size_t before = latch_count(&q->answered);
    q->host = host;
    on_loop(q->loop, put_question, q);
    latch_wait(&q->answered, before + 1);
    assert_true(q->on_loop);
}

typedef struct fixture {
    crt_loop_group *group;
    crt_resolver *resolver;
    question q;
} fixture;

static void fixture_open(fixture *f, uint32_t ttl_ms) {
    crt_resolver_options options = {.max_hosts = 4, .ttl_ms = ttl_ms};
    memset(f, 0, sizeof(*f));
    f->group = group_new(2);
    assert_int_equal(crt_resolver_new(&options, &f->resolver), 0);
    f->q.resolver = f->resolver;
    f->q.loop = crt_loop_group_at(f->group, 0);
    latch_init(&f->q.answered);
}

static void fixture_close(fixture *f) {
    crt_resolver_release(f->resolver);
    group_end(f->group);
    latch_destroy(&f->q.answered);
}

static crt_address ipv4(uint8_t last) {
    crt_address address = {.family = AF_INET, .ip = {192, 0, 2, last}};
    return address;
}

static void addresses_need_no_lookup(void **state) {
    static const struct {
        const char *host;
        int family;
        const char *text;
    } cases[] = {{"192.0.2.7", AF_INET, "192.0.2.7"},
                 {"2001:DB8::1", AF_INET6, "2001:db8::1"},
                 {"fe80::1%1", AF_INET6, "fe80::1"}};
    fixture f;
    char text[64];
    size_t i;
    fixture_open(&f, 0);
    for (i = 0; i < 3; i++) {
        ask(&f.q, cases[i].host);
        assert_true(f.q.at_once);
        assert_int_equal(f.q.status, 0);
        assert_int_equal(f.q.count, 1);
        assert_int_equal(f.q.addresses[0].family, cases[i].family);
        crt_address_text(&f.q.addresses[0], text, sizeof(text));
        assert_string_equal(text, cases[i].text);
    }
    assert_int_equal(f.q.addresses[0].scope_id, 1);
    fixture_close(&f);
}

static void what_is_no_address_is_not_taken_for_one(void **state) {
    static const char *const names[] = {"", "localhost", "1.2.3", "1.2.3.4.5", "1.2.3.4%lo", "::1::2", "%", "x%1",
                                        "1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc"};
    crt_address address;
    size_t i;
    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        assert_false(crt_address_parse(names[i], &address));
    }
}

static void a_name_is_looked_up_once_and_then_known(void **state) {
    fixture f;
    fixture_open(&f, 0);
    ask(&f.q, "localhost");
    assert_int_equal(f.q.status, 0);
    assert_true(f.q.count >= 1);
    assert_false(f.q.at_once);
    ask(&f.q, "LocalHost");
    assert_true(f.q.at_once);
    assert_int_equal(f.q.status, 0);
    fixture_close(&f);
}

/* What the system says about the name right here, online or not. */
static int expected_code(const char *host) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *answer = NULL;
    int error = getaddrinfo(host, NULL, &hints, &answer);
    if (error == 0) {
        freeaddrinfo(answer);
        return 0;
    }
    return error == EAI_NONAME ? AWS_IO_DNS_INVALID_NAME : AWS_IO_DNS_QUERY_FAILED;
}

static void names_that_do_not_exist_are_errors(void **state) {
    fixture f;
    int expected = expected_code("crt-test.invalid");
    assert_int_not_equal(expected, 0);
    fixture_open(&f, 0);
    ask(&f.q, "crt-test.invalid");
    assert_int_equal(f.q.status, expected);
    assert_int_equal(f.q.count, 0);
    ask(&f.q, "");
    assert_int_equal(f.q.status, AWS_IO_DNS_INVALID_NAME);
    fixture_close(&f);
}

/* ---- many askers ---- */

enum { ASKERS = 40 };

static void everybody_who_asks_is_answered_once(void **state) {
    fixture f;
    question *askers = calloc(ASKERS, sizeof(*askers));
    size_t i;
    fixture_open(&f, 0);
    for (i = 0; i < ASKERS; i++) {
        askers[i].resolver = f.resolver;
        askers[i].loop = crt_loop_group_at(f.group, i % 2);
        askers[i].host = i % 4 == 3 ? "crt-test.invalid" : "localhost";
        latch_init(&askers[i].answered);
        on_loop(askers[i].loop, put_question, &askers[i]);
    }
    for (i = 0; i < ASKERS; i++) {
        latch_wait(&askers[i].answered, 1);
        assert_true(askers[i].on_loop);
        assert_int_equal(askers[i].status != 0, i % 4 == 3);
    }
    fixture_close(&f);
    for (i = 0; i < ASKERS; i++) {
        assert_int_equal(askers[i].calls, 1);
        latch_destroy(&askers[i].answered);
    }
    free(askers);
}

/* ---- ends ---- */

static void ask_and_release(void *arg) {
    fixture *f = arg;
    f->q.host = "crt-test-released.invalid";
    put_question(&f->q);
    crt_resolver_release(f->resolver);
}

static void releasing_the_resolver_ends_pending_lookups(void **state) {
    fixture f;
    fixture_open(&f, 0);
    on_loop(f.q.loop, ask_and_release, &f);
    latch_wait(&f.q.answered, 1);
    /* the lookup may have been quicker */
    assert_true(f.q.status == AWS_IO_DNS_HOST_REMOVED_FROM_CACHE ||
                f.q.status == expected_code("crt-test-released.invalid"));
    group_end(f.group);
    assert_int_equal(f.q.calls, 1);
    latch_destroy(&f.q.answered);
}

static void ask_and_end_the_loop(void *arg) {
    fixture *f = arg;
    f->q.host = "crt-test-ended.invalid";
    crt_loop_group_release(f->group);
    put_question(&f->q);
}

static void the_end_of_the_loop_ends_pending_lookups(void **state) {
    fixture f;
    fixture_open(&f, 0);
    on_loop(f.q.loop, ask_and_end_the_loop, &f);
    latch_wait(&f.q.answered, 1);
    assert_true(f.q.status == AWS_IO_EVENT_LOOP_SHUTDOWN || f.q.status == expected_code("crt-test-ended.invalid"));
    crt_resolver_release(f.resolver);
    assert_true(crt_threads_join(TEST_DEADLINE_S * 1000));
    assert_int_equal(f.q.calls, 1);
    latch_destroy(&f.q.answered);
}

/* ---- the cache ---- */

static void addresses_take_turns(void **state) {
    crt_address given[3] = {ipv4(1), ipv4(2), ipv4(3)};
    fixture f;
    size_t i;
    fixture_open(&f, 0);
    assert_int_equal(crt_resolver_seed(f.resolver, "three.test", given, 3), 0);
    for (i = 0; i < 7; i++) {
        ask(&f.q, "three.test");
        assert_int_equal(f.q.count, 3);
        assert_int_equal(f.q.addresses[0].ip[3], i % 3 + 1);
    }
    fixture_close(&f);
}

static void failed_addresses_step_back_by_their_own_family(void **state) {
    crt_address given[3] = {{.family = AF_INET6, .ip = {0x20, 1, 0xd, 0xb8, [15] = 1}}, ipv4(1), ipv4(2)};
    fixture f;
    fixture_open(&f, 0);
    assert_int_equal(crt_resolver_seed(f.resolver, "dual.test", given, 3), 0);
    crt_resolver_report(f.resolver, "DUAL.test", &given[0], false);
    ask(&f.q, "dual.test");
    assert_int_equal(f.q.count, 3);
    assert_int_equal(f.q.addresses[0].family, AF_INET);
    assert_int_equal(f.q.addresses[2].family, AF_INET6);
    crt_resolver_report(f.resolver, "dual.test", &given[0], true);
    ask(&f.q, "dual.test");
    assert_int_equal(f.q.addresses[0].family, AF_INET6);
    crt_resolver_report(f.resolver, "nobody.test", &given[1], false);
    fixture_close(&f);
}

static void more_hosts_than_expected_are_kept(void **state) {
    crt_address given[1] = {ipv4(1)};
    char name[32];
    fixture f;
    int i;
    fixture_open(&f, 0); /* which expects four */
    for (i = 0; i < 100; i++) {
        given[0] = ipv4((uint8_t)i);
        snprintf(name, sizeof(name), "host-%d.test", i);
        assert_int_equal(crt_resolver_seed(f.resolver, name, given, 1), 0);
    }
    for (i = 0; i < 100; i++) {
        snprintf(name, sizeof(name), "host-%d.test", i);
        ask(&f.q, name);
        assert_true(f.q.at_once);
        assert_int_equal(f.q.addresses[0].ip[3], i);
    }
    fixture_close(&f);
}

static void a_host_keeps_thirty_addresses(void **state) {
    crt_address given[40];
    fixture f;
    uint8_t i;
    fixture_open(&f, 0);
    for (i = 0; i < 40; i++) {
        given[i] = ipv4(i);
    }
    assert_int_equal(crt_resolver_seed(f.resolver, "many.test", given, 30), 0);
    assert_int_equal(crt_resolver_seed(f.resolver, "many.test", given + 20, 20), 0);
    ask(&f.q, "many.test");
    assert_int_equal(f.q.count, 30);
    fixture_close(&f);
}

/* Expired addresses of a host that the name server no longer answers for. */
static void the_last_known_addresses_outlive_an_outage(void **state) {
    crt_address given[1] = {ipv4(9)};
    fixture f;
    uint64_t seeded;
    fixture_open(&f, 1);
    assert_int_equal(crt_resolver_seed(f.resolver, "crt-test.invalid", given, 1), 0);
    seeded = crt_clock_ns();
    while (crt_clock_ns() < seeded + 2000000u) {
    }
    ask(&f.q, "crt-test.invalid");
    assert_false(f.q.at_once);
    assert_int_equal(f.q.status, 0);
    assert_int_equal(f.q.count, 1);
    assert_int_equal(f.q.addresses[0].ip[3], 9);
    fixture_close(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        leak_checked(addresses_need_no_lookup),
        leak_checked(what_is_no_address_is_not_taken_for_one),
        leak_checked(a_name_is_looked_up_once_and_then_known),
        leak_checked(names_that_do_not_exist_are_errors),
        leak_checked(everybody_who_asks_is_answered_once),
        leak_checked(releasing_the_resolver_ends_pending_lookups),
        leak_checked(the_end_of_the_loop_ends_pending_lookups),
        leak_checked(addresses_take_turns),
        leak_checked(failed_addresses_step_back_by_their_own_family),
        leak_checked(more_hosts_than_expected_are_kept),
        leak_checked(a_host_keeps_thirty_addresses),
        leak_checked(the_last_known_addresses_outlive_an_outage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
