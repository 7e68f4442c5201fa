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

int awscrt_head_pack(crt_buf *out, const crt_http_header *headers, size_t count) {
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

/* ---- memory for bodies: what was just used is warm and mapped, so it goes back to the loop ---- */

enum {
    FIRST_ROOM = 16 * 1024,
    MOST_ROOM = 256 * 1024,
    SPARES_MAX = 8,
};

/* Stands at the start of memory that waits to be used again. */
struct awscrt_spare {
    awscrt_spare *next;
    size_t cap;
    size_t depth;
};

/* Any thread. */
static void spare_put(awscrt_exchange *exchange, crt_buf *body) {
    awscrt_spare *spare = (awscrt_spare *)(void *)body->ptr;
    if (body->cap < FIRST_ROOM) {
        return;
    }
    awscrt_spare *head = __atomic_load_n(&exchange->returned, __ATOMIC_ACQUIRE);
    if (head && head->depth >= SPARES_MAX) {
        return; /* the batch frees it */
    }
    spare->cap = body->cap;
    memset(body, 0, sizeof(*body));
    do {
        spare->next = head;
        spare->depth = head ? head->depth + 1 : 1;
    } while (!__atomic_compare_exchange_n(&exchange->returned, &head, spare, true, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE));
}

/* The loop's thread: fills an empty landing from what came back. */
static void spare_take(awscrt_exchange *exchange) {
    if (exchange->landing.ptr) {
        return;
    }
    if (!exchange->spares) {
        exchange->spares = __atomic_exchange_n(&exchange->returned, NULL, __ATOMIC_ACQ_REL);
    }
    awscrt_spare *spare = exchange->spares;
    if (spare) {
        exchange->spares = spare->next;
        exchange->landing.cap = spare->cap;
        exchange->landing.ptr = (uint8_t *)spare;
    }
}

static void spares_free(awscrt_spare *spare) {
    while (spare) {
        awscrt_spare *next = spare->next;
        crt_free(spare);
        spare = next;
    }
}

/* ---- batches ---- */

static void exchange_release(awscrt_exchange *exchange) {
    if (!crt_ref_dec(&exchange->refs)) {
        return;
    }
    crt_buf_free(&exchange->landing);
    spares_free(exchange->spares);
    spares_free(exchange->returned);
    awscrt_mailbox_release(exchange->sink.mailbox);
    crt_free(exchange);
}

static void batch_free(awscrt_batch *batch) {
    awscrt_exchange *exchange = batch->exchange;
    while (batch->notes) {
        awscrt_note *note = batch->notes;
        batch->notes = note->next;
        crt_buf_free(&note->head);
        crt_free(note);
    }
    crt_buf_free(&batch->head);
    crt_buf_free(&batch->body);
    if (batch != &exchange->first && batch != &exchange->last) {
        crt_free(batch);
    }
}

/* ---- an asyncio loop that is busy: what is on its way to it is bounded ---- */

enum {
    TRANSIT_MAX = 1024 * 1024,
    TRANSIT_LOW = TRANSIT_MAX / 2,
};

/* The loop's thread. The stream is still there: its end is known here first. */
static void resume_reading(crt_task *task, int status) {
    awscrt_exchange *exchange = CRT_CONTAINER(task, awscrt_exchange, resume);
    if (!exchange->ended) {
        crt_http_stream_resume(exchange->native);
    }
    exchange_release(exchange);
}

/* Who sets `held` back to 0 is the one to go on reading, or to have it done. */
static bool leave_held(awscrt_exchange *exchange) {
    return __atomic_load_n(&exchange->in_transit, __ATOMIC_SEQ_CST) <= TRANSIT_LOW &&
           __atomic_exchange_n(&exchange->held, 0, __ATOMIC_SEQ_CST);
}

/* The loop's thread: true when reading must wait. */
static bool must_hold(awscrt_exchange *exchange) {
    if (!exchange->sink.mailbox || __atomic_load_n(&exchange->in_transit, __ATOMIC_RELAXED) < TRANSIT_MAX) {
        return false;
    }
    __atomic_store_n(&exchange->held, 1, __ATOMIC_SEQ_CST);
    return !leave_held(exchange); /* delivered meanwhile */
}

/* The asyncio loop's thread. */
static void arrived(awscrt_exchange *exchange, size_t len) {
    if (!exchange->sink.mailbox || len == 0) {
        return;
    }
    __atomic_sub_fetch(&exchange->in_transit, len, __ATOMIC_SEQ_CST);
    if (leave_held(exchange)) {
        crt_ref_inc(&exchange->refs);
        crt_loop_post(exchange->sink.loop, &exchange->resume);
    }
}

/* GIL held. */
static void deliver(awscrt_event *event) {
    awscrt_batch *batch = CRT_CONTAINER(event, awscrt_batch, event);
    awscrt_exchange *exchange = batch->exchange;
    PyObject *stream = exchange->stream;
    bool is_last = batch->is_last;
    size_t len = crt_buf_len(&batch->body);
    exchange->take(stream, batch);
    if (!is_last) {
        spare_put(exchange, &batch->body);
    }
    batch_free(batch);
    arrived(exchange, len);
    if (is_last) {
        crt_http_stream_release(exchange->native);
        awscrt_target_free(exchange->target);
        exchange->native = NULL;
        exchange->target = NULL;
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

static void send_open_batch(awscrt_exchange *exchange) {
    awscrt_batch *batch = exchange->open;
    exchange->open = NULL;
    if (crt_buf_len(&exchange->landing) > 0) {
        batch->body = exchange->landing;
        memset(&exchange->landing, 0, sizeof(exchange->landing));
        if (exchange->sink.mailbox) {
            __atomic_add_fetch(&exchange->in_transit, crt_buf_len(&batch->body), __ATOMIC_SEQ_CST);
        }
    }
    awscrt_deliver(&exchange->sink, &batch->event);
}

static void flush(crt_task *task, int status) {
    awscrt_exchange *exchange = CRT_CONTAINER(task, awscrt_exchange, flush);
    exchange->flush_queued = false;
    if (exchange->open) {
        send_open_batch(exchange);
    }
}

static void begin_batch(awscrt_exchange *exchange, awscrt_batch *batch) {
    memset(batch, 0, sizeof(*batch));
    batch->event.deliver = deliver;
    batch->event.discard = discard;
    batch->exchange = exchange;
    exchange->open = batch;
    if (!exchange->flush_queued) {
        exchange->flush_queued = true;
        crt_loop_defer(exchange->sink.loop, &exchange->flush);
    }
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

static bool are_utf8(const crt_http_header *headers, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (!is_utf8(headers[i].name) || !is_utf8(headers[i].value)) {
            return false;
        }
    }
    return true;
}

static int on_head(void *user, int status, const crt_http_header *headers, size_t count) {
    awscrt_exchange *exchange = user;
    if (!exchange->wants_head) {
        return 0;
    }
    if (!are_utf8(headers, count)) {
        exchange->head_is_bad = true;
        return AWS_ERROR_UNKNOWN;
    }
    awscrt_batch *batch = open_batch(exchange);
    if (!batch) {
        return AWS_ERROR_OOM;
    }
    batch->has_head = true;
    batch->status = status;
    return awscrt_head_pack(&batch->head, headers, count);
}

static int add_note(awscrt_batch *batch, int status, const crt_http_header *headers, size_t count) {
    awscrt_note *note = crt_calloc(1, sizeof(*note));
    if (!note) {
        return AWS_ERROR_OOM;
    }
    note->status = status;
    awscrt_note **end = &batch->notes;
    while (*end) {
        end = &(*end)->next;
    }
    *end = note;
    return awscrt_head_pack(&note->head, headers, count);
}

static int on_interim(void *user, int status, const crt_http_header *headers, size_t count) {
    awscrt_exchange *exchange = user;
    if (!exchange->wants_notes) {
        return 0;
    }
    if (!are_utf8(headers, count)) {
        exchange->head_is_bad = true;
        return AWS_ERROR_UNKNOWN;
    }
    awscrt_batch *batch = open_batch(exchange);
    return batch ? add_note(batch, status, headers, count) : AWS_ERROR_OOM;
}

static int on_trailers(void *user, const crt_http_header *headers, size_t count) {
    return on_interim(user, 0, headers, count);
}

/* Room for body bytes; a landing that is full goes off, or grows with the flow while it is small. */
static int make_room(awscrt_exchange *exchange, uint64_t want) {
    crt_buf *landing = &exchange->landing;
    if (landing->ptr && landing->end == landing->cap) {
        if (exchange->room < MOST_ROOM) {
            exchange->room *= 2;
        }
        if (landing->end >= MOST_ROOM) {
            send_open_batch(exchange);
        }
    }
    spare_take(exchange);
    if (landing->end < landing->cap) {
        return 0;
    }
    return crt_buf_reserve(landing, want < exchange->room ? (size_t)want : exchange->room);
}

static void on_space(void *user, uint64_t want, crt_span *space) {
    awscrt_exchange *exchange = user;
    crt_buf *landing = &exchange->landing;
    if (exchange->target && awscrt_target_space(exchange->target, space)) {
        return;
    }
    if (must_hold(exchange)) {
        return; /* no space: paused */
    }
    if (make_room(exchange, want)) {
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
    if (exchange->target) {
        return awscrt_target_take(exchange->target, data); /* a landing is used again and again */
    }
    if (!open_batch(exchange)) {
        return AWS_ERROR_OOM;
    }
    if (landing->ptr && data.ptr == landing->ptr + landing->end) {
        landing->end += data.len;
        return 0;
    }
    spare_take(exchange);
    return crt_buf_append(landing, data.ptr, data.len);
}

static int ignore_body(void *user, crt_bytes data) {
    return 0;
}

/* Without memory for a batch it is told with the last one, which has its own. */
static void on_remote_end(void *user) {
    awscrt_exchange *exchange = user;
    exchange->remote_ended = true;
    awscrt_batch *batch = open_batch(exchange);
    if (batch) {
        batch->remote_ended = true;
    }
}

static void on_complete(void *user, const crt_fault *fault, int status) {
    awscrt_exchange *exchange = user;
    exchange->ended = true;
    if (!exchange->open) {
        begin_batch(exchange, &exchange->last);
    }
    exchange->open->is_last = true;
    exchange->open->remote_ended = exchange->remote_ended;
    exchange->open->status = status;
    exchange->fault = *fault;
    if (exchange->head_is_bad) {
        crt_fail(&exchange->fault, AWS_ERROR_UNKNOWN, "a response header is not UTF-8");
    }
}

static const crt_http_stream_handler with_body = {on_head,       on_space,   on_body,    on_complete,
                                                  on_remote_end, on_interim, on_trailers};
static const crt_http_stream_handler without_body = {on_head,       NULL,       ignore_body, on_complete,
                                                     on_remote_end, on_interim, on_trailers};

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
    exchange->wants_notes = options->wants_notes;
    exchange->room = FIRST_ROOM;
    exchange->flush.run = flush;
    exchange->resume.run = resume_reading;
    exchange->sink.loop = crt_http_conn_loop(options->conn);
    const bool wants_body = options->wants_body || options->target;
    int code = crt_http_stream_new_with(options->conn, options->message, wants_body ? &with_body : &without_body,
                                        exchange, options->stream, &exchange->native);
    if (code) {
        crt_free(exchange);
        awscrt_raise(code, code == AWS_ERROR_HTTP_CONNECTION_CLOSED ? options->where : NULL);
        return NULL;
    }
    exchange->target = options->target;
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
        awscrt_target_free(exchange->target);
    }
    exchange_release(exchange);
}
