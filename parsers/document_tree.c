#include "parsers/encoder.h"

#include "parsers/put.h"

/*
 * The document through a tree, for records that cannot be copied member by member. Every member of
 * the message (and of the objects in it that meet an object of ours) becomes an item. For each
 * place of the document the best item is chosen; ours is put into the tree first, then what was
 * chosen, then the operator's fields, then everything else, which finds its name taken or not.
 */

/* A member, and where it goes. */
struct item {
    struct json_member
        m; /* scalars: in need of nothing; objects may be flagged JSON_NEEDS_REWRITE */
    struct bytes above[2]; /* names of the objects that it goes into */
    size_t n_above;
    const struct key *key; /* NULL: nothing is known of the name */
    struct taken taken;
    bool exact; /* the role of key counts */
    bool takes; /* it can be what key says */
    bool used;
    bool moved; /* GELF's, and the message has a member of that name */
};

struct builder {
    struct encoder *enc;
    const struct record *r;
    struct message *msg;
    struct tree *tree;
    struct node *root;
    struct item *items;
    size_t n, cap;
    struct item *best[TARGET_COUNT];
    struct ids ids;
    bool repaired;
    bool extra_as_text; /* GELF's members did not fit */
};

/* ---- items ---- */

static struct item *new_item(struct builder *b)
{
    if (b->n == b->cap) {
        size_t cap = b->cap ? 2 * b->cap : 64;
        struct item *items = (struct item *)(void *)tree_alloc(b->tree, cap * sizeof *items);

        if (b->n)
            memcpy(items, b->items, b->n * sizeof *items);
        b->items = items;
        b->cap = cap;
    }
    b->items[b->n] = (struct item){.used = false};
    return &b->items[b->n++];
}

static uint8_t type_of(struct bytes value)
{
    switch (value.p[0]) {
    case '"':
        return JSON_STRING;
    case '{':
        return JSON_OBJECT;
    case '[':
        return JSON_ARRAY;
    case 'n':
        return JSON_NULL;
    case 't':
        return JSON_TRUE;
    case 'f':
        return JSON_FALSE;
    default:
        return JSON_NUMBER;
    }
}

struct json_member encoder_clean(struct encoder *enc, struct json_member m, bool *repaired)
{
    if (m.flags & (JSON_KEY_ESCAPED | JSON_NEEDS_REWRITE)) {
        m.key = tree_spell(enc->tree, m.key, m.flags);
        m.key_hash = json_key_hash(m.key);
        m.flags |= JSON_KEY_ESCAPED;
    }
    if (m.flags & JSON_NEEDS_REWRITE) {
        char *to = tree_alloc(enc->tree, json_rewrite_bound(m.value.n));

        m.value = bytes_of(to, json_rewrite(m.value, to, repaired));
        m.type = type_of(m.value);
        m.flags &= (uint8_t)~JSON_NEEDS_REWRITE;
    }
    return m;
}

static void add_item(struct builder *b, const struct json_member *m)
{
    struct item *item = new_item(b);
    struct key_match match;

    item->m = encoder_clean(b->enc, *m, &b->repaired);
    match = keys_find(b->enc->keys, item->m.key, item->m.key_hash);
    item->key = match.key;
    item->exact = match.exact;
    /* An object under a dotted name lies elsewhere than the name says. */
    if (match.key && match.key->target == TARGET_NONE && memchr(item->m.key.p, '.', item->m.key.n))
        item->key = NULL;
}

/* The members of the object of item i become items below the names given; i itself is used up, an
 * empty object stays. */
static void expand(struct builder *b, size_t i, struct bytes above0, struct bytes above1)
{
    struct bytes object = b->items[i].m.value;
    size_t max = MIN(object.n / 4 + 1, JSON_MAX_MEMBERS), n = 0;
    struct json_member *m = (struct json_member *)(void *)tree_alloc(b->tree, max * sizeof *m);
    bool duplicate = false;

    if (json_scan(object, m, max, &n, &duplicate) != JSON_OK || n == 0)
        return;
    if (duplicate)
        n = tree_drop_repeated(b->tree, m, n);
    b->items[i].used = true;
    for (size_t k = 0; k < n; k++) {
        struct item *item = new_item(b);

        item->m = encoder_clean(b->enc, m[k], &b->repaired);
        item->above[0] = above0;
        item->above[1] = above1;
        item->n_above = above1.n ? 2 : 1;
    }
}

