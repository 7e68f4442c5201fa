/*
 * A connected socket on its loop: the core that the plain stream and the TLS stream are built on.
 *
 * Everything here happens on the socket's loop. The POSIX side is socket_posix.c; a Windows port replaces
 * that file (uv_poll_t polls sockets there as well).
 */
#ifndef CRT_IO_SOCKET_INTERNAL_H
#define CRT_IO_SOCKET_INTERNAL_H

#include <uv.h>

#include "crt/stream.h"
#include "loop_internal.h"

enum { CRT_SOCKET_READABLE = 1, CRT_SOCKET_WRITABLE = 2 };

/* Result of crt_socket_recv/send... besides a byte count and -(code): try again when on_ready says so. */
enum { CRT_SOCKET_AGAIN = -1 };

typedef struct crt_socket crt_socket;

typedef struct crt_socket_owner {
    /*
     * The socket is ready as in `mask`. After an error on the socket both bits are set, whatever was asked for:
     * the next recv or send names the error. May destroy the socket.
     */
    void (*on_ready)(void *user, int mask);
    /* The loop ends: finish with AWS_IO_EVENT_LOOP_SHUTDOWN and destroy the socket. Called at most once. */
    void (*on_shutdown)(void *user);
} crt_socket_owner;

struct crt_socket {
    int fd; /* non-blocking */
    crt_loop *loop;
    char peer[64]; /* as crt_stream.peer */
    bool reset;    /* the peer ended the connection with a reset (RST), which only the first call is told */
    /* private */
    const crt_socket_owner *owner;
    void *user;
    uv_poll_t poll;
    int armed; /* what poll watches now */
    crt_attachment attachment;
};

/* Takes over `fd` (closed on failure too). The owner is set later, before events are asked for. 0 or a code. */
CRT_HIDDEN int crt_socket_new(crt_loop *loop, int fd, const char *peer, crt_socket **out);
CRT_HIDDEN void crt_socket_set_owner(crt_socket *socket, const crt_socket_owner *owner, void *user);
/*
 * Watches for the given events from now on (level-triggered: an event that is not acted upon comes again). Does
 * nothing when the mask is the present one. Each change costs system calls, so leave READABLE on while reading
 * goes on, and ask for WRITABLE only after CRT_SOCKET_AGAIN.
 */
CRT_HIDDEN void crt_socket_events(crt_socket *socket, int mask);
/* Closes the descriptor now; the memory goes once libuv lets go. No callbacks after this. */
CRT_HIDDEN void crt_socket_destroy(crt_socket *socket);

/*
 * System calls without blocking: bytes moved (> 0), 0 = end of stream (recv only), CRT_SOCKET_AGAIN, or -(code)
 * with a code >= 1024. SIGPIPE never rises.
 */
CRT_HIDDEN ptrdiff_t crt_socket_recv(crt_socket *socket, void *data, size_t len);
CRT_HIDDEN ptrdiff_t crt_socket_send(crt_socket *socket, const void *data, size_t len);
CRT_HIDDEN ptrdiff_t crt_socket_sendv(crt_socket *socket, const crt_bytes *views, size_t count); /* <= CRT_SENDV_MAX */
enum { CRT_SENDV_MAX = 64 };
/*
 * Sends from a file, with sendfile where the system can. AWS_IO_STREAM_READ_FAILED when the file ends or cannot
 * be read.
 */
CRT_HIDDEN ptrdiff_t crt_socket_sendfile(crt_socket *socket, int file, uint64_t offset, uint64_t length);

/* How the connection ended that recv or send says is AWS_IO_SOCKET_CLOSED, for messages: by a reset or in order. */
CRT_HIDDEN const char *crt_socket_end_text(const crt_socket *socket);

/* errno of a socket call -> code, see the table in socket_posix.c. */
CRT_HIDDEN int crt_socket_code(int error);

/* ---- a stream over it ---- */

/* Takes over the socket, also on failure. *out has one reference. */
CRT_HIDDEN int crt_socket_stream_new(crt_socket *socket, crt_stream **out);
/*
 * Takes the socket out of a stream, with what it still has to receive; its owner is to be set before the loop turns.
 * The caller's reference ends, and the handler hears no more. NULL, with nothing changed, when that cannot be: the
 * stream is none over a socket, bytes of it are still to be sent, it is closing, or others hold it as well.
 */
CRT_HIDDEN crt_socket *crt_socket_stream_detach(crt_stream *stream);

/* ---- TLS over it (tls_*.c) ---- */

/*
 * Takes over the socket, shakes hands, then hands a stream to `done`: exactly once, never inside this call or
 * crt_tls_cancel. `tls` is borrowed for the call, `host` serves as server name when tls names none.
 * fault->detail names host and socket->peer. NULL only without memory: then `done` is not called.
 */
CRT_HIDDEN crt_tls_handshake *crt_tls_stream_start(crt_socket *socket, const crt_tls_options *tls, const char *host,
                                                   crt_connect_fn done, void *user);

#endif
