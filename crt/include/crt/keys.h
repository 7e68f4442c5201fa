/*
 * RSA, EC and Ed25519 keys on libcrypto.
 *
 * A key does not change once it is made: all functions may be called with the same key on several threads at once,
 * and in a child after fork(). Private parts are wiped when the key is freed. Functions return 0 or an error code;
 * AWS_ERROR_CAL_CRYPTO_OPERATION_FAILED is what libcrypto refuses.
 */
#ifndef CRT_KEYS_H
#define CRT_KEYS_H

#include "crt/base.h"

CRT_EXTERN_C_BEGIN

/* ---- RSA (RFC 8017) ---- */

typedef struct crt_rsa crt_rsa;

enum crt_rsa_encryption { CRT_RSA_PKCS1_5, CRT_RSA_OAEP_SHA256, CRT_RSA_OAEP_SHA512 };
enum crt_rsa_signature { CRT_RSA_PKCS1_5_SHA256, CRT_RSA_PKCS1_5_SHA1, CRT_RSA_PSS_SHA256 };

/*
 * From DER: PKCS#1 only (appendix A.1); bytes behind it are ignored. AWS_ERROR_CAL_CRYPTO_OPERATION_FAILED: not such
 * a key, or numbers that do not belong together.
 */
CRT_FN(int, crt_rsa_new_private_der, (crt_bytes der, crt_rsa **out));
CRT_FN(int, crt_rsa_new_public_der, (crt_bytes der, crt_rsa **out));
/*
 * From PEM: the first block "RSA PRIVATE KEY" or, for PKCS#8, "PRIVATE KEY"; the first "RSA PUBLIC KEY".
 * AWS_ERROR_PEM_MALFORMED: no block, or one that is damaged. AWS_ERROR_INVALID_ARGUMENT: only blocks of other kinds.
 * AWS_ERROR_CAL_MALFORMED_ASN1_ENCOUNTERED, AWS_ERROR_CAL_UNSUPPORTED_KEY_FORMAT: no PKCS#8, one of another
 * algorithm or version.
 */
CRT_FN(int, crt_rsa_new_private_pem, (crt_bytes pem, crt_rsa **out));
CRT_FN(int, crt_rsa_new_public_pem, (crt_bytes pem, crt_rsa **out));
CRT_FN(void, crt_rsa_free, (crt_rsa *key));

/* Bytes of the modulus; the length of ciphertexts and signatures. */
CRT_FN(size_t, crt_rsa_size, (const crt_rsa *key));

/*
 * `out` has room for crt_rsa_size bytes. AWS_ERROR_CAL_BUFFER_TOO_LARGE_FOR_ALGORITHM: the plaintext is longer than
 * crt_rsa_size less 11 (PKCS1_5), 66 (OAEP_SHA256) or 130 (OAEP_SHA512). AWS_ERROR_INVALID_ARGUMENT: the ciphertext
 * does not have crt_rsa_size bytes. AWS_ERROR_CAL_UNSUPPORTED_ALGORITHM: an unknown algorithm.
 */
CRT_FN(int, crt_rsa_encrypt, (crt_rsa *key, int algorithm, crt_bytes plaintext, uint8_t *out));
CRT_FN(int, crt_rsa_decrypt, (crt_rsa *key, int algorithm, crt_bytes ciphertext, uint8_t *out, size_t *out_len));

/*
 * Of a digest that was made by the caller, 32 or (SHA1) 20 bytes; `out` has room for crt_rsa_size bytes. PSS: salt
 * as long as the hash, MGF1 with the same hash. AWS_ERROR_INVALID_ARGUMENT: a digest of more than 32 bytes.
 */
CRT_FN(int, crt_rsa_sign, (crt_rsa *key, int algorithm, crt_bytes digest, uint8_t *out));
/* *valid is false for whatever is wrong with digest or signature. */
CRT_FN(int, crt_rsa_verify, (crt_rsa *key, int algorithm, crt_bytes digest, crt_bytes signature, bool *valid));

/* ---- EC: ECDSA keys on P-256 and P-384 (FIPS 186-5) ---- */

typedef struct crt_ec crt_ec;

enum crt_ec_curve { CRT_EC_P256, CRT_EC_P384 };
enum crt_ec_format {
    CRT_EC_SEC1,  /* RFC 5915 ECPrivateKey with curve and public point */
    CRT_EC_PKCS8, /* RFC 5958 around it */
    CRT_EC_SPKI,  /* RFC 5480 SubjectPublicKeyInfo */
};
/* Longest export, coordinate and DER signature. */
#define CRT_EC_EXPORT_MAX 185
#define CRT_EC_COORDINATE_MAX 48
#define CRT_EC_SIGNATURE_MAX 104

