/* The transport "websocket": handshake, bytes both ways, control frames, ends. */
#include "http_support.h"

#include "../http/ws_codec.h"
#include "../http/ws_handshake.h"

/* ---- the server's side ---- */

typedef struct frame {
    int opcode;
    uint8_t *payload; /* unmasked, in p->received */
    size_t len;
} frame;

static bool take(peer *p, int fd, size_t n, uint8_t **bytes) {
    const step s = READ_LEN(n);
    if (!peer_step(p, fd, &s)) {
        return false;
    }
    *bytes = (uint8_t *)p->received + p->seen - n;
    return true;
}

static bool read_frame(peer *p, int fd, frame *f) {
    uint8_t *b;
    if (!take(p, fd, 2, &b) || !(b[1] & 0x80)) {
        return false;
    }
    f->opcode = b[0] & 0x0f;
    size_t len = b[1] & 0x7f, extra = len == 126 ? 2 : len == 127 ? 8 : 0;
    if (extra > 0) {
        len = 0;
        if (!take(p, fd, extra, &b)) {
            return false;
        }
        for (size_t i = 0; i < extra; i++) {
            len = len << 8 | b[i];
        }
    }
    uint8_t mask[4];
    if (!take(p, fd, 4, &b)) {
        return false;
    }
    memcpy(mask, b, 4);
    f->len = len;
    f->payload = NULL;
    if (len > 0 && !take(p, fd, len, &f->payload)) {
        return false;
    }
    if (len > 0) {
        crt_ws_mask(f->payload, f->payload, len, mask, 0);
    }
    return true;
}

static bool send_frame(int fd, int opcode, const uint8_t *payload, size_t len) {
    uint8_t header[CRT_WS_HEADER_MAX];
    const uint8_t no_mask[4] = {0};
    size_t n = crt_ws_write_header(header, opcode, true, len, no_mask) - 4;
    header[1] &= 0x7f;
    return peer_send(fd, (const char *)header, n) && peer_send(fd, (const char *)payload, len);
}

static const char *extra_header = ""; /* of the server's answer */

static bool accept_handshake(peer *p, int fd) {
    char accept[CRT_WS_ACCEPT_LEN], answer[400];
    const step request = READ("\r\n\r\n");
    if (!peer_step(p, fd, &request)) {
        return false;
    }
    const char *key = strstr(p->received, "Sec-WebSocket-Key: ") + 19;
    crt_ws_accept_of(crt_bytes_of(key, CRT_WS_KEY_LEN), accept);
    int n = snprintf(answer, sizeof(answer),
                     "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                     "Sec-WebSocket-Accept: %.*s\r\n%s\r\n",
                     CRT_WS_ACCEPT_LEN, accept, extra_header);
    return peer_send(fd, answer, (size_t)n);
}

static void serve_ws_steps(peer *p, int fd) {
    if (!accept_handshake(p, fd)) {
        p->failed = "the handshake";
        return;
    }
    peer_serve_steps(p, fd);
}

static void serve_ws_echo(peer *p, int fd) {
    frame f;
    if (!accept_handshake(p, fd)) {
        p->failed = "the handshake";
        return;
    }
    while (read_frame(p, fd, &f)) {
        if (f.opcode == CRT_WS_BINARY && !send_frame(fd, f.opcode, f.payload, f.len)) {
            return;
        }
    }
}

/* ---- the client's side ---- */

typedef struct side {
    peer p;
    client c;
    latch done;
    latch closed;
    latch fed;
    latch written;
    crt_fault fault;
    crt_fault close_fault;
    crt_stream *stream;
    uint8_t *memory;
    size_t capacity;
    size_t received;
    size_t span_max;
    size_t pause_at;
    latch paused;
    int write_status;
} side;

static void on_space(void *user, crt_span *space) {
    side *s = user;
    if (s->pause_at && s->received >= s->pause_at) {
        s->pause_at = 0;
        latch_add(&s->paused, 1);
        return;
    }
    size_t room = s->capacity - s->received;
    *space = (crt_span){s->memory + s->received, room < s->span_max ? room : s->span_max};
}

