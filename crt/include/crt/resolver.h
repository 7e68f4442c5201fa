/*
 * Host name resolution with a cache: addresses rotate, failed ones step back for a while.
 */
#ifndef CRT_RESOLVER_H
#define CRT_RESOLVER_H

#include "crt/loop.h"

CRT_EXTERN_C_BEGIN

typedef struct crt_resolver crt_resolver;

typedef struct crt_address {
    int family;     /* AF_INET or AF_INET6 */
    uint8_t ip[16]; /* network order; 4 or 16 bytes used */
    uint32_t scope_id;
} crt_address;

typedef struct crt_resolver_options {
    size_t max_hosts; /* sizing hint; more host names than that are cached as well */
    uint32_t ttl_ms;  /* 0: 30,000 */
} crt_resolver_options;

CRT_FN(int, crt_resolver_new, (const crt_resolver_options *options, crt_resolver **out));
CRT_FN(crt_resolver *, crt_resolver_acquire, (crt_resolver *resolver));
CRT_FN(void, crt_resolver_release, (crt_resolver *resolver));

/* Called once on `loop`, possibly before crt_resolver_resolve returns (cache hit, IP literal).
   Addresses come in the order to try them: the families take turns, in each the one used longest ago first, and
   those that failed lately at the end. Valid during the call. */
typedef void (*crt_resolve_fn)(void *user, int status, const crt_address *addresses, size_t count);
/* Loop thread. */
CRT_FN(void, crt_resolver_resolve,
       (crt_resolver *resolver, crt_loop *loop, const char *host, crt_resolve_fn done, void *user));
/* Reports the outcome of a connection attempt; any thread. */
CRT_FN(void, crt_resolver_report, (crt_resolver *resolver, const char *host, const crt_address *address, bool worked));
/* "192.0.2.1" or "2001:db8::1" */
CRT_FN(void, crt_address_text, (const crt_address *address, char *out, size_t size));

CRT_EXTERN_C_END
#endif
