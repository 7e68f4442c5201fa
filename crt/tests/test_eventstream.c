/* Event-stream messages: sizes and bytes, every limit, every violation, and independence of how the input is cut. */
#include "support.h"

#include "crt/checksums.h"
#include "crt/eventstream.h"

/* ---- helpers ---- */

static crt_es_header number(const char *name, crt_es_type type, int64_t value) {
    crt_es_header h = {crt_bytes_str(name), type, value, {NULL, 0}};
    return h;
}

static crt_es_header bytes(const char *name, crt_es_type type, const void *data, size_t len) {
    crt_es_header h = {crt_bytes_str(name), type, 0, crt_bytes_of(data, len)};
    return h;
}

typedef struct wire {
    uint8_t *ptr;
    size_t len;
} wire;

static wire encode(const crt_es_header *headers, size_t count, const void *payload, size_t payload_len) {
    wire w;
    size_t headers_len = 0, size;
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(crt_es_header_size(&headers[i], &size), 0);
        headers_len += size;
    }
    assert_int_equal(crt_es_message_size(headers_len, payload_len, &w.len), 0);
    w.ptr = malloc(w.len);
    uint8_t *out = w.ptr + CRT_ES_PRELUDE;
    for (size_t i = 0; i < count; i++) {
        uint8_t *end = crt_es_header_write(out, &headers[i]);
        crt_es_header_size(&headers[i], &size);
        assert_int_equal(end - out, size);
        out = end;
    }
    if (payload_len) {
        memcpy(out, payload, payload_len);
    }
    crt_es_message_seal(w.ptr, w.len, headers_len);
    return w;
}

/* Feeds pieces of at most `piece` bytes, as a socket would. */
static int feed(crt_es_decoder *d, const uint8_t *data, size_t len, size_t piece) {
    int status = 0;
    while (len > 0 && status == 0) {
        crt_span space = crt_es_decoder_space(d);
        size_t n = space.len < piece ? space.len : piece;
        n = n < len ? n : len;
        assert_true(n > 0);
        memcpy(space.ptr, data, n);
        status = crt_es_decoder_add(d, n);
        data += n;
        len -= n;
    }
    return status;
}

/* ---- encoding ---- */

static void vectors_are_met(void **state) {
    static const uint8_t empty[] = {0, 0, 0, 16, 0, 0, 0, 0, 0x05, 0xc2, 0x48, 0xeb, 0x7d, 0x98, 0xc8, 0xff};
    static const uint8_t foo[] = {0x00, 0x00, 0x00, 0x1d, 0x00, 0x00, 0x00, 0x00, 0xfd, 0x52, 0x8c, 0x5a, 0x7b, 0x27,
                                  0x66, 0x6f, 0x6f, 0x27, 0x3a, 0x27, 0x62, 0x61, 0x72, 0x27, 0x7d, 0xc3, 0x65, 0x39, 0x36};
    wire w = encode(NULL, 0, NULL, 0);
    assert_int_equal(w.len, sizeof(empty));
    assert_memory_equal(w.ptr, empty, sizeof(empty));
    free(w.ptr);
    w = encode(NULL, 0, "{'foo':'bar'}", 13);
    assert_int_equal(w.len, sizeof(foo));
    assert_memory_equal(w.ptr, foo, sizeof(foo));
    free(w.ptr);
}

static void headers_that_cannot_be_sent_are_refused(void **state) {
    static char text[70000];
    size_t size;
    memset(text, 'x', sizeof(text));
    crt_es_header h = number("n", CRT_ES_TRUE, 0);
    for (int type = 0; type < CRT_ES_TYPES; type++) {
        h.type = (crt_es_type)type;
        h.bytes = crt_bytes_of(text, 16);
        h.name = crt_bytes_of(text, 0);
        assert_int_equal(crt_es_header_size(&h, &size), AWS_ERROR_INVALID_ARGUMENT);
        h.name.len = CRT_ES_NAME_MAX + 1;
        assert_int_equal(crt_es_header_size(&h, &size), AWS_ERROR_INVALID_ARGUMENT);
        h.name.len = CRT_ES_NAME_MAX;
        assert_int_equal(crt_es_header_size(&h, &size), 0);
    }
    for (int type = CRT_ES_BYTE_BUF; type <= CRT_ES_STRING; type++) {
        h = bytes("n", (crt_es_type)type, text, CRT_ES_VALUE_MAX);
        assert_int_equal(crt_es_header_size(&h, &size), 0);
        assert_int_equal(size, 1 + 1 + 1 + 2 + CRT_ES_VALUE_MAX);
        h.bytes.len++;
        assert_int_equal(crt_es_header_size(&h, &size), AWS_ERROR_EVENT_STREAM_MESSAGE_INVALID_HEADERS_LEN);
    }
}

