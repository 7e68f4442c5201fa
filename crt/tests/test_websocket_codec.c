/* WebSocket frames: headers, masking, every violation, and independence of how the input is cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../http/ws_codec.h"
#include "../http/ws_handshake.h"

/* ---- sending ---- */

static void headers_are_minimal_and_masked(void **state) {
    static const struct {
        uint64_t length;
        const char *bytes;
        size_t len;
    } rows[] = {
        {0, "\x82\x80MASK", 6},
        {125, "\x82\xfdMASK", 6},
        {126, "\x82\xfe\x00\x7eMASK", 8},
        {65535, "\x82\xfe\xff\xffMASK", 8},
        {65536, "\x82\xff\x00\x00\x00\x00\x00\x01\x00\x00MASK", 14},
        {INT64_MAX, "\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xffMASK", 14},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint8_t out[CRT_WS_HEADER_MAX];
        size_t n = crt_ws_write_header(out, CRT_WS_BINARY, true, rows[i].length, (const uint8_t *)"MASK");
        assert_int_equal(n, rows[i].len);
        assert_memory_equal(out, rows[i].bytes, n);
    }
    uint8_t out[CRT_WS_HEADER_MAX];
    assert_int_equal(crt_ws_write_header(out, CRT_WS_TEXT, false, 1, (const uint8_t *)"MASK"), 6);
    assert_int_equal(out[0], 0x01);
}

static void masking_does_not_depend_on_pieces(void **state) {
    const uint8_t mask[4] = {1, 2, 4, 8};
    uint8_t plain[100], whole[100], pieces[100];
    for (size_t i = 0; i < sizeof(plain); i++) {
        plain[i] = (uint8_t)(i * 37);
    }
    crt_ws_mask(whole, plain, sizeof(plain), mask, 0);
    for (size_t i = 0; i < sizeof(plain); i++) {
        assert_int_equal(whole[i], plain[i] ^ mask[i % 4]);
    }
    for (size_t cut = 0; cut <= sizeof(plain); cut++) {
        crt_ws_mask(pieces, plain, cut, mask, 0);
        crt_ws_mask(pieces + cut, plain + cut, sizeof(plain) - cut, mask, cut);
        assert_memory_equal(pieces, whole, sizeof(whole));
    }
    crt_ws_mask(whole, whole, sizeof(whole), mask, 0); /* in place, and back again */
    assert_memory_equal(whole, plain, sizeof(plain));
}

/* ---- receiving ---- */

typedef struct transcript {
    char text[4096];
    size_t len;
    bool in_payload;
} transcript;

static void note(transcript *t, const char *format, ...) {
    va_list args;
    va_start(args, format);
    t->len += (size_t)vsnprintf(t->text + t->len, sizeof(t->text) - t->len, format, args);
    va_end(args);
    assert_true(t->len < sizeof(t->text));
}

static void note_event(transcript *t, const crt_ws_decoder *d, const crt_ws_event *e) {
    if (e->kind == CRT_WS_FRAME) {
        note(t, "<%d%s %llu", d->opcode, d->fin ? "!" : "", (unsigned long long)d->length);
    } else if (e->kind == CRT_WS_PAYLOAD) {
        note(t, t->in_payload ? "" : " ");
        for (size_t i = 0; i < e->payload.len && i < 10; i++) {
            note(t, "%02x", e->payload.ptr[i]);
        }
    } else if (e->kind == CRT_WS_FRAME_END) {
        note(t, ">");
    } else if (e->kind == CRT_WS_ERROR) {
        note(t, "ERROR");
    }
    t->in_payload = e->kind == CRT_WS_PAYLOAD || (t->in_payload && e->kind == CRT_WS_NEED_DATA);
}

