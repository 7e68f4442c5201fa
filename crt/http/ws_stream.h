/*
 * A byte stream over WebSocket: what is written goes out in binary frames, the payload of binary frames comes in.
 * PING is answered; CLOSE of the peer is answered and ends the stream.
 */
#ifndef CRT_WS_STREAM_H
#define CRT_WS_STREAM_H

#include "crt/stream.h"

/* Loop thread; right behind the handshake. Takes over the reference of `io`, on success only. */
CRT_HIDDEN int crt_ws_stream_new(crt_stream *io, crt_stream **out);

#endif
