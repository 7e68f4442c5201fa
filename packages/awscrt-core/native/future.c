/*
 * awscrt._core._FutureBase: concurrent.futures.Future without the cost until somebody waits.
 *
 * A standard future builds a lock and a condition when it is made and takes them at every step. Most futures of
 * ours are completed and read by threads that hold the GIL anyway, so the state is guarded by the GIL (by the
 * object's own lock in free-threaded builds) and the condition is built when somebody asks for it: wait() and
 * as_completed() of concurrent.futures do.
 *
 * Those two hold the condition while they look at the state and install their waiters. So once a condition
 * exists, the state is changed only with the condition held; looking for the condition and storing the state
 * are one step.
 */
#include "binding.h"

#include <pythread.h>

enum future_state { PENDING, RUNNING, CANCELLED, CANCELLED_AND_NOTIFIED, FINISHED };

static const char *const state_names[] = {"PENDING", "RUNNING", "CANCELLED", "CANCELLED_AND_NOTIFIED", "FINISHED"};

/* A thread inside result() or exception(); lives on its stack. */
typedef struct sleeper {
    PyThread_type_lock lock; /* held until the future is done */
    struct sleeper *next;
} sleeper;

typedef struct awscrt_future {
    PyObject_HEAD
    enum future_state state;
    PyObject *result;
    PyObject *exception;
    PyObject *condition; /* threading.Condition; NULL until somebody asks */
    PyObject *waiters;   /* list; NULL until somebody asks */
    PyObject *callbacks; /* list; NULL until the first one */
    sleeper *sleepers;
} awscrt_future;

static bool is_done(const awscrt_future *self) {
    return self->state >= CANCELLED;
}

/* An attribute of awscrt._futures, which names what we need of the standard library. New reference. */
static PyObject *futures_attribute(const char *name) {
    PyObject *module = PyImport_ImportModule("awscrt._futures");
    PyObject *value = module ? PyObject_GetAttrString(module, name) : NULL;
    Py_XDECREF(module);
    return value;
}

static PyObject *raise_futures_error(const char *name) {
    PyObject *type = futures_attribute(name);
    if (type) {
        PyErr_SetNone(type);
        Py_DECREF(type);
    }
    return NULL;
}

static void call_and_report(PyObject *object, const char *method, PyObject *argument) {
    PyObject *result =
        argument ? PyObject_CallMethod(object, method, "O", argument) : PyObject_CallMethod(object, method, NULL);
    if (!result) {
        awscrt_report(object);
    }
    Py_XDECREF(result);
}

/* ---- becoming done ---- */

static void wake_sleepers(awscrt_future *self) {
    for (sleeper *s = self->sleepers; s; s = s->next) {
        PyThread_release_lock(s->lock);
    }
    self->sleepers = NULL;
}

/* True when that changed anything. A cancelled future only learns that its operation has ended. */
static bool store(awscrt_future *self, enum future_state state, PyObject *result, PyObject *exception) {
    if (self->state == CANCELLED) {
        self->state = CANCELLED_AND_NOTIFIED;
        return true;
    }
    if (is_done(self)) {
        return false;
    }
    self->state = state;
    self->result = Py_XNewRef(result);
    self->exception = Py_XNewRef(exception);
    wake_sleepers(self);
    return true;
}

/* The protocol between concurrent.futures.Future and its wait() and as_completed(); the condition is held. */
static void notify_waiters(awscrt_future *self, PyObject *condition) {
    const char *method = self->state == CANCELLED_AND_NOTIFIED ? "add_cancelled"
                         : self->exception                     ? "add_exception"
                                                               : "add_result";
    Py_ssize_t count = self->waiters && self->state != CANCELLED ? PyList_Size(self->waiters) : 0;
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *waiter = PyList_GetItem(self->waiters, i);
        if (!waiter) {
            PyErr_Clear();
            break;
        }
        Py_INCREF(waiter);
        call_and_report(waiter, method, (PyObject *)self);
        Py_DECREF(waiter);
    }
    call_and_report(condition, "notify_all", NULL);
}

