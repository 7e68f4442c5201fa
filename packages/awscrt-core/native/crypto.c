/*
 * awscrt.crypto: Hash, HMAC and hashes in one call.
 *
 * The types are what users see: for short inputs a Python method around each call would cost more than the hash.
 */
#include "binding.h"
#include "input.h"

#include <stddef.h>
#include <structmember.h>

#if PY_VERSION_HEX < 0x030C0000 || defined(Py_LIMITED_API)
#define OFFSET_MEMBER(name, type, field) {name, T_PYSSIZET, offsetof(type, field), READONLY, NULL}
#else
#define OFFSET_MEMBER(name, type, field) {name, Py_T_PYSSIZET, offsetof(type, field), Py_READONLY, NULL}
#endif

/* Either kind. Attributes and weak references: subclasses and users of the reference package rely on them. */
typedef struct digest_object {
    PyObject_HEAD
    PyObject *dict;
    PyObject *weak_references;
    bool is_hmac;
    bool busy; /* a thread is in update() without the GIL */
    union {
        crt_hash hash;
        crt_hmac hmac;
    } state;
} digest_object;

/* Of the one interpreter we serve; kept for the life of the process. */
static PyTypeObject *hash_type;
static PyTypeObject *hmac_type;

/* ---- arguments ---- */

/* The one argument, by position or by name; NULL + TypeError. Parsed by hand: that is a good part of the time. */
static PyObject *one_argument(PyObject *const *args, Py_ssize_t count, PyObject *names, const char *function,
                              const char *name) {
    Py_ssize_t keywords = names ? PyTuple_Size(names) : 0;
    if (count + keywords == 1 &&
        (count == 1 || PyUnicode_CompareWithASCIIString(PyTuple_GetItem(names, 0), name) == 0)) {
        return args[0];
    }
    PyErr_Format(PyExc_TypeError, "%s() takes one argument, %s", function, name);
    return NULL;
}

/* What is no data at all is an error of the native call here (AWS_ERROR_INVALID_ARGUMENT), not a TypeError. */
static int open_data(PyObject *object, awscrt_input *in) {
    if (awscrt_input_open_text(object, in) == 0) {
        return 0;
    }
    if (PyErr_ExceptionMatches(PyExc_TypeError)) {
        PyErr_Clear();
        awscrt_raise(AWS_ERROR_INVALID_ARGUMENT, "Data must be str or a contiguous buffer of bytes.");
    }
    return -1;
}

/* ---- update, digest ---- */

static int feed(digest_object *self, crt_bytes data) {
    return self->is_hmac ? crt_hmac_update(&self->state.hmac, data) : crt_hash_update(&self->state.hash, data);
}

static PyObject *raise_busy(void) {
    return awscrt_raise(AWS_ERROR_INVALID_STATE, "Another thread is using the object.");
}

/* Under the object's lock, which free-threaded builds suspend together with the GIL: hence `busy`. */
static int update_locked(digest_object *self, crt_bytes data) {
    int code;
    if (data.len <= AWSCRT_RELEASE_GIL_ABOVE) {
        return feed(self, data);
    }
    self->busy = true;
    Py_BEGIN_ALLOW_THREADS;
    code = feed(self, data);
    Py_END_ALLOW_THREADS;
    self->busy = false;
    return code;
}

static PyObject *update(PyObject *op, PyObject *object) {
    digest_object *self = (digest_object *)op;
    awscrt_input in;
    if (!object || open_data(object, &in)) {
        return NULL;
    }
    bool busy;
    int code = 0;
    AWSCRT_LOCK(self);
    busy = self->busy;
    if (!busy) {
        code = update_locked(self, in.bytes);
    }
    AWSCRT_UNLOCK();
    awscrt_input_close(&in);
    if (busy) {
        return raise_busy();
    }
    return code == 0 ? Py_NewRef(Py_None) : awscrt_raise(code, NULL);
}

