/*
 * awscrt/core_api.h: all that a feature's extension needs of awscrt-core.
 *
 * An extension built through awscrt.build defines CRT_CORE_VIA_TABLE. In exactly one of its source files it
 * defines AWSCRT_CORE_IMPLEMENT before including this header, and calls awscrt_core_import() first thing in
 * its module init. After that every function declared here and in crt/{memory,buffer,log,loop,resolver,
 * stream,tls,crypto,checksums,status}.h is called like a plain function.
 *
 * The table is append-only within a major version. Nothing here is thread-safe without the GIL unless it
 * says so.
 */
#ifndef AWSCRT_CORE_API_H
#define AWSCRT_CORE_API_H

#ifndef PY_SSIZE_T_CLEAN
#define PY_SSIZE_T_CLEAN /* lengths of '#' formats are Py_ssize_t */
#endif
#include <Python.h>

#include "awscrt/pycompat.h"
#include "crt/base.h"
#include "crt/buffer.h"
#include "crt/checksums.h"
#include "crt/crypto.h"
#include "crt/keys.h"
#include "crt/log.h"
#include "crt/loop.h"
#include "crt/memory.h"
#include "crt/resolver.h"
#include "crt/source.h"
#include "crt/status.h"
#include "crt/stream.h"
#include "crt/tls.h"
#include "crt/transport.h"

CRT_EXTERN_C_BEGIN

#define AWSCRT_CORE_ABI_MAJOR 1
#define AWSCRT_CORE_ABI_MINOR 0
#define AWSCRT_CORE_CAPSULE "awscrt._core._C_API"

/* ---- delivery of events to Python ---- */

/*
 * An event on its way to Python. `deliver` runs once with the GIL held and frees the event; it must not leave
 * an exception set (awscrt_report does that). `discard` replaces it when the interpreter is going away: no GIL,
 * no Python; it frees plain memory and lets Python references leak.
 */
typedef struct awscrt_event {
    struct awscrt_event *next;
    void (*deliver)(struct awscrt_event *event);
    void (*discard)(struct awscrt_event *event);
} awscrt_event;

/* The events of one asyncio loop: pushed from any thread without the GIL, drained by that loop. */
typedef struct awscrt_mailbox awscrt_mailbox;

/*
 * Where an object's events go. mailbox NULL: the outbox of `loop`, delivered on the loop's thread once per
 * iteration under one GIL acquisition (push from that thread only). Otherwise the mailbox.
 */
typedef struct awscrt_sink {
    crt_loop *loop;
    awscrt_mailbox *mailbox;
} awscrt_sink;

CRT_FN(void, awscrt_deliver, (const awscrt_sink *sink, awscrt_event *event));
/* True while events may still reach Python; false once finalization has started. Any thread. */
CRT_FN(bool, awscrt_python_alive, (void));
/* Drops a reference. Any thread, GIL held or not: on a loop's thread with its next batch of events. */
CRT_FN(void, awscrt_drop, (PyObject *object));

/* Mailbox of the asyncio loop `loop` (an asyncio.AbstractEventLoop; made on first use; call it on that loop's
   thread). New reference in C terms. Events pushed after the asyncio loop closed are still delivered, on the
   thread that pushes them. NULL + exception. */
CRT_FN(awscrt_mailbox *, awscrt_mailbox_of, (PyObject *loop));
CRT_FN(void, awscrt_mailbox_acquire, (awscrt_mailbox *mailbox)); /* any thread */
CRT_FN(void, awscrt_mailbox_release, (awscrt_mailbox *mailbox)); /* any thread */

/* ---- futures: concurrent.futures.Future, without the cost until somebody waits ---- */

CRT_FN(PyObject *, awscrt_future_new, (void));
/* Complete; steal nothing. A future that was cancelled or is done stays as it is. */
CRT_FN(void, awscrt_future_set_result, (PyObject *future, PyObject *result));
CRT_FN(void, awscrt_future_set_exception, (PyObject *future, PyObject *exception));

/* ---- errors ---- */

/* awscrt.exceptions.from_code with the detail appended to the message. New reference, never NULL. */
CRT_FN(PyObject *, awscrt_exception, (int code, const char *detail));
/* Raises RuntimeError("<code> (<NAME>): <message> <detail>"); returns NULL. */
CRT_FN(PyObject *, awscrt_raise, (int code, const char *detail));
/* Maps the exception that is set to a code (exact types), prints its traceback to stderr, clears it. */
CRT_FN(int, awscrt_code_of_exception, (void));
/* Hands the exception that is set to sys.unraisablehook. */
CRT_FN(void, awscrt_report, (PyObject *context));

