/*
 * How many requests of one transfer run side by side, below its cap.
 *
 * Caps are planned for S3: tens of milliseconds to the first byte and 0.4 Gbps per connection, so that it takes many
 * connections to fill a link. Against a server that is near and fast, many connections only compete for caches and
 * memory. So a transfer starts with a few, and uses all it may as soon as the peer proves distant or slow.
 */
#ifndef CRT_S3_WINDOW_H
#define CRT_S3_WINDOW_H

#include "crt/base.h"

typedef struct crt_s3_window {
    uint64_t size;
    uint64_t max;
} crt_s3_window;

/*
 * What to start with, measured on loopback: two fill memory faster than more, whose parts would push each other out of
 * the caches; files are written by a thread of their own, which more connections keep busy.
 */
enum { CRT_S3_WINDOW_MEMORY = 2, CRT_S3_WINDOW_FILE = 6 };
void crt_s3_window_init(crt_s3_window *window, uint64_t start, uint64_t max);
/* A response began this long after its request. */
void crt_s3_window_first_byte(crt_s3_window *window, uint64_t latency_ns);
/* A part of this size took this long. */
void crt_s3_window_part(crt_s3_window *window, uint64_t bytes, uint64_t duration_ns);
/* All were busy and none got done for a while. */
void crt_s3_window_stalled(crt_s3_window *window);

#endif
