/*
 * One request of the pool and its response. The loop fills, Python empties, under a lock that is held for copies only.
 * A body that grows beyond BODY_MAX pauses the connection until Python has taken some.
 */
#include <pthread.h>

#include "exchange.h"
#include "pool.h"

enum { ROOM = 64 * 1024, BODY_MAX = 1024 * 1024, BODY_LOW = BODY_MAX / 2 };

PyTypeObject *awscrt_pool_request_type;

/* Outlives the Python object until the runtime is done with it. */
typedef struct pooled {
    crt_refcount refs; /* the Python object; the runtime; tasks; the source while something holds it */
    uint32_t generation;
    crt_http_pool_request *native;
    PyObject *owner; /* strong from the start until the last news */
    awscrt_mailbox *mailbox;
    awscrt_event news;
    crt_task flush;
    crt_task resume;
    crt_loop *flush_loop;
    uint8_t *landing; /* the loop's: where body bytes are read to */
    pthread_mutex_t lock;
    /* locked */
    crt_loop *loop;
    int status;
    int version;
    crt_buf head, trailers, body;
    bool has_trailers;
    bool held;  /* the connection waits for room in `body` */
    bool told;  /* news is on its way */
    bool ended;
    crt_fault fault;
    /* locked: the request body that Python feeds */
    crt_source source;
    crt_task fed;
    crt_buf food;
    bool food_ended;
    bool reading;   /* the connection waits for food */
    bool answering; /* and is about to get it */
    crt_loop *reading_loop;
    crt_span space;
    crt_source_done done;
    void *done_user;
} pooled;

typedef struct request_data {
    pooled *p;
    bool over; /* the last news was told */
} request_data;

static request_data *of(PyObject *self) {
    return awscrt_http_data(self);
}

static void release(pooled *p) {
    if (!crt_ref_dec(&p->refs)) {
        return;
    }
    crt_http_pool_request_release(p->native);
    awscrt_mailbox_release(p->mailbox);
    crt_buf_free(&p->head);
    crt_buf_free(&p->trailers);
    crt_buf_free(&p->body);
    crt_buf_free(&p->food);
    crt_free(p->landing);
    pthread_mutex_destroy(&p->lock);
    crt_free(p);
}

/* ---- news ---- */

/* GIL held. Nothing follows the news of the end. */
static void deliver(awscrt_event *event) {
    pooled *p = CRT_CONTAINER(event, pooled, news);
    PyObject *owner = p->owner;
    pthread_mutex_lock(&p->lock);
    const bool last = p->ended;
    p->told = false;
    pthread_mutex_unlock(&p->lock);
    if (last) {
        of(owner)->over = true;
        p->owner = NULL;
    }
    PyObject *result = PyObject_CallMethod(owner, "_news", NULL);
    if (!result) {
        awscrt_report(owner);
    }
    Py_XDECREF(result);
    if (last) {
        Py_DECREF(owner);
        release(p);
    }
}

/* The interpreter is going away: its objects are left alone. */
static void discard(awscrt_event *event) {
}

static void run_flush(crt_task *task, int status) {
    pooled *p = CRT_CONTAINER(task, pooled, flush);
    const awscrt_sink sink = {p->flush_loop, p->mailbox};
    awscrt_deliver(&sink, &p->news);
}

/* On `loop`, locked: one word per turn of the loop at most. */
static void tell(pooled *p, crt_loop *loop) {
    if (!p->told) {
        p->told = true;
        p->flush_loop = loop;
        crt_loop_defer(loop, &p->flush);
    }
}

/* ---- the response, on the loop ---- */

static int on_head(void *user, int status, const crt_http_header *headers, size_t count) {
    pooled *p = user;
    pthread_mutex_lock(&p->lock);
    int failed = awscrt_head_pack(&p->head, headers, count);
    p->status = status;
    p->version = crt_http_pool_request_version(p->native);
    p->loop = crt_http_pool_request_loop(p->native);
    tell(p, p->loop);
    pthread_mutex_unlock(&p->lock);
    return failed;
}

