/*
 * Operations of a client: the queue, packet identifiers, acknowledgements, what survives a lost connection.
 */
#include "client_internal.h"

enum { INCOMPLETE_COUNT, INCOMPLETE_SIZE, UNACKED_COUNT, UNACKED_SIZE };

/* Stands in the identifier table for an operation that timed out: its identifier (and for a publish its slot of
   the receive maximum) stays taken until the late acknowledgement or the end of the connection. */
static char late_publish, late_other;

/* ---- lists ---- */

static void append(crt_mqtt_oplist *list, crt_mqtt_op *op) {
    op->next = NULL;
    op->prev = list->last;
    *(list->last ? &list->last->next : &list->first) = op;
    list->last = op;
}

static void unlink_op(crt_mqtt_oplist *list, crt_mqtt_op *op) {
    *(op->prev ? &op->prev->next : &list->first) = op->next;
    *(op->next ? &op->next->prev : &list->last) = op->prev;
}

static void move_all(crt_mqtt_oplist *to, crt_mqtt_oplist *from) {
    while (from->first) {
        crt_mqtt_op *op = from->first;
        unlink_op(from, op);
        append(to, op);
    }
}

/* ---- completing ---- */

static bool is_publish(const crt_mqtt_op *op) {
    return op->packet.type == CRT_MQTT_PUBLISH;
}

static bool is_qos1(const crt_mqtt_op *op) {
    return is_publish(op) && op->packet.as.publish.qos > 0;
}

static void count(crt_mqtt_client *c, int which, int64_t change) {
    __atomic_fetch_add(&c->statistics[which], (uint64_t)change, __ATOMIC_RELAXED);
}

void crt_mqtt_session_count(crt_mqtt_client *c, crt_mqtt_op *op) {
    count(c, INCOMPLETE_COUNT, 1);
    count(c, INCOMPLETE_SIZE, (int64_t)op->size);
}

void crt_mqtt_client_statistics(const crt_mqtt_client *c, crt_mqtt_statistics *out) {
    out->incomplete_count = __atomic_load_n(&c->statistics[INCOMPLETE_COUNT], __ATOMIC_RELAXED);
    out->incomplete_size = __atomic_load_n(&c->statistics[INCOMPLETE_SIZE], __ATOMIC_RELAXED);
    out->unacked_count = __atomic_load_n(&c->statistics[UNACKED_COUNT], __ATOMIC_RELAXED);
    out->unacked_size = __atomic_load_n(&c->statistics[UNACKED_SIZE], __ATOMIC_RELAXED);
}

static void count_sent(crt_mqtt_client *c, crt_mqtt_op *op) {
    if (!op->sent) {
        op->sent = true;
        count(c, UNACKED_COUNT, 1);
        count(c, UNACKED_SIZE, (int64_t)op->size);
    }
}

/* The operation is in no list any more and gives up its identifier. */
static void complete(crt_mqtt_client *c, crt_mqtt_op *op, const crt_fault *fault, const crt_mqtt_ack *ack) {
    static const crt_fault success = {0};
    if (op->packet_id && crt_mqtt_ids_get(&c->ids, op->packet_id) == op) {
        crt_mqtt_ids_drop(&c->ids, op->packet_id);
    }
    count(c, INCOMPLETE_COUNT, -1);
    count(c, INCOMPLETE_SIZE, -(int64_t)op->size);
    if (op->sent) {
        count(c, UNACKED_COUNT, -1);
        count(c, UNACKED_SIZE, -(int64_t)op->size);
    }
    op->done(op, fault ? fault : &success, ack);
}

