/* The connection pool: who gets which connection, when they are opened and closed, and what is tried again. */
#include "http_support.h"

#include "crt/http_pool.h"

/* ---- a server of many connections; the path says what it does ---- */

enum { CONNS_MAX = 2048 }; /* each cancelled request costs one */

typedef struct server {
    int listener;
    uint16_t port;
    uv_thread_t acceptor;
    uv_thread_t threads[CONNS_MAX];
    int fds[CONNS_MAX];
    int count;
    latch accepted;
    latch requests;
    latch go; /* what /hold waits for */
} server;

typedef struct served {
    server *s;
    int index;
} served;

static bool read_request(int fd, char *text, size_t size) {
    size_t len = 0;
    for (;;) {
        ssize_t n = recv(fd, text + len, size - 1 - len, 0);
        if (n <= 0) {
            return false;
        }
        len += (size_t)n;
        text[len] = 0;
        char *end = strstr(text, "\r\n\r\n");
        const char *length = strstr(text, "Content-Length: ");
        if (end && len >= (size_t)(end - text) + 4 + (length ? (size_t)atoi(length + 16) : 0)) {
            return true;
        }
    }
}

static bool answer(int fd, int index, const char *more) {
    char text[256];
    char body[32];
    snprintf(body, sizeof(body), "connection %d", index);
    snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\n%sContent-Length: %zu\r\n\r\n%s", more, strlen(body), body);
    return peer_send(fd, text, strlen(text));
}

static void serve_one(void *arg) {
    served *c = arg;
    server *s = c->s;
    const int fd = s->fds[c->index];
    char text[4096];
    bool drops_next = false;
    while (read_request(fd, text, sizeof(text))) {
        latch_add(&s->requests, 1);
        if (drops_next || strstr(text, " /drop ")) {
            break; /* without an answer */
        }
        if (strstr(text, " /hold ") && !latch_reaches(&s->go, 1)) {
            break;
        }
        drops_next = strstr(text, " /stale ") != NULL;
        if (strstr(text, " /never ")) {
            continue;
        }
        const bool closes = strstr(text, " /close ") != NULL;
        if (!answer(fd, c->index, closes ? "Connection: close\r\n" : "") || closes) {
            break;
        }
    }
    shutdown(fd, SHUT_RDWR);
    free(c);
}

static void accept_all(void *arg) {
    server *s = arg;
    for (;;) {
        int fd = accept(s->listener, NULL, NULL);
        if (fd < 0 || s->count == CONNS_MAX) {
            return;
        }
        const int on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        served *c = malloc(sizeof(*c));
        *c = (served){s, s->count};
        s->fds[s->count] = fd;
        uv_thread_create(&s->threads[s->count], serve_one, c);
        s->count++;
        latch_add(&s->accepted, 1);
    }
}

static void server_start(server *s) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    memset(s, 0, sizeof(*s));
    latch_init(&s->accepted);
    latch_init(&s->requests);
    latch_init(&s->go);
    s->listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(s->listener, (struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(s->listener, 128), 0);
    assert_int_equal(getsockname(s->listener, (struct sockaddr *)&address, &len), 0);
    s->port = ntohs(address.sin_port);
    assert_int_equal(uv_thread_create(&s->acceptor, accept_all, s), 0);
}

static void server_end(server *s) {
    shutdown(s->listener, SHUT_RDWR);
    uv_thread_join(&s->acceptor);
    close(s->listener);
    for (int i = 0; i < s->count; i++) {
        shutdown(s->fds[i], SHUT_RDWR);
        uv_thread_join(&s->threads[i]);
        close(s->fds[i]);
    }
    latch_destroy(&s->accepted);
    latch_destroy(&s->requests);
    latch_destroy(&s->go);
}

/* ---- a pool, and what its requests are told ---- */

typedef struct fixture {
    server server;
    crt_loop_group *group;
    crt_resolver *resolver;
    crt_http_pool *pool;
    crt_http_origin origin;
    latch closed;
} fixture;

static void on_closed(void *user) {
    latch_add(&((fixture *)user)->closed, 1);
}

