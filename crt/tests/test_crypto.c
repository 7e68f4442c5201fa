/* Hashes (FIPS 180-4, RFC 1321), HMAC (RFC 4231), base64 (RFC 4648), hex, random bytes. */
#include "support.h"

#include "crt/crypto.h"

static const char *hex(const uint8_t *data, size_t len) {
    static char text[2 * CRT_HASH_MAX + 1];
    crt_hex_encode(crt_bytes_of(data, len), text);
    text[2 * len] = '\0';
    return text;
}

static const struct {
    enum crt_hash_kind kind;
    size_t size;
    const char *empty, *abc;
} known[] = {
    {CRT_HASH_MD5, 16, "d41d8cd98f00b204e9800998ecf8427e", "900150983cd24fb0d6963f7d28e17f72"},
    {CRT_HASH_SHA1, 20, "da39a3ee5e6b4b0d3255bfef95601890afd80709", "a9993e364706816aba3e25717850c26c9cd0d89d"},
    {CRT_HASH_SHA256, 32, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
     "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    {CRT_HASH_SHA512, 64,
     "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce"
     "47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e",
     "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
     "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"},
};

static void hashes_of_known_texts(void **state) {
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        uint8_t out[CRT_HASH_MAX];
        crt_hash *hash;

        assert_int_equal(crt_hash_size(known[i].kind), known[i].size);
        assert_int_equal(crt_hash_new(known[i].kind, &hash), 0);
        assert_int_equal(crt_hash_digest(hash, out), 0);
        assert_string_equal(hex(out, known[i].size), known[i].empty);
        crt_hash_free(hash);

        assert_int_equal(crt_hash_new(known[i].kind, &hash), 0);
        assert_int_equal(crt_hash_update(hash, crt_bytes_str("a")), 0);
        assert_int_equal(crt_hash_update(hash, crt_bytes_of(NULL, 0)), 0);
        assert_int_equal(crt_hash_update(hash, crt_bytes_str("bc")), 0);
        assert_int_equal(crt_hash_digest(hash, out), 0);
        assert_string_equal(hex(out, known[i].size), known[i].abc);
        crt_hash_free(hash);
    }
}

static void a_digest_ends_the_computation(void **state) {
    uint8_t out[CRT_HASH_MAX];
    crt_hash *hash;
    crt_hmac *hmac;

    assert_int_equal(crt_hash_new(CRT_HASH_SHA256, &hash), 0);
    assert_int_equal(crt_hash_digest(hash, out), 0);
    assert_int_equal(crt_hash_update(hash, crt_bytes_str("x")), AWS_ERROR_INVALID_STATE);
    assert_int_equal(crt_hash_digest(hash, out), AWS_ERROR_INVALID_STATE);
    crt_hash_free(hash);

    assert_int_equal(crt_hmac_new(crt_bytes_str("key"), &hmac), 0);
    assert_int_equal(crt_hmac_digest(hmac, out), 0);
    assert_int_equal(crt_hmac_update(hmac, crt_bytes_str("x")), AWS_ERROR_INVALID_STATE);
    assert_int_equal(crt_hmac_digest(hmac, out), AWS_ERROR_INVALID_STATE);
    crt_hmac_free(hmac);
    crt_hmac_free(NULL);
}

static void an_unknown_hash_is_refused(void **state) {
    crt_hash *hash = NULL;
    assert_int_equal(crt_hash_new((enum crt_hash_kind)77, &hash), AWS_ERROR_INVALID_ARGUMENT);
    assert_null(hash);
    assert_int_equal(crt_hash_size((enum crt_hash_kind)77), 0);
}

static void one_shot_sha256(void **state) {
    uint8_t out[32];
    assert_int_equal(crt_sha256(crt_bytes_str("abc"), out), 0);
    assert_string_equal(hex(out, 32), known[2].abc);
    assert_int_equal(crt_sha256(crt_bytes_of(NULL, 0), out), 0);
    assert_string_equal(hex(out, 32), known[2].empty);
}

