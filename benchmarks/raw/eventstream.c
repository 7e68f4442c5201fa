/*
 * A small event-stream RPC server, so that the client is what is measured.
 *
 *   eventstream <port>
 *
 * CONNECT is acknowledged. A message on a stream is answered as its first payload byte says: 'e' with one message
 * that ends the stream, 's' with as many messages as the decimal number behind it, the last of which ends the stream.
 * One thread per connection. It trusts its client: lengths are checked, checksums of received messages are not.
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { APPLICATION_MESSAGE = 0, CONNECT = 4, CONNECT_ACK = 5 };
enum { CONNECTION_ACCEPTED = 1, TERMINATE_STREAM = 2 };
enum { PRELUDE = 12, TRAILER = 4, LARGEST = 1 << 20, PAYLOAD = 64 };

static uint32_t crc_table[256];

static void init_crc(void) {
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t crc = byte;
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc >> 1) ^ (crc & 1 ? 0xedb88320u : 0);
        }
        crc_table[byte] = crc;
    }
}

static uint32_t crc32_of(const uint8_t *data, size_t len) {
    uint32_t crc = 0xffffffffu;
    for (size_t i = 0; i < len; i++) {
        crc = (crc >> 8) ^ crc_table[(crc ^ data[i]) & 0xff];
    }
    return ~crc;
}

static uint32_t get_u32(const uint8_t *at) {
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static uint8_t *put_u32(uint8_t *at, uint32_t value) {
    *at++ = (uint8_t)(value >> 24);
    *at++ = (uint8_t)(value >> 16);
    *at++ = (uint8_t)(value >> 8);
    *at++ = (uint8_t)value;
    return at;
}

static uint8_t *put_header(uint8_t *at, const char *name, uint32_t value) {
    size_t len = strlen(name);
    *at++ = (uint8_t)len;
    memcpy(at, name, len);
    at += len;
    *at++ = 4; /* INT32 */
    return put_u32(at, value);
}

/* One message; returns its length. */
static size_t put_message(uint8_t *out, uint32_t type, uint32_t flags, uint32_t stream, size_t payload) {
    uint8_t *at = put_header(out + PRELUDE, ":message-type", type);
    at = put_header(at, ":message-flags", flags);
    at = put_header(at, ":stream-id", stream);
    uint32_t headers = (uint32_t)(at - out - PRELUDE);
    memset(at, 'x', payload);
    at += payload;
    size_t total = (size_t)(at - out) + TRAILER;
    put_u32(out, (uint32_t)total);
    put_u32(out + 4, headers);
    put_u32(out + 8, crc32_of(out, 8));
    put_u32(at, crc32_of(out, total - TRAILER));
    return total;
}

/* The value of an INT32 header; 0 when it is not there. */
static uint32_t find_header(const uint8_t *headers, size_t len, const char *name) {
    size_t size = strlen(name);
    for (size_t i = 0; i + 1 + size + 5 <= len; i++) {
        if (headers[i] == size && memcmp(headers + i + 1, name, size) == 0 && headers[i + 1 + size] == 4) {
            return get_u32(headers + i + 2 + size);
        }
    }
    return 0;
}

static int send_all(int fd, const uint8_t *data, size_t len) {
    while (len > 0) {
        ssize_t sent = write(fd, data, len);
        if (sent <= 0) {
            return -1;
        }
        data += sent;
        len -= (size_t)sent;
    }
    return 0;
}

static int send_stream(int fd, uint32_t stream, unsigned long count) {
    static __thread uint8_t batch[64 * 1024];
    size_t filled = 0;
    for (unsigned long i = 1; i <= count; i++) {
        filled += put_message(batch + filled, APPLICATION_MESSAGE, i == count ? TERMINATE_STREAM : 0, stream, PAYLOAD);
        if (i == count || filled + 512 > sizeof(batch)) {
            if (send_all(fd, batch, filled)) {
                return -1;
            }
            filled = 0;
        }
    }
    return 0;
}

static int answer(int fd, const uint8_t *message, size_t total) {
    size_t headers_len = get_u32(message + 4);
    if (headers_len > total - PRELUDE - TRAILER) {
        return -1;
    }
    const uint8_t *headers = message + PRELUDE, *payload = headers + headers_len;
    size_t payload_len = total - PRELUDE - TRAILER - headers_len;
    uint32_t stream = find_header(headers, headers_len, ":stream-id");
    if (find_header(headers, headers_len, ":message-type") == CONNECT) {
        uint8_t out[256];
        return send_all(fd, out, put_message(out, CONNECT_ACK, CONNECTION_ACCEPTED, 0, 0));
    }
    char text[32] = "";
    memcpy(text, payload, payload_len < sizeof(text) - 1 ? payload_len : sizeof(text) - 1);
    return send_stream(fd, stream, text[0] == 's' ? strtoul(text + 1, NULL, 10) : 1);
}

static void *serve(void *argument) {
    int fd = (int)(intptr_t)argument, on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    uint8_t *buffer = malloc(LARGEST);
    size_t filled = 0;
    ssize_t got;
    while (buffer && (got = read(fd, buffer + filled, LARGEST - filled)) > 0) {
        filled += (size_t)got;
        size_t done = 0;
        while (filled - done >= PRELUDE) {
            size_t total = get_u32(buffer + done);
            if (total < PRELUDE + TRAILER || total > LARGEST) {
                goto cleanup;
            }
            if (filled - done < total) {
                break;
            }
            if (answer(fd, buffer + done, total)) {
                goto cleanup;
            }
            done += total;
        }
        memmove(buffer, buffer + done, filled - done);
        filled -= done;
    }
cleanup:
    free(buffer);
    close(fd);
    return NULL;
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: eventstream <port>\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    init_crc();
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[1]))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(listener, (struct sockaddr *)&address, sizeof(address)) || listen(listener, 64)) {
        perror("eventstream");
        return 1;
    }
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        pthread_t thread;
        if (fd < 0 || pthread_create(&thread, NULL, serve, (void *)(intptr_t)fd)) {
            return 1;
        }
        pthread_detach(thread);
    }
}
