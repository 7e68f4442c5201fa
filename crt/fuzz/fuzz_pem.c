/*
 * PEM texts as trust store, as client certificate and as private key. First byte: which; the other texts are empty
 * or the same. A context is made or refused with a reason, and blocks lie within the text, one after the other.
 */
#include <stdlib.h>

#include "crt/pem.h"
#include "crt/tls.h"

static void check_blocks(crt_bytes text) {
    const uint8_t *stop = text.ptr + text.len, *last = text.ptr;
    crt_pem_block block;
    crt_fault fault = {0};

    while (crt_pem_next(&text, "input", &block, &fault) == 0 && block.text.len > 0) {
        if (block.text.ptr < last || block.text.ptr + block.text.len > stop || !block.label[0] ||
            block.len > block.text.len || text.ptr != block.text.ptr + block.text.len) {
            abort();
        }
        last = text.ptr;
        crt_pem_free(&block);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    crt_tls_ctx_options options = {.min_version = CRT_TLS_DEFAULT};
    crt_tls_ctx *ctx = NULL;
    crt_fault fault = {0};
    crt_bytes text;
    int status;

    if (size < 2) {
        return 0;
    }
    text = crt_bytes_of(data + 1, size - 1);
    check_blocks(text);
    if (data[0] & 1) {
        options.verify_peer = true;
        options.ca_pem = text;
    } else {
        options.cert_pem = options.key_pem = text;
        if (data[0] & 2) {
            const uint8_t *middle = memchr(text.ptr, '\0', text.len);
            options.cert_pem.len = middle ? (size_t)(middle - text.ptr) : text.len;
            options.key_pem = crt_bytes_of(text.ptr + options.cert_pem.len, text.len - options.cert_pem.len);
        }
    }
    status = crt_tls_ctx_new(&options, &ctx, &fault);
    if ((status == 0) != (ctx != NULL) || (status != 0 && (fault.code != status || !fault.detail[0]))) {
        abort();
    }
    crt_tls_ctx_release(ctx);
    return 0;
}