static void fail_op(crt_mqtt_client *c, crt_mqtt_op *op, int code, const char *why) {
    crt_fault fault;
    if (is_publish(op)) {
        crt_bytes topic = op->packet.as.publish.topic;
        crt_fail(&fault, code, "publish to '%.*s': %s", (int)(topic.len < 100 ? topic.len : 100),
                 (const char *)topic.ptr, why);
    } else {
        bool subscribes = op->packet.type == CRT_MQTT_SUBSCRIBE;
        crt_bytes filter = subscribes ? op->packet.as.subscribe.subscriptions[0].topic_filter
                                      : op->packet.as.unsubscribe.topic_filters[0];
        crt_fail(&fault, code, "%s '%.*s': %s", subscribes ? "subscribe to" : "unsubscribe from",
                 (int)(filter.len < 100 ? filter.len : 100), (const char *)filter.ptr, why);
    }
    complete(c, op, &fault, NULL);
}

static void fail_list(crt_mqtt_client *c, crt_mqtt_oplist *list, int code, const char *why) {
    while (list->first) {
        crt_mqtt_op *op = list->first;
        unlink_op(list, op);
        fail_op(c, op, code, why);
    }
}

static void fail_by_policy(crt_mqtt_client *c, crt_mqtt_op *op) {
    fail_op(c, op, AWS_ERROR_MQTT5_OPERATION_FAILED_DUE_TO_OFFLINE_QUEUE_POLICY,
            "not connected, and offline_queue_behavior does not keep it");
}

/* ---- offline policy ---- */

static bool is_acceptable_offline(const crt_mqtt_client *c, const crt_mqtt_op *op) {
    switch (c->options.offline) {
    case CRT_MQTT_FAIL_ALL:
        return false;
    case CRT_MQTT_FAIL_NON_QOS1:
        return is_qos1(op);
    default:
        return !is_publish(op) || is_qos1(op);
    }
}

static void filter_by_policy(crt_mqtt_client *c, crt_mqtt_oplist *list) {
    crt_mqtt_oplist rejected = {NULL, NULL};
    for (crt_mqtt_op *op = list->first, *next; op; op = next) {
        next = op->next;
        if (!is_acceptable_offline(c, op)) {
            unlink_op(list, op);
            append(&rejected, op);
        }
    }
    while (rejected.first) {
        crt_mqtt_op *op = rejected.first;
        unlink_op(&rejected, op);
        fail_by_policy(c, op);
    }
}

void crt_mqtt_session_submit(crt_mqtt_client *c, crt_mqtt_op *op) {
    if (op->size == 0) {
        fail_op(c, op, AWS_ERROR_MQTT5_PACKET_VALIDATION, "larger than an MQTT packet can be");
        return;
    }
    if (c->state != STATE_CONNECTED && !is_acceptable_offline(c, op)) {
        fail_by_policy(c, op);
        return;
    }
    append(&c->queue, op);
    if (c->state == STATE_CONNECTED) {
        crt_mqtt_transfer_pump(c);
    }
}

/* ---- connections come and go ---- */

void crt_mqtt_session_disconnected(crt_mqtt_client *c) {
    crt_timer_stop(&c->ack_timer);
    crt_timer_stop(&c->rate_timer);
    c->unacked_publishes = 0;
    crt_mqtt_ids_drop_all(&c->ids, &late_publish);
    crt_mqtt_ids_drop_all(&c->ids, &late_other);

    /* What had been sent, in that order: this connection's, then what it did not get to send again. */
    move_all(&c->held, &c->inflight);
    for (crt_mqtt_op *op = c->held.first; op; op = op->next) {
        op->deadline_ms = 0;
    }
    while (c->queue.first && c->queue.first->sent) {
        crt_mqtt_op *op = c->queue.first;
        unlink_op(&c->queue, op);
        append(&c->held, op);
    }
    crt_mqtt_oplist rejected = c->flushing;
    c->flushing = (crt_mqtt_oplist){NULL, NULL};
    for (crt_mqtt_op *op = c->held.first, *next; op; op = next) {
        next = op->next;
        if (!is_publish(op)) {
            crt_mqtt_ids_drop(&c->ids, op->packet_id); /* sent again, it is a new request */
            op->packet_id = 0;
            if (!is_acceptable_offline(c, op)) {
                unlink_op(&c->held, op);
                append(&rejected, op);
            }
        }
    }
    while (rejected.first) {
        crt_mqtt_op *op = rejected.first;
        unlink_op(&rejected, op);
        fail_by_policy(c, op);
    }
    filter_by_policy(c, &c->queue);
}

