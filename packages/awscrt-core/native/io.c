/*
 * Event loop groups, resolvers, bootstraps and socket options: the native side of awscrt.io, and how features
 * get at it.
 */
#include "binding.h"

#define GROUP AWSCRT_HANDLE("EventLoopGroup")
#define RESOLVER AWSCRT_HANDLE("DefaultHostResolver")
#define BOOTSTRAP AWSCRT_HANDLE("ClientBootstrap")

typedef struct native_group {
    awscrt_native native;
    crt_loop_group *group;
} native_group;

typedef struct native_resolver {
    awscrt_native native;
    crt_resolver *resolver;
    PyObject *group; /* handle */
} native_resolver;

typedef struct native_bootstrap {
    awscrt_native native;
    PyObject *group; /* handles */
    PyObject *resolver;
    PyObject *on_gone;
} native_bootstrap;

/* ---- event loop group ---- */

static void group_dropped(PyObject *handle) {
    native_group *self = PyCapsule_GetPointer(handle, GROUP);
    if (awscrt_native_is_ours(&self->native)) {
        crt_loop_group_release(self->group);
    }
    crt_free(self);
}

static PyObject *event_loop_group_new(PyObject *module, PyObject *args) {
    Py_ssize_t threads;
    int cpu_group;
    PyObject *on_gone;
    if (!PyArg_ParseTuple(args, "niO:event_loop_group_new", &threads, &cpu_group, &on_gone)) {
        return NULL;
    }
    if (threads < 0 || threads > UINT16_MAX) {
        PyErr_Format(PyExc_OverflowError, "num_threads must be 0 to 65535, got %zd", threads);
        return NULL;
    }
    native_group *self = crt_calloc(1, sizeof(*self));
    if (!self) {
        return PyErr_NoMemory();
    }
    crt_loop_group_options options = {.threads = (uint16_t)threads, .cpu_group = cpu_group};
    int status = -1;
    if (awscrt_loop_hooks_init(&options.hooks, on_gone) == 0) {
        Py_BEGIN_ALLOW_THREADS;
        status = crt_loop_group_new(&options, &self->group);
        Py_END_ALLOW_THREADS;
        if (status) {
            awscrt_loop_hooks_drop(&options.hooks);
            awscrt_raise(status, "starting an event loop group");
        }
    }
    if (status) {
        crt_free(self);
        return NULL;
    }
    PyObject *handle = awscrt_handle_new(&self->native, GROUP, group_dropped);
    if (!handle) {
        crt_loop_group_release(self->group);
        crt_free(self);
    }
    return handle;
}

static PyObject *event_loop_group_size(PyObject *module, PyObject *object) {
    native_group *self = awscrt_native_of(object, GROUP);
    return self ? PyLong_FromSize_t(crt_loop_group_size(self->group)) : NULL;
}

/* ---- resolver ---- */

static void resolver_dropped(PyObject *handle) {
    native_resolver *self = PyCapsule_GetPointer(handle, RESOLVER);
    if (awscrt_native_is_ours(&self->native)) {
        crt_resolver_release(self->resolver);
    }
    Py_DECREF(self->group);
    crt_free(self);
}

static PyObject *host_resolver_new(PyObject *module, PyObject *args) {
    PyObject *group;
    Py_ssize_t max_hosts;
    if (!PyArg_ParseTuple(args, "On:host_resolver_new", &group, &max_hosts)) {
        return NULL;
    }
    PyObject *group_handle = awscrt_handle_of(group, GROUP);
    native_resolver *self = group_handle ? crt_calloc(1, sizeof(*self)) : NULL;
    if (!self) {
        Py_XDECREF(group_handle);
        return group_handle ? PyErr_NoMemory() : NULL;
    }
    self->group = group_handle;
    const crt_resolver_options options = {.max_hosts = (size_t)max_hosts};
    int status = crt_resolver_new(&options, &self->resolver);
    if (status) {
        Py_DECREF(group_handle);
        crt_free(self);
        return awscrt_raise(status, "making a host resolver");
    }
    PyObject *handle = awscrt_handle_new(&self->native, RESOLVER, resolver_dropped);
    if (!handle) {
        crt_resolver_release(self->resolver);
        Py_DECREF(group_handle);
        crt_free(self);
    }
    return handle;
}

