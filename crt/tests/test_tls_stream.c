/* TLS streams: bytes, back-pressure and ends, over a socket and over another stream. */
#include "tls_support.h"

static identity ca, site;

static int make_identities(void **state) {
    identity_new(&ca, &(identity_options){.common_name = "Test CA", .ca = true});
    identity_new(&site, &(identity_options){.common_name = "site", .issuer = &ca, .names = "DNS:site.example"});
    return 0;
}

static int free_identities(void **state) {
    identity_free(&ca);
    identity_free(&site);
    return 0;
}

/* An open connection with its server. */
typedef struct pair {
    client c;
    tls_server server;
} pair;

static void pair_open_window(pair *p, void (*talk)(tls_server *, SSL *, int), void *arg, int version, size_t window) {
    crt_tls_ctx_options options = tls_options_trusting(&ca);

    server_init(&p->server, &site);
    SSL_CTX_set_max_proto_version(p->server.ctx, version);
    p->server.talk = talk;
    p->server.arg = arg;
    client_init(&p->c);
    p->c.window = window;
    tls_connect(&p->c, &p->server, &options, "site.example");
    if (p->c.connect_fault.code) {
        fail_msg("%s", p->c.connect_fault.detail);
    }
}

static void pair_open(pair *p, void (*talk)(tls_server *, SSL *, int), void *arg, int version) {
    pair_open_window(p, talk, arg, version, SIZE_MAX);
}

static void pair_free(pair *p) {
    client_free(&p->c);
    server_free(&p->server);
}

static const int both_versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
#define FOR_BOTH(version) for (const int *version = both_versions; version < both_versions + 2; version++)

/* ---- bytes ---- */

static void put_greeting(void *arg) {
    client *c = arg;
    crt_stream_put(c->stream, "hello ", 6);
    crt_stream_put(c->stream, "", 0);
    crt_stream_put(c->stream, "peer", 4);
    c->observed = c->stream->unsent;
}

static void bytes_put_come_back_from_an_echo(void **state) {
    FOR_BOTH(version) {
        pair p;
        pair_open(&p, talk_echo, NULL, *version);
        on_loop(p.c.loop, put_greeting, &p.c);
        assert_int_equal(p.c.observed, 10);
        latch_wait(&p.c.received, 10);
        latch_wait(&p.c.drained, 1);
        assert_memory_equal(p.c.in, "hello peer", 10);
        client_close(&p.c);
        assert_int_equal(p.c.close_fault.code, 0);
        peer_join(&p.c.peer);
        assert_true(p.server.got_close_notify);
        pair_free(&p);
    }
}

enum { PIECES = 7, PIECE = (3 << 20) + 17 };

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

static void large_writes_pass_intact_in_both_directions(void **state) {
    FOR_BOTH(version) {
        pair p;
        big_write b = {.c = &p.c, .bytes = test_bytes(PIECES * PIECE)};
        size_t i;
        pair_open(&p, talk_echo, NULL, *version);
        on_loop(p.c.loop, write_pieces, &b);
        latch_wait(&p.c.received, PIECES * PIECE);
        latch_wait(&p.c.written, PIECES);
        assert_memory_equal(p.c.in, b.bytes, PIECES * PIECE);
        for (i = 0; i < PIECES; i++) {
            assert_int_equal(b.writes[i].calls, 1);
            assert_int_equal(b.writes[i].status, 0);
            assert_int_equal(b.writes[i].position, i);
            assert_false(b.writes[i].inside_call);
        }
        client_close(&p.c);
        pair_free(&p);
        free(b.bytes);
    }
}

typedef struct mixed {
    client *c;
    uint8_t *bytes;
    int file;
    queued_write memory, empty, range;
} mixed;

/* In order: a put, a write, a put, an empty write, a file range, a put longer than a segment. */
static void queue_mixed(void *arg) {
    mixed *m = arg;
    crt_stream_put(m->c->stream, m->bytes, 100);
    client_write(m->c, &m->memory, m->bytes + 100, 30000);
    crt_stream_put(m->c->stream, m->bytes + 30100, 1);
    client_write(m->c, &m->empty, NULL, 0);
    client_write_file(m->c, &m->range, m->file, 30101, 200000);
    crt_stream_put(m->c->stream, m->bytes + 230101, 50000);
}

