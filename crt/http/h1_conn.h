/*
 * The inside of an HTTP/1.1 connection: h1_conn.c (life, threads), h1_stream.c (one exchange), h1_recv.c
 * (responses), h1_send.c (requests) and h1_body.c (request bodies).
 *
 * Everything below "loop only" is touched on the connection's loop alone. Other threads leave word in the
 * mailbox: streams with something to do, and one task that runs them all.
 */
#ifndef CRT_H1_CONN_H
#define CRT_H1_CONN_H

#include "crt/http.h"
#include "h1_decoder.h"
#include "h1_encoder.h"

typedef struct crt_h1_body crt_h1_body;

/* What a thread wants of a stream. */
enum { CRT_H1_MAIL_ACTIVATE = 1, CRT_H1_MAIL_CANCEL = 2, CRT_H1_MAIL_CREDIT = 4 };

struct crt_http_stream {
    crt_refcount refs; /* users; the connection while active; writes and reads under way */
    crt_http_conn *conn;
    const crt_http_stream_handler *handler;
    void *user;
    crt_h1_request request;

    /* any thread, atomic */
    int activated;
    int cancel_code;
    uint32_t mail;   /* CRT_H1_MAIL_* not seen by the loop yet */
    uint64_t credit; /* window not seen by the loop yet */
    crt_http_stream *mail_next;

    /* loop only */
    crt_http_stream *next; /* in the order of activation */
    crt_source *source;    /* NULL when the request has no body */
    crt_h1_body *body;
    uint64_t window;    /* UINT64_MAX: automatic */
    int status;
    bool active;        /* from activation to completion */
    bool began;         /* the decoder works on its response */
    bool in_body;       /* on_head has been called */
    bool paused;        /* on_space named no memory */
    bool blocked;       /* body bytes are there, but the window is 0 */
    bool response_done;
    bool began_sending;
    bool sent;          /* the transport has taken the whole request */
    uint8_t head[];
};

struct crt_http_conn {
    crt_refcount refs;  /* users and streams; the last one closes */
    crt_refcount lives; /* refs as a whole, the transport, the mail task while posted; the last one frees */
    crt_loop *loop;
    crt_stream *io;
    const crt_http_conn_handler *handler;
    void *user;
    const crt_h1_forward *forward; /* NULL unless a forwarding proxy is in between */
    bool tls;
    bool manual_window;
    size_t initial_window;
    uint32_t generation;

    /* any thread, atomic */
    int open;
    int gone;    /* the transport is no more: nothing may be posted to the loop */
    int posting; /* threads between looking at `gone` and having posted */
    crt_http_stream *mail;
    int mail_posted;
    int close_posted;
    crt_task mail_task;
    crt_task close_task;
    crt_task release_task;

    /* loop only */
    crt_http_stream *first; /* activated and not complete; responses come in this order */
    crt_http_stream **tail;
    crt_http_stream *sending; /* the first whose request is not wholly in the transport's queue */
    bool closing;             /* the transport is closed or about to be; `cause` is why */
    bool last_queued;         /* a request with Connection: close: no other goes out after it */
    bool stopped_sending;     /* the peer takes nothing more, not even the rest of a body */
    bool switched;            /* 101 */
    bool parsing;
    bool reading_stopped; /* the transport was given no memory */
    bool direct;          /* the memory given last is the consumer's */
    crt_span direct_span;
    size_t read_size;
    crt_fault cause;
    crt_h1_decoder decoder;
    crt_buf input;
};

typedef struct crt_h1_conn_options {
    const crt_http_conn_handler *handler;
    void *user;
    crt_bytes forward_origin; /* empty: no forwarding */
    crt_bytes forward_authorization;
    bool tls;
    bool manual_window;
    size_t initial_window;
} crt_h1_conn_options;

/* Loop thread. Takes over the reference of `io` on success. One reference to the caller. */
CRT_HIDDEN int crt_h1_conn_new(crt_stream *io, const crt_h1_conn_options *options, crt_http_conn **out);

/*
 * Loop only: begins the end. Streams that are not complete end with `code`, or with
 * AWS_ERROR_HTTP_CONNECTION_CLOSED when it is 0, once the transport is gone; on_shutdown gets `code`.
 */
CRT_HIDDEN void crt_h1_conn_shut(crt_http_conn *conn, int code, const char *detail);

/* What streams get that are not complete when the connection ends. */
CRT_HIDDEN crt_fault crt_h1_fault_of_streams(const crt_http_conn *conn);

/* Any thread: wakes the loop for the stream. AWS_ERROR_HTTP_CONNECTION_CLOSED when the transport is gone. */
CRT_HIDDEN int crt_h1_conn_mail(crt_http_stream *stream, uint32_t what);

/* Loop only; what the mailbox leads to. */
CRT_HIDDEN void crt_h1_stream_activate(crt_http_stream *stream);
CRT_HIDDEN void crt_h1_stream_take_credit(crt_http_stream *stream);
/* Takes the connection's first stream off it and tells its user. Not inside a call of the user. */
CRT_HIDDEN void crt_h1_stream_complete(crt_http_stream *stream, const crt_fault *fault);
/* Response and request are both through: completes the stream, and the connection when this was the last. */
CRT_HIDDEN void crt_h1_stream_finish(crt_http_stream *stream);

/* Loop only; h1_send.c. Sends what can be sent. */
CRT_HIDDEN void crt_h1_send(crt_http_conn *conn);
/* The transport has taken the last byte of the request. */
CRT_HIDDEN void crt_h1_stream_sent(crt_http_stream *stream);

/*
 * Loop only; h1_body.c. Starts to send the body; a failure shuts the connection. Queued: all of it is in the
 * transport's queue. Done: the transport has taken it. Both are true for a stream without a body.
 */
CRT_HIDDEN void crt_h1_body_start(crt_http_stream *stream);
CRT_HIDDEN bool crt_h1_body_queued(const crt_http_stream *stream);
CRT_HIDDEN bool crt_h1_body_done(const crt_http_stream *stream);
/* Frees what no write or read under way needs; the stream's end frees the rest. */
CRT_HIDDEN void crt_h1_body_free(crt_http_stream *stream);

/* Loop only; h1_recv.c. Works on buffered input, then goes on reading if that had stopped. */
CRT_HIDDEN void crt_h1_receive(crt_http_conn *conn);
/* The transport is gone with `fault`. True when that is the proper end of the response under way. */
CRT_HIDDEN bool crt_h1_receive_eof(crt_http_conn *conn, const crt_fault *fault);
extern CRT_HIDDEN const crt_stream_handler crt_h1_io_handler;
/* h1_conn.c: crt_stream_handler.on_closed */
CRT_HIDDEN void crt_h1_conn_on_closed(void *user, const crt_fault *fault);

#endif
