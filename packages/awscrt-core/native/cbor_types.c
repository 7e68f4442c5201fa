/*
 * The native halves of AwsCborEncoder and AwsCborDecoder. The Python classes derive from them and may be derived from
 * in turn; instances carry a __dict__ like those of any Python class.
 */
#include "cbor.h"

/* Sizes and slots of an instance that derives from NativeResource: its two slots come first. */
#define NATIVE_RESOURCE_HEAD                                                                                  \
    PyObject_HEAD                                                                                             \
    PyObject *binding;                                                                                        \
    PyObject *weak_references;

typedef struct native_resource {
    NATIVE_RESOURCE_HEAD
} native_resource;



/* The one argument of a method, by position or by name. NULL + TypeError; borrowed. */
static PyObject *one_argument(PyObject *const *args, Py_ssize_t count, PyObject *names, const char *name) {
    if (count == 1 && !names) {
        return args[0];
    }
    if (count == 0 && names && PyTuple_Size(names) == 1 &&
        PyUnicode_CompareWithASCIIString(PyTuple_GetItem(names, 0), name) == 0) {
        return args[0];
    }
    PyErr_Format(PyExc_TypeError, "expected one argument, %s", name);
    return NULL;
}

static PyObject *none_or_error(int status) {
    if (status) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* A method `name` that takes the argument `parameter` and runs name_locked under the object's lock. */
#define METHOD_O(name, parameter)                                                                             \
    static PyObject *name(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names) {         \
        PyObject *argument = one_argument(args, count, names, parameter);                                     \
        if (!argument) {                                                                                      \
            return NULL;                                                                                      \
        }                                                                                                     \
        PyObject *result;                                                                                     \
        AWSCRT_LOCK(self);                                                                                    \
        result = name##_locked(self, argument);                                                               \
        AWSCRT_UNLOCK();                                                                                      \
        return result;                                                                                        \
    }

#define METHOD_NOARGS(name)                                                                                   \
    static PyObject *name(PyObject *self, PyObject *unused) {                                                 \
        PyObject *result;                                                                                     \
        AWSCRT_LOCK(self);                                                                                    \
        result = name##_locked(self);                                                                         \
        AWSCRT_UNLOCK();                                                                                      \
        return result;                                                                                        \
    }

#define ENTRY_O(name, parameter, doc)                                                                         \
    {#name, (PyCFunction)(void (*)(void))name, METH_FASTCALL | METH_KEYWORDS,                                 \
     #name "($self, /, " parameter ")\n--\n\n" doc}
#define ENTRY_NOARGS(name, doc) {#name, name, METH_NOARGS, #name "($self, /)\n--\n\n" doc}

/* ---- the encoder ---- */

typedef struct encoder {
    NATIVE_RESOURCE_HEAD
    crt_buf out;
} encoder;

static crt_buf *out_of(PyObject *self) {
    return &((encoder *)self)->out;
}

static PyObject *wrong_type(const char *wanted, PyObject *value) {
    PyErr_Format(PyExc_TypeError, "expected %s, got %R", wanted, (PyObject *)Py_TYPE(value));
    return NULL;
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
        return wrong_type("an int", value);
    }
    int written = awscrt_cbor_write_int(out_of(self), value);
    if (written == 0) {
        PyErr_SetString(PyExc_TypeError, "an integer must be from -2**64 to 2**64 - 1");
    }
    return none_or_error(written <= 0);
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
    return none_or_error(number_of(value, &number) || write_number(out_of(self), number));
}

static PyObject *write_epoch_time_locked(PyObject *self, PyObject *value) {
    double number;
    return none_or_error(number_of(value, &number) || awscrt_cbor_write_head(out_of(self), CRT_CBOR_MAJOR_TAG, 1) ||
                         write_number(out_of(self), number));
}

static PyObject *write_bytes_locked(PyObject *self, PyObject *value) {
    char *data;
    Py_ssize_t size;
    if (!PyBytes_Check(value)) {
        return wrong_type("bytes", value);
    }
    return none_or_error(PyBytes_AsStringAndSize(value, &data, &size) ||
                         awscrt_cbor_write_string(out_of(self), CRT_CBOR_MAJOR_BYTES, data, (size_t)size));
}

static PyObject *write_text_locked(PyObject *self, PyObject *value) {
    return PyUnicode_Check(value) ? none_or_error(awscrt_cbor_write_text(out_of(self), value))
                                  : wrong_type("a str", value);
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
    return none_or_error(truth < 0 || write_byte(self, truth ? CRT_CBOR_BYTE_TRUE : CRT_CBOR_BYTE_FALSE));
}

static PyObject *write_null_locked(PyObject *self) {
    return none_or_error(write_byte(self, CRT_CBOR_BYTE_NULL));
}

static PyObject *write_undefined_locked(PyObject *self) {
    return none_or_error(write_byte(self, CRT_CBOR_BYTE_UNDEFINED));
}

static PyObject *write_break_locked(PyObject *self) {
    return none_or_error(write_byte(self, CRT_CBOR_BYTE_BREAK));
}

static PyObject *write_indef_bytes_start_locked(PyObject *self) {
    return none_or_error(write_byte(self, CRT_CBOR_BYTE_INDEF_BYTES));
}

static PyObject *write_indef_text_start_locked(PyObject *self) {
    return none_or_error(write_byte(self, CRT_CBOR_BYTE_INDEF_TEXT));
}

static PyObject *write_indef_array_start_locked(PyObject *self) {
    return none_or_error(write_byte(self, CRT_CBOR_BYTE_INDEF_ARRAY));
}

static PyObject *write_indef_map_start_locked(PyObject *self) {
    return none_or_error(write_byte(self, CRT_CBOR_BYTE_INDEF_MAP));
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
        return wrong_type("an int", value);
    }
    uint64_t number = PyLong_AsUnsignedLongLong(value);
    if (number == UINT64_MAX && PyErr_Occurred()) {
        if (PyErr_ExceptionMatches(PyExc_OverflowError)) {
            PyErr_Clear();
            raise_count_out_of_range(value);
        }
        return NULL;
    }
    return none_or_error(awscrt_cbor_write_head(out_of(self), major, number));
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
    return none_or_error(awscrt_cbor_write(out_of(self), item, AWSCRT_CBOR_ITEM, &none));
}

