/*
 * Polynomial arithmetic over GF(2), the constants derived by it, and the portable kernel (slice-by-8,
 * Kounavis and Berry, "Novel Table Lookup-Based Algorithms for High-Performance CRC Generation").
 */
#include "crc_engine.h"

/* The polynomial 1: its only coefficient, that of x^0, sits in the last bit of the register's width. */
static uint64_t one(const crt_crc_engine *engine) {
    return (uint64_t)1 << (engine->width - 1);
}

uint64_t crt_crc_multiply(const crt_crc_engine *engine, uint64_t a, uint64_t b) {
    uint64_t product = 0;
    /* Walks b's coefficients upwards from x^0 while a becomes a*x, a*x^2, ... */
    for (uint64_t bit = one(engine); bit != 0 && b != 0; bit >>= 1) {
        if (b & bit) {
            product ^= a;
            b ^= bit;
        }
        a = crt_crc_times_x(engine, a);
    }
    return product;
}

uint64_t crt_crc_shift(const crt_crc_engine *engine, uint64_t state, uint64_t len) {
    for (unsigned i = 0; len != 0; i++, len >>= 1) {
        if (len & 1) {
            state = crt_crc_multiply(engine, engine->power[i], state);
        }
    }
    return state;
}

/*
 * x^n mod P, moved so that its coefficients lie where a 64-bit carry-less multiplication expects them: bit i
 * for x^(63-i). (A 32-bit register has x^31 in bit 0, which is x^63 there; hence P is scaled by x^32, which
 * turns the request for x^n mod P*x^32 into x^(n-32) mod P in the same bits.)
 */
static uint64_t power_of_x(const crt_crc_engine *engine, unsigned n) {
    uint64_t result = one(engine);
    for (unsigned i = 64 - engine->width; i < n; i++) {
        result = crt_crc_times_x(engine, result);
    }
    return result;
}

/* Multiplying reflected words leaves the product one place off (63 + 63 = 126, not 127): one x less makes up. */
static crt_crc_fold fold_by(const crt_crc_engine *engine, unsigned distance) {
    crt_crc_fold fold = {power_of_x(engine, distance + 64 - 1), power_of_x(engine, distance - 1)};
    return fold;
}

/* The same for a long way (8 bytes or more), not step by step. */
static crt_crc_fold fold_by_bytes(const crt_crc_engine *engine, uint64_t distance) {
    uint64_t start = power_of_x(engine, 63);
    crt_crc_fold fold = {crt_crc_shift(engine, start, distance), crt_crc_shift(engine, start, distance - 8)};
    return fold;
}

/*
 * With Q = P * x^(64 - width) of degree 64 and q its coefficients below x^64: floor(x^128 / Q) / x and Q / x,
 * both without their constant term, reflected. Plain long division.
 */
static void init_barrett(crt_crc_engine *engine) {
    uint64_t remainder = engine->poly; /* x^64 mod Q */
    uint64_t quotient = 1;             /* reflected: bit 0 is x^64, the first coefficient found */
    for (unsigned bit = 1; bit < 64; bit++) {
        /* The coefficient of x^(64-bit): whether x^63 is present before the next times x. */
        if (remainder & 1) {
            quotient |= (uint64_t)1 << bit;
        }
        remainder = crt_crc_times_x(engine, remainder);
    }
    engine->barrett_quotient = quotient;
    engine->barrett_poly = engine->poly << 1 | 1;
}

/*
 * x^(8n - 33) mod P for the n bytes from the end of each run to the end of the piece: the CRC32 instruction, which
 * reduces the product of two 32-bit registers, multiplies it by x^32, and the product itself is one place off.
 */
static void init_run_shift(crt_crc_engine *engine) {
    for (uint64_t i = 0; i < CRT_CRC32C_RUNS; i++) {
        uint64_t bytes = CRT_CRC32C_PIECE - (i + 1) * CRT_CRC32C_RUN;
        /* 8 bytes less, and 31 places more. */
        uint64_t shift = crt_crc_shift(engine, one(engine), bytes - 8);
        for (int place = 0; place < 31; place++) {
            shift = crt_crc_times_x(engine, shift);
        }
        engine->run_shift[i] = shift;
    }
}

void crt_crc_engine_init(crt_crc_engine *engine, uint64_t reflected_poly, unsigned width) {
    engine->poly = reflected_poly;
    engine->width = width;
    for (unsigned byte = 0; byte < 256; byte++) {
        uint64_t state = byte;
        for (int bit = 0; bit < 8; bit++) {
            state = crt_crc_times_x(engine, state);
        }
        engine->table[0][byte] = state;
    }
    for (unsigned slice = 1; slice < 8; slice++) {
        for (unsigned byte = 0; byte < 256; byte++) {
            uint64_t state = engine->table[slice - 1][byte];
            engine->table[slice][byte] = (state >> 8) ^ engine->table[0][state & 0xff];
        }
    }
    engine->fold_128 = fold_by(engine, 128);
    engine->fold_256 = fold_by(engine, 256);
    engine->fold_384 = fold_by(engine, 384);
    engine->fold_512 = fold_by(engine, 512);
    engine->fold_1024 = fold_by(engine, 1024);
    engine->fold_1536 = fold_by(engine, 1536);
    engine->fold_2048 = fold_by(engine, 2048);
    const uint64_t within[8] = {engine->fold_384.first,  engine->fold_384.second, engine->fold_256.first,
                                engine->fold_256.second, engine->fold_128.first,  engine->fold_128.second};
    memcpy(engine->within_512, within, sizeof(within));
    init_barrett(engine);

    uint64_t power = one(engine);
    for (int i = 0; i < 8; i++) {
        power = crt_crc_times_x(engine, power);
    }
    for (int i = 0; i < 64; i++) {
        engine->power[i] = power;
        power = crt_crc_multiply(engine, power, power);
    }
    init_run_shift(engine);
    engine->gfni_small = fold_by_bytes(engine, CRT_CRC_GFNI_FOLDED(CRT_CRC_GFNI_SMALL) - 512);
    engine->gfni_large = fold_by_bytes(engine, CRT_CRC_GFNI_FOLDED(CRT_CRC_GFNI_LARGE) - 512);
    crt_crc_engine_init_matrices(engine);
}

uint64_t crt_crc_portable(const crt_crc_engine *engine, uint64_t state, const uint8_t *data, size_t len) {
    const uint64_t(*t)[256] = engine->table;
    for (; len >= 8; len -= 8, data += 8) {
        /* Spelled out: a loop costs more than half of the speed. */
        state = t[7][data[0] ^ (uint8_t)state] ^ t[6][data[1] ^ (uint8_t)(state >> 8)] ^
                t[5][data[2] ^ (uint8_t)(state >> 16)] ^ t[4][data[3] ^ (uint8_t)(state >> 24)] ^
                t[3][data[4] ^ (uint8_t)(state >> 32)] ^ t[2][data[5] ^ (uint8_t)(state >> 40)] ^
                t[1][data[6] ^ (uint8_t)(state >> 48)] ^ t[0][data[7] ^ (uint8_t)(state >> 56)];
    }
    /* The last few in the same manner: lookups that do not wait for each other. */
    uint64_t rest = len > 0 ? state >> (8 * len) : state;
    for (size_t i = 0; i < len; i++) {
        rest ^= t[len - 1 - i][data[i] ^ (uint8_t)(state >> (8 * i))];
    }
    return rest;
}
