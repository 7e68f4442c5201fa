/*
 * Native types below awscrt.NativeResource, and how their methods read arguments.
 *
 * NativeResource is a Python class with slots, so a type here cannot begin with a C struct of its own: the
 * struct lies behind the instance of the base, at an offset that is known at import only.
 */
#include "binding.h"

awscrt_http_shared awscrt_http;

PyTypeObject *awscrt_http_type_new(PyObject *module, PyType_Spec *spec, size_t data_size, PyObject *base) {
    spec->basicsize = (int)(awscrt_http.data_offset + data_size);
    PyObject *bases = PyTuple_Pack(1, base);
    if (!bases) {
        return NULL;
    }
    PyObject *type = PyType_FromSpecWithBases(spec, bases);
    Py_DECREF(bases);
    if (!type) {
        return NULL;
    }
    const char *dot = strrchr(spec->name, '.');
    if (PyModule_AddObjectRef(module, dot + 1, type) < 0) {
        Py_DECREF(type);
        return NULL;
    }
    return (PyTypeObject *)type;
}

/* NativeResource._living is a debugging aid that is off unless a leak is looked for. */
static int track(PyObject *self) {
    PyObject *flag = PyObject_GetAttr(awscrt_http.native_resource, awscrt_http.name_track);
    int wanted = flag ? PyObject_IsTrue(flag) : -1;
    Py_XDECREF(flag);
    if (wanted <= 0) {
        return wanted;
    }
    PyObject *result = PyObject_CallMethod(awscrt_http.native_resource, "__init__", "O", self);
    Py_XDECREF(result);
    return result ? 0 : -1;
}

PyObject *awscrt_http_alloc(PyTypeObject *type) {
    allocfunc alloc = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    PyObject *self = alloc(type, 0);
    if (self && track(self)) {
        Py_DECREF(self);
        return NULL;
    }
    return self;
}

PyObject *awscrt_http_tp_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    return awscrt_http_alloc(type);
}

void awscrt_http_dealloc_begin(PyObject *self) {
    PyObject_GC_UnTrack(self);
    PyObject_ClearWeakRefs(self);
}

/* ---- arguments ---- */

static int find_parameter(const awscrt_params *params, PyObject *name) {
    for (int i = 0; i < params->count; i++) {
        if (PyUnicode_CompareWithASCIIString(name, params->names[i]) == 0) {
            return i;
        }
    }
    PyErr_Format(PyExc_TypeError, "%s() got an unexpected keyword argument '%U'", params->function, name);
    return -1;
}

static int take_keyword(const awscrt_params *params, PyObject *name, PyObject *value, PyObject **out) {
    int index = find_parameter(params, name);
    if (index < 0) {
        return -1;
    }
    if (out[index]) {
        PyErr_Format(PyExc_TypeError, "%s() got multiple values for argument '%s'", params->function,
                     params->names[index]);
        return -1;
    }
    out[index] = value;
    return 0;
}

static int check_positional(const awscrt_params *params, Py_ssize_t nargs) {
    int most = params->positional ? params->positional : params->count;
    if (nargs > most) {
        PyErr_Format(PyExc_TypeError, "%s() takes at most %d positional arguments (%zd given)", params->function, most,
                     nargs);
        return -1;
    }
    return 0;
}

static int check_required(const awscrt_params *params, PyObject **out) {
    for (int i = 0; i < params->required; i++) {
        if (!out[i]) {
            PyErr_Format(PyExc_TypeError, "%s() missing required argument: '%s'", params->function, params->names[i]);
            return -1;
        }
    }
    return 0;
}

int awscrt_http_args(const awscrt_params *params, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames,
                     PyObject **out) {
    if (check_positional(params, nargs)) {
        return -1;
    }
    for (int i = 0; i < params->count; i++) {
        out[i] = i < nargs ? args[i] : NULL;
    }
    Py_ssize_t keywords = kwnames ? PyTuple_Size(kwnames) : 0;
    for (Py_ssize_t i = 0; i < keywords; i++) {
        if (take_keyword(params, PyTuple_GetItem(kwnames, i), args[nargs + i], out)) {
            return -1;
        }
    }
    return check_required(params, out);
}

int awscrt_http_args_of_tuple(const awscrt_params *params, PyObject *args, PyObject *kwargs, PyObject **out) {
    Py_ssize_t nargs = PyTuple_Size(args);
    if (check_positional(params, nargs)) {
        return -1;
    }
    for (int i = 0; i < params->count; i++) {
        out[i] = i < nargs ? PyTuple_GetItem(args, i) : NULL;
    }
    PyObject *name, *value;
    Py_ssize_t at = 0;
    while (kwargs && PyDict_Next(kwargs, &at, &name, &value)) {
        if (take_keyword(params, name, value, out)) {
            return -1;
        }
    }
    return check_required(params, out);
}

int awscrt_http_mask32(PyObject *object, uint32_t *out) {
    PyObject *integer = PyNumber_Index(object); /* not a float, which 3.8 would take as well */
    if (!integer) {
        return -1;
    }
    *out = (uint32_t)PyLong_AsUnsignedLongMask(integer);
    Py_DECREF(integer);
    return *out == UINT32_MAX && PyErr_Occurred() ? -1 : 0;
}

PyObject *awscrt_http_assertion(void) {
    PyErr_SetNone(PyExc_AssertionError);
    return NULL;
}

int awscrt_http_text(PyObject *object, crt_bytes *out) {
    if (!PyUnicode_Check(object)) {
        awscrt_http_assertion();
        return -1;
    }
    Py_ssize_t len;
    const char *text = PyUnicode_AsUTF8AndSize(object, &len);
    if (!text) {
        return -1;
    }
    *out = crt_bytes_of(text, (size_t)len);
    return 0;
}

PyObject *awscrt_http_call_keywords(PyObject *callable, PyObject *const *names, PyObject *const *values, int count) {
    PyObject *keywords = PyDict_New();
    PyObject *result = NULL;
    if (!keywords) {
        return NULL;
    }
    for (int i = 0; i < count; i++) {
        if (PyDict_SetItem(keywords, names[i], values[i])) {
            Py_DECREF(keywords);
            return NULL;
        }
    }
    result = PyObject_Call(callable, awscrt_http.empty_tuple, keywords);
    Py_DECREF(keywords);
    return result;
}

PyObject *awscrt_http_import_attribute(const char *module, const char *attribute) {
    PyObject *owner = PyImport_ImportModule(module);
    PyObject *value = owner ? PyObject_GetAttrString(owner, attribute) : NULL;
    Py_XDECREF(owner);
    return value;
}

bool awscrt_http_check_generation(uint32_t generation, const char *what) {
    if (generation == crt_fork_generation()) {
        return true;
    }
    PyErr_Format(PyExc_RuntimeError, "this %s was made before a fork; make a new one in the child process", what);
    return false;
}
