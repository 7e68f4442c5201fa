/* s2n-tls configurations from the options: policy, trust, client identity, ALPN. */
#include "tls_provider.h"

#if defined(CRT_HAVE_S2N)
#include <stdlib.h>
#include <uv.h>

#include "crt/memory.h"
#include "crt/pem.h"
#include "tls_s2n.h"

/* ---- the library ---- */

static uv_once_t once = UV_ONCE_INIT;
static bool usable;

/* s2n locks its memory into RAM by default, which the few megabytes that most systems allow would not survive. */
static int memory_init(void) {
    return 0;
}

static int memory_allocate(void **out, uint32_t size, uint32_t *allocated) {
    *out = malloc(size);
    *allocated = size;
    return *out ? 0 : -1;
}

static int memory_free(void *ptr, uint32_t size) {
    (void)size;
    free(ptr);
    return 0;
}

static void init_library(void) {
    usable = s2n_disable_atexit() == 0 &&
             s2n_mem_set_callbacks(memory_init, memory_init, memory_allocate, memory_free) == 0 && s2n_init() == 0;
}

static int failed(crt_fault *fault, const char *what) {
    return crt_fail(fault, AWS_IO_TLS_CTX_ERROR, "%s: %s", what, s2n_strerror(s2n_errno, "EN"));
}

/* ---- policy ---- */

bool crt_s2n_cipher_pref_supported(int cipher_pref) {
    return cipher_pref == CRT_TLS_CIPHERS_DEFAULT || cipher_pref == CRT_TLS_CIPHERS_PQ_DEFAULT ||
           cipher_pref == CRT_TLS_CIPHERS_1_2_2025_07;
}

/* s2n's own names; a cipher preference other than the default replaces what the minimum version would choose. */
static const char *policy_name(int min_version, int cipher_pref) {
    if (cipher_pref == CRT_TLS_CIPHERS_PQ_DEFAULT) {
        return "AWS-CRT-SDK-TLSv1.2-2025-PQ";
    }
    if (cipher_pref == CRT_TLS_CIPHERS_1_2_2025_07) {
        return "AWS-CRT-SDK-TLSv1.2-2025";
    }
    switch (min_version) {
        case CRT_TLS_SSLV3:
            return "AWS-CRT-SDK-SSLv3.0-2023";
        case CRT_TLS_1_0:
            return "AWS-CRT-SDK-TLSv1.0-2023";
        case CRT_TLS_1_1:
            return "AWS-CRT-SDK-TLSv1.1-2023";
        case CRT_TLS_1_2:
            return "AWS-CRT-SDK-TLSv1.2-2025-PQ";
        case CRT_TLS_1_3:
            return "AWS-CRT-SDK-TLSv1.3-2025-PQ";
        default:
            return "AWS-CRT-SDK-TLSv1.0-2025-PQ";
    }
}

/* ---- trust ---- */

/* Called for each block of a PEM text. */
typedef int (*block_fn)(void *target, const crt_pem_block *block, crt_fault *fault);

static int each_block(crt_bytes pem, const char *what, block_fn use, void *target, crt_fault *fault) {
    crt_pem_block block;
    size_t count = 0;

    for (;;) {
        int status = crt_pem_next(&pem, what, &block, fault);
        if (status || block.text.len == 0) {
            return status == 0 && count == 0 ? crt_pem_no_block(what, fault) : status;
        }
        status = use(target, &block, fault);
        crt_pem_free(&block);
        count++;
        if (status) {
            return status;
        }
    }
}

static bool is_certificate(const crt_pem_block *block) {
    return strcmp(block->label, "CERTIFICATE") == 0 || strcmp(block->label, "X509 CERTIFICATE") == 0 ||
           strcmp(block->label, "TRUSTED CERTIFICATE") == 0;
}

static int add_root(void *config, const crt_pem_block *block, crt_fault *fault) {
    char *text;
    int result;

    if (!is_certificate(block)) {
        return crt_fail(fault, AWS_IO_TLS_CTX_ERROR, "the trust store contains a block '%s' that is no certificate",
                        block->label);
    }
    text = crt_strndup(block->text.ptr, block->text.len);
    if (!text) {
        return crt_fail(fault, AWS_ERROR_OOM, "no memory for a trusted certificate");
    }
    result = s2n_config_add_pem_to_trust_store(config, text);
    crt_free(text);
    return result == 0 ? 0 : failed(fault, "the trust store contains a certificate that cannot be used");
}

