/* Reads data/document.jsonl: what a record holds, what its settings are, and the document that is
 * expected. Comparing is by yajl, number text as it stands, no key twice. */
#ifndef BARGE_TEST_DOCUMENT_CASES_H
#define BARGE_TEST_DOCUMENT_CASES_H

#include "agent/base/strbuf.h"
#include "agent/config/config_parsers.h"
#include "parsers/document.h"

#include <stdio.h>
#include <stdlib.h>
#include <yajl/yajl_tree.h>

#define CASE_MEMBERS 64

struct document_case {
    yajl_val root;
    const char *name;
    struct record record; /* text raw */
    struct enrich_settings settings;
    struct parser_settings parser; /* of "parser": a name, "pattern", "types" … */
    char *time_formats[2];         /* of "time_format" */
    struct bytes label, guess;
    yajl_val expect;
    struct strbuf extra;
    struct json_member members[CASE_MEMBERS];
    struct field_pair pairs[5][CASE_MEMBERS];
    char *names[2][CASE_MEMBERS];
    char *rendered[4 * CASE_MEMBERS];
    size_t n_rendered;
};

static yajl_val case_get(yajl_val object, const char *name)
{
    const char *path[] = {name, NULL};

    return yajl_tree_get(object, path, yajl_t_any);
}

static void case_render(yajl_val v, struct strbuf *to)
{
    switch (v->type) {
    case yajl_t_string:
        strbuf_add_json(to, bytes_str(v->u.string));
        break;
    case yajl_t_number:
        strbuf_add_str(to, v->u.number.r);
        break;
    case yajl_t_true:
        strbuf_add_str(to, "true");
        break;
    case yajl_t_false:
        strbuf_add_str(to, "false");
        break;
    case yajl_t_null:
        strbuf_add_str(to, "null");
        break;
    case yajl_t_array:
        strbuf_add_str(to, "[");
        for (size_t i = 0; i < v->u.array.len; i++) {
            if (i)
                strbuf_add_str(to, ",");
            case_render(v->u.array.values[i], to);
        }
        strbuf_add_str(to, "]");
        break;
    default:
        strbuf_add_str(to, "{");
        for (size_t i = 0; i < v->u.object.len; i++) {
            if (i)
                strbuf_add_str(to, ",");
            strbuf_add_json(to, bytes_str(v->u.object.keys[i]));
            strbuf_add_str(to, ":");
            case_render(v->u.object.values[i], to);
        }
        strbuf_add_str(to, "}");
    }
}

/* An object as pairs; json: values rendered as JSON, else the strings they are. */
static void case_pairs(struct document_case *c, const char *name, struct field_pair *to,
                       struct field_pair **setting, bool json)
{
    yajl_val v = case_get(c->root, name);

    for (size_t i = 0; v && i < v->u.object.len; i++) {
        to[i].name = (char *)v->u.object.keys[i];
        if (json) {
            struct strbuf b = {0};

            case_render(v->u.object.values[i], &b);
            to[i].value = c->rendered[c->n_rendered++] = b.p;
        } else {
            to[i].value = v->u.object.values[i]->u.string;
        }
    }
    *setting = to;
}

static void case_names(struct document_case *c, const char *name, char **to, char ***setting)
{
    yajl_val v = case_get(c->root, name);

    for (size_t i = 0; v && i < v->u.array.len; i++)
        to[i] = v->u.array.values[i]->u.string;
    *setting = to;
}

static struct bytes case_string(struct document_case *c, const char *name)
{
    yajl_val v = case_get(c->root, name);

    return v && v->type == yajl_t_string ? bytes_str(v->u.string) : BYTES_NONE;
}

static long long case_number(struct document_case *c, const char *name, long long otherwise)
{
    yajl_val v = case_get(c->root, name);

    return v ? v->u.number.i : otherwise;
}

static void document_case_free(struct document_case *c)
{
    for (size_t i = 0; i < c->n_rendered; i++)
        free(c->rendered[i]);
    strbuf_fini(&c->extra);
    yajl_tree_free(c->root);
    free(c);
}

static unsigned case_parser(struct bytes name)
{
    unsigned kind = 0;

    while (name.n && config_parsers_names[kind] && !bytes_is(name, config_parsers_names[kind]))
        kind++;
    if (!config_parsers_names[kind])
        base_die("no parser is called %s", name.p);
    return kind;
}

/* The next case of f, owned by the caller; NULL at the end. */
static struct document_case *document_case_read(FILE *f, struct enrich_settings defaults)
{
    struct document_case *c;
    char *line = NULL, why[256];
    size_t cap = 0;
    bool duplicate;
    yajl_val v;

