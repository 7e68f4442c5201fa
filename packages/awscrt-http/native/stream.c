/*
 * HttpStreamBase, HttpClientStreamBase and ClientStream (awscrt.http.HttpClientStream): streams whose events are
 * callbacks and a future.
 */
#include <stdio.h>

#include "stream.h"

static stream_data *of(PyObject *self) {
    return awscrt_stream_of(self);
}

PyObject *awscrt_http_version(int version) {
    PyObject *type = awscrt_http_import_attribute("awscrt.http", "HttpVersion");
    PyObject *member = type ? PyObject_CallFunction(type, "i", version) : NULL;
    Py_XDECREF(type);
    return member;
}

bool awscrt_stream_check(stream_data *data) {
    if (!data->exchange) {
        PyErr_SetString(PyExc_RuntimeError, "this stream belongs to no connection");
        return false;
    }
    return awscrt_http_check_generation(data->exchange->generation, "stream");
}

/* ---- events ---- */

/* A user's callback raised: the stream ends with what the exception means, on HTTP/1.1 with its connection. */
static void callback_failed(stream_data *data) {
    data->failure = awscrt_exception_take();
    awscrt_exception_put(Py_NewRef(data->failure));
    data->failure_code = awscrt_code_of_exception();
    awscrt_conn *conn = awscrt_http_conn_of(data->connection);
    if (!conn) {
        awscrt_report(data->connection);
        return;
    }
    crt_http_stream_cancel(data->exchange->native, data->failure_code);
    if (crt_http_conn_version(awscrt_http_conn_native(conn)) != CRT_HTTP_2) {
        awscrt_http_conn_fail(conn, data->failure_code);
    }
}

static void call(stream_data *data, PyObject *callback, PyObject *const *names, PyObject *const *values, int count) {
    PyObject *result = awscrt_http_call_keywords(callback, names, values, count);
    if (!result) {
        callback_failed(data);
    }
    Py_XDECREF(result);
}

static void call_with_head(PyObject *self, stream_data *data, PyObject *callback, int code, const crt_buf *head) {
    PyObject *const names[] = {awscrt_http.kw_http_stream, awscrt_http.kw_status_code, awscrt_http.kw_headers};
    PyObject *status = PyLong_FromLong(code);
    PyObject *headers = status ? awscrt_head_list(head) : NULL;
    if (headers) {
        PyObject *const values[] = {self, status, headers};
        call(data, callback, names, values, 3);
    } else {
        callback_failed(data);
    }
    Py_XDECREF(status);
    Py_XDECREF(headers);
}

static void call_on_body(PyObject *self, stream_data *data, const awscrt_batch *batch) {
    PyObject *const names[] = {awscrt_http.kw_http_stream, awscrt_http.kw_chunk};
    PyObject *chunk = PyBytes_FromStringAndSize((const char *)crt_buf_data(&batch->body),
                                                (Py_ssize_t)crt_buf_len(&batch->body));
    if (chunk) {
        PyObject *const values[] = {self, chunk};
        call(data, data->on_body, names, values, 2);
    } else {
        callback_failed(data);
    }
    Py_XDECREF(chunk);
}

/* The exception of the stream's end, with the callback's as its cause; NULL after success. */
static PyObject *final_failure(const stream_data *data) {
    const crt_fault *fault = &data->exchange->fault;
    PyObject *cause = data->failure;
    if (!cause) {
        return fault->code ? awscrt_exception(fault->code, fault->detail) : NULL;
    }
    const awscrt_conn *conn = awscrt_http_conn_of(data->connection);
    char detail[sizeof(fault->detail)];
    if (conn) {
        snprintf(detail, sizeof(detail), "%s: a callback of the stream raised; see the cause of this exception",
                 awscrt_http_conn_where(conn));
    } else {
        PyErr_Clear();
        detail[0] = '\0';
    }
    PyObject *exception = awscrt_exception(data->failure_code, detail);
    PyException_SetCause(exception, Py_NewRef(cause));
    return exception;
}

static void complete_future(const stream_data *data) {
    if (data->failure) {
        awscrt_future_set_exception(data->completion_future, data->failure);
        return;
    }
    PyObject *status = PyLong_FromLong(data->status);
    if (!status) {
        PyObject *exception = awscrt_exception_take();
        awscrt_future_set_exception(data->completion_future, exception);
        Py_DECREF(exception);
        return;
    }
    awscrt_future_set_result(data->completion_future, status);
    Py_DECREF(status);
}

