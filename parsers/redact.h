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
#include "agent/config/config.h"

struct redact;

/* Of several rules for a field or a kind the first counts, and a field's rule before kinds. key: of
 * pseudonyms; none when no rule wants them. Everything is copied. NULL with *e, which begins with
 * the setting to blame, for rules that cannot be. */
struct redact *redact_create(const struct redact_settings *settings, struct bytes key,
                             struct error *e);
void redact_free(struct redact *r);

/* A stretch of a document, whole members of it, that holds nothing but what no kind is looked for
 * in (container, host, stream, event.sequence): it is passed over. None: {0, 0}. */
struct redact_own {
    size_t from, to;
};

/* Redacts the document of n bytes at p, one JSON object, in place; it may grow up to max bytes.
 * Returns its new length. Where there is no room for what should stand there, three asterisks do.
 *
 * Kinds are looked for in strings and whole numbers, escapes undone, also in JSON text inside of
 * strings. Not in @timestamp, log, stream, event.sequence, tags, container.id, container.name,
 * container.image, host, kubernetes and barge, which are the agent's own; and numbers in ids of
 * requests and traces (redact_number_names_an_id, http.request.id, trace.id, span.id) are left. */
size_t redact_document(struct redact *r, char *p, size_t n, size_t max, struct redact_own own);

/* How much longer a document should be allowed to become. */
#define REDACT_ROOM 2048

#endif
