/*
 * Log lines go through a bounded queue to a writer thread. Producers only copy the message under a lock; the
 * prefix is formatted, and the destination waited for, on the writer's side.
 *
 * The queue is two buffers that change places: one fills while the writer empties the other.
 */
#include "crt/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "crt/status.h"
#include "internal.h"

enum {
    QUEUE_BYTES = 1 << 20,
    MESSAGE_MAX = 64 << 10, /* longer messages are cut */
    LINE_PREFIX_MAX = 160,
    OUTPUT_BYTES = 32 << 10,
};

static const uint64_t EXIT_WAIT_NS = 1000000000u;

typedef struct record {
    size_t size; /* of the record with its message, multiple of 8 */
    size_t len;
    int level;
    int subject;
    int64_t seconds;
    uint64_t thread_id;
    char thread[CRT_THREAD_NAME_SIZE];
    char message[];
} record;

typedef struct sink {
    int fd; /* -1: none */
    bool owned;
    crt_log_fn fn;
    void *user;
} sink;

static struct {
    uv_mutex_t lock;
    uv_cond_t queued; /* the writer waits here */
    uv_cond_t idle;   /* those who wait for the writer */
    sink sink;
    char *filling;
    char *emptying;
    size_t filled;
    uint64_t lines_queued;
    uint64_t lines_written;
    size_t dropped;
    bool writer_started;
    bool writer_busy;
    uint64_t writer_id;
} logger;

static int level_now; /* 0 while there is no sink */
static uv_once_t once = UV_ONCE_INIT;

/* ---- forks and exit ---- */

static void lock_before_fork(void) {
    uv_mutex_lock(&logger.lock);
}

static void unlock_in_parent(void) {
    uv_mutex_unlock(&logger.lock);
}

/* What is queued is the parent's to write, and there is no writer thread here yet. */
static void reset_in_child(void) {
    uv_cond_init(&logger.queued);
    uv_cond_init(&logger.idle);
    logger.filled = 0;
    logger.lines_written = logger.lines_queued;
    logger.writer_started = false;
    logger.writer_busy = false;
    uv_mutex_unlock(&logger.lock);
}

static crt_fork_hook fork_hook = {lock_before_fork, unlock_in_parent, reset_in_child, NULL};

/* A callback may need what is already torn down at exit; a file is always good for the last lines. */
static void flush_at_exit(void) {
    uv_mutex_lock(&logger.lock);
    while (logger.sink.fd >= 0 && logger.lines_written < logger.lines_queued) {
        if (uv_cond_timedwait(&logger.idle, &logger.lock, EXIT_WAIT_NS) != 0) {
            break;
        }
    }
    uv_mutex_unlock(&logger.lock);
}

static void init(void) {
    uv_mutex_init(&logger.lock);
    uv_cond_init(&logger.queued);
    uv_cond_init(&logger.idle);
    logger.sink.fd = -1;
    /* Plain malloc: these live as long as the process and are nobody's leak. */
    logger.filling = malloc(QUEUE_BYTES);
    logger.emptying = malloc(QUEUE_BYTES);
    crt_fork_watch(&fork_hook);
    atexit(flush_at_exit);
}

/* ---- the writer ---- */

static void write_all(int fd, const char *data, size_t len) {
    while (len > 0) {
        ssize_t n = write(fd, data, len);
        if (n < 0) {
            if (errno == EINTR) {
                continue;
            }
            return; /* a full disk must not stop the program */
        }
        data += n;
        len -= (size_t)n;
    }
}

static size_t format_prefix(char *out, const record *line) {
    static const char *const names[] = {"NONE", "FATAL", "ERROR", "WARN", "INFO", "DEBUG", "TRACE"};
    const char *level = line->level >= 0 && line->level <= CRT_LOG_TRACE ? names[line->level] : "TRACE";
    time_t seconds = (time_t)line->seconds;
    struct tm utc;
    char when[32];
    int n;

    gmtime_r(&seconds, &utc);
    strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &utc);
    n = snprintf(out, LINE_PREFIX_MAX, "[%s] [%s] [%016llx] [%s] - ", level, when,
                 (unsigned long long)line->thread_id, crt_log_subject_name(line->subject));
    return n < LINE_PREFIX_MAX ? (size_t)n : LINE_PREFIX_MAX - 1;
}

static void emit_to_file(int fd, const char *batch, size_t filled) {
    char output[OUTPUT_BYTES];
    size_t used = 0, at;

    for (at = 0; at < filled;) {
        const record *line = (const record *)(const void *)(batch + at);
        if (used + LINE_PREFIX_MAX + line->len + 1 > sizeof(output)) {
            write_all(fd, output, used);
            used = 0;
        }
        used += format_prefix(output + used, line);
        if (used + line->len + 1 > sizeof(output)) {
            write_all(fd, output, used);
            write_all(fd, line->message, line->len);
            used = 0;
        } else {
            memcpy(output + used, line->message, line->len);
            used += line->len;
        }
        output[used++] = '\n';
        at += line->size;
    }
    write_all(fd, output, used);
}

static void emit_to_function(const sink *to, const char *batch, size_t filled) {
    size_t at;

    for (at = 0; at < filled;) {
        const record *line = (const record *)(const void *)(batch + at);
        to->fn(to->user, line->level, line->subject, line->thread, line->message);
        at += line->size;
    }
}

