/*
 * Trust roots. The system's are found once per process and shared by all contexts; the first context that
 * verifies pays, not the import.
 *
 * A directory whose files are named by subject hash (c_rehash) costs nothing until a handshake looks an issuer
 * up. Where the system has only a bundle, the bundle is parsed. POSIX: a Windows provider asks its system.
 */
#include <ctype.h>
#include <dirent.h>
#include <openssl/err.h>
#include <openssl/x509_vfy.h>
#include <unistd.h>
#include <uv.h>

#include "tls_openssl.h"

static const char *const directories[] = {
    "/etc/ssl/certs",          "/etc/pki/tls/certs", "/system/etc/security/cacerts",
    "/usr/local/share/certs",  "/etc/openssl/certs",
};

static const char *const bundles[] = {
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
};

static uv_once_t once = UV_ONCE_INIT;
static uv_mutex_t lock;
static X509_STORE *system_store; /* kept until the process ends */

static void init_lock(void) {
    uv_mutex_init(&lock);
}

static const char *first_existing(const char *const *paths, size_t count) {
    size_t i;

    for (i = 0; i < count; i++) {
        if (access(paths[i], R_OK) == 0) {
            return paths[i];
        }
    }
    return NULL;
}

/* "9f727ac7.0" */
static bool is_hashed_name(const char *name) {
    int i;

    for (i = 0; i < 8; i++) {
        if (!isxdigit((unsigned char)name[i])) {
            return false;
        }
    }
    return name[8] == '.' && isdigit((unsigned char)name[9]);
}

static bool has_hashed_names(const char *path) {
    DIR *directory = opendir(path);
    struct dirent *entry;
    bool found = false;

    if (!directory) {
        return false;
    }
    while (!found && (entry = readdir(directory)) != NULL) {
        found = is_hashed_name(entry->d_name);
    }
    closedir(directory);
    return found;
}

static X509_STORE *load_system_store(void) {
    const char *directory = first_existing(directories, sizeof(directories) / sizeof(directories[0]));
    const char *bundle = first_existing(bundles, sizeof(bundles) / sizeof(bundles[0]));
    bool hashed = directory && has_hashed_names(directory);
    X509_STORE *store;

    if (!hashed && !bundle) {
        return NULL;
    }
    store = X509_STORE_new();
    if (store && (hashed ? X509_STORE_load_path(store, directory) : X509_STORE_load_file(store, bundle)) != 1) {
        X509_STORE_free(store);
        store = NULL;
    }
    ERR_clear_error();
    return store;
}

int crt_openssl_system_store(X509_STORE **out, crt_fault *fault) {
    uv_once(&once, init_lock);
    uv_mutex_lock(&lock);
    if (!system_store) {
        system_store = load_system_store(); /* tried again next time when there was none */
    }
    *out = system_store;
    if (*out) {
        X509_STORE_up_ref(*out);
    }
    uv_mutex_unlock(&lock);
    if (!*out) {
        return crt_fail(fault, AWS_IO_TLS_ERROR_DEFAULT_TRUST_STORE_NOT_FOUND,
                        "the system has no trust store where one is usually kept; install its CA certificates or pass "
                        "them with override_default_trust_store");
    }
    return 0;
}

int crt_openssl_custom_store(crt_bytes ca_pem, const char *ca_dir, X509_STORE **out, crt_fault *fault) {
    X509_STORE *store = X509_STORE_new();
    int status = 0;

    *out = NULL;
    if (!store) {
        return crt_fail(fault, AWS_ERROR_OOM, "no memory for a trust store");
    }
    /* Whoever names an intermediate as trusted means it: no root above it is asked for. */
    X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);
    if (ca_dir && (!ca_dir[0] || X509_STORE_load_path(store, ca_dir) != 1)) {
        status = crt_fail(fault, AWS_IO_TLS_CTX_ERROR, "'%s' cannot be used as directory of trusted certificates",
                          ca_dir);
    }
    if (status == 0 && ca_pem.ptr) {
        status = crt_openssl_add_roots(store, ca_pem, fault);
    }
    ERR_clear_error();
    if (status) {
        X509_STORE_free(store);
        return status;
    }
    *out = store;
    return 0;
}
