#include "window.h"

#define NEAR_NS (5 * 1000 * 1000)
/* A connection that carries less than a gigabit per second leaves room for another one. */
#define BUSY_BYTES_PER_S 125000000.0
/* Less says more about latency than about throughput. */
#define MEANINGFUL_BYTES (1024 * 1024)

static void widen(crt_s3_window *window) {
    window->size = window->size > window->max / 2 ? window->max : window->size * 2;
}

void crt_s3_window_init(crt_s3_window *window, uint64_t start, uint64_t max) {
    window->max = max;
    window->size = max < start ? max : start;
}

void crt_s3_window_first_byte(crt_s3_window *window, uint64_t latency_ns) {
    if (latency_ns >= NEAR_NS) {
        window->size = window->max;
    }
}

void crt_s3_window_part(crt_s3_window *window, uint64_t bytes, uint64_t duration_ns) {
    if (bytes >= MEANINGFUL_BYTES && (double)bytes * 1e9 < BUSY_BYTES_PER_S * (double)duration_ns) {
        widen(window);
    }
}

void crt_s3_window_stalled(crt_s3_window *window) {
    widen(window);
}
