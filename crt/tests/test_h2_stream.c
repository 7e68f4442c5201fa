/* HTTP/2 streams: requests as fields, responses good and malformed, resets, deadlines, cancelling. */
#include "h2_support.h"

/* ---- requests ---- */

static void a_request_becomes_fields(void **state) {
    h2_peer h;
    client c;
    recorder r;
    h2_start_silent(&h, h2_serve_hello, NULL);
    h2_connect(&c, &h);
    recorder_request(&r, &c,
                     make_message("PUT", "/p?q",
                                  (const char *[]){"X-Name", "Value", "Host", "example.com", "Connection", "close",
                                                   "Transfer-Encoding", "chunked", "Upgrade", "x", "Keep-Alive", "1",
                                                   "Proxy-Connection", "x", "TE", "trailers", "cookie", "a=b",
                                                   "Authorization", "secret", NULL},
                                  NULL));
    assert_int_equal(crt_http_stream_activate(r.stream), 0);
    assert_int_equal(crt_http_stream_activate(r.stream), 0);
    expect_success(&r, 200, "hello");
    assert_string_equal(r.headers, ":status=200\n");
    recorder_free(&r);
    client_end(&c);
    peer_join(&h.base);
    assert_int_equal(c.shutdown.code, 0);
    assert_string_equal(h.fields, ":method=PUT\n:scheme=http\n:authority=example.com\n:path=/p?q\nx-name=Value\n"
                                  "te=trailers\ncookie=a=b\nauthorization=secret\n");
    assert_true(h.value & H2_END_STREAM);
    h2_free(&h);
}

static void requests_that_break_rules_are_refused(void **state) {
    static const struct {
        const char *method, *path, *name, *value;
        int code;
    } rows[] = {
        {"", "/", NULL, NULL, AWS_ERROR_HTTP_INVALID_METHOD},
        {"G T", "/", NULL, NULL, AWS_ERROR_HTTP_INVALID_METHOD},
        {"GET", "", NULL, NULL, AWS_ERROR_HTTP_INVALID_PATH},
        {"GET", "/a b", NULL, NULL, AWS_ERROR_HTTP_INVALID_PATH},
        {"GET", "/", "a b", "c", AWS_ERROR_HTTP_INVALID_HEADER_NAME},
        {"GET", "/", ":path", "/x", AWS_ERROR_HTTP_INVALID_HEADER_NAME},
        {"GET", "/", "a", "b\r\nc", AWS_ERROR_HTTP_INVALID_HEADER_VALUE},
    };
    h2_peer h;
    client c;
    recorder r;
    h2_start_silent(&h, h2_serve_hello, NULL);
    h2_connect(&c, &h);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        crt_http_stream *stream = NULL;
        crt_http_message *m = make_message(rows[i].method, rows[i].path,
                                           (const char *[]){rows[i].name, rows[i].value, NULL}, NULL);
        assert_int_equal(crt_http_stream_new(c.conn, m, &recorder_handler, NULL, &stream), rows[i].code);
        assert_null(stream);
        crt_http_message_release(m);
    }
    recorder_start(&r, &c, "/");
    expect_success(&r, 200, "hello");
    recorder_free(&r);
    client_end(&c);
    h2_end(&h);
}

/* ---- responses ---- */

static void serve_everything(h2_peer *h) {
    if (!h2_settings(h, NULL) || !h2_request(h)) {
        return;
    }
    const uint32_t id = h->stream;
    h2_head(h, id, 0, FIELDS(":status", "103", "link", "x"));
    h2_head(h, id, 0, FIELDS(":status", "201", "cookie", "a=1", "x", "y", "cookie", "b=2", "connection", "keep-alive"));
    h2_data(h, id, 0, "hello");
    h2_frame(h, H2_DATA, H2_PADDED, id, "\3 wo___", 7);
    h2_frame(h, 0xfa, 0xff, id, "unknown", 7); /* RFC 9113 section 4.1: ignored */
    h2_frame(h, H2_PRIORITY, 0, id, "\0\0\0\0\1", 5);
    h2_frame(h, H2_DATA, 0, id, "", 0);
    h2_data(h, id, 0, "rld");
    h2_head(h, id, H2_END_STREAM, FIELDS("trailer", "t"));
    h2_drain(h);
}

