/*
 * trace_source: where the records of a request are kept: the output of the configuration. One
 * thread.
 */
#ifndef BARGE_TRACE_SOURCE_H
#define BARGE_TRACE_SOURCE_H

#include "agent/base/strbuf.h"
#include "agent/commands/trace_records.h"
#include "agent/config/config.h"

/* One kind of output. */
struct trace_source_kind {
    /* Gets ready to look for ids (borrowed, as c is) in what happened since since_ns. NULL with
     * *e. */
    void *(*open)(const struct config *c, char *const *ids, size_t n_ids, int64_t since_ns,
                  struct error *e);
    /* Adds what is new to records. -1 with *e when that cannot be had; asked again it goes on. */
    int (*read)(void *source, struct trace_records *records, struct error *e);
    /* Adds where it has looked, for a sentence that begins with "looked". */
    void (*where)(const void *source, struct strbuf *to);
    /* Adds what else it has to say: each line what is to be checked when nothing was found. */
    void (*advice)(const void *source, struct strbuf *to);
    /* Whether what was read so far may lack something that is there. */
    bool (*incomplete)(const void *source);
    void (*close)(void *source);
};

extern const struct trace_source_kind trace_source_file, trace_source_elasticsearch;

#endif
