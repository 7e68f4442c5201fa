/*
 * Connections: what happens to them on their loop, and their Python objects.
 */
#include "connection.h"

#include <stdio.h>

static connection_data *of(PyObject *self) {
    return awscrt_http_data(self);
}

/* ---- lifetime ---- */

void awscrt_conn_release(awscrt_conn *conn) {
    if (!crt_ref_dec(&conn->refs)) {
        return;
    }
    Py_XDECREF(conn->keep);
    Py_XDECREF(conn->type);
    Py_XDECREF(conn->http2_type);
    Py_XDECREF(conn->on_settings);
    Py_XDECREF(conn->weak);
    Py_XDECREF(conn->host_name);
    Py_XDECREF(conn->port);
    Py_XDECREF(conn->connect_future);
    Py_XDECREF(conn->shutdown_future);
    crt_free(conn);
}

/* ---- events ---- */

/* A new Python connection that owns conn->native; NULL + exception. */
static PyObject *new_object(awscrt_conn *conn) {
    bool http2 = crt_http_conn_version(conn->native) == CRT_HTTP_2;
    PyObject *self = awscrt_http_alloc((PyTypeObject *)(http2 ? conn->http2_type : conn->type));
    if (!self) {
        return NULL;
    }
    if (conn->on_settings && !(conn->weak = PyWeakref_NewRef(self, NULL))) {
        Py_DECREF(self);
        return NULL;
    }
    crt_ref_inc(&conn->refs);
    of(self)->conn = conn;
    of(self)->on_settings = conn->on_settings;
    conn->on_settings = NULL;
    return self;
}

static void deliver_connected(awscrt_event *event) {
    awscrt_conn *conn = CRT_CONTAINER(event, awscrt_conn, connected);
    PyObject *future = conn->connect_future;
    conn->connect_future = NULL;
    if (conn->connect_fault.code) {
        PyObject *exception = awscrt_exception(conn->connect_fault.code, conn->connect_fault.detail);
        awscrt_future_set_exception(future, exception);
        Py_DECREF(exception);
        Py_DECREF(future);
        awscrt_conn_release(conn);
        return;
    }
    PyObject *object = new_object(conn);
    if (object) {
        awscrt_future_set_result(future, object);
        Py_DECREF(object); /* nobody took it (the future was cancelled): this closes the connection */
    } else {
        PyObject *exception = awscrt_exception_take();
        crt_http_conn_release(conn->native);
        conn->native = NULL;
        awscrt_future_set_exception(future, exception);
        Py_DECREF(exception);
    }
    Py_DECREF(future);
}

static void deliver_shutdown(awscrt_event *event) {
    awscrt_conn *conn = CRT_CONTAINER(event, awscrt_conn, shutdown);
    const crt_fault *fault = &conn->shutdown_fault;
    int code = conn->callback_code ? conn->callback_code : fault->code;
    PyObject *keep = conn->keep;
    conn->keep = NULL;
    if (code) {
        PyObject *exception = awscrt_exception(code, fault->detail[0] ? fault->detail : conn->where);
        awscrt_future_set_exception(conn->shutdown_future, exception);
        Py_DECREF(exception);
    } else {
        awscrt_future_set_result(conn->shutdown_future, Py_None);
    }
    awscrt_conn_release(conn);
    Py_XDECREF(keep);
}

/* The interpreter is going away: its objects are left alone. */
static void discard_connected(awscrt_event *event) {
}

static void discard_shutdown(awscrt_event *event) {
}

static void on_connected(void *user, const crt_fault *fault, crt_http_conn *native) {
    awscrt_conn *conn = user;
    const awscrt_sink sink = {conn->loop, NULL};
    conn->connect_fault = *fault;
    conn->native = native;
    awscrt_deliver(&sink, &conn->connected);
}

static void on_shutdown(void *user, const crt_fault *fault) {
    awscrt_conn *conn = user;
    const awscrt_sink sink = {conn->loop, NULL};
    conn->shutdown_fault = *fault;
    awscrt_deliver(&sink, &conn->shutdown);
}

static const crt_http_conn_handler handler = {on_connected, on_shutdown, awscrt_http2_on_settings};

/* ---- connecting ---- */

