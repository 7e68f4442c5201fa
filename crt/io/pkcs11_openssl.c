/*
 * Keys of PKCS#11 tokens as OpenSSL keys, by RSA_METHOD and EC_KEY_METHOD.
 *
 * These are deprecated since 3.0 in favor of providers. They are no engines, though: EVP recognizes a key with a method
 * of its own ("foreign") and signs through it, also in builds with no-engine. A provider would take several
 * times the code, and a library context of its own per process.
 */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "pkcs11_openssl.h"

#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <uv.h>

#include "crt/memory.h"
#include "pkcs11_key.h"
#include "tls_openssl.h"

/* ---- failures ---- */

/* Made once: methods are kept until the process ends. */
static uv_once_t once = UV_ONCE_INIT;
static RSA_METHOD *rsa_method;
static EC_KEY_METHOD *ec_method;
static int ec_index; /* of the token's key in an EC_KEY; an RSA has "application data" for it */
static int error_library;

/* OpenSSL asks for signatures deep inside a handshake: the status travels as an error of a library of our own. */
static void report(const crt_fault *fault) {
    ERR_clear_error(); /* what is in the queue of a handshake in progress is no failure */
    ERR_raise_data(error_library, fault->code, "%s", fault->detail);
}

int crt_openssl_pkcs11_fault(crt_fault *fault) {
    const char *detail = NULL;
    unsigned long error = ERR_peek_error_data(&detail, NULL);

    if (error == 0 || ERR_GET_LIB(error) != error_library) {
        return 0;
    }
    return crt_fail(fault, ERR_GET_REASON(error), "%s", detail);
}

/* ---- RSA ---- */

/* `from` is what PKCS#1 v1.5 signs: a DigestInfo, or MD5 and SHA-1 of TLS before 1.2. */
static int rsa_sign(int from_len, const unsigned char *from, unsigned char *to, RSA *rsa, int padding) {
    crt_pkcs11_key *key = RSA_get_app_data(rsa);
    size_t len = (size_t)RSA_size(rsa);
    crt_fault fault;

    if (padding != RSA_PKCS1_PADDING) {
        crt_fail(&fault, AWS_IO_TLS_SIGNATURE_ALGORITHM_UNSUPPORTED, "PKCS#11 keys sign with PKCS#1 v1.5 padding only");
        report(&fault);
        return -1;
    }
    if (crt_pkcs11_key_sign(key, CKM_RSA_PKCS, crt_bytes_of(from, (size_t)from_len), to, &len, &fault)) {
        report(&fault);
        return -1;
    }
    return (int)len;
}

static int rsa_finish(RSA *rsa) {
    crt_pkcs11_key_release(RSA_get_app_data(rsa));
    return RSA_meth_get_finish(RSA_PKCS1_OpenSSL())(rsa); /* what the public half cached */
}

static EVP_PKEY *rsa_pkey(crt_pkcs11_key *key, EVP_PKEY *public_key) {
    EVP_PKEY *pkey = EVP_PKEY_new();
    const RSA *from = EVP_PKEY_get0_RSA(public_key);
    RSA *rsa = RSA_new();
    BIGNUM *n = from ? BN_dup(RSA_get0_n(from)) : NULL;
    BIGNUM *e = from ? BN_dup(RSA_get0_e(from)) : NULL;

    if (!pkey || !rsa || !n || !e || RSA_set0_key(rsa, n, e, NULL) != 1) {
        BN_free(n);
        BN_free(e);
        goto failed;
    }
    if (RSA_set_method(rsa, rsa_method) != 1 || RSA_set_app_data(rsa, key) != 1) {
        goto failed;
    }
    crt_pkcs11_key_acquire(key); /* from here on released by rsa_finish */
    if (EVP_PKEY_assign_RSA(pkey, rsa) == 1) {
        return pkey;
    }
failed:
    RSA_free(rsa);
    EVP_PKEY_free(pkey);
    return NULL;
}

/* ---- EC ---- */

enum { EC_SIGNATURE_LIMIT = 132 }; /* r and s of P-521 */

