/*
 * logstash_readers: the filters that read a message, of which barge has one for each: grok and kv,
 * as rules of `parsers` and as the parser of files.
 */
#ifndef BARGE_LOGSTASH_READERS_H
#define BARGE_LOGSTASH_READERS_H

#include "agent/commands/logstash_filters.h"

void logstash_readers_grok(struct logstash_filter *f);
void logstash_readers_kv(struct logstash_filter *f);

/* Whether barge takes this parser. false with *e. */
bool logstash_readers_check(struct work *w, const struct plan_parser *p, struct error *e);

#endif
