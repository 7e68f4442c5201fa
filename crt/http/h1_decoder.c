#include "h1_decoder.h"

#include "ascii.h"
#include "crt/memory.h"

enum state {
    S_IDLE,
    S_HEAD,
    S_BODY_LENGTH,
    S_BODY_CLOSE,
    S_CHUNK_SIZE,
    S_CHUNK_DATA,
    S_CHUNK_END,
    S_TRAILERS,
    S_END,
    S_ERROR,
};

void crt_h1_decoder_init(crt_h1_decoder *d) {
    memset(d, 0, sizeof(*d));
}

void crt_h1_decoder_free(crt_h1_decoder *d) {
    crt_free(d->headers);
    d->headers = NULL;
}

void crt_h1_decoder_begin(crt_h1_decoder *d, enum crt_h1_request_kind request) {
    if (d->state == S_ERROR) {
        return;
    }
    d->state = S_HEAD;
    d->request = request;
    d->scanned = 0;
    d->line_start = 0;
    d->checked = 0;
    d->status = 0;
    d->header_count = 0;
    d->close = false;
}

static int fail(crt_h1_decoder *d, const char *detail) {
    d->state = S_ERROR;
    d->detail = detail;
    return -1;
}

/* ---- lines ---- */

/*
 * Length of the block of lines at the start of `in`, its empty last line included: 1 found, 0 not yet, -1 error.
 * Remembers how far it looked, so that a slow sender does not make us look twice.
 */
static int find_block(crt_h1_decoder *d, crt_bytes in, size_t *length) {
    while (d->scanned < in.len) {
        const uint8_t *lf = memchr(in.ptr + d->scanned, '\n', in.len - d->scanned);
        if (!lf) {
            d->scanned = in.len;
            break;
        }
        size_t at = (size_t)(lf - in.ptr);
        if (at == d->line_start || in.ptr[at - 1] != '\r') {
            return fail(d, "a line of the response head ends with LF alone");
        }
        bool empty = at - 1 == d->line_start;
        d->scanned = d->line_start = at + 1;
        if (empty) {
            *length = at + 1;
            d->scanned = d->line_start = d->checked = 0;
            return *length > CRT_H1_HEAD_LIMIT ? fail(d, "the response head is larger than 256 KiB") : 1;
        }
    }
    return in.len > CRT_H1_HEAD_LIMIT ? fail(d, "the response head is larger than 256 KiB") : 0;
}

static bool is_digit(uint8_t c) {
    return (uint8_t)(c - '0') < 10;
}

/* "HTTP/1.1 200 reason\r\n" at p; moves *p behind it. */
static int parse_status_line(crt_h1_decoder *d, const uint8_t **p, const uint8_t *end) {
    const uint8_t *s = *p;
    /* The empty line behind the block guarantees only 4 bytes. */
    if (end - s < 15 || memcmp(s, "HTTP/1.", 7) != 0 || (s[7] != '0' && s[7] != '1') || s[8] != ' ') {
        return fail(d, "the status line does not start with HTTP/1.1 or HTTP/1.0");
    }
    if (!is_digit(s[9]) || !is_digit(s[10]) || !is_digit(s[11]) || s[12] != ' ') {
        return fail(d, "the status code is not three digits and a space");
    }
    d->version = s[7] == '1' ? CRT_HTTP_1_1 : CRT_HTTP_1_0;
    d->status = (s[9] - '0') * 100 + (s[10] - '0') * 10 + (s[11] - '0');
    s = crt_http_skip_field_text(s + 13, end);
    if (end - s < 2 || s[0] != '\r' || s[1] != '\n') {
        return fail(d, "the reason phrase holds a control character");
    }
    *p = s + 2;
    return 0;
}

static int add_header(crt_h1_decoder *d, crt_bytes name, crt_bytes value) {
    if (d->header_count == d->header_capacity) {
        size_t capacity = d->header_capacity ? d->header_capacity * 2 : 24;
        crt_http_header *headers = crt_realloc(d->headers, capacity * sizeof(*headers));
        if (!headers) {
            return fail(d, "out of memory");
        }
        d->headers = headers;
        d->header_capacity = capacity;
    }
    d->headers[d->header_count].name = name;
    d->headers[d->header_count].value = value;
    d->header_count++;
    return 0;
}

