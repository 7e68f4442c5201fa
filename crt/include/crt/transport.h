/*
 * Transports that a plugin lends to a protocol that must not know it: mqtt reaches its broker through
 * `websocket` or `http-tunnel` without ever including http. The plugin hook awscrt_transport(name) answers
 * with a capsule named CRT_TRANSPORT_CAPSULE that holds a crt_transport.
 */
#ifndef CRT_TRANSPORT_H
#define CRT_TRANSPORT_H

#include "crt/stream.h"

CRT_EXTERN_C_BEGIN

#define CRT_TRANSPORT_CAPSULE "awscrt.transport"
#define CRT_TRANSPORT_ABI 1

typedef struct crt_transport_header {
    const char *name;
    const char *value;
} crt_transport_header;

typedef struct crt_transport_options {
    crt_connect_options target; /* the final host; `done` gets a stream of payload bytes */
    /* HTTP proxy on the way; host NULL for none */
    const char *proxy_host;
    uint32_t proxy_port;
    const char *proxy_user; /* NULL: no authentication */
    const char *proxy_password;
    const crt_tls_options *proxy_tls;
    /* websocket: the handshake request */
    const char *path;
    const crt_transport_header *headers;
    size_t header_count;
} crt_transport_options;

typedef struct crt_transport {
    uint32_t abi; /* CRT_TRANSPORT_ABI */
    const char *name;
    /* As crt_stream_connect. */
    crt_connect *(*open)(const crt_transport_options *options);
    void (*cancel)(crt_connect *connect);
} crt_transport;

CRT_EXTERN_C_END
#endif
