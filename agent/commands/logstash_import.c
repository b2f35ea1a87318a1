#include "agent/commands/logstash_import.h"

#include "agent/commands/logstash_work.h"

#include <stdlib.h>
#include <strings.h>

/* ---- secrets ---- */

static bool holds(struct bytes name, const char *part)
{
    size_t n = strlen(part);

    for (size_t i = 0; i + n <= name.n; i++)
        if (strncasecmp(name.p + i, part, n) == 0)
            return true;
    return false;
}

static void add_secret(struct work *w, size_t begin, size_t end)
{
    w->secrets = base_realloc(w->secrets, (w->n_secrets + 1) * sizeof *w->secrets);
    w->secrets[w->n_secrets++] = (struct logstash_span){begin, end};
}

/* user:password@ of a text that is a URL, or of a host. */
static void find_in_url(struct work *w, const struct logstash_value *v, bool host)
{
    const char *p = memmem(v->text.p, v->text.n, "://", 3), *end = v->text.p + v->text.n, *at;

    if (!p && !host)
        return;
    p = p ? p + 3 : v->text.p;
    for (at = p; at < end && !strchr("/?# ", *at);)
        at++;
    at = memrchr(p, '@', (size_t)(at - p));
    if (at && memchr(p, ':', (size_t)(at - p))) {
        size_t begin = v->at.begin + (size_t)(p - v->text.p) + (v->kind == LOGSTASH_STRING);

        add_secret(w, begin, begin + (size_t)(at - p));
    }
}

static void find_secrets(struct work *w, const struct logstash_value *v, bool host)
{
    static const char *const secret[] = {"password", "passwd", "passphrase", "api_key", "apikey",
                                         "secret",   "token",  "access_key", "auth",    "headers"};

    for (size_t i = 0; i < ARRAY_LEN(secret); i++)
        if (holds(v->name, secret[i])) {
            add_secret(w, v->at.begin, v->at.end);
            return;
        }
    host |= holds(v->name, "host") || holds(v->name, "url") || holds(v->name, "proxy");
    if (v->kind == LOGSTASH_STRING)
        find_in_url(w, v, host);
    for (const struct logstash_value *x = v->first; x; x = x->next)
        find_secrets(w, x, host);
}

static void find_all_secrets(struct work *w, const struct logstash_item *first)
{
    for (const struct logstash_item *i = first; i; i = i->next) {
        if (i->plugin)
            find_secrets(w, i->plugin, false);
        for (const struct logstash_arm *a = i->branch; a; a = a->next)
            find_all_secrets(w, a->first);
    }
}

/* ---- branches ---- */

static size_t n_states(const struct work *w)
{
    return MAX(w->n_inputs, 1u);
}

/* Without any input that is taken over: one of which nothing is known. */
static const struct when_input *input_at(const struct work *w, size_t i)
{
    static const struct when_input any = {.containers = true};

    return w->n_inputs ? &w->inputs[i].when : &any;
}

/* What is done with the plugins on the way. */
enum pass { PASS_FILTERS, PASS_CHOOSE, PASS_OUTPUTS };

static bool walk(struct work *w, enum pass pass, const struct logstash_item *first,
                 const struct when *states, bool rest);

/* The arms of a branch, each for what the ones before it left. Where an arm made rules of
 * `parsers`, the order of the rules leaves the rest to the next. */
static bool walk_branch(struct work *w, enum pass pass, const struct logstash_arm *first,
                        const struct when *states, bool rest)
{
    size_t n = n_states(w);
    struct when *left = base_calloc(n, sizeof *left), *inside = base_calloc(n, sizeof *inside);
    bool made = false;

    memcpy(left, states, n * sizeof *left);
    for (const struct logstash_arm *a = first; a; a = a->next) {
        bool some, by_rules = false;

        for (size_t i = 0; i < n; i++) {
            struct when c = {.result = WHEN_ALWAYS};

            if (a->when)
                c = when_evaluate(a->when, input_at(w, i), w->typed);
            inside[i] = when_both(&left[i], &c);
        }
        some = walk(w, pass, a->first, inside, rest);
        made |= some;
        for (size_t i = 0; i < n && a->when; i++) {
            struct when c = when_evaluate(a->when, input_at(w, i), w->typed), not_c = when_not(&c);

            if (some && c.result == WHEN_SELECTED)
                by_rules = true;
            else
                left[i] = when_both(&left[i], &not_c);
        }
        rest |= by_rules;
    }
    free(left);
    free(inside);
    return made;
}

