/*
 * MQTT 5 encoder: each packet is laid out once as sizes, then written into memory reserved for exactly that.
 */
#include "mqtt5_codec.h"

#define PROPERTIES_MAX 8

typedef struct property {
    int id;
    uint32_t number;
    crt_bytes bytes;
} property;

/* The properties of one packet in the order they are written; user properties come last. */
typedef struct property_list {
    property items[PROPERTIES_MAX];
    size_t count;
    crt_mqtt_user_properties user;
    size_t size; /* encoded, without the length prefix */
    bool valid;
} property_list;

static size_t varint_size(size_t value) {
    return value < 128 ? 1 : value < 16384 ? 2 : value < 2097152 ? 3 : 4;
}

static size_t value_size(const property *p) {
    switch (crt_mqtt5_kind[p->id]) {
    case KIND_U8:
    case KIND_BOOL:
        return 1;
    case KIND_U16:
        return 2;
    case KIND_U32:
        return 4;
    case KIND_VARINT:
        return varint_size(p->number);
    default:
        return 2 + p->bytes.len;
    }
}

static void list_begin(property_list *list, crt_mqtt_user_properties user) {
    list->count = 0;
    list->user = user;
    list->size = 0;
    list->valid = true;
    for (size_t i = 0; i < user.count; i++) {
        const crt_mqtt_user_property *p = &user.items[i];
        list->valid = list->valid && p->name.len <= UINT16_MAX && p->value.len <= UINT16_MAX;
        list->size += 5 + p->name.len + p->value.len;
    }
}

static void list_add(property_list *list, crt_mqtt_present present, int id, uint32_t number, crt_bytes bytes) {
    if (!crt_mqtt_has(present, id)) {
        return;
    }
    property *p = &list->items[list->count++];
    p->id = id;
    p->number = number;
    p->bytes = bytes;
    list->valid = list->valid && bytes.len <= UINT16_MAX;
    list->size += 1 + value_size(p);
}

static void add_number(property_list *list, crt_mqtt_present present, int id, uint32_t number) {
    list_add(list, present, id, number, crt_bytes_of(NULL, 0));
}

static void add_bytes(property_list *list, crt_mqtt_present present, int id, crt_bytes bytes) {
    list_add(list, present, id, 0, bytes);
}

/* ---- writing: memory has been reserved, `w` walks through it ---- */

static uint8_t *put_u16(uint8_t *w, uint16_t v) {
    w[0] = (uint8_t)(v >> 8);
    w[1] = (uint8_t)v;
    return w + 2;
}

static uint8_t *put_u32(uint8_t *w, uint32_t v) {
    return put_u16(put_u16(w, (uint16_t)(v >> 16)), (uint16_t)v);
}

static uint8_t *put_varint(uint8_t *w, size_t v) {
    do {
        uint8_t byte = v & 0x7F;
        v >>= 7;
        *w++ = v ? byte | 0x80 : byte;
    } while (v);
    return w;
}

static uint8_t *put_raw(uint8_t *w, crt_bytes b) {
    if (b.len) {
        memcpy(w, b.ptr, b.len);
    }
    return w + b.len;
}

static uint8_t *put_text(uint8_t *w, crt_bytes b) {
    return put_raw(put_u16(w, (uint16_t)b.len), b);
}

static uint8_t *put_properties(uint8_t *w, const property_list *list) {
    w = put_varint(w, list->size);
    for (size_t i = 0; i < list->count; i++) {
        const property *p = &list->items[i];
        *w++ = (uint8_t)p->id;
        switch (crt_mqtt5_kind[p->id]) {
        case KIND_U8:
        case KIND_BOOL:
            *w++ = (uint8_t)p->number;
            break;
        case KIND_U16:
            w = put_u16(w, (uint16_t)p->number);
            break;
        case KIND_U32:
            w = put_u32(w, p->number);
            break;
        case KIND_VARINT:
            w = put_varint(w, p->number);
            break;
        default:
            w = put_text(w, p->bytes);
        }
    }
    for (size_t i = 0; i < list->user.count; i++) {
        *w++ = CRT_MQTT_USER_PROPERTY;
        w = put_text(w, list->user.items[i].name);
        w = put_text(w, list->user.items[i].value);
    }
    return w;
}

