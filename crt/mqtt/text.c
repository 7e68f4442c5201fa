/*
 * Validity of UTF-8 text, topic names and topic filters (M5 1.5.4, 4.7, 4.8.2).
 */
#include "crt/mqtt.h"

#define TOPIC_MAX 65535
#define BAD_CODEPOINT UINT32_MAX

/* Decodes one character of more than one byte; *used gets its length. Overlong forms, surrogates and values
   above U+10FFFF are malformed (RFC 3629). */
static uint32_t decode_multibyte(const uint8_t *p, size_t left, size_t *used) {
    uint8_t lead = p[0];
    size_t n = lead >= 0xC2 && lead <= 0xDF ? 2 : (lead & 0xF0) == 0xE0 ? 3 : lead >= 0xF0 && lead <= 0xF4 ? 4 : 0;
    if (n == 0 || n > left) {
        return BAD_CODEPOINT;
    }
    uint32_t cp = lead & (0x7F >> n);
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xC0) != 0x80) {
            return BAD_CODEPOINT;
        }
        cp = cp << 6 | (p[i] & 0x3F);
    }
    bool overlong = (n == 3 && cp < 0x800) || (n == 4 && cp < 0x10000);
    if (overlong || cp > 0x10FFFF || (cp >= 0xD800 && cp <= 0xDFFF)) {
        return BAD_CODEPOINT;
    }
    *used = n;
    return cp;
}

static bool is_discouraged(uint32_t cp) {
    return cp < 0x20 || (cp >= 0x7F && cp <= 0x9F) || (cp >= 0xFDD0 && cp <= 0xFDEF) || (cp & 0xFFFE) == 0xFFFE;
}

static bool scan(crt_bytes text, bool strict) {
    for (size_t i = 0; i < text.len;) {
        uint32_t cp = text.ptr[i];
        size_t used = 1;
        if (cp >= 0x80) {
            cp = decode_multibyte(text.ptr + i, text.len - i, &used);
        }
        if (cp == BAD_CODEPOINT || cp == 0 || (strict && is_discouraged(cp))) {
            return false;
        }
        i += used;
    }
    return true;
}

bool crt_mqtt_utf8_valid(crt_bytes text) {
    return scan(text, false);
}

bool crt_mqtt_text_valid(crt_bytes text) {
    return scan(text, true);
}

bool crt_mqtt_topic_valid(crt_bytes topic) {
    if (topic.len == 0 || topic.len > TOPIC_MAX || !crt_mqtt_text_valid(topic)) {
        return false;
    }
    return !memchr(topic.ptr, '+', topic.len) && !memchr(topic.ptr, '#', topic.len);
}

static bool wildcards_valid(crt_bytes filter) {
    for (size_t i = 0; i < filter.len; i++) {
        uint8_t c = filter.ptr[i];
        if (c != '+' && c != '#') {
            continue;
        }
        bool level_starts = i == 0 || filter.ptr[i - 1] == '/';
        bool level_ends = i + 1 == filter.len || filter.ptr[i + 1] == '/';
        bool last = i + 1 == filter.len;
        if (!level_starts || !level_ends || (c == '#' && !last)) {
            return false;
        }
    }
    return true;
}

bool crt_mqtt_filter_is_shared(crt_bytes filter) {
    return filter.len >= 7 && memcmp(filter.ptr, "$share/", 7) == 0;
}

bool crt_mqtt_filter_valid(crt_bytes filter) {
    if (filter.len == 0 || filter.len > TOPIC_MAX || !crt_mqtt_text_valid(filter) || !wildcards_valid(filter)) {
        return false;
    }
    if (!crt_mqtt_filter_is_shared(filter)) {
        return true;
    }
    /* "$share/" group "/" filter: both not empty, the group without wildcards (M5 4.8.2) */
    const uint8_t *group = filter.ptr + 7;
    const uint8_t *slash = memchr(group, '/', filter.len - 7);
    if (!slash || slash == group || slash + 1 == filter.ptr + filter.len) {
        return false;
    }
    size_t group_len = (size_t)(slash - group);
    return !memchr(group, '+', group_len) && !memchr(group, '#', group_len);
}