static bool feed(crt_ws_decoder *d, transcript *t, const uint8_t *data, size_t len, size_t *used) {
    uint8_t *block = malloc(len ? len : 1); /* exact size, for the address sanitizer */
    memcpy(block, data, len);
    size_t at = 0;
    for (;;) {
        crt_ws_event e = crt_ws_decoder_next(d, crt_bytes_of(block + at, len - at), UINT64_MAX);
        note_event(t, d, &e);
        at += e.consumed;
        if (e.kind == CRT_WS_NEED_DATA || e.kind == CRT_WS_ERROR) {
            free(block);
            *used += at;
            return e.kind != CRT_WS_ERROR;
        }
    }
}

static void run(transcript *t, const void *in, size_t len, size_t cut, bool bytewise) {
    crt_ws_decoder d;
    memset(&d, 0, sizeof(d));
    memset(t, 0, sizeof(*t));
    size_t used = 0;
    bool alive = true;
    for (size_t end = bytewise ? 1 : cut; alive && end <= len; end = bytewise || end == len ? end + 1 : len) {
        alive = feed(&d, t, (const uint8_t *)in + used, end - used, &used);
    }
}

static void expect_len(const void *in, size_t len, const char *expected) {
    transcript t;
    for (size_t cut = 0; cut <= len; cut++) {
        run(&t, in, len, cut, false);
        assert_string_equal(t.text, expected);
    }
    run(&t, in, len, 0, true);
    assert_string_equal(t.text, expected);
}

#define EXPECT(in, expected) expect_len(in, sizeof(in) - 1, expected)

static void frames_of_every_kind(void **state) {
    EXPECT("\x82\x00", "<2! 0>");
    EXPECT("\x82\x03\x01\x02\x03", "<2! 3 010203>");
    EXPECT("\x81\x02hi\x89\x01p\x8a\x00", "<1! 2 6869><9! 1 70><10! 0>");
    EXPECT("\x01\x01\x61\x89\x00\x00\x01\x62\x80\x01\x63", "<1 1 61><9! 0><0 1 62><0! 1 63>");
    EXPECT("\x88\x00", "<8! 0>");
    EXPECT("\x88\x02\x03\xe8", "<8! 2 03e8>");
    EXPECT("\x88\x04\x0f\xa0xy", "<8! 4 0fa07879>");
}

static void long_lengths(void **state) {
    uint8_t *in = calloc(1, 70000);
    memcpy(in, "\x82\x7e\x00\x7e", 4);
    transcript t;
    run(&t, in, 4 + 126, 0, false);
    assert_string_equal(t.text, "<2! 126 00000000000000000000>");
    memcpy(in, "\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00", 10);
    run(&t, in, 10 + 65536, 0, false);
    assert_string_equal(t.text, "<2! 65536 00000000000000000000>");
    free(in);
    EXPECT("\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff", "<2! 9223372036854775807");
}

static void violations_are_refused(void **state) {
    EXPECT("\x92\x00", "ERROR"); /* RSV bits */
    EXPECT("\xa2\x00", "ERROR");
    EXPECT("\xc2\x00", "ERROR");
    EXPECT("\x82\x80....", "ERROR"); /* MASK */
    for (int opcode = 3; opcode < 16; opcode += opcode == 7 ? 4 : 1) {
        uint8_t in[2] = {(uint8_t)(0x80 | opcode), 0};
        expect_len(in, 2, "ERROR");
    }
    EXPECT("\x80\x00", "ERROR");                           /* continuation of nothing */
    EXPECT("\x02\x00\x82\x00", "<2 0>ERROR");              /* message inside a message */
    EXPECT("\x82\x00\x80\x00", "<2! 0>ERROR");
    EXPECT("\x09\x00", "ERROR");                           /* fragmented control frames */
    EXPECT("\x08\x00", "ERROR");
    EXPECT("\x89\x7e", "ERROR");                           /* long control frames */
    EXPECT("\x88\x7f", "ERROR");
    EXPECT("\x88\x01", "ERROR");                           /* CLOSE of one byte */
    EXPECT("\x82\x7e\x00\x7d", "ERROR");                   /* lengths that are not minimal */
    EXPECT("\x82\x7f\x00\x00\x00\x00\x00\x00\xff\xff", "ERROR");
    EXPECT("\x82\x7f\x80\x00\x00\x00\x00\x00\x00\x00", "ERROR"); /* above 2^63-1 */
}

