#include "parsers/tree.h"

#include "agent/base/hash.h"

#include <stdio.h>
#include <stdlib.h>

#define BLOCK_BYTES (64u << 10)
#define KEEP_BYTES (1u << 20) /* of the arena, from record to record */
#define STACK_MEMBERS 4096    /* of all objects being taken apart, one in the other */
#define FEW_CHILDREN 32       /* searched one by one; with more the table is used */
#define SCANS_MAX 8           /* of a record's text, for what lies deep in it */
#define SCANS_FREE (256u << 10)
#define FEW_NUMBERS 6 /* NAME_2 … NAME_5 */
#define TABLE_SLOTS (2 * TREE_MAX_NODES)

struct block {
    struct block *next;
    size_t cap;
    char bytes[];
};

/* Of the table of children: empty when it was filled for an earlier record. */
struct slot {
    struct node *node;
    uint32_t record;
};

struct tree {
    struct node *root;
    struct block *blocks; /* the first is being filled */
    size_t used;          /* of the first */
    struct json_member *members;
    size_t n_members;
    struct slot *table; /* children of objects with many, by parent and name */
    uint32_t record;
    size_t n_nodes;
    size_t scans_left; /* bytes; an object in an object is scanned once for each level above it */
    unsigned depth;
    bool overflowed;
    bool repaired; /* a name held broken bytes */
    uint64_t seed; /* secret, so that no sender can make names collide */
};

struct tree *tree_create(void)
{
    struct tree *t = base_calloc(1, sizeof *t);

    t->members = base_alloc(STACK_MEMBERS * sizeof *t->members);
    t->table = base_calloc(TABLE_SLOTS, sizeof *t->table);
    hash_random(&t->seed, sizeof t->seed);
    return t;
}

static void free_blocks(struct tree *t)
{
    while (t->blocks) {
        struct block *b = t->blocks;

        t->blocks = b->next;
        free(b);
    }
}

void tree_free(struct tree *t)
{
    if (!t)
        return;
    free_blocks(t);
    free(t->members);
    free(t->table);
    free(t);
}

char *tree_alloc(struct tree *t, size_t n)
{
    char *p;

    n = (n + 15) & ~(size_t)15;
    if (!t->blocks || t->blocks->cap - t->used < n) {
        size_t cap = MAX(n, BLOCK_BYTES - sizeof(struct block));
        struct block *b = base_alloc(sizeof *b + cap);

        b->next = t->blocks;
        b->cap = cap;
        t->blocks = b;
        t->used = 0;
    }
    p = t->blocks->bytes + t->used;
    t->used += n;
    return p;
}

struct node *tree_reset(struct tree *t, size_t record_bytes)
{
    if (t->blocks && (t->blocks->next || t->blocks->cap > KEEP_BYTES)) {
        size_t sum = 0;

        /* Next time one block that holds it all, when that is little. */
        for (struct block *b = t->blocks; b; b = b->next)
            sum += b->cap;
        free_blocks(t);
        if (sum <= KEEP_BYTES)
            tree_alloc(t, sum);
    }
    t->used = 0;
    t->n_nodes = 0;
    t->n_members = 0;
    t->scans_left = SCANS_MAX * record_bytes + SCANS_FREE;
    t->depth = 0;
    t->overflowed = false;
    t->repaired = false;
    if (++t->record == 0) {
        memset(t->table, 0, TABLE_SLOTS * sizeof *t->table);
        t->record = 1;
    }
    t->root = (struct node *)(void *)tree_alloc(t, sizeof *t->root);
    *t->root = (struct node){.kind = NODE_OBJECT, .shown = true};
    return t->root;
}

bool tree_overflowed(const struct tree *t)
{
    return t->overflowed;
}

/* ---- names ---- */

static bool plain_name(struct bytes key)
{
    for (size_t i = 0; i < key.n; i++)
        if ((unsigned char)key.p[i] < 0x20 || (unsigned char)key.p[i] >= 0x7f || key.p[i] == '"' ||
            key.p[i] == '\\')
            return false;
    return true;
}

/* Elasticsearch refuses names without anything but blanks. */
static bool blank_name(struct bytes s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] > ' ')
            return false;
    return true;
}

static struct bytes cut_name(struct bytes s, size_t max)
{
    if (s.n > max) {
        s.n = max;
        while (s.n > 0 && ((unsigned char)s.p[s.n] & 0xC0) == 0x80)
            s.n--;
    }
    return s;
}

