/*
 * status_view: the figures of /status for a person. Text in, text out: it asks nobody and writes
 * nowhere. What comes from other machines goes through terminal_add. One thread.
 */
#ifndef BARGE_STATUS_VIEW_H
#define BARGE_STATUS_VIEW_H

#include "agent/base/strbuf.h"

struct status_view_options {
    size_t width; /* columns, 0: no limit */
    bool color;
};

/* Adds what is wrong, each line with "! " in front of it, then inputs, output and buffer at a
 * glance. before: the page of `seconds` ago, for rates; NULL: totals alone. -1 with *e when now is
 * no page of barge's; before may be anything. */
int status_view_add(const char *now, const char *before, double seconds,
                    const struct status_view_options *options, struct strbuf *to, struct error *e);

/* Adds every figure with its name, nested as in /status. now: as above, and known to be one. */
void status_view_add_all(const char *now, struct strbuf *to);

#endif
