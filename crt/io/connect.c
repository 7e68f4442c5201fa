/*
 * Connecting: resolve, race the addresses (RFC 8305, "Happy Eyeballs"), shake hands when TLS is asked for.
 *
 * Everything after crt_stream_connect happens on the loop. A connect ends in finish(), once; its memory goes when
 * nothing that was set in motion (a task, a lookup) will come back to it.
 */
#include <stdio.h>

#include "crt/log.h"
#include "crt/memory.h"
#include "crt/resolver.h"
#include "socket_posix.h"

enum {
    STAGGER_MS = 250, /* RFC 8305, section 5: Connection Attempt Delay */
    PORT_MAX = 65535,
    ADDRESS_TEXT = 64,
    MORE_TEXT = 16, /* "; and 28 more" */
};

/* One address being tried. */
typedef struct attempt {
    crt_connect *connect;
    crt_address address;
    crt_socket *socket; /* NULL: not started, or over */
    crt_timer timeout;
} attempt;

struct crt_connect {
    crt_task start;
    crt_task cancel;
    int holds; /* finish() to come, start and cancel tasks, lookup */
    crt_loop *loop;
    crt_resolver *resolver;
    char *host;
    uint32_t port;
    crt_socket_options socket;
    char *interface_name;
    bool wants_tls;
    crt_tls_options tls;
    char *server_name;
    char *alpn;
    crt_connect_fn done;
    void *user;

    bool cancelled;
    attempt *attempts;
    size_t attempt_count;
    size_t started; /* attempts begun */
    size_t active;  /* attempts undecided */
    crt_timer stagger;
    crt_tls_handshake *handshake;
    crt_fault fault; /* the code of the attempt that failed last, and what became of each */
    size_t untold;   /* attempts for which the story has no room */
};

static void start_next(crt_connect *c);

/* Not a path or a number: there are addresses to look up and to race. */
static bool goes_by_name(const crt_connect *c) {
    return c->socket.domain == CRT_SOCKET_IPV4 || c->socket.domain == CRT_SOCKET_IPV6;
}

/* ---- the end ---- */

static void drop(crt_connect *c) {
    if (--c->holds > 0) {
        return;
    }
    crt_resolver_release(c->resolver);
    if (c->wants_tls) {
        crt_tls_ctx_release(c->tls.ctx);
    }
    crt_free(c->host);
    crt_free(c->interface_name);
    crt_free(c->server_name);
    crt_free(c->alpn);
    crt_free(c->attempts);
    crt_free(c);
}

static void end_attempt(attempt *a) {
    if (!a->socket) {
        return;
    }
    crt_timer_stop(&a->timeout);
    crt_socket_destroy(a->socket);
    a->socket = NULL;
    a->connect->active--;
}

static void end_attempts(crt_connect *c) {
    size_t i;

    crt_timer_stop(&c->stagger);
    for (i = 0; i < c->started; i++) {
        end_attempt(&c->attempts[i]);
    }
}

static void finish(crt_connect *c, const crt_fault *fault, crt_stream *stream) {
    end_attempts(c);
    if (fault->code) {
        CRT_LOG(CRT_LOG_WARN, CRT_LS_SOCKET, "%s: %s", crt_error_name(fault->code), fault->detail);
    }
    c->done(c->user, fault, stream);
    drop(c);
}

static void fail(crt_connect *c, int code, const char *why) {
    crt_fault fault;

    if (c->socket.domain == CRT_SOCKET_LOCAL) {
        crt_fail(&fault, code, "connecting to %s: %s", c->host, why);
    } else if (c->socket.domain == CRT_SOCKET_VSOCK) {
        crt_fail(&fault, code, "connecting to vsock %s:%u: %s", c->host, (unsigned)c->port, why);
    } else {
        crt_fail(&fault, code, "connecting to %s:%u: %s", c->host, (unsigned)c->port, why);
    }
    finish(c, &fault, NULL);
}

