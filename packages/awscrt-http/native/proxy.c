/*
 * HttpProxyOptions: a plain Python object, checked when it is used.
 */
#include "binding.h"

/* The four functions below return 0, or -1 with the exception set. Strings stay valid while `options` keeps them. */

static int get_string(PyObject *options, const char *attribute, bool optional, const char **out) {
    PyObject *value = PyObject_GetAttrString(options, attribute);
    if (!value) {
        return -1;
    }
    *out = NULL;
    if (!(optional && value == Py_None)) {
        *out = PyUnicode_Check(value) ? PyUnicode_AsUTF8AndSize(value, NULL) : NULL;
        if (!*out && !PyErr_Occurred()) {
            PyErr_Format(PyExc_TypeError, "HttpProxyOptions.%s is not a valid string", attribute);
        }
    }
    Py_DECREF(value); /* the attribute holds it */
    return PyErr_Occurred() ? -1 : 0;
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

static int get_tls(PyObject *options, crt_tls_options *tls) {
    PyObject *value = PyObject_GetAttrString(options, "tls_connection_options");
    if (!value) {
        return -1;
    }
    int status = awscrt_tls_options_get(value, tls);
    Py_DECREF(value);
    if (status && PyErr_ExceptionMatches(PyExc_TypeError)) {
        PyErr_Clear();
        PyErr_SetString(PyExc_TypeError, "HttpProxyOptions.tls_connection_options is not a valid TlsConnectionOptions");
    }
    return status;
}

int awscrt_http_proxy_get(PyObject *options, crt_http_proxy *out, crt_tls_options *tls) {
    enum { AUTH_NOTHING = 0, AUTH_BASIC = 1 };
    long kind = 0;
    long authentication = 0;
    memset(out, 0, sizeof(*out));
    memset(tls, 0, sizeof(*tls));
    if (options == Py_None) {
        return 0;
    }
    if (get_string(options, "host_name", false, &out->host) || get_port(options, &out->port) ||
        get_tls(options, tls) || get_enum(options, "connection_type", &kind) ||
        get_enum(options, "auth_type", &authentication) || get_string(options, "auth_username", true, &out->user) ||
        get_string(options, "auth_password", true, &out->password)) {
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
