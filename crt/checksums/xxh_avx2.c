/*
 * XXH3 on AVX2 registers; run only where the processor has them.
 */
#include "cpu.h"

#ifdef CRT_CPU_X86

/* Before the target changes: the headers' own functions carry their targets. */
#include <immintrin.h>
#include <stdlib.h>
#include <string.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2")
#endif

#define XXH_VECTOR 2 /* XXH_AVX2, a name that exists only inside the library's header */
#define XXH_KERNEL crt_xxh_avx2
#define XXH_KERNEL_NAME "avx2"
#include "xxh_kernel.h"

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif
