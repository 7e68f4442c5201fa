/* HTTP/1.1: bodies written piece by piece, bodies that wait for 100 (Continue), informational responses, trailers. */
#include "http_support.h"

#define OK "HTTP/1.1 200 OK\r\n"
#define EMPTY_OK OK "Content-Length: 0\r\n\r\n"

static const char *const chunked[] = {"Transfer-Encoding", "chunked", NULL};
static const char *const length_10[] = {"Content-Length", "10", NULL};
static const char *const patient[] = {"Content-Length", "5", "Expect", "100-Continue", NULL};

/* ---- sources and writes ---- */

static void never_freed(crt_source *source) {
}

static const crt_source_ops plain_ops = {NULL, NULL, never_freed};

static crt_source text_source(const char *text) {
    crt_source s = {&plain_ops, {1}, CRT_SOURCE_MEMORY, crt_bytes_str(text), -1, 0, strlen(text)};
    return s;
}

typedef struct written {
    latch done;
    int status;
} written;

static void on_written(void *user, int status) {
    written *w = user;
    w->status = status;
    latch_add(&w->done, 1);
}

static int write_text(written *w, recorder *r, crt_source *text, bool end) {
    latch_init(&w->done);
    return crt_http_stream_write(r->stream, text, end, on_written, w);
}

static void expect_written(written *w, int status) {
    latch_wait(&w->done, 1);
    assert_int_equal(w->status, status);
    latch_destroy(&w->done);
}

static void request_with(recorder *r, client *c, const char *const *headers, crt_source *body,
                         const crt_http_stream_options *options) {
    recorder_init(r);
    crt_http_message *message = make_message("PUT", "/", headers, body);
    assert_int_equal(crt_http_stream_new_with(c->conn, message, &recorder_handler, r, options, &r->stream), 0);
    crt_http_message_release(message);
}

static void request_for_writes(recorder *r, client *c, const char *const *headers, crt_source *body) {
    const crt_http_stream_options options = {.writes = true};
    request_with(r, c, headers, body, &options);
}

/* ---- writes ---- */

static void expect_writes_sent(const char *const *headers, bool own_body, const char *expected) {
    const step steps[] = {READ("\r\n\r\n"), READ_LEN(strlen(expected)), WAIT, SEND(EMPTY_OK), READ_EOF, END};
    crt_source first = text_source("hello"), second = text_source(" wor"), empty = text_source("");
    crt_source third = text_source("d");
    written w[4];
    peer p;
    client c;
    recorder r;
    peer_start(&p, steps);
    client_connect(&c, p.port);
    request_for_writes(&r, &c, headers, own_body ? &first : NULL);
    assert_int_equal(crt_http_stream_activate(r.stream), 0);
    assert_int_equal(own_body ? write_text(&w[0], &r, NULL, false) : write_text(&w[0], &r, &first, false), 0);
    assert_int_equal(write_text(&w[1], &r, &second, false), 0);
    assert_int_equal(write_text(&w[2], &r, &empty, false), 0);
    assert_int_equal(write_text(&w[3], &r, &third, true), 0);
    assert_int_equal(crt_http_stream_write(r.stream, NULL, true, NULL, NULL),
                     AWS_ERROR_HTTP_MANUAL_WRITE_HAS_COMPLETED);
    peer_go(&p);
    for (int i = 0; i < 4; i++) {
        expect_written(&w[i], 0);
    }
    expect_success(&r, 200, "");
    assert_int_equal(crt_http_stream_write(r.stream, NULL, true, NULL, NULL), AWS_ERROR_HTTP_STREAM_HAS_COMPLETED);
    recorder_free(&r);
    client_end(&c);
    peer_join(&p);
    assert_string_equal(strstr(p.received, "\r\n\r\n") + 4, expected);
    peer_free(&p);
    assert_int_equal(first.refs.n + second.refs.n + third.refs.n + empty.refs.n, 4);
}

static void each_write_is_a_chunk(void **state) {
    expect_writes_sent(chunked, false, "5\r\nhello\r\n4\r\n wor\r\n1\r\nd\r\n0\r\n\r\n");
}