static struct bytes escape_name(struct tree *t, struct bytes s)
{
    char *to;

    if (plain_name(s))
        return s;
    to = tree_alloc(t, 6 * s.n + 32);
    return bytes_of(to, json_escape(s, to, &t->repaired));
}

/* Whether \uXXXX at p, with n bytes left, is a surrogate: d8 … db begin a pair, dc … df end it. */
static bool is_surrogate(const char *p, size_t n, const char *second)
{
    return n >= 6 && p[0] == '\\' && p[1] == 'u' && (p[2] | 0x20) == 'd' && strchr(second, p[3]);
}

static bool has_lone_surrogate(struct bytes key)
{
    for (size_t i = 0; i + 6 <= key.n; i++) {
        const char *p = key.p + i;

        if (*p != '\\')
            continue;
        if (is_surrogate(p, key.n - i, "89abAB") && key.n - i >= 12 &&
            is_surrogate(p + 6, key.n - i - 6, "cdefCDEF"))
            i += 11;
        else if (is_surrogate(p, key.n - i, "89abcdefABCDEF"))
            return true;
        else
            i++; /* the escaped character may be a backslash */
    }
    return false;
}

static struct bytes decode_name(struct tree *t, struct bytes key, uint8_t flags)
{
    char *to;
    size_t n;

    if (!(flags & (JSON_KEY_ESCAPED | JSON_NEEDS_REWRITE)) || plain_name(key))
        return key;
    to = tree_alloc(t, key.n + 32);
    n = json_unescape(key, to);
    ASSERT(n != SIZE_MAX);
    t->repaired |= has_lone_surrogate(key); /* becomes U+FFFD without a word */
    if (flags & JSON_NEEDS_REWRITE) {
        /* Broken bytes are repaired here, so that names are cut and compared as they will be. */
        char *escaped = tree_alloc(t, 6 * n + 32);
        size_t m = json_escape(bytes_of(to, n), escaped, &t->repaired);

        to = tree_alloc(t, m + 32);
        n = json_unescape(bytes_of(escaped, m), to);
    }
    return bytes_of(to, n);
}

struct bytes tree_spell(struct tree *t, struct bytes key, uint8_t flags)
{
    return escape_name(t, decode_name(t, key, flags));
}

struct bytes tree_name(struct tree *t, struct bytes key, uint8_t flags)
{
    key = decode_name(t, key, flags);
    return blank_name(key) ? BYTES_LITERAL("_") : escape_name(t, cut_name(key, TREE_MAX_NAME));
}

/* Whether the parts of a dotted name can be levels: not too many, none of them blank. */
static bool is_path(struct bytes key)
{
    size_t parts = 1, begin = 0;

    for (size_t i = 0; i <= key.n; i++) {
        if (i < key.n && key.p[i] != '.')
            continue;
        if (blank_name(bytes_of(key.p + begin, i - begin)) || parts++ > TREE_MAX_PARTS)
            return false;
        begin = i + 1;
    }
    return true;
}

void tree_split(struct tree *t, struct bytes key, uint8_t flags, size_t max_name, struct path *to)
{
    const char *p, *end;

    key = decode_name(t, key, flags);
    if (!is_path(key)) {
        char *flat = tree_alloc(t, key.n + 1);

        for (size_t i = 0; i < key.n; i++)
            flat[i] = key.p[i] == '.' ? '_' : key.p[i];
        key.p = flat;
        if (blank_name(key))
            key = BYTES_LITERAL("_");
    }
    for (p = key.p, end = key.p + key.n;; p++) {
        const char *dot = memchr(p, '.', (size_t)(end - p));
        struct bytes part = bytes_of(p, (size_t)((dot ? dot : end) - p));

        ASSERT(to->n < ARRAY_LEN(to->part));
        to->part[to->n++] = escape_name(t, cut_name(part, max_name));
        if (!dot)
            break;
        p = dot;
    }
}

/* ---- nodes ---- */

static uint32_t hash_name(const struct tree *t, struct bytes name)
{
    return (uint32_t)hash_64(t->seed, name.p, name.n);
}

static size_t slot_of(const struct node *parent, uint32_t hash)
{
    return (hash ^ (uint32_t)((uintptr_t)parent >> 4) * 0x9E3779B1u) % TABLE_SLOTS;
}

