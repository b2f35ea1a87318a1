/*
 * pattern: regular expressions of the operator (PCRE2), with a ceiling on what one message may
 * cost. Found anywhere in a text unless the pattern begins with ^.
 *
 * No JIT: it needs pages that are written and executed, which the sandbox refuses; what that costs
 * stands in agent/DESIGN.md. A struct pattern is immutable, and may be used by any thread; struct
 * pattern_work belongs to one.
 */
#ifndef BARGE_PATTERN_H
#define BARGE_PATTERN_H

#include "agent/base/base.h"

#define PATTERN_GROUPS_MAX 64   /* captured, the whole match included */
#define PATTERN_TEXT_MAX 65536  /* bytes; longer texts are not looked at */
#define PATTERN_SEARCH_MAX 8192 /* the same where the pattern may be found anywhere */

struct pattern;
struct pattern_work;

enum pattern_result {
    PATTERN_FOUND,
    PATTERN_NOT_FOUND,
    PATTERN_GIVEN_UP /* the text is too long, or the search would have become so */
};

struct pattern_name {
    const char *name;
    unsigned group;
};

/* Compiles: UTF-8, where bytes that are none match nothing; ^ and $ at the ends of the text. NULL
 * with *e, which says where and what would be right. */
struct pattern *pattern_create(const char *text, struct error *e);
void pattern_free(struct pattern *p);

/* The names of its groups, by name; one may stand for several groups. */
const struct pattern_name *pattern_names(const struct pattern *p, size_t *n);

struct pattern_work *pattern_work_create(void);
void pattern_work_free(struct pattern_work *w);

enum pattern_result pattern_search(const struct pattern *p, struct bytes text,
                                   struct pattern_work *w);

/* What a group of the pattern found last had, a slice of the text; none when it took no part. */
struct bytes pattern_group(const struct pattern_work *w, unsigned group);

#endif