static const struct key *known_as(struct builder *b, const char *name)
{
    return keys_find(b->enc->keys, bytes_str(name), json_key_hash(bytes_str(name))).key;
}

static const struct key *known_in_error(struct builder *b, struct bytes name)
{
    switch (keys_find_in_error(name)) {
    case TARGET_ERROR_MESSAGE:
        return known_as(b, "error.message");
    case TARGET_ERROR_TYPE:
        return known_as(b, "error.type");
    case TARGET_ERROR_STACK:
        return known_as(b, "error.stack_trace");
    default:
        return NULL;
    }
}

/* Objects of the message that meet ours: log.level, http.request.id … in their nested form, and
 * errors. */
static void expand_known(struct builder *b)
{
    static const struct {
        const char *object, *member, *known;
    } nested[] = {{"log", "level", "log.level"},
                  {"service", "name", "service.name"},
                  {"trace", "id", "trace.id"},
                  {"span", "id", "span.id"}};

    for (size_t i = 0; i < b->n; i++) {
        const struct key *key = b->items[i].key;
        struct json_member inner;
        size_t first = b->n;

        if (!key || b->items[i].m.type != JSON_OBJECT || b->items[i].n_above || b->items[i].moved ||
            b->items[i].used)
            continue;
        if (key->holds == HOLDS_ERROR || (b->items[i].exact && strcmp(key->name, "error") == 0)) {
            expand(b, i, BYTES_LITERAL("error"), BYTES_NONE);
            for (size_t k = first; k < b->n; k++)
                b->items[k].key = known_in_error(b, b->items[k].m.key);
            continue;
        }
        if (b->items[i].exact && strcmp(key->name, "http") == 0) {
            expand(b, i, BYTES_LITERAL("http"), BYTES_NONE);
            for (size_t k = first, end = b->n; k < end; k++) {
                size_t ids = b->n;

                if (b->items[k].m.type != JSON_OBJECT || !bytes_is(b->items[k].m.key, "request"))
                    continue;
                expand(b, k, BYTES_LITERAL("http"), BYTES_LITERAL("request"));
                for (; ids < b->n; ids++)
                    if (bytes_is(b->items[ids].m.key, "id"))
                        b->items[ids].key = known_as(b, "http.request.id");
            }
            continue;
        }
        if (key->holds == HOLDS_FIELDS && json_find(b->items[i].m.value, "message", &inner)) {
            encoder_find_ids(b->enc, key, &b->items[i].m, &b->ids);
            expand(b, i, b->items[i].m.key, BYTES_NONE);
            for (size_t k = first; k < b->n; k++)
                if (bytes_is(b->items[k].m.key, "message") && b->items[k].m.type == JSON_STRING)
                    b->items[k].key = known_as(b, "short_message");
            continue;
        }
        for (size_t k = 0; k < ARRAY_LEN(nested) && b->items[i].exact; k++) {
            if (strcmp(key->name, nested[k].object) != 0)
                continue;
            expand(b, i, bytes_str(nested[k].object), BYTES_NONE);
            for (size_t c = first; c < b->n; c++)
                if (bytes_is(b->items[c].m.key, nested[k].member))
                    b->items[c].key = known_as(b, nested[k].known);
        }
    }
}

/* A member of GELF's whose name the message has as well: moves, or says the same. */
static void yield_to_message(struct builder *b, struct item *item)
{
    for (size_t i = 0; i < b->msg->n; i++) {
        const struct item *other = &b->items[i];

        if (other->m.key_hash == item->m.key_hash && bytes_equal(other->m.key, item->m.key)) {
            item->moved = true;
            item->used = bytes_equal(other->m.value, item->m.value);
        }
    }
}

/* What of the record is not the message's text becomes items, or labels. */
static void collect(struct builder *b)
{
    const struct record *r = b->r;

    if (b->msg->duplicate)
        b->msg->n = tree_drop_repeated(b->tree, b->msg->members, b->msg->n);
    b->msg->duplicate = false;
    for (size_t i = 0; i < b->msg->n; i++)
        add_item(b, &b->msg->members[i]);
    for (size_t i = 0; i < r->n_extra && !b->extra_as_text; i++) {
        if (r->extra_are_labels ? r->extra[i].type < JSON_OBJECT : b->msg->ruled)
            continue;
        add_item(b, &r->extra[i]);
        yield_to_message(b, &b->items[b->n - 1]);
    }
    expand_known(b);
}

