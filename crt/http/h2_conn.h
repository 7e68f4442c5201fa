/*
 * The inside of an HTTP/2 connection (RFC 9113) on nghttp2, which frames, compresses and keeps the states: h2_conn.c
 * (birth, settings, output, end), h2_request.c (a message as header fields), h2_stream.c (one exchange), h2_recv.c
 * (what comes in), h2_flow.c (windows), h2_message.c (what makes a response malformed), h2_send.c (request
 * bodies) and h2_wait.c (deadlines). All of it runs on the connection's loop, but for the making and freeing of
 * streams.
 *
 * nghttp2 must not be entered again from its own callbacks: what they lead to is put down and done by
 * crt_h2_flush, which everything that enters the session calls last.
 */
#ifndef CRT_H2_CONN_H
#define CRT_H2_CONN_H

#include <nghttp2/nghttp2.h>

#include "conn.h"

enum {
    CRT_H2_DEFAULT_WINDOW = 65535,
    CRT_H2_WINDOW_MAX = 0x7fffffff,
    CRT_H2_HEADER_LIST_DEFAULT = 32 * 1024, /* names, values and 32 each, unless our SETTINGS say otherwise */
};

typedef struct crt_h2_request {
    nghttp2_nv *fields; /* one block with the text behind it; freed with the stream */
    size_t count;
} crt_h2_request;

/* What is known of the header block being received. */
typedef struct crt_h2_head {
    int status;              /* 0: no :status yet */
    bool has_regular;        /* a field that is no pseudo-header */
    uint64_t content_length; /* UINT64_MAX: none */
} crt_h2_head;

/* Bytes of a reader, read and not yet sent. */
typedef struct crt_h2_room {
    uint8_t *ptr;
    size_t start;
    size_t end;
} crt_h2_room;

typedef struct crt_h2_stream {
    crt_http_stream base;
    crt_h2_request request;
    bool is_head; /* the method is HEAD */
    int32_t id;
    struct crt_h2_stream *next; /* of the active streams of the connection */
    struct crt_h2_stream **self;

    /* response */
    bool in_body;     /* on_head has been called */
    bool last_frame;  /* END_STREAM comes with the frame being received */
    bool remote_end;  /* END_STREAM came */
    bool told_end;
    bool paused;      /* on_space named no memory */
    bool delivering;
    bool closed;      /* gone from the session; completes once `held` is delivered */
    bool reset_by_peer;
    uint32_t error_code; /* of the RST_STREAM or GOAWAY that closed it */
    crt_fault fault;     /* why we ended it; code 0: we did not */
    uint64_t content_length; /* what is left to receive; UINT64_MAX: unknown */
    uint64_t content_left;   /* what is left to deliver */
    crt_http_header *trailers; /* that wait behind `held`, with their text in one block */
    size_t trailer_count;
    crt_buf held;        /* body that the consumer had no room for; bounded by the window */
    int32_t window_target; /* automatic mode: what the window is filled up to */
    uint32_t threshold;
    uint32_t credit_pending;

    /* for deadlines; 0: not yet */
    uint64_t sent_ms;   /* the request was complete */
    uint64_t active_ms; /* the last byte either way, while silence has a limit */

    /* request body */
    crt_source *body; /* of the message; the first thing to send */
    crt_http_outgoing *first;
    crt_http_outgoing **last;
    bool deferred;    /* nghttp2 waits for us to have data */
    crt_source *being_read; /* referenced: a reader fills rooms[filling] */
    bool all_read;    /* the reader of the first piece has said its last */
    int filling;
    int sending;      /* the room that is sent from; the other one is filled meanwhile */
    crt_h2_room rooms[2];
} crt_h2_stream;

typedef struct crt_h2_conn {
    crt_http_conn base;
    nghttp2_session *session;
    crt_h2_stream *streams;
    size_t active;    /* streams that the peer counts (RFC 9113 section 5.1.2) */
    int in_session;   /* depth of calls into nghttp2 */
    bool flushing;
    int failure;      /* code to close with once out of the session */
    const char *failure_detail;
    bool manual_conn_window;
    uint32_t conn_threshold;
    uint32_t stream_threshold;
    uint32_t conn_credit;
    int32_t goaway_last; /* highest stream the peer still serves; -1: no GOAWAY came */
    uint32_t remote[7];  /* the peer's settings, by id */
    crt_http_ping *pings;
    crt_http_ping **last_ping;
    crt_buf input;

    /* the header block being received */
    crt_h2_stream *head_of;
    crt_buf head_text;
    crt_http_header *head_fields; /* `ptr` are offsets into head_text until the block is complete */
    size_t head_count;
    size_t head_capacity;
    size_t head_list_size;
    crt_h2_head head;
} crt_h2_conn;

