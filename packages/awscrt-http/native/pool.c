/* awscrt._http.Pool: the pool itself, and how a request reaches it. */
#include "pool.h"

typedef struct pool_data {
    crt_http_pool *pool;
    uint32_t generation;
    PyObject *keep; /* bootstrap: its threads run the connections */
} pool_data;

static pool_data *of(PyObject *self) {
    return awscrt_http_data(self);
}

/* (bootstrap, timeouts, max_connections, max_connections_per_origin, max_streams, max_waiting, acquire, idle, age);
   the last three in milliseconds. */
static PyObject *pool_open(PyObject *self, PyObject *args) {
    pool_data *data = of(self);
    crt_http_pool_options options;
    PyObject *bootstrap, *timeouts;
    unsigned int n[7];
    memset(&options, 0, sizeof(options));
    if (!PyArg_ParseTuple(args, "OOIIIIIII:_open", &bootstrap, &timeouts, &n[0], &n[1], &n[2], &n[3], &n[4], &n[5],
                          &n[6]) ||
        awscrt_http_timeouts_get(timeouts, &options.timeouts)) {
        return NULL;
    }
    if (data->pool) {
        PyErr_SetString(PyExc_RuntimeError, "the pool is open");
        return NULL;
    }
    PyObject *keep;
    if (awscrt_bootstrap_get(bootstrap, &options.group, &options.resolver, &keep)) {
        return NULL;
    }
    options.max_connections = n[0];
    options.max_connections_per_origin = n[1];
    options.max_streams = n[2];
    options.max_waiting = n[3];
    options.acquire_ms = n[4];
    options.idle_ms = n[5];
    options.max_age_ms = n[6];
    int code = crt_http_pool_new(&options, &data->pool);
    if (code) {
        Py_DECREF(keep);
        return awscrt_raise(code, NULL);
    }
    Py_XDECREF(data->keep);
    data->keep = keep;
    data->generation = crt_fork_generation();
    Py_RETURN_NONE;
}

static crt_http_pool *open_pool(PyObject *self) {
    pool_data *data = of(self);
    if (!data->pool) {
        PyErr_SetString(PyExc_RuntimeError, "the client is closed");
        return NULL;
    }
    return awscrt_http_check_generation(data->generation, "client") ? data->pool : NULL;
}

typedef struct arguments {
    PyObject *request, *message, *body, *socket, *tls, *proxy, *timeouts, *loop;
    const char *host;
    unsigned int port;
    int version, prior_knowledge, no_retry;
} arguments;

/* What the origin points to. */
typedef struct borrowed {
    crt_tls_options tls, proxy_tls;
    crt_http_proxy proxy;
    PyObject *keep_tls, *keep_proxy;
} borrowed;

static int origin_of(const arguments *a, borrowed *b, crt_http_origin *origin) {
    if (awscrt_socket_options_get(a->socket, &origin->socket) ||
        awscrt_tls_options_get(a->tls, &b->tls, &b->keep_tls) ||
        awscrt_http_proxy_get(a->proxy, &b->proxy, &b->proxy_tls, &b->keep_proxy)) {
        return -1;
    }
    origin->host = a->host;
    origin->port = a->port;
    origin->tls = b->tls.ctx ? &b->tls : NULL;
    origin->proxy = b->proxy.host ? &b->proxy : NULL;
    origin->version = a->version;
    origin->prior_knowledge = a->prior_knowledge;
    return 0;
}

/* (request, message, body, host, port, socket_options, tls, proxy, version, prior_knowledge, timeouts, no_retry,
   loop) */
static PyObject *pool_send(PyObject *self, PyObject *args) {
    arguments a;
    borrowed b;
    crt_http_origin origin;
    crt_http_timeouts timeouts;
    crt_http_pool_request_options options = {NULL, 0, false};
    memset(&b, 0, sizeof(b));
    memset(&origin, 0, sizeof(origin));
    crt_http_pool *pool = open_pool(self);
    if (!pool ||
        !PyArg_ParseTuple(args, "OOOsIOOOipOpO:_send", &a.request, &a.message, &a.body, &a.host, &a.port, &a.socket,
                          &a.tls, &a.proxy, &a.version, &a.prior_knowledge, &a.timeouts, &a.no_retry, &a.loop)) {
        return NULL;
    }
    int status = awscrt_http_timeouts_get(a.timeouts, &timeouts);
    if (!status && !(status = origin_of(&a, &b, &origin))) {
        options.timeouts = a.timeouts == Py_None ? NULL : &timeouts;
        options.no_retry = a.no_retry;
        const awscrt_pool_start start = {pool, &origin, a.message, a.body, a.loop, &options};
        status = awscrt_pool_request_begin(a.request, &start);
    }
    Py_XDECREF(b.keep_tls);
    Py_XDECREF(b.keep_proxy);
    if (status) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *pool_stats(PyObject *self, PyObject *unused) {
    crt_http_pool *pool = open_pool(self);
    crt_http_pool_stats s;
    if (!pool) {
        return NULL;
    }
    crt_http_pool_stats_get(pool, &s);
    return Py_BuildValue("(IIIIIIKKKKKK)", s.origins, s.connections, s.connecting, s.idle, s.waiting, s.active,
                         (unsigned long long)s.requests, (unsigned long long)s.opened,
                         (unsigned long long)s.connect_failures, (unsigned long long)s.reused,
                         (unsigned long long)s.retried, (unsigned long long)s.culled);
}

static void close_pool(pool_data *data) {
    crt_http_pool *pool = data->pool;
    data->pool = NULL;
    crt_http_pool_release(pool);
    Py_CLEAR(data->keep);
}

static PyObject *pool_close(PyObject *self, PyObject *unused) {
    close_pool(of(self));
    Py_RETURN_NONE;
}

static int pool_traverse(PyObject *self, visitproc visit, void *arg) {
    AWSCRT_VISIT_TYPE(self);
    Py_VISIT(of(self)->keep);
    return 0;
}

static void pool_dealloc(PyObject *self) {
    awscrt_http_dealloc_begin(self);
    close_pool(of(self));
    awscrt_free_instance(self);
}

static PyMethodDef methods[] = {
    {"_open", pool_open, METH_VARARGS, "Brings the pool up."},
    {"_send", pool_send, METH_VARARGS, "Sends a PoolRequest."},
    {"_stats", pool_stats, METH_NOARGS, "Twelve numbers, in the order of PoolStats."},
    {"_close", pool_close, METH_NOARGS, "Ends what waits; connections close with their last request."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "A pool of connections."},
    {Py_tp_new, awscrt_http_tp_new},
    {Py_tp_dealloc, pool_dealloc},
    {Py_tp_traverse, pool_traverse},
    {Py_tp_methods, methods},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "awscrt._http.Pool",
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = slots,
};

int awscrt_http_pool_init(PyObject *module) {
    return awscrt_http_type_new(module, &spec, sizeof(pool_data), awscrt_http.native_resource) ? 0 : -1;
}
