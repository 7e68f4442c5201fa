/*
 * AwsCredentials, and how C asks a provider for them.
 *
 * A provider is a Python object: its `_binding` is either an AwsCredentials, which is the answer, or whatever
 * its class made; then get_credentials() is called and its future waited for.
 */
#include "binding.h"

typedef struct credentials_data {
    crt_credentials *credentials;
} credentials_data;

static crt_credentials *of(PyObject *self) {
    return ((credentials_data *)awscrt_http_data(self))->credentials;
}

crt_credentials *awscrt_credentials_get(PyObject *object) {
    if (!awscrt_http_is(object, awscrt_http.credentials_type) || !of(object)) {
        PyErr_Format(PyExc_TypeError, "AwsCredentials expected, got %R", (PyObject *)Py_TYPE(object));
        return NULL;
    }
    return of(object);
}

/* ---- AwsCredentials ---- */

/* Whole seconds of a datetime. */
static int expiration_of(PyObject *expiration, uint64_t *out) {
    *out = UINT64_MAX;
    if (!expiration || expiration == Py_None) {
        return 0;
    }
    PyObject *timestamp = PyObject_CallMethod(expiration, "timestamp", NULL);
    double seconds = timestamp ? PyFloat_AsDouble(timestamp) : 0;
    Py_XDECREF(timestamp);
    if (PyErr_Occurred()) {
        return -1;
    }
    if (!(seconds >= 0 && seconds < 1e15)) {
        PyErr_SetString(PyExc_OverflowError, "expiration datetime out of range");
        return -1;
    }
    *out = (uint64_t)seconds;
    return 0;
}

static int credentials_init(PyObject *self, PyObject *args, PyObject *kwargs) {
    static const char *const names[] = {"access_key_id", "secret_access_key", "session_token", "expiration"};
    const awscrt_params params = {"AwsCredentials", names, 2, 4};
    credentials_data *data = awscrt_http_data(self);
    PyObject *given[4];
    crt_bytes id, secret, token = {NULL, 0};
    uint64_t expires;
    if (awscrt_http_args_of_tuple(&params, args, kwargs, given) || awscrt_http_text(given[0], &id) ||
        awscrt_http_text(given[1], &secret) ||
        (given[2] && given[2] != Py_None && awscrt_http_text(given[2], &token)) ||
        expiration_of(given[3], &expires)) {
        return -1;
    }
    if (data->credentials) {
        PyErr_SetString(PyExc_TypeError, "AwsCredentials are immutable");
        return -1;
    }
    int code = crt_credentials_new(id, secret, token, expires, &data->credentials);
    if (code) {
        awscrt_raise(code, code == AWS_ERROR_INVALID_ARGUMENT ? "credentials need a key id and a secret" : NULL);
        return -1;
    }
    return 0;
}

