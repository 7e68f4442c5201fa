/*
 * C structs -> packets of awscrt.mqtt5. Instances are made without their __init__: the fields of these dataclasses
 * have their defaults as class attributes, so that only what a packet carries is set.
 */
#include "binding.h"

PyObject *mqtt_instance(PyObject *type) {
    return PyType_GenericAlloc((PyTypeObject *)type, 0);
}

int mqtt_set(PyObject *object, PyObject *name, PyObject *value) {
    if (!value) {
        return -1;
    }
    int status = PyObject_SetAttr(object, name, value);
    Py_DECREF(value);
    return status;
}

/* ---- values ---- */

static PyObject *text(crt_bytes view) {
    return PyUnicode_DecodeUTF8((const char *)view.ptr, (Py_ssize_t)view.len, "strict");
}

static PyObject *data(crt_bytes view) {
    return PyBytes_FromStringAndSize((const char *)view.ptr, (Py_ssize_t)view.len);
}

static PyObject *number(uint32_t value) {
    return PyLong_FromUnsignedLong(value);
}

/* The member of an enum (a dict from number to member); None for a number it does not have. */
static PyObject *member(PyObject *members, uint8_t value) {
    PyObject *key = PyLong_FromLong(value);
    PyObject *found = key ? PyDict_GetItemWithError(members, key) : NULL;
    Py_XDECREF(key);
    if (!found && PyErr_Occurred()) {
        return NULL;
    }
    return Py_NewRef(found ? found : Py_None);
}

