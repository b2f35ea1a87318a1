/*
 * terminal: text for a person's screen. What comes from logs and other machines is made harmless
 * first: nothing of it may move the cursor, change colours, set a title or turn the direction of
 * writing. Widths are columns. Any thread.
 */
#ifndef BARGE_TERMINAL_H
#define BARGE_TERMINAL_H

#include "agent/base/base.h"
#include "agent/base/strbuf.h"

struct terminal {
    bool is_one;  /* false: a file or a pipe */
    bool color;   /* a terminal that knows colours, and NO_COLOR (no-color.org) is not set */
    size_t width; /* columns, 0: no limit, as for files and pipes */
    size_t height;
};

/* What descriptor fd leads to, as it is now. */
struct terminal terminal_of(int fd);

/* Adds text so that it can only be seen: control characters as ^[, those of C1 and all that Unicode
 * has for directions, joining and line ends as <U+202E>, a tab as four blanks, broken UTF-8 as
 * U+FFFD. */
void terminal_add(struct strbuf *to, struct bytes text);

/* Columns that text, from terminal_add, takes. */
size_t terminal_columns(struct bytes text);

/* Adds text, from terminal_add, in at most `columns` (0: no limit): what is longer ends with "…".
 */
void terminal_add_cut(struct strbuf *to, struct bytes text, size_t columns);

/* The next line of *text for a column of this width (at least 1), cut off from *text: broken at a
 * blank where there is one in its second half. */
struct bytes terminal_wrap(struct bytes *text, size_t columns);

#endif
