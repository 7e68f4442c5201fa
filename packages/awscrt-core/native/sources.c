/*
 * Request bodies from Python: a stream object that is asked for more (READER), and any buffer (MEMORY).
 *
 * A read is asked for on a loop without the GIL. It travels as an event to that loop's outbox, runs the
 * stream's method under the GIL straight into the engine's memory, and completes as a deferred task, so that
 * the engine goes on with its I/O after the GIL is given back.
 */
#include "../crt/io/loop_internal.h"
#include "binding.h"

enum { RETRY_FIRST_MS = 1, RETRY_LAST_MS = 32 };

#define STREAM AWSCRT_HANDLE("InputStream")

/* ---- the Python stream ---- */

/* How a stream is read, in order of preference; the first two fill memory, the others return bytes. */
static const char *const read_methods[] = {"readinto1", "readinto", "read1", "read"};
enum { READ_METHODS = 4, FIRST_RETURNING_BYTES = 2 };

typedef struct native_stream {
    awscrt_native native;
    PyObject *stream;
    PyObject *method; /* bound */
    bool returns_bytes;
} native_stream;

static void stream_dropped(PyObject *handle) {
    native_stream *self = PyCapsule_GetPointer(handle, STREAM);
    Py_XDECREF(self->method);
    Py_DECREF(self->stream);
    crt_free(self);
}

/* Its readinto1 is the generic one, which makes a bytes object only to copy from it; readinto is its own. */
static bool is_bytes_io(PyObject *stream) {
    PyObject *module = PyImport_ImportModule("io");
    PyObject *type = module ? PyObject_GetAttrString(module, "BytesIO") : NULL;
    bool is = type && (PyObject *)Py_TYPE(stream) == type;
    Py_XDECREF(type);
    Py_XDECREF(module);
    PyErr_Clear();
    return is;
}

/* The first callable of read_methods; new reference, NULL without an exception when there is none. */
static PyObject *find_read_method(PyObject *stream, bool *returns_bytes) {
    for (int i = is_bytes_io(stream) ? 1 : 0; i < READ_METHODS; i++) {
        PyObject *method = PyObject_GetAttrString(stream, read_methods[i]);
        if (!method && !PyErr_ExceptionMatches(PyExc_AttributeError)) {
            return NULL;
        }
        PyErr_Clear();
        if (method && PyCallable_Check(method)) {
            *returns_bytes = i >= FIRST_RETURNING_BYTES;
            return method;
        }
        Py_XDECREF(method);
    }
    return NULL;
}

static PyObject *input_stream_new(PyObject *module, PyObject *stream) {
    native_stream *self = crt_calloc(1, sizeof(*self));
    if (!self) {
        return PyErr_NoMemory();
    }
    self->method = find_read_method(stream, &self->returns_bytes);
    if (!self->method) {
        crt_free(self);
        if (!PyErr_Occurred()) {
            PyErr_Format(PyExc_TypeError, "expected a binary stream with a read() method, got %R",
                         (PyObject *)Py_TYPE(stream));
        }
        return NULL;
    }
    self->stream = Py_NewRef(stream);
    PyObject *handle = awscrt_handle_new(&self->native, STREAM, stream_dropped);
    if (!handle) {
        Py_DECREF(self->method);
        Py_DECREF(self->stream);
        crt_free(self);
    }
    return handle;
}

PyObject *awscrt_input_stream_object(PyObject *stream) {
    native_stream *self = awscrt_native_of(stream, STREAM);
    return self ? Py_NewRef(self->stream) : NULL;
}

/* What a read gave: bytes in the space, the end, or nothing for now. */
enum { READ_FAILED = -1, READ_WOULD_BLOCK = -2 };

static Py_ssize_t read_into(native_stream *self, crt_span space) {
    PyObject *view = PyMemoryView_FromMemory((char *)space.ptr, (Py_ssize_t)space.len, PyBUF_WRITE);
    PyObject *count = view ? awscrt_call1(self->method, view) : NULL;
    if (view) {
        /* The memory is the engine's again when we return: a stream that kept the view must not reach it. */
        PyObject *pending = awscrt_exception_take();
        PyObject *released = PyObject_CallMethod(view, "release", NULL);
        if (!released) {
            awscrt_report(self->stream);
        }
        Py_XDECREF(released);
        Py_DECREF(view);
        awscrt_exception_put(pending);
    }
    if (!count) {
        return READ_FAILED;
    }
    Py_ssize_t n = count == Py_None ? READ_WOULD_BLOCK : PyLong_AsSsize_t(count);
    Py_DECREF(count);
    if (n == READ_WOULD_BLOCK) {
        return n;
    }
    if ((n < 0 || (size_t)n > space.len) && !PyErr_Occurred()) {
        PyErr_Format(PyExc_ValueError, "the stream says it read %zd bytes into a buffer of %zu", n, space.len);
    }
    return PyErr_Occurred() ? READ_FAILED : n;
}

