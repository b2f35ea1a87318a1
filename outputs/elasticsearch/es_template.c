#include "outputs/elasticsearch/es_template.h"

#include "agent/base/hash.h"
#include "agent/base/wildcard.h"
#include "outputs/elasticsearch/es_indices.h"

#include <stdio.h>
#include <stdlib.h>

#define HASH_SEED 0x6261726765u

yajl_val es_template_parse(struct bytes text)
{
    char *copy = base_strndup(text.p ? text.p : "", text.n);
    yajl_val v = yajl_tree_parse(copy, NULL, 0);

    free(copy);
    return v;
}

static yajl_val get(yajl_val v, const char *name)
{
    const char *path[] = {name, NULL};

    return v ? yajl_tree_get(v, path, yajl_t_any) : NULL;
}

/* ---- features ---- */

struct es_features es_features_of(const char *version, bool opensearch)
{
    unsigned major = 0, minor = 0, n;

    if (sscanf(version, "%u.%u", &major, &minor) != 2 || major > 1000 || minor > 99)
        return (struct es_features){.composable = true, .date_nanos = true};
    n = major * 100 + minor;
    if (opensearch)
        return (struct es_features){
            .composable = true,
            .date_nanos = true,
            .match_only_text = n >= 212,
            .doc_value_search = n >= 212,
        };
    return (struct es_features){
        .composable = n >= 708,
        .match_only_text = n >= 714,
        .ignore_beyond_limit = n >= 814,
        /* Older Kibanas sort it by milliseconds and lose their place in the context of a record. */
        .date_nanos = n >= 708,
        .doc_value_search = n >= 801,
    };
}

/* ---- writing ---- */

static bool is_string(yajl_val v, const char *text)
{
    return YAJL_IS_STRING(v) && strcmp(v->u.string, text) == 0;
}

static void write_value(yajl_val v, const struct es_features *f, struct strbuf *to);

/* Of the mapping of a decimal: that it needs no index, as its doc values can be searched. */
static bool is_decimal_without_index(const char *name, yajl_val v, yajl_val mapping)
{
    return strcmp(name, "index") == 0 && YAJL_IS_FALSE(v) &&
           is_string(get(mapping, "type"), "double");
}

/* One member of an object, or what this node has instead. */
static bool write_member(const char *name, yajl_val v, yajl_val object, const struct es_features *f,
                         struct strbuf *to)
{
    if (!f->doc_value_search && is_decimal_without_index(name, v, object))
        return false;
    if (strcmp(name, "ignore_dynamic_beyond_limit") == 0 && !f->ignore_beyond_limit)
        return false;
    if (strcmp(name, "type") == 0 && is_string(v, "match_only_text") && !f->match_only_text) {
        strbuf_add_str(to, "\"type\":\"text\",\"norms\":false");
        return true;
    }
    if (strcmp(name, "type") == 0 && is_string(v, "date_nanos") && !f->date_nanos) {
        strbuf_add_str(to, "\"type\":\"date\"");
        return true;
    }
    strbuf_add_json(to, bytes_str(name));
    strbuf_add_char(to, ':');
    write_value(v, f, to);
    return true;
}

/* The members of an object, without its braces. */
static void write_members(yajl_val v, const struct es_features *f, struct strbuf *to)
{
    bool first = true;

    for (size_t i = 0; i < YAJL_GET_OBJECT(v)->len; i++) {
        size_t n = to->n;

        if (!first)
            strbuf_add_char(to, ',');
        if (write_member(YAJL_GET_OBJECT(v)->keys[i], YAJL_GET_OBJECT(v)->values[i], v, f, to))
            first = false;
        else
            to->n = n;
    }
}

static void write_value(yajl_val v, const struct es_features *f, struct strbuf *to)
{
    if (YAJL_IS_OBJECT(v)) {
        strbuf_add_char(to, '{');
        write_members(v, f, to);
        strbuf_add_char(to, '}');
    } else if (YAJL_IS_ARRAY(v)) {
        strbuf_add_char(to, '[');
        for (size_t i = 0; i < YAJL_GET_ARRAY(v)->len; i++) {
            strbuf_add_str(to, i ? "," : "");
            write_value(YAJL_GET_ARRAY(v)->values[i], f, to);
        }
        strbuf_add_char(to, ']');
    } else if (YAJL_IS_STRING(v)) {
        strbuf_add_json(to, bytes_str(YAJL_GET_STRING(v)));
    } else if (YAJL_IS_NUMBER(v)) {
        strbuf_add_str(to, YAJL_GET_NUMBER(v));
    } else {
        strbuf_add_str(to, YAJL_IS_TRUE(v) ? "true" : YAJL_IS_FALSE(v) ? "false" : "null");
    }
}

