/*
 * trace_view: records as a timeline for a person. Documents in, text out: it asks nobody and writes
 * nowhere. One thread.
 */
#ifndef BARGE_TRACE_VIEW_H
#define BARGE_TRACE_VIEW_H

#include "agent/base/strbuf.h"
#include "agent/commands/trace_records.h"

struct trace_view_options {
    size_t width; /* columns, 0: no limit */
    bool color;
    bool full; /* stack traces and messages of several lines whole */
    bool wrap; /* what is too long goes on in the next line, instead of ending with "…" */
};

struct trace_view;

/* ids are borrowed: with several of them each record says whose it is. */
struct trace_view *trace_view_create(const struct trace_view_options *options, char *const *ids,
                                     size_t n_ids);
void trace_view_destroy(struct trace_view *v);

/* Adds lines for records, in their order. Called again when more have come. */
void trace_view_add(struct trace_view *v, struct trace_record *const *records, size_t n,
                    struct strbuf *to);

/* Adds the last line: services, duration, errors, records. */
void trace_view_summary(const struct trace_view *v, struct strbuf *to);

#endif
