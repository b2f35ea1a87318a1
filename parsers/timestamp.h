/*
 * timestamp: instants as text and as nanoseconds since 1970-01-01T00:00:00Z, never through a
 * double. Range 1970-01-01T00:00:00Z to 2262-04-11T23:47:16.854775807Z (what date_nanos holds). Any
 * thread.
 */
#ifndef BARGE_TIMESTAMP_H
#define BARGE_TIMESTAMP_H

#include "agent/base/base.h"

#define TIMESTAMP_TEXT_MAX 30 /* YYYY-MM-DDThh:mm:ss.nnnnnnnnnZ */

/* RFC 3339 date-time ("T" or "t" or a blank; if there is a '.' or ',' at least one digit of the
 * fraction, those beyond nine are cut; Z, z or an offset). false when it is none, out of range, or
 * its second is 60. */
bool timestamp_parse(struct bytes text, int64_t *ns);

/* A decimal number of seconds (GELF's timestamp: "1795406203.568", an exponent allowed when small),
 * taken from its text. false when it is no such number, not above 0 or out of range. */
bool timestamp_parse_seconds(struct bytes text, int64_t *ns);

/* Writes ns as YYYY-MM-DDThh:mm:ss[.n…]Z with trailing zeros of the fraction dropped. Returns the
 * length. */
size_t timestamp_format(int64_t ns, char to[TIMESTAMP_TEXT_MAX]);

/* Days since 1970-01-01 of an instant, and the civil date of a day number (proleptic Gregorian). */
static inline int32_t timestamp_day(int64_t ns)
{
    return (int32_t)(ns / 86400000000000);
}
void timestamp_civil(int32_t day, int *year, int *month, int *day_of_month);
/* The day number of a civil date, year 0 or later. false when there is no such date. */
bool timestamp_date(int year, int month, int day_of_month, int32_t *day);

#endif