static void close_codes_are_checked(void **state) {
    static const int legal[] = {1000, 1003, 1007, 1014, 3000, 4999};
    static const int illegal[] = {0, 999, 1004, 1006, 1015, 2999, 5000, 65535};
    for (size_t i = 0; i < sizeof(legal) / sizeof(legal[0]); i++) {
        char expected[30];
        uint8_t in[4] = {0x88, 2, (uint8_t)(legal[i] >> 8), (uint8_t)legal[i]};
        snprintf(expected, sizeof(expected), "<8! 2 %04x>", legal[i]);
        expect_len(in, 4, expected);
    }
    for (size_t i = 0; i < sizeof(illegal) / sizeof(illegal[0]); i++) {
        transcript t;
        uint8_t in[4] = {0x88, 2, (uint8_t)(illegal[i] >> 8), (uint8_t)illegal[i]};
        for (int bytewise = 0; bytewise < 2; bytewise++) {
            run(&t, in, 4, 0, bytewise);
            assert_non_null(strstr(t.text, "ERROR"));
        }
    }
}

static bool text_is_accepted(const char *bytes, size_t len, size_t split) {
    uint8_t in[64] = {0x01, (uint8_t)split};
    transcript t;
    memcpy(in + 2, bytes, split);
    in[2 + split] = 0x80;
    in[3 + split] = (uint8_t)(len - split);
    memcpy(in + 4 + split, bytes + split, len - split);
    run(&t, in, len + 4, 0, split % 2);
    return !strstr(t.text, "ERROR");
}

static void text_has_to_be_utf8_across_fragments(void **state) {
    static const char *const good[] = {"", "plain ascii, rather long", "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x98\x80",
                                       "\xef\xbf\xbf",
                                       "\xf4\x8f\xbf\xbf", "\xed\x9f\xbf", "\xee\x80\x80", "abcdefgh\xc3\xa4ijk"};
    static const char *const bad[] = {"\x80", "\xc3", "\xc0\xaf", "\xc1\xbf", "\xe0\x80\x80", "\xe0\x9f\xbf",
                                      "\xed\xa0\x80", "\xed\xbf\xbf",
                                      "\xf0\x80\x80\x80", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80",
                                      "\xf8\x88\x80\x80\x80",
                                      "\xff", "\xc3\x61", "\xe2\x82", "\xf0\x9f\x98", "abcdefgh\xc3", "a\xe2\x28\xa1"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        for (size_t split = 0; split <= strlen(good[i]); split++) {
            assert_true(text_is_accepted(good[i], strlen(good[i]), split));
        }
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        for (size_t split = 0; split <= strlen(bad[i]); split++) {
            assert_false(text_is_accepted(bad[i], strlen(bad[i]), split));
        }
    }
    EXPECT("\x82\x02\xff\xfe", "<2! 2 fffe>"); /* binary is not looked at */
}

static void payload_can_be_rationed_and_bypassed(void **state) {
    static const uint8_t in[] = "\x82\x0a" "0123456789\x89\x02pp";
    crt_ws_decoder d;
    memset(&d, 0, sizeof(d));
    crt_ws_event e = crt_ws_decoder_next(&d, crt_bytes_of(in, sizeof(in) - 1), 0);
    assert_int_equal(e.kind, CRT_WS_FRAME);
    assert_int_equal(crt_ws_decoder_raw_payload(&d), 10);
    e = crt_ws_decoder_next(&d, crt_bytes_of(in + 2, 10), 0);
    assert_int_equal(e.kind, CRT_WS_BLOCKED);
    e = crt_ws_decoder_next(&d, crt_bytes_of(in + 2, 10), 4);
    assert_int_equal(e.payload.len, 4);
    crt_ws_decoder_skip(&d, 6);
    assert_int_equal(crt_ws_decoder_next(&d, crt_bytes_of(in + 12, 4), 0).kind, CRT_WS_FRAME_END);
    assert_int_equal(crt_ws_decoder_next(&d, crt_bytes_of(in + 12, 4), 0).kind, CRT_WS_FRAME);
    e = crt_ws_decoder_next(&d, crt_bytes_of(in + 14, 2), 0); /* control frames are not rationed */
    assert_int_equal(e.kind, CRT_WS_PAYLOAD);
    assert_int_equal(crt_ws_decoder_raw_payload(&d), 0);
}

