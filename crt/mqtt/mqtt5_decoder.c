/*
 * MQTT 5 decoder for the packets a server sends. Every length is checked against what is left of its container;
 * what M5 calls malformed or a protocol error ends in AWS_ERROR_MQTT5_DECODE_PROTOCOL_ERROR.
 */
#include "mqtt5_codec.h"

#include "crt/memory.h"

/* A position in a packet; `bad` sticks, so that a run of reads is checked once at its end. */
typedef struct reader {
    const uint8_t *p;
    size_t left;
    bool bad;
} reader;

static int refuse(crt_fault *fault, const char *packet, const char *rule) {
    return crt_fail(fault, AWS_ERROR_MQTT5_DECODE_PROTOCOL_ERROR, "%s: %s", packet, rule);
}

static const uint8_t *take(reader *r, size_t n) {
    if (r->bad || n > r->left) {
        r->bad = true;
        return NULL;
    }
    const uint8_t *p = r->p;
    r->p += n;
    r->left -= n;
    return p;
}

static uint32_t read_uint(reader *r, size_t bytes) {
    const uint8_t *p = take(r, bytes);
    uint32_t v = 0;
    for (size_t i = 0; p && i < bytes; i++) {
        v = v << 8 | p[i];
    }
    return v;
}

/* M5 1.5.5: at most four bytes, in the shortest form. */
static uint32_t read_varint(reader *r) {
    uint32_t v = 0;
    for (unsigned shift = 0; shift < 28; shift += 7) {
        uint32_t byte = read_uint(r, 1);
        v |= (byte & 0x7F) << shift;
        if (!(byte & 0x80)) {
            r->bad = r->bad || (byte == 0 && shift > 0);
            return v;
        }
    }
    r->bad = true;
    return 0;
}

static crt_bytes read_binary(reader *r) {
    size_t len = read_uint(r, 2);
    const uint8_t *p = take(r, len);
    return crt_bytes_of(p, p ? len : 0);
}

static crt_bytes read_text(reader *r) {
    crt_bytes text = read_binary(r);
    r->bad = r->bad || !crt_mqtt_utf8_valid(text);
    return text;
}

/* ---- properties ---- */

/* Values by identifier; only those whose bit is set in `present` were written. */
typedef struct property_values {
    crt_mqtt_present present;
    uint32_t number[CRT_MQTT_PROPERTY_END];
    crt_bytes bytes[CRT_MQTT_PROPERTY_END];
    crt_mqtt_user_properties user;
    size_t subscription_ids;
} property_values;

/* Room for one more element of a list that grows by doubling. */
static int grow(void **items, size_t *cap, size_t count, size_t item_size) {
    if (count < *cap) {
        return 0;
    }
    size_t wanted = *cap ? *cap * 2 : 8;
    void *larger = crt_realloc(*items, wanted * item_size);
    if (!larger) {
        return AWS_ERROR_OOM;
    }
    *items = larger;
    *cap = wanted;
    return 0;
}

static int read_user_property(crt_mqtt_decoder *d, reader *r, property_values *v) {
    void *items = d->user;
    int status = grow(&items, &d->user_cap, v->user.count, sizeof(*d->user));
    d->user = items;
    if (status) {
        return status;
    }
    crt_mqtt_user_property *p = &d->user[v->user.count++];
    p->name = read_text(r);
    p->value = read_text(r);
    return 0;
}

static int read_subscription_id(crt_mqtt_decoder *d, reader *r, property_values *v) {
    void *items = d->subscription_ids;
    int status = grow(&items, &d->subscription_id_cap, v->subscription_ids, sizeof(*d->subscription_ids));
    d->subscription_ids = items;
    if (status) {
        return status;
    }
    uint32_t id = read_varint(r);
    r->bad = r->bad || id == 0; /* M5 3.3.2.3.8 */
    d->subscription_ids[v->subscription_ids++] = id;
    return 0;
}

static void read_value(reader *r, property_values *v, int id) {
    switch (crt_mqtt5_kind[id]) {
    case KIND_U8:
        v->number[id] = read_uint(r, 1);
        break;
    case KIND_BOOL:
        v->number[id] = read_uint(r, 1);
        r->bad = r->bad || v->number[id] > 1;
        break;
    case KIND_U16:
        v->number[id] = read_uint(r, 2);
        break;
    case KIND_U32:
        v->number[id] = read_uint(r, 4);
        break;
    case KIND_TEXT:
        v->bytes[id] = read_text(r);
        break;
    default:
        v->bytes[id] = read_binary(r);
    }
}

