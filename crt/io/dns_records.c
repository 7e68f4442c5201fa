#include "dns_records.h"

#include <string.h>

#include "dns.h"

enum { AVOID_FIRST_MS = 1000, DOUBLINGS_MAX = 20 };

static crt_dns_record *find(crt_dns_records *known, const crt_address *address) {
    size_t i;

    for (i = 0; i < known->count; i++) {
        if (crt_address_eq(&known->records[i].address, address)) {
            return &known->records[i];
        }
    }
    return NULL;
}

static void remove_at(crt_dns_records *known, size_t index) {
    memmove(&known->records[index], &known->records[index + 1],
            (known->count - index - 1) * sizeof(known->records[0]));
    known->count--;
}

/* Room for one more address: the one used longest ago makes it. */
static crt_dns_record *add(crt_dns_records *known) {
    size_t i, oldest = 0;

    if (known->count == CRT_DNS_ADDRESSES_MAX) {
        for (i = 1; i < known->count; i++) {
            if (known->records[i].last_used < known->records[oldest].last_used) {
                oldest = i;
            }
        }
        remove_at(known, oldest);
    }
    known->records[known->count] = (crt_dns_record){0};
    return &known->records[known->count++];
}

/* Addresses missing from the answer stay until they expire: round-robin servers show only a part each time. */
void crt_dns_records_take(crt_dns_records *known, const crt_address *addresses, size_t count, uint64_t now_ms,
                          uint64_t ttl_ms) {
    size_t i;

    known->family = addresses[0].family;
    for (i = 0; i < count; i++) {
        crt_dns_record *record = find(known, &addresses[i]);
        if (!record) {
            record = add(known);
            record->address = addresses[i];
        }
        record->expires_ms = now_ms + ttl_ms;
    }
    for (i = known->count; i-- > 0;) {
        if (known->records[i].expires_ms <= now_ms) {
            remove_at(known, i);
        }
    }
}

/* Insertion keeps equals in the order the system preferred. */
static size_t by_last_use(crt_dns_records *known, uint64_t now_ms, bool avoided, bool preferred,
                          crt_dns_record *out[CRT_DNS_ADDRESSES_MAX]) {
    size_t count = 0, i, at;

    for (i = 0; i < known->count; i++) {
        crt_dns_record *record = &known->records[i];
        if ((record->avoid_until_ms > now_ms) != avoided ||
            (record->address.family == known->family) != preferred) {
            continue;
        }
        for (at = count++; at > 0 && out[at - 1]->last_used > record->last_used; at--) {
            out[at] = out[at - 1];
        }
        out[at] = record;
    }
    return count;
}

static size_t list_part(crt_dns_records *known, uint64_t now_ms, bool avoided, crt_address *out) {
    crt_dns_record *queues[2][CRT_DNS_ADDRESSES_MAX]; /* the preferred family, the other one */
    size_t counts[2], next[2] = {0, 0}, n = 0;
    int turn;

    for (turn = 0; turn < 2; turn++) {
        counts[turn] = by_last_use(known, now_ms, avoided, turn == 0, queues[turn]);
    }
    for (turn = 0; n < counts[0] + counts[1]; turn = !turn) {
        if (next[turn] < counts[turn]) {
            out[n++] = queues[turn][next[turn]++]->address;
        }
    }
    return n;
}

size_t crt_dns_records_list(crt_dns_records *known, uint64_t now_ms, crt_address *out) {
    size_t count = list_part(known, now_ms, false, out);

    count += list_part(known, now_ms, true, out + count);
    if (count) {
        find(known, &out[0])->last_used = ++known->uses;
    }
    return count;
}

void crt_dns_records_report(crt_dns_records *known, const crt_address *address, bool worked, uint64_t now_ms,
                            uint64_t ttl_ms) {
    crt_dns_record *record = find(known, address);
    uint64_t avoid_ms;

    if (!record) {
        return;
    }
    record->last_used = ++known->uses;
    if (worked) {
        record->failures = 0;
        record->avoid_until_ms = 0;
        return;
    }
    avoid_ms = (uint64_t)AVOID_FIRST_MS << (record->failures < DOUBLINGS_MAX ? record->failures : DOUBLINGS_MAX);
    record->failures++;
    record->avoid_until_ms = now_ms + (avoid_ms < ttl_ms ? avoid_ms : ttl_ms);
}

uint64_t crt_dns_records_expiry(const crt_dns_records *known) {
    uint64_t latest = 0;
    size_t i;

    for (i = 0; i < known->count; i++) {
        latest = known->records[i].expires_ms > latest ? known->records[i].expires_ms : latest;
    }
    return latest;
}

bool crt_dns_records_all_avoided(const crt_dns_records *known, uint64_t now_ms) {
    size_t i;

    for (i = 0; i < known->count && known->records[i].avoid_until_ms > now_ms; i++) {
    }
    return i == known->count;
}
