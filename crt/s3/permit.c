#include "engine.h"

static crt_s3_transfer *transfer_of(crt_s3_permit *permit) {
    return CRT_CONTAINER(permit, crt_s3_transfer, permit);
}

static uint64_t usable_memory(const crt_s3_client *client) {
    return client->memory_limit - CRT_S3_MEMORY_RESERVED;
}

/* A part larger than everything is let through when it is alone, so that it cannot wait for ever. */
static bool fits(const crt_s3_client *client, uint64_t memory) {
    if (client->slots_used >= client->max_connections) {
        return false;
    }
    return !memory || !client->memory_used || client->memory_used + memory <= usable_memory(client);
}

static void take(crt_s3_client *client, uint64_t memory) {
    client->slots_used++;
    client->memory_used += memory;
}

/* Under the lock: takes for those in line whom there is room for, and returns them as a list. */
static crt_s3_permit *grant(crt_s3_client *client) {
    crt_s3_permit *granted = NULL;
    crt_s3_permit **tail = &granted;
    while (client->permit_head && fits(client, client->permit_head->memory)) {
        crt_s3_permit *permit = client->permit_head;
        client->permit_head = permit->next;
        permit->next = NULL;
        take(client, permit->memory);
        *tail = permit;
        tail = &permit->next;
    }
    if (!client->permit_head) {
        client->permit_tail = NULL;
    }
    return granted;
}

static void notify(crt_s3_permit *granted) {
    while (granted) {
        crt_s3_permit *permit = granted;
        granted = permit->next;
        crt_loop_post(transfer_of(permit)->home->loop, &permit->task);
    }
}

static void give_back(crt_s3_client *client, uint64_t slots, uint64_t memory) {
    pthread_mutex_lock(&client->lock);
    client->slots_used -= slots;
    client->memory_used -= memory;
    crt_s3_permit *granted = grant(client);
    pthread_mutex_unlock(&client->lock);
    notify(granted);
}

void crt_s3_permit_give_slot(crt_s3_client *client) {
    give_back(client, 1, 0);
}

void crt_s3_permit_give_memory(crt_s3_client *client, uint64_t memory) {
    if (memory) {
        crt_budget_give_back((size_t)memory);
        give_back(client, 0, memory);
    }
}

/* The client's share is taken: now the process-wide budget. True when that is taken, too. */
static bool take_budget(crt_s3_permit *permit) {
    if (!permit->memory || crt_budget_try_take((size_t)permit->memory)) {
        permit->state = CRT_S3_PERMIT_READY;
        return true;
    }
    crt_s3_transfer *transfer = transfer_of(permit);
    permit->state = CRT_S3_PERMIT_BUDGET;
    permit->budget.bytes = (size_t)permit->memory;
    permit->budget.loop = transfer->home->loop;
    crt_s3_transfer_acquire(transfer);
    crt_budget_take_later(&permit->budget);
    return false;
}

static void on_budget(crt_task *task, int status) {
    crt_s3_permit *permit = CRT_CONTAINER(task, crt_s3_permit, budget.task);
    crt_s3_transfer *transfer = transfer_of(permit);
    if (permit->state == CRT_S3_PERMIT_BUDGET) {
        permit->state = CRT_S3_PERMIT_READY;
        crt_s3_transfer_pump_soon(transfer);
    } else {
        /* dropped in the meantime */
        crt_s3_permit_give_memory(transfer->client, permit->memory);
        crt_s3_permit_give_slot(transfer->client);
    }
    crt_s3_transfer_release(transfer);
}

/* Posted once a place in the client's line has been granted. */
static void on_granted(crt_task *task, int status) {
    crt_s3_permit *permit = CRT_CONTAINER(task, crt_s3_permit, task);
    crt_s3_transfer *transfer = transfer_of(permit);
    if (permit->state == CRT_S3_PERMIT_DROPPED) {
        permit->state = CRT_S3_PERMIT_NONE;
        give_back(transfer->client, 1, permit->memory);
    } else if (take_budget(permit)) {
        crt_s3_transfer_pump_soon(transfer);
    }
    crt_s3_transfer_release(transfer);
}

bool crt_s3_permit_ask(crt_s3_transfer *transfer, uint64_t memory) {
    crt_s3_permit *permit = &transfer->permit;
    crt_s3_client *client = transfer->client;
    if (permit->state != CRT_S3_PERMIT_NONE) {
        return permit->state == CRT_S3_PERMIT_READY;
    }
    permit->memory = memory;
    permit->next = NULL;
    permit->task.run = on_granted;
    permit->budget.task.run = on_budget;

    pthread_mutex_lock(&client->lock);
    bool at_once = !client->permit_head && fits(client, memory);
    if (at_once) {
        take(client, memory);
    } else {
        permit->state = CRT_S3_PERMIT_QUEUED;
        crt_s3_transfer_acquire(transfer); /* for on_granted */
        if (client->permit_tail) {
            client->permit_tail->next = permit;
        } else {
            client->permit_head = permit;
        }
        client->permit_tail = permit;
    }
    pthread_mutex_unlock(&client->lock);
    return at_once && take_budget(permit);
}

void crt_s3_permit_use(crt_s3_transfer *transfer) {
    transfer->permit.state = CRT_S3_PERMIT_NONE;
}

/* True: it left the client's line. False: it was not, or is no longer, in it. */
static bool leave_line(crt_s3_client *client, crt_s3_permit *permit) {
    bool left = false;
    pthread_mutex_lock(&client->lock);
    crt_s3_permit *before = NULL;
    for (crt_s3_permit *p = client->permit_head; p && !left; before = p, p = p->next) {
        if (p != permit) {
            continue;
        }
        *(before ? &before->next : &client->permit_head) = permit->next;
        if (client->permit_tail == permit) {
            client->permit_tail = before;
        }
        left = true;
    }
    /* Who stood behind may fit now. */
    crt_s3_permit *granted = left ? grant(client) : NULL;
    pthread_mutex_unlock(&client->lock);
    notify(granted);
    return left;
}

void crt_s3_permit_drop(crt_s3_transfer *transfer) {
    crt_s3_permit *permit = &transfer->permit;
    crt_s3_client *client = transfer->client;
    switch (permit->state) {
    case CRT_S3_PERMIT_NONE:
    case CRT_S3_PERMIT_DROPPED:
        return;
    case CRT_S3_PERMIT_QUEUED:
        if (leave_line(client, permit)) {
            permit->state = CRT_S3_PERMIT_NONE;
            crt_s3_transfer_release(transfer);
        } else {
            permit->state = CRT_S3_PERMIT_DROPPED; /* on_granted is on its way */
        }
        return;
    case CRT_S3_PERMIT_BUDGET:
        if (crt_budget_cancel(&permit->budget)) {
            permit->state = CRT_S3_PERMIT_NONE;
            give_back(client, 1, permit->memory);
            crt_s3_transfer_release(transfer);
        } else {
            permit->state = CRT_S3_PERMIT_DROPPED; /* on_budget is on its way */
        }
        return;
    case CRT_S3_PERMIT_READY:
        permit->state = CRT_S3_PERMIT_NONE;
        crt_s3_permit_give_memory(client, permit->memory);
        crt_s3_permit_give_slot(client);
        return;
    }
}
