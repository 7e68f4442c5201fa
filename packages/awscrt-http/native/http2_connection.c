/*
 * What only HTTP/2 connections have: settings of both sides, credit for the whole connection, PING.
 */
#include "connection.h"

/* ---- options ---- */

enum {
    INITIAL_SETTINGS,
    ON_SETTINGS,
    CONN_MANUAL_WINDOW,
    CONN_THRESHOLD,
    STREAM_THRESHOLD,
    PRIOR_KNOWLEDGE,
    OPTIONS,
};

/* A number that is an attribute of a setting, at most `max`. */
static int number_of(PyObject *setting, const char *attribute, unsigned long max, unsigned long *out) {
    PyObject *value = PyObject_GetAttrString(setting, attribute);
    if (!value) {
        if (PyErr_ExceptionMatches(PyExc_AttributeError)) {
            PyErr_Format(PyExc_AttributeError, "'Http2Setting.%s' attribute not found", attribute);
        }
        return -1;
    }
    *out = PyLong_AsUnsignedLong(value);
    Py_DECREF(value);
    if (PyErr_Occurred()) {
        return -1;
    }
    if (*out > max) {
        PyErr_Format(PyExc_OverflowError, "Http2Setting.%s is too large", attribute);
        return -1;
    }
    return 0;
}

static int settings_of(PyObject *given, crt_http_connect_options *options, crt_http2_setting **settings) {
    if (given == Py_None) {
        return 0;
    }
    PyObject *list = PySequence_List(given);
    Py_ssize_t count = list ? PyList_Size(list) : 0;
    int status = list ? 0 : -1;
    if (count > 0 && !(*settings = crt_calloc((size_t)count, sizeof(**settings)))) {
        PyErr_NoMemory();
        status = -1;
    }
    for (Py_ssize_t i = 0; i < count && !status; i++) {
        unsigned long id = 0, value = 0;
        PyObject *setting = PyList_GetItem(list, i);
        status = number_of(setting, "id", UINT16_MAX, &id) || number_of(setting, "value", UINT32_MAX, &value) ? -1 : 0;
        if (!status) {
            (*settings)[i] = (crt_http2_setting){(uint16_t)id, (uint32_t)value};
        }
    }
    Py_XDECREF(list);
    options->settings = *settings;
    options->setting_count = (size_t)count;
    return status;
}

static int threshold_of(PyObject *given, uint32_t *out) {
    size_t size;
    if (awscrt_http_size_argument(given, &size)) {
        return -1;
    }
    if (size > UINT32_MAX) {
        PyErr_SetString(PyExc_OverflowError, "the window size threshold is too large");
        return -1;
    }
    *out = (uint32_t)size;
    return 0;
}

static int flag_of(PyObject *given, bool *out) {
    int truth = PyObject_IsTrue(given);
    *out = truth > 0;
    return truth < 0 ? -1 : 0;
}

int awscrt_http2_options(PyObject *given, awscrt_conn *conn, crt_http_connect_options *options,
                         crt_http2_setting **settings) {
    if (given == Py_None) {
        return 0;
    }
    PyObject *option[OPTIONS];
    if (!PyTuple_Check(given) || PyTuple_Size(given) != OPTIONS) {
        PyErr_SetString(PyExc_TypeError, "the options of HTTP/2 are a tuple of six");
        return -1;
    }
    for (Py_ssize_t i = 0; i < OPTIONS; i++) {
        option[i] = PyTuple_GetItem(given, i);
    }
    if (settings_of(option[INITIAL_SETTINGS], options, settings) ||
        flag_of(option[CONN_MANUAL_WINDOW], &options->manual_conn_window) ||
        threshold_of(option[CONN_THRESHOLD], &options->conn_window_threshold) ||
        threshold_of(option[STREAM_THRESHOLD], &options->stream_window_threshold) ||
        flag_of(option[PRIOR_KNOWLEDGE], &options->prior_knowledge)) {
        return -1;
    }
    conn->on_settings = option[ON_SETTINGS] == Py_None ? NULL : Py_NewRef(option[ON_SETTINGS]);
    conn->wants_settings = conn->on_settings != NULL;
    return 0;
}

/* ---- the peer's settings ---- */

typedef struct settings_event {
    awscrt_event event;
    awscrt_conn *conn; /* referenced */
    size_t count;
    crt_http2_setting settings[];
} settings_event;

static PyObject *list_of(const settings_event *settings) {
    PyObject *list = PyList_New(0);
    for (size_t i = 0; list && i < settings->count; i++) {
        const crt_http2_setting *setting = &settings->settings[i];
        PyObject *pair = Py_BuildValue("(ik)", (int)setting->id, (unsigned long)setting->value);
        if (!pair || PyList_Append(list, pair)) {
            Py_CLEAR(list);
        }
        Py_XDECREF(pair);
    }
    return list;
}

