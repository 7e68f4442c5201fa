/*
 * Where request bodies come from: memory, a range of a file, or a reader that is asked for more.
 * Memory and files are sent without copies; a reader fills the span it is given.
 */
#ifndef CRT_SOURCE_H
#define CRT_SOURCE_H

#include "crt/loop.h"

CRT_EXTERN_C_BEGIN

typedef struct crt_source crt_source;

/* Exactly once per read, on the loop the read was asked from; never inside the read call. `eof` may come
   with the last bytes or alone. */
typedef void (*crt_source_done)(void *user, int status, size_t n, bool eof);

enum crt_source_kind { CRT_SOURCE_MEMORY, CRT_SOURCE_FILE, CRT_SOURCE_READER };

typedef struct crt_source_ops {
    /* READER: fills up to space.len (> 0) bytes. One read at a time. */
    void (*read)(crt_source *source, crt_loop *loop, crt_span space, crt_source_done done, void *user);
    /* READER: back to the start; 0 or an error when it cannot. GIL and threads are the source's business. */
    int (*rewind)(crt_source *source);
    void (*destroy)(crt_source *source);
} crt_source_ops;

struct crt_source {
    const crt_source_ops *ops;
    crt_refcount refs;
    enum crt_source_kind kind;
    crt_bytes memory;  /* MEMORY; lives as long as the source */
    int fd;            /* FILE */
    uint64_t offset;   /* FILE: first byte */
    uint64_t length;   /* FILE and MEMORY: exact; READER: UINT64_MAX when unknown */
};

static inline void crt_source_acquire(crt_source *s) {
    crt_ref_inc(&s->refs);
}
static inline void crt_source_release(crt_source *s) {
    if (s && crt_ref_dec(&s->refs)) {
        s->ops->destroy(s);
    }
}

CRT_EXTERN_C_END
#endif
