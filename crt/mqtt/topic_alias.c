#include "topic_alias.h"

#include "crt/memory.h"

static uint32_t hash_of(crt_bytes topic) { /* FNV-1a */
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < topic.len; i++) {
        h = (h ^ topic.ptr[i]) * 16777619u;
    }
    return h;
}

void crt_mqtt_aliases_free(crt_mqtt_aliases *a) {
    for (size_t i = 1; a->entries && i <= a->capacity; i++) {
        crt_free(a->entries[i].topic);
    }
    crt_free(a->entries);
    crt_free(a->buckets);
    memset(a, 0, sizeof(*a));
}

int crt_mqtt_aliases_reset(crt_mqtt_aliases *a, uint16_t capacity, bool lru) {
    crt_mqtt_aliases_free(a);
    if (capacity == 0) {
        return 0;
    }
    a->entries = crt_calloc((size_t)capacity + 1, sizeof(*a->entries));
    if (!a->entries) {
        return AWS_ERROR_OOM;
    }
    a->capacity = capacity;
    if (!lru) {
        return 0;
    }
    uint32_t buckets = 16;
    while (buckets < capacity) {
        buckets *= 2;
    }
    a->buckets = crt_calloc(buckets, sizeof(*a->buckets));
    if (!a->buckets) {
        return AWS_ERROR_OOM;
    }
    a->bucket_mask = buckets - 1;
    return 0;
}

static bool stands_for(const crt_mqtt_alias_entry *e, crt_bytes topic) {
    return e->topic && crt_bytes_eq(crt_bytes_of(e->topic, e->len), topic);
}

static int remember(crt_mqtt_alias_entry *e, crt_bytes topic) {
    char *copy = crt_strndup(topic.ptr, topic.len);
    if (!copy) {
        return AWS_ERROR_OOM;
    }
    crt_free(e->topic);
    e->topic = copy;
    e->len = topic.len;
    return 0;
}

int crt_mqtt_aliases_inbound(crt_mqtt_aliases *a, crt_mqtt_publish *m) {
    if (m->topic_alias == 0 || m->topic_alias > a->capacity) {
        return AWS_ERROR_MQTT5_INVALID_INBOUND_TOPIC_ALIAS;
    }
    crt_mqtt_alias_entry *e = &a->entries[m->topic_alias];
    if (m->topic.len) {
        return remember(e, m->topic);
    }
    if (!e->topic) {
        return AWS_ERROR_MQTT5_INVALID_INBOUND_TOPIC_ALIAS;
    }
    m->topic = crt_bytes_of(e->topic, e->len);
    return 0;
}

int crt_mqtt_aliases_manual(crt_mqtt_aliases *a, crt_mqtt_publish *m) {
    if (m->topic_alias == 0 || m->topic_alias > a->capacity) {
        return AWS_ERROR_MQTT5_INVALID_OUTBOUND_TOPIC_ALIAS;
    }
    crt_mqtt_alias_entry *e = &a->entries[m->topic_alias];
    if (!stands_for(e, m->topic)) {
        return remember(e, m->topic);
    }
    m->topic.len = 0;
    return 0;
}

void crt_mqtt_aliases_forget(crt_mqtt_aliases *a, uint16_t alias) {
    crt_free(a->entries[alias].topic);
    a->entries[alias].topic = NULL;
}

/* ---- least recently used ---- */

static void unlink_use(crt_mqtt_aliases *a, uint16_t alias) {
    crt_mqtt_alias_entry *e = &a->entries[alias];
    a->entries[e->newer].older = e->older;
    a->entries[e->older].newer = e->newer;
}

/* Entry 0 anchors the ring: its `older` is the newest, its `newer` the oldest. */
static void make_newest(crt_mqtt_aliases *a, uint16_t alias) {
    crt_mqtt_alias_entry *e = &a->entries[alias];
    e->newer = 0;
    e->older = a->entries[0].older;
    a->entries[e->older].newer = alias;
    a->entries[0].older = alias;
}

static void leave_chain(crt_mqtt_aliases *a, uint16_t alias) {
    uint16_t *link = &a->buckets[a->entries[alias].hash & a->bucket_mask];
    while (*link != alias) {
        link = &a->entries[*link].chain;
    }
    *link = a->entries[alias].chain;
}

int crt_mqtt_aliases_lru(crt_mqtt_aliases *a, crt_mqtt_publish *m) {
    uint32_t hash = hash_of(m->topic);
    uint16_t *bucket = &a->buckets[hash & a->bucket_mask];
    uint16_t alias = *bucket;
    while (alias && !(a->entries[alias].hash == hash && stands_for(&a->entries[alias], m->topic))) {
        alias = a->entries[alias].chain;
    }
    if (alias) {
        unlink_use(a, alias);
        m->topic.len = 0;
    } else {
        bool full = a->used == a->capacity;
        alias = full ? a->entries[0].newer : (uint16_t)(a->used + 1);
        int status = remember(&a->entries[alias], m->topic);
        if (status) {
            return status;
        }
        if (full) {
            leave_chain(a, alias);
            unlink_use(a, alias);
        } else {
            a->used++;
        }
        a->entries[alias].hash = hash;
        a->entries[alias].chain = *bucket;
        *bucket = alias;
    }
    make_newest(a, alias);
    m->topic_alias = alias;
    m->present |= crt_mqtt_bit(CRT_MQTT_TOPIC_ALIAS);
    return 0;
}
