/*
 * awscrt._http.AsyncWebSocket: connections by message for asyncio. Everything here runs on the asyncio loop's
 * thread. Messages stay in the memory they were received in until a coroutine asks for them.
 */
#include "websocket.h"

enum { HOLD_MIN = 256 * 1024, MOST_LEVEL = 9, LEAST_BITS = 9, MOST_BITS = 15 };

typedef struct aio_data {
    awscrt_ws *ws; /* NULL before _start */
    awscrt_ws_batch *first;
    awscrt_ws_batch **tail;
    bool wants_messages; /* _on_messages is called when some come */
} aio_data;

static aio_data *of(PyObject *self) {
    return awscrt_http_data(self);
}

/* ---- the queue ---- */

static bool is_message(const awscrt_ws_record *record) {
    return record->opcode == CRT_WS_TEXT || record->opcode == CRT_WS_BINARY;
}

static void drop_first(aio_data *data) {
    awscrt_ws_batch *batch = data->first;
    data->first = batch->next;
    if (!data->first) {
        data->tail = &data->first;
    }
    awscrt_ws_taken(data->ws, batch->bytes);
    awscrt_ws_batch_free(batch);
}

/* The oldest message's record, its batch being the first; NULL when there is none. */
static const awscrt_ws_record *peek(aio_data *data) {
    while (data->first) {
        awscrt_ws_batch *batch = data->first;
        size_t count = awscrt_ws_record_count(batch);
        const awscrt_ws_record *records = awscrt_ws_records(batch);
        while (batch->taken < count && !is_message(&records[batch->taken])) {
            batch->taken++;
        }
        if (batch->taken < count) {
            return &records[batch->taken];
        }
        drop_first(data);
    }
    return NULL;
}

/* New reference; NULL without an exception when there is none. */
static PyObject *pop(aio_data *data) {
    const awscrt_ws_record *record = peek(data);
    if (!record) {
        return NULL;
    }
    awscrt_ws_batch *batch = data->first;
    const char *at = (const char *)record->data.ptr;
    Py_ssize_t len = (Py_ssize_t)record->data.len;
    PyObject *message = record->opcode == CRT_WS_TEXT ? PyUnicode_DecodeUTF8(at, len, NULL)
                                                      : PyBytes_FromStringAndSize(at, len);
    if (!message) {
        return NULL; /* no memory: the message stays */
    }
    batch->taken++;
    if (batch->taken == awscrt_ws_record_count(batch)) {
        drop_first(data);
    }
    return message;
}

/* ---- what the connection tells ---- */

static void call_method(PyObject *self, const char *name, PyObject *argument) {
    PyObject *result = argument ? PyObject_CallMethod(self, name, "(O)", argument) : NULL;
    if (!result) {
        awscrt_report(self);
    }
    Py_XDECREF(result);
    Py_XDECREF(argument);
}

static void setup(awscrt_ws *ws) {
    if (ws->owner) {
        PyObject *self = Py_NewRef(ws->owner);
        call_method(self, "_on_setup", awscrt_ws_answer_tuple(ws));
        Py_DECREF(self);
    } else if (ws->native) { /* nobody is left to use it */
        crt_websocket_release(ws->native);
        ws->native = NULL;
    }
}

/* PONG and CLOSE are told at once, whether or not messages before them were taken. */
static void tell_controls(PyObject *self, const awscrt_ws_batch *batch) {
    size_t count = awscrt_ws_record_count(batch);
    const awscrt_ws_record *records = awscrt_ws_records(batch);
    for (size_t i = 0; i < count; i++) {
        if (records[i].opcode == CRT_WS_PONG || records[i].opcode == CRT_WS_CLOSE) {
            crt_bytes payload = awscrt_ws_record_data(batch, &records[i]);
            call_method(self, records[i].opcode == CRT_WS_PONG ? "_on_pong" : "_on_close",
                        PyBytes_FromStringAndSize(payload.len ? (const char *)payload.ptr : NULL,
                                                  (Py_ssize_t)payload.len));
        }
    }
}

static void take_batch(awscrt_ws *ws, awscrt_ws_batch *batch) {
    if (!ws->owner) {
        __atomic_sub_fetch(&ws->in_transit, batch->bytes, __ATOMIC_SEQ_CST);
        awscrt_ws_batch_free(batch);
        return;
    }
    PyObject *self = Py_NewRef(ws->owner);
    aio_data *data = of(self);
    batch->next = NULL;
    *data->tail = batch;
    data->tail = &batch->next;
    tell_controls(self, batch);
    if (peek(data) && data->wants_messages) {
        data->wants_messages = false;
        call_method(self, "_on_messages", Py_NewRef(Py_None));
    }
    Py_DECREF(self);
}

