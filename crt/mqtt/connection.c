/*
 * The state machine of a client: it moves the current state towards the desired one, attempt by attempt.
 */
#include "client_internal.h"

enum { GOODBYE_FLUSH_MS = 3000 }; /* a peer that does not read does not keep us from closing */

int crt_mqtt_connection_fault(const crt_mqtt_client *c, crt_fault *fault, int code, const char *what) {
    return crt_fail(fault, code, "%s:%u: %s", c->host, (unsigned)c->options.port, what);
}

static void set_ending(crt_mqtt_client *c, const crt_fault *fault) {
    if (c->ending.code == 0) {
        c->ending = *fault;
    }
}

/* ---- events ---- */

/* Every attempt ends in one of the two, with the reason that came first. */
static void report_end(crt_mqtt_client *c) {
    crt_mqtt_owned *last_word = c->last_word;
    crt_fault fault = c->ending;
    c->last_word = NULL;
    c->ending.code = 0;
    CRT_LOG(CRT_LOG_INFO, CRT_LS_MQTT_CLIENT, "connection %s: %s: %s", c->was_connected ? "lost" : "failed",
            crt_error_name(fault.code), fault.detail);
    if (c->was_connected) {
        bool said = last_word && last_word->packet.type == CRT_MQTT_DISCONNECT;
        c->options.handler->on_disconnected(c->options.user, &fault, said ? &last_word->packet.as.disconnect : NULL);
    } else {
        bool said = last_word && last_word->packet.type == CRT_MQTT_CONNACK;
        c->options.handler->on_failed(c->options.user, &fault, said ? &last_word->packet.as.connack : NULL);
    }
    crt_free(last_word);
}

/* ---- between connections ---- */

static void become_stopped(crt_mqtt_client *c) {
    crt_fault fault;
    crt_mqtt_connection_fault(c, &fault, AWS_ERROR_MQTT5_USER_REQUESTED_STOP, "the client was stopped");
    c->state = STATE_STOPPED;
    c->succeeded = false;
    crt_mqtt_session_fail_all(c, &fault);
    c->options.handler->on_stopped(c->options.user);
    crt_mqtt_connection_update(c);
}

static void wait_to_reconnect(crt_mqtt_client *c) {
    uint64_t random = 0;
    crt_random(&random, sizeof(random)); /* without randomness the jitter is 0: an earlier retry, nothing worse */
    if (c->was_connected && crt_loop_now_ms(c->loop) - c->connected_ms >= c->options.reconnect_reset_ms) {
        crt_mqtt_backoff_reset(&c->backoff);
    }
    c->state = STATE_PENDING_RECONNECT;
    crt_timer_start(&c->phase_timer, crt_mqtt_backoff_next(&c->backoff, random));
}

/* The connection, or the attempt at one, is over. */
static void after_end(crt_mqtt_client *c) {
    crt_timer_stop(&c->phase_timer);
    crt_mqtt_transfer_end(c);
    c->state = STATE_CLOSING; /* for operations that callbacks hand in: not connected */
    report_end(c);
    crt_mqtt_session_disconnected(c);
    if (c->desired == DESIRED_CONNECTED) {
        wait_to_reconnect(c);
    } else {
        become_stopped(c);
    }
    c->was_connected = false;
}

/* ---- attempts ---- */

static bool resumes_session(const crt_mqtt_client *c) {
    return c->options.session == CRT_MQTT_SESSION_REJOIN_ALWAYS ||
           (c->options.session == CRT_MQTT_SESSION_REJOIN_POST_SUCCESS && c->succeeded);
}

static void prepare_connect(crt_mqtt_client *c) {
    crt_mqtt_connect *connect = &c->connect->packet.as.connect;
    connect->clean_start = !resumes_session(c);
    if (c->client_id) {
        connect->client_id = crt_bytes_str(c->client_id);
    }
}

static void on_transport(void *user, const crt_fault *fault, crt_stream *stream) {
    crt_mqtt_client *c = user;
    c->connecting = NULL;
    if (fault->code) {
        set_ending(c, fault);
        after_end(c);
        crt_mqtt_client_unref(c);
        return;
    }
    c->stream = stream; /* the connection holds the reference of the attempt */
    c->state = STATE_MQTT_CONNECT;
    prepare_connect(c);
    crt_mqtt_transfer_begin(c);
    crt_stream_set_handler(stream, &crt_mqtt_stream_handler, c);
    crt_timer_start(&c->phase_timer, c->options.connack_timeout_ms);
    crt_mqtt_connection_update(c);
}

