/*
 * One exchange between the runtime and a Python stream: what happens on the connection's loop is gathered into
 * batches, one per turn of the loop or per 256 KiB of body, which travel to Python as single events.
 */
#ifndef AWSCRT_HTTP_EXCHANGE_H
#define AWSCRT_HTTP_EXCHANGE_H

#include "binding.h"
#include "target.h"

typedef struct awscrt_exchange awscrt_exchange;

typedef struct awscrt_spare awscrt_spare;

/* Headers besides those of the final response: of an informational one, or the trailers. */
typedef struct awscrt_note {
    struct awscrt_note *next;
    int status; /* 0: trailers */
    crt_buf head;
} awscrt_note;

/* What came in during one turn of the loop. */
typedef struct awscrt_batch {
    awscrt_event event;
    awscrt_exchange *exchange;
    bool has_head;
    bool remote_ended; /* the peer has said all */
    bool is_last; /* exchange->fault says how it ended */
    int status;   /* of the response; 0 before its head */
    crt_buf head; /* packed; see awscrt_head_list */
    crt_buf body;
    awscrt_note *notes; /* in the order they came */
} awscrt_batch;

struct awscrt_exchange {
    crt_refcount refs; /* the Python stream; the runtime from activation until the last batch is delivered */
    uint32_t generation;
    crt_http_stream *native; /* NULL once the last batch is delivered */
    awscrt_sink sink;
    PyObject *stream; /* the Python object, strong while the runtime works for it */
    /* GIL held: what the batch means to the stream. Leaves no exception set. */
    void (*take)(PyObject *stream, awscrt_batch *batch);
    bool activated;
    bool wants_head;
    bool wants_notes;
    awscrt_target *target; /* where the body goes instead of into batches; NULL: it does not */
    bool head_is_bad; /* for Python once the last batch is delivered */
    awscrt_spare *returned; /* atomic: memory of delivered bodies, on its way back to the loop */
    size_t in_transit;      /* atomic: body bytes sent off and not yet delivered */
    int held;               /* atomic: reading waits for in_transit to shrink */
    /* the loop's alone */
    bool first_used;
    size_t room;     /* how much body to read at once; grows with the flow */
    crt_buf landing; /* where body bytes are read to; becomes the body of the batch */
    awscrt_spare *spares;
    awscrt_batch *open;
    bool flush_queued;
    bool remote_ended;
    bool ended;
    crt_task resume;
    crt_task flush;
    crt_fault fault;
    awscrt_batch first; /* enough for a small response */
    awscrt_batch last;  /* kept free for the end, which must not fail */
};

typedef struct awscrt_exchange_options {
    crt_http_conn *conn;
    const char *where; /* "host:port" */
    const crt_http_message *message;
    awscrt_mailbox *mailbox; /* NULL: events run on the loop's thread */
    bool wants_head;
    bool wants_body;
    bool wants_notes;
    awscrt_target *target; /* taken over on success */
    const crt_http_stream_options *stream;
    void (*take)(PyObject *stream, awscrt_batch *batch);
} awscrt_exchange_options;

/* NULL + RuntimeError. */
awscrt_exchange *awscrt_exchange_new(const awscrt_exchange_options *options);
/* 0, or -1 + RuntimeError. Idempotent. `stream` stays alive until its last batch is delivered. */
int awscrt_exchange_activate(awscrt_exchange *exchange, PyObject *stream);
/* The Python stream is gone. */
void awscrt_exchange_drop(awscrt_exchange *exchange);
/* The list of (name, value) that a batch's head stands for; NULL + exception. */
PyObject *awscrt_head_list(const crt_buf *head);
/* What it stands for is appended. 0 or AWS_ERROR_OOM. */
int awscrt_head_pack(crt_buf *out, const crt_http_header *headers, size_t count);

#endif
