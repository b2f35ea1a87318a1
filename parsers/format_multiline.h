/*
 * format_multiline: `parser: multiline`: which lines belong together (multiline.h; of `parser:
 * regex` with a start, too),
 * and what the document of a joined record has: the message, and its trace as error.*.
 */
#ifndef BARGE_FORMAT_MULTILINE_H
#define BARGE_FORMAT_MULTILINE_H

#include "parsers/format.h"
#include "parsers/multiline.h"

struct format_multiline;

/* NULL with *e, a text that begins with the key to blame. */
struct format_multiline *format_multiline_create(const struct parser_settings *s, struct error *e);
void format_multiline_free(struct format_multiline *m);

/* Borrowed. With a pattern it is of one thread. */
const struct multiline_rule *format_multiline_rule(const struct format_multiline *m);

bool format_multiline_read(const struct format *f, struct bytes text, struct format_work *w,
                           struct format_result *out);

#endif
