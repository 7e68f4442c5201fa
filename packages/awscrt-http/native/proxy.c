/*
 * HttpProxyOptions: a plain Python object, checked when it is used.
 */
#include "binding.h"

/* All of these return 0, or -1 with the exception set. What *out borrows from is appended to `keep`. */

static int get_string(PyObject *options, const char *attribute, bool optional, PyObject *keep, const char **out) {
    PyObject *value = PyObject_GetAttrString(options, attribute);
    Py_ssize_t len = 0;
    if (!value) {
        return -1;
    }
    *out = NULL;
    if (!(optional && value == Py_None)) {
        *out = PyUnicode_Check(value) ? PyUnicode_AsUTF8AndSize(value, &len) : NULL;
        if (!*out && !PyErr_Occurred()) {
            PyErr_Format(PyExc_TypeError, "HttpProxyOptions.%s is not a valid string", attribute);
        }
    }
    if (*out && strlen(*out) != (size_t)len) {
        PyErr_Format(PyExc_ValueError, "HttpProxyOptions.%s contains NUL", attribute);
    }
    int status = PyErr_Occurred() ? -1 : PyList_Append(keep, value);
    Py_DECREF(value);
    return status;
}

static int get_enum(PyObject *options, const char *attribute, long *out) {
    PyObject *value = PyObject_GetAttrString(options, attribute);
    if (!value) {
        return -1;
    }
    if (PyLong_Check(value)) {
        *out = PyLong_AsLong(value);
    } else {
        PyErr_Format(PyExc_TypeError, "HttpProxyOptions.%s is not a valid enum", attribute);
    }
    Py_DECREF(value);
    return PyErr_Occurred() ? -1 : 0;
}

static int get_port(PyObject *options, uint32_t *out) {
    PyObject *value = PyObject_GetAttrString(options, "port");
    if (!value) {
        return -1;
    }
    if (PyLong_Check(value)) {
        unsigned long long port = PyLong_AsUnsignedLongLong(value);
        if (port > UINT32_MAX && !PyErr_Occurred()) {
            PyErr_Format(PyExc_OverflowError, "HttpProxyOptions.port %R is out of range", value);
        }
        *out = (uint32_t)port;
    } else {
        PyErr_SetString(PyExc_TypeError, "Cannot convert HttpProxyOptions.port to a C uint32_t");
    }
    Py_DECREF(value);
    return PyErr_Occurred() ? -1 : 0;
}

static int get_tls(PyObject *options, PyObject *keep, crt_tls_options *tls) {
    PyObject *value = PyObject_GetAttrString(options, "tls_connection_options");
    PyObject *held;
    if (!value) {
        return -1;
    }
    int status = awscrt_tls_options_get(value, tls, &held);
    Py_DECREF(value);
    if (status && PyErr_ExceptionMatches(PyExc_TypeError)) {
        PyErr_Clear();
        PyErr_SetString(PyExc_TypeError, "HttpProxyOptions.tls_connection_options is not a valid TlsConnectionOptions");
    }
    if (held) {
        status = PyList_Append(keep, held);
        Py_DECREF(held);
    }
    return status;
}

static int fill(PyObject *options, PyObject *keep, crt_http_proxy *out, crt_tls_options *tls) {
    enum { AUTH_NOTHING = 0, AUTH_BASIC = 1 };
    long kind = 0;
    long authentication = 0;
    if (get_string(options, "host_name", false, keep, &out->host) || get_port(options, &out->port) ||
        get_tls(options, keep, tls) || get_enum(options, "connection_type", &kind) ||
        get_enum(options, "auth_type", &authentication) ||
        get_string(options, "auth_username", true, keep, &out->user) ||
        get_string(options, "auth_password", true, keep, &out->password)) {
        return -1;
    }
    if (kind < CRT_HTTP_PROXY_LEGACY || kind > CRT_HTTP_PROXY_TUNNELING) {
        awscrt_raise(AWS_ERROR_UNIMPLEMENTED, "HttpProxyOptions.connection_type is not a HttpProxyConnectionType");
        return -1;
    }
    out->kind = (int)kind;
    out->tls = tls->ctx ? tls : NULL;
    if (authentication == AUTH_BASIC) {
        /* RFC 7617: what is missing is empty. */
        out->user = out->user ? out->user : "";
        out->password = out->password ? out->password : "";
    } else {
        out->user = out->password = NULL;
    }
    return 0;
}

int awscrt_http_proxy_get(PyObject *options, crt_http_proxy *out, crt_tls_options *tls, PyObject **keep) {
    memset(out, 0, sizeof(*out));
    memset(tls, 0, sizeof(*tls));
    *keep = NULL;
    if (options == Py_None) {
        return 0;
    }
    PyObject *held = PyList_New(0);
    if (!held || fill(options, held, out, tls)) {
        Py_XDECREF(held);
        return -1;
    }
    *keep = held;
    return 0;
}
