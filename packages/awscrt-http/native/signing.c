/*
 * Signing through Python: the config's provider is asked for credentials, then a step of C works with them, and a
 * future tells of both. aws_sign_request() is here, presign_many() in presign.c.
 */
#include "signing.h"

typedef struct signing {
    crt_refcount refs; /* of the call and of the query */
    awscrt_signing_step step;
    PyObject *config;
    PyObject *subject;
    PyObject *future;
    /* The caller's thread alone reads and writes these: */
    unsigned long caller;
    bool starting; /* still inside awscrt_signing_start() */
    int raise;     /* code that the call itself must raise */
} signing;

void awscrt_signing_fail(PyObject *future, int code, const char *detail) {
    PyObject *exception = awscrt_exception(code, detail);
    awscrt_future_set_exception(future, exception);
    Py_DECREF(exception);
}

/* The provider's own exception, which says more, becomes the cause. */
static void fail_without_credentials(PyObject *future, int code) {
    PyObject *cause = awscrt_credentials_failure();
    PyObject *exception = awscrt_exception(AWS_AUTH_SIGNING_NO_CREDENTIALS, crt_error_name(code));
    if (cause) {
        PyException_SetCause(exception, Py_NewRef(cause));
    }
    awscrt_future_set_exception(future, exception);
    Py_DECREF(exception);
}

static void signing_release(signing *s) {
    if (!crt_ref_dec(&s->refs)) {
        return;
    }
    Py_DECREF(s->config);
    Py_DECREF(s->subject);
    Py_DECREF(s->future);
    crt_free(s);
}

/* A delegate's failure during the call is the call's own; its function runs on the caller's thread. */
static bool concerns_call(const signing *s, int code) {
    return code == AWS_AUTH_CREDENTIALS_PROVIDER_DELEGATE_FAILURE && s->caller == PyThread_get_thread_ident() &&
           s->starting;
}

/* GIL held; any thread, also before the call returns. */
static void credentials_ready(void *user, crt_credentials *credentials, int code) {
    signing *s = user;
    if (credentials) {
        s->step(s->future, s->config, s->subject, credentials);
    } else if (concerns_call(s, code)) {
        s->raise = code;
    } else {
        fail_without_credentials(s->future, code);
    }
    signing_release(s);
}

/* -1 + RuntimeError when a config lacks what every signature needs. */
static int check_config(PyObject *config) {
    crt_signing_config native;
    if (awscrt_signing_config_get(config, &native)) {
        return -1;
    }
    const char *missing = !native.region.len                           ? "region"
                          : !native.service.len                        ? "service"
                          : awscrt_signing_provider(config) == Py_None ? "credentials_provider"
                                                                       : NULL;
    if (missing) {
        char detail[64];
        PyOS_snprintf(detail, sizeof(detail), "AwsSigningConfig.%s is not set", missing);
        awscrt_raise(AWS_AUTH_SIGNING_INVALID_CONFIGURATION, detail);
        return -1;
    }
    return 0;
}

PyObject *awscrt_signing_start(PyObject *config, PyObject *subject, awscrt_signing_step step) {
    if (check_config(config)) {
        return NULL;
    }
    signing *s = crt_calloc(1, sizeof(*s));
    PyObject *future = s ? awscrt_future_new() : PyErr_NoMemory();
    if (!future) {
        crt_free(s);
        return NULL;
    }
    crt_ref_init(&s->refs);
    crt_ref_inc(&s->refs);
    s->step = step;
    s->config = Py_NewRef(config);
    s->subject = Py_NewRef(subject);
    s->future = Py_NewRef(future);
    s->caller = PyThread_get_thread_ident();
    s->starting = true;
    awscrt_credentials_query(awscrt_signing_provider(config), credentials_ready, s);
    s->starting = false;
    int code = s->raise;
    signing_release(s);
    if (code) {
        Py_DECREF(future);
        return awscrt_raise(code, NULL);
    }
    return future;
}

/* ---- the hash of a body ---- */

enum { READ_SIZE = 64 * 1024, HEX_LEN = 64 };

static int seek_to_start(PyObject *stream) {
    PyObject *position = PyObject_CallMethod(stream, "seek", "ii", 0, 0);
    Py_XDECREF(position);
    return position ? 0 : -1;
}

/* 1: hashed some, 0: the end, -1 + exception. */
static int hash_next(PyObject *stream, crt_hash *hash) {
    PyObject *data = PyObject_CallMethod(stream, "read", "i", READ_SIZE);
    Py_buffer buffer;
    if (!data || PyObject_GetBuffer(data, &buffer, PyBUF_SIMPLE)) {
        Py_XDECREF(data);
        return -1;
    }
    int code;
    Py_BEGIN_ALLOW_THREADS
    code = crt_hash_update(hash, crt_bytes_of(buffer.buf, (size_t)buffer.len));
    Py_END_ALLOW_THREADS
    int more = buffer.len > 0;
    PyBuffer_Release(&buffer);
    Py_DECREF(data);
    if (code) {
        awscrt_raise(code, NULL);
        return -1;
    }
    return more;
}

