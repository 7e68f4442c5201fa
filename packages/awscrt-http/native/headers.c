/*
 * HttpHeaders: an ordered multimap of strings, kept in its wire form.
 */
#include "binding.h"

typedef struct headers_data {
    crt_http_headers *headers;
} headers_data;

crt_http_headers *awscrt_http_headers_get(PyObject *object) {
    if (!awscrt_http_is(object, awscrt_http.headers_type)) {
        PyErr_Format(PyExc_TypeError, "HttpHeaders expected, got %R", (PyObject *)Py_TYPE(object));
        return NULL;
    }
    return ((headers_data *)awscrt_http_data(object))->headers;
}

static crt_http_headers *of(PyObject *self) {
    return ((headers_data *)awscrt_http_data(self))->headers;
}

/* ---- bytes to str ---- */

#if !defined(Py_GIL_DISABLED)
/*
 * Servers send the same few names in every response: their str objects are kept. Direct-mapped: a name that
 * falls on a taken place replaces it.
 */
enum { NAME_CACHE = 256, NAME_CACHE_MAX_LEN = 47 };

typedef struct cached_name {
    PyObject *str; /* NULL: the place is free */
    uint8_t len;
    char text[NAME_CACHE_MAX_LEN];
} cached_name;

static cached_name name_cache[NAME_CACHE];

/* Names that are used together differ in length, or at either end. */
static size_t name_hash(crt_bytes name) {
    uint64_t head = 0, tail = 0;
    size_t n = name.len < sizeof(head) ? name.len : sizeof(head);
    memcpy(&head, name.ptr, n);
    memcpy(&tail, name.ptr + name.len - n, n);
    uint64_t mixed = (head ^ (tail << 7 | tail >> 57) ^ name.len) * 0x9E3779B97F4A7C15u;
    return (size_t)(mixed >> 32) % NAME_CACHE;
}

static PyObject *name_to_str(crt_bytes name) {
    if (name.len > NAME_CACHE_MAX_LEN) {
        return PyUnicode_DecodeUTF8((const char *)name.ptr, (Py_ssize_t)name.len, NULL);
    }
    cached_name *place = &name_cache[name_hash(name)];
    if (place->str && place->len == name.len && memcmp(place->text, name.ptr, name.len) == 0) {
        return Py_NewRef(place->str);
    }
    PyObject *str = PyUnicode_DecodeUTF8((const char *)name.ptr, (Py_ssize_t)name.len, NULL);
    if (str) {
        PyObject *old = place->str;
        place->str = Py_NewRef(str);
        place->len = (uint8_t)name.len;
        memcpy(place->text, name.ptr, name.len);
        Py_XDECREF(old);
    }
    return str;
}
#else
static PyObject *name_to_str(crt_bytes name) {
    return PyUnicode_DecodeUTF8((const char *)name.ptr, (Py_ssize_t)name.len, NULL);
}
#endif

static PyObject *value_to_str(crt_bytes value) {
    return PyUnicode_DecodeUTF8((const char *)value.ptr, (Py_ssize_t)value.len, NULL);
}

static PyObject *pair_of(crt_http_header header) {
    /* The text first: making a tuple may collect garbage, whose finalizers may change the headers. */
    PyObject *name = name_to_str(header.name);
    PyObject *value = name ? value_to_str(header.value) : NULL;
    PyObject *pair = value ? PyTuple_New(2) : NULL;
    if (!pair) {
        Py_XDECREF(name);
        Py_XDECREF(value);
        return NULL;
    }
    PyTuple_SetItem(pair, 0, name); /* takes the reference */
    PyTuple_SetItem(pair, 1, value);
    return pair;
}

PyObject *awscrt_http_header_list(const crt_http_header *headers, size_t count) {
    PyObject *list = PyList_New((Py_ssize_t)count);
    for (size_t i = 0; list && i < count; i++) {
        PyObject *pair = pair_of(headers[i]);
        if (!pair || PyList_SetItem(list, (Py_ssize_t)i, pair)) {
            Py_DECREF(list);
            return NULL;
        }
    }
    return list;
}

static PyObject *list_of(const crt_http_headers *headers) {
    size_t count = crt_http_headers_count(headers);
    PyObject *list = PyList_New((Py_ssize_t)count);
    for (size_t i = 0; list && i < count; i++) {
        PyObject *pair = pair_of(crt_http_headers_at(headers, i));
        if (!pair || PyList_SetItem(list, (Py_ssize_t)i, pair)) {
            Py_DECREF(list);
            return NULL;
        }
    }
    return list;
}

/* ---- methods ---- */

static const char *const NAME_VALUE[] = {"name", "value"};

static int name_and_value(const char *function, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames,
                          crt_bytes *name, crt_bytes *value) {
    const awscrt_params params = {function, NAME_VALUE, 2, 2};
    PyObject *given[2];
    if (awscrt_http_args(&params, args, nargs, kwnames, given)) {
        return -1;
    }
    return awscrt_http_text(given[0], name) || awscrt_http_text(given[1], value) ? -1 : 0;
}

static PyObject *none_or_fail(int code) {
    if (code) {
        return awscrt_raise(code, NULL);
    }
    Py_RETURN_NONE;
}

