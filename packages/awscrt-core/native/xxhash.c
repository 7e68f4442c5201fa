/*
 * awscrt.checksums.XXHash: one call, and streams.
 */
#include "checksums.h"

#include <uv.h>

/* ---- one call ---- */

/* str has no bytes of its own here: TypeError, from the buffer protocol. */
static PyObject *compute(enum crt_xxh_kind kind, PyObject *const *args, Py_ssize_t count, PyObject *names,
                         const char *function) {
    uint8_t digest[CRT_XXH_MAX];
    PyObject *object, *seed_object;
    uint64_t seed = 0;
    awscrt_input in;
    if (awscrt_parse_input_and_number(args, count, names, function, "seed", &object, &seed_object) ||
        (seed_object && awscrt_parse_u64(seed_object, &seed)) || awscrt_input_open(object, &in)) {
        return NULL;
    }
    if (in.bytes.len > AWSCRT_RELEASE_GIL_ABOVE) {
        Py_BEGIN_ALLOW_THREADS;
        crt_xxh(kind, in.bytes, seed, digest);
        Py_END_ALLOW_THREADS;
    } else {
        crt_xxh(kind, in.bytes, seed, digest);
    }
    awscrt_input_close(&in);
    return PyBytes_FromStringAndSize((const char *)digest, (Py_ssize_t)crt_xxh_size(kind));
}

static inline PyObject *compute_fast(enum crt_xxh_kind kind, Py_ssize_t size, PyObject *const *args, Py_ssize_t count,
                                     PyObject *names, const char *function) {
    crt_bytes data;
    if (count != 1 || names || !awscrt_short_bytes(args[0], &data)) {
        return compute(kind, args, count, names, function);
    }
    uint8_t digest[CRT_XXH_MAX];
    crt_xxh(kind, data, 0, digest);
    return PyBytes_FromStringAndSize((const char *)digest, size);
}

static PyObject *compute_xxhash64(PyObject *module, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    return compute_fast(CRT_XXH64, 8, args, count, names, "compute_xxhash64");
}

static PyObject *compute_xxhash3_64(PyObject *module, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    return compute_fast(CRT_XXH3_64, 8, args, count, names, "compute_xxhash3_64");
}

static PyObject *compute_xxhash3_128(PyObject *module, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    return compute_fast(CRT_XXH3_128, 16, args, count, names, "compute_xxhash3_128");
}

/* ---- streams ---- */

typedef struct xxh_stream {
    PyObject_HEAD
    enum crt_xxh_kind kind;
    crt_xxh_stream *stream;
    uv_mutex_t lock; /* long updates run without the GIL */
} xxh_stream;

/* Never waits with the GIL held: whoever has the lock may be waiting for the GIL. */
static void stream_lock(xxh_stream *self) {
    if (uv_mutex_trylock(&self->lock) == 0) {
        return;
    }
    Py_BEGIN_ALLOW_THREADS;
    uv_mutex_lock(&self->lock);
    Py_END_ALLOW_THREADS;
}

static PyObject *stream_new(PyTypeObject *type, PyObject *args, PyObject *keywords) {
    int kind;
    PyObject *seed_object;
    uint64_t seed;
    if (keywords && PyDict_Size(keywords) > 0) {
        PyErr_SetString(PyExc_TypeError, "XXHashStream() takes no keyword arguments");
        return NULL;
    }
    if (!PyArg_ParseTuple(args, "iO:XXHashStream", &kind, &seed_object) || awscrt_parse_u64(seed_object, &seed)) {
        return NULL;
    }
    if (kind < CRT_XXH64 || kind > CRT_XXH3_128) {
        return PyErr_Format(PyExc_ValueError, "kind must be from 0 to 2, got %d", kind);
    }
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    xxh_stream *self = (xxh_stream *)allocate(type, 0);
    if (!self) {
        return NULL;
    }
    self->kind = (enum crt_xxh_kind)kind;
    if (crt_xxh_stream_new(self->kind, seed, &self->stream) || uv_mutex_init(&self->lock)) {
        crt_xxh_stream_free(self->stream);
        self->stream = NULL;
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    return (PyObject *)self;
}

static void stream_dealloc(PyObject *object) {
    xxh_stream *self = (xxh_stream *)object;
    if (self->stream) { /* the last thing made */
        crt_xxh_stream_free(self->stream);
        uv_mutex_destroy(&self->lock);
    }
    awscrt_free_instance(object);
}

static PyObject *stream_update(PyObject *object, PyObject *data) {
    xxh_stream *self = (xxh_stream *)object;
    awscrt_input in;
    if (awscrt_input_open(data, &in)) {
        return NULL;
    }
    stream_lock(self);
    if (in.bytes.len > AWSCRT_RELEASE_GIL_ABOVE) {
        Py_BEGIN_ALLOW_THREADS;
        crt_xxh_stream_update(self->stream, in.bytes);
        uv_mutex_unlock(&self->lock);
        Py_END_ALLOW_THREADS;
    } else {
        crt_xxh_stream_update(self->stream, in.bytes);
        uv_mutex_unlock(&self->lock);
    }
    awscrt_input_close(&in);
    Py_RETURN_NONE;
}

static PyObject *stream_digest(PyObject *object, PyObject *unused) {
    xxh_stream *self = (xxh_stream *)object;
    uint8_t digest[CRT_XXH_MAX];
    stream_lock(self);
    crt_xxh_stream_digest(self->stream, digest);
    uv_mutex_unlock(&self->lock);
    return PyBytes_FromStringAndSize((const char *)digest, (Py_ssize_t)crt_xxh_size(self->kind));
}

static PyMethodDef stream_methods[] = {
    {"update", stream_update, METH_O, "Takes any C-contiguous buffer."},
    {"digest", stream_digest, METH_NOARGS, "The hash so far, big-endian; updates may follow."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot stream_slots[] = {
    {Py_tp_new, stream_new},
    {Py_tp_dealloc, stream_dealloc},
    {Py_tp_methods, stream_methods},
    {Py_tp_doc, "XXHashStream(kind, seed): kind 0 is XXH64, 1 XXH3-64, 2 XXH3-128."},
    {0, NULL},
};

static PyType_Spec stream_spec = {
    .name = "awscrt._core.XXHashStream",
    .basicsize = sizeof(xxh_stream),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = stream_slots,
};

int awscrt_xxhash_init(PyObject *module) {
    PyObject *type = PyType_FromSpec(&stream_spec);
    int status = type ? PyModule_AddObjectRef(module, "XXHashStream", type) : -1;
    Py_XDECREF(type);
    return status;
}

#define XXH_DOC(name, what)                                                                                   \
    name "(input, seed=0)\n--\n\n" what " of any C-contiguous buffer, as big-endian bytes. Over 5 KiB the GIL is " \
         "released.\n\n:raises OverflowError: the seed is not from 0 to 2**64 - 1"
#define FASTCALL(function) (PyCFunction)(void (*)(void))(function), METH_FASTCALL | METH_KEYWORDS

PyMethodDef awscrt_xxhash_methods[] = {
    {"compute_xxhash64", FASTCALL(compute_xxhash64), XXH_DOC("compute_xxhash64", "XXH64")},
    {"compute_xxhash3_64", FASTCALL(compute_xxhash3_64), XXH_DOC("compute_xxhash3_64", "XXH3-64")},
    {"compute_xxhash3_128", FASTCALL(compute_xxhash3_128), XXH_DOC("compute_xxhash3_128", "XXH3-128")},
    {NULL, NULL, 0, NULL},
};
