/*
 * Python objects to CBOR. Containers wait on a stack of our own, not on C's: depth costs memory only.
 *
 * Encoding may run Python code (time zones, items() of a dict's subclass, another thread where there is no GIL), so
 * whatever is used across items is owned.
 */
#include "cbor.h"

enum { FAILED = -1, WRITTEN = 0, OPENED = 1 };

enum frame_kind { LIST, TUPLE, DICT };

typedef struct frame {
    PyObject *object;  /* the container the caller gave; known by its identity */
    PyObject *entries; /* what is walked: `object`, or the list of a mapping's items */
    PyObject *value;   /* DICT: of the key that was written last, when that was a container itself */
    Py_ssize_t position;
    Py_ssize_t count;  /* entries the head claims */
    Py_ssize_t walked; /* DICT: entries so far */
    enum frame_kind kind;
    bool pairs; /* the entries are tuples (key, value), written without heads of their own */
} frame;

enum { INLINE_FRAMES = 16 };

typedef struct writer {
    crt_buf *out;
    enum awscrt_cbor_rules rules;
    const awscrt_cbor_limits *limits;
    frame *stack;
    size_t depth, capacity;
    size_t end; /* the output may reach this far */
    awscrt_cbor_time time;
    frame inline_stack[INLINE_FRAMES];
} writer;

/* ---- elements ---- */

static inline uint8_t *room(crt_buf *out, size_t n) {
    if (out->cap - out->end < n && crt_buf_reserve(out, n)) {
        PyErr_NoMemory();
        return NULL;
    }
    return out->ptr + out->end;
}

static inline int put_head(crt_buf *out, unsigned major, uint64_t value) {
    uint8_t *at = room(out, CRT_CBOR_HEAD_MAX);
    if (!at) {
        return FAILED;
    }
    out->end += crt_cbor_put_head(at, major, value);
    return WRITTEN;
}

static inline int put_byte(crt_buf *out, uint8_t byte) {
    uint8_t *at = room(out, 1);
    if (!at) {
        return FAILED;
    }
    *at = byte;
    out->end++;
    return WRITTEN;
}

static inline int put_string(crt_buf *out, unsigned major, const void *data, size_t len) {
    uint8_t *at = room(out, CRT_CBOR_HEAD_MAX + len);
    if (!at) {
        return FAILED;
    }
    size_t head = crt_cbor_put_head(at, major, len);
    memcpy(at + head, data, len);
    out->end += head + len;
    return WRITTEN;
}

static inline int put_text(crt_buf *out, PyObject *text) {
    Py_ssize_t size;
    const char *utf8 = PyUnicode_AsUTF8AndSize(text, &size);
    if (utf8) {
        return put_string(out, CRT_CBOR_MAJOR_TEXT, utf8, (size_t)size);
    }
    if (PyErr_ExceptionMatches(PyExc_UnicodeError)) {
        PyErr_Clear();
        PyErr_Format(PyExc_TypeError, "str %R has no UTF-8 form: it holds lone surrogates", text);
    }
    return FAILED;
}

static int put_bytes(crt_buf *out, PyObject *bytes) {
    char *data;
    Py_ssize_t size;
    return PyBytes_AsStringAndSize(bytes, &data, &size) ? FAILED
                                                        : put_string(out, CRT_CBOR_MAJOR_BYTES, data, (size_t)size);
}

/* Beyond 63 bits. 1: written, 0: beyond 64, -1. */
static int put_long_int(crt_buf *out, PyObject *number, bool negative) {
    PyObject *magnitude = negative ? PyNumber_Invert(number) : Py_NewRef(number);
    if (!magnitude) {
        return -1;
    }
    uint64_t value = PyLong_AsUnsignedLongLong(magnitude);
    Py_DECREF(magnitude);
    if (value == UINT64_MAX && PyErr_Occurred()) {
        if (!PyErr_ExceptionMatches(PyExc_OverflowError)) {
            return -1;
        }
        PyErr_Clear();
        return 0;
    }
    return put_head(out, negative ? CRT_CBOR_MAJOR_NEGINT : CRT_CBOR_MAJOR_UINT, value) ? -1 : 1;
}

int awscrt_cbor_write_int(crt_buf *out, PyObject *number) {
    int overflow;
    long long value = PyLong_AsLongLongAndOverflow(number, &overflow);
    if (overflow) {
        return put_long_int(out, number, overflow < 0);
    }
    if (value >= 0) {
        return put_head(out, CRT_CBOR_MAJOR_UINT, (uint64_t)value) ? -1 : 1;
    }
    if (value == -1 && PyErr_Occurred()) {
        return -1;
    }
    return put_head(out, CRT_CBOR_MAJOR_NEGINT, (uint64_t)(-1 - value)) ? -1 : 1;
}

