/*
 * Event-stream messages: a prelude with lengths and its CRC, typed headers, a payload, and a CRC over it all.
 *
 * The encoder writes into memory of a size it told before, the decoder is fed bytes cut anywhere; neither does any
 * I/O. The channel at the end joins them to a byte stream. Integers are big-endian, CRCs are CRC-32 (zlib's).
 */
#ifndef CRT_EVENTSTREAM_H
#define CRT_EVENTSTREAM_H

#include "crt/buffer.h"
#include "crt/loop.h"
#include "crt/status.h"
#include "crt/stream.h"

CRT_EXTERN_C_BEGIN

enum {
    CRT_ES_PRELUDE = 12,                  /* total length, headers length, CRC of both */
    CRT_ES_OVERHEAD = CRT_ES_PRELUDE + 4, /* also the shortest message */
    CRT_ES_MESSAGE_MAX = 24 << 20,        /* bytes of a message, everything counted */
    CRT_ES_HEADERS_MAX = 1024,            /* of a received message */
    CRT_ES_VALUE_MAX = INT16_MAX,         /* bytes of a STRING or BYTE_BUF */
    CRT_ES_NAME_MAX = 254,                /* bytes of a name that is sent; 255 are received */
};

typedef enum crt_es_type {
    CRT_ES_TRUE = 0,
    CRT_ES_FALSE = 1,
    CRT_ES_BYTE = 2,
    CRT_ES_INT16 = 3,
    CRT_ES_INT32 = 4,
    CRT_ES_INT64 = 5,
    CRT_ES_BYTE_BUF = 6,
    CRT_ES_STRING = 7,
    CRT_ES_TIMESTAMP = 8,
    CRT_ES_UUID = 9,
    CRT_ES_TYPES,
} crt_es_type;

/* A view: names and bytes are borrowed. */
typedef struct crt_es_header {
    crt_bytes name;
    crt_es_type type;
    int64_t number;  /* BYTE to INT64, TIMESTAMP */
    crt_bytes bytes; /* BYTE_BUF, STRING, and the 16 of a UUID */
} crt_es_header;

/* ---- encoding ---- */

/* What a header takes on the wire. 0, or why it cannot be sent: AWS_ERROR_INVALID_ARGUMENT for the name,
   MESSAGE_INVALID_HEADERS_LEN for a value that is too long. */
CRT_FN(int, crt_es_header_size, (const crt_es_header *header, size_t *size));
/* 0 or MESSAGE_FIELD_SIZE_EXCEEDED. */
CRT_FN(int, crt_es_message_size, (size_t headers_len, size_t payload_len, size_t *size));
/* Writes a header that crt_es_header_size has accepted; gives the first byte behind it. */
CRT_FN(uint8_t *, crt_es_header_write, (uint8_t *out, const crt_es_header *header));
/* Headers (from CRT_ES_PRELUDE on) and payload are in place: adds the prelude and the CRC. */
CRT_FN(void, crt_es_message_seal, (uint8_t *message, size_t size, size_t headers_len));

/* ---- decoding ---- */

typedef struct crt_es_message {
    crt_bytes headers; /* for crt_es_headers_next */
    crt_bytes payload;
} crt_es_message;

typedef struct crt_es_headers {
    crt_bytes rest;
    size_t count; /* given so far */
} crt_es_headers;

/* The next header of a block; `rest` empty tells the end beforehand. 0, or an error of the block. */
CRT_FN(int, crt_es_headers_next, (crt_es_headers *block, crt_es_header *out));

/* Takes bytes in pieces of any size, gives messages whose lengths and CRCs are right. Zero-initialized. */
typedef struct crt_es_decoder {
    crt_buf bytes;
    size_t checked; /* of the unread bytes: complete messages, checked and not taken yet */
    size_t summed;  /* bytes of the message behind those that `crc` covers */
    uint32_t crc;
    int status; /* why no more bytes are accepted */
} crt_es_decoder;

/* Memory for the next bytes, as much as is useful; empty without memory. Ends the views that were taken. */
CRT_FN(crt_span, crt_es_decoder_space, (crt_es_decoder *decoder));
/* n bytes are in the space given last. 0 or the error, which is for good: messages before it can still be taken. */
CRT_FN(int, crt_es_decoder_add, (crt_es_decoder *decoder, size_t n));
/* False when there is no complete message. The view lasts until the next call for space. */
CRT_FN(bool, crt_es_decoder_take, (crt_es_decoder *decoder, crt_es_message *out));
static inline size_t crt_es_decoder_ready(const crt_es_decoder *decoder) {
    return decoder->checked;
}
CRT_FN(void, crt_es_decoder_clear, (crt_es_decoder *decoder));

/* ---- the channel: messages over a byte stream ---- */

typedef struct crt_es_channel crt_es_channel;

/* All on the channel's loop. */
typedef struct crt_es_channel_handler {
    /* Exactly once, first. After a failure nothing else is called. */
    void (*on_connected)(void *user, const crt_fault *fault);
    /* Messages can be taken; told again only after crt_es_channel_taken. Until then not much more is read. */
    void (*on_messages)(void *user);
    /* Exactly once after a success, last. Code 0: our own close or an orderly end. */
    void (*on_closed)(void *user, const crt_fault *fault);
} crt_es_channel_handler;

typedef struct crt_es_channel_options {
    crt_loop *loop;
    crt_resolver *resolver;
    const char *host;
    uint32_t port;
    crt_socket_options socket;
    const crt_tls_options *tls; /* NULL: plain. Copied; its server name is not taken from `host`. */
    const crt_es_channel_handler *handler;
    void *user;
} crt_es_channel_options;

/* An encoded message on its way. `data` stays untouched until `done`, called exactly once, on the loop. */
typedef struct crt_es_send {
    crt_bytes data;
    int status;        /* not 0: fail with it instead of writing */
    const bool *ended; /* NULL, or read on the loop before writing: true fails with RPC_STREAM_CLOSED */
    void (*done)(struct crt_es_send *send, int status);
    crt_task task; /* the rest is private */
    crt_write write;
    crt_es_channel *channel;
} crt_es_send;

/* Starts connecting. Any thread. *out, the caller's reference, is set before anything is called. 0, or AWS_ERROR_OOM:
   then nothing is called. */
CRT_FN(int, crt_es_channel_connect, (const crt_es_channel_options *options, crt_es_channel **out));
/* Any thread, after on_connected; in the order of the calls. Fails with RPC_CONNECTION_CLOSED once it is closing. */
CRT_FN(void, crt_es_channel_send, (crt_es_channel *channel, crt_es_send *send));
/* Any thread, after on_connected. Closes behind what was sent before, as far as the transport takes it at once. The
   first close decides on the code. */
CRT_FN(void, crt_es_channel_close, (crt_es_channel *channel, int code));
/* Loop thread, from on_messages on. */
CRT_FN(bool, crt_es_channel_take, (crt_es_channel *channel, crt_es_message *out));
/* Loop thread: what could be taken has been; reading goes on. */
CRT_FN(void, crt_es_channel_taken, (crt_es_channel *channel));
/* Any thread. It does not close: a connected channel lives on until on_closed. */
CRT_FN(void, crt_es_channel_release, (crt_es_channel *channel));

CRT_EXTERN_C_END
#endif
