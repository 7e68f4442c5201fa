/*
 * The mailbox of an asyncio loop: any thread pushes events without the GIL, one readable descriptor wakes the
 * loop, which drains the batch under the GIL it holds anyway.
 *
 * Who owns what: the asyncio loop alone holds the reader callable, so the callable's end tells us that the loop
 * has closed (closing clears its selector). The map from loops to mailboxes is weak in the loop.
 */
#include "binding.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <unistd.h>
#if defined(__linux__)
#include <sys/eventfd.h>
#endif

struct awscrt_mailbox {
    crt_refcount refs;
    _Atomic(awscrt_event *) newest; /* newest first; &closed once the asyncio loop is gone */
    int read_fd;
    int write_fd; /* the same descriptor for an eventfd */
    uint32_t generation;
};

#define HANDLE_NAME "awscrt.mailbox"
#define READER_NAME "awscrt.mailbox.reader"

static awscrt_event closed;

/* ---- the wake-up descriptor ---- */

#if defined(__linux__)
static int wakeup_open(awscrt_mailbox *box) {
    box->read_fd = box->write_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return box->read_fd < 0 ? -1 : 0;
}
#else
static int wakeup_open(awscrt_mailbox *box) {
    int fds[2];
    if (pipe(fds)) {
        return -1;
    }
    for (int i = 0; i < 2; i++) {
        fcntl(fds[i], F_SETFD, FD_CLOEXEC);
        fcntl(fds[i], F_SETFL, O_NONBLOCK);
    }
    box->read_fd = fds[0];
    box->write_fd = fds[1];
    return 0;
}
#endif

static void wakeup_send(const awscrt_mailbox *box) {
    const uint64_t one = 1;
    while (write(box->write_fd, &one, sizeof(one)) < 0 && errno == EINTR) {
    }
    /* EAGAIN: the descriptor is readable already, which is all we want. */
}

static void wakeup_clear(const awscrt_mailbox *box) {
    uint64_t sink[8];
    ssize_t n;
    do {
        n = read(box->read_fd, sink, sizeof(sink));
    } while (n == (ssize_t)sizeof(sink) || (n < 0 && errno == EINTR));
}

/* ---- pushing and draining ---- */

static bool mailbox_push(awscrt_mailbox *box, awscrt_event *event) {
    awscrt_event *head = atomic_load_explicit(&box->newest, memory_order_relaxed);
    do {
        if (head == &closed) {
            return false;
        }
        event->next = head;
    } while (!atomic_compare_exchange_weak(&box->newest, &head, event));
    if (!head) {
        wakeup_send(box);
    }
    return true;
}

void awscrt_deliver(const awscrt_sink *sink, awscrt_event *event) {
    if (!sink->mailbox || !mailbox_push(sink->mailbox, event)) {
        awscrt_deliver_here(event);
    }
}

static awscrt_event *oldest_first(awscrt_event *event) {
    awscrt_event *reversed = NULL;
    while (event) {
        awscrt_event *next = event->next;
        event->next = reversed;
        reversed = event;
        event = next;
    }
    return reversed;
}

/* GIL held. `end` is left in place of the list: NULL, or &closed. */
static void mailbox_take_all(awscrt_mailbox *box, awscrt_event *end) {
    awscrt_event *batch = atomic_exchange(&box->newest, end);
    if (batch == &closed) {
        return;
    }
    batch = oldest_first(batch);
    while (batch) {
        awscrt_event *next = batch->next;
        batch->deliver(batch);
        batch = next;
    }
}

static PyObject *mailbox_readable(PyObject *reader, PyObject *unused) {
    awscrt_mailbox *box = PyCapsule_GetPointer(reader, READER_NAME);
    if (!box) {
        return NULL;
    }
    wakeup_clear(box); /* first: a push after the exchange below must wake us again */
    mailbox_take_all(box, NULL);
    Py_RETURN_NONE;
}

static PyMethodDef readable_def = {"mailbox_readable", mailbox_readable, METH_NOARGS, NULL};

/* ---- lifetime ---- */

void awscrt_mailbox_acquire(awscrt_mailbox *mailbox) {
    crt_ref_inc(&mailbox->refs);
}

