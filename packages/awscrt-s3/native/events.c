/*
 * The callbacks of a transfer: called on its home loop, carried to Python as events, in order.
 */
#include "binding.h"

#include <stdio.h>

/* ---- life ---- */

/* What belongs to the running transfer. Its client may end from here on, even while the handle is kept. */
static void drop_transfer(awscrt_s3_run *run) {
    Py_CLEAR(run->future);
    Py_CLEAR(run->on_headers);
    Py_CLEAR(run->on_body);
    Py_CLEAR(run->on_progress);
    Py_CLEAR(run->on_done);
    Py_CLEAR(run->exception);
    Py_CLEAR(run->body);
    awscrt_s3_spares_drop(run);
    run->provider = NULL;
    Py_CLEAR(run->keep);
    crt_s3_transfer *transfer = run->transfer;
    run->transfer = NULL;
    if (transfer && run->generation == crt_fork_generation()) {
        crt_s3_transfer_release(transfer);
    }
}

void awscrt_s3_run_release(awscrt_s3_run *run) {
    if (!crt_ref_dec(&run->refs)) {
        return;
    }
    drop_transfer(run);
    if (run->on_gone) {
        PyObject *result = awscrt_call0(run->on_gone);
        if (!result) {
            awscrt_report(run->on_gone);
        }
        Py_XDECREF(result);
        Py_DECREF(run->on_gone);
    }
    crt_free(run->done_event); /* never used when the transfer did not start */
    if (run->sink.mailbox) {
        awscrt_mailbox_release(run->sink.mailbox);
    }
    crt_free(run);
}

/* ---- calling back ---- */

/* A callback's exception ends the transfer and becomes its outcome. */
static void keep_exception(awscrt_s3_run *run) {
    PyObject *exception = awscrt_exception_take();
    if (run->exception) {
        Py_XDECREF(exception);
        return;
    }
    run->exception = exception;
    crt_s3_transfer_cancel(run->transfer, AWS_ERROR_HTTP_CALLBACK_FAILURE);
}

/* Bodies and progress that come after the user has ended the download are not delivered. */
static bool is_over(const awscrt_s3_run *run) {
    return run->exception || (run->is_canceled && run->is_download);
}

/* callable(**{names[i]: values[i]}); steals the values, of which none may be NULL unless an exception is set. */
static PyObject *call_keywords(PyObject *callable, const char *const *names, PyObject **values, int count) {
    PyObject *keywords = PyDict_New();
    PyObject *nothing = PyTuple_New(0);
    PyObject *result = NULL;
    bool complete = keywords && nothing;
    for (int i = 0; i < count; i++) {
        complete = complete && values[i] && PyDict_SetItemString(keywords, names[i], values[i]) == 0;
        Py_XDECREF(values[i]);
    }
    if (complete) {
        result = PyObject_Call(callable, nothing, keywords);
    }
    Py_XDECREF(nothing);
    Py_XDECREF(keywords);
    return result;
}

static PyObject *header_list(const crt_http_headers *headers) {
    size_t count = crt_http_headers_count(headers);
    crt_http_header *flat = crt_malloc((count + 1) * sizeof(*flat));
    if (!flat) {
        return PyErr_NoMemory();
    }
    for (size_t i = 0; i < count; i++) {
        flat[i] = crt_http_headers_at(headers, i);
    }
    PyObject *list = awscrt_http_header_list(flat, count);
    crt_free(flat);
    return list;
}

/* ---- headers ---- */

typedef struct headers_event {
    awscrt_event event;
    awscrt_s3_run *run;
    int status;
    crt_http_headers *headers;
} headers_event;

static void headers_discard(awscrt_event *event) {
    headers_event *self = CRT_CONTAINER(event, headers_event, event);
    crt_http_headers_release(self->headers);
    crt_free(self);
}

static void headers_deliver(awscrt_event *event) {
    static const char *const names[] = {"status_code", "headers"};
    headers_event *self = CRT_CONTAINER(event, headers_event, event);
    awscrt_s3_run *run = self->run;
    if (!run->exception) {
        PyObject *values[] = {PyLong_FromLong(self->status), header_list(self->headers)};
        PyObject *result = call_keywords(run->on_headers, names, values, 2);
        if (!result) {
            keep_exception(run);
        }
        Py_XDECREF(result);
    }
    headers_discard(event);
}

static bool find_number(const crt_http_headers *headers, const char *name, size_t skip, uint64_t *out) {
    crt_bytes value;
    if (!crt_http_headers_get(headers, crt_bytes_str(name), &value) || value.len <= skip) {
        return false;
    }
    *out = 0;
    for (size_t i = skip; i < value.len && value.ptr[i] >= '0' && value.ptr[i] <= '9'; i++) {
        *out = *out * 10 + (uint64_t)(value.ptr[i] - '0');
    }
    return true;
}

