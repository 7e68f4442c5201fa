/* What the tests of signing share. */
#ifndef CRT_TESTS_AUTH_SUPPORT_H
#define CRT_TESTS_AUTH_SUPPORT_H

#include <stdio.h>

#include "../auth/signing.h"
#include "support.h"

#define DATE_2015 INT64_C(1440938160) /* 2015-08-30T12:36:00Z */
#define DATE_2013 INT64_C(1369353600) /* 2013-05-24T00:00:00Z */

static inline crt_bytes str(const char *s) {
    return crt_bytes_str(s);
}

static inline crt_credentials *credentials_of(const char *id, const char *secret, const char *token) {
    crt_credentials *credentials = NULL;
    assert_int_equal(crt_credentials_new(str(id), str(secret), str(token), UINT64_MAX, &credentials), 0);
    return credentials;
}

/* Those of the examples in the Amazon S3 API Reference. */
static inline crt_credentials *example_credentials(void) {
    return credentials_of("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", NULL);
}

/* `headers`: names and values in turn, then NULL. */
static inline crt_http_message *message_of(const char *method, const char *path, const char *const *headers) {
    crt_http_message *message = crt_http_message_new(NULL);
    assert_non_null(message);
    assert_int_equal(crt_http_message_set_method(message, str(method)), 0);
    assert_int_equal(crt_http_message_set_path(message, str(path)), 0);
    for (; *headers; headers += 2) {
        assert_int_equal(crt_http_headers_add(crt_http_message_headers(message), str(headers[0]), str(headers[1])), 0);
    }
    return message;
}

static inline crt_signing_config config_of(const char *region, const char *service) {
    crt_signing_config config = {0};
    config.region = str(region);
    config.service = str(service);
    config.date_unix = DATE_2015;
    config.double_uri_encode = true;
    config.normalize_path = true;
    return config;
}

static inline void sign(crt_http_message *message, const crt_signing_config *config,
                        const crt_credentials *credentials) {
    crt_fault fault;
    int code = crt_sign_message(message, config, credentials, &fault);
    if (code) {
        fail_msg("%d %s", code, fault.detail);
    }
}

/* The EC key that SigV4A derives from credentials. */
static inline crt_ec *ec_key_of(const crt_credentials *credentials) {
    uint8_t number[32];
    crt_ec *key;
    assert_int_equal(crt_sigv4a_derive(credentials, number), 0);
    assert_int_equal(crt_ec_new_private_number(CRT_EC_P256, crt_bytes_of(number, 32), &key), 0);
    return key;
}

static inline void expect_text(crt_bytes found, const char *expected) {
    char *copy = crt_strndup(found.ptr, found.len);
    assert_string_equal(copy, expected);
    crt_free(copy);
}

#endif
