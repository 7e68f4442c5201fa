/*
 * The outbox of an event loop: events gather while the loop works through a batch of I/O and are delivered
 * before it sleeps, in order, under one GIL acquisition.
 */
#include "binding.h"

typedef struct awscrt_outbox {
    crt_loop *loop;
    awscrt_event *first;
    awscrt_event **last;
    crt_task wake;
    bool wake_posted;
    bool attached; /* the thread has its own PyThreadState */
    uint32_t generation;
} awscrt_outbox;

typedef struct group_binding {
    PyObject *on_gone;
} group_binding;

static _Thread_local awscrt_outbox *this_outbox;

static awscrt_outbox *current_outbox(void) {
    /* A child forked from a loop's thread inherits the variable but not the loop. */
    if (this_outbox && this_outbox->generation != crt_fork_generation()) {
        this_outbox = NULL;
    }
    return this_outbox;
}

bool awscrt_on_loop_thread(void) {
    return current_outbox() != NULL;
}

static void outbox_push(awscrt_outbox *box, awscrt_event *event) {
    event->next = NULL;
    *box->last = event;
    box->last = &event->next;
}

static void discard_all(awscrt_event *event) {
    while (event) {
        awscrt_event *next = event->next;
        event->discard(event);
        event = next;
    }
}

static void deliver_all(awscrt_event *event) {
    while (event && awscrt_python_alive()) {
        awscrt_event *next = event->next;
        event->deliver(event);
        event = next;
    }
    discard_all(event);
}

static void outbox_woken(crt_task *task, int status) {
    CRT_CONTAINER(task, awscrt_outbox, wake)->wake_posted = false;
}

static void outbox_drain(awscrt_outbox *box) {
    awscrt_event *batch = box->first;
    if (!batch) {
        return;
    }
    box->first = NULL;
    box->last = &box->first;
    awscrt_gil gil;
    if (!awscrt_python_enter(&gil)) {
        discard_all(batch);
        return;
    }
    if (!box->attached) {
        /* Never released before the thread ends: keeps its PyThreadState, which is costly to make. */
        PyGILState_Ensure();
        box->attached = true;
    }
    deliver_all(batch);
    awscrt_python_leave(&gil);
    /* What Python pushed meanwhile waits for the next turn, so that callbacks cannot keep the loop from its I/O. */
    if (box->first && !box->wake_posted) {
        box->wake_posted = true;
        crt_loop_post(box->loop, &box->wake);
    }
}

static void thread_started(void *user, crt_loop *loop) {
    awscrt_outbox *box = crt_calloc(1, sizeof(*box));
    if (!box) {
        return; /* awscrt_deliver falls back to one GIL acquisition per event */
    }
    box->loop = loop;
    box->last = &box->first;
    box->wake.run = outbox_woken;
    box->generation = crt_fork_generation();
    this_outbox = box;
    crt_loop_set_user(loop, box);
}

static void before_poll(void *user, crt_loop *loop) {
    awscrt_outbox *box = crt_loop_user(loop);
    if (box) {
        outbox_drain(box);
    }
}

static void thread_ending(void *user, crt_loop *loop) {
    awscrt_outbox *box = crt_loop_user(loop);
    if (!box) {
        return;
    }
    while (box->first) {
        box->wake_posted = true; /* nothing runs any more that could wake us */
        outbox_drain(box);
    }
    awscrt_gil gil;
    if (box->attached && awscrt_python_enter(&gil)) {
        PyGILState_Release(PyGILState_LOCKED); /* of outbox_drain */
        awscrt_python_leave(&gil);
    }
    crt_loop_set_user(loop, NULL);
    this_outbox = NULL;
    crt_free(box);
}

static void group_gone(void *user) {
    group_binding *binding = user;
    awscrt_gil gil;
    if (binding->on_gone && awscrt_python_enter(&gil)) {
        PyObject *result = awscrt_call0(binding->on_gone);
        if (!result) {
            awscrt_report(binding->on_gone);
        }
        Py_XDECREF(result);
        Py_DECREF(binding->on_gone);
        awscrt_python_leave(&gil);
    }
    crt_free(binding);
}

int awscrt_loop_hooks_init(crt_loop_hooks *hooks, PyObject *on_gone) {
    group_binding *binding = crt_calloc(1, sizeof(*binding));
    if (!binding) {
        PyErr_NoMemory();
        return -1;
    }
    binding->on_gone = Py_XNewRef(on_gone);
    hooks->thread_started = thread_started;
    hooks->before_poll = before_poll;
    hooks->thread_ending = thread_ending;
    hooks->group_gone = group_gone;
    hooks->user = binding;
    return 0;
}

void awscrt_loop_hooks_drop(crt_loop_hooks *hooks) {
    group_binding *binding = hooks->user;
    Py_XDECREF(binding->on_gone);
    crt_free(binding);
}

void awscrt_deliver_here(awscrt_event *event) {
    awscrt_outbox *box = current_outbox();
    if (box) {
        outbox_push(box, event);
        return;
    }
    event->next = NULL;
    awscrt_gil gil;
    if (!awscrt_python_enter(&gil)) {
        event->discard(event);
        return;
    }
    PyObject *pending = awscrt_exception_take(); /* the caller may be in the midst of raising */
    event->deliver(event);
    awscrt_exception_put(pending);
    awscrt_python_leave(&gil);
}

/* ---- dropping references without the GIL ---- */

typedef struct drop_event {
    awscrt_event event;
    PyObject *object;
} drop_event;

static void drop_deliver(awscrt_event *event) {
    drop_event *drop = CRT_CONTAINER(event, drop_event, event);
    Py_DECREF(drop->object);
    crt_free(drop);
}

static void drop_discard(awscrt_event *event) {
    crt_free(CRT_CONTAINER(event, drop_event, event));
}

void awscrt_drop(PyObject *object) {
    if (!object) {
        return;
    }
    drop_event *drop = crt_malloc(sizeof(*drop));
    if (!drop) {
        return; /* leaks one reference, which is better than a crash */
    }
    drop->event.deliver = drop_deliver;
    drop->event.discard = drop_discard;
    drop->object = object;
    awscrt_deliver_here(&drop->event);
}