enum connect_argument {
    TYPE,
    HTTP2_TYPE,
    HOST_NAME,
    PORT,
    BOOTSTRAP,
    SOCKET_OPTIONS,
    TLS_OPTIONS,
    PROXY_OPTIONS,
    MANUAL_WINDOW,
    INITIAL_WINDOW,
    READ_BUFFER,
    HTTP2_OPTIONS,
    TIMEOUTS,
    CONNECT_ARGUMENTS,
};

static int raise_instance(int code, const char *detail) {
    PyObject *exception = awscrt_exception(code, detail);
    PyErr_SetObject((PyObject *)Py_TYPE(exception), exception);
    Py_DECREF(exception);
    return -1;
}

int awscrt_http_size_argument(PyObject *value, size_t *out) {
    *out = 0;
    if (value == Py_None) {
        return 0;
    }
    *out = PyLong_AsSize_t(value);
    return *out == (size_t)-1 && PyErr_Occurred() ? -1 : 0;
}

static int target_of(PyObject *const *given, awscrt_conn *conn, crt_connect_options *target) {
    Py_ssize_t host_len;
    int overflow;
    target->host = PyUnicode_AsUTF8AndSize(given[HOST_NAME], &host_len);
    if (!target->host) {
        return -1;
    }
    if (!host_len || strlen(target->host) != (size_t)host_len) {
        awscrt_raise(AWS_ERROR_INVALID_ARGUMENT, "host_name is empty or contains NUL");
        return -1;
    }
    if (awscrt_socket_options_get(given[SOCKET_OPTIONS], &target->socket)) {
        return -1;
    }
    long long port = PyLong_AsLongLongAndOverflow(given[PORT], &overflow);
    if (port == -1 && !overflow && PyErr_Occurred()) {
        return -1;
    }
    snprintf(conn->where, sizeof(conn->where), "%s:%lld", target->host, port);
    bool usable = !overflow && port > 0 && port <= UINT16_MAX;
    if (!usable && target->socket.domain != CRT_SOCKET_LOCAL) {
        return raise_instance(AWS_IO_SOCKET_INVALID_ADDRESS, conn->where);
    }
    target->port = usable ? (uint32_t)port : 0;
    return 0;
}

/* What the options point to, and what that is borrowed from, until crt_http_connect has copied it. */
typedef struct borrowed {
    crt_http_proxy proxy;
    crt_tls_options tls, proxy_tls;
    PyObject *keep_tls, *keep_proxy;
    crt_http2_setting *settings;
} borrowed;

/* 0, or -1 + exception; conn->keep and the references of `b` are the caller's in both cases. */
static int options_of(PyObject *const *given, awscrt_conn *conn, borrowed *b, crt_http_connect_options *options) {
    crt_loop_group *group;
    size_t read_buffer;
    if (target_of(given, conn, &options->target) ||
        awscrt_tls_options_get(given[TLS_OPTIONS], &b->tls, &b->keep_tls) ||
        awscrt_http_proxy_get(given[PROXY_OPTIONS], &b->proxy, &b->proxy_tls, &b->keep_proxy) ||
        awscrt_http_size_argument(given[INITIAL_WINDOW], &options->initial_window) ||
        awscrt_http_size_argument(given[READ_BUFFER], &read_buffer) ||
        awscrt_http2_options(given[HTTP2_OPTIONS], conn, options, &b->settings) ||
        awscrt_http_timeouts_get(given[TIMEOUTS], &options->timeouts)) {
        return -1;
    }
    if (b->proxy.host && b->proxy.kind == CRT_HTTP_PROXY_FORWARDING && b->tls.ctx) {
        awscrt_raise(AWS_ERROR_INVALID_STATE, "a forwarding proxy cannot carry TLS; use tunneling");
        return -1;
    }
    if (awscrt_bootstrap_get(given[BOOTSTRAP], &group, &options->target.resolver, &conn->keep)) {
        return -1;
    }
    int manual = PyObject_IsTrue(given[MANUAL_WINDOW]);
    if (manual < 0) {
        return -1;
    }
    options->manual_window = manual;
    options->version = given[HTTP2_TYPE] == Py_None ? CRT_HTTP_1_1
                       : given[TYPE] == Py_None     ? CRT_HTTP_2
                                                    : CRT_HTTP_UNKNOWN;
    options->target.loop = conn->loop = crt_loop_group_pick(group);
    options->target.tls = b->tls.ctx ? &b->tls : NULL;
    options->proxy = b->proxy.host ? &b->proxy : NULL;
    return 0;
}