static void write_settings(const struct es_template *t, yajl_val index, const struct es_features *f,
                           struct strbuf *to)
{
    strbuf_add_str(to, "\"settings\":{\"index\":{");
    write_members(index, f, to);
    if (t->lifecycle) {
        strbuf_add_str(to, ",\"lifecycle\":{\"name\":");
        strbuf_add_json(to, bytes_str(t->lifecycle));
        if (t->day_in_name)
            strbuf_add_str(to, ",\"parse_origination_date\":\"true\"");
        strbuf_add_char(to, '}');
    }
    strbuf_add_str(to, "}}");
}

static void write_body(const struct es_template *t, const struct es_features *f, yajl_val file,
                       const char *hash, struct strbuf *to)
{
    yajl_val inner = get(file, "template"), mappings = get(inner, "mappings");
    char meta[120];

    snprintf(meta, sizeof meta,
             "\"_meta\":{\"managed_by\":\"barge\",\"version\":%d,\"hash\":\"%s\"}",
             ES_TEMPLATE_VERSION, hash);
    strbuf_add_str(to, "{\"index_patterns\":[");
    strbuf_add_json(to, bytes_str(t->wildcard));
    strbuf_printf(to, "],\"version\":%d,\"%s\":%d,", ES_TEMPLATE_VERSION,
                  f->composable ? "priority" : "order", ES_TEMPLATE_PRIORITY);
    /* A legacy template has no _meta of its own, but its mappings may. */
    if (f->composable)
        strbuf_printf(to, "%s,\"template\":{", meta);
    write_settings(t, get(get(inner, "settings"), "index"), f, to);
    strbuf_add_str(to, ",\"mappings\":{");
    if (!f->composable)
        strbuf_printf(to, "%s,", meta);
    write_members(mappings, f, to);
    strbuf_add_str(to, f->composable ? "}}}" : "}}");
}

/* ---- what counts in a template ---- */

struct lines {
    char **list;
    size_t n;
};

static void add_line(struct lines *l, const char *path, const char *value)
{
    struct strbuf text = {0};

    strbuf_printf(&text, "%s=%s", path, value);
    l->list = base_realloc(l->list, (l->n + 1) * sizeof *l->list);
    l->list[l->n++] = text.p;
}