static void room(awscrt_ws *ws) {
    if (ws->owner) {
        PyObject *self = Py_NewRef(ws->owner);
        call_method(self, "_on_room", Py_NewRef(Py_None));
        Py_DECREF(self);
    }
}

static void shutdown_(awscrt_ws *ws) {
    if (!ws->owner) {
        return;
    }
    PyObject *self = Py_NewRef(ws->owner);
    call_method(self, "_on_shutdown",
                ws->fault.code ? awscrt_exception(ws->fault.code, ws->fault.detail) : Py_NewRef(Py_None));
    Py_DECREF(self);
}

static const awscrt_ws_kind kind = {setup, take_batch, room, shutdown_};

/* ---- a message that is there, as something to await ---- */

typedef struct ready_object {
    PyObject_HEAD
    PyObject *value; /* NULL once it was awaited */
} ready_object;

static PyObject *ready_self(PyObject *self) {
    return Py_NewRef(self);
}

static PyObject *ready_take(PyObject *self) {
    PyObject *value = ((ready_object *)self)->value;
    ((ready_object *)self)->value = NULL;
    if (!value) {
        PyErr_SetString(PyExc_RuntimeError, "cannot reuse an awaited message");
    }
    return value;
}

static PyObject *ready_next(PyObject *self) {
    PyObject *value = ready_take(self);
    if (value) {
        PyErr_SetObject(PyExc_StopIteration, value);
        Py_DECREF(value);
    }
    return NULL;
}

#if PY_VERSION_HEX >= 0x030A0000
/* Spares the exception that carries the value out of an iterator. */
static PySendResult ready_send(PyObject *self, PyObject *unused, PyObject **result) {
    *result = ready_take(self);
    return *result ? PYGEN_RETURN : PYGEN_ERROR;
}
#endif

static void ready_dealloc(PyObject *self) {
    Py_XDECREF(((ready_object *)self)->value);
    awscrt_free_instance(self);
}

static PyType_Slot ready_slots[] = {
    {Py_tp_doc, "A message that is there."},
    {Py_tp_dealloc, ready_dealloc},
    {Py_am_await, ready_self},
    {Py_tp_iter, ready_self},
    {Py_tp_iternext, ready_next},
#if PY_VERSION_HEX >= 0x030A0000
    {Py_am_send, ready_send},
#endif
    {0, NULL},
};

static PyType_Spec ready_spec = {
    .name = "awscrt._http.ReadyMessage",
    .basicsize = sizeof(ready_object),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = ready_slots,
};

static PyObject *ready_of(PyObject *value) {
    ready_object *ready = PyObject_New(ready_object, awscrt_ws_py.ready_type);
    if (!ready) {
        Py_DECREF(value);
        return NULL;
    }
    ready->value = value;
    return (PyObject *)ready;
}

/* ---- methods ---- */

static awscrt_ws *open_of(PyObject *self) {
    awscrt_ws *ws = of(self)->ws;
    if (!ws || !ws->native) {
        PyErr_SetString(PyExc_RuntimeError, "this WebSocket is not connected");
        return NULL;
    }
    return awscrt_http_check_generation(ws->generation, "WebSocket") ? ws : NULL;
}

static PyObject *aio_anext(PyObject *self) {
    PyObject *message = pop(of(self));
    if (message) {
        return ready_of(message);
    }
    return PyErr_Occurred() ? NULL : PyObject_CallMethodObjArgs(self, awscrt_ws_py.name_wait_next, NULL);
}

static PyObject *aio_pop(PyObject *self, PyObject *unused) {
    PyObject *message = pop(of(self));
    return message || PyErr_Occurred() ? message : Py_NewRef(Py_None);
}

static PyObject *aio_want_messages(PyObject *self, PyObject *unused) {
    of(self)->wants_messages = true;
    Py_RETURN_NONE;
}