/* ---- connected ---- */

static void on_tls_done(void *user, const crt_fault *fault, crt_stream *stream) {
    crt_connect *c = user;

    c->handshake = NULL;
    finish(c, fault, stream);
}

static void hand_over(crt_connect *c, crt_socket *socket) {
    crt_fault ok = {0};
    crt_stream *stream;
    int status;

    if (c->wants_tls) {
        c->handshake = crt_tls_stream_start(socket, &c->tls, c->host, on_tls_done, c);
        if (!c->handshake) {
            fail(c, AWS_ERROR_OOM, "no memory for TLS");
        }
        return;
    }
    status = crt_socket_stream_new(socket, &stream);
    if (status) {
        fail(c, status, "no memory for the stream");
        return;
    }
    finish(c, &ok, stream);
}

/* Addresses that had a head start and were overtaken step back too, or every so often a connect would wait for them. */
static void report_winner(crt_connect *c, const attempt *winner) {
    const attempt *a;

    if (!goes_by_name(c)) {
        return;
    }
    for (a = c->attempts; a < winner; a++) {
        if (a->socket) {
            crt_resolver_report(c->resolver, c->host, &a->address, false);
        }
    }
    crt_resolver_report(c->resolver, c->host, &winner->address, true);
}

static void attempt_succeeded(attempt *a) {
    crt_connect *c = a->connect;
    crt_socket *socket = a->socket;

    crt_timer_stop(&a->timeout);
    crt_socket_events(socket, 0);
    a->socket = NULL;
    c->active--;
    report_winner(c, a);
    end_attempts(c);
    CRT_LOG(CRT_LOG_DEBUG, CRT_LS_SOCKET, "connected to %s (%s)", c->host, socket->peer);
    hand_over(c, socket);
}

/* ---- racing ---- */

/* The story reads "connecting to example.com:443 (2001:db8::1): no route; (192.0.2.1): refused". */
static void tell(crt_connect *c, const attempt *a, int code, const char *why) {
    char text[ADDRESS_TEXT + sizeof(c->fault.detail)], ip[ADDRESS_TEXT];
    size_t told = strlen(c->fault.detail);

    crt_address_text(&a->address, ip, sizeof(ip));
    c->fault.code = code;
    if (told == 0) {
        crt_fail(&c->fault, code, "connecting to %s:%u (%s): %s", c->host, (unsigned)c->port, ip, why);
        return;
    }
    snprintf(text, sizeof(text), "; (%s): %s", ip, why);
    if (c->untold || told + strlen(text) + MORE_TEXT >= sizeof(c->fault.detail)) {
        c->untold++;
        return;
    }
    memcpy(c->fault.detail + told, text, strlen(text) + 1);
}

static void end_story(crt_connect *c) {
    size_t told = strlen(c->fault.detail);

    if (c->untold) {
        snprintf(c->fault.detail + told, sizeof(c->fault.detail) - told, "; and %zu more", c->untold);
    }
}

static void attempt_failed(attempt *a, int code, const char *why) {
    crt_connect *c = a->connect;

    end_attempt(a);
    if (!goes_by_name(c)) {
        fail(c, code, why);
        return;
    }
    crt_resolver_report(c->resolver, c->host, &a->address, false);
    tell(c, a, code, why);
    if (c->started < c->attempt_count) {
        CRT_LOG(CRT_LOG_INFO, CRT_LS_SOCKET, "%s; trying the next address", c->fault.detail);
        start_next(c);
    } else if (c->active == 0) {
        end_story(c);
        finish(c, &c->fault, NULL);
    }
}

