/*
 * wildcard: patterns of the configuration in which * stands for any bytes. Any thread.
 */
#ifndef BARGE_WILDCARD_H
#define BARGE_WILDCARD_H

#include "agent/base/base.h"

/* Whether text matches pattern, in which each * stands for any bytes. */
bool wildcard_matches(const char *pattern, struct bytes text);
/* The same with ASCII letters of either case. */
bool wildcard_matches_any_case(const char *pattern, struct bytes text);

#endif
