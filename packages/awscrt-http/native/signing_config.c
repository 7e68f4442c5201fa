/*
 * AwsSigningConfig: the options as Python objects, and as the C runtime takes them.
 */
#include "signing.h"

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
bool awscrt_signing_ask(void *user, crt_bytes name) {
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
    double seconds = timestamp ? floor(PyFloat_AsDouble(timestamp)) : 0;
    Py_XDECREF(timestamp);
    if (PyErr_Occurred()) {
        return -1;
    }
    if (!(seconds > -1e15 && seconds < 1e15)) { /* no datetime is, but what calls itself one may be */
        PyErr_SetString(PyExc_OverflowError, "date out of range");
        return -1;
    }
    *out = (int64_t)seconds;
    return 0;
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
        native->should_sign = awscrt_signing_ask;
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

static bool is_config(PyObject *object) {
    return awscrt_http_is(object, awscrt_http.signing_config_type) && of(object)->algorithm;
}

PyObject *awscrt_signing_provider(PyObject *config) {
    return is_config(config) ? of(config)->provider : NULL;
}

int awscrt_signing_config_get(PyObject *config, crt_signing_config *out) {
    if (!is_config(config)) {
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

int awscrt_http_signing_init(PyObject *module) {
    awscrt_http.signing_config_type =
        awscrt_http_type_new(module, &config_spec, sizeof(config_data), awscrt_http.native_resource);
    return awscrt_http.signing_config_type ? 0 : -1;
}