/* ---- layouts ---- */

/* What a packet consists of before it is written. remaining SIZE_MAX: cannot be encoded. */
typedef struct layout {
    size_t remaining;
    property_list properties;
    property_list will; /* CONNECT only */
} layout;

static size_t with_prefix(const property_list *list) {
    return varint_size(list->size) + list->size;
}

static void finish(layout *l, bool valid) {
    if (!valid || !l->properties.valid || l->remaining > CRT_MQTT_REMAINING_MAX) {
        l->remaining = SIZE_MAX;
    }
}

static void lay_connect(const crt_mqtt_connect *c, layout *l) {
    property_list *p = &l->properties;
    list_begin(p, c->user);
    add_number(p, c->present, CRT_MQTT_SESSION_EXPIRY, c->session_expiry);
    add_number(p, c->present, CRT_MQTT_RECEIVE_MAXIMUM, c->receive_maximum);
    add_number(p, c->present, CRT_MQTT_MAXIMUM_PACKET_SIZE, c->maximum_packet_size);
    add_number(p, c->present, CRT_MQTT_TOPIC_ALIAS_MAXIMUM, c->topic_alias_maximum);
    add_number(p, c->present, CRT_MQTT_REQUEST_RESPONSE_INFO, c->request_response_info);
    add_number(p, c->present, CRT_MQTT_REQUEST_PROBLEM_INFO, c->request_problem_info);
    l->remaining = 10 + with_prefix(p) + 2 + c->client_id.len;
    bool valid = c->client_id.len <= UINT16_MAX && c->username.len <= UINT16_MAX && c->password.len <= UINT16_MAX;
    if (c->will) {
        const crt_mqtt_publish *w = c->will;
        property_list *wp = &l->will;
        list_begin(wp, w->user);
        add_number(wp, c->present, CRT_MQTT_WILL_DELAY, c->will_delay);
        add_number(wp, w->present, CRT_MQTT_PAYLOAD_FORMAT, w->payload_format);
        add_number(wp, w->present, CRT_MQTT_MESSAGE_EXPIRY, w->message_expiry);
        add_bytes(wp, w->present, CRT_MQTT_CONTENT_TYPE, w->content_type);
        add_bytes(wp, w->present, CRT_MQTT_RESPONSE_TOPIC, w->response_topic);
        add_bytes(wp, w->present, CRT_MQTT_CORRELATION_DATA, w->correlation_data);
        l->remaining += with_prefix(wp) + 2 + w->topic.len + 2 + w->payload.len;
        valid = valid && wp->valid && w->topic.len <= UINT16_MAX && w->payload.len <= UINT16_MAX;
    }
    l->remaining += c->username.ptr ? 2 + c->username.len : 0;
    l->remaining += c->password.ptr ? 2 + c->password.len : 0;
    finish(l, valid);
}

static void lay_publish(const crt_mqtt_publish *m, layout *l) {
    property_list *p = &l->properties;
    list_begin(p, m->user);
    if (m->present) {
        add_number(p, m->present, CRT_MQTT_PAYLOAD_FORMAT, m->payload_format);
        add_number(p, m->present, CRT_MQTT_MESSAGE_EXPIRY, m->message_expiry);
        add_number(p, m->present, CRT_MQTT_TOPIC_ALIAS, m->topic_alias);
        add_bytes(p, m->present, CRT_MQTT_RESPONSE_TOPIC, m->response_topic);
        add_bytes(p, m->present, CRT_MQTT_CORRELATION_DATA, m->correlation_data);
        add_bytes(p, m->present, CRT_MQTT_CONTENT_TYPE, m->content_type);
    }
    l->remaining = 2 + m->topic.len + (m->qos ? 2 : 0) + with_prefix(p) + m->payload.len;
    finish(l, m->topic.len <= UINT16_MAX);
}

