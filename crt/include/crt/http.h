/*
 * HTTP client: messages, and a connection that carries streams (one request with its response each).
 * One interface for HTTP/1.1 (RFC 9112) and HTTP/2 (RFC 9113); what only one of them has says so.
 */
#ifndef CRT_HTTP_H
#define CRT_HTTP_H

#include "crt/buffer.h"
#include "crt/source.h"
#include "crt/stream.h"
#include "crt/transport.h"

CRT_EXTERN_C_BEGIN

#define CRT_ERROR(code, name, message) name = code,
enum crt_http_error {
#include "crt/errors_http.def"
#include "crt/errors_auth.def"
    CRT_HTTP_ERROR_END
};
#undef CRT_ERROR

/* ---- messages ---- */

typedef struct crt_http_header {
    crt_bytes name;
    crt_bytes value;
} crt_http_header;

/* Ordered multimap; names compare without ASCII case, spelling is kept. Views stay valid until the next change. */
typedef struct crt_http_headers crt_http_headers;

CRT_HTTP_FN(crt_http_headers *, crt_http_headers_new, (void));
CRT_HTTP_FN(void, crt_http_headers_acquire, (crt_http_headers *headers));
CRT_HTTP_FN(void, crt_http_headers_release, (crt_http_headers *headers));
CRT_HTTP_FN(size_t, crt_http_headers_count, (const crt_http_headers *headers));
CRT_HTTP_FN(crt_http_header, crt_http_headers_at, (const crt_http_headers *headers, size_t index));
/* Value trimmed of spaces and tabs. AWS_ERROR_HTTP_INVALID_HEADER_NAME for an empty name. A name that starts
   with ':' goes to the front when the last header is not itself a pseudo header. */
CRT_HTTP_FN(int, crt_http_headers_add, (crt_http_headers *headers, crt_bytes name, crt_bytes value));
/* Removes every entry of that name, then adds at the end. */
CRT_HTTP_FN(int, crt_http_headers_set, (crt_http_headers *headers, crt_bytes name, crt_bytes value));
/* First match; false when there is none. */
CRT_HTTP_FN(bool, crt_http_headers_get, (const crt_http_headers *headers, crt_bytes name, crt_bytes *value));
CRT_HTTP_FN(size_t, crt_http_headers_remove, (crt_http_headers *headers, crt_bytes name)); /* entries removed */
CRT_HTTP_FN(bool, crt_http_headers_remove_value, (crt_http_headers *headers, crt_bytes name, crt_bytes value));
CRT_HTTP_FN(void, crt_http_headers_clear, (crt_http_headers *headers));

/* A request: method, path, headers, body. Reference counted, not thread-safe: whoever made it changes it
   only while no connection or signer works on it. */
typedef struct crt_http_message crt_http_message;

CRT_HTTP_FN(crt_http_message *, crt_http_message_new, (crt_http_headers *headers_or_null));
CRT_HTTP_FN(void, crt_http_message_acquire, (crt_http_message *message));
CRT_HTTP_FN(void, crt_http_message_release, (crt_http_message *message));
CRT_HTTP_FN(int, crt_http_message_set_method, (crt_http_message *message, crt_bytes method));
CRT_HTTP_FN(int, crt_http_message_set_path, (crt_http_message *message, crt_bytes path));
CRT_HTTP_FN(crt_bytes, crt_http_message_method, (const crt_http_message *message));
CRT_HTTP_FN(crt_bytes, crt_http_message_path, (const crt_http_message *message));
CRT_HTTP_FN(crt_http_headers *, crt_http_message_headers, (const crt_http_message *message)); /* borrowed */
/* Takes a reference; NULL: no body. */
CRT_HTTP_FN(void, crt_http_message_set_body, (crt_http_message *message, crt_source *body));
CRT_HTTP_FN(crt_source *, crt_http_message_body, (const crt_http_message *message)); /* borrowed */

/* ---- connection ---- */

enum crt_http_version { CRT_HTTP_UNKNOWN = 0, CRT_HTTP_1_0 = 1, CRT_HTTP_1_1 = 2, CRT_HTTP_2 = 3 };
enum crt_http_proxy_kind { CRT_HTTP_PROXY_LEGACY = 0, CRT_HTTP_PROXY_FORWARDING = 1, CRT_HTTP_PROXY_TUNNELING = 2 };

typedef struct crt_http_proxy {
    const char *host;
    uint32_t port;
    const crt_tls_options *tls; /* to the proxy; NULL: plain */
    int kind;
    const char *user; /* NULL: no authentication, else Basic */
    const char *password;
} crt_http_proxy;

typedef struct crt_http_conn crt_http_conn;
typedef struct crt_http_stream crt_http_stream;

/* HTTP/2 (RFC 9113 section 6.5.2). */
enum crt_http2_setting_id {
    CRT_HTTP2_HEADER_TABLE_SIZE = 1,
    CRT_HTTP2_ENABLE_PUSH = 2,
    CRT_HTTP2_MAX_CONCURRENT_STREAMS = 3,
    CRT_HTTP2_INITIAL_WINDOW_SIZE = 4,
    CRT_HTTP2_MAX_FRAME_SIZE = 5,
    CRT_HTTP2_MAX_HEADER_LIST_SIZE = 6,
};

