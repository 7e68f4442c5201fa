/* Addresses and the system's name lookup, for resolver.c. */
#ifndef CRT_IO_DNS_H
#define CRT_IO_DNS_H

#include "crt/resolver.h"

/* True when the text is an address itself: nothing to look up. A scope ("fe80::1%eth0") is understood. */
CRT_HIDDEN bool crt_address_parse(const char *text, crt_address *out);
CRT_HIDDEN bool crt_address_eq(const crt_address *a, const crt_address *b);

/* Blocks. Up to `capacity` different addresses in the system's order of preference; 0 or a code. */
CRT_HIDDEN int crt_dns_lookup(const char *host, crt_address *out, size_t capacity, size_t *count);

/* For tests: enters an answer into the cache as if it had just been looked up. 0 or a code. Any thread. */
CRT_HIDDEN int crt_resolver_seed(crt_resolver *resolver, const char *host, const crt_address *addresses, size_t count);

#endif
