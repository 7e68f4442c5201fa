/*
 * Sending: callers mask their frames into the last batch of the queue; the loop writes one batch at a time.
 */
#include "crt/crypto.h"
#include "crt/memory.h"
#include "ws_conn.h"

enum {
    BATCH_BYTES = 256 * 1024, /* a batch is closed when it has so many */
    BATCH_ROOM = 4 * 1024,    /* at first */
    LONG_FRAME = 16 * 1024,   /* then a batch gets all its memory at once */
    SPARES = 6,               /* batches kept with their memory: fresh pages cost more than a copy */
    SPARE_MAX = 2 * BATCH_BYTES,
    COPY_MAX = 256 * 1024,    /* longer payload with a source is masked when its turn comes */
    PIECE_BYTES = 128 * 1024, /* of it, at once */
    COMPRESS_MIN = 32,        /* shorter messages only grow */
};

/* ---- batches ---- */

static void batch_written(crt_write *write, int status);

void crt_ws_batch_free(crt_ws_batch *batch) {
    if (batch) {
        crt_buf_free(&batch->bytes);
        crt_buf_free(&batch->completions);
        crt_source_release(batch->source);
        crt_free(batch);
    }
}

static crt_ws_batch *batch_new(crt_websocket *ws) {
    crt_ws_batch *batch = ws->spare;
    if (batch) {
        ws->spare = batch->next;
        ws->spares--;
    } else if (!(batch = crt_calloc(1, sizeof(*batch)))) {
        return NULL;
    }
    batch->ws = ws;
    batch->next = NULL;
    *ws->tail = batch;
    ws->tail = &batch->next;
    return batch;
}

/* The batch that frames may still be added to. */
static crt_ws_batch *open_batch(crt_websocket *ws) {
    crt_ws_batch *last = ws->first ? CRT_CONTAINER(ws->tail, crt_ws_batch, next) : NULL;
    if (last && !last->source && !last->fail_code && crt_buf_len(&last->bytes) < BATCH_BYTES) {
        return last;
    }
    return batch_new(ws);
}

static int add_completion(crt_ws_batch *batch, crt_ws_sent_fn done, void *user) {
    const crt_ws_completion completion = {done, user};
    return done ? crt_buf_append(&batch->completions, &completion, sizeof(completion)) : 0;
}

/* Doubling keeps a growing batch from moving again and again. */
static int reserve(crt_buf *bytes, size_t n) {
    size_t room = bytes->cap - bytes->end, step = bytes->cap ? bytes->cap : BATCH_ROOM;
    if (n > LONG_FRAME && !bytes->cap) {
        step = BATCH_BYTES + n;
    }
    return room >= n ? 0 : crt_buf_reserve(bytes, n > step ? n : step);
}

/* Masks must not be foreseeable (RFC 6455 section 10.3); drawn in bulk, since each draw has its price. */
static int draw_mask(crt_websocket *ws, uint8_t mask[4]) {
    if (ws->keys_left < 4) {
        int status = crt_random(ws->keys, sizeof(ws->keys));
        if (status) {
            return status;
        }
        ws->keys_left = sizeof(ws->keys);
    }
    ws->keys_left -= 4;
    memcpy(mask, ws->keys + ws->keys_left, 4);
    return 0;
}

/* ---- frames into batches; the lock is held ---- */

static int put_frame(crt_websocket *ws, int first_byte, bool fin, crt_bytes payload, crt_ws_sent_fn done, void *user) {
    uint8_t mask[4];
    crt_ws_batch *batch = open_batch(ws);
    int status = batch ? draw_mask(ws, mask) : AWS_ERROR_OOM;
    status = status ? status : reserve(&batch->bytes, CRT_WS_HEADER_MAX + payload.len);
    status = status ? status : add_completion(batch, done, user);
    if (status) {
        return status;
    }
    crt_buf *bytes = &batch->bytes;
    size_t header_len = crt_ws_write_header(bytes->ptr + bytes->end, first_byte, fin, payload.len, mask);
    crt_ws_mask(bytes->ptr + bytes->end + header_len, payload.ptr, payload.len, mask, 0);
    bytes->end += header_len + payload.len;
    ws->unsent += header_len + payload.len;
    return 0;
}

