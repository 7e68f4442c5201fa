/*
 * The TLS stream: a provider's session between a link (ciphertext) and a crt_stream (plaintext).
 *
 * Received bytes are decrypted straight into the handler's memory. What the session still holds when the handler
 * has no room, or when its turn ends, announces itself with no event of the socket: `more` remembers it.
 */
#include <stdio.h>

#include "crt/memory.h"
#include "tls_link.h"
#include "tls_output.h"
#include "tls_provider.h"

enum {
    READ_PER_TURN = 1 << 20,  /* then other connections get theirs */
    WRITE_PER_TURN = 4 << 20,
    WIRE_LIMIT = 1 << 20,     /* a round with its records fits four times; beyond it the peer provokes answers */
    HANDSHAKE_TIMEOUT_MS = 10000,
};

typedef struct tls_stream {
    crt_stream base;
    crt_tls_link *link; /* NULL after the close */
    const crt_tls_provider *provider;
    crt_tls_ctx *ctx;
    crt_tls_session *session;
    crt_tls_output output;
    size_t charged; /* to the memory budget */

    /* the handshake; done is NULL once it was called */
    crt_connect_fn done;
    void *done_user;
    crt_timer timer;
    char *host;        /* for messages */
    char *alpn;
    bool named;        /* host is what to verify */
    bool waiting;      /* for the context's slow part */
    crt_tls_wait wait; /* holds a reference while `waiting` */

    bool paused;    /* the handler has no room */
    bool deaf;      /* paused, and bytes came: polling stopped. Most pauses end before that and cost no system call */
    bool more;      /* the session may give bytes without an event */
    bool blocked;   /* the link takes no more: wait for WRITABLE */
    bool peer_gone; /* sending failed; only what already arrived can still be read */
    bool closing;
    bool drain_due; /* bytes were queued since on_drained */
    bool turn_due;  /* turn is deferred */
    crt_task turn;
    crt_task close;
    crt_fault fault;
} tls_stream;

static void end_stream(tls_stream *s, const crt_fault *fault);

/* ---- the provider's transport ---- */

static ptrdiff_t transport_recv(void *user, uint8_t *data, size_t len) {
    tls_stream *s = user;
    ptrdiff_t n = s->link->ops->recv(s->link, data, len);

    return n == CRT_SOCKET_AGAIN ? CRT_TLS_WANT_READ : n;
}

/* Gathers; flush() sends. So the session is never blocked by a slow peer in the middle of a record. */
static ptrdiff_t transport_send(void *user, const uint8_t *data, size_t len) {
    tls_stream *s = user;

    if (crt_buf_len(&s->output.wire) > WIRE_LIMIT || crt_buf_append(&s->output.wire, data, len)) {
        return -(ptrdiff_t)AWS_IO_TLS_ERROR_WRITE_FAILURE;
    }
    return (ptrdiff_t)len;
}

/* ---- sending ---- */

/* 0 (look at `blocked`) or a code. */
static int flush(tls_stream *s) {
    crt_buf *wire = &s->output.wire;

    while (crt_buf_len(wire) > 0 && !s->blocked) {
        ptrdiff_t n = s->link->ops->send(s->link, crt_buf_data(wire), crt_buf_len(wire));
        if (n < 0 && n != CRT_SOCKET_AGAIN) {
            return (int)-n;
        }
        if (n == CRT_SOCKET_AGAIN || (size_t)n < crt_buf_len(wire)) {
            s->blocked = true;
        }
        crt_buf_consume(wire, n < 0 ? 0 : (size_t)n);
    }
    return 0;
}

/* Once a turn: what the peer does not take is charged. Most turns leave nothing, and cost nothing here. */
static void settle_budget(tls_stream *s) {
    size_t owed = s->blocked ? s->output.held + crt_buf_len(&s->output.wire) : 0;

    if (owed != s->charged) {
        crt_budget_charge((ptrdiff_t)owed - (ptrdiff_t)s->charged);
        s->charged = owed;
    }
}

static void fail_writes(tls_stream *s, int status) {
    s->base.unsent = 0;
    s->drain_due = false;
    crt_write_list_report(crt_tls_output_abandon(&s->output), status);
}

