#include "ws_stream.h"

#include <stdio.h>
#if defined(_WIN32)
#include <io.h>
#else
#include <unistd.h>
#endif

#include "crt/buffer.h"
#include "crt/crypto.h"
#include "crt/http.h"
#include "crt/memory.h"
#include "ws_codec.h"

enum {
    FRAME_MAX = 64 * 1024,  /* payload of one frame that is sent */
    UNSENT_MAX = 256 * 1024, /* masked bytes that may wait below; the rest waits as it was given */
    READ_SIZE = 16 * 1024,
    DIRECT_MIN = 4 * 1024, /* shorter rests of a frame go through the buffer, with the next header behind them */
    CLOSE_NORMAL = 1000,
    CLOSE_PROTOCOL_ERROR = 1002,
    CLOSE_UNSUPPORTED = 1003,
};

/* Bytes that were put, as a queued write of our own. */
typedef struct segment {
    crt_write write;
    crt_buf bytes;
} segment;

typedef struct ws_stream {
    crt_stream base;
    crt_stream *io;
    /* sending */
    crt_write *first;
    crt_write **tail;
    uint64_t sent;   /* of the first write */
    uint64_t queued; /* bytes not yet in frames */
    uint8_t *scratch;
    crt_task flush;
    bool flush_due;
    /* receiving */
    crt_ws_decoder decoder;
    crt_buf input;
    uint8_t control[CRT_WS_CONTROL_MAX]; /* payload of the control frame at hand */
    size_t control_len;
    crt_task receive;
    bool receive_due;
    bool receiving;
    bool direct;
    bool closing;
    bool down; /* the stream below is gone */
    crt_fault fault;
} ws_stream;

static ws_stream *ws_of(crt_stream *stream) {
    return CRT_CONTAINER(stream, ws_stream, base);
}

/* ---- frames out ---- */

static int put_frame(ws_stream *ws, int opcode, const uint8_t *payload, size_t len) {
    uint8_t mask[4];
    int status = crt_random(mask, sizeof(mask));
    if (!status && !ws->scratch) {
        ws->scratch = crt_malloc(CRT_WS_HEADER_MAX + FRAME_MAX);
        status = ws->scratch ? 0 : AWS_ERROR_OOM;
    }
    if (status) {
        return status;
    }
    size_t header_len = crt_ws_write_header(ws->scratch, opcode, true, len, mask);
    crt_ws_mask(ws->scratch + header_len, payload, len, mask, 0);
    return crt_stream_put(ws->io, ws->scratch, header_len + len);
}

static void begin_close(ws_stream *ws, int code, const char *detail, crt_bytes close_payload) {
    if (ws->closing) {
        return;
    }
    ws->closing = true;
    crt_fail(&ws->fault, code, "%s: %s", ws->base.peer, detail);
    put_frame(ws, CRT_WS_CLOSE, close_payload.ptr, close_payload.len); /* best effort */
    crt_stream_close(ws->io, code);
}

static void close_with_code(ws_stream *ws, int code, const char *detail, int close_code) {
    uint8_t payload[2] = {(uint8_t)(close_code >> 8), (uint8_t)close_code};
    begin_close(ws, code, detail, crt_bytes_of(payload, 2));
}

/* ---- the queue of what is to be sent ---- */

static uint64_t length_of(const crt_write *write) {
    return write->fd < 0 ? write->data.len : write->length;
}

/* Marks a queued write as one of ours. */
static void is_segment(crt_write *write, int status) {
}

static void finish_write(crt_write *write, int status) {
    if (write->done == is_segment) {
        segment *s = CRT_CONTAINER(write, segment, write);
        crt_buf_free(&s->bytes);
        crt_free(s);
    } else if (write->done) {
        write->done(write, status);
    }
}

static crt_write *pop(ws_stream *ws) {
    crt_write *write = ws->first;
    ws->first = write->next;
    if (!ws->first) {
        ws->tail = &ws->first;
    }
    ws->sent = 0;
    return write;
}