static const char *reason(int code) {
    switch (code) {
        case AWS_IO_SOCKET_CONNECTION_REFUSED:
            return "refused";
        case AWS_IO_SOCKET_NO_ROUTE_TO_HOST:
            return "no route";
        case AWS_IO_SOCKET_TIMEOUT:
            return "no answer";
        case AWS_ERROR_FILE_INVALID_PATH:
            return "no such socket";
        case AWS_ERROR_NO_PERMISSION:
            return "not permitted";
        case AWS_IO_SOCKET_INVALID_ADDRESS:
            return "not a usable address";
        case AWS_IO_SOCKET_INVALID_OPTIONS:
            return "no such interface";
        default:
            return crt_error_message(code);
    }
}

static void on_attempt_ready(void *user, int mask) {
    attempt *a = user;
    int status = crt_socket_connect_result(a->socket);

    (void)mask;
    if (status) {
        attempt_failed(a, status, reason(status));
    } else {
        attempt_succeeded(a);
    }
}

static void on_attempt_shutdown(void *user) {
    attempt *a = user;

    fail(a->connect, AWS_IO_EVENT_LOOP_SHUTDOWN, "the event loop ended");
}

static const crt_socket_owner attempt_owner = {on_attempt_ready, on_attempt_shutdown};

static void on_attempt_timeout(crt_timer *timer) {
    attempt *a = CRT_CONTAINER(timer, attempt, timeout);
    char why[48];

    snprintf(why, sizeof(why), "no answer within %u ms", (unsigned)a->connect->socket.connect_timeout_ms);
    attempt_failed(a, AWS_IO_SOCKET_TIMEOUT, why);
}

static void on_stagger(crt_timer *timer) {
    start_next(CRT_CONTAINER(timer, crt_connect, stagger));
}

static int open_attempt(crt_connect *c, attempt *a) {
    char peer[ADDRESS_TEXT + 16], ip[ADDRESS_TEXT];
    int fd, status;

    if (c->socket.domain == CRT_SOCKET_LOCAL) {
        status = crt_socket_connect_local(c->host, &fd);
        snprintf(peer, sizeof(peer), "%.*s", (int)sizeof(peer) - 1, c->host);
    } else if (c->socket.domain == CRT_SOCKET_VSOCK) {
        status = crt_socket_connect_vsock(c->host, c->port, &fd);
        snprintf(peer, sizeof(peer), "vsock %.16s:%u", c->host, (unsigned)c->port);
    } else {
        status = crt_socket_connect_tcp(&a->address, (uint16_t)c->port, &c->socket, &fd);
        crt_address_text(&a->address, ip, sizeof(ip));
        snprintf(peer, sizeof(peer), a->address.family == AF_INET6 ? "[%s]:%u" : "%s:%u", ip, (unsigned)c->port);
    }
    return status ? status : crt_socket_new(c->loop, fd, peer, &a->socket);
}

/* Starts the next attempt and, while there are more, the clock for the one after it. */
static void start_next(crt_connect *c) {
    attempt *a = &c->attempts[c->started++];
    int status;

    a->connect = c;
    crt_timer_init(&a->timeout, c->loop, on_attempt_timeout);
    if (c->started < c->attempt_count) {
        crt_timer_start(&c->stagger, STAGGER_MS);
    } else {
        crt_timer_stop(&c->stagger);
    }
    c->active++;
    status = open_attempt(c, a);
    if (status) {
        c->active--;
        attempt_failed(a, status, reason(status));
        return;
    }
    crt_socket_set_owner(a->socket, &attempt_owner, a);
    crt_timer_start(&a->timeout, c->socket.connect_timeout_ms);
    crt_socket_events(a->socket, CRT_SOCKET_WRITABLE);
}

static int plan_attempts(crt_connect *c, size_t count) {
    c->attempts = crt_calloc(count, sizeof(*c->attempts));
    c->attempt_count = c->attempts ? count : 0;
    return c->attempts ? 0 : AWS_ERROR_OOM;
}

