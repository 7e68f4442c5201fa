/*
 * AwsSigningConfig and aws_sign_request().
 */
#include "binding.h"

#include <math.h>
#include <time.h>

typedef struct config_data {
    PyObject *algorithm;
    PyObject *signature_type;
    PyObject *provider; /* or None, as the others below */
    PyObject *region;
    PyObject *service;
    PyObject *date;
    PyObject *should_sign;
    PyObject *body_value;
    PyObject *header_type;
    PyObject *expires;
    crt_signing_config native;
} config_data;

static config_data *of(PyObject *self) {
    return awscrt_http_data(self);
}

/* ---- should_sign_header ---- */

/* On any thread, with or without the GIL. A callback that raises does not keep a header from being signed. */
static bool ask_should_sign(void *user, crt_bytes name) {
    bool answer = true;
    if (!awscrt_python_alive()) {
        return answer;
    }
    PyGILState_STATE gil = PyGILState_Ensure();
    PyObject *callback = user;
    PyObject *text = PyUnicode_DecodeUTF8((const char *)name.ptr, (Py_ssize_t)name.len, "replace");
    PyObject *result = text ? awscrt_http_call_keywords(callback, &awscrt_http.kw_name, &text, 1) : NULL;
    int truth = result ? PyObject_IsTrue(result) : -1;
    if (truth < 0) {
        awscrt_report(callback);
    } else {
        answer = truth;
    }
    Py_XDECREF(result);
    Py_XDECREF(text);
    PyGILState_Release(gil);
    return answer;
}

/* ---- construction ---- */

enum config_argument {
    ALGORITHM,
    SIGNATURE_TYPE,
    PROVIDER,
    REGION,
    SERVICE,
    DATE,
    SHOULD_SIGN,
    DOUBLE_ENCODE,
    NORMALIZE,
    BODY_VALUE,
    HEADER_TYPE,
    EXPIRES,
    OMIT_TOKEN,
    CONFIG_ARGUMENTS,
};

static int date_of(PyObject *date, int64_t *out) {
    if (date == Py_None) {
        *out = (int64_t)time(NULL);
        return 0;
    }
    PyObject *timestamp = PyObject_CallMethod(date, "timestamp", NULL);
    double seconds = timestamp ? PyFloat_AsDouble(timestamp) : 0;
    Py_XDECREF(timestamp);
    *out = (int64_t)floor(seconds);
    return PyErr_Occurred() ? -1 : 0;
}

static int int_of(PyObject *value, int *out) {
    long number = PyLong_AsLong(value);
    *out = (int)number;
    return number == -1 && PyErr_Occurred() ? -1 : 0;
}

static int bool_of(PyObject *value, bool *out) {
    int truth = PyObject_IsTrue(value);
    *out = truth > 0;
    return truth < 0 ? -1 : 0;
}

static int expires_of(PyObject *value, uint64_t *out) {
    *out = 0;
    if (value == Py_None) {
        return 0;
    }
    *out = PyLong_AsUnsignedLongLong(value);
    if (PyErr_Occurred()) {
        return -1;
    }
    return *out ? 0 : (awscrt_http_assertion(), -1);
}

static int fill_native(PyObject *const *given, crt_signing_config *native) {
    int header_type;
    memset(native, 0, sizeof(*native));
    if (int_of(given[ALGORITHM], &native->algorithm) || int_of(given[SIGNATURE_TYPE], &native->signature_type) ||
        awscrt_http_text(given[REGION], &native->region) || awscrt_http_text(given[SERVICE], &native->service) ||
        date_of(given[DATE], &native->date_unix) || bool_of(given[DOUBLE_ENCODE], &native->double_uri_encode) ||
        bool_of(given[NORMALIZE], &native->normalize_path) || int_of(given[HEADER_TYPE], &header_type) ||
        expires_of(given[EXPIRES], &native->expires_secs) ||
        bool_of(given[OMIT_TOKEN], &native->omit_session_token)) {
        return -1;
    }
    if (given[BODY_VALUE] != Py_None && awscrt_http_text(given[BODY_VALUE], &native->body_value)) {
        return -1;
    }
    native->add_content_sha256 = header_type != 0;
    if (given[SHOULD_SIGN] != Py_None) {
        native->should_sign = ask_should_sign;
        native->should_sign_user = given[SHOULD_SIGN];
    }
    return 0;
}

