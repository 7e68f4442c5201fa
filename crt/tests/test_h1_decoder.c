/* The response parser: framing, limits, and everything that must be refused. Each input is fed whole, in two
   pieces split at every byte, and byte by byte; the outcome may not depend on it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../http/h1_decoder.h"
#include "crt/memory.h"

typedef struct transcript {
    char text[4096];
    size_t len;
    bool in_body;
} transcript;

static void note(transcript *t, const char *format, ...) {
    va_list args;
    va_start(args, format);
    t->len += (size_t)vsnprintf(t->text + t->len, sizeof(t->text) - t->len, format, args);
    va_end(args);
    assert_true(t->len < sizeof(t->text));
}

static void note_headers(transcript *t, const crt_h1_decoder *d) {
    for (size_t i = 0; i < d->header_count; i++) {
        note(t, " %.*s=%.*s", (int)d->headers[i].name.len, (const char *)d->headers[i].name.ptr,
             (int)d->headers[i].value.len, (const char *)d->headers[i].value.ptr);
    }
}

/* Pieces of one body run together, so that the transcript does not depend on how the input was cut. */
static void note_event(transcript *t, const crt_h1_decoder *d, const crt_h1_event *event) {
    if (t->in_body && event->kind != CRT_H1_BODY) {
        note(t, "]");
        t->in_body = false;
    }
    switch (event->kind) {
    case CRT_H1_INTERIM:
        note(t, "(%d", d->status);
        note_headers(t, d);
        note(t, ")");
        break;
    case CRT_H1_HEAD:
        note(t, "<%d", d->status);
        note_headers(t, d);
        note(t, d->close ? " close>" : ">");
        break;
    case CRT_H1_TRAILERS:
        note(t, "{");
        note_headers(t, d);
        note(t, "}");
        break;
    case CRT_H1_BODY:
        note(t, t->in_body ? "%.*s" : "[%.*s", (int)event->body.len, (const char *)event->body.ptr);
        t->in_body = true;
        break;
    case CRT_H1_END:
        note(t, ".");
        break;
    case CRT_H1_ERROR: /* for ever, but it is noted once */
        note(t, strstr(t->text, "ERROR") ? "" : "ERROR");
        break;
    default:
        break;
    }
}

/* Feeds until the decoder asks for more. The input lies at the end of a heap block, so that a read past it is
   seen by the address sanitizer. */
static size_t feed(crt_h1_decoder *d, transcript *t, const char *data, size_t len) {
    uint8_t *block = malloc(len ? len : 1);
    memcpy(block, data, len);
    size_t used = 0;
    for (;;) {
        crt_h1_event event = crt_h1_decoder_next(d, crt_bytes_of(block + used, len - used), UINT64_MAX);
        bool was_body = t->in_body;
        if (event.kind != CRT_H1_NEED_DATA || !was_body) {
            note_event(t, d, &event);
        }
        used += event.consumed;
        if (event.kind == CRT_H1_NEED_DATA || event.kind == CRT_H1_ERROR) {
            break;
        }
    }
    free(block);
    return used;
}

/* In two pieces split at `cut`, or byte by byte. */
static void run(transcript *t, const char *in, size_t len, enum crt_h1_request_kind request, size_t cut, bool bytewise,
                bool eof) {
    crt_h1_decoder d;
    memset(t, 0, sizeof(*t));
    crt_h1_decoder_init(&d);
    crt_h1_decoder_begin(&d, request);
    size_t used = 0;
    for (size_t end = bytewise ? 1 : cut; end <= len; end = bytewise || end == len ? end + 1 : len) {
        used += feed(&d, t, in + used, end - used);
    }
    if (eof) {
        if (crt_h1_decoder_eof(&d)) {
            feed(&d, t, "", 0);
        } else {
            note(t, "CUT");
        }
    }
    if (used < len && !strstr(t->text, "ERROR")) {
        note(t, "+%zu", len - used);
    }
    crt_h1_decoder_free(&d);
}

static void expect_for(enum crt_h1_request_kind request, const char *in, size_t len, const char *expected, bool eof) {
    transcript t;
    for (size_t cut = 0; cut <= len; cut++) {
        run(&t, in, len, request, cut, false, eof);
        assert_string_equal(t.text, expected);
    }
    run(&t, in, len, request, 0, true, eof);
    assert_string_equal(t.text, expected);
}

