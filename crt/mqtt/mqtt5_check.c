/*
 * What MQTT 5 demands of packets before they are sent: checked at the call that hands them in, so that the mistake
 * is reported where it was made.
 */
#include "crt/mqtt.h"

#define TEXT_MAX 65535
#define LIST_MAX 1024 /* user properties, subscriptions, topic filters per packet */
#define VARINT_MAX 268435455u

static bool text_fits(crt_bytes text) {
    return text.len <= TEXT_MAX && crt_mqtt_text_valid(text);
}

static int check_user_properties(crt_mqtt_user_properties user, crt_fault *fault) {
    const int code = AWS_ERROR_MQTT5_USER_PROPERTY_VALIDATION;
    if (user.count > LIST_MAX) {
        return crt_fail(fault, code, "%zu user properties; %d is the limit", user.count, LIST_MAX);
    }
    for (size_t i = 0; i < user.count; i++) {
        if (!text_fits(user.items[i].name) || !text_fits(user.items[i].value)) {
            return crt_fail(fault, code, "user property %zu: name or value too long or not valid text", i);
        }
    }
    return 0;
}

int crt_mqtt5_check_publish(const crt_mqtt_publish *m, crt_fault *fault) {
    const int code = AWS_ERROR_MQTT5_PUBLISH_OPTIONS_VALIDATION;
    if (!crt_mqtt_topic_valid(m->topic)) {
        return crt_fail(fault, code, "topic: must be 1 to 65535 bytes of valid text without wildcards");
    }
    if (m->qos > 2) {
        return crt_fail(fault, code, "qos: %u is none", m->qos);
    }
    if (m->payload.len > CRT_MQTT_REMAINING_MAX) {
        return crt_fail(fault, code, "payload: larger than an MQTT packet can be");
    }
    if (m->present || m->user.count) {
        if (crt_mqtt_has(m->present, CRT_MQTT_PAYLOAD_FORMAT)) {
            if (m->payload_format > 1) {
                return crt_fail(fault, code, "payload_format_indicator: must be 0 or 1");
            }
            if (m->payload_format == 1 && !crt_mqtt_text_valid(m->payload)) {
                return crt_fail(fault, code, "payload: not valid text, as its format indicator says");
            }
        }
        if (crt_mqtt_has(m->present, CRT_MQTT_TOPIC_ALIAS) && m->topic_alias == 0) {
            return crt_fail(fault, code, "topic_alias: 0 is not allowed (M5 3.3.2.3.4)");
        }
        if (crt_mqtt_has(m->present, CRT_MQTT_RESPONSE_TOPIC) && !crt_mqtt_topic_valid(m->response_topic)) {
            return crt_fail(fault, code, "response_topic: must be 1 to 65535 bytes of valid text without wildcards");
        }
        if (crt_mqtt_has(m->present, CRT_MQTT_CORRELATION_DATA) && m->correlation_data.len > TEXT_MAX) {
            return crt_fail(fault, code, "correlation_data: longer than 65535 bytes");
        }
        if (crt_mqtt_has(m->present, CRT_MQTT_CONTENT_TYPE) && !text_fits(m->content_type)) {
            return crt_fail(fault, code, "content_type: longer than 65535 bytes or not valid text");
        }
    }
    return check_user_properties(m->user, fault);
}

int crt_mqtt5_check_connect(const crt_mqtt_connect *c, crt_fault *fault) {
    const int code = AWS_ERROR_MQTT5_CONNECT_OPTIONS_VALIDATION;
    if (!text_fits(c->client_id)) {
        return crt_fail(fault, code, "client_id: longer than 65535 bytes or not valid text");
    }
    if (!text_fits(c->username)) {
        return crt_fail(fault, code, "username: longer than 65535 bytes or not valid text");
    }
    if (c->password.len > TEXT_MAX) {
        return crt_fail(fault, code, "password: longer than 65535 bytes");
    }
    if (crt_mqtt_has(c->present, CRT_MQTT_RECEIVE_MAXIMUM) && c->receive_maximum == 0) {
        return crt_fail(fault, code, "receive_maximum: 0 is not allowed (M5 3.1.2.11.3)");
    }
    if (crt_mqtt_has(c->present, CRT_MQTT_MAXIMUM_PACKET_SIZE) && c->maximum_packet_size == 0) {
        return crt_fail(fault, code, "maximum_packet_size: 0 is not allowed (M5 3.1.2.11.4)");
    }
    if (c->will && c->will->payload.len > TEXT_MAX) {
        return crt_fail(fault, code, "will: payload longer than 65535 bytes (M5 3.1.3.4)");
    }
    int status = c->will ? crt_mqtt5_check_publish(c->will, fault) : 0;
    return status ? status : check_user_properties(c->user, fault);
}

