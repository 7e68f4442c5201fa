/*
 * Feeds arbitrary bytes to the MQTT 5 decoder in pieces whose sizes the input chooses. Whatever it accepts must
 * survive a deep copy, and a packet both sides may send must encode to something the decoder takes again.
 */
#include <stdlib.h>

#include "crt/mqtt.h"

static void encode_again(const crt_mqtt_packet *packet) {
    if (packet->type != CRT_MQTT_PUBLISH && packet->type != CRT_MQTT_PUBACK) {
        return;
    }
    crt_buf out = CRT_BUF_INIT;
    if (crt_mqtt5_codec.encode(packet, &out) || crt_buf_len(&out) != crt_mqtt5_codec.size(packet)) {
        abort();
    }
    crt_mqtt_decoder d;
    crt_mqtt_decoder_init(&d, &crt_mqtt5_codec, CRT_MQTT_PACKET_MAX);
    crt_span space;
    crt_bytes bytes = crt_buf_view(&out);
    while (bytes.len && crt_mqtt_decoder_space(&d, &space) == 0) {
        size_t n = bytes.len < space.len ? bytes.len : space.len;
        memcpy(space.ptr, bytes.ptr, n);
        crt_mqtt_decoder_commit(&d, n);
        bytes = crt_bytes_of(bytes.ptr + n, bytes.len - n);
    }
    crt_mqtt_packet again;
    bool have = false;
    crt_fault fault;
    if (crt_mqtt_decoder_next(&d, &again, &have, &fault) || !have) {
        abort();
    }
    crt_mqtt_decoder_free(&d);
    crt_buf_free(&out);
}

static void use(const crt_mqtt_packet *packet) {
    crt_mqtt_packet copy;
    void *storage = malloc(crt_mqtt_packet_extra(packet) + 1);
    crt_mqtt_packet_copy(&copy, packet, storage);
    encode_again(&copy);
    free(storage);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    crt_mqtt_decoder d;
    crt_mqtt_decoder_init(&d, &crt_mqtt5_codec, 1 << 20);
    crt_fault fault;
    int status = 0;
    while (size > 1 && status == 0) {
        size_t n = data[0] < size - 1 ? data[0] : size - 1;
        crt_span space;
        status = crt_mqtt_decoder_space(&d, &space);
        memcpy(space.ptr, data + 1, n);
        crt_mqtt_decoder_commit(&d, n);
        data += 1 + n;
        size -= 1 + n;
        bool have = true;
        while (have && status == 0) {
            crt_mqtt_packet packet;
            status = crt_mqtt_decoder_next(&d, &packet, &have, &fault);
            if (status == 0 && have) {
                use(&packet);
            }
        }
    }
    crt_mqtt_decoder_free(&d);
    return 0;
}
