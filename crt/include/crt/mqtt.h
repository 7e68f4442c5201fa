/*
 * MQTT client: packets, codecs (pure functions over buffers) and the client engine that drives one of them
 * over a byte stream. "M5" in comments is OASIS MQTT Version 5.0.
 */
#ifndef CRT_MQTT_H
#define CRT_MQTT_H

#include "crt/buffer.h"
#include "crt/loop.h"
#include "crt/status.h"
#include "crt/stream.h"
#include "crt/transport.h"

CRT_EXTERN_C_BEGIN

#define CRT_ERROR(code, name, message) name = code,
enum crt_mqtt_error {
#include "crt/errors_mqtt.def"
    CRT_MQTT_ERROR_END
};
#undef CRT_ERROR

/* Registers the error table above. Any number of times. */
CRT_HIDDEN void crt_mqtt_init(void);

/* ---- text ---- */

/* Well-formed UTF-8 without U+0000: what a peer may send (M5 1.5.4). */
CRT_HIDDEN bool crt_mqtt_utf8_valid(crt_bytes text);
/* The same without control characters and non-characters either ("should not" in M5 1.5.4): what we send. */
CRT_HIDDEN bool crt_mqtt_text_valid(crt_bytes text);
/* 1..65535 bytes of valid text without wildcards (M5 4.7). */
CRT_HIDDEN bool crt_mqtt_topic_valid(crt_bytes topic);
/* Wildcards only as whole levels, '#' only as the last; "$share/<group>/<filter>" well formed (M5 4.7.1, 4.8.2). */
CRT_HIDDEN bool crt_mqtt_filter_valid(crt_bytes filter);
CRT_HIDDEN bool crt_mqtt_filter_is_shared(crt_bytes filter);

/* ---- packets ---- */

enum crt_mqtt_packet_type {
    CRT_MQTT_CONNECT = 1,
    CRT_MQTT_CONNACK = 2,
    CRT_MQTT_PUBLISH = 3,
    CRT_MQTT_PUBACK = 4,
    CRT_MQTT_PUBREC = 5,
    CRT_MQTT_PUBREL = 6,
    CRT_MQTT_PUBCOMP = 7,
    CRT_MQTT_SUBSCRIBE = 8,
    CRT_MQTT_SUBACK = 9,
    CRT_MQTT_UNSUBSCRIBE = 10,
    CRT_MQTT_UNSUBACK = 11,
    CRT_MQTT_PINGREQ = 12,
    CRT_MQTT_PINGRESP = 13,
    CRT_MQTT_DISCONNECT = 14,
    CRT_MQTT_AUTH = 15,
};

/* Property identifiers (M5 2.2.2.2). */
enum crt_mqtt_property {
    CRT_MQTT_PAYLOAD_FORMAT = 1,
    CRT_MQTT_MESSAGE_EXPIRY = 2,
    CRT_MQTT_CONTENT_TYPE = 3,
    CRT_MQTT_RESPONSE_TOPIC = 8,
    CRT_MQTT_CORRELATION_DATA = 9,
    CRT_MQTT_SUBSCRIPTION_ID = 11,
    CRT_MQTT_SESSION_EXPIRY = 17,
    CRT_MQTT_ASSIGNED_CLIENT_ID = 18,
    CRT_MQTT_SERVER_KEEP_ALIVE = 19,
    CRT_MQTT_REQUEST_PROBLEM_INFO = 23,
    CRT_MQTT_WILL_DELAY = 24,
    CRT_MQTT_REQUEST_RESPONSE_INFO = 25,
    CRT_MQTT_RESPONSE_INFO = 26,
    CRT_MQTT_SERVER_REFERENCE = 28,
    CRT_MQTT_REASON_STRING = 31,
    CRT_MQTT_RECEIVE_MAXIMUM = 33,
    CRT_MQTT_TOPIC_ALIAS_MAXIMUM = 34,
    CRT_MQTT_TOPIC_ALIAS = 35,
    CRT_MQTT_MAXIMUM_QOS = 36,
    CRT_MQTT_RETAIN_AVAILABLE = 37,
    CRT_MQTT_USER_PROPERTY = 38,
    CRT_MQTT_MAXIMUM_PACKET_SIZE = 39,
    CRT_MQTT_WILDCARD_AVAILABLE = 40,
    CRT_MQTT_SUBSCRIPTION_ID_AVAILABLE = 41,
    CRT_MQTT_SHARED_AVAILABLE = 42,
    CRT_MQTT_PROPERTY_END
};