static bool walk(struct work *w, enum pass pass, const struct logstash_item *first,
                 const struct when *states, bool rest)
{
    bool made = false;

    for (const struct logstash_item *i = first; i; i = i->next) {
        if (i->branch)
            made |= walk_branch(w, pass, i->branch, states, rest);
        else if (pass == PASS_FILTERS)
            made |= logstash_filter(w, i->plugin, states, rest);
        else if (pass == PASS_CHOOSE)
            logstash_output_choose(w, i->plugin, states);
        else
            logstash_output(w, i->plugin, states);
    }
    return made;
}

static void walk_sections(struct work *w, const struct logstash_tree *t, enum pass pass)
{
    enum logstash_section_kind kind = pass == PASS_FILTERS ? LOGSTASH_FILTER : LOGSTASH_OUTPUT;
    struct when *always = base_calloc(n_states(w), sizeof *always);

    for (size_t i = 0; i < n_states(w); i++)
        always[i].result = WHEN_ALWAYS;
    for (const struct logstash_section *s = t->first; s; s = s->next)
        if (s->kind == kind)
            walk(w, pass, s->first, always, false);
    free(always);
}

/* ---- all ---- */

static int by_place(const void *a, const void *b)
{
    const struct work_message *x = a, *y = b;

    return x->at < y->at ? -1 : x->at > y->at ? 1 : strcmp(x->text, y->text);
}

static void write_messages(struct work *w, struct strbuf *to)
{
    if (w->n_messages > 0)
        qsort(w->messages, w->n_messages, sizeof *w->messages, by_place);
    for (size_t i = 0; i < w->n_messages; i++) {
        struct logstash_place p = logstash_source_place(w->source, w->messages[i].at);
        size_t from = to->n;

        strbuf_printf(to, "%s:%u:%u: %s", p.file, p.line, p.column, w->messages[i].text);
        for (size_t k = from; k < to->n; k++) /* a message is one line */
            if ((unsigned char)to->p[k] < ' ' || to->p[k] == 0x7f)
                to->p[k] = '?';
        strbuf_add_char(to, '\n');
    }
}

/* Whether some input's messages have neither a parser nor are said to be JSON. */
static bool is_read_anyway(const struct work *w)
{
    bool all = false, some = false;

    for (size_t i = 0; i < w->plan.n_rules; i++)
        all |= w->plan.rules[i].container && strcmp(w->plan.rules[i].container, "*") == 0;
    for (size_t i = 0; i < w->n_inputs; i++) {
        const struct work_input *in = &w->inputs[i];
        const char *kind = in->gelf ? NULL : w->plan.files[in->file].parser.kind;

        some |= !in->json && (in->gelf ? !all : !kind || strcmp(kind, "multiline") == 0);
    }
    return some;
}

static bool has_section(const struct logstash_tree *t, enum logstash_section_kind kind)
{
    const struct logstash_section *s = t->first;

    while (s && s->kind != kind)
        s = s->next;
    return s != NULL;
}

void logstash_import(const struct logstash_source *s, const struct logstash_tree *t,
                     struct logstash_report *out)
{
    struct work *w = base_calloc(1, sizeof *w);
    size_t end = logstash_source_bytes(s).n;

    *out = (struct logstash_report){0};
    w->source = s;
    for (const struct logstash_section *x = t->first; x; x = x->next)
        find_all_secrets(w, x->first);
    for (const struct logstash_section *x = t->first; x; x = x->next)
        if (x->kind == LOGSTASH_INPUT)
            logstash_inputs(w, x->first);
    logstash_inputs_end(w);
    walk_sections(w, t, PASS_FILTERS);
    if (!w->json && is_read_anyway(w))
        plan_comment(&w->plan, PLAN_RECORD,
                     "There is no json filter, and barge takes messages apart all the same that "
                     "are JSON objects; to keep them as text: parser: text");
    walk_sections(w, t, PASS_CHOOSE);
    walk_sections(w, t, PASS_OUTPUTS);
    if (!has_section(t, LOGSTASH_INPUT))
        plan_comment(&w->plan, PLAN_INPUTS, "There is no input: barge's defaults hold.");
    if (!w->output)
        work_leave_out(w, PLAN_OUTPUT, (struct logstash_span){end, end},
                       "there is no output that is taken over; without one barge sends to "
                       "http://localhost:9200");
    plan_write(&w->plan, &out->yaml);
    write_messages(w, &out->messages);
    out->left_out = w->n_messages;
    for (size_t i = 0; i < w->n_messages; i++)
        free(w->messages[i].text);
    free(w->messages);
    free(w->secrets);
    plan_fini(&w->plan);
    free(w);
}

void logstash_report_fini(struct logstash_report *r)
{
    strbuf_fini(&r->yaml);
    strbuf_fini(&r->messages);
}