static void count_unsent(ws_stream *ws) {
    ws->base.unsent = (size_t)ws->queued + (ws->io ? ws->io->unsent : 0);
}

static void fail_queue(ws_stream *ws) {
    ws->queued = 0;
    count_unsent(ws);
    while (ws->first) {
        finish_write(pop(ws), AWS_IO_SOCKET_CLOSED);
    }
}

static ptrdiff_t read_file(int fd, void *to, size_t len, uint64_t offset) {
#if defined(_WIN32)
    return _lseeki64(fd, (int64_t)offset, SEEK_SET) < 0 ? -1 : _read(fd, to, (unsigned)len);
#else
    return pread(fd, to, len, (off_t)offset);
#endif
}

static int send_file_piece(ws_stream *ws, const crt_write *write, size_t n) {
    uint8_t *piece = crt_malloc(n);
    if (!piece) {
        return AWS_ERROR_OOM;
    }
    int status = AWS_IO_STREAM_READ_FAILED;
    if (read_file(write->fd, piece, n, write->offset + ws->sent) == (ptrdiff_t)n) {
        status = put_frame(ws, CRT_WS_BINARY, piece, n);
    }
    crt_free(piece);
    return status;
}

/* One frame of the first write. */
static int send_piece(ws_stream *ws) {
    const crt_write *write = ws->first;
    uint64_t left = length_of(write) - ws->sent;
    size_t n = left < FRAME_MAX ? (size_t)left : FRAME_MAX;
    int status;
    if (n == 0) {
        return 0;
    }
    if (write->fd < 0) {
        status = put_frame(ws, CRT_WS_BINARY, write->data.ptr + ws->sent, n);
    } else {
        status = send_file_piece(ws, write, n);
    }
    ws->sent += n;
    ws->queued -= n;
    return status;
}

static bool may_send(const ws_stream *ws) {
    return ws->first && !ws->closing && ws->io->unsent < UNSENT_MAX;
}

static void send_first(ws_stream *ws) {
    int status = send_piece(ws);
    count_unsent(ws);
    if (status) {
        close_with_code(ws, status, "sending failed", CLOSE_NORMAL);
    } else if (ws->sent >= length_of(ws->first)) {
        finish_write(pop(ws), 0);
    }
}

static void send_queue(ws_stream *ws) {
    while (may_send(ws)) {
        send_first(ws);
    }
}

static void run_flush(crt_task *task, int status) {
    ws_stream *ws = CRT_CONTAINER(task, ws_stream, flush);
    ws->flush_due = false;
    if (ws->closing || ws->down) {
        fail_queue(ws);
    } else {
        send_queue(ws);
    }
    crt_stream_release(&ws->base);
}

/* At the end of the loop's turn, so that small puts share a frame. */
static void defer_flush(ws_stream *ws) {
    if (!ws->flush_due) {
        ws->flush_due = true;
        crt_stream_acquire(&ws->base);
        crt_loop_defer(ws->base.loop, &ws->flush);
    }
}

static void push(ws_stream *ws, crt_write *write) {
    write->next = NULL;
    *ws->tail = write;
    ws->tail = &write->next;
    ws->queued += length_of(write);
    count_unsent(ws);
    defer_flush(ws);
}

/* ---- frames in ---- */

static void answer_close(ws_stream *ws) {
    char detail[64];
    int code = CLOSE_NORMAL;
    if (ws->control_len >= 2) {
        code = ws->control[0] << 8 | ws->control[1];
    }
    snprintf(detail, sizeof(detail), "the peer closed the WebSocket with code %d", code);
    /* RFC 6455 section 5.5.1: echo the status code. A normal closure is an orderly end. */
    begin_close(ws, code == CLOSE_NORMAL ? 0 : AWS_IO_SOCKET_CLOSED, detail,
                crt_bytes_of(ws->control, ws->control_len >= 2 ? 2 : 0));
}