static void all_kinds_of_writes_keep_their_order(void **state) {
    enum { TOTAL = 280101 };
    pair p;
    mixed m = {.c = &p.c, .bytes = test_bytes(TOTAL)};

    m.file = test_file(m.bytes, TOTAL);
    pair_open(&p, talk_echo, NULL, TLS1_3_VERSION);
    on_loop(p.c.loop, queue_mixed, &m);
    latch_wait(&p.c.received, TOTAL);
    latch_wait(&p.c.written, 3);
    assert_memory_equal(p.c.in, m.bytes, TOTAL);
    assert_int_equal(m.memory.position, 0);
    assert_int_equal(m.empty.position, 1);
    assert_int_equal(m.range.position, 2);
    assert_int_equal(m.range.status, 0);
    client_close(&p.c);
    pair_free(&p);
    close(m.file);
    free(m.bytes);
}

static void queue_short_file(void *arg) {
    mixed *m = arg;
    client_write_file(m->c, &m->range, m->file, 0, 500000);
}

static void a_file_that_ends_early_fails_the_write_and_the_stream(void **state) {
    pair p;
    mixed m = {.c = &p.c, .bytes = test_bytes(100000)};

    m.file = test_file(m.bytes, 100000);
    pair_open(&p, NULL, NULL, TLS1_3_VERSION);
    on_loop(p.c.loop, queue_short_file, &m);
    latch_wait(&p.c.closed, 1);
    assert_int_equal(m.range.calls, 1);
    assert_int_equal(m.range.status, AWS_IO_STREAM_READ_FAILED);
    assert_int_equal(p.c.close_fault.code, AWS_IO_STREAM_READ_FAILED);
    pair_free(&p);
    close(m.file);
    free(m.bytes);
}

/* ---- back-pressure ---- */

static void talk_send(tls_server *server, SSL *ssl, int fd) {
    sending *s = server->arg;
    (void)fd;
    ssl_send_all(ssl, s->bytes, s->len);
    SSL_shutdown(ssl);
    talk_until_closed(server, ssl);
}

/* Small steps end inside records: what the session holds must come without an event of the socket. */
static void a_narrow_window_takes_everything_in_steps(void **state) {
    enum { TOTAL = 300000, STEP = 5000 };
    FOR_BOTH(version) {
        sending s = {test_bytes(TOTAL), TOTAL};
        pair p;
        size_t taken;
        pair_open_window(&p, talk_send, &s, *version, STEP);
        for (taken = STEP; taken < TOTAL; taken += STEP) {
            latch_wait(&p.c.received, taken);
            assert_int_equal(latch_count(&p.c.received), taken);
            assert_int_equal(latch_count(&p.c.closed), 0);
            p.c.window_next = taken + STEP;
            on_loop(p.c.loop, client_widen, &p.c);
        }
        latch_wait(&p.c.received, TOTAL);
        p.c.window_next = SIZE_MAX;
        on_loop(p.c.loop, client_widen, &p.c);
        latch_wait(&p.c.closed, 1);
        assert_int_equal(p.c.close_fault.code, 0);
        assert_memory_equal(p.c.in, s.bytes, TOTAL);
        pair_free(&p);
        free(s.bytes);
    }
}

static void the_servers_first_words_are_not_lost(void **state) {
    FOR_BOTH(version) {
        sending s = {(uint8_t *)"220 ready\r\n", 11};
        pair p;
        pair_open(&p, talk_send, &s, *version);
        latch_wait(&p.c.received, 11);
        assert_memory_equal(p.c.in, "220 ready\r\n", 11);
        latch_wait(&p.c.closed, 1);
        assert_int_equal(p.c.close_fault.code, 0);
        pair_free(&p);
    }
}

/* ---- ends ---- */

