/*
 * The plain byte stream over a socket.
 *
 * Writes gather in a queue and leave in one system call at the end of the loop's turn; bytes that are put are
 * copied to the queue's last segment, everything else is sent from where it lies. Completions are reported from
 * the loop only.
 */
#include "crt/memory.h"
#include "socket_internal.h"

enum {
    READ_PER_WAKE = 1 << 20,  /* then other sockets get their turn; polling is level-triggered */
    WRITE_PER_TURN = 4 << 20,
    SEGMENT_BYTES = 8 << 10,
};

/* Bytes that were put, as a queued write of our own. */
typedef struct segment {
    crt_write write;
    size_t capacity;
    uint8_t bytes[];
} segment;

typedef struct write_queue {
    crt_write *first;
    crt_write **tail;
} write_queue;

typedef struct socket_stream {
    crt_stream base;
    crt_socket *socket; /* NULL after the close, and when it was detached */
    write_queue queue;
    uint64_t sent; /* of the first write */
    segment *spare;
    size_t held;    /* bytes of the segments in the queue */
    size_t charged; /* of them, to the memory budget */
    bool paused;
    bool blocked;     /* the socket takes no more: wait for WRITABLE */
    bool peer_gone;   /* sending failed; only what already arrived can still be read */
    bool closing;
    bool in_ready;    /* on_ready is at work, and holds a reference */
    bool drain_due;   /* bytes were queued since on_drained */
    bool flush_due;   /* flush task is deferred */
    crt_task flush;
    crt_task close;
    crt_fault fault;
} socket_stream;

static void end_stream(socket_stream *s, int code, const char *what);

/* ---- the queue ---- */

static void push(write_queue *queue, crt_write *write) {
    write->next = NULL;
    *queue->tail = write;
    queue->tail = &write->next;
}

static crt_write *pop(write_queue *queue) {
    crt_write *write = queue->first;

    queue->first = write->next;
    if (!queue->first) {
        queue->tail = &queue->first;
    }
    return write;
}

static uint64_t length_of(const crt_write *write) {
    return write->fd < 0 ? write->data.len : write->length;
}

/* Marks a queued write as one of ours; never called. */
static void is_segment(crt_write *write, int status) {
    (void)write;
    (void)status;
}

static void segment_free(socket_stream *s, segment *done) {
    s->held -= done->capacity;
    if (!s->spare && done->capacity == SEGMENT_BYTES) {
        s->spare = done;
    } else {
        crt_free(done);
    }
}

static segment *segment_new(socket_stream *s, size_t len) {
    size_t capacity = len > SEGMENT_BYTES ? len : SEGMENT_BYTES;
    segment *fresh = s->spare;

    if (fresh && fresh->capacity >= len) {
        s->spare = NULL;
    } else {
        fresh = crt_malloc(sizeof(*fresh) + capacity);
        if (!fresh) {
            return NULL;
        }
        fresh->capacity = capacity;
    }
    fresh->write = (crt_write){.fd = -1, .done = is_segment};
    fresh->write.data = crt_bytes_of(fresh->bytes, 0);
    return fresh;
}

static segment *last_segment(socket_stream *s) {
    crt_write *last;

    if (!s->queue.first) {
        return NULL;
    }
    last = CRT_CONTAINER(s->queue.tail, crt_write, next);
    return last->done == is_segment ? CRT_CONTAINER(last, segment, write) : NULL;
}

/* Once a turn: what the peer does not take is charged. Most turns leave nothing, and cost nothing here. */
static void settle_budget(socket_stream *s) {
    size_t owed = s->blocked ? s->held : 0;

    if (owed != s->charged) {
        crt_budget_charge((ptrdiff_t)owed - (ptrdiff_t)s->charged);
        s->charged = owed;
    }
}

/* ---- sending ---- */

