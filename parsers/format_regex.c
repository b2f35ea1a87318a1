#include "parsers/format_regex.h"

#include "parsers/format_put.h"
#include "parsers/pattern.h"
#include "parsers/timestamp.h"

#include <stdlib.h>

enum type { TYPE_STRING, TYPE_LONG, TYPE_DOUBLE, TYPE_BOOLEAN };

struct group {
    char *name; /* with dots */
    unsigned number;
    enum type type;
    bool is_time;
};

struct format_regex {
    struct pattern *pattern;
    struct group *groups;
    size_t n;
    bool has_message;
};

/* a__b is a.b, as a group's name can have no dots. */
static char *dotted(const char *name)
{
    char *copy = base_strdup(name), *to = copy;

    for (const char *p = name; *p; p++) {
        bool inside = p > name && p[0] == '_' && p[1] == '_' && p[2] && p[2] != '_';

        *to++ = inside ? '.' : *p;
        p += inside;
    }
    *to = '\0';
    return copy;
}

static enum type type_called(const char *name)
{
    static const char *const names[] = {"string", "long", "double", "boolean"};

    for (unsigned i = 0; i < ARRAY_LEN(names); i++)
        if (strcmp(name, names[i]) == 0)
            return (enum type)i;
    return TYPE_STRING; /* the configuration was checked */
}

static void read_groups(struct format_regex *r, const struct parser_settings *s)
{
    size_t n;
    const struct pattern_name *names = pattern_names(r->pattern, &n);

    r->groups = base_calloc(n, sizeof *r->groups);
    for (r->n = 0; r->n < n; r->n++) {
        struct group *g = &r->groups[r->n];
        const char *name = names[r->n].name;

        g->name = dotted(name);
        g->number = names[r->n].group;
        g->is_time = strcmp(name, "time") == 0 || strcmp(name, "timestamp") == 0;
        r->has_message |= strcmp(name, "message") == 0 || strcmp(name, "msg") == 0;
        for (const struct field_pair *t = s->types; t && t->name; t++)
            if (strcmp(t->name, name) == 0)
                g->type = type_called(t->value);
    }
}

static int check_types(const struct format_regex *r, const struct parser_settings *s,
                       struct error *e)
{
    size_t n;
    const struct pattern_name *names = pattern_names(r->pattern, &n);

    if (n == 0)
        return error_set(e, "pattern: it names no group; write (?<name>…)");
    for (const struct field_pair *t = s->types; t && t->name; t++) {
        size_t i = 0;

        while (i < n && strcmp(names[i].name, t->name) != 0)
            i++;
        if (i == n)
            return error_set(e, "types: the pattern has no group %.60s", t->name);
    }
    return 0;
}

struct format_regex *format_regex_create(const struct parser_settings *s, struct error *e)
{
    struct format_regex *r = base_calloc(1, sizeof *r);
    struct error why;

    r->pattern = pattern_create(s->pattern, &why);
    if (!r->pattern) {
        error_set(e, "pattern: %s", why.text);
    } else if (check_types(r, s, e) == 0) {
        read_groups(r, s);
        return r;
    }
    format_regex_free(r);
    return NULL;
}

void format_regex_free(struct format_regex *r)
{
    if (!r)
        return;
    for (size_t i = 0; i < r->n; i++)
        free(r->groups[i].name);
    free(r->groups);
    pattern_free(r->pattern);
    free(r);
}

/* The JSON of a boolean, none when s is no such word. */
static struct bytes boolean(struct bytes s)
{
    static const char *const words[] = {"true", "yes", "on", "1", "false", "no", "off", "0"};

    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (s.n == strlen(words[i]) && strncasecmp(s.p, words[i], s.n) == 0)
            return i < 4 ? BYTES_LITERAL("true") : BYTES_LITERAL("false");
    return BYTES_NONE;
}

static void put(const struct group *g, struct bytes value, struct format_work *w)
{
    struct bytes name = bytes_str(g->name), truth;
    bool minus = value.n > 1 && value.p[0] == '-';

    if (g->type == TYPE_LONG && format_is_digits(value))
        format_put_digits(w, g->name, value);
    else if ((g->type == TYPE_DOUBLE && format_is_decimal(value)) ||
             (g->type == TYPE_LONG && minus && format_is_decimal(value) &&
              !memchr(value.p, '.', value.n)))
        format_put_json(w, name, value);
    else if (g->type == TYPE_BOOLEAN && (truth = boolean(value)).n)
        format_put_json(w, name, truth);
    else
        format_put_named(w, name, value);
}

bool format_regex_read(const struct format *f, struct bytes text, struct format_work *w,
                       struct format_result *out)
{
    const struct format_regex *r = f->regex;

    if (pattern_search(r->pattern, text, w->pattern) != PATTERN_FOUND)
        return false;
    if (!r->has_message)
        format_put_string(w, "message", text);
    for (size_t i = 0; i < r->n; i++) {
        const struct group *g = &r->groups[i];
        struct bytes value = pattern_group(w->pattern, g->number);

        if (!value.p || (g->type != TYPE_STRING && (value.n == 0 || bytes_is(value, "-"))))
            continue;
        put(g, value, w);
        if (g->is_time && !out->has_time)
            out->has_time = timestamp_parse(value, &out->time_ns);
    }
    return true;
}