static void messages_have_at_most_24_mib(void **state) {
    const size_t most = CRT_ES_MESSAGE_MAX - CRT_ES_OVERHEAD;
    size_t size;
    assert_int_equal(crt_es_message_size(most, 0, &size), 0);
    assert_int_equal(crt_es_message_size(0, most, &size), 0);
    assert_int_equal(size, CRT_ES_MESSAGE_MAX);
    const int error = AWS_ERROR_EVENT_STREAM_MESSAGE_FIELD_SIZE_EXCEEDED;
    assert_int_equal(crt_es_message_size(most, 1, &size), error);
    assert_int_equal(crt_es_message_size(1, most, &size), error);
    assert_int_equal(crt_es_message_size(SIZE_MAX, SIZE_MAX, &size), error);
}

/* ---- decoding ---- */

static const uint8_t UUID_BYTES[16] = {0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 1, 2, 3, 4, 5, 6};

enum { EVERY = 14 };

static void every_header(crt_es_header out[EVERY]) {
    crt_es_header all[EVERY] = {
        number("t", CRT_ES_TRUE, 0),
        number("f", CRT_ES_FALSE, 0),
        number("b", CRT_ES_BYTE, INT8_MIN),
        number("B", CRT_ES_BYTE, INT8_MAX),
        number("h", CRT_ES_INT16, INT16_MIN),
        number("i", CRT_ES_INT32, INT32_MIN),
        number("I", CRT_ES_INT32, INT32_MAX),
        number("l", CRT_ES_INT64, INT64_MIN),
        number("L", CRT_ES_INT64, INT64_MAX),
        bytes("y", CRT_ES_BYTE_BUF, "\0\xff", 2),
        bytes("e", CRT_ES_BYTE_BUF, "", 0),
        bytes("s", CRT_ES_STRING, "\xc3\xa9", 2),
        number("d", CRT_ES_TIMESTAMP, -1),
        bytes("u", CRT_ES_UUID, UUID_BYTES, 16),
    };
    memcpy(out, all, sizeof(all));
}

static void assert_every_header(crt_bytes block) {
    crt_es_header sent[EVERY], got;
    crt_es_headers rest = {block, 0};
    every_header(sent);
    for (int i = 0; i < EVERY; i++) {
        assert_int_equal(crt_es_headers_next(&rest, &got), 0);
        assert_true(crt_bytes_eq(got.name, sent[i].name));
        assert_int_equal(got.type, sent[i].type);
        assert_true(got.number == sent[i].number);
        assert_true(crt_bytes_eq(got.bytes, sent[i].bytes));
    }
    assert_int_equal(rest.rest.len, 0);
}

static void messages_do_not_depend_on_how_they_are_cut(void **state) {
    crt_es_header headers[EVERY];
    every_header(headers);
    wire first = encode(headers, EVERY, "payload", 7), second = encode(NULL, 0, NULL, 0);
    const size_t len = first.len + second.len;
    uint8_t *both = malloc(len);
    memcpy(both, first.ptr, first.len);
    memcpy(both + first.len, second.ptr, second.len);
    for (size_t cut = 0; cut <= len; cut++) {
        crt_es_decoder d;
        crt_es_message m;
        memset(&d, 0, sizeof(d));
        assert_int_equal(feed(&d, both, cut, len), 0);
        assert_int_equal(crt_es_decoder_ready(&d), cut == len ? len : cut >= first.len ? first.len : 0);
        assert_int_equal(feed(&d, both + cut, len - cut, cut ? cut : 1), 0);
        assert_true(crt_es_decoder_take(&d, &m));
        assert_every_header(m.headers);
        assert_true(crt_bytes_eq(m.payload, crt_bytes_str("payload")));
        assert_true(crt_es_decoder_take(&d, &m));
        assert_int_equal(m.headers.len + m.payload.len, 0);
        assert_false(crt_es_decoder_take(&d, &m));
        crt_es_decoder_clear(&d);
    }
    free(both);
    free(first.ptr);
    free(second.ptr);
}