/* Reads a property length and that many bytes of properties. `allowed` has the bits of the packet's properties;
   each but the user property (and PUBLISH's subscription identifier) may occur once (M5 2.2.2.2). */
static int read_properties(crt_mqtt_decoder *d, reader *body, crt_mqtt_present allowed, property_values *v,
                           const char *packet, crt_fault *fault) {
    v->present = 0;
    v->user.count = 0;
    v->subscription_ids = 0;
    size_t len = read_varint(body);
    reader r = {take(body, len), len, false};
    if (body->bad) {
        return refuse(fault, packet, "the properties do not fit the packet");
    }
    while (r.left) {
        int status = 0;
        uint32_t id = read_uint(&r, 1);
        if (id >= CRT_MQTT_PROPERTY_END || !crt_mqtt_has(allowed, (int)id)) {
            return crt_fail(fault, AWS_ERROR_MQTT5_DECODE_PROTOCOL_ERROR, "%s: property %u does not belong here",
                            packet, (unsigned)id);
        }
        if (id == CRT_MQTT_USER_PROPERTY) {
            status = read_user_property(d, &r, v);
        } else if (id == CRT_MQTT_SUBSCRIPTION_ID) {
            status = read_subscription_id(d, &r, v);
        } else if (crt_mqtt_has(v->present, (int)id)) {
            r.bad = true;
        } else {
            read_value(&r, v, (int)id);
        }
        if (status) {
            return crt_fail(fault, status, "%s", packet);
        }
        if (r.bad) {
            return crt_fail(fault, AWS_ERROR_MQTT5_DECODE_PROTOCOL_ERROR, "%s: property %u is malformed or repeated",
                            packet, (unsigned)id);
        }
        v->present |= crt_mqtt_bit((int)id);
    }
    v->user.items = v->user.count ? d->user : NULL;
    return 0;
}

/* ---- packets ---- */

#define BIT(name) ((crt_mqtt_present)1 << CRT_MQTT_##name)
#define CONNACK_PROPERTIES                                                                                     \
    (BIT(SESSION_EXPIRY) | BIT(RECEIVE_MAXIMUM) | BIT(MAXIMUM_QOS) | BIT(RETAIN_AVAILABLE) |                   \
     BIT(MAXIMUM_PACKET_SIZE) | BIT(ASSIGNED_CLIENT_ID) | BIT(TOPIC_ALIAS_MAXIMUM) | BIT(REASON_STRING) |      \
     BIT(USER_PROPERTY) | BIT(WILDCARD_AVAILABLE) | BIT(SUBSCRIPTION_ID_AVAILABLE) | BIT(SHARED_AVAILABLE) |   \
     BIT(SERVER_KEEP_ALIVE) | BIT(RESPONSE_INFO) | BIT(SERVER_REFERENCE))
#define PUBLISH_PROPERTIES                                                                                     \
    (BIT(PAYLOAD_FORMAT) | BIT(MESSAGE_EXPIRY) | BIT(TOPIC_ALIAS) | BIT(RESPONSE_TOPIC) |                      \
     BIT(CORRELATION_DATA) | BIT(USER_PROPERTY) | BIT(SUBSCRIPTION_ID) | BIT(CONTENT_TYPE))
#define ACK_PROPERTIES (BIT(REASON_STRING) | BIT(USER_PROPERTY))
#define DISCONNECT_PROPERTIES                                                                                  \
    (BIT(SESSION_EXPIRY) | BIT(REASON_STRING) | BIT(USER_PROPERTY) | BIT(SERVER_REFERENCE))