/* The properties a packet carries: bit n stands for identifier n. Fields without their bit are meaningless. */
typedef uint64_t crt_mqtt_present;

static inline crt_mqtt_present crt_mqtt_bit(int property) {
    return (crt_mqtt_present)1 << property;
}
static inline bool crt_mqtt_has(crt_mqtt_present present, int property) {
    return (present >> property) & 1;
}

typedef struct crt_mqtt_user_property {
    crt_bytes name;
    crt_bytes value;
} crt_mqtt_user_property;

/* Order and duplicates are kept; count 0: the packet carries none. */
typedef struct crt_mqtt_user_properties {
    const crt_mqtt_user_property *items;
    size_t count;
} crt_mqtt_user_properties;

typedef struct crt_mqtt_publish {
    crt_bytes topic;
    crt_bytes payload;
    crt_mqtt_present present;
    uint16_t packet_id; /* QoS > 0 */
    uint16_t topic_alias;
    uint32_t message_expiry;
    uint8_t qos;
    bool retain;
    bool dup;
    uint8_t payload_format;
    crt_bytes response_topic;
    crt_bytes correlation_data;
    crt_bytes content_type;
    crt_mqtt_user_properties user;
    const uint32_t *subscription_ids; /* received packets only */
    size_t subscription_id_count;
} crt_mqtt_publish;

typedef struct crt_mqtt_connect {
    crt_bytes client_id;
    crt_bytes username; /* ptr NULL: absent */
    crt_bytes password; /* ptr NULL: absent */
    crt_mqtt_present present; /* WILL_DELAY included */
    const crt_mqtt_publish *will;
    uint32_t session_expiry;
    uint32_t maximum_packet_size;
    uint32_t will_delay;
    uint16_t keep_alive_secs;
    uint16_t receive_maximum;
    uint16_t topic_alias_maximum;
    bool clean_start;
    bool request_response_info;
    bool request_problem_info;
    crt_mqtt_user_properties user;
} crt_mqtt_connect;

typedef struct crt_mqtt_connack {
    crt_mqtt_present present;
    bool session_present;
    uint8_t reason_code;
    uint8_t maximum_qos;
    bool retain_available;
    bool wildcard_available;
    bool subscription_id_available;
    bool shared_available;
    uint16_t receive_maximum;
    uint16_t topic_alias_maximum;
    uint16_t server_keep_alive_secs;
    uint32_t session_expiry;
    uint32_t maximum_packet_size;
    crt_bytes assigned_client_id;
    crt_bytes reason_string;
    crt_bytes response_info;
    crt_bytes server_reference;
    crt_mqtt_user_properties user;
} crt_mqtt_connack;

/* PUBACK, SUBACK, UNSUBACK. reason_codes: one byte each, in the order of the request; exactly one for PUBACK. */
typedef struct crt_mqtt_ack {
    uint16_t packet_id;
    crt_bytes reason_codes;
    crt_mqtt_present present;
    crt_bytes reason_string;
    crt_mqtt_user_properties user;
} crt_mqtt_ack;

typedef struct crt_mqtt_subscription {
    crt_bytes topic_filter;
    uint8_t qos;
    bool no_local;
    bool retain_as_published;
    uint8_t retain_handling;
} crt_mqtt_subscription;

typedef struct crt_mqtt_subscribe {
    uint16_t packet_id;
    crt_mqtt_present present;
    uint32_t subscription_id;
    const crt_mqtt_subscription *subscriptions;
    size_t count;
    crt_mqtt_user_properties user;
} crt_mqtt_subscribe;

typedef struct crt_mqtt_unsubscribe {
    uint16_t packet_id;
    const crt_bytes *topic_filters;
    size_t count;
    crt_mqtt_user_properties user;
} crt_mqtt_unsubscribe;

typedef struct crt_mqtt_disconnect {
    uint8_t reason_code;
    crt_mqtt_present present;
    uint32_t session_expiry;
    crt_bytes reason_string;
    crt_bytes server_reference; /* received packets only */
    crt_mqtt_user_properties user;
} crt_mqtt_disconnect;

