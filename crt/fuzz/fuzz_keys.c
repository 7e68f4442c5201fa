/*
 * Keys and signatures of a peer or a file. The first byte chooses the reader. A key that is accepted must do what
 * keys do; what was decoded must encode to something that decodes to the same.
 */
#include <stdlib.h>

#include "crt/keys.h"
#include "crt/status.h"

static void check(bool ok) {
    if (!ok) {
        abort();
    }
}

static void try_rsa(int (*load)(crt_bytes data, crt_rsa **out), crt_bytes data) {
    uint8_t digest[32] = {0}, *out;
    crt_rsa *key;
    bool valid = true;
    if (load(data, &key) != 0) {
        check(key == NULL);
        return;
    }
    out = malloc(crt_rsa_size(key));
    if (crt_rsa_sign(key, CRT_RSA_PKCS1_5_SHA256, crt_bytes_of(digest, sizeof(digest)), out) == 0) {
        check(crt_rsa_verify(key, CRT_RSA_PKCS1_5_SHA256, crt_bytes_of(digest, sizeof(digest)),
                             crt_bytes_of(out, crt_rsa_size(key)), &valid) == 0);
    }
    crt_rsa_encrypt(key, CRT_RSA_OAEP_SHA256, crt_bytes_of(digest, 1), out);
    free(out);
    crt_rsa_free(key);
}

static void try_ec(crt_bytes der) {
    uint8_t out[CRT_EC_EXPORT_MAX], signature[CRT_EC_SIGNATURE_MAX];
    size_t len, signature_len;
    crt_ec *key, *again;
    bool valid;
    if (crt_ec_new_der(der, &key) != 0) {
        check(key == NULL);
        return;
    }
    for (int format = CRT_EC_SEC1; format <= CRT_EC_SPKI; format++) {
        if (crt_ec_export(key, format, out, &len) == 0) {
            check(crt_ec_new_der(crt_bytes_of(out, len), &again) == 0);
            crt_ec_free(again);
        }
    }
    if (crt_ec_sign(key, der, signature, &signature_len) == 0) {
        check(crt_ec_verify(key, der, crt_bytes_of(signature, signature_len), &valid) == 0 && valid);
    }
    crt_ec_free(key);
}

static void try_signature(crt_bytes der) {
    uint8_t out[CRT_EC_ENCODED_SIGNATURE_MAX];
    crt_bytes r, s, r_again, s_again;
    size_t len;
    if (crt_ec_signature_decode(der, &r, &s) != 0 || crt_ec_signature_encode(r, s, out, &len) != 0) {
        return;
    }
    /* Zero is one octet when decoded and none when encoded from nothing but zeros. */
    if ((r.len == 1 && r.ptr[0] == 0) || (s.len == 1 && s.ptr[0] == 0)) {
        return;
    }
    check(crt_ec_signature_decode(crt_bytes_of(out, len), &r_again, &s_again) == 0);
    check(crt_bytes_eq(r, r_again) && crt_bytes_eq(s, s_again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) {
        return 0;
    }
    crt_bytes input = crt_bytes_of(data + 1, size - 1);
    switch (data[0] % 6) {
    case 0:
        try_rsa(crt_rsa_new_private_pem, input);
        break;
    case 1:
        try_rsa(crt_rsa_new_public_pem, input);
        break;
    case 2:
        try_rsa(crt_rsa_new_private_der, input);
        break;
    case 3:
        try_rsa(crt_rsa_new_public_der, input);
        break;
    case 4:
        try_ec(input);
        break;
    default:
        try_signature(input);
    }
    return 0;
}