static PyObject *write_list_locked(PyObject *self, PyObject *value) {
    return PyList_Check(value) ? write_data_item_locked(self, value) : wrong_type("a list", value);
}

static PyObject *write_dict_locked(PyObject *self, PyObject *value) {
    return PyDict_Check(value) ? write_data_item_locked(self, value) : wrong_type("a dict", value);
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

static int resource_traverse(PyObject *self, visitproc visit, void *arg) {
    AWSCRT_VISIT_TYPE(self);
    Py_VISIT(((native_resource *)self)->binding);
    return 0;
}

static int resource_clear(PyObject *self) {
    Py_CLEAR(((native_resource *)self)->binding);
    return 0;
}

static void resource_begin_dealloc(PyObject *self) {
    PyObject_GC_UnTrack(self);
    if (((native_resource *)self)->weak_references) {
        PyObject_ClearWeakRefs(self);
    }
    resource_clear(self);
}

static void encoder_dealloc(PyObject *self) {
    resource_begin_dealloc(self);
    crt_buf_free(out_of(self));
    awscrt_free_instance(self);
}

static PyType_Slot encoder_slots[] = {
    {Py_tp_traverse, resource_traverse},
    {Py_tp_clear, resource_clear},
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

/* ---- the decoder ---- */

enum { MAX_DEPTH = 128, MAX_ENTRIES = 10000 };

typedef struct decoder {
    NATIVE_RESOURCE_HEAD
    PyObject *source;
    PyObject *on_epoch_time;
    awscrt_cbor_reader reader; /* behind the peeked element */
    crt_cbor_element peeked;
    const uint8_t *peeked_at; /* NULL: nothing is */
} decoder;

static int decoder_set_source(decoder *d, PyObject *source) {
    const char *data;
    Py_ssize_t size;
    if (PyBytes_Check(source)) {
        char *bytes;
        if (PyBytes_AsStringAndSize(source, &bytes, &size)) {
            return -1;
        }
        data = bytes;
    } else if (PyUnicode_Check(source)) {
        data = PyUnicode_AsUTF8AndSize(source, &size);
        if (!data) {
            return -1;
        }
    } else {
        wrong_type("bytes", source);
        return -1;
    }
    PyObject *before = d->source;
    d->source = Py_NewRef(source);
    d->reader.begin = (const uint8_t *)data;
    d->reader.rest = crt_bytes_of(data, (size_t)size);
    d->reader.rules = AWSCRT_CBOR_ITEM;
    d->reader.max_depth = MAX_DEPTH;
    d->reader.max_entries = MAX_ENTRIES;
    d->reader.failed = 0;
    d->peeked_at = NULL;
    Py_XDECREF(before);
    return 0;
}

static PyObject *decoder_open(PyObject *self, PyObject *const *args, Py_ssize_t count) {
    decoder *d = (decoder *)self;
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "expected src and on_epoch_time");
        return NULL;
    }
    int status;
    AWSCRT_LOCK(self);
    status = decoder_set_source(d, args[0]);
    if (!status) {
        PyObject *before = d->on_epoch_time;
        d->on_epoch_time = args[1] == Py_None ? NULL : Py_NewRef(args[1]);
        d->reader.on_tag = d->on_epoch_time;
        Py_XDECREF(before);
    }
    AWSCRT_UNLOCK();
    return none_or_error(status);
}

