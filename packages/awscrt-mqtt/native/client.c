/*
 * The client's handle: making, starting, stopping, dropping; the answer to a WebSocket handshake.
 */
#include "binding.h"

#include "crt/memory.h"

#define ATTEMPT "awscrt.mqtt5.HandshakeAttempt"

/* ---- lifetime ---- */

mqtt_client *mqtt_client_of(PyObject *handle) {
    mqtt_client *client = PyCapsule_IsValid(handle, MQTT_CLIENT) ? PyCapsule_GetPointer(handle, MQTT_CLIENT) : NULL;
    if (!client) {
        PyErr_Format(PyExc_TypeError, "expected the handle of a mqtt5.Client, got %R", (PyObject *)Py_TYPE(handle));
        return NULL;
    }
    if (client->generation != crt_fork_generation()) {
        PyErr_SetString(PyExc_RuntimeError,
                        "this mqtt5.Client was made before fork() and belongs to the parent process. Make a new one "
                        "after the fork, or start processes with 'spawn' or 'forkserver'");
        return NULL;
    }
    return client;
}

static void free_native(mqtt_client *client) {
    if (client->engine) {
        crt_mqtt_client_release(client->engine);
    }
    awscrt_mailbox_release(client->sink.mailbox);
    crt_free(client);
}

void mqtt_client_unref(mqtt_client *client) {
    if (!crt_ref_dec(&client->refs)) {
        return;
    }
    for (int i = 0; i < CALLBACKS; i++) {
        Py_XDECREF(client->callbacks[i]);
    }
    Py_XDECREF(client->transport);
    Py_XDECREF(client->bootstrap);
    Py_XDECREF(client->module);
    free_native(client);
}

void mqtt_client_discard(mqtt_client *client) {
    if (crt_ref_dec(&client->refs)) {
        free_native(client);
    }
}

static void client_dropped(PyObject *handle) {
    mqtt_client *client = PyCapsule_GetPointer(handle, MQTT_CLIENT);
    if (client->generation == crt_fork_generation()) {
        crt_mqtt_client_close(client->engine);
        mqtt_client_unref(client);
    }
}

/* ---- making ---- */

/* What the engine's options point to while it is made. */
typedef struct making {
    crt_mqtt_client_options options;
    crt_mqtt_connect connect;
    crt_mqtt_publish will;
    mqtt_keep keep;
    crt_tls_options tls;
    crt_tls_options proxy_tls;
    PyObject *keep_proxy_tls;
} making;

static int bootstrap_get(mqtt_client *client, making *m, PyObject *bootstrap) {
    return awscrt_bootstrap_get(bootstrap, &m->options.group, &m->options.resolver, &client->bootstrap);
}

static int tls_get(making *m, PyObject *context) {
    if (context == Py_None) {
        return 0;
    }
    m->tls.ctx = awscrt_tls_ctx_get(context);
    m->options.tls = &m->tls;
    return m->tls.ctx ? 0 : -1;
}

static int transport_get(mqtt_client *client, making *m, PyObject *capsule) {
    if (capsule == Py_None) {
        return 0;
    }
    const crt_transport *transport = PyCapsule_GetPointer(capsule, CRT_TRANSPORT_CAPSULE);
    if (!transport) {
        return -1;
    }
    if (transport->abi != CRT_TRANSPORT_ABI) {
        PyErr_Format(PyExc_RuntimeError,
                     "the transport '%s' was built for version %u of the transport interface, awscrt-mqtt for %d: "
                     "pip install --upgrade awscrt-mqtt awscrt-http",
                     transport->name, (unsigned)transport->abi, CRT_TRANSPORT_ABI);
        return -1;
    }
    client->transport = Py_NewRef(capsule);
    m->options.transport = transport;
    return 0;
}

/* None or (host, port, user or None, password or None, TlsConnectionOptions or None) */
static int proxy_get(making *m, PyObject *proxy) {
    PyObject *tls;
    unsigned int port;
    if (proxy == Py_None) {
        return 0;
    }
    if (!PyArg_ParseTuple(proxy, "sIzzO", &m->options.proxy_host, &port, &m->options.proxy_user,
                          &m->options.proxy_password, &tls)) {
        return -1;
    }
    m->options.proxy_port = port;
    if (tls == Py_None) {
        return 0;
    }
    m->options.proxy_tls = &m->proxy_tls;
    return awscrt_tls_options_get(tls, &m->proxy_tls, &m->keep_proxy_tls);
}

