/* Bodies: requests from every kind of source, responses into the consumer's memory, windows and pauses. */
#include "http_support.h"

#define OK "HTTP/1.1 200 OK\r\n"
#define EMPTY_OK OK "Content-Length: 0\r\n\r\n"

/* ---- sources ---- */

/* A reader that gives its text in pieces, from a task each. */
typedef struct text_reader {
    crt_source base;
    crt_task task;
    const char *text;
    size_t len;
    size_t at;
    size_t piece;
    bool eof_with_last;
    int fail_with;
    bool hold; /* the first read waits until the test lets it go */
    latch asked;
    int empty_reads; /* reads that bring nothing yet */
    crt_loop *loop;
    crt_span space;
    crt_source_done done;
    void *user;
} text_reader;

static void reader_answer(crt_task *task, int status) {
    text_reader *r = CRT_CONTAINER(task, text_reader, task);
    size_t n = r->len - r->at;
    if (r->fail_with) {
        r->done(r->user, r->fail_with, 0, false);
        return;
    }
    if (r->empty_reads > 0) {
        r->empty_reads--;
        r->done(r->user, 0, 0, false);
        return;
    }
    n = n < r->piece ? n : r->piece;
    n = n < r->space.len ? n : r->space.len;
    memcpy(r->space.ptr, r->text + r->at, n);
    r->at += n;
    r->done(r->user, 0, n, r->at == r->len && (n == 0 || r->eof_with_last));
}

static void answer_now(void *arg) {
    text_reader *r = arg;
    reader_answer(&r->task, 0);
}

static void reader_read(crt_source *source, crt_loop *loop, crt_span space, crt_source_done done, void *user) {
    text_reader *r = CRT_CONTAINER(source, text_reader, base);
    r->loop = loop;
    r->space = space;
    r->done = done;
    r->user = user;
    latch_add(&r->asked, 1);
    if (!r->hold) {
        crt_loop_post(loop, &r->task);
    }
}

static void never_freed(crt_source *source) {
}

static const crt_source_ops reader_ops = {reader_read, NULL, never_freed};
static const crt_source_ops plain_ops = {NULL, NULL, never_freed};

static void reader_init(text_reader *r, const char *text, size_t piece) {
    memset(r, 0, sizeof(*r));
    crt_ref_init(&r->base.refs);
    r->base.ops = &reader_ops;
    r->base.kind = CRT_SOURCE_READER;
    r->base.length = UINT64_MAX;
    r->task.run = reader_answer;
    r->text = text;
    r->len = strlen(text);
    r->piece = piece;
    latch_init(&r->asked);
}

static crt_source memory_source(const void *data, size_t len) {
    crt_source s = {&plain_ops, {1}, CRT_SOURCE_MEMORY, crt_bytes_of(data, len), -1, 0, len};
    return s;
}

/* ---- requests ---- */

#define CHUNKED ((const char *[]){"Transfer-Encoding", "chunked", NULL})

static const char *const *length_header(char text[24], size_t len) {
    static const char *headers[3];
    snprintf(text, 24, "%zu", len);
    headers[0] = "Content-Length";
    headers[1] = text;
    return headers;
}

/* Sends the body, expects these bytes behind the head and a success. */
static void expect_sent(const char *const *headers, crt_source *body, const char *expected, size_t expected_len) {
    const step steps[] = {READ("\r\n\r\n"), READ_LEN(expected_len), SEND(EMPTY_OK), READ_EOF, END};
    peer p;
    client c;
    recorder r;
    peer_start(&p, steps);
    client_connect(&c, p.port);
    recorder_request(&r, &c, make_message("PUT", "/", headers, body));
    assert_int_equal(crt_http_stream_activate(r.stream), 0);
    expect_success(&r, 200, "");
    recorder_free(&r);
    client_end(&c);
    peer_join(&p);
    const char *sent = strstr(p.received, "\r\n\r\n") + 4;
    assert_int_equal(p.received_len - (size_t)(sent - p.received), expected_len);
    assert_memory_equal(sent, expected, expected_len);
    peer_free(&p);
    assert_int_equal(body->refs.n, 1);
}

static char *pattern(size_t len) {
    char *bytes = malloc(len);
    for (size_t i = 0; i < len; i++) {
        bytes[i] = (char)('a' + (i * 7 + i / 26) % 26);
    }
    return bytes;
}

