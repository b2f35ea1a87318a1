#include "outputs/elasticsearch/es_fold.h"

#include "agent/buffer/buffer.h"

#include <stdlib.h>

/* Lucene's limit for one keyword, in bytes of UTF-8. */
#define IMMENSE_TERM 32766

struct es_fold_entry {
    uint8_t n_index, n_field;
    uint16_t n_reason;
    char index[BUFFER_MAX_INDEX];
    char field[ES_FOLD_MAX_FIELD];
    char reason[ES_FOLD_MAX_REASON];
    unsigned types;    /* bits by enum json_type; both booleans are one */
    size_t over_bytes; /* only values longer than this */
    uint64_t refused_ms;
};

/* What a document of ours has at its top; everything else is the message's own. */
static const char *const ours[] = {"@timestamp", "message", "log",   "service",    "http",
                                   "trace",      "span",    "error", "container",  "host",
                                   "stream",     "event",   "tags",  "kubernetes", "barge"};

/* ---- what the error says ---- */

static const struct wording {
    const char *before, *after;
} wordings[] = {
    {"failed to parse field [", "] of type"},
    {"object mapping for [", "] tried to parse"},
    {"tried to parse field [", "] as object"},
    {"immense term in field=\"", "\""},
    {"Could not dynamically add mapping for field [", "]"},
    {"due to object field [", "]"},
    {"mapper [", "] cannot be changed"},
    {"mapper [", "] of different type"},
    {"mapper [", "]"},
    {"object mapping [", "]"},
    {"non object mapping [", "]"},
    {"dynamic introduction of [", "] within ["},
    {"failed to parse field [", "]"},
    {"Field [", "]"},
    {"Duplicate field '", "'"},
    {"object resolution ambiguous: [", "]"},
    {"Cannot write to a field alias [", "]"},
};

static const char *find(struct bytes in, const char *what)
{
    return in.n == 0 ? NULL : memmem(in.p, in.n, what, strlen(what));
}

static struct bytes from(struct bytes s, const char *p)
{
    return bytes_of(p, s.n - (size_t)(p - s.p));
}

bool es_fold_named(struct bytes reason, struct bytes *field)
{
    for (size_t i = 0; i < ARRAY_LEN(wordings); i++) {
        const char *at = find(reason, wordings[i].before), *end;
        struct bytes rest;

        if (at == NULL)
            continue;
        rest = from(reason, at + strlen(wordings[i].before));
        end = find(rest, wordings[i].after);
        if (end == NULL || end == rest.p || end - rest.p > ES_FOLD_MAX_FIELD)
            continue;
        *field = bytes_of(rest.p, (size_t)(end - rest.p));
        /* "introduction of [zz] within [a.b]": zz is the last name of the path, a.b its beginning,
         * _doc the top. */
        if (strcmp(wordings[i].after, "] within [") == 0) {
            struct bytes parent = from(rest, end + strlen("] within ["));
            const char *close = memchr(parent.p, ']', parent.n);

            if (close != NULL && close - parent.p <= ES_FOLD_MAX_FIELD &&
                !bytes_is(bytes_of(parent.p, (size_t)(close - parent.p)), "_doc"))
                *field = bytes_of(parent.p, (size_t)(close - parent.p));
        }
        return field->n > 0;
    }
    return false;
}

struct bytes es_fold_general(struct bytes reason)
{
    static const char *const tails[] = {" in document with id", ". Preview of field's value",
                                        " (whose UTF8 encoding", "; "};
    const char *p;

    /* 8.x begins a reason with [line:column] of the document; the error's type stands before it. */
    p = find(reason, ": [");
    if (p != NULL && from(reason, p).n > 3 && p[3] >= '0' && p[3] <= '9') {
        struct bytes rest = from(reason, p + 3);
        const char *close = memchr(rest.p, ']', rest.n);

        if (close != NULL && (size_t)(close - rest.p) + 2 < rest.n)
            reason = from(rest, close + 2);
    }
    for (size_t i = 0; i < ARRAY_LEN(tails); i++)
        if ((p = find(reason, tails[i])) != NULL)
            reason.n = (size_t)(p - reason.p);
    return bytes_of(reason.p, MIN(reason.n, ES_FOLD_MAX_REASON));
}

/* ---- the document ---- */

void es_fold_init(struct es_fold *f)
{
    memset(f, 0, sizeof *f);
}

void es_fold_fini(struct es_fold *f)
{
    free(f->entries);
    free(f->members);
    strbuf_fini(&f->folded);
    es_fold_init(f);
}

static unsigned type_bit(uint8_t type)
{
    return type == JSON_TRUE ? 1u << JSON_FALSE : 1u << type;
}

