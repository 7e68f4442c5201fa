/*
 * awscrt._http.WebSocketBinding: connections by frame, with callbacks. The classes that callbacks are given live in
 * awscrt.websocket; what is rare (setup, shutdown, callbacks that raise) is that module's business as well.
 */
#include "websocket.h"

awscrt_ws_shared awscrt_ws_py;

/* Payload up to this size is copied when it is sent, longer one is held. */
enum { HOLD_MIN = 256 * 1024 };

typedef struct binding_object {
    PyObject_HEAD
    awscrt_ws *ws;
} binding_object;

static awscrt_ws *of(PyObject *self) {
    return ((binding_object *)self)->ws;
}

/* ---- calling Python ---- */

/* The exception that is set goes to sys.excepthook. */
static void report_callback(const char *name) {
    PyObject *exception = awscrt_exception_take();
    PyObject *result = PyObject_CallFunction(awscrt_ws_py.report, "sO", name, exception);
    Py_DECREF(exception);
    if (!result) {
        awscrt_report(awscrt_ws_py.report);
    }
    Py_XDECREF(result);
}

/* 0, or -1 after the report. Steals `data`, which may be NULL with an exception set. */
static int call_user(PyObject *callback, PyObject *data, const char *name) {
    PyObject *result = data ? awscrt_call1(callback, data) : NULL;
    Py_XDECREF(data);
    if (!result) {
        report_callback(name);
        return -1;
    }
    Py_DECREF(result);
    return 0;
}

static void setup(awscrt_ws *ws) {
    PyObject *binding = NULL, *arguments = awscrt_ws_answer_tuple(ws), *result = NULL;
    if (ws->native) {
        binding_object *object = PyObject_New(binding_object, awscrt_ws_py.binding_type);
        if (object) {
            object->ws = ws;
            crt_ref_inc(&ws->refs);
            binding = (PyObject *)object;
        } else {
            crt_websocket_release(ws->native);
            ws->native = NULL;
        }
    }
    if (arguments) {
        result = PyObject_CallMethod(ws->owner, "_on_setup", "OO", binding ? binding : Py_None, arguments);
    }
    if (!result) {
        awscrt_report(ws->owner);
    }
    Py_XDECREF(result);
    Py_XDECREF(arguments);
    Py_XDECREF(binding);
}

static void shutdown_(awscrt_ws *ws) {
    int code = ws->callback_code ? ws->callback_code : ws->fault.code;
    PyObject *exception = code ? awscrt_exception(code, ws->fault.detail) : Py_NewRef(Py_None);
    PyObject *result = PyObject_CallMethod(ws->owner, "_on_shutdown", "O", exception);
    Py_DECREF(exception);
    if (!result) {
        awscrt_report(ws->owner);
    }
    Py_XDECREF(result);
    Py_CLEAR(ws->owner);
    Py_CLEAR(ws->on_begin);
    Py_CLEAR(ws->on_payload);
    Py_CLEAR(ws->on_complete);
    Py_CLEAR(ws->frame);
}

/* ---- frames ---- */

static PyObject *make_frame(const awscrt_ws_record *record) {
    PyObject *opcode = PyTuple_GetItem(awscrt_ws_py.opcodes, record->opcode);
    PyObject *length = PyLong_FromUnsignedLongLong(record->length);
    PyObject *frame = length ? PyObject_CallFunctionObjArgs(awscrt_ws_py.frame_class, opcode, length,
                                                            record->fin ? Py_True : Py_False, NULL)
                             : NULL;
    Py_XDECREF(length);
    return frame;
}

static int tell_begin(awscrt_ws *ws, const awscrt_ws_record *record) {
    Py_XDECREF(ws->frame);
    ws->frame = make_frame(record);
    if (!ws->frame) {
        report_callback("on_incoming_frame_begin");
        return -1;
    }
    if (!ws->on_begin) {
        return 0;
    }
    return call_user(ws->on_begin, awscrt_call1(awscrt_ws_py.begin_class, ws->frame), "on_incoming_frame_begin");
}

