/*
 * awscrt._http, internal: what the binding's files share. The exported part is awscrt/http_api.h.
 */
#ifndef AWSCRT_HTTP_BINDING_H
#define AWSCRT_HTTP_BINDING_H

#include "awscrt/http_api.h"
#include "awscrt/pycompat.h"

/* Python objects that are used again and again; set once by the module's init. */
typedef struct awscrt_http_shared {
    PyObject *native_resource; /* awscrt.NativeResource, base of every type here */
    size_t data_offset;        /* where a type's own struct starts: behind NativeResource's slots */
    PyObject *empty_tuple;
    PyObject *empty_bytes;
    PyTypeObject *headers_type;
    PyTypeObject *message_type;
    PyTypeObject *request_type;
    PyTypeObject *connection_type;
    PyTypeObject *native_stream_type; /* ClientStream */
    PyTypeObject *native_http2_stream_type; /* Http2Stream */
    PyTypeObject *stream_type;        /* what request() makes: awscrt.http.HttpClientStream */
    PyTypeObject *http2_stream_type;  /* the same on HTTP/2: awscrt.http.Http2ClientStream */
    PyTypeObject *client_stream_base_type;
    PyTypeObject *credentials_type;
    PyTypeObject *signing_config_type;
    /* keyword names of user callbacks */
    PyObject *kw_http_stream;
    PyObject *kw_status_code;
    PyObject *kw_headers;
    PyObject *kw_chunk;
    PyObject *kw_name;
    PyObject *name_track; /* "_track_lifetime" */
    /* methods of asyncio */
    PyObject *name_done;
    PyObject *name_set_result;
    PyObject *name_create_future;
} awscrt_http_shared;

extern CRT_HIDDEN awscrt_http_shared awscrt_http;

/* The C part of an instance. */
static inline void *awscrt_http_data(PyObject *self) {
    return (char *)self + awscrt_http.data_offset;
}

/* ---- types.c ---- */

/*
 * A heap type whose instances carry `data_size` bytes behind those of NativeResource. Adds it to the module
 * under its last name. Returns a reference that the caller keeps for ever; NULL + exception.
 */
PyTypeObject *awscrt_http_type_new(PyObject *module, PyType_Spec *spec, size_t data_size, PyObject *base);
/* Zeroed instance; registered with NativeResource._living while lifetimes are tracked. */
PyObject *awscrt_http_alloc(PyTypeObject *type);
/* tp_new of all types: allocation only. */
PyObject *awscrt_http_tp_new(PyTypeObject *type, PyObject *args, PyObject *kwargs);
/* First and last step of every tp_dealloc. */
void awscrt_http_dealloc_begin(PyObject *self);
/* True when `object` is an instance; raises nothing. */
static inline bool awscrt_http_is(PyObject *object, PyTypeObject *type) {
    return Py_TYPE(object) == type || PyType_IsSubtype(Py_TYPE(object), type);
}

/* Names and number of a function's parameters. */
typedef struct awscrt_params {
    const char *function;
    const char *const *names;
    int required;
    int count;
    int positional; /* those behind so many are given by keyword; 0: none */
} awscrt_params;

/* METH_FASTCALL | METH_KEYWORDS arguments into out[count] (borrowed, NULL when absent). 0, or -1 + TypeError. */
int awscrt_http_args(const awscrt_params *params, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames,
                     PyObject **out);
/* The same for a tuple and a dict. */
int awscrt_http_args_of_tuple(const awscrt_params *params, PyObject *args, PyObject *kwargs, PyObject **out);

/* UTF-8 of a str, borrowed from it. 0, or -1 + exception: AssertionError when it is no str. */
int awscrt_http_text(PyObject *object, crt_bytes *out);
/* The low 32 bits of an integer. 0, or -1 + TypeError. */
int awscrt_http_mask32(PyObject *object, uint32_t *out);
PyObject *awscrt_http_assertion(void);

