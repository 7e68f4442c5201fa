/* Headers and messages: the ordered multimap and the request container. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "crt/http.h"
#include "crt/memory.h"

static crt_bytes str(const char *s) {
    return crt_bytes_str(s);
}

static void assert_entry(const crt_http_headers *h, size_t index, const char *name, const char *value) {
    crt_http_header entry = crt_http_headers_at(h, index);
    assert_true(crt_bytes_eq(entry.name, str(name)));
    assert_true(crt_bytes_eq(entry.value, str(value)));
}

static void keeps_order_duplicates_and_spelling(void **state) {
    crt_http_headers *h = crt_http_headers_new();
    assert_int_equal(crt_http_headers_add(h, str("Accept"), str("a")), 0);
    assert_int_equal(crt_http_headers_add(h, str("X-B"), str("b")), 0);
    assert_int_equal(crt_http_headers_add(h, str("aCCept"), str("c")), 0);
    assert_int_equal(crt_http_headers_count(h), 3);
    assert_entry(h, 0, "Accept", "a");
    assert_entry(h, 2, "aCCept", "c");
    crt_bytes value;
    assert_true(crt_http_headers_get(h, str("ACCEPT"), &value));
    assert_true(crt_bytes_eq(value, str("a")));
    assert_false(crt_http_headers_get(h, str("Accept-"), &value));
    crt_http_headers_release(h);
}

static void trims_values_and_refuses_empty_names(void **state) {
    crt_http_headers *h = crt_http_headers_new();
    assert_int_equal(crt_http_headers_add(h, str("A"), str(" \t x y\t ")), 0);
    assert_int_equal(crt_http_headers_add(h, str("B"), str(" \t ")), 0);
    assert_entry(h, 0, "A", "x y");
    assert_entry(h, 1, "B", "");
    assert_int_equal(crt_http_headers_add(h, str(""), str("x")), AWS_ERROR_HTTP_INVALID_HEADER_NAME);
    assert_int_equal(crt_http_headers_set(h, str(""), str("x")), AWS_ERROR_HTTP_INVALID_HEADER_NAME);
    assert_int_equal(crt_http_headers_count(h), 2);
    crt_http_headers_release(h);
}

static void pseudo_headers_go_to_the_front(void **state) {
    crt_http_headers *h = crt_http_headers_new();
    crt_http_headers_add(h, str(":method"), str("GET"));
    crt_http_headers_add(h, str(":path"), str("/")); /* last one is a pseudo header: stays in order */
    assert_entry(h, 1, ":path", "/");
    crt_http_headers_add(h, str("a"), str("1"));
    crt_http_headers_add(h, str(":scheme"), str("https"));
    assert_entry(h, 0, ":scheme", "https");
    crt_http_headers_set(h, str(":path"), str("/x"));
    assert_entry(h, 0, ":path", "/x");
    assert_int_equal(crt_http_headers_count(h), 4);
    crt_http_headers_release(h);
}

static void set_replaces_all_and_moves_to_the_end(void **state) {
    crt_http_headers *h = crt_http_headers_new();
    crt_http_headers_add(h, str("A"), str("1"));
    crt_http_headers_add(h, str("B"), str("2"));
    crt_http_headers_add(h, str("a"), str("3"));
    assert_int_equal(crt_http_headers_set(h, str("a"), str("4")), 0);
    assert_int_equal(crt_http_headers_count(h), 2);
    assert_entry(h, 0, "B", "2");
    assert_entry(h, 1, "a", "4");
    crt_http_headers_release(h);
}

static void removes_by_name_and_by_value(void **state) {
    crt_http_headers *h = crt_http_headers_new();
    crt_http_headers_add(h, str("A"), str("1"));
    crt_http_headers_add(h, str("a"), str("2"));
    crt_http_headers_add(h, str("B"), str("1"));
    assert_false(crt_http_headers_remove_value(h, str("A"), str("3")));
    assert_true(crt_http_headers_remove_value(h, str("a"), str("1")));
    assert_entry(h, 0, "a", "2");
    assert_int_equal(crt_http_headers_remove(h, str("A")), 1);
    assert_int_equal(crt_http_headers_remove(h, str("A")), 0);
    crt_http_headers_clear(h);
    assert_int_equal(crt_http_headers_count(h), 0);
    crt_http_headers_release(h);
}

/* A view that came from the object may be handed back to it, even when the arena has to move. */
static void accepts_views_of_itself(void **state) {
    char big[3000];
    memset(big, 'v', sizeof(big));
    crt_http_headers *h = crt_http_headers_new();
    crt_http_headers_add(h, str("Name"), str("value"));
    for (int i = 0; i < 200; i++) {
        crt_http_header first = crt_http_headers_at(h, 0);
        assert_int_equal(crt_http_headers_add(h, first.name, first.value), 0);
    }
    crt_http_header first = crt_http_headers_at(h, 0);
    assert_int_equal(crt_http_headers_set(h, first.name, crt_bytes_of(big, sizeof(big))), 0);
    assert_int_equal(crt_http_headers_count(h), 1);
    assert_int_equal(crt_http_headers_at(h, 0).value.len, sizeof(big));
    for (int i = 0; i < 50; i++) { /* garbage does not pile up */
        assert_int_equal(crt_http_headers_set(h, str("Name"), crt_http_headers_at(h, 0).value), 0);
    }
    assert_entry(h, 1, "", "");
    assert_memory_equal(crt_http_headers_at(h, 0).value.ptr, big, sizeof(big));
    crt_http_headers_release(h);
}

static void message_holds_its_parts(void **state) {
    crt_http_headers *headers = crt_http_headers_new();
    crt_http_message *m = crt_http_message_new(headers);
    assert_ptr_equal(crt_http_message_headers(m), headers);
    crt_http_headers_release(headers);
    assert_int_equal(crt_http_message_method(m).len, 0);
    assert_int_equal(crt_http_message_set_method(m, str("PROPFIND-WITH-A-LONG-NAME")), 0);
    assert_true(crt_bytes_eq(crt_http_message_method(m), str("PROPFIND-WITH-A-LONG-NAME")));
    assert_int_equal(crt_http_message_set_method(m, str("GET")), 0);
    assert_true(crt_bytes_eq(crt_http_message_method(m), str("GET")));
    char path[400];
    memset(path, 'p', sizeof(path));
    assert_int_equal(crt_http_message_set_path(m, crt_bytes_of(path, sizeof(path))), 0);
    crt_bytes tail = crt_bytes_of(crt_http_message_path(m).ptr + 1, sizeof(path) - 1);
    assert_int_equal(crt_http_message_set_path(m, tail), 0);
    assert_int_equal(crt_http_message_path(m).len, sizeof(path) - 1);
    assert_null(crt_http_message_body(m));
    crt_http_message_acquire(m);
    crt_http_message_release(m);
    crt_http_message_release(m);
}

static void nothing_leaks(void **state) {
    assert_int_equal(crt_memory_live(), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_order_duplicates_and_spelling),
        cmocka_unit_test(trims_values_and_refuses_empty_names),
        cmocka_unit_test(pseudo_headers_go_to_the_front),
        cmocka_unit_test(set_replaces_all_and_moves_to_the_end),
        cmocka_unit_test(removes_by_name_and_by_value),
        cmocka_unit_test(accepts_views_of_itself),
        cmocka_unit_test(message_holds_its_parts),
        cmocka_unit_test(nothing_leaks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