static void open_transport(crt_mqtt_client *c, const char *path, const crt_transport_header *headers, size_t count) {
    const crt_mqtt_client_options *o = &c->options;
    crt_transport_options t = {0};
    t.target.loop = c->loop;
    t.target.resolver = o->resolver;
    t.target.host = c->host;
    t.target.port = o->port;
    t.target.socket = o->socket;
    t.target.tls = o->tls;
    t.target.done = on_transport;
    t.target.user = c;
    t.proxy_host = o->proxy_host;
    t.proxy_port = o->proxy_port;
    t.proxy_user = o->proxy_user;
    t.proxy_password = o->proxy_password;
    t.proxy_tls = o->proxy_tls;
    t.path = path;
    t.headers = headers;
    t.header_count = count;
    c->state = STATE_CONNECTING;
    crt_ref_inc(&c->refs);
    crt_connect *connecting = o->transport ? o->transport->open(&t) : crt_stream_connect(&t.target);
    if (!connecting) { /* then `done` never comes */
        crt_fault fault;
        crt_mqtt_connection_fault(c, &fault, AWS_ERROR_OOM, "no memory for the connection");
        on_transport(c, &fault, NULL);
    } else if (c->state == STATE_CONNECTING) {
        c->connecting = connecting;
    }
}

static void begin_attempt(crt_mqtt_client *c) {
    c->attempt++;
    c->ending.code = 0;
    c->options.handler->on_attempt(c->options.user);
    if (c->options.handshake) {
        c->state = STATE_HANDSHAKE;
        c->options.handler->on_handshake(c->options.user, c->attempt);
    } else {
        open_transport(c, NULL, NULL, 0);
    }
}

void crt_mqtt_connection_handshake(crt_mqtt_client *c, int status, const char *path,
                                   const crt_transport_header *headers, size_t count) {
    if (status == 0) {
        open_transport(c, path, headers, count);
        return;
    }
    crt_fault fault;
    crt_mqtt_connection_fault(c, &fault, status, "the WebSocket handshake transform failed");
    set_ending(c, &fault);
    after_end(c);
}

/* ---- CONNACK ---- */

static uint32_t property_or(const crt_mqtt_connack *k, int property, uint32_t value, uint32_t absent) {
    return crt_mqtt_has(k->present, property) ? value : absent;
}

static void negotiate(crt_mqtt_client *c, const crt_mqtt_connack *k) {
    const crt_mqtt_connect *sent = &c->connect->packet.as.connect;
    crt_mqtt_settings *s = &c->settings;
    bool asked_expiry = crt_mqtt_has(sent->present, CRT_MQTT_SESSION_EXPIRY);
    s->maximum_qos = (uint8_t)property_or(k, CRT_MQTT_MAXIMUM_QOS, k->maximum_qos, 1);
    s->session_expiry =
        property_or(k, CRT_MQTT_SESSION_EXPIRY, k->session_expiry, asked_expiry ? sent->session_expiry : 0);
    s->receive_maximum = (uint16_t)property_or(k, CRT_MQTT_RECEIVE_MAXIMUM, k->receive_maximum, UINT16_MAX);
    s->maximum_packet_size =
        property_or(k, CRT_MQTT_MAXIMUM_PACKET_SIZE, k->maximum_packet_size, CRT_MQTT_PACKET_MAX);
    s->topic_alias_maximum_to_server =
        (uint16_t)property_or(k, CRT_MQTT_TOPIC_ALIAS_MAXIMUM, k->topic_alias_maximum, 0);
    s->topic_alias_maximum_to_client = c->options.inbound_alias_max;
    s->keep_alive_secs =
        (uint16_t)property_or(k, CRT_MQTT_SERVER_KEEP_ALIVE, k->server_keep_alive_secs, sent->keep_alive_secs);
    s->retain_available = property_or(k, CRT_MQTT_RETAIN_AVAILABLE, k->retain_available, true);
    s->wildcard_available = property_or(k, CRT_MQTT_WILDCARD_AVAILABLE, k->wildcard_available, true);
    s->subscription_id_available =
        property_or(k, CRT_MQTT_SUBSCRIPTION_ID_AVAILABLE, k->subscription_id_available, true);
    s->shared_available = property_or(k, CRT_MQTT_SHARED_AVAILABLE, k->shared_available, true);
    s->rejoined_session = k->session_present;
    s->client_id = sent->client_id;
}

