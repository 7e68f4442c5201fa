/*
 * S3 transfers: objects are fetched by ranges over many connections, stored in one request or by multipart upload,
 * and each HTTP request is signed, retried and timed on its own.
 *
 * A client owns connections; a transfer is one object's journey. A transfer lives on one loop (its home): the
 * handler is called there, its HTTP requests run on all loops of the group.
 */
#ifndef CRT_S3_H
#define CRT_S3_H

#include "crt/auth.h"
#include "crt/http.h"
#include "crt/memory.h"

CRT_EXTERN_C_BEGIN

#define CRT_ERROR(code, name, message) name = code,
enum crt_s3_error {
#include "crt/errors_s3.def"
    CRT_S3_ERROR_END
};
#undef CRT_ERROR

typedef struct crt_s3_client crt_s3_client;
typedef struct crt_s3_transfer crt_s3_transfer;
typedef struct crt_s3_request crt_s3_request;

/* Registers the names of this package's error codes. */
void crt_s3_register_errors(void);

/* ---- client ---- */

enum crt_s3_retry_mode { CRT_S3_RETRY_STANDARD = 0, CRT_S3_RETRY_ADAPTIVE = 1, CRT_S3_RETRY_BACKOFF = 2, CRT_S3_RETRY_NONE = 3 };
enum crt_s3_jitter { CRT_S3_JITTER_DEFAULT = 0, CRT_S3_JITTER_NONE = 1, CRT_S3_JITTER_FULL = 2, CRT_S3_JITTER_DECORRELATED = 3 };

/* 0 in any field: the default. */
typedef struct crt_s3_retry_options {
    uint64_t max_retries;       /* 5 */
    uint64_t backoff_scale_ms;  /* 500 */
    uint64_t max_backoff_secs;  /* 20 */
    uint64_t bucket_capacity;   /* 500 */
    int jitter;                 /* full */
    int mode;                   /* enum crt_s3_retry_mode */
} crt_s3_retry_options;

/* 0 in any number: the default. Everything is copied or referenced. */
typedef struct crt_s3_client_options {
    crt_loop_group *loops;
    crt_resolver *resolver;
    const crt_tls_options *tls; /* NULL: plain */
    uint64_t part_size;         /* 0: 8 MiB, and larger for downloads of large objects */
    uint64_t multipart_threshold;
    double throughput_gbps;     /* 10 */
    uint64_t memory_limit;      /* bytes of part buffers, plus 128 MiB for everything else */
    uint64_t max_connections;   /* lowers what follows from the throughput */
    uint64_t connect_timeout_ms; /* 3000 */
    crt_s3_retry_options retry;
    /* Once, on a loop of the group: every connection is closed and the client is gone. */
    void (*on_shutdown)(void *user, crt_loop *loop);
    void *user;
} crt_s3_client_options;

/* AWS_ERROR_INVALID_ARGUMENT, AWS_ERROR_S3_INVALID_MEMORY_LIMIT_CONFIG, AWS_ERROR_S3_PART_SIZE_EXCEEDS_MEMORY_LIMIT,
   AWS_ERROR_OVERFLOW_DETECTED, AWS_ERROR_OOM. */
int crt_s3_client_new(const crt_s3_client_options *options, crt_s3_client **out, crt_fault *fault);
/* Any thread. Never blocks. Running transfers keep the client until they end. */
void crt_s3_client_release(crt_s3_client *client);

/* ---- transfer ---- */

enum crt_s3_type { CRT_S3_DEFAULT = 0, CRT_S3_GET_OBJECT = 1, CRT_S3_PUT_OBJECT = 2 };

/* `credentials` is borrowed; NULL with a code when there are none. Any thread. */
typedef void (*crt_s3_credentials_fn)(void *arg, crt_credentials *credentials, int code);

/* How to sign. Strings are copied, credentials referenced; every request is dated when it is signed. */
typedef struct crt_s3_signing {
    crt_signing_config config;
    crt_credentials *credentials;  /* these; or NULL: */
    /* asked once per HTTP request, on the loop that is about to send it; answers through `done` once, any time later */
    void (*query)(void *user, crt_loop *loop, crt_s3_credentials_fn done, void *arg);
    void *user;
} crt_s3_signing;

/* A piece of the body, in object order. */
typedef struct crt_s3_chunk {
    uint64_t offset;  /* in the object */
    size_t length;
    void *cookie;     /* of the memory that on_memory's answer named, filled with `length` bytes; NULL: */
    crt_buf small;    /* the receiver takes this buffer over */
} crt_s3_chunk;

typedef struct crt_s3_result {
    crt_fault fault;            /* code 0: success */
    int status;                 /* of the response that decided; 0: none */
    bool is_response;           /* the fault is an HTTP response, described by what follows */
    crt_http_headers *headers;  /* borrowed */
    crt_bytes body;
    const char *operation;      /* "GetObject" */
} crt_s3_result;

/* All on the home loop, without any lock held. */
typedef struct crt_s3_handler {
    /* At most once; `headers` is never changed again and may be referenced. */
    void (*on_headers)(void *user, int status, crt_http_headers *headers);
    /* Memory for `length` body bytes from `offset` on is wanted: answer with crt_s3_memory_ready. */
    void (*on_memory)(void *user, crt_s3_request *request, uint64_t offset, size_t length);
    /* Memory given earlier is not needed after all. */
    void (*on_memory_unused)(void *user, void *cookie);
    void (*on_body)(void *user, crt_s3_chunk *chunk);
    /* Payload bytes since the last call; about once a second. */
    void (*on_progress)(void *user, uint64_t bytes);
    /* Once, last. */
    void (*on_done)(void *user, const crt_s3_result *result);
} crt_s3_handler;

typedef struct crt_s3_transfer_options {
    int type;
    const crt_http_message *message; /* copied; its body source is referenced */
    const char *operation;           /* DEFAULT: the operation's name */
    const char *recv_path;           /* body goes to this file, created or truncated now */
    const char *send_path;           /* body comes from this file */
    const crt_s3_signing *signing;   /* NULL: anonymous */
    uint64_t part_size;              /* 0: the client's */
    uint64_t multipart_threshold;
    uint64_t max_connections;
    bool want_body;                  /* on_body is wanted; ignored with recv_path */
    const crt_s3_handler *handler;   /* static storage */
    void *user;
} crt_s3_transfer_options;

/* Any thread. Failures of arguments and files are returned and the handler is not called; after 0, on_done is
   called exactly once, and never before this call returned when made on the home loop. */
int crt_s3_transfer_start(crt_s3_client *client, const crt_s3_transfer_options *options, crt_s3_transfer **out,
                          crt_fault *fault);
/* Any thread, at any time: the transfer ends with `code`; nothing after on_done. */
void crt_s3_transfer_cancel(crt_s3_transfer *transfer, int code);
crt_loop *crt_s3_transfer_home(const crt_s3_transfer *transfer);
void crt_s3_transfer_release(crt_s3_transfer *transfer); /* any thread */

/* Any thread, once per on_memory: `memory` holds the length asked for. NULL: there is none (ends the transfer). */
void crt_s3_memory_ready(crt_s3_request *request, void *memory, void *cookie);

CRT_EXTERN_C_END
#endif
