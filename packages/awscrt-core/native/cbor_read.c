/*
 * CBOR to Python objects. Open containers wait on a stack of our own: depth costs memory, and is limited by the
 * reader, not by C's stack.
 */
#include "cbor.h"

#define UNTIL_BREAK UINT64_MAX

enum frame_kind { LIST, MAP, TAG };

typedef struct frame {
    PyObject *container; /* list, dict; NULL: a tag */
    PyObject *key;       /* MAP: read, its value follows */
    uint64_t left;       /* entries to come, or UNTIL_BREAK. TAG: its number */
    Py_ssize_t position; /* LIST: where the next item goes; NOT_PRESET: to the end */
    const uint8_t *at;   /* where the head was; never read */
    enum frame_kind kind;
    bool in_key; /* WHOLE: part of a map's key; an array becomes a tuple, to be hashable */
} frame;

enum { NOT_PRESET = -1, INLINE_FRAMES = 16 };

typedef struct stack {
    frame *frames;
    size_t depth, capacity;
    frame inline_frames[INLINE_FRAMES];
} stack;

/* What a head turned out to be. */
enum outcome { FAILED = -1, VALUE, OPENED, BREAK };

/* ---- failures ---- */

static bool is_whole(const awscrt_cbor_reader *r) {
    return r->rules == AWSCRT_CBOR_WHOLE;
}

void awscrt_cbor_fail(awscrt_cbor_reader *r, int code, const uint8_t *at, const char *what) {
    size_t offset = (size_t)(at - r->begin);
    if (is_whole(r)) {
        PyErr_Format(PyExc_ValueError, "invalid CBOR at byte %zu: %s", offset, what);
        return;
    }
    if (code == AWS_ERROR_SHORT_BUFFER) {
        code = AWS_ERROR_INVALID_CBOR;
    }
    if (code == AWS_ERROR_CBOR_UNEXPECTED_TYPE) {
        r->unexpected = true;
    } else {
        r->failed = code;
    }
    char detail[128];
    PyOS_snprintf(detail, sizeof(detail), "(byte %zu: %s)", offset, what);
    awscrt_raise(code, detail);
}

static enum outcome fail(awscrt_cbor_reader *r, int code, const uint8_t *at, const char *what) {
    awscrt_cbor_fail(r, code, at, what);
    return FAILED;
}

static enum outcome fail_element(awscrt_cbor_reader *r, int code, const uint8_t *at) {
    return fail(r, code, at, code == AWS_ERROR_SHORT_BUFFER ? "the data ends here" : "a reserved head");
}

static enum outcome unexpected(awscrt_cbor_reader *r, const uint8_t *at, const char *what) {
    r->rest = crt_bytes_of(at, (size_t)(r->rest.ptr + r->rest.len - at));
    return fail(r, AWS_ERROR_CBOR_UNEXPECTED_TYPE, at, what);
}

/* WHOLE: a TypeError, ValueError or OverflowError of Python's own becomes ours, with the place; the cause is kept. */
static void explain(awscrt_cbor_reader *r, const uint8_t *at) {
    if (!is_whole(r) || !(PyErr_ExceptionMatches(PyExc_ValueError) || PyErr_ExceptionMatches(PyExc_TypeError) ||
                          PyErr_ExceptionMatches(PyExc_OverflowError))) {
        return;
    }
    PyObject *cause = awscrt_exception_take();
    PyErr_Format(PyExc_ValueError, "invalid CBOR at byte %zu: %S", (size_t)(at - r->begin), cause);
    PyObject *exception = awscrt_exception_take();
    PyException_SetCause(exception, cause); /* steals it */
    awscrt_exception_put(exception);
}

/* ---- keys ---- */

#if defined(Py_GIL_DISABLED)

static PyObject *key_of(const uint8_t *utf8, size_t len) {
    return PyUnicode_DecodeUTF8((const char *)utf8, (Py_ssize_t)len, NULL);
}

#else

/*
 * The keys of maps repeat. Finding a short one here is cheaper than decoding it, and its hash is known. The GIL
 * guards the table; what it holds is bounded and lives as long as the process.
 */
enum { CACHE_SIZE = 512, CACHED_KEY_MAX = 31 };

typedef struct cached_key {
    PyObject *text;
    uint8_t len;
    uint8_t utf8[CACHED_KEY_MAX];
} cached_key;

