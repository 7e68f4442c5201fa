/*
 * Lifecycle events and received publishes on their way to Python. The engine reports on its loop without the GIL:
 * everything is copied into one block there, and becomes Python objects where it is delivered.
 */
#include "binding.h"

#include <stddef.h>

#include "crt/memory.h"

enum {
    BACKLOG_HIGH = 16 * 1024 * 1024, /* bytes of publishes in a mailbox at which reading from the peer stops */
    BACKLOG_LOW = BACKLOG_HIGH / 2,
};

/* ---- acknowledgement control: the callable of PublishReceivedData ---- */

typedef struct ack_control {
    PyObject_HEAD
    PyObject *handle_type;
    uint64_t ack;
    bool taken;
    bool closed; /* the callback has returned */
} ack_control;

static PyObject *ack_control_call(PyObject *op, PyObject *args, PyObject *kwargs) {
    ack_control *self = (ack_control *)op;
    if (!PyArg_ParseTuple(args, ":acquire_publish_acknowledgement_control") || (kwargs && PyDict_Size(kwargs))) {
        return PyErr_Occurred() ? NULL : PyErr_Format(PyExc_TypeError, "no arguments are expected");
    }
    const char *mistake = self->closed  ? "the publish callback has returned; the acknowledgement was sent"
                          : self->taken ? "acknowledgement control was acquired before"
                                        : NULL;
    if (mistake) {
        PyErr_SetString(PyExc_RuntimeError, mistake);
        return NULL;
    }
    PyObject *handle = PyObject_CallFunction(self->handle_type, "K", (unsigned long long)self->ack);
    self->taken = handle != NULL;
    return handle;
}

static void ack_control_dealloc(PyObject *op) {
    Py_XDECREF(((ack_control *)op)->handle_type);
    awscrt_free_instance(op);
}

static PyType_Slot ack_control_slots[] = {
    {Py_tp_call, ack_control_call},
    {Py_tp_dealloc, ack_control_dealloc},
    {Py_tp_doc, "Takes over the acknowledgement of a received publish; to be called inside the callback, once."},
    {0, NULL},
};

static PyType_Spec ack_control_spec = {
    "awscrt._mqtt.PublishAcknowledgementControl", sizeof(ack_control), 0, Py_TPFLAGS_DEFAULT, ack_control_slots,
};

int mqtt_ack_control_init(PyObject *module, mqtt_state *state) {
    state->ack_control_type = PyType_FromSpec(&ack_control_spec);
    return state->ack_control_type ? 0 : -1;
}

static ack_control *ack_control_new(mqtt_state *state, uint64_t ack) {
    ack_control *control = (ack_control *)PyType_GenericAlloc((PyTypeObject *)state->ack_control_type, 0);
    if (control) {
        control->handle_type = Py_NewRef(state->PublishAcknowledgementControlHandle);
        control->ack = ack;
    }
    return control;
}

/* ---- received publishes ---- */

typedef struct publish_event {
    awscrt_event event;
    mqtt_client *client;
    uint64_t ack;
    size_t size;
    crt_mqtt_packet packet;
    max_align_t storage[];
} publish_event;

static void discard_publish(awscrt_event *event) {
    crt_free(event);
}

static PyObject *received_data(mqtt_state *state, const publish_event *e, ack_control *control) {
    PyObject *data = mqtt_instance(state->PublishReceivedData);
    if (data && (mqtt_set(data, state->str_publish_packet, mqtt_publish_new(state, &e->packet.as.publish)) ||
                 (control && mqtt_set(data, state->str_acquire_publish_acknowledgement_control,
                                      Py_NewRef((PyObject *)control))))) {
        Py_CLEAR(data);
    }
    return data;
}

/* True when the callback took over the acknowledgement. */
static bool call_on_publish(mqtt_client *client, const publish_event *e) {
    PyObject *callback = client->callbacks[ON_PUBLISH];
    ack_control *control = e->ack ? ack_control_new(client->state, e->ack) : NULL;
    PyObject *data = !e->ack || control ? received_data(client->state, e, control) : NULL;
    PyObject *result = data ? awscrt_call1(callback, data) : NULL;
    bool taken = result && control && control->taken;
    if (!result) {
        awscrt_report(callback);
    }
    if (control) {
        control->closed = true;
    }
    Py_XDECREF(result);
    Py_XDECREF(data);
    Py_XDECREF((PyObject *)control);
    return taken;
}

static void forget_backlog(mqtt_client *client, size_t size) {
    size_t left = __atomic_sub_fetch(&client->backlog, size, __ATOMIC_SEQ_CST);
    if (left < BACKLOG_LOW && __atomic_exchange_n(&client->paused, 0, __ATOMIC_SEQ_CST)) {
        crt_mqtt_client_resume(client->engine);
    }
}

