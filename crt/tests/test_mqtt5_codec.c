/*
 * The MQTT 5 codec: wire images of every packet a client sends, packets a server sends, and what must be refused.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>

#include "crt/memory.h"
#include "crt/mqtt.h"

#define B(literal) crt_bytes_of(literal, sizeof(literal) - 1)

static void expect_encoded(const crt_mqtt_packet *packet, crt_bytes wire) {
    crt_buf out = CRT_BUF_INIT;
    assert_int_equal(crt_mqtt5_codec.encode(packet, &out), 0);
    assert_int_equal(crt_buf_len(&out), wire.len);
    assert_memory_equal(crt_buf_data(&out), wire.ptr, wire.len);
    assert_int_equal(crt_mqtt5_codec.size(packet), wire.len);
    crt_buf_free(&out);
}

static void feed(crt_mqtt_decoder *d, crt_bytes bytes) {
    while (bytes.len) {
        crt_span space;
        assert_int_equal(crt_mqtt_decoder_space(d, &space), 0);
        size_t n = bytes.len < space.len ? bytes.len : space.len;
        memcpy(space.ptr, bytes.ptr, n);
        crt_mqtt_decoder_commit(d, n);
        bytes = crt_bytes_of(bytes.ptr + n, bytes.len - n);
    }
}

/* Feeds one whole packet to a fresh decoder. */
static int decode(crt_mqtt_decoder *d, crt_bytes wire, crt_mqtt_packet *out, bool *have) {
    crt_fault fault = {0};
    crt_mqtt_decoder_init(d, &crt_mqtt5_codec, CRT_MQTT_PACKET_MAX);
    feed(d, wire);
    return crt_mqtt_decoder_next(d, out, have, &fault);
}

static crt_mqtt_packet decode_ok(crt_mqtt_decoder *d, crt_bytes wire) {
    crt_mqtt_packet packet;
    bool have = false;
    assert_int_equal(decode(d, wire, &packet, &have), 0);
    assert_true(have);
    return packet;
}

static void assert_text(crt_bytes actual, const char *expected) {
    assert_true(crt_bytes_eq(actual, crt_bytes_str(expected)));
}

/* ---- encoding ---- */

static void connect_minimal(void **state) {
    crt_mqtt_packet p = {.type = CRT_MQTT_CONNECT};
    p.as.connect.clean_start = true;
    p.as.connect.keep_alive_secs = 1200;
    p.as.connect.client_id = B("ab");
    expect_encoded(&p, B("\x10\x0f\x00\x04MQTT\x05\x02\x04\xb0\x00\x00\x02"
                         "ab"));
}

static void connect_full(void **state) {
    static const crt_mqtt_user_property user[] = {{{(const uint8_t *)"k", 1}, {(const uint8_t *)"v", 1}}};
    crt_mqtt_publish will = {.topic = B("w"), .payload = B("bye"), .qos = 1, .retain = true};
    will.present = crt_mqtt_bit(CRT_MQTT_PAYLOAD_FORMAT) | crt_mqtt_bit(CRT_MQTT_CONTENT_TYPE);
    will.payload_format = 1;
    will.content_type = B("t");
    crt_mqtt_packet p = {.type = CRT_MQTT_CONNECT};
    crt_mqtt_connect *c = &p.as.connect;
    c->client_id = B("");
    c->username = B("u");
    c->password = B("p");
    c->will = &will;
    c->present = crt_mqtt_bit(CRT_MQTT_SESSION_EXPIRY) | crt_mqtt_bit(CRT_MQTT_RECEIVE_MAXIMUM) |
                 crt_mqtt_bit(CRT_MQTT_MAXIMUM_PACKET_SIZE) | crt_mqtt_bit(CRT_MQTT_TOPIC_ALIAS_MAXIMUM) |
                 crt_mqtt_bit(CRT_MQTT_REQUEST_RESPONSE_INFO) | crt_mqtt_bit(CRT_MQTT_REQUEST_PROBLEM_INFO) |
                 crt_mqtt_bit(CRT_MQTT_WILL_DELAY);
    c->session_expiry = 1;
    c->receive_maximum = 2;
    c->maximum_packet_size = 3;
    c->topic_alias_maximum = 4;
    c->request_response_info = true;
    c->will_delay = 5;
    c->user = (crt_mqtt_user_properties){user, 1};
    expect_encoded(&p, B("\x10\x42\x00\x04MQTT\x05\xec\x00\x00\x1b"
                         "\x11\x00\x00\x00\x01\x21\x00\x02\x27\x00\x00\x00\x03\x22\x00\x04\x19\x01\x17\x00"
                         "\x26\x00\x01k\x00\x01v\x00\x00"
                         "\x0b\x18\x00\x00\x00\x05\x01\x01\x03\x00\x01t\x00\x01w\x00\x03"
                         "bye\x00\x01u\x00\x01p"));
}