static cached_key key_cache[CACHE_SIZE];

static size_t slot_of(const uint8_t *utf8, size_t len) {
    uint64_t hash = len;
    for (; len >= 8; utf8 += 8, len -= 8) {
        uint64_t word;
        memcpy(&word, utf8, sizeof(word));
        hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
        hash ^= hash >> 32;
    }
    uint64_t tail = 0;
    for (size_t i = 0; i < len; i++) {
        tail = tail << 8 | utf8[i];
    }
    hash = (hash ^ tail) * 0x9e3779b97f4a7c15u;
    return (hash >> 40) % CACHE_SIZE;
}

static PyObject *key_of(const uint8_t *utf8, size_t len) {
    if (len > CACHED_KEY_MAX) {
        return PyUnicode_DecodeUTF8((const char *)utf8, (Py_ssize_t)len, NULL);
    }
    cached_key *slot = &key_cache[slot_of(utf8, len)];
    if (slot->text && slot->len == len && memcmp(slot->utf8, utf8, len) == 0) {
        return Py_NewRef(slot->text);
    }
    PyObject *text = PyUnicode_DecodeUTF8((const char *)utf8, (Py_ssize_t)len, NULL);
    if (text) {
        Py_XDECREF(slot->text); /* a str: frees without running code */
        slot->text = Py_NewRef(text);
        slot->len = (uint8_t)len;
        memcpy(slot->utf8, utf8, len);
    }
    return text;
}

#endif

/* ---- scalars and strings ---- */

PyObject *awscrt_cbor_negative_int(uint64_t n) {
    if (n <= INT64_MAX) {
        return PyLong_FromLongLong(-1 - (long long)n);
    }
    PyObject *magnitude = PyLong_FromUnsignedLongLong(n);
    PyObject *value = magnitude ? PyNumber_Invert(magnitude) : NULL;
    Py_XDECREF(magnitude);
    return value;
}

static PyObject *text_of(awscrt_cbor_reader *r, crt_bytes utf8, bool key) {
    PyObject *text = key ? key_of(utf8.ptr, utf8.len)
                         : PyUnicode_DecodeUTF8((const char *)utf8.ptr, (Py_ssize_t)utf8.len, NULL);
    if (!text) {
        explain(r, utf8.ptr);
    }
    return text;
}

/* The chunks of an indefinite string up to its break; each is a definite string of the same kind (RFC 8949, 3.2.3). */
static PyObject *read_chunks(awscrt_cbor_reader *r, enum crt_cbor_type chunk_type) {
    PyObject *result = NULL;
    PyObject *chunks = PyList_New(0);
    while (chunks) {
        const uint8_t *at = r->rest.ptr;
        crt_cbor_element e;
        int status = crt_cbor_next(&r->rest, &e);
        if (status) {
            fail_element(r, status, at);
            break;
        }
        if (e.type == CRT_CBOR_BREAK) {
            PyObject *empty = chunk_type == CRT_CBOR_TEXT ? PyUnicode_FromStringAndSize(NULL, 0)
                                                          : PyBytes_FromStringAndSize(NULL, 0);
            result = !empty                         ? NULL
                     : chunk_type == CRT_CBOR_TEXT ? PyUnicode_Join(empty, chunks)
                                                    : PyObject_CallMethod(empty, "join", "O", chunks);
            Py_XDECREF(empty);
            break;
        }
        if (e.type != chunk_type) {
            unexpected(r, at, "a chunk of a string must be a definite string of the same type");
            break;
        }
        PyObject *chunk = chunk_type == CRT_CBOR_TEXT
                              ? text_of(r, e.bytes, false)
                              : PyBytes_FromStringAndSize((const char *)e.bytes.ptr, (Py_ssize_t)e.bytes.len);
        int added = chunk ? PyList_Append(chunks, chunk) : -1;
        Py_XDECREF(chunk);
        if (added) {
            break;
        }
    }
    Py_XDECREF(chunks);
    return result;
}

/* ---- the stack ---- */

static int grow_stack(stack *s) {
    size_t size = s->capacity * sizeof(frame);
    frame *frames = crt_malloc(2 * size);
    if (!frames) {
        PyErr_NoMemory();
        return FAILED;
    }
    memcpy(frames, s->frames, size);
    if (s->frames != s->inline_frames) {
        crt_free(s->frames);
    }
    s->frames = frames;
    s->capacity *= 2;
    return 0;
}

