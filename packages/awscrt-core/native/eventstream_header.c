/*
 * awscrt._core._EventStreamHeader: a name with a typed value. awscrt.eventstream.Header is its only subclass; that
 * one gives instances their __dict__ and weak references.
 */
#include "eventstream.h"

typedef struct header_object {
    PyObject_HEAD
    PyObject *name;
    PyObject *value;
    crt_es_type type;
} header_object;

/* Of the one interpreter we serve; set once, when awscrt.eventstream is imported. */
static struct {
    PyTypeObject *header;
    PyObject *types[CRT_ES_TYPES]; /* members of HeaderType */
    PyObject *uuid;                /* uuid.UUID, once one was met */
} known;

static header_object *of(PyObject *self) {
    return (header_object *)self;
}

bool awscrt_es_is_header(PyObject *object) {
    return known.header && (Py_TYPE(object) == known.header || PyType_IsSubtype(Py_TYPE(object), known.header));
}

int awscrt_es_need_types(void) {
    if (!known.header) {
        PyErr_SetString(PyExc_RuntimeError, "import awscrt.eventstream first");
        return -1;
    }
    return 0;
}

/* ---- values ---- */

/* Borrowed; NULL + exception. */
static PyObject *uuid_class(void) {
    if (!known.uuid) {
        PyObject *module = PyImport_ImportModule("uuid");
        known.uuid = module ? PyObject_GetAttrString(module, "UUID") : NULL;
        Py_XDECREF(module);
    }
    return known.uuid;
}

static int bits_of(crt_es_type type) {
    static const uint8_t bits[CRT_ES_TYPES] = {
        [CRT_ES_BYTE] = 8, [CRT_ES_INT16] = 16, [CRT_ES_INT32] = 32, [CRT_ES_INT64] = 64, [CRT_ES_TIMESTAMP] = 64};
    return bits[type];
}

/* int(value), within the range of the type. */
static PyObject *integer_value(crt_es_type type, PyObject *value) {
    PyObject *number = PyLong_CheckExact(value) ? Py_NewRef(value) : PyNumber_Long(value);
    int overflow;
    const int64_t most = INT64_MAX >> (64 - bits_of(type));
    if (!number) {
        return NULL;
    }
    const int64_t n = PyLong_AsLongLongAndOverflow(number, &overflow);
    if (overflow || n > most || n < -most - 1) {
        PyErr_Format(PyExc_ValueError, "the value of %R must be within %lld to %lld, got %R", known.types[type],
                     (long long)(-most - 1), (long long)most, number);
        Py_DECREF(number);
        return NULL;
    }
    return number;
}

static PyObject *uuid_value(PyObject *value) {
    PyObject *type = uuid_class();
    int is_uuid = type ? PyObject_IsInstance(value, type) : -1;
    if (is_uuid > 0) {
        return Py_NewRef(value);
    }
    if (is_uuid == 0) {
        PyErr_Format(PyExc_TypeError, "the value must be a uuid.UUID, got %R", (PyObject *)Py_TYPE(value));
    }
    return NULL;
}

/* What is kept of a value given by the user; for booleans it decides on the type. New reference. */
static PyObject *convert(crt_es_type *type, PyObject *value) {
    int truth;
    switch (*type) {
    case CRT_ES_TRUE:
    case CRT_ES_FALSE:
        truth = PyObject_IsTrue(value);
        *type = truth ? CRT_ES_TRUE : CRT_ES_FALSE;
        return truth < 0 ? NULL : PyBool_FromLong(truth);
    case CRT_ES_BYTE_BUF:
        return Py_NewRef(value);
    case CRT_ES_STRING:
        return PyObject_Str(value);
    case CRT_ES_UUID:
        return uuid_value(value);
    default:
        return integer_value(*type, value);
    }
}

/* ---- making ---- */

