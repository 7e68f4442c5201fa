/*
 * The few facts the engine wants of S3's XML replies, and the one document it writes.
 */
#ifndef CRT_S3_XML_H
#define CRT_S3_XML_H

#include "crt/buffer.h"

/*
 * Text of the first element at `path` ("Error/Code"), as UTF-8 with entities decoded, cut to size - 1 bytes and
 * terminated. False when the document is malformed before that element ends, has a DTD, or lacks the element.
 */
bool crt_s3_xml_text(crt_bytes document, const char *path, char *out, size_t size);

/* Body of CompleteMultipartUpload. ETags come as the server sent them; quotes are left out. */
int crt_s3_xml_complete_begin(crt_buf *out);
int crt_s3_xml_complete_part(crt_buf *out, uint32_t number, crt_bytes etag);
int crt_s3_xml_complete_end(crt_buf *out);

#endif
