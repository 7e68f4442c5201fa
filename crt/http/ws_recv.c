/*
 * Receiving: bytes are read into blocks, which are handed on with the pieces that lie in them.
 */
#include "crt/memory.h"
#include "ws_conn.h"

enum {
    BLOCK_BYTES = 256 * 1024,
    READ_MIN = 8 * 1024, /* less room in a block is not worth a system call */
};

/* ---- blocks ---- */

static crt_ws_block *block_new(size_t capacity) {
    crt_ws_block *block = crt_malloc(sizeof(*block));
    uint8_t *data = block ? crt_malloc(capacity) : NULL;
    if (!data) {
        crt_free(block);
        return NULL;
    }
    crt_ref_init(&block->refs);
    block->data = data;
    block->capacity = capacity;
    block->end = 0;
    return block;
}

void crt_ws_block_release(crt_ws_block *block) {
    if (block && crt_ref_dec(&block->refs)) {
        crt_free(block->data);
        crt_free(block);
    }
}

static size_t unread(const crt_websocket *ws) {
    return ws->block ? ws->block->end - ws->start : 0;
}

static crt_bytes view(const crt_websocket *ws) {
    return ws->block ? crt_bytes_of(ws->block->data + ws->start, unread(ws)) : crt_bytes_of(NULL, 0);
}

/* A block with room for `need` bytes from `start` on, `start` included; what is unread moves along. */
static int renew_block(crt_websocket *ws, size_t need) {
    size_t have = unread(ws);
    bool ours = ws->block && __atomic_load_n(&ws->block->refs.n, __ATOMIC_ACQUIRE) == 1; /* nobody keeps a view */
    if (ours && ws->block->capacity >= need) {
        memmove(ws->block->data, ws->block->data + ws->start, have);
    } else {
        crt_ws_block *fresh = block_new(need > BLOCK_BYTES ? need : BLOCK_BYTES);
        if (!fresh) {
            return AWS_ERROR_OOM;
        }
        if (have > 0) {
            memcpy(fresh->data, ws->block->data + ws->start, have);
        }
        crt_ws_block_release(ws->block);
        ws->block = fresh;
    }
    ws->start = 0;
    ws->block->end = have;
    return 0;
}

int crt_ws_recv_prefill(crt_websocket *ws, crt_bytes rest) {
    if (rest.len == 0) {
        return 0;
    }
    if (renew_block(ws, rest.len)) {
        return AWS_ERROR_OOM;
    }
    memcpy(ws->block->data, rest.ptr, rest.len);
    ws->block->end = rest.len;
    return 0;
}

/* ---- pieces out ---- */

static bool by_frame_blocked(const crt_websocket *ws) {
    return ws->manual_window && ws->window == 0 && !crt_ws_decoder_at_end(&ws->decoder);
}

static bool may_read(const crt_websocket *ws) {
    if (ws->peer_closed) {
        return true; /* for its end */
    }
    return !by_frame_blocked(ws) && (!ws->handler->may_read || ws->handler->may_read(ws->user));
}

static void hand_out(crt_websocket *ws, const crt_ws_piece *piece) {
    int status = ws->handler->on_piece(ws->user, piece);
    if (status) {
        crt_ws_conn_fail(ws, status, "the receiver failed", CRT_WS_CLOSE_NORMAL);
    }
}

static void fail_protocol(crt_websocket *ws) {
    crt_ws_conn_fail(ws, AWS_ERROR_HTTP_WEBSOCKET_PROTOCOL_ERROR, ws->decoder.detail,
                     ws->decoder.bad_text ? CRT_WS_CLOSE_INVALID_DATA : CRT_WS_CLOSE_PROTOCOL_ERROR);
}

static void keep_control(crt_websocket *ws, crt_bytes payload) {
    if (crt_ws_is_control(ws->decoder.opcode)) {
        memcpy(ws->control + ws->control_len, payload.ptr, payload.len);
        ws->control_len += payload.len;
    }
}

