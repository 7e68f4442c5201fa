#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "crt/status.h"

/*
 * The codes of all packages, not only of the rooms built in: a program names what it reads in a log or gets from
 * another process even where the feature is not installed. What a feature registers itself goes before these.
 */
#define CRT_ERROR(code, name, message) {code, #name, message},
static const crt_error_info common_errors[] = {
#include "crt/errors_common.def"
};
static const crt_error_info io_errors[] = {
#include "crt/errors_io.def"
};
static const crt_error_info http_errors[] = {
#include "crt/errors_http.def"
};
static const crt_error_info eventstream_errors[] = {
#include "crt/errors_eventstream.def"
};
static const crt_error_info mqtt_errors[] = {
#include "crt/errors_mqtt.def"
};
static const crt_error_info auth_errors[] = {
#include "crt/errors_auth.def"
};
static const crt_error_info crypto_errors[] = {
#include "crt/errors_crypto.def"
};
static const crt_error_info s3_errors[] = {
#include "crt/errors_s3.def"
};
#undef CRT_ERROR

#define CRT_COUNT(array) (sizeof(array) / sizeof((array)[0]))

typedef struct error_table {
    const crt_error_info *entries;
    size_t count;
    struct error_table *next;
} error_table;

/* The tail of the list, so nobody has to register them. */
static error_table built_in[] = {
    {common_errors, CRT_COUNT(common_errors), &built_in[1]},
    {io_errors, CRT_COUNT(io_errors), &built_in[2]},
    {http_errors, CRT_COUNT(http_errors), &built_in[3]},
    {eventstream_errors, CRT_COUNT(eventstream_errors), &built_in[4]},
    {mqtt_errors, CRT_COUNT(mqtt_errors), &built_in[5]},
    {auth_errors, CRT_COUNT(auth_errors), &built_in[6]},
    {crypto_errors, CRT_COUNT(crypto_errors), &built_in[7]},
    {s3_errors, CRT_COUNT(s3_errors), NULL},
};

/* Only grows, at its head: readers need no lock. */
static error_table *tables = &built_in[0];

void crt_error_register(const crt_error_info *entries, size_t count) {
    error_table *head = __atomic_load_n(&tables, __ATOMIC_ACQUIRE);
    error_table *table;

    for (table = head; table; table = table->next) {
        if (table->entries == entries) {
            return;
        }
    }
    /* Lives as long as the process, so it must not count as a block that somebody forgot to free. */
    table = malloc(sizeof(*table));
    if (!table) {
        return;
    }
    table->entries = entries;
    table->count = count;
    table->next = head;
    while (!__atomic_compare_exchange_n(&tables, &table->next, table, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
    }
}

/* The tables are sorted by code. */
static const crt_error_info *find_in(const error_table *table, int code) {
    size_t low = 0, high = table->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (table->entries[middle].code == code) {
            return &table->entries[middle];
        }
        if (table->entries[middle].code < code) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return NULL;
}

static const crt_error_info *find(int code) {
    static const crt_error_info unknown = {-1, "Unknown Error Code", "Unknown Error Code"};
    const error_table *table;

    for (table = __atomic_load_n(&tables, __ATOMIC_ACQUIRE); table; table = table->next) {
        const crt_error_info *info = find_in(table, code);
        if (info) {
            return info;
        }
    }
    return &unknown;
}

const char *crt_error_name(int code) {
    return find(code)->name;
}

const char *crt_error_message(int code) {
    return find(code)->message;
}

int crt_fail(crt_fault *fault, int code, const char *format, ...) {
    va_list args;

    if (!fault) {
        return code;
    }
    fault->code = code;
    va_start(args, format);
    if (vsnprintf(fault->detail, sizeof(fault->detail), format, args) < 0) {
        fault->detail[0] = '\0';
    }
    va_end(args);
    return code;
}