/* ---- choosing ---- */

static struct item *named(struct builder *b, const char *name)
{
    for (size_t i = 0; i < b->n; i++)
        if (!b->items[i].n_above && bytes_is(b->items[i].m.key, name))
            return &b->items[i];
    return NULL;
}

/* Words before numbers, as monolog and logback write both. */
static unsigned rank_of(const struct item *item)
{
    return item->key->rank + (item->key->target == TARGET_LEVEL && item->taken.number ? 100u : 0u);
}

static void choose(struct builder *b)
{
    bool zap = named(b, "L") && named(b, "M"), python = encoder_is_python(b->r, b->msg);

    for (size_t i = 0; i < b->n; i++) {
        struct item *item = &b->items[i];
        struct item **best;

        if (item->used || item->moved || !item->key || item->m.type >= JSON_OBJECT)
            continue;
        if (key_is_letter(item->key) && !zap) {
            item->key = NULL;
            item->exact = false;
        }
        if (!item->key ||
            !encoder_take(item->key, &item->m, python && item->m.type == JSON_NUMBER, &item->taken))
            continue;
        item->takes = true;
        best = &b->best[item->key->target];
        if (!*best || rank_of(item) < rank_of(*best))
            *best = item;
    }
}

static struct bytes chosen(const struct builder *b, enum key_target target)
{
    return b->best[target] ? b->best[target]->taken.inside : BYTES_NONE;
}

/* Takes what was chosen for target, and what says the same. said: what the document will have. */
static void settle(struct builder *b, enum key_target target, struct bytes said)
{
    for (size_t i = 0; i < b->n; i++) {
        struct item *item = &b->items[i];

        /* Of projects/p/traces/1 only the last part was taken: the whole stays. */
        if (item->takes && item->key->target == target && bytes_equal(item->taken.inside, said) &&
            item->taken.inside.n + (item->m.type == JSON_STRING ? 2 : 0) == item->m.value.n)
            item->used = true;
    }
}

static void settle_level(struct builder *b)
{
    const struct item *best = b->best[TARGET_LEVEL];

    for (size_t i = 0; i < b->n && best; i++) {
        struct item *item = &b->items[i];

        if (item->takes && item->key->target == TARGET_LEVEL && item->taken.lossless &&
            item->taken.level == best->taken.level)
            item->used = true;
    }
}

static void choose_ids(struct builder *b, struct bytes message)
{
    struct bytes request = chosen(b, TARGET_REQUEST_ID), trace = chosen(b, TARGET_TRACE_ID);
    struct bytes span = chosen(b, TARGET_SPAN_ID);
    struct ids in_fields = b->ids;

    b->ids = (struct ids){request, trace, span};
    if (b->best[TARGET_TRACEPARENT] && !trace.n && !span.n)
        request_id_traceparent(chosen(b, TARGET_TRACEPARENT), &b->ids.trace, &b->ids.span);
    for (size_t i = 0; i < b->n; i++) {
        const struct item *item = &b->items[i];

        if (!item->used && !item->moved && !item->n_above && item->key &&
            item->m.type == JSON_OBJECT &&
            (item->key->holds == HOLDS_CONTEXT || item->key->holds == HOLDS_FIELDS))
            encoder_find_ids(b->enc, item->key, &item->m, &b->ids);
    }
    if (!b->ids.request.n)
        b->ids.request = in_fields.request;
    if (!b->ids.trace.n)
        b->ids.trace = in_fields.trace;
    if (!b->ids.span.n)
        b->ids.span = in_fields.span;
    if (!b->ids.request.n && !request_id_in_text(message, &b->ids.request))
        b->ids.request = BYTES_NONE;
    settle(b, TARGET_REQUEST_ID, b->ids.request);
    settle(b, TARGET_TRACE_ID, b->ids.trace);
    settle(b, TARGET_SPAN_ID, b->ids.span);
}

/* ---- ours ---- */

static struct node *add(struct builder *b, struct node *parent, const char *name,
                        enum node_kind kind, struct bytes value)
{
    struct node *n = tree_append(b->tree, parent, bytes_str(name), kind, value);

    if (!n)
        return parent; /* the tree is full, which is asked for at the end */
    n->ours = kind != NODE_OBJECT && kind != NODE_ARRAY;
    return n;
}

