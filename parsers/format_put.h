/*
 * format_put: members of the object that a format makes of a message. Names may have dots: the
 * document nests them. For formats alone.
 */
#ifndef BARGE_FORMAT_PUT_H
#define BARGE_FORMAT_PUT_H

#include "parsers/format.h"

/* A string. name: no quotes, backslashes or control characters in it (the format's own). */
void format_put_string(struct format_work *w, const char *name, struct bytes value);

/* The same under a name that comes from the text. */
void format_put_named(struct format_work *w, struct bytes name, struct bytes value);

/* A member of a JSON object as it stands: the inside of its name, and its value. */
void format_put_member(struct format_work *w, struct bytes inside, struct bytes json);

/* JSON text as it stands: a number, true, false, null. */
void format_put_json(struct format_work *w, struct bytes name, struct bytes json);

/* Decimal digits as the number that they are, without leading zeros; anything else as a string. */
void format_put_digits(struct format_work *w, const char *name, struct bytes value);

/* A decimal number of seconds as whole nanoseconds, taken from its text: digits beyond nine are
 * cut. false when it is none, or more than 292 years: nothing is put. */
bool format_put_duration(struct format_work *w, const char *name, struct bytes seconds);

/* Whether s is a decimal number that JSON has too, without an exponent: 0, -17, 0.5. */
bool format_is_decimal(struct bytes s);

/* n decimal digits, more than 0, and nothing else. */
bool format_is_digits(struct bytes s);

#endif
