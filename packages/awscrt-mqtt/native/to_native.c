/*
 * Packets of awscrt.mqtt5 -> C structs. Nothing is copied that cannot change: the structs view the str and bytes
 * objects, which `keep` holds.
 */
#include "binding.h"

#include "crt/memory.h"

/* ---- keeping ---- */

void mqtt_keep_discard(mqtt_keep *keep) {
    crt_free(keep->array);
    crt_free(keep->user);
}

void mqtt_keep_clear(mqtt_keep *keep) {
    Py_XDECREF(keep->few[0]);
    Py_XDECREF(keep->few[1]);
    Py_XDECREF(keep->objects);
    mqtt_keep_discard(keep);
    memset(keep, 0, sizeof(*keep));
}

/* Steals `object`. */
static int hold(mqtt_keep *keep, PyObject *object) {
    int status = -1;
    for (int i = 0; i < 2; i++) {
        if (!keep->few[i]) {
            keep->few[i] = object;
            return 0;
        }
    }
    if (!keep->objects) {
        keep->objects = PyList_New(0);
    }
    if (keep->objects) {
        status = PyList_Append(keep->objects, object);
    }
    Py_DECREF(object);
    return status;
}

/* ---- values ---- */

static int view_of_str(PyObject *text, crt_bytes *out) {
    Py_ssize_t size;
    const char *utf8 = PyUnicode_AsUTF8AndSize(text, &size);
    if (!utf8) {
        return -1;
    }
    *out = crt_bytes_of(utf8, (size_t)size);
    return 0;
}

/* str. Steals `value`, NULL included. */
static int take_text(PyObject *value, PyObject *name, crt_bytes *out, mqtt_keep *keep) {
    if (!value) {
        return -1;
    }
    if (!PyUnicode_Check(value)) {
        PyErr_Format(PyExc_TypeError, "%U must be a str, got %R", name, (PyObject *)Py_TYPE(value));
    } else if (view_of_str(value, out) == 0) {
        return hold(keep, value);
    }
    Py_DECREF(value);
    return -1;
}

/* str, bytes or any other buffer, which is copied because its owner may change it. Steals `value`. */
static int take_data(PyObject *value, PyObject *name, crt_bytes *out, mqtt_keep *keep) {
    if (!value) {
        return -1;
    }
    if (PyUnicode_Check(value)) {
        return take_text(value, name, out, keep);
    }
    if (!PyBytes_Check(value)) {
        if (!PyObject_CheckBuffer(value)) {
            PyErr_Format(PyExc_TypeError, "%U must be str or bytes-like, got %R", name, (PyObject *)Py_TYPE(value));
            Py_DECREF(value);
            return -1;
        }
        PyObject *copy = PyBytes_FromObject(value);
        Py_DECREF(value);
        if (!copy) {
            return -1;
        }
        value = copy;
    }
    char *data;
    Py_ssize_t size;
    if (PyBytes_AsStringAndSize(value, &data, &size)) {
        Py_DECREF(value);
        return -1;
    }
    *out = crt_bytes_of(data, (size_t)size);
    return hold(keep, value);
}

/* int within 0..max. */
static int number_of(PyObject *value, PyObject *name, uint32_t max, uint32_t *out) {
    if (!PyLong_Check(value)) {
        PyErr_Format(PyExc_TypeError, "%U must be an int, got %R", name, (PyObject *)Py_TYPE(value));
        return -1;
    }
    int overflow;
    long long number = PyLong_AsLongLongAndOverflow(value, &overflow);
    if (overflow || number < 0 || number > max) {
        PyErr_Format(PyExc_OverflowError, "%U must be 0 to %lu, got %R", name, (unsigned long)max, value);
        return -1;
    }
    *out = (uint32_t)number;
    return 0;
}

