/*
 * config_parsers: the keys of the list `parsers`, and what one of its rules must have. The settings
 * of the parser itself (PARSER_KEYS) may stand in other lists too.
 */
#ifndef BARGE_CONFIG_PARSERS_H
#define BARGE_CONFIG_PARSERS_H

#include "agent/config/config_table.h"
#include "agent/config/config_value.h"

extern const struct setting_items config_parsers_items;

/* The names of enum parser_kind, in its order, ended by NULL. */
extern const char *const config_parsers_names[];
/* The languages of parser: multiline, ended by NULL. */
extern const char *const config_parsers_languages[];

/* The rows of a table of keys for the struct parser_settings that is a member of type. */
#define PARSER_KEYS(type, member)                                                                  \
    SETTING("parser", SET_CHOICE, SETTING_AT(type, member.kind), "auto",                           \
            "how the text of a message is read", .choices = config_parsers_names),                 \
        SETTING("pattern", SET_STRING, SETTING_AT(type, member.pattern), NULL,                     \
                "of parser: regex, a PCRE2 pattern whose named groups become fields",              \
                .check = config_value_check_nonempty),                                             \
        SETTING("types", SET_TEXT_MAP, SETTING_AT(type, member.types), "",                         \
                "of its groups: string, long, double or boolean",                                  \
                .check = config_value_check_convert, .check_key = config_value_check_field),       \
        SETTING("language", SET_CHOICE, SETTING_AT(type, member.language), "auto",                 \
                "of parser: multiline, whose stack traces are put together",                       \
                .choices = config_parsers_languages),                                              \
        SETTING(                                                                                   \
            "start", SET_STRING, SETTING_AT(type, member.start), NULL,                             \
            "of parser: multiline and regex, a PCRE2 pattern of the lines that begin a record",    \
            .check = config_value_check_nonempty),                                                 \
        SETTING("time_key", SET_STRING, SETTING_AT(type, member.time_key), NULL,                   \
                "of parser: regex, the group that says when (plain files): time or timestamp",     \
                .check = config_value_check_field),                                                \
        SETTING("time_formats", SET_LIST, SETTING_AT(type, member.time_formats), "",               \
                "its forms, as Logstash has them: ISO8601, UNIX, UNIX_MS, yyyy/MM/dd HH:mm:ss …",  \
                .check = config_value_check_nonempty),                                             \
        SETTING("time_zone", SET_STRING, SETTING_AT(type, member.time_zone), NULL,                 \
                "of times that name none: local, UTC or +01:00",                                   \
                .check = config_value_check_nonempty)

/* What the keys of a parser must have together: PARSER_KEYS begin at index first of the item's
 * keys. -1 with *key and *why. */
int config_parsers_check(const struct setting_item *item, size_t first,
                         const struct parser_settings *s, size_t *key, struct error *why);

#endif