static int tell_payload(awscrt_ws *ws, crt_bytes payload) {
    PyObject *bytes = PyBytes_FromStringAndSize((const char *)payload.ptr, (Py_ssize_t)payload.len);
    PyObject *data =
        bytes ? PyObject_CallFunctionObjArgs(awscrt_ws_py.payload_class, ws->frame, bytes, NULL) : NULL;
    Py_XDECREF(bytes);
    return call_user(ws->on_payload, data, "on_incoming_frame_payload");
}

static int tell_complete(awscrt_ws *ws, int code) {
    if (!ws->frame) {
        return 0;
    }
    PyObject *frame = ws->frame;
    ws->frame = NULL;
    int failed = 0;
    if (ws->on_complete) {
        PyObject *exception = code ? awscrt_exception(code, ws->fault.detail) : Py_NewRef(Py_None);
        PyObject *data = PyObject_CallFunctionObjArgs(awscrt_ws_py.complete_class, frame, exception, NULL);
        Py_DECREF(exception);
        failed = call_user(ws->on_complete, data, "on_incoming_frame_complete");
    }
    Py_DECREF(frame);
    return failed;
}

static int tell_record(awscrt_ws *ws, const awscrt_ws_batch *batch, const awscrt_ws_record *record) {
    if (record->begins && tell_begin(ws, record)) {
        return -1;
    }
    if (record->data.len > 0 && ws->on_payload && tell_payload(ws, awscrt_ws_record_data(batch, record))) {
        return -1;
    }
    return record->ends ? tell_complete(ws, record->status) : 0;
}

/* A callback raised: the frame at hand ends, later ones are not told, and the connection goes down. */
static void callback_failed(awscrt_ws *ws) {
    ws->callback_code = AWS_ERROR_HTTP_CALLBACK_FAILURE;
    tell_complete(ws, AWS_ERROR_HTTP_CALLBACK_FAILURE);
    if (ws->native) {
        crt_websocket_abort(ws->native, AWS_ERROR_HTTP_CALLBACK_FAILURE);
    }
}

static void take_batch(awscrt_ws *ws, awscrt_ws_batch *batch) {
    size_t count = awscrt_ws_record_count(batch);
    const awscrt_ws_record *records = awscrt_ws_records(batch);
    bool wanted = ws->on_begin || ws->on_payload || ws->on_complete;
    for (size_t i = 0; i < count && wanted && !ws->callback_code; i++) {
        if (tell_record(ws, batch, &records[i])) {
            callback_failed(ws);
        }
    }
    awscrt_ws_batch_free(batch);
}

static void no_room_events(awscrt_ws *ws) {
}

static const awscrt_ws_kind kind = {setup, take_batch, no_room_events, shutdown_};

/* ---- sending ---- */

/* A frame whose completion somebody wants to know. */
typedef struct sending {
    awscrt_event event;
    awscrt_ws *ws;
    PyObject *on_complete;
    int status;
} sending;

static void deliver_sent(awscrt_event *event) {
    sending *s = CRT_CONTAINER(event, sending, event);
    awscrt_ws *ws = s->ws;
    PyObject *exception = s->status ? awscrt_exception(s->status, NULL) : Py_NewRef(Py_None);
    if (call_user(s->on_complete, awscrt_call1(awscrt_ws_py.sent_class, exception), NULL) && ws->native) {
        crt_websocket_close(ws->native, crt_bytes_of(NULL, 0));
    }
    Py_DECREF(exception);
    Py_DECREF(s->on_complete);
    crt_free(s);
    awscrt_ws_release(ws);
}

static void discard_sent(awscrt_event *event) {
    crt_free(CRT_CONTAINER(event, sending, event));
}

static void on_sent(void *user, int status) {
    sending *s = user;
    s->status = status;
    awscrt_deliver(&s->ws->sink, &s->event);
}

