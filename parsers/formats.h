/*
 * formats: the operator's rules `parsers`, compiled: which format the messages of a container have.
 * The intake thread alone.
 */
#ifndef BARGE_FORMATS_H
#define BARGE_FORMATS_H

#include "parsers/document.h"
#include "parsers/format.h"

struct formats;

/* Compiles rules (ended by NULL), of which nothing is kept. NULL with *e, a text that begins with
 * the setting to blame ("parsers[2].pattern: …", for config_refuse). */
struct formats *formats_create(struct parser_rule *const *rules, struct error *e);
void formats_free(struct formats *f);

/* The format of a container whose name and image stand in facts and whose labels get looks up (none
 * when absent): its label barge.parser, else that of the first rule that fits, else NULL: JSON or
 * text, as it comes. A label that names no format that there is without a setting is told once for
 * each such name, and does not count. f may be NULL: no rules. Borrowed from f. */
const struct format *formats_of(struct formats *f, const struct origin_facts *facts,
                                struct bytes (*get)(void *arg, const char *label), void *arg);

#endif