/* RFC 6455 sections 5.5.1 and 5.5.2. */
static void react_to_control(crt_websocket *ws) {
    if (ws->decoder.opcode == CRT_WS_CLOSE) {
        crt_ws_conn_peer_closed(ws);
    } else if (ws->decoder.opcode == CRT_WS_PING &&
               crt_ws_send_control(ws, CRT_WS_PONG, crt_bytes_of(ws->control, ws->control_len))) {
        crt_ws_conn_fail(ws, AWS_ERROR_OOM, "no memory to answer a PING", CRT_WS_CLOSE_NORMAL);
    }
}

/* ---- by frame ---- */

static void tell_frame(crt_websocket *ws, crt_bytes data, bool ends, int status) {
    const crt_ws_piece piece = {
        .opcode = ws->decoder.opcode,
        .fin = ws->decoder.fin,
        .begins = !ws->begun,
        .ends = ends,
        .status = status,
        .length = ws->decoder.length,
        .data = data,
        .block = data.len ? ws->block : NULL,
    };
    ws->begun = !ends;
    hand_out(ws, &piece);
}

void crt_ws_recv_end(crt_websocket *ws, int code) {
    if (ws->begun && !ws->messages) {
        ws->begun = false;
        const crt_ws_piece piece = {
            .opcode = ws->decoder.opcode,
            .fin = ws->decoder.fin,
            .ends = true,
            .status = code,
            .length = ws->decoder.length,
        };
        ws->handler->on_piece(ws->user, &piece);
    }
}

/* True when the frame is through and well. */
static bool end_frame(crt_websocket *ws, crt_bytes data) {
    crt_ws_event event = crt_ws_decoder_next(&ws->decoder, crt_bytes_of(NULL, 0), 0);
    bool good = event.kind == CRT_WS_FRAME_END;
    tell_frame(ws, data, good, 0);
    if (!good) {
        fail_protocol(ws);
    } else if (!ws->closing && crt_ws_is_control(ws->decoder.opcode)) {
        react_to_control(ws);
    }
    return good;
}

static bool take_frame_payload(crt_websocket *ws, crt_bytes payload) {
    keep_control(ws, payload);
    if (ws->manual_window && !crt_ws_is_control(ws->decoder.opcode)) {
        ws->window -= payload.len;
    }
    if (crt_ws_decoder_at_end(&ws->decoder)) {
        return end_frame(ws, payload);
    }
    tell_frame(ws, payload, false, 0);
    return true;
}

/* Rests of a frame come before its end is known, and its beginning with them. */
static bool begin_frame(crt_websocket *ws) {
    ws->control_len = 0;
    ws->begun = false;
    if (crt_ws_decoder_at_end(&ws->decoder)) {
        return end_frame(ws, crt_bytes_of(NULL, 0));
    }
    if (unread(ws) == 0 || by_frame_blocked(ws)) {
        tell_frame(ws, crt_bytes_of(NULL, 0), false, 0);
    }
    return true;
}

static void fail_frame(crt_websocket *ws, bool inside) {
    if (inside && !ws->begun) {
        tell_frame(ws, crt_bytes_of(NULL, 0), false, 0);
    }
    fail_protocol(ws);
}

static bool step_frame(crt_websocket *ws) {
    bool inside = crt_ws_decoder_in_frame(&ws->decoder);
    if (by_frame_blocked(ws)) {
        return false;
    }
    crt_ws_event event = crt_ws_decoder_next(&ws->decoder, view(ws), ws->manual_window ? ws->window : UINT64_MAX);
    ws->start += event.consumed;
    switch (event.kind) {
    case CRT_WS_FRAME:
        return begin_frame(ws);
    case CRT_WS_PAYLOAD:
        return take_frame_payload(ws, event.payload);
    case CRT_WS_ERROR:
        fail_frame(ws, inside);
        return false;
    default:
        return false;
    }
}

/* ---- by message ---- */

static void tell_message(crt_websocket *ws, int opcode, crt_bytes data, crt_ws_block *block) {
    const crt_ws_piece piece = {
        .opcode = opcode,
        .fin = true,
        .begins = true,
        .ends = true,
        .length = data.len,
        .data = data,
        .block = block,
    };
    hand_out(ws, &piece);
}

/* In one frame and as it is: it can be handed on from where it lies. */
static bool is_whole(const crt_websocket *ws) {
    const crt_ws_decoder *d = &ws->decoder;
    return d->fin && d->opcode != CRT_WS_CONTINUATION && !d->compressed;
}

