/*
 * Records go through a bounded queue to a writer thread. Producers only copy the message under a lock; lines are
 * formatted, and the destination waited for, on the writer's side.
 *
 * The queue is two buffers that change places: one fills while the writer empties the other.
 */
#include "crt/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "crt/status.h"
#include "log_internal.h"

enum {
    QUEUE_BYTES = 1 << 20,
    PATIENCE_MS = 1000, /* with a destination that is to be replaced, and at exit */
};

/* A record as it lies in the queue. */
typedef struct queued {
    size_t size; /* with its message, multiple of 8 */
    size_t len;
    int level;
    int subject;
    int64_t time_ns;
    uint64_t thread_id;
    char thread[CRT_THREAD_NAME_SIZE];
    char message[];
} queued;

struct crt_log_batch {
    const char *next;
    const char *end;
};

/* Held by the logger, and by the writer while it is at work on a batch. One of both members is set. */
typedef struct sink {
    crt_refcount refs;
    crt_log_file *file;
    crt_log_fn fn;
} sink;

static struct {
    uv_mutex_t lock;
    uv_cond_t arrived; /* the writer waits here */
    uv_cond_t idle;    /* those who wait for the writer */
    sink *sink;
    char *filling;
    char *emptying;
    bool has_buffers; /* set once: without them there is no sink */
    size_t filled;
    uint64_t records_queued;
    uint64_t records_written;
    size_t dropped;
    size_t dropped_told;
    bool writer_started;
    bool writer_busy;
    uint64_t writer_id;
} logger;

static int level_now; /* CRT_LOG_NONE while there is no sink */
static uv_once_t once = UV_ONCE_INIT;

/* ---- the destination ---- */

static sink *sink_new(crt_log_file *file, crt_log_fn fn) {
    sink *self = malloc(sizeof(*self)); /* not crt_malloc: nobody's leak */

    if (self) {
        crt_ref_init(&self->refs);
        self->file = file;
        self->fn = fn;
    }
    return self;
}

static void sink_release(sink *self) {
    if (!self || !crt_ref_dec(&self->refs)) {
        return;
    }
    if (self->file) {
        crt_log_file_close(self->file);
    }
    free(self);
}

/* Returns how many records were lost. */
static size_t sink_emit(sink *self, const char *bytes, size_t len) {
    crt_log_batch batch = {bytes, bytes + len};

    if (self->file) {
        return crt_log_file_write(self->file, &batch);
    }
    self->fn(&batch);
    return 0;
}

bool crt_log_next(crt_log_batch *batch, crt_log_record *record) {
    const queued *next = (const queued *)(const void *)batch->next;

    if (batch->next == batch->end) {
        return false;
    }
    record->level = next->level;
    record->subject = next->subject;
    record->time_ns = next->time_ns;
    record->thread_id = next->thread_id;
    record->thread = next->thread;
    record->message = next->message;
    record->len = next->len;
    batch->next += next->size;
    return true;
}

/* ---- waiting for the writer ---- */

/* Lock held. False when time runs out, and in a sink's own function: there waiting would be for ever. */
static bool wait_until_written(uint64_t records, uint64_t timeout_ms) {
    uint64_t deadline = uv_hrtime() + timeout_ms * 1000000u;

    while (logger.records_written < records) {
        uint64_t now = uv_hrtime();
        if (now >= deadline || (logger.writer_busy && logger.writer_id == crt_thread_id())) {
            return false;
        }
        uv_cond_timedwait(&logger.idle, &logger.lock, deadline - now);
    }
    return true;
}

/* ---- forks and exit ---- */

static void lock_before_fork(void) {
    uv_mutex_lock(&logger.lock);
}

static void unlock_in_parent(void) {
    uv_mutex_unlock(&logger.lock);
}

/* What is queued is the parent's to write, and there is no writer thread here yet. */
static void reset_in_child(void) {
    uv_cond_init(&logger.arrived);
    uv_cond_init(&logger.idle);
    logger.filled = 0;
    logger.records_written = logger.records_queued;
    logger.dropped_told = logger.dropped;
    logger.writer_started = false;
    logger.writer_busy = false;
    if (logger.sink) {
        crt_ref_init(&logger.sink->refs); /* without the writer's */
    }
    uv_mutex_unlock(&logger.lock);
}

static crt_fork_hook fork_hook = {lock_before_fork, unlock_in_parent, reset_in_child, NULL};

/* A function may need what is already torn down at exit; a file is always good for the last lines. */
static void flush_at_exit(void) {
    uv_mutex_lock(&logger.lock);
    if (logger.sink && logger.sink->file) {
        wait_until_written(logger.records_queued, PATIENCE_MS);
    }
    uv_mutex_unlock(&logger.lock);
}

static void init(void) {
    uv_mutex_init(&logger.lock);
    uv_cond_init(&logger.arrived);
    uv_cond_init(&logger.idle);
    /* Plain malloc: these live as long as the process and are nobody's leak. */
    logger.filling = malloc(QUEUE_BYTES);
    logger.emptying = malloc(QUEUE_BYTES);
    logger.has_buffers = logger.filling && logger.emptying;
    crt_fork_watch(&fork_hook);
    atexit(flush_at_exit);
}

/* ---- the writer ---- */