static void table_add(struct tree *t, struct node *n)
{
    size_t s = slot_of(n->parent, n->name_hash);

    while (t->table[s].record == t->record)
        s = (s + 1) % TABLE_SLOTS;
    t->table[s] = (struct slot){n, t->record};
}

static struct node *find(const struct tree *t, const struct node *o, struct bytes name,
                         uint32_t hash)
{
    if (o->n_children <= FEW_CHILDREN) {
        for (struct node *c = o->first; c; c = c->next)
            if (c->name_hash == hash && bytes_equal(c->name, name))
                return c;
        return NULL;
    }
    for (size_t s = slot_of(o, hash); t->table[s].record == t->record; s = (s + 1) % TABLE_SLOTS) {
        struct node *c = t->table[s].node;

        if (c->parent == o && c->name_hash == hash && bytes_equal(c->name, name))
            return c;
    }
    return NULL;
}

struct node *tree_child(struct tree *t, const struct node *object, struct bytes name)
{
    return find(t, object, name, hash_name(t, name));
}

struct node *tree_append(struct tree *t, struct node *parent, struct bytes name,
                         enum node_kind kind, struct bytes value)
{
    struct node *n;

    if (t->n_nodes == TREE_MAX_NODES) {
        t->overflowed = true;
        return NULL;
    }
    t->n_nodes++;
    n = (struct node *)(void *)tree_alloc(t, sizeof *n);
    *n = (struct node){.parent = parent,
                       .name = name,
                       .value = value,
                       .name_hash = hash_name(t, name),
                       .kind = (uint8_t)kind};
    if (parent->last)
        parent->last->next = n;
    else
        parent->first = n;
    parent->last = n;
    parent->n_children++;
    if (parent->kind == NODE_OBJECT) {
        if (parent->n_children == FEW_CHILDREN + 1)
            for (struct node *c = parent->first; c; c = c->next)
                table_add(t, c);
        else if (parent->n_children > FEW_CHILDREN)
            table_add(t, n);
    }
    return n;
}

void tree_detach(struct tree *t, struct node *n)
{
    struct node *parent = n->parent;
    struct node *before = NULL;

    (void)t;
    for (struct node *c = parent->first; c != n; c = c->next)
        before = c;
    if (before)
        before->next = n->next;
    else
        parent->first = n->next;
    if (parent->last == n)
        parent->last = before;
    /* The count stays: it says whether the table is in use, where an orphan is not found. */
    n->parent = NULL;
    n->next = NULL;
}

/* ---- values ---- */

struct tree_value tree_value_of(const struct json_member *m)
{
    return (struct tree_value){m->value, m->flags & JSON_NEEDS_REWRITE ? NODE_REWRITE : NODE_JSON};
}

static bool is_text(uint8_t kind)
{
    return kind == NODE_JSON || kind == NODE_REWRITE;
}

static bool holds(uint8_t kind, struct bytes text, char first)
{
    return is_text(kind) && text.n && text.p[0] == first;
}

static bool is_null(uint8_t kind, struct bytes text)
{
    return holds(kind, text, 'n');
}

static struct bytes inner(uint8_t kind, struct bytes text)
{
    if (holds(kind, text, '"'))
        return bytes_of(text.p + 1, text.n - 2);
    return text;
}

static bool same(const struct node *n, struct tree_value v)
{
    if (n->kind != NODE_STRING && !is_text(n->kind))
        return false;
    return bytes_equal(inner(n->kind, n->value), inner(v.kind, v.text));
}

/* From the opening quote to behind the closing one. */
static const char *skip_string(const char *p, const char *end)
{
    uint8_t flags = 0;
    const char *close;

    /* Most are short. */
    for (int i = 0; i < 16 && ++p < end; i++) {
        if (*p == '"')
            return p + 1;
        if (*p == '\\')
            p++;
    }
    close = p < end ? json_string_end(p + 1, end, &flags) : NULL;
    return close ? close + 1 : end;
}

bool tree_must_open(struct bytes text)
{
    const char *end = text.p + text.n;

    if (!memchr(text.p, '.', text.n) && !memchr(text.p, '\\', text.n))
        return false;
    for (const char *p = text.p; p < end;) {
        const char *q, *colon;

        p = memchr(p, '"', (size_t)(end - p));
        if (!p)
            return false;
        q = skip_string(p, end);
        for (colon = q; colon < end && (*colon == ' ' || *colon == '\t' || *colon == '\r'); colon++)
            ;
        if (colon < end && *colon == ':' &&
            (memchr(p, '.', (size_t)(q - p)) || memchr(p, '\\', (size_t)(q - p))))
            return true;
        p = q;
    }
    return false;
}

