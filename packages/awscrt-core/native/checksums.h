/*
 * Arguments of the checksum functions (checksums.c, xxhash.c).
 */
#ifndef AWSCRT_CHECKSUMS_H
#define AWSCRT_CHECKSUMS_H

#include "input.h"

/* True for bytes for which the GIL is kept: the usual call, for which everything around the kernel matters. */
static inline bool awscrt_short_bytes(PyObject *object, crt_bytes *out) {
    if (!PyBytes_CheckExact(object)) {
        return false;
    }
#if defined(Py_LIMITED_API)
    *out = crt_bytes_of(PyBytes_AsString(object), (size_t)Py_SIZE(object));
#else
    *out = crt_bytes_of(PyBytes_AS_STRING(object), (size_t)PyBytes_GET_SIZE(object));
#endif
    return out->len <= AWSCRT_RELEASE_GIL_ABOVE;
}

/* An int from 0 to 2**64 - 1; 0, or -1 + OverflowError, TypeError. */
static inline int awscrt_parse_u64(PyObject *object, uint64_t *out) {
    *out = PyLong_AsUnsignedLongLong(object);
    return *out == UINT64_MAX && PyErr_Occurred() ? -1 : 0;
}

/*
 * (input, <number_name>=...), both also by keyword; *number is NULL when it is not given. Parsed by hand:
 * PyArg_ParseTupleAndKeywords costs more than the checksum of a short input.
 */
int awscrt_parse_input_and_number(PyObject *const *args, Py_ssize_t count, PyObject *names, const char *function,
                                  const char *number_name, PyObject **input, PyObject **number);

#endif