static size_t order_bytes(const EC_KEY *ec) {
    return ((size_t)EC_GROUP_order_bits(EC_KEY_get0_group(ec)) + 7) / 8;
}

/* PKCS#11 answers r and s side by side, TLS wants them as DER (RFC 8422, 5.4). */
static ECDSA_SIG *signature_of(const uint8_t *raw, size_t len) {
    ECDSA_SIG *signature = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(raw, (int)(len / 2), NULL);
    BIGNUM *s = BN_bin2bn(raw + len / 2, (int)(len / 2), NULL);

    if (!signature || !r || !s || ECDSA_SIG_set0(signature, r, s) != 1) {
        ECDSA_SIG_free(signature);
        BN_free(r);
        BN_free(s);
        return NULL;
    }
    return signature;
}

static ECDSA_SIG *ec_sign_raw(const unsigned char *digest, int digest_len, EC_KEY *ec) {
    crt_pkcs11_key *key = EC_KEY_get_ex_data(ec, ec_index);
    size_t limit = order_bytes(ec), len = EC_SIGNATURE_LIMIT;
    uint8_t raw[EC_SIGNATURE_LIMIT];
    /* FIPS 186-4, 6.4: the leftmost bits count. Not every token cuts by itself. */
    crt_bytes input = crt_bytes_of(digest, (size_t)digest_len < limit ? (size_t)digest_len : limit);
    crt_fault fault;
    int status = crt_pkcs11_key_sign(key, CKM_ECDSA, input, raw, &len, &fault);

    /* Longer numbers than the group's would not fit into what OpenSSL set aside for their DER. */
    if (status == 0 && (len == 0 || len % 2 != 0 || len > 2 * limit)) {
        status = crt_fail(&fault, AWS_ERROR_PKCS11_ENCODING_ERROR,
                          "the PKCS#11 module made an ECDSA signature of %zu bytes", len);
    }
    if (status) {
        report(&fault);
        return NULL;
    }
    return signature_of(raw, len);
}

static ECDSA_SIG *ec_sign_sig(const unsigned char *digest, int digest_len, const BIGNUM *kinv, const BIGNUM *r,
                              EC_KEY *ec) {
    (void)kinv;
    (void)r;
    return ec_sign_raw(digest, digest_len, ec);
}

static int ec_sign(int type, const unsigned char *digest, int digest_len, unsigned char *out, unsigned int *out_len,
                   const BIGNUM *kinv, const BIGNUM *r, EC_KEY *ec) {
    ECDSA_SIG *signature = ec_sign_sig(digest, digest_len, kinv, r, ec);
    int len = signature ? i2d_ECDSA_SIG(signature, &out) : 0;

    (void)type;
    ECDSA_SIG_free(signature);
    *out_len = len > 0 ? (unsigned)len : 0;
    return len > 0;
}

static void ec_finish(EC_KEY *ec) {
    crt_pkcs11_key_release(EC_KEY_get_ex_data(ec, ec_index));
}

static EVP_PKEY *ec_pkey(crt_pkcs11_key *key, EVP_PKEY *public_key) {
    const EC_KEY *from = EVP_PKEY_get0_EC_KEY(public_key);
    EVP_PKEY *pkey = EVP_PKEY_new();
    EC_KEY *ec = from ? EC_KEY_dup(from) : NULL;

    if (!pkey || !ec || order_bytes(ec) * 2 > EC_SIGNATURE_LIMIT || EC_KEY_set_method(ec, ec_method) != 1 ||
        EC_KEY_set_ex_data(ec, ec_index, key) != 1) {
        goto failed;
    }
    crt_pkcs11_key_acquire(key); /* from here on released by ec_finish */
    if (EVP_PKEY_assign_EC_KEY(pkey, ec) == 1) {
        return pkey;
    }
failed:
    EC_KEY_free(ec);
    EVP_PKEY_free(pkey);
    return NULL;
}

/* ---- both ---- */

