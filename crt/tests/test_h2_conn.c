/* HTTP/2 connections: their start, settings, PING, GOAWAY, broken peers, floods, limits, and every kind of end. */
#include "h2_support.h"

#include "../http/h2_conn.h"

/* ---- the start ---- */

static void serve_ok(h2_peer *h) {
    if (!h2_settings(h, NULL)) {
        return;
    }
    while (h2_next(h)) {
        if (h->type == H2_HEADERS) {
            h2_decode(h);
            h2_respond(h, h->stream, "ok");
        }
    }
}

static void the_connection_starts_with_settings_and_a_wide_window(void **state) {
    h2_peer h;
    client c;
    recorder r;
    h2_start_silent(&h, serve_ok, NULL);
    h2_connect(&c, &h);
    assert_true(crt_http_conn_is_open(c.conn));
    recorder_start(&r, &c, "/");
    expect_success(&r, 200, "ok");
    recorder_free(&r);
    client_end(&c);
    peer_join(&h.base);
    assert_int_equal(h.hello_len, 0);
    assert_int_equal(h.window_given[0], 2147418112);
    h2_free(&h);
}

static void given_settings_are_sent_in_order(void **state) {
    const crt_http2_setting settings[] = {{CRT_HTTP2_MAX_FRAME_SIZE, 20000}, {CRT_HTTP2_ENABLE_PUSH, 0}};
    h2_peer h;
    client c;
    h2_start_silent(&h, serve_ok, NULL);
    crt_http_connect_options options = h2_options(&c, &h);
    options.settings = settings;
    options.setting_count = 2;
    options.manual_window = true;
    options.initial_window = 1000;
    options.manual_conn_window = true;
    h2_connect_with(&c, &options);
    client_end(&c);
    peer_join(&h.base);
    peer_join(&h.base);
    assert_int_equal(h.hello_len, 18);
    assert_memory_equal(h.hello, "\0\4\0\0\3\xe8\0\5\0\0\x4e\x20\0\2\0\0\0\0", 18);
    assert_int_equal(h.window_given[0], 0);
    h2_free(&h);
}

static void expect_refused_options(const crt_http2_setting *settings, size_t count, size_t window) {
    h2_peer h;
    client c;
    h2_start_silent(&h, serve_ok, NULL);
    crt_http_connect_options options = h2_options(&c, &h);
    options.settings = settings;
    options.setting_count = count;
    options.manual_window = window > 0;
    options.initial_window = window;
    client_connect_with(&c, &options);
    assert_int_equal(c.connect_fault.code, AWS_ERROR_INVALID_ARGUMENT);
    assert_null(c.conn);
    client_end(&c);
    h2_end(&h);
}

static void impossible_options_fail_the_connect(void **state) {
    const crt_http2_setting push = {CRT_HTTP2_ENABLE_PUSH, 2}, frame = {CRT_HTTP2_MAX_FRAME_SIZE, 1};
    expect_refused_options(&push, 1, 0);
    expect_refused_options(&frame, 1, 0);
    expect_refused_options(NULL, 0, (size_t)1 << 31);
}

static void the_version_asked_for_must_come_of_it(void **state) {
    client c;
    peer p;
    const step steps[] = {READ_EOF, END};
    peer_start(&p, steps);
    client_init(&c);
    crt_http_connect_options options = client_options(&c, p.port);
    options.version = CRT_HTTP_2; /* in clear text, and nobody knows */
    client_connect_with(&c, &options);
    assert_int_equal(c.connect_fault.code, AWS_ERROR_HTTP_UNSUPPORTED_PROTOCOL);
    client_end(&c);
    peer_end(&p);
}

/* ---- the peer's settings ---- */

typedef struct settings_client {
    client c;
    latch told;
    char text[256];
} settings_client;

