/*
 * The native part of asyncio streams: events come through the mailbox of the asyncio loop, so that everything
 * here runs on that loop's thread. An asyncio future exists only while a coroutine really waits.
 *
 * Waiters for head and completion are woken with None and look for themselves; waiters for a chunk are handed
 * one each, in the order they came.
 */
#include "stream.h"

static stream_data *of(PyObject *self) {
    return awscrt_stream_of(self);
}

/* ---- waiters ---- */

/* A closed asyncio loop takes no results; its coroutines are gone. */
static void report_unless_closed(stream_data *data) {
    PyObject *pending = awscrt_exception_take();
    PyObject *closed = PyObject_CallMethod(data->loop, "is_closed", NULL);
    bool ignore = closed && PyObject_IsTrue(closed) == 1;
    if (!closed) {
        PyErr_Clear();
    }
    Py_XDECREF(closed);
    if (ignore) {
        Py_DECREF(pending);
        return;
    }
    awscrt_exception_put(pending);
    awscrt_report(data->loop);
}

/* Completes a future unless it was cancelled meanwhile; true when it took the value. */
bool awscrt_aio_wake(stream_data *data, PyObject *waiter, PyObject *value) {
    PyObject *done = PyObject_CallMethodObjArgs(waiter, awscrt_http.name_done, NULL);
    int is_done = done ? PyObject_IsTrue(done) : -1;
    Py_XDECREF(done);
    if (is_done == 1) {
        return false;
    }
    PyObject *result =
        is_done ? NULL : PyObject_CallMethodObjArgs(waiter, awscrt_http.name_set_result, value, NULL);
    if (!result) {
        report_unless_closed(data);
        return false;
    }
    Py_DECREF(result);
    return true;
}

static void wake_all(stream_data *data, PyObject **place, PyObject *value) {
    PyObject *waiters = *place;
    if (!waiters) {
        return;
    }
    *place = NULL;
    for (Py_ssize_t i = 0; i < PyList_Size(waiters); i++) {
        awscrt_aio_wake(data, PyList_GetItem(waiters, i), value);
    }
    Py_DECREF(waiters);
}

/* A future of the stream's loop, last in that list; new reference. */
static PyObject *wait_in(stream_data *data, PyObject **place) {
    if (!*place && !(*place = PyList_New(0))) {
        return NULL;
    }
    PyObject *waiter = PyObject_CallMethodObjArgs(data->loop, awscrt_http.name_create_future, NULL);
    if (waiter && PyList_Append(*place, waiter)) {
        Py_CLEAR(waiter);
    }
    return waiter;
}

/* ---- chunks ---- */

static Py_ssize_t chunks_left(const stream_data *data) {
    return data->chunks ? PyList_Size(data->chunks) - data->chunks_taken : 0;
}

/* Gives the chunk to the first waiter that still wants one. */
static bool hand_over(stream_data *data, PyObject *chunk) {
    while (data->chunk_waiters && PyList_Size(data->chunk_waiters) > 0) {
        PyObject *waiter = Py_NewRef(PyList_GetItem(data->chunk_waiters, 0));
        PyList_SetSlice(data->chunk_waiters, 0, 1, NULL);
        bool taken = awscrt_aio_wake(data, waiter, chunk);
        Py_DECREF(waiter);
        if (taken) {
            return true;
        }
    }
    return false;
}

static int keep_chunk(stream_data *data, PyObject *chunk) {
    if (!data->chunk && chunks_left(data) == 0) {
        data->chunk = Py_NewRef(chunk);
        return 0;
    }
    if (!data->chunks && !(data->chunks = PyList_New(0))) {
        return -1;
    }
    return PyList_Append(data->chunks, chunk);
}

/* The oldest chunk; new reference, NULL without exception when there is none. */
static PyObject *pop_chunk(stream_data *data) {
    PyObject *chunk = data->chunk;
    if (chunk) {
        data->chunk = NULL;
        return chunk;
    }
    if (chunks_left(data) == 0) {
        return NULL;
    }
    chunk = Py_NewRef(PyList_GetItem(data->chunks, data->chunks_taken));
    data->chunks_taken++;
    if (chunks_left(data) == 0 || data->chunks_taken == 64) {
        /* In steps, so that taking n chunks costs n. */
        PyList_SetSlice(data->chunks, 0, data->chunks_taken, NULL);
        data->chunks_taken = 0;
    }
    return chunk;
}