static void writes_fill_a_known_length(void **state) {
    expect_writes_sent(length_10, false, "hello word");
}

static void writes_follow_the_body_of_the_message(void **state) {
    expect_writes_sent(chunked, true, "5\r\nhello\r\n4\r\n wor\r\n1\r\nd\r\n0\r\n\r\n");
}

static void large_writes_are_not_copied(void **state) {
    enum { LEN = 300 * 1000 };
    char *text = malloc(LEN + 1);
    memset(text, 'x', LEN);
    text[LEN] = 0;
    char head[16];
    snprintf(head, sizeof(head), "\r\n\r\n%x\r\n", LEN);
    const step steps[] = {READ(head), READ_LEN(LEN), READ("\r\n0\r\n\r\n"), SEND(EMPTY_OK), END};
    crt_source source = text_source(text);
    written w, end;
    peer p;
    client c;
    recorder r;
    peer_start(&p, steps);
    client_connect(&c, p.port);
    request_for_writes(&r, &c, chunked, NULL);
    assert_int_equal(crt_http_stream_activate(r.stream), 0);
    assert_int_equal(write_text(&w, &r, &source, false), 0);
    assert_int_equal(write_text(&end, &r, NULL, true), 0);
    expect_written(&w, 0);
    expect_written(&end, 0);
    assert_int_equal(source.refs.n, 1); /* given back with the write, not with the stream */
    expect_success(&r, 200, "");
    recorder_free(&r);
    client_end(&c);
    peer_end(&p);
    free(text);
}

static void the_next_request_waits_for_the_last_write(void **state) {
    static const step steps[] = {READ("PUT / HTTP/1.1"), WAIT, READ("0\r\n\r\nGET /second"), READ("\r\n\r\n"),
                                 SEND(EMPTY_OK), SEND(EMPTY_OK), END};
    peer p;
    client c;
    recorder first, second;
    written w;
    peer_start(&p, steps);
    client_connect(&c, p.port);
    request_for_writes(&first, &c, chunked, NULL);
    assert_int_equal(crt_http_stream_activate(first.stream), 0);
    recorder_start(&second, &c, "/second");
    peer_go(&p);
    assert_int_equal(write_text(&w, &first, NULL, true), 0);
    expect_written(&w, 0);
    expect_success(&first, 200, "");
    expect_success(&second, 200, "");
    recorder_free(&first);
    recorder_free(&second);
    client_end(&c);
    peer_end(&p);
}

static void expect_length_error(const char *text, bool end) {
    static const step steps[] = {READ("\r\n\r\n"), READ_EOF, END};
    crt_source source = text_source(text);
    peer p;
    client c;
    recorder r;
    written w;
    peer_start(&p, steps);
    client_connect(&c, p.port);
    request_for_writes(&r, &c, length_10, NULL);
    assert_int_equal(crt_http_stream_activate(r.stream), 0);
    assert_int_equal(write_text(&w, &r, &source, end), 0);
    latch_wait(&w.done, 1);
    latch_destroy(&w.done);
    expect_failure(&r, AWS_ERROR_HTTP_OUTGOING_STREAM_LENGTH_INCORRECT);
    expect_shutdown(&c, AWS_ERROR_HTTP_OUTGOING_STREAM_LENGTH_INCORRECT);
    recorder_free(&r);
    client_end(&c);
    peer_end(&p);
}

static void writes_of_another_length_fail(void **state) {
    expect_length_error("too long for it", false);
    expect_length_error("short", true);
}

static void writes_that_wait_end_with_the_stream(void **state) {
    static const step steps[] = {READ("PUT"), READ_EOF, END};
    crt_source text = text_source("never sent");
    peer p;
    client c;
    recorder first, second;
    written w;
    peer_start(&p, steps);
    client_connect(&c, p.port);
    request_for_writes(&first, &c, chunked, NULL); /* never ends: the second is never sent */
    request_for_writes(&second, &c, chunked, NULL);
    assert_int_equal(crt_http_stream_write(second.stream, NULL, true, NULL, NULL),
                     AWS_ERROR_HTTP_STREAM_NOT_ACTIVATED);
    assert_int_equal(crt_http_stream_activate(first.stream), 0);
    assert_int_equal(crt_http_stream_activate(second.stream), 0);
    assert_int_equal(write_text(&w, &second, &text, true), 0);
    crt_http_conn_close(c.conn);
    expect_written(&w, AWS_ERROR_HTTP_STREAM_HAS_COMPLETED);
    expect_failure(&first, AWS_ERROR_HTTP_CONNECTION_CLOSED);
    expect_failure(&second, AWS_ERROR_HTTP_CONNECTION_CLOSED);
    recorder_free(&first);
    recorder_free(&second);
    client_end(&c);
    peer_end(&p);
    assert_int_equal(text.refs.n, 1);
}

