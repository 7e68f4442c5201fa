/* Address texts and getaddrinfo(); a Windows port differs in headers and scope names. */
#include "dns.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "crt/status.h"

static size_t ip_size(int family) {
    return family == AF_INET6 ? 16 : 4;
}

bool crt_address_eq(const crt_address *a, const crt_address *b) {
    return a->family == b->family && a->scope_id == b->scope_id && memcmp(a->ip, b->ip, ip_size(a->family)) == 0;
}

void crt_address_text(const crt_address *address, char *out, size_t size) {
    if (!inet_ntop(address->family, address->ip, out, (socklen_t)size) && size > 0) {
        out[0] = '\0';
    }
}

static uint32_t parse_scope(const char *scope) {
    uint32_t index = if_nametoindex(scope);

    return index ? index : (uint32_t)strtoul(scope, NULL, 10);
}

bool crt_address_parse(const char *text, crt_address *out) {
    char plain[INET6_ADDRSTRLEN];
    const char *scope = strchr(text, '%');
    size_t len = scope ? (size_t)(scope - text) : strlen(text);

    memset(out, 0, sizeof(*out));
    if (len >= sizeof(plain)) {
        return false;
    }
    memcpy(plain, text, len);
    plain[len] = '\0';
    if (!scope && inet_pton(AF_INET, plain, out->ip) == 1) {
        out->family = AF_INET;
        return true;
    }
    if (inet_pton(AF_INET6, plain, out->ip) != 1) {
        return false;
    }
    out->family = AF_INET6;
    out->scope_id = scope ? parse_scope(scope + 1) : 0;
    return true;
}

static int lookup_code(int error) {
    switch (error) {
        case EAI_NONAME:
            return AWS_IO_DNS_INVALID_NAME;
#if defined(EAI_NODATA)
        case EAI_NODATA:
            return AWS_IO_DNS_NO_ADDRESS_FOR_HOST;
#endif
        case EAI_AGAIN:
        case EAI_FAIL:
            return AWS_IO_DNS_QUERY_FAILED;
        case EAI_MEMORY:
            return AWS_ERROR_OOM;
        default:
            return AWS_ERROR_SYS_CALL_FAILURE;
    }
}

static bool from_sockaddr(const struct sockaddr *from, crt_address *out) {
    memset(out, 0, sizeof(*out));
    out->family = from->sa_family;
    if (from->sa_family == AF_INET) {
        memcpy(out->ip, &((const struct sockaddr_in *)(const void *)from)->sin_addr, 4);
        return true;
    }
    if (from->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)from;
        memcpy(out->ip, &in6->sin6_addr, 16);
        out->scope_id = in6->sin6_scope_id;
        return true;
    }
    return false;
}

static bool contains(const crt_address *list, size_t count, const crt_address *address) {
    size_t i;

    for (i = 0; i < count; i++) {
        if (crt_address_eq(&list[i], address)) {
            return true;
        }
    }
    return false;
}

int crt_dns_lookup(const char *host, crt_address *out, size_t capacity, size_t *count) {
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *answer = NULL, *at;
    int error;

    *count = 0;
    error = getaddrinfo(host, NULL, &hints, &answer);
    if (error) {
        return lookup_code(error);
    }
    for (at = answer; at && *count < capacity; at = at->ai_next) {
        crt_address address;
        if (from_sockaddr(at->ai_addr, &address) && !contains(out, *count, &address)) {
            out[(*count)++] = address;
        }
    }
    freeaddrinfo(answer);
    return *count ? 0 : AWS_IO_DNS_NO_ADDRESS_FOR_HOST;
}
