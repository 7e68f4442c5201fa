/* HTTP/2 bodies: uploads within the windows, writes by hand, windows of our own, and slow consumers. */
#include "h2_support.h"

/* ---- request bodies ---- */

/* Reads a body, gives credit as it goes, checks the pattern. */
static void serve_upload(h2_peer *h) {
    size_t at = 0;
    bool end = false;
    if (!h2_settings(h, (const uint32_t[]){4, 1000, 5, 20000, 0}) || !h2_request(h)) {
        return;
    }
    while (!end && h2_until(h, H2_DATA)) {
        for (size_t i = 0; i < h->len; i++) {
            if (h->payload[i] != h2_pattern(at + i)) {
                h2_fail(h, "the body differs");
                return;
            }
        }
        at += h->len;
        end = h->flags & H2_END_STREAM;
        if (h->len > 20000) {
            h2_fail(h, "a frame that is too large");
        }
        if (h->len > 0 && !end) {
            h2_frame_u32(h, H2_WINDOW_UPDATE, 0, 1, (uint32_t)h->len);
            h2_frame_u32(h, H2_WINDOW_UPDATE, 0, 0, (uint32_t)h->len);
        }
    }
    h->value = (uint32_t)at;
    h2_respond(h, 1, "ok");
    h2_drain(h);
}

static void expect_upload(crt_source *body, size_t len) {
    h2_peer h;
    client c;
    recorder r;
    h2_start_silent(&h, serve_upload, NULL);
    h2_connect(&c, &h);
    recorder_request(&r, &c, make_message("PUT", "/", NULL, body));
    assert_int_equal(crt_http_stream_activate(r.stream), 0);
    expect_success(&r, 200, "ok");
    assert_int_equal(h.value, len);
    recorder_free(&r);
    client_end(&c);
    h2_end(&h);
}

static void request_bodies_keep_to_the_windows(void **state) {
    enum { LEN = 300000 };
    uint8_t *bytes = malloc(LEN);
    for (size_t i = 0; i < LEN; i++) {
        bytes[i] = h2_pattern(i);
    }
    crt_source memory = h2_memory(bytes, LEN), empty = h2_memory("", 0);
    expect_upload(&memory, LEN);
    expect_upload(&empty, 0);
    const size_t pieces[] = {1000, 1 << 20};
    for (size_t i = 0; i < 2; i++) {
        h2_reader reader;
        h2_reader_init(&reader, LEN, pieces[i], 0);
        expect_upload(&reader.base, LEN);
    }
    h2_reader nothing;
    h2_reader_init(&nothing, 0, 1, 0);
    expect_upload(&nothing.base, 0);
    FILE *file = tmpfile();
    assert_int_equal(fwrite(bytes, 1, LEN, file), LEN);
    fflush(file);
    crt_source from_file = {memory.ops, {1}, CRT_SOURCE_FILE, {NULL, 0}, fileno(file), 0, LEN};
    expect_upload(&from_file, LEN);
    fclose(file);
    free(bytes);
}

static void serve_failed_upload(h2_peer *h) {
    if (h2_settings(h, NULL) && h2_request(h) && h2_until(h, H2_RST_STREAM)) {
        h->value = h2_u32(h->payload);
    }
    if (h2_request(h)) {
        h2_respond(h, h->stream, "good");
        h2_drain(h);
    }
}

static void a_failing_body_resets_the_stream_only(void **state) {
    h2_peer h;
    client c;
    recorder r, good;
    h2_reader reader;
    h2_reader_init(&reader, 1000, 1000, AWS_IO_STREAM_READ_FAILED);
    h2_start_silent(&h, serve_failed_upload, NULL);
    h2_connect(&c, &h);
    recorder_request(&r, &c, make_message("PUT", "/", NULL, &reader.base));
    assert_int_equal(crt_http_stream_activate(r.stream), 0);
    expect_failure(&r, AWS_IO_STREAM_READ_FAILED);
    recorder_start(&good, &c, "/");
    expect_success(&good, 200, "good");
    assert_int_equal(h.value, NGHTTP2_INTERNAL_ERROR);
    recorder_free(&r);
    recorder_free(&good);
    client_end(&c);
    h2_end(&h);
}

/* ---- writes ---- */

typedef struct written {
    latch done;
    int status[8];
} written;

static void on_written(void *user, int status) {
    written *w = user;
    w->status[latch_count(&w->done)] = status;
    latch_add(&w->done, 1);
}

