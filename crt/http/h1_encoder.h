/*
 * HTTP/1.1 requests: checks a message before anything is sent, and writes its head in one go.
 */
#ifndef CRT_H1_ENCODER_H
#define CRT_H1_ENCODER_H

#include "crt/http.h"
#include "h1_decoder.h"

/* How requests are changed on the way through a forwarding proxy (RFC 9112 section 3.2.2). */
typedef struct crt_h1_forward {
    crt_bytes origin;        /* "http://host:port", goes before the path */
    crt_bytes authorization; /* value of Proxy-Authorization; empty: none. Replaces the message's own. */
} crt_h1_forward;

enum crt_h1_framing { CRT_H1_NO_BODY, CRT_H1_LENGTH, CRT_H1_CHUNKED };

typedef struct crt_h1_request {
    enum crt_h1_request_kind kind;
    enum crt_h1_framing framing;
    uint64_t content_length; /* > 0 with CRT_H1_LENGTH */
    bool close;              /* asks to end the connection: the last request on it */
    bool expects_continue;   /* Expect: 100-continue */
    size_t head_len;
} crt_h1_request;

/* 0 or the error of the first rule that the message breaks. `forward` may be NULL. `writes`: more of the body comes
   than the message holds. */
CRT_HIDDEN int crt_h1_check_request(const crt_http_message *message, const crt_h1_forward *forward, bool writes,
                                    crt_h1_request *request);

/* Writes request->head_len bytes. */
CRT_HIDDEN void crt_h1_write_head(const crt_http_message *message, const crt_h1_forward *forward,
                                  const crt_h1_request *request, uint8_t *out);

#endif
