/*
 * es_answer: reads the answer to a _bulk request while it arrives. An answer counts only when it is
 * one whole JSON object whose `items` has exactly as many members as were sent, each with the one
 * key "create", an integer status and no other `_id` than was sent; anything else and the whole
 * answer is void. `errors` is not looked at: the items decide.
 *
 * Memory is flat: eight bytes an item and the texts of errors, with ceilings. The common item,
 * {"create":{"status":201}}, is recognised by its bytes; all else goes through yajl. Delivery
 * thread.
 */
#ifndef BARGE_ES_ANSWER_H
#define BARGE_ES_ANSWER_H

#include "agent/base/strbuf.h"
#include "outputs/elasticsearch/es_verdict.h"

/* The texts of one answer together; an item whose text found no room is to be sent again. */
#define ES_ANSWER_MAX_TEXTS (1u << 20)
#define ES_ANSWER_MAX_TYPE 128
#define ES_ANSWER_MAX_REASON 1024

struct es_item {
    uint16_t status;
    uint8_t fate;  /* enum es_fate */
    uint32_t text; /* offset in texts of "type: reason", NUL-terminated; UINT32_MAX: none. Kept of
                      refusals, and of the first of other failures */
};

/* Whether the item of that number was sent with this `_id`. */
typedef bool es_answer_id_fn(const void *arg, size_t item, struct bytes id);

struct es_answer {
    struct es_item *items; /* owned */
    size_t n, expected, cap;
    struct strbuf texts;
    const char *wrong;     /* why the answer is void, a constant; NULL while it is not */
    size_t noops;          /* of the delivered: status 200, which a create has only when a pipeline
                              dropped the document */
    size_t failure_stored; /* of the delivered: those that a data stream took aside */

    /* private */
    struct yajl_handle_t *yajl;
    uint64_t bytes, max_bytes, quiet_bytes;
    unsigned depth;
    bool in_items, seen_items, at_item, skipped, done;
    bool in_op, have_status;
    bool store_used;
    unsigned keys, error_depth, failure_texts;
    es_answer_id_fn *id_is;
    const void *id_arg;
    int key;
    long status;
    struct strbuf type, reason;
};

/* A zeroed struct is fit for es_answer_begin, and may be begun again and again. expected: items
 * that were sent. */
void es_answer_begin(struct es_answer *a, size_t expected);
void es_answer_fini(struct es_answer *a);

/* After es_answer_begin: items that name an `_id` must name the one that was sent. We do not ask
 * for it, for it would triple the answer; but who answers in more words than asked for may be no
 * Elasticsearch, and need not keep the order. */
void es_answer_check_ids(struct es_answer *a, es_answer_id_fn *id_is, const void *arg);

/* The next n bytes of the body. false: the answer is void already, the rest need not be read. */
bool es_answer_feed(struct es_answer *a, const char *p, size_t n);

/* The body is whole so far as JSON goes: nothing but blanks may follow. */
bool es_answer_complete(const struct es_answer *a);

/* The end of the body. true: the answer counts. */
bool es_answer_end(struct es_answer *a);

/* Text of an item, "" when none was kept. */
const char *es_answer_text(const struct es_answer *a, const struct es_item *item);

/* Reads the body of a request that failed whole, {"error":{"type":…,"reason":…},"status":400}:
 * writes "type: reason" to `to` and returns true when it is Elasticsearch's own; false, with the
 * beginning of the body made printable, when it is not. */
bool es_answer_error(struct bytes body, struct strbuf *to);

#endif
