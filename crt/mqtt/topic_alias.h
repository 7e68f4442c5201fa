/*
 * Topic aliases (M5 3.3.2.3.4): numbers that stand for topics during one connection, one table per direction.
 */
#ifndef CRT_MQTT_TOPIC_ALIAS_H
#define CRT_MQTT_TOPIC_ALIAS_H

#include "crt/mqtt.h"

typedef struct crt_mqtt_alias_entry {
    char *topic; /* NULL: free */
    size_t len;
    uint32_t hash;
    /* LRU only: neighbours in order of use and in the hash chain; 0 ends. */
    uint16_t newer;
    uint16_t older;
    uint16_t chain;
} crt_mqtt_alias_entry;

typedef struct crt_mqtt_aliases {
    crt_mqtt_alias_entry *entries; /* by alias; [0] anchors the order of use */
    uint16_t *buckets;             /* LRU: first alias of each chain */
    uint32_t bucket_mask;
    uint16_t capacity;
    uint16_t used; /* LRU: aliases 1..used are taken */
} crt_mqtt_aliases;

/* Starts an empty table for a new connection. 0 or AWS_ERROR_OOM. */
CRT_HIDDEN int crt_mqtt_aliases_reset(crt_mqtt_aliases *aliases, uint16_t capacity, bool lru);
CRT_HIDDEN void crt_mqtt_aliases_free(crt_mqtt_aliases *aliases);

/* Received: learns topic -> alias, or fills in the topic of a known alias. 0, AWS_ERROR_OOM, or
   AWS_ERROR_MQTT5_INVALID_INBOUND_TOPIC_ALIAS. */
CRT_HIDDEN int crt_mqtt_aliases_inbound(crt_mqtt_aliases *aliases, crt_mqtt_publish *publish);
/* To send: the alias the caller chose. Drops the topic when the server knows the pair. 0, AWS_ERROR_OOM or
   AWS_ERROR_MQTT5_INVALID_OUTBOUND_TOPIC_ALIAS. */
CRT_HIDDEN int crt_mqtt_aliases_manual(crt_mqtt_aliases *aliases, crt_mqtt_publish *publish);
/* To send: the topic's alias, or the least recently used one. */
CRT_HIDDEN int crt_mqtt_aliases_lru(crt_mqtt_aliases *aliases, crt_mqtt_publish *publish);
/* To send: the server does not know this alias after all. */
CRT_HIDDEN void crt_mqtt_aliases_forget(crt_mqtt_aliases *aliases, uint16_t alias);

#endif
