#include "agent/commands/logstash_plan.h"

#include "agent/base/utf8.h"
#include "agent/config/config_value.h"

#include <stdlib.h>

/* ---- memory ---- */

void plan_set(char **to, const char *text)
{
    char *copy = text ? base_strdup(text) : NULL;

    free(*to);
    *to = copy;
}

void plan_add_text(struct plan_texts *to, const char *text)
{
    to->list = base_realloc(to->list, (to->n + 1) * sizeof *to->list);
    to->list[to->n++] = base_strdup(text);
}

size_t plan_find_text(const struct plan_texts *in, const char *text)
{
    for (size_t i = 0; i < in->n; i++)
        if (strcmp(in->list[i], text) == 0)
            return i;
    return SIZE_MAX;
}

void plan_add_pair(struct plan_pairs *to, const char *name, const char *value)
{
    to->list = base_realloc(to->list, (to->n + 1) * sizeof *to->list);
    to->list[to->n++] = (struct plan_pair){base_strdup(name), base_strdup(value)};
}

struct plan_pair *plan_find_pair(const struct plan_pairs *in, const char *name)
{
    for (size_t i = 0; i < in->n; i++)
        if (strcmp(in->list[i].name, name) == 0)
            return &in->list[i];
    return NULL;
}

void plan_drop_pair(struct plan_pairs *from, const char *name)
{
    struct plan_pair *p = plan_find_pair(from, name);

    if (!p)
        return;
    free(p->name);
    free(p->value);
    from->n--;
    memmove(p, p + 1, (size_t)(from->list + from->n - p) * sizeof *p);
}

static void free_texts(struct plan_texts *t)
{
    for (size_t i = 0; i < t->n; i++)
        free(t->list[i]);
    free(t->list);
}

static void free_pairs(struct plan_pairs *t)
{
    for (size_t i = 0; i < t->n; i++) {
        free(t->list[i].name);
        free(t->list[i].value);
    }
    free(t->list);
}

void plan_free_parser(struct plan_parser *p)
{
    free(p->kind);
    free(p->pattern);
    free(p->start);
    free(p->time_key);
    free(p->time_zone);
    free_pairs(&p->types);
    free_pairs(&p->groups);
    free_texts(&p->time_formats);
    *p = (struct plan_parser){0};
}

static void copy_pairs(struct plan_pairs *to, const struct plan_pairs *from)
{
    for (size_t i = 0; i < from->n; i++)
        plan_add_pair(to, from->list[i].name, from->list[i].value);
}

void plan_copy_parser(struct plan_parser *to, const struct plan_parser *from)
{
    plan_free_parser(to);
    plan_set(&to->kind, from->kind);
    plan_set(&to->pattern, from->pattern);
    plan_set(&to->start, from->start);
    plan_set(&to->time_key, from->time_key);
    plan_set(&to->time_zone, from->time_zone);
    copy_pairs(&to->types, &from->types);
    copy_pairs(&to->groups, &from->groups);
    for (size_t i = 0; i < from->time_formats.n; i++)
        plan_add_text(&to->time_formats, from->time_formats.list[i]);
}

struct plan_file *plan_new_file(struct plan *p)
{
    p->files = base_realloc(p->files, (p->n_files + 1) * sizeof *p->files);
    p->files[p->n_files] = (struct plan_file){0};
    return &p->files[p->n_files++];
}

struct plan_rule *plan_new_rule(struct plan *p)
{
    p->rules = base_realloc(p->rules, (p->n_rules + 1) * sizeof *p->rules);
    p->rules[p->n_rules] = (struct plan_rule){0};
    return &p->rules[p->n_rules++];
}

void plan_fini(struct plan *p)
{
    for (size_t i = 0; i < p->n_files; i++) {
        free_texts(&p->files[i].paths);
        free_texts(&p->files[i].exclude);
        free(p->files[i].begin);
        plan_free_parser(&p->files[i].parser);
    }
    for (size_t i = 0; i < p->n_rules; i++) {
        free(p->rules[i].container);
        free(p->rules[i].image);
        plan_free_parser(&p->rules[i].parser);
    }
    free(p->files);
    free(p->rules);
    free(p->udp);
    free(p->tcp);
    free(p->file_path);
    free_texts(&p->tags);
    free_texts(&p->remove);
    free_texts(&p->redact);
    free_texts(&p->hosts);
    free_pairs(&p->add);
    free_pairs(&p->rename);
    free_pairs(&p->convert);
    free_pairs(&p->elasticsearch);
    free_pairs(&p->tls);
    for (int i = 0; i < PLAN_PLACES; i++)
        strbuf_fini(&p->comments[i]);
    *p = (struct plan){0};
}

/* ---- YAML ---- */

