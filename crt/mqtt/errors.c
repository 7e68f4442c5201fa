/*
 * The error codes of this room, registered once with the runtime's table.
 */
#include "crt/mqtt.h"

static const crt_error_info table[] = {
#define CRT_ERROR(code, name, message) {code, #name, message},
#include "crt/errors_mqtt.def"
#undef CRT_ERROR
};

void crt_mqtt_init(void) {
    crt_error_register(table, sizeof(table) / sizeof(table[0]));
}
