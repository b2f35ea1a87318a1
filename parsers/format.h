/*
 * format: how the text of one message is read: a compiled parser, chosen by the operator for a
 * container (formats.h) or a file, that turns the text into one JSON object of members. From there
 * the members take the way of a JSON message: names get their meaning, collisions are settled,
 * rules apply.
 *
 * A struct format is immutable, and may be used by any thread; struct format_work belongs to one.
 * parsers/README.md tells how to add a format.
 */
#ifndef BARGE_FORMAT_H
#define BARGE_FORMAT_H

#include "agent/base/strbuf.h"
#include "agent/config/config.h"

struct format;
struct format_multiline;
struct format_regex;
struct format_work;
struct pattern_work;

/* What a message was read as. */
struct format_result {
    struct bytes object; /* JSON text of one object that has members; in the work, until its next
                            use */
    bool repaired;       /* something in it was no UTF-8 */
    bool has_time;
    int64_t time_ns; /* what the message says about when it was written */
};

/* Reads text (raw bytes, at least one, without its line end) into w->json, which is empty, by
 * format_put_*. false when it is not in that format. */
typedef bool format_read_fn(const struct format *f, struct bytes text, struct format_work *w,
                            struct format_result *out);

struct format {
    enum parser_kind kind;
    format_read_fn *read; /* NULL: PARSER_TEXT and PARSER_JSON, which the encoder knows itself */
    bool takes_json;      /* also what is a JSON object is read by it */
    struct format_regex *regex;         /* PARSER_REGEX */
    struct format_multiline *multiline; /* PARSER_MULTILINE, which reads joined records alone, and
                                           PARSER_REGEX with a start: which lines are joined */
};

/* Where formats write; its parts are for them alone. */
struct format_work {
    struct strbuf json;                 /* the object, without its closing brace */
    struct strbuf spare, text, message; /* values on the way there */
    struct pattern_work *pattern;
    bool want_time; /* set by the caller: the time is worth some work */
    bool repaired;  /* something put was no UTF-8 */
};

struct format_work *format_work_create(void);
void format_work_free(struct format_work *w);

/* Gives back what a large message took; what was read is gone. */
void format_work_trim(struct format_work *w);

/* Compiles s, of which nothing is kept. *out is NULL for PARSER_AUTO. -1 with *e, a text that
 * begins with the key to blame and a colon ("pattern: …"). Owned: format_free. */
int format_create(const struct parser_settings *s, struct format **out, struct error *e);
void format_free(struct format *f);

/* Which lines of a container belong together; NULL: each is a record. Borrowed from f; of the
 * intake thread. */
struct multiline_rule;
const struct multiline_rule *format_lines(const struct format *f);

/* The most that an object of f can have for a text of n bytes. */
size_t format_bound(const struct format *f, size_t n);

/* Reads text. false when it is not in the format (the object is then to be taken for nothing), or
 * when the object would exceed its bound. */
bool format_read(const struct format *f, struct bytes text, struct format_work *w,
                 struct format_result *out);

#endif