int awscrt_cbor_write_head(crt_buf *out, unsigned major, uint64_t value) {
    return put_head(out, major, value);
}

int awscrt_cbor_write_string(crt_buf *out, unsigned major, const void *data, size_t len) {
    return put_string(out, major, data, len);
}

int awscrt_cbor_write_text(crt_buf *out, PyObject *text) {
    return put_text(out, text);
}

/* ---- scalars ---- */

/* RFC 8949, 3.4.3: tag 2 holds n, tag 3 holds -1-n, big-endian. */
static int put_bignum(writer *w, PyObject *number) {
    PyObject *zero = PyLong_FromLong(0);
    int negative = zero ? PyObject_RichCompareBool(number, zero, Py_LT) : -1;
    Py_XDECREF(zero);
    /* Bound to int: a subclass may have methods of its own with these names. */
    PyObject *magnitude = negative < 0 ? NULL : negative ? PyNumber_Invert(number) : PyNumber_Index(number);
    PyObject *bits = magnitude ? PyObject_CallMethod((PyObject *)&PyLong_Type, "bit_length", "O", magnitude) : NULL;
    Py_ssize_t size = bits ? (PyLong_AsSsize_t(bits) + 7) / 8 : 0;
    PyObject *bytes =
        bits ? PyObject_CallMethod((PyObject *)&PyLong_Type, "to_bytes", "Ons", magnitude, size, "big") : NULL;
    int status = bytes ? put_head(w->out, CRT_CBOR_MAJOR_TAG, negative ? 3 : 2) : FAILED;
    if (!status) {
        status = put_bytes(w->out, bytes);
    }
    Py_XDECREF(bytes);
    Py_XDECREF(bits);
    Py_XDECREF(magnitude);
    return status;
}

static int put_int(writer *w, PyObject *number) {
    int written = awscrt_cbor_write_int(w->out, number);
    if (written) {
        return written < 0 ? FAILED : WRITTEN;
    }
    if (w->rules == AWSCRT_CBOR_WHOLE) {
        return put_bignum(w, number);
    }
    PyErr_SetString(PyExc_OverflowError, "an integer of a CBOR item must be from -2**64 to 2**64 - 1");
    return FAILED;
}

static int put_float(writer *w, PyObject *number) {
    uint8_t *at = room(w->out, CRT_CBOR_HEAD_MAX);
    if (!at) {
        return FAILED;
    }
    double value = PyFloat_AsDouble(number);
    w->out->end += w->rules == AWSCRT_CBOR_WHOLE ? crt_cbor_put_float(at, value) : crt_cbor_put_number(at, value);
    return WRITTEN;
}

/* bytearray, memoryview of any shape: the bytes in C order. */
static int put_buffer(writer *w, PyObject *object) {
    Py_buffer buffer;
    if (PyObject_GetBuffer(object, &buffer, PyBUF_FULL_RO)) {
        return FAILED;
    }
    int status = FAILED;
    size_t len = (size_t)buffer.len;
    uint8_t *at = room(w->out, CRT_CBOR_HEAD_MAX + len);
    if (at) {
        size_t head = crt_cbor_put_head(at, CRT_CBOR_MAJOR_BYTES, len);
        status = PyBuffer_ToContiguous(at + head, &buffer, buffer.len, 'C');
        w->out->end += status ? 0 : head + len;
    }
    PyBuffer_Release(&buffer);
    return status;
}

static int put_datetime(writer *w, PyObject *object) {
    unsigned tag;
    PyObject *content = awscrt_cbor_from_datetime(&w->time, object, &tag);
    int status = content ? put_head(w->out, CRT_CBOR_MAJOR_TAG, tag) : FAILED;
    if (!status) {
        status = PyUnicode_Check(content)  ? put_text(w->out, content)
                 : PyFloat_Check(content) ? put_float(w, content)
                                          : put_int(w, content);
    }
    Py_XDECREF(content);
    return status;
}

/* ---- containers ---- */

static int grow_stack(writer *w) {
    size_t size = w->capacity * sizeof(frame);
    frame *stack = crt_malloc(2 * size);
    if (!stack) {
        PyErr_NoMemory();
        return FAILED;
    }
    memcpy(stack, w->stack, size);
    if (w->stack != w->inline_stack) {
        crt_free(w->stack);
    }
    w->stack = stack;
    w->capacity *= 2;
    return 0;
}

/*
 * Is the container among those it is in? A path that comes back to itself is periodic. Comparing with the level
 * that is the last power of two finds any period in the end (Brent), at one comparison per level.
 */
