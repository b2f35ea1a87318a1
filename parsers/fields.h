/*
 * fields: the `fields` section of the configuration: rename, convert, remove and add on the parsed
 * record, before its names get their meaning. One set of rules per encoder.
 */
#ifndef BARGE_FIELDS_H
#define BARGE_FIELDS_H

#include "agent/config/config.h"
#include "parsers/tree.h"

struct fields;

/* Reads the rules; nothing is kept of settings. *out is NULL when there are no rules. -1 with *e
 * for a rule that cannot be: a name that is no path, one of ours (fields_check_name), a rename into
 * itself, an unknown type. */
int fields_create(const struct enrich_settings *settings, struct fields **out, struct error *e);
void fields_free(struct fields *f);

/* What the rules add to a record at most, in bytes. */
size_t fields_bound(const struct fields *f);

/* Applies the rules to the record whose members are the children of root: names as they stand, dots
 * and all. Order: rename, convert, remove, add. */
void fields_apply(const struct fields *f, struct tree *t, struct node *root);

/* Whether an operator may set `name` (dotted for nested): -1 with *e when it is no path, or belongs
 * to barge or Elasticsearch. section is named in the error. */
int fields_check_name(const char *section, const char *name, struct error *e);

#endif
