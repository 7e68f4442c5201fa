/* Errors, buffers, memory, the budget. */
#include "support.h"

#include <stdio.h>

#include "crt/buffer.h"

/* ---- errors ---- */

#define CRT_ERROR(code, name, message) {code, #name, message},
static const crt_error_info every_error[] = {
#include "crt/errors_auth.def"
#include "crt/errors_common.def"
#include "crt/errors_crypto.def"
#include "crt/errors_eventstream.def"
#include "crt/errors_http.def"
#include "crt/errors_io.def"
#include "crt/errors_mqtt.def"
#include "crt/errors_s3.def"
};
#undef CRT_ERROR

/* As of a feature that is newer than its core: it knows a code of its own package better, and one more. */
static const crt_error_info feature_errors[] = {
    {14371, "RENAMED", "Another text."},
    {14372, "NEW", "A new text."},
};

enum { EVERY_ERROR = sizeof(every_error) / sizeof(every_error[0]) };

static void errors_of_all_packages_are_known_without_registration(void **state) {
    size_t i;
    for (i = 0; i < EVERY_ERROR; i++) {
        assert_string_equal(crt_error_name(every_error[i].code), every_error[i].name);
        assert_string_equal(crt_error_message(every_error[i].code), every_error[i].message);
    }
    assert_string_equal(crt_error_name(1048), "AWS_IO_SOCKET_TIMEOUT");
}

static void no_code_and_no_name_is_given_twice(void **state) {
    size_t i, j;
    for (i = 0; i < EVERY_ERROR; i++) {
        for (j = i + 1; j < EVERY_ERROR; j++) {
            assert_int_not_equal(every_error[i].code, every_error[j].code);
            assert_string_not_equal(every_error[i].name, every_error[j].name);
        }
    }
}

static void unknown_codes_have_a_name_too(void **state) {
    static const int codes[] = {-1, 64, 1023, 1206, 16384, 999999999, INT32_MIN};
    size_t i;
    for (i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        assert_string_equal(crt_error_name(codes[i]), "Unknown Error Code");
        assert_string_equal(crt_error_message(codes[i]), "Unknown Error Code");
    }
}

static void a_feature_registers_its_errors(void **state) {
    size_t count = sizeof(feature_errors) / sizeof(feature_errors[0]);
    const crt_error_info *last = &feature_errors[count - 1];
    assert_string_equal(crt_error_name(last->code), "Unknown Error Code");
    crt_error_register(feature_errors, count);
    crt_error_register(feature_errors, count);
    assert_string_equal(crt_error_name(last->code), last->name);
    assert_string_equal(crt_error_name(feature_errors[0].code), feature_errors[0].name);
}

