#include "parsers/redact.h"

#include "agent/base/metrics.h"
#include "agent/base/strbuf.h"
#include "agent/base/wildcard.h"
#include "parsers/json.h"
#include "parsers/pseudonym.h"
#include "parsers/redact_find.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

/*
 * Most documents hold nothing: one scan over their raw bytes tells that, and which names of fields
 * are in them. Only where there may be something the document is walked, value by value: strings
 * are decoded, and searched; a string that holds JSON is walked itself. What is to be replaced is
 * told in the places of the text where it was found, and these are brought back, level by level, to
 * places of the document: so everything else stays byte for byte. Replacements hold nothing that
 * JSON would have to escape, at any level.
 */

#define LEVELS 5 /* the document, and JSON in strings in it, one in the other */
#define MAX_DEPTH                                                                                  \
    128                 /* of objects and arrays, all levels together: more than a document has;   \
                           deeper ones in strings are text */
#define NAME_KEPT 255   /* bytes of a name, its last ones */
#define MAX_PATH 1024   /* bytes of a dotted name, its last ones */
#define KEEP (1u << 20) /* of a buffer, from document to document */
#define REPLACEMENT_MAX 64 /* bytes */
#define SUFFIX_MAX 64      /* of a name, looked at by the scan */

struct field_rule {
    char *pattern;
    const char *last; /* the end of names that it may mean, in the pattern; */
    size_t last_n;    /* 0: any */
    enum redact_action action;
};

struct redact {
    unsigned kinds; /* that are looked for */
    uint8_t action[REDACT_KINDS];
    struct field_rule *fields;
    size_t n_fields;
    char **except;
    bool looks_at_own;           /* a rule may mean what stands in struct redact_own */
    bool any_name;               /* a rule whose names cannot be told by their ends */
    uint8_t ends[256];           /* last bytes of names that rules mean */
    struct pseudonym *pseudonym; /* NULL: no rule wants one */
    struct strbuf out, path, text[LEVELS];
};

static const struct field_rule *rule_for(const struct redact *r, struct bytes path);

/* ---- set-up ---- */

/* What a name must end with to be meant by the rule: the last part, behind its last star. Behind
 * `.*` anything goes, below the name before it. */
static void find_last(struct field_rule *f)
{
    size_t n = strlen(f->pattern);
    const char *end, *p;

    if (n > 2 && strcmp(f->pattern + n - 2, ".*") == 0)
        n -= 2;
    end = f->pattern + n;
    for (p = end; p > f->pattern && p[-1] != '*' && p[-1] != '.'; p--)
        ;
    f->last = p;
    f->last_n = (size_t)(end - p);
    if (f->last_n > SUFFIX_MAX)
        f->last_n = 0;
}

static void add_field(struct redact *r, const struct redact_rule *rule)
{
    struct field_rule *f;

    r->fields = base_realloc(r->fields, (r->n_fields + 1) * sizeof *r->fields);
    f = &r->fields[r->n_fields++];
    f->pattern = base_strdup(rule->field);
    f->action = (enum redact_action)rule->action;
    find_last(f);
    if (f->last_n == 0) {
        r->any_name = true;
    } else {
        char c = f->last[f->last_n - 1];

        r->ends[(unsigned char)c] = 1;
        if ((c | 32) >= 'a' && (c | 32) <= 'z')
            r->ends[(unsigned char)(c ^ 32)] = 1;
    }
}

/* false when there is a rule for the kind already. */
static bool add_kind(struct redact *r, const struct redact_rule *rule)
{
    bool some = false;

    for (unsigned k = 0; k < REDACT_KINDS; k++)
        if ((rule->kind == k || rule->kind == REDACT_KINDS) && !(r->kinds & 1u << k)) {
            r->kinds |= 1u << k;
            r->action[k] = (uint8_t)rule->action;
            some = true;
        }
    return some;
}

/* Whether rules may mean what a document has of its own. */
static bool may_mean_own(const struct redact *r)
{
    static const char *const own[] = {"container",       "container.id", "container.name",
                                      "container.image", "host",         "container.image.name",
                                      "host.name",       "stream",       "event.sequence"};

    for (size_t i = 0; i < ARRAY_LEN(own); i++)
        if (rule_for(r, bytes_str(own[i])))
            return true;
    return false;
}

