/*
 * es_backoff: how long to wait before another attempt, and the random numbers for it. Capped
 * exponential backoff with full jitter, so that a hundred agents that lost the same node do not
 * come back as one. Pure; the caller brings clock and randomness.
 */
#ifndef BARGE_ES_BACKOFF_H
#define BARGE_ES_BACKOFF_H

#include "agent/base/base.h"

/* A small generator (xorshift64*): spreads waiting times, guards nothing. seed must not be 0. */
struct es_random {
    uint64_t state;
};

uint64_t es_random_next(struct es_random *r);

/* Milliseconds before attempt number `attempt` (1 is the first repetition): drawn evenly from 0 to
 * min(cap_ms, base_ms * 2^(attempt-1)), but never under 10. */
uint64_t es_backoff_ms(unsigned attempt, uint64_t base_ms, uint64_t cap_ms, struct es_random *r);

#endif
