/*
 * What becomes of a crash. For programs in the field whose only witness is their standard error.
 */
#ifndef CRT_CRASH_H
#define CRT_CRASH_H

#include "crt/base.h"

CRT_EXTERN_C_BEGIN

/*
 * When the environment says AWS_CRT_CRASH_HANDLER=1: from now on SIGSEGV, SIGABRT, SIGILL and SIGBUS print a
 * backtrace to standard error and end the process with status 255. Replaces handlers that were there.
 */
CRT_FN(void, crt_crash_handler_install, (void));

CRT_EXTERN_C_END
#endif