static void on_headers(void *user, int status, crt_http_headers *headers) {
    awscrt_s3_run *run = user;
    if (run->whole_body) {
        /* The engine has checked both. */
        find_number(headers, "Content-Length", 0, &run->body_size);
        find_number(headers, "Content-Range", strlen("bytes "), &run->first);
    }
    headers_event *self = run->on_headers ? crt_calloc(1, sizeof(*self)) : NULL;
    if (!self) {
        return;
    }
    self->event.deliver = headers_deliver;
    self->event.discard = headers_discard;
    self->run = run;
    self->status = status;
    self->headers = headers;
    crt_http_headers_acquire(headers);
    awscrt_deliver(&run->sink, &self->event);
}

/* ---- memory for parts ---- */

/* The whole body's memory from `offset` on; NULL without an exception when there is none. */
static char *whole_body_at(awscrt_s3_run *run, uint64_t offset, size_t length) {
    if (!run->body) {
        run->body = awscrt_s3_bytes_new(run, run->body_size);
    }
    bool inside = offset >= run->first && offset - run->first <= run->body_size &&
                  length <= run->body_size - (offset - run->first);
    return run->body && inside ? PyBytes_AsString(run->body) + (offset - run->first) : NULL;
}

typedef struct memory_event {
    awscrt_event event;
    awscrt_s3_run *run;
    crt_s3_request *request;
    uint64_t offset;
    size_t length;
} memory_event;

static void memory_deliver(awscrt_event *event) {
    memory_event *self = CRT_CONTAINER(event, memory_event, event);
    if (self->run->whole_body) {
        char *memory = whole_body_at(self->run, self->offset, self->length);
        crt_s3_memory_ready(self->request, memory, self->run);
    } else {
        PyObject *bytes = awscrt_s3_bytes_new(self->run, self->length);
        crt_s3_memory_ready(self->request, bytes ? PyBytes_AsString(bytes) : NULL, bytes);
    }
    crt_free(self);
}

static void memory_discard(awscrt_event *event) {
    memory_event *self = CRT_CONTAINER(event, memory_event, event);
    crt_s3_memory_ready(self->request, NULL, NULL);
    crt_free(self);
}

static void on_memory(void *user, crt_s3_request *request, uint64_t offset, size_t length) {
    awscrt_s3_run *run = user;
    memory_event *self = crt_calloc(1, sizeof(*self));
    if (!self) {
        crt_s3_memory_ready(request, NULL, NULL);
        return;
    }
    self->event.deliver = memory_deliver;
    self->event.discard = memory_discard;
    self->run = run;
    self->request = request;
    self->offset = offset;
    self->length = length;
    awscrt_deliver(&run->sink, &self->event);
}

/* The cookie is the part's bytes object, or the run itself when the part is a piece of the whole body. */
static void on_memory_unused(void *user, void *cookie) {
    if (cookie != user) {
        awscrt_drop(cookie);
    }
}

/* ---- body ---- */

typedef struct body_event {
    awscrt_event event;
    awscrt_s3_run *run;
    crt_s3_chunk chunk;
} body_event;

/* The reference of an undelivered part leaks: there is no Python any more. */
static void body_discard(awscrt_event *event) {
    body_event *self = CRT_CONTAINER(event, body_event, event);
    crt_buf_free(&self->chunk.small);
    crt_free(self);
}

static PyObject *take_bytes(crt_s3_chunk *chunk) {
    PyObject *bytes = chunk->cookie;
    chunk->cookie = NULL;
    if (!bytes) {
        bytes = PyBytes_FromStringAndSize((const char *)crt_buf_data(&chunk->small), (Py_ssize_t)chunk->length);
    }
    return bytes;
}

/* A piece that was not received in place. */
static void store_piece(awscrt_s3_run *run, crt_s3_chunk *chunk) {
    if (chunk->cookie) {
        return;
    }
    char *memory = whole_body_at(run, chunk->offset, chunk->length);
    if (memory) {
        memcpy(memory, crt_buf_data(&chunk->small), chunk->length);
    } else {
        crt_s3_transfer_cancel(run->transfer, AWS_ERROR_OOM);
    }
}

static void body_deliver(awscrt_event *event) {
    static const char *const names[] = {"chunk", "offset"};
    body_event *self = CRT_CONTAINER(event, body_event, event);
    awscrt_s3_run *run = self->run;
    if (run->whole_body) {
        store_piece(run, &self->chunk);
    } else if (is_over(run)) {
        PyObject *unused = self->chunk.cookie;
        Py_XDECREF(unused);
    } else {
        PyObject *bytes = take_bytes(&self->chunk);
        PyObject *values[] = {bytes, PyLong_FromUnsignedLongLong(self->chunk.offset)};
        Py_XINCREF(bytes); /* call_keywords takes one */
        PyObject *result = call_keywords(run->on_body, names, values, 2);
        if (!result) {
            keep_exception(run);
        }
        Py_XDECREF(result);
        if (bytes) {
            awscrt_s3_bytes_done(run, bytes);
        }
    }
    body_discard(event);
}