static void on_data(void *user, size_t n) {
    side *s = user;
    s->received += n;
    latch_add(&s->fed, n);
}

static void on_closed(void *user, const crt_fault *fault) {
    side *s = user;
    s->close_fault = *fault;
    latch_add(&s->closed, 1);
}

static const crt_stream_handler handler = {on_space, on_data, NULL, on_closed};

static void on_opened(void *user, const crt_fault *fault, crt_stream *stream) {
    side *s = user;
    s->fault = *fault;
    s->stream = stream;
    if (stream) {
        crt_stream_set_handler(stream, &handler, s);
    }
    latch_add(&s->done, 1);
}

static void side_open_with(side *s, const crt_transport_header *headers, size_t header_count) {
    client_init(&s->c);
    crt_transport_options options = {.target = client_options(&s->c, s->p.port).target};
    options.target.done = on_opened;
    options.target.user = s;
    options.path = "/mqtt";
    options.headers = headers;
    options.header_count = header_count;
    latch_init(&s->done);
    latch_init(&s->closed);
    latch_init(&s->fed);
    latch_init(&s->paused);
    latch_init(&s->written);
    s->span_max = s->span_max ? s->span_max : SIZE_MAX;
    s->capacity = s->capacity ? s->capacity : 4096;
    s->memory = malloc(s->capacity);
    crt_http_transport("websocket")->open(&options);
    latch_wait(&s->done, 1);
}

static void side_open(side *s, void (*serve)(peer *p, int fd), const step *steps) {
    memset(s, 0, sizeof(*s));
    s->p.steps = steps;
    peer_start_serving(&s->p, serve);
    side_open_with(s, NULL, 0);
}

static void release_stream(void *arg) {
    crt_stream_release(arg);
}

static void side_end(side *s) {
    if (s->stream) {
        on_loop(s->c.loop, release_stream, s->stream);
        latch_wait(&s->closed, 1);
        assert_int_equal(latch_count(&s->closed), 1);
    }
    client_end(&s->c);
    peer_join(&s->p);
    latch_destroy(&s->done);
    latch_destroy(&s->closed);
    latch_destroy(&s->fed);
    latch_destroy(&s->paused);
    latch_destroy(&s->written);
    free(s->memory);
}

/* ---- handshake ---- */

static void the_handshake_carries_the_given_headers(void **state) {
    const step steps[] = {READ_EOF, END};
    const crt_transport_header headers[] = {{"Sec-WebSocket-Protocol", "mqtt"}, {"Authorization", "x"},
                                            {"upgrade", "no"}};
    side s = {.p = {.steps = steps}};
    peer_start_serving(&s.p, serve_ws_steps);
    extra_header = "Sec-WebSocket-Protocol: mqtt\r\n";
    side_open_with(&s, headers, 3);
    extra_header = "";
    assert_int_equal(s.fault.code, 0);
    side_end(&s);
    char expected[200];
    snprintf(expected, sizeof(expected),
             "GET /mqtt HTTP/1.1\r\nSec-WebSocket-Protocol: mqtt\r\nAuthorization: x\r\nHost: 127.0.0.1:%u\r\n"
             "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: ",
             s.p.port);
    assert_memory_equal(s.p.received, expected, strlen(expected));
    assert_non_null(strstr(s.p.received, "==\r\nSec-WebSocket-Version: 13\r\n\r\n"));
    peer_free(&s.p);
}

