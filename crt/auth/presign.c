/*
 * Presigned URLs, many at a time: date, scope, key and buffers serve all of them.
 */
#include "signing.h"

#include "crt/memory.h"

struct crt_presigner {
    crt_signer signer;
    crt_signing_config config; /* the caller's, without should_sign, which was asked by then */
    crt_signing_request request;
    bool sign_host;            /* of the URL */
    size_t count;
    crt_http_header headers[];
};

static bool is_wanted(const crt_signing_config *config, crt_bytes name) {
    return !config->should_sign || config->should_sign(config->should_sign_user, name);
}

/* Keeps the headers that are signed; the URL's host stands for a header in front of them. */
static void choose_headers(crt_presigner *p, const crt_signing_config *config, const crt_http_header *headers,
                           size_t count) {
    p->sign_host = true;
    for (size_t i = 0; i < count; i++) {
        p->sign_host = p->sign_host && !crt_signing_same_name(headers[i].name, "host");
    }
    p->sign_host = p->sign_host && is_wanted(config, crt_bytes_str("Host"));
    for (size_t i = 0; i < count; i++) {
        if (is_wanted(config, headers[i].name)) {
            p->headers[p->count++] = headers[i];
        }
    }
}

int crt_presigner_new(const crt_signing_config *config, const crt_credentials *credentials,
                      const crt_http_header *headers, size_t count, crt_presigner **out, crt_fault *fault) {
    *out = NULL;
    fault->code = 0;
    fault->detail[0] = '\0';
    if (config->signature_type != CRT_SIGN_QUERY) {
        return crt_fail(fault, AWS_AUTH_SIGNING_MISMATCHED_CONFIGURATION,
                        "URLs are signed in their query; the configuration says otherwise");
    }
    crt_presigner *p = crt_calloc(1, sizeof(*p) + count * sizeof(*headers));
    if (!p) {
        return fault->code = AWS_ERROR_OOM;
    }
    p->config = *config;
    p->config.should_sign = NULL;
    fault->code = crt_signer_init(&p->signer, &p->config, credentials, fault);
    crt_signing_request_init(&p->request, &p->signer, fault);
    if (fault->code) {
        crt_presigner_free(p);
        return fault->code;
    }
    choose_headers(p, config, headers, count);
    *out = p;
    return 0;
}

void crt_presigner_free(crt_presigner *presigner) {
    if (!presigner) {
        return;
    }
    crt_signing_request_clear(&presigner->request);
    crt_signer_clear(&presigner->signer);
    crt_free(presigner);
}

/* ---- a URL ---- */

typedef struct url_parts {
    crt_bytes host;   /* with the port, unless it is the scheme's own */
    crt_bytes target; /* path and query; may be empty */
} url_parts;

static int malformed(crt_fault *fault, const char *what) {
    return crt_fail(fault, AWS_ERROR_MALFORMED_INPUT_STRING, "%s", what);
}

/* RFC 3986 allows printable ASCII without these; a fragment is never sent. */
static int check_characters(crt_bytes url, crt_fault *fault) {
    for (size_t i = 0; i < url.len; i++) {
        uint8_t c = url.ptr[i];
        if (c == '#') {
            return malformed(fault, "a fragment is not sent; a '#' that belongs to the path is written %23");
        }
        if (c <= ' ' || c >= 0x7f || c == '"' || c == '<' || c == '>' || c == '\\') {
            return crt_fail(fault, AWS_ERROR_MALFORMED_INPUT_STRING, "byte 0x%02x must be percent-encoded", c);
        }
    }
    return 0;
}

static bool drop_suffix(crt_bytes *text, const char *suffix) {
    size_t len = strlen(suffix);
    if (text->len < len || memcmp(text->ptr + text->len - len, suffix, len) != 0) {
        return false;
    }
    text->len -= len;
    return true;
}

static bool drop_prefix(crt_bytes *text, const char *prefix) {
    size_t len = strlen(prefix);
    crt_bytes start = crt_bytes_of(text->ptr, len);
    if (text->len < len || !crt_signing_same_name(start, prefix)) {
        return false;
    }
    *text = crt_bytes_of(text->ptr + len, text->len - len);
    return true;
}

static int split_url(crt_bytes url, url_parts *out, crt_fault *fault) {
    const char *own_port = NULL;
    crt_bytes rest = url;
    if (drop_prefix(&rest, "https://")) {
        own_port = ":443";
    } else if (drop_prefix(&rest, "http://")) {
        own_port = ":80";
    }
    size_t host_len = 0;
    while (host_len < rest.len && rest.ptr[host_len] != '/' && rest.ptr[host_len] != '?') {
        host_len++;
    }
    out->host = crt_bytes_of(rest.ptr, host_len);
    out->target = crt_bytes_of(rest.ptr + host_len, rest.len - host_len);
    if (!own_port || !host_len) {
        return malformed(fault, "the URL does not start with https:// or http:// and a host");
    }
    if (memchr(out->host.ptr, '@', host_len)) {
        return malformed(fault, "the URL has a user name in front of its host");
    }
    drop_suffix(&out->host, own_port);
    return check_characters(url, fault);
}

/* ---- signing ---- */

static int sign(crt_presigner *p, crt_bytes method, const url_parts *url) {
    crt_signing_request *r = &p->request;
    crt_bytes target = url->target.len ? url->target : crt_bytes_str("/");
    int code = crt_signing_request_start(r, target, p->count + 1);
    if (!code && p->sign_host) {
        code = crt_signing_request_add(r, crt_bytes_str("Host"), url->host);
    }
    for (size_t i = 0; !code && i < p->count; i++) {
        code = crt_signing_request_add(r, p->headers[i].name, p->headers[i].value);
    }
    return code ? code : crt_signing_request_compute(r, method);
}

int crt_presign(crt_presigner *presigner, crt_bytes method, crt_bytes url, crt_buf *out, crt_fault *fault) {
    url_parts parts;
    crt_bytes given = presigner->config.body_value;
    fault->code = 0;
    fault->detail[0] = '\0';
    presigner->request.fault = fault;
    presigner->request.payload_hash = given.len ? given : crt_bytes_str(CRT_EMPTY_SHA256);
    int code = split_url(url, &parts, fault);
    if (!code) {
        code = sign(presigner, method, &parts);
    }
    if (!code) {
        code = crt_signing_append_query(&presigner->request, url, out);
    }
    fault->code = code;
    return code;
}
