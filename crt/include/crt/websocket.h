/*
 * WebSocket client (RFC 6455), frame by frame or message by message, with permessage-deflate (RFC 7692).
 *
 * Sending works from any thread: frames are masked into a batch by the caller, and the loop writes one batch at a
 * time, so that whatever gathers while the socket is busy leaves in one system call.
 */
#ifndef CRT_WEBSOCKET_H
#define CRT_WEBSOCKET_H

#include "crt/http.h"

CRT_EXTERN_C_BEGIN

enum crt_ws_opcode {
    CRT_WS_CONTINUATION = 0x0,
    CRT_WS_TEXT = 0x1,
    CRT_WS_BINARY = 0x2,
    CRT_WS_CLOSE = 0x8,
    CRT_WS_PING = 0x9,
    CRT_WS_PONG = 0xa,
};

/* Status codes of CLOSE frames (RFC 6455 section 7.4.1). */
enum crt_ws_close_code {
    CRT_WS_CLOSE_NORMAL = 1000,
    CRT_WS_CLOSE_PROTOCOL_ERROR = 1002,
    CRT_WS_CLOSE_UNSUPPORTED = 1003,
    CRT_WS_CLOSE_INVALID_DATA = 1007,
    CRT_WS_CLOSE_TOO_BIG = 1009,
};

typedef struct crt_websocket crt_websocket;

/* Received bytes; whoever keeps a view of them holds a reference. Any thread. */
typedef struct crt_ws_block {
    crt_refcount refs;
    uint8_t *data;
    size_t capacity;
    size_t end;
} crt_ws_block;

static inline void crt_ws_block_acquire(crt_ws_block *block) {
    crt_ref_inc(&block->refs);
}
CRT_HTTP_FN(void, crt_ws_block_release, (crt_ws_block *block)); /* NULL is ignored */

/*
 * What came in. By frame: a frame is one piece or several, the first says `begins`, the last `ends`; payload may be
 * in any of them. By message: every piece is a whole message (TEXT or BINARY), or a PING, PONG or CLOSE frame.
 */
typedef struct crt_ws_piece {
    int opcode;
    bool fin;
    bool begins;
    bool ends;
    int status;      /* with `ends`: 0, or why the rest of the frame does not come */
    uint64_t length; /* of the whole frame or message */
    crt_bytes data;
    crt_ws_block *block; /* where `data` is; NULL when there is none */
} crt_ws_piece;

/* What the server answered; views valid during the call. */
typedef struct crt_ws_response {
    int status;
    const crt_http_header *headers;
    size_t header_count;
    crt_bytes body;
    bool complete; /* the body is; never with status 101 */
} crt_ws_response;

/* All on the loop. */
typedef struct crt_websocket_handler {
    /* Once. On success the caller owns one reference of `ws`. `response` is NULL when there was no complete head.
       After a failure the transport is gone. */
    void (*on_setup)(void *user, const crt_fault *fault, crt_websocket *ws, const crt_ws_response *response);
    /* Non-zero ends the connection with that code. */
    int (*on_piece)(void *user, const crt_ws_piece *piece);
    /* Optional: asked before reading; false pauses until crt_websocket_resume. */
    bool (*may_read)(void *user);
    /* Optional: what crt_websocket_want_room waited for. */
    void (*on_room)(void *user);
    /* Once after a successful setup, last: code 0 after our own close or a completed closing handshake. */
    void (*on_shutdown)(void *user, const crt_fault *fault);
} crt_websocket_handler;

/* What is offered of RFC 7692 section 7.1; windows are the base-2 logarithm of bytes, 9 to 15. */
typedef struct crt_ws_deflate_options {
    bool server_no_context_takeover;
    bool client_no_context_takeover;
    int server_max_window_bits;
    int client_max_window_bits;
    int level;        /* zlib's, 1 to 9; 0: its default */
    int memory_level; /* zlib's, 1 to 9; 0: its default */
} crt_ws_deflate_options;