static void make_methods(void) {
    error_library = ERR_get_next_error_library();
    ec_index = EC_KEY_get_ex_new_index(0, NULL, NULL, NULL, NULL);
    rsa_method = RSA_meth_dup(RSA_PKCS1_OpenSSL());
    if (rsa_method && (RSA_meth_set_priv_enc(rsa_method, rsa_sign) != 1 ||
                       RSA_meth_set_finish(rsa_method, rsa_finish) != 1)) {
        RSA_meth_free(rsa_method);
        rsa_method = NULL;
    }
    ec_method = EC_KEY_METHOD_new(EC_KEY_OpenSSL());
    if (ec_method) {
        EC_KEY_METHOD_set_sign(ec_method, ec_sign, NULL, ec_sign_sig);
        EC_KEY_METHOD_set_init(ec_method, NULL, ec_finish, NULL, NULL, NULL, NULL);
    }
}

static bool modulus_matches(crt_pkcs11_key *key, EVP_PKEY *public_key) {
    const BIGNUM *n = RSA_get0_n(EVP_PKEY_get0_RSA(public_key));
    size_t len = (size_t)BN_num_bytes(n);
    uint8_t *bytes = crt_malloc(len);
    bool matches = bytes && BN_bn2bin(n, bytes) >= 0 && crt_pkcs11_key_may_have_modulus(key, crt_bytes_of(bytes, len));

    crt_free(bytes);
    return matches;
}

/* A token does not tell the public point of an EC private key, so that a wrong one shows in the handshake only. */
static bool belongs_to(crt_pkcs11_key *key, EVP_PKEY *public_key) {
    if (crt_pkcs11_key_type(key) == CKK_RSA) {
        return EVP_PKEY_get_base_id(public_key) == EVP_PKEY_RSA && modulus_matches(key, public_key);
    }
    return EVP_PKEY_get_base_id(public_key) == EVP_PKEY_EC;
}

static int use_key(SSL_CTX *ctx, crt_pkcs11_key *key, crt_fault *fault) {
    EVP_PKEY *public_key = X509_get0_pubkey(SSL_CTX_get0_certificate(ctx));
    EVP_PKEY *pkey;
    int ok;

    if (!public_key || !belongs_to(key, public_key)) {
        return crt_fail(fault, AWS_IO_TLS_CTX_ERROR, "the PKCS#11 private key does not belong to the certificate");
    }
    uv_once(&once, make_methods);
    if (!rsa_method || !ec_method) {
        return crt_fail(fault, AWS_ERROR_OOM, "no memory for a PKCS#11 key");
    }
    pkey = crt_pkcs11_key_type(key) == CKK_RSA ? rsa_pkey(key, public_key) : ec_pkey(key, public_key);
    ok = pkey && SSL_CTX_use_PrivateKey(ctx, pkey) == 1;
    EVP_PKEY_free(pkey);
    return ok ? 0 : crt_fail(fault, AWS_IO_TLS_CTX_ERROR, "OpenSSL cannot use the certificate's kind of key");
}

int crt_openssl_use_pkcs11(SSL_CTX *ctx, const crt_pkcs11_options *options, crt_fault *fault) {
    /* PSS (and with it TLS 1.3) is optional in tokens. "Client" is whose signatures the list is about. */
    static const char signatures[] = "RSA+SHA256:RSA+SHA384:RSA+SHA512:RSA+SHA224:RSA+SHA1:"
                                     "ECDSA+SHA256:ECDSA+SHA384:ECDSA+SHA512:ECDSA+SHA224:ECDSA+SHA1";
    crt_pkcs11_key *key = NULL;
    char *pem;
    size_t len;
    int status = crt_pkcs11_certificate(options, &pem, &len, fault);

    if (status == 0) {
        status = crt_openssl_use_chain(ctx, crt_bytes_of(pem, len), fault);
    }
    crt_free(pem);
    if (status == 0) {
        status = crt_pkcs11_key_open(options, &key, fault);
    }
    if (status == 0) {
        status = use_key(ctx, key, fault);
    }
    if (status == 0 && (SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION) != 1 ||
                        SSL_CTX_set1_client_sigalgs_list(ctx, signatures) != 1)) {
        status = crt_fail(fault, AWS_IO_TLS_CTX_ERROR, "this OpenSSL lacks what PKCS#11 keys need");
    }
    crt_pkcs11_key_release(key);
    return status;
}
