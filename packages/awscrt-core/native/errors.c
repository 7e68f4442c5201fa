/*
 * Codes to exceptions and back.
 */
#include "binding.h"

/* Matched by exact type; a subclass carries more than the code could say. */
typedef struct error_mapping {
    PyObject **type;
    int code;
    bool and_back;
} error_mapping;

static const error_mapping mappings[] = {
    {&PyExc_IndexError, AWS_ERROR_INVALID_INDEX, true},
    {&PyExc_MemoryError, AWS_ERROR_OOM, true},
    {&PyExc_NotImplementedError, AWS_ERROR_UNIMPLEMENTED, true},
    {&PyExc_OverflowError, AWS_ERROR_OVERFLOW_DETECTED, true},
    {&PyExc_TypeError, AWS_ERROR_INVALID_ARGUMENT, false},
    {&PyExc_ValueError, AWS_ERROR_INVALID_ARGUMENT, true},
    {&PyExc_FileNotFoundError, AWS_ERROR_FILE_INVALID_PATH, true},
    {&PyExc_BlockingIOError, AWS_IO_READ_WOULD_BLOCK, true},
    {&PyExc_BrokenPipeError, AWS_IO_BROKEN_PIPE, true},
};
enum { MAPPING_COUNT = sizeof(mappings) / sizeof(mappings[0]) };

static bool has_text(const char *detail) {
    return detail && detail[0];
}

static PyObject *message_of(int code, const char *detail) {
    if (!has_text(detail)) {
        return PyUnicode_FromString(crt_error_message(code));
    }
    /* A detail may quote the peer's bytes. */
    PyObject *text = PyUnicode_DecodeUTF8(detail, (Py_ssize_t)strlen(detail), "replace");
    PyObject *message = text ? PyUnicode_FromFormat("%s %U", crt_error_message(code), text) : NULL;
    Py_XDECREF(text);
    return message;
}

static PyObject *new_builtin(PyObject *type, int code, const char *detail) {
    if (!has_text(detail)) {
        return awscrt_call0(type);
    }
    PyObject *message = message_of(code, detail);
    PyObject *exception = message ? awscrt_call1(type, message) : NULL;
    Py_XDECREF(message);
    return exception;
}

static PyObject *new_crt_error(int code, const char *detail) {
    PyObject *module = PyImport_ImportModule("awscrt.exceptions");
    PyObject *type = module ? PyObject_GetAttrString(module, "AwsCrtError") : NULL;
    PyObject *message = type ? message_of(code, detail) : NULL;
    PyObject *keywords =
        message ? Py_BuildValue("{sisssO}", "code", code, "name", crt_error_name(code), "message", message) : NULL;
    PyObject *nothing = keywords ? PyTuple_New(0) : NULL;
    PyObject *exception = nothing ? PyObject_Call(type, nothing, keywords) : NULL;
    Py_XDECREF(nothing);
    Py_XDECREF(keywords);
    Py_XDECREF(message);
    Py_XDECREF(type);
    Py_XDECREF(module);
    return exception;
}

static PyObject *exception_of(int code, const char *detail) {
    for (int i = 0; i < MAPPING_COUNT; i++) {
        if (mappings[i].code == code && mappings[i].and_back) {
            return new_builtin(*mappings[i].type, code, detail);
        }
    }
    return new_crt_error(code, detail);
}

PyObject *awscrt_exception(int code, const char *detail) {
    PyObject *exception = exception_of(code, detail);
    if (!exception) {
        /* Out of memory, most likely: what went wrong while describing the failure is the answer then. */
        exception = awscrt_exception_take();
    }
    return exception;
}

PyObject *awscrt_raise(int code, const char *detail) {
    PyObject *message = message_of(code, detail);
    if (message) {
        PyErr_Format(PyExc_RuntimeError, "%d (%s): %U", code, crt_error_name(code), message);
        Py_DECREF(message);
    }
    return NULL;
}

int awscrt_code_of_exception(void) {
    PyObject *exception = awscrt_exception_take();
    if (!exception) {
        return AWS_ERROR_UNKNOWN;
    }
    PyObject *type = (PyObject *)Py_TYPE(exception);
    int code = AWS_ERROR_UNKNOWN;
    for (int i = 0; i < MAPPING_COUNT; i++) {
        if (type == *mappings[i].type) {
            code = mappings[i].code;
            break;
        }
    }
    /* Not PyErr_Print: that would end the process for SystemExit. */
    PyObject *traceback = PyException_GetTraceback(exception);
    PyErr_Display(type, exception, traceback);
    PySys_WriteStderr("Treating the exception above as error %d (%s)\n", code, crt_error_name(code));
    Py_XDECREF(traceback);
    Py_DECREF(exception);
    return code;
}

void awscrt_report(PyObject *context) {
    if (PyErr_Occurred()) {
        PyErr_WriteUnraisable(context);
    }
}

static PyObject *from_code(PyObject *self, PyObject *code) {
    if (!PyLong_Check(code)) { /* Python 3.9 and older would take a float */
        PyErr_Format(PyExc_TypeError, "error code must be an int, got %R", (PyObject *)Py_TYPE(code));
        return NULL;
    }
    int overflow = 0;
    long value = PyLong_AsLongAndOverflow(code, &overflow);
    if (value == -1 && PyErr_Occurred()) {
        return NULL;
    }
    if (overflow || value > INT32_MAX || value < INT32_MIN) {
        PyErr_Format(PyExc_OverflowError, "error code %R does not fit 32 bits", code);
        return NULL;
    }
    return exception_of((int)value, NULL);
}

static PyObject *raise_error(PyObject *self, PyObject *args) {
    int code;
    const char *detail = NULL;
    if (!PyArg_ParseTuple(args, "i|z:raise_error", &code, &detail)) {
        return NULL;
    }
    return awscrt_raise(code, detail);
}

PyMethodDef awscrt_error_methods[] = {
    {"from_code", from_code, METH_O, "The exception instance for an error code."},
    {"raise_error", raise_error, METH_VARARGS, "Raises RuntimeError '<code> (<NAME>): <message> <detail>'."},
    {NULL, NULL, 0, NULL},
};
