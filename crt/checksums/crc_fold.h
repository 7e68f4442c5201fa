/*
 * Folding with carry-less multiplication on 128-bit blocks (Gopal et al., "Fast CRC Computation for Generic
 * Polynomials Using PCLMULQDQ Instruction"), written once for every instruction set that has it.
 *
 * A 16-byte block stands for H*x^64 + L (H: first 8 bytes). Moving it `distance` bits along the message gives
 * H * (x^(distance+64) mod P) + L * (x^distance mod P), which again fits one block and is added to the block
 * found there. Several blocks are carried side by side because each multiplication waits for the one before.
 *
 * The including file defines `block` and, all marked FOLD_INLINE: block_load, block_of(first, second), block_xor,
 * block_multiply_first/_second (of the first/second words of both), block_multiply_cross (first of the one, second of
 * the other), block_first, block_second, block_drop_first (second word moved to the first, second 0).
 */

FOLD_INLINE block fold_constants(crt_crc_fold fold) {
    return block_of(fold.first, fold.second);
}

FOLD_INLINE block fold_into(block moved, block constants, block target) {
    block first = block_multiply_first(moved, constants);
    block second = block_multiply_second(moved, constants);
    return block_xor(block_xor(first, second), target);
}

/*
 * The register after one last block V = H*x^64 + L, that is V * x^64 mod Q:
 *   T = H * (x^128 mod Q) + L * x^64          (fold the first half away; T = A*x^64 + B)
 *   quotient = floor(A * floor(x^128 / Q) / x^64),  result = B + the low 64 coefficients of quotient * Q
 * The constants lack their constant term, which is added by hand below when Q has one, so that they fit
 * 64 bits; the missing factor x is the one that a product of reflected words brings.
 */
FOLD_INLINE uint64_t fold_reduce(const crt_crc_engine *engine, block last) {
    block constants = block_of(engine->barrett_quotient, engine->barrett_poly);
    block t = block_xor(block_multiply_first(last, block_of(engine->fold_128.second, 0)), block_drop_first(last));
    block quotient = block_multiply_first(t, constants);
    uint64_t result = block_second(block_xor(t, block_multiply_cross(quotient, constants)));
    if (engine->poly >> 63) {
        result ^= block_first(quotient);
    }
    return result;
}

/* Folds whole blocks into `carried`, reduces, and finishes the last bytes from the table. */
FOLD_INLINE uint64_t fold_finish(const crt_crc_engine *engine, block carried, const uint8_t *data, size_t len) {
    const block by_128 = fold_constants(engine->fold_128);
    for (; len >= 16; len -= 16, data += 16) {
        carried = fold_into(carried, by_128, block_load(data));
    }
    uint64_t state = fold_reduce(engine, carried);
    return len == 0 ? state : crt_crc_portable(engine, state, data, len);
}

/* The kernel with four blocks side by side. */
FOLD_INLINE uint64_t fold_message(const crt_crc_engine *engine, uint64_t state, const uint8_t *data, size_t len) {
    if (len < 16) {
        return crt_crc_portable(engine, state, data, len);
    }
    /* The register so far acts as if it were added to the first bytes of the data. */
    block a = block_xor(block_load(data), block_of(state, 0));
    if (len < 64) {
        return fold_finish(engine, a, data + 16, len - 16);
    }
    block b = block_load(data + 16), c = block_load(data + 32), d = block_load(data + 48);
    const block by_512 = fold_constants(engine->fold_512);
    for (data += 64, len -= 64; len >= 64; len -= 64, data += 64) {
        a = fold_into(a, by_512, block_load(data));
        b = fold_into(b, by_512, block_load(data + 16));
        c = fold_into(c, by_512, block_load(data + 32));
        d = fold_into(d, by_512, block_load(data + 48));
    }
    /* Three independent multiplications instead of a chain: short messages notice. */
    d = fold_into(a, fold_constants(engine->fold_384), d);
    d = fold_into(b, fold_constants(engine->fold_256), d);
    d = fold_into(c, fold_constants(engine->fold_128), d);
    return fold_finish(engine, d, data, len);
}