static void on_settings(void *user, const crt_http2_setting *settings, size_t count) {
    settings_client *s = CRT_CONTAINER((client *)user, settings_client, c);
    size_t at = strlen(s->text);
    for (size_t i = 0; i < count; i++) {
        at += (size_t)snprintf(s->text + at, sizeof(s->text) - at, "%d=%u ", (int)settings[i].id,
                               (unsigned)settings[i].value);
    }
    snprintf(s->text + at, sizeof(s->text) - at, "| ");
    latch_add(&s->told, 1);
}

static const crt_http_conn_handler settings_handler = {client_on_connected, client_on_shutdown, on_settings};

static void serve_settings(h2_peer *h) {
    if (h2_settings(h, (const uint32_t[]){3, 100, 4, 65535, 0x77, 1, 0}) && h2_until_ack(h, H2_SETTINGS) &&
        h2_settings(h, (const uint32_t[]){3, 100, 5, 20000, 3, 50, 0}) && h2_until_ack(h, H2_SETTINGS) &&
        h2_settings(h, NULL) && h2_until_ack(h, H2_SETTINGS)) {
        h2_drain(h);
    }
}

static void settings_of_the_peer_are_told_when_they_change(void **state) {
    h2_peer h;
    settings_client s;
    memset(&s, 0, sizeof(s));
    latch_init(&s.told);
    h2_start_silent(&h, serve_settings, NULL);
    crt_http_connect_options options = h2_options(&s.c, &h);
    options.handler = &settings_handler;
    h2_connect_with(&s.c, &options);
    latch_wait(&s.told, 3);
    assert_string_equal(s.text, "3=100 | 3=50 5=20000 | | ");
    client_end(&s.c);
    h2_end(&h);
    latch_destroy(&s.told);
}

static void serve_limit(h2_peer *h) {
    if (h2_settings(h, (const uint32_t[]){3, 1, 0}) && h2_until_ack(h, H2_SETTINGS)) {
        h2_mark(h);
        if (h2_request(h) && h2_wait(h)) {
            h2_respond(h, 1, "first");
        }
        if (h2_request(h)) {
            h->value = h->stream;
            h2_respond(h, h->stream, "third");
            h2_drain(h);
        }
    }
}

static void streams_beyond_the_limit_fail(void **state) {
    h2_peer h;
    client c;
    recorder first, second, third;
    h2_start_silent(&h, serve_limit, NULL);
    h2_connect(&c, &h);
    latch_wait(&h.reached, 1);
    recorder_start(&first, &c, "/");
    recorder_start(&second, &c, "/");
    expect_failure(&second, AWS_ERROR_HTTP_MAX_CONCURRENT_STREAMS_EXCEEDED);
    peer_go(&h.base);
    expect_success(&first, 200, "first");
    recorder_start(&third, &c, "/");
    expect_success(&third, 200, "third");
    recorder_free(&first);
    recorder_free(&second);
    recorder_free(&third);
    client_end(&c);
    peer_join(&h.base);
    assert_int_equal(h.value, 3);
    h2_free(&h);
}

static void near_the_last_id(void *arg) {
    crt_h2_conn *conn = arg;
    assert_int_equal(nghttp2_session_set_next_stream_id(conn->session, INT32_MAX), 0);
}

static void stream_ids_run_out(void **state) {
    h2_peer h;
    client c;
    recorder before, last, refused;
    h2_start_silent(&h, serve_ok, NULL);
    h2_connect(&c, &h);
    recorder_start(&before, &c, "/");
    expect_success(&before, 200, "ok");
    on_loop(c.loop, near_the_last_id, c.conn);
    recorder_get(&refused, &c, "/");
    recorder_start(&last, &c, "/");
    expect_success(&last, 200, "ok");
    assert_int_equal(crt_http_stream_activate(refused.stream), AWS_ERROR_HTTP_STREAM_IDS_EXHAUSTED);
    assert_true(crt_http_conn_is_open(c.conn));
    recorder_free(&before);
    recorder_free(&last);
    recorder_free(&refused);
    client_end(&c);
    h2_end(&h);
}

