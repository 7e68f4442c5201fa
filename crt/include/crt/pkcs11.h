/*
 * Private keys that never leave their token (HSM, TPM, smart card): PKCS#11 v2.20 to v2.40 modules.
 *
 * A TLS context made with crt_pkcs11_options signs its handshakes with such a key (crt/tls.h). PKCS#11 calls block;
 * those of a handshake run on its event loop's thread.
 */
#ifndef CRT_PKCS11_H
#define CRT_PKCS11_H

#include "crt/base.h"
#include "crt/status.h"

CRT_EXTERN_C_BEGIN

typedef struct crt_pkcs11_lib crt_pkcs11_lib;

/* A module can be initialized once per process, so all its users must agree on who does it. */
enum crt_pkcs11_behavior {
    CRT_PKCS11_DEFAULT = 0, /* C_Initialize, which may have happened before; never C_Finalize */
    CRT_PKCS11_OMIT = 1,    /* neither: the program does both */
    CRT_PKCS11_STRICT = 2,  /* C_Initialize must succeed; C_Finalize with the last reference */
};

/*
 * Loads a module. AWS_IO_SHARED_LIBRARY_LOAD_FAILURE, AWS_IO_SHARED_LIBRARY_FIND_SYMBOL_FAILURE (it is no PKCS#11
 * module), AWS_ERROR_PKCS11_VERSION_UNSUPPORTED, AWS_ERROR_INVALID_ARGUMENT (behavior), AWS_ERROR_PKCS11_CKR_*.
 */
CRT_FN(int, crt_pkcs11_lib_new, (const char *file, int behavior, crt_pkcs11_lib **out, crt_fault *fault));
CRT_FN(crt_pkcs11_lib *, crt_pkcs11_lib_acquire, (crt_pkcs11_lib *lib));
CRT_FN(void, crt_pkcs11_lib_release, (crt_pkcs11_lib *lib));

/* Which key, and the certificate that goes with it. Views without a pointer were not given. */
typedef struct crt_pkcs11_options {
    crt_pkcs11_lib *lib;
    crt_bytes pin; /* not given: the token asks on its own keypad (protected authentication path) */
    const uint64_t *slot_id;
    crt_bytes token_label;
    crt_bytes key_label;
    const char *cert_path; /* PEM chain: exactly one of the two */
    crt_bytes cert_pem;
} crt_pkcs11_options;

CRT_EXTERN_C_END
#endif