/* ---- what Python objects of core stand for ---- */

/* ClientBootstrap, or None for the default one. Borrowed from the object, which is returned in *keep (new
   reference) for the caller to hold as long as it uses them. 0, or -1 + exception. */
CRT_FN(int, awscrt_bootstrap_get,
       (PyObject *bootstrap, crt_loop_group **group, crt_resolver **resolver, PyObject **keep));
/* SocketOptions or None (defaults); validates: AttributeError, TypeError, OverflowError, ValueError. The interface's
   name is valid on this thread until the next call. */
CRT_FN(int, awscrt_socket_options_get, (PyObject *options, crt_socket_options *out));
/* TlsConnectionOptions or None (out->ctx NULL). What is found is borrowed from *keep (new reference, NULL for None
   and on failure), which the caller holds as long as it uses it: the object itself may change meanwhile. */
CRT_FN(int, awscrt_tls_options_get, (PyObject *options, crt_tls_options *out, PyObject **keep));
/* ClientTlsContext -> borrowed crt_tls_ctx; NULL + TypeError. */
CRT_FN(crt_tls_ctx *, awscrt_tls_ctx_get, (PyObject *context));
/* InputStream (or None: NULL without exception) -> new reference to a READER source. */
CRT_FN(crt_source *, awscrt_source_of_input_stream, (PyObject *stream));
/* The Python stream that an InputStream wraps. New reference; NULL + TypeError. */
CRT_FN(PyObject *, awscrt_input_stream_object, (PyObject *stream));
/* MEMORY source over any buffer object, which it keeps (and its buffer locked) until destroyed. */
CRT_FN(crt_source *, awscrt_source_of_buffer, (PyObject *buffer));

/* ---- the table ---- */

#define AWSCRT_CORE_FUNCTIONS(X)                                                                              \
    X(crt_error_register) X(crt_error_name) X(crt_error_message) X(crt_fail)                                  \
    X(crt_malloc) X(crt_calloc) X(crt_realloc) X(crt_free) X(crt_malloc_aligned) X(crt_free_aligned)          \
    X(crt_strdup) X(crt_strndup) X(crt_memory_live) X(crt_memory_traced_bytes)                                \
    X(crt_budget_limit) X(crt_budget_set_limit) X(crt_budget_used) X(crt_budget_try_take)                     \
    X(crt_budget_give_back) X(crt_budget_take_later) X(crt_budget_cancel)                                     \
    X(crt_buf_reserve) X(crt_buf_append) X(crt_buf_printf) X(crt_buf_free)                                    \
    X(crt_log_level_now) X(crt_log_write) X(crt_log_subject_name)                                             \
    X(crt_loop_group_new) X(crt_loop_group_acquire) X(crt_loop_group_release) X(crt_loop_group_size)          \
    X(crt_loop_group_at) X(crt_loop_group_pick) X(crt_loop_is_current) X(crt_loop_post) X(crt_loop_defer)     \
    X(crt_loop_set_user) X(crt_loop_user) X(crt_loop_now_ms) X(crt_clock_ns) X(crt_loop_load)                 \
    X(crt_timer_start) X(crt_timer_stop) X(crt_threads_join) X(crt_cpu_count) X(crt_fork_generation)          \
    X(crt_resolver_new) X(crt_resolver_acquire) X(crt_resolver_release) X(crt_resolver_resolve)               \
    X(crt_resolver_report) X(crt_address_text)                                                                \
    X(crt_tls_ctx_new) X(crt_tls_ctx_acquire) X(crt_tls_ctx_release) X(crt_tls_cipher_pref_supported)         \
    X(crt_stream_release) X(crt_stream_connect) X(crt_connect_cancel) X(crt_tls_start)                        \
    X(crt_hash_size) X(crt_hash_new) X(crt_hash_update) X(crt_hash_digest) X(crt_hash_free)                   \
    X(crt_sha256) X(crt_hmac_sha256) X(crt_random) X(crt_base64_encoded_len) X(crt_base64_encode)             \
    X(crt_base64_decode) X(crt_hex_encode)                                                                    \
    X(crt_crc32) X(crt_crc32c) X(crt_crc64nvme)                                                               \
    X(crt_crc32_combine) X(crt_crc32c_combine) X(crt_crc64nvme_combine)                                       \
    X(awscrt_deliver) X(awscrt_python_alive) X(awscrt_mailbox_of) X(awscrt_mailbox_acquire)                   \
    X(awscrt_mailbox_release) X(awscrt_future_new) X(awscrt_future_set_result) X(awscrt_future_set_exception) \
    X(awscrt_exception) X(awscrt_raise) X(awscrt_code_of_exception) X(awscrt_report)                          \
    X(awscrt_bootstrap_get) X(awscrt_socket_options_get) X(awscrt_tls_options_get) X(awscrt_tls_ctx_get)      \
    X(awscrt_source_of_input_stream) X(awscrt_source_of_buffer) X(awscrt_drop)                          \
    X(awscrt_input_stream_object) X(crt_tls_cancel) \
    X(crt_xxh_size) X(crt_xxh) X(crt_xxh_stream_new) X(crt_xxh_stream_update) X(crt_xxh_stream_digest)        \
    X(crt_xxh_stream_free)                                                                                    \
    X(crt_hmac_init) X(crt_hmac_update) X(crt_hmac_digest) X(crt_hmac_wipe)                                   \
    X(crt_ec_new_private_number) X(crt_ec_sign) X(crt_ec_free) X(crt_ec_sign_with)