static void serve_writes(h2_peer *h) {
    size_t at = 0;
    bool end = false;
    if (!h2_settings(h, NULL) || !h2_request(h)) {
        return;
    }
    while (!end && h2_until(h, H2_DATA)) {
        memcpy(h->fields + at, h->payload, h->len);
        at += h->len;
        end = h->flags & H2_END_STREAM;
    }
    h->fields[at] = 0;
    h2_respond(h, 1, "ok");
    h2_drain(h);
}

static void writes_go_out_in_order_behind_the_body(void **state) {
    h2_peer h;
    client c;
    recorder r;
    written w = {.status = {-1, -1, -1, -1}};
    crt_source body = h2_memory("body ", 5), one = h2_memory("one ", 4), none = h2_memory("", 0);
    latch_init(&w.done);
    h2_start_silent(&h, serve_writes, NULL);
    h2_connect(&c, &h);
    recorder_request(&r, &c, make_message("PUT", "/", NULL, &body));
    assert_int_equal(crt_http_stream_write(r.stream, &one, false, on_written, &w),
                     AWS_ERROR_HTTP_MANUAL_WRITE_NOT_ENABLED);
    assert_int_equal(crt_http_stream_expect_writes(r.stream), 0);
    assert_int_equal(crt_http_stream_write(r.stream, &one, false, on_written, &w), AWS_ERROR_HTTP_STREAM_NOT_ACTIVATED);
    assert_int_equal(crt_http_stream_activate(r.stream), 0);
    assert_int_equal(crt_http_stream_write(r.stream, &one, false, on_written, &w), 0);
    assert_int_equal(crt_http_stream_write(r.stream, &none, false, on_written, &w), 0);
    latch_wait(&w.done, 2);
    assert_int_equal(crt_http_stream_write(r.stream, &one, false, NULL, NULL), 0);
    assert_int_equal(crt_http_stream_write(r.stream, NULL, true, on_written, &w), 0);
    assert_int_equal(crt_http_stream_write(r.stream, NULL, true, on_written, &w),
                     AWS_ERROR_HTTP_MANUAL_WRITE_HAS_COMPLETED);
    expect_success(&r, 200, "ok");
    assert_int_equal(crt_http_stream_write(r.stream, NULL, true, on_written, &w), AWS_ERROR_HTTP_STREAM_HAS_COMPLETED);
    assert_int_equal(latch_count(&w.done), 3);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(w.status[i], 0);
    }
    assert_string_equal(h.fields, "body one one ");
    recorder_free(&r);
    client_end(&c);
    h2_end(&h);
    latch_destroy(&w.done);
}

static void serve_reset_on_go(h2_peer *h) {
    if (h2_settings(h, (const uint32_t[]){4, 2, 0}) && h2_request(h) && h2_until(h, H2_DATA) && h2_wait(h)) {
        h2_frame_u32(h, H2_RST_STREAM, 0, 1, NGHTTP2_CANCEL);
        h2_drain(h);
    }
}

static void queued_writes_end_with_the_stream(void **state) {
    h2_peer h;
    client c;
    recorder r;
    written w = {.status = {-1, -1}};
    crt_source text = h2_memory("more than the window", 20);
    latch_init(&w.done);
    h2_start_silent(&h, serve_reset_on_go, NULL);
    h2_connect(&c, &h);
    recorder_request(&r, &c, make_message("PUT", "/", NULL, NULL));
    assert_int_equal(crt_http_stream_expect_writes(r.stream), 0);
    assert_int_equal(crt_http_stream_activate(r.stream), 0);
    for (int i = 0; i < 4; i++) { /* far more than 65,535, which the client knows of before the SETTINGS */
        assert_int_equal(crt_http_stream_write(r.stream, &text, false, NULL, NULL), 0);
    }
    enum { LEN = 100000 };
    char *bytes = calloc(1, LEN);
    crt_source large = h2_memory(bytes, LEN);
    assert_int_equal(crt_http_stream_write(r.stream, &large, false, on_written, &w), 0);
    assert_int_equal(crt_http_stream_write(r.stream, &text, true, on_written, &w), 0);
    peer_go(&h.base);
    expect_failure(&r, AWS_ERROR_HTTP_RST_STREAM_RECEIVED);
    latch_wait(&w.done, 2);
    assert_int_equal(w.status[0], AWS_ERROR_HTTP_STREAM_HAS_COMPLETED);
    assert_int_equal(w.status[1], AWS_ERROR_HTTP_STREAM_HAS_COMPLETED);
    recorder_free(&r);
    client_end(&c);
    h2_end(&h);
    latch_destroy(&w.done);
    free(bytes);
}

