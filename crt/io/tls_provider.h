/*
 * The TLS stacks of this build (private to io).
 *
 * To add one (s2n-tls, Schannel, Secure Transport): write a tls_<name>.c that defines struct crt_tls_session and
 * fills a crt_tls_provider (crt/tls.h), declare the table here, and add it to the list in tls_ctx.c under the
 * macro that says it is built. What each function owes:
 *
 *   ctx_new      checks and parses every option at once; AWS_ERROR_INVALID_ARGUMENT without a complete PEM block,
 *                AWS_IO_TLS_CTX_ERROR for unusable content, AWS_ERROR_PLATFORM_NOT_SUPPORTED for options the stack
 *                lacks. Called on any thread; the result is shared by all loops. Slow work that needs no answer at
 *                once goes to ctx_prepare.
 *   session_new  a client session bound to the transport, without moving bytes yet.
 *   handshake    runs until done or blocked; verifies chain, validity and host before it says done.
 *   read, write  at most the bytes asked for; partial progress is fine. write must accept a call that repeats the
 *                same bytes after CRT_TLS_WANT_WRITE. A session that failed stays failed.
 *   shutdown     queues close_notify unless the session failed.
 *
 * A session lives on one loop thread. It calls the transport's functions only from within its own functions.
 */
#ifndef CRT_IO_TLS_PROVIDER_H
#define CRT_IO_TLS_PROVIDER_H

#include "crt/loop.h"
#include "crt/tls.h"

extern CRT_HIDDEN const crt_tls_provider crt_tls_openssl;
#if defined(CRT_HAVE_S2N)
extern CRT_HIDDEN const crt_tls_provider crt_tls_s2n;
#endif

/* Where the system keeps its trust roots: a directory of hashed names, or else a bundle; the other is NULL. False:
   neither exists. */
CRT_HIDDEN bool crt_tls_system_roots(const char **directory, const char **bundle);

/* The stack a context was made with. */
CRT_HIDDEN const crt_tls_provider *crt_tls_ctx_provider(const crt_tls_ctx *ctx);

/*
 * The slow part of a context (crt_tls_provider.ctx_prepare) runs on a thread of its own; what needs the context
 * waits in line. True: `task` will be posted to `loop`. False: the slow part is over, the task will not run.
 */
typedef struct crt_tls_wait {
    crt_loop *loop;
    crt_task task;
    struct crt_tls_wait *next; /* private */
} crt_tls_wait;

CRT_HIDDEN bool crt_tls_ctx_wait(crt_tls_ctx *ctx, crt_tls_wait *wait);
/* True: left the line, the task will not run. False: it was posted. */
CRT_HIDDEN bool crt_tls_ctx_leave(crt_tls_ctx *ctx, crt_tls_wait *wait);
/* 0, or why the slow part failed; after waiting. */
CRT_HIDDEN int crt_tls_ctx_usable(const crt_tls_ctx *ctx, crt_fault *fault);

/* RFC 7301 limits a name to 255 bytes; these are the limits the AWS runtime documents. */
enum { CRT_TLS_ALPN_NAMES = 4, CRT_TLS_ALPN_NAME_BYTES = 127 };
enum { CRT_TLS_ALPN_WIRE = CRT_TLS_ALPN_NAMES * (1 + CRT_TLS_ALPN_NAME_BYTES) };

/*
 * "h2;http/1.1" -> the ProtocolNameList of RFC 7301 (length byte, name, ...). NULL and "" give no bytes. An empty
 * name, one too long or too many: AWS_IO_TLS_CTX_ERROR.
 */
CRT_HIDDEN int crt_tls_alpn_encode(const char *names, uint8_t out[CRT_TLS_ALPN_WIRE], size_t *out_len,
                                   crt_fault *fault);

#endif
