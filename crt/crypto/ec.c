/*
 * ECDSA on P-256 and P-384.
 */
#include "ec.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>

#include "crt/memory.h"
#include "crt/status.h"

struct crt_ec {
    const crt_ec_params *curve;
    EVP_PKEY *pkey;
    bool is_private;
    uint8_t private_number[CRT_EC_COORDINATE_MAX];
    uint8_t point[CRT_EC_POINT_MAX]; /* 04, x, y */
    crt_evp_slot sign, verify;
};

static size_t point_len(const crt_ec_params *curve) {
    return 1 + 2 * curve->width;
}

static crt_ec_numbers numbers_of(const crt_ec *key) {
    return (crt_ec_numbers){
        .curve = key->curve,
        .private_number = crt_bytes_of(key->private_number, key->is_private ? key->curve->width : 0),
        .point = crt_bytes_of(key->point, point_len(key->curve)),
    };
}

static int new_key(const crt_ec_params *curve, crt_ec **out) {
    *out = crt_calloc(1, sizeof(**out));
    if (*out == NULL) {
        return AWS_ERROR_OOM;
    }
    (*out)->curve = curve;
    return 0;
}

void crt_ec_free(crt_ec *key) {
    if (key == NULL) {
        return;
    }
    crt_evp_slot_free(&key->sign);
    crt_evp_slot_free(&key->verify);
    EVP_PKEY_free(key->pkey);
    OPENSSL_cleanse(key, sizeof(*key));
    crt_free(key);
}

/* ---- generation ---- */

static bool read_generated(crt_ec *key) {
    BIGNUM *number = NULL;
    size_t len = 0, width = key->curve->width;
    bool ok = EVP_PKEY_get_octet_string_param(key->pkey, OSSL_PKEY_PARAM_PUB_KEY, key->point, sizeof(key->point),
                                              &len) == 1 &&
              len == point_len(key->curve) && key->point[0] == 0x04 &&
              EVP_PKEY_get_bn_param(key->pkey, OSSL_PKEY_PARAM_PRIV_KEY, &number) == 1 &&
              BN_bn2binpad(number, key->private_number, (int)width) == (int)width;
    BN_clear_free(number);
    return ok;
}

int crt_ec_generate(int curve_id, crt_ec **out) {
    const crt_ec_params *curve = crt_ec_params_of(curve_id);
    *out = NULL;
    if (curve == NULL) {
        return AWS_ERROR_CAL_UNSUPPORTED_ALGORITHM;
    }
    crt_ec *key;
    int status = new_key(curve, &key);
    if (status != 0) {
        return status;
    }
    key->is_private = true;
    key->pkey = EVP_PKEY_Q_keygen(NULL, NULL, "EC", curve->group);
    if (key->pkey == NULL || !read_generated(key)) {
        crt_ec_free(key);
        return crt_evp_status(false);
    }
    *out = key;
    return 0;
}

/* ---- import ---- */

bool crt_ec_is_private_number(const crt_ec_params *curve, const uint8_t *number) {
    static const uint8_t zero[CRT_EC_COORDINATE_MAX];
    return memcmp(number, zero, curve->width) != 0 && memcmp(number, curve->order, curve->width) < 0;
}

static bool compute_point(const crt_ec *key, uint8_t *out) {
    size_t len = point_len(key->curve);
    EC_GROUP *group = EC_GROUP_new_by_curve_name(key->curve->nid);
    EC_POINT *point = group != NULL ? EC_POINT_new(group) : NULL;
    BIGNUM *number = BN_bin2bn(key->private_number, (int)key->curve->width, NULL);
    bool ok = point != NULL && number != NULL;
    if (ok) {
        BN_set_flags(number, BN_FLG_CONSTTIME);
        ok = EC_POINT_mul(group, point, number, NULL, NULL, NULL) == 1 &&
             EC_POINT_point2oct(group, point, POINT_CONVERSION_UNCOMPRESSED, out, len, NULL) == len;
    }
    BN_clear_free(number);
    EC_POINT_free(point);
    EC_GROUP_free(group);
    return ok;
}

/* The public point follows from the private number: one that is given as well must be the same. */
static bool take_numbers(crt_ec *key, const crt_ec_numbers *numbers) {
    if (!key->is_private) {
        memcpy(key->point, numbers->point.ptr, numbers->point.len);
        return true;
    }
    memcpy(key->private_number, numbers->private_number.ptr, numbers->private_number.len);
    return crt_ec_is_private_number(key->curve, key->private_number) && compute_point(key, key->point) &&
           (numbers->point.len == 0 || memcmp(numbers->point.ptr, key->point, numbers->point.len) == 0);
}

