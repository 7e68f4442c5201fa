/* A client identity whose key stays in its token, for the OpenSSL provider. */
#ifndef CRT_IO_PKCS11_OPENSSL_H
#define CRT_IO_PKCS11_OPENSSL_H

#include <openssl/ssl.h>

#include "crt/pkcs11.h"

/* Sets certificate chain and key; lowers the newest version to TLS 1.2. */
CRT_HIDDEN int crt_openssl_use_pkcs11(SSL_CTX *ctx, const crt_pkcs11_options *options, crt_fault *fault);
/* Why the token refused to sign, when that is what OpenSSL's error queue of this thread begins with: the status,
   with fault filled. Else 0. The queue stays. */
CRT_HIDDEN int crt_openssl_pkcs11_fault(crt_fault *fault);

#endif