static int64_t wall_clock_ns(void) {
    struct timespec now;

    timespec_get(&now, TIME_UTC);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* All but the message. */
static void fill_record(queued *record, int level, int subject, size_t len) {
    record->size = (sizeof(queued) + len + 1 + 7) & ~(size_t)7;
    record->len = len;
    record->level = level;
    record->subject = subject;
    record->time_ns = wall_clock_ns();
    record->thread_id = crt_thread_id();
    crt_thread_get_name(record->thread);
}

/* False when this record did not get through either. */
static bool tell_dropped(sink *to, size_t count) {
    union {
        queued record;
        char bytes[sizeof(queued) + 64];
    } note;
    int len = snprintf(note.bytes + offsetof(queued, message), 64, "%zu messages dropped", count);

    fill_record(&note.record, CRT_LOG_WARN, CRT_LS_COMMON, (size_t)len);
    return sink_emit(to, note.bytes, note.record.size) == 0;
}

/* Lock held, and again on return; released while the sink is at work. */
static void write_batch(void) {
    char *batch = logger.filling;
    size_t filled = logger.filled;
    uint64_t records = logger.records_queued;
    size_t dropped = logger.dropped;
    size_t untold = dropped - logger.dropped_told;
    size_t lost = 0;
    bool told = false;
    sink *to = logger.sink;

    logger.filling = logger.emptying;
    logger.emptying = batch;
    logger.filled = 0;
    logger.writer_busy = true;
    if (to) {
        crt_ref_inc(&to->refs);
    }
    uv_mutex_unlock(&logger.lock);

    if (to) {
        lost = sink_emit(to, batch, filled);
        told = untold > 0 && lost == 0 && tell_dropped(to, untold);
    }
    sink_release(to);

    uv_mutex_lock(&logger.lock);
    logger.writer_busy = false;
    logger.records_written = records;
    logger.dropped += lost;
    if (told) {
        logger.dropped_told = dropped;
    }
    uv_cond_broadcast(&logger.idle);
}

static void run_writer(void *arg) {
    (void)arg;
    crt_thread_set_name("AwsLogger");
    uv_mutex_lock(&logger.lock);
    logger.writer_id = crt_thread_id();
    for (;;) {
        while (logger.filled == 0) {
            uv_cond_wait(&logger.arrived, &logger.lock);
        }
        write_batch();
    }
}

/* ---- producers ---- */

/* Lock held. The thread runs until the process ends and is never joined. */
static bool writer_ready(void) {
    uv_thread_t thread;

    if (!logger.writer_started) {
        logger.writer_started = crt_thread_create(&thread, run_writer, NULL) == 0;
    }
    return logger.writer_started;
}

static void enqueue(int level, int subject, const char *message, size_t len) {
    queued record;
    char *place;

    fill_record(&record, level, subject, len);
    uv_mutex_lock(&logger.lock);
    if (!logger.sink) {
        uv_mutex_unlock(&logger.lock);
        return;
    }
    if (QUEUE_BYTES - logger.filled < record.size || !writer_ready()) {
        logger.dropped++;
        uv_mutex_unlock(&logger.lock);
        return;
    }
    place = logger.filling + logger.filled;
    memcpy(place, &record, sizeof(record));
    memcpy(place + offsetof(queued, message), message, len);
    place[offsetof(queued, message) + len] = '\0';
    if (logger.filled == 0) {
        uv_cond_signal(&logger.arrived);
    }
    logger.filled += record.size;
    logger.records_queued++;
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
    if (n > CRT_LOG_MESSAGE_MAX) {
        n = CRT_LOG_MESSAGE_MAX;
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

static void replace_sink(int level, sink *next) {
    sink *old;

    uv_mutex_lock(&logger.lock);
    if (logger.sink) {
        wait_until_written(logger.records_queued, PATIENCE_MS);
    }
    old = logger.sink;
    logger.sink = next;
    __atomic_store_n(&level_now, next ? level : CRT_LOG_NONE, __ATOMIC_RELAXED);
    uv_mutex_unlock(&logger.lock);
    sink_release(old);
}

/* 0, or AWS_ERROR_OOM: without memory for queue or sink nothing is replaced. */
static int replace_with(int level, crt_log_file *file, crt_log_fn fn) {
    sink *next = logger.has_buffers ? sink_new(file, fn) : NULL;

    if (!next) {
        return AWS_ERROR_OOM;
    }
    replace_sink(level, next);
    return 0;
}

int crt_log_open(int level, const char *destination) {
    crt_log_file *file;
    int status;

    uv_once(&once, init);
    if (!destination || destination[0] == '\0') {
        return AWS_ERROR_FILE_INVALID_PATH;
    }
    file = crt_log_file_open(destination);
    if (!file) {
        return AWS_ERROR_FILE_INVALID_PATH;
    }
    status = replace_with(level, file, NULL);
    if (status) {
        crt_log_file_close(file);
    }
    return status;
}

int crt_log_to(int level, crt_log_fn fn) {
    uv_once(&once, init);
    return replace_with(level, NULL, fn);
}

void crt_log_close(void) {
    uv_once(&once, init);
    replace_sink(CRT_LOG_NONE, NULL);
}

bool crt_log_goes_to(crt_log_fn fn) {
    bool so;

    uv_once(&once, init);
    uv_mutex_lock(&logger.lock);
    so = logger.sink && logger.sink->fn == fn;
    uv_mutex_unlock(&logger.lock);
    return so;
}

void crt_log_set_level(int level) {
    uv_once(&once, init);
    uv_mutex_lock(&logger.lock);
    if (logger.sink) {
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

bool crt_log_flush(int timeout_ms) {
    bool written;

    uv_once(&once, init);
    uv_mutex_lock(&logger.lock);
    written = wait_until_written(logger.records_queued, timeout_ms > 0 ? (uint64_t)timeout_ms : 0);
    uv_mutex_unlock(&logger.lock);
    return written;
}