/* Before n bytes are scanned. false, and the tree is given up, when it was too much. */
static bool may_scan(struct tree *t, size_t n)
{
    if (n > t->scans_left) {
        t->overflowed = true;
        return false;
    }
    t->scans_left -= n;
    return true;
}

static void merge(struct tree *t, struct node *o, struct bytes text);
static bool place(struct tree *t, struct node *at, const struct bytes *part, size_t n,
                  struct tree_value v);

/* The end of the JSON value that begins at p; text is valid. */
static const char *value_end(const char *p, const char *end)
{
    unsigned depth = 0;

    do {
        switch (*p) {
        case '"':
            p = skip_string(p, end);
            break;
        case '{':
        case '[':
            depth++;
            p++;
            break;
        case '}':
        case ']':
            depth--;
            p++;
            break;
        default:
            if (depth) {
                p++;
            } else {
                while (p < end && !strchr(",]} \t\r\n", *p))
                    p++;
            }
        }
    } while (depth && p < end);
    return p;
}

static void set_value(struct tree *t, struct node *n, struct tree_value v);

static void open_array(struct tree *t, struct node *a, struct bytes text, bool rewrite)
{
    const char *end = text.p + text.n - 1;

    for (const char *p = text.p + 1; p < end && !t->overflowed;) {
        const char *q;
        struct node *n;

        if (strchr(", \t\r\n", *p)) {
            p++;
            continue;
        }
        q = value_end(p, end);
        n = tree_append(t, a, BYTES_NONE, NODE_JSON, BYTES_NONE);
        if (!n)
            return;
        set_value(
            t, n,
            (struct tree_value){bytes_of(p, (size_t)(q - p)), rewrite ? NODE_REWRITE : NODE_JSON});
        p = q;
    }
}

/* Gives a node without children its value, taken apart where it must be. */
static void set_value(struct tree *t, struct node *n, struct tree_value v)
{
    n->kind = v.kind;
    n->value = v.text;
    if (!is_text(v.kind) || (v.text.p[0] != '{' && v.text.p[0] != '[') || !may_scan(t, v.text.n) ||
        !tree_must_open(v.text))
        return;
    if (v.text.p[0] == '{') {
        tree_open(t, n);
        return;
    }
    if (t->depth == TREE_MAX_DEPTH) {
        t->overflowed = true;
        return;
    }
    t->depth++;
    n->kind = NODE_ARRAY;
    open_array(t, n, v.text, v.kind == NODE_REWRITE);
    t->depth--;
}

bool tree_open(struct tree *t, struct node *n)
{
    struct bytes text = n->value;

    if (n->kind == NODE_OBJECT)
        return true;
    if (!holds(n->kind, n->value, '{'))
        return false;
    n->kind = NODE_OBJECT;
    n->value = BYTES_NONE;
    n->shown = true;
    merge(t, n, text);
    return true;
}

/* Makes a node an object that has what it was as its "value". */
static void wrap(struct tree *t, struct node *n)
{
    uint8_t kind = n->kind;
    struct bytes value = n->value;
    struct node *first = n->first, *last = n->last;
    struct node *inside;

    n->kind = NODE_OBJECT;
    n->value = BYTES_NONE;
    n->first = n->last = NULL;
    n->n_children = 0;
    if (is_null(kind, value))
        return;
    inside = tree_append(t, n, BYTES_LITERAL("value"), (enum node_kind)kind, value);
    if (inside) {
        inside->first = first;
        inside->last = last;
        for (struct node *c = first; c; c = c->next)
            c->parent = inside;
    }
}

static bool enter(struct tree *t, struct node *n)
{
    if (n->kind == NODE_OBJECT || tree_open(t, n))
        return true;
    if (n->ours || n->kind == NODE_MEMBERS)
        return false;
    wrap(t, n);
    return true;
}

static bool place(struct tree *t, struct node *at, const struct bytes *part, size_t n,
                  struct tree_value v)
{
    const struct bytes value_name = BYTES_LITERAL("value");
    struct node *there;