static bool store_under(awscrt_future *self, PyObject *condition, enum future_state state, PyObject *result,
                        PyObject *exception) {
    bool changed;
    PyObject *entered = PyObject_CallMethod(condition, "acquire", NULL);
    if (!entered) {
        awscrt_report(condition); /* a signal handler raised; the future must complete all the same */
    }
    AWSCRT_LOCK(self);
    changed = store(self, state, result, exception);
    AWSCRT_UNLOCK();
    if (entered) {
        if (changed) {
            notify_waiters(self, condition);
        }
        call_and_report(condition, "release", NULL);
        Py_DECREF(entered);
    }
    return changed;
}

static void call_callback(awscrt_future *self, PyObject *callback) {
    PyObject *result = awscrt_call1(callback, (PyObject *)self);
    if (result) {
        Py_DECREF(result);
        return;
    }
    if (!PyErr_ExceptionMatches(PyExc_Exception)) {
        awscrt_report(callback);
        return;
    }
    /* As concurrent.futures does: to its logger, not to the thread that completed the future. */
    PyObject *exception = awscrt_exception_take();
    PyObject *log = futures_attribute("log_callback_error");
    result = log ? PyObject_CallFunctionObjArgs(log, (PyObject *)self, exception, NULL) : NULL;
    if (!result) {
        awscrt_report(callback);
    }
    Py_XDECREF(result);
    Py_XDECREF(log);
    Py_DECREF(exception);
}

static void run_callbacks(awscrt_future *self) {
    PyObject *callbacks;
    AWSCRT_LOCK(self);
    callbacks = self->callbacks;
    self->callbacks = NULL;
    AWSCRT_UNLOCK();
    if (!callbacks) {
        return;
    }
    for (Py_ssize_t i = 0; i < PyList_Size(callbacks); i++) {
        PyObject *callback = Py_NewRef(PyList_GetItem(callbacks, i));
        call_callback(self, callback);
        Py_DECREF(callback);
    }
    Py_DECREF(callbacks);
}

/* True when the future took the new state, false when it was done before. */
static bool settle(awscrt_future *self, enum future_state state, PyObject *result, PyObject *exception) {
    PyObject *condition;
    bool changed = false;
    AWSCRT_LOCK(self);
    condition = Py_XNewRef(self->condition);
    if (!condition) {
        changed = store(self, state, result, exception);
    }
    AWSCRT_UNLOCK();
    if (condition) {
        changed = store_under(self, condition, state, result, exception);
        Py_DECREF(condition);
    }
    if (!changed || self->state != state) {
        return false;
    }
    run_callbacks(self);
    return true;
}

/* ---- what the API table offers ---- */

PyObject *awscrt_future_new(void) {
    static PyObject *future_type; /* of the one interpreter we serve; kept for the life of the process */
    PyObject *type = future_type;
    if (!type) {
        type = futures_attribute("Future");
        if (!type) {
            return NULL;
        }
        future_type = type;
    }
    return PyType_GenericAlloc((PyTypeObject *)type, 0);
}

void awscrt_future_set_result(PyObject *future, PyObject *result) {
    settle((awscrt_future *)future, FINISHED, result, NULL);
}

void awscrt_future_set_exception(PyObject *future, PyObject *exception) {
    settle((awscrt_future *)future, FINISHED, NULL, exception);
}

/* ---- waiting ---- */

static void forget_sleeper(awscrt_future *self, const sleeper *gone) {
    for (sleeper **link = &self->sleepers; *link; link = &(*link)->next) {
        if (*link == gone) {
            *link = gone->next;
            return;
        }
    }
}

/* Microseconds to wait; -1 for ever. -1 with an exception set for what is not a number. */
static int64_t timeout_us(PyObject *timeout) {
    if (timeout == Py_None) {
        return -1;
    }
    double seconds = PyFloat_AsDouble(timeout);
    if (seconds == -1.0 && PyErr_Occurred()) {
        return -1;
    }
    if (!(seconds > 0)) {
        return 0;
    }
    return seconds > 9e9 ? -1 : (int64_t)(seconds * 1e6);
}

/* Sleeps until the lock is released by store() or the time is over. -1: a signal handler raised. */
static int sleep_on(PyThread_type_lock lock, int64_t timeout) {
    const uint64_t deadline_ns = timeout < 0 ? UINT64_MAX : crt_clock_ns() + (uint64_t)timeout * 1000;
    for (;;) {
        PyLockStatus status;
        Py_BEGIN_ALLOW_THREADS;
        status = PyThread_acquire_lock_timed(lock, timeout, 1);
        Py_END_ALLOW_THREADS;
        if (status != PY_LOCK_INTR) {
            return 0;
        }
        if (PyErr_CheckSignals()) {
            return -1;
        }
        if (timeout >= 0) {
            const uint64_t now = crt_clock_ns();
            timeout = now >= deadline_ns ? 0 : (int64_t)((deadline_ns - now) / 1000);
        }
    }
}