static void fixture_start(fixture *f, crt_http_pool_options options) {
    crt_resolver_options resolver = {0};
    memset(f, 0, sizeof(*f));
    latch_init(&f->closed);
    server_start(&f->server);
    f->group = group_new(2);
    assert_int_equal(crt_resolver_new(&resolver, &f->resolver), 0);
    options.group = f->group;
    options.resolver = f->resolver;
    options.on_closed = on_closed;
    options.user = f;
    assert_int_equal(crt_http_pool_new(&options, &f->pool), 0);
    f->origin = (crt_http_origin){.host = "127.0.0.1", .port = f->server.port};
    f->origin.socket = (crt_socket_options)CRT_SOCKET_OPTIONS_DEFAULT;
}

static void fixture_release_pool(fixture *f) {
    crt_http_pool_release(f->pool);
    f->pool = NULL;
}

static void fixture_end(fixture *f) {
    if (f->pool) {
        fixture_release_pool(f);
    }
    latch_wait(&f->closed, 1);
    crt_resolver_release(f->resolver);
    group_end(f->group);
    server_end(&f->server);
    latch_destroy(&f->closed);
}

typedef struct call {
    crt_http_pool_request *request;
    latch done;
    int completions;
    crt_fault fault;
    int status;
    char body[64];
    size_t body_len;
} call;

static int call_on_body(void *user, crt_bytes data) {
    call *c = user;
    if (c->body_len + data.len >= sizeof(c->body)) {
        return AWS_ERROR_SHORT_BUFFER;
    }
    memcpy(c->body + c->body_len, data.ptr, data.len);
    c->body_len += data.len;
    return 0;
}

static void call_on_complete(void *user, const crt_fault *fault, int status) {
    call *c = user;
    c->completions++;
    c->fault = *fault;
    c->status = status;
    latch_add(&c->done, 1);
}

static const crt_http_stream_handler call_handler = {NULL, NULL, call_on_body, call_on_complete};

static int try_call(fixture *f, call *c, const char *method, const char *path, crt_source *body,
                    const crt_http_pool_request_options *options) {
    static const char *const plain[] = {"Host", "test", NULL};
    static const char *const with_body[] = {"Host", "test", "Content-Length", "5", NULL};
    crt_http_message *message = make_message(method, path, body ? with_body : plain, body);
    memset(c, 0, sizeof(*c));
    latch_init(&c->done);
    int status = crt_http_pool_request_new(f->pool, &f->origin, message, &call_handler, c, options, &c->request);
    crt_http_message_release(message);
    return status;
}

static void start_call(fixture *f, call *c, const char *path) {
    assert_int_equal(try_call(f, c, "GET", path, NULL, NULL), 0);
}

static void end_call(call *c) {
    latch_wait(&c->done, 1);
    assert_int_equal(c->completions, 1);
    crt_http_pool_request_release(c->request);
    latch_destroy(&c->done);
}

static void expect_answer(call *c, const char *body) {
    latch_wait(&c->done, 1);
    assert_string_equal(c->fault.detail, "");
    assert_int_equal(c->status, 200);
    assert_string_equal(c->body, body);
    end_call(c);
}

static void expect_failed(call *c, int code) {
    latch_wait(&c->done, 1);
    assert_int_equal(c->fault.code, code);
    end_call(c);
}

static crt_http_pool_stats stats_of(fixture *f) {
    crt_http_pool_stats stats;
    crt_http_pool_stats_get(f->pool, &stats);
    return stats;
}

/* Completion is told before the slot is counted as free elsewhere: looks again until it is so. */
#define EVENTUALLY(f, condition)                                      \
    do {                                                              \
        uint64_t give_up = uv_hrtime() + TEST_DEADLINE_S * 1000000000ull; \
        crt_http_pool_stats stats = stats_of(f);                      \
        while (!(condition) && uv_hrtime() < give_up) {               \
            uv_sleep(2);                                              \
            stats = stats_of(f);                                      \
        }                                                             \
        assert_true(condition);                                       \
    } while (0)

/* ---- keeping and sharing ---- */

static void a_connection_is_kept_for_the_next_request(void **state) {
    fixture f;
    call c;
    fixture_start(&f, (crt_http_pool_options){0});
    for (int i = 0; i < 5; i++) {
        start_call(&f, &c, "/");
        expect_answer(&c, "connection 0");
    }
    crt_http_pool_stats stats = stats_of(&f);
    assert_int_equal(stats.opened, 1);
    assert_int_equal(stats.requests, 5);
    assert_int_equal(stats.reused, 4);
    assert_int_equal(stats.idle, 1);
    assert_int_equal(stats.active, 0);
    fixture_end(&f);
}