/* One packet of any type; the members hold views, the memory belongs to somebody else. */
typedef struct crt_mqtt_packet {
    int type; /* enum crt_mqtt_packet_type; PINGREQ and PINGRESP have no member */
    union {
        crt_mqtt_connect connect;
        crt_mqtt_connack connack;
        crt_mqtt_publish publish;
        crt_mqtt_ack ack;
        crt_mqtt_subscribe subscribe;
        crt_mqtt_unsubscribe unsubscribe;
        crt_mqtt_disconnect disconnect;
    } as;
} crt_mqtt_packet;

/*
 * Deep copies. Bytes that crt_mqtt_packet_copy needs behind the struct for everything `packet` refers to, and
 * the copy itself: `storage` holds that many bytes, aligned for a pointer. Received packets, CONNECT and DISCONNECT.
 */
CRT_HIDDEN size_t crt_mqtt_packet_extra(const crt_mqtt_packet *packet);
CRT_HIDDEN void crt_mqtt_packet_copy(crt_mqtt_packet *copy, const crt_mqtt_packet *packet, void *storage);

/*
 * Checks of packets that a caller wants to send: 0 or AWS_ERROR_MQTT5_<PACKET>_OPTIONS_VALIDATION,
 * AWS_ERROR_MQTT5_USER_PROPERTY_VALIDATION. `fault` says which field broke which rule.
 */
CRT_HIDDEN int crt_mqtt5_check_connect(const crt_mqtt_connect *packet, crt_fault *fault);
CRT_HIDDEN int crt_mqtt5_check_publish(const crt_mqtt_publish *packet, crt_fault *fault);
CRT_HIDDEN int crt_mqtt5_check_subscribe(const crt_mqtt_subscribe *packet, crt_fault *fault);
CRT_HIDDEN int crt_mqtt5_check_unsubscribe(const crt_mqtt_unsubscribe *packet, crt_fault *fault);
CRT_HIDDEN int crt_mqtt5_check_disconnect(const crt_mqtt_disconnect *packet, crt_fault *fault);

/* ---- codec ---- */

#define CRT_MQTT_REMAINING_MAX 268435455u /* M5 2.1.4 */
#define CRT_MQTT_PACKET_MAX 268435460u    /* with the longest fixed header */

/* Incremental decoder: bytes in, packets out. Zeroed memory plus crt_mqtt_decoder_init. */
typedef struct crt_mqtt_decoder {
    const struct crt_mqtt_codec *codec;
    crt_buf in;
    uint32_t packet_max; /* largest packet to accept, fixed header included */
    size_t frame;        /* bytes of the packet handed out last, dropped with the next call */
    int failed_type;     /* type of the packet that was refused, 0 when not even that was known */
    bool failed;
    /* lists inside the packet handed out last */
    crt_mqtt_user_property *user;
    size_t user_cap;
    uint32_t *subscription_ids;
    size_t subscription_id_cap;
} crt_mqtt_decoder;

/* A protocol version as pure functions. */
typedef struct crt_mqtt_codec {
    const char *name; /* "MQTT 5" */
    /* Encoded size, 0 when the packet cannot be encoded at all (a field longer than its length prefix allows). */
    size_t (*size)(const crt_mqtt_packet *packet);
    /* Appends. 0, AWS_ERROR_MQTT5_ENCODE_FAILURE or AWS_ERROR_OOM; nothing is appended on failure. */
    int (*encode)(const crt_mqtt_packet *packet, crt_buf *out);
    /* One whole packet: first byte of the fixed header and what follows the remaining length. */
    int (*decode)(crt_mqtt_decoder *decoder, uint8_t first, crt_bytes body, crt_mqtt_packet *out, crt_fault *fault);
} crt_mqtt_codec;

CRT_HIDDEN extern const crt_mqtt_codec crt_mqtt5_codec;

CRT_HIDDEN void crt_mqtt_decoder_init(crt_mqtt_decoder *decoder, const crt_mqtt_codec *codec, uint32_t packet_max);
/* Forgets all bytes, keeps the memory; for the next connection. */
CRT_HIDDEN void crt_mqtt_decoder_reset(crt_mqtt_decoder *decoder, uint32_t packet_max);
CRT_HIDDEN void crt_mqtt_decoder_free(crt_mqtt_decoder *decoder);
/* Where the next bytes go; ends the life of views handed out. Grows with what arrived, never with what the
   peer announced. 0 or AWS_ERROR_OOM. */