static void writes_need_framing(void **state) {
    static const step steps[] = {READ_EOF, END};
    const crt_http_stream_options options = {.writes = true};
    peer p;
    client c;
    recorder r;
    peer_start(&p, steps);
    client_connect(&c, p.port);
    crt_http_message *message = make_message("PUT", "/", NULL, NULL);
    assert_int_equal(crt_http_stream_new_with(c.conn, message, &recorder_handler, &r, &options, &r.stream),
                     AWS_ERROR_HTTP_INVALID_HEADER_FIELD);
    assert_null(r.stream);
    assert_int_equal(crt_http_stream_new(c.conn, message, &recorder_handler, &r, &r.stream), 0);
    assert_int_equal(crt_http_stream_expect_writes(r.stream), AWS_ERROR_HTTP_INVALID_HEADER_FIELD);
    crt_http_stream_release(r.stream);
    crt_http_message_release(message);
    client_end(&c);
    peer_end(&p);
}

/* ---- 100 (Continue) ---- */

static void patient_request(recorder *r, client *c, crt_source *body, uint32_t continue_ms) {
    const crt_http_stream_options options = {.continue_ms = continue_ms};
    request_with(r, c, patient, body, &options);
    assert_int_equal(crt_http_stream_activate(r->stream), 0);
}

static void expect_body_after(const char *interim, uint32_t continue_ms) {
    const step steps[] = {READ("\r\n\r\n"), SEND(interim), READ("hello"), SEND(EMPTY_OK), READ("GET /next"),
                          SEND(EMPTY_OK), END};
    crt_source body = text_source("hello");
    peer p;
    client c;
    recorder r, next;
    peer_start(&p, steps);
    client_connect(&c, p.port);
    patient_request(&r, &c, &body, continue_ms);
    recorder_start(&next, &c, "/next");
    expect_success(&r, 200, "");
    expect_success(&next, 200, "");
    recorder_free(&r);
    recorder_free(&next);
    client_end(&c);
    peer_end(&p);
}

static void the_body_waits_for_100(void **state) {
    expect_body_after("HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n", TEST_DEADLINE_S * 1000);
}

static void the_body_follows_a_silent_peer_in_time(void **state) {
    expect_body_after("", 1);
}

static void a_final_response_means_the_body_is_never_sent(void **state) {
    static const step steps[] = {READ("\r\n\r\n"), SEND("HTTP/1.1 417 No\r\nContent-Length: 2\r\n\r\nno"), READ_EOF,
                                 END};
    crt_source body = text_source("hello");
    peer p;
    client c;
    recorder r, next;
    peer_start(&p, steps);
    client_connect(&c, p.port);
    patient_request(&r, &c, &body, TEST_DEADLINE_S * 1000);
    recorder_start(&next, &c, "/next");
    expect_success(&r, 417, "no");
    assert_false(r.open_at_completion);
    expect_failure(&next, AWS_ERROR_HTTP_CONNECTION_CLOSED);
    expect_shutdown(&c, 0);
    recorder_free(&r);
    recorder_free(&next);
    client_end(&c);
    peer_join(&p);
    assert_null(strstr(p.received, "hello"));
    assert_null(strstr(p.received, "/next"));
    peer_free(&p);
}

static void without_the_option_the_body_follows_at_once(void **state) {
    expect_body_after("", 0);
}

/* ---- informational responses and trailers ---- */

typedef struct extras {
    recorder r; /* first: the recorder's callbacks serve here as well */
    char told[256];
    int result;
} extras;