void crt_mqtt_session_connected(crt_mqtt_client *c) {
    crt_mqtt_oplist again = {NULL, NULL};
    if (c->settings.rejoined_session) {
        /* M5 4.4: unacknowledged publishes first, in their order */
        for (crt_mqtt_op *op = c->held.first, *next; op; op = next) {
            next = op->next;
            if (is_publish(op)) {
                unlink_op(&c->held, op);
                append(&again, op);
            }
        }
    } else {
        filter_by_policy(c, &c->held);
    }
    move_all(&again, &c->held);
    move_all(&again, &c->queue);
    c->queue = again;

    uint64_t now = crt_loop_now_ms(c->loop);
    crt_mqtt_bucket_init(&c->publish_rate, 100, 100, now);
    crt_mqtt_bucket_init(&c->byte_rate, 512 * 1024, 512 * 1024, now);
}

void crt_mqtt_session_fail_all(crt_mqtt_client *c, const crt_fault *fault) {
    fail_list(c, &c->held, fault->code, "the client was stopped");
    fail_list(c, &c->queue, fault->code, "the client was stopped");
}

/* ---- sending ---- */

/* 0 or why this operation cannot be sent on this connection at all. */
static int check_against_settings(const crt_mqtt_client *c, const crt_mqtt_op *op, const char **why) {
    if (is_publish(op)) {
        const crt_mqtt_publish *m = &op->packet.as.publish;
        if (m->qos > c->settings.maximum_qos) {
            *why = "above the server's Maximum QoS, or QoS 2, which this client does not send";
            return AWS_ERROR_MQTT5_PUBLISH_OPTIONS_VALIDATION;
        }
        if (m->retain && !c->settings.retain_available) {
            *why = "the server does not retain messages";
            return AWS_ERROR_MQTT5_PUBLISH_OPTIONS_VALIDATION;
        }
    }
    return 0;
}

/* Replaces topic and alias of `m`, a copy, by what goes on the wire. */
static int resolve_alias(crt_mqtt_client *c, crt_mqtt_publish *m) {
    bool given = crt_mqtt_has(m->present, CRT_MQTT_TOPIC_ALIAS);
    m->present &= ~crt_mqtt_bit(CRT_MQTT_TOPIC_ALIAS);
    if (c->options.outbound_alias == CRT_MQTT_ALIAS_MANUAL && given) {
        m->present |= crt_mqtt_bit(CRT_MQTT_TOPIC_ALIAS);
        return crt_mqtt_aliases_manual(&c->outbound, m);
    }
    if (c->options.outbound_alias == CRT_MQTT_ALIAS_LRU && c->outbound.capacity) {
        return crt_mqtt_aliases_lru(&c->outbound, m);
    }
    return 0;
}

static int encode_limited(crt_mqtt_client *c, const crt_mqtt_packet *packet) {
    size_t before = crt_buf_len(&c->out);
    int status = c->options.codec->encode(packet, &c->out);
    if (status == 0 && crt_buf_len(&c->out) - before > c->settings.maximum_packet_size) {
        c->out.end = c->out.start + before;
        return AWS_ERROR_MQTT5_PACKET_VALIDATION;
    }
    return status;
}

static int encode_publish(crt_mqtt_client *c, crt_mqtt_op *op, const char **why) {
    crt_mqtt_packet wire = op->packet;
    crt_mqtt_publish *m = &wire.as.publish;
    m->packet_id = op->packet_id;
    m->dup = op->sent;
    *why = "Topic Alias above the server's maximum, or out of memory";
    int status = resolve_alias(c, m);
    if (status) {
        return status;
    }
    *why = "larger than the server's Maximum Packet Size, or out of memory";
    status = encode_limited(c, &wire);
    if (status && crt_mqtt_has(m->present, CRT_MQTT_TOPIC_ALIAS)) {
        crt_mqtt_aliases_forget(&c->outbound, m->topic_alias); /* the server was never told */
    }
    return status;
}