static void defer_turn(tls_stream *s) {
    if (!s->turn_due) {
        s->turn_due = true;
        crt_stream_acquire(&s->base);
        crt_loop_defer(s->base.loop, &s->turn);
    }
}

/* The peer no longer listens, but may have said why (an alert, an early response): that is read to its end first. */
static void sending_failed(tls_stream *s, const crt_fault *fault) {
    if (fault->code != AWS_IO_SOCKET_CLOSED) {
        fail_writes(s, fault->code);
        end_stream(s, fault);
        return;
    }
    s->peer_gone = true;
    s->blocked = false;
    s->more = true;
    crt_buf_clear(&s->output.wire);
    fail_writes(s, fault->code);
    defer_turn(s);
}

/* The round has left. True when that was all. */
static bool round_sent(tls_stream *s) {
    size_t bytes;
    crt_write_list sent = crt_tls_output_round_sent(&s->output, &bytes);

    s->base.unsent -= bytes;
    crt_write_list_report(sent, 0);
    return !crt_tls_output_pending(&s->output);
}

static void write_now(tls_stream *s) {
    crt_fault fault = {0};
    size_t moved = 0;

    while (!s->blocked && moved < WRITE_PER_TURN) {
        int status = flush(s);
        if (status) {
            crt_fail(&fault, status, "sending failed");
        } else if (s->blocked || round_sent(s)) {
            break;
        } else {
            status = crt_tls_output_encrypt(&s->output, s->provider, s->session, &fault);
            moved += s->output.round;
        }
        if (status) {
            sending_failed(s, &fault);
            return;
        }
    }
    if (s->blocked) {
        return;
    }
    if (crt_tls_output_pending(&s->output)) {
        defer_turn(s);
    } else if (s->drain_due && !s->closing) {
        s->drain_due = false;
        if (s->base.handler && s->base.handler->on_drained) {
            s->base.handler->on_drained(s->base.user);
        }
    }
}

/* ---- receiving ---- */

/* Decrypts until the space is full or the session has no more: bytes, with *ended what stopped it (0: full). */
static size_t fill(tls_stream *s, crt_span space, ptrdiff_t *ended, crt_fault *fault) {
    size_t got = 0;

    *ended = 0;
    while (got < space.len) {
        ptrdiff_t n = s->provider->read(s->session, space.ptr + got, space.len - got, fault);
        if (n <= 0) {
            *ended = n;
            break;
        }
        got += (size_t)n;
    }
    return got;
}

static void reading_ended(tls_stream *s, ptrdiff_t why, const crt_fault *fault) {
    static const crt_fault orderly;
    crt_fault closed;

    s->more = false;
    if (why == CRT_TLS_EOF) {
        end_stream(s, &orderly);
    } else if (why != CRT_TLS_WANT_READ && why != CRT_TLS_WANT_WRITE) {
        end_stream(s, fault);
    } else if (s->peer_gone) {
        crt_fail(&closed, AWS_IO_SOCKET_CLOSED, "closed by the peer");
        end_stream(s, &closed);
    }
}

static void read_now(tls_stream *s) {
    size_t total = 0;

    while (!s->closing && total < READ_PER_TURN) {
        crt_span space = {NULL, 0};
        crt_fault fault = {0};
        ptrdiff_t ended;
        size_t got;

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
        if (space.len > READ_PER_TURN - total) {
            space.len = READ_PER_TURN - total;
        }
        got = fill(s, space, &ended, &fault);
        total += got;
        s->more = true;
        if (got > 0) {
            s->base.handler->on_data(s->base.user, got);
        }
        if (ended) {
            reading_ended(s, ended, &fault);
            return;
        }
    }
    if (!s->closing) {
        defer_turn(s);
    }
}

/* ---- the handshake ---- */

static void free_names(tls_stream *s) {
    crt_free(s->host);
    crt_free(s->alpn);
    s->host = s->alpn = NULL;
}

