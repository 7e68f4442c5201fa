/*
 * What HTTP/1.1 and HTTP/2 connections have in common: lives, threads, and the seam between the public calls of
 * crt/http.h and the protocol behind them. conn.c holds the connection's half, stream.c the streams'.
 *
 * Everything below "loop only" is touched on the connection's loop alone. Other threads leave word in the
 * mailbox: streams with something to do, and one task that runs them all.
 */
#ifndef CRT_HTTP_CONN_H
#define CRT_HTTP_CONN_H

#include "crt/http.h"

/* What a thread wants of a stream. */
enum { CRT_HTTP_MAIL_ACTIVATE = 1, CRT_HTTP_MAIL_CANCEL = 2, CRT_HTTP_MAIL_CREDIT = 4 };

/* Push-style writing: not asked for, open, the end was written, the stream is complete. */
enum { CRT_HTTP_WRITING_NONE, CRT_HTTP_WRITING_OPEN, CRT_HTTP_WRITING_ENDED, CRT_HTTP_WRITING_COMPLETE };

/* The first member of a protocol's stream. */
struct crt_http_stream {
    crt_refcount refs; /* users; the connection while active; writes and reads under way */
    crt_http_conn *conn;
    const crt_http_stream_handler *handler;
    void *user;

    /* any thread, atomic */
    int activated;
    int writing; /* CRT_HTTP_WRITING_* */
    int cancel_code;
    uint32_t mail;   /* CRT_HTTP_MAIL_* not seen by the loop yet */
    uint64_t credit; /* window not seen by the loop yet */
    crt_http_stream *mail_next;

    crt_http_timeouts timeouts; /* set before activation */

    /* loop only */
    bool active; /* from activation to completion */
    int status;  /* of the response; 0 before its head */
    uint64_t began_ms; /* activation */
};

/* A piece of request body on its way (crt_http_stream_write). */
typedef struct crt_http_outgoing {
    crt_task task;
    crt_http_stream *stream; /* referenced */
    crt_source *data;
    bool end;
    crt_http_write_fn done;
    void *user;
    uint64_t sent; /* of memory and files */
    struct crt_http_outgoing *next;
} crt_http_outgoing;

typedef struct crt_http_ping {
    crt_task task;
    crt_http_conn *conn;
    crt_http_ping_fn done;
    void *user;
    uint64_t began_ns;
    struct crt_http_ping *next;
} crt_http_ping;

/* What a protocol does. All but stream_new and stream_free run on the connection's loop. */
typedef struct crt_http_protocol {
    int version; /* enum crt_http_version */
    /* Any thread: checks the message and makes a stream with crt_http_stream_init. */
    int (*stream_new)(crt_http_conn *conn, const crt_http_message *message, const crt_http_stream_handler *handler,
                      void *user, const crt_http_stream_options *options, crt_http_stream **out);
    /* Any thread; the last reference is gone. */
    void (*stream_free)(crt_http_stream *stream);
    /* Takes the stream on (sets `active`), or completes it at once through crt_http_stream_tell. */
    void (*activate)(crt_http_stream *stream);
    void (*credit)(crt_http_stream *stream); /* stream->credit has grown */
    void (*cancel)(crt_http_stream *stream, int code);
    void (*resume)(crt_http_stream *stream);
    /* Optional: push-style writing and what else only HTTP/2 has. */
    void (*write)(crt_http_stream *stream, crt_http_outgoing *outgoing);
    void (*conn_credit)(crt_http_conn *conn, uint32_t n);
    void (*ping)(crt_http_conn *conn, crt_http_ping *ping);
    /* Optional, any thread: 0 when the stream, not yet activated, can take writes. */
    int (*expect_writes)(crt_http_stream *stream);
    /* Optional: ends what is late, see crt_http_conn_watch; gives when to look again, UINT64_MAX: no need. */
    uint64_t (*check_deadlines)(crt_http_conn *conn, uint64_t now_ms);
    /* Optional: last words before the transport closes (GOAWAY). */
    void (*farewell)(crt_http_conn *conn, int code);
    /* The peer ended the transport with `fault`: true when that is the proper end of what was under way. */
    bool (*receive_eof)(crt_http_conn *conn, const crt_fault *fault);
    /* The transport is gone and conn->cause says why: completes every active stream. */
    void (*end_streams)(crt_http_conn *conn);
    void (*conn_free)(crt_http_conn *conn);
} crt_http_protocol;

/* The first member of a protocol's connection. */
struct crt_http_conn {
    const crt_http_protocol *protocol;
    crt_refcount refs;  /* users and streams; the last one closes */
    crt_refcount lives; /* refs as a whole, the transport, the mail task while posted; the last one frees */
    crt_loop *loop;
    crt_stream *io;
    const crt_http_conn_handler *handler;
    void *user;
    bool tls;
    bool manual_window;
    size_t initial_window;
    uint32_t generation;