static void memory_is_sent_as_it_is(void **state) {
    static const size_t sizes[] = {1, 8192, 8193, 3000000};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        char text[24];
        char *bytes = pattern(sizes[i]);
        crt_source source = memory_source(bytes, sizes[i]);
        expect_sent(length_header(text, sizes[i]), &source, bytes, sizes[i]);
        free(bytes);
    }
}

static void memory_can_be_one_chunk(void **state) {
    crt_source source = memory_source("hello world", 11), empty = memory_source("", 0);
    expect_sent(CHUNKED, &source, "b\r\nhello world\r\n0\r\n\r\n", 21);
    expect_sent(CHUNKED, &empty, "0\r\n\r\n", 5);
}

static void file_ranges_are_sent(void **state) {
    char name[] = "/tmp/crt-http-body-XXXXXX", text[24];
    char *bytes = pattern(500000);
    int fd = mkstemp(name);
    unlink(name);
    assert_int_equal(write(fd, bytes, 500000), 500000);
    crt_source source = {&plain_ops, {1}, CRT_SOURCE_FILE, {NULL, 0}, fd, 1000, 400000};
    expect_sent(length_header(text, 400000), &source, bytes + 1000, 400000);
    close(fd);
    free(bytes);
}

static void readers_are_asked_until_the_length_is_reached(void **state) {
    text_reader r;
    for (size_t piece = 1; piece <= 12; piece += 5) {
        for (int eof_with_last = 0; eof_with_last < 2; eof_with_last++) {
            reader_init(&r, "hello world", piece);
            r.eof_with_last = eof_with_last;
            r.empty_reads = 2;
            expect_sent((const char *[]){"Content-Length", "11", NULL}, &r.base, "hello world", 11);
            latch_destroy(&r.asked);
        }
    }
}

static void large_readers_pass_through_two_buffers(void **state) {
    char text[24];
    size_t len = 1000000;
    char *bytes = pattern(len + 1);
    bytes[len] = 0;
    text_reader r;
    reader_init(&r, bytes, SIZE_MAX);
    expect_sent(length_header(text, len), &r.base, bytes, len);
    latch_destroy(&r.asked);
    free(bytes);
}

static void each_read_is_a_chunk(void **state) {
    text_reader r;
    reader_init(&r, "hello world", 6);
    expect_sent(CHUNKED, &r.base, "6\r\nhello \r\n5\r\nworld\r\n0\r\n\r\n", 26);
    latch_destroy(&r.asked);
    reader_init(&r, "hello world", 100);
    r.eof_with_last = true;
    expect_sent(CHUNKED, &r.base, "b\r\nhello world\r\n0\r\n\r\n", 21);
    latch_destroy(&r.asked);
    reader_init(&r, "", 100);
    expect_sent(CHUNKED, &r.base, "0\r\n\r\n", 5);
    latch_destroy(&r.asked);
}

static void a_body_nobody_announced_is_not_sent(void **state) {
    crt_source source = memory_source("hello", 5);
    expect_sent(NULL, &source, "", 0);
    expect_sent((const char *[]){"Content-Length", "0", NULL}, &source, "", 0);
}

static void expect_upload_failure(const char *const *headers, crt_source *body, int code) {
    const step steps[] = {READ_EOF, END};
    peer p;
    client c;
    recorder r;
    peer_start(&p, steps);
    client_connect(&c, p.port);
    recorder_request(&r, &c, make_message("PUT", "/", headers, body));
    assert_int_equal(crt_http_stream_activate(r.stream), 0);
    expect_failure(&r, code);
    expect_shutdown(&c, code);
    recorder_free(&r);
    client_end(&c);
    peer_end(&p);
    assert_int_equal(body->refs.n, 1);
}

static void wrong_lengths_fail_the_stream(void **state) {
    const int code = AWS_ERROR_HTTP_OUTGOING_STREAM_LENGTH_INCORRECT;
    const char *const *ten = (const char *[]){"Content-Length", "10", NULL};
    crt_source shorter = memory_source("hello", 5), longer = memory_source("hello world", 11);
    expect_upload_failure(ten, &shorter, code);
    expect_upload_failure(ten, &longer, code);
    text_reader r;
    reader_init(&r, "hello", 3);
    expect_upload_failure(ten, &r.base, code);
    latch_destroy(&r.asked);
    reader_init(&r, "hello world and more", 100);
    expect_upload_failure(ten, &r.base, code);
    latch_destroy(&r.asked);
}

