/*
 * permessage-deflate under arbitrary answers, arbitrary compressed data in arbitrary pieces, and round trips. The
 * limit on what comes out must hold whatever goes in.
 */
#include <stdlib.h>

#include "../http/ws_deflate.h"

enum { LIMIT = 20000 };

static const crt_ws_deflate_options offer = {.server_max_window_bits = 15, .client_max_window_bits = 15};

static void read_answer(const uint8_t *data, size_t size) {
    crt_ws_deflate d;
    const char *why = crt_ws_deflate_accept(&d, &offer, crt_bytes_of(data, size));
    if (!why && d.agreed && (d.inflate_bits < 8 || d.inflate_bits > 15 || d.deflate_bits < 8 || d.deflate_bits > 15)) {
        abort();
    }
    crt_ws_deflate_free(&d);
}

static void inflate_pieces(const uint8_t *data, size_t size, size_t step) {
    crt_ws_deflate d;
    crt_buf out = CRT_BUF_INIT;
    enum crt_ws_inflated result = CRT_WS_INFLATED;
    crt_ws_deflate_accept(&d, &offer, crt_bytes_str("permessage-deflate"));
    for (size_t at = 0; at < size && result == CRT_WS_INFLATED; at += step) {
        size_t n = size - at < step ? size - at : step;
        result = crt_ws_deflate_receive(&d, crt_bytes_of(data + at, n), at + n == size, LIMIT, &out);
        if (crt_buf_len(&out) > LIMIT + (result == CRT_WS_INFLATE_TOO_BIG)) {
            abort();
        }
    }
    crt_buf_free(&out);
    crt_ws_deflate_free(&d);
}

/* Two fragments, twice: with and without the context of the first message. */
static void round_trip(const uint8_t *data, size_t size, const char *answer) {
    crt_ws_deflate d;
    crt_buf packed = CRT_BUF_INIT, out = CRT_BUF_INIT;
    size_t cut = data[0] % (size + 1);
    crt_ws_deflate_accept(&d, &offer, crt_bytes_str(answer));
    for (int i = 0; i < 2; i++) {
        crt_buf_clear(&packed);
        crt_buf_clear(&out);
        if (crt_ws_deflate_send(&d, crt_bytes_of(data, cut), false, &packed) ||
            crt_ws_deflate_send(&d, crt_bytes_of(data + cut, size - cut), true, &packed) ||
            crt_ws_deflate_receive(&d, crt_buf_view(&packed), true, size, &out) != CRT_WS_INFLATED ||
            !crt_bytes_eq(crt_buf_view(&out), crt_bytes_of(data, size))) {
            abort();
        }
    }
    crt_buf_free(&packed);
    crt_buf_free(&out);
    crt_ws_deflate_free(&d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2) {
        return 0;
    }
    read_answer(data + 1, size - 1);
    inflate_pieces(data + 1, size - 1, 1 + data[0]);
    inflate_pieces(data + 1, size - 1, size);
    round_trip(data, size, "permessage-deflate");
    round_trip(data, size, "permessage-deflate; server_no_context_takeover; client_no_context_takeover");
    return 0;
}
