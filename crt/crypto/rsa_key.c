/*
 * RSA keys from DER and PEM.
 *
 * The structure is read here and the numbers are checked before libcrypto gets them: its own check of a private key
 * tests the factors for primality, which takes longer than all that such a key is loaded for.
 */
#include "rsa_key.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>

#include "crt/memory.h"
#include "crt/status.h"
#include "der.h"
#include "crt/pem.h"

/* In the order of RSAPrivateKey; RSAPublicKey is the first two. */
enum number { N, E, D, P, Q, DP, DQ, QI, NUMBERS };
enum { PUBLIC_NUMBERS = E + 1 };

static const char *const number_names[NUMBERS] = {
    OSSL_PKEY_PARAM_RSA_N,         OSSL_PKEY_PARAM_RSA_E,         OSSL_PKEY_PARAM_RSA_D,
    OSSL_PKEY_PARAM_RSA_FACTOR1,   OSSL_PKEY_PARAM_RSA_FACTOR2,   OSSL_PKEY_PARAM_RSA_EXPONENT1,
    OSSL_PKEY_PARAM_RSA_EXPONENT2, OSSL_PKEY_PARAM_RSA_COEFFICIENT1,
};

/* libcrypto refuses larger ones at every operation; a longer exponent makes verification arbitrarily slow. */
enum { MODULUS_BITS_MAX = 16384, EXPONENT_BITS_MAX = 64 };

static bool is_public_key(const BIGNUM *n, const BIGNUM *e) {
    return BN_is_odd(n) && BN_num_bits(n) <= MODULUS_BITS_MAX && BN_is_odd(e) && !BN_is_one(e) &&
           BN_num_bits(e) <= EXPONENT_BITS_MAX && BN_cmp(e, n) < 0;
}

/* One half of the Chinese remainder form: exponent == d mod (prime - 1), and it inverts e there. */
static bool exponent_fits(BIGNUM *const key[], const BIGNUM *prime, const BIGNUM *exponent, BN_CTX *ctx) {
    BN_CTX_start(ctx);
    BIGNUM *order = BN_CTX_get(ctx), *t = BN_CTX_get(ctx);
    bool ok = t != NULL && BN_sub(order, prime, BN_value_one()) && BN_mod(t, key[D], order, ctx) &&
              BN_cmp(t, exponent) == 0 && BN_mod_mul(t, t, key[E], order, ctx) && BN_is_one(t);
    BN_CTX_end(ctx);
    return ok;
}

/*
 * n = p q, and the rest follows from d (RFC 8017 section 3.2). With a key that is wrong here, a signature can give
 * the factors away.
 */
static bool is_private_key(BIGNUM *const key[], BN_CTX *ctx) {
    if (BN_cmp(key[D], key[N]) >= 0 || BN_cmp(key[P], key[N]) >= 0 || BN_cmp(key[Q], key[N]) >= 0) {
        return false;
    }
    BN_CTX_start(ctx);
    BIGNUM *t = BN_CTX_get(ctx);
    bool ok = t != NULL && BN_mul(t, key[P], key[Q], ctx) && BN_cmp(t, key[N]) == 0 &&
              exponent_fits(key, key[P], key[DP], ctx) && exponent_fits(key, key[Q], key[DQ], ctx) &&
              BN_mod_mul(t, key[Q], key[QI], key[P], ctx) && BN_is_one(t);
    BN_CTX_end(ctx);
    return ok;
}

static bool read_numbers(crt_bytes der, int count, BIGNUM *numbers[]) {
    crt_bytes fields, value;
    if (!crt_der_take(&der, CRT_DER_SEQUENCE, &fields) ||
        (count == NUMBERS && !crt_der_take_version(&fields, 0))) { /* 1 has more than two primes */
        return false;
    }
    for (int i = 0; i < count; i++) {
        if (!crt_der_take_unsigned(&fields, &value) || value.len > MODULUS_BITS_MAX / 8) {
            return false;
        }
        numbers[i] = BN_bin2bn(value.ptr, (int)value.len, NULL);
        if (numbers[i] == NULL) {
            return false;
        }
    }
    return fields.len == 0;
}

static EVP_PKEY *pkey_of(BIGNUM *const numbers[], int count) {
    uint8_t bytes[NUMBERS][MODULUS_BITS_MAX / 8];
    OSSL_PARAM params[NUMBERS + 1];
    for (int i = 0; i < count; i++) {
        int len = BN_num_bytes(numbers[i]);
        BN_bn2nativepad(numbers[i], bytes[i], len);
        params[i] = OSSL_PARAM_construct_BN(number_names[i], bytes[i], (size_t)len);
    }
    params[count] = OSSL_PARAM_construct_end();
    EVP_PKEY *pkey =
        crt_evp_from_params("RSA", count == NUMBERS ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY, params);
    OPENSSL_cleanse(bytes, sizeof(bytes));
    return pkey;
}