static PyObject *headers_add(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames) {
    crt_bytes name, value;
    if (name_and_value("add", args, nargs, kwnames, &name, &value)) {
        return NULL;
    }
    return none_or_fail(crt_http_headers_add(of(self), name, value));
}

static PyObject *headers_set(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames) {
    crt_bytes name, value;
    if (name_and_value("set", args, nargs, kwnames, &name, &value)) {
        return NULL;
    }
    return none_or_fail(crt_http_headers_set(of(self), name, value));
}

static int pairs_expected(void) {
    PyErr_SetString(PyExc_TypeError, "List of (name,value) pairs expected.");
    return -1;
}

static int add_pair(crt_http_headers *headers, PyObject *pair) {
    crt_bytes name, value;
    if (!PyTuple_Check(pair) || PyTuple_Size(pair) != 2) {
        return pairs_expected();
    }
    PyObject *first = PyTuple_GetItem(pair, 0);
    PyObject *second = PyTuple_GetItem(pair, 1);
    if (!PyUnicode_Check(first) || !PyUnicode_Check(second)) {
        return pairs_expected();
    }
    if (awscrt_http_text(first, &name) || awscrt_http_text(second, &value)) {
        return -1;
    }
    int code = crt_http_headers_add(headers, name, value);
    if (code) {
        awscrt_raise(code, NULL);
        return -1;
    }
    return 0;
}

/* Pairs before a bad one stay added. */
static int add_pairs(crt_http_headers *headers, PyObject *pairs) {
    if (PyDict_Check(pairs) || PyUnicode_Check(pairs) || !(PySequence_Check(pairs) || PyAnySet_Check(pairs))) {
        return pairs_expected();
    }
    PyObject *iterator = PyObject_GetIter(pairs);
    if (!iterator) {
        return -1;
    }
    int status = 0;
    PyObject *pair;
    while (!status && (pair = PyIter_Next(iterator))) {
        status = add_pair(headers, pair);
        Py_DECREF(pair);
    }
    Py_DECREF(iterator);
    return status || PyErr_Occurred() ? -1 : 0;
}

