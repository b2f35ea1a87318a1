#include "parsers/fields.h"

#include <stdlib.h>

enum convert { TO_STRING, TO_LONG, TO_DOUBLE, TO_BOOLEAN };

static const char *const convert_names[] = {"string", "long", "double", "boolean"};

/* A name in the configuration: whole, and taken apart. Owned by the rule. */
struct name {
    char *text;
    struct path path;
};

struct rule {
    struct name name;
    struct name to; /* rename */
    char *value;    /* add: JSON text */
    enum convert convert;
};

struct rules {
    struct rule *list;
    size_t n;
};

struct fields {
    struct rules rename, convert, remove, add;
};

/* ---- the configuration ---- */

int fields_check_name(const char *section, const char *name, struct error *e)
{
    static const char *const ours[] = {
        "@timestamp",      "container",    "host.name", "kubernetes", "stream",    "event.sequence",
        "barge",           "message",      "log.level", "trace.id",   "span.id",   "service.name",
        "http.request.id", "_id",          "_index",    "_source",    "_type",     "_routing",
        "_version",        "_field_names", "_ignored",  "_seq_no",    "_doc_count"};
    static const char *const objects[] = {"host",  "event",   "log",  "trace",        "span",
                                          "error", "service", "http", "http.request", "app"};
    size_t n = strlen(name);
    unsigned parts = 1;

    for (const char *p = name; *p; p++) {
        parts += *p == '.';
        if ((unsigned char)*p < ' ' || *p == '"' || *p == '\\')
            return error_set(e, "%s: %s: a name holds no quotes, backslashes or control characters",
                             section, name);
    }
    if (n == 0 || name[0] == '.' || name[n - 1] == '.' || strstr(name, "..") ||
        strspn(name, " .") == n)
        return error_set(e, "%s: '%s' is no field name", section, name);
    if (parts > TREE_MAX_PARTS || n > TREE_MAX_NAME)
        return error_set(e, "%s: '%.60s…' is too long for a field name", section, name);
    for (size_t i = 0; i < ARRAY_LEN(ours); i++) {
        size_t len = strlen(ours[i]);

        if (strncmp(name, ours[i], len) == 0 && (name[len] == '\0' || name[len] == '.'))
            return error_set(e, "%s: %s: %s is set by barge itself", section, name, ours[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(objects); i++)
        if (strcmp(name, objects[i]) == 0)
            return error_set(e, "%s: %s is an object; name a field in it (%s.NAME)", section, name,
                             name);
    return 0;
}

static void split_name(struct name *to, const char *text)
{
    const char *p;

    to->text = base_strdup(text);
    for (p = to->text; to->path.n < TREE_MAX_PARTS; p++) {
        size_t n = strcspn(p, ".");

        to->path.part[to->path.n++] = bytes_of(p, n);
        p += n;
        if (!*p)
            break;
    }
}

/* A name that is only looked for may be any; it must not be empty. */
static int check_source(const char *section, const char *name, struct error *e)
{
    if (!*name || strlen(name) > TREE_MAX_NAME)
        return error_set(e, "%s: '%.60s' is no field name", section, name);
    return 0;
}

static struct rule *new_rule(struct rules *r, const char *name)
{
    struct rule *rule;

    r->list = base_realloc(r->list, (r->n + 1) * sizeof *r->list);
    rule = &r->list[r->n++];
    *rule = (struct rule){0};
    split_name(&rule->name, name);
    return rule;
}

/* The names that a record calls its own and that get a meaning afterwards may be set by a rename:
 * message, level, request_id …; not what the contract keeps for barge. */
static int check_target(const char *section, const char *name, struct error *e)
{
    static const char *const meanings[] = {"message", "log.level",    "trace.id",
                                           "span.id", "service.name", "http.request.id"};

    for (size_t i = 0; i < ARRAY_LEN(meanings); i++)
        if (strcmp(name, meanings[i]) == 0)
            return 0;
    return fields_check_name(section, name, e);
}

static int read_rename(struct fields *f, const struct field_pair *p, struct error *e)
{
    struct rule *rule;
    size_t n = strlen(p->name);

    if (check_source("fields.rename", p->name, e) || check_target("fields.rename", p->value, e))
        return -1;
    if (strncmp(p->name, p->value, n) == 0 && (p->value[n] == '\0' || p->value[n] == '.'))
        return error_set(e, "fields.rename: %s cannot become %s", p->name, p->value);
    rule = new_rule(&f->rename, p->name);
    split_name(&rule->to, p->value);
    return 0;
}

static int read_convert(struct fields *f, const struct field_pair *p, struct error *e)
{
    if (check_source("fields.convert", p->name, e))
        return -1;
    for (size_t i = 0; i < ARRAY_LEN(convert_names); i++)
        if (strcmp(p->value, convert_names[i]) == 0) {
            new_rule(&f->convert, p->name)->convert = (enum convert)i;
            return 0;
        }
    return error_set(e, "fields.convert: %s: '%s' is none of string, long, double, boolean",
                     p->name, p->value);
}

static int read_rules(struct fields *f, const struct enrich_settings *s, struct error *e)
{
    for (const struct field_pair *p = s->rename; p->name; p++)
        if (read_rename(f, p, e))
            return -1;
    for (const struct field_pair *p = s->convert; p->name; p++)
        if (read_convert(f, p, e))
            return -1;
    for (char **p = s->remove; *p; p++) {
        if (check_source("fields.remove", *p, e))
            return -1;
        new_rule(&f->remove, *p);
    }
    for (const struct field_pair *p = s->add; p->name; p++) {
        if (check_target("fields.add", p->name, e))
            return -1;
        new_rule(&f->add, p->name)->value = base_strdup(p->value);
    }
    return 0;
}

int fields_create(const struct enrich_settings *settings, struct fields **out, struct error *e)
{
    struct fields *f = base_calloc(1, sizeof *f);

    *out = NULL;
    if (read_rules(f, settings, e)) {
        fields_free(f);
        return -1;
    }
    if (f->rename.n + f->convert.n + f->remove.n + f->add.n == 0)
        fields_free(f);
    else
        *out = f;
    return 0;
}

static void free_rules(struct rules *r)
{
    for (size_t i = 0; i < r->n; i++) {
        free(r->list[i].name.text);
        free(r->list[i].to.text);
        free(r->list[i].value);
    }
    free(r->list);
}

void fields_free(struct fields *f)
{
    if (!f)
        return;
    free_rules(&f->rename);
    free_rules(&f->convert);
    free_rules(&f->remove);
    free_rules(&f->add);
    free(f);
}

size_t fields_bound(const struct fields *f)
{
    size_t sum = 0;

    for (size_t i = 0; i < f->rename.n; i++)
        sum += 8 * strlen(f->rename.list[i].to.text) + 64;
    for (size_t i = 0; i < f->add.n; i++)
        sum += 8 * strlen(f->add.list[i].name.text) + strlen(f->add.list[i].value) + 64;
    return sum + 32 * f->convert.n;
}

/* ---- a record ---- */

/* The member that a rule names: spelled so, or nested. */
static struct node *find(struct tree *t, struct node *root, const struct name *name)
{
    struct node *n = tree_child(t, root, bytes_str(name->text));

    if (n)
        return n;
    n = root;
    for (size_t i = 0; i < name->path.n; i++) {
        if (!tree_open(t, n))
            return NULL;
        n = tree_child(t, n, name->path.part[i]);
        if (!n)
            return NULL;
    }
    return n;
}

static bool text_of(const struct node *n, struct tree_value *v)
{
    if (n->kind == NODE_OBJECT || n->kind == NODE_ARRAY || n->kind == NODE_MEMBERS)
        return false;
    *v = (struct tree_value){n->value, n->kind};
    return true;
}

/* An object that was taken apart becomes text again, so that it can be placed elsewhere. */
static struct tree_value as_value(struct tree *t, struct node *n)
{
    struct tree_value v;
    bool repaired = false;
    char *to;

    if (text_of(n, &v))
        return v;
    tree_settle(t, n, &repaired);
    to = tree_alloc(t, tree_bound(n));
    return (struct tree_value){bytes_of(to, tree_write(n, to)), NODE_JSON};
}

static void apply_rename(struct tree *t, struct node *root, const struct rule *rule)
{
    struct node *from = find(t, root, &rule->name);
    struct node *there;
    struct tree_value v, displaced = {BYTES_NONE, NODE_JSON};

    if (!from)
        return;
    v = as_value(t, from);
    tree_detach(t, from);
    there = find(t, root, &rule->to);
    if (there) {
        displaced = as_value(t, there);
        tree_detach(t, there);
    }
    tree_place_or_move(t, root, &rule->to.path, v);
    if (there)
        tree_place_or_move(t, root, &rule->to.path, displaced);
}

/* The text between the quotes of a string, or the text of a number or word; none for others. */
static struct bytes scalar(const struct node *n, bool *string)
{
    *string = n->kind == NODE_STRING;
    if (*string)
        return n->value;
    if ((n->kind != NODE_JSON && n->kind != NODE_REWRITE) || n->value.n == 0 ||
        n->value.p[0] == '{' || n->value.p[0] == '[' || n->value.p[0] == 'n')
        return BYTES_NONE;
    *string = n->value.p[0] == '"';
    return *string ? bytes_of(n->value.p + 1, n->value.n - 2) : n->value;
}

/* The length of a JSON number at the beginning of s; *whole is that of its integer part. */
static size_t number_length(struct bytes s, size_t *whole)
{
    size_t i = 0, from;

    *whole = 0;
    if (i < s.n && s.p[i] == '-')
        i++;
    from = i;
    while (i < s.n && s.p[i] >= '0' && s.p[i] <= '9')
        i++;
    if (i == from || (s.p[from] == '0' && i > from + 1))
        return 0;
    *whole = i;
    if (i < s.n && s.p[i] == '.') {
        for (from = ++i; i < s.n && s.p[i] >= '0' && s.p[i] <= '9'; i++)
            ;
        if (i == from)
            return 0;
    }
    if (i < s.n && (s.p[i] | 0x20) == 'e') {
        i++;
        if (i < s.n && (s.p[i] == '+' || s.p[i] == '-'))
            i++;
        for (from = i; i < s.n && s.p[i] >= '0' && s.p[i] <= '9'; i++)
            ;
        if (i == from)
            return 0;
        *whole = 0; /* not without arithmetic */
    }
    return i;
}

static struct bytes to_boolean(struct bytes s)
{
    static const char *const yes[] = {"true", "yes", "on", "1"};
    static const char *const no[] = {"false", "no", "off", "0"};

    for (size_t i = 0; i < ARRAY_LEN(yes); i++) {
        if (s.n == strlen(yes[i]) && strncasecmp(s.p, yes[i], s.n) == 0)
            return BYTES_LITERAL("true");
        if (s.n == strlen(no[i]) && strncasecmp(s.p, no[i], s.n) == 0)
            return BYTES_LITERAL("false");
    }
    return BYTES_NONE;
}

/* What cannot be converted stays as it is. */
static void apply_convert(struct tree *t, struct node *root, const struct rule *rule)
{
    struct node *n = find(t, root, &rule->name);
    struct bytes s, number;
    size_t whole, length;
    bool string;

    if (!n)
        return;
    s = scalar(n, &string);
    if (s.n == 0)
        return;
    length = number_length(s, &whole);
    switch (rule->convert) {
    case TO_STRING:
        if (!string) {
            n->kind = NODE_STRING;
            n->value = s;
        }
        return;
    case TO_LONG:
        number = bytes_of(s.p, whole);
        break;
    case TO_DOUBLE:
        number = s;
        whole = length;
        break;
    default:
        number = to_boolean(s);
        if (number.n) {
            n->kind = NODE_JSON;
            n->value = number;
        }
        return;
    }
    if (length == s.n && whole > 0 && json_number_fits(number)) {
        n->kind = NODE_JSON;
        n->value = number;
    }
}

void fields_apply(const struct fields *f, struct tree *t, struct node *root)
{
    for (size_t i = 0; i < f->rename.n; i++)
        apply_rename(t, root, &f->rename.list[i]);
    for (size_t i = 0; i < f->convert.n; i++)
        apply_convert(t, root, &f->convert.list[i]);
    for (size_t i = 0; i < f->remove.n; i++) {
        struct node *n = find(t, root, &f->remove.list[i].name);

        if (n)
            tree_detach(t, n);
    }
    for (size_t i = 0; i < f->add.n; i++) {
        const struct rule *rule = &f->add.list[i];

        if (!find(t, root, &rule->name))
            tree_place_or_move(t, root, &rule->name.path,
                               (struct tree_value){bytes_str(rule->value), NODE_JSON});
    }
}
