/* Delays, token bucket, and which failures are worth another attempt. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "../s3/retry.h"

static crt_s3_retry_policy policy_of(crt_s3_retry_options options) {
    crt_s3_retry_policy policy;
    crt_fault fault;
    assert_int_equal(crt_s3_retry_policy_init(&policy, &options, &fault), 0);
    return policy;
}

static void defaults_are_those_of_the_standard_mode(void **state) {
    crt_s3_retry_policy policy = policy_of((crt_s3_retry_options){0});
    assert_int_equal(policy.max_retries, 5);
    assert_int_equal(policy.base_ms, 500);
    assert_int_equal(policy.cap_ms, 20000);
    assert_int_equal(policy.capacity, 500);
    assert_true(policy.use_bucket);
}

static void mode_none_never_retries(void **state) {
    assert_int_equal(policy_of((crt_s3_retry_options){.mode = CRT_S3_RETRY_NONE, .max_retries = 3}).max_retries, 0);
}

static void unknown_jitter_is_refused(void **state) {
    crt_s3_retry_options options = {.jitter = 4};
    crt_s3_retry_policy policy;
    crt_fault fault;
    assert_int_equal(crt_s3_retry_policy_init(&policy, &options, &fault), AWS_ERROR_INVALID_ARGUMENT);
}

static void delays_double_up_to_the_cap(void **state) {
    crt_s3_retry_policy policy =
        policy_of((crt_s3_retry_options){.backoff_scale_ms = 400, .max_backoff_secs = 1, .jitter = CRT_S3_JITTER_NONE});
    crt_s3_retry_state retry = {0};
    const uint64_t expected[] = {400, 800, 1000, 1000};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(crt_s3_retry_delay(&policy, &retry, 12345), expected[i]);
    }
}

static void full_jitter_stays_below_the_delay(void **state) {
    crt_s3_retry_policy policy = policy_of((crt_s3_retry_options){.backoff_scale_ms = 100});
    for (uint64_t random = 0; random < 1000; random++) {
        crt_s3_retry_state retry = {.retries = 2};
        assert_true(crt_s3_retry_delay(&policy, &retry, random * 7919) < 400);
    }
}

static void decorrelated_jitter_depends_on_the_previous_delay(void **state) {
    crt_s3_retry_policy policy =
        policy_of((crt_s3_retry_options){.backoff_scale_ms = 100, .jitter = CRT_S3_JITTER_DECORRELATED});
    for (uint64_t random = 0; random < 1000; random++) {
        crt_s3_retry_state retry = {.retries = 1, .last_delay_ms = 200};
        uint64_t delay = crt_s3_retry_delay(&policy, &retry, random * 7919);
        assert_in_range(delay, 100, 599);
    }
}

static void a_huge_base_does_not_overflow(void **state) {
    crt_s3_retry_policy policy = policy_of((crt_s3_retry_options){
        .backoff_scale_ms = UINT64_MAX / 2, .max_backoff_secs = UINT64_MAX, .jitter = CRT_S3_JITTER_NONE});
    crt_s3_retry_state retry = {.retries = 60};
    assert_int_equal(crt_s3_retry_delay(&policy, &retry, 0), policy.cap_ms);
}

static void retries_are_paid_by_class(void **state) {
    crt_s3_bucket bucket;
    crt_s3_retry_state retry = {0};
    crt_s3_bucket_init(&bucket, 12);
    assert_true(crt_s3_bucket_take(&bucket, CRT_S3_SERVER, &retry));
    assert_true(crt_s3_bucket_take(&bucket, CRT_S3_THROTTLING, &retry));
    assert_true(crt_s3_bucket_take(&bucket, CRT_S3_SERVER, &retry)); /* what is left: 2 */
    assert_int_equal(retry.taken, 2);
    assert_false(crt_s3_bucket_take(&bucket, CRT_S3_SERVER, &retry));
}

static void success_gives_back_the_last_price(void **state) {
    crt_s3_bucket bucket;
    crt_s3_retry_state retry = {0}, untried = {0};
    crt_s3_bucket_init(&bucket, 12);
    assert_true(crt_s3_bucket_take(&bucket, CRT_S3_TRANSIENT, &retry));
    crt_s3_bucket_give(&bucket, &untried);
    assert_int_equal(bucket.tokens, 3);
    crt_s3_bucket_give(&bucket, &retry);
    assert_int_equal(bucket.tokens, 12); /* never more than the capacity */
}

