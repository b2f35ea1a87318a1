/*
 * format_regex: a pattern of the operator, whose named groups become members. See format.h and
 * pattern.h.
 */
#ifndef BARGE_FORMAT_REGEX_H
#define BARGE_FORMAT_REGEX_H

#include "parsers/format.h"

struct format_regex;

/* Compiles s->pattern, s->types and what s says of times. NULL with *e, which begins with the key
 * to blame. */
struct format_regex *format_regex_create(const struct parser_settings *s, struct error *e);
void format_regex_free(struct format_regex *r);

/* A format_read_fn. `__` in a group's name is a dot. A group that took no part is left out, and so
 * is an empty one, and one with a type that is "-"; what does not fit its type is a string. Where
 * no group called message or msg has a text, the text is the message. The time is that of the group
 * s->time_key, else time or timestamp, in one of s->time_formats, else RFC 3339. */
bool format_regex_read(const struct format *f, struct bytes text, struct format_work *w,
                       struct format_result *out);

#endif
