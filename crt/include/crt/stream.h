/*
 * Byte streams: TCP, Unix socket, TLS over any of them, or a transport from a plugin (WebSocket, tunnel).
 *
 * Bytes land where they are going: before each read the handler names the memory. Naming none pauses the
 * socket, which is how back-pressure reaches the peer. All calls and callbacks happen on the stream's loop.
 */
#ifndef CRT_STREAM_H
#define CRT_STREAM_H

#include "crt/loop.h"
#include "crt/resolver.h"
#include "crt/status.h"
#include "crt/tls.h"

CRT_EXTERN_C_BEGIN

typedef struct crt_stream crt_stream;

typedef struct crt_stream_handler {
    /* Where may the next bytes land? An empty span pauses reading until crt_stream_resume. */
    void (*on_space)(void *user, crt_span *space);
    /* n bytes are at the start of the span named last. May close the stream. */
    void (*on_data)(void *user, size_t n);
    /* Optional: the queue of unsent bytes has just become empty. */
    void (*on_drained)(void *user);
    /*
     * The stream is gone: fault->code 0 after our own close or an orderly end (TLS close_notify), else the
     * cause (AWS_IO_SOCKET_CLOSED when the peer just hung up). Once, last, never inside a call to the stream.
     */
    void (*on_closed)(void *user, const crt_fault *fault);
} crt_stream_handler;

/*
 * One queued write. The bytes (or the file) stay untouched until `done`, which is called exactly once, on
 * the loop, never inside crt_stream_write: 0 when handed to the transport, else the error.
 */
typedef struct crt_write {
    crt_bytes data;  /* memory to send, when fd < 0 */
    int fd;          /* else a range of this file: sendfile where the transport can */
    uint64_t offset;
    uint64_t length;
    void (*done)(struct crt_write *write, int status); /* NULL: nobody cares */
    struct crt_write *next; /* private */
} crt_write;

/* What a transport implements. Plugins embed crt_stream as their first member. */
typedef struct crt_stream_ops {
    void (*resume)(crt_stream *stream);
    int (*put)(crt_stream *stream, const void *data, size_t len);
    void (*write)(crt_stream *stream, crt_write *write);
    void (*close)(crt_stream *stream, int status);
    void (*destroy)(crt_stream *stream); /* last reference dropped; on_closed has been delivered */
    crt_bytes (*alpn)(const crt_stream *stream);
} crt_stream_ops;

struct crt_stream {
    const crt_stream_ops *ops;
    crt_loop *loop;
    crt_refcount refs;
    const crt_stream_handler *handler;
    void *user;
    size_t unsent; /* bytes queued and not yet taken by the transport */
    bool gone;     /* crt_stream_gone was called */
    char peer[64]; /* "192.0.2.1:443" or the socket's path, for messages */
};

/* Sets (or replaces, e.g. after an upgrade) the handler; starts reading with the next loop turn. */
static inline void crt_stream_set_handler(crt_stream *s, const crt_stream_handler *handler, void *user) {
    s->handler = handler;
    s->user = user;
    s->ops->resume(s);
}
static inline void crt_stream_resume(crt_stream *s) {
    s->ops->resume(s);
}
/* Copies small data into the send queue; sent with everything else of this loop turn in one system call. */
static inline int crt_stream_put(crt_stream *s, const void *data, size_t len) {
    return s->ops->put(s, data, len);
}
static inline void crt_stream_write(crt_stream *s, crt_write *write) {
    s->ops->write(s, write);
}
/* Flushes nothing more and closes; on_closed gets `status`. Queued writes end with AWS_IO_SOCKET_CLOSED.
   Repeat calls do nothing. Data put before the close in the same turn is sent best effort. */
static inline void crt_stream_close(crt_stream *s, int status) {
    s->ops->close(s, status);
}
static inline crt_bytes crt_stream_alpn(const crt_stream *s) {
    return s->ops->alpn(s);
}
static inline void crt_stream_acquire(crt_stream *s) {
    crt_ref_inc(&s->refs);
}
/* Dropping the last reference closes an open stream first; it is destroyed after on_closed. Loop thread. */
CRT_FN(void, crt_stream_release, (crt_stream *stream));
/*
 * For transports: their last act, from the loop and not inside a call to the stream. Delivers on_closed; the
 * stream may be destroyed when this returns. Until then a transport is never destroyed, even without references.
 */
static inline void crt_stream_gone(crt_stream *s, const crt_fault *fault) {
    crt_ref_inc(&s->refs);
    if (s->handler && s->handler->on_closed) {
        s->handler->on_closed(s->user, fault);
    }
    s->gone = true;
    crt_stream_release(s);
}

/* ---- connecting ---- */

enum crt_socket_domain { CRT_SOCKET_IPV4 = 0, CRT_SOCKET_IPV6 = 1, CRT_SOCKET_LOCAL = 2, CRT_SOCKET_VSOCK = 3 };

typedef struct crt_socket_options {
    int domain; /* IPv4 and IPv6 both try both families; LOCAL: host is a path, or "@name" in Linux's abstract
                   namespace; VSOCK (Linux): host is a CID */
    uint32_t connect_timeout_ms;
    bool keep_alive;
    bool no_delay;
    uint16_t keep_alive_timeout_secs; /* TCP_KEEPINTVL */
    uint16_t keep_alive_interval_secs; /* TCP_KEEPIDLE */
    uint16_t keep_alive_max_probes;
    const char *interface_name; /* NULL: any. Of IPv4 and IPv6 sockets. */
} crt_socket_options;

#define CRT_SOCKET_OPTIONS_DEFAULT {CRT_SOCKET_IPV6, 5000, false, true, 0, 0, 0, NULL}

typedef struct crt_connect crt_connect;

/* Exactly once, on the loop. On success the caller owns one reference of `stream` and must set a handler
   before it returns. fault->detail names host and port, and what became of each address that was tried; the
   code is that of the last one. */
typedef void (*crt_connect_fn)(void *user, const crt_fault *fault, crt_stream *stream);

typedef struct crt_connect_options {
    crt_loop *loop;
    crt_resolver *resolver;
    const char *host;
    uint32_t port;
    crt_socket_options socket;
    const crt_tls_options *tls; /* NULL: plain. Copied. */
    crt_connect_fn done;
    void *user;
} crt_connect_options;

/* Any thread. Everything is copied. Failures of arguments come through `done` too. NULL only without memory:
   then `done` is not called. */
CRT_FN(crt_connect *, crt_stream_connect, (const crt_connect_options *options));
/* Loop thread, before `done`: done is called with AWS_ERROR_IO_OPERATION_CANCELLED. */
CRT_FN(void, crt_connect_cancel, (crt_connect *connect));

typedef struct crt_tls_handshake crt_tls_handshake;

/*
 * Starts TLS on an open stream (inside a tunnel): takes over the caller's reference, also on failure, and the
 * stream's handler hears no more of it. `tls` is borrowed for the call, `host` serves as server name when tls
 * names none. `done` once, never inside this call or crt_tls_cancel. NULL only without memory: then `done` is not
 * called. Loop thread.
 */
CRT_FN(crt_tls_handshake *, crt_tls_start,
       (crt_stream *lower, const crt_tls_options *tls, const char *host, crt_connect_fn done, void *user));
/* Before `done`: it is called with AWS_ERROR_IO_OPERATION_CANCELLED. Loop thread. */
CRT_FN(void, crt_tls_cancel, (crt_tls_handshake *handshake));

CRT_EXTERN_C_END
#endif