static void server_errors_are_retried(void **state) {
    const int statuses[] = {500, 502, 504};
    int code = 0;
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(crt_s3_classify_response(statuses[i], NULL, &code), CRT_S3_SERVER);
        assert_int_equal(code, AWS_ERROR_S3_INTERNAL_ERROR);
    }
    assert_int_equal(crt_s3_classify_response(503, NULL, &code), CRT_S3_THROTTLING);
    assert_int_equal(code, AWS_ERROR_S3_SLOW_DOWN);
}

static void other_statuses_are_final(void **state) {
    const int statuses[] = {201, 202, 301, 304, 307, 400, 403, 404, 408, 409, 412, 416, 429, 501};
    int code = 0;
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) {
        assert_int_equal(crt_s3_classify_response(statuses[i], NULL, &code), CRT_S3_NO_RETRY);
    }
    assert_int_equal(code, 0);
}

static void the_code_in_the_body_wins_over_the_status(void **state) {
    int code = 0;
    assert_int_equal(crt_s3_classify_response(400, "SlowDown", &code), CRT_S3_THROTTLING);
    assert_int_equal(code, AWS_ERROR_S3_SLOW_DOWN);
    assert_int_equal(crt_s3_classify_response(200, "InternalError", &code), CRT_S3_SERVER);
    assert_int_equal(crt_s3_classify_response(403, "RequestTimeTooSkewed", &code), CRT_S3_TRANSIENT);
    assert_int_equal(code, AWS_ERROR_S3_REQUEST_TIME_TOO_SKEWED);
    assert_int_equal(crt_s3_classify_response(400, "RequestTimeout", &code), CRT_S3_TRANSIENT);
    assert_int_equal(code, AWS_ERROR_S3_REQUEST_TIMEOUT);
    assert_int_equal(crt_s3_classify_response(403, "AccessDenied", &code), CRT_S3_NO_RETRY);
}

static void lost_connections_are_retried_and_bad_requests_are_not(void **state) {
    const int transient[] = {AWS_IO_SOCKET_CONNECTION_REFUSED, AWS_IO_SOCKET_TIMEOUT, AWS_IO_SOCKET_CLOSED,
                             AWS_IO_TLS_ERROR_NEGOTIATION_FAILURE, AWS_IO_DNS_QUERY_FAILED,
                             AWS_ERROR_HTTP_CONNECTION_CLOSED, AWS_ERROR_HTTP_PROTOCOL_ERROR,
                             AWS_ERROR_HTTP_CHANNEL_THROUGHPUT_FAILURE, AWS_ERROR_S3_INVALID_CONTENT_RANGE_HEADER};
    const int final[] = {AWS_IO_DNS_INVALID_NAME, AWS_IO_SOCKET_INVALID_OPTIONS, AWS_ERROR_HTTP_INVALID_HEADER_NAME,
                         AWS_ERROR_HTTP_MISSING_BODY_STREAM, AWS_ERROR_NO_SPACE, AWS_ERROR_OOM,
                         AWS_ERROR_S3_MISSING_CONTENT_RANGE_HEADER, AWS_ERROR_S3_MISSING_ETAG};
    for (size_t i = 0; i < sizeof transient / sizeof *transient; i++) {
        assert_int_equal(crt_s3_classify_transport(transient[i]), CRT_S3_TRANSIENT);
    }
    for (size_t i = 0; i < sizeof final / sizeof *final; i++) {
        assert_int_equal(crt_s3_classify_transport(final[i]), CRT_S3_NO_RETRY);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_those_of_the_standard_mode),
        cmocka_unit_test(mode_none_never_retries),
        cmocka_unit_test(unknown_jitter_is_refused),
        cmocka_unit_test(delays_double_up_to_the_cap),
        cmocka_unit_test(full_jitter_stays_below_the_delay),
        cmocka_unit_test(decorrelated_jitter_depends_on_the_previous_delay),
        cmocka_unit_test(a_huge_base_does_not_overflow),
        cmocka_unit_test(retries_are_paid_by_class),
        cmocka_unit_test(success_gives_back_the_last_price),
        cmocka_unit_test(server_errors_are_retried),
        cmocka_unit_test(other_statuses_are_final),
        cmocka_unit_test(the_code_in_the_body_wins_over_the_status),
        cmocka_unit_test(lost_connections_are_retried_and_bad_requests_are_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
