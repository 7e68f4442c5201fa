/* What the allocator needs of the system; a Windows port answers these with _aligned_malloc and _msize. */
#include <stdlib.h>
#include <unistd.h>

#if defined(__APPLE__)
#include <malloc/malloc.h>
#else
#include <malloc.h>
#endif

#include "internal.h"

void *crt_raw_aligned(size_t size) {
    void *ptr = NULL;

    return posix_memalign(&ptr, (size_t)sysconf(_SC_PAGESIZE), size) == 0 ? ptr : NULL;
}

void crt_raw_aligned_free(void *ptr) {
    free(ptr);
}

size_t crt_raw_size(void *ptr) {
#if defined(__APPLE__)
    return malloc_size(ptr);
#else
    return malloc_usable_size(ptr);
#endif
}

uint64_t crt_machine_memory(void) {
    return uv_get_total_memory();
}