/* 0 or AWS_ERROR_OOM */
static int accept_connack(crt_mqtt_client *c, const crt_mqtt_connack *k) {
    if (crt_mqtt_has(k->present, CRT_MQTT_ASSIGNED_CLIENT_ID)) {
        char *assigned = crt_strndup(k->assigned_client_id.ptr, k->assigned_client_id.len);
        if (!assigned) {
            return AWS_ERROR_OOM;
        }
        crt_free(c->client_id);
        c->client_id = assigned;
        c->connect->packet.as.connect.client_id = crt_bytes_str(assigned);
    }
    negotiate(c, k);
    uint16_t ours = c->options.outbound_alias_max;
    uint16_t theirs = c->settings.topic_alias_maximum_to_server;
    bool lru = c->options.outbound_alias == CRT_MQTT_ALIAS_LRU;
    int status = crt_mqtt_aliases_reset(&c->outbound, ours < theirs ? ours : theirs, lru);
    return status ? status : crt_mqtt_aliases_reset(&c->inbound, c->options.inbound_alias_max, false);
}

static void refuse_connack(crt_mqtt_client *c, const crt_mqtt_packet *packet, int code, const char *what) {
    crt_fault fault;
    c->last_word = crt_mqtt_own(packet);
    crt_mqtt_connection_fault(c, &fault, code, what);
    crt_mqtt_connection_end(c, &fault, -1);
}

void crt_mqtt_connection_connack(crt_mqtt_client *c, const crt_mqtt_packet *packet) {
    const crt_mqtt_connack *k = &packet->as.connack;
    if (k->reason_code >= 128) {
        char what[CRT_MQTT_REASON_SIZE];
        crt_mqtt_reason(what, sizeof(what), "the server refused", k->reason_code, k->present, k->reason_string);
        refuse_connack(c, packet, AWS_ERROR_MQTT5_CONNACK_CONNECTION_REFUSED, what);
        return;
    }
    if (k->session_present && c->connect->packet.as.connect.clean_start) {
        refuse_connack(c, packet, AWS_ERROR_MQTT_CANCELLED_FOR_CLEAN_SESSION,
                       "the server resumed a session although a clean start was asked for (M5 3.2.2.1.1)");
        return;
    }
    int status = accept_connack(c, k);
    if (status) {
        refuse_connack(c, packet, status, "no memory for the connection");
        return;
    }
    crt_timer_stop(&c->phase_timer);
    c->state = STATE_CONNECTED;
    c->was_connected = true;
    c->succeeded = true;
    c->connected_ms = crt_loop_now_ms(c->loop);
    CRT_LOG(CRT_LOG_INFO, CRT_LS_MQTT_CLIENT, "connected to %s:%u (%s)", c->host, (unsigned)c->options.port,
            c->stream->peer);
    crt_mqtt_session_connected(c);
    c->options.handler->on_connected(c->options.user, k, &c->settings);
    crt_mqtt_keep_alive_start(c);
    crt_mqtt_transfer_pump(c);
}

/* ---- ending a connection ---- */

void crt_mqtt_connection_close(crt_mqtt_client *c) {
    if (c->state == STATE_CLOSING) {
        return;
    }
    crt_timer_stop(&c->phase_timer);
    crt_timer_stop(&c->ping_timer);
    c->state = STATE_CLOSING;
    crt_stream_close(c->stream, 0);
}

void crt_mqtt_connection_end_with(crt_mqtt_client *c, const crt_fault *fault, crt_mqtt_owned *goodbye) {
    bool open = c->state == STATE_MQTT_CONNECT || c->state == STATE_CONNECTED;
    if (!open || !goodbye) {
        crt_free(goodbye);
        goodbye = NULL;
    }
    if (open || c->state == STATE_GOODBYE) {
        set_ending(c, fault);
    }
    if (goodbye) {
        c->goodbye = goodbye;
        c->state = STATE_GOODBYE;
        crt_timer_start(&c->phase_timer, GOODBYE_FLUSH_MS);
        crt_mqtt_transfer_pump(c);
    } else if (open) {
        crt_mqtt_connection_close(c);
    }
}

void crt_mqtt_connection_end(crt_mqtt_client *c, const crt_fault *fault, int reason) {
    crt_mqtt_packet packet = {.type = CRT_MQTT_DISCONNECT};
    packet.as.disconnect.reason_code = (uint8_t)reason;
    crt_mqtt_connection_end_with(c, fault, reason < 0 ? NULL : crt_mqtt_own(&packet));
}