static PyObject *reset_src_locked(PyObject *self, PyObject *source) {
    return none_or_error(decoder_set_source((decoder *)self, source));
}

static int check_failed(const decoder *d) {
    if (d->reader.failed) {
        awscrt_raise(d->reader.failed, "(this decoder met it before; reset_src starts anew)");
        return -1;
    }
    return 0;
}

/* Reads the next element unless that is done. */
static int peek(decoder *d) {
    if (check_failed(d)) {
        return -1;
    }
    if (d->peeked_at) {
        return 0;
    }
    const uint8_t *at = d->reader.rest.ptr;
    int status = crt_cbor_next(&d->reader.rest, &d->peeked);
    if (status) {
        awscrt_cbor_fail(&d->reader, status, at,
                         status == AWS_ERROR_SHORT_BUFFER ? "the data ends here" : "a reserved head");
        return -1;
    }
    d->peeked_at = at;
    return 0;
}

static const char *const type_names[] = {
    "unknown",           "an unsigned int",         "a negative int",   "a float",         "bytes",
    "text",              "an array of known size", "a map of known size", "a tag",           "a bool",
    "null",              "undefined",               "a break",          "chunks of bytes", "chunks of text",
    "an array up to a break", "a map up to a break"};

/* Consumes the next element, which must be of that type: 0. Else -1 + exception, and it stays. */
static int take(decoder *d, enum crt_cbor_type type) {
    if (peek(d)) {
        return -1;
    }
    if (d->peeked.type != type) {
        char what[96];
        PyOS_snprintf(what, sizeof(what), "expected %s, found %s", type_names[type], type_names[d->peeked.type]);
        awscrt_cbor_fail(&d->reader, AWS_ERROR_CBOR_UNEXPECTED_TYPE, d->peeked_at, what);
        d->reader.unexpected = false; /* it is peeked already */
        return -1;
    }
    d->peeked_at = NULL;
    return 0;
}

static PyObject *_peek_type_locked(PyObject *self) {
    decoder *d = (decoder *)self;
    return peek(d) ? NULL : PyLong_FromLong(d->peeked.type);
}

static PyObject *get_remaining_bytes_locked(PyObject *self) {
    crt_bytes rest = ((decoder *)self)->reader.rest;
    return PyBytes_FromStringAndSize((const char *)rest.ptr, (Py_ssize_t)rest.len);
}

static PyObject *get_remaining_bytes_len_locked(PyObject *self) {
    return PyLong_FromSize_t(((decoder *)self)->reader.rest.len);
}

static PyObject *consume_next_single_element_locked(PyObject *self) {
    decoder *d = (decoder *)self;
    int status = peek(d);
    d->peeked_at = status ? d->peeked_at : NULL;
    return none_or_error(status);
}

static PyObject *consume_next_whole_data_item_locked(PyObject *self) {
    decoder *d = (decoder *)self;
    if (peek(d)) {
        return NULL;
    }
    d->peeked_at = NULL;
    int status = crt_cbor_skip(&d->reader.rest, &d->peeked);
    if (status) {
        awscrt_cbor_fail(&d->reader, status, d->reader.rest.ptr,
                         status == AWS_ERROR_SHORT_BUFFER   ? "the data ends here"
                         : status == AWS_ERROR_INVALID_CBOR ? "a reserved head"
                                                            : "too many levels");
    }
    return none_or_error(status);
}

static PyObject *pop_next_unsigned_int_locked(PyObject *self) {
    decoder *d = (decoder *)self;
    return take(d, CRT_CBOR_UINT) ? NULL : PyLong_FromUnsignedLongLong(d->peeked.number);
}

static PyObject *pop_next_negative_int_locked(PyObject *self) {
    decoder *d = (decoder *)self;
    return take(d, CRT_CBOR_NEGINT) ? NULL : awscrt_cbor_negative_int(d->peeked.number);
}

static PyObject *pop_next_double_locked(PyObject *self) {
    decoder *d = (decoder *)self;
    return take(d, CRT_CBOR_FLOAT) ? NULL : PyFloat_FromDouble(d->peeked.real);
}

