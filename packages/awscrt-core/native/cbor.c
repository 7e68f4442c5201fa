/*
 * awscrt.cbor: dumps and loads for whole objects, and what the module loads on import.
 */
#include "cbor.h"

enum { DEFAULT_MAX_DEPTH = 1000, USUAL_SIZE = 1024 };

/* ---- arguments: one by position, options by keyword ---- */

typedef struct option {
    const char *name;
    PyObject **value;
} option;

/* Parsed by hand: PyArg_ParseTupleAndKeywords costs more than a small item. Borrowed references. */
static int parse(PyObject *const *args, Py_ssize_t count, PyObject *names, const char *function, option *options) {
    if (count > 1) {
        PyErr_Format(PyExc_TypeError, "%s() takes one argument by position, got %zd", function, count);
        return -1;
    }
    *options[0].value = count ? args[0] : NULL;
    Py_ssize_t keywords = names ? PyTuple_Size(names) : 0;
    for (Py_ssize_t i = 0; i < keywords; i++) {
        PyObject *name = PyTuple_GetItem(names, i);
        option *o = options;
        while (o->name && PyUnicode_CompareWithASCIIString(name, o->name)) {
            o++;
        }
        if (!o->name || (o == options && count)) {
            PyErr_Format(PyExc_TypeError, "%s() got an unexpected or repeated argument '%U'", function, name);
            return -1;
        }
        *o->value = args[count + i];
    }
    if (!*options[0].value) {
        PyErr_Format(PyExc_TypeError, "%s() needs the argument '%s'", function, options[0].name);
        return -1;
    }
    return 0;
}

/* A limit: an int of at least 1; None or absent leaves `*limit` as it is. */
static int parse_limit(PyObject *value, const char *name, size_t *limit) {
    if (!value || value == Py_None) {
        return 0;
    }
    if (!PyLong_Check(value)) {
        PyErr_Format(PyExc_TypeError, "%s must be an int or None, got %R", name, (PyObject *)Py_TYPE(value));
        return -1;
    }
    Py_ssize_t number = PyLong_AsSsize_t(value);
    if (number < 1) {
        if (!PyErr_Occurred()) {
            PyErr_Format(PyExc_ValueError, "%s must be at least 1, got %zd", name, number);
        }
        return -1;
    }
    *limit = (size_t)number;
    return 0;
}

/* ---- dumps ---- */

static PyObject *dumps(PyObject *module, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    PyObject *object, *max_depth = NULL, *max_size = NULL;
    option options[] = {{"obj", &object}, {"max_depth", &max_depth}, {"max_size", &max_size}, {NULL, NULL}};
    awscrt_cbor_limits limits = {DEFAULT_MAX_DEPTH, SIZE_MAX};
    if (parse(args, count, names, "dumps", options) || parse_limit(max_depth, "max_depth", &limits.depth) ||
        parse_limit(max_size, "max_size", &limits.size)) {
        return NULL;
    }
    crt_buf out = CRT_BUF_INIT;
    if (crt_buf_reserve(&out, USUAL_SIZE)) {
        return PyErr_NoMemory();
    }
    PyObject *result = NULL;
    if (!awscrt_cbor_write(&out, object, AWSCRT_CBOR_WHOLE, &limits)) {
        crt_bytes data = crt_buf_view(&out);
        result = PyBytes_FromStringAndSize((const char *)data.ptr, (Py_ssize_t)data.len);
    }
    crt_buf_free(&out);
    return result;
}

/* ---- loads ---- */

static PyObject *read_all(awscrt_cbor_reader *reader, size_t max_size) {
    if (reader->rest.len > max_size) {
        PyErr_Format(PyExc_ValueError, "the CBOR data has %zu bytes, more than %zu", reader->rest.len, max_size);
        return NULL;
    }
    PyObject *object = awscrt_cbor_read(reader);
    if (object && reader->rest.len) {
        Py_DECREF(object);
        awscrt_cbor_fail(reader, AWS_ERROR_INVALID_CBOR, reader->rest.ptr, "data behind the item");
        object = NULL;
    }
    awscrt_cbor_time_clear(&reader->time);
    return object;
}