    for (; n > 1; part++, n--) {
        there = tree_child(t, at, *part);
        if (!there)
            there = tree_append(t, at, *part, NODE_OBJECT, BYTES_NONE);
        else if (!enter(t, there))
            return false;
        if (!there)
            return true; /* overflowed: the whole tree is given up */
        at = there;
    }
    there = tree_child(t, at, *part);
    if (!there) {
        there = tree_append(t, at, *part, NODE_JSON, BYTES_NONE);
        if (there)
            set_value(t, there, v);
        return true;
    }
    if (is_null(v.kind, v.text) || same(there, v))
        return true;
    if (is_null(there->kind, there->value)) {
        set_value(t, there, v);
        return true;
    }
    if (holds(v.kind, v.text, '{')) {
        if (!enter(t, there))
            return false;
        there->shown = true;
        merge(t, there, v.text);
        return true;
    }
    if (there->kind == NODE_OBJECT || holds(there->kind, there->value, '{')) {
        tree_open(t, there);
        return place(t, there, &value_name, 1, v);
    }
    return false;
}

bool tree_place(struct tree *t, struct node *at, const struct path *path, struct tree_value v)
{
    return place(t, at, path->part, path->n, v);
}

/* What stands at a path, or NULL. */
static struct node *what_is_at(struct tree *t, struct node *at, const struct bytes *part, size_t n)
{
    for (size_t i = 0; i < n && at; i++)
        at = at->kind == NODE_OBJECT ? tree_child(t, at, part[i]) : NULL;
    return at;
}

/* Tries NAME_2, NAME_3 … for the last part. The first few are always tried, as one of them may have
 * the same value; the others from where it was found last: thousands may have the same name. */
static void place_numbered(struct tree *t, struct node *at, struct bytes *part, size_t n,
                           struct tree_value v)
{
    struct node *there = what_is_at(t, at, part, n);
    struct bytes name = part[n - 1];
    char *to = tree_alloc(t, name.n + 16);

    if (!there) {
        t->overflowed = true; /* no number helps: it is an object above that is taken */
        return;
    }
    memcpy(to, name.p, name.n);
    for (unsigned k = 2; !t->overflowed; k++) {
        char number[12];
        int digits;

        if (k == FEW_NUMBERS)
            k = MAX(k, there->numbered + 1u);
        digits = snprintf(number, sizeof number, "_%u", k);
        memcpy(to + name.n, number, (size_t)digits);
        part[n - 1] = bytes_of(to, name.n + (size_t)digits);
        if (!place(t, at, part, n, v))
            continue;
        there->numbered = (uint16_t)MAX(k, (unsigned)there->numbered);
        break;
    }
}

void tree_place_or_number(struct tree *t, struct node *at, const struct path *path,
                          struct tree_value v)
{
    struct bytes part[ARRAY_LEN(path->part)];

    if (place(t, at, path->part, path->n, v))
        return;
    memcpy(part, path->part, path->n * sizeof *part);
    place_numbered(t, at, part, path->n, v);
}

void tree_place_or_move(struct tree *t, struct node *root, const struct path *path,
                        struct tree_value v)
{
    struct bytes part[ARRAY_LEN(path->part) + 1];
    size_t n = path->n;

    if (place(t, root, path->part, n, v))
        return;
    if (n > 1 && bytes_is(path->part[0], "app")) {
        memcpy(part, path->part, n * sizeof *part);
    } else {
        part[0] = BYTES_LITERAL("app");
        memcpy(part + 1, path->part, n * sizeof *part);
        n++;
        if (place(t, root, part, n, v))
            return;
    }
    place_numbered(t, root, part, n, v);
}

/* Moves a value that clashed at path below o: with the names above o put in front, when there are
 * not too many. */
static void move_inside(struct tree *t, struct node *o, struct path *path, struct tree_value v)
{
    struct bytes part[ARRAY_LEN(path->part)];
    size_t above = 0;
    struct node *n;

    for (n = o; n->parent && n->parent->kind == NODE_OBJECT; n = n->parent)
        above++;
    if (n == t->root && above > 0 && above + path->n < ARRAY_LEN(path->part)) {
        struct path whole = {.n = above + path->n};

        for (n = o; n != t->root; n = n->parent)
            whole.part[--above] = n->name;
        memcpy(whole.part + (whole.n - path->n), path->part, path->n * sizeof *part);
        tree_place_or_move(t, t->root, &whole, v);
        return;
    }
    memcpy(part, path->part, path->n * sizeof *part);
    place_numbered(t, o, part, path->n, v);
}

