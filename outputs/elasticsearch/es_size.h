/*
 * es_size: how large requests are. They begin small, so that an agent that is killed again and
 * again gets on, and a host that has just come back is not flooded by all of its agents at once;
 * what is taken doubles them, up to the configured size. A host that refuses one for its size
 * teaches the largest it takes, for an hour. One that is asked too much halves them, down to where
 * they began; one that was away has them begin anew. From there on they grow slowly, so that of
 * many agents that share one host few are refused at a time.
 *
 * Sizes are bytes of bodies before compression. Pure: the clock is an argument.
 */
#ifndef BARGE_ES_SIZE_H
#define BARGE_ES_SIZE_H

#include "agent/base/base.h"

struct es_size {
    size_t bytes;     /* of the next requests: at most */
    size_t max;       /* as configured */
    size_t first;     /* of the first ones */
    size_t slow_from; /* at this size the host was asked too much: slowly from here on */
    uint64_t refused; /* the smallest that was too large; UINT64_MAX: none */
    uint64_t refused_ms;
};

/* max: output.elasticsearch.batch_bytes. */
void es_size_init(struct es_size *s, size_t max);

/* A request of so many bytes was taken. */
void es_size_taken(struct es_size *s, uint64_t bytes);

/* One of so many was too large, and will be halved. Returns true when that taught something. */
bool es_size_too_large(struct es_size *s, uint64_t bytes, uint64_t now_ms);

/* The host is asked too much, and by one request at a time of each agent. */
void es_size_overloaded(struct es_size *s);

/* The host was away: all that wait for it come back at once. */
void es_size_restart(struct es_size *s);

/* A learnt limit is not for ever, as the host's may have been raised: to be called now and then. */
void es_size_unlearn(struct es_size *s, uint64_t now_ms);

/* Whether requests still double: then they are no measure for those that follow. */
bool es_size_doubles(const struct es_size *s);

#endif
