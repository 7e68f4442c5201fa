#include "spin.h"

#include "crt/loop.h"

enum {
    LIGHT_EVENTS = 4,
    LIGHT_BYTES = 8 * 1024,
    SOON_NS = 150 * 1000, /* a little more than two sleeping threads take to be woken */
    CREDIT_MIN = 8,
    CREDIT_MAX = 64,
};

static bool has_second_processor(void) {
    static int answer; /* 0: not asked yet; every thread finds the same */
    int known = __atomic_load_n(&answer, __ATOMIC_RELAXED);
    if (!known) {
        known = crt_cpu_count() > 1 ? 1 : -1;
        __atomic_store_n(&answer, known, __ATOMIC_RELAXED);
    }
    return known > 0;
}

bool crt_spin_goes_on(crt_spin *spin, uint64_t now_ns) {
    if (spin->events == 0) {
        return now_ns < spin->until;
    }
    bool light = spin->events <= LIGHT_EVENTS && spin->bytes <= LIGHT_BYTES;
    bool soon = now_ns - spin->quiet_since < SOON_NS;
    if (!light) {
        spin->credit = 0;
    } else if (!soon) {
        spin->credit /= 2;
    } else if (spin->credit < CREDIT_MAX) {
        spin->credit++;
    }
    spin->events = 0;
    spin->bytes = 0;
    spin->quiet_since = now_ns;
    spin->until = spin->credit >= CREDIT_MIN && has_second_processor() ? now_ns + SOON_NS : 0;
    return spin->until != 0;
}
