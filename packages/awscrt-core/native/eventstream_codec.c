/*
 * Whole messages between Python and the wire: encoding to bytes, lists of headers, and the decoder of
 * awscrt.eventstream.codec.
 */
#include "eventstream.h"

/* ---- encoding ---- */

enum { FEW = 12 }; /* headers that need no allocation */

typedef struct encoding {
    crt_es_header *headers;
    Py_buffer *buffers;
    size_t count;
    size_t headers_len;
    Py_buffer payload;
    crt_es_header few_headers[FEW];
    Py_buffer few_buffers[FEW];
} encoding;

static void encoding_end(encoding *e) {
    for (size_t i = 0; i < e->count; i++) {
        if (e->buffers[i].obj) {
            PyBuffer_Release(&e->buffers[i]);
        }
    }
    if (e->payload.obj) {
        PyBuffer_Release(&e->payload);
    }
    if (e->headers != e->few_headers) {
        crt_free(e->headers);
        crt_free(e->buffers);
    }
}

/* Room for so many headers. */
static int encoding_begin(encoding *e, size_t room) {
    e->headers = e->few_headers;
    e->buffers = e->few_buffers;
    e->count = 0;
    e->headers_len = 0;
    e->payload.obj = NULL;
    e->payload.buf = NULL;
    e->payload.len = 0;
    if (room <= FEW) {
        return 0;
    }
    e->headers = crt_calloc(room, sizeof(*e->headers));
    e->buffers = crt_calloc(room, sizeof(*e->buffers));
    if (!e->headers || !e->buffers) {
        crt_free(e->headers);
        crt_free(e->buffers);
        e->headers = e->few_headers;
        e->buffers = e->few_buffers;
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}

static const char *name_for_message(const crt_es_header *header, char *out, size_t size) {
    const size_t len = header->name.len < size - 1 ? header->name.len : size - 1;
    memcpy(out, header->name.ptr, len);
    out[len] = 0;
    return out;
}

/* The header at e->count is filled in: counts it. */
static int add(encoding *e) {
    const crt_es_header *header = &e->headers[e->count++];
    size_t size;
    int status = crt_es_header_size(header, &size);
    if (status) {
        char name[CRT_ES_NAME_MAX + 1];
        awscrt_raise(status, name_for_message(header, name, sizeof(name)));
        return -1;
    }
    e->headers_len += size;
    return 0;
}

static int add_object(encoding *e, PyObject *object) {
    if (!awscrt_es_is_header(object)) {
        PyErr_Format(PyExc_AttributeError, "headers must be awscrt.eventstream.Header objects, got %R",
                     (PyObject *)Py_TYPE(object));
        return -1;
    }
    if (awscrt_es_header_view(object, &e->headers[e->count], &e->buffers[e->count])) {
        e->count += e->buffers[e->count].obj != NULL; /* for its release */
        return -1;
    }
    return add(e);
}

static int add_int32(encoding *e, const char *name, uint32_t value) {
    crt_es_header *header = &e->headers[e->count];
    memset(header, 0, sizeof(*header));
    header->name = crt_bytes_str(name);
    header->type = CRT_ES_INT32;
    header->number = (int32_t)value;
    e->buffers[e->count].obj = NULL;
    return add(e);
}

static int add_operation(encoding *e, PyObject *operation) {
    Py_ssize_t len;
    const char *text = PyUnicode_AsUTF8AndSize(operation, &len); /* TypeError when it is no str */
    if (!text) {
        return -1;
    }
    crt_es_header *header = &e->headers[e->count];
    memset(header, 0, sizeof(*header));
    header->name = crt_bytes_str("operation");
    header->type = CRT_ES_STRING;
    header->bytes = crt_bytes_of(text, (size_t)len);
    e->buffers[e->count].obj = NULL;
    return add(e);
}

static int take_payload(encoding *e, PyObject *payload) {
    if (payload == Py_None) {
        return 0;
    }
    PyObject *encoded = PyUnicode_Check(payload) ? PyUnicode_AsUTF8String(payload) : Py_NewRef(payload);
    int status = encoded ? PyObject_GetBuffer(encoded, &e->payload, PyBUF_SIMPLE) : -1;
    if (status) {
        e->payload.obj = NULL;
    }
    Py_XDECREF(encoded);
    return status;
}

/* bytes of the message. */
static PyObject *encoding_write(encoding *e) {
    size_t size;
    int status = crt_es_message_size(e->headers_len, (size_t)e->payload.len, &size);
    if (status) {
        return awscrt_raise(status, "24 MiB are the most");
    }
    PyObject *message = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)size);
    if (!message) {
        return NULL;
    }
    uint8_t *start = (uint8_t *)PyBytes_AsString(message), *out = start + CRT_ES_PRELUDE;
    for (size_t i = 0; i < e->count; i++) {
        out = crt_es_header_write(out, &e->headers[i]);
    }
    if (e->payload.len > 0) {
        memcpy(out, e->payload.buf, (size_t)e->payload.len);
    }
    crt_es_message_seal(start, size, e->headers_len);
    return message;
}

