/*
 * The canonical forms one by one: path, query, headers.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>

#include <cmocka.h>

#include "../auth/signing.h"

static void expect_text(crt_buf *buf, const char *expected) {
    assert_int_equal(crt_buf_append(buf, "", 1), 0);
    assert_string_equal((const char *)crt_buf_data(buf), expected);
    crt_buf_free(buf);
}

static void expect_path(const char *path, bool normalize, bool encode, const char *expected) {
    crt_buf out = CRT_BUF_INIT;
    assert_int_equal(crt_signing_canonical_path(&out, crt_bytes_str(path), normalize, encode), 0);
    expect_text(&out, expected);
}

static void path_normalisation_and_double_encoding(void **state) {
    expect_path("/a/../b//c%20d", true, true, "/b/c%2520d");
    expect_path("/a/../b//c%20d", true, false, "/b/c%20d");
    expect_path("/a/../b//c%20d", false, true, "/a/../b//c%2520d");
    expect_path("/a/../b//c%20d", false, false, "/a/../b//c%20d");
}

static void dot_segments_and_slashes(void **state) {
    static const char *const cases[][2] = {
        {"/a/./b/", "/a/b/"}, {"/a/b/..", "/a"}, {"/a/.", "/a"},   {"//", "/"},       {"", "/"},
        {"/", "/"},           {"/..", "/"},      {"/../..", "/"},  {"/../a", "/a"},   {"/a/../../b/", "/b/"},
        {"/a/b/../", "/a/"},  {"/.a/..b", "/.a/..b"}, {"/a//b///", "/a/b/"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        expect_path(cases[i][0], true, false, cases[i][1]);
    }
}

static void every_other_byte_is_encoded(void **state) {
    expect_path("/Az09-_.~ \xc3\xa9#+", true, true, "/Az09-_.~%20%C3%A9%23%2B");
}

static void expect_query(const char *query, const char *expected) {
    crt_signing_pair pairs[16];
    crt_buf text = CRT_BUF_INIT;
    crt_buf out = CRT_BUF_INIT;
    size_t count = 0;
    crt_bytes raw = crt_bytes_str(query);
    assert_true(crt_signing_query_max(raw) <= 16);
    assert_int_equal(crt_buf_reserve(&text, crt_signing_encoded_max(raw.len) + 1), 0);
    assert_int_equal(crt_signing_parse_query(&text, raw, pairs, &count), 0);
    assert_int_equal(crt_signing_canonical_query(&out, pairs, count), 0);
    crt_buf_free(&text);
    expect_text(&out, expected);
}

static void query_is_recoded_and_sorted(void **state) {
    expect_query("", "");
    expect_query("z=1&a=b c&a=%41", "a=A&a=b%20c&z=1");
    expect_query("&&a&&b=&", "a=&b=");
    expect_query("a=b=c", "a=b%3Dc");
    expect_query("p=/x+y", "p=%2Fx%2By");
    expect_query("a%20=1&a=2", "a=2&a%20=1");
    expect_query("a~=1&a%C3%A9=2&a=0&A=3", "A=3&a=0&a%C3%A9=2&a~=1");
    expect_query("=v", "=v");
    expect_query("a=%e2%82%ac#frag", "a=%E2%82%AC%23frag");
}

static void expect_target(const char *target, const char *path, const char *query) {
    crt_bytes found_path, found_query;
    assert_int_equal(crt_signing_split_target(crt_bytes_str(target), &found_path, &found_query), 0);
    assert_true(crt_bytes_eq(found_path, crt_bytes_str(path)));
    assert_true(crt_bytes_eq(found_query, crt_bytes_str(query)));
}

static void request_targets(void **state) {
    expect_target("/a?b=c", "/a", "b=c");
    expect_target("/a?u=http://h/p?x", "/a", "u=http://h/p?x");
    expect_target("https://host:8443/a/b?c", "/a/b", "c");
    expect_target("https://host", "", "");
    expect_target("host", "", "");
    expect_target("host?q=1", "", "q=1");
    expect_target("*", "", "");
    expect_target("/a#b?c#d", "/a#b", "c#d");
}

static void headers_are_folded_joined_and_sorted(void **state) {
    static const char *const given[][2] = {
        {"X-B", "  two   spaces\t"}, {"x-a", "1"}, {"Host", "ex.com"}, {"X-A", "\"q   q\""}, {"x-empty", ""},
        {"X-a", "a \t b"},
    };
    crt_signing_pair pairs[6];
    crt_buf out = CRT_BUF_INIT;
    crt_buf names = CRT_BUF_INIT;
    for (size_t i = 0; i < 6; i++) {
        pairs[i].name = crt_bytes_str(given[i][0]);
        pairs[i].value = crt_bytes_str(given[i][1]);
        pairs[i].order = i;
    }
    assert_int_equal(crt_signing_canonical_headers(&out, &names, pairs, 6), 0);
    expect_text(&out, "host:ex.com\nx-a:1,\"q q\",a b\nx-b:two spaces\nx-empty:\n");
    expect_text(&names, "host;x-a;x-b;x-empty");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(path_normalisation_and_double_encoding),
        cmocka_unit_test(dot_segments_and_slashes),
        cmocka_unit_test(every_other_byte_is_encoded),
        cmocka_unit_test(query_is_recoded_and_sorted),
        cmocka_unit_test(request_targets),
        cmocka_unit_test(headers_are_folded_joined_and_sorted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