/* Reads the stream from its start, and leaves it there. */
static int hash_stream(PyObject *stream, char hex[HEX_LEN]) {
    uint8_t digest[CRT_HASH_MAX];
    crt_hash *hash = NULL;
    if (seek_to_start(stream)) {
        return -1;
    }
    int code = crt_hash_new(CRT_HASH_SHA256, &hash);
    if (code) {
        awscrt_raise(code, NULL);
        return -1;
    }
    int more;
    while ((more = hash_next(stream, hash)) > 0) {
    }
    code = crt_hash_digest(hash, digest);
    crt_hash_free(hash);
    if (more < 0 || seek_to_start(stream)) {
        return -1;
    }
    crt_hex_encode(crt_bytes_of(digest, HEX_LEN / 2), hex);
    return code ? (awscrt_raise(code, NULL), -1) : 0;
}

/* Sets body_value to the hash of the request's body when it has one and no value was given. */
static int hash_body(PyObject *request, crt_signing_config *config, char hex[HEX_LEN]) {
    PyObject *input_stream = awscrt_http_message_body_stream(request);
    if (config->body_value.len || !input_stream) {
        return 0;
    }
    PyObject *stream = awscrt_input_stream_object(input_stream);
    if (!stream) {
        return -1;
    }
    int status = hash_stream(stream, hex);
    Py_DECREF(stream);
    config->body_value = crt_bytes_of(hex, HEX_LEN);
    return status;
}

/* ---- should_sign_header: asked before signing, so that it cannot pull the request from under the signer ---- */

/* [bytes, ...] of the names of the request's headers; NULL + exception. */
static PyObject *header_names(PyObject *request) {
    const crt_http_headers *headers = crt_http_message_headers(awscrt_http_message_get(request));
    PyObject *names = PyList_New(0);
    for (size_t i = 0; names && i < crt_http_headers_count(headers); i++) {
        crt_bytes name = crt_http_headers_at(headers, i).name;
        PyObject *bytes = PyBytes_FromStringAndSize((const char *)name.ptr, (Py_ssize_t)name.len);
        if (!bytes || PyList_Append(names, bytes)) {
            Py_CLEAR(names);
        }
        Py_XDECREF(bytes);
    }
    return names;
}

/* {name: answer} of the callback; NULL + exception. */
static PyObject *ask_about_headers(PyObject *request, PyObject *callback) {
    PyObject *names = header_names(request);
    PyObject *answers = names ? PyDict_New() : NULL;
    for (Py_ssize_t i = 0; answers && i < PyList_Size(names); i++) {
        PyObject *name = PyList_GetItem(names, i);
        crt_bytes text = crt_bytes_of(PyBytes_AsString(name), (size_t)PyBytes_Size(name));
        if (PyDict_SetItem(answers, name, awscrt_signing_ask(callback, text) ? Py_True : Py_False)) {
            Py_CLEAR(answers);
        }
    }
    Py_XDECREF(names);
    return answers;
}

/* GIL held; runs no Python code. */
static bool was_answered(void *answers, crt_bytes name) {
    PyObject *key = PyBytes_FromStringAndSize((const char *)name.ptr, (Py_ssize_t)name.len);
    PyObject *answer = key ? PyDict_GetItemWithError(answers, key) : NULL;
    Py_XDECREF(key);
    PyErr_Clear(); /* without memory the header is signed, as after a callback that raised */
    return answer != Py_False;
}

/* ---- aws_sign_request() ---- */

static void sign(PyObject *future, PyObject *config_object, PyObject *request, const crt_credentials *credentials) {
    char hex[HEX_LEN];
    crt_fault fault;
    crt_signing_config config;
    PyObject *answers = NULL;
    if (awscrt_signing_config_get(config_object, &config) || hash_body(request, &config, hex)) {
        awscrt_signing_fail(future, awscrt_code_of_exception(), "The body could not be read for its hash.");
        return;
    }
    if (config.should_sign) {
        answers = ask_about_headers(request, config.should_sign_user);
        if (!answers) {
            awscrt_signing_fail(future, awscrt_code_of_exception(), "The headers could not be listed.");
            return;
        }
        config.should_sign = was_answered;
        config.should_sign_user = answers;
    }
    int code;
    AWSCRT_LOCK(request);
    code = crt_sign_message(awscrt_http_message_get(request), &config, credentials, &fault);
    AWSCRT_UNLOCK();
    Py_XDECREF(answers);
    if (code) {
        awscrt_signing_fail(future, code, fault.detail);
        return;
    }
    awscrt_future_set_result(future, request);
}

static PyObject *http_sign(PyObject *module, PyObject *const *args, Py_ssize_t nargs) {
    if (nargs != 2) {
        PyErr_SetString(PyExc_TypeError, "sign() takes a request and a signing config");
        return NULL;
    }
    if (!awscrt_http_is(args[0], awscrt_http.request_type) || !awscrt_signing_provider(args[1])) {
        return awscrt_http_assertion();
    }
    return awscrt_http_message_get(args[0]) ? awscrt_signing_start(args[1], args[0], sign) : NULL;
}

PyMethodDef awscrt_http_sign_method = {
    "sign", (PyCFunction)(void (*)(void))http_sign, METH_FASTCALL,
    "sign(request, config, /)\n--\n\nFuture of the request, signed in place."};
