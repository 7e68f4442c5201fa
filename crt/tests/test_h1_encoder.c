/* Request rules and the bytes of the request head. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../http/h1_encoder.h"
#include "crt/memory.h"

static crt_bytes str(const char *s) {
    return crt_bytes_str(s);
}

/* headers: name, value, ..., NULL */
static crt_http_message *message(const char *method, const char *path, const char *const *headers) {
    crt_http_message *m = crt_http_message_new(NULL);
    crt_http_message_set_method(m, str(method));
    crt_http_message_set_path(m, str(path));
    for (; headers && *headers; headers += 2) {
        assert_int_equal(crt_http_headers_add(crt_http_message_headers(m), str(headers[0]), str(headers[1])), 0);
    }
    return m;
}

#define HEADERS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void no_destroy(crt_source *source) {
}
static const crt_source_ops source_ops = {NULL, NULL, no_destroy};
static crt_source body = {&source_ops, {1}, CRT_SOURCE_MEMORY, {NULL, 0}, -1, 0, 0};

static void expect_head(crt_http_message *m, const crt_h1_forward *forward, const char *expected) {
    crt_h1_request r;
    assert_int_equal(crt_h1_check_request(m, forward, false, &r), 0);
    assert_int_equal(r.head_len, strlen(expected));
    uint8_t *out = malloc(r.head_len);
    crt_h1_write_head(m, forward, &r, out);
    assert_memory_equal(out, expected, r.head_len);
    free(out);
    crt_http_message_release(m);
}

static void expect_code(crt_http_message *m, int code) {
    crt_h1_request r;
    assert_int_equal(crt_h1_check_request(m, NULL, false, &r), code);
    crt_http_message_release(m);
}

static void head_is_verbatim(void **state) {
    expect_head(message("GET", "/a?b#c", HEADERS("Host", "h", "x-Y", "", "Host", "2")), NULL,
                "GET /a?b#c HTTP/1.1\r\nHost: h\r\nx-Y: \r\nHost: 2\r\n\r\n");
    expect_head(message("M-SEARCH", "relative/\xc3\xa4", NULL), NULL, "M-SEARCH relative/\xc3\xa4 HTTP/1.1\r\n\r\n");
}

static void methods_and_paths_are_checked(void **state) {
    static const char *const bad_methods[] = {"", "G ET", "GET\r\n", "G\xc3\xa4T", "GET:"};
    for (size_t i = 0; i < sizeof(bad_methods) / sizeof(bad_methods[0]); i++) {
        expect_code(message(bad_methods[i], "/", NULL), AWS_ERROR_HTTP_INVALID_METHOD);
    }
    static const char *const bad_paths[] = {"", "/a b", "/\r\nX: y", "/\t", "/\x01"};
    for (size_t i = 0; i < sizeof(bad_paths) / sizeof(bad_paths[0]); i++) {
        expect_code(message("GET", bad_paths[i], NULL), AWS_ERROR_HTTP_INVALID_PATH);
    }
}

static void headers_are_checked(void **state) {
    static const char *const names[] = {"a b", ":path", "a:", "a\n", "\xc3\xa4", "a\r\nb"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        expect_code(message("GET", "/", HEADERS(names[i], "x")), AWS_ERROR_HTTP_INVALID_HEADER_NAME);
    }
    static const char *const values[] = {"a\nb", "a\rb", "a\r\nX: y", "\x01", "a\x7f"};
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        expect_code(message("GET", "/", HEADERS("a", values[i])), AWS_ERROR_HTTP_INVALID_HEADER_VALUE);
    }
    expect_code(message("GET", "/", HEADERS("a", "in\tner \xc3\xa4\xff")), 0);
}

