/*
 * redact: takes persons and secrets out of a finished document, by the operator's rules: what a
 * field holds, or what redact_find knows wherever it stands in a value. It changes the values that
 * it is asked to change and not one byte else.
 *
 * One per thread. What was redacted is counted in the figures `redacted.*`.
 */
#ifndef BARGE_REDACT_H
#define BARGE_REDACT_H

#include "agent/base/base.h"
#include "parsers/redact_find.h"

enum redact_action {
    REDACT_MASK, /* <email>, an IP address to its prefix; a field: <redacted> */
    REDACT_DROP, /* nothing in its place; a field: goes with its name; a number: null */
    REDACT_HASH  /* email_9f86d081884c7d65…, always the same for the same value and key */
};

extern const char *const redact_action_names[]; /* ends with NULL */

struct redact_rule {
    const char *field; /* dotted name in the document, * for any bytes, in any case; NULL: kinds */
    unsigned kinds;    /* without a field: a bit for each kind */
    enum redact_action action;
};

struct redact;

/* Of several rules for a field or a kind the first counts; a field's rule counts before kinds.
 * except: fields in which no kind is looked for, ends with NULL. key: for REDACT_HASH, none when
 * there is no such rule. Everything is copied. */
struct redact *redact_create(const struct redact_rule *rules, size_t n, char *const *except,
                             struct bytes key);
void redact_free(struct redact *r);

/* Whether a field's name in a rule can be one; -1 with *e. */
int redact_check_field(const char *field, struct error *e);

/* Redacts the document of n bytes at p, one JSON object, in place; it may grow up to max bytes.
 * Returns its new length. Where there is no room for what should stand there, three asterisks do.
 *
 * Kinds are looked for in strings and whole numbers, escapes undone, also in JSON text inside of
 * strings. Not in @timestamp, log, stream, event.sequence, tags, container.id, container.name,
 * container.image, host, kubernetes and barge, which are the agent's own; and numbers in ids of
 * requests and traces (redact_find_names_an_id, http.request.id, trace.id, span.id) are left. */
size_t redact_document(struct redact *r, char *p, size_t n, size_t max);

/* How much longer a document should be allowed to be. */
#define REDACT_ROOM 2048

#endif
