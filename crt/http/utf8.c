#include "utf8.h"

/* RFC 3629 section 4: the first byte tells the length, and narrows the range of the second. */
static bool begin_character(crt_utf8 *s, uint8_t c) {
    s->low = 0x80;
    s->high = 0xbf;
    if (c < 0xc2) { /* a continuation byte, or an overlong form */
        return false;
    }
    if (c < 0xe0) {
        s->missing = 1;
    } else if (c < 0xf0) {
        s->missing = 2;
        s->low = c == 0xe0 ? 0xa0 : 0x80;  /* shorter forms exist below */
        s->high = c == 0xed ? 0x9f : 0xbf; /* surrogates above */
    } else if (c < 0xf5) {
        s->missing = 3;
        s->low = c == 0xf0 ? 0x90 : 0x80;
        s->high = c == 0xf4 ? 0x8f : 0xbf; /* U+10FFFF is the last */
    } else {
        return false;
    }
    return true;
}

/* First byte that is not ASCII. */
static const uint8_t *skip_ascii(const uint8_t *p, const uint8_t *end) {
    while (end - p >= 8) {
        uint64_t word;
        memcpy(&word, p, 8);
        if (word & 0x8080808080808080u) {
            break;
        }
        p += 8;
    }
    while (p < end && *p < 0x80) {
        p++;
    }
    return p;
}

bool crt_utf8_feed(crt_utf8 *state, crt_bytes piece) {
    const uint8_t *p = piece.ptr, *end = p + piece.len;
    while (p < end) {
        if (state->missing > 0) {
            if (*p < state->low || *p > state->high) {
                return false;
            }
            state->missing--;
            state->low = 0x80;
            state->high = 0xbf;
            p++;
            continue;
        }
        p = skip_ascii(p, end);
        if (p < end && !begin_character(state, *p++)) {
            return false;
        }
    }
    return true;
}
