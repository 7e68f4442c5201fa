/*
 * The loop gathers, Python takes. Nothing here needs a lock: a batch belongs to the loop until it is flushed at
 * the end of the turn, and to whoever delivers it from then on.
 */
#include "exchange.h"

/* ---- heads: number of headers, then lengths and text of each ---- */

typedef struct packed_lengths {
    uint32_t name;
    uint32_t value;
} packed_lengths;

static int pack_head(crt_buf *out, const crt_http_header *headers, size_t count) {
    size_t room = sizeof(count);
    for (size_t i = 0; i < count; i++) {
        room += sizeof(packed_lengths) + headers[i].name.len + headers[i].value.len;
    }
    int code = crt_buf_reserve(out, room);
    if (code) {
        return code;
    }
    crt_buf_append(out, &count, sizeof(count));
    for (size_t i = 0; i < count; i++) {
        packed_lengths lengths = {(uint32_t)headers[i].name.len, (uint32_t)headers[i].value.len};
        crt_buf_append(out, &lengths, sizeof(lengths));
        crt_buf_append(out, headers[i].name.ptr, headers[i].name.len);
        crt_buf_append(out, headers[i].value.ptr, headers[i].value.len);
    }
    return 0;
}

PyObject *awscrt_head_list(const crt_buf *head) {
    enum { INLINE = 32 };
    crt_http_header inline_headers[INLINE] = {{{NULL, 0}, {NULL, 0}}};
    crt_http_header *headers = inline_headers;
    const uint8_t *at = crt_buf_data(head);
    size_t count;
    memcpy(&count, at, sizeof(count));
    at += sizeof(count);
    if (count > INLINE && !(headers = crt_malloc(count * sizeof(*headers)))) {
        return PyErr_NoMemory();
    }
    for (size_t i = 0; i < count; i++) {
        packed_lengths lengths;
        memcpy(&lengths, at, sizeof(lengths));
        at += sizeof(lengths);
        headers[i].name = crt_bytes_of(at, lengths.name);
        headers[i].value = crt_bytes_of(at + lengths.name, lengths.value);
        at += lengths.name + lengths.value;
    }
    PyObject *list = awscrt_http_header_list(headers, count);
    if (headers != inline_headers) {
        crt_free(headers);
    }
    return list;
}

/* ---- UTF-8 (RFC 3629): what Python could not decode is refused before it gets there ---- */

static bool is_ascii(crt_bytes text) {
    uint8_t seen = 0;
    for (size_t i = 0; i < text.len; i++) {
        seen |= text.ptr[i];
    }
    return seen < 0x80;
}

/* Bytes of the well-formed sequence at p, 0 when there is none. */
static size_t utf8_sequence(const uint8_t *p, size_t left) {
    size_t n = p[0] < 0x80 ? 1 : p[0] < 0xC2 ? 0 : p[0] < 0xE0 ? 2 : p[0] < 0xF0 ? 3 : p[0] < 0xF5 ? 4 : 0;
    if (n > left) {
        return 0;
    }
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xC0) != 0x80) {
            return 0;
        }
    }
    bool overlong = (p[0] == 0xE0 && p[1] < 0xA0) || (p[0] == 0xF0 && p[1] < 0x90);
    bool surrogate = p[0] == 0xED && p[1] > 0x9F;
    bool too_high = p[0] == 0xF4 && p[1] > 0x8F;
    return overlong || surrogate || too_high ? 0 : n;
}

static bool is_utf8(crt_bytes text) {
    if (is_ascii(text)) {
        return true;
    }
    for (size_t i = 0; i < text.len;) {
        size_t n = utf8_sequence(text.ptr + i, text.len - i);
        if (!n) {
            return false;
        }
        i += n;
    }
    return true;
}

/* ---- batches ---- */

enum {
    FIRST_ROOM = 16 * 1024,
    MOST_ROOM = 256 * 1024,
};

static void exchange_release(awscrt_exchange *exchange) {
    if (!crt_ref_dec(&exchange->refs)) {
        return;
    }
    crt_buf_free(&exchange->landing);
    awscrt_mailbox_release(exchange->sink.mailbox);
    crt_free(exchange);
}

static void batch_free(awscrt_batch *batch) {
    awscrt_exchange *exchange = batch->exchange;
    crt_buf_free(&batch->head);
    crt_buf_free(&batch->body);
    if (batch != &exchange->first && batch != &exchange->last) {
        crt_free(batch);
    }
}

/* Delivered on the loop's own thread, the memory serves for the next turn: it is warm. */
static void give_back_body(awscrt_exchange *exchange, awscrt_batch *batch) {
    if (!exchange->sink.mailbox && !exchange->landing.ptr && !batch->is_last) {
        exchange->landing = batch->body;
        crt_buf_clear(&exchange->landing);
        memset(&batch->body, 0, sizeof(batch->body));
    }
}

/* GIL held. */
static void deliver(awscrt_event *event) {
    awscrt_batch *batch = CRT_CONTAINER(event, awscrt_batch, event);
    awscrt_exchange *exchange = batch->exchange;
    PyObject *stream = exchange->stream;
    bool is_last = batch->is_last;
    exchange->take(stream, batch);
    give_back_body(exchange, batch);
    batch_free(batch);
    if (is_last) {
        crt_http_stream_release(exchange->native);
        exchange->native = NULL;
        exchange->stream = NULL;
        exchange_release(exchange);
        Py_DECREF(stream);
    }
}

/* The interpreter is going away: the stream is left alone, and so is the exchange that belongs to it. */
static void discard(awscrt_event *event) {
    batch_free(CRT_CONTAINER(event, awscrt_batch, event));
}

/* ---- the loop's side ---- */

