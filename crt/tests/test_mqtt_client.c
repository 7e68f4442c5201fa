/*
 * The client engine against a broker played by the test itself: it accepts on a loopback socket, reads the exact
 * bytes it expects and answers with bytes of its own. What the engine reports is kept as lines of text in order.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "crt/memory.h"
#include "crt/mqtt.h"

#define B(literal) crt_bytes_of(literal, sizeof(literal) - 1)
enum { PATIENCE_SECS = 20, LINES_MAX = 256 };

#define CONNECT "\x10\x0e\x00\x04MQTT\x05\x02\x04\xb0\x00\x00\x01" "c"
#define CONNECT_RESUME "\x10\x0e\x00\x04MQTT\x05\x00\x04\xb0\x00\x00\x01" "c"
#define CONNACK "\x20\x03\x00\x00\x00"
#define CONNACK_RESUMED "\x20\x03\x01\x00\x00"

/* ---- what the engine reported ---- */

typedef struct fixture {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    char *lines[LINES_MAX];
    size_t line_count;
    size_t line_read;
    uint64_t acks[8];
    size_t ack_count;
    uint64_t attempt;
    bool paused;
    crt_loop_group *group;
    crt_resolver *resolver;
    crt_mqtt_client *client;
    crt_mqtt_client_options options;
    crt_mqtt_connect connect;
    int listener;
    int peer;
} fixture;

/* Blocks alive before the first test. */
static size_t live_baseline;

static void note(fixture *f, const char *format, ...) {
    char line[400];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    pthread_mutex_lock(&f->lock);
    if (f->line_count < LINES_MAX) {
        f->lines[f->line_count++] = strdup(line);
    }
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->lock);
}

/* Waits for the next line and compares it. */
static void expect(fixture *f, const char *line) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE_SECS;
    pthread_mutex_lock(&f->lock);
    int status = 0;
    while (f->line_read == f->line_count && status == 0) {
        status = pthread_cond_timedwait(&f->changed, &f->lock, &until);
    }
    const char *got = f->line_read < f->line_count ? f->lines[f->line_read++] : "(nothing)";
    pthread_mutex_unlock(&f->lock);
    assert_string_equal(got, line);
}

static void on_attempt(void *user) {
    note(user, "attempt");
}
static void on_connected(void *user, const crt_mqtt_connack *k, const crt_mqtt_settings *s) {
    note(user, "connected rejoined=%d client_id=%.*s", s->rejoined_session, (int)s->client_id.len,
         (const char *)s->client_id.ptr);
}
static void on_failed(void *user, const crt_fault *fault, const crt_mqtt_connack *k) {
    note(user, "failed %s connack=%d", crt_error_name(fault->code), k ? k->reason_code : -1);
}
static void on_disconnected(void *user, const crt_fault *fault, const crt_mqtt_disconnect *d) {
    note(user, "disconnected %s disconnect=%d", crt_error_name(fault->code), d ? d->reason_code : -1);
}
static void on_stopped(void *user) {
    note(user, "stopped");
}
static void on_publish(void *user, const crt_mqtt_publish *m, uint64_t ack) {
    fixture *f = user;
    pthread_mutex_lock(&f->lock);
    if (ack) {
        f->acks[f->ack_count++ % 8] = ack;
    }
    pthread_mutex_unlock(&f->lock);
    note(f, "publish %.*s=%.*s qos=%d", (int)m->topic.len, (const char *)m->topic.ptr, (int)m->payload.len,
         (const char *)m->payload.ptr, m->qos);
}
static void on_handshake(void *user, uint64_t attempt) {
    ((fixture *)user)->attempt = attempt;
    note(user, "handshake");
}
static bool may_read(void *user) {
    return !__atomic_load_n(&((fixture *)user)->paused, __ATOMIC_SEQ_CST);
}
static void on_terminated(void *user) {
    note(user, "terminated");
}

static const crt_mqtt_client_handler handler = {on_attempt, on_connected, on_failed,    on_disconnected,
                                                on_stopped, on_publish,   on_handshake, may_read,
                                                on_terminated};

/* ---- operations ---- */

typedef struct test_op {
    crt_mqtt_op op;
    fixture *f;
    char name[16];
} test_op;

static void op_done(crt_mqtt_op *op, const crt_fault *fault, const crt_mqtt_ack *ack) {
    test_op *t = CRT_CONTAINER(op, test_op, op);
    if (fault->code) {
        note(t->f, "%s %s", t->name, crt_error_name(fault->code));
    } else {
        note(t->f, "%s ok %d", t->name, ack ? ack->reason_codes.ptr[0] : -1);
    }
    free(t);
}

static test_op *new_op(fixture *f, const char *name, int type) {
    test_op *t = calloc(1, sizeof(*t));
    t->f = f;
    snprintf(t->name, sizeof(t->name), "%s", name);
    t->op.packet.type = type;
    t->op.done = op_done;
    return t;
}