/* A frame of its own batch, whose payload is masked piece by piece. */
static int put_source(crt_websocket *ws, const crt_ws_outgoing *frame) {
    crt_ws_batch *batch = batch_new(ws);
    int status = batch ? draw_mask(ws, batch->mask) : AWS_ERROR_OOM;
    status = status ? status : reserve(&batch->bytes, CRT_WS_HEADER_MAX + PIECE_BYTES);
    status = status ? status : add_completion(batch, frame->done, frame->user);
    if (status) {
        return status; /* an empty batch stays, and does no harm */
    }
    batch->bytes.end += crt_ws_write_header(batch->bytes.ptr + batch->bytes.end, frame->opcode, frame->fin,
                                            frame->payload.len, batch->mask);
    batch->source = frame->source;
    batch->rest = frame->payload;
    batch->offset = 0;
    crt_source_acquire(frame->source);
    ws->unsent += crt_buf_len(&batch->bytes) + frame->payload.len;
    return 0;
}

/* The rules of RFC 6455 sections 5.4 and 5.5 on what may follow what. */
static int check_sequence(const crt_websocket *ws, const crt_ws_outgoing *frame) {
    if (crt_ws_is_control(frame->opcode)) {
        return frame->fin ? 0 : AWS_ERROR_INVALID_ARGUMENT;
    }
    return (frame->opcode == CRT_WS_CONTINUATION) == ws->in_message ? 0 : AWS_ERROR_INVALID_STATE;
}

static int put_failure(crt_websocket *ws, const crt_ws_outgoing *frame, int code) {
    crt_ws_batch *batch = batch_new(ws);
    int status = batch ? add_completion(batch, frame->done, frame->user) : AWS_ERROR_OOM;
    if (!status) {
        batch->fail_code = code;
    }
    return status;
}

static int put_compressed(crt_websocket *ws, const crt_ws_outgoing *frame) {
    crt_buf_clear(&ws->scratch);
    int status = crt_ws_deflate_send(&ws->deflate, frame->payload, frame->fin, &ws->scratch);
    if (status) {
        return status;
    }
    int opcode = frame->opcode == CRT_WS_CONTINUATION ? frame->opcode : frame->opcode | CRT_WS_COMPRESSED;
    return put_frame(ws, opcode, frame->fin, crt_buf_view(&ws->scratch), frame->done, frame->user);
}

static bool begins_compressed(const crt_websocket *ws, const crt_ws_outgoing *frame) {
    return frame->compress && crt_ws_deflate_can_send(&ws->deflate) &&
           (!frame->fin || frame->payload.len >= COMPRESS_MIN);
}

static int put_data(crt_websocket *ws, const crt_ws_outgoing *frame) {
    bool compress = frame->opcode == CRT_WS_CONTINUATION ? ws->compress_message : begins_compressed(ws, frame);
    int status;
    if (compress) {
        status = put_compressed(ws, frame);
    } else if (frame->source && frame->payload.len > COPY_MAX) {
        status = put_source(ws, frame);
    } else {
        status = put_frame(ws, frame->opcode, frame->fin, frame->payload, frame->done, frame->user);
    }
    if (!status) {
        ws->in_message = !frame->fin;
        ws->compress_message = compress;
    }
    return status;
}

static int put_checked(crt_websocket *ws, const crt_ws_outgoing *frame) {
    int wrong = check_sequence(ws, frame);
    if (wrong) {
        return put_failure(ws, frame, wrong);
    }
    if (!crt_ws_is_control(frame->opcode)) {
        return put_data(ws, frame);
    }
    int status = put_frame(ws, frame->opcode, true, frame->payload, frame->done, frame->user);
    if (!status && frame->opcode == CRT_WS_CLOSE) {
        ws->sending = CRT_WS_CLOSE_SENT;
    }
    return status;
}

