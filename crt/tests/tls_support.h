/*
 * Certificates made on the spot, and a TLS peer on a thread with OpenSSL's blocking calls.
 */
#ifndef CRT_TESTS_TLS_SUPPORT_H
#define CRT_TESTS_TLS_SUPPORT_H

#include "stream_support.h"

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "crt/tls.h"

/* ---- certificates ---- */

typedef struct identity {
    EVP_PKEY *key;
    X509 *certificate;
    char cert_pem[4096];
    char key_pem[2048];
} identity;

typedef struct identity_options {
    const char *common_name;
    const char *names; /* subjectAltName in OpenSSL's syntax, NULL for none */
    const identity *issuer; /* NULL: signed by itself */
    bool ca;
    long starts_in; /* seconds from now */
    long ends_in;   /* 0: a day */
} identity_options;

static inline void add_extension(X509 *certificate, int nid, const char *value) {
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
    assert_non_null(extension);
    assert_int_equal(X509_add_ext(certificate, extension, -1), 1);
    X509_EXTENSION_free(extension);
}

static inline void to_text(BIO *bio, char *out, size_t size) {
    int n = BIO_read(bio, out, (int)size - 1);
    assert_in_range(n, 1, size - 1);
    out[n] = '\0';
    BIO_free(bio);
}

static inline void identity_new(identity *id, const identity_options *options) {
    static long serial = 1;
    X509 *x = X509_new();
    X509_NAME *name = X509_get_subject_name(x);
    BIO *text;

    id->key = EVP_EC_gen("P-256");
    id->certificate = x;
    assert_non_null(id->key);
    X509_set_version(x, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(x), serial++);
    X509_gmtime_adj(X509_getm_notBefore(x), options->starts_in - 60);
    X509_gmtime_adj(X509_getm_notAfter(x), options->ends_in ? options->ends_in : 86400);
    X509_set_pubkey(x, id->key);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)options->common_name, -1, -1, 0);
    X509_set_issuer_name(x, options->issuer ? X509_get_subject_name(options->issuer->certificate) : name);
    if (options->ca) {
        add_extension(x, NID_basic_constraints, "critical,CA:TRUE");
    }
    if (options->names) {
        add_extension(x, NID_subject_alt_name, options->names);
    }
    assert_true(X509_sign(x, options->issuer ? options->issuer->key : id->key, EVP_sha256()) > 0);

    text = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(text, x);
    to_text(text, id->cert_pem, sizeof(id->cert_pem));
    text = BIO_new(BIO_s_mem());
    PEM_write_bio_PrivateKey(text, id->key, NULL, NULL, 0, NULL, NULL);
    to_text(text, id->key_pem, sizeof(id->key_pem));
}

static inline void identity_free(identity *id) {
    X509_free(id->certificate);
    EVP_PKEY_free(id->key);
}

/* ---- the server ---- */

typedef struct tls_server {
    SSL_CTX *ctx;
    /* After a successful handshake; NULL: waits until the client closes. */
    void (*talk)(struct tls_server *server, SSL *ssl, int fd);
    void *arg;
    peer *peer;
    /* what it saw */
    bool accepted;
    int version;
    char sni[256];
    char alpn[64];
    char client_name[64];
    bool got_close_notify;
} tls_server;

static inline void server_init(tls_server *server, const identity *id) {
    memset(server, 0, sizeof(*server));
    server->ctx = SSL_CTX_new(TLS_server_method());
    assert_non_null(server->ctx);
    SSL_CTX_set_security_level(server->ctx, 0);
    SSL_CTX_set_min_proto_version(server->ctx, TLS1_VERSION);
    assert_int_equal(SSL_CTX_use_certificate(server->ctx, id->certificate), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(server->ctx, id->key), 1);
}

static inline void server_free(tls_server *server) {
    SSL_CTX_free(server->ctx);
}

static inline int accept_any_client(int ok, X509_STORE_CTX *store) {
    (void)ok;
    (void)store;
    return 1;
}

