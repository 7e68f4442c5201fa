/* WebSocket connections by message: compression, long messages, many senders, the closing handshake; and
   permessage-deflate by itself. */
#include "http_support.h"

#include "../http/ws_codec.h"
#include "../http/ws_deflate.h"
#include "../http/ws_handshake.h"

/* ---- the server's side: sends every message frame back as it came ---- */

static const char *extra_header = "";

static bool read_bytes(peer *p, int fd, size_t n, uint8_t *to) {
    const step s = {STEP_READ_LEN, NULL, n};
    if (n > 0 && !peer_step(p, fd, &s)) {
        return false;
    }
    memcpy(to, p->received + p->seen - n, n);
    return true;
}

static bool echo_frame(peer *p, int fd, int *opcode) {
    uint8_t header[16], mask[4];
    if (!read_bytes(p, fd, 2, header)) {
        return false;
    }
    size_t len = header[1] & 0x7f, extra = len == 126 ? 2 : len == 127 ? 8 : 0;
    if (!read_bytes(p, fd, extra, header + 2) || !read_bytes(p, fd, 4, mask)) {
        return false;
    }
    len = extra ? 0 : len;
    for (size_t i = 0; i < extra; i++) {
        len = len << 8 | header[2 + i];
    }
    uint8_t *payload = malloc(len + 1);
    bool good = read_bytes(p, fd, len, payload);
    crt_ws_mask(payload, payload, good ? len : 0, mask, 0);
    header[1] &= 0x7f;
    *opcode = header[0] & 0x0f;
    good = good && peer_send(fd, (const char *)header, 2 + extra) && peer_send(fd, (const char *)payload, len);
    free(payload);
    return good;
}

static void serve_echo(peer *p, int fd) {
    char accept[CRT_WS_ACCEPT_LEN], answer[400];
    const step request = READ("\r\n\r\n");
    int opcode = 0;
    if (!peer_step(p, fd, &request)) {
        p->failed = "the handshake";
        return;
    }
    const char *key = strstr(p->received, "Sec-WebSocket-Key: ") + 19;
    crt_ws_accept_of(crt_bytes_of(key, CRT_WS_KEY_LEN), accept);
    int n = snprintf(answer, sizeof(answer),
                     "HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %.*s\r\n%s\r\n",
                     CRT_WS_ACCEPT_LEN, accept, extra_header);
    peer_send(fd, answer, (size_t)n);
    while (opcode != CRT_WS_CLOSE && echo_frame(p, fd, &opcode)) {
    }
}

/* ---- the client's side ---- */

typedef struct side {
    peer p;
    client c;
    crt_websocket *ws;
    crt_fault setup_fault;
    crt_fault end_fault;
    latch ready;
    latch ended;
    latch messages;
    uint64_t bytes;
    bool damaged;
} side;

static void on_setup(void *user, const crt_fault *fault, crt_websocket *ws, const crt_ws_response *response) {
    side *s = user;
    s->setup_fault = *fault;
    s->ws = ws;
    latch_add(&s->ready, 1);
}

static int on_piece(void *user, const crt_ws_piece *piece) {
    side *s = user;
    if (piece->opcode == CRT_WS_BINARY) {
        s->bytes += piece->data.len;
        for (size_t i = 1; i < piece->data.len; i++) {
            s->damaged = s->damaged || piece->data.ptr[i] != (uint8_t)(piece->data.ptr[0] + i);
        }
        latch_add(&s->messages, 1);
    }
    return 0;
}

static void on_shutdown(void *user, const crt_fault *fault) {
    side *s = user;
    s->end_fault = *fault;
    latch_add(&s->ended, 1);
}

static const crt_websocket_handler handler = {on_setup, on_piece, NULL, NULL, on_shutdown};

static crt_http_message *handshake_request(void) {
    static const char *const pairs[][2] = {{"Host", "x"},
                                           {"Upgrade", "websocket"},
                                           {"Connection", "Upgrade"},
                                           {"Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="},
                                           {"Sec-WebSocket-Version", "13"}};
    crt_http_message *message = crt_http_message_new(NULL);
    crt_http_message_set_method(message, crt_bytes_str("GET"));
    crt_http_message_set_path(message, crt_bytes_str("/"));
    for (size_t i = 0; i < 5; i++) {
        crt_http_headers_add(crt_http_message_headers(message), crt_bytes_str(pairs[i][0]), crt_bytes_str(pairs[i][1]));
    }
    return message;
}

