/* Connecting: outcomes, messages, races between addresses, cancelling. */
#include "stream_support.h"

#include "../io/dns.h"

static void try_connect(client *c, const crt_connect_options *options) {
    assert_non_null(crt_stream_connect(options));
    latch_wait(&c->connected, 1);
    assert_int_equal(c->connect_calls, 1);
}

/* A port nobody listens on, for as long as the returned descriptor is open. */
static int refused_port(uint16_t *port) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(at);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &size), 0);
    *port = ntohs(at.sin_port);
    return fd;
}

static void a_refused_connection_names_host_port_and_address(void **state) {
    client c;
    crt_connect_options options;
    char expected[64];
    uint16_t port;
    int fd = refused_port(&port);
    client_init(&c);
    options = client_options(&c, "127.0.0.1", port);
    try_connect(&c, &options);
    assert_int_equal(c.connect_fault.code, AWS_IO_SOCKET_CONNECTION_REFUSED);
    snprintf(expected, sizeof(expected), "connecting to 127.0.0.1:%u (127.0.0.1): refused", port);
    assert_string_equal(c.connect_fault.detail, expected);
    assert_null(c.stream);
    client_free(&c);
    close(fd);
}

static void ports_out_of_range_are_refused(void **state) {
    static const uint32_t ports[] = {0, 65536, UINT32_MAX};
    size_t i;
    for (i = 0; i < 3; i++) {
        client c;
        crt_connect_options options;
        client_init(&c);
        options = client_options(&c, "127.0.0.1", ports[i]);
        try_connect(&c, &options);
        assert_int_equal(c.connect_fault.code, AWS_IO_SOCKET_INVALID_ADDRESS);
        assert_non_null(strstr(c.connect_fault.detail, "127.0.0.1:"));
        client_free(&c);
    }
}

static void an_unknown_name_cannot_be_connected_to(void **state) {
    client c;
    crt_connect_options options;
    client_init(&c);
    options = client_options(&c, "", 443);
    try_connect(&c, &options);
    assert_int_equal(c.connect_fault.code, AWS_IO_DNS_INVALID_NAME);
    client_free(&c);
}

/* A listener whose queue is full: the kernel drops further attempts, which then hang. */
typedef struct full_listener {
    peer p;
    int fillers[8];
} full_listener;

static void full_listener_open(full_listener *f) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    size_t i;
    peer_listen_on(&f->p, "127.0.0.1", 0, 0);
    at.sin_port = htons(f->p.port);
    for (i = 0; i < 8; i++) {
        f->fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        (void)!connect(f->fillers[i], (struct sockaddr *)&at, sizeof(at));
    }
}

static void full_listener_close(full_listener *f) {
    size_t i;
    for (i = 0; i < 8; i++) {
        close(f->fillers[i]);
    }
    close(f->p.listener);
}

static void an_attempt_that_hangs_times_out(void **state) {
    static const uint32_t limits_ms[] = {30, 0};
    full_listener f;
    size_t i;
    full_listener_open(&f);
    for (i = 0; i < 2; i++) {
        client c;
        crt_connect_options options;
        client_init(&c);
        options = client_options(&c, "127.0.0.1", f.p.port);
        options.socket.connect_timeout_ms = limits_ms[i];
        try_connect(&c, &options);
        assert_int_equal(c.connect_fault.code, AWS_IO_SOCKET_TIMEOUT);
        assert_non_null(strstr(c.connect_fault.detail, "no answer within"));
        client_free(&c);
    }
    full_listener_close(&f);
}

/* ---- Unix sockets ---- */

static void a_unix_socket_works_like_any_other(void **state) {
    client c;
    crt_connect_options options;
    client_init(&c);
    peer_start_local(&c.peer, serve_echo, NULL);
    options = client_options(&c, c.peer.path, 0);
    options.socket.domain = CRT_SOCKET_LOCAL;
    options.resolver = NULL;
    try_connect(&c, &options);
    assert_int_equal(c.connect_fault.code, 0);
    assert_string_equal(c.stream->peer, c.peer.path);
    client_close(&c);
    client_free(&c);
}