static PyObject *digest(PyObject *op, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    digest_object *self = (digest_object *)op;
    uint8_t out[CRT_HASH_MAX];
    Py_ssize_t size = (Py_ssize_t)crt_hash_size(self->is_hmac ? CRT_HASH_SHA256 : self->state.hash.kind);
    if (count > 0 || names) {
        PyObject *length = one_argument(args, count, names, "digest", "truncate_to");
        Py_ssize_t wanted = length ? PyNumber_AsSsize_t(length, NULL) : -1; /* too large ones are cut */
        if (wanted == -1 && PyErr_Occurred()) {
            return NULL;
        }
        size = wanted > 0 && wanted < size ? wanted : size;
    }
    bool busy;
    int code = 0;
    AWSCRT_LOCK(self);
    busy = self->busy;
    if (!busy) {
        code = self->is_hmac ? crt_hmac_digest(&self->state.hmac, out) : crt_hash_digest(&self->state.hash, out);
    }
    AWSCRT_UNLOCK();
    if (busy) {
        return raise_busy();
    }
    return code == 0 ? PyBytes_FromStringAndSize((const char *)out, size) : awscrt_raise(code, NULL);
}

static PyObject *hash_update(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    return update(self, one_argument(args, count, names, "update", "to_hash"));
}

static PyObject *hmac_update(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    return update(self, one_argument(args, count, names, "update", "to_hmac"));
}

/* ---- making them ---- */

static PyObject *new_hash(enum crt_hash_kind kind) {
    digest_object *self = (digest_object *)PyType_GenericAlloc(hash_type, 0);
    if (!self) {
        return NULL;
    }
    int code = crt_hash_init(&self->state.hash, kind);
    if (code == 0) {
        return (PyObject *)self;
    }
    Py_DECREF(self);
    return awscrt_raise(code, NULL);
}

static PyObject *md5_new(PyObject *unused, PyObject *none) {
    return new_hash(CRT_HASH_MD5);
}

static PyObject *sha1_new(PyObject *unused, PyObject *none) {
    return new_hash(CRT_HASH_SHA1);
}

static PyObject *sha256_new(PyObject *unused, PyObject *none) {
    return new_hash(CRT_HASH_SHA256);
}

static PyObject *sha256_hmac_new(PyObject *unused, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    PyObject *key = one_argument(args, count, names, "sha256_hmac_new", "secret_key");
    awscrt_input in;
    if (!key || open_data(key, &in)) {
        return NULL;
    }
    digest_object *self = (digest_object *)PyType_GenericAlloc(hmac_type, 0);
    int code = 0;
    if (self) {
        self->is_hmac = true;
        code = crt_hmac_init(&self->state.hmac, in.bytes);
    }
    awscrt_input_close(&in);
    if (code != 0) {
        Py_CLEAR(self);
        return awscrt_raise(code, NULL);
    }
    return (PyObject *)self;
}

/* The constructor of the reference takes a native handle, which nobody outside has. */
static PyObject *digest_no_constructor(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    PyErr_Format(PyExc_RuntimeError, "%R is made by its static methods, such as %s()", (PyObject *)type,
                 hmac_type && PyType_IsSubtype(type, hmac_type) ? "sha256_hmac_new" : "sha256_new");
    return NULL;
}

/* ---- lifetime ---- */

static int digest_traverse(PyObject *op, visitproc visit, void *arg) {
    AWSCRT_VISIT_TYPE(op);
    Py_VISIT(((digest_object *)op)->dict);
    return 0;
}

static int digest_clear(PyObject *op) {
    Py_CLEAR(((digest_object *)op)->dict);
    return 0;
}

static void digest_dealloc(PyObject *op) {
    digest_object *self = (digest_object *)op;
    PyObject_GC_UnTrack(op);
    if (self->weak_references) {
        PyObject_ClearWeakRefs(op);
    }
    Py_CLEAR(self->dict);
    if (self->is_hmac) {
        crt_hmac_wipe(&self->state.hmac);
    }
    awscrt_free_instance(op);
}

/* ---- the types ---- */