static void side_open(side *s, const crt_ws_deflate_options *deflate) {
    memset(s, 0, sizeof(*s));
    peer_start_serving(&s->p, serve_echo);
    client_init(&s->c);
    latch_init(&s->ready);
    latch_init(&s->ended);
    latch_init(&s->messages);
    crt_http_connect_options http = client_options(&s->c, s->p.port);
    crt_http_message *request = handshake_request();
    const crt_websocket_options options = {
        .target = http.target,
        .request = request,
        .messages = true,
        .max_message = 8 << 20,
        .close_timeout_ms = 5000,
        .deflate = deflate,
        .handler = &handler,
        .user = s,
    };
    assert_int_equal(crt_websocket_connect(&options), 0);
    crt_http_message_release(request);
    latch_wait(&s->ready, 1);
    assert_int_equal(s->setup_fault.code, 0);
    assert_int_equal(crt_websocket_compresses(s->ws), deflate != NULL);
}

static void side_end(side *s) {
    const uint8_t normal[2] = {0x03, 0xe8};
    crt_websocket_close(s->ws, crt_bytes_of(normal, 2));
    latch_wait(&s->ended, 1);
    assert_int_equal(s->end_fault.code, 0);
    assert_false(s->damaged);
    crt_websocket_release(s->ws);
    client_end(&s->c);
    peer_end(&s->p);
    latch_destroy(&s->ready);
    latch_destroy(&s->ended);
    latch_destroy(&s->messages);
}

static uint8_t *pattern(size_t len, uint8_t first) {
    uint8_t *bytes = malloc(len + 1);
    for (size_t i = 0; i < len; i++) {
        bytes[i] = (uint8_t)(first + i);
    }
    return bytes;
}

static const size_t sizes[] = {0, 1, 125, 126, 65535, 65536, 262144, 1000000};
enum { SIZES = sizeof(sizes) / sizeof(sizes[0]) };

static void echo_sizes(const crt_ws_deflate_options *deflate) {
    side s;
    uint64_t total = 0;
    side_open(&s, deflate);
    for (size_t i = 0; i < SIZES; i++) {
        uint8_t *bytes = pattern(sizes[i], (uint8_t)i);
        const crt_ws_outgoing frame = {
            .opcode = CRT_WS_BINARY, .fin = true, .compress = i % 3 != 0, .payload = crt_bytes_of(bytes, sizes[i])};
        assert_int_equal(crt_websocket_send(s.ws, &frame), 0);
        total += sizes[i];
        free(bytes);
    }
    latch_wait(&s.messages, SIZES);
    assert_int_equal(s.bytes, total);
    side_end(&s);
}

static void messages_of_all_sizes(void **state) {
    extra_header = "";
    echo_sizes(NULL);
}

static void compressed_messages_of_all_sizes(void **state) {
    const crt_ws_deflate_options offer = {.server_max_window_bits = 15, .client_max_window_bits = 15};
    extra_header = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
    echo_sizes(&offer);
    extra_header = "";
}

enum { THREADS = 4, PER_THREAD = 500, LENGTH = 300 };

static void send_many(void *arg) {
    side *s = arg;
    uint8_t *bytes = pattern(LENGTH, 7);
    const crt_ws_outgoing frame = {.opcode = CRT_WS_BINARY, .fin = true, .payload = crt_bytes_of(bytes, LENGTH)};
    for (int i = 0; i < PER_THREAD; i++) {
        crt_websocket_send(s->ws, &frame);
        crt_websocket_unsent(s->ws);
    }
    free(bytes);
}

