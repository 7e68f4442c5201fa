/*
 * The calls that other threads make, each a task for the client's loop; life and death of the object.
 */
#include "client_internal.h"

/* ---- copies ---- */

crt_mqtt_owned *crt_mqtt_own(const crt_mqtt_packet *packet) {
    crt_mqtt_owned *owned = crt_malloc(sizeof(*owned) + crt_mqtt_packet_extra(packet));
    if (owned) {
        crt_mqtt_packet_copy(&owned->packet, packet, owned->storage);
    }
    return owned;
}

/* False when memory ran out; NULL stays NULL. */
static bool copy_string(char **copy, const char *s) {
    *copy = crt_strdup(s);
    return *copy || !s;
}

static bool copy_tls(crt_mqtt_tls_copy *copy, const crt_tls_options **tls) {
    if (!*tls) {
        return true;
    }
    copy->options = **tls;
    crt_tls_ctx_acquire(copy->options.ctx);
    bool copied = copy_string(&copy->server_name, (*tls)->server_name) && copy_string(&copy->alpn, (*tls)->alpn);
    copy->options.server_name = copy->server_name;
    copy->options.alpn = copy->alpn;
    *tls = &copy->options;
    return copied;
}

static void free_tls(crt_mqtt_tls_copy *copy) {
    if (copy->options.ctx) {
        crt_tls_ctx_release(copy->options.ctx);
    }
    crt_free(copy->server_name);
    crt_free(copy->alpn);
}

static bool copy_options(crt_mqtt_client *c) {
    crt_mqtt_client_options *o = &c->options;
    crt_mqtt_packet connect = {.type = CRT_MQTT_CONNECT};
    connect.as.connect = *o->connect;
    if (o->inbound_alias_max) {
        connect.as.connect.present |= crt_mqtt_bit(CRT_MQTT_TOPIC_ALIAS_MAXIMUM);
        connect.as.connect.topic_alias_maximum = o->inbound_alias_max;
    }
    c->connect = crt_mqtt_own(&connect);
    bool copied = c->connect != NULL && copy_string(&c->host, o->host) &&
                  copy_string(&c->interface_name, o->socket.interface_name) &&
                  copy_string(&c->proxy_host, o->proxy_host) && copy_string(&c->proxy_user, o->proxy_user) &&
                  copy_string(&c->proxy_password, o->proxy_password) && copy_tls(&c->tls, &o->tls) &&
                  copy_tls(&c->proxy_tls, &o->proxy_tls);
    o->host = c->host;
    o->socket.interface_name = c->interface_name;
    o->proxy_host = c->proxy_host;
    o->proxy_user = c->proxy_user;
    o->proxy_password = c->proxy_password;
    o->connect = NULL;
    return copied;
}

/* AWS IoT Core accepts no empty client identifier. */
static int generate_client_id(crt_mqtt_client *c) {
    uint8_t random[16];
    int status = crt_random(random, sizeof(random));
    if (status) {
        return status;
    }
    c->client_id = crt_calloc(1, 3 + 2 * sizeof(random) + 1);
    if (!c->client_id) {
        return AWS_ERROR_OOM;
    }
    memcpy(c->client_id, "gen", 3);
    crt_hex_encode(crt_bytes_of(random, sizeof(random)), c->client_id + 3);
    return 0;
}

/* ---- life and death ---- */

static void destroy(crt_mqtt_client *c) {
    crt_mqtt_transfer_free(c);
    crt_mqtt_session_free(c);
    crt_free(c->host);
    crt_free(c->interface_name);
    crt_free(c->proxy_host);
    crt_free(c->proxy_user);
    crt_free(c->proxy_password);
    free_tls(&c->tls);
    free_tls(&c->proxy_tls);
    crt_free(c->connect);
    crt_free(c->last_word);
    crt_free(c->client_id);
    crt_loop_load(c->loop, -1);
    crt_resolver_release(c->options.resolver);
    crt_loop_group_release(c->options.group);
    crt_free(c);
}

void crt_mqtt_client_unref(crt_mqtt_client *c) {
    if (crt_ref_dec(&c->refs)) {
        destroy(c);
    }
}

