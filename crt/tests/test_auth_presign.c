/*
 * Presigned URLs in batches: each is what signing the request alone gives.
 */
#include "auth_support.h"

static crt_signing_config query_config(void) {
    crt_signing_config config = config_of("us-east-1", "s3");
    config.signature_type = CRT_SIGN_QUERY;
    config.expires_secs = 3600;
    config.double_uri_encode = config.normalize_path = false;
    config.body_value = str("UNSIGNED-PAYLOAD");
    return config;
}

static crt_presigner *presigner_of(const crt_signing_config *config, const crt_credentials *credentials,
                                   const crt_http_header *headers, size_t count) {
    crt_fault fault;
    crt_presigner *presigner;
    assert_int_equal(crt_presigner_new(config, credentials, headers, count, &presigner, &fault), 0);
    return presigner;
}

static void published_url(void **state) {
    crt_credentials *credentials = example_credentials();
    crt_signing_config config = query_config();
    crt_fault fault;
    crt_buf out = CRT_BUF_INIT;
    config.date_unix = DATE_2013;
    config.expires_secs = 86400;
    crt_presigner *presigner = presigner_of(&config, credentials, NULL, 0);
    assert_int_equal(crt_presign(presigner, str("GET"), str("https://examplebucket.s3.amazonaws.com/test.txt"), &out,
                                 &fault), 0);
    expect_text(crt_buf_view(&out),
                "https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential="
                "AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z"
                "&X-Amz-SignedHeaders=host&X-Amz-Expires=86400&X-Amz-Signature="
                "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404");
    crt_buf_free(&out);
    crt_presigner_free(presigner);
    crt_credentials_release(credentials);
}

/* The same request, signed as a message; its path with the URL's start in front. */
static void sign_alone(const crt_signing_config *config, const crt_credentials *credentials, const char *method,
                       const char *start, const char *host, const char *path, crt_buf *out) {
    const char *const headers[] = {"Host", host, "x-extra", "v", NULL};
    crt_http_message *message = message_of(method, path, headers);
    sign(message, config, credentials);
    crt_bytes target = crt_http_message_path(message);
    assert_int_equal(crt_buf_append(out, start, strlen(start)), 0);
    assert_int_equal(crt_buf_append(out, target.ptr, target.len), 0);
    crt_http_message_release(message);
}

static void each_url_is_signed_as_if_alone(void **state) {
    static const struct {
        const char *start, *host, *path;
    } cases[] = {
        {"https://b.example", "b.example", "/key?versionId=1&a=%20"},
        {"https://b.example:443", "b.example", "/"},
        {"HTTP://b.example:80", "b.example", "/a//b/../c"},
        {"http://b.example:443", "b.example:443", "/?"},
        {"https://[::1]:8443", "[::1]:8443", "/a%2Fb?x&y="},
        {"https://b.example", "b.example", "/?q=1&"},
    };
    crt_credentials *credentials = credentials_of("AKID", "SECRET", "TOKEN");
    const crt_http_header extra = {str("x-extra"), str("v")};
    for (int algorithm = CRT_SIGN_V4; algorithm <= CRT_SIGN_V4_S3EXPRESS; algorithm += CRT_SIGN_V4_S3EXPRESS) {
        crt_signing_config config = query_config();
        config.algorithm = algorithm;
        crt_presigner *presigner = presigner_of(&config, credentials, &extra, 1);
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
            crt_buf url = CRT_BUF_INIT, out = CRT_BUF_INIT, expected = CRT_BUF_INIT;
            crt_fault fault;
            assert_int_equal(crt_buf_printf(&url, "%s%s", cases[i].start, cases[i].path), 0);
            assert_int_equal(crt_presign(presigner, str("PUT"), crt_buf_view(&url), &out, &fault), 0);
            sign_alone(&config, credentials, "PUT", cases[i].start, cases[i].host, cases[i].path, &expected);
            assert_true(crt_bytes_eq(crt_buf_view(&out), crt_buf_view(&expected)));
            crt_buf_free(&url);
            crt_buf_free(&out);
            crt_buf_free(&expected);
        }
        crt_presigner_free(presigner);
    }
    crt_credentials_release(credentials);
}