/* An object of ours, with one string in it when there is one. */
static struct node *add_object(struct builder *b, struct node *parent, const char *name,
                               const char *leaf, struct bytes inside)
{
    struct node *n = add(b, parent, name, NODE_OBJECT, BYTES_NONE);

    if (inside.n)
        add(b, n, leaf, NODE_STRING, inside);
    return n;
}

static struct bytes in_braces(struct builder *b, struct bytes members)
{
    char *to = tree_alloc(b->tree, members.n + 2);

    to[0] = '{';
    memcpy(to + 1, members.p, members.n);
    to[members.n + 1] = '}';
    return bytes_of(to, members.n + 2);
}

static void add_container(struct builder *b, struct bytes labels)
{
    const struct record *r = b->r;
    struct node *container = add(b, b->root, "container", NODE_OBJECT, BYTES_NONE);

    if (r->origin && r->origin->container.n)
        add(b, container, "", NODE_MEMBERS, r->origin->container);
    if (labels.n)
        add(b, container, "labels", NODE_JSON, in_braces(b, labels))->ours = false;
    for (size_t i = 0; i < r->n_extra && r->extra_are_labels && !b->extra_as_text; i++) {
        struct path path = {.part = {BYTES_LITERAL("labels")}, .n = 2};

        if (r->extra[i].type >= JSON_OBJECT)
            continue;
        path.part[1] = encoder_label_name(b->enc, &r->extra[i]);
        tree_place_or_number(b->tree, container, &path, tree_value_of(&r->extra[i]));
    }
}

/* The words that the message, the operator and the encoder have for tags. */
static struct node *add_tags(struct builder *b)
{
    struct node *tags = add(b, b->root, "tags", NODE_ARRAY, BYTES_NONE);

    for (size_t i = 0; i < b->n; i++) {
        struct item *item = &b->items[i];
        struct bytes value = item->m.value;

        if (item->used || item->moved || item->n_above || !item->exact ||
            item->key->role != ROLE_TAGS ||
            !(item->m.type == JSON_STRING ||
              (item->m.type == JSON_ARRAY && encoder_is_flat(value))))
            continue;
        item->used = true;
        tags->shown = true;
        if (item->m.type == JSON_ARRAY) {
            value = bytes_of(value.p + 1, value.n - 2);
            while (value.n && strchr(" \t\r\n", value.p[0])) {
                value.p++;
                value.n--;
            }
        }
        if (value.n)
            add(b, tags, "", NODE_JSON, value);
    }
    if (b->enc->enriched_tags.n)
        add(b, tags, "", NODE_JSON, strbuf_bytes(&b->enc->enriched_tags));
    for (size_t i = 0; i < ARRAY_LEN(encoder_tag_names); i++)
        if (b->msg->tags & 1u << i)
            add(b, tags, "", NODE_STRING, encoder_tag_names[i]);
    return tags;
}

/* Nothing of the message's may displace what the operator sets. */
static void lock(struct builder *b, struct node *n)
{
    if (!tree_open(b->tree, n)) {
        n->ours = true;
        return;
    }
    for (struct node *c = n->first; c; c = c->next)
        lock(b, c);
}

static void add_enriched(struct builder *b)
{
    struct json_member *m = b->enc->nested;
    bool duplicate;
    size_t n = 0;

    if (b->enc->enriched.n == 0)
        return;
    json_scan(strbuf_bytes(&b->enc->enriched), m, JSON_MAX_MEMBERS, &n, &duplicate);
    for (size_t i = 0; i < n; i++) {
        struct path path = {.part = {m[i].key}, .n = 1};
        struct node *node;

        tree_place(b->tree, b->root, &path, tree_value_of(&m[i]));
        node = tree_child(b->tree, b->root, m[i].key);
        if (node)
            lock(b, node);
    }
}