/* The memory at the front of the queue, up to the first file. */
static size_t gather(const socket_stream *s, crt_bytes views[CRT_SENDV_MAX], size_t *total) {
    const crt_write *write;
    size_t count = 0, skip = (size_t)s->sent;

    *total = 0;
    for (write = s->queue.first; write && write->fd < 0 && count < CRT_SENDV_MAX; write = write->next) {
        if (write->data.len > skip) {
            views[count] = crt_bytes_of(write->data.ptr + skip, write->data.len - skip);
            *total += views[count].len;
            count++;
        }
        skip = 0;
    }
    return count;
}

/* Moves writes that are complete to `done`. */
static void advance(socket_stream *s, uint64_t n, write_queue *done) {
    s->base.unsent -= (size_t)n;
    s->sent += n;
    while (s->queue.first && s->sent >= length_of(s->queue.first)) {
        s->sent -= length_of(s->queue.first);
        push(done, pop(&s->queue));
    }
}

/* One system call: bytes taken, 0 when the socket is full, or -(code). */
static ptrdiff_t send_front(socket_stream *s) {
    const crt_write *front = s->queue.first;
    crt_bytes views[CRT_SENDV_MAX];
    size_t count, total;
    ptrdiff_t n;

    if (front->fd >= 0) {
        uint64_t left = front->length - s->sent;
        n = crt_socket_sendfile(s->socket, front->fd, front->offset + s->sent,
                                left < WRITE_PER_TURN ? left : WRITE_PER_TURN);
    } else {
        count = gather(s, views, &total);
        n = count == 1 ? crt_socket_send(s->socket, views[0].ptr, views[0].len)
                       : crt_socket_sendv(s->socket, views, count);
        s->blocked = n >= 0 && (size_t)n < total; /* saves the call that would say so */
    }
    if (n == CRT_SOCKET_AGAIN) {
        s->blocked = true;
        return 0;
    }
    return n;
}

static int send_queue(socket_stream *s, write_queue *done) {
    size_t moved = 0;

    s->blocked = false;
    advance(s, 0, done); /* writes without bytes */
    while (s->queue.first && !s->blocked && moved < WRITE_PER_TURN) {
        ptrdiff_t n = send_front(s);
        if (n < 0) {
            return (int)-n;
        }
        advance(s, (uint64_t)n, done);
        moved += (size_t)n;
    }
    return 0;
}

/* Callbacks may do anything to the stream, even drop it: the caller holds a reference. */
static void report(socket_stream *s, write_queue *done, int status) {
    while (done->first) {
        crt_write *write = pop(done);
        if (write->done == is_segment) {
            segment_free(s, CRT_CONTAINER(write, segment, write));
        } else if (write->done) {
            write->done(write, status);
        }
    }
}

static void fail_queue(socket_stream *s, int status) {
    write_queue failed = {NULL, &failed.first};

    while (s->queue.first) {
        push(&failed, pop(&s->queue));
    }
    s->sent = 0;
    s->base.unsent = 0;
    s->drain_due = false;
    report(s, &failed, status);
}

static void watch(socket_stream *s) {
    if (s->socket && !s->closing) {
        crt_socket_events(s->socket, (s->paused ? s->socket->armed & CRT_SOCKET_READABLE : CRT_SOCKET_READABLE) |
                                         (s->blocked ? CRT_SOCKET_WRITABLE : 0));
    }
}

static void defer_flush(socket_stream *s) {
    if (!s->flush_due) {
        s->flush_due = true;
        crt_stream_acquire(&s->base);
        crt_loop_defer(s->base.loop, &s->flush);
    }
}

/*
 * The peer no longer listens, but it may have said why before it went (an early HTTP response, say): what has
 * arrived is still delivered, and the end of that closes the stream.
 */
static void sending_failed(socket_stream *s, int code) {
    s->blocked = false;
    if (code == AWS_IO_SOCKET_CLOSED) {
        s->peer_gone = true;
    } else {
        end_stream(s, code, code == AWS_IO_STREAM_READ_FAILED ? "the file to send is too short or unreadable"
                                                              : "sending failed");
    }
    fail_queue(s, code);
}

