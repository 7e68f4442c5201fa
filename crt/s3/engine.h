/*
 * Private parts of the transfer engine.
 *
 * Threads: a client has one shard per loop; a shard's connections and the HTTP requests on them are touched only
 * on that loop. A transfer is touched only on its home loop. What they share (endpoints' token buckets, the cap on
 * connections, part memory) is behind the client's lock, which is never held while calling out.
 *
 * An HTTP request is born and dies on its transfer's home loop and works in between on its shard's loop.
 */
#ifndef CRT_S3_ENGINE_H
#define CRT_S3_ENGINE_H

#include <pthread.h>
#include <stdio.h>

#include "crt/s3.h"
#include "message.h"
#include "planner.h"
#include "retry.h"
#include "window.h"

typedef struct crt_s3_shard crt_s3_shard;
typedef struct crt_s3_endpoint crt_s3_endpoint;
typedef struct crt_s3_conn crt_s3_conn;
typedef struct crt_s3_block crt_s3_block;

/* Milliseconds. */
#define CRT_S3_TICK_MS 1000
#define CRT_S3_IDLE_CONNECTION_MS 5000
#define CRT_S3_STALLED_MS 30000
#define CRT_S3_WIDEN_MS 250 /* without any progress, before a transfer uses more connections */

/* Bodies up to this size are collected and copied: cheaper than a round trip for memory of their own. */
#define CRT_S3_SMALL_BODY (64 * 1024)
/* Error documents are a few hundred bytes; what exceeds this is not one. */
#define CRT_S3_ERROR_BODY_MAX (1024 * 1024)
/* Where bodies land that go on to a file: fits the L2 cache, so that the copy to the page cache reads it there. */
#define CRT_S3_STAGING_SIZE (256 * 1024)

/* ---- pool.c: connections ---- */

/* Connections of one endpoint on one loop. */
typedef struct crt_s3_lane {
    crt_s3_conn *idle; /* most recently used first */
    crt_s3_request *waiting_head;
    crt_s3_request *waiting_tail;
    size_t waiting;
    size_t connecting;
} crt_s3_lane;

struct crt_s3_endpoint {
    crt_s3_endpoint *next;
    crt_s3_client *client;
    size_t refs; /* under the client's lock */
    char *host;
    uint32_t port;
    crt_s3_bucket bucket; /* under the client's lock */
    crt_s3_lane lanes[];  /* one per shard */
};

struct crt_s3_shard {
    crt_s3_client *client;
    crt_loop *loop;
    size_t index;
    uint8_t *staging;       /* made on first use */
    crt_s3_block *free_blocks;
    size_t writing;         /* blocks on their way to files */
    crt_s3_request *paused; /* wait for a block, linked by next_paused */
    crt_s3_conn *conns;     /* all of them, linked by next_all */
    crt_s3_request *active; /* requests with an HTTP stream, linked by next_active */
    crt_timer tick;         /* runs while there are connections */
    bool closing;
    crt_task close_task;
};

struct crt_s3_conn {
    crt_s3_shard *shard;
    crt_s3_endpoint *endpoint;
    crt_http_conn *http; /* NULL while connecting and after it closed */
    crt_s3_conn *next_all;
    crt_s3_conn *prev_all;
    crt_s3_conn *next_idle;
    bool is_idle;
    bool busy; /* a request works on it */
    bool gone; /* shut down while busy */
    uint64_t idle_since_ms;
};