/* ---- PING ---- */

typedef struct pong {
    latch came;
    int code;
    uint64_t ns;
} pong;

static void on_pong(void *user, const crt_fault *fault, uint64_t ns) {
    pong *p = user;
    p->code = fault->code;
    p->ns = ns;
    latch_add(&p->came, 1);
}

static void serve_pings(h2_peer *h) {
    if (!h2_settings(h, NULL) || !h2_frame(h, H2_PING, 0, 0, "12345678", 8) || !h2_until_ack(h, H2_PING)) {
        return;
    }
    if (memcmp(h->payload, "12345678", 8) != 0) {
        h2_fail(h, "the wrong answer to PING");
    }
    h2_mark(h);
    if (h2_until(h, H2_PING)) {
        h2_frame(h, H2_PING, H2_ACK, 0, h->payload, 8);
        h2_drain(h);
    }
}

static void pings_are_answered_both_ways(void **state) {
    h2_peer h;
    client c;
    pong answered, late;
    latch_init(&answered.came);
    latch_init(&late.came);
    h2_start_silent(&h, serve_pings, NULL);
    h2_connect(&c, &h);
    latch_wait(&h.reached, 1);
    assert_int_equal(crt_http_conn_ping(c.conn, on_pong, &answered), 0);
    latch_wait(&answered.came, 1);
    assert_int_equal(answered.code, 0);
    assert_true(answered.ns > 0);
    assert_int_equal(crt_http_conn_ping(c.conn, on_pong, &late), 0);
    crt_http_conn_close(c.conn);
    latch_wait(&late.came, 1);
    assert_int_equal(late.code, AWS_ERROR_HTTP_CONNECTION_CLOSED);
    expect_shutdown(&c, 0);
    assert_int_equal(crt_http_conn_ping(c.conn, on_pong, &late), AWS_ERROR_HTTP_CONNECTION_CLOSED);
    client_end(&c);
    h2_end(&h);
    latch_destroy(&answered.came);
    latch_destroy(&late.came);
}

/* ---- GOAWAY ---- */

static void serve_goaway(h2_peer *h) {
    if (!h2_settings(h, NULL) || !h2_request(h) || !h2_request(h)) {
        return;
    }
    h2_goaway(h, 0x7fffffff, NGHTTP2_NO_ERROR); /* a warning first (RFC 9113 section 6.8) */
    h2_goaway(h, 1, NGHTTP2_NO_ERROR);
    if (h2_wait(h)) {
        h2_respond(h, 1, "served");
        h2_drain(h);
    }
}

static void goaway_ends_what_is_not_served(void **state) {
    h2_peer h;
    client c;
    recorder served, not_served, later;
    crt_http_stream *refused;
    h2_start_silent(&h, serve_goaway, NULL);
    h2_connect(&c, &h);
    recorder_get(&later, &c, "/");
    recorder_start(&served, &c, "/");
    recorder_start(&not_served, &c, "/");
    expect_failure(&not_served, AWS_ERROR_HTTP_GOAWAY_RECEIVED);
    assert_int_equal(crt_http_stream_activate(later.stream), AWS_ERROR_HTTP_GOAWAY_RECEIVED);
    crt_http_message *m = make_message("GET", "/", NULL, NULL);
    assert_int_equal(crt_http_stream_new(c.conn, m, &recorder_handler, NULL, &refused), AWS_ERROR_HTTP_GOAWAY_RECEIVED);
    crt_http_message_release(m);
    assert_true(crt_http_conn_is_open(c.conn));
    peer_go(&h.base);
    expect_success(&served, 200, "served");
    crt_http_conn_close(c.conn);
    expect_shutdown(&c, 0);
    recorder_free(&served);
    recorder_free(&not_served);
    recorder_free(&later);
    client_end(&c);
    h2_end(&h);
}

/* ---- broken peers ---- */

