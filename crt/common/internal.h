/*
 * What the files of this room, and io, share with nobody else: threads, forks, what the machine grants us.
 */
#ifndef CRT_COMMON_INTERNAL_H
#define CRT_COMMON_INTERNAL_H

#include <uv.h>

#include "crt/base.h"

/* ---- threads (thread_posix.c) ---- */

enum { CRT_THREAD_NAME_SIZE = 16 }; /* the kernel's limit, terminator included */

/*
 * Starts a thread that takes no signals but those it causes itself, so that those of the process keep reaching the
 * main thread. 0 or a code.
 */
CRT_HIDDEN int crt_thread_create(uv_thread_t *thread, uv_thread_cb entry, void *arg);
/* Names the calling thread; longer names are cut. */
CRT_HIDDEN void crt_thread_set_name(const char *name);
CRT_HIDDEN void crt_thread_get_name(char name[CRT_THREAD_NAME_SIZE]);
CRT_HIDDEN uint64_t crt_thread_id(void);

/* ---- forks (fork_posix.c) ---- */

/*
 * A module with a process-wide lock holds it across fork(), so that the child finds consistent data. The
 * functions run in the forking thread; none of those locks may be taken while another of them is held.
 */
typedef struct crt_fork_hook {
    void (*before)(void);
    void (*in_parent)(void);
    void (*in_child)(void);
    struct crt_fork_hook *next;
} crt_fork_hook;

/* `hook` is static and registered once. */
CRT_HIDDEN void crt_fork_watch(crt_fork_hook *hook);

/* ---- backtraces (backtrace_posix.c) ---- */

enum { CRT_FRAMES_MAX = 32 };

/* The calling thread's stack, innermost first; how many frames. 0 where the system cannot tell. */
CRT_HIDDEN size_t crt_backtrace(void **frames, size_t capacity);
/* To standard error, without allocating. */
CRT_HIDDEN void crt_backtrace_print(void **frames, size_t count);
/* One text for each; one free() for all. NULL without memory. */
CRT_HIDDEN char **crt_backtrace_names(void **frames, size_t count);

/* ---- the machine (machine_posix.c, cgroup_posix.c, memory_posix.c) ---- */

/* Limits of the control groups this process is in; UINT64_MAX and 0 when there are none. */
CRT_HIDDEN uint64_t crt_cgroup_memory_limit(void);
CRT_HIDDEN uint32_t crt_cgroup_cpu_quota(void); /* whole processors, rounded up */

CRT_HIDDEN uint64_t crt_machine_memory(void);
/* Processors of a NUMA node that this process may use, one of each core; how many there are, 0 for an unknown node. */
CRT_HIDDEN size_t crt_node_cpus(int node, uint16_t *cpus, size_t capacity);
CRT_HIDDEN void crt_thread_pin(uint16_t cpu);

/* Allocator parts that differ between systems. */
CRT_HIDDEN void *crt_raw_aligned(size_t size);
CRT_HIDDEN void crt_raw_aligned_free(void *ptr);
CRT_HIDDEN size_t crt_raw_size(void *ptr);

#endif
