/*
 * HttpMessageBase and HttpRequest: the native message, plus the Python objects it was made of.
 */
#include "binding.h"

typedef struct message_data {
    crt_http_message *message;
    PyObject *headers;     /* HttpHeaders over the message's headers */
    PyObject *body_stream; /* InputStream or NULL */
} message_data;

static message_data *of(PyObject *self) {
    return awscrt_http_data(self);
}

crt_http_message *awscrt_http_message_get(PyObject *request) {
    if (!awscrt_http_is(request, awscrt_http.message_type)) {
        PyErr_Format(PyExc_TypeError, "HttpRequest expected, got %R", (PyObject *)Py_TYPE(request));
        return NULL;
    }
    if (!of(request)->message) {
        PyErr_SetString(PyExc_TypeError, "HttpRequest.__init__() was not called");
        return NULL;
    }
    return of(request)->message;
}

PyObject *awscrt_http_message_body_stream(PyObject *request) {
    return of(request)->body_stream;
}

/* ---- body ---- */

PyObject *awscrt_http_wrap_stream(PyObject *stream) {
    PyObject *type = awscrt_http_import_attribute("awscrt.io", "InputStream");
    PyObject *wrapped = type ? PyObject_CallMethod(type, "wrap", "O", stream) : NULL;
    Py_XDECREF(type);
    if (type && !wrapped && PyErr_ExceptionMatches(PyExc_TypeError)) {
        PyErr_Clear();
        PyErr_SetString(PyExc_TypeError, "I/O stream type expected");
    }
    return wrapped;
}

static int set_body(PyObject *self, PyObject *stream) {
    PyObject *wrapped = awscrt_http_wrap_stream(stream);
    if (!wrapped) {
        return -1;
    }
    crt_source *source = awscrt_source_of_input_stream(wrapped);
    if (!source) {
        Py_DECREF(wrapped);
        return -1;
    }
    crt_http_message_set_body(of(self)->message, source);
    crt_source_release(source);
    PyObject *old = of(self)->body_stream;
    of(self)->body_stream = wrapped;
    Py_XDECREF(old);
    return 0;
}

/* ---- construction ---- */

static int set_headers(PyObject *self, PyObject *headers) {
    message_data *data = of(self);
    PyObject *own = headers && headers != Py_None ? Py_NewRef(headers) : NULL;
    if (own && !awscrt_http_is(own, awscrt_http.headers_type)) {
        Py_DECREF(own);
        awscrt_http_assertion();
        return -1;
    }
    if (!own) {
        PyTypeObject *type = awscrt_http.headers_type;
        own = ((newfunc)PyType_GetSlot(type, Py_tp_new))(type, awscrt_http.empty_tuple, NULL);
        if (!own) {
            return -1;
        }
    }
    crt_http_message *message = crt_http_message_new(awscrt_http_headers_get(own));
    if (!message) {
        Py_DECREF(own);
        PyErr_NoMemory();
        return -1;
    }
    PyObject *old = data->headers;
    crt_http_message_release(data->message);
    data->message = message;
    data->headers = own;
    Py_XDECREF(old);
    Py_CLEAR(data->body_stream);
    return 0;
}

static int set_constructor_body(PyObject *self, PyObject *stream) {
    if (!stream || stream == Py_None) {
        return 0;
    }
    int truth = PyObject_IsTrue(stream);
    return truth > 0 ? set_body(self, stream) : truth;
}

static int base_init(PyObject *self, PyObject *args, PyObject *kwargs) {
    static const char *const names[] = {"binding", "headers", "body_stream"};
    const awscrt_params params = {"HttpMessageBase", names, 2, 3};
    PyObject *given[3];
    if (awscrt_http_args_of_tuple(&params, args, kwargs, given) || set_headers(self, given[1])) {
        return -1;
    }
    return set_constructor_body(self, given[2]);
}

static PyObject *base_init_method(PyObject *self, PyObject *args, PyObject *kwargs) {
    if (base_init(self, args, kwargs)) {
        return NULL;
    }
    Py_RETURN_NONE;
}

typedef int (*set_text_fn)(crt_http_message *, crt_bytes);

static int set_text(PyObject *self, PyObject *value, set_text_fn set, const char *name) {
    Py_ssize_t len;
    if (!value || !PyUnicode_Check(value)) {
        PyErr_Format(PyExc_TypeError, "HttpRequest.%s must be a str", name);
        return -1;
    }
    const char *text = PyUnicode_AsUTF8AndSize(value, &len);
    if (!text || !awscrt_http_message_get(self)) {
        return -1;
    }
    int code = set(of(self)->message, crt_bytes_of(text, (size_t)len));
    if (code) {
        awscrt_raise(code, NULL);
        return -1;
    }
    return 0;
}

static int request_init(PyObject *self, PyObject *args, PyObject *kwargs) {
    static const char *const names[] = {"method", "path", "headers", "body_stream"};
    const awscrt_params params = {"HttpRequest", names, 0, 4};
    PyObject *given[4];
    if (awscrt_http_args_of_tuple(&params, args, kwargs, given) || set_headers(self, given[2])) {
        return -1;
    }
    crt_http_message *message = of(self)->message;
    int code = 0;
    if (!given[0]) {
        code = crt_http_message_set_method(message, crt_bytes_str("GET"));
    } else if (set_text(self, given[0], crt_http_message_set_method, "method")) {
        return -1;
    }
    if (!code && !given[1]) {
        code = crt_http_message_set_path(message, crt_bytes_str("/"));
    } else if (!code && set_text(self, given[1], crt_http_message_set_path, "path")) {
        return -1;
    }
    if (code) {
        awscrt_raise(code, NULL);
        return -1;
    }
    return set_constructor_body(self, given[3]);
}