static int decode_connack(crt_mqtt_decoder *d, reader *r, crt_mqtt_connack *out, crt_fault *fault) {
    uint32_t flags = read_uint(r, 1);
    out->reason_code = (uint8_t)read_uint(r, 1);
    if (r->bad || flags > 1) {
        return refuse(fault, "CONNACK", "bad flags or too short (M5 3.2.2.1)");
    }
    property_values v;
    int status = read_properties(d, r, CONNACK_PROPERTIES, &v, "CONNACK", fault);
    if (status) {
        return status;
    }
    if ((crt_mqtt_has(v.present, CRT_MQTT_RECEIVE_MAXIMUM) && v.number[CRT_MQTT_RECEIVE_MAXIMUM] == 0) ||
        (crt_mqtt_has(v.present, CRT_MQTT_MAXIMUM_PACKET_SIZE) && v.number[CRT_MQTT_MAXIMUM_PACKET_SIZE] == 0)) {
        return refuse(fault, "CONNACK", "a maximum of 0 (M5 3.2.2.3)");
    }
    out->present = v.present;
    out->session_present = flags == 1;
    out->session_expiry = v.number[CRT_MQTT_SESSION_EXPIRY];
    out->receive_maximum = (uint16_t)v.number[CRT_MQTT_RECEIVE_MAXIMUM];
    out->maximum_qos = (uint8_t)v.number[CRT_MQTT_MAXIMUM_QOS];
    out->retain_available = v.number[CRT_MQTT_RETAIN_AVAILABLE] == 1;
    out->maximum_packet_size = v.number[CRT_MQTT_MAXIMUM_PACKET_SIZE];
    out->assigned_client_id = v.bytes[CRT_MQTT_ASSIGNED_CLIENT_ID];
    out->topic_alias_maximum = (uint16_t)v.number[CRT_MQTT_TOPIC_ALIAS_MAXIMUM];
    out->reason_string = v.bytes[CRT_MQTT_REASON_STRING];
    out->wildcard_available = v.number[CRT_MQTT_WILDCARD_AVAILABLE] == 1;
    out->subscription_id_available = v.number[CRT_MQTT_SUBSCRIPTION_ID_AVAILABLE] == 1;
    out->shared_available = v.number[CRT_MQTT_SHARED_AVAILABLE] == 1;
    out->server_keep_alive_secs = (uint16_t)v.number[CRT_MQTT_SERVER_KEEP_ALIVE];
    out->response_info = v.bytes[CRT_MQTT_RESPONSE_INFO];
    out->server_reference = v.bytes[CRT_MQTT_SERVER_REFERENCE];
    out->user = v.user;
    return 0;
}

static bool topic_received_valid(crt_bytes topic) {
    return !topic.len || (!memchr(topic.ptr, '+', topic.len) && !memchr(topic.ptr, '#', topic.len));
}

static int decode_publish(crt_mqtt_decoder *d, uint8_t first, reader *r, crt_mqtt_publish *out, crt_fault *fault) {
    out->qos = first >> 1 & 3;
    out->retain = first & 1;
    out->dup = first >> 3 & 1;
    out->topic = read_text(r);
    out->packet_id = out->qos ? (uint16_t)read_uint(r, 2) : 0;
    if (r->bad || out->qos == 3 || (out->qos && out->packet_id == 0) || !topic_received_valid(out->topic)) {
        return refuse(fault, "PUBLISH", "bad flags, topic or packet identifier (M5 3.3)");
    }
    out->present = 0;
    out->user.count = 0;
    out->subscription_id_count = 0;
    if (r->left && *r->p == 0) { /* the usual case: no properties */
        take(r, 1);
    } else {
        property_values v;
        int status = read_properties(d, r, PUBLISH_PROPERTIES, &v, "PUBLISH", fault);
        if (status) {
            return status;
        }
        out->present = v.present;
        out->payload_format = (uint8_t)v.number[CRT_MQTT_PAYLOAD_FORMAT];
        out->message_expiry = v.number[CRT_MQTT_MESSAGE_EXPIRY];
        out->topic_alias = (uint16_t)v.number[CRT_MQTT_TOPIC_ALIAS];
        out->response_topic = v.bytes[CRT_MQTT_RESPONSE_TOPIC];
        out->correlation_data = v.bytes[CRT_MQTT_CORRELATION_DATA];
        out->content_type = v.bytes[CRT_MQTT_CONTENT_TYPE];
        out->user = v.user;
        out->subscription_ids = d->subscription_ids;
        out->subscription_id_count = v.subscription_ids;
    }
    if (out->topic.len == 0 && !crt_mqtt_has(out->present, CRT_MQTT_TOPIC_ALIAS)) {
        return refuse(fault, "PUBLISH", "neither topic nor topic alias (M5 3.3.2.1)");
    }
    out->payload = crt_bytes_of(r->p, r->left);
    take(r, r->left);
    return 0;
}

/* The code of a PUBACK that leaves it out (M5 3.4.2.1). */
static const uint8_t success_code = 0;