static bool fail_too_big(crt_websocket *ws) {
    crt_ws_conn_fail(ws, AWS_ERROR_HTTP_WEBSOCKET_PROTOCOL_ERROR, "a message is longer than allowed",
                     CRT_WS_CLOSE_TOO_BIG);
    return false;
}

static bool fail_text(crt_websocket *ws) {
    crt_ws_conn_fail(ws, AWS_ERROR_HTTP_WEBSOCKET_PROTOCOL_ERROR, "a text message is not UTF-8",
                     CRT_WS_CLOSE_INVALID_DATA);
    return false;
}

static bool begin_message_frame(crt_websocket *ws) {
    const crt_ws_decoder *d = &ws->decoder;
    ws->control_len = 0;
    if (crt_ws_is_control(d->opcode)) {
        return true;
    }
    if (d->opcode != CRT_WS_CONTINUATION) {
        crt_buf_clear(&ws->assembly);
        memset(&ws->text, 0, sizeof(ws->text));
        ws->text_checked = 0;
    }
    bool too_big = !d->compressed && d->length > ws->max_message - crt_buf_len(&ws->assembly);
    return too_big ? fail_too_big(ws) : true;
}

static bool check_inflated_text(crt_websocket *ws, bool last) {
    if (ws->decoder.message != CRT_WS_TEXT) {
        return true;
    }
    crt_bytes all = crt_buf_view(&ws->assembly);
    crt_bytes fresh = crt_bytes_of(all.ptr + ws->text_checked, all.len - ws->text_checked);
    ws->text_checked = all.len;
    if ((fresh.len > 0 && !crt_utf8_feed(&ws->text, fresh)) || (last && !crt_utf8_ends_well(&ws->text))) {
        return fail_text(ws);
    }
    return true;
}

static bool inflate_piece(crt_websocket *ws, crt_bytes payload, bool last) {
    switch (crt_ws_deflate_receive(&ws->deflate, payload, last, ws->max_message, &ws->assembly)) {
    case CRT_WS_INFLATED:
        return check_inflated_text(ws, last);
    case CRT_WS_INFLATE_TOO_BIG:
        return fail_too_big(ws);
    case CRT_WS_INFLATE_OOM:
        crt_ws_conn_fail(ws, AWS_ERROR_OOM, "no memory to decompress", CRT_WS_CLOSE_NORMAL);
        return false;
    default:
        crt_ws_conn_fail(ws, AWS_ERROR_HTTP_WEBSOCKET_PROTOCOL_ERROR, "compressed data is broken",
                         CRT_WS_CLOSE_INVALID_DATA);
        return false;
    }
}

static bool assemble(crt_websocket *ws, crt_bytes payload) {
    crt_buf *to = &ws->assembly;
    if (ws->decoder.compressed) {
        return inflate_piece(ws, payload, false);
    }
    size_t room = to->cap - to->end;
    if (room >= payload.len || !crt_buf_reserve(to, payload.len > to->cap ? payload.len : to->cap)) {
        return crt_buf_append(to, payload.ptr, payload.len) == 0;
    }
    crt_ws_conn_fail(ws, AWS_ERROR_OOM, "no memory for a message", CRT_WS_CLOSE_NORMAL);
    return false;
}

/* The message moves out of the assembly, into a block of its own. */
static bool tell_assembled(crt_websocket *ws) {
    crt_buf *from = &ws->assembly;
    crt_ws_block *block = crt_malloc(sizeof(*block));
    if (!block) {
        crt_ws_conn_fail(ws, AWS_ERROR_OOM, "no memory for a message", CRT_WS_CLOSE_NORMAL);
        return false;
    }
    crt_ref_init(&block->refs);
    block->data = from->ptr;
    block->capacity = from->cap;
    block->end = from->end;
    crt_bytes data = crt_buf_view(from);
    memset(from, 0, sizeof(*from));
    tell_message(ws, ws->decoder.message, data, block);
    crt_ws_block_release(block);
    return true;
}

