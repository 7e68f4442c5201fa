/* Opening sockets, for connect.c. */
#ifndef CRT_IO_SOCKET_POSIX_H
#define CRT_IO_SOCKET_POSIX_H

#include "socket_internal.h"

/* Start to connect without blocking; the descriptor is writable when it is decided. 0 or a code. */
CRT_HIDDEN int crt_socket_connect_tcp(const crt_address *address, uint16_t port, const crt_socket_options *options,
                                      int *out);
/* "@name" is a name in Linux's abstract namespace instead of a path. */
CRT_HIDDEN int crt_socket_connect_local(const char *path, int *out);
/* `cid`: the number of the virtual machine (2: the host), in decimal. */
CRT_HIDDEN int crt_socket_connect_vsock(const char *cid, uint32_t port, int *out);
/* Outcome of a connect that is decided. 0 or a code. */
CRT_HIDDEN int crt_socket_connect_result(crt_socket *socket);

#endif