/* Nothing behind the host: the path is "/". */
static void urls_without_a_path(void **state) {
    crt_credentials *credentials = credentials_of("AKID", "SECRET", NULL);
    crt_signing_config config = query_config();
    crt_presigner *presigner = presigner_of(&config, credentials, NULL, 0);
    static const char *const urls[] = {"https://h", "https://h?a=1", "https://h/?a=1"};
    crt_buf out[3] = {CRT_BUF_INIT, CRT_BUF_INIT, CRT_BUF_INIT};
    for (size_t i = 0; i < 3; i++) {
        crt_fault fault;
        assert_int_equal(crt_presign(presigner, str("GET"), str(urls[i]), &out[i], &fault), 0);
        assert_memory_equal(crt_buf_data(&out[i]), urls[i], strlen(urls[i]));
    }
    assert_int_equal(crt_buf_data(&out[0])[strlen(urls[0])], '?');
    assert_memory_equal(out[1].ptr + out[1].end - 64, out[2].ptr + out[2].end - 64, 64);
    for (size_t i = 0; i < 3; i++) {
        crt_buf_free(&out[i]);
    }
    crt_presigner_free(presigner);
    crt_credentials_release(credentials);
}

static bool all_but(void *user, crt_bytes name) {
    return !crt_bytes_eq(name, str(user));
}

static void signed_headers(const crt_signing_config *config, const crt_http_header *headers, size_t count,
                           const char *expected) {
    crt_credentials *credentials = credentials_of("AKID", "SECRET", NULL);
    crt_presigner *presigner = presigner_of(config, credentials, headers, count);
    crt_buf out = CRT_BUF_INIT;
    crt_fault fault;
    assert_int_equal(crt_presign(presigner, str("GET"), str("https://h/"), &out, &fault), 0);
    assert_int_equal(crt_buf_append(&out, "", 1), 0);
    const char *found = strstr((const char *)out.ptr, "X-Amz-SignedHeaders=") + strlen("X-Amz-SignedHeaders=");
    assert_memory_equal(found, expected, strlen(expected));
    assert_int_equal(found[strlen(expected)], '&');
    crt_buf_free(&out);
    crt_presigner_free(presigner);
    crt_credentials_release(credentials);
}

static void headers_are_chosen(void **state) {
    const crt_http_header headers[] = {
        {str("HOST"), str("other")}, {str("x-b"), str("2")}, {str("User-Agent"), str("u")}, {str("x-a"), str("1")}};
    crt_signing_config config = query_config();
    signed_headers(&config, headers + 1, 3, "host%3Bx-a%3Bx-b");
    signed_headers(&config, headers, 4, "host%3Bx-a%3Bx-b");
    config.should_sign = all_but;
    config.should_sign_user = "x-b";
    signed_headers(&config, headers + 1, 3, "host%3Bx-a");
    config.should_sign_user = "Host";
    signed_headers(&config, headers + 1, 3, "x-a%3Bx-b");
    config.should_sign_user = "HOST";
    signed_headers(&config, headers, 4, "x-a%3Bx-b");
}