static int may_wait(void) {
    if (awscrt_on_loop_thread()) {
        PyErr_SetString(PyExc_RuntimeError,
                        "waiting for a future of awscrt on an event-loop thread of awscrt would wait for ever: the "
                        "thread that completes it is this one. Use add_done_callback(), or wait on another thread");
        return -1;
    }
    if (!awscrt_python_alive()) {
        PyErr_SetString(PyExc_RuntimeError, "the interpreter is exiting: this future will not complete any more");
        return -1;
    }
    return 0;
}

static int sleep_until_done(awscrt_future *self, int64_t timeout) {
    if (may_wait()) {
        return -1;
    }
    sleeper me = {PyThread_allocate_lock(), NULL};
    if (!me.lock) {
        PyErr_NoMemory();
        return -1;
    }
    PyThread_acquire_lock(me.lock, NOWAIT_LOCK);
    bool asleep = false;
    AWSCRT_LOCK(self);
    if (!is_done(self)) {
        me.next = self->sleepers;
        self->sleepers = &me;
        asleep = true;
    }
    AWSCRT_UNLOCK();
    int status = 0;
    if (asleep) {
        status = sleep_on(me.lock, timeout);
        AWSCRT_LOCK(self);
        forget_sleeper(self, &me);
        AWSCRT_UNLOCK();
    }
    PyThread_free_lock(me.lock);
    return status;
}

/* 0: finished; -1: TimeoutError, CancelledError or what a signal handler raised. */
static int wait_until_finished(awscrt_future *self, PyObject *timeout) {
    if (!is_done(self)) {
        int64_t us = timeout_us(timeout);
        if (PyErr_Occurred() || (us != 0 && sleep_until_done(self, us))) {
            return -1;
        }
    }
    if (self->state == FINISHED) {
        return 0;
    }
    raise_futures_error(is_done(self) ? "CancelledError" : "TimeoutError");
    return -1;
}

static int parse_timeout(PyObject *args, PyObject *kwargs, PyObject **timeout) {
    static char *names[] = {"timeout", NULL};
    *timeout = Py_None;
    return PyArg_ParseTupleAndKeywords(args, kwargs, "|O", names, timeout);
}

static PyObject *future_result(PyObject *op, PyObject *args, PyObject *kwargs) {
    awscrt_future *self = (awscrt_future *)op;
    PyObject *timeout;
    if (!parse_timeout(args, kwargs, &timeout) || wait_until_finished(self, timeout)) {
        return NULL;
    }
    if (self->exception) {
        PyErr_SetObject((PyObject *)Py_TYPE(self->exception), self->exception);
        return NULL;
    }
    return Py_NewRef(self->result ? self->result : Py_None);
}

static PyObject *future_exception(PyObject *op, PyObject *args, PyObject *kwargs) {
    awscrt_future *self = (awscrt_future *)op;
    PyObject *timeout;
    if (!parse_timeout(args, kwargs, &timeout) || wait_until_finished(self, timeout)) {
        return NULL;
    }
    return Py_NewRef(self->exception ? self->exception : Py_None);
}

/* ---- the rest of concurrent.futures.Future ---- */

static PyObject *future_done(PyObject *op, PyObject *unused) {
    return PyBool_FromLong(is_done((awscrt_future *)op));
}

static PyObject *future_running(PyObject *op, PyObject *unused) {
    return PyBool_FromLong(((awscrt_future *)op)->state == RUNNING);
}

static PyObject *future_cancelled(PyObject *op, PyObject *unused) {
    enum future_state state = ((awscrt_future *)op)->state;
    return PyBool_FromLong(state == CANCELLED || state == CANCELLED_AND_NOTIFIED);
}

static PyObject *future_cancel(PyObject *op, PyObject *unused) {
    awscrt_future *self = (awscrt_future *)op;
    if (self->state == RUNNING) {
        Py_RETURN_FALSE;
    }
    if (!is_done(self)) {
        settle(self, CANCELLED, NULL, NULL);
    }
    return PyBool_FromLong(self->state != FINISHED);
}

