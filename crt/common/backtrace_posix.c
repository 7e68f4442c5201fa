/* Backtraces; systems without <execinfo.h> (musl) have none. */
#include <stdlib.h>
#include <unistd.h>

#if defined(__has_include)
#if __has_include(<execinfo.h>)
#define HAS_EXECINFO
#include <execinfo.h>
#endif
#endif

#include "internal.h"

size_t crt_backtrace(void **frames, size_t capacity) {
#if defined(HAS_EXECINFO)
    int count = backtrace(frames, (int)capacity);

    return count > 0 ? (size_t)count : 0;
#else
    return 0;
#endif
}

void crt_backtrace_print(void **frames, size_t count) {
#if defined(HAS_EXECINFO)
    backtrace_symbols_fd(frames, (int)count, STDERR_FILENO);
#endif
}

char **crt_backtrace_names(void **frames, size_t count) {
#if defined(HAS_EXECINFO)
    return backtrace_symbols(frames, (int)count);
#else
    return NULL;
#endif
}