static int add_rules(struct redact *r, const struct redact_settings *s, struct error *e)
{
    for (size_t i = 0; s->rules[i]; i++) {
        const struct redact_rule *rule = s->rules[i];

        if (rule->action == REDACT_HASH && !r->pseudonym)
            return error_set(e, "redact.rules[%zu].action: hash needs a key: redact.key_file", i);
        if (rule->field[0])
            add_field(r, rule);
        else if (!add_kind(r, rule))
            return error_set(e, "redact.rules[%zu].kind: a rule before says what becomes of it", i);
    }
    r->looks_at_own = may_mean_own(r);
    return 0;
}

struct redact *redact_create(const struct redact_settings *s, struct bytes key, struct error *e)
{
    struct redact *r = base_calloc(1, sizeof *r);
    size_t n = 0;

    while (s->except[n])
        n++;
    r->except = base_calloc(n + 1, sizeof *r->except);
    for (size_t i = 0; i < n; i++)
        r->except[i] = base_strdup(s->except[i]);
    if (key.n)
        r->pseudonym = pseudonym_create(key);
    if (add_rules(r, s, e) < 0) {
        redact_free(r);
        return NULL;
    }
    return r;
}

void redact_free(struct redact *r)
{
    if (!r)
        return;
    for (size_t i = 0; i < r->n_fields; i++)
        free(r->fields[i].pattern);
    free(r->fields);
    for (size_t i = 0; r->except[i]; i++)
        free(r->except[i]);
    free(r->except);
    pseudonym_free(r->pseudonym);
    strbuf_fini(&r->out);
    strbuf_fini(&r->path);
    for (size_t i = 0; i < LEVELS; i++)
        strbuf_fini(&r->text[i]);
    free(r);
}

/* ---- names ---- */

/* Whether a quote in a document stands behind a name that a rule may mean. */
static bool may_be_meant(const struct redact *r, const char *document, const char *quote)
{
    const char *end = quote;

    while (end > document && end[-1] == '\\')
        end--;
    if (end == document || !r->ends[(unsigned char)end[-1]])
        return false;
    for (size_t i = 0; i < r->n_fields; i++) {
        const struct field_rule *f = &r->fields[i];

        if ((size_t)(end - document) > f->last_n && f->last_n &&
            strncasecmp(end - f->last_n, f->last, f->last_n) == 0)
            return true;
    }
    return false;
}

static const struct field_rule *rule_for(const struct redact *r, struct bytes path)
{
    for (size_t i = 0; i < r->n_fields; i++)
        if (wildcard_matches_any_case(r->fields[i].pattern, path))
            return &r->fields[i];
    return NULL;
}

/* Whether path is name, or lies below it. */
static bool is_or_below(struct bytes path, const char *name)
{
    struct bytes n = bytes_str(name);

    return bytes_starts_with(path, n) && (path.n == n.n || path.p[n.n] == '.');
}

/* The kinds that are looked for in a field. */
static unsigned kinds_in(const struct redact *r, struct bytes path)
{
    static const char *const ours[] = {
        "@timestamp", "log",          "stream",         "event.sequence",
        "tags",       "container.id", "container.name", "container.image",
        "host",       "kubernetes",   "barge",
    };
    static const char *const ids[] = {"http.request.id", "trace.id", "span.id"};
    static const unsigned numbers = 1u << REDACT_CARD | 1u << REDACT_NATIONAL_ID | 1u << REDACT_IP;

    for (size_t i = 0; i < ARRAY_LEN(ours); i++)
        if (is_or_below(path, ours[i]))
            return 0;
    for (char *const *p = r->except; *p; p++)
        if (wildcard_matches_any_case(*p, path))
            return 0;
    for (size_t i = 0; i < ARRAY_LEN(ids); i++)
        if (bytes_is(path, ids[i]))
            return r->kinds & ~numbers;
    return redact_number_names_an_id(path) ? r->kinds & ~numbers : r->kinds;
}

/* ---- places ---- */

#define PLACES_MAX 32

/* Where something may be, in their order. */
struct places {
    size_t at[PLACES_MAX];
    size_t n;
    bool names; /* fields that rules mean are among them: what lies below such a name counts too */
    bool all;   /* there may be more */
};

static void add_place(struct places *to, size_t at, bool name)
{
    to->names |= name;
    if (to->n == PLACES_MAX)
        to->all = true;
    else
        to->at[to->n++] = at;
}

