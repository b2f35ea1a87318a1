/*
 * config_table: every setting once, with its type, default as text and one sentence. Parsing,
 * defaults, cross-checks, `barge config` and the suggestions are all made from it.
 */
#ifndef BARGE_CONFIG_TABLE_H
#define BARGE_CONFIG_TABLE_H

#include "agent/config/config.h"

#include <limits.h>

enum setting_type {
    SET_STRING,      /* char * */
    SET_FILE,        /* char *: a file that the agent must be able to read */
    SET_MASKED,      /* char *: a URL in which there may be a password */
    SET_SIZE,        /* uint64_t bytes */
    SET_DURATION,    /* uint64_t ms */
    SET_COUNT,       /* uint64_t */
    SET_SHARE,       /* double 0..1 */
    SET_BOOL,        /* bool */
    SET_CHOICE,      /* an enum, or a bool when there are two: the index into choices */
    SET_LIST,        /* char ** */
    SET_MASKED_LIST, /* char **: URLs */
    SET_JSON_MAP,    /* struct field_pair *: values as JSON */
    SET_TEXT_MAP,    /* struct field_pair *: values as text */
    SET_START,       /* char *, and behind it uint64_t ms: 0 beginning, UINT64_MAX end */
    SET_SYNC,        /* buffer.sync_ms and sync_off */
    SET_MIN_FREE,    /* buffer.min_free_bytes and min_free_share */
    SET_SWITCH,      /* a section that may also be `off` */
    SET_ITEMS,       /* a list of maps; T **, owned structs T as `items` describes them */
    SET_ANY          /* taken without looking, kept nowhere */
};

#define SETTING_NOWHERE SIZE_MAX

/* One map of a list, for its check: p is the struct that was read, bit i of given says that the
 * file has keys[i]. */
struct setting_item {
    const void *p;
    uint64_t given;
};

/* What the maps of a list hold. */
struct setting_items {
    size_t size;                /* of the struct */
    const struct setting *keys; /* path is a name without dots, at counts in the struct; text NULL:
                                   no default, and "" where the file is silent */
    size_t n_keys;              /* at most 64 */
    /* What one key cannot know alone. -1 with *why, and *key as the index of the key to blame, or
     * SIZE_MAX for the map as a whole. May be NULL. Called when each key alone is right. */
    int (*check)(const struct setting_item *item, size_t *key, struct error *why);
};

struct setting {
    const char *path; /* dotted */
    enum setting_type type;
    size_t at, width;                  /* offset in struct config and size of the member */
    const char *text;                  /* the default; of a list: its only element, "" for none */
    const char *help;                  /* one sentence, without a full stop */
    uint64_t min, max;                 /* of sizes, durations and counts; max 0: no limit */
    const char *const *choices;        /* of SET_CHOICE, ended by NULL */
    const struct setting_items *items; /* of SET_ITEMS */
    int (*check)(const char *text, struct error *why);     /* of text and of each element */
    int (*check_key)(const char *text, struct error *why); /* of each key of a map */
};

/* Rows of tables. */
#define SETTING_AT(type, member) .at = offsetof(type, member), .width = sizeof(((type *)0)->member)
#define SETTING(name, kind, where, default_text, sentence, ...)                                    \
    {                                                                                              \
        .path = name, .type = kind, where, .text = default_text, .help = sentence, __VA_ARGS__     \
    }

extern const struct setting config_table[];
extern const size_t config_table_size;

/* The setting of this path, NULL when there is none. */
const struct setting *config_table_find(const char *path);

/* Whether some setting lies below this path. */
bool config_table_is_section(const char *path);

#endif