static void take_body(stream_data *data, const awscrt_batch *batch) {
    PyObject *chunk = PyBytes_FromStringAndSize((const char *)crt_buf_data(&batch->body),
                                                (Py_ssize_t)crt_buf_len(&batch->body));
    if (!chunk || (!hand_over(data, chunk) && keep_chunk(data, chunk))) {
        /* A hole in the body must not go unnoticed. */
        data->failure = awscrt_exception_take();
        data->failure_code = AWS_ERROR_OOM;
        crt_http_stream_cancel(data->exchange->native, AWS_ERROR_OOM);
    }
    Py_XDECREF(chunk);
}

/* ---- events ---- */

static int keep_note(stream_data *data, const awscrt_note *note) {
    PyObject *headers = awscrt_head_list(&note->head);
    if (!headers || note->status == 0) {
        Py_XDECREF(data->trailers);
        data->trailers = headers;
        return headers ? 0 : -1;
    }
    PyObject *entry = Py_BuildValue("(iN)", note->status, headers);
    if (!data->interim) {
        data->interim = PyList_New(0);
    }
    int status = entry && data->interim ? PyList_Append(data->interim, entry) : -1;
    Py_XDECREF(entry);
    return status;
}

static void take(PyObject *self, awscrt_batch *batch) {
    stream_data *data = of(self);
    for (const awscrt_note *note = batch->notes; note; note = note->next) {
        if (keep_note(data, note)) {
            awscrt_report(data->loop);
        }
    }
    if (batch->has_head) {
        data->status = batch->status;
        data->head = batch->head;
        memset(&batch->head, 0, sizeof(batch->head));
        wake_all(data, &data->head_waiters, Py_None);
    }
    if (crt_buf_len(&batch->body) > 0 && !data->failure) {
        take_body(data, batch);
    }
    if (batch->remote_ended && !data->remote_ended) {
        awscrt_stream_remote_end(data, batch);
        wake_all(data, &data->chunk_waiters, awscrt_http.empty_bytes);
    }
    if (batch->is_last) {
        awscrt_stream_complete(data, batch);
        wake_all(data, &data->head_waiters, Py_None);
        wake_all(data, &data->chunk_waiters, awscrt_http.empty_bytes);
        wake_all(data, &data->completion_waiters, Py_None);
    }
}

/* ---- for the coroutines in awscrt.aio.http ---- */

static PyObject *raise_failure(const stream_data *data) {
    PyErr_SetObject((PyObject *)Py_TYPE(data->failure), data->failure);
    return NULL;
}

static PyObject *wait_head(PyObject *self, PyObject *unused) {
    stream_data *data = of(self);
    if (data->status || data->completed) {
        Py_RETURN_NONE;
    }
    return awscrt_stream_check(data) ? wait_in(data, &data->head_waiters) : NULL;
}

static PyObject *status(PyObject *self, PyObject *unused) {
    stream_data *data = of(self);
    if (!data->status && data->failure) {
        return raise_failure(data);
    }
    return PyLong_FromLong(data->status);
}

static PyObject *headers(PyObject *self, PyObject *unused) {
    stream_data *data = of(self);
    if (!data->head.ptr) {
        return data->failure ? raise_failure(data) : PyList_New(0);
    }
    return awscrt_head_list(&data->head);
}

static PyObject *next_chunk(PyObject *self, PyObject *unused) {
    stream_data *data = of(self);
    PyObject *chunk = pop_chunk(data);
    if (chunk) {
        return chunk;
    }
    if (data->completed || data->remote_ended) {
        return Py_NewRef(awscrt_http.empty_bytes);
    }
    return awscrt_stream_check(data) ? wait_in(data, &data->chunk_waiters) : NULL;
}