/* The stream belongs to `done` from here on. */
static void handshake_done(tls_stream *s) {
    static const crt_fault none;
    crt_connect_fn done = s->done;

    crt_timer_stop(&s->timer);
    free_names(s);
    s->done = NULL;
    s->more = true; /* the server's first bytes may have come with its last handshake message */
    done(s->done_user, &none, &s->base);
}

static void step_handshake(tls_stream *s) {
    crt_fault fault = {0}, story;
    ptrdiff_t result = s->provider->handshake(s->session, &fault);
    int status;

    if (result < 0 && result != CRT_TLS_WANT_READ && result != CRT_TLS_WANT_WRITE) {
        crt_fail(&story, (int)-result, "TLS with %s (%s) failed: %s", s->host, s->base.peer, fault.detail);
        end_stream(s, &story);
        return;
    }
    status = flush(s);
    if (status && status != AWS_IO_SOCKET_CLOSED) {
        crt_fail(&story, status, "TLS with %s (%s) failed: sending failed", s->host, s->base.peer);
        end_stream(s, &story);
        return;
    }
    if (status) {
        /* An alert may be on its way up; the end of what arrived will end the handshake. */
        crt_buf_clear(&s->output.wire);
    }
    if (result == 0) {
        handshake_done(s);
    }
}

static void on_timeout(crt_timer *timer) {
    tls_stream *s = CRT_CONTAINER(timer, tls_stream, timer);
    crt_fault fault;

    crt_fail(&fault, AWS_IO_TLS_NEGOTIATION_TIMEOUT,
             "TLS with %s (%s) failed: the handshake did not finish in time; does the port speak TLS?", s->host,
             s->base.peer);
    end_stream(s, &fault);
}

/* ---- turns ---- */

static void watch(tls_stream *s) {
    if (!s->closing && s->link) {
        s->link->ops->watch(s->link,
                            (s->deaf ? 0 : CRT_SOCKET_READABLE) | (s->blocked ? CRT_SOCKET_WRITABLE : 0));
    }
}

static void work(tls_stream *s, int mask) {
    crt_stream_acquire(&s->base);
    if (mask & CRT_SOCKET_WRITABLE) {
        s->blocked = false;
    }
    if (s->done && s->session && !s->closing) {
        step_handshake(s);
    }
    if (!s->done && !s->closing) {
        if (s->paused) {
            s->deaf = s->deaf || (mask & CRT_SOCKET_READABLE);
            s->more = s->more || s->deaf;
        } else if ((mask & CRT_SOCKET_READABLE) || s->more) {
            read_now(s);
        }
    }
    /* Also while closing: what was put in the turn of the close still leaves. */
    if (!s->done && s->link && !s->blocked && !s->peer_gone) {
        write_now(s);
    }
    settle_budget(s);
    watch(s);
    crt_stream_release(&s->base);
}

static void run_turn(crt_task *task, int loop_status) {
    tls_stream *s = CRT_CONTAINER(task, tls_stream, turn);

    (void)loop_status; /* the loop's end closes the stream; until then bytes may leave */
    s->turn_due = false;
    if (!s->link || s->peer_gone) {
        fail_writes(s, AWS_IO_SOCKET_CLOSED);
    }
    if (s->link) {
        work(s, 0);
    }
    crt_stream_release(&s->base);
}

static void on_ready(void *user, int mask) {
    work(user, mask);
}

static void on_shutdown(void *user) {
    tls_stream *s = user;
    crt_fault fault;

    crt_fail(&fault, AWS_IO_EVENT_LOOP_SHUTDOWN, "the event loop ended");
    end_stream(s, &fault);
}

static const crt_tls_link_owner link_owner = {on_ready, on_shutdown};

/* ---- closing ---- */

static void tear_down(tls_stream *s) {
    if (s->session && !s->done && !s->peer_gone) {
        s->provider->shutdown(s->session);
    }
    if (s->link) {
        (void)flush(s); /* close_notify or an alert: best effort */
        s->link->ops->destroy(s->link);
        s->link = NULL;
    }
    crt_timer_stop(&s->timer);
    if (s->waiting && crt_tls_ctx_leave(s->ctx, &s->wait)) {
        s->waiting = false;
        crt_stream_release(&s->base);
    }
    s->provider->session_free(s->session);
    s->session = NULL;
    crt_tls_ctx_release(s->ctx);
    s->ctx = NULL;
}