int crt_websocket_send(crt_websocket *ws, const crt_ws_outgoing *frame) {
    int status = 0;
    pthread_mutex_lock(&ws->lock);
    if (ws->sending == CRT_WS_SENDING && ws->close_asked) {
        status = put_failure(ws, frame, AWS_ERROR_HTTP_CONNECTION_CLOSED); /* comes behind the CLOSE */
        if (!status) {
            crt_ws_conn_post(ws, 0);
        }
    } else if (ws->sending != CRT_WS_SENDING) {
        status = ws->sending == CRT_WS_CLOSE_SENT ? AWS_ERROR_HTTP_WEBSOCKET_CLOSE_FRAME_SENT
                                                  : AWS_ERROR_HTTP_CONNECTION_CLOSED;
    } else {
        status = put_checked(ws, frame);
        if (!status) {
            crt_ws_conn_post(ws, 0);
        }
    }
    pthread_mutex_unlock(&ws->lock);
    return status;
}

size_t crt_websocket_unsent(crt_websocket *ws) {
    pthread_mutex_lock(&ws->lock);
    size_t unsent = ws->unsent;
    pthread_mutex_unlock(&ws->lock);
    return unsent;
}

bool crt_websocket_want_room(crt_websocket *ws, size_t low) {
    pthread_mutex_lock(&ws->lock);
    bool there = ws->unsent <= low || ws->gone;
    if (!there) {
        ws->room_wanted = true;
        ws->room_low = low;
    }
    pthread_mutex_unlock(&ws->lock);
    return there;
}

/* ---- batches into the stream; loop ---- */

int crt_ws_send_control(crt_websocket *ws, int opcode, crt_bytes payload) {
    int status = 0;
    pthread_mutex_lock(&ws->lock);
    if (ws->sending == CRT_WS_SENDING) {
        status = put_frame(ws, opcode, true, payload, NULL, NULL);
    }
    pthread_mutex_unlock(&ws->lock);
    crt_ws_send_pump(ws);
    return status;
}

int crt_ws_send_close(crt_websocket *ws, crt_bytes payload, crt_ws_sent_fn written) {
    int status;
    pthread_mutex_lock(&ws->lock);
    if (ws->sending == CRT_WS_SENDING) {
        status = put_frame(ws, CRT_WS_CLOSE, true, payload, written, ws);
    } else {
        crt_ws_batch *batch = open_batch(ws);
        status = batch ? add_completion(batch, written, ws) : AWS_ERROR_OOM;
    }
    ws->sending = CRT_WS_CLOSE_SENT;
    pthread_mutex_unlock(&ws->lock);
    crt_ws_send_pump(ws);
    return status;
}

/* True when on_room is due, which then is no longer waited for. */
static bool room_is_due(crt_websocket *ws) {
    bool due = ws->room_wanted && (ws->unsent <= ws->room_low || ws->gone);
    if (due) {
        ws->room_wanted = false;
    }
    return due;
}

void crt_ws_send_tell_room(crt_websocket *ws) {
    pthread_mutex_lock(&ws->lock);
    bool due = room_is_due(ws);
    pthread_mutex_unlock(&ws->lock);
    if (due && ws->handler->on_room) {
        ws->handler->on_room(ws->user);
    }
}

static void complete(crt_ws_batch *batch, int status) {
    crt_bytes list = crt_buf_view(&batch->completions);
    for (size_t at = 0; at < list.len; at += sizeof(crt_ws_completion)) {
        crt_ws_completion completion;
        memcpy(&completion, list.ptr + at, sizeof(completion));
        completion.done(completion.user, status);
    }
}