/* Steals `value`, borrows `name`. */
static PyObject *alloc(PyTypeObject *class, crt_es_type type, PyObject *name, PyObject *value) {
    PyObject *self = value ? PyType_GenericAlloc(class, 0) : NULL;
    if (!self) {
        Py_XDECREF(value);
        return NULL;
    }
    of(self)->name = Py_NewRef(name);
    of(self)->value = value;
    of(self)->type = type;
    return self;
}

static const char *const ARGUMENTS[] = {"name", "value"};

/* Binds the two arguments of every factory. */
static int bind(PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames, PyObject *out[2]) {
    const Py_ssize_t named = kwnames ? PyTuple_Size(kwnames) : 0;
    if (nargs + named != 2) {
        PyErr_Format(PyExc_TypeError, "expected the arguments name and value, got %zd", nargs + named);
        return -1;
    }
    out[0] = nargs > 0 ? args[0] : NULL;
    out[1] = nargs > 1 ? args[1] : NULL;
    for (Py_ssize_t i = 0; i < named; i++) {
        PyObject *keyword = PyTuple_GetItem(kwnames, i);
        int which = PyUnicode_CompareWithASCIIString(keyword, ARGUMENTS[0]) == 0   ? 0
                    : PyUnicode_CompareWithASCIIString(keyword, ARGUMENTS[1]) == 0 ? 1
                                                                                   : -1;
        if (which < 0 || out[which]) {
            PyErr_Format(PyExc_TypeError, "%s argument %R", which < 0 ? "unexpected" : "repeated", keyword);
            return -1;
        }
        out[which] = args[nargs + i];
    }
    return 0;
}

static PyObject *make(PyObject *class, crt_es_type type, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames) {
    PyObject *given[2];
    if (awscrt_es_need_types() || bind(args, nargs, kwnames, given)) {
        return NULL;
    }
    PyObject *value = convert(&type, given[1]);
    return alloc((PyTypeObject *)class, type, given[0], value);
}

#define FACTORY(function, type)                                                                               \
    static PyObject *function(PyObject *class, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames) {      \
        return make(class, type, args, nargs, kwnames);                                                           \
    }
FACTORY(from_bool, CRT_ES_TRUE)
FACTORY(from_byte, CRT_ES_BYTE)
FACTORY(from_int16, CRT_ES_INT16)
FACTORY(from_int32, CRT_ES_INT32)
FACTORY(from_int64, CRT_ES_INT64)
FACTORY(from_byte_buf, CRT_ES_BYTE_BUF)
FACTORY(from_string, CRT_ES_STRING)
FACTORY(from_timestamp, CRT_ES_TIMESTAMP)
FACTORY(from_uuid, CRT_ES_UUID)
#undef FACTORY

static int header_init_object(PyObject *self, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"name", "value", "header_type", NULL};
    PyObject *name, *value;
    int number;
    if (awscrt_es_need_types() || !PyArg_ParseTupleAndKeywords(args, kwargs, "OOi", names, &name, &value, &number)) {
        return -1;
    }
    if (number < 0 || number >= CRT_ES_TYPES) {
        PyErr_Format(PyExc_ValueError, "%d is no HeaderType", number);
        return -1;
    }
    crt_es_type type = (crt_es_type)number;
    value = convert(&type, value);
    if (!value) {
        return -1;
    }
    PyObject *old_name = of(self)->name, *old_value = of(self)->value;
    of(self)->name = Py_NewRef(name);
    of(self)->value = value;
    of(self)->type = type;
    Py_XDECREF(old_name);
    Py_XDECREF(old_value);
    return 0;
}