void awscrt_mailbox_release(awscrt_mailbox *mailbox) {
    if (!mailbox || !crt_ref_dec(&mailbox->refs)) {
        return;
    }
    close(mailbox->read_fd);
    if (mailbox->write_fd != mailbox->read_fd) {
        close(mailbox->write_fd);
    }
    crt_free(mailbox);
}

static void handle_dropped(PyObject *handle) {
    awscrt_mailbox_release(PyCapsule_GetPointer(handle, HANDLE_NAME));
}

static void reader_dropped(PyObject *reader) {
    awscrt_mailbox *box = PyCapsule_GetPointer(reader, READER_NAME);
    if (box->generation == crt_fork_generation()) {
        PyObject *pending = awscrt_exception_take();
        mailbox_take_all(box, &closed);
        awscrt_exception_put(pending);
    }
    awscrt_mailbox_release(box);
}

static awscrt_mailbox *mailbox_new(void) {
    awscrt_mailbox *box = crt_calloc(1, sizeof(*box));
    if (!box) {
        PyErr_NoMemory();
        return NULL;
    }
    if (wakeup_open(box)) {
        PyErr_SetFromErrno(PyExc_OSError);
        crt_free(box);
        return NULL;
    }
    crt_ref_init(&box->refs);
    box->generation = crt_fork_generation();
    return box;
}

/* Registers the reader with the asyncio loop, which becomes its only owner. */
static int mailbox_attach(awscrt_mailbox *box, PyObject *loop) {
    PyObject *reader = PyCapsule_New(box, READER_NAME, reader_dropped);
    if (!reader) {
        return -1;
    }
    awscrt_mailbox_acquire(box);
    PyObject *callable = PyCFunction_NewEx(&readable_def, reader, NULL);
    Py_DECREF(reader);
    if (!callable) {
        return -1;
    }
    PyObject *result = PyObject_CallMethod(loop, "add_reader", "iO", box->read_fd, callable);
    Py_DECREF(callable);
    Py_XDECREF(result);
    return result ? 0 : -1;
}

/* ---- the map: asyncio loop -> mailbox ---- */

/* weakref.WeakKeyDictionary in the module's own attributes; borrowed. */
static PyObject *mailbox_map(void) {
    PyObject *core = PyImport_ImportModule("awscrt._core");
    PyObject *namespace = core ? PyModule_GetDict(core) : NULL;
    PyObject *map = namespace ? PyDict_GetItemString(namespace, "_mailboxes") : NULL;
    if (namespace && !map) {
        PyObject *weakref = PyImport_ImportModule("weakref");
        PyObject *created = weakref ? PyObject_CallMethod(weakref, "WeakKeyDictionary", NULL) : NULL;
        if (created && PyDict_SetItemString(namespace, "_mailboxes", created) == 0) {
            map = created;
        }
        Py_XDECREF(created);
        Py_XDECREF(weakref);
    }
    Py_XDECREF(core);
    return map;
}

static awscrt_mailbox *mailbox_find(PyObject *map, PyObject *loop) {
    PyObject *handle = PyObject_GetItem(map, loop);
    if (!handle) {
        if (PyErr_ExceptionMatches(PyExc_KeyError)) {
            PyErr_Clear();
        }
        return NULL;
    }
    awscrt_mailbox *box = PyCapsule_GetPointer(handle, HANDLE_NAME);
    bool usable = box && box->generation == crt_fork_generation() && atomic_load(&box->newest) != &closed;
    if (usable) {
        awscrt_mailbox_acquire(box);
    }
    Py_DECREF(handle);
    return usable ? box : NULL;
}

awscrt_mailbox *awscrt_mailbox_of(PyObject *loop) {
    PyObject *map = mailbox_map();
    awscrt_mailbox *box = map ? mailbox_find(map, loop) : NULL;
    if (box || PyErr_Occurred()) {
        return box;
    }
    box = mailbox_new();
    if (!box) {
        return NULL;
    }
    PyObject *handle = PyCapsule_New(box, HANDLE_NAME, handle_dropped);
    if (!handle) {
        awscrt_mailbox_release(box);
        return NULL;
    }
    awscrt_mailbox_acquire(box); /* for the caller; the first reference belongs to the handle */
    if (mailbox_attach(box, loop) || PyObject_SetItem(map, loop, handle)) {
        awscrt_mailbox_release(box);
        box = NULL;
    }
    Py_DECREF(handle);
    return box;
}