static inline void server_remember(tls_server *server, SSL *ssl) {
    const char *sni = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    const unsigned char *alpn;
    unsigned alpn_len;
    X509 *client = SSL_get1_peer_certificate(ssl);

    server->version = SSL_version(ssl);
    snprintf(server->sni, sizeof(server->sni), "%s", sni ? sni : "");
    SSL_get0_alpn_selected(ssl, &alpn, &alpn_len);
    snprintf(server->alpn, sizeof(server->alpn), "%.*s", (int)alpn_len, alpn ? (const char *)alpn : "");
    if (client) {
        X509_NAME_get_text_by_NID(X509_get_subject_name(client), NID_commonName, server->client_name,
                                  sizeof(server->client_name));
        X509_free(client);
    }
}

static inline void talk_until_closed(tls_server *server, SSL *ssl) {
    char some[4096];
    int n;

    while ((n = SSL_read(ssl, some, sizeof(some))) > 0) {
    }
    server->got_close_notify = SSL_get_error(ssl, n) == SSL_ERROR_ZERO_RETURN;
}

/* For peer_start, with a tls_server as argument. */
static inline void serve_tls(peer *p, int fd) {
    tls_server *server = p->arg;
    SSL *ssl = SSL_new(server->ctx);

    server->peer = p;
    SSL_set_fd(ssl, fd);
    if (SSL_accept(ssl) == 1) {
        server->accepted = true;
        server_remember(server, ssl);
        if (server->talk) {
            server->talk(server, ssl, fd);
        } else {
            talk_until_closed(server, ssl);
        }
    }
    SSL_free(ssl);
    ERR_clear_error();
    OPENSSL_thread_stop();
}

static inline bool ssl_send_all(SSL *ssl, const uint8_t *data, size_t len) {
    size_t n;
    while (len > 0) {
        if (SSL_write_ex(ssl, data, len, &n) != 1) {
            return false;
        }
        data += n;
        len -= n;
    }
    return true;
}

static inline void talk_echo(tls_server *server, SSL *ssl, int fd) {
    uint8_t bytes[65536];
    int n;
    (void)fd;
    while ((n = SSL_read(ssl, bytes, sizeof(bytes))) > 0 && ssl_send_all(ssl, bytes, (size_t)n)) {
    }
    server->got_close_notify = SSL_get_error(ssl, n) == SSL_ERROR_ZERO_RETURN;
}

/* ---- the client's side ---- */

static inline crt_tls_ctx_options tls_options_trusting(const identity *ca) {
    crt_tls_ctx_options options = {.min_version = CRT_TLS_DEFAULT, .verify_peer = true};
    options.ca_pem = crt_bytes_str(ca->cert_pem);
    return options;
}

static inline crt_tls_ctx *tls_ctx_of(const crt_tls_ctx_options *options) {
    crt_fault fault = {0};
    crt_tls_ctx *ctx = NULL;
    if (crt_tls_ctx_new(options, &ctx, &fault) != 0) {
        fail_msg("%d: %s", fault.code, fault.detail);
    }
    return ctx;
}

/* Connects to a server that runs `serve` and waits for the outcome; c->connect_fault tells it. */
static inline void tls_connect_to(client *c, void (*serve)(peer *, int), void *arg, const crt_tls_ctx_options *tls,
                                  const char *server_name, uint32_t timeout_ms) {
    crt_tls_options per_connection = {.server_name = server_name, .timeout_ms = timeout_ms};
    crt_connect_options options;

    per_connection.ctx = tls_ctx_of(tls);
    peer_start(&c->peer, serve, arg);
    options = client_options(c, "127.0.0.1", c->peer.port);
    options.tls = &per_connection;
    assert_non_null(crt_stream_connect(&options));
    crt_tls_ctx_release(per_connection.ctx);
    latch_wait(&c->connected, 1);
    assert_int_equal(c->connect_calls, 1);
}

static inline void tls_connect(client *c, tls_server *server, const crt_tls_ctx_options *tls, const char *server_name) {
    tls_connect_to(c, serve_tls, server, tls, server_name, 0);
}

#endif