static void on_space(void *user, uint64_t want, crt_span *space) {
    pooled *p = user;
    if (!p->landing && !(p->landing = crt_malloc(ROOM))) {
        crt_http_pool_request_cancel(p->native, AWS_ERROR_OOM);
        return; /* no space: paused until that takes effect */
    }
    pthread_mutex_lock(&p->lock);
    p->held = crt_buf_len(&p->body) >= BODY_MAX;
    if (!p->held) {
        *space = (crt_span){p->landing, want < ROOM ? (size_t)want : ROOM};
    }
    pthread_mutex_unlock(&p->lock);
}

static int on_body(void *user, crt_bytes data) {
    pooled *p = user;
    pthread_mutex_lock(&p->lock);
    int failed = crt_buf_append(&p->body, data.ptr, data.len);
    tell(p, p->loop);
    pthread_mutex_unlock(&p->lock);
    return failed;
}

static int on_trailers(void *user, const crt_http_header *headers, size_t count) {
    pooled *p = user;
    pthread_mutex_lock(&p->lock);
    int failed = awscrt_head_pack(&p->trailers, headers, count);
    p->has_trailers = !failed;
    pthread_mutex_unlock(&p->lock);
    return failed;
}

static void answer_read(pooled *p);

static void on_complete(void *user, const crt_fault *fault, int status) {
    pooled *p = user;
    pthread_mutex_lock(&p->lock);
    p->fault = *fault;
    p->ended = true;
    answer_read(p);
    tell(p, crt_http_pool_request_loop(p->native));
    pthread_mutex_unlock(&p->lock);
}

static const crt_http_stream_handler handler = {on_head, on_space, on_body, on_complete, NULL, NULL, on_trailers};

static void run_resume(crt_task *task, int status) {
    pooled *p = CRT_CONTAINER(task, pooled, resume);
    crt_http_pool_request_resume(p->native);
    release(p);
}

/* ---- the request body, as Python feeds it ---- */

static void run_fed(crt_task *task, int status) {
    pooled *p = CRT_CONTAINER(task, pooled, fed);
    pthread_mutex_lock(&p->lock);
    const size_t left = crt_buf_len(&p->food);
    const size_t n = left < p->space.len ? left : p->space.len;
    if (n > 0) {
        memcpy(p->space.ptr, crt_buf_data(&p->food), n);
        crt_buf_consume(&p->food, n);
    }
    const bool eof = p->food_ended && n == left;
    const int failed = p->ended && !eof ? AWS_ERROR_HTTP_STREAM_HAS_COMPLETED : 0;
    crt_source_done done = p->done;
    void *user = p->done_user;
    p->reading = p->answering = false;
    pthread_mutex_unlock(&p->lock);
    done(user, failed, failed ? 0 : n, eof);
    release(p);
}

/* Locked: answers a read that waits, if there is an answer. */
static void answer_read(pooled *p) {
    const bool has_answer = crt_buf_len(&p->food) > 0 || p->food_ended || p->ended;
    if (p->reading && !p->answering && has_answer) {
        p->answering = true;
        crt_ref_inc(&p->refs);
        crt_loop_post(p->reading_loop, &p->fed);
    }
}

static void read_food(crt_source *source, crt_loop *loop, crt_span space, crt_source_done done, void *user) {
    pooled *p = CRT_CONTAINER(source, pooled, source);
    pthread_mutex_lock(&p->lock);
    p->reading = true;
    p->reading_loop = loop;
    p->space = space;
    p->done = done;
    p->done_user = user;
    answer_read(p);
    if (!p->answering) {
        tell(p, loop);
    }
    pthread_mutex_unlock(&p->lock);
}

static void drop_source(crt_source *source) {
    release(CRT_CONTAINER(source, pooled, source));
}

static const crt_source_ops food_ops = {read_food, NULL, drop_source};

/* A reference for the caller. */
static crt_source *food_source(pooled *p) {
    p->source.ops = &food_ops;
    p->source.kind = CRT_SOURCE_READER;
    p->source.length = UINT64_MAX;
    crt_ref_init(&p->source.refs);
    crt_ref_inc(&p->refs);
    return &p->source;
}

/* ---- beginning ---- */

static pooled *pooled_new(void) {
    pooled *p = crt_calloc(1, sizeof(*p));
    if (!p || pthread_mutex_init(&p->lock, NULL)) {
        crt_free(p);
        PyErr_NoMemory();
        return NULL;
    }
    crt_ref_init(&p->refs);
    p->generation = crt_fork_generation();
    p->news.deliver = deliver;
    p->news.discard = discard;
    p->flush.run = run_flush;
    p->resume.run = run_resume;
    p->fed.run = run_fed;
    return p;
}