static void publish_variants(void **state) {
    crt_mqtt_packet p = {.type = CRT_MQTT_PUBLISH};
    crt_mqtt_publish *m = &p.as.publish;
    m->topic = B("t");
    m->payload = B("hi");
    expect_encoded(&p, B("\x30\x06\x00\x01t\x00hi"));
    m->qos = 1;
    m->dup = m->retain = true;
    m->packet_id = 0x1234;
    expect_encoded(&p, B("\x3b\x08\x00\x01t\x12\x34\x00hi"));
    m->present = crt_mqtt_bit(CRT_MQTT_PAYLOAD_FORMAT) | crt_mqtt_bit(CRT_MQTT_MESSAGE_EXPIRY) |
                 crt_mqtt_bit(CRT_MQTT_TOPIC_ALIAS) | crt_mqtt_bit(CRT_MQTT_RESPONSE_TOPIC) |
                 crt_mqtt_bit(CRT_MQTT_CORRELATION_DATA) | crt_mqtt_bit(CRT_MQTT_CONTENT_TYPE);
    m->payload_format = 1;
    m->message_expiry = 7;
    m->topic_alias = 9;
    m->response_topic = B("r");
    m->correlation_data = B("\x00\xff");
    m->content_type = B("c");
    expect_encoded(&p, B("\x3b\x1f\x00\x01t\x12\x34\x17\x01\x01\x02\x00\x00\x00\x07\x23\x00\x09\x08\x00\x01r"
                         "\x09\x00\x02\x00\xff\x03\x00\x01"
                         "chi"));
}

static void subscribe_and_unsubscribe(void **state) {
    crt_mqtt_subscription subs[] = {
        {.topic_filter = B("a"), .qos = 1},
        {.topic_filter = B("b"), .no_local = true, .retain_as_published = true, .retain_handling = 2},
    };
    crt_mqtt_packet p = {.type = CRT_MQTT_SUBSCRIBE};
    p.as.subscribe = (crt_mqtt_subscribe){.packet_id = 2, .subscriptions = subs, .count = 2};
    p.as.subscribe.present = crt_mqtt_bit(CRT_MQTT_SUBSCRIPTION_ID);
    p.as.subscribe.subscription_id = 128;
    expect_encoded(&p, B("\x82\x0e\x00\x02\x03\x0b\x80\x01\x00\x01"
                         "a\x01\x00\x01"
                         "b\x2c"));
    crt_bytes filters[] = {B("a"), B("b/#")};
    p.type = CRT_MQTT_UNSUBSCRIBE;
    p.as.unsubscribe = (crt_mqtt_unsubscribe){.packet_id = 3, .topic_filters = filters, .count = 2};
    expect_encoded(&p, B("\xa2\x0b\x00\x03\x00\x00\x01"
                         "a\x00\x03"
                         "b/#"));
}

static void small_packets(void **state) {
    crt_mqtt_packet p = {.type = CRT_MQTT_PUBACK};
    p.as.ack = (crt_mqtt_ack){.packet_id = 1, .reason_codes = B("\x00")};
    expect_encoded(&p, B("\x40\x02\x00\x01"));
    p.as.ack.reason_codes = B("\x80");
    expect_encoded(&p, B("\x40\x04\x00\x01\x80\x00"));
    p = (crt_mqtt_packet){.type = CRT_MQTT_PINGREQ};
    expect_encoded(&p, B("\xc0\x00"));
    p = (crt_mqtt_packet){.type = CRT_MQTT_DISCONNECT};
    expect_encoded(&p, B("\xe0\x02\x00\x00"));
    p.as.disconnect.reason_code = 4;
    p.as.disconnect.present = crt_mqtt_bit(CRT_MQTT_SESSION_EXPIRY) | crt_mqtt_bit(CRT_MQTT_REASON_STRING);
    p.as.disconnect.session_expiry = 1;
    p.as.disconnect.reason_string = B("x");
    expect_encoded(&p, B("\xe0\x0b\x04\x09\x11\x00\x00\x00\x01\x1f\x00\x01x"));
}

