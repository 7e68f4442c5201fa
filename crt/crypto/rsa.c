/*
 * RSA: encryption and signatures with the paddings of RFC 8017.
 */
#include "crt/keys.h"
#include "crt/memory.h"
#include "crt/status.h"
#include "evp.h"
#include "rsa_key.h"

#include <openssl/core_names.h>
#include <openssl/params.h>
#include <openssl/rsa.h>

enum { SHA1_LEN = 20, SHA256_LEN = 32, SHA512_LEN = 64 };

/* ---- encryption ---- */

/* What the padding takes of the modulus' length (RFC 8017 sections 7.1.1 and 7.2.1); 0: unknown algorithm. */
static size_t padding_len(int algorithm) {
    switch (algorithm) {
    case CRT_RSA_PKCS1_5:
        return 11;
    case CRT_RSA_OAEP_SHA256:
        return 2 * SHA256_LEN + 2;
    case CRT_RSA_OAEP_SHA512:
        return 2 * SHA512_LEN + 2;
    default:
        return 0;
    }
}

static bool set_oaep(EVP_PKEY_CTX *ctx, const EVP_MD *hash) {
    return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_OAEP_PADDING) == 1 &&
           EVP_PKEY_CTX_set_rsa_oaep_md(ctx, hash) == 1 && EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, hash) == 1;
}

/*
 * OpenSSL >= 3.2 answers wrong padding with random bytes unless told otherwise. Callers of this function are told of
 * the failure; that they must not pass it on to whoever sent the ciphertext is said in the documentation. Older
 * versions do not know the parameter and pass it over.
 */
static bool set_pkcs1_5(EVP_PKEY_CTX *ctx) {
    char name[] = "implicit-rejection";
    unsigned off = 0;
    const OSSL_PARAM params[] = {OSSL_PARAM_construct_uint(name, &off), OSSL_PARAM_construct_end()};
    return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) == 1 && EVP_PKEY_CTX_set_params(ctx, params) == 1;
}

static bool set_encryption(EVP_PKEY_CTX *ctx, int algorithm) {
    switch (algorithm) {
    case CRT_RSA_PKCS1_5:
        return set_pkcs1_5(ctx);
    case CRT_RSA_OAEP_SHA256:
        return set_oaep(ctx, EVP_sha256());
    default:
        return set_oaep(ctx, EVP_sha512());
    }
}

static bool set_up_encrypt(EVP_PKEY_CTX *ctx, int algorithm) {
    return EVP_PKEY_encrypt_init(ctx) == 1 && set_encryption(ctx, algorithm);
}

static bool set_up_decrypt(EVP_PKEY_CTX *ctx, int algorithm) {
    return EVP_PKEY_decrypt_init(ctx) == 1 && set_encryption(ctx, algorithm);
}

int crt_rsa_encrypt(crt_rsa *key, int algorithm, crt_bytes plaintext, uint8_t *out) {
    size_t padding = padding_len(algorithm), len = key->size;
    size_t longest = padding != 0 && key->size > padding ? key->size - padding : 0;
    if (plaintext.len > longest) {
        return AWS_ERROR_CAL_BUFFER_TOO_LARGE_FOR_ALGORITHM;
    }
    if (padding == 0) {
        return AWS_ERROR_CAL_UNSUPPORTED_ALGORITHM;
    }
    crt_evp_slot *slot = &key->encrypt[algorithm];
    EVP_PKEY_CTX *ctx = crt_evp_take(slot, key->pkey, set_up_encrypt, algorithm);
    if (ctx == NULL) {
        return crt_evp_status(false);
    }
    bool ok = EVP_PKEY_encrypt(ctx, out, &len, plaintext.len ? plaintext.ptr : out, plaintext.len) == 1;
    crt_evp_give_back(slot, ctx);
    return crt_evp_status(ok && len == key->size);
}

