/* PKCS#11 modules: the native side of awscrt.io.Pkcs11Lib, and the PKCS#11 part of TlsContextOptions. */
#include "binding.h"

#define LIBRARY AWSCRT_HANDLE("Pkcs11Lib")

typedef struct native_library {
    awscrt_native native;
    crt_pkcs11_lib *lib;
} native_library;

static void library_dropped(PyObject *handle) {
    native_library *self = PyCapsule_GetPointer(handle, LIBRARY);
    if (awscrt_native_is_ours(&self->native)) {
        crt_pkcs11_lib_release(self->lib);
    }
    crt_free(self);
}

static PyObject *pkcs11_lib_new(PyObject *module, PyObject *args) {
    PyObject *file;
    int behavior;
    if (!PyArg_ParseTuple(args, "O&i:pkcs11_lib_new", PyUnicode_FSConverter, &file, &behavior)) {
        return NULL;
    }
    native_library *self = crt_calloc(1, sizeof(*self));
    if (!self) {
        Py_DECREF(file);
        return PyErr_NoMemory();
    }
    const char *path = PyBytes_AsString(file);
    crt_fault fault = {0};
    int status;
    Py_BEGIN_ALLOW_THREADS; /* a module may ask its device */
    status = crt_pkcs11_lib_new(path, behavior, &self->lib, &fault);
    Py_END_ALLOW_THREADS;
    Py_DECREF(file);
    if (status) {
        crt_free(self);
        return awscrt_raise(status, fault.detail);
    }
    PyObject *handle = awscrt_handle_new(&self->native, LIBRARY, library_dropped);
    if (!handle) {
        crt_pkcs11_lib_release(self->lib);
        crt_free(self);
    }
    return handle;
}

/* bytes, or None for "not given"; borrowed. */
static int view(PyObject *value, crt_bytes *out) {
    if (value == Py_None) {
        *out = crt_bytes_of(NULL, 0);
        return 0;
    }
    char *data;
    Py_ssize_t size;
    if (PyBytes_AsStringAndSize(value, &data, &size)) {
        return -1;
    }
    *out = crt_bytes_of(data, (size_t)size);
    return 0;
}

static int slot_argument(PyObject *value, awscrt_pkcs11 *out) {
    if (value == Py_None) {
        return 0;
    }
    out->slot = PyLong_AsUnsignedLongLong(value);
    if (out->slot == (uint64_t)-1 && PyErr_Occurred()) {
        return -1;
    }
    out->options.slot_id = &out->slot;
    return 0;
}

static int path_argument(PyObject *value, const char **out) {
    crt_bytes path;
    if (view(value, &path)) {
        return -1;
    }
    *out = (const char *)path.ptr;
    if (*out && strlen(*out) != path.len) {
        awscrt_raise(AWS_ERROR_FILE_INVALID_PATH, "the certificate's path contains a NUL");
        return -1;
    }
    return 0;
}

int awscrt_pkcs11_get(PyObject *identity, awscrt_pkcs11 *out) {
    PyObject *library, *pin, *slot, *token_label, *key_label, *path, *contents;
    memset(out, 0, sizeof(*out));
    if (identity == Py_None) {
        return 0;
    }
    if (!PyArg_ParseTuple(identity, "OOOOOOO:pkcs11", &library, &pin, &slot, &token_label, &key_label, &path,
                          &contents)) {
        return -1;
    }
    native_library *native = awscrt_native_of(library, LIBRARY);
    if (!native || view(pin, &out->options.pin) || slot_argument(slot, out) ||
        view(token_label, &out->options.token_label) || view(key_label, &out->options.key_label) ||
        path_argument(path, &out->options.cert_path) || view(contents, &out->options.cert_pem)) {
        return -1;
    }
    out->options.lib = native->lib;
    return 0;
}

PyMethodDef awscrt_pkcs11_methods[] = {
    {"pkcs11_lib_new", pkcs11_lib_new, METH_VARARGS, "(file, behavior) -> handle"},
    {NULL, NULL, 0, NULL},
};
