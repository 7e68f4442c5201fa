/*
 * Limits that Linux control groups set for this process, both hierarchies (v1: one per controller, v2: unified).
 * A limit of an outer group binds as well, so every level from our own group up to the root is read.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "internal.h"

enum { GROUP_PATH_MAX = 1024, FILE_PATH_MAX = 1400 };

/* True when `list` ("cpu,cpuacct") contains `name`. */
static bool names_controller(const char *list, const char *name) {
    size_t n = strlen(name);

    while (list) {
        if (strncmp(list, name, n) == 0 && (list[n] == ',' || list[n] == '\0')) {
            return true;
        }
        list = strchr(list, ',');
        list = list ? list + 1 : NULL;
    }
    return false;
}

/* Path of our group; controller "" asks for the unified hierarchy. Lines read "id:controllers:path". */
static bool group_path(const char *controller, char path[GROUP_PATH_MAX]) {
    char line[GROUP_PATH_MAX];
    bool found = false;
    FILE *f = fopen("/proc/self/cgroup", "re");

    if (!f) {
        return false;
    }
    while (!found && fgets(line, sizeof(line), f)) {
        char *list = strchr(line, ':');
        char *at = list ? strchr(list + 1, ':') : NULL;
        if (!at) {
            continue;
        }
        *list++ = '\0';
        *at++ = '\0';
        at[strcspn(at, "\n")] = '\0';
        found = *controller ? names_controller(list, controller) : *list == '\0';
        if (found) {
            snprintf(path, GROUP_PATH_MAX, "%s", at);
        }
    }
    fclose(f);
    return found;
}

static bool read_line(const char *root, const char *group, const char *file, char *text, size_t size) {
    char path[FILE_PATH_MAX];
    bool read;
    FILE *f;

    snprintf(path, sizeof(path), "%s%s/%s", root, strcmp(group, "/") == 0 ? "" : group, file);
    f = fopen(path, "re");
    if (!f) {
        return false;
    }
    read = fgets(text, (int)size, f) != NULL;
    fclose(f);
    return read;
}

/* One level up; false when the root was the last. */
static bool go_up(char *path) {
    char *slash = strrchr(path, '/');

    if (!slash || path[1] == '\0') {
        return false;
    }
    *(slash == path ? slash + 1 : slash) = '\0';
    return true;
}

static uint64_t parse_bytes(const char *text) {
    char *end;
    unsigned long long value = strtoull(text, &end, 10);

    return end == text ? UINT64_MAX : value; /* "max" */
}

uint64_t crt_cgroup_memory_limit(void) {
    uint64_t smallest = UINT64_MAX;
    char path[GROUP_PATH_MAX], text[64];

    if (group_path("", path)) {
        do {
            if (read_line("/sys/fs/cgroup", path, "memory.max", text, sizeof(text))) {
                uint64_t limit = parse_bytes(text);
                smallest = limit < smallest ? limit : smallest;
            }
        } while (go_up(path));
    }
    if (group_path("memory", path)) {
        do {
            if (read_line("/sys/fs/cgroup/memory", path, "memory.limit_in_bytes", text, sizeof(text))) {
                uint64_t limit = parse_bytes(text);
                smallest = limit < smallest ? limit : smallest;
            }
        } while (go_up(path));
    }
    return smallest;
}

static void lower_quota(uint32_t *cpus, long long quota, long long period) {
    long long whole;

    if (quota <= 0 || period <= 0) {
        return;
    }
    whole = (quota + period - 1) / period;
    if (whole <= INT_MAX && (*cpus == 0 || (uint32_t)whole < *cpus)) {
        *cpus = (uint32_t)whole;
    }
}

uint32_t crt_cgroup_cpu_quota(void) {
    uint32_t cpus = 0;
    char path[GROUP_PATH_MAX], text[64], period[64];
    long long quota_us, period_us;

    if (group_path("", path)) {
        do {
            if (read_line("/sys/fs/cgroup", path, "cpu.max", text, sizeof(text)) &&
                sscanf(text, "%lld %lld", &quota_us, &period_us) == 2) { /* "max 100000" has no number first */
                lower_quota(&cpus, quota_us, period_us);
            }
        } while (go_up(path));
    }
    if (group_path("cpu", path)) {
        do {
            if (read_line("/sys/fs/cgroup/cpu", path, "cpu.cfs_quota_us", text, sizeof(text)) &&
                read_line("/sys/fs/cgroup/cpu", path, "cpu.cfs_period_us", period, sizeof(period))) {
                lower_quota(&cpus, strtoll(text, NULL, 10), strtoll(period, NULL, 10));
            }
        } while (go_up(path));
    }
    return cpus;
}
