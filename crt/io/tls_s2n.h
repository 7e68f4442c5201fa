/* Between the files of the s2n-tls provider, which is part of the build when CRT_HAVE_S2N says so. */
#ifndef CRT_IO_TLS_S2N_H
#define CRT_IO_TLS_S2N_H

#include <s2n.h>
#include <s2n/unstable/renegotiate.h>

#include "crt/tls.h"

typedef struct crt_s2n_ctx {
    struct s2n_config *config;
    struct s2n_cert_chain_and_key *identity; /* the config borrows it; NULL: none */
    bool verify_peer;
} crt_s2n_ctx;

/* tls_s2n_ctx.c: everything a context's options decide. */
CRT_HIDDEN int crt_s2n_ctx_new(const crt_tls_ctx_options *options, void **ctx, crt_fault *fault);
CRT_HIDDEN void crt_s2n_ctx_free(void *ctx);
CRT_HIDDEN bool crt_s2n_cipher_pref_supported(int cipher_pref);

/* The client's certificate chain and its key; once per context. */
CRT_HIDDEN int crt_s2n_use_pem(crt_s2n_ctx *ctx, crt_bytes cert_pem, crt_bytes key_pem, crt_fault *fault);
/* tls_s2n_pkcs12.c: the same from options->pkcs12. */
CRT_HIDDEN int crt_s2n_use_pkcs12(crt_s2n_ctx *ctx, const crt_tls_ctx_options *options, crt_fault *fault);

/* s2n takes ALPN names as strings: calls `set` (s2n_config_... or s2n_connection_set_protocol_preferences). */
typedef int (*crt_s2n_set_alpn)(void *target, const char *const *names, int count);
CRT_HIDDEN int crt_s2n_alpn(const char *names, crt_s2n_set_alpn set, void *target, crt_fault *fault);

/* tls_s2n.c */
CRT_HIDDEN int crt_s2n_decline_renegotiation(struct s2n_connection *connection, void *user,
                                             s2n_renegotiate_response *response);

#endif