static PyObject *credentials_init_method(PyObject *self, PyObject *args, PyObject *kwargs) {
    if (credentials_init(self, args, kwargs)) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *text_of(crt_bytes text) {
    return PyUnicode_DecodeUTF8((const char *)text.ptr, (Py_ssize_t)text.len, NULL);
}

static PyObject *get_access_key_id(PyObject *self, void *unused) {
    crt_credentials *credentials = awscrt_credentials_get(self);
    return credentials ? text_of(crt_credentials_access_key_id(credentials)) : NULL;
}

static PyObject *get_secret_access_key(PyObject *self, void *unused) {
    crt_credentials *credentials = awscrt_credentials_get(self);
    return credentials ? text_of(crt_credentials_secret_access_key(credentials)) : NULL;
}

static PyObject *get_session_token(PyObject *self, void *unused) {
    crt_credentials *credentials = awscrt_credentials_get(self);
    crt_bytes token = credentials ? crt_credentials_session_token(credentials) : crt_bytes_str(NULL);
    if (credentials && !token.len) {
        Py_RETURN_NONE;
    }
    return credentials ? text_of(token) : NULL;
}

static PyObject *utc_datetime(double seconds) {
    PyObject *datetime = awscrt_http_import_attribute("datetime", "datetime");
    PyObject *timezone = datetime ? awscrt_http_import_attribute("datetime", "timezone") : NULL;
    PyObject *utc = timezone ? PyObject_GetAttrString(timezone, "utc") : NULL;
    PyObject *result = utc ? PyObject_CallMethod(datetime, "fromtimestamp", "dO", seconds, utc) : NULL;
    Py_XDECREF(utc);
    Py_XDECREF(timezone);
    Py_XDECREF(datetime);
    return result;
}

static PyObject *get_expiration(PyObject *self, void *unused) {
    crt_credentials *credentials = awscrt_credentials_get(self);
    if (!credentials) {
        return NULL;
    }
    uint64_t expires = crt_credentials_expires(credentials);
    if (expires == UINT64_MAX) {
        Py_RETURN_NONE;
    }
    return utc_datetime((double)expires);
}

/* Immutable: a copy is the object itself. */
static PyObject *credentials_copy(PyObject *self, PyObject *unused) {
    return Py_NewRef(self);
}

static int credentials_traverse(PyObject *self, visitproc visit, void *arg) {
    AWSCRT_VISIT_TYPE(self);
    return 0;
}

static void credentials_dealloc(PyObject *self) {
    awscrt_http_dealloc_begin(self);
    crt_credentials_release(of(self));
    awscrt_free_instance(self);
}

static PyMethodDef credentials_methods[] = {
    {"__init__", (PyCFunction)(void (*)(void))credentials_init_method, METH_VARARGS | METH_KEYWORDS | METH_COEXIST,
     "__init__($self, access_key_id, secret_access_key, session_token=None, expiration=None)\n--\n\n"},
    {"__copy__", credentials_copy, METH_NOARGS, "__copy__($self)\n--\n\n"},
    {"__deepcopy__", credentials_copy, METH_O, "__deepcopy__($self, memo)\n--\n\n"},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef credentials_properties[] = {
    {"access_key_id", get_access_key_id, NULL, "Access key id.", NULL},
    {"secret_access_key", get_secret_access_key, NULL, "Secret access key.", NULL},
    {"session_token", get_session_token, NULL, "Session token, or None.", NULL},
    {"expiration", get_expiration, NULL, "When they expire, as aware UTC datetime in whole seconds; None: never.",
     NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot credentials_slots[] = {
    {Py_tp_doc, "AWS credentials. Immutable, shareable between threads.\n\n"
                ":param expiration: datetime; naive ones are local time, fractions of a second are cut off\n"
                ":raises RuntimeError: the key id or the secret is empty"},
    {Py_tp_new, awscrt_http_tp_new},
    {Py_tp_init, credentials_init},
    {Py_tp_dealloc, credentials_dealloc},
    {Py_tp_traverse, credentials_traverse},
    {Py_tp_methods, credentials_methods},
    {Py_tp_getset, credentials_properties},
    {0, NULL},
};

static PyType_Spec credentials_spec = {
    .name = "awscrt.auth.AwsCredentials",
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = credentials_slots,
};

int awscrt_http_credentials_init(PyObject *module) {
    awscrt_http.credentials_type =
        awscrt_http_type_new(module, &credentials_spec, sizeof(credentials_data), awscrt_http.native_resource);
    return awscrt_http.credentials_type ? 0 : -1;
}

/* ---- asking a provider ---- */

typedef struct query {
    awscrt_credentials_fn done;
    void *user;
} query;

/* The code that an exception carries. */
static int code_of(PyObject *exception) {
    PyObject *code = PyObject_GetAttrString(exception, "code");
    long value = code && PyLong_Check(code) ? PyLong_AsLong(code) : 0;
    Py_XDECREF(code);
    PyErr_Clear();
    return value > 0 && value <= INT32_MAX ? (int)value : AWS_ERROR_UNKNOWN;
}

/* What the query failed with whose `done` runs on this thread. */
static _Thread_local PyObject *failure;

PyObject *awscrt_credentials_failure(void) {
    return failure;
}

/* Takes the exception that is set. What `done` sets in motion may ask other providers on this thread. */
static void answer_failure(query q) {
    PyObject *outer = failure;
    PyObject *exception = awscrt_exception_take();
    failure = exception;
    q.done(q.user, NULL, exception ? code_of(exception) : AWS_ERROR_UNKNOWN);
    failure = outer;
    Py_XDECREF(exception);
}

static void answer(query q, PyObject *future) {
    PyObject *object = PyObject_CallMethod(future, "result", NULL);
    crt_credentials *credentials = object ? awscrt_credentials_get(object) : NULL;
    if (credentials) {
        q.done(q.user, credentials, 0);
    } else {
        answer_failure(q);
    }
    Py_XDECREF(object);
}

#define QUERY_NAME "awscrt.credentials_query"

/* A provider whose future is never completed, and dropped, fails its queries. */
static void query_dropped(PyObject *capsule) {
    query *q = PyCapsule_GetPointer(capsule, QUERY_NAME);
    if (q->done && awscrt_python_alive()) {
        PyObject *pending = awscrt_exception_take();
        q->done(q->user, NULL, AWS_AUTH_SIGNING_NO_CREDENTIALS);
        awscrt_exception_put(pending);
    }
    crt_free(q);
}

static PyObject *future_done(PyObject *capsule, PyObject *future) {
    query *q = PyCapsule_GetPointer(capsule, QUERY_NAME);
    if (q && q->done) {
        query once = *q;
        q->done = NULL;
        answer(once, future);
    }
    Py_RETURN_NONE;
}

static PyMethodDef future_done_def = {"credentials_ready", future_done, METH_O, NULL};

/* -1 + exception when the future takes no callback; the query is answered then by the caller. */
static int wait_for(PyObject *future, const query *q) {
    query *kept = crt_malloc(sizeof(*kept));
    if (!kept) {
        PyErr_NoMemory();
        return -1;
    }
    *kept = *q;
    PyObject *capsule = PyCapsule_New(kept, QUERY_NAME, query_dropped);
    if (!capsule) {
        crt_free(kept);
        return -1;
    }
    PyObject *callback = PyCFunction_NewEx(&future_done_def, capsule, NULL);
    PyObject *result = callback ? PyObject_CallMethod(future, "add_done_callback", "O", callback) : NULL;
    if (!result && kept->done) {
        kept->done = NULL; /* not asked yet: the caller answers */
    } else if (!result) {
        PyErr_Clear(); /* answered already, what came after does not matter */
        result = Py_NewRef(Py_None);
    }
    Py_XDECREF(callback);
    Py_DECREF(capsule);
    Py_XDECREF(result);
    return result ? 0 : -1;
}

void awscrt_credentials_query(PyObject *provider, awscrt_credentials_fn done, void *user) {
    const query q = {done, user};
    PyObject *binding = PyObject_GetAttrString(provider, "_binding");
    if (binding && awscrt_http_is(binding, awscrt_http.credentials_type)) {
        done(user, of(binding), 0);
        Py_DECREF(binding);
        return;
    }
    Py_XDECREF(binding);
    PyErr_Clear();
    PyObject *future = PyObject_CallMethod(provider, "get_credentials", NULL);
    PyObject *is_done = future ? PyObject_CallMethod(future, "done", NULL) : NULL;
    int ready = is_done ? PyObject_IsTrue(is_done) : -1;
    Py_XDECREF(is_done);
    if (ready > 0) {
        answer(q, future);
    } else if (ready < 0 || wait_for(future, &q)) {
        answer_failure(q);
    }
    Py_XDECREF(future);
}
