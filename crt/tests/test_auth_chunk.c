/*
 * Rolling signatures: the examples of the Amazon S3 API Reference ("Transferring Payload in Multiple Chunks",
 * "Including Trailing Headers"), events against another implementation, SigV4A against its verifier.
 */
#include "auth_support.h"

static crt_chunk_signer *signer_of(const crt_signing_config *config, crt_credentials *credentials,
                                   const char *previous) {
    crt_fault fault;
    crt_chunk_signer *signer;
    assert_int_equal(crt_chunk_signer_new(config, credentials, str(previous), &signer, &fault), 0);
    return signer;
}

static crt_chunk_signer *example_signer(const char *previous) {
    crt_credentials *credentials = example_credentials();
    crt_signing_config config = config_of("us-east-1", "s3");
    config.date_unix = DATE_2013;
    crt_chunk_signer *signer = signer_of(&config, credentials, previous);
    crt_credentials_release(credentials); /* the signer keeps them */
    return signer;
}

static void hash_letters(size_t count, uint8_t digest[32]) {
    crt_hash *hash;
    assert_int_equal(crt_hash_new(CRT_HASH_SHA256, &hash), 0);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(crt_hash_update(hash, str("a")), 0);
    }
    assert_int_equal(crt_hash_digest(hash, digest), 0);
    crt_hash_free(hash);
}

/* 65 KiB of the letter a, in chunks of 64 KiB, 1 KiB and nothing. */
static void sign_example_chunks(crt_chunk_signer *signer, const char *const expected[3]) {
    static const size_t sizes[] = {65536, 1024, 0};
    for (size_t i = 0; i < 3; i++) {
        uint8_t digest[32];
        char signature[CRT_SIGNATURE_MAX];
        size_t len;
        hash_letters(sizes[i], digest);
        assert_int_equal(crt_sign_chunk(signer, digest, signature, &len), 0);
        expect_text(crt_bytes_of(signature, len), expected[i]);
    }
}

static void published_chunks(void **state) {
    static const char *const headers[] = {
        "Host", "s3.amazonaws.com", "x-amz-storage-class", "REDUCED_REDUNDANCY", "Content-Encoding", "aws-chunked",
        "x-amz-decoded-content-length", "66560", "Content-Length", "66824", NULL,
    };
    static const char *const expected[] = {
        "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
        "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
        "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
    };
    crt_credentials *credentials = example_credentials();
    crt_http_message *message = message_of("PUT", "/examplebucket/chunkObject.txt", headers);
    crt_signing_config config = config_of("us-east-1", "s3");
    config.date_unix = DATE_2013;
    config.add_content_sha256 = true;
    config.body_value = str("STREAMING-AWS4-HMAC-SHA256-PAYLOAD");
    config.double_uri_encode = config.normalize_path = false;
    sign(message, &config, credentials);
    const char *seed = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9";
    expect_text(crt_message_signature(message), seed);
    crt_chunk_signer *signer = signer_of(&config, credentials, seed);
    sign_example_chunks(signer, expected);
    crt_chunk_signer_free(signer);
    crt_http_message_release(message);
    crt_credentials_release(credentials);
}

static crt_http_headers *trailer_of(const char *const *pairs) {
    crt_http_headers *trailer = crt_http_headers_new();
    for (; *pairs; pairs += 2) {
        assert_int_equal(crt_http_headers_add(trailer, str(pairs[0]), str(pairs[1])), 0);
    }
    return trailer;
}

/* The example's own last signature does not belong to its string to sign, which is what this one is made of. */
static void published_trailer(void **state) {
    static const char *const expected[] = {
        "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
        "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
        "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992",
    };
    static const char *const pairs[] = {"X-Amz-Checksum-Crc32c", " sOO8/Q==", NULL};
    crt_chunk_signer *signer = example_signer("106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e");
    crt_http_headers *trailer = trailer_of(pairs);
    char signature[CRT_SIGNATURE_MAX];
    size_t len;
    sign_example_chunks(signer, expected);
    assert_int_equal(crt_sign_trailer(signer, trailer, signature, &len), 0);
    expect_text(crt_bytes_of(signature, len), "d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435");
    crt_http_headers_release(trailer);
    crt_chunk_signer_free(signer);
}

