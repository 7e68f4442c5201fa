/*
 * permessage-deflate (RFC 7692): what is offered and agreed on, and the two directions of the codec.
 */
#ifndef CRT_WS_DEFLATE_H
#define CRT_WS_DEFLATE_H

#include <zlib.h>

#include "crt/buffer.h"
#include "crt/websocket.h"

typedef struct crt_ws_deflate {
    bool agreed;
    bool reset_inflate; /* server_no_context_takeover */
    bool reset_deflate; /* client_no_context_takeover */
    int inflate_bits;
    int deflate_bits;
    int level;
    int memory_level;
    bool inflating; /* `in` is set up */
    bool deflating;
    z_stream in;
    z_stream out;
} crt_ws_deflate;

/* Appends the value of Sec-WebSocket-Extensions. */
CRT_HIDDEN int crt_ws_deflate_offer(const crt_ws_deflate_options *options, crt_buf *to);

/* Takes the server's value; NULL, or what is wrong with it. An empty value: no compression. */
CRT_HIDDEN const char *crt_ws_deflate_accept(crt_ws_deflate *d, const crt_ws_deflate_options *options,
                                             crt_bytes value);
CRT_HIDDEN void crt_ws_deflate_free(crt_ws_deflate *d);

/* False when our side cannot keep to the agreed window: messages then go out as they are. */
CRT_HIDDEN bool crt_ws_deflate_can_send(const crt_ws_deflate *d);

/* Compresses one fragment and appends it; `fin` ends the message. 0 or AWS_ERROR_OOM. */
CRT_HIDDEN int crt_ws_deflate_send(crt_ws_deflate *d, crt_bytes fragment, bool fin, crt_buf *to);

enum crt_ws_inflated { CRT_WS_INFLATED, CRT_WS_INFLATE_TOO_BIG, CRT_WS_INFLATE_BROKEN, CRT_WS_INFLATE_OOM };

/* Decompresses a piece of a message; `fin` ends it. Never makes `to` longer than `limit` bytes. */
CRT_HIDDEN enum crt_ws_inflated crt_ws_deflate_receive(crt_ws_deflate *d, crt_bytes piece, bool fin, uint64_t limit,
                                                       crt_buf *to);

#endif
