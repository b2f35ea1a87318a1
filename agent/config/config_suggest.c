#include "agent/config/config_suggest.h"

#include "agent/config/config_table.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define NAME_BYTES 200

static char folded(char c)
{
    return c == '-' ? '_' : (char)tolower((unsigned char)c);
}

/* Levenshtein's distance, blind to case and to - for _. Long words are no misspellings of ours. */
static size_t distance(const char *a, const char *b)
{
    size_t row[64], n = strlen(b);

    if (n >= ARRAY_LEN(row) || strlen(a) >= ARRAY_LEN(row))
        return SIZE_MAX;
    for (size_t j = 0; j <= n; j++)
        row[j] = j;
    for (size_t i = 0; a[i]; i++) {
        size_t diagonal = row[0];

        row[0] = i + 1;
        for (size_t j = 0; j < n; j++) {
            size_t replace = diagonal + (folded(a[i]) != folded(b[j]));

            diagonal = row[j + 1];
            row[j + 1] = MIN(replace, MIN(row[j], diagonal) + 1);
        }
    }
    return row[n];
}

/* The part of the i-th setting's path that stands directly below prefix ("" or "buffer."), into
 * name. */
static bool child_name(size_t i, const char *prefix, char name[NAME_BYTES])
{
    const char *path = config_table[i].path;
    size_t n = strlen(prefix);

    if (strncmp(path, prefix, n) != 0 || !path[n])
        return false;
    snprintf(name, NAME_BYTES, "%.*s", (int)strcspn(path + n, "."), path + n);
    return true;
}

static void add_valid_names(struct strbuf *to, const char *prefix)
{
    char name[NAME_BYTES], last[NAME_BYTES] = "";

    for (size_t i = 0; i < config_table_size; i++) {
        if (!child_name(i, prefix, name) || strcmp(name, last) == 0)
            continue;
        strbuf_printf(to, "%s%s", *last ? ", " : "", name);
        memcpy(last, name, sizeof last);
    }
}

/* Where in the table a key of this name would be right: its path, "" when nowhere. */
static const char *elsewhere(const char *key)
{
    size_t best_distance = strlen(key) > 4 ? 2 : 1;
    const char *best = "";

    for (size_t i = 0; i < config_table_size; i++) {
        const char *path = config_table[i].path, *dot = strrchr(path, '.');
        size_t d = distance(key, dot ? dot + 1 : path);

        if (d < best_distance) {
            best_distance = d;
            best = path;
        }
    }
    return best;
}

/* The name that is nearest to a key, of those that were looked at. */
struct nearest {
    const char *key;
    char name[NAME_BYTES];
    size_t distance;
};

static void look_at(struct nearest *best, const char *name)
{
    size_t d = distance(best->key, name);

    if (d >= best->distance)
        return;
    best->distance = d;
    snprintf(best->name, sizeof best->name, "%s", name);
}

/* Whether it may be what was meant. */
static bool is_near(const struct nearest *best)
{
    size_t n = strlen(best->key);

    return best->distance <= MAX((size_t)2, n / 3) && best->distance < n;
}

void config_suggest_setting(struct strbuf *hint, const char *key, const char *prefix)
{
    struct nearest best = {.key = key, .distance = SIZE_MAX};
    const char *other = elsewhere(key);
    char name[NAME_BYTES];

    for (size_t i = 0; i < config_table_size; i++)
        if (child_name(i, prefix, name))
            look_at(&best, name);
    snprintf(name, sizeof name, "%s%s", prefix, key);
    if (strchr(key, '.') && config_table_find(name))
        strbuf_printf(hint, "%s is written as keys within keys", name);
    else if (is_near(&best))
        strbuf_printf(hint, "did you mean %s?", best.name);
    else if (*other)
        strbuf_printf(hint, "it belongs elsewhere: %s", other);
    else {
        strbuf_add_str(hint, "there are ");
        add_valid_names(hint, prefix);
    }
}

void config_suggest_key(struct strbuf *hint, const char *key, const struct setting_items *items)
{
    struct nearest best = {.key = key, .distance = SIZE_MAX};

    for (size_t i = 0; i < items->n_keys; i++)
        look_at(&best, items->keys[i].path);
    if (is_near(&best)) {
        strbuf_printf(hint, "did you mean %s?", best.name);
        return;
    }
    for (size_t i = 0; i < items->n_keys; i++)
        strbuf_printf(hint, "%s%s", i ? ", " : "there are ", items->keys[i].path);
}
