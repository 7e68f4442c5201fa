/*
 * A feature as a third party would write it, for the tests: it reaches core through awscrt/core_api.h alone and
 * makes events on loops for the tests to watch.
 */
#include <stdio.h>

#define AWSCRT_CORE_IMPLEMENT
#include "awscrt/core_api.h"
#include "awscrt/pycompat.h"

/* ---- events: a callback with a number ---- */

typedef struct call_event {
    awscrt_event event;
    PyObject *callback;
    long number;
} call_event;

static void call_deliver(awscrt_event *event) {
    call_event *self = CRT_CONTAINER(event, call_event, event);
    PyObject *result = PyObject_CallFunction(self->callback, "l", self->number);
    if (!result) {
        awscrt_report(self->callback);
    }
    Py_XDECREF(result);
    Py_DECREF(self->callback);
    crt_free(self);
}

static void call_discard(awscrt_event *event) {
    crt_free(CRT_CONTAINER(event, call_event, event));
}

/* One task on a loop that pushes `count` events. */
typedef struct burst {
    crt_task task;
    awscrt_sink sink;
    call_event **events;
    long count;
} burst;

static void burst_run(crt_task *task, int status) {
    burst *self = CRT_CONTAINER(task, burst, task);
    for (long i = 0; i < self->count; i++) {
        awscrt_deliver(&self->sink, &self->events[i]->event);
    }
    awscrt_mailbox_release(self->sink.mailbox);
    crt_free(self->events);
    crt_free(self);
}

static burst *burst_new(crt_loop *loop, awscrt_mailbox *mailbox, PyObject *callback, long count) {
    burst *self = crt_calloc(1, sizeof(*self));
    self->task.run = burst_run;
    self->sink.loop = loop;
    self->sink.mailbox = mailbox;
    self->events = crt_calloc((size_t)count, sizeof(*self->events));
    self->count = count;
    for (long i = 0; i < count; i++) {
        call_event *event = crt_calloc(1, sizeof(*event));
        event->event.deliver = call_deliver;
        event->event.discard = call_discard;
        event->callback = Py_NewRef(callback);
        event->number = i;
        self->events[i] = event;
    }
    return self;
}

static crt_loop *loop_of(PyObject *bootstrap, PyObject **keep) {
    crt_loop_group *group;
    crt_resolver *resolver;
    if (awscrt_bootstrap_get(bootstrap, &group, &resolver, keep)) {
        return NULL;
    }
    return crt_loop_group_at(group, 0);
}

/* call_on_loop(bootstrap, callback, count): callback(0), callback(1)... from the outbox of the first loop */
static PyObject *call_on_loop(PyObject *module, PyObject *args) {
    PyObject *bootstrap, *callback, *keep;
    long count;
    if (!PyArg_ParseTuple(args, "OOl", &bootstrap, &callback, &count)) {
        return NULL;
    }
    crt_loop *loop = loop_of(bootstrap, &keep);
    if (!loop) {
        return NULL;
    }
    crt_loop_post(loop, &burst_new(loop, NULL, callback, count)->task);
    Py_DECREF(keep);
    Py_RETURN_NONE;
}

/* call_in_asyncio(bootstrap, asyncio loop, callback, count): pushed from the first loop's thread */
static PyObject *call_in_asyncio(PyObject *module, PyObject *args) {
    PyObject *bootstrap, *asyncio_loop, *callback, *keep;
    long count;
    if (!PyArg_ParseTuple(args, "OOOl", &bootstrap, &asyncio_loop, &callback, &count)) {
        return NULL;
    }
    awscrt_mailbox *mailbox = awscrt_mailbox_of(asyncio_loop);
    crt_loop *loop = mailbox ? loop_of(bootstrap, &keep) : NULL;
    if (!loop) {
        awscrt_mailbox_release(mailbox);
        return NULL;
    }
    crt_loop_post(loop, &burst_new(loop, mailbox, callback, count)->task);
    Py_DECREF(keep);
    Py_RETURN_NONE;
}

static void held_burst_dropped(PyObject *capsule) {
    burst *self = PyCapsule_GetPointer(capsule, "probe.burst");
    burst_run(&self->task, 0);
}

