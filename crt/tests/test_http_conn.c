/* Connections: exchanges, pipelining, persistence, how everything ends, and in which thread. */
#include "http_support.h"

#include "../http/conn.h"

#define OK "HTTP/1.1 200 OK\r\n"

static void get_delivers_head_and_body(void **state) {
    const step steps[] = {READ("\r\n\r\n"), SEND(OK "Content-Length: 5\r\nX: y\r\n\r\nhello"), READ_EOF, END};
    peer p;
    client c;
    recorder r;
    peer_start(&p, steps);
    client_connect(&c, p.port);
    recorder_request(&r, &c, make_message("GET", "/path?q", (const char *[]){"Host", "h", "x-Y", "", NULL}, NULL));
    assert_int_equal(crt_http_stream_activate(r.stream), 0);
    assert_int_equal(crt_http_stream_activate(r.stream), 0);
    expect_success(&r, 200, "hello");
    assert_string_equal(r.headers, "Content-Length=5\nX=y\n");
    assert_true(r.open_at_completion);
    assert_int_equal(crt_http_stream_activate(r.stream), 0);
    assert_int_equal(crt_http_conn_version(c.conn), CRT_HTTP_1_1);
    assert_ptr_equal(crt_http_stream_conn(r.stream), c.conn);
    recorder_free(&r);
    client_end(&c);
    assert_int_equal(c.shutdown.code, 0);
    peer_join(&p);
    assert_string_equal(p.received, "GET /path?q HTTP/1.1\r\nHost: h\r\nx-Y: \r\n\r\n");
    peer_free(&p);
}

static void head_comes_before_the_body(void **state) {
    const step steps[] = {READ("\r\n\r\n"), SEND(OK "Content-Length: 5\r\n\r\n"), WAIT, SEND("hello"), READ_EOF, END};
    peer p;
    client c;
    recorder r;
    peer_start(&p, steps);
    client_connect(&c, p.port);
    recorder_start(&r, &c, "/");
    latch_wait(&r.headed, 1);
    assert_int_equal(latch_count(&r.done), 0);
    peer_go(&p);
    expect_success(&r, 200, "hello");
    recorder_free(&r);
    client_end(&c);
    peer_end(&p);
}

static void a_response_may_come_byte_by_byte(void **state) {
    const step steps[] = {READ("\r\n\r\n"),
                          SEND_BYTEWISE("HTTP/1.1 100 Continue\r\n\r\n" OK
                                        "Transfer-Encoding: chunked\r\n\r\n"
                                        "5\r\nhello\r\n6\r\n world\r\n0\r\nT: 1\r\n\r\n"),
                          READ("\r\n\r\n"), SEND_BYTEWISE(OK "Content-Length: 2\r\n\r\nhi"), READ_EOF, END};
    peer p;
    client c;
    recorder first, second;
    peer_start(&p, steps);
    client_connect(&c, p.port);
    recorder_start(&first, &c, "/");
    expect_success(&first, 200, "hello world");
    recorder_start(&second, &c, "/");
    expect_success(&second, 200, "hi");
    recorder_free(&first);
    recorder_free(&second);
    client_end(&c);
    peer_end(&p);
}

static void pipelined_requests_go_out_together_and_match_in_order(void **state) {
    const step steps[] = {READ("GET /2 HTTP/1.1\r\n\r\n"),
                          SEND(OK "Content-Length: 1\r\n\r\n0" OK
                                  "Transfer-Encoding: chunked\r\n\r\n1\r\n1\r\n0\r\n\r\n" OK
                                  "Content-Length: 1\r\n\r\n2"),
                          READ_EOF, END};
    peer p;
    client c;
    recorder r[3];
    peer_start(&p, steps);
    client_connect(&c, p.port);
    recorder_start(&r[0], &c, "/0");
    recorder_start(&r[1], &c, "/1");
    recorder_start(&r[2], &c, "/2");
    expect_success(&r[2], 200, "2");
    expect_success(&r[1], 200, "1");
    expect_success(&r[0], 200, "0");
    assert_true(r[0].sequence < r[1].sequence && r[1].sequence < r[2].sequence);
    for (int i = 0; i < 3; i++) {
        recorder_free(&r[i]);
    }
    client_end(&c);
    peer_join(&p);
    assert_string_equal(p.received, "GET /0 HTTP/1.1\r\n\r\nGET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\n");
    peer_free(&p);
}

