/*
 * The sending half of a TLS stream: queued plaintext in, ciphertext out.
 *
 * Work goes in rounds. A round encrypts up to CRT_TLS_ROUND bytes of the queue into one buffer, which then leaves
 * with as few system calls as the socket allows; only when it is empty the next round starts. So memory stays
 * bounded, and a write is complete exactly when its round has left.
 */
#ifndef CRT_IO_TLS_OUTPUT_H
#define CRT_IO_TLS_OUTPUT_H

#include "crt/buffer.h"
#include "crt/stream.h"

enum { CRT_TLS_ROUND = 256 << 10 }; /* bytes of plaintext: 16 full records */

typedef struct crt_write_list {
    crt_write *first;
    crt_write **tail;
} crt_write_list;

typedef struct crt_tls_output {
    crt_write_list queue;     /* not wholly encrypted */
    uint64_t encrypted;       /* of the queue's first write */
    crt_write_list in_flight; /* encrypted in this round */
    size_t round;             /* plaintext bytes in this round */
    crt_buf wire;             /* ciphertext not yet sent */
    uint8_t *file_chunk;      /* for writes from files, while there are any */
    size_t held;              /* bytes that were put, until their round has left */
} crt_tls_output;

CRT_HIDDEN void crt_tls_output_init(crt_tls_output *output);
CRT_HIDDEN void crt_tls_output_free(crt_tls_output *output); /* the queue must be empty */

/* Copies data to the end of the queue. 0 or AWS_ERROR_OOM. */
CRT_HIDDEN int crt_tls_output_put(crt_tls_output *output, const void *data, size_t len);
CRT_HIDDEN void crt_tls_output_push(crt_tls_output *output, crt_write *write);
static inline bool crt_tls_output_pending(const crt_tls_output *output) {
    return output->queue.first != NULL || output->in_flight.first != NULL || crt_buf_len(&output->wire) > 0;
}

/* Encrypts the next round; the provider's transport appends to `wire`. 0, or a code with fault filled. */
CRT_HIDDEN int crt_tls_output_encrypt(crt_tls_output *output, const crt_tls_provider *provider,
                                      crt_tls_session *session, crt_fault *fault);
/*
 * `wire` has left: returns the writes to report (by crt_write_list_report) and the plaintext bytes of the round.
 */
CRT_HIDDEN crt_write_list crt_tls_output_round_sent(crt_tls_output *output, size_t *bytes);
/* Gives up all writes, to be reported as failed. Ciphertext stays: the session counts on it being sent first. */
CRT_HIDDEN crt_write_list crt_tls_output_abandon(crt_tls_output *output);

/* Calls `done` of each; callbacks may do anything to the stream. */
CRT_HIDDEN void crt_write_list_report(crt_write_list list, int status);

#endif