static void a_failing_reader_fails_the_stream(void **state) {
    text_reader r;
    reader_init(&r, "hello", 3);
    r.fail_with = AWS_ERROR_UNKNOWN;
    expect_upload_failure(CHUNKED, &r.base, AWS_ERROR_UNKNOWN);
    latch_destroy(&r.asked);
}

static void missing_file_bytes_fail_the_stream(void **state) {
    char name[] = "/tmp/crt-http-body-XXXXXX";
    int fd = mkstemp(name);
    unlink(name);
    crt_source source = {&plain_ops, {1}, CRT_SOURCE_FILE, {NULL, 0}, fd, 0, 10};
    expect_upload_failure((const char *[]){"Content-Length", "10", NULL}, &source, AWS_IO_STREAM_READ_FAILED);
    close(fd);
}

/* ---- responses that come before the request is through ---- */

static void complete_response_waits_for_its_request(void **state) {
    const step steps[] = {READ("\r\n\r\n"), SEND(OK "Content-Length: 5\r\n\r\nearly"), READ("hello"),
                          READ("/next HTTP/1.1\r\n\r\n"),
                          SEND(OK "Content-Length: 4\r\n\r\nnext"), READ_EOF, END};
    peer p;
    client c;
    recorder upload, next;
    text_reader r;
    reader_init(&r, "hello", 100);
    r.hold = true;
    peer_start(&p, steps);
    client_connect(&c, p.port);
    recorder_request(&upload, &c, make_message("PUT", "/", (const char *[]){"Content-Length", "5", NULL}, &r.base));
    assert_int_equal(crt_http_stream_activate(upload.stream), 0);
    recorder_start(&next, &c, "/next");
    latch_wait(&upload.fed, 5);
    latch_wait(&r.asked, 1);
    assert_int_equal(latch_count(&upload.done), 0);
    crt_loop_post(c.loop, &r.task);
    expect_success(&upload, 200, "early");
    expect_success(&next, 200, "next");
    recorder_free(&upload);
    recorder_free(&next);
    client_end(&c);
    peer_end(&p);
    latch_destroy(&r.asked);
}

static void response_that_closes_abandons_the_rest_of_the_request(void **state) {
    const step steps[] = {READ("\r\n\r\n"),
                          SEND("HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno"), READ_EOF,
                          END};
    peer p;
    client c;
    recorder upload;
    text_reader r;
    reader_init(&r, "hello", 100);
    r.hold = true;
    peer_start(&p, steps);
    client_connect(&c, p.port);
    recorder_request(&upload, &c, make_message("PUT", "/", (const char *[]){"Content-Length", "5", NULL}, &r.base));
    assert_int_equal(crt_http_stream_activate(upload.stream), 0);
    expect_success(&upload, 413, "no");
    expect_shutdown(&c, 0);
    recorder_free(&upload); /* the read is still under way, and what it holds stays */
    crt_http_conn_release(c.conn);
    c.conn = NULL;
    on_loop(c.loop, answer_now, &r);
    assert_int_equal(r.base.refs.n, 1);
    client_end(&c);
    peer_end(&p);
    latch_destroy(&r.asked);
}

static void complete_response_then_end_is_a_success(void **state) {
    const step steps[] = {READ("\r\n\r\n"), SEND(OK "Content-Length: 2\r\n\r\nok"), WAIT, END};
    peer p;
    client c;
    recorder upload;
    text_reader r;
    reader_init(&r, "hello", 100);
    r.hold = true;
    peer_start(&p, steps);
    client_connect(&c, p.port);
    recorder_request(&upload, &c, make_message("PUT", "/", CHUNKED, &r.base));
    assert_int_equal(crt_http_stream_activate(upload.stream), 0);
    latch_wait(&upload.fed, 2);
    peer_go(&p);
    expect_success(&upload, 200, "ok");
    expect_shutdown(&c, AWS_IO_SOCKET_CLOSED);
    crt_loop_post(c.loop, &r.task);
    recorder_free(&upload);
    client_end(&c);
    peer_end(&p);
    latch_destroy(&r.asked);
}

/* ---- the consumer's memory ---- */

