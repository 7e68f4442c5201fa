/* TLS contexts: what is common to all stacks, and the choice among them. */
#include <stdlib.h>

#include "../common/internal.h"
#include "crt/log.h"
#include "crt/memory.h"
#include "loop_internal.h"
#include "tls_provider.h"

struct crt_tls_ctx {
    crt_refcount refs;
    const crt_tls_provider *provider;
    void *native;
    /* its slow part */
    bool preparing;
    crt_tls_wait *waiting;
    crt_fault failure; /* of the slow part */
};

/* The first is the default. */
static const crt_tls_provider *const built_in[] = {
    &crt_tls_openssl,
#if defined(CRT_HAVE_S2N)
    &crt_tls_s2n,
#endif
};

const crt_tls_provider *crt_tls_provider_get(void) {
    const char *wanted = getenv("AWS_CRT_TLS");
    size_t i;

    if (!wanted || !wanted[0]) {
        return built_in[0];
    }
    for (i = 0; i < sizeof(built_in) / sizeof(built_in[0]); i++) {
        if (strcmp(built_in[i]->name, wanted) == 0) {
            return built_in[i];
        }
    }
    return NULL;
}

int crt_tls_alpn_encode(const char *names, uint8_t out[CRT_TLS_ALPN_WIRE], size_t *out_len, crt_fault *fault) {
    size_t count = 0;

    *out_len = 0;
    if (!names || !names[0]) {
        return 0;
    }
    for (;;) {
        size_t len = strcspn(names, ";");
        if (len == 0) {
            return crt_fail(fault, AWS_IO_TLS_CTX_ERROR, "an ALPN protocol name is empty");
        }
        if (len > CRT_TLS_ALPN_NAME_BYTES) {
            return crt_fail(fault, AWS_IO_TLS_CTX_ERROR, "an ALPN protocol name has %zu bytes; the limit is %d", len,
                            CRT_TLS_ALPN_NAME_BYTES);
        }
        if (++count > CRT_TLS_ALPN_NAMES) {
            return crt_fail(fault, AWS_IO_TLS_CTX_ERROR, "more than %d ALPN protocol names", CRT_TLS_ALPN_NAMES);
        }
        out[*out_len] = (uint8_t)len;
        memcpy(out + *out_len + 1, names, len);
        *out_len += 1 + len;
        if (names[len] == '\0') {
            return 0;
        }
        names += len + 1;
    }
}

static int check_options(const crt_tls_ctx_options *options, crt_fault *fault) {
    uint8_t wire[CRT_TLS_ALPN_WIRE];
    size_t wire_len;

    if (options->min_version != CRT_TLS_DEFAULT &&
        (options->min_version < CRT_TLS_SSLV3 || options->min_version > CRT_TLS_1_3)) {
        return crt_fail(fault, AWS_ERROR_INVALID_ARGUMENT, "%d is not a minimum TLS version", options->min_version);
    }
    if ((options->cert_pem.ptr == NULL) != (options->key_pem.ptr == NULL)) {
        return crt_fail(fault, AWS_ERROR_INVALID_ARGUMENT,
                        "a client certificate and its private key must be given together");
    }
    if (options->pkcs11 && !options->cert_pem.ptr && options->min_version == CRT_TLS_1_3) {
        return crt_fail(fault, AWS_IO_TLS_VERSION_UNSUPPORTED,
                        "PKCS#11 keys are used up to TLS 1.2; TLS 1.3 cannot be the oldest version");
    }
    return crt_tls_alpn_encode(options->alpn, wire, &wire_len, fault);
}

/* ---- the slow part ---- */

/* Guards the waiting of all contexts: there is something to guard only for milliseconds in a process's life. */
static uv_mutex_t lock;
static uv_once_t once = UV_ONCE_INIT;

static void lock_before_fork(void) {
    uv_mutex_lock(&lock);
}

static void unlock_after_fork(void) {
    uv_mutex_unlock(&lock);
}

static crt_fork_hook fork_hook = {lock_before_fork, unlock_after_fork, unlock_after_fork, NULL};

static void init_lock(void) {
    uv_mutex_init(&lock);
    crt_fork_watch(&fork_hook);
}

static void prepare(crt_tls_ctx *ctx) {
    crt_fault fault = {0};
    crt_tls_wait *waiting;

    if (ctx->provider->ctx_prepare(ctx->native, &fault)) {
        CRT_LOG(CRT_LOG_ERROR, CRT_LS_TLS, "%s: %s", crt_error_name(fault.code), fault.detail);
    }
    uv_mutex_lock(&lock);
    ctx->failure = fault;
    waiting = ctx->waiting;
    ctx->waiting = NULL;
    __atomic_store_n(&ctx->preparing, false, __ATOMIC_RELEASE);
    /* With the lock held: a loop that ends has its streams leave the line first, and so waits for the post. */
    while (waiting) {
        crt_tls_wait *next = waiting->next; /* the owner may free it as soon as it is posted */
        crt_loop_post(waiting->loop, &waiting->task);
        waiting = next;
    }
    uv_mutex_unlock(&lock);
}

