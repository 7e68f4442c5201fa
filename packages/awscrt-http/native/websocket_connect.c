/*
 * The part of a WebSocket connection that both bindings share: arguments, the answer to the handshake, and batches
 * of received pieces.
 */
#include "websocket.h"

enum {
    TRANSIT_MAX = 2 * 1024 * 1024, /* by message: what Python has not taken; then the socket is not read */
    TRANSIT_LOW = TRANSIT_MAX / 2,
    FIRST_RECORDS = 16,
};

/* ---- lifetime ---- */

static void answer_free(awscrt_ws_answer *answer) {
    crt_free(answer->headers);
    crt_buf_free(&answer->text);
    crt_buf_free(&answer->body);
    answer->headers = NULL;
}

void awscrt_ws_release(awscrt_ws *ws) {
    if (!crt_ref_dec(&ws->refs)) {
        return;
    }
    Py_XDECREF(ws->keep);
    Py_XDECREF(ws->owner);
    Py_XDECREF(ws->on_begin);
    Py_XDECREF(ws->on_payload);
    Py_XDECREF(ws->on_complete);
    Py_XDECREF(ws->frame);
    awscrt_mailbox_release(ws->sink.mailbox);
    answer_free(&ws->answer);
    crt_free(ws);
}

void awscrt_ws_batch_free(awscrt_ws_batch *batch) {
    crt_ws_block_release(batch->block);
    crt_buf_free(&batch->records);
    crt_buf_free(&batch->controls);
    crt_free(batch);
}

crt_bytes awscrt_ws_record_data(const awscrt_ws_batch *batch, const awscrt_ws_record *record) {
    if (!record->is_control) {
        return record->data;
    }
    return crt_bytes_of(crt_buf_data(&batch->controls) + (uintptr_t)record->data.ptr, record->data.len);
}

/* ---- events ---- */

/* The interpreter is going away: its objects, and what belongs to them, are left alone. */
static void discard(awscrt_event *event) {
}

static void deliver_setup(awscrt_event *event) {
    awscrt_ws *ws = CRT_CONTAINER(event, awscrt_ws, setup);
    bool failed = ws->answer.fault.code != 0;
    ws->native = ws->fresh;
    ws->kind->setup(ws);
    answer_free(&ws->answer);
    if (failed) {
        awscrt_ws_release(ws);
    }
}

static void deliver_batch(awscrt_event *event) {
    awscrt_ws_batch *batch = CRT_CONTAINER(event, awscrt_ws_batch, event);
    batch->ws->kind->batch(batch->ws, batch);
}

static void discard_batch(awscrt_event *event) {
    awscrt_ws_batch_free(CRT_CONTAINER(event, awscrt_ws_batch, event));
}

static void deliver_room(awscrt_event *event) {
    awscrt_ws *ws = CRT_CONTAINER(event, awscrt_ws, room);
    __atomic_store_n(&ws->room_pending, 0, __ATOMIC_SEQ_CST);
    ws->kind->room(ws);
    awscrt_ws_release(ws);
}

static void deliver_shutdown(awscrt_event *event) {
    awscrt_ws *ws = CRT_CONTAINER(event, awscrt_ws, shutdown);
    PyObject *keep = ws->keep;
    ws->keep = NULL;
    ws->is_down = true;
    ws->kind->shutdown(ws);
    awscrt_ws_release(ws);
    Py_XDECREF(keep);
}

/* ---- the loop's side ---- */

static int keep_text(crt_buf *text, crt_bytes from, crt_bytes *to) {
    *to = crt_bytes_of(text->ptr + text->end, from.len);
    return from.len ? crt_buf_append(text, from.ptr, from.len) : 0;
}

static int keep_response(awscrt_ws_answer *answer, const crt_ws_response *response) {
    size_t total = 1;
    for (size_t i = 0; i < response->header_count; i++) {
        total += response->headers[i].name.len + response->headers[i].value.len;
    }
    answer->headers = crt_calloc(response->header_count + 1, sizeof(*answer->headers));
    if (!answer->headers || crt_buf_reserve(&answer->text, total)) { /* views of the text: it must not move */
        return AWS_ERROR_OOM;
    }
    for (size_t i = 0; i < response->header_count; i++) {
        keep_text(&answer->text, response->headers[i].name, &answer->headers[i].name);
        keep_text(&answer->text, response->headers[i].value, &answer->headers[i].value);
    }
    answer->header_count = response->header_count;
    answer->status = response->status;
    answer->complete = response->complete;
    return response->body.len ? crt_buf_append(&answer->body, response->body.ptr, response->body.len) : 0;
}

