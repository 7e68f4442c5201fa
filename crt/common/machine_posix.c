/* Processors: how many we may use, and which belong to a NUMA node. */
#if !defined(_GNU_SOURCE)
#define _GNU_SOURCE
#endif
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "crt/loop.h"
#include "internal.h"

static uint32_t online_cpus(void) {
    long n = sysconf(_SC_NPROCESSORS_ONLN);

    return n > 0 ? (uint32_t)n : 1;
}

static uint32_t permitted_cpus(void) {
#if defined(__linux__)
    cpu_set_t set;

    /* fails on machines with more processors than a cpu_set_t holds */
    if (sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) > 0) {
        return (uint32_t)CPU_COUNT(&set);
    }
#endif
    return online_cpus();
}

static bool is_permitted(unsigned long cpu) {
#if defined(__linux__)
    cpu_set_t set;

    if (sched_getaffinity(0, sizeof(set), &set) == 0) {
        return cpu < CPU_SETSIZE && CPU_ISSET(cpu, &set);
    }
#endif
    return true;
}

static uint32_t quota;
static uv_once_t quota_once = UV_ONCE_INIT;

static void read_quota(void) {
    quota = crt_cgroup_cpu_quota();
}

/* The quota is read once: that opens half a dozen files, and it belongs to the container, as the machine does. */
uint32_t crt_cpu_count(void) {
    uint32_t cpus = permitted_cpus();

    uv_once(&quota_once, read_quota);
    return quota > 0 && quota < cpus ? quota : cpus;
}

/* "0-3,8" -> one call per number. */
static void for_each_in_list(const char *list, void (*each)(void *user, unsigned long cpu), void *user) {
    while (*list >= '0' && *list <= '9') {
        char *end;
        unsigned long first = strtoul(list, &end, 10), last = first;
        if (*end == '-') {
            last = strtoul(end + 1, &end, 10);
        }
        for (; first <= last && first <= UINT16_MAX; first++) {
            each(user, first);
        }
        list = *end == ',' ? end + 1 : end;
    }
}

static bool read_text(const char *path, char *text, size_t size) {
    FILE *f = fopen(path, "re");
    bool read = f && fgets(text, (int)size, f);

    if (f) {
        fclose(f);
    }
    return read;
}

static void find_first_permitted(void *user, unsigned long cpu) {
    unsigned long *first = user;

    if (cpu < *first && is_permitted(cpu)) {
        *first = cpu;
    }
}

/* Hyper-threads share a core: one of them is enough. */
static bool stands_for_its_core(unsigned long cpu) {
    char path[96], siblings[256];
    unsigned long first = cpu;

    snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%lu/topology/thread_siblings_list", cpu);
    if (read_text(path, siblings, sizeof(siblings))) {
        for_each_in_list(siblings, find_first_permitted, &first);
    }
    return first == cpu;
}

typedef struct cpu_list {
    uint16_t *cpus;
    size_t capacity;
    size_t count;
} cpu_list;

static void collect(void *user, unsigned long cpu) {
    cpu_list *list = user;

    if (list->count < list->capacity && is_permitted(cpu) && stands_for_its_core(cpu)) {
        list->cpus[list->count++] = (uint16_t)cpu;
    }
}

size_t crt_node_cpus(int node, uint16_t *cpus, size_t capacity) {
    cpu_list list = {cpus, capacity, 0};
    char path[96], text[4096];
    uint32_t cpu;

    snprintf(path, sizeof(path), "/sys/devices/system/node/node%d/cpulist", node);
    if (read_text(path, text, sizeof(text))) {
        for_each_in_list(text, collect, &list);
    } else if (node == 0) {
        /* no NUMA here: one node with everything */
        for (cpu = 0; cpu < online_cpus(); cpu++) {
            collect(&list, cpu);
        }
    }
    return list.count;
}