/* An enum member or number that the packet's own check judges: what does not fit becomes 255, which no enum has. */
static int small_number(PyObject *object, PyObject *name, uint8_t *out) {
    PyObject *value = PyObject_GetAttr(object, name);
    if (!value) {
        return -1;
    }
    if (!PyLong_Check(value)) {
        PyErr_Format(PyExc_TypeError, "%U must be an int, got %R", name, (PyObject *)Py_TYPE(value));
        Py_DECREF(value);
        return -1;
    }
    int overflow;
    long number = PyLong_AsLongAndOverflow(value, &overflow);
    Py_DECREF(value);
    *out = overflow || number < 0 || number > UINT8_MAX ? UINT8_MAX : (uint8_t)number;
    return 0;
}

static int truth(PyObject *object, PyObject *name, bool *out) {
    PyObject *value = PyObject_GetAttr(object, name);
    int result = value ? PyObject_IsTrue(value) : -1;
    Py_XDECREF(value);
    *out = result > 0;
    return result < 0 ? -1 : 0;
}

/* ---- optional fields: None leaves the property out ---- */

/* New reference, or NULL: None when no exception is set. */
static PyObject *optional(PyObject *object, PyObject *name) {
    PyObject *value = PyObject_GetAttr(object, name);
    if (value == Py_None) {
        Py_DECREF(value);
        return NULL;
    }
    return value;
}

static int optional_number(PyObject *object, PyObject *name, uint32_t max, int property, crt_mqtt_present *present,
                           uint32_t *out) {
    PyObject *value = optional(object, name);
    if (!value) {
        return PyErr_Occurred() ? -1 : 0;
    }
    int status = number_of(value, name, max, out);
    Py_DECREF(value);
    *present |= crt_mqtt_bit(property);
    return status;
}

static int optional_u16(PyObject *object, PyObject *name, int property, crt_mqtt_present *present, uint16_t *out) {
    uint32_t number = 0;
    int status = optional_number(object, name, UINT16_MAX, property, present, &number);
    *out = (uint16_t)number;
    return status;
}

static int optional_bool(PyObject *object, PyObject *name, int property, crt_mqtt_present *present, bool *out) {
    PyObject *value = optional(object, name);
    if (!value) {
        return PyErr_Occurred() ? -1 : 0;
    }
    int result = PyObject_IsTrue(value);
    Py_DECREF(value);
    *out = result > 0;
    *present |= crt_mqtt_bit(property);
    return result < 0 ? -1 : 0;
}

typedef int (*take_fn)(PyObject *value, PyObject *name, crt_bytes *out, mqtt_keep *keep);

static int optional_bytes(PyObject *object, PyObject *name, take_fn take, int property, crt_mqtt_present *present,
                          crt_bytes *out, mqtt_keep *keep) {
    PyObject *value = optional(object, name);
    if (!value) {
        return PyErr_Occurred() ? -1 : 0;
    }
    *present |= crt_mqtt_bit(property);
    return take(value, name, out, keep);
}

/* ---- lists ---- */

/* A list or tuple as a new tuple that nobody changes while we look at it. */
static PyObject *sequence(PyObject *object, PyObject *name) {
    PyObject *value = PyObject_GetAttr(object, name);
    if (!value) {
        return NULL;
    }
    if (PyUnicode_Check(value) || PyBytes_Check(value)) {
        PyErr_Format(PyExc_TypeError, "%U must be a sequence of them, got %R", name, (PyObject *)Py_TYPE(value));
        Py_DECREF(value);
        return NULL;
    }
    PyObject *tuple = PySequence_Tuple(value);
    Py_DECREF(value);
    return tuple;
}

static int user_property_get(mqtt_state *state, PyObject *item, crt_mqtt_user_property *out, mqtt_keep *keep) {
    return take_text(PyObject_GetAttr(item, state->str_name), state->str_name, &out->name, keep) ||
                   take_text(PyObject_GetAttr(item, state->str_value), state->str_value, &out->value, keep)
               ? -1
               : 0;
}

