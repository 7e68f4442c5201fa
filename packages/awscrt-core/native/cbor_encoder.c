/*
 * The native half of AwsCborEncoder.
 */
#include "cbor_types.h"

typedef struct encoder {
    NATIVE_RESOURCE_HEAD
    crt_buf out;
} encoder;

static crt_buf *out_of(PyObject *self) {
    return &((encoder *)self)->out;
}

static PyObject *get_encoded_data_locked(PyObject *self) {
    crt_bytes data = crt_buf_view(out_of(self));
    return PyBytes_FromStringAndSize((const char *)data.ptr, (Py_ssize_t)data.len);
}

static PyObject *reset_locked(PyObject *self) {
    crt_buf_clear(out_of(self));
    Py_RETURN_NONE;
}

static PyObject *write_int_locked(PyObject *self, PyObject *value) {
    if (!PyLong_Check(value)) {
        return awscrt_cbor_wrong_type("an int", value);
    }
    int written = awscrt_cbor_write_int(out_of(self), value);
    if (written == 0) {
        PyErr_SetString(PyExc_TypeError, "an integer must be from -2**64 to 2**64 - 1");
    }
    return awscrt_cbor_none_or_error(written <= 0);
}

/* What float() takes, but for texts. */
static int number_of(PyObject *value, double *number) {
    *number = PyFloat_AsDouble(value);
    if (*number != -1.0 || !PyErr_Occurred()) {
        return 0;
    }
    if (PyErr_ExceptionMatches(PyExc_OverflowError)) {
        PyErr_SetString(PyExc_TypeError, "the number is out of the range of a float");
    }
    return -1;
}

static int write_number(crt_buf *out, double number) {
    if (crt_buf_reserve(out, CRT_CBOR_HEAD_MAX)) {
        PyErr_NoMemory();
        return -1;
    }
    out->end += crt_cbor_put_number(out->ptr + out->end, number);
    return 0;
}

static PyObject *write_float_locked(PyObject *self, PyObject *value) {
    double number;
    return awscrt_cbor_none_or_error(number_of(value, &number) || write_number(out_of(self), number));
}

static PyObject *write_epoch_time_locked(PyObject *self, PyObject *value) {
    double seconds;
    int status = number_of(value, &seconds);
    status = status ? status : awscrt_cbor_write_head(out_of(self), CRT_CBOR_MAJOR_TAG, 1);
    return awscrt_cbor_none_or_error(status ? status : write_number(out_of(self), seconds));
}

static PyObject *write_bytes_locked(PyObject *self, PyObject *value) {
    char *data;
    Py_ssize_t size;
    if (!PyBytes_Check(value)) {
        return awscrt_cbor_wrong_type("bytes", value);
    }
    return awscrt_cbor_none_or_error(PyBytes_AsStringAndSize(value, &data, &size) ||
                         awscrt_cbor_write_string(out_of(self), CRT_CBOR_MAJOR_BYTES, data, (size_t)size));
}

static PyObject *write_text_locked(PyObject *self, PyObject *value) {
    return PyUnicode_Check(value) ? awscrt_cbor_none_or_error(awscrt_cbor_write_text(out_of(self), value))
                                  : awscrt_cbor_wrong_type("a str", value);
}