static void deliver_publish(awscrt_event *event) {
    publish_event *e = (publish_event *)event;
    mqtt_client *client = e->client;
    if (!call_on_publish(client, e) && e->ack) {
        crt_mqtt_client_ack(client->engine, e->ack);
    }
    forget_backlog(client, e->size);
    crt_free(e);
}

static void on_publish(void *user, const crt_mqtt_publish *publish, uint64_t ack) {
    mqtt_client *client = user;
    crt_mqtt_packet packet;
    packet.type = CRT_MQTT_PUBLISH;
    packet.as.publish = *publish;
    size_t size = sizeof(publish_event) + crt_mqtt_packet_extra(&packet);
    publish_event *e = client->callbacks[ON_PUBLISH] ? crt_malloc(size) : NULL;
    if (!e) { /* nobody listens; or no memory, and then the peer must not be held up for good */
        if (ack) {
            crt_mqtt_client_ack(client->engine, ack);
        }
        return;
    }
    e->event.deliver = deliver_publish;
    e->event.discard = discard_publish;
    e->client = client;
    e->ack = ack;
    e->size = size;
    crt_mqtt_packet_copy(&e->packet, &packet, e->storage);
    __atomic_add_fetch(&client->backlog, size, __ATOMIC_SEQ_CST);
    awscrt_deliver(&client->sink, &e->event);
}

/* With an outbox, the loop itself delivers before it reads on. The flag goes up before the look at the backlog:
   either this sees what the consumer took away, or the consumer sees the flag and resumes. */
static bool may_read(void *user) {
    mqtt_client *client = user;
    if (__atomic_load_n(&client->backlog, __ATOMIC_SEQ_CST) < BACKLOG_HIGH) {
        return true;
    }
    __atomic_store_n(&client->paused, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&client->backlog, __ATOMIC_SEQ_CST) < BACKLOG_HIGH) {
        __atomic_store_n(&client->paused, 0, __ATOMIC_SEQ_CST);
        return true;
    }
    return false;
}

/* ---- lifecycle ---- */

typedef struct lifecycle_event {
    awscrt_event event;
    mqtt_client *client;
    enum mqtt_callback kind;
    uint64_t attempt;
    crt_fault fault;
    crt_mqtt_settings settings;
    bool has_packet;
    crt_mqtt_packet packet;
    max_align_t storage[];
} lifecycle_event;

static void discard_lifecycle(awscrt_event *event) {
    crt_free(event);
}

static PyObject *attempt_data(mqtt_state *state) {
    return mqtt_instance(state->LifecycleAttemptingConnectData);
}

static PyObject *connected_data(mqtt_state *state, const lifecycle_event *e) {
    PyObject *data = mqtt_instance(state->LifecycleConnectSuccessData);
    if (data && (mqtt_set(data, state->str_connack_packet, mqtt_connack_new(state, &e->packet.as.connack)) ||
                 mqtt_set(data, state->str_negotiated_settings, mqtt_settings_new(state, &e->settings)))) {
        Py_CLEAR(data);
    }
    return data;
}

static PyObject *failed_data(mqtt_state *state, const lifecycle_event *e) {
    PyObject *data = mqtt_instance(state->LifecycleConnectFailureData);
    if (data && (mqtt_set(data, state->str_exception, awscrt_exception(e->fault.code, e->fault.detail)) ||
                 (e->has_packet &&
                  mqtt_set(data, state->str_connack_packet, mqtt_connack_new(state, &e->packet.as.connack))))) {
        Py_CLEAR(data);
    }
    return data;
}

static PyObject *disconnected_data(mqtt_state *state, const lifecycle_event *e) {
    PyObject *data = mqtt_instance(state->LifecycleDisconnectData);
    if (data && (mqtt_set(data, state->str_exception, awscrt_exception(e->fault.code, e->fault.detail)) ||
                 (e->has_packet && mqtt_set(data, state->str_disconnect_packet,
                                            mqtt_disconnect_new(state, &e->packet.as.disconnect))))) {
        Py_CLEAR(data);
    }
    return data;
}

static PyObject *lifecycle_data(mqtt_client *client, const lifecycle_event *e) {
    switch (e->kind) {
    case ON_ATTEMPT:
        return attempt_data(client->state);
    case ON_CONNECTED:
        return connected_data(client->state, e);
    case ON_FAILED:
        return failed_data(client->state, e);
    case ON_DISCONNECTED:
        return disconnected_data(client->state, e);
    case ON_STOPPED:
        return mqtt_instance(client->state->LifecycleStoppedData);
    default:
        return mqtt_attempt_new(client, e->attempt);
    }
}