static void collect(struct lines *l, yajl_val v, const char *path)
{
    struct strbuf deeper = {0};

    if (YAJL_IS_OBJECT(v)) {
        for (size_t i = 0; i < YAJL_GET_OBJECT(v)->len; i++) {
            strbuf_clear(&deeper);
            strbuf_printf(&deeper, "%s.%s", path, YAJL_GET_OBJECT(v)->keys[i]);
            collect(l, YAJL_GET_OBJECT(v)->values[i], deeper.p);
        }
    } else if (YAJL_IS_ARRAY(v)) {
        for (size_t i = 0; i < YAJL_GET_ARRAY(v)->len; i++) {
            strbuf_clear(&deeper);
            strbuf_printf(&deeper, "%s.%zu", path, i);
            collect(l, YAJL_GET_ARRAY(v)->values[i], deeper.p);
        }
    } else {
        add_line(l, path,
                 YAJL_IS_STRING(v)   ? YAJL_GET_STRING(v)
                 : YAJL_IS_NUMBER(v) ? YAJL_GET_NUMBER(v)
                 : YAJL_IS_TRUE(v)   ? "true"
                 : YAJL_IS_FALSE(v)  ? "false"
                                     : "null");
    }
    strbuf_fini(&deeper);
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

void es_template_lines(yajl_val v, const char *prefix, struct strbuf *to)
{
    struct lines l = {0};

    if (v)
        collect(&l, v, prefix);
    if (l.n)
        qsort(l.list, l.n, sizeof *l.list, by_bytes);
    for (size_t i = 0; i < l.n; i++) {
        strbuf_add_str(to, l.list[i]);
        strbuf_add_char(to, '\n');
        free(l.list[i]);
    }
    free(l.list);
}

/* Adds the lines of v that do not begin with but. */
static void add_lines_but(yajl_val v, const char *prefix, const char *but, struct strbuf *to)
{
    struct strbuf all = {0};
    char *line, *rest = NULL;

    es_template_lines(v, prefix, &all);
    for (line = all.n ? strtok_r(all.p, "\n", &rest) : NULL; line;
         line = strtok_r(NULL, "\n", &rest))
        if (strncmp(line, but, strlen(but)) != 0)
            strbuf_printf(to, "%s\n", line);
    strbuf_fini(&all);
}

/* Of the lines of a template but those of _meta, which hold the hash of the others. Nodes give
 * members back in an order of their own. */
static void hash_of(yajl_val body, bool composable, char *hash)
{
    yajl_val inner = composable ? get(body, "template") : body;
    struct strbuf text = {0};

    es_template_lines(get(body, "index_patterns"), "patterns", &text);
    es_template_lines(get(body, "composed_of"), "components", &text);
    es_template_lines(get(body, "data_stream"), "data_stream", &text);
    es_template_lines(get(body, composable ? "priority" : "order"), "priority", &text);
    es_template_lines(get(inner, "aliases"), "aliases", &text);
    es_template_lines(get(inner, "settings"), "settings", &text);
    add_lines_but(get(inner, "mappings"), "mappings", "mappings._meta.", &text);
    snprintf(hash, 17, "%016llx", (unsigned long long)hash_64(HASH_SEED, text.p, text.n));
    strbuf_fini(&text);
}

void es_template_body(const struct es_template *t, const struct es_features *f, struct strbuf *to,
                      char *hash)
{
    yajl_val file = es_template_parse(es_file(t->file)), body;
    struct strbuf text = {0};

    ASSERT(file);
    write_body(t, f, file, "", &text);
    body = es_template_parse(strbuf_bytes(&text));
    ASSERT(body);
    hash_of(body, f->composable, hash);
    yajl_tree_free(body);
    strbuf_fini(&text);
    write_body(t, f, file, hash, to);
    yajl_tree_free(file);
}

/* ---- what a node holds ---- */

/* The template of an answer: {"index_templates":[{"name":…,"index_template":{…}}]}, or
 * {NAME:{…}}. */
static yajl_val only_one(yajl_val answer, bool composable)
{
    yajl_val list = get(answer, "index_templates");

    if (composable)
        return YAJL_IS_ARRAY(list) && YAJL_GET_ARRAY(list)->len > 0
                   ? get(YAJL_GET_ARRAY(list)->values[0], "index_template")
                   : NULL;
    return YAJL_IS_OBJECT(answer) && YAJL_GET_OBJECT(answer)->len > 0
               ? YAJL_GET_OBJECT(answer)->values[0]
               : NULL;
}

static enum es_template_state judge(yajl_val stored, bool composable, const char *hash)
{
    yajl_val meta = composable ? get(stored, "_meta") : get(get(stored, "mappings"), "_meta");
    yajl_val its_hash = get(meta, "hash"), version = get(meta, "version");
    char now[17];

    if (!is_string(get(meta, "managed_by"), "barge") || !YAJL_IS_STRING(its_hash))
        return ES_TEMPLATE_FOREIGN;
    hash_of(stored, composable, now);
    if (!is_string(its_hash, now))
        return ES_TEMPLATE_CHANGED;
    if (is_string(its_hash, hash))
        return ES_TEMPLATE_SAME;
    if (YAJL_IS_INTEGER(version) && YAJL_GET_INTEGER(version) > ES_TEMPLATE_VERSION)
        return ES_TEMPLATE_NEWER;
    return ES_TEMPLATE_OLD;
}

enum es_template_state es_template_judge(struct bytes answer, bool composable, const char *hash)
{
    yajl_val tree = es_template_parse(answer), stored = only_one(tree, composable);
    enum es_template_state state = stored ? judge(stored, composable, hash) : ES_TEMPLATE_ABSENT;

    yajl_tree_free(tree);
    return state;
}

/* ---- others ---- */

static void add_rival(const char *name, yajl_val t, bool composable, bool any_priority,
                      const char *index, struct strbuf *to)
{
    yajl_val patterns = get(t, "index_patterns");
    yajl_val priority = get(t, composable ? "priority" : "order");
    long long n = YAJL_IS_INTEGER(priority) ? YAJL_GET_INTEGER(priority) : 0;

    if (!any_priority && n < ES_TEMPLATE_PRIORITY)
        return;
    for (size_t i = 0; YAJL_IS_ARRAY(patterns) && i < YAJL_GET_ARRAY(patterns)->len; i++) {
        yajl_val pattern = YAJL_GET_ARRAY(patterns)->values[i];

        if (!YAJL_IS_STRING(pattern) ||
            !wildcard_matches(YAJL_GET_STRING(pattern), bytes_str(index)))
            continue;
        strbuf_printf(to, "%s%.100s (%.100s, %s %lld)", to->n ? ", " : "", name,
                      YAJL_GET_STRING(pattern), composable ? "priority" : "order", n);
        return;
    }
}

void es_template_rivals(struct bytes answer, bool composable, bool any_priority, const char *index,
                        const char *own, struct strbuf *to)
{
    yajl_val tree = es_template_parse(answer), list = get(tree, "index_templates");

    if (composable) {
        for (size_t i = 0; YAJL_IS_ARRAY(list) && i < YAJL_GET_ARRAY(list)->len; i++) {
            yajl_val name = get(YAJL_GET_ARRAY(list)->values[i], "name");

            if (YAJL_IS_STRING(name) && strcmp(name->u.string, own) != 0)
                add_rival(YAJL_GET_STRING(name),
                          get(YAJL_GET_ARRAY(list)->values[i], "index_template"), true,
                          any_priority, index, to);
        }
    } else if (YAJL_IS_OBJECT(tree)) {
        for (size_t i = 0; i < YAJL_GET_OBJECT(tree)->len; i++)
            if (strcmp(YAJL_GET_OBJECT(tree)->keys[i], own) != 0)
                add_rival(YAJL_GET_OBJECT(tree)->keys[i], YAJL_GET_OBJECT(tree)->values[i], false,
                          any_priority, index, to);
    }
    yajl_tree_free(tree);
}
