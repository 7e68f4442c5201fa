#include "retry.h"

#define PRICE_TRANSIENT 10
#define PRICE_SERVER 5

static uint64_t or_default(uint64_t value, uint64_t fallback) {
    return value ? value : fallback;
}

int crt_s3_retry_policy_init(crt_s3_retry_policy *policy, const crt_s3_retry_options *options, crt_fault *fault) {
    if (options->jitter < CRT_S3_JITTER_DEFAULT || options->jitter > CRT_S3_JITTER_DECORRELATED) {
        return crt_fail(fault, AWS_ERROR_INVALID_ARGUMENT, "unknown jitter_mode %d (0..3)", options->jitter);
    }
    policy->max_retries = options->mode == CRT_S3_RETRY_NONE ? 0 : or_default(options->max_retries, 5);
    policy->base_ms = or_default(options->backoff_scale_ms, 500);
    uint64_t cap_secs = or_default(options->max_backoff_secs, 20);
    policy->cap_ms = cap_secs > UINT32_MAX ? (uint64_t)UINT32_MAX * 1000 : cap_secs * 1000;
    policy->capacity = or_default(options->bucket_capacity, 500);
    policy->jitter = options->jitter;
    policy->use_bucket = options->mode != CRT_S3_RETRY_BACKOFF;
    return 0;
}

/* base * 2^n, at most cap, without overflow */
static uint64_t exponential(const crt_s3_retry_policy *policy, uint64_t n) {
    uint64_t delay = policy->base_ms;
    while (n-- && delay < policy->cap_ms) {
        delay = delay > UINT64_MAX / 2 ? UINT64_MAX : delay * 2;
    }
    return delay < policy->cap_ms ? delay : policy->cap_ms;
}

uint64_t crt_s3_retry_delay(const crt_s3_retry_policy *policy, crt_s3_retry_state *state, uint64_t random) {
    uint64_t low = 0;
    uint64_t high = exponential(policy, state->retries);
    if (policy->jitter == CRT_S3_JITTER_NONE) {
        low = high;
    } else if (policy->jitter == CRT_S3_JITTER_DECORRELATED && state->retries > 0) {
        uint64_t tripled = state->last_delay_ms > policy->cap_ms / 3 ? policy->cap_ms : state->last_delay_ms * 3;
        low = policy->base_ms < policy->cap_ms ? policy->base_ms : policy->cap_ms;
        high = tripled > low ? tripled : low;
    }
    uint64_t delay = high > low ? low + random % (high - low) : low;
    state->last_delay_ms = delay;
    state->retries++;
    return delay;
}

void crt_s3_bucket_init(crt_s3_bucket *bucket, uint64_t capacity) {
    bucket->tokens = capacity;
    bucket->capacity = capacity;
}

bool crt_s3_bucket_take(crt_s3_bucket *bucket, enum crt_s3_retry_class cause, crt_s3_retry_state *state) {
    uint64_t price = cause == CRT_S3_TRANSIENT ? PRICE_TRANSIENT : PRICE_SERVER;
    if (!bucket->tokens) {
        return false;
    }
    state->taken = price < bucket->tokens ? price : bucket->tokens;
    bucket->tokens -= state->taken;
    return true;
}

void crt_s3_bucket_give(crt_s3_bucket *bucket, crt_s3_retry_state *state) {
    uint64_t room = bucket->capacity - bucket->tokens;
    uint64_t back = state->taken ? state->taken : 1;
    bucket->tokens += back < room ? back : room;
    state->taken = 0;
}

enum crt_s3_retry_class crt_s3_classify_transport(int code) {
    switch (code) {
    case AWS_IO_DNS_INVALID_NAME:
    case AWS_IO_SOCKET_INVALID_OPTIONS:
    case AWS_ERROR_PLATFORM_NOT_SUPPORTED:
    case AWS_ERROR_INVALID_ARGUMENT:
    case AWS_ERROR_OOM:
    case AWS_IO_EVENT_LOOP_SHUTDOWN:
        return CRT_S3_NO_RETRY;
    case AWS_ERROR_S3_INVALID_CONTENT_RANGE_HEADER:
        return CRT_S3_TRANSIENT;
    default:
        break;
    }
    /* Of the io (1024..2047) and http (2048..3071) packages everything is the connection's fault, but for what
       the http room says about the message itself. */
    bool io = code >= 1024 && code < 2048;
    bool http = code >= AWS_ERROR_HTTP_UNKNOWN && code < 3072;
    bool message = code >= AWS_ERROR_HTTP_HEADER_NOT_FOUND && code <= AWS_ERROR_HTTP_INVALID_PATH;
    bool body = code == AWS_ERROR_HTTP_MISSING_BODY_STREAM || code == AWS_ERROR_HTTP_INVALID_BODY_STREAM ||
                code == AWS_ERROR_HTTP_DATA_NOT_AVAILABLE || code == AWS_ERROR_HTTP_OUTGOING_STREAM_LENGTH_INCORRECT ||
                code == AWS_IO_STREAM_READ_FAILED || code == AWS_IO_STREAM_INVALID_SEEK_POSITION;
    return (io || http) && !message && !body ? CRT_S3_TRANSIENT : CRT_S3_NO_RETRY;
}

enum crt_s3_retry_class crt_s3_classify_response(int status, const char *xml_code, int *code) {
    static const struct {
        const char *name;
        int code;
        enum crt_s3_retry_class cause;
    } by_name[] = {
        {"SlowDown", AWS_ERROR_S3_SLOW_DOWN, CRT_S3_THROTTLING},
        {"InternalError", AWS_ERROR_S3_INTERNAL_ERROR, CRT_S3_SERVER},
        {"InternalErrors", AWS_ERROR_S3_INTERNAL_ERROR, CRT_S3_SERVER},
        {"RequestTimeTooSkewed", AWS_ERROR_S3_REQUEST_TIME_TOO_SKEWED, CRT_S3_TRANSIENT},
        {"RequestTimeout", AWS_ERROR_S3_REQUEST_TIMEOUT, CRT_S3_TRANSIENT},
    };
    for (size_t i = 0; xml_code && i < sizeof by_name / sizeof *by_name; i++) {
        if (strcmp(xml_code, by_name[i].name) == 0) {
            *code = by_name[i].code;
            return by_name[i].cause;
        }
    }
    switch (status) {
    case 500:
    case 502:
    case 504:
        *code = AWS_ERROR_S3_INTERNAL_ERROR;
        return CRT_S3_SERVER;
    case 503:
        *code = AWS_ERROR_S3_SLOW_DOWN;
        return CRT_S3_THROTTLING;
    default:
        return CRT_S3_NO_RETRY;
    }
}