static void scan_places(const struct redact *r, const char *document, size_t from, size_t to,
                        struct places *places)
{
    struct bytes text = bytes_of(document + from, to - from);
    struct redact_scan scan;
    const char *name, *at;

    redact_scan_begin(&scan, text, r->n_fields > 0);
    while (!places->all && redact_find_maybe(&scan, text, r->kinds, &at, &name))
        if (!name || may_be_meant(r, document, name))
            add_place(places, (size_t)(at - document), name != NULL);
}

static void find_places(const struct redact *r, struct bytes document, struct redact_own own,
                        struct places *places)
{
    places->n = 0;
    places->names = false;
    places->all = r->any_name;
    if (places->all)
        return;
    if (own.to == 0 || r->looks_at_own) {
        scan_places(r, document.p, 0, document.n, places);
        return;
    }
    scan_places(r, document.p, 0, own.from, places);
    scan_places(r, document.p, own.to, document.n, places);
}

/* ---- the walk ---- */

/* A text that is walked or searched: the document, or what a string in the level below holds. */
struct level {
    const char *text;
    const char *raw;        /* NULL: byte for byte at text; else where it was decoded from, … */
    size_t raw_at, text_at; /* … and how far the two have been brought together */
};

struct walk {
    struct redact *r;
    const char *document;
    size_t n, max;
    size_t copied; /* of the document, to r->out */
    /* Where something may be, as the scan told: strings without any of these hold nothing. */
    const struct places *places;
    size_t next; /* of them */
    bool ended;  /* behind the last of them nothing is left to do */
    bool tight;  /* no replacement may be longer than what it replaces */
    bool full;   /* there was no room */
    unsigned level, depth;
    size_t root;                     /* of r->path: names count from here */
    const char *done;                /* in the text of this level: finished up to here */
    const struct field_rule *forced; /* of a field above this one */
    struct level levels[LEVELS];
    uint64_t counts[REDACT_KINDS + 1]; /* the last: fields */
};

/* The name of the field that is walked; of very long ones the end. */
static struct bytes path_of(const struct walk *w)
{
    const struct strbuf *path = &w->r->path;
    size_t begin = MIN(w->root, path->n);

    if (path->n - begin > MAX_PATH)
        begin = path->n - MAX_PATH;
    return bytes_of(path->p + begin, path->n - begin);
}

/* Where a place in the text of a level is in the document. Of a level never asked for a place
 * before the last one. */
static size_t place_of(struct walk *w, unsigned level, const char *p)
{
    struct level *l = &w->levels[level];
    size_t at = (size_t)(p - l->text);

    if (level == 0)
        return at;
    if (!l->raw)
        return place_of(w, level - 1, p);
    ASSERT(at >= l->text_at);
    while (l->text_at < at) {
        const char *raw = l->raw + l->raw_at, *next = raw + 1;
        char decoded[4];
        size_t n = 1;

        if (*raw == '\\')
            next = json_escape_decode(raw, raw + 12, decoded, &n);
        ASSERT(next != NULL);
        l->raw_at += (size_t)(next - raw);
        l->text_at += n;
    }
    return place_of(w, level - 1, l->raw + l->raw_at);
}

/* Replaces [begin, end) of the text of the level that is walked. */
static void replace(struct walk *w, const char *begin, const char *end, struct bytes by)
{
    struct strbuf *out = &w->r->out;
    size_t from = place_of(w, w->level, begin), to = place_of(w, w->level, end);

    ASSERT(from >= w->copied && to >= from && to <= w->n);
    w->done = end;
    if (w->full || out->n + (from - w->copied) + by.n > w->max) {
        w->full = true;
        return;
    }
    strbuf_add(out, w->document + w->copied, from - w->copied);
    strbuf_add_bytes(out, by);
    w->copied = to;
}

/* ---- replacements ---- */

/* email_9f86…; kind REDACT_KINDS: hash_9f86…. value: canonical. */
static struct bytes pseudonym(const struct walk *w, unsigned kind, struct bytes value,
                              char to[REPLACEMENT_MAX])
{
    const char *name = kind < REDACT_KINDS ? redact_kind_names[kind] : "hash";
    size_t n = strlen(name);

    ASSERT(w->r->pseudonym != NULL);
    memcpy(to, name, n);
    to[n++] = '_';
    pseudonym_write(w->r->pseudonym, value, to + n);
    return bytes_of(to, n + PSEUDONYM_LENGTH);
}

