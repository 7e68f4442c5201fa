/* The message channel: both directions, order of what it tells, back-pressure, and every way it ends. */
#include "stream_support.h"

#include "crt/eventstream.h"

/* ---- the client's side ---- */

typedef struct user {
    crt_loop_group *group;
    crt_loop *loop;
    crt_resolver *resolver;
    crt_es_channel *channel;
    peer peer;
    latch connected, messages, taken, sent, closed;
    crt_fault connect_fault, close_fault;
    bool lazy; /* takes nothing until told to */
    size_t payload_bytes;
    size_t most_at_once; /* messages */
    int order_faults;
    uint8_t last;
} user;

static void take_all(void *arg) {
    user *u = arg;
    crt_es_message m;
    size_t n = 0;
    while (crt_es_channel_take(u->channel, &m)) {
        u->payload_bytes += m.payload.len;
        u->last = m.payload.len ? m.payload.ptr[0] : 0;
        n++;
    }
    u->most_at_once = n > u->most_at_once ? n : u->most_at_once;
    crt_es_channel_taken(u->channel);
    latch_add(&u->taken, n);
}

static void take_from_now_on(void *arg) {
    ((user *)arg)->lazy = false;
    take_all(arg);
}

static void on_connected(void *arg, const crt_fault *fault) {
    user *u = arg;
    u->connect_fault = *fault;
    latch_add(&u->connected, 1);
}

static void on_messages(void *arg) {
    user *u = arg;
    u->order_faults += latch_count(&u->closed) > 0;
    latch_add(&u->messages, 1);
    if (!u->lazy) {
        take_all(u);
    }
}

static void on_closed(void *arg, const crt_fault *fault) {
    user *u = arg;
    u->close_fault = *fault;
    latch_add(&u->closed, 1);
}

static const crt_es_channel_handler handler = {on_connected, on_messages, on_closed};

static crt_es_channel_options user_init(user *u) {
    memset(u, 0, sizeof(*u));
    latch_init(&u->connected);
    latch_init(&u->messages);
    latch_init(&u->taken);
    latch_init(&u->sent);
    latch_init(&u->closed);
    u->group = group_new(1);
    u->loop = crt_loop_group_at(u->group, 0);
    assert_int_equal(crt_resolver_new(NULL, &u->resolver), 0);
    crt_es_channel_options options = {.loop = u->loop, .resolver = u->resolver, .host = "127.0.0.1",
                                      .socket = CRT_SOCKET_OPTIONS_DEFAULT, .handler = &handler, .user = u};
    return options;
}

static void user_open(user *u, void (*serve)(peer *, int), void *arg) {
    crt_es_channel_options options = user_init(u);
    peer_start(&u->peer, serve, arg);
    options.port = u->peer.port;
    assert_int_equal(crt_es_channel_connect(&options, &u->channel), 0);
    latch_wait(&u->connected, 1);
    assert_int_equal(u->connect_fault.code, 0);
}

static void user_end(user *u) {
    peer_join(&u->peer);
    crt_es_channel_release(u->channel);
    crt_resolver_release(u->resolver);
    group_end(u->group);
    assert_int_equal(u->order_faults, 0);
    latch_destroy(&u->connected);
    latch_destroy(&u->messages);
    latch_destroy(&u->taken);
    latch_destroy(&u->sent);
    latch_destroy(&u->closed);
}

static void user_close(user *u) {
    crt_es_channel_close(u->channel, 0);
    latch_wait(&u->closed, 1);
    assert_int_equal(u->close_fault.code, 0);
    user_end(u);
}

/* ---- messages ---- */

typedef struct outgoing {
    crt_es_send send;
    user *user;
    int status;
    int calls;
} outgoing;

static void on_sent(crt_es_send *send, int status) {
    outgoing *o = CRT_CONTAINER(send, outgoing, send);
    o->status = status;
    o->calls++;
    latch_add(&o->user->sent, 1);
}

static size_t message_of(uint8_t *out, size_t payload_len, uint8_t fill) {
    size_t size = 0;
    assert_int_equal(crt_es_message_size(0, payload_len, &size), 0);
    memset(out + CRT_ES_PRELUDE, fill, payload_len);
    crt_es_message_seal(out, size, 0);
    return size;
}