#define KEYWORDS(function) (PyCFunction)(void (*)(void))function, METH_FASTCALL | METH_KEYWORDS

#define DIGEST_DOC                                                                                                 \
    "digest($self, /, truncate_to=0)\n--\n\n"                                                                      \
    "The digest, cut to its first ``truncate_to`` bytes if that is positive and shorter. Ends the computation.\n\n"\
    ":raises RuntimeError: called before (AWS_ERROR_INVALID_STATE)"

#define UPDATE_DOC(name)                                                                                           \
    "update($self, /, " name ")\n--\n\n"                                                                           \
    "Add data: a str (as UTF-8) or any contiguous buffer. More than 5 KiB are worked on without the GIL.\n\n"      \
    ":raises RuntimeError: no such data (AWS_ERROR_INVALID_ARGUMENT); after digest(), or while another thread uses\n"\
    "    the object (AWS_ERROR_INVALID_STATE)"

static PyMethodDef hash_methods[] = {
    {"md5_new", md5_new, METH_NOARGS | METH_STATIC, "md5_new()\n--\n\nMD5 (RFC 1321), 16 bytes."},
    {"sha1_new", sha1_new, METH_NOARGS | METH_STATIC, "sha1_new()\n--\n\nSHA-1 (FIPS 180-4), 20 bytes."},
    {"sha256_new", sha256_new, METH_NOARGS | METH_STATIC, "sha256_new()\n--\n\nSHA-256 (FIPS 180-4), 32 bytes."},
    {"update", KEYWORDS(hash_update), UPDATE_DOC("to_hash")},
    {"digest", KEYWORDS(digest), DIGEST_DOC},
    {NULL, NULL, 0, NULL},
};

