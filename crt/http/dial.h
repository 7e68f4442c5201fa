/*
 * Opens the byte stream below HTTP: straight to the host, to a forwarding proxy, or through a tunnel that a proxy
 * opens with CONNECT (RFC 9110 section 9.3.6), with TLS to the proxy, to the host, or both.
 */
#ifndef CRT_HTTP_DIAL_H
#define CRT_HTTP_DIAL_H

#include "crt/http.h"

typedef struct crt_http_dial crt_http_dial;

/* Any thread; everything is copied. `proxy` NULL or without host: none. NULL without memory. */
CRT_HIDDEN crt_http_dial *crt_http_dial_new(const crt_connect_options *target, const crt_http_proxy *proxy);
/* Before the start: how long all of it, and each TLS handshake of it, may take; 0: as without. */
CRT_HIDDEN void crt_http_dial_limit(crt_http_dial *dial, uint32_t connect_ms, uint32_t tls_ms);
/* Any thread. From here on `done` may come, once and on the loop, for every failure: wrong arguments, loop ended. */
CRT_HIDDEN void crt_http_dial_start(crt_http_dial *dial);
/* Loop thread, before `done`: it comes with AWS_ERROR_IO_OPERATION_CANCELLED. */
CRT_HIDDEN void crt_http_dial_cancel(crt_http_dial *dial);

/* True when requests must be rewritten for a forwarding proxy. */
CRT_HIDDEN bool crt_http_dial_forwards(const crt_connect_options *target, const crt_http_proxy *proxy);

/* "host:port", an IPv6 address in brackets. */
CRT_HIDDEN int crt_http_put_authority(crt_buf *to, const char *host, uint32_t port);
/* "Basic " and base64 of "user:password" (RFC 7617); NULL counts as empty. */
CRT_HIDDEN int crt_http_put_basic(crt_buf *to, const char *user, const char *password);

/* How long a proxy or WebSocket server may take to answer: the connect timeout, at least 10 s. */
CRT_HIDDEN uint32_t crt_http_answer_timeout_ms(const crt_socket_options *socket);

#endif
