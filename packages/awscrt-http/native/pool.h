/*
 * awscrt._http.Pool and awscrt._http.PoolRequest: the connection pool for Python. Nothing is pushed at Python but the
 * word that there is news; what it is, Python asks for. The same objects serve threads and asyncio.
 */
#ifndef AWSCRT_HTTP_POOL_H
#define AWSCRT_HTTP_POOL_H

#include "binding.h"

typedef struct awscrt_pool_start {
    crt_http_pool *pool;
    const crt_http_origin *origin;
    PyObject *message; /* HttpRequest */
    PyObject *body;    /* None, a buffer, a stream, an iterable, or True: it will be fed */
    PyObject *loop;    /* of asyncio; None: news comes on an event-loop thread */
    const crt_http_pool_request_options *options;
} awscrt_pool_start;

CRT_HIDDEN extern PyTypeObject *awscrt_pool_request_type;
/* Sends what `request` (a PoolRequest) stands for. 0, or -1 + exception. */
CRT_HIDDEN int awscrt_pool_request_begin(PyObject *request, const awscrt_pool_start *start);

#endif