static struct bytes pseudonym_of_kind(const struct walk *w, enum redact_kind kind,
                                      struct bytes value, char to[REPLACEMENT_MAX])
{
    char canonical[REDACT_CANONICAL_MAX];

    if (kind != REDACT_TOKEN && kind != REDACT_PASSWORD)
        value = bytes_of(canonical, redact_find_canonical(kind, value, canonical));
    return pseudonym(w, kind, value, to);
}

/* A whole value: what is nothing but an e-mail address gets the name that it has everywhere. */
static struct bytes pseudonym_of_value(const struct walk *w, struct bytes value,
                                       char to[REPLACEMENT_MAX])
{
    const unsigned kinds =
        1u << REDACT_EMAIL | 1u << REDACT_IP | 1u << REDACT_CARD | 1u << REDACT_NATIONAL_ID;
    struct redact_find f;
    struct redact_match m;

    redact_find_begin(&f, value, kinds);
    if (redact_find_next(&f, &m) && m.begin == 0 && m.end == value.n)
        return pseudonym_of_kind(w, m.kind, value, to);
    return pseudonym(w, REDACT_KINDS, value, to);
}

/* What stands for a match of a kind, inside of a string. */
static struct bytes for_kind(const struct walk *w, enum redact_kind kind, struct bytes value,
                             char to[REPLACEMENT_MAX])
{
    int n;

    if (w->tight)
        return bytes_of("***", MIN(value.n, (size_t)3));
    switch ((enum redact_action)w->r->action[kind]) {
    case REDACT_DROP:
        return bytes_of("", 0);
    case REDACT_HASH:
        return pseudonym_of_kind(w, kind, value, to);
    case REDACT_MASK:
        break;
    }
    if (kind == REDACT_IP)
        return bytes_of(to, redact_ip_prefix(value, to));
    n = snprintf(to, REPLACEMENT_MAX, "<%s>", redact_kind_names[kind]);
    return bytes_of(to, (size_t)n);
}

/* The same for the value of a field. */
static struct bytes for_field(const struct walk *w, struct bytes value, char to[REPLACEMENT_MAX])
{
    if (w->tight)
        return bytes_of("***", MIN(value.n, (size_t)3));
    return w->forced->action == REDACT_HASH ? pseudonym_of_value(w, value, to)
                                            : BYTES_LITERAL("<redacted>");
}

/* Replaces a number or the like by a string. */
static void replace_by_string(struct walk *w, const char *begin, const char *end, struct bytes by)
{
    char quoted[REPLACEMENT_MAX + (2 << LEVELS)];
    size_t n = 0, slashes = ((size_t)1 << w->level) - 1;

    memset(quoted, '\\', slashes);
    n += slashes;
    quoted[n++] = '"';
    memcpy(quoted + n, by.p, by.n);
    n += by.n;
    memset(quoted + n, '\\', slashes);
    n += slashes;
    quoted[n++] = '"';
    replace(w, begin, end, bytes_of(quoted, n));
}

/* ---- values ---- */

static const char *walk_value(struct walk *w, const char *p, const char *end);

/* Kinds in a text of the level that is walked. */
static void search(struct walk *w, struct bytes text)
{
    struct redact *r = w->r;
    unsigned kinds = r->kinds;
    struct redact_find f;
    struct redact_match m;
    char buf[REPLACEMENT_MAX];
    bool known = false;

    redact_find_begin(&f, text, kinds);
    while (kinds && redact_find_next(&f, &m)) {
        struct bytes value = bytes_of(text.p + m.begin, m.end - m.begin);

        if (!known) { /* only now it matters where this is */
            known = true;
            kinds = kinds_in(r, path_of(w));
            if (kinds != r->kinds) {
                redact_find_begin(&f, text, kinds);
                continue;
            }
        }
        if (m.kind == REDACT_IP && m.begin == 0 && redact_ip_names_a_version(path_of(w)))
            continue;
        replace(w, value.p, value.p + value.n, for_kind(w, m.kind, value, buf));
        w->counts[m.kind]++;
    }
}