/* Starts connecting; -1 + exception when the arguments do not allow it. Takes over `conn` on success. */
static int start(awscrt_conn *conn, PyObject *const *given) {
    crt_http_connect_options options;
    borrowed b;
    memset(&options, 0, sizeof(options));
    memset(&b, 0, sizeof(b));
    options.handler = &handler;
    options.user = conn;
    int status = options_of(given, conn, &b, &options);
    if (!status) {
        crt_http_connect(&options);
    }
    Py_XDECREF(b.keep_tls);
    Py_XDECREF(b.keep_proxy);
    crt_free(b.settings);
    return status;
}

static awscrt_conn *conn_new(PyObject *const *given) {
    awscrt_conn *conn = crt_calloc(1, sizeof(*conn));
    if (!conn) {
        PyErr_NoMemory();
        return NULL;
    }
    crt_ref_init(&conn->refs);
    conn->generation = crt_fork_generation();
    conn->connected.deliver = deliver_connected;
    conn->connected.discard = discard_connected;
    conn->shutdown.deliver = deliver_shutdown;
    conn->shutdown.discard = discard_shutdown;
    conn->type = Py_NewRef(given[TYPE]);
    conn->http2_type = Py_NewRef(given[HTTP2_TYPE]);
    conn->host_name = Py_NewRef(given[HOST_NAME]);
    conn->port = Py_NewRef(given[PORT]);
    conn->connect_future = awscrt_future_new();
    conn->shutdown_future = conn->connect_future ? awscrt_future_new() : NULL;
    if (!conn->shutdown_future) {
        awscrt_conn_release(conn);
        return NULL;
    }
    return conn;
}

static bool is_connection_type(PyObject *type) {
    return type == Py_None ||
           (PyType_Check(type) && PyType_IsSubtype((PyTypeObject *)type, awscrt_http.connection_type));
}

static PyObject *http_connect(PyObject *module, PyObject *const *args, Py_ssize_t nargs) {
    if (nargs != CONNECT_ARGUMENTS || !is_connection_type(args[TYPE]) || !is_connection_type(args[HTTP2_TYPE]) ||
        (args[TYPE] == Py_None && args[HTTP2_TYPE] == Py_None)) {
        PyErr_SetString(PyExc_TypeError, "connect() takes two connection classes and ten options");
        return NULL;
    }
    awscrt_conn *conn = conn_new(args);
    if (!conn) {
        return NULL;
    }
    PyObject *future = Py_NewRef(conn->connect_future);
    if (start(conn, args)) {
        PyObject *exception = awscrt_exception_take();
        awscrt_future_set_exception(future, exception);
        Py_DECREF(exception);
        awscrt_conn_release(conn);
    }
    return future;
}

PyMethodDef awscrt_http_connect_method = {
    "connect", (PyCFunction)(void (*)(void))http_connect, METH_FASTCALL,
    "connect(type, http2_type, host_name, port, bootstrap, socket_options, tls_connection_options, proxy_options, "
    "manual_window_management, initial_window_size, read_buffer_capacity, http2_options, timeouts, /)\n--\n\nFuture of "
    "a connection, of the class for the version that is spoken; None for a version that must not be. Unusable "
    "arguments fail the future."};

/* ---- what streams need ---- */

awscrt_conn *awscrt_http_conn_of(PyObject *connection) {
    awscrt_conn *conn = of(connection)->conn;
    if (!conn) {
        PyErr_SetString(PyExc_RuntimeError, "this connection was not made by new()");
        return NULL;
    }
    return awscrt_http_check_generation(conn->generation, "connection") ? conn : NULL;
}

crt_http_conn *awscrt_http_conn_native(const awscrt_conn *conn) {
    return conn->native;
}

const char *awscrt_http_conn_where(const awscrt_conn *conn) {
    return conn->where;
}

void awscrt_http_conn_fail(awscrt_conn *conn, int code) {
    if (!conn->callback_code) {
        conn->callback_code = code;
    }
    crt_http_conn_close(conn->native);
}

/* ---- methods ---- */