static frame *top_of(stack *s) {
    return s->depth ? &s->frames[s->depth - 1] : NULL;
}

static bool wants_key(const frame *f) {
    return f && f->kind == MAP && !f->key;
}

/* `container` is stolen. */
static enum outcome push(awscrt_cbor_reader *r, stack *s, PyObject *container, enum frame_kind kind, uint64_t left,
                         const uint8_t *at) {
    if (s->depth == s->capacity && grow_stack(s)) {
        Py_XDECREF(container);
        return FAILED;
    }
    const frame *parent = top_of(s);
    bool in_key = is_whole(r) && parent && (parent->in_key || wants_key(parent));
    s->frames[s->depth++] = (frame){
        .container = container, .left = left, .position = NOT_PRESET, .at = at, .kind = kind, .in_key = in_key};
    return OPENED;
}

/* Drops the innermost frame and what it holds. */
static void drop(stack *s) {
    frame *f = &s->frames[--s->depth];
    Py_XDECREF(f->container);
    Py_XDECREF(f->key);
}

static enum outcome open_list(awscrt_cbor_reader *r, stack *s, uint64_t left, const uint8_t *at) {
    /* No more than the source can hold: a claim costs nothing. */
    bool preset = left <= r->rest.len;
    PyObject *list = PyList_New(preset ? (Py_ssize_t)left : 0);
    if (!list || push(r, s, list, LIST, left, at) == FAILED) {
        return FAILED;
    }
    if (preset && left) {
        /* Holes are nothing for others to see (gc.get_objects) */
        PyObject_GC_UnTrack(list);
        top_of(s)->position = 0;
    }
    return OPENED;
}

static enum outcome open_map(awscrt_cbor_reader *r, stack *s, uint64_t left, const uint8_t *at) {
    PyObject *dict = PyDict_New();
    return dict ? push(r, s, dict, MAP, left, at) : FAILED;
}

static enum outcome open_definite(awscrt_cbor_reader *r, stack *s, unsigned major, uint64_t entries,
                                  const uint8_t *at) {
    if (entries > r->max_entries || entries == UNTIL_BREAK) {
        return fail(r, AWS_ERROR_CBOR_RESOURCE_LIMIT_EXCEEDED, at, "too many entries");
    }
    return major == CRT_CBOR_MAJOR_ARRAY ? open_list(r, s, entries, at) : open_map(r, s, entries, at);
}

/* ---- tags ---- */

/* ITEM: tag 1 only, whose content is one number. */
static PyObject *read_epoch(awscrt_cbor_reader *r) {
    const uint8_t *at = r->rest.ptr;
    crt_cbor_element e;
    int status = crt_cbor_next(&r->rest, &e);
    if (status) {
        fail_element(r, status, at);
        return NULL;
    }
    PyObject *seconds;
    switch (e.type) {
    case CRT_CBOR_UINT:
        seconds = PyLong_FromUnsignedLongLong(e.number);
        break;
    case CRT_CBOR_NEGINT:
        seconds = awscrt_cbor_negative_int(e.number);
        break;
    case CRT_CBOR_FLOAT:
        seconds = PyFloat_FromDouble(e.real);
        break;
    default:
        unexpected(r, at, "an epoch time must be a number");
        return NULL;
    }
    if (!seconds || !r->on_tag) {
        return seconds;
    }
    PyObject *callback = Py_NewRef(r->on_tag); /* it may replace itself */
    PyObject *result = awscrt_call1(callback, seconds);
    Py_DECREF(callback);
    Py_DECREF(seconds);
    return result;
}

static enum outcome open_tag(awscrt_cbor_reader *r, stack *s, uint64_t number, const uint8_t *at, PyObject **value) {
    if (is_whole(r)) {
        return push(r, s, NULL, TAG, number, at);
    }
    if (number == 1) {
        *value = read_epoch(r);
        return *value ? VALUE : FAILED;
    }
    PyErr_Format(PyExc_ValueError, "Unsupported tag value: %llu (at byte %zu)", (unsigned long long)number,
                 (size_t)(at - r->begin));
    return FAILED;
}