static void publish(fixture *f, const char *name, const char *topic, int qos) {
    test_op *t = new_op(f, name, CRT_MQTT_PUBLISH);
    t->op.packet.as.publish.topic = crt_bytes_str(topic);
    t->op.packet.as.publish.qos = (uint8_t)qos;
    crt_mqtt_client_submit(f->client, &t->op);
}

static void publish_aliased(fixture *f, const char *name, const char *topic, int alias) {
    test_op *t = new_op(f, name, CRT_MQTT_PUBLISH);
    t->op.packet.as.publish.topic = crt_bytes_str(topic);
    t->op.packet.as.publish.present = alias ? crt_mqtt_bit(CRT_MQTT_TOPIC_ALIAS) : 0;
    t->op.packet.as.publish.topic_alias = (uint16_t)alias;
    crt_mqtt_client_submit(f->client, &t->op);
}

static void subscribe(fixture *f, const char *name) {
    static const crt_mqtt_subscription sub = {{(const uint8_t *)"s", 1}, 1, false, false, 0};
    test_op *t = new_op(f, name, CRT_MQTT_SUBSCRIBE);
    t->op.packet.as.subscribe = (crt_mqtt_subscribe){.subscriptions = &sub, .count = 1};
    crt_mqtt_client_submit(f->client, &t->op);
}

static void unsubscribe(fixture *f, const char *name) {
    static const crt_bytes filter = {(const uint8_t *)"u", 1};
    test_op *t = new_op(f, name, CRT_MQTT_UNSUBSCRIBE);
    t->op.packet.as.unsubscribe = (crt_mqtt_unsubscribe){.topic_filters = &filter, .count = 1};
    crt_mqtt_client_submit(f->client, &t->op);
}

/* ---- the broker ---- */

static void wait_readable(int fd) {
    struct pollfd p = {fd, POLLIN, 0};
    assert_int_equal(poll(&p, 1, PATIENCE_SECS * 1000), 1);
}

static void broker_listen(fixture *f) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    f->listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(f->listener, (struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(f->listener, 8), 0);
    assert_int_equal(getsockname(f->listener, (struct sockaddr *)&address, &len), 0);
    f->options.port = ntohs(address.sin_port);
}

static void broker_accept(fixture *f) {
    wait_readable(f->listener);
    f->peer = accept(f->listener, NULL, NULL);
    assert_true(f->peer >= 0);
}

static void broker_reads(fixture *f, crt_bytes expected) {
    uint8_t got[512];
    size_t n = 0;
    assert_true(expected.len <= sizeof(got));
    while (n < expected.len) {
        wait_readable(f->peer);
        ssize_t r = recv(f->peer, got + n, expected.len - n, 0);
        assert_true(r > 0);
        n += (size_t)r;
    }
    assert_memory_equal(got, expected.ptr, expected.len);
}

static void broker_sees_the_end(fixture *f) {
    char byte;
    wait_readable(f->peer);
    assert_true(recv(f->peer, &byte, 1, 0) <= 0);
    close(f->peer);
    f->peer = -1;
}

static void broker_sends(fixture *f, crt_bytes bytes) {
    assert_int_equal(send(f->peer, bytes.ptr, bytes.len, MSG_NOSIGNAL), (ssize_t)bytes.len);
}

static void broker_hangs_up(fixture *f) {
    close(f->peer);
    f->peer = -1;
}

/* ---- fixture ---- */

static int set_up(void **state) {
    fixture *f = calloc(1, sizeof(*f));
    crt_loop_group_options group = {.threads = 1, .cpu_group = -1};
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->changed, NULL);
    f->peer = -1;
    assert_int_equal(crt_loop_group_new(&group, &f->group), 0);
    assert_int_equal(crt_resolver_new(&(crt_resolver_options){0}, &f->resolver), 0);
    f->connect.client_id = B("c");
    f->connect.keep_alive_secs = 1200;
    f->options = (crt_mqtt_client_options){
        .codec = &crt_mqtt5_codec,
        .group = f->group,
        .resolver = f->resolver,
        .host = "127.0.0.1",
        .socket = CRT_SOCKET_OPTIONS_DEFAULT,
        .connect = &f->connect,
        .jitter = CRT_MQTT_JITTER_NONE,
        .reconnect_min_ms = 1,
        .reconnect_max_ms = 10,
        .reconnect_reset_ms = 30000,
        .ping_timeout_ms = 30000,
        .connack_timeout_ms = 20000,
        .ack_timeout_secs = 60,
        .handler = &handler,
        .user = f,
    };
    broker_listen(f);
    *state = f;
    return 0;
}

static void create(fixture *f) {
    assert_int_equal(crt_mqtt_client_new(&f->options, &f->client), 0);
}

