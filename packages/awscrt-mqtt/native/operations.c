/*
 * publish, subscribe, unsubscribe: one block per operation from the call to the delivery of its result.
 */
#include "binding.h"

#include <stddef.h>

#include "crt/memory.h"

typedef struct operation {
    awscrt_event event;
    crt_mqtt_op op;
    mqtt_client *client;
    PyObject *future; /* one of ours, or an asyncio future */
    bool asyncio;
    mqtt_keep keep;
    /* the outcome */
    crt_fault *fault; /* failed */
    int code;         /* failed, and no memory for more */
    bool acked;
    uint8_t reason;          /* PUBACK without properties */
    crt_mqtt_packet *packet; /* any other acknowledgement, with its storage */
} operation;

static void free_operation(operation *o) {
    crt_free(o->fault);
    crt_free(o->packet);
    crt_free(o);
}

/* ---- delivering ---- */

static PyObject *outcome(operation *o, bool *failed) {
    mqtt_state *state = o->client->state;
    int kind = o->op.packet.type;
    *failed = o->fault || o->code;
    if (*failed) {
        return o->fault ? awscrt_exception(o->fault->code, o->fault->detail) : awscrt_exception(o->code, NULL);
    }
    if (!o->acked) {
        return mqtt_completion_new(state, kind, NULL);
    }
    if (o->packet) {
        return mqtt_completion_new(state, kind, &o->packet->as.ack);
    }
    crt_mqtt_ack ack = {.reason_codes = {&o->reason, 1}};
    return mqtt_completion_new(state, kind, &ack);
}

static void settle_asyncio(operation *o, bool failed, PyObject *value) {
    mqtt_state *state = o->client->state;
    PyObject *done = PyObject_CallMethodObjArgs(o->future, state->str_done, NULL);
    int is_done = done ? PyObject_IsTrue(done) : -1;
    PyObject *result = NULL;
    if (is_done == 0) {
        PyObject *method = failed ? state->str_set_exception : state->str_set_result;
        result = PyObject_CallMethodObjArgs(o->future, method, value, NULL);
    }
    if (PyErr_Occurred()) {
        awscrt_report(o->future);
    }
    Py_XDECREF(result);
    Py_XDECREF(done);
}

static void deliver_outcome(awscrt_event *event) {
    operation *o = (operation *)event;
    bool failed;
    PyObject *value = outcome(o, &failed);
    if (!value) {
        failed = true;
        value = awscrt_exception_take();
    }
    if (o->asyncio) {
        settle_asyncio(o, failed, value);
    } else if (failed) {
        awscrt_future_set_exception(o->future, value);
    } else {
        awscrt_future_set_result(o->future, value);
    }
    Py_DECREF(value);
    Py_DECREF(o->future);
    mqtt_keep_clear(&o->keep);
    free_operation(o);
}

static void discard_outcome(awscrt_event *event) {
    operation *o = (operation *)event;
    mqtt_keep_discard(&o->keep);
    free_operation(o);
}

/* ---- completing, on the loop and without the GIL ---- */

static void keep_fault(operation *o, const crt_fault *fault) {
    o->code = fault->code;
    o->fault = crt_malloc(sizeof(*fault));
    if (o->fault) {
        *o->fault = *fault;
    }
}

static void keep_ack(operation *o, const crt_mqtt_ack *ack) {
    o->acked = true;
    o->reason = ack->reason_codes.ptr[0];
    if (o->op.packet.type == CRT_MQTT_PUBLISH && !ack->present) {
        return;
    }
    crt_mqtt_packet packet;
    packet.type = CRT_MQTT_SUBACK; /* all acknowledgements are copied alike */
    packet.as.ack = *ack;
    size_t header = (sizeof(packet) + sizeof(max_align_t) - 1) / sizeof(max_align_t) * sizeof(max_align_t);
    o->packet = crt_malloc(header + crt_mqtt_packet_extra(&packet));
    if (!o->packet) {
        o->code = AWS_ERROR_OOM;
        return;
    }
    crt_mqtt_packet_copy(o->packet, &packet, (uint8_t *)o->packet + header);
}

static void on_done(crt_mqtt_op *op, const crt_fault *fault, const crt_mqtt_ack *ack) {
    operation *o = CRT_CONTAINER(op, operation, op);
    if (fault->code) {
        keep_fault(o, fault);
    } else if (ack) {
        keep_ack(o, ack);
    }
    awscrt_deliver(&o->client->sink, &o->event);
}

/* ---- submitting ---- */

static int packet_get(mqtt_state *state, PyObject *packet, operation *o, int kind) {
    o->op.packet.type = kind;
    switch (kind) {
    case CRT_MQTT_PUBLISH:
        return mqtt_publish_get(state, packet, &o->op.packet.as.publish, &o->keep);
    case CRT_MQTT_SUBSCRIBE:
        return mqtt_subscribe_get(state, packet, &o->op.packet.as.subscribe, &o->keep);
    default:
        return mqtt_unsubscribe_get(state, packet, &o->op.packet.as.unsubscribe, &o->keep);
    }
}

/* (handle, packet) -> future of ours, or (handle, packet, asyncio future) -> that future */
static PyObject *submit(PyObject *const *args, Py_ssize_t count, int kind) {
    if (count != 2 && count != 3) {
        PyErr_SetString(PyExc_TypeError, "expected a handle, a packet and perhaps a future");
        return NULL;
    }
    mqtt_client *client = mqtt_client_of(args[0]);
    operation *o = client ? crt_calloc(1, sizeof(*o)) : NULL;
    if (!o) {
        return client ? PyErr_NoMemory() : NULL;
    }
    o->client = client;
    o->asyncio = count == 3;
    if (packet_get(client->state, args[1], o, kind) == 0) {
        o->future = o->asyncio ? Py_NewRef(args[2]) : awscrt_future_new();
    }
    if (!o->future) {
        mqtt_keep_clear(&o->keep);
        free_operation(o);
        return NULL;
    }
    o->event.deliver = deliver_outcome;
    o->event.discard = discard_outcome;
    o->op.done = on_done;
    PyObject *future = Py_NewRef(o->future);
    crt_mqtt_client_submit(client->engine, &o->op);
    return future;
}

PyObject *mqtt_publish(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    return submit(args, count, CRT_MQTT_PUBLISH);
}

PyObject *mqtt_subscribe(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    return submit(args, count, CRT_MQTT_SUBSCRIBE);
}

PyObject *mqtt_unsubscribe(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    return submit(args, count, CRT_MQTT_UNSUBSCRIBE);
}