/* ---- bootstrap ---- */

static void bootstrap_dropped(PyObject *handle) {
    native_bootstrap *self = PyCapsule_GetPointer(handle, BOOTSTRAP);
    if (awscrt_python_alive() && awscrt_native_is_ours(&self->native)) {
        PyObject *pending = awscrt_exception_take();
        PyObject *result = awscrt_call0(self->on_gone);
        if (!result) {
            awscrt_report(self->on_gone);
        }
        Py_XDECREF(result);
        awscrt_exception_put(pending);
    }
    /* In this order: the group's threads end last. */
    Py_DECREF(self->on_gone);
    Py_DECREF(self->resolver);
    Py_DECREF(self->group);
    crt_free(self);
}

static PyObject *client_bootstrap_new(PyObject *module, PyObject *args) {
    PyObject *group, *resolver, *on_gone;
    if (!PyArg_ParseTuple(args, "OOO:client_bootstrap_new", &group, &resolver, &on_gone)) {
        return NULL;
    }
    PyObject *group_handle = awscrt_handle_of(group, GROUP);
    PyObject *resolver_handle = group_handle ? awscrt_handle_of(resolver, RESOLVER) : NULL;
    native_bootstrap *self = resolver_handle ? crt_calloc(1, sizeof(*self)) : NULL;
    PyObject *handle = self ? awscrt_handle_new(&self->native, BOOTSTRAP, bootstrap_dropped) : NULL;
    if (!handle) {
        if (!PyErr_Occurred()) {
            PyErr_NoMemory();
        }
        crt_free(self);
        Py_XDECREF(resolver_handle);
        Py_XDECREF(group_handle);
        return NULL;
    }
    self->group = group_handle;
    self->resolver = resolver_handle;
    self->on_gone = Py_NewRef(on_gone);
    return handle;
}

static PyObject *default_bootstrap(void) {
    PyObject *module = PyImport_ImportModule("awscrt.io");
    PyObject *type = module ? PyObject_GetAttrString(module, "ClientBootstrap") : NULL;
    PyObject *bootstrap = type ? PyObject_CallMethod(type, "get_or_create_static_default", NULL) : NULL;
    Py_XDECREF(type);
    Py_XDECREF(module);
    return bootstrap;
}

int awscrt_bootstrap_get(PyObject *bootstrap, crt_loop_group **group, crt_resolver **resolver, PyObject **keep) {
    PyObject *object = bootstrap == Py_None ? default_bootstrap() : Py_NewRef(bootstrap);
    PyObject *handle = object ? awscrt_handle_of(object, BOOTSTRAP) : NULL;
    Py_XDECREF(object);
    if (!handle) {
        return -1;
    }
    /* The handle holds those of group and resolver. */
    native_bootstrap *self = PyCapsule_GetPointer(handle, BOOTSTRAP);
    *group = ((native_group *)PyCapsule_GetPointer(self->group, GROUP))->group;
    *resolver = ((native_resolver *)PyCapsule_GetPointer(self->resolver, RESOLVER))->resolver;
    *keep = handle;
    return 0;
}

/* ---- socket options ---- */

/* An int attribute within 0..max: AttributeError, TypeError or OverflowError and -1 otherwise. */
static int64_t int_attribute(PyObject *object, const char *name, int64_t max) {
    PyObject *value = PyObject_GetAttrString(object, name);
    if (!value) {
        return -1;
    }
    int64_t number = -1;
    if (!PyLong_Check(value)) {
        PyErr_Format(PyExc_TypeError, "SocketOptions.%s must be an int, got %R", name, (PyObject *)Py_TYPE(value));
    } else {
        number = PyLong_AsLongLong(value);
        if ((number < 0 || number > max) && !PyErr_Occurred()) {
            PyErr_Format(PyExc_OverflowError, "SocketOptions.%s must be 0 to %lld, got %R", name, (long long)max,
                         value);
        }
    }
    Py_DECREF(value);
    return PyErr_Occurred() ? -1 : number;
}