static Py_ssize_t read_bytes(native_stream *self, crt_span space) {
    PyObject *data = PyObject_CallFunction(self->method, "n", (Py_ssize_t)space.len);
    if (!data) {
        return READ_FAILED;
    }
    Py_buffer buffer;
    Py_ssize_t n = READ_FAILED;
    if (PyObject_GetBuffer(data, &buffer, PyBUF_SIMPLE) == 0) {
        if ((size_t)buffer.len <= space.len) {
            n = buffer.len;
            memcpy(space.ptr, buffer.buf, (size_t)n);
        } else {
            PyErr_Format(PyExc_ValueError, "the stream was asked for %zu bytes and returned %zd", space.len,
                         buffer.len);
        }
        PyBuffer_Release(&buffer);
    }
    Py_DECREF(data);
    return n;
}

/* READ_FAILED leaves the exception set. */
static Py_ssize_t read_stream(native_stream *self, crt_span space) {
    Py_ssize_t n = self->returns_bytes ? read_bytes(self, space) : read_into(self, space);
    if (n == READ_FAILED && PyErr_ExceptionMatches(PyExc_BlockingIOError)) {
        PyErr_Clear();
        return READ_WOULD_BLOCK;
    }
    return n;
}

/* ---- READER: the stream as a source ---- */

typedef struct reader {
    crt_source source;
    PyObject *handle; /* of the native_stream */
    native_stream *stream;
    bool at_end; /* until a rewind */
    /* the read in progress */
    crt_loop *loop;
    crt_span space;
    crt_source_done done;
    void *user;
    int status;
    size_t count;
    uint64_t retry_ms;
    awscrt_event event;
    crt_task task;
    crt_timer timer; /* to ask again; a loop that ends meanwhile drops timers, and tells the attachment */
    crt_attachment attachment;
} reader;

static void reader_finish(reader *self, int status, size_t count) {
    self->status = status;
    self->count = count;
    crt_loop_defer(self->loop, &self->task);
}

static void reader_completed(crt_task *task, int status) {
    reader *self = CRT_CONTAINER(task, reader, task);
    crt_source_done done = self->done;
    self->done = NULL; /* the callback may ask for the next read, or release the source */
    done(self->user, self->status ? self->status : status, self->count, self->at_end);
}

static void reader_ask(reader *self) {
    const awscrt_sink sink = {self->loop, NULL};
    awscrt_deliver(&sink, &self->event);
}

static void reader_ask_later(reader *self) {
    crt_loop_attach(self->loop, &self->attachment);
    crt_timer_start(&self->timer, self->retry_ms);
    self->retry_ms = self->retry_ms < RETRY_LAST_MS ? self->retry_ms * 2 : RETRY_LAST_MS;
}

static void reader_retry(crt_timer *timer) {
    reader *self = CRT_CONTAINER(timer, reader, timer);
    crt_loop_detach(&self->attachment);
    reader_ask(self);
}

static void reader_loop_ended(crt_attachment *attachment) {
    reader_finish(CRT_CONTAINER(attachment, reader, attachment), AWS_IO_EVENT_LOOP_SHUTDOWN, 0);
}

static void reader_deliver(awscrt_event *event) {
    reader *self = CRT_CONTAINER(event, reader, event);
    Py_ssize_t n = read_stream(self->stream, self->space);
    if (n == READ_WOULD_BLOCK) {
        reader_ask_later(self);
        return;
    }
    if (n == READ_FAILED) {
        reader_finish(self, awscrt_code_of_exception(), 0);
        return;
    }
    self->at_end = n == 0;
    reader_finish(self, AWS_ERROR_SUCCESS, (size_t)n);
}