/* Calls with keywords only. Steals nothing. */
PyObject *awscrt_http_call_keywords(PyObject *callable, PyObject *const *names, PyObject *const *values, int count);

/* module.attribute; new reference. */
PyObject *awscrt_http_import_attribute(const char *module, const char *attribute);

/* False, with RuntimeError set, when the object was made before a fork. */
bool awscrt_http_check_generation(uint32_t generation, const char *what);

/* ---- headers.c ---- */

int awscrt_http_headers_init(PyObject *module);
/* HttpHeaders -> borrowed; NULL + TypeError. */
crt_http_headers *awscrt_http_headers_get(PyObject *headers);

/* ---- message.c ---- */

int awscrt_http_message_init(PyObject *module);
/* An InputStream around anything with a read method; new reference, or NULL + TypeError. */
PyObject *awscrt_http_wrap_stream(PyObject *stream);
/* request.body_stream; borrowed, may be NULL. */
PyObject *awscrt_http_message_body_stream(PyObject *request);

/* ---- connection.c ---- */

int awscrt_http_connection_init(PyObject *module);

/* The part of a connection that outlives its Python object: until the transport is gone. */
typedef struct awscrt_conn awscrt_conn;
/* Open or not; NULL + RuntimeError when it never was connected or comes from before a fork. */
awscrt_conn *awscrt_http_conn_of(PyObject *connection);
crt_http_conn *awscrt_http_conn_native(const awscrt_conn *conn);
/* "host:port", for messages. */
const char *awscrt_http_conn_where(const awscrt_conn *conn);
/* A callback of one of its streams failed: shutdown_future gets `code`. GIL held. */
void awscrt_http_conn_fail(awscrt_conn *conn, int code);
extern CRT_HIDDEN PyMethodDef awscrt_http_connect_method;

/* ---- stream.c ---- */

int awscrt_http_stream_init(PyObject *module);
int awscrt_http_http2_stream_init(PyObject *module);
int awscrt_http_aio_stream_init(PyObject *module);

/* What a request may have beyond its message; borrowed, NULL or None when absent. */
typedef struct awscrt_request_extras {
    PyObject *on_interim;
    PyObject *on_trailers;
    PyObject *body;            /* a buffer, a stream, or an iterable of buffers: follows body_stream */
    PyObject *readinto;        /* a writable buffer or a binary file */
    PyObject *expect_continue; /* seconds */
    PyObject *timeouts;        /* awscrt.http.HttpTimeouts */
} awscrt_request_extras;

/* What streams with callbacks are made of; callbacks NULL or None when absent. */
typedef struct awscrt_stream_arguments {
    PyObject *connection;
    PyObject *request;
    PyObject *on_response;
    PyObject *on_body;
    bool manual_write;
    awscrt_request_extras extras;
} awscrt_stream_arguments;

/* Reads HttpTimeouts or None. 0, or -1 + exception. */
int awscrt_http_timeouts_get(PyObject *timeouts, crt_http_timeouts *out);
/* A buffer, a stream, or an iterable of buffers: a reference to a source; NULL + exception. */
crt_source *awscrt_http_body_source(PyObject *body);
/* connection.request() */
PyObject *awscrt_http_stream_request(PyTypeObject *type, const awscrt_stream_arguments *arguments);
PyObject *awscrt_http_version(int version);

/* ---- pool.c, pool_request.c ---- */

int awscrt_http_pool_init(PyObject *module);
int awscrt_http_pool_request_init(PyObject *module);

/* ---- credentials.c, signing_config.c, signing.c, presign.c ---- */

int awscrt_http_credentials_init(PyObject *module);
/* While the `done` of awscrt_credentials_query() is told of a failure: the exception, borrowed. Else NULL. */
PyObject *awscrt_credentials_failure(void);
int awscrt_http_signing_init(PyObject *module);
extern CRT_HIDDEN PyMethodDef awscrt_http_sign_method;
extern CRT_HIDDEN PyMethodDef awscrt_http_presign_method;

#endif