typedef struct extras {
    recorder r;
    int interim;
    char trailer[32];
    size_t body_at_remote_end;
    int remote_ends;
} extras;

static int on_interim(void *user, int status, const crt_http_header *headers, size_t count) {
    ((extras *)user)->interim = status;
    return 0;
}

static int on_trailers(void *user, const crt_http_header *headers, size_t count) {
    extras *e = user;
    snprintf(e->trailer, sizeof(e->trailer), "%zu:%.*s", count, (int)headers[0].name.len,
             (const char *)headers[0].name.ptr);
    return 0;
}

static void on_remote_end(void *user) {
    extras *e = user;
    e->remote_ends++;
    e->body_at_remote_end = e->r.body_len;
    latch_add(&e->r.headed, 1);
}

static const crt_http_stream_handler extras_handler = {.on_head = recorder_on_head,
                                                       .on_body = recorder_on_body,
                                                       .on_complete = recorder_on_complete,
                                                       .on_remote_end = on_remote_end,
                                                       .on_interim = on_interim,
                                                       .on_trailers = on_trailers};

static void interim_padding_trailers_and_cookies(void **state) {
    h2_peer h;
    client c;
    extras e = {.interim = 0};
    h2_start_silent(&h, serve_everything, NULL);
    h2_connect(&c, &h);
    recorder_init(&e.r);
    recorder_request_with(&e.r, &c, &extras_handler, make_message("GET", "/", NULL, NULL));
    assert_int_equal(crt_http_stream_activate(e.r.stream), 0);
    expect_success(&e.r, 201, "hello world");
    assert_string_equal(e.r.headers, ":status=201\nx=y\nconnection=keep-alive\ncookie=a=1; b=2\n");
    assert_int_equal(e.interim, 103);
    assert_string_equal(e.trailer, "1:trailer");
    assert_int_equal(e.remote_ends, 1);
    assert_int_equal(e.body_at_remote_end, 11);
    recorder_free(&e.r);
    client_end(&c);
    h2_end(&h);
}

/* A response to stream 1 that is malformed: up to three frames. */
typedef struct malformed_row {
    const char *name;
    const char *const *head;
    uint8_t head_flags;
    const char *data;
    const char *const *trailers;
    uint8_t trailers_flags;
} malformed_row;

static void serve_malformed(h2_peer *h) {
    const malformed_row *row = h->argument;
    if (!h2_settings(h, NULL) || !h2_request(h)) {
        return;
    }
    h2_head(h, 1, row->head_flags, row->head);
    if (row->data) {
        h2_data(h, 1, row->trailers ? 0 : H2_END_STREAM, row->data);
    }
    if (row->trailers) {
        h2_head(h, 1, row->trailers_flags, row->trailers);
    }
    if (h2_until(h, H2_RST_STREAM)) {
        h->value = h2_u32(h->payload);
        h2_mark(h);
    }
    if (h2_request(h)) {
        h2_respond(h, h->stream, "good");
        h2_drain(h);
    }
}

