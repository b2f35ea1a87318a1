#include "agent/config/config_redact.h"

#include <strings.h>

#define MAX_FIELD 255 /* bytes */

/* The names of enum redact_kind (the last is "all") and enum redact_action, in their order. */
static const char *const kinds[] = {"email", "ip",       "card", "national_id",
                                    "token", "password", "all",  NULL};
static const char *const actions[] = {"mask", "drop", "hash", NULL};

enum { KEY_FIELD, KEY_KIND, KEY_ACTION };

int config_redact_check_field(const char *text, struct error *why)
{
    size_t n = strlen(text);

    if (n == 0 || n > MAX_FIELD)
        return error_set(why, "a field has a name of 1 to %d bytes", MAX_FIELD);
    if (text[0] == '.' || text[n - 1] == '.' || strstr(text, ".."))
        return error_set(why, "\"%.60s\" is no dotted name: a part of it is empty", text);
    return 0;
}

/* Names that no document can be without. */
static int check_rule_field(const char *text, struct error *why)
{
    static const char *const needed[] = {"@timestamp", "event.sequence", "event", "*"};

    for (size_t i = 0; i < ARRAY_LEN(needed); i++)
        if (strcasecmp(text, needed[i]) == 0)
            return error_set(why,
                             "%s: documents need @timestamp and event.sequence, by which they "
                             "are ordered",
                             text);
    return config_redact_check_field(text, why);
}

static const struct setting keys[] = {
    SETTING("field", SET_STRING, SETTING_AT(struct redact_rule, field), NULL,
            "dotted name in the document, * for anything", .check = check_rule_field),
    SETTING("kind", SET_CHOICE, SETTING_AT(struct redact_rule, kind), "all",
            "what is looked for wherever it stands in a value", .choices = kinds),
    SETTING("action", SET_CHOICE, SETTING_AT(struct redact_rule, action), "mask",
            "mask, drop or hash", .choices = actions),
};

static bool given(const struct setting_item *item, size_t key)
{
    return item->given >> key & 1;
}

static int check_rule(const struct setting_item *item, size_t *key, struct error *why)
{
    *key = SIZE_MAX;
    if (!given(item, KEY_FIELD) && !given(item, KEY_KIND))
        return error_set(why, "it says for nothing; write {kind: email, action: mask} or "
                              "{field: user.password, action: drop}");
    *key = KEY_FIELD;
    if (given(item, KEY_FIELD) && given(item, KEY_KIND))
        return error_set(why, "a rule is for a field or for a kind; make two of it");
    return 0;
}

const struct setting_items config_redact_items = {
    .size = sizeof(struct redact_rule),
    .keys = keys,
    .n_keys = ARRAY_LEN(keys),
    .check = check_rule,
};