enum { INTERFACE_NAME_SIZE = 16 }; /* of Linux and the BSDs, terminator included */

/*
 * The attribute interface_name, None when it is missing. Kept per thread, not in the object: that could change it
 * while native code still reads. 0, or -1 + exception.
 */
static int interface_name_get(PyObject *options, const char **out) {
    static _Thread_local char name[INTERFACE_NAME_SIZE];
    *out = NULL;
    PyObject *value = PyObject_GetAttrString(options, "interface_name");
    if (!value) {
        if (!PyErr_ExceptionMatches(PyExc_AttributeError)) {
            return -1;
        }
        PyErr_Clear();
        return 0;
    }
    int result = 0;
    if (value != Py_None) {
        Py_ssize_t len = 0;
        const char *text = PyUnicode_Check(value) ? PyUnicode_AsUTF8AndSize(value, &len) : NULL;
        if (text && len > 0 && len < INTERFACE_NAME_SIZE && strlen(text) == (size_t)len) {
            memcpy(name, text, (size_t)len + 1);
            *out = name;
        } else {
            if (!PyErr_Occurred()) {
                PyErr_Format(PyUnicode_Check(value) ? PyExc_ValueError : PyExc_TypeError,
                             "SocketOptions.interface_name must be None or a str of 1 to %d bytes, got %R",
                             INTERFACE_NAME_SIZE - 1, value);
            }
            result = -1;
        }
    }
    Py_DECREF(value);
    return result;
}

int awscrt_socket_options_get(PyObject *options, crt_socket_options *out) {
    const crt_socket_options defaults = CRT_SOCKET_OPTIONS_DEFAULT;
    *out = defaults;
    if (options == Py_None) {
        return 0;
    }
    int64_t domain, type, connect_timeout, timeout, interval, probes;
    if ((domain = int_attribute(options, "domain", CRT_SOCKET_VSOCK)) < 0 ||
        (type = int_attribute(options, "type", INT32_MAX)) < 0 ||
        (connect_timeout = int_attribute(options, "connect_timeout_ms", UINT32_MAX)) < 0 ||
        (timeout = int_attribute(options, "keep_alive_timeout_secs", UINT16_MAX)) < 0 ||
        (interval = int_attribute(options, "keep_alive_interval_secs", UINT16_MAX)) < 0 ||
        (probes = int_attribute(options, "keep_alive_max_probes", UINT16_MAX)) < 0 ||
        interface_name_get(options, &out->interface_name)) {
        return -1;
    }
    if (type != 0) {
        awscrt_raise(AWS_IO_SOCKET_INVALID_OPTIONS, "every protocol here needs SocketType.Stream");
        return -1;
    }
    PyObject *keep_alive = PyObject_GetAttrString(options, "keep_alive");
    int truth = keep_alive ? PyObject_IsTrue(keep_alive) : -1;
    Py_XDECREF(keep_alive);
    if (truth < 0) {
        return -1;
    }
    out->domain = (int)domain;
    out->connect_timeout_ms = (uint32_t)connect_timeout;
    out->keep_alive = truth;
    out->keep_alive_timeout_secs = (uint16_t)timeout;
    out->keep_alive_interval_secs = (uint16_t)interval;
    out->keep_alive_max_probes = (uint16_t)probes;
    return 0;
}

PyMethodDef awscrt_io_methods[] = {
    {"event_loop_group_new", event_loop_group_new, METH_VARARGS, "(threads, cpu_group or -1, on_gone) -> handle"},
    {"event_loop_group_size", event_loop_group_size, METH_O, "Threads of an EventLoopGroup."},
    {"host_resolver_new", host_resolver_new, METH_VARARGS, "(group, max_hosts) -> handle"},
    {"client_bootstrap_new", client_bootstrap_new, METH_VARARGS, "(group, resolver, on_gone) -> handle"},
    {NULL, NULL, 0, NULL},
};
