/* Connecting: outcomes, messages, races between addresses, cancelling. */
#include "stream_support.h"

#include <dirent.h>
#if defined(__linux__)
#include <linux/vm_sockets.h>
#endif

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

#if defined(__linux__)
static void an_at_sign_stands_for_the_abstract_namespace(void **state) {
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    client c;
    crt_connect_options options;
    char name[64];
    int len = snprintf(name, sizeof(name), "@crt-test-%d", (int)getpid());
    client_init(&c);
    memcpy(at.sun_path + 1, name + 1, (size_t)len - 1);
    c.peer.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(c.peer.listener, (struct sockaddr *)&at, (socklen_t)(sizeof(at.sun_family) + len)), 0);
    assert_int_equal(listen(c.peer.listener, 16), 0);
    peer_serve_one(&c.peer, serve_echo, NULL);
    options = client_options(&c, name, 0);
    options.socket.domain = CRT_SOCKET_LOCAL;
    try_connect(&c, &options);
    assert_int_equal(c.connect_fault.code, 0);
    assert_string_equal(c.stream->peer, name);
    client_close(&c);
    on_loop(c.loop, client_drop, &c);
    peer_join(&c.peer);
    assert_non_null(crt_stream_connect(&options));
    latch_wait(&c.connected, 2);
    assert_int_equal(c.connect_fault.code, AWS_IO_SOCKET_CONNECTION_REFUSED);
    assert_non_null(strstr(c.connect_fault.detail, name));
    client_free(&c);
}

/* ---- virtual machines ---- */

static int vsock_listener(struct sockaddr_vm *at) {
    socklen_t size = sizeof(*at);
    int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
    *at = (struct sockaddr_vm){.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_LOCAL, .svm_port = VMADDR_PORT_ANY};
    if (fd >= 0 && (bind(fd, (struct sockaddr *)at, sizeof(*at)) != 0 || listen(fd, 16) != 0 ||
                    getsockname(fd, (struct sockaddr *)at, &size) != 0)) {
        close(fd);
        fd = -1;
    }
    return fd;
}

static void a_vsock_works_like_any_other(void **state) {
    struct sockaddr_vm at;
    client c;
    crt_connect_options options;
    int listener = vsock_listener(&at);
    if (listener < 0) {
        skip(); /* this kernel has no loopback for them */
    }
    client_init(&c);
    c.peer.listener = listener;
    peer_serve_one(&c.peer, serve_echo, NULL);
    options = client_options(&c, "1", at.svm_port);
    options.socket.domain = CRT_SOCKET_VSOCK;
    options.resolver = NULL;
    try_connect(&c, &options);
    assert_int_equal(c.connect_fault.code, 0);
    client_close(&c);
    client_free(&c);
}

static void a_vsock_that_leads_nowhere_is_named(void **state) {
    static const char *const cids[] = {"", "x", "2x", "-1", " 2", "+2", "4294967295", "99999999999999999999"};
    client c;
    crt_connect_options options;
    size_t i;
    client_init(&c);
    options = client_options(&c, "", 5000);
    options.socket.domain = CRT_SOCKET_VSOCK;
    options.resolver = NULL;
    for (i = 0; i < sizeof(cids) / sizeof(cids[0]); i++) {
        options.host = cids[i];
        assert_non_null(crt_stream_connect(&options));
        latch_wait(&c.connected, i + 1);
        assert_int_equal(c.connect_fault.code, AWS_IO_SOCKET_INVALID_ADDRESS);
        assert_non_null(strstr(c.connect_fault.detail, "vsock"));
    }
    options.host = "4000000000"; /* no machine has that number; kernels differ in how they say so */
    options.socket.connect_timeout_ms = 50;
    assert_non_null(crt_stream_connect(&options));
    latch_wait(&c.connected, i + 1);
    assert_int_not_equal(c.connect_fault.code, 0);
    assert_non_null(strstr(c.connect_fault.detail, "connecting to vsock 4000000000:5000: "));
    client_free(&c);
}
#endif

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
    options.socket.connect_timeout_ms = 50; /* the address that hung is the last to be tried now */
    assert_non_null(crt_stream_connect(&options));
    latch_wait(&c.connected, 2);
    assert_int_equal(c.connect_fault.code, AWS_IO_SOCKET_TIMEOUT);
    assert_non_null(strstr(c.connect_fault.detail, " (127.0.0.2): refused; (127.0.0.1): no answer within 50 ms"));
    client_free(&c);
    full_listener_close(&f);
}

static void failure_names_every_address_that_was_tried(void **state) {
    client c;
    crt_connect_options options;
    char expected[128];
    uint16_t port;
    int fd = refused_port(&port);
    client_init(&c);
    assert_int_equal(crt_resolver_seed(c.resolver, "two.test", loopbacks, 2), 0);
    options = client_options(&c, "two.test", port);
    try_connect(&c, &options);
    assert_int_equal(c.connect_fault.code, AWS_IO_SOCKET_CONNECTION_REFUSED);
    snprintf(expected, sizeof(expected), "connecting to two.test:%u (127.0.0.1): refused; (127.0.0.2): refused", port);
    assert_string_equal(c.connect_fault.detail, expected);
    client_free(&c);
    close(fd);
}

