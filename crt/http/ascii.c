#include "ascii.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

const uint8_t crt_http_token_table[256] = {
    ['!'] = 1, ['#'] = 1, ['$'] = 1, ['%'] = 1, ['&'] = 1, ['\''] = 1, ['*'] = 1, ['+'] = 1, ['-'] = 1,
    ['.'] = 1, ['^'] = 1, ['_'] = 1, ['`'] = 1, ['|'] = 1, ['~'] = 1,
    ['0'] = 1, ['1'] = 1, ['2'] = 1, ['3'] = 1, ['4'] = 1, ['5'] = 1, ['6'] = 1, ['7'] = 1, ['8'] = 1, ['9'] = 1,
    ['A'] = 1, ['B'] = 1, ['C'] = 1, ['D'] = 1, ['E'] = 1, ['F'] = 1, ['G'] = 1, ['H'] = 1, ['I'] = 1, ['J'] = 1,
    ['K'] = 1, ['L'] = 1, ['M'] = 1, ['N'] = 1, ['O'] = 1, ['P'] = 1, ['Q'] = 1, ['R'] = 1, ['S'] = 1, ['T'] = 1,
    ['U'] = 1, ['V'] = 1, ['W'] = 1, ['X'] = 1, ['Y'] = 1, ['Z'] = 1,
    ['a'] = 1, ['b'] = 1, ['c'] = 1, ['d'] = 1, ['e'] = 1, ['f'] = 1, ['g'] = 1, ['h'] = 1, ['i'] = 1, ['j'] = 1,
    ['k'] = 1, ['l'] = 1, ['m'] = 1, ['n'] = 1, ['o'] = 1, ['p'] = 1, ['q'] = 1, ['r'] = 1, ['s'] = 1, ['t'] = 1,
    ['u'] = 1, ['v'] = 1, ['w'] = 1, ['x'] = 1, ['y'] = 1, ['z'] = 1,
};

bool crt_http_is_token(crt_bytes text) {
    for (size_t i = 0; i < text.len; i++) {
        if (!crt_http_is_token_char(text.ptr[i])) {
            return false;
        }
    }
    return text.len > 0;
}

static bool is_field_text(uint8_t c) {
    return c == '\t' || (c >= 0x20 && c != 0x7f);
}

const uint8_t *crt_http_skip_field_text(const uint8_t *p, const uint8_t *end) {
#if defined(__SSE2__)
    /* Unsigned c < 0x20 is min(c, 0x1f) == c. */
    const __m128i control = _mm_set1_epi8(0x1f), tab = _mm_set1_epi8('\t'), del = _mm_set1_epi8(0x7f);
    for (; end - p >= 16; p += 16) {
        __m128i c = _mm_loadu_si128((const __m128i *)(const void *)p);
        __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(c, control), c);
        __m128i bad = _mm_or_si128(_mm_andnot_si128(_mm_cmpeq_epi8(c, tab), low), _mm_cmpeq_epi8(c, del));
        int mask = _mm_movemask_epi8(bad);
        if (mask) {
            return p + __builtin_ctz((unsigned)mask);
        }
    }
#endif
    while (p < end && is_field_text(*p)) {
        p++;
    }
    return p;
}

static bool is_blank(uint8_t c) {
    return c == ' ' || c == '\t';
}

crt_bytes crt_http_trim(crt_bytes text) {
    while (text.len > 0 && is_blank(text.ptr[0])) {
        text.ptr++;
        text.len--;
    }
    while (text.len > 0 && is_blank(text.ptr[text.len - 1])) {
        text.len--;
    }
    return text;
}

static uint8_t lower(uint8_t c) {
    return (uint8_t)(c - 'A') < 26 ? (uint8_t)(c | 0x20) : c;
}

bool crt_http_ieq(crt_bytes a, crt_bytes b) {
    if (a.len != b.len) {
        return false;
    }
    for (size_t i = 0; i < a.len; i++) {
        if (a.ptr[i] != b.ptr[i] && lower(a.ptr[i]) != lower(b.ptr[i])) {
            return false;
        }
    }
    return true;
}

bool crt_http_parse_decimal(crt_bytes text, uint64_t *value) {
    uint64_t n = 0;
    for (size_t i = 0; i < text.len; i++) {
        uint8_t digit = (uint8_t)(text.ptr[i] - '0');
        if (digit > 9 || n > (UINT64_MAX - digit) / 10) {
            return false;
        }
        n = n * 10 + digit;
    }
    *value = n;
    return text.len > 0;
}
