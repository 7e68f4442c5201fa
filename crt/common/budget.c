/* The memory budget: a counter with a line of those who wait for their share. */
#include "crt/memory.h"
#include "crt/status.h"
#include "internal.h"

enum { WAIT_IDLE = 0, WAIT_IN_LINE = 1, WAIT_GRANTED = 2 };

static const uint64_t SMALLEST_LIMIT = 64u << 20;

static struct {
    uv_mutex_t lock;
    size_t limit;
    size_t used;    /* taken */
    size_t charged; /* not asked for: it is there already */
    crt_budget_wait *first;
    crt_budget_wait *last;
} budget;

static uv_once_t once = UV_ONCE_INIT;

static void lock_before_fork(void) {
    uv_mutex_lock(&budget.lock);
}

static void unlock_in_parent(void) {
    uv_mutex_unlock(&budget.lock);
}

/* Whoever took or waits is a thing of the parent; giving back in the child stops at zero. */
static void reset_in_child(void) {
    budget.used = budget.charged = 0;
    budget.first = budget.last = NULL;
    uv_mutex_unlock(&budget.lock);
}

static crt_fork_hook fork_hook = {lock_before_fork, unlock_in_parent, reset_in_child, NULL};

static void init(void) {
    uint64_t memory = crt_machine_memory();
    uint64_t cgroup = crt_cgroup_memory_limit();
    uint64_t limit = (cgroup < memory ? cgroup : memory) / 2;

    uv_mutex_init(&budget.lock);
    if (limit < SMALLEST_LIMIT) {
        limit = SMALLEST_LIMIT;
    }
    budget.limit = limit < SIZE_MAX ? (size_t)limit : SIZE_MAX;
    crt_fork_watch(&fork_hook);
}

static void lock(void) {
    uv_once(&once, init);
    uv_mutex_lock(&budget.lock);
}

/* What is charged may never go away; so one may always take something, whatever others hold. */
static bool fits(size_t bytes) {
    size_t gone = budget.used + budget.charged;

    if (budget.used == 0) {
        return true;
    }
    return gone <= budget.limit && bytes <= budget.limit - gone;
}

/* Removes those at the front of the line who can be served now; linked through `next`. */
static crt_budget_wait *serve_line(void) {
    crt_budget_wait *granted = NULL, **tail = &granted;

    while (budget.first && fits(budget.first->bytes)) {
        crt_budget_wait *wait = budget.first;
        budget.first = wait->next;
        budget.used += wait->bytes;
        wait->next = NULL;
        wait->state = WAIT_GRANTED;
        *tail = wait;
        tail = &wait->next;
    }
    if (!budget.first) {
        budget.last = NULL;
    }
    return granted;
}

/* Stands in for the owner's task: a loop that ends before the task runs must not swallow the bytes. */
static void deliver(crt_task *task, int status) {
    crt_budget_wait *wait = CRT_CONTAINER(task, crt_budget_wait, task);

    task->run = wait->run;
    if (status) {
        crt_budget_give_back(wait->bytes);
    }
    task->run(task, status);
}

static void post_granted(crt_budget_wait *wait) {
    while (wait) {
        crt_budget_wait *next = wait->next; /* the owner may free it as soon as it is posted */
        wait->run = wait->task.run;
        wait->task.run = deliver;
        crt_loop_post(wait->loop, &wait->task);
        wait = next;
    }
}

size_t crt_budget_limit(void) {
    size_t limit;

    lock();
    limit = budget.limit;
    uv_mutex_unlock(&budget.lock);
    return limit;
}

void crt_budget_set_limit(size_t bytes) {
    crt_budget_wait *granted;

    lock();
    budget.limit = bytes;
    granted = serve_line();
    uv_mutex_unlock(&budget.lock);
    post_granted(granted);
}

size_t crt_budget_used(void) {
    size_t used;

    lock();
    used = budget.used + budget.charged;
    uv_mutex_unlock(&budget.lock);
    return used;
}

bool crt_budget_try_take(size_t bytes) {
    bool taken;

    lock();
    taken = !budget.first && fits(bytes); /* nobody jumps the line */
    if (taken) {
        budget.used += bytes;
    }
    uv_mutex_unlock(&budget.lock);
    return taken;
}

void crt_budget_give_back(size_t bytes) {
    crt_budget_wait *granted;

    lock();
    budget.used -= bytes < budget.used ? bytes : budget.used;
    granted = serve_line();
    uv_mutex_unlock(&budget.lock);
    post_granted(granted);
}

void crt_budget_charge(ptrdiff_t change) {
    crt_budget_wait *granted;
    size_t less = change < 0 ? (size_t)-change : 0;

    lock();
    if (change > 0) {
        budget.charged += (size_t)change;
    } else {
        budget.charged -= less < budget.charged ? less : budget.charged;
    }
    granted = serve_line();
    uv_mutex_unlock(&budget.lock);
    post_granted(granted);
}

void crt_budget_take_later(crt_budget_wait *wait) {
    crt_budget_wait *granted;

    lock();
    wait->next = NULL;
    wait->state = WAIT_IN_LINE;
    if (budget.last) {
        budget.last->next = wait;
    } else {
        budget.first = wait;
    }
    budget.last = wait;
    granted = serve_line();
    uv_mutex_unlock(&budget.lock);
    post_granted(granted);
}

bool crt_budget_cancel(crt_budget_wait *wait) {
    crt_budget_wait *granted = NULL, *previous = NULL, *at;
    bool left = false;

    lock();
    for (at = wait->state == WAIT_IN_LINE ? budget.first : NULL; at; previous = at, at = at->next) {
        if (at != wait) {
            continue;
        }
        if (previous) {
            previous->next = wait->next;
        } else {
            budget.first = wait->next;
        }
        if (budget.last == wait) {
            budget.last = previous;
        }
        wait->state = WAIT_IDLE;
        left = true;
        granted = serve_line(); /* it may have held up smaller requests behind it */
        break;
    }
    uv_mutex_unlock(&budget.lock);
    post_granted(granted);
    return left;
}
