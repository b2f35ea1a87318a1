/*
 * es_delivery: what the files of the delivery thread share. es_delivery.c starts, stops and
 * schedules; es_source.c reads records from the buffer into requests; es_outcome.c decides what
 * becomes of them. Everything below belongs to the delivery thread but for the atomics.
 *
 *   main stream ─► filling ─┐
 *   pending (retries) ──────┼─► request ─► delivered, duplicate: finished
 *   lanes ──────────────────┘            ├► later: pending          ├► index takes nothing: its
 * lane └► refused: folded, pending; refused again: dead letters
 */
#ifndef BARGE_ES_DELIVERY_H
#define BARGE_ES_DELIVERY_H

#include "outputs/dead_letters.h"
#include "outputs/elasticsearch/es_batch.h"
#include "outputs/elasticsearch/es_chores.h"
#include "outputs/elasticsearch/es_fold.h"
#include "outputs/elasticsearch/es_frontier.h"
#include "outputs/elasticsearch/es_host.h"
#include "outputs/elasticsearch/es_lane.h"
#include "outputs/elasticsearch/es_size.h"

#include <pthread.h>
#include <stdatomic.h>

#define ES_RETRY_MS 200
#define ES_RETRY_MAX_MS 30000
/* Unfinished stretches of the buffer that are watched; beyond it nothing new is read, and the
 * oldest lane is parked. */
#define ES_STRETCHES_MAX 4096
/* Indices whose last acceptance is remembered. */
#define ES_ACCEPTS_MAX 64

struct es_accept {
    uint8_t n;
    char index[BUFFER_MAX_INDEX];
    uint64_t at_ms;
};

struct es {
    const struct elasticsearch_settings *settings;
    struct buffer *buffer;
    struct dead_letters *dead;
    struct es_hosts hosts;
    struct es_frontier frontier;
    struct es_lanes lanes;
    struct es_fold fold;
    struct es_chores *chores; /* owned; NULL: none */

    pthread_t thread;
    atomic_bool stop, reload;
    atomic_bool wanted; /* the thread sleeps and wants to hear of new records */
    atomic_uint_fast64_t deadline_ms;

    /* memory for bodies */
    struct es_body *bodies[16]; /* owned; free ones */
    size_t n_bodies, bodies_out, bodies_max;
    struct es_size size; /* of requests */

    /* the main stream */
    struct buffer_cursor cursor;
    struct es_batch *filling; /* owned */
    struct es_body *filling_body;
    uint64_t fill_begun_ms, fill_look_ms, fill_pause_ms;

    struct es_batch *pending; /* owned */
    size_t n_pending;
    struct es_batch *free_batches; /* owned */
    size_t n_free_batches;
    size_t next_lane;

    uint64_t ok_count; /* answers that counted */

    struct es_accept accepts[ES_ACCEPTS_MAX];
    size_t n_accepts;
    uint64_t upkeep_ms;
    uint64_t no_room_until_ms; /* the disk took no dead letter: whole segments are kept instead */
    uint64_t parked;           /* records, for the figure */
    uint64_t shown_states;     /* of the breakers, as the figures have them */
};

/* ---- es_delivery.c ---- */

struct es_batch *es_take_batch(struct es *es);
void es_give_batch(struct es *es, struct es_batch *b);
/* NULL when all are lent: bodies that are being sent bound the memory. */
struct es_body *es_take_body(struct es *es);
/* Queues a batch: to be sent, or buried, not before due_ms. */
void es_pend(struct es *es, struct es_batch *b, enum es_batch_kind kind, uint64_t due_ms);
/* es_batch_split, for batches that may belong to a lane. */
struct es_batch *es_split(struct es_batch *b, size_t from);
/* Sets output.last_error, and logs. */
void es_report(const char *host, const char *what, const char *detail);

/* ---- es_source.c ---- */

/* Reads on in the main stream. A batch that is to be sent now, with its body; or NULL, and *due_ms
 * is lowered to when to look again. */
struct es_batch *es_source_main(struct es *es, uint64_t now_ms, struct es_body **body,
                                uint64_t *due_ms);
/* Reads the records of a batch again. Returns the batch or, when nothing of it is left to be sent,
 * NULL: it is then disposed of. */
struct es_batch *es_source_again(struct es *es, struct es_batch *b, struct es_body *body,
                                 uint64_t now_ms);
/* Takes up to max records from a lane. NULL when none of them could be read. */
struct es_batch *es_source_lane(struct es *es, struct es_lane *lane, size_t max,
                                struct es_body *body, uint64_t now_ms);
/* Moves a slice of a lane to the dead letters; where the disk takes no byte more, all that it has
 * in its oldest segment, with the segment. false when neither could be done: the lane is as it was.
 */
bool es_source_park(struct es *es, struct es_lane *lane, struct es_body *body, uint64_t now_ms);
/* Moves the records of a batch to the dead letters, through the memory of body. What the disk does
 * not take is queued again: false. */
bool es_source_bury(struct es *es, struct es_batch *b, struct es_body *body, uint64_t now_ms);

/* ---- es_outcome.c ---- */

/* A request has ended. */
void es_outcome(struct es *es, struct es_request *r);
/* What waits to be sent is due now. */
void es_hurry(struct es *es, uint64_t now_ms, bool only_suspects);

#endif