static void http1_carries_one_request_at_a_time(void **state) {
    fixture f;
    call calls[3];
    fixture_start(&f, (crt_http_pool_options){0});
    for (int i = 0; i < 3; i++) {
        start_call(&f, &calls[i], "/hold");
    }
    latch_wait(&f.server.requests, 3); /* all at once, so on three connections */
    assert_int_equal(stats_of(&f).connections, 3);
    latch_add(&f.server.go, 1);
    for (int i = 0; i < 3; i++) {
        end_call(&calls[i]);
    }
    fixture_end(&f);
}

static void the_limit_of_an_origin_makes_requests_wait_in_order(void **state) {
    fixture f;
    call calls[4];
    fixture_start(&f, (crt_http_pool_options){.max_connections_per_origin = 1});
    start_call(&f, &calls[0], "/hold");
    latch_wait(&f.server.requests, 1);
    for (int i = 1; i < 4; i++) {
        start_call(&f, &calls[i], "/");
    }
    assert_int_equal(stats_of(&f).waiting, 3);
    assert_int_equal(stats_of(&f).connections, 1);
    latch_add(&f.server.go, 1);
    for (int i = 0; i < 4; i++) {
        expect_answer(&calls[i], "connection 0");
    }
    fixture_end(&f);
}

static void origins_differ_by_what_they_are_reached_with(void **state) {
    fixture f;
    call c;
    fixture_start(&f, (crt_http_pool_options){0});
    start_call(&f, &c, "/");
    expect_answer(&c, "connection 0");
    f.origin.socket.keep_alive = true;
    start_call(&f, &c, "/");
    expect_answer(&c, "connection 1");
    const crt_http_proxy proxy = {.host = "127.0.0.1", .port = f.server.port, .kind = CRT_HTTP_PROXY_FORWARDING};
    f.origin.proxy = &proxy;
    start_call(&f, &c, "/");
    end_call(&c);
    assert_int_equal(stats_of(&f).origins, 3);
    fixture_end(&f);
}

static void idle_connections_of_other_origins_make_room(void **state) {
    fixture f;
    call c;
    fixture_start(&f, (crt_http_pool_options){.max_connections = 1});
    start_call(&f, &c, "/");
    expect_answer(&c, "connection 0");
    f.origin.host = "localhost";
    start_call(&f, &c, "/");
    expect_answer(&c, "connection 1");
    EVENTUALLY(&f, stats.connections == 1 && stats.origins == 1);
    fixture_end(&f);
}

/* ---- closing ---- */

static void a_connection_that_the_peer_closes_is_not_used_again(void **state) {
    fixture f;
    call c;
    fixture_start(&f, (crt_http_pool_options){0});
    start_call(&f, &c, "/close");
    expect_answer(&c, "connection 0");
    start_call(&f, &c, "/");
    expect_answer(&c, "connection 1");
    assert_int_equal(stats_of(&f).retried, 0);
    fixture_end(&f);
}

static void idle_connections_are_closed_in_time(void **state) {
    fixture f;
    call c;
    fixture_start(&f, (crt_http_pool_options){.idle_ms = 20});
    start_call(&f, &c, "/");
    expect_answer(&c, "connection 0");
    EVENTUALLY(&f, stats.connections == 0 && stats.origins == 0);
    assert_int_equal(stats_of(&f).culled, 1);
    start_call(&f, &c, "/");
    expect_answer(&c, "connection 1");
    fixture_end(&f);
}

static void old_connections_take_no_new_requests(void **state) {
    fixture f;
    call held, c;
    fixture_start(&f, (crt_http_pool_options){.max_age_ms = 30});
    start_call(&f, &held, "/hold");
    latch_wait(&f.server.requests, 1);
    uv_sleep(40);
    latch_add(&f.server.go, 1);
    expect_answer(&held, "connection 0"); /* old as it is, it finishes what it has begun */
    start_call(&f, &c, "/");
    expect_answer(&c, "connection 1");
    fixture_end(&f);
}