/* In single quotes nothing is escaped, so that a pattern can be read. */
static bool reads_better_single(const char *s)
{
    bool escapes = false;

    for (; *s; s++) {
        if ((unsigned char)*s < ' ' || (unsigned char)*s >= 0x7f)
            return false;
        escapes |= *s == '\\' || *s == '"';
    }
    return escapes;
}

void plan_yaml_text(struct strbuf *to, const char *text)
{
    if (!reads_better_single(text)) {
        config_value_add_word(to, text);
        return;
    }
    strbuf_add_char(to, '\'');
    for (; *text; text++)
        strbuf_add_str(to, *text == '\'' ? "''" : (char[]){*text, '\0'});
    strbuf_add_char(to, '\'');
}

void plan_comment(struct plan *p, enum plan_place place, const char *text)
{
    struct strbuf *to = &p->comments[place];
    size_t n = strlen(text);

    strbuf_add_char(to, '#');
    if (n > 0)
        strbuf_add_char(to, ' ');
    for (size_t i = 0; i < n;) {
        size_t length = utf8_length(text + i, n - i);

        if (length == 0 || config_value_is_unsafe(text + i))
            strbuf_add_char(to, text[i] == '\t' ? ' ' : '?');
        else
            strbuf_add(to, text + i, length);
        i += MAX(length, 1u);
    }
    while (to->n && to->p[to->n - 1] == ' ')
        to->n--;
    strbuf_add_char(to, '\n');
}

/* The comments of a place, each line behind indent blanks. */
static void write_comments(const struct plan *p, enum plan_place place, size_t indent,
                           struct strbuf *to)
{
    struct bytes rest = strbuf_bytes(&p->comments[place]);

    while (rest.n) {
        const char *end = memchr(rest.p, '\n', rest.n);
        size_t n = (size_t)(end - rest.p) + 1;

        strbuf_printf(to, "%*s%.*s", (int)indent, "", (int)n, rest.p);
        rest = bytes_of(rest.p + n, rest.n - n);
    }
}

static void write_texts(struct strbuf *to, const struct plan_texts *t)
{
    strbuf_add_char(to, '[');
    for (size_t i = 0; i < t->n; i++) {
        strbuf_add_str(to, i ? ", " : "");
        plan_yaml_text(to, t->list[i]);
    }
    strbuf_add_char(to, ']');
}

/* A key: a colon in it would end it. */
static void write_key(struct strbuf *to, const char *name)
{
    if (strpbrk(name, ":\\\""))
        config_value_add_quoted(to, name);
    else
        plan_yaml_text(to, name);
    strbuf_add_str(to, ": ");
}

/* The values are texts, or YAML already. */
static void write_pairs(struct strbuf *to, const char *key, const struct plan_pairs *t, bool yaml)
{
    if (t->n == 0)
        return;
    strbuf_printf(to, "  %s:\n", key);
    for (size_t i = 0; i < t->n; i++) {
        strbuf_add_str(to, "    ");
        write_key(to, t->list[i].name);
        if (yaml)
            strbuf_add_str(to, t->list[i].value);
        else
            plan_yaml_text(to, t->list[i].value);
        strbuf_add_char(to, '\n');
    }
}

static void write_types(struct strbuf *to, const struct plan_pairs *types)
{
    if (types->n == 0)
        return;
    strbuf_add_str(to, "      types: {");
    for (size_t i = 0; i < types->n; i++) {
        strbuf_add_str(to, i ? ", " : "");
        write_key(to, types->list[i].name);
        strbuf_add_str(to, types->list[i].value);
    }
    strbuf_add_str(to, "}\n");
}

/* A setting of a parser, unless text is NULL. */
static void write_text(struct strbuf *to, const char *key, const char *text)
{
    if (!text)
        return;
    strbuf_printf(to, "      %s: ", key);
    plan_yaml_text(to, text);
    strbuf_add_char(to, '\n');
}

static void write_parser(struct strbuf *to, const struct plan_parser *p)
{
    if (!p->kind)
        return;
    strbuf_printf(to, "      parser: %s\n", p->kind);
    write_text(to, "start", p->start);
    write_text(to, "pattern", p->pattern);
    write_types(to, &p->types);
    write_text(to, "time_key", p->time_key);
    if (p->time_formats.n) {
        strbuf_add_str(to, "      time_formats: ");
        write_texts(to, &p->time_formats);
        strbuf_add_char(to, '\n');
    }
    write_text(to, "time_zone", p->time_zone);
}

static void write_files(const struct plan *p, struct strbuf *to)
{
    if (p->n_files == 0)
        return;
    strbuf_add_str(to, "  files:\n");
    for (size_t i = 0; i < p->n_files; i++) {
        const struct plan_file *f = &p->files[i];

        strbuf_add_str(to, "    - paths: ");
        write_texts(to, &f->paths);
        if (f->exclude.n) {
            strbuf_add_str(to, "\n      exclude: ");
            write_texts(to, &f->exclude);
        }
        if (f->begin)
            strbuf_printf(to, "\n      begin: %s", f->begin);
        strbuf_add_char(to, '\n');
        write_parser(to, &f->parser);
    }
}

