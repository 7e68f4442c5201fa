/* RSA, EC and Ed25519 keys: what the Python tests cannot see, that is memory, every cut and every flipped byte. */
#include "support.h"

#include <pthread.h>

#include "crt/crypto.h"
#include "crt/keys.h"

/* The RSA key of 512 bits and the P-256 key (RFC 6979 appendix A.2.5) of tests/core/vectors. */
static const char rsa_private_base64[] =
    "MIIBPAIBAAJBAOI6eQ/YXTne8Zn6heD36lInWiIemPKP9dIrS9b/AjLAHHuFpQ+33Cme3MSJcMExTMa/kAi+oSa5OZVnSUffm20C"
    "AwEAAQJAFyC7N696+Gueb4t5HGK8BeIYCNzv7fxhuTbL7hLr+pwQE5G6UJzf5AmTdPmYLXgAKQyyYy4NrkzzUYRqqeoygQIhAPeS"
    "/++eClNQVUrf963zfU4S+FZNtd911Kveslxtx1RZAiEA6e1/N7k8arSM/WRMybeI/F6drPk4ttN8aRd2QW8TrTUCIQDSiNvFNayq"
    "NQKTber+rrW8kz1Eh0lHArkcf4FGQMTl4QIhALairSN1ZN0ub7FaALWwrKvUtygYQBZFkal/Ht3BekxNAiEA3+Tvj/GOd9joeI8e"
    "oaKJfCFAV0At6EKUqZ4ZTZ26mwc=";
static const char ec_private_hex[] =
    "30770201010420c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721a00a06082a8648ce3d0301"
    "07a1440342000460fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb67903fe1008b8bc99a41ae9"
    "e95628bc64f2f1b20c2d7e9f5177a3c294d4462299";

static size_t from_hex(const char *text, uint8_t *out) {
    size_t n = strlen(text) / 2;
    for (size_t i = 0; i < n; i++) {
        unsigned value;
        assert_int_equal(sscanf(text + 2 * i, "%2x", &value), 1);
        out[i] = (uint8_t)value;
    }
    return n;
}

static size_t rsa_der(uint8_t out[512]) {
    size_t len;
    assert_int_equal(crt_base64_decode(crt_bytes_str(rsa_private_base64), out, &len), 0);
    return len;
}

static crt_rsa *rsa_key(void) {
    uint8_t der[512];
    crt_rsa *key;
    assert_int_equal(crt_rsa_new_private_der(crt_bytes_of(der, rsa_der(der)), &key), 0);
    return key;
}

static void rsa_signs_and_verifies(void **state) {
    crt_rsa *key = rsa_key();
    uint8_t digest[32] = {1, 2, 3}, signature[64];
    bool valid;

    assert_int_equal(crt_rsa_size(key), 64);
    for (int round = 0; round < 3; round++) { /* the first one sets the context up */
        assert_int_equal(crt_rsa_sign(key, CRT_RSA_PKCS1_5_SHA256, crt_bytes_of(digest, 32), signature), 0);
        assert_int_equal(crt_rsa_verify(key, CRT_RSA_PKCS1_5_SHA256, crt_bytes_of(digest, 32),
                                        crt_bytes_of(signature, 64), &valid), 0);
        assert_true(valid);
        signature[10] ^= 1;
        assert_int_equal(crt_rsa_verify(key, CRT_RSA_PKCS1_5_SHA256, crt_bytes_of(digest, 32),
                                        crt_bytes_of(signature, 64), &valid), 0);
        assert_false(valid);
    }
    assert_int_equal(crt_rsa_sign(key, 3, crt_bytes_of(digest, 32), signature), AWS_ERROR_CAL_UNSUPPORTED_ALGORITHM);
    assert_int_equal(crt_rsa_sign(key, -1, crt_bytes_of(digest, 32), signature), AWS_ERROR_CAL_UNSUPPORTED_ALGORITHM);
    assert_int_equal(crt_rsa_sign(key, 0, crt_bytes_of(NULL, 0), signature), AWS_ERROR_CAL_CRYPTO_OPERATION_FAILED);
    crt_rsa_free(key);
    crt_rsa_free(NULL);
}