static void flush_now(socket_stream *s) {
    write_queue done = {NULL, &done.first};
    int status = send_queue(s, &done);

    report(s, &done, 0);
    if (status) {
        sending_failed(s, status);
    } else if (s->queue.first && !s->blocked) {
        defer_flush(s);
    } else if (!s->queue.first && s->drain_due && !s->closing) {
        s->drain_due = false;
        if (s->base.handler && s->base.handler->on_drained) {
            s->base.handler->on_drained(s->base.user);
        }
    }
    watch(s);
}

static void run_flush(crt_task *task, int loop_status) {
    socket_stream *s = CRT_CONTAINER(task, socket_stream, flush);

    (void)loop_status; /* the loop's end closes the socket; until then bytes may leave */
    s->flush_due = false;
    if (!s->socket || s->peer_gone) {
        fail_queue(s, AWS_IO_SOCKET_CLOSED);
    } else if (!s->blocked) {
        flush_now(s);
    }
    settle_budget(s);
    crt_stream_release(&s->base);
}

/* ---- receiving ---- */

static void read_now(socket_stream *s) {
    size_t total = 0;

    while (!s->closing && total < READ_PER_WAKE) {
        crt_span space = {NULL, 0};
        ptrdiff_t n;

        if (s->base.handler) {
            s->base.handler->on_space(s->base.user, &space);
        }
        if (s->closing) {
            return;
        }
        if (space.len == 0) {
            s->paused = true;
            return;
        }
        n = crt_socket_recv(s->socket, space.ptr, space.len);
        if (n == 0) {
            end_stream(s, AWS_IO_SOCKET_CLOSED, crt_socket_end_text(s->socket));
            return;
        }
        if (n == CRT_SOCKET_AGAIN) {
            if (s->peer_gone) {
                end_stream(s, AWS_IO_SOCKET_CLOSED, crt_socket_end_text(s->socket));
            }
            return;
        }
        if (n < 0) {
            end_stream(s, (int)-n,
                       n == -AWS_IO_SOCKET_CLOSED ? crt_socket_end_text(s->socket) : "receiving failed");
            return;
        }
        s->base.handler->on_data(s->base.user, (size_t)n);
        total += (size_t)n;
        if ((size_t)n < space.len) {
            return; /* drained, or about to be: polling tells */
        }
    }
}

static void on_ready(void *user, int mask) {
    socket_stream *s = user;

    crt_stream_acquire(&s->base);
    s->in_ready = true;
    if (mask & CRT_SOCKET_READABLE) {
        if (s->paused && s->socket) {
            /* Only now: a pause that ends before bytes arrive costs no system call. */
            crt_socket_events(s->socket, s->socket->armed & ~CRT_SOCKET_READABLE);
        } else {
            read_now(s);
        }
    }
    if ((mask & CRT_SOCKET_WRITABLE) && !s->closing && s->blocked) {
        s->blocked = false;
        flush_now(s);
        settle_budget(s);
    }
    watch(s);
    s->in_ready = false;
    crt_stream_release(&s->base);
}

static void on_shutdown(void *user) {
    end_stream(user, AWS_IO_EVENT_LOOP_SHUTDOWN, "the event loop ended");
}

/* ---- closing ---- */

static void run_close(crt_task *task, int loop_status) {
    socket_stream *s = CRT_CONTAINER(task, socket_stream, close);

    (void)loop_status;
    crt_stream_acquire(&s->base);
    crt_socket_destroy(s->socket);
    s->socket = NULL;
    s->blocked = false;
    fail_queue(s, AWS_IO_SOCKET_CLOSED);
    settle_budget(s);
    crt_stream_gone(&s->base, &s->fault);
    crt_stream_release(&s->base);
}

/* The close runs behind a flush of this turn, which is how the bytes put before it still leave. */
static void end_stream(socket_stream *s, int code, const char *what) {
    if (s->closing) {
        return;
    }
    s->closing = true;
    if (code) {
        crt_fail(&s->fault, code, "%s: %s", s->base.peer, what);
    }
    crt_socket_events(s->socket, 0);
    crt_loop_defer(s->base.loop, &s->close);
}

