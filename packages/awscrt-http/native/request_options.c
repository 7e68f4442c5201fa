/*
 * What a request may have beyond its message: a body from anywhere, a place for the response's, patience and deadlines.
 */
#include <math.h>

#include "stream.h"

static bool is_given(PyObject *object) {
    return object && object != Py_None;
}

/* ---- times ---- */

static int milliseconds_of(PyObject *number, uint32_t *out) {
    unsigned long value = PyLong_AsUnsignedLong(number);
    if (value == (unsigned long)-1 && PyErr_Occurred()) {
        return -1;
    }
    *out = value > UINT32_MAX ? UINT32_MAX : (uint32_t)value;
    return 0;
}

int awscrt_http_timeouts_get(PyObject *timeouts, crt_http_timeouts *out) {
    memset(out, 0, sizeof(*out));
    if (!is_given(timeouts)) {
        return 0;
    }
    PyObject *numbers = PyObject_CallMethod(timeouts, "_milliseconds", NULL);
    if (!numbers || !PyTuple_Check(numbers) || PyTuple_Size(numbers) != 5) {
        if (!numbers && !PyErr_ExceptionMatches(PyExc_AttributeError)) {
            return -1; /* it says itself what is wrong with it */
        }
        Py_XDECREF(numbers);
        PyErr_Format(PyExc_TypeError, "HttpTimeouts expected, got %R", (PyObject *)Py_TYPE(timeouts));
        return -1;
    }
    uint32_t *const places[] = {&out->connect_ms, &out->tls_ms, &out->first_byte_ms, &out->idle_ms, &out->total_ms};
    int status = 0;
    for (Py_ssize_t i = 0; !status && i < 5; i++) {
        status = milliseconds_of(PyTuple_GetItem(numbers, i), places[i]);
    }
    Py_DECREF(numbers);
    return status;
}

static int patience_of(PyObject *seconds, uint32_t *continue_ms) {
    double value = PyFloat_AsDouble(seconds);
    if (value == -1.0 && PyErr_Occurred()) {
        return -1;
    }
    if (!(value > 0) || isinf(value)) {
        PyErr_SetString(PyExc_ValueError, "expect_continue is a positive number of seconds");
        return -1;
    }
    double ms = ceil(value * 1000);
    *continue_ms = ms > UINT32_MAX ? UINT32_MAX : (uint32_t)ms;
    return 0;
}

/* ---- bodies ---- */

/* A stream object over an iterable of buffers; new reference. */
static PyObject *stream_over(PyObject *iterable) {
    PyObject *type = awscrt_http_import_attribute("awscrt._http_body", "IterableStream");
    PyObject *stream = type ? PyObject_CallFunctionObjArgs(type, iterable, NULL) : NULL;
    Py_XDECREF(type);
    return stream;
}

crt_source *awscrt_http_body_source(PyObject *body) {
    if (PyObject_CheckBuffer(body)) {
        return awscrt_source_of_buffer(body);
    }
    PyObject *wrapped = awscrt_http_wrap_stream(body);
    if (!wrapped && PyErr_ExceptionMatches(PyExc_TypeError)) {
        PyErr_Clear();
        PyObject *stream = stream_over(body);
        wrapped = stream ? awscrt_http_wrap_stream(stream) : NULL;
        Py_XDECREF(stream);
    }
    crt_source *source = wrapped ? awscrt_source_of_input_stream(wrapped) : NULL;
    Py_XDECREF(wrapped);
    return source;
}

static int take_body(PyObject *body, stream_data *data, crt_http_stream_options *options) {
    if (data->manual_write) {
        PyErr_SetString(PyExc_ValueError, "body and manual_write exclude each other");
        return -1;
    }
    data->body = awscrt_http_body_source(body);
    options->writes = true;
    return data->body ? 0 : -1;
}

int awscrt_request_options(const awscrt_request_extras *extras, stream_data *data, crt_http_stream_options *options,
                           crt_http_timeouts *timeouts, awscrt_target **target) {
    *target = NULL;
    if (is_given(extras->body) && take_body(extras->body, data, options)) {
        return -1;
    }
    if (is_given(extras->expect_continue) && patience_of(extras->expect_continue, &options->continue_ms)) {
        return -1;
    }
    if (is_given(extras->timeouts)) {
        if (awscrt_http_timeouts_get(extras->timeouts, timeouts)) {
            return -1;
        }
        options->timeouts = timeouts;
    }
    if (!is_given(extras->readinto)) {
        return 0;
    }
    if (data->on_body) {
        PyErr_SetString(PyExc_ValueError, "on_body and readinto exclude each other");
        return -1;
    }
    *target = awscrt_target_new(extras->readinto);
    return *target ? 0 : -1;
}

int awscrt_stream_begin(PyObject *self) {
    stream_data *data = awscrt_stream_of(self);
    if (awscrt_exchange_activate(data->exchange, self)) {
        return -1;
    }
    crt_source *body = data->body;
    data->body = NULL;
    if (body && data->exchange->native) {
        /* Refused only when the stream is over already, which its end tells. */
        (void)crt_http_stream_write(data->exchange->native, body, true, NULL, NULL);
    }
    crt_source_release(body);
    return 0;
}
