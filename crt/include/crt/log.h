/*
 * Logging: levels, subjects (numbers of the AWS runtime, id = package * 1024 + index), one destination.
 *
 * A caller never waits for the destination: records go through a bounded queue to a writer thread. What does not
 * fit is counted, and told once there is room again by a record "N messages dropped".
 */
#ifndef CRT_LOG_H
#define CRT_LOG_H

#include "crt/base.h"

CRT_EXTERN_C_BEGIN

enum crt_log_level {
    CRT_LOG_NONE = 0,
    CRT_LOG_FATAL = 1,
    CRT_LOG_ERROR = 2,
    CRT_LOG_WARN = 3,
    CRT_LOG_INFO = 4,
    CRT_LOG_DEBUG = 5,
    CRT_LOG_TRACE = 6,
};

#define CRT_LOG_SUBJECT(id, enumerator, name) enumerator = id,
enum crt_log_subject {
#include "crt/log_subjects.def"
};
#undef CRT_LOG_SUBJECT

/* "Unknown" for a number that is no subject. */
CRT_FN(const char *, crt_log_subject_name, (int subject));

/* ---- the destination; may be set at any time, from any thread ---- */

typedef struct crt_log_record {
    int level;
    int subject;
    int64_t time_ns; /* since 1970, UTC */
    uint64_t thread_id;
    const char *thread;  /* name of the thread that logged */
    const char *message; /* terminated */
    size_t len;
} crt_log_record;

/* Records in the order in which they were queued. */
typedef struct crt_log_batch crt_log_batch;
/* False after the last one. What `record` points to is valid until the next call. */
CRT_FN(bool, crt_log_next, (crt_log_batch *batch, crt_log_record *record));

/* Called on the writer thread, one batch at a time. */
typedef void (*crt_log_fn)(crt_log_batch *batch);

/*
 * Each replaces the destination set before, which gets what was queued until now; one that takes nothing for a
 * second loses the rest to its successor. A call of the former function may then still be under way, so functions
 * stay callable as long as the process lives.
 */

/* "stdout", "stderr" or a path opened for append. AWS_ERROR_FILE_INVALID_PATH or _OOM leave everything as it was. */
CRT_FN(int, crt_log_open, (int level, const char *destination));
CRT_FN(int, crt_log_to, (int level, crt_log_fn fn)); /* 0 or AWS_ERROR_OOM */
CRT_FN(void, crt_log_close, (void));
/* True while records go to this function. */
CRT_FN(bool, crt_log_goes_to, (crt_log_fn fn));

/* Without a destination the level is CRT_LOG_NONE and stays so. */
CRT_FN(void, crt_log_set_level, (int level));
CRT_FN(int, crt_log_level_now, (void));

/* ---- records ---- */

CRT_FN(void, crt_log_write, (int level, int subject, const char *format, ...) CRT_PRINTF(3, 4));
/* Records lost since the start: the queue was full, or the file could not be written. */
CRT_FN(size_t, crt_log_dropped, (void));
/* Waits until everything queued so far is written, at most `timeout_ms`. True when it is. */
CRT_FN(bool, crt_log_flush, (int timeout_ms));

/* Arguments are not evaluated when the level is off. */
#define CRT_LOG(level, subject, ...)                                                                          \
    do {                                                                                                      \
        if ((level) <= crt_log_level_now()) {                                                                 \
            crt_log_write((level), (subject), __VA_ARGS__);                                                   \
        }                                                                                                     \
    } while (0)

CRT_EXTERN_C_END
#endif
