/* The s2n-tls provider: client sessions over the transport that the stream lends. */
#include "tls_provider.h"

#if defined(CRT_HAVE_S2N)
#include <errno.h>
#include <limits.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <uv.h>

#include "crt/memory.h"
#include "tls_openssl.h"
#include "tls_s2n.h"

struct crt_tls_session {
    struct s2n_connection *connection;
    crt_tls_transport transport;
    int transport_code; /* why the transport failed; AWS_IO_SOCKET_CLOSED for its end */
    bool not_tls; /* the server's first byte says so */
    bool heard;
    bool verify_peer;
    bool negotiated;
    bool owes_alert;
    bool failed; /* fatal for the protocol: no close_notify */
    char host[256];
    char names[128]; /* of a certificate that does not name the host */
};

/* ---- the transport ---- */

static int transport_failed(crt_tls_session *session, ptrdiff_t n) {
    session->transport_code = n == 0 ? AWS_IO_SOCKET_CLOSED : (int)-n;
    errno = EPIPE;
    return n == 0 ? 0 : -1;
}

static int receive(void *user, uint8_t *data, uint32_t len) {
    crt_tls_session *session = user;
    ptrdiff_t n = session->transport.recv(session->transport.user, data, len);

    if (n > 0 && !session->heard) {
        /* A server begins with a handshake or alert record (RFC 8446, 5.1); s2n would wait for the rest of whatever
           else it takes for a record. */
        session->heard = true;
        session->not_tls = data[0] != 0x16 && data[0] != 0x15;
        if (session->not_tls) {
            return transport_failed(session, -AWS_IO_TLS_ERROR_NEGOTIATION_FAILURE);
        }
    }
    if (n > 0) {
        return (int)n;
    }
    if (n == CRT_TLS_WANT_READ) {
        errno = EAGAIN;
        return -1;
    }
    return transport_failed(session, n);
}

static int transmit(void *user, const uint8_t *data, uint32_t len) {
    crt_tls_session *session = user;
    ptrdiff_t n = session->transport.send(session->transport.user, data, len);

    if (n > 0) {
        return (int)n;
    }
    if (n == CRT_TLS_WANT_WRITE) {
        errno = EAGAIN;
        return -1;
    }
    return transport_failed(session, n);
}

/* ---- the host ---- */

static bool same_address(const char *a, const char *b) {
    static const int families[] = {AF_INET, AF_INET6};
    uint8_t x[16], y[16];
    size_t i;

    for (i = 0; i < 2; i++) {
        if (uv_inet_pton(families[i], a, x) == 0) {
            return uv_inet_pton(families[i], b, y) == 0 && memcmp(x, y, i == 0 ? 4 : 16) == 0;
        }
    }
    return false;
}

static bool is_address(const char *host) {
    return same_address(host, host);
}

static bool same_text(const char *a, const char *b) {
    for (; *a && *b; a++, b++) {
        char x = *a >= 'A' && *a <= 'Z' ? (char)(*a + 32) : *a;
        char y = *b >= 'A' && *b <= 'Z' ? (char)(*b + 32) : *b;
        if (x != y) {
            return false;
        }
    }
    return *a == *b;
}

/* RFC 9525, 6.3: "*" stands for exactly the left-most label. */
static bool matches(const char *pattern, const char *host) {
    const char *rest = strchr(host, '.');

    if (is_address(host)) {
        return same_address(host, pattern);
    }
    if (pattern[0] == '*' && pattern[1] == '.') {
        return rest && rest != host && same_text(pattern + 1, rest);
    }
    return same_text(pattern, host);
}

/* For the message. Names come from the peer: what is not printable must not reach a log or a terminal. */
static void remember_name(crt_tls_session *session, const char *name) {
    size_t used = strlen(session->names), i;
    uint8_t v6[16];
    char text[64];

    if (uv_inet_pton(AF_INET6, name, v6) == 0) {
        size_t n = 0;
        for (i = 0; i < 16; i += 2) {
            n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%x", i ? ":" : "", v6[i] << 8 | v6[i + 1]);
        }
        name = text;
    }
    snprintf(session->names + used, sizeof(session->names) - used, "%s%s", used ? ", " : "", name);
    for (i = used; session->names[i]; i++) {
        if (session->names[i] < 0x20 || session->names[i] >= 0x7f) {
            session->names[i] = '?';
        }
    }
}

