/*
 * The log as a file: one line per record. A destination that takes nothing (a full disk, a pipe nobody reads)
 * costs records, never the program.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "log_internal.h"

enum {
    PREFIX_MAX = 160,
    OUTPUT_BYTES = CRT_LOG_MESSAGE_MAX + PREFIX_MAX + 1, /* one line always fits */
    READY_WAIT_MS = 1000,
};

struct crt_log_file {
    int fd;
    bool owned;
    bool torn; /* the last line written ended in its middle */
    size_t used;
    size_t lost;
    time_t second; /* `when` is its text: most lines share theirs with the line before */
    char when[32];
    char output[OUTPUT_BYTES];
};

crt_log_file *crt_log_file_open(const char *destination) {
    /* Plain malloc: the log outlives the accounts of everything else and is nobody's leak. */
    crt_log_file *file = malloc(sizeof(*file));

    if (!file) {
        return NULL;
    }
    file->owned = false;
    file->torn = false;
    file->used = file->lost = 0;
    file->second = -1;
    if (strcmp(destination, "stdout") == 0) {
        file->fd = STDOUT_FILENO;
    } else if (strcmp(destination, "stderr") == 0) {
        file->fd = STDERR_FILENO;
    } else {
        file->fd = open(destination, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
        file->owned = true;
    }
    if (file->fd < 0) {
        free(file);
        return NULL;
    }
    return file;
}

void crt_log_file_close(crt_log_file *file) {
    if (file->owned) {
        close(file->fd);
    }
    free(file);
}

/* Somebody else may have made stdout or stderr non-blocking. */
static bool becomes_ready(int fd) {
    struct pollfd waiting = {.fd = fd, .events = POLLOUT};
    int n;

    do {
        n = poll(&waiting, 1, READY_WAIT_MS);
    } while (n < 0 && errno == EINTR);
    return n > 0;
}

/* How many bytes could be written. */
static size_t write_all(int fd, const char *data, size_t len) {
    size_t written = 0;

    while (written < len) {
        ssize_t n = write(fd, data + written, len - written);
        if (n >= 0) {
            written += (size_t)n;
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            if (!becomes_ready(fd)) {
                break;
            }
        } else if (errno != EINTR) {
            break;
        }
    }
    return written;
}

/* A message of several lines counts as several, which is near enough for "N messages dropped". */
static size_t count_lines(const char *data, size_t len) {
    size_t lines = 0;
    size_t i;

    for (i = 0; i < len; i++) {
        lines += data[i] == '\n';
    }
    return lines;
}

static void flush_output(crt_log_file *file) {
    size_t written = 0;

    if (file->used == 0) {
        return;
    }
    if (file->torn) {
        file->torn = write_all(file->fd, "\n", 1) != 1;
    }
    if (!file->torn) {
        written = write_all(file->fd, file->output, file->used);
        file->torn = written > 0 && file->output[written - 1] != '\n';
    }
    file->lost += count_lines(file->output + written, file->used - written);
    file->used = 0;
}

static void append_line(crt_log_file *file, const crt_log_record *record) {
    static const char *const names[] = {"NONE", "FATAL", "ERROR", "WARN", "INFO", "DEBUG", "TRACE"};
    const char *level = record->level >= 0 && record->level <= CRT_LOG_TRACE ? names[record->level] : "TRACE";
    time_t second = (time_t)(record->time_ns / 1000000000);
    int n;

    if (second != file->second) {
        struct tm utc;
        gmtime_r(&second, &utc);
        strftime(file->when, sizeof(file->when), "%Y-%m-%dT%H:%M:%SZ", &utc);
        file->second = second;
    }
    if (OUTPUT_BYTES - file->used < PREFIX_MAX + record->len + 1) {
        flush_output(file);
    }
    n = snprintf(file->output + file->used, PREFIX_MAX, "[%s] [%s] [%016llx] [%s] - ", level, file->when,
                 (unsigned long long)record->thread_id, crt_log_subject_name(record->subject));
    file->used += n < PREFIX_MAX ? (size_t)n : PREFIX_MAX - 1;
    memcpy(file->output + file->used, record->message, record->len);
    file->used += record->len;
    file->output[file->used++] = '\n';
}

size_t crt_log_file_write(crt_log_file *file, crt_log_batch *batch) {
    crt_log_record record;

    file->lost = 0;
    while (crt_log_next(batch, &record)) {
        append_line(file, &record);
    }
    flush_output(file);
    return file->lost;
}