static void bad_paths_are_told_apart(void **state) {
    char too_long[200];
    client c;
    crt_connect_options options;
    client_init(&c);
    options = client_options(&c, "/tmp/crt-no-such-socket", 0);
    options.socket.domain = CRT_SOCKET_LOCAL;
    try_connect(&c, &options);
    assert_int_equal(c.connect_fault.code, AWS_ERROR_FILE_INVALID_PATH);
    assert_non_null(strstr(c.connect_fault.detail, "/tmp/crt-no-such-socket"));
    memset(too_long, 'x', sizeof(too_long) - 1);
    too_long[sizeof(too_long) - 1] = '\0';
    options.host = too_long;
    assert_non_null(crt_stream_connect(&options));
    latch_wait(&c.connected, 2);
    assert_int_equal(c.connect_fault.code, AWS_IO_SOCKET_INVALID_ADDRESS);
    client_free(&c);
}

/* ---- racing ---- */

static bool machine_has_ipv6(void) {
    struct sockaddr_in6 at = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    bool works = fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof(at)) == 0;
    if (fd >= 0) {
        close(fd);
    }
    return works;
}

/* "localhost" is ::1 and 127.0.0.1 on most machines; whichever comes first, the one that listens is found. */
static void the_address_that_listens_wins(void **state) {
    client c;
    crt_connect_options options;
    client_init(&c);
    peer_start(&c.peer, serve_until_closed, NULL);
    options = client_options(&c, "localhost", c.peer.port);
    try_connect(&c, &options);
    assert_int_equal(c.connect_fault.code, 0);
    assert_int_equal(strncmp(c.stream->peer, "127.0.0.1:", 10), 0);
    client_close(&c);
    client_free(&c);
}

static const crt_address loopbacks[2] = {{.family = AF_INET, .ip = {127, 0, 0, 1}},
                                         {.family = AF_INET, .ip = {127, 0, 0, 2}}};

static void the_second_address_overtakes_one_that_hangs(void **state) {
    client c;
    crt_connect_options options;
    full_listener f;
    full_listener_open(&f); /* on 127.0.0.1 */
    client_init(&c);
    peer_listen_on(&c.peer, "127.0.0.2", f.p.port, 16);
    peer_serve_one(&c.peer, serve_until_closed, NULL);
    assert_int_equal(crt_resolver_seed(c.resolver, "two.test", loopbacks, 2), 0);
    options = client_options(&c, "two.test", f.p.port);
    try_connect(&c, &options);
    assert_int_equal(c.connect_fault.code, 0);
    assert_int_equal(strncmp(c.stream->peer, "127.0.0.2:", 10), 0);
    client_close(&c);
    on_loop(c.loop, client_drop, &c);
    peer_join(&c.peer);
    options.socket.connect_timeout_ms = 1000; /* the address that hung is left out now, or this would end in a timeout */
    assert_non_null(crt_stream_connect(&options));
    latch_wait(&c.connected, 2);
    assert_int_equal(c.connect_fault.code, AWS_IO_SOCKET_CONNECTION_REFUSED);
    client_free(&c);
    full_listener_close(&f);
}

static void failure_is_reported_when_no_address_is_left(void **state) {
    client c;
    crt_connect_options options;
    uint16_t port;
    int fd = refused_port(&port);
    client_init(&c);
    assert_int_equal(crt_resolver_seed(c.resolver, "two.test", loopbacks, 2), 0);
    options = client_options(&c, "two.test", port);
    try_connect(&c, &options);
    assert_int_equal(c.connect_fault.code, AWS_IO_SOCKET_CONNECTION_REFUSED);
    assert_non_null(strstr(c.connect_fault.detail, "two.test:"));
    assert_non_null(strstr(c.connect_fault.detail, "(127.0.0.2): refused"));
    client_free(&c);
    close(fd);
}

