/*
 * The opening handshake of WebSocket (RFC 6455 section 4.1), the client's part.
 */
#ifndef CRT_WS_HANDSHAKE_H
#define CRT_WS_HANDSHAKE_H

#include "crt/http.h"

enum { CRT_WS_KEY_LEN = 24, CRT_WS_ACCEPT_LEN = 28 };

/* base64 of 16 random bytes; not terminated. */
CRT_HIDDEN int crt_ws_make_key(char out[CRT_WS_KEY_LEN]);
/* What Sec-WebSocket-Accept has to be for a key. */
CRT_HIDDEN int crt_ws_accept_of(crt_bytes key, char out[CRT_WS_ACCEPT_LEN]);

/*
 * NULL when the response accepts the request, else what is wrong with it. `key` and `offered` are the values of the
 * request's Sec-WebSocket-Key and Sec-WebSocket-Protocol (several names comma-separated; empty: none offered).
 * `extensions` gets the value of the server's Sec-WebSocket-Extensions (empty: none); NULL: none may be there.
 */
CRT_HIDDEN const char *crt_ws_check_response(int status, const crt_http_header *headers, size_t count, crt_bytes key,
                                             crt_bytes offered, crt_bytes *extensions);

#endif
