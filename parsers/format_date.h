/*
 * format_date: times in the forms that an operator names, as nanoseconds since 1970. The names are
 * those that Logstash's date filter and Joda have: ISO8601, UNIX, UNIX_MS, "dd/MMM/yyyy:HH:mm:ss Z"
 * … Immutable; any thread.
 */
#ifndef BARGE_FORMAT_DATE_H
#define BARGE_FORMAT_DATE_H

#include "agent/base/base.h"

struct format_date;

/* formats: ended by NULL. zone: of times without one: "local", "UTC" or +hh:mm. Nothing is kept of
 * them. NULL with *e, which begins with the key to blame ("time_formats: …"). Owned. */
struct format_date *format_date_create(char *const *formats, const char *zone, struct error *e);
void format_date_free(struct format_date *d);

/* Whether all of s is a time in one of the formats; the first that fits counts. Numbers may be
 * shorter than their letters, but where another number follows at once; all digits of a fraction
 * are read, those beyond nine cut. */
bool format_date_read(const struct format_date *d, struct bytes s, int64_t *ns);

#endif
