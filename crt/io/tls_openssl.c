/* The OpenSSL provider: client sessions over the transport that the stream lends. */
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <uv.h>

#include "crt/memory.h"
#include "pkcs11_openssl.h"
#include "tls_openssl.h"
#include "tls_provider.h"

struct crt_tls_session {
    SSL *ssl;
    crt_tls_transport transport;
    int transport_code; /* why the transport failed; AWS_IO_SOCKET_CLOSED for its end */
    bool ended;         /* no more ciphertext will come */
    bool failed;        /* fatal for the protocol: no close_notify */
    char host[256];
    char names[128]; /* of a certificate that does not name the host */
};

/* ---- the BIO between OpenSSL and the transport ---- */

static uv_once_t method_once = UV_ONCE_INIT;
static BIO_METHOD *method; /* kept until the process ends; NULL without memory */

static int transport_failed(crt_tls_session *session, ptrdiff_t n) {
    session->transport_code = n == 0 ? AWS_IO_SOCKET_CLOSED : (int)-n;
    session->ended = true;
    return n == 0 ? 0 : -1;
}

static int bio_read(BIO *bio, char *data, int len) {
    crt_tls_session *session = BIO_get_data(bio);
    ptrdiff_t n;

    BIO_clear_retry_flags(bio);
    n = session->transport.recv(session->transport.user, (uint8_t *)data, (size_t)len);
    if (n > 0) {
        return (int)n;
    }
    if (n == CRT_TLS_WANT_READ) {
        BIO_set_retry_read(bio);
        return -1;
    }
    return transport_failed(session, n);
}

static int bio_write(BIO *bio, const char *data, int len) {
    crt_tls_session *session = BIO_get_data(bio);
    ptrdiff_t n;

    BIO_clear_retry_flags(bio);
    n = session->transport.send(session->transport.user, (const uint8_t *)data, (size_t)len);
    if (n > 0) {
        return (int)n;
    }
    if (n == CRT_TLS_WANT_WRITE) {
        BIO_set_retry_write(bio);
        return -1;
    }
    return transport_failed(session, n);
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer) {
    crt_tls_session *session = BIO_get_data(bio);

    (void)number;
    (void)pointer;
    if (command == BIO_CTRL_FLUSH) {
        return 1; /* the stream sends what gathered at the end of its turn */
    }
    return command == BIO_CTRL_EOF ? session->ended : 0;
}

static void init_method(void) {
    int type = BIO_get_new_index();
    BIO_METHOD *fresh = type < 0 ? NULL : BIO_meth_new(type | BIO_TYPE_SOURCE_SINK, "crt transport");

    if (fresh && BIO_meth_set_read(fresh, bio_read) && BIO_meth_set_write(fresh, bio_write) &&
        BIO_meth_set_ctrl(fresh, bio_ctrl)) {
        method = fresh;
    } else {
        BIO_meth_free(fresh);
    }
}

/* ---- sessions ---- */

static bool set_transport(crt_tls_session *session) {
    BIO *bio;

    uv_once(&method_once, init_method);
    bio = method ? BIO_new(method) : NULL;
    if (!bio) {
        return false;
    }
    BIO_set_data(bio, session);
    BIO_set_init(bio, 1);
    SSL_set_bio(session->ssl, bio, bio);
    return true;
}

/*
 * Policies that still speak TLS 1.0 run at OpenSSL's security level 0, which would accept any key and MD5. RSA below
 * 1024 bits (80 bits of security) and hashes below SHA-1 (63) were broken in practice: X509_V_ERR_*, else X509_V_OK.
 */
static int weakness(X509_STORE_CTX *store, X509 *certificate) {
    enum { LEAST_KEY_BITS = 80, LEAST_HASH_BITS = 60 };
    int depth = X509_STORE_CTX_get_error_depth(store);
    const EVP_PKEY *key = X509_get0_pubkey(certificate);
    bool anchor = depth == sk_X509_num(X509_STORE_CTX_get0_chain(store)) - 1;
    int hash_bits;

    if (key && EVP_PKEY_get_security_bits(key) < LEAST_KEY_BITS) {
        return depth == 0 ? X509_V_ERR_EE_KEY_TOO_SMALL : X509_V_ERR_CA_KEY_TOO_SMALL;
    }
    /* Nobody relies on the signature of what is trusted itself. */
    if (!anchor && X509_get_signature_info(certificate, NULL, NULL, &hash_bits, NULL) == 1 &&
        hash_bits < LEAST_HASH_BITS) {
        return X509_V_ERR_CA_MD_TOO_WEAK;
    }
    return X509_V_OK;
}

