/*
 * Trust roots. The system's are found once per process and shared by all contexts; the first context that
 * verifies pays, not the import.
 *
 * A directory whose files are named by subject hash (c_rehash) costs nothing until a handshake looks an issuer
 * up. Where the system has only a bundle, it is parsed, on a thread that may take its time; the store exists before
 * that, so that contexts can be made with it. POSIX: a Windows provider asks its system.
 */
#include <ctype.h>
#include <dirent.h>
#include <openssl/err.h>
#include <openssl/x509_vfy.h>
#include <unistd.h>

#include "../common/internal.h"
#include "tls_openssl.h"
#include "tls_provider.h"

crt_trust_places crt_openssl_trust_places = {
    .directories =
        {
            "/etc/ssl/certs",
            "/etc/pki/tls/certs",
            "/system/etc/security/cacerts",
            "/usr/local/share/certs",
            "/etc/openssl/certs",
        },
    .bundles =
        {
            "/etc/ssl/certs/ca-certificates.crt",
            "/etc/pki/tls/certs/ca-bundle.crt",
            "/etc/ssl/ca-bundle.pem",
            "/etc/pki/tls/cacert.pem",
            "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
            "/etc/ssl/cert.pem",
        },
};

static struct {
    uv_mutex_t lock;
    X509_STORE *store;  /* kept until the process ends */
    const char *bundle; /* still to be parsed into it; NULL: nothing is */
    uv_mutex_t parsing; /* held meanwhile */
} roots;

static uv_once_t once = UV_ONCE_INIT;

static void lock_before_fork(void) {
    uv_mutex_lock(&roots.lock);
}

static void unlock_in_parent(void) {
    uv_mutex_unlock(&roots.lock);
}

/* Another thread may have been at work in the store, whose lock would stay locked: the child makes its own. */
static void reset_in_child(void) {
    roots.store = NULL;
    roots.bundle = NULL;
    uv_mutex_init(&roots.parsing);
    uv_mutex_unlock(&roots.lock);
}

static crt_fork_hook fork_hook = {lock_before_fork, unlock_in_parent, reset_in_child, NULL};

static void init_roots(void) {
    uv_mutex_init(&roots.lock);
    uv_mutex_init(&roots.parsing);
    crt_fork_watch(&fork_hook);
}

static const char *first_existing(const char *const paths[CRT_TRUST_PLACES]) {
    size_t i;

    for (i = 0; i < CRT_TRUST_PLACES && paths[i]; i++) {
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

bool crt_tls_system_roots(const char **directory, const char **bundle) {
    *bundle = NULL;
    *directory = first_existing(crt_openssl_trust_places.directories);
    if (*directory && has_hashed_names(*directory)) {
        return true;
    }
    *directory = NULL;
    *bundle = first_existing(crt_openssl_trust_places.bundles);
    return *bundle != NULL;
}

/* Lock held. */
static void find_roots(void) {
    const char *directory, *bundle;
    X509_STORE *store = crt_tls_system_roots(&directory, &bundle) ? X509_STORE_new() : NULL;

    if (store && directory && X509_STORE_load_path(store, directory) != 1) {
        X509_STORE_free(store);
        store = NULL;
    }
    ERR_clear_error();
    roots.store = store;
    roots.bundle = store ? bundle : NULL;
}

int crt_openssl_system_store(X509_STORE **out, crt_fault *fault) {
    uv_once(&once, init_roots);
    uv_mutex_lock(&roots.lock);
    if (!roots.store) {
        find_roots(); /* tried again next time when there were none */
    }
    *out = roots.store;
    if (*out) {
        X509_STORE_up_ref(*out);
    }
    uv_mutex_unlock(&roots.lock);
    if (!*out) {
        return crt_fail(fault, AWS_IO_TLS_ERROR_DEFAULT_TRUST_STORE_NOT_FOUND,
                        "the system has no trust store where one is usually kept; install its CA certificates or pass "
                        "them with override_default_trust_store");
    }
    return 0;
}

/* What is still to be parsed into this store, if it is the system's. *forgotten: it was, and could not be filled. */
static const char *bundle_of(const X509_STORE *store, bool *forgotten) {
    const char *bundle;

    uv_once(&once, init_roots);
    uv_mutex_lock(&roots.lock);
    *forgotten = store != roots.store;
    bundle = *forgotten ? NULL : roots.bundle;
    uv_mutex_unlock(&roots.lock);
    return bundle;
}

bool crt_openssl_system_store_pending(const X509_STORE *store) {
    bool forgotten;

    return bundle_of(store, &forgotten) != NULL;
}

/* A store that could not be filled is forgotten: the next context tries again. */
static void parsed(bool ok) {
    uv_mutex_lock(&roots.lock);
    roots.bundle = NULL;
    if (!ok) {
        X509_STORE_free(roots.store);
        roots.store = NULL;
    }
    uv_mutex_unlock(&roots.lock);
}

int crt_openssl_load_system_store(X509_STORE *store, crt_fault *fault) {
    const char *bundle;
    bool failed;

    uv_once(&once, init_roots);
    uv_mutex_lock(&roots.parsing);
    bundle = bundle_of(store, &failed);
    if (bundle) {
        failed = X509_STORE_load_file(store, bundle) != 1;
        parsed(!failed);
        ERR_clear_error();
    }
    uv_mutex_unlock(&roots.parsing);
    if (!failed) {
        return 0;
    }
    return crt_fail(fault, AWS_IO_TLS_ERROR_DEFAULT_TRUST_STORE_NOT_FOUND,
                    "the system's trust store %s%scannot be read", bundle ? bundle : "", bundle ? " " : "");
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
