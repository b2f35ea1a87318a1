#include "agent/config/config_parsers.h"

const char *const config_parsers_names[] = {"auto",  "json",  "text",      "logfmt", "nginx",
                                            "mysql", "regex", "multiline", NULL};
const char *const config_parsers_languages[] = {"auto", "java", "python", "go", "dotnet", NULL};

enum { KEY_CONTAINER, KEY_IMAGE, KEY_LABEL, KEY_PARSER };

static const struct setting keys[] = {
    SETTING("container", SET_STRING, SETTING_AT(struct parser_rule, container), NULL,
            "container name, with *", .check = config_value_check_nonempty),
    SETTING("image", SET_STRING, SETTING_AT(struct parser_rule, image), NULL, "image, with *",
            .check = config_value_check_nonempty),
    SETTING("label", SET_STRING, SETTING_AT(struct parser_rule, label), NULL,
            "name=value, with * in the value", .check = config_value_check_label),
    PARSER_KEYS(struct parser_rule, parser),
};

static bool given(const struct setting_item *item, size_t key)
{
    return item->given >> key & 1;
}

int config_parsers_check(const struct setting_item *item, size_t first,
                         const struct parser_settings *s, size_t *key, struct error *why)
{
    enum { PARSER, PATTERN, TYPES, LANGUAGE, START, TIME_KEY, TIME_FORMATS, TIME_ZONE };
    static const unsigned of_regex[] = {PATTERN, TYPES, TIME_KEY, TIME_FORMATS, TIME_ZONE};
    bool multiline = s->kind == PARSER_MULTILINE, regex = s->kind == PARSER_REGEX;

    if (regex && !given(item, first + PATTERN)) {
        *key = first + PARSER;
        return error_set(why,
                         "pattern is missing; write one like '^(?<level>\\w+) (?<message>.*)$'");
    }
    for (size_t i = 0; i < ARRAY_LEN(of_regex) && !regex; i++)
        if (given(item, first + of_regex[i])) {
            *key = first + of_regex[i];
            return error_set(why, "only parser: regex has it; remove it");
        }
    if (!multiline && s->language) {
        *key = first + LANGUAGE;
        return error_set(why, "only parser: multiline has it; remove it");
    }
    if (!multiline && !regex && given(item, first + START)) {
        *key = first + START;
        return error_set(why, "only parser: multiline and regex have it; remove it");
    }
    if (given(item, first + TIME_ZONE) && !given(item, first + TIME_FORMATS)) {
        *key = first + TIME_ZONE;
        return error_set(why, "without time_formats a time has a zone of its own; add them");
    }
    if (s->language && given(item, first + START)) {
        *key = first + START;
        return error_set(why, "language says where records begin; remove one of them");
    }
    return 0;
}

static int check_rule(const struct setting_item *item, size_t *key, struct error *why)
{
    *key = SIZE_MAX;
    if (!given(item, KEY_PARSER))
        return error_set(why, "parser is missing; write {container: \"shop-*\", parser: json}");
    if (!given(item, KEY_CONTAINER) && !given(item, KEY_IMAGE) && !given(item, KEY_LABEL))
        return error_set(why, "it says for nothing; name a container, an image or a label "
                              "(container: \"*\" is all)");
    return config_parsers_check(item, KEY_PARSER, &((const struct parser_rule *)item->p)->parser,
                                key, why);
}

const struct setting_items config_parsers_items = {
    .size = sizeof(struct parser_rule),
    .keys = keys,
    .n_keys = ARRAY_LEN(keys),
    .check = check_rule,
};
