/*
 * awscrt._core._EventStreamChannel: a connection that carries messages. The rules of the RPC protocol are Python's
 * (awscrt.eventstream.rpc); here is what must not wait for it.
 */
#include "eventstream.h"

#include <stdio.h>

typedef struct channel {
    crt_refcount refs; /* the Python object, the connection until it is over, and messages under way */
    uint32_t generation;
    crt_es_channel *native;
    crt_loop *loop;
    PyObject *keep; /* bootstrap: its threads run the connection */
    PyObject *on_setup;
    PyObject *on_message;
    PyObject *on_shutdown;
    crt_fault connect_fault;
    crt_fault shutdown_fault;
    awscrt_event connected;
    awscrt_event messages;
    awscrt_event closed;
} channel;

typedef struct channel_object {
    PyObject_HEAD
    channel *channel;
} channel_object;

static channel *of(PyObject *self) {
    return ((channel_object *)self)->channel;
}

static void channel_unref(channel *c) {
    if (!crt_ref_dec(&c->refs)) {
        return;
    }
    crt_es_channel_release(c->native);
    Py_XDECREF(c->keep);
    Py_XDECREF(c->on_setup);
    Py_XDECREF(c->on_message);
    Py_XDECREF(c->on_shutdown);
    crt_free(c);
}

/* ---- calling Python ---- */

static void call_with(PyObject *callable, PyObject *argument) {
    PyObject *result = awscrt_call1(callable, argument);
    if (!result) {
        awscrt_report(callable);
    }
    Py_XDECREF(result);
}

/* The exception for a code, or None. New reference. */
static PyObject *exception_or_none(int code, const char *detail) {
    return code ? awscrt_exception(code, detail) : Py_NewRef(Py_None);
}

static void call_with_fault(PyObject *callable, const crt_fault *fault) {
    PyObject *error = exception_or_none(fault->code, fault->detail);
    call_with(callable, error);
    Py_DECREF(error);
}

/* The connection is over: nobody is called any more, and what the callbacks hold is free. */
static void channel_ended(channel *c) {
    Py_CLEAR(c->on_setup);
    Py_CLEAR(c->on_message);
    Py_CLEAR(c->on_shutdown);
    channel_unref(c);
}

static void deliver_connected(awscrt_event *event) {
    channel *c = CRT_CONTAINER(event, channel, connected);
    call_with_fault(c->on_setup, &c->connect_fault);
    if (c->connect_fault.code) {
        channel_ended(c);
    }
}

static void deliver_closed(awscrt_event *event) {
    channel *c = CRT_CONTAINER(event, channel, closed);
    call_with_fault(c->on_shutdown, &c->shutdown_fault);
    channel_ended(c);
}

/* on_message(headers, payload, message_type, flags, stream_id). headers None: the block cannot be parsed;
   message_type None: a reserved header is missing. */
static void deliver_message(channel *c, const crt_es_message *message) {
    awscrt_es_route route = {0, 0, 0, 0};
    PyObject *headers = awscrt_es_header_list(message->headers, &route);
    if (!headers) {
        PyErr_Clear();
        headers = Py_NewRef(Py_None);
    }
    const bool routed = route.found == AWSCRT_ES_ROUTED && headers != Py_None;
    PyObject *payload =
        PyBytes_FromStringAndSize((const char *)message->payload.ptr, (Py_ssize_t)message->payload.len);
    PyObject *type = routed ? PyLong_FromLong(route.message_type) : Py_NewRef(Py_None);
    PyObject *flags = PyLong_FromUnsignedLong((uint32_t)route.flags);
    PyObject *stream_id = PyLong_FromLong(route.stream_id);
    PyObject *result = NULL;
    if (payload && type && flags && stream_id) {
        result = PyObject_CallFunctionObjArgs(c->on_message, headers, payload, type, flags, stream_id, NULL);
    }
    if (!result) {
        awscrt_report(c->on_message);
    }
    Py_XDECREF(result);
    Py_XDECREF(stream_id);
    Py_XDECREF(flags);
    Py_XDECREF(type);
    Py_XDECREF(payload);
    Py_DECREF(headers);
}

static void deliver_messages(awscrt_event *event) {
    channel *c = CRT_CONTAINER(event, channel, messages);
    crt_es_message message;
    while (awscrt_python_alive() && crt_es_channel_take(c->native, &message)) {
        deliver_message(c, &message);
    }
    crt_es_channel_taken(c->native);
    channel_unref(c);
}

