/*
 * The encodings of EC keys and ECDSA signatures.
 *
 * For one curve every field has a fixed length, so an encoding is constant text around the private number and the
 * point. Reading is by structure: files differ in optional fields.
 */
#include "ec.h"

#include <openssl/obj_mac.h>

#include "crt/status.h"
#include "der.h"

#define BYTES(...) {(const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__})}

/* id-ecPublicKey 1.2.840.10045.2.1; prime256v1 1.2.840.10045.3.1.7; secp384r1 1.3.132.0.34 (RFC 5480) */
#define EC_PUBLIC_KEY_OID 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01
#define P256_OID 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07
#define P384_OID 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22

static const uint8_t p256_order[] = {0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff,
                                     0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17,
                                     0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51};
static const uint8_t p384_order[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                     0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                     0xc7, 0x63, 0x4d, 0x81, 0xf4, 0x37, 0x2d, 0xdf, 0x58, 0x1a, 0x0d, 0xb2,
                                     0x48, 0xb0, 0xa7, 0x7a, 0xec, 0xec, 0x19, 0x6a, 0xcc, 0xc5, 0x29, 0x73};

static const crt_ec_params curves[] = {
    [CRT_EC_P256] =
        {
            .group = "P-256",
            .nid = NID_X9_62_prime256v1,
            .width = 32,
            .oid = BYTES(P256_OID),
            .sec1_start = BYTES(0x30, 0x77, 0x02, 0x01, 0x01, 0x04, 0x20),
            .sec1_middle = BYTES(0xa0, 0x0a, P256_OID, 0xa1, 0x44, 0x03, 0x42, 0x00),
            .pkcs8_start = BYTES(0x30, 0x81, 0x87, 0x02, 0x01, 0x00, 0x30, 0x13, EC_PUBLIC_KEY_OID, P256_OID, 0x04,
                                 0x6d, 0x30, 0x6b, 0x02, 0x01, 0x01, 0x04, 0x20),
            .pkcs8_middle = BYTES(0xa1, 0x44, 0x03, 0x42, 0x00),
            .spki_start = BYTES(0x30, 0x59, 0x30, 0x13, EC_PUBLIC_KEY_OID, P256_OID, 0x03, 0x42, 0x00),
            .order = p256_order,
        },
    [CRT_EC_P384] =
        {
            .group = "P-384",
            .nid = NID_secp384r1,
            .width = 48,
            .oid = BYTES(P384_OID),
            .sec1_start = BYTES(0x30, 0x81, 0xa4, 0x02, 0x01, 0x01, 0x04, 0x30),
            .sec1_middle = BYTES(0xa0, 0x07, P384_OID, 0xa1, 0x64, 0x03, 0x62, 0x00),
            .pkcs8_start = BYTES(0x30, 0x81, 0xb6, 0x02, 0x01, 0x00, 0x30, 0x10, EC_PUBLIC_KEY_OID, P384_OID, 0x04,
                                 0x81, 0x9e, 0x30, 0x81, 0x9b, 0x02, 0x01, 0x01, 0x04, 0x30),
            .pkcs8_middle = BYTES(0xa1, 0x64, 0x03, 0x62, 0x00),
            .spki_start = BYTES(0x30, 0x76, 0x30, 0x10, EC_PUBLIC_KEY_OID, P384_OID, 0x03, 0x62, 0x00),
            .order = p384_order,
        },
};
enum { CURVES = sizeof(curves) / sizeof(curves[0]) };

const crt_ec_params *crt_ec_params_of(int curve) {
    return curve >= 0 && curve < CURVES ? &curves[curve] : NULL;
}

static const crt_ec_params *curve_of(crt_bytes element) {
    for (int i = 0; i < CURVES; i++) {
        if (crt_bytes_eq(element, curves[i].oid)) {
            return &curves[i];
        }
    }
    return NULL;
}

/* ---- reading ---- */

/* The content of a BIT STRING of whole octets that is an uncompressed point (SEC 1 section 2.3.3). */
static bool take_point(crt_bytes *rest, const crt_ec_params *curve, crt_bytes *point) {
    crt_bytes bits;
    if (!crt_der_take(rest, CRT_DER_BIT_STRING, &bits) || bits.len != 2 + 2 * curve->width || bits.ptr[0] != 0 ||
        bits.ptr[1] != 0x04) {
        return false;
    }
    *point = crt_bytes_of(bits.ptr + 1, bits.len - 1);
    return true;
}

/* The content of an AlgorithmIdentifier: id-ecPublicKey and a named curve. */
static const crt_ec_params *curve_of_algorithm(crt_bytes algorithm) {
    static const uint8_t identifier[] = {EC_PUBLIC_KEY_OID};
    size_t len = sizeof(identifier);
    if (algorithm.len <= len || memcmp(algorithm.ptr, identifier, len) != 0) {
        return NULL;
    }
    return curve_of(crt_bytes_of(algorithm.ptr + len, algorithm.len - len));
}

static bool read_spki(crt_bytes der, crt_ec_numbers *out) {
    crt_bytes fields, algorithm;
    if (!crt_der_take(&der, CRT_DER_SEQUENCE, &fields) || !crt_der_take(&fields, CRT_DER_SEQUENCE, &algorithm)) {
        return false;
    }
    out->curve = curve_of_algorithm(algorithm);
    return out->curve != NULL && take_point(&fields, out->curve, &out->point) && fields.len == 0;
}