int crt_rsa_decrypt(crt_rsa *key, int algorithm, crt_bytes ciphertext, uint8_t *out, size_t *out_len) {
    *out_len = 0;
    if (padding_len(algorithm) == 0) {
        return AWS_ERROR_CAL_UNSUPPORTED_ALGORITHM;
    }
    if (ciphertext.len != key->size) {
        return AWS_ERROR_INVALID_ARGUMENT;
    }
    crt_evp_slot *slot = &key->decrypt[algorithm];
    EVP_PKEY_CTX *ctx = key->is_private ? crt_evp_take(slot, key->pkey, set_up_decrypt, algorithm) : NULL;
    if (ctx == NULL) {
        return crt_evp_status(false);
    }
    size_t len = key->size;
    bool ok = EVP_PKEY_decrypt(ctx, out, &len, ciphertext.ptr, ciphertext.len) == 1;
    crt_evp_give_back(slot, ctx);
    *out_len = ok ? len : 0;
    return crt_evp_status(ok);
}

/* ---- signatures ---- */

/* 0: unknown algorithm. */
static size_t digest_len(int algorithm) {
    switch (algorithm) {
    case CRT_RSA_PKCS1_5_SHA256:
    case CRT_RSA_PSS_SHA256:
        return SHA256_LEN;
    case CRT_RSA_PKCS1_5_SHA1:
        return SHA1_LEN;
    default:
        return 0;
    }
}

static bool set_signature(EVP_PKEY_CTX *ctx, int algorithm) {
    if (algorithm == CRT_RSA_PSS_SHA256) {
        return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) == 1 &&
               EVP_PKEY_CTX_set_signature_md(ctx, EVP_sha256()) == 1 &&
               EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, EVP_sha256()) == 1 &&
               EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) == 1;
    }
    const EVP_MD *hash = algorithm == CRT_RSA_PKCS1_5_SHA1 ? EVP_sha1() : EVP_sha256();
    return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) == 1 && EVP_PKEY_CTX_set_signature_md(ctx, hash) == 1;
}

static bool set_up_sign(EVP_PKEY_CTX *ctx, int algorithm) {
    return EVP_PKEY_sign_init(ctx) == 1 && set_signature(ctx, algorithm);
}

static bool set_up_verify(EVP_PKEY_CTX *ctx, int algorithm) {
    return EVP_PKEY_verify_init(ctx) == 1 && set_signature(ctx, algorithm);
}

int crt_rsa_sign(crt_rsa *key, int algorithm, crt_bytes digest, uint8_t *out) {
    size_t expected = digest_len(algorithm), len = key->size;
    if (expected == 0) {
        return AWS_ERROR_CAL_UNSUPPORTED_ALGORITHM;
    }
    if (digest.len != expected) {
        return digest.len > SHA256_LEN ? AWS_ERROR_INVALID_ARGUMENT : AWS_ERROR_CAL_CRYPTO_OPERATION_FAILED;
    }
    crt_evp_slot *slot = &key->sign[algorithm];
    EVP_PKEY_CTX *ctx = key->is_private ? crt_evp_take(slot, key->pkey, set_up_sign, algorithm) : NULL;
    if (ctx == NULL) {
        return crt_evp_status(false);
    }
    bool ok = EVP_PKEY_sign(ctx, out, &len, digest.ptr, digest.len) == 1;
    crt_evp_give_back(slot, ctx);
    return crt_evp_status(ok && len == key->size);
}

int crt_rsa_verify(crt_rsa *key, int algorithm, crt_bytes digest, crt_bytes signature, bool *valid) {
    size_t expected = digest_len(algorithm);
    *valid = false;
    if (expected == 0) {
        return AWS_ERROR_CAL_UNSUPPORTED_ALGORITHM;
    }
    if (digest.len != expected || signature.len != key->size) {
        return 0;
    }
    crt_evp_slot *slot = &key->verify[algorithm];
    EVP_PKEY_CTX *ctx = crt_evp_take(slot, key->pkey, set_up_verify, algorithm);
    if (ctx == NULL) {
        return crt_evp_status(false);
    }
    *valid = EVP_PKEY_verify(ctx, signature.ptr, signature.len, digest.ptr, digest.len) == 1;
    crt_evp_give_back(slot, ctx);
    (void)crt_evp_status(*valid); /* a mismatch is an answer, but it fills the error queue */
    return 0;
}
