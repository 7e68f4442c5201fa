/* Between the files of the OpenSSL provider. */
#ifndef CRT_IO_TLS_OPENSSL_H
#define CRT_IO_TLS_OPENSSL_H

#include <openssl/ssl.h>

#include "crt/tls.h"

/* tls_openssl_ctx.c: everything a context's options decide. */
CRT_HIDDEN int crt_openssl_ctx_new(const crt_tls_ctx_options *options, void **ctx, crt_fault *fault);
CRT_HIDDEN bool crt_openssl_cipher_pref_supported(int cipher_pref);

/* Where systems keep their trust roots, by falling preference; not constant so that tests can point elsewhere. */
enum { CRT_TRUST_PLACES = 6 };
typedef struct crt_trust_places {
    const char *directories[CRT_TRUST_PLACES];
    const char *bundles[CRT_TRUST_PLACES];
} crt_trust_places;
extern CRT_HIDDEN crt_trust_places crt_openssl_trust_places;

/* tls_openssl_trust.c. *out has one reference. The system's roots may still be absent from their store: while
   crt_openssl_system_store_pending says so, crt_openssl_load_system_store has to be called, where it may block. */
CRT_HIDDEN int crt_openssl_system_store(X509_STORE **out, crt_fault *fault);
CRT_HIDDEN bool crt_openssl_system_store_pending(const X509_STORE *store);
CRT_HIDDEN int crt_openssl_load_system_store(X509_STORE *store, crt_fault *fault);
CRT_HIDDEN int crt_openssl_custom_store(crt_bytes ca_pem, const char *ca_dir, X509_STORE **out, crt_fault *fault);

/* tls_openssl_pem.c: what PEM texts contain. */
CRT_HIDDEN int crt_openssl_use_chain(SSL_CTX *ctx, crt_bytes pem, crt_fault *fault);
CRT_HIDDEN int crt_openssl_parse_key(crt_bytes pem, EVP_PKEY **out, crt_fault *fault);
/* Adds every certificate of the text to the store. */
CRT_HIDDEN int crt_openssl_add_roots(X509_STORE *store, crt_bytes pem, crt_fault *fault);

/* tls_openssl_pkcs12.c: key, certificate and chain of an archive. */
CRT_HIDDEN int crt_openssl_use_pkcs12(SSL_CTX *ctx, crt_bytes der, const char *password, crt_fault *fault);

/* tls_openssl_ocsp.c: asks for the server's stapled OCSP response and checks it when one comes (RFC 6066). */
CRT_HIDDEN void crt_openssl_check_stapled_status(SSL_CTX *ctx);

/* tls_openssl_reason.c: text for a person. The first two empty OpenSSL's error queue of this thread. */
CRT_HIDDEN void crt_openssl_reason(char *out, size_t size);
/* Why the handshake failed: the verdict on the certificate, the alert, or the library's reason. `names` are those
   of the certificate, should `host` not be among them. */
CRT_HIDDEN void crt_openssl_handshake_reason(const SSL *ssl, const char *host, const char *names, char *out,
                                             size_t size);
/* The hosts that a certificate is valid for: "a.example, *.b.example". */
CRT_HIDDEN void crt_openssl_names(const X509 *certificate, char *out, size_t size);
/* Of an alert's number: "handshake failure", "certificate required". */
CRT_HIDDEN const char *crt_openssl_alert_name(int alert);
/* The alert that the peer sent, when that is what the last error in the queue says; else NULL. */
CRT_HIDDEN const char *crt_openssl_alert(void);

#endif
