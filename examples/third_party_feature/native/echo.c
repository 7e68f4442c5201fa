/*
 * Asks a line server: connects (TLS if asked to), sends one line, reads one line, closes.
 *
 * An exchange lives on the event loop it was given to. The loop's thread never touches Python: the result goes to the
 * mailbox of the caller's asyncio loop, which calls `done(error, reply)` there, exactly once.
 */
#define AWSCRT_CORE_IMPLEMENT
#include "awscrt/core_api.h"
#include "awscrt/pycompat.h"

#define REPLY_LIMIT (64 * 1024)
#define READ_SIZE 4096

typedef struct exchange {
    awscrt_event result;
    awscrt_sink sink;
    crt_stream *stream;
    crt_timer deadline;
    uint32_t timeout_ms;
    crt_buf request;
    crt_buf reply;
    crt_fault fault;
    PyObject *done;
    PyObject *bootstrap; /* keeps the loops' threads */
} exchange;

static void exchange_free_memory(exchange *x) {
    crt_buf_free(&x->request);
    crt_buf_free(&x->reply);
    if (x->sink.mailbox) {
        awscrt_mailbox_release(x->sink.mailbox);
    }
    crt_free(x);
}

/* ---- the result; GIL held ---- */

static void exchange_deliver(awscrt_event *event) {
    exchange *x = CRT_CONTAINER(event, exchange, result);
    PyObject *error = Py_None, *reply = Py_None;
    if (x->fault.code) {
        error = awscrt_exception(x->fault.code, x->fault.detail);
        Py_INCREF(reply);
    } else {
        Py_INCREF(error);
        reply = PyBytes_FromStringAndSize((const char *)crt_buf_data(&x->reply), (Py_ssize_t)crt_buf_len(&x->reply));
    }
    PyObject *answer = reply ? PyObject_CallFunctionObjArgs(x->done, error, reply, NULL) : NULL;
    if (!answer) {
        awscrt_report(x->done);
    }
    Py_XDECREF(answer);
    Py_XDECREF(reply);
    Py_DECREF(error);
    Py_DECREF(x->done);
    Py_DECREF(x->bootstrap);
    exchange_free_memory(x);
}

/* The interpreter is going away: plain memory only. */
static void exchange_discard(awscrt_event *event) {
    exchange_free_memory(CRT_CONTAINER(event, exchange, result));
}

static void exchange_end(exchange *x, const crt_fault *fault) {
    x->fault = *fault;
    awscrt_deliver(&x->sink, &x->result); /* the exchange may be gone when this returns */
}

/* ---- on the event loop ---- */

static bool has_line(const exchange *x) {
    const crt_bytes bytes = crt_buf_view(&x->reply);
    return bytes.len && bytes.ptr[bytes.len - 1] == '\n';
}

static void on_space(void *user, crt_span *space) {
    exchange *x = user;
    space->len = 0;
    if (!crt_buf_reserve(&x->reply, READ_SIZE)) {
        space->ptr = x->reply.ptr + x->reply.end;
        space->len = READ_SIZE;
    } else {
        crt_stream_close(x->stream, AWS_ERROR_OOM);
    }
}

static void on_data(void *user, size_t n) {
    exchange *x = user;
    x->reply.end += n;
    if (has_line(x)) {
        crt_stream_close(x->stream, 0);
    } else if (crt_buf_len(&x->reply) > REPLY_LIMIT) {
        crt_stream_close(x->stream, AWS_ERROR_SHORT_BUFFER);
    }
}

static void on_deadline(crt_timer *timer) {
    crt_stream_close(CRT_CONTAINER(timer, exchange, deadline)->stream, AWS_IO_SOCKET_TIMEOUT);
}

static void on_closed(void *user, const crt_fault *fault) {
    exchange *x = user;
    crt_fault outcome = *fault;
    crt_timer_stop(&x->deadline);
    if (!outcome.code && !has_line(x)) {
        crt_fail(&outcome, AWS_IO_SOCKET_CLOSED, "%s closed before a whole line had arrived", x->stream->peer);
    }
    crt_stream_release(x->stream);
    exchange_end(x, &outcome);
}