static void large_messages_among_small_ones(void **state) {
    const size_t len = CRT_ES_MESSAGE_MAX - CRT_ES_OVERHEAD;
    uint8_t *payload = malloc(len);
    crt_es_decoder d;
    crt_es_message m;
    memset(&d, 0, sizeof(d));
    memset(payload, 'p', len);
    wire small = encode(NULL, 0, "small", 5), large = encode(NULL, 0, payload, len);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(feed(&d, small.ptr, small.len, SIZE_MAX), 0);
        assert_int_equal(feed(&d, large.ptr, large.len, SIZE_MAX), 0);
        assert_true(crt_es_decoder_take(&d, &m));
        assert_true(crt_bytes_eq(m.payload, crt_bytes_str("small")));
        assert_true(crt_es_decoder_take(&d, &m));
        assert_true(crt_bytes_eq(m.payload, crt_bytes_of(payload, len)));
    }
    crt_es_decoder_space(&d);
    assert_true(d.bytes.cap < (1 << 20)); /* what the large one needed is given back */
    crt_es_decoder_clear(&d);
    free(payload);
    free(small.ptr);
    free(large.ptr);
}

static void put32(uint8_t *p, uint32_t value) {
    for (int i = 0; i < 4; i++) {
        p[i] = (uint8_t)(value >> (24 - 8 * i));
    }
}

/* A prelude with right CRC. */
static void lie(uint8_t prelude[CRT_ES_PRELUDE], uint32_t total, uint32_t headers_len) {
    put32(prelude, total);
    put32(prelude + 4, headers_len);
    put32(prelude + 8, crt_crc32(crt_bytes_of(prelude, 8), 0));
}

static void memory_follows_what_has_come_not_what_is_promised(void **state) {
    crt_es_decoder d;
    uint8_t prelude[CRT_ES_PRELUDE];
    memset(&d, 0, sizeof(d));
    lie(prelude, CRT_ES_MESSAGE_MAX, 0);
    assert_int_equal(feed(&d, prelude, sizeof(prelude), SIZE_MAX), 0);
    assert_true(crt_es_decoder_space(&d).len > 0);
    assert_true(d.bytes.cap <= (128 << 10));
    crt_es_decoder_clear(&d);
}

static void preludes_are_judged_as_soon_as_they_are_there(void **state) {
    static const struct {
        uint32_t total, headers_len;
        int code;
    } rows[] = {
        {15, 0, AWS_ERROR_EVENT_STREAM_BUFFER_LENGTH_MISMATCH},
        {0, 0, AWS_ERROR_EVENT_STREAM_BUFFER_LENGTH_MISMATCH},
        {CRT_ES_MESSAGE_MAX, 0, 0},
        {CRT_ES_MESSAGE_MAX + 1, 0, AWS_ERROR_EVENT_STREAM_MESSAGE_FIELD_SIZE_EXCEEDED},
        {UINT32_MAX, UINT32_MAX, AWS_ERROR_EVENT_STREAM_MESSAGE_FIELD_SIZE_EXCEEDED},
        {20, 4, 0},
        {20, 5, AWS_ERROR_EVENT_STREAM_MESSAGE_INVALID_HEADERS_LEN},
        {16, UINT32_MAX, AWS_ERROR_EVENT_STREAM_MESSAGE_INVALID_HEADERS_LEN},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint8_t prelude[CRT_ES_PRELUDE];
        lie(prelude, rows[i].total, rows[i].headers_len);
        crt_es_decoder d;
        memset(&d, 0, sizeof(d));
        assert_int_equal(feed(&d, prelude, CRT_ES_PRELUDE - 1, 1), 0);
        assert_int_equal(feed(&d, prelude + CRT_ES_PRELUDE - 1, 1, 1), rows[i].code);
        crt_es_decoder_clear(&d);
    }
}

static void a_damaged_byte_never_passes(void **state) {
    crt_es_header headers[EVERY];
    every_header(headers);
    wire w = encode(headers, EVERY, "payload", 7);
    for (size_t at = 0; at < w.len; at++) {
        crt_es_decoder d;
        crt_es_message m;
        memset(&d, 0, sizeof(d));
        w.ptr[at] ^= 0x40;
        const int status = feed(&d, w.ptr, w.len, SIZE_MAX);
        assert_int_equal(status, at < CRT_ES_PRELUDE ? AWS_ERROR_EVENT_STREAM_PRELUDE_CHECKSUM_FAILURE
                                                     : AWS_ERROR_EVENT_STREAM_MESSAGE_CHECKSUM_FAILURE);
        assert_false(crt_es_decoder_take(&d, &m));
        assert_int_equal(crt_es_decoder_space(&d).len, 0);
        crt_es_decoder_clear(&d);
        w.ptr[at] ^= 0x40;
    }
    free(w.ptr);
}

