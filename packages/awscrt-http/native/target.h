/*
 * Where response bodies land that the caller wants in a buffer or a file of his own.
 */
#ifndef AWSCRT_HTTP_TARGET_H
#define AWSCRT_HTTP_TARGET_H

#include "binding.h"

typedef struct awscrt_target awscrt_target;

/* GIL held. A writable buffer, or a binary file with a descriptor; NULL + exception. */
CRT_HIDDEN awscrt_target *awscrt_target_new(PyObject *object);
/* GIL held: gives the buffer back. NULL is fine. */
CRT_HIDDEN void awscrt_target_free(awscrt_target *target);
/* The loop's thread: where the next bytes may land; false when the target has no memory, or none left. */
CRT_HIDDEN bool awscrt_target_space(const awscrt_target *target, crt_span *space);
/* The loop's thread: bytes that are there, or for the file. AWS_ERROR_SHORT_BUFFER when they do not fit. */
CRT_HIDDEN int awscrt_target_take(awscrt_target *target, crt_bytes data);
CRT_HIDDEN uint64_t awscrt_target_received(const awscrt_target *target);

#endif