/* Called for one name of the certificate after the other, until one is accepted. */
static uint8_t on_name(const char *name, size_t len, void *user) {
    crt_tls_session *session = user;
    char text[256];

    if (len == 0 || len >= sizeof(text) || memchr(name, 0, len)) {
        return 0;
    }
    memcpy(text, name, len);
    text[len] = '\0';
    if (matches(text, session->host)) {
        return 1;
    }
    remember_name(session, text);
    return 0;
}

static int set_host(crt_tls_session *session, const char *name, crt_fault *fault) {
    size_t len = name ? strlen(name) : 0;

    if (len > 0 && name[len - 1] == '.') {
        len--; /* a name's absolute form is the same host */
    }
    if (len == 0) {
        return session->verify_peer ? crt_fail(fault, AWS_IO_TLS_ERROR_NEGOTIATION_FAILURE,
                                               "there is no server name to verify the certificate for")
                                    : 0;
    }
    if (len >= sizeof(session->host)) {
        return crt_fail(fault, AWS_IO_TLS_ERROR_NEGOTIATION_FAILURE,
                        "the server name is longer than a host name can be");
    }
    memcpy(session->host, name, len);
    /* An address is verified but not sent: RFC 6066 section 3. */
    if (!is_address(session->host) && s2n_set_server_name(session->connection, session->host) != 0) {
        return crt_fail(fault, AWS_IO_TLS_ERROR_NEGOTIATION_FAILURE, "'%s' is no valid host name", session->host);
    }
    return 0;
}

/* ---- sessions ---- */

static int set_connection_alpn(void *connection, const char *const *names, int count) {
    return s2n_connection_set_protocol_preferences(connection, names, count);
}

static void session_free(crt_tls_session *session) {
    if (session) {
        s2n_connection_free(session->connection);
        crt_free(session);
    }
}

static bool prepare(crt_tls_session *session, const crt_s2n_ctx *ctx) {
    struct s2n_connection *connection = session->connection = s2n_connection_new(S2N_CLIENT);

    /*
     * Blinding of our own: s2n would sleep for up to 30 s on errors, on the thread of the loop. None is needed by a
     * client that reports all errors alike, and ends the connection with them.
     */
    return connection && s2n_connection_set_config(connection, ctx->config) == 0 &&
           s2n_connection_set_ctx(connection, session) == 0 &&
           s2n_connection_set_blinding(connection, S2N_SELF_SERVICE_BLINDING) == 0 &&
           s2n_connection_set_recv_cb(connection, receive) == 0 &&
           s2n_connection_set_recv_ctx(connection, session) == 0 &&
           s2n_connection_set_send_cb(connection, transmit) == 0 &&
           s2n_connection_set_send_ctx(connection, session) == 0 &&
           s2n_connection_set_verify_host_callback(connection, on_name, session) == 0 &&
           s2n_connection_set_recv_buffering(connection, true) == 0 &&
           s2n_connection_prefer_throughput(connection) == 0;
}

static int session_new(void *native, const crt_tls_options *options, const crt_tls_transport *transport,
                       crt_tls_session **out, crt_fault *fault) {
    const crt_s2n_ctx *ctx = native;
    crt_tls_session *session = crt_calloc(1, sizeof(*session));
    int status;

    *out = NULL;
    if (!session) {
        return crt_fail(fault, AWS_ERROR_OOM, "no memory for a TLS session");
    }
    session->transport = *transport;
    session->verify_peer = ctx->verify_peer;
    status = prepare(session, ctx) ? set_host(session, options->server_name, fault)
                                   : crt_fail(fault, AWS_ERROR_OOM, "no memory for a TLS session");
    if (status == 0 && options->alpn) {
        status = crt_s2n_alpn(options->alpn, set_connection_alpn, session->connection, fault);
    }
    if (status) {
        session_free(session);
        return status;
    }
    *out = session;
    return 0;
}

/* ---- steps ---- */

static bool is_error(const char *name) {
    const char *now = s2n_strerror_name(s2n_errno);
    return now && strcmp(now, name) == 0;
}

static ptrdiff_t blocked_on(s2n_blocked_status blocked) {
    if (s2n_error_get_type(s2n_errno) != S2N_ERR_T_BLOCKED) {
        return 0;
    }
    return blocked == S2N_BLOCKED_ON_WRITE ? CRT_TLS_WANT_WRITE : CRT_TLS_WANT_READ;
}

