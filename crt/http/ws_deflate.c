#include "ws_deflate.h"

#include "ascii.h"
#include "crt/memory.h"

enum {
    WINDOW_BITS_MIN = 8,
    WINDOW_BITS_MAX = 15,
    DEFLATE_BITS_MIN = 9, /* zlib has no raw deflate with a window of 256 bytes */
    MEMORY_LEVEL = 8,
    ROOM = 4096,
};

/* What a flushed block ends with, and messages leave out (RFC 7692 section 7.2.1). */
static const uint8_t flush_tail[4] = {0x00, 0x00, 0xff, 0xff};

/* ---- offer and answer ---- */

int crt_ws_deflate_offer(const crt_ws_deflate_options *options, crt_buf *to) {
    int status = crt_buf_printf(to, "permessage-deflate");
    if (!status && options->server_no_context_takeover) {
        status = crt_buf_printf(to, "; server_no_context_takeover");
    }
    if (!status && options->client_no_context_takeover) {
        status = crt_buf_printf(to, "; client_no_context_takeover");
    }
    if (!status && options->server_max_window_bits < WINDOW_BITS_MAX) {
        status = crt_buf_printf(to, "; server_max_window_bits=%d", options->server_max_window_bits);
    }
    if (!status && options->client_max_window_bits < WINDOW_BITS_MAX) {
        return crt_buf_printf(to, "; client_max_window_bits=%d", options->client_max_window_bits);
    }
    return status ? status : crt_buf_printf(to, "; client_max_window_bits");
}

/* The text up to `mark`, trimmed; `rest` continues behind it. */
static crt_bytes cut(crt_bytes *rest, char mark) {
    const uint8_t *at = rest->len ? memchr(rest->ptr, mark, rest->len) : NULL;
    size_t len = at ? (size_t)(at - rest->ptr) : rest->len;
    crt_bytes piece = crt_http_trim(crt_bytes_of(rest->ptr, len));
    *rest = at ? crt_bytes_of(at + 1, rest->len - len - 1) : crt_bytes_of(NULL, 0);
    return piece;
}

static bool read_bits(crt_bytes value, int *bits) {
    uint64_t number;
    if (value.len >= 2 && value.ptr[0] == '"' && value.ptr[value.len - 1] == '"') {
        value = crt_bytes_of(value.ptr + 1, value.len - 2);
    }
    if (!crt_http_parse_decimal(value, &number) || value.ptr[0] == '0' || number < WINDOW_BITS_MIN ||
        number > WINDOW_BITS_MAX) {
        return false;
    }
    *bits = (int)number;
    return true;
}

/* One parameter of the answer; `seen` has a bit for each that was there. */
static bool take_parameter(crt_ws_deflate *d, const crt_ws_deflate_options *options, crt_bytes parameter,
                           unsigned *seen) {
    static const char *const names[] = {"server_no_context_takeover", "client_no_context_takeover",
                                        "server_max_window_bits", "client_max_window_bits"};
    bool has_value = parameter.len && memchr(parameter.ptr, '=', parameter.len);
    crt_bytes value = parameter, name = cut(&value, '=');
    value = crt_http_trim(value);
    unsigned which = 0;
    while (which < 4 && !crt_http_ieq_str(name, names[which])) {
        which++;
    }
    if (which == 4 || (*seen & 1u << which) || has_value != (which >= 2)) {
        return false;
    }
    *seen |= 1u << which;
    switch (which) {
    case 0:
        d->reset_inflate = true;
        return true;
    case 1:
        d->reset_deflate = true;
        return true;
    case 2:
        return read_bits(value, &d->inflate_bits) && d->inflate_bits <= options->server_max_window_bits;
    default:
        return read_bits(value, &d->deflate_bits) && d->deflate_bits <= options->client_max_window_bits;
    }
}

const char *crt_ws_deflate_accept(crt_ws_deflate *d, const crt_ws_deflate_options *options, crt_bytes value) {
    unsigned seen = 0;
    memset(d, 0, sizeof(*d));
    if (value.len == 0) {
        return NULL;
    }
    d->level = options->level ? options->level : Z_DEFAULT_COMPRESSION;
    d->memory_level = options->memory_level ? options->memory_level : MEMORY_LEVEL;
    d->reset_deflate = options->client_no_context_takeover;
    d->inflate_bits = WINDOW_BITS_MAX;
    d->deflate_bits = options->client_max_window_bits;
    if (!crt_http_ieq_str(cut(&value, ';'), "permessage-deflate")) {
        return "the server uses an extension nobody offered";
    }
    while (value.ptr) {
        if (!take_parameter(d, options, cut(&value, ';'), &seen)) {
            return "the server's parameters of permessage-deflate do not fit the offer";
        }
    }
    /* RFC 7692 sections 7.1.1.1 and 7.1.2.1: what is demanded of the server must be granted. */
    if ((options->server_no_context_takeover && !(seen & 1)) ||
        (options->server_max_window_bits < WINDOW_BITS_MAX && !(seen & 4))) {
        return "the server's parameters of permessage-deflate do not fit the offer";
    }
    d->agreed = true;
    return NULL;
}

/* ---- zlib ---- */

static void *allocate(void *unused, unsigned count, unsigned size) {
    return crt_calloc(count, size);
}

static void release(void *unused, void *memory) {
    crt_free(memory);
}

