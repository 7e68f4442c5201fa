/*
 * The response parser under arbitrary bytes in arbitrary pieces. The first byte chooses the request and the
 * seed of the cuts. Besides memory errors it checks that the outcome does not depend on the cuts.
 */
#include <stdlib.h>

#include "../http/h1_decoder.h"

typedef struct outcome {
    uint64_t hash;
    uint64_t body;
    int ends;
    int errors;
} outcome;

static void mix(outcome *o, const uint8_t *p, size_t n) {
    for (size_t i = 0; i < n; i++) {
        o->hash = (o->hash ^ p[i]) * 1099511628211u;
    }
}

/* False when the response in progress cannot go on with this input. */
static bool step(crt_h1_decoder *d, outcome *o, const uint8_t *p, size_t len, size_t *used, uint64_t max_body) {
    uint8_t *copy = malloc(len ? len : 1); /* exact size: the sanitizer sees reads behind the end */
    memcpy(copy, p, len);
    crt_h1_event e = crt_h1_decoder_next(d, crt_bytes_of(copy, len), max_body);
    if (e.consumed > len) {
        abort();
    }
    *used += e.consumed;
    bool more = true;
    switch (e.kind) {
    case CRT_H1_INTERIM:
    case CRT_H1_TRAILERS:
    case CRT_H1_HEAD:
        mix(o, (const uint8_t *)&e.kind, sizeof(e.kind));
        mix(o, (const uint8_t *)&d->status, sizeof(d->status));
        for (size_t i = 0; i < d->header_count; i++) {
            mix(o, d->headers[i].name.ptr, d->headers[i].name.len);
            mix(o, d->headers[i].value.ptr, d->headers[i].value.len);
        }
        break;
    case CRT_H1_BODY:
        if (e.body.len == 0 || e.body.len > max_body) {
            abort();
        }
        mix(o, e.body.ptr, e.body.len);
        o->body += e.body.len;
        break;
    case CRT_H1_END:
        o->ends++;
        crt_h1_decoder_begin(d, CRT_H1_REQUEST_OTHER);
        break;
    case CRT_H1_ERROR:
        o->errors = 1;
        more = false;
        break;
    default:
        more = false;
    }
    free(copy);
    return more;
}

static outcome decode(const uint8_t *data, size_t size, int request, uint32_t seed) {
    outcome o = {14695981039346656037u, 0, 0, 0};
    crt_h1_decoder d;
    crt_h1_decoder_init(&d);
    crt_h1_decoder_begin(&d, (enum crt_h1_request_kind)request);
    size_t used = 0, end = seed ? 0 : size;
    for (;;) {
        uint64_t max_body = seed ? 1 + seed % 7 : UINT64_MAX;
        while (step(&d, &o, data + used, end - used, &used, max_body)) {
        }
        if (o.errors || end == size) {
            break;
        }
        seed = seed * 1664525u + 1013904223u;
        end += 1 + (seed >> 24) % 40;
        end = end < size ? end : size;
    }
    crt_h1_decoder_eof(&d);
    crt_h1_decoder_free(&d);
    return o;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 1) {
        return 0;
    }
    int request = data[0] % 3;
    outcome whole = decode(data + 1, size - 1, request, 0);
    outcome cut = decode(data + 1, size - 1, request, 1 + data[0]);
    if (whole.hash != cut.hash || whole.body != cut.body || whole.ends != cut.ends || whole.errors != cut.errors) {
        abort();
    }
    return 0;
}