static void talk_close_notify(tls_server *server, SSL *ssl, int fd) {
    (void)fd;
    ssl_send_all(ssl, (const uint8_t *)"bye", 3);
    SSL_shutdown(ssl);
    talk_until_closed(server, ssl);
}

static void close_notify_is_an_orderly_end(void **state) {
    FOR_BOTH(version) {
        pair p;
        pair_open(&p, talk_close_notify, NULL, *version);
        latch_wait(&p.c.closed, 1);
        assert_int_equal(p.c.close_fault.code, 0);
        assert_int_equal(p.c.in_len, 3);
        pair_free(&p);
    }
}

static void talk_hang_up(tls_server *server, SSL *ssl, int fd) {
    (void)server;
    (void)fd;
    ssl_send_all(ssl, (const uint8_t *)"bye", 3);
}

static void a_close_without_close_notify_is_told_from_an_end(void **state) {
    FOR_BOTH(version) {
        pair p;
        pair_open(&p, talk_hang_up, NULL, *version);
        latch_wait(&p.c.closed, 1);
        assert_int_equal(p.c.close_fault.code, AWS_IO_SOCKET_CLOSED);
        assert_non_null(strstr(p.c.close_fault.detail, "close_notify"));
        assert_int_equal(p.c.in_len, 3);
        pair_free(&p);
    }
}

static void talk_garbage(tls_server *server, SSL *ssl, int fd) {
    /* application data of 16 bytes that nobody encrypted */
    static const uint8_t record[5 + 40] = {23, 3, 3, 0, 40};
    send_all(fd, record, sizeof(record));
    talk_until_closed(server, ssl);
}

static void a_corrupt_record_is_a_read_failure(void **state) {
    FOR_BOTH(version) {
        pair p;
        pair_open(&p, talk_garbage, NULL, *version);
        latch_wait(&p.c.closed, 1);
        assert_int_equal(p.c.close_fault.code, AWS_IO_TLS_ERROR_READ_FAILURE);
        assert_non_null(strstr(p.c.close_fault.detail, "127.0.0.1:"));
        assert_non_null(strstr(p.c.close_fault.detail, "TLS protocol error"));
        pair_free(&p);
    }
}

static void talk_not(tls_server *server, SSL *ssl, int fd) {
    (void)ssl;
    (void)fd;
    latch_reaches(&server->peer->leave, 1);
}

static void a_close_ends_writes_that_the_peer_does_not_take(void **state) {
    pair p;
    big_write b = {.c = &p.c, .bytes = test_bytes(PIECES * PIECE)};
    size_t i;

    pair_open(&p, talk_not, NULL, TLS1_3_VERSION);
    on_loop(p.c.loop, write_pieces, &b);
    client_close(&p.c);
    latch_wait(&p.c.written, PIECES);
    for (i = 0; i < PIECES; i++) {
        assert_int_equal(b.writes[i].calls, 1);
        assert_false(b.writes[i].after_close);
    }
    assert_int_equal(b.writes[PIECES - 1].status, AWS_IO_SOCKET_CLOSED);
    pair_free(&p);
    free(b.bytes);
}

static void put_pieces(void *arg) {
    big_write *b = arg;
    size_t i;

    for (i = 0; i < PIECES; i++) {
        assert_int_equal(crt_stream_put(b->c->stream, b->bytes, PIECE), 0);
    }
}

static void look_at_budget(void *arg) {
    client *c = arg;
    c->observed = crt_budget_used();
}

static void what_a_slow_peer_leaves_is_charged_to_the_budget(void **state) {
    pair p;
    big_write b = {.c = &p.c, .bytes = test_bytes(PIECE)};
    size_t i;

    pair_open(&p, talk_not, NULL, TLS1_3_VERSION);
    on_loop(p.c.loop, put_pieces, &b);
    for (i = 0; i < 1000 && p.c.observed == 0; i++) {
        on_loop(p.c.loop, look_at_budget, &p.c); /* a turn later the socket was full */
    }
    /* not yet encrypted, or encrypted and not sent; the socket's buffers took some of it */
    assert_in_range(p.c.observed, PIECES * PIECE / 2, (PIECES + 2) * PIECE + (1 << 20));
    client_close(&p.c);
    assert_int_equal(crt_budget_used(), 0);
    pair_free(&p);
    free(b.bytes);
}