static PyMethodDef hmac_methods[] = {
    {"sha256_hmac_new", (PyCFunction)(void (*)(void))sha256_hmac_new, METH_FASTCALL | METH_KEYWORDS | METH_STATIC,
     "sha256_hmac_new(secret_key)\n--\n\nHMAC-SHA256 (RFC 2104), 32 bytes. The key is a str (as UTF-8) or any\n"
     "contiguous buffer, of any length."},
    {"update", KEYWORDS(hmac_update), UPDATE_DOC("to_hmac")},
    {"digest", KEYWORDS(digest), DIGEST_DOC},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef digest_members[] = {
    OFFSET_MEMBER("__dictoffset__", digest_object, dict),
    OFFSET_MEMBER("__weaklistoffset__", digest_object, weak_references),
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef digest_getset[] = {
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

#define DIGEST_SLOTS(methods, doc)                                                                                 \
    {                                                                                                              \
        {Py_tp_new, digest_no_constructor}, {Py_tp_traverse, digest_traverse}, {Py_tp_clear, digest_clear},        \
            {Py_tp_dealloc, digest_dealloc}, {Py_tp_members, digest_members}, {Py_tp_getset, digest_getset},       \
            {Py_tp_methods, methods}, {Py_tp_doc, doc}, {0, NULL},                                                 \
    }

static PyType_Slot hash_slots[] = DIGEST_SLOTS(
    hash_methods, "Hash(native_handle)\n--\n\nA hash of data that comes in pieces. Not for several threads at once.");
static PyType_Slot hmac_slots[] = DIGEST_SLOTS(
    hmac_methods, "HMAC(native_handle)\n--\n\nAn authentication code of data that comes in pieces. Not for several\n"
                  "threads at once.");

#define DIGEST_SPEC(name_, slots_)                                                                                 \
    {                                                                                                              \
        .name = name_, .basicsize = sizeof(digest_object),                                                         \
        .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC, .slots = slots_,                   \
    }

static PyType_Spec hash_spec = DIGEST_SPEC("awscrt.crypto.Hash", hash_slots);
static PyType_Spec hmac_spec = DIGEST_SPEC("awscrt.crypto.HMAC", hmac_slots);

static PyTypeObject *add_type(PyObject *module, PyType_Spec *spec, const char *name) {
    PyTypeObject *type = (PyTypeObject *)PyType_FromSpec(spec);
    if (!type) {
        return NULL;
    }
#if PY_VERSION_HEX < 0x03090000
    /* PyType_FromSpec takes the offsets from the members since 3.9. */
    type->tp_dictoffset = offsetof(digest_object, dict);
    type->tp_weaklistoffset = offsetof(digest_object, weak_references);
#endif
    if (PyModule_AddObjectRef(module, name, (PyObject *)type)) {
        Py_DECREF(type);
        return NULL;
    }
    return type; /* the reference that the static variable keeps */
}

int awscrt_crypto_init(PyObject *module) {
    hash_type = add_type(module, &hash_spec, "Hash");
    hmac_type = hash_type ? add_type(module, &hmac_spec, "HMAC") : NULL;
    return hmac_type ? 0 : -1;
}

/* ---- in one call ---- */

static int hash_now(enum crt_hash_kind kind, crt_bytes data, uint8_t *out) {
    int code;
    if (data.len <= AWSCRT_RELEASE_GIL_ABOVE) {
        return crt_hash_of(kind, data, out);
    }
    Py_BEGIN_ALLOW_THREADS;
    code = crt_hash_of(kind, data, out);
    Py_END_ALLOW_THREADS;
    return code;
}

static PyObject *one_shot(enum crt_hash_kind kind, PyObject *object) {
    uint8_t out[CRT_HASH_MAX];
    awscrt_input in;
    if (!object || open_data(object, &in)) {
        return NULL;
    }
    int code = hash_now(kind, in.bytes, out);
    awscrt_input_close(&in);
    return code == 0 ? PyBytes_FromStringAndSize((const char *)out, (Py_ssize_t)crt_hash_size(kind))
                     : awscrt_raise(code, NULL);
}

static PyObject *md5(PyObject *module, PyObject *data) {
    return one_shot(CRT_HASH_MD5, data);
}

static PyObject *sha1(PyObject *module, PyObject *data) {
    return one_shot(CRT_HASH_SHA1, data);
}

static PyObject *sha256(PyObject *module, PyObject *data) {
    return one_shot(CRT_HASH_SHA256, data);
}

static int hmac_now(crt_bytes key, crt_bytes data, uint8_t out[32]) {
    int code;
    if (data.len <= AWSCRT_RELEASE_GIL_ABOVE) {
        return crt_hmac_sha256(key, data, out);
    }
    Py_BEGIN_ALLOW_THREADS;
    code = crt_hmac_sha256(key, data, out);
    Py_END_ALLOW_THREADS;
    return code;
}

static PyObject *hmac_sha256(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    uint8_t out[32];
    awscrt_input key, data;
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "hmac_sha256() takes two arguments, secret_key and data");
        return NULL;
    }
    if (open_data(args[0], &key)) {
        return NULL;
    }
    if (open_data(args[1], &data)) {
        awscrt_input_close(&key);
        return NULL;
    }
    int code = hmac_now(key.bytes, data.bytes, out);
    awscrt_input_close(&key);
    awscrt_input_close(&data);
    return code == 0 ? PyBytes_FromStringAndSize((const char *)out, sizeof(out)) : awscrt_raise(code, NULL);
}

#define ONE_SHOT_DOC(name, what)                                                                                   \
    name "($module, data, /)\n--\n\n" what " of a str (as UTF-8) or any contiguous buffer."

PyMethodDef awscrt_crypto_methods[] = {
    {"md5", md5, METH_O, ONE_SHOT_DOC("md5", "MD5")},
    {"sha1", sha1, METH_O, ONE_SHOT_DOC("sha1", "SHA-1")},
    {"sha256", sha256, METH_O, ONE_SHOT_DOC("sha256", "SHA-256")},
    {"hmac_sha256", (PyCFunction)(void (*)(void))hmac_sha256, METH_FASTCALL,
     "hmac_sha256($module, secret_key, data, /)\n--\n\nHMAC-SHA256; both are str (as UTF-8) or contiguous buffers."},
    {NULL, NULL, 0, NULL},
};