static PyObject *loads(PyObject *module, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    PyObject *data, *max_depth = NULL, *max_size = NULL, *tag_hook = NULL;
    option options[] = {
        {"data", &data}, {"max_depth", &max_depth}, {"max_size", &max_size}, {"tag_hook", &tag_hook}, {NULL, NULL}};
    size_t depth = DEFAULT_MAX_DEPTH, size = SIZE_MAX;
    if (parse(args, count, names, "loads", options) || parse_limit(max_depth, "max_depth", &depth) ||
        parse_limit(max_size, "max_size", &size)) {
        return NULL;
    }
    if (tag_hook && tag_hook != Py_None && !PyCallable_Check(tag_hook)) {
        PyErr_Format(PyExc_TypeError, "tag_hook must be callable, got %R", (PyObject *)Py_TYPE(tag_hook));
        return NULL;
    }
    Py_buffer buffer;
    if (PyObject_GetBuffer(data, &buffer, PyBUF_SIMPLE)) {
        return NULL;
    }
    awscrt_cbor_reader reader = {.begin = buffer.buf,
                                 .rest = crt_bytes_of(buffer.buf, (size_t)buffer.len),
                                 .rules = AWSCRT_CBOR_WHOLE,
                                 .max_depth = depth,
                                 .max_entries = UINT64_MAX - 1,
                                 .on_tag = tag_hook == Py_None ? NULL : tag_hook};
    PyObject *object = read_all(&reader, size);
    PyBuffer_Release(&buffer);
    return object;
}

/* ---- import ---- */

static PyMethodDef functions[] = {
    {"dumps", (PyCFunction)(void (*)(void))dumps, METH_FASTCALL | METH_KEYWORDS,
     "dumps($module, /, obj, *, max_depth=1000, max_size=None)\n--\n\n"
     "The CBOR form of a whole Python object; loads() gives an equal one back.\n\n"
     "None, bool, int of any size, float, str, bytes, bytearray, memoryview, list, tuple, dict and datetime with a\n"
     "time zone, and their subclasses.\n\n"
     ":param max_depth: levels of nesting, the innermost object included\n"
     ":param max_size: bytes of the result; None is no limit\n"
     ":raises TypeError: an object has no CBOR form, or a str holds lone surrogates\n"
     ":raises ValueError: the result is too long, or a datetime has no time zone\n"
     ":raises RecursionError: nested too deeply, or a container contains itself"},
    {"loads", (PyCFunction)(void (*)(void))loads, METH_FASTCALL | METH_KEYWORDS,
     "loads($module, /, data, *, max_depth=1000, max_size=None, tag_hook=None)\n--\n\n"
     "The Python object that one CBOR item (RFC 8949) stands for.\n\n"
     "Arrays become lists, tuples inside of map keys; undefined is None. Tags 0 and 1 become datetime, 2 and 3 int,\n"
     "55799 is skipped.\n\n"
     ":param data: bytes or any other C-contiguous buffer; the item and nothing else\n"
     ":param max_depth: levels of nesting, tags and the innermost object included\n"
     ":param max_size: bytes of data; None is no limit\n"
     ":param tag_hook: tag_hook(number, content) gives what an item with another tag stands for\n"
     ":raises ValueError: the data is not one valid item, at which byte; a tag is not known\n"
     ":raises RecursionError: nested too deeply"},
};

/* Adds `name` of the module awscrt.cbor to ours as cbor_`name`. */
static int add_function(PyObject *module, PyMethodDef *function, const char *attribute) {
    PyObject *owner = PyUnicode_FromString("awscrt.cbor");
    PyObject *callable = owner ? PyCFunction_NewEx(function, module, owner) : NULL;
    int status = callable ? PyModule_AddObjectRef(module, attribute, callable) : -1;
    Py_XDECREF(callable);
    Py_XDECREF(owner);
    return status;
}

static int add_type(PyObject *module, PyObject *type, const char *attribute) {
    int status = type ? PyModule_AddObjectRef(module, attribute, type) : -1;
    Py_XDECREF(type);
    return status;
}

/* The base class of everything that owns a native object is Python's, and loaded before this module. */
int awscrt_cbor_init(PyObject *module) {
    PyObject *package = PyImport_ImportModule("awscrt");
    PyObject *native_resource = package ? PyObject_GetAttrString(package, "NativeResource") : NULL;
    int status = native_resource ? 0 : -1;
    status = status ? status : add_type(module, awscrt_cbor_encoder_type(native_resource), "CborEncoder");
    status = status ? status : add_type(module, awscrt_cbor_decoder_type(native_resource), "CborDecoder");
    status = status ? status : add_function(module, &functions[0], "cbor_dumps");
    status = status ? status : add_function(module, &functions[1], "cbor_loads");
    Py_XDECREF(native_resource);
    Py_XDECREF(package);
    return status;
}
