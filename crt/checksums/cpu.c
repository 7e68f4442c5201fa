/*
 * Processor features, and the environment's word on wide registers.
 */
#include "cpu.h"

#ifdef CRT_CPU_X86

#include <cpuid.h>
#include <stdlib.h>

bool crt_cpu_has_sse42(void) {
    return __builtin_cpu_supports("sse4.2");
}

bool crt_cpu_has_pclmul(void) {
    return __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("sse4.1");
}

/* The builtins also ask the operating system whether it saves the wide registers. */
bool crt_cpu_has_avx2(void) {
    return __builtin_cpu_supports("avx2");
}

bool crt_cpu_has_avx512(void) {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

bool crt_cpu_has_vpclmul(void) {
    return crt_cpu_has_avx512() && crt_cpu_has_pclmul() && __builtin_cpu_supports("vpclmulqdq");
}

bool crt_cpu_has_gfni512(void) {
    return crt_cpu_has_avx512() && __builtin_cpu_supports("gfni");
}

/*
 * AMD's processors from family 1Ah (Zen 5) on: one multiplication in two cycles, but three affine transformations in
 * the same time beside it. Intel's multiply faster, and on others the kernel has not been measured.
 */
bool crt_cpu_prefers_gfni(void) {
    unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
    if (!__builtin_cpu_is("amd") || !__get_cpuid(1, &eax, &ebx, &ecx, &edx)) {
        return false;
    }
    unsigned family = (eax >> 8 & 0xf) + (eax >> 20 & 0xff); /* base and extended */
    return family >= 0x1a;
}

bool crt_cpu_wide_allowed(void) {
    const char *value = getenv("AWS_COMMON_AVX2");
    return !value || strcmp(value, "0") != 0;
}

#endif

#ifdef CRT_CPU_ARM

#if defined(__APPLE__)
/* Every Apple processor of this architecture has both. */
bool crt_cpu_has_arm_crc(void) {
    return true;
}
bool crt_cpu_has_pmull(void) {
    return true;
}
#else
#include <sys/auxv.h>

/* HWCAP_PMULL and HWCAP_CRC32 of <asm/hwcap.h>, part of Linux' stable interface. */
#define AUX_HWCAP_PMULL (1UL << 4)
#define AUX_HWCAP_CRC32 (1UL << 7)

bool crt_cpu_has_arm_crc(void) {
    return (getauxval(AT_HWCAP) & AUX_HWCAP_CRC32) != 0;
}
bool crt_cpu_has_pmull(void) {
    return (getauxval(AT_HWCAP) & AUX_HWCAP_PMULL) != 0;
}
#endif

#endif
