#include "planner.h"

#define GBPS_PER_CONNECTION 0.4
#define CONNECTIONS_MAX 10000
#define DYNAMIC_PART_MAX (2 * CRT_S3_GIB)

static uint64_t min_u64(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

static uint64_t max_u64(uint64_t a, uint64_t b) {
    return a > b ? a : b;
}

static uint64_t ceil_div(uint64_t n, uint64_t d) {
    return n / d + (n % d != 0);
}

static uint64_t round_up(uint64_t n, uint64_t multiple) {
    return ceil_div(n, multiple) * multiple;
}

uint64_t crt_s3_plan_connections(double gbps) {
    double wanted = gbps / GBPS_PER_CONNECTION;
    if (wanted >= CONNECTIONS_MAX) {
        return CONNECTIONS_MAX;
    }
    uint64_t whole = (uint64_t)wanted;
    return whole + ((double)whole < wanted);
}

uint64_t crt_s3_plan_memory_limit(double gbps) {
    static const struct {
        double gbps;
        uint64_t limit;
    } rows[] = {
        {200, 24 * CRT_S3_GIB}, {100, 16 * CRT_S3_GIB}, {75, 8 * CRT_S3_GIB},
        {25, 4 * CRT_S3_GIB},   {10, 2 * CRT_S3_GIB},   {5, 512 * CRT_S3_MIB},
    };
    if (gbps <= 0) {
        return 2 * CRT_S3_GIB;
    }
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (gbps >= rows[i].gbps) {
            return rows[i].limit;
        }
    }
    return CRT_S3_MEMORY_MIN;
}

uint64_t crt_s3_plan_largest_part(uint64_t memory_limit) {
    return min_u64(memory_limit / 2, CRT_S3_PART_MAX);
}

/* The N of an ETag "hash-N": how many parts the object was uploaded in. 0 when the ETag does not say. */
static uint64_t parts_of_etag(crt_bytes etag) {
    while (etag.len && (etag.ptr[0] == '"' || etag.ptr[0] == ' ')) {
        etag.ptr++;
        etag.len--;
    }
    while (etag.len && (etag.ptr[etag.len - 1] == '"' || etag.ptr[etag.len - 1] == ' ')) {
        etag.len--;
    }
    const uint8_t *dash = etag.len ? memchr(etag.ptr, '-', etag.len) : NULL;
    if (!dash) {
        return 1;
    }
    uint64_t parts = 0;
    crt_bytes digits = crt_bytes_of(dash + 1, etag.len - (size_t)(dash + 1 - etag.ptr));
    if (!crt_s3_parse_u64(digits, &parts) || parts > CRT_S3_MAX_PARTS) {
        return 0;
    }
    return parts;
}

uint64_t crt_s3_plan_download_part(crt_bytes etag, uint64_t object_size, uint64_t memory_limit, uint64_t connections) {
    const uint64_t base = CRT_S3_PART_DEFAULT;
    uint64_t affordable = max_u64(base, min_u64(memory_limit / connections / 3, CRT_S3_PART_MAX));
    affordable = round_up(affordable, base);
    uint64_t stored_parts = parts_of_etag(etag);
    uint64_t stored = stored_parts ? object_size / stored_parts : base;
    uint64_t size = min_u64(max_u64(min_u64(affordable, stored), base), DYNAMIC_PART_MAX);
    return round_up(size, base);
}

crt_s3_upload_plan crt_s3_plan_upload(const crt_s3_upload_sizes *sizes) {
    crt_s3_upload_plan plan = {.multipart = true};
    uint64_t asked = max_u64(sizes->request_part ? sizes->request_part : sizes->client_part, CRT_S3_UPLOAD_PART_MIN);
    if (sizes->length == CRT_S3_UNKNOWN) {
        plan.part_size = asked;
        return plan;
    }
    uint64_t part = max_u64(asked, ceil_div(sizes->length, CRT_S3_MAX_PARTS));
    if (sizes->length < part) {
        part = sizes->length;
    }
    /* A size that nobody asked for is rounded up, so that buffers of the client's size add up to it. */
    bool asked_for = part == sizes->request_part || part == sizes->client_part;
    if (!asked_for && part && ceil_div(sizes->length, part) > 2) {
        part = round_up(part, sizes->client_part);
    }
    uint64_t threshold = sizes->request_threshold ? sizes->request_threshold
                         : sizes->request_part    ? part
                                                  : sizes->client_threshold;
    if (!threshold) {
        threshold = asked;
    }
    plan.part_size = part;
    plan.multipart = sizes->length > threshold;
    plan.parts = part ? max_u64(1, ceil_div(sizes->length, part)) : 1;
    return plan;
}