typedef struct broken_row {
    const char *name;
    uint8_t type, flags;
    uint32_t stream;
    const char *payload;
    size_t len;
    uint32_t error;
    bool first; /* instead of SETTINGS */
} broken_row;

static void serve_broken(h2_peer *h) {
    const broken_row *row = h->argument;
    if ((!row->first && !h2_settings(h, NULL)) || !h2_request(h)) {
        return;
    }
    h2_frame(h, row->type, row->flags, row->stream, row->payload, row->len);
    if (h2_until(h, H2_GOAWAY)) {
        h->value = h2_u32(h->payload + 4);
        h2_drain(h);
    }
}

static void broken_traffic_ends_the_connection(void **state) {
    static const broken_row rows[] = {
        {"first frame is no SETTINGS", H2_PING, 0, 0, "12345678", 8, NGHTTP2_PROTOCOL_ERROR, true},
        {"DATA on an idle stream", H2_DATA, 0, 7, "x", 1, NGHTTP2_PROTOCOL_ERROR, false},
        {"DATA on stream 0", H2_DATA, 0, 0, "x", 1, NGHTTP2_PROTOCOL_ERROR, false},
        {"HEADERS on an idle stream", H2_HEADERS, H2_END_HEADERS, 7, "\x88", 1, NGHTTP2_PROTOCOL_ERROR, false},
        {"RST_STREAM on an idle stream", H2_RST_STREAM, 0, 7, "\0\0\0\0", 4, NGHTTP2_PROTOCOL_ERROR, false},
        {"WINDOW_UPDATE on an idle stream", H2_WINDOW_UPDATE, 0, 7, "\0\0\0\1", 4, NGHTTP2_PROTOCOL_ERROR, false},
        {"CONTINUATION without HEADERS", H2_CONTINUATION, H2_END_HEADERS, 1, "\x88", 1, NGHTTP2_PROTOCOL_ERROR, false},
        {"SETTINGS of a bad size", H2_SETTINGS, 0, 0, "12345", 5, NGHTTP2_FRAME_SIZE_ERROR, false},
        {"PING of a bad size", H2_PING, 0, 0, "1234567", 7, NGHTTP2_FRAME_SIZE_ERROR, false},
        {"SETTINGS on a stream", H2_SETTINGS, 0, 1, "", 0, NGHTTP2_PROTOCOL_ERROR, false},
        {"ENABLE_PUSH of 2", H2_SETTINGS, 0, 0, "\0\2\0\0\0\2", 6, NGHTTP2_PROTOCOL_ERROR, false},
        {"window too large", H2_SETTINGS, 0, 0, "\0\4\x80\0\0\0", 6, NGHTTP2_FLOW_CONTROL_ERROR, false},
        {"HPACK index out of range", H2_HEADERS, H2_END_HEADERS, 1, "\xff\x7f", 2, NGHTTP2_COMPRESSION_ERROR, false},
        {"our window overflows", H2_WINDOW_UPDATE, 0, 0, "\x7f\xff\xff\xff", 4, NGHTTP2_FLOW_CONTROL_ERROR, false},
        {"empty WINDOW_UPDATE", H2_WINDOW_UPDATE, 0, 0, "\0\0\0\0", 4, NGHTTP2_PROTOCOL_ERROR, false},
        {"PING acknowledged that was not sent", H2_PING, H2_ACK, 0, "12345678", 8, NGHTTP2_PROTOCOL_ERROR, false},
        {"GOAWAY on a stream", H2_GOAWAY, 0, 1, "\0\0\0\0\0\0\0\0", 8, NGHTTP2_PROTOCOL_ERROR, false},
        {"body before any response head", H2_DATA, 0, 1, "x", 1, NGHTTP2_PROTOCOL_ERROR, false},
        {"padding longer than the frame", H2_DATA, H2_PADDED, 1, "\x20x", 2, NGHTTP2_PROTOCOL_ERROR, false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        h2_peer h;
        client c;
        recorder r;
        h2_start_silent(&h, serve_broken, &rows[i]);
        h2_connect(&c, &h);
        recorder_start(&r, &c, "/");
        recorder_wait(&r);
        if (r.fault.code != AWS_ERROR_HTTP_CONNECTION_CLOSED) {
            fail_msg("%s: code %d", rows[i].name, r.fault.code);
        }
        expect_shutdown(&c, AWS_ERROR_HTTP_PROTOCOL_ERROR);
        recorder_free(&r);
        client_end(&c);
        peer_join(&h.base);
        if (h.value != rows[i].error) {
            fail_msg("%s: GOAWAY %u", rows[i].name, (unsigned)h.value);
        }
        h2_free(&h);
    }
}

static void serve_second_ack(h2_peer *h) {
    if (h2_settings(h, NULL) && h2_frame(h, H2_SETTINGS, H2_ACK, 0, "", 0) &&
        h2_frame(h, H2_SETTINGS, H2_ACK, 0, "", 0) && h2_until(h, H2_GOAWAY)) {
        h->value = h2_u32(h->payload + 4);
        h2_drain(h);
    }
}

static void an_acknowledgement_too_many_ends_the_connection(void **state) {
    h2_peer h;
    client c;
    h2_start_silent(&h, serve_second_ack, NULL);
    h2_connect(&c, &h);
    expect_shutdown(&c, AWS_ERROR_HTTP_PROTOCOL_ERROR);
    client_end(&c);
    peer_join(&h.base);
    assert_int_equal(h.value, NGHTTP2_PROTOCOL_ERROR);
    h2_free(&h);
}

/* ---- limits ---- */

/* A response head with so many fields of 4,000 bytes, in HEADERS and CONTINUATION of up to three. */
static void serve_large_head(h2_peer *h) {
    const int count = *(const int *)h->argument;
    uint8_t block[16384];
    char value[4000];
    memset(value, 'v', sizeof(value));
    if (!h2_settings(h, NULL) || !h2_request(h)) {
        return;
    }
    h2_frame(h, H2_HEADERS, H2_END_STREAM, 1, "\x88", 1);
    for (int i = 0; i < count; i += 3) {
        size_t len = 0;
        for (int k = i; k < count && k < i + 3; k++) {
            len += h2_field(block + len, "name", value, sizeof(value));
        }
        h2_frame(h, H2_CONTINUATION, i + 3 >= count ? H2_END_HEADERS : 0, 1, block, len);
    }
    while (h2_next(h)) {
        h->value = h->type == H2_GOAWAY ? h2_u32(h->payload + 4) : h->value;
    }
}

static void header_lists_have_a_limit(void **state) {
    static const int fits = 8, too_many = 9;
    h2_peer h;
    client c;
    recorder r;
    h2_start_silent(&h, serve_large_head, &fits);
    h2_connect(&c, &h);
    recorder_start(&r, &c, "/");
    recorder_wait(&r);
    assert_int_equal(r.fault.code, 0);
    recorder_free(&r);
    client_end(&c);
    h2_end(&h);

    h2_start_silent(&h, serve_large_head, &too_many);
    h2_connect(&c, &h);
    recorder_start(&r, &c, "/");
    expect_failure(&r, AWS_ERROR_HTTP_CONNECTION_CLOSED);
    expect_shutdown(&c, AWS_ERROR_HTTP_PROTOCOL_ERROR);
    recorder_free(&r);
    client_end(&c);
    peer_join(&h.base);
    assert_int_equal(h.value, NGHTTP2_ENHANCE_YOUR_CALM);
    h2_free(&h);
}

typedef struct flood_row {
    uint8_t type;
    const char *payload;
    size_t len;
} flood_row;

/* Never reads, so that the answers pile up. */
static void serve_flood(h2_peer *h) {
    const flood_row *row = h->argument;
    uint8_t frames[17 * 64];
    size_t size = 9 + row->len;
    for (int i = 0; i < 64; i++) {
        const uint8_t head[9] = {0, 0, (uint8_t)row->len, row->type, 0, 0, 0, 0, row->type == H2_CONTINUATION};
        memcpy(frames + (size_t)i * size, head, 9);
        memcpy(frames + (size_t)i * size + 9, row->payload, row->len);
    }
    if (!h2_settings(h, NULL) || !h2_request(h)) {
        return;
    }
    if (row->type == H2_CONTINUATION) {
        h2_frame(h, H2_HEADERS, 0, 1, "\x88", 1);
    }
    while (peer_send(h->fd, (const char *)frames, 64 * size)) {
    }
}

static void floods_end_the_connection(void **state) {
    static const flood_row rows[] = {{H2_PING, "12345678", 8}, {H2_SETTINGS, "", 0}, {H2_CONTINUATION, "", 0}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        h2_peer h;
        client c;
        recorder r;
        h2_start_silent(&h, serve_flood, &rows[i]);
        h2_connect(&c, &h);
        recorder_start(&r, &c, "/");
        expect_failure(&r, AWS_ERROR_HTTP_CONNECTION_CLOSED);
        expect_shutdown(&c, AWS_ERROR_HTTP_PROTOCOL_ERROR);
        recorder_free(&r);
        client_end(&c);
        h2_end(&h);
    }
}

/* ---- push ---- */

static void serve_push(h2_peer *h) {
    uint8_t promise[200] = {0, 0, 0, 2};
    const bool acknowledged = h->argument != NULL;
    const char *const *request = FIELDS(":method", "GET", ":scheme", "http", ":authority", "h", ":path", "/");
    size_t len = 4 + h2_block(promise + 4, request);
    if (!h2_settings(h, NULL) || !h2_request(h)) {
        return;
    }
    if (acknowledged) {
        h2_frame(h, H2_SETTINGS, H2_ACK, 0, "", 0);
    }
    h2_frame(h, H2_PUSH_PROMISE, H2_END_HEADERS, 1, promise, len);
    if (acknowledged) {
        h2_drain(h);
        return;
    }
    if (h2_until(h, H2_RST_STREAM)) {
        h->value = h->stream << 16 | h2_u32(h->payload);
        h2_respond(h, 1, "ok");
        h2_drain(h);
    }
}

static void pushes_are_refused(void **state) {
    static const crt_http2_setting no_push = {CRT_HTTP2_ENABLE_PUSH, 0};
    h2_peer h;
    client c;
    recorder r;
    h2_start_silent(&h, serve_push, NULL);
    h2_connect(&c, &h);
    recorder_start(&r, &c, "/");
    expect_success(&r, 200, "ok");
    recorder_free(&r);
    client_end(&c);
    peer_join(&h.base);
    assert_int_equal(h.value, 2 << 16 | NGHTTP2_REFUSED_STREAM);
    h2_free(&h);

    h2_start_silent(&h, serve_push, &no_push);
    crt_http_connect_options options = h2_options(&c, &h);
    options.settings = &no_push;
    options.setting_count = 1;
    h2_connect_with(&c, &options);
    recorder_start(&r, &c, "/");
    expect_failure(&r, AWS_ERROR_HTTP_CONNECTION_CLOSED);
    expect_shutdown(&c, AWS_ERROR_HTTP_PROTOCOL_ERROR);
    recorder_free(&r);
    client_end(&c);
    h2_end(&h);
}

/* ---- the end ---- */

static void serve_silence(h2_peer *h) {
    if (!h2_settings(h, NULL) || !h2_request(h)) {
        return;
    }
    h2_mark(h);
    h->value = 0xffff;
    while (h2_next(h)) {
        h->value = h->type == H2_GOAWAY ? h2_u32(h->payload + 4) : h->value;
    }
}

static void close_says_goaway_and_ends_streams(void **state) {
    h2_peer h;
    client c;
    recorder r;
    h2_start_silent(&h, serve_silence, NULL);
    h2_connect(&c, &h);
    recorder_start(&r, &c, "/");
    latch_wait(&h.reached, 1);
    crt_http_conn_close(c.conn);
    crt_http_conn_close(c.conn);
    expect_failure(&r, AWS_ERROR_HTTP_CONNECTION_CLOSED);
    expect_shutdown(&c, 0);
    recorder_free(&r);
    client_end(&c);
    peer_join(&h.base);
    assert_int_equal(h.value, NGHTTP2_NO_ERROR);
    h2_free(&h);
}

static void dropping_the_last_reference_closes(void **state) {
    h2_peer h;
    client c;
    h2_start_silent(&h, serve_ok, NULL);
    h2_connect(&c, &h);
    client_end(&c);
    assert_int_equal(c.shutdown.code, 0);
    h2_end(&h);
}

static void serve_hang_up(h2_peer *h) {
    if (h2_settings(h, NULL) && h2_request(h)) {
        h2_head(h, 1, 0, FIELDS(":status", "200"));
        h2_data(h, 1, 0, "half");
    }
}

static void a_peer_that_hangs_up_ends_streams(void **state) {
    h2_peer h;
    client c;
    recorder r;
    h2_start_silent(&h, serve_hang_up, NULL);
    h2_connect(&c, &h);
    recorder_start(&r, &c, "/");
    expect_failure(&r, AWS_ERROR_HTTP_CONNECTION_CLOSED);
    assert_int_equal(r.final_status, 200);
    expect_shutdown(&c, AWS_IO_SOCKET_CLOSED);
    recorder_free(&r);
    client_end(&c);
    h2_end(&h);
}

/* ---- threads ---- */

enum { THREADS = 4, PER_THREAD = 100 };

static void many_requests(void *arg) {
    client *c = arg;
    for (int i = 0; i < PER_THREAD; i++) {
        recorder *r = malloc(sizeof(*r));
        recorder_init(r);
        crt_http_message *m = make_message("GET", "/", NULL, NULL);
        if (crt_http_stream_new(c->conn, m, &recorder_handler, r, &r->stream) == 0 &&
            crt_http_stream_activate(r->stream) == 0) {
            if (i % 3 == 0) {
                crt_http_stream_cancel(r->stream, 0);
            }
            latch_reaches(&r->done, 1);
        }
        crt_http_message_release(m);
        recorder_free(r);
        free(r);
    }
}

static void threads_share_a_connection(void **state) {
    h2_peer h;
    client c;
    uv_thread_t threads[THREADS];
    h2_start_silent(&h, serve_ok, NULL);
    h2_connect(&c, &h);
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(uv_thread_create(&threads[i], many_requests, &c), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        uv_thread_join(&threads[i]);
    }
    assert_true(crt_http_conn_is_open(c.conn));
    client_end(&c);
    h2_end(&h);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        leak_checked(the_connection_starts_with_settings_and_a_wide_window),
        leak_checked(given_settings_are_sent_in_order),
        leak_checked(impossible_options_fail_the_connect),
        leak_checked(the_version_asked_for_must_come_of_it),
        leak_checked(settings_of_the_peer_are_told_when_they_change),
        leak_checked(streams_beyond_the_limit_fail),
        leak_checked(stream_ids_run_out),
        leak_checked(pings_are_answered_both_ways),
        leak_checked(goaway_ends_what_is_not_served),
        leak_checked(broken_traffic_ends_the_connection),
        leak_checked(an_acknowledgement_too_many_ends_the_connection),
        leak_checked(header_lists_have_a_limit),
        leak_checked(floods_end_the_connection),
        leak_checked(pushes_are_refused),
        leak_checked(close_says_goaway_and_ends_streams),
        leak_checked(dropping_the_last_reference_closes),
        leak_checked(a_peer_that_hangs_up_ends_streams),
        leak_checked(threads_share_a_connection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
