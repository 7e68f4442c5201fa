/*
 * A table of the blocks that are alive, with the backtraces of their allocation.
 *
 * It is entered while any other lock may be held, also when the process forks. So its lock is not one that is held
 * across fork(): it knows the generation, and one left locked by a parent's thread counts as free. That is safe since
 * every change of the table is a single store.
 */
#include "memory_trace.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "crt/log.h"
#include "crt/loop.h"
#include "internal.h"

enum {
    BUCKETS = 1 << 14,
    GROUPS_SHOWN = 50,
    FRAMES = 12, /* further out is the interpreter */
};

typedef struct block {
    struct block *next;
    void *ptr;
    size_t size;
    size_t count; /* of blocks with this backtrace, in a dump */
    void *frames[FRAMES];
} block;

static block *buckets[BUCKETS];
static uint64_t lock; /* generation * 2 + held */

static void lock_table(void) {
    uint64_t generation = (uint64_t)crt_fork_generation() * 2;
    uint64_t seen = __atomic_load_n(&lock, __ATOMIC_RELAXED);

    for (;;) {
        if (seen == generation + 1) {
            sched_yield();
            seen = __atomic_load_n(&lock, __ATOMIC_RELAXED);
        } else if (__atomic_compare_exchange_n(&lock, &seen, generation + 1, true, __ATOMIC_ACQUIRE,
                                               __ATOMIC_RELAXED)) {
            return;
        }
    }
}

static void unlock_table(void) {
    __atomic_store_n(&lock, (uint64_t)crt_fork_generation() * 2, __ATOMIC_RELEASE);
}

static block **bucket_of(const void *ptr) {
    return &buckets[((uintptr_t)ptr >> 4) * 2654435761u % BUCKETS];
}

void crt_memory_trace_add(void *ptr, size_t size) {
    block *b = calloc(1, sizeof(*b)); /* not counted: it is ours */
    block **bucket = bucket_of(ptr);

    if (!b) {
        return; /* the dump misses one */
    }
    b->ptr = ptr;
    b->size = size;
    b->count = 1;
    crt_backtrace(b->frames, FRAMES);
    lock_table();
    b->next = *bucket;
    __atomic_store_n(bucket, b, __ATOMIC_RELEASE);
    unlock_table();
}

void crt_memory_trace_remove(void *ptr) {
    block **link, *gone;

    lock_table();
    for (link = bucket_of(ptr); *link && (*link)->ptr != ptr; link = &(*link)->next) {
    }
    gone = *link;
    if (gone) {
        __atomic_store_n(link, gone->next, __ATOMIC_RELEASE);
    }
    unlock_table();
    free(gone);
}

/* A copy of everything, in memory that is not counted; NULL without memory or blocks. */
static block *copy_all(size_t *count) {
    block *copy = NULL;
    const block *b;
    size_t i, n = 0;

    lock_table();
    for (i = 0; i < BUCKETS; i++) {
        for (b = buckets[i]; b; b = b->next) {
            n++;
        }
    }
    copy = n ? malloc(n * sizeof(*copy)) : NULL;
    n = 0;
    for (i = 0; copy && i < BUCKETS; i++) {
        for (b = buckets[i]; b; b = b->next) {
            copy[n++] = *b;
        }
    }
    unlock_table();
    *count = n;
    return copy;
}

static int by_frames(const void *a, const void *b) {
    return memcmp(((const block *)a)->frames, ((const block *)b)->frames, sizeof(((const block *)a)->frames));
}

static int largest_first(const void *a, const void *b) {
    size_t left = ((const block *)a)->size, right = ((const block *)b)->size;

    return left < right ? 1 : left > right ? -1 : 0;
}

/* Adds up the blocks with equal backtraces; how many are left. */
static size_t group(block *blocks, size_t count) {
    size_t groups = 0, i;

    qsort(blocks, count, sizeof(*blocks), by_frames);
    for (i = 0; i < count; i++) {
        if (groups > 0 && by_frames(&blocks[groups - 1], &blocks[i]) == 0) {
            blocks[groups - 1].size += blocks[i].size;
            blocks[groups - 1].count++;
        } else {
            blocks[groups++] = blocks[i];
        }
    }
    qsort(blocks, groups, sizeof(*blocks), largest_first);
    return groups;
}

static void log_group(const block *b) {
    void *frames[FRAMES];
    size_t count = 0, i;
    char **names;

    memcpy(frames, b->frames, sizeof(frames));
    while (count < FRAMES && frames[count]) {
        count++;
    }
    names = count ? crt_backtrace_names(frames, count) : NULL;
    CRT_LOG(CRT_LOG_TRACE, CRT_LS_MEMTRACE, "%zu bytes in %zu block(s), allocated by", b->size, b->count);
    for (i = 0; names && i < count; i++) {
        CRT_LOG(CRT_LOG_TRACE, CRT_LS_MEMTRACE, "  %s", names[i]);
    }
    free(names);
}

void crt_memory_trace_dump(void) {
    size_t count, groups, i;
    block *blocks = copy_all(&count);

    if (!blocks) {
        return;
    }
    groups = group(blocks, count);
    for (i = 0; i < groups && i < GROUPS_SHOWN; i++) {
        log_group(&blocks[i]);
    }
    if (groups > GROUPS_SHOWN) {
        CRT_LOG(CRT_LOG_TRACE, CRT_LS_MEMTRACE, "and %zu more places", groups - GROUPS_SHOWN);
    }
    free(blocks);
}