/* ---- persistence ---- */

static void response_with_connection_close_ends_the_connection_cleanly(void **state) {
    const step steps[] = {READ("/b HTTP/1.1\r\n\r\n"), SEND(OK "Connection: Close\r\nContent-Length: 2\r\n\r\nhi"),
                          READ_EOF, END};
    peer p;
    client c;
    recorder a, b, later;
    peer_start(&p, steps);
    client_connect(&c, p.port);
    recorder_get(&later, &c, "/later");
    recorder_start(&a, &c, "/a");
    recorder_start(&b, &c, "/b");
    expect_success(&a, 200, "hi");
    assert_false(a.open_at_completion);
    expect_failure(&b, AWS_ERROR_HTTP_CONNECTION_CLOSED);
    expect_shutdown(&c, 0);
    assert_int_equal(crt_http_stream_activate(later.stream), AWS_ERROR_HTTP_CONNECTION_CLOSED);
    recorder_free(&a);
    recorder_free(&b);
    recorder_free(&later);
    client_end(&c);
    peer_end(&p);
}

static void request_with_connection_close_is_the_last(void **state) {
    const step steps[] = {READ("\r\n\r\n"), WAIT, SEND(OK "Content-Length: 2\r\n\r\nhi"), READ_EOF, END};
    peer p;
    client c;
    recorder r;
    crt_http_stream *refused;
    peer_start(&p, steps);
    client_connect(&c, p.port);
    recorder_request(&r, &c, make_message("GET", "/", (const char *[]){"Connection", "close", NULL}, NULL));
    recorder other;
    recorder_get(&other, &c, "/other");
    assert_int_equal(crt_http_stream_activate(r.stream), 0);
    assert_int_equal(crt_http_stream_activate(other.stream), 0);
    while (crt_http_conn_is_open(c.conn)) {
        uv_sleep(1);
    }
    crt_http_message *m = make_message("GET", "/", NULL, NULL);
    assert_int_equal(crt_http_stream_new(c.conn, m, &recorder_handler, NULL, &refused),
                     AWS_ERROR_HTTP_CONNECTION_CLOSED);
    crt_http_message_release(m);
    peer_go(&p);
    expect_success(&r, 200, "hi");
    expect_failure(&other, AWS_ERROR_HTTP_CONNECTION_CLOSED);
    expect_shutdown(&c, 0);
    recorder_free(&r);
    recorder_free(&other);
    client_end(&c);
    peer_join(&p);
    assert_null(strstr(p.received, "/other"));
    peer_free(&p);
}

static void http_1_0_is_kept_when_the_length_is_known(void **state) {
    const step steps[] = {READ("\r\n\r\n"), SEND("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n1"), READ("\r\n\r\n"),
                          SEND("HTTP/1.0 200 OK\r\n\r\nuntil the end"), END};
    peer p;
    client c;
    recorder first, second;
    peer_start(&p, steps);
    client_connect(&c, p.port);
    recorder_start(&first, &c, "/");
    expect_success(&first, 200, "1");
    recorder_start(&second, &c, "/");
    expect_success(&second, 200, "until the end");
    expect_shutdown(&c, 0);
    recorder_free(&first);
    recorder_free(&second);
    client_end(&c);
    peer_end(&p);
}