static bool is_cycle(const writer *w, PyObject *object) {
    if (w->depth == 0) {
        return false;
    }
    size_t level = 1;
    while (level * 2 < w->depth) {
        level *= 2;
    }
    return w->stack[level == w->depth ? level - 1 : level].object == object || w->stack[0].object == object;
}

static bool fits(writer *w, PyObject *object, Py_ssize_t count) {
    if (is_cycle(w, object)) {
        PyErr_Format(PyExc_RecursionError, "a %s contains itself", Py_TYPE(object) == &PyDict_Type ? "dict" : "list");
        return false;
    }
    if (w->depth + 1 + (count > 0) > w->limits->depth) {
        PyErr_Format(PyExc_RecursionError, "the containers nest deeper than %zu levels", w->limits->depth);
        return false;
    }
    return w->depth < w->capacity || !grow_stack(w);
}

/* Writes the head; the items follow from the stack. `entries` NULL: those of `object` itself. */
static int open_container(writer *w, PyObject *object, PyObject *entries, enum frame_kind kind, Py_ssize_t count,
                          bool pairs) {
    unsigned major = pairs || kind == DICT ? CRT_CBOR_MAJOR_MAP : CRT_CBOR_MAJOR_ARRAY;
    if (count < 0 || !fits(w, object, count) || put_head(w->out, major, (uint64_t)count)) {
        return FAILED;
    }
    frame *f = &w->stack[w->depth++];
    *f = (frame){.object = Py_NewRef(object),
                 .entries = Py_NewRef(entries ? entries : object),
                 .count = count,
                 .kind = kind,
                 .pairs = pairs};
    return OPENED;
}

static void close_container(writer *w) {
    frame *f = &w->stack[--w->depth];
    Py_XDECREF(f->value);
    Py_DECREF(f->entries);
    Py_DECREF(f->object);
}

/* A subclass of dict has an order of its own (OrderedDict) and perhaps other items: it is asked for them. */
static int open_mapping(writer *w, PyObject *object) {
    PyObject *items = PyMapping_Items(object);
    if (!items) {
        return FAILED;
    }
    int status = open_container(w, object, items, LIST, PyList_Size(items), true);
    Py_DECREF(items);
    return status;
}

/* ---- one object ---- */

static int unsupported(writer *w, PyObject *object) {
    if (w->rules == AWSCRT_CBOR_WHOLE) {
        PyErr_Format(PyExc_TypeError, "%R has no CBOR form: %R", (PyObject *)Py_TYPE(object), object);
    } else {
        PyErr_Format(PyExc_ValueError, "Not supported type %R", (PyObject *)Py_TYPE(object));
    }
    return FAILED;
}

static int put_whole_only(writer *w, PyObject *object) {
    if (PyTuple_Check(object)) {
        return open_container(w, object, NULL, TUPLE, PyTuple_Size(object), false);
    }
    if (PyLong_Check(object)) {
        return put_int(w, object);
    }
    if (PyFloat_Check(object)) {
        return put_float(w, object);
    }
    if (PyBytes_Check(object)) {
        return put_bytes(w->out, object);
    }
    if (PyByteArray_Check(object) || PyMemoryView_Check(object)) {
        return put_buffer(w, object);
    }
    int is_datetime = awscrt_cbor_is_datetime(&w->time, object);
    if (is_datetime) {
        return is_datetime < 0 ? FAILED : put_datetime(w, object);
    }
    return unsupported(w, object);
}

static int put_any(writer *w, PyObject *object) {
    PyTypeObject *type = Py_TYPE(object);
    if (type == &PyUnicode_Type) {
        return put_text(w->out, object);
    }
    if (type == &PyLong_Type) {
        return put_int(w, object);
    }
    if (type == &PyDict_Type) {
        return open_container(w, object, NULL, DICT, PyDict_Size(object), false);
    }
    if (type == &PyList_Type) {
        return open_container(w, object, NULL, LIST, PyList_Size(object), false);
    }
    if (type == &PyFloat_Type) {
        return put_float(w, object);
    }
    if (object == Py_None) {
        return put_byte(w->out, CRT_CBOR_BYTE_NULL);
    }
    if (type == &PyBool_Type) {
        return put_byte(w->out, object == Py_True ? CRT_CBOR_BYTE_TRUE : CRT_CBOR_BYTE_FALSE);
    }
    if (type == &PyBytes_Type) {
        return put_bytes(w->out, object);
    }
    if (PyUnicode_Check(object)) {
        return put_text(w->out, object);
    }
    if (PyList_Check(object)) {
        return open_container(w, object, NULL, LIST, PyList_Size(object), false);
    }
    if (PyDict_Check(object)) {
        return open_mapping(w, object);
    }
    return w->rules == AWSCRT_CBOR_WHOLE ? put_whole_only(w, object) : unsupported(w, object);
}

