#include "agent/config/config_node.h"

#include "agent/base/strbuf.h"

#include <stdio.h>
#include <stdlib.h>
#include <yaml.h>

#define MAX_DEPTH 16
#define MAX_NODES 5000
#define MAX_PROBLEMS 100

struct reader {
    yaml_parser_t parser;
    struct bytes yaml;
    struct config_problems *problems;
    size_t nodes;
};

void config_problem_add(struct config_problems *problems, unsigned line, unsigned column,
                        const char *fmt, ...)
{
    struct config_problem *p;
    va_list ap;

    /* Of one value the first thing that is wrong with it: the rest follows from that. */
    for (size_t i = 0; line && i < problems->n; i++)
        if (problems->list[i].line == line && problems->list[i].column == column)
            return;
    if (problems->n == MAX_PROBLEMS)
        return;
    problems->list = base_realloc(problems->list, (problems->n + 1) * sizeof *problems->list);
    p = &problems->list[problems->n++];
    p->line = line;
    p->column = column;
    va_start(ap, fmt);
    vsnprintf(p->text, sizeof p->text, fmt, ap);
    va_end(ap);
    /* Values are quoted in messages, and a message is one line. */
    for (char *c = p->text; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            *c = '?';
}

static unsigned mark_line(const yaml_mark_t *m)
{
    return (unsigned)m->line + 1;
}

static unsigned mark_column(const yaml_mark_t *m)
{
    return (unsigned)m->column + 1;
}

/* The reader (bad UTF-8, control characters) knows only an offset. */
static void place_of_offset(struct bytes yaml, size_t offset, unsigned *line, unsigned *column)
{
    *line = *column = 1;
    for (size_t i = 0; i < MIN(offset, yaml.n); i++) {
        if (yaml.p[i] == '\n') {
            (*line)++;
            *column = 1;
        } else {
            (*column)++;
        }
    }
}

static const char *remedy(const struct reader *r)
{
    size_t at = r->parser.problem_mark.index;
    char c = at < r->yaml.n ? r->yaml.p[at] : '\0';

    if (!r->parser.problem || !strstr(r->parser.problem, "cannot start any token"))
        return "";
    if (c == '\t')
        return "; indent with blanks, not with tabs";
    if (c == '%' || c == '@' || c == '`')
        return "; put the value in quotes";
    return "";
}

static void add_parser_error(struct reader *r)
{
    const yaml_parser_t *p = &r->parser;
    unsigned line, column;

    if (p->error == YAML_MEMORY_ERROR)
        base_die("out of memory");
    if (p->error == YAML_READER_ERROR) {
        place_of_offset(r->yaml, p->problem_offset, &line, &column);
        config_problem_add(r->problems, line, column, "no text that YAML allows: %s", p->problem);
        return;
    }
    config_problem_add(r->problems, mark_line(&p->problem_mark), mark_column(&p->problem_mark),
                       "no valid YAML: %s%s%s%s", p->context ? p->context : "",
                       p->context ? ", " : "", p->problem ? p->problem : "unknown", remedy(r));
}

/* false when the file holds nothing more that can be read. */
static bool next_event(struct reader *r, yaml_event_t *ev)
{
    if (yaml_parser_parse(&r->parser, ev))
        return true;
    add_parser_error(r);
    return false;
}

static struct config_node *node_create(const yaml_event_t *ev, enum config_node_kind kind)
{
    struct config_node *n = base_calloc(1, sizeof *n);

    n->kind = kind;
    n->line = mark_line(&ev->start_mark);
    n->column = mark_column(&ev->start_mark);
    return n;
}

void config_node_free(struct config_node *n)
{
    while (n) {
        struct config_node *next = n->next;

        config_node_free(n->child);
        free(n->key);
        free(n->text);
        free(n);
        n = next;
    }
}

static bool is_name(const char *s, size_t n)
{
    if (n == 0 || (s[0] >= '0' && s[0] <= '9'))
        return false;
    for (size_t i = 0; i < n; i++)
        if (!((s[i] >= 'A' && s[i] <= 'Z') || (s[i] >= 'a' && s[i] <= 'z') ||
              (s[i] >= '0' && s[i] <= '9') || s[i] == '_'))
            return false;
    return true;
}

/* Adds what stands for the inside of ${…}: NAME or NAME:-default. */
static void add_variable(struct reader *r, const struct config_node *n, const char *s, size_t len,
                         struct strbuf *to)
{
    size_t name_len = 0;
    char *name;
    const char *value;

    while (name_len < len && s[name_len] != ':')
        name_len++;
    if (!is_name(s, name_len) ||
        (name_len < len && (name_len + 1 == len || s[name_len + 1] != '-'))) {
        config_problem_add(r->problems, n->line, n->column,
                           "${%.*s}: write ${NAME} or ${NAME:-default}", (int)MIN(len, 60u), s);
        return;
    }
    name = base_strndup(s, name_len);
    value = getenv(name);
    if (value && (*value || name_len == len))
        strbuf_add_str(to, value);
    else if (name_len < len)
        strbuf_add(to, s + name_len + 2, len - name_len - 2);
    else
        config_problem_add(r->problems, n->line, n->column,
                           "the environment has no %s; set it, or write ${%s:-default}", name,
                           name);
    free(name);
}

static void expand(struct reader *r, struct config_node *n)
{
    struct strbuf to = {0};
    const char *p = n->text, *open;

    if (!strstr(p, "${"))
        return;
    while ((open = strstr(p, "${")) != NULL) {
        const char *close = strchr(open, '}');

        strbuf_add(&to, p, (size_t)(open - p));
        if (!close) {
            config_problem_add(r->problems, n->line, n->column, "${ without its }");
            p = open + strlen(open);
            break;
        }
        add_variable(r, n, open + 2, (size_t)(close - open) - 2, &to);
        p = close + 1;
    }
    strbuf_add_str(&to, p);
    free(n->text);
    n->text = base_strndup(to.p, to.n);
    n->plain = false;
    strbuf_fini(&to);
}

static struct config_node *refuse(struct reader *r, const yaml_event_t *ev, const char *what)
{
    config_problem_add(r->problems, mark_line(&ev->start_mark), mark_column(&ev->start_mark), "%s",
                       what);
    return NULL;
}

static struct config_node *read_scalar(struct reader *r, const yaml_event_t *ev)
{
    struct config_node *n;
    const char *s = (const char *)ev->data.scalar.value;

    if (ev->data.scalar.anchor || (ev->data.scalar.tag && !ev->data.scalar.plain_implicit &&
                                   !ev->data.scalar.quoted_implicit))
        return refuse(r, ev, "anchors (&) and tags (!) are not read; put the value in quotes");
    if (memchr(s, '\0', ev->data.scalar.length))
        return refuse(r, ev, "a NUL character is not allowed");
    n = node_create(ev, NODE_SCALAR);
    n->text = base_strndup(s, ev->data.scalar.length);
    n->plain = ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    return n;
}

static struct config_node *read_value(struct reader *r, const yaml_event_t *ev, unsigned depth);

static bool read_list(struct reader *r, struct config_node *n, unsigned depth)
{
    struct config_node **end = &n->child;

    for (;;) {
        yaml_event_t ev;
        bool over;

        if (!next_event(r, &ev))
            return false;
        over = ev.type == YAML_SEQUENCE_END_EVENT;
        if (!over)
            *end = read_value(r, &ev, depth);
        yaml_event_delete(&ev);
        if (over)
            return true;
        if (!*end)
            return false;
        end = &(*end)->next;
    }
}

/* The first entry of n with this key. */
static const struct config_node *entry(const struct config_node *n, const char *key)
{
    for (const struct config_node *c = n->child; c; c = c->next)
        if (strcmp(c->key, key) == 0)
            return c;
    return NULL;
}

/* Takes the key's text over; the entry is added to n even when it repeats one, so that the rest of
 * it is checked as well, but it is told. */
static bool read_entry(struct reader *r, struct config_node *n, struct config_node *key,
                       struct config_node **entry_out, unsigned depth)
{
    const struct config_node *first = entry(n, key->text);
    struct config_node *value;
    yaml_event_t ev;

    if (first)
        config_problem_add(r->problems, key->line, key->column,
                           "%s stands here twice, first in line %u; remove one", key->text,
                           first->key_line);
    if (!next_event(r, &ev))
        return false;
    value = read_value(r, &ev, depth);
    yaml_event_delete(&ev);
    if (!value)
        return false;
    value->key = key->text;
    value->key_line = key->line;
    value->key_column = key->column;
    key->text = NULL;
    *entry_out = value;
    return true;
}

static bool read_map(struct reader *r, struct config_node *n, unsigned depth)
{
    struct config_node **end = &n->child;

    for (;;) {
        struct config_node *key = NULL;
        yaml_event_t ev;
        bool over, ok;

        if (!next_event(r, &ev))
            return false;
        over = ev.type == YAML_MAPPING_END_EVENT;
        if (!over) {
            if (ev.type == YAML_SCALAR_EVENT)
                key = read_scalar(r, &ev);
            else
                refuse(r, &ev,
                       "a key is one word; if it begins with * or [ or {, put it in quotes");
        }
        yaml_event_delete(&ev);
        if (over)
            return true;
        if (!key)
            return false;
        ok = read_entry(r, n, key, end, depth);
        config_node_free(key);
        if (!ok)
            return false;
        end = &(*end)->next;
    }
}

/* NULL: a problem was added, and reading ends. */
static struct config_node *read_value(struct reader *r, const yaml_event_t *ev, unsigned depth)
{
    struct config_node *n;

    if (++r->nodes > MAX_NODES || depth > MAX_DEPTH)
        return refuse(r, ev, "too many or too deeply nested values for a configuration");
    switch (ev->type) {
    case YAML_SCALAR_EVENT:
        n = read_scalar(r, ev);
        if (n)
            expand(r, n);
        return n;
    case YAML_SEQUENCE_START_EVENT:
        if (ev->data.sequence_start.anchor || ev->data.sequence_start.tag)
            return refuse(r, ev, "anchors (&) and tags (!) are not read; put the value in quotes");
        n = node_create(ev, NODE_LIST);
        if (read_list(r, n, depth + 1))
            return n;
        break;
    case YAML_MAPPING_START_EVENT:
        if (ev->data.mapping_start.anchor || ev->data.mapping_start.tag)
            return refuse(r, ev, "anchors (&) and tags (!) are not read; put the value in quotes");
        n = node_create(ev, NODE_MAP);
        if (read_map(r, n, depth + 1))
            return n;
        break;
    case YAML_ALIAS_EVENT:
        return refuse(r, ev, "aliases are not read; put a value that begins with * in quotes");
    default:
        return refuse(r, ev, "a value was expected");
    }
    config_node_free(n);
    return NULL;
}

static struct config_node *read_document(struct reader *r)
{
    struct config_node *root = NULL;

    for (;;) {
        yaml_event_t ev;
        bool over = false;

        if (!next_event(r, &ev))
            break;
        switch (ev.type) {
        case YAML_STREAM_START_EVENT:
        case YAML_DOCUMENT_END_EVENT:
            break;
        case YAML_DOCUMENT_START_EVENT:
            if (root) {
                refuse(r, &ev, "a configuration is one YAML document; remove what follows ---");
                over = true;
            }
            break;
        case YAML_STREAM_END_EVENT:
            over = true;
            break;
        default:
            root = read_value(r, &ev, 0);
            over = !root;
            break;
        }
        yaml_event_delete(&ev);
        if (over)
            break;
    }
    return root;
}

struct config_node *config_node_parse(struct bytes yaml, struct config_problems *problems)
{
    struct reader r = {.yaml = yaml, .problems = problems};
    struct config_node *root;
    size_t before = problems->n;

    if (yaml.n > CONFIG_MAX_BYTES) {
        config_problem_add(problems, 0, 0, "%zu bytes are too many for a configuration, at most %u",
                           yaml.n, CONFIG_MAX_BYTES);
        return NULL;
    }
    if (!yaml_parser_initialize(&r.parser))
        base_die("out of memory");
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)(yaml.n ? yaml.p : ""), yaml.n);
    root = read_document(&r);
    yaml_parser_delete(&r.parser);
    /* What was expanded badly or stands twice leaves a tree that can be checked further; a syntax
     * error leaves half of one, and would be followed by nonsense. */
    if (problems->n > before && !root)
        return NULL;
    return root;
}
