/*
 * logstash_dates: the filter date, as time_key, time_formats and time_zone of what reads a file.
 */
#ifndef BARGE_LOGSTASH_DATES_H
#define BARGE_LOGSTASH_DATES_H

#include "agent/commands/logstash_filters.h"

void logstash_dates_take(struct logstash_filter *f);

#endif