static void a_fault_keeps_code_and_cuts_long_detail(void **state) {
    crt_fault fault;
    char longer[400];
    assert_int_equal(crt_fail(&fault, AWS_IO_SOCKET_TIMEOUT, "host %s:%d", "example.com", 443), AWS_IO_SOCKET_TIMEOUT);
    assert_int_equal(fault.code, AWS_IO_SOCKET_TIMEOUT);
    assert_string_equal(fault.detail, "host example.com:443");
    memset(longer, 'x', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    crt_fail(&fault, 1, "%s", longer);
    assert_int_equal(strlen(fault.detail), sizeof(fault.detail) - 1);
    assert_int_equal(crt_fail(NULL, 7, "nobody looks"), 7);
}

/* ---- buffers ---- */

static void a_buffer_grows_and_is_consumed(void **state) {
    crt_buf b = CRT_BUF_INIT;
    assert_int_equal(crt_buf_append(&b, NULL, 0), 0);
    assert_null(b.ptr);
    assert_int_equal(crt_buf_append(&b, "hello ", 6), 0);
    assert_int_equal(crt_buf_printf(&b, "%s %d", "world", 42), 0);
    assert_true(crt_bytes_eq(crt_buf_view(&b), crt_bytes_str("hello world 42")));
    crt_buf_consume(&b, 6);
    assert_true(crt_bytes_eq(crt_buf_view(&b), crt_bytes_str("world 42")));
    crt_buf_consume(&b, 8);
    assert_int_equal(b.start, 0);
    crt_buf_free(&b);
    assert_null(b.ptr);
}

static void an_impossible_reservation_is_refused(void **state) {
    crt_buf b = CRT_BUF_INIT;
    assert_int_equal(crt_buf_append(&b, "x", 1), 0);
    assert_int_equal(crt_buf_reserve(&b, SIZE_MAX), AWS_ERROR_OOM);
    assert_int_equal(crt_buf_reserve(&b, SIZE_MAX / 2), AWS_ERROR_OOM);
    assert_int_equal(crt_buf_len(&b), 1);
    crt_buf_free(&b);
}

static void a_buffer_behaves_like_a_queue_of_bytes(void **state) {
    crt_buf b = CRT_BUF_INIT;
    uint8_t in = 0, out = 0, chunk[700];
    uint32_t random = 1;
    size_t step, i;
    for (step = 0; step < 5000; step++) {
        size_t n = (random = random * 1664525u + 1013904223u) % sizeof(chunk);
        if (random & 0x10000) {
            for (i = 0; i < n; i++) {
                chunk[i] = in++;
            }
            assert_int_equal(crt_buf_append(&b, chunk, n), 0);
        } else {
            n = n < crt_buf_len(&b) ? n : crt_buf_len(&b);
            for (i = 0; i < n; i++) {
                assert_int_equal(crt_buf_data(&b)[i], out++);
            }
            crt_buf_consume(&b, n);
        }
    }
    assert_int_equal((uint8_t)(in - out), (uint8_t)crt_buf_len(&b));
    crt_buf_free(&b);
}

/* ---- memory ---- */

static void live_blocks_are_counted(void **state) {
    size_t before = crt_memory_live(), bytes = crt_memory_traced_bytes();
    void *a = crt_malloc(0), *b = crt_calloc(3, 100), *page = crt_malloc_aligned(5000);
    char *text = crt_strndup("abcdef", 3);
    assert_non_null(a);
    assert_int_equal(((uint8_t *)b)[299], 0);
    assert_int_equal((uintptr_t)page % 4096, 0);
    assert_string_equal(text, "abc");
    assert_int_equal(crt_memory_live(), before + 4);
    assert_true(crt_memory_traced_bytes() >= bytes + 300 + 5000);
    b = crt_realloc(b, 100000);
    assert_true(crt_memory_traced_bytes() >= bytes + 100000);
    assert_int_equal(crt_memory_live(), before + 4);
    crt_free(a);
    crt_free(b);
    crt_free(text);
    crt_free_aligned(page);
    crt_free(NULL);
    crt_free_aligned(NULL);
    assert_int_equal(crt_memory_live(), before);
    assert_int_equal(crt_memory_traced_bytes(), bytes);
    assert_null(crt_strdup(NULL));
}

/* ---- the budget ---- */

typedef struct waiting {
    crt_budget_wait wait;
    int status;
    int *order; /* next position, shared */
    int position;
    latch *granted;
} waiting;

static void on_granted(crt_task *task, int status) {
    waiting *w = CRT_CONTAINER(CRT_CONTAINER(task, crt_budget_wait, task), waiting, wait);
    w->status = status;
    w->position = (*w->order)++;
    latch_add(w->granted, 1);
}

static waiting waiting_for(size_t bytes, crt_loop *loop, int *order, latch *granted) {
    waiting w = {.wait = {.bytes = bytes, .loop = loop, .task = {.run = on_granted}},
                 .status = -1, .order = order, .position = -1, .granted = granted};
    return w;
}

static void the_budget_has_a_limit(void **state) {
    assert_true(crt_budget_limit() >= (64u << 20));
    crt_budget_set_limit(1000);
    assert_true(crt_budget_try_take(600));
    assert_false(crt_budget_try_take(401));
    assert_true(crt_budget_try_take(400));
    assert_int_equal(crt_budget_used(), 1000);
    crt_budget_give_back(1000);
    assert_true(crt_budget_try_take(5000)); /* larger than everything, but alone */
    assert_false(crt_budget_try_take(1));
    crt_budget_give_back(5000);
    assert_int_equal(crt_budget_used(), 0);
}

static void those_who_wait_are_served_in_turn(void **state) {
    crt_loop_group *group = group_new(1);
    crt_loop *loop = crt_loop_group_at(group, 0);
    waiting w[3];
    latch granted;
    int order = 0;
    latch_init(&granted);
    crt_budget_set_limit(1000);
    assert_true(crt_budget_try_take(900));
    w[0] = waiting_for(800, loop, &order, &granted);
    w[1] = waiting_for(50, loop, &order, &granted);
    w[2] = waiting_for(100, loop, &order, &granted);
    crt_budget_take_later(&w[0].wait);
    crt_budget_take_later(&w[1].wait);
    crt_budget_take_later(&w[2].wait);
    assert_false(crt_budget_try_take(10)); /* would fit, but others came first */
    assert_int_equal(latch_count(&granted), 0);
    crt_budget_give_back(900);
    latch_wait(&granted, 3);
    assert_int_equal(w[0].position, 0);
    assert_int_equal(w[1].position, 1);
    assert_int_equal(w[2].position, 2);
    assert_int_equal(w[2].status, 0);
    assert_int_equal(crt_budget_used(), 950);
    assert_false(crt_budget_cancel(&w[1].wait));
    crt_budget_give_back(950);
    group_end(group);
    latch_destroy(&granted);
}

static void leaving_the_line_lets_the_next_in(void **state) {
    crt_loop_group *group = group_new(1);
    crt_loop *loop = crt_loop_group_at(group, 0);
    waiting big, small;
    latch granted;
    int order = 0;
    latch_init(&granted);
    crt_budget_set_limit(1000);
    assert_true(crt_budget_try_take(900));
    big = waiting_for(800, loop, &order, &granted);
    small = waiting_for(50, loop, &order, &granted);
    crt_budget_take_later(&big.wait);
    crt_budget_take_later(&small.wait);
    assert_true(crt_budget_cancel(&big.wait));
    latch_wait(&granted, 1);
    assert_int_equal(small.status, 0);
    assert_int_equal(crt_budget_used(), 950);
    assert_false(crt_budget_cancel(&big.wait));
    crt_budget_give_back(950);
    group_end(group);
    assert_int_equal(big.position, -1);
    latch_destroy(&granted);
}

static void what_is_charged_makes_others_wait_but_never_all(void **state) {
    crt_loop_group *group = group_new(1);
    waiting w;
    latch granted;
    int order = 0;
    latch_init(&granted);
    crt_budget_set_limit(1000);
    crt_budget_charge(5000);
    assert_int_equal(crt_budget_used(), 5000);
    assert_true(crt_budget_try_take(100)); /* the only one */
    assert_false(crt_budget_try_take(100));
    w = waiting_for(100, crt_loop_group_at(group, 0), &order, &granted);
    crt_budget_take_later(&w.wait);
    crt_budget_charge(-4500);
    latch_wait(&granted, 1);
    assert_int_equal(w.status, 0);
    assert_int_equal(crt_budget_used(), 700);
    crt_budget_give_back(200);
    crt_budget_charge(-600); /* no less than nothing */
    assert_int_equal(crt_budget_used(), 0);
    group_end(group);
    latch_destroy(&granted);
}

static void a_higher_limit_serves_the_line(void **state) {
    crt_loop_group *group = group_new(1);
    waiting w;
    latch granted;
    int order = 0;
    latch_init(&granted);
    crt_budget_set_limit(100);
    assert_true(crt_budget_try_take(100));
    w = waiting_for(100, crt_loop_group_at(group, 0), &order, &granted);
    crt_budget_take_later(&w.wait);
    crt_budget_set_limit(200);
    latch_wait(&granted, 1);
    crt_budget_give_back(200);
    group_end(group);
    latch_destroy(&granted);
}

typedef struct late_grant {
    crt_task task;
    waiting w;
    latch *hold;
} late_grant;

/* Takes its share once the loop is told to stop, so that the grant comes back as a shutdown. */
static void take_during_shutdown(crt_task *task, int status) {
    late_grant *late = CRT_CONTAINER(task, late_grant, task);
    if (status == 0) {
        latch_reaches(late->hold, 1);
        crt_loop_post(late->w.wait.loop, task);
        return;
    }
    crt_budget_take_later(&late->w.wait);
}

static void a_grant_that_meets_a_dead_loop_is_given_back(void **state) {
    crt_loop_group *group = group_new(1);
    crt_loop *loop = crt_loop_group_at(group, 0);
    late_grant late = {.task = {.run = take_during_shutdown}};
    latch granted, hold;
    int order = 0;
    latch_init(&granted);
    latch_init(&hold);
    late.w = waiting_for(10, loop, &order, &granted);
    late.hold = &hold;
    crt_loop_post(loop, &late.task);
    crt_loop_group_release(group);
    latch_add(&hold, 1);
    latch_wait(&granted, 1);
    assert_true(crt_threads_join(TEST_DEADLINE_S * 1000));
    assert_int_equal(late.w.status, AWS_IO_EVENT_LOOP_SHUTDOWN);
    assert_int_equal(crt_budget_used(), 0);
    latch_destroy(&granted);
    latch_destroy(&hold);
}

static void there_is_at_least_one_processor(void **state) {
    assert_true(crt_cpu_count() >= 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_of_all_packages_are_known_without_registration),
        cmocka_unit_test(no_code_and_no_name_is_given_twice),
        cmocka_unit_test(unknown_codes_have_a_name_too),
        cmocka_unit_test(a_feature_registers_its_errors),
        cmocka_unit_test(a_fault_keeps_code_and_cuts_long_detail),
        leak_checked(a_buffer_grows_and_is_consumed),
        leak_checked(an_impossible_reservation_is_refused),
        leak_checked(a_buffer_behaves_like_a_queue_of_bytes),
        leak_checked(live_blocks_are_counted),
        cmocka_unit_test(the_budget_has_a_limit),
        leak_checked(those_who_wait_are_served_in_turn),
        leak_checked(leaving_the_line_lets_the_next_in),
        leak_checked(what_is_charged_makes_others_wait_but_never_all),
        leak_checked(a_higher_limit_serves_the_line),
        leak_checked(a_grant_that_meets_a_dead_loop_is_given_back),
        cmocka_unit_test(there_is_at_least_one_processor),
    };
    setenv("AWS_CRT_MEMORY_TRACING", "1", 1); /* read at the first allocation */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