static void expect(const char *in, const char *expected) {
    expect_for(CRT_H1_REQUEST_OTHER, in, strlen(in), expected, false);
}

/* Errors must not depend on the cut either, but events before the error may be seen. */
static void expect_error(const char *in) {
    transcript t;
    size_t len = strlen(in);
    for (size_t cut = 0; cut <= len + 1; cut++) {
        run(&t, in, len, CRT_H1_REQUEST_OTHER, cut > len ? 0 : cut, cut > len, false);
        if (!strstr(t.text, "ERROR")) {
            fail_msg("accepted %s as %s", in, t.text);
        }
    }
}

#define OK "HTTP/1.1 200 OK\r\n"

static void bodies_of_known_length(void **state) {
    expect(OK "Content-Length: 5\r\n\r\nhello", "<200 Content-Length=5>[hello].");
    expect(OK "content-length:0\r\n\r\n", "<200 content-length=0>.");
    expect(OK "\r\n", "<200>.");
    expect(OK "Content-Length: 5\r\n\r\nhel", "<200 Content-Length=5>[hel");
    expect(OK "Content-Length: 2\r\n\r\nhiHTTP", "<200 Content-Length=2>[hi].+4");
}

static void header_lines(void **state) {
    expect(OK "A: 1\r\na:\t2 \t\r\nEmpty:\r\nX: a\tb c\xff\r\n\r\n", "<200 A=1 a=2 Empty= X=a\tb c\xff>.");
    expect(OK "Long-Name-With!#$%&'*+-.^_`|~: v\r\n\r\n", "<200 Long-Name-With!#$%&'*+-.^_`|~=v>.");
}

static void status_lines(void **state) {
    expect("HTTP/1.1 200 \r\n\r\n", "<200>.");
    expect("HTTP/1.1 099 x\r\n\r\n", "<99>.");
    expect("HTTP/1.1 999 a b\tc\r\n\r\n", "<999>.");
    static const char *const bad[] = {
        "HTTP/1.1 200\r\n\r\n",   "HTTP/1.2 200 OK\r\n\r\n", "HTTP/2.0 200 OK\r\n\r\n", "HTTP/0.9 200 OK\r\n\r\n",
        "http/1.1 200 OK\r\n\r\n", "HTTP/1.1  200 OK\r\n\r\n", "HTTP/1.1 20 OK\r\n\r\n", "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 2x0 OK\r\n\r\n", "HTTP/1.1 +20 OK\r\n\r\n", "HTTP/1.1 200 O\x01K\r\n\r\n",
        "\r\nHTTP/1.1 200 OK\r\n\r\n",
        "SSH-2.0-OpenSSH", "HTTX", " HTTP/1.1 200 OK\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        expect_error(bad[i]);
    }
}

static void malformed_headers(void **state) {
    static const char *const bad[] = {
        OK "A: 1\r\n folded\r\n\r\n", OK "A: 1\r\n\tfolded\r\n\r\n", OK " A: 1\r\n\r\n", OK "A 1\r\n\r\n",
        OK "A : 1\r\n\r\n",
        OK ": 1\r\n\r\n", OK "A\r\n\r\n", OK "A: \x01\r\n\r\n", OK "A: x\ry\r\n\r\n", OK "A\x7f: x\r\n\r\n",
        OK "A: \x7f\r\n\r\n",
        OK "A(: x\r\n\r\n", OK "\xc3\xa4: x\r\n\r\n", OK "A: 1\r\n\rB: 2\r\n\r\n",
        OK "A: 0123456789abcdef\x1f 0123456789\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        expect_error(bad[i]);
    }
}

static void bare_line_feeds_are_refused_at_once(void **state) {
    expect_error("HTTP/1.1 200 OK\n");
    expect_error(OK "A: 1\n");
    expect_error(OK "A: 1\r\n\n");
    expect_error(OK "\n");
    expect_error(OK "A: x\ny\r\n");
    expect_error(OK "Transfer-Encoding: chunked\r\n\r\n5\nhello\r\n");
}