static void too_long_to_encode(void **state) {
    char *big = calloc(1, 65536);
    crt_mqtt_packet p = {.type = CRT_MQTT_PUBLISH};
    p.as.publish.topic = crt_bytes_of(big, 65536);
    crt_buf out = CRT_BUF_INIT;
    assert_int_equal(crt_mqtt5_codec.size(&p), 0);
    assert_int_equal(crt_mqtt5_codec.encode(&p, &out), AWS_ERROR_MQTT5_ENCODE_FAILURE);
    assert_int_equal(crt_buf_len(&out), 0);
    p.as.publish.topic = B("t");
    p.as.publish.payload = crt_bytes_of(big, CRT_MQTT_REMAINING_MAX); /* never read: the size alone refuses it */
    assert_int_equal(crt_mqtt5_codec.size(&p), 0);
    p = (crt_mqtt_packet){.type = CRT_MQTT_SUBACK};
    assert_int_equal(crt_mqtt5_codec.size(&p), 0);
    crt_buf_free(&out);
    free(big);
}

/* ---- decoding ---- */

static void connack_with_every_property(void **state) {
    crt_mqtt_decoder d;
    crt_mqtt_packet p = decode_ok(&d, B("\x20\x39\x01\x00\x36\x11\x00\x00\x00\x01\x21\x00\x02\x24\x01\x25\x00"
                                        "\x27\x00\x00\x00\x64\x12\x00\x02id\x22\x00\x05\x1f\x00\x01r"
                                        "\x26\x00\x01k\x00\x01v\x28\x01\x29\x00\x2a\x01\x13\x00\x1e"
                                        "\x1a\x00\x02ri\x1c\x00\x01s"));
    const crt_mqtt_connack *c = &p.as.connack;
    assert_int_equal(p.type, CRT_MQTT_CONNACK);
    assert_true(c->session_present);
    assert_int_equal(c->session_expiry, 1);
    assert_int_equal(c->receive_maximum, 2);
    assert_int_equal(c->maximum_qos, 1);
    assert_false(c->retain_available);
    assert_int_equal(c->maximum_packet_size, 100);
    assert_text(c->assigned_client_id, "id");
    assert_int_equal(c->topic_alias_maximum, 5);
    assert_text(c->reason_string, "r");
    assert_int_equal(c->user.count, 1);
    assert_text(c->user.items[0].value, "v");
    assert_true(c->wildcard_available);
    assert_false(c->subscription_id_available);
    assert_true(c->shared_available);
    assert_int_equal(c->server_keep_alive_secs, 30);
    assert_text(c->response_info, "ri");
    assert_text(c->server_reference, "s");
    crt_mqtt_decoder_free(&d);
}

#define FULL_PUBLISH                                                                                           \
    "\x3b\x2b\x00\x01t\x00\x07\x22\x01\x01\x02\x00\x00\x00\x09\x23\x00\x03\x08\x00\x01r\x09\x00\x01\xff"       \
    "\x26\x00\x01k\x00\x01v\x0b\x80\x01\x0b\x02\x03\x00\x01"                                                   \
    "cpay"

static void check_full_publish(const crt_mqtt_packet *p) {
    const crt_mqtt_publish *m = &p->as.publish;
    assert_int_equal(p->type, CRT_MQTT_PUBLISH);
    assert_int_equal(m->qos, 1);
    assert_true(m->dup && m->retain);
    assert_int_equal(m->packet_id, 7);
    assert_text(m->topic, "t");
    assert_text(m->payload, "pay");
    assert_int_equal(m->payload_format, 1);
    assert_int_equal(m->message_expiry, 9);
    assert_int_equal(m->topic_alias, 3);
    assert_text(m->response_topic, "r");
    assert_text(m->correlation_data, "\xff");
    assert_text(m->content_type, "c");
    assert_int_equal(m->user.count, 1);
    assert_text(m->user.items[0].name, "k");
    assert_int_equal(m->subscription_id_count, 2);
    assert_int_equal(m->subscription_ids[0], 128);
    assert_int_equal(m->subscription_ids[1], 2);
}