static EVP_PKEY *read_pkey(crt_bytes der, int count) {
    BIGNUM *numbers[NUMBERS] = {NULL};
    BN_CTX *ctx = BN_CTX_new();
    EVP_PKEY *pkey = NULL;
    if (ctx != NULL && read_numbers(der, count, numbers) && is_public_key(numbers[N], numbers[E]) &&
        (count == PUBLIC_NUMBERS || is_private_key(numbers, ctx))) {
        pkey = pkey_of(numbers, count);
    }
    for (int i = 0; i < NUMBERS; i++) {
        BN_clear_free(numbers[i]);
    }
    BN_CTX_free(ctx);
    return pkey;
}

static int new_key(crt_bytes der, int count, crt_rsa **out) {
    *out = NULL;
    EVP_PKEY *pkey = read_pkey(der, count);
    if (pkey == NULL) {
        return crt_evp_status(false);
    }
    crt_rsa *key = crt_calloc(1, sizeof(*key));
    if (key == NULL) {
        EVP_PKEY_free(pkey);
        return AWS_ERROR_OOM;
    }
    key->pkey = pkey;
    key->size = (size_t)EVP_PKEY_get_size(pkey);
    key->is_private = count == NUMBERS;
    *out = key;
    return 0;
}

int crt_rsa_new_private_der(crt_bytes der, crt_rsa **out) {
    return new_key(der, NUMBERS, out);
}

int crt_rsa_new_public_der(crt_bytes der, crt_rsa **out) {
    return new_key(der, PUBLIC_NUMBERS, out);
}

static void free_slots(crt_evp_slot *slots, size_t count) {
    for (size_t i = 0; i < count; i++) {
        crt_evp_slot_free(&slots[i]);
    }
}

void crt_rsa_free(crt_rsa *key) {
    if (key == NULL) {
        return;
    }
    free_slots(key->encrypt, CRT_RSA_OAEP_SHA512 + 1);
    free_slots(key->decrypt, CRT_RSA_OAEP_SHA512 + 1);
    free_slots(key->sign, CRT_RSA_PSS_SHA256 + 1);
    free_slots(key->verify, CRT_RSA_PSS_SHA256 + 1);
    EVP_PKEY_free(key->pkey);
    crt_free(key);
}

size_t crt_rsa_size(const crt_rsa *key) {
    return key->size;
}

/* ---- PEM ---- */

static int new_pkcs8(crt_bytes der, crt_rsa **out) {
    /* rsaEncryption, 1.2.840.113549.1.1.1 */
    static const uint8_t rsa_encryption[] = {0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01};
    crt_bytes algorithm, identifier, key;
    int status = crt_der_pkcs8(der, &algorithm, &key);
    if (status != 0) {
        return status;
    }
    if (!crt_der_take(&algorithm, CRT_DER_OBJECT_IDENTIFIER, &identifier) ||
        !crt_bytes_eq(identifier, crt_bytes_of(rsa_encryption, sizeof(rsa_encryption)))) {
        return AWS_ERROR_CAL_UNSUPPORTED_KEY_FORMAT;
    }
    return crt_rsa_new_private_der(key, out);
}

typedef struct pem_kind {
    const char *label;
    int (*read)(crt_bytes der, crt_rsa **out);
} pem_kind;

/* The first block of one of the kinds. */
static int new_from_pem(crt_bytes pem, const pem_kind *kinds, size_t kind_count, crt_rsa **out) {
    crt_pem_block block;
    crt_fault fault;
    bool any = false;

    *out = NULL;
    for (;;) {
        int status = crt_pem_next(&pem, "key", &block, &fault);
        if (status != 0) {
            return status == AWS_ERROR_OOM ? status : AWS_ERROR_PEM_MALFORMED;
        }
        if (block.text.len == 0) {
            return any ? AWS_ERROR_INVALID_ARGUMENT : AWS_ERROR_PEM_MALFORMED;
        }
        any = true;
        for (size_t i = 0; i < kind_count; i++) {
            if (!block.encrypted && strcmp(block.label, kinds[i].label) == 0) {
                status = kinds[i].read(crt_bytes_of(block.der, block.len), out);
                crt_pem_free(&block);
                return status;
            }
        }
        crt_pem_free(&block);
    }
}

int crt_rsa_new_private_pem(crt_bytes pem, crt_rsa **out) {
    static const pem_kind kinds[] = {{"RSA PRIVATE KEY", crt_rsa_new_private_der}, {"PRIVATE KEY", new_pkcs8}};
    return new_from_pem(pem, kinds, 2, out);
}

int crt_rsa_new_public_pem(crt_bytes pem, crt_rsa **out) {
    static const pem_kind kinds[] = {{"RSA PUBLIC KEY", crt_rsa_new_public_der}};
    return new_from_pem(pem, kinds, 1, out);
}