static PyObject *future_add_done_callback(PyObject *op, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"fn", NULL};
    awscrt_future *self = (awscrt_future *)op;
    PyObject *callback;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O", names, &callback)) {
        return NULL;
    }
    bool done;
    int status = 0;
    AWSCRT_LOCK(self);
    done = is_done(self);
    if (!done) {
        if (!self->callbacks) {
            self->callbacks = PyList_New(0);
        }
        status = self->callbacks ? PyList_Append(self->callbacks, callback) : -1;
    }
    AWSCRT_UNLOCK();
    if (status) {
        return NULL;
    }
    if (done) {
        call_callback(self, callback);
    }
    Py_RETURN_NONE;
}

static PyObject *raise_invalid_state(awscrt_future *self) {
    PyObject *type = futures_attribute("InvalidStateError");
    if (type) {
        PyErr_Format(type, "%s: %R", state_names[self->state], self);
        Py_DECREF(type);
    }
    return NULL;
}

static PyObject *future_set_result(PyObject *op, PyObject *result) {
    awscrt_future *self = (awscrt_future *)op;
    if (is_done(self) || !settle(self, FINISHED, result, NULL)) {
        return raise_invalid_state(self);
    }
    Py_RETURN_NONE;
}

static PyObject *future_set_exception(PyObject *op, PyObject *exception) {
    awscrt_future *self = (awscrt_future *)op;
    if (!PyObject_IsInstance(exception, PyExc_BaseException)) {
        PyErr_Format(PyExc_TypeError, "expected an exception instance, got %R", exception);
        return NULL;
    }
    if (is_done(self) || !settle(self, FINISHED, NULL, exception)) {
        return raise_invalid_state(self);
    }
    Py_RETURN_NONE;
}

static PyObject *future_set_running(PyObject *op, PyObject *unused) {
    awscrt_future *self = (awscrt_future *)op;
    bool started = false;
    AWSCRT_LOCK(self);
    if (self->state == PENDING) {
        self->state = RUNNING;
        started = true;
    }
    AWSCRT_UNLOCK();
    if (started) {
        Py_RETURN_TRUE;
    }
    if (self->state == CANCELLED) {
        settle(self, CANCELLED, NULL, NULL);
        Py_RETURN_FALSE;
    }
    PyErr_Format(PyExc_RuntimeError, "Future in unexpected state: %s", state_names[self->state]);
    return NULL;
}

/* ---- attributes that concurrent.futures.wait() and as_completed() reach for ---- */

static PyObject *get_state(PyObject *op, void *unused) {
    return PyUnicode_InternFromString(state_names[((awscrt_future *)op)->state]);
}

static PyObject *get_result(PyObject *op, void *unused) {
    awscrt_future *self = (awscrt_future *)op;
    return Py_NewRef(self->result ? self->result : Py_None);
}

static PyObject *get_exception(PyObject *op, void *unused) {
    awscrt_future *self = (awscrt_future *)op;
    return Py_NewRef(self->exception ? self->exception : Py_None);
}

/* Stores `created` (stolen) in an empty slot; new reference to what the slot holds then. */
static PyObject *get_or_store(awscrt_future *self, PyObject **slot, PyObject *created) {
    PyObject *value;
    if (!created) {
        return NULL;
    }
    AWSCRT_LOCK(self);
    if (!*slot) {
        *slot = Py_NewRef(created);
    }
    value = Py_NewRef(*slot);
    AWSCRT_UNLOCK();
    Py_DECREF(created);
    return value;
}

static PyObject *get_condition(PyObject *op, void *unused) {
    awscrt_future *self = (awscrt_future *)op;
    if (self->condition) {
        return Py_NewRef(self->condition);
    }
    PyObject *factory = futures_attribute("Condition");
    PyObject *created = factory ? awscrt_call0(factory) : NULL;
    Py_XDECREF(factory);
    return get_or_store(self, &self->condition, created);
}

static PyObject *get_waiters(PyObject *op, void *unused) {
    awscrt_future *self = (awscrt_future *)op;
    return get_or_store(self, &self->waiters, PyList_New(0));
}

static PyObject *get_callbacks(PyObject *op, void *unused) {
    awscrt_future *self = (awscrt_future *)op;
    return get_or_store(self, &self->callbacks, PyList_New(0));
}