static void malformed_responses_end_their_stream_only(void **state) {
    static const char *const ok[] = {":status", "200", NULL};
    static const char *const upper[] = {":status", "200", "X-Upper", "1", NULL};
    static const char *const no_status[] = {"a", "b", NULL};
    static const char *const twice[] = {":status", "200", ":status", "200", NULL};
    static const char *const late[] = {"a", "b", ":status", "200", NULL};
    static const char *const pseudo[] = {":status", "200", ":path", "/", NULL};
    static const char *const short_status[] = {":status", "20", NULL};
    static const char *const te[] = {":status", "200", "te", "trailers", NULL};
    static const char *const coding[] = {":status", "200", "transfer-encoding", "chunked", NULL};
    static const char *const upgrade[] = {":status", "200", "upgrade", "x", NULL};
    static const char *const keep[] = {":status", "200", "keep-alive", "1", NULL};
    static const char *const proxy[] = {":status", "200", "proxy-connection", "x", NULL};
    static const char *const lengths[] = {":status", "200", "content-length", "1", "content-length", "1", NULL};
    static const char *const no_length[] = {":status", "200", "content-length", "x", NULL};
    static const char *const five[] = {":status", "200", "content-length", "5", NULL};
    static const char *const no_content[] = {":status", "204", "content-length", "5", NULL};
    static const char *const interim[] = {":status", "100", NULL};
    static const char *const switching[] = {":status", "101", NULL};
    static const char *const value[] = {":status", "200", "a", "b\nc", NULL};
    static const char *const empty_name[] = {":status", "200", "", "c", NULL};
    static const char *const trailer[] = {"a", "b", NULL};
    static const malformed_row rows[] = {
        {"upper-case name", upper, H2_END_STREAM, NULL, NULL, 0},
        {"no :status", no_status, H2_END_STREAM, NULL, NULL, 0},
        {"two :status", twice, H2_END_STREAM, NULL, NULL, 0},
        {"misplaced :status", late, H2_END_STREAM, NULL, NULL, 0},
        {"other pseudo-header", pseudo, H2_END_STREAM, NULL, NULL, 0},
        {"status of two digits", short_status, H2_END_STREAM, NULL, NULL, 0},
        {"te", te, H2_END_STREAM, NULL, NULL, 0},
        {"transfer-encoding", coding, H2_END_STREAM, NULL, NULL, 0},
        {"upgrade", upgrade, H2_END_STREAM, NULL, NULL, 0},
        {"keep-alive", keep, H2_END_STREAM, NULL, NULL, 0},
        {"proxy-connection", proxy, H2_END_STREAM, NULL, NULL, 0},
        {"two content-lengths", lengths, 0, NULL, NULL, 0},
        {"unparsable content-length", no_length, 0, NULL, NULL, 0},
        {"less than content-length", five, 0, "four", NULL, 0},
        {"more than content-length", five, 0, "sixsix", NULL, 0},
        {"content-length and no body", five, H2_END_STREAM, NULL, NULL, 0},
        {"204 with content-length", no_content, H2_END_STREAM, NULL, NULL, 0},
        {"1xx with END_STREAM", interim, H2_END_STREAM, NULL, NULL, 0},
        {"101", switching, 0, NULL, NULL, 0},
        {"trailers without END_STREAM", ok, 0, "data", trailer, 0},
        {":status in trailers", ok, 0, "data", ok, H2_END_STREAM},
        {"line break in a value", value, H2_END_STREAM, NULL, NULL, 0},
        {"empty name", empty_name, H2_END_STREAM, NULL, NULL, 0},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        h2_peer h;
        client c;
        recorder bad, good;
        h2_start_silent(&h, serve_malformed, &rows[i]);
        h2_connect(&c, &h);
        recorder_start(&bad, &c, "/");
        recorder_wait(&bad);
        if (bad.fault.code != AWS_ERROR_HTTP_PROTOCOL_ERROR) {
            fail_msg("%s: code %d", rows[i].name, bad.fault.code);
        }
        latch_wait(&h.reached, 1);
        assert_int_equal(h.value, NGHTTP2_PROTOCOL_ERROR);
        recorder_start(&good, &c, "/");
        expect_success(&good, 200, "good");
        assert_true(crt_http_conn_is_open(c.conn));
        recorder_free(&bad);
        recorder_free(&good);
        client_end(&c);
        h2_end(&h);
    }
}

static void serve_bodiless(h2_peer *h) {
    if (h2_settings(h, NULL) && h2_request(h)) {
        h2_head(h, 1, H2_END_STREAM, FIELDS(":status", "200", "content-length", "5"));
    }
    if (h2_request(h)) {
        h2_head(h, 3, H2_END_STREAM, FIELDS(":status", "304", "content-length", "5"));
        h2_drain(h);
    }
}

static void head_and_304_have_no_body_whatever_the_length_says(void **state) {
    h2_peer h;
    client c;
    recorder head, not_modified;
    h2_start_silent(&h, serve_bodiless, NULL);
    h2_connect(&c, &h);
    recorder_request(&head, &c, make_message("HEAD", "/", NULL, NULL));
    assert_int_equal(crt_http_stream_activate(head.stream), 0);
    expect_success(&head, 200, "");
    recorder_start(&not_modified, &c, "/");
    expect_success(&not_modified, 304, "");
    recorder_free(&head);
    recorder_free(&not_modified);
    client_end(&c);
    h2_end(&h);
}

