#include "tls_output.h"

#include <errno.h>
#include <unistd.h>

#include "crt/memory.h"

enum {
    SEGMENT_BYTES = 8 << 10,
    FILE_CHUNK = 64 << 10,
};

/* Bytes that were put, as a queued write of our own. */
typedef struct segment {
    crt_write write;
    size_t capacity;
    uint8_t bytes[];
} segment;

static void list_init(crt_write_list *list) {
    list->first = NULL;
    list->tail = &list->first;
}

static void list_push(crt_write_list *list, crt_write *write) {
    write->next = NULL;
    *list->tail = write;
    list->tail = &write->next;
}

static crt_write *list_pop(crt_write_list *list) {
    crt_write *write = list->first;

    list->first = write->next;
    if (!list->first) {
        list->tail = &list->first;
    }
    return write;
}

/* A list whose tail pointed into itself cannot be copied as it is. */
static crt_write_list list_take(crt_write_list *list) {
    crt_write_list taken = {list->first, NULL};

    list_init(list);
    return taken;
}

static void free_segment(crt_write *write, int status) {
    (void)status;
    crt_free(CRT_CONTAINER(write, segment, write));
}

void crt_write_list_report(crt_write_list list, int status) {
    while (list.first) {
        crt_write *write = list.first;
        list.first = write->next;
        if (write->done) {
            write->done(write, status);
        }
    }
}

void crt_tls_output_init(crt_tls_output *output) {
    memset(output, 0, sizeof(*output));
    list_init(&output->queue);
    list_init(&output->in_flight);
}

void crt_tls_output_free(crt_tls_output *output) {
    crt_buf_free(&output->wire);
    crt_free(output->file_chunk);
}

/* ---- the queue ---- */

static segment *last_segment(crt_tls_output *output) {
    crt_write *last;

    if (!output->queue.first) {
        return NULL;
    }
    last = CRT_CONTAINER(output->queue.tail, crt_write, next);
    return last->done == free_segment ? CRT_CONTAINER(last, segment, write) : NULL;
}

static segment *segment_new(size_t len) {
    size_t capacity = len > SEGMENT_BYTES ? len : SEGMENT_BYTES;
    segment *fresh = crt_malloc(sizeof(*fresh) + capacity);

    if (fresh) {
        fresh->capacity = capacity;
        fresh->write = (crt_write){.data = {fresh->bytes, 0}, .fd = -1, .done = free_segment};
    }
    return fresh;
}

int crt_tls_output_put(crt_tls_output *output, const void *data, size_t len) {
    segment *last = last_segment(output);

    if (!last || last->capacity - last->write.data.len < len) {
        last = segment_new(len);
        if (!last) {
            return AWS_ERROR_OOM;
        }
        list_push(&output->queue, &last->write);
    }
    memcpy(last->bytes + last->write.data.len, data, len);
    last->write.data.len += len;
    output->held += len;
    return 0;
}

void crt_tls_output_push(crt_tls_output *output, crt_write *write) {
    list_push(&output->queue, write);
}

/* ---- rounds ---- */

static uint64_t length_of(const crt_write *write) {
    return write->fd < 0 ? write->data.len : write->length;
}

/* The next bytes of the first write, at most `limit`: in the caller's memory, or read from the file. */
static int next_piece(crt_tls_output *output, size_t limit, crt_bytes *piece, crt_fault *fault) {
    const crt_write *write = output->queue.first;
    uint64_t left = length_of(write) - output->encrypted;
    size_t len = left < limit ? (size_t)left : limit;
    ssize_t n;

    if (write->fd < 0) {
        *piece = crt_bytes_of(write->data.ptr + output->encrypted, len);
        return 0;
    }
    if (!output->file_chunk && !(output->file_chunk = crt_malloc(FILE_CHUNK))) {
        return crt_fail(fault, AWS_ERROR_OOM, "no memory to read a file");
    }
    do {
        n = pread(write->fd, output->file_chunk, len < FILE_CHUNK ? len : FILE_CHUNK,
                  (off_t)(write->offset + output->encrypted));
    } while (n < 0 && errno == EINTR);
    if (n <= 0) {
        return crt_fail(fault, AWS_IO_STREAM_READ_FAILED, "cannot read the file to send: %s",
                        n == 0 ? "it ended early" : strerror(errno));
    }
    *piece = crt_bytes_of(output->file_chunk, (size_t)n);
    return 0;
}

static void finish_complete_writes(crt_tls_output *output) {
    while (output->queue.first && output->encrypted >= length_of(output->queue.first)) {
        output->encrypted = 0;
        list_push(&output->in_flight, list_pop(&output->queue));
    }
    if (!output->queue.first) {
        crt_free(output->file_chunk);
        output->file_chunk = NULL;
    }
}

int crt_tls_output_encrypt(crt_tls_output *output, const crt_tls_provider *provider, crt_tls_session *session,
                           crt_fault *fault) {
    finish_complete_writes(output); /* writes without bytes */
    while (output->queue.first && output->round < CRT_TLS_ROUND) {
        crt_bytes piece = {NULL, 0};
        ptrdiff_t n;
        int status = next_piece(output, CRT_TLS_ROUND - output->round, &piece, fault);

        if (status) {
            return status;
        }
        n = provider->write(session, piece.ptr, piece.len, fault);
        if (n == CRT_TLS_WANT_READ || n == CRT_TLS_WANT_WRITE) {
            return 0;
        }
        if (n < 0) {
            return (int)-n;
        }
        output->encrypted += (uint64_t)n;
        output->round += (size_t)n;
        finish_complete_writes(output);
    }
    return 0;
}

/* The writes of the round; their memory is no longer ours to count. */
static crt_write_list take_in_flight(crt_tls_output *output) {
    const crt_write *write;

    for (write = output->in_flight.first; write; write = write->next) {
        if (write->done == free_segment) {
            output->held -= write->data.len;
        }
    }
    return list_take(&output->in_flight);
}

crt_write_list crt_tls_output_round_sent(crt_tls_output *output, size_t *bytes) {
    *bytes = output->round;
    output->round = 0;
    return take_in_flight(output);
}

crt_write_list crt_tls_output_abandon(crt_tls_output *output) {
    while (output->queue.first) {
        list_push(&output->in_flight, list_pop(&output->queue));
    }
    output->encrypted = 0;
    output->round = 0;
    return take_in_flight(output);
}