/* GELF's members that are more than a tree can hold: nothing of them is lost, as one text. */
static void add_original(struct builder *b, struct node *event)
{
    const struct record *r = b->r;
    size_t n = 2;
    char *text, *p, *escaped;

    for (size_t i = 0; i < r->n_extra; i++)
        n += r->extra[i].key.n + r->extra[i].value.n + 4;
    p = text = tree_alloc(b->tree, n);
    *p++ = '{';
    for (size_t i = 0; i < r->n_extra; i++) {
        *p++ = '"';
        memcpy(p, r->extra[i].key.p, r->extra[i].key.n);
        p += r->extra[i].key.n;
        *p++ = '"';
        *p++ = ':';
        memcpy(p, r->extra[i].value.p, r->extra[i].value.n);
        p += r->extra[i].value.n;
        *p++ = ',';
    }
    p[-1] = '}';
    n = (size_t)(p - text);
    escaped = tree_alloc(b->tree, 6 * n + 32);
    n = json_escape(bytes_of(text, n), escaped, &b->repaired);
    add(b, event, "original", NODE_STRING, bytes_of(escaped, n));
}

static void add_ours(struct builder *b, struct bytes labels)
{
    const struct record *r = b->r;
    const struct item *message = b->best[TARGET_MESSAGE];
    const struct item *level = b->best[TARGET_LEVEL];
    struct bytes text = b->msg->text, service;
    char *time = tree_alloc(b->tree, ENCODER_TIME_MAX), *sequence = tree_alloc(b->tree, 28);
    struct node *n;

    if (!text.p && message)
        text = message->taken.inside;
    choose_ids(b, text);
    service = encoder_service(b->enc, r, chosen(b, TARGET_SERVICE));
    settle(b, TARGET_MESSAGE, text);
    settle(b, TARGET_SERVICE, service);
    settle(b, TARGET_ERROR_MESSAGE, chosen(b, TARGET_ERROR_MESSAGE));
    settle(b, TARGET_ERROR_TYPE, chosen(b, TARGET_ERROR_TYPE));
    settle(b, TARGET_ERROR_STACK, chosen(b, TARGET_ERROR_STACK));
    settle_level(b);

    add(b, b->root, "@timestamp", NODE_STRING,
        bytes_of(time, (size_t)(encoder_put_time(r, time) - time)));
    if (text.p)
        add(b, b->root, "message", NODE_STRING, text);
    n = add_object(
        b, b->root, "log", "level",
        bytes_str(level_names[level ? level->taken.level
                                    : encoder_default_level(
                                          r, !b->msg->text.p && message ? message->key : NULL)]));
    if (r->origin && r->origin->file_path.n)
        add_object(b, n, "file", "path", r->origin->file_path);
    add_object(b, b->root, "service", "name", service);
    n = add(b, b->root, "http", NODE_OBJECT, BYTES_NONE);
    if (b->ids.request.n)
        add_object(b, n, "request", "id", b->ids.request);
    add_object(b, b->root, "trace", "id", b->ids.trace);
    add_object(b, b->root, "span", "id", b->ids.span);
    n = add_object(b, b->root, "error", "message", chosen(b, TARGET_ERROR_MESSAGE));
    if (b->best[TARGET_ERROR_TYPE])
        add(b, n, "type", NODE_STRING, chosen(b, TARGET_ERROR_TYPE));
    if (b->best[TARGET_ERROR_STACK])
        add(b, n, "stack_trace", NODE_STRING, chosen(b, TARGET_ERROR_STACK));
    add_container(b, labels);
    if (r->origin && r->origin->kubernetes.n)
        add(b, add(b, b->root, "kubernetes", NODE_OBJECT, BYTES_NONE), "", NODE_MEMBERS,
            r->origin->kubernetes);
    add_object(b, b->root, "host", "name",
               r->origin && r->origin->host_name.n ? r->origin->host_name
                                                   : strbuf_bytes(&b->enc->host_name));
    if (encoder_stream_name(r->stream).n)
        add(b, b->root, "stream", NODE_STRING, encoder_stream_name(r->stream));
    n = add(b, b->root, "event", NODE_OBJECT, BYTES_NONE);
    add(b, n, "sequence", NODE_JSON,
        bytes_of(sequence, (size_t)(put_decimal(sequence, r->sequence) - sequence)));
    if (b->extra_as_text)
        add_original(b, n);
}

/* ---- the rest ---- */

/* A level that the six cannot tell stays as text, always as text, so that 35 and "banana" can live
 * in one index. */