/* The alert that the peer sent, when that is what went wrong; else NULL. */
static const char *alert_of(crt_tls_session *session) {
    int alert = s2n_error_get_type(s2n_errno) == S2N_ERR_T_ALERT ? s2n_connection_get_alert(session->connection) : -1;

    return alert < 0 ? NULL : crt_openssl_alert_name(alert);
}

static int verdict(crt_tls_session *session, crt_fault *fault) {
    /* s2n says the same about certificates and about the OCSP responses that come with them. */
    static const struct {
        const char *name, *text;
    } texts[] = {
        {"S2N_ERR_CERT_UNTRUSTED",
         "the certificate is self-signed or its issuer is not trusted (unknown CA), or that of its stapled OCSP "
         "response; pass the CA with override_default_trust_store"},
        {"S2N_ERR_CERT_EXPIRED", "certificate has expired, or its stapled OCSP response"},
        {"S2N_ERR_INVALID_OCSP_RESPONSE", "the stapled OCSP response is invalid"},
        {"S2N_ERR_CERT_NOT_YET_VALID", "certificate is not yet valid"},
        {"S2N_ERR_CERT_REVOKED", "the stapled OCSP response does not vouch for the certificate"},
    };
    const char *alert = alert_of(session);
    size_t i;

    if (alert) {
        return crt_fail(fault, AWS_IO_TLS_ERROR_NEGOTIATION_FAILURE, "the server refused with alert '%s'", alert);
    }
    if (session->names[0] && s2n_error_get_type(s2n_errno) == S2N_ERR_T_PROTO) {
        return crt_fail(fault, AWS_IO_TLS_ERROR_NEGOTIATION_FAILURE,
                        "certificate is not valid for host '%s' (valid for: %s)", session->host, session->names);
    }
    for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (is_error(texts[i].name)) {
            return crt_fail(fault, AWS_IO_TLS_ERROR_NEGOTIATION_FAILURE, "%s", texts[i].text);
        }
    }
    return crt_fail(fault, AWS_IO_TLS_ERROR_NEGOTIATION_FAILURE, "%s", s2n_strerror(s2n_errno, "EN"));
}

enum { LEAST_KEY_BITS = 80 }; /* of security, as RSA-1024 has: what the OpenSSL stack asks for as well */

static bool is_weak(const struct s2n_cert *certificate) {
    const uint8_t *der = NULL;
    uint32_t len = 0;
    X509 *parsed = s2n_cert_get_der(certificate, &der, &len) == 0 ? d2i_X509(NULL, &der, (long)len) : NULL;
    EVP_PKEY *key = parsed ? X509_get0_pubkey(parsed) : NULL;
    bool weak = !key || EVP_PKEY_get_security_bits(key) < LEAST_KEY_BITS;

    X509_free(parsed);
    return weak;
}

/* s2n's policies that reach back to TLS 1.0 take keys of any length. */
static bool has_weak_chain(struct s2n_connection *connection) {
    struct s2n_cert_chain_and_key *chain = s2n_cert_chain_and_key_new();
    struct s2n_cert *certificate = NULL;
    uint32_t count = 0, i;
    bool weak = !chain || s2n_connection_get_peer_cert_chain(connection, chain) != 0 ||
                s2n_cert_chain_get_length(chain, &count) != 0;

    for (i = 0; i < count && !weak; i++) {
        weak = s2n_cert_chain_get_cert(chain, &certificate, i) != 0 || is_weak(certificate);
    }
    s2n_cert_chain_and_key_free(chain);
    return weak;
}

static ptrdiff_t negotiated(crt_tls_session *session, crt_fault *fault) {
    if (session->verify_peer && has_weak_chain(session->connection)) {
        session->failed = true;
        return -crt_fail(fault, AWS_IO_TLS_ERROR_NEGOTIATION_FAILURE, "a key of the server's certificates is too short");
    }
    session->negotiated = true;
    return 0;
}

