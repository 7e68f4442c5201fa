#include "ws_codec.h"

enum { S_HEADER, S_PAYLOAD, S_END, S_ERROR };

/* ---- sending ---- */

size_t crt_ws_write_header(uint8_t out[CRT_WS_HEADER_MAX], int opcode, bool fin, uint64_t length,
                           const uint8_t mask[4]) {
    size_t n = 2;
    out[0] = (uint8_t)((fin ? 0x80 : 0) | opcode);
    if (length <= 125) {
        out[1] = (uint8_t)(0x80 | length);
    } else if (length <= UINT16_MAX) {
        out[1] = 0x80 | 126;
        out[n++] = (uint8_t)(length >> 8);
        out[n++] = (uint8_t)length;
    } else {
        out[1] = 0x80 | 127;
        for (int shift = 56; shift >= 0; shift -= 8) {
            out[n++] = (uint8_t)(length >> shift);
        }
    }
    memcpy(out + n, mask, 4);
    return n + 4;
}

/* The widest vectors that every machine of the architecture has. */
#if defined(__SSE2__)
#include <emmintrin.h>
static size_t mask_vectors(uint8_t *to, const uint8_t *from, size_t len, uint64_t word) {
    const __m128i key = _mm_set1_epi64x((int64_t)word);
    size_t i = 0;
    for (; len - i >= 64; i += 64) {
        for (size_t k = 0; k < 64; k += 16) {
            __m128i data = _mm_loadu_si128((const __m128i *)(const void *)(from + i + k));
            _mm_storeu_si128((__m128i *)(void *)(to + i + k), _mm_xor_si128(data, key));
        }
    }
    return i;
}
#elif defined(__ARM_NEON)
#include <arm_neon.h>
static size_t mask_vectors(uint8_t *to, const uint8_t *from, size_t len, uint64_t word) {
    const uint8x16_t key = vreinterpretq_u8_u64(vdupq_n_u64(word));
    size_t i = 0;
    for (; len - i >= 64; i += 64) {
        for (size_t k = 0; k < 64; k += 16) {
            vst1q_u8(to + i + k, veorq_u8(vld1q_u8(from + i + k), key));
        }
    }
    return i;
}
#else
static size_t mask_vectors(uint8_t *to, const uint8_t *from, size_t len, uint64_t word) {
    return 0;
}
#endif

void crt_ws_mask(uint8_t *to, const uint8_t *from, size_t len, const uint8_t mask[4], uint64_t offset) {
    uint8_t turned[8];
    for (size_t i = 0; i < 8; i++) {
        turned[i] = mask[(offset + i) & 3];
    }
    uint64_t word;
    memcpy(&word, turned, 8);
    size_t i = mask_vectors(to, from, len, word);
    for (; len - i >= 8; i += 8) {
        uint64_t data;
        memcpy(&data, from + i, 8);
        data ^= word;
        memcpy(to + i, &data, 8);
    }
    for (; i < len; i++) {
        to[i] = from[i] ^ turned[i & 7];
    }
}

/* ---- receiving ---- */

static int fail(crt_ws_decoder *d, const char *detail) {
    d->state = S_ERROR;
    d->detail = detail;
    return -1;
}

bool crt_ws_is_close_code(int code) {
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) || (code >= 3000 && code <= 4999);
}

/* 1: *header_len and d->length are set, 0: not complete, -1: error. */
static int read_length(crt_ws_decoder *d, crt_bytes in, size_t *header_len) {
    uint8_t short_length = in.ptr[1] & 0x7f;
    size_t extra = short_length == 126 ? 2 : short_length == 127 ? 8 : 0;
    *header_len = 2 + extra;
    if (in.len < *header_len) {
        return 0;
    }
    if (extra == 0) {
        d->length = short_length;
        return 1;
    }
    d->length = 0;
    for (size_t i = 0; i < extra; i++) {
        d->length = d->length << 8 | in.ptr[2 + i];
    }
    if (d->length <= (extra == 2 ? 125u : 65535u)) {
        return fail(d, "a frame length is not in its shortest form");
    }
    return d->length >> 63 ? fail(d, "a frame length is above 2^63-1") : 1;
}

/* What the first two bytes say: reserved bits, masking, opcodes, sizes of control frames. */
static int check_start(crt_ws_decoder *d, uint8_t first, uint8_t second) {
    int opcode = first & 0x0f;
    bool fin = (first & 0x80) != 0;
    bool marks = d->deflate && !crt_ws_is_control(opcode) && opcode != CRT_WS_CONTINUATION;
    if (first & (marks ? 0x30 : 0x70)) {
        return fail(d, "a reserved bit is set without an extension");
    }
    if (second & 0x80) {
        return fail(d, "a frame of the server is masked");
    }
    if (crt_ws_is_control(opcode)) {
        if (opcode > CRT_WS_PONG) {
            return fail(d, "unknown opcode");
        }
        if (!fin) {
            return fail(d, "a control frame is fragmented");
        }
        if ((second & 0x7f) > CRT_WS_CONTROL_MAX) {
            return fail(d, "a control frame is longer than 125 bytes");
        }
        return opcode == CRT_WS_CLOSE && second == 1 ? fail(d, "a CLOSE frame of one byte") : 0;
    }
    if (opcode > CRT_WS_BINARY) {
        return fail(d, "unknown opcode");
    }
    if ((opcode == CRT_WS_CONTINUATION) != d->in_message) {
        return fail(d, d->in_message ? "a new message begins inside another" : "a continuation of no message");
    }
    return 0;
}

