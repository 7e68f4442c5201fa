/* Deadlines: whatever the peer does, or does not, the exchange ends in time with an error that names the step. */
#include "http_support.h"

#define OK "HTTP/1.1 200 OK\r\n"
enum { SHORT_MS = 100 };

static void expect_late(const step *steps, const crt_http_timeouts *timeouts, int code, const char *said) {
    peer p;
    client c;
    recorder r;
    peer_start(&p, steps);
    client_init(&c);
    crt_http_connect_options options = client_options(&c, p.port);
    options.timeouts = *timeouts;
    client_connect_with(&c, &options);
    assert_int_equal(c.connect_fault.code, 0);
    recorder_start(&r, &c, "/");
    expect_failure(&r, code);
    assert_non_null(strstr(r.fault.detail, said));
    assert_false(r.open_at_completion);
    expect_shutdown(&c, code);
    recorder_free(&r);
    client_end(&c);
    peer_end(&p);
}

static void a_peer_that_never_answers(void **state) {
    static const step steps[] = {READ("\r\n\r\n"), READ_EOF, END};
    const crt_http_timeouts first = {.first_byte_ms = SHORT_MS}, idle = {.idle_ms = SHORT_MS};
    const crt_http_timeouts total = {.total_ms = SHORT_MS};
    expect_late(steps, &first, AWS_ERROR_HTTP_RESPONSE_FIRST_BYTE_TIMEOUT, "not a byte of the response after 100 ms");
    expect_late(steps, &idle, AWS_IO_SOCKET_TIMEOUT, "not a byte for 100 ms, while the response was awaited");
    expect_late(steps, &total, AWS_IO_SOCKET_TIMEOUT, "not complete after 100 ms, while the response was awaited");
}

static void a_peer_that_falls_silent(void **state) {
    static const step in_head[] = {READ("\r\n\r\n"), SEND("HTTP/1.1 200 OK\r\nA: "), READ_EOF, END};
    static const step in_body[] = {READ("\r\n\r\n"), SEND(OK "Content-Length: 9\r\n\r\nhal"), READ_EOF, END};
    static const step in_chunk[] = {READ("\r\n\r\n"), SEND(OK "Transfer-Encoding: chunked\r\n\r\n5"), READ_EOF, END};
    const crt_http_timeouts timeouts = {.idle_ms = SHORT_MS, .first_byte_ms = 5000};
    expect_late(in_head, &timeouts, AWS_IO_SOCKET_TIMEOUT, "while the response head was received");
    expect_late(in_body, &timeouts, AWS_IO_SOCKET_TIMEOUT, "while the response body was received");
    expect_late(in_chunk, &timeouts, AWS_IO_SOCKET_TIMEOUT, "while the response body was received");
}

static void exchanges_in_time_are_left_alone(void **state) {
    static const step steps[] = {READ("\r\n\r\n"), SEND_BYTEWISE(OK "Content-Length: 5\r\n\r\nhello"), READ("\r\n\r\n"),
                                 SEND(OK "Content-Length: 2\r\n\r\nhi"), READ_EOF, END};
    peer p;
    client c;
    recorder first, second;
    peer_start(&p, steps);
    client_init(&c);
    crt_http_connect_options options = client_options(&c, p.port);
    options.timeouts = (crt_http_timeouts){5000, 5000, 5000, 5000, 5000};
    client_connect_with(&c, &options);
    recorder_start(&first, &c, "/");
    expect_success(&first, 200, "hello");
    recorder_start(&second, &c, "/");
    expect_success(&second, 200, "hi");
    recorder_free(&first);
    recorder_free(&second);
    client_end(&c);
    peer_end(&p);
}

static void a_stream_may_bring_its_own(void **state) {
    static const step steps[] = {READ("\r\n\r\n"), READ_EOF, END};
    const crt_http_timeouts timeouts = {.total_ms = SHORT_MS};
    const crt_http_stream_options options = {.timeouts = &timeouts};
    peer p;
    client c;
    recorder r;
    peer_start(&p, steps);
    client_connect(&c, p.port);
    recorder_init(&r);
    crt_http_message *message = make_message("GET", "/", NULL, NULL);
    assert_int_equal(crt_http_stream_new_with(c.conn, message, &recorder_handler, &r, &options, &r.stream), 0);
    crt_http_message_release(message);
    assert_int_equal(crt_http_stream_activate(r.stream), 0);
    expect_failure(&r, AWS_IO_SOCKET_TIMEOUT);
    recorder_free(&r);
    client_end(&c);
    peer_end(&p);
}

