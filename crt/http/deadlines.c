/*
 * Deadlines of the exchanges on a connection: the total, the first byte of the response, and silence.
 */
#include "conn.h"

static uint64_t sooner(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

/* A wait that has not begun is looked for again after as long as it may take: it cannot be over before. */
static uint64_t due_at(uint64_t from_ms, uint32_t timeout_ms, uint64_t now_ms) {
    return timeout_ms ? (from_ms ? from_ms : now_ms) + timeout_ms : UINT64_MAX;
}

static void on_deadline(crt_timer *timer) {
    crt_http_conn *conn = CRT_CONTAINER(timer, crt_http_conn, deadline);
    if (!conn->closing) {
        crt_http_conn_watch(conn, conn->protocol->check_deadlines(conn, crt_loop_now_ms(conn->loop)));
    }
}

void crt_http_conn_watch(crt_http_conn *conn, uint64_t due_ms) {
    crt_timer *timer = &conn->deadline;
    if (due_ms == UINT64_MAX || conn->closing || (timer->heap_index && timer->due_ms <= due_ms)) {
        return;
    }
    uint64_t now = crt_loop_now_ms(conn->loop);
    if (!timer->loop) {
        crt_timer_init(timer, conn->loop, on_deadline);
    }
    crt_timer_start(timer, due_ms > now ? due_ms - now : 0);
}

crt_fault crt_http_stream_lateness(const crt_http_stream *stream, const crt_http_wait *wait, uint64_t now_ms,
                                   uint64_t *due_ms) {
    const crt_http_timeouts *t = &stream->timeouts;
    const uint64_t total = due_at(stream->began_ms, t->total_ms, now_ms);
    const uint64_t first = due_at(wait->first_byte_from, t->first_byte_ms, now_ms);
    const uint64_t idle = due_at(wait->idle_from, t->idle_ms, now_ms);
    crt_fault fault = {0, ""};
    if (now_ms >= total) {
        crt_fail(&fault, AWS_IO_SOCKET_TIMEOUT, "not complete after %u ms, while %s", (unsigned)t->total_ms,
                 wait->step);
    } else if (now_ms >= first) {
        crt_fail(&fault, AWS_ERROR_HTTP_RESPONSE_FIRST_BYTE_TIMEOUT, "not a byte of the response after %u ms",
                 (unsigned)t->first_byte_ms);
    } else if (now_ms >= idle) {
        crt_fail(&fault, AWS_IO_SOCKET_TIMEOUT, "not a byte for %u ms, while %s", (unsigned)t->idle_ms, wait->step);
    }
    *due_ms = sooner(total, sooner(first, idle));
    return fault;
}

void crt_http_stream_watch(crt_http_stream *stream) {
    static const crt_http_wait nothing = {"", 0, 0};
    uint64_t now = crt_loop_now_ms(stream->conn->loop), due;
    stream->began_ms = now;
    (void)crt_http_stream_lateness(stream, &nothing, now, &due);
    crt_http_conn_watch(stream->conn, due);
}
