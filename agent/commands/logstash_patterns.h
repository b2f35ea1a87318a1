/*
 * logstash_patterns: what a plugin of Logstash defines of grok's patterns by itself: the files of
 * `patterns_dir` and its `pattern_definitions`. Any thread.
 */
#ifndef BARGE_LOGSTASH_PATTERNS_H
#define BARGE_LOGSTASH_PATTERNS_H

#include "agent/commands/logstash_grok.h"
#include "agent/commands/logstash_work.h"

struct logstash_patterns {
    struct logstash_grok_definition *list; /* of one name the last counts */
    size_t n;
    struct strbuf *files; /* their text */
    size_t n_files;
    char *unread; /* a path of patterns_dir that could not be read, or NULL */
};

/* Reads them. A path is looked for where it says, then in the folder of the file in which the
 * plugin stands and in the one above, by its whole and by its last name. Only regular files are
 * read, and none where the pipeline was not read on this host. Owned: logstash_patterns_fini. */
void logstash_patterns_read(const struct work *w, const struct logstash_value *plugin,
                            struct logstash_patterns *out);
void logstash_patterns_fini(struct logstash_patterns *p);

#endif