static int write_byte(PyObject *self, uint8_t byte) {
    if (crt_buf_append(out_of(self), &byte, 1)) {
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}

static PyObject *write_bool_locked(PyObject *self, PyObject *value) {
    int truth = PyObject_IsTrue(value);
    return awscrt_cbor_none_or_error(truth < 0 || write_byte(self, truth ? CRT_CBOR_BYTE_TRUE : CRT_CBOR_BYTE_FALSE));
}

static PyObject *write_null_locked(PyObject *self) {
    return awscrt_cbor_none_or_error(write_byte(self, CRT_CBOR_BYTE_NULL));
}

static PyObject *write_undefined_locked(PyObject *self) {
    return awscrt_cbor_none_or_error(write_byte(self, CRT_CBOR_BYTE_UNDEFINED));
}

static PyObject *write_break_locked(PyObject *self) {
    return awscrt_cbor_none_or_error(write_byte(self, CRT_CBOR_BYTE_BREAK));
}

static PyObject *write_indef_bytes_start_locked(PyObject *self) {
    return awscrt_cbor_none_or_error(write_byte(self, CRT_CBOR_BYTE_INDEF_BYTES));
}

static PyObject *write_indef_text_start_locked(PyObject *self) {
    return awscrt_cbor_none_or_error(write_byte(self, CRT_CBOR_BYTE_INDEF_TEXT));
}

static PyObject *write_indef_array_start_locked(PyObject *self) {
    return awscrt_cbor_none_or_error(write_byte(self, CRT_CBOR_BYTE_INDEF_ARRAY));
}

static PyObject *write_indef_map_start_locked(PyObject *self) {
    return awscrt_cbor_none_or_error(write_byte(self, CRT_CBOR_BYTE_INDEF_MAP));
}

/* As users of the AWS runtime know it: ValueError below 0 and above 2**64, TypeError for 2**64 itself. */
static void raise_count_out_of_range(PyObject *value) {
    PyObject *limit = PyLong_FromUnsignedLongLong(UINT64_MAX);
    PyObject *excess = limit ? PyNumber_Subtract(value, limit) : NULL;
    Py_XDECREF(limit);
    if (excess) {
        int overflow;
        bool is_limit = PyLong_AsLongLongAndOverflow(excess, &overflow) == 1 && !overflow;
        Py_DECREF(excess);
        PyErr_Format(is_limit ? PyExc_TypeError : PyExc_ValueError, "%R must be from 0 to 2**64 - 1", value);
    }
}

static PyObject *write_count(PyObject *self, unsigned major, PyObject *value) {
    if (!PyLong_Check(value)) {
        return awscrt_cbor_wrong_type("an int", value);
    }
    uint64_t number = PyLong_AsUnsignedLongLong(value);
    if (number == UINT64_MAX && PyErr_Occurred()) {
        if (PyErr_ExceptionMatches(PyExc_OverflowError)) {
            PyErr_Clear();
            raise_count_out_of_range(value);
        }
        return NULL;
    }
    return awscrt_cbor_none_or_error(awscrt_cbor_write_head(out_of(self), major, number));
}

static PyObject *write_array_start_locked(PyObject *self, PyObject *entries) {
    return write_count(self, CRT_CBOR_MAJOR_ARRAY, entries);
}

static PyObject *write_map_start_locked(PyObject *self, PyObject *entries) {
    return write_count(self, CRT_CBOR_MAJOR_MAP, entries);
}

static PyObject *write_tag_locked(PyObject *self, PyObject *number) {
    return write_count(self, CRT_CBOR_MAJOR_TAG, number);
}

static PyObject *write_data_item_locked(PyObject *self, PyObject *item) {
    static const awscrt_cbor_limits none = {SIZE_MAX, SIZE_MAX};
    return awscrt_cbor_none_or_error(awscrt_cbor_write(out_of(self), item, AWSCRT_CBOR_ITEM, &none));
}

static PyObject *write_list_locked(PyObject *self, PyObject *value) {
    return PyList_Check(value) ? write_data_item_locked(self, value) : awscrt_cbor_wrong_type("a list", value);
}

static PyObject *write_dict_locked(PyObject *self, PyObject *value) {
    return PyDict_Check(value) ? write_data_item_locked(self, value) : awscrt_cbor_wrong_type("a dict", value);
}

METHOD_NOARGS(get_encoded_data)
METHOD_NOARGS(reset)
METHOD_O(write_int, "val")
METHOD_O(write_float, "val")
METHOD_O(write_epoch_time, "val")
METHOD_O(write_bytes, "val")
METHOD_O(write_text, "val")
METHOD_O(write_bool, "val")
METHOD_NOARGS(write_null)
METHOD_NOARGS(write_undefined)
METHOD_NOARGS(write_break)
METHOD_NOARGS(write_indef_bytes_start)
METHOD_NOARGS(write_indef_text_start)
METHOD_NOARGS(write_indef_array_start)
METHOD_NOARGS(write_indef_map_start)
METHOD_O(write_array_start, "number_entries")
METHOD_O(write_map_start, "number_entries")
METHOD_O(write_tag, "tag_number")
METHOD_O(write_list, "val")
METHOD_O(write_dict, "val")
METHOD_O(write_data_item, "data_item")

static PyMethodDef encoder_methods[] = {
    ENTRY_NOARGS(get_encoded_data, "A copy of everything written so far; writing may go on."),
    ENTRY_NOARGS(reset, "Forgets everything written so far."),
    ENTRY_O(write_int, "val", "An integer from -2**64 to 2**64 - 1, else TypeError."),
    ENTRY_O(write_float, "val",
            "A number, as an integer if it is one from -2**32 to 2**32 - 1, else as the shorter of float32 and\n"
            "float64 that is equal."),
    ENTRY_O(write_epoch_time, "val", "Tag 1 and the seconds since 1970-01-01 UTC, as write_float writes them."),
    ENTRY_O(write_bytes, "val", "A definite byte string."),
    ENTRY_O(write_text, "val", "A definite text string; TypeError for lone surrogates."),
    ENTRY_O(write_bool, "val", "true or false, by the truth of `val`."),
    ENTRY_NOARGS(write_null, "null"),
    ENTRY_NOARGS(write_undefined, "undefined"),
    ENTRY_NOARGS(write_break, "The end of an indefinite string, array or map."),
    ENTRY_NOARGS(write_indef_bytes_start, "A byte string of chunks: definite byte strings up to a break."),
    ENTRY_NOARGS(write_indef_text_start, "A text string of chunks: definite text strings up to a break."),
    ENTRY_NOARGS(write_indef_array_start, "An array of all items up to a break."),
    ENTRY_NOARGS(write_indef_map_start, "A map of all keys and values up to a break."),
    ENTRY_O(write_array_start, "number_entries", "The head of an array; its items are to follow."),
    ENTRY_O(write_map_start, "number_entries", "The head of a map; its keys and values are to follow in turn."),
    ENTRY_O(write_tag, "tag_number", "A tag; the item it is about is to follow."),
    ENTRY_O(write_list, "val", "A list with its items, see write_data_item."),
    ENTRY_O(write_dict, "val", "A dict with its keys and values, see write_data_item."),
    ENTRY_O(write_data_item, "data_item",
            "None, an int, float, bool, bytes, str, list or dict of these.\n\nOnly str, list and dict may be of a "
            "subclass; anything else raises ValueError. What was written before\nan error stays."),
    {NULL, NULL, 0, NULL},
};

static void encoder_dealloc(PyObject *self) {
    awscrt_cbor_resource_begin_dealloc(self);
    crt_buf_free(out_of(self));
    awscrt_free_instance(self);
}

static PyType_Slot encoder_slots[] = {
    {Py_tp_traverse, awscrt_cbor_resource_traverse},
    {Py_tp_clear, awscrt_cbor_resource_clear},
    {Py_tp_dealloc, encoder_dealloc},
    {Py_tp_methods, encoder_methods},
    {Py_tp_doc, "State of awscrt.cbor.AwsCborEncoder."},
    {0, NULL},
};

static PyType_Spec encoder_spec = {
    .name = "awscrt._core.CborEncoder",
    .basicsize = sizeof(encoder),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = encoder_slots,
};

PyObject *awscrt_cbor_encoder_type(PyObject *native_resource) {
    return awscrt_cbor_derive(&encoder_spec, native_resource);
}
