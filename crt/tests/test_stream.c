/* Plain streams against a peer on blocking sockets: bytes, back-pressure, ends. */
#include "stream_support.h"

#include <netinet/tcp.h>
#include <sys/wait.h>

#include "../io/socket_posix.h"

/* ---- bytes ---- */

static void put_greeting(void *arg) {
    client *c = arg;
    crt_stream_put(c->stream, "hello ", 6);
    crt_stream_put(c->stream, "", 0);
    crt_stream_put(c->stream, "peer", 4);
    c->observed = c->stream->unsent;
}

static void bytes_put_come_back_from_an_echo(void **state) {
    client c;
    client_open(&c, serve_echo, NULL);
    on_loop(c.loop, put_greeting, &c);
    assert_int_equal(c.observed, 10);
    latch_wait(&c.received, 10);
    latch_wait(&c.drained, 1);
    assert_memory_equal(c.in, "hello peer", 10);
    client_close(&c);
    assert_int_equal(c.close_fault.code, 0);
    assert_int_equal(latch_count(&c.drained), 1);
    client_free(&c);
}

enum { PIECES = 9, PIECE = 3 << 20 };

typedef struct big_write {
    client *c;
    uint8_t *bytes;
    queued_write writes[PIECES];
} big_write;

static void write_pieces(void *arg) {
    big_write *b = arg;
    size_t i;
    for (i = 0; i < PIECES; i++) {
        client_write(b->c, &b->writes[i], b->bytes + i * PIECE, PIECE);
    }
}

static void large_writes_pass_without_copies_in_both_directions(void **state) {
    client c;
    big_write b = {.c = &c, .bytes = test_bytes(PIECES * PIECE)};
    size_t i;
    client_open(&c, serve_echo, NULL);
    on_loop(c.loop, write_pieces, &b);
    latch_wait(&c.received, PIECES * PIECE);
    latch_wait(&c.written, PIECES);
    assert_memory_equal(c.in, b.bytes, PIECES * PIECE);
    for (i = 0; i < PIECES; i++) {
        assert_int_equal(b.writes[i].calls, 1);
        assert_int_equal(b.writes[i].status, 0);
        assert_int_equal(b.writes[i].position, i);
        assert_false(b.writes[i].inside_call);
    }
    client_close(&c);
    client_free(&c);
    free(b.bytes);
}

typedef struct mixed {
    client *c;
    uint8_t *bytes;
    int file;
    queued_write memory, empty, range;
    size_t put_len;
} mixed;

/* In order: a put, a write, a put, an empty write, a file range, a put longer than a segment. */
static void queue_mixed(void *arg) {
    mixed *m = arg;
    crt_stream_put(m->c->stream, m->bytes, 100);
    client_write(m->c, &m->memory, m->bytes + 100, 5000);
    crt_stream_put(m->c->stream, m->bytes + 5100, 900);
    client_write(m->c, &m->empty, m->bytes, 0);
    client_write_file(m->c, &m->range, m->file, 6000, 700000);
    crt_stream_put(m->c->stream, m->bytes + 706000, m->put_len);
}

static void everything_queued_leaves_in_order(void **state) {
    client c;
    mixed m = {.c = &c, .bytes = test_bytes(800000), .put_len = 94000};
    m.file = test_file(m.bytes, 800000);
    client_open(&c, serve_echo, NULL);
    on_loop(c.loop, queue_mixed, &m);
    latch_wait(&c.received, 800000);
    latch_wait(&c.written, 3);
    assert_memory_equal(c.in, m.bytes, 800000);
    assert_int_equal(m.range.status, 0);
    assert_int_equal(m.empty.status, 0);
    client_close(&c);
    client_free(&c);
    close(m.file);
    free(m.bytes);
}

static void queue_too_much_file(void *arg) {
    mixed *m = arg;
    client_write_file(m->c, &m->range, m->file, 500, 1000);
}