static PyObject *pop_next_bool_locked(PyObject *self) {
    decoder *d = (decoder *)self;
    return take(d, CRT_CBOR_BOOL) ? NULL : PyBool_FromLong(d->peeked.number != 0);
}

static PyObject *pop_next_bytes_locked(PyObject *self) {
    decoder *d = (decoder *)self;
    return take(d, CRT_CBOR_BYTES)
               ? NULL
               : PyBytes_FromStringAndSize((const char *)d->peeked.bytes.ptr, (Py_ssize_t)d->peeked.bytes.len);
}

static PyObject *pop_next_text_locked(PyObject *self) {
    decoder *d = (decoder *)self;
    return take(d, CRT_CBOR_TEXT)
               ? NULL
               : PyUnicode_DecodeUTF8((const char *)d->peeked.bytes.ptr, (Py_ssize_t)d->peeked.bytes.len, NULL);
}

static PyObject *pop_count(decoder *d, enum crt_cbor_type type) {
    if (peek(d)) {
        return NULL;
    }
    if (d->peeked.type == type && d->peeked.number > MAX_ENTRIES) {
        awscrt_cbor_fail(&d->reader, AWS_ERROR_CBOR_RESOURCE_LIMIT_EXCEEDED, d->peeked_at, "too many entries");
        return NULL;
    }
    return take(d, type) ? NULL : PyLong_FromUnsignedLongLong(d->peeked.number);
}

static PyObject *pop_next_array_start_locked(PyObject *self) {
    return pop_count((decoder *)self, CRT_CBOR_ARRAY);
}

static PyObject *pop_next_map_start_locked(PyObject *self) {
    return pop_count((decoder *)self, CRT_CBOR_MAP);
}

static PyObject *pop_next_tag_val_locked(PyObject *self) {
    decoder *d = (decoder *)self;
    return take(d, CRT_CBOR_TAG) ? NULL : PyLong_FromUnsignedLongLong(d->peeked.number);
}

/* Goes back before the peeked element, whose content may be next. */
static void unpeek(decoder *d) {
    if (d->peeked_at) {
        crt_bytes *rest = &d->reader.rest;
        *rest = crt_bytes_of(d->peeked_at, (size_t)(rest->ptr + rest->len - d->peeked_at));
        d->peeked_at = NULL;
    }
}

static PyObject *pop_item(decoder *d, size_t max_depth) {
    if (check_failed(d)) {
        return NULL;
    }
    unpeek(d);
    d->reader.max_depth = max_depth;
    d->reader.unexpected = false;
    PyObject *item = awscrt_cbor_read(&d->reader);
    if (!item && d->reader.unexpected) {
        /* The element of the wrong type counts as peeked. */
        d->reader.unexpected = false;
        const uint8_t *at = d->reader.rest.ptr;
        d->peeked_at = crt_cbor_next(&d->reader.rest, &d->peeked) ? NULL : at;
    }
    return item;
}

static PyObject *pop_next_data_item_locked(PyObject *self) {
    return pop_item((decoder *)self, MAX_DEPTH);
}

/* The outer container is no level of its own here. */
static PyObject *pop_container(decoder *d, enum crt_cbor_type definite, enum crt_cbor_type indefinite) {
    if (peek(d)) {
        return NULL;
    }
    if (d->peeked.type != definite && d->peeked.type != indefinite) {
        take(d, definite); /* says what is wrong */
        return NULL;
    }
    return pop_item(d, MAX_DEPTH + 1);
}

static PyObject *pop_next_list_locked(PyObject *self) {
    return pop_container((decoder *)self, CRT_CBOR_ARRAY, CRT_CBOR_INDEF_ARRAY);
}

static PyObject *pop_next_map_locked(PyObject *self) {
    return pop_container((decoder *)self, CRT_CBOR_MAP, CRT_CBOR_INDEF_MAP);
}

METHOD_O(reset_src, "src")
METHOD_NOARGS(_peek_type)
METHOD_NOARGS(get_remaining_bytes)
METHOD_NOARGS(get_remaining_bytes_len)
METHOD_NOARGS(consume_next_single_element)
METHOD_NOARGS(consume_next_whole_data_item)
METHOD_NOARGS(pop_next_unsigned_int)
METHOD_NOARGS(pop_next_negative_int)
METHOD_NOARGS(pop_next_double)
METHOD_NOARGS(pop_next_bool)
METHOD_NOARGS(pop_next_bytes)
METHOD_NOARGS(pop_next_text)
METHOD_NOARGS(pop_next_array_start)
METHOD_NOARGS(pop_next_map_start)
METHOD_NOARGS(pop_next_tag_val)
METHOD_NOARGS(pop_next_list)
METHOD_NOARGS(pop_next_map)
METHOD_NOARGS(pop_next_data_item)