static void rsa_encrypts_and_decrypts(void **state) {
    crt_rsa *key = rsa_key();
    uint8_t plain[64] = {7}, cipher[64], back[64];
    size_t len;

    for (size_t n = 0; n <= 53; n++) {
        assert_int_equal(crt_rsa_encrypt(key, CRT_RSA_PKCS1_5, crt_bytes_of(n ? plain : NULL, n), cipher), 0);
        assert_int_equal(crt_rsa_decrypt(key, CRT_RSA_PKCS1_5, crt_bytes_of(cipher, 64), back, &len), 0);
        assert_int_equal(len, n);
        assert_memory_equal(back, plain, n);
    }
    assert_int_equal(crt_rsa_encrypt(key, CRT_RSA_PKCS1_5, crt_bytes_of(plain, 54), cipher),
                     AWS_ERROR_CAL_BUFFER_TOO_LARGE_FOR_ALGORITHM);
    memset(cipher, 1, sizeof(cipher));
    assert_int_equal(crt_rsa_decrypt(key, CRT_RSA_PKCS1_5, crt_bytes_of(cipher, 64), back, &len),
                     AWS_ERROR_CAL_CRYPTO_OPERATION_FAILED);
    assert_int_equal(len, 0);
    crt_rsa_free(key);
}

static void rsa_refuses_every_cut_and_flip(void **state) {
    uint8_t der[512];
    size_t len = rsa_der(der);

    for (size_t i = 0; i < len; i++) {
        crt_rsa *key;
        uint8_t *cut = malloc(i + 1); /* so that the sanitizer sees a read behind the end */
        memcpy(cut, der, i);
        assert_int_equal(crt_rsa_new_private_der(crt_bytes_of(cut, i), &key), AWS_ERROR_CAL_CRYPTO_OPERATION_FAILED);
        assert_null(key);
        free(cut);
        for (int bit = 0; bit < 8; bit++) {
            der[i] ^= (uint8_t)(1 << bit);
            assert_int_equal(crt_rsa_new_private_der(crt_bytes_of(der, len), &key),
                             AWS_ERROR_CAL_CRYPTO_OPERATION_FAILED);
            der[i] ^= (uint8_t)(1 << bit);
        }
    }
}

static void rsa_reads_pem(void **state) {
    char pem[1024];
    crt_rsa *key;

    snprintf(pem, sizeof(pem), "-----BEGIN RSA PRIVATE KEY-----\n%s\n-----END RSA PRIVATE KEY-----",
             rsa_private_base64);
    assert_int_equal(crt_rsa_new_private_pem(crt_bytes_str(pem), &key), 0);
    crt_rsa_free(key);
    assert_int_equal(crt_rsa_new_public_pem(crt_bytes_str(pem), &key), AWS_ERROR_INVALID_ARGUMENT);
    assert_null(key);
    assert_int_equal(crt_rsa_new_private_pem(crt_bytes_of(pem, strlen(pem) - 1), &key), AWS_ERROR_PEM_MALFORMED);
    assert_int_equal(crt_rsa_new_private_pem(crt_bytes_of(NULL, 0), &key), AWS_ERROR_PEM_MALFORMED);
}

static crt_ec *ec_key(void) {
    uint8_t der[CRT_EC_EXPORT_MAX];
    crt_ec *key;
    assert_int_equal(crt_ec_new_der(crt_bytes_of(der, from_hex(ec_private_hex, der)), &key), 0);
    return key;
}

