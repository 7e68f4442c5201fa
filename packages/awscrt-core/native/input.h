/*
 * Arguments that are data: bytes, any contiguous buffer and, where text is taken as UTF-8, str. Read in place.
 */
#ifndef AWSCRT_INPUT_H
#define AWSCRT_INPUT_H

#include "binding.h"

/* Below this the work takes less time than handing the GIL over. */
enum { AWSCRT_RELEASE_GIL_ABOVE = 5 * 1024 };

typedef struct awscrt_input {
    crt_bytes bytes;
    Py_buffer buffer;
    bool has_buffer;
} awscrt_input;

/* 0, or -1 + TypeError (no buffer), BufferError (not contiguous). bytes need no buffer: most inputs are small. */
static inline int awscrt_input_open(PyObject *object, awscrt_input *in) {
    in->has_buffer = false;
    if (PyBytes_CheckExact(object)) {
        char *data;
        Py_ssize_t size;
        if (PyBytes_AsStringAndSize(object, &data, &size)) {
            return -1;
        }
        in->bytes = crt_bytes_of(data, (size_t)size);
        return 0;
    }
    if (PyObject_GetBuffer(object, &in->buffer, PyBUF_SIMPLE)) {
        return -1;
    }
    in->has_buffer = true;
    in->bytes = crt_bytes_of(in->buffer.buf, (size_t)in->buffer.len);
    return 0;
}

/* The same, and str as UTF-8: -1 + UnicodeEncodeError for lone surrogates. */
static inline int awscrt_input_open_text(PyObject *object, awscrt_input *in) {
    if (!PyUnicode_Check(object)) {
        return awscrt_input_open(object, in);
    }
    Py_ssize_t size;
    const char *text = PyUnicode_AsUTF8AndSize(object, &size);
    in->has_buffer = false;
    in->bytes = crt_bytes_of(text, text ? (size_t)size : 0);
    return text ? 0 : -1;
}

static inline void awscrt_input_close(awscrt_input *in) {
    if (in->has_buffer) {
        PyBuffer_Release(&in->buffer);
    }
}

#endif