/* "host", "host:port", "[v6]:port", with or without a scheme. NULL: no memory, or invalid (fault says). */
crt_s3_endpoint *crt_s3_endpoint_get(crt_s3_client *client, crt_bytes host_header, crt_fault *fault);
void crt_s3_endpoint_acquire(crt_s3_endpoint *endpoint);
void crt_s3_endpoint_release(crt_s3_endpoint *endpoint);
/* Shard loop: crt_s3_request_on_connection is called, now or later. */
void crt_s3_pool_get(crt_s3_request *request);
/* Leaves the line; false when the request is not in it. */
bool crt_s3_pool_leave(crt_s3_request *request);
/* A request is done with its connection. */
void crt_s3_pool_put(crt_s3_conn *conn);
void crt_s3_shard_init(crt_s3_shard *shard, crt_s3_client *client, crt_loop *loop, size_t index);
uint8_t *crt_s3_shard_staging(crt_s3_shard *shard);

/* ---- client.c ---- */

struct crt_s3_client {
    crt_refcount users; /* the caller and its transfers; connections close when it drops to 0 */
    crt_refcount alive; /* shards and connections; memory goes when it drops to 0 */
    crt_loop_group *loops;
    crt_resolver *resolver;
    bool use_tls;
    crt_tls_options tls; /* strings owned */
    uint64_t part_size;  /* base */
    bool dynamic_parts;  /* nobody named a part size */
    uint64_t multipart_threshold; /* 0: not given */
    uint64_t ideal_connections;
    uint64_t max_connections;
    uint64_t memory_limit;
    uint32_t connect_timeout_ms;
    crt_s3_retry_policy retry;
    bool sequential; /* no spread: AWS_CRT_S3_FORCE_SEQUENTIAL_REQUESTS */
    void (*on_shutdown)(void *user, crt_loop *loop);
    void *user;
    crt_task gone_task;
    crt_loop_group *writers; /* threads that write files; made for the first large one, under the lock */

    pthread_mutex_t lock;
    crt_s3_endpoint *endpoints;
    uint64_t slots_used;
    uint64_t memory_used;
    struct crt_s3_permit *permit_head; /* waiting, oldest first */
    struct crt_s3_permit *permit_tail;

    size_t shard_count;
    crt_s3_shard shards[];
};

void crt_s3_client_alive_release(crt_s3_client *client);

/* ---- permit.c: leave to start one more HTTP request ---- */

enum crt_s3_permit_state {
    CRT_S3_PERMIT_NONE,
    CRT_S3_PERMIT_QUEUED,  /* in the client's line, or granted there and not yet told */
    CRT_S3_PERMIT_BUDGET,  /* in the line of the process-wide budget */
    CRT_S3_PERMIT_READY,
    CRT_S3_PERMIT_DROPPED, /* not needed any more, but a task is on its way */
};

/*
 * A slot under the client's cap and memory for the part, from the client's share and the process-wide budget.
 * Granted in the order of asking, so that a transfer's next part always precedes its later ones: parts that wait
 * for delivery can never hold up the one they wait for. One per transfer.
 */
typedef struct crt_s3_permit {
    struct crt_s3_permit *next;
    enum crt_s3_permit_state state; /* home loop */
    uint64_t memory;
    crt_task task;
    crt_budget_wait budget;
} crt_s3_permit;

/* Home loop. True: granted, call crt_s3_permit_use. False: the transfer is pumped when it is. */
bool crt_s3_permit_ask(crt_s3_transfer *transfer, uint64_t memory);
/* The granted permit goes to a request. */
void crt_s3_permit_use(crt_s3_transfer *transfer);
/* The transfer needs none any more. */
void crt_s3_permit_drop(crt_s3_transfer *transfer);
/* Any thread. */
void crt_s3_permit_give_slot(crt_s3_client *client);
void crt_s3_permit_give_memory(crt_s3_client *client, uint64_t memory);

/* ---- request.c: one HTTP request with its retries ---- */

enum crt_s3_sink {
    CRT_S3_SINK_BUFFER,
    CRT_S3_SINK_FILE,   /* written at once */
    CRT_S3_SINK_BLOCKS, /* written by another thread */
    CRT_S3_SINK_MEMORY,
    CRT_S3_SINK_DROP,
};

