/*
 * awscrt.checksums: CRCs over any contiguous buffer.
 */
#include "binding.h"

/* Below this the work takes less time than handing the GIL over. */
enum { RELEASE_GIL_ABOVE = 5 * 1024 };

typedef struct input {
    crt_bytes bytes;
    Py_buffer buffer;
    bool has_buffer;
} input;

/* bytes and str are read in place, without the buffer protocol: most inputs are small. */
static int input_open(PyObject *object, input *in) {
    in->has_buffer = false;
    Py_ssize_t size;
    if (PyBytes_CheckExact(object)) {
        char *data;
        if (PyBytes_AsStringAndSize(object, &data, &size)) {
            return -1;
        }
        in->bytes = crt_bytes_of(data, (size_t)size);
        return 0;
    }
    if (PyUnicode_Check(object)) {
        const char *text = PyUnicode_AsUTF8AndSize(object, &size);
        if (!text) {
            return -1;
        }
        in->bytes = crt_bytes_of(text, (size_t)size);
        return 0;
    }
    if (PyObject_GetBuffer(object, &in->buffer, PyBUF_SIMPLE)) {
        return -1;
    }
    in->has_buffer = true;
    in->bytes = crt_bytes_of(in->buffer.buf, (size_t)in->buffer.len);
    return 0;
}

static void input_close(input *in) {
    if (in->has_buffer) {
        PyBuffer_Release(&in->buffer);
    }
}

static uint64_t crc32_of(crt_bytes data, uint64_t previous) {
    return crt_crc32(data, (uint32_t)previous);
}

static uint64_t crc32c_of(crt_bytes data, uint64_t previous) {
    return crt_crc32c(data, (uint32_t)previous);
}

static uint64_t crc64nvme_of(crt_bytes data, uint64_t previous) {
    return crt_crc64nvme(data, previous);
}

/* 0 or -1 + OverflowError, TypeError. */
static int parse_previous(PyObject *object, uint64_t *previous) {
    *previous = PyLong_AsUnsignedLongLong(object);
    return *previous == UINT64_MAX && PyErr_Occurred() ? -1 : 0;
}

/*
 * (input, previous=0), both also by keyword. Parsed by hand: PyArg_ParseTupleAndKeywords costs more than the
 * checksum of a short input.
 */
static int parse_crc_arguments(PyObject *const *args, Py_ssize_t count, PyObject *names, const char *function,
                               const char *previous_name, PyObject **data, PyObject **previous) {
    Py_ssize_t keywords = names ? PyTuple_Size(names) : 0;
    *data = count > 0 ? args[0] : NULL;
    *previous = count > 1 ? args[1] : NULL;
    for (Py_ssize_t i = 0; i < keywords; i++) {
        PyObject *name = PyTuple_GetItem(names, i);
        PyObject **slot = PyUnicode_CompareWithASCIIString(name, "input") == 0         ? data
                          : PyUnicode_CompareWithASCIIString(name, previous_name) == 0 ? previous
                                                                                       : NULL;
        if (!slot || *slot) {
            PyErr_Format(PyExc_TypeError, "%s() got an unexpected or repeated argument '%U'", function, name);
            return -1;
        }
        *slot = args[count + i];
    }
    if (count > 2 || !*data) {
        PyErr_Format(PyExc_TypeError, "%s() takes input and an optional %s", function, previous_name);
        return -1;
    }
    return 0;
}

static PyObject *checksum(PyObject *const *args, Py_ssize_t count, PyObject *names, const char *function,
                          const char *previous_name, uint64_t (*compute)(crt_bytes, uint64_t)) {
    PyObject *data, *previous_object;
    uint64_t previous = 0;
    input in;
    if (parse_crc_arguments(args, count, names, function, previous_name, &data, &previous_object) ||
        (previous_object && parse_previous(previous_object, &previous)) || input_open(data, &in)) {
        return NULL;
    }
    uint64_t crc;
    if (in.bytes.len > RELEASE_GIL_ABOVE) {
        Py_BEGIN_ALLOW_THREADS;
        crc = compute(in.bytes, previous);
        Py_END_ALLOW_THREADS;
    } else {
        crc = compute(in.bytes, previous);
    }
    input_close(&in);
    return PyLong_FromUnsignedLongLong(crc);
}

