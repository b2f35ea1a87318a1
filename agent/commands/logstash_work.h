/*
 * logstash_work: what the files of logstash_import share: the work in progress, how something is
 * left out, values as text. For logstash_import, logstash_inputs, logstash_filters and what it is
 * made of, logstash_fields and logstash_outputs alone.
 */
#ifndef BARGE_LOGSTASH_WORK_H
#define BARGE_LOGSTASH_WORK_H

#include "agent/commands/logstash_plan.h"
#include "agent/commands/logstash_source.h"
#include "agent/commands/logstash_when.h"

#define WORK_TLS_FILES 3 /* of certificate authorities, own certificate, its key */
#define WORK_INPUTS 64   /* that are taken over; further ones are left out */

struct work_input {
    struct when_input when;
    bool gelf;
    bool json;   /* its codec reads messages as JSON */
    size_t file; /* which of the plan's, unless it is gelf */
    const struct logstash_value *plugin;
};

/* Something that is said, in the order of the source. */
struct work_message {
    size_t at;
    char *text;
};

struct work {
    const struct logstash_source *source;
    struct plan plan;
    struct work_input inputs[WORK_INPUTS];
    size_t n_inputs;
    bool typed; /* some input has a type */
    bool json;  /* a json filter reads messages */
    bool nginx; /* grok's names for an access log are barge's for one */
    struct work_message *messages;
    size_t n_messages;
    struct logstash_span *secrets; /* in the order of the source */
    size_t n_secrets;
    const struct logstash_value *tls_files[WORK_TLS_FILES]; /* options, or NULL */
    const struct logstash_value *output; /* the one that is taken over, or NULL */
    unsigned output_rank;
    size_t asked, asked_bytes; /* by work_check */
    bool full;                 /* there is no room for comments any more */
};

/* Leaves what stands at `at` out of place: says so, and why, in a message and in a comment with the
 * source's own words. */
void work_leave_out(struct work *w, enum plan_place place, struct logstash_span at, const char *fmt,
                    ...) PRINTF_LIKE(4, 5);
/* Says in a comment what needs nothing, or is not quite the same. */
void work_remark(struct work *w, enum plan_place place, struct logstash_span at, const char *fmt,
                 ...) PRINTF_LIKE(4, 5);

/* From the name of an option to the end of its value. */
struct logstash_span work_option_span(const struct logstash_value *v);

/* The text of a string, number or word, its ${NAME:default} as barge writes it. NULL with *e when v
 * is no such value or cannot be written so. Owned. */
char *work_text(const struct logstash_value *v, struct error *e);
/* v as true or false; -1 when it is neither. */
int work_bool(const struct logstash_value *v);
/* Whether v is the text s. */
bool work_is(const struct logstash_value *v, const char *s);
/* Whether the option called name is there, and true. */
bool work_on(const struct logstash_value *plugin, const char *name, bool otherwise);
/* [a][b] or a as a dotted name. NULL with *e. Owned. */
char *work_field(const struct logstash_value *v, struct error *e);

/* Calls fn with each entry of a hash (its name may then be taken from v->name), or of an array that
 * stands for one. -1 when v is neither. */
int work_entries(const struct logstash_value *v,
                 void (*fn)(void *arg, const struct logstash_value *name,
                            const struct logstash_value *value),
                 void *arg);

/* Whether barge takes this piece of configuration, as far as that can be told without the
 * environment. -1 with *e, also when too much was asked for already. */
int work_check(struct work *w, const struct strbuf *yaml, struct error *e);

/* Whether v, an option, has one of these names, which are ended by NULL or none at all. */
bool work_is_named(const struct logstash_value *v, const char *const *names);
/* Leaves out each option of a plugin that is there again further on, but for those of the list
 * several (ended by NULL, or NULL), each of which is looked at. Logstash puts such values together,
 * here the last counts. */
void work_repeated(struct work *w, enum plan_place place, const struct logstash_value *plugin,
                   const char *const *several);

/* An option that needs no word: barge does it by itself, or it is about Logstash alone. */
bool work_needs_nothing(const struct logstash_value *option);

/* ---- the parts ---- */

void logstash_inputs(struct work *w, const struct logstash_item *first);
/* When all inputs are known: what they say of each record. */
void logstash_inputs_end(struct work *w);
/* Looks whether this output is to be the one that barge has: Elasticsearch before files, and what
 * is for all records before what is for some. states as for logstash_output. */
void logstash_output_choose(struct work *w, const struct logstash_value *plugin,
                            const struct when *states);
/* An output and, for each input (for none, if there are none), when it holds; when all were seen by
 * logstash_output_choose. */
void logstash_output(struct work *w, const struct logstash_value *plugin,
                     const struct when *states);
/* A filter and, for each input, when it holds. Returns whether it made a rule of `parsers`. rest:
 * only such a rule may be made, for what no rule before it took. */
bool logstash_filter(struct work *w, const struct logstash_value *plugin, const struct when *states,
                     bool rest);

/* The members of a record. Each leaves itself out where barge cannot do it; at and what say of what
 * it is a part. */
void logstash_rename(struct work *w, const struct logstash_value *from,
                     const struct logstash_value *to, struct logstash_span at);
void logstash_convert(struct work *w, const struct logstash_value *field, const char *type,
                      struct logstash_span at);
void logstash_remove(struct work *w, const struct logstash_value *field, struct logstash_span at);
/* value: a text, or a list of texts. instead: whatever was there before. */
void logstash_add(struct work *w, const struct logstash_value *field,
                  const struct logstash_value *value, bool instead, struct logstash_span at);
void logstash_tag(struct work *w, const struct logstash_value *tags, struct logstash_span at);

#endif