static void publish_with_every_property(void **state) {
    crt_mqtt_decoder d;
    crt_mqtt_packet p = decode_ok(&d, B(FULL_PUBLISH));
    check_full_publish(&p);
    crt_mqtt_decoder_free(&d);
}

static void copies_outlive_the_decoder(void **state) {
    crt_mqtt_decoder d;
    crt_mqtt_packet p = decode_ok(&d, B(FULL_PUBLISH));
    size_t extra = crt_mqtt_packet_extra(&p);
    void *storage = malloc(extra);
    crt_mqtt_packet copy;
    crt_mqtt_packet_copy(&copy, &p, storage);
    crt_mqtt_decoder_free(&d);
    check_full_publish(&copy);
    free(storage);
}

static void connect_copy_carries_the_will(void **state) {
    char topic[] = "w", payload[] = "bye";
    crt_mqtt_publish will = {.topic = crt_bytes_str(topic), .payload = crt_bytes_str(payload)};
    crt_mqtt_packet p = {.type = CRT_MQTT_CONNECT};
    p.as.connect.will = &will;
    p.as.connect.username = B("u");
    void *storage = malloc(crt_mqtt_packet_extra(&p));
    crt_mqtt_packet copy;
    crt_mqtt_packet_copy(&copy, &p, storage);
    topic[0] = payload[0] = 'x';
    assert_text(copy.as.connect.will->topic, "w");
    assert_text(copy.as.connect.will->payload, "bye");
    assert_text(copy.as.connect.username, "u");
    assert_null(copy.as.connect.password.ptr);
    free(storage);
}

static void acks(void **state) {
    crt_mqtt_decoder d;
    crt_mqtt_packet p = decode_ok(&d, B("\x40\x02\x00\x01"));
    assert_int_equal(p.as.ack.packet_id, 1);
    assert_int_equal(p.as.ack.reason_codes.ptr[0], 0);
    crt_mqtt_decoder_free(&d);
    p = decode_ok(&d, B("\x40\x03\x00\x01\x10"));
    assert_int_equal(p.as.ack.reason_codes.ptr[0], 0x10);
    crt_mqtt_decoder_free(&d);
    p = decode_ok(&d, B("\x40\x08\x00\x01\x80\x04\x1f\x00\x01r"));
    assert_text(p.as.ack.reason_string, "r");
    crt_mqtt_decoder_free(&d);
    p = decode_ok(&d, B("\x90\x05\x00\x02\x00\x00\x80"));
    assert_int_equal(p.type, CRT_MQTT_SUBACK);
    assert_int_equal(p.as.ack.reason_codes.len, 2);
    crt_mqtt_decoder_free(&d);
    p = decode_ok(&d, B("\xb0\x04\x00\x02\x00\x11"));
    assert_int_equal(p.type, CRT_MQTT_UNSUBACK);
    crt_mqtt_decoder_free(&d);
    p = decode_ok(&d, B("\xd0\x00"));
    assert_int_equal(p.type, CRT_MQTT_PINGRESP);
    crt_mqtt_decoder_free(&d);
}

static void disconnects(void **state) {
    crt_mqtt_decoder d;
    assert_int_equal(decode_ok(&d, B("\xe0\x00")).as.disconnect.reason_code, 0);
    crt_mqtt_decoder_free(&d);
    assert_int_equal(decode_ok(&d, B("\xe0\x01\x8b")).as.disconnect.reason_code, 0x8b);
    crt_mqtt_decoder_free(&d);
    crt_mqtt_packet p = decode_ok(&d, B("\xe0\x0a\x9c\x08\x1c\x00\x01s\x1f\x00\x01r"));
    assert_text(p.as.disconnect.server_reference, "s");
    assert_text(p.as.disconnect.reason_string, "r");
    crt_mqtt_decoder_free(&d);
}