enum crt_s3_request_state {
    CRT_S3_REQ_NEW,         /* on the home loop, or on its way between loops */
    CRT_S3_REQ_MEMORY,      /* waits for the receiver's memory, not yet sent */
    CRT_S3_REQ_CREDENTIALS,
    CRT_S3_REQ_CONNECTION,
    CRT_S3_REQ_STREAM,
    CRT_S3_REQ_WRITING, /* received; blocks are still on their way to the file */
    CRT_S3_REQ_BACKOFF,
    CRT_S3_REQ_FINISHED,
};

typedef struct crt_s3_request_kind {
    /* Shard loop: adds what the operation needs to a message made by crt_s3_message_for. */
    int (*build)(crt_s3_request *request, crt_http_message *message);
    /* Shard loop, on a success status: checks the head and chooses the sink. Non-zero ends the attempt. */
    int (*on_head)(crt_s3_request *request);
    /* Home loop: the response was a success. True: the kind has taken the request over, to discard it later. */
    bool (*on_success)(crt_s3_request *request);
    /* Home loop, optional: the response was no success; true when that is not the end of the transfer. */
    bool (*on_refused)(crt_s3_request *request);
} crt_s3_request_kind;

struct crt_s3_request {
    crt_refcount refs;
    const crt_s3_request_kind *kind;
    crt_s3_transfer *transfer;
    crt_s3_shard *shard;
    crt_s3_request *next, *prev; /* of the transfer, home loop */
    crt_task task;               /* carries it between the loops */
    crt_task abort_task;
    bool abort_posted;           /* home loop */
    bool has_slot;
    uint64_t memory;             /* held for it, to give back */
    bool memory_pending;         /* the receiver has been asked and has not answered */
    crt_task memory_task;
    void *memory_given;
    void *cookie_given;

    enum crt_s3_operation operation;
    const char *operation_name;
    uint64_t part;   /* index from 0 */
    uint64_t offset; /* of its bytes: in the object (GET, absolute) or the body source (PUT) */
    uint64_t length; /* of its bytes; CRT_S3_UNKNOWN until the response tells */
    crt_source source; /* body of the request: a slice of memory or of a file */
    bool has_source;
    void *buffer;      /* owned memory behind the source */
    char content_md5[28]; /* of the body, when the caller wants one on each part */

    /* from here on: shard loop */
    enum crt_s3_request_state state;
    bool aborted;
    crt_s3_request *next_waiting;
    crt_s3_request *next_active, *prev_active;
    crt_credentials *credentials;
    int credentials_code;
    crt_s3_conn *conn;
    crt_http_stream *stream;
    crt_timer backoff;
    crt_s3_retry_state retry;
    uint64_t seen_received; /* what had moved at: */
    size_t seen_unsent;
    uint64_t moved_ms;
    bool stalled;
    uint64_t sent_ns; /* this attempt: handed to the connection, */
    uint64_t head_ns; /* answered, */
    uint64_t done_ns; /* complete */

    int status;
    crt_http_headers *response;
    uint64_t content_length; /* CRT_S3_UNKNOWN when absent */
    enum crt_s3_sink sink;
    uint64_t file_offset; /* of the first byte, in the file */
    crt_s3_block *block;  /* SINK_BLOCKS: being filled */
    size_t writes;        /* blocks on their way */
    bool paused;
    crt_s3_request *next_paused;
    crt_fault attempt;    /* how the attempt ended, while blocks are on their way */
    uint8_t *body_memory; /* SINK_MEMORY; NULL while asked for */
    void *cookie;
    crt_buf body;
    uint64_t received;
    crt_fault sink_fault; /* why the body could not be stored */
    crt_fault fault;      /* outcome */
    bool is_response;     /* the fault is what the server answered */
    crt_s3_request *next_ready; /* GET: waits for delivery in order, home loop */
};