static void run_prepare(void *arg) {
    crt_thread_set_name("AwsTlsRoots");
    prepare(arg);
    crt_tls_ctx_release(arg);
    crt_threads_finish();
}

/* On a thread of its own: the caller goes on, and the time until its first handshake is used. */
static void start_preparing(crt_tls_ctx *ctx) {
    uv_thread_t thread;

    uv_once(&once, init_lock);
    ctx->preparing = true;
    crt_tls_ctx_acquire(ctx);
    crt_threads_expect(1);
    if (crt_thread_create(&thread, run_prepare, ctx) != 0) {
        crt_threads_joined(1);
        prepare(ctx);
        crt_tls_ctx_release(ctx);
    }
}

bool crt_tls_ctx_wait(crt_tls_ctx *ctx, crt_tls_wait *wait) {
    bool waits;

    if (!__atomic_load_n(&ctx->preparing, __ATOMIC_ACQUIRE)) {
        return false;
    }
    uv_mutex_lock(&lock);
    waits = ctx->preparing;
    if (waits) {
        wait->next = ctx->waiting;
        ctx->waiting = wait;
    }
    uv_mutex_unlock(&lock);
    return waits;
}

bool crt_tls_ctx_leave(crt_tls_ctx *ctx, crt_tls_wait *wait) {
    crt_tls_wait **at;
    bool found;

    uv_mutex_lock(&lock);
    for (at = &ctx->waiting; *at && *at != wait; at = &(*at)->next) {
    }
    found = *at != NULL;
    if (found) {
        *at = wait->next;
    }
    uv_mutex_unlock(&lock);
    return found;
}

int crt_tls_ctx_usable(const crt_tls_ctx *ctx, crt_fault *fault) {
    if (ctx->failure.code) {
        *fault = ctx->failure;
    }
    return ctx->failure.code;
}

/* ---- contexts ---- */

int crt_tls_ctx_new(const crt_tls_ctx_options *options, crt_tls_ctx **out, crt_fault *fault) {
    const crt_tls_provider *provider = crt_tls_provider_get();
    crt_tls_ctx *ctx;
    int status;

    *out = NULL;
    if (!provider) {
        return crt_fail(fault, AWS_ERROR_PLATFORM_NOT_SUPPORTED,
                        "AWS_CRT_TLS names a TLS stack that this build does not contain; unset it or use '%s'",
                        built_in[0]->name);
    }
    status = check_options(options, fault);
    if (status) {
        return status;
    }
    if (!provider->cipher_pref_supported(options->cipher_pref)) {
        return crt_fail(fault, AWS_IO_TLS_CIPHER_PREF_UNSUPPORTED, "TLS cipher preference %d is not supported by %s",
                        options->cipher_pref, provider->name);
    }
    ctx = crt_calloc(1, sizeof(*ctx));
    if (!ctx) {
        return crt_fail(fault, AWS_ERROR_OOM, "no memory for a TLS context");
    }
    crt_ref_init(&ctx->refs);
    ctx->provider = provider;
    status = provider->ctx_new(options, &ctx->native, fault);
    if (status) {
        crt_free(ctx);
        return status;
    }
    if (provider->ctx_pending && provider->ctx_pending(ctx->native)) {
        start_preparing(ctx);
    }
    *out = ctx;
    return 0;
}

crt_tls_ctx *crt_tls_ctx_acquire(crt_tls_ctx *ctx) {
    if (ctx) {
        crt_ref_inc(&ctx->refs);
    }
    return ctx;
}

void crt_tls_ctx_release(crt_tls_ctx *ctx) {
    if (ctx && crt_ref_dec(&ctx->refs)) {
        ctx->provider->ctx_free(ctx->native);
        crt_free(ctx);
    }
}

bool crt_tls_cipher_pref_supported(int cipher_pref) {
    const crt_tls_provider *provider = crt_tls_provider_get();

    return provider && provider->cipher_pref_supported(cipher_pref);
}

void *crt_tls_ctx_native(crt_tls_ctx *ctx) {
    return ctx->native;
}

const crt_tls_provider *crt_tls_ctx_provider(const crt_tls_ctx *ctx) {
    return ctx->provider;
}