static void split_at_every_byte(void **state) {
    static const char stream[] = "\x40\x02\x00\x01" FULL_PUBLISH "\xd0\x00\x90\x04\x00\x02\x00\x01";
    static const int types[] = {CRT_MQTT_PUBACK, CRT_MQTT_PUBLISH, CRT_MQTT_PINGRESP, CRT_MQTT_SUBACK};
    crt_bytes all = B(stream);
    for (size_t cut = 0; cut <= all.len; cut++) {
        crt_mqtt_decoder d;
        crt_mqtt_decoder_init(&d, &crt_mqtt5_codec, CRT_MQTT_PACKET_MAX);
        crt_bytes parts[] = {{all.ptr, cut}, {all.ptr + cut, all.len - cut}};
        size_t seen = 0;
        for (int i = 0; i < 2; i++) {
            feed(&d, parts[i]);
            crt_mqtt_packet p;
            crt_fault fault;
            bool have = true;
            while (have) {
                assert_int_equal(crt_mqtt_decoder_next(&d, &p, &have, &fault), 0);
                if (have) {
                    assert_int_equal(p.type, types[seen++]);
                    if (p.type == CRT_MQTT_PUBLISH) {
                        check_full_publish(&p);
                    }
                }
            }
        }
        assert_int_equal(seen, 4);
        crt_mqtt_decoder_free(&d);
    }
}

static void malformed_packets(void **state) {
    static const struct {
        const char *name;
        crt_bytes wire;
    } cases[] = {
        {"type 0", {(const uint8_t *)"\x00\x00", 2}},
        {"CONNECT from a server", {(const uint8_t *)"\x10\x00", 2}},
        {"PUBREC", {(const uint8_t *)"\x50\x02\x00\x01", 4}},
        {"PUBREL", {(const uint8_t *)"\x62\x02\x00\x01", 4}},
        {"PUBCOMP", {(const uint8_t *)"\x70\x02\x00\x01", 4}},
        {"SUBSCRIBE", {(const uint8_t *)"\x82\x00", 2}},
        {"PINGREQ", {(const uint8_t *)"\xc0\x00", 2}},
        {"AUTH", {(const uint8_t *)"\xf0\x00", 2}},
        {"reserved flags", {(const uint8_t *)"\x41\x02\x00\x01", 4}},
        {"remaining length of five bytes", {(const uint8_t *)"\x30\xff\xff\xff\xff\x01", 6}},
        {"remaining length not minimal", {(const uint8_t *)"\xd0\x80\x00", 3}},
        {"PINGRESP with a body", {(const uint8_t *)"\xd0\x01\x00", 3}},
        {"CONNACK too short", {(const uint8_t *)"\x20\x01\x00", 3}},
        {"CONNACK without properties", {(const uint8_t *)"\x20\x02\x00\x00", 4}},
        {"CONNACK flags", {(const uint8_t *)"\x20\x03\x02\x00\x00", 5}},
        {"CONNACK trailing byte", {(const uint8_t *)"\x20\x04\x00\x00\x00\x00", 6}},
        {"receive maximum 0", {(const uint8_t *)"\x20\x06\x00\x00\x03\x21\x00\x00", 8}},
        {"maximum QoS 2", {(const uint8_t *)"\x20\x05\x00\x00\x02\x24\x02", 7}},
        {"maximum packet size 0", {(const uint8_t *)"\x20\x08\x00\x00\x05\x27\x00\x00\x00\x00", 10}},
        {"property twice", {(const uint8_t *)"\x20\x09\x00\x00\x06\x21\x00\x01\x21\x00\x01", 11}},
        {"property of another packet", {(const uint8_t *)"\x20\x05\x00\x00\x02\x01\x01", 7}},
        {"unknown property", {(const uint8_t *)"\x20\x05\x00\x00\x02\x7f\x01", 7}},
        {"property cut off", {(const uint8_t *)"\x20\x05\x00\x00\x02\x21\x00", 7}},
        {"property length beyond the packet", {(const uint8_t *)"\x20\x03\x00\x00\x05", 5}},
        {"PUBLISH QoS 3", {(const uint8_t *)"\x36\x06\x00\x01t\x00\x01\x00", 8}},
        {"PUBLISH id 0", {(const uint8_t *)"\x32\x06\x00\x01t\x00\x00\x00", 8}},
        {"PUBLISH wildcard", {(const uint8_t *)"\x30\x04\x00\x01#\x00", 6}},
        {"PUBLISH topic beyond the packet", {(const uint8_t *)"\x30\x03\x00\x05t", 5}},
        {"PUBLISH topic not UTF-8", {(const uint8_t *)"\x30\x04\x00\x01\xff\x00", 6}},
        {"PUBLISH topic with NUL", {(const uint8_t *)"\x30\x04\x00\x01\x00\x00", 6}},
        {"PUBLISH without topic", {(const uint8_t *)"\x30\x03\x00\x00\x00", 5}},
        {"PUBLISH without property length", {(const uint8_t *)"\x30\x03\x00\x01t", 5}},
        {"subscription identifier 0", {(const uint8_t *)"\x30\x06\x00\x01t\x02\x0b\x00", 8}},
        {"PUBACK id 0", {(const uint8_t *)"\x40\x02\x00\x00", 4}},
        {"PUBACK empty", {(const uint8_t *)"\x40\x00", 2}},
        {"SUBACK without codes", {(const uint8_t *)"\x90\x03\x00\x01\x00", 5}},
        {"DISCONNECT property beyond the packet", {(const uint8_t *)"\xe0\x02\x00\x01", 4}},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        crt_mqtt_decoder d;
        crt_mqtt_packet p;
        bool have;
        int status = decode(&d, cases[i].wire, &p, &have);
        if (status != AWS_ERROR_MQTT5_DECODE_PROTOCOL_ERROR) {
            fail_msg("accepted: %s", cases[i].name);
        }
        crt_fault fault;
        assert_int_not_equal(crt_mqtt_decoder_next(&d, &p, &have, &fault), 0);
        crt_mqtt_decoder_free(&d);
    }
}

