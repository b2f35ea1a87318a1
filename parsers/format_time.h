/*
 * format_time: times as servers write them into their logs, as nanoseconds since 1970. Those
 * without a zone are the machine's own. Any thread.
 */
#ifndef BARGE_FORMAT_TIME_H
#define BARGE_FORMAT_TIME_H

#include "agent/base/base.h"

/* 23/Nov/2018:09:00:00 +0100 */
bool format_time_clf(struct bytes s, int64_t *ns);

/* The number of the month whose name begins with the three letters at p, in any case; 0: none. */
int format_time_month(const char *p);

/* The local time that s begins with: 2018/11/23 09:00:00, 2018-11-23  9:00:00, 181123  9:00:00.
 * *used: its length. ns may be NULL: only the form is looked at. */
bool format_time_local(struct bytes s, size_t *used, int64_t *ns);

#endif