/* A connection that is gone, or being collected, has nobody to tell. */
static void tell_settings(const settings_event *settings) {
    PyObject *self = settings->conn->weak ? awscrt_call0(settings->conn->weak) : NULL;
    connection_data *data = self && self != Py_None ? awscrt_http_data(self) : NULL;
    PyObject *callback = data ? Py_XNewRef(data->on_settings) : NULL;
    if (callback) {
        PyObject *list = list_of(settings);
        PyObject *result = list ? awscrt_call1(callback, list) : NULL;
        if (!result) {
            awscrt_report(callback);
        }
        Py_XDECREF(result);
        Py_XDECREF(list);
        Py_DECREF(callback);
    }
    Py_XDECREF(self);
    PyErr_Clear();
}

static void deliver_settings(awscrt_event *event) {
    settings_event *settings = CRT_CONTAINER(event, settings_event, event);
    tell_settings(settings);
    awscrt_conn_release(settings->conn);
    crt_free(settings);
}

static void discard_settings(awscrt_event *event) {
    crt_free(CRT_CONTAINER(event, settings_event, event));
}

void awscrt_http2_on_settings(void *user, const crt_http2_setting *settings, size_t count) {
    awscrt_conn *conn = user;
    const awscrt_sink sink = {conn->loop, NULL};
    if (!conn->wants_settings) {
        return;
    }
    settings_event *copy = crt_calloc(1, sizeof(*copy) + count * sizeof(*settings));
    if (!copy) {
        return; /* news that nothing depends on */
    }
    copy->event.deliver = deliver_settings;
    copy->event.discard = discard_settings;
    copy->conn = conn;
    copy->count = count;
    if (count > 0) {
        memcpy(copy->settings, settings, count * sizeof(*settings));
    }
    crt_ref_inc(&conn->refs);
    awscrt_deliver(&sink, &copy->event);
}

/* ---- credit ---- */

PyObject *awscrt_http2_update_window(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames) {
    static const char *const names[] = {"increment_size"};
    const awscrt_params params = {"update_window", names, 1, 1};
    PyObject *given;
    awscrt_conn *conn = awscrt_http_conn_of(self);
    if (!conn || awscrt_http_args(&params, args, nargs, kwnames, &given)) {
        return NULL;
    }
    uint32_t increment;
    if (awscrt_http_mask32(given, &increment)) {
        return NULL;
    }
    crt_http_conn_update_window(conn->native, increment);
    Py_RETURN_NONE;
}

/* ---- PING ---- */

typedef struct ping {
    awscrt_event event;
    awscrt_sink sink;
    PyObject *future;
    crt_fault fault;
    uint64_t round_trip_ns;
} ping;

static void deliver_pong(awscrt_event *event) {
    ping *p = CRT_CONTAINER(event, ping, event);
    PyObject *seconds = p->fault.code ? NULL : PyFloat_FromDouble((double)p->round_trip_ns / 1e9);
    if (seconds) {
        awscrt_future_set_result(p->future, seconds);
        Py_DECREF(seconds);
    } else {
        PyObject *exception =
            p->fault.code ? awscrt_exception(p->fault.code, p->fault.detail) : awscrt_exception_take();
        awscrt_future_set_exception(p->future, exception);
        Py_DECREF(exception);
    }
    Py_DECREF(p->future);
    crt_free(p);
}

static void discard_pong(awscrt_event *event) {
    crt_free(CRT_CONTAINER(event, ping, event));
}

static void on_pong(void *user, const crt_fault *fault, uint64_t round_trip_ns) {
    ping *p = user;
    p->fault = *fault;
    p->round_trip_ns = round_trip_ns;
    awscrt_deliver(&p->sink, &p->event);
}

PyObject *awscrt_http2_ping(PyObject *self, PyObject *unused) {
    awscrt_conn *conn = awscrt_http_conn_of(self);
    PyObject *future = conn ? awscrt_future_new() : NULL;
    if (!future) {
        return NULL;
    }
    ping *p = crt_calloc(1, sizeof(*p));
    if (!p) {
        Py_DECREF(future);
        return PyErr_NoMemory();
    }
    p->event.deliver = deliver_pong;
    p->event.discard = discard_pong;
    p->sink.loop = conn->loop;
    p->future = Py_NewRef(future);
    int code = crt_http_conn_ping(conn->native, on_pong, p);
    if (!code) {
        return future;
    }
    Py_DECREF(p->future);
    Py_DECREF(future);
    crt_free(p);
    return awscrt_raise(code, conn->where);
}