static void lay_subscribe(const crt_mqtt_subscribe *s, layout *l) {
    list_begin(&l->properties, s->user);
    add_number(&l->properties, s->present, CRT_MQTT_SUBSCRIPTION_ID, s->subscription_id);
    l->remaining = 2 + with_prefix(&l->properties);
    bool valid = true;
    for (size_t i = 0; i < s->count; i++) {
        l->remaining += 2 + s->subscriptions[i].topic_filter.len + 1;
        valid = valid && s->subscriptions[i].topic_filter.len <= UINT16_MAX;
    }
    finish(l, valid);
}

static void lay_unsubscribe(const crt_mqtt_unsubscribe *u, layout *l) {
    list_begin(&l->properties, u->user);
    l->remaining = 2 + with_prefix(&l->properties);
    bool valid = true;
    for (size_t i = 0; i < u->count; i++) {
        l->remaining += 2 + u->topic_filters[i].len;
        valid = valid && u->topic_filters[i].len <= UINT16_MAX;
    }
    finish(l, valid);
}

static bool puback_is_short(const crt_mqtt_ack *a) {
    return a->reason_codes.ptr[0] == 0 && !crt_mqtt_has(a->present, CRT_MQTT_REASON_STRING) && a->user.count == 0;
}

static void lay_puback(const crt_mqtt_ack *a, layout *l) {
    list_begin(&l->properties, a->user);
    add_bytes(&l->properties, a->present, CRT_MQTT_REASON_STRING, a->reason_string);
    l->remaining = puback_is_short(a) ? 2 : 3 + with_prefix(&l->properties);
    finish(l, true);
}

static void lay_disconnect(const crt_mqtt_disconnect *d, layout *l) {
    property_list *p = &l->properties;
    list_begin(p, d->user);
    add_number(p, d->present, CRT_MQTT_SESSION_EXPIRY, d->session_expiry);
    add_bytes(p, d->present, CRT_MQTT_REASON_STRING, d->reason_string);
    l->remaining = 1 + with_prefix(p);
    finish(l, true);
}

static void lay(const crt_mqtt_packet *packet, layout *l) {
    switch (packet->type) {
    case CRT_MQTT_CONNECT:
        lay_connect(&packet->as.connect, l);
        return;
    case CRT_MQTT_PUBLISH:
        lay_publish(&packet->as.publish, l);
        return;
    case CRT_MQTT_PUBACK:
        lay_puback(&packet->as.ack, l);
        return;
    case CRT_MQTT_SUBSCRIBE:
        lay_subscribe(&packet->as.subscribe, l);
        return;
    case CRT_MQTT_UNSUBSCRIBE:
        lay_unsubscribe(&packet->as.unsubscribe, l);
        return;
    case CRT_MQTT_DISCONNECT:
        lay_disconnect(&packet->as.disconnect, l);
        return;
    case CRT_MQTT_PINGREQ:
        l->remaining = 0;
        return;
    default:
        l->remaining = SIZE_MAX; /* not a packet that a client sends */
    }
}

/* ---- bodies ---- */

static uint8_t *put_connect(uint8_t *w, const crt_mqtt_connect *c, const layout *l) {
    uint8_t flags = c->clean_start ? 0x02 : 0;
    if (c->will) {
        flags |= (uint8_t)(0x04 | c->will->qos << 3 | (c->will->retain ? 0x20 : 0));
    }
    flags |= (c->password.ptr ? 0x40 : 0) | (c->username.ptr ? 0x80 : 0);
    w = put_text(w, crt_bytes_str("MQTT"));
    *w++ = 5;
    *w++ = flags;
    w = put_u16(w, c->keep_alive_secs);
    w = put_properties(w, &l->properties);
    w = put_text(w, c->client_id);
    if (c->will) {
        w = put_properties(w, &l->will);
        w = put_text(w, c->will->topic);
        w = put_text(w, c->will->payload);
    }
    if (c->username.ptr) {
        w = put_text(w, c->username);
    }
    return c->password.ptr ? put_text(w, c->password) : w;
}

