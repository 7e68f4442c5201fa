/*
 * The inside of an HTTP/1.1 connection: h1_conn.c (birth and end), h1_stream.c (one exchange), h1_recv.c
 * (responses), h1_send.c (requests), h1_body.c (request bodies) and h1_wait.c (deadlines). All of it runs on the
 * connection's loop, but for the making and freeing of streams.
 */
#ifndef CRT_H1_CONN_H
#define CRT_H1_CONN_H

#include "conn.h"
#include "h1_decoder.h"
#include "h1_encoder.h"

typedef struct crt_h1_body crt_h1_body;
typedef struct crt_h1_stream crt_h1_stream;

struct crt_h1_stream {
    crt_http_stream base;
    crt_h1_request request;
    crt_h1_stream *next; /* in the order of activation */
    crt_source *source;  /* NULL when the request has no body */
    crt_h1_body *body;
    uint64_t window;    /* UINT64_MAX: automatic */
    bool began;         /* the decoder works on its response */
    bool in_body;       /* on_head has been called */
    bool paused;        /* on_space named no memory */
    bool blocked;       /* body bytes are there, but the window is 0 */
    bool response_done;
    bool began_sending;
    bool sent;          /* the transport has taken the whole request */
    bool declined;      /* answered while its body waited for 100 (Continue): the body is never sent */
    uint32_t continue_ms;
    uint64_t continue_at_ms; /* when the body follows without 100 (Continue); 0: it does not wait */
    uint64_t sent_ms;
    uint8_t head[];
};

typedef struct crt_h1_conn {
    crt_http_conn base;
    const crt_h1_forward *forward; /* NULL unless a forwarding proxy is in between */
    crt_h1_stream *first; /* activated and not complete; responses come in this order */
    crt_h1_stream **tail;
    crt_h1_stream *sending; /* the first whose request is not wholly in the transport's queue */
    bool last_queued;       /* a request with Connection: close: no other goes out after it */
    bool stopped_sending;   /* the peer takes nothing more, not even the rest of a body */
    bool switched;          /* 101 */
    bool parsing;
    bool reading_stopped; /* the transport was given no memory */
    bool direct;          /* the memory given last is the consumer's */
    crt_span direct_span;
    size_t read_size;
    uint64_t active_ms; /* of the last byte either way */
    uint64_t turn_ms;   /* when `first` became that */
    size_t unsent_seen;
    crt_h1_decoder decoder;
    crt_buf input;
} crt_h1_conn;

static inline crt_h1_conn *crt_h1_conn_of(const crt_h1_stream *stream) {
    return (crt_h1_conn *)stream->base.conn;
}

/* Loop thread. Takes over the reference of `io` on success. One reference to the caller. */
CRT_HIDDEN int crt_h1_conn_new(crt_stream *io, const crt_http_conn_options *options, crt_http_conn **out);

/* crt_http_protocol */
CRT_HIDDEN int crt_h1_stream_new(crt_http_conn *conn, const crt_http_message *message,
                                 const crt_http_stream_handler *handler, void *user,
                                 const crt_http_stream_options *options, crt_http_stream **out);
CRT_HIDDEN void crt_h1_stream_free(crt_http_stream *stream);
CRT_HIDDEN void crt_h1_stream_activate(crt_http_stream *stream);
CRT_HIDDEN void crt_h1_stream_take_credit(crt_http_stream *stream);
CRT_HIDDEN void crt_h1_stream_cancel(crt_http_stream *stream, int code);
CRT_HIDDEN void crt_h1_stream_resume(crt_http_stream *stream);
CRT_HIDDEN bool crt_h1_receive_eof(crt_http_conn *conn, const crt_fault *fault);
CRT_HIDDEN int crt_h1_stream_expect_writes(crt_http_stream *stream);
CRT_HIDDEN uint64_t crt_h1_check_deadlines(crt_http_conn *conn, uint64_t now_ms);

/* Takes the connection's first stream off it and tells its user. Not inside a call of the user. */
CRT_HIDDEN void crt_h1_stream_complete(crt_h1_stream *stream, const crt_fault *fault);
/* Response and request are both through: completes the stream, and the connection when this was the last. */
CRT_HIDDEN void crt_h1_stream_finish(crt_h1_stream *stream);

/* h1_send.c. Sends what can be sent. */
CRT_HIDDEN void crt_h1_send(crt_h1_conn *conn);
/* The body that waited for 100 (Continue) goes out; nothing when none does. */
CRT_HIDDEN void crt_h1_stream_continue(crt_h1_stream *stream);
/* The transport has taken the last byte of the request. */
CRT_HIDDEN void crt_h1_stream_sent(crt_h1_stream *stream);

/*
 * h1_body.c. Starts to send the body; a failure shuts the connection. Queued: all of it is in the transport's
 * queue. Done: the transport has taken it. Both are true for a stream without a body.
 */
CRT_HIDDEN int crt_h1_body_new(crt_h1_stream *stream);
CRT_HIDDEN void crt_h1_body_start(crt_h1_stream *stream);
CRT_HIDDEN void crt_h1_body_write(crt_http_stream *stream, crt_http_outgoing *outgoing);
CRT_HIDDEN bool crt_h1_body_waits_for_user(const crt_h1_stream *stream); /* not for the peer */
CRT_HIDDEN bool crt_h1_body_queued(const crt_h1_stream *stream);
CRT_HIDDEN bool crt_h1_body_done(const crt_h1_stream *stream);
/* Frees what no write or read under way needs; the stream's end frees the rest. */
CRT_HIDDEN void crt_h1_body_free(crt_h1_stream *stream);

/* h1_wait.c. What the stream waits for, in words. */
CRT_HIDDEN const char *crt_h1_step_of(const crt_h1_stream *stream);
/* Bytes came or went, or the user had been waited for until now. */
static inline void crt_h1_note_activity(crt_h1_conn *conn) {
    conn->active_ms = crt_loop_now_ms(conn->base.loop);
}

/* h1_recv.c. A consumer that wants nothing now leaves the bytes in the socket, where they hold up the peer. */
CRT_HIDDEN bool crt_h1_is_held_up(const crt_h1_stream *stream);
/* Works on buffered input, then goes on reading if that had stopped. */
CRT_HIDDEN void crt_h1_receive(crt_h1_conn *conn);
extern CRT_HIDDEN const crt_stream_handler crt_h1_io_handler;

#endif