static void ec_round_trips(void **state) {
    crt_ec *key = ec_key();
    for (int format = CRT_EC_SEC1; format <= CRT_EC_SPKI; format++) {
        uint8_t der[CRT_EC_EXPORT_MAX], again[CRT_EC_EXPORT_MAX];
        size_t len, again_len;
        crt_ec *copy;

        assert_int_equal(crt_ec_export(key, format, der, &len), 0);
        assert_int_equal(crt_ec_new_der(crt_bytes_of(der, len), &copy), 0);
        assert_int_equal(crt_ec_export(copy, format, again, &again_len), 0);
        assert_int_equal(again_len, len);
        assert_memory_equal(again, der, len);
        crt_ec_free(copy);
    }
    crt_ec_free(key);
    crt_ec_free(NULL);
}

static void ec_refuses_every_cut(void **state) {
    crt_ec *key = ec_key(), *none;
    for (int format = CRT_EC_SEC1; format <= CRT_EC_SPKI; format++) {
        uint8_t der[CRT_EC_EXPORT_MAX];
        size_t len;
        assert_int_equal(crt_ec_export(key, format, der, &len), 0);
        for (size_t i = 1; i < len; i++) {
            uint8_t *cut = malloc(i);
            memcpy(cut, der, i);
            assert_int_equal(crt_ec_new_der(crt_bytes_of(cut, i), &none), AWS_ERROR_CAL_MALFORMED_ASN1_ENCOUNTERED);
            assert_null(none);
            free(cut);
        }
    }
    crt_ec_free(key);
}

static void ec_from_a_private_number(void **state) {
    uint8_t expected[CRT_EC_EXPORT_MAX], der[CRT_EC_EXPORT_MAX], number[CRT_EC_COORDINATE_MAX] = {0};
    size_t expected_len = from_hex(ec_private_hex, expected), len;
    crt_ec *key;

    crt_bytes given = crt_bytes_of(expected + 7, 32); /* the private number within the encoding */
    assert_int_equal(crt_ec_new_private_number(CRT_EC_P256, given, &key), 0);
    assert_int_equal(crt_ec_export(key, CRT_EC_SEC1, der, &len), 0);
    assert_int_equal(len, expected_len);
    assert_memory_equal(der, expected, len);
    crt_ec_free(key);

    given.len = 31;
    assert_int_equal(crt_ec_new_private_number(CRT_EC_P256, given, &key), AWS_ERROR_INVALID_ARGUMENT);
    given.len = 32;
    assert_int_equal(crt_ec_new_private_number(CRT_EC_P384, given, &key), AWS_ERROR_INVALID_ARGUMENT);
    assert_int_equal(crt_ec_new_private_number(2, given, &key), AWS_ERROR_CAL_UNSUPPORTED_ALGORITHM);
    given = crt_bytes_of(number, 32);
    assert_int_equal(crt_ec_new_private_number(CRT_EC_P256, given, &key), AWS_ERROR_CAL_CRYPTO_OPERATION_FAILED);
    memset(number, 0xff, sizeof(number));
    assert_int_equal(crt_ec_new_private_number(CRT_EC_P256, given, &key), AWS_ERROR_CAL_CRYPTO_OPERATION_FAILED);
    assert_null(key);
}

static void ec_signs_with_a_private_number(void **state) {
    uint8_t numbers[2][CRT_EC_COORDINATE_MAX] = {{1, 2, 3}, {4, 5, 6}}, digest[64] = {7};
    for (int curve = CRT_EC_P256; curve <= CRT_EC_P384; curve++) {
        size_t width = curve == CRT_EC_P256 ? 32 : 48, len;
        uint8_t signature[CRT_EC_SIGNATURE_MAX], zero[CRT_EC_COORDINATE_MAX] = {0};
        crt_bytes number = crt_bytes_of(numbers[curve], width);
        crt_ec *key;
        bool valid;

        assert_int_equal(crt_ec_new_private_number(curve, number, &key), 0);
        for (size_t digest_len = width; digest_len <= 64; digest_len += 64 - width) {
            crt_bytes signed_digest = crt_bytes_of(digest, digest_len);
            assert_int_equal(crt_ec_sign_with(curve, number, signed_digest, signature, &len), 0);
            assert_int_equal(crt_ec_verify(key, signed_digest, crt_bytes_of(signature, len), &valid), 0);
            assert_true(valid);
        }
        crt_bytes all = crt_bytes_of(digest, width), cut = crt_bytes_of(digest, width - 1);
        assert_int_equal(crt_ec_sign_with(curve, number, cut, signature, &len), AWS_ERROR_INVALID_ARGUMENT);
        assert_int_equal(crt_ec_sign_with(curve, cut, all, signature, &len), AWS_ERROR_INVALID_ARGUMENT);
        assert_int_equal(crt_ec_sign_with(curve, crt_bytes_of(zero, width), all, signature, &len),
                         AWS_ERROR_CAL_CRYPTO_OPERATION_FAILED);
        assert_int_equal(len, 0);
        crt_ec_free(key);
    }
    size_t len;
    uint8_t signature[CRT_EC_SIGNATURE_MAX];
    crt_bytes number = crt_bytes_of(numbers[0], 32);
    assert_int_equal(crt_ec_sign_with(2, number, number, signature, &len), AWS_ERROR_CAL_UNSUPPORTED_ALGORITHM);
}