int crt_mqtt5_check_subscribe(const crt_mqtt_subscribe *s, crt_fault *fault) {
    const int code = AWS_ERROR_MQTT5_SUBSCRIBE_OPTIONS_VALIDATION;
    if (s->count == 0 || s->count > LIST_MAX) {
        return crt_fail(fault, code, "subscriptions: %zu given, 1 to %d possible", s->count, LIST_MAX);
    }
    if (crt_mqtt_has(s->present, CRT_MQTT_SUBSCRIPTION_ID) && s->subscription_id > VARINT_MAX) {
        return crt_fail(fault, code, "subscription_identifier: above 268435455 (M5 3.8.2.1.2)");
    }
    for (size_t i = 0; i < s->count; i++) {
        const crt_mqtt_subscription *sub = &s->subscriptions[i];
        if (!crt_mqtt_filter_valid(sub->topic_filter)) {
            return crt_fail(fault, code, "subscriptions[%zu]: not a valid topic filter", i);
        }
        if (sub->qos > 1) {
            return crt_fail(fault, code, "subscriptions[%zu]: qos %u is not supported", i, sub->qos);
        }
        if (sub->retain_handling > 2) {
            return crt_fail(fault, code, "subscriptions[%zu]: retain handling must be 0, 1 or 2", i);
        }
        if (sub->no_local && crt_mqtt_filter_is_shared(sub->topic_filter)) {
            return crt_fail(fault, code, "subscriptions[%zu]: no_local on a shared subscription (M5 3.8.3.1)", i);
        }
    }
    return check_user_properties(s->user, fault);
}

int crt_mqtt5_check_unsubscribe(const crt_mqtt_unsubscribe *u, crt_fault *fault) {
    const int code = AWS_ERROR_MQTT5_UNSUBSCRIBE_OPTIONS_VALIDATION;
    if (u->count == 0 || u->count > LIST_MAX) {
        return crt_fail(fault, code, "topic_filters: %zu given, 1 to %d possible", u->count, LIST_MAX);
    }
    for (size_t i = 0; i < u->count; i++) {
        if (!crt_mqtt_filter_valid(u->topic_filters[i])) {
            return crt_fail(fault, code, "topic_filters[%zu]: not a valid topic filter", i);
        }
    }
    return check_user_properties(u->user, fault);
}

/* Codes a client may send (M5 3.14.2.1). */
static bool disconnect_code_valid(uint8_t code) {
    static const uint8_t valid[] = {0,   4,   128, 129, 130, 131, 135, 137, 139, 141, 142, 143, 144, 147, 148,
                                    149, 150, 151, 152, 153, 154, 155, 156, 157, 158, 159, 160, 161, 162};
    return memchr(valid, code, sizeof(valid)) != NULL;
}

int crt_mqtt5_check_disconnect(const crt_mqtt_disconnect *d, crt_fault *fault) {
    const int code = AWS_ERROR_MQTT5_DISCONNECT_OPTIONS_VALIDATION;
    if (!disconnect_code_valid(d->reason_code)) {
        return crt_fail(fault, code, "reason_code: %u is not one of M5 3.14.2.1", d->reason_code);
    }
    if (crt_mqtt_has(d->present, CRT_MQTT_SERVER_REFERENCE)) {
        return crt_fail(fault, code, "server_reference: only servers send it (M5 3.14.2.2.5)");
    }
    if (crt_mqtt_has(d->present, CRT_MQTT_REASON_STRING) && !text_fits(d->reason_string)) {
        return crt_fail(fault, code, "reason_string: longer than 65535 bytes or not valid text");
    }
    return check_user_properties(d->user, fault);
}