static void on_setup(void *user, const crt_fault *fault, crt_websocket *native, const crt_ws_response *response) {
    awscrt_ws *ws = user;
    ws->answer.fault = *fault;
    ws->fresh = native;
    if (response && keep_response(&ws->answer, response)) {
        answer_free(&ws->answer);
        ws->answer.status = 0;
    }
    awscrt_deliver(&ws->sink, &ws->setup);
}

static void send_open_batch(awscrt_ws *ws) {
    awscrt_ws_batch *batch = ws->open;
    ws->open = NULL;
    if (ws->sink.mailbox) {
        __atomic_add_fetch(&ws->in_transit, batch->bytes, __ATOMIC_SEQ_CST);
    }
    awscrt_deliver(&ws->sink, &batch->event);
}

static void flush(crt_task *task, int status) {
    awscrt_ws *ws = CRT_CONTAINER(task, awscrt_ws, flush);
    ws->flush_due = false;
    if (ws->open) {
        send_open_batch(ws);
    }
    if (ws->ended) {
        awscrt_deliver(&ws->sink, &ws->shutdown);
    }
}

static awscrt_ws_batch *batch_new(awscrt_ws *ws) {
    awscrt_ws_batch *batch = crt_calloc(1, sizeof(*batch));
    if (!batch) {
        return NULL;
    }
    batch->event.deliver = deliver_batch;
    batch->event.discard = discard_batch;
    batch->ws = ws;
    if (!ws->flush_due) {
        ws->flush_due = true;
        crt_loop_defer(ws->sink.loop, &ws->flush);
    }
    return batch;
}

/* The batch that a piece of this block goes to. */
static awscrt_ws_batch *batch_for(awscrt_ws *ws, crt_ws_block *block) {
    if (ws->open && block && ws->open->block && ws->open->block != block) {
        send_open_batch(ws);
    }
    if (!ws->open && !(ws->open = batch_new(ws))) {
        return NULL;
    }
    if (block && !ws->open->block) {
        crt_ws_block_acquire(block);
        ws->open->block = block;
    }
    return ws->open;
}

static int reserve_record(crt_buf *records) {
    size_t room = records->cap - records->end;
    size_t step = records->cap ? records->cap : FIRST_RECORDS * sizeof(awscrt_ws_record);
    return room >= sizeof(awscrt_ws_record) ? 0 : crt_buf_reserve(records, step);
}

static int on_piece(void *user, const crt_ws_piece *piece) {
    awscrt_ws *ws = user;
    awscrt_ws_batch *batch = batch_for(ws, piece->block);
    if (!batch || reserve_record(&batch->records)) {
        return AWS_ERROR_OOM;
    }
    awscrt_ws_record record = {
        .data = piece->data,
        .length = piece->length,
        .status = piece->status,
        .opcode = (uint8_t)piece->opcode,
        .fin = piece->fin,
        .begins = piece->begins,
        .ends = piece->ends,
    };
    if (!piece->block && piece->data.len > 0) {
        record.is_control = true;
        record.data.ptr = (const uint8_t *)(uintptr_t)crt_buf_len(&batch->controls);
        if (crt_buf_append(&batch->controls, piece->data.ptr, piece->data.len)) {
            return AWS_ERROR_OOM;
        }
    }
    memcpy(batch->records.ptr + batch->records.end, &record, sizeof(record));
    batch->records.end += sizeof(record);
    batch->bytes += piece->data.len + sizeof(record);
    return 0;
}

/* ---- an asyncio loop that is busy: what is on its way to it is bounded ---- */

/* Who sets `held` back to 0 is the one to go on reading, or to have it done. */
static bool leave_held(awscrt_ws *ws) {
    return __atomic_load_n(&ws->in_transit, __ATOMIC_SEQ_CST) <= TRANSIT_LOW &&
           __atomic_exchange_n(&ws->held, 0, __ATOMIC_SEQ_CST);
}