/* A coroutine that was cancelled after it got a chunk and before it could return it. */
static PyObject *return_chunk(PyObject *self, PyObject *chunk) {
    stream_data *data = of(self);
    if (hand_over(data, chunk)) {
        Py_RETURN_NONE;
    }
    if (!data->chunks && !(data->chunks = PyList_New(0))) {
        return NULL;
    }
    if (data->chunk) {
        if (PyList_Insert(data->chunks, data->chunks_taken, data->chunk)) {
            return NULL;
        }
        Py_CLEAR(data->chunk);
    }
    if (PyList_Insert(data->chunks, data->chunks_taken, chunk)) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *wait_completion(PyObject *self, PyObject *unused) {
    stream_data *data = of(self);
    if (data->completed) {
        Py_RETURN_NONE;
    }
    return awscrt_stream_check(data) ? wait_in(data, &data->completion_waiters) : NULL;
}

static PyObject *copy_of(PyObject *list) {
    return list ? PyList_GetSlice(list, 0, PyList_Size(list)) : PyList_New(0);
}

static PyObject *interim(PyObject *self, PyObject *unused) {
    return copy_of(of(self)->interim);
}

static PyObject *trailers(PyObject *self, PyObject *unused) {
    return copy_of(of(self)->trailers);
}

static PyObject *result(PyObject *self, PyObject *unused) {
    stream_data *data = of(self);
    return data->failure ? raise_failure(data) : PyLong_FromLong(data->status);
}

/* ---- construction ---- */

/* (connection, request, loop, manual_write, body, readinto, expect_continue, timeouts): binds and activates. */
static PyObject *start(PyObject *self, PyObject *const *args, Py_ssize_t nargs) {
    stream_data *data = of(self);
    int manual_write = nargs == 8 ? PyObject_IsTrue(args[3]) : 0;
    if (nargs != 8) {
        PyErr_SetString(PyExc_TypeError, "_start() takes eight arguments");
        return NULL;
    }
    if (manual_write < 0) {
        return NULL;
    }
    if (data->exchange || !awscrt_http_is(args[0], awscrt_http.connection_type) ||
        !awscrt_http_is(args[1], awscrt_http.message_type)) {
        return awscrt_http_assertion();
    }
    awscrt_mailbox *mailbox = awscrt_mailbox_of(args[2]);
    if (!mailbox) {
        return NULL;
    }
    data->connection = Py_NewRef(args[0]);
    data->loop = Py_NewRef(args[2]);
    data->manual_write = manual_write;
    const awscrt_exchange_options options = {
        .mailbox = mailbox,
        .wants_head = true,
        .wants_body = true,
        .wants_notes = true,
        .take = take,
    };
    const awscrt_request_extras extras = {NULL, NULL, args[4], args[5], args[6], args[7]};
    int failed = awscrt_stream_bind(data, args[1], &options, &extras);
    awscrt_mailbox_release(mailbox);
    if (failed || awscrt_stream_begin(self)) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static int no_init(PyObject *self, PyObject *args, PyObject *kwargs) {
    return 0; /* subclasses bring their own and call _start() */
}

static int aio_traverse(PyObject *self, visitproc visit, void *arg) {
    traverseproc base = (traverseproc)PyType_GetSlot(awscrt_http.client_stream_base_type, Py_tp_traverse);
    return base(self, visit, arg);
}

static int aio_clear(PyObject *self) {
    return ((inquiry)PyType_GetSlot(awscrt_http.client_stream_base_type, Py_tp_clear))(self);
}

static void aio_dealloc(PyObject *self) {
    ((destructor)PyType_GetSlot(awscrt_http.client_stream_base_type, Py_tp_dealloc))(self);
}

static PyMethodDef aio_methods[] = {
    {"_start", (PyCFunction)(void (*)(void))start, METH_FASTCALL, 
     "(connection, request, loop, manual_write, body, readinto, expect_continue, timeouts): sends the request."},
    {"_wait_head", wait_head, METH_NOARGS, "None when the head is there or never comes, else a future to await."},
    {"_status", status, METH_NOARGS, "Status of the response; raises what ended the stream before it."},
    {"_headers", headers, METH_NOARGS, "New list of (name, value); raises what ended the stream before them."},
    {"_next_chunk", next_chunk, METH_NOARGS, "bytes, b'' at the end, or a future of the next chunk."},
    {"_return_chunk", return_chunk, METH_O, "Puts a chunk back that could not be used."},
    {"_wait_completion", wait_completion, METH_NOARGS, "None when the stream is complete, else a future to await."},
    {"_write", awscrt_http2_write_chunk, METH_O,
     "HTTP/2: future of whether a piece of the request body was sent; False when the stream is over."},
    {"_end_writes", awscrt_http2_end_writes, METH_NOARGS, "HTTP/2: ends the request body."},
    {"_cancel", awscrt_http2_cancel, METH_NOARGS, "HTTP/2: ends the stream."},
    {"_interim", interim, METH_NOARGS, "List of (status, headers)."},
    {"_trailers", trailers, METH_NOARGS, "List of (name, value)."},
    {"_result", result, METH_NOARGS, "Status of the response, or raises what ended the stream."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot aio_slots[] = {
    {Py_tp_doc, "Native part of the asyncio streams."},
    {Py_tp_init, no_init},
    {Py_tp_dealloc, aio_dealloc},
    {Py_tp_traverse, aio_traverse},
    {Py_tp_clear, aio_clear},
    {Py_tp_methods, aio_methods},
    {0, NULL},
};

static PyType_Spec aio_spec = {
    .name = "awscrt._http.AsyncStream",
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = aio_slots,
};

int awscrt_http_aio_stream_init(PyObject *module) {
    return awscrt_http_type_new(module, &aio_spec, sizeof(stream_data),
                                (PyObject *)awscrt_http.client_stream_base_type)
               ? 0
               : -1;
}