static PyObject *connection_is_open(PyObject *self, PyObject *unused) {
    awscrt_conn *conn = awscrt_http_conn_of(self);
    return conn ? PyBool_FromLong(crt_http_conn_is_open(conn->native)) : NULL;
}

static PyObject *connection_close(PyObject *self, PyObject *unused) {
    awscrt_conn *conn = awscrt_http_conn_of(self);
    if (!conn) {
        return NULL;
    }
    crt_http_conn_close(conn->native);
    return Py_NewRef(conn->shutdown_future);
}

static PyObject *request_of(PyTypeObject *type, int positional, PyObject *self, PyObject *const *args,
                            Py_ssize_t nargs, PyObject *kwnames) {
    static const char *const names[] = {"request",  "on_response", "on_body",  "manual_write",    "on_interim",
                                        "on_trailers", "body",     "readinto", "expect_continue", "timeouts"};
    const awscrt_params params = {"request", names, 1, 10, positional};
    PyObject *given[10];
    if (awscrt_http_args(&params, args, nargs, kwnames, given)) {
        return NULL;
    }
    int manual_write = given[3] ? PyObject_IsTrue(given[3]) : 0;
    if (manual_write < 0) {
        return NULL;
    }
    const awscrt_stream_arguments stream = {
        self, given[0], given[1], given[2], manual_write,
        {given[4], given[5], given[6], given[7], given[8], given[9]},
    };
    return awscrt_http_stream_request(type, &stream);
}

static PyObject *connection_request(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames) {
    return request_of(awscrt_http.stream_type, 3, self, args, nargs, kwnames);
}

static PyObject *http2_request(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames) {
    return request_of(awscrt_http.http2_stream_type, 4, self, args, nargs, kwnames);
}

static PyObject *get_shutdown_future(PyObject *self, void *unused) {
    awscrt_conn *conn = awscrt_http_conn_of(self);
    return conn ? Py_NewRef(conn->shutdown_future) : NULL;
}

static PyObject *get_version(PyObject *self, void *unused) {
    awscrt_conn *conn = awscrt_http_conn_of(self);
    return conn ? awscrt_http_version(crt_http_conn_version(conn->native)) : NULL;
}

static PyObject *get_host_name(PyObject *self, void *unused) {
    awscrt_conn *conn = awscrt_http_conn_of(self);
    return conn ? Py_NewRef(conn->host_name) : NULL;
}

static PyObject *get_port(PyObject *self, void *unused) {
    awscrt_conn *conn = awscrt_http_conn_of(self);
    return conn ? Py_NewRef(conn->port) : NULL;
}

/* ---- types ---- */

static int base_init(PyObject *self, PyObject *args, PyObject *kwargs) {
    const awscrt_params params = {"__init__", NULL, 0, 0};
    return awscrt_http_args_of_tuple(&params, args, kwargs, NULL);
}