static void responses_without_body_by_request(void **state) {
    const step steps[] = {READ("\r\n\r\n"), SEND(OK "Content-Length: 5\r\n\r\n"), READ("\r\n\r\n"),
                          SEND("HTTP/1.1 304 NM\r\nContent-Length: 5\r\n\r\n"), READ("\r\n\r\n"), SEND(OK "\r\n"),
                          READ_EOF, END};
    const int statuses[] = {200, 304, 200};
    const char *const methods[] = {"HEAD", "GET", "GET"};
    peer p;
    client c;
    peer_start(&p, steps);
    client_connect(&c, p.port);
    for (int i = 0; i < 3; i++) {
        recorder r;
        recorder_request(&r, &c, make_message(methods[i], "/", NULL, NULL));
        assert_int_equal(crt_http_stream_activate(r.stream), 0);
        expect_success(&r, statuses[i], "");
        recorder_free(&r);
    }
    client_end(&c);
    peer_end(&p);
}

/* ---- trouble ---- */

static void run_failing(const char *response, int stream_code, int shutdown_code) {
    const step steps[] = {READ("\r\n\r\n"), SEND(response), END};
    peer p;
    client c;
    recorder r;
    peer_start(&p, steps);
    client_connect(&c, p.port);
    recorder_start(&r, &c, "/");
    expect_failure(&r, stream_code);
    expect_shutdown(&c, shutdown_code);
    assert_true(strlen(r.fault.detail) > 0);
    recorder_free(&r);
    client_end(&c);
    peer_end(&p);
}

static void early_end_and_malformed_responses_fail_stream_and_connection(void **state) {
    run_failing("", AWS_IO_SOCKET_CLOSED, AWS_IO_SOCKET_CLOSED);
    run_failing("HTTP/1.1 20", AWS_IO_SOCKET_CLOSED, AWS_IO_SOCKET_CLOSED);
    run_failing(OK "Content-Length: 5\r\n\r\nhell", AWS_IO_SOCKET_CLOSED, AWS_IO_SOCKET_CLOSED);
    run_failing(OK "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n", AWS_IO_SOCKET_CLOSED, AWS_IO_SOCKET_CLOSED);
    run_failing("HTTP/1.1 200 OK\n", AWS_ERROR_HTTP_PROTOCOL_ERROR, AWS_ERROR_HTTP_PROTOCOL_ERROR);
    run_failing("SSH-2.0-x", AWS_ERROR_HTTP_PROTOCOL_ERROR, AWS_ERROR_HTTP_PROTOCOL_ERROR);
    run_failing(OK "Content-Length: 1\r\nContent-Length: 1\r\n\r\nx", AWS_ERROR_HTTP_PROTOCOL_ERROR,
                AWS_ERROR_HTTP_PROTOCOL_ERROR);
    run_failing(OK "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", AWS_ERROR_HTTP_PROTOCOL_ERROR,
                AWS_ERROR_HTTP_PROTOCOL_ERROR);
}

static void unexpected_bytes_shut_the_connection(void **state) {
    const step steps[] = {READ("\r\n\r\n"), SEND(OK "Content-Length: 2\r\n\r\nhiHTTP/1.1 200 OK\r\n\r\n"), READ_EOF,
                          END};
    const step unsolicited[] = {SEND("HTTP/1.1 408 Timeout\r\n\r\n"), READ_EOF, END};
    peer p;
    client c;
    recorder r;
    peer_start(&p, steps);
    client_connect(&c, p.port);
    recorder_start(&r, &c, "/");
    expect_success(&r, 200, "hi");
    expect_shutdown(&c, AWS_ERROR_INVALID_STATE);
    recorder_free(&r);
    client_end(&c);
    peer_end(&p);

    peer_start(&p, unsolicited);
    client_init(&c);
    crt_http_connect_options options = client_options(&c, p.port);
    client_connect_with(&c, &options);
    expect_shutdown(&c, AWS_ERROR_INVALID_STATE);
    client_end(&c);
    peer_end(&p);
}

static void idle_peer_close_is_reported(void **state) {
    const step steps[] = {WAIT, END};
    peer p;
    client c;
    peer_start(&p, steps);
    client_connect(&c, p.port);
    peer_go(&p);
    expect_shutdown(&c, AWS_IO_SOCKET_CLOSED);
    client_end(&c);
    peer_end(&p);
}

