/* Connections: one line of requests and one stack of idle connections per endpoint and loop. */
#include "engine.h"

#include <stdio.h>

#include "crt/log.h"

/* ---- endpoints ---- */

/* Splits "host", "host:port", "[v6]:port"; a scheme in front is dropped. */
static bool split_host(crt_bytes text, crt_bytes *host, uint32_t *port) {
    static const char *const schemes[] = {"https://", "http://"};
    for (size_t i = 0; i < 2; i++) {
        size_t n = strlen(schemes[i]);
        if (text.len > n && memcmp(text.ptr, schemes[i], n) == 0) {
            text = crt_bytes_of(text.ptr + n, text.len - n);
        }
    }
    const uint8_t *end = text.ptr + text.len;
    const uint8_t *bracket = text.len && text.ptr[0] == '[' ? memchr(text.ptr, ']', text.len) : NULL;
    const uint8_t *after = bracket ? bracket + 1 : text.len ? memchr(text.ptr, ':', text.len) : NULL;
    if (!after) {
        after = end;
    }
    *host = bracket ? crt_bytes_of(text.ptr + 1, (size_t)(bracket - text.ptr - 1))
                    : crt_bytes_of(text.ptr, (size_t)(after - text.ptr));
    if (after == end) {
        return host->len > 0;
    }
    uint64_t number = 0;
    if (*after != ':' || !crt_s3_parse_u64(crt_bytes_of(after + 1, (size_t)(end - after - 1)), &number)) {
        return false;
    }
    *port = (uint32_t)number;
    return host->len > 0 && number > 0 && number <= 65535;
}

static crt_s3_endpoint *find_endpoint(crt_s3_client *client, crt_bytes host, uint32_t port) {
    for (crt_s3_endpoint *e = client->endpoints; e; e = e->next) {
        if (e->port == port && crt_bytes_eq(crt_bytes_str(e->host), host)) {
            return e;
        }
    }
    return NULL;
}

static crt_s3_endpoint *endpoint_new(crt_s3_client *client, crt_bytes host, uint32_t port) {
    crt_s3_endpoint *endpoint = crt_calloc(1, sizeof *endpoint + client->shard_count * sizeof *endpoint->lanes);
    if (!endpoint || !(endpoint->host = crt_strndup(host.ptr, host.len))) {
        crt_free(endpoint);
        return NULL;
    }
    endpoint->client = client;
    endpoint->port = port;
    crt_s3_bucket_init(&endpoint->bucket, client->retry.capacity);
    return endpoint;
}

crt_s3_endpoint *crt_s3_endpoint_get(crt_s3_client *client, crt_bytes host_header, crt_fault *fault) {
    crt_bytes host;
    uint32_t port = client->use_tls ? 443 : 80;
    if (!split_host(host_header, &host, &port)) {
        crt_fail(fault, AWS_ERROR_INVALID_ARGUMENT, "Host header '%.*s' is not host[:port]", (int)host_header.len,
                 (const char *)host_header.ptr);
        return NULL;
    }
    pthread_mutex_lock(&client->lock);
    crt_s3_endpoint *endpoint = find_endpoint(client, host, port);
    if (!endpoint && (endpoint = endpoint_new(client, host, port))) {
        endpoint->next = client->endpoints;
        client->endpoints = endpoint;
    }
    if (endpoint) {
        endpoint->refs++;
    }
    pthread_mutex_unlock(&client->lock);
    if (!endpoint) {
        crt_fail(fault, AWS_ERROR_OOM, "no memory for an endpoint");
    }
    return endpoint;
}

void crt_s3_endpoint_acquire(crt_s3_endpoint *endpoint) {
    pthread_mutex_lock(&endpoint->client->lock);
    endpoint->refs++;
    pthread_mutex_unlock(&endpoint->client->lock);
}

void crt_s3_endpoint_release(crt_s3_endpoint *endpoint) {
    crt_s3_client *client = endpoint->client;
    pthread_mutex_lock(&client->lock);
    bool last = --endpoint->refs == 0;
    for (crt_s3_endpoint **p = &client->endpoints; last && *p; p = &(*p)->next) {
        if (*p == endpoint) {
            *p = endpoint->next;
            break;
        }
    }
    pthread_mutex_unlock(&client->lock);
    if (last) {
        crt_free(endpoint->host);
        crt_free(endpoint);
    }
}

