/* awscrt.s3.S3Request: starting a transfer, and its handle. */
#include "binding.h"

#define TRANSFER "awscrt.s3.S3Request"

static void transfer_dropped(PyObject *handle) {
    awscrt_s3_run_release(PyCapsule_GetPointer(handle, TRANSFER));
}

static PyObject *or_null(PyObject *object) {
    return object == Py_None ? NULL : Py_NewRef(object);
}

typedef struct arguments {
    PyObject *client;
    int type;
    PyObject *request;
    const char *operation;
    const char *recv_path;
    const char *send_path;
    PyObject *signing_config; /* None: anonymous */
    PyObject *credentials;    /* AwsCredentials, or None: */
    PyObject *provider;
    const char *region;
    unsigned long long part_size;
    unsigned long long threshold;
    unsigned long long max_connections;
    PyObject *future;
    PyObject *on_headers;
    PyObject *on_body;
    PyObject *on_done;
    PyObject *on_progress;
    PyObject *on_gone;
    PyObject *loop; /* asyncio loop whose mailbox gets the events, or None */
    int whole_body;
    PyObject *body; /* buffer that is the request's body, or None: the request's own */
} arguments;

static int parse(PyObject *args, arguments *a) {
    return PyArg_ParseTuple(args, "OiOzzzOOOsKKKOOOOOOOpO:transfer_new", &a->client, &a->type, &a->request,
                            &a->operation, &a->recv_path, &a->send_path, &a->signing_config, &a->credentials,
                            &a->provider, &a->region, &a->part_size, &a->threshold, &a->max_connections, &a->future,
                            &a->on_headers, &a->on_body, &a->on_done, &a->on_progress, &a->on_gone, &a->loop,
                            &a->whole_body, &a->body)
               ? 0
               : -1;
}

/* The caller's signing configuration with what S3 needs and what it left out. */
static int fill_signing(const arguments *a, awscrt_s3_run *run, crt_s3_signing *signing) {
    crt_signing_config *config = &signing->config;
    if (awscrt_signing_config_get(a->signing_config, config)) {
        return -1;
    }
    config->add_content_sha256 = true;
    if (!config->region.len) {
        config->region = crt_bytes_str(a->region);
    }
    if (!config->service.len) {
        config->service = crt_bytes_str("s3");
    }
    if (!config->body_value.len) {
        config->body_value = crt_bytes_str("UNSIGNED-PAYLOAD");
    }
    if (a->credentials != Py_None) {
        signing->credentials = awscrt_credentials_get(a->credentials);
        return signing->credentials ? 0 : -1;
    }
    signing->query = awscrt_s3_query;
    signing->user = run;
    run->provider = a->provider;
    return 0;
}

static int set_sink(awscrt_s3_run *run, PyObject *loop) {
    if (loop == Py_None) {
        return 0;
    }
    run->sink.mailbox = awscrt_mailbox_of(loop);
    return run->sink.mailbox ? 0 : -1;
}

/* The request is one that was made for this transfer. */
static int set_body(crt_http_message *message, PyObject *body) {
    if (body == Py_None) {
        return 0;
    }
    crt_source *source = awscrt_source_of_buffer(body);
    if (!source) {
        return -1;
    }
    crt_http_message_set_body(message, source);
    crt_source_release(source);
    return 0;
}

static void set_callbacks(awscrt_s3_run *run, const arguments *a) {
    run->future = Py_NewRef(a->future);
    run->on_headers = or_null(a->on_headers);
    run->on_body = or_null(a->on_body);
    run->on_done = or_null(a->on_done);
    run->on_progress = or_null(a->on_progress);
    run->on_gone = or_null(a->on_gone);
    run->whole_body = a->whole_body;
    run->is_download = a->type == CRT_S3_GET_OBJECT;
}

static PyObject *transfer_new(PyObject *module, PyObject *args) {
    arguments a;
    crt_s3_signing signing = {0};
    crt_fault fault = {0};
    if (parse(args, &a)) {
        return NULL;
    }
    crt_s3_client *client = awscrt_s3_client_of(a.client);
    crt_http_message *message = client ? awscrt_http_message_get(a.request) : NULL;
    awscrt_s3_run *run = message ? awscrt_s3_run_new() : NULL;
    if (!run) {
        return NULL;
    }
    PyObject *handle = NULL;
    run->keep = PyTuple_Pack(3, a.request, a.signing_config, a.provider);
    if (!run->keep || set_sink(run, a.loop) || set_body(message, a.body)) {
        goto failed;
    }
    if (a.signing_config != Py_None && fill_signing(&a, run, &signing)) {
        goto failed;
    }
    handle = PyCapsule_New(run, TRANSFER, NULL);
    if (!handle) {
        goto failed;
    }
    set_callbacks(run, &a);
    const crt_s3_transfer_options options = {
        .type = a.type,
        .message = message,
        .operation = a.operation,
        .recv_path = a.recv_path,
        .send_path = a.send_path,
        .signing = a.signing_config != Py_None ? &signing : NULL,
        .part_size = a.part_size,
        .multipart_threshold = a.threshold,
        .max_connections = a.max_connections,
        .want_body = run->on_body || run->whole_body,
        .handler = &awscrt_s3_handler,
        .user = run,
    };
    crt_ref_inc(&run->refs); /* the transfer's */
    int code = crt_s3_transfer_start(client, &options, &run->transfer, &fault);
    if (code) {
        crt_ref_dec(&run->refs);
        awscrt_raise(code, fault.detail);
        goto failed;
    }
    PyCapsule_SetDestructor(handle, transfer_dropped);
    return handle;

failed:
    Py_XDECREF(handle);
    Py_CLEAR(run->on_gone);
    awscrt_s3_run_release(run);
    return NULL;
}

static PyObject *transfer_cancel(PyObject *module, PyObject *handle) {
    awscrt_s3_run *run = PyCapsule_GetPointer(handle, TRANSFER);
    if (!run) {
        return NULL;
    }
    if (run->transfer && run->generation == crt_fork_generation()) {
        run->is_canceled = true;
        crt_s3_transfer_cancel(run->transfer, AWS_ERROR_S3_CANCELED);
    }
    Py_RETURN_NONE;
}

PyMethodDef awscrt_s3_transfer_methods[] = {
    {"transfer_new", transfer_new, METH_VARARGS,
     "(client, type, request, operation, recv_path, send_path, signing_config, credentials, provider, region, "
     "part_size, threshold, max_connections, future, on_headers, on_body, on_done, on_progress, on_gone, loop, "
     "whole_body, body) -> handle"},
    {"transfer_cancel", transfer_cancel, METH_O, "(handle): ends the transfer; any time, any thread."},
    {NULL, NULL, 0, NULL},
};
