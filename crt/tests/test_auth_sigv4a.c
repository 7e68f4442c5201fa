/*
 * SigV4A: the derived key against known ones, signatures against the verifier and a canonical request written out by
 * hand, and many threads at once.
 */
#include "auth_support.h"

#include <pthread.h>

static const char *const HEADERS[] = {"Host", "ex.com", NULL};

static void unhex(const char *hex, uint8_t *out, size_t len) {
    for (size_t i = 0; i < len; i++) {
        unsigned value;
        assert_int_equal(sscanf(hex + 2 * i, "%2x", &value), 1);
        out[i] = (uint8_t)value;
    }
}

/* Public points, checked with another implementation of derivation and curve. */
static const struct {
    const char *id, *secret, *x, *y;
} keys[] = {
    {"AKISORANDOMAASORANDOM", "q+jcrXGc+0zWN6uzclKVhvMmUsIfRPa4rlRandom",
     "15d242ceebf8d8169fd6a8b5a746c41140414c3b07579038da06af89190fffcb",
     "0515242cedd82e94799482e4c0514b505afccf2c0c98d6a553bf539f424c5ec0"},
    {"AKID", "SECRET", "d3ff1287979b7f802dd0e75cb1278e76b4eefc613c969e93c46d0bfabf4cfa1e",
     "d4cfc6e869f0f431f08920012828695bf5a5a78e631f870874859c3f7b0d8c0a"},
};

static void keys_are_derived(void **state) {
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        crt_credentials *credentials = credentials_of(keys[i].id, keys[i].secret, NULL);
        crt_ec *key = ec_key_of(credentials);
        crt_bytes x, y;
        uint8_t expected[32];
        crt_ec_public_coordinates(key, &x, &y);
        unhex(keys[i].x, expected, 32);
        assert_memory_equal(x.ptr, expected, 32);
        unhex(keys[i].y, expected, 32);
        assert_memory_equal(y.ptr, expected, 32);
        crt_ec_free(key);
        crt_credentials_release(credentials);
    }
}

static void candidates_become_private_numbers(void **state) {
    static const struct {
        const char *candidate, *number; /* NULL: rejected */
    } cases[] = {
        {"0000000000000000000000000000000000000000000000000000000000000000",
         "0000000000000000000000000000000000000000000000000000000000000001"},
        {"00000000000000ffffffffffffffffffffffffffffffffffffffffffffffffff",
         "0000000000000100000000000000000000000000000000000000000000000000"},
        {"ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc63254f",
         "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632550"},
        {"ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632550", NULL},
        {"ffffffff00000001000000000000000000000000000000000000000000000000", NULL},
        {"ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff", NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t number[32], expected[32];
        unhex(cases[i].candidate, number, 32);
        assert_int_equal(crt_sigv4a_private_number(number), cases[i].number != NULL);
        if (cases[i].number) {
            unhex(cases[i].number, expected, 32);
            assert_memory_equal(number, expected, 32);
        }
    }
}

static void expect_valid(const crt_credentials *credentials, const char *canonical_request, crt_bytes signature) {
    char text[512], hex[65] = {0};
    uint8_t digest[32], raw[CRT_EC_SIGNATURE_MAX];
    crt_ec *key = ec_key_of(credentials);
    bool valid;
    assert_int_equal(crt_sha256_hex(str(canonical_request), hex), 0);
    snprintf(text, sizeof(text), "AWS4-ECDSA-P256-SHA256\n20150830T123600Z\n20150830/svc/aws4_request\n%s", hex);
    assert_int_equal(crt_sha256(str(text), digest), 0);
    assert_true(signature.len % 2 == 0 && signature.len <= CRT_SIGNATURE_MAX);
    unhex((const char *)signature.ptr, raw, signature.len / 2);
    assert_int_equal(crt_ec_verify(key, crt_bytes_of(digest, 32), crt_bytes_of(raw, signature.len / 2), &valid), 0);
    assert_true(valid);
    crt_ec_free(key);
}

static void headers_are_signed(void **state) {
    static const char *const names[] = {"Host", "X-Amz-Security-Token", "X-Amz-Date", "X-Amz-Region-Set",
                                        "x-amz-content-sha256", "Authorization"};
    crt_credentials *credentials = credentials_of("AKID", "SECRET", "TOKEN");
    crt_signing_config config = config_of("us-*", "svc");
    crt_http_message *message = message_of("GET", "/", HEADERS);
    config.algorithm = CRT_SIGN_V4_ASYMMETRIC;
    config.body_value = str("UNSIGNED-PAYLOAD");
    config.add_content_sha256 = true;
    sign(message, &config, credentials);
    crt_http_headers *headers = crt_http_message_headers(message);
    assert_int_equal(crt_http_headers_count(headers), sizeof(names) / sizeof(names[0]));
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        expect_text(crt_http_headers_at(headers, i).name, names[i]);
    }
    expect_text(crt_http_headers_at(headers, 3).value, "us-*");
    static const char start[] = "AWS4-ECDSA-P256-SHA256 Credential=AKID/20150830/svc/aws4_request, "
                                "SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-region-set;"
                                "x-amz-security-token, Signature=";
    crt_bytes authorization = crt_http_headers_at(headers, 5).value;
    assert_true(authorization.len > sizeof(start));
    assert_memory_equal(authorization.ptr, start, sizeof(start) - 1);
    expect_valid(credentials,
                 "GET\n/\n\nhost:ex.com\nx-amz-content-sha256:UNSIGNED-PAYLOAD\nx-amz-date:20150830T123600Z\n"
                 "x-amz-region-set:us-*\nx-amz-security-token:TOKEN\n\n"
                 "host;x-amz-content-sha256;x-amz-date;x-amz-region-set;x-amz-security-token\nUNSIGNED-PAYLOAD",
                 crt_message_signature(message));
    crt_http_message_release(message);
    crt_credentials_release(credentials);
}

