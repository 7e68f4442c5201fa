/*
 * What only HTTP/2 streams have: pieces of the request body that the user writes, the peer's END_STREAM, and an end
 * that leaves the connection alone. ClientStream's counterpart is Http2Stream (awscrt.http.Http2ClientStream).
 */
#include "stream.h"

static stream_data *of(PyObject *self) {
    return awscrt_stream_of(self);
}

/* ---- writes ---- */

typedef struct write_op {
    awscrt_event event;
    awscrt_exchange *exchange; /* its sink is where the event goes; held by `stream` */
    PyObject *stream;
    PyObject *future; /* of concurrent.futures, or of the stream's asyncio loop */
    int code;
} write_op;

static void tell_future(const write_op *op) {
    if (!op->code) {
        awscrt_future_set_result(op->future, Py_None);
        return;
    }
    PyObject *exception = awscrt_exception(op->code, NULL);
    awscrt_future_set_exception(op->future, exception);
    Py_DECREF(exception);
}

static void deliver_write(awscrt_event *event) {
    write_op *op = CRT_CONTAINER(event, write_op, event);
    if (op->exchange->sink.mailbox) {
        awscrt_aio_wake(of(op->stream), op->future, op->code ? Py_False : Py_True);
    } else {
        tell_future(op);
    }
    Py_DECREF(op->future);
    Py_DECREF(op->stream);
    crt_free(op);
}

static void discard_write(awscrt_event *event) {
    crt_free(CRT_CONTAINER(event, write_op, event));
}

static void on_written(void *user, int status) {
    write_op *op = user;
    op->code = status;
    awscrt_deliver(&op->exchange->sink, &op->event);
}

/* Why the stream takes no writes, as far as Python knows; 0: ask the runtime. */
static int refusal(const stream_data *data) {
    if (!data->manual_write) {
        return AWS_ERROR_HTTP_MANUAL_WRITE_NOT_ENABLED;
    }
    return data->exchange->native ? 0 : AWS_ERROR_HTTP_STREAM_HAS_COMPLETED;
}

/* 0 when `future` will be completed, else the code of the refusal; -1 + MemoryError. */
static int submit(PyObject *self, crt_source *source, bool end, PyObject *future) {
    stream_data *data = of(self);
    int code = refusal(data);
    if (code) {
        return code;
    }
    write_op *op = crt_calloc(1, sizeof(*op));
    if (!op) {
        PyErr_NoMemory();
        return -1;
    }
    op->event.deliver = deliver_write;
    op->event.discard = discard_write;
    op->exchange = data->exchange;
    op->stream = Py_NewRef(self);
    op->future = Py_NewRef(future);
    code = crt_http_stream_write(data->exchange->native, source, end, on_written, op);
    if (code) {
        Py_DECREF(op->future);
        Py_DECREF(op->stream);
        crt_free(op);
    }
    return code;
}

/* A source for a stream object; NULL without exception for None. */
static crt_source *source_of_stream(PyObject *stream) {
    if (stream == Py_None) {
        return NULL;
    }
    PyObject *wrapped = awscrt_http_wrap_stream(stream);
    crt_source *source = wrapped ? awscrt_source_of_input_stream(wrapped) : NULL;
    Py_XDECREF(wrapped);
    return source;
}

PyObject *awscrt_stream_write_data(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames) {
    static const char *const names[] = {"data_stream", "end_stream"};
    const awscrt_params params = {"write_data", names, 1, 2};
    PyObject *given[2];
    if (awscrt_http_args(&params, args, nargs, kwnames, given) || !awscrt_stream_check(of(self))) {
        return NULL;
    }
    int end = given[1] ? PyObject_IsTrue(given[1]) : 0;
    crt_source *source = end < 0 ? NULL : source_of_stream(given[0]);
    PyObject *future = PyErr_Occurred() ? NULL : awscrt_future_new();
    int code = future ? submit(self, source, end, future) : -1;
    crt_source_release(source);
    if (!code) {
        return future;
    }
    Py_XDECREF(future);
    return code < 0 ? NULL : awscrt_raise(code, NULL);
}

PyObject *awscrt_http2_write_chunk(PyObject *self, PyObject *chunk) {
    if (!awscrt_stream_check(of(self))) {
        return NULL;
    }
    crt_source *source = awscrt_source_of_buffer(chunk);
    PyObject *future =
        source ? PyObject_CallMethodObjArgs(of(self)->loop, awscrt_http.name_create_future, NULL) : NULL;
    int code = future ? submit(self, source, false, future) : -1;
    crt_source_release(source);
    if (!code) {
        return future;
    }
    Py_XDECREF(future);
    if (code < 0) {
        return NULL;
    }
    Py_RETURN_FALSE;
}