static int trust_system(struct s2n_config *config, crt_fault *fault) {
    const char *directory, *bundle;

    if (!crt_tls_system_roots(&directory, &bundle)) {
        return crt_fail(fault, AWS_IO_TLS_ERROR_DEFAULT_TRUST_STORE_NOT_FOUND,
                        "the system has no trust store where one is usually kept; install its CA certificates or pass "
                        "them with override_default_trust_store");
    }
    if (s2n_config_set_verification_ca_location(config, bundle, directory) != 0) {
        return crt_fail(fault, AWS_IO_TLS_ERROR_DEFAULT_TRUST_STORE_NOT_FOUND,
                        "the system's trust store '%s' cannot be read", directory ? directory : bundle);
    }
    return 0;
}

static int apply_trust(struct s2n_config *config, const crt_tls_ctx_options *options, crt_fault *fault) {
    bool ask = options->verify_peer && !options->no_revocation;

    if (s2n_config_set_status_request_type(config, ask ? S2N_STATUS_REQUEST_OCSP : S2N_STATUS_REQUEST_NONE) != 0) {
        return failed(fault, "s2n-tls refuses the setting for OCSP responses");
    }
    if (!options->verify_peer) {
        return s2n_config_disable_x509_verification(config) == 0 ? 0 : failed(fault, "verification cannot be disabled");
    }
    if (!options->ca_pem.ptr && !options->ca_dir) {
        return trust_system(config, fault);
    }
    if (options->ca_dir && (!options->ca_dir[0] ||
                            s2n_config_set_verification_ca_location(config, NULL, options->ca_dir) != 0)) {
        return crt_fail(fault, AWS_IO_TLS_CTX_ERROR, "'%s' cannot be used as directory of trusted certificates",
                        options->ca_dir);
    }
    return options->ca_pem.ptr ? each_block(options->ca_pem, "trust store", add_root, config, fault) : 0;
}

/* ---- identity ---- */

/* What s2n gets to parse: the blocks alone, since it stops at text between them. */
typedef struct text {
    char *data;
    size_t len, room;
} text;

static int append_block(text *t, const crt_pem_block *block) {
    memcpy(t->data + t->len, block->text.ptr, block->text.len);
    t->len += block->text.len;
    t->data[t->len++] = '\n';
    return 0;
}

static int take_certificate(void *target, const crt_pem_block *block, crt_fault *fault) {
    if (!is_certificate(block)) {
        return crt_fail(fault, AWS_IO_TLS_CTX_ERROR,
                        "the client certificate contains a block '%s' that is no certificate", block->label);
    }
    return append_block(target, block);
}

static int take_key(void *target, const crt_pem_block *block, crt_fault *fault) {
    text *t = target;

    /* `openssl ecparam -genkey` writes the curve's name in front of the key, which names it again. */
    if (strcmp(block->label, "EC PARAMETERS") == 0) {
        return 0;
    }
    if (block->encrypted) {
        return crt_fail(fault, AWS_IO_TLS_CTX_ERROR,
                        "the private key is encrypted; decrypt it first (openssl pkey -in key -out plain)");
    }
    if (!strstr(block->label, "PRIVATE KEY") || t->len > 0) {
        return crt_fail(fault, AWS_IO_TLS_CTX_ERROR,
                        t->len > 0 ? "more than one private key was given"
                                   : "the private key contains a block '%s' that is no private key",
                        block->label);
    }
    return append_block(t, block);
}

/* Both texts and the line feeds between their blocks: a block has more bytes than it adds. */
static int text_new(text *t, crt_bytes pem, crt_fault *fault) {
    t->len = 0;
    t->room = pem.len * 2 + 1;
    t->data = crt_calloc(1, t->room);
    return t->data ? 0 : crt_fail(fault, AWS_ERROR_OOM, "no memory for the client certificate");
}

static void text_free(text *t) {
    volatile char *at = t->data;
    size_t i;

    for (i = 0; at && i < t->len; i++) {
        at[i] = 0; /* may be a key */
    }
    crt_free(t->data);
}

int crt_s2n_use_pem(crt_s2n_ctx *ctx, crt_bytes cert_pem, crt_bytes key_pem, crt_fault *fault) {
    text chain = {0}, key = {0};
    int status = text_new(&chain, cert_pem, fault);

    if (status == 0) {
        status = text_new(&key, key_pem, fault);
    }
    if (status == 0) {
        status = each_block(cert_pem, "client certificate", take_certificate, &chain, fault);
    }
    if (status == 0) {
        status = each_block(key_pem, "private key", take_key, &key, fault);
    }
    if (status == 0 && key.len == 0) {
        status = crt_fail(fault, AWS_IO_TLS_CTX_ERROR, "the private key contains only curve parameters");
    }
    if (status == 0) {
        ctx->identity = s2n_cert_chain_and_key_new();
        if (!ctx->identity ||
            s2n_cert_chain_and_key_load_pem_bytes(ctx->identity, (uint8_t *)chain.data, (uint32_t)chain.len,
                                                  (uint8_t *)key.data, (uint32_t)key.len) != 0 ||
            s2n_config_add_cert_chain_and_key_to_store(ctx->config, ctx->identity) != 0) {
            status = failed(fault, "the client certificate cannot be used with the private key");
        }
    }
    text_free(&chain);
    text_free(&key);
    return status;
}

