#include "agent/commands/logstash_when.h"

static struct when just(enum when_result result)
{
    return (struct when){.result = result};
}

static struct when truth(bool yes)
{
    return just(yes ? WHEN_ALWAYS : WHEN_NEVER);
}

/* ---- putting together ---- */

/* The name that both a and b fit, when one of them is any. */
static bool narrow(char to[WHEN_PATTERN], const char *a, const char *b)
{
    if (*a && *b && strcmp(a, b) != 0)
        return false;
    memcpy(to, *a ? a : b, strlen(*a ? a : b) + 1);
    return true;
}

struct when when_both(const struct when *a, const struct when *b)
{
    struct when both = just(WHEN_SELECTED);

    if (a->result == WHEN_NEVER || b->result == WHEN_NEVER)
        return just(WHEN_NEVER);
    if (a->result == WHEN_ALWAYS)
        return *b;
    if (b->result == WHEN_ALWAYS)
        return *a;
    if (a->result == WHEN_UNKNOWN || b->result == WHEN_UNKNOWN)
        return just(WHEN_UNKNOWN);
    for (size_t i = 0; i < a->n; i++)
        for (size_t k = 0; k < b->n; k++) {
            const struct when_selector *x = &a->selectors[i], *y = &b->selectors[k];
            struct when_selector *to = &both.selectors[both.n];

            if (both.n == WHEN_SELECTORS || !narrow(to->container, x->container, y->container) ||
                !narrow(to->image, x->image, y->image))
                return just(WHEN_UNKNOWN);
            both.n++;
        }
    return both;
}

struct when when_not(const struct when *a)
{
    if (a->result == WHEN_NEVER || a->result == WHEN_ALWAYS)
        return truth(a->result == WHEN_NEVER);
    return just(WHEN_UNKNOWN);
}

static struct when either(const struct when *a, const struct when *b)
{
    struct when one = *a;

    if (a->result == WHEN_ALWAYS || b->result == WHEN_ALWAYS)
        return just(WHEN_ALWAYS);
    if (a->result == WHEN_NEVER)
        return *b;
    if (b->result == WHEN_NEVER)
        return *a;
    if (a->result == WHEN_UNKNOWN || b->result == WHEN_UNKNOWN || a->n + b->n > WHEN_SELECTORS)
        return just(WHEN_UNKNOWN);
    for (size_t i = 0; i < b->n; i++)
        one.selectors[one.n++] = b->selectors[i];
    return one;
}

/* ---- comparisons ---- */

static bool is_field(const struct logstash_value *v, const char *name)
{
    size_t n = strlen(name);

    return v->kind == LOGSTASH_FIELD && v->text.n == n + 2 && memcmp(v->text.p + 1, name, n) == 0;
}

static bool is_container_field(const struct logstash_value *v)
{
    return is_field(v, "container_name") || is_field(v, "image_name");
}

/* Containers whose name (or image, as field says) fits pattern. */
static struct when select_by(const struct logstash_value *field, const char *pattern)
{
    struct when w = just(WHEN_SELECTED);
    char *to = is_field(field, "image_name") ? w.selectors[0].image : w.selectors[0].container;

    if (!*pattern || strlen(pattern) >= WHEN_PATTERN)
        return just(WHEN_UNKNOWN);
    w.n = 1;
    memcpy(to, pattern, strlen(pattern) + 1);
    return w;
}

/* text between before and after as a pattern of the configuration; "" when it cannot be one. */
static void wildcard(char to[WHEN_PATTERN], const char *before, struct bytes text,
                     const char *after)
{
    size_t n = strlen(before) + text.n + strlen(after);

    to[0] = '\0';
    if (n >= WHEN_PATTERN || !text.n || memchr(text.p, '*', text.n) || memchr(text.p, '$', text.n))
        return;
    memcpy(to, before, strlen(before));
    memcpy(to + strlen(before), text.p, text.n);
    memcpy(to + strlen(before) + text.n, after, strlen(after) + 1);
}