static void on_body(void *user, crt_s3_chunk *chunk) {
    awscrt_s3_run *run = user;
    body_event *self = crt_calloc(1, sizeof(*self));
    if (!self) {
        on_memory_unused(run, chunk->cookie);
        crt_buf_free(&chunk->small);
        crt_s3_transfer_cancel(run->transfer, AWS_ERROR_OOM);
        return;
    }
    self->event.deliver = body_deliver;
    self->event.discard = body_discard;
    self->run = run;
    self->chunk = *chunk;
    awscrt_deliver(&run->sink, &self->event);
}

/* ---- progress ---- */

typedef struct progress_event {
    awscrt_event event;
    awscrt_s3_run *run;
    uint64_t bytes;
} progress_event;

static void progress_discard(awscrt_event *event) {
    crt_free(CRT_CONTAINER(event, progress_event, event));
}

static void progress_deliver(awscrt_event *event) {
    progress_event *self = CRT_CONTAINER(event, progress_event, event);
    awscrt_s3_run *run = self->run;
    if (!is_over(run)) {
        PyObject *bytes = PyLong_FromUnsignedLongLong(self->bytes);
        PyObject *result = bytes ? awscrt_call1(run->on_progress, bytes) : NULL;
        if (!result) {
            awscrt_report(run->on_progress);
        }
        Py_XDECREF(result);
        Py_XDECREF(bytes);
    }
    progress_discard(event);
}

static void on_progress(void *user, uint64_t bytes) {
    awscrt_s3_run *run = user;
    progress_event *self = run->on_progress ? crt_calloc(1, sizeof(*self)) : NULL;
    if (!self) {
        return;
    }
    self->event.deliver = progress_deliver;
    self->event.discard = progress_discard;
    self->run = run;
    self->bytes = bytes;
    awscrt_deliver(&run->sink, &self->event);
}

/* ---- the end ---- */

typedef struct done_event {
    awscrt_event event;
    awscrt_s3_run *run;
    crt_s3_result result; /* its views are of: */
    crt_buf body;
} done_event;

static void done_discard(awscrt_event *event) {
    done_event *self = CRT_CONTAINER(event, done_event, event);
    if (self->result.headers) {
        crt_http_headers_release(self->result.headers);
    }
    crt_buf_free(&self->body);
    crt_free(self);
}

/* awscrt.s3.S3ResponseError(**description) */
static PyObject *response_error(const crt_s3_result *result, PyObject *headers, PyObject *body) {
    static const char *const names[] = {"code",    "name", "message",       "status_code",
                                        "headers", "body", "operation_name"};
    char message[600];
    snprintf(message, sizeof(message), "%s %s", crt_error_message(result->fault.code), result->fault.detail);
    PyObject *module = PyImport_ImportModule("awscrt.s3");
    PyObject *type = module ? PyObject_GetAttrString(module, "S3ResponseError") : NULL;
    PyObject *error = NULL;
    if (type) {
        PyObject *values[] = {
            PyLong_FromLong(result->fault.code),
            PyUnicode_FromString(crt_error_name(result->fault.code)),
            PyUnicode_DecodeUTF8(message, (Py_ssize_t)strlen(message), "replace"),
            PyLong_FromLong(result->status),
            Py_NewRef(headers),
            Py_NewRef(body),
            PyUnicode_FromString(result->operation),
        };
        error = call_keywords(type, names, values, 7);
    }
    Py_XDECREF(type);
    Py_XDECREF(module);
    return error;
}

typedef struct outcome {
    PyObject *error;
    PyObject *headers;
    PyObject *body;
    PyObject *operation;
    PyObject *status;
} outcome;

/* Every member is set; a failure to describe the outcome becomes the error. */
static void describe(done_event *self, outcome *out) {
    const crt_s3_result *result = &self->result;
    bool is_response = result->is_response;
    out->headers = is_response ? header_list(result->headers) : Py_NewRef(Py_None);
    out->body = is_response && crt_buf_len(&self->body)
                    ? PyBytes_FromStringAndSize((const char *)crt_buf_data(&self->body),
                                                (Py_ssize_t)crt_buf_len(&self->body))
                    : Py_NewRef(Py_None);
    out->operation = is_response ? PyUnicode_FromString(result->operation) : Py_NewRef(Py_None);
    out->status = result->status ? PyLong_FromLong(result->status) : Py_NewRef(Py_None);
    bool complete = out->headers && out->body && out->operation && out->status;
    if (self->run->exception) {
        out->error = Py_NewRef(self->run->exception);
    } else if (!result->fault.code) {
        out->error = Py_NewRef(Py_None);
    } else if (!is_response) {
        out->error = awscrt_exception(result->fault.code, result->fault.detail);
    } else {
        out->error = complete ? response_error(result, out->headers, out->body) : NULL;
    }
    if (!out->error) {
        out->error = awscrt_exception_take();
    }
    PyErr_Clear();
    PyObject **members[] = {&out->headers, &out->body, &out->operation, &out->status};
    for (size_t i = 0; i < 4; i++) {
        if (!*members[i]) {
            *members[i] = Py_NewRef(Py_None);
        }
    }
}

