/* The two carriers of ciphertext: a socket read straight into the TLS library's buffer, and a stream read ahead
   into a buffer of ours. */
#include "tls_link.h"

#include "crt/memory.h"

/* ---- a socket ---- */

typedef struct socket_link {
    crt_tls_link base;
    crt_socket *socket;
    bool drained; /* the last recv brought less than asked for: asking again before the next event is in vain */
} socket_link;

static ptrdiff_t socket_recv(crt_tls_link *link, void *data, size_t len) {
    socket_link *l = (socket_link *)link;
    ptrdiff_t n;

    if (l->drained) {
        return CRT_SOCKET_AGAIN;
    }
    n = crt_socket_recv(l->socket, data, len);
    l->drained = n > 0 && (size_t)n < len;
    return n;
}

static ptrdiff_t socket_send(crt_tls_link *link, const void *data, size_t len) {
    return crt_socket_send(((socket_link *)link)->socket, data, len);
}

static void socket_watch(crt_tls_link *link, int mask) {
    crt_socket_events(((socket_link *)link)->socket, mask);
}

static void socket_destroy(crt_tls_link *link) {
    crt_socket_destroy(((socket_link *)link)->socket);
    crt_free(link);
}

static void on_socket_ready(void *user, int mask) {
    socket_link *l = user;

    if (mask & CRT_SOCKET_READABLE) {
        l->drained = false;
    }
    l->base.owner->on_ready(l->base.user, mask);
}

static void on_socket_shutdown(void *user) {
    crt_tls_link *link = user;

    link->owner->on_shutdown(link->user);
}

static const crt_tls_link_ops socket_link_ops = {socket_recv, socket_send, socket_watch, socket_destroy};
static const crt_socket_owner socket_link_owner = {on_socket_ready, on_socket_shutdown};

crt_tls_link *crt_tls_link_over_socket(crt_socket *socket, const crt_tls_link_owner *owner, void *user) {
    socket_link *l = crt_calloc(1, sizeof(*l));

    if (!l) {
        crt_socket_destroy(socket);
        return NULL;
    }
    l->base = (crt_tls_link){&socket_link_ops, socket->loop, socket->peer, owner, user};
    l->socket = socket;
    crt_socket_set_owner(socket, &socket_link_owner, l);
    return &l->base;
}

/* ---- a stream ---- */

enum {
    READ_AHEAD = 64 << 10,
    UNSENT_LIMIT = 256 << 10, /* what the stream below may have queued before it counts as full */
};

typedef struct stream_link {
    crt_tls_link base;
    crt_stream *lower;
    int mask;
    bool abandoned; /* destroyed by its owner; lives on until the stream below is gone */
    bool starved;   /* the stream below was told that there is no space */
    bool gone;
    int code; /* how the stream below ended; 0: orderly */
    size_t start, end;
    uint8_t ahead[READ_AHEAD];
} stream_link;

static void link_free(stream_link *l) {
    crt_stream_release(l->lower);
    crt_free(l);
}

static void announce(stream_link *l, int mask) {
    if (!l->abandoned) {
        l->base.owner->on_ready(l->base.user, mask);
    }
}

static void on_space(void *user, crt_span *space) {
    stream_link *l = user;

    if (l->start == l->end) {
        l->start = l->end = 0;
    }
    l->starved = l->abandoned || !(l->mask & CRT_SOCKET_READABLE) || l->end == READ_AHEAD;
    if (!l->starved) {
        *space = (crt_span){l->ahead + l->end, READ_AHEAD - l->end};
    }
}

static void on_data(void *user, size_t n) {
    stream_link *l = user;

    l->end += n;
    announce(l, CRT_SOCKET_READABLE);
}

static void on_drained(void *user) {
    stream_link *l = user;

    if (l->mask & CRT_SOCKET_WRITABLE) {
        announce(l, CRT_SOCKET_WRITABLE);
    }
}

static void on_closed(void *user, const crt_fault *fault) {
    stream_link *l = user;

    if (l->abandoned) {
        link_free(l);
        return;
    }
    l->gone = true;
    l->code = fault->code;
    if (fault->code == AWS_IO_EVENT_LOOP_SHUTDOWN) {
        l->base.owner->on_shutdown(l->base.user);
    } else {
        announce(l, CRT_SOCKET_READABLE | CRT_SOCKET_WRITABLE);
    }
}

static const crt_stream_handler stream_link_handler = {on_space, on_data, on_drained, on_closed};

/* Codes below 1024 would be mistaken for CRT_SOCKET_AGAIN and its like. */
static ptrdiff_t end_of(const stream_link *l) {
    if (l->code == 0 || l->code == AWS_IO_SOCKET_CLOSED) {
        return 0;
    }
    return -(ptrdiff_t)(l->code >= 1024 ? l->code : AWS_IO_SOCKET_NOT_CONNECTED);
}

static ptrdiff_t stream_recv(crt_tls_link *link, void *data, size_t len) {
    stream_link *l = (stream_link *)link;
    size_t n = l->end - l->start;

    if (n == 0) {
        return l->gone ? end_of(l) : CRT_SOCKET_AGAIN;
    }
    if (n > len) {
        n = len;
    }
    memcpy(data, l->ahead + l->start, n);
    l->start += n;
    if (l->start == l->end && l->starved && !l->gone && (l->mask & CRT_SOCKET_READABLE)) {
        crt_stream_resume(l->lower);
    }
    return (ptrdiff_t)n;
}

static ptrdiff_t stream_send(crt_tls_link *link, const void *data, size_t len) {
    stream_link *l = (stream_link *)link;

    if (l->gone) {
        return -(ptrdiff_t)AWS_IO_SOCKET_CLOSED;
    }
    if (l->lower->unsent >= UNSENT_LIMIT) {
        return CRT_SOCKET_AGAIN;
    }
    if (crt_stream_put(l->lower, data, len)) {
        return -(ptrdiff_t)AWS_IO_SOCKET_CLOSED;
    }
    return (ptrdiff_t)len;
}

static void stream_watch(crt_tls_link *link, int mask) {
    stream_link *l = (stream_link *)link;
    bool wakes = (mask & ~l->mask & CRT_SOCKET_READABLE) && l->starved && !l->gone;

    l->mask = mask;
    if (wakes) {
        crt_stream_resume(l->lower);
    }
}

static void stream_destroy(crt_tls_link *link) {
    stream_link *l = (stream_link *)link;

    l->abandoned = true;
    if (l->gone) {
        link_free(l);
    } else {
        crt_stream_close(l->lower, 0);
    }
}

static const crt_tls_link_ops stream_link_ops = {stream_recv, stream_send, stream_watch, stream_destroy};

crt_tls_link *crt_tls_link_over_stream(crt_stream *stream, const crt_tls_link_owner *owner, void *user) {
    stream_link *l = crt_malloc(sizeof(*l));

    if (!l) {
        crt_stream_release(stream); /* the last reference closes it */
        return NULL;
    }
    memset(l, 0, offsetof(stream_link, ahead));
    l->base = (crt_tls_link){&stream_link_ops, stream->loop, stream->peer, owner, user};
    l->lower = stream;
    l->starved = true;
    crt_stream_set_handler(stream, &stream_link_handler, l);
    return &l->base;
}
