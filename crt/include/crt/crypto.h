/*
 * Hashes and HMAC on libcrypto; random bytes; base64 and hexadecimal text. Keys are in crt/keys.h.
 */
#ifndef CRT_CRYPTO_H
#define CRT_CRYPTO_H

#include "crt/base.h"

CRT_EXTERN_C_BEGIN

enum crt_hash_kind { CRT_HASH_MD5, CRT_HASH_SHA1, CRT_HASH_SHA256, CRT_HASH_SHA512 };
#define CRT_HASH_MAX 64

/* 16, 20, 32, 64 */
CRT_FN(size_t, crt_hash_size, (enum crt_hash_kind kind));

/* Lives where the caller has room for it (crt_hash_init) or in memory of its own (crt_hash_new, crt_hash_free). */
typedef struct crt_hash {
    enum crt_hash_kind kind;
    bool finished;
    uint64_t state[27]; /* libcrypto's */
} crt_hash;
CRT_FN(int, crt_hash_init, (crt_hash *hash, enum crt_hash_kind kind));
CRT_FN(int, crt_hash_new, (enum crt_hash_kind kind, crt_hash **out));
CRT_FN(int, crt_hash_update, (crt_hash *hash, crt_bytes data));
/* Ends the computation; later calls return AWS_ERROR_INVALID_STATE. */
CRT_FN(int, crt_hash_digest, (crt_hash *hash, uint8_t *out));
CRT_FN(void, crt_hash_free, (crt_hash *hash));

/* HMAC-SHA256 piece by piece; the same rules. Holds key material: crt_hmac_wipe, or crt_hmac_free which does it. */
typedef struct crt_hmac {
    bool finished;
    uint64_t state[28];
} crt_hmac;
CRT_FN(int, crt_hmac_init, (crt_hmac *hmac, crt_bytes key));
CRT_FN(void, crt_hmac_wipe, (crt_hmac *hmac));
CRT_FN(int, crt_hmac_new, (crt_bytes key, crt_hmac **out));
CRT_FN(int, crt_hmac_update, (crt_hmac *hmac, crt_bytes data));
CRT_FN(int, crt_hmac_digest, (crt_hmac *hmac, uint8_t out[32]));
CRT_FN(void, crt_hmac_free, (crt_hmac *hmac));

/* One call, no allocation of ours. */
CRT_FN(int, crt_hash_of, (enum crt_hash_kind kind, crt_bytes data, uint8_t *out));
CRT_FN(int, crt_sha256, (crt_bytes data, uint8_t out[32]));
CRT_FN(int, crt_hmac_sha256, (crt_bytes key, crt_bytes data, uint8_t out[32]));
/* Cryptographically strong random bytes. */
CRT_FN(int, crt_random, (void *out, size_t len));

CRT_FN(size_t, crt_base64_encoded_len, (size_t len)); /* without terminator */
CRT_FN(void, crt_base64_encode, (crt_bytes data, char *out));
/* 0 or AWS_ERROR_INVALID_BASE64_STR; *out_len is set to the decoded length (<= 3/4 of len). */
CRT_FN(int, crt_base64_decode, (crt_bytes text, uint8_t *out, size_t *out_len));
CRT_FN(void, crt_hex_encode, (crt_bytes data, char *out)); /* lower case, 2 * len, no terminator */

CRT_EXTERN_C_END
#endif