static void switched_protocols_leave_the_stream_open(void **state) {
    const step steps[] = {READ("\r\n\r\n"), SEND("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"), WAIT,
                          SEND("?"),
                          READ_EOF, END};
    peer p;
    client c;
    recorder r;
    peer_start(&p, steps);
    client_connect(&c, p.port);
    recorder_start(&r, &c, "/");
    latch_wait(&r.headed, 1);
    assert_int_equal(r.status, 101);
    assert_false(crt_http_conn_is_open(c.conn));
    assert_int_equal(latch_count(&r.done), 0);
    peer_go(&p);
    expect_shutdown(&c, AWS_ERROR_HTTP_SWITCHED_PROTOCOLS);
    recorder_free(&r);
    client_end(&c);
    peer_end(&p);
}

static void failing_callbacks_end_stream_and_connection(void **state) {
    for (int in_body = 0; in_body < 2; in_body++) {
        const step steps[] = {READ("\r\n\r\n"), SEND(OK "Content-Length: 5\r\n\r\nhello"), READ_EOF, END};
        peer p;
        client c;
        recorder r;
        peer_start(&p, steps);
        client_connect(&c, p.port);
        recorder_get(&r, &c, "/");
        r.head_result = in_body ? 0 : AWS_ERROR_UNKNOWN;
        r.body_result = in_body ? AWS_ERROR_UNKNOWN : 0;
        assert_int_equal(crt_http_stream_activate(r.stream), 0);
        expect_failure(&r, AWS_ERROR_UNKNOWN);
        assert_int_equal(r.final_status, 200);
        expect_shutdown(&c, AWS_ERROR_UNKNOWN);
        recorder_free(&r);
        client_end(&c);
        peer_end(&p);
    }
}

/* ---- closing, cancelling, dropping ---- */

static void close_ends_streams_in_flight(void **state) {
    const step steps[] = {READ("/1 HTTP/1.1\r\n\r\n"), SEND(OK "Content-Length: 5\r\n\r\nhel"), READ_EOF, END};
    peer p;
    client c;
    recorder r[2];
    peer_start(&p, steps);
    client_connect(&c, p.port);
    recorder_start(&r[0], &c, "/0");
    recorder_start(&r[1], &c, "/1");
    latch_wait(&r[0].headed, 1);
    crt_http_conn_close(c.conn);
    crt_http_conn_close(c.conn);
    assert_false(crt_http_conn_is_open(c.conn));
    expect_failure(&r[0], AWS_ERROR_HTTP_CONNECTION_CLOSED);
    expect_failure(&r[1], AWS_ERROR_HTTP_CONNECTION_CLOSED);
    expect_shutdown(&c, 0);
    crt_http_conn_close(c.conn);
    recorder_free(&r[0]);
    recorder_free(&r[1]);
    client_end(&c);
    peer_end(&p);
}

static void cancel_ends_the_stream_with_its_code(void **state) {
    const step steps[] = {READ("\r\n\r\n"), READ_EOF, END};
    peer p;
    client c;
    recorder active, idle;
    peer_start(&p, steps);
    client_connect(&c, p.port);
    recorder_get(&idle, &c, "/idle");
    crt_http_stream_cancel(idle.stream, AWS_ERROR_HTTP_RESPONSE_FIRST_BYTE_TIMEOUT);
    assert_int_equal(crt_http_stream_activate(idle.stream), AWS_ERROR_HTTP_RESPONSE_FIRST_BYTE_TIMEOUT);
    recorder_start(&active, &c, "/");
    crt_http_stream_cancel(active.stream, 0);
    crt_http_stream_cancel(active.stream, AWS_ERROR_UNKNOWN);
    expect_failure(&active, AWS_ERROR_HTTP_STREAM_CANCELLED);
    expect_shutdown(&c, AWS_ERROR_HTTP_STREAM_CANCELLED);
    crt_http_stream_cancel(active.stream, AWS_ERROR_UNKNOWN);
    assert_int_equal(idle.completions, 0);
    recorder_free(&active);
    recorder_free(&idle);
    client_end(&c);
    peer_end(&p);
}