static void refused_handshakes_are_reported(void **state) {
    static const struct {
        const char *answer;
        int code;
    } rows[] = {
        {"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno", AWS_ERROR_HTTP_WEBSOCKET_UPGRADE_FAILURE},
        {"HTTP/1.1 200 OK\r\n\r\n", AWS_ERROR_HTTP_WEBSOCKET_UPGRADE_FAILURE},
        {"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n",
         AWS_ERROR_HTTP_WEBSOCKET_UPGRADE_FAILURE},
        {"nonsense\r\n\r\n", AWS_ERROR_HTTP_PROTOCOL_ERROR},
        {"", AWS_IO_SOCKET_CLOSED},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const step steps[] = {READ("\r\n\r\n"), SEND(rows[i].answer), END};
        side s;
        side_open(&s, peer_serve_steps, steps);
        assert_int_equal(s.fault.code, rows[i].code);
        assert_true(strlen(s.fault.detail) > 0);
        assert_null(s.stream);
        side_end(&s);
        peer_free(&s.p);
    }
}

static void a_request_that_cannot_be_sent_is_reported(void **state) {
    const crt_transport_header headers[] = {{"X", "a\r\nb"}};
    side s = {.p = {.port = 80}};
    side_open_with(&s, headers, 1);
    assert_int_equal(s.fault.code, AWS_ERROR_HTTP_INVALID_HEADER_VALUE);
    client_end(&s.c);
    latch_destroy(&s.done);
    latch_destroy(&s.closed);
    latch_destroy(&s.fed);
    latch_destroy(&s.paused);
    latch_destroy(&s.written);
    free(s.memory);
}

/* ---- bytes ---- */

static void put_twice(void *arg) {
    side *s = arg;
    crt_stream_put(s->stream, "hello ", 6);
    crt_stream_put(s->stream, "peer", 4);
    crt_stream_put(s->stream, "", 0);
    s->write_status = s->stream->unsent == 10 ? 0 : -1;
}

static void bytes_put_in_one_turn_share_a_frame(void **state) {
    side s;
    side_open(&s, serve_ws_echo, NULL);
    assert_int_equal(s.fault.code, 0);
    on_loop(s.c.loop, put_twice, &s);
    assert_int_equal(s.write_status, 0);
    latch_wait(&s.fed, 10);
    assert_memory_equal(s.memory, "hello peer", 10);
    side_end(&s);
    const uint8_t *frame_start = (uint8_t *)strstr(s.p.received, "\r\n\r\n") + 4;
    assert_int_equal(frame_start[0], 0x82);
    assert_int_equal(frame_start[1], 0x80 | 10);
    peer_free(&s.p);
}

typedef struct write_call {
    crt_write write;
    side *s;
    bool inside;
    bool called_inside;
} write_call;

static void on_written(crt_write *write, int status) {
    write_call *w = CRT_CONTAINER(write, write_call, write);
    w->called_inside = w->inside;
    w->s->write_status = status;
    latch_add(&w->s->written, 1);
}

static void do_write(void *arg) {
    write_call *w = arg;
    w->inside = true;
    w->write.done = on_written;
    crt_stream_write(w->s->stream, &w->write);
    w->inside = false;
}

static uint8_t *pattern(size_t len) {
    uint8_t *bytes = malloc(len);
    for (size_t i = 0; i < len; i++) {
        bytes[i] = (uint8_t)(i * 31 + i / 251);
    }
    return bytes;
}

static void large_writes_and_files_come_back_whole(void **state) {
    enum { LEN = 3000000 };
    char name[] = "/tmp/crt-websocket-XXXXXX";
    uint8_t *bytes = pattern(LEN);
    int fd = mkstemp(name);
    unlink(name);
    assert_int_equal(write(fd, bytes, LEN), LEN);
    static const size_t spans[] = {SIZE_MAX, 1000};
    for (int from_file = 0; from_file < 2; from_file++) {
        side s = {.capacity = LEN, .span_max = spans[from_file]};
        peer_start_serving(&s.p, serve_ws_echo);
        side_open_with(&s, NULL, 0);
        write_call w = {.s = &s};
        w.write.fd = from_file ? fd : -1;
        w.write.data = crt_bytes_of(bytes, LEN);
        w.write.length = LEN;
        on_loop(s.c.loop, do_write, &w);
        latch_wait(&s.written, 1);
        assert_int_equal(s.write_status, 0);
        assert_false(w.called_inside);
        latch_wait(&s.fed, LEN);
        assert_memory_equal(s.memory, bytes, LEN);
        side_end(&s);
        peer_free(&s.p);
    }
    close(fd);
    free(bytes);
}