static bool keep_level(struct builder *b, const struct item *item)
{
    static const struct path path = {.part = {{"app", 3}, {"level", 5}}, .n = 2};
    struct bytes value = item->m.value;

    if (!item->key || item->key->target != TARGET_LEVEL || item->m.type >= JSON_OBJECT)
        return false;
    if (!key_is_level(item->key))
        return false;
    if (item->m.type == JSON_STRING)
        value = bytes_of(value.p + 1, value.n - 2);
    if (item->m.type != JSON_NULL)
        tree_place_or_move(b->tree, b->root, &path, (struct tree_value){value, NODE_STRING});
    return true;
}

/* Where a scalar goes that has the name of an object. */
static const char *leaf_of(const struct key *key, const struct json_member *m)
{
    const char *leaf = NULL;
    char first = m->value.p[0];

    if (m->type == JSON_ARRAY)
        for (size_t i = 1; i < m->value.n && strchr(" \t\r\n", first = m->value.p[i]); i++)
            ;
    if (first == '"')
        leaf = key->text_leaf;
    else if (first == '-' || (first >= '0' && first <= '9'))
        leaf = key->number_leaf;
    return leaf ? leaf : "value";
}

static void prepend_app(struct path *path)
{
    memmove(path->part + 1, path->part, path->n * sizeof path->part[0]);
    path->part[0] = BYTES_LITERAL("app");
    path->n++;
}

static void place_item(struct builder *b, const struct item *item)
{
    const struct json_member *m = &item->m;
    struct path path = {.n = 0};
    struct key_match first;

    if (keep_level(b, item))
        return;
    for (size_t i = 0; i < item->n_above; i++)
        path.part[path.n++] = item->above[i];
    tree_split(b->tree, m->key, m->flags, TREE_MAX_NAME, &path);
    first = keys_find(b->enc->keys, path.part[0], json_key_hash(path.part[0]));
    if (item->moved) {
        prepend_app(&path);
    } else if (path.n > 1 && item->key && item->key->target != TARGET_NONE &&
               m->type >= JSON_OBJECT) {
        prepend_app(&path); /* ECS has text there */
    } else if (first.key && first.exact) {
        enum key_role role = (enum key_role)first.key->role;

        if ((role == ROLE_TEXT || role == ROLE_TAGS) && m->type == JSON_NULL)
            return;
        if (role == ROLE_RESERVED || role == ROLE_TEXT || role == ROLE_TAGS)
            prepend_app(&path);
        else if (role == ROLE_OBJECT && path.n == 1 && m->type != JSON_OBJECT &&
                 m->type != JSON_NULL && (m->type != JSON_ARRAY || encoder_is_flat(m->value)))
            path.part[path.n++] = bytes_str(leaf_of(first.key, m));
    }
    tree_place_or_move(b->tree, b->root, &path, tree_value_of(m));
}

static size_t build(struct builder *b, struct bytes labels, char *to, size_t limit)
{
    struct node *tags;

    b->root = tree_reset(b->tree, encoder_record_bytes(b->r));
    collect(b);
    choose(b);
    add_ours(b, labels);
    tags = add_tags(b);
    add_enriched(b);
    for (size_t i = 0; i < b->n && !tree_overflowed(b->tree); i++)
        if (!b->items[i].used)
            place_item(b, &b->items[i]);
    tree_settle(b->tree, b->root, &b->repaired);
    if (b->repaired && !(b->msg->tags & TAG_UTF8_REPAIRED))
        add(b, tags, "", NODE_STRING, BYTES_LITERAL("utf8_repaired"));
    if (tree_overflowed(b->tree) || tree_bound(b->root) > limit)
        return 0;
    return tree_write(b->root, to);
}

size_t encoder_write_tree(struct encoder *enc, const struct record *r, struct message *msg,
                          char *to, size_t limit)
{
    struct bytes labels = strbuf_bytes(&encoder_ours(enc, r)->labels);
    struct builder b = {.enc = enc, .r = r, .msg = msg, .tree = enc->tree};
    size_t n = build(&b, labels, to, limit);

    if (n == 0) {
        /* More names than a tree holds, or names that would make the document many times the
         * message. */
        encoder_read_text(enc, r, msg);
        msg->tags |= TAG_JSON_INVALID;
        b = (struct builder){.enc = enc, .r = r, .msg = msg, .tree = enc->tree};
        n = build(&b, labels, to, limit);
    }
    if (n == 0) {
        b = (struct builder){
            .enc = enc, .r = r, .msg = msg, .tree = enc->tree, .extra_as_text = true};
        n = build(&b, labels, to, limit);
    }
    ASSERT(n > 0);
    return n;
}