/* AWS_ERROR_CAL_UNSUPPORTED_ALGORITHM: no such curve. */
CRT_FN(int, crt_ec_generate, (int curve, crt_ec **out));
/*
 * Any of the three formats, uncompressed points of named curves. AWS_ERROR_CAL_MALFORMED_ASN1_ENCOUNTERED: not one
 * DER element. AWS_ERROR_CAL_UNSUPPORTED_KEY_FORMAT: DER, but none of these.
 */
CRT_FN(int, crt_ec_new_der, (crt_bytes der, crt_ec **out));
/*
 * From the bare private number, big-endian. AWS_ERROR_INVALID_ARGUMENT: not of the curve's width.
 * AWS_ERROR_CAL_CRYPTO_OPERATION_FAILED: not between 1 and the order less 1.
 */
CRT_FN(int, crt_ec_new_private_number, (int curve, crt_bytes number, crt_ec **out));
CRT_FN(void, crt_ec_free, (crt_ec *key));

/*
 * `out` has room for CRT_EC_EXPORT_MAX bytes. AWS_ERROR_CAL_MISSING_REQUIRED_KEY_COMPONENT: a private format of a
 * public key. AWS_ERROR_UNSUPPORTED_OPERATION: no such format.
 */
CRT_FN(int, crt_ec_export, (const crt_ec *key, int format, uint8_t *out, size_t *out_len));
/* Big-endian, of the curve's width; borrowed from the key. */
CRT_FN(void, crt_ec_public_coordinates, (const crt_ec *key, crt_bytes *x, crt_bytes *y));

/*
 * DER signature (RFC 3279) of a digest of any length; `out` has room for CRT_EC_SIGNATURE_MAX bytes.
 * AWS_ERROR_INVALID_ARGUMENT: a public key.
 */
CRT_FN(int, crt_ec_sign, (crt_ec *key, crt_bytes digest, uint8_t *out, size_t *out_len));
/*
 * The same with a bare private number, big-endian: for numbers that serve for one signature, as no key has to be made.
 * The digest is as long as the curve is wide, or longer. Codes of crt_ec_new_private_number.
 */
CRT_FN(int, crt_ec_sign_with, (int curve, crt_bytes number, crt_bytes digest, uint8_t *out, size_t *out_len));
CRT_FN(int, crt_ec_verify, (crt_ec *key, crt_bytes digest, crt_bytes signature, bool *valid));

/*
 * r and s of a DER signature, big-endian without leading zeros (at least one byte); borrowed from `der`.
 * AWS_ERROR_CAL_MALFORMED_ASN1_ENCOUNTERED: anything but a sequence of two non-negative integers.
 */
CRT_FN(int, crt_ec_signature_decode, (crt_bytes der, crt_bytes *r, crt_bytes *s));
/* The other way; leading zeros are dropped. AWS_ERROR_INVALID_ARGUMENT: r and s have more than 224 bytes together. */
#define CRT_EC_RAW_SIGNATURE_MAX 224
#define CRT_EC_ENCODED_SIGNATURE_MAX (CRT_EC_RAW_SIGNATURE_MAX + 11)
CRT_FN(int, crt_ec_signature_encode, (crt_bytes r, crt_bytes s, uint8_t *out, size_t *out_len));

/* ---- Ed25519 (RFC 8032) ---- */

#define CRT_ED25519_LEN 32

typedef struct crt_ed25519 {
    uint8_t seed[CRT_ED25519_LEN]; /* the private key */
    uint8_t point[CRT_ED25519_LEN];
} crt_ed25519;

CRT_FN(int, crt_ed25519_generate, (crt_ed25519 **out));
CRT_FN(void, crt_ed25519_free, (crt_ed25519 *key));
/* Base64 of what OpenSSH keeps: the public key blob (RFC 8709), the unencrypted openssh-key-v1 container. */
#define CRT_ED25519_OPENSSH_PUBLIC_LEN 68
#define CRT_ED25519_OPENSSH_PRIVATE_LEN 312
CRT_FN(void, crt_ed25519_openssh_public, (const crt_ed25519 *key, char out[CRT_ED25519_OPENSSH_PUBLIC_LEN]));
/* The check words are new ones each time. */
CRT_FN(int, crt_ed25519_openssh_private, (const crt_ed25519 *key, char out[CRT_ED25519_OPENSSH_PRIVATE_LEN]));

CRT_EXTERN_C_END
#endif