/* ---- the type ---- */

/* Keeps concurrent.futures.Future.__init__ from building what we build lazily. */
static int future_init(PyObject *op, PyObject *args, PyObject *kwargs) {
    if (PyTuple_Size(args) || (kwargs && PyDict_Size(kwargs))) {
        PyErr_SetString(PyExc_TypeError, "Future() takes no arguments");
        return -1;
    }
    return 0;
}

static int future_traverse(PyObject *op, visitproc visit, void *arg) {
    awscrt_future *self = (awscrt_future *)op;
    AWSCRT_VISIT_TYPE(op);
    Py_VISIT(self->result);
    Py_VISIT(self->exception);
    Py_VISIT(self->condition);
    Py_VISIT(self->waiters);
    Py_VISIT(self->callbacks);
    return 0;
}

static int future_clear(PyObject *op) {
    awscrt_future *self = (awscrt_future *)op;
    Py_CLEAR(self->result);
    Py_CLEAR(self->exception);
    Py_CLEAR(self->condition);
    Py_CLEAR(self->waiters);
    Py_CLEAR(self->callbacks);
    return 0;
}

static void future_dealloc(PyObject *op) {
    PyObject_GC_UnTrack(op);
    future_clear(op);
    awscrt_free_instance(op);
}

static PyMethodDef future_methods[] = {
    {"result", (PyCFunction)(void (*)(void))future_result, METH_VARARGS | METH_KEYWORDS,
     "result($self, /, timeout=None)\n--\n\nThe result, or raises what the operation raised. Waits at most `timeout` "
     "seconds."},
    {"exception", (PyCFunction)(void (*)(void))future_exception, METH_VARARGS | METH_KEYWORDS,
     "exception($self, /, timeout=None)\n--\n\nThe exception of the operation, or None. Waits at most `timeout` "
     "seconds."},
    {"add_done_callback", (PyCFunction)(void (*)(void))future_add_done_callback, METH_VARARGS | METH_KEYWORDS,
     "add_done_callback($self, /, fn)\n--\n\nCalls fn(future) when the future is done, at once if it is."},
    {"done", future_done, METH_NOARGS, "done($self, /)\n--\n\nTrue when cancelled or finished."},
    {"running", future_running, METH_NOARGS, "running($self, /)\n--\n\nTrue while it cannot be cancelled."},
    {"cancelled", future_cancelled, METH_NOARGS, "cancelled($self, /)\n--\n\nTrue when cancelled."},
    {"cancel", future_cancel, METH_NOARGS, "cancel($self, /)\n--\n\nFalse when it is too late."},
    {"set_result", future_set_result, METH_O, "set_result($self, result, /)\n--\n\nFor the owner of the operation."},
    {"set_exception", future_set_exception, METH_O,
     "set_exception($self, exception, /)\n--\n\nFor the owner of the operation."},
    {"set_running_or_notify_cancel", future_set_running, METH_NOARGS,
     "set_running_or_notify_cancel($self, /)\n--\n\nFor the owner of the operation: False when cancelled."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef future_getset[] = {
    {"_state", get_state, NULL, NULL, NULL},
    {"_result", get_result, NULL, NULL, NULL},
    {"_exception", get_exception, NULL, NULL, NULL},
    {"_condition", get_condition, NULL, NULL, NULL},
    {"_waiters", get_waiters, NULL, NULL, NULL},
    {"_done_callbacks", get_callbacks, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot future_slots[] = {
    {Py_tp_init, future_init},
    {Py_tp_traverse, future_traverse},
    {Py_tp_clear, future_clear},
    {Py_tp_dealloc, future_dealloc},
    {Py_tp_methods, future_methods},
    {Py_tp_getset, future_getset},
    {Py_tp_doc, "State of awscrt._futures.Future; not to be used on its own."},
    {0, NULL},
};

static PyType_Spec future_spec = {
    .name = "awscrt._core._FutureBase",
    .basicsize = sizeof(awscrt_future),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = future_slots,
};

int awscrt_future_init(PyObject *module) {
    PyObject *type = PyType_FromSpec(&future_spec);
    if (!type) {
        return -1;
    }
    int status = PyModule_AddObjectRef(module, "_FutureBase", type);
    Py_DECREF(type);
    return status;
}
