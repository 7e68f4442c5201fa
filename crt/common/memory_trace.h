/* Which blocks are alive, and who asked for them: AWS_CRT_MEMORY_TRACING=2. For memory.c. */
#ifndef CRT_COMMON_MEMORY_TRACE_H
#define CRT_COMMON_MEMORY_TRACE_H

#include "crt/base.h"

CRT_HIDDEN void crt_memory_trace_add(void *ptr, size_t size);
/* Before the block is freed: its address may be given to somebody else right after. */
CRT_HIDDEN void crt_memory_trace_remove(void *ptr);
/* Logs the blocks alive, those with the same backtrace together, the largest first. */
CRT_HIDDEN void crt_memory_trace_dump(void);

#endif