static void resolve(awscrt_s3_run *run, PyObject *error) {
    if (error == Py_None) {
        awscrt_future_set_result(run->future, run->body ? run->body : Py_None);
    } else {
        awscrt_future_set_exception(run->future, error);
    }
}

/* Steals the outcome's members. */
static void call_on_done(awscrt_s3_run *run, outcome *out) {
    static const char *const names[] = {"error",       "error_headers",         "error_body",
                                        "error_operation_name", "status_code", "did_validate_checksum",
                                        "checksum_validation_algorithm"};
    PyObject *values[] = {out->error,  out->headers,        out->body,          out->operation,
                          out->status, Py_NewRef(Py_False), Py_NewRef(Py_None)};
    if (!run->on_done) {
        for (size_t i = 0; i < 7; i++) {
            Py_DECREF(values[i]);
        }
        return;
    }
    PyObject *result = call_keywords(run->on_done, names, values, 7);
    if (!result) {
        awscrt_report(run->on_done);
    }
    Py_XDECREF(result);
}

static void done_deliver(awscrt_event *event) {
    done_event *self = CRT_CONTAINER(event, done_event, event);
    awscrt_s3_run *run = self->run;
    outcome out;
    if (run->is_canceled && run->is_download && !self->result.fault.code) {
        /* All had been received, but not everything delivered. */
        crt_fail(&self->result.fault, AWS_ERROR_S3_CANCELED, "canceled");
        self->result.status = 0;
    }
    describe(self, &out);
    done_discard(event);
    resolve(run, out.error);
    call_on_done(run, &out);
    drop_transfer(run);
    awscrt_s3_run_release(run);
}

static void on_done(void *user, const crt_s3_result *result) {
    awscrt_s3_run *run = user;
    done_event *self = run->done_event;
    run->done_event = NULL;
    self->event.deliver = done_deliver;
    self->event.discard = done_discard;
    self->run = run;
    self->result = *result;
    if (result->headers) {
        crt_http_headers_acquire(result->headers);
    }
    /* Without memory for it, the error has no body. */
    (void)!crt_buf_append(&self->body, result->body.ptr, result->body.len);
    awscrt_deliver(&run->sink, &self->event);
}

awscrt_s3_run *awscrt_s3_run_new(void) {
    awscrt_s3_run *run = crt_calloc(1, sizeof(*run));
    done_event *done = crt_calloc(1, sizeof(*done));
    if (!run || !done) {
        crt_free(run);
        crt_free(done);
        PyErr_NoMemory();
        return NULL;
    }
    crt_ref_init(&run->refs);
    run->done_event = done;
    run->generation = crt_fork_generation();
    return run;
}

const crt_s3_handler awscrt_s3_handler = {on_headers, on_memory, on_memory_unused, on_body, on_progress, on_done};

/* ---- credentials ---- */

typedef struct query_event {
    awscrt_event event;
    awscrt_s3_run *run;
    crt_s3_credentials_fn done;
    void *arg;
} query_event;

static void query_answered(void *user, crt_credentials *credentials, int code) {
    query_event *self = user;
    self->done(self->arg, credentials, code);
    crt_free(self);
}

static void query_deliver(awscrt_event *event) {
    query_event *self = CRT_CONTAINER(event, query_event, event);
    awscrt_credentials_query(self->run->provider, query_answered, self);
}

static void query_discard(awscrt_event *event) {
    query_answered(CRT_CONTAINER(event, query_event, event), NULL, AWS_IO_EVENT_LOOP_SHUTDOWN);
}

void awscrt_s3_query(void *user, crt_loop *loop, crt_s3_credentials_fn done, void *arg) {
    const awscrt_sink sink = {loop, NULL};
    query_event *self = crt_calloc(1, sizeof(*self));
    if (!self) {
        done(arg, NULL, AWS_ERROR_OOM);
        return;
    }
    self->event.deliver = query_deliver;
    self->event.discard = query_discard;
    self->run = user;
    self->done = done;
    self->arg = arg;
    awscrt_deliver(&sink, &self->event);
}