/* "name: value\r\n" at *p, which is moved behind it. */
static int parse_field(crt_h1_decoder *d, const uint8_t **p, const uint8_t *end, crt_http_header *field) {
    const uint8_t *name = *p, *s = name;
    while (crt_http_is_token_char(*s)) { /* stops at CR at the latest */
        s++;
    }
    if (s == name) {
        bool folded = *s == ' ' || *s == '\t';
        return fail(d, folded ? "a header line is folded" : "a header line does not start with a name");
    }
    if (*s != ':') {
        return fail(d, "a header name is not followed by a colon");
    }
    const uint8_t *value = s + 1;
    s = crt_http_skip_field_text(value, end);
    if (s[0] != '\r' || s[1] != '\n') {
        return fail(d, "a header value holds a control character");
    }
    field->name = crt_bytes_of(name, (size_t)(value - 1 - name));
    field->value = crt_http_trim(crt_bytes_of(value, (size_t)(s - value)));
    *p = s + 2;
    return 0;
}

/* Field lines from p to the empty line that find_block has seen. */
static int parse_fields(crt_h1_decoder *d, const uint8_t *p, const uint8_t *end) {
    crt_http_header field;
    d->header_count = 0;
    while (*p != '\r') {
        if (parse_field(d, &p, end, &field) || add_header(d, field.name, field.value)) {
            return -1;
        }
    }
    return p + 2 == end ? 0 : fail(d, "a header line holds a control character");
}

/* The whole lines of a block whose end is not there yet: nobody waits for the rest of what cannot be a response. */
static int check_lines(crt_h1_decoder *d, crt_bytes in) {
    const uint8_t *p = in.ptr + d->checked, *end = in.ptr + d->line_start;
    crt_http_header field;
    if (p == in.ptr && p < end && d->state == S_HEAD && parse_status_line(d, &p, end)) {
        return -1;
    }
    while (p < end) {
        if (parse_field(d, &p, end, &field)) {
            return -1;
        }
    }
    d->checked = d->line_start;
    return 0;
}

/* ---- framing (RFC 9112 section 6) ---- */

static bool is_known_coding(crt_bytes coding) {
    static const char *const known[] = {"gzip", "x-gzip", "deflate", "x-deflate", "compress", "x-compress"};
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (crt_http_ieq_str(coding, known[i])) {
            return true;
        }
    }
    return false;
}

/* One Transfer-Encoding line; several lines make one list. Only the last coding may be `chunked`. */
static int add_codings(crt_h1_decoder *d, crt_bytes value) {
    for (;;) {
        const uint8_t *comma = value.len ? memchr(value.ptr, ',', value.len) : NULL;
        size_t len = comma ? (size_t)(comma - value.ptr) : value.len;
        crt_bytes coding = crt_http_trim(crt_bytes_of(value.ptr, len));
        if (d->chunked) {
            return fail(d, "Transfer-Encoding goes on after chunked");
        }
        if (crt_http_ieq_str(coding, "chunked")) {
            d->chunked = true;
        } else if (!is_known_coding(coding)) {
            return fail(d, "unknown coding in Transfer-Encoding");
        }
        if (!comma) {
            return 0;
        }
        value = crt_bytes_of(comma + 1, value.len - len - 1);
    }
}

static int read_framing_headers(crt_h1_decoder *d) {
    bool has_codings = false;
    d->has_content_length = d->chunked = d->close = false;
    for (size_t i = 0; i < d->header_count; i++) {
        const crt_http_header *h = &d->headers[i];
        if (h->name.len == 14 && crt_http_ieq_str(h->name, "content-length")) {
            if (d->has_content_length) {
                return fail(d, "more than one Content-Length");
            }
            if (!crt_http_parse_decimal(h->value, &d->content_length)) {
                return fail(d, "Content-Length is not a decimal number");
            }
            d->has_content_length = true;
        } else if (h->name.len == 17 && crt_http_ieq_str(h->name, "transfer-encoding")) {
            has_codings = true;
            if (add_codings(d, h->value)) {
                return -1;
            }
        } else if (h->name.len == 10 && crt_http_ieq_str(h->name, "connection")) {
            d->close = d->close || crt_http_ieq_str(h->value, "close");
        }
    }
    if (has_codings && !d->chunked) {
        return fail(d, "Transfer-Encoding does not end with chunked");
    }
    if (has_codings && d->has_content_length) {
        return fail(d, "both Content-Length and Transfer-Encoding");
    }
    return 0;
}