/* `slot` gets the array that out->items points to. */
static int user_properties_get(mqtt_state *state, PyObject *object, crt_mqtt_user_properties *out,
                               crt_mqtt_user_property **slot, mqtt_keep *keep) {
    PyObject *value = optional(object, state->str_user_properties);
    if (!value) {
        return PyErr_Occurred() ? -1 : 0;
    }
    Py_DECREF(value);
    PyObject *items = sequence(object, state->str_user_properties);
    if (!items) {
        return -1;
    }
    Py_ssize_t count = PyTuple_Size(items);
    int status = 0;
    if (count) {
        *slot = crt_calloc((size_t)count, sizeof(**slot));
        status = *slot ? 0 : (PyErr_NoMemory(), -1);
    }
    for (Py_ssize_t i = 0; i < count && status == 0; i++) {
        status = user_property_get(state, PyTuple_GetItem(items, i), &(*slot)[i], keep);
    }
    out->items = *slot;
    out->count = (size_t)count;
    Py_DECREF(items);
    return status;
}

/* ---- packets ---- */

static int raise_fault(const crt_fault *fault) {
    awscrt_raise(fault->code, fault->detail);
    return -1;
}

/* None: an empty topic, which the check refuses. */
static int topic_get(mqtt_state *state, PyObject *packet, crt_bytes *out, mqtt_keep *keep) {
    PyObject *value = optional(packet, state->str_topic);
    if (!value) {
        return PyErr_Occurred() ? -1 : 0;
    }
    return take_text(value, state->str_topic, out, keep);
}

static int payload_get(mqtt_state *state, PyObject *packet, crt_bytes *out, mqtt_keep *keep) {
    PyObject *value = optional(packet, state->str_payload);
    if (!value) {
        return PyErr_Occurred() ? -1 : 0;
    }
    return take_data(value, state->str_payload, out, keep);
}

static int payload_format_get(mqtt_state *state, PyObject *packet, crt_mqtt_publish *out) {
    PyObject *value = optional(packet, state->str_payload_format_indicator);
    if (!value) {
        return PyErr_Occurred() ? -1 : 0;
    }
    Py_DECREF(value);
    out->present |= crt_mqtt_bit(CRT_MQTT_PAYLOAD_FORMAT);
    return small_number(packet, state->str_payload_format_indicator, &out->payload_format);
}

/* correlation_data_bytes, or else correlation_data. */
static int correlation_get(mqtt_state *state, PyObject *packet, crt_mqtt_publish *out, mqtt_keep *keep) {
    PyObject *names[] = {state->str_correlation_data_bytes, state->str_correlation_data};
    for (int i = 0; i < 2; i++) {
        PyObject *value = optional(packet, names[i]);
        int given = value ? PyObject_IsTrue(value) : 0;
        if (given > 0) {
            out->present |= crt_mqtt_bit(CRT_MQTT_CORRELATION_DATA);
            return take_data(value, names[i], &out->correlation_data, keep);
        }
        if (value && given == 0 && i == 1) { /* empty, but given */
            out->present |= crt_mqtt_bit(CRT_MQTT_CORRELATION_DATA);
        }
        Py_XDECREF(value);
        if (given < 0 || PyErr_Occurred()) {
            return -1;
        }
    }
    return 0;
}

/* What a publish and a will have in common. */
static int publish_fields(mqtt_state *s, PyObject *packet, crt_mqtt_publish *out, crt_mqtt_user_property **user,
                          mqtt_keep *keep) {
    return topic_get(s, packet, &out->topic, keep) || payload_get(s, packet, &out->payload, keep) ||
                   small_number(packet, s->str_qos, &out->qos) || truth(packet, s->str_retain, &out->retain) ||
                   payload_format_get(s, packet, out) ||
                   optional_number(packet, s->str_message_expiry_interval_sec, UINT32_MAX, CRT_MQTT_MESSAGE_EXPIRY,
                                   &out->present, &out->message_expiry) ||
                   optional_bytes(packet, s->str_response_topic, take_text, CRT_MQTT_RESPONSE_TOPIC, &out->present,
                                  &out->response_topic, keep) ||
                   correlation_get(s, packet, out, keep) ||
                   optional_bytes(packet, s->str_content_type, take_text, CRT_MQTT_CONTENT_TYPE, &out->present,
                                  &out->content_type, keep) ||
                   user_properties_get(s, packet, &out->user, user, keep)
               ? -1
               : 0;
}

