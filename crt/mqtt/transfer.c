/*
 * Packets to and from the stream. What is to be sent in a loop turn is encoded back to back into one buffer and
 * handed over as one write; while that is under way the next batch gathers in the queues.
 */
#include "client_internal.h"

enum {
    BATCH_SIZE = 256 * 1024,     /* no further operation is encoded into a batch of this size */
    KEEP_OUT_SIZE = 1024 * 1024, /* a buffer that one large packet grew is not kept for ever */
};

/* ---- sending ---- */

static int encode_pubacks(crt_mqtt_client *c) {
    static const uint8_t success = 0;
    crt_mqtt_packet packet = {.type = CRT_MQTT_PUBACK};
    packet.as.ack.reason_codes = crt_bytes_of(&success, 1);
    for (size_t i = 0; i < c->puback_count; i++) {
        packet.as.ack.packet_id = c->pubacks[i];
        int status = c->options.codec->encode(&packet, &c->out);
        if (status) {
            return status;
        }
    }
    c->puback_count = 0;
    return 0;
}

/* CONNECT, acknowledgements, PINGREQ and DISCONNECT overtake the operations. */
static int encode_control(crt_mqtt_client *c) {
    int status = 0;
    if (c->connect_due) {
        c->connect_due = false;
        status = c->options.codec->encode(&c->connect->packet, &c->out);
    }
    if (status == 0 && c->puback_count) {
        status = encode_pubacks(c);
    }
    if (status == 0 && c->ping_due) {
        static const crt_mqtt_packet ping = {.type = CRT_MQTT_PINGREQ};
        c->ping_due = false;
        status = c->options.codec->encode(&ping, &c->out);
    }
    if (status == 0 && c->goodbye) {
        status = c->options.codec->encode(&c->goodbye->packet, &c->out);
        crt_free(c->goodbye);
        c->goodbye = NULL;
    }
    return status;
}

static void flush(crt_mqtt_client *c) {
    bool sending = c->state == STATE_MQTT_CONNECT || c->state == STATE_CONNECTED || c->state == STATE_GOODBYE;
    if (!sending || c->writing) {
        return;
    }
    int status = encode_control(c);
    if (status) {
        crt_fault fault;
        crt_mqtt_connection_fault(c, &fault, status, "cannot encode a packet");
        crt_mqtt_connection_end(c, &fault, -1);
        return;
    }
    if (c->state == STATE_CONNECTED) {
        crt_mqtt_session_fill(c, BATCH_SIZE);
    }
    if (crt_buf_len(&c->out) == 0) {
        if (c->state == STATE_GOODBYE) {
            crt_mqtt_connection_close(c);
        }
        return;
    }
    c->writing = true;
    c->write.data = crt_buf_view(&c->out);
    c->write.fd = -1;
    crt_stream_write(c->stream, &c->write);
}

static void on_pump(crt_task *task, int status) {
    crt_mqtt_client *c = CRT_CONTAINER(task, crt_mqtt_client, pump_task);
    c->pump_due = false;
    flush(c);
    crt_mqtt_client_unref(c);
}

void crt_mqtt_transfer_pump(crt_mqtt_client *c) {
    if (!c->pump_due) {
        c->pump_due = true;
        crt_ref_inc(&c->refs);
        crt_loop_defer(c->loop, &c->pump_task);
    }
}

static void on_written(crt_write *write, int status) {
    crt_mqtt_client *c = CRT_CONTAINER(write, crt_mqtt_client, write);
    c->writing = false;
    crt_buf_clear(&c->out);
    if (c->out.cap > KEEP_OUT_SIZE) {
        crt_buf_free(&c->out);
    }
    if (status) {
        return; /* the stream is closing, on_closed says why */
    }
    crt_mqtt_session_flushed(c);
    flush(c);
}

void crt_mqtt_transfer_puback(crt_mqtt_client *c, uint64_t ack) {
    uint16_t id = (uint16_t)ack;
    uint64_t bit = (uint64_t)1 << (id % 64);
    if (ack >> 16 != c->attempt || c->state != STATE_CONNECTED || !(c->ack_owed[id / 64] & bit)) {
        return;
    }
    if (c->puback_count == c->puback_cap) {
        size_t cap = c->puback_cap ? c->puback_cap * 2 : 64;
        uint16_t *larger = crt_realloc(c->pubacks, cap * sizeof(*larger));
        if (!larger) {
            crt_fault fault;
            crt_mqtt_connection_fault(c, &fault, AWS_ERROR_OOM, "cannot queue an acknowledgement");
            crt_mqtt_connection_end(c, &fault, -1);
            return;
        }
        c->pubacks = larger;
        c->puback_cap = cap;
    }
    c->ack_owed[id / 64] &= ~bit;
    c->pubacks[c->puback_count++] = id;
    crt_mqtt_transfer_pump(c);
}

