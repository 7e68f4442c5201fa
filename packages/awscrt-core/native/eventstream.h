/*
 * The event-stream binding, internal: what its files share.
 */
#ifndef AWSCRT_EVENTSTREAM_H
#define AWSCRT_EVENTSTREAM_H

#include "binding.h"
#include "crt/eventstream.h"

/* ---- eventstream_header.c ---- */

/* A view of a Header object. `buffer` is set for BYTE_BUF, and released by the caller where buffer.obj is not NULL.
   0, or -1 + exception: it cannot be sent. */
int awscrt_es_header_view(PyObject *header, crt_es_header *out, Py_buffer *buffer);
/* New Header; NULL + exception (UnicodeDecodeError for text that is no UTF-8). */
PyObject *awscrt_es_header_new(const crt_es_header *header);
/* True for instances of awscrt.eventstream.Header. */
bool awscrt_es_is_header(PyObject *object);
/* -1 + exception until awscrt.eventstream has given its classes. */
int awscrt_es_need_types(void);

/* ---- eventstream_codec.c ---- */

/* The headers that route a message of the RPC protocol. */
typedef struct awscrt_es_route {
    int found; /* bit per member: present and INT32 */
    int32_t message_type;
    int32_t flags;
    int32_t stream_id;
} awscrt_es_route;

#define AWSCRT_ES_ROUTED 7 /* of `found`: all three */

/* List of Headers; NULL + exception. `route` may be NULL. */
PyObject *awscrt_es_header_list(crt_bytes block, awscrt_es_route *route);

int awscrt_es_header_init(PyObject *module);
int awscrt_es_codec_init(PyObject *module);
int awscrt_es_channel_init(PyObject *module);

#endif