static void take_frame_end(ws_stream *ws) {
    int opcode = ws->decoder.opcode;
    if (opcode == CRT_WS_CLOSE) {
        answer_close(ws);
    } else if (opcode == CRT_WS_PING && ws->io->unsent < UNSENT_MAX) { /* else the peer does not read anyway */
        int status = put_frame(ws, CRT_WS_PONG, ws->control, ws->control_len);
        if (status) {
            close_with_code(ws, status, "sending failed", CLOSE_NORMAL);
        }
    }
}

/* Payload from the buffer into the handler's memory. False when it wants none now. */
static bool deliver_buffered(ws_stream *ws) {
    crt_span space = {NULL, 0};
    if (ws->base.handler) {
        ws->base.handler->on_space(ws->base.user, &space);
    }
    if (space.len == 0 || ws->closing) {
        return false;
    }
    crt_ws_event event = crt_ws_decoder_next(&ws->decoder, crt_buf_view(&ws->input), space.len);
    memcpy(space.ptr, event.payload.ptr, event.payload.len);
    size_t n = event.payload.len;
    crt_buf_consume(&ws->input, event.consumed);
    ws->base.handler->on_data(ws->base.user, n);
    return !ws->closing;
}

static void take_control_payload(ws_stream *ws, crt_bytes payload) {
    memcpy(ws->control + ws->control_len, payload.ptr, payload.len);
    ws->control_len += payload.len;
}

/* One event; false when nothing more can be done now. */
static bool step(ws_stream *ws) {
    crt_ws_event event = crt_ws_decoder_next(&ws->decoder, crt_buf_view(&ws->input), 0);
    switch (event.kind) {
    case CRT_WS_FRAME:
        ws->control_len = 0;
        if (!crt_ws_is_control(ws->decoder.opcode) && ws->decoder.message == CRT_WS_TEXT) {
            close_with_code(ws, AWS_ERROR_HTTP_WEBSOCKET_PROTOCOL_ERROR, "a text message where bytes are expected",
                            CLOSE_UNSUPPORTED);
        }
        break;
    case CRT_WS_PAYLOAD: /* of a control frame: data frames were limited to nothing */
        take_control_payload(ws, event.payload);
        break;
    case CRT_WS_BLOCKED:
        return deliver_buffered(ws);
    case CRT_WS_FRAME_END:
        take_frame_end(ws);
        break;
    case CRT_WS_ERROR:
        close_with_code(ws, AWS_ERROR_HTTP_WEBSOCKET_PROTOCOL_ERROR, ws->decoder.detail, CLOSE_PROTOCOL_ERROR);
        return false;
    default:
        return false;
    }
    crt_buf_consume(&ws->input, event.consumed);
    return !ws->closing;
}

static void receive(ws_stream *ws) {
    if (ws->receiving || ws->closing) {
        return;
    }
    ws->receiving = true;
    while (step(ws)) {
    }
    ws->receiving = false;
}

static void run_receive(crt_task *task, int status) {
    ws_stream *ws = CRT_CONTAINER(task, ws_stream, receive);
    ws->receive_due = false;
    if (!ws->down) {
        receive(ws);
        if (!ws->closing) {
            crt_stream_resume(ws->io);
        }
    }
    crt_stream_release(&ws->base);
}

/* ---- the stream below ---- */

static void on_space(void *user, crt_span *space) {
    ws_stream *ws = user;
    uint64_t raw = crt_ws_decoder_raw_payload(&ws->decoder);
    bool buffered = crt_buf_len(&ws->input) > 0;
    *space = (crt_span){NULL, 0};
    ws->direct = false;
    if (ws->closing || (buffered && raw > 0)) {
        return; /* the handler has not taken what is there already */
    }
    if (raw >= DIRECT_MIN && ws->base.handler) {
        ws->base.handler->on_space(ws->base.user, space);
        space->len = space->len < raw ? space->len : (size_t)raw;
        ws->direct = space->len > 0;
        return;
    }
    if (crt_buf_reserve(&ws->input, READ_SIZE)) {
        close_with_code(ws, AWS_ERROR_OOM, "no memory to read into", CLOSE_NORMAL);
        return;
    }
    *space = (crt_span){ws->input.ptr + ws->input.end, READ_SIZE};
}

