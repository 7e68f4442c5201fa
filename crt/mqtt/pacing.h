/*
 * Time policies as pure functions of a clock the caller reads: reconnect back-off and token buckets.
 */
#ifndef CRT_MQTT_PACING_H
#define CRT_MQTT_PACING_H

#include "crt/mqtt.h"

typedef struct crt_mqtt_backoff {
    int jitter;
    uint32_t min_ms;
    uint32_t max_ms;
    uint32_t waits; /* since the last reset */
    uint64_t previous_ms;
} crt_mqtt_backoff;

CRT_HIDDEN void crt_mqtt_backoff_reset(crt_mqtt_backoff *backoff);
/* The next delay; `random` is a uniform 64-bit number. */
CRT_HIDDEN uint64_t crt_mqtt_backoff_next(crt_mqtt_backoff *backoff, uint64_t random);

/* Fills at `per_second`, holds at most `capacity`. Counts in thousandths, so that nothing is lost to rounding. */
typedef struct crt_mqtt_bucket {
    uint64_t per_second;
    uint64_t capacity;
    uint64_t level_milli;
    uint64_t updated_ms;
} crt_mqtt_bucket;

CRT_HIDDEN void crt_mqtt_bucket_init(crt_mqtt_bucket *bucket, uint64_t per_second, uint64_t capacity, uint64_t now_ms);
/* Milliseconds until n tokens are there, 0: now. More than the capacity counts as the capacity. */
CRT_HIDDEN uint64_t crt_mqtt_bucket_wait(crt_mqtt_bucket *bucket, uint64_t n, uint64_t now_ms);
CRT_HIDDEN void crt_mqtt_bucket_take(crt_mqtt_bucket *bucket, uint64_t n);

#endif
