/*
 * What the two halves of the log share: log.c queues records, log_file.c formats and writes them.
 */
#ifndef CRT_COMMON_LOG_INTERNAL_H
#define CRT_COMMON_LOG_INTERNAL_H

#include "crt/log.h"
#include "internal.h"

enum { CRT_LOG_MESSAGE_MAX = 64 << 10 }; /* longer messages are cut */

typedef struct crt_log_file crt_log_file;

/* NULL when the destination cannot be opened or there is no memory. */
CRT_HIDDEN crt_log_file *crt_log_file_open(const char *destination);
CRT_HIDDEN void crt_log_file_close(crt_log_file *file);
/* Never waits for ever: what cannot be written is lost. Returns how many records that were. Writer thread only. */
CRT_HIDDEN size_t crt_log_file_write(crt_log_file *file, crt_log_batch *batch);

#endif