/* Names without case and in any order, values without needless blanks: the canonical lines are the same. */
static void trailers_are_canonical(void **state) {
    static const char *const one[] = {"x-b", "2", "X-A", "1  1", NULL};
    static const char *const other[] = {"x-a", " 1 1 ", "X-b", "2", NULL};
    char signatures[2][CRT_SIGNATURE_MAX];
    size_t len;
    for (int i = 0; i < 2; i++) {
        crt_chunk_signer *signer = example_signer("00");
        crt_http_headers *trailer = trailer_of(i ? other : one);
        assert_int_equal(crt_sign_trailer(signer, trailer, signatures[i], &len), 0);
        assert_int_equal(len, 64);
        crt_http_headers_release(trailer);
        crt_chunk_signer_free(signer);
    }
    assert_memory_equal(signatures[0], signatures[1], 64);
}

/* Each has a date of its own; the third is signed with the next day's key. */
static void events_roll_over_midnight(void **state) {
    static const struct {
        int64_t date_ms;
        const char *signature;
    } cases[] = {
        {INT64_C(1440938160123), "d1fe5faa1e10ddff8e27643e96f83ef47276580284c0ef117726c8109f4d6467"},
        {INT64_C(1440979199999), "1b3710cdbd744cdc82e0ad7751472286108f904c11d36b6b50a88994b2ed0ecc"},
        {INT64_C(1440979200000), "71a291d5488a540d19633db38d1aac72dfc7d4334fc9f6c5b7c3c9f64146c54c"},
    };
    crt_credentials *credentials = credentials_of("AKID", "SECRET", NULL);
    crt_signing_config config = config_of("us-east-1", "transcribe");
    crt_chunk_signer *signer =
        signer_of(&config, credentials, "abababababababababababababababababababababababababababababababab");
    uint8_t digest[32], signature[32];
    assert_int_equal(crt_sha256(str("an event"), digest), 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char hex[65] = {0};
        assert_int_equal(crt_sign_event(signer, cases[i].date_ms, digest, signature), 0);
        crt_hex_encode(crt_bytes_of(signature, 32), hex);
        assert_string_equal(hex, cases[i].signature);
        /* One that cannot be signed leaves the chain alone. */
        assert_int_equal(crt_sign_event(signer, INT64_MAX, digest, signature), AWS_AUTH_SIGNING_INVALID_CONFIGURATION);
        assert_int_equal(crt_sign_event(signer, INT64_MIN, digest, signature), AWS_AUTH_SIGNING_INVALID_CONFIGURATION);
    }
    crt_chunk_signer_free(signer);
    crt_credentials_release(credentials);
}

static void expect_valid_4a(const crt_credentials *credentials, const char *text, const char *signature) {
    uint8_t digest[32], raw[CRT_EC_SIGNATURE_MAX];
    size_t len = 0;
    crt_ec *key = ec_key_of(credentials);
    bool valid;
    for (; len < CRT_SIGNATURE_MAX / 2 && signature[2 * len] != '*'; len++) {
        unsigned value;
        assert_int_equal(sscanf(signature + 2 * len, "%2x", &value), 1);
        raw[len] = (uint8_t)value;
    }
    assert_int_equal(crt_sha256(str(text), digest), 0);
    assert_int_equal(crt_ec_verify(key, crt_bytes_of(digest, 32), crt_bytes_of(raw, len), &valid), 0);
    assert_true(valid);
    crt_ec_free(key);
}

#define SIGV4A_LINES(kind) "AWS4-ECDSA-P256-SHA256-" kind "\n20150830T123600Z\n20150830/s3/aws4_request\n%.*s\n%s"