/* Arguments are checked by the Python class; here they come by position, all of them. */
static int config_init(PyObject *self, PyObject *args, PyObject *kwargs) {
    config_data *data = of(self);
    PyObject *given[CONFIG_ARGUMENTS];
    crt_signing_config native;
    if (data->algorithm || kwargs || PyTuple_Size(args) != CONFIG_ARGUMENTS) {
        PyErr_SetString(PyExc_TypeError, "SigningConfig takes its 13 options once, by position");
        return -1;
    }
    for (int i = 0; i < CONFIG_ARGUMENTS; i++) {
        given[i] = PyTuple_GetItem(args, i);
    }
    if (fill_native(given, &native)) {
        return -1;
    }
    data->algorithm = Py_NewRef(given[ALGORITHM]);
    data->signature_type = Py_NewRef(given[SIGNATURE_TYPE]);
    data->provider = Py_NewRef(given[PROVIDER]);
    data->region = Py_NewRef(given[REGION]);
    data->service = Py_NewRef(given[SERVICE]);
    data->date = Py_NewRef(given[DATE]);
    data->should_sign = Py_NewRef(given[SHOULD_SIGN]);
    data->body_value = Py_NewRef(given[BODY_VALUE]);
    data->header_type = Py_NewRef(given[HEADER_TYPE]);
    data->expires = Py_NewRef(given[EXPIRES]);
    data->native = native;
    return 0;
}

int awscrt_signing_config_get(PyObject *config, crt_signing_config *out) {
    if (!awscrt_http_is(config, awscrt_http.signing_config_type) || !of(config)->algorithm) {
        PyErr_Format(PyExc_TypeError, "AwsSigningConfig expected, got %R", (PyObject *)Py_TYPE(config));
        return -1;
    }
    *out = of(config)->native;
    return 0;
}

/* ---- properties ---- */

static PyObject *get_object(PyObject *self, void *closure) {
    PyObject *value = *(PyObject **)((char *)of(self) + (size_t)closure);
    return Py_NewRef(value ? value : Py_None);
}

/* "None: now" is told as the time that was taken. */
static PyObject *get_date(PyObject *self, void *unused) {
    config_data *data = of(self);
    if (data->date != Py_None) {
        return get_object(self, (void *)offsetof(config_data, date));
    }
    PyObject *datetime = awscrt_http_import_attribute("datetime", "datetime");
    PyObject *timezone = datetime ? awscrt_http_import_attribute("datetime", "timezone") : NULL;
    PyObject *utc = timezone ? PyObject_GetAttrString(timezone, "utc") : NULL;
    PyObject *date = utc ? PyObject_CallMethod(datetime, "fromtimestamp", "LO", (long long)data->native.date_unix, utc)
                         : NULL;
    Py_XDECREF(utc);
    Py_XDECREF(timezone);
    Py_XDECREF(datetime);
    if (date) {
        Py_DECREF(data->date);
        data->date = Py_NewRef(date);
    }
    return date;
}

static PyObject *get_double_encode(PyObject *self, void *unused) {
    return PyBool_FromLong(of(self)->native.double_uri_encode);
}

static PyObject *get_normalize(PyObject *self, void *unused) {
    return PyBool_FromLong(of(self)->native.normalize_path);
}

static PyObject *get_omit_token(PyObject *self, void *unused) {
    return PyBool_FromLong(of(self)->native.omit_session_token);
}

