/*
 * es_limit: how many requests at once one host takes well. Additive increase while the allowance is
 * used and answers come as fast as ever, a small step back when they become slow, half when the
 * host says that it is too much; from there on the increase is slow, as others may share the host.
 *
 * Pure: the clock is an argument.
 */
#ifndef BARGE_ES_LIMIT_H
#define BARGE_ES_LIMIT_H

#include "agent/base/base.h"

struct es_limit {
    double allowed;   /* 1..max */
    double slow_from; /* so many were too many once: slowly from here on */
    unsigned max;
    double best_ms;   /* fastest answer to a full batch of late; 0: none yet */
    double smooth_ms; /* its moving average */
    uint64_t cut_ms;  /* when it was last halved */
};

/* first, max: at least 1. Begins with `first`. */
void es_limit_init(struct es_limit *l, unsigned first, unsigned max);

/* Requests allowed at once: 1..max. */
unsigned es_limit_allowed(const struct es_limit *l);

/* A request succeeded while in_flight (itself included) were under way. latency_ms: from the end of
 * the body to the answer; full: the batch was large enough for that to mean something. */
void es_limit_succeeded(struct es_limit *l, double latency_ms, bool full, unsigned in_flight);

/* The host refused for load, or did not answer in time. Answers to requests that were sent before
 * the last cut do not cut again. sent_ms: when the request was begun. Returns true when there was
 * nothing left to cut: one request at a time is too much. */
bool es_limit_overloaded(struct es_limit *l, uint64_t sent_ms, uint64_t now_ms);

#endif
