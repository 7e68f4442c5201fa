/* awscrt.s3.S3Client: handle and construction. */
#include "binding.h"

#define CLIENT "awscrt.s3.S3Client"

typedef struct native_client {
    crt_s3_client *client;
    uint32_t generation;
} native_client;

/* Lives until the client is gone, which may be long after its handle. */
typedef struct client_end {
    awscrt_event event;
    PyObject *on_shutdown;
    PyObject *keep; /* of the bootstrap */
} client_end;

static void end_deliver(awscrt_event *event) {
    client_end *end = CRT_CONTAINER(event, client_end, event);
    PyObject *result = awscrt_call0(end->on_shutdown);
    if (!result) {
        awscrt_report(end->on_shutdown);
    }
    Py_XDECREF(result);
    Py_DECREF(end->on_shutdown);
    Py_XDECREF(end->keep);
    crt_free(end);
}

static void end_discard(awscrt_event *event) {
    crt_free(CRT_CONTAINER(event, client_end, event));
}

static void client_gone(void *user, crt_loop *loop) {
    client_end *end = user;
    const awscrt_sink sink = {loop, NULL};
    awscrt_deliver(&sink, &end->event);
}

static void client_dropped(PyObject *handle) {
    native_client *self = PyCapsule_GetPointer(handle, CLIENT);
    if (self->generation == crt_fork_generation()) {
        crt_s3_client_release(self->client);
    }
    crt_free(self);
}

crt_s3_client *awscrt_s3_client_of(PyObject *handle) {
    native_client *self = PyCapsule_GetPointer(handle, CLIENT);
    if (!self) {
        return NULL;
    }
    if (self->generation != crt_fork_generation()) {
        PyErr_SetString(PyExc_RuntimeError, "this S3Client was made before a fork; make a new one in the child");
        return NULL;
    }
    return self->client;
}

static int parse(PyObject *args, crt_s3_client_options *options, PyObject **bootstrap, PyObject **tls,
                 PyObject **on_shutdown) {
    unsigned long long part_size, threshold, memory_limit, max_connections, connect_timeout;
    unsigned long long retries, scale, cap, bucket;
    if (!PyArg_ParseTuple(args, "OOKKdKKKKKKKiiO:client_new", bootstrap, tls, &part_size, &threshold,
                          &options->throughput_gbps, &memory_limit, &max_connections, &connect_timeout, &retries,
                          &scale, &cap, &bucket, &options->retry.jitter, &options->retry.mode, on_shutdown)) {
        return -1;
    }
    options->part_size = part_size;
    options->multipart_threshold = threshold;
    options->memory_limit = memory_limit;
    options->max_connections = max_connections;
    options->connect_timeout_ms = connect_timeout;
    options->retry.max_retries = retries;
    options->retry.backoff_scale_ms = scale;
    options->retry.max_backoff_secs = cap;
    options->retry.bucket_capacity = bucket;
    return 0;
}

static PyObject *client_new(PyObject *module, PyObject *args) {
    crt_s3_client_options options = {0};
    crt_tls_options tls = {0};
    crt_fault fault = {0};
    PyObject *bootstrap, *tls_object, *on_shutdown, *handle = NULL;
    PyObject *keep = NULL, *keep_tls = NULL;
    native_client *self = NULL;
    client_end *end = NULL;
    if (parse(args, &options, &bootstrap, &tls_object, &on_shutdown) ||
        awscrt_tls_options_get(tls_object, &tls, &keep_tls) ||
        awscrt_bootstrap_get(bootstrap, &options.loops, &options.resolver, &keep)) {
        Py_XDECREF(keep_tls);
        return NULL;
    }
    self = crt_calloc(1, sizeof(*self));
    end = crt_calloc(1, sizeof(*end));
    if (!self || !end) {
        PyErr_NoMemory();
        goto failed;
    }
    end->event.deliver = end_deliver;
    end->event.discard = end_discard;
    options.tls = tls.ctx ? &tls : NULL;
    options.on_shutdown = client_gone;
    options.user = end;
    self->generation = crt_fork_generation();
    handle = PyCapsule_New(self, CLIENT, NULL);
    if (!handle) {
        goto failed;
    }
    int code = crt_s3_client_new(&options, &self->client, &fault);
    if (code) {
        awscrt_raise(code, fault.detail);
        goto failed;
    }
    PyCapsule_SetDestructor(handle, client_dropped);
    end->on_shutdown = Py_NewRef(on_shutdown);
    end->keep = keep;
    Py_XDECREF(keep_tls);
    return handle;

failed:
    Py_XDECREF(keep_tls);
    Py_XDECREF(handle);
    Py_XDECREF(keep);
    crt_free(self);
    crt_free(end);
    return NULL;
}

PyMethodDef awscrt_s3_client_methods[] = {
    {"client_new", client_new, METH_VARARGS,
     "(bootstrap, tls_options, part_size, threshold, gbps, memory_limit, max_connections, connect_timeout_ms, "
     "max_retries, backoff_scale_ms, max_backoff_secs, bucket_capacity, jitter, retry_mode, on_shutdown) -> handle"},
    {NULL, NULL, 0, NULL},
};