/* ---- operations ---- */

static void stream_resume(crt_stream *stream) {
    socket_stream *s = (socket_stream *)stream;

    s->paused = false;
    watch(s);
}

static int stream_put(crt_stream *stream, const void *data, size_t len) {
    socket_stream *s = (socket_stream *)stream;
    segment *last = last_segment(s);

    if (s->closing || s->peer_gone) {
        return AWS_IO_SOCKET_CLOSED;
    }
    if (len == 0) {
        return 0;
    }
    if (!last || last->capacity - last->write.data.len < len) {
        last = segment_new(s, len);
        if (!last) {
            return AWS_ERROR_OOM;
        }
        push(&s->queue, &last->write);
        s->held += last->capacity;
    }
    memcpy(last->bytes + last->write.data.len, data, len);
    last->write.data.len += len;
    s->base.unsent += len;
    s->drain_due = true;
    defer_flush(s);
    return 0;
}

static void stream_write(crt_stream *stream, crt_write *write) {
    socket_stream *s = (socket_stream *)stream;

    push(&s->queue, write);
    s->base.unsent += (size_t)length_of(write);
    s->drain_due = true;
    defer_flush(s); /* which also reports the failure on a stream that is closed */
}

static void stream_close(crt_stream *stream, int status) {
    end_stream((socket_stream *)stream, status, "closed");
}

static void stream_destroy(crt_stream *stream) {
    socket_stream *s = (socket_stream *)stream;

    crt_free(s->spare);
    crt_free(s);
}

static crt_bytes stream_alpn(const crt_stream *stream) {
    (void)stream;
    return crt_bytes_of(NULL, 0);
}

static const crt_stream_ops socket_stream_ops = {
    stream_resume, stream_put, stream_write, stream_close, stream_destroy, stream_alpn,
};

static const crt_socket_owner socket_stream_owner = {on_ready, on_shutdown};

int crt_socket_stream_new(crt_socket *socket, crt_stream **out) {
    socket_stream *s = crt_calloc(1, sizeof(*s));

    *out = NULL;
    if (!s) {
        crt_socket_destroy(socket);
        return AWS_ERROR_OOM;
    }
    s->base.ops = &socket_stream_ops;
    s->base.loop = socket->loop;
    crt_ref_init(&s->base.refs);
    memcpy(s->base.peer, socket->peer, sizeof(s->base.peer));
    s->socket = socket;
    s->queue.tail = &s->queue.first;
    s->paused = true; /* until there is a handler */
    s->flush.run = run_flush;
    s->close.run = run_close;
    crt_socket_set_owner(socket, &socket_stream_owner, s);
    *out = &s->base;
    return 0;
}

crt_socket *crt_socket_stream_detach(crt_stream *stream) {
    socket_stream *s = (socket_stream *)stream;
    crt_socket *socket;

    if (stream->ops != &socket_stream_ops || s->closing || s->peer_gone || s->queue.first || s->flush_due ||
        crt_ref_count(&stream->refs) != (s->in_ready ? 2 : 1)) {
        return NULL;
    }
    socket = s->socket;
    s->socket = NULL;
    s->closing = true; /* for those below us on the stack */
    stream->handler = NULL;
    stream->gone = true;
    crt_socket_set_owner(socket, NULL, NULL);
    crt_stream_release(stream);
    return socket;
}

void crt_stream_release(crt_stream *stream) {
    /* An open stream of a forked parent just leaks. One that is gone may have outlived its loop. */
    if (!stream || (!stream->gone && crt_loop_is_foreign(stream->loop)) || !crt_ref_dec(&stream->refs)) {
        return;
    }
    if (stream->gone) {
        stream->ops->destroy(stream);
    } else {
        stream->ops->close(stream, 0);
    }
}