static void write_late(void *arg) {
    big_write *b = arg;
    client_write(b->c, &b->writes[0], "late", 4);
    b->c->observed = (size_t)crt_stream_put(b->c->stream, "late", 4);
}

static void writing_on_a_closed_stream_fails(void **state) {
    pair p;
    big_write b = {.c = &p.c};

    pair_open(&p, NULL, NULL, TLS1_3_VERSION);
    client_close(&p.c);
    on_loop(p.c.loop, write_late, &b);
    latch_wait(&p.c.written, 1);
    assert_int_equal(b.writes[0].status, AWS_IO_SOCKET_CLOSED);
    assert_false(b.writes[0].inside_call);
    assert_int_equal(p.c.observed, AWS_IO_SOCKET_CLOSED);
    pair_free(&p);
}

static void put_and_close(void *arg) {
    client *c = arg;
    crt_stream_put(c->stream, "last words", 10);
    crt_stream_close(c->stream, 0);
}

static void talk_hear(tls_server *server, SSL *ssl, int fd) {
    recording *r = server->arg;
    int n;
    (void)fd;
    while ((n = SSL_read(ssl, r->bytes + r->len, (int)(sizeof(r->bytes) - r->len))) > 0) {
        r->len += (size_t)n;
    }
    server->got_close_notify = SSL_get_error(ssl, n) == SSL_ERROR_ZERO_RETURN;
}

static void bytes_put_before_a_close_still_leave(void **state) {
    recording heard = {.len = 0};
    pair p;

    pair_open(&p, talk_hear, &heard, TLS1_3_VERSION);
    on_loop(p.c.loop, put_and_close, &p.c);
    latch_wait(&p.c.closed, 1);
    peer_join(&p.c.peer);
    assert_int_equal(heard.len, 10);
    assert_true(p.server.got_close_notify);
    pair_free(&p);
}

static void the_last_reference_closes(void **state) {
    recording heard = {.len = 0};
    pair p;

    pair_open(&p, talk_hear, &heard, TLS1_3_VERSION);
    on_loop(p.c.loop, client_drop, &p.c);
    latch_wait(&p.c.closed, 1);
    assert_int_equal(p.c.close_fault.code, 0);
    assert_int_equal(p.c.closed_calls, 1);
    pair_free(&p);
}

static void a_stream_may_be_dropped_while_it_delivers(void **state) {
    sending s = {test_bytes(100000), 100000};
    pair p;

    server_init(&p.server, &site);
    p.server.talk = talk_send;
    p.server.arg = &s;
    client_init(&p.c);
    p.c.drop_on_data = true;
    crt_tls_ctx_options options = tls_options_trusting(&ca);
    tls_connect(&p.c, &p.server, &options, "site.example");
    latch_wait(&p.c.closed, 1);
    assert_int_equal(p.c.closed_calls, 1);
    pair_free(&p);
    free(s.bytes);
}

static void the_end_of_the_loop_closes_the_stream(void **state) {
    pair p;

    pair_open(&p, NULL, NULL, TLS1_3_VERSION);
    p.c.drop_on_closed = true;
    client_end_loop(&p.c);
    assert_int_equal(p.c.closed_calls, 1);
    assert_int_equal(p.c.close_fault.code, AWS_IO_EVENT_LOOP_SHUTDOWN);
    pair_free(&p);
}

/* ---- after the handshake ---- */

static void talk_new_keys(tls_server *server, SSL *ssl, int fd) {
    int i;
    for (i = 0; i < 20; i++) {
        SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED);
        ssl_send_all(ssl, (const uint8_t *)"0123456789", 10);
    }
    talk_echo(server, ssl, fd);
}