static sending *sending_new(awscrt_ws *ws, PyObject *on_complete) {
    sending *s = crt_malloc(sizeof(*s));
    if (!s) {
        PyErr_NoMemory();
        return NULL;
    }
    s->event.deliver = deliver_sent;
    s->event.discard = discard_sent;
    s->ws = ws;
    crt_ref_inc(&ws->refs);
    s->on_complete = Py_NewRef(on_complete);
    s->status = 0;
    return s;
}

static void sending_cancel(sending *s) {
    if (s) {
        awscrt_ws *ws = s->ws;
        Py_DECREF(s->on_complete);
        crt_free(s);
        awscrt_ws_release(ws);
    }
}

static int send_payload(awscrt_ws *ws, PyObject *object, crt_ws_outgoing *frame) {
    awscrt_ws_payload payload;
    if (awscrt_ws_payload_open(object, &payload)) {
        return -1;
    }
    frame->payload = payload.bytes;
    if (payload.bytes.len > HOLD_MIN && payload.has_buffer && !(frame->source = awscrt_source_of_buffer(object))) {
        awscrt_ws_payload_close(&payload);
        return -1;
    }
    if (frame->source) {
        frame->payload = frame->source->memory;
    }
    int code = crt_websocket_send(ws->native, frame);
    crt_source_release(frame->source);
    awscrt_ws_payload_close(&payload);
    if (code) {
        awscrt_raise(code, NULL);
        return -1;
    }
    return 0;
}

static bool usable(const awscrt_ws *ws) {
    return awscrt_http_check_generation(ws->generation, "WebSocket");
}