static void reader_discard(awscrt_event *event) {
    reader_finish(CRT_CONTAINER(event, reader, event), AWS_IO_EVENT_LOOP_SHUTDOWN, 0);
}

static void reader_read(crt_source *source, crt_loop *loop, crt_span space, crt_source_done done, void *user) {
    reader *self = CRT_CONTAINER(source, reader, source);
    self->loop = loop;
    self->space = space;
    self->done = done;
    self->user = user;
    self->retry_ms = RETRY_FIRST_MS;
    if (self->at_end) {
        reader_finish(self, AWS_ERROR_SUCCESS, 0);
        return;
    }
    crt_timer_init(&self->timer, loop, reader_retry);
    reader_ask(self);
}

static int reader_rewind(crt_source *source) {
    reader *self = CRT_CONTAINER(source, reader, source);
    awscrt_gil gil;
    if (!awscrt_python_enter(&gil)) {
        return AWS_ERROR_INVALID_STATE;
    }
    int code = AWS_ERROR_SUCCESS;
    PyObject *position = PyObject_CallMethod(self->stream->stream, "seek", "ii", 0, 0);
    if (position) {
        self->at_end = false;
        Py_DECREF(position);
    } else {
        code = awscrt_code_of_exception();
    }
    awscrt_python_leave(&gil);
    return code;
}

static void reader_destroy(crt_source *source) {
    reader *self = CRT_CONTAINER(source, reader, source);
    awscrt_drop(self->handle);
    crt_free(self);
}

static const crt_source_ops reader_ops = {reader_read, reader_rewind, reader_destroy};

crt_source *awscrt_source_of_input_stream(PyObject *stream) {
    if (stream == Py_None) {
        return NULL;
    }
    PyObject *handle = awscrt_handle_of(stream, STREAM);
    reader *self = handle ? crt_calloc(1, sizeof(*self)) : NULL;
    if (!self) {
        if (handle) {
            Py_DECREF(handle);
            PyErr_NoMemory();
        }
        return NULL;
    }
    self->source.ops = &reader_ops;
    crt_ref_init(&self->source.refs);
    self->source.kind = CRT_SOURCE_READER;
    self->source.fd = -1;
    self->source.length = UINT64_MAX;
    self->handle = handle;
    self->stream = PyCapsule_GetPointer(handle, STREAM);
    self->event.deliver = reader_deliver;
    self->event.discard = reader_discard;
    self->task.run = reader_completed;
    self->attachment.on_shutdown = reader_loop_ended;
    return &self->source;
}

/* ---- MEMORY: a buffer object as a source ---- */

typedef struct buffer_source {
    crt_source source;
    Py_buffer buffer;
    awscrt_event event; /* carries the release to where the GIL is */
} buffer_source;

static void buffer_release(awscrt_event *event) {
    buffer_source *self = CRT_CONTAINER(event, buffer_source, event);
    PyBuffer_Release(&self->buffer);
    crt_free(self);
}

static void buffer_discard(awscrt_event *event) {
    crt_free(CRT_CONTAINER(event, buffer_source, event));
}

static void buffer_destroy(crt_source *source) {
    awscrt_deliver_here(&CRT_CONTAINER(source, buffer_source, source)->event);
}

static int buffer_rewind(crt_source *source) {
    return AWS_ERROR_SUCCESS;
}

static const crt_source_ops buffer_ops = {NULL, buffer_rewind, buffer_destroy};

crt_source *awscrt_source_of_buffer(PyObject *object) {
    buffer_source *self = crt_calloc(1, sizeof(*self));
    if (!self) {
        PyErr_NoMemory();
        return NULL;
    }
    if (PyObject_GetBuffer(object, &self->buffer, PyBUF_SIMPLE)) {
        crt_free(self);
        return NULL;
    }
    self->source.ops = &buffer_ops;
    crt_ref_init(&self->source.refs);
    self->source.kind = CRT_SOURCE_MEMORY;
    self->source.fd = -1;
    self->source.memory = crt_bytes_of(self->buffer.buf, (size_t)self->buffer.len);
    self->source.length = (uint64_t)self->buffer.len;
    self->event.deliver = buffer_release;
    self->event.discard = buffer_discard;
    return &self->source;
}

PyMethodDef awscrt_source_methods[] = {
    {"input_stream_new", input_stream_new, METH_O, "(stream) -> handle; TypeError without a read method."},
    {NULL, NULL, 0, NULL},
};
