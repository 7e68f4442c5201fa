/*
 * awscrt._mqtt, internal: what the binding's files share.
 *
 *   module.c      the module, its state, the method table
 *   client.c      the client's handle: making, starting, stopping, dropping; the WebSocket handshake
 *   events.c      lifecycle events and received publishes on their way to Python
 *   operations.c  publish, subscribe, unsubscribe
 *   to_native.c   packets of awscrt.mqtt5 -> C structs
 *   to_python.c   C structs -> packets of awscrt.mqtt5
 */
#ifndef AWSCRT_MQTT_BINDING_H
#define AWSCRT_MQTT_BINDING_H

#include "awscrt/core_api.h"
#include "awscrt/pycompat.h"
#include "crt/mqtt.h"

/* ---- module state ---- */

/* Names of attributes, interned once: looked up for every publish. */
#define MQTT_NAMES(X)                                                                                          \
    X(topic) X(payload) X(qos) X(retain) X(payload_format_indicator) X(message_expiry_interval_sec)            \
    X(topic_alias) X(response_topic) X(correlation_data_bytes) X(correlation_data) X(content_type)             \
    X(user_properties) X(subscription_identifiers) X(name) X(value) X(reason_code) X(reason_codes)             \
    X(reason_string) X(puback) X(publish_packet) X(acquire_publish_acknowledgement_control)                    \
    X(connack_packet) X(disconnect_packet) X(negotiated_settings) X(exception) X(session_expiry_interval_sec)  \
    X(server_reference) X(session_present) X(receive_maximum) X(maximum_qos) X(retain_available)               \
    X(maximum_packet_size) X(assigned_client_identifier) X(topic_alias_maximum)                                \
    X(wildcard_subscriptions_available) X(subscription_identifiers_available) X(shared_subscription_available) \
    X(server_keep_alive_sec) X(response_information) X(receive_maximum_from_server)                            \
    X(maximum_packet_size_to_server) X(topic_alias_maximum_to_server) X(topic_alias_maximum_to_client)         \
    X(shared_subscriptions_available) X(rejoined_session) X(client_id) X(subscriptions) X(topic_filter)        \
    X(no_local) X(retain_as_published) X(retain_handling_type) X(subscription_identifier) X(topic_filters)     \
    X(keep_alive_interval_sec) X(username) X(password) X(request_response_information)                         \
    X(request_problem_information) X(will_delay_interval_sec) X(will) X(control_id) X(done) X(set_result)      \
    X(set_exception)

/* Classes of awscrt.mqtt5, and its enums as dicts from number to member. */
#define MQTT_TYPES(X)                                                                                          \
    X(PublishPacket) X(PublishReceivedData) X(PublishAcknowledgementControlHandle) X(PublishCompletionData)    \
    X(PubackPacket) X(SubackPacket) X(UnsubackPacket) X(ConnackPacket) X(DisconnectPacket)                     \
    X(NegotiatedSettings) X(UserProperty) X(LifecycleAttemptingConnectData) X(LifecycleConnectSuccessData)     \
    X(LifecycleConnectFailureData) X(LifecycleDisconnectData) X(LifecycleStoppedData)
#define MQTT_ENUMS(X)                                                                                          \
    X(QoS) X(PayloadFormatIndicator) X(ConnectReasonCode) X(DisconnectReasonCode) X(PubackReasonCode)          \
    X(SubackReasonCode) X(UnsubackReasonCode)

typedef struct mqtt_state {
#define MEMBER(name) PyObject *str_##name;
    MQTT_NAMES(MEMBER)
#undef MEMBER
#define MEMBER(name) PyObject *name;
    MQTT_TYPES(MEMBER)
    MQTT_ENUMS(MEMBER)
#undef MEMBER
    PyObject *ack_control_type;
    bool types_loaded;
} mqtt_state;

mqtt_state *mqtt_state_of(PyObject *module);
/* Fetches the classes of awscrt.mqtt5, which imports this module first. 0 or -1 + exception. */
int mqtt_load_types(mqtt_state *state);

/* ---- the client behind a handle ---- */

#define MQTT_CLIENT "awscrt.mqtt5.Client"

enum mqtt_callback {
    ON_ATTEMPT,
    ON_CONNECTED,
    ON_FAILED,
    ON_DISCONNECTED,
    ON_STOPPED,
    ON_PUBLISH,
    ON_HANDSHAKE,
    CALLBACKS,
};

