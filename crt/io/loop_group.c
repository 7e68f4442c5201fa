/*
 * Groups of loops. The thread of the first loop doubles as the clean-up thread: once told to stop it stops the
 * others, joins them and frees the group. So the end needs no new thread, and cannot fail for want of one.
 */
#include <stdio.h>

#include "crt/log.h"
#include "crt/memory.h"
#include "crt/status.h"
#include "loop_struct.h"

enum { LOOPS_MAX = UINT16_MAX };

static void free_group(crt_loop_group *group) {
    size_t i;

    for (i = 0; i < group->size; i++) {
        crt_free(group->loops[i]);
    }
    crt_free(group);
}

static void clean_up(crt_loop_group *group) {
    crt_loop_hooks hooks = group->hooks;
    size_t i, joined = 0;

    crt_thread_set_name("EvntLoopCleanup");
    crt_threads_lock();
    for (i = 1; i < group->size; i++) {
        if (group->loops[i]->started) {
            crt_loop_signal_stop(group->loops[i]);
        }
    }
    crt_threads_unlock();
    for (i = 1; i < group->size; i++) {
        if (group->loops[i]->started) {
            uv_thread_join(&group->loops[i]->thread);
            joined++;
        } else {
            crt_loop_discard(group->loops[i]);
        }
    }
    free_group(group);
    crt_threads_joined(joined);
    if (hooks.group_gone) {
        hooks.group_gone(hooks.user);
    }
    crt_threads_finish();
}

static void run_thread(void *arg) {
    crt_loop *loop = arg;
    crt_loop_group *group = loop->group;
    char name[32];
    size_t index = loop->index;

    if (snprintf(name, sizeof(name), "AwsEventLoop%zu", index + 1) >= CRT_THREAD_NAME_SIZE) {
        snprintf(name, sizeof(name), "AwsEventLoop");
    }
    crt_thread_set_name(name);
    if (loop->cpu >= 0) {
        crt_thread_pin((uint16_t)loop->cpu);
    }
    crt_loop_run(loop);
    if (index == 0) {
        clean_up(group);
    }
}

static size_t default_loops(void) {
    uint32_t usable = crt_cpu_count();

    return usable > 1 ? usable / 2 : 1;
}

/* How many loops, and where: *cpus (for the caller to free) gets the processors to pin to, if any. 0 or a code. */
static int plan(const crt_loop_group_options *options, uint16_t **cpus, size_t *pinned, size_t *loops) {
    *pinned = 0;
    *loops = options->threads ? options->threads : default_loops();
    if (options->cpu_group < 0) {
        return 0;
    }
    *cpus = crt_calloc(LOOPS_MAX, sizeof(**cpus));
    if (!*cpus) {
        return AWS_ERROR_OOM;
    }
    *pinned = crt_node_cpus(options->cpu_group, *cpus, LOOPS_MAX);
    if (*pinned == 0) {
        return AWS_ERROR_INVALID_ARGUMENT;
    }
    if (*loops > *pinned) {
        *loops = *pinned;
    }
    return 0;
}

/* Loops that could not be initialised are left out of `size`. */
static int add_loops(crt_loop_group *group, size_t count, const uint16_t *cpus, size_t pinned) {
    while (group->size < count) {
        crt_loop *loop = crt_calloc(1, sizeof(*loop));
        int status;

        if (!loop) {
            return AWS_ERROR_OOM;
        }
        loop->group = group;
        loop->index = group->size;
        loop->cpu = pinned ? cpus[group->size % pinned] : -1;
        status = crt_loop_init(loop);
        if (status) {
            crt_free(loop);
            return status;
        }
        group->loops[group->size++] = loop;
    }
    return 0;
}

static int start_threads(crt_loop_group *group) {
    size_t i;

    for (i = 0; i < group->size; i++) {
        int status;
        group->loops[i]->started = true; /* before its thread can look */
        crt_threads_expect(1);
        status = crt_thread_create(&group->loops[i]->thread, run_thread, group->loops[i]);
        if (status) {
            group->loops[i]->started = false;
            crt_threads_joined(1);
            return status;
        }
    }
    return 0;
}

static void discard_unstarted(crt_loop_group *group) {
    size_t i;

    for (i = 0; i < group->size; i++) {
        crt_loop_discard(group->loops[i]);
    }
    free_group(group);
}

int crt_loop_group_new(const crt_loop_group_options *options, crt_loop_group **out) {
    size_t pinned, count;
    uint16_t *cpus = NULL;
    crt_loop_group *group = NULL;
    int status;

    *out = NULL;
    status = plan(options, &cpus, &pinned, &count);
    if (status) {
        goto cleanup;
    }
    group = crt_calloc(1, sizeof(*group) + count * sizeof(group->loops[0]));
    if (!group) {
        status = AWS_ERROR_OOM;
        goto cleanup;
    }
    crt_ref_init(&group->refs);
    group->generation = crt_fork_generation();
    group->hooks = options->hooks;
    status = add_loops(group, count, cpus, pinned);
    if (status) {
        discard_unstarted(group);
        goto cleanup;
    }
    status = start_threads(group);
    if (status && group->loops[0]->started) {
        group->hooks.group_gone = NULL; /* nobody was ever told that the group exists */
        crt_loop_group_release(group);
    } else if (status) {
        discard_unstarted(group);
    } else {
        *out = group;
        CRT_LOG(CRT_LOG_INFO, CRT_LS_EVENT_LOOP, "started %zu event loop(s)", count);
    }
cleanup:
    crt_free(cpus);
    return status;
}

crt_loop_group *crt_loop_group_acquire(crt_loop_group *group) {
    crt_ref_inc(&group->refs);
    return group;
}

void crt_loop_group_release(crt_loop_group *group) {
    /* The threads of a parent's group do not exist in a forked child: nothing to stop, nothing safe to free. */
    if (!group || group->generation != crt_fork_generation() || !crt_ref_dec(&group->refs)) {
        return;
    }
    crt_threads_lock();
    crt_loop_signal_stop(group->loops[0]);
    crt_threads_unlock();
}

size_t crt_loop_group_size(const crt_loop_group *group) {
    return group->size;
}

crt_loop *crt_loop_group_at(const crt_loop_group *group, size_t index) {
    return index < group->size ? group->loops[index] : NULL;
}

/* SplitMix64 of a shared counter: random enough to spread connections, and needs no lock. */
static uint64_t next_random(void) {
    static uint64_t counter;
    uint64_t z = __atomic_add_fetch(&counter, 0x9e3779b97f4a7c15u, __ATOMIC_RELAXED);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

crt_loop *crt_loop_group_pick(crt_loop_group *group) {
    uint64_t random;
    crt_loop *a, *b;

    if (group->size == 1) {
        return group->loops[0];
    }
    random = next_random();
    a = group->loops[(random & UINT32_MAX) % group->size];
    b = group->loops[(random >> 32) % group->size];
    return __atomic_load_n(&a->load, __ATOMIC_RELAXED) <= __atomic_load_n(&b->load, __ATOMIC_RELAXED) ? a : b;
}