/* A refused certificate is gone when the handshake reports, so its names are kept here. */
static int on_verdict(int ok, X509_STORE_CTX *store) {
    int error = X509_STORE_CTX_get_error(store);
    X509 *certificate = X509_STORE_CTX_get_current_cert(store);
    const SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());

    if (SSL_get_verify_mode(ssl) == SSL_VERIFY_NONE) {
        return 1;
    }
    if (ok && certificate) {
        error = weakness(store, certificate);
        if (error != X509_V_OK) {
            X509_STORE_CTX_set_error(store, error);
            return 0;
        }
    }
    if (!ok && certificate && (error == X509_V_ERR_HOSTNAME_MISMATCH || error == X509_V_ERR_IP_ADDRESS_MISMATCH)) {
        crt_tls_session *session = SSL_get_app_data(ssl);
        crt_openssl_names(certificate, session->names, sizeof(session->names));
    }
    return ok;
}

/* The host to ask for (SNI) and to verify. An address is verified but not sent: RFC 6066 section 3. */
static int set_host(crt_tls_session *session, const char *name, crt_fault *fault) {
    size_t len = name ? strlen(name) : 0;
    bool verified = SSL_get_verify_mode(session->ssl) != SSL_VERIFY_NONE;

    if (len > 0 && name[len - 1] == '.') {
        len--; /* a name's absolute form is the same host */
    }
    if (len == 0) {
        return verified ? crt_fail(fault, AWS_IO_TLS_ERROR_NEGOTIATION_FAILURE,
                                   "there is no server name to verify the certificate for")
                        : 0;
    }
    if (len >= sizeof(session->host)) {
        return crt_fail(fault, AWS_IO_TLS_ERROR_NEGOTIATION_FAILURE,
                        "the server name is longer than a host name can be");
    }
    memcpy(session->host, name, len);
    if (X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(session->ssl), session->host) == 1) {
        return 0;
    }
    SSL_set_hostflags(session->ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    if (SSL_set_tlsext_host_name(session->ssl, session->host) != 1 || SSL_set1_host(session->ssl, session->host) != 1) {
        return crt_fail(fault, AWS_IO_TLS_ERROR_NEGOTIATION_FAILURE, "'%s' is no valid host name", session->host);
    }
    return 0;
}

static int set_alpn(crt_tls_session *session, const char *names, crt_fault *fault) {
    uint8_t wire[CRT_TLS_ALPN_WIRE];
    size_t len;
    int status;

    if (!names) {
        return 0; /* the context's stay */
    }
    status = crt_tls_alpn_encode(names, wire, &len, fault);
    if (status == 0 && SSL_set_alpn_protos(session->ssl, wire, (unsigned)len) != 0) {
        return crt_fail(fault, AWS_IO_TLS_CTX_ERROR, "OpenSSL refuses the ALPN names");
    }
    return status;
}

static void session_free(crt_tls_session *session) {
    if (session) {
        SSL_free(session->ssl); /* with the BIO */
        crt_free(session);
    }
}

static int session_new(void *ctx, const crt_tls_options *options, const crt_tls_transport *transport,
                       crt_tls_session **out, crt_fault *fault) {
    crt_tls_session *session = crt_calloc(1, sizeof(*session));
    int status;

    *out = NULL;
    if (!session) {
        return crt_fail(fault, AWS_ERROR_OOM, "no memory for a TLS session");
    }
    session->transport = *transport;
    session->ssl = SSL_new(ctx);
    if (!session->ssl || !set_transport(session)) {
        status = crt_fail(fault, AWS_ERROR_OOM, "no memory for a TLS session");
        goto failed;
    }
    SSL_set_connect_state(session->ssl);
    SSL_set_app_data(session->ssl, session);
    SSL_set_verify(session->ssl, SSL_get_verify_mode(session->ssl), on_verdict);
    status = set_host(session, options->server_name, fault);
    if (status == 0) {
        status = set_alpn(session, options->alpn, fault);
    }
    if (status == 0) {
        *out = session;
        ERR_clear_error();
        return 0;
    }
failed:
    ERR_clear_error();
    session_free(session);
    return status;
}

/* ---- steps ---- */

/* What an unsuccessful call to OpenSSL means when it is not fatal; 0 when it is. */
static ptrdiff_t blocked_on(crt_tls_session *session, int result) {
    switch (SSL_get_error(session->ssl, result)) {
        case SSL_ERROR_WANT_READ:
            return CRT_TLS_WANT_READ;
        case SSL_ERROR_WANT_WRITE:
            return CRT_TLS_WANT_WRITE;
        default:
            return 0;
    }
}