static void streams_in_flight_hold_the_connection(void **state) {
    const step steps[] = {READ("\r\n\r\n"), WAIT, SEND(OK "Content-Length: 5\r\n\r\nhello"), READ_EOF, END};
    peer p;
    client c;
    recorder r;
    peer_start(&p, steps);
    client_connect(&c, p.port);
    recorder_start(&r, &c, "/");
    crt_http_conn_release(c.conn);
    crt_http_conn *conn = c.conn;
    c.conn = NULL;
    peer_go(&p);
    expect_success(&r, 200, "hello");
    assert_ptr_equal(crt_http_stream_conn(r.stream), conn);
    assert_int_equal(latch_count(&c.shut), 0); /* the stream still holds it */
    recorder_free(&r);
    latch_wait(&c.shut, 1);
    assert_int_equal(c.shutdown.code, 0);
    client_end(&c);
    peer_end(&p);
}

static void release_from_then(recorder *r) {
    crt_http_stream_release(r->stream);
    r->stream = NULL;
}

static void everything_may_be_dropped_while_in_flight(void **state) {
    const step steps[] = {READ("\r\n\r\n"), SEND(OK "Content-Length: 5\r\n\r\nhello"), READ_EOF, END};
    peer p;
    client c;
    recorder r;
    peer_start(&p, steps);
    client_connect(&c, p.port);
    recorder_get(&r, &c, "/");
    r.then = release_from_then;
    crt_http_conn_release(c.conn);
    c.conn = NULL;
    assert_int_equal(crt_http_stream_activate(r.stream), 0);
    recorder_wait(&r);
    assert_int_equal(r.fault.code, 0);
    latch_wait(&c.shut, 1);
    recorder_free(&r);
    client_end(&c);
    peer_end(&p);
}

/* Leaves word for the loop, and ends the connection before the loop comes to it. */
static void shut_and_cancel(void *arg) {
    crt_http_stream *stream = arg;
    crt_http_conn_shut(stream->conn, AWS_ERROR_INVALID_STATE, "for the test");
    crt_http_stream_cancel(stream, AWS_ERROR_UNKNOWN);
}

static client *dropping;

static void drop_all(recorder *r) {
    crt_http_conn_release(dropping->conn);
    crt_http_stream_release(r->stream);
    dropping->conn = NULL;
    r->stream = NULL;
}

static void word_for_a_connection_that_was_dropped_does_no_harm(void **state) {
    const step steps[] = {READ("\r\n\r\n"), READ_EOF, END};
    peer p;
    client c;
    recorder r;
    peer_start(&p, steps);
    client_connect(&c, p.port);
    dropping = &c;
    recorder_get(&r, &c, "/");
    r.then = drop_all;
    assert_int_equal(crt_http_stream_activate(r.stream), 0);
    on_loop(c.loop, shut_and_cancel, r.stream);
    latch_wait(&r.done, 1);
    latch_wait(&c.shut, 1);
    assert_int_equal(r.fault.code, AWS_ERROR_INVALID_STATE);
    assert_int_equal(c.shutdown.code, AWS_ERROR_INVALID_STATE);
    recorder_free(&r);
    client_end(&c);
    peer_end(&p);
}

static void a_stream_never_activated_holds_the_connection(void **state) {
    const step steps[] = {READ_EOF, END};
    peer p;
    client c;
    recorder r;
    peer_start(&p, steps);
    client_connect(&c, p.port);
    recorder_get(&r, &c, "/");
    crt_http_conn_release(c.conn);
    c.conn = NULL;
    assert_true(crt_http_conn_is_open(crt_http_stream_conn(r.stream)));
    recorder_free(&r);
    latch_wait(&c.shut, 1);
    assert_int_equal(r.completions, 0);
    client_end(&c);
    peer_end(&p);
}

