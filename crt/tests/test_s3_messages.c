/* XML replies, the Complete document, and which of the caller's headers each request of a transfer carries. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "../s3/message.h"
#include "../s3/xml.h"

/* ---- XML ---- */

static void text_of_an_element_is_found(void **state) {
    char out[64];
    crt_bytes doc = crt_bytes_str("<?xml version=\"1.0\"?>\n<Error><Code>No&amp;Such</Code><Message>m</Message></Error>");
    assert_true(crt_s3_xml_text(doc, "Error/Code", out, sizeof out));
    assert_string_equal(out, "No&Such");
    assert_true(crt_s3_xml_text(doc, "Error/Message", out, sizeof out));
    assert_string_equal(out, "m");
}

static void an_element_elsewhere_is_not_taken(void **state) {
    char out[64];
    assert_false(crt_s3_xml_text(crt_bytes_str("<R><Error><Code>x</Code></Error></R>"), "Error/Code", out, sizeof out));
    assert_false(crt_s3_xml_text(crt_bytes_str("<Error><D><Code>x</Code></D></Error>"), "Error/Code", out, sizeof out));
    assert_false(crt_s3_xml_text(crt_bytes_str("<Error><Co>x</Co></Error>"), "Error/Code", out, sizeof out));
}

static void siblings_and_depth_do_not_confuse(void **state) {
    char out[64], deep[4096] = "<Error>";
    for (int i = 0; i < 100; i++) {
        strcat(deep, "<aaaaaaaa>");
    }
    for (int i = 0; i < 100; i++) {
        strcat(deep, "</aaaaaaaa>");
    }
    strcat(deep, "<b/><Code>found</Code></Error>");
    assert_true(crt_s3_xml_text(crt_bytes_str(deep), "Error/Code", out, sizeof out));
    assert_string_equal(out, "found");
}

static void what_is_not_xml_has_no_text(void **state) {
    char out[64];
    const char *const bad[] = {"", "hello", "<Error><Code>x", "<Error>", "\xff\xfe\xfd"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(crt_s3_xml_text(crt_bytes_str(bad[i]), "Error/Code", out, sizeof out));
    }
}

static void documents_with_a_dtd_are_refused(void **state) {
    char out[64];
    const char *doc = "<!DOCTYPE Error [<!ENTITY a \"aaaa\">]><Error><Code>&a;</Code></Error>";
    assert_false(crt_s3_xml_text(crt_bytes_str(doc), "Error/Code", out, sizeof out));
}

static void long_text_is_cut(void **state) {
    char out[4];
    assert_true(crt_s3_xml_text(crt_bytes_str("<Error><Code>abcdef</Code></Error>"), "Error/Code", out, sizeof out));
    assert_string_equal(out, "abc");
}

static void complete_document_is_exact(void **state) {
    crt_buf xml = CRT_BUF_INIT;
    assert_int_equal(crt_s3_xml_complete_begin(&xml), 0);
    assert_int_equal(crt_s3_xml_complete_part(&xml, 1, crt_bytes_str("\"e<1>\"")), 0);
    assert_int_equal(crt_s3_xml_complete_end(&xml), 0);
    const char *expected = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
                           "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\n"
                           "    <Part>\n        <ETag>e&lt;1&gt;</ETag>\n         <PartNumber>1</PartNumber>\n    </Part>\n"
                           "</CompleteMultipartUpload>";
    assert_int_equal(crt_buf_len(&xml), strlen(expected));
    assert_memory_equal(crt_buf_data(&xml), expected, strlen(expected));
    crt_buf_free(&xml);
}

/* ---- messages ---- */

static crt_http_message *put_message(void) {
    static const char *const headers[][2] = {
        {"Host", "h"},
        {"Content-Length", "10"},
        {"Content-MD5", "m"},
        {"Content-Type", "text/plain"},
        {"X-Amz-Meta-A", "1"},
        {"x-amz-acl", "private"},
        {"x-amz-server-side-encryption-customer-key", "k"},
        {"If-None-Match", "*"},
        {"If-Match", "e"},
        {"x-amz-checksum-crc32", "c"},
        {"x-amz-sdk-checksum-algorithm", "CRC32"},
        {"x-amz-request-payer", "requester"},
        {"Range", "bytes=0-1"},
    };
    crt_http_message *message = crt_http_message_new(NULL);
    crt_http_message_set_method(message, crt_bytes_str("PUT"));
    crt_http_message_set_path(message, crt_bytes_str("/key?versionId=3"));
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
        crt_http_headers_add(crt_http_message_headers(message), crt_bytes_str(headers[i][0]),
                             crt_bytes_str(headers[i][1]));
    }
    return message;
}