static void a_file_shorter_than_promised_fails_its_write(void **state) {
    client c;
    mixed m = {.c = &c, .bytes = test_bytes(800)};
    m.file = test_file(m.bytes, 800);
    client_open(&c, serve_until_closed, NULL);
    on_loop(c.loop, queue_too_much_file, &m);
    latch_wait(&c.closed, 1);
    assert_int_equal(m.range.calls, 1);
    assert_int_equal(m.range.status, AWS_IO_STREAM_READ_FAILED);
    assert_int_equal(c.close_fault.code, AWS_IO_STREAM_READ_FAILED);
    client_free(&c);
    close(m.file);
    free(m.bytes);
}

typedef struct odd_file {
    client c;
    int fd;
    uint8_t text[4096];
    size_t len;
    queued_write write;
} odd_file;

static void queue_odd_file(void *arg) {
    odd_file *f = arg;
    client_write_file(&f->c, &f->write, f->fd, 0, f->len);
}

static void files_that_sendfile_refuses_are_read(void **state) {
    odd_file *f = calloc(1, sizeof(*f));
    ssize_t n;
    f->fd = open("/proc/version", O_RDONLY | O_CLOEXEC);
    n = pread(f->fd, f->text, sizeof(f->text), 0);
    assert_true(n > 0);
    f->len = (size_t)n;
    client_open(&f->c, serve_echo, NULL);
    on_loop(f->c.loop, queue_odd_file, f);
    latch_wait(&f->c.received, f->len);
    assert_memory_equal(f->c.in, f->text, f->len);
    client_close(&f->c);
    assert_int_equal(f->write.status, 0);
    client_free(&f->c);
    close(f->fd);
    free(f);
}

/* ---- back-pressure ---- */

static void reading_stops_where_no_space_is_named(void **state) {
    client c;
    int turn;
    sending s = {.bytes = test_bytes(8 << 20), .len = 8 << 20};
    client_open_window(&c, serve_bytes, &s, 100000);
    latch_wait(&c.received, 100000);
    for (turn = 0; turn < 20; turn++) {
        on_loop(c.loop, do_nothing, NULL);
        assert_int_equal(latch_count(&c.received), 100000);
    }
    c.window_next = 3000000;
    on_loop(c.loop, client_widen, &c);
    latch_wait(&c.received, 3000000);
    on_loop(c.loop, do_nothing, NULL);
    assert_int_equal(latch_count(&c.received), 3000000);
    c.window_next = SIZE_MAX;
    on_loop(c.loop, client_widen, &c);
    latch_wait(&c.received, 8 << 20);
    assert_memory_equal(c.in, s.bytes, 8 << 20);
    latch_wait(&c.closed, 1);
    client_free(&c);
    free(s.bytes);
}

/* ---- ends ---- */

static void all_bytes_arrive_before_the_end(void **state) {
    client c;
    sending s = {.bytes = test_bytes(1 << 20), .len = 1 << 20};
    client_open_window(&c, serve_bytes, &s, SIZE_MAX);
    latch_wait(&c.closed, 1);
    assert_int_equal(latch_count(&c.received), 1 << 20);
    assert_memory_equal(c.in, s.bytes, 1 << 20);
    assert_int_equal(c.close_fault.code, AWS_IO_SOCKET_CLOSED);
    assert_non_null(strstr(c.close_fault.detail, "127.0.0.1:"));
    client_free(&c);
    free(s.bytes);
}

static void a_paused_stream_delivers_what_came_before_the_end(void **state) {
    client c;
    sending s = {.bytes = test_bytes(50000), .len = 50000};
    client_open_window(&c, serve_bytes, &s, 0);
    peer_join(&c.peer); /* the other side is gone */
    on_loop(c.loop, do_nothing, NULL);
    on_loop(c.loop, do_nothing, NULL);
    assert_int_equal(latch_count(&c.closed), 0);
    c.window_next = SIZE_MAX;
    on_loop(c.loop, client_widen, &c);
    latch_wait(&c.closed, 1);
    assert_int_equal(latch_count(&c.received), 50000);
    assert_memory_equal(c.in, s.bytes, 50000);
    assert_int_equal(c.close_fault.code, AWS_IO_SOCKET_CLOSED);
    client_free(&c);
    free(s.bytes);
}

