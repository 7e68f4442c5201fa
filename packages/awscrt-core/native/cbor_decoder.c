/*
 * The native half of AwsCborDecoder: elements are peeked and popped here, whole items are cbor_read.c's.
 */
#include "cbor_types.h"

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
        awscrt_cbor_wrong_type("bytes", source);
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
    return awscrt_cbor_none_or_error(status);
}

static PyObject *reset_src_locked(PyObject *self, PyObject *source) {
    return awscrt_cbor_none_or_error(decoder_set_source((decoder *)self, source));
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
    [CRT_CBOR_UNKNOWN] = "unknown",
    [CRT_CBOR_UINT] = "an unsigned int",
    [CRT_CBOR_NEGINT] = "a negative int",
    [CRT_CBOR_FLOAT] = "a float",
    [CRT_CBOR_BYTES] = "bytes",
    [CRT_CBOR_TEXT] = "text",
    [CRT_CBOR_ARRAY] = "an array of known size",
    [CRT_CBOR_MAP] = "a map of known size",
    [CRT_CBOR_TAG] = "a tag",
    [CRT_CBOR_BOOL] = "a bool",
    [CRT_CBOR_NULL] = "null",
    [CRT_CBOR_UNDEFINED] = "undefined",
    [CRT_CBOR_BREAK] = "a break",
    [CRT_CBOR_INDEF_BYTES] = "bytes in chunks",
    [CRT_CBOR_INDEF_TEXT] = "text in chunks",
    [CRT_CBOR_INDEF_ARRAY] = "an array up to a break",
    [CRT_CBOR_INDEF_MAP] = "a map up to a break",
};

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
    return awscrt_cbor_none_or_error(status);
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
    return awscrt_cbor_none_or_error(status);
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
    PyObject *source = Py_XNewRef(d->source); /* whatever runs meanwhile may call reset_src */
    PyObject *item = awscrt_cbor_read(&d->reader);
    Py_XDECREF(source);
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
    return awscrt_cbor_resource_traverse(self, visit, arg);
}

static int decoder_clear(PyObject *self) {
    ((decoder *)self)->reader.on_tag = NULL;
    Py_CLEAR(((decoder *)self)->on_epoch_time);
    return awscrt_cbor_resource_clear(self);
}

static void decoder_dealloc(PyObject *self) {
    awscrt_cbor_resource_begin_dealloc(self);
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

PyObject *awscrt_cbor_decoder_type(PyObject *native_resource) {
    return awscrt_cbor_derive(&decoder_spec, native_resource);
}
