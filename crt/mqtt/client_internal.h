/*
 * The inside of the client engine.
 *
 *   client.c      the calls of other threads, as tasks for the loop; life and death of the object
 *   connection.c  the state machine: attempts, CONNACK, losing and closing connections, reconnecting
 *   transfer.c    packets to and from the stream: batching writes, dispatching what arrives, keep-alive
 *   session.c     operations: the queue, packet identifiers, acknowledgements, offline policy, statistics
 *
 * Everything here runs on the client's loop.
 */
#ifndef CRT_MQTT_CLIENT_INTERNAL_H
#define CRT_MQTT_CLIENT_INTERNAL_H

#include <stddef.h>
#include <stdio.h>

#include "crt/crypto.h"
#include "crt/log.h"
#include "crt/memory.h"
#include "crt/mqtt.h"
#include "pacing.h"
#include "packet_ids.h"
#include "topic_alias.h"

enum crt_mqtt_state {
    STATE_STOPPED,
    STATE_HANDSHAKE,  /* waiting for crt_mqtt_client_handshake_done */
    STATE_CONNECTING, /* waiting for the transport */
    STATE_MQTT_CONNECT,
    STATE_CONNECTED,
    STATE_GOODBYE, /* a DISCONNECT is being flushed */
    STATE_CLOSING, /* waiting for the stream's on_closed */
    STATE_PENDING_RECONNECT,
    STATE_TERMINATED,
};

enum crt_mqtt_desired { DESIRED_STOPPED, DESIRED_CONNECTED, DESIRED_TERMINATED };

/* A packet with all it refers to, in one block. */
typedef struct crt_mqtt_owned {
    crt_mqtt_packet packet;
    max_align_t storage[];
} crt_mqtt_owned;

typedef struct crt_mqtt_oplist {
    crt_mqtt_op *first;
    crt_mqtt_op *last;
} crt_mqtt_oplist;

/* What options.tls and the like point to, copied. */
typedef struct crt_mqtt_tls_copy {
    crt_tls_options options;
    char *server_name;
    char *alpn;
} crt_mqtt_tls_copy;

struct crt_mqtt_client {
    crt_refcount refs;
    crt_loop *loop;
    crt_mqtt_client_options options; /* its pointers are to the copies below */
    char *host;
    char *interface_name;
    char *proxy_host;
    char *proxy_user;
    char *proxy_password;
    crt_mqtt_tls_copy tls;
    crt_mqtt_tls_copy proxy_tls;
    crt_mqtt_owned *connect;
    char *client_id; /* assigned by the server or generated; NULL: the options' */

    /* state machine */
    enum crt_mqtt_state state;
    enum crt_mqtt_desired desired;
    bool succeeded; /* since the last stop: REJOIN_POST_SUCCESS resumes */
    bool was_connected; /* the connection that is ending had its CONNACK */
    uint64_t connected_ms;
    crt_task close_task;
    crt_task update_task;
    bool update_due;
    crt_timer phase_timer; /* CONNACK, flush of the DISCONNECT, reconnect delay: one at a time */
    crt_mqtt_backoff backoff;
    crt_fault ending;          /* why the connection ends; code 0: not known yet */
    crt_mqtt_owned *last_word; /* the server's CONNACK or DISCONNECT that goes with it, or NULL */

    /* transport */
    uint64_t attempt;
    crt_connect *connecting;
    crt_stream *stream;
    crt_mqtt_decoder decoder;
    bool paused;

    /* sending */
    crt_task pump_task;
    bool pump_due;
    crt_buf out;
    crt_write write;
    bool writing;
    bool connect_due;
    bool ping_due;
    crt_mqtt_owned *goodbye; /* DISCONNECT to send before the close */
    uint16_t *pubacks;
    size_t puback_count;
    size_t puback_cap;

    /* keep-alive */
    crt_timer ping_timer;
    uint64_t next_ping_ms;
    bool ping_outstanding;

    /* session */
    crt_mqtt_settings settings;
    crt_mqtt_oplist queue;    /* to be sent */
    crt_mqtt_oplist flushing; /* QoS 0, in the write under way */
    crt_mqtt_oplist inflight; /* sent, waiting for their acknowledgement; in the order of their deadlines */
    crt_mqtt_oplist held;     /* sent on an earlier connection, until the next CONNACK */
    crt_mqtt_ids ids;
    uint32_t unacked_publishes; /* against the server's receive maximum */
    crt_timer ack_timer;
    crt_mqtt_aliases outbound;
    crt_mqtt_aliases inbound;
    uint64_t ack_owed[65536 / 64]; /* received QoS 1 publishes by packet identifier, of this connection */
    crt_mqtt_bucket publish_rate;
    crt_mqtt_bucket byte_rate;
    crt_timer rate_timer;
    uint64_t statistics[4]; /* atomic: incomplete count and size, unacked count and size */
};