/* ---- connections ---- */

static crt_s3_lane *lane_of(const crt_s3_shard *shard, crt_s3_endpoint *endpoint) {
    return &endpoint->lanes[shard->index];
}

static crt_s3_request *take_waiting(crt_s3_lane *lane) {
    crt_s3_request *request = lane->waiting_head;
    if (request) {
        lane->waiting_head = request->next_waiting;
        request->next_waiting = NULL;
        if (!lane->waiting_head) {
            lane->waiting_tail = NULL;
        }
        lane->waiting--;
    }
    return request;
}

static void leave_idle(crt_s3_conn *conn) {
    crt_s3_conn **p = &lane_of(conn->shard, conn->endpoint)->idle;
    while (*p && *p != conn) {
        p = &(*p)->next_idle;
    }
    if (*p) {
        *p = conn->next_idle;
    }
    conn->next_idle = NULL;
    conn->is_idle = false;
}

static void conn_free(crt_s3_conn *conn) {
    crt_s3_shard *shard = conn->shard;
    if (conn->prev_all) {
        conn->prev_all->next_all = conn->next_all;
    } else {
        shard->conns = conn->next_all;
    }
    if (conn->next_all) {
        conn->next_all->prev_all = conn->prev_all;
    }
    if (!shard->conns) {
        crt_timer_stop(&shard->tick);
    }
    crt_s3_endpoint_release(conn->endpoint);
    crt_free(conn);
    crt_s3_client_alive_release(shard->client);
}

/* Our reference goes; on_shutdown follows and frees `conn`. */
static void conn_close(crt_s3_conn *conn) {
    if (conn->is_idle) {
        leave_idle(conn);
    }
    crt_http_conn *http = conn->http;
    conn->http = NULL;
    if (http) {
        crt_http_conn_close(http);
        crt_http_conn_release(http);
    }
}

static void on_connected(void *user, const crt_fault *fault, crt_http_conn *http) {
    crt_s3_conn *conn = user;
    crt_s3_lane *lane = lane_of(conn->shard, conn->endpoint);
    lane->connecting--;
    if (fault->code) {
        /* The oldest in line has waited for this attempt. */
        crt_s3_request *request = take_waiting(lane);
        if (request) {
            crt_s3_request_on_connection(request, NULL, fault);
        }
        conn_free(conn);
        return;
    }
    conn->http = http;
    crt_s3_pool_put(conn);
}

static void on_shutdown(void *user, const crt_fault *fault) {
    crt_s3_conn *conn = user;
    if (conn->is_idle) {
        leave_idle(conn);
    }
    if (conn->http) {
        crt_http_conn_release(conn->http);
        conn->http = NULL;
    }
    conn->gone = true;
    if (!conn->busy) {
        conn_free(conn);
    }
}

static const crt_http_conn_handler handler = {on_connected, on_shutdown};

static void shard_tick(crt_timer *timer);

static int open_connection(crt_s3_shard *shard, crt_s3_endpoint *endpoint) {
    crt_s3_client *client = shard->client;
    crt_s3_conn *conn = crt_calloc(1, sizeof *conn);
    if (!conn) {
        return AWS_ERROR_OOM;
    }
    conn->shard = shard;
    conn->endpoint = endpoint;
    crt_s3_endpoint_acquire(endpoint);
    crt_ref_inc(&client->alive);
    conn->next_all = shard->conns;
    if (shard->conns) {
        shard->conns->prev_all = conn;
    } else {
        crt_timer_start(&shard->tick, CRT_S3_TICK_MS);
    }
    shard->conns = conn;
    lane_of(shard, endpoint)->connecting++;

    crt_http_connect_options options = {
        .target =
            {
                .loop = shard->loop,
                .resolver = client->resolver,
                .host = endpoint->host,
                .port = endpoint->port,
                .socket = CRT_SOCKET_OPTIONS_DEFAULT,
                .tls = client->use_tls ? &client->tls : NULL,
            },
        .handler = &handler,
        .user = conn,
        .version = CRT_HTTP_1_1,
    };
    options.target.socket.connect_timeout_ms = client->connect_timeout_ms;
    crt_http_connect(&options);
    return 0;
}