static void choose_body(crt_h1_decoder *d) {
    bool connected = d->request == CRT_H1_REQUEST_CONNECT && d->status / 100 == 2;
    if (d->request == CRT_H1_REQUEST_HEAD || connected || d->status == 101 || d->status == 204 || d->status == 304) {
        d->state = S_END;
    } else if (d->chunked) {
        d->state = S_CHUNK_SIZE;
        /* RFC 9112 section 6.1: the framing of such a message is not to be trusted further than this one. */
        d->close = d->close || d->version == CRT_HTTP_1_0;
    } else if (d->has_content_length) {
        d->remaining = d->content_length;
        d->state = d->remaining ? S_BODY_LENGTH : S_END;
    } else if (d->version == CRT_HTTP_1_0 || d->close) {
        d->close = true;
        d->state = S_BODY_CLOSE;
    } else {
        d->state = S_END;
    }
}

/* 1: a head was parsed, 0: not complete, -1: error. Behind an interim head the state stays: the next one follows. */
static int take_head(crt_h1_decoder *d, crt_bytes in, size_t *consumed) {
    /* Someone who does not speak HTTP/1 is recognised without waiting for the end of his line. */
    size_t prefix = in.len < 7 ? in.len : 7;
    if (prefix && memcmp(in.ptr, "HTTP/1.", prefix) != 0) {
        return fail(d, "the status line does not start with HTTP/1.1 or HTTP/1.0");
    }
    size_t length;
    int found = find_block(d, in, &length);
    if (found <= 0) {
        return found ? found : check_lines(d, in);
    }
    const uint8_t *p = in.ptr, *end = in.ptr + length;
    if (parse_status_line(d, &p, end) || parse_fields(d, p, end) || read_framing_headers(d)) {
        return -1;
    }
    bool interim = d->status / 100 == 1;
    if ((interim || d->status == 204) && (d->chunked || (d->has_content_length && d->content_length > 0))) {
        return fail(d, "a response that cannot have a body announces one");
    }
    *consumed = length;
    if (!interim || d->status == 101) {
        choose_body(d);
    }
    return 1;
}

/* ---- chunks (RFC 9112 section 7.1) ---- */