int crt_mqtt_client_new(const crt_mqtt_client_options *options, crt_mqtt_client **out) {
    crt_mqtt_client *c = crt_calloc(1, sizeof(*c));
    if (!c) {
        return AWS_ERROR_OOM;
    }
    crt_ref_init(&c->refs);
    c->options = *options;
    crt_loop_group_acquire(c->options.group);
    crt_resolver_acquire(c->options.resolver);
    c->loop = crt_loop_group_pick(c->options.group);
    crt_loop_load(c->loop, 1);
    int status = copy_options(c) ? 0 : AWS_ERROR_OOM;
    if (status == 0 && options->iot_core_limits && options->connect->client_id.len == 0) {
        status = generate_client_id(c);
    }
    if (status) {
        destroy(c);
        return status;
    }
    crt_mqtt_transfer_init(c);
    crt_mqtt_session_init(c);
    crt_mqtt_connection_init(c);
    *out = c;
    return 0;
}

void crt_mqtt_client_release(crt_mqtt_client *client) {
    crt_mqtt_client_unref(client);
}

crt_loop *crt_mqtt_client_loop(const crt_mqtt_client *client) {
    return client->loop;
}

/* ---- commands ---- */

/* A call on its way to the loop; it keeps the client alive. */
typedef struct command {
    crt_task task;
    crt_mqtt_client *client;
    void (*run)(crt_mqtt_client *client, struct command *command);
    uint64_t number;
    int status;
    crt_mqtt_owned *disconnect;
    char *path;
    crt_transport_header *headers; /* one block with their strings */
    size_t header_count;
} command;

static void run_command(crt_task *task, int status) {
    command *m = CRT_CONTAINER(task, command, task);
    crt_mqtt_client *c = m->client;
    m->run(c, m);
    crt_free(m->disconnect);
    crt_free(m->path);
    crt_free(m->headers);
    crt_free(m);
    crt_mqtt_client_unref(c);
}

static command *new_command(crt_mqtt_client *c, void (*run)(crt_mqtt_client *, command *)) {
    command *m = crt_calloc(1, sizeof(*m));
    if (m) {
        m->task.run = run_command;
        m->client = c;
        m->run = run;
        crt_ref_inc(&c->refs);
    }
    return m;
}

static void post(command *m) {
    crt_loop_post(m->client->loop, &m->task);
}

static void set_desired(crt_mqtt_client *c, enum crt_mqtt_desired desired) {
    if (c->desired != DESIRED_TERMINATED) {
        c->desired = desired;
        crt_mqtt_connection_update(c);
    }
}

static void run_start(crt_mqtt_client *c, command *m) {
    set_desired(c, DESIRED_CONNECTED);
}

int crt_mqtt_client_start(crt_mqtt_client *client) {
    command *m = new_command(client, run_start);
    if (!m) {
        return AWS_ERROR_OOM;
    }
    post(m);
    return 0;
}

/* M5 3.14.2.2.2: an expiry of zero in CONNECT cannot be raised by DISCONNECT. */
static bool raises_expiry(const crt_mqtt_client *c, const crt_mqtt_disconnect *d) {
    const crt_mqtt_connect *sent = &c->connect->packet.as.connect;
    bool had_one = crt_mqtt_has(sent->present, CRT_MQTT_SESSION_EXPIRY) && sent->session_expiry > 0;
    return crt_mqtt_has(d->present, CRT_MQTT_SESSION_EXPIRY) && d->session_expiry > 0 && !had_one;
}

static void run_stop(crt_mqtt_client *c, command *m) {
    bool open = c->state == STATE_MQTT_CONNECT || c->state == STATE_CONNECTED;
    set_desired(c, DESIRED_STOPPED);
    if (!m->disconnect || !open) {
        return;
    }
    crt_fault fault;
    if (raises_expiry(c, &m->disconnect->packet.as.disconnect)) {
        crt_mqtt_connection_fault(c, &fault, AWS_ERROR_MQTT5_DISCONNECT_OPTIONS_VALIDATION,
                                  "session_expiry_interval_sec: not 0, but CONNECT's was (M5 3.14.2.2.2)");
        crt_mqtt_connection_end(c, &fault, -1);
        return;
    }
    crt_mqtt_connection_fault(c, &fault, AWS_ERROR_MQTT5_USER_REQUESTED_STOP, "the client was stopped");
    crt_mqtt_connection_end_with(c, &fault, m->disconnect);
    m->disconnect = NULL;
}

