/*
 * logstash_hints: what to do instead of a plugin or an option of Logstash that barge has nothing
 * for. Any thread.
 */
#ifndef BARGE_LOGSTASH_HINTS_H
#define BARGE_LOGSTASH_HINTS_H

#include "agent/base/base.h"

/* One sentence each; a general one for a name that is not known. */
const char *logstash_hints_input(struct bytes plugin);
const char *logstash_hints_filter(struct bytes plugin);
const char *logstash_hints_mutate(struct bytes option);
const char *logstash_hints_output(struct bytes plugin);
const char *logstash_hints_elasticsearch(struct bytes option);

#endif