/* Filled up to one length on the wire; the filling is no part of what the next one is signed over. */
static void asymmetric_signatures(void **state) {
    static const char *const pairs[] = {"x-a", "1", NULL};
    crt_credentials *credentials = credentials_of("AKID", "SECRET", NULL);
    crt_signing_config config = config_of("*", "s3");
    config.algorithm = CRT_SIGN_V4_ASYMMETRIC;
    crt_chunk_signer *signer = signer_of(&config, credentials, "3045****");
    crt_http_headers *trailer = trailer_of(pairs);
    uint8_t digest[32];
    char first[CRT_SIGNATURE_MAX], second[CRT_SIGNATURE_MAX], hex[65] = {0}, text[512];
    size_t len;

    assert_int_equal(crt_sha256(str("a chunk"), digest), 0);
    assert_int_equal(crt_sign_chunk(signer, digest, first, &len), 0);
    assert_int_equal(len, CRT_SIGNATURE_MAX);
    crt_hex_encode(crt_bytes_of(digest, 32), hex);
    snprintf(text, sizeof(text), SIGV4A_LINES("PAYLOAD") "\n%s", 4, "3045", CRT_EMPTY_SHA256, hex);
    expect_valid_4a(credentials, text, first);

    assert_int_equal(crt_sign_trailer(signer, trailer, second, &len), 0);
    assert_int_equal(len, CRT_SIGNATURE_MAX);
    assert_int_equal(crt_sha256_hex(str("x-a:1\n"), hex), 0);
    int first_len = CRT_SIGNATURE_MAX;
    while (first[first_len - 1] == '*') {
        first_len--;
    }
    snprintf(text, sizeof(text), SIGV4A_LINES("TRAILER"), first_len, first, hex);
    expect_valid_4a(credentials, text, second);

    assert_int_equal(crt_sign_event(signer, 0, digest, digest), AWS_AUTH_SIGNING_UNSUPPORTED_SIGNATURE_TYPE);
    crt_http_headers_release(trailer);
    crt_chunk_signer_free(signer);
    crt_credentials_release(credentials);
}

static void expect_refused(const crt_signing_config *config, crt_credentials *credentials, const char *previous,
                           int code) {
    crt_fault fault;
    crt_chunk_signer *signer;
    assert_int_equal(crt_chunk_signer_new(config, credentials, str(previous), &signer, &fault), code);
    assert_int_equal(fault.code, code);
    assert_true(strlen(fault.detail) > 0);
    assert_null(signer);
}

static void refusals(void **state) {
    char long_signature[CRT_SIGNATURE_MAX + 2];
    crt_credentials *credentials = credentials_of("AKID", "SECRET", NULL);
    crt_signing_config config = config_of("us-east-1", "s3");
    memset(long_signature, 'a', sizeof(long_signature) - 1);
    long_signature[sizeof(long_signature) - 1] = '\0';
    expect_refused(&config, credentials, "", AWS_AUTH_SIGNING_MISSING_PREVIOUS_SIGNATURE);
    expect_refused(&config, credentials, "***", AWS_AUTH_SIGNING_MISSING_PREVIOUS_SIGNATURE);
    expect_refused(&config, credentials, long_signature, AWS_AUTH_SIGNING_INVALID_CONFIGURATION);
    expect_refused(&config, NULL, "00", AWS_AUTH_SIGNING_NO_CREDENTIALS);
    config.region = str("");
    expect_refused(&config, credentials, "00", AWS_AUTH_SIGNING_INVALID_CONFIGURATION);
    config = config_of("us-east-1", "s3");
    config.algorithm = -1;
    expect_refused(&config, credentials, "00", AWS_AUTH_SIGNING_UNSUPPORTED_ALGORITHM);
    config = config_of("us-east-1", "s3");
    config.date_unix = INT64_MAX;
    expect_refused(&config, credentials, "00", AWS_AUTH_SIGNING_INVALID_CONFIGURATION);
    crt_credentials_release(credentials);
    crt_chunk_signer_free(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        leak_checked(published_chunks),   leak_checked(published_trailer),
        leak_checked(trailers_are_canonical), leak_checked(events_roll_over_midnight),
        leak_checked(asymmetric_signatures),  leak_checked(refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