static void a_release_ends_who_waits_and_lets_finish_who_does_not(void **state) {
    fixture f;
    call held, waiting;
    fixture_start(&f, (crt_http_pool_options){.max_connections_per_origin = 1});
    start_call(&f, &held, "/hold");
    latch_wait(&f.server.requests, 1);
    start_call(&f, &waiting, "/");
    fixture_release_pool(&f);
    expect_failed(&waiting, AWS_ERROR_HTTP_CONNECTION_MANAGER_SHUTTING_DOWN);
    assert_int_equal(latch_count(&f.closed), 0);
    latch_add(&f.server.go, 1);
    expect_answer(&held, "connection 0");
    fixture_end(&f);
}

static void a_release_while_connecting_leaves_nothing_behind(void **state) {
    fixture f;
    call c;
    fixture_start(&f, (crt_http_pool_options){0});
    start_call(&f, &c, "/");
    fixture_release_pool(&f);
    end_call(&c); /* with the answer, or without */
    fixture_end(&f);
}

/* ---- once more ---- */

static void a_request_lost_on_a_kept_connection_is_sent_again(void **state) {
    fixture f;
    call c;
    fixture_start(&f, (crt_http_pool_options){0});
    start_call(&f, &c, "/stale");
    expect_answer(&c, "connection 0");
    start_call(&f, &c, "/");
    expect_answer(&c, "connection 1");
    assert_int_equal(stats_of(&f).retried, 1);
    fixture_end(&f);
}

static void but_only_once_and_not_on_a_fresh_connection(void **state) {
    fixture f;
    call c;
    fixture_start(&f, (crt_http_pool_options){0});
    start_call(&f, &c, "/drop");
    expect_failed(&c, AWS_IO_SOCKET_CLOSED);
    assert_int_equal(stats_of(&f).retried, 0);
    start_call(&f, &c, "/stale");
    end_call(&c);
    start_call(&f, &c, "/drop");
    expect_failed(&c, AWS_IO_SOCKET_CLOSED);
    assert_int_equal(stats_of(&f).retried, 1);
    fixture_end(&f);
}

static void destroy_source(crt_source *source) {
    (void)source;
}

static int cannot_rewind(crt_source *source) {
    return AWS_ERROR_UNSUPPORTED_OPERATION;
}

typedef struct trickle {
    crt_source source;
    crt_task task;
    crt_source_done done;
    void *user;
} trickle;

static void trickle_done(crt_task *task, int status) {
    trickle *t = CRT_CONTAINER(task, trickle, task);
    t->done(t->user, 0, 5, true);
}

static void trickle_read(crt_source *source, crt_loop *loop, crt_span space, crt_source_done done, void *user) {
    trickle *t = CRT_CONTAINER(source, trickle, source);
    memcpy(space.ptr, "hello", 5);
    t->done = done;
    t->user = user;
    t->task.run = trickle_done;
    crt_loop_post(loop, &t->task);
}

static void what_may_not_be_repeated_is_not(void **state) {
    static const crt_source_ops memory_ops = {NULL, NULL, destroy_source};
    static const crt_source_ops reader_ops = {trickle_read, cannot_rewind, destroy_source};
    static const crt_http_pool_request_options no_retry = {.no_retry = true};
    crt_source memory = {.ops = &memory_ops, .refs = {1}, .memory = {(const uint8_t *)"hello", 5}, .length = 5};
    trickle reader = {.source = {.ops = &reader_ops, .refs = {1}, .kind = CRT_SOURCE_READER, .length = UINT64_MAX}};
    fixture f;
    call c;
    fixture_start(&f, (crt_http_pool_options){0});
    const struct {
        const char *method;
        crt_source *body;
        const crt_http_pool_request_options *options;
        bool again;
    } cases[] = {{"POST", &memory, NULL, false},
                 {"PUT", &memory, NULL, true},
                 {"PUT", &reader.source, NULL, false},
                 {"GET", NULL, &no_retry, false}};
    for (size_t i = 0; i < 4; i++) {
        start_call(&f, &c, "/stale");
        end_call(&c);
        uint64_t before = stats_of(&f).retried;
        assert_int_equal(try_call(&f, &c, cases[i].method, "/", cases[i].body, cases[i].options), 0);
        latch_wait(&c.done, 1);
        assert_int_equal(c.fault.code == 0, cases[i].again);
        assert_int_equal(stats_of(&f).retried - before, cases[i].again);
        end_call(&c);
    }
    fixture_end(&f);
}