static void query_is_signed(void **state) {
    crt_credentials *credentials = credentials_of("AKID", "SECRET", NULL);
    crt_signing_config config = config_of("eu-west-1,us-*", "svc");
    crt_http_message *message = message_of("GET", "/a?z=1", HEADERS);
    config.algorithm = CRT_SIGN_V4_ASYMMETRIC;
    config.signature_type = CRT_SIGN_QUERY;
    config.expires_secs = 60;
    config.body_value = str("UNSIGNED-PAYLOAD");
    sign(message, &config, credentials);
    static const char start[] =
        "/a?z=1&X-Amz-Algorithm=AWS4-ECDSA-P256-SHA256&X-Amz-Credential=AKID%2F20150830%2Fsvc%2Faws4_request"
        "&X-Amz-Date=20150830T123600Z&X-Amz-SignedHeaders=host&X-Amz-Expires=60"
        "&X-Amz-Region-Set=eu-west-1%2Cus-%2A&X-Amz-Signature=";
    crt_bytes path = crt_http_message_path(message);
    assert_true(path.len > sizeof(start));
    assert_memory_equal(path.ptr, start, sizeof(start) - 1);
    expect_valid(credentials,
                 "GET\n/a\nX-Amz-Algorithm=AWS4-ECDSA-P256-SHA256&X-Amz-Credential=AKID%2F20150830%2Fsvc%2Faws4_request"
                 "&X-Amz-Date=20150830T123600Z&X-Amz-Expires=60&X-Amz-Region-Set=eu-west-1%2Cus-%2A"
                 "&X-Amz-SignedHeaders=host&z=1\nhost:ex.com\n\nhost\nUNSIGNED-PAYLOAD",
                 crt_message_signature(message));
    crt_http_message_release(message);
    crt_credentials_release(credentials);
}

enum { THREADS = 4, ROUNDS = 25 };

static void *sign_often(void *credentials) {
    crt_fault fault;
    size_t failures = 0;
    for (int i = 0; i < ROUNDS; i++) {
        crt_http_message *message = crt_http_message_new(NULL);
        crt_signing_config config = config_of("*", "svc");
        config.algorithm = CRT_SIGN_V4_ASYMMETRIC;
        failures += crt_http_message_set_path(message, str("/")) != 0;
        failures += crt_sign_message(message, &config, credentials, &fault) != 0;
        crt_http_message_release(message);
    }
    return (void *)failures;
}

/* The curve is made by whichever comes first. */
static void one_curve_for_many_threads(void **state) {
    pthread_t threads[THREADS];
    crt_credentials *credentials = credentials_of("AKID", "SECRET", NULL);
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, sign_often, credentials), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        void *failures;
        assert_int_equal(pthread_join(threads[i], &failures), 0);
        assert_null(failures);
    }
    crt_credentials_release(credentials);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        leak_checked(one_curve_for_many_threads), /* before any other made it */
        leak_checked(keys_are_derived),
        leak_checked(candidates_become_private_numbers),
        leak_checked(headers_are_signed),
        leak_checked(query_is_signed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