PyObject *awscrt_http2_end_writes(PyObject *self, PyObject *unused) {
    stream_data *data = of(self);
    if (!awscrt_stream_check(data)) {
        return NULL;
    }
    if (!refusal(data)) {
        /* Refused only when the stream is over, which is told elsewhere. */
        (void)crt_http_stream_write(data->exchange->native, NULL, true, NULL, NULL);
    }
    Py_RETURN_NONE;
}

/* ---- the end ---- */

PyObject *awscrt_http2_cancel(PyObject *self, PyObject *unused) {
    stream_data *data = of(self);
    if (!awscrt_stream_check(data)) {
        return NULL;
    }
    if (data->exchange->native) {
        crt_http_stream_cancel(data->exchange->native, AWS_ERROR_HTTP_STREAM_CANCELLED);
    }
    Py_RETURN_NONE;
}

static PyObject *get_remote_end_stream_future(PyObject *self, void *unused) {
    return awscrt_stream_remote_end_future(of(self));
}

/* ---- construction ---- */

static int http2_init(PyObject *self, PyObject *args, PyObject *kwargs) {
    static const char *const names[] = {"connection", "request", "on_response", "on_body", "manual_write"};
    const awscrt_params params = {"Http2ClientStream", names, 2, 5};
    PyObject *given[5];
    if (awscrt_http_args_of_tuple(&params, args, kwargs, given)) {
        return -1;
    }
    int manual_write = given[4] ? PyObject_IsTrue(given[4]) : 0;
    if (manual_write < 0) {
        return -1;
    }
    const awscrt_stream_arguments arguments = {given[0], given[1], given[2], given[3], manual_write, {NULL}};
    return awscrt_stream_setup(self, &arguments);
}

static PyObject *http2_init_method(PyObject *self, PyObject *args, PyObject *kwargs) {
    if (http2_init(self, args, kwargs)) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyMethodDef http2_methods[] = {
    {"__init__", (PyCFunction)(void (*)(void))http2_init_method, METH_VARARGS | METH_KEYWORDS | METH_COEXIST,
     "__init__($self, connection, request, on_response=None, on_body=None, manual_write=False)\n--\n\n"
     "What :meth:`Http2ClientConnection.request` returns."},
    {"activate", awscrt_stream_activate, METH_NOARGS,
     "activate($self)\n--\n\nStarts sending. Repeat calls do nothing.\n\n"
     ":raises RuntimeError: the connection is closed, the peer takes no more requests (GOAWAY), or the stream ids are "
     "used up"},
    {"write_data", (PyCFunction)(void (*)(void))awscrt_stream_write_data, METH_FASTCALL | METH_KEYWORDS,
     "write_data($self, data_stream, end_stream=False)\n--\n\n"
     "Goes on with the request body; for streams made with ``manual_write``. Writes go out in order, after the "
     "``body_stream`` of the request.\n\n"
     ":param data_stream: an :class:`awscrt.io.InputStream` or any object with a ``read`` method; None: no bytes\n"
     ":param end_stream: this was the last write\n"
     ":returns: future of None, completed when the bytes were framed for sending\n"
     ":raises RuntimeError: the stream was not made for it, is not active, is complete, or its end was written"},
    {"cancel", awscrt_http2_cancel, METH_NOARGS,
     "cancel($self)\n--\n\nEnds the stream with RST_STREAM(CANCEL); ``completion_future`` gets "
     "AWS_ERROR_HTTP_STREAM_CANCELLED unless the stream is complete. The connection stays open."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef http2_properties[] = {
    {"remote_end_stream_future", get_remote_end_stream_future, NULL,
     "Future of None, completed when the peer has said all (END_STREAM), possibly long before the stream is complete. "
     "RuntimeError when the stream ends without.",
     NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot http2_slots[] = {
    {Py_tp_doc, "Native part of Http2ClientStream."},
    {Py_tp_init, http2_init},
    {Py_tp_dealloc, awscrt_stream_dealloc},
    {Py_tp_traverse, awscrt_stream_traverse},
    {Py_tp_clear, awscrt_stream_clear},
    {Py_tp_methods, http2_methods},
    {Py_tp_getset, http2_properties},
    {0, NULL},
};

static PyType_Spec http2_spec = {
    .name = "awscrt._http.Http2Stream",
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = http2_slots,
};

int awscrt_http_http2_stream_init(PyObject *module) {
    awscrt_http.native_http2_stream_type =
        awscrt_http_type_new(module, &http2_spec, sizeof(stream_data), (PyObject *)awscrt_http.client_stream_base_type);
    awscrt_http.http2_stream_type = awscrt_http.native_http2_stream_type;
    return awscrt_http.http2_stream_type ? 0 : -1;
}