static void messages_before_an_error_can_be_taken(void **state) {
    crt_es_decoder d;
    crt_es_message m;
    memset(&d, 0, sizeof(d));
    wire w = encode(NULL, 0, "good", 4);
    uint8_t stream[64];
    memcpy(stream, w.ptr, w.len);
    memcpy(stream + w.len, w.ptr, w.len);
    stream[w.len] ^= 1;
    assert_int_equal(feed(&d, stream, 2 * w.len, SIZE_MAX), AWS_ERROR_EVENT_STREAM_PRELUDE_CHECKSUM_FAILURE);
    assert_true(crt_es_decoder_take(&d, &m));
    assert_true(crt_bytes_eq(m.payload, crt_bytes_str("good")));
    assert_false(crt_es_decoder_take(&d, &m));
    crt_es_decoder_clear(&d);
    free(w.ptr);
}

static void truncated_header_blocks_are_refused_at_every_length(void **state) {
    crt_es_header headers[EVERY], got;
    every_header(headers);
    wire w = encode(headers, EVERY, NULL, 0);
    const size_t len = w.len - CRT_ES_OVERHEAD;
    for (size_t cut = 1; cut <= len; cut++) {
        uint8_t *exact = malloc(cut); /* the sanitizer sees reads behind the end */
        memcpy(exact, w.ptr + CRT_ES_PRELUDE, cut);
        crt_es_headers rest = {crt_bytes_of(exact, cut), 0};
        int status = 0;
        while (status == 0 && rest.rest.len > 0) {
            status = crt_es_headers_next(&rest, &got);
        }
        /* Where a header ends, the block is whole, only shorter. */
        assert_true(status == 0 || status == AWS_ERROR_EVENT_STREAM_MESSAGE_INVALID_HEADERS_LEN);
        assert_true(status != 0 || rest.count <= EVERY);
        free(exact);
    }
    crt_es_headers none = {crt_bytes_of(NULL, 0), 0};
    assert_int_equal(crt_es_headers_next(&none, &got), AWS_ERROR_EVENT_STREAM_MESSAGE_INVALID_HEADERS_LEN);
    free(w.ptr);
}

static void header_limits_on_receipt(void **state) {
    crt_es_header got;
    for (int type = CRT_ES_TYPES; type < 256; type++) {
        const uint8_t block[] = {1, 'n', (uint8_t)type, 0, 0};
        crt_es_headers rest = {crt_bytes_of(block, sizeof(block)), 0};
        assert_int_equal(crt_es_headers_next(&rest, &got), AWS_ERROR_EVENT_STREAM_MESSAGE_UNKNOWN_HEADER_TYPE);
    }
    static uint8_t many[(CRT_ES_HEADERS_MAX + 1) * 2]; /* of empty names, which are accepted, and TRUE */
    crt_es_headers rest = {crt_bytes_of(many, sizeof(many)), 0};
    for (int i = 0; i < CRT_ES_HEADERS_MAX; i++) {
        assert_int_equal(crt_es_headers_next(&rest, &got), 0);
        assert_int_equal(got.name.len, 0);
    }
    assert_int_equal(crt_es_headers_next(&rest, &got), AWS_ERROR_EVENT_STREAM_MESSAGE_TOO_MANY_HEADERS);

    static uint8_t text[5 + CRT_ES_VALUE_MAX + 1] = {1, 'n', CRT_ES_STRING, 0x7f, 0xff};
    crt_es_headers longest = {crt_bytes_of(text, sizeof(text) - 1), 0};
    assert_int_equal(crt_es_headers_next(&longest, &got), 0);
    assert_int_equal(got.bytes.len, CRT_ES_VALUE_MAX);
    text[3] = 0x80;
    text[4] = 0;
    crt_es_headers too_long = {crt_bytes_of(text, sizeof(text)), 0};
    assert_int_equal(crt_es_headers_next(&too_long, &got), AWS_ERROR_EVENT_STREAM_MESSAGE_INVALID_HEADERS_LEN);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        leak_checked(vectors_are_met),
        leak_checked(headers_that_cannot_be_sent_are_refused),
        leak_checked(messages_have_at_most_24_mib),
        leak_checked(messages_do_not_depend_on_how_they_are_cut),
        leak_checked(large_messages_among_small_ones),
        leak_checked(memory_follows_what_has_come_not_what_is_promised),
        leak_checked(preludes_are_judged_as_soon_as_they_are_there),
        leak_checked(a_damaged_byte_never_passes),
        leak_checked(messages_before_an_error_can_be_taken),
        leak_checked(truncated_header_blocks_are_refused_at_every_length),
        leak_checked(header_limits_on_receipt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