    if (getline(&line, &cap, f) <= 0) {
        free(line);
        return NULL;
    }
    c = base_calloc(1, sizeof *c);
    c->root = yajl_tree_parse(line, why, sizeof why);
    if (!c->root)
        base_die("document.jsonl: %s: %s", why, line);
    free(line);
    c->name = case_get(c->root, "name")->u.string;
    c->expect = case_get(c->root, "expect");
    c->settings = defaults;
    case_pairs(c, "set", c->pairs[0], &c->settings.fields, true);
    case_pairs(c, "add", c->pairs[1], &c->settings.add, true);
    case_pairs(c, "rename", c->pairs[2], &c->settings.rename, false);
    case_pairs(c, "convert", c->pairs[3], &c->settings.convert, false);
    case_names(c, "remove", c->names[0], &c->settings.remove);
    case_names(c, "request_id_keys", c->names[1], &c->settings.request_id_keys);
    if (case_string(c, "service").n)
        c->settings.service = (char *)case_string(c, "service").p;
    c->parser.kind = case_parser(case_string(c, "parser"));
    c->parser.pattern = (char *)case_string(c, "pattern").p;
    c->parser.time_key = (char *)case_string(c, "time_key").p;
    c->parser.time_zone = (char *)case_string(c, "time_zone").p;
    c->time_formats[0] = (char *)case_string(c, "time_format").p;
    c->parser.time_formats = c->time_formats;
    case_pairs(c, "types", c->pairs[4], &c->parser.types, false);
    c->label = case_string(c, "label");
    c->guess = case_string(c, "guess");
    c->record = (struct record){.text = case_string(c, "text"),
                                .severity = (int8_t)case_number(c, "severity", -1),
                                .tags = (unsigned)case_number(c, "tags", 0),
                                .time_ns = 1767323045000000000,
                                .sequence = 7,
                                .attrs = case_string(c, "attrs"),
                                .own_time = case_get(c->root, "own_time") != NULL,
                                .extra = c->members,
                                .extra_are_labels = case_get(c->root, "labels") != NULL};
    v = case_get(c->root, "extra");
    if (v) {
        case_render(v, &c->extra);
        if (json_scan(strbuf_bytes(&c->extra), c->members, CASE_MEMBERS, &c->record.n_extra,
                      &duplicate) != JSON_OK)
            base_die("document.jsonl: extra of %s", c->name);
    }
    return c;
}

static bool case_equal(yajl_val a, yajl_val b)
{
    struct strbuf x = {0}, y = {0};
    bool equal = a->type == b->type;

    if (!equal)
        return false;
    if (a->type == yajl_t_array) {
        if (a->u.array.len != b->u.array.len)
            return false;
        for (size_t i = 0; i < a->u.array.len; i++)
            if (!case_equal(a->u.array.values[i], b->u.array.values[i]))
                return false;
        return true;
    }
    if (a->type == yajl_t_object) {
        if (a->u.object.len != b->u.object.len)
            return false;
        for (size_t i = 0; i < a->u.object.len; i++) {
            size_t found = 0;

            for (size_t k = 0; k < b->u.object.len; k++)
                if (strcmp(a->u.object.keys[i], b->u.object.keys[k]) == 0 && ++found &&
                    !case_equal(a->u.object.values[i], b->u.object.values[k]))
                    return false;
            if (found != 1)
                return false;
        }
        return true;
    }
    case_render(a, &x);
    case_render(b, &y);
    equal = bytes_equal(strbuf_bytes(&x), strbuf_bytes(&y));
    strbuf_fini(&x);
    strbuf_fini(&y);
    return equal;
}

/* Whether the document is what the case expects, and beside it only what every document has. */
static bool document_case_matches(const struct document_case *c, const char *document, char *why,
                                  size_t max)
{
    static const struct {
        const char *name, *text;
    } always[] = {{"@timestamp", "\"2026-01-02T03:04:05Z\""},
                  {"host", "{\"name\":\"h\"}"},
                  {"event", "{\"sequence\":7}"}};
    yajl_val got = yajl_tree_parse(document, why, max), want;
    size_t expected = c->expect->u.object.len;
    bool good = got != NULL;

    for (size_t i = 0; good && i < c->expect->u.object.len; i++) {
        const char *name = c->expect->u.object.keys[i];
        yajl_val v = case_get(got, name);

        if (!v || !case_equal(c->expect->u.object.values[i], v)) {
            snprintf(why, max, "%s is %s", name, v ? "not as expected" : "missing");
            good = false;
        }
    }
    for (size_t i = 0; good && i < ARRAY_LEN(always); i++) {
        struct strbuf b = {0};

        if (case_get(c->expect, always[i].name))
            continue;
        expected++;
        want = case_get(got, always[i].name);
        if (want)
            case_render(want, &b);
        if (!want || strcmp(b.p, always[i].text) != 0) {
            snprintf(why, max, "%s is not %s", always[i].name, always[i].text);
            good = false;
        }
        strbuf_fini(&b);
    }
    if (good && got->u.object.len != expected) {
        snprintf(why, max, "%zu members, not %zu", got->u.object.len, expected);
        good = false;
    }
    yajl_tree_free(got);
    return good;
}

#endif