typedef struct landing {
    recorder r; /* first: the other callbacks are its own */
    uint8_t *memory;
    size_t capacity;
    size_t filled;
    size_t span_max;
    crt_span last;
    bool astray;        /* a piece that did not lie where it was told to */
    uint64_t first_want;
    size_t pause_at; /* names no memory once this much is there */
    latch paused;
} landing;

static void landing_on_space(void *user, uint64_t want, crt_span *space) {
    landing *l = user;
    if (l->filled == 0 && l->last.ptr == NULL) {
        l->first_want = want;
    }
    if (l->pause_at && l->filled >= l->pause_at) {
        l->pause_at = 0;
        latch_add(&l->paused, 1);
        return;
    }
    size_t room = l->capacity - l->filled;
    space->ptr = l->memory + l->filled;
    space->len = room < l->span_max ? room : l->span_max;
    l->last = *space;
}

static int landing_on_body(void *user, crt_bytes data) {
    landing *l = user;
    l->astray = l->astray || data.ptr != l->last.ptr || data.len > l->last.len || data.len == 0;
    l->filled += data.len;
    l->r.pieces++;
    return 0;
}

static const crt_http_stream_handler landing_handler = {recorder_on_head, landing_on_space, landing_on_body,
                                                        recorder_on_complete};

static void landing_start(landing *l, client *c, size_t capacity, size_t span_max) {
    memset(l, 0, sizeof(*l));
    recorder_init(&l->r);
    latch_init(&l->paused);
    l->memory = malloc(capacity + 1);
    l->memory[capacity] = 0x5a; /* not the connection's to touch */
    l->capacity = capacity;
    l->span_max = span_max;
    recorder_request_with(&l->r, c, &landing_handler, make_message("GET", "/", NULL, NULL));
}

static void landing_free(landing *l) {
    recorder_free(&l->r);
    latch_destroy(&l->paused);
    free(l->memory);
}

static char *length_response(const char *body, size_t len, const char *behind, size_t *total) {
    char *text = malloc(len + 200);
    int head = snprintf(text, 200, OK "Content-Length: %zu\r\n\r\n", len);
    memcpy(text + head, body, len);
    *total = (size_t)head + len + (size_t)snprintf(text + head + len, 100, "%s", behind);
    return text;
}

static void bodies_land_in_the_consumers_memory(void **state) {
    static const size_t sizes[] = {1, 100, 4095, 4096, 70000, 3000000};
    static const size_t spans[] = {SIZE_MAX, 5000, 100000};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        size_t total, len = sizes[i];
        char *bytes = pattern(len);
        char *response = length_response(bytes, len, OK "Content-Length: 4\r\n\r\nnext", &total);
        const step steps[] = {READ("/next HTTP/1.1\r\n\r\n"), SEND_LEN(response, total), READ_EOF, END};
        for (size_t k = 0; k < sizeof(spans) / sizeof(spans[0]); k++) {
            peer p;
            client c;
            landing l;
            recorder next;
            peer_start(&p, steps);
            client_connect(&c, p.port);
            landing_start(&l, &c, len, spans[k]);
            assert_int_equal(crt_http_stream_activate(l.r.stream), 0);
            recorder_start(&next, &c, "/next");
            expect_success(&next, 200, "next");
            expect_success(&l.r, 200, "");
            assert_false(l.astray);
            assert_int_equal(l.filled, len);
            assert_int_equal(l.first_want, len);
            assert_memory_equal(l.memory, bytes, len);
            assert_int_equal(l.memory[len], 0x5a);
            landing_free(&l);
            recorder_free(&next);
            client_end(&c);
            peer_end(&p);
        }
        free(bytes);
        free(response);
    }
}

static void chunked_bodies_land_there_as_well(void **state) {
    size_t len = 100000, at = 0;
    char *bytes = pattern(len);
    char *response = malloc(2 * len);
    size_t total = (size_t)sprintf(response, OK "Transfer-Encoding: chunked\r\n\r\n");
    for (size_t chunk = 1; at < len; chunk = chunk * 3 + 1) {
        size_t n = chunk < len - at ? chunk : len - at;
        total += (size_t)sprintf(response + total, "%zx\r\n", n);
        memcpy(response + total, bytes + at, n);
        total += n + (size_t)sprintf(response + total + n, "\r\n");
        at += n;
    }
    total += (size_t)sprintf(response + total, "0\r\n\r\n");
    const step steps[] = {READ("\r\n\r\n"), SEND_LEN(response, total), READ_EOF, END};
    peer p;
    client c;
    landing l;
    peer_start(&p, steps);
    client_connect(&c, p.port);
    landing_start(&l, &c, len, SIZE_MAX);
    assert_int_equal(crt_http_stream_activate(l.r.stream), 0);
    expect_success(&l.r, 200, "");
    assert_false(l.astray);
    assert_int_equal(l.filled, len);
    assert_int_equal(l.first_want, UINT64_MAX);
    assert_memory_equal(l.memory, bytes, len);
    landing_free(&l);
    client_end(&c);
    peer_end(&p);
    free(bytes);
    free(response);
}