/* A transport without a proxy or TLS begins its stories with the address, which may be the host as it was given. */
static bool names_target(const crt_mqtt_client *c, const char *story) {
    size_t len = strlen(c->host);
    return strncmp(story, c->host, len) == 0 && story[len] == ':';
}

void crt_mqtt_stream_closed(crt_mqtt_client *c, const crt_fault *fault) {
    if (c->ending.code == 0) {
        int code = fault->code ? fault->code : AWS_IO_SOCKET_CLOSED;
        const char *why = fault->detail[0] ? fault->detail : "the server closed the connection";
        if (names_target(c, why)) {
            crt_fail(&c->ending, code, "%s", why);
        } else {
            crt_mqtt_connection_fault(c, &c->ending, code, why);
        }
    }
    crt_stream_release(c->stream);
    c->stream = NULL;
    after_end(c);
    crt_mqtt_client_unref(c);
}

/* ---- towards the desired state ---- */

static void leave(crt_mqtt_client *c) {
    crt_fault fault;
    crt_mqtt_connection_fault(c, &fault, AWS_ERROR_MQTT5_USER_REQUESTED_STOP, "the client was stopped");
    switch (c->state) {
    case STATE_HANDSHAKE:
        set_ending(c, &fault);
        after_end(c);
        return;
    case STATE_CONNECTING:
        set_ending(c, &fault);
        if (c->connecting) {
            crt_connect *connecting = c->connecting;
            c->connecting = NULL;
            (c->options.transport ? c->options.transport->cancel : crt_connect_cancel)(connecting);
        }
        return;
    case STATE_MQTT_CONNECT:
    case STATE_CONNECTED:
        crt_mqtt_connection_end(c, &fault, -1);
        return;
    case STATE_PENDING_RECONNECT:
        crt_timer_stop(&c->phase_timer);
        become_stopped(c);
        return;
    case STATE_STOPPED: /* started and stopped within one turn of the loop, or never: nobody would end what waits */
        if (c->desired == DESIRED_STOPPED) {
            crt_mqtt_session_fail_all(c, &fault);
        }
        return;
    default:
        return; /* under way */
    }
}

static void on_update(crt_task *task, int status) {
    crt_mqtt_client *c = CRT_CONTAINER(task, crt_mqtt_client, update_task);
    c->update_due = false;
    if (c->desired != DESIRED_CONNECTED) {
        leave(c);
        if (c->state == STATE_STOPPED && c->desired == DESIRED_TERMINATED) {
            crt_fault fault;
            crt_mqtt_connection_fault(c, &fault, AWS_ERROR_MQTT5_CLIENT_TERMINATED, "the client was dropped");
            crt_mqtt_session_fail_all(c, &fault);
            c->state = STATE_TERMINATED;
            c->options.handler->on_terminated(c->options.user);
        }
    } else if (c->state == STATE_STOPPED) {
        crt_mqtt_backoff_reset(&c->backoff);
        begin_attempt(c);
    }
    crt_mqtt_client_unref(c);
}

void crt_mqtt_connection_update(crt_mqtt_client *c) {
    if (!c->update_due) {
        c->update_due = true;
        crt_ref_inc(&c->refs);
        crt_loop_defer(c->loop, &c->update_task);
    }
}

static void on_phase_timer(crt_timer *timer) {
    crt_mqtt_client *c = CRT_CONTAINER(timer, crt_mqtt_client, phase_timer);
    crt_fault fault;
    switch (c->state) {
    case STATE_MQTT_CONNECT:
        crt_mqtt_connection_fault(c, &fault, AWS_ERROR_MQTT5_CONNACK_TIMEOUT, "no CONNACK within connack_timeout_ms");
        crt_mqtt_connection_end(c, &fault, -1);
        return;
    case STATE_GOODBYE:
        crt_mqtt_connection_close(c);
        return;
    case STATE_PENDING_RECONNECT:
        begin_attempt(c);
        return;
    default:
        return;
    }
}

void crt_mqtt_connection_init(crt_mqtt_client *c) {
    c->state = STATE_STOPPED;
    c->desired = DESIRED_STOPPED;
    c->update_task.run = on_update;
    c->backoff.jitter = c->options.jitter;
    c->backoff.min_ms = c->options.reconnect_min_ms;
    c->backoff.max_ms = c->options.reconnect_max_ms;
    crt_timer_init(&c->phase_timer, c->loop, on_phase_timer);
}
