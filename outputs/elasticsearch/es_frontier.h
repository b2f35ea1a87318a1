/*
 * es_frontier: which records that were read are finished, and how far the finished ones reach
 * without a gap. Requests end in any order; the buffer's frontier moves only over whole stretches
 * whose records are all finished, with the exact outcome of exactly these records.
 *
 * Records are known by their sequence number. Memory: a byte a record of unfinished stretches, some
 * dozen bytes for finished ones. Pure; delivery thread.
 */
#ifndef BARGE_ES_FRONTIER_H
#define BARGE_ES_FRONTIER_H

#include "agent/buffer/buffer.h"

enum es_end { ES_OPEN, ES_END_DELIVERED, ES_END_DUPLICATE, ES_END_DEAD, ES_END_DAMAGED };

struct es_stretch;

struct es_frontier {
    struct es_stretch *list; /* owned; [first, n) in the order of sequence numbers, without gaps */
    size_t first, n, cap;
    size_t last_hit;
    struct buffer_cursor end; /* of the last stretch */
    uint64_t open;            /* records not finished */
};

void es_frontier_init(struct es_frontier *f, struct buffer_cursor start);
void es_frontier_fini(struct es_frontier *f);

/* The records from f->end.seq up to end.seq were read and are open now. */
void es_frontier_read(struct es_frontier *f, struct buffer_cursor end);

/* The records from f->end.seq up to end.seq are lost. */
void es_frontier_lost(struct es_frontier *f, struct buffer_cursor end);

/* One open record is finished. */
void es_frontier_finish(struct es_frontier *f, uint64_t seq, enum es_end how);

/* Stretches that are being watched. */
size_t es_frontier_stretches(const struct es_frontier *f);

/* Takes the finished stretches at the front. false when there are none; otherwise *to is where the
 * frontier goes and *outcome what became of the records up to there. */
bool es_frontier_advance(struct es_frontier *f, struct buffer_cursor *to,
                         struct buffer_outcome *outcome);

/* For the last advance before the end: the sequence number of the first open record (f->end.seq
 * when none is open). */
uint64_t es_frontier_first_open(const struct es_frontier *f);
/* Takes what is finished before the first open record, whose place `at` is. As es_frontier_advance.
 */
bool es_frontier_advance_partly(struct es_frontier *f, struct buffer_cursor at,
                                struct buffer_outcome *outcome);

#endif