static void many_threads_send(void **state) {
    side s;
    uv_thread_t threads[THREADS];
    side_open(&s, NULL);
    for (int i = 0; i < THREADS; i++) {
        uv_thread_create(&threads[i], send_many, &s);
    }
    for (int i = 0; i < THREADS; i++) {
        uv_thread_join(&threads[i]);
    }
    latch_wait(&s.messages, THREADS * PER_THREAD);
    assert_int_equal(s.bytes, THREADS * PER_THREAD * LENGTH);
    side_end(&s);
}

/* ---- permessage-deflate ---- */

static const crt_ws_deflate_options plain_offer = {.server_max_window_bits = 15, .client_max_window_bits = 15};

static void answers_are_checked(void **state) {
    static const struct {
        const char *answer;
        bool good;
    } rows[] = {
        {"permessage-deflate", true},
        {"permessage-deflate; client_max_window_bits=8", true},
        {"permessage-deflate;server_max_window_bits=\"10\" ; client_no_context_takeover", true},
        {"permessage-deflate; server_max_window_bits=7", false},
        {"permessage-deflate; server_max_window_bits=16", false},
        {"permessage-deflate; server_max_window_bits=010", false},
        {"permessage-deflate; server_max_window_bits", false},
        {"permessage-deflate; client_no_context_takeover=1", false},
        {"permessage-deflate; client_no_context_takeover; client_no_context_takeover", false},
        {"permessage-deflate; x", false},
        {"permessage-deflate;", false},
        {"x-webkit-deflate-frame", false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        crt_ws_deflate d;
        const char *why = crt_ws_deflate_accept(&d, &plain_offer, crt_bytes_str(rows[i].answer));
        if ((why == NULL) != rows[i].good) {
            fail_msg("%s: %s", rows[i].answer, why ? why : "taken");
        }
        crt_ws_deflate_free(&d);
    }
}

static void a_window_of_8_bits_sends_as_it_is(void **state) {
    crt_ws_deflate d;
    assert_null(crt_ws_deflate_accept(&d, &plain_offer, crt_bytes_str("permessage-deflate; client_max_window_bits=8")));
    assert_true(d.agreed);
    assert_false(crt_ws_deflate_can_send(&d));
}

static void a_bomb_stops_at_the_limit(void **state) {
    crt_ws_deflate d;
    crt_buf small = CRT_BUF_INIT, large = CRT_BUF_INIT;
    uint8_t *zeros = calloc(1, 1 << 20);
    assert_null(crt_ws_deflate_accept(&d, &plain_offer, crt_bytes_str("permessage-deflate")));
    assert_int_equal(crt_ws_deflate_send(&d, crt_bytes_of(zeros, 1 << 20), true, &small), 0);
    assert_true(crt_buf_len(&small) < 2000);
    assert_int_equal(crt_ws_deflate_receive(&d, crt_buf_view(&small), true, 5000, &large), CRT_WS_INFLATE_TOO_BIG);
    assert_int_equal(crt_buf_len(&large), 5001);
    crt_buf_free(&small);
    crt_buf_free(&large);
    crt_ws_deflate_free(&d);
    free(zeros);
}

static void the_limit_itself_is_allowed(void **state) {
    crt_ws_deflate d;
    crt_buf small = CRT_BUF_INIT, large = CRT_BUF_INIT;
    uint8_t *zeros = calloc(1, 8192);
    assert_null(crt_ws_deflate_accept(&d, &plain_offer, crt_bytes_str("permessage-deflate")));
    assert_int_equal(crt_ws_deflate_send(&d, crt_bytes_of(zeros, 8192), true, &small), 0);
    assert_int_equal(crt_ws_deflate_receive(&d, crt_buf_view(&small), true, 8192, &large), CRT_WS_INFLATED);
    assert_int_equal(crt_buf_len(&large), 8192);
    crt_buf_free(&small);
    crt_buf_free(&large);
    crt_ws_deflate_free(&d);
    free(zeros);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_of_all_sizes),
        cmocka_unit_test(compressed_messages_of_all_sizes),
        cmocka_unit_test(many_threads_send),
        cmocka_unit_test(answers_are_checked),
        cmocka_unit_test(a_window_of_8_bits_sends_as_it_is),
        cmocka_unit_test(a_bomb_stops_at_the_limit),
        cmocka_unit_test(the_limit_itself_is_allowed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