typedef struct crt_http2_setting {
    uint16_t id;
    uint32_t value;
} crt_http2_setting;

typedef struct crt_http_conn_handler {
    /* Once. On success the caller owns one reference of `conn`. */
    void (*on_connected)(void *user, const crt_fault *fault, crt_http_conn *conn);
    /* Once after a successful on_connected, when the transport is gone: code 0 after a local or an orderly
       close. Also when every reference was dropped. */
    void (*on_shutdown)(void *user, const crt_fault *fault);
    /* Optional, HTTP/2: a SETTINGS frame of the peer, with the known entries that changed what was in force. */
    void (*on_settings)(void *user, const crt_http2_setting *settings, size_t count);
} crt_http_conn_handler;

/*
 * How long the steps of an exchange may take, in milliseconds; 0: for ever. What is late ends with an error that
 * names the step.
 */
typedef struct crt_http_timeouts {
    uint32_t connect_ms;    /* from the name to an open connection, proxy and TLS included: AWS_IO_SOCKET_TIMEOUT */
    uint32_t tls_ms;        /* each handshake, instead of the TLS options' own: AWS_IO_TLS_NEGOTIATION_TIMEOUT */
    uint32_t first_byte_ms; /* from the last byte of the request to the first of the response:
                               AWS_ERROR_HTTP_RESPONSE_FIRST_BYTE_TIMEOUT */
    uint32_t idle_ms;       /* without a byte either way while the peer is waited for: AWS_IO_SOCKET_TIMEOUT */
    uint32_t total_ms;      /* from activation to completion: AWS_IO_SOCKET_TIMEOUT */
} crt_http_timeouts;

typedef struct crt_http_connect_options {
    crt_connect_options target; /* done and user are ignored; handler below */
    const crt_http_proxy *proxy; /* copied */
    bool manual_window;
    size_t initial_window; /* manual: bytes of body credit per stream */
    const crt_http_conn_handler *handler; /* static storage */
    void *user;
    int version; /* the one that must come of it: CRT_HTTP_1_1, CRT_HTTP_2, or CRT_HTTP_UNKNOWN for what ALPN chose */
    /* HTTP/2 only */
    bool prior_knowledge;              /* speak it without ALPN, as on plain TCP (RFC 9113 section 3.3) */
    bool manual_conn_window;           /* credit for the connection comes from crt_http_conn_update_window alone */
    uint32_t conn_window_threshold;    /* credit is sent when the window is below; 0: 32,767, or half when automatic */
    uint32_t stream_window_threshold;  /* 0: half of the initial window in force */
    const crt_http2_setting *settings; /* of the first SETTINGS frame, in this order; copied */
    size_t setting_count;
    crt_http_timeouts timeouts; /* of either version; those of streams unless they bring their own */
} crt_http_connect_options;

/* Any thread. */
CRT_HTTP_FN(void, crt_http_connect, (const crt_http_connect_options *options));
CRT_HTTP_FN(void, crt_http_conn_acquire, (crt_http_conn *conn));
/* Any thread. The last release closes. Streams in flight hold the connection. */
CRT_HTTP_FN(void, crt_http_conn_release, (crt_http_conn *conn));
/* Any thread; orderly: unfinished streams end with AWS_ERROR_HTTP_CONNECTION_CLOSED. */
CRT_HTTP_FN(void, crt_http_conn_close, (crt_http_conn *conn));
CRT_HTTP_FN(bool, crt_http_conn_is_open, (const crt_http_conn *conn)); /* takes new requests; any thread */
CRT_HTTP_FN(int, crt_http_conn_version, (const crt_http_conn *conn));
CRT_HTTP_FN(crt_loop *, crt_http_conn_loop, (const crt_http_conn *conn));
/* Any thread. HTTP/2 with manual_conn_window: credit for the connection; otherwise nothing. */
CRT_HTTP_FN(void, crt_http_conn_update_window, (crt_http_conn *conn, uint32_t n));
/* Any thread. HTTP/2: `done` comes once, on the loop, with the nanoseconds until the peer's answer, or a fault.
   AWS_ERROR_UNSUPPORTED_OPERATION on HTTP/1.1, AWS_ERROR_HTTP_CONNECTION_CLOSED; then `done` is not called. */
typedef void (*crt_http_ping_fn)(void *user, const crt_fault *fault, uint64_t round_trip_ns);
CRT_HTTP_FN(int, crt_http_conn_ping, (crt_http_conn *conn, crt_http_ping_fn done, void *user));

/* ---- streams ---- */