/* ---- keep-alive (M5 3.1.2.10): a PINGREQ per interval, whatever else is sent ---- */

static uint64_t ping_deadline_ms(const crt_mqtt_client *c) {
    uint64_t half = (uint64_t)c->settings.keep_alive_secs * 500;
    return c->options.ping_timeout_ms < half ? c->options.ping_timeout_ms : half;
}

static void on_ping_timer(crt_timer *timer) {
    crt_mqtt_client *c = CRT_CONTAINER(timer, crt_mqtt_client, ping_timer);
    if (!c->ping_outstanding) {
        c->ping_outstanding = true;
        c->ping_due = true;
        c->next_ping_ms += (uint64_t)c->settings.keep_alive_secs * 1000;
        crt_timer_start(timer, ping_deadline_ms(c));
        crt_mqtt_transfer_pump(c);
        return;
    }
    if (c->paused) { /* the answer may be there, unread at our own wish */
        crt_timer_start(timer, ping_deadline_ms(c));
        return;
    }
    crt_fault fault;
    crt_mqtt_connection_fault(c, &fault, AWS_ERROR_MQTT5_PING_RESPONSE_TIMEOUT, "the server did not answer a PINGREQ");
    crt_mqtt_connection_end(c, &fault, 0x8D);
}

static void wait_for_next_ping(crt_mqtt_client *c) {
    uint64_t now = crt_loop_now_ms(c->loop);
    crt_timer_start(&c->ping_timer, c->next_ping_ms > now ? c->next_ping_ms - now : 0);
}

void crt_mqtt_keep_alive_start(crt_mqtt_client *c) {
    c->ping_outstanding = false;
    if (c->settings.keep_alive_secs) {
        c->next_ping_ms = crt_loop_now_ms(c->loop) + (uint64_t)c->settings.keep_alive_secs * 1000;
        wait_for_next_ping(c);
    }
}

static void on_pingresp(crt_mqtt_client *c) {
    if (c->ping_outstanding) {
        c->ping_outstanding = false;
        wait_for_next_ping(c);
    }
}

/* ---- receiving ---- */

static void refuse(crt_mqtt_client *c, const char *what) {
    crt_fault fault;
    crt_mqtt_connection_fault(c, &fault, AWS_ERROR_MQTT5_DECODE_PROTOCOL_ERROR, what);
    crt_mqtt_connection_end(c, &fault, 0x82);
}

static void on_publish(crt_mqtt_client *c, crt_mqtt_publish *m) {
    if (crt_mqtt_has(m->present, CRT_MQTT_TOPIC_ALIAS) && crt_mqtt_aliases_inbound(&c->inbound, m)) {
        refuse(c, "PUBLISH with a topic alias that is unknown or above our maximum");
        return;
    }
    uint64_t ack = 0;
    if (m->qos) {
        c->ack_owed[m->packet_id / 64] |= (uint64_t)1 << (m->packet_id % 64);
        ack = c->attempt << 16 | m->packet_id;
    }
    c->options.handler->on_publish(c->options.user, m, ack);
}

static void on_disconnect(crt_mqtt_client *c, const crt_mqtt_packet *packet) {
    crt_fault fault;
    const crt_mqtt_disconnect *d = &packet->as.disconnect;
    char what[CRT_MQTT_REASON_SIZE];
    crt_mqtt_reason(what, sizeof(what), "the server sent DISCONNECT", d->reason_code, d->present, d->reason_string);
    c->last_word = crt_mqtt_own(packet);
    crt_mqtt_connection_fault(c, &fault, AWS_ERROR_MQTT5_DISCONNECT_RECEIVED, what);
    crt_mqtt_connection_end(c, &fault, -1);
}