/* 0, or -1 + exception. */
static int set_body(pooled *p, crt_http_message *message, PyObject *body) {
    if (body == Py_None) {
        return 0;
    }
    crt_source *source = body == Py_True ? food_source(p) : awscrt_http_body_source(body);
    if (!source) {
        return -1;
    }
    crt_http_message_set_body(message, source);
    crt_source_release(source);
    return 0;
}

static int send_it(PyObject *self, pooled *p, crt_http_message *message, const awscrt_pool_start *start) {
    /* Before the call: everything may happen at once. p->native is set before the first callback. */
    p->owner = Py_NewRef(self);
    crt_ref_inc(&p->refs);
    int code = crt_http_pool_request_new(start->pool, start->origin, message, &handler, p, start->options, &p->native);
    if (!code) {
        return 0;
    }
    p->owner = NULL;
    Py_DECREF(self);
    release(p);
    PyObject *exception = awscrt_exception(code, start->origin->host);
    PyErr_SetObject((PyObject *)Py_TYPE(exception), exception);
    Py_DECREF(exception);
    return -1;
}

int awscrt_pool_request_begin(PyObject *self, const awscrt_pool_start *start) {
    if (!awscrt_http_is(self, awscrt_pool_request_type) || of(self)->p) {
        PyErr_SetString(PyExc_TypeError, "a new PoolRequest is expected");
        return -1;
    }
    crt_http_message *message = awscrt_http_message_get(start->message);
    pooled *p = message ? pooled_new() : NULL;
    if (!p) {
        return -1;
    }
    if (start->loop != Py_None && !(p->mailbox = awscrt_mailbox_of(start->loop))) {
        release(p);
        return -1;
    }
    if (set_body(p, message, start->body)) {
        release(p);
        return -1;
    }
    of(self)->p = p;
    return send_it(self, p, message, start);
}

/* ---- what Python asks ---- */

static pooled *begun(PyObject *self) {
    pooled *p = of(self)->p;
    if (!p) {
        PyErr_SetString(PyExc_RuntimeError, "this request was not sent");
        return NULL;
    }
    return awscrt_http_check_generation(p->generation, "request") ? p : NULL;
}

static PyObject *get_head(PyObject *self, PyObject *unused) {
    pooled *p = begun(self);
    if (!p) {
        return NULL;
    }
    pthread_mutex_lock(&p->lock);
    const int status = p->status, version = p->version;
    pthread_mutex_unlock(&p->lock);
    if (!status) {
        Py_RETURN_NONE;
    }
    PyObject *headers = awscrt_head_list(&p->head); /* changes no more */
    return headers ? Py_BuildValue("(iNi)", status, headers, version) : NULL;
}

static PyObject *get_trailers(PyObject *self, PyObject *unused) {
    pooled *p = begun(self);
    if (!p) {
        return NULL;
    }
    pthread_mutex_lock(&p->lock);
    const bool has_trailers = p->has_trailers;
    pthread_mutex_unlock(&p->lock);
    return has_trailers ? awscrt_head_list(&p->trailers) : PyList_New(0);
}

/* Room in the body again: the connection goes on reading. Locked. */
static void let_go_on(pooled *p) {
    if (p->held && !p->ended && crt_buf_len(&p->body) <= BODY_LOW) {
        p->held = false;
        crt_ref_inc(&p->refs);
        crt_loop_post(p->loop, &p->resume);
    }
}

static PyObject *take(PyObject *self, PyObject *most) {
    pooled *p = begun(self);
    const size_t wanted = p ? PyLong_AsSize_t(most) : 0;
    if (!p || PyErr_Occurred()) {
        return NULL;
    }
    pthread_mutex_lock(&p->lock);
    const size_t there = crt_buf_len(&p->body);
    pthread_mutex_unlock(&p->lock);
    const size_t n = there < wanted ? there : wanted; /* it may grow meanwhile, but not shrink */
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)n);
    if (!bytes || n == 0) {
        return bytes;
    }
    pthread_mutex_lock(&p->lock);
    const size_t left = crt_buf_len(&p->body);
    const bool same = left >= n; /* else another thread took from it */
    if (same) {
        memcpy(PyBytes_AsString(bytes), crt_buf_data(&p->body), n);
        crt_buf_consume(&p->body, n);
        let_go_on(p);
    }
    pthread_mutex_unlock(&p->lock);
    if (!same) {
        Py_DECREF(bytes);
        PyErr_SetString(PyExc_RuntimeError, "two threads read the same response");
        return NULL;
    }
    return bytes;
}