/* client.c */
CRT_HIDDEN void crt_mqtt_client_unref(crt_mqtt_client *c);
CRT_HIDDEN crt_mqtt_owned *crt_mqtt_own(const crt_mqtt_packet *packet); /* NULL: out of memory */

/* connection.c */
CRT_HIDDEN void crt_mqtt_connection_init(crt_mqtt_client *c);
/* Looks at the desired state when the present batch of tasks is through. */
CRT_HIDDEN void crt_mqtt_connection_update(crt_mqtt_client *c);
CRT_HIDDEN void crt_mqtt_connection_handshake(crt_mqtt_client *c, int status, const char *path,
                                              const crt_transport_header *headers, size_t count);
CRT_HIDDEN void crt_mqtt_connection_connack(crt_mqtt_client *c, const crt_mqtt_packet *packet);
/* Ends the connection: the first fault counts. reason >= 0: a DISCONNECT with that code goes out first. */
CRT_HIDDEN void crt_mqtt_connection_end(crt_mqtt_client *c, const crt_fault *fault, int reason);
/* The same with a packet of the user's. NULL: none. */
CRT_HIDDEN void crt_mqtt_connection_end_with(crt_mqtt_client *c, const crt_fault *fault, crt_mqtt_owned *goodbye);
CRT_HIDDEN void crt_mqtt_connection_close(crt_mqtt_client *c); /* the DISCONNECT is out: hang up */
#define CRT_MQTT_REASON_SIZE 252
/* "<what> with reason code <code> (<meaning>): <reason string>", the last cut when it is long, left out when not present. */
CRT_HIDDEN void crt_mqtt_reason(char *out, size_t size, const char *what, uint8_t code, crt_mqtt_present present,
                                crt_bytes reason_string);
CRT_HIDDEN int crt_mqtt_connection_fault(const crt_mqtt_client *c, crt_fault *fault, int code, const char *what);

/* transfer.c */
CRT_HIDDEN extern const crt_stream_handler crt_mqtt_stream_handler;
CRT_HIDDEN void crt_mqtt_transfer_init(crt_mqtt_client *c);
CRT_HIDDEN void crt_mqtt_transfer_begin(crt_mqtt_client *c); /* a stream is there: forget the last connection */
CRT_HIDDEN void crt_mqtt_transfer_end(crt_mqtt_client *c);
CRT_HIDDEN void crt_mqtt_transfer_free(crt_mqtt_client *c);
CRT_HIDDEN void crt_mqtt_transfer_pump(crt_mqtt_client *c); /* schedules sending for the end of this loop turn */
CRT_HIDDEN void crt_mqtt_transfer_puback(crt_mqtt_client *c, uint64_t ack);
CRT_HIDDEN void crt_mqtt_keep_alive_start(crt_mqtt_client *c);
CRT_HIDDEN void crt_mqtt_stream_closed(crt_mqtt_client *c, const crt_fault *fault); /* connection.c */

/* session.c */
CRT_HIDDEN void crt_mqtt_session_init(crt_mqtt_client *c);
CRT_HIDDEN void crt_mqtt_session_free(crt_mqtt_client *c);
CRT_HIDDEN void crt_mqtt_session_count(crt_mqtt_client *c, crt_mqtt_op *op); /* any thread: an operation was accepted */
CRT_HIDDEN void crt_mqtt_session_submit(crt_mqtt_client *c, crt_mqtt_op *op);
CRT_HIDDEN void crt_mqtt_session_connected(crt_mqtt_client *c);
CRT_HIDDEN void crt_mqtt_session_disconnected(crt_mqtt_client *c);
CRT_HIDDEN void crt_mqtt_session_fail_all(crt_mqtt_client *c, const crt_fault *fault);
CRT_HIDDEN void crt_mqtt_session_fill(crt_mqtt_client *c, size_t limit); /* encodes what may be sent into c->out */
CRT_HIDDEN void crt_mqtt_session_flushed(crt_mqtt_client *c);
CRT_HIDDEN void crt_mqtt_session_ack(crt_mqtt_client *c, const crt_mqtt_packet *packet);

#endif