static int settings_get(making *m, PyObject *settings) {
    crt_mqtt_client_options *o = &m->options;
    int iot_core_limits;
    int status = PyArg_ParseTuple(settings, "iiiIIIIIIiHHp", &o->session, &o->offline, &o->jitter, &o->reconnect_min_ms,
                                  &o->reconnect_max_ms, &o->reconnect_reset_ms, &o->ping_timeout_ms,
                                  &o->connack_timeout_ms, &o->ack_timeout_secs, &o->outbound_alias,
                                  &o->outbound_alias_max, &o->inbound_alias_max, &iot_core_limits)
                     ? 0
                     : -1;
    o->iot_core_limits = status == 0 && iot_core_limits;
    return status;
}

static int callbacks_get(mqtt_client *client, PyObject *callbacks) {
    if (!PyTuple_Check(callbacks) || PyTuple_Size(callbacks) != CALLBACKS) {
        PyErr_Format(PyExc_TypeError, "expected a tuple of %d callbacks", CALLBACKS);
        return -1;
    }
    for (int i = 0; i < CALLBACKS; i++) {
        PyObject *callback = PyTuple_GetItem(callbacks, i);
        client->callbacks[i] = callback == Py_None ? NULL : Py_NewRef(callback);
    }
    return 0;
}

static int start_engine(mqtt_client *client, making *m, PyObject *loop) {
    if (loop != Py_None) {
        client->sink.mailbox = awscrt_mailbox_of(loop);
        if (!client->sink.mailbox) {
            return -1;
        }
    }
    m->options.codec = &crt_mqtt5_codec;
    m->options.connect = &m->connect;
    m->options.handler = &mqtt_client_handler;
    m->options.user = client;
    m->options.handshake = client->callbacks[ON_HANDSHAKE] != NULL;
    int status = crt_mqtt_client_new(&m->options, &client->engine);
    if (status) {
        awscrt_raise(status, "making a MQTT client");
        return -1;
    }
    client->sink.loop = crt_mqtt_client_loop(client->engine);
    return 0;
}

PyObject *mqtt_client_new(PyObject *module, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"host",      "port",  "bootstrap", "socket_options", "tls_ctx", "connect_packet",
                            "transport", "proxy", "settings",  "callbacks",      "loop",    NULL};
    PyObject *bootstrap, *socket_options, *tls_ctx, *connect, *transport, *proxy, *settings, *callbacks, *loop;
    mqtt_state *state = mqtt_state_of(module);
    making m;
    memset(&m, 0, sizeof(m));
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "sIOOOOOOOOO:client_new", names, &m.options.host, &m.options.port,
                                     &bootstrap, &socket_options, &tls_ctx, &connect, &transport, &proxy, &settings,
                                     &callbacks, &loop) ||
        mqtt_load_types(state)) {
        return NULL;
    }
    mqtt_client *client = crt_calloc(1, sizeof(*client));
    if (!client) {
        return PyErr_NoMemory();
    }
    crt_ref_init(&client->refs);
    client->generation = crt_fork_generation();
    client->module = Py_NewRef(module);
    client->state = state;
    PyObject *handle = NULL;
    if (callbacks_get(client, callbacks) == 0 && bootstrap_get(client, &m, bootstrap) == 0 &&
        awscrt_socket_options_get(socket_options, &m.options.socket) == 0 && tls_get(&m, tls_ctx) == 0 &&
        transport_get(client, &m, transport) == 0 && proxy_get(&m, proxy) == 0 && settings_get(&m, settings) == 0 &&
        mqtt_connect_get(state, connect, &m.connect, &m.will, &m.keep) == 0 && start_engine(client, &m, loop) == 0) {
        handle = PyCapsule_New(client, MQTT_CLIENT, client_dropped);
    }
    mqtt_keep_clear(&m.keep);
    Py_XDECREF(m.keep_proxy_tls);
    if (client->engine) {
        crt_ref_inc(&client->refs); /* the engine's, until on_terminated */
        if (!handle) {
            crt_mqtt_client_close(client->engine);
        }
    }
    if (!handle) {
        mqtt_client_unref(client);
    }
    return handle;
}

/* ---- calls ---- */

static PyObject *none_or_raise(int status) {
    return status ? awscrt_raise(status, "") : Py_NewRef(Py_None);
}

PyObject *mqtt_start(PyObject *module, PyObject *handle) {
    mqtt_client *client = mqtt_client_of(handle);
    return client ? none_or_raise(crt_mqtt_client_start(client->engine)) : NULL;
}