static void write_inputs(const struct plan *p, struct strbuf *to)
{
    if (p->inputs) {
        strbuf_add_str(to,
                       "inputs:\n"
                       "  docker: off      # without this line, what containers log by Docker's "
                       "json-file driver is read, too\n"
                       "  kubernetes: off\n");
        write_files(p, to);
        strbuf_add_str(to, p->udp || p->tcp ? "  gelf:\n" : "  gelf: off\n");
        if (p->udp || p->tcp) {
            strbuf_add_str(to, "    udp: ");
            plan_yaml_text(to, p->udp ? p->udp : "");
            strbuf_add_char(to, '\n');
        }
        if (p->tcp) {
            strbuf_add_str(to, "    tcp: ");
            plan_yaml_text(to, p->tcp);
            strbuf_add_char(to, '\n');
        }
    }
    write_comments(p, PLAN_INPUTS, p->inputs ? 2 : 0, to);
    if (p->inputs || p->comments[PLAN_INPUTS].n)
        strbuf_add_char(to, '\n');
}

static void write_rules(const struct plan *p, struct strbuf *to)
{
    if (p->n_rules == 0)
        return;
    strbuf_add_str(to, "parsers:\n");
    for (size_t i = 0; i < p->n_rules; i++) {
        const struct plan_rule *r = &p->rules[i];

        strbuf_add_str(to, "    - ");
        if (r->container) {
            strbuf_add_str(to, "container: ");
            plan_yaml_text(to, r->container);
            strbuf_add_str(to, r->image ? "\n      " : "\n");
        }
        if (r->image) {
            strbuf_add_str(to, "image: ");
            plan_yaml_text(to, r->image);
            strbuf_add_char(to, '\n');
        }
        write_parser(to, &r->parser);
    }
}

static void write_record(const struct plan *p, struct strbuf *to)
{
    size_t before = to->n;

    write_rules(p, to);
    if (p->tags.n) {
        strbuf_add_str(to, "enrich:\n  fields:\n    tags: ");
        write_texts(to, &p->tags);
        strbuf_add_char(to, '\n');
    }
    if (p->rename.n + p->convert.n + p->remove.n + p->add.n) {
        strbuf_add_str(to, "fields:\n");
        write_pairs(to, "rename", &p->rename, false);
        write_pairs(to, "convert", &p->convert, false);
        if (p->remove.n) {
            strbuf_add_str(to, "  remove: ");
            write_texts(to, &p->remove);
            strbuf_add_char(to, '\n');
        }
        write_pairs(to, "add", &p->add, true);
    }
    if (p->redact.n)
        strbuf_add_str(to, "redact:\n  rules:\n");
    for (size_t i = 0; i < p->redact.n; i++) {
        strbuf_add_str(to, "    - {field: ");
        plan_yaml_text(to, p->redact.list[i]);
        strbuf_add_str(to, ", action: drop}\n");
    }
    write_comments(p, PLAN_RECORD, to->n > before ? 2 : 0, to);
    if (to->n > before)
        strbuf_add_char(to, '\n');
}

static void write_elasticsearch(const struct plan *p, struct strbuf *to)
{
    strbuf_add_str(to, "output:\n  elasticsearch:\n");
    if (p->hosts.n) {
        strbuf_add_str(to, "    hosts: ");
        write_texts(to, &p->hosts);
        strbuf_add_char(to, '\n');
    }
    for (size_t i = 0; i < p->elasticsearch.n; i++)
        strbuf_printf(to, "    %s: %s\n", p->elasticsearch.list[i].name,
                      p->elasticsearch.list[i].value);
    if (p->tls.n)
        strbuf_add_str(to, "    tls:\n");
    for (size_t i = 0; i < p->tls.n; i++)
        strbuf_printf(to, "      %s: %s\n", p->tls.list[i].name, p->tls.list[i].value);
}

static void write_output(const struct plan *p, struct strbuf *to)
{
    bool some = true;

    if (p->file_path) {
        strbuf_add_str(to, "output:\n  file:\n    path: ");
        plan_yaml_text(to, p->file_path);
        strbuf_add_char(to, '\n');
    } else if (p->hosts.n + p->elasticsearch.n + p->tls.n) {
        write_elasticsearch(p, to);
    } else {
        some = false;
    }
    write_comments(p, PLAN_OUTPUT, some ? 4 : 0, to);
    if (p->no_setup)
        strbuf_add_str(to, "\nsetup: false\n");
}

void plan_write(const struct plan *p, struct strbuf *to)
{
    strbuf_add_str(to, "# Made by `barge import` from a Logstash pipeline.\n");
    write_comments(p, PLAN_TOP, 0, to);
    strbuf_add_char(to, '\n');
    write_inputs(p, to);
    write_record(p, to);
    write_output(p, to);
}