static void oversized_packet_is_refused_by_its_header(void **state) {
    crt_mqtt_decoder d;
    crt_mqtt_decoder_init(&d, &crt_mqtt5_codec, 100);
    feed(&d, B("\x30\x64"));
    crt_mqtt_packet p;
    bool have;
    crt_fault fault;
    assert_int_equal(crt_mqtt_decoder_next(&d, &p, &have, &fault), AWS_ERROR_MQTT5_DECODE_PROTOCOL_ERROR);
    assert_int_equal(d.failed_type, CRT_MQTT_PUBLISH);
    crt_mqtt_decoder_free(&d);
}

static void announced_length_reserves_nothing(void **state) {
    crt_mqtt_decoder d;
    crt_mqtt_decoder_init(&d, &crt_mqtt5_codec, CRT_MQTT_PACKET_MAX);
    feed(&d, B("\x30\xff\xff\xff\x7f\x00\x01t\x00"));
    crt_mqtt_packet p;
    bool have;
    crt_fault fault;
    assert_int_equal(crt_mqtt_decoder_next(&d, &p, &have, &fault), 0);
    assert_false(have);
    crt_span space;
    assert_int_equal(crt_mqtt_decoder_space(&d, &space), 0);
    assert_true(d.in.cap < 1024 * 1024);
    crt_mqtt_decoder_free(&d);
}

/* ---- text ---- */

static void text_rules(void **state) {
    assert_true(crt_mqtt_text_valid(B("plain")));
    assert_true(crt_mqtt_text_valid(B("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80")));
    static const char *const bad[] = {
        "\n",       "\x7f",         "\xc2\x85", "\xef\xb7\x90", "\xef\xbf\xbe",     "\xf0\x9f\xbf\xbf",
        "\xc0\x80", "\xed\xa0\x80", "\xe2\x82", "\x80",         "\xf4\x90\x80\x80", "\xe0\x80\x80",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_false(crt_mqtt_text_valid(crt_bytes_str(bad[i])));
    }
    assert_true(crt_mqtt_utf8_valid(B("line\nfeed")));
    assert_false(crt_mqtt_utf8_valid(B("\x00")));
}