void crt_ws_deflate_free(crt_ws_deflate *d) {
    if (d->inflating) {
        inflateEnd(&d->in);
    }
    if (d->deflating) {
        deflateEnd(&d->out);
    }
    d->inflating = d->deflating = false;
}

bool crt_ws_deflate_can_send(const crt_ws_deflate *d) {
    return d->agreed && d->deflate_bits >= DEFLATE_BITS_MIN;
}

static int begin_deflate(crt_ws_deflate *d) {
    if (d->deflating) {
        return 0;
    }
    d->out.zalloc = allocate;
    d->out.zfree = release;
    if (deflateInit2(&d->out, d->level, Z_DEFLATED, -d->deflate_bits, d->memory_level, Z_DEFAULT_STRATEGY) != Z_OK) {
        return AWS_ERROR_OOM;
    }
    d->deflating = true;
    return 0;
}

/* A piece of at most UINT_MAX bytes. */
static int deflate_piece(z_stream *z, crt_bytes piece, int flush, crt_buf *to) {
    z->next_in = (Bytef *)(uintptr_t)piece.ptr;
    z->avail_in = (uInt)piece.len;
    do {
        if (crt_buf_reserve(to, ROOM)) {
            return AWS_ERROR_OOM;
        }
        size_t room = to->cap - to->end;
        room = room < UINT32_MAX ? room : UINT32_MAX;
        z->next_out = to->ptr + to->end;
        z->avail_out = (uInt)room;
        deflate(z, flush);
        to->end += room - z->avail_out;
    } while (z->avail_out == 0);
    return 0;
}

int crt_ws_deflate_send(crt_ws_deflate *d, crt_bytes fragment, bool fin, crt_buf *to) {
    int status = begin_deflate(d);
    while (!status && fragment.len > UINT32_MAX) {
        status = deflate_piece(&d->out, crt_bytes_of(fragment.ptr, 1u << 30), Z_NO_FLUSH, to);
        fragment = crt_bytes_of(fragment.ptr + (1u << 30), fragment.len - (1u << 30));
    }
    status = status ? status : deflate_piece(&d->out, fragment, Z_SYNC_FLUSH, to);
    if (status || !fin) {
        return status;
    }
    if (crt_buf_len(to) >= sizeof(flush_tail) &&
        memcmp(to->ptr + to->end - sizeof(flush_tail), flush_tail, sizeof(flush_tail)) == 0) {
        to->end -= sizeof(flush_tail);
    }
    if (crt_buf_len(to) == 0) { /* RFC 7692 section 7.2.3.6: an empty message is one empty block */
        status = crt_buf_append(to, "", 1);
    }
    if (d->reset_deflate) {
        deflateReset(&d->out);
    }
    return status;
}

static bool begin_inflate(crt_ws_deflate *d) {
    if (d->inflating) {
        return true;
    }
    d->in.zalloc = allocate;
    d->in.zfree = release;
    d->inflating = inflateInit2(&d->in, -d->inflate_bits) == Z_OK;
    return d->inflating;
}

/* `to` may grow by one byte more than allowed, which tells a full buffer from one that is too small. */
static enum crt_ws_inflated inflate_piece(z_stream *z, crt_bytes piece, uint64_t limit, crt_buf *to) {
    z->next_in = (Bytef *)(uintptr_t)piece.ptr;
    z->avail_in = (uInt)piece.len;
    do {
        if (crt_buf_reserve(to, ROOM)) {
            return CRT_WS_INFLATE_OOM;
        }
        uint64_t allowed = limit - crt_buf_len(to), room = to->cap - to->end;
        room = room <= allowed ? room : allowed + 1;
        room = room < UINT32_MAX ? room : UINT32_MAX;
        z->next_out = to->ptr + to->end;
        z->avail_out = (uInt)room;
        int result = inflate(z, Z_SYNC_FLUSH);
        to->end += (size_t)(room - z->avail_out);
        if (crt_buf_len(to) > limit) {
            return CRT_WS_INFLATE_TOO_BIG;
        }
        if (result == Z_STREAM_END) { /* a final block; the next begins a new stream (RFC 7692 section 7.2.3.5) */
            crt_bytes rest = crt_bytes_of(z->next_in, z->avail_in);
            inflateReset(z);
            z->next_in = (Bytef *)(uintptr_t)rest.ptr;
            z->avail_in = (uInt)rest.len;
        } else if (result != Z_OK && result != Z_BUF_ERROR) {
            return result == Z_MEM_ERROR ? CRT_WS_INFLATE_OOM : CRT_WS_INFLATE_BROKEN;
        }
    } while (z->avail_in > 0 || z->avail_out == 0);
    return CRT_WS_INFLATED;
}

enum crt_ws_inflated crt_ws_deflate_receive(crt_ws_deflate *d, crt_bytes piece, bool fin, uint64_t limit,
                                            crt_buf *to) {
    if (!begin_inflate(d)) {
        return CRT_WS_INFLATE_OOM;
    }
    enum crt_ws_inflated result = inflate_piece(&d->in, piece, limit, to);
    if (result != CRT_WS_INFLATED || !fin) {
        return result;
    }
    result = inflate_piece(&d->in, crt_bytes_of(flush_tail, sizeof(flush_tail)), limit, to);
    if (d->reset_inflate) {
        inflateReset(&d->in);
    }
    return result;
}
