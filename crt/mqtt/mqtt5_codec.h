/*
 * What the two halves of the MQTT 5 codec share: the property table (M5 2.2.2.2) and their entry points.
 */
#ifndef CRT_MQTT5_CODEC_H
#define CRT_MQTT5_CODEC_H

#include "crt/mqtt.h"

enum crt_mqtt5_value_kind {
    KIND_NONE = 0,
    KIND_U8,
    KIND_BOOL,
    KIND_U16,
    KIND_U32,
    KIND_VARINT,
    KIND_TEXT,
    KIND_BINARY,
    KIND_PAIR,
};

static const uint8_t crt_mqtt5_kind[CRT_MQTT_PROPERTY_END] = {
    [CRT_MQTT_PAYLOAD_FORMAT] = KIND_U8,
    [CRT_MQTT_MESSAGE_EXPIRY] = KIND_U32,
    [CRT_MQTT_CONTENT_TYPE] = KIND_TEXT,
    [CRT_MQTT_RESPONSE_TOPIC] = KIND_TEXT,
    [CRT_MQTT_CORRELATION_DATA] = KIND_BINARY,
    [CRT_MQTT_SUBSCRIPTION_ID] = KIND_VARINT,
    [CRT_MQTT_SESSION_EXPIRY] = KIND_U32,
    [CRT_MQTT_ASSIGNED_CLIENT_ID] = KIND_TEXT,
    [CRT_MQTT_SERVER_KEEP_ALIVE] = KIND_U16,
    [CRT_MQTT_REQUEST_PROBLEM_INFO] = KIND_BOOL,
    [CRT_MQTT_WILL_DELAY] = KIND_U32,
    [CRT_MQTT_REQUEST_RESPONSE_INFO] = KIND_BOOL,
    [CRT_MQTT_RESPONSE_INFO] = KIND_TEXT,
    [CRT_MQTT_SERVER_REFERENCE] = KIND_TEXT,
    [CRT_MQTT_REASON_STRING] = KIND_TEXT,
    [CRT_MQTT_RECEIVE_MAXIMUM] = KIND_U16,
    [CRT_MQTT_TOPIC_ALIAS_MAXIMUM] = KIND_U16,
    [CRT_MQTT_TOPIC_ALIAS] = KIND_U16,
    [CRT_MQTT_MAXIMUM_QOS] = KIND_BOOL,
    [CRT_MQTT_RETAIN_AVAILABLE] = KIND_BOOL,
    [CRT_MQTT_USER_PROPERTY] = KIND_PAIR,
    [CRT_MQTT_MAXIMUM_PACKET_SIZE] = KIND_U32,
    [CRT_MQTT_WILDCARD_AVAILABLE] = KIND_BOOL,
    [CRT_MQTT_SUBSCRIPTION_ID_AVAILABLE] = KIND_BOOL,
    [CRT_MQTT_SHARED_AVAILABLE] = KIND_BOOL,
};

CRT_HIDDEN size_t crt_mqtt5_size(const crt_mqtt_packet *packet);
CRT_HIDDEN int crt_mqtt5_encode(const crt_mqtt_packet *packet, crt_buf *out);
CRT_HIDDEN int crt_mqtt5_decode(crt_mqtt_decoder *decoder, uint8_t first, crt_bytes body, crt_mqtt_packet *out,
                                crt_fault *fault);

#endif
