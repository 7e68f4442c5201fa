/*
 * A WebSocket connection, inside: ws_conn.c has its life and end, ws_send.c and ws_recv.c the two directions.
 */
#ifndef CRT_WS_CONN_H
#define CRT_WS_CONN_H

#include <pthread.h>

#include "crt/websocket.h"
#include "ws_codec.h"
#include "ws_deflate.h"

/* What other threads want of the loop. */
enum {
    CRT_WS_WANTS_CLOSE = 1,
    CRT_WS_WANTS_ABORT = 2,
    CRT_WS_WANTS_RESUME = 4,
    CRT_WS_WANTS_ROOM = 8,
};

/* Whether frames are still taken. */
enum crt_ws_sending { CRT_WS_SENDING, CRT_WS_CLOSE_SENT, CRT_WS_CONN_FAILED };

typedef struct crt_ws_completion {
    crt_ws_sent_fn done;
    void *user;
} crt_ws_completion;

/* Frames that leave together, in one write of the stream below; or one long frame, in several. */
typedef struct crt_ws_batch {
    crt_write write;
    crt_websocket *ws;
    struct crt_ws_batch *next;
    crt_buf bytes;
    crt_buf completions; /* of crt_ws_completion */
    int fail_code;       /* in place of bytes: the frame that ends the connection */
    crt_source *source;  /* payload still to be masked; behind the header in `bytes` */
    crt_bytes rest;
    uint8_t mask[4];
    uint64_t offset;
} crt_ws_batch;

struct crt_websocket {
    crt_refcount refs; /* the user; the connection until its transport is gone; posted and deferred tasks */
    const crt_websocket_handler *handler;
    void *user;
    crt_loop *loop;
    bool messages;
    uint64_t max_message;
    uint32_t close_timeout_ms;

    pthread_mutex_t lock; /* of this group: any thread */
    bool gone;            /* the transport is: nothing is posted any more */
    bool posted;
    unsigned wants;
    int abort_code;
    uint64_t credit;
    enum crt_ws_sending sending;
    bool close_asked;
    bool in_message;         /* fragments are to follow */
    bool compress_message;   /* they are compressed */
    crt_ws_batch *first;
    crt_ws_batch **tail;
    crt_ws_batch *spare; /* a list of `spares` */
    size_t spares;
    size_t unsent;
    bool room_wanted;
    size_t room_low;
    size_t keys_left; /* unused bytes of `keys` */
    uint8_t keys[512];
    crt_buf scratch; /* compressed payload */
    uint8_t close_payload[CRT_WS_CONTROL_MAX];
    size_t close_len;
    crt_task wake;

    /* the loop's alone */
    crt_stream *io;
    crt_ws_batch *writing;
    crt_timer timeout;
    crt_task receive;
    bool receive_due;
    bool receiving;
    bool closing;       /* our end has begun: what comes in is dropped, or only looked at for CLOSE */
    bool peer_closed;   /* its CLOSE was received */
    bool close_written; /* so was ours */
    crt_fault fault;    /* what on_shutdown will say */
    bool faulted;
    bool manual_window;
    uint64_t window;
    crt_ws_deflate deflate; /* its sending half is under the lock */
    crt_ws_decoder decoder;
    crt_ws_block *block;    /* bytes not yet decoded lie at its end, from `start` on */
    size_t start;
    bool begun;             /* by frame: a piece with `begins` was delivered for the frame at hand */
    crt_buf assembly;       /* a message in fragments, or compressed */
    crt_utf8 text;          /* of a compressed message */
    size_t text_checked;
    uint8_t control[CRT_WS_CONTROL_MAX];
    size_t control_len;
};

/* ---- ws_conn.c ---- */

/* Behind the handshake. Takes over the reference of `io` on success; `rest` was read past the response. */
CRT_HIDDEN int crt_ws_conn_new(crt_stream *io, const crt_websocket_options *options, const crt_ws_deflate *deflate,
                               crt_bytes rest, crt_websocket **out);
/* Starts reading; after on_setup. */
CRT_HIDDEN void crt_ws_conn_start(crt_websocket *ws);
/* Loop: ends the connection because of `code`; `close_code` for the peer, 0: an empty CLOSE. */
CRT_HIDDEN void crt_ws_conn_fail(crt_websocket *ws, int code, const char *detail, int close_code);
/* Loop: a CLOSE frame of the peer is complete (in ws->control). */
CRT_HIDDEN void crt_ws_conn_peer_closed(crt_websocket *ws);
CRT_HIDDEN void crt_ws_conn_acquire(crt_websocket *ws);
CRT_HIDDEN void crt_ws_conn_unref(crt_websocket *ws);
/* The lock is held. */
CRT_HIDDEN void crt_ws_conn_post(crt_websocket *ws, unsigned wants);

/* ---- ws_send.c ---- */

/* Loop: writes what waits, unless a write is under way. */
CRT_HIDDEN void crt_ws_send_pump(crt_websocket *ws);
/* Loop: queues a frame of our own. */
CRT_HIDDEN int crt_ws_send_control(crt_websocket *ws, int opcode, crt_bytes payload);
/* Loop: queues CLOSE unless one was sent; nothing is taken after it. `written` comes when all has left. */
CRT_HIDDEN int crt_ws_send_close(crt_websocket *ws, crt_bytes payload, crt_ws_sent_fn written);
/* Loop: what has not begun to leave ends with `code`. */
CRT_HIDDEN void crt_ws_send_drop(crt_websocket *ws, int code);
/* Loop: on_room, when it is due. */
CRT_HIDDEN void crt_ws_send_tell_room(crt_websocket *ws);
CRT_HIDDEN void crt_ws_batch_free(crt_ws_batch *batch);

/* ---- ws_recv.c ---- */

CRT_HIDDEN void crt_ws_recv_space(crt_websocket *ws, crt_span *space);
CRT_HIDDEN void crt_ws_recv_data(crt_websocket *ws, size_t n);
/* Works through what is in the block. */
CRT_HIDDEN void crt_ws_recv_run(crt_websocket *ws);
/* A frame whose beginning was told ends with `code`. */
CRT_HIDDEN void crt_ws_recv_end(crt_websocket *ws, int code);
CRT_HIDDEN int crt_ws_recv_prefill(crt_websocket *ws, crt_bytes rest);

#endif
