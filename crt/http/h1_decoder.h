/*
 * HTTP/1.1 responses (RFC 9112) as a pure state machine: bytes in, events out. No I/O, no clock.
 *
 * The caller keeps the unread bytes contiguous and passes all of them each time; every event says how many are
 * done with. Anything two parties could read differently (RFC 9112 section 11.1, request smuggling) is an error:
 * bare LF, folded lines, repeated or conflicting framing headers, space around names.
 */
#ifndef CRT_H1_DECODER_H
#define CRT_H1_DECODER_H

#include "crt/http.h"

enum {
    CRT_H1_HEAD_LIMIT = 256 * 1024, /* status line and headers, or all trailers */
    CRT_H1_CHUNK_LINE_LIMIT = 1024,
};

enum crt_h1_event_kind {
    CRT_H1_NEED_DATA, /* nothing more to say about this input; call again with more */
    CRT_H1_INTERIM,   /* an informational head, other than 101, is in the decoder; the final one is still to come */
    CRT_H1_HEAD,      /* the final head is in the decoder: status, headers (views of the input) */
    CRT_H1_BODY,      /* `body` is a view of the input */
    CRT_H1_BLOCKED,   /* body bytes are there, but max_body was 0 */
    CRT_H1_TRAILERS,  /* the body is over; its trailers, at least one, are in `headers` (views of the input) */
    CRT_H1_END,       /* the response is complete; begin before the next one */
    CRT_H1_ERROR,     /* `detail` says what is wrong; for ever */
};

typedef struct crt_h1_event {
    enum crt_h1_event_kind kind;
    size_t consumed; /* bytes of the input to drop before the next call */
    crt_bytes body;
} crt_h1_event;

enum crt_h1_request_kind { CRT_H1_REQUEST_OTHER, CRT_H1_REQUEST_HEAD, CRT_H1_REQUEST_CONNECT };

typedef struct crt_h1_decoder {
    /* Valid from CRT_H1_INTERIM or CRT_H1_HEAD on */
    int status;
    int version;      /* enum crt_http_version */
    bool close;       /* the peer ends the connection after this response */
    crt_http_header *headers;
    size_t header_count;
    const char *detail; /* valid after CRT_H1_ERROR; static storage */

    /* private */
    int state;
    enum crt_h1_request_kind request;
    size_t header_capacity;
    size_t scanned;     /* bytes of an unfinished head or line that were looked at already */
    size_t line_start;  /* of the line being scanned */
    size_t checked;     /* whole lines of the block up to here are well-formed */
    uint64_t remaining; /* of the body, or of the chunk */
    uint64_t content_length;
    bool has_content_length;
    bool chunked;
} crt_h1_decoder;

CRT_HIDDEN void crt_h1_decoder_init(crt_h1_decoder *d);
CRT_HIDDEN void crt_h1_decoder_free(crt_h1_decoder *d);

/* The next bytes are the response to this kind of request. */
CRT_HIDDEN void crt_h1_decoder_begin(crt_h1_decoder *d, enum crt_h1_request_kind request);

/* At most max_body bytes come out as one CRT_H1_BODY. `input` may be empty: an end can be due without bytes. */
CRT_HIDDEN crt_h1_event crt_h1_decoder_next(crt_h1_decoder *d, crt_bytes input, uint64_t max_body);

/* Body bytes that certainly come next in the stream; UINT64_MAX until the connection closes. They may be read
   past the decoder, which is then told by crt_h1_decoder_skip. */
CRT_HIDDEN uint64_t crt_h1_decoder_raw_body(const crt_h1_decoder *d);
CRT_HIDDEN void crt_h1_decoder_skip(crt_h1_decoder *d, uint64_t n);

/* What is left of a body of known length; UINT64_MAX for chunked and until-close. */
CRT_HIDDEN uint64_t crt_h1_decoder_body_left(const crt_h1_decoder *d);

/* The peer ended the stream. True when that ends the response as well: next gives CRT_H1_END. */
CRT_HIDDEN bool crt_h1_decoder_eof(crt_h1_decoder *d);

#endif
