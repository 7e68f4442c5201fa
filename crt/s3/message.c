#include "message.h"

#include <inttypes.h>
#include <stdio.h>
#include <strings.h>

#include "crt/memory.h"
#include "crt/status.h"

/* Which requests of a multipart upload a header of the caller's PutObject is copied to. */
enum { ON_CREATE = 1, ON_PART = 2, ON_COMPLETE = 4, ON_ABORT = 8 };

typedef struct header_rule {
    const char *name;
    unsigned copied_to;
} header_rule;

/* "API_CreateMultipartUpload", "API_UploadPart", ... (S3 API reference): what each request accepts.
   A header that is not listed goes on all of them. */
static const header_rule rules[] = {
    {"content-length", 0},
    {"content-md5", 0},
    {"content-type", ON_CREATE},
    {"content-encoding", ON_CREATE},
    {"content-disposition", ON_CREATE},
    {"content-language", ON_CREATE},
    {"cache-control", ON_CREATE},
    {"expires", ON_CREATE},
    {"if-none-match", ON_COMPLETE},
    {"x-amz-acl", ON_CREATE},
    {"x-amz-grant-full-control", ON_CREATE},
    {"x-amz-grant-read", ON_CREATE},
    {"x-amz-grant-read-acp", ON_CREATE},
    {"x-amz-grant-write-acp", ON_CREATE},
    {"x-amz-storage-class", ON_CREATE},
    {"x-amz-website-redirect-location", ON_CREATE},
    {"x-amz-tagging", ON_CREATE},
    {"x-amz-object-lock-mode", ON_CREATE},
    {"x-amz-object-lock-retain-until-date", ON_CREATE},
    {"x-amz-object-lock-legal-hold", ON_CREATE},
    {"x-amz-server-side-encryption", ON_CREATE},
    {"x-amz-server-side-encryption-aws-kms-key-id", ON_CREATE},
    {"x-amz-server-side-encryption-context", ON_CREATE},
    {"x-amz-server-side-encryption-bucket-key-enabled", ON_CREATE},
    {"x-amz-server-side-encryption-customer-algorithm", ON_CREATE | ON_PART},
    {"x-amz-server-side-encryption-customer-key", ON_CREATE | ON_PART},
    {"x-amz-server-side-encryption-customer-key-md5", ON_CREATE | ON_PART},
    {"x-amz-sdk-checksum-algorithm", ON_PART | ON_COMPLETE | ON_ABORT},
    {"x-amz-checksum-algorithm", ON_CREATE},
    {"x-amz-checksum-type", ON_CREATE | ON_COMPLETE},
    {"x-amz-copy-source", 0},
    {"x-amz-copy-source-range", 0},
    {"x-amz-metadata-directive", ON_COMPLETE | ON_ABORT},
    {"x-amz-tagging-directive", ON_COMPLETE | ON_ABORT},
    {"x-amz-object-annotation-directive", ON_COMPLETE | ON_ABORT},
    {"x-amz-create-session-mode", 0},
};

static bool starts_with(crt_bytes text, const char *prefix) {
    size_t n = strlen(prefix);
    return text.len >= n && strncasecmp((const char *)text.ptr, prefix, n) == 0;
}

bool crt_s3_bytes_are(crt_bytes text, const char *expected) {
    return text.len == strlen(expected) && strncasecmp((const char *)text.ptr, expected, text.len) == 0;
}

static unsigned copied_to(crt_bytes name) {
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        if (crt_s3_bytes_are(name, rules[i].name)) {
            return rules[i].copied_to;
        }
    }
    if (starts_with(name, "x-amz-meta-")) {
        return ON_CREATE;
    }
    if (starts_with(name, "x-amz-checksum-") && !crt_s3_bytes_are(name, "x-amz-checksum-mode")) {
        return ON_COMPLETE; /* the checksum of the whole object */
    }
    return ON_CREATE | ON_PART | ON_COMPLETE | ON_ABORT;
}

static bool keeps_header(enum crt_s3_operation operation, crt_bytes name) {
    switch (operation) {
    case CRT_S3_OP_PLAIN:
        return true;
    case CRT_S3_OP_HEAD:
        return true;
    case CRT_S3_OP_GET:
    case CRT_S3_OP_FIRST_PART:
        return !crt_s3_bytes_are(name, "range");
    case CRT_S3_OP_CREATE:
        return copied_to(name) & ON_CREATE;
    case CRT_S3_OP_PART:
        return copied_to(name) & ON_PART;
    case CRT_S3_OP_COMPLETE:
        return copied_to(name) & ON_COMPLETE;
    default:
        return copied_to(name) & ON_ABORT;
    }
}

const char *crt_s3_operation_name(enum crt_s3_operation operation) {
    static const char *const names[] = {
        [CRT_S3_OP_PLAIN] = NULL,
        [CRT_S3_OP_HEAD] = "HeadObject",
        [CRT_S3_OP_GET] = "GetObject",
        [CRT_S3_OP_FIRST_PART] = "GetObject",
        [CRT_S3_OP_CREATE] = "CreateMultipartUpload",
        [CRT_S3_OP_PART] = "UploadPart",
        [CRT_S3_OP_COMPLETE] = "CompleteMultipartUpload",
        [CRT_S3_OP_ABORT] = "AbortMultipartUpload",
    };
    return names[operation];
}

