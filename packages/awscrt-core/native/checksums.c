/*
 * awscrt.checksums: the CRC functions, over any contiguous buffer. These are what Python calls, without a wrapper:
 * for short inputs everything around the kernel is what takes the time.
 */
#include "checksums.h"

/* ---- arguments ---- */

int awscrt_parse_input_and_number(PyObject *const *args, Py_ssize_t count, PyObject *names, const char *function,
                                  const char *number_name, PyObject **input, PyObject **number) {
    Py_ssize_t keywords = names ? PyTuple_Size(names) : 0;
    *input = count > 0 ? args[0] : NULL;
    *number = count > 1 ? args[1] : NULL;
    for (Py_ssize_t i = 0; i < keywords; i++) {
        PyObject *name = PyTuple_GetItem(names, i);
        PyObject **slot = PyUnicode_CompareWithASCIIString(name, "input") == 0       ? input
                          : PyUnicode_CompareWithASCIIString(name, number_name) == 0 ? number
                                                                                     : NULL;
        if (!slot || *slot) {
            PyErr_Format(PyExc_TypeError, "%s() got an unexpected or repeated argument '%U'", function, name);
            return -1;
        }
        *slot = args[count + i];
    }
    if (count > 2 || !*input) {
        PyErr_Format(PyExc_TypeError, "%s() takes input and an optional %s", function, number_name);
        return -1;
    }
    return 0;
}

/* ---- CRCs ---- */

/* Everything but the usual call f(bytes): other arguments, other inputs, long inputs. */
static int compute_generally(PyObject *const *args, Py_ssize_t count, PyObject *names, const char *function,
                             const char *previous_name, uint64_t (*compute)(crt_bytes, uint64_t), uint64_t *crc) {
    PyObject *object, *previous_object;
    uint64_t previous = 0;
    awscrt_input in;
    if (awscrt_parse_input_and_number(args, count, names, function, previous_name, &object, &previous_object) ||
        (previous_object && awscrt_parse_u64(previous_object, &previous)) || awscrt_input_open_text(object, &in)) {
        return -1;
    }
    if (in.bytes.len > AWSCRT_RELEASE_GIL_ABOVE) {
        Py_BEGIN_ALLOW_THREADS;
        *crc = compute(in.bytes, previous);
        Py_END_ALLOW_THREADS;
    } else {
        *crc = compute(in.bytes, previous);
    }
    awscrt_input_close(&in);
    return 0;
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

static PyObject *crc32(PyObject *module, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    crt_bytes data;
    if (count == 1 && !names && awscrt_short_bytes(args[0], &data)) {
        return PyLong_FromUnsignedLong(crt_crc32(data, 0));
    }
    uint64_t crc;
    return compute_generally(args, count, names, "crc32", "previous_crc32", crc32_of, &crc)
               ? NULL
               : PyLong_FromUnsignedLongLong(crc);
}

static PyObject *crc32c(PyObject *module, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    crt_bytes data;
    if (count == 1 && !names && awscrt_short_bytes(args[0], &data)) {
        return PyLong_FromUnsignedLong(crt_crc32c(data, 0));
    }
    uint64_t crc;
    return compute_generally(args, count, names, "crc32c", "previous_crc32c", crc32c_of, &crc)
               ? NULL
               : PyLong_FromUnsignedLongLong(crc);
}

static PyObject *crc64nvme(PyObject *module, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    crt_bytes data;
    if (count == 1 && !names && awscrt_short_bytes(args[0], &data)) {
        return PyLong_FromUnsignedLongLong(crt_crc64nvme(data, 0));
    }
    uint64_t crc;
    return compute_generally(args, count, names, "crc64nvme", "previous_crc64nvme", crc64nvme_of, &crc)
               ? NULL
               : PyLong_FromUnsignedLongLong(crc);
}

/* ---- combination ---- */

/* An int within 64 bits, else ValueError that names the argument. */
static int combine_argument(PyObject *value, const char *name, uint64_t *out) {
    *out = PyLong_Check(value) ? PyLong_AsUnsignedLongLong(value) : UINT64_MAX;
    if (PyLong_Check(value) && !(*out == UINT64_MAX && PyErr_Occurred())) {
        return 0;
    }
    PyErr_Clear();
    PyErr_Format(PyExc_ValueError, "%s must be an int from 0 to 2**64 - 1, got %R", name, value);
    return -1;
}

/* (<crc>_result1, <crc>_result2, data_length2), also by keyword: names is a NULL-terminated list of the three. */
static int combine_arguments(PyObject *args, PyObject *keywords, const char *format, char **names, uint64_t *a,
                             uint64_t *b, uint64_t *len_b) {
    PyObject *first, *second, *length;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, format, names, &first, &second, &length)) {
        return -1;
    }
    return combine_argument(first, names[0], a) || combine_argument(second, names[1], b) ||
                   combine_argument(length, names[2], len_b)
               ? -1
               : 0;
}