/* The method of that name, so that its signature can be asked for. */
static PyObject *header_init_method(PyObject *self, PyObject *args, PyObject *kwargs) {
    if (header_init_object(self, args, kwargs)) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* ---- from and to the wire ---- */

static PyObject *text_of(crt_bytes text) {
    return PyUnicode_DecodeUTF8((const char *)text.ptr, (Py_ssize_t)text.len, NULL);
}

static PyObject *uuid_of(crt_bytes bytes) {
    PyObject *type = uuid_class();
    PyObject *args = type ? PyTuple_New(0) : NULL;
    PyObject *kwargs = args ? Py_BuildValue("{s:y#}", "bytes", (const char *)bytes.ptr, (Py_ssize_t)bytes.len) : NULL;
    PyObject *value = kwargs ? PyObject_Call(type, args, kwargs) : NULL;
    Py_XDECREF(kwargs);
    Py_XDECREF(args);
    return value;
}

static PyObject *value_of(const crt_es_header *header) {
    switch (header->type) {
    case CRT_ES_TRUE:
    case CRT_ES_FALSE:
        return PyBool_FromLong(header->type == CRT_ES_TRUE);
    case CRT_ES_BYTE_BUF:
        return PyBytes_FromStringAndSize((const char *)header->bytes.ptr, (Py_ssize_t)header->bytes.len);
    case CRT_ES_STRING:
        return text_of(header->bytes);
    case CRT_ES_UUID:
        return uuid_of(header->bytes);
    default:
        return PyLong_FromLongLong(header->number);
    }
}

PyObject *awscrt_es_header_new(const crt_es_header *header) {
    PyObject *name = text_of(header->name);
    PyObject *self = name ? alloc(known.header, header->type, name, value_of(header)) : NULL;
    Py_XDECREF(name);
    return self;
}

static int view_of_text(PyObject *text, crt_bytes *out) {
    Py_ssize_t len;
    const char *utf8 = PyUnicode_AsUTF8AndSize(text, &len);
    *out = crt_bytes_of(utf8, utf8 ? (size_t)len : 0);
    return utf8 ? 0 : -1;
}

static int view_of_uuid(PyObject *uuid, Py_buffer *buffer) {
    PyObject *bytes = PyObject_GetAttrString(uuid, "bytes");
    int status = bytes ? PyObject_GetBuffer(bytes, buffer, PyBUF_SIMPLE) : -1;
    Py_XDECREF(bytes);
    if (status == 0 && buffer->len != 16) { /* a subclass may say anything */
        PyErr_SetString(PyExc_ValueError, "uuid.bytes must have 16 bytes");
        return -1;
    }
    return status;
}

static int view_of_name(PyObject *name, crt_bytes *out) {
    if (!PyUnicode_Check(name)) {
        PyErr_Format(PyExc_TypeError, "the name of a header must be a str, got %R", (PyObject *)Py_TYPE(name));
        return -1;
    }
    if (view_of_text(name, out)) {
        return -1;
    }
    if (out->len == 0 || out->len > CRT_ES_NAME_MAX) {
        PyErr_Format(PyExc_ValueError, "the name of a header must have 1 to %d bytes of UTF-8, got %zu",
                     CRT_ES_NAME_MAX, out->len);
        return -1;
    }
    return 0;
}

int awscrt_es_header_view(PyObject *header, crt_es_header *out, Py_buffer *buffer) {
    PyObject *value = of(header)->value;
    int status = 0;
    memset(out, 0, sizeof(*out));
    buffer->obj = NULL;
    if (!value) {
        PyErr_SetString(PyExc_ValueError, "a Header without a value; use its factories, such as Header.from_string()");
        return -1;
    }
    out->type = of(header)->type;
    if (view_of_name(of(header)->name, &out->name)) {
        return -1;
    }
    switch (out->type) {
    case CRT_ES_TRUE:
    case CRT_ES_FALSE:
        return 0;
    case CRT_ES_STRING:
        status = view_of_text(value, &out->bytes);
        if (status == 0 && out->bytes.len > UINT16_MAX) {
            PyErr_Format(PyExc_ValueError, "a STRING header has at most %d bytes of UTF-8, got %zu", CRT_ES_VALUE_MAX,
                         out->bytes.len);
            return -1;
        }
        return status;
    case CRT_ES_BYTE_BUF:
    case CRT_ES_UUID:
        status = out->type == CRT_ES_UUID ? view_of_uuid(value, buffer)
                                          : PyObject_GetBuffer(value, buffer, PyBUF_SIMPLE);
        out->bytes = crt_bytes_of(status ? NULL : buffer->buf, status ? 0 : (size_t)buffer->len);
        return status;
    default:
        out->number = PyLong_AsLongLong(value);
        return out->number == -1 && PyErr_Occurred() ? -1 : 0;
    }
}

/* ---- reading ---- */

static PyObject *or_none(PyObject *object) {
    return Py_NewRef(object ? object : Py_None);
}

static PyObject *get_name(PyObject *self, void *unused) {
    return or_none(of(self)->name);
}

static PyObject *get_value(PyObject *self, void *unused) {
    return or_none(of(self)->value);
}

static PyObject *get_type(PyObject *self, void *unused) {
    return or_none(known.types[of(self)->type]);
}

static PyObject *value_as(PyObject *self, crt_es_type type) {
    crt_es_type have = of(self)->type;
    have = have == CRT_ES_FALSE ? CRT_ES_TRUE : have;
    if (have != type || !of(self)->value) {
        PyErr_Format(PyExc_TypeError, "header %R is a %R, not a %R", of(self)->name, known.types[of(self)->type],
                     known.types[type]);
        return NULL;
    }
    return Py_NewRef(of(self)->value);
}

#define ACCESSOR(function, type)                                                                              \
    static PyObject *function(PyObject *self, PyObject *unused) {                                                 \
        return value_as(self, type);                                                                              \
    }
ACCESSOR(value_as_bool, CRT_ES_TRUE)
ACCESSOR(value_as_byte, CRT_ES_BYTE)
ACCESSOR(value_as_int16, CRT_ES_INT16)
ACCESSOR(value_as_int32, CRT_ES_INT32)
ACCESSOR(value_as_int64, CRT_ES_INT64)
ACCESSOR(value_as_byte_buf, CRT_ES_BYTE_BUF)
ACCESSOR(value_as_string, CRT_ES_STRING)
ACCESSOR(value_as_timestamp, CRT_ES_TIMESTAMP)
ACCESSOR(value_as_uuid, CRT_ES_UUID)
#undef ACCESSOR

static PyObject *header_str(PyObject *self) {
    PyObject *type_name = PyObject_GetAttrString(known.types[of(self)->type], "name");
    PyObject *text =
        type_name ? PyUnicode_FromFormat("%S: %R <%U>", of(self)->name, of(self)->value, type_name) : NULL;
    Py_XDECREF(type_name);
    return text;
}

static PyObject *header_repr(PyObject *self) {
    PyObject *class_name = PyObject_GetAttrString((PyObject *)Py_TYPE(self), "__name__");
    PyObject *text = class_name ? PyUnicode_FromFormat("%U(%R, %R, %R)", class_name, of(self)->name, of(self)->value,
                                                       known.types[of(self)->type])
                                : NULL;
    Py_XDECREF(class_name);
    return text;
}

/* ---- the type ---- */

static int header_traverse(PyObject *self, visitproc visit, void *arg) {
    AWSCRT_VISIT_TYPE(self);
    Py_VISIT(of(self)->name);
    Py_VISIT(of(self)->value);
    return 0;
}

static int header_clear(PyObject *self) {
    Py_CLEAR(of(self)->name);
    Py_CLEAR(of(self)->value);
    return 0;
}

static void header_dealloc(PyObject *self) {
    PyObject_GC_UnTrack(self);
    header_clear(self);
    awscrt_free_instance(self);
}

#define MAKES(name, function, text)                                                                           \
    {                                                                                                             \
        name, (PyCFunction)(void (*)(void))function, METH_FASTCALL | METH_KEYWORDS | METH_CLASS,                  \
            name "($type, name, value)\n--\n\n" text                                                              \
    }
#define READS(name, function)                                                                                 \
    {                                                                                                             \
        name, function, METH_NOARGS, name "($self)\n--\n\nThe value; TypeError when it is of another type."       \
    }

static PyMethodDef header_methods[] = {
    {"__init__", (PyCFunction)(void (*)(void))header_init_method, METH_VARARGS | METH_KEYWORDS | METH_COEXIST,
     "__init__($self, name, value, header_type)\n--\n\nPrivate; use the factories."},
    MAKES("from_bool", from_bool, "BOOL_TRUE or BOOL_FALSE, by the truth of the value."),
    MAKES("from_byte", from_byte, "A signed integer of 8 bits.\n\n:raises ValueError: no number, or out of range"),
    MAKES("from_int16", from_int16, "A signed integer of 16 bits.\n\n:raises ValueError: no number, or out of range"),
    MAKES("from_int32", from_int32, "A signed integer of 32 bits.\n\n:raises ValueError: no number, or out of range"),
    MAKES("from_int64", from_int64, "A signed integer of 64 bits.\n\n:raises ValueError: no number, or out of range"),
    MAKES("from_byte_buf", from_byte_buf, "Up to 32,767 bytes. Checked when it is sent."),
    MAKES("from_string", from_string, "``str(value)``, up to 32,767 bytes of UTF-8. Checked when it is sent."),
    MAKES("from_timestamp", from_timestamp,
          "A point in time, in seconds since 1970 by convention; sent as it is.\n\n"
          ":raises ValueError: no number, or more than 64 bits"),
    MAKES("from_uuid", from_uuid, "A :class:`uuid.UUID`.\n\n:raises TypeError: anything else"),
    READS("value_as_bool", value_as_bool),
    READS("value_as_byte", value_as_byte),
    READS("value_as_int16", value_as_int16),
    READS("value_as_int32", value_as_int32),
    READS("value_as_int64", value_as_int64),
    READS("value_as_byte_buf", value_as_byte_buf),
    READS("value_as_string", value_as_string),
    READS("value_as_timestamp", value_as_timestamp),
    READS("value_as_uuid", value_as_uuid),
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef header_properties[] = {
    {"name", get_name, NULL, "Name, up to 254 bytes of UTF-8.", NULL},
    {"type", get_type, NULL, "The :class:`HeaderType` of the value.", NULL},
    {"value", get_value, NULL, "The value, whatever its type.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot header_slots[] = {
    {Py_tp_init, header_init_object},
    {Py_tp_traverse, header_traverse},
    {Py_tp_clear, header_clear},
    {Py_tp_dealloc, header_dealloc},
    {Py_tp_methods, header_methods},
    {Py_tp_getset, header_properties},
    {Py_tp_str, header_str},
    {Py_tp_repr, header_repr},
    {Py_tp_doc, "Native part of awscrt.eventstream.Header."},
    {0, NULL},
};

static PyType_Spec header_spec = {
    .name = "awscrt._core._EventStreamHeader",
    .basicsize = sizeof(header_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = header_slots,
};

/* (Header, HeaderType): the classes of awscrt.eventstream. */
static PyObject *use_types(PyObject *module, PyObject *args) {
    PyObject *header, *types;
    if (!PyArg_ParseTuple(args, "OO:eventstream_use_types", &header, &types)) {
        return NULL;
    }
    for (int i = 0; i < CRT_ES_TYPES; i++) {
        PyObject *member = PyObject_CallFunction(types, "i", i);
        if (!member) {
            return NULL;
        }
        Py_XDECREF(known.types[i]);
        known.types[i] = member;
    }
    Py_XDECREF((PyObject *)known.header);
    known.header = (PyTypeObject *)Py_NewRef(header);
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"eventstream_use_types", use_types, METH_VARARGS, "(Header, HeaderType)"},
    {NULL, NULL, 0, NULL},
};

int awscrt_es_header_init(PyObject *module) {
    PyObject *type = PyType_FromSpec(&header_spec);
    int status = type ? PyModule_AddObjectRef(module, "_EventStreamHeader", type) : -1;
    Py_XDECREF(type);
    return status ? status : PyModule_AddFunctions(module, functions);
}