static int apply_identity(crt_s2n_ctx *ctx, const crt_tls_ctx_options *options, crt_fault *fault) {
    if (options->cert_pem.ptr) {
        return crt_s2n_use_pem(ctx, options->cert_pem, options->key_pem, fault);
    }
    if (options->pkcs11) {
        return crt_fail(fault, AWS_ERROR_PLATFORM_NOT_SUPPORTED,
                        "PKCS#11 keys need the OpenSSL stack; unset AWS_CRT_TLS");
    }
    if (options->pkcs12.ptr) {
        return crt_s2n_use_pkcs12(ctx, options, fault);
    }
    if (options->windows_store_path) {
        return crt_fail(fault, AWS_ERROR_PLATFORM_NOT_SUPPORTED,
                        "certificates of a Windows store need Windows; export '%s' as PEM or PKCS#12",
                        options->windows_store_path);
    }
    return 0;
}

/* ---- ALPN ---- */

int crt_s2n_alpn(const char *names, crt_s2n_set_alpn set, void *target, crt_fault *fault) {
    uint8_t wire[CRT_TLS_ALPN_WIRE];
    char strings[CRT_TLS_ALPN_WIRE];
    const char *list[CRT_TLS_ALPN_NAMES];
    size_t len, at;
    int count = 0, status = crt_tls_alpn_encode(names, wire, &len, fault);

    if (status) {
        return status;
    }
    /* A terminator takes the place of the next name's length. */
    for (at = 0; at < len; at += 1 + (size_t)wire[at]) {
        memcpy(strings + at, wire + at + 1, wire[at]);
        strings[at + wire[at]] = '\0';
        list[count++] = strings + at;
    }
    return set(target, list, count) == 0 ? 0 : failed(fault, "s2n-tls refuses the ALPN names");
}

static int set_config_alpn(void *config, const char *const *names, int count) {
    return s2n_config_set_protocol_preferences(config, names, count);
}

/* ---- contexts ---- */

void crt_s2n_ctx_free(void *native) {
    crt_s2n_ctx *ctx = native;

    if (ctx) {
        s2n_config_free(ctx->config);
        s2n_cert_chain_and_key_free(ctx->identity);
        crt_free(ctx);
    }
}

static int configure(crt_s2n_ctx *ctx, const crt_tls_ctx_options *options, crt_fault *fault) {
    const char *policy = policy_name(options->min_version, options->cipher_pref);
    int status;

    ctx->verify_peer = options->verify_peer;
    ctx->config = s2n_config_new_minimal();
    if (!ctx->config) {
        return crt_fail(fault, AWS_ERROR_OOM, "no memory for a TLS context");
    }
    if (s2n_config_set_cipher_preferences(ctx->config, policy) != 0) {
        return crt_fail(fault, AWS_IO_TLS_CIPHER_PREF_UNSUPPORTED, "this s2n-tls has no policy '%s'", policy);
    }
    /* Optional: whether the server asks for a certificate is its own affair. */
    if (s2n_config_set_client_auth_type(ctx->config, S2N_CERT_AUTH_OPTIONAL) != 0 ||
        s2n_config_set_renegotiate_request_cb(ctx->config, crt_s2n_decline_renegotiation, NULL) != 0) {
        return failed(fault, "s2n-tls refuses a setting");
    }
    status = apply_trust(ctx->config, options, fault);
    if (status == 0) {
        status = apply_identity(ctx, options, fault);
    }
    if (status == 0 && options->alpn && options->alpn[0]) {
        status = crt_s2n_alpn(options->alpn, set_config_alpn, ctx->config, fault);
    }
    return status;
}

int crt_s2n_ctx_new(const crt_tls_ctx_options *options, void **out, crt_fault *fault) {
    crt_s2n_ctx *ctx;
    int status;

    *out = NULL;
    uv_once(&once, init_library);
    if (!usable) {
        return crt_fail(fault, AWS_IO_TLS_CTX_ERROR, "s2n-tls cannot be initialized");
    }
    ctx = crt_calloc(1, sizeof(*ctx));
    if (!ctx) {
        return crt_fail(fault, AWS_ERROR_OOM, "no memory for a TLS context");
    }
    status = configure(ctx, options, fault);
    if (status) {
        crt_s2n_ctx_free(ctx);
        return status;
    }
    *out = ctx;
    return 0;
}
#endif
