/*
 * Status codes: 0 or an error code. Codes and names are those users of the AWS runtime know
 * (code = package * 1024 + index); the messages are ours. Each package registers its own range,
 * from a table next to its code (errors.def).
 */
#ifndef CRT_STATUS_H
#define CRT_STATUS_H

#include "crt/base.h"

CRT_EXTERN_C_BEGIN

typedef struct crt_error_info {
    int code;
    const char *name;    /* "AWS_IO_SOCKET_TIMEOUT" */
    const char *message; /* one sentence: what happened, what to do */
} crt_error_info;

/* Adds a package's table (static storage). Registering the same table again does nothing. */
CRT_FN(void, crt_error_register, (const crt_error_info *table, size_t count));

/* Never NULL: "Unknown Error Code" for a code nobody registered. */
CRT_FN(const char *, crt_error_name, (int code));
CRT_FN(const char *, crt_error_message, (int code));

/*
 * The enumerators below come from the packages' errors.def files, lines of
 * CRT_ERROR(code, NAME, "message"), so that a code is written down once.
 */
#define CRT_ERROR(code, name, message) name = code,
enum crt_core_error {
#include "crt/errors_common.def"
#include "crt/errors_io.def"
#include "crt/errors_eventstream.def"
#include "crt/errors_crypto.def"
    CRT_CORE_ERROR_END
};
#undef CRT_ERROR

/*
 * A failure with its story: the code, and one line that names the host, file or topic and what was
 * tried. Copied by value; `detail` is always terminated and may be empty.
 */
typedef struct crt_fault {
    int code;
    char detail[252];
} crt_fault;

/* Sets code and formats the detail; long text is cut. Returns code, so that `return crt_fail(...)` reads well. */
CRT_FN(int, crt_fail, (crt_fault *fault, int code, const char *format, ...));

CRT_EXTERN_C_END
#endif