static PyObject *request_init_method(PyObject *self, PyObject *args, PyObject *kwargs) {
    if (request_init(self, args, kwargs)) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* ---- properties ---- */

static PyObject *text_or_none(crt_bytes text) {
    if (!text.len) {
        Py_RETURN_NONE;
    }
    return PyUnicode_DecodeUTF8((const char *)text.ptr, (Py_ssize_t)text.len, NULL);
}

static PyObject *get_method(PyObject *self, void *unused) {
    crt_http_message *message = awscrt_http_message_get(self);
    return message ? text_or_none(crt_http_message_method(message)) : NULL;
}

static int set_method(PyObject *self, PyObject *value, void *unused) {
    return set_text(self, value, crt_http_message_set_method, "method");
}

static PyObject *get_path(PyObject *self, void *unused) {
    crt_http_message *message = awscrt_http_message_get(self);
    return message ? text_or_none(crt_http_message_path(message)) : NULL;
}

static int set_path(PyObject *self, PyObject *value, void *unused) {
    return set_text(self, value, crt_http_message_set_path, "path");
}

static PyObject *get_headers(PyObject *self, void *unused) {
    return awscrt_http_message_get(self) ? Py_NewRef(of(self)->headers) : NULL;
}

static PyObject *get_body_stream(PyObject *self, void *unused) {
    PyObject *stream = of(self)->body_stream;
    return Py_NewRef(stream ? stream : Py_None);
}

static int set_body_stream(PyObject *self, PyObject *value, void *unused) {
    if (!value || value == Py_None) {
        PyErr_SetString(PyExc_TypeError, "I/O stream type expected");
        return -1;
    }
    return awscrt_http_message_get(self) ? set_body(self, value) : -1;
}

/* ---- types ---- */

static int message_traverse(PyObject *self, visitproc visit, void *arg) {
    AWSCRT_VISIT_TYPE(self);
    Py_VISIT(of(self)->headers);
    Py_VISIT(of(self)->body_stream);
    return 0;
}

/* The members go with the object: clearing them here would leave a request without headers in Python's hands. */
static void message_dealloc(PyObject *self) {
    awscrt_http_dealloc_begin(self);
    crt_http_message_release(of(self)->message);
    Py_XDECREF(of(self)->headers);
    Py_XDECREF(of(self)->body_stream);
    awscrt_free_instance(self);
}

static int message_clear(PyObject *self) {
    Py_CLEAR(of(self)->body_stream);
    return 0;
}

static PyMethodDef base_methods[] = {
    {"__init__", (PyCFunction)(void (*)(void))base_init_method, METH_VARARGS | METH_KEYWORDS | METH_COEXIST,
     "__init__($self, binding, headers, body_stream=None)\n--\n\n"},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef base_properties[] = {
    {"headers", get_headers, NULL, "The :class:`HttpHeaders`; always the same object.", NULL},
    {"body_stream", get_body_stream, set_body_stream,
     "The body as :class:`awscrt.io.InputStream`, or None. Accepts any object with a ``read`` method.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot base_slots[] = {
    {Py_tp_doc, "Base of HTTP messages."},
    {Py_tp_new, awscrt_http_tp_new},
    {Py_tp_init, base_init},
    {Py_tp_dealloc, message_dealloc},
    {Py_tp_traverse, message_traverse},
    {Py_tp_clear, message_clear},
    {Py_tp_methods, base_methods},
    {Py_tp_getset, base_properties},
    {0, NULL},
};

static PyType_Spec base_spec = {
    .name = "awscrt.http.HttpMessageBase",
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = base_slots,
};

static PyMethodDef request_methods[] = {
    {"__init__", (PyCFunction)(void (*)(void))request_init_method, METH_VARARGS | METH_KEYWORDS | METH_COEXIST,
     "__init__($self, method='GET', path='/', headers=None, body_stream=None)\n--\n\n"
     "A request. Nothing is checked before it is sent."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef request_properties[] = {
    {"method", get_method, set_method, "HTTP method; an empty one reads as None.", NULL},
    {"path", get_path, set_path, "Path and query of the request target; an empty one reads as None.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot request_slots[] = {
    {Py_tp_doc, "An HTTP request. It may be sent several times, also on several connections; its body stream is not "
                "rewound in between."},
    {Py_tp_new, awscrt_http_tp_new},
    {Py_tp_init, request_init},
    {Py_tp_dealloc, message_dealloc},
    {Py_tp_traverse, message_traverse},
    {Py_tp_clear, message_clear},
    {Py_tp_methods, request_methods},
    {Py_tp_getset, request_properties},
    {0, NULL},
};

static PyType_Spec request_spec = {
    .name = "awscrt.http.HttpRequest",
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = request_slots,
};

int awscrt_http_message_init(PyObject *module) {
    awscrt_http.message_type =
        awscrt_http_type_new(module, &base_spec, sizeof(message_data), awscrt_http.native_resource);
    if (!awscrt_http.message_type) {
        return -1;
    }
    awscrt_http.request_type =
        awscrt_http_type_new(module, &request_spec, sizeof(message_data), (PyObject *)awscrt_http.message_type);
    return awscrt_http.request_type ? 0 : -1;
}
