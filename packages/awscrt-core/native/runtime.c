/*
 * May this thread touch Python? Entering is counted, so that the exit hook can wait until the last thread has
 * left; after that no thread of ours takes the GIL again.
 */
#include "binding.h"

#include <crt/crash.h>
#include <openssl/crypto.h>
#include <math.h>
#include <stdatomic.h>
#include <time.h>

enum { EXIT_WAIT_MS = 1000 };

static struct {
    atomic_bool alive;
    atomic_int inside; /* threads between enter and leave, waiting for the GIL included */
} runtime;

bool awscrt_python_alive(void) {
    return atomic_load(&runtime.alive);
}

bool awscrt_python_enter(awscrt_gil *gil) {
    /* Counted before the check: the exit hook first clears `alive`, then reads the count. */
    atomic_fetch_add(&runtime.inside, 1);
    if (!atomic_load(&runtime.alive)) {
        atomic_fetch_sub(&runtime.inside, 1);
        return false;
    }
    gil->generation = crt_fork_generation();
    gil->state = PyGILState_Ensure();
    return true;
}

void awscrt_python_leave(awscrt_gil *gil) {
    PyGILState_Release(gil->state);
    /* A child forked in between started again from zero. */
    if (gil->generation == crt_fork_generation()) {
        atomic_fetch_sub(&runtime.inside, 1);
    }
}

static PyObject *at_exit(PyObject *self, PyObject *unused) {
    atomic_store(&runtime.alive, false);
    Py_BEGIN_ALLOW_THREADS;
    const struct timespec pause = {0, 1000000};
    for (int waited = 0; waited < EXIT_WAIT_MS && atomic_load(&runtime.inside) > 0; waited++) {
        nanosleep(&pause, NULL);
    }
    Py_END_ALLOW_THREADS;
    Py_RETURN_NONE;
}

static PyObject *after_fork_in_child(PyObject *self, PyObject *unused) {
    atomic_store(&runtime.inside, 0);
    Py_RETURN_NONE;
}

static PyObject *fork_generation(PyObject *self, PyObject *unused) {
    return PyLong_FromUnsignedLong(crt_fork_generation());
}

static PyObject *cpu_count(PyObject *self, PyObject *unused) {
    return PyLong_FromUnsignedLong(crt_cpu_count());
}

static PyObject *join_all_native_threads(PyObject *self, PyObject *timeout) {
    double seconds = PyFloat_AsDouble(timeout);
    if (seconds == -1.0 && PyErr_Occurred()) {
        PyErr_Clear();
        PyErr_SetNone(PyExc_ValueError);
        return NULL;
    }
    if (isnan(seconds)) {
        PyErr_SetNone(PyExc_ValueError);
        return NULL;
    }
    if (seconds < 0 && awscrt_on_loop_thread()) {
        PyErr_SetString(PyExc_RuntimeError, "join_all_native_threads() on a native thread would wait for itself");
        return NULL;
    }
    /* 1e12 s is for ever as well, and its milliseconds still fit. */
    int64_t timeout_ms = seconds < 0 || !(seconds < 1e12) ? -1 : (int64_t)(seconds * 1000);
    bool joined;
    Py_BEGIN_ALLOW_THREADS;
    joined = crt_threads_join(timeout_ms);
    Py_END_ALLOW_THREADS;
    return PyBool_FromLong(joined);
}

static PyObject *memory_usage(PyObject *self, PyObject *unused) {
    return Py_BuildValue("nn", (Py_ssize_t)crt_memory_live(), (Py_ssize_t)crt_memory_traced_bytes());
}

static PyObject *memory_dump(PyObject *self, PyObject *unused) {
    crt_memory_dump();
    Py_RETURN_NONE;
}

static PyObject *memory_budget(PyObject *self, PyObject *unused) {
    return Py_BuildValue("nn", (Py_ssize_t)crt_budget_limit(), (Py_ssize_t)crt_budget_used());
}

PyMethodDef awscrt_runtime_methods[] = {
    {"at_exit", at_exit, METH_NOARGS, "Keeps native threads out of Python from now on; waits at most 1 s for them."},
    {"after_fork_in_child", after_fork_in_child, METH_NOARGS, "Forgets the parent's threads."},
    {"fork_generation", fork_generation, METH_NOARGS, "How many forks lie between the first process and this one."},
    {"cpu_count", cpu_count, METH_NOARGS, "Usable processors: affinity mask and cgroup quota respected."},
    {"join_all_native_threads", join_all_native_threads, METH_O, "Seconds, < 0 for ever. True when none is left."},
    {"memory_usage", memory_usage, METH_NOARGS, "(blocks alive, bytes alive); bytes are 0 without tracing."},
    {"memory_dump", memory_dump, METH_NOARGS, "Logs what is in use, at trace level."},
    {"memory_budget", memory_budget, METH_NOARGS, "(limit, used) in bytes."},
    {NULL, NULL, 0, NULL},
};

static int call_with_method(const char *module_name, const char *function, PyObject *module, const char *method,
                            const char *keyword) {
    PyObject *owner = PyImport_ImportModule(module_name);
    PyObject *callable = owner ? PyObject_GetAttrString(owner, function) : NULL;
    PyObject *target = callable ? PyObject_GetAttrString(module, method) : NULL;
    PyObject *arguments = NULL;
    PyObject *keywords = NULL;
    PyObject *result = NULL;
    if (target) {
        arguments = keyword ? PyTuple_New(0) : PyTuple_Pack(1, target);
        keywords = keyword ? Py_BuildValue("{sO}", keyword, target) : NULL;
        if (arguments && (keywords || !keyword)) {
            result = PyObject_Call(callable, arguments, keywords);
        }
    }
    Py_XDECREF(owner);
    Py_XDECREF(callable);
    Py_XDECREF(target);
    Py_XDECREF(arguments);
    Py_XDECREF(keywords);
    Py_XDECREF(result);
    return result ? 0 : -1;
}

int awscrt_runtime_init(PyObject *module) {
    atomic_store(&runtime.alive, true);
    crt_crash_handler_install();
    /* Loops run until the process is gone; libcrypto must not free under them what they use. First call wins. */
    OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, NULL);
    if (call_with_method("atexit", "register", module, "at_exit", NULL)) {
        return -1;
    }
#if defined(MS_WINDOWS)
    return 0;
#else
    return call_with_method("os", "register_at_fork", module, "after_fork_in_child", "after_in_child");
#endif
}