static void a_reset_ends_the_stream(void **state) {
    client c;
    client_open(&c, serve_reset, NULL);
    on_loop(c.loop, put_greeting, &c);
    latch_wait(&c.closed, 1);
    assert_int_equal(c.close_fault.code, AWS_IO_SOCKET_CLOSED);
    assert_non_null(strstr(c.close_fault.detail, "reset by the peer"));
    client_free(&c);
}

static void serve_hang_up(peer *p, int fd) {
    uint8_t some[100];
    recv(fd, some, sizeof(some), 0);
}

static void an_end_in_order_is_told_from_a_reset(void **state) {
    client c;
    client_open(&c, serve_hang_up, NULL);
    on_loop(c.loop, put_greeting, &c);
    latch_wait(&c.closed, 1);
    assert_int_equal(c.close_fault.code, AWS_IO_SOCKET_CLOSED);
    assert_non_null(strstr(c.close_fault.detail, "closed by the peer"));
    client_free(&c);
}

static void a_paused_stream_survives_a_reset_until_resumed(void **state) {
    client c;
    client_open_window(&c, serve_reset, NULL, 0);
    on_loop(c.loop, put_greeting, &c);
    peer_join(&c.peer);
    on_loop(c.loop, do_nothing, NULL);
    assert_int_equal(latch_count(&c.closed), 0);
    c.window_next = SIZE_MAX;
    on_loop(c.loop, client_widen, &c);
    latch_wait(&c.closed, 1);
    assert_int_equal(c.close_fault.code, AWS_IO_SOCKET_CLOSED);
    client_free(&c);
}

/* The peer answers without reading the request, as servers do that refuse an upload. */
static void an_early_answer_is_still_read_when_sending_fails(void **state) {
    client c;
    big_write b = {.c = &c, .bytes = test_bytes(PIECES * PIECE)};
    sending s = {.bytes = test_bytes(300), .len = 300};
    size_t i;
    client_open(&c, serve_early_answer, &s);
    on_loop(c.loop, write_pieces, &b);
    latch_wait(&c.closed, 1);
    assert_int_equal(c.close_fault.code, AWS_IO_SOCKET_CLOSED);
    assert_int_equal(latch_count(&c.received), 300);
    assert_non_null(strstr(c.close_fault.detail, "reset by the peer"));
    for (i = 0; i < PIECES; i++) {
        assert_int_equal(b.writes[i].calls, 1);
    }
    assert_int_equal(b.writes[PIECES - 1].status, AWS_IO_SOCKET_CLOSED);
    client_free(&c);
    free(b.bytes);
    free(s.bytes);
}

enum { PUT = 64 << 10, PUTS = 256 };

static void put_much(void *arg) {
    static const uint8_t bytes[PUT];
    client *c = arg;
    int i;
    for (i = 0; i < PUTS; i++) {
        assert_int_equal(crt_stream_put(c->stream, bytes, sizeof(bytes)), 0);
    }
    c->observed = crt_budget_used(); /* not before the turn shows what the peer takes */
}

static void look_at_the_queue(void *arg) {
    client *c = arg;
    c->observed = c->stream->unsent;
}

static void what_a_slow_peer_leaves_is_charged_to_the_budget(void **state) {
    client c;
    client_open(&c, serve_nothing, NULL);
    on_loop(c.loop, put_much, &c);
    assert_int_equal(c.observed, 0);
    on_loop(c.loop, look_at_the_queue, &c);
    assert_true(c.observed > PUT);
    assert_true(crt_budget_used() >= c.observed);
    client_close(&c);
    assert_int_equal(crt_budget_used(), 0);
    client_free(&c);
}