static void a_failing_write_fails_the_stream_and_the_others(void **state) {
    h2_peer h;
    client c;
    recorder r, good;
    written w = {.status = {-1, -1}};
    h2_reader bad;
    crt_source text = h2_memory("never sent", 10);
    h2_reader_init(&bad, 10, 10, 1234);
    latch_init(&w.done);
    h2_start_silent(&h, serve_failed_upload, NULL);
    h2_connect(&c, &h);
    recorder_request(&r, &c, make_message("PUT", "/", NULL, NULL));
    assert_int_equal(crt_http_stream_expect_writes(r.stream), 0);
    assert_int_equal(crt_http_stream_activate(r.stream), 0);
    assert_int_equal(crt_http_stream_write(r.stream, &bad.base, false, on_written, &w), 0);
    /* Refused when the failure was faster. */
    int status = crt_http_stream_write(r.stream, &text, true, on_written, &w);
    expect_failure(&r, 1234);
    latch_wait(&w.done, status ? 1 : 2);
    assert_int_equal(w.status[0], 1234);
    assert_int_equal(status ? status : w.status[1], AWS_ERROR_HTTP_STREAM_HAS_COMPLETED);
    recorder_start(&good, &c, "/");
    expect_success(&good, 200, "good");
    recorder_free(&r);
    recorder_free(&good);
    client_end(&c);
    h2_end(&h);
    latch_destroy(&w.done);
}

/* ---- response bodies: windows and consumers ---- */

/* Sends as much body as the window allows, `total` in the end. */
static void serve_download(h2_peer *h) {
    const size_t total = *(const size_t *)h->argument;
    uint8_t chunk[16384];
    size_t sent = 0;
    uint64_t window = 65535;
    if (!h2_settings(h, NULL) || !h2_frame(h, H2_SETTINGS, H2_ACK, 0, "", 0)) {
        return;
    }
    for (size_t i = 0; i + 6 <= h->hello_len; i += 6) {
        window = h->hello[i + 1] == 4 ? h2_u32(h->hello + i + 2) : window;
    }
    if (!h2_request(h)) {
        return;
    }
    h2_head(h, 1, 0, FIELDS(":status", "200"));
    while (sent < total) {
        uint64_t room = window + h->window_given[1] - sent;
        size_t n = total - sent < sizeof(chunk) ? total - sent : sizeof(chunk);
        if (room == 0) {
            h2_mark(h);
            if (!h2_until(h, H2_WINDOW_UPDATE)) {
                return;
            }
            continue;
        }
        n = n < room ? n : (size_t)room;
        for (size_t i = 0; i < n; i++) {
            chunk[i] = h2_pattern(sent + i);
        }
        if (!h2_frame(h, H2_DATA, 0, 1, chunk, n)) {
            return;
        }
        sent += n;
    }
    h2_frame(h, H2_DATA, H2_END_STREAM, 1, "", 0);
    h2_drain(h);
}

static void expect_pattern(const recorder *r, size_t len) {
    assert_int_equal(r->body_len, len);
    for (size_t i = 0; i < len; i++) {
        if ((uint8_t)r->body[i] != h2_pattern(i)) {
            fail_msg("byte %zu differs", i);
        }
    }
}

static void automatic_windows_grow_with_the_flow(void **state) {
    static const size_t total = 4 << 20;
    h2_peer h;
    client c;
    recorder r;
    h2_start_silent(&h, serve_download, &total);
    h2_connect(&c, &h);
    recorder_start(&r, &c, "/");
    recorder_wait(&r);
    assert_int_equal(r.fault.code, 0);
    expect_pattern(&r, total);
    recorder_free(&r);
    client_end(&c);
    peer_join(&h.base);
    assert_true(h.window_given[1] > total); /* 65,535 and what was consumed would be less */
    h2_free(&h);
}