static ptrdiff_t handshake(crt_tls_session *session, crt_fault *fault) {
    char reason[208];
    ptrdiff_t blocked;
    int result, status;

    ERR_clear_error();
    result = SSL_do_handshake(session->ssl);
    if (result == 1) {
        return 0;
    }
    blocked = blocked_on(session, result);
    if (blocked) {
        return blocked;
    }
    session->failed = true;
    status = crt_openssl_pkcs11_fault(fault);
    if (status) {
        ERR_clear_error();
        return -status;
    }
    if (session->transport_code) {
        ERR_clear_error();
        return -crt_fail(fault, session->transport_code,
                         session->transport_code == AWS_IO_SOCKET_CLOSED
                             ? "the server closed the connection during the handshake"
                             : "the connection failed during the handshake");
    }
    crt_openssl_handshake_reason(session->ssl, session->host, session->names, reason, sizeof(reason));
    return -crt_fail(fault, AWS_IO_TLS_ERROR_NEGOTIATION_FAILURE, "%s", reason);
}

/* A fatal result after the handshake: transport, alert, or a record that makes no sense. */
static ptrdiff_t transfer_failed(crt_tls_session *session, int code, crt_fault *fault) {
    const char *alert = crt_openssl_alert();
    char reason[208];

    session->failed = true;
    if (alert) {
        crt_fail(fault, AWS_IO_TLS_ERROR_ALERT_RECEIVED, "the server ended the connection with TLS alert '%s'%s", alert,
                 strstr(alert, "certificate") ? "; it may require a client certificate that it trusts" : "");
        ERR_clear_error();
        return -(ptrdiff_t)AWS_IO_TLS_ERROR_ALERT_RECEIVED;
    }
    if (session->transport_code) {
        ERR_clear_error();
        return -crt_fail(fault, session->transport_code,
                         session->transport_code == AWS_IO_SOCKET_CLOSED ? "closed by the peer without TLS close_notify"
                                                                         : "the connection failed");
    }
    crt_openssl_reason(reason, sizeof(reason));
    return -crt_fail(fault, code, "TLS protocol error: %s", reason);
}

static ptrdiff_t session_read(crt_tls_session *session, uint8_t *data, size_t len, crt_fault *fault) {
    ptrdiff_t blocked;
    size_t got = 0;

    ERR_clear_error();
    if (SSL_read_ex(session->ssl, data, len, &got) == 1) {
        return (ptrdiff_t)got;
    }
    blocked = blocked_on(session, 0);
    if (blocked) {
        return blocked;
    }
    if (SSL_get_error(session->ssl, 0) == SSL_ERROR_ZERO_RETURN) {
        return CRT_TLS_EOF;
    }
    return transfer_failed(session, AWS_IO_TLS_ERROR_READ_FAILURE, fault);
}

static ptrdiff_t session_write(crt_tls_session *session, const uint8_t *data, size_t len, crt_fault *fault) {
    ptrdiff_t blocked;
    size_t taken = 0;

    ERR_clear_error();
    if (SSL_write_ex(session->ssl, data, len, &taken) == 1) {
        return (ptrdiff_t)taken;
    }
    blocked = blocked_on(session, 0);
    if (blocked) {
        return blocked;
    }
    return transfer_failed(session, AWS_IO_TLS_ERROR_WRITE_FAILURE, fault);
}

static void session_shutdown(crt_tls_session *session) {
    if (session->failed || !SSL_is_init_finished(session->ssl)) {
        return;
    }
    SSL_shutdown(session->ssl);
    ERR_clear_error();
}

static crt_bytes session_alpn(const crt_tls_session *session) {
    const unsigned char *name = NULL;
    unsigned len = 0;

    SSL_get0_alpn_selected(session->ssl, &name, &len);
    return crt_bytes_of(name, len);
}

static void ctx_free(void *ctx) {
    SSL_CTX_free(ctx);
}

static bool ctx_pending(const void *ctx) {
    return crt_openssl_system_store_pending(SSL_CTX_get_cert_store(ctx));
}

static int ctx_prepare(void *ctx, crt_fault *fault) {
    return crt_openssl_load_system_store(SSL_CTX_get_cert_store(ctx), fault);
}

const crt_tls_provider crt_tls_openssl = {
    .name = "openssl",
    .ctx_new = crt_openssl_ctx_new,
    .ctx_free = ctx_free,
    .session_new = session_new,
    .session_free = session_free,
    .handshake = handshake,
    .read = session_read,
    .write = session_write,
    .shutdown = session_shutdown,
    .alpn = session_alpn,
    .cipher_pref_supported = crt_openssl_cipher_pref_supported,
    .ctx_pending = ctx_pending,
    .ctx_prepare = ctx_prepare,
};
