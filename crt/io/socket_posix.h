/* Opening sockets, for connect.c. */
#ifndef CRT_IO_SOCKET_POSIX_H
#define CRT_IO_SOCKET_POSIX_H

#include "socket_internal.h"

/* Start to connect without blocking; the descriptor is writable when it is decided. 0 or a code. */
CRT_HIDDEN int crt_socket_connect_tcp(const crt_address *address, uint16_t port, const crt_socket_options *options,
                                      int *out);
CRT_HIDDEN int crt_socket_connect_local(const char *path, int *out);
/* Outcome of a connect that is decided. 0 or a code. */
CRT_HIDDEN int crt_socket_connect_result(crt_socket *socket);

#endif