/* (opcode, payload, fin, on_complete) */
static PyObject *binding_send(PyObject *self, PyObject *const *args, Py_ssize_t nargs) {
    awscrt_ws *ws = of(self);
    sending *s = NULL;
    if (nargs != 4) {
        PyErr_SetString(PyExc_TypeError, "send() takes opcode, payload, fin and on_complete");
        return NULL;
    }
    long opcode = PyLong_AsLong(args[0]);
    int fin = PyObject_IsTrue(args[2]);
    if ((opcode == -1 && PyErr_Occurred()) || fin < 0 || !usable(ws)) {
        return NULL;
    }
    if (args[3] != Py_None && !(s = sending_new(ws, args[3]))) {
        return NULL;
    }
    crt_ws_outgoing frame = {.opcode = (int)opcode, .fin = fin, .done = s ? on_sent : NULL, .user = s};
    if (send_payload(ws, args[1], &frame)) {
        sending_cancel(s);
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *binding_close(PyObject *self, PyObject *unused) {
    if (!usable(of(self))) {
        return NULL;
    }
    crt_websocket_close(of(self)->native, crt_bytes_of(NULL, 0));
    Py_RETURN_NONE;
}

static PyObject *binding_credit(PyObject *self, PyObject *size) {
    unsigned long long n = PyLong_AsUnsignedLongLong(size);
    if ((n == (unsigned long long)-1 && PyErr_Occurred()) || !usable(of(self))) {
        return NULL;
    }
    crt_websocket_credit(of(self)->native, n);
    Py_RETURN_NONE;
}

/* The WebSocket is gone: its connection closes. */
static void binding_dealloc(PyObject *self) {
    awscrt_ws *ws = of(self);
    crt_websocket *native = ws->native;
    ws->native = NULL;
    if (ws->generation == crt_fork_generation()) {
        crt_websocket_release(native);
        awscrt_ws_release(ws);
    } /* else the parent's: its memory here is shared with threads that do not exist */
    awscrt_free_instance(self);
}

static PyMethodDef binding_methods[] = {
    {"send", (PyCFunction)(void (*)(void))binding_send, METH_FASTCALL, "(opcode, payload, fin, on_complete)"},
    {"close", binding_close, METH_NOARGS, "Sends CLOSE unless one was sent, and closes."},
    {"credit", binding_credit, METH_O, "Lets so many more bytes of payload in."},
    {NULL, NULL, 0, NULL},
};

static PyObject *no_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    PyErr_SetString(PyExc_TypeError, "WebSocketBinding is made by websocket_connect()");
    return NULL;
}

static PyType_Slot binding_slots[] = {
    {Py_tp_doc, "Native part of awscrt.websocket.WebSocket."},
    {Py_tp_new, no_new},
    {Py_tp_dealloc, binding_dealloc},
    {Py_tp_methods, binding_methods},
    {0, NULL},
};

static PyType_Spec binding_spec = {
    .name = "awscrt._http.WebSocketBinding",
    .basicsize = sizeof(binding_object),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = binding_slots,
};

/* ---- connecting ---- */

enum { CORE = AWSCRT_WS_ARGUMENTS, WINDOW, ON_BEGIN, ON_PAYLOAD, ON_COMPLETE, CONNECT_ARGUMENTS };

static PyObject *some(PyObject *object) {
    return object == Py_None ? NULL : Py_NewRef(object);
}

static PyObject *websocket_connect(PyObject *module, PyObject *const *args, Py_ssize_t nargs) {
    crt_websocket_options options;
    memset(&options, 0, sizeof(options));
    if (nargs != CONNECT_ARGUMENTS) {
        PyErr_Format(PyExc_TypeError, "websocket_connect() takes %d arguments", CONNECT_ARGUMENTS);
        return NULL;
    }
    if (args[WINDOW] != Py_None) {
        options.manual_window = true;
        options.initial_window = PyLong_AsUnsignedLongLong(args[WINDOW]);
        if (PyErr_Occurred()) {
            return NULL;
        }
    }
    awscrt_ws *ws = awscrt_ws_new(&kind, NULL);
    if (!ws) {
        return NULL;
    }
    ws->owner = Py_NewRef(args[CORE]);
    ws->on_begin = some(args[ON_BEGIN]);
    ws->on_payload = some(args[ON_PAYLOAD]);
    ws->on_complete = some(args[ON_COMPLETE]);
    int failed = awscrt_ws_connect(ws, args, &options);
    awscrt_ws_release(ws);
    if (failed) {
        return NULL;
    }
    Py_RETURN_NONE;
}

PyMethodDef awscrt_http_websocket_connect_method = {
    "websocket_connect", (PyCFunction)(void (*)(void))websocket_connect, METH_FASTCALL,
    "(host, port, request, bootstrap, socket_options, tls_connection_options, proxy_options, core, window or None, "
    "on_begin, on_payload, on_complete)"};

/* The classes and functions of awscrt.websocket that are needed here; called once by that module. */
static PyObject *use_websocket_types(PyObject *module, PyObject *args) {
    PyObject *found[7];
    if (!PyArg_ParseTuple(args, "O!OOOOOO:use_websocket_types", &PyTuple_Type, &found[0], &found[1], &found[2],
                          &found[3], &found[4], &found[5], &found[6])) {
        return NULL;
    }
    awscrt_ws_shared *py = &awscrt_ws_py;
    PyObject **const places[] = {&py->opcodes,        &py->frame_class, &py->begin_class, &py->payload_class,
                                 &py->complete_class, &py->sent_class,  &py->report};
    if (PyTuple_Size(found[0]) < 16) {
        PyErr_SetString(PyExc_ValueError, "an entry for each of the 16 opcodes is expected");
        return NULL;
    }
    for (int i = 0; i < 7; i++) {
        *places[i] = Py_NewRef(found[i]);
    }
    Py_RETURN_NONE;
}

PyMethodDef awscrt_http_use_websocket_types_method = {
    "use_websocket_types", use_websocket_types, METH_VARARGS,
    "(opcodes, IncomingFrame, begin, payload, complete and sent data classes, report)"};

int awscrt_http_websocket_init(PyObject *module) {
    awscrt_ws_py.binding_type = (PyTypeObject *)PyType_FromSpec(&binding_spec);
    return awscrt_ws_py.binding_type
               ? PyModule_AddObjectRef(module, "WebSocketBinding", (PyObject *)awscrt_ws_py.binding_type)
               : -1;
}
