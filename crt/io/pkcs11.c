/* PKCS#11 modules: loading, initializing, and the certificate that goes with a key. */
#include <stdio.h>
#include <uv.h>

#include "crt/log.h"
#include "crt/memory.h"
#include "pkcs11_key.h"

struct crt_pkcs11_lib {
    crt_refcount refs;
    uv_lib_t module;
    const CK_FUNCTION_LIST *functions;
    bool finalize;
};

typedef CK_RV (*get_function_list)(CK_FUNCTION_LIST **list);

/* The function list's layout is what 2.20 and 2.40 share; modules of version 3 offer it under this name as well. */
static int check_version(CK_VERSION version, crt_fault *fault) {
    if (version.major == 2 && version.minor >= 20) {
        return 0;
    }
    return crt_fail(fault, AWS_ERROR_PKCS11_VERSION_UNSUPPORTED,
                    "the PKCS#11 module has version %u.%u; 2.20 to 2.40 are supported", version.major, version.minor);
}

static int load(crt_pkcs11_lib *lib, const char *file, crt_fault *fault) {
    get_function_list entry;
    CK_FUNCTION_LIST *functions = NULL;
    CK_RV answer;

    if (uv_dlopen(file, &lib->module)) {
        return crt_fail(fault, AWS_IO_SHARED_LIBRARY_LOAD_FAILURE, "cannot load the PKCS#11 module '%s': %s", file,
                        uv_dlerror(&lib->module));
    }
    if (uv_dlsym(&lib->module, "C_GetFunctionList", (void **)&entry)) {
        return crt_fail(fault, AWS_IO_SHARED_LIBRARY_FIND_SYMBOL_FAILURE,
                        "'%s' is no PKCS#11 module: it has no C_GetFunctionList", file);
    }
    answer = entry(&functions);
    if (answer != CKR_OK) {
        return crt_pkcs11_fail(fault, "C_GetFunctionList", answer);
    }
    if (!functions) {
        return crt_fail(fault, AWS_IO_SHARED_LIBRARY_FIND_SYMBOL_FAILURE, "'%s' has no PKCS#11 functions", file);
    }
    lib->functions = functions;
    return check_version(functions->version, fault);
}

static int initialize(crt_pkcs11_lib *lib, int behavior, crt_fault *fault) {
    CK_C_INITIALIZE_ARGS threads = {.flags = CKF_OS_LOCKING_OK};
    CK_RV answer;

    if (behavior == CRT_PKCS11_OMIT) {
        return 0;
    }
    answer = lib->functions->C_Initialize(&threads);
    if (answer == CKR_CRYPTOKI_ALREADY_INITIALIZED && behavior == CRT_PKCS11_DEFAULT) {
        return 0;
    }
    if (answer != CKR_OK) {
        return crt_pkcs11_fail(fault, "C_Initialize", answer);
    }
    lib->finalize = behavior == CRT_PKCS11_STRICT;
    return 0;
}

/* Also tells, for CRT_PKCS11_OMIT, whether the program did initialize the module. */
static int check_info(const crt_pkcs11_lib *lib, crt_fault *fault) {
    CK_INFO info = {0};
    CK_RV answer = lib->functions->C_GetInfo(&info);

    if (answer != CKR_OK) {
        return crt_pkcs11_fail(fault, "C_GetInfo", answer);
    }
    return check_version(info.cryptokiVersion, fault);
}

static void destroy(crt_pkcs11_lib *lib) {
    if (lib->finalize) {
        CK_RV answer = lib->functions->C_Finalize(NULL);
        if (answer != CKR_OK) {
            crt_fault fault;
            crt_pkcs11_fail(&fault, "C_Finalize", answer);
            CRT_LOG(CRT_LOG_ERROR, CRT_LS_PKCS11, "%s", fault.detail);
        }
    }
    uv_dlclose(&lib->module);
    crt_free(lib);
}

int crt_pkcs11_lib_new(const char *file, int behavior, crt_pkcs11_lib **out, crt_fault *fault) {
    crt_pkcs11_lib *lib;
    int status;

    *out = NULL;
    if (behavior < CRT_PKCS11_DEFAULT || behavior > CRT_PKCS11_STRICT) {
        return crt_fail(fault, AWS_ERROR_INVALID_ARGUMENT, "%d is no initialize/finalize behavior", behavior);
    }
    lib = crt_calloc(1, sizeof(*lib));
    if (!lib) {
        return crt_fail(fault, AWS_ERROR_OOM, "no memory for a PKCS#11 module");
    }
    crt_ref_init(&lib->refs);
    status = load(lib, file, fault);
    if (status == 0) {
        status = initialize(lib, behavior, fault);
    }
    if (status == 0) {
        status = check_info(lib, fault);
    }
    if (status) {
        destroy(lib);
        return status;
    }
    CRT_LOG(CRT_LOG_INFO, CRT_LS_PKCS11, "loaded the PKCS#11 module '%s'", file);
    *out = lib;
    return 0;
}

crt_pkcs11_lib *crt_pkcs11_lib_acquire(crt_pkcs11_lib *lib) {
    crt_ref_inc(&lib->refs);
    return lib;
}

void crt_pkcs11_lib_release(crt_pkcs11_lib *lib) {
    if (lib && crt_ref_dec(&lib->refs)) {
        destroy(lib);
    }
}

const CK_FUNCTION_LIST *crt_pkcs11_functions(const crt_pkcs11_lib *lib) {
    return lib->functions;
}

/* ---- the certificate ---- */

enum { CERTIFICATE_LIMIT = 1 << 20 };

static int read_file(const char *path, char **out, size_t *len, crt_fault *fault) {
    FILE *file = fopen(path, "rb");
    char *text;

    if (!file) {
        return crt_fail(fault, AWS_ERROR_FILE_INVALID_PATH, "cannot open the certificate file '%s'", path);
    }
    text = crt_malloc(CERTIFICATE_LIMIT);
    if (!text) {
        fclose(file);
        return crt_fail(fault, AWS_ERROR_OOM, "no memory for the certificate");
    }
    *len = fread(text, 1, CERTIFICATE_LIMIT, file);
    if (ferror(file) || !feof(file)) {
        fclose(file);
        crt_free(text);
        return crt_fail(fault, AWS_ERROR_FILE_READ_FAILURE,
                        "the certificate file '%s' cannot be read or is larger than 1 MiB", path);
    }
    fclose(file);
    *out = text;
    return 0;
}

int crt_pkcs11_certificate(const crt_pkcs11_options *options, char **pem, size_t *len, crt_fault *fault) {
    *pem = NULL;
    *len = 0;
    if (options->cert_path && options->cert_pem.ptr) {
        return crt_fail(fault, AWS_ERROR_INVALID_ARGUMENT,
                        "both a certificate's path and its contents were given; give one");
    }
    if (options->cert_path) {
        return read_file(options->cert_path, pem, len, fault);
    }
    if (!options->cert_pem.ptr) {
        return crt_fail(fault, AWS_ERROR_FILE_INVALID_PATH,
                        "a PKCS#11 key needs its certificate: give a path or the contents");
    }
    *pem = crt_strndup(options->cert_pem.ptr, options->cert_pem.len);
    *len = options->cert_pem.len;
    return *pem ? 0 : crt_fail(fault, AWS_ERROR_OOM, "no memory for the certificate");
}