/* Names of the message's headers, in order, separated by blanks. */
static void assert_headers(enum crt_s3_operation operation, const char *method, const char *expected) {
    char names[512] = "";
    crt_http_message *original = put_message();
    crt_http_message *message = crt_s3_message_for(original, operation);
    const crt_http_headers *headers = crt_http_message_headers(message);
    for (size_t i = 0; i < crt_http_headers_count(headers); i++) {
        crt_http_header h = crt_http_headers_at(headers, i);
        strncat(names, (const char *)h.name.ptr, h.name.len);
        strcat(names, " ");
    }
    assert_string_equal(names, expected);
    assert_true(crt_bytes_eq(crt_http_message_method(message), crt_bytes_str(method)));
    crt_http_message_release(message);
    crt_http_message_release(original);
}

static void each_request_of_an_upload_carries_its_headers(void **state) {
    assert_headers(CRT_S3_OP_CREATE, "POST",
                   "Host Content-Type X-Amz-Meta-A x-amz-acl x-amz-server-side-encryption-customer-key If-Match "
                   "x-amz-request-payer Range ");
    assert_headers(CRT_S3_OP_PART, "PUT",
                   "Host x-amz-server-side-encryption-customer-key If-Match x-amz-sdk-checksum-algorithm "
                   "x-amz-request-payer Range ");
    assert_headers(CRT_S3_OP_COMPLETE, "POST",
                   "Host If-None-Match If-Match x-amz-checksum-crc32 x-amz-sdk-checksum-algorithm "
                   "x-amz-request-payer Range ");
    assert_headers(CRT_S3_OP_ABORT, "DELETE",
                   "Host If-Match x-amz-sdk-checksum-algorithm x-amz-request-payer Range ");
}

static void ranges_are_replaced_on_gets_only(void **state) {
    assert_headers(CRT_S3_OP_GET, "GET",
                   "Host Content-Length Content-MD5 Content-Type X-Amz-Meta-A x-amz-acl "
                   "x-amz-server-side-encryption-customer-key If-None-Match If-Match x-amz-checksum-crc32 "
                   "x-amz-sdk-checksum-algorithm x-amz-request-payer ");
    assert_headers(CRT_S3_OP_PLAIN, "PUT",
                   "Host Content-Length Content-MD5 Content-Type X-Amz-Meta-A x-amz-acl "
                   "x-amz-server-side-encryption-customer-key If-None-Match If-Match x-amz-checksum-crc32 "
                   "x-amz-sdk-checksum-algorithm x-amz-request-payer Range ");
}

static void query_is_appended_to_the_callers(void **state) {
    crt_http_message *message = put_message();
    assert_int_equal(crt_s3_message_add_query(message, "partNumber", "1"), 0);
    assert_true(crt_bytes_eq(crt_http_message_path(message), crt_bytes_str("/key?versionId=3&partNumber=1")));
    crt_http_message_set_path(message, crt_bytes_str("/key"));
    assert_int_equal(crt_s3_message_add_query(message, "uploads", NULL), 0);
    assert_true(crt_bytes_eq(crt_http_message_path(message), crt_bytes_str("/key?uploads")));
    crt_http_message_release(message);
}

static void query_keys_are_compared_whole(void **state) {
    assert_true(crt_s3_path_has_query_key(crt_bytes_str("/k?partNumber=1"), "partNumber"));
    assert_true(crt_s3_path_has_query_key(crt_bytes_str("/k?a=b&partNumber"), "partNumber"));
    assert_false(crt_s3_path_has_query_key(crt_bytes_str("/k?partNumbers=1"), "partNumber"));
    assert_false(crt_s3_path_has_query_key(crt_bytes_str("/partNumber=1"), "partNumber"));
    assert_false(crt_s3_path_has_query_key(crt_bytes_str("/k?x=partNumber=1"), "partNumber"));
    assert_false(crt_s3_path_has_query_key(crt_bytes_str(""), "partNumber"));
}

static void user_agent_keeps_the_callers_product_first(void **state) {
    crt_bytes value;
    crt_http_message *message = crt_http_message_new(NULL);
    assert_int_equal(crt_s3_message_set(message, "user-agent", "Boto3/1"), 0);
    assert_int_equal(crt_s3_message_set_user_agent(message), 0);
    assert_true(crt_s3_header(crt_http_message_headers(message), "User-Agent", &value));
    assert_true(crt_bytes_eq(value, crt_bytes_str("Boto3/1 awscrt-s3/" CRT_VERSION)));
    crt_http_message_release(message);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_of_an_element_is_found),
        cmocka_unit_test(an_element_elsewhere_is_not_taken),
        cmocka_unit_test(siblings_and_depth_do_not_confuse),
        cmocka_unit_test(what_is_not_xml_has_no_text),
        cmocka_unit_test(documents_with_a_dtd_are_refused),
        cmocka_unit_test(long_text_is_cut),
        cmocka_unit_test(complete_document_is_exact),
        cmocka_unit_test(each_request_of_an_upload_carries_its_headers),
        cmocka_unit_test(ranges_are_replaced_on_gets_only),
        cmocka_unit_test(query_is_appended_to_the_callers),
        cmocka_unit_test(query_keys_are_compared_whole),
        cmocka_unit_test(user_agent_keeps_the_callers_product_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