CRT_HIDDEN int crt_mqtt_decoder_space(crt_mqtt_decoder *decoder, crt_span *space);
CRT_HIDDEN void crt_mqtt_decoder_commit(crt_mqtt_decoder *decoder, size_t n);
/* The next packet, if a whole one has arrived: sets *have. Views stay valid until the next call to the decoder.
   0 or AWS_ERROR_MQTT5_DECODE_PROTOCOL_ERROR / AWS_ERROR_OOM, after which the decoder stays failed. */
CRT_HIDDEN int crt_mqtt_decoder_next(crt_mqtt_decoder *decoder, crt_mqtt_packet *out, bool *have, crt_fault *fault);

/* ---- operations ---- */

typedef struct crt_mqtt_op crt_mqtt_op;
typedef struct crt_mqtt_client crt_mqtt_client;

/*
 * A publish, subscribe or unsubscribe. The caller allocates it (inside an object of its own), fills the first
 * two members and keeps everything `packet` views alive and untouched until `done`.
 */
struct crt_mqtt_op {
    crt_mqtt_packet packet;
    /*
     * Once, on the client's loop. Success: fault->code 0, ack the PUBACK, SUBACK or UNSUBACK (valid during the
     * call), NULL for a QoS 0 publish. Failure: ack NULL. The operation may be freed inside.
     */
    void (*done)(crt_mqtt_op *op, const crt_fault *fault, const crt_mqtt_ack *ack);

    /* private */
    crt_task task;
    crt_mqtt_client *client;
    crt_mqtt_op *next;
    crt_mqtt_op *prev;
    uint64_t deadline_ms;
    size_t size; /* as counted in the statistics */
    uint16_t packet_id;
    bool sent; /* at least once */
};

/* ---- client ---- */

enum crt_mqtt_session {
    CRT_MQTT_SESSION_CLEAN = 1,
    CRT_MQTT_SESSION_REJOIN_POST_SUCCESS = 2,
    CRT_MQTT_SESSION_REJOIN_ALWAYS = 3,
};
enum crt_mqtt_offline { CRT_MQTT_FAIL_NON_QOS1 = 1, CRT_MQTT_FAIL_QOS0 = 2, CRT_MQTT_FAIL_ALL = 3 };
enum crt_mqtt_jitter { CRT_MQTT_JITTER_NONE = 1, CRT_MQTT_JITTER_FULL = 2, CRT_MQTT_JITTER_DECORRELATED = 3 };
enum crt_mqtt_alias { CRT_MQTT_ALIAS_MANUAL = 1, CRT_MQTT_ALIAS_LRU = 2, CRT_MQTT_ALIAS_DISABLED = 3 };

/* What client and server agreed on (M5 3.2.2.3). */
typedef struct crt_mqtt_settings {
    uint8_t maximum_qos;
    bool retain_available;
    bool wildcard_available;
    bool subscription_id_available;
    bool shared_available;
    bool rejoined_session;
    uint16_t receive_maximum;
    uint16_t topic_alias_maximum_to_server;
    uint16_t topic_alias_maximum_to_client;
    uint16_t keep_alive_secs;
    uint32_t session_expiry;
    uint32_t maximum_packet_size;
    crt_bytes client_id;
} crt_mqtt_settings;

typedef struct crt_mqtt_statistics {
    uint64_t incomplete_count;
    uint64_t incomplete_size;
    uint64_t unacked_count;
    uint64_t unacked_size;
} crt_mqtt_statistics;

/* All on the client's loop; views are valid during the call. */
typedef struct crt_mqtt_client_handler {
    /* Each on_attempt is followed by one on_connected or on_failed, each on_connected by one on_disconnected. */
    void (*on_attempt)(void *user);
    void (*on_connected)(void *user, const crt_mqtt_connack *connack, const crt_mqtt_settings *settings);
    void (*on_failed)(void *user, const crt_fault *fault, const crt_mqtt_connack *connack_or_null);
    void (*on_disconnected)(void *user, const crt_fault *fault, const crt_mqtt_disconnect *disconnect_or_null);
    void (*on_stopped)(void *user);
    /* QoS > 0: ack is not 0, and crt_mqtt_client_ack is owed. */
    void (*on_publish)(void *user, const crt_mqtt_publish *publish, uint64_t ack);
    /* Before each attempt when options.handshake: answer with crt_mqtt_client_handshake_done, now or later. */
    void (*on_handshake)(void *user, uint64_t attempt);
    /* Optional: false stops reading from the peer until crt_mqtt_client_resume: back-pressure of the consumer. */
    bool (*may_read)(void *user);
    /* Last, after crt_mqtt_client_close and when everything has ended. */
    void (*on_terminated)(void *user);
} crt_mqtt_client_handler;