static int decode_puback(crt_mqtt_decoder *d, reader *r, crt_mqtt_ack *out, crt_fault *fault) {
    out->packet_id = (uint16_t)read_uint(r, 2);
    if (r->bad || out->packet_id == 0) {
        return refuse(fault, "PUBACK", "bad packet identifier (M5 2.2.1)");
    }
    out->reason_codes = r->left ? crt_bytes_of(take(r, 1), 1) : crt_bytes_of(&success_code, 1);
    out->present = 0;
    out->user.count = 0;
    if (!r->left) {
        return 0;
    }
    property_values v;
    int status = read_properties(d, r, ACK_PROPERTIES, &v, "PUBACK", fault);
    out->present = v.present;
    out->reason_string = v.bytes[CRT_MQTT_REASON_STRING];
    out->user = v.user;
    return status;
}

static int decode_suback(crt_mqtt_decoder *d, reader *r, crt_mqtt_ack *out, const char *name, crt_fault *fault) {
    out->packet_id = (uint16_t)read_uint(r, 2);
    if (r->bad || out->packet_id == 0) {
        return refuse(fault, name, "bad packet identifier (M5 2.2.1)");
    }
    property_values v;
    int status = read_properties(d, r, ACK_PROPERTIES, &v, name, fault);
    if (status) {
        return status;
    }
    if (r->left == 0) {
        return refuse(fault, name, "no reason codes");
    }
    out->present = v.present;
    out->reason_string = v.bytes[CRT_MQTT_REASON_STRING];
    out->user = v.user;
    out->reason_codes = crt_bytes_of(r->p, r->left);
    take(r, r->left);
    return 0;
}

static int decode_disconnect(crt_mqtt_decoder *d, reader *r, crt_mqtt_disconnect *out, crt_fault *fault) {
    memset(out, 0, sizeof(*out));
    out->reason_code = r->left ? (uint8_t)read_uint(r, 1) : 0;
    if (!r->left) {
        return 0; /* M5 3.14.2.1: the rest may be left out */
    }
    property_values v;
    int status = read_properties(d, r, DISCONNECT_PROPERTIES, &v, "DISCONNECT", fault);
    if (status) {
        return status;
    }
    out->present = v.present;
    out->session_expiry = v.number[CRT_MQTT_SESSION_EXPIRY];
    out->reason_string = v.bytes[CRT_MQTT_REASON_STRING];
    out->server_reference = v.bytes[CRT_MQTT_SERVER_REFERENCE];
    out->user = v.user;
    return 0;
}

static int decode_body(crt_mqtt_decoder *d, uint8_t first, reader *r, crt_mqtt_packet *out, crt_fault *fault) {
    switch (out->type) {
    case CRT_MQTT_CONNACK:
        return decode_connack(d, r, &out->as.connack, fault);
    case CRT_MQTT_PUBLISH:
        return decode_publish(d, first, r, &out->as.publish, fault);
    case CRT_MQTT_PUBACK:
        return decode_puback(d, r, &out->as.ack, fault);
    case CRT_MQTT_SUBACK:
        return decode_suback(d, r, &out->as.ack, "SUBACK", fault);
    case CRT_MQTT_UNSUBACK:
        return decode_suback(d, r, &out->as.ack, "UNSUBACK", fault);
    case CRT_MQTT_PINGRESP:
        return 0;
    case CRT_MQTT_DISCONNECT:
        return decode_disconnect(d, r, &out->as.disconnect, fault);
    default:
        return crt_fail(fault, AWS_ERROR_MQTT5_DECODE_PROTOCOL_ERROR,
                        "packet type %d is not one a server may send here", out->type);
    }
}

int crt_mqtt5_decode(crt_mqtt_decoder *decoder, uint8_t first, crt_bytes body, crt_mqtt_packet *out, crt_fault *fault) {
    reader r = {body.ptr, body.len, false};
    out->type = first >> 4;
    int status = decode_body(decoder, first, &r, out, fault);
    if (status == 0 && r.left) {
        return crt_fail(fault, AWS_ERROR_MQTT5_DECODE_PROTOCOL_ERROR, "packet type %d with %zu bytes too many",
                        out->type, r.left);
    }
    return status;
}

const crt_mqtt_codec crt_mqtt5_codec = {"MQTT 5", crt_mqtt5_size, crt_mqtt5_encode, crt_mqtt5_decode};