static void send_bytes(user *u, outgoing *o, const uint8_t *bytes, size_t len) {
    memset(o, 0, sizeof(*o));
    o->user = u;
    o->send.data = crt_bytes_of(bytes, len);
    o->send.done = on_sent;
    crt_es_channel_send(u->channel, &o->send);
}

/* ---- tests ---- */

static void messages_go_there_and_back(void **state) {
    enum { COUNT = 100 };
    static outgoing out[COUNT];
    static uint8_t bytes[COUNT][64];
    user u;
    user_open(&u, serve_echo, NULL);
    for (int i = 0; i < COUNT; i++) {
        send_bytes(&u, &out[i], bytes[i], message_of(bytes[i], 1, (uint8_t)i));
    }
    latch_wait(&u.taken, COUNT);
    latch_wait(&u.sent, COUNT);
    assert_int_equal(u.last, COUNT - 1);
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(out[i].calls, 1);
        assert_int_equal(out[i].status, 0);
    }
    user_close(&u);
}

static void a_preset_status_fails_the_message_unsent(void **state) {
    user u;
    outgoing bad, good;
    uint8_t first[32], second[32];
    user_open(&u, serve_echo, NULL);
    memset(&bad, 0, sizeof(bad));
    bad.user = &u;
    bad.send.data = crt_bytes_of(first, message_of(first, 1, 1));
    bad.send.status = AWS_ERROR_EVENT_STREAM_RPC_PROTOCOL_ERROR;
    bad.send.done = on_sent;
    crt_es_channel_send(u.channel, &bad.send);
    send_bytes(&u, &good, second, message_of(second, 1, 2));
    latch_wait(&u.taken, 1);
    latch_wait(&u.sent, 2);
    assert_int_equal(bad.status, AWS_ERROR_EVENT_STREAM_RPC_PROTOCOL_ERROR);
    assert_int_equal(u.last, 2);
    user_close(&u);
}

static void messages_of_an_ended_stream_fail_unsent(void **state) {
    static const bool ended[] = {false, true, false};
    outgoing out[3];
    uint8_t bytes[3][32];
    user u;
    user_open(&u, serve_echo, NULL);
    for (int i = 0; i < 3; i++) {
        memset(&out[i], 0, sizeof(out[i]));
        out[i].user = &u;
        out[i].send.data = crt_bytes_of(bytes[i], message_of(bytes[i], 1, (uint8_t)i));
        out[i].send.ended = &ended[i];
        out[i].send.done = on_sent;
        crt_es_channel_send(u.channel, &out[i].send);
    }
    latch_wait(&u.sent, 3);
    latch_wait(&u.taken, 2);
    assert_int_equal(out[0].status, 0);
    assert_int_equal(out[1].status, AWS_ERROR_EVENT_STREAM_RPC_STREAM_CLOSED);
    assert_int_equal(out[2].status, 0);
    user_close(&u);
    assert_int_equal(u.payload_bytes, 2);
}

static void what_was_sent_before_the_close_leaves(void **state) {
    static recording r;
    user u;
    outgoing before, after;
    uint8_t first[32], second[32];
    memset(&r, 0, sizeof(r));
    user_open(&u, serve_record, &r);
    const size_t len = message_of(first, 4, 'x');
    send_bytes(&u, &before, first, len);
    crt_es_channel_close(u.channel, AWS_ERROR_EVENT_STREAM_RPC_PROTOCOL_ERROR);
    crt_es_channel_close(u.channel, 0); /* the first one decides */
    send_bytes(&u, &after, second, message_of(second, 4, 'y'));
    latch_wait(&u.sent, 2);
    latch_wait(&u.closed, 1);
    assert_int_equal(before.status, 0);
    assert_int_equal(after.status, AWS_ERROR_EVENT_STREAM_RPC_CONNECTION_CLOSED);
    assert_int_equal(u.close_fault.code, AWS_ERROR_EVENT_STREAM_RPC_PROTOCOL_ERROR);
    peer_join(&u.peer);
    assert_int_equal(r.len, len);
    assert_memory_equal(r.bytes, first, len);
    user_end(&u);
}

static void a_violation_closes_behind_the_messages_before_it(void **state) {
    uint8_t stream[64];
    size_t len = message_of(stream, 1, 'g');
    memcpy(stream + len, stream, len);
    stream[2 * len - 1] ^= 1;
    sending s = {stream, 2 * len};
    user u;
    user_open(&u, serve_bytes, &s);
    latch_wait(&u.closed, 1);
    assert_int_equal(u.close_fault.code, AWS_ERROR_EVENT_STREAM_MESSAGE_CHECKSUM_FAILURE);
    assert_int_equal(latch_count(&u.taken), 1);
    user_end(&u);
}