/* ---- handshake ---- */

static crt_http_header header(const char *name, const char *value) {
    crt_http_header h = {crt_bytes_str(name), crt_bytes_str(value)};
    return h;
}

static void the_accept_value_is_that_of_the_rfc(void **state) {
    char accept[CRT_WS_ACCEPT_LEN], a[CRT_WS_KEY_LEN], b[CRT_WS_KEY_LEN];
    assert_int_equal(crt_ws_accept_of(crt_bytes_str("dGhlIHNhbXBsZSBub25jZQ=="), accept), 0);
    assert_memory_equal(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", CRT_WS_ACCEPT_LEN);
    assert_int_equal(crt_ws_make_key(a), 0);
    assert_int_equal(crt_ws_make_key(b), 0);
    assert_memory_not_equal(a, b, CRT_WS_KEY_LEN);
}

static bool accepted(int status, const crt_http_header *headers, size_t count, const char *offered) {
    return crt_ws_check_response(status, headers, count, crt_bytes_str("dGhlIHNhbXBsZSBub25jZQ=="),
                                 crt_bytes_str(offered), NULL) == NULL;
}

static void responses_are_checked(void **state) {
    crt_http_header h[6];
    h[0] = header("Upgrade", "WebSocket");
    h[1] = header("connection", "upgrade");
    h[2] = header("Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert_true(accepted(101, h, 3, ""));
    assert_false(accepted(200, h, 3, ""));
    for (int missing = 0; missing < 3; missing++) {
        crt_http_header without[3] = {h[0], h[1], h[2]};
        without[missing] = header("X", "y");
        assert_false(accepted(101, without, 3, ""));
    }
    crt_http_header changed[4] = {h[0], header("Connection", "keep-alive, Upgrade"), h[2]};
    assert_false(accepted(101, changed, 3, ""));
    changed[1] = h[1];
    changed[2] = header("Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xoo=");
    assert_false(accepted(101, changed, 3, ""));
    h[3] = header("Sec-WebSocket-Extensions", "permessage-deflate");
    assert_false(accepted(101, h, 4, ""));
    h[3] = header("Sec-WebSocket-Protocol", "mqtt");
    assert_true(accepted(101, h, 4, "mqtt"));
    assert_true(accepted(101, h, 4, "other, mqtt"));
    assert_false(accepted(101, h, 4, "MQTT"));
    assert_false(accepted(101, h, 4, "mqt,mqttx"));
    assert_false(accepted(101, h, 4, "")); /* nobody offered one */
    assert_false(accepted(101, h, 3, "mqtt"));
    h[4] = h[3];
    assert_false(accepted(101, h, 5, "mqtt"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers_are_minimal_and_masked),
        cmocka_unit_test(masking_does_not_depend_on_pieces),
        cmocka_unit_test(frames_of_every_kind),
        cmocka_unit_test(long_lengths),
        cmocka_unit_test(violations_are_refused),
        cmocka_unit_test(close_codes_are_checked),
        cmocka_unit_test(text_has_to_be_utf8_across_fragments),
        cmocka_unit_test(payload_can_be_rationed_and_bypassed),
        cmocka_unit_test(the_accept_value_is_that_of_the_rfc),
        cmocka_unit_test(responses_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