static void the_end_of_the_loop_ends_streams(void **state) {
    const step steps[] = {READ("\r\n\r\n"), READ_EOF, END};
    peer p;
    client c;
    recorder r;
    peer_start(&p, steps);
    client_connect(&c, p.port);
    recorder_start(&r, &c, "/");
    crt_loop_group_release(c.group);
    expect_failure(&r, AWS_IO_EVENT_LOOP_SHUTDOWN);
    expect_shutdown(&c, AWS_IO_EVENT_LOOP_SHUTDOWN);
    assert_true(crt_threads_join(TEST_DEADLINE_S * 1000));
    /* Everything still answers without its loop. */
    crt_http_stream_cancel(r.stream, 1);
    crt_http_conn_close(c.conn);
    assert_int_equal(crt_http_stream_activate(r.stream), 0);
    recorder_free(&r);
    crt_http_conn_release(c.conn);
    crt_resolver_release(c.resolver);
    latch_destroy(&c.connected);
    latch_destroy(&c.shut);
    peer_end(&p);
}

/* ---- calls from callbacks ---- */

static recorder follow_up;

static void start_follow_up(recorder *r) {
    crt_http_message *m = crt_http_message_new(NULL);
    crt_http_message_set_method(m, crt_bytes_str("GET"));
    crt_http_message_set_path(m, crt_bytes_str("/next"));
    if (crt_http_stream_new(crt_http_stream_conn(r->stream), m, &recorder_handler, &follow_up,
                            &follow_up.stream) == 0) {
        crt_http_stream_activate(follow_up.stream);
    }
    crt_http_message_release(m);
}

static void completion_may_start_the_next_request(void **state) {
    const step steps[] = {READ("\r\n\r\n"), SEND(OK "Content-Length: 1\r\n\r\n1"), READ("/next HTTP/1.1\r\n\r\n"),
                          SEND(OK "Content-Length: 1\r\n\r\n2"), READ_EOF, END};
    peer p;
    client c;
    recorder r;
    peer_start(&p, steps);
    client_connect(&c, p.port);
    recorder_init(&follow_up);
    recorder_get(&r, &c, "/");
    r.then = start_follow_up;
    assert_int_equal(crt_http_stream_activate(r.stream), 0);
    expect_success(&r, 200, "1");
    expect_success(&follow_up, 200, "2");
    recorder_free(&r);
    recorder_free(&follow_up);
    client_end(&c);
    peer_end(&p);
}

static int close_on_head(void *user, int status, const crt_http_header *headers, size_t count) {
    recorder *r = user;
    crt_http_conn_close(crt_http_stream_conn(r->stream));
    crt_http_stream_cancel(r->stream, AWS_ERROR_UNKNOWN);
    return 0;
}

static void callbacks_may_close_the_connection(void **state) {
    static const crt_http_stream_handler handler = {close_on_head, NULL, recorder_on_body, recorder_on_complete};
    const step steps[] = {READ("\r\n\r\n"), SEND(OK "Content-Length: 5\r\n\r\nhe"), READ_EOF, END};
    peer p;
    client c;
    recorder r;
    peer_start(&p, steps);
    client_connect(&c, p.port);
    recorder_init(&r);
    recorder_request_with(&r, &c, &handler, make_message("GET", "/", NULL, NULL));
    assert_int_equal(crt_http_stream_activate(r.stream), 0);
    expect_failure(&r, AWS_ERROR_HTTP_CONNECTION_CLOSED);
    expect_shutdown(&c, 0);
    recorder_free(&r);
    client_end(&c);
    peer_end(&p);
}

/* ---- threads ---- */

enum { THREADS = 4, REQUESTS = 300 };

typedef struct counter {
    client *c;
    latch done;
    int failures;
} counter;

static int count_head(void *user, int status, const crt_http_header *headers, size_t count) {
    return status == 200 ? 0 : AWS_ERROR_UNKNOWN;
}

static int count_body(void *user, crt_bytes data) {
    return 0;
}

static void count_complete(void *user, const crt_fault *fault, int status) {
    counter *n = user;
    __atomic_fetch_add(&n->failures, fault->code != 0, __ATOMIC_RELAXED);
    latch_add(&n->done, 1);
}