int mqtt_publish_get(mqtt_state *state, PyObject *packet, crt_mqtt_publish *out, mqtt_keep *keep) {
    crt_fault fault;
    if (publish_fields(state, packet, out, &keep->user, keep) ||
        optional_u16(packet, state->str_topic_alias, CRT_MQTT_TOPIC_ALIAS, &out->present, &out->topic_alias)) {
        return -1;
    }
    return crt_mqtt5_check_publish(out, &fault) ? raise_fault(&fault) : 0;
}

/* bool and int fields of which None (or anything but a number or bool) is a mistake of the attribute. */
static int subscription_number(PyObject *item, PyObject *name, uint8_t *out) {
    PyObject *value = PyObject_GetAttr(item, name);
    if (value == Py_None) {
        PyErr_Format(PyExc_AttributeError, "Subscription.%U must not be None", name);
    }
    Py_XDECREF(value);
    return !value || value == Py_None ? -1 : small_number(item, name, out);
}

static int subscription_flag(PyObject *item, PyObject *name, bool *out) {
    PyObject *value = PyObject_GetAttr(item, name);
    if (value == Py_None) {
        PyErr_Format(PyExc_AttributeError, "Subscription.%U must not be None", name);
    }
    Py_XDECREF(value);
    return !value || value == Py_None ? -1 : truth(item, name, out);
}

static int subscription_get(mqtt_state *s, PyObject *item, crt_mqtt_subscription *out, mqtt_keep *keep) {
    return take_text(PyObject_GetAttr(item, s->str_topic_filter), s->str_topic_filter, &out->topic_filter, keep) ||
                   subscription_number(item, s->str_qos, &out->qos) ||
                   subscription_flag(item, s->str_no_local, &out->no_local) ||
                   subscription_flag(item, s->str_retain_as_published, &out->retain_as_published) ||
                   subscription_number(item, s->str_retain_handling_type, &out->retain_handling)
               ? -1
               : 0;
}

int mqtt_subscribe_get(mqtt_state *state, PyObject *packet, crt_mqtt_subscribe *out, mqtt_keep *keep) {
    PyObject *items = sequence(packet, state->str_subscriptions);
    if (!items) {
        return -1;
    }
    Py_ssize_t count = PyTuple_Size(items);
    crt_mqtt_subscription *subscriptions = crt_calloc((size_t)count + 1, sizeof(*subscriptions));
    keep->array = subscriptions;
    int status = subscriptions ? 0 : (PyErr_NoMemory(), -1);
    for (Py_ssize_t i = 0; i < count && status == 0; i++) {
        status = subscription_get(state, PyTuple_GetItem(items, i), &subscriptions[i], keep);
    }
    Py_DECREF(items);
    out->subscriptions = subscriptions;
    out->count = (size_t)count;
    if (status ||
        optional_number(packet, state->str_subscription_identifier, UINT32_MAX, CRT_MQTT_SUBSCRIPTION_ID, &out->present,
                        &out->subscription_id) ||
        user_properties_get(state, packet, &out->user, &keep->user, keep)) {
        return -1;
    }
    crt_fault fault;
    return crt_mqtt5_check_subscribe(out, &fault) ? raise_fault(&fault) : 0;
}

int mqtt_unsubscribe_get(mqtt_state *state, PyObject *packet, crt_mqtt_unsubscribe *out, mqtt_keep *keep) {
    PyObject *items = sequence(packet, state->str_topic_filters);
    if (!items) {
        return -1;
    }
    Py_ssize_t count = PyTuple_Size(items);
    crt_bytes *filters = crt_calloc((size_t)count + 1, sizeof(*filters));
    keep->array = filters;
    int status = filters ? 0 : (PyErr_NoMemory(), -1);
    for (Py_ssize_t i = 0; i < count && status == 0; i++) {
        status = take_text(Py_NewRef(PyTuple_GetItem(items, i)), state->str_topic_filters, &filters[i], keep);
    }
    Py_DECREF(items);
    out->topic_filters = filters;
    out->count = (size_t)count;
    if (status || user_properties_get(state, packet, &out->user, &keep->user, keep)) {
        return -1;
    }
    crt_fault fault;
    return crt_mqtt5_check_unsubscribe(out, &fault) ? raise_fault(&fault) : 0;
}