/* RFC 8949, 3.4.3 */
static PyObject *bignum_of(PyObject *bytes, bool negative) {
    if (!PyBytes_Check(bytes)) {
        PyErr_SetString(PyExc_ValueError, "a bignum must be a byte string");
        return NULL;
    }
    PyObject *magnitude = PyObject_CallMethod((PyObject *)&PyLong_Type, "from_bytes", "Os", bytes, "big");
    if (!magnitude || !negative) {
        return magnitude;
    }
    PyObject *value = PyNumber_Invert(magnitude);
    Py_DECREF(magnitude);
    return value;
}

static PyObject *apply_tag(awscrt_cbor_reader *r, uint64_t number, PyObject *content) {
    switch (number) {
    case 0:
        return awscrt_cbor_from_rfc3339(&r->time, content);
    case 1:
        return awscrt_cbor_from_epoch(&r->time, content);
    case 2:
    case 3:
        return bignum_of(content, number == 3);
    case 55799: /* "this is CBOR" (3.4.6) */
        return Py_NewRef(content);
    default:
        break;
    }
    if (r->on_tag) {
        return PyObject_CallFunction(r->on_tag, "KO", (unsigned long long)number, content);
    }
    PyErr_Format(PyExc_ValueError, "tag %llu is not known; tag_hook can give it a meaning", (unsigned long long)number);
    return NULL;
}

/* ---- one head ---- */

static enum outcome read_simple(awscrt_cbor_reader *r, stack *s, PyObject **value) {
    const uint8_t *at = r->rest.ptr;
    const frame *top = top_of(s);
    crt_cbor_element e;
    int status = crt_cbor_next(&r->rest, &e);
    if (status) {
        return fail_element(r, status, at);
    }
    switch (e.type) {
    case CRT_CBOR_FLOAT:
        *value = PyFloat_FromDouble(e.real);
        break;
    case CRT_CBOR_BOOL:
        *value = Py_NewRef(e.number ? Py_True : Py_False);
        break;
    case CRT_CBOR_NULL:
    case CRT_CBOR_UNDEFINED:
        *value = Py_NewRef(Py_None);
        break;
    case CRT_CBOR_INDEF_BYTES:
        *value = read_chunks(r, CRT_CBOR_BYTES);
        break;
    case CRT_CBOR_INDEF_TEXT:
        *value = read_chunks(r, CRT_CBOR_TEXT);
        break;
    case CRT_CBOR_INDEF_ARRAY:
        return open_list(r, s, UNTIL_BREAK, at);
    case CRT_CBOR_INDEF_MAP:
        return open_map(r, s, UNTIL_BREAK, at);
    default: /* a break: only where an indefinite container may end */
        if (top && top->kind != TAG && top->left == UNTIL_BREAK && !top->key) {
            return BREAK;
        }
        return unexpected(r, at, "a break where an item is due");
    }
    return *value ? VALUE : FAILED;
}

static enum outcome read_string(awscrt_cbor_reader *r, unsigned major, uint64_t len, crt_bytes rest,
                                const uint8_t *at, bool key, PyObject **value) {
    if (len > rest.len) {
        return fail_element(r, AWS_ERROR_SHORT_BUFFER, at);
    }
    r->rest = crt_bytes_of(rest.ptr + len, rest.len - (size_t)len);
    *value = major == CRT_CBOR_MAJOR_TEXT ? text_of(r, crt_bytes_of(rest.ptr, (size_t)len), key)
                                          : PyBytes_FromStringAndSize((const char *)rest.ptr, (Py_ssize_t)len);
    return *value ? VALUE : FAILED;
}