static void key_updates_are_followed(void **state) {
    pair p;

    pair_open(&p, talk_new_keys, NULL, TLS1_3_VERSION);
    latch_wait(&p.c.received, 200);
    on_loop(p.c.loop, put_greeting, &p.c);
    latch_wait(&p.c.received, 210);
    assert_memory_equal(p.c.in + 200, "hello peer", 10);
    client_close(&p.c);
    pair_free(&p);
}

static void talk_renegotiate(tls_server *server, SSL *ssl, int fd) {
    (void)fd;
    SSL_renegotiate(ssl);
    SSL_do_handshake(ssl);
    ssl_send_all(ssl, (const uint8_t *)"still here", 10);
    talk_until_closed(server, ssl);
}

static void renegotiation_is_declined(void **state) {
    pair p;

    pair_open(&p, talk_renegotiate, NULL, TLS1_2_VERSION);
    latch_wait(&p.c.closed, 1);
    assert_int_not_equal(p.c.close_fault.code, 0);
    pair_free(&p);
}

/* ---- over another stream ---- */

/* How the stream is found: its socket can be taken from the first two, the others stay in between. */
enum way { IDLE, INSIDE_ON_DATA, WITH_BYTES_UNSENT, SHARED, WAYS };

#define ASK "may I?\n"
#define YES "go on\n"

typedef struct upgrade {
    client *c;
    enum way way;
    crt_tls_options tls;
    crt_tls_handshake *handshake;
    crt_stream *shared; /* the stream below, when it has another holder */
    latch done;
} upgrade;

static void on_upgraded(void *user, const crt_fault *fault, crt_stream *stream) {
    upgrade *u = user;
    client_on_connected(u->c, fault, stream);
    latch_add(&u->done, 1);
}

static void start_upgrade(void *arg) {
    upgrade *u = arg;
    crt_stream *lower = u->c->stream;
    u->c->stream = NULL;
    if (u->way == SHARED) {
        u->shared = lower;
        crt_stream_acquire(lower);
    }
    u->handshake = crt_tls_start(lower, &u->tls, "site.example", on_upgraded, u);
    u->c->observed = latch_count(&u->done);
}

static void put_ask(void *arg) {
    upgrade *u = arg;
    crt_stream_put(u->c->stream, ASK, sizeof(ASK) - 1);
    if (u->way == WITH_BYTES_UNSENT) {
        start_upgrade(u);
    }
}

static void on_answer_space(void *user, crt_span *space) {
    upgrade *u = user;
    *space = (crt_span){u->c->in + u->c->in_len, sizeof(YES) - 1 - u->c->in_len};
}

/* Like a tunnel: once the peer agreed, what follows is TLS. */
static void on_answer_data(void *user, size_t n) {
    upgrade *u = user;
    u->c->in_len += n;
    if (u->c->in_len == sizeof(YES) - 1) {
        u->c->in_len = 0;
        start_upgrade(u);
    }
}

static void on_answer_closed(void *user, const crt_fault *fault) {
    fail_msg("the plain stream was closed: %s", fault->detail);
}

static void await_answer(void *arg) {
    static const crt_stream_handler handler = {on_answer_space, on_answer_data, NULL, on_answer_closed};
    upgrade *u = arg;
    crt_stream_set_handler(u->c->stream, &handler, u);
}

static void serve_after_ask(peer *p, int fd) {
    char asked[sizeof(ASK) - 1];
    if (recv(fd, asked, sizeof(asked), MSG_WAITALL) == (ssize_t)sizeof(asked) && memcmp(asked, ASK, sizeof(asked)) == 0) {
        serve_tls(p, fd);
    }
}

static void serve_after_answer(peer *p, int fd) {
    char asked[sizeof(ASK) - 1];
    if (recv(fd, asked, sizeof(asked), MSG_WAITALL) == (ssize_t)sizeof(asked) &&
        send_all(fd, (const uint8_t *)YES, sizeof(YES) - 1)) {
        serve_tls(p, fd);
    }
}