static void resume_stream(void *arg) {
    crt_stream_resume(arg);
}

static void naming_no_memory_pauses_until_resume(void **state) {
    static const char frames[] = "\x82\x05hello\x82\x06 world\x82\x7e\x20\x00";
    enum { LONG = 0x2000, TOTAL = 11 + LONG };
    char *in = malloc(sizeof(frames) - 1 + LONG);
    memcpy(in, frames, sizeof(frames) - 1);
    memset(in + sizeof(frames) - 1, 'x', LONG);
    const step steps[] = {SEND_LEN(in, sizeof(frames) - 1 + LONG), READ_EOF, END};
    static const size_t pauses[] = {5, 11, 4000};
    for (size_t i = 0; i < sizeof(pauses) / sizeof(pauses[0]); i++) {
        side s = {.capacity = TOTAL, .pause_at = pauses[i], .span_max = 1000, .p = {.steps = steps}};
        peer_start_serving(&s.p, serve_ws_steps);
        side_open_with(&s, NULL, 0);
        latch_wait(&s.paused, 1);
        on_loop(s.c.loop, resume_stream, s.stream);
        latch_wait(&s.fed, TOTAL);
        assert_memory_equal(s.memory, "hello worldxxx", 14);
        side_end(&s);
        peer_free(&s.p);
    }
    free(in);
}

/* ---- control frames and ends ---- */

static void serve_ping(peer *p, int fd) {
    frame f;
    /* In the midst of a fragmented message. */
    if (!accept_handshake(p, fd) || !peer_send(fd, "\x02\x01" "a" "\x89\x04" "ping" "\x80\x01" "b", 12) ||
        !read_frame(p, fd, &f) || f.opcode != CRT_WS_PONG || f.len != 4 || memcmp(f.payload, "ping", 4) != 0) {
        p->failed = "the pong";
        return;
    }
    peer_send(fd, "\x8a\x00\x82\x01" "c", 5);
    const step rest = READ_EOF;
    peer_step(p, fd, &rest);
}

static void pings_are_answered_and_pongs_ignored(void **state) {
    side s;
    side_open(&s, serve_ping, NULL);
    latch_wait(&s.fed, 3);
    assert_memory_equal(s.memory, "abc", 3);
    side_end(&s);
    peer_free(&s.p);
}

typedef struct ending {
    const char *bytes;
    size_t len;
    int code;       /* of on_closed */
    int close_code; /* that the client sends; 0: an empty CLOSE */
} ending;

static const ending *expected_ending;

static void serve_ending(peer *p, int fd) {
    frame f;
    const ending *e = expected_ending;
    const step rest = READ_EOF;
    if (!accept_handshake(p, fd) || !peer_send(fd, e->bytes, e->len) || !read_frame(p, fd, &f) ||
        f.opcode != CRT_WS_CLOSE || f.len != (e->close_code ? 2 : 0) ||
        (f.len == 2 && (f.payload[0] << 8 | f.payload[1]) != e->close_code)) {
        p->failed = "the CLOSE";
    }
    peer_step(p, fd, &rest);
}

static void the_peer_may_end_in_many_ways(void **state) {
    static const ending rows[] = {
        {"\x88\x02\x03\xe8", 4, 0, 1000},
        {"\x88\x00", 2, 0, 0},
        {"\x88\x05\x03\xf0" "why", 7, AWS_IO_SOCKET_CLOSED, 1008},
        {"\x81\x02hi", 4, AWS_ERROR_HTTP_WEBSOCKET_PROTOCOL_ERROR, 1003},
        {"\xc2\x00", 2, AWS_ERROR_HTTP_WEBSOCKET_PROTOCOL_ERROR, 1002},
        {"\x82\x81\x00\x00\x00\x00x", 7, AWS_ERROR_HTTP_WEBSOCKET_PROTOCOL_ERROR, 1002},
        {"\x88\x02\x03\xee", 4, AWS_ERROR_HTTP_WEBSOCKET_PROTOCOL_ERROR, 1002},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        side s;
        expected_ending = &rows[i];
        side_open(&s, serve_ending, NULL);
        latch_wait(&s.closed, 1);
        assert_int_equal(s.close_fault.code, rows[i].code);
        side_end(&s);
        peer_free(&s.p);
    }
}

