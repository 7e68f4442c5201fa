/*
 * Handles: the capsules behind `NativeResource._binding`. They know the class they belong to and the process
 * that made them.
 */
#include "binding.h"

bool awscrt_native_is_ours(const awscrt_native *native) {
    return native->generation == crt_fork_generation();
}

PyObject *awscrt_handle_new(awscrt_native *native, const char *name, PyCapsule_Destructor destructor) {
    native->generation = crt_fork_generation();
    return PyCapsule_New(native, name, destructor);
}

static const char *class_name(const char *handle_name) {
    return handle_name + sizeof("awscrt.") - 1;
}

PyObject *awscrt_handle_of(PyObject *object, const char *name) {
    PyObject *handle = PyObject_GetAttrString(object, "_binding");
    if (!handle) {
        if (!PyErr_ExceptionMatches(PyExc_AttributeError)) {
            return NULL;
        }
        PyErr_Clear();
    }
    if (!handle || !PyCapsule_IsValid(handle, name)) {
        PyErr_Format(PyExc_TypeError, "expected %s, got %R", class_name(name), (PyObject *)Py_TYPE(object));
        Py_XDECREF(handle);
        return NULL;
    }
    if (!awscrt_native_is_ours(PyCapsule_GetPointer(handle, name))) {
        PyErr_Format(PyExc_RuntimeError,
                     "this %s was made before fork() and belongs to the parent process; its threads do not exist "
                     "here. Make a new one after the fork, or start processes with 'spawn' or 'forkserver'",
                     class_name(name));
        Py_DECREF(handle);
        return NULL;
    }
    return handle;
}

void *awscrt_native_of(PyObject *object, const char *name) {
    PyObject *handle = awscrt_handle_of(object, name);
    if (!handle) {
        return NULL;
    }
    void *native = PyCapsule_GetPointer(handle, name);
    Py_DECREF(handle); /* `object` goes on holding it */
    return native;
}