/* (opcode, payload, fin, compress) -> bytes not yet taken by the transport */
static PyObject *aio_send(PyObject *self, PyObject *const *args, Py_ssize_t nargs) {
    awscrt_ws *ws = open_of(self);
    awscrt_ws_payload payload;
    if (!ws) {
        return NULL;
    }
    if (nargs != 4) {
        PyErr_SetString(PyExc_TypeError, "_send() takes opcode, payload, fin and compress");
        return NULL;
    }
    long opcode = PyLong_AsLong(args[0]);
    int fin = PyObject_IsTrue(args[2]), compress = PyObject_IsTrue(args[3]);
    if (PyErr_Occurred() || awscrt_ws_payload_open(args[1], &payload)) {
        return NULL;
    }
    crt_ws_outgoing frame = {.opcode = (int)opcode, .fin = fin, .compress = compress, .payload = payload.bytes};
    int code = 0;
    if (payload.bytes.len > HOLD_MIN && PyBytes_Check(args[1])) { /* others may change behind our back */
        frame.source = awscrt_source_of_buffer(args[1]);
        code = frame.source ? 0 : AWS_ERROR_OOM;
    }
    if (frame.source) {
        frame.payload = frame.source->memory;
    }
    if (!code) {
        code = crt_websocket_send(ws->native, &frame);
    }
    crt_source_release(frame.source);
    awscrt_ws_payload_close(&payload);
    return code ? awscrt_raise(code, NULL) : PyLong_FromSize_t(crt_websocket_unsent(ws->native));
}

static PyObject *aio_want_room(PyObject *self, PyObject *low) {
    awscrt_ws *ws = open_of(self);
    size_t bytes = ws ? PyLong_AsSize_t(low) : 0;
    if (!ws || PyErr_Occurred()) {
        return NULL;
    }
    return PyBool_FromLong(crt_websocket_want_room(ws->native, bytes));
}

static PyObject *aio_close(PyObject *self, PyObject *payload) {
    awscrt_ws *ws = open_of(self);
    char *bytes;
    Py_ssize_t len;
    if (!ws || PyBytes_AsStringAndSize(payload, &bytes, &len)) {
        return NULL;
    }
    crt_websocket_close(ws->native, crt_bytes_of(bytes, (size_t)len));
    Py_RETURN_NONE;
}

static PyObject *aio_abort(PyObject *self, PyObject *code) {
    awscrt_ws *ws = open_of(self);
    long number = ws ? PyLong_AsLong(code) : 0;
    if (!ws || PyErr_Occurred()) {
        return NULL;
    }
    crt_websocket_abort(ws->native, (int)number);
    Py_RETURN_NONE;
}

static PyObject *aio_compresses(PyObject *self, PyObject *unused) {
    awscrt_ws *ws = open_of(self);
    return ws ? PyBool_FromLong(crt_websocket_compresses(ws->native)) : NULL;
}

/* ---- connecting ---- */

enum { LOOP = AWSCRT_WS_ARGUMENTS, MAX_MESSAGE, ANSWER_TIMEOUT, CLOSE_TIMEOUT, DEFLATE, START_ARGUMENTS };

static int number_of(PyObject *value, unsigned long long most, unsigned long long *out) {
    *out = PyLong_AsUnsignedLongLong(value);
    if (PyErr_Occurred()) {
        return -1;
    }
    if (*out > most) {
        PyErr_Format(PyExc_OverflowError, "%R is out of range", value);
        return -1;
    }
    return 0;
}

/* (server_no_context_takeover, client_no_context_takeover, server bits, client bits, level, memory level) */
static int deflate_of(PyObject *tuple, crt_ws_deflate_options *out) {
    int server_no, client_no;
    if (!PyArg_ParseTuple(tuple, "ppiiii:compression", &server_no, &client_no, &out->server_max_window_bits,
                          &out->client_max_window_bits, &out->level, &out->memory_level)) {
        return -1;
    }
    out->server_no_context_takeover = server_no;
    out->client_no_context_takeover = client_no;
    const int bits[2] = {out->server_max_window_bits, out->client_max_window_bits};
    const int levels[2] = {out->level, out->memory_level};
    for (int i = 0; i < 2; i++) {
        if (bits[i] < LEAST_BITS || bits[i] > MOST_BITS || levels[i] < 0 || levels[i] > MOST_LEVEL) {
            PyErr_SetString(PyExc_ValueError, "compression: windows are 9 to 15 bits, levels 0 to 9");
            return -1;
        }
    }
    return 0;
}

static int options_of(PyObject *const *args, crt_ws_deflate_options *deflate, crt_websocket_options *options) {
    unsigned long long most, answer, close;
    if (number_of(args[MAX_MESSAGE], UINT64_MAX, &most) || number_of(args[ANSWER_TIMEOUT], UINT32_MAX, &answer) ||
        number_of(args[CLOSE_TIMEOUT], UINT32_MAX, &close) ||
        (args[DEFLATE] != Py_None && deflate_of(args[DEFLATE], deflate))) {
        return -1;
    }
    options->messages = true;
    options->max_message = most;
    options->answer_timeout_ms = (uint32_t)answer;
    options->close_timeout_ms = (uint32_t)close;
    options->deflate = args[DEFLATE] != Py_None ? deflate : NULL;
    return 0;
}