static void ipv6_peers_are_written_in_brackets(void **state) {
    client c;
    crt_connect_options options;
    uint16_t port;
    int fd;
    if (!machine_has_ipv6()) {
        skip();
    }
    fd = refused_port(&port);
    client_init(&c);
    options = client_options(&c, "::1", port);
    try_connect(&c, &options);
    assert_int_equal(c.connect_fault.code, AWS_IO_SOCKET_CONNECTION_REFUSED);
    assert_non_null(strstr(c.connect_fault.detail, "(::1): refused"));
    client_free(&c);
    close(fd);
}

/* ---- cancelling and the end of the loop ---- */

typedef struct cancelling {
    client c;
    crt_connect_options options;
    crt_connect *connect;
    crt_timer later;
    uint64_t delay_ms;
    bool told_inside;
    latch cancelled;
} cancelling;

static void cancel_now(cancelling *x) {
    crt_connect_cancel(x->connect);
    crt_connect_cancel(x->connect);
    x->told_inside = x->c.connect_calls > 0;
    latch_add(&x->cancelled, 1);
}

static void cancel_later(crt_timer *timer) {
    cancel_now(CRT_CONTAINER(timer, cancelling, later));
}

static void connect_and_cancel(void *arg) {
    cancelling *x = arg;
    x->connect = crt_stream_connect(&x->options);
    if (x->delay_ms == 0) {
        cancel_now(x);
        return;
    }
    crt_timer_init(&x->later, x->c.loop, cancel_later);
    crt_timer_start(&x->later, x->delay_ms);
}

/* At once: before the connect has begun. Later: while an attempt hangs, or a name is looked up. */
static void a_connect_can_be_cancelled_in_any_phase(void **state) {
    static const struct {
        const char *host;
        uint64_t delay_ms;
    } phases[] = {{"127.0.0.1", 0}, {"127.0.0.1", 20}, {"localhost", 0}};
    full_listener f;
    size_t i;
    full_listener_open(&f);
    for (i = 0; i < 3; i++) {
        cancelling x = {.delay_ms = phases[i].delay_ms};
        client_init(&x.c);
        latch_init(&x.cancelled);
        x.options = client_options(&x.c, phases[i].host, f.p.port);
        on_loop(x.c.loop, connect_and_cancel, &x);
        latch_wait(&x.cancelled, 1);
        latch_wait(&x.c.connected, 1);
        assert_int_equal(x.c.connect_fault.code, AWS_ERROR_IO_OPERATION_CANCELLED);
        assert_false(x.told_inside);
        client_free(&x.c);
        assert_int_equal(x.c.connect_calls, 1);
        latch_destroy(&x.cancelled);
    }
    full_listener_close(&f);
}

static void connect_only(void *arg) {
    cancelling *x = arg;
    x->connect = crt_stream_connect(&x->options);
}

static void a_connect_ends_with_its_loop(void **state) {
    full_listener f;
    int turns;
    full_listener_open(&f);
    for (turns = 0; turns < 4; turns++) {
        cancelling x = {.connect = NULL};
        int i;
        client_init(&x.c);
        x.options = client_options(&x.c, turns == 3 ? "localhost" : "127.0.0.1", f.p.port);
        on_loop(x.c.loop, connect_only, &x);
        for (i = 0; i < turns; i++) {
            on_loop(x.c.loop, do_nothing, NULL);
        }
        client_end_loop(&x.c);
        assert_int_equal(x.c.connect_calls, 1);
        assert_int_equal(x.c.connect_fault.code, AWS_IO_EVENT_LOOP_SHUTDOWN);
        client_free(&x.c);
    }
    full_listener_close(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        leak_checked(a_refused_connection_names_host_port_and_address),
        leak_checked(ports_out_of_range_are_refused),
        leak_checked(an_unknown_name_cannot_be_connected_to),
        leak_checked(an_attempt_that_hangs_times_out),
        leak_checked(a_unix_socket_works_like_any_other),
        leak_checked(bad_paths_are_told_apart),
        leak_checked(the_address_that_listens_wins),
        leak_checked(the_second_address_overtakes_one_that_hangs),
        leak_checked(failure_is_reported_when_no_address_is_left),
        leak_checked(ipv6_peers_are_written_in_brackets),
        leak_checked(a_connect_can_be_cancelled_in_any_phase),
        leak_checked(a_connect_ends_with_its_loop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