static void what_the_peer_takes_in_the_end_is_not_charged(void **state) {
    client c;
    client_open(&c, serve_until_closed, NULL);
    on_loop(c.loop, put_much, &c);
    latch_wait(&c.drained, 1);
    on_loop(c.loop, do_nothing, NULL);
    assert_int_equal(crt_budget_used(), 0);
    client_close(&c);
    client_free(&c);
}

static void put_and_close(void *arg) {
    client *c = arg;
    crt_stream_put(c->stream, "farewell", 8);
    crt_stream_close(c->stream, AWS_IO_TLS_NEGOTIATION_TIMEOUT);
    crt_stream_close(c->stream, 0);
    c->observed = (size_t)crt_stream_put(c->stream, "x", 1);
    c->closed_inside = latch_count(&c->closed) != 0;
}

static void bytes_put_before_a_close_still_leave(void **state) {
    client c;
    recording r = {.len = 0};
    client_open(&c, serve_record, &r);
    on_loop(c.loop, put_and_close, &c);
    latch_wait(&c.closed, 1);
    peer_join(&c.peer);
    assert_int_equal(r.len, 8);
    assert_memory_equal(r.bytes, "farewell", 8);
    assert_int_equal(c.observed, AWS_IO_SOCKET_CLOSED);
    assert_false(c.closed_inside);
    assert_int_equal(c.close_fault.code, AWS_IO_TLS_NEGOTIATION_TIMEOUT);
    client_free(&c);
    assert_int_equal(c.closed_calls, 1);
}

static void queued_writes_end_before_the_stream_does(void **state) {
    client c;
    big_write b = {.c = &c, .bytes = test_bytes(PIECES * PIECE)};
    size_t i, failed = 0;
    client_open(&c, serve_nothing, NULL);
    on_loop(c.loop, write_pieces, &b);
    on_loop(c.loop, client_close_now, &c);
    latch_wait(&c.closed, 1);
    for (i = 0; i < PIECES; i++) {
        assert_int_equal(b.writes[i].calls, 1);
        assert_false(b.writes[i].after_close);
        failed += b.writes[i].status == AWS_IO_SOCKET_CLOSED;
    }
    assert_true(failed > 0); /* nobody reads 27 MiB on the other side */
    client_free(&c);
    free(b.bytes);
}

static void write_late(void *arg) {
    big_write *b = arg;
    client_write(b->c, &b->writes[0], b->bytes, 10);
}

static void a_write_on_a_closed_stream_fails_once_and_later(void **state) {
    client c;
    big_write b = {.c = &c, .bytes = test_bytes(10)};
    client_open(&c, serve_until_closed, NULL);
    client_close(&c);
    on_loop(c.loop, write_late, &b);
    latch_wait(&c.written, 1);
    assert_int_equal(b.writes[0].calls, 1);
    assert_int_equal(b.writes[0].status, AWS_IO_SOCKET_CLOSED);
    assert_false(b.writes[0].inside_call);
    client_free(&c);
    free(b.bytes);
}

static void dropping_the_last_reference_closes(void **state) {
    client c;
    client_open(&c, serve_until_closed, NULL);
    on_loop(c.loop, client_drop, &c);
    latch_wait(&c.closed, 1);
    peer_join(&c.peer); /* saw the end of the stream */
    client_free(&c);
    assert_int_equal(c.closed_calls, 1);
}

static void a_stream_may_be_closed_and_dropped_by_its_own_data(void **state) {
    client c;
    client_open(&c, serve_echo, NULL);
    c.drop_on_data = true;
    on_loop(c.loop, put_greeting, &c);
    latch_wait(&c.closed, 1);
    assert_int_equal(c.close_fault.code, 0);
    client_free(&c);
    assert_int_equal(c.closed_calls, 1);
}