static PyObject *combine_crc32(PyObject *module, PyObject *args, PyObject *keywords) {
    static char *names[] = {"crc32_result1", "crc32_result2", "data_length2", NULL};
    uint64_t a, b, len_b;
    if (combine_arguments(args, keywords, "OOO:combine_crc32", names, &a, &b, &len_b)) {
        return NULL;
    }
    return PyLong_FromUnsignedLong(crt_crc32_combine((uint32_t)a, (uint32_t)b, len_b));
}

static PyObject *combine_crc32c(PyObject *module, PyObject *args, PyObject *keywords) {
    static char *names[] = {"crc32c_result1", "crc32c_result2", "data_length2", NULL};
    uint64_t a, b, len_b;
    if (combine_arguments(args, keywords, "OOO:combine_crc32c", names, &a, &b, &len_b)) {
        return NULL;
    }
    return PyLong_FromUnsignedLong(crt_crc32c_combine((uint32_t)a, (uint32_t)b, len_b));
}

static PyObject *combine_crc64nvme(PyObject *module, PyObject *args, PyObject *keywords) {
    static char *names[] = {"crc64nvme_result1", "crc64nvme_result2", "data_length2", NULL};
    uint64_t a, b, len_b;
    if (combine_arguments(args, keywords, "OOO:combine_crc64nvme", names, &a, &b, &len_b)) {
        return NULL;
    }
    return PyLong_FromUnsignedLongLong(crt_crc64nvme_combine(a, b, len_b));
}

static PyObject *checksum_kernels(PyObject *module, PyObject *unused) {
    return Py_BuildValue("{ssssssss}", "crc32", crt_crc32_kernel(), "crc32c", crt_crc32c_kernel(), "crc64nvme",
                         crt_crc64nvme_kernel(), "xxh3", crt_xxh3_kernel());
}

#define CRC_DOC(name, what)                                                                                    \
    name "($module, /, input, previous_" name "=0)\n--\n\n" what                                               \
         " of a str (as UTF-8) or any C-contiguous buffer, continuing from the finished\nchecksum of the data " \
         "before it. Over 5 KiB the GIL is released.\n\n"                                                      \
         ":raises OverflowError: the previous checksum is not within 64 bits\n"                                \
         ":raises BufferError: the buffer is not contiguous"
#define COMBINE_DOC(name, what)                                                                                \
    "combine_" name "($module, /, " name "_result1, " name "_result2, data_length2)\n--\n\n" what              \
    " of A + B from those of A and B and the length of B in bytes.\n\n"                                        \
    ":raises ValueError: an argument is not an int from 0 to 2**64 - 1"
#define FASTCALL(function) (PyCFunction)(void (*)(void))(function), METH_FASTCALL | METH_KEYWORDS
#define KEYWORDS(function) (PyCFunction)(void (*)(void))(function), METH_VARARGS | METH_KEYWORDS

PyMethodDef awscrt_checksum_methods[] = {
    {"crc32", FASTCALL(crc32), CRC_DOC("crc32", "CRC-32/ISO-HDLC (the one of zlib)")},
    {"crc32c", FASTCALL(crc32c), CRC_DOC("crc32c", "CRC-32C (Castagnoli)")},
    {"crc64nvme", FASTCALL(crc64nvme), CRC_DOC("crc64nvme", "CRC-64/NVME")},
    {"combine_crc32", KEYWORDS(combine_crc32), COMBINE_DOC("crc32", "CRC-32")},
    {"combine_crc32c", KEYWORDS(combine_crc32c), COMBINE_DOC("crc32c", "CRC-32C")},
    {"combine_crc64nvme", KEYWORDS(combine_crc64nvme), COMBINE_DOC("crc64nvme", "CRC-64/NVME")},
    {"checksum_kernels", checksum_kernels, METH_NOARGS, "The kernels in use, by algorithm."},
    {NULL, NULL, 0, NULL},
};
