#ifndef CRT_CRYPTO_RSA_KEY_H
#define CRT_CRYPTO_RSA_KEY_H

#include "crt/keys.h"
#include "evp.h"

struct crt_rsa {
    EVP_PKEY *pkey;
    size_t size; /* bytes of the modulus */
    bool is_private;
    crt_evp_slot encrypt[CRT_RSA_OAEP_SHA512 + 1], decrypt[CRT_RSA_OAEP_SHA512 + 1]; /* by crt_rsa_encryption */
    crt_evp_slot sign[CRT_RSA_PSS_SHA256 + 1], verify[CRT_RSA_PSS_SHA256 + 1];       /* by crt_rsa_signature */
};

#endif