/* hold_in_asyncio(asyncio loop, callback, count): pushed by whoever drops the returned object */
static PyObject *hold_in_asyncio(PyObject *module, PyObject *args) {
    PyObject *asyncio_loop, *callback;
    long count;
    if (!PyArg_ParseTuple(args, "OOl", &asyncio_loop, &callback, &count)) {
        return NULL;
    }
    awscrt_mailbox *mailbox = awscrt_mailbox_of(asyncio_loop);
    if (!mailbox) {
        return NULL;
    }
    return PyCapsule_New(burst_new(NULL, mailbox, callback, count), "probe.burst", held_burst_dropped);
}

/* ---- futures ---- */

typedef struct completion {
    awscrt_event event;
    crt_task task;
    crt_loop *loop;
    PyObject *future;
    int code;
} completion;

static void completion_deliver(awscrt_event *event) {
    completion *self = CRT_CONTAINER(event, completion, event);
    if (self->code) {
        PyObject *exception = awscrt_exception(self->code, "while probing");
        awscrt_future_set_exception(self->future, exception);
        Py_DECREF(exception);
    } else {
        awscrt_future_set_result(self->future, Py_True);
    }
    Py_DECREF(self->future);
    crt_free(self);
}

static void completion_discard(awscrt_event *event) {
    crt_free(CRT_CONTAINER(event, completion, event));
}

static void completion_run(crt_task *task, int status) {
    completion *self = CRT_CONTAINER(task, completion, task);
    const awscrt_sink sink = {self->loop, NULL};
    awscrt_deliver(&sink, &self->event);
}

/* complete(bootstrap, code) -> future that ends with True, or with the error of the code */
static PyObject *complete(PyObject *module, PyObject *args) {
    PyObject *bootstrap, *keep;
    int code;
    if (!PyArg_ParseTuple(args, "Oi", &bootstrap, &code)) {
        return NULL;
    }
    crt_loop *loop = loop_of(bootstrap, &keep);
    PyObject *future = loop ? awscrt_future_new() : NULL;
    if (!future) {
        return NULL;
    }
    completion *self = crt_calloc(1, sizeof(*self));
    self->event.deliver = completion_deliver;
    self->event.discard = completion_discard;
    self->task.run = completion_run;
    self->loop = loop;
    self->future = Py_NewRef(future);
    self->code = code;
    crt_loop_post(loop, &self->task);
    Py_DECREF(keep);
    return future;
}

/* ---- sources: everything a stream gives, or its error ---- */

typedef struct drain {
    crt_task task;
    awscrt_event event;
    crt_loop *loop;
    crt_source *source;
    crt_buf data;
    size_t chunk;
    int status;
    bool rewound;
    bool rewind_first;
    PyObject *future;
    PyObject *keep;
} drain;

static void drain_deliver(awscrt_event *event) {
    drain *self = CRT_CONTAINER(event, drain, event);
    PyObject *value = self->status ? awscrt_exception(self->status, "")
                                   : PyBytes_FromStringAndSize((const char *)crt_buf_data(&self->data),
                                                               (Py_ssize_t)crt_buf_len(&self->data));
    if (self->status) {
        awscrt_future_set_exception(self->future, value);
    } else {
        awscrt_future_set_result(self->future, value);
    }
    Py_DECREF(value);
    Py_DECREF(self->future);
    Py_XDECREF(self->keep);
    crt_buf_free(&self->data);
    crt_free(self);
}

static void drain_discard(awscrt_event *event) {
}

static void drain_next(drain *self);

static void drain_end(drain *self, int status) {
    self->status = status;
    crt_source_release(self->source);
    const awscrt_sink sink = {self->loop, NULL};
    awscrt_deliver(&sink, &self->event);
}

static void drain_got(void *user, int status, size_t n, bool eof) {
    drain *self = user;
    self->data.end += n;
    if (!status && eof && self->rewind_first && !self->rewound) {
        self->rewound = true;
        crt_buf_clear(&self->data);
        status = self->source->ops->rewind(self->source);
        eof = false;
    }
    if (status || eof) {
        drain_end(self, status);
        return;
    }
    drain_next(self);
}

static void drain_next(drain *self) {
    crt_buf_reserve(&self->data, self->chunk);
    const crt_span space = {self->data.ptr + self->data.end, self->chunk};
    self->source->ops->read(self->source, self->loop, space, drain_got, self);
}