static void resume_landing(void *arg) {
    landing *l = arg;
    crt_http_stream_resume(l->r.stream);
}

static void naming_no_memory_pauses_until_resume(void **state) {
    size_t total, len = 2000000;
    char *bytes = pattern(len);
    char *response = length_response(bytes, len, "", &total);
    const step steps[] = {READ("\r\n\r\n"), SEND_LEN(response, total), READ_EOF, END};
    static const size_t pauses[] = {1, 5000, 1000000};
    for (size_t i = 0; i < sizeof(pauses) / sizeof(pauses[0]); i++) {
        peer p;
        client c;
        landing l;
        peer_start(&p, steps);
        client_connect(&c, p.port);
        landing_start(&l, &c, len, 64 * 1024); /* less than one read could bring */
        l.pause_at = pauses[i];
        assert_int_equal(crt_http_stream_activate(l.r.stream), 0);
        latch_wait(&l.paused, 1);
        on_loop(c.loop, resume_landing, &l);
        expect_success(&l.r, 200, "");
        assert_int_equal(l.filled, len);
        assert_memory_equal(l.memory, bytes, len);
        landing_free(&l);
        client_end(&c);
        peer_end(&p);
    }
    free(bytes);
    free(response);
}

static void a_paused_stream_can_be_cancelled(void **state) {
    size_t total, len = 200000;
    char *bytes = pattern(len);
    char *response = length_response(bytes, len, "", &total);
    const step steps[] = {READ("\r\n\r\n"), SEND_LEN(response, total), READ_EOF, END};
    peer p;
    client c;
    landing l;
    peer_start(&p, steps);
    client_connect(&c, p.port);
    landing_start(&l, &c, len, 64 * 1024);
    l.pause_at = 1;
    assert_int_equal(crt_http_stream_activate(l.r.stream), 0);
    latch_wait(&l.paused, 1);
    crt_http_stream_cancel(l.r.stream, AWS_ERROR_HTTP_STREAM_CANCELLED);
    expect_failure(&l.r, AWS_ERROR_HTTP_STREAM_CANCELLED);
    on_loop(c.loop, resume_landing, &l); /* too late, and harmless */
    landing_free(&l);
    client_end(&c);
    peer_end(&p);
    free(bytes);
    free(response);
}

/* ---- manual window ---- */

static void client_connect_manual(client *c, uint16_t port, size_t window) {
    client_init(c);
    crt_http_connect_options options = client_options(c, port);
    options.manual_window = true;
    options.initial_window = window;
    client_connect_with(c, &options);
    assert_int_equal(c->connect_fault.code, 0);
}

static void the_window_limits_what_is_delivered(void **state) {
    static const char *const responses[] = {
        OK "Content-Length: 20\r\n\r\n01234567890123456789",
        OK "Transfer-Encoding: chunked\r\n\r\n14\r\n01234567890123456789\r\n0\r\n\r\n",
    };
    for (int i = 0; i < 2; i++) {
        const step steps[] = {READ("\r\n\r\n"), SEND(responses[i]), READ_EOF, END};
        peer p;
        client c;
        recorder r;
        peer_start(&p, steps);
        client_connect_manual(&c, p.port, 5);
        recorder_start(&r, &c, "/");
        latch_wait(&r.fed, 5);
        assert_int_equal(latch_count(&r.fed), 5);
        crt_http_stream_update_window(r.stream, 5);
        latch_wait(&r.fed, 10);
        assert_int_equal(latch_count(&r.fed), 10);
        assert_int_equal(latch_count(&r.done), 0);
        crt_http_stream_update_window(r.stream, 10); /* down to 0 with the last byte: complete all the same */
        expect_success(&r, 200, "01234567890123456789");
        recorder_free(&r);
        client_end(&c);
        peer_end(&p);
    }
}