typedef struct crt_websocket_options {
    crt_connect_options target;  /* done and user are ignored; handler below */
    const crt_http_proxy *proxy; /* copied */
    /* GET with all headers of the handshake; its Sec-WebSocket-Key is what the answer must fit. With `deflate` it
       gains the header of the offer. Not used after the call. */
    crt_http_message *request;
    uint32_t answer_timeout_ms; /* from the connected socket to the response; 0: as for a proxy's */
    bool manual_window;         /* by frame: payload of data frames comes as far as crt_websocket_credit says */
    uint64_t initial_window;
    bool messages;        /* by message; CLOSE is answered, and the closing handshake is waited for */
    uint64_t max_message; /* of bytes, after decompression; longer ones end the connection with code 1009 */
    uint32_t close_timeout_ms;             /* for the peer's part of the closing handshake */
    const crt_ws_deflate_options *deflate; /* by message; NULL: no compression */
    const crt_websocket_handler *handler;  /* static storage */
    void *user;
} crt_websocket_options;

/* Any thread. AWS_ERROR_INVALID_ARGUMENT for a request that is no handshake, or AWS_ERROR_OOM; then nothing is
   called. Everything else comes through on_setup. */
CRT_HTTP_FN(int, crt_websocket_connect, (const crt_websocket_options *options));
/* Any thread, once: the connection closes as by crt_websocket_close. on_shutdown still comes. */
CRT_HTTP_FN(void, crt_websocket_release, (crt_websocket *ws));

/* 0 when the frame was handed to the transport. */
typedef void (*crt_ws_sent_fn)(void *user, int status);

typedef struct crt_ws_outgoing {
    int opcode;
    bool fin;
    bool compress; /* the message that begins here; ignored without permessage-deflate */
    crt_bytes payload;
    crt_source *source; /* MEMORY that is `payload`: long ones are referenced instead of copied; may be NULL */
    crt_ws_sent_fn done; /* on the loop, once, unless the call fails; may be NULL */
    void *user;
} crt_ws_outgoing;

/* Any thread; frames go out in the order of the calls. AWS_ERROR_HTTP_WEBSOCKET_CLOSE_FRAME_SENT,
   AWS_ERROR_HTTP_CONNECTION_CLOSED or AWS_ERROR_OOM. A frame that may not stand where it does ends the connection:
   `done` gets AWS_ERROR_INVALID_STATE (a fragmented control frame: AWS_ERROR_INVALID_ARGUMENT). */
CRT_HTTP_FN(int, crt_websocket_send, (crt_websocket *ws, const crt_ws_outgoing *frame));
/* Any thread, repeatable. By frame: an empty CLOSE unless one was sent, then the end. By message: CLOSE with this
   payload, then the peer's answer and its end of the transport are waited for. */
CRT_HTTP_FN(void, crt_websocket_close, (crt_websocket *ws, crt_bytes payload));
/* Any thread: ends the connection with that code, in the same way as an error of the peer does. */
CRT_HTTP_FN(void, crt_websocket_abort, (crt_websocket *ws, int code));
CRT_HTTP_FN(void, crt_websocket_credit, (crt_websocket *ws, uint64_t n)); /* any thread */
CRT_HTTP_FN(void, crt_websocket_resume, (crt_websocket *ws));             /* any thread */
/* Any thread: bytes not yet taken by the transport. */
CRT_HTTP_FN(size_t, crt_websocket_unsent, (crt_websocket *ws));
/* Any thread: true when at most `low` bytes are unsent or nothing can be sent any more; otherwise on_room comes once,
   as soon as that is so. */
CRT_HTTP_FN(bool, crt_websocket_want_room, (crt_websocket *ws, size_t low));
/* Whether permessage-deflate was agreed on. */
CRT_HTTP_FN(bool, crt_websocket_compresses, (const crt_websocket *ws));
CRT_HTTP_FN(crt_loop *, crt_websocket_loop, (const crt_websocket *ws));

CRT_EXTERN_C_END
#endif