/* WRITTEN, FAILED, or OPENED: its items are on top of the stack now. */
static inline int put(writer *w, PyObject *object) {
    int status = put_any(w, object);
    if (w->out->end > w->end && status != FAILED) {
        PyErr_Format(PyExc_ValueError, "the CBOR form is longer than %zu bytes", w->limits->size);
        return FAILED;
    }
    return status;
}

/* ---- the items of the innermost container ---- */

static int changed(const frame *f) {
    PyErr_Format(PyExc_RuntimeError, "a %s changed its size while it was encoded", f->kind == DICT ? "dict" : "list");
    return FAILED;
}

/* New reference, NULL when there is none any more. */
static PyObject *item_at(const frame *f) {
    if (f->kind == TUPLE) {
        return Py_NewRef(PyTuple_GetItem(f->entries, f->position));
    }
#if defined(Py_GIL_DISABLED)
    PyObject *item = PyList_GetItemRef(f->entries, f->position);
#else
    PyObject *item = Py_XNewRef(PyList_GetItem(f->entries, f->position));
#endif
    if (!item) {
        PyErr_Clear();
    }
    return item;
}

static int put_sequence(writer *w, frame *f) {
    while (f->position < f->count) {
        PyObject *item = item_at(f);
        if (!item) {
            return changed(f);
        }
        f->position++;
        int status = put(w, item);
        Py_DECREF(item);
        if (status) {
            return status;
        }
    }
    return f->kind == LIST && PyList_Size(f->entries) != f->count ? changed(f) : WRITTEN;
}

/* New references; false at the end. */
static bool next_entry(frame *f, PyObject **key, PyObject **value) {
    int found;
    AWSCRT_LOCK(f->entries);
    found = PyDict_Next(f->entries, &f->position, key, value);
    if (found) {
        Py_INCREF(*key);
        Py_INCREF(*value);
    }
    AWSCRT_UNLOCK();
    return found;
}

/* items() may give anything. */
static bool next_pair(frame *f, PyObject **key, PyObject **value) {
    if (f->position >= f->count) {
        return false;
    }
    PyObject *pair = item_at(f);
    if (!pair) {
        changed(f);
        return false;
    }
    f->position++;
    bool good = PyTuple_Check(pair) && PyTuple_Size(pair) == 2;
    if (good) {
        *key = Py_NewRef(PyTuple_GetItem(pair, 0));
        *value = Py_NewRef(PyTuple_GetItem(pair, 1));
    } else {
        PyErr_Format(PyExc_TypeError, "items() of %R must give pairs", (PyObject *)Py_TYPE(f->object));
    }
    Py_DECREF(pair);
    return good;
}

/* `value` is stolen. */
static int put_value(writer *w, PyObject *value) {
    int status = put(w, value);
    Py_DECREF(value);
    return status;
}

static int put_mapping(writer *w, frame *f) {
    PyObject *key, *value;
    if (f->value) {
        value = f->value;
        f->value = NULL;
        int status = put_value(w, value);
        if (status) {
            return status;
        }
    }
    while (f->pairs ? next_pair(f, &key, &value) : next_entry(f, &key, &value)) {
        f->walked++;
        int status = f->walked > f->count ? FAILED : put(w, key);
        Py_DECREF(key);
        if (status == OPENED) {
            w->stack[w->depth - 2].value = value; /* the stack may have moved */
            return OPENED;
        }
        if (status) {
            Py_DECREF(value);
            return f->walked > f->count ? changed(f) : FAILED;
        }
        status = put_value(w, value);
        if (status) {
            return status;
        }
    }
    if (PyErr_Occurred()) {
        return FAILED;
    }
    return f->walked != f->count ? changed(f) : WRITTEN;
}

int awscrt_cbor_write(crt_buf *out, PyObject *object, enum awscrt_cbor_rules rules, const awscrt_cbor_limits *limits) {
    writer w;
    w.out = out;
    w.rules = rules;
    w.limits = limits;
    w.stack = w.inline_stack;
    w.depth = 0;
    w.capacity = INLINE_FRAMES;
    memset(&w.time, 0, sizeof(w.time));
    w.end = limits->size < SIZE_MAX - out->end ? out->end + limits->size : SIZE_MAX;
    int status = put(&w, object);
    while (w.depth && status != FAILED) {
        frame *f = &w.stack[w.depth - 1];
        status = f->kind == DICT || f->pairs ? put_mapping(&w, f) : put_sequence(&w, f);
        if (status == WRITTEN) {
            close_container(&w);
        }
    }
    while (w.depth) {
        close_container(&w);
    }
    if (w.stack != w.inline_stack) {
        crt_free(w.stack);
    }
    awscrt_cbor_time_clear(&w.time);
    return status == FAILED ? -1 : 0;
}