void awscrt_stream_complete(stream_data *data, const awscrt_batch *batch) {
    PyObject *failure = final_failure(data);
    PyObject *old = data->failure;
    data->failure = failure;
    data->completed = true;
    if (data->exchange->target) {
        data->received = awscrt_target_received(data->exchange->target);
    }
    if (batch->status && !data->exchange->head_is_bad) {
        data->status = batch->status;
    }
    Py_XDECREF(old);
    if (data->completion_future) {
        complete_future(data);
    }
}

static void complete_remote_end(const stream_data *data) {
    if (data->remote_ended) {
        awscrt_future_set_result(data->remote_end_future, Py_None);
        return;
    }
    PyErr_SetString(PyExc_RuntimeError, "Stream completed without receiving remote END_STREAM");
    PyObject *exception = awscrt_exception_take();
    awscrt_future_set_exception(data->remote_end_future, exception);
    Py_DECREF(exception);
}

void awscrt_stream_remote_end(stream_data *data, const awscrt_batch *batch) {
    bool known = data->remote_ended;
    data->remote_ended = batch->remote_ended || known;
    if (data->remote_end_future && !known && (data->remote_ended || batch->is_last)) {
        complete_remote_end(data);
    }
}

PyObject *awscrt_stream_remote_end_future(stream_data *data) {
    if (!data->remote_end_future) {
        data->remote_end_future = awscrt_future_new();
        if (data->remote_end_future && (data->remote_ended || data->completed)) {
            complete_remote_end(data);
        }
    }
    return Py_XNewRef(data->remote_end_future);
}

static void call_on_trailers(PyObject *self, stream_data *data, const awscrt_note *note) {
    PyObject *const names[] = {awscrt_http.kw_http_stream, awscrt_http.kw_headers};
    PyObject *headers = awscrt_head_list(&note->head);
    if (headers) {
        PyObject *const values[] = {self, headers};
        call(data, data->on_trailers, names, values, 2);
    } else {
        callback_failed(data);
    }
    Py_XDECREF(headers);
}

/* Informational responses come before everything else, trailers after the body. */
static void tell_notes(PyObject *self, stream_data *data, const awscrt_batch *batch, bool trailers) {
    PyObject *callback = trailers ? data->on_trailers : data->on_interim;
    for (const awscrt_note *note = batch->notes; note && callback && !data->failure; note = note->next) {
        if (trailers && note->status == 0) {
            call_on_trailers(self, data, note);
        } else if (!trailers && note->status != 0) {
            call_with_head(self, data, callback, note->status, &note->head);
        }
    }
}

static void take(PyObject *self, awscrt_batch *batch) {
    stream_data *data = of(self);
    tell_notes(self, data, batch, false);
    if (batch->has_head && !data->failure) {
        data->status = batch->status;
        if (data->on_response) {
            call_with_head(self, data, data->on_response, batch->status, &batch->head);
        }
    }
    if (crt_buf_len(&batch->body) > 0 && data->on_body && !data->failure) {
        call_on_body(self, data, batch);
    }
    tell_notes(self, data, batch, true);
    awscrt_stream_remote_end(data, batch);
    if (batch->is_last) {
        awscrt_stream_complete(data, batch);
    }
}

/* ---- construction ---- */

int awscrt_stream_bind(stream_data *data, PyObject *request, const awscrt_exchange_options *wanted,
                       const awscrt_request_extras *extras) {
    awscrt_exchange_options options = *wanted;
    crt_http_timeouts timeouts;
    crt_http_stream_options stream = {data->manual_write, 0, NULL};
    awscrt_conn *conn = awscrt_http_conn_of(data->connection);
    options.message = conn ? awscrt_http_message_get(request) : NULL;
    if (!options.message || awscrt_request_options(extras, data, &stream, &timeouts, &options.target)) {
        return -1;
    }
    options.stream = &stream;
    options.conn = awscrt_http_conn_native(conn);
    options.where = awscrt_http_conn_where(conn);
    data->exchange = awscrt_exchange_new(&options);
    if (!data->exchange) {
        awscrt_target_free(options.target);
    }
    return data->exchange ? 0 : -1;
}

