/*
 * logstash_import: from a pipeline's tree to barge's configuration. Every option is either taken
 * over, or needs nothing because barge does it anyway, or is left out and named. Any thread.
 */
#ifndef BARGE_LOGSTASH_IMPORT_H
#define BARGE_LOGSTASH_IMPORT_H

#include "agent/base/strbuf.h"
#include "agent/commands/logstash_source.h"
#include "agent/commands/logstash_tree.h"

struct logstash_report {
    struct strbuf yaml;     /* what `barge check` takes, unless a ${NAME} in it says otherwise */
    struct strbuf messages; /* FILE:LINE:COLUMN: what was left out, and why; one a line, in the
                               order of the source */
    size_t left_out;        /* how many */
};

/* Writes the report of t, the tree of s. Owned: logstash_report_fini. */
void logstash_import(const struct logstash_source *s, const struct logstash_tree *t,
                     struct logstash_report *out);
void logstash_report_fini(struct logstash_report *r);

#endif