/* ---- resets ---- */

typedef struct reset_row {
    bool respond;
    uint32_t error;
    int code;
} reset_row;

static void serve_reset(h2_peer *h) {
    const reset_row *row = h->argument;
    if (h2_settings(h, NULL) && h2_request(h)) {
        if (row->respond) {
            h2_head(h, 1, H2_END_STREAM, FIELDS(":status", "403"));
        }
        h2_frame_u32(h, H2_RST_STREAM, 0, 1, row->error);
        h2_drain(h);
    }
}

static void resets_by_the_peer(void **state) {
    static const reset_row rows[] = {
        {false, NGHTTP2_NO_ERROR, AWS_ERROR_HTTP_RST_STREAM_RECEIVED},
        {false, NGHTTP2_CANCEL, AWS_ERROR_HTTP_RST_STREAM_RECEIVED},
        {false, NGHTTP2_REFUSED_STREAM, AWS_ERROR_HTTP_RST_STREAM_RECEIVED},
        {true, NGHTTP2_INTERNAL_ERROR, AWS_ERROR_HTTP_RST_STREAM_RECEIVED},
        {true, NGHTTP2_NO_ERROR, 0},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        h2_peer h;
        client c;
        recorder r;
        h2_start_silent(&h, serve_reset, &rows[i]);
        h2_connect(&c, &h);
        recorder_request(&r, &c, make_message("PUT", "/", NULL, NULL));
        assert_int_equal(crt_http_stream_expect_writes(r.stream), 0); /* the request does not end */
        assert_int_equal(crt_http_stream_activate(r.stream), 0);
        recorder_wait(&r);
        assert_int_equal(r.fault.code, rows[i].code);
        assert_int_equal(r.final_status, rows[i].respond ? 403 : 0);
        assert_true(crt_http_conn_is_open(c.conn));
        recorder_free(&r);
        client_end(&c);
        h2_end(&h);
    }
}

static void serve_and_see_reset(h2_peer *h) {
    if (!h2_settings(h, NULL) || !h2_request(h)) {
        return;
    }
    h2_head(h, 1, 0, FIELDS(":status", "200"));
    h2_data(h, 1, 0, "hello");
    h2_mark(h);
    if (h2_until(h, H2_RST_STREAM)) {
        h->value = h2_u32(h->payload);
        h2_data(h, 1, H2_END_STREAM, "late"); /* on its way when the reset came: ignored */
    }
    if (h2_request(h)) {
        h2_respond(h, h->stream, "next");
        h2_drain(h);
    }
}

typedef void (*ending)(recorder *r);

static void fail_head(recorder *r) {
    r->head_result = 4242;
}

static void fail_body(recorder *r) {
    r->body_result = 4242;
}

static void expect_own_end(ending before, bool cancel, int code, uint32_t error) {
    h2_peer h;
    client c;
    recorder r, next;
    h2_start_silent(&h, serve_and_see_reset, NULL);
    h2_connect(&c, &h);
    recorder_get(&r, &c, "/");
    if (before) {
        before(&r);
    }
    assert_int_equal(crt_http_stream_activate(r.stream), 0);
    if (cancel) {
        latch_wait(&h.reached, 1);
        latch_wait(&r.fed, 5);
        crt_http_stream_cancel(r.stream, code == AWS_ERROR_HTTP_STREAM_CANCELLED ? 0 : code);
        crt_http_stream_cancel(r.stream, 1);
    }
    expect_failure(&r, code);
    recorder_start(&next, &c, "/next");
    expect_success(&next, 200, "next");
    assert_int_equal(h.value, error);
    recorder_free(&r);
    recorder_free(&next);
    client_end(&c);
    h2_end(&h);
}

static void ends_of_our_own_reset_the_stream_only(void **state) {
    expect_own_end(fail_head, false, 4242, NGHTTP2_INTERNAL_ERROR);
    expect_own_end(fail_body, false, 4242, NGHTTP2_INTERNAL_ERROR);
    expect_own_end(NULL, true, AWS_ERROR_HTTP_STREAM_CANCELLED, NGHTTP2_CANCEL);
    expect_own_end(NULL, true, 4242, NGHTTP2_INTERNAL_ERROR);
}

