/*
 * logstash_grok: grok patterns as PCRE2 patterns with named groups, as `parser: regex` takes them.
 * The well-known names (%{IP}, %{TIMESTAMP_ISO8601} …) stand for expressions of our own, which take
 * what a log holds by these names and are a good deal shorter. Any thread.
 */
#ifndef BARGE_LOGSTASH_GROK_H
#define BARGE_LOGSTASH_GROK_H

#include "agent/base/strbuf.h"

#define LOGSTASH_GROK_MAX 4096  /* bytes of a pattern that `parser: regex` takes */
#define LOGSTASH_GROK_FIELDS 63 /* captured at most */

/* A pattern that the pipeline defines itself. */
struct logstash_grok_definition {
    struct bytes name, pattern;
};

struct logstash_grok_field {
    char *group;      /* name of the group in the pattern */
    char *field;      /* name that the field has, dotted where it is nested */
    const char *type; /* "long", "double", or NULL: text */
    unsigned pattern; /* the last one that captures it, from 1 */
};

struct logstash_grok {
    struct strbuf pattern;
    bool lines;        /* the text may have several lines: $ is the end of each, as in Ruby */
    bool begins;       /* found out: there is a ^, which is the beginning of each line in Ruby */
    const char *twice; /* found out: a field that is captured more than once in one pattern, which
                          has no alternatives; or NULL */
    unsigned n_patterns;
    struct logstash_grok_field fields[LOGSTASH_GROK_FIELDS]; /* each name once */
    size_t n;
};

/* Adds what pattern is to *out, which is empty or holds what came before. -1 with *e for a name
 * that is not known, and for what PCRE2 does not have. *out is to be given back either way. */
int logstash_grok_add(struct logstash_grok *out, struct bytes pattern,
                      const struct logstash_grok_definition *own, size_t n_own, struct error *e);
void logstash_grok_fini(struct logstash_grok *g);

#endif