static void manual_windows_wait_for_credit(void **state) {
    static const size_t total = 100;
    h2_peer h;
    client c;
    recorder r;
    h2_start_silent(&h, serve_download, &total);
    crt_http_connect_options options = h2_options(&c, &h);
    options.manual_window = true;
    options.initial_window = 10;
    options.stream_window_threshold = 1000;
    h2_connect_with(&c, &options);
    recorder_get(&r, &c, "/");
    crt_http_stream_update_window(r.stream, 1000); /* there is no window yet */
    assert_int_equal(crt_http_stream_activate(r.stream), 0);
    latch_wait(&h.reached, 1);
    latch_wait(&r.fed, 10);
    crt_http_stream_update_window(r.stream, 50);
    latch_wait(&h.reached, 2);
    latch_wait(&r.fed, 60);
    assert_int_equal(latch_count(&r.fed), 60);
    crt_http_stream_update_window(r.stream, UINT64_MAX);
    recorder_wait(&r);
    assert_int_equal(r.fault.code, 0);
    expect_pattern(&r, total);
    recorder_free(&r);
    client_end(&c);
    peer_join(&h.base);
    assert_int_equal(h.hello_len, 6);
    assert_memory_equal(h.hello, "\0\4\0\0\0\12", 6);
    assert_true(h.window_given[1] <= (uint64_t)50 + 0x7fffffff);
    h2_free(&h);
}

/* Sends 40,000 bytes, then says go by a mark, and adds up the credit it gets. */
static void serve_batched(h2_peer *h) {
    static const char bytes[10000];
    if (!h2_settings(h, NULL) || !h2_request(h)) {
        return;
    }
    h2_head(h, 1, 0, FIELDS(":status", "200"));
    for (int i = 0; i < 4; i++) {
        h2_frame(h, H2_DATA, 0, 1, bytes, sizeof(bytes));
    }
    if (h2_until(h, H2_WINDOW_UPDATE)) {
        h->value = h2_u32(h->payload);
        h2_frame(h, H2_DATA, H2_END_STREAM, 1, "", 0);
        h2_drain(h);
    }
}

static void credit_is_sent_as_one_sum_below_the_threshold(void **state) {
    for (int of_connection = 0; of_connection < 2; of_connection++) {
        h2_peer h;
        client c;
        recorder r;
        h2_start_silent(&h, serve_batched, NULL);
        crt_http_connect_options options = h2_options(&c, &h);
        options.manual_window = true;
        options.initial_window = of_connection ? 1 << 20 : 65535;
        options.manual_conn_window = of_connection;
        h2_connect_with(&c, &options);
        recorder_start(&r, &c, "/");
        latch_wait(&r.fed, 20000); /* 45,535 are left: not below the threshold yet */
        if (of_connection) {
            crt_http_conn_update_window(c.conn, 5);
            latch_wait(&r.fed, 40000);
            crt_http_conn_update_window(c.conn, 40000);
        } else {
            crt_http_stream_update_window(r.stream, 5);
            latch_wait(&r.fed, 40000);
            crt_http_stream_update_window(r.stream, 40000);
        }
        recorder_wait(&r);
        assert_int_equal(r.fault.code, 0);
        recorder_free(&r);
        client_end(&c);
        h2_end(&h);
    }
}

/* A consumer with room for a few bytes at a time, which it gives on demand. */
typedef struct slow {
    recorder r;
    client *c;
    uint8_t room[1000];
    bool open;
    latch asked;
    size_t body_at_trailers;
} slow;

static void slow_space(void *user, uint64_t want, crt_span *space) {
    slow *s = user;
    if (s->open) {
        s->open = false;
        *space = (crt_span){s->room, sizeof(s->room)};
    } else {
        latch_add(&s->asked, 1);
    }
}

static const crt_http_stream_handler slow_handler = {recorder_on_head, slow_space, recorder_on_body,
                                                     recorder_on_complete};

static void slow_go_on(void *arg) {
    slow *s = arg;
    s->open = true;
    crt_http_stream_resume(s->r.stream);
}

static int slow_trailers(void *user, const crt_http_header *headers, size_t count) {
    slow *s = user;
    s->body_at_trailers = s->r.body_len;
    return crt_bytes_eq(headers[0].value, crt_bytes_str("t")) ? 0 : AWS_ERROR_UNKNOWN;
}

static const crt_http_stream_handler slow_trailers_handler = {.on_head = recorder_on_head,
                                                              .on_space = slow_space,
                                                              .on_body = recorder_on_body,
                                                              .on_complete = recorder_on_complete,
                                                              .on_trailers = slow_trailers};

