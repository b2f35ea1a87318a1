#include "agent/config/config_store.h"

#include "agent/base/strbuf.h"
#include "agent/config/config_value.h"

#include <stdlib.h>
#include <string.h>

void *config_store_member(const void *base, const struct setting *s)
{
    return (char *)(uintptr_t)base + s->at;
}

void config_store_string(char **to, const char *text)
{
    char *copy = base_strdup(text);

    free(*to);
    *to = copy;
}

static int check_range(const struct setting *s, uint64_t v, void (*add)(struct strbuf *, uint64_t),
                       struct error *why)
{
    struct strbuf limit = {0};
    int rc = 0;

    if (v < s->min) {
        add(&limit, s->min);
        rc = error_set(why, "it must be at least %s", limit.p);
    } else if (s->max && v > s->max) {
        add(&limit, s->max);
        rc = error_set(why, "it must be at most %s", limit.p);
    }
    strbuf_fini(&limit);
    return rc;
}

static void add_count(struct strbuf *to, uint64_t v)
{
    strbuf_printf(to, "%llu", (unsigned long long)v);
}

/* to: a text, and the milliseconds behind it. */
static int set_start(char **to, const char *text, struct error *why)
{
    uint64_t *ms = (uint64_t *)(void *)(to + 1);

    if (strcmp(text, "beginning") == 0)
        *ms = 0;
    else if (strcmp(text, "end") == 0)
        *ms = UINT64_MAX;
    else if (config_value_duration(text, ms, why) < 0 || *ms == 0)
        return error_set(why, "\"%.60s\" is neither beginning, nor end, nor a duration like 24h",
                         text);
    config_store_string(to, text);
    return 0;
}

static int set_sync(struct buffer_settings *b, const struct setting *s, const char *text,
                    struct error *why)
{
    bool on;

    if (config_value_bool(text, &on, why) == 0 && !on) {
        b->sync_off = true;
        b->sync_ms = 0;
        return 0;
    }
    b->sync_off = false;
    if (config_value_duration(text, &b->sync_ms, why) < 0)
        return error_set(why, "\"%.60s\" is neither a duration like 200ms, nor 0, nor off", text);
    return check_range(s, b->sync_ms, config_value_add_duration, why);
}

static int set_min_free(struct buffer_settings *b, const char *text, struct error *why)
{
    b->min_free_bytes = 0;
    b->min_free_share = 0;
    if (config_value_share(text, &b->min_free_share, why) == 0)
        return 0;
    if (config_value_size(text, &b->min_free_bytes, why) < 0)
        return error_set(why, "\"%.60s\" is neither a share like 10%% nor a size like 2GiB", text);
    return 0;
}

static int set_choice(void *to, const struct setting *s, const char *text, struct error *why)
{
    struct strbuf all = {0};
    int rc = 0;

    for (unsigned i = 0; s->choices[i]; i++) {
        if (strcmp(text, s->choices[i]) != 0)
            continue;
        if (s->width == sizeof(bool))
            *(bool *)to = i;
        else
            *(unsigned *)to = i;
        return 0;
    }
    for (unsigned i = 0; s->choices[i]; i++)
        strbuf_printf(&all, "%s%s", i ? ", " : "", s->choices[i]);
    rc = error_set(why, "\"%.60s\" is none of %s", text, all.p);
    strbuf_fini(&all);
    return rc;
}

int config_store_scalar(void *base, const struct setting *s, const char *text, struct error *why)
{
    void *to = s->at == SETTING_NOWHERE ? NULL : config_store_member(base, s);
    struct config *c = base; /* of the types that only the table has */

    if (s->check && s->check(text, why) < 0)
        return -1;
    switch (s->type) {
    case SET_STRING:
    case SET_FILE:
    case SET_MASKED:
        if (to)
            config_store_string(to, text);
        return 0;
    case SET_SIZE:
        if (config_value_size(text, to, why) < 0)
            return -1;
        return check_range(s, *(uint64_t *)to, config_value_add_size, why);
    case SET_DURATION:
        if (config_value_duration(text, to, why) < 0)
            return -1;
        return check_range(s, *(uint64_t *)to, config_value_add_duration, why);
    case SET_COUNT:
        if (config_value_count(text, to, why) < 0)
            return -1;
        return check_range(s, *(uint64_t *)to, add_count, why);
    case SET_SHARE:
        return config_value_share(text, to, why);
    case SET_BOOL:
        return config_value_bool(text, to, why);
    case SET_CHOICE:
        return set_choice(to, s, text, why);
    case SET_START:
        return set_start(to, text, why);
    case SET_SYNC:
        return set_sync(&c->buffer, s, text, why);
    case SET_MIN_FREE:
        return set_min_free(&c->buffer, text, why);
    case SET_SWITCH:
        return to ? config_value_bool(text, to, why) : 0;
    case SET_LIST:
    case SET_MASKED_LIST:
    case SET_JSON_MAP:
    case SET_TEXT_MAP:
    case SET_ITEMS:
    case SET_ANY:
        break;
    }
    ASSERT(false); /* settings of these types are no scalars */
    return -1;
}

void config_store_free_list(char **list)
{
    for (size_t i = 0; list && list[i]; i++)
        free(list[i]);
    free(list);
}

void config_store_free_pairs(struct field_pair *pairs)
{
    for (size_t i = 0; pairs && pairs[i].name; i++) {
        free(pairs[i].name);
        free(pairs[i].value);
    }
    free(pairs);
}

bool config_store_is_list(const struct setting *s)
{
    return s->type == SET_LIST || s->type == SET_MASKED_LIST;
}

bool config_store_is_map(const struct setting *s)
{
    return s->type == SET_JSON_MAP || s->type == SET_TEXT_MAP;
}

static void set_default(void *base, const struct setting *s)
{
    struct error why;

    if (s->at == SETTING_NOWHERE)
        return;
    if (config_store_is_map(s)) {
        *(struct field_pair **)config_store_member(base, s) =
            base_calloc(1, sizeof(struct field_pair));
    } else if (s->type == SET_ITEMS) {
        *(void ***)config_store_member(base, s) = base_calloc(1, sizeof(void *));
    } else if (config_store_is_list(s)) {
        char **list = base_calloc(2, sizeof *list);

        if (s->text && *s->text)
            list[0] = base_strdup(s->text);
        *(char ***)config_store_member(base, s) = list;
    } else if (!s->text) {
        config_store_string(config_store_member(base, s), "");
    } else {
        int rc = config_store_scalar(base, s, s->text, &why);

        ASSERT(rc == 0);
    }
}

void config_store_defaults(void *base, const struct setting *table, size_t n)
{
    for (size_t i = 0; i < n; i++)
        set_default(base, &table[i]);
}

void config_store_free(void *base, const struct setting *table, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct setting *s = &table[i];

        if (s->at == SETTING_NOWHERE)
            continue;
        if (config_store_is_map(s))
            config_store_free_pairs(*(struct field_pair **)config_store_member(base, s));
        else if (config_store_is_list(s))
            config_store_free_list(*(char ***)config_store_member(base, s));
        else if (s->type == SET_ITEMS)
            config_store_free_items(s->items, *(void ***)config_store_member(base, s));
        else if (s->type == SET_STRING || s->type == SET_FILE || s->type == SET_MASKED ||
                 s->type == SET_START)
            free(*(char **)config_store_member(base, s));
    }
}

void config_store_free_items(const struct setting_items *items, void **list)
{
    for (size_t i = 0; list[i]; i++) {
        config_store_free(list[i], items->keys, items->n_keys);
        free(list[i]);
    }
    free(list);
}