static PyMethodDef decoder_methods[] = {
    {"_open", (PyCFunction)(void (*)(void))decoder_open, METH_FASTCALL, "_open($self, src, on_epoch_time, /)\n--\n\n"},
    ENTRY_NOARGS(_peek_type, "The value of peek_next_type()."),
    ENTRY_O(reset_src, "src", "Starts anew with other data: forgets what was peeked, and errors."),
    ENTRY_NOARGS(get_remaining_bytes, "A copy of the data behind what was popped or peeked."),
    ENTRY_NOARGS(get_remaining_bytes_len, "How many bytes are behind what was popped or peeked."),
    ENTRY_NOARGS(consume_next_single_element, "Skips one head, with its payload if it is a definite string."),
    ENTRY_NOARGS(consume_next_whole_data_item, "Skips one item with all its content, at most 128 levels deep."),
    ENTRY_NOARGS(pop_next_unsigned_int, "An integer from 0 to 2**64 - 1."),
    ENTRY_NOARGS(pop_next_negative_int, "An integer from -2**64 to -1."),
    ENTRY_NOARGS(pop_next_double, "A float of half, single or double precision; not an integer."),
    ENTRY_NOARGS(pop_next_bool, "true or false."),
    ENTRY_NOARGS(pop_next_bytes, "A definite byte string."),
    ENTRY_NOARGS(pop_next_text, "A definite text string; UnicodeDecodeError if it is not UTF-8, it is consumed then."),
    ENTRY_NOARGS(pop_next_array_start, "The number of items of a definite array, at most 10000."),
    ENTRY_NOARGS(pop_next_map_start, "The number of entries of a definite map, at most 10000."),
    ENTRY_NOARGS(pop_next_tag_val, "The number of a tag; what it is about comes next."),
    ENTRY_NOARGS(pop_next_list, "An array with all its content."),
    ENTRY_NOARGS(pop_next_map, "A map with all its content."),
    ENTRY_NOARGS(pop_next_data_item,
                 "Any item with all its content, at most 128 levels deep.\n\nnull and undefined are None; tag 1 gives "
                 "what on_epoch_time made of its number, other tags raise ValueError."),
    {NULL, NULL, 0, NULL},
};

static int decoder_traverse(PyObject *self, visitproc visit, void *arg) {
    Py_VISIT(((decoder *)self)->on_epoch_time);
    return resource_traverse(self, visit, arg);
}

static int decoder_clear(PyObject *self) {
    ((decoder *)self)->reader.on_tag = NULL;
    Py_CLEAR(((decoder *)self)->on_epoch_time);
    return resource_clear(self);
}

static void decoder_dealloc(PyObject *self) {
    resource_begin_dealloc(self);
    decoder_clear(self);
    Py_XDECREF(((decoder *)self)->source);
    awscrt_free_instance(self);
}

static PyType_Slot decoder_slots[] = {
    {Py_tp_traverse, decoder_traverse},
    {Py_tp_clear, decoder_clear},
    {Py_tp_dealloc, decoder_dealloc},
    {Py_tp_methods, decoder_methods},
    {Py_tp_doc, "State of awscrt.cbor.AwsCborDecoder."},
    {0, NULL},
};

static PyType_Spec decoder_spec = {
    .name = "awscrt._core.CborDecoder",
    .basicsize = sizeof(decoder),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = decoder_slots,
};

/* ---- */

static PyObject *derive(PyType_Spec *spec, PyObject *base) {
    PyObject *size = PyObject_GetAttrString(base, "__basicsize__");
    Py_ssize_t bytes = size ? PyLong_AsSsize_t(size) : -1;
    Py_XDECREF(size);
    if (bytes == -1 && PyErr_Occurred()) {
        return NULL;
    }
    if (!PyType_Check(base) || bytes != sizeof(native_resource)) {
        PyErr_Format(PyExc_TypeError, "%R is not laid out as NativeResource", base);
        return NULL;
    }
    PyObject *bases = PyTuple_Pack(1, base);
    PyObject *type = bases ? PyType_FromSpecWithBases(spec, bases) : NULL;
    Py_XDECREF(bases);
    return type;
}

PyObject *awscrt_cbor_encoder_type(PyObject *native_resource) {
    return derive(&encoder_spec, native_resource);
}

PyObject *awscrt_cbor_decoder_type(PyObject *native_resource) {
    return derive(&decoder_spec, native_resource);
}