static void those_behind_in_a_pipeline_have_their_total_only(void **state) {
    static const step steps[] = {READ("/first"), READ("/second"), READ("\r\n\r\n"), READ_EOF, END};
    const crt_http_timeouts timeouts = {.first_byte_ms = 5000, .idle_ms = 5000, .total_ms = SHORT_MS};
    peer p;
    client c;
    recorder first, second;
    peer_start(&p, steps);
    client_init(&c);
    crt_http_connect_options options = client_options(&c, p.port);
    client_connect_with(&c, &options);
    recorder_start(&first, &c, "/first");
    const crt_http_stream_options own = {.timeouts = &timeouts};
    recorder_init(&second);
    crt_http_message *message = make_message("GET", "/second", NULL, NULL);
    assert_int_equal(crt_http_stream_new_with(c.conn, message, &recorder_handler, &second, &own, &second.stream), 0);
    crt_http_message_release(message);
    assert_int_equal(crt_http_stream_activate(second.stream), 0);
    expect_failure(&second, AWS_IO_SOCKET_TIMEOUT);
    assert_non_null(strstr(second.fault.detail, "earlier responses on the connection were awaited"));
    expect_failure(&first, AWS_IO_SOCKET_TIMEOUT); /* a response cannot be left out of the order */
    recorder_free(&first);
    recorder_free(&second);
    client_end(&c);
    peer_end(&p);
}


static void on_space_none(void *user, uint64_t want, crt_span *space) {
    *space = (crt_span){NULL, 0};
}

static void a_consumer_that_pauses_is_not_the_peers_fault(void **state) {
    static const step steps[] = {READ("\r\n\r\n"), SEND(OK "Content-Length: 5\r\n\r\nhello"), READ_EOF, END};
    static const crt_http_stream_handler handler = {recorder_on_head, on_space_none, recorder_on_body,
                                                    recorder_on_complete};
    const crt_http_timeouts timeouts = {.idle_ms = 5, .total_ms = 250};
    peer p;
    client c;
    recorder r;
    peer_start(&p, steps);
    client_init(&c);
    crt_http_connect_options options = client_options(&c, p.port);
    options.timeouts = timeouts;
    client_connect_with(&c, &options);
    recorder_init(&r);
    recorder_request_with(&r, &c, &handler, make_message("GET", "/", NULL, NULL));
    assert_int_equal(crt_http_stream_activate(r.stream), 0);
    recorder_wait(&r);
    assert_non_null(strstr(r.fault.detail, "not complete after 250 ms")); /* the total, not the idle time */
    recorder_free(&r);
    client_end(&c);
    peer_end(&p);
}

/* ---- connecting ---- */

static void a_proxy_that_never_answers(void **state) {
    static const step steps[] = {READ("\r\n\r\n"), READ_EOF, END};
    peer p;
    client c;
    peer_start(&p, steps);
    client_init(&c);
    const crt_http_proxy proxy = {.host = "127.0.0.1", .port = p.port, .kind = CRT_HTTP_PROXY_TUNNELING};
    crt_http_connect_options options = client_options(&c, 80);
    options.target.host = "origin.example";
    options.proxy = &proxy;
    options.timeouts.connect_ms = SHORT_MS;
    client_connect_with(&c, &options);
    assert_int_equal(c.connect_fault.code, AWS_IO_SOCKET_TIMEOUT);
    assert_non_null(strstr(c.connect_fault.detail, "the proxy's answer to CONNECT was awaited"));
    client_end(&c);
    peer_end(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        leak_checked(a_peer_that_never_answers),
        leak_checked(a_peer_that_falls_silent),
        leak_checked(exchanges_in_time_are_left_alone),
        leak_checked(a_stream_may_bring_its_own),
        leak_checked(those_behind_in_a_pipeline_have_their_total_only),
        leak_checked(a_consumer_that_pauses_is_not_the_peers_fault),
        leak_checked(a_proxy_that_never_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
