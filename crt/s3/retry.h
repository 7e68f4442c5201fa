/*
 * Retries of one HTTP request: how long to wait, and whether the endpoint's token bucket allows it.
 */
#ifndef CRT_S3_RETRY_H
#define CRT_S3_RETRY_H

#include "crt/s3.h"

/* Why an attempt failed; decides the price of a retry. */
enum crt_s3_retry_class { CRT_S3_NO_RETRY = 0, CRT_S3_TRANSIENT, CRT_S3_SERVER, CRT_S3_THROTTLING };

/* The options with the defaults filled in. */
typedef struct crt_s3_retry_policy {
    uint64_t max_retries;
    uint64_t base_ms;
    uint64_t cap_ms;
    uint64_t capacity;
    int jitter;
    bool use_bucket;
} crt_s3_retry_policy;

/* AWS_ERROR_INVALID_ARGUMENT for an unknown jitter. */
int crt_s3_retry_policy_init(crt_s3_retry_policy *policy, const crt_s3_retry_options *options, crt_fault *fault);

/* Of one HTTP request. */
typedef struct crt_s3_retry_state {
    uint64_t retries;       /* done so far */
    uint64_t last_delay_ms; /* for decorrelated jitter */
    uint64_t taken;         /* tokens that the last retry took */
} crt_s3_retry_state;

/* Delay before the next retry. `random` is any 64 random bits. */
uint64_t crt_s3_retry_delay(const crt_s3_retry_policy *policy, crt_s3_retry_state *state, uint64_t random);

/*
 * Tokens of an endpoint, shared by all its transfers. A retry takes the price of its class, or what is left;
 * an empty bucket refuses. Not locked: the owner does that.
 */
typedef struct crt_s3_bucket {
    uint64_t tokens;
    uint64_t capacity;
} crt_s3_bucket;

void crt_s3_bucket_init(crt_s3_bucket *bucket, uint64_t capacity);
bool crt_s3_bucket_take(crt_s3_bucket *bucket, enum crt_s3_retry_class cause, crt_s3_retry_state *state);
/* A request succeeded: its last retry's tokens come back, or one if it never retried. */
void crt_s3_bucket_give(crt_s3_bucket *bucket, crt_s3_retry_state *state);

/* Class of a transport error; NO_RETRY for those that another attempt cannot mend. */
enum crt_s3_retry_class crt_s3_classify_transport(int code);
/* Class of a response by its status and the Code element of its body (may be NULL); sets *code when it retries. */
enum crt_s3_retry_class crt_s3_classify_response(int status, const char *xml_code, int *code);

#endif
