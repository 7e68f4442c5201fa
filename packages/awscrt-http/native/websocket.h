/*
 * What the two WebSocket bindings share: connecting, and the batches in which pieces travel to Python.
 */
#ifndef AWSCRT_HTTP_WEBSOCKET_H
#define AWSCRT_HTTP_WEBSOCKET_H

#include "binding.h"
#include "crt/websocket.h"

typedef struct awscrt_ws awscrt_ws;

/* A piece on its way; see crt_ws_piece. Its data lies in the batch's block, or behind the records. */
typedef struct awscrt_ws_record {
    crt_bytes data;
    uint64_t length;
    int status;
    uint8_t opcode;
    bool fin;
    bool begins;
    bool ends;
    bool is_control; /* `data.ptr` is an offset into the batch's `controls` */
} awscrt_ws_record;

/* What came in during one turn of the loop, as far as it lies in one block. */
typedef struct awscrt_ws_batch {
    awscrt_event event;
    awscrt_ws *ws;
    struct awscrt_ws_batch *next;
    crt_ws_block *block;
    crt_buf records;  /* of awscrt_ws_record */
    crt_buf controls; /* payload of control frames, which is not in blocks */
    size_t bytes;     /* what the batch counts for in `in_transit` */
    size_t taken;     /* records that Python has had */
} awscrt_ws_batch;

/* The answer to the handshake, kept until it is delivered. */
typedef struct awscrt_ws_answer {
    crt_fault fault;
    int status; /* 0: there was none */
    bool complete;
    crt_http_header *headers;
    size_t header_count;
    crt_buf text;
    crt_buf body;
} awscrt_ws_answer;

/* How a binding takes what is delivered; the GIL is held. */
typedef struct awscrt_ws_kind {
    void (*setup)(awscrt_ws *ws);
    /* The batch becomes the callee's. */
    void (*batch)(awscrt_ws *ws, awscrt_ws_batch *batch);
    void (*room)(awscrt_ws *ws);
    void (*shutdown)(awscrt_ws *ws);
} awscrt_ws_kind;

struct awscrt_ws {
    crt_refcount refs; /* the Python object; the runtime until setup failed or shutdown is delivered; sends */
    uint32_t generation;
    const awscrt_ws_kind *kind;
    awscrt_sink sink;
    crt_websocket *native; /* set by setup; NULL once released */
    PyObject *keep;        /* bootstrap: its threads run the connection */
    PyObject *owner;       /* by frame: what setup and shutdown are told; by message: the Python object, borrowed */
    PyObject *on_begin;    /* by frame: the user's callbacks; NULL when absent */
    PyObject *on_payload;
    PyObject *on_complete;
    PyObject *frame; /* IncomingFrame at hand */
    int callback_code;
    bool is_down; /* shutdown was delivered */
    bool dropped; /* the Python object is gone */
    size_t in_transit; /* atomic: by message: bytes that Python has not taken */
    int room_pending;  /* atomic: `room` is on its way */
    int held;          /* atomic: reading waits for in_transit to shrink */
    awscrt_ws_answer answer;
    crt_fault fault; /* of the end */
    awscrt_event setup;
    awscrt_event room;
    awscrt_event shutdown;
    /* the loop's alone */
    crt_websocket *fresh;
    awscrt_ws_batch *open;
    bool flush_due;
    bool ended; /* the flush delivers the shutdown */
    crt_task flush;
};

/* Python objects that are used again and again; set once, by awscrt.websocket and by the module's init. */
typedef struct awscrt_ws_shared {
    PyObject *opcodes; /* tuple: opcode -> Opcode */
    PyObject *frame_class;
    PyObject *begin_class;
    PyObject *payload_class;
    PyObject *complete_class;
    PyObject *sent_class;
    PyObject *report;
    PyTypeObject *binding_type;
    PyTypeObject *ready_type;
    PyObject *name_wait_next; /* "_wait_next" */
} awscrt_ws_shared;

extern CRT_HIDDEN awscrt_ws_shared awscrt_ws_py;

/* ---- websocket.c, websocket_aio.c ---- */

int awscrt_http_websocket_init(PyObject *module);
int awscrt_http_aio_websocket_init(PyObject *module);
extern CRT_HIDDEN PyMethodDef awscrt_http_websocket_connect_method;
extern CRT_HIDDEN PyMethodDef awscrt_http_use_websocket_types_method;

/* ---- websocket_connect.c ---- */

/* Positions of what _http's connecting functions are given first. */
enum {
    AWSCRT_WS_HOST,
    AWSCRT_WS_PORT,
    AWSCRT_WS_REQUEST,
    AWSCRT_WS_BOOTSTRAP,
    AWSCRT_WS_SOCKET_OPTIONS,
    AWSCRT_WS_TLS_OPTIONS,
    AWSCRT_WS_PROXY_OPTIONS,
    AWSCRT_WS_ARGUMENTS,
};

CRT_HIDDEN awscrt_ws *awscrt_ws_new(const awscrt_ws_kind *kind, awscrt_mailbox *mailbox);
/* 0, or -1 + exception; on success the runtime holds a reference. `options` has what is not in `given`. */
CRT_HIDDEN int awscrt_ws_connect(awscrt_ws *ws, PyObject *const *given, crt_websocket_options *options);
CRT_HIDDEN void awscrt_ws_release(awscrt_ws *ws); /* GIL held */
/* By message, GIL held: Python has taken so many bytes of its batches. */
CRT_HIDDEN void awscrt_ws_taken(awscrt_ws *ws, size_t bytes);
/* (exception or None, status or None, headers or None, body or None) of the answer; NULL + exception. */
CRT_HIDDEN PyObject *awscrt_ws_answer_tuple(const awscrt_ws *ws);
CRT_HIDDEN void awscrt_ws_batch_free(awscrt_ws_batch *batch);
CRT_HIDDEN crt_bytes awscrt_ws_record_data(const awscrt_ws_batch *batch, const awscrt_ws_record *record);

static inline size_t awscrt_ws_record_count(const awscrt_ws_batch *batch) {
    return crt_buf_len(&batch->records) / sizeof(awscrt_ws_record);
}
static inline const awscrt_ws_record *awscrt_ws_records(const awscrt_ws_batch *batch) {
    return (const awscrt_ws_record *)(const void *)crt_buf_data(&batch->records);
}

/* str (as UTF-8), bytes-like or None (nothing) for the time of a call. */
typedef struct awscrt_ws_payload {
    crt_bytes bytes;
    Py_buffer buffer;
    bool has_buffer;
} awscrt_ws_payload;

CRT_HIDDEN int awscrt_ws_payload_open(PyObject *object, awscrt_ws_payload *out); /* 0, or -1 + TypeError */
CRT_HIDDEN void awscrt_ws_payload_close(awscrt_ws_payload *payload);

#endif