static uint8_t *put_publish(uint8_t *w, const crt_mqtt_publish *m, const layout *l) {
    w = put_text(w, m->topic);
    if (m->qos) {
        w = put_u16(w, m->packet_id);
    }
    return put_raw(put_properties(w, &l->properties), m->payload);
}

static uint8_t *put_subscribe(uint8_t *w, const crt_mqtt_subscribe *s, const layout *l) {
    w = put_properties(put_u16(w, s->packet_id), &l->properties);
    for (size_t i = 0; i < s->count; i++) {
        const crt_mqtt_subscription *sub = &s->subscriptions[i];
        w = put_text(w, sub->topic_filter);
        *w++ = (uint8_t)(sub->qos | (sub->no_local ? 4 : 0) | (sub->retain_as_published ? 8 : 0) |
                         sub->retain_handling << 4);
    }
    return w;
}

static uint8_t *put_body(uint8_t *w, const crt_mqtt_packet *packet, const layout *l) {
    switch (packet->type) {
    case CRT_MQTT_CONNECT:
        return put_connect(w, &packet->as.connect, l);
    case CRT_MQTT_PUBLISH:
        return put_publish(w, &packet->as.publish, l);
    case CRT_MQTT_PUBACK:
        w = put_u16(w, packet->as.ack.packet_id);
        if (puback_is_short(&packet->as.ack)) {
            return w;
        }
        *w++ = packet->as.ack.reason_codes.ptr[0];
        return put_properties(w, &l->properties);
    case CRT_MQTT_SUBSCRIBE:
        return put_subscribe(w, &packet->as.subscribe, l);
    case CRT_MQTT_UNSUBSCRIBE:
        w = put_properties(put_u16(w, packet->as.unsubscribe.packet_id), &l->properties);
        for (size_t i = 0; i < packet->as.unsubscribe.count; i++) {
            w = put_text(w, packet->as.unsubscribe.topic_filters[i]);
        }
        return w;
    case CRT_MQTT_DISCONNECT:
        *w++ = packet->as.disconnect.reason_code;
        return put_properties(w, &l->properties);
    default:
        return w;
    }
}

static uint8_t first_byte(const crt_mqtt_packet *packet) {
    uint8_t first = (uint8_t)(packet->type << 4);
    if (packet->type == CRT_MQTT_PUBLISH) {
        const crt_mqtt_publish *m = &packet->as.publish;
        return (uint8_t)(first | (m->dup ? 8 : 0) | m->qos << 1 | (m->retain ? 1 : 0));
    }
    /* M5 2.1.3: these two carry the reserved bits 0010 */
    bool reserved = packet->type == CRT_MQTT_SUBSCRIBE || packet->type == CRT_MQTT_UNSUBSCRIBE;
    return reserved ? first | 2 : first;
}

size_t crt_mqtt5_size(const crt_mqtt_packet *packet) {
    layout l;
    lay(packet, &l);
    return l.remaining == SIZE_MAX ? 0 : 1 + varint_size(l.remaining) + l.remaining;
}

int crt_mqtt5_encode(const crt_mqtt_packet *packet, crt_buf *out) {
    layout l;
    lay(packet, &l);
    if (l.remaining == SIZE_MAX) {
        return AWS_ERROR_MQTT5_ENCODE_FAILURE;
    }
    size_t size = 1 + varint_size(l.remaining) + l.remaining;
    int status = crt_buf_reserve(out, size);
    if (status) {
        return status;
    }
    uint8_t *w = out->ptr + out->end;
    *w++ = first_byte(packet);
    put_body(put_varint(w, l.remaining), packet, &l);
    out->end += size;
    return 0;
}