static int encode_op(crt_mqtt_client *c, crt_mqtt_op *op, const char **why) {
    int status = check_against_settings(c, op, why);
    if (status) {
        return status;
    }
    bool acked = !is_publish(op) || is_qos1(op);
    if (acked && op->packet_id == 0) {
        *why = "no packet identifier is free";
        status = crt_mqtt_ids_take(&c->ids, op, &op->packet_id);
        if (status) {
            return status;
        }
    }
    if (is_publish(op)) {
        return encode_publish(c, op, why);
    }
    *(op->packet.type == CRT_MQTT_SUBSCRIBE ? &op->packet.as.subscribe.packet_id
                                            : &op->packet.as.unsubscribe.packet_id) = op->packet_id;
    *why = "larger than the server's Maximum Packet Size, or out of memory";
    return encode_limited(c, &op->packet);
}

/* The AWS IoT Core limits: true when `op` has to wait; the timer then wakes the queue. */
static bool is_rate_limited(crt_mqtt_client *c, const crt_mqtt_op *op) {
    if (!c->options.iot_core_limits) {
        return false;
    }
    uint64_t now = crt_loop_now_ms(c->loop);
    uint64_t wait = crt_mqtt_bucket_wait(&c->byte_rate, op->size, now);
    if (is_publish(op)) {
        uint64_t publish_wait = crt_mqtt_bucket_wait(&c->publish_rate, 1, now);
        wait = publish_wait > wait ? publish_wait : wait;
    }
    if (wait) {
        crt_timer_start(&c->rate_timer, wait);
        return true;
    }
    crt_mqtt_bucket_take(&c->byte_rate, op->size);
    if (is_publish(op)) {
        crt_mqtt_bucket_take(&c->publish_rate, 1);
    }
    return false;
}

/* The head of the queue blocks all behind it, so that the order of submission is the order on the wire. */
static bool is_blocked(crt_mqtt_client *c, const crt_mqtt_op *op) {
    return (is_qos1(op) && c->unacked_publishes >= c->settings.receive_maximum) || is_rate_limited(c, op);
}

static void wait_for_ack(crt_mqtt_client *c, crt_mqtt_op *op) {
    uint64_t timeout_ms = (uint64_t)c->options.ack_timeout_secs * 1000;
    op->deadline_ms = crt_loop_now_ms(c->loop) + timeout_ms;
    if (!c->inflight.first && timeout_ms) {
        crt_timer_start(&c->ack_timer, timeout_ms);
    }
    append(&c->inflight, op);
    if (is_qos1(op)) {
        c->unacked_publishes++;
    }
}

void crt_mqtt_session_fill(crt_mqtt_client *c, size_t limit) {
    while (c->queue.first && crt_buf_len(&c->out) < limit && !is_blocked(c, c->queue.first)) {
        crt_mqtt_op *op = c->queue.first;
        const char *why = "";
        unlink_op(&c->queue, op);
        int status = encode_op(c, op, &why);
        if (status) {
            fail_op(c, op, status, why);
            continue;
        }
        count_sent(c, op);
        if (is_publish(op) && !is_qos1(op)) {
            append(&c->flushing, op);
        } else {
            wait_for_ack(c, op);
        }
    }
}

void crt_mqtt_session_flushed(crt_mqtt_client *c) {
    crt_mqtt_oplist done = c->flushing;
    c->flushing = (crt_mqtt_oplist){NULL, NULL};
    while (done.first) {
        crt_mqtt_op *op = done.first;
        unlink_op(&done, op);
        complete(c, op, NULL, NULL);
    }
}