/* Whether a and b are one path, or one lies below the other. */
static bool related(struct bytes a, struct bytes b)
{
    size_t n = MIN(a.n, b.n);

    if (memcmp(a.p, b.p, n) != 0)
        return false;
    return a.n == b.n || (a.n > n ? a.p[n] : b.p[n]) == '.';
}

/* The value that a path leads to, from a member whose key is the path or its beginning. Keys with
 * dots inside objects are not looked for. */
static bool leaf(const struct json_member *m, struct bytes path, struct json_member *out)
{
    *out = *m;
    while (path.n > m->key.n) {
        char name[ES_FOLD_MAX_FIELD + 1];
        struct bytes rest = bytes_of(path.p + m->key.n + 1, path.n - m->key.n - 1);

        for (;;) {
            const char *dot = memchr(rest.p, '.', rest.n);
            size_t n = dot != NULL ? (size_t)(dot - rest.p) : rest.n;

            if (out->type != JSON_OBJECT || n == 0 || n > ES_FOLD_MAX_FIELD)
                return false;
            memcpy(name, rest.p, n);
            name[n] = '\0';
            if (!json_find(out->value, name, out))
                return false;
            if (dot == NULL)
                return true;
            rest = from(rest, dot + 1);
        }
    }
    return path.n == m->key.n;
}

static bool is_ours(struct bytes key)
{
    for (size_t i = 0; i < ARRAY_LEN(ours); i++)
        if (bytes_is(key, ours[i]))
            return true;
    return false;
}

static void add_member(struct strbuf *to, struct bytes key, struct bytes value)
{
    if (to->p[to->n - 1] != '{')
        strbuf_add_char(to, ',');
    strbuf_add_char(to, '"');
    strbuf_add_bytes(to, key);
    strbuf_add(to, "\":", 2);
    strbuf_add_bytes(to, value);
}

static void add_text_member(struct strbuf *to, const char *key, struct bytes text)
{
    add_member(to, bytes_str(key), BYTES_NONE);
    strbuf_add_json(to, text);
}

static size_t scan(struct es_fold *f, struct bytes document, size_t skip)
{
    size_t n;
    bool duplicate;

    if (f->members == NULL)
        f->members = base_alloc(2 * JSON_MAX_MEMBERS * sizeof *f->members);
    if (json_scan(document, f->members + skip, JSON_MAX_MEMBERS, &n, &duplicate) != JSON_OK)
        return 0;
    return n;
}

/* Writes the document with the marked members moved. fold[i] belongs to f->members[i]. */
static void write_folded(struct es_fold *f, size_t n, bool *fold, struct bytes reason,
                         struct strbuf *to)
{
    struct json_member *event = NULL;
    bool event_folded = false;

    strbuf_clear(&f->folded);
    strbuf_add_char(&f->folded, '{');
    strbuf_add_char(to, '{');
    for (size_t i = 0; i < n; i++) {
        struct json_member *m = &f->members[i];

        if (bytes_is(m->key, "event")) {
            if (m->type == JSON_OBJECT && !fold[i] && event == NULL) {
                event = m;
                continue;
            }
            fold[i] = true;
            event_folded = event_folded || event == NULL;
        }
        /* A barge of the message's own would meet ours. */
        if (fold[i] || bytes_is(m->key, "barge"))
            add_member(&f->folded, m->key, m->value);
        else
            add_member(to, m->key, m->value);
    }
    if (event_folded && event == NULL) {
        /* The index does not take our event: then the text stands beside the reason. */
        strbuf_add_char(&f->folded, '}');
        add_member(to, BYTES_LITERAL("barge"), BYTES_LITERAL("{"));
        add_text_member(to, "original", strbuf_bytes(&f->folded));
        add_text_member(to, "refused", reason);
        strbuf_add(to, "}}", 2);
        return;
    }
    add_member(to, BYTES_LITERAL("event"), BYTES_LITERAL("{"));
    if (event != NULL) {
        size_t members = scan(f, event->value, JSON_MAX_MEMBERS);

        for (size_t i = 0; i < members; i++) {
            struct json_member *m = &f->members[JSON_MAX_MEMBERS + i];

            if (bytes_is(m->key, "original"))
                add_member(&f->folded, BYTES_LITERAL("event.original"), m->value);
            else
                add_member(to, m->key, m->value);
        }
    }
    strbuf_add_char(&f->folded, '}');
    add_text_member(to, "original", strbuf_bytes(&f->folded));
    strbuf_add_char(to, '}');
    add_member(to, BYTES_LITERAL("barge"), BYTES_LITERAL("{"));
    add_text_member(to, "refused", reason);
    strbuf_add(to, "}}", 2);
}

/* ---- the memory ---- */

static struct bytes entry_index(const struct es_fold_entry *e)
{
    return bytes_of(e->index, e->n_index);
}

static struct bytes entry_field(const struct es_fold_entry *e)
{
    return bytes_of(e->field, e->n_field);
}

