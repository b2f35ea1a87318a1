/*
 * multiline: which lines of a stream belong together. A stack trace is many lines to Docker and one
 * event to whoever reads it. Pure functions of the lines and their times: `_id`s hang on what they
 * say. Any thread.
 *
 * The built-in rules, for Java, Python, Go and .NET (and Node, whose frames look like Java's), as
 * `auto` all of them:
 *
 *   an indented line continues the line before it, a blank one a trace;
 *   so do "at x.y(z)", "Caused by: …", "Suppressed: …", "... 3 more", "--- End of …";
 *   what opens a trace ("a.b.SomeException: …", "Traceback (most recent call last):",
 *   "goroutine 1 [running]:") continues a line without a trace that was written together with it
 *   (MULTILINE_TOGETHER_NS): a logger's message and its trace are one event. Otherwise it begins
 * one; within a Python traceback, the first line that is not indented is the exception and its
 * last, but for the sentences by which Python chains another one; within a Go panic, blank lines,
 * functions, goroutines and what the runtime says besides; everything else begins a record.
 *
 * With a pattern of the operator's own (start) the lines that it matches begin a record, and all
 * others continue. A slow log of MySQL or MariaDB (mysql) begins an entry with "# Time:" or, behind
 * a statement, "# User@Host:"; the three lines that the server writes when it opens the file are
 * an entry, and so is each line of an error log, and the report of a crash.
 *
 * Whatever the rule, a line more than MULTILINE_GAP_NS younger than the one before it in its stream
 * begins a record. So a clock that ends a record after that much silence nearly always does what
 * the bytes say anyhow.
 */
#ifndef BARGE_MULTILINE_H
#define BARGE_MULTILINE_H

#include "agent/base/base.h"

#define MULTILINE_GAP_NS 1000000000
#define MULTILINE_TOGETHER_NS 100000000
#define MULTILINE_LOOK_BYTES 1024 /* of a line, decoded: what the rules and the pattern look at */
#define MULTILINE_MAX_LINES 4096  /* the next one begins a record; the one before is truncated */
#define MULTILINE_MAX_BYTES (1u << 20) /* the same; a single line may be longer */

enum {
    MULTILINE_JAVA = 1,
    MULTILINE_PYTHON = 2,
    MULTILINE_GO = 4,
    MULTILINE_DOTNET = 8,
    MULTILINE_AUTO = 15,
    MULTILINE_MYSQL = 16 /* alone */
};

struct multiline_rule {
    unsigned languages; /* MULTILINE_*; 0 without a pattern: every line begins a record */
    /* The operator's pattern: whether line begins a record. NULL: languages say. */
    bool (*starts)(const void *pattern, struct bytes line);
    const void *pattern; /* borrowed */
};

/* What is known of the record that is pending in a stream. Zeroed: none is. */
struct multiline_state {
    bool open;
    bool trace;    /* a line of a trace was seen */
    bool go;       /* a panic's or a goroutine's */
    uint8_t place; /* in a Python traceback, or in a slow log's entry */
};

/* Whether the next line of the stream continues the record that *state is of; *state then knows it,
 * too, and is anew when the line begins one. text: the line without its line end, escaped: as the
 * inside of a JSON string that has escapes. gap_ns: how much later than the one before it was
 * written, 0 when that is not known. */
bool multiline_continues(const struct multiline_rule *rule, struct multiline_state *state,
                         struct bytes text, bool escaped, int64_t gap_ns);

/* A joined record, cut into what a document has places for: slices of the text. */
struct multiline_parts {
    struct bytes message;
    struct bytes stack; /* from the line that opens the trace to its last; none: it has no trace */
    struct bytes type;  /* of the exception; none when it is not recognised */
    struct bytes error; /* what it says; may be none though there is a type */
};

/* text: the lines as they were written, line feeds between them; not empty. The message is what
 * stands before the trace; when nothing does, the trace's first line (Python: its last, which is
 * the one that says something). A rule without languages has no traces: all is message. */
void multiline_cut(const struct multiline_rule *rule, struct bytes text,
                   struct multiline_parts *parts);

#endif