/* Home loop. NULL: no memory (the transfer has been failed). */
crt_s3_request *crt_s3_request_new(crt_s3_transfer *transfer, const crt_s3_request_kind *kind,
                                   enum crt_s3_operation operation, crt_s3_shard *shard);
void crt_s3_request_start(crt_s3_request *request);
/* Home loop: asks the receiver for memory for the body; the request starts (or goes on) when it is there. */
void crt_s3_request_ask_memory(crt_s3_request *request);
/* Home loop. */
void crt_s3_request_abort(crt_s3_request *request);
/* Home loop: gives back what the finished request holds. */
void crt_s3_request_discard(crt_s3_request *request);
void crt_s3_request_release(crt_s3_request *request);
/* Shard loop. */
void crt_s3_request_on_connection(crt_s3_request *request, crt_s3_conn *conn, const crt_fault *fault);
/* Ends the attempt when nothing moved for CRT_S3_STALLED_MS; true when it did. */
bool crt_s3_request_end_stalled(crt_s3_request *request, uint64_t now_ms);
/* Makes `source` a slice that lives as long as the request. */
void crt_s3_request_body_memory(crt_s3_request *request, const void *data, size_t length);
void crt_s3_request_body_file(crt_s3_request *request, int fd, uint64_t offset, uint64_t length);

/* ---- response.c: what an answer means, and where its body goes ---- */

extern const crt_http_stream_handler crt_s3_stream_handler;
/* Outcome of a complete response: sets fault and is_response; the class says whether to try again. */
enum crt_s3_retry_class crt_s3_response_judge(crt_s3_request *request);
/* Chooses the sink of a body with `length` bytes (may be unknown) that belongs to the object. Shard loop. */
int crt_s3_response_to_receiver(crt_s3_request *request, uint64_t length, uint64_t file_offset);
void crt_s3_response_reset(crt_s3_request *request);
/* Writes a collected body to the transfer's file; sink_fault says what failed. */
int crt_s3_response_store(crt_s3_request *request);
/* request.c's end of an attempt. */
void crt_s3_request_attempt_done(crt_s3_request *request, const crt_fault *fault);

/* ---- file_sink.c ---- */

/* Home loop, at the first response. True: the body goes through blocks. */
bool crt_s3_file_wants_writer(crt_s3_request *request, uint64_t length);
crt_span crt_s3_file_space(crt_s3_request *request);
void crt_s3_file_received(crt_s3_request *request, crt_bytes data);
/* The attempt is over. */
void crt_s3_file_end(crt_s3_request *request);
void crt_s3_file_free_blocks(crt_s3_shard *shard);
/* Writes at `received`; sets sink_fault. */
int crt_s3_file_write_now(crt_s3_request *request, crt_bytes data);
/* request.c: no block is on its way any more. */
void crt_s3_request_writes_done(crt_s3_request *request);

/* ---- transfer.c ---- */

typedef struct crt_s3_transfer_kind {
    /* Home loop: the next HTTP request could start now; memory it needs first. */
    bool (*wants)(crt_s3_transfer *transfer, uint64_t *memory);
    /* Home loop, with a permit: starts it. */
    void (*launch)(crt_s3_transfer *transfer);
    /* Home loop, optional: the transfer has failed and nothing runs; true when a last request was started. */
    bool (*clean_up)(crt_s3_transfer *transfer);
    void (*destroy)(crt_s3_transfer *transfer);
} crt_s3_transfer_kind;

enum crt_s3_transfer_state { CRT_S3_RUNNING, CRT_S3_FAILING, CRT_S3_ENDED };