    /* any thread, atomic */
    int open;
    int refusal; /* code for new requests and activations while open: a GOAWAY came, or the stream ids ran out */
    int gone;    /* the transport is no more: nothing may be posted to the loop */
    int posting; /* threads between looking at `gone` and having posted */
    crt_http_stream *mail;
    int mail_posted;
    int close_posted;
    crt_task mail_task;
    crt_task close_task;
    crt_task release_task;

    /* loop only */
    bool closing; /* the transport is closed or about to be; `cause` is why */
    crt_fault cause;
    crt_timer deadline;
    crt_http_timeouts timeouts;
};

typedef struct crt_http_conn_options {
    const crt_http_conn_handler *handler;
    void *user;
    crt_bytes forward_origin; /* empty: no forwarding */
    crt_bytes forward_authorization;
    bool tls;
    bool manual_window;
    size_t initial_window;
    const crt_http_connect_options *http2; /* the HTTP/2 part of these */
    crt_http_timeouts timeouts;
} crt_http_conn_options;

/* Loop thread. Fills a zeroed base; the protocol then calls crt_stream_set_handler. One reference to the caller. */
CRT_HIDDEN void crt_http_conn_init(crt_http_conn *conn, const crt_http_protocol *protocol, crt_stream *io,
                                   const crt_http_conn_options *options);
/* Fills a zeroed base with one reference; takes a reference of `conn`. The timeouts are the connection's. */
CRT_HIDDEN void crt_http_stream_init(crt_http_stream *stream, crt_http_conn *conn,
                                     const crt_http_stream_handler *handler, void *user);

/*
 * Loop only: begins the end. Streams that are not complete end with `code`, or with
 * AWS_ERROR_HTTP_CONNECTION_CLOSED when it is 0, once the transport is gone; on_shutdown gets `code`.
 */
CRT_HIDDEN void crt_http_conn_shut(crt_http_conn *conn, int code, const char *detail);
/* Any thread: takes no new requests from now on. */
CRT_HIDDEN void crt_http_conn_refuse(crt_http_conn *conn);
/* What streams get that are not complete when the connection ends. */
CRT_HIDDEN crt_fault crt_http_fault_of_streams(const crt_http_conn *conn);
/* crt_stream_handler.on_closed of every protocol. */
CRT_HIDDEN void crt_http_conn_on_closed(void *user, const crt_fault *fault);

/* Any thread: wakes the loop for the stream. AWS_ERROR_HTTP_CONNECTION_CLOSED when the transport is gone. */
CRT_HIDDEN int crt_http_conn_mail(crt_http_stream *stream, uint32_t what);
/* Any thread: runs the task on the loop; it ends with crt_http_conn_task_done. AWS_ERROR_HTTP_CONNECTION_CLOSED. */
CRT_HIDDEN int crt_http_conn_post(crt_http_conn *conn, crt_task *task);
CRT_HIDDEN void crt_http_conn_task_done(crt_http_conn *conn);
/*
 * deadlines.c, loop only. One timer serves all deadlines of a connection: it fires at the earliest that was ever
 * asked for, looks, and is set anew, so that exchanges that end in time cost no change of the timer.
 */
CRT_HIDDEN void crt_http_conn_watch(crt_http_conn *conn, uint64_t due_ms);
/* What a stream waits for at the moment. */
typedef struct crt_http_wait {
    const char *step;         /* "the response body is received" */
    uint64_t first_byte_from; /* when the wait for the response began; 0: not yet, or no more */
    uint64_t idle_from;       /* of the last byte either way; 0: nobody waits for the peer now */
} crt_http_wait;
/* The fault of a stream that is late, code 0 when it is not; *due_ms is when to look again, UINT64_MAX: never. */
CRT_HIDDEN crt_fault crt_http_stream_lateness(const crt_http_stream *stream, const crt_http_wait *wait,
                                              uint64_t now_ms, uint64_t *due_ms);
/* At activation: sets began_ms, and the timer for the stream's timeouts. */
CRT_HIDDEN void crt_http_stream_watch(crt_http_stream *stream);

/* Any thread: ends and frees it. */
CRT_HIDDEN void crt_http_outgoing_done(crt_http_outgoing *outgoing, int status);
/* Loop only: what the mail says. */
CRT_HIDDEN void crt_http_stream_open_mail(crt_http_stream *stream, uint32_t what);

/* Loop only: adds what other threads credited. */
CRT_HIDDEN uint64_t crt_http_stream_take_credit(crt_http_stream *stream, uint64_t window);
/* Loop only: the last event of a stream. Gives back the reference that activation took. */
CRT_HIDDEN void crt_http_stream_tell(crt_http_stream *stream, const crt_fault *fault);

#endif