/* Refused by libcrypto when the point is not on the curve. */
static EVP_PKEY *pkey_of(const crt_ec *key) {
    uint8_t number[CRT_EC_COORDINATE_MAX];
    size_t width = key->curve->width;
    OSSL_PARAM params[4], *at = params;
    *at++ = OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, (char *)(uintptr_t)key->curve->group, 0);
    *at++ = OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, (void *)(uintptr_t)key->point,
                                              point_len(key->curve));
    if (key->is_private) {
        BIGNUM *value = BN_bin2bn(key->private_number, (int)width, NULL);
        if (value == NULL) {
            return NULL;
        }
        BN_bn2nativepad(value, number, (int)width);
        BN_clear_free(value);
        *at++ = OSSL_PARAM_construct_BN(OSSL_PKEY_PARAM_PRIV_KEY, number, width);
    }
    *at = OSSL_PARAM_construct_end();
    EVP_PKEY *pkey = crt_evp_from_params("EC", key->is_private ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY, params);
    OPENSSL_cleanse(number, sizeof(number));
    return pkey;
}

static int new_of_numbers(const crt_ec_numbers *numbers, crt_ec **out) {
    crt_ec *key;
    int status = new_key(numbers->curve, &key);
    if (status != 0) {
        return status;
    }
    key->is_private = numbers->private_number.len > 0;
    key->pkey = take_numbers(key, numbers) ? pkey_of(key) : NULL;
    if (key->pkey == NULL) {
        crt_ec_free(key);
        return crt_evp_status(false);
    }
    *out = key;
    return 0;
}

int crt_ec_new_der(crt_bytes der, crt_ec **out) {
    crt_ec_numbers numbers;
    *out = NULL;
    int status = crt_ec_numbers_decode(der, &numbers);
    return status != 0 ? status : new_of_numbers(&numbers, out);
}

int crt_ec_new_private_number(int curve, crt_bytes number, crt_ec **out) {
    crt_ec_numbers numbers = {.curve = crt_ec_params_of(curve), .private_number = number};
    *out = NULL;
    if (numbers.curve == NULL) {
        return AWS_ERROR_CAL_UNSUPPORTED_ALGORITHM;
    }
    return number.len != numbers.curve->width ? AWS_ERROR_INVALID_ARGUMENT : new_of_numbers(&numbers, out);
}

/* ---- export ---- */

int crt_ec_export(const crt_ec *key, int format, uint8_t *out, size_t *out_len) {
    crt_ec_numbers numbers = numbers_of(key);
    return crt_ec_numbers_encode(&numbers, format, out, out_len);
}

void crt_ec_public_coordinates(const crt_ec *key, crt_bytes *x, crt_bytes *y) {
    size_t width = key->curve->width;
    *x = crt_bytes_of(key->point + 1, width);
    *y = crt_bytes_of(key->point + 1 + width, width);
}

/* ---- signatures ---- */

static bool set_up_sign(EVP_PKEY_CTX *ctx, int algorithm) {
    return EVP_PKEY_sign_init(ctx) == 1;
}

static bool set_up_verify(EVP_PKEY_CTX *ctx, int algorithm) {
    return EVP_PKEY_verify_init(ctx) == 1;
}

/* libcrypto wants an address also for no bytes. */
static const uint8_t *address_of(crt_bytes data) {
    static const uint8_t nothing[1];
    return data.len > 0 ? data.ptr : nothing;
}

/* ECDSA takes the leftmost bits as many as the order has (FIPS 186-5 section 6.4.1): no use in handing on more. */
static size_t used_len(const crt_ec *key, crt_bytes digest) {
    return digest.len < key->curve->width ? digest.len : key->curve->width;
}

int crt_ec_sign(crt_ec *key, crt_bytes digest, uint8_t *out, size_t *out_len) {
    *out_len = 0;
    if (!key->is_private) {
        return AWS_ERROR_INVALID_ARGUMENT;
    }
    EVP_PKEY_CTX *ctx = crt_evp_take(&key->sign, key->pkey, set_up_sign, 0);
    if (ctx == NULL) {
        return crt_evp_status(false);
    }
    size_t len = CRT_EC_SIGNATURE_MAX;
    bool ok = EVP_PKEY_sign(ctx, out, &len, address_of(digest), used_len(key, digest)) == 1;
    crt_evp_give_back(&key->sign, ctx);
    *out_len = ok ? len : 0;
    return crt_evp_status(ok);
}

int crt_ec_verify(crt_ec *key, crt_bytes digest, crt_bytes signature, bool *valid) {
    *valid = false;
    EVP_PKEY_CTX *ctx = crt_evp_take(&key->verify, key->pkey, set_up_verify, 0);
    if (ctx == NULL) {
        return crt_evp_status(false);
    }
    *valid = signature.len <= CRT_EC_SIGNATURE_MAX &&
             EVP_PKEY_verify(ctx, address_of(signature), signature.len, address_of(digest),
                             used_len(key, digest)) == 1;
    crt_evp_give_back(&key->verify, ctx);
    (void)crt_evp_status(*valid); /* a mismatch is an answer, but it fills the error queue */
    return 0;
}
