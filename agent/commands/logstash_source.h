/*
 * logstash_source: the files of a Logstash pipeline, put together as Logstash does: a folder's
 * files by name, those that end with ~ and folders in it left out, a line feed between two. A
 * path that is none may be a pattern with *. Knows where each byte came from. Any thread.
 */
#ifndef BARGE_LOGSTASH_SOURCE_H
#define BARGE_LOGSTASH_SOURCE_H

#include "agent/base/base.h"

#define LOGSTASH_SOURCE_MAX (1u << 20) /* bytes, all files together */

struct logstash_source;

struct logstash_place {
    const char *file; /* as it was named; borrowed from the source */
    unsigned line;    /* from 1 */
    unsigned column;  /* from 1, in characters */
};

/* Reads paths (files, folders, patterns, "-" for standard input), in this order. What UTF-8
 * files begin with to say that they are (U+FEFF) is left out. NULL with *e when one cannot
 * be read, is no UTF-8 text, or all are too large. Owned: logstash_source_free. */
struct logstash_source *logstash_source_read(char *const *paths, size_t n, struct error *e);
/* The same from bytes in memory, which are copied. */
struct logstash_source *logstash_source_text(const char *name, struct bytes text, struct error *e);
void logstash_source_free(struct logstash_source *s);

struct bytes logstash_source_bytes(const struct logstash_source *s);

/* Whether it was read on this host (logstash_source_read), so that files that it names may be, too.
 */
bool logstash_source_is_of_host(const struct logstash_source *s);

/* Where the byte at offset stands; the end of the text for all offsets beyond it. */
struct logstash_place logstash_source_place(const struct logstash_source *s, size_t offset);

#endif
