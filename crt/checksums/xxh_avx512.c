/*
 * XXH3 on AVX-512 registers; run only where the processor has them.
 */
#include "cpu.h"

#ifdef CRT_CPU_X86

/* Before the target changes: the headers' own functions carry their targets. */
#include <immintrin.h>
#include <stdlib.h>
#include <string.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl")
#endif

#define XXH_VECTOR 3 /* XXH_AVX512, a name that exists only inside the library's header */
#define XXH_KERNEL crt_xxh_avx512
#define XXH_KERNEL_NAME "avx512"
#include "xxh_kernel.h"

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif
