/*
 * awscrt._core, internal: what the binding's files share. The exported part is awscrt/core_api.h.
 */
#ifndef AWSCRT_BINDING_H
#define AWSCRT_BINDING_H

#include "awscrt/core_api.h"
#include "crt/pkcs11.h"

/* ---- runtime.c: may this thread touch Python? ---- */

/*
 * Takes the GIL on any thread, held by it already or not. False once finalization has started: the caller
 * must not touch Python. Every true is paired with awscrt_python_leave.
 */
typedef struct awscrt_gil {
    PyGILState_STATE state;
    uint32_t generation;
} awscrt_gil;

bool awscrt_python_enter(awscrt_gil *gil);
void awscrt_python_leave(awscrt_gil *gil);

int awscrt_runtime_init(PyObject *module);

/* ---- outbox.c: events of one loop, delivered on its thread ---- */

/* Hooks for a new group. `on_gone` (new reference taken, may be NULL) is called once after its threads ended. */
int awscrt_loop_hooks_init(crt_loop_hooks *hooks, PyObject *on_gone);
/* Undoes awscrt_loop_hooks_init when no group came of it. */
void awscrt_loop_hooks_drop(crt_loop_hooks *hooks);
/* True on the thread of an event loop: waiting for other events here would be for ever. */
bool awscrt_on_loop_thread(void);

/* ---- handles: what `NativeResource._binding` holds ---- */

/* First member of everything a handle points to. */
typedef struct awscrt_native {
    uint32_t generation; /* crt_fork_generation() of the process that made it */
} awscrt_native;

/* The capsule's name says which class it belongs to: "awscrt.EventLoopGroup". */
#define AWSCRT_HANDLE(kind) "awscrt." kind

/* A capsule around `native`, whose generation is set. NULL + exception leaves `native` to the caller. */
PyObject *awscrt_handle_new(awscrt_native *native, const char *name, PyCapsule_Destructor destructor);
/* object._binding; new reference, or NULL + TypeError (not such an object), RuntimeError (from before a fork). */
PyObject *awscrt_handle_of(PyObject *object, const char *name);
/* The same, for the native part alone; borrowed from `object`. */
void *awscrt_native_of(PyObject *object, const char *name);
/* False in a forked child for what the parent made: drop Python references only. */
bool awscrt_native_is_ours(const awscrt_native *native);

/* ---- pkcs11.c: the PKCS#11 part of a TLS context's options ---- */

typedef struct awscrt_pkcs11 {
    crt_pkcs11_options options;
    uint64_t slot;
} awscrt_pkcs11;

/* From the tuple (lib, pin, slot, token label, key label, certificate's path, contents), whose bytes and library are
   borrowed; None leaves options.lib NULL. -1 with an exception. */
int awscrt_pkcs11_get(PyObject *identity, awscrt_pkcs11 *out);

/* ---- methods and types that module.c collects ---- */

extern CRT_HIDDEN PyMethodDef awscrt_runtime_methods[];
extern CRT_HIDDEN PyMethodDef awscrt_error_methods[];
extern CRT_HIDDEN PyMethodDef awscrt_io_methods[];
extern CRT_HIDDEN PyMethodDef awscrt_logging_methods[];
extern CRT_HIDDEN PyMethodDef awscrt_tls_methods[];
extern CRT_HIDDEN PyMethodDef awscrt_pkcs11_methods[];
extern CRT_HIDDEN PyMethodDef awscrt_checksum_methods[];
extern CRT_HIDDEN PyMethodDef awscrt_xxhash_methods[];
extern CRT_HIDDEN PyMethodDef awscrt_source_methods[];
extern CRT_HIDDEN PyMethodDef awscrt_crypto_methods[];
extern CRT_HIDDEN PyMethodDef awscrt_key_methods[];

int awscrt_future_init(PyObject *module);
int awscrt_cbor_init(PyObject *module);
int awscrt_crypto_init(PyObject *module);
int awscrt_xxhash_init(PyObject *module);

/* Delivers on this thread: with the batch of its loop, or at once under the GIL on other threads. */
void awscrt_deliver_here(awscrt_event *event);

#endif