size_t tree_drop_repeated(struct tree *t, struct json_member *m, size_t n)
{
    size_t slots = 16, kept = 0, bytes;
    uint32_t *table; /* 1 + index */
    struct bytes *names;

    while (slots < 2 * n)
        slots *= 2;
    bytes = slots * sizeof *table;
    table = (uint32_t *)(void *)memset(tree_alloc(t, bytes), 0, bytes);
    names = (struct bytes *)(void *)tree_alloc(t, n * sizeof *names);
    for (size_t i = n; i-- > 0;) {
        struct bytes name = tree_spell(t, m[i].key, m[i].flags);
        size_t s = hash_name(t, name) & (slots - 1);

        while (table[s] && !bytes_equal(names[table[s] - 1], name))
            s = (s + 1) & (slots - 1);
        names[i] = name;
        if (table[s])
            names[i].p = NULL; /* a later member has this name */
        else
            table[s] = (uint32_t)(i + 1);
    }
    for (size_t i = 0; i < n; i++)
        if (names[i].p)
            m[kept++] = m[i];
    return kept;
}

/* Adds the members of an object's text to o. */
static void merge(struct tree *t, struct node *o, struct bytes text)
{
    struct json_member *m = t->members + t->n_members;
    bool duplicate = false;
    size_t n = 0;

    if (t->depth == TREE_MAX_DEPTH || !may_scan(t, text.n) ||
        json_scan(text, m, MIN(STACK_MEMBERS - t->n_members, JSON_MAX_MEMBERS), &n, &duplicate) !=
            JSON_OK) {
        t->overflowed = true;
        return;
    }
    if (duplicate)
        n = tree_drop_repeated(t, m, n);
    t->n_members += n;
    t->depth++;
    for (size_t i = 0; i < n && !t->overflowed; i++) {
        struct path path = {.n = 0};

        tree_split(t, m[i].key, m[i].flags, SIZE_MAX, &path);
        if (!place(t, o, path.part, path.n, tree_value_of(&m[i])))
            move_inside(t, o, &path, tree_value_of(&m[i]));
    }
    t->depth--;
    t->n_members -= n;
}

/* ---- text ---- */

static bool hidden(const struct node *n)
{
    return (n->kind == NODE_OBJECT || n->kind == NODE_ARRAY) && !n->first && !n->shown;
}

void tree_settle(struct tree *t, struct node *n, bool *repaired)
{
    if (n->kind == NODE_REWRITE) {
        char *to = tree_alloc(t, json_rewrite_bound(n->value.n));

        n->value = bytes_of(to, json_rewrite(n->value, to, repaired));
        n->kind = NODE_JSON;
    }
    for (struct node *c = n->first; c; c = c->next)
        tree_settle(t, c, repaired);
    *repaired |= t->repaired;
}

size_t tree_bound(const struct node *n)
{
    size_t sum = n->name.n + 8;

    switch (n->kind) {
    case NODE_OBJECT:
    case NODE_ARRAY:
        for (const struct node *c = n->first; c; c = c->next)
            sum += tree_bound(c);
        return sum;
    default:
        return sum + n->value.n;
    }
}

static char *write_node(const struct node *n, char *to)
{
    bool more = false;
    char open = n->kind == NODE_OBJECT ? '{' : '[';

    ASSERT(n->kind != NODE_REWRITE);
    switch (n->kind) {
    case NODE_OBJECT:
    case NODE_ARRAY:
        *to++ = open;
        for (const struct node *c = n->first; c; c = c->next) {
            if (hidden(c) && n->kind == NODE_OBJECT)
                continue;
            if (more)
                *to++ = ',';
            more = true;
            if (n->kind == NODE_OBJECT && c->kind != NODE_MEMBERS) {
                *to++ = '"';
                memcpy(to, c->name.p, c->name.n);
                to += c->name.n;
                *to++ = '"';
                *to++ = ':';
            }
            to = write_node(c, to);
        }
        *to++ = open == '{' ? '}' : ']';
        return to;
    case NODE_STRING:
        *to++ = '"';
        memcpy(to, n->value.p, n->value.n);
        to += n->value.n;
        *to++ = '"';
        return to;
    default:
        memcpy(to, n->value.p, n->value.n);
        return to + n->value.n;
    }
}

size_t tree_write(const struct node *n, char *to)
{
    return (size_t)(write_node(n, to) - to);
}
