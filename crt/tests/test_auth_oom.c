/*
 * Signing when memory runs out: the first allocation fails, then the second alone, and so on until none is left to
 * fail. Each time signing says so, leaves the message as it was and leaks nothing.
 *
 * The linker sends the library's allocations here (--wrap).
 */
#include "auth_support.h"

static size_t allowed = SIZE_MAX; /* allocations before the one that fails */
static bool has_failed;

static bool fails(void) {
    if (allowed == SIZE_MAX || allowed--) {
        return false;
    }
    allowed = SIZE_MAX;
    return has_failed = true;
}

void *__real_crt_malloc(size_t size);
void *__real_crt_calloc(size_t count, size_t size);
void *__real_crt_realloc(void *memory, size_t size);

void *__wrap_crt_malloc(size_t size) {
    return fails() ? NULL : __real_crt_malloc(size);
}
void *__wrap_crt_calloc(size_t count, size_t size) {
    return fails() ? NULL : __real_crt_calloc(count, size);
}
void *__wrap_crt_realloc(void *memory, size_t size) {
    return fails() ? NULL : __real_crt_realloc(memory, size);
}

/* Long enough to outgrow what headers, paths and pairs have room for in place. */
static crt_http_message *large_message(void) {
    static const char *const none[] = {NULL};
    crt_http_message *message = message_of("GET", "/", none);
    crt_buf path = CRT_BUF_INIT;
    assert_int_equal(crt_buf_printf(&path, "/key?"), 0);
    for (int i = 0; i < 60; i++) {
        char name[24];
        snprintf(name, sizeof(name), "x-header-%d", i);
        assert_int_equal(crt_http_headers_add(crt_http_message_headers(message), str(name), str("value")), 0);
        assert_int_equal(crt_buf_printf(&path, "&p%d=%d", i, i), 0);
    }
    assert_int_equal(crt_http_message_set_path(message, crt_buf_view(&path)), 0);
    crt_buf_free(&path);
    return message;
}

/* `step` uses the message; how many of its allocations there were to fail. */
static size_t fail_each(int (*step)(crt_http_message *message, const crt_signing_config *config),
                        const crt_signing_config *config) {
    for (size_t n = 0;; n++) {
        crt_http_message *message = large_message();
        size_t count = crt_http_headers_count(crt_http_message_headers(message));
        size_t path_len = crt_http_message_path(message).len;
        has_failed = false;
        allowed = n;
        int code = step(message, config);
        allowed = SIZE_MAX;
        assert_int_equal(code, has_failed ? AWS_ERROR_OOM : 0);
        if (has_failed) {
            assert_int_equal(crt_http_headers_count(crt_http_message_headers(message)), count);
            assert_int_equal(crt_http_message_path(message).len, path_len);
        }
        crt_http_message_release(message);
        if (!has_failed) {
            return n;
        }
    }
}

static int new_credentials(crt_credentials **out) {
    return crt_credentials_new(str("AKID"), str("SECRET"), str("TOKEN"), UINT64_MAX, out);
}

static int sign_step(crt_http_message *message, const crt_signing_config *config) {
    crt_credentials *credentials;
    crt_fault fault;
    int code = new_credentials(&credentials);
    if (code) {
        return code;
    }
    code = crt_sign_message(message, config, credentials, &fault);
    crt_credentials_release(credentials);
    return code;
}

static void messages(void **state) {
    for (int algorithm = CRT_SIGN_V4; algorithm <= CRT_SIGN_V4_ASYMMETRIC; algorithm++) {
        for (int type = CRT_SIGN_HEADERS; type <= CRT_SIGN_QUERY; type++) {
            crt_signing_config config = config_of("us-east-1", "vpc-lattice-svcs");
            config.algorithm = algorithm;
            config.signature_type = type;
            assert_true(fail_each(sign_step, &config) > 5);
        }
    }
}

static int presign_step(crt_http_message *message, const crt_signing_config *config) {
    crt_credentials *credentials;
    crt_presigner *presigner = NULL;
    crt_buf url = CRT_BUF_INIT, out = CRT_BUF_INIT;
    crt_fault fault;
    crt_bytes path = crt_http_message_path(message);
    const crt_http_header header = {str("x-a"), str("1")};
    int code = new_credentials(&credentials);
    if (code) {
        return code;
    }
    code = crt_presigner_new(config, credentials, &header, 1, &presigner, &fault);
    if (!code) {
        code = crt_buf_append(&url, "https://h", 9);
    }
    if (!code) {
        code = crt_buf_append(&url, path.ptr, path.len);
    }
    if (!code) {
        code = crt_presign(presigner, str("GET"), crt_buf_view(&url), &out, &fault);
    }
    crt_buf_free(&url);
    crt_buf_free(&out);
    crt_presigner_free(presigner);
    crt_credentials_release(credentials);
    return code;
}

static void presigned_urls(void **state) {
    crt_signing_config config = config_of("us-east-1", "s3");
    config.signature_type = CRT_SIGN_QUERY;
    assert_true(fail_each(presign_step, &config) > 5);
}

static int chunk_step(crt_http_message *message, const crt_signing_config *config) {
    crt_credentials *credentials;
    crt_chunk_signer *signer = NULL;
    crt_fault fault;
    uint8_t digest[32] = {0};
    char signature[CRT_SIGNATURE_MAX];
    size_t len;
    int code = new_credentials(&credentials);
    if (code) {
        return code;
    }
    code = crt_chunk_signer_new(config, credentials, str("00"), &signer, &fault);
    crt_credentials_release(credentials);
    if (!code) {
        code = crt_sign_chunk(signer, digest, signature, &len);
    }
    if (!code) {
        code = crt_sign_trailer(signer, crt_http_message_headers(message), signature, &len);
    }
    if (!code) {
        code = crt_sign_event(signer, 0, digest, digest);
    }
    crt_chunk_signer_free(signer);
    return code;
}

static void chunks(void **state) {
    crt_signing_config config = config_of("us-east-1", "s3");
    assert_true(fail_each(chunk_step, &config) > 5);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        leak_checked(messages),
        leak_checked(presigned_urls),
        leak_checked(chunks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
