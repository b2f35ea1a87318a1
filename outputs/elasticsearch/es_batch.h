/*
 * es_batch: the records of one request, without their bytes: where each lies in the buffer, its
 * index and what is to be done with it. What is needed to read them again, to split them, and to
 * remember how they have fared so far.
 *
 * Delivery thread.
 */
#ifndef BARGE_ES_BATCH_H
#define BARGE_ES_BATCH_H

#include "agent/base/strbuf.h"
#include "agent/buffer/buffer.h"

struct es_lane;

enum {
    ES_REF_FOLD = 1,   /* was refused, text says why: fold, then send */
    ES_REF_PARK = 2,   /* belongs among the parked, not among the refused */
    ES_REF_WRITTEN = 4 /* stands in the dead letters, not synced yet */
};

struct es_ref {
    struct buffer_point at;
    uint64_t seq;
    uint32_t size;  /* buffer_record_size */
    uint32_t text;  /* offset in the batch's texts, NUL-terminated; UINT32_MAX: none */
    uint16_t index; /* number in the batch's index names */
    uint8_t flags;
    uint32_t check; /* es_batch_id_check of its `_id` */
};

struct es_index_name {
    bool accepts; /* scratch while an answer is read */
    uint8_t n;
    char text[BUFFER_MAX_INDEX];
};

/* What a batch waits for. */
enum es_batch_kind {
    ES_SEND, /* its turn to be sent */
    ES_BURY  /* the dead letters' disk */
};

struct es_batch {
    struct es_batch *next;
    struct es_ref *refs; /* owned; rising sequence numbers */
    size_t n, cap;
    struct es_index_name *names; /* owned */
    size_t n_names, names_cap;
    struct strbuf texts; /* why records were refused */
    enum es_batch_kind kind;

    struct es_lane *lane; /* whose records these are; NULL: of the main stream */

    unsigned attempts; /* that failed, whole or for what is left of it */
    unsigned hangs;    /* requests with these records that ended without an answer that counts */
    unsigned
        strikes; /* the same while it is a single record and the host answered others in between */
    unsigned rewinds;         /* attempts that a closed connection cost; nobody's fault */
    unsigned blind_splits;    /* halvings without evidence that the host answers others */
    bool suspect;             /* a single record whose request was called malformed */
    int disk_error;           /* errno of the dead letters' disk */
    uint64_t first_failed_ms; /* 0: not yet */
    uint64_t first_strike_ms;
    uint64_t ok_then;   /* count of good answers when these records first failed */
    uint64_t ok_strike; /* … at the last strike */
    uint64_t due_ms;    /* not to be touched before */
    uint64_t sent_ms;
};

struct es_batch *es_batch_create(void);
void es_batch_free(struct es_batch *b);
/* Forgets everything but the memory. */
void es_batch_clear(struct es_batch *b);

/* The number of an index name in the batch; adds it when it is new. */
uint16_t es_batch_name(struct es_batch *b, struct bytes index);

/* Adds a record of the index with that number, without a text. */
void es_batch_add(struct es_batch *b, const struct buffer_record *r, uint16_t name);
/* Adds a record of another batch. text: why it was refused, or none. */
void es_batch_add_ref(struct es_batch *b, const struct es_batch *from, const struct es_ref *ref,
                      struct bytes text, unsigned flags);

/* What is kept of an id to know it again by: of position and hash. */
uint32_t es_batch_id_check(const uint8_t id[BUFFER_ID_BYTES]);

struct bytes es_batch_index(const struct es_batch *b, const struct es_ref *ref);
struct bytes es_batch_text(const struct es_batch *b, const struct es_ref *ref);

/* Moves the records from number `from` on to a new batch with the same history. */
struct es_batch *es_batch_split(struct es_batch *b, size_t from);

/* Bytes that the records take in the buffer. */
uint64_t es_batch_bytes(const struct es_batch *b);

#endif
