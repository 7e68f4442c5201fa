/*
 * EC keys as numbers: what is read from and written to the encodings, and its libcrypto key.
 */
#ifndef CRT_CRYPTO_EC_H
#define CRT_CRYPTO_EC_H

#include "crt/keys.h"
#include "evp.h"

enum { CRT_EC_POINT_MAX = 1 + 2 * CRT_EC_COORDINATE_MAX };

typedef struct crt_ec_params {
    const char *group; /* libcrypto's name */
    int nid;
    size_t width; /* bytes of a coordinate and of a private number */
    /* The parts of each encoding in front of private number and point. */
    crt_bytes oid; /* the curve's OBJECT IDENTIFIER element */
    crt_bytes sec1_start, sec1_middle;
    crt_bytes pkcs8_start, pkcs8_middle;
    crt_bytes spki_start;
    const uint8_t *order;
} crt_ec_params;

/* NULL for another value than those of crt_ec_curve. */
CRT_HIDDEN const crt_ec_params *crt_ec_params_of(int curve);

/* 1 to order - 1; of the curve's width. */
CRT_HIDDEN bool crt_ec_is_private_number(const crt_ec_params *curve, const uint8_t *number);

/* What an encoding says; views into it. */
typedef struct crt_ec_numbers {
    const crt_ec_params *curve;
    crt_bytes private_number; /* of the curve's width; empty: a public key */
    crt_bytes point;          /* uncompressed; empty: to be computed */
} crt_ec_numbers;

/* The error codes of crt_ec_new_der. */
CRT_HIDDEN int crt_ec_numbers_decode(crt_bytes der, crt_ec_numbers *out);
/* The error codes of crt_ec_export; the point is not empty. */
CRT_HIDDEN int crt_ec_numbers_encode(const crt_ec_numbers *numbers, int format, uint8_t *out, size_t *out_len);

#endif
