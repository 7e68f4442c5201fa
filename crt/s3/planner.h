/*
 * The arithmetic of transfers: connection counts, part sizes, ranges and their order. Pure functions.
 */
#ifndef CRT_S3_PLANNER_H
#define CRT_S3_PLANNER_H

#include "crt/base.h"

#define CRT_S3_KIB ((uint64_t)1024)
#define CRT_S3_MIB (CRT_S3_KIB * 1024)
#define CRT_S3_GIB (CRT_S3_MIB * 1024)

enum { CRT_S3_MAX_PARTS = 10000 };
#define CRT_S3_PART_DEFAULT (8 * CRT_S3_MIB)
#define CRT_S3_UPLOAD_PART_MIN (5 * CRT_S3_MIB) /* S3 refuses smaller parts but for the last */
#define CRT_S3_PART_MAX (5 * CRT_S3_GIB)
#define CRT_S3_MEMORY_MIN (256 * CRT_S3_MIB)
#define CRT_S3_MEMORY_RESERVED (128 * CRT_S3_MIB) /* of the limit, for everything but part buffers */
#define CRT_S3_UNKNOWN UINT64_MAX

/* Connections that a throughput asks for, at 0.4 Gbps each. */
uint64_t crt_s3_plan_connections(double gbps);
/* Memory limit that goes with a throughput target; 0 when none was given. */
uint64_t crt_s3_plan_memory_limit(double gbps);
/* Largest part of an upload under a memory limit. */
uint64_t crt_s3_plan_largest_part(uint64_t memory_limit);

/* Part size of a download for which nobody asked for one. `etag` tells how many parts the object was stored in. */
uint64_t crt_s3_plan_download_part(crt_bytes etag, uint64_t object_size, uint64_t memory_limit, uint64_t connections);

typedef struct crt_s3_upload_sizes {
    uint64_t length;             /* or CRT_S3_UNKNOWN */
    uint64_t client_part;        /* base part size of the client */
    uint64_t request_part;       /* 0: not given */
    uint64_t client_threshold;   /* 0: not given */
    uint64_t request_threshold;  /* 0: not given */
} crt_s3_upload_sizes;

typedef struct crt_s3_upload_plan {
    bool multipart;
    uint64_t part_size;
    uint64_t parts; /* 0 when the length is unknown */
} crt_s3_upload_plan;

crt_s3_upload_plan crt_s3_plan_upload(const crt_s3_upload_sizes *sizes);

/*
 * Parts of a download: the first `head` bytes are part 0, all others have `part_size` bytes but the last.
 * Offsets are relative to the first byte of the download.
 */
typedef struct crt_s3_parts {
    uint64_t head;
    uint64_t part_size;
    uint64_t total;
} crt_s3_parts;

uint64_t crt_s3_parts_count(const crt_s3_parts *parts);
void crt_s3_parts_at(const crt_s3_parts *parts, uint64_t index, uint64_t *offset, uint64_t *length);

/*
 * The i-th of `count` parts to ask for when they may arrive in any order: one of each of `ways` regions in turn,
 * so that concurrent requests sit far apart in the object. In order when there are no more parts than ways.
 */
uint64_t crt_s3_plan_spread(uint64_t i, uint64_t count, uint64_t ways);

/* ---- Range and Content-Range (RFC 9110, 14) ---- */

enum crt_s3_range_kind { CRT_S3_RANGE_OPEN, CRT_S3_RANGE_CLOSED, CRT_S3_RANGE_SUFFIX };

typedef struct crt_s3_range {
    enum crt_s3_range_kind kind;
    uint64_t first; /* OPEN, CLOSED */
    uint64_t last;  /* CLOSED: inclusive; SUFFIX: how many bytes from the end */
} crt_s3_range;

/* "bytes=a-b", "bytes=a-", "bytes=-n"; false for anything else, several ranges included. */
bool crt_s3_parse_range(crt_bytes value, crt_s3_range *out);
/* "bytes a-b/size" */
bool crt_s3_parse_content_range(crt_bytes value, uint64_t *first, uint64_t *last, uint64_t *size);
/* Decimal digits only, no overflow. */
bool crt_s3_parse_u64(crt_bytes digits, uint64_t *out);

#endif
