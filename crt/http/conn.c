/*
 * The life of a connection, whatever it speaks: word from other threads, closing, and the last reference.
 */
#include "conn.h"

#if defined(_WIN32)
#include <windows.h>
#else
#include <sched.h>
#endif

#include "crt/log.h"
#include "crt/memory.h"

/* ---- word from other threads ---- */

static void yield_thread(void) {
#if defined(_WIN32)
    SwitchToThread();
#else
    sched_yield();
#endif
}

/*
 * The loop may end, and its memory with it, once the transport is gone. A thread that wants to post announces
 * itself first and then looks; retire() says that the transport is gone and waits for those who have not seen it.
 */
static bool may_post(crt_http_conn *conn) {
    __atomic_fetch_add(&conn->posting, 1, __ATOMIC_SEQ_CST);
    if (!__atomic_load_n(&conn->gone, __ATOMIC_SEQ_CST)) {
        return true;
    }
    __atomic_fetch_sub(&conn->posting, 1, __ATOMIC_SEQ_CST);
    return false;
}

static void has_posted(crt_http_conn *conn) {
    __atomic_fetch_sub(&conn->posting, 1, __ATOMIC_SEQ_CST);
}

static void retire(crt_http_conn *conn) {
    __atomic_store_n(&conn->gone, 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&conn->posting, __ATOMIC_SEQ_CST) > 0) {
        yield_thread();
    }
}

int crt_http_conn_mail(crt_http_stream *stream, uint32_t what) {
    crt_http_conn *conn = stream->conn;
    if (!may_post(conn)) {
        return AWS_ERROR_HTTP_CONNECTION_CLOSED;
    }
    if (__atomic_fetch_or(&stream->mail, what, __ATOMIC_ACQ_REL) == 0) {
        crt_ref_inc(&stream->refs);
        stream->mail_next = __atomic_load_n(&conn->mail, __ATOMIC_RELAXED);
        while (!__atomic_compare_exchange_n(&conn->mail, &stream->mail_next, stream, true, __ATOMIC_ACQ_REL,
                                            __ATOMIC_RELAXED)) {
        }
        if (!__atomic_exchange_n(&conn->mail_posted, 1, __ATOMIC_ACQ_REL)) {
            crt_ref_inc(&conn->lives); /* the task may run when all else is gone */
            crt_loop_post(conn->loop, &conn->mail_task);
        }
    }
    has_posted(conn);
    return 0;
}

static crt_http_stream *take_mail(crt_http_conn *conn) {
    crt_http_stream *newest_first = __atomic_exchange_n(&conn->mail, NULL, __ATOMIC_ACQ_REL);
    crt_http_stream *in_order = NULL;
    while (newest_first) {
        crt_http_stream *next = newest_first->mail_next;
        newest_first->mail_next = in_order;
        in_order = newest_first;
        newest_first = next;
    }
    return in_order;
}

static void read_mail(crt_http_conn *conn) {
    crt_http_stream *stream = take_mail(conn);
    while (stream) {
        crt_http_stream *next = stream->mail_next; /* the stream may be put back while it is being served */
        crt_http_stream_open_mail(stream, __atomic_exchange_n(&stream->mail, 0, __ATOMIC_ACQ_REL));
        crt_http_stream_release(stream);
        stream = next;
    }
}

static void drop_life(crt_http_conn *conn) {
    if (!crt_ref_dec(&conn->lives)) {
        return;
    }
    conn->protocol->conn_free(conn);
}

int crt_http_conn_post(crt_http_conn *conn, crt_task *task) {
    if (!may_post(conn)) {
        return AWS_ERROR_HTTP_CONNECTION_CLOSED;
    }
    crt_ref_inc(&conn->lives);
    crt_loop_post(conn->loop, task);
    has_posted(conn);
    return 0;
}

void crt_http_conn_task_done(crt_http_conn *conn) {
    drop_life(conn);
}

