/*
 * What a server's reason code means, in words (M5 2.4), with the server's own explanation where it sent one.
 */
#include <stdio.h>

#include "client_internal.h"

enum { SAID_MAX = 120 }; /* bytes of the server's explanation that go into an error message */

static const char *const meanings[] = {
    [0x80] = "unspecified error",
    [0x81] = "malformed packet",
    [0x82] = "protocol error",
    [0x83] = "implementation specific error",
    [0x84] = "unsupported protocol version",
    [0x85] = "client identifier not valid",
    [0x86] = "bad user name or password",
    [0x87] = "not authorized",
    [0x88] = "server unavailable",
    [0x89] = "server busy",
    [0x8A] = "banned",
    [0x8B] = "server shutting down",
    [0x8C] = "bad authentication method",
    [0x8D] = "keep alive timeout",
    [0x8E] = "session taken over: another client connected with this client identifier",
    [0x8F] = "topic filter invalid",
    [0x90] = "topic name invalid",
    [0x93] = "receive maximum exceeded",
    [0x94] = "topic alias invalid",
    [0x95] = "packet too large",
    [0x96] = "message rate too high",
    [0x97] = "quota exceeded",
    [0x98] = "administrative action",
    [0x99] = "payload format invalid",
    [0x9A] = "retain not supported",
    [0x9B] = "QoS not supported",
    [0x9C] = "use another server",
    [0x9D] = "server moved",
    [0x9E] = "shared subscriptions not supported",
    [0x9F] = "connection rate exceeded",
    [0xA0] = "maximum connect time",
    [0xA1] = "subscription identifiers not supported",
    [0xA2] = "wildcard subscriptions not supported",
};

static size_t fitting(crt_bytes said) {
    size_t len = said.len;
    if (len <= SAID_MAX) {
        return len;
    }
    for (len = SAID_MAX; len > 0 && (said.ptr[len] & 0xC0) == 0x80; len--) { /* not within a character */
    }
    return len;
}

void crt_mqtt_reason(char *out, size_t size, const char *what, uint8_t code, crt_mqtt_present present,
                     crt_bytes reason_string) {
    /* Properties that were not sent have no value at all. */
    crt_bytes said = crt_mqtt_has(present, CRT_MQTT_REASON_STRING) ? reason_string : crt_bytes_of(NULL, 0);
    const char *meaning = code < sizeof(meanings) / sizeof(meanings[0]) ? meanings[code] : NULL;
    int n = snprintf(out, size, "%s with reason code %u%s%s%s", what, code, meaning ? " (" : "",
                     meaning ? meaning : "", meaning ? ")" : "");
    /* Control characters of a peer must not reach a log or a terminal. */
    if (n > 0 && (size_t)n < size && said.len && crt_mqtt_text_valid(said)) {
        snprintf(out + n, size - (size_t)n, ": %.*s", (int)fitting(said), (const char *)said.ptr);
    }
}
