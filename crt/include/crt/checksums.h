/*
 * CRCs with `previous` = the finished CRC of the preceding data, so f(b, f(a, 0)) == f(a||b, 0).
 * The fastest kernel of the machine is chosen once.
 */
#ifndef CRT_CHECKSUMS_H
#define CRT_CHECKSUMS_H

#include "crt/base.h"

CRT_EXTERN_C_BEGIN

CRT_FN(uint32_t, crt_crc32, (crt_bytes data, uint32_t previous));      /* CRC-32/ISO-HDLC */
CRT_FN(uint32_t, crt_crc32c, (crt_bytes data, uint32_t previous));     /* Castagnoli */
CRT_FN(uint64_t, crt_crc64nvme, (crt_bytes data, uint64_t previous));  /* CRC-64/NVME */
/* CRC(a||b) from CRC(a), CRC(b) and len(b). */
CRT_FN(uint32_t, crt_crc32_combine, (uint32_t a, uint32_t b, uint64_t len_b));
CRT_FN(uint32_t, crt_crc32c_combine, (uint32_t a, uint32_t b, uint64_t len_b));
CRT_FN(uint64_t, crt_crc64nvme_combine, (uint64_t a, uint64_t b, uint64_t len_b));

CRT_EXTERN_C_END
#endif