/* A regular expression that says no more than a * would; "" when it says more. */
static void regexp_wildcard(char to[WHEN_PATTERN], struct bytes r)
{
    size_t n = 0;
    bool begins = r.n && r.p[0] == '^', ends = r.n > 1 && r.p[r.n - 1] == '$';

    if (!begins)
        to[n++] = '*';
    for (size_t i = begins; i < r.n - ends; i++) {
        bool any = r.p[i] == '.' && i + 1 < r.n - ends && r.p[i + 1] == '*';
        bool escaped = r.p[i] == '\\' && i + 1 < r.n - ends && strchr("./-_", r.p[i + 1]);
        char c = any ? '*' : escaped ? r.p[i + 1] : r.p[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     c == '-' || c == '_' || c == '/' || c == ':' || any || escaped;

        if (!plain || n + 2 >= WHEN_PATTERN) {
            n = 0;
            break;
        }
        to[n++] = c;
        i += any || escaped;
    }
    if (n > 0 && !ends && to[n - 1] != '*')
        to[n++] = '*';
    to[n] = '\0';
}

static bool is_text(const struct logstash_value *v)
{
    return v->kind == LOGSTASH_STRING && !memmem(v->text.p, v->text.n, "${", 2);
}

static struct when equal(const struct logstash_value *field, const struct logstash_value *text,
                         const struct when_input *input, bool typed)
{
    char pattern[WHEN_PATTERN];

    if (!is_text(text))
        return just(WHEN_UNKNOWN);
    if (is_field(field, "type"))
        return input->type.p ? truth(bytes_equal(input->type, text->text))
                             : just(typed ? WHEN_NEVER : WHEN_UNKNOWN);
    if (!is_container_field(field))
        return just(WHEN_UNKNOWN);
    if (!input->containers)
        return just(WHEN_NEVER);
    wildcard(pattern, "", text->text, "");
    return select_by(field, pattern);
}

/* field in [a, b], or text in field. */
static struct when is_in(const struct logstash_value *a, const struct logstash_value *b,
                         const struct when_input *input, bool typed)
{
    struct when one = just(WHEN_NEVER);

    if (a->kind == LOGSTASH_FIELD && b->kind == LOGSTASH_ARRAY) {
        for (const struct logstash_value *v = b->first; v; v = v->next) {
            struct when next = equal(a, v, input, typed);

            one = either(&one, &next);
        }
        return one;
    }
    if (is_text(a) && is_container_field(b)) {
        char pattern[WHEN_PATTERN];

        wildcard(pattern, "*", a->text, "*");
        return input->containers ? select_by(b, pattern) : just(WHEN_NEVER);
    }
    if (is_text(a) && is_field(b, "tags") && input->tags) {
        const struct logstash_value *tags = input->tags;

        for (const struct logstash_value *v = tags->kind == LOGSTASH_ARRAY ? tags->first : tags; v;
             v = tags->kind == LOGSTASH_ARRAY ? v->next : NULL)
            if (bytes_equal(v->text, a->text))
                return just(WHEN_ALWAYS);
    }
    return just(WHEN_UNKNOWN);
}

/* /^{/, /^\s*\{/, "^{.*}$" … */
static bool looks_for_object(struct bytes r)
{
    size_t i = 0;

    if (r.n == 0 || r.p[i++] != '^')
        return false;
    if (bytes_starts_with(bytes_of(r.p + i, r.n - i), BYTES_LITERAL("\\s*")))
        i += 3;
    i += i < r.n && r.p[i] == '\\';
    return i < r.n && r.p[i] == '{';
}

static struct when matches(const struct logstash_value *field, const struct logstash_value *r,
                           const struct when_input *input, bool typed)
{
    char pattern[WHEN_PATTERN];

    if (is_field(field, "message"))
        return (struct when){.result = WHEN_UNKNOWN, .object = looks_for_object(r->text)};
    if (is_field(field, "type") && !input->type.p && typed)
        return just(WHEN_NEVER);
    if (!is_container_field(field))
        return just(WHEN_UNKNOWN);
    if (!input->containers)
        return just(WHEN_NEVER);
    regexp_wildcard(pattern, r->text);
    return select_by(field, pattern);
}

/* [type], [container_name]: whether there is one. */
static struct when is_there(const struct logstash_value *field, const struct when_input *input,
                            bool typed)
{
    if (is_field(field, "type"))
        return input->type.p ? just(WHEN_ALWAYS) : just(typed ? WHEN_NEVER : WHEN_UNKNOWN);
    if (is_container_field(field) && !input->containers)
        return just(WHEN_NEVER);
    return (struct when){.result = WHEN_UNKNOWN,
                         .there = field->kind == LOGSTASH_FIELD ? field->text : BYTES_NONE};
}

static struct when compare(const struct logstash_condition *c, const struct when_input *input,
                           bool typed)
{
    const struct logstash_value *a = c->a, *b = c->b;

    switch (c->op) {
    case LOGSTASH_EQUAL:
    case LOGSTASH_UNEQUAL:
        return a->kind == LOGSTASH_FIELD ? equal(a, b, input, typed) : equal(b, a, input, typed);
    case LOGSTASH_MATCHES:
    case LOGSTASH_MATCHES_NOT:
        return matches(a, b, input, typed);
    case LOGSTASH_IN:
    case LOGSTASH_NOT_IN:
        return is_in(a, b, input, typed);
    case LOGSTASH_IS:
        return is_there(a, input, typed);
    default:
        return just(WHEN_UNKNOWN);
    }
}

/* xor and nand, which container selectors cannot say. */
static struct when combine(enum logstash_operator op, const struct when *a, const struct when *b)
{
    struct when both;

    if (op == LOGSTASH_AND)
        return when_both(a, b);
    if (op == LOGSTASH_OR)
        return either(a, b);
    if (op == LOGSTASH_NAND) {
        both = when_both(a, b);
        return when_not(&both);
    }
    both = when_not(a);
    if (both.result == WHEN_UNKNOWN || when_not(b).result == WHEN_UNKNOWN)
        return just(WHEN_UNKNOWN);
    return truth(a->result != b->result);
}

/* "_grokparsefailure" in [tags], and the like. */
static bool asks_for_failure(const struct logstash_condition *c)
{
    static const char end[] = "parsefailure";
    const size_t n = sizeof end - 1;

    return (c->op == LOGSTASH_IN || c->op == LOGSTASH_NOT_IN) && is_field(c->b, "tags") &&
           is_text(c->a) && c->a->text.n > n && c->a->text.p[0] == '_' &&
           memcmp(c->a->text.p + c->a->text.n - n, end, n) == 0;
}

struct when when_evaluate(const struct logstash_condition *c, const struct when_input *input,
                          bool typed)
{
    struct when result;

    if ((c->op == LOGSTASH_NOT_IN && asks_for_failure(c)) ||
        (c->op == LOGSTASH_NOT && c->first->op == LOGSTASH_IN && asks_for_failure(c->first)))
        return (struct when){.result = WHEN_UNKNOWN, .parsed = true};
    if (!c->first) {
        result = compare(c, input, typed);
        if (c->op == LOGSTASH_UNEQUAL || c->op == LOGSTASH_MATCHES_NOT || c->op == LOGSTASH_NOT_IN)
            result = when_not(&result);
        return result;
    }
    result = when_evaluate(c->first, input, typed);
    if (c->op == LOGSTASH_NOT)
        return when_not(&result);
    for (const struct logstash_condition *next = c->first->next; next; next = next->next) {
        struct when more = when_evaluate(next, input, typed);

        result = combine(c->op, &result, &more);
    }
    return result;
}