static void run_close(crt_task *task, int loop_status) {
    tls_stream *s = CRT_CONTAINER(task, tls_stream, close);
    crt_connect_fn done = s->done;

    (void)loop_status;
    crt_stream_acquire(&s->base);
    tear_down(s);
    fail_writes(s, AWS_IO_SOCKET_CLOSED);
    s->blocked = false;
    settle_budget(s);
    crt_stream_gone(&s->base, &s->fault);
    if (done) {
        /* Nobody was given the stream yet: the reference for `done` ends here. */
        s->done = NULL;
        done(s->done_user, &s->fault, NULL);
        crt_stream_release(&s->base);
    }
    crt_stream_release(&s->base);
}

/* The close runs behind the turn that may be deferred, which is how bytes put before it still leave. */
static void end_stream(tls_stream *s, const crt_fault *fault) {
    if (s->closing) {
        return;
    }
    s->closing = true;
    s->fault = *fault;
    if (!s->done && fault->code) {
        crt_fail(&s->fault, fault->code, "%s: %s", s->base.peer, fault->detail);
    }
    if (s->link) {
        s->link->ops->watch(s->link, 0);
    }
    crt_loop_defer(s->base.loop, &s->close);
}

/* ---- operations ---- */

static void stream_resume(crt_stream *stream) {
    tls_stream *s = (tls_stream *)stream;

    s->paused = false;
    s->deaf = false;
    if (s->closing) {
        return;
    }
    if (s->more) {
        defer_turn(s);
    }
    watch(s);
}

static int stream_put(crt_stream *stream, const void *data, size_t len) {
    tls_stream *s = (tls_stream *)stream;

    if (s->closing || s->peer_gone) {
        return AWS_IO_SOCKET_CLOSED;
    }
    if (len == 0) {
        return 0;
    }
    if (crt_tls_output_put(&s->output, data, len)) {
        return AWS_ERROR_OOM;
    }
    s->base.unsent += len;
    s->drain_due = true;
    defer_turn(s);
    return 0;
}

static void stream_write(crt_stream *stream, crt_write *write) {
    tls_stream *s = (tls_stream *)stream;

    crt_tls_output_push(&s->output, write);
    s->base.unsent += write->fd < 0 ? write->data.len : (size_t)write->length;
    s->drain_due = true;
    defer_turn(s); /* which also reports the failure on a stream that is closed */
}

static void stream_close(crt_stream *stream, int status) {
    crt_fault fault = {0};

    if (status) {
        crt_fail(&fault, status, "closed");
    }
    end_stream((tls_stream *)stream, &fault);
}

static void stream_destroy(crt_stream *stream) {
    tls_stream *s = (tls_stream *)stream;

    crt_tls_output_free(&s->output);
    free_names(s);
    crt_free(s);
}

static crt_bytes stream_alpn(const crt_stream *stream) {
    const tls_stream *s = (const tls_stream *)stream;

    return s->session ? s->provider->alpn(s->session) : crt_bytes_of(NULL, 0);
}

static const crt_stream_ops tls_stream_ops = {
    stream_resume, stream_put, stream_write, stream_close, stream_destroy, stream_alpn,
};

/* ---- starting ---- */

/* The options' texts are borrowed: copied for messages, and for a session that has to wait. */
static bool copy_names(tls_stream *s, const crt_tls_options *tls, const char *host) {
    const char *name = tls->server_name && tls->server_name[0] ? tls->server_name : host;

    s->named = name != NULL;
    s->host = crt_strdup(name ? name : "the server");
    s->alpn = crt_strdup(tls->alpn);
    if (s->host && (s->alpn || !tls->alpn)) {
        return true;
    }
    free_names(s);
    return false;
}