int crt_mqtt_client_stop(crt_mqtt_client *client, const crt_mqtt_disconnect *disconnect) {
    command *m = new_command(client, run_stop);
    if (!m) {
        return AWS_ERROR_OOM;
    }
    if (disconnect) {
        crt_mqtt_packet packet = {.type = CRT_MQTT_DISCONNECT};
        packet.as.disconnect = *disconnect;
        m->disconnect = crt_mqtt_own(&packet);
        if (!m->disconnect) {
            crt_free(m);
            crt_mqtt_client_unref(client);
            return AWS_ERROR_OOM;
        }
    }
    post(m);
    return 0;
}

static void run_close(crt_task *task, int status) {
    crt_mqtt_client *c = CRT_CONTAINER(task, crt_mqtt_client, close_task);
    set_desired(c, DESIRED_TERMINATED);
    crt_mqtt_client_unref(c);
}

void crt_mqtt_client_close(crt_mqtt_client *client) {
    client->close_task.run = run_close;
    crt_ref_inc(&client->refs);
    crt_loop_post(client->loop, &client->close_task);
}

static void run_submit(crt_task *task, int status) {
    crt_mqtt_op *op = CRT_CONTAINER(task, crt_mqtt_op, task);
    crt_mqtt_session_submit(op->client, op);
}

void crt_mqtt_client_submit(crt_mqtt_client *client, crt_mqtt_op *op) {
    op->client = client;
    op->task.run = run_submit;
    op->next = op->prev = NULL;
    op->deadline_ms = 0;
    op->packet_id = 0;
    op->sent = false;
    op->size = client->options.codec->size(&op->packet);
    if (op->size && op->packet.type == CRT_MQTT_PUBLISH && op->packet.as.publish.qos) {
        op->size -= 2; /* the statistics count a publish without its identifier */
    }
    crt_mqtt_session_count(client, op);
    crt_loop_post(client->loop, &op->task);
}

static void run_ack(crt_mqtt_client *c, command *m) {
    crt_mqtt_transfer_puback(c, m->number);
}

int crt_mqtt_client_ack(crt_mqtt_client *client, uint64_t ack) {
    if (crt_loop_is_current(client->loop)) {
        crt_mqtt_transfer_puback(client, ack);
        return 0;
    }
    command *m = new_command(client, run_ack);
    if (!m) {
        return AWS_ERROR_OOM;
    }
    m->number = ack;
    post(m);
    return 0;
}

static void run_resume(crt_mqtt_client *c, command *m) {
    if (c->paused && c->stream && c->state != STATE_CLOSING) {
        crt_stream_resume(c->stream);
    }
    c->paused = false;
}

int crt_mqtt_client_resume(crt_mqtt_client *client) {
    command *m = new_command(client, run_resume);
    if (!m) {
        return AWS_ERROR_OOM;
    }
    post(m);
    return 0;
}

static void run_handshake(crt_mqtt_client *c, command *m) {
    if (c->state == STATE_HANDSHAKE && m->number == c->attempt) {
        crt_mqtt_connection_handshake(c, m->status, m->path, m->headers, m->header_count);
    }
}

static char *append_string(char **text, const char *s) {
    char *at = *text;
    size_t size = strlen(s) + 1;
    memcpy(at, s, size);
    *text += size;
    return at;
}

/* The array and all strings in one block. */
static crt_transport_header *copy_headers(const crt_transport_header *headers, size_t count) {
    size_t size = count * sizeof(*headers);
    for (size_t i = 0; i < count; i++) {
        size += strlen(headers[i].name) + strlen(headers[i].value) + 2;
    }
    crt_transport_header *copy = crt_malloc(size ? size : 1);
    char *text = copy ? (char *)(copy + count) : NULL;
    for (size_t i = 0; copy && i < count; i++) {
        copy[i].name = append_string(&text, headers[i].name);
        copy[i].value = append_string(&text, headers[i].value);
    }
    return copy;
}

int crt_mqtt_client_handshake_done(crt_mqtt_client *client, uint64_t attempt, int status, const char *path,
                                   const crt_transport_header *headers, size_t header_count) {
    command *m = new_command(client, run_handshake);
    if (!m) {
        return AWS_ERROR_OOM;
    }
    m->number = attempt;
    m->status = status;
    if (status == 0) {
        m->path = crt_strdup(path);
        m->headers = copy_headers(headers, header_count);
        m->header_count = header_count;
        m->status = m->path && m->headers ? 0 : AWS_ERROR_OOM; /* the attempt must end all the same */
    }
    post(m);
    return 0;
}
