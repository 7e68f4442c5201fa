/*
 * TLS contexts and per-connection options: the native side of awscrt.io.ClientTlsContext and
 * TlsConnectionOptions.
 */
#include "binding.h"

#define CONTEXT AWSCRT_HANDLE("ClientTlsContext")
#define OPTIONS AWSCRT_HANDLE("TlsConnectionOptions")

typedef struct native_context {
    awscrt_native native;
    crt_tls_ctx *ctx;
} native_context;

typedef struct native_options {
    awscrt_native native;
    PyObject *context;     /* handle */
    PyObject *server_name; /* bytes, or NULL; replaced and never changed, for those who still use it */
    PyObject *alpn;
    uint32_t timeout_ms; /* 0: the default */
} native_options;

static void context_dropped(PyObject *handle) {
    native_context *self = PyCapsule_GetPointer(handle, CONTEXT);
    if (awscrt_native_is_ours(&self->native)) {
        crt_tls_ctx_release(self->ctx);
    }
    crt_free(self);
}

/* bytes or None; the view is borrowed. */
static int bytes_argument(PyObject *value, const char *name, crt_bytes *out) {
    if (value == Py_None) {
        *out = crt_bytes_of(NULL, 0);
        return 0;
    }
    char *data;
    Py_ssize_t size;
    if (!PyBytes_Check(value)) {
        PyErr_Format(PyExc_TypeError, "TlsContextOptions.%s must be bytes, got %R", name, (PyObject *)Py_TYPE(value));
        return -1;
    }
    if (PyBytes_AsStringAndSize(value, &data, &size)) {
        return -1;
    }
    *out = crt_bytes_of(data, (size_t)size);
    return 0;
}

static PyObject *tls_context_new(PyObject *module, PyObject *args) {
    crt_tls_ctx_options options = {0};
    int verify_peer, no_revocation;
    PyObject *ca, *certificate, *key, *pkcs12, *pkcs11;
    awscrt_pkcs11 token;
    if (!PyArg_ParseTuple(args, "iippOzOOzOzzO:tls_context_new", &options.min_version, &options.cipher_pref,
                          &verify_peer, &no_revocation, &ca, &options.ca_dir, &certificate, &key, &options.alpn,
                          &pkcs12, &options.pkcs12_password, &options.windows_store_path, &pkcs11)) {
        return NULL;
    }
    options.verify_peer = verify_peer;
    options.no_revocation = no_revocation;
    if (bytes_argument(ca, "ca_buffer", &options.ca_pem) ||
        bytes_argument(certificate, "certificate_buffer", &options.cert_pem) ||
        bytes_argument(key, "private_key_buffer", &options.key_pem) ||
        bytes_argument(pkcs12, "pkcs12_buffer", &options.pkcs12) || awscrt_pkcs11_get(pkcs11, &token)) {
        return NULL;
    }
    options.pkcs11 = token.options.lib ? &token.options : NULL;
    native_context *self = crt_calloc(1, sizeof(*self));
    if (!self) {
        return PyErr_NoMemory();
    }
    crt_fault fault = {0};
    int status;
    Py_BEGIN_ALLOW_THREADS; /* keys and certificates are parsed */
    status = crt_tls_ctx_new(&options, &self->ctx, &fault);
    Py_END_ALLOW_THREADS;
    if (status) {
        crt_free(self);
        return awscrt_raise(status, fault.detail);
    }
    PyObject *handle = awscrt_handle_new(&self->native, CONTEXT, context_dropped);
    if (!handle) {
        crt_tls_ctx_release(self->ctx);
        crt_free(self);
    }
    return handle;
}

crt_tls_ctx *awscrt_tls_ctx_get(PyObject *context) {
    native_context *self = awscrt_native_of(context, CONTEXT);
    return self ? self->ctx : NULL;
}

/* ---- connection options ---- */

static void options_dropped(PyObject *handle) {
    native_options *self = PyCapsule_GetPointer(handle, OPTIONS);
    Py_DECREF(self->context);
    Py_XDECREF(self->server_name);
    Py_XDECREF(self->alpn);
    crt_free(self);
}

static PyObject *tls_options_new(PyObject *module, PyObject *context) {
    PyObject *context_handle = awscrt_handle_of(context, CONTEXT);
    if (!context_handle) {
        return NULL;
    }
    native_options *self = crt_calloc(1, sizeof(*self));
    PyObject *handle = self ? awscrt_handle_new(&self->native, OPTIONS, options_dropped) : PyErr_NoMemory();
    if (!handle) {
        crt_free(self);
        Py_DECREF(context_handle);
        return NULL;
    }
    self->context = context_handle;
    return handle;
}

static void replace_text(PyObject **slot, PyObject *text) {
    PyObject *before = *slot;
    *slot = Py_XNewRef(text);
    Py_XDECREF(before);
}

