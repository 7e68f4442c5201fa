/*
 * Framing, the same in every MQTT version: fixed header, remaining length, then a body for the codec.
 */
#include "crt/memory.h"
#include "crt/mqtt.h"

/* One read system call of a busy connection brings at most this much. */
#define READ_SIZE 65536
/* A buffer that one large packet grew is not kept for ever. */
#define KEEP_SIZE (1024 * 1024)

void crt_mqtt_decoder_init(crt_mqtt_decoder *decoder, const crt_mqtt_codec *codec, uint32_t packet_max) {
    memset(decoder, 0, sizeof(*decoder));
    decoder->codec = codec;
    decoder->packet_max = packet_max;
}

void crt_mqtt_decoder_reset(crt_mqtt_decoder *decoder, uint32_t packet_max) {
    crt_buf_clear(&decoder->in);
    decoder->packet_max = packet_max;
    decoder->frame = 0;
    decoder->failed_type = 0;
    decoder->failed = false;
}

void crt_mqtt_decoder_free(crt_mqtt_decoder *decoder) {
    crt_buf_free(&decoder->in);
    crt_free(decoder->user);
    crt_free(decoder->subscription_ids);
    decoder->user = NULL;
    decoder->subscription_ids = NULL;
    decoder->user_cap = decoder->subscription_id_cap = 0;
}

static void drop_frame(crt_mqtt_decoder *d) {
    crt_buf_consume(&d->in, d->frame);
    d->frame = 0;
}

int crt_mqtt_decoder_space(crt_mqtt_decoder *d, crt_span *space) {
    drop_frame(d);
    size_t held = crt_buf_len(&d->in);
    if (held == 0 && d->in.cap > KEEP_SIZE) {
        crt_buf_free(&d->in);
    }
    /* Doubling keeps the moves of a large packet linear; an announced length alone reserves nothing. */
    int status = crt_buf_reserve(&d->in, held > READ_SIZE ? held : READ_SIZE);
    if (status) {
        return status;
    }
    space->ptr = d->in.ptr + d->in.end;
    space->len = d->in.cap - d->in.end;
    return 0;
}

void crt_mqtt_decoder_commit(crt_mqtt_decoder *d, size_t n) {
    d->in.end += n;
}

/* Reads the fixed header (M5 2.1). Returns its size, 0 while it is incomplete, -1 when it is malformed. */
static int read_fixed_header(crt_bytes in, uint32_t *remaining) {
    uint32_t value = 0;
    for (size_t i = 1; i < in.len; i++) {
        uint8_t byte = in.ptr[i];
        value |= (uint32_t)(byte & 0x7F) << (7 * (i - 1));
        if (!(byte & 0x80)) {
            *remaining = value;
            return byte == 0 && i > 1 ? -1 : (int)i + 1; /* shortest form only */
        }
        if (i == 4) {
            return -1;
        }
    }
    return 0;
}

static int refuse(crt_mqtt_decoder *d, int status, crt_fault *fault, const char *why) {
    d->failed = true;
    return crt_fail(fault, status, "%s", why);
}

/* M5 2.1.2, 2.1.3: no packet has type 0; but for PUBLISH the flags are fixed. */
static bool begins_packet(uint8_t first) {
    int type = first >> 4;
    return type == CRT_MQTT_PUBLISH || (type != 0 && (first & 0x0F) == (type == CRT_MQTT_PUBREL ? 2 : 0));
}

int crt_mqtt_decoder_next(crt_mqtt_decoder *d, crt_mqtt_packet *out, bool *have, crt_fault *fault) {
    *have = false;
    if (d->failed) {
        return crt_fail(fault, AWS_ERROR_MQTT5_DECODE_PROTOCOL_ERROR, "an earlier packet was malformed");
    }
    drop_frame(d);
    crt_bytes in = crt_buf_view(&d->in);
    if (in.len == 0) {
        return 0;
    }
    d->failed_type = in.ptr[0] >> 4;
    if (!begins_packet(in.ptr[0])) {
        /* Not after the length: a peer that speaks another protocol may never send as much as its bytes announce. */
        d->failed = true;
        return crt_fail(fault, AWS_ERROR_MQTT5_DECODE_PROTOCOL_ERROR,
                        "the server does not speak MQTT: no packet begins with 0x%02x (M5 2.1)", in.ptr[0]);
    }
    uint32_t remaining = 0;
    int header = read_fixed_header(in, &remaining);
    if (header == 0) {
        return 0;
    }
    if (header < 0) {
        return refuse(d, AWS_ERROR_MQTT5_DECODE_PROTOCOL_ERROR, fault, "malformed remaining length (M5 1.5.5)");
    }
    size_t size = (size_t)header + remaining;
    if (size > d->packet_max) {
        return refuse(d, AWS_ERROR_MQTT5_DECODE_PROTOCOL_ERROR, fault,
                      "packet above our Maximum Packet Size (M5 3.1.2.11.4)");
    }
    if (in.len < size) {
        return 0;
    }
    int status = d->codec->decode(d, in.ptr[0], crt_bytes_of(in.ptr + header, remaining), out, fault);
    if (status) {
        d->failed = true;
        return status;
    }
    d->frame = size;
    *have = true;
    return 0;
}
