/*
 * Bodies on their way to a file.
 *
 * Writing takes longer than receiving, and on a slow disk it may take for ever: large bodies are received in blocks
 * that a thread of their own writes, while the loop goes on receiving. When too many blocks wait for the disk,
 * their connections are not read any more, which holds up the server. Small bodies are written at once.
 */
#include "engine.h"

#include <errno.h>
#include <unistd.h>

/* Measured: with smaller blocks the threads wake each other more often than the warmer cache is worth. */
#define BLOCK_SIZE (2 * 1024 * 1024)
#define WRITES_PER_SHARD 8
#define WRITERS_MAX 4
/* Below, the way to another thread and back costs more than the write. */
#define WORTH_A_THREAD (1024 * 1024)

struct crt_s3_block {
    crt_task task;
    crt_s3_block *next; /* free list */
    crt_s3_request *request;
    uint64_t offset;
    size_t length;
    int error;
    uint8_t data[];
};

static int write_at(int fd, const uint8_t *data, size_t len, uint64_t offset) {
    while (len) {
        ssize_t n = pwrite(fd, data, len, (off_t)offset);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return n < 0 ? errno : ENOSPC;
        }
        data += n;
        len -= (size_t)n;
        offset += (uint64_t)n;
    }
    return 0;
}

static int fail(crt_s3_request *request, int error) {
    int code = crt_s3_code_of_errno(error);
    return crt_fail(&request->sink_fault, code, "writing to %s: %s", request->transfer->recv_path, strerror(error));
}

int crt_s3_file_write_now(crt_s3_request *request, crt_bytes data) {
    const crt_s3_transfer *transfer = request->transfer;
    int error = write_at(transfer->recv_fd, data.ptr, data.len, request->file_offset + request->received);
    return error ? fail(request, error) : 0;
}

/* ---- writers ---- */

/* The thread that writes this transfer's file; NULL without one, then the loop writes itself. */
static crt_loop *writer_of(crt_s3_transfer *transfer) {
    crt_s3_client *client = transfer->client;
    uint32_t cpus = crt_cpu_count();
    crt_loop_group_options options = {.threads = cpus < WRITERS_MAX ? (uint16_t)cpus : WRITERS_MAX, .cpu_group = -1};
    pthread_mutex_lock(&client->lock);
    if (!client->writers && crt_loop_group_new(&options, &client->writers) != 0) {
        client->writers = NULL;
    }
    crt_loop *writer = client->writers ? crt_loop_group_pick(client->writers) : NULL;
    pthread_mutex_unlock(&client->lock);
    return writer;
}

bool crt_s3_file_wants_writer(crt_s3_request *request, uint64_t length) {
    crt_s3_transfer *transfer = request->transfer;
    if (length < WORTH_A_THREAD) {
        return false;
    }
    /* Chosen once, on the home loop, where the first response arrives. */
    if (!transfer->writer && request->shard == transfer->home) {
        transfer->writer = writer_of(transfer);
    }
    return transfer->writer != NULL;
}

/* ---- blocks ---- */

static crt_s3_block *take_block(crt_s3_shard *shard) {
    crt_s3_block *block = shard->free_blocks;
    if (block) {
        shard->free_blocks = block->next;
        return block;
    }
    return crt_malloc(sizeof *block + BLOCK_SIZE);
}

static void give_block(crt_s3_shard *shard, crt_s3_block *block) {
    block->next = shard->free_blocks;
    shard->free_blocks = block;
}

void crt_s3_file_free_blocks(crt_s3_shard *shard) {
    while (shard->free_blocks) {
        crt_s3_block *block = shard->free_blocks;
        shard->free_blocks = block->next;
        crt_free(block);
    }
}

static void wait_for_block(crt_s3_request *request) {
    crt_s3_shard *shard = request->shard;
    if (!request->paused) {
        request->paused = true;
        request->next_paused = shard->paused;
        shard->paused = request;
    }
}

static void leave_paused(crt_s3_request *request) {
    crt_s3_request **p = &request->shard->paused;
    while (*p && *p != request) {
        p = &(*p)->next_paused;
    }
    if (*p) {
        *p = request->next_paused;
    }
    request->paused = false;
}

crt_span crt_s3_file_space(crt_s3_request *request) {
    crt_span space = {NULL, 0};
    if (!request->block) {
        if (request->shard->writing >= WRITES_PER_SHARD) {
            wait_for_block(request);
            return space;
        }
        request->block = take_block(request->shard);
        if (!request->block) {
            crt_http_stream_cancel(request->stream, AWS_ERROR_OOM);
            return space;
        }
        request->block->length = 0;
    }
    space.ptr = request->block->data + request->block->length;
    space.len = BLOCK_SIZE - request->block->length;
    return space;
}

static void on_written(crt_task *task, int status) {
    crt_s3_block *block = CRT_CONTAINER(task, crt_s3_block, task);
    crt_s3_request *request = block->request;
    crt_s3_shard *shard = request->shard;
    if (block->error && !request->sink_fault.code) {
        fail(request, block->error);
        if (request->stream) {
            crt_http_stream_cancel(request->stream, request->sink_fault.code);
        }
    }
    give_block(shard, block);
    shard->writing--;
    request->writes--;
    crt_s3_request *held_up = shard->paused;
    if (held_up) {
        leave_paused(held_up);
        crt_http_stream_resume(held_up->stream);
    }
    if (!request->writes) {
        crt_s3_request_writes_done(request);
    }
    crt_s3_request_release(request);
}

/* On the writer's thread. */
static void on_write(crt_task *task, int status) {
    crt_s3_block *block = CRT_CONTAINER(task, crt_s3_block, task);
    const crt_s3_transfer *transfer = block->request->transfer;
    block->error = status ? EINTR : write_at(transfer->recv_fd, block->data, block->length, block->offset);
    task->run = on_written;
    crt_loop_post(block->request->shard->loop, task);
}

static void submit(crt_s3_request *request) {
    crt_s3_block *block = request->block;
    request->block = NULL;
    request->writes++;
    request->shard->writing++;
    crt_ref_inc(&request->refs);
    block->request = request;
    block->error = 0;
    block->task.run = on_write;
    crt_loop_post(request->transfer->writer, &block->task);
}

void crt_s3_file_received(crt_s3_request *request, crt_bytes data) {
    crt_s3_block *block = request->block;
    if (data.ptr != block->data + block->length) {
        memcpy(block->data + block->length, data.ptr, data.len);
    }
    if (!block->length) {
        block->offset = request->file_offset + request->received;
    }
    block->length += data.len;
    if (block->length == BLOCK_SIZE || request->received + data.len == request->length) {
        submit(request);
    }
}

void crt_s3_file_end(crt_s3_request *request) {
    if (request->paused) {
        leave_paused(request);
    }
    if (request->block) {
        give_block(request->shard, request->block); /* of a body that broke off: it comes again */
        request->block = NULL;
    }
}
