/*
 * Logging: levels, subjects (numbers of the AWS runtime, id = package * 1024 + index), one sink.
 * A caller never blocks on the sink: lines go through a bounded queue to a writer thread, and what
 * does not fit is counted as dropped.
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

enum crt_log_subject {
    CRT_LS_COMMON = 0x000,
    CRT_LS_IO = 0x400,
    CRT_LS_EVENT_LOOP = 0x401,
    CRT_LS_SOCKET = 0x402,
    CRT_LS_TLS = 0x404,
    CRT_LS_DNS = 0x406,
    CRT_LS_HTTP_CONNECTION = 0x801,
    CRT_LS_HTTP_STREAM = 0x803,
    CRT_LS_WEBSOCKET = 0x805,
    CRT_LS_MQTT_CLIENT = 0x1401,
    CRT_LS_AUTH_SIGNING = 0x1803,
    CRT_LS_S3_CLIENT = 0x3801,
};

/* Opens the destination: "stdout", "stderr" or a path opened for append. Replaces the earlier one. */
CRT_FN(int, crt_log_open, (int level, const char *destination));
/* Sends lines to a function instead (called on the writer thread). NULL closes. */
typedef void (*crt_log_fn)(void *user, int level, int subject, const char *thread, const char *message);
CRT_FN(int, crt_log_to, (int level, crt_log_fn fn, void *user));
CRT_FN(void, crt_log_set_level, (int level));
CRT_FN(int, crt_log_level_now, (void));
CRT_FN(const char *, crt_log_subject_name, (int subject));
CRT_FN(void, crt_log_write, (int level, int subject, const char *format, ...));
CRT_FN(size_t, crt_log_dropped, (void));
/* Waits until everything queued so far is written. */
CRT_FN(void, crt_log_flush, (void));

/* Arguments are not evaluated when the level is off. */
#define CRT_LOG(level, subject, ...)                                                                          \
    do {                                                                                                      \
        if ((level) <= crt_log_level_now()) {                                                                 \
            crt_log_write((level), (subject), __VA_ARGS__);                                                   \
        }                                                                                                     \
    } while (0)

CRT_EXTERN_C_END
#endif