static void serve_then_hang_up(h2_peer *h) {
    char body[3001];
    memset(body, 'x', 3000);
    body[3000] = 0;
    if (h2_settings(h, NULL) && h2_request(h)) {
        h2_head(h, 1, 0, FIELDS(":status", "200", "content-length", "3000"));
        h2_data(h, 1, 0, body);
        h2_head(h, 1, H2_END_STREAM, FIELDS("trailer", "t"));
        h2_goaway(h, 1, NGHTTP2_NO_ERROR);
    }
}

static void what_was_received_outlives_the_connection(void **state) {
    h2_peer h;
    client c;
    slow s = {.open = false};
    h2_start_silent(&h, serve_then_hang_up, NULL);
    h2_connect(&c, &h);
    recorder_init(&s.r);
    latch_init(&s.asked);
    recorder_request_with(&s.r, &c, &slow_trailers_handler, make_message("GET", "/", NULL, NULL));
    assert_int_equal(crt_http_stream_activate(s.r.stream), 0);
    expect_shutdown(&c, AWS_IO_SOCKET_CLOSED);
    assert_int_equal(latch_count(&s.r.done), 0);
    for (int i = 0; i < 3; i++) {
        on_loop(c.loop, slow_go_on, &s);
    }
    recorder_wait(&s.r);
    assert_int_equal(s.r.fault.code, 0);
    assert_int_equal(s.body_at_trailers, 3000);
    assert_int_equal(s.r.body_len, 3000);
    recorder_free(&s.r);
    latch_destroy(&s.asked);
    crt_http_conn_release(c.conn);
    c.conn = NULL;
    client_end(&c);
    h2_end(&h);
}

static void serve_slowly_read(h2_peer *h) {
    static const size_t total = 200000;
    h->argument = &total;
    serve_download(h);
}

static void a_paused_consumer_stops_the_peer(void **state) {
    h2_peer h;
    client c;
    slow s = {.open = false};
    h2_start_silent(&h, serve_slowly_read, NULL);
    h2_connect(&c, &h);
    recorder_init(&s.r);
    latch_init(&s.asked);
    recorder_request_with(&s.r, &c, &slow_handler, make_message("GET", "/", NULL, NULL));
    assert_int_equal(crt_http_stream_activate(s.r.stream), 0);
    latch_wait(&h.reached, 1); /* the window is used up */
    assert_int_equal(latch_count(&s.r.fed), 0);
    for (size_t i = 0; i < 200; i++) {
        latch_wait(&s.asked, 1);
        size_t before = latch_count(&s.r.fed);
        on_loop(c.loop, slow_go_on, &s);
        if (i < 199) { /* 1,000 at a time, or what is there of a frame */
            latch_wait(&s.r.fed, before + 1);
        }
        if (latch_count(&s.r.done)) {
            break;
        }
    }
    while (!latch_count(&s.r.done)) {
        on_loop(c.loop, slow_go_on, &s);
    }
    recorder_wait(&s.r);
    assert_int_equal(s.r.fault.code, 0);
    expect_pattern(&s.r, 200000);
    recorder_free(&s.r);
    latch_destroy(&s.asked);
    client_end(&c);
    h2_end(&h);
}

static void cancelling_a_paused_stream_ends_it(void **state) {
    h2_peer h;
    client c;
    slow s = {.open = false};
    h2_start_silent(&h, h2_serve_hello, NULL);
    h2_connect(&c, &h);
    recorder_init(&s.r);
    latch_init(&s.asked);
    recorder_request_with(&s.r, &c, &slow_handler, make_message("GET", "/", NULL, NULL));
    assert_int_equal(crt_http_stream_activate(s.r.stream), 0);
    latch_wait(&s.asked, 1);
    crt_http_stream_cancel(s.r.stream, 0);
    expect_failure(&s.r, AWS_ERROR_HTTP_STREAM_CANCELLED);
    recorder_free(&s.r);
    latch_destroy(&s.asked);
    client_end(&c);
    h2_end(&h);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        leak_checked(request_bodies_keep_to_the_windows),
        leak_checked(a_failing_body_resets_the_stream_only),
        leak_checked(writes_go_out_in_order_behind_the_body),
        leak_checked(queued_writes_end_with_the_stream),
        leak_checked(a_failing_write_fails_the_stream_and_the_others),
        leak_checked(automatic_windows_grow_with_the_flow),
        leak_checked(manual_windows_wait_for_credit),
        leak_checked(credit_is_sent_as_one_sum_below_the_threshold),
        leak_checked(what_was_received_outlives_the_connection),
        leak_checked(a_paused_consumer_stops_the_peer),
        leak_checked(cancelling_a_paused_stream_ends_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