PyObject *mqtt_stop(PyObject *module, PyObject *args) {
    PyObject *handle, *packet;
    if (!PyArg_ParseTuple(args, "OO:stop", &handle, &packet)) {
        return NULL;
    }
    mqtt_client *client = mqtt_client_of(handle);
    if (!client) {
        return NULL;
    }
    if (packet == Py_None) {
        return none_or_raise(crt_mqtt_client_stop(client->engine, NULL));
    }
    crt_mqtt_disconnect disconnect;
    mqtt_keep keep;
    memset(&disconnect, 0, sizeof(disconnect));
    memset(&keep, 0, sizeof(keep));
    PyObject *result = NULL;
    if (mqtt_disconnect_get(client->state, packet, &disconnect, &keep) == 0) {
        result = none_or_raise(crt_mqtt_client_stop(client->engine, &disconnect));
    }
    mqtt_keep_clear(&keep);
    return result;
}

PyObject *mqtt_statistics(PyObject *module, PyObject *handle) {
    mqtt_client *client = mqtt_client_of(handle);
    if (!client) {
        return NULL;
    }
    crt_mqtt_statistics s;
    crt_mqtt_client_statistics(client->engine, &s);
    return Py_BuildValue("KKKK", (unsigned long long)s.incomplete_count, (unsigned long long)s.incomplete_size,
                         (unsigned long long)s.unacked_count, (unsigned long long)s.unacked_size);
}

PyObject *mqtt_acknowledge(PyObject *module, PyObject *args) {
    PyObject *handle;
    unsigned long long ack;
    if (!PyArg_ParseTuple(args, "OK:acknowledge", &handle, &ack)) {
        return NULL;
    }
    mqtt_client *client = mqtt_client_of(handle);
    return client ? none_or_raise(crt_mqtt_client_ack(client->engine, ack)) : NULL;
}

/* ---- WebSocket handshake ---- */

typedef struct handshake_attempt {
    mqtt_client *client;
    uint64_t number;
    bool answered;
} handshake_attempt;

/* Whoever was to answer has lost the attempt: it must end all the same. */
static void attempt_dropped(PyObject *capsule) {
    handshake_attempt *a = PyCapsule_GetPointer(capsule, ATTEMPT);
    if (a->client->generation == crt_fork_generation()) {
        if (!a->answered) {
            crt_mqtt_client_handshake_done(a->client->engine, a->number, AWS_ERROR_INVALID_STATE, NULL, NULL, 0);
        }
        mqtt_client_unref(a->client);
    }
    crt_free(a);
}

PyObject *mqtt_attempt_new(mqtt_client *client, uint64_t number) {
    handshake_attempt *a = crt_calloc(1, sizeof(*a));
    if (!a) {
        return PyErr_NoMemory();
    }
    a->client = client;
    a->number = number;
    PyObject *capsule = PyCapsule_New(a, ATTEMPT, attempt_dropped);
    if (!capsule) {
        crt_free(a);
        return NULL;
    }
    crt_ref_inc(&client->refs);
    return capsule;
}

/* A tuple of (name, value) pairs of str; the strings are borrowed from it. */
static crt_transport_header *headers_get(PyObject *headers, size_t *count) {
    *count = (size_t)PyTuple_Size(headers);
    crt_transport_header *out = crt_calloc(*count + 1, sizeof(*out));
    if (!out) {
        PyErr_NoMemory();
        return NULL;
    }
    for (size_t i = 0; i < *count; i++) {
        PyObject *pair = PyTuple_GetItem(headers, (Py_ssize_t)i);
        if (!PyTuple_Check(pair)) {
            PyErr_SetString(PyExc_TypeError, "headers must be pairs of str");
        } else if (PyArg_ParseTuple(pair, "ss", &out[i].name, &out[i].value)) {
            continue;
        }
        crt_free(out);
        return NULL;
    }
    return out;
}

/* (attempt, code, path, headers): code 0 goes on with the request, anything else fails the attempt. */
PyObject *mqtt_handshake_done(PyObject *module, PyObject *args) {
    PyObject *capsule, *headers;
    int code;
    const char *path;
    if (!PyArg_ParseTuple(args, "OisO!:handshake_done", &capsule, &code, &path, &PyTuple_Type, &headers)) {
        return NULL;
    }
    handshake_attempt *a = PyCapsule_GetPointer(capsule, ATTEMPT);
    size_t count;
    crt_transport_header *list = a ? headers_get(headers, &count) : NULL;
    if (!list) {
        return NULL;
    }
    a->answered = true;
    int status = crt_mqtt_client_handshake_done(a->client->engine, a->number, code, path, list, count);
    crt_free(list);
    return none_or_raise(status);
}