int mqtt_disconnect_get(mqtt_state *state, PyObject *packet, crt_mqtt_disconnect *out, mqtt_keep *keep) {
    if (small_number(packet, state->str_reason_code, &out->reason_code) ||
        optional_number(packet, state->str_session_expiry_interval_sec, UINT32_MAX, CRT_MQTT_SESSION_EXPIRY,
                        &out->present, &out->session_expiry) ||
        optional_bytes(packet, state->str_reason_string, take_text, CRT_MQTT_REASON_STRING, &out->present,
                       &out->reason_string, keep) ||
        optional_bytes(packet, state->str_server_reference, take_text, CRT_MQTT_SERVER_REFERENCE, &out->present,
                       &out->server_reference, keep) ||
        user_properties_get(state, packet, &out->user, &keep->user, keep)) {
        return -1;
    }
    crt_fault fault;
    return crt_mqtt5_check_disconnect(out, &fault) ? raise_fault(&fault) : 0;
}

/* Not a property: absent stays {NULL, 0}, empty is not absent. */
static int absent_or(PyObject *object, PyObject *name, take_fn take, crt_bytes *out, mqtt_keep *keep) {
    crt_mqtt_present given = 0;
    return optional_bytes(object, name, take, 0, &given, out, keep);
}

int mqtt_connect_get(mqtt_state *s, PyObject *packet, crt_mqtt_connect *out, crt_mqtt_publish *will, mqtt_keep *keep) {
    crt_mqtt_present given = 0;
    uint32_t keep_alive = 0;
    if (optional_number(packet, s->str_keep_alive_interval_sec, UINT16_MAX, 0, &given, &keep_alive) ||
        absent_or(packet, s->str_client_id, take_text, &out->client_id, keep) ||
        absent_or(packet, s->str_username, take_text, &out->username, keep) ||
        absent_or(packet, s->str_password, take_data, &out->password, keep) ||
        optional_number(packet, s->str_session_expiry_interval_sec, UINT32_MAX, CRT_MQTT_SESSION_EXPIRY, &out->present,
                        &out->session_expiry) ||
        optional_bool(packet, s->str_request_response_information, CRT_MQTT_REQUEST_RESPONSE_INFO, &out->present,
                      &out->request_response_info) ||
        optional_bool(packet, s->str_request_problem_information, CRT_MQTT_REQUEST_PROBLEM_INFO, &out->present,
                      &out->request_problem_info) ||
        optional_u16(packet, s->str_receive_maximum, CRT_MQTT_RECEIVE_MAXIMUM, &out->present, &out->receive_maximum) ||
        optional_number(packet, s->str_maximum_packet_size, UINT32_MAX, CRT_MQTT_MAXIMUM_PACKET_SIZE, &out->present,
                        &out->maximum_packet_size) ||
        optional_number(packet, s->str_will_delay_interval_sec, UINT32_MAX, CRT_MQTT_WILL_DELAY, &out->present,
                        &out->will_delay) ||
        user_properties_get(s, packet, &out->user, &keep->user, keep)) {
        return -1;
    }
    out->keep_alive_secs = given ? (uint16_t)keep_alive : 1200;
    PyObject *will_packet = optional(packet, s->str_will);
    if (will_packet) {
        crt_mqtt_user_property *user = NULL;
        int status = publish_fields(s, will_packet, will, &user, keep);
        keep->array = user;
        Py_DECREF(will_packet);
        if (status) {
            return -1;
        }
        out->will = will;
    } else if (PyErr_Occurred()) {
        return -1;
    }
    crt_fault fault;
    return crt_mqtt5_check_connect(out, &fault) ? raise_fault(&fault) : 0;
}
