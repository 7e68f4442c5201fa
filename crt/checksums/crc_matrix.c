/*
 * The bit matrices for crt_crc_gfni, which moves 64 bytes (a line) along the message without a multiplication.
 *
 * Let y = x^512, so that a bit of a line has weight x^j * y^m (j its place in its byte, m lines to the end; the place
 * of the byte in its line is a common factor). The products x^j * y^m for j, m = 0..7 span all residues modulo P (they
 * are 64, and for 32 bits more than it takes): each x^j * y^8 is a sum of some of them. Hence every byte of a line can
 * be taken away there, and what it stood for be added to the bytes at the same place of the next eight lines: eight
 * linear maps of 8 bits into 8 bits, the same for all bytes of the line. GF2P8AFFINEQB applies one to a whole line.
 */
#include "crc_engine.h"

enum { LINES = CRT_CRC_GFNI_LINES, LINE_BYTES = 64 };

/* What has been found to span: vectors with different leading bits, each with the set of products it is the sum of. */
typedef struct span {
    uint64_t vector[64]; /* by the place of its highest bit; 0: none */
    uint64_t products[64];
} span;

/* Gaussian elimination of one vector. A rest that does not vanish extends the span; returns the products summed up. */
static uint64_t eliminate(span *known, uint64_t vector, uint64_t products) {
    for (int bit = 63; vector != 0; bit--) {
        if (!(vector >> bit & 1)) {
            continue;
        }
        if (known->vector[bit] == 0) {
            known->vector[bit] = vector;
            known->products[bit] = products;
            break;
        }
        vector ^= known->vector[bit];
        products ^= known->products[bit];
    }
    return products;
}

/*
 * line_matrix[m] is for a line with weight y^m, which is 8 - m lines further on. Bits of a byte count from its last
 * coefficient (bit k is x^(7-k)); the instruction wants the row for bit k of the result in byte 7 - k of the matrix.
 */
void crt_crc_engine_init_matrices(crt_crc_engine *engine) {
    const uint64_t one = (uint64_t)1 << (engine->width - 1);
    span known = {{0}, {0}};
    for (unsigned m = 0; m < LINES; m++) {
        uint64_t product = crt_crc_shift(engine, one, m * LINE_BYTES);
        for (unsigned j = 0; j < 8; j++, product = crt_crc_times_x(engine, product)) {
            (void)eliminate(&known, product, (uint64_t)1 << (m * 8 + j));
        }
    }
    memset(engine->line_matrix, 0, sizeof(engine->line_matrix));
    uint64_t taken = crt_crc_shift(engine, one, LINES * LINE_BYTES);
    for (unsigned j = 0; j < 8; j++, taken = crt_crc_times_x(engine, taken)) {
        uint64_t products = eliminate(&known, taken, 0);
        for (unsigned m = 0; m < LINES; m++) {
            /* Bit i of the byte is for x^i * y^m: bit 7 - i of the result, whose row is byte i. */
            for (unsigned i = 0; i < 8; i++) {
                engine->line_matrix[m] |= (products >> (m * 8 + i) & 1) << (i * 8 + 7 - j);
            }
        }
    }
}
