/*
 * The C part of stream objects; shared by the callback kind (stream.c) and the asyncio kind (aio_stream.c).
 */
#ifndef AWSCRT_HTTP_STREAM_H
#define AWSCRT_HTTP_STREAM_H

#include "exchange.h"

typedef struct stream_data {
    awscrt_exchange *exchange;
    PyObject *connection;
    PyObject *completion_future; /* made when somebody asks for it */
    PyObject *failure;           /* exception: of a callback, and in the end of the stream */
    int failure_code;            /* of the callback that raised; 0 while none did */
    int status;                  /* 0 before the response head */
    bool completed;
    bool remote_ended;           /* the peer has said all (HTTP/2) */
    bool manual_write;           /* HTTP/2 */
    PyObject *remote_end_future; /* HTTP/2; made when somebody asks for it */
    crt_source *body;            /* written once the stream is active; NULL: none, or on its way */
    uint64_t received;           /* by the target of an exchange that is over */
    /* callback kind */
    PyObject *on_response;
    PyObject *on_body;
    PyObject *on_interim;
    PyObject *on_trailers;
    /* asyncio kind */
    PyObject *loop;
    PyObject *chunks;             /* list of bytes not yet taken; NULL while there never were two */
    Py_ssize_t chunks_taken;      /* from its front */
    PyObject *chunk;              /* the only one not yet taken, before `chunks` */
    crt_buf head;                 /* packed, until the last reader is gone */
    PyObject *head_waiters;       /* lists of asyncio futures; NULL while nobody waits */
    PyObject *chunk_waiters;
    PyObject *completion_waiters;
    PyObject *interim;  /* list of (status, headers) */
    PyObject *trailers; /* list of (name, value) */
} stream_data;

static inline stream_data *awscrt_stream_of(PyObject *self) {
    return (stream_data *)awscrt_http_data(self);
}

/* An exchange for the request of `data->connection`. 0, or -1 + exception. */
int awscrt_stream_bind(stream_data *data, PyObject *request, const awscrt_exchange_options *options,
                       const awscrt_request_extras *extras);
/* Reads the extras into the options; *timeouts is what they point to, *target the caller's. 0, or -1 + exception. */
int awscrt_request_options(const awscrt_request_extras *extras, stream_data *data, crt_http_stream_options *options,
                           crt_http_timeouts *timeouts, awscrt_target **target);
/* Starts sending. 0, or -1 + exception. */
int awscrt_stream_begin(PyObject *self);
/* HTTP/2: the peer has said all, or never will. */
void awscrt_stream_remote_end(stream_data *data, const awscrt_batch *batch);
/* New reference; NULL + exception. */
PyObject *awscrt_stream_remote_end_future(stream_data *data);
/* Sets up a stream with callbacks. 0, or -1 + exception. */
int awscrt_stream_setup(PyObject *self, const awscrt_stream_arguments *arguments);
/* The last batch: sets status or failure and completes the future. */
void awscrt_stream_complete(stream_data *data, const awscrt_batch *batch);
/* False, with RuntimeError set, when __init__ was not called or a fork came between. */
bool awscrt_stream_check(stream_data *data);

/* What derived types need of their base. */
int awscrt_stream_traverse(PyObject *self, visitproc visit, void *arg);
int awscrt_stream_clear(PyObject *self);
void awscrt_stream_dealloc(PyObject *self);
PyObject *awscrt_stream_activate(PyObject *self, PyObject *unused);

/* ---- http2_stream.c, for both kinds and versions ---- */

PyObject *awscrt_stream_write_data(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);

/* A buffer: an asyncio future of whether the bytes were sent, or False when the stream is over. */
PyObject *awscrt_http2_write_chunk(PyObject *self, PyObject *chunk);
PyObject *awscrt_http2_end_writes(PyObject *self, PyObject *unused);
PyObject *awscrt_http2_cancel(PyObject *self, PyObject *unused);
/* An asyncio future, unless it is done. True when it took the value. */
bool awscrt_aio_wake(stream_data *data, PyObject *waiter, PyObject *value);

#endif