#if defined(CRT_CORE_VIA_TABLE)
#define AWSCRT_CORE_MEMBER(name) CRT_TYPEOF(name) fn_##name;
#else
#define AWSCRT_CORE_MEMBER(name) CRT_TYPEOF(&name) fn_##name;
#endif

typedef struct awscrt_core_api {
    uint32_t abi_major;
    uint32_t abi_minor;
    size_t struct_size;
    const char *version; /* of the awscrt-core distribution */
    AWSCRT_CORE_FUNCTIONS(AWSCRT_CORE_MEMBER)
} awscrt_core_api;

/*
 * Fetches the table. `distribution` is the caller's ("awscrt-http"). 0, or -1 with ImportError that names both
 * versions and the pip command that mends it.
 */
#if defined(CRT_CORE_VIA_TABLE)
CRT_HIDDEN int awscrt_core_import(const char *distribution);

#if defined(AWSCRT_CORE_IMPLEMENT)
#define AWSCRT_CORE_DEFINE(name) CRT_TYPEOF(name) name;
AWSCRT_CORE_FUNCTIONS(AWSCRT_CORE_DEFINE)
#undef AWSCRT_CORE_DEFINE

int awscrt_core_import(const char *distribution) {
    const awscrt_core_api *api;
    PyObject *module = PyImport_ImportModule("awscrt._core");
    PyObject *capsule = module ? PyObject_GetAttrString(module, "_C_API") : NULL;
    Py_XDECREF(module);
    if (!capsule) {
        return -1;
    }
    api = (const awscrt_core_api *)PyCapsule_GetPointer(capsule, AWSCRT_CORE_CAPSULE);
    Py_DECREF(capsule);
    if (!api) {
        return -1;
    }
    if (api->abi_major != AWSCRT_CORE_ABI_MAJOR || (int)api->abi_minor < AWSCRT_CORE_ABI_MINOR ||
        api->struct_size < sizeof(awscrt_core_api)) {
        PyErr_Format(PyExc_ImportError,
                     "%s was built for the C API %d.%d of awscrt-core, but the installed awscrt-core %s offers "
                     "%d.%d. Install matching versions: pip install --upgrade awscrt-core %s",
                     distribution, AWSCRT_CORE_ABI_MAJOR, AWSCRT_CORE_ABI_MINOR, api->version,
                     (int)api->abi_major, (int)api->abi_minor, distribution);
        return -1;
    }
#define AWSCRT_CORE_FETCH(name) name = api->fn_##name;
    AWSCRT_CORE_FUNCTIONS(AWSCRT_CORE_FETCH)
#undef AWSCRT_CORE_FETCH
    return 0;
}
#endif /* AWSCRT_CORE_IMPLEMENT */
#endif /* CRT_CORE_VIA_TABLE */

CRT_EXTERN_C_END
#endif