static void a_story_too_long_says_how_many_addresses_are_left_out(void **state) {
    crt_address many[30];
    client c;
    crt_connect_options options;
    uint16_t port;
    int fd = refused_port(&port);
    unsigned named = 0, more = 0;
    const char *at;
    size_t i;
    for (i = 0; i < 30; i++) {
        many[i] = (crt_address){.family = AF_INET, .ip = {127, 0, 1, (uint8_t)(100 + i)}};
    }
    client_init(&c);
    assert_int_equal(crt_resolver_seed(c.resolver, "many.test", many, 30), 0);
    options = client_options(&c, "many.test", port);
    try_connect(&c, &options);
    assert_int_equal(c.connect_fault.code, AWS_IO_SOCKET_CONNECTION_REFUSED);
    for (at = c.connect_fault.detail; (at = strstr(at, "): refused")) != NULL; at++) {
        named++;
    }
    at = strstr(c.connect_fault.detail, "; and ");
    assert_non_null(at);
    assert_int_equal(sscanf(at, "; and %u more", &more), 1);
    assert_int_equal(strcmp(at + strlen(at) - 5, " more"), 0);
    assert_true(named >= 5);
    assert_int_equal(named + more, 30);
    client_free(&c);
    close(fd);
}

static const crt_address dual_stack[3] = {{.family = AF_INET6, .ip = {[15] = 1}},
                                          {.family = AF_INET6, .ip = {0x20, 1, 0xd, 0xb8, [15] = 1}},
                                          {.family = AF_INET, .ip = {127, 0, 0, 1}}};

/* The third address in the list is the second to be tried, at once after the first was refused. */
static void the_other_family_is_next_and_at_once(void **state) {
    client c;
    crt_connect_options options;
    if (!machine_has_ipv6()) {
        skip();
    }
    client_init(&c);
    peer_start(&c.peer, serve_until_closed, NULL);
    assert_int_equal(crt_resolver_seed(c.resolver, "dual.test", dual_stack, 3), 0);
    options = client_options(&c, "dual.test", c.peer.port);
    try_connect(&c, &options);
    assert_int_equal(c.connect_fault.code, 0);
    assert_int_equal(strncmp(c.stream->peer, "127.0.0.1:", 10), 0);
    client_close(&c);
    client_free(&c);
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

/* ---- many ---- */

static size_t open_descriptors(void) {
    DIR *directory = opendir("/proc/self/fd");
    size_t count = 0;
    while (directory && readdir(directory)) {
        count++;
    }
    if (directory) {
        closedir(directory);
    }
    return count;
}

enum { CYCLES = 1000 };

/* A listener that leaves its connections waiting is enough to connect to. */
static void connect_and_close(client *c, const crt_connect_options *options, int listener) {
    size_t before = latch_count(&c->connected), closed = latch_count(&c->closed);
    assert_non_null(crt_stream_connect(options));
    latch_wait(&c->connected, before + 1);
    if (listener >= 0) {
        assert_int_equal(c->connect_fault.code, 0);
        close(accept(listener, NULL, NULL));
        latch_wait(&c->closed, closed + 1);
        on_loop(c->loop, client_drop, c);
    } else {
        assert_int_equal(c->connect_fault.code, AWS_IO_SOCKET_CONNECTION_REFUSED);
    }
    on_loop(c->loop, do_nothing, NULL); /* a socket's memory goes one turn after its descriptor */
    on_loop(c->loop, do_nothing, NULL);
}

static void a_thousand_connections_leave_nothing_behind(void **state) {
    uint16_t port;
    int refused = refused_port(&port), accepts;
    for (accepts = 0; accepts < 2; accepts++) {
        client c;
        peer p;
        crt_connect_options options;
        size_t descriptors = 0, blocks = 0, i;
        client_init(&c);
        peer_listen_on(&p, "127.0.0.1", 0, 16);
        options = client_options(&c, "127.0.0.1", accepts ? p.port : port);
        for (i = 0; i < CYCLES; i++) {
            connect_and_close(&c, &options, accepts ? p.listener : -1);
            if (i == 10) {
                descriptors = open_descriptors();
                blocks = crt_memory_live();
            }
        }
        assert_int_equal(open_descriptors(), descriptors);
        assert_int_equal(crt_memory_live(), blocks);
        close(p.listener);
        client_free(&c);
    }
    close(refused);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        leak_checked(a_refused_connection_names_host_port_and_address),
        leak_checked(ports_out_of_range_are_refused),
        leak_checked(an_unknown_name_cannot_be_connected_to),
        leak_checked(an_attempt_that_hangs_times_out),
        leak_checked(a_unix_socket_works_like_any_other),
#if defined(__linux__)
        leak_checked(an_at_sign_stands_for_the_abstract_namespace),
        leak_checked(a_vsock_works_like_any_other),
        leak_checked(a_vsock_that_leads_nowhere_is_named),
#endif
        leak_checked(bad_paths_are_told_apart),
        leak_checked(the_address_that_listens_wins),
        leak_checked(the_second_address_overtakes_one_that_hangs),
        leak_checked(failure_names_every_address_that_was_tried),
        leak_checked(a_story_too_long_says_how_many_addresses_are_left_out),
        leak_checked(the_other_family_is_next_and_at_once),
        leak_checked(ipv6_peers_are_written_in_brackets),
        leak_checked(a_connect_can_be_cancelled_in_any_phase),
        leak_checked(a_connect_ends_with_its_loop),
        leak_checked(a_thousand_connections_leave_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