static bool may_read(void *user) {
    awscrt_ws *ws = user;
    if (!ws->sink.mailbox || __atomic_load_n(&ws->in_transit, __ATOMIC_RELAXED) < TRANSIT_MAX) {
        return true;
    }
    __atomic_store_n(&ws->held, 1, __ATOMIC_SEQ_CST);
    return leave_held(ws); /* taken meanwhile */
}

void awscrt_ws_taken(awscrt_ws *ws, size_t bytes) {
    __atomic_sub_fetch(&ws->in_transit, bytes, __ATOMIC_SEQ_CST);
    if (leave_held(ws) && ws->native) {
        crt_websocket_resume(ws->native);
    }
}

static void on_room(void *user) {
    awscrt_ws *ws = user;
    if (!__atomic_exchange_n(&ws->room_pending, 1, __ATOMIC_SEQ_CST)) {
        crt_ref_inc(&ws->refs);
        awscrt_deliver(&ws->sink, &ws->room);
    }
}

static void on_shutdown(void *user, const crt_fault *fault) {
    awscrt_ws *ws = user;
    ws->fault = *fault;
    ws->ended = true;
    if (!ws->flush_due) { /* else the flush does it: `ws` may be gone right behind it */
        awscrt_deliver(&ws->sink, &ws->shutdown);
    }
}

static const crt_websocket_handler handler = {on_setup, on_piece, may_read, on_room, on_shutdown};

/* ---- connecting ---- */

awscrt_ws *awscrt_ws_new(const awscrt_ws_kind *kind, awscrt_mailbox *mailbox) {
    awscrt_ws *ws = crt_calloc(1, sizeof(*ws));
    if (!ws) {
        PyErr_NoMemory();
        return NULL;
    }
    crt_ref_init(&ws->refs);
    ws->generation = crt_fork_generation();
    ws->kind = kind;
    ws->flush.run = flush;
    ws->setup.deliver = deliver_setup;
    ws->room.deliver = deliver_room;
    ws->shutdown.deliver = deliver_shutdown;
    ws->setup.discard = ws->room.discard = ws->shutdown.discard = discard;
    if (mailbox) {
        awscrt_mailbox_acquire(mailbox);
        ws->sink.mailbox = mailbox;
    }
    return ws;
}

static int port_of(PyObject *value, bool tls, uint32_t *port) {
    if (value == Py_None) {
        *port = tls ? 443 : 80;
        return 0;
    }
    unsigned long long number = PyLong_AsUnsignedLongLong(value);
    if (number == (unsigned long long)-1 && PyErr_Occurred()) {
        return -1;
    }
    if (number > UINT32_MAX) {
        PyErr_Format(PyExc_OverflowError, "port %R is out of range", value);
        return -1;
    }
    *port = (uint32_t)number;
    return 0;
}

static int host_of(PyObject *value, const char **host) {
    Py_ssize_t len;
    if (!PyUnicode_Check(value)) {
        PyErr_SetString(PyExc_TypeError, "host must be a str");
        return -1;
    }
    *host = PyUnicode_AsUTF8AndSize(value, &len);
    if (*host && strlen(*host) != (size_t)len) {
        awscrt_raise(AWS_ERROR_INVALID_ARGUMENT, "host contains NUL");
        return -1;
    }
    return *host ? 0 : -1;
}

/* What the options point to, and what that is borrowed from, until crt_websocket_connect has copied it. */
typedef struct borrowed {
    crt_http_proxy proxy;
    crt_tls_options tls, proxy_tls;
    PyObject *keep_tls, *keep_proxy;
} borrowed;