static PyObject *crc32(PyObject *module, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    return checksum(args, count, names, "crc32", "previous_crc32", crc32_of);
}

static PyObject *crc32c(PyObject *module, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    return checksum(args, count, names, "crc32c", "previous_crc32c", crc32c_of);
}

static PyObject *crc64nvme(PyObject *module, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    return checksum(args, count, names, "crc64nvme", "previous_crc64nvme", crc64nvme_of);
}

/* An int within 64 bits, else ValueError that names the argument. */
static int combine_argument(PyObject *value, const char *prefix, const char *name, uint64_t *out) {
    *out = PyLong_Check(value) ? PyLong_AsUnsignedLongLong(value) : UINT64_MAX;
    if (PyLong_Check(value) && !(*out == UINT64_MAX && PyErr_Occurred())) {
        return 0;
    }
    PyErr_Clear();
    PyErr_Format(PyExc_ValueError, "%s%s must be an int from 0 to 2**64 - 1, got %R", prefix, name, value);
    return -1;
}

static int combine_arguments(PyObject *args, const char *prefix, uint64_t *a, uint64_t *b, uint64_t *len_b) {
    PyObject *first, *second, *length;
    if (!PyArg_ParseTuple(args, "OOO:combine", &first, &second, &length)) {
        return -1;
    }
    return combine_argument(first, prefix, "_result1", a) || combine_argument(second, prefix, "_result2", b) ||
                   combine_argument(length, "", "data_length2", len_b)
               ? -1
               : 0;
}

static PyObject *combine_crc32(PyObject *module, PyObject *args) {
    uint64_t a, b, len_b;
    if (combine_arguments(args, "crc32", &a, &b, &len_b)) {
        return NULL;
    }
    return PyLong_FromUnsignedLong(crt_crc32_combine((uint32_t)a, (uint32_t)b, len_b));
}

static PyObject *combine_crc32c(PyObject *module, PyObject *args) {
    uint64_t a, b, len_b;
    if (combine_arguments(args, "crc32c", &a, &b, &len_b)) {
        return NULL;
    }
    return PyLong_FromUnsignedLong(crt_crc32c_combine((uint32_t)a, (uint32_t)b, len_b));
}

static PyObject *combine_crc64nvme(PyObject *module, PyObject *args) {
    uint64_t a, b, len_b;
    if (combine_arguments(args, "crc64nvme", &a, &b, &len_b)) {
        return NULL;
    }
    return PyLong_FromUnsignedLongLong(crt_crc64nvme_combine(a, b, len_b));
}

#define CRC_DOC(name, previous, what)                                                                        \
    name "($module, /, input, " previous "=0)\n--\n\n" what                                                  \
         " of a str (as UTF-8) or any contiguous buffer, continuing from the finished\nchecksum of the data "\
         "before it."

PyMethodDef awscrt_checksum_methods[] = {
    {"crc32", (PyCFunction)(void (*)(void))crc32, METH_FASTCALL | METH_KEYWORDS,
     CRC_DOC("crc32", "previous_crc32", "CRC-32/ISO-HDLC (the one of zlib)")},
    {"crc32c", (PyCFunction)(void (*)(void))crc32c, METH_FASTCALL | METH_KEYWORDS,
     CRC_DOC("crc32c", "previous_crc32c", "CRC-32C (Castagnoli)")},
    {"crc64nvme", (PyCFunction)(void (*)(void))crc64nvme, METH_FASTCALL | METH_KEYWORDS,
     CRC_DOC("crc64nvme", "previous_crc64nvme", "CRC-64/NVME")},
    {"combine_crc32", combine_crc32, METH_VARARGS, "(crc1, crc2, length2) -> crc of both parts"},
    {"combine_crc32c", combine_crc32c, METH_VARARGS, "(crc1, crc2, length2) -> crc of both parts"},
    {"combine_crc64nvme", combine_crc64nvme, METH_VARARGS, "(crc1, crc2, length2) -> crc of both parts"},
    {NULL, NULL, 0, NULL},
};
