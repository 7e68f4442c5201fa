#include "packet_ids.h"

#include "crt/memory.h"

enum { PAGE = 256, IDS_MAX = 65535 };

void *crt_mqtt_ids_get(const crt_mqtt_ids *ids, uint16_t id) {
    void **page = ids->pages[id / PAGE];
    return page ? page[id % PAGE] : NULL;
}

int crt_mqtt_ids_take(crt_mqtt_ids *ids, void *what, uint16_t *id) {
    if (ids->used == IDS_MAX) {
        return AWS_ERROR_MQTT_QUEUE_FULL;
    }
    uint16_t candidate = ids->last;
    do {
        candidate = candidate == IDS_MAX ? 1 : (uint16_t)(candidate + 1);
    } while (crt_mqtt_ids_get(ids, candidate));
    void ***page = &ids->pages[candidate / PAGE];
    if (!*page) {
        *page = crt_calloc(PAGE, sizeof(void *));
        if (!*page) {
            return AWS_ERROR_OOM;
        }
    }
    (*page)[candidate % PAGE] = what;
    ids->last = candidate;
    ids->used++;
    *id = candidate;
    return 0;
}

void crt_mqtt_ids_replace(crt_mqtt_ids *ids, uint16_t id, void *what) {
    ids->pages[id / PAGE][id % PAGE] = what;
}

void crt_mqtt_ids_drop(crt_mqtt_ids *ids, uint16_t id) {
    if (crt_mqtt_ids_get(ids, id)) {
        ids->pages[id / PAGE][id % PAGE] = NULL;
        ids->used--;
    }
}

void crt_mqtt_ids_drop_all(crt_mqtt_ids *ids, const void *what) {
    for (uint32_t id = 1; id <= IDS_MAX; id++) {
        if (!ids->pages[id / PAGE]) {
            id |= PAGE - 1; /* on to the next page */
        } else if (crt_mqtt_ids_get(ids, (uint16_t)id) == what) {
            crt_mqtt_ids_drop(ids, (uint16_t)id);
        }
    }
}

void crt_mqtt_ids_free(crt_mqtt_ids *ids) {
    for (size_t i = 0; i < 256; i++) {
        crt_free(ids->pages[i]);
        ids->pages[i] = NULL;
    }
    ids->used = 0;
}
