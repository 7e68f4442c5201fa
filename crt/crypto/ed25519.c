/*
 * Ed25519 keys for SSH: generation, and OpenSSH's encodings of them.
 */
#include "crt/keys.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "crt/crypto.h"
#include "crt/memory.h"
#include "crt/status.h"
#include "evp.h"

#define KEY_TYPE "ssh-ed25519"

static int generate(crt_ed25519 *key) {
    size_t seed_len = sizeof(key->seed), point_len = sizeof(key->point);
    EVP_PKEY *pkey = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    bool ok = pkey != NULL && EVP_PKEY_get_raw_private_key(pkey, key->seed, &seed_len) == 1 &&
              EVP_PKEY_get_raw_public_key(pkey, key->point, &point_len) == 1;
    EVP_PKEY_free(pkey);
    return crt_evp_status(ok);
}

int crt_ed25519_generate(crt_ed25519 **out) {
    *out = NULL;
    crt_ed25519 *key = crt_calloc(1, sizeof(*key));
    if (key == NULL) {
        return AWS_ERROR_OOM;
    }
    int status = generate(key);
    if (status != 0) {
        crt_ed25519_free(key);
        return status;
    }
    *out = key;
    return 0;
}

void crt_ed25519_free(crt_ed25519 *key) {
    if (key == NULL) {
        return;
    }
    OPENSSL_cleanse(key, sizeof(*key));
    crt_free(key);
}

/* ---- SSH wire format (RFC 4251 section 5): uint32, and strings with their length in front ---- */

static uint8_t *put(uint8_t *at, const void *data, size_t len) {
    memcpy(at, data, len);
    return at + len;
}

static uint8_t *put_uint32(uint8_t *at, uint32_t value) {
    const uint8_t bytes[] = {(uint8_t)(value >> 24), (uint8_t)(value >> 16), (uint8_t)(value >> 8), (uint8_t)value};
    return put(at, bytes, sizeof(bytes));
}

static uint8_t *put_string(uint8_t *at, const void *data, size_t len) {
    return put(put_uint32(at, (uint32_t)len), data, len);
}

/* RFC 8709 section 4 */
enum { PUBLIC_BLOB_LEN = 4 + (sizeof(KEY_TYPE) - 1) + 4 + CRT_ED25519_LEN };
_Static_assert((PUBLIC_BLOB_LEN + 2) / 3 * 4 == CRT_ED25519_OPENSSH_PUBLIC_LEN, "length of the public form");

static uint8_t *put_public_blob(uint8_t *at, const crt_ed25519 *key) {
    at = put_string(at, KEY_TYPE, sizeof(KEY_TYPE) - 1);
    return put_string(at, key->point, sizeof(key->point));
}

void crt_ed25519_openssh_public(const crt_ed25519 *key, char out[CRT_ED25519_OPENSSH_PUBLIC_LEN]) {
    uint8_t blob[PUBLIC_BLOB_LEN];
    put_public_blob(blob, key);
    crt_base64_encode(crt_bytes_of(blob, sizeof(blob)), out);
}

/*
 * openssh-key-v1 (PROTOCOL.key of OpenSSH): a header, the public key, and the list of private keys, which is padded
 * with 1, 2, 3 ... to blocks of 8 bytes also where nothing is encrypted.
 */
#define MAGIC "openssh-key-v1" /* with its terminator */
enum {
    PADDING = 5,
    PRIVATE_LIST_LEN = 4 + 4 + PUBLIC_BLOB_LEN + 4 + 2 * CRT_ED25519_LEN + 4 + PADDING,
    CONTAINER_LEN = sizeof(MAGIC) + 4 + 4 + 4 + 4 + 4 + 4 + 4 + PUBLIC_BLOB_LEN + 4 + PRIVATE_LIST_LEN,
};
_Static_assert(PRIVATE_LIST_LEN % 8 == 0, "padded to the block size of the cipher none");
_Static_assert((CONTAINER_LEN + 2) / 3 * 4 == CRT_ED25519_OPENSSH_PRIVATE_LEN, "length of the private form");

static uint8_t *put_private_list(uint8_t *at, const crt_ed25519 *key, uint32_t check) {
    at = put_uint32(put_uint32(at, check), check);
    at = put_public_blob(at, key);
    at = put_uint32(at, sizeof(key->seed) + sizeof(key->point));
    at = put(at, key->seed, sizeof(key->seed));
    at = put(at, key->point, sizeof(key->point));
    at = put_string(at, "", 0); /* the comment */
    for (uint8_t i = 1; i <= PADDING; i++) {
        *at++ = i;
    }
    return at;
}

int crt_ed25519_openssh_private(const crt_ed25519 *key, char out[CRT_ED25519_OPENSSH_PRIVATE_LEN]) {
    uint8_t container[CONTAINER_LEN];
    uint32_t check;
    int status = crt_random(&check, sizeof(check));
    if (status != 0) {
        return status;
    }
    uint8_t *at = put(container, MAGIC, sizeof(MAGIC));
    at = put_string(at, "none", 4); /* cipher */
    at = put_string(at, "none", 4); /* key derivation */
    at = put_string(at, "", 0);     /* its options */
    at = put_uint32(at, 1);         /* number of keys */
    at = put_public_blob(put_uint32(at, PUBLIC_BLOB_LEN), key);
    put_private_list(put_uint32(at, PRIVATE_LIST_LEN), key, check);
    crt_base64_encode(crt_bytes_of(container, sizeof(container)), out);
    OPENSSL_cleanse(container, sizeof(container));
    return 0;
}