static PyObject *headers_add_pairs(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames) {
    static const char *const names[] = {"name_value_pairs"};
    const awscrt_params params = {"add_pairs", names, 1, 1};
    PyObject *pairs;
    if (awscrt_http_args(&params, args, nargs, kwnames, &pairs) || add_pairs(of(self), pairs)) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *headers_get(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames) {
    static const char *const names[] = {"name", "default"};
    const awscrt_params params = {"get", names, 1, 2};
    PyObject *given[2];
    crt_bytes name, value;
    if (awscrt_http_args(&params, args, nargs, kwnames, given) || awscrt_http_text(given[0], &name)) {
        return NULL;
    }
    if (crt_http_headers_get(of(self), name, &value)) {
        return value_to_str(value);
    }
    return Py_NewRef(given[1] ? given[1] : Py_None);
}

static bool same_name(crt_bytes a, crt_bytes b) {
    if (a.len != b.len) {
        return false;
    }
    for (size_t i = 0; i < a.len; i++) {
        uint8_t x = a.ptr[i], y = b.ptr[i];
        x = x >= 'A' && x <= 'Z' ? (uint8_t)(x + 32) : x;
        y = y >= 'A' && y <= 'Z' ? (uint8_t)(y + 32) : y;
        if (x != y) {
            return false;
        }
    }
    return true;
}

static PyObject *headers_get_values(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames) {
    const awscrt_params params = {"get_values", NAME_VALUE, 1, 1};
    PyObject *given;
    crt_bytes name;
    if (awscrt_http_args(&params, args, nargs, kwnames, &given) || awscrt_http_text(given, &name)) {
        return NULL;
    }
    PyObject *list = PyList_New(0);
    size_t count = crt_http_headers_count(of(self));
    for (size_t i = 0; list && i < count; i++) {
        crt_http_header header = crt_http_headers_at(of(self), i);
        if (!same_name(header.name, name)) {
            continue;
        }
        PyObject *value = value_to_str(header.value);
        if (!value || PyList_Append(list, value)) {
            Py_CLEAR(list);
        }
        Py_XDECREF(value);
    }
    PyObject *iterator = list ? PyObject_GetIter(list) : NULL;
    Py_XDECREF(list);
    return iterator;
}

static PyObject *headers_remove(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames) {
    const awscrt_params params = {"remove", NAME_VALUE, 1, 1};
    PyObject *given;
    crt_bytes name;
    if (awscrt_http_args(&params, args, nargs, kwnames, &given) || awscrt_http_text(given, &name)) {
        return NULL;
    }
    if (!crt_http_headers_remove(of(self), name)) {
        PyErr_SetString(PyExc_KeyError, "HttpHeaders.remove(name): name not found");
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *headers_remove_value(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames) {
    crt_bytes name, value;
    if (name_and_value("remove_value", args, nargs, kwnames, &name, &value)) {
        return NULL;
    }
    if (!crt_http_headers_remove_value(of(self), name, value)) {
        PyErr_SetString(PyExc_ValueError, "HttpHeaders.remove_value(name,value): value not found");
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *headers_clear(PyObject *self, PyObject *unused) {
    crt_http_headers_clear(of(self));
    Py_RETURN_NONE;
}

/* Iterates over what is there now, so that changes meanwhile do no harm. */
static PyObject *headers_iter(PyObject *self) {
    PyObject *list = list_of(of(self));
    PyObject *iterator = list ? PyObject_GetIter(list) : NULL;
    Py_XDECREF(list);
    return iterator;
}

static PyObject *headers_str(PyObject *self) {
    PyObject *list = list_of(of(self));
    PyObject *name = list ? PyObject_GetAttrString((PyObject *)Py_TYPE(self), "__name__") : NULL;
    PyObject *text = name ? PyUnicode_FromFormat("%U(%R)", name, list) : NULL;
    Py_XDECREF(name);
    Py_XDECREF(list);
    return text;
}

/* ---- type ---- */

static PyObject *headers_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    PyObject *self = awscrt_http_alloc(type);
    if (!self) {
        return NULL;
    }
    headers_data *data = awscrt_http_data(self);
    data->headers = crt_http_headers_new();
    if (!data->headers) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    return self;
}

static int headers_init(PyObject *self, PyObject *args, PyObject *kwargs) {
    static const char *const names[] = {"name_value_pairs"};
    const awscrt_params params = {"HttpHeaders", names, 0, 1};
    PyObject *pairs;
    if (awscrt_http_args_of_tuple(&params, args, kwargs, &pairs)) {
        return -1;
    }
    int truth = pairs && pairs != Py_None ? PyObject_IsTrue(pairs) : 0;
    return truth > 0 ? add_pairs(of(self), pairs) : truth;
}

static PyObject *headers_init_method(PyObject *self, PyObject *args, PyObject *kwargs) {
    if (headers_init(self, args, kwargs)) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static int headers_traverse(PyObject *self, visitproc visit, void *arg) {
    AWSCRT_VISIT_TYPE(self);
    return 0;
}

static void headers_dealloc(PyObject *self) {
    awscrt_http_dealloc_begin(self);
    crt_http_headers_release(of(self));
    awscrt_free_instance(self);
}

#define FAST METH_FASTCALL | METH_KEYWORDS
static PyMethodDef headers_methods[] = {
    {"__init__", (PyCFunction)(void (*)(void))headers_init_method, METH_VARARGS | METH_KEYWORDS | METH_COEXIST,
     "__init__($self, name_value_pairs=None)\n--\n\nHeaders from a sequence of (name, value) tuples of str."},
    {"add", (PyCFunction)(void (*)(void))headers_add, FAST,
     "add($self, name, value)\n--\n\nAppends a header; spaces and tabs around the value are stripped.\n\n"
     ":raises RuntimeError: the name is empty"},
    {"add_pairs", (PyCFunction)(void (*)(void))headers_add_pairs, FAST,
     "add_pairs($self, name_value_pairs)\n--\n\nAppends each (name, value) tuple of a sequence.\n\n"
     ":raises TypeError: an element is not a 2-tuple of str; those before it stay added"},
    {"set", (PyCFunction)(void (*)(void))headers_set, FAST,
     "set($self, name, value)\n--\n\nRemoves every header of that name and appends one."},
    {"get", (PyCFunction)(void (*)(void))headers_get, FAST,
     "get($self, name, default=None)\n--\n\nThe first value of that name, or `default`."},
    {"get_values", (PyCFunction)(void (*)(void))headers_get_values, FAST,
     "get_values($self, name)\n--\n\nIterator over all values of that name, in order."},
    {"remove", (PyCFunction)(void (*)(void))headers_remove, FAST,
     "remove($self, name)\n--\n\nRemoves every header of that name.\n\n:raises KeyError: there is none"},
    {"remove_value", (PyCFunction)(void (*)(void))headers_remove_value, FAST,
     "remove_value($self, name, value)\n--\n\nRemoves the first header of that name with exactly that value.\n\n"
     ":raises ValueError: there is none"},
    {"clear", headers_clear, METH_NOARGS, "clear($self)\n--\n\nRemoves all headers."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot headers_slots[] = {
    {Py_tp_doc, "Ordered multimap of header names and values.\n\nNames compare without ASCII case, their spelling is "
                "kept (RFC 9110, section 5.1). Iteration yields (name, value) tuples in order."},
    {Py_tp_new, headers_new},
    {Py_tp_init, headers_init},
    {Py_tp_dealloc, headers_dealloc},
    {Py_tp_traverse, headers_traverse},
    {Py_tp_iter, headers_iter},
    {Py_tp_str, headers_str},
    {Py_tp_methods, headers_methods},
    {0, NULL},
};

static PyType_Spec headers_spec = {
    .name = "awscrt.http.HttpHeaders",
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = headers_slots,
};

int awscrt_http_headers_init(PyObject *module) {
    awscrt_http.headers_type =
        awscrt_http_type_new(module, &headers_spec, sizeof(headers_data), awscrt_http.native_resource);
    return awscrt_http.headers_type ? 0 : -1;
}