static void run_mail(crt_task *task, int status) {
    crt_http_conn *conn = CRT_CONTAINER(task, crt_http_conn, mail_task);
    __atomic_store_n(&conn->mail_posted, 0, __ATOMIC_SEQ_CST);
    read_mail(conn);
    drop_life(conn);
}

/* ---- the end ---- */

void crt_http_conn_shut(crt_http_conn *conn, int code, const char *detail) {
    if (conn->closing) {
        return;
    }
    conn->closing = true;
    crt_http_conn_refuse(conn);
    crt_fail(&conn->cause, code, "%s: %s", conn->io->peer, detail);
    CRT_LOG(CRT_LOG_DEBUG, CRT_LS_HTTP_CONNECTION, "id=%p: closing, code %d (%s): %s", (void *)conn, code,
            crt_error_name(code), conn->cause.detail);
    if (conn->protocol->farewell) {
        conn->protocol->farewell(conn, code);
    }
    crt_stream_close(conn->io, code);
}

void crt_http_conn_refuse(crt_http_conn *conn) {
    __atomic_store_n(&conn->open, 0, __ATOMIC_RELEASE);
}

crt_fault crt_http_fault_of_streams(const crt_http_conn *conn) {
    crt_fault fault = conn->cause;
    if (fault.code == 0) {
        crt_fail(&fault, AWS_ERROR_HTTP_CONNECTION_CLOSED, "the connection was closed");
    }
    return fault;
}

static void note_cause(crt_http_conn *conn, const crt_fault *fault) {
    conn->closing = true;
    conn->cause = *fault;
    if (conn->protocol->receive_eof(conn, fault)) {
        conn->cause.code = 0;
    } else if (fault->code == 0) { /* an orderly end that nobody had announced */
        crt_fail(&conn->cause, AWS_IO_SOCKET_CLOSED, "%s: the peer closed the connection", conn->io->peer);
    }
}

void crt_http_conn_on_closed(void *user, const crt_fault *fault) {
    crt_http_conn *conn = user;
    if (!conn->closing) {
        note_cause(conn, fault);
    }
    __atomic_store_n(&conn->open, 0, __ATOMIC_RELEASE);
    if (conn->deadline.loop) {
        crt_timer_stop(&conn->deadline);
    }
    retire(conn);
    read_mail(conn);
    conn->protocol->end_streams(conn);
    crt_stream_release(conn->io);
    conn->io = NULL;
    conn->handler->on_shutdown(conn->user, &conn->cause);
    drop_life(conn);
}

/* ---- birth ---- */

static void run_close(crt_task *task, int status) {
    crt_http_conn *conn = CRT_CONTAINER(task, crt_http_conn, close_task);
    crt_http_conn_shut(conn, 0, "closed by its user");
    crt_http_conn_release(conn);
}

static void run_release(crt_task *task, int status) {
    crt_http_conn *conn = CRT_CONTAINER(task, crt_http_conn, release_task);
    crt_http_conn_shut(conn, 0, "its last reference was dropped");
    drop_life(conn);
}

void crt_http_conn_init(crt_http_conn *conn, const crt_http_protocol *protocol, crt_stream *io,
                        const crt_http_conn_options *options) {
    conn->protocol = protocol;
    crt_ref_init(&conn->refs);
    crt_ref_init(&conn->lives);
    crt_ref_inc(&conn->lives); /* of the transport, until on_closed */
    conn->loop = io->loop;
    conn->io = io;
    conn->handler = options->handler;
    conn->user = options->user;
    conn->tls = options->tls;
    conn->manual_window = options->manual_window;
    conn->initial_window = options->initial_window;
    conn->timeouts = options->timeouts;
    conn->generation = crt_fork_generation();
    conn->open = 1;
    conn->mail_task.run = run_mail;
    conn->close_task.run = run_close;
    conn->release_task.run = run_release;
}