/* Sets a field when the packet carries its property; `value` is what that makes. */
#define SET_IF(present, property, name, value)                                                                 \
    (crt_mqtt_has((present), (property)) && mqtt_set(object, state->str_##name, (value)))

static PyObject *user_property(mqtt_state *state, const crt_mqtt_user_property *property) {
    PyObject *object = mqtt_instance(state->UserProperty);
    if (object && (mqtt_set(object, state->str_name, text(property->name)) ||
                   mqtt_set(object, state->str_value, text(property->value)))) {
        Py_CLEAR(object);
    }
    return object;
}

static int set_user_properties(mqtt_state *state, PyObject *object, const crt_mqtt_user_properties *user) {
    if (!user->count) {
        return 0;
    }
    PyObject *list = PyList_New(0);
    for (size_t i = 0; list && i < user->count; i++) {
        PyObject *item = user_property(state, &user->items[i]);
        if (!item || PyList_Append(list, item)) {
            Py_CLEAR(list);
        }
        Py_XDECREF(item);
    }
    return mqtt_set(object, state->str_user_properties, list);
}

/* `object`, or NULL when setting its fields failed. */
static PyObject *finished(PyObject *object, int failed) {
    if (failed) {
        Py_XDECREF(object);
        return NULL;
    }
    return object;
}

/* ---- PUBLISH ---- */

/* Bytes, and as text where they are UTF-8. */
static int set_correlation_data(mqtt_state *state, PyObject *object, crt_bytes view) {
    if (mqtt_set(object, state->str_correlation_data_bytes, data(view))) {
        return -1;
    }
    PyObject *decoded = text(view);
    if (!decoded && PyErr_ExceptionMatches(PyExc_UnicodeDecodeError)) {
        PyErr_Clear();
        return 0;
    }
    return mqtt_set(object, state->str_correlation_data, decoded);
}

static int set_subscription_identifiers(mqtt_state *state, PyObject *object, const crt_mqtt_publish *m) {
    PyObject *list = PyList_New(0);
    for (size_t i = 0; list && i < m->subscription_id_count; i++) {
        PyObject *id = number(m->subscription_ids[i]);
        if (!id || PyList_Append(list, id)) {
            Py_CLEAR(list);
        }
        Py_XDECREF(id);
    }
    return mqtt_set(object, state->str_subscription_identifiers, list);
}

static int set_publish_properties(mqtt_state *state, PyObject *object, const crt_mqtt_publish *m) {
    return SET_IF(m->present, CRT_MQTT_PAYLOAD_FORMAT, payload_format_indicator,
                  member(state->PayloadFormatIndicator, m->payload_format)) ||
           SET_IF(m->present, CRT_MQTT_MESSAGE_EXPIRY, message_expiry_interval_sec, number(m->message_expiry)) ||
           SET_IF(m->present, CRT_MQTT_TOPIC_ALIAS, topic_alias, number(m->topic_alias)) ||
           SET_IF(m->present, CRT_MQTT_RESPONSE_TOPIC, response_topic, text(m->response_topic)) ||
           (crt_mqtt_has(m->present, CRT_MQTT_CORRELATION_DATA) &&
            set_correlation_data(state, object, m->correlation_data)) ||
           SET_IF(m->present, CRT_MQTT_CONTENT_TYPE, content_type, text(m->content_type)) ||
           (m->subscription_id_count && set_subscription_identifiers(state, object, m)) ||
           set_user_properties(state, object, &m->user);
}

PyObject *mqtt_publish_new(mqtt_state *state, const crt_mqtt_publish *m) {
    PyObject *object = mqtt_instance(state->PublishPacket);
    if (!object) {
        return NULL;
    }
    int failed = mqtt_set(object, state->str_payload, data(m->payload)) ||
                 mqtt_set(object, state->str_topic, text(m->topic)) ||
                 (m->qos && mqtt_set(object, state->str_qos, member(state->QoS, m->qos))) ||
                 (m->retain && mqtt_set(object, state->str_retain, PyBool_FromLong(1))) ||
                 (m->present && set_publish_properties(state, object, m));
    return finished(object, failed);
}

/* ---- CONNACK, DISCONNECT ---- */

PyObject *mqtt_connack_new(mqtt_state *state, const crt_mqtt_connack *k) {
    PyObject *object = mqtt_instance(state->ConnackPacket);
    if (!object) {
        return NULL;
    }
    crt_mqtt_present p = k->present;
    int failed =
        mqtt_set(object, state->str_session_present, PyBool_FromLong(k->session_present)) ||
        mqtt_set(object, state->str_reason_code, member(state->ConnectReasonCode, k->reason_code)) ||
        SET_IF(p, CRT_MQTT_SESSION_EXPIRY, session_expiry_interval_sec, number(k->session_expiry)) ||
        SET_IF(p, CRT_MQTT_RECEIVE_MAXIMUM, receive_maximum, number(k->receive_maximum)) ||
        SET_IF(p, CRT_MQTT_MAXIMUM_QOS, maximum_qos, member(state->QoS, k->maximum_qos)) ||
        SET_IF(p, CRT_MQTT_RETAIN_AVAILABLE, retain_available, PyBool_FromLong(k->retain_available)) ||
        SET_IF(p, CRT_MQTT_MAXIMUM_PACKET_SIZE, maximum_packet_size, number(k->maximum_packet_size)) ||
        SET_IF(p, CRT_MQTT_ASSIGNED_CLIENT_ID, assigned_client_identifier, text(k->assigned_client_id)) ||
        SET_IF(p, CRT_MQTT_TOPIC_ALIAS_MAXIMUM, topic_alias_maximum, number(k->topic_alias_maximum)) ||
        SET_IF(p, CRT_MQTT_REASON_STRING, reason_string, text(k->reason_string)) ||
        SET_IF(p, CRT_MQTT_WILDCARD_AVAILABLE, wildcard_subscriptions_available,
               PyBool_FromLong(k->wildcard_available)) ||
        SET_IF(p, CRT_MQTT_SUBSCRIPTION_ID_AVAILABLE, subscription_identifiers_available,
               PyBool_FromLong(k->subscription_id_available)) ||
        SET_IF(p, CRT_MQTT_SHARED_AVAILABLE, shared_subscription_available, PyBool_FromLong(k->shared_available)) ||
        SET_IF(p, CRT_MQTT_SERVER_KEEP_ALIVE, server_keep_alive_sec, number(k->server_keep_alive_secs)) ||
        SET_IF(p, CRT_MQTT_RESPONSE_INFO, response_information, text(k->response_info)) ||
        SET_IF(p, CRT_MQTT_SERVER_REFERENCE, server_reference, text(k->server_reference)) ||
        set_user_properties(state, object, &k->user);
    return finished(object, failed);
}

PyObject *mqtt_disconnect_new(mqtt_state *state, const crt_mqtt_disconnect *d) {
    PyObject *object = mqtt_instance(state->DisconnectPacket);
    if (!object) {
        return NULL;
    }
    int failed = mqtt_set(object, state->str_reason_code, member(state->DisconnectReasonCode, d->reason_code)) ||
                 SET_IF(d->present, CRT_MQTT_SESSION_EXPIRY, session_expiry_interval_sec, number(d->session_expiry)) ||
                 SET_IF(d->present, CRT_MQTT_REASON_STRING, reason_string, text(d->reason_string)) ||
                 SET_IF(d->present, CRT_MQTT_SERVER_REFERENCE, server_reference, text(d->server_reference)) ||
                 set_user_properties(state, object, &d->user);
    return finished(object, failed);
}

PyObject *mqtt_settings_new(mqtt_state *state, const crt_mqtt_settings *s) {
    PyObject *object = mqtt_instance(state->NegotiatedSettings);
    if (!object) {
        return NULL;
    }
    int failed =
        mqtt_set(object, state->str_maximum_qos, member(state->QoS, s->maximum_qos)) ||
        mqtt_set(object, state->str_session_expiry_interval_sec, number(s->session_expiry)) ||
        mqtt_set(object, state->str_receive_maximum_from_server, number(s->receive_maximum)) ||
        mqtt_set(object, state->str_maximum_packet_size_to_server, number(s->maximum_packet_size)) ||
        mqtt_set(object, state->str_topic_alias_maximum_to_server, number(s->topic_alias_maximum_to_server)) ||
        mqtt_set(object, state->str_topic_alias_maximum_to_client, number(s->topic_alias_maximum_to_client)) ||
        mqtt_set(object, state->str_server_keep_alive_sec, number(s->keep_alive_secs)) ||
        mqtt_set(object, state->str_retain_available, PyBool_FromLong(s->retain_available)) ||
        mqtt_set(object, state->str_wildcard_subscriptions_available, PyBool_FromLong(s->wildcard_available)) ||
        mqtt_set(object, state->str_subscription_identifiers_available,
                 PyBool_FromLong(s->subscription_id_available)) ||
        mqtt_set(object, state->str_shared_subscriptions_available, PyBool_FromLong(s->shared_available)) ||
        mqtt_set(object, state->str_rejoined_session, PyBool_FromLong(s->rejoined_session)) ||
        mqtt_set(object, state->str_client_id, text(s->client_id));
    return finished(object, failed);
}

/* ---- results of operations ---- */

static int set_reason(mqtt_state *state, PyObject *object, const crt_mqtt_ack *ack) {
    return SET_IF(ack->present, CRT_MQTT_REASON_STRING, reason_string, text(ack->reason_string)) ||
           set_user_properties(state, object, &ack->user);
}

static PyObject *publish_completion(mqtt_state *state, const crt_mqtt_ack *ack) {
    PyObject *puback = mqtt_instance(state->PubackPacket);
    PyObject *object = puback ? mqtt_instance(state->PublishCompletionData) : NULL;
    int failed = !object || (ack && (mqtt_set(puback, state->str_reason_code,
                                              member(state->PubackReasonCode, ack->reason_codes.ptr[0])) ||
                                     set_reason(state, puback, ack)));
    if (failed) {
        Py_XDECREF(puback);
    } else {
        failed = mqtt_set(object, state->str_puback, puback);
    }
    return finished(object, failed);
}

static PyObject *codes_completion(mqtt_state *state, PyObject *type, PyObject *members, const crt_mqtt_ack *ack) {
    PyObject *object = mqtt_instance(type);
    PyObject *codes = object ? PyList_New(0) : NULL;
    for (size_t i = 0; codes && i < ack->reason_codes.len; i++) {
        PyObject *code = member(members, ack->reason_codes.ptr[i]);
        if (!code || PyList_Append(codes, code)) {
            Py_CLEAR(codes);
        }
        Py_XDECREF(code);
    }
    int failed = !object || mqtt_set(object, state->str_reason_codes, codes) || set_reason(state, object, ack);
    return finished(object, failed);
}

PyObject *mqtt_completion_new(mqtt_state *state, int operation, const crt_mqtt_ack *ack) {
    switch (operation) {
    case CRT_MQTT_PUBLISH:
        return publish_completion(state, ack);
    case CRT_MQTT_SUBSCRIBE:
        return codes_completion(state, state->SubackPacket, state->SubackReasonCode, ack);
    default:
        return codes_completion(state, state->UnsubackPacket, state->UnsubackReasonCode, ack);
    }
}