/* ---- acknowledgements ---- */

static size_t codes_expected(const crt_mqtt_op *op) {
    return op->packet.type == CRT_MQTT_SUBSCRIBE     ? op->packet.as.subscribe.count
           : op->packet.type == CRT_MQTT_UNSUBSCRIBE ? op->packet.as.unsubscribe.count
                                                     : 1;
}

static int acknowledged_type(int ack_type) {
    return ack_type == CRT_MQTT_PUBACK   ? CRT_MQTT_PUBLISH
           : ack_type == CRT_MQTT_SUBACK ? CRT_MQTT_SUBSCRIBE
                                         : CRT_MQTT_UNSUBSCRIBE;
}

static void late_ack(crt_mqtt_client *c, int ack_type, uint16_t id, const void *what) {
    if (what == &late_publish && ack_type == CRT_MQTT_PUBACK) {
        c->unacked_publishes--;
        crt_mqtt_ids_drop(&c->ids, id);
        crt_mqtt_transfer_pump(c);
    } else if (what == &late_other && ack_type != CRT_MQTT_PUBACK) {
        crt_mqtt_ids_drop(&c->ids, id);
    }
}

void crt_mqtt_session_ack(crt_mqtt_client *c, const crt_mqtt_packet *packet) {
    const crt_mqtt_ack *ack = &packet->as.ack;
    void *what = crt_mqtt_ids_get(&c->ids, ack->packet_id);
    if (!what || what == &late_publish || what == &late_other) {
        late_ack(c, packet->type, ack->packet_id, what);
        return;
    }
    crt_mqtt_op *op = what;
    /* deadline 0: not sent on this connection, so that nothing can be acknowledged yet */
    if (op->packet.type != acknowledged_type(packet->type) || op->deadline_ms == 0) {
        return;
    }
    unlink_op(&c->inflight, op);
    if (is_publish(op)) {
        if (c->unacked_publishes-- == c->settings.receive_maximum) {
            crt_mqtt_transfer_pump(c);
        }
    }
    if (ack->reason_codes.len != codes_expected(op)) {
        crt_fault fault;
        crt_mqtt_connection_fault(c, &fault, AWS_ERROR_MQTT5_DECODE_PROTOCOL_ERROR,
                                  "an acknowledgement whose number of reason codes is not that of its request");
        complete(c, op, &fault, NULL);
        crt_mqtt_connection_end(c, &fault, -1);
        return;
    }
    complete(c, op, NULL, ack);
}

static void on_ack_timeout(crt_timer *timer) {
    crt_mqtt_client *c = CRT_CONTAINER(timer, crt_mqtt_client, ack_timer);
    uint64_t now = crt_loop_now_ms(c->loop);
    while (c->inflight.first && c->inflight.first->deadline_ms <= now) {
        crt_mqtt_op *op = c->inflight.first;
        unlink_op(&c->inflight, op);
        crt_mqtt_ids_replace(&c->ids, op->packet_id, is_publish(op) ? &late_publish : &late_other);
        fail_op(c, op, AWS_ERROR_MQTT_TIMEOUT, "no acknowledgement within ack_timeout_sec");
    }
    if (c->inflight.first) {
        crt_timer_start(timer, c->inflight.first->deadline_ms - now);
    }
}

static void on_rate(crt_timer *timer) {
    crt_mqtt_transfer_pump(CRT_CONTAINER(timer, crt_mqtt_client, rate_timer));
}

void crt_mqtt_session_init(crt_mqtt_client *c) {
    crt_timer_init(&c->ack_timer, c->loop, on_ack_timeout);
    crt_timer_init(&c->rate_timer, c->loop, on_rate);
}

void crt_mqtt_session_free(crt_mqtt_client *c) {
    crt_mqtt_ids_free(&c->ids);
    crt_mqtt_aliases_free(&c->outbound);
    crt_mqtt_aliases_free(&c->inbound);
}