static void drain_run(crt_task *task, int status) {
    drain_next(CRT_CONTAINER(task, drain, task));
}

/* read_all(bootstrap, InputStream, chunk, rewind, hold=True) -> future of bytes; rewind: reads twice, gives the second;
   hold: keeps the loop as long as it reads */
static PyObject *read_all(PyObject *module, PyObject *args) {
    PyObject *bootstrap, *stream, *keep;
    Py_ssize_t chunk;
    int rewind_first, hold = 1;
    if (!PyArg_ParseTuple(args, "OOnp|p", &bootstrap, &stream, &chunk, &rewind_first, &hold)) {
        return NULL;
    }
    crt_source *source = awscrt_source_of_input_stream(stream);
    crt_loop *loop = source ? loop_of(bootstrap, &keep) : NULL;
    if (!loop) {
        crt_source_release(source);
        return NULL;
    }
    drain *self = crt_calloc(1, sizeof(*self));
    self->task.run = drain_run;
    self->event.deliver = drain_deliver;
    self->event.discard = drain_discard;
    self->loop = loop;
    self->source = source;
    self->chunk = (size_t)chunk;
    self->rewind_first = rewind_first;
    self->future = awscrt_future_new();
    self->keep = hold ? Py_NewRef(keep) : NULL;
    PyObject *future = Py_NewRef(self->future);
    crt_loop_post(loop, &self->task);
    Py_DECREF(keep);
    return future;
}

/* buffer_source_bytes(buffer) -> (bytes of the MEMORY source, its length) */
static PyObject *buffer_source_bytes(PyObject *module, PyObject *buffer) {
    crt_source *source = awscrt_source_of_buffer(buffer);
    if (!source) {
        return NULL;
    }
    PyObject *result = Py_BuildValue("y#K", (const char *)source->memory.ptr, (Py_ssize_t)source->memory.len,
                                     (unsigned long long)source->length);
    crt_source_release(source);
    return result;
}

/* ---- errors and options ---- */

static PyObject *exception(PyObject *module, PyObject *args) {
    int code;
    const char *detail;
    if (!PyArg_ParseTuple(args, "iz", &code, &detail)) {
        return NULL;
    }
    return awscrt_exception(code, detail);
}

static PyObject *raise_code(PyObject *module, PyObject *args) {
    int code;
    Py_buffer detail; /* any bytes; the objects of the tests end with a NUL */
    if (!PyArg_ParseTuple(args, "iz*", &code, &detail)) {
        return NULL;
    }
    awscrt_raise(code, detail.buf);
    PyBuffer_Release(&detail);
    return NULL;
}

/* code_of(callable) -> code of what it raises */
static PyObject *code_of(PyObject *module, PyObject *callable) {
    PyObject *result = awscrt_call0(callable);
    if (result) {
        Py_DECREF(result);
        Py_RETURN_NONE;
    }
    return PyLong_FromLong(awscrt_code_of_exception());
}

static PyObject *socket_options(PyObject *module, PyObject *options) {
    crt_socket_options out;
    if (awscrt_socket_options_get(options, &out)) {
        return NULL;
    }
    return Py_BuildValue("iIiiii", out.domain, out.connect_timeout_ms, out.keep_alive, out.keep_alive_timeout_secs,
                         out.keep_alive_interval_secs, out.keep_alive_max_probes);
}

static PyObject *tls_options(PyObject *module, PyObject *options) {
    crt_tls_options out;
    PyObject *keep;
    if (awscrt_tls_options_get(options, &out, &keep)) {
        return NULL;
    }
    PyObject *result = Py_BuildValue("izzI", out.ctx != NULL, out.server_name, out.alpn, (unsigned)out.timeout_ms);
    Py_XDECREF(keep);
    return result;
}

/* ---- one TLS connection ---- */

typedef struct dialog {
    awscrt_event event;
    crt_loop *loop;
    crt_stream *stream;
    bool until_closed;
    crt_fault fault;
    char alpn[128];
    uint8_t received[4096];
    PyObject *future;
    PyObject *keep;
} dialog;

static void dialog_deliver(awscrt_event *event) {
    dialog *self = CRT_CONTAINER(event, dialog, event);
    PyObject *value = self->fault.code ? awscrt_exception(self->fault.code, self->fault.detail)
                                       : PyUnicode_FromString(self->alpn);
    if (self->fault.code) {
        awscrt_future_set_exception(self->future, value);
    } else {
        awscrt_future_set_result(self->future, value);
    }
    Py_DECREF(value);
    Py_DECREF(self->future);
    Py_DECREF(self->keep);
    crt_free(self);
}

