#include "pacing.h"

void crt_mqtt_backoff_reset(crt_mqtt_backoff *b) {
    b->waits = 0;
    b->previous_ms = 0;
}

static uint64_t uniform(uint64_t low, uint64_t high, uint64_t random) {
    return low >= high ? low : low + random % (high - low + 1);
}

uint64_t crt_mqtt_backoff_next(crt_mqtt_backoff *b, uint64_t random) {
    /* Doubling stops where no uint32 maximum can be reached any more. */
    uint64_t exponential = (uint64_t)b->min_ms << (b->waits < 31 ? b->waits : 31);
    uint64_t delay;
    switch (b->jitter) {
    case CRT_MQTT_JITTER_NONE:
        delay = exponential;
        break;
    case CRT_MQTT_JITTER_DECORRELATED:
        delay = uniform(b->min_ms, 3 * (b->previous_ms ? b->previous_ms : b->min_ms), random);
        break;
    default:
        delay = uniform(0, exponential, random);
    }
    b->waits++;
    b->previous_ms = delay < b->max_ms ? delay : b->max_ms;
    return b->previous_ms;
}

void crt_mqtt_bucket_init(crt_mqtt_bucket *b, uint64_t per_second, uint64_t capacity, uint64_t now_ms) {
    b->per_second = per_second;
    b->capacity = capacity;
    b->level_milli = 0;
    b->updated_ms = now_ms;
}

uint64_t crt_mqtt_bucket_wait(crt_mqtt_bucket *b, uint64_t n, uint64_t now_ms) {
    uint64_t full = b->capacity * 1000;
    uint64_t elapsed_ms = now_ms - b->updated_ms;
    uint64_t to_full_ms = (full - b->level_milli + b->per_second - 1) / b->per_second;
    b->level_milli = elapsed_ms >= to_full_ms ? full : b->level_milli + elapsed_ms * b->per_second;
    b->updated_ms = now_ms;
    uint64_t wanted = n < b->capacity ? n * 1000 : full;
    return b->level_milli >= wanted ? 0 : (wanted - b->level_milli + b->per_second - 1) / b->per_second;
}

void crt_mqtt_bucket_take(crt_mqtt_bucket *b, uint64_t n) {
    uint64_t taken = n * 1000;
    b->level_milli = b->level_milli > taken ? b->level_milli - taken : 0;
}