static void a_peer_that_just_hangs_up_is_reported(void **state) {
    const step steps[] = {SEND_LEN("\x82\x05he", 4), END};
    side s;
    side_open(&s, serve_ws_steps, steps);
    latch_wait(&s.closed, 1);
    assert_int_equal(s.close_fault.code, AWS_IO_SOCKET_CLOSED);
    side_end(&s);
    peer_free(&s.p);
}

static void put_and_close(void *arg) {
    side *s = arg;
    crt_stream_put(s->stream, "bye", 3);
    crt_stream_close(s->stream, 0);
    crt_stream_close(s->stream, AWS_ERROR_UNKNOWN);
    s->write_status = crt_stream_put(s->stream, "late", 4);
}

static void serve_close(peer *p, int fd) {
    frame f;
    if (!accept_handshake(p, fd) || !read_frame(p, fd, &f) || f.opcode != CRT_WS_BINARY || f.len != 3 ||
        !read_frame(p, fd, &f) || f.opcode != CRT_WS_CLOSE || f.len != 2 || f.payload[0] != 3 || f.payload[1] != 0xe8) {
        p->failed = "the CLOSE";
    }
}

static void close_sends_what_was_put_and_a_close_frame(void **state) {
    side s;
    side_open(&s, serve_close, NULL);
    on_loop(s.c.loop, put_and_close, &s);
    assert_int_equal(s.write_status, AWS_IO_SOCKET_CLOSED);
    latch_wait(&s.closed, 1);
    assert_int_equal(s.close_fault.code, 0);
    write_call w = {.s = &s, .write = {.fd = -1, .data = crt_bytes_of("x", 1)}};
    on_loop(s.c.loop, do_write, &w); /* on a closed stream: told so, later */
    latch_wait(&s.written, 1);
    assert_int_equal(s.write_status, AWS_IO_SOCKET_CLOSED);
    assert_false(w.called_inside);
    side_end(&s);
    peer_free(&s.p);
}

static void the_end_of_the_loop_ends_the_stream(void **state) {
    const step steps[] = {READ_EOF, END};
    side s;
    side_open(&s, serve_ws_steps, steps);
    crt_loop_group_release(s.c.group);
    latch_wait(&s.closed, 1);
    assert_int_equal(s.close_fault.code, AWS_IO_EVENT_LOOP_SHUTDOWN);
    assert_true(crt_threads_join(TEST_DEADLINE_S * 1000));
    crt_stream_release(s.stream);
    crt_resolver_release(s.c.resolver);
    latch_destroy(&s.c.connected);
    latch_destroy(&s.c.shut);
    peer_end(&s.p);
    latch_destroy(&s.done);
    latch_destroy(&s.closed);
    latch_destroy(&s.fed);
    latch_destroy(&s.paused);
    latch_destroy(&s.written);
    free(s.memory);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        leak_checked(the_handshake_carries_the_given_headers),
        leak_checked(refused_handshakes_are_reported),
        leak_checked(a_request_that_cannot_be_sent_is_reported),
        leak_checked(bytes_put_in_one_turn_share_a_frame),
        leak_checked(large_writes_and_files_come_back_whole),
        leak_checked(naming_no_memory_pauses_until_resume),
        leak_checked(pings_are_answered_and_pongs_ignored),
        leak_checked(the_peer_may_end_in_many_ways),
        leak_checked(a_peer_that_just_hangs_up_is_reported),
        leak_checked(close_sends_what_was_put_and_a_close_frame),
        leak_checked(the_end_of_the_loop_ends_the_stream),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
