/* fork(): counted, and survived with every lock in a known state. Windows has none: the generation stays 0 there. */
#include <pthread.h>

#include "crt/loop.h"
#include "internal.h"

static uint32_t generation;
static crt_fork_hook *hooks; /* latest first */
static pthread_mutex_t hooks_lock = PTHREAD_MUTEX_INITIALIZER;
static uv_once_t once = UV_ONCE_INIT;

static void before_fork(void) {
    crt_fork_hook *hook;

    pthread_mutex_lock(&hooks_lock);
    for (hook = hooks; hook; hook = hook->next) {
        hook->before();
    }
}

static void after_in_parent(void) {
    crt_fork_hook *hook;

    for (hook = hooks; hook; hook = hook->next) {
        hook->in_parent();
    }
    pthread_mutex_unlock(&hooks_lock);
}

static void after_in_child(void) {
    crt_fork_hook *hook;

    __atomic_add_fetch(&generation, 1, __ATOMIC_RELEASE);
    for (hook = hooks; hook; hook = hook->next) {
        hook->in_child();
    }
    pthread_mutex_unlock(&hooks_lock);
}

static void install(void) {
    pthread_atfork(before_fork, after_in_parent, after_in_child);
}

void crt_fork_watch(crt_fork_hook *hook) {
    uv_once(&once, install);
    pthread_mutex_lock(&hooks_lock);
    hook->next = hooks;
    hooks = hook;
    pthread_mutex_unlock(&hooks_lock);
}

uint32_t crt_fork_generation(void) {
    uv_once(&once, install);
    return __atomic_load_n(&generation, __ATOMIC_ACQUIRE);
}