typedef struct crt_mqtt_client_options {
    const crt_mqtt_codec *codec;
    crt_loop_group *group;
    crt_resolver *resolver;
    const char *host;
    uint32_t port;
    crt_socket_options socket;
    const crt_tls_options *tls; /* NULL: plain */
    /* NULL: TCP or TLS straight to host:port; else a plugin's transport, with these. */
    const crt_transport *transport;
    bool handshake;
    const char *proxy_host;
    uint32_t proxy_port;
    const char *proxy_user;
    const char *proxy_password;
    const crt_tls_options *proxy_tls;

    const crt_mqtt_connect *connect; /* clean_start and topic_alias_maximum are the engine's to set */
    int session; /* enum crt_mqtt_session; others behave as CLEAN */
    int offline; /* enum crt_mqtt_offline; others behave as FAIL_QOS0 */
    int jitter;  /* enum crt_mqtt_jitter; others behave as FULL */
    uint32_t reconnect_min_ms;
    uint32_t reconnect_max_ms;
    uint32_t reconnect_reset_ms; /* connected for so long: the back-off starts over */
    uint32_t ping_timeout_ms;
    uint32_t connack_timeout_ms;
    uint32_t ack_timeout_secs;
    int outbound_alias; /* enum crt_mqtt_alias; others behave as DISABLED */
    uint16_t outbound_alias_max;
    uint16_t inbound_alias_max; /* 0: disabled */
    bool iot_core_limits; /* AWS IoT Core: 100 publishes/s, 512 KiB/s per connection; a client id is generated */

    const crt_mqtt_client_handler *handler; /* static storage */
    void *user;
} crt_mqtt_client_options;

/* Everything in the options is copied. The client lives until it was closed and then released. */
CRT_HIDDEN int crt_mqtt_client_new(const crt_mqtt_client_options *options, crt_mqtt_client **out);
/* Any thread, as all below. Once, after the last start, stop and submit: ends as crt_mqtt_client_stop without a
   packet does, then on_terminated. */
CRT_HIDDEN void crt_mqtt_client_close(crt_mqtt_client *client);
/* After on_terminated; the memory goes when calls under way on other threads are through. */
CRT_HIDDEN void crt_mqtt_client_release(crt_mqtt_client *client);
CRT_HIDDEN crt_loop *crt_mqtt_client_loop(const crt_mqtt_client *client);
/* Set the desired state; the last one wins. 0 or AWS_ERROR_OOM. */
CRT_HIDDEN int crt_mqtt_client_start(crt_mqtt_client *client);
/* disconnect (copied) NULL: close without a DISCONNECT. */
CRT_HIDDEN int crt_mqtt_client_stop(crt_mqtt_client *client, const crt_mqtt_disconnect *disconnect);
CRT_HIDDEN void crt_mqtt_client_submit(crt_mqtt_client *client, crt_mqtt_op *op);
/* Acknowledges a received publish; unknown, used or stale ones are ignored. */
CRT_HIDDEN int crt_mqtt_client_ack(crt_mqtt_client *client, uint64_t ack);
/* The handler's may_read has become true. */
CRT_HIDDEN int crt_mqtt_client_resume(crt_mqtt_client *client);
/* status 0: the attempt goes on with path and headers (copied); else it fails with it. An answer to an attempt
   that has ended is ignored. */
CRT_HIDDEN int crt_mqtt_client_handshake_done(crt_mqtt_client *client, uint64_t attempt, int status, const char *path,
                                              const crt_transport_header *headers, size_t header_count);
CRT_HIDDEN void crt_mqtt_client_statistics(const crt_mqtt_client *client, crt_mqtt_statistics *out);

CRT_EXTERN_C_END
#endif
