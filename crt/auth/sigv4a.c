/*
 * The EC key of SigV4A, as its private number. It is derived from the secret by the counter mode of NIST SP 800-108
 * over HMAC-SHA256, with candidates that are no private number of P-256 rejected (FIPS 186-5, appendix A.2.2). That
 * takes a twentieth of the time of the signature, so the number is not kept.
 */
#include "signing.h"

#include "crt/memory.h"

#define LABEL "AWS4-ECDSA-P256-SHA256"
#define LAST_COUNTER 254

/* Order of P-256, less 2. */
static const uint8_t LARGEST[CRT_SHA256_LEN] = {
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x4f,
};

/* Big-endian; takes the same time for all numbers. */
static bool is_candidate(const uint8_t number[CRT_SHA256_LEN]) {
    unsigned borrow = 0;
    for (int i = CRT_SHA256_LEN - 1; i >= 0; i--) {
        borrow = (((unsigned)LARGEST[i] - number[i] - borrow) >> 8) & 1;
    }
    return !borrow;
}

static void add_one(uint8_t number[CRT_SHA256_LEN]) {
    unsigned carry = 1;
    for (int i = CRT_SHA256_LEN - 1; i >= 0; i--) {
        carry += number[i];
        number[i] = (uint8_t)carry;
        carry >>= 8;
    }
}

static int start(const crt_credentials *credentials, crt_hmac *hmac) {
    static const char prefix[] = "AWS4A";
    size_t len = sizeof(prefix) - 1 + credentials->secret_access_key.len;
    uint8_t *key = crt_malloc(len);
    if (!key) {
        return AWS_ERROR_OOM;
    }
    memcpy(key, prefix, sizeof(prefix) - 1);
    memcpy(key + sizeof(prefix) - 1, credentials->secret_access_key.ptr, credentials->secret_access_key.len);
    int code = crt_hmac_init(hmac, crt_bytes_of(key, len));
    crt_wipe(key, len);
    crt_free(key);
    return code;
}

/* HMAC over: index of the block, label, zero, context, length of the result in bits. */
static int candidate(const crt_hmac *keyed, crt_bytes access_key_id, uint8_t counter, uint8_t out[CRT_SHA256_LEN]) {
    static const uint8_t first_block[] = {0, 0, 0, 1};
    static const uint8_t length[] = {0, 0, 1, 0};
    const crt_bytes parts[] = {
        crt_bytes_of(first_block, sizeof(first_block)),
        crt_bytes_of(LABEL, sizeof(LABEL)), /* with its terminator: the zero behind the label */
        access_key_id,
        crt_bytes_of(&counter, 1),
        crt_bytes_of(length, sizeof(length)),
    };
    crt_hmac hmac = *keyed;
    int code = 0;
    for (size_t i = 0; !code && i < sizeof(parts) / sizeof(parts[0]); i++) {
        code = crt_hmac_update(&hmac, parts[i]);
    }
    if (!code) {
        code = crt_hmac_digest(&hmac, out);
    }
    crt_hmac_wipe(&hmac);
    return code;
}

bool crt_sigv4a_private_number(uint8_t number[CRT_SHA256_LEN]) {
    if (!is_candidate(number)) {
        return false;
    }
    add_one(number);
    return true;
}

int crt_sigv4a_derive(const crt_credentials *credentials, uint8_t number[CRT_SHA256_LEN]) {
    crt_hmac keyed;
    bool found = false;
    int code = start(credentials, &keyed);
    for (unsigned counter = 1; !code && !found && counter <= LAST_COUNTER; counter++) {
        code = candidate(&keyed, credentials->access_key_id, (uint8_t)counter, number);
        found = !code && crt_sigv4a_private_number(number);
    }
    crt_hmac_wipe(&keyed);
    if (!code && !found) {
        code = AWS_AUTH_SIGNING_INVALID_CREDENTIALS; /* happens to one secret in 2 to the power of 8128 */
    }
    return code;
}