/* ---- public ---- */

void crt_http_conn_acquire(crt_http_conn *conn) {
    crt_ref_inc(&conn->refs);
}

void crt_http_conn_release(crt_http_conn *conn) {
    if (!conn || !crt_ref_dec(&conn->refs)) {
        return;
    }
    if (conn->generation != crt_fork_generation()) {
        return; /* the parent of the fork owns loop and socket; this copy is left alone */
    }
    __atomic_store_n(&conn->open, 0, __ATOMIC_RELEASE);
    if (may_post(conn)) {
        crt_loop_post(conn->loop, &conn->release_task);
        has_posted(conn);
    } else {
        drop_life(conn);
    }
}

void crt_http_conn_close(crt_http_conn *conn) {
    if (conn->generation != crt_fork_generation() ||
        __atomic_exchange_n(&conn->close_posted, 1, __ATOMIC_ACQ_REL)) {
        return;
    }
    __atomic_store_n(&conn->open, 0, __ATOMIC_RELEASE);
    if (may_post(conn)) {
        crt_http_conn_acquire(conn);
        crt_loop_post(conn->loop, &conn->close_task);
        has_posted(conn);
    }
}

bool crt_http_conn_is_open(const crt_http_conn *conn) {
    return __atomic_load_n(&conn->open, __ATOMIC_ACQUIRE) && conn->generation == crt_fork_generation();
}

int crt_http_conn_version(const crt_http_conn *conn) {
    return conn->protocol->version;
}

crt_loop *crt_http_conn_loop(const crt_http_conn *conn) {
    return conn->loop;
}

/* ---- what only HTTP/2 has ---- */

typedef struct conn_credit {
    crt_task task;
    crt_http_conn *conn;
    uint32_t n;
} conn_credit;

static void run_credit(crt_task *task, int status) {
    conn_credit *credit = CRT_CONTAINER(task, conn_credit, task);
    crt_http_conn *conn = credit->conn;
    if (!conn->closing) {
        conn->protocol->conn_credit(conn, credit->n);
    }
    crt_free(credit);
    crt_http_conn_task_done(conn);
}

void crt_http_conn_update_window(crt_http_conn *conn, uint32_t n) {
    if (!conn->protocol->conn_credit || n == 0 || conn->generation != crt_fork_generation()) {
        return;
    }
    conn_credit *credit = crt_calloc(1, sizeof(*credit));
    if (!credit) {
        return; /* the peer waits for the next update */
    }
    credit->task.run = run_credit;
    credit->conn = conn;
    credit->n = n;
    if (crt_http_conn_post(conn, &credit->task)) {
        crt_free(credit);
    }
}

static void run_ping(crt_task *task, int status) {
    crt_http_ping *ping = CRT_CONTAINER(task, crt_http_ping, task);
    crt_http_conn *conn = ping->conn;
    if (conn->closing) {
        crt_fault fault = crt_http_fault_of_streams(conn);
        ping->done(ping->user, &fault, 0);
        crt_free(ping);
    } else {
        ping->began_ns = crt_clock_ns();
        conn->protocol->ping(conn, ping);
    }
    crt_http_conn_task_done(conn);
}

int crt_http_conn_ping(crt_http_conn *conn, crt_http_ping_fn done, void *user) {
    if (!conn->protocol->ping) {
        return AWS_ERROR_UNSUPPORTED_OPERATION;
    }
    if (conn->generation != crt_fork_generation()) {
        return AWS_ERROR_HTTP_CONNECTION_CLOSED;
    }
    crt_http_ping *ping = crt_calloc(1, sizeof(*ping));
    if (!ping) {
        return AWS_ERROR_OOM;
    }
    ping->task.run = run_ping;
    ping->conn = conn;
    ping->done = done;
    ping->user = user;
    int status = crt_http_conn_post(conn, &ping->task);
    if (status) {
        crt_free(ping);
    }
    return status;
}
