/*
 * HTTP messages of a transfer, made from the caller's message: which of its headers go on which request.
 */
#ifndef CRT_S3_MESSAGE_H
#define CRT_S3_MESSAGE_H

#include "crt/http.h"

/* Kinds of HTTP requests; also the bits of the header filter. */
enum crt_s3_operation {
    CRT_S3_OP_PLAIN,    /* as the caller wrote it */
    CRT_S3_OP_HEAD,     /* discovery */
    CRT_S3_OP_GET,      /* a range */
    CRT_S3_OP_FIRST_PART, /* GET ?partNumber=1: tells an empty object from a bad range */
    CRT_S3_OP_CREATE,
    CRT_S3_OP_PART,
    CRT_S3_OP_COMPLETE,
    CRT_S3_OP_ABORT,
};

/* Names as in the S3 API; NULL for PLAIN. */
const char *crt_s3_operation_name(enum crt_s3_operation operation);

/* A new message with the caller's method, path and headers as the operation wants them. NULL: no memory. */
crt_http_message *crt_s3_message_for(const crt_http_message *original, enum crt_s3_operation operation);
/* A full copy, body source referenced. */
crt_http_message *crt_s3_message_copy(const crt_http_message *original);

/* Appends "name=value" (value may be NULL) to the path's query. */
int crt_s3_message_add_query(crt_http_message *message, const char *name, const char *value);
int crt_s3_message_set(crt_http_message *message, const char *name, const char *value);
int crt_s3_message_set_u64(crt_http_message *message, const char *name, uint64_t value);
int crt_s3_message_set_range(crt_http_message *message, uint64_t first, uint64_t last);
/* Appends our product to the caller's User-Agent. */
int crt_s3_message_set_user_agent(crt_http_message *message);

/* True when the path's query has that key. */
bool crt_s3_path_has_query_key(crt_bytes path, const char *key);
bool crt_s3_header(const crt_http_headers *headers, const char *name, crt_bytes *value);
bool crt_s3_bytes_are(crt_bytes text, const char *expected); /* without ASCII case */

#endif
