/*
 * An upload endpoint that costs next to nothing, so that the client is what is measured: reads each request's body
 * into one reused buffer, forgets it, and answers like S3 (an ETag; fixed XML for the multipart calls). A thread per
 * connection; TLS on the second port.
 *
 *   sink PLAIN_PORT TLS_PORT CERTIFICATE KEY
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUFFER (256 * 1024)

static SSL_CTX *tls;

typedef struct peer {
    int fd;
    SSL *ssl;
    size_t have;
    char buffer[BUFFER + 1];
} peer;

static ssize_t receive(peer *p, char *to, size_t n) {
    return p->ssl ? SSL_read(p->ssl, to, (int)n) : recv(p->fd, to, n, 0);
}

static int answer(peer *p, const char *body) {
    char text[1024];
    int n = snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\nETag: \"e\"\r\nContent-Length: %zu\r\n\r\n%s", strlen(body), body);
    ssize_t sent = p->ssl ? SSL_write(p->ssl, text, n) : send(p->fd, text, (size_t)n, MSG_NOSIGNAL);
    return sent == n;
}

/* One request; false when the connection is over. */
static int serve(peer *p) {
    char *end;
    while (p->buffer[p->have] = 0, !(end = strstr(p->buffer, "\r\n\r\n"))) {
        ssize_t n = receive(p, p->buffer + p->have, BUFFER - p->have);
        if (n <= 0) {
            return 0;
        }
        p->have += (size_t)n;
    }
    char *length = strcasestr(p->buffer, "\ncontent-length:");
    size_t body = length && length < end ? strtoull(length + 16, NULL, 10) : 0;
    const char *reply = "";
    char *line_end = strchr(p->buffer, '\r');
    *line_end = 0;
    if (strstr(p->buffer, "?uploads")) {
        reply = "<InitiateMultipartUploadResult><UploadId>u1</UploadId></InitiateMultipartUploadResult>";
    } else if (strncmp(p->buffer, "POST", 4) == 0) {
        reply = "<CompleteMultipartUploadResult><ETag>\"e\"</ETag></CompleteMultipartUploadResult>";
    }
    size_t head = (size_t)(end + 4 - p->buffer), rest = p->have - head;
    if (rest > body) {
        memmove(p->buffer, p->buffer + head + body, rest - body);
        p->have = rest - body;
        return answer(p, reply);
    }
    for (body -= rest, p->have = 0; body;) {
        ssize_t n = receive(p, p->buffer, body < BUFFER ? body : BUFFER);
        if (n <= 0) {
            return 0;
        }
        body -= (size_t)n;
    }
    return answer(p, reply);
}

static void *run(void *arg) {
    peer *p = arg;
    if (!p->ssl || SSL_accept(p->ssl) == 1) {
        while (serve(p)) {
        }
    }
    SSL_free(p->ssl);
    close(p->fd);
    free(p);
    return NULL;
}

static int listen_on(const char *port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
    int on = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, (struct sockaddr *)&address, sizeof(address)) || listen(fd, 256)) {
        perror("listen");
        exit(1);
    }
    return fd;
}

static void *accept_all(void *arg) {
    int *listener = arg; /* descriptor, TLS? */
    for (;;) {
        int on = 1, fd = accept(listener[0], NULL, NULL);
        if (fd < 0) {
            continue;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        peer *p = calloc(1, sizeof(*p));
        p->fd = fd;
        if (listener[1]) {
            p->ssl = SSL_new(tls);
            SSL_set_fd(p->ssl, fd);
        }
        pthread_t thread;
        pthread_create(&thread, NULL, run, p);
        pthread_detach(thread);
    }
    return NULL;
}

int main(int argc, char **argv) {
    if (argc != 5) {
        fprintf(stderr, "usage: sink PLAIN_PORT TLS_PORT CERTIFICATE KEY\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    tls = SSL_CTX_new(TLS_server_method());
    SSL_CTX_set_read_ahead(tls, 1);
    if (SSL_CTX_use_certificate_chain_file(tls, argv[3]) != 1 || SSL_CTX_use_PrivateKey_file(tls, argv[4], SSL_FILETYPE_PEM) != 1) {
        fprintf(stderr, "cannot use %s and %s\n", argv[3], argv[4]);
        return 1;
    }
    int plain[2] = {listen_on(argv[1]), 0}, secure[2] = {listen_on(argv[2]), 1};
    pthread_t thread;
    pthread_create(&thread, NULL, accept_all, plain);
    accept_all(secure);
    return 0;
}