void crt_s3_pool_get(crt_s3_request *request) {
    crt_s3_shard *shard = request->shard;
    crt_s3_endpoint *endpoint = request->transfer->endpoint;
    crt_s3_lane *lane = lane_of(shard, endpoint);
    while (lane->idle) {
        crt_s3_conn *conn = lane->idle;
        leave_idle(conn);
        if (crt_http_conn_is_open(conn->http)) {
            conn->busy = true;
            crt_s3_request_on_connection(request, conn, NULL);
            return;
        }
        conn_close(conn);
    }
    *(lane->waiting_tail ? &lane->waiting_tail->next_waiting : &lane->waiting_head) = request;
    lane->waiting_tail = request;
    lane->waiting++;
    if (lane->waiting > lane->connecting && open_connection(shard, endpoint) != 0) {
        crt_fault fault;
        crt_fail(&fault, AWS_ERROR_OOM, "no memory for a connection to %s:%u", endpoint->host, (unsigned)endpoint->port);
        crt_s3_pool_leave(request);
        crt_s3_request_on_connection(request, NULL, &fault);
    }
}

bool crt_s3_pool_leave(crt_s3_request *request) {
    crt_s3_lane *lane = lane_of(request->shard, request->transfer->endpoint);
    crt_s3_request *before = NULL;
    for (crt_s3_request *r = lane->waiting_head; r; before = r, r = r->next_waiting) {
        if (r != request) {
            continue;
        }
        *(before ? &before->next_waiting : &lane->waiting_head) = r->next_waiting;
        if (lane->waiting_tail == r) {
            lane->waiting_tail = before;
        }
        r->next_waiting = NULL;
        lane->waiting--;
        return true;
    }
    return false;
}

void crt_s3_pool_put(crt_s3_conn *conn) {
    crt_s3_shard *shard = conn->shard;
    crt_s3_lane *lane = lane_of(shard, conn->endpoint);
    conn->busy = false;
    if (conn->gone) {
        conn_free(conn);
        return;
    }
    if (shard->closing || !crt_http_conn_is_open(conn->http)) {
        conn_close(conn);
        return;
    }
    crt_s3_request *request = take_waiting(lane);
    if (request) {
        conn->busy = true;
        crt_s3_request_on_connection(request, conn, NULL);
        return;
    }
    conn->is_idle = true;
    conn->idle_since_ms = crt_loop_now_ms(shard->loop);
    conn->next_idle = lane->idle;
    lane->idle = conn;
}

/* ---- shards ---- */

/* Once a second: closes what nobody used for a while, and ends requests whose connection stands still. */
static void shard_tick(crt_timer *timer) {
    crt_s3_shard *shard = CRT_CONTAINER(timer, crt_s3_shard, tick);
    uint64_t now = crt_loop_now_ms(shard->loop);
    for (crt_s3_conn *conn = shard->conns, *next; conn; conn = next) {
        next = conn->next_all;
        if (conn->is_idle && now - conn->idle_since_ms >= CRT_S3_IDLE_CONNECTION_MS) {
            conn_close(conn);
        }
    }
    /* Ending one request may end others of its transfer: start over until none is found. */
    crt_s3_request *request = shard->active;
    while (request) {
        request = crt_s3_request_end_stalled(request, now) ? shard->active : request->next_active;
    }
    if (!shard->active) {
        crt_s3_file_free_blocks(shard);
    }
    crt_timer_start(&shard->tick, CRT_S3_TICK_MS);
}

static void shard_close(crt_task *task, int status) {
    crt_s3_shard *shard = CRT_CONTAINER(task, crt_s3_shard, close_task);
    shard->closing = true;
    for (crt_s3_conn *conn = shard->conns, *next; conn; conn = next) {
        next = conn->next_all;
        if (conn->is_idle) {
            conn_close(conn);
        }
    }
    crt_s3_file_free_blocks(shard);
    crt_free_aligned(shard->staging);
    shard->staging = NULL;
    crt_s3_client_alive_release(shard->client);
}

void crt_s3_shard_init(crt_s3_shard *shard, crt_s3_client *client, crt_loop *loop, size_t index) {
    shard->client = client;
    shard->loop = loop;
    shard->index = index;
    shard->close_task.run = shard_close;
    crt_timer_init(&shard->tick, loop, shard_tick);
}

uint8_t *crt_s3_shard_staging(crt_s3_shard *shard) {
    if (!shard->staging) {
        shard->staging = crt_malloc_aligned(CRT_S3_STAGING_SIZE);
    }
    return shard->staging;
}