static void nul_bytes_are_refused(void **state) {
    static const char in[] = OK "A: x\0y\r\n\r\n";
    expect_for(CRT_H1_REQUEST_OTHER, in, sizeof(in) - 1, "ERROR", false);
}

static void conflicting_framing_is_refused(void **state) {
    static const char *const bad[] = {
        "Content-Length: 5\r\nContent-Length: 5", "Content-Length: 5\r\ncontent-length: 6", "Content-Length: 5, 5",
        "Content-Length: +5", "Content-Length: -5", "Content-Length: 0x5", "Content-Length: 5 5", "Content-Length:",
        "Content-Length: 18446744073709551616", "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 0", "Transfer-Encoding: gzip",
        "Transfer-Encoding: chunked, gzip",
        "Transfer-Encoding: chunked, chunked", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: identity, chunked", "Transfer-Encoding: xchunked", "Transfer-Encoding:",
        "Transfer-Encoding: ,chunked", "Transfer-Encoding: chunked;q=1", "Transfer-Encoding: \"chunked\"",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char in[300];
        snprintf(in, sizeof(in), OK "%s\r\n\r\n0\r\n\r\n", bad[i]);
        expect_error(in);
    }
}

static void chunked_bodies(void **state) {
    const char *te = "<200 Transfer-Encoding=chunked>";
    char expected[200];
    snprintf(expected, sizeof(expected), "%s[hello world].", te);
    expect(OK "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", expected);
    expect(OK "Transfer-Encoding: chunked\r\n\r\n00005\r\nhello\r\n6;ext=\"v\"\r\n world\r\n0 ; x\r\n\r\n", expected);
    expect(OK "Transfer-Encoding: chunked\r\n\r\n5  \r\nhello\r\n6\r\n world\r\n0\r\nT: 1\r\nU:2\r\n\r\n",
           "<200 Transfer-Encoding=chunked>[hello world]{ T=1 U=2}.");
    expect(OK "Transfer-Encoding: CHUNKED\r\n\r\nB\r\nhello world\r\n0\r\n\r\n",
           "<200 Transfer-Encoding=CHUNKED>[hello world].");
    expect(OK "Transfer-Encoding: gzip, chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
           "<200 Transfer-Encoding=gzip, chunked>[x].");
    expect(OK "Transfer-Encoding: x-gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
           "<200 Transfer-Encoding=x-gzip Transfer-Encoding=chunked>.");
}

static void malformed_chunks(void **state) {
    static const char *const bad[] = {
        "x\r\n", "\r\n", "-1\r\n", " 5\r\nhello\r\n", "5\r\nhelloX\r\n", "5\r\nhello\n", "5\rhello\r\n",
        "5 5\r\nhello\r\n", "0x5\r\n",
        "10000000000000000\r\n", "5;\x01\r\nhello\r\n", "0\r\nbad trailer\r\n\r\n", "0\r\n folded: x\r\n\r\n",
        "0\r\nA: 1\n",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char in[300];
        snprintf(in, sizeof(in), OK "Transfer-Encoding: chunked\r\n\r\n%s", bad[i]);
        expect_error(in);
    }
}

