/*
 * config_node: YAML as a small tree in which every key and value knows its place. Aliases, anchors,
 * tags and further documents are refused; size, depth and number of nodes have ceilings, so that no
 * file takes more than a moment. ${NAME} in values is replaced here, behind the YAML parser, so
 * that no value can change the structure.
 */
#ifndef BARGE_CONFIG_NODE_H
#define BARGE_CONFIG_NODE_H

#include "agent/config/config.h"

#define CONFIG_MAX_BYTES (1u << 20)

enum config_node_kind { NODE_SCALAR, NODE_LIST, NODE_MAP };

struct config_node {
    enum config_node_kind kind;
    unsigned line, column; /* of the value */
    char *key;             /* of a map's entry, else NULL */
    unsigned key_line, key_column;
    char *text;                /* of a scalar */
    bool plain;                /* a scalar without quotes and without ${NAME} in it */
    struct config_node *child; /* of a list or map */
    struct config_node *next;  /* sibling */
};

/* Parses yaml. NULL for an empty document, and when something was wrong: then it is among problems.
 * Owned: config_node_free. */
struct config_node *config_node_parse(struct bytes yaml, struct config_problems *problems);
void config_node_free(struct config_node *n);

/* Adds a problem (at most 100 are kept, and one for each place). line 0: it belongs to no place. */
void config_problem_add(struct config_problems *problems, unsigned line, unsigned column,
                        const char *fmt, ...) PRINTF_LIKE(4, 5);

#endif
