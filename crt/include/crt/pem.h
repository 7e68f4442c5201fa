/*
 * PEM text (RFC 7468) as people have it: blocks with anything before, between and after them, any line ends, a
 * terminator left by a C program. One reader for all TLS stacks and for keys: the stacks' own differ in what they take.
 */
#ifndef CRT_PEM_H
#define CRT_PEM_H

#include "crt/status.h"

CRT_EXTERN_C_BEGIN

typedef struct crt_pem_block {
    char label[48];  /* "CERTIFICATE" */
    bool encrypted;  /* by a passphrase: PKCS#8 (RFC 5958) or the older form with headers (RFC 1421) */
    uint8_t *der;    /* what the base64 says; not for encrypted blocks */
    size_t len;
    crt_bytes text;  /* the block as it stands in the input, from its first dash to its last */
} crt_pem_block;

/*
 * Takes the next block off the front of `rest`. 0 with block->text.len > 0: one, to be given to crt_pem_free. 0 with
 * block->text.len == 0: there is no other. `what` names the input in messages: "client certificate".
 *
 * AWS_ERROR_INVALID_ARGUMENT: a block begins that does not end. AWS_IO_FILE_VALIDATION_FAILURE: bytes beyond ASCII
 * in a block. AWS_IO_TLS_CTX_ERROR: no base64 in it, or labels that do not match.
 */
CRT_FN(int, crt_pem_next, (crt_bytes *rest, const char *what, crt_pem_block *block, crt_fault *fault));
/* Wipes the contents, which may be a key. */
CRT_FN(void, crt_pem_free, (crt_pem_block *block));
/* The failure for a text without any block. */
CRT_FN(int, crt_pem_no_block, (const char *what, crt_fault *fault));

CRT_EXTERN_C_END
#endif