static void responses_without_body(void **state) {
    const char *with_length = OK "Content-Length: 5\r\n\r\n";
    expect_for(CRT_H1_REQUEST_HEAD, with_length, strlen(with_length), "<200 Content-Length=5>.", false);
    const char *chunked = OK "Transfer-Encoding: chunked\r\n\r\n";
    expect_for(CRT_H1_REQUEST_HEAD, chunked, strlen(chunked), "<200 Transfer-Encoding=chunked>.", false);
    expect_for(CRT_H1_REQUEST_CONNECT, with_length, strlen(with_length), "<200 Content-Length=5>.", false);
    const char *refused = "HTTP/1.1 407 No\r\nContent-Length: 2\r\n\r\nno";
    expect_for(CRT_H1_REQUEST_CONNECT, refused, strlen(refused), "<407 Content-Length=2>[no].", false);
    expect("HTTP/1.1 304 NM\r\nContent-Length: 5\r\n\r\n", "<304 Content-Length=5>.");
    expect("HTTP/1.1 204 NC\r\nContent-Length: 0\r\n\r\n", "<204 Content-Length=0>.");
    expect("HTTP/1.1 204 NC\r\nConnection: close\r\n\r\n", "<204 Connection=close close>.");
    expect_error("HTTP/1.1 204 NC\r\nContent-Length: 5\r\n\r\nhello");
    expect_error("HTTP/1.1 204 NC\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
}

static void interim_responses_are_told(void **state) {
    expect("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: x\r\n\r\n" OK "Content-Length: 1\r\n\r\nx",
           "(100)(103 Link=x)<200 Content-Length=1>[x].");
    expect("HTTP/1.1 100 C\r\nContent-Length: 0\r\n\r\n" OK "\r\n", "(100 Content-Length=0)<200>.");
    expect_error("HTTP/1.1 100 C\r\nContent-Length: 1\r\n\r\nx");
    expect_error("HTTP/1.1 100 C\r\nTransfer-Encoding: chunked\r\n\r\n");
    expect("HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\n\r\n\x81", "<101 Upgrade=websocket>.+1");
}

static void bodies_until_close(void **state) {
    const char *old = "HTTP/1.0 200 OK\r\n\r\nall of it";
    expect_for(CRT_H1_REQUEST_OTHER, old, strlen(old), "<200 close>[all of it].", true);
    const char *closing = OK "Connection: Close\r\n\r\nall of it";
    expect_for(CRT_H1_REQUEST_OTHER, closing, strlen(closing), "<200 Connection=Close close>[all of it].", true);
    const char *kept = "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi";
    expect_for(CRT_H1_REQUEST_OTHER, kept, strlen(kept), "<200 Content-Length=2>[hi].", false);
    const char *old_chunked = "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    expect_for(CRT_H1_REQUEST_OTHER, old_chunked, strlen(old_chunked), "<200 Transfer-Encoding=chunked close>.", false);
}

static void early_end_is_noticed(void **state) {
    static const char *const cut[] = {"", "HTTP/1.1 2", OK "A: 1\r\n", OK "Content-Length: 5\r\n\r\nhell",
                                      OK "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n"};
    for (size_t i = 0; i < sizeof(cut) / sizeof(cut[0]); i++) {
        transcript t;
        run(&t, cut[i], strlen(cut[i]), CRT_H1_REQUEST_OTHER, 0, false, true);
        assert_non_null(strstr(t.text, "CUT"));
    }
}

static void connection_close_is_the_whole_value(void **state) {
    expect(OK "Connection: CLOSE\r\nContent-Length: 0\r\n\r\n", "<200 Connection=CLOSE Content-Length=0 close>.");
    expect(OK "Connection: keep-alive, close\r\nContent-Length: 0\r\n\r\n",
           "<200 Connection=keep-alive, close Content-Length=0>.");
}

/* What cannot become a response is refused before its end has come. */
static void broken_lines_are_refused_at_once(void **state) {
    static const char *const broken[] = {
        "HTTP/1.1 200 O\x01K\r\n", OK "no colon\r\n", OK "A: 1\r\n folded\r\n", OK "A: \x02\r\n",
        OK "Transfer-Encoding: chunked\r\n\r\n5x", OK "Transfer-Encoding: chunked\r\n\r\n0\r\nno colon\r\n",
    };
    for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
        expect_error(broken[i]);
    }
}

static void heads_are_limited(void **state) {
    size_t len = CRT_H1_HEAD_LIMIT + 100;
    char *in = malloc(len + 1);
    memset(in, 'x', len);
    in[len] = 0;
    memcpy(in, OK "A: ", strlen(OK "A: "));
    transcript t;
    run(&t, in, CRT_H1_HEAD_LIMIT, CRT_H1_REQUEST_OTHER, 0, false, false);
    assert_null(strstr(t.text, "ERROR"));
    run(&t, in, len, CRT_H1_REQUEST_OTHER, 0, false, false);
    assert_string_equal(t.text, "ERROR");
    memcpy(in, OK "Transfer-Encoding: chunked\r\n\r\n0\r\nA: ",
           strlen(OK "Transfer-Encoding: chunked\r\n\r\n0\r\nA: "));
    run(&t, in, len, CRT_H1_REQUEST_OTHER, 0, false, false);
    assert_non_null(strstr(t.text, "ERROR"));
    memcpy(in, OK "Transfer-Encoding: chunked\r\n\r\n5;a=", strlen(OK "Transfer-Encoding: chunked\r\n\r\n5;a="));
    run(&t, in, 2000, CRT_H1_REQUEST_OTHER, 0, false, false);
    assert_non_null(strstr(t.text, "ERROR"));
    free(in);
}

