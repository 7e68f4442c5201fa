#include "evp.h"

#include <openssl/err.h>

#include "crt/status.h"

int crt_evp_status(bool ok) {
    if (ok) {
        return 0;
    }
    ERR_clear_error();
    return AWS_ERROR_CAL_CRYPTO_OPERATION_FAILED;
}

EVP_PKEY_CTX *crt_evp_take(crt_evp_slot *slot, EVP_PKEY *key, crt_evp_setup setup, int algorithm) {
    EVP_PKEY_CTX *ctx = __atomic_exchange_n(&slot->idle, NULL, __ATOMIC_ACQUIRE);
    if (ctx != NULL) {
        return ctx;
    }
    ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    if (ctx == NULL || !setup(ctx, algorithm)) {
        EVP_PKEY_CTX_free(ctx);
        return NULL;
    }
    return ctx;
}

void crt_evp_give_back(crt_evp_slot *slot, EVP_PKEY_CTX *ctx) {
    EVP_PKEY_CTX_free(__atomic_exchange_n(&slot->idle, ctx, __ATOMIC_ACQ_REL));
}

void crt_evp_slot_free(crt_evp_slot *slot) {
    EVP_PKEY_CTX_free(slot->idle);
    slot->idle = NULL;
}

EVP_PKEY *crt_evp_from_params(const char *type, int selection, OSSL_PARAM *params) {
    EVP_PKEY *key = NULL;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    bool ok = ctx != NULL && EVP_PKEY_fromdata_init(ctx) == 1 &&
              EVP_PKEY_fromdata(ctx, &key, selection, params) == 1;
    EVP_PKEY_CTX_free(ctx);
    return ok ? key : NULL;
}