static void dispatch_connected(crt_mqtt_client *c, crt_mqtt_packet *packet) {
    switch (packet->type) {
    case CRT_MQTT_PUBLISH:
        on_publish(c, &packet->as.publish);
        return;
    case CRT_MQTT_PUBACK:
    case CRT_MQTT_SUBACK:
    case CRT_MQTT_UNSUBACK:
        crt_mqtt_session_ack(c, packet);
        return;
    case CRT_MQTT_PINGRESP:
        on_pingresp(c);
        return;
    case CRT_MQTT_DISCONNECT:
        on_disconnect(c, packet);
        return;
    default:
        return; /* a second CONNACK: harmless */
    }
}

static void on_decode_error(crt_mqtt_client *c, const crt_fault *cause) {
    crt_fault fault;
    crt_mqtt_connection_fault(c, &fault, cause->code, cause->detail);
    /* A server whose very CONNACK cannot be read is not an MQTT 5 peer to say goodbye to. */
    bool silent = c->state == STATE_MQTT_CONNECT && c->decoder.failed_type == CRT_MQTT_CONNACK;
    crt_mqtt_connection_end(c, &fault, silent ? -1 : 0x82);
}

static bool is_listening(const crt_mqtt_client *c) {
    return c->state == STATE_MQTT_CONNECT || c->state == STATE_CONNECTED;
}

static void on_space(void *user, crt_span *space) {
    crt_mqtt_client *c = user;
    c->paused = c->options.handler->may_read && !c->options.handler->may_read(c->options.user);
    if (c->paused) {
        *space = (crt_span){NULL, 0};
        return;
    }
    if (crt_mqtt_decoder_space(&c->decoder, space)) {
        crt_fault fault;
        *space = (crt_span){NULL, 0};
        crt_mqtt_connection_fault(c, &fault, AWS_ERROR_OOM, "no memory for a received packet");
        crt_mqtt_connection_end(c, &fault, -1);
    }
}

static void on_data(void *user, size_t n) {
    crt_mqtt_client *c = user;
    crt_mqtt_decoder_commit(&c->decoder, n);
    while (is_listening(c)) {
        crt_mqtt_packet packet;
        crt_fault fault = {0};
        bool have;
        if (crt_mqtt_decoder_next(&c->decoder, &packet, &have, &fault)) {
            on_decode_error(c, &fault);
            return;
        }
        if (!have) {
            return;
        }
        if (c->state == STATE_CONNECTED) {
            dispatch_connected(c, &packet);
        } else if (packet.type == CRT_MQTT_CONNACK) {
            crt_mqtt_connection_connack(c, &packet);
        } else {
            refuse(c, "the server's first packet is not a CONNACK");
        }
    }
    crt_buf_clear(&c->decoder.in); /* what comes after the last word of a connection is not read */
    c->decoder.frame = 0;
}

static void on_closed(void *user, const crt_fault *fault) {
    crt_mqtt_stream_closed(user, fault);
}

const crt_stream_handler crt_mqtt_stream_handler = {on_space, on_data, NULL, on_closed};

/* ---- connections come and go ---- */

void crt_mqtt_transfer_init(crt_mqtt_client *c) {
    c->pump_task.run = on_pump;
    c->write.done = on_written;
    crt_timer_init(&c->ping_timer, c->loop, on_ping_timer);
    crt_mqtt_decoder_init(&c->decoder, c->options.codec, CRT_MQTT_PACKET_MAX);
}

void crt_mqtt_transfer_begin(crt_mqtt_client *c) {
    const crt_mqtt_connect *connect = &c->connect->packet.as.connect;
    bool limited = crt_mqtt_has(connect->present, CRT_MQTT_MAXIMUM_PACKET_SIZE);
    crt_mqtt_decoder_reset(&c->decoder, limited ? connect->maximum_packet_size : CRT_MQTT_PACKET_MAX);
    crt_buf_clear(&c->out);
    memset(c->ack_owed, 0, sizeof(c->ack_owed));
    c->paused = false;
    c->puback_count = 0;
    c->ping_due = false;
    c->connect_due = true;
    crt_mqtt_transfer_pump(c);
}

void crt_mqtt_transfer_end(crt_mqtt_client *c) {
    crt_timer_stop(&c->ping_timer);
    c->connect_due = c->ping_due = false;
    c->puback_count = 0;
    crt_free(c->goodbye);
    c->goodbye = NULL;
}

void crt_mqtt_transfer_free(crt_mqtt_client *c) {
    crt_mqtt_decoder_free(&c->decoder);
    crt_buf_free(&c->out);
    crt_free(c->pubacks);
    crt_free(c->goodbye);
}