/* ---- deadlines ---- */

typedef struct late_row {
    crt_http_timeouts timeouts;
    bool head;
    int code;
    const char *said;
} late_row;

static void serve_late(h2_peer *h) {
    const late_row *row = h->argument;
    if (!h2_settings(h, NULL) || !h2_request(h)) {
        return;
    }
    if (row->head) {
        h2_head(h, 1, 0, FIELDS(":status", "200"));
    }
    if (h2_until(h, H2_RST_STREAM)) {
        h->value = h2_u32(h->payload);
        h2_drain(h);
    }
}

static void late_streams_end_alone(void **state) {
    static const late_row rows[] = {
        {{.first_byte_ms = 30}, false, AWS_ERROR_HTTP_RESPONSE_FIRST_BYTE_TIMEOUT, "not a byte of the response"},
        {{.idle_ms = 30}, false, AWS_IO_SOCKET_TIMEOUT, "while the response was awaited"},
        {{.idle_ms = 30, .first_byte_ms = 9000}, true, AWS_IO_SOCKET_TIMEOUT, "while the response body was received"},
        {{.total_ms = 30}, true, AWS_IO_SOCKET_TIMEOUT, "not complete after 30 ms"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        h2_peer h;
        client c;
        recorder r;
        h2_start_silent(&h, serve_late, &rows[i]);
        crt_http_connect_options options = h2_options(&c, &h);
        options.timeouts = rows[i].timeouts;
        h2_connect_with(&c, &options);
        recorder_start(&r, &c, "/");
        expect_failure(&r, rows[i].code);
        assert_non_null(strstr(r.fault.detail, rows[i].said));
        assert_true(crt_http_conn_is_open(c.conn));
        recorder_free(&r);
        client_end(&c);
        peer_join(&h.base);
        assert_int_equal(h.value, NGHTTP2_CANCEL);
        h2_free(&h);
    }
}

/* ---- requests that never go out ---- */

static void serve_nothing_until_go(h2_peer *h) {
    if (h2_settings(h, (const uint32_t[]){4, 0x7fffffff, 0}) &&
        h2_frame_u32(h, H2_WINDOW_UPDATE, 0, 0, 0x7fffffff - 65535) && h2_wait(h)) {
        h2_drain(h);
    }
}

typedef struct unsent_of {
    crt_http_stream *stream;
    size_t unsent;
} unsent_of;

static void look_at_unsent(void *arg) {
    unsent_of *look = arg;
    look->unsent = crt_http_stream_unsent(look->stream);
}

static void a_request_cancelled_while_the_transport_is_busy(void **state) {
    enum { LEN = 32 << 20 };
    h2_peer h;
    client c;
    recorder big, r;
    char *bytes = calloc(1, LEN);
    crt_source body = h2_memory(bytes, LEN);
    h2_start_silent(&h, serve_nothing_until_go, NULL);
    h2_connect(&c, &h);
    recorder_request(&big, &c, make_message("PUT", "/", NULL, &body));
    assert_int_equal(crt_http_stream_activate(big.stream), 0);
    unsent_of look = {big.stream, 0};
    while (look.unsent < 512 * 1024) {
        on_loop(c.loop, look_at_unsent, &look);
    }
    recorder_start(&r, &c, "/");
    crt_http_stream_cancel(r.stream, 0);
    peer_go(&h.base);
    expect_failure(&r, AWS_ERROR_HTTP_STREAM_CANCELLED);
    crt_http_conn_close(c.conn);
    recorder_wait(&big);
    recorder_free(&big);
    recorder_free(&r);
    client_end(&c);
    h2_end(&h);
    free(bytes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        leak_checked(a_request_becomes_fields),
        leak_checked(requests_that_break_rules_are_refused),
        leak_checked(interim_padding_trailers_and_cookies),
        leak_checked(malformed_responses_end_their_stream_only),
        leak_checked(head_and_304_have_no_body_whatever_the_length_says),
        leak_checked(resets_by_the_peer),
        leak_checked(ends_of_our_own_reset_the_stream_only),
        leak_checked(late_streams_end_alone),
        leak_checked(a_request_cancelled_while_the_transport_is_busy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