/* The text of a string: JSON in it is walked as far as it is JSON; the rest is searched. */
static void look_at_text(struct walk *w, struct bytes text)
{
    const char *begin = text.p, *end = text.p + text.n, *p = begin;
    size_t root = w->root;

    while (p < end && (unsigned char)*p <= ' ')
        p++;
    if (w->level + 1 < LEVELS && end - p > 2 && (*p == '{' || *p == '[')) {
        struct bytes path = path_of(w);
        const char *after;

        /* A record that could not be taken apart has its own names there. */
        if (bytes_is(path, "message") || bytes_is(path, "event.original"))
            w->root = w->r->path.n + 1;
        w->done = begin;
        after = walk_value(w, p, end);
        begin = after ? after : w->done;
        w->root = root;
    }
    search(w, bytes_of(begin, (size_t)(end - begin)));
}

/* Whether something may be in the stretch from begin to end of the level that is walked. */
static bool may_be_in(struct walk *w, const char *begin, const char *end)
{
    const struct places *places = w->places;

    if (places->all || w->level > 0)
        return true;
    while (w->next < places->n && w->document + places->at[w->next] < begin)
        w->next++;
    return w->next < places->n && w->document + places->at[w->next] <= end;
}

/* Whether nothing can be behind p. */
static bool is_last(struct walk *w, const char *p)
{
    const struct places *places = w->places;

    if (places->all || places->names || w->level > 0)
        return false;
    return places->n == 0 || w->document + places->at[places->n - 1] < p;
}

/* A string, of which p is behind the opening and end at the closing quote. */
static void look_at_string(struct walk *w, const char *p, const char *end, bool escaped)
{
    struct bytes text = bytes_of(p, (size_t)(end - p));
    struct level *l = &w->levels[w->level + 1];
    char buf[REPLACEMENT_MAX];

    if (!w->forced && !may_be_in(w, p - 1, end))
        return;
    if (w->level + 1 == LEVELS) {
        search(w, text);
        return;
    }
    *l = (struct level){.text = p};
    if (escaped) {
        struct strbuf *to = &w->r->text[w->level + 1];

        strbuf_clear(to);
        to->n = json_unescape(text, strbuf_room(to, text.n + 32));
        ASSERT(to->n != SIZE_MAX);
        *l = (struct level){.text = to->p, .raw = p};
        text = strbuf_bytes(to);
    }
    w->level++;
    if (!w->forced) {
        look_at_text(w, text);
    } else if (text.n) {
        replace(w, text.p, text.p + text.n, for_field(w, text, buf));
        w->counts[REDACT_KINDS]++;
    }
    w->level--;
}

static const char *skip_blanks(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r'))
        p++;
    return p;
}

static const char *skip_digits(const char *p, const char *end)
{
    while (p < end && *p >= '0' && *p <= '9')
        p++;
    return p;
}

/* The end of a number at p (RFC 8259 §6, but for zeros in front), NULL when there is none. */
static const char *number_end(const char *p, const char *end, bool *whole)
{
    const char *digits;

    *whole = *p != '-';
    digits = p += !*whole;
    p = skip_digits(p, end);
    if (p == digits)
        return NULL;
    if (p < end && *p == '.') {
        *whole = false;
        digits = ++p;
        p = skip_digits(p, end);
        if (p == digits)
            return NULL;
    }
    if (p < end && (*p | 32) == 'e') {
        *whole = false;
        p++;
        if (p < end && (*p == '+' || *p == '-'))
            p++;
        digits = p;
        p = skip_digits(p, end);
        if (p == digits)
            return NULL;
    }
    return p == end || strchr(" \t\r\n,]}", *p) ? p : NULL;
}

static void look_at_number(struct walk *w, struct bytes digits)
{
    enum redact_kind kind;
    char buf[REPLACEMENT_MAX];

    if (!redact_number_kind(digits, kinds_in(w->r, path_of(w)), &kind))
        return;
    w->counts[kind]++;
    if (w->tight)
        replace(w, digits.p, digits.p + digits.n, BYTES_LITERAL("0"));
    else if (w->r->action[kind] == REDACT_DROP)
        replace(w, digits.p, digits.p + digits.n, BYTES_LITERAL("null"));
    else
        replace_by_string(w, digits.p, digits.p + digits.n, for_kind(w, kind, digits, buf));
}