static bool end_message_frame(crt_websocket *ws, crt_bytes whole) {
    const crt_ws_decoder *d = &ws->decoder;
    if (crt_ws_is_control(d->opcode)) {
        tell_message(ws, d->opcode, crt_bytes_of(ws->control, ws->control_len), NULL);
        if (!ws->closing) {
            react_to_control(ws);
        }
        return true;
    }
    if (is_whole(ws)) {
        tell_message(ws, d->message, whole, ws->block);
        return true;
    }
    if (!d->fin) {
        return true;
    }
    return (!d->compressed || inflate_piece(ws, crt_bytes_of(NULL, 0), true)) && tell_assembled(ws);
}

/* The frame's end takes no input, and is taken at once: what is whole still lies there. */
static bool finish_message_frame(crt_websocket *ws, crt_bytes whole) {
    if (!crt_ws_decoder_at_end(&ws->decoder)) {
        return true;
    }
    crt_ws_event event = crt_ws_decoder_next(&ws->decoder, crt_bytes_of(NULL, 0), 0);
    if (event.kind != CRT_WS_FRAME_END) {
        fail_protocol(ws);
        return false;
    }
    return end_message_frame(ws, whole);
}

static bool take_message_payload(crt_websocket *ws, crt_bytes payload) {
    bool control = crt_ws_is_control(ws->decoder.opcode);
    keep_control(ws, payload);
    if (!control && !is_whole(ws) && !assemble(ws, payload)) {
        return false;
    }
    return finish_message_frame(ws, payload);
}

/* Payload of a whole message is only taken in one piece. */
static bool waits_for_whole(const crt_websocket *ws) {
    return crt_ws_decoder_in_frame(&ws->decoder) && !crt_ws_is_control(ws->decoder.opcode) && is_whole(ws) &&
           unread(ws) < ws->decoder.left;
}

static bool step_message(crt_websocket *ws) {
    if (waits_for_whole(ws)) {
        return false;
    }
    crt_ws_event event = crt_ws_decoder_next(&ws->decoder, view(ws), UINT64_MAX);
    ws->start += event.consumed;
    switch (event.kind) {
    case CRT_WS_FRAME:
        return begin_message_frame(ws) && finish_message_frame(ws, crt_bytes_of(NULL, 0));
    case CRT_WS_PAYLOAD:
        return take_message_payload(ws, event.payload);
    case CRT_WS_ERROR:
        fail_protocol(ws);
        return false;
    default:
        return false;
    }
}

/* ---- the stream below ---- */

void crt_ws_recv_run(crt_websocket *ws) {
    if (ws->receiving) {
        return;
    }
    ws->receiving = true;
    while (!ws->closing && !ws->peer_closed && may_read(ws) && (ws->messages ? step_message(ws) : step_frame(ws))) {
    }
    ws->receiving = false;
    if (ws->block && (ws->closing || ws->peer_closed)) {
        ws->start = ws->block->end; /* nothing behind a CLOSE is looked at */
    }
}

/* Bytes the block should have room for from `start` on. */
static size_t wanted_room(const crt_websocket *ws) {
    if (!ws->messages || !waits_for_whole(ws)) {
        return unread(ws) + READ_MIN;
    }
    /* A peer may announce more than it sends: memory follows what has come. */
    uint64_t most = 4 * (uint64_t)unread(ws) + BLOCK_BYTES;
    return (size_t)(ws->decoder.left < most ? ws->decoder.left : most) + READ_MIN;
}

void crt_ws_recv_space(crt_websocket *ws, crt_span *space) {
    *space = (crt_span){NULL, 0};
    if (ws->closing || !may_read(ws)) {
        return;
    }
    size_t need = wanted_room(ws);
    if (!ws->block || ws->block->capacity - ws->start < need) {
        if (renew_block(ws, need)) {
            crt_ws_conn_fail(ws, AWS_ERROR_OOM, "no memory to read into", CRT_WS_CLOSE_NORMAL);
            return;
        }
    }
    *space = (crt_span){ws->block->data + ws->block->end, ws->block->capacity - ws->block->end};
}

void crt_ws_recv_data(crt_websocket *ws, size_t n) {
    ws->block->end += n;
    crt_ws_recv_run(ws);
}