static void begin_frame(crt_ws_decoder *d, uint8_t first) {
    d->opcode = first & 0x0f;
    d->fin = (first & 0x80) != 0;
    d->left = d->length;
    d->state = d->left ? S_PAYLOAD : S_END;
    if (crt_ws_is_control(d->opcode)) {
        return;
    }
    if (d->opcode != CRT_WS_CONTINUATION) {
        d->message = d->opcode;
        d->compressed = (first & CRT_WS_COMPRESSED) != 0;
        memset(&d->text, 0, sizeof(d->text));
    }
    d->in_message = !d->fin;
}

static int take_header(crt_ws_decoder *d, crt_bytes in, size_t *consumed) {
    if (in.len >= 2 && check_start(d, in.ptr[0], in.ptr[1])) {
        return -1;
    }
    int taken = in.len >= 2 ? read_length(d, in, consumed) : 0;
    if (taken > 0) {
        begin_frame(d, in.ptr[0]);
    }
    return taken;
}

static int check_close_code(crt_ws_decoder *d, crt_bytes piece) {
    for (size_t i = 0; i < piece.len; i++) {
        uint64_t at = d->length - d->left + i;
        if (at < 2) {
            d->close_code[at] = piece.ptr[i];
        }
        if (at == 1 && !crt_ws_is_close_code(d->close_code[0] << 8 | d->close_code[1])) {
            return fail(d, "a CLOSE frame with an illegal code");
        }
    }
    return 0;
}

static bool is_text(const crt_ws_decoder *d) {
    return !crt_ws_is_control(d->opcode) && d->message == CRT_WS_TEXT && !d->compressed;
}

static enum crt_ws_event_kind take_payload(crt_ws_decoder *d, crt_bytes in, uint64_t max_payload, crt_bytes *payload) {
    bool control = crt_ws_is_control(d->opcode);
    if (in.len == 0) {
        return CRT_WS_NEED_DATA;
    }
    if (max_payload == 0 && !control) {
        return CRT_WS_BLOCKED;
    }
    uint64_t n = d->left < in.len ? d->left : in.len;
    n = control || n < max_payload ? n : max_payload;
    *payload = crt_bytes_of(in.ptr, (size_t)n);
    if (d->opcode == CRT_WS_CLOSE && check_close_code(d, *payload)) {
        return CRT_WS_ERROR;
    }
    if (is_text(d) && !crt_utf8_feed(&d->text, *payload)) {
        fail(d, "a text message is not UTF-8");
        d->bad_text = true;
        return CRT_WS_ERROR;
    }
    crt_ws_decoder_skip(d, n);
    return CRT_WS_PAYLOAD;
}

crt_ws_event crt_ws_decoder_next(crt_ws_decoder *d, crt_bytes input, uint64_t max_payload) {
    crt_ws_event event = {CRT_WS_NEED_DATA, 0, {NULL, 0}};
    int taken;
    switch (d->state) {
    case S_HEADER:
        taken = take_header(d, input, &event.consumed);
        event.consumed = taken > 0 ? event.consumed : 0;
        event.kind = taken > 0 ? CRT_WS_FRAME : taken < 0 ? CRT_WS_ERROR : CRT_WS_NEED_DATA;
        break;
    case S_PAYLOAD:
        event.kind = take_payload(d, input, max_payload, &event.payload);
        event.consumed = event.kind == CRT_WS_PAYLOAD ? event.payload.len : 0;
        break;
    case S_END:
        d->state = S_HEADER;
        event.kind = CRT_WS_FRAME_END;
        if (is_text(d) && d->fin && !crt_utf8_ends_well(&d->text)) {
            fail(d, "a text message ends inside a character");
            d->bad_text = true;
            event.kind = CRT_WS_ERROR;
        }
        break;
    default:
        event.kind = CRT_WS_ERROR;
        break;
    }
    return event;
}

bool crt_ws_decoder_at_end(const crt_ws_decoder *d) {
    return d->state == S_END;
}

bool crt_ws_decoder_in_frame(const crt_ws_decoder *d) {
    return d->state == S_PAYLOAD || d->state == S_END;
}

uint64_t crt_ws_decoder_raw_payload(const crt_ws_decoder *d) {
    bool binary = d->state == S_PAYLOAD && !crt_ws_is_control(d->opcode) && d->message == CRT_WS_BINARY;
    return binary ? d->left : 0;
}

void crt_ws_decoder_skip(crt_ws_decoder *d, uint64_t n) {
    d->left -= n;
    if (d->left == 0) {
        d->state = S_END;
    }
}
