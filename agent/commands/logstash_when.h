/*
 * logstash_when: for which records of an input a condition holds, as far as the pipeline alone
 * tells. Any thread.
 */
#ifndef BARGE_LOGSTASH_WHEN_H
#define BARGE_LOGSTASH_WHEN_H

#include "agent/commands/logstash_tree.h"

#define WHEN_SELECTORS 4 /* alternatives that are told apart */
#define WHEN_PATTERN 80  /* bytes of a name with *, its NUL included */

/* What an input says of each of its records. */
struct when_input {
    bool containers;                   /* its records have container_name and image_name */
    struct bytes type;                 /* none when it has no type */
    const struct logstash_value *tags; /* a list or a word; may be NULL */
};

enum when_result {
    WHEN_NEVER,
    WHEN_SELECTED, /* for containers that one of the selectors fits */
    WHEN_UNKNOWN,  /* only the records tell */
    WHEN_ALWAYS
};

/* Names with *, "" for any; both must fit. */
struct when_selector {
    char container[WHEN_PATTERN], image[WHEN_PATTERN];
};

struct when {
    enum when_result result;
    struct when_selector selectors[WHEN_SELECTORS];
    size_t n;
    bool object;        /* of WHEN_UNKNOWN: for messages that begin like a JSON object */
    bool parsed;        /* of WHEN_UNKNOWN: for records that the filters before could read */
    struct bytes there; /* of WHEN_UNKNOWN: for records that have this field, else none; as it
                           stands, [a][b] */
};

/* When c holds for records of input. typed: some input of the pipeline has a type, so that one
 * without is known to have none. */
struct when when_evaluate(const struct logstash_condition *c, const struct when_input *input,
                          bool typed);

/* Both of a and b; not a. */
struct when when_both(const struct when *a, const struct when *b);
struct when when_not(const struct when *a);

#endif
