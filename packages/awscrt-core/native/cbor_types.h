/*
 * awscrt.cbor, internal: what the native halves of AwsCborEncoder and AwsCborDecoder share. The Python classes derive
 * from them and may be derived from in turn; instances carry a __dict__ like those of any Python class.
 */
#ifndef AWSCRT_CBOR_TYPES_H
#define AWSCRT_CBOR_TYPES_H

#include "cbor.h"

/* How an instance begins whose class derives from NativeResource: with the slots of that. Since Python 3.12 that for
   weak references is before the object; the place stays unused then. */
#define NATIVE_RESOURCE_HEAD                                                                                         \
    PyObject_HEAD                                                                                                    \
    PyObject *binding;                                                                                               \
    PyObject *weak_references;

typedef struct native_resource {
    NATIVE_RESOURCE_HEAD
} native_resource;

int awscrt_cbor_resource_traverse(PyObject *self, visitproc visit, void *arg);
int awscrt_cbor_resource_clear(PyObject *self);
/* First thing in tp_dealloc. */
void awscrt_cbor_resource_begin_dealloc(PyObject *self);
/* A class with NativeResource as its base. New reference, or NULL + exception. */
PyObject *awscrt_cbor_derive(PyType_Spec *spec, PyObject *native_resource);

/* The one argument of a method, by position or by name. NULL + TypeError; borrowed. */
PyObject *awscrt_cbor_argument(PyObject *const *args, Py_ssize_t count, PyObject *names, const char *name);
/* NULL + TypeError that says what was wanted instead of `value`. */
PyObject *awscrt_cbor_wrong_type(const char *wanted, PyObject *value);

static inline PyObject *awscrt_cbor_none_or_error(int status) {
    if (status) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* A method `name` that takes the argument `parameter` and runs name_locked under the object's lock. */
#define METHOD_O(name, parameter)                                                                                    \
    static PyObject *name(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names) {                \
        PyObject *argument = count == 1 && !names ? args[0] : awscrt_cbor_argument(args, count, names, parameter);   \
        if (!argument) {                                                                                             \
            return NULL;                                                                                             \
        }                                                                                                            \
        PyObject *result;                                                                                            \
        AWSCRT_LOCK(self);                                                                                           \
        result = name##_locked(self, argument);                                                                      \
        AWSCRT_UNLOCK();                                                                                             \
        return result;                                                                                               \
    }

#define METHOD_NOARGS(name)                                                                                          \
    static PyObject *name(PyObject *self, PyObject *unused) {                                                        \
        PyObject *result;                                                                                            \
        AWSCRT_LOCK(self);                                                                                           \
        result = name##_locked(self);                                                                                \
        AWSCRT_UNLOCK();                                                                                             \
        return result;                                                                                               \
    }

#define ENTRY_O(name, parameter, doc)                                                                                \
    {#name, (PyCFunction)(void (*)(void))name, METH_FASTCALL | METH_KEYWORDS,                                        \
     #name "($self, /, " parameter ")\n--\n\n" doc}
#define ENTRY_NOARGS(name, doc) {#name, name, METH_NOARGS, #name "($self, /)\n--\n\n" doc}

#endif