static void ec_generates_both_curves(void **state) {
    for (int curve = CRT_EC_P256; curve <= CRT_EC_P384; curve++) {
        crt_ec *key;
        crt_bytes x, y;
        uint8_t signature[CRT_EC_SIGNATURE_MAX];
        size_t len;
        bool valid;

        assert_int_equal(crt_ec_generate(curve, &key), 0);
        crt_ec_public_coordinates(key, &x, &y);
        assert_int_equal(x.len, curve == CRT_EC_P256 ? 32 : 48);
        assert_int_equal(y.len, x.len);
        assert_int_equal(crt_ec_sign(key, crt_bytes_of(NULL, 0), signature, &len), 0);
        assert_int_equal(crt_ec_verify(key, crt_bytes_of(NULL, 0), crt_bytes_of(signature, len), &valid), 0);
        assert_true(valid);
        assert_int_equal(crt_ec_verify(key, crt_bytes_str("x"), crt_bytes_of(signature, len), &valid), 0);
        assert_false(valid);
        assert_int_equal(crt_ec_verify(key, crt_bytes_str("x"), crt_bytes_of(NULL, 0), &valid), 0);
        assert_false(valid);
        crt_ec_free(key);
    }
    crt_ec *none;
    assert_int_equal(crt_ec_generate(2, &none), AWS_ERROR_CAL_UNSUPPORTED_ALGORITHM);
    assert_int_equal(crt_ec_generate(-1, &none), AWS_ERROR_CAL_UNSUPPORTED_ALGORITHM);
    assert_null(none);
}

static void signatures_of_every_length_round_trip(void **state) {
    uint8_t number[CRT_EC_RAW_SIGNATURE_MAX], der[CRT_EC_ENCODED_SIGNATURE_MAX];
    for (int top = 1; top <= 0x80; top += 0x7f) {
        memset(number, top, sizeof(number));
        for (size_t n = 1; n < sizeof(number); n++) {
            crt_bytes r, s;
            size_t len;
            assert_int_equal(crt_ec_signature_encode(crt_bytes_of(number, n), crt_bytes_of(number, sizeof(number) - n),
                                                     der, &len), 0);
            assert_int_equal(crt_ec_signature_decode(crt_bytes_of(der, len), &r, &s), 0);
            assert_true(crt_bytes_eq(r, crt_bytes_of(number, n)));
            assert_int_equal(s.len, sizeof(number) - n);
            for (size_t cut = 0; cut < len; cut++) {
                assert_int_equal(crt_ec_signature_decode(crt_bytes_of(der, cut), &r, &s),
                                 AWS_ERROR_CAL_MALFORMED_ASN1_ENCOUNTERED);
            }
        }
    }
    size_t len;
    assert_int_equal(crt_ec_signature_encode(crt_bytes_of(number, 224), crt_bytes_of(number, 1), der, &len),
                     AWS_ERROR_INVALID_ARGUMENT);
}