static PyObject *is_over(PyObject *self, PyObject *unused) {
    return PyBool_FromLong(of(self)->over);
}

static PyObject *get_failure(PyObject *self, PyObject *unused) {
    pooled *p = begun(self);
    if (!p) {
        return NULL;
    }
    pthread_mutex_lock(&p->lock);
    const crt_fault fault = p->fault;
    pthread_mutex_unlock(&p->lock);
    if (!fault.code) {
        Py_RETURN_NONE;
    }
    return awscrt_exception(fault.code, fault.detail);
}

static PyObject *wants_food(PyObject *self, PyObject *unused) {
    pooled *p = begun(self);
    if (!p) {
        return NULL;
    }
    pthread_mutex_lock(&p->lock);
    const bool wants = p->reading && !p->answering;
    pthread_mutex_unlock(&p->lock);
    return PyBool_FromLong(wants);
}

static PyObject *feed(PyObject *self, PyObject *food) {
    pooled *p = begun(self);
    Py_buffer view;
    if (!p) {
        return NULL;
    }
    memset(&view, 0, sizeof(view));
    if (food != Py_None && PyObject_GetBuffer(food, &view, PyBUF_SIMPLE)) {
        return NULL;
    }
    pthread_mutex_lock(&p->lock);
    const int failed = food == Py_None ? 0 : crt_buf_append(&p->food, view.buf, (size_t)view.len);
    p->food_ended = p->food_ended || food == Py_None;
    answer_read(p);
    pthread_mutex_unlock(&p->lock);
    if (food != Py_None) {
        PyBuffer_Release(&view);
    }
    if (failed) {
        return PyErr_NoMemory();
    }
    Py_RETURN_NONE;
}

static PyObject *cancel(PyObject *self, PyObject *unused) {
    pooled *p = of(self)->p;
    if (p && p->native && p->generation == crt_fork_generation()) {
        crt_http_pool_request_cancel(p->native, AWS_ERROR_HTTP_STREAM_CANCELLED);
    }
    Py_RETURN_NONE;
}

static PyObject *ignore_news(PyObject *self, PyObject *unused) {
    Py_RETURN_NONE;
}

/* ---- type ---- */

static int request_traverse(PyObject *self, visitproc visit, void *arg) {
    AWSCRT_VISIT_TYPE(self);
    return 0;
}

static void request_dealloc(PyObject *self) {
    pooled *p = of(self)->p;
    awscrt_http_dealloc_begin(self);
    if (p && p->generation == crt_fork_generation()) {
        release(p);
    }
    awscrt_free_instance(self);
}

static PyMethodDef methods[] = {
    {"_news", ignore_news, METH_NOARGS, "Called when something has come; for subclasses."},
    {"_head", get_head, METH_NOARGS, "(status, [(name, value)], version), or None before the head."},
    {"_take", take, METH_O, "At most so many bytes of the body; b'' when none are there."},
    {"_trailers", get_trailers, METH_NOARGS, "[(name, value)]"},
    {"_over", is_over, METH_NOARGS, "True once the last news was told."},
    {"_failure", get_failure, METH_NOARGS, "The exception that ended it, or None."},
    {"_wants", wants_food, METH_NOARGS, "True when the connection waits for more of the request body."},
    {"_feed", feed, METH_O, "More of the request body; None: that was all."},
    {"_cancel", cancel, METH_NOARGS, "Ends the request, wherever it is."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "A request of a pool, and its response."},
    {Py_tp_new, awscrt_http_tp_new},
    {Py_tp_dealloc, request_dealloc},
    {Py_tp_traverse, request_traverse},
    {Py_tp_methods, methods},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "awscrt._http.PoolRequest",
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = slots,
};

int awscrt_http_pool_request_init(PyObject *module) {
    awscrt_pool_request_type =
        awscrt_http_type_new(module, &spec, sizeof(request_data), awscrt_http.native_resource);
    return awscrt_pool_request_type ? 0 : -1;
}