static void tell(extras *x, const char *what, const crt_http_header *headers, size_t count) {
    size_t len = strlen(x->told);
    len += (size_t)snprintf(x->told + len, sizeof(x->told) - len, "<%s", what);
    for (size_t i = 0; i < count; i++) {
        len += (size_t)snprintf(x->told + len, sizeof(x->told) - len, " %.*s=%.*s", (int)headers[i].name.len,
                                (const char *)headers[i].name.ptr, (int)headers[i].value.len,
                                (const char *)headers[i].value.ptr);
    }
    snprintf(x->told + len, sizeof(x->told) - len, ">");
}

static int extras_on_head(void *user, int status, const crt_http_header *headers, size_t count) {
    tell(user, "head", NULL, 0);
    return recorder_on_head(user, status, headers, count);
}

static int extras_on_interim(void *user, int status, const crt_http_header *headers, size_t count) {
    char text[8];
    snprintf(text, sizeof(text), "%d", status);
    tell(user, text, headers, count);
    return ((extras *)user)->result;
}

static int extras_on_trailers(void *user, const crt_http_header *headers, size_t count) {
    tell(user, "trailers", headers, count);
    return ((extras *)user)->result;
}

static const crt_http_stream_handler extras_handler = {
    .on_head = extras_on_head,
    .on_body = recorder_on_body,
    .on_complete = recorder_on_complete,
    .on_interim = extras_on_interim,
    .on_trailers = extras_on_trailers,
};

#define EXTRAS                                                                                                 \
    "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n" OK                           \
    "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nDigest: x\r\nEtag: y\r\n\r\n"

static void extras_get(extras *x, client *c, int result) {
    memset(x, 0, sizeof(*x));
    recorder_init(&x->r);
    x->result = result;
    recorder_request_with(&x->r, c, &extras_handler, make_message("GET", "/", NULL, NULL));
    assert_int_equal(crt_http_stream_activate(x->r.stream), 0);
}

static void informational_responses_and_trailers_are_told_to_who_asks(void **state) {
    static const step steps[] = {READ("\r\n\r\n"), SEND_BYTEWISE(EXTRAS), READ("\r\n\r\n"), SEND(EXTRAS), END};
    peer p;
    client c;
    extras x;
    recorder r;
    peer_start(&p, steps);
    client_connect(&c, p.port);
    extras_get(&x, &c, 0);
    expect_success(&x.r, 200, "hi");
    assert_string_equal(x.told, "<103 Link=</a>><102><head><trailers Digest=x Etag=y>");
    recorder_start(&r, &c, "/again");
    expect_success(&r, 200, "hi");
    recorder_free(&x.r);
    recorder_free(&r);
    client_end(&c);
    peer_end(&p);
}

static void a_consumer_of_either_may_fail(void **state) {
    static const step steps[] = {READ("\r\n\r\n"), SEND(EXTRAS), READ_EOF, END};
    peer p;
    client c;
    extras x;
    peer_start(&p, steps);
    client_connect(&c, p.port);
    extras_get(&x, &c, AWS_ERROR_UNKNOWN);
    expect_failure(&x.r, AWS_ERROR_UNKNOWN);
    assert_string_equal(x.told, "<103 Link=</a>>");
    recorder_free(&x.r);
    client_end(&c);
    peer_end(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        leak_checked(each_write_is_a_chunk),
        leak_checked(writes_fill_a_known_length),
        leak_checked(writes_follow_the_body_of_the_message),
        leak_checked(large_writes_are_not_copied),
        leak_checked(the_next_request_waits_for_the_last_write),
        leak_checked(writes_of_another_length_fail),
        leak_checked(writes_that_wait_end_with_the_stream),
        leak_checked(writes_need_framing),
        leak_checked(the_body_waits_for_100),
        leak_checked(the_body_follows_a_silent_peer_in_time),
        leak_checked(a_final_response_means_the_body_is_never_sent),
        leak_checked(without_the_option_the_body_follows_at_once),
        leak_checked(informational_responses_and_trailers_are_told_to_who_asks),
        leak_checked(a_consumer_of_either_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
