/* The crash handler. What runs in it is async-signal-safe, but for the backtrace, which is warmed up before. */
#include "crt/crash.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "internal.h"

enum { STACK_BYTES = 64 << 10, EXIT_STATUS = 255 };

static const struct {
    int number;
    const char *name;
} signals[] = {{SIGSEGV, "SIGSEGV"}, {SIGABRT, "SIGABRT"}, {SIGILL, "SIGILL"}, {SIGBUS, "SIGBUS"}};

enum { SIGNALS = sizeof(signals) / sizeof(signals[0]) };

static void print(const char *text) {
    if (write(STDERR_FILENO, text, strlen(text)) < 0) {
        return; /* nobody listens; the status still tells */
    }
}

static void on_crash(int number) {
    void *frames[CRT_FRAMES_MAX];
    size_t i;

    print("\nawscrt: crashed with ");
    for (i = 0; i < SIGNALS; i++) {
        if (signals[i].number == number) {
            print(signals[i].name);
        }
    }
    print("; backtrace, innermost first:\n");
    crt_backtrace_print(frames, crt_backtrace(frames, CRT_FRAMES_MAX));
    _exit(EXIT_STATUS);
}

void crt_crash_handler_install(void) {
    const char *value = getenv("AWS_CRT_CRASH_HANDLER");
    struct sigaction action = {.sa_handler = on_crash, .sa_flags = SA_ONSTACK | SA_RESETHAND | SA_NODEFER};
    stack_t stack = {.ss_size = STACK_BYTES}, present;
    void *frames[1];
    size_t i;

    if (!value || strcmp(value, "1") != 0) {
        return;
    }
    crt_backtrace(frames, 1); /* the first one loads libraries */
    sigemptyset(&action.sa_mask);
    /* A stack that overflowed has no room for the handler. Lives as long as the process. */
    if (sigaltstack(NULL, &present) == 0 && (present.ss_flags & SS_DISABLE)) {
        stack.ss_sp = malloc(STACK_BYTES);
        if (stack.ss_sp && sigaltstack(&stack, NULL) != 0) {
            free(stack.ss_sp);
        }
    }
    for (i = 0; i < SIGNALS; i++) {
        sigaction(signals[i].number, &action, NULL);
    }
}
