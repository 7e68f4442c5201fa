/* Fills memory from a body source that has to be asked piece by piece. */
#include "engine.h"

static void on_read(void *user, int status, size_t n, bool eof) {
    crt_s3_reading *reading = user;
    reading->filled += n;
    if (!status && !eof && reading->filled < reading->size) {
        crt_s3_read_fully(reading);
        return;
    }
    reading->done(reading->transfer, status, reading->filled);
}

void crt_s3_read_fully(crt_s3_reading *reading) {
    crt_source *source = crt_http_message_body(reading->transfer->message);
    crt_span space = {reading->memory + reading->filled, reading->size - reading->filled};
    source->ops->read(source, reading->transfer->home->loop, space, on_read, reading);
}