/* Takes the batch out of use; its memory serves the next one. */
static void retire(crt_websocket *ws, crt_ws_batch *batch) {
    crt_source_release(batch->source);
    batch->source = NULL;
    crt_buf_clear(&batch->bytes);
    crt_buf_clear(&batch->completions);
    pthread_mutex_lock(&ws->lock);
    bool keep = ws->spares < SPARES && batch->bytes.cap <= SPARE_MAX && !ws->gone && !batch->fail_code;
    if (keep) {
        batch->next = ws->spare;
        ws->spare = batch;
        ws->spares++;
    }
    pthread_mutex_unlock(&ws->lock);
    if (!keep) {
        crt_ws_batch_free(batch);
    }
}

static void count_sent(crt_websocket *ws, size_t n) {
    pthread_mutex_lock(&ws->lock);
    ws->unsent -= n;
    pthread_mutex_unlock(&ws->lock);
}

static void write_batch(crt_websocket *ws, crt_ws_batch *batch) {
    batch->write = (crt_write){.data = crt_buf_view(&batch->bytes), .fd = -1, .done = batch_written};
    ws->writing = batch;
    crt_ws_conn_acquire(ws);
    crt_stream_write(ws->io, &batch->write);
}

/* The next piece of a long payload, behind what is in the batch already. */
static void mask_piece(crt_ws_batch *batch) {
    crt_buf *bytes = &batch->bytes;
    size_t n = batch->rest.len < PIECE_BYTES ? batch->rest.len : PIECE_BYTES;
    crt_ws_mask(bytes->ptr + bytes->end, batch->rest.ptr, n, batch->mask, batch->offset);
    bytes->end += n;
    batch->offset += n;
    batch->rest = crt_bytes_of(batch->rest.ptr + n, batch->rest.len - n);
}

static void batch_written(crt_write *write, int status) {
    crt_ws_batch *batch = CRT_CONTAINER(write, crt_ws_batch, write);
    crt_websocket *ws = batch->ws;
    ws->writing = NULL;
    count_sent(ws, crt_buf_len(&batch->bytes));
    if (!status && batch->source && batch->rest.len > 0) {
        crt_buf_clear(&batch->bytes);
        mask_piece(batch);
        write_batch(ws, batch);
    } else {
        if (batch->source) {
            count_sent(ws, batch->rest.len);
        }
        complete(batch, status ? AWS_ERROR_HTTP_CONNECTION_CLOSED : 0);
        retire(ws, batch);
        crt_ws_send_pump(ws);
    }
    crt_ws_send_tell_room(ws);
    crt_ws_conn_unref(ws);
}

static crt_ws_batch *take_first(crt_websocket *ws) {
    pthread_mutex_lock(&ws->lock);
    crt_ws_batch *batch = ws->first;
    if (batch) {
        ws->first = batch->next;
        if (!ws->first) {
            ws->tail = &ws->first;
        }
    }
    pthread_mutex_unlock(&ws->lock);
    return batch;
}

static void fail_frame(crt_websocket *ws, crt_ws_batch *batch) {
    int code = batch->fail_code;
    complete(batch, code);
    crt_ws_batch_free(batch);
    if (code == AWS_ERROR_HTTP_CONNECTION_CLOSED) {
        return;
    }
    crt_ws_conn_fail(ws, code,
                     code == AWS_ERROR_INVALID_STATE ? "a frame was sent that does not fit the message under way"
                                                     : "a fragmented control frame was sent",
                     CRT_WS_CLOSE_NORMAL);
}

void crt_ws_send_pump(crt_websocket *ws) {
    while (!ws->writing && ws->io) {
        crt_ws_batch *batch = take_first(ws);
        if (!batch) {
            return;
        }
        if (batch->fail_code) {
            fail_frame(ws, batch);
            continue;
        }
        if (batch->source) {
            mask_piece(batch);
        }
        write_batch(ws, batch); /* also without bytes: completions never come inside a call */
    }
}

void crt_ws_send_drop(crt_websocket *ws, int code) {
    for (crt_ws_batch *batch = take_first(ws); batch; batch = take_first(ws)) {
        count_sent(ws, crt_buf_len(&batch->bytes) + (batch->source ? batch->rest.len : 0));
        complete(batch, batch->fail_code ? batch->fail_code : code);
        crt_ws_batch_free(batch);
    }
}
