/*
 * logstash_plan: what barge's configuration is going to hold, and what is said about it, until it
 * is written as YAML. Any thread.
 */
#ifndef BARGE_LOGSTASH_PLAN_H
#define BARGE_LOGSTASH_PLAN_H

#include "agent/base/strbuf.h"

struct plan_texts {
    char **list;
    size_t n;
};

struct plan_pair {
    char *name, *value;
};

struct plan_pairs {
    struct plan_pair *list;
    size_t n;
};

struct plan_parser {
    char *kind; /* NULL: none */
    char *pattern;
    char *start; /* of kind multiline and regex, or NULL */
    struct plan_pairs types;
    struct plan_pairs groups;   /* of the pattern: what a field is called in it; not written */
    char *time_key, *time_zone; /* or NULL */
    struct plan_texts time_formats;
};

struct plan_file {
    struct plan_texts paths, exclude;
    char *begin; /* NULL: from the beginning */
    struct plan_parser parser;
};

struct plan_rule {
    char *container, *image; /* or NULL */
    struct plan_parser parser;
};

/* Where in the YAML something is said. */
enum plan_place { PLAN_TOP, PLAN_INPUTS, PLAN_RECORD, PLAN_OUTPUT, PLAN_PLACES };

struct plan {
    bool inputs; /* some input is known: those that are not here are turned off */
    char *udp, *tcp;
    struct plan_file *files;
    size_t n_files;
    struct plan_rule *rules;
    size_t n_rules;
    struct plan_texts tags;                 /* enrich.fields.tags */
    struct plan_pairs add, rename, convert; /* fields; the values of add are YAML */
    struct plan_texts remove;
    struct plan_texts redact; /* fields that are dropped */
    struct plan_texts hosts;
    struct plan_pairs elasticsearch, tls; /* the values are YAML */
    char *file_path;                      /* output.file.path, or NULL */
    bool no_setup;
    struct strbuf comments[PLAN_PLACES]; /* each line begins with # */
};

void plan_fini(struct plan *p);

void plan_add_text(struct plan_texts *to, const char *text);
/* The index of text, SIZE_MAX when it is not there. */
size_t plan_find_text(const struct plan_texts *in, const char *text);
void plan_add_pair(struct plan_pairs *to, const char *name, const char *value);
struct plan_pair *plan_find_pair(const struct plan_pairs *in, const char *name);
void plan_drop_pair(struct plan_pairs *from, const char *name);
/* Memory of the plan's, zeroed, good until the next call. */
struct plan_file *plan_new_file(struct plan *p);
struct plan_rule *plan_new_rule(struct plan *p);
void plan_set(char **to, const char *text);
void plan_copy_parser(struct plan_parser *to, const struct plan_parser *from);
void plan_free_parser(struct plan_parser *p);

/* text as a value of YAML, quoted where that is needed. */
void plan_yaml_text(struct strbuf *to, const char *text);

/* Adds "# " and text as one line of comment at place. Whatever it holds, it stays a comment. */
void plan_comment(struct plan *p, enum plan_place place, const char *text);

/* The whole as YAML. */
void plan_write(const struct plan *p, struct strbuf *to);

#endif
