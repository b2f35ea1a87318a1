/*
 * Recursive descent with a ceiling on its depth; no byte is read more than a few times. What the
 * parser makes lies in one chain of blocks and goes with the tree.
 */
#include "agent/commands/logstash_tree.h"

#include <stdlib.h>

struct block {
    struct block *next;
};

struct parser {
    struct bytes text;
    size_t at;
    unsigned depth;
    struct block *memory;
    size_t *error_at;
    struct error *error;
};

static void *make(struct parser *p, size_t size)
{
    struct block *b = base_calloc(1, sizeof *b + size);

    b->next = p->memory;
    p->memory = b;
    return b + 1;
}

static void free_blocks(struct block *b)
{
    while (b) {
        struct block *next = b->next;

        free(b);
        b = next;
    }
}

/* ---- characters ---- */

static int char_at(const struct parser *p, size_t at)
{
    return at < p->text.n ? (unsigned char)p->text.p[at] : -1;
}

static int peek(const struct parser *p)
{
    return char_at(p, p->at);
}

static bool is_digit(int c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(int c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_word(int c)
{
    return is_letter(c) || is_digit(c);
}

static bool is_name(int c)
{
    return is_word(c) || c == '-';
}

/* Where blanks and comments from at on end. */
static size_t skipped(const struct parser *p, size_t at)
{
    for (;;) {
        int c = char_at(p, at);

        if (c == '#')
            while (char_at(p, at) != -1 && char_at(p, at) != '\n')
                at++;
        else if (c == ' ' || c == '\t' || c == '\r' || c == '\n')
            at++;
        else
            return at;
    }
}

static void skip(struct parser *p)
{
    p->at = skipped(p, p->at);
}

static bool looks_at(const struct parser *p, const char *s)
{
    size_t n = strlen(s);

    return p->text.n - p->at >= n && memcmp(p->text.p + p->at, s, n) == 0;
}

static bool looks_at_word(const struct parser *p, const char *s)
{
    return looks_at(p, s) && !is_name(char_at(p, p->at + strlen(s)));
}

static bool take(struct parser *p, const char *s)
{
    if (!looks_at(p, s))
        return false;
    p->at += strlen(s);
    return true;
}

/* The bytes from begin to where the parser is. */
static struct bytes since(const struct parser *p, size_t begin)
{
    return bytes_of(p->text.p + begin, p->at - begin);
}

/* Says what was expected at the parser's place, and what stands there. */
static int fail(struct parser *p, const char *expected)
{
    size_t n = 0;
    int c = peek(p);

    while (n < 24 && is_name(char_at(p, p->at + n)))
        n++;
    *p->error_at = p->at;
    if (c == -1)
        return error_set(p->error, "%s was expected, and the text ends here", expected);
    if (n > 0)
        return error_set(p->error, "%s was expected before %.*s", expected, (int)n,
                         p->text.p + p->at);
    if (c > ' ' && c < 0x7f)
        return error_set(p->error, "%s was expected before %c", expected, c);
    return error_set(p->error, "%s was expected here", expected);
}

static int too_deep(struct parser *p)
{
    *p->error_at = p->at;
    return error_set(p->error, "more than %d levels within each other are not read",
                     LOGSTASH_TREE_DEPTH);
}

/* ---- values ---- */

static struct logstash_value *new_value(struct parser *p, enum logstash_kind kind)
{
    struct logstash_value *v = make(p, sizeof *v);

    v->kind = kind;
    v->at.begin = v->at.end = p->at;
    return v;
}

static struct logstash_value *ended(struct parser *p, struct logstash_value *v)
{
    v->at.end = p->at;
    return v;
}

/* What stands between two of the character that the parser is at; a backslash before that one keeps
 * it from being the end, and stays. */
static struct logstash_value *read_quoted(struct parser *p, enum logstash_kind kind,
                                          const char *what)
{
    struct logstash_value *v = new_value(p, kind);
    char quote = p->text.p[p->at++];
    size_t begin = p->at;

    while (peek(p) != -1 && peek(p) != quote)
        p->at += peek(p) == '\\' && char_at(p, p->at + 1) == quote ? 2 : 1;
    if (peek(p) == -1) {
        *p->error_at = v->at.begin;
        error_set(p->error, "this %s has no end; %c was expected", what, quote);
        return NULL;
    }
    v->text = since(p, begin);
    p->at++;
    return ended(p, v);
}

static struct logstash_value *read_string(struct parser *p)
{
    return read_quoted(p, LOGSTASH_STRING, "string");
}

static bool at_string(const struct parser *p)
{
    return peek(p) == '"' || peek(p) == '\'';
}

static struct logstash_value *read_number(struct parser *p)
{
    struct logstash_value *v = new_value(p, LOGSTASH_NUMBER);
    size_t begin = p->at;

    take(p, "-");
    if (!is_digit(peek(p))) {
        fail(p, "a number");
        return NULL;
    }
    while (is_digit(peek(p)))
        p->at++;
    if (take(p, "."))
        while (is_digit(peek(p)))
            p->at++;
    v->text = since(p, begin);
    return ended(p, v);
}

static struct logstash_value *read_bareword(struct parser *p)
{
    struct logstash_value *v = new_value(p, LOGSTASH_BAREWORD);
    size_t begin = p->at;

    while (is_word(peek(p)))
        p->at++;
    v->text = since(p, begin);
    if (v->text.n > 1)
        return ended(p, v);
    p->at = begin;
    fail(p, "a value (a word without quotes has two letters or more)");
    return NULL;
}

static struct logstash_value *read_value(struct parser *p);
static struct logstash_value *read_plugin(struct parser *p);

/* A value of an array or a call; in conditions it may also be a field. */
typedef struct logstash_value *(*value_fn)(struct parser *p);

/* value, value … up to the character close. */
static int read_list(struct parser *p, struct logstash_value *v, value_fn read, const char *close,
                     const char *expected)
{
    struct logstash_value **end = &v->first;

    skip(p);
    if (take(p, close))
        return 0;
    for (;;) {
        *end = read(p);
        if (!*end)
            return -1;
        end = &(*end)->next;
        skip(p);
        if (take(p, close))
            return 0;
        if (!take(p, ","))
            return fail(p, expected);
        skip(p);
    }
}

/* name => value, as option of a plugin or entry of a hash, when the name has been read. */
static struct logstash_value *read_named(struct parser *p, struct bytes name,
                                         struct logstash_span at, const char *expected)
{
    struct logstash_value *v;

    skip(p);
    if (!take(p, "=>")) {
        fail(p, expected);
        return NULL;
    }
    skip(p);
    v = read_value(p);
    if (v) {
        v->name = name;
        v->name_at = at;
    }
    return v;
}

/* The name of a plugin or an option: a word that may hold - and begin with a digit, or a string. */
static bool read_name(struct parser *p, struct bytes *name, struct logstash_span *at,
                      const char *expected)
{
    struct logstash_value *quoted;

    at->begin = p->at;
    if (at_string(p)) {
        quoted = read_string(p);
        if (!quoted)
            return false;
        *name = quoted->text;
    } else {
        while (is_name(peek(p)))
            p->at++;
        *name = since(p, at->begin);
        if (name->n == 0) {
            fail(p, expected);
            return false;
        }
    }
    at->end = p->at;
    return true;
}

static int read_hash(struct parser *p, struct logstash_value *v)
{
    struct logstash_value **end = &v->first;

    for (;;) {
        struct logstash_value *key;

        skip(p);
        if (take(p, "}"))
            return 0;
        key = at_string(p)                          ? read_string(p)
              : is_digit(peek(p)) || peek(p) == '-' ? read_number(p)
              : is_letter(peek(p))                  ? read_bareword(p)
                                                    : NULL;
        if (!key)
            return p->error->text[0] ? -1 : fail(p, "a key of the hash or }");
        *end = read_named(p, key->text, key->at, "=> behind the key of the hash");
        if (!*end)
            return -1;
        end = &(*end)->next;
    }
}

static struct logstash_value *read_compound(struct parser *p)
{
    bool array = take(p, "[");
    struct logstash_value *v;
    size_t begin = p->at - array;
    int rc;

    if (++p->depth > LOGSTASH_TREE_DEPTH) {
        too_deep(p);
        return NULL;
    }
    v = new_value(p, array ? LOGSTASH_ARRAY : LOGSTASH_HASH);
    v->at.begin = begin;
    p->at += !array; /* the brace */
    rc = array ? read_list(p, v, read_value, "]", "a comma or ]") : read_hash(p, v);
    p->depth--;
    return rc < 0 ? NULL : ended(p, v);
}

/* Whether a word or string at the parser's place is the name of a plugin with its block. */
static bool at_plugin(const struct parser *p)
{
    size_t at = p->at;
    int quote = at_string(p) ? peek(p) : 0;

    if (quote) {
        for (at++; char_at(p, at) != -1 && char_at(p, at) != quote; at++)
            at += char_at(p, at) == '\\' && char_at(p, at + 1) == quote;
        at++;
    } else {
        while (is_name(char_at(p, at)))
            at++;
    }
    return at > p->at && char_at(p, skipped(p, at)) == '{';
}

static struct logstash_value *read_value(struct parser *p)
{
    int c = peek(p);

    if (at_plugin(p))
        return read_plugin(p);
    if (at_string(p))
        return read_string(p);
    if (c == '[' || c == '{')
        return read_compound(p);
    if (is_digit(c) || c == '-')
        return read_number(p);
    if (is_letter(c))
        return read_bareword(p);
    fail(p, "a value");
    return NULL;
}

static int read_options(struct parser *p, struct logstash_value *plugin)
{
    struct logstash_value **end = &plugin->first;

    for (;;) {
        struct bytes name;
        struct logstash_span at;
        size_t before = p->at;

        skip(p);
        if (take(p, "}"))
            return 0;
        if (plugin->first && p->at == before)
            return fail(p, "a blank or } behind the value");
        if (!read_name(p, &name, &at, "an option's name or }"))
            return -1;
        *end = read_named(p, name, at, "=> behind the option's name");
        if (!*end)
            return -1;
        end = &(*end)->next;
    }
}

static struct logstash_value *read_plugin(struct parser *p)
{
    struct logstash_value *v = new_value(p, LOGSTASH_PLUGIN);
    struct logstash_span at;
    int rc;

    if (!read_name(p, &v->text, &at, "a plugin's name, if, or }"))
        return NULL;
    skip(p);
    if (!take(p, "{")) {
        fail(p, "{ behind the plugin's name");
        return NULL;
    }
    if (++p->depth > LOGSTASH_TREE_DEPTH) {
        too_deep(p);
        return NULL;
    }
    rc = read_options(p, v);
    p->depth--;
    return rc < 0 ? NULL : ended(p, v);
}

/* ---- conditions ---- */

static struct logstash_condition *read_condition(struct parser *p);

/* [a][b]. What is no field is an array: false, and the parser where it was. */
static bool read_field(struct parser *p, struct logstash_value **to)
{
    struct logstash_value *v = new_value(p, LOGSTASH_FIELD);
    size_t begin = p->at;

    while (peek(p) == '[') {
        size_t end = p->at + 1;

        while (char_at(p, end) != -1 && !strchr("[],", char_at(p, end)))
            end++;
        if (char_at(p, end) != ']' || end == p->at + 1)
            break;
        p->at = end + 1;
    }
    v->text = since(p, begin);
    *to = ended(p, v);
    return v->text.n > 0;
}

static struct logstash_value *read_operand(struct parser *p);

static struct logstash_value *read_call(struct parser *p)
{
    struct logstash_value *v = read_bareword(p);

    if (!v)
        return NULL;
    v->kind = LOGSTASH_CALL;
    skip(p);
    if (!take(p, "(")) {
        fail(p, "( behind the method's name");
        return NULL;
    }
    if (++p->depth > LOGSTASH_TREE_DEPTH) {
        too_deep(p);
        return NULL;
    }
    skip(p);
    if (read_list(p, v, read_operand, ")", "a comma or )") < 0)
        return NULL;
    p->depth--;
    return ended(p, v);
}

static struct logstash_value *read_operand(struct parser *p)
{
    struct logstash_value *v;
    int c = peek(p);

    if (at_string(p))
        return read_string(p);
    if (is_digit(c) || c == '-')
        return read_number(p);
    if (c == '[')
        return read_field(p, &v) ? v : read_compound(p);
    if (c == '/')
        return read_quoted(p, LOGSTASH_REGEXP, "pattern");
    if (is_letter(c))
        return read_call(p);
    fail(p, "a condition: a [field], a value in quotes, a number or (");
    return NULL;
}

static struct logstash_condition *new_condition(struct parser *p, enum logstash_operator op)
{
    struct logstash_condition *c = make(p, sizeof *c);

    c->op = op;
    c->at.begin = c->at.end = p->at;
    return c;
}

/* The operator that the parser is at, behind an operand; LOGSTASH_IS when there is none. */
static int read_operator(struct parser *p, enum logstash_operator *op)
{
    static const struct {
        const char *text;
        enum logstash_operator op;
    } operators[] = {
        {"==", LOGSTASH_EQUAL},    {"!=", LOGSTASH_UNEQUAL},     {"<=", LOGSTASH_AT_MOST},
        {">=", LOGSTASH_AT_LEAST}, {"<", LOGSTASH_LESS},         {">", LOGSTASH_GREATER},
        {"=~", LOGSTASH_MATCHES},  {"!~", LOGSTASH_MATCHES_NOT},
    };

    *op = LOGSTASH_IS;
    for (size_t i = 0; i < ARRAY_LEN(operators); i++)
        if (take(p, operators[i].text)) {
            *op = operators[i].op;
            return 0;
        }
    if (looks_at_word(p, "in")) {
        take(p, "in");
        *op = LOGSTASH_IN;
    } else if (looks_at_word(p, "not")) {
        take(p, "not");
        skip(p);
        if (!looks_at_word(p, "in"))
            return fail(p, "in behind not");
        take(p, "in");
        *op = LOGSTASH_NOT_IN;
    }
    return 0;
}

static struct logstash_condition *read_comparison(struct parser *p)
{
    struct logstash_condition *c = new_condition(p, LOGSTASH_IS);
    size_t end;

    c->a = read_operand(p);
    if (!c->a)
        return NULL;
    end = p->at;
    skip(p);
    if (read_operator(p, &c->op) < 0)
        return NULL;
    if (c->op == LOGSTASH_IS) {
        p->at = end;
    } else {
        skip(p);
        if ((c->op == LOGSTASH_MATCHES || c->op == LOGSTASH_MATCHES_NOT) && !at_string(p) &&
            peek(p) != '/') {
            fail(p, "a pattern, between slashes or in quotes,");
            return NULL;
        }
        c->b = read_operand(p);
        if (!c->b)
            return NULL;
    }
    c->at.end = p->at;
    return c;
}

static struct logstash_condition *read_parenthesis(struct parser *p)
{
    struct logstash_condition *c;

    if (++p->depth > LOGSTASH_TREE_DEPTH) {
        too_deep(p);
        return NULL;
    }
    skip(p);
    c = read_condition(p);
    if (!c)
        return NULL;
    skip(p);
    if (!take(p, ")")) {
        fail(p, "and, or, xor, nand or )");
        return NULL;
    }
    p->depth--;
    return c;
}

static struct logstash_condition *read_expression(struct parser *p)
{
    struct logstash_condition *c;

    if (take(p, "("))
        return read_parenthesis(p);
    if (peek(p) != '!')
        return read_comparison(p);
    c = new_condition(p, LOGSTASH_NOT);
    take(p, "!");
    skip(p);
    if (take(p, "(")) {
        c->first = read_parenthesis(p);
    } else {
        c->first = new_condition(p, LOGSTASH_IS);
        if (peek(p) != '[' || !read_field(p, &c->first->a)) {
            fail(p, "( or a [field] behind !");
            return NULL;
        }
        c->first->at.end = p->at;
    }
    c->at.end = p->at;
    return c->first ? c : NULL;
}

/* x OP x OP x …, where OP is one of the two operators. and and nand bind closer than or and xor. */
static struct logstash_condition *read_chain(struct parser *p, bool close)
{
    const char *const words[] = {close ? "and" : "or", close ? "nand" : "xor"};
    const enum logstash_operator ops[] = {close ? LOGSTASH_AND : LOGSTASH_OR,
                                          close ? LOGSTASH_NAND : LOGSTASH_XOR};
    struct logstash_condition *left = close ? read_expression(p) : read_chain(p, true);
    struct logstash_condition *chain = NULL, *last = NULL;
    unsigned turns = 0;

    while (left) {
        size_t end = p->at;
        unsigned i;

        skip(p);
        for (i = 0; i < 2 && !looks_at_word(p, words[i]); i++)
            ;
        if (i == 2) {
            p->at = end;
            return left;
        }
        take(p, words[i]);
        if (!chain || chain->op != ops[i]) {
            if (++turns > LOGSTASH_TREE_TURNS) {
                fail(p, "a parenthesis around some of these conditions");
                return NULL;
            }
            chain = new_condition(p, ops[i]);
            chain->at.begin = left->at.begin;
            chain->first = last = left;
            left = chain;
        }
        skip(p);
        last->next = close ? read_expression(p) : read_chain(p, true);
        last = last->next;
        if (!last)
            return NULL;
        chain->at.end = p->at;
    }
    return NULL;
}

static struct logstash_condition *read_condition(struct parser *p)
{
    return read_chain(p, false);
}

/* ---- sections ---- */

static int read_items(struct parser *p, struct logstash_item **first);

/* The block behind an if, else if or else. */
static int read_arm(struct parser *p, struct logstash_arm *arm, bool conditional)
{
    if (conditional) {
        skip(p);
        arm->when = read_condition(p);
        if (!arm->when)
            return -1;
    }
    arm->at.end = p->at;
    skip(p);
    if (!take(p, "{"))
        return fail(p, conditional ? "and, or, xor, nand or {" : "{ or if behind else");
    return read_items(p, &arm->first);
}

static int read_branch(struct parser *p, struct logstash_item *item)
{
    struct logstash_arm **end = &item->branch;

    for (;;) {
        struct logstash_arm *arm = make(p, sizeof *arm);
        bool conditional;
        size_t behind;

        arm->at.begin = p->at;
        if (item->branch)
            take(p, "else");
        skip(p);
        conditional = looks_at_word(p, "if");
        if (conditional)
            take(p, "if");
        *end = arm;
        end = &arm->next;
        if (read_arm(p, arm, conditional) < 0)
            return -1;
        behind = p->at;
        skip(p);
        if (!conditional || !looks_at_word(p, "else")) {
            p->at = behind;
            return 0;
        }
    }
}

/* Plugins and branches up to the brace that closes them. */
static int read_items(struct parser *p, struct logstash_item **first)
{
    struct logstash_item **end = first;

    if (++p->depth > LOGSTASH_TREE_DEPTH)
        return too_deep(p);
    for (;;) {
        struct logstash_item *item;

        skip(p);
        if (take(p, "}")) {
            p->depth--;
            return 0;
        }
        item = *end = make(p, sizeof *item);
        end = &item->next;
        item->at.begin = p->at;
        if (looks_at_word(p, "if")) {
            if (read_branch(p, item) < 0)
                return -1;
        } else {
            item->plugin = read_plugin(p);
            if (!item->plugin)
                return -1;
        }
        item->at.end = p->at;
    }
}

static struct logstash_section *read_section(struct parser *p)
{
    static const char *const names[] = {"input", "filter", "output"};
    struct logstash_section *s = make(p, sizeof *s);
    size_t i = 0;

    s->at.begin = p->at;
    while (i < ARRAY_LEN(names) && !looks_at_word(p, names[i]))
        i++;
    if (i == ARRAY_LEN(names)) {
        fail(p, "input, filter or output");
        return NULL;
    }
    take(p, names[i]);
    s->kind = (enum logstash_section_kind)i;
    skip(p);
    if (!take(p, "{")) {
        fail(p, "{ behind the section's name");
        return NULL;
    }
    if (read_items(p, &s->first) < 0)
        return NULL;
    s->at.end = p->at;
    return s;
}

struct logstash_tree *logstash_tree_parse(struct bytes text, size_t *at, struct error *e)
{
    struct parser p = {.text = text, .error_at = at, .error = e};
    struct logstash_tree *t;
    struct logstash_section *first = NULL, **end = &first;

    e->text[0] = '\0';
    *at = 0;
    for (skip(&p); !first || peek(&p) != -1; skip(&p)) {
        *end = read_section(&p);
        if (!*end) {
            free_blocks(p.memory);
            return NULL;
        }
        end = &(*end)->next;
    }
    t = base_calloc(1, sizeof *t);
    t->first = first;
    t->memory = p.memory;
    return t;
}

void logstash_tree_free(struct logstash_tree *t)
{
    if (!t)
        return;
    free_blocks(t->memory);
    free(t);
}

const struct logstash_value *logstash_tree_option(const struct logstash_value *plugin,
                                                  const char *name)
{
    const struct logstash_value *found = NULL;

    for (const struct logstash_value *v = plugin->first; v; v = v->next)
        if (bytes_is(v->name, name))
            found = v;
    return found;
}