static void race(crt_connect *c, int status, const crt_address *addresses, size_t count) {
    size_t i;

    if (status == 0) {
        status = plan_attempts(c, count);
    }
    if (status) {
        fail(c, status, status == AWS_IO_EVENT_LOOP_SHUTDOWN ? "the event loop ended" : "the name cannot be resolved");
        return;
    }
    for (i = 0; i < count; i++) {
        c->attempts[i].address = addresses[i]; /* which come in the order to try them */
    }
    start_next(c);
}

static void on_resolved(void *user, int status, const crt_address *addresses, size_t count) {
    crt_connect *c = user;

    if (!c->cancelled) {
        race(c, status, addresses, count);
    }
    drop(c);
}

/* ---- the beginning ---- */

/* One attempt, without a lookup. */
static void start_only(crt_connect *c) {
    if (plan_attempts(c, 1) != 0) {
        fail(c, AWS_ERROR_OOM, "no memory");
        return;
    }
    start_next(c);
}

static void begin(crt_connect *c, int status) {
    if (status) {
        fail(c, status, "the event loop ended");
    } else if (!goes_by_name(c)) {
        start_only(c);
    } else if (c->port == 0 || c->port > PORT_MAX) {
        fail(c, AWS_IO_SOCKET_INVALID_ADDRESS, "the port must be 1 to 65535");
    } else if (!c->resolver) {
        fail(c, AWS_ERROR_INVALID_ARGUMENT, "a resolver is needed");
    } else {
        c->holds++;
        crt_resolver_resolve(c->resolver, c->loop, c->host, on_resolved, c);
    }
}

static void run_start(crt_task *task, int status) {
    crt_connect *c = CRT_CONTAINER(task, crt_connect, start);

    if (!c->cancelled) {
        begin(c, status);
    }
    drop(c);
}

static void run_cancel(crt_task *task, int status) {
    crt_connect *c = CRT_CONTAINER(task, crt_connect, cancel);

    (void)status;
    fail(c, AWS_ERROR_IO_OPERATION_CANCELLED, "cancelled");
    drop(c);
}

void crt_connect_cancel(crt_connect *c) {
    if (c->cancelled) {
        return;
    }
    c->cancelled = true;
    if (c->handshake) {
        crt_tls_cancel(c->handshake); /* its end is ours */
        return;
    }
    end_attempts(c);
    c->holds++;
    crt_loop_defer(c->loop, &c->cancel);
}

/* NULL stays NULL; false without memory. */
static bool copy_text(char **out, const char *text) {
    *out = crt_strdup(text);
    return !text || *out;
}

static bool copy_options(crt_connect *c, const crt_connect_options *options) {
    c->socket = options->socket;
    if (!copy_text(&c->host, options->host ? options->host : "") ||
        !copy_text(&c->interface_name, options->socket.interface_name)) {
        return false;
    }
    c->socket.interface_name = c->interface_name;
    if (!options->tls) {
        return true;
    }
    if (!copy_text(&c->server_name, options->tls->server_name) || !copy_text(&c->alpn, options->tls->alpn)) {
        return false;
    }
    c->wants_tls = true;
    c->tls = *options->tls;
    c->tls.ctx = crt_tls_ctx_acquire(options->tls->ctx);
    c->tls.server_name = c->server_name;
    c->tls.alpn = c->alpn;
    return true;
}

crt_connect *crt_stream_connect(const crt_connect_options *options) {
    crt_connect *c = crt_calloc(1, sizeof(*c));

    if (!c) {
        return NULL;
    }
    c->holds = 1;
    c->loop = options->loop;
    c->port = options->port;
    c->done = options->done;
    c->user = options->user;
    c->start.run = run_start;
    c->cancel.run = run_cancel;
    crt_timer_init(&c->stagger, c->loop, on_stagger);
    if (!copy_options(c, options)) {
        drop(c);
        return NULL;
    }
    c->resolver = options->resolver ? crt_resolver_acquire(options->resolver) : NULL;
    c->holds++;
    crt_loop_post(c->loop, &c->start);
    return c;
}