/* ---- failures ---- */

static void a_full_line_refuses_at_once(void **state) {
    fixture f;
    call held, waiting, refused;
    fixture_start(&f, (crt_http_pool_options){.max_connections_per_origin = 1, .max_waiting = 1});
    start_call(&f, &held, "/hold");
    latch_wait(&f.server.requests, 1);
    start_call(&f, &waiting, "/");
    assert_int_equal(try_call(&f, &refused, "GET", "/", NULL, NULL),
                     AWS_ERROR_HTTP_CONNECTION_MANAGER_MAX_PENDING_ACQUISITIONS_EXCEEDED);
    assert_null(refused.request);
    latch_destroy(&refused.done);
    latch_add(&f.server.go, 1);
    end_call(&held);
    expect_answer(&waiting, "connection 0");
    fixture_end(&f);
}

static void waiting_has_an_end(void **state) {
    static const crt_http_timeouts total = {.total_ms = 20};
    static const crt_http_pool_request_options in_time = {.timeouts = &total};
    fixture f;
    call held, waiting;
    fixture_start(&f, (crt_http_pool_options){.max_connections_per_origin = 1, .acquire_ms = 60});
    start_call(&f, &held, "/hold");
    latch_wait(&f.server.requests, 1);
    start_call(&f, &waiting, "/");
    expect_failed(&waiting, AWS_ERROR_HTTP_CONNECTION_MANAGER_ACQUISITION_TIMEOUT);
    assert_int_equal(try_call(&f, &waiting, "GET", "/", NULL, &in_time), 0);
    latch_wait(&waiting.done, 1);
    assert_non_null(strstr(waiting.fault.detail, "a connection was awaited"));
    expect_failed(&waiting, AWS_IO_SOCKET_TIMEOUT);
    latch_add(&f.server.go, 1);
    expect_answer(&held, "connection 0");
    fixture_end(&f);
}

static void a_response_that_never_comes_ends_its_connection(void **state) {
    fixture f;
    call c;
    fixture_start(&f, (crt_http_pool_options){.timeouts = {.first_byte_ms = 30}});
    start_call(&f, &c, "/never");
    expect_failed(&c, AWS_ERROR_HTTP_RESPONSE_FIRST_BYTE_TIMEOUT);
    start_call(&f, &c, "/");
    expect_answer(&c, "connection 1");
    fixture_end(&f);
}

static void nobody_listening_fails_everyone_who_waits(void **state) {
    fixture f;
    call calls[5];
    fixture_start(&f, (crt_http_pool_options){.max_connections_per_origin = 2});
    shutdown(f.server.listener, SHUT_RDWR);
    for (int i = 0; i < 5; i++) {
        start_call(&f, &calls[i], "/");
    }
    for (int i = 0; i < 5; i++) {
        expect_failed(&calls[i], AWS_IO_SOCKET_CONNECTION_REFUSED);
    }
    EVENTUALLY(&f, stats.origins == 0 && stats.connections == 0 && stats.connecting == 0);
    fixture_end(&f);
}

static void a_message_that_breaks_the_rules_costs_no_connection(void **state) {
    fixture f;
    call c;
    fixture_start(&f, (crt_http_pool_options){0});
    assert_int_equal(try_call(&f, &c, "G T", "/", NULL, NULL), 0);
    expect_failed(&c, AWS_ERROR_HTTP_INVALID_METHOD);
    start_call(&f, &c, "/");
    expect_answer(&c, "connection 0");
    fixture_end(&f);
}

static void an_origin_without_a_host_is_refused(void **state) {
    fixture f;
    call c;
    fixture_start(&f, (crt_http_pool_options){0});
    f.origin.host = "";
    assert_int_equal(try_call(&f, &c, "GET", "/", NULL, NULL), AWS_ERROR_INVALID_ARGUMENT);
    latch_destroy(&c.done);
    fixture_end(&f);
}

/* ---- cancelling ---- */