typedef struct crt_http_stream_handler {
    /* The final response head; views valid during the call. */
    int (*on_head)(void *user, int status, const crt_http_header *headers, size_t count);
    /*
     * Optional: where the next body bytes shall land; `want` is what is left of a known length (UINT64_MAX
     * when unknown). Body bytes are read from the socket straight into the span. An empty span pauses the
     * connection until crt_http_stream_resume. Without it the body comes through an internal buffer.
     */
    void (*on_space)(void *user, uint64_t want, crt_span *space);
    /* Body bytes, in order: inside the span named last, or in the internal buffer (valid during the call). */
    int (*on_body)(void *user, crt_bytes data);
    /* Once, last: fault->code 0 and the status, or the error. A non-zero result of the other callbacks ends the
       stream with that code. */
    void (*on_complete)(void *user, const crt_fault *fault, int status);
    /* Optional, HTTP/2: the peer has said all (END_STREAM); at most once, after the body, before on_complete. */
    void (*on_remote_end)(void *user);
    /* Optional: an informational response (RFC 9110 section 15.2; not 101), before on_head, as often as they come. */
    int (*on_interim)(void *user, int status, const crt_http_header *headers, size_t count);
    /* Optional: the trailers, at most once, after the body (RFC 9110 section 6.5). */
    int (*on_trailers)(void *user, const crt_http_header *headers, size_t count);
} crt_http_stream_handler;

/*
 * Any thread: checks the message (the errors of the request rules, code returned), copies what it needs of
 * it except the body source, which it references. Nothing is sent before activate. One reference to the caller.
 */
CRT_HTTP_FN(int, crt_http_stream_new,
            (crt_http_conn *conn, const crt_http_message *message, const crt_http_stream_handler *handler,
             void *user, crt_http_stream **out));

/* What a stream may have beyond its message. */
typedef struct crt_http_stream_options {
    bool writes; /* as after crt_http_stream_expect_writes */
    /*
     * HTTP/1.1, for a message with `Expect: 100-continue`: its body waits until the peer says so, or so many
     * milliseconds are over (RFC 9110 section 10.1.1); a final response before that means it is never sent, and ends
     * the connection. 0: the body follows at once.
     */
    uint32_t continue_ms;
    const crt_http_timeouts *timeouts; /* NULL: the connection's; connect_ms and tls_ms mean nothing here */
} crt_http_stream_options;

/* crt_http_stream_new with options; NULL: none. HTTP/1.1 with `writes`: AWS_ERROR_HTTP_INVALID_HEADER_FIELD for a
   message with neither Transfer-Encoding nor Content-Length, which alone can tell the peer where the body ends. */
CRT_HTTP_FN(int, crt_http_stream_new_with,
            (crt_http_conn *conn, const crt_http_message *message, const crt_http_stream_handler *handler,
             void *user, const crt_http_stream_options *options, crt_http_stream **out));
/* Before activation: the request ends with a crt_http_stream_write whose `end` is set, after the message's body. */
CRT_HTTP_FN(int, crt_http_stream_expect_writes, (crt_http_stream *stream));
/*
 * Any thread: appends to the request body; writes go out in order. `data` may be NULL (nothing but the end) and is
 * referenced. On success `done` (may be NULL) comes once, on the loop: 0 when the last byte was framed, the code of
 * a failed read, or AWS_ERROR_HTTP_STREAM_HAS_COMPLETED. Otherwise AWS_ERROR_HTTP_MANUAL_WRITE_NOT_ENABLED,
 * _STREAM_NOT_ACTIVATED, _MANUAL_WRITE_HAS_COMPLETED, _STREAM_HAS_COMPLETED or _CONNECTION_CLOSED.
 */
typedef void (*crt_http_write_fn)(void *user, int status);
CRT_HTTP_FN(int, crt_http_stream_write,
            (crt_http_stream *stream, crt_source *data, bool end, crt_http_write_fn done, void *user));
/* Any thread. Idempotent. AWS_ERROR_HTTP_CONNECTION_CLOSED when the connection is closed already. After
   success on_complete is called exactly once. */
CRT_HTTP_FN(int, crt_http_stream_activate, (crt_http_stream *stream));
/* Any thread: ends the stream with `code` (HTTP/1.1: with its connection; HTTP/2: RST_STREAM). */
CRT_HTTP_FN(void, crt_http_stream_cancel, (crt_http_stream *stream, int code));
CRT_HTTP_FN(void, crt_http_stream_resume, (crt_http_stream *stream));                  /* loop thread */
CRT_HTTP_FN(void, crt_http_stream_update_window, (crt_http_stream *stream, uint64_t n)); /* any thread */
CRT_HTTP_FN(void, crt_http_stream_release, (crt_http_stream *stream));                 /* any thread */
CRT_HTTP_FN(crt_http_conn *, crt_http_stream_conn, (const crt_http_stream *stream));  /* borrowed */
/* Loop thread: bytes queued for sending that the transport has not taken yet. */
CRT_HTTP_FN(size_t, crt_http_stream_unsent, (const crt_http_stream *stream));

/* The transports other protocols find by name: "http-tunnel" and "websocket". */
CRT_HTTP_FN(const crt_transport *, crt_http_transport, (const char *name));

CRT_EXTERN_C_END
#endif