static int fill(awscrt_ws *ws, PyObject *const *given, borrowed *b, crt_websocket_options *options) {
    crt_connect_options *target = &options->target;
    crt_loop_group *group;
    if (host_of(given[AWSCRT_WS_HOST], &target->host) ||
        awscrt_socket_options_get(given[AWSCRT_WS_SOCKET_OPTIONS], &target->socket) ||
        awscrt_tls_options_get(given[AWSCRT_WS_TLS_OPTIONS], &b->tls, &b->keep_tls) ||
        port_of(given[AWSCRT_WS_PORT], b->tls.ctx != NULL, &target->port) ||
        awscrt_http_proxy_get(given[AWSCRT_WS_PROXY_OPTIONS], &b->proxy, &b->proxy_tls, &b->keep_proxy)) {
        return -1;
    }
    options->request = awscrt_http_message_get(given[AWSCRT_WS_REQUEST]);
    if (!options->request ||
        awscrt_bootstrap_get(given[AWSCRT_WS_BOOTSTRAP], &group, &target->resolver, &ws->keep)) {
        return -1;
    }
    target->loop = ws->sink.loop = crt_loop_group_pick(group);
    target->tls = b->tls.ctx ? &b->tls : NULL;
    options->proxy = b->proxy.host ? &b->proxy : NULL;
    options->handler = &handler;
    options->user = ws;
    return 0;
}

int awscrt_ws_connect(awscrt_ws *ws, PyObject *const *given, crt_websocket_options *options) {
    borrowed b;
    memset(&b, 0, sizeof(b));
    int failed = fill(ws, given, &b, options);
    if (!failed) {
        crt_ref_inc(&ws->refs);
        int code = crt_websocket_connect(options);
        if (code) {
            awscrt_ws_release(ws);
            awscrt_raise(code, code == AWS_ERROR_INVALID_ARGUMENT ? "not a WebSocket handshake request" : NULL);
            failed = -1;
        }
    }
    Py_XDECREF(b.keep_tls);
    Py_XDECREF(b.keep_proxy);
    return failed;
}

/* ---- for Python ---- */

static PyObject *header_list(const awscrt_ws_answer *answer) {
    PyObject *list = PyList_New(0);
    for (size_t i = 0; list && i < answer->header_count; i++) {
        const crt_http_header *h = &answer->headers[i];
        PyObject *name = PyUnicode_DecodeUTF8((const char *)h->name.ptr, (Py_ssize_t)h->name.len, "replace");
        PyObject *value = PyUnicode_DecodeUTF8((const char *)h->value.ptr, (Py_ssize_t)h->value.len, "replace");
        PyObject *pair = name && value ? PyTuple_Pack(2, name, value) : NULL;
        Py_XDECREF(name);
        Py_XDECREF(value);
        if (!pair || PyList_Append(list, pair)) {
            Py_CLEAR(list);
        }
        Py_XDECREF(pair);
    }
    return list;
}

PyObject *awscrt_ws_answer_tuple(const awscrt_ws *ws) {
    const awscrt_ws_answer *answer = &ws->answer;
    const char *body = (const char *)crt_buf_data(&answer->body);
    PyObject *exception =
        answer->fault.code ? awscrt_exception(answer->fault.code, answer->fault.detail) : Py_NewRef(Py_None);
    PyObject *status = answer->status ? PyLong_FromLong(answer->status) : Py_NewRef(Py_None);
    PyObject *headers = answer->status ? header_list(answer) : Py_NewRef(Py_None);
    PyObject *content = answer->complete
                            ? PyBytes_FromStringAndSize(body, (Py_ssize_t)crt_buf_len(&answer->body))
                            : Py_NewRef(Py_None);
    PyObject *tuple = status && headers && content ? PyTuple_Pack(4, exception, status, headers, content) : NULL;
    Py_XDECREF(exception);
    Py_XDECREF(status);
    Py_XDECREF(headers);
    Py_XDECREF(content);
    return tuple;
}

int awscrt_ws_payload_open(PyObject *object, awscrt_ws_payload *out) {
    Py_ssize_t len;
    out->bytes = crt_bytes_of(NULL, 0);
    out->has_buffer = false;
    if (object == Py_None) {
        return 0;
    }
    if (PyUnicode_Check(object)) {
        const char *text = PyUnicode_AsUTF8AndSize(object, &len);
        out->bytes = crt_bytes_of(text, text ? (size_t)len : 0);
        return text ? 0 : -1;
    }
    if (PyObject_GetBuffer(object, &out->buffer, PyBUF_SIMPLE)) {
        return -1;
    }
    out->has_buffer = true;
    out->bytes = crt_bytes_of(out->buffer.buf, (size_t)out->buffer.len);
    return 0;
}

void awscrt_ws_payload_close(awscrt_ws_payload *payload) {
    if (payload->has_buffer) {
        PyBuffer_Release(&payload->buffer);
    }
}