/* None counts as absent. */
static int take_callback(PyObject *given, PyObject **place) {
    if (!given || given == Py_None) {
        return 0;
    }
    if (!PyCallable_Check(given)) {
        awscrt_http_assertion();
        return -1;
    }
    *place = Py_NewRef(given);
    return 0;
}

int awscrt_stream_setup(PyObject *self, const awscrt_stream_arguments *arguments) {
    stream_data *data = of(self);
    if (data->exchange || !awscrt_http_is(arguments->connection, awscrt_http.connection_type) ||
        !awscrt_http_is(arguments->request, awscrt_http.message_type)) {
        awscrt_http_assertion();
        return -1;
    }
    data->connection = Py_NewRef(arguments->connection);
    data->manual_write = arguments->manual_write;
    if (take_callback(arguments->on_response, &data->on_response) ||
        take_callback(arguments->on_body, &data->on_body) ||
        take_callback(arguments->extras.on_interim, &data->on_interim) ||
        take_callback(arguments->extras.on_trailers, &data->on_trailers)) {
        return -1;
    }
    /* Without callbacks nobody can tell when the head came: the end brings the status. */
    const awscrt_exchange_options options = {
        .wants_head = data->on_response != NULL || data->on_body != NULL,
        .wants_body = data->on_body != NULL,
        .wants_notes = data->on_interim != NULL || data->on_trailers != NULL,
        .take = take,
    };
    return awscrt_stream_bind(data, arguments->request, &options, &arguments->extras);
}

PyObject *awscrt_http_stream_request(PyTypeObject *type, const awscrt_stream_arguments *arguments) {
    PyObject *self = awscrt_http_alloc(type);
    if (self && awscrt_stream_setup(self, arguments)) {
        Py_DECREF(self);
        return NULL;
    }
    return self;
}

static int base_init(PyObject *self, PyObject *args, PyObject *kwargs) {
    static const char *const names[] = {"connection", "on_body"};
    const awscrt_params params = {"HttpStreamBase", names, 1, 2};
    PyObject *given[2];
    if (awscrt_http_args_of_tuple(&params, args, kwargs, given)) {
        return -1;
    }
    if (of(self)->connection || !awscrt_http_is(given[0], awscrt_http.connection_type)) {
        awscrt_http_assertion();
        return -1;
    }
    of(self)->connection = Py_NewRef(given[0]);
    return take_callback(given[1], &of(self)->on_body);
}

