/*
 * Waiting awake: in an exchange of small messages most of a round trip is spent waking threads that have just gone
 * to sleep. A loop that saw several such exchanges in a row looks for the next event for a short while before it
 * sleeps. It never does so in bulk transfers, when it is idle, or where there is no second processor.
 */
#ifndef CRT_IO_SPIN_H
#define CRT_IO_SPIN_H

#include "crt/base.h"

typedef struct crt_spin {
    uint32_t events;      /* since the last look: tasks and reads */
    size_t bytes;         /* since the last look: received */
    uint32_t credit;      /* turns that came soon after the one before */
    uint64_t quiet_since; /* ns */
    uint64_t until;       /* ns; awake until then */
} crt_spin;

/* The loop has nothing left to do at `now_ns`: true to look again instead of sleeping. */
CRT_HIDDEN bool crt_spin_goes_on(crt_spin *spin, uint64_t now_ns);

#endif