static tls_stream *stream_new(crt_loop *loop, const char *peer, const crt_tls_options *tls, const char *host,
                              crt_connect_fn done, void *user) {
    tls_stream *s = crt_calloc(1, sizeof(*s));

    if (!s || !copy_names(s, tls, host)) {
        crt_free(s);
        return NULL;
    }
    s->base.ops = &tls_stream_ops;
    s->base.loop = loop;
    crt_ref_init(&s->base.refs);
    snprintf(s->base.peer, sizeof(s->base.peer), "%s", peer);
    s->ctx = crt_tls_ctx_acquire(tls->ctx);
    s->provider = crt_tls_ctx_provider(tls->ctx);
    s->done = done;
    s->done_user = user;
    s->turn.run = run_turn;
    s->close.run = run_close;
    crt_timer_init(&s->timer, loop, on_timeout);
    crt_tls_output_init(&s->output);
    return s;
}

static void begin_session(tls_stream *s) {
    crt_tls_transport transport = {transport_recv, transport_send, s};
    crt_tls_options options = {.ctx = s->ctx, .server_name = s->named ? s->host : NULL, .alpn = s->alpn};
    crt_fault fault = {0}, story;
    int status = crt_tls_ctx_usable(s->ctx, &fault);

    if (status == 0) {
        status = s->provider->session_new(crt_tls_ctx_native(s->ctx), &options, &transport, &s->session, &fault);
    }
    if (status) {
        crt_fail(&story, status, "TLS with %s (%s) failed: %s", s->host, s->base.peer, fault.detail);
        end_stream(s, &story);
        return;
    }
    defer_turn(s);
}

static void on_context_ready(crt_task *task, int loop_status) {
    tls_stream *s = CRT_CONTAINER(CRT_CONTAINER(task, crt_tls_wait, task), tls_stream, wait);

    s->waiting = false;
    if (!s->closing && loop_status == 0) { /* a loop that ends closes the stream itself */
        begin_session(s);
    }
    crt_stream_release(&s->base);
}

static void start_handshake(tls_stream *s, uint32_t timeout_ms) {
    s->paused = true; /* until there is a handler */
    crt_timer_start(&s->timer, timeout_ms ? timeout_ms : HANDSHAKE_TIMEOUT_MS);
    s->wait.loop = s->base.loop;
    s->wait.task.run = on_context_ready;
    crt_stream_acquire(&s->base);
    s->waiting = crt_tls_ctx_wait(s->ctx, &s->wait);
    if (!s->waiting) {
        begin_session(s);
        crt_stream_release(&s->base);
    }
}

/* Takes over both; `link` NULL: there was no memory for it. */
static crt_tls_handshake *start_over_link(tls_stream *s, crt_tls_link *link, uint32_t timeout_ms) {
    if (!link) {
        crt_tls_ctx_release(s->ctx);
        stream_destroy(&s->base);
        return NULL;
    }
    s->link = link;
    start_handshake(s, timeout_ms);
    return (crt_tls_handshake *)s;
}

crt_tls_handshake *crt_tls_stream_start(crt_socket *socket, const crt_tls_options *tls, const char *host,
                                        crt_connect_fn done, void *user) {
    tls_stream *s = stream_new(socket->loop, socket->peer, tls, host, done, user);

    if (!s) {
        crt_socket_destroy(socket);
        return NULL;
    }
    return start_over_link(s, crt_tls_link_over_socket(socket, &link_owner, s), tls->timeout_ms);
}

crt_tls_handshake *crt_tls_start(crt_stream *lower, const crt_tls_options *tls, const char *host, crt_connect_fn done,
                                 void *user) {
    crt_socket *socket = crt_socket_stream_detach(lower);
    tls_stream *s;

    if (socket) {
        return crt_tls_stream_start(socket, tls, host, done, user);
    }
    s = stream_new(lower->loop, lower->peer, tls, host, done, user);
    if (!s) {
        crt_stream_release(lower); /* the last reference closes it */
        return NULL;
    }
    return start_over_link(s, crt_tls_link_over_stream(lower, &link_owner, s), tls->timeout_ms);
}

void crt_tls_cancel(crt_tls_handshake *handshake) {
    tls_stream *s = (tls_stream *)handshake;
    crt_fault fault;

    crt_fail(&fault, AWS_ERROR_IO_OPERATION_CANCELLED, "TLS with %s (%s) was cancelled", s->host, s->base.peer);
    end_stream(s, &fault);
}
