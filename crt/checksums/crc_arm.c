/*
 * ARMv8 kernels: the CRC32 and CRC32C instructions, eight bytes each.
 */
#include "crc_engine.h"

#ifdef CRT_CRC_ARM

#include <arm_acle.h>

#if defined(__clang__)
#define TARGET_CRC __attribute__((target("crc")))
#else
#define TARGET_CRC __attribute__((target("+crc")))
#endif

#if defined(__APPLE__)
/* Every Apple processor of this architecture has them. */
bool crt_cpu_has_arm_crc(void) {
    return true;
}
#else
#include <sys/auxv.h>

/* HWCAP_CRC32 of <asm/hwcap.h>, part of Linux' stable interface. */
#define AUX_HWCAP_CRC32 (1UL << 7)

bool crt_cpu_has_arm_crc(void) {
    return (getauxval(AT_HWCAP) & AUX_HWCAP_CRC32) != 0;
}
#endif

TARGET_CRC uint64_t crt_crc32_arm(const crt_crc_engine *engine, uint64_t state, const uint8_t *data, size_t len) {
    (void)engine;
    uint32_t crc = (uint32_t)state;
    for (; len >= 8; len -= 8, data += 8) {
        uint64_t word;
        memcpy(&word, data, sizeof(word));
        crc = __crc32d(crc, word);
    }
    for (; len > 0; len--, data++) {
        crc = __crc32b(crc, *data);
    }
    return crc;
}

TARGET_CRC uint64_t crt_crc32c_arm(const crt_crc_engine *engine, uint64_t state, const uint8_t *data, size_t len) {
    (void)engine;
    uint32_t crc = (uint32_t)state;
    for (; len >= 8; len -= 8, data += 8) {
        uint64_t word;
        memcpy(&word, data, sizeof(word));
        crc = __crc32cd(crc, word);
    }
    for (; len > 0; len--, data++) {
        crc = __crc32cb(crc, *data);
    }
    return crc;
}

#endif
