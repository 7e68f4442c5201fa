/*
 * awscrt/http_api.h: all that a feature's extension needs of awscrt-http; see awscrt/core_api.h for how the
 * tables work. Define CRT_HTTP_VIA_TABLE (awscrt.build does), AWSCRT_HTTP_IMPLEMENT in one source file, and
 * call awscrt_http_import() after awscrt_core_import().
 */
#ifndef AWSCRT_HTTP_API_H
#define AWSCRT_HTTP_API_H

#include "awscrt/core_api.h"
#include "crt/auth.h"
#include "crt/http.h"
#include "crt/http_pool.h"

CRT_EXTERN_C_BEGIN

#define AWSCRT_HTTP_ABI_MAJOR 1
#define AWSCRT_HTTP_ABI_MINOR 0
#define AWSCRT_HTTP_CAPSULE "awscrt._http._C_API"

/* ---- what Python objects of http stand for (GIL held) ---- */

/* HttpRequest -> borrowed message; NULL + TypeError. The message's body is kept in step with body_stream. */
CRT_HTTP_FN(crt_http_message *, awscrt_http_message_get, (PyObject *request));
/* [(name, value), ...] of str. New reference; NULL + exception (UnicodeDecodeError for undecodable bytes). */
CRT_HTTP_FN(PyObject *, awscrt_http_header_list, (const crt_http_header *headers, size_t count));
/* HttpProxyOptions or None (out->host NULL). What is found is borrowed from *keep (new reference, NULL for None and
   on failure), which the caller holds as long as it uses it: attributes may be computed or change meanwhile. `tls` is
   the caller's storage that out->tls points to when TLS to the proxy is asked for. 0, or -1 + exception. */
CRT_HTTP_FN(int, awscrt_http_proxy_get,
            (PyObject *options, crt_http_proxy *out, crt_tls_options *tls, PyObject **keep));

/* AwsCredentials -> borrowed; NULL + TypeError. */
CRT_HTTP_FN(crt_credentials *, awscrt_credentials_get, (PyObject *credentials));

/*
 * AwsSigningConfig as the C runtime uses it: everything but the credentials, which are asked of the provider
 * once per signing. Strings are borrowed from the object. -1 + exception.
 */
CRT_HTTP_FN(int, awscrt_signing_config_get, (PyObject *config, crt_signing_config *out));

/*
 * Asks a provider (AwsCredentialsProvider) for credentials. `done` is called once, possibly before the call
 * returns and on any thread, with the GIL held: credentials borrowed, or NULL and a code.
 */
typedef void (*awscrt_credentials_fn)(void *user, crt_credentials *credentials, int code);
CRT_HTTP_FN(void, awscrt_credentials_query, (PyObject *provider, awscrt_credentials_fn done, void *user));

#define AWSCRT_HTTP_FUNCTIONS(X)                                                                               \
    X(crt_http_headers_new) X(crt_http_headers_acquire) X(crt_http_headers_release) X(crt_http_headers_count)  \
    X(crt_http_headers_at) X(crt_http_headers_add) X(crt_http_headers_set) X(crt_http_headers_get)             \
    X(crt_http_headers_remove) X(crt_http_headers_remove_value) X(crt_http_headers_clear)                      \
    X(crt_http_message_new) X(crt_http_message_acquire) X(crt_http_message_release)                            \
    X(crt_http_message_set_method) X(crt_http_message_set_path) X(crt_http_message_method)                     \
    X(crt_http_message_path) X(crt_http_message_headers) X(crt_http_message_set_body) X(crt_http_message_body) \
    X(crt_http_connect) X(crt_http_conn_acquire) X(crt_http_conn_release) X(crt_http_conn_close)               \
    X(crt_http_conn_is_open) X(crt_http_conn_version) X(crt_http_conn_loop)                                    \
    X(crt_http_stream_new) X(crt_http_stream_activate) X(crt_http_stream_cancel) X(crt_http_stream_resume)     \
    X(crt_http_stream_update_window) X(crt_http_stream_release) X(crt_http_stream_conn)                        \
    X(crt_http_transport)                                                                                      \
    X(crt_credentials_new) X(crt_credentials_acquire) X(crt_credentials_release)                               \
    X(crt_credentials_access_key_id) X(crt_credentials_secret_access_key) X(crt_credentials_session_token)     \
    X(crt_credentials_expires) X(crt_sign_message)                                                             \
    X(awscrt_http_message_get) X(awscrt_http_header_list) X(awscrt_http_proxy_get)                             \
    X(awscrt_credentials_get) X(awscrt_signing_config_get) X(awscrt_credentials_query)                         \
    X(crt_message_signature) X(crt_presigner_new) X(crt_presigner_free) X(crt_presign)                         \
    X(crt_chunk_signer_new) X(crt_chunk_signer_free) X(crt_sign_chunk) X(crt_sign_trailer) X(crt_sign_event)   \
    X(crt_http_stream_unsent) X(crt_http_conn_update_window) X(crt_http_conn_ping)                            \
    X(crt_http_stream_expect_writes) X(crt_http_stream_write) X(crt_http_stream_new_with)               \
    X(crt_http_pool_new) X(crt_http_pool_release) X(crt_http_pool_stats_get) X(crt_http_pool_request_new)      \
    X(crt_http_pool_request_cancel) X(crt_http_pool_request_resume) X(crt_http_pool_request_release)           \
    X(crt_http_pool_request_loop) X(crt_http_pool_request_version)