static PyObject *tuple_of_headers(PyObject *headers) {
    return headers == Py_None ? PyTuple_New(0) : PySequence_Tuple(headers);
}

static int add_objects(encoding *e, PyObject *headers) {
    const Py_ssize_t count = PyTuple_Size(headers);
    for (Py_ssize_t i = 0; i < count; i++) {
        if (add_object(e, PyTuple_GetItem(headers, i))) {
            return -1;
        }
    }
    return 0;
}

static PyObject *encode(PyObject *module, PyObject *args) {
    PyObject *headers, *payload, *message = NULL;
    encoding e;
    if (!PyArg_ParseTuple(args, "OO:eventstream_encode", &headers, &payload) || awscrt_es_need_types()) {
        return NULL;
    }
    headers = tuple_of_headers(headers);
    if (!headers) {
        return NULL;
    }
    if (encoding_begin(&e, (size_t)PyTuple_Size(headers)) == 0 && add_objects(&e, headers) == 0 &&
        take_payload(&e, payload) == 0) {
        message = encoding_write(&e);
    }
    encoding_end(&e);
    Py_DECREF(headers);
    return message;
}

static int masked(PyObject *number, const char *what, uint32_t *out) {
    if (!PyLong_Check(number)) {
        PyErr_Format(PyExc_TypeError, "%s must be an int, got %R", what, (PyObject *)Py_TYPE(number));
        return -1;
    }
    *out = (uint32_t)PyLong_AsUnsignedLongMask(number);
    return 0;
}

/* The arguments of encode_rpc behind the headers. */
static int add_route(encoding *e, PyObject *const *args, Py_ssize_t nargs) {
    uint32_t message_type, flags = 0, stream_id;
    if (masked(args[0], "message_type", &message_type) ||
        (args[1] != Py_None && masked(args[1], "flags", &flags)) || masked(args[2], "stream_id", &stream_id)) {
        return -1;
    }
    if (add_int32(e, ":message-type", message_type) || add_int32(e, ":message-flags", flags) ||
        add_int32(e, ":stream-id", stream_id)) {
        return -1;
    }
    return nargs == 4 ? add_operation(e, args[3]) : 0;
}

static PyObject *encode_rpc(PyObject *module, PyObject *const *args, Py_ssize_t nargs) {
    PyObject *message = NULL;
    encoding e;
    if (nargs < 5 || nargs > 6) {
        PyErr_SetString(PyExc_TypeError, "expected 5 or 6 arguments");
        return NULL;
    }
    PyObject *headers = awscrt_es_need_types() ? NULL : tuple_of_headers(args[0]);
    if (!headers) {
        return NULL;
    }
    if (encoding_begin(&e, (size_t)PyTuple_Size(headers) + 4) == 0 && add_objects(&e, headers) == 0 &&
        take_payload(&e, args[1]) == 0 && add_route(&e, args + 2, nargs - 2) == 0) {
        message = encoding_write(&e);
    }
    encoding_end(&e);
    Py_DECREF(headers);
    return message;
}

/* ---- lists of headers ---- */

static bool is_named(crt_bytes name, const char *lower, size_t len) {
    if (name.len != len) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        uint8_t c = name.ptr[i];
        if ((c >= 'A' && c <= 'Z' ? c + 32 : c) != lower[i]) {
            return false;
        }
    }
    return true;
}

static void note_route(const crt_es_header *header, awscrt_es_route *route) {
    static const struct {
        const char *name;
        size_t len;
    } reserved[] = {{":message-type", 13}, {":message-flags", 14}, {":stream-id", 10}};
    int32_t *const members[] = {&route->message_type, &route->flags, &route->stream_id};
    if (header->type != CRT_ES_INT32 || header->name.len == 0 || header->name.ptr[0] != ':') {
        return;
    }
    for (int i = 0; i < 3; i++) {
        if (!(route->found & 1 << i) && is_named(header->name, reserved[i].name, reserved[i].len)) {
            route->found |= 1 << i;
            *members[i] = (int32_t)header->number;
            return;
        }
    }
}

static int append_header(PyObject *list, const crt_es_header *header) {
    PyObject *object = awscrt_es_header_new(header);
    int status = object ? PyList_Append(list, object) : -1;
    Py_XDECREF(object);
    return status;
}

