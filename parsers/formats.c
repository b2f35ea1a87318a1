#include "parsers/formats.h"

#include "agent/base/log.h"
#include "agent/base/wildcard.h"

#include <stdio.h>
#include <stdlib.h>

#define LABEL "barge.parser"
#define UNKNOWN_MAX 64      /* labels that are remembered as told; further ones are not told */
#define UNKNOWN_NAME_MAX 64 /* bytes of such a label */

struct rule {
    char *container, *image; /* "": any */
    char *label, *value;     /* label "": any */
    struct format *format;   /* NULL: auto */
};

/* What a label can name: formats that need no settings. */
static const struct {
    const char *name;
    enum parser_kind kind;
} named[] = {
    {"auto", PARSER_AUTO},           {"json", PARSER_JSON},   {"text", PARSER_TEXT},
    {"logfmt", PARSER_LOGFMT},       {"nginx", PARSER_NGINX}, {"mysql", PARSER_MYSQL},
    {"multiline", PARSER_MULTILINE},
};

struct formats {
    struct rule *rules;
    size_t n;
    struct format *named[ARRAY_LEN(named)];
    char *unknown[UNKNOWN_MAX];
    size_t n_unknown;
};

static int compile(struct formats *f, const struct parser_rule *r, struct error *e)
{
    struct rule *rule = &f->rules[f->n];
    const char *equals = strchr(r->label, '=');
    struct error why;

    if (format_create(&r->parser, &rule->format, &why) < 0)
        return error_set(e, "parsers[%zu].%s", f->n, why.text);
    rule->container = base_strdup(r->container);
    rule->image = base_strdup(r->image);
    rule->label = base_strndup(r->label, equals ? (size_t)(equals - r->label) : 0);
    rule->value = base_strdup(equals ? equals + 1 : "");
    f->n++;
    return 0;
}

struct formats *formats_create(struct parser_rule *const *rules, struct error *e)
{
    struct formats *f = base_calloc(1, sizeof *f);
    size_t n = 0;

    while (rules[n])
        n++;
    f->rules = base_calloc(n + 1, sizeof *f->rules);
    for (size_t i = 0; i < ARRAY_LEN(named); i++) {
        struct parser_settings s = {.kind = named[i].kind};
        int rc = format_create(&s, &f->named[i], e);

        ASSERT(rc == 0); /* there is nothing in it that could be wrong */
    }
    for (size_t i = 0; i < n; i++)
        if (compile(f, rules[i], e) < 0) {
            formats_free(f);
            return NULL;
        }
    return f;
}

void formats_free(struct formats *f)
{
    if (!f)
        return;
    for (size_t i = 0; i < f->n; i++) {
        free(f->rules[i].container);
        free(f->rules[i].image);
        free(f->rules[i].label);
        free(f->rules[i].value);
        format_free(f->rules[i].format);
    }
    for (size_t i = 0; i < ARRAY_LEN(named); i++)
        format_free(f->named[i]);
    for (size_t i = 0; i < f->n_unknown; i++)
        free(f->unknown[i]);
    free(f->rules);
    free(f);
}

static void tell_unknown(struct formats *f, struct bytes name, const struct origin_facts *facts)
{
    name.n = MIN(name.n, (size_t)UNKNOWN_NAME_MAX);
    for (size_t i = 0; i < f->n_unknown; i++)
        if (bytes_is(name, f->unknown[i]))
            return;
    if (f->n_unknown == UNKNOWN_MAX)
        return;
    f->unknown[f->n_unknown++] = base_strndup(name.p, name.n);
    LOG_EACH(LOG_WARN, "a label names a parser that is not there: messages are read as they come",
             LOG_STR("label", LABEL), LOG_BYTES("value", name),
             LOG_BYTES("container", facts->container_name));
}

/* Not even * stands for a name that is not there: a GELF library's messages are no container's. */
static bool name_fits(const char *pattern, struct bytes name)
{
    return name.n && wildcard_matches(pattern, name);
}

static bool fits(const struct rule *r, const struct origin_facts *facts,
                 struct bytes (*get)(void *arg, const char *label), void *arg)
{
    struct bytes value;

    if (r->container[0] && !name_fits(r->container, facts->container_name))
        return false;
    if (r->image[0] && !name_fits(r->image, facts->image_name))
        return false;
    if (!r->label[0])
        return true;
    value = get(arg, r->label);
    return value.p && wildcard_matches(r->value, value);
}

const struct format *formats_of(struct formats *f, const struct origin_facts *facts,
                                struct bytes (*get)(void *arg, const char *label), void *arg)
{
    struct bytes label;

    if (!f)
        return NULL;
    label = get(arg, LABEL);
    if (label.n) {
        for (size_t i = 0; i < ARRAY_LEN(named); i++)
            if (bytes_is(label, named[i].name))
                return f->named[i];
        tell_unknown(f, label, facts);
    }
    for (size_t i = 0; i < f->n; i++)
        if (fits(&f->rules[i], facts, get, arg))
            return f->rules[i].format;
    return NULL;
}
