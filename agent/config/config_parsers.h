/*
 * config_parsers: the keys of the list `parsers`, and what one of its rules must have. The settings
 * of the parser itself (PARSER_KEYS) may stand in other lists too.
 */
#ifndef BARGE_CONFIG_PARSERS_H
#define BARGE_CONFIG_PARSERS_H

#include "agent/config/config_table.h"

extern const struct setting_items config_parsers_items;

/* The names of enum parser_kind, in its order, ended by NULL. */
extern const char *const config_parsers_names[];

/* The rows of a table of keys for the struct parser_settings that is a member of type. */
#define PARSER_KEYS(type, member)                                                                  \
    SETTING("parser", SET_CHOICE, SETTING_AT(type, member.kind), "auto",                           \
            "how the text of a message is read", .choices = config_parsers_names)

#endif