static void start(fixture *f) {
    create(f);
    crt_mqtt_client_start(f->client);
    expect(f, "attempt");
    broker_accept(f);
}

/* A client connected to a broker that answered with `connack`. */
static void connect_with(fixture *f, crt_bytes connack) {
    start(f);
    broker_reads(f, B(CONNECT));
    broker_sends(f, connack);
    expect(f, "connected rejoined=0 client_id=c");
}

/* Everything a test made is freed; clean-up threads may take a moment. */
static void assert_no_leak(void) {
    for (int waited_ms = 0; crt_memory_live() > live_baseline && waited_ms < PATIENCE_SECS * 1000; waited_ms++) {
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    assert_int_equal(crt_memory_live(), live_baseline);
}

static int tear_down(void **state) {
    fixture *f = *state;
    if (f->client) {
        crt_mqtt_client_close(f->client);
        /* lines the test did not care for */
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += PATIENCE_SECS;
        pthread_mutex_lock(&f->lock);
        int status = 0;
        while (status == 0 && (!f->line_count || strcmp(f->lines[f->line_count - 1], "terminated") != 0)) {
            status = pthread_cond_timedwait(&f->changed, &f->lock, &until);
        }
        pthread_mutex_unlock(&f->lock);
        assert_int_equal(status, 0);
        crt_mqtt_client_release(f->client);
    }
    crt_resolver_release(f->resolver);
    crt_loop_group_release(f->group);
    assert_true(crt_threads_join(PATIENCE_SECS * 1000));
    assert_no_leak();
    close(f->listener);
    if (f->peer >= 0) {
        close(f->peer);
    }
    for (size_t i = 0; i < f->line_count; i++) {
        free(f->lines[i]);
    }
    free(f);
    return 0;
}

/* ---- lifecycle ---- */

static void connect_then_stop(void **state) {
    fixture *f = *state;
    connect_with(f, B(CONNACK));
    crt_mqtt_client_stop(f->client, NULL);
    expect(f, "disconnected AWS_ERROR_MQTT5_USER_REQUESTED_STOP disconnect=-1");
    expect(f, "stopped");
    broker_sees_the_end(f);
}

static void stop_with_packet_sends_it(void **state) {
    fixture *f = *state;
    connect_with(f, B(CONNACK));
    crt_mqtt_client_stop(f->client, &(crt_mqtt_disconnect){.reason_code = 4});
    broker_reads(f, B("\xe0\x02\x04\x00"));
    broker_sees_the_end(f);
    expect(f, "disconnected AWS_ERROR_MQTT5_USER_REQUESTED_STOP disconnect=-1");
    expect(f, "stopped");
}

static void stop_cannot_raise_the_session_expiry(void **state) {
    fixture *f = *state;
    connect_with(f, B(CONNACK));
    crt_mqtt_disconnect d = {.present = crt_mqtt_bit(CRT_MQTT_SESSION_EXPIRY), .session_expiry = 1};
    crt_mqtt_client_stop(f->client, &d);
    expect(f, "disconnected AWS_ERROR_MQTT5_DISCONNECT_OPTIONS_VALIDATION disconnect=-1");
    expect(f, "stopped");
    broker_sees_the_end(f);
}

static void stop_while_waiting_for_connack(void **state) {
    fixture *f = *state;
    start(f);
    broker_reads(f, B(CONNECT));
    crt_mqtt_client_stop(f->client, NULL);
    expect(f, "failed AWS_ERROR_MQTT5_USER_REQUESTED_STOP connack=-1");
    expect(f, "stopped");
}

static void stop_while_waiting_to_reconnect(void **state) {
    fixture *f = *state;
    f->options.reconnect_min_ms = f->options.reconnect_max_ms = 60000;
    start(f);
    broker_hangs_up(f);
    expect(f, "failed AWS_IO_SOCKET_CLOSED connack=-1");
    crt_mqtt_client_stop(f->client, NULL);
    expect(f, "stopped");
}

static void stop_then_start_with_packet_reconnects(void **state) {
    fixture *f = *state;
    connect_with(f, B(CONNACK));
    crt_mqtt_client_stop(f->client, &(crt_mqtt_disconnect){0});
    crt_mqtt_client_start(f->client);
    broker_reads(f, B("\xe0\x02\x00\x00"));
    expect(f, "disconnected AWS_ERROR_MQTT5_USER_REQUESTED_STOP disconnect=-1");
    expect(f, "attempt");
}

static void closing_a_client_that_never_started(void **state) {
    fixture *f = *state;
    create(f);
    publish(f, "p", "t", 1);
    crt_mqtt_client_close(f->client);
    expect(f, "p AWS_ERROR_MQTT5_CLIENT_TERMINATED");
    expect(f, "terminated");
    crt_mqtt_client_release(f->client);
    f->client = NULL;
}

/* ---- failures ---- */

static void refused_connack_is_retried(void **state) {
    fixture *f = *state;
    start(f);
    broker_reads(f, B(CONNECT));
    broker_sends(f, B("\x20\x03\x00\x86\x00"));
    expect(f, "failed AWS_ERROR_MQTT5_CONNACK_CONNECTION_REFUSED connack=134");
    broker_sees_the_end(f);
    expect(f, "attempt");
    broker_accept(f);
    broker_reads(f, B(CONNECT));
}

static void session_nobody_asked_for(void **state) {
    fixture *f = *state;
    start(f);
    broker_reads(f, B(CONNECT));
    broker_sends(f, B(CONNACK_RESUMED));
    expect(f, "failed AWS_ERROR_MQTT_CANCELLED_FOR_CLEAN_SESSION connack=0");
}

static void first_packet_is_not_connack(void **state) {
    fixture *f = *state;
    start(f);
    broker_reads(f, B(CONNECT));
    broker_sends(f, B("\xd0\x00"));
    broker_reads(f, B("\xe0\x02\x82\x00"));
    expect(f, "failed AWS_ERROR_MQTT5_DECODE_PROTOCOL_ERROR connack=-1");
}

static void malformed_connack_gets_no_answer(void **state) {
    fixture *f = *state;
    start(f);
    broker_reads(f, B(CONNECT));
    broker_sends(f, B("\x20\x03\x07\x00\x00"));
    expect(f, "failed AWS_ERROR_MQTT5_DECODE_PROTOCOL_ERROR connack=-1");
    broker_sees_the_end(f);
}

static void connack_timeout(void **state) {
    fixture *f = *state;
    f->options.connack_timeout_ms = 20;
    start(f);
    broker_reads(f, B(CONNECT));
    expect(f, "failed AWS_ERROR_MQTT5_CONNACK_TIMEOUT connack=-1");
}

static void transport_refused(void **state) {
    fixture *f = *state;
    f->options.port = 1;
    create(f);
    crt_mqtt_client_start(f->client);
    expect(f, "attempt");
    expect(f, "failed AWS_IO_SOCKET_CONNECTION_REFUSED connack=-1");
    expect(f, "attempt");
}

static void server_disconnect(void **state) {
    fixture *f = *state;
    connect_with(f, B(CONNACK));
    broker_sends(f, B("\xe0\x01\x8b"));
    expect(f, "disconnected AWS_ERROR_MQTT5_DISCONNECT_RECEIVED disconnect=139");
    broker_sees_the_end(f);
}

static void malformed_packet_ends_the_connection(void **state) {
    fixture *f = *state;
    connect_with(f, B(CONNACK));
    broker_sends(f, B("\x50\x02\x00\x01")); /* PUBREC */
    broker_reads(f, B("\xe0\x02\x82\x00"));
    expect(f, "disconnected AWS_ERROR_MQTT5_DECODE_PROTOCOL_ERROR disconnect=-1");
}

static void missing_pingresp(void **state) {
    fixture *f = *state;
    f->options.ping_timeout_ms = 10;
    connect_with(f, B("\x20\x06\x00\x00\x03\x13\x00\x01")); /* Server Keep Alive 1 s */
    broker_reads(f, B("\xc0\x00"));
    broker_reads(f, B("\xe0\x02\x8d\x00"));
    expect(f, "disconnected AWS_ERROR_MQTT5_PING_RESPONSE_TIMEOUT disconnect=-1");
}

static void pings_go_on_while_answered(void **state) {
    fixture *f = *state;
    connect_with(f, B("\x20\x06\x00\x00\x03\x13\x00\x01"));
    for (int i = 0; i < 2; i++) {
        broker_reads(f, B("\xc0\x00"));
        broker_sends(f, B("\xd0\x00"));
    }
}

/* ---- operations ---- */

static void publish_qos0_and_qos1(void **state) {
    fixture *f = *state;
    connect_with(f, B(CONNACK));
    publish(f, "a", "t", 0);
    expect(f, "a ok -1");
    broker_reads(f, B("\x30\x04\x00\x01t\x00"));
    publish(f, "b", "t", 1);
    broker_reads(f, B("\x32\x06\x00\x01t\x00\x01\x00"));
    broker_sends(f, B("\x40\x03\x00\x01\x10"));
    expect(f, "b ok 16");
    crt_mqtt_statistics s;
    crt_mqtt_client_statistics(f->client, &s);
    assert_int_equal(s.incomplete_count + s.incomplete_size + s.unacked_count + s.unacked_size, 0);
}

static void statistics_count_encoded_sizes(void **state) {
    fixture *f = *state;
    connect_with(f, B(CONNACK));
    publish(f, "p", "q1", 1);
    subscribe(f, "s");
    unsubscribe(f, "u");
    broker_reads(f, B("\x32\x07\x00\x02q1\x00\x01\x00\x82\x07\x00\x02\x00\x00\x01s\x01\xa2\x06\x00\x03\x00\x00\x01u"));
    crt_mqtt_statistics s;
    crt_mqtt_client_statistics(f->client, &s);
    assert_int_equal(s.incomplete_count, 3);
    assert_int_equal(s.incomplete_size, 7 + 9 + 8);
    assert_int_equal(s.unacked_count, 3);
    broker_sends(f, B("\xb0\x04\x00\x03\x00\x11\x90\x04\x00\x02\x00\x01\x40\x02\x00\x01"));
    expect(f, "u ok 17");
    expect(f, "s ok 1");
    expect(f, "p ok 0");
}

static void qos2_fails_when_sent(void **state) {
    fixture *f = *state;
    connect_with(f, B(CONNACK));
    publish(f, "p", "t", 2);
    expect(f, "p AWS_ERROR_MQTT5_PUBLISH_OPTIONS_VALIDATION");
}

static void server_limits_fail_only_the_operation(void **state) {
    fixture *f = *state;
    connect_with(f, B("\x20\x08\x00\x00\x05\x27\x00\x00\x00\x08"));
    publish(f, "long", "topic", 1);
    publish(f, "short", "t", 1);
    expect(f, "long AWS_ERROR_MQTT5_PACKET_VALIDATION");
    broker_reads(f, B("\x32\x06\x00\x01t\x00\x02\x00"));
}

static void receive_maximum_blocks_all_behind(void **state) {
    fixture *f = *state;
    connect_with(f, B("\x20\x06\x00\x00\x03\x21\x00\x01"));
    publish(f, "a", "a", 1);
    publish(f, "b", "b", 1);
    publish(f, "c", "c", 0);
    broker_reads(f, B("\x32\x06\x00\x01" "a\x00\x01\x00"));
    broker_sends(f, B("\x40\x02\x00\x01"));
    broker_reads(f, B("\x32\x06\x00\x01" "b\x00\x02\x00\x30\x04\x00\x01" "c\x00"));
    expect(f, "a ok 0");
    expect(f, "c ok -1");
}

static void ack_timeout_keeps_its_slot_until_the_late_ack(void **state) {
    fixture *f = *state;
    f->options.ack_timeout_secs = 1;
    connect_with(f, B("\x20\x06\x00\x00\x03\x21\x00\x01"));
    publish(f, "a", "a", 1);
    publish(f, "b", "b", 1);
    broker_reads(f, B("\x32\x06\x00\x01" "a\x00\x01\x00"));
    expect(f, "a AWS_ERROR_MQTT_TIMEOUT");
    broker_sends(f, B("\x40\x02\x00\x01"));
    broker_reads(f, B("\x32\x06\x00\x01" "b\x00\x02\x00"));
}

static void wrong_number_of_suback_codes(void **state) {
    fixture *f = *state;
    connect_with(f, B(CONNACK));
    subscribe(f, "s");
    broker_reads(f, B("\x82\x07\x00\x01\x00\x00\x01s\x01"));
    broker_sends(f, B("\x90\x05\x00\x01\x00\x01\x01"));
    expect(f, "s AWS_ERROR_MQTT5_DECODE_PROTOCOL_ERROR");
    expect(f, "disconnected AWS_ERROR_MQTT5_DECODE_PROTOCOL_ERROR disconnect=-1");
}

static void stray_acks_are_ignored(void **state) {
    fixture *f = *state;
    connect_with(f, B(CONNACK));
    broker_sends(f, B("\x40\x02\x00\x09\x90\x04\x00\x08\x00\x00" CONNACK));
    publish(f, "p", "t", 1);
    broker_reads(f, B("\x32\x06\x00\x01t\x00\x01\x00"));
    broker_sends(f, B("\x90\x04\x00\x01\x00\x00\x40\x02\x00\x01")); /* a SUBACK for a publish is no answer */
    expect(f, "p ok 0");
}

/* ---- offline ---- */

static void policy_before_the_first_start(void **state) {
    fixture *f = *state;
    create(f);
    publish(f, "q0", "t", 0);
    expect(f, "q0 AWS_ERROR_MQTT5_OPERATION_FAILED_DUE_TO_OFFLINE_QUEUE_POLICY");
    publish(f, "q1", "t", 1);
    crt_mqtt_client_start(f->client);
    expect(f, "attempt");
    broker_accept(f);
    broker_reads(f, B(CONNECT));
    broker_sends(f, B(CONNACK));
    expect(f, "connected rejoined=0 client_id=c");
    broker_reads(f, B("\x32\x06\x00\x01t\x00\x01\x00"));
}

/* Two publishes around a subscribe in flight when the connection is lost; the client comes back. */
static void lose_three_operations(fixture *f) {
    connect_with(f, B(CONNACK));
    publish(f, "a", "a", 1);
    subscribe(f, "s");
    publish(f, "b", "b", 1);
    broker_reads(f, B("\x32\x06\x00\x01" "a\x00\x01\x00\x82\x07\x00\x02\x00\x00\x01s\x01"
                      "\x32\x06\x00\x01" "b\x00\x03\x00"));
    broker_hangs_up(f);
    expect(f, "disconnected AWS_IO_SOCKET_CLOSED disconnect=-1");
}

static void resumed_session_resends_publishes_first(void **state) {
    fixture *f = *state;
    f->options.session = CRT_MQTT_SESSION_REJOIN_POST_SUCCESS;
    lose_three_operations(f);
    expect(f, "attempt");
    broker_accept(f);
    broker_reads(f, B(CONNECT_RESUME));
    broker_sends(f, B(CONNACK_RESUMED));
    expect(f, "connected rejoined=1 client_id=c");
    broker_reads(f, B("\x3a\x06\x00\x01" "a\x00\x01\x00\x3a\x06\x00\x01" "b\x00\x03\x00"
                      "\x82\x07\x00\x04\x00\x00\x01s\x01"));
    broker_sends(f, B("\x40\x02\x00\x01\x40\x02\x00\x03\x90\x04\x00\x04\x00\x01"));
    expect(f, "a ok 0");
    expect(f, "b ok 0");
    expect(f, "s ok 1");
}

static void lost_session_resends_in_order(void **state) {
    fixture *f = *state;
    lose_three_operations(f);
    expect(f, "attempt");
    broker_accept(f);
    broker_reads(f, B(CONNECT));
    broker_sends(f, B(CONNACK));
    expect(f, "connected rejoined=0 client_id=c");
    broker_reads(f, B("\x3a\x06\x00\x01" "a\x00\x01\x00\x82\x07\x00\x04\x00\x00\x01s\x01"
                      "\x3a\x06\x00\x01" "b\x00\x03\x00"));
}

static void fail_all_keeps_publishes_until_the_session_is_lost(void **state) {
    fixture *f = *state;
    f->options.offline = CRT_MQTT_FAIL_ALL;
    lose_three_operations(f);
    expect(f, "s AWS_ERROR_MQTT5_OPERATION_FAILED_DUE_TO_OFFLINE_QUEUE_POLICY");
    expect(f, "attempt");
    broker_accept(f);
    broker_reads(f, B(CONNECT));
    broker_sends(f, B(CONNACK));
    expect(f, "a AWS_ERROR_MQTT5_OPERATION_FAILED_DUE_TO_OFFLINE_QUEUE_POLICY");
    expect(f, "b AWS_ERROR_MQTT5_OPERATION_FAILED_DUE_TO_OFFLINE_QUEUE_POLICY");
    expect(f, "connected rejoined=0 client_id=c");
}

static void stop_fails_what_is_unfinished(void **state) {
    fixture *f = *state;
    f->options.offline = CRT_MQTT_FAIL_NON_QOS1;
    connect_with(f, B(CONNACK));
    subscribe(f, "s");
    publish(f, "p", "t", 1);
    broker_reads(f, B("\x82\x07\x00\x01\x00\x00\x01s\x01\x32\x06\x00\x01t\x00\x02\x00"));
    crt_mqtt_client_stop(f->client, NULL);
    expect(f, "disconnected AWS_ERROR_MQTT5_USER_REQUESTED_STOP disconnect=-1");
    expect(f, "s AWS_ERROR_MQTT5_OPERATION_FAILED_DUE_TO_OFFLINE_QUEUE_POLICY");
    expect(f, "p AWS_ERROR_MQTT5_USER_REQUESTED_STOP");
    expect(f, "stopped");
}

/* ---- receiving ---- */

static void inbound_publishes_and_acknowledgements(void **state) {
    fixture *f = *state;
    connect_with(f, B(CONNACK));
    broker_sends(f, B("\x30\x05\x00\x01t\x00x\x32\x07\x00\x01t\x00\x05\x00y\x32\x07\x00\x01t\x00\x06\x00z"));
    expect(f, "publish t=x qos=0");
    expect(f, "publish t=y qos=1");
    expect(f, "publish t=z qos=1");
    crt_mqtt_client_ack(f->client, f->acks[1]);
    broker_reads(f, B("\x40\x02\x00\x06"));
    crt_mqtt_client_ack(f->client, f->acks[1]); /* used */
    crt_mqtt_client_ack(f->client, 12345);      /* never given out */
    crt_mqtt_client_ack(f->client, f->acks[0]);
    broker_reads(f, B("\x40\x02\x00\x05"));
    publish(f, "p", "t", 0);
    broker_reads(f, B("\x30\x04\x00\x01t\x00"));
}

static void acknowledgements_end_with_their_connection(void **state) {
    fixture *f = *state;
    connect_with(f, B(CONNACK));
    broker_sends(f, B("\x32\x07\x00\x01t\x00\x05\x00y"));
    expect(f, "publish t=y qos=1");
    broker_hangs_up(f);
    expect(f, "disconnected AWS_IO_SOCKET_CLOSED disconnect=-1");
    expect(f, "attempt");
    broker_accept(f);
    broker_reads(f, B(CONNECT));
    broker_sends(f, B(CONNACK));
    expect(f, "connected rejoined=0 client_id=c");
    crt_mqtt_client_ack(f->client, f->acks[0]);
    publish(f, "p", "t", 0);
    broker_reads(f, B("\x30\x04\x00\x01t\x00"));
}

static void paused_client_reads_later(void **state) {
    fixture *f = *state;
    connect_with(f, B(CONNACK));
    __atomic_store_n(&f->paused, true, __ATOMIC_SEQ_CST);
    publish(f, "p", "t", 1);
    broker_reads(f, B("\x32\x06\x00\x01t\x00\x01\x00"));
    broker_sends(f, B("\x30\x05\x00\x01t\x00x\x40\x02\x00\x01"));
    crt_mqtt_statistics s;
    crt_mqtt_client_statistics(f->client, &s);
    assert_int_equal(s.unacked_count, 1); /* sent, but the answer is not read */
    __atomic_store_n(&f->paused, false, __ATOMIC_SEQ_CST);
    crt_mqtt_client_resume(f->client);
    expect(f, "publish t=x qos=0");
    expect(f, "p ok 0");
}

/* ---- topic aliases ---- */

static void lru_aliases(void **state) {
    fixture *f = *state;
    f->options.outbound_alias = CRT_MQTT_ALIAS_LRU;
    f->options.outbound_alias_max = 2;
    connect_with(f, B("\x20\x06\x00\x00\x03\x22\x00\x09"));
    static const char *const topics[] = {"a", "b", "a", "c", "a", "b"};
    for (size_t i = 0; i < 6; i++) {
        publish(f, "p", topics[i], 0);
    }
    broker_reads(f, B("\x30\x07\x00\x01" "a\x03\x23\x00\x01\x30\x07\x00\x01" "b\x03\x23\x00\x02"
                      "\x30\x06\x00\x00\x03\x23\x00\x01\x30\x07\x00\x01" "c\x03\x23\x00\x02"
                      "\x30\x06\x00\x00\x03\x23\x00\x01\x30\x07\x00\x01" "b\x03\x23\x00\x02"));
}

static void manual_aliases(void **state) {
    fixture *f = *state;
    f->options.outbound_alias = CRT_MQTT_ALIAS_MANUAL;
    f->options.outbound_alias_max = 25;
    connect_with(f, B("\x20\x06\x00\x00\x03\x22\x00\x01"));
    publish_aliased(f, "1", "a", 1);
    publish_aliased(f, "2", "a", 1);
    publish_aliased(f, "3", "b", 1);
    publish_aliased(f, "4", "b", 2);
    publish_aliased(f, "5", "b", 0);
    broker_reads(f, B("\x30\x07\x00\x01" "a\x03\x23\x00\x01\x30\x06\x00\x00\x03\x23\x00\x01"
                      "\x30\x07\x00\x01" "b\x03\x23\x00\x01\x30\x04\x00\x01" "b\x00"));
    expect(f, "4 AWS_ERROR_MQTT5_INVALID_OUTBOUND_TOPIC_ALIAS");
}

static void inbound_aliases(void **state) {
    fixture *f = *state;
    f->options.inbound_alias_max = 2;
    start(f);
    broker_reads(f, B("\x10\x11\x00\x04MQTT\x05\x02\x04\xb0\x03\x22\x00\x02\x00\x01" "c"));
    broker_sends(f, B(CONNACK "\x30\x07\x00\x01t\x03\x23\x00\x02\x30\x06\x00\x00\x03\x23\x00\x02"
                              "\x30\x06\x00\x00\x03\x23\x00\x01"));
    expect(f, "connected rejoined=0 client_id=c");
    expect(f, "publish t= qos=0");
    expect(f, "publish t= qos=0");
    broker_reads(f, B("\xe0\x02\x82\x00"));
    expect(f, "disconnected AWS_ERROR_MQTT5_DECODE_PROTOCOL_ERROR disconnect=-1");
}

/* ---- client identifiers, limits, handshakes ---- */

static void assigned_client_id_is_used_again(void **state) {
    fixture *f = *state;
    f->connect.client_id = B("");
    start(f);
    broker_reads(f, B("\x10\x0d\x00\x04MQTT\x05\x02\x04\xb0\x00\x00\x00"));
    broker_sends(f, B("\x20\x08\x00\x00\x05\x12\x00\x02id"));
    expect(f, "connected rejoined=0 client_id=id");
    broker_hangs_up(f);
    expect(f, "disconnected AWS_IO_SOCKET_CLOSED disconnect=-1");
    expect(f, "attempt");
    broker_accept(f);
    broker_reads(f, B("\x10\x0f\x00\x04MQTT\x05\x02\x04\xb0\x00\x00\x02id"));
}

static void iot_core_limits_generate_an_id_and_pace_publishes(void **state) {
    fixture *f = *state;
    f->connect.client_id = B("");
    f->options.iot_core_limits = true;
    start(f);
    broker_reads(f, B("\x10\x30\x00\x04MQTT\x05\x02\x04\xb0\x00\x00\x23gen"));
    uint8_t id[32];
    wait_readable(f->peer);
    assert_int_equal(recv(f->peer, id, 32, MSG_WAITALL), 32);
    assert_true(memchr(id, 'g', 32) == NULL);
    broker_sends(f, B(CONNACK));
    char connected[80];
    snprintf(connected, sizeof(connected), "connected rejoined=0 client_id=gen%.32s", (const char *)id);
    expect(f, connected); /* before that, a QoS 0 publish would be refused */
    for (int i = 0; i < 3; i++) {
        publish(f, "p", "t", 0); /* the bucket is empty: 10 ms each */
    }
    for (int i = 0; i < 3; i++) {
        broker_reads(f, B("\x30\x04\x00\x01t\x00"));
    }
}

static void handshake_failure_and_success(void **state) {
    fixture *f = *state;
    f->options.handshake = true;
    create(f);
    crt_mqtt_client_start(f->client);
    expect(f, "attempt");
    expect(f, "handshake");
    uint64_t first = f->attempt;
    crt_mqtt_client_handshake_done(f->client, first, AWS_ERROR_INVALID_STATE, NULL, NULL, 0);
    expect(f, "failed AWS_ERROR_INVALID_STATE connack=-1");
    expect(f, "attempt");
    expect(f, "handshake");
    crt_mqtt_client_handshake_done(f->client, first, AWS_ERROR_INVALID_STATE, NULL, NULL, 0); /* an old answer */
    static const crt_transport_header header = {"a", "b"};
    crt_mqtt_client_handshake_done(f->client, f->attempt, 0, "/mqtt", &header, 1);
    broker_accept(f);
    broker_reads(f, B(CONNECT));
}

static void stop_during_an_unanswered_handshake(void **state) {
    fixture *f = *state;
    f->options.handshake = true;
    create(f);
    crt_mqtt_client_start(f->client);
    expect(f, "attempt");
    expect(f, "handshake");
    crt_mqtt_client_stop(f->client, NULL);
    expect(f, "failed AWS_ERROR_MQTT5_USER_REQUESTED_STOP connack=-1");
    expect(f, "stopped");
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    crt_mqtt_init();
    live_baseline = crt_memory_live();
    const struct CMUnitTest tests[] = {
        T(connect_then_stop),
        T(stop_with_packet_sends_it),
        T(stop_cannot_raise_the_session_expiry),
        T(stop_while_waiting_for_connack),
        T(stop_while_waiting_to_reconnect),
        T(stop_then_start_with_packet_reconnects),
        T(closing_a_client_that_never_started),
        T(refused_connack_is_retried),
        T(session_nobody_asked_for),
        T(first_packet_is_not_connack),
        T(malformed_connack_gets_no_answer),
        T(connack_timeout),
        T(transport_refused),
        T(server_disconnect),
        T(malformed_packet_ends_the_connection),
        T(missing_pingresp),
        T(pings_go_on_while_answered),
        T(publish_qos0_and_qos1),
        T(statistics_count_encoded_sizes),
        T(qos2_fails_when_sent),
        T(server_limits_fail_only_the_operation),
        T(receive_maximum_blocks_all_behind),
        T(ack_timeout_keeps_its_slot_until_the_late_ack),
        T(wrong_number_of_suback_codes),
        T(stray_acks_are_ignored),
        T(policy_before_the_first_start),
        T(resumed_session_resends_publishes_first),
        T(lost_session_resends_in_order),
        T(fail_all_keeps_publishes_until_the_session_is_lost),
        T(stop_fails_what_is_unfinished),
        T(inbound_publishes_and_acknowledgements),
        T(acknowledgements_end_with_their_connection),
        T(paused_client_reads_later),
        T(lru_aliases),
        T(manual_aliases),
        T(inbound_aliases),
        T(assigned_client_id_is_used_again),
        T(iot_core_limits_generate_an_id_and_pace_publishes),
        T(handshake_failure_and_success),
        T(stop_during_an_unanswered_handshake),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
