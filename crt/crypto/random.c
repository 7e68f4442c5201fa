/*
 * Random bytes from libcrypto's generator, which reseeds itself in forked children.
 */
#include "crt/crypto.h"
#include "crt/status.h"

#include <limits.h>
#include <openssl/rand.h>

int crt_random(void *out, size_t len) {
    unsigned char *at = out;
    while (len > 0) {
        int n = len > INT_MAX ? INT_MAX : (int)len;
        if (RAND_bytes(at, n) != 1) {
            return AWS_ERROR_RANDOM_GEN_FAILED;
        }
        at += n;
        len -= (size_t)n;
    }
    return 0;
}