static void run_writer(void *arg) {
    (void)arg;
    crt_thread_set_name("AwsLogger");
    uv_mutex_lock(&logger.lock);
    logger.writer_id = crt_thread_id();
    for (;;) {
        sink to;
        size_t filled;
        uint64_t lines;
        char *batch;

        while (logger.filled == 0) {
            uv_cond_wait(&logger.queued, &logger.lock);
        }
        batch = logger.filling;
        logger.filling = logger.emptying;
        logger.emptying = batch;
        filled = logger.filled;
        logger.filled = 0;
        lines = logger.lines_queued;
        to = logger.sink;
        logger.writer_busy = true;
        uv_mutex_unlock(&logger.lock);

        if (to.fn) {
            emit_to_function(&to, batch, filled);
        } else if (to.fd >= 0) {
            emit_to_file(to.fd, batch, filled);
        }

        uv_mutex_lock(&logger.lock);
        logger.writer_busy = false;
        logger.lines_written = lines;
        uv_cond_broadcast(&logger.idle);
    }
}

/* ---- producers ---- */

/* Lock held. The thread runs until the process ends and is never joined. */
static bool writer_ready(void) {
    uv_thread_t thread;

    if (logger.writer_started) {
        return true;
    }
    if (crt_thread_create(&thread, run_writer, NULL) != 0) {
        return false;
    }
    logger.writer_started = true;
    return true;
}

static void enqueue(int level, int subject, const char *message, size_t len) {
    size_t size = (sizeof(record) + len + 1 + 7) & ~(size_t)7;
    record line = {.size = size, .len = len, .level = level, .subject = subject};

    line.seconds = (int64_t)time(NULL);
    line.thread_id = crt_thread_id();
    crt_thread_get_name(line.thread);

    uv_mutex_lock(&logger.lock);
    if ((logger.sink.fd < 0 && !logger.sink.fn) || !logger.filling || !logger.emptying) {
        uv_mutex_unlock(&logger.lock);
        return;
    }
    if (QUEUE_BYTES - logger.filled < size || !writer_ready()) {
        logger.dropped++;
        uv_mutex_unlock(&logger.lock);
        return;
    }
    memcpy(logger.filling + logger.filled, &line, sizeof(line));
    memcpy(logger.filling + logger.filled + offsetof(record, message), message, len);
    logger.filling[logger.filled + offsetof(record, message) + len] = '\0';
    if (logger.filled == 0) {
        uv_cond_signal(&logger.queued);
    }
    logger.filled += size;
    logger.lines_queued++;
    uv_mutex_unlock(&logger.lock);
}

void crt_log_write(int level, int subject, const char *format, ...) {
    char small[1024];
    char *large;
    va_list args;
    int n;

    if (level > crt_log_level_now()) {
        return;
    }
    va_start(args, format);
    n = vsnprintf(small, sizeof(small), format, args);
    va_end(args);
    if (n < 0) {
        return;
    }
    if ((size_t)n < sizeof(small)) {
        enqueue(level, subject, small, (size_t)n);
        return;
    }
    if (n > MESSAGE_MAX) {
        n = MESSAGE_MAX;
    }
    large = malloc((size_t)n + 1);
    if (!large) {
        enqueue(level, subject, small, sizeof(small) - 1);
        return;
    }
    va_start(args, format);
    vsnprintf(large, (size_t)n + 1, format, args);
    va_end(args);
    enqueue(level, subject, large, (size_t)n);
    free(large);
}

/* ---- configuration ---- */

/* Lock held. From a sink's own callback there is nothing to wait for. */
static void wait_until_written(uint64_t lines) {
    if (logger.writer_busy && logger.writer_id == crt_thread_id()) {
        return;
    }
    while (logger.lines_written < lines) {
        uv_cond_wait(&logger.idle, &logger.lock);
    }
}

static void replace_sink(int level, sink next) {
    sink old;

    uv_mutex_lock(&logger.lock);
    wait_until_written(logger.lines_queued);
    old = logger.sink;
    logger.sink = next;
    uv_mutex_unlock(&logger.lock);
    __atomic_store_n(&level_now, next.fd >= 0 || next.fn ? level : CRT_LOG_NONE, __ATOMIC_RELAXED);
    if (old.owned) {
        close(old.fd);
    }
}

int crt_log_open(int level, const char *destination) {
    sink next = {.fd = -1};

    uv_once(&once, init);
    if (!destination || destination[0] == '\0') {
        return AWS_ERROR_FILE_INVALID_PATH;
    }
    if (strcmp(destination, "stdout") == 0) {
        next.fd = STDOUT_FILENO;
    } else if (strcmp(destination, "stderr") == 0) {
        next.fd = STDERR_FILENO;
    } else {
        next.fd = open(destination, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
        next.owned = true;
    }
    if (next.fd < 0) {
        return AWS_ERROR_FILE_INVALID_PATH;
    }
    replace_sink(level, next);
    return 0;
}

int crt_log_to(int level, crt_log_fn fn, void *user) {
    sink next = {.fd = -1, .fn = fn, .user = user};

    uv_once(&once, init);
    replace_sink(level, next);
    return 0;
}

void crt_log_set_level(int level) {
    uv_once(&once, init);
    uv_mutex_lock(&logger.lock);
    if (logger.sink.fd >= 0 || logger.sink.fn) {
        __atomic_store_n(&level_now, level, __ATOMIC_RELAXED);
    }
    uv_mutex_unlock(&logger.lock);
}

int crt_log_level_now(void) {
    return __atomic_load_n(&level_now, __ATOMIC_RELAXED);
}

size_t crt_log_dropped(void) {
    size_t dropped;

    uv_once(&once, init);
    uv_mutex_lock(&logger.lock);
    dropped = logger.dropped;
    uv_mutex_unlock(&logger.lock);
    return dropped;
}

void crt_log_flush(void) {
    uv_once(&once, init);
    uv_mutex_lock(&logger.lock);
    wait_until_written(logger.lines_queued);
    uv_mutex_unlock(&logger.lock);
}