static void discard(awscrt_event *event) { /* its objects are left alone */
}

/* ---- what the connection tells ---- */

static void push(channel *c, awscrt_event *event) {
    const awscrt_sink sink = {c->loop, NULL};
    awscrt_deliver(&sink, event);
}

static void on_connected(void *user, const crt_fault *fault) {
    channel *c = user;
    c->connect_fault = *fault;
    push(c, &c->connected);
}

static void on_messages(void *user) {
    channel *c = user;
    crt_ref_inc(&c->refs);
    push(c, &c->messages);
}

static void on_closed(void *user, const crt_fault *fault) {
    channel *c = user;
    c->shutdown_fault = *fault;
    push(c, &c->closed);
}

static const crt_es_channel_handler handler = {on_connected, on_messages, on_closed};

/* ---- streams ---- */

/* Whether a stream has ended, for messages that are already on their way to the loop. */
typedef struct stream_object {
    PyObject_HEAD
    bool ended; /* touched on the loop only */
} stream_object;

static PyObject *stream_end(PyObject *self, PyObject *unused) {
    ((stream_object *)self)->ended = true;
    Py_RETURN_NONE;
}

static void stream_dealloc(PyObject *self) {
    awscrt_free_instance(self);
}

static PyMethodDef stream_methods[] = {
    {"end", stream_end, METH_NOARGS, "Fails messages not written yet. On the event loop only."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot stream_slots[] = {
    {Py_tp_dealloc, stream_dealloc},
    {Py_tp_methods, stream_methods},
    {Py_tp_doc, "Native part of awscrt.eventstream.rpc.ClientContinuation."},
    {0, NULL},
};

static PyType_Spec stream_spec = {
    .name = "awscrt._core._EventStreamStream",
    .basicsize = sizeof(stream_object),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = stream_slots,
};

static PyTypeObject *stream_type; /* of the one interpreter we serve; kept for the life of the process */

/* ---- sending ---- */

typedef struct outgoing {
    crt_es_send send;
    awscrt_event event;
    channel *channel;
    int status;
    PyObject *data;
    PyObject *stream; /* or None */
    PyObject *future;
    PyObject *on_sent;  /* called without arguments, when it was written; or None */
    PyObject *on_flush; /* called with error=; or None */
} outgoing;

static void call_on_flush(PyObject *on_flush, PyObject *error) {
    PyObject *args = PyTuple_New(0);
    PyObject *kwargs = args ? Py_BuildValue("{s:O}", "error", error) : NULL;
    PyObject *result = kwargs ? PyObject_Call(on_flush, args, kwargs) : NULL;
    if (!result) {
        awscrt_report(on_flush);
    }
    Py_XDECREF(result);
    Py_XDECREF(kwargs);
    Py_XDECREF(args);
}

static void outgoing_free(outgoing *o) {
    Py_DECREF(o->data);
    Py_DECREF(o->stream);
    Py_DECREF(o->future);
    Py_DECREF(o->on_sent);
    Py_DECREF(o->on_flush);
    channel_unref(o->channel);
    crt_free(o);
}

static void deliver_sent(awscrt_event *event) {
    outgoing *o = CRT_CONTAINER(event, outgoing, event);
    if (o->on_sent != Py_None && !o->status) {
        PyObject *result = awscrt_call0(o->on_sent);
        if (!result) {
            awscrt_report(o->on_sent);
        }
        Py_XDECREF(result);
    }
    PyObject *error = exception_or_none(o->status, NULL);
    if (o->on_flush != Py_None) {
        call_on_flush(o->on_flush, error);
    }
    if (o->status) {
        awscrt_future_set_exception(o->future, error);
    } else {
        awscrt_future_set_result(o->future, Py_None);
    }
    Py_DECREF(error);
    outgoing_free(o);
}

static void discard_sent(awscrt_event *event) {
    crt_free(CRT_CONTAINER(event, outgoing, event));
}

static void on_done(crt_es_send *send, int status) {
    outgoing *o = CRT_CONTAINER(send, outgoing, send);
    o->status = status;
    push(o->channel, &o->event);
}

static channel *usable(PyObject *self) {
    channel *c = of(self);
    if (!c || !c->native) {
        PyErr_SetString(PyExc_RuntimeError, "this connection was not made by connect()");
        return NULL;
    }
    if (c->generation != crt_fork_generation()) {
        PyErr_SetString(PyExc_RuntimeError,
                        "this event-stream connection was made before fork() and belongs to the parent process. Make "
                        "a new one after the fork, or start processes with 'spawn' or 'forkserver'");
        return NULL;
    }
    return c;
}

static PyObject *channel_send(PyObject *self, PyObject *const *args, Py_ssize_t nargs) {
    channel *c = usable(self);
    if (!c) {
        return NULL;
    }
    if (nargs != 6 || !PyBytes_Check(args[0]) || !PyLong_Check(args[1]) ||
        (args[5] != Py_None && Py_TYPE(args[5]) != stream_type)) {
        PyErr_SetString(PyExc_TypeError, "expected (bytes, status, future, on_sent, on_flush, stream)");
        return NULL;
    }
    outgoing *o = crt_calloc(1, sizeof(*o));
    if (!o) {
        return PyErr_NoMemory();
    }
    crt_ref_inc(&c->refs);
    o->channel = c;
    o->data = Py_NewRef(args[0]);
    o->future = Py_NewRef(args[2]);
    o->on_sent = Py_NewRef(args[3]);
    o->on_flush = Py_NewRef(args[4]);
    o->stream = Py_NewRef(args[5]);
    o->event.deliver = deliver_sent;
    o->event.discard = discard_sent;
    o->send.data = crt_bytes_of(PyBytes_AsString(o->data), (size_t)PyBytes_Size(o->data));
    o->send.status = (int)PyLong_AsLong(args[1]);
    o->send.ended = args[5] == Py_None ? NULL : &((stream_object *)args[5])->ended;
    o->send.done = on_done;
    crt_es_channel_send(c->native, &o->send);
    Py_RETURN_NONE;
}

static PyObject *channel_close(PyObject *self, PyObject *code) {
    channel *c = usable(self);
    const long number = c ? PyLong_AsLong(code) : -1;
    if (!c || (number == -1 && PyErr_Occurred())) {
        return NULL;
    }
    crt_es_channel_close(c->native, (int)number);
    Py_RETURN_NONE;
}

/* ---- connecting ---- */

enum argument {
    HOST_NAME,
    PORT,
    BOOTSTRAP,
    SOCKET_OPTIONS,
    TLS_OPTIONS,
    ON_SETUP,
    ON_MESSAGE,
    ON_SHUTDOWN,
    ARGUMENTS,
};

static int target_of(PyObject *const *given, crt_es_channel_options *options) {
    Py_ssize_t len;
    options->host = PyUnicode_AsUTF8AndSize(given[HOST_NAME], &len);
    if (!options->host) {
        return -1;
    }
    if (strlen(options->host) != (size_t)len) {
        PyErr_SetString(PyExc_ValueError, "host_name contains NUL");
        return -1;
    }
    const unsigned long port = PyLong_AsUnsignedLong(given[PORT]); /* OverflowError below 0 */
    if (port == (unsigned long)-1 && PyErr_Occurred()) {
        return -1;
    }
    if (port > UINT32_MAX) {
        PyErr_Format(PyExc_OverflowError, "port must be 0 to 4294967295, got %lu", port);
        return -1;
    }
    options->port = (uint32_t)port;
    return awscrt_socket_options_get(given[SOCKET_OPTIONS], &options->socket);
}

/* 0, or -1 + exception. Takes a reference of its own on success. */
static int start(channel *c, PyObject *const *given) {
    crt_es_channel_options options = {.handler = &handler, .user = c};
    crt_tls_options tls;
    crt_loop_group *group;
    PyObject *keep_tls;
    if (target_of(given, &options) || awscrt_tls_options_get(given[TLS_OPTIONS], &tls, &keep_tls)) {
        return -1;
    }
    int status = awscrt_bootstrap_get(given[BOOTSTRAP], &group, &options.resolver, &c->keep);
    if (status == 0) {
        options.tls = tls.ctx ? &tls : NULL;
        options.loop = c->loop = crt_loop_group_pick(group);
        crt_ref_inc(&c->refs);
        if (crt_es_channel_connect(&options, &c->native)) {
            channel_unref(c);
            PyErr_NoMemory();
            status = -1;
        }
    }
    Py_XDECREF(keep_tls);
    return status;
}

static PyObject *eventstream_connect(PyObject *type, PyObject *const *args, Py_ssize_t nargs) {
    if (nargs != ARGUMENTS) {
        PyErr_Format(PyExc_TypeError, "expected %d arguments", ARGUMENTS);
        return NULL;
    }
    PyObject *self = awscrt_es_need_types() ? NULL : PyType_GenericAlloc((PyTypeObject *)type, 0);
    channel *c = self ? crt_calloc(1, sizeof(*c)) : NULL;
    if (!c) {
        Py_XDECREF(self);
        return self ? PyErr_NoMemory() : NULL;
    }
    crt_ref_init(&c->refs);
    ((channel_object *)self)->channel = c;
    c->generation = crt_fork_generation();
    c->on_setup = Py_NewRef(args[ON_SETUP]);
    c->on_message = Py_NewRef(args[ON_MESSAGE]);
    c->on_shutdown = Py_NewRef(args[ON_SHUTDOWN]);
    c->connected.deliver = deliver_connected;
    c->messages.deliver = deliver_messages;
    c->closed.deliver = deliver_closed;
    c->connected.discard = c->messages.discard = c->closed.discard = discard;
    if (start(c, args)) {
        Py_DECREF(self);
        return NULL;
    }
    return self;
}

/* ---- the type ---- */

static void channel_dealloc(PyObject *self) {
    channel *c = of(self);
    if (c && c->generation == crt_fork_generation()) {
        channel_unref(c);
    }
    awscrt_free_instance(self);
}

static PyMethodDef channel_methods[] = {
    {"connect", (PyCFunction)(void (*)(void))eventstream_connect, METH_FASTCALL | METH_CLASS,
     "(host_name, port, bootstrap, socket_options, tls_connection_options, on_setup, on_message, on_shutdown)"},
    {"send", (PyCFunction)(void (*)(void))channel_send, METH_FASTCALL,
     "(message, status, future, on_sent, on_flush, stream or None): a status other than 0 fails it on the loop, "
     "unsent."},
    {"close", channel_close, METH_O, "(code): behind what was sent before."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot channel_slots[] = {
    {Py_tp_dealloc, channel_dealloc},
    {Py_tp_methods, channel_methods},
    {Py_tp_doc, "Native part of awscrt.eventstream.rpc.ClientConnection."},
    {0, NULL},
};

static PyType_Spec channel_spec = {
    .name = "awscrt._core._EventStreamChannel",
    .basicsize = sizeof(channel_object),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = channel_slots,
};

/* (object, method name, **arguments): calls it and hands what it raises to sys.unraisablehook. True: it returned. */
static PyObject *call_reporting(PyObject *module, PyObject *args, PyObject *kwargs) {
    PyObject *object;
    const char *name;
    if (!PyArg_ParseTuple(args, "Os:call_reporting", &object, &name)) {
        return NULL;
    }
    PyObject *method = PyObject_GetAttrString(object, name);
    PyObject *empty = method ? PyTuple_New(0) : NULL;
    PyObject *result = empty ? PyObject_Call(method, empty, kwargs) : NULL;
    if (!result) {
        awscrt_report(method ? method : object);
    }
    Py_XDECREF(empty);
    Py_XDECREF(method);
    Py_XDECREF(result);
    return PyBool_FromLong(result != NULL);
}

static PyMethodDef functions[] = {
    {"call_reporting", (PyCFunction)(void (*)(void))call_reporting, METH_VARARGS | METH_KEYWORDS,
     "(object, method name, **arguments) -> whether it returned; what it raises goes to sys.unraisablehook"},
    {NULL, NULL, 0, NULL},
};

int awscrt_es_channel_init(PyObject *module) {
    PyObject *type = PyType_FromSpec(&channel_spec);
    int status = type ? PyModule_AddObjectRef(module, "_EventStreamChannel", type) : -1;
    Py_XDECREF(type);
    stream_type = status ? NULL : (PyTypeObject *)PyType_FromSpec(&stream_spec);
    if (!stream_type || PyModule_AddObjectRef(module, "_EventStreamStream", (PyObject *)stream_type)) {
        return -1;
    }
    return PyModule_AddFunctions(module, functions);
}