static void cancelling_in_line_and_under_way(void **state) {
    fixture f;
    call held, waiting, next;
    fixture_start(&f, (crt_http_pool_options){.max_connections_per_origin = 1});
    start_call(&f, &held, "/never");
    latch_wait(&f.server.requests, 1);
    start_call(&f, &waiting, "/");
    start_call(&f, &next, "/");
    crt_http_pool_request_cancel(waiting.request, AWS_ERROR_HTTP_STREAM_CANCELLED);
    crt_http_pool_request_cancel(waiting.request, 0);
    expect_failed(&waiting, AWS_ERROR_HTTP_STREAM_CANCELLED);
    crt_http_pool_request_cancel(held.request, 0);
    expect_failed(&held, AWS_ERROR_HTTP_STREAM_CANCELLED);
    expect_answer(&next, "connection 1"); /* the first went with its request */
    fixture_end(&f);
}

enum { CALLS = 400, CALLERS = 4 };

typedef struct caller {
    uv_thread_t thread;
    fixture *f;
    unsigned seed;
    size_t wrong;
} caller;

static void call_and_cancel(void *arg) {
    caller *k = arg;
    call *calls = calloc(CALLS, sizeof(*calls));
    for (int i = 0; i < CALLS; i++) {
        k->seed = k->seed * 1103515245u + 12345u;
        const char *path = (k->seed >> 16) % 8 ? "/" : (k->seed >> 20) % 2 ? "/close" : "/stale";
        k->wrong += try_call(k->f, &calls[i], "GET", path, NULL, NULL) != 0;
        if ((k->seed >> 24) % 3 == 0) {
            crt_http_pool_request_cancel(calls[i].request, 0);
        }
        if (i >= 8) {
            (void)latch_reaches(&calls[i - 8].done, 1);
        }
    }
    for (int i = 0; i < CALLS; i++) {
        const bool done = latch_reaches(&calls[i].done, 1);
        const int code = calls[i].fault.code;
        k->wrong += !done || calls[i].completions != 1 || (code && code != AWS_ERROR_HTTP_STREAM_CANCELLED);
        crt_http_pool_request_release(calls[i].request);
        latch_destroy(&calls[i].done);
    }
    free(calls);
}

static void many_threads_and_random_cancellation(void **state) {
    fixture f;
    caller callers[CALLERS];
    fixture_start(&f, (crt_http_pool_options){.max_connections_per_origin = 3});
    for (unsigned i = 0; i < CALLERS; i++) {
        callers[i] = (caller){.f = &f, .seed = i + 1};
        assert_int_equal(uv_thread_create(&callers[i].thread, call_and_cancel, &callers[i]), 0);
    }
    for (unsigned i = 0; i < CALLERS; i++) {
        uv_thread_join(&callers[i].thread);
        assert_int_equal(callers[i].wrong, 0);
    }
    EVENTUALLY(&f, stats.active == 0 && stats.waiting == 0 && stats.connecting == 0);
    fixture_end(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_connection_is_kept_for_the_next_request),
        cmocka_unit_test(http1_carries_one_request_at_a_time),
        cmocka_unit_test(the_limit_of_an_origin_makes_requests_wait_in_order),
        cmocka_unit_test(origins_differ_by_what_they_are_reached_with),
        cmocka_unit_test(idle_connections_of_other_origins_make_room),
        cmocka_unit_test(a_connection_that_the_peer_closes_is_not_used_again),
        cmocka_unit_test(idle_connections_are_closed_in_time),
        cmocka_unit_test(old_connections_take_no_new_requests),
        cmocka_unit_test(a_release_ends_who_waits_and_lets_finish_who_does_not),
        cmocka_unit_test(a_release_while_connecting_leaves_nothing_behind),
        cmocka_unit_test(a_request_lost_on_a_kept_connection_is_sent_again),
        cmocka_unit_test(but_only_once_and_not_on_a_fresh_connection),
        cmocka_unit_test(what_may_not_be_repeated_is_not),
        cmocka_unit_test(a_full_line_refuses_at_once),
        cmocka_unit_test(waiting_has_an_end),
        cmocka_unit_test(a_response_that_never_comes_ends_its_connection),
        cmocka_unit_test(nobody_listening_fails_everyone_who_waits),
        cmocka_unit_test(a_message_that_breaks_the_rules_costs_no_connection),
        cmocka_unit_test(an_origin_without_a_host_is_refused),
        cmocka_unit_test(cancelling_in_line_and_under_way),
        cmocka_unit_test(many_threads_and_random_cancellation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
