/*
 * The part of a connection that outlives its Python object: it waits for the transport to be gone, because
 * shutdown_future may be all that the user kept. connection.c is for every version, http2_connection.c has the rest.
 */
#ifndef AWSCRT_HTTP_CONNECTION_H
#define AWSCRT_HTTP_CONNECTION_H

#include "binding.h"

/* Apart from the runtime's callbacks touched with the GIL held only. */
struct awscrt_conn {
    crt_refcount refs; /* the Python object, and the runtime until on_shutdown or a failed on_connected */
    uint32_t generation;
    crt_http_conn *native; /* NULL before connected and after the Python object is gone */
    crt_loop *loop;
    PyObject *keep; /* bootstrap: its threads run the connection */
    PyObject *type;       /* class of the Python object to be when HTTP/1.1 is spoken; None: it must not be */
    PyObject *http2_type; /* the same for HTTP/2 */
    PyObject *host_name;
    PyObject *port;
    PyObject *connect_future;
    PyObject *shutdown_future;
    bool wants_settings;   /* on_remote_settings_changed was given */
    PyObject *on_settings; /* it, callable for lists of (id, value), until there is a Python object to hold it */
    PyObject *weak;        /* weak reference to the Python object, when it holds it */
    int callback_code; /* of a user callback that raised; tells why the connection went down */
    crt_fault connect_fault;
    crt_fault shutdown_fault;
    awscrt_event connected;
    awscrt_event shutdown;
    char where[272]; /* "host:port" */
};

/* What a Python connection consists of. */
typedef struct connection_data {
    awscrt_conn *conn;
    PyObject *on_settings; /* owned by the object alone, so that the garbage collector sees cycles through it */
} connection_data;

/* GIL held. */
CRT_HIDDEN void awscrt_conn_release(awscrt_conn *conn);

/* ---- http2_connection.c ---- */

/*
 * The HTTP/2 part of connect(): a tuple of initial_settings, on_settings, conn_manual_window_management,
 * conn_window_size_threshold, stream_window_size_threshold and prior_knowledge, or None. *settings is the caller's to
 * free once the connection has copied it. 0, or -1 + exception.
 */
CRT_HIDDEN int awscrt_http2_options(PyObject *given, awscrt_conn *conn, crt_http_connect_options *options,
                                    crt_http2_setting **settings);
/* crt_http_conn_handler.on_settings */
CRT_HIDDEN void awscrt_http2_on_settings(void *user, const crt_http2_setting *settings, size_t count);
/* Methods of connections that speak HTTP/2. */
CRT_HIDDEN PyObject *awscrt_http2_update_window(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                                                PyObject *kwnames);
/* Future of the round trip in seconds. */
CRT_HIDDEN PyObject *awscrt_http2_ping(PyObject *self, PyObject *unused);
/* As awscrt_http_connect's arguments are read: None is 0. -1 + exception. */
CRT_HIDDEN int awscrt_http_size_argument(PyObject *value, size_t *out);

#endif
