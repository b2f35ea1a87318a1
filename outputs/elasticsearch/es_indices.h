/*
 * es_indices: the configured index pattern seen from the node's side: the wildcard of all its
 * indices, and from an index's name back to its day. Patterns are those that the configuration
 * takes (config_value_check_index). Any thread.
 */
#ifndef BARGE_ES_INDICES_H
#define BARGE_ES_INDICES_H

#include "agent/base/strbuf.h"

/* microservices-%{+YYYY.MM.dd} as microservices-*: each %{…}, and what stands between two of them
 * without a letter or digit, is one star. */
void es_indices_wildcard(const char *pattern, struct strbuf *to);

/* The fixed text that the pattern begins with, without separators at its end: microservices. Names
 * the template. */
void es_indices_stem(const char *pattern, struct strbuf *to);

/* Some name that the pattern gives. */
void es_indices_sample(const char *pattern, struct strbuf *to);

/* Whether an index is one day's: year, month and day are in the pattern, and no hour. */
bool es_indices_daily(const char *pattern);

/* Whether its names end in -YYYY.MM.dd, the form in which Elasticsearch reads a day from a name. */
bool es_indices_end_in_day(const char *pattern);

/* Whether name is one that the daily pattern gives, every byte of it, and then its day (days since
 * 1970-01-01 UTC) in *day. A date that does not exist is none. */
bool es_indices_day(const char *pattern, const char *name, int64_t *day);

#endif
