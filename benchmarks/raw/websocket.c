/*
 * A WebSocket server that does as little as it can, so that the client's work is what is measured:
 *   GET /echo            sends every frame back
 *   GET /sink            swallows frames; a text frame is answered with one
 *   GET /flood/SIZE/N    sends N binary frames of SIZE bytes, and ends with the first word of the client
 *
 * usage: websocket PORT
 */
#define _GNU_SOURCE /* strcasestr */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BUFFER = 1 << 20 };

typedef struct peer {
    int fd;
    uint8_t *in;
    size_t start, end;
} peer;

static int send_all(int fd, const void *data, size_t len) {
    const uint8_t *p = data;
    while (len > 0) {
        ssize_t n = send(fd, p, len, MSG_NOSIGNAL);
        if (n <= 0) {
            return -1;
        }
        p += n;
        len -= (size_t)n;
    }
    return 0;
}

/* More input behind what is there; what is unread moves to the front when the end is near. */
static int fill(peer *p) {
    if (p->start == p->end) {
        p->start = p->end = 0;
    } else if (BUFFER - p->end < BUFFER / 4) {
        memmove(p->in, p->in + p->start, p->end - p->start);
        p->end -= p->start;
        p->start = 0;
    }
    ssize_t n = recv(p->fd, p->in + p->end, BUFFER - p->end, 0);
    if (n <= 0) {
        return -1;
    }
    p->end += (size_t)n;
    return 0;
}

static int handshake(peer *p, char path[64]) {
    char text[256], answer[512];
    uint8_t digest[SHA_DIGEST_LENGTH], accept[32];
    do {
        if (fill(p)) {
            return -1;
        }
        p->in[p->end] = 0;
    } while (!strstr((char *)p->in, "\r\n\r\n"));
    char *key = strcasestr((char *)p->in, "sec-websocket-key: ");
    if (!key || sscanf((char *)p->in, "GET %63s", path) != 1) {
        return -1;
    }
    int n = snprintf(text, sizeof(text), "%.24s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key + 19);
    SHA1((uint8_t *)text, (size_t)n, digest);
    EVP_EncodeBlock(accept, digest, sizeof(digest));
    n = snprintf(answer, sizeof(answer),
                 "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                 "Sec-WebSocket-Accept: %s\r\n\r\n",
                 accept);
    p->start = (size_t)(strstr((char *)p->in, "\r\n\r\n") + 4 - (char *)p->in);
    return send_all(p->fd, answer, (size_t)n);
}

static size_t put_header(uint8_t *to, int opcode, uint64_t length) {
    to[0] = (uint8_t)(0x80 | opcode);
    if (length < 126) {
        to[1] = (uint8_t)length;
        return 2;
    }
    size_t bytes = length < 65536 ? 2 : 8;
    to[1] = bytes == 2 ? 126 : 127;
    for (size_t i = 0; i < bytes; i++) {
        to[2 + i] = (uint8_t)(length >> (8 * (bytes - 1 - i)));
    }
    return 2 + bytes;
}

/* Header of the next frame: opcode and length; the mask follows it. 0, or -1 at the end. */
static int next_header(peer *p, int *opcode, uint64_t *length, uint8_t mask[4]) {
    for (;;) {
        const uint8_t *h = p->in + p->start;
        size_t have = p->end - p->start;
        size_t extra = have >= 2 ? ((h[1] & 127) == 126 ? 2 : (h[1] & 127) == 127 ? 8 : 0) : 0;
        if (have >= 2 && have >= 6 + extra) {
            *opcode = h[0] & 15;
            *length = extra ? 0 : h[1] & 127;
            for (size_t i = 0; i < extra; i++) {
                *length = *length << 8 | h[2 + i];
            }
            memcpy(mask, h + 2 + extra, 4);
            p->start += 6 + extra;
            return 0;
        }
        if (fill(p)) {
            return -1;
        }
    }
}

static int skip(peer *p, uint64_t n) {
    while (n > p->end - p->start) {
        n -= p->end - p->start;
        p->start = p->end;
        if (fill(p)) {
            return -1;
        }
    }
    p->start += (size_t)n;
    return 0;
}

static void sink(peer *p) {
    static const uint8_t answer[] = {0x81, 2, 'o', 'k'};
    int opcode;
    uint64_t length;
    uint8_t mask[4];
    while (!next_header(p, &opcode, &length, mask) && opcode != 8 && !skip(p, length)) {
        if (opcode == 1 && send_all(p->fd, answer, sizeof(answer))) {
            return;
        }
    }
}

static void echo(peer *p) {
    int opcode;
    uint64_t length;
    uint8_t mask[4], *out = malloc(BUFFER);
    while (!next_header(p, &opcode, &length, mask) && opcode != 8 && length < BUFFER / 4) {
        while (p->end - p->start < length) {
            if (fill(p)) {
                free(out);
                return;
            }
        }
        size_t n = put_header(out, opcode, length);
        for (size_t i = 0; i < length; i++) {
            out[n + i] = p->in[p->start + i] ^ mask[i & 3];
        }
        p->start += (size_t)length;
        if (send_all(p->fd, out, n + (size_t)length)) {
            break;
        }
    }
    free(out);
}

static void flood(peer *p, size_t size, size_t count) {
    uint8_t header[10], *block = calloc(1, BUFFER);
    size_t header_len = put_header(header, 2, size), frame = header_len + size;
    size_t per_block = BUFFER / frame;
    if (!block || per_block == 0) {
        free(block);
        return;
    }
    for (size_t i = 0; i < per_block; i++) {
        memcpy(block + i * frame, header, header_len);
    }
    while (count > 0) {
        size_t n = count < per_block ? count : per_block;
        if (send_all(p->fd, block, n * frame)) {
            break;
        }
        count -= n;
    }
    free(block);
    fill(p); /* its CLOSE, or its end */
}

static void *serve(void *argument) {
    peer p = {.fd = (int)(intptr_t)argument, .in = malloc(BUFFER + 1)};
    char path[64];
    size_t size, count;
    if (p.in && !handshake(&p, path)) {
        if (sscanf(path, "/flood/%zu/%zu", &size, &count) == 2) {
            flood(&p, size, count);
        } else if (strcmp(path, "/sink") == 0) {
            sink(&p);
        } else {
            echo(&p);
        }
    }
    close(p.fd);
    free(p.in);
    return NULL;
}

int main(int argc, char **argv) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    if (argc != 2) {
        fprintf(stderr, "usage: websocket PORT\n");
        return 2;
    }
    address.sin_port = htons((uint16_t)atoi(argv[1]));
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(listener, (struct sockaddr *)&address, sizeof(address)) || listen(listener, 16)) {
        perror("websocket");
        return 1;
    }
    for (;;) {
        pthread_t thread;
        int fd = accept(listener, NULL, NULL);
        if (fd < 0) {
            continue;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        if (pthread_create(&thread, NULL, serve, (void *)(intptr_t)fd) == 0) {
            pthread_detach(thread);
        } else {
            close(fd);
        }
    }
}