static void on_data(void *user, size_t n) {
    ws_stream *ws = user;
    if (ws->direct) {
        crt_ws_decoder_skip(&ws->decoder, n);
        ws->base.handler->on_data(ws->base.user, n);
    } else {
        ws->input.end += n;
    }
    receive(ws);
}

static void on_drained(void *user) {
    ws_stream *ws = user;
    bool queued = ws->first != NULL;
    count_unsent(ws);
    send_queue(ws);
    if (!queued && !ws->closing && ws->base.handler && ws->base.handler->on_drained) {
        ws->base.handler->on_drained(ws->base.user);
    }
}

static void on_closed(void *user, const crt_fault *fault) {
    ws_stream *ws = user;
    if (!ws->closing) {
        ws->fault = *fault;
    }
    ws->closing = ws->down = true;
    fail_queue(ws);
    crt_stream_release(ws->io);
    ws->io = NULL;
    crt_stream_gone(&ws->base, &ws->fault);
}

static const crt_stream_handler io_handler = {on_space, on_data, on_drained, on_closed};

/* ---- operations ---- */

static void ws_resume(crt_stream *stream) {
    ws_stream *ws = ws_of(stream);
    if (ws->down || ws->receive_due) {
        return;
    }
    ws->receive_due = true;
    crt_stream_acquire(stream);
    crt_loop_defer(stream->loop, &ws->receive);
}

static segment *last_segment(ws_stream *ws) {
    crt_write *last = ws->first ? CRT_CONTAINER(ws->tail, crt_write, next) : NULL;
    return last && last->done == is_segment ? CRT_CONTAINER(last, segment, write) : NULL;
}

static int ws_put(crt_stream *stream, const void *data, size_t len) {
    ws_stream *ws = ws_of(stream);
    if (ws->closing) {
        return AWS_IO_SOCKET_CLOSED;
    }
    if (len == 0) {
        return 0;
    }
    segment *s = last_segment(ws);
    bool is_new = !s;
    if (is_new && !(s = crt_calloc(1, sizeof(*s)))) {
        return AWS_ERROR_OOM;
    }
    if (crt_buf_append(&s->bytes, data, len)) {
        if (is_new) {
            crt_free(s);
        }
        return AWS_ERROR_OOM;
    }
    s->write.data = crt_buf_view(&s->bytes);
    if (is_new) {
        s->write.fd = -1;
        s->write.done = is_segment;
        push(ws, &s->write);
    } else {
        ws->queued += len;
        count_unsent(ws);
    }
    return 0;
}

static void ws_write(crt_stream *stream, crt_write *write) {
    push(ws_of(stream), write); /* on a closed stream the flush reports the failure */
}

static void ws_close(crt_stream *stream, int status) {
    ws_stream *ws = ws_of(stream);
    while (may_send(ws) && ws->first->done == is_segment) {
        send_first(ws); /* what was put before the close still goes out */
    }
    close_with_code(ws, status, "closed", CLOSE_NORMAL);
}

static void ws_destroy(crt_stream *stream) {
    ws_stream *ws = ws_of(stream);
    crt_buf_free(&ws->input);
    crt_free(ws->scratch);
    crt_free(ws);
}

static crt_bytes ws_alpn(const crt_stream *stream) {
    return crt_bytes_of(NULL, 0);
}

static const crt_stream_ops ws_ops = {ws_resume, ws_put, ws_write, ws_close, ws_destroy, ws_alpn};

int crt_ws_stream_new(crt_stream *io, crt_stream **out) {
    ws_stream *ws = crt_calloc(1, sizeof(*ws));
    if (!ws) {
        return AWS_ERROR_OOM;
    }
    ws->base.ops = &ws_ops;
    ws->base.loop = io->loop;
    crt_ref_init(&ws->base.refs);
    memcpy(ws->base.peer, io->peer, sizeof(ws->base.peer));
    ws->io = io;
    ws->tail = &ws->first;
    ws->flush.run = run_flush;
    ws->receive.run = run_receive;
    crt_stream_set_handler(io, &io_handler, ws);
    *out = &ws->base;
    return 0;
}