static inline crt_h2_conn *crt_h2_conn_of(const crt_h2_stream *stream) {
    return (crt_h2_conn *)stream->base.conn;
}

/* Loop thread. Takes over the reference of `io` on success. One reference to the caller. */
CRT_HIDDEN int crt_h2_conn_new(crt_stream *io, const crt_http_conn_options *options, crt_http_conn **out);

/* Sends what the session has to say, and closes the connection when it has come to an end. */
CRT_HIDDEN void crt_h2_flush(crt_h2_conn *conn);
/* Inside the session: the next flush closes the connection. */
CRT_HIDDEN void crt_h2_fail(crt_h2_conn *conn, int code, const char *detail);

/* h2_request.c. Any thread: checks the message and makes its fields (RFC 9113 section 8.3.1). */
CRT_HIDDEN int crt_h2_request_new(const crt_http_message *message, bool tls, crt_h2_request *out);

/* h2_stream.c: crt_http_protocol, and */
CRT_HIDDEN int crt_h2_stream_new(crt_http_conn *conn, const crt_http_message *message,
                                 const crt_http_stream_handler *handler, void *user,
                                 const crt_http_stream_options *options, crt_http_stream **out);
CRT_HIDDEN void crt_h2_stream_free(crt_http_stream *stream);
CRT_HIDDEN void crt_h2_stream_activate(crt_http_stream *stream);
CRT_HIDDEN void crt_h2_stream_cancel(crt_http_stream *stream, int code);
/* Ends the stream with RST_STREAM and `code`; the first reason stays. */
CRT_HIDDEN void crt_h2_stream_reset(crt_h2_stream *stream, int code, uint32_t error_code, const char *detail);
/* The session has closed the stream: completes it, now or when the consumer has taken the body. */
CRT_HIDDEN void crt_h2_stream_closed(crt_h2_stream *stream);
/* Its HEADERS never went out: the session knows nothing of it. */
CRT_HIDDEN void crt_h2_stream_unsent(crt_h2_conn *conn, int32_t id);
/* Takes it off the connection and tells its user. */
CRT_HIDDEN void crt_h2_stream_complete(crt_h2_stream *stream, const crt_fault *fault);

/* h2_flow.c: crt_http_protocol, and */
CRT_HIDDEN void crt_h2_stream_credit(crt_http_stream *stream);
CRT_HIDDEN void crt_h2_conn_credit(crt_http_conn *conn, uint32_t n);
/* The stream's window and threshold as they are at activation. */
CRT_HIDDEN void crt_h2_window_begin(crt_h2_stream *stream);
/* The peer has acknowledged our SETTINGS: windows are what they ask for. */
CRT_HIDDEN void crt_h2_windows_changed(crt_h2_conn *conn);
/* Body bytes that came, and those the consumer has taken. */
CRT_HIDDEN void crt_h2_received(crt_h2_conn *conn, size_t n);
CRT_HIDDEN void crt_h2_consumed(crt_h2_stream *stream, size_t n);

/* h2_recv.c: crt_http_protocol, and */
CRT_HIDDEN void crt_h2_stream_resume(crt_http_stream *stream);
CRT_HIDDEN void crt_h2_set_recv_callbacks(nghttp2_session_callbacks *callbacks);

/* h2_message.c. Each gives NULL, or why the response is malformed. */
CRT_HIDDEN const char *crt_h2_check_field(crt_h2_head *head, crt_bytes name, crt_bytes value);
CRT_HIDDEN const char *crt_h2_check_head(crt_h2_stream *stream, const crt_h2_head *head, bool ends);
CRT_HIDDEN const char *crt_h2_check_data(crt_h2_stream *stream, size_t len);
CRT_HIDDEN const char *crt_h2_check_end(const crt_h2_stream *stream);

/* h2_wait.c: crt_http_protocol, and */
CRT_HIDDEN uint64_t crt_h2_check_deadlines(crt_http_conn *conn, uint64_t now_ms);
CRT_HIDDEN void crt_h2_note_activity(crt_h2_stream *stream);
CRT_HIDDEN void crt_h2_note_sent(crt_h2_stream *stream);

/* h2_send.c */
/* Queues the message's body; false: there is none, and none is announced. */
CRT_HIDDEN bool crt_h2_body_begin(crt_h2_stream *stream, nghttp2_data_provider *provider);
CRT_HIDDEN void crt_h2_stream_write(crt_http_stream *stream, crt_http_outgoing *outgoing);
/* Ends what was not sent. */
CRT_HIDDEN void crt_h2_body_end(crt_h2_stream *stream);

#endif
