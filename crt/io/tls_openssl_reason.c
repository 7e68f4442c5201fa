/* What went wrong, in words that help: certificate verdicts with names, alerts, library reasons. */
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>

#include "tls_openssl.h"

/*
 * OpenSSL reports an alert of the peer as reason 1000 + alert, with a text like "tlsv13 alert certificate required";
 * its table of plain alert names lacks those of TLS 1.3.
 */
const char *crt_openssl_alert_name(int alert) {
    const char *text;

    OPENSSL_init_ssl(OPENSSL_INIT_LOAD_SSL_STRINGS, NULL); /* another stack may be asking, before any context */
    text = ERR_reason_error_string(ERR_PACK(ERR_LIB_SSL, 0, SSL_AD_REASON_OFFSET + alert));
    if (!text || !strchr(text, ' ')) {
        return "unknown";
    }
    text = strchr(text, ' ') + 1;
    return strncmp(text, "alert ", 6) == 0 ? text + 6 : text;
}

const char *crt_openssl_alert(void) {
    unsigned long error = ERR_peek_last_error();
    int reason = ERR_GET_REASON(error);

    if (ERR_GET_LIB(error) != ERR_LIB_SSL || reason < SSL_AD_REASON_OFFSET || reason > SSL_AD_REASON_OFFSET + 255) {
        return NULL;
    }
    return crt_openssl_alert_name(reason - SSL_AD_REASON_OFFSET);
}

void crt_openssl_reason(char *out, size_t size) {
    /* The last error is the one nearest to the cause that a user can act on. */
    unsigned long error = ERR_peek_last_error();
    const char *reason = error ? ERR_reason_error_string(error) : NULL;

    if (reason) {
        snprintf(out, size, "%s", reason);
    } else {
        snprintf(out, size, "OpenSSL error 0x%lx", error);
    }
    ERR_clear_error();
}

/* ---- the certificate's names ---- */

typedef struct text {
    char *at;
    size_t left;
} text;

static void add(text *t, const char *separator, const char *s, int len) {
    int n = snprintf(t->at, t->left, "%s%.*s", separator, len, s);

    if (n < 0 || (size_t)n >= t->left) {
        t->left = 0; /* full; what fits stays */
    } else {
        t->at += n;
        t->left -= (size_t)n;
    }
}

/* Names come from the peer: what is not printable must not reach a log or a terminal. */
static void add_name(text *t, bool *first, const unsigned char *name, int len) {
    char safe[128];
    int i, used = len < (int)sizeof(safe) ? len : (int)sizeof(safe);

    for (i = 0; i < used; i++) {
        safe[i] = name[i] >= 0x20 && name[i] < 0x7f ? (char)name[i] : '?';
    }
    if (t->left > 0) {
        add(t, *first ? "" : ", ", safe, used);
    }
    *first = false;
}

static void add_address(text *t, bool *first, const ASN1_OCTET_STRING *address) {
    const unsigned char *ip = ASN1_STRING_get0_data(address);
    char shown[48];
    int i, n = 0;

    if (ASN1_STRING_length(address) == 4) {
        n = snprintf(shown, sizeof(shown), "%u.%u.%u.%u", ip[0], ip[1], ip[2], ip[3]);
    } else if (ASN1_STRING_length(address) == 16) {
        for (i = 0; i < 16; i += 2) {
            n += snprintf(shown + n, sizeof(shown) - (size_t)n, "%s%x", i ? ":" : "", ip[i] << 8 | ip[i + 1]);
        }
    }
    add_name(t, first, (const unsigned char *)shown, n);
}

static void add_alternative_names(text *t, bool *first, const GENERAL_NAMES *names) {
    int i;

    for (i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type == GEN_DNS) {
            add_name(t, first, ASN1_STRING_get0_data(name->d.dNSName), ASN1_STRING_length(name->d.dNSName));
        } else if (name->type == GEN_IPADD) {
            add_address(t, first, name->d.iPAddress);
        }
    }
}

void crt_openssl_names(const X509 *certificate, char *out, size_t size) {
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    text t = {out, size};
    bool first = true;

    out[0] = '\0';
    if (names) {
        add_alternative_names(&t, &first, names);
        GENERAL_NAMES_free(names);
    } else {
        char common[128];
        int len = X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, common, sizeof(common));
        add_name(&t, &first, (const unsigned char *)common, len < 0 ? 0 : len);
    }
    if (!out[0]) {
        snprintf(out, size, "no host at all");
    }
}

/* ---- handshake ---- */

static void verdict(long result, const char *host, const char *names, char *out, size_t size) {
    switch (result) {
        case X509_V_ERR_HOSTNAME_MISMATCH:
        case X509_V_ERR_IP_ADDRESS_MISMATCH:
            snprintf(out, size, "certificate is not valid for host '%s' (valid for: %s)", host, names);
            return;
        case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
        case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
        case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
        case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
        case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
            snprintf(out, size, "%s (unknown CA); pass the CA with override_default_trust_store",
                     X509_verify_cert_error_string(result));
            return;
        default:
            snprintf(out, size, "%s", X509_verify_cert_error_string(result));
    }
}

void crt_openssl_handshake_reason(const SSL *ssl, const char *host, const char *names, char *out, size_t size) {
    long result = SSL_get_verify_result(ssl);
    const char *alert = crt_openssl_alert();

    if (alert) {
        snprintf(out, size, "the server refused with alert '%s'", alert);
    } else if (ERR_GET_REASON(ERR_peek_last_error()) == SSL_R_CERTIFICATE_VERIFY_FAILED && result != X509_V_OK) {
        verdict(result, host, names, out, size);
    } else if (ERR_GET_REASON(ERR_peek_last_error()) == SSL_R_INVALID_STATUS_RESPONSE) {
        snprintf(out, size, "the stapled OCSP response does not vouch for the certificate");
    } else if (ERR_GET_REASON(ERR_peek_last_error()) == SSL_R_WRONG_VERSION_NUMBER) {
        /* The first record's version is not 3.x, which every TLS has: mostly a port for clear text. */
        snprintf(out, size, "the server does not speak TLS on this port (wrong version number)");
    } else {
        crt_openssl_reason(out, size);
    }
    ERR_clear_error();
}
