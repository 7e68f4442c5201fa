/*
 * The decoder under arbitrary bytes in arbitrary pieces. Besides memory errors it checks that the outcome does not
 * depend on the cuts, and that what was decoded encodes to the same bytes again.
 *
 * CRCs keep random input out, so the first byte says whether the messages in the rest are sealed first.
 */
#include <stdlib.h>

#include "crt/checksums.h"
#include "crt/eventstream.h"
#include "crt/memory.h"

typedef struct outcome {
    uint64_t hash;
    int messages;
    int status;
} outcome;

static void mix(outcome *o, crt_bytes bytes) {
    for (size_t i = 0; i < bytes.len; i++) {
        o->hash = (o->hash ^ bytes.ptr[i]) * 1099511628211u;
    }
    o->hash ^= bytes.len;
}

static void check_header(const crt_es_header *header, crt_bytes raw) {
    size_t size;
    if (crt_es_header_size(header, &size)) {
        return; /* empty and longest names are received, but not sent */
    }
    uint8_t *again = malloc(size);
    if (size != raw.len || crt_es_header_write(again, header) != again + size || memcmp(again, raw.ptr, size) != 0) {
        abort();
    }
    free(again);
}

static void read_message(outcome *o, const crt_es_message *m) {
    uint8_t *copy = malloc(m->headers.len ? m->headers.len : 1); /* exact: the sanitizer sees reads behind the end */
    memcpy(copy, m->headers.ptr, m->headers.len);
    crt_es_headers rest = {crt_bytes_of(copy, m->headers.len), 0};
    crt_es_header header;
    int status = 0;
    while (status == 0 && rest.rest.len > 0) {
        const uint8_t *start = rest.rest.ptr;
        status = crt_es_headers_next(&rest, &header);
        if (status == 0) {
            check_header(&header, crt_bytes_of(start, (size_t)(rest.rest.ptr - start)));
        }
    }
    o->hash = o->hash * 31 + (uint64_t)status;
    mix(o, m->headers);
    mix(o, m->payload);
    o->messages++;
    free(copy);
}

static outcome decode(const uint8_t *data, size_t size, uint32_t seed) {
    outcome o = {14695981039346656037u, 0, 0};
    crt_es_decoder d;
    crt_es_message m;
    memset(&d, 0, sizeof(d));
    while (size > 0 && o.status == 0) {
        crt_span space = crt_es_decoder_space(&d);
        seed = seed * 1664525u + 1013904223u;
        size_t n = seed & 1 ? 1 + (seed >> 24) % 40 : size;
        n = n < size ? n : size;
        n = n < space.len ? n : space.len;
        memcpy(space.ptr, data, n);
        o.status = crt_es_decoder_add(&d, n);
        data += n;
        size -= n;
        while ((seed & 2 || size == 0 || o.status) && crt_es_decoder_take(&d, &m)) {
            read_message(&o, &m);
        }
    }
    crt_es_decoder_clear(&d);
    return o;
}

static uint32_t get32(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void put32(uint8_t *p, uint32_t value) {
    for (int i = 0; i < 4; i++) {
        p[i] = (uint8_t)(value >> (24 - 8 * i));
    }
}

/* Makes the CRCs right, of as many messages as there are. */
static void seal_all(uint8_t *data, size_t size) {
    while (size >= CRT_ES_OVERHEAD) {
        const size_t total = get32(data);
        put32(data + 8, crt_crc32(crt_bytes_of(data, 8), 0));
        if (total < CRT_ES_OVERHEAD || total > size) {
            return;
        }
        put32(data + total - 4, crt_crc32(crt_bytes_of(data, total - 4), 0));
        data += total;
        size -= total;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2) {
        return 0;
    }
    uint8_t *wire = malloc(size - 1);
    memcpy(wire, data + 1, size - 1);
    if (data[0] & 1) {
        seal_all(wire, size - 1);
    }
    outcome whole = decode(wire, size - 1, 0);
    outcome cut = decode(wire, size - 1, data[0]);
    free(wire);
    if (whole.hash != cut.hash || whole.messages != cut.messages || whole.status != cut.status ||
        crt_memory_live() != 0) {
        abort();
    }
    return 0;
}