/* A number, true or false that is to go. */
static void replace_scalar(struct walk *w, struct bytes value)
{
    char buf[REPLACEMENT_MAX];

    w->counts[REDACT_KINDS]++;
    if (!w->tight)
        replace_by_string(w, value.p, value.p + value.n, for_field(w, value, buf));
    else if (*value.p == 't' || *value.p == 'f')
        replace(w, value.p, value.p + value.n, BYTES_LITERAL("null"));
    else
        replace(w, value.p, value.p + value.n, BYTES_LITERAL("0"));
}

static const char *walk_scalar(struct walk *w, const char *p, const char *end)
{
    static const struct bytes words[] = {{"null", 4}, {"true", 4}, {"false", 5}};
    struct bytes rest = bytes_of(p, (size_t)(end - p));
    const char *after = NULL;
    bool whole = false;

    if (*p == '-' || (*p >= '0' && *p <= '9'))
        after = number_end(p, end, &whole);
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (bytes_starts_with(rest, words[i]))
            after = p + words[i].n;
    if (!after)
        return NULL;
    if (w->forced && *p != 'n')
        replace_scalar(w, bytes_of(p, (size_t)(after - p)));
    else if (whole && after - p >= 11)
        look_at_number(w, bytes_of(p, (size_t)(after - p)));
    return after;
}

static const char *walk_string(struct walk *w, const char *p, const char *end)
{
    uint8_t flags = 0;
    const char *quote = json_string_end(p + 1, end, &flags);

    if (!quote)
        return NULL;
    look_at_string(w, p + 1, quote, flags & JSON_VALUE_ESCAPED);
    w->done = quote + 1;
    return quote + 1;
}

static void add_name(struct walk *w, struct bytes key, bool escaped)
{
    struct strbuf *path = &w->r->path;
    char decoded[NAME_KEPT + 32];

    if (key.n > NAME_KEPT)
        key = bytes_of(key.p + key.n - NAME_KEPT, NAME_KEPT);
    if (escaped) {
        size_t n = json_unescape(key, decoded);

        if (n != SIZE_MAX)
            key = bytes_of(decoded, n);
    }
    strbuf_add_char(path, '.');
    strbuf_add_bytes(path, key);
}

/* The end of the value at p, NULL when it is no JSON. */
static const char *skip_value(const char *p, const char *end)
{
    size_t depth = 0;

    for (; p < end; p++) {
        uint8_t flags = 0;

        if (*p == '"') {
            p = json_string_end(p + 1, end, &flags);
            if (!p)
                return NULL;
        } else if (*p == '{' || *p == '[') {
            depth++;
        } else if (*p == '}' || *p == ']') {
            if (depth == 0)
                return p;
            depth--;
        } else if (depth == 0 && strchr(", \t\r\n", *p)) {
            return p;
        } else {
            continue;
        }
        if (depth == 0 && *p != ',')
            return p + 1;
    }
    return NULL;
}

/* Takes a member away, [begin, end) with its name, and the comma before it or, when it is the first
 * one that stays, behind it. Returns where to go on. */
static const char *drop_member(struct walk *w, const char *comma, const char *begin,
                               const char *after, const char *end)
{
    const char *next = skip_blanks(after, end);

    w->counts[REDACT_KINDS]++;
    if (comma) {
        replace(w, comma, after, BYTES_NONE);
        return after;
    }
    if (next < end && *next == ',')
        after = next + 1;
    replace(w, begin, after, BYTES_NONE);
    return after;
}

/* The value of a member, or the member itself. *kept: some member before it has stayed. */
static const char *walk_member(struct walk *w, const char *comma, const char *begin,
                               const char *end, bool *kept)
{
    const struct field_rule *forced = w->forced, *rule = NULL;
    size_t path = w->r->path.n;
    uint8_t flags = 0;
    const char *quote = json_string_end(begin + 1, end, &flags), *p;

    if (!quote)
        return NULL;
    p = skip_blanks(quote + 1, end);
    if (p == end || *p != ':')
        return NULL;
    p = skip_blanks(p + 1, end);
    add_name(w, bytes_of(begin + 1, (size_t)(quote - begin - 1)), flags & JSON_VALUE_ESCAPED);
    if (!forced && w->r->n_fields)
        rule = rule_for(w->r, path_of(w));
    if (rule && rule->action == REDACT_DROP && !w->full) {
        p = skip_value(p, end);
        if (p)
            p = drop_member(w, *kept ? comma : NULL, begin, p, end);
    } else {
        if (rule)
            w->forced = rule;
        p = walk_value(w, p, end);
        *kept = true;
    }
    w->forced = forced;
    w->r->path.n = path;
    return p;
}

