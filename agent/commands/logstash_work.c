#include "agent/commands/logstash_work.h"

#include "agent/commands/verify.h"
#include "agent/config/config.h"
#include "agent/config/config_node.h"

#include <stdio.h>
#include <stdlib.h>

#define OPTIONS_MAX 500  /* of a plugin that are looked at twice */
#define QUOTED_LINES 30  /* of what is left out that a comment repeats */
#define QUOTED_BYTES 500 /* of such a line */

/* So that no pipeline takes more than a moment, and what comes of it can be read: comments may have
 * half of what a configuration may. */
#define ASK_MAX 1000
#define ASK_BYTES_MAX (CONFIG_MAX_BYTES / 8)
#define COMMENT_BYTES_MAX (CONFIG_MAX_BYTES / 2)

struct logstash_span work_option_span(const struct logstash_value *v)
{
    return (struct logstash_span){v->name.p ? v->name_at.begin : v->at.begin, v->at.end};
}

/* ---- saying something ---- */

/* Adds the source's bytes from begin to end, secrets as ***. */
static void add_source(const struct work *w, size_t begin, size_t end, struct strbuf *to)
{
    struct bytes all = logstash_source_bytes(w->source);
    size_t s = 0;

    while (begin < end) {
        size_t stop = end;

        while (s < w->n_secrets && w->secrets[s].end <= begin)
            s++;
        if (s < w->n_secrets && w->secrets[s].begin <= begin) {
            strbuf_add_str(to, "***");
            begin = w->secrets[s].end;
            continue;
        }
        if (s < w->n_secrets)
            stop = MIN(stop, w->secrets[s].begin);
        strbuf_add(to, all.p + begin, stop - begin);
        begin = stop;
    }
}

/* The source's own words as comments, with what they were indented by together taken away. */
static void quote(struct work *w, enum plan_place place, struct logstash_span at)
{
    struct strbuf text = {0};
    struct bytes rest;
    size_t indent = logstash_source_place(w->source, at.begin).column - 1;

    add_source(w, at.begin, at.end, &text);
    rest = strbuf_bytes(&text);
    for (unsigned lines = 0; rest.n; lines++) {
        const char *end = memchr(rest.p, '\n', rest.n);
        size_t n = end ? (size_t)(end - rest.p) : rest.n, skip = 0;
        struct strbuf line = {0};

        if (lines == QUOTED_LINES) {
            plan_comment(&w->plan, place, "    …");
            break;
        }
        while (lines > 0 && skip < MIN(indent, n) && rest.p[skip] == ' ')
            skip++;
        strbuf_add_str(&line, "    ");
        strbuf_add(&line, rest.p + skip,
                   MIN(n - skip - (n > skip && rest.p[n - 1] == '\r'), (size_t)QUOTED_BYTES));
        plan_comment(&w->plan, place, line.p);
        strbuf_fini(&line);
        n += end != NULL;
        rest = bytes_of(rest.p + n, rest.n - n);
    }
    strbuf_fini(&text);
}

/* Whether there is room for comments. Where it ends, that is said, once. */
static bool has_room(struct work *w, enum plan_place place)
{
    size_t n = 0;

    for (int i = 0; i < PLAN_PLACES; i++)
        n += w->plan.comments[i].n;
    if (n <= COMMENT_BYTES_MAX)
        return true;
    if (!w->full)
        plan_comment(&w->plan, place, "LEFT OUT, and more that was named on standard error");
    w->full = true;
    return false;
}

static void add_comment(struct work *w, enum plan_place place, struct logstash_span at,
                        const char *before, const char *text)
{
    struct logstash_place p = logstash_source_place(w->source, at.begin);
    struct strbuf line = {0};

    strbuf_printf(&line, "%s%s:%u: %s", before, p.file, p.line, text);
    plan_comment(&w->plan, place, line.p);
    strbuf_fini(&line);
}

void work_leave_out(struct work *w, enum plan_place place, struct logstash_span at, const char *fmt,
                    ...)
{
    char text[600];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (has_room(w, place)) {
        add_comment(w, place, at, "LEFT OUT, ", text);
        quote(w, place, at);
    }
    w->messages = base_realloc(w->messages, (w->n_messages + 1) * sizeof *w->messages);
    w->messages[w->n_messages++] = (struct work_message){at.begin, base_strdup(text)};
}

void work_remark(struct work *w, enum plan_place place, struct logstash_span at, const char *fmt,
                 ...)
{
    char text[600];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (has_room(w, place))
        add_comment(w, place, at, "", text);
}

/* ---- values ---- */

static bool is_name_char(char c, bool first)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
           (!first && c >= '0' && c <= '9');
}

/* ${NAME} or ${NAME:default} at s: its length, and the length of the name; 0 when it is none. */
static size_t variable(struct bytes s, size_t *name)
{
    const char *close;

    for (*name = 0; 2 + *name < s.n && is_name_char(s.p[2 + *name], *name == 0);)
        (*name)++;
    if (*name == 0 || 2 + *name >= s.n)
        return 0;
    if (s.p[2 + *name] == '}')
        return *name + 3;
    if (s.p[2 + *name] != ':')
        return 0;
    close = memchr(s.p, '}', s.n);
    return close ? (size_t)(close - s.p) + 1 : 0;
}

