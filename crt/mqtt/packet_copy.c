/*
 * Deep copies of packets: one walk over everything a packet refers to, run once to measure and once to copy.
 */
#include "crt/mqtt.h"

#define ALIGNMENT sizeof(void *)

/* dry: only `used` grows. Else views are redirected to their copies in `storage`. */
typedef struct walk {
    uint8_t *storage;
    size_t used;
    bool dry;
} walk;

static void *claim(walk *w, const void *from, size_t size) {
    void *copy = w->dry ? NULL : w->storage + w->used;
    if (copy && size) {
        memcpy(copy, from, size);
    }
    w->used += size;
    return copy;
}

static void *claim_aligned(walk *w, const void *from, size_t size) {
    w->used = (w->used + ALIGNMENT - 1) & ~(ALIGNMENT - 1);
    return claim(w, from, size);
}

static void visit_bytes(walk *w, crt_bytes *view) {
    if (view->ptr) {
        void *copy = claim(w, view->ptr, view->len);
        view->ptr = w->dry ? view->ptr : copy;
    }
}

static void visit_optional(walk *w, crt_mqtt_present present, int property, crt_bytes *view) {
    if (crt_mqtt_has(present, property)) {
        visit_bytes(w, view);
    }
}

static void visit_user_properties(walk *w, crt_mqtt_user_properties *user) {
    if (!user->count) {
        return;
    }
    crt_mqtt_user_property *items = claim_aligned(w, user->items, user->count * sizeof(*items));
    for (size_t i = 0; i < user->count; i++) {
        crt_mqtt_user_property p = user->items[i];
        visit_bytes(w, &p.name);
        visit_bytes(w, &p.value);
        if (items) {
            items[i] = p;
        }
    }
    user->items = items ? items : user->items;
}

static void visit_publish(walk *w, crt_mqtt_publish *m) {
    if (m->subscription_id_count) {
        const uint32_t *ids = claim_aligned(w, m->subscription_ids, m->subscription_id_count * sizeof(uint32_t));
        m->subscription_ids = ids ? ids : m->subscription_ids;
    }
    visit_user_properties(w, &m->user);
    visit_bytes(w, &m->topic);
    visit_bytes(w, &m->payload);
    if (m->present) {
        visit_optional(w, m->present, CRT_MQTT_RESPONSE_TOPIC, &m->response_topic);
        visit_optional(w, m->present, CRT_MQTT_CORRELATION_DATA, &m->correlation_data);
        visit_optional(w, m->present, CRT_MQTT_CONTENT_TYPE, &m->content_type);
    }
}

static void visit_connect(walk *w, crt_mqtt_connect *c) {
    if (c->will) {
        crt_mqtt_publish will = *c->will;
        crt_mqtt_publish *copy = claim_aligned(w, &will, sizeof(will));
        visit_publish(w, &will);
        if (copy) {
            *copy = will;
            c->will = copy;
        }
    }
    visit_user_properties(w, &c->user);
    visit_bytes(w, &c->client_id);
    visit_bytes(w, &c->username);
    visit_bytes(w, &c->password);
}

static void visit_connack(walk *w, crt_mqtt_connack *c) {
    visit_user_properties(w, &c->user);
    visit_optional(w, c->present, CRT_MQTT_ASSIGNED_CLIENT_ID, &c->assigned_client_id);
    visit_optional(w, c->present, CRT_MQTT_REASON_STRING, &c->reason_string);
    visit_optional(w, c->present, CRT_MQTT_RESPONSE_INFO, &c->response_info);
    visit_optional(w, c->present, CRT_MQTT_SERVER_REFERENCE, &c->server_reference);
}

static void visit_ack(walk *w, crt_mqtt_ack *a) {
    visit_user_properties(w, &a->user);
    visit_bytes(w, &a->reason_codes);
    visit_optional(w, a->present, CRT_MQTT_REASON_STRING, &a->reason_string);
}

static void visit_disconnect(walk *w, crt_mqtt_disconnect *d) {
    visit_user_properties(w, &d->user);
    visit_optional(w, d->present, CRT_MQTT_REASON_STRING, &d->reason_string);
    visit_optional(w, d->present, CRT_MQTT_SERVER_REFERENCE, &d->server_reference);
}

static void visit(walk *w, crt_mqtt_packet *packet) {
    switch (packet->type) {
    case CRT_MQTT_CONNECT:
        visit_connect(w, &packet->as.connect);
        return;
    case CRT_MQTT_CONNACK:
        visit_connack(w, &packet->as.connack);
        return;
    case CRT_MQTT_PUBLISH:
        visit_publish(w, &packet->as.publish);
        return;
    case CRT_MQTT_PUBACK:
    case CRT_MQTT_SUBACK:
    case CRT_MQTT_UNSUBACK:
        visit_ack(w, &packet->as.ack);
        return;
    case CRT_MQTT_DISCONNECT:
        visit_disconnect(w, &packet->as.disconnect);
        return;
    default:
        return;
    }
}

size_t crt_mqtt_packet_extra(const crt_mqtt_packet *packet) {
    crt_mqtt_packet scratch = *packet;
    walk w = {NULL, 0, true};
    visit(&w, &scratch);
    return w.used;
}

void crt_mqtt_packet_copy(crt_mqtt_packet *copy, const crt_mqtt_packet *packet, void *storage) {
    *copy = *packet;
    walk w = {storage, 0, false};
    visit(&w, copy);
}
