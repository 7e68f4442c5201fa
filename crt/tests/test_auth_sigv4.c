/*
 * Signature Version 4 against published examples (AWS General Reference; Amazon S3 API Reference) and against
 * signatures of the AWS runtime for one request that uses every canonicalisation rule.
 */
#include "auth_support.h"

static void expect_signature(crt_http_message *message, const char *signature) {
    expect_text(crt_message_signature(message), signature);
}

static void expect_header(crt_http_message *message, const char *name, const char *value) {
    crt_bytes text;
    assert_true(crt_http_headers_get(crt_http_message_headers(message), str(name), &text));
    expect_text(text, value);
}

/* ---- published examples ---- */

static const char *const SUITE_HEADERS[] = {"Host", "example.amazonaws.com", NULL};

static void published_suite(void **state) {
    static const struct {
        const char *method, *path, *signature;
    } cases[] = {
        {"GET", "/", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
        {"POST", "/", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
        {"GET", "/?Param2=value2&Param1=value1", "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
    };
    crt_credentials *credentials =
        credentials_of("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", NULL);
    crt_signing_config config = config_of("us-east-1", "service");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        crt_http_message *message = message_of(cases[i].method, cases[i].path, SUITE_HEADERS);
        sign(message, &config, credentials);
        expect_signature(message, cases[i].signature);
        crt_http_message_release(message);
    }
    crt_credentials_release(credentials);
}

static void s3_get_with_range(void **state) {
    static const char *const headers[] = {"Host", "examplebucket.s3.amazonaws.com", "Range", "bytes=0-9", NULL};
    crt_credentials *credentials = example_credentials();
    crt_http_message *message = message_of("GET", "/test.txt", headers);
    crt_signing_config config = config_of("us-east-1", "s3");
    config.date_unix = DATE_2013;
    config.add_content_sha256 = true;
    config.double_uri_encode = config.normalize_path = false;
    sign(message, &config, credentials);
    expect_header(message, "Authorization",
                  "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, "
                  "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, "
                  "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
    expect_header(message, "X-Amz-Date", "20130524T000000Z");
    crt_http_message_release(message);
    crt_credentials_release(credentials);
}

static void s3_presigned_get(void **state) {
    static const char *const headers[] = {"Host", "examplebucket.s3.amazonaws.com", NULL};
    crt_credentials *credentials = example_credentials();
    crt_http_message *message = message_of("GET", "/test.txt", headers);
    crt_signing_config config = config_of("us-east-1", "s3");
    config.signature_type = CRT_SIGN_QUERY;
    config.date_unix = DATE_2013;
    config.expires_secs = 86400;
    config.body_value = str("UNSIGNED-PAYLOAD");
    config.double_uri_encode = config.normalize_path = false;
    sign(message, &config, credentials);
    crt_bytes path = crt_http_message_path(message);
    char *copy = crt_strndup(path.ptr, path.len);
    assert_string_equal(copy,
                        "/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524"
                        "%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-SignedHeaders=host"
                        "&X-Amz-Expires=86400&X-Amz-Signature="
                        "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404");
    crt_free(copy);
    crt_http_message_release(message);
    crt_credentials_release(credentials);
}

/* ---- every rule in one request ---- */

static const char *const TRICKY_HEADERS[] = {"Host", "ex.com", "X-B", "two   spaces", "x-a", "1", "X-A", "2", NULL};

struct variation {
    const char *signature;
    int algorithm;
    int signature_type;
    bool add_content_sha256;
    bool omit_token;
    bool no_token;
    const char *body_value;
    uint64_t expires;
    const char *service;
};

static void signatures_of_the_runtime(void **state) {
    static const struct variation cases[] = {
        {.signature = "96703923cfb9d086dcb812ffe114f4197fdc498b889220b8a9c75bfb792abc04"},
        {.signature = "0940aeb0a683056ede0bc673a03f5a017095aa079f7c0e96ec880e6342f2917a", .add_content_sha256 = true},
        {.signature = "e18dff4b4f195ff7a983657d6a4acd770702587a2848f16fbac45f9d492d2ad9",
         .add_content_sha256 = true,
         .body_value = "UNSIGNED-PAYLOAD"},
        {.signature = "6298242c0504ba0e99916dd59d309a1051a2efdbd98c5c0cf080335f39590bfb", .omit_token = true},
        {.signature = "6298242c0504ba0e99916dd59d309a1051a2efdbd98c5c0cf080335f39590bfb", .no_token = true},
        {.signature = "cff82bcc8dc787c3a8c25305ae26d4a1012d66b3607b2e82678d15fb43397b52",
         .signature_type = CRT_SIGN_QUERY},
        {.signature = "43bdf4792a567ba6b0c935974435559b3e6979d334490e52d36d8a63f8ab25e0",
         .signature_type = CRT_SIGN_QUERY,
         .expires = 60},
        {.signature = "fd94b980ec6061f8c0c0490a97ce3186c95870b648d6ecbbfc62ad758e591841",
         .signature_type = CRT_SIGN_QUERY,
         .omit_token = true},
        {.signature = "f0fd8bc9b64020c9b5d098a6b0bca0aadbbc1cf0f2eaa10ddf8f1084e0edbc34",
         .signature_type = CRT_SIGN_QUERY,
         .service = "vpc-lattice-svcs"},
        {.signature = "f9d28e48ecc4c25dfcc3953d97e407ae81eee412cc1ad7b9e7f60717658ba733",
         .algorithm = CRT_SIGN_V4_S3EXPRESS,
         .service = "s3express"},
        {.signature = "b5acbe461c1f1bcbe10f85ce9815d7caa36f02dcd1b2d9feb3483822dd56a0d2",
         .algorithm = CRT_SIGN_V4_S3EXPRESS,
         .signature_type = CRT_SIGN_QUERY,
         .service = "s3express"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct variation *c = &cases[i];
        crt_credentials *credentials = credentials_of("AKID", "SECRET", c->no_token ? NULL : "TOKEN");
        crt_http_message *message = message_of("GET", "/a/../b//c%20d?z=1&a=b c&a=%41", TRICKY_HEADERS);
        crt_signing_config config = config_of("us-east-1", c->service ? c->service : "svc");
        config.algorithm = c->algorithm;
        config.signature_type = c->signature_type;
        config.add_content_sha256 = c->add_content_sha256;
        config.omit_session_token = c->omit_token;
        config.expires_secs = c->expires;
        config.body_value = str(c->body_value);
        sign(message, &config, credentials);
        expect_signature(message, c->signature);
        crt_http_message_release(message);
        crt_credentials_release(credentials);
    }
}

static void headers_are_appended_in_order(void **state) {
    static const char *const names[] = {"Host",       "X-B",           "x-a", "X-A", "X-Amz-Security-Token",
                                        "X-Amz-Date", "x-amz-content-sha256", "Authorization"};
    crt_credentials *credentials = credentials_of("AKID", "SECRET", "TOKEN");
    crt_http_message *message = message_of("GET", "/", TRICKY_HEADERS);
    crt_signing_config config = config_of("us-east-1", "svc");
    config.add_content_sha256 = true;
    sign(message, &config, credentials);
    crt_http_headers *headers = crt_http_message_headers(message);
    assert_int_equal(crt_http_headers_count(headers), sizeof(names) / sizeof(names[0]));
    for (size_t i = 0; i < crt_http_headers_count(headers); i++) {
        crt_bytes name = crt_http_headers_at(headers, i).name;
        assert_true(crt_bytes_eq(name, str(names[i])));
    }
    crt_http_message_release(message);
    crt_credentials_release(credentials);
}

static void skipped_headers_do_not_count(void **state) {
    static const char *const skipped[] = {
        "x-amzn-trace-id", "User-Agent", "expect", "Sec-WebSocket-Key", "sec-websocket-protocol",
        "sec-websocket-version", "Upgrade", "Transfer-Encoding",
    };
    crt_credentials *credentials = credentials_of("AKID", "SECRET", "TOKEN");
    crt_signing_config config = config_of("us-east-1", "svc");
    crt_http_message *message = message_of("GET", "/a/../b//c%20d?z=1&a=b c&a=%41", TRICKY_HEADERS);
    for (size_t i = 0; i < sizeof(skipped) / sizeof(skipped[0]); i++) {
        crt_http_headers_add(crt_http_message_headers(message), str(skipped[i]), str("x"));
    }
    sign(message, &config, credentials);
    expect_signature(message, "96703923cfb9d086dcb812ffe114f4197fdc498b889220b8a9c75bfb792abc04");
    crt_http_message_release(message);
    crt_credentials_release(credentials);
}

static bool not_x_b(void *user, crt_bytes name) {
    ++*(int *)user;
    return !crt_bytes_eq(name, str("X-B"));
}

static void caller_chooses_headers(void **state) {
    int asked = 0;
    crt_bytes authorization;
    crt_credentials *credentials = credentials_of("AKID", "SECRET", NULL);
    crt_signing_config config = config_of("us-east-1", "svc");
    crt_http_message *message = message_of("GET", "/", TRICKY_HEADERS);
    config.should_sign = not_x_b;
    config.should_sign_user = &asked;
    sign(message, &config, credentials);
    assert_int_equal(asked, 4);
    assert_true(crt_http_headers_get(crt_http_message_headers(message), str("Authorization"), &authorization));
    char *copy = crt_strndup(authorization.ptr, authorization.len);
    assert_non_null(strstr(copy, "SignedHeaders=host;x-a;x-amz-date,"));
    crt_free(copy);
    crt_http_message_release(message);
    crt_credentials_release(credentials);
}

static void many_headers_and_parameters(void **state) {
    crt_credentials *credentials = credentials_of("AKID", "SECRET", NULL);
    crt_signing_config config = config_of("us-east-1", "svc");
    char first[70], second[70], path[4000];
    char *signatures[2] = {first, second};
    /* The same headers and parameters in opposite orders sign alike. */
    for (int turn = 0; turn < 2; turn++) {
        static const char *const none[] = {NULL};
        size_t len = (size_t)snprintf(path, sizeof(path), "/?");
        crt_http_message *message = message_of("GET", "/", none);
        for (int i = 0; i < 200; i++) {
            int n = turn ? 199 - i : i;
            char name[20];
            snprintf(name, sizeof(name), "x-%03d", n);
            assert_int_equal(crt_http_headers_add(crt_http_message_headers(message), str(name), str("v")), 0);
            len += (size_t)snprintf(path + len, sizeof(path) - len, "&p%03d=%d", n, n);
        }
        assert_int_equal(crt_http_message_set_path(message, str(path)), 0);
        sign(message, &config, credentials);
        crt_bytes text;
        crt_http_headers_get(crt_http_message_headers(message), str("Authorization"), &text);
        memcpy(signatures[turn], text.ptr + text.len - 64, 64);
        signatures[turn][64] = '\0';
        crt_http_message_release(message);
    }
    assert_string_equal(first, second);
    crt_credentials_release(credentials);
}

/* ---- failures ---- */

static void expect_refused(const char *path, const char *extra_header, int algorithm, int code) {
    crt_fault fault;
    crt_credentials *credentials = credentials_of("AKID", "SECRET", "TOKEN");
    crt_signing_config config = config_of("us-east-1", "svc");
    crt_http_message *message = message_of("GET", path, TRICKY_HEADERS);
    config.algorithm = algorithm;
    if (extra_header) {
        crt_http_headers_add(crt_http_message_headers(message), str(extra_header), str("x"));
    }
    size_t count = crt_http_headers_count(crt_http_message_headers(message));
    assert_int_equal(crt_sign_message(message, &config, credentials, &fault), code);
    assert_int_equal(fault.code, code);
    assert_true(strlen(fault.detail) > 0);
    assert_int_equal(crt_http_headers_count(crt_http_message_headers(message)), count);
    assert_true(crt_bytes_eq(crt_http_message_path(message), str(path)));
    crt_http_message_release(message);
    crt_credentials_release(credentials);
}

static void signers_headers_are_refused(void **state) {
    static const char *const names[] = {"x-amz-content-sha256", "x-amz-date", "AUTHORIZATION", "X-Amz-Region-Set",
                                        "x-amz-security-token"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        expect_refused("/", names[i], CRT_SIGN_V4, AWS_AUTH_SIGNING_ILLEGAL_REQUEST_HEADER);
    }
    expect_refused("/", "x-amz-s3session-token", CRT_SIGN_V4_S3EXPRESS, AWS_AUTH_SIGNING_ILLEGAL_REQUEST_HEADER);
}

static void signers_parameters_are_refused(void **state) {
    static const char *const keys[] = {"X-Amz-Signature", "x-amz-date",           "X-Amz-Credential",
                                       "X-Amz-Algorithm", "X-Amz-SignedHeaders",  "X-Amz-Security-Token",
                                       "X-Amz-Expires",   "X-Amz-Region-Set=a",   "X-Amz-%44ate=1"};
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        char path[64];
        snprintf(path, sizeof(path), "/?a=1&%s", keys[i]);
        expect_refused(path, NULL, CRT_SIGN_V4, AWS_AUTH_SIGNING_ILLEGAL_REQUEST_QUERY_PARAM);
    }
}

static void bad_targets_are_refused(void **state) {
    static const char *const paths[] = {"/?a=%", "/?a=%4", "/?%zz=1", "/?a=1&b=%G0"};
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        expect_refused(paths[i], NULL, CRT_SIGN_V4, AWS_ERROR_MALFORMED_INPUT_STRING);
    }
    expect_refused("", NULL, CRT_SIGN_V4, AWS_ERROR_MALFORMED_INPUT_STRING);
}

static void unsupported_configurations(void **state) {
    crt_fault fault;
    crt_credentials *credentials = credentials_of("AKID", "SECRET", NULL);
    crt_http_message *message = message_of("GET", "/", SUITE_HEADERS);
    crt_signing_config config = config_of("us-east-1", "svc");
    config.algorithm = 3;
    assert_int_equal(crt_sign_message(message, &config, credentials, &fault), AWS_AUTH_SIGNING_UNSUPPORTED_ALGORITHM);
    config = config_of("", "svc");
    assert_int_equal(crt_sign_message(message, &config, credentials, &fault), AWS_AUTH_SIGNING_INVALID_CONFIGURATION);
    config = config_of("us-east-1", "");
    assert_int_equal(crt_sign_message(message, &config, credentials, &fault), AWS_AUTH_SIGNING_INVALID_CONFIGURATION);
    config = config_of("us-east-1", "svc");
    config.signature_type = 7;
    assert_int_equal(crt_sign_message(message, &config, credentials, &fault),
                     AWS_AUTH_SIGNING_UNSUPPORTED_SIGNATURE_TYPE);
    config = config_of("us-east-1", "svc");
    config.date_unix = INT64_MAX;
    assert_int_equal(crt_sign_message(message, &config, credentials, &fault), AWS_AUTH_SIGNING_INVALID_CONFIGURATION);
    config.date_unix = INT64_MIN;
    assert_int_equal(crt_sign_message(message, &config, credentials, &fault), AWS_AUTH_SIGNING_INVALID_CONFIGURATION);
    config = config_of("us-east-1", "svc");
    assert_int_equal(crt_sign_message(message, &config, NULL, &fault), AWS_AUTH_SIGNING_NO_CREDENTIALS);
    assert_int_equal(crt_http_headers_count(crt_http_message_headers(message)), 1);
    crt_http_message_release(message);
    crt_credentials_release(credentials);
}

static void dates_are_civil(void **state) {
    static const struct {
        int64_t unix_seconds;
        const char *text;
    } cases[] = {
        {0, "19700101T000000Z"},
        {-1, "19691231T235959Z"},
        {INT64_C(951782400), "20000229T000000Z"},
        {INT64_C(-62135596800), "00010101T000000Z"},
        {INT64_C(253402300799), "99991231T235959Z"},
        {INT64_C(1709164799), "20240228T235959Z"},
        {INT64_C(4107542400), "21000301T000000Z"},
    };
    crt_credentials *credentials = credentials_of("AKID", "SECRET", NULL);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        crt_http_message *message = message_of("GET", "/", SUITE_HEADERS);
        crt_signing_config config = config_of("us-east-1", "svc");
        config.date_unix = cases[i].unix_seconds;
        sign(message, &config, credentials);
        expect_header(message, "X-Amz-Date", cases[i].text);
        crt_http_message_release(message);
    }
    crt_credentials_release(credentials);
}

static void credentials_need_id_and_secret(void **state) {
    crt_credentials *credentials = NULL;
    assert_int_equal(crt_credentials_new(str(""), str("s"), str(""), UINT64_MAX, &credentials),
                     AWS_ERROR_INVALID_ARGUMENT);
    assert_int_equal(crt_credentials_new(str("i"), str(""), str(""), UINT64_MAX, &credentials),
                     AWS_ERROR_INVALID_ARGUMENT);
    assert_null(credentials);
}

/* The key cache must never mix up secrets, days, regions or services, also when entries are replaced. */
static void cached_keys_are_the_right_ones(void **state) {
    char signatures[40][65];
    for (int turn = 0; turn < 2; turn++) {
        for (int i = 0; i < 40; i++) {
            char secret[16], region[16];
            snprintf(secret, sizeof(secret), "SECRET%d", i % 5);
            snprintf(region, sizeof(region), "region-%d", i / 5);
            crt_credentials *credentials = credentials_of("AKID", secret, NULL);
            crt_http_message *message = message_of("GET", "/", SUITE_HEADERS);
            crt_signing_config config = config_of(region, "svc");
            crt_bytes text;
            sign(message, &config, credentials);
            crt_http_headers_get(crt_http_message_headers(message), str("Authorization"), &text);
            if (turn) {
                assert_memory_equal(signatures[i], text.ptr + text.len - 64, 64);
            } else {
                memcpy(signatures[i], text.ptr + text.len - 64, 64);
            }
            crt_http_message_release(message);
            crt_credentials_release(credentials);
        }
    }
    for (int i = 0; i < 40; i++) {
        for (int j = 0; j < i; j++) {
            assert_memory_not_equal(signatures[i], signatures[j], 64);
        }
    }
}

static void unsigned_messages_have_no_signature(void **state) {
    static const char *const basic[] = {"Authorization", "Basic dXNlcjpwYXNz", NULL};
    static const char *const none[] = {NULL};
    crt_http_message *message = message_of("GET", "/?X-Amz-Signatur=1", basic);
    assert_int_equal(crt_message_signature(message).len, 0);
    crt_http_message_release(message);
    message = message_of("GET", "/", none);
    assert_int_equal(crt_message_signature(message).len, 0);
    crt_http_message_release(message);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        leak_checked(published_suite),
        leak_checked(s3_get_with_range),
        leak_checked(s3_presigned_get),
        leak_checked(signatures_of_the_runtime),
        leak_checked(headers_are_appended_in_order),
        leak_checked(skipped_headers_do_not_count),
        leak_checked(caller_chooses_headers),
        leak_checked(many_headers_and_parameters),
        leak_checked(signers_headers_are_refused),
        leak_checked(signers_parameters_are_refused),
        leak_checked(bad_targets_are_refused),
        leak_checked(unsupported_configurations),
        leak_checked(dates_are_civil),
        leak_checked(credentials_need_id_and_secret),
        leak_checked(cached_keys_are_the_right_ones),
        leak_checked(unsigned_messages_have_no_signature),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
