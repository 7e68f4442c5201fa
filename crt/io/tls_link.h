/*
 * What carries a TLS stream's ciphertext: a socket, or any other byte stream (a tunnel, TLS again).
 *
 * The same contract as crt_socket: bytes move without blocking, readiness is announced and stays announced until
 * it is used. All on the loop.
 */
#ifndef CRT_IO_TLS_LINK_H
#define CRT_IO_TLS_LINK_H

#include "socket_internal.h"

typedef struct crt_tls_link crt_tls_link;

typedef struct crt_tls_link_owner {
    void (*on_ready)(void *user, int mask); /* CRT_SOCKET_READABLE, CRT_SOCKET_WRITABLE; may destroy the link */
    void (*on_shutdown)(void *user);        /* the loop ends */
} crt_tls_link_owner;

typedef struct crt_tls_link_ops {
    ptrdiff_t (*recv)(crt_tls_link *link, void *data, size_t len); /* as crt_socket_recv */
    ptrdiff_t (*send)(crt_tls_link *link, const void *data, size_t len);
    void (*watch)(crt_tls_link *link, int mask);
    void (*destroy)(crt_tls_link *link); /* closes; no callbacks after this */
} crt_tls_link_ops;

struct crt_tls_link {
    const crt_tls_link_ops *ops;
    crt_loop *loop;
    const char *peer;
    const crt_tls_link_owner *owner;
    void *user;
};

/* Both take over what they are given, also on failure (NULL: no memory). */
CRT_HIDDEN crt_tls_link *crt_tls_link_over_socket(crt_socket *socket, const crt_tls_link_owner *owner, void *user);
CRT_HIDDEN crt_tls_link *crt_tls_link_over_stream(crt_stream *stream, const crt_tls_link_owner *owner, void *user);

#endif
