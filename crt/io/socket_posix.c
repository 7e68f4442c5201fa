/* Sockets by POSIX system calls; polled through libuv, never blocking. A Windows port replaces this file. */
#if !defined(_GNU_SOURCE)
#define _GNU_SOURCE
#endif
#include "socket_posix.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>
#if defined(__linux__)
#include <linux/vm_sockets.h>
#include <net/if.h>
#include <sys/sendfile.h>
#elif defined(__APPLE__)
#include <net/if.h>
#endif

#include "crt/log.h"
#include "crt/memory.h"

#if defined(MSG_NOSIGNAL)
#define SEND_FLAGS MSG_NOSIGNAL
#else
#define SEND_FLAGS 0 /* SO_NOSIGPIPE was set instead */
#endif

enum { FILE_PIECE = 64 << 10 };

/* ---- errors ---- */

int crt_socket_code(int error) {
    switch (error) {
        case ECONNREFUSED:
            return AWS_IO_SOCKET_CONNECTION_REFUSED;
        case ETIMEDOUT:
            return AWS_IO_SOCKET_TIMEOUT;
        case EHOSTUNREACH:
        case ENETUNREACH:
        case ENODEV: /* no way to that virtual machine */
            return AWS_IO_SOCKET_NO_ROUTE_TO_HOST;
        case ENETDOWN:
            return AWS_IO_SOCKET_NETWORK_DOWN;
        case ECONNRESET:
        case EPIPE:
            return AWS_IO_SOCKET_CLOSED;
        case EADDRNOTAVAIL:
            return AWS_IO_SOCKET_INVALID_ADDRESS;
        case ECONNABORTED:
            return AWS_IO_SOCKET_CONNECT_ABORTED;
        case EADDRINUSE:
            return AWS_IO_SOCKET_ADDRESS_IN_USE;
        case EAFNOSUPPORT:
            return AWS_IO_SOCKET_UNSUPPORTED_ADDRESS_FAMILY;
        case ENOBUFS:
        case ENOMEM:
            return AWS_ERROR_OOM;
        case EMFILE:
        case ENFILE:
            return AWS_ERROR_MAX_FDS_EXCEEDED;
        case EACCES:
        case EPERM:
            return AWS_ERROR_NO_PERMISSION;
        case ENOENT:
        case EINVAL:
            return AWS_ERROR_FILE_INVALID_PATH;
        case EAGAIN:
            return AWS_IO_READ_WOULD_BLOCK;
        default:
            return AWS_IO_SOCKET_NOT_CONNECTED;
    }
}

/* Codes below 1024 would look like CRT_SOCKET_AGAIN and the like; none of them is meaningful on an open connection. */
static ptrdiff_t transfer_failed(crt_socket *socket, int error) {
    int code;

    if (error == EAGAIN || error == EWOULDBLOCK) {
        return CRT_SOCKET_AGAIN;
    }
    socket->reset = socket->reset || error == ECONNRESET;
    code = crt_socket_code(error);
    return -(ptrdiff_t)(code >= 1024 ? code : AWS_IO_SOCKET_NOT_CONNECTED);
}

const char *crt_socket_end_text(const crt_socket *socket) {
    return socket->reset ? "reset by the peer" : "closed by the peer";
}

/* ---- moving bytes ---- */

ptrdiff_t crt_socket_recv(crt_socket *socket, void *data, size_t len) {
    ssize_t n;

    do {
        n = recv(socket->fd, data, len, 0);
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        return transfer_failed(socket, errno);
    }
    crt_loop_note_io(socket->loop, (size_t)n);
    return n;
}

ptrdiff_t crt_socket_send(crt_socket *socket, const void *data, size_t len) {
    ssize_t n;

    do {
        n = send(socket->fd, data, len, SEND_FLAGS);
    } while (n < 0 && errno == EINTR);
    return n >= 0 ? n : transfer_failed(socket, errno);
}

ptrdiff_t crt_socket_sendv(crt_socket *socket, const crt_bytes *views, size_t count) {
    struct iovec parts[CRT_SENDV_MAX];
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = count};
    ssize_t n;
    size_t i;

    for (i = 0; i < count; i++) {
        parts[i].iov_base = (void *)(uintptr_t)views[i].ptr;
        parts[i].iov_len = views[i].len;
    }
    do {
        n = sendmsg(socket->fd, &message, SEND_FLAGS);
    } while (n < 0 && errno == EINTR);
    return n >= 0 ? n : transfer_failed(socket, errno);
}

static ptrdiff_t send_by_reading(crt_socket *socket, int file, uint64_t offset, uint64_t length) {
    uint8_t piece[FILE_PIECE];
    ssize_t n;

    do {
        n = pread(file, piece, length < sizeof(piece) ? (size_t)length : sizeof(piece), (off_t)offset);
    } while (n < 0 && errno == EINTR);
    if (n <= 0) {
        return -(ptrdiff_t)AWS_IO_STREAM_READ_FAILED;
    }
    return crt_socket_send(socket, piece, (size_t)n);
}

