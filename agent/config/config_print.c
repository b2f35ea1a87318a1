/* `barge config`: the settings in the order of the table, each with its sentence. What it prints is
 * a configuration with the same meaning, but for the masked passwords. */
#include "agent/config/config.h"

#include "agent/base/strbuf.h"
#include "agent/config/config_table.h"
#include "agent/config/config_value.h"

#include <stdio.h>

#define COMMENT_COLUMN 44

static void add_url(struct strbuf *to, const char *url)
{
    struct strbuf masked = {0};

    config_value_add_masked(&masked, url);
    config_value_add_word(to, masked.n ? masked.p : "");
    strbuf_fini(&masked);
}

static void add_list(struct strbuf *to, const struct setting *s, char *const *list)
{
    strbuf_add_char(to, '[');
    for (size_t i = 0; list[i]; i++) {
        strbuf_add_str(to, i ? ", " : "");
        if (s->type == SET_MASKED_LIST)
            add_url(to, list[i]);
        else
            config_value_add_word(to, list[i]);
    }
    strbuf_add_char(to, ']');
}

static void add_map(struct strbuf *to, const struct setting *s, const struct field_pair *pairs)
{
    strbuf_add_char(to, '{');
    for (size_t i = 0; pairs[i].name; i++) {
        strbuf_add_str(to, i ? ", " : "");
        if (strchr(pairs[i].name, ':'))
            config_value_add_quoted(to, pairs[i].name);
        else
            config_value_add_word(to, pairs[i].name);
        strbuf_add_str(to, ": ");
        if (s->type == SET_JSON_MAP)
            config_value_add_json(to, pairs[i].value);
        else
            config_value_add_word(to, pairs[i].value);
    }
    strbuf_add_char(to, '}');
}

static void add_items(struct strbuf *to, const struct setting *s, void *const *list);

/* A setting of the struct base. */
static void add_value(struct strbuf *to, const void *base, const struct setting *s)
{
    const void *at = (const char *)base + s->at;
    const struct config *c = base; /* of the types that only the table has */

    switch (s->type) {
    case SET_STRING:
    case SET_FILE:
    case SET_START:
        config_value_add_word(to, *(char *const *)at);
        break;
    case SET_MASKED:
        add_url(to, *(char *const *)at);
        break;
    case SET_SIZE:
        config_value_add_size(to, *(const uint64_t *)at);
        break;
    case SET_DURATION:
        config_value_add_duration(to, *(const uint64_t *)at);
        break;
    case SET_COUNT:
        strbuf_printf(to, "%llu", (unsigned long long)*(const uint64_t *)at);
        break;
    case SET_SHARE:
        config_value_add_share(to, *(const double *)at);
        break;
    case SET_BOOL:
        strbuf_add_str(to, *(const bool *)at ? "true" : "false");
        break;
    case SET_CHOICE:
        strbuf_add_str(
            to, s->choices[s->width == sizeof(bool) ? *(const bool *)at : *(const unsigned *)at]);
        break;
    case SET_LIST:
    case SET_MASKED_LIST:
        add_list(to, s, *(char **const *)at);
        break;
    case SET_JSON_MAP:
    case SET_TEXT_MAP:
        add_map(to, s, *(struct field_pair *const *)at);
        break;
    case SET_SYNC:
        if (c->buffer.sync_off)
            strbuf_add_str(to, "off");
        else
            config_value_add_duration(to, c->buffer.sync_ms);
        break;
    case SET_MIN_FREE:
        if (c->buffer.min_free_share > 0)
            config_value_add_share(to, c->buffer.min_free_share);
        else
            config_value_add_size(to, c->buffer.min_free_bytes);
        break;
    case SET_SWITCH:
        strbuf_add_str(to, "off");
        break;
    case SET_ITEMS:
        add_items(to, s, *(void **const *)at);
        break;
    case SET_ANY:
        break;
    }
}

/* Whether an item is as if it had not been asked for. */
static bool says_nothing(const void *item, const struct setting *s)
{
    const void *at = (const char *)item + s->at;

    switch (s->type) {
    case SET_STRING:
    case SET_FILE:
    case SET_MASKED:
        return !**(char *const *)at;
    case SET_LIST:
    case SET_MASKED_LIST:
        return !**(char **const *)at;
    case SET_JSON_MAP:
    case SET_TEXT_MAP:
        return !(*(struct field_pair *const *)at)->name;
    default:
        return false;
    }
}

static void add_item(struct strbuf *to, const struct setting_items *items, const void *item)
{
    const char *between = "";

    strbuf_add_char(to, '{');
    for (size_t i = 0; i < items->n_keys; i++) {
        const struct setting *s = &items->keys[i];

        if (says_nothing(item, s))
            continue;
        strbuf_printf(to, "%s%s: ", between, s->path);
        add_value(to, item, s);
        between = ", ";
    }
    strbuf_add_char(to, '}');
}