#if defined(CRT_HTTP_VIA_TABLE)
#define AWSCRT_HTTP_MEMBER(name) CRT_TYPEOF(name) fn_##name;
#else
#define AWSCRT_HTTP_MEMBER(name) CRT_TYPEOF(&name) fn_##name;
#endif

typedef struct awscrt_http_api {
    uint32_t abi_major;
    uint32_t abi_minor;
    size_t struct_size;
    const char *version; /* of the awscrt-http distribution */
    AWSCRT_HTTP_FUNCTIONS(AWSCRT_HTTP_MEMBER)
} awscrt_http_api;

#if defined(CRT_HTTP_VIA_TABLE)
/* 0, or -1 with ImportError that names both versions and the pip command that mends it. */
CRT_HIDDEN int awscrt_http_import(const char *distribution);

#if defined(AWSCRT_HTTP_IMPLEMENT)
#define AWSCRT_HTTP_DEFINE(name) CRT_TYPEOF(name) name;
AWSCRT_HTTP_FUNCTIONS(AWSCRT_HTTP_DEFINE)
#undef AWSCRT_HTTP_DEFINE

int awscrt_http_import(const char *distribution) {
    const awscrt_http_api *api;
    PyObject *module = PyImport_ImportModule("awscrt._http");
    PyObject *capsule = module ? PyObject_GetAttrString(module, "_C_API") : NULL;
    Py_XDECREF(module);
    if (!capsule) {
        return -1;
    }
    api = (const awscrt_http_api *)PyCapsule_GetPointer(capsule, AWSCRT_HTTP_CAPSULE);
    Py_DECREF(capsule);
    if (!api) {
        return -1;
    }
    if (api->abi_major != AWSCRT_HTTP_ABI_MAJOR || (int)api->abi_minor < AWSCRT_HTTP_ABI_MINOR ||
        api->struct_size < sizeof(awscrt_http_api)) {
        PyErr_Format(PyExc_ImportError,
                     "%s was built for the C API %d.%d of awscrt-http, but the installed awscrt-http %s offers "
                     "%d.%d. Install matching versions: pip install --upgrade awscrt-http %s",
                     distribution, AWSCRT_HTTP_ABI_MAJOR, AWSCRT_HTTP_ABI_MINOR, api->version,
                     (int)api->abi_major, (int)api->abi_minor, distribution);
        return -1;
    }
#define AWSCRT_HTTP_FETCH(name) name = api->fn_##name;
    AWSCRT_HTTP_FUNCTIONS(AWSCRT_HTTP_FETCH)
#undef AWSCRT_HTTP_FETCH
    return 0;
}
#endif /* AWSCRT_HTTP_IMPLEMENT */
#endif /* CRT_HTTP_VIA_TABLE */

CRT_EXTERN_C_END
#endif