static PyObject *base_init_method(PyObject *self, PyObject *args, PyObject *kwargs) {
    if (base_init(self, args, kwargs)) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static int client_init(PyObject *self, PyObject *args, PyObject *kwargs) {
    static const char *const names[] = {"connection", "request", "on_response", "on_body"};
    const awscrt_params params = {"HttpClientStream", names, 2, 4};
    PyObject *given[4];
    if (awscrt_http_args_of_tuple(&params, args, kwargs, given)) {
        return -1;
    }
    const awscrt_stream_arguments arguments = {given[0], given[1], given[2], given[3], false, {NULL}};
    return awscrt_stream_setup(self, &arguments);
}

static PyObject *client_init_method(PyObject *self, PyObject *args, PyObject *kwargs) {
    if (client_init(self, args, kwargs)) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* ---- methods and properties ---- */

PyObject *awscrt_stream_activate(PyObject *self, PyObject *unused) {
    stream_data *data = of(self);
    if (!awscrt_stream_check(data) || awscrt_stream_begin(self)) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *stream_update_window(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames) {
    static const char *const names[] = {"increment_size"};
    const awscrt_params params = {"update_window", names, 1, 1};
    PyObject *given;
    if (awscrt_http_args(&params, args, nargs, kwnames, &given) || !awscrt_stream_check(of(self))) {
        return NULL;
    }
    uint32_t increment;
    if (awscrt_http_mask32(given, &increment)) {
        return NULL;
    }
    if (of(self)->exchange->native) {
        crt_http_stream_update_window(of(self)->exchange->native, increment);
    }
    Py_RETURN_NONE;
}

static PyObject *get_connection(PyObject *self, void *unused) {
    PyObject *connection = of(self)->connection;
    return Py_NewRef(connection ? connection : Py_None);
}

static PyObject *get_completion_future(PyObject *self, void *unused) {
    stream_data *data = of(self);
    if (!data->completion_future) {
        data->completion_future = awscrt_future_new();
        if (data->completion_future && data->completed) {
            complete_future(data);
        }
    }
    return Py_XNewRef(data->completion_future);
}

static PyObject *get_response_status_code(PyObject *self, void *unused) {
    if (!of(self)->status) {
        Py_RETURN_NONE;
    }
    return PyLong_FromLong(of(self)->status);
}

static PyObject *get_bytes_received(PyObject *self, void *unused) {
    const stream_data *data = of(self);
    const awscrt_target *target = data->exchange ? data->exchange->target : NULL;
    return PyLong_FromUnsignedLongLong(target ? awscrt_target_received(target) : data->received);
}

static PyObject *get_version(PyObject *self, void *unused) {
    awscrt_conn *conn = of(self)->connection ? awscrt_http_conn_of(of(self)->connection) : NULL;
    if (!conn) {
        return PyErr_Occurred() ? NULL : awscrt_http_version(CRT_HTTP_UNKNOWN);
    }
    return awscrt_http_version(crt_http_conn_version(awscrt_http_conn_native(conn)));
}

/* ---- types ---- */

int awscrt_stream_traverse(PyObject *self, visitproc visit, void *arg) {
    stream_data *data = of(self);
    AWSCRT_VISIT_TYPE(self);
    Py_VISIT(data->connection);
    Py_VISIT(data->completion_future);
    Py_VISIT(data->remote_end_future);
    Py_VISIT(data->failure);
    Py_VISIT(data->on_response);
    Py_VISIT(data->on_body);
    Py_VISIT(data->on_interim);
    Py_VISIT(data->on_trailers);
    Py_VISIT(data->interim);
    Py_VISIT(data->trailers);
    Py_VISIT(data->loop);
    Py_VISIT(data->chunks);
    Py_VISIT(data->head_waiters);
    Py_VISIT(data->chunk_waiters);
    Py_VISIT(data->completion_waiters);
    return 0;
}

/* Not the connection: a stream without one could not be used by a finalizer that still holds it. */
int awscrt_stream_clear(PyObject *self) {
    stream_data *data = of(self);
    Py_CLEAR(data->completion_future);
    Py_CLEAR(data->remote_end_future);
    Py_CLEAR(data->failure);
    Py_CLEAR(data->on_response);
    Py_CLEAR(data->on_body);
    Py_CLEAR(data->on_interim);
    Py_CLEAR(data->on_trailers);
    Py_CLEAR(data->interim);
    Py_CLEAR(data->trailers);
    Py_CLEAR(data->chunks);
    Py_CLEAR(data->head_waiters);
    Py_CLEAR(data->chunk_waiters);
    Py_CLEAR(data->completion_waiters);
    return 0;
}

void awscrt_stream_dealloc(PyObject *self) {
    stream_data *data = of(self);
    awscrt_http_dealloc_begin(self);
    awscrt_stream_clear(self);
    if (data->exchange) {
        awscrt_exchange_drop(data->exchange);
    }
    crt_source_release(data->body);
    crt_buf_free(&data->head);
    Py_XDECREF(data->chunk);
    Py_XDECREF(data->loop);
    Py_XDECREF(data->connection);
    awscrt_free_instance(self);
}

static PyMethodDef base_methods[] = {
    {"__init__", (PyCFunction)(void (*)(void))base_init_method, METH_VARARGS | METH_KEYWORDS | METH_COEXIST,
     "__init__($self, connection, on_body=None)\n--\n\n"},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef base_properties[] = {
    {"connection", get_connection, NULL, "The connection that carries the stream.", NULL},
    {"completion_future", get_completion_future, NULL,
     "Future of the status code, or of the exception that ended the stream.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot base_slots[] = {
    {Py_tp_doc, "Base of HTTP streams."},
    {Py_tp_new, awscrt_http_tp_new},
    {Py_tp_init, base_init},
    {Py_tp_dealloc, awscrt_stream_dealloc},
    {Py_tp_traverse, awscrt_stream_traverse},
    {Py_tp_clear, awscrt_stream_clear},
    {Py_tp_methods, base_methods},
    {Py_tp_getset, base_properties},
    {0, NULL},
};

static PyType_Spec base_spec = {
    .name = "awscrt.http.HttpStreamBase",
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = base_slots,
};

static PyMethodDef client_base_methods[] = {
    {"update_window", (PyCFunction)(void (*)(void))stream_update_window, METH_FASTCALL | METH_KEYWORDS,
     "update_window($self, increment_size)\n--\n\nLets the peer send that many more bytes of body. No effect unless "
     "the connection was made with manual window management."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef client_base_properties[] = {
    {"response_status_code", get_response_status_code, NULL, "Status of the response; None before its head.", NULL},
    {"version", get_version, NULL, "The :class:`HttpVersion` in use.", NULL},
    {"bytes_received", get_bytes_received, NULL, "Bytes of body that went to ``readinto``.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot client_base_slots[] = {
    {Py_tp_doc, "Base of HTTP client streams."},
    {Py_tp_dealloc, awscrt_stream_dealloc},
    {Py_tp_traverse, awscrt_stream_traverse},
    {Py_tp_clear, awscrt_stream_clear},
    {Py_tp_methods, client_base_methods},
    {Py_tp_getset, client_base_properties},
    {0, NULL},
};

static PyType_Spec client_base_spec = {
    .name = "awscrt.http.HttpClientStreamBase",
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = client_base_slots,
};

static PyMethodDef client_methods[] = {
    {"__init__", (PyCFunction)(void (*)(void))client_init_method, METH_VARARGS | METH_KEYWORDS | METH_COEXIST,
     "__init__($self, connection, request, on_response=None, on_body=None)\n--\n\n"
     "What :meth:`HttpClientConnection.request` returns."},
    {"activate", awscrt_stream_activate, METH_NOARGS,
     "activate($self)\n--\n\nStarts sending. Repeat calls do nothing.\n\n"
     ":raises RuntimeError: the connection is closed"},
    {"write_data", (PyCFunction)(void (*)(void))awscrt_stream_write_data, METH_FASTCALL | METH_KEYWORDS,
     "write_data($self, data_stream, end_stream=False)\n--\n\n"
     "Goes on with the request body; for streams made with ``manual_write``. Writes go out in order, after the "
     "``body_stream`` of the request: as chunks, or as parts of its Content-Length.\n\n"
     ":param data_stream: an :class:`awscrt.io.InputStream` or any object with a ``read`` method; None: no bytes\n"
     ":param end_stream: this was the last write\n"
     ":returns: future of None, completed when the bytes were framed for sending\n"
     ":raises RuntimeError: the stream was not made for it, is not active, is complete, or its end was written"},
    {"cancel", awscrt_http2_cancel, METH_NOARGS,
     "cancel($self)\n--\n\nEnds the stream, and with it its connection; ``completion_future`` gets "
     "AWS_ERROR_HTTP_STREAM_CANCELLED unless the stream is complete."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot client_slots[] = {
    {Py_tp_doc, "One request with its response. Callbacks run on the connection's event-loop thread, in order: "
                "``on_response`` once, ``on_body`` zero or more times, then ``completion_future``."},
    {Py_tp_init, client_init},
    {Py_tp_dealloc, awscrt_stream_dealloc},
    {Py_tp_traverse, awscrt_stream_traverse},
    {Py_tp_clear, awscrt_stream_clear},
    {Py_tp_methods, client_methods},
    {0, NULL},
};

static PyType_Spec client_spec = {
    .name = "awscrt._http.ClientStream",
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = client_slots,
};

int awscrt_http_stream_init(PyObject *module) {
    const size_t size = sizeof(stream_data);
    PyTypeObject *base = awscrt_http_type_new(module, &base_spec, size, awscrt_http.native_resource);
    if (!base) {
        return -1;
    }
    awscrt_http.client_stream_base_type = awscrt_http_type_new(module, &client_base_spec, size, (PyObject *)base);
    if (!awscrt_http.client_stream_base_type) {
        return -1;
    }
    awscrt_http.native_stream_type =
        awscrt_http_type_new(module, &client_spec, size, (PyObject *)awscrt_http.client_stream_base_type);
    awscrt_http.stream_type = awscrt_http.native_stream_type;
    return awscrt_http.stream_type ? 0 : -1;
}