typedef struct mqtt_client {
    crt_refcount refs; /* the handle, the engine until on_terminated, handshakes under way */
    uint32_t generation;
    crt_mqtt_client *engine;
    awscrt_sink sink;
    PyObject *module;
    mqtt_state *state;                 /* of module */
    PyObject *callbacks[CALLBACKS];    /* NULL: nobody listens */
    PyObject *transport;               /* the plugin's capsule, or NULL */
    PyObject *bootstrap;               /* what keeps the event loops */
    awscrt_event terminated;
    size_t backlog;                    /* atomic: bytes of publishes that wait in the mailbox */
    int paused;                        /* atomic: reading stopped because of it */
} mqtt_client;

/* From a handle; NULL + TypeError, or RuntimeError in a forked child. */
mqtt_client *mqtt_client_of(PyObject *handle);
void mqtt_client_unref(mqtt_client *client); /* GIL held */

extern const crt_mqtt_client_handler mqtt_client_handler; /* events.c */
void mqtt_client_discard(mqtt_client *client);            /* no GIL: Python references leak */

/* ---- packets in: what C views belong to ---- */

/* Keeps Python objects and arrays alive that a C packet refers to. */
typedef struct mqtt_keep {
    PyObject *few[2];  /* most packets: topic and payload */
    PyObject *objects; /* list of the rest */
    void *array;       /* subscriptions or topic filters */
    crt_mqtt_user_property *user;
} mqtt_keep;

void mqtt_keep_clear(mqtt_keep *keep);   /* GIL held */
void mqtt_keep_discard(mqtt_keep *keep); /* no GIL */

/* All: 0, or -1 + exception (TypeError, OverflowError, AttributeError, or RuntimeError of the packet's check). */
int mqtt_publish_get(mqtt_state *state, PyObject *packet, crt_mqtt_publish *out, mqtt_keep *keep);
int mqtt_subscribe_get(mqtt_state *state, PyObject *packet, crt_mqtt_subscribe *out, mqtt_keep *keep);
int mqtt_unsubscribe_get(mqtt_state *state, PyObject *packet, crt_mqtt_unsubscribe *out, mqtt_keep *keep);
int mqtt_disconnect_get(mqtt_state *state, PyObject *packet, crt_mqtt_disconnect *out, mqtt_keep *keep);
/* `will` is the caller's storage. */
int mqtt_connect_get(mqtt_state *state, PyObject *packet, crt_mqtt_connect *out, crt_mqtt_publish *will,
                     mqtt_keep *keep);

/* ---- packets out: new references, NULL + exception ---- */

PyObject *mqtt_publish_new(mqtt_state *state, const crt_mqtt_publish *packet);
PyObject *mqtt_connack_new(mqtt_state *state, const crt_mqtt_connack *packet);
PyObject *mqtt_disconnect_new(mqtt_state *state, const crt_mqtt_disconnect *packet);
PyObject *mqtt_settings_new(mqtt_state *state, const crt_mqtt_settings *settings);
/* The result of an operation: ack NULL for a QoS 0 publish. */
PyObject *mqtt_completion_new(mqtt_state *state, int operation, const crt_mqtt_ack *ack);
/* An instance without its __init__: every field has its default from the class until it is set. */
PyObject *mqtt_instance(PyObject *type);
/* object.name = value; steals value, NULL value is the failure of whoever made it. */
int mqtt_set(PyObject *object, PyObject *name, PyObject *value);

/* ---- methods ---- */

PyObject *mqtt_client_new(PyObject *module, PyObject *args, PyObject *kwargs);
PyObject *mqtt_start(PyObject *module, PyObject *handle);
PyObject *mqtt_stop(PyObject *module, PyObject *args);
PyObject *mqtt_statistics(PyObject *module, PyObject *handle);
PyObject *mqtt_acknowledge(PyObject *module, PyObject *args);
PyObject *mqtt_handshake_done(PyObject *module, PyObject *args);
PyObject *mqtt_publish(PyObject *module, PyObject *const *args, Py_ssize_t count);
PyObject *mqtt_subscribe(PyObject *module, PyObject *const *args, Py_ssize_t count);
PyObject *mqtt_unsubscribe(PyObject *module, PyObject *const *args, Py_ssize_t count);

int mqtt_ack_control_init(PyObject *module, mqtt_state *state); /* events.c */
/* Capsule that answers attempt `attempt`; holds a reference to the client. */
PyObject *mqtt_attempt_new(mqtt_client *client, uint64_t attempt);

#endif