char *work_text(const struct logstash_value *v, struct error *e)
{
    struct strbuf to = {0};
    struct bytes s = v->text;
    char *text;

    if (v->kind != LOGSTASH_STRING && v->kind != LOGSTASH_NUMBER && v->kind != LOGSTASH_BAREWORD) {
        error_set(e, "one value was expected here");
        return NULL;
    }
    while (s.n) {
        size_t name = 0, n = 1;

        if (!bytes_starts_with(s, BYTES_LITERAL("${"))) {
            strbuf_add_char(&to, s.p[0]);
        } else if ((n = variable(s, &name)) > 0) {
            strbuf_add(&to, s.p, name + 2);
            if (n > name + 3)
                strbuf_printf(&to, ":-%.*s", (int)(n - name - 4), s.p + name + 3);
            strbuf_add_char(&to, '}');
        } else {
            error_set(e, "barge would take ${ for a variable of the environment");
            strbuf_fini(&to);
            return NULL;
        }
        s = bytes_of(s.p + n, s.n - n);
    }
    text = base_strndup(to.n ? to.p : "", to.n);
    strbuf_fini(&to);
    return text;
}

bool work_is(const struct logstash_value *v, const char *s)
{
    return v && v->kind <= LOGSTASH_BAREWORD && bytes_is(v->text, s);
}

int work_bool(const struct logstash_value *v)
{
    return work_is(v, "true") ? 1 : work_is(v, "false") ? 0 : -1;
}

bool work_on(const struct logstash_value *plugin, const char *name, bool otherwise)
{
    const struct logstash_value *v = logstash_tree_option(plugin, name);

    return v && work_bool(v) >= 0 ? work_bool(v) == 1 : otherwise;
}

char *work_field(const struct logstash_value *v, struct error *e)
{
    char *text = work_text(v, e), *to, *p;

    if (!text)
        return NULL;
    to = p = text;
    if (strstr(text, "%{") || strstr(text, "${")) {
        error_set(e, "a name that depends on the record cannot be said");
        goto refused;
    }
    if (*p != '[')
        return text;
    while (*p == '[') {
        size_t n = strcspn(++p, "[]");

        if (n == 0 || p[n] != ']')
            break;
        if (to > text)
            *to++ = '.';
        memmove(to, p, n);
        to += n;
        p += n + 1;
    }
    if (!*p) {
        *to = '\0';
        return text;
    }
    error_set(e, "this is no field's name");
refused:
    free(text);
    return NULL;
}

int work_entries(const struct logstash_value *v,
                 void (*fn)(void *arg, const struct logstash_value *name,
                            const struct logstash_value *value),
                 void *arg)
{
    if (v->kind == LOGSTASH_ARRAY) {
        size_t n = 0;

        for (const struct logstash_value *x = v->first; x; x = x->next)
            n++;
        if (n % 2)
            return -1;
        for (const struct logstash_value *x = v->first; x; x = x->next->next)
            fn(arg, x, x->next);
        return 0;
    }
    if (v->kind != LOGSTASH_HASH)
        return -1;
    for (const struct logstash_value *x = v->first; x; x = x->next) {
        struct logstash_value name = {.kind = LOGSTASH_STRING, .at = x->name_at, .text = x->name};

        fn(arg, &name, x);
    }
    return 0;
}

/* ---- asking barge itself ---- */

/* A problem's text without the setting's path, which means nothing to who reads of an option. */
static const char *without_path(const char *text)
{
    size_t n = strcspn(text, " ");

    return n > 1 && text[n - 1] == ':' && text[n] ? text + n + 1 : text;
}

int work_check(struct work *w, const struct strbuf *yaml, struct error *e)
{
    struct config_problems problems;
    struct config *c;
    bool holds;

    w->asked_bytes += yaml->n;
    if (++w->asked > ASK_MAX || w->asked_bytes > ASK_BYTES_MAX)
        return error_set(e, "there are too many settings before it; a configuration has %d at most",
                         ASK_MAX);
    if (memmem(yaml->p, yaml->n, "${", 2))
        return 0;
    c = config_parse(strbuf_bytes(yaml), &problems);
    holds = c && verify_config(c, &problems);
    if (!holds)
        error_set(e, "%s", without_path(problems.list[0].text));
    config_problems_fini(&problems);
    config_free(c);
    return holds ? 0 : -1;
}

bool work_is_named(const struct logstash_value *v, const char *const *names)
{
    for (; names && *names; names++)
        if (bytes_is(v->name, *names))
            return true;
    return false;
}

void work_repeated(struct work *w, enum plan_place place, const struct logstash_value *plugin,
                   const char *const *several)
{
    size_t options = 0;

    /* No plugin has more; each is compared with all behind it. */
    for (const struct logstash_value *v = plugin->first; v && options < OPTIONS_MAX; v = v->next) {
        const struct logstash_value *again = v->next;

        options++;
        while (again && !bytes_equal(v->name, again->name))
            again = again->next;
        if (again && !work_is_named(v, several))
            work_leave_out(w, place, work_option_span(v),
                           "%.*s: %.*s: it is there twice, and the last one is taken over",
                           (int)MIN(plugin->text.n, 60u), plugin->text.p, (int)MIN(v->name.n, 60u),
                           v->name.p);
    }
}

bool work_needs_nothing(const struct logstash_value *option)
{
    static const char *const names[] = {"id", "enable_metric", "periodic_flush",
                                        "ecs_compatibility"};

    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (bytes_is(option->name, names[i]))
            return true;
    return false;
}
