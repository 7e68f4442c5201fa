/*
 * What the files of signing share.
 */
#ifndef AWSCRT_HTTP_SIGNING_H
#define AWSCRT_HTTP_SIGNING_H

#include "binding.h"

/* ---- signing_config.c ---- */

/* The config's provider or None, borrowed; NULL, without an exception, for what is no config. */
PyObject *awscrt_signing_provider(PyObject *config);
/* Asks the callback `user`, on any thread, with or without the GIL. One that raises does not keep a header from being
   signed. */
bool awscrt_signing_ask(void *user, crt_bytes name);

/* ---- signing.c ---- */

/* Signs the subject and completes the future. GIL held. */
typedef void (*awscrt_signing_step)(PyObject *future, PyObject *config, PyObject *subject,
                                    const crt_credentials *credentials);
/* Asks the provider of a config and has the step run with its answer. The future; NULL + exception for what the call
   itself must raise. */
PyObject *awscrt_signing_start(PyObject *config, PyObject *subject, awscrt_signing_step step);
/* Completes a future with the exception of that code. */
void awscrt_signing_fail(PyObject *future, int code, const char *detail);

#endif