static void unusable_urls(void **state) {
    static const struct {
        const char *url;
        int code;
    } cases[] = {
        {"", AWS_ERROR_MALFORMED_INPUT_STRING},
        {"/path", AWS_ERROR_MALFORMED_INPUT_STRING},
        {"host/path", AWS_ERROR_MALFORMED_INPUT_STRING},
        {"ftp://h/", AWS_ERROR_MALFORMED_INPUT_STRING},
        {"https:/", AWS_ERROR_MALFORMED_INPUT_STRING},
        {"https://", AWS_ERROR_MALFORMED_INPUT_STRING},
        {"https:///path", AWS_ERROR_MALFORMED_INPUT_STRING},
        {"https://user@h/", AWS_ERROR_MALFORMED_INPUT_STRING},
        {"https://h/a b", AWS_ERROR_MALFORMED_INPUT_STRING},
        {"https://h/a#b", AWS_ERROR_MALFORMED_INPUT_STRING},
        {"https://h/\xc3\xa9", AWS_ERROR_MALFORMED_INPUT_STRING},
        {"https://h/\r\n", AWS_ERROR_MALFORMED_INPUT_STRING},
        {"https://h/?a=%4", AWS_ERROR_MALFORMED_INPUT_STRING},
        {"https://h/?X-Amz-Date=1", AWS_AUTH_SIGNING_ILLEGAL_REQUEST_QUERY_PARAM},
    };
    crt_credentials *credentials = credentials_of("AKID", "SECRET", NULL);
    crt_signing_config config = query_config();
    crt_presigner *presigner = presigner_of(&config, credentials, NULL, 0);
    crt_buf out = CRT_BUF_INIT;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        crt_fault fault;
        assert_int_equal(crt_presign(presigner, str("GET"), str(cases[i].url), &out, &fault), cases[i].code);
        assert_int_equal(fault.code, cases[i].code);
        assert_true(strlen(fault.detail) > 0);
        assert_int_equal(crt_buf_len(&out), 0);
        /* The next one is not spoilt. */
        assert_int_equal(crt_presign(presigner, str("GET"), str("https://h/"), &out, &fault), 0);
        crt_buf_clear(&out);
    }
    crt_buf_free(&out);
    crt_presigner_free(presigner);
    crt_credentials_release(credentials);
}

static void many_parameters(void **state) {
    crt_credentials *credentials = credentials_of("AKID", "SECRET", NULL);
    crt_signing_config config = query_config();
    crt_presigner *presigner = presigner_of(&config, credentials, NULL, 0);
    crt_buf url = CRT_BUF_INIT, out = CRT_BUF_INIT;
    crt_fault fault;
    assert_int_equal(crt_buf_printf(&url, "https://h/?a=0"), 0);
    for (int i = 0; i < 300; i++) {
        assert_int_equal(crt_buf_printf(&url, "&p%d=%d", i, i), 0);
        crt_buf_clear(&out);
        assert_int_equal(crt_presign(presigner, str("GET"), crt_buf_view(&url), &out, &fault), 0);
    }
    crt_buf_free(&url);
    crt_buf_free(&out);
    crt_presigner_free(presigner);
    crt_credentials_release(credentials);
}

static void unusable_configurations(void **state) {
    crt_fault fault;
    crt_presigner *presigner;
    crt_credentials *credentials = credentials_of("AKID", "SECRET", NULL);
    crt_signing_config config = query_config();
    config.signature_type = CRT_SIGN_HEADERS;
    assert_int_equal(crt_presigner_new(&config, credentials, NULL, 0, &presigner, &fault),
                     AWS_AUTH_SIGNING_MISMATCHED_CONFIGURATION);
    config = query_config();
    config.region = str("");
    assert_int_equal(crt_presigner_new(&config, credentials, NULL, 0, &presigner, &fault),
                     AWS_AUTH_SIGNING_INVALID_CONFIGURATION);
    config = query_config();
    assert_int_equal(crt_presigner_new(&config, NULL, NULL, 0, &presigner, &fault), AWS_AUTH_SIGNING_NO_CREDENTIALS);
    assert_null(presigner);
    crt_presigner_free(NULL);
    const crt_http_header date = {str("X-Amz-Date"), str("x")};
    crt_buf out = CRT_BUF_INIT;
    presigner = presigner_of(&config, credentials, &date, 1);
    assert_int_equal(crt_presign(presigner, str("GET"), str("https://h/"), &out, &fault),
                     AWS_AUTH_SIGNING_ILLEGAL_REQUEST_HEADER);
    crt_presigner_free(presigner);
    crt_credentials_release(credentials);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        leak_checked(published_url),      leak_checked(each_url_is_signed_as_if_alone),
        leak_checked(urls_without_a_path), leak_checked(headers_are_chosen),
        leak_checked(unusable_urls),      leak_checked(many_parameters),
        leak_checked(unusable_configurations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