static const char *walk_object(struct walk *w, const char *p, const char *end)
{
    const char *comma = NULL;
    bool kept = false;

    p = skip_blanks(p + 1, end);
    while (p < end && *p != '}') {
        if (*p != '"')
            return NULL;
        p = walk_member(w, comma, p, end, &kept);
        if (!p)
            return NULL;
        if (w->ended || is_last(w, p)) {
            w->ended = true;
            return end;
        }
        if (p[-1] == ',' && !kept) { /* went with the member before it */
            p = skip_blanks(p, end);
            continue;
        }
        p = skip_blanks(p, end);
        if (p == end || (*p != ',' && *p != '}'))
            return NULL;
        if (*p == ',') {
            comma = p;
            p = skip_blanks(p + 1, end);
        }
    }
    return p < end ? p + 1 : NULL;
}

static const char *walk_array(struct walk *w, const char *p, const char *end)
{
    p = skip_blanks(p + 1, end);
    while (p < end && *p != ']') {
        p = walk_value(w, p, end);
        if (!p)
            return NULL;
        if (w->ended)
            return end;
        p = skip_blanks(p, end);
        if (p == end || (*p != ',' && *p != ']'))
            return NULL;
        if (*p == ',')
            p = skip_blanks(p + 1, end);
    }
    return p < end ? p + 1 : NULL;
}

/* The value at p; where it ends, NULL when it is not JSON any more. */
static const char *walk_value(struct walk *w, const char *p, const char *end)
{
    const char *after;

    if (p == end || w->depth == MAX_DEPTH)
        return NULL;
    w->depth++;
    if (*p == '{')
        after = walk_object(w, p, end);
    else if (*p == '[')
        after = walk_array(w, p, end);
    else if (*p == '"')
        after = walk_string(w, p, end);
    else
        after = walk_scalar(w, p, end);
    w->depth--;
    return after;
}

/* ---- the document ---- */

/* Walks the document; false when the result has no room. */
static bool walk_document(struct walk *w)
{
    struct redact *r = w->r;
    const char *end;

    strbuf_clear(&r->out);
    strbuf_clear(&r->path);
    w->root = 1;
    w->levels[0] = (struct level){.text = w->document};
    end = walk_value(w, w->document, w->document + w->n);
    ASSERT(end == w->document + w->n); /* a document is one JSON object */
    if (w->full || r->out.n + (w->n - w->copied) > w->max)
        return false;
    if (r->out.n || w->copied)
        strbuf_add(&r->out, w->document + w->copied, w->n - w->copied);
    return true;
}

static void count(const uint64_t counts[REDACT_KINDS + 1])
{
    static const enum metric metrics[REDACT_KINDS + 1] = {
        M_REDACTED_EMAIL, M_REDACTED_IP,       M_REDACTED_CARD, M_REDACTED_NATIONAL_ID,
        M_REDACTED_TOKEN, M_REDACTED_PASSWORD, M_REDACTED_FIELD};

    for (size_t i = 0; i < ARRAY_LEN(metrics); i++)
        if (counts[i])
            metric_add(metrics[i], counts[i]);
}

static void give_back(struct strbuf *b)
{
    if (b->cap > KEEP)
        strbuf_fini(b);
}

size_t redact_document(struct redact *r, char *p, size_t n, size_t max, struct redact_own own)
{
    struct places places;
    struct walk w = {.r = r, .document = p, .n = n, .max = max, .places = &places};

    ASSERT(n <= max && own.from <= own.to && own.to <= n);
    find_places(r, bytes_of(p, n), own, &places);
    if (!places.n && !places.all)
        return n;
    if (!walk_document(&w)) {
        w = (struct walk){
            .r = r, .document = p, .n = n, .max = max, .places = &places, .tight = true};
        if (!walk_document(&w))
            ASSERT(false); /* nothing was longer than before */
    }
    if (w.copied) {
        memcpy(p, r->out.p, r->out.n);
        n = r->out.n;
    }
    count(w.counts);
    give_back(&r->out);
    for (size_t i = 0; i < LEVELS; i++)
        give_back(&r->text[i]);
    return n;
}
