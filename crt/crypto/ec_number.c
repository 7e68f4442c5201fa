/*
 * Signing with a bare private number.
 *
 * Here libcrypto's EC_KEY is used and not EVP: a key for EVP takes 20 us to be made of a number (OpenSSL 3.0; mostly
 * for the curve, which is made anew each time), as long as the signature itself. With a curve that is kept it takes
 * less than one. The functions are deprecated in favour of EVP but run the same assembly.
 */
#define OPENSSL_API_COMPAT 0x10101000L

#include "ec.h"

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>

#include "crt/status.h"

/* Made on first use, and then for ever: by curve. */
static EC_GROUP *groups[2];

static const EC_GROUP *group_of(int curve_id, const crt_ec_params *curve) {
    EC_GROUP *group = __atomic_load_n(&groups[curve_id], __ATOMIC_ACQUIRE);
    if (group != NULL) {
        return group;
    }
    EC_GROUP *made = EC_GROUP_new_by_curve_name(curve->nid), *none = NULL;
    if (made == NULL || __atomic_compare_exchange_n(&groups[curve_id], &none, made, false, __ATOMIC_ACQ_REL,
                                                    __ATOMIC_ACQUIRE)) {
        return made;
    }
    EC_GROUP_free(made); /* another thread was first */
    return none;
}

/* Without a public point, which signing does not need. */
static EC_KEY *key_of(const EC_GROUP *group, crt_bytes number) {
    EC_KEY *key = EC_KEY_new();
    BIGNUM *value = BN_bin2bn(number.ptr, (int)number.len, NULL);
    bool ok = key != NULL && value != NULL && EC_KEY_set_group(key, group) == 1 &&
              EC_KEY_set_private_key(key, value) == 1;
    BN_clear_free(value);
    if (!ok) {
        EC_KEY_free(key);
        return NULL;
    }
    return key;
}

int crt_ec_sign_with(int curve_id, crt_bytes number, crt_bytes digest, uint8_t *out, size_t *out_len) {
    const crt_ec_params *curve = crt_ec_params_of(curve_id);
    *out_len = 0;
    if (curve == NULL) {
        return AWS_ERROR_CAL_UNSUPPORTED_ALGORITHM;
    }
    if (number.len != curve->width || digest.len < curve->width) {
        return AWS_ERROR_INVALID_ARGUMENT;
    }
    if (!crt_ec_is_private_number(curve, number.ptr)) {
        return AWS_ERROR_CAL_CRYPTO_OPERATION_FAILED;
    }
    const EC_GROUP *group = group_of(curve_id, curve);
    EC_KEY *key = group != NULL ? key_of(group, number) : NULL;
    unsigned len = 0;
    bool ok = key != NULL && ECDSA_sign(0, digest.ptr, (int)curve->width, out, &len, key) == 1;
    EC_KEY_free(key);
    *out_len = ok ? len : 0;
    return crt_evp_status(ok);
}