#define OBJECT(name, member, doc) {name, get_object, NULL, doc, (void *)offsetof(config_data, member)}
static PyGetSetDef config_properties[] = {
    OBJECT("algorithm", algorithm, "Which :class:`AwsSigningAlgorithm` to use."),
    OBJECT("signature_type", signature_type, "Where the signature goes: :class:`AwsSignatureType`."),
    OBJECT("credentials_provider", provider, "Who is asked for credentials, once per signing; or None."),
    OBJECT("region", region, "Region; for V4_ASYMMETRIC the region set."),
    OBJECT("service", service, "Name of the service in the credential scope."),
    {"date", get_date, NULL, "Date of the signature; the time of construction when none was given.", NULL},
    OBJECT("should_sign_header", should_sign, "Called as ``f(name=)`` for each header; or None."),
    {"use_double_uri_encode", get_double_encode, NULL, "Percent-encode the path once more.", NULL},
    {"should_normalize_uri_path", get_normalize, NULL, "Resolve '.', '..' and empty path segments.", NULL},
    OBJECT("signed_body_value", body_value, "Payload hash used verbatim; None: computed from the body."),
    OBJECT("signed_body_header_type", header_type, "Whether to add x-amz-content-sha256."),
    OBJECT("expiration_in_seconds", expires, "Validity of a presigned URL in seconds; or None."),
    {"omit_session_token", get_omit_token, NULL, "Add the session token after signing.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};
#undef OBJECT

/* ---- type ---- */

static int config_traverse(PyObject *self, visitproc visit, void *arg) {
    AWSCRT_VISIT_TYPE(self);
    Py_VISIT(of(self)->provider);
    Py_VISIT(of(self)->should_sign);
    return 0;
}

static int config_clear(PyObject *self) {
    Py_CLEAR(of(self)->provider);
    of(self)->native.should_sign = NULL;
    Py_CLEAR(of(self)->should_sign);
    return 0;
}

static void config_dealloc(PyObject *self) {
    config_data *data = of(self);
    awscrt_http_dealloc_begin(self);
    config_clear(self);
    Py_XDECREF(data->algorithm);
    Py_XDECREF(data->signature_type);
    Py_XDECREF(data->region);
    Py_XDECREF(data->service);
    Py_XDECREF(data->date);
    Py_XDECREF(data->body_value);
    Py_XDECREF(data->header_type);
    Py_XDECREF(data->expires);
    awscrt_free_instance(self);
}

static PyType_Slot config_slots[] = {
    {Py_tp_doc, "Native part of AwsSigningConfig."},
    {Py_tp_new, awscrt_http_tp_new},
    {Py_tp_init, config_init},
    {Py_tp_dealloc, config_dealloc},
    {Py_tp_traverse, config_traverse},
    {Py_tp_clear, config_clear},
    {Py_tp_getset, config_properties},
    {0, NULL},
};

static PyType_Spec config_spec = {
    .name = "awscrt._http.SigningConfig",
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = config_slots,
};

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
    int code = crt_hash_update(hash, crt_bytes_of(buffer.buf, (size_t)buffer.len));
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

/* ---- the callback is asked before signing: what it does to the request must not pull that from under the signer ---- */

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
        if (PyDict_SetItem(answers, name, ask_should_sign(callback, text) ? Py_True : Py_False)) {
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

/* ---- signing ---- */

typedef struct signing {
    PyObject *request;
    PyObject *config;
    PyObject *future;
    bool starting; /* still inside aws_sign_request() */
    int raise;     /* code that the call itself must raise */
} signing;

static void fail(const signing *s, int code, const char *detail) {
    PyObject *exception = awscrt_exception(code, detail);
    awscrt_future_set_exception(s->future, exception);
    Py_DECREF(exception);
}

static void sign(const signing *s, const crt_credentials *credentials) {
    char hex[HEX_LEN];
    crt_fault fault;
    crt_signing_config config = of(s->config)->native;
    PyObject *answers = NULL;
    if (hash_body(s->request, &config, hex)) {
        fail(s, awscrt_code_of_exception(), "The body could not be read for its hash.");
        return;
    }
    if (config.should_sign) {
        answers = ask_about_headers(s->request, config.should_sign_user);
        if (!answers) {
            fail(s, awscrt_code_of_exception(), "The headers could not be listed.");
            return;
        }
        config.should_sign = was_answered;
        config.should_sign_user = answers;
    }
    int code = crt_sign_message(awscrt_http_message_get(s->request), &config, credentials, &fault);
    Py_XDECREF(answers);
    if (code) {
        fail(s, code, fault.detail);
        return;
    }
    awscrt_future_set_result(s->future, s->request);
}

/* GIL held. Frees what signing waited for, unless the call that waits still looks at it. */
static void credentials_ready(void *user, crt_credentials *credentials, int code) {
    signing *s = user;
    if (credentials) {
        sign(s, credentials);
    } else if (s->starting && code == AWS_AUTH_CREDENTIALS_PROVIDER_DELEGATE_FAILURE) {
        s->raise = code;
    } else {
        fail(s, AWS_AUTH_SIGNING_NO_CREDENTIALS, crt_error_name(code));
    }
    Py_CLEAR(s->request);
    Py_CLEAR(s->config);
    if (!s->starting) {
        Py_DECREF(s->future);
        crt_free(s);
    }
}

static PyObject *check_config(PyObject *request, PyObject *config) {
    if (!awscrt_http_is(request, awscrt_http.request_type) ||
        !awscrt_http_is(config, awscrt_http.signing_config_type) || !of(config)->algorithm) {
        return awscrt_http_assertion();
    }
    const config_data *data = of(config);
    const char *missing = !data->native.region.len         ? "region"
                          : !data->native.service.len      ? "service"
                          : data->provider == Py_None      ? "credentials_provider"
                                                           : NULL;
    if (missing) {
        char detail[64];
        PyOS_snprintf(detail, sizeof(detail), "AwsSigningConfig.%s is not set", missing);
        return awscrt_raise(AWS_AUTH_SIGNING_INVALID_CONFIGURATION, detail);
    }
    return config;
}

static PyObject *http_sign(PyObject *module, PyObject *const *args, Py_ssize_t nargs) {
    if (nargs != 2) {
        PyErr_SetString(PyExc_TypeError, "sign() takes a request and a signing config");
        return NULL;
    }
    if (!check_config(args[0], args[1]) || !awscrt_http_message_get(args[0])) {
        return NULL;
    }
    signing *s = crt_calloc(1, sizeof(*s));
    PyObject *future = s ? awscrt_future_new() : PyErr_NoMemory();
    if (!future) {
        crt_free(s);
        return NULL;
    }
    s->request = Py_NewRef(args[0]);
    s->config = Py_NewRef(args[1]);
    s->future = Py_NewRef(future);
    s->starting = true;
    awscrt_credentials_query(of(args[1])->provider, credentials_ready, s);
    if (s->request) {
        s->starting = false; /* credentials_ready comes later, and frees */
        return future;
    }
    int code = s->raise;
    Py_DECREF(s->future);
    crt_free(s);
    if (code) {
        Py_DECREF(future);
        return awscrt_raise(code, NULL);
    }
    return future;
}

PyMethodDef awscrt_http_sign_method = {
    "sign", (PyCFunction)(void (*)(void))http_sign, METH_FASTCALL,
    "sign(request, config, /)\n--\n\nFuture of the request, signed in place."};

int awscrt_http_signing_init(PyObject *module) {
    awscrt_http.signing_config_type =
        awscrt_http_type_new(module, &config_spec, sizeof(config_data), awscrt_http.native_resource);
    return awscrt_http.signing_config_type ? 0 : -1;
}
