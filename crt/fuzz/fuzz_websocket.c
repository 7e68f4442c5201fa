/*
 * The frame parser under arbitrary bytes in arbitrary pieces. Besides memory errors it checks that the outcome
 * does not depend on the cuts: frames, payload and whether there is an error.
 */
#include <stdlib.h>

#include "../http/ws_codec.h"

typedef struct outcome {
    uint64_t hash;
    uint64_t payload;
    int frames;
    int errors;
} outcome;

static void mix(outcome *o, const uint8_t *p, size_t n) {
    for (size_t i = 0; i < n; i++) {
        o->hash = (o->hash ^ p[i]) * 1099511628211u;
    }
}

static bool step(crt_ws_decoder *d, outcome *o, const uint8_t *p, size_t len, size_t *used, uint64_t max_payload) {
    uint8_t *copy = malloc(len ? len : 1); /* exact size: the sanitizer sees reads behind the end */
    memcpy(copy, p, len);
    crt_ws_event e = crt_ws_decoder_next(d, crt_bytes_of(copy, len), max_payload);
    if (e.consumed > len || crt_ws_decoder_raw_payload(d) > d->length) {
        abort();
    }
    *used += e.consumed;
    bool more = true;
    switch (e.kind) {
    case CRT_WS_FRAME:
        mix(o, (const uint8_t *)&d->length, sizeof(d->length));
        break;
    case CRT_WS_PAYLOAD:
        if (e.payload.len == 0 || (!crt_ws_is_control(d->opcode) && e.payload.len > max_payload)) {
            abort();
        }
        if (d->opcode != CRT_WS_CLOSE && d->message != CRT_WS_TEXT) { /* those may fail in the midst of a piece */
            mix(o, e.payload.ptr, e.payload.len);
            o->payload += e.payload.len;
        }
        break;
    case CRT_WS_FRAME_END:
        o->frames++;
        break;
    case CRT_WS_ERROR:
        o->errors = 1;
        more = false;
        break;
    default:
        more = false;
    }
    free(copy);
    return more;
}

static outcome decode(const uint8_t *data, size_t size, uint32_t seed) {
    outcome o = {14695981039346656037u, 0, 0, 0};
    crt_ws_decoder d;
    memset(&d, 0, sizeof(d));
    size_t used = 0, end = seed ? 0 : size;
    for (;;) {
        uint64_t max_payload = seed ? 1 + seed % 5 : UINT64_MAX;
        while (step(&d, &o, data + used, end - used, &used, max_payload)) {
        }
        if (o.errors || end == size) {
            return o;
        }
        seed = seed * 1664525u + 1013904223u;
        end += 1 + (seed >> 24) % 20;
        end = end < size ? end : size;
    }
}

static void round_trip(const uint8_t *data, size_t size) {
    uint8_t mask[4] = {data[0], data[1], data[2], data[3]};
    uint8_t *there = malloc(size), *back = malloc(size);
    crt_ws_mask(there, data, size, mask, 0);
    size_t cut = data[0] % (size + 1);
    crt_ws_mask(back, there, cut, mask, 0);
    crt_ws_mask(back + cut, there + cut, size - cut, mask, cut);
    if (memcmp(back, data, size) != 0) {
        abort();
    }
    free(there);
    free(back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 4) {
        return 0;
    }
    outcome whole = decode(data + 1, size - 1, 0);
    outcome cut = decode(data + 1, size - 1, 1 + data[0]);
    if (whole.hash != cut.hash || whole.payload != cut.payload || whole.frames != cut.frames ||
        whole.errors != cut.errors) {
        abort();
    }
    round_trip(data, size);
    return 0;
}