static PyObject *tls_options_set_server_name(PyObject *module, PyObject *args) {
    PyObject *object, *name;
    if (!PyArg_ParseTuple(args, "OO:set_server_name", &object, &name)) {
        return NULL;
    }
    native_options *self = awscrt_native_of(object, OPTIONS);
    if (!self) {
        return NULL;
    }
    PyObject *bytes = PyUnicode_Check(name) ? PyUnicode_AsUTF8String(name) : Py_NewRef(name);
    if (!bytes) {
        return NULL;
    }
    char *text;
    int status;
    if (!PyBytes_Check(bytes)) {
        PyErr_Format(PyExc_TypeError, "server_name must be str or bytes, got %R", (PyObject *)Py_TYPE(name));
        status = -1;
    } else {
        status = PyBytes_AsStringAndSize(bytes, &text, NULL); /* ValueError for a NUL inside */
    }
    if (status == 0) {
        replace_text(&self->server_name, text[0] ? bytes : NULL);
    }
    Py_DECREF(bytes);
    if (status) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *tls_options_set_alpn(PyObject *module, PyObject *args) {
    PyObject *object;
    const char *alpn;
    if (!PyArg_ParseTuple(args, "Os:set_alpn", &object, &alpn)) {
        return NULL;
    }
    native_options *self = awscrt_native_of(object, OPTIONS);
    PyObject *bytes = self ? PyBytes_FromString(alpn) : NULL;
    if (!bytes) {
        return NULL;
    }
    replace_text(&self->alpn, bytes);
    Py_DECREF(bytes);
    Py_RETURN_NONE;
}

static PyObject *tls_options_set_timeout(PyObject *module, PyObject *args) {
    PyObject *object;
    unsigned long long timeout_ms;
    if (!PyArg_ParseTuple(args, "OK:set_timeout", &object, &timeout_ms)) {
        return NULL;
    }
    native_options *self = awscrt_native_of(object, OPTIONS);
    if (!self) {
        return NULL;
    }
    self->timeout_ms = timeout_ms > UINT32_MAX ? UINT32_MAX : (uint32_t)timeout_ms;
    Py_RETURN_NONE;
}

static PyObject *or_none(PyObject *object) {
    return object ? object : Py_None;
}

int awscrt_tls_options_get(PyObject *options, crt_tls_options *out, PyObject **keep) {
    memset(out, 0, sizeof(*out));
    *keep = NULL;
    if (options == Py_None) {
        return 0;
    }
    PyObject *handle = awscrt_handle_of(options, OPTIONS);
    if (!handle) {
        return -1;
    }
    native_options *self = PyCapsule_GetPointer(handle, OPTIONS);
    *keep = PyTuple_Pack(3, self->context, or_none(self->server_name), or_none(self->alpn));
    if (*keep) {
        out->ctx = ((native_context *)PyCapsule_GetPointer(self->context, CONTEXT))->ctx;
        out->server_name = self->server_name ? PyBytes_AsString(self->server_name) : NULL;
        out->alpn = self->alpn ? PyBytes_AsString(self->alpn) : NULL;
        out->timeout_ms = self->timeout_ms;
    }
    Py_DECREF(handle);
    return *keep ? 0 : -1;
}

/* ---- facts about the provider ---- */

static PyObject *tls_cipher_pref_is_supported(PyObject *module, PyObject *preference) {
    long value = PyLong_AsLong(preference);
    if (value == -1 && PyErr_Occurred()) {
        return NULL;
    }
    return PyBool_FromLong(value >= 0 && value <= INT32_MAX && crt_tls_cipher_pref_supported((int)value));
}

static PyObject *tls_provider(PyObject *module, PyObject *unused) {
    return PyUnicode_FromString(crt_tls_provider_get()->name);
}

PyMethodDef awscrt_tls_methods[] = {
    {"tls_context_new", tls_context_new, METH_VARARGS,
     "(min_version, cipher_pref, verify_peer, no_revocation, ca, ca_dir, certificate, key, alpn, pkcs12, "
     "pkcs12_password, windows_store_path, pkcs11) -> handle"},
    {"tls_options_new", tls_options_new, METH_O, "(context) -> handle"},
    {"tls_options_set_server_name", tls_options_set_server_name, METH_VARARGS, "(options, name)"},
    {"tls_options_set_alpn", tls_options_set_alpn, METH_VARARGS, "(options, names joined with ';')"},
    {"tls_options_set_timeout", tls_options_set_timeout, METH_VARARGS, "(options, milliseconds; 0: the default)"},
    {"tls_cipher_pref_is_supported", tls_cipher_pref_is_supported, METH_O, "True when this build has it."},
    {"tls_provider", tls_provider, METH_NOARGS, "Name of the TLS stack in use."},
    {NULL, NULL, 0, NULL},
};
