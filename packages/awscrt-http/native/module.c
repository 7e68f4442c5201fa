/*
 * awscrt._http: brings up the types and offers awscrt-http's C API.
 */
#define AWSCRT_CORE_IMPLEMENT
#include "binding.h"
#include "websocket.h"

#define CRT_ERROR(code, name, message) {code, #name, message},
/* By code, ascending. */
static const crt_error_info errors[] = {
#include "crt/errors_http.def"

#include "crt/errors_auth.def"
};
#undef CRT_ERROR

#define TABLE_ENTRY(name) .fn_##name = name,
static const awscrt_http_api api = {
    .abi_major = AWSCRT_HTTP_ABI_MAJOR,
    .abi_minor = AWSCRT_HTTP_ABI_MINOR,
    .struct_size = sizeof(awscrt_http_api),
    .version = CRT_VERSION,
    AWSCRT_HTTP_FUNCTIONS(TABLE_ENTRY)
};
#undef TABLE_ENTRY

static int intern_names(void) {
    struct {
        PyObject **place;
        const char *text;
    } const names[] = {
        {&awscrt_http.kw_http_stream, "http_stream"},   {&awscrt_http.kw_status_code, "status_code"},
        {&awscrt_http.kw_headers, "headers"},           {&awscrt_http.kw_chunk, "chunk"},
        {&awscrt_http.kw_name, "name"},                 {&awscrt_http.name_track, "_track_lifetime"},
        {&awscrt_http.name_done, "done"},               {&awscrt_http.name_set_result, "set_result"},
        {&awscrt_http.name_create_future, "create_future"},
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        *names[i].place = PyUnicode_InternFromString(names[i].text);
        if (!*names[i].place) {
            return -1;
        }
    }
    awscrt_http.empty_tuple = PyTuple_New(0);
    awscrt_http.empty_bytes = PyBytes_FromStringAndSize(NULL, 0);
    return awscrt_http.empty_tuple && awscrt_http.empty_bytes ? 0 : -1;
}

static int find_base(void) {
    awscrt_http.native_resource = awscrt_http_import_attribute("awscrt", "NativeResource");
    if (!awscrt_http.native_resource) {
        return -1;
    }
    PyObject *size = PyObject_GetAttrString(awscrt_http.native_resource, "__basicsize__");
    size_t basic = size ? PyLong_AsSize_t(size) : 0;
    Py_XDECREF(size);
    const size_t alignment = 2 * sizeof(void *);
    awscrt_http.data_offset = (basic + alignment - 1) / alignment * alignment;
    return PyErr_Occurred() ? -1 : 0;
}

static int add_api(PyObject *module) {
    PyObject *capsule = PyCapsule_New((void *)&api, AWSCRT_HTTP_CAPSULE, NULL);
    int status = PyModule_AddObjectRef(module, "_C_API", capsule);
    Py_XDECREF(capsule);
    return status;
}

static PyObject *http_transport(PyObject *module, PyObject *name) {
    const char *text = PyUnicode_AsUTF8AndSize(name, NULL);
    if (!text) {
        return NULL;
    }
    const crt_transport *transport = crt_http_transport(text);
    if (!transport) {
        Py_RETURN_NONE;
    }
    return PyCapsule_New((void *)transport, CRT_TRANSPORT_CAPSULE, NULL);
}

static int use_type(PyObject *type, PyTypeObject *native, PyTypeObject **place) {
    if (!PyType_Check(type) || !PyType_IsSubtype((PyTypeObject *)type, native)) {
        PyErr_Format(PyExc_TypeError, "a subclass of %R is expected", (PyObject *)native);
        return -1;
    }
    Py_INCREF(type);
    *place = (PyTypeObject *)type;
    return 0;
}

/* The classes of what connection.request() returns; set once by awscrt.http. */
static PyObject *use_stream_types(PyObject *module, PyObject *args) {
    PyObject *type, *http2_type;
    if (!PyArg_ParseTuple(args, "OO:use_stream_types", &type, &http2_type) ||
        use_type(type, awscrt_http.native_stream_type, &awscrt_http.stream_type) ||
        use_type(http2_type, awscrt_http.native_http2_stream_type, &awscrt_http.http2_stream_type)) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyMethodDef use_stream_types_method = {"use_stream_types", use_stream_types, METH_VARARGS,
                                              "The classes of streams that HTTP/1.1 and HTTP/2 connections make."};

/* (exception, context) to sys.unraisablehook */
static PyObject *report_unraisable(PyObject *module, PyObject *args) {
    PyObject *exception, *context;
    if (!PyArg_ParseTuple(args, "OO:report_unraisable", &exception, &context)) {
        return NULL;
    }
    if (!PyExceptionInstance_Check(exception)) {
        PyErr_SetString(PyExc_TypeError, "an exception is expected");
        return NULL;
    }
    awscrt_exception_put(Py_NewRef(exception));
    awscrt_report(context);
    Py_RETURN_NONE;
}

static PyMethodDef report_unraisable_method = {"report_unraisable", report_unraisable, METH_VARARGS,
                                               "(exception, context): to sys.unraisablehook."};

static PyMethodDef transport_method = {"transport", http_transport, METH_O,
                                       "Capsule of the transport of that name (crt/transport.h), or None."};

static int add_functions(PyObject *module) {
    PyMethodDef *const functions[] = {&awscrt_http_connect_method, &awscrt_http_sign_method,
                                      &awscrt_http_presign_method, &transport_method,
                                      &use_stream_types_method, &report_unraisable_method,
                                      &awscrt_http_websocket_connect_method,
                                      &awscrt_http_use_websocket_types_method};
    for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
        PyObject *function = PyCFunction_NewEx(functions[i], NULL, NULL);
        int status = PyModule_AddObjectRef(module, functions[i]->ml_name, function);
        Py_XDECREF(function);
        if (status) {
            return -1;
        }
    }
    return 0;
}

static int module_exec(PyObject *module) {
    if (awscrt_core_import("awscrt-http")) {
        return -1;
    }
    crt_error_register(errors, sizeof(errors) / sizeof(errors[0]));
    if (intern_names() || find_base() || awscrt_http_headers_init(module) || awscrt_http_message_init(module) ||
        awscrt_http_connection_init(module) || awscrt_http_stream_init(module) ||
        awscrt_http_http2_stream_init(module) || awscrt_http_aio_stream_init(module) || awscrt_http_credentials_init(module) ||
        awscrt_http_signing_init(module) || awscrt_http_websocket_init(module) ||
        awscrt_http_aio_websocket_init(module) || awscrt_http_pool_request_init(module) ||
        awscrt_http_pool_init(module) || add_functions(module)) {
        return -1;
    }
    if (PyModule_AddIntConstant(module, "ABI_MAJOR", AWSCRT_HTTP_ABI_MAJOR) ||
        PyModule_AddIntConstant(module, "ABI_MINOR", AWSCRT_HTTP_ABI_MINOR)) {
        return -1;
    }
    return add_api(module);
}

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, module_exec},
#if defined(Py_GIL_DISABLED)
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

static struct PyModuleDef module_def = {
    PyModuleDef_HEAD_INIT,
    .m_name = "awscrt._http",
    .m_doc = "Native part of awscrt.http and awscrt.auth.",
    .m_slots = module_slots,
};

PyMODINIT_FUNC PyInit__http(void) {
    return PyModuleDef_Init(&module_def);
}