static void framing_headers_are_checked(void **state) {
    static const struct {
        const char *name, *value;
        int code;
    } rows[] = {
        {"Content-Length", "x", AWS_ERROR_HTTP_INVALID_HEADER_VALUE},
        {"Content-Length", "-1", AWS_ERROR_HTTP_INVALID_HEADER_VALUE},
        {"Content-Length", "", AWS_ERROR_HTTP_INVALID_HEADER_VALUE},
        {"content-length", "18446744073709551616", AWS_ERROR_HTTP_INVALID_HEADER_VALUE},
        {"Content-Length", "1", AWS_ERROR_HTTP_MISSING_BODY_STREAM},
        {"Content-Length", "0", 0},
        {"Transfer-Encoding", "", AWS_ERROR_HTTP_INVALID_HEADER_VALUE},
        {"Transfer-Encoding", "gzip", AWS_ERROR_HTTP_INVALID_HEADER_VALUE},
        {"Transfer-Encoding", "Chunked", AWS_ERROR_HTTP_INVALID_HEADER_VALUE},
        {"Transfer-Encoding", "chunked, gzip", AWS_ERROR_HTTP_INVALID_HEADER_VALUE},
        {"transfer-encoding", "gzip, chunked", 0},
        {"Transfer-Encoding", "chunked", 0},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        expect_code(message("PUT", "/", HEADERS(rows[i].name, rows[i].value)), rows[i].code);
    }
    expect_code(message("PUT", "/", HEADERS("Content-Length", "0", "Transfer-Encoding", "chunked")),
                AWS_ERROR_HTTP_INVALID_HEADER_FIELD);
    expect_code(message("PUT", "/", HEADERS("Content-Length", "0", "content-length", "0")),
                AWS_ERROR_HTTP_INVALID_HEADER_FIELD);
    expect_code(message("PUT", "/", HEADERS("Transfer-Encoding", "gzip", "Transfer-Encoding", "chunked")), 0);
}

static void kind_framing_and_close_are_recognised(void **state) {
    crt_h1_request r;
    crt_http_message *m = message("HEAD", "/", HEADERS("Connection", "close"));
    assert_int_equal(crt_h1_check_request(m, NULL, false, &r), 0);
    assert_int_equal(r.kind, CRT_H1_REQUEST_HEAD);
    assert_true(r.close);
    assert_int_equal(r.framing, CRT_H1_NO_BODY);
    crt_http_message_release(m);

    m = message("CONNECT", "h:1", HEADERS("Connection", "Close", "Content-Length", "7"));
    crt_http_message_set_body(m, &body);
    assert_int_equal(crt_h1_check_request(m, NULL, false, &r), 0);
    assert_int_equal(r.kind, CRT_H1_REQUEST_CONNECT);
    assert_false(r.close); /* the value is compared with its case */
    assert_int_equal(r.framing, CRT_H1_LENGTH);
    assert_int_equal(r.content_length, 7);
    crt_http_message_release(m);
}

static void forwarding_rewrites_the_target_and_adds_credentials(void **state) {
    crt_h1_forward plain = {str("http://origin:80"), {NULL, 0}};
    crt_h1_forward basic = {str("http://origin:80"), str("Basic dTpw")};
    expect_head(message("GET", "/p?q", NULL), &plain, "GET http://origin:80/p?q HTTP/1.1\r\n\r\n");
    expect_head(message("GET", "http://other:1/p", NULL), &plain, "GET http://origin:80/p HTTP/1.1\r\n\r\n");
    expect_head(message("GET", "HTTP://other", NULL), &plain, "GET http://origin:80/ HTTP/1.1\r\n\r\n");
    expect_head(message("GET", "https://other?q", NULL), &plain, "GET http://origin:80/?q HTTP/1.1\r\n\r\n");
    expect_head(message("OPTIONS", "*", NULL), &plain, "OPTIONS http://origin:80 HTTP/1.1\r\n\r\n");
    expect_head(message("GET", "p", NULL), &plain, "GET http://origin:80/p HTTP/1.1\r\n\r\n");
    crt_http_message *m = message("GET", "/", HEADERS("A", "1", "proxy-authorization", "old"));
    crt_http_message_acquire(m);
    expect_head(m, &basic, "GET http://origin:80/ HTTP/1.1\r\nA: 1\r\nProxy-Authorization: Basic dTpw\r\n\r\n");
    assert_int_equal(crt_http_headers_count(crt_http_message_headers(m)), 2); /* the message is as it was */
    assert_true(crt_bytes_eq(crt_http_message_path(m), str("/")));
    crt_http_message_release(m);
}

static void nothing_leaks(void **state) {
    assert_int_equal(crt_memory_live(), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(head_is_verbatim),
        cmocka_unit_test(methods_and_paths_are_checked),
        cmocka_unit_test(headers_are_checked),
        cmocka_unit_test(framing_headers_are_checked),
        cmocka_unit_test(kind_framing_and_close_are_recognised),
        cmocka_unit_test(forwarding_rewrites_the_target_and_adds_credentials),
        cmocka_unit_test(nothing_leaks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