static void many_headers_and_reuse(void **state) {
    crt_h1_decoder d;
    crt_h1_decoder_init(&d);
    char in[20000];
    int len = snprintf(in, sizeof(in), OK);
    for (int i = 0; i < 1000; i++) {
        len += snprintf(in + len, sizeof(in) - (size_t)len, "h%d: v%d\r\n", i, i);
    }
    len += snprintf(in + len, sizeof(in) - (size_t)len, "\r\n");
    for (int round = 0; round < 2; round++) {
        crt_h1_decoder_begin(&d, CRT_H1_REQUEST_OTHER);
        crt_h1_event event = crt_h1_decoder_next(&d, crt_bytes_of(in, (size_t)len), UINT64_MAX);
        assert_int_equal(event.kind, CRT_H1_HEAD);
        assert_int_equal(d.header_count, 1000);
        assert_true(crt_bytes_eq(d.headers[999].value, crt_bytes_str("v999")));
        assert_int_equal(crt_h1_decoder_next(&d, crt_bytes_of(NULL, 0), UINT64_MAX).kind, CRT_H1_END);
    }
    crt_h1_decoder_free(&d);
}

static void body_can_be_rationed_and_bypassed(void **state) {
    crt_h1_decoder d;
    crt_h1_decoder_init(&d);
    crt_h1_decoder_begin(&d, CRT_H1_REQUEST_OTHER);
    const char *in = OK "Content-Length: 100\r\n\r\n0123456789";
    crt_bytes view = crt_bytes_str(in);
    crt_h1_event event = crt_h1_decoder_next(&d, view, 0);
    assert_int_equal(event.kind, CRT_H1_HEAD);
    view = crt_bytes_of(view.ptr + event.consumed, view.len - event.consumed);
    assert_int_equal(crt_h1_decoder_body_left(&d), 100);
    event = crt_h1_decoder_next(&d, view, 0);
    assert_int_equal(event.kind, CRT_H1_BLOCKED);
    assert_int_equal(event.consumed, 0);
    event = crt_h1_decoder_next(&d, view, 4);
    assert_int_equal(event.kind, CRT_H1_BODY);
    assert_int_equal(event.body.len, 4);
    assert_int_equal(crt_h1_decoder_raw_body(&d), 96);
    crt_h1_decoder_skip(&d, 96);
    event = crt_h1_decoder_next(&d, crt_bytes_of(NULL, 0), 0);
    assert_int_equal(event.kind, CRT_H1_END);
    crt_h1_decoder_free(&d);
}

static void nothing_leaks(void **state) {
    assert_int_equal(crt_memory_live(), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bodies_of_known_length),
        cmocka_unit_test(header_lines),
        cmocka_unit_test(status_lines),
        cmocka_unit_test(malformed_headers),
        cmocka_unit_test(bare_line_feeds_are_refused_at_once),
        cmocka_unit_test(nul_bytes_are_refused),
        cmocka_unit_test(conflicting_framing_is_refused),
        cmocka_unit_test(chunked_bodies),
        cmocka_unit_test(malformed_chunks),
        cmocka_unit_test(responses_without_body),
        cmocka_unit_test(interim_responses_are_told),
        cmocka_unit_test(bodies_until_close),
        cmocka_unit_test(early_end_is_noticed),
        cmocka_unit_test(connection_close_is_the_whole_value),
        cmocka_unit_test(broken_lines_are_refused_at_once),
        cmocka_unit_test(heads_are_limited),
        cmocka_unit_test(many_headers_and_reuse),
        cmocka_unit_test(body_can_be_rationed_and_bypassed),
        cmocka_unit_test(nothing_leaks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