uint64_t crt_s3_parts_count(const crt_s3_parts *parts) {
    if (parts->total <= parts->head) {
        return parts->total ? 1 : 0;
    }
    return 1 + ceil_div(parts->total - parts->head, parts->part_size);
}

void crt_s3_parts_at(const crt_s3_parts *parts, uint64_t index, uint64_t *offset, uint64_t *length) {
    if (index == 0) {
        *offset = 0;
        *length = min_u64(parts->head, parts->total);
        return;
    }
    *offset = parts->head + (index - 1) * parts->part_size;
    *length = min_u64(parts->part_size, parts->total - *offset);
}

uint64_t crt_s3_plan_spread(uint64_t i, uint64_t count, uint64_t ways) {
    if (ways < 2 || count <= ways) {
        return i;
    }
    uint64_t rows = count / ways;
    uint64_t longer = count % ways; /* the first regions have one part more */
    uint64_t column = i < rows * ways ? i % ways : i - rows * ways;
    uint64_t row = i < rows * ways ? i / ways : rows;
    return column * rows + min_u64(column, longer) + row;
}

bool crt_s3_parse_u64(crt_bytes digits, uint64_t *out) {
    uint64_t n = 0;
    if (!digits.len) {
        return false;
    }
    for (size_t i = 0; i < digits.len; i++) {
        unsigned d = (unsigned)digits.ptr[i] - '0';
        if (d > 9 || n > (UINT64_MAX - d) / 10) {
            return false;
        }
        n = n * 10 + d;
    }
    *out = n;
    return true;
}

static bool split(crt_bytes text, char at, crt_bytes *left, crt_bytes *right) {
    const uint8_t *p = text.len ? memchr(text.ptr, at, text.len) : NULL;
    if (!p) {
        return false;
    }
    *left = crt_bytes_of(text.ptr, (size_t)(p - text.ptr));
    *right = crt_bytes_of(p + 1, text.len - left->len - 1);
    return true;
}

static bool strip_prefix(crt_bytes *text, const char *prefix) {
    size_t n = strlen(prefix);
    if (text->len < n || memcmp(text->ptr, prefix, n) != 0) {
        return false;
    }
    text->ptr += n;
    text->len -= n;
    return true;
}

bool crt_s3_parse_range(crt_bytes value, crt_s3_range *out) {
    crt_bytes first, last;
    if (!strip_prefix(&value, "bytes=") || !split(value, '-', &first, &last)) {
        return false;
    }
    memset(out, 0, sizeof *out);
    if (!first.len) {
        out->kind = CRT_S3_RANGE_SUFFIX;
        return crt_s3_parse_u64(last, &out->last);
    }
    if (!crt_s3_parse_u64(first, &out->first)) {
        return false;
    }
    if (!last.len) {
        out->kind = CRT_S3_RANGE_OPEN;
        return true;
    }
    out->kind = CRT_S3_RANGE_CLOSED;
    return crt_s3_parse_u64(last, &out->last) && out->last >= out->first && out->last != UINT64_MAX;
}

bool crt_s3_parse_content_range(crt_bytes value, uint64_t *first, uint64_t *last, uint64_t *size) {
    crt_bytes range, total, from, to;
    if (!strip_prefix(&value, "bytes ") || !split(value, '/', &range, &total) || !split(range, '-', &from, &to)) {
        return false;
    }
    return crt_s3_parse_u64(from, first) && crt_s3_parse_u64(to, last) && crt_s3_parse_u64(total, size) &&
           *first <= *last && *last < *size;
}