/* ECPrivateKey (RFC 5915). `curve` is known already when it stands inside PKCS#8, which makes both fields optional. */
static bool read_sec1(crt_bytes der, const crt_ec_params *curve, crt_ec_numbers *out) {
    crt_bytes fields, oid, public_key;
    bool inside = curve != NULL;
    if (!crt_der_is_whole(der) || !crt_der_take(&der, CRT_DER_SEQUENCE, &fields) ||
        !crt_der_take_version(&fields, 1) || !crt_der_take(&fields, CRT_DER_OCTET_STRING, &out->private_number)) {
        return false;
    }
    if (crt_der_take(&fields, CRT_DER_CONTEXT_0, &oid)) {
        const crt_ec_params *named = curve_of(oid);
        if (inside && named != curve) {
            return false;
        }
        curve = named;
    }
    if (curve == NULL || out->private_number.len != curve->width) {
        return false;
    }
    out->curve = curve;
    if (crt_der_take(&fields, CRT_DER_CONTEXT_1, &public_key)) {
        return take_point(&public_key, curve, &out->point) && public_key.len == 0;
    }
    return inside;
}

static bool read_pkcs8(crt_bytes der, crt_ec_numbers *out) {
    crt_bytes algorithm, key;
    if (crt_der_pkcs8(der, &algorithm, &key) != 0) {
        return false;
    }
    const crt_ec_params *curve = curve_of_algorithm(algorithm);
    return curve != NULL && read_sec1(key, curve, out);
}

int crt_ec_numbers_decode(crt_bytes der, crt_ec_numbers *out) {
    *out = (crt_ec_numbers){NULL, {NULL, 0}, {NULL, 0}};
    if (der.len == 0) {
        return AWS_ERROR_CAL_UNSUPPORTED_KEY_FORMAT;
    }
    if (!crt_der_is_whole(der)) {
        return AWS_ERROR_CAL_MALFORMED_ASN1_ENCOUNTERED;
    }
    return read_spki(der, out) || read_pkcs8(der, out) || read_sec1(der, NULL, out)
               ? 0
               : AWS_ERROR_CAL_UNSUPPORTED_KEY_FORMAT;
}

/* ---- writing ---- */

static uint8_t *put(uint8_t *at, crt_bytes data) {
    memcpy(at, data.ptr, data.len);
    return at + data.len;
}

int crt_ec_numbers_encode(const crt_ec_numbers *numbers, int format, uint8_t *out, size_t *out_len) {
    const crt_ec_params *curve = numbers->curve;
    uint8_t *end;

    *out_len = 0;
    if (format != CRT_EC_SEC1 && format != CRT_EC_PKCS8 && format != CRT_EC_SPKI) {
        return AWS_ERROR_UNSUPPORTED_OPERATION;
    }
    if (format == CRT_EC_SPKI) {
        end = put(out, curve->spki_start);
    } else if (numbers->private_number.len == 0) {
        return AWS_ERROR_CAL_MISSING_REQUIRED_KEY_COMPONENT;
    } else {
        end = put(out, format == CRT_EC_SEC1 ? curve->sec1_start : curve->pkcs8_start);
        end = put(end, numbers->private_number);
        end = put(end, format == CRT_EC_SEC1 ? curve->sec1_middle : curve->pkcs8_middle);
    }
    end = put(end, numbers->point);
    *out_len = (size_t)(end - out);
    return 0;
}

/* ---- signatures: SEQUENCE { INTEGER r, INTEGER s } ---- */

int crt_ec_signature_decode(crt_bytes der, crt_bytes *r, crt_bytes *s) {
    crt_bytes fields;
    bool ok = crt_der_take(&der, CRT_DER_SEQUENCE, &fields) && der.len == 0 && crt_der_take_unsigned(&fields, r) &&
              crt_der_take_unsigned(&fields, s) && fields.len == 0;
    return ok ? 0 : AWS_ERROR_CAL_MALFORMED_ASN1_ENCOUNTERED;
}

static crt_bytes without_leading_zeros(crt_bytes number) {
    while (number.len > 0 && number.ptr[0] == 0) {
        number = crt_bytes_of(number.ptr + 1, number.len - 1);
    }
    return number;
}

static uint8_t *put_length(uint8_t *at, size_t len) {
    if (len >= 0x80) {
        *at++ = 0x81;
    }
    *at++ = (uint8_t)len;
    return at;
}

/* An empty number becomes an INTEGER without content. */
static uint8_t *put_integer(uint8_t *at, crt_bytes number) {
    bool sign = number.len > 0 && number.ptr[0] >= 0x80;
    *at++ = CRT_DER_INTEGER;
    at = put_length(at, number.len + sign);
    if (sign) {
        *at++ = 0;
    }
    return number.len ? put(at, number) : at;
}

int crt_ec_signature_encode(crt_bytes r, crt_bytes s, uint8_t *out, size_t *out_len) {
    uint8_t numbers[CRT_EC_ENCODED_SIGNATURE_MAX];

    *out_len = 0;
    if (r.len > CRT_EC_RAW_SIGNATURE_MAX || s.len > CRT_EC_RAW_SIGNATURE_MAX - r.len) {
        return AWS_ERROR_INVALID_ARGUMENT;
    }
    uint8_t *end = put_integer(numbers, without_leading_zeros(r));
    end = put_integer(end, without_leading_zeros(s));

    crt_bytes content = crt_bytes_of(numbers, (size_t)(end - numbers));
    out[0] = CRT_DER_SEQUENCE;
    end = put(put_length(out + 1, content.len), content);
    *out_len = (size_t)(end - out);
    return 0;
}
