/* PEM text: finds blocks and decodes them. What they mean is up to the caller. */
#include "crt/pem.h"

#include "crt/crypto.h"
#include "crt/memory.h"

#define BEGIN "-----BEGIN "
#define END "-----END "
#define DASHES "-----"

/* Where `needle` begins in `text`; NULL: nowhere. The text may contain NUL. */
static const uint8_t *find(crt_bytes text, const char *needle) {
    size_t len = strlen(needle);

    while (text.len >= len) {
        const uint8_t *at = memchr(text.ptr, needle[0], text.len - len + 1);
        if (!at || memcmp(at, needle, len) == 0) {
            return at;
        }
        text = crt_bytes_of(at + 1, text.len - (size_t)(at + 1 - text.ptr));
    }
    return NULL;
}

static crt_bytes between(const uint8_t *from, const uint8_t *to) {
    return crt_bytes_of(from, (size_t)(to - from));
}

/* volatile: a compiler drops writes to memory that is about to be freed. */
static void wipe(uint8_t *data, size_t len) {
    volatile uint8_t *at = data;

    while (len-- > 0) {
        *at++ = 0;
    }
}

static void wipe_and_free(uint8_t *data, size_t len) {
    if (data) {
        wipe(data, len);
        crt_free(data);
    }
}

void crt_pem_free(crt_pem_block *block) {
    wipe_and_free(block->der, block->len);
    memset(block, 0, sizeof(*block));
}

int crt_pem_no_block(const char *what, crt_fault *fault) {
    return crt_fail(fault, AWS_ERROR_INVALID_ARGUMENT,
                    "the %s contains no complete PEM block (-----BEGIN ... -----END)", what);
}

/* Copies what is not white space; the number of bytes. */
static size_t without_space(crt_bytes body, uint8_t *out) {
    size_t i, n = 0;

    for (i = 0; i < body.len; i++) {
        if (body.ptr[i] > ' ') {
            out[n++] = body.ptr[i];
        }
    }
    return n;
}

static int decode(crt_pem_block *block, crt_bytes body, const char *what, crt_fault *fault) {
    uint8_t *dense = crt_malloc(body.len + 1);
    size_t dense_len, decoded = 0;
    int status = 0;

    block->der = crt_malloc(body.len + 1);
    block->len = body.len; /* what has to be wiped */
    if (!dense || !block->der) {
        status = crt_fail(fault, AWS_ERROR_OOM, "no memory for a PEM block");
        goto cleanup;
    }
    dense_len = without_space(body, dense);
    if (dense_len == 0 || crt_base64_decode(crt_bytes_of(dense, dense_len), block->der, &decoded)) {
        status = crt_fail(fault, AWS_IO_TLS_CTX_ERROR, "the %s is damaged: block '%s' is not base64", what,
                          block->label);
        goto cleanup;
    }
    block->len = decoded;
cleanup:
    wipe_and_free(dense, body.len);
    return status;
}

static int damaged_label(const char *what, crt_fault *fault) {
    return crt_fail(fault, AWS_IO_TLS_CTX_ERROR, "the %s is damaged: a -----BEGIN line lacks its match -----END", what);
}

/* "CERTIFICATE-----" at `at`. Labels are printable ASCII; ours are short. */
static const uint8_t *take_label(crt_bytes at, char *label, size_t size) {
    const uint8_t *stop = find(at, DASHES);
    size_t i, len = stop ? (size_t)(stop - at.ptr) : 0;

    if (len == 0 || len >= size) {
        return NULL;
    }
    for (i = 0; i < len; i++) {
        if (at.ptr[i] < ' ' || at.ptr[i] > '~') {
            return NULL;
        }
    }
    memcpy(label, at.ptr, len);
    label[len] = '\0';
    return stop + strlen(DASHES);
}

static bool is_ascii(crt_bytes text) {
    size_t i;

    for (i = 0; i < text.len; i++) {
        if (text.ptr[i] >= 0x80) {
            return false;
        }
    }
    return true;
}

static int read_body(crt_pem_block *block, crt_bytes body, const char *what, crt_fault *fault) {
    if (!is_ascii(body)) {
        return crt_fail(fault, AWS_IO_FILE_VALIDATION_FAILURE, "the %s is damaged: block '%s' is not text", what,
                        block->label);
    }
    block->encrypted = strncmp(block->label, "ENCRYPTED ", 10) == 0 || find(body, ",ENCRYPTED") != NULL;
    return block->encrypted ? 0 : decode(block, body, what, fault);
}

int crt_pem_next(crt_bytes *rest, const char *what, crt_pem_block *block, crt_fault *fault) {
    const uint8_t *stop = rest->ptr + rest->len;
    const uint8_t *begin = find(*rest, BEGIN), *body, *end, *after;
    char end_label[sizeof(block->label)];
    int status;

    memset(block, 0, sizeof(*block));
    if (!begin) {
        *rest = crt_bytes_of(stop, 0);
        return 0;
    }
    end = find(between(begin, stop), END);
    if (!end) {
        return crt_fail(fault, AWS_ERROR_INVALID_ARGUMENT, "the %s is cut off: a PEM block begins and does not end",
                        what);
    }
    body = take_label(between(begin + strlen(BEGIN), end), block->label, sizeof(block->label));
    after = take_label(between(end + strlen(END), stop), end_label, sizeof(end_label));
    if (!body || !after || strcmp(block->label, end_label) != 0) {
        return damaged_label(what, fault);
    }
    block->text = between(begin, after);
    *rest = between(after, stop);
    status = read_body(block, between(body, end), what, fault);
    if (status) {
        crt_pem_free(block);
    }
    return status;
}
