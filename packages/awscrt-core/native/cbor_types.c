/*
 * Deriving from NativeResource natively, and arguments by position or by name.
 */
#include "cbor_types.h"

PyObject *awscrt_cbor_argument(PyObject *const *args, Py_ssize_t count, PyObject *names, const char *name) {
    if (count == 1 && !names) {
        return args[0];
    }
    if (count == 0 && names && PyTuple_Size(names) == 1 &&
        PyUnicode_CompareWithASCIIString(PyTuple_GetItem(names, 0), name) == 0) {
        return args[0];
    }
    PyErr_Format(PyExc_TypeError, "expected one argument, %s", name);
    return NULL;
}

PyObject *awscrt_cbor_wrong_type(const char *wanted, PyObject *value) {
    PyErr_Format(PyExc_TypeError, "expected %s, got %R", wanted, (PyObject *)Py_TYPE(value));
    return NULL;
}

int awscrt_cbor_resource_traverse(PyObject *self, visitproc visit, void *arg) {
    AWSCRT_VISIT_TYPE(self);
    Py_VISIT(((native_resource *)self)->binding);
    return 0;
}

int awscrt_cbor_resource_clear(PyObject *self) {
    Py_CLEAR(((native_resource *)self)->binding);
    return 0;
}

void awscrt_cbor_resource_begin_dealloc(PyObject *self) {
    PyObject_GC_UnTrack(self);
    PyObject_ClearWeakRefs(self);
    awscrt_cbor_resource_clear(self);
}

PyObject *awscrt_cbor_derive(PyType_Spec *spec, PyObject *base) {
    PyObject *size = PyObject_GetAttrString(base, "__basicsize__");
    Py_ssize_t bytes = size ? PyLong_AsSsize_t(size) : -1;
    Py_XDECREF(size);
    if (bytes == -1 && PyErr_Occurred()) {
        return NULL;
    }
    if (!PyType_Check(base) || bytes < (Py_ssize_t)offsetof(native_resource, weak_references) ||
        bytes > (Py_ssize_t)sizeof(native_resource)) {
        PyErr_Format(PyExc_TypeError, "%R is not laid out as NativeResource", base);
        return NULL;
    }
    PyObject *bases = PyTuple_Pack(1, base);
    PyObject *type = bases ? PyType_FromSpecWithBases(spec, bases) : NULL;
    Py_XDECREF(bases);
    return type;
}
