/*
 * What the processor can do (private to this room). Asked once per kernel table, never per call.
 */
#ifndef CRT_CHECKSUMS_CPU_H
#define CRT_CHECKSUMS_CPU_H

#include "crt/base.h"

#if defined(__x86_64__) && defined(__GNUC__)
#define CRT_CPU_X86 1
CRT_HIDDEN bool crt_cpu_has_sse42(void);
CRT_HIDDEN bool crt_cpu_has_pclmul(void); /* and SSE4.1 */
CRT_HIDDEN bool crt_cpu_has_avx2(void);
CRT_HIDDEN bool crt_cpu_has_avx512(void); /* F, BW, DQ and VL */
CRT_HIDDEN bool crt_cpu_has_vpclmul(void); /* on 512-bit registers */
CRT_HIDDEN bool crt_cpu_has_gfni512(void); /* GFNI on 512-bit registers */
/* Whether carry-less multiplication is slow beside other instructions on 512-bit registers. */
CRT_HIDDEN bool crt_cpu_prefers_gfni(void);
/* False when the environment says AWS_COMMON_AVX2=0: no kernel wider than 128 bits. */
CRT_HIDDEN bool crt_cpu_wide_allowed(void);
#endif

#if defined(__aarch64__) && defined(__GNUC__) && (defined(__linux__) || defined(__APPLE__))
#define CRT_CPU_ARM 1
CRT_HIDDEN bool crt_cpu_has_arm_crc(void);
CRT_HIDDEN bool crt_cpu_has_pmull(void);
#endif

#endif
