/*
 * Allocation with a count of what is alive, and the process-wide memory budget.
 *
 * Allocation failure ends in NULL; callers return AWS_ERROR_OOM.
 */
#ifndef CRT_MEMORY_H
#define CRT_MEMORY_H

#include "crt/base.h"
#include "crt/loop.h"

CRT_EXTERN_C_BEGIN

CRT_FN(void *, crt_malloc, (size_t size));
CRT_FN(void *, crt_calloc, (size_t count, size_t size));
CRT_FN(void *, crt_realloc, (void *ptr, size_t size));
CRT_FN(void, crt_free, (void *ptr));
/* Page-aligned, for part buffers; released with crt_free_aligned. */
CRT_FN(void *, crt_malloc_aligned, (size_t size));
CRT_FN(void, crt_free_aligned, (void *ptr));
/* Copies to a terminated string; NULL source gives NULL. */
CRT_FN(char *, crt_strdup, (const char *s));
CRT_FN(char *, crt_strndup, (const void *s, size_t len));

/* Blocks alive now (allocations not yet freed). The leak tests compare it before and after. */
CRT_FN(size_t, crt_memory_live, (void));
/* Bytes alive now; 0 unless tracing was on at start (AWS_CRT_MEMORY_TRACING=1 or 2). */
CRT_FN(size_t, crt_memory_traced_bytes, (void));
/* Logs both at trace level; with AWS_CRT_MEMORY_TRACING=2 also where the blocks were allocated. */
CRT_FN(void, crt_memory_dump, (void));

/*
 * The budget is for what grows with the load: the memory of S3 parts, which waits for its share, and bytes to be sent
 * that a slow peer leaves with us, which are there already and make others wait. The default limit is
 * half of the smaller of the cgroup limit and the machine's memory, at least 64 MiB.
 */
CRT_FN(size_t, crt_budget_limit, (void));
CRT_FN(void, crt_budget_set_limit, (size_t bytes));
CRT_FN(size_t, crt_budget_used, (void));
/* Takes bytes if they fit. A request larger than the whole limit succeeds when nothing else is taken,
   so that no work can starve for ever. */
CRT_FN(bool, crt_budget_try_take, (size_t bytes));
CRT_FN(void, crt_budget_give_back, (size_t bytes));
/* Adds to (or, negative, subtracts from) what is in use, beyond the limit if need be. Takes a lock: not per message. */
CRT_FN(void, crt_budget_charge, (ptrdiff_t change));

/* Waits in line (first come, first served); `task` is posted to `loop` once the bytes are taken. */
typedef struct crt_budget_wait {
    size_t bytes;
    crt_loop *loop;
    crt_task task; /* set run before the call; status 0 = granted, else nothing is held */
    struct crt_budget_wait *next;
    int state; /* private: 0 idle, 1 waiting, 2 granted */
    void (*run)(crt_task *task, int status); /* private */
} crt_budget_wait;

CRT_FN(void, crt_budget_take_later, (crt_budget_wait *wait));
/* True: left the line, the task will not run. False: already granted, the task runs or ran. */
CRT_FN(bool, crt_budget_cancel, (crt_budget_wait *wait));

CRT_EXTERN_C_END
#endif