static enum outcome read_head(awscrt_cbor_reader *r, stack *s, PyObject **value) {
    crt_bytes rest = r->rest;
    const uint8_t *at = rest.ptr;
    if (rest.len == 0) {
        return fail_element(r, AWS_ERROR_SHORT_BUFFER, at);
    }
    uint8_t first = *at;
    unsigned major = first >> 5, info = first & 31;
    if (s->depth >= r->max_depth && first != CRT_CBOR_BYTE_BREAK) {
        PyErr_Format(PyExc_RecursionError, "the CBOR data nests deeper than %zu levels (byte %zu)", r->max_depth,
                     (size_t)(at - r->begin));
        return FAILED;
    }
    if (info > 27 || major == CRT_CBOR_MAJOR_SIMPLE) {
        return read_simple(r, s, value);
    }
    uint64_t argument;
    rest = crt_bytes_of(rest.ptr + 1, rest.len - 1);
    if (!crt_cbor_get_argument(&rest, info, &argument)) {
        return fail_element(r, AWS_ERROR_SHORT_BUFFER, at);
    }
    if (major == CRT_CBOR_MAJOR_TEXT || major == CRT_CBOR_MAJOR_BYTES) {
        return read_string(r, major, argument, rest, at, wants_key(top_of(s)), value);
    }
    r->rest = rest;
    switch (major) {
    case CRT_CBOR_MAJOR_UINT:
        *value = PyLong_FromUnsignedLongLong(argument);
        return *value ? VALUE : FAILED;
    case CRT_CBOR_MAJOR_NEGINT:
        *value = awscrt_cbor_negative_int(argument);
        return *value ? VALUE : FAILED;
    case CRT_CBOR_MAJOR_TAG:
        return open_tag(r, s, argument, at, value);
    default:
        return open_definite(r, s, major, argument, at);
    }
}

/* ---- completed values ---- */

/* The container that is complete, off the stack. NULL + exception. */
static PyObject *take_container(stack *s) {
    frame *f = &s->frames[--s->depth];
    if (f->kind == LIST && f->position != NOT_PRESET) {
        PyObject_GC_Track(f->container);
    }
    if (f->kind != LIST || !f->in_key) {
        return f->container;
    }
    PyObject *tuple = PyList_AsTuple(f->container);
    Py_DECREF(f->container);
    return tuple;
}

/* `value` is stolen. 0, or -1 + exception. */
static int add_to_list(frame *f, PyObject *value) {
    if (f->position != NOT_PRESET) {
        return PyList_SetItem(f->container, f->position++, value);
    }
    int status = PyList_Append(f->container, value);
    Py_DECREF(value);
    return status;
}

static int set_in_map(awscrt_cbor_reader *r, frame *f, PyObject *value) {
    PyObject *key = f->key;
    f->key = NULL;
    int status = PyDict_SetItem(f->container, key, value);
    Py_DECREF(key);
    Py_DECREF(value);
    if (status) {
        explain(r, f->at); /* a key that cannot be hashed */
    }
    return status;
}

/*
 * Hands a value (stolen) to the container it belongs to; containers that it completes are values themselves. NULL
 * when more items are due; else the outermost value. `*status` tells NULL from a failure.
 */
static PyObject *settle(awscrt_cbor_reader *r, stack *s, PyObject *value, int *status) {
    *status = 0;
    while (value && s->depth) {
        frame *f = top_of(s);
        if (f->kind == TAG) {
            uint64_t number = f->left;
            const uint8_t *at = f->at;
            PyObject *meaning = apply_tag(r, number, value);
            if (!meaning && !(r->on_tag && number > 3)) {
                explain(r, at); /* the exceptions of a hook are the caller's own */
            }
            Py_DECREF(value);
            drop(s);
            value = meaning;
            continue;
        }
        if (wants_key(f)) {
            f->key = value;
            return NULL;
        }
        *status = f->kind == LIST ? add_to_list(f, value) : set_in_map(r, f, value);
        if (*status || f->left == UNTIL_BREAK || --f->left) {
            return NULL;
        }
        value = take_container(s);
    }
    *status = value ? 0 : -1;
    return value;
}

PyObject *awscrt_cbor_read(awscrt_cbor_reader *r) {
    stack s;
    s.frames = s.inline_frames;
    s.depth = 0;
    s.capacity = INLINE_FRAMES;
    PyObject *value = NULL;
    int status = 0;
    do {
        enum outcome outcome = read_head(r, &s, &value);
        if (outcome == FAILED) {
            status = -1;
            break;
        }
        if (outcome == BREAK || (outcome == OPENED && s.frames[s.depth - 1].left == 0 &&
                                 s.frames[s.depth - 1].kind != TAG)) {
            value = take_container(&s);
            status = value ? 0 : -1;
        }
        if (value) {
            value = settle(r, &s, value, &status);
        }
    } while (!value && !status);
    while (s.depth) {
        drop(&s);
    }
    if (s.frames != s.inline_frames) {
        crt_free(s.frames);
    }
    return value;
}
