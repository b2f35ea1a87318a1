/*
 * tally: how much each service has brought, for whoever watches the agent. Counted by the one
 * thread that takes records in, read by any.
 *
 * A service has one tally, however many containers are of it. It stays while somebody holds it;
 * then a few hundred are kept, so that what comes and goes goes on counting.
 */
#ifndef BARGE_TALLY_H
#define BARGE_TALLY_H

#include "agent/base/base.h"

#include <stdatomic.h>

struct tally {
    _Atomic uint64_t records, bytes; /* bytes: as read; 0 where they are not known */
    struct tally *next;
    size_t holders;
    size_t n;    /* of name */
    char name[]; /* not ended by NUL */
};

/* The tally of that name (cut to 128 bytes); tally_put gives it back. NULL for none: an empty name,
 * for which nothing is counted. Any thread. */
struct tally *tally_take(struct bytes name);
/* NULL is nothing. */
void tally_put(struct tally *t);

/* By the thread that takes records in. t may be NULL. */
static inline void tally_add(struct tally *t, uint64_t records, uint64_t bytes)
{
    if (!t)
        return;
    atomic_store_explicit(&t->records,
                          atomic_load_explicit(&t->records, memory_order_relaxed) + records,
                          memory_order_relaxed);
    atomic_store_explicit(&t->bytes, atomic_load_explicit(&t->bytes, memory_order_relaxed) + bytes,
                          memory_order_relaxed);
}

#define TALLY_TOP 20

struct tally_row {
    uint64_t records, bytes;
    size_t n;
    char name[128];
};

/* The tallies with the most records, the largest first: at most TALLY_TOP, into rows. Returns how
 * many. Any thread. */
size_t tally_top(struct tally_row rows[TALLY_TOP]);

#endif
