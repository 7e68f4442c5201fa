/*
 * Reading DER (X.690): definite lengths, tags of one byte. Nothing is copied; the views point into the input.
 */
#ifndef CRT_CRYPTO_DER_H
#define CRT_CRYPTO_DER_H

#include "crt/base.h"

enum {
    CRT_DER_INTEGER = 0x02,
    CRT_DER_BIT_STRING = 0x03,
    CRT_DER_OCTET_STRING = 0x04,
    CRT_DER_OBJECT_IDENTIFIER = 0x06,
    CRT_DER_SEQUENCE = 0x30,
    CRT_DER_CONTEXT_0 = 0xa0,
    CRT_DER_CONTEXT_1 = 0xa1,
};

/* True when the input is exactly one element and everything inside its constructed elements is whole. */
CRT_HIDDEN bool crt_der_is_whole(crt_bytes der);

/* Take the next element off the front of `rest` if it has this tag; else false and `rest` stays. */
CRT_HIDDEN bool crt_der_take(crt_bytes *rest, uint8_t tag, crt_bytes *content);
/* The same for an INTEGER that is not negative: big-endian without leading zeros, at least one byte. */
CRT_HIDDEN bool crt_der_take_unsigned(crt_bytes *rest, crt_bytes *magnitude);
/* An INTEGER of this small value. */
CRT_HIDDEN bool crt_der_take_version(crt_bytes *rest, uint8_t version);

/*
 * PKCS#8 PrivateKeyInfo (RFC 5208): the content of its AlgorithmIdentifier and the key inside.
 * AWS_ERROR_CAL_MALFORMED_ASN1_ENCOUNTERED: not such a structure. AWS_ERROR_CAL_UNSUPPORTED_KEY_FORMAT: another
 * version.
 */
CRT_HIDDEN int crt_der_pkcs8(crt_bytes der, crt_bytes *algorithm, crt_bytes *key);

#endif
