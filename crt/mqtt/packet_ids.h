/*
 * Packet identifiers in use and what they stand for: two levels of 256, the second made on demand, so that a
 * lookup is two loads and an idle client holds next to nothing.
 */
#ifndef CRT_MQTT_PACKET_IDS_H
#define CRT_MQTT_PACKET_IDS_H

#include "crt/mqtt.h"

typedef struct crt_mqtt_ids {
    void **pages[256];
    uint16_t last; /* given out most recently */
    size_t used;
} crt_mqtt_ids;

/* The next free identifier after the last one, bound to `what` (not NULL). 0 or AWS_ERROR_OOM, or
   AWS_ERROR_MQTT_QUEUE_FULL when all 65535 are taken. */
CRT_HIDDEN int crt_mqtt_ids_take(crt_mqtt_ids *ids, void *what, uint16_t *id);
CRT_HIDDEN void *crt_mqtt_ids_get(const crt_mqtt_ids *ids, uint16_t id);
/* Binds an identifier in use to something else. */
CRT_HIDDEN void crt_mqtt_ids_replace(crt_mqtt_ids *ids, uint16_t id, void *what);
CRT_HIDDEN void crt_mqtt_ids_drop(crt_mqtt_ids *ids, uint16_t id);
/* Drops every identifier bound to `what`. */
CRT_HIDDEN void crt_mqtt_ids_drop_all(crt_mqtt_ids *ids, const void *what);
CRT_HIDDEN void crt_mqtt_ids_free(crt_mqtt_ids *ids);

#endif