static void a_peer_that_hangs_up_closes_the_channel(void **state) {
    user u;
    uint8_t partial[32];
    message_of(partial, 4, 'p');
    sending s = {partial, 15};
    user_open(&u, serve_bytes, &s);
    latch_wait(&u.closed, 1);
    assert_int_equal(u.close_fault.code, AWS_IO_SOCKET_CLOSED);
    assert_int_equal(latch_count(&u.messages), 0);
    user_end(&u);
}

static void messages_may_be_taken_behind_the_end(void **state) {
    uint8_t stream[32];
    sending s = {stream, message_of(stream, 1, 'z')};
    user u;
    crt_es_channel_options options = user_init(&u);
    u.lazy = true;
    peer_start(&u.peer, serve_bytes, &s);
    options.port = u.peer.port;
    assert_int_equal(crt_es_channel_connect(&options, &u.channel), 0);
    latch_wait(&u.closed, 1);
    assert_int_equal(latch_count(&u.messages), 1);
    on_loop(u.loop, take_all, &u);
    assert_int_equal(u.last, 'z');
    user_end(&u);
}

static void who_takes_nothing_stops_the_peer(void **state) {
    enum { LEN = 32 << 20, PAYLOAD = 1000, MESSAGE = PAYLOAD + CRT_ES_OVERHEAD, COUNT = LEN / MESSAGE };
    uint8_t *stream = malloc((size_t)COUNT * MESSAGE);
    message_of(stream, PAYLOAD, 's');
    for (size_t i = 1; i < COUNT; i++) {
        memcpy(stream + i * MESSAGE, stream, MESSAGE);
    }
    sending s = {stream, (size_t)COUNT * MESSAGE};
    user u;
    crt_es_channel_options options = user_init(&u);
    u.lazy = true;
    peer_start(&u.peer, serve_bytes, &s);
    options.port = u.peer.port;
    assert_int_equal(crt_es_channel_connect(&options, &u.channel), 0);
    latch_wait(&u.messages, 1);
    on_loop(u.loop, take_from_now_on, &u);
    latch_wait(&u.taken, COUNT);
    latch_wait(&u.closed, 1);
    assert_int_equal(u.payload_bytes, (size_t)COUNT * PAYLOAD);
    assert_true(u.most_at_once * MESSAGE < (1 << 20));
    user_end(&u);
    free(stream);
}

static void a_failed_connect_is_told_once(void **state) {
    user u;
    crt_es_channel_options options = user_init(&u);
    assert_int_equal(crt_es_channel_connect(&options, &u.channel), 0); /* port 0 */
    latch_wait(&u.connected, 1);
    assert_int_equal(u.connect_fault.code, AWS_IO_SOCKET_INVALID_ADDRESS);
    assert_int_equal(latch_count(&u.closed), 0);
    user_end(&u);
}

static void the_end_of_the_loop_is_the_end(void **state) {
    static uint8_t bytes[1 << 20];
    user u;
    outgoing o;
    user_open(&u, serve_until_closed, NULL);
    send_bytes(&u, &o, bytes, message_of(bytes, sizeof(bytes) - CRT_ES_OVERHEAD, 'e'));
    crt_resolver_release(u.resolver);
    group_end(u.group);
    assert_int_equal(latch_count(&u.sent), 1);
    assert_int_equal(latch_count(&u.closed), 1);
    assert_int_equal(u.close_fault.code, AWS_IO_EVENT_LOOP_SHUTDOWN);
    peer_join(&u.peer);
    crt_es_channel_release(u.channel);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        leak_checked(messages_go_there_and_back),
        leak_checked(a_preset_status_fails_the_message_unsent),
        leak_checked(messages_of_an_ended_stream_fail_unsent),
        leak_checked(what_was_sent_before_the_close_leaves),
        leak_checked(a_violation_closes_behind_the_messages_before_it),
        leak_checked(a_peer_that_hangs_up_closes_the_channel),
        leak_checked(messages_may_be_taken_behind_the_end),
        leak_checked(who_takes_nothing_stops_the_peer),
        leak_checked(a_failed_connect_is_told_once),
        leak_checked(the_end_of_the_loop_is_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
