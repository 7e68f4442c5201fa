/* A token's private key, found and ready to use (private to io). Thread-safe: one session behind one lock. */
#ifndef CRT_IO_PKCS11_KEY_H
#define CRT_IO_PKCS11_KEY_H

#include "crt/pkcs11.h"
#include "pkcs11_types.h"

/* pkcs11_status.c: a return value other than CKR_OK as status; names the function that answered so. */
CRT_HIDDEN int crt_pkcs11_fail(crt_fault *fault, const char *function, CK_RV answer);

/* pkcs11.c */
CRT_HIDDEN const CK_FUNCTION_LIST *crt_pkcs11_functions(const crt_pkcs11_lib *lib);
/* The certificate's text, from where the options say; freed with crt_free. */
CRT_HIDDEN int crt_pkcs11_certificate(const crt_pkcs11_options *options, char **pem, size_t *len, crt_fault *fault);

/* pkcs11_key.c */
typedef struct crt_pkcs11_key crt_pkcs11_key;

/* Opens a session, logs in, finds the one key. */
CRT_HIDDEN int crt_pkcs11_key_open(const crt_pkcs11_options *options, crt_pkcs11_key **out, crt_fault *fault);
CRT_HIDDEN crt_pkcs11_key *crt_pkcs11_key_acquire(crt_pkcs11_key *key);
CRT_HIDDEN void crt_pkcs11_key_release(crt_pkcs11_key *key);

CRT_HIDDEN CK_ULONG crt_pkcs11_key_type(const crt_pkcs11_key *key); /* CKK_RSA or CKK_EC */
/* False when the token tells the key's modulus and it is another. */
CRT_HIDDEN bool crt_pkcs11_key_may_have_modulus(crt_pkcs11_key *key, crt_bytes modulus);

/* *out_len is the room at `out`, then what was written. */
CRT_HIDDEN int crt_pkcs11_key_sign(crt_pkcs11_key *key, CK_ULONG mechanism, crt_bytes data, uint8_t *out,
                                   size_t *out_len, crt_fault *fault);

#endif