PyObject *awscrt_es_header_list(crt_bytes block, awscrt_es_route *route) {
    crt_es_headers rest = {block, 0};
    crt_es_header header;
    PyObject *list = PyList_New(0);
    while (list && rest.rest.len > 0) {
        int status = crt_es_headers_next(&rest, &header);
        if (status) {
            PyObject *exception = awscrt_exception(status, NULL);
            PyErr_SetObject((PyObject *)Py_TYPE(exception), exception);
            Py_DECREF(exception);
        } else if (route) {
            note_route(&header, route);
        }
        if (status || append_header(list, &header)) {
            Py_CLEAR(list);
        }
    }
    return list;
}

/* ---- the decoder ---- */

typedef struct decoder_object {
    PyObject_HEAD
    crt_es_decoder decoder;
} decoder_object;

static PyObject *decoder_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    return awscrt_es_need_types() ? NULL : PyType_GenericAlloc(type, 0);
}

static void decoder_dealloc(PyObject *self) {
    crt_es_decoder_clear(&((decoder_object *)self)->decoder);
    awscrt_free_instance(self);
}

static PyObject *decoder_add_data(PyObject *self, PyObject *data) {
    crt_es_decoder *d = &((decoder_object *)self)->decoder;
    Py_buffer buffer;
    int status = 0;
    if (PyObject_GetBuffer(data, &buffer, PyBUF_SIMPLE)) {
        return NULL;
    }
    AWSCRT_LOCK(self);
    const uint8_t *from = buffer.buf;
    size_t left = (size_t)buffer.len;
    while (left > 0 && !d->status && status == 0) {
        crt_span space = crt_es_decoder_space(d);
        const size_t n = space.len < left ? space.len : left;
        if (n == 0) {
            status = AWS_ERROR_OOM;
            continue;
        }
        memcpy(space.ptr, from, n);
        crt_es_decoder_add(d, n); /* its error is raised behind the messages before it */
        from += n;
        left -= n;
    }
    AWSCRT_UNLOCK();
    PyBuffer_Release(&buffer);
    if (status) {
        return PyErr_NoMemory();
    }
    Py_RETURN_NONE;
}

static PyObject *decoder_next(PyObject *self) {
    crt_es_decoder *d = &((decoder_object *)self)->decoder;
    crt_es_message message;
    PyObject *headers = NULL, *payload = NULL, *pair = NULL;
    int status = 0;
    AWSCRT_LOCK(self);
    if (crt_es_decoder_take(d, &message)) {
        /* The payload first: making headers may run other code, which may add data. */
        payload = PyBytes_FromStringAndSize((const char *)message.payload.ptr, (Py_ssize_t)message.payload.len);
        PyObject *block =
            PyBytes_FromStringAndSize((const char *)message.headers.ptr, (Py_ssize_t)message.headers.len);
        headers = block ? awscrt_es_header_list(crt_bytes_of(PyBytes_AsString(block), message.headers.len), NULL)
                        : NULL;
        Py_XDECREF(block);
        pair = headers && payload ? PyTuple_Pack(2, headers, payload) : NULL;
    } else {
        status = d->status;
    }
    AWSCRT_UNLOCK();
    Py_XDECREF(headers);
    Py_XDECREF(payload);
    if (status) {
        PyObject *exception = awscrt_exception(status, NULL);
        PyErr_SetObject((PyObject *)Py_TYPE(exception), exception);
        Py_DECREF(exception);
    }
    return pair;
}

static PyObject *decoder_iter(PyObject *self) {
    return Py_NewRef(self);
}

static PyMethodDef decoder_methods[] = {
    {"add_data", decoder_add_data, METH_O,
     "add_data($self, data, /)\n--\n\nMore bytes of the stream, cut anywhere. Behind an error they are ignored."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot decoder_slots[] = {
    {Py_tp_new, decoder_new},
    {Py_tp_dealloc, decoder_dealloc},
    {Py_tp_iter, decoder_iter},
    {Py_tp_iternext, decoder_next},
    {Py_tp_methods, decoder_methods},
    {Py_tp_doc, "Native part of awscrt.eventstream.codec.EventStreamDecoder: iterates over (headers, payload)."},
    {0, NULL},
};

static PyType_Spec decoder_spec = {
    .name = "awscrt._core._EventStreamDecoder",
    .basicsize = sizeof(decoder_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = decoder_slots,
};

static PyMethodDef functions[] = {
    {"eventstream_encode", encode, METH_VARARGS, "(headers, payload) -> bytes of the message"},
    {"eventstream_encode_rpc", (PyCFunction)(void (*)(void))encode_rpc, METH_FASTCALL,
     "(headers, payload, message_type, flags, stream_id[, operation]) -> bytes of the message"},
    {NULL, NULL, 0, NULL},
};

int awscrt_es_codec_init(PyObject *module) {
    PyObject *type = PyType_FromSpec(&decoder_spec);
    int status = type ? PyModule_AddObjectRef(module, "_EventStreamDecoder", type) : -1;
    Py_XDECREF(type);
    return status ? status : PyModule_AddFunctions(module, functions);
}