static void dialog_discard(awscrt_event *event) {
}

static void dialog_space(void *user, crt_span *space) {
    dialog *self = user;
    *space = (crt_span){self->received, sizeof(self->received)};
}

static void dialog_data(void *user, size_t n) {
}

static void dialog_end(dialog *self, const crt_fault *fault) {
    const awscrt_sink sink = {self->loop, NULL};
    self->fault = *fault;
    awscrt_deliver(&sink, &self->event);
}

static void dialog_closed(void *user, const crt_fault *fault) {
    dialog *self = user;
    crt_stream_release(self->stream);
    dialog_end(self, fault);
}

static void dialog_connected(void *user, const crt_fault *fault, crt_stream *stream) {
    static const crt_stream_handler handler = {dialog_space, dialog_data, NULL, dialog_closed};
    dialog *self = user;
    if (fault->code) {
        dialog_end(self, fault);
        return;
    }
    const crt_bytes alpn = crt_stream_alpn(stream);
    snprintf(self->alpn, sizeof(self->alpn), "%.*s", (int)alpn.len, (const char *)alpn.ptr);
    self->stream = stream;
    crt_stream_set_handler(stream, &handler, self);
    if (!self->until_closed) {
        crt_stream_close(stream, 0);
    }
}

/*
 * tls_connect(bootstrap, host, port, TlsConnectionOptions, until_closed) -> future of the negotiated ALPN name, done
 * when the connection is closed: by us at once, or with until_closed by the peer. Else the error.
 */
static PyObject *tls_connect(PyObject *module, PyObject *args) {
    PyObject *bootstrap, *options, *keep_bootstrap, *keep_tls;
    const char *host;
    unsigned port;
    int until_closed;
    if (!PyArg_ParseTuple(args, "OsIOp", &bootstrap, &host, &port, &options, &until_closed)) {
        return NULL;
    }
    crt_loop_group *group;
    crt_tls_options tls;
    crt_connect_options connect = {.host = host, .port = port, .socket = CRT_SOCKET_OPTIONS_DEFAULT, .tls = &tls};
    if (awscrt_bootstrap_get(bootstrap, &group, &connect.resolver, &keep_bootstrap)) {
        return NULL;
    }
    if (awscrt_tls_options_get(options, &tls, &keep_tls)) {
        Py_DECREF(keep_bootstrap);
        return NULL;
    }
    dialog *self = crt_calloc(1, sizeof(*self));
    self->event.deliver = dialog_deliver;
    self->event.discard = dialog_discard;
    self->loop = connect.loop = crt_loop_group_at(group, 0);
    self->until_closed = until_closed;
    self->future = awscrt_future_new();
    self->keep = keep_bootstrap;
    connect.done = dialog_connected;
    connect.user = self;
    PyObject *future = Py_NewRef(self->future);
    crt_stream_connect(&connect);
    Py_DECREF(keep_tls);
    return future;
}

static PyMethodDef methods[] = {
    {"call_on_loop", call_on_loop, METH_VARARGS, NULL},
    {"call_in_asyncio", call_in_asyncio, METH_VARARGS, NULL},
    {"hold_in_asyncio", hold_in_asyncio, METH_VARARGS, NULL},
    {"complete", complete, METH_VARARGS, NULL},
    {"read_all", read_all, METH_VARARGS, NULL},
    {"buffer_source_bytes", buffer_source_bytes, METH_O, NULL},
    {"exception", exception, METH_VARARGS, NULL},
    {"raise_code", raise_code, METH_VARARGS, NULL},
    {"code_of", code_of, METH_O, NULL},
    {"socket_options", socket_options, METH_O, NULL},
    {"tls_options", tls_options, METH_O, NULL},
    {"tls_connect", tls_connect, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef definition = {PyModuleDef_HEAD_INIT, .m_name = "awscrt_probe", .m_size = -1, .m_methods = methods};

PyMODINIT_FUNC PyInit_awscrt_probe(void) {
    return awscrt_core_import("awscrt-probe") ? NULL : PyModule_Create(&definition);
}
