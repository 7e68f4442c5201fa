/*
 * awscrt._s3, internal: what the binding's files share.
 */
#ifndef AWSCRT_S3_BINDING_H
#define AWSCRT_S3_BINDING_H

#include "awscrt/http_api.h"
#include "awscrt/pycompat.h"
#include "crt/s3.h"

/* Native S3Client; borrowed from its handle. NULL + exception. */
crt_s3_client *awscrt_s3_client_of(PyObject *handle);

extern CRT_HIDDEN PyMethodDef awscrt_s3_client_methods[];
extern CRT_HIDDEN PyMethodDef awscrt_s3_transfer_methods[];

/* ---- events.c: a transfer's callbacks on their way to Python ---- */

/* Parts of one transfer whose memory waits for the next part; small ones come from the allocator as fast. */
enum { AWSCRT_S3_SPARES = 4, AWSCRT_S3_SPARE_MIN = 256 * 1024 };

/* What stands between a transfer and its Python callbacks; lives until both the transfer and its handle are gone. */
typedef struct awscrt_s3_run {
    crt_refcount refs; /* the handle, the transfer */
    uint32_t generation; /* of forks */
    awscrt_sink sink;
    /* GIL held. NULL once the transfer is over. */
    crt_s3_transfer *transfer;
    PyObject *future;
    PyObject *on_headers;
    PyObject *on_body;
    PyObject *on_progress;
    PyObject *on_done;
    PyObject *keep;      /* what the transfer borrows from: message, signing configuration, provider */
    PyObject *provider;  /* borrowed from keep */
    PyObject *exception; /* what a callback raised; ends the transfer */
    PyObject *on_gone;   /* called when everything is over */
    bool is_download;
    bool is_canceled;    /* from here on a download delivers nothing, and cannot succeed */
    void *done_event;    /* made beforehand: the end is always told */
    /* The whole body as one bytes object, the future's result, instead of pieces to on_body. */
    bool whole_body;
    uint64_t first; /* offset of its first byte; known with the headers, like: */
    uint64_t body_size;
    PyObject *body; /* made when the first piece comes */
    PyObject *spares[AWSCRT_S3_SPARES]; /* memory.c */
} awscrt_s3_run;

extern CRT_HIDDEN const crt_s3_handler awscrt_s3_handler;
/* NULL + MemoryError. */
awscrt_s3_run *awscrt_s3_run_new(void);
void awscrt_s3_run_release(awscrt_s3_run *run); /* GIL held */

/* Memory for a part (memory.c, GIL held). NULL without an exception. */
PyObject *awscrt_s3_bytes_new(awscrt_s3_run *run, uint64_t length);
/* The part has been delivered; steals the reference. */
void awscrt_s3_bytes_done(awscrt_s3_run *run, PyObject *bytes);
void awscrt_s3_spares_drop(awscrt_s3_run *run);

/* crt_s3_signing.query: asks run->provider. */
void awscrt_s3_query(void *user, crt_loop *loop, crt_s3_credentials_fn done, void *arg);

#endif
