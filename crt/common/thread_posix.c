/* Threads beyond what libuv offers: signal masks and names. */
#if !defined(_GNU_SOURCE)
#define _GNU_SOURCE
#endif
#include <pthread.h>
#include <sched.h>
#include <signal.h>

#include "crt/status.h"
#include "internal.h"

int crt_thread_create(uv_thread_t *thread, uv_thread_cb entry, void *arg) {
    static const int own_faults[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT}; /* blocked, they end all in silence */
    sigset_t others, old;
    size_t i;
    int error;

    sigfillset(&others);
    for (i = 0; i < sizeof(own_faults) / sizeof(own_faults[0]); i++) {
        sigdelset(&others, own_faults[i]);
    }
    pthread_sigmask(SIG_SETMASK, &others, &old);
    error = uv_thread_create(thread, entry, arg);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return error ? AWS_ERROR_THREAD_INSUFFICIENT_RESOURCE : 0;
}

void crt_thread_set_name(const char *name) {
    char cut[CRT_THREAD_NAME_SIZE] = {0};

    strncpy(cut, name, sizeof(cut) - 1);
#if defined(__APPLE__)
    pthread_setname_np(cut);
#else
    pthread_setname_np(pthread_self(), cut);
#endif
}

void crt_thread_get_name(char name[CRT_THREAD_NAME_SIZE]) {
    if (pthread_getname_np(pthread_self(), name, CRT_THREAD_NAME_SIZE) != 0) {
        name[0] = '\0';
    }
}

uint64_t crt_thread_id(void) {
    return (uint64_t)(uintptr_t)pthread_self();
}

void crt_thread_pin(uint16_t cpu) {
#if defined(__linux__)
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    /* Best effort: the affinity mask of the process may forbid this processor. */
    pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
#else
    (void)cpu;
#endif
}
