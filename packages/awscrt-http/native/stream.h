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
    /* callback kind */
    PyObject *on_response;
    PyObject *on_body;
    /* asyncio kind */
    PyObject *loop;
    PyObject *chunks;             /* list of bytes not yet taken; NULL while there never were two */
    Py_ssize_t chunks_taken;      /* from its front */
    PyObject *chunk;              /* the only one not yet taken, before `chunks` */
    crt_buf head;                 /* packed, until the last reader is gone */
    PyObject *head_waiters;       /* lists of asyncio futures; NULL while nobody waits */
    PyObject *chunk_waiters;
    PyObject *completion_waiters;
} stream_data;

static inline stream_data *awscrt_stream_of(PyObject *self) {
    return (stream_data *)awscrt_http_data(self);
}

/* An exchange for the request of `data->connection`. 0, or -1 + exception. */
int awscrt_stream_bind(stream_data *data, PyObject *request, const awscrt_exchange_options *options);
/* The last batch: sets status or failure and completes the future. */
void awscrt_stream_complete(stream_data *data, const awscrt_batch *batch);
/* False, with RuntimeError set, when __init__ was not called or a fork came between. */
bool awscrt_stream_check(stream_data *data);

#endif