static void a_window_of_zero_lets_the_head_through(void **state) {
    const step steps[] = {READ("\r\n\r\n"), SEND(OK "Content-Length: 5\r\n\r\nhello"), READ_EOF, END};
    peer p;
    client c;
    recorder r, early;
    peer_start(&p, steps);
    client_connect_manual(&c, p.port, 0);
    recorder_start(&r, &c, "/");
    latch_wait(&r.headed, 1);
    assert_int_equal(latch_count(&r.fed), 0);
    crt_http_stream_update_window(r.stream, UINT64_MAX);
    crt_http_stream_update_window(r.stream, UINT64_MAX);
    expect_success(&r, 200, "hello");
    recorder_free(&r);
    client_end(&c);
    peer_end(&p);

    peer_start(&p, steps);
    client_connect_manual(&c, p.port, 0);
    recorder_get(&early, &c, "/");
    crt_http_stream_update_window(early.stream, 5); /* before activation: taken by it */
    assert_int_equal(crt_http_stream_activate(early.stream), 0);
    expect_success(&early, 200, "hello");
    recorder_free(&early);
    client_end(&c);
    peer_end(&p);
}

/* The peer hangs up while the window holds the body back: it is delivered first. */
static void a_peer_that_hung_up_does_not_cut_what_the_window_held_back(void **state) {
    const step steps[] = {READ("\r\n\r\n"), SEND(OK "Content-Length: 5\r\n\r\nhello"), END};
    peer p;
    client c;
    recorder r;
    peer_start(&p, steps);
    client_connect_manual(&c, p.port, 2);
    recorder_start(&r, &c, "/");
    latch_wait(&r.fed, 2);
    peer_join(&p);
    crt_http_stream_update_window(r.stream, 3);
    expect_success(&r, 200, "hello");
    expect_shutdown(&c, AWS_IO_SOCKET_CLOSED);
    recorder_free(&r);
    client_end(&c);
    peer_free(&p);
}

static void the_window_limits_direct_reads(void **state) {
    size_t total, len = 100000;
    char *bytes = pattern(len);
    char *response = length_response(bytes, len, "", &total);
    const step steps[] = {READ("\r\n\r\n"), SEND_LEN(response, total), READ_EOF, END};
    peer p;
    client c;
    landing l;
    peer_start(&p, steps);
    client_connect_manual(&c, p.port, 30000);
    landing_start(&l, &c, len, SIZE_MAX);
    assert_int_equal(crt_http_stream_activate(l.r.stream), 0);
    crt_http_stream_update_window(l.r.stream, 30000);
    crt_http_stream_update_window(l.r.stream, 40000);
    expect_success(&l.r, 200, "");
    assert_int_equal(l.filled, len);
    assert_memory_equal(l.memory, bytes, len);
    landing_free(&l);
    client_end(&c);
    peer_end(&p);
    free(bytes);
    free(response);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        leak_checked(memory_is_sent_as_it_is),
        leak_checked(memory_can_be_one_chunk),
        leak_checked(file_ranges_are_sent),
        leak_checked(readers_are_asked_until_the_length_is_reached),
        leak_checked(large_readers_pass_through_two_buffers),
        leak_checked(each_read_is_a_chunk),
        leak_checked(a_body_nobody_announced_is_not_sent),
        leak_checked(wrong_lengths_fail_the_stream),
        leak_checked(a_failing_reader_fails_the_stream),
        leak_checked(missing_file_bytes_fail_the_stream),
        leak_checked(complete_response_waits_for_its_request),
        leak_checked(response_that_closes_abandons_the_rest_of_the_request),
        leak_checked(complete_response_then_end_is_a_success),
        leak_checked(bodies_land_in_the_consumers_memory),
        leak_checked(chunked_bodies_land_there_as_well),
        leak_checked(naming_no_memory_pauses_until_resume),
        leak_checked(a_paused_stream_can_be_cancelled),
        leak_checked(the_window_limits_what_is_delivered),
        leak_checked(a_window_of_zero_lets_the_head_through),
        leak_checked(a_peer_that_hung_up_does_not_cut_what_the_window_held_back),
        leak_checked(the_window_limits_direct_reads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