static PyObject *base_init_method(PyObject *self, PyObject *args, PyObject *kwargs) {
    if (base_init(self, args, kwargs)) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static int connection_traverse(PyObject *self, visitproc visit, void *arg) {
    AWSCRT_VISIT_TYPE(self);
    Py_VISIT(of(self)->on_settings);
    return 0;
}

static int connection_clear(PyObject *self) {
    Py_CLEAR(of(self)->on_settings);
    return 0;
}

static void connection_dealloc(PyObject *self) {
    awscrt_conn *conn = of(self)->conn;
    awscrt_http_dealloc_begin(self);
    connection_clear(self);
    if (conn) {
        crt_http_conn *native = conn->native;
        conn->native = NULL;
        if (conn->generation == crt_fork_generation()) {
            crt_http_conn_release(native);
        }
        awscrt_conn_release(conn);
    }
    awscrt_free_instance(self);
}

static PyMethodDef base_methods[] = {
    {"__init__", (PyCFunction)(void (*)(void))base_init_method, METH_VARARGS | METH_KEYWORDS | METH_COEXIST,
     "__init__($self)\n--\n\n"},
    {"is_open", connection_is_open, METH_NOARGS,
     "is_open($self)\n--\n\nTrue while the connection takes new requests."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef base_properties[] = {
    {"shutdown_future", get_shutdown_future, NULL,
     "Future that completes when the transport is gone: None after an orderly end, else the cause.", NULL},
    {"version", get_version, NULL, "The :class:`HttpVersion` in use.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot base_slots[] = {
    {Py_tp_doc, "Base of HTTP connections."},
    {Py_tp_new, awscrt_http_tp_new},
    {Py_tp_init, base_init},
    {Py_tp_dealloc, connection_dealloc},
    {Py_tp_traverse, connection_traverse},
    {Py_tp_clear, connection_clear},
    {Py_tp_methods, base_methods},
    {Py_tp_getset, base_properties},
    {0, NULL},
};

static PyType_Spec base_spec = {
    .name = "awscrt.http.HttpConnectionBase",
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = base_slots,
};

static PyGetSetDef client_base_properties[] = {
    {"host_name", get_host_name, NULL, "Host as given to ``new``; behind a proxy still that of the origin.", NULL},
    {"port", get_port, NULL, "Port as given to ``new``.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot client_base_slots[] = {
    {Py_tp_doc, "Base of HTTP client connections."},
    {Py_tp_dealloc, connection_dealloc},
    {Py_tp_traverse, connection_traverse},
    {Py_tp_clear, connection_clear},
    {Py_tp_getset, client_base_properties},
    {0, NULL},
};

static PyType_Spec client_base_spec = {
    .name = "awscrt.http.HttpClientConnectionBase",
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = client_base_slots,
};

static PyMethodDef client_methods[] = {
    {"close", connection_close, METH_NOARGS,
     "close($self)\n--\n\nStarts an orderly shutdown; unfinished streams end with AWS_ERROR_HTTP_CONNECTION_CLOSED.\n\n"
     ":returns: ``shutdown_future``"},
    {"request", (PyCFunction)(void (*)(void))connection_request, METH_FASTCALL | METH_KEYWORDS,
     "request($self, request, on_response=None, on_body=None, *, manual_write=False, on_interim=None, "
     "on_trailers=None, body=None, readinto=None, expect_continue=None, timeouts=None)\n--\n\n"
     "Makes a stream for a request. Nothing is sent before its ``activate()``.\n\n"
     ":param on_response: called once as ``on_response(http_stream=, status_code=, headers=)``\n"
     ":param on_body: called as ``on_body(http_stream=, chunk=)`` with bytes\n"
     ":param manual_write: the request goes on with ``write_data`` until one with ``end_stream``; it needs "
     "``Transfer-Encoding: chunked`` or a ``Content-Length``\n"
     ":param on_interim: called as ``on_interim(http_stream=, status_code=, headers=)`` for each informational "
     "response but 101 (RFC 9110, section 15.2)\n"
     ":param on_trailers: called once as ``on_trailers(http_stream=, headers=)`` behind a body that has trailers\n"
     ":param body: a buffer, an object with a ``read`` method, or an iterable of buffers; follows the ``body_stream``\n"
     ":param readinto: a writable buffer or a binary file that the response body goes to, instead of ``on_body``; one "
     "that does not fit a buffer ends the stream with AWS_ERROR_SHORT_BUFFER. A file is written on the event-loop "
     "thread\n"
     ":param expect_continue: seconds that the body of a request with ``Expect: 100-continue`` waits for the server's "
     "word; None: it follows at once. A final response before that ends the connection\n"
     ":param timeouts: :class:`HttpTimeouts`; None: those of the connection\n"
     ":raises RuntimeError: the request breaks a rule of RFC 9112, or the connection is closed"},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot client_slots[] = {
    {Py_tp_doc, "Native part of HttpClientConnection."},
    {Py_tp_dealloc, connection_dealloc},
    {Py_tp_traverse, connection_traverse},
    {Py_tp_clear, connection_clear},
    {Py_tp_methods, client_methods},
    {0, NULL},
};

static PyType_Spec client_spec = {
    .name = "awscrt._http.ClientConnection",
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = client_slots,
};

static PyMethodDef http2_methods[] = {
    {"close", connection_close, METH_NOARGS,
     "close($self)\n--\n\nSays GOAWAY and starts an orderly shutdown; unfinished streams end with "
     "AWS_ERROR_HTTP_CONNECTION_CLOSED.\n\n:returns: ``shutdown_future``"},
    {"request", (PyCFunction)(void (*)(void))http2_request, METH_FASTCALL | METH_KEYWORDS,
     "request($self, request, on_response=None, on_body=None, manual_write=False, *, on_interim=None, "
     "on_trailers=None, body=None, readinto=None, expect_continue=None, timeouts=None)\n--\n\n"
     "Makes a stream for a request. Nothing is sent before its ``activate()``.\n\n"
     ":param on_response: called once as ``on_response(http_stream=, status_code=, headers=)``\n"
     ":param on_body: called as ``on_body(http_stream=, chunk=)`` with bytes\n"
     ":param manual_write: the request goes on with ``write_data`` until one with ``end_stream``\n"
     ":param on_interim: called as ``on_interim(http_stream=, status_code=, headers=)`` for each informational "
     "response but 101 (RFC 9110, section 15.2)\n"
     ":param on_trailers: called once as ``on_trailers(http_stream=, headers=)`` behind a body that has trailers\n"
     ":param body: a buffer, an object with a ``read`` method, or an iterable of buffers; follows the ``body_stream``\n"
     ":param readinto: a writable buffer or a binary file that the response body goes to, instead of ``on_body``; one "
     "that does not fit a buffer ends the stream with AWS_ERROR_SHORT_BUFFER. A file is written on the event-loop "
     "thread\n"
     ":param expect_continue: of no effect with HTTP/2\n"
     ":param timeouts: :class:`HttpTimeouts`; None: those of the connection\n"
     ":raises RuntimeError: the request breaks a rule of RFC 9113, the connection is closed, or the peer has said "
     "that it takes no more requests (GOAWAY)"},
    {"update_window", (PyCFunction)(void (*)(void))awscrt_http2_update_window, METH_FASTCALL | METH_KEYWORDS,
     "update_window($self, increment_size)\n--\n\nLets the peer send that many more bytes of body on the whole "
     "connection. No effect unless it was made with ``conn_manual_window_management``."},
    {"ping", awscrt_http2_ping, METH_NOARGS,
     "ping($self)\n--\n\nAsks the peer for a sign of life (RFC 9113, section 6.7).\n\n"
     ":returns: future of the round trip in seconds"},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot http2_slots[] = {
    {Py_tp_doc, "Native part of Http2ClientConnection."},
    {Py_tp_dealloc, connection_dealloc},
    {Py_tp_traverse, connection_traverse},
    {Py_tp_clear, connection_clear},
    {Py_tp_methods, http2_methods},
    {0, NULL},
};

static PyType_Spec http2_spec = {
    .name = "awscrt._http.Http2Connection",
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = http2_slots,
};

static PyMethodDef async_methods[] = {
    {"_close", connection_close, METH_NOARGS, "Starts an orderly shutdown; gives shutdown_future."},
    {"_update_window", (PyCFunction)(void (*)(void))awscrt_http2_update_window, METH_FASTCALL | METH_KEYWORDS,
     "HTTP/2: credit for the connection."},
    {"_ping", awscrt_http2_ping, METH_NOARGS, "HTTP/2: future of the round trip in seconds."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot async_slots[] = {
    {Py_tp_doc, "Native part of the asyncio connections."},
    {Py_tp_dealloc, connection_dealloc},
    {Py_tp_traverse, connection_traverse},
    {Py_tp_clear, connection_clear},
    {Py_tp_methods, async_methods},
    {0, NULL},
};

static PyType_Spec async_spec = {
    .name = "awscrt._http.AsyncConnection",
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = async_slots,
};

int awscrt_http_connection_init(PyObject *module) {
    const size_t size = sizeof(connection_data);
    awscrt_http.connection_type = awscrt_http_type_new(module, &base_spec, size, awscrt_http.native_resource);
    if (!awscrt_http.connection_type) {
        return -1;
    }
    PyObject *client_base = (PyObject *)awscrt_http_type_new(module, &client_base_spec, size,
                                                             (PyObject *)awscrt_http.connection_type);
    if (!client_base) {
        return -1;
    }
    return awscrt_http_type_new(module, &client_spec, size, client_base) &&
                   awscrt_http_type_new(module, &http2_spec, size, client_base) &&
                   awscrt_http_type_new(module, &async_spec, size, client_base)
               ? 0
               : -1;
}