static PyObject *aio_start(PyObject *self, PyObject *const *args, Py_ssize_t nargs) {
    aio_data *data = of(self);
    crt_ws_deflate_options deflate;
    crt_websocket_options options;
    memset(&options, 0, sizeof(options));
    memset(&deflate, 0, sizeof(deflate));
    if (nargs != START_ARGUMENTS || data->ws) {
        PyErr_Format(PyExc_TypeError, "_start() takes %d arguments, once", START_ARGUMENTS);
        return NULL;
    }
    if (options_of(args, &deflate, &options)) {
        return NULL;
    }
    awscrt_mailbox *mailbox = awscrt_mailbox_of(args[LOOP]);
    awscrt_ws *ws = mailbox ? awscrt_ws_new(&kind, mailbox) : NULL;
    awscrt_mailbox_release(mailbox);
    if (!ws) {
        return NULL;
    }
    data->tail = &data->first;
    data->ws = ws;
    ws->owner = self; /* borrowed: dropping the object closes the connection */
    if (awscrt_ws_connect(ws, args, &options)) {
        data->ws = NULL;
        ws->owner = NULL;
        awscrt_ws_release(ws);
        return NULL;
    }
    Py_RETURN_NONE;
}

/* ---- the type ---- */

static int aio_init(PyObject *self, PyObject *args, PyObject *kwargs) {
    return 0; /* subclasses bring their own */
}

static int aio_traverse(PyObject *self, visitproc visit, void *arg) {
    AWSCRT_VISIT_TYPE(self);
    return 0;
}

static void aio_dealloc(PyObject *self) {
    aio_data *data = of(self);
    awscrt_ws *ws = data->ws;
    awscrt_http_dealloc_begin(self);
    if (ws) {
        ws->owner = NULL;
    }
    if (ws && ws->generation == crt_fork_generation()) {
        crt_websocket *native = ws->native;
        ws->native = NULL;
        while (data->first) {
            drop_first(data);
        }
        if (native) {
            crt_websocket_resume(native); /* a full queue must not hide the peer's CLOSE */
            crt_websocket_release(native);
        }
        awscrt_ws_release(ws);
    }
    awscrt_free_instance(self);
}

static PyMethodDef aio_methods[] = {
    {"_start", (PyCFunction)(void (*)(void))aio_start, METH_FASTCALL,
     "(host, port, request, bootstrap, socket_options, tls_connection_options, proxy_options, loop, max_message, "
     "answer_timeout_ms, close_timeout_ms, compression or None)"},
    {"_pop", aio_pop, METH_NOARGS, "The oldest message that was not taken, or None."},
    {"_want_messages", aio_want_messages, METH_NOARGS, "_on_messages() is called when the next ones come."},
    {"_send", (PyCFunction)(void (*)(void))aio_send, METH_FASTCALL,
     "(opcode, payload, fin, compress): queues a frame; the bytes that are unsent now."},
    {"_want_room", aio_want_room, METH_O, "(low): True, or _on_room() is called when no more than that is unsent."},
    {"_close", aio_close, METH_O, "(payload): begins the closing handshake."},
    {"_abort", aio_abort, METH_O, "(code): ends the connection."},
    {"_compresses", aio_compresses, METH_NOARGS, "Whether permessage-deflate was agreed on."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot aio_slots[] = {
    {Py_tp_doc, "Native part of awscrt.aio.websocket.WebSocket."},
    {Py_tp_new, awscrt_http_tp_new},
    {Py_tp_init, aio_init},
    {Py_tp_dealloc, aio_dealloc},
    {Py_tp_traverse, aio_traverse},
    {Py_tp_methods, aio_methods},
    {Py_am_aiter, ready_self},
    {Py_am_anext, aio_anext},
    {0, NULL},
};

static PyType_Spec aio_spec = {
    .name = "awscrt._http.AsyncWebSocket",
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = aio_slots,
};

int awscrt_http_aio_websocket_init(PyObject *module) {
    awscrt_ws_py.name_wait_next = PyUnicode_InternFromString("_wait_next");
    awscrt_ws_py.ready_type = (PyTypeObject *)PyType_FromSpec(&ready_spec);
    if (!awscrt_ws_py.name_wait_next || !awscrt_ws_py.ready_type) {
        return -1;
    }
    return awscrt_http_type_new(module, &aio_spec, sizeof(aio_data), awscrt_http.native_resource) ? 0 : -1;
}