static void send_many(void *arg) {
    static const crt_http_stream_handler handler = {count_head, NULL, count_body, count_complete};
    counter *n = arg;
    for (int i = 0; i < REQUESTS; i++) {
        crt_http_stream *stream;
        crt_http_message *m = crt_http_message_new(NULL);
        crt_http_message_set_method(m, crt_bytes_str("GET"));
        crt_http_message_set_path(m, crt_bytes_str("/"));
        if (crt_http_stream_new(n->c->conn, m, &handler, n, &stream) == 0) {
            crt_http_stream_activate(stream);
            crt_http_stream_update_window(stream, 1);
            crt_http_stream_release(stream);
        }
        crt_http_message_release(m);
    }
}

/* One answer per request, however they arrive. */
static void answer_all(peer *p, int fd) {
    const step request = READ("\r\n\r\n"), response = SEND(OK "Content-Length: 3\r\n\r\nabc");
    for (int i = 0; i < THREADS * REQUESTS; i++) {
        if (!peer_step(p, fd, &request) || !peer_step(p, fd, &response)) {
            p->failed = "an answer";
            return;
        }
    }
}

static void many_threads_share_a_connection(void **state) {
    peer p = {0};
    client c;
    counter n = {&c};
    uv_thread_t threads[THREADS];
    peer_start_serving(&p, answer_all);
    client_connect(&c, p.port);
    latch_init(&n.done);
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(uv_thread_create(&threads[i], send_many, &n), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        uv_thread_join(&threads[i]);
    }
    latch_wait(&n.done, THREADS * REQUESTS);
    assert_int_equal(n.failures, 0);
    latch_destroy(&n.done);
    client_end(&c);
    peer_end(&p);
}

/* Activations race with the end of the connection: each one that was accepted completes. */
static void activation_races_with_close(void **state) {
    static const crt_http_stream_handler handler = {count_head, NULL, count_body, count_complete};
    for (int round = 0; round < 50; round++) {
        const step steps[] = {READ_EOF, END};
        peer p;
        client c;
        counter n = {&c};
        size_t accepted = 0;
        peer_start(&p, steps);
        client_connect(&c, p.port);
        latch_init(&n.done);
        for (int i = 0; i < 20; i++) {
            crt_http_stream *stream;
            crt_http_message *m = make_message("GET", "/", NULL, NULL);
            if (i == 10) {
                crt_http_conn_close(c.conn);
            }
            if (crt_http_stream_new(c.conn, m, &handler, &n, &stream) == 0) {
                accepted += crt_http_stream_activate(stream) == 0;
                crt_http_stream_release(stream);
            }
            crt_http_message_release(m);
        }
        latch_wait(&n.done, accepted);
        expect_shutdown(&c, 0);
        assert_int_equal(latch_count(&n.done), accepted);
        latch_destroy(&n.done);
        client_end(&c);
        peer_end(&p);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        leak_checked(get_delivers_head_and_body),
        leak_checked(head_comes_before_the_body),
        leak_checked(a_response_may_come_byte_by_byte),
        leak_checked(pipelined_requests_go_out_together_and_match_in_order),
        leak_checked(response_with_connection_close_ends_the_connection_cleanly),
        leak_checked(request_with_connection_close_is_the_last),
        leak_checked(http_1_0_is_kept_when_the_length_is_known),
        leak_checked(responses_without_body_by_request),
        leak_checked(early_end_and_malformed_responses_fail_stream_and_connection),
        leak_checked(unexpected_bytes_shut_the_connection),
        leak_checked(idle_peer_close_is_reported),
        leak_checked(switched_protocols_leave_the_stream_open),
        leak_checked(failing_callbacks_end_stream_and_connection),
        leak_checked(close_ends_streams_in_flight),
        leak_checked(cancel_ends_the_stream_with_its_code),
        leak_checked(streams_in_flight_hold_the_connection),
        leak_checked(everything_may_be_dropped_while_in_flight),
        leak_checked(word_for_a_connection_that_was_dropped_does_no_harm),
        leak_checked(a_stream_never_activated_holds_the_connection),
        leak_checked(the_end_of_the_loop_ends_streams),
        leak_checked(completion_may_start_the_next_request),
        leak_checked(callbacks_may_close_the_connection),
        leak_checked(many_threads_share_a_connection),
        leak_checked(activation_races_with_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
