/*
 * awscrt._mqtt: the module, its state, the method table.
 */
#define AWSCRT_CORE_IMPLEMENT
#include "binding.h"

mqtt_state *mqtt_state_of(PyObject *module) {
    return PyModule_GetState(module);
}

/* ---- state ---- */

static int intern_names(mqtt_state *state) {
#define INTERN(name)                                                                                           \
    if (!(state->str_##name = PyUnicode_InternFromString(#name))) {                                            \
        return -1;                                                                                             \
    }
    MQTT_NAMES(INTERN)
#undef INTERN
    return 0;
}

/* {number: member} of an enum */
static PyObject *members_of(PyObject *mqtt5, const char *name) {
    PyObject *type = PyObject_GetAttrString(mqtt5, name);
    PyObject *members = type ? PyObject_GetAttrString(type, "_value2member_map_") : NULL;
    Py_XDECREF(type);
    return members;
}

static int fetch_types(mqtt_state *state, PyObject *mqtt5) {
#define FETCH(name)                                                                                            \
    if (!state->name && !(state->name = PyObject_GetAttrString(mqtt5, #name))) {                               \
        return -1;                                                                                             \
    }
    MQTT_TYPES(FETCH)
#undef FETCH
#define FETCH(name)                                                                                            \
    if (!state->name && !(state->name = members_of(mqtt5, #name))) {                                           \
        return -1;                                                                                             \
    }
    MQTT_ENUMS(FETCH)
#undef FETCH
    return 0;
}

int mqtt_load_types(mqtt_state *state) {
    if (state->types_loaded) {
        return 0;
    }
    PyObject *mqtt5 = PyImport_ImportModule("awscrt.mqtt5");
    int status = mqtt5 ? fetch_types(state, mqtt5) : -1;
    Py_XDECREF(mqtt5);
    state->types_loaded = status == 0;
    return status;
}

static int state_traverse(PyObject *module, visitproc visit, void *arg) {
    mqtt_state *state = mqtt_state_of(module);
#define VISIT(name) Py_VISIT(state->name);
    MQTT_TYPES(VISIT)
    MQTT_ENUMS(VISIT)
#undef VISIT
    Py_VISIT(state->ack_control_type);
    return 0;
}

static int state_clear(PyObject *module) {
    mqtt_state *state = mqtt_state_of(module);
#define CLEAR(name) Py_CLEAR(state->str_##name);
    MQTT_NAMES(CLEAR)
#undef CLEAR
#define CLEAR(name) Py_CLEAR(state->name);
    MQTT_TYPES(CLEAR)
    MQTT_ENUMS(CLEAR)
#undef CLEAR
    Py_CLEAR(state->ack_control_type);
    return 0;
}

static void state_free(void *module) {
    state_clear(module);
}

/* ---- module ---- */

static PyMethodDef methods[] = {
    {"client_new", (PyCFunction)(void (*)(void))mqtt_client_new, METH_VARARGS | METH_KEYWORDS,
     "Makes a client; see awscrt.mqtt5.Client."},
    {"start", mqtt_start, METH_O, "(client)"},
    {"stop", mqtt_stop, METH_VARARGS, "(client, DisconnectPacket or None)"},
    {"publish", (PyCFunction)(void (*)(void))mqtt_publish, METH_FASTCALL,
     "(client, PublishPacket[, asyncio future]) -> future"},
    {"subscribe", (PyCFunction)(void (*)(void))mqtt_subscribe, METH_FASTCALL,
     "(client, SubscribePacket[, asyncio future]) -> future"},
    {"unsubscribe", (PyCFunction)(void (*)(void))mqtt_unsubscribe, METH_FASTCALL,
     "(client, UnsubscribePacket[, asyncio future]) -> future"},
    {"statistics", mqtt_statistics, METH_O, "(client) -> (incomplete count, size, unacked count, size)"},
    {"acknowledge", mqtt_acknowledge, METH_VARARGS, "(client, control id)"},
    {"handshake_done", mqtt_handshake_done, METH_VARARGS, "(attempt, code, path, headers)"},
    {NULL, NULL, 0, NULL},
};

static int module_exec(PyObject *module) {
    mqtt_state *state = mqtt_state_of(module);
    if (awscrt_core_import("awscrt-mqtt")) {
        return -1;
    }
    crt_mqtt_init();
    return intern_names(state) || mqtt_ack_control_init(module, state) ? -1 : 0;
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, module_exec},
#if defined(Py_GIL_DISABLED)
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

static PyModuleDef module_def = {
    PyModuleDef_HEAD_INIT,
    .m_name = "awscrt._mqtt",
    .m_doc = "Native side of awscrt.mqtt5.",
    .m_size = sizeof(mqtt_state),
    .m_methods = methods,
    .m_slots = slots,
    .m_traverse = state_traverse,
    .m_clear = state_clear,
    .m_free = state_free,
};

PyMODINIT_FUNC PyInit__mqtt(void) {
    return PyModuleDef_Init(&module_def);
}