static void deliver_lifecycle(awscrt_event *event) {
    lifecycle_event *e = (lifecycle_event *)event;
    PyObject *callback = e->client->callbacks[e->kind];
    PyObject *data = lifecycle_data(e->client, e);
    PyObject *result = data ? awscrt_call1(callback, data) : NULL;
    if (!result) {
        awscrt_report(callback);
    }
    Py_XDECREF(result);
    Py_XDECREF(data);
    crt_free(e);
}

/* NULL when nobody listens or memory ran out. `packet` may be NULL. */
static lifecycle_event *lifecycle_new(mqtt_client *client, enum mqtt_callback kind, const crt_mqtt_packet *packet) {
    size_t extra = packet ? crt_mqtt_packet_extra(packet) : 0;
    lifecycle_event *e = client->callbacks[kind] ? crt_calloc(1, sizeof(*e) + extra) : NULL;
    if (!e) {
        return NULL;
    }
    e->event.deliver = deliver_lifecycle;
    e->event.discard = discard_lifecycle;
    e->client = client;
    e->kind = kind;
    e->has_packet = packet != NULL;
    if (packet) {
        crt_mqtt_packet_copy(&e->packet, packet, e->storage);
    }
    return e;
}

static void deliver(mqtt_client *client, lifecycle_event *e) {
    if (e) {
        awscrt_deliver(&client->sink, &e->event);
    }
}

static void on_attempt(void *user) {
    deliver(user, lifecycle_new(user, ON_ATTEMPT, NULL));
}

static void on_stopped(void *user) {
    deliver(user, lifecycle_new(user, ON_STOPPED, NULL));
}

static void on_handshake(void *user, uint64_t attempt) {
    lifecycle_event *e = lifecycle_new(user, ON_HANDSHAKE, NULL);
    if (!e) {
        crt_mqtt_client_handshake_done(((mqtt_client *)user)->engine, attempt, AWS_ERROR_OOM, NULL, NULL, 0);
        return;
    }
    e->attempt = attempt;
    deliver(user, e);
}

static void on_connected(void *user, const crt_mqtt_connack *connack, const crt_mqtt_settings *settings) {
    /* The client id lives longer than this event: it travels with the CONNACK as if it had been assigned there,
       behind the presence bit's back. */
    crt_mqtt_packet packet = {.type = CRT_MQTT_CONNACK};
    packet.as.connack = *connack;
    bool assigned = crt_mqtt_has(connack->present, CRT_MQTT_ASSIGNED_CLIENT_ID);
    packet.as.connack.assigned_client_id = settings->client_id;
    packet.as.connack.present |= crt_mqtt_bit(CRT_MQTT_ASSIGNED_CLIENT_ID);
    lifecycle_event *e = lifecycle_new(user, ON_CONNECTED, &packet);
    if (!e) {
        return;
    }
    e->settings = *settings;
    e->settings.client_id = e->packet.as.connack.assigned_client_id;
    if (!assigned) {
        e->packet.as.connack.present &= ~crt_mqtt_bit(CRT_MQTT_ASSIGNED_CLIENT_ID);
    }
    deliver(user, e);
}

static void deliver_end(mqtt_client *client, enum mqtt_callback kind, const crt_fault *fault,
                        const crt_mqtt_packet *packet) {
    lifecycle_event *e = lifecycle_new(client, kind, packet);
    if (e) {
        e->fault = *fault;
        deliver(client, e);
    }
}

static void on_failed(void *user, const crt_fault *fault, const crt_mqtt_connack *connack) {
    crt_mqtt_packet packet = {.type = CRT_MQTT_CONNACK};
    if (connack) {
        packet.as.connack = *connack;
    }
    deliver_end(user, ON_FAILED, fault, connack ? &packet : NULL);
}

static void on_disconnected(void *user, const crt_fault *fault, const crt_mqtt_disconnect *disconnect) {
    crt_mqtt_packet packet = {.type = CRT_MQTT_DISCONNECT};
    if (disconnect) {
        packet.as.disconnect = *disconnect;
    }
    deliver_end(user, ON_DISCONNECTED, fault, disconnect ? &packet : NULL);
}

/* ---- the end ---- */

static void deliver_terminated(awscrt_event *event) {
    mqtt_client_unref(CRT_CONTAINER(event, mqtt_client, terminated));
}

static void discard_terminated(awscrt_event *event) {
    mqtt_client_discard(CRT_CONTAINER(event, mqtt_client, terminated));
}

static void on_terminated(void *user) {
    mqtt_client *client = user;
    client->terminated.deliver = deliver_terminated;
    client->terminated.discard = discard_terminated;
    awscrt_deliver(&client->sink, &client->terminated);
}

const crt_mqtt_client_handler mqtt_client_handler = {
    on_attempt, on_connected, on_failed, on_disconnected, on_stopped, on_publish, on_handshake, may_read, on_terminated,
};