ptrdiff_t crt_socket_sendfile(crt_socket *socket, int file, uint64_t offset, uint64_t length) {
#if defined(__linux__)
    off_t at = (off_t)offset;
    ssize_t n;

    /* It knows no MSG_NOSIGNAL: the loop's thread blocks SIGPIPE, with all other signals. */
    do {
        n = sendfile(socket->fd, file, &at, length < (1u << 30) ? (size_t)length : (1u << 30));
    } while (n < 0 && errno == EINTR);
    if (n > 0) {
        return n;
    }
    if (n == 0 || errno == EIO) {
        return -(ptrdiff_t)AWS_IO_STREAM_READ_FAILED;
    }
    /* EINVAL: not a file that can be mapped. Anything the socket is to blame for shows again in send(). */
    if (errno == EAGAIN) {
        return CRT_SOCKET_AGAIN;
    }
#endif
    return send_by_reading(socket, file, offset, length);
}

/* ---- the polled socket ---- */

static void on_poll(uv_poll_t *poll, int status, int events) {
    crt_socket *socket = poll->data;
    int mask = 0;

    if (status < 0) {
        /* libuv stops watching a descriptor in error; the next system call tells which error it is */
        socket->armed = 0;
        mask = CRT_SOCKET_READABLE | CRT_SOCKET_WRITABLE;
    }
    if (events & UV_READABLE) {
        mask |= CRT_SOCKET_READABLE;
    }
    if (events & UV_WRITABLE) {
        mask |= CRT_SOCKET_WRITABLE;
    }
    if (socket->owner) {
        socket->owner->on_ready(socket->user, mask);
    }
}

static void on_shutdown(crt_attachment *attachment) {
    crt_socket *socket = CRT_CONTAINER(attachment, crt_socket, attachment);

    if (socket->owner) {
        socket->owner->on_shutdown(socket->user);
    }
}

int crt_socket_new(crt_loop *loop, int fd, const char *peer, crt_socket **out) {
    crt_socket *socket = crt_calloc(1, sizeof(*socket));

    *out = NULL;
    if (!socket) {
        close(fd);
        return AWS_ERROR_OOM;
    }
    socket->fd = fd;
    socket->loop = loop;
    snprintf(socket->peer, sizeof(socket->peer), "%s", peer);
    if (uv_poll_init(crt_loop_uv(loop), &socket->poll, fd) != 0) {
        close(fd);
        crt_free(socket);
        return AWS_ERROR_SYS_CALL_FAILURE;
    }
    socket->poll.data = socket;
    socket->attachment.on_shutdown = on_shutdown;
    crt_loop_attach(loop, &socket->attachment);
    crt_loop_load(loop, 1);
    *out = socket;
    return 0;
}

void crt_socket_set_owner(crt_socket *socket, const crt_socket_owner *owner, void *user) {
    socket->owner = owner;
    socket->user = user;
}

void crt_socket_events(crt_socket *socket, int mask) {
    int events = 0;

    if (mask == socket->armed) {
        return;
    }
    socket->armed = mask;
    if (mask & CRT_SOCKET_READABLE) {
        events |= UV_READABLE;
    }
    if (mask & CRT_SOCKET_WRITABLE) {
        events |= UV_WRITABLE;
    }
    if (events) {
        uv_poll_start(&socket->poll, events, on_poll);
    } else {
        uv_poll_stop(&socket->poll);
    }
}

static void on_poll_closed(uv_handle_t *handle) {
    crt_free(handle->data);
}

void crt_socket_destroy(crt_socket *socket) {
    socket->owner = NULL;
    crt_loop_detach(&socket->attachment);
    crt_loop_load(socket->loop, -1);
    uv_close((uv_handle_t *)&socket->poll, on_poll_closed);
    close(socket->fd);
    socket->fd = -1;
}

/* ---- opening ---- */

static void set_int(int fd, int level, int name, int value, const char *text) {
    if (setsockopt(fd, level, name, &value, sizeof(value)) != 0) {
        CRT_LOG(CRT_LOG_WARN, CRT_LS_SOCKET, "cannot set %s to %d: %s", text, value, strerror(errno));
    }
}

#if defined(__APPLE__)
#define TCP_IDLE_OPTION TCP_KEEPALIVE
#else
#define TCP_IDLE_OPTION TCP_KEEPIDLE
#endif

/* Names and values as the AWS runtime maps them: the interval is the idle time before the first probe. */
static void set_keep_alive(int fd, const crt_socket_options *options) {
    if (options->keep_alive) {
        set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1, "SO_KEEPALIVE");
    }
    if (options->keep_alive_interval_secs && options->keep_alive_timeout_secs) {
        set_int(fd, IPPROTO_TCP, TCP_IDLE_OPTION, options->keep_alive_interval_secs, "TCP_KEEPIDLE");
        set_int(fd, IPPROTO_TCP, TCP_KEEPINTVL, options->keep_alive_timeout_secs, "TCP_KEEPINTVL");
    }
    if (options->keep_alive_max_probes) {
        set_int(fd, IPPROTO_TCP, TCP_KEEPCNT, options->keep_alive_max_probes, "TCP_KEEPCNT");
    }
}