/* ---- one key on several threads: contexts are handed around without a lock ---- */

enum { THREADS = 4, ROUNDS = 200 };

static void *use_key(void *user) {
    crt_ec *key = user;
    uint8_t signature[CRT_EC_SIGNATURE_MAX];
    for (int i = 0; i < ROUNDS; i++) {
        size_t len;
        bool valid;
        if (crt_ec_sign(key, crt_bytes_of(&i, sizeof(i)), signature, &len) != 0 ||
            crt_ec_verify(key, crt_bytes_of(&i, sizeof(i)), crt_bytes_of(signature, len), &valid) != 0 || !valid) {
            return key;
        }
    }
    return NULL;
}

static void one_key_serves_many_threads(void **state) {
    crt_ec *key = ec_key();
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, use_key, key), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        void *failed;
        assert_int_equal(pthread_join(threads[i], &failed), 0);
        assert_null(failed);
    }
    crt_ec_free(key);
}

static void ed25519_keys(void **state) {
    crt_ed25519 *a, *b;
    char public_text[CRT_ED25519_OPENSSH_PUBLIC_LEN], text[CRT_ED25519_OPENSSH_PRIVATE_LEN];
    char again[CRT_ED25519_OPENSSH_PRIVATE_LEN];

    assert_int_equal(crt_ed25519_generate(&a), 0);
    assert_int_equal(crt_ed25519_generate(&b), 0);
    assert_memory_not_equal(a->seed, b->seed, CRT_ED25519_LEN);
    crt_ed25519_openssh_public(a, public_text);
    assert_memory_equal(public_text, "AAAAC3NzaC1lZDI1NTE5AAAAI", 25); /* what all of them begin with */
    assert_int_equal(crt_ed25519_openssh_private(a, text), 0);
    assert_int_equal(crt_ed25519_openssh_private(a, again), 0);
    assert_memory_not_equal(text, again, sizeof(text));
    crt_ed25519_free(a);
    crt_ed25519_free(b);
    crt_ed25519_free(NULL);
}

static void hashes_in_place(void **state) {
    uint8_t a[32], b[32];
    crt_hash hash;
    crt_hmac hmac;

    assert_int_equal(crt_hash_init(&hash, CRT_HASH_SHA256), 0);
    assert_int_equal(crt_hash_update(&hash, crt_bytes_str("abc")), 0);
    assert_int_equal(crt_hash_digest(&hash, a), 0);
    assert_int_equal(crt_hash_of(CRT_HASH_SHA256, crt_bytes_str("abc"), b), 0);
    assert_memory_equal(a, b, 32);
    assert_int_equal(crt_hash_of((enum crt_hash_kind)77, crt_bytes_str("abc"), b), AWS_ERROR_INVALID_ARGUMENT);

    assert_int_equal(crt_hmac_init(&hmac, crt_bytes_str("key")), 0);
    assert_int_equal(crt_hmac_update(&hmac, crt_bytes_str("abc")), 0);
    assert_int_equal(crt_hmac_digest(&hmac, a), 0);
    assert_int_equal(crt_hmac_sha256(crt_bytes_str("key"), crt_bytes_str("abc"), b), 0);
    assert_memory_equal(a, b, 32);
    crt_hmac_wipe(&hmac);
    const crt_hmac wiped = {0};
    assert_memory_equal(&hmac, &wiped, sizeof(hmac));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        leak_checked(rsa_signs_and_verifies),
        leak_checked(rsa_encrypts_and_decrypts),
        leak_checked(rsa_refuses_every_cut_and_flip),
        leak_checked(rsa_reads_pem),
        leak_checked(ec_round_trips),
        leak_checked(ec_refuses_every_cut),
        leak_checked(ec_from_a_private_number),
        leak_checked(ec_signs_with_a_private_number),
        leak_checked(ec_generates_both_curves),
        leak_checked(signatures_of_every_length_round_trip),
        leak_checked(one_key_serves_many_threads),
        leak_checked(ed25519_keys),
        leak_checked(hashes_in_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