static const crt_stream_handler handler = {on_space, on_data, NULL, on_closed};

static void on_connected(void *user, const crt_fault *fault, crt_stream *stream) {
    exchange *x = user;
    if (fault->code) {
        exchange_end(x, fault);
        return;
    }
    x->stream = stream;
    crt_timer_init(&x->deadline, stream->loop, on_deadline);
    crt_timer_start(&x->deadline, x->timeout_ms);
    crt_stream_set_handler(stream, &handler, x);
    int status = crt_stream_put(stream, crt_buf_data(&x->request), crt_buf_len(&x->request));
    if (status) {
        crt_stream_close(stream, status);
    }
}

/* ---- from Python ---- */

static exchange *exchange_new(const char *line, Py_ssize_t len, PyObject *loop, PyObject *done) {
    exchange *x = crt_calloc(1, sizeof(*x));
    if (!x || crt_buf_append(&x->request, line, (size_t)len)) {
        PyErr_NoMemory();
        goto fail;
    }
    x->sink.mailbox = awscrt_mailbox_of(loop);
    if (!x->sink.mailbox) {
        goto fail;
    }
    x->result.deliver = exchange_deliver;
    x->result.discard = exchange_discard;
    x->done = done;
    return x;
fail:
    if (x) {
        exchange_free_memory(x);
    }
    return NULL;
}

PyDoc_STRVAR(exchange_doc,
             "exchange(host, port, line, timeout_ms, tls_connection_options, bootstrap, loop, done)\n--\n\n"
             "Calls done(error, reply) on the asyncio loop, exactly once; one of the two is None.");

static PyObject *echo_exchange(PyObject *module, PyObject *args) {
    const char *host, *line;
    Py_ssize_t len;
    unsigned int timeout_ms;
    unsigned short port;
    PyObject *tls_object, *bootstrap, *loop, *done;
    PyObject *keep_tls = NULL; /* what `tls` borrows from */
    crt_tls_options tls;
    crt_loop_group *group;
    crt_connect_options options = {.socket = CRT_SOCKET_OPTIONS_DEFAULT};
    if (!PyArg_ParseTuple(args, "sHy#IOOOO:exchange", &host, &port, &line, &len, &timeout_ms, &tls_object, &bootstrap,
                          &loop, &done) ||
        awscrt_tls_options_get(tls_object, &tls, &keep_tls)) {
        return NULL;
    }
    exchange *x = exchange_new(line, len, loop, done);
    if (!x || awscrt_bootstrap_get(bootstrap, &group, &options.resolver, &x->bootstrap)) {
        goto failed;
    }
    Py_INCREF(done);
    x->timeout_ms = timeout_ms;
    x->sink.loop = crt_loop_group_pick(group);
    options.loop = x->sink.loop;
    options.host = host;
    options.port = port;
    options.tls = tls.ctx ? &tls : NULL;
    options.done = on_connected;
    options.user = x;
    if (!crt_stream_connect(&options)) {
        Py_DECREF(x->bootstrap);
        Py_DECREF(done);
        PyErr_NoMemory();
        goto failed;
    }
    Py_XDECREF(keep_tls); /* the connect has copied the options */
    Py_RETURN_NONE;

failed:
    Py_XDECREF(keep_tls);
    if (x) {
        exchange_free_memory(x);
    }
    return NULL;
}

static PyMethodDef functions[] = {{"exchange", echo_exchange, METH_VARARGS, exchange_doc}, {NULL, NULL, 0, NULL}};

static int module_exec(PyObject *module) {
    return awscrt_core_import("awscrt-echo");
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, (void *)module_exec},
#if defined(Py_mod_gil)
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_echo", NULL, 0, functions, slots, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__echo(void) {
    return PyModuleDef_Init(&definition);
}