static void upgrade_start(upgrade *u, client *c, enum way way, void (*serve)(peer *, int), void *arg, size_t window) {
    crt_tls_ctx_options options = tls_options_trusting(&ca);

    memset(u, 0, sizeof(*u));
    latch_init(&u->done);
    u->c = c;
    u->way = way;
    u->tls.ctx = tls_ctx_of(&options);
    client_open_window(c, serve, arg, window);
    if (way == INSIDE_ON_DATA) {
        on_loop(c->loop, await_answer, u);
    }
    on_loop(c->loop, put_ask, u);
    if (way == IDLE || way == SHARED) {
        latch_wait(&c->drained, 1);
        on_loop(c->loop, start_upgrade, u);
    }
}

/* An open plain connection becomes TLS. */
static void upgrade_open(upgrade *u, client *c, enum way way, tls_server *server, size_t window) {
    upgrade_start(u, c, way, way == INSIDE_ON_DATA ? serve_after_answer : serve_after_ask, server, window);
    latch_wait(&u->done, 1);
    assert_int_equal(c->observed, 0); /* not inside the call */
}

static void drop_shared(void *arg) {
    crt_stream_release(((upgrade *)arg)->shared);
}

static void upgrade_free(upgrade *u) {
    if (u->shared) {
        on_loop(u->c->loop, drop_shared, u);
    }
    crt_tls_ctx_release(u->tls.ctx);
    client_free(u->c);
    latch_destroy(&u->done);
}

#define FOR_ALL_WAYS(way) for (enum way way = IDLE; way < WAYS; way++)

static void large_writes_pass_over_an_open_stream(enum way way, int version) {
    tls_server server;
    client c;
    upgrade u;
    big_write b = {.c = &c, .bytes = test_bytes(PIECES * PIECE)};

    server_init(&server, &site);
    SSL_CTX_set_max_proto_version(server.ctx, version);
    server.talk = talk_echo;
    upgrade_open(&u, &c, way, &server, SIZE_MAX);
    assert_int_equal(c.connect_fault.code, 0);
    on_loop(c.loop, write_pieces, &b);
    latch_wait(&c.received, PIECES * PIECE);
    latch_wait(&c.written, PIECES);
    assert_memory_equal(c.in, b.bytes, PIECES * PIECE);
    client_close(&c);
    assert_int_equal(c.closed_calls, 1);
    assert_int_equal(c.close_fault.code, 0);
    peer_join(&c.peer);
    assert_true(server.got_close_notify);
    upgrade_free(&u);
    server_free(&server);
    free(b.bytes);
}

static void tls_runs_over_an_open_stream(void **state) {
    FOR_ALL_WAYS(way) {
        FOR_BOTH(version) {
            large_writes_pass_over_an_open_stream(way, *version);
        }
    }
}

static void cancel_handshake(void *arg) {
    upgrade *u = arg;
    crt_tls_cancel(u->handshake);
    u->c->observed = latch_count(&u->done);
}

static void a_handshake_over_a_stream_can_be_cancelled(void **state) {
    static const enum way ways[] = {IDLE, WITH_BYTES_UNSENT, SHARED};
    for (size_t i = 0; i < 3; i++) {
        client c;
        upgrade u;
        upgrade_start(&u, &c, ways[i], serve_until_closed, NULL, SIZE_MAX);
        on_loop(c.loop, cancel_handshake, &u);
        assert_int_equal(c.observed, 0);
        latch_wait(&u.done, 1);
        assert_int_equal(c.connect_fault.code, AWS_ERROR_IO_OPERATION_CANCELLED);
        assert_null(c.stream);
        upgrade_free(&u); /* joins the peer: its connection was closed */
        assert_int_equal(c.connect_calls, 2);
    }
}