static void add_items(struct strbuf *to, const struct setting *s, void *const *list)
{
    strbuf_add_char(to, '[');
    for (size_t i = 0; list[i]; i++) {
        strbuf_add_str(to, i ? ", " : "");
        add_item(to, s->items, list[i]);
    }
    strbuf_add_char(to, ']');
}

/* The items of a list that has some, one a line below its key. */
static void add_item_lines(struct strbuf *to, const struct config *c, const struct setting *s,
                           unsigned depth)
{
    void *const *list;

    if (s->type != SET_ITEMS)
        return;
    list = *(void **const *)((const char *)c + s->at);
    for (; *list; list++) {
        strbuf_printf(to, "%*s- ", (int)((depth + 1) * 2), "");
        add_item(to, s->items, *list);
        strbuf_add_char(to, '\n');
    }
}

static bool has_items(const struct config *c, const struct setting *s)
{
    return s->type == SET_ITEMS && **(void **const *)((const char *)c + s->at);
}

static bool is_on(const struct config *c, const struct setting *input)
{
    return *(const bool *)((const char *)c + input->at);
}

/* Whether it is a setting of an input that is off. */
static bool is_switched_off(const struct config *c, const struct setting *s)
{
    for (size_t i = 0; i < config_table_size; i++) {
        const struct setting *input = &config_table[i];
        size_t n = strlen(input->path);

        if (input->type == SET_SWITCH && input->at != SETTING_NOWHERE &&
            strncmp(s->path, input->path, n) == 0 && s->path[n] == '.')
            return !is_on(c, input);
    }
    return false;
}

/* Whether this setting says something in c: not the other output's, not those of an input that is
 * off, not the switch of one that is on. */
static bool is_shown(const struct config *c, const struct setting *s)
{
    static const char file[] = "output.file.", es[] = "output.elasticsearch.", trace[] = "trace.";

    if (s->at == SETTING_NOWHERE)
        return false;
    if (s->type == SET_SWITCH)
        return !is_on(c, s);
    if (is_switched_off(c, s))
        return false;
    if (strncmp(s->path, file, strlen(file)) == 0)
        return c->output_kind == OUTPUT_FILE;
    if (strncmp(s->path, es, strlen(es)) == 0 || strncmp(s->path, trace, strlen(trace)) == 0)
        return c->output_kind == OUTPUT_ELASTICSEARCH;
    return true;
}

/* Opens the sections that path lies in and the one before did not. Returns how deep it lies. */
static unsigned open_sections(struct strbuf *to, const char *path, const char *before)
{
    const char *dot;
    unsigned depth = 0;
    bool same = true;
    size_t from = 0;

    while ((dot = strchr(path + from, '.')) != NULL) {
        size_t end = (size_t)(dot - path);

        same = same && strncmp(path, before, end + 1) == 0;
        if (!same)
            strbuf_printf(to, "%s%*s%.*s:\n", depth == 0 ? "\n" : "", (int)(depth * 2), "",
                          (int)(end - from), path + from);
        depth++;
        from = end + 1;
    }
    return depth;
}

void config_print(const struct config *c, struct strbuf *to)
{
    const char *before = "";

    for (size_t i = 0; i < config_table_size; i++) {
        const struct setting *s = &config_table[i];
        const char *dot = strrchr(s->path, '.');
        size_t line;
        unsigned depth;

        if (!is_shown(c, s))
            continue;
        depth = open_sections(to, s->path, before);
        line = to->n;
        strbuf_printf(to, "%*s%s: ", (int)(depth * 2), "", dot ? dot + 1 : s->path);
        if (!has_items(c, s))
            add_value(to, c, s);
        strbuf_printf(to, "%*s # %s\n",
                      to->n - line < COMMENT_COLUMN ? (int)(COMMENT_COLUMN - (to->n - line)) : 1,
                      "", s->help);
        add_item_lines(to, c, s, depth);
        before = s->path;
    }
}

/* A value with its passwords; never to be shown. */
static void add_whole(struct strbuf *to, const struct config *c, const struct setting *s)
{
    const void *at = (const char *)c + s->at;

    if (s->type == SET_MASKED)
        strbuf_add_str(to, *(char *const *)at);
    else if (s->type == SET_MASKED_LIST)
        for (char *const *p = *(char **const *)at; *p; p++)
            strbuf_add(to, *p, strlen(*p) + 1);
    else
        add_value(to, c, s);
}

void config_differences(const struct config *a, const struct config *b, struct strbuf *to)
{
    struct strbuf one = {0}, other = {0};

    for (size_t i = 0; i < config_table_size; i++) {
        const struct setting *s = &config_table[i];
        bool differ = is_shown(a, s) != is_shown(b, s);

        if (is_shown(a, s) && is_shown(b, s)) {
            strbuf_clear(&one);
            strbuf_clear(&other);
            add_whole(&one, a, s);
            add_whole(&other, b, s);
            differ = !bytes_equal(strbuf_bytes(&one), strbuf_bytes(&other));
        }
        if (differ)
            strbuf_printf(to, "%s%s", to->n ? ", " : "", s->path);
    }
    strbuf_fini(&one);
    strbuf_fini(&other);
}
