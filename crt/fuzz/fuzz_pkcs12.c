/* Client identities from PKCS#12 archives without a password: a context is made, or refused with a reason. */
#include <stdlib.h>

#include "crt/tls.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    crt_tls_ctx_options options = {.min_version = CRT_TLS_DEFAULT, .pkcs12 = {data, size}};
    crt_tls_ctx *ctx = NULL;
    crt_fault fault = {0};
    int status;

    if (size == 0) {
        return 0;
    }
    status = crt_tls_ctx_new(&options, &ctx, &fault);
    if ((status == 0) != (ctx != NULL) || (status != 0 && (fault.code != status || !fault.detail[0]))) {
        abort();
    }
    crt_tls_ctx_release(ctx);
    return 0;
}