static ptrdiff_t handshake(crt_tls_session *session, crt_fault *fault) {
    s2n_blocked_status blocked = S2N_NOT_BLOCKED;
    ptrdiff_t waiting;

    if (s2n_negotiate(session->connection, &blocked) == 0) {
        return negotiated(session, fault);
    }
    waiting = blocked_on(blocked);
    if (waiting) {
        return waiting;
    }
    session->failed = true;
    if (session->not_tls) {
        return -crt_fail(fault, session->transport_code, "the server does not speak TLS on this port");
    }
    if (session->transport_code) {
        return -crt_fail(fault, session->transport_code,
                         session->transport_code == AWS_IO_SOCKET_CLOSED
                             ? "the server closed the connection during the handshake"
                             : "the connection failed during the handshake");
    }
    return -verdict(session, fault);
}

/* A fatal result after the handshake: transport, alert, or a record that makes no sense. */
static ptrdiff_t transfer_failed(crt_tls_session *session, int code, crt_fault *fault) {
    const char *alert = alert_of(session);

    session->failed = true;
    if (alert) {
        return -crt_fail(fault, AWS_IO_TLS_ERROR_ALERT_RECEIVED,
                         "the server ended the connection with TLS alert '%s'%s", alert,
                         strstr(alert, "certificate") ? "; it may require a client certificate that it trusts" : "");
    }
    if (session->transport_code) {
        return -crt_fail(fault, session->transport_code,
                         session->transport_code == AWS_IO_SOCKET_CLOSED ? "closed by the peer without TLS close_notify"
                                                                         : "the connection failed");
    }
    return -crt_fail(fault, code, "TLS protocol error: %s", s2n_strerror(s2n_errno, "EN"));
}

/* RFC 5246, 7.2.2: a server that asks is told, where s2n by itself would let it wait. */
int crt_s2n_decline_renegotiation(struct s2n_connection *connection, void *user, s2n_renegotiate_response *response) {
    crt_tls_session *session = s2n_connection_get_ctx(connection);

    (void)user;
    *response = S2N_RENEGOTIATE_REJECT;
    session->owes_alert = true;
    return 0;
}

/* s2n sends what it has to say itself only together with data; none will do. */
static void send_alert(crt_tls_session *session) {
    s2n_blocked_status blocked;

    session->owes_alert = false;
    s2n_send(session->connection, "", 0, &blocked);
}

static ptrdiff_t session_read(crt_tls_session *session, uint8_t *data, size_t len, crt_fault *fault) {
    s2n_blocked_status blocked = S2N_NOT_BLOCKED;
    ssize_t n = s2n_recv(session->connection, data, (ssize_t)(len < INT_MAX ? len : INT_MAX), &blocked);
    ptrdiff_t waiting = n < 0 ? blocked_on(blocked) : 0;

    if (session->owes_alert && (n > 0 || waiting)) {
        send_alert(session);
    }
    if (n > 0) {
        return n;
    }
    if (n == 0) {
        return CRT_TLS_EOF;
    }
    return waiting ? waiting : transfer_failed(session, AWS_IO_TLS_ERROR_READ_FAILURE, fault);
}

static ptrdiff_t session_write(crt_tls_session *session, const uint8_t *data, size_t len, crt_fault *fault) {
    s2n_blocked_status blocked = S2N_NOT_BLOCKED;
    ssize_t n = s2n_send(session->connection, data, (ssize_t)(len < INT_MAX ? len : INT_MAX), &blocked);
    ptrdiff_t waiting;

    if (n >= 0) {
        return n;
    }
    waiting = blocked_on(blocked);
    return waiting ? waiting : transfer_failed(session, AWS_IO_TLS_ERROR_WRITE_FAILURE, fault);
}

static void session_shutdown(crt_tls_session *session) {
    s2n_blocked_status blocked;

    if (session->negotiated && !session->failed) {
        s2n_shutdown_send(session->connection, &blocked);
    }
}

static crt_bytes session_alpn(const crt_tls_session *session) {
    return crt_bytes_str(s2n_get_application_protocol(session->connection));
}

const crt_tls_provider crt_tls_s2n = {
    .name = "s2n",
    .ctx_new = crt_s2n_ctx_new,
    .ctx_free = crt_s2n_ctx_free,
    .session_new = session_new,
    .session_free = session_free,
    .handshake = handshake,
    .read = session_read,
    .write = session_write,
    .shutdown = session_shutdown,
    .alpn = session_alpn,
    .cipher_pref_supported = crt_s2n_cipher_pref_supported,
};
#endif