static int hex_value(uint8_t c) {
    if (is_digit(c)) {
        return c - '0';
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int parse_chunk_size(crt_h1_decoder *d, crt_bytes line) {
    uint64_t size = 0;
    size_t i = 0;
    for (; i < line.len && hex_value(line.ptr[i]) >= 0; i++) {
        if (size >> 60) {
            return fail(d, "a chunk size does not fit 64 bits");
        }
        size = size << 4 | (uint64_t)hex_value(line.ptr[i]);
    }
    if (i == 0) {
        return fail(d, "a chunk size is not hexadecimal");
    }
    crt_bytes rest = crt_http_trim(crt_bytes_of(line.ptr + i, line.len - i));
    if (rest.len > 0 && rest.ptr[0] != ';') {
        return fail(d, "a chunk size is followed by something else than an extension");
    }
    if (crt_http_skip_field_text(rest.ptr, rest.ptr + rest.len) != rest.ptr + rest.len) {
        return fail(d, "a chunk extension holds a control character");
    }
    d->remaining = size;
    d->state = size ? S_CHUNK_DATA : S_TRAILERS;
    return 0;
}

/* The start of a line whose end is not there yet. */
static int check_chunk_line(crt_h1_decoder *d, crt_bytes in) {
    size_t i = 0;
    while (i < in.len && hex_value(in.ptr[i]) >= 0) {
        i++;
    }
    bool wrong = i < in.len && (i == 0 || !memchr("; \t\r", in.ptr[i], 4));
    return wrong ? fail(d, "a chunk size is not hexadecimal") : 0;
}

/* 1: the size line was taken, 0: not complete, -1: error. */
static int take_chunk_size(crt_h1_decoder *d, crt_bytes in, size_t *consumed) {
    const uint8_t *lf = in.len > d->scanned ? memchr(in.ptr + d->scanned, '\n', in.len - d->scanned) : NULL;
    size_t seen = lf ? (size_t)(lf - in.ptr) + 1 : in.len;
    if (seen > CRT_H1_CHUNK_LINE_LIMIT) {
        return fail(d, "the line of a chunk size is longer than 1 KiB");
    }
    if (!lf) {
        d->scanned = in.len;
        return check_chunk_line(d, in);
    }
    if (seen < 2 || in.ptr[seen - 2] != '\r') {
        return fail(d, "the line of a chunk size ends with LF alone");
    }
    d->scanned = 0;
    *consumed = seen;
    return parse_chunk_size(d, crt_bytes_of(in.ptr, seen - 2)) ? -1 : 1;
}

static int take_chunk_end(crt_h1_decoder *d, crt_bytes in, size_t *consumed) {
    size_t n = in.len < 2 ? in.len : 2;
    if (memcmp(in.ptr, "\r\n", n) != 0) {
        return fail(d, "a chunk is not followed by CRLF");
    }
    if (n < 2) {
        return 0;
    }
    *consumed = 2;
    d->state = S_CHUNK_SIZE;
    return 1;
}

static int take_trailers(crt_h1_decoder *d, crt_bytes in, size_t *consumed) {
    size_t length;
    int found = find_block(d, in, &length);
    if (found <= 0) {
        return found ? found : check_lines(d, in);
    }
    if (parse_fields(d, in.ptr, in.ptr + length)) {
        return -1;
    }
    *consumed = length;
    d->state = S_END;
    return 1;
}

/* ---- events ---- */

static bool in_body(const crt_h1_decoder *d) {
    return d->state == S_BODY_LENGTH || d->state == S_BODY_CLOSE || d->state == S_CHUNK_DATA;
}

static enum crt_h1_event_kind take_body(crt_h1_decoder *d, crt_bytes in, uint64_t max_body, crt_bytes *body) {
    uint64_t n = crt_h1_decoder_raw_body(d);
    if (in.len == 0) {
        return CRT_H1_NEED_DATA;
    }
    if (max_body == 0) {
        return CRT_H1_BLOCKED;
    }
    n = n < in.len ? n : in.len;
    n = n < max_body ? n : max_body;
    *body = crt_bytes_of(in.ptr, (size_t)n);
    crt_h1_decoder_skip(d, n);
    return CRT_H1_BODY;
}

/* One step of the structure around the body: > 0 done, 0 needs more, -1 error. */
static int take_structure(crt_h1_decoder *d, crt_bytes in, size_t *consumed) {
    switch (d->state) {
    case S_HEAD:
        return take_head(d, in, consumed);
    case S_CHUNK_SIZE:
        return take_chunk_size(d, in, consumed);
    case S_CHUNK_END:
        return in.len ? take_chunk_end(d, in, consumed) : 0;
    case S_TRAILERS:
        return take_trailers(d, in, consumed);
    case S_ERROR:
        return -1;
    default: /* idle */
        return 0;
    }
}

crt_h1_event crt_h1_decoder_next(crt_h1_decoder *d, crt_bytes input, uint64_t max_body) {
    crt_h1_event event = {CRT_H1_NEED_DATA, 0, {NULL, 0}};
    for (;;) {
        crt_bytes in = input;
        if (event.consumed > 0) {
            in = crt_bytes_of(input.ptr + event.consumed, input.len - event.consumed);
        }
        if (d->state == S_END) {
            d->state = S_IDLE;
            event.kind = CRT_H1_END;
            return event;
        }
        if (in_body(d)) {
            event.kind = take_body(d, in, max_body, &event.body);
            event.consumed += event.body.len;
            return event;
        }
        const int before = d->state;
        size_t consumed = 0;
        int taken = take_structure(d, in, &consumed);
        event.consumed += consumed;
        if (taken < 0) {
            event.kind = CRT_H1_ERROR;
            return event;
        }
        if (taken == 0) {
            return event;
        }
        if (before == S_HEAD) {
            event.kind = d->state == S_HEAD ? CRT_H1_INTERIM : CRT_H1_HEAD;
            return event;
        }
        if (before == S_TRAILERS && d->header_count > 0) {
            event.kind = CRT_H1_TRAILERS;
            return event;
        }
    }
}

uint64_t crt_h1_decoder_raw_body(const crt_h1_decoder *d) {
    if (d->state == S_BODY_CLOSE) {
        return UINT64_MAX;
    }
    return in_body(d) ? d->remaining : 0;
}

void crt_h1_decoder_skip(crt_h1_decoder *d, uint64_t n) {
    if (d->state == S_BODY_CLOSE) {
        return;
    }
    d->remaining -= n;
    if (d->remaining == 0) {
        d->state = d->state == S_CHUNK_DATA ? S_CHUNK_END : S_END;
    }
}

uint64_t crt_h1_decoder_body_left(const crt_h1_decoder *d) {
    if (d->state == S_BODY_LENGTH) {
        return d->remaining;
    }
    return d->state == S_END || d->state == S_IDLE ? 0 : UINT64_MAX;
}

bool crt_h1_decoder_eof(crt_h1_decoder *d) {
    if (d->state == S_BODY_CLOSE) {
        d->state = S_END;
    }
    return d->state == S_END;
}
