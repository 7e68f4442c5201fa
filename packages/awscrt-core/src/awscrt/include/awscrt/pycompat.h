/*
 * awscrt/pycompat.h: one spelling of the CPython API for 3.8 to 3.13, limited API (>= 3.11) and free-threaded.
 */
#ifndef AWSCRT_PYCOMPAT_H
#define AWSCRT_PYCOMPAT_H

#ifndef PY_SSIZE_T_CLEAN
#define PY_SSIZE_T_CLEAN /* lengths of '#' formats are Py_ssize_t */
#endif
#include <Python.h>

#ifdef __cplusplus
extern "C" {
#endif

#if PY_VERSION_HEX < 0x03090000 && defined(__GNUC__)
/* Visible although the extension is compiled with -fvisibility=hidden; later versions say so themselves. */
#undef PyMODINIT_FUNC
#if defined(__cplusplus)
#define PyMODINIT_FUNC extern "C" __attribute__((visibility("default"))) PyObject *
#else
#define PyMODINIT_FUNC __attribute__((visibility("default"))) PyObject *
#endif
#endif

#if PY_VERSION_HEX < 0x030A0000
static inline PyObject *Py_NewRef(PyObject *object) {
    Py_INCREF(object);
    return object;
}
static inline PyObject *Py_XNewRef(PyObject *object) {
    Py_XINCREF(object);
    return object;
}
static inline int PyModule_AddObjectRef(PyObject *module, const char *name, PyObject *value) {
    if (!value) {
        return -1;
    }
    Py_INCREF(value); /* PyModule_AddObject steals it, on success only */
    if (PyModule_AddObject(module, name, value) < 0) {
        Py_DECREF(value);
        return -1;
    }
    return 0;
}
#endif

#if PY_VERSION_HEX < 0x03090000
static inline int PyModule_AddType(PyObject *module, PyTypeObject *type) {
    const char *dot = strrchr(type->tp_name, '.');
    return PyModule_AddObjectRef(module, dot ? dot + 1 : type->tp_name, (PyObject *)type);
}
#endif

/* Calls without a tuple where the version can. */
static inline PyObject *awscrt_call0(PyObject *callable) {
    return PyObject_CallFunctionObjArgs(callable, NULL);
}
static inline PyObject *awscrt_call1(PyObject *callable, PyObject *argument) {
    return PyObject_CallFunctionObjArgs(callable, argument, NULL);
}

/* Takes the exception that is set, normalized and with its traceback; NULL when none is. */
static inline PyObject *awscrt_exception_take(void) {
#if PY_VERSION_HEX >= 0x030C0000 && (!defined(Py_LIMITED_API) || Py_LIMITED_API + 0 >= 0x030C0000)
    return PyErr_GetRaisedException();
#else
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    if (!type) {
        return NULL;
    }
    PyErr_NormalizeException(&type, &value, &traceback);
    if (traceback) {
        PyException_SetTraceback(value, traceback);
        Py_DECREF(traceback);
    }
    Py_DECREF(type);
    return value;
#endif
}

/* Sets `exception` (steals it); NULL does nothing. The counterpart of awscrt_exception_take. */
static inline void awscrt_exception_put(PyObject *exception) {
    if (!exception) {
        return;
    }
#if PY_VERSION_HEX >= 0x030C0000 && (!defined(Py_LIMITED_API) || Py_LIMITED_API + 0 >= 0x030C0000)
    PyErr_SetRaisedException(exception);
#else
    PyErr_Restore(Py_NewRef((PyObject *)Py_TYPE(exception)), exception, PyException_GetTraceback(exception));
#endif
}

/* Per-object lock of free-threaded builds; the GIL is enough elsewhere. A pair must stand in one block. */
#if defined(Py_GIL_DISABLED)
#define AWSCRT_LOCK(object) Py_BEGIN_CRITICAL_SECTION(object)
#define AWSCRT_UNLOCK() Py_END_CRITICAL_SECTION()
#else
#define AWSCRT_LOCK(object) {
#define AWSCRT_UNLOCK() }
#endif

/* tp_traverse of a heap type must visit the type since 3.9; before, the type is not counted by its instances. */
#if PY_VERSION_HEX >= 0x03090000
#define AWSCRT_VISIT_TYPE(self) Py_VISIT(Py_TYPE(self))
#else
#define AWSCRT_VISIT_TYPE(self) (void)0
#endif

/* The last step of a heap type's tp_dealloc: frees the memory and drops the instance's reference to its type. */
static inline void awscrt_free_instance(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

#ifdef __cplusplus
}
#endif
#endif