static void take_in_steps_over_an_open_stream(enum way way) {
    enum { TOTAL = 8 << 20, STEP = 1 << 20 };
    sending s = {test_bytes(TOTAL), TOTAL};
    tls_server server;
    client c;
    upgrade u;
    size_t taken;

    server_init(&server, &site);
    server.talk = talk_send;
    server.arg = &s;
    upgrade_open(&u, &c, way, &server, STEP);
    for (taken = STEP; taken < TOTAL; taken += STEP) {
        latch_wait(&c.received, taken);
        assert_int_equal(latch_count(&c.received), taken);
        c.window_next = taken + STEP;
        on_loop(c.loop, client_widen, &c);
    }
    latch_wait(&c.received, TOTAL);
    c.window_next = SIZE_MAX;
    on_loop(c.loop, client_widen, &c);
    latch_wait(&c.closed, 1);
    assert_int_equal(c.close_fault.code, 0);
    assert_memory_equal(c.in, s.bytes, TOTAL);
    upgrade_free(&u);
    server_free(&server);
    free(s.bytes);
}

static void back_pressure_passes_through_to_the_peer(void **state) {
    FOR_ALL_WAYS(way) {
        take_in_steps_over_an_open_stream(way);
    }
}

static void expect_end(enum way way, void (*talk)(tls_server *, SSL *, int), int code) {
    tls_server server;
    client c;
    upgrade u;

    server_init(&server, &site);
    server.talk = talk;
    upgrade_open(&u, &c, way, &server, SIZE_MAX);
    latch_wait(&c.closed, 1);
    assert_int_equal(c.close_fault.code, code);
    assert_int_equal(c.in_len, 3);
    upgrade_free(&u);
    server_free(&server);
}

static void ends_are_told_over_a_stream_as_over_a_socket(void **state) {
    FOR_ALL_WAYS(way) {
        expect_end(way, talk_hang_up, AWS_IO_SOCKET_CLOSED);
        expect_end(way, talk_close_notify, 0);
    }
}

static void a_failed_upgrade_closes_the_stream_below(void **state) {
    identity stranger;
    identity_new(&stranger, &(identity_options){.common_name = "x", .names = "DNS:site.example"});
    FOR_ALL_WAYS(way) {
        tls_server server;
        client c;
        upgrade u;
        server_init(&server, &stranger);
        upgrade_open(&u, &c, way, &server, SIZE_MAX);
        assert_int_equal(c.connect_fault.code, AWS_IO_TLS_ERROR_NEGOTIATION_FAILURE);
        assert_null(c.stream);
        peer_join(&c.peer); /* returns because its connection was closed */
        assert_false(server.accepted);
        upgrade_free(&u);
        server_free(&server);
    }
    identity_free(&stranger);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        leak_checked(bytes_put_come_back_from_an_echo),
        leak_checked(large_writes_pass_intact_in_both_directions),
        leak_checked(all_kinds_of_writes_keep_their_order),
        leak_checked(a_file_that_ends_early_fails_the_write_and_the_stream),
        leak_checked(a_narrow_window_takes_everything_in_steps),
        leak_checked(the_servers_first_words_are_not_lost),
        leak_checked(close_notify_is_an_orderly_end),
        leak_checked(a_close_without_close_notify_is_told_from_an_end),
        leak_checked(a_corrupt_record_is_a_read_failure),
        leak_checked(a_close_ends_writes_that_the_peer_does_not_take),
        leak_checked(what_a_slow_peer_leaves_is_charged_to_the_budget),
        leak_checked(writing_on_a_closed_stream_fails),
        leak_checked(bytes_put_before_a_close_still_leave),
        leak_checked(the_last_reference_closes),
        leak_checked(a_stream_may_be_dropped_while_it_delivers),
        leak_checked(the_end_of_the_loop_closes_the_stream),
        leak_checked(key_updates_are_followed),
        leak_checked(renegotiation_is_declined),
        leak_checked(tls_runs_over_an_open_stream),
        leak_checked(a_handshake_over_a_stream_can_be_cancelled),
        leak_checked(back_pressure_passes_through_to_the_peer),
        leak_checked(ends_are_told_over_a_stream_as_over_a_socket),
        leak_checked(a_failed_upgrade_closes_the_stream_below),
    };
    return cmocka_run_group_tests(tests, make_identities, free_identities);
}
