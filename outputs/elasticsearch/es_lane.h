/*
 * es_lane: an index that takes nothing for now (closed, blocked, forbidden, not there, its shards
 * away) gets a lane of its own, so that it never holds up the others. The lane lists that index's
 * records, as runs in the buffer, not as copies; it tries the index with one record from time to
 * time, and hands them all out once it accepts again.
 *
 * Pure: knows neither network nor clock. Delivery thread.
 */
#ifndef BARGE_ES_LANE_H
#define BARGE_ES_LANE_H

#include "agent/buffer/buffer.h"
#include "outputs/elasticsearch/es_backoff.h"

#define ES_LANES_MAX 256
#define ES_LANE_SAMPLE_MAX (16u << 10)
#define ES_LANE_RUNS_MAX 65536 /* of all lanes together: 2 MiB */

/* Consecutive records, as they lie in one segment. */
struct es_run {
    struct buffer_point at;
    uint64_t seq;
    uint32_t n;
    uint32_t span; /* bytes from the first one's beginning to the last one's end */
};

/* A record kept to try an index with, whose records have all been parked. */
struct es_sample {
    char *mem; /* owned; NULL: none */
    struct buffer_record record;
};

enum es_lane_state {
    ES_LANE_TROUBLED, /* one record at a time */
    ES_LANE_DRAINING, /* it accepts again: as fast as it goes */
    ES_LANE_PARKING   /* its records move to the dead letters */
};

struct es_lane {
    char index[BUFFER_MAX_INDEX + 1];
    enum es_lane_state state;
    unsigned failures;   /* tries in a row */
    uint64_t since_ms;   /* it accepted nothing since */
    uint64_t due_ms;     /* next try */
    uint64_t park_ms;    /* not to be parked before: the disk did not take it */
    uint64_t refused_ms; /* last one that failed */
    unsigned under_way;  /* batches that are out */
    char reason[256];    /* why it does not accept */
    struct es_run *runs; /* owned; [first, n) */
    size_t first, n, cap;
    uint64_t records;
    uint64_t parked; /* records of it that lie among the dead letters */
    struct es_sample sample;
};

struct es_lanes {
    struct es_lane *list[ES_LANES_MAX]; /* owned */
    size_t n;
    size_t runs; /* of all */
};

void es_lanes_init(struct es_lanes *l);
void es_lanes_fini(struct es_lanes *l);

/* The lane of an index; NULL when it has none. */
struct es_lane *es_lanes_find(const struct es_lanes *l, struct bytes index);

/* Makes one, troubled, due at once. NULL when there are too many. */
struct es_lane *es_lanes_open(struct es_lanes *l, struct bytes index, uint64_t now_ms);

/* Ends a lane that has no records, none under way, and nothing parked. */
void es_lanes_close(struct es_lanes *l, struct es_lane *lane);

/* Puts a record (back) into its lane. size: buffer_record_size. */
void es_lane_put(struct es_lanes *l, struct es_lane *lane, struct buffer_point at, uint64_t seq,
                 uint32_t size);

/* The first run, or NULL. */
const struct es_run *es_lane_first(const struct es_lane *lane);

/* Takes records off the front of the first run: all those before next.seq; what is left of it
 * begins at next. */
void es_lane_took(struct es_lanes *l, struct es_lane *lane, struct buffer_cursor next);

/* Calls fn for each run that lies in that segment, and takes them out of the lane when take is set.
 */
void es_lane_runs_in(struct es_lanes *l, struct es_lane *lane, uint64_t segment, bool take,
                     void (*fn)(void *arg, const struct es_run *run), void *arg);

/* Keeps a copy of a record to try the index with, unless it has one, or the record is larger than
 * ES_LANE_SAMPLE_MAX. */
void es_lane_sample(struct es_lane *lane, const struct buffer_record *r);

/* The index accepted something. */
void es_lane_accepted(struct es_lane *lane);

/* A try failed: when the next one is due. */
void es_lane_refused(struct es_lane *lane, const char *reason, uint64_t now_ms,
                     struct es_random *r);

/* The oldest of all records in lanes and its lane; NULL when all are empty. */
struct es_lane *es_lanes_oldest(const struct es_lanes *l, uint64_t *seq);
/* The lane with the most runs. NULL when all are empty. */
struct es_lane *es_lanes_longest(const struct es_lanes *l);

#endif
