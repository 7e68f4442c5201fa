/*
 * WebSocket frames (RFC 6455 section 5) as a pure state machine: the client's side, which receives unmasked
 * frames and sends masked ones. No I/O, no clock, no allocation.
 */
#ifndef CRT_WS_CODEC_H
#define CRT_WS_CODEC_H

#include "crt/websocket.h"
#include "utf8.h"

enum { CRT_WS_HEADER_MAX = 14, CRT_WS_CONTROL_MAX = 125 };

static inline bool crt_ws_is_control(int opcode) {
    return (opcode & 0x8) != 0;
}

/* ---- sending ---- */

enum { CRT_WS_COMPRESSED = 0x40 }; /* RSV1, to be or-ed to an opcode (RFC 7692 section 6) */

/* Writes the shortest header, with the mask; returns its length. */
CRT_HIDDEN size_t crt_ws_write_header(uint8_t out[CRT_WS_HEADER_MAX], int opcode, bool fin, uint64_t length,
                                      const uint8_t mask[4]);
/* Masks or unmasks payload that begins `offset` bytes into its frame. `to` may be `from`. */
CRT_HIDDEN void crt_ws_mask(uint8_t *to, const uint8_t *from, size_t len, const uint8_t mask[4], uint64_t offset);

/* ---- receiving ---- */

enum crt_ws_event_kind {
    CRT_WS_NEED_DATA,
    CRT_WS_FRAME,     /* a header: opcode, fin, length are in the decoder */
    CRT_WS_PAYLOAD,   /* `payload` is a view of the input */
    CRT_WS_FRAME_END,
    CRT_WS_BLOCKED,   /* payload is there, but max_payload was 0 */
    CRT_WS_ERROR,     /* `detail` says what is wrong; for ever */
};

typedef struct crt_ws_event {
    enum crt_ws_event_kind kind;
    size_t consumed; /* bytes of the input to drop before the next call */
    crt_bytes payload;
} crt_ws_event;

typedef struct crt_ws_decoder {
    /* The frame at hand, from CRT_WS_FRAME to CRT_WS_FRAME_END */
    int opcode;
    bool fin;
    uint64_t length;
    bool compressed;    /* the message the data frame belongs to is */
    int message;        /* what the frame belongs to: CRT_WS_TEXT or CRT_WS_BINARY, also for continuations */
    const char *detail; /* after CRT_WS_ERROR; static storage */
    bool bad_text;      /* the error is text that is not UTF-8 */

    bool deflate; /* set by the owner: RSV1 marks compressed messages, whose text is not looked at here */

    /* private */
    int state;
    bool in_message; /* fragments are to follow */
    uint64_t left;
    crt_utf8 text;
    uint8_t close_code[2];
} crt_ws_decoder; /* zeroed: at the first frame */

/* `input` holds all unread bytes, in one piece. At most max_payload bytes of a data frame come out at once;
   control frames are not limited by it. */
CRT_HIDDEN crt_ws_event crt_ws_decoder_next(crt_ws_decoder *d, crt_bytes input, uint64_t max_payload);

/* Inside a frame whose end is to be reported next, which takes no input. */
CRT_HIDDEN bool crt_ws_decoder_at_end(const crt_ws_decoder *d);

/* Between CRT_WS_FRAME and CRT_WS_FRAME_END. */
CRT_HIDDEN bool crt_ws_decoder_in_frame(const crt_ws_decoder *d);

/* Binary payload that certainly comes next: it may be read past the decoder, which is told by crt_ws_decoder_skip. */
CRT_HIDDEN uint64_t crt_ws_decoder_raw_payload(const crt_ws_decoder *d);
CRT_HIDDEN void crt_ws_decoder_skip(crt_ws_decoder *d, uint64_t n);

/* Codes that may stand in a CLOSE frame (RFC 6455 section 7.4, and the registry: 1012 to 1014). */
CRT_HIDDEN bool crt_ws_is_close_code(int code);

#endif