/* AWS_IO_SOCKET_INVALID_OPTIONS: no such interface; AWS_ERROR_NO_PERMISSION: not ours to choose. */
static int bind_to_interface(int fd, int family, const char *name) {
    if (!name) {
        return 0;
    }
#if defined(SO_BINDTODEVICE)
    if (setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, (socklen_t)strlen(name)) == 0) {
        return 0;
    }
    return errno == EPERM ? AWS_ERROR_NO_PERMISSION : AWS_IO_SOCKET_INVALID_OPTIONS;
#elif defined(IP_BOUND_IF)
    unsigned index = if_nametoindex(name);
    int level = family == AF_INET6 ? IPPROTO_IPV6 : IPPROTO_IP;
    int option = family == AF_INET6 ? IPV6_BOUND_IF : IP_BOUND_IF;

    return index && setsockopt(fd, level, option, &index, sizeof(index)) == 0 ? 0 : AWS_IO_SOCKET_INVALID_OPTIONS;
#else
    return AWS_ERROR_PLATFORM_NOT_SUPPORTED;
#endif
}

static int new_descriptor(int family, int *out) {
#if defined(SOCK_NONBLOCK) && defined(SOCK_CLOEXEC)
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
#else
    int fd = socket(family, SOCK_STREAM, 0);
    if (fd >= 0) {
        fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
        fcntl(fd, F_SETFD, FD_CLOEXEC);
    }
#endif
    *out = fd;
    if (fd < 0) {
        return crt_socket_code(errno);
    }
#if defined(SO_NOSIGPIPE)
    set_int(fd, SOL_SOCKET, SO_NOSIGPIPE, 1, "SO_NOSIGPIPE");
#endif
    return 0;
}

static int start_connect(int fd, const struct sockaddr *address, socklen_t size) {
    int result;

    do {
        result = connect(fd, address, size);
    } while (result != 0 && errno == EINTR);
    return result == 0 || errno == EINPROGRESS ? 0 : crt_socket_code(errno);
}

int crt_socket_connect_tcp(const crt_address *address, uint16_t port, const crt_socket_options *options, int *out) {
    struct sockaddr_storage to = {0};
    socklen_t size;
    int fd, status;

    if (address->family == AF_INET6) {
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&to;
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons(port);
        in6->sin6_scope_id = address->scope_id;
        memcpy(&in6->sin6_addr, address->ip, 16);
        size = sizeof(*in6);
    } else {
        struct sockaddr_in *in4 = (struct sockaddr_in *)&to;
        in4->sin_family = AF_INET;
        in4->sin_port = htons(port);
        memcpy(&in4->sin_addr, address->ip, 4);
        size = sizeof(*in4);
    }
    status = new_descriptor(address->family, &fd);
    if (status) {
        return status;
    }
    if (options->no_delay) {
        set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1, "TCP_NODELAY");
    }
    set_keep_alive(fd, options);
    status = bind_to_interface(fd, address->family, options->interface_name);
    if (status == 0) {
        status = start_connect(fd, (struct sockaddr *)&to, size);
    }
    if (status) {
        close(fd);
        return status;
    }
    *out = fd;
    return 0;
}

static int connect_new(int family, const struct sockaddr *to, socklen_t size, int *out) {
    int fd, status = new_descriptor(family, &fd);

    if (status) {
        return status;
    }
    status = start_connect(fd, to, size);
    if (status) {
        close(fd);
        return status;
    }
    *out = fd;
    return 0;
}

int crt_socket_connect_local(const char *path, int *out) {
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    size_t len = strlen(path);
    socklen_t size = sizeof(to);

    if (len >= sizeof(to.sun_path)) {
        return AWS_IO_SOCKET_INVALID_ADDRESS;
    }
    memcpy(to.sun_path, path, len + 1);
#if defined(__linux__)
    if (path[0] == '@') { /* unix(7): a leading NUL, and the length counts */
        to.sun_path[0] = '\0';
        size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    }
#endif
    return connect_new(AF_UNIX, (struct sockaddr *)&to, size, out);
}

int crt_socket_connect_vsock(const char *cid, uint32_t port, int *out) {
#if defined(__linux__)
    struct sockaddr_vm to = {.svm_family = AF_VSOCK, .svm_port = port};
    char *end;
    unsigned long number = strtoul(cid, &end, 10);

    if (cid[0] < '0' || cid[0] > '9' || *end || number >= VMADDR_CID_ANY) {
        return AWS_IO_SOCKET_INVALID_ADDRESS;
    }
    to.svm_cid = (unsigned)number;
    return connect_new(AF_VSOCK, (struct sockaddr *)&to, sizeof(to), out);
#else
    return AWS_ERROR_PLATFORM_NOT_SUPPORTED;
#endif
}

int crt_socket_connect_result(crt_socket *socket) {
    int error = 0;
    socklen_t size = sizeof(error);

    if (getsockopt(socket->fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) {
        error = errno;
    }
    return error ? crt_socket_code(error) : 0;
}
