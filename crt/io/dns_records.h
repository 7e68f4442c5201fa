/*
 * What is known of one host name: its addresses, until when they hold, and how they did. Plain data under the
 * caller's lock; the clock is an argument.
 */
#ifndef CRT_IO_DNS_RECORDS_H
#define CRT_IO_DNS_RECORDS_H

#include "crt/resolver.h"

enum { CRT_DNS_ADDRESSES_MAX = 30 };

typedef struct crt_dns_record {
    crt_address address;
    uint64_t expires_ms;
    uint64_t last_used;      /* a count of uses, not a time; 0: never */
    uint64_t avoid_until_ms; /* it failed: the others go first until then */
    unsigned failures;       /* in a row */
} crt_dns_record;

typedef struct crt_dns_records {
    size_t count;
    int family; /* that the system prefers (RFC 6724) */
    uint64_t uses;
    crt_dns_record records[CRT_DNS_ADDRESSES_MAX];
} crt_dns_records;

/* Enters a fresh answer (count > 0), in the system's order of preference. */
CRT_HIDDEN void crt_dns_records_take(crt_dns_records *known, const crt_address *addresses, size_t count,
                                     uint64_t now_ms, uint64_t ttl_ms);
/*
 * All addresses in the order to try them (RFC 8305, section 4): the families take turns, beginning with the one the
 * system prefers, and within a family the address used longest ago comes first. Those to be avoided follow in the
 * same manner. How many.
 */
CRT_HIDDEN size_t crt_dns_records_list(crt_dns_records *known, uint64_t now_ms, crt_address *out);
/*
 * The outcome of an attempt. An address that failed is avoided for a second, twice as long with each failure after
 * that, but never longer than ttl_ms; one success ends it.
 */
CRT_HIDDEN void crt_dns_records_report(crt_dns_records *known, const crt_address *address, bool worked,
                                       uint64_t now_ms, uint64_t ttl_ms);
/* When the last address expires; 0 when there is none. */
CRT_HIDDEN uint64_t crt_dns_records_expiry(const crt_dns_records *known);
/* True when every address failed lately. */
CRT_HIDDEN bool crt_dns_records_all_avoided(const crt_dns_records *known, uint64_t now_ms);

#endif
