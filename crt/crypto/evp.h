/*
 * What the kinds of keys share: libcrypto contexts that are set up once per key and purpose and used again.
 *
 * Setting a context up (looking up the algorithm, parsing its parameters) costs a tenth of a signature. One context
 * per purpose stays with its key; a thread that finds it taken makes another one.
 */
#ifndef CRT_CRYPTO_EVP_H
#define CRT_CRYPTO_EVP_H

#include <openssl/evp.h>

#include "crt/base.h"

typedef struct crt_evp_slot {
    EVP_PKEY_CTX *idle;
} crt_evp_slot;

/* The context of the slot, or a new one of `key` on which `setup(ctx, algorithm)` returned true. NULL: failed. */
typedef bool (*crt_evp_setup)(EVP_PKEY_CTX *ctx, int algorithm);
CRT_HIDDEN EVP_PKEY_CTX *crt_evp_take(crt_evp_slot *slot, EVP_PKEY *key, crt_evp_setup setup, int algorithm);
CRT_HIDDEN void crt_evp_give_back(crt_evp_slot *slot, EVP_PKEY_CTX *ctx);
CRT_HIDDEN void crt_evp_slot_free(crt_evp_slot *slot);

/*
 * 0 for what libcrypto calls success, else AWS_ERROR_CAL_CRYPTO_OPERATION_FAILED. Its error queue is emptied: it
 * belongs to the thread, and the TLS code reads it.
 */
CRT_HIDDEN int crt_evp_status(bool ok);

/* A key of numbers; `type` is "RSA", "EC". NULL: refused. */
CRT_HIDDEN EVP_PKEY *crt_evp_from_params(const char *type, int selection, OSSL_PARAM *params);

#endif
