/*
 * es_fold: a document that Elasticsearch refuses for its shape, made so that it fits: the field
 * that the error names, or all fields that are not ECS's of ours, are taken out and kept as JSON
 * text under event.original; the reason goes to barge.refused. And the memory of what was folded,
 * so that the next such record of that index goes right at once.
 *
 * Works on raw JSON text with the scanner of parsers/json.h (a pure library; the one thing of
 * parsers that outputs use). Delivery thread.
 */
#ifndef BARGE_ES_FOLD_H
#define BARGE_ES_FOLD_H

#include "agent/base/strbuf.h"
#include "parsers/json.h"

#define ES_FOLD_MAX_FIELD 255
#define ES_FOLD_MAX_REASON 512
#define ES_FOLD_MEMORY 128 /* fields remembered, of all indices; the oldest makes room */
#define ES_FOLD_MEMORY_MS (60u * 60000) /* forgotten so long after the last refusal */
#define ES_FOLD_MAX_AT_ONCE 16          /* remembered fields that are folded in one document */

/* The field that an error's text names, by its full dotted path, a slice of reason. false: it names
 * none. Wordings of Elasticsearch 6 to 9 and OpenSearch. */
bool es_fold_named(struct bytes reason, struct bytes *field);

/* The reason without what it tells of the one document: its id, its place, its value. A slice of
 * reason. */
struct bytes es_fold_general(struct bytes reason);

struct es_fold_entry;

struct es_fold {
    struct es_fold_entry *entries; /* owned; NULL until something was remembered */
    size_t n;
    struct json_member *members; /* owned scratch */
    struct strbuf folded;        /* scratch */
};

void es_fold_init(struct es_fold *f);
void es_fold_fini(struct es_fold *f);

/* Whether anything at all is remembered for an index: a cheap first question. */
bool es_fold_knows(const struct es_fold *f, struct bytes index);

/* Writes to `to` (added) the document with the field that reason names folded, and those that are
 * remembered for the index; with all own fields folded when none is named or the named one is not
 * in it. Remembers the named field together with the type that it had. false, and nothing written,
 * when there is nothing left to fold. */
bool es_fold_refused(struct es_fold *f, struct bytes index, struct bytes document,
                     struct bytes reason, uint64_t now_ms, struct strbuf *to);

/* Writes to `to` (added) the document with the fields folded that are remembered for the index and
 * that it has in the refused type. false, and nothing written, when it has none of them. */
bool es_fold_remembered(struct es_fold *f, struct bytes index, struct bytes document,
                        uint64_t now_ms, struct strbuf *to);

#endif
