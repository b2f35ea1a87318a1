/*
 * logstash_filters: what the files share that take filters over: one filter, and what every filter
 * may have. For logstash_filters, logstash_readers and logstash_dates alone.
 */
#ifndef BARGE_LOGSTASH_FILTERS_H
#define BARGE_LOGSTASH_FILTERS_H

#include "agent/commands/logstash_work.h"

/* One filter, and when it holds for each input. */
struct logstash_filter {
    struct work *w;
    const struct logstash_value *plugin;
    const struct when *states;
    bool rest; /* for what no rule of `parsers` before it took */
    bool made; /* a rule of `parsers` */
};

/* Leaves an option out. */
void logstash_filters_refuse(struct logstash_filter *f, const struct logstash_value *v,
                             const char *why);
/* How many inputs the filter has this result for. */
size_t logstash_filters_count(const struct logstash_filter *f, enum when_result result);
/* Whether v is an option that every filter may have; then it is taken, or left out. */
bool logstash_filters_common(struct logstash_filter *f, const struct logstash_value *v);
/* Whether name, a or [a][b], is the field there, as conditions write it. */
bool logstash_filters_same_field(struct bytes name, struct bytes there);

#endif
