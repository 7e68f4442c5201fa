/*
 * The raw client: what is left when the client does next to nothing. One thread, blocking sockets, one
 * connection; GET into one reused buffer (and from there to a file), PUT with sendfile (or read + SSL_write).
 *
 *   raw get-mem|get-file|put-file HOST PORT PATH SIZE FILE|- CA|-
 *
 * Prints one JSON line like the Python workers.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BUFFER (512 * 1024)

static SSL *ssl;
static int sock;

static void die(const char *what) {
    perror(what);
    exit(1);
}

static double wall(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static double cpu(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return u.ru_utime.tv_sec + u.ru_stime.tv_sec + (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static ssize_t receive(char *to, size_t n) {
    return ssl ? SSL_read(ssl, to, (int)n) : recv(sock, to, n, 0);
}

static void send_all(const char *from, size_t n) {
    while (n) {
        ssize_t k = ssl ? SSL_write(ssl, from, (int)n) : send(sock, from, n, 0);
        if (k <= 0) {
            die("send");
        }
        from += k;
        n -= (size_t)k;
    }
}

static void open_connection(const char *port, const char *ca) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    sock = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(sock, (struct sockaddr *)&address, sizeof(address))) {
        die("connect");
    }
    if (strcmp(ca, "-") != 0) {
        SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
        SSL_CTX_load_verify_locations(ctx, ca, NULL);
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
        SSL_CTX_set_read_ahead(ctx, 1);
        ssl = SSL_new(ctx);
        SSL_set_fd(ssl, sock);
        SSL_set_tlsext_host_name(ssl, "localhost");
        if (SSL_connect(ssl) != 1) {
            die("SSL_connect");
        }
    }
}

static void get(const char *path, int file, char *buffer) {
    char head[1024];
    int n = snprintf(head, sizeof(head), "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", path);
    send_all(head, (size_t)n);
    size_t have = 0;
    char *body = NULL;
    while (!body) {
        ssize_t k = receive(buffer + have, BUFFER - 1 - have);
        if (k <= 0) {
            die("head");
        }
        have += (size_t)k;
        buffer[have] = 0;
        body = strstr(buffer, "\r\n\r\n");
    }
    body += 4;
    if (file >= 0 && write(file, body, (size_t)(buffer + have - body)) < 0) {
        die("write");
    }
    for (;;) {
        ssize_t k = receive(buffer, BUFFER);
        if (k <= 0) {
            return;
        }
        if (file >= 0 && write(file, buffer, (size_t)k) != k) {
            die("write");
        }
    }
}

/* Parts of 8 MiB one after the other on one connection, as a multipart upload sends them. */
static void put(const char *path, int file, size_t size, char *buffer) {
    size_t part = 8u << 20;
    off_t offset = 0;
    while ((size_t)offset < size) {
        char head[1024];
        size_t end = (size_t)offset + part < size ? (size_t)offset + part : size;
        int n = snprintf(head, sizeof(head), "PUT %s?partNumber=1&uploadId=u1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: %zu\r\n\r\n",
                         path, end - (size_t)offset);
        send_all(head, (size_t)n);
        while ((size_t)offset < end) {
            if (ssl) {
                size_t want = end - (size_t)offset < BUFFER ? end - (size_t)offset : BUFFER;
                ssize_t k = pread(file, buffer, want, offset);
                if (k <= 0) {
                    die("pread");
                }
                send_all(buffer, (size_t)k);
                offset += k;
            } else if (sendfile(sock, file, &offset, end - (size_t)offset) <= 0) {
                die("sendfile");
            }
        }
        if (receive(buffer, BUFFER) <= 0) {
            die("reply");
        }
    }
}

int main(int argc, char **argv) {
    if (argc != 8) {
        fprintf(stderr, "usage: raw get-mem|get-file|put-file HOST PORT PATH SIZE FILE|- CA|-\n");
        return 2;
    }
    size_t size = strtoull(argv[5], NULL, 10);
    char *buffer = malloc(BUFFER);
    int file = -1;
    if (strcmp(argv[1], "get-file") == 0) {
        file = open(argv[6], O_WRONLY | O_CREAT | O_TRUNC, 0600);
    } else if (strcmp(argv[1], "put-file") == 0) {
        file = open(argv[6], O_RDONLY);
    }
    double start = wall(), start_cpu = cpu();
    open_connection(argv[3], argv[7]);
    if (strcmp(argv[1], "put-file") == 0) {
        put(argv[4], file, size, buffer);
    } else {
        get(argv[4], file, buffer);
    }
    struct rusage u;
    double seconds = wall() - start, used = cpu() - start_cpu;
    getrusage(RUSAGE_SELF, &u);
    printf("{\"units\": %f, \"unit\": \"MB\", \"seconds\": %f, \"cpu\": %f, \"rss_mib\": %f}\n", size / 1e6, seconds,
           used, u.ru_maxrss / 1024.0);
    return 0;
}