static void a_stream_ends_with_its_loop(void **state) {
    client c;
    big_write b = {.c = &c, .bytes = test_bytes(PIECES * PIECE)};
    size_t i;
    client_open(&c, serve_nothing, NULL);
    on_loop(c.loop, write_pieces, &b);
    c.drop_on_closed = true; /* after this nobody can do it from the loop */
    client_end_loop(&c);
    assert_int_equal(c.closed_calls, 1);
    assert_int_equal(c.close_fault.code, AWS_IO_EVENT_LOOP_SHUTDOWN);
    for (i = 0; i < PIECES; i++) {
        assert_int_equal(b.writes[i].calls, 1);
    }
    client_free(&c);
    free(b.bytes);
}

/* ---- forks ---- */

static void a_forked_child_drops_a_stream_without_harm(void **state) {
    client c;
    int status = -1;
    pid_t child;
    client_open(&c, serve_echo, NULL);
    child = fork();
    if (child == 0) {
        crt_stream_release(c.stream);
        crt_resolver_release(c.resolver);
        crt_loop_group_release(c.group);
        _exit(crt_threads_join(0) ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    on_loop(c.loop, put_greeting, &c); /* the parent's connection lives on */
    latch_wait(&c.received, 10);
    client_close(&c);
    client_free(&c);
}

/* ---- socket options ---- */

static int option(int fd, int level, int name) {
    int value = -1;
    socklen_t size = sizeof(value);
    assert_int_equal(getsockopt(fd, level, name, &value, &size), 0);
    return value;
}

static void options_reach_the_socket(void **state) {
    crt_socket_options options = CRT_SOCKET_OPTIONS_DEFAULT;
    crt_address localhost = {.family = AF_INET, .ip = {127, 0, 0, 1}};
    peer p;
    int fd, idle;
    peer_start(&p, serve_until_closed, NULL);
    assert_int_equal(crt_socket_connect_tcp(&localhost, p.port, &options, &fd), 0);
    idle = option(fd, IPPROTO_TCP, TCP_KEEPIDLE);
    assert_int_equal(option(fd, IPPROTO_TCP, TCP_NODELAY), 1);
    assert_int_equal(option(fd, SOL_SOCKET, SO_KEEPALIVE), 0);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
    close(fd);
    peer_join(&p);

    options.no_delay = false;
    options.keep_alive = true;
    options.keep_alive_interval_secs = 33; /* alone: neither is applied */
    options.keep_alive_max_probes = 7;
    options.interface_name = "lo";
    peer_start(&p, serve_until_closed, NULL);
    assert_int_equal(crt_socket_connect_tcp(&localhost, p.port, &options, &fd), 0);
    assert_int_equal(option(fd, IPPROTO_TCP, TCP_NODELAY), 0);
    assert_int_equal(option(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
    assert_int_equal(option(fd, IPPROTO_TCP, TCP_KEEPIDLE), idle);
    assert_int_equal(option(fd, IPPROTO_TCP, TCP_KEEPCNT), 7);
    close(fd);
    peer_join(&p);

    options.keep_alive_timeout_secs = 11;
    peer_start(&p, serve_until_closed, NULL);
    assert_int_equal(crt_socket_connect_tcp(&localhost, p.port, &options, &fd), 0);
    assert_int_equal(option(fd, IPPROTO_TCP, TCP_KEEPIDLE), 33);
    assert_int_equal(option(fd, IPPROTO_TCP, TCP_KEEPINTVL), 11);
    close(fd);
    peer_join(&p);

    options.interface_name = "nosuchif0";
    assert_int_equal(crt_socket_connect_tcp(&localhost, 9, &options, &fd), AWS_IO_SOCKET_INVALID_OPTIONS);
}

/* ---- taking the socket out ---- */

typedef struct detaching {
    client *c;
    const char *put;
    bool share, close;
    crt_socket *taken;
} detaching;

static void detach(void *arg) {
    detaching *d = arg;
    crt_stream *stream = d->c->stream;
    if (d->put) {
        crt_stream_put(stream, d->put, strlen(d->put));
    }
    if (d->close) {
        crt_stream_close(stream, 0);
    }
    if (d->share) {
        crt_stream_acquire(stream);
    }
    d->taken = crt_socket_stream_detach(stream);
    if (d->share) {
        crt_stream_release(stream);
    }
    if (d->taken) {
        d->c->stream = NULL;
        crt_socket_destroy(d->taken);
    }
}

static void the_socket_can_be_taken_from_an_idle_stream(void **state) {
    client c;
    detaching d = {&c};
    client_open(&c, serve_until_closed, NULL);
    on_loop(c.loop, detach, &d);
    assert_non_null(d.taken);
    client_free(&c); /* joins the peer, whose connection was closed with the socket */
    assert_int_equal(c.closed_calls, 0);
}

static void detach_on_data(void *user, size_t n) {
    detaching *d = user;
    client_on_data(d->c, n);
    detach(d);
}

static void on_detaching_space(void *user, crt_span *space) {
    client_on_space(((detaching *)user)->c, space);
}

static void put_and_detach_later(void *arg) {
    static const crt_stream_handler handler = {on_detaching_space, detach_on_data, NULL, NULL};
    detaching *d = arg;
    crt_stream_set_handler(d->c->stream, &handler, d);
    crt_stream_put(d->c->stream, "echo", 4);
}

static void the_socket_can_be_taken_where_its_bytes_arrive(void **state) {
    client c;
    detaching d = {&c};
    client_open(&c, serve_echo, NULL);
    on_loop(c.loop, put_and_detach_later, &d);
    latch_wait(&c.received, 4);
    on_loop(c.loop, do_nothing, NULL);
    assert_non_null(d.taken);
    client_free(&c);
}

static void the_socket_stays_while_others_count_on_the_stream(void **state) {
    const detaching cases[] = {{.put = "to be sent"}, {.share = true}, {.close = true}};
    for (size_t i = 0; i < 3; i++) {
        client c;
        detaching d = cases[i];
        d.c = &c;
        client_open(&c, serve_until_closed, NULL);
        on_loop(c.loop, detach, &d);
        assert_null(d.taken);
        client_close(&c);
        assert_int_equal(c.closed_calls, 1);
        client_free(&c);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        leak_checked(bytes_put_come_back_from_an_echo),
        leak_checked(large_writes_pass_without_copies_in_both_directions),
        leak_checked(everything_queued_leaves_in_order),
        leak_checked(a_file_shorter_than_promised_fails_its_write),
        leak_checked(files_that_sendfile_refuses_are_read),
        leak_checked(reading_stops_where_no_space_is_named),
        leak_checked(all_bytes_arrive_before_the_end),
        leak_checked(a_paused_stream_delivers_what_came_before_the_end),
        leak_checked(a_reset_ends_the_stream),
        leak_checked(an_end_in_order_is_told_from_a_reset),
        leak_checked(a_paused_stream_survives_a_reset_until_resumed),
        leak_checked(what_a_slow_peer_leaves_is_charged_to_the_budget),
        leak_checked(what_the_peer_takes_in_the_end_is_not_charged),
        leak_checked(an_early_answer_is_still_read_when_sending_fails),
        leak_checked(bytes_put_before_a_close_still_leave),
        leak_checked(queued_writes_end_before_the_stream_does),
        leak_checked(a_write_on_a_closed_stream_fails_once_and_later),
        leak_checked(dropping_the_last_reference_closes),
        leak_checked(a_stream_may_be_closed_and_dropped_by_its_own_data),
        leak_checked(a_stream_ends_with_its_loop),
        leak_checked(a_forked_child_drops_a_stream_without_harm),
        leak_checked(options_reach_the_socket),
        leak_checked(the_socket_can_be_taken_from_an_idle_stream),
        leak_checked(the_socket_can_be_taken_where_its_bytes_arrive),
        leak_checked(the_socket_stays_while_others_count_on_the_stream),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
