/*
 * logstash_tree: a pipeline in Logstash's language as a tree, each part of which knows the bytes of
 * the source that it is. The grammar is that of Logstash 5 to 9 (logstash-core's grammar.treetop):
 * strings as they stand (config.support_escapes is off unless somebody turns it on). Any thread.
 */
#ifndef BARGE_LOGSTASH_TREE_H
#define BARGE_LOGSTASH_TREE_H

#include "agent/base/base.h"

#define LOGSTASH_TREE_DEPTH 64 /* of blocks, values and parentheses within each other */
#define LOGSTASH_TREE_TURNS 8  /* from or to xor, or from and to nand, between two parentheses */

/* Offsets into the source. */
struct logstash_span {
    size_t begin, end;
};

enum logstash_kind {
    LOGSTASH_STRING,   /* text is what stands between the quotes */
    LOGSTASH_NUMBER,   /* text as it stands */
    LOGSTASH_BAREWORD, /* likewise */
    LOGSTASH_ARRAY,    /* first: its values */
    LOGSTASH_HASH,     /* first: its values, with their names */
    LOGSTASH_PLUGIN,   /* a codec, say: text is its name, first: its options */
    LOGSTASH_FIELD,    /* [a][b], in conditions; text as it stands */
    LOGSTASH_REGEXP,   /* /a/, in conditions; text is what stands between the slashes */
    LOGSTASH_CALL      /* name(value, …), in conditions; first: its values */
};

struct logstash_value {
    enum logstash_kind kind;
    struct logstash_span at;
    struct bytes text; /* slice of the source */
    struct bytes name; /* of an option, or of a hash's entry; else none */
    struct logstash_span name_at;
    struct logstash_value *first; /* within it */
    struct logstash_value *next;  /* beside it */
};

enum logstash_operator {
    LOGSTASH_AND, /* these: of all conditions from first on, from left to right */
    LOGSTASH_OR,
    LOGSTASH_XOR,
    LOGSTASH_NAND,
    LOGSTASH_NOT,   /* of first alone */
    LOGSTASH_EQUAL, /* these: of a and b */
    LOGSTASH_UNEQUAL,
    LOGSTASH_LESS,
    LOGSTASH_AT_MOST,
    LOGSTASH_GREATER,
    LOGSTASH_AT_LEAST,
    LOGSTASH_MATCHES,
    LOGSTASH_MATCHES_NOT,
    LOGSTASH_IN,
    LOGSTASH_NOT_IN,
    LOGSTASH_IS /* of a alone: it is there, and not false */
};

struct logstash_condition {
    enum logstash_operator op;
    struct logstash_span at;
    struct logstash_condition *first, *next;
    struct logstash_value *a, *b;
};

/* if, else if and else: the arms of a branch. */
struct logstash_arm {
    struct logstash_condition *when; /* NULL: else */
    struct logstash_span at;         /* of its head, up to the brace */
    struct logstash_item *first;
    struct logstash_arm *next;
};

/* A plugin, or a branch. */
struct logstash_item {
    struct logstash_span at;
    struct logstash_value *plugin; /* kind LOGSTASH_PLUGIN, or NULL */
    struct logstash_arm *branch;   /* or NULL */
    struct logstash_item *next;
};

enum logstash_section_kind { LOGSTASH_INPUT, LOGSTASH_FILTER, LOGSTASH_OUTPUT };

struct logstash_section {
    enum logstash_section_kind kind;
    struct logstash_span at;
    struct logstash_item *first;
    struct logstash_section *next;
};

struct logstash_tree {
    struct logstash_section *first; /* in the order of the source */
    void *memory;                   /* all of the above */
};

/* Reads text, which must outlive the tree. NULL with *e, which says what was expected, and *at, the
 * offset where something else stands. Owned: logstash_tree_free. */
struct logstash_tree *logstash_tree_parse(struct bytes text, size_t *at, struct error *e);
void logstash_tree_free(struct logstash_tree *t);

/* The option of this name, the last one if there are several; NULL when there is none. */
const struct logstash_value *logstash_tree_option(const struct logstash_value *plugin,
                                                  const char *name);

#endif