struct crt_s3_transfer {
    crt_refcount refs; /* the caller, the run, tasks on their way */
    const crt_s3_transfer_kind *kind;
    crt_s3_client *client;
    crt_s3_endpoint *endpoint;
    crt_s3_shard *home;
    const crt_s3_handler *handler;
    void *user;
    int type;
    crt_http_message *message; /* the caller's, never changed */
    char *operation;           /* DEFAULT: its name */
    bool has_signing;
    crt_s3_signing signing; /* strings in signing_text */
    char *signing_text;
    bool want_body;
    uint64_t max_connections;
    uint64_t part_size; /* asked for by the request or the client's base */
    bool dynamic_parts;
    int recv_fd; /* -1: none */
    char *recv_path;
    crt_loop *writer; /* thread that writes it; NULL: none yet */
    int send_fd;
    char *send_path;
    uint64_t send_size;
    uint64_t length; /* PUT: of the body, or CRT_S3_UNKNOWN */
    bool has_content_length;
    bool too_short; /* the body source has less than that */
    crt_task start_task;
    crt_task cancel_task;
    bool cancel_posted; /* atomic */
    int cancel_code;
    void *details; /* of the kind */

    /* home loop */
    enum crt_s3_transfer_state state;
    crt_task pump_task;
    bool pump_posted;
    crt_s3_permit permit;
    crt_s3_window window;
    crt_timer widen_timer;
    bool widening; /* the timer runs */
    bool part_done; /* since the timer was started */
    crt_s3_request *requests;
    size_t active; /* requests, and reads of the body source */
    bool cleaned_up;
    bool ended; /* on_done has been called */
    bool headers_reported;
    uint64_t progress;
    uint64_t progress_ms;
    crt_fault fault;
    int status;
    bool is_response;
    crt_http_headers *headers;
    crt_buf body;
    const char *failed_operation;
};

void crt_s3_transfer_acquire(crt_s3_transfer *transfer);
/* All on the home loop. */
void crt_s3_transfer_fail(crt_s3_transfer *transfer, const crt_fault *fault);
void crt_s3_transfer_pump_soon(crt_s3_transfer *transfer);
/* A request is over: releases it. */
void crt_s3_transfer_request_done(crt_s3_request *request);
/* Something that counted in `active` is over. */
void crt_s3_transfer_settle(crt_s3_transfer *transfer);
void crt_s3_transfer_succeed(crt_s3_transfer *transfer, int status);
void crt_s3_transfer_report_headers(crt_s3_transfer *transfer, int status, crt_http_headers *headers);
/* A part of the object has been moved. */
void crt_s3_transfer_part_done(const crt_s3_request *request);
void crt_s3_transfer_add_progress(crt_s3_transfer *transfer, uint64_t bytes);
/* Where the transfer points at, for messages: "GET host/key". */
void crt_s3_transfer_describe(const crt_s3_transfer *transfer, char *out, size_t size);
int crt_s3_transfer_fail_text(crt_s3_transfer *transfer, int code, const char *format, ...) CRT_PRINTF(3, 4);
int crt_s3_code_of_errno(int error);
bool crt_s3_callers_header(const crt_s3_transfer *transfer, const char *name);
/* The shard for the n-th request, taking turns from the home loop on. */
crt_s3_shard *crt_s3_transfer_shard(const crt_s3_transfer *transfer, uint64_t n);

/* ---- the kinds ---- */

int crt_s3_get_init(crt_s3_transfer *transfer, crt_fault *fault);
int crt_s3_upload_init(crt_s3_transfer *transfer, const crt_s3_upload_plan *plan, crt_fault *fault);
int crt_s3_single_init(crt_s3_transfer *transfer, crt_fault *fault);
/* Responses of requests without an object body: collected. */
int crt_s3_collect_head(crt_s3_request *request);

/* Fills `size` bytes from a READER, on the home loop; `done` gets fewer at the end of the source. */
typedef void (*crt_s3_read_done)(crt_s3_transfer *transfer, int status, size_t n);
typedef struct crt_s3_reading {
    crt_s3_transfer *transfer;
    uint8_t *memory;
    size_t size;
    size_t filled;
    crt_s3_read_done done;
} crt_s3_reading;
void crt_s3_read_fully(crt_s3_reading *reading);

#endif
