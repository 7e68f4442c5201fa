/*
 * CRCs and xxHash. The fastest kernel of the machine is chosen on first use; AWS_COMMON_AVX2=0 in the environment keeps
 * it to 128-bit registers.
 */
#ifndef CRT_CHECKSUMS_H
#define CRT_CHECKSUMS_H

#include "crt/base.h"

CRT_EXTERN_C_BEGIN

/* `previous` is the finished CRC of the preceding data: f(b, f(a, 0)) == f(a||b, 0). */
CRT_FN(uint32_t, crt_crc32, (crt_bytes data, uint32_t previous));     /* CRC-32/ISO-HDLC */
CRT_FN(uint32_t, crt_crc32c, (crt_bytes data, uint32_t previous));    /* Castagnoli */
CRT_FN(uint64_t, crt_crc64nvme, (crt_bytes data, uint64_t previous)); /* CRC-64/NVME */
/* CRC(a||b) from CRC(a), CRC(b) and len(b). */
CRT_FN(uint32_t, crt_crc32_combine, (uint32_t a, uint32_t b, uint64_t len_b));
CRT_FN(uint32_t, crt_crc32c_combine, (uint32_t a, uint32_t b, uint64_t len_b));
CRT_FN(uint64_t, crt_crc64nvme_combine, (uint64_t a, uint64_t b, uint64_t len_b));

/* xxHash; results are written big-endian, as its specification has them ("canonical"). */
enum crt_xxh_kind { CRT_XXH64, CRT_XXH3_64, CRT_XXH3_128 };
#define CRT_XXH_MAX 16
CRT_FN(size_t, crt_xxh_size, (enum crt_xxh_kind kind)); /* 8, 8, 16 */
CRT_FN(void, crt_xxh, (enum crt_xxh_kind kind, crt_bytes data, uint64_t seed, uint8_t *out));

/* Piece by piece. A digest may be taken at any time and does not end the stream. Not for two threads at once. */
typedef struct crt_xxh_stream crt_xxh_stream;
CRT_FN(int, crt_xxh_stream_new, (enum crt_xxh_kind kind, uint64_t seed, crt_xxh_stream **out));
CRT_FN(void, crt_xxh_stream_update, (crt_xxh_stream * stream, crt_bytes data));
CRT_FN(void, crt_xxh_stream_digest, (const crt_xxh_stream *stream, uint8_t *out));
CRT_FN(void, crt_xxh_stream_free, (crt_xxh_stream * stream)); /* NULL is fine */

#if !defined(CRT_CORE_VIA_TABLE)
/* Names of the kernels in use ("portable", "pclmul", "avx512", ...), for diagnostics. */
CRT_HIDDEN const char *crt_crc32_kernel(void);
CRT_HIDDEN const char *crt_crc32c_kernel(void);
CRT_HIDDEN const char *crt_crc64nvme_kernel(void);
CRT_HIDDEN const char *crt_xxh3_kernel(void);
#endif

CRT_EXTERN_C_END
#endif