static void flush(crt_task *task, int status) {
    awscrt_exchange *exchange = CRT_CONTAINER(task, awscrt_exchange, flush);
    awscrt_batch *batch = exchange->open;
    exchange->open = NULL;
    if (crt_buf_len(&exchange->landing) > 0) {
        batch->body = exchange->landing;
        memset(&exchange->landing, 0, sizeof(exchange->landing));
        if (batch->body.end == batch->body.cap && exchange->room < MOST_ROOM) {
            exchange->room *= 2;
        }
    }
    awscrt_deliver(&exchange->sink, &batch->event);
}

static void begin_batch(awscrt_exchange *exchange, awscrt_batch *batch) {
    memset(batch, 0, sizeof(*batch));
    batch->event.deliver = deliver;
    batch->event.discard = discard;
    batch->exchange = exchange;
    exchange->open = batch;
    crt_loop_defer(exchange->sink.loop, &exchange->flush);
}

/* The batch of this turn; NULL when there is no memory. */
static awscrt_batch *open_batch(awscrt_exchange *exchange) {
    if (!exchange->open) {
        awscrt_batch *batch = exchange->first_used ? crt_malloc(sizeof(*batch)) : &exchange->first;
        if (!batch) {
            return NULL;
        }
        exchange->first_used = true;
        begin_batch(exchange, batch);
    }
    return exchange->open;
}

static int on_head(void *user, int status, const crt_http_header *headers, size_t count) {
    awscrt_exchange *exchange = user;
    if (!exchange->wants_head) {
        return 0;
    }
    for (size_t i = 0; i < count; i++) {
        if (!is_utf8(headers[i].name) || !is_utf8(headers[i].value)) {
            exchange->head_is_bad = true;
            return AWS_ERROR_UNKNOWN;
        }
    }
    awscrt_batch *batch = open_batch(exchange);
    if (!batch) {
        return AWS_ERROR_OOM;
    }
    batch->has_head = true;
    batch->status = status;
    return pack_head(&batch->head, headers, count);
}

static void on_space(void *user, uint64_t want, crt_span *space) {
    awscrt_exchange *exchange = user;
    crt_buf *landing = &exchange->landing;
    size_t room = want < exchange->room ? (size_t)want : exchange->room;
    if (landing->cap == landing->end && crt_buf_reserve(landing, room)) {
        crt_http_stream_cancel(exchange->native, AWS_ERROR_OOM);
        return; /* no space: paused, until the cancellation takes effect */
    }
    space->ptr = landing->ptr + landing->end;
    space->len = landing->cap - landing->end;
    if (space->len > want) {
        space->len = (size_t)want;
    }
}

static int on_body(void *user, crt_bytes data) {
    awscrt_exchange *exchange = user;
    crt_buf *landing = &exchange->landing;
    if (!open_batch(exchange)) {
        return AWS_ERROR_OOM;
    }
    if (landing->ptr && data.ptr == landing->ptr + landing->end) {
        landing->end += data.len;
        return 0;
    }
    return crt_buf_append(landing, data.ptr, data.len);
}

static int ignore_body(void *user, crt_bytes data) {
    return 0;
}

static void on_complete(void *user, const crt_fault *fault, int status) {
    awscrt_exchange *exchange = user;
    if (!exchange->open) {
        begin_batch(exchange, &exchange->last);
    }
    exchange->open->is_last = true;
    exchange->open->status = status;
    exchange->fault = *fault;
    if (exchange->head_is_bad) {
        crt_fail(&exchange->fault, AWS_ERROR_UNKNOWN, "a response header is not UTF-8");
    }
}

static const crt_http_stream_handler with_body = {on_head, on_space, on_body, on_complete};
static const crt_http_stream_handler without_body = {on_head, NULL, ignore_body, on_complete};

/* ---- Python's side ---- */

awscrt_exchange *awscrt_exchange_new(const awscrt_exchange_options *options) {
    awscrt_exchange *exchange = crt_malloc(sizeof(*exchange));
    if (!exchange) {
        PyErr_NoMemory();
        return NULL;
    }
    memset(exchange, 0, offsetof(awscrt_exchange, fault));
    crt_ref_init(&exchange->refs);
    exchange->generation = crt_fork_generation();
    exchange->take = options->take;
    exchange->wants_head = options->wants_head;
    exchange->room = FIRST_ROOM;
    exchange->flush.run = flush;
    exchange->sink.loop = crt_http_conn_loop(options->conn);
    int code = crt_http_stream_new(options->conn, options->message, options->wants_body ? &with_body : &without_body,
                                   exchange, &exchange->native);
    if (code) {
        crt_free(exchange);
        awscrt_raise(code, NULL);
        return NULL;
    }
    if (options->mailbox) {
        exchange->sink.mailbox = options->mailbox;
        awscrt_mailbox_acquire(options->mailbox);
    }
    return exchange;
}

int awscrt_exchange_activate(awscrt_exchange *exchange, PyObject *stream) {
    if (exchange->activated) {
        return 0;
    }
    /* Before the call: the runtime may complete the stream at once. */
    exchange->activated = true;
    exchange->stream = Py_NewRef(stream);
    crt_ref_inc(&exchange->refs);
    int code = crt_http_stream_activate(exchange->native);
    if (!code) {
        return 0;
    }
    exchange->activated = false;
    exchange->stream = NULL;
    exchange_release(exchange);
    Py_DECREF(stream);
    awscrt_raise(code, NULL);
    return -1;
}

void awscrt_exchange_drop(awscrt_exchange *exchange) {
    if (exchange->generation != crt_fork_generation()) {
        return; /* the parent's: its memory here is shared with threads that do not exist */
    }
    if (exchange->native) { /* never activated */
        crt_http_stream_release(exchange->native);
    }
    exchange_release(exchange);
}