bool es_fold_knows(const struct es_fold *f, struct bytes index)
{
    for (size_t i = 0; i < f->n; i++)
        if (bytes_equal(index, entry_index(&f->entries[i])))
            return true;
    return false;
}

static void forget_old(struct es_fold *f, uint64_t now_ms)
{
    for (size_t i = 0; i < f->n;) {
        if (now_ms - f->entries[i].refused_ms >= ES_FOLD_MEMORY_MS)
            f->entries[i] = f->entries[--f->n];
        else
            i++;
    }
}

static void remember(struct es_fold *f, struct bytes index, struct bytes field, uint8_t type,
                     size_t over_bytes, struct bytes reason, uint64_t now_ms)
{
    struct es_fold_entry *e = NULL;

    if (field.n > ES_FOLD_MAX_FIELD || type == JSON_NULL)
        return;
    if (f->entries == NULL)
        f->entries = base_calloc(ES_FOLD_MEMORY, sizeof *f->entries);
    for (size_t i = 0; i < f->n && e == NULL; i++) {
        struct es_fold_entry *have = &f->entries[i];

        if (bytes_equal(index, entry_index(have)) && bytes_equal(field, entry_field(have)) &&
            have->over_bytes == over_bytes)
            e = have;
    }
    if (e == NULL && f->n < ES_FOLD_MEMORY) {
        e = &f->entries[f->n++];
        e->types = 0;
    }
    if (e == NULL) {
        e = &f->entries[0];
        for (size_t i = 1; i < f->n; i++)
            if (f->entries[i].refused_ms < e->refused_ms)
                e = &f->entries[i];
        e->types = 0;
    }
    e->n_index = (uint8_t)index.n;
    memcpy(e->index, index.p, index.n);
    e->n_field = (uint8_t)field.n;
    memcpy(e->field, field.p, field.n);
    e->n_reason = (uint16_t)MIN(reason.n, sizeof e->reason);
    memcpy(e->reason, reason.p, e->n_reason);
    e->types |= type_bit(type);
    e->over_bytes = over_bytes;
    e->refused_ms = now_ms;
}

/* Marks what is remembered for this index and stands in the document in the refused type. Returns
 * the entry that hit first. */
static const struct es_fold_entry *mark_remembered(struct es_fold *f, struct bytes index, size_t n,
                                                   bool *fold)
{
    const struct es_fold_entry *first = NULL;
    unsigned hits = 0;

    for (size_t i = 0; i < f->n && hits < ES_FOLD_MAX_AT_ONCE; i++) {
        const struct es_fold_entry *e = &f->entries[i];

        if (!bytes_equal(index, entry_index(e)))
            continue;
        for (size_t k = 0; k < n; k++) {
            struct json_member at;

            if (!related(f->members[k].key, entry_field(e)) ||
                !leaf(&f->members[k], entry_field(e), &at) || !(e->types & type_bit(at.type)) ||
                at.value.n <= e->over_bytes)
                continue;
            fold[k] = true;
            hits++;
            if (first == NULL)
                first = e;
        }
    }
    return first;
}

bool es_fold_remembered(struct es_fold *f, struct bytes index, struct bytes document,
                        uint64_t now_ms, struct strbuf *to)
{
    bool fold[JSON_MAX_MEMBERS] = {false};
    const struct es_fold_entry *e;
    size_t n;

    forget_old(f, now_ms);
    n = scan(f, document, 0);
    e = mark_remembered(f, index, n, fold);
    if (e == NULL)
        return false;
    write_folded(f, n, fold, bytes_of(e->reason, e->n_reason), to);
    return true;
}

bool es_fold_refused(struct es_fold *f, struct bytes index, struct bytes document,
                     struct bytes reason, uint64_t now_ms, struct strbuf *to)
{
    bool fold[JSON_MAX_MEMBERS] = {false}, any = false;
    size_t n = scan(f, document, 0);
    struct bytes field;

    reason.n = MIN(reason.n, ES_FOLD_MAX_REASON);
    forget_old(f, now_ms);
    if (es_fold_named(reason, &field)) {
        size_t over = find(reason, "immense term") != NULL ? IMMENSE_TERM : 0;

        for (size_t i = 0; i < n; i++) {
            struct json_member at;

            if (!related(f->members[i].key, field))
                continue;
            fold[i] = any = true;
            if (leaf(&f->members[i], field, &at))
                remember(f, index, field, at.type, over, es_fold_general(reason), now_ms);
        }
    }
    for (size_t i = 0; !any && i < n; i++)
        fold[i] = !is_ours(f->members[i].key);
    for (size_t i = 0; !any && i < n; i++)
        any = fold[i];
    if (!any)
        return false;
    mark_remembered(f, index, n, fold);
    write_folded(f, n, fold, reason, to);
    return true;
}