static crt_bytes method_of(const crt_http_message *original, enum crt_s3_operation operation) {
    switch (operation) {
    case CRT_S3_OP_PLAIN:
        return crt_http_message_method(original);
    case CRT_S3_OP_HEAD:
        return crt_bytes_str("HEAD");
    case CRT_S3_OP_GET:
    case CRT_S3_OP_FIRST_PART:
        return crt_bytes_str("GET");
    case CRT_S3_OP_PART:
        return crt_bytes_str("PUT");
    case CRT_S3_OP_ABORT:
        return crt_bytes_str("DELETE");
    default:
        return crt_bytes_str("POST");
    }
}

crt_http_message *crt_s3_message_for(const crt_http_message *original, enum crt_s3_operation operation) {
    crt_http_message *message = crt_http_message_new(NULL);
    if (!message) {
        return NULL;
    }
    const crt_http_headers *from = crt_http_message_headers((crt_http_message *)original);
    crt_http_headers *to = crt_http_message_headers(message);
    int status = crt_http_message_set_method(message, method_of(original, operation));
    if (!status) {
        status = crt_http_message_set_path(message, crt_http_message_path(original));
    }
    for (size_t i = 0, n = crt_http_headers_count(from); i < n && !status; i++) {
        crt_http_header h = crt_http_headers_at(from, i);
        if (keeps_header(operation, h.name)) {
            status = crt_http_headers_add(to, h.name, h.value);
        }
    }
    if (status) {
        crt_http_message_release(message);
        return NULL;
    }
    return message;
}

crt_http_message *crt_s3_message_copy(const crt_http_message *original) {
    crt_http_message *copy = crt_s3_message_for(original, CRT_S3_OP_PLAIN);
    if (copy) {
        crt_http_message_set_body(copy, crt_http_message_body(original));
    }
    return copy;
}

int crt_s3_message_add_query(crt_http_message *message, const char *name, const char *value) {
    crt_buf path = CRT_BUF_INIT;
    crt_bytes old = crt_http_message_path(message);
    bool has_query = old.len && memchr(old.ptr, '?', old.len);
    int status = crt_buf_append(&path, old.ptr, old.len);
    if (!status) {
        status = crt_buf_printf(&path, "%c%s%s%s", has_query ? '&' : '?', name, value ? "=" : "", value ? value : "");
    }
    if (!status) {
        status = crt_http_message_set_path(message, crt_buf_view(&path));
    }
    crt_buf_free(&path);
    return status;
}

int crt_s3_message_set(crt_http_message *message, const char *name, const char *value) {
    return crt_http_headers_set(crt_http_message_headers(message), crt_bytes_str(name), crt_bytes_str(value));
}

int crt_s3_message_set_u64(crt_http_message *message, const char *name, uint64_t value) {
    char text[24];
    snprintf(text, sizeof text, "%" PRIu64, value);
    return crt_s3_message_set(message, name, text);
}

int crt_s3_message_set_range(crt_http_message *message, uint64_t first, uint64_t last) {
    char text[64];
    snprintf(text, sizeof text, "bytes=%" PRIu64 "-%" PRIu64, first, last);
    return crt_s3_message_set(message, "Range", text);
}

int crt_s3_message_set_user_agent(crt_http_message *message) {
    crt_buf value = CRT_BUF_INIT;
    crt_bytes callers = {NULL, 0};
    int status = 0;
    if (crt_s3_header(crt_http_message_headers(message), "User-Agent", &callers) && callers.len) {
        status = crt_buf_append(&value, callers.ptr, callers.len);
        if (!status) {
            status = crt_buf_append(&value, " ", 1);
        }
    }
    if (!status) {
        status = crt_buf_printf(&value, "awscrt-s3/%s", CRT_VERSION);
    }
    if (!status) {
        status = crt_http_headers_set(crt_http_message_headers(message), crt_bytes_str("User-Agent"),
                                      crt_buf_view(&value));
    }
    crt_buf_free(&value);
    return status;
}

bool crt_s3_path_has_query_key(crt_bytes path, const char *key) {
    size_t n = strlen(key);
    const uint8_t *end = path.ptr + path.len;
    const uint8_t *p = path.len ? memchr(path.ptr, '?', path.len) : NULL;
    while (p) {
        p++;
        const uint8_t *next = memchr(p, '&', (size_t)(end - p));
        size_t length = (size_t)((next ? next : end) - p);
        if (length >= n && memcmp(p, key, n) == 0 && (length == n || p[n] == '=')) {
            return true;
        }
        p = next;
    }
    return false;
}

bool crt_s3_header(const crt_http_headers *headers, const char *name, crt_bytes *value) {
    return crt_http_headers_get(headers, crt_bytes_str(name), value);
}
