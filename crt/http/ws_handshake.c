#include "ws_handshake.h"

#include "ascii.h"
#include "crt/crypto.h"

int crt_ws_make_key(char out[CRT_WS_KEY_LEN]) {
    uint8_t nonce[16];
    int status = crt_random(nonce, sizeof(nonce));
    if (!status) {
        crt_base64_encode(crt_bytes_of(nonce, sizeof(nonce)), out);
    }
    return status;
}

int crt_ws_accept_of(crt_bytes key, char out[CRT_WS_ACCEPT_LEN]) {
    uint8_t digest[CRT_HASH_MAX];
    crt_hash *hash;
    int status = crt_hash_new(CRT_HASH_SHA1, &hash);
    if (status) {
        return status;
    }
    status = crt_hash_update(hash, key);
    if (!status) {
        status = crt_hash_update(hash, crt_bytes_str("258EAFA5-E914-47DA-95CA-C5AB0DC85B11"));
    }
    if (!status) {
        status = crt_hash_digest(hash, digest);
    }
    crt_hash_free(hash);
    if (!status) {
        crt_base64_encode(crt_bytes_of(digest, crt_hash_size(CRT_HASH_SHA1)), out);
    }
    return status;
}

/* The value of a header that must be there exactly once; false otherwise. */
static bool get_single(const crt_http_header *headers, size_t count, const char *name, crt_bytes *value) {
    size_t found = 0;
    for (size_t i = 0; i < count; i++) {
        if (crt_http_ieq_str(headers[i].name, name)) {
            *value = headers[i].value;
            found++;
        }
    }
    return found == 1;
}

static bool has(const crt_http_header *headers, size_t count, const char *name) {
    for (size_t i = 0; i < count; i++) {
        if (crt_http_ieq_str(headers[i].name, name)) {
            return true;
        }
    }
    return false;
}

/* Names of subprotocols compare with their case (RFC 6455 section 11.3.4). */
static bool is_offered(crt_bytes name, crt_bytes offered) {
    while (offered.len > 0) {
        const uint8_t *comma = memchr(offered.ptr, ',', offered.len);
        size_t len = comma ? (size_t)(comma - offered.ptr) : offered.len;
        if (crt_bytes_eq(crt_http_trim(crt_bytes_of(offered.ptr, len)), name)) {
            return true;
        }
        offered = comma ? crt_bytes_of(comma + 1, offered.len - len - 1) : crt_bytes_of(NULL, 0);
    }
    return false;
}

static const char *check_subprotocol(const crt_http_header *headers, size_t count, crt_bytes offered) {
    crt_bytes name;
    if (offered.len == 0) {
        return has(headers, count, "sec-websocket-protocol") ? "the server chose a subprotocol nobody offered" : NULL;
    }
    if (!get_single(headers, count, "sec-websocket-protocol", &name) || name.len == 0 || !is_offered(name, offered)) {
        return "the server chose none of the subprotocols that were offered";
    }
    return NULL;
}

const char *crt_ws_check_response(int status, const crt_http_header *headers, size_t count, crt_bytes key,
                                  crt_bytes offered, crt_bytes *extensions) {
    char accept[CRT_WS_ACCEPT_LEN];
    crt_bytes value;
    if (status != 101) {
        return "the server did not switch protocols";
    }
    if (!get_single(headers, count, "upgrade", &value) || !crt_http_ieq_str(value, "websocket")) {
        return "the response has no 'Upgrade: websocket'";
    }
    if (!get_single(headers, count, "connection", &value) || !crt_http_ieq_str(value, "upgrade")) {
        return "the response has no 'Connection: Upgrade'";
    }
    if (crt_ws_accept_of(key, accept) || !get_single(headers, count, "sec-websocket-accept", &value) ||
        !crt_bytes_eq(value, crt_bytes_of(accept, sizeof(accept)))) {
        return "Sec-WebSocket-Accept does not fit the key";
    }
    bool extended = has(headers, count, "sec-websocket-extensions");
    if (extended && (!extensions || !get_single(headers, count, "sec-websocket-extensions", extensions) ||
                     extensions->len == 0)) {
        return "the server uses an extension nobody offered";
    }
    return check_subprotocol(headers, count, offered);
}