static void topic_and_filter_rules(void **state) {
    assert_true(crt_mqtt_topic_valid(B("a//b")) && crt_mqtt_topic_valid(B("/")) && crt_mqtt_topic_valid(B("$SYS/x")));
    assert_false(crt_mqtt_topic_valid(B("")) || crt_mqtt_topic_valid(B("a/+")) || crt_mqtt_topic_valid(B("#")));
    static const char *const good[] = {"#", "+", "a/+/b", "a/#", "+/+", "/", "$share/g/a/#", "$shared"};
    static const char *const bad[] = {"", "a+", "+a", "a#", "#/a", "a/#/b", "a/b#", "$share/", "$share/g", "$share/g/",
                                      "$share//a", "$share/+/a", "$share/#"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_true(crt_mqtt_filter_valid(crt_bytes_str(good[i])));
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_false(crt_mqtt_filter_valid(crt_bytes_str(bad[i])));
    }
}

/* ---- checks of outgoing packets ---- */

static void publish_checks(void **state) {
    const int bad = AWS_ERROR_MQTT5_PUBLISH_OPTIONS_VALIDATION;
    crt_fault fault;
    crt_mqtt_publish m = {.topic = B("t"), .payload = B("line\n")};
    assert_int_equal(crt_mqtt5_check_publish(&m, &fault), 0);
    m.present = crt_mqtt_bit(CRT_MQTT_PAYLOAD_FORMAT);
    m.payload_format = 1;
    assert_int_equal(crt_mqtt5_check_publish(&m, &fault), bad);
    m.payload_format = 2;
    assert_int_equal(crt_mqtt5_check_publish(&m, &fault), bad);
    m.present = crt_mqtt_bit(CRT_MQTT_TOPIC_ALIAS);
    m.topic_alias = 0;
    assert_int_equal(crt_mqtt5_check_publish(&m, &fault), bad);
    m.present = crt_mqtt_bit(CRT_MQTT_RESPONSE_TOPIC);
    m.response_topic = B("+");
    assert_int_equal(crt_mqtt5_check_publish(&m, &fault), bad);
    m.present = 0;
    m.qos = 3;
    assert_int_equal(crt_mqtt5_check_publish(&m, &fault), bad);
    m.qos = 0;
    crt_mqtt_user_property user = {B("\n"), B("v")};
    m.user = (crt_mqtt_user_properties){&user, 1};
    assert_int_equal(crt_mqtt5_check_publish(&m, &fault), AWS_ERROR_MQTT5_USER_PROPERTY_VALIDATION);
}

static void subscribe_checks(void **state) {
    const int bad = AWS_ERROR_MQTT5_SUBSCRIBE_OPTIONS_VALIDATION;
    crt_fault fault;
    crt_mqtt_subscription sub = {.topic_filter = B("a"), .qos = 1};
    crt_mqtt_subscribe s = {.subscriptions = &sub, .count = 1};
    assert_int_equal(crt_mqtt5_check_subscribe(&s, &fault), 0);
    sub.qos = 2;
    assert_int_equal(crt_mqtt5_check_subscribe(&s, &fault), bad);
    sub.qos = 0;
    sub.retain_handling = 3;
    assert_int_equal(crt_mqtt5_check_subscribe(&s, &fault), bad);
    sub.retain_handling = 0;
    sub.no_local = true;
    sub.topic_filter = B("$share/g/a");
    assert_int_equal(crt_mqtt5_check_subscribe(&s, &fault), bad);
    s.count = 0;
    assert_int_equal(crt_mqtt5_check_subscribe(&s, &fault), bad);
}

int main(void) {
    crt_mqtt_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(connect_minimal),
        cmocka_unit_test(connect_full),
        cmocka_unit_test(publish_variants),
        cmocka_unit_test(subscribe_and_unsubscribe),
        cmocka_unit_test(small_packets),
        cmocka_unit_test(too_long_to_encode),
        cmocka_unit_test(connack_with_every_property),
        cmocka_unit_test(publish_with_every_property),
        cmocka_unit_test(copies_outlive_the_decoder),
        cmocka_unit_test(connect_copy_carries_the_will),
        cmocka_unit_test(acks),
        cmocka_unit_test(disconnects),
        cmocka_unit_test(split_at_every_byte),
        cmocka_unit_test(malformed_packets),
        cmocka_unit_test(oversized_packet_is_refused_by_its_header),
        cmocka_unit_test(announced_length_reserves_nothing),
        cmocka_unit_test(text_rules),
        cmocka_unit_test(topic_and_filter_rules),
        cmocka_unit_test(publish_checks),
        cmocka_unit_test(subscribe_checks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
