/*
 * The native log and Python's: records that native threads queued reach Python's logging in batches on the log's own
 * thread, under one GIL acquisition each. What Python code logs itself is emitted at once, on its own thread; only an
 * event loop's thread goes through the queue even then, because a slow handler would hold up its connections.
 */
#include "binding.h"

static PyObject *emit_function(void) {
    PyObject *module = PyImport_ImportModule("awscrt.logging");
    PyObject *emit = module ? PyObject_GetAttrString(module, "_emit") : NULL;
    Py_XDECREF(module);
    return emit;
}

/* _emit(level, subject, message, (time_ns, thread_id, thread_name)) */
static PyObject *emit_record(PyObject *emit, const crt_log_record *record) {
    /* A message may quote the peer's bytes. */
    PyObject *message = PyUnicode_DecodeUTF8(record->message, (Py_ssize_t)record->len, "replace");
    PyObject *thread = PyUnicode_DecodeUTF8(record->thread, (Py_ssize_t)strlen(record->thread), "replace");
    PyObject *result = NULL;
    if (message && thread) {
        result = PyObject_CallFunction(emit, "iiO(LKO)", record->level, record->subject, message,
                                       (long long)record->time_ns, (unsigned long long)record->thread_id, thread);
    }
    Py_XDECREF(message);
    Py_XDECREF(thread);
    return result;
}

/* The log's thread; what cannot reach Python any more is dropped with the batch. */
static void deliver_batch(crt_log_batch *batch) {
    awscrt_gil gil;
    if (!awscrt_python_enter(&gil)) {
        return;
    }
    PyObject *emit = emit_function();
    if (!emit) {
        awscrt_report(Py_None);
    }
    crt_log_record record;
    while (emit && awscrt_python_alive() && crt_log_next(batch, &record)) {
        PyObject *result = emit_record(emit, &record);
        if (!result) {
            awscrt_report(emit);
        }
        Py_XDECREF(result);
    }
    Py_XDECREF(emit);
    awscrt_python_leave(&gil);
}

/* Handlers that fail do not fail those who log; Ctrl-C and sys.exit() do not stop at a log line. */
static PyObject *emit_here(int level, int subject, PyObject *message) {
    PyObject *emit = emit_function();
    PyObject *result = emit ? PyObject_CallFunction(emit, "iiO", level, subject, message) : NULL;
    if (!result && PyErr_ExceptionMatches(PyExc_Exception)) {
        awscrt_report(emit);
    }
    Py_XDECREF(emit);
    Py_XDECREF(result);
    if (PyErr_Occurred()) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *log_message(PyObject *module, PyObject *args) {
    int level, subject;
    const char *text;
    if (!PyArg_ParseTuple(args, "iis:log", &level, &subject, &text)) {
        return NULL;
    }
    if (level > crt_log_level_now() || level <= CRT_LOG_NONE) {
        Py_RETURN_NONE;
    }
    if (crt_log_goes_to(deliver_batch) && !awscrt_on_loop_thread()) {
        return emit_here(level, subject, PyTuple_GetItem(args, 2));
    }
    crt_log_write(level, subject, "%s", text);
    Py_RETURN_NONE;
}

static PyObject *log_to_file(PyObject *module, PyObject *args) {
    int level;
    PyObject *path;
    if (!PyArg_ParseTuple(args, "iO&:log_to_file", &level, PyUnicode_FSConverter, &path)) {
        return NULL;
    }
    const char *destination = PyBytes_AsString(path);
    int status;
    Py_BEGIN_ALLOW_THREADS;
    status = crt_log_open(level, destination);
    Py_END_ALLOW_THREADS;
    if (status) {
        char detail[512];
        PyOS_snprintf(detail, sizeof(detail), "opening the log '%s'", destination);
        awscrt_raise(status, detail);
    }
    Py_DECREF(path);
    if (status) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *log_to_python(PyObject *module, PyObject *args) {
    int level;
    if (!PyArg_ParseTuple(args, "i:log_to_python", &level)) {
        return NULL;
    }
    int status;
    Py_BEGIN_ALLOW_THREADS;
    status = crt_log_to(level, deliver_batch);
    Py_END_ALLOW_THREADS;
    if (status) {
        return awscrt_raise(status, "sending the log to Python");
    }
    Py_RETURN_NONE;
}

static PyObject *log_close(PyObject *module, PyObject *unused) {
    Py_BEGIN_ALLOW_THREADS;
    crt_log_close();
    Py_END_ALLOW_THREADS;
    Py_RETURN_NONE;
}

static PyObject *log_flush(PyObject *module, PyObject *timeout) {
    double seconds = PyFloat_AsDouble(timeout);
    if (seconds == -1.0 && PyErr_Occurred()) {
        return NULL;
    }
    int timeout_ms = seconds > 0 ? (seconds < 1e6 ? (int)(seconds * 1000) : 1000000000) : 0;
    bool written;
    Py_BEGIN_ALLOW_THREADS;
    written = crt_log_flush(timeout_ms);
    Py_END_ALLOW_THREADS;
    return PyBool_FromLong(written);
}

static PyObject *log_dropped(PyObject *module, PyObject *unused) {
    return PyLong_FromSize_t(crt_log_dropped());
}

static PyObject *log_level(PyObject *module, PyObject *unused) {
    return PyLong_FromLong(crt_log_level_now());
}

static PyObject *set_log_level(PyObject *module, PyObject *args) {
    int level;
    if (!PyArg_ParseTuple(args, "i:set_log_level", &level)) {
        return NULL;
    }
    crt_log_set_level(level);
    Py_RETURN_NONE;
}

static PyObject *log_subject_name(PyObject *module, PyObject *args) {
    int subject;
    if (!PyArg_ParseTuple(args, "i:log_subject_name", &subject)) {
        return NULL;
    }
    return PyUnicode_FromString(crt_log_subject_name(subject));
}

PyMethodDef awscrt_logging_methods[] = {
    {"log_to_file", log_to_file, METH_VARARGS, "(level, destination): 'stdout', 'stderr' or a path."},
    {"log_to_python", log_to_python, METH_VARARGS, "(level): to awscrt.logging."},
    {"log_close", log_close, METH_NOARGS, "Writes what is queued, for at most 1 s, and stops logging."},
    {"log_flush", log_flush, METH_O, "(seconds): waits for what is queued; True when it is written."},
    {"log_dropped", log_dropped, METH_NOARGS, "Records lost since the process started."},
    {"log_level", log_level, METH_NOARGS, "The level now; 0 without a destination."},
    {"set_log_level", set_log_level, METH_VARARGS, "(level): see awscrt.io.LogLevel."},
    {"log_subject_name", log_subject_name, METH_VARARGS, "(subject) -> name, 'Unknown' for others."},
    {"log", log_message, METH_VARARGS, "(level, subject, message)"},
    {NULL, NULL, 0, NULL},
};