/* RFC 4231, test cases 1, 2 and 6 (a key longer than the block), and the empty key with the empty text. */
static void hmac_of_known_texts(void **state) {
    uint8_t long_key[131], short_key[20];
    memset(long_key, 0xaa, sizeof(long_key));
    memset(short_key, 0x0b, sizeof(short_key));
    const struct {
        crt_bytes key, data;
        const char *expected;
    } cases[] = {
        {crt_bytes_of(short_key, 20), crt_bytes_str("Hi There"),
         "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
        {crt_bytes_str("Jefe"), crt_bytes_str("what do ya want for nothing?"),
         "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
        {crt_bytes_of(long_key, 131), crt_bytes_str("Test Using Larger Than Block-Size Key - Hash Key First"),
         "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"},
        {crt_bytes_of(NULL, 0), crt_bytes_of(NULL, 0),
         "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t out[32];
        crt_hmac *hmac;
        size_t half = cases[i].data.len / 2;

        assert_int_equal(crt_hmac_sha256(cases[i].key, cases[i].data, out), 0);
        assert_string_equal(hex(out, 32), cases[i].expected);

        assert_int_equal(crt_hmac_new(cases[i].key, &hmac), 0);
        assert_int_equal(crt_hmac_update(hmac, crt_bytes_of(cases[i].data.ptr, half)), 0);
        assert_int_equal(
            crt_hmac_update(hmac, crt_bytes_of(half ? cases[i].data.ptr + half : NULL, cases[i].data.len - half)), 0);
        assert_int_equal(crt_hmac_digest(hmac, out), 0);
        assert_string_equal(hex(out, 32), cases[i].expected);
        crt_hmac_free(hmac);
    }
}

/* RFC 4648 section 10 */
static void base64_of_known_texts(void **state) {
    static const char *const pairs[][2] = {
        {"", ""},         {"f", "Zg=="},        {"fo", "Zm8="},          {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="}, {"fooba", "Zm9vYmE="}, {"foobar", "Zm9vYmFy"}, {"\xfb\xff\xfe", "+//+"},
    };
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        crt_bytes plain = crt_bytes_str(pairs[i][0]);
        char text[16] = {0};
        uint8_t back[16];
        size_t back_len = 99;

        assert_int_equal(crt_base64_encoded_len(plain.len), strlen(pairs[i][1]));
        crt_base64_encode(plain, text);
        assert_string_equal(text, pairs[i][1]);
        assert_int_equal(crt_base64_decode(crt_bytes_str(pairs[i][1]), back, &back_len), 0);
        assert_int_equal(back_len, plain.len);
        assert_memory_equal(back, plain.ptr, plain.len);
    }
}

static void base64_that_is_none_is_refused(void **state) {
    static const char *const bad[] = {"Z", "Zg", "Zg=", "Zg==Zg==", "====", "Z===", "Zm9v\n", "Zm 9", "Zm9-", "Zg=a",
                                      "\xff\xff\xff\xff"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        uint8_t out[16];
        size_t len = 99;
        if (crt_base64_decode(crt_bytes_str(bad[i]), out, &len) != AWS_ERROR_INVALID_BASE64_STR) {
            fail_msg("'%s' was accepted", bad[i]);
        }
        assert_int_equal(len, 0);
    }
}

static void base64_round_trips_at_every_length(void **state) {
    uint8_t data[256], back[256];
    char text[344];
    for (size_t i = 0; i < sizeof(data); i++) {
        data[i] = (uint8_t)(i * 167 + 13);
    }
    for (size_t len = 0; len <= sizeof(data); len++) {
        size_t back_len;
        crt_base64_encode(crt_bytes_of(data, len), text);
        assert_int_equal(crt_base64_decode(crt_bytes_of(text, crt_base64_encoded_len(len)), back, &back_len), 0);
        assert_int_equal(back_len, len);
        assert_memory_equal(back, data, len);
    }
}

static void random_bytes_differ(void **state) {
    uint8_t a[32] = {0}, b[32] = {0};
    assert_int_equal(crt_random(a, sizeof(a)), 0);
    assert_int_equal(crt_random(b, sizeof(b)), 0);
    assert_memory_not_equal(a, b, sizeof(a));
    assert_int_equal(crt_random(NULL, 0), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        leak_checked(hashes_of_known_texts),
        leak_checked(a_digest_ends_the_computation),
        leak_checked(an_unknown_hash_is_refused),
        leak_checked(one_shot_sha256),
        leak_checked(hmac_of_known_texts),
        leak_checked(base64_of_known_texts),
        leak_checked(base64_that_is_none_is_refused),
        leak_checked(base64_round_trips_at_every_length),
        leak_checked(random_bytes_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
