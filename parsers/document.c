#include "parsers/document.h"

#include "parsers/encoder.h"
#include "parsers/timestamp.h"

#include <stdlib.h>

/*
 * A record becomes members (its message when that is one JSON object, and what GELF had beside it)
 * or text. Most records go the fast way: one look at each name, then everything is copied into the
 * document in its order. Whatever the fast way cannot do without looking twice (names with dots or
 * escapes, two members for one place, values to be rewritten, an object of ours in the message,
 * rules of the operator) goes through the tree, which can do everything. Both give the same
 * document.
 */

#define KEEP_TEXT (1u << 20) /* of a buffer, from record to record */
#define MAX_CONTEXTS 4       /* objects that are searched for ids */
#define MAX_PAIRED 24        /* members of GELF whose names are compared one with the other */
#define COPIED_MAX 4096      /* what a document says twice, or of itself: ids, names, braces */

/* ---- set-up ---- */

static void add_inside(struct strbuf *b, struct bytes s)
{
    struct strbuf quoted = {0};

    strbuf_add_json(&quoted, s);
    strbuf_add(b, quoted.p + 1, quoted.n - 2);
    strbuf_fini(&quoted);
}

static bool lies_in_ours(const char *name)
{
    static const char *const ours[] = {"log",  "service", "http",  "trace", "span",
                                       "host", "event",   "error", "app"};
    size_t n = strcspn(name, ".");

    for (size_t i = 0; i < ARRAY_LEN(ours); i++)
        if (strlen(ours[i]) == n && memcmp(name, ours[i], n) == 0)
            return true;
    return false;
}

static int read_tags(struct encoder *enc, const char *value, struct error *e)
{
    struct bytes v = bytes_str(value);

    if (v.n > 2 && v.p[0] == '[' && encoder_is_flat(v))
        v = bytes_of(v.p + 1, v.n - 2);
    else if (v.n == 0 || v.p[0] != '"')
        return error_set(e, "enrich.fields: tags: a word or a list of words is wanted");
    strbuf_add_bytes(&enc->enriched_tags, v);
    return 0;
}

static int read_enriched(struct encoder *enc, const struct enrich_settings *s, struct error *e)
{
    struct node *root = tree_reset(enc->tree);
    bool repaired = false;

    for (const struct field_pair *p = s->fields; p->name; p++) {
        struct bytes value = bytes_str(p->value);
        struct path path = {.n = 0};

        if (strcmp(p->name, "tags") == 0) {
            if (read_tags(enc, p->value, e))
                return -1;
            continue;
        }
        if (fields_check_name("enrich.fields", p->name, e))
            return -1;
        if (strchr(p->name, '.') == NULL) {
            uint32_t hash = json_key_hash(bytes_str(p->name));
            struct key_match m = keys_find(enc->keys, bytes_str(p->name), hash);

            if (m.exact && m.key->role == ROLE_OBJECT && value.p[0] != '{')
                return error_set(e, "enrich.fields: %s is an object; name a field in it (%s.NAME)",
                                 p->name, p->name);
        }
        enc->enriched_meets_ours |= lies_in_ours(p->name);
        tree_split(enc->tree, bytes_str(p->name), 0, SIZE_MAX, &path);
        if (!tree_place(enc->tree, root, &path, (struct tree_value){value, NODE_JSON}))
            return error_set(e, "enrich.fields: %s is set twice", p->name);
    }
    if (tree_overflowed(enc->tree))
        return error_set(e, "enrich.fields: too many fields");
    if (root->first) {
        tree_settle(enc->tree, root, &repaired);
        strbuf_room(&enc->enriched, tree_bound(root));
        enc->enriched.n = tree_write(root, enc->enriched.p);
    }
    return 0;
}

/* The top-level names that enrich.fields sets. */
static size_t enriched_names(const struct enrich_settings *s, struct bytes *names, size_t max)
{
    size_t n = 0;

    for (const struct field_pair *p = s->fields; p->name && n < max; p++)
        if (strcmp(p->name, "tags") != 0)
            names[n++] = bytes_of(p->name, strcspn(p->name, "."));
    return n;
}

static int create(struct encoder *enc, const struct enrich_settings *s, struct bytes host_name,
                  struct error *e)
{
    struct bytes names[64];
    size_t ids = 0, set = 0;

    while (s->request_id_keys[ids])
        ids++;
    while (s->fields[set].name)
        set++;
    if (ids > ARRAY_LEN(names) || set > ARRAY_LEN(names))
        return error_set(e, "enrich: at most %zu fields and request_id_keys each",
                         ARRAY_LEN(names));
    enc->tree = tree_create();
    enc->keys = keys_create(s->request_id_keys, names, enriched_names(s, names, ARRAY_LEN(names)));
    if (read_enriched(enc, s, e) || fields_create(s, &enc->fields, e))
        return -1;
    add_inside(&enc->host_name, host_name);
    strbuf_add_str(&enc->host, ",\"host\":{\"name\":\"");
    strbuf_add_bytes(&enc->host, strbuf_bytes(&enc->host_name));
    strbuf_add_str(&enc->host, "\"}");
    if (s->service[0] && strcmp(s->service, "auto") != 0)
        add_inside(&enc->service, bytes_str(s->service));
    return 0;
}

struct encoder *encoder_create(const struct enrich_settings *settings, struct bytes host_name,
                               struct error *e)
{
    struct encoder *enc = base_calloc(1, sizeof *enc);

    if (create(enc, settings, host_name, e)) {
        encoder_free(enc);
        return NULL;
    }
    return enc;
}

static void free_labels(struct labels *l)
{
    strbuf_fini(&l->attrs);
    strbuf_fini(&l->text);
}

void encoder_free(struct encoder *enc)
{
    if (!enc)
        return;
    keys_free(enc->keys);
    fields_free(enc->fields);
    tree_free(enc->tree);
    for (size_t i = 0; i < LABEL_SLOTS; i++)
        free_labels(&enc->labels[i]);
    free_labels(&enc->long_labels);
    strbuf_fini(&enc->host);
    strbuf_fini(&enc->host_name);
    strbuf_fini(&enc->service);
    strbuf_fini(&enc->enriched);
    strbuf_fini(&enc->enriched_tags);
    strbuf_fini(&enc->text);
    strbuf_fini(&enc->spare);
    strbuf_fini(&enc->ruled);
    free(enc);
}

/* ---- small parts ---- */

const struct bytes encoder_tag_names[5] = {{"truncated", 9},
                                           {"json_invalid", 12},
                                           {"docker_line_invalid", 19},
                                           {"utf8_repaired", 13},
                                           {"gelf_joined", 11}};

struct bytes encoder_service(const struct encoder *enc, const struct record *r, struct bytes own)
{
    if (enc->service.n)
        return strbuf_bytes(&enc->service);
    if (r->origin && r->origin->service_label.n)
        return r->origin->service_label;
    if (own.n)
        return own;
    return r->origin ? r->origin->service_guess : BYTES_NONE;
}

struct bytes encoder_stream_name(uint8_t stream)
{
    if (stream == STREAM_STDOUT)
        return BYTES_LITERAL("stdout");
    return stream == STREAM_STDERR ? BYTES_LITERAL("stderr") : BYTES_NONE;
}

size_t encoder_time(const struct record *r, char *to)
{
    if (r->time_text.n == 0)
        return timestamp_format(r->time_ns, to);
    ASSERT(r->time_text.n <= 64);
    memcpy(to, r->time_text.p, r->time_text.n);
    return r->time_text.n;
}

size_t encoder_decimal(uint64_t v, char to[20])
{
    static const char pairs[] =
        "00010203040506070809101112131415161718192021222324252627282930313233"
        "34353637383940414243444546474849505152535455565758596061626364656667"
        "6869707172737475767778798081828384858687888990919293949596979899";
    char digits[20];
    char *p = digits + sizeof digits;
    size_t n;

    for (; v >= 100; v /= 100)
        memcpy(p -= 2, pairs + v % 100 * 2, 2);
    if (v >= 10)
        memcpy(p -= 2, pairs + v * 2, 2);
    else
        *--p = (char)('0' + v);
    n = (size_t)(digits + sizeof digits - p);
    memcpy(to, p, n);
    return n;
}

bool encoder_is_flat(struct bytes array)
{
    bool inside = false;

    for (size_t i = 0; i < array.n; i++) {
        if (inside && array.p[i] == '\\')
            i++;
        else if (array.p[i] == '"')
            inside = !inside;
        else if (!inside && array.p[i] == '{')
            return false;
    }
    return true;
}

/* ---- labels ---- */

struct bytes encoder_label_name(struct encoder *enc, const struct json_member *m)
{
    struct bytes name = tree_name(enc->tree, m->key, m->flags);
    char *to = tree_alloc(enc->tree, name.n);

    for (size_t i = 0; i < name.n; i++)
        to[i] = name.p[i] == '.' || name.p[i] == '/' ? '_' : name.p[i];
    return bytes_of(to, name.n);
}

static void render_labels(struct encoder *enc, struct bytes attrs, struct strbuf *to)
{
    struct node *root = tree_reset(enc->tree);
    bool duplicate = false, repaired = false;
    size_t n = 0;

    strbuf_clear(to);
    if (json_scan(attrs, enc->nested, ARRAY_LEN(enc->nested), &n, &duplicate) != JSON_OK)
        n = 0; /* more labels than any container has */
    if (duplicate)
        n = tree_drop_repeated(enc->tree, enc->nested, n);
    for (size_t i = 0; i < n; i++) {
        struct path path = {.n = 1};

        path.part[0] = encoder_label_name(enc, &enc->nested[i]);
        tree_place_or_number(enc->tree, root, &path, tree_value_of(&enc->nested[i]));
    }
    tree_settle(enc->tree, root, &repaired);
    strbuf_room(to, tree_bound(root));
    to->n = tree_write(root, to->p) - 1;
    memmove(to->p, to->p + 1, --to->n);
}

struct bytes encoder_labels(struct encoder *enc, const struct record *r)
{
    size_t at = (((uintptr_t)r->origin >> 6) + r->attrs.n) % LABEL_SLOTS;
    struct labels *l = r->attrs.n <= LABEL_CACHE_MAX ? &enc->labels[at] : &enc->long_labels;

    if (r->attrs.n == 0)
        return BYTES_NONE;
    if (LIKELY(bytes_equal(strbuf_bytes(&l->attrs), r->attrs)))
        return strbuf_bytes(&l->text);
    strbuf_clear(&l->attrs);
    if (r->attrs.n <= LABEL_CACHE_MAX)
        strbuf_add_bytes(&l->attrs, r->attrs);
    render_labels(enc, r->attrs, &l->text);
    return strbuf_bytes(&l->text);
}

/* ---- what members mean ---- */

bool encoder_is_python(const struct json_member *m, size_t n)
{
    static const char *const names[] = {"funcName", "lineno", "pathname", "levelno", "asctime"};

    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < ARRAY_LEN(names); k++)
            if (bytes_is(m[i].key, names[k]))
                return true;
    return false;
}

/* projects/NAME/traces/ID, as Google's loggers have it. */
static struct bytes last_part(struct bytes s)
{
    const char *slash = s.n ? memrchr(s.p, '/', s.n) : NULL;

    return slash ? bytes_of(slash + 1, s.n - (size_t)(slash + 1 - s.p)) : s;
}

bool encoder_take(const struct key *key, const struct json_member *m, bool python,
                  struct taken *out)
{
    bool string = m->type == JSON_STRING;
    struct bytes trace, span;

    out->number = m->type == JSON_NUMBER;
    out->inside = string ? bytes_of(m->value.p + 1, m->value.n - 2) : m->value;
    switch ((enum key_target)key->target) {
    case TARGET_MESSAGE:
        return string || (key->role == ROLE_TEXT &&
                          (out->number || m->type == JSON_TRUE || m->type == JSON_FALSE));
    case TARGET_LEVEL:
        if (!string && !out->number)
            return false;
        out->level = (uint8_t)level_of(out->inside, python, &out->lossless);
        return out->level != LEVEL_NONE;
    case TARGET_REQUEST_ID:
        return (string || out->number) && request_id_usable(out->inside);
    case TARGET_TRACE_ID:
    case TARGET_SPAN_ID:
        if (string && strchr(key->name, '/'))
            out->inside = last_part(out->inside);
        if (key->role == ROLE_OBJECT && !request_id_is_hex(out->inside))
            return false;
        return (string || out->number) && request_id_usable_trace(out->inside);
    case TARGET_SERVICE:
        return string && out->inside.n > 0 && out->inside.n <= REQUEST_ID_MAX;
    case TARGET_ERROR_MESSAGE:
    case TARGET_ERROR_TYPE:
    case TARGET_ERROR_STACK:
        return string && out->inside.n > 0;
    case TARGET_TRACEPARENT:
        return string && request_id_traceparent(out->inside, &trace, &span);
    default:
        return false;
    }
}

/* The members of one object: ids by their names, and what only means something in this place. */
static void find_ids_in(struct encoder *enc, const struct key *parent, struct bytes object,
                        unsigned depth, struct ids *ids)
{
    struct json_member headers = {.type = JSON_NULL};
    bool duplicate;
    size_t n = 0;

    if (json_scan(object, enc->nested, ARRAY_LEN(enc->nested), &n, &duplicate) != JSON_OK)
        return;
    for (size_t i = 0; i < n; i++) {
        static const struct key plain_id = {.target = TARGET_REQUEST_ID};
        const struct json_member *m = &enc->nested[i];
        const struct key *key;
        struct taken taken;

        if (m->flags & (JSON_NEEDS_REWRITE | JSON_KEY_ESCAPED))
            continue;
        key = keys_find(enc->keys, m->key, m->key_hash).key;
        if (m->type == JSON_OBJECT) {
            if (key && strcmp(key->name, "headers") == 0)
                headers = *m;
            continue;
        }
        if (bytes_is(m->key, "id") &&
            (strcmp(parent->name, "req") == 0 || strcmp(parent->name, "request") == 0))
            key = &plain_id;
        if (bytes_is(m->key, "uid") && strcmp(parent->name, "extra") == 0)
            key = &plain_id;
        if (!key || !encoder_take(key, m, false, &taken))
            continue;
        if (key->target == TARGET_REQUEST_ID && !ids->request.n)
            ids->request = taken.inside;
        else if (key->target == TARGET_TRACE_ID && !ids->trace.n)
            ids->trace = taken.inside;
        else if (key->target == TARGET_SPAN_ID && !ids->span.n)
            ids->span = taken.inside;
        else if (key->target == TARGET_TRACEPARENT && !ids->trace.n && !ids->span.n)
            request_id_traceparent(taken.inside, &ids->trace, &ids->span);
    }
    if (headers.type == JSON_OBJECT && depth == 0)
        find_ids_in(enc, parent, headers.value, 1, ids);
}

void encoder_find_ids(struct encoder *enc, const struct key *key, const struct json_member *m,
                      struct ids *ids)
{
    find_ids_in(enc, key, m->value, 0, ids);
}

enum level encoder_default_level(const struct record *r, const struct key *message)
{
    /* Serilog's compact format leaves out the level of what is Information. */
    if (message && message->name[0] == '@')
        return LEVEL_INFO;
    return level_of_syslog(r->severity);
}

/* ---- the message ---- */

static char *room(struct strbuf *b, size_t n)
{
    strbuf_clear(b);
    return strbuf_room(b, n);
}

/* The length of the escape of blank c (n, r or t) that s ends with; 0 when it does not. */
static size_t escape_at_end(struct bytes s, char c)
{
    const char *hex = c == 'n' ? "\\u000a" : c == 'r' ? "\\u000d" : "\\u0009";
    size_t n = 0, slashes = 0;

    if (s.n >= 2 && s.p[s.n - 1] == c)
        n = 2;
    else if (s.n >= 6 && s.p[s.n - 6] == '\\' && strncasecmp(s.p + s.n - 6, hex, 6) == 0)
        n = 6;
    else
        return 0;
    while (slashes < s.n - n + 1 && s.p[s.n - n - slashes] == '\\')
        slashes++;
    return slashes & 1 ? n : 0; /* else the backslash was itself escaped */
}

/* One line end, \n, \r or \r\n, at the end of the text. */
static struct bytes without_line_end(struct bytes s, uint8_t form)
{
    if (form == TEXT_ESCAPED) {
        if (s.n == 0 || s.p[s.n - 1] == '}')
            return s;
        s.n -= escape_at_end(s, 'n');
        s.n -= escape_at_end(s, 'r');
        return s;
    }
    if (s.n && s.p[s.n - 1] == '\n')
        s.n--;
    if (s.n && s.p[s.n - 1] == '\r')
        s.n--;
    return s;
}

/* What stands before the first character that counts, in a text of either form: blanks and a byte
 * order mark. */
static size_t skip_blanks(struct bytes s)
{
    size_t i = 0;

    while (i < s.n) {
        struct bytes six = bytes_of(s.p, i + 6);

        if (s.p[i] == ' ' || s.p[i] == '\t' || s.p[i] == '\r' || s.p[i] == '\n')
            i++;
        else if (i + 2 <= s.n && s.p[i] == '\\' && memchr("trn", s.p[i + 1], 3))
            i += 2;
        else if (six.n <= s.n && (escape_at_end(six, 't') == 6 || escape_at_end(six, 'n') == 6 ||
                                  escape_at_end(six, 'r') == 6))
            i += 6;
        else if (i == 0 && s.n >= 3 && memcmp(s.p, "\xef\xbb\xbf", 3) == 0)
            i += 3;
        else
            break;
    }
    return i;
}

/* Whether text that begins with { and is no JSON object was meant to be one: {main} and {0x1} are
 * not. */
static bool meant_as_json(struct bytes text)
{
    size_t i = 1 + skip_blanks(bytes_of(text.p + 1, text.n - 1));

    return i == text.n || text.p[i] == '"' || text.p[i] == '}';
}

/* The text as the inside of a JSON string that needs nothing more. */
static struct bytes clean_text(struct encoder *enc, const struct record *r, struct bytes s,
                               unsigned *tags)
{
    bool repaired = false;

    if (!s.p)
        return s;
    if (r->text_form == TEXT_ESCAPED) {
        char *raw;
        size_t n;

        if (!(r->text_flags & JSON_NEEDS_REWRITE))
            return s;
        raw = room(&enc->spare, s.n + 32);
        n = json_unescape(s, raw);
        if (n != SIZE_MAX)
            s = bytes_of(raw, n);
    }
    enc->text.n = json_escape(s, room(&enc->text, 6 * s.n + 32), &repaired);
    if (repaired)
        *tags |= TAG_UTF8_REPAIRED;
    return strbuf_bytes(&enc->text);
}

/* The members of a text that is one JSON object; false when it is not. */
static bool read_members(struct encoder *enc, const struct record *r, struct bytes s,
                         struct message *msg)
{
    size_t begin = s.n && s.p[0] == '{' ? 0 : skip_blanks(s);
    enum json_result result;

    if (begin == s.n || s.p[begin] != '{')
        return false;
    s = bytes_of(s.p + begin, s.n - begin);
    if (r->text_form == TEXT_ESCAPED && (r->text_flags & JSON_VALUE_ESCAPED)) {
        char *to = room(&enc->text, s.n + 32);
        size_t n = json_unescape(s, to);

        if (n == SIZE_MAX)
            return false;
        s = bytes_of(to, n);
    }
    result = json_scan(s, enc->members, ARRAY_LEN(enc->members), &msg->n, &msg->duplicate);
    if (result == JSON_OK && msg->n > 0) {
        msg->members = enc->members;
        return true;
    }
    if (result != JSON_OK && meant_as_json(s))
        msg->tags |= TAG_JSON_INVALID;
    msg->n = 0;
    return false;
}

void encoder_read_text(struct encoder *enc, const struct record *r, struct message *msg)
{
    struct bytes s = without_line_end(r->text, r->text_form);

    msg->n = 0;
    msg->duplicate = false;
    msg->ruled = false;
    msg->text = clean_text(enc, r, s, &msg->tags);
}

static void read_message(struct encoder *enc, const struct record *r, struct message *msg)
{
    struct bytes s = without_line_end(r->text, r->text_form);

    *msg = (struct message){.tags = r->tags};
    if (!read_members(enc, r, s, msg))
        encoder_read_text(enc, r, msg);
}

/* Applies the operator's rules: the record as one object, changed, and read again. */
static void apply_rules(struct encoder *enc, const struct record *r, struct message *msg)
{
    struct node *root = tree_reset(enc->tree);
    bool duplicate = false, repaired = false;
    size_t n;

    if (msg->duplicate)
        msg->n = tree_drop_repeated(enc->tree, msg->members, msg->n);
    if (msg->text.p)
        tree_append(enc->tree, root, BYTES_LITERAL("message"), NODE_STRING, msg->text);
    for (size_t i = 0; i < msg->n; i++) {
        struct json_member m = encoder_clean(enc, msg->members[i], &repaired);

        tree_append(enc->tree, root, m.key, NODE_JSON, m.value);
    }
    for (size_t i = 0; !r->extra_are_labels && i < r->n_extra; i++) {
        struct json_member m = encoder_clean(enc, r->extra[i], &repaired);
        struct path path = {.part = {m.key}, .n = 1};

        tree_place_or_move(enc->tree, root, &path, tree_value_of(&m));
    }
    fields_apply(enc->fields, enc->tree, root);
    if (tree_overflowed(enc->tree))
        return;
    tree_settle(enc->tree, root, &repaired);
    enc->ruled.n = tree_write(root, room(&enc->ruled, tree_bound(root)));
    if (repaired)
        msg->tags |= TAG_UTF8_REPAIRED;
    if (json_scan(strbuf_bytes(&enc->ruled), enc->members, ARRAY_LEN(enc->members), &n,
                  &duplicate) != JSON_OK)
        return;
    msg->members = enc->members;
    msg->n = n;
    msg->text = BYTES_NONE;
    msg->duplicate = duplicate;
    msg->ruled = true;
}

/* ---- the fast way ---- */

/* What the first look at the members found. */
struct found {
    struct taken taken[TARGET_COUNT];
    const struct key *key[TARGET_COUNT]; /* NULL: nothing was found */
    const struct json_member *contexts[MAX_CONTEXTS];
    const struct key *context_keys[MAX_CONTEXTS];
    size_t n_contexts;
    const struct json_member *tags;
    struct ids ids;
};

/* Whether the fast way cannot tell what a member is, or cannot write it as it stands. */
static inline bool is_odd(const struct json_member *m)
{
    if (UNLIKELY(m->flags & (JSON_KEY_ESCAPED | JSON_KEY_DOTTED | JSON_NEEDS_REWRITE)) ||
        UNLIKELY(m->key.n - 1 >= TREE_MAX_NAME) || UNLIKELY((unsigned char)m->key.p[0] <= ' '))
        return true;
    return m->type >= JSON_OBJECT && UNLIKELY(tree_must_open(m->value));
}

/* One member with a name that may be known: taken for a place (true in *used), or to be copied as
 * it is. false: not the fast way. */
static bool look_at(struct encoder *enc, const struct message *msg, const struct json_member *m,
                    struct found *f, bool *used)
{
    struct key_match match;
    const struct key *key;
    struct taken *taken;

    match = keys_find(enc->keys, m->key, m->key_hash);
    key = match.key;
    if (!key)
        return true;
    if (match.exact && key->role != ROLE_NONE) {
        if (key->role == ROLE_TAGS) {
            if (f->tags || msg->tags || enc->enriched_tags.n ||
                !(m->type == JSON_STRING || (m->type == JSON_ARRAY && encoder_is_flat(m->value))))
                return false;
            f->tags = m;
            return *used = true;
        }
        if (key->role == ROLE_RESERVED || key->role == ROLE_ENRICHED)
            return false;
        if (m->type == JSON_OBJECT)
            return key->role == ROLE_OBJECT && key->holds == HOLDS_NOTHING;
    }
    if (UNLIKELY(key_is_letter(key)))
        return false;
    if (key->target != TARGET_NONE && m->type < JSON_OBJECT) {
        taken = &f->taken[key->target];
        bool python = key->target == TARGET_LEVEL && m->type == JSON_NUMBER &&
                      encoder_is_python(msg->members, msg->n);

        if (f->key[key->target])
            return false; /* one will do; which is for the tree to say */
        if (encoder_take(key, m, python, taken)) {
            f->key[key->target] = key;
            *used = key->target != TARGET_TRACEPARENT;
            return key->target != TARGET_LEVEL || taken->lossless;
        }
        if (key->target == TARGET_LEVEL)
            return false;
    }
    if (match.exact && key->role != ROLE_NONE)
        return false;
    if (m->type == JSON_OBJECT && key->holds != HOLDS_NOTHING) {
        struct json_member inner;

        if (key->holds == HOLDS_ERROR || key->holds == HOLDS_OURS || f->n_contexts == MAX_CONTEXTS)
            return key->holds == HOLDS_OURS;
        if (key->holds == HOLDS_FIELDS && json_find(m->value, "message", &inner))
            return false;
        f->contexts[f->n_contexts] = m;
        f->context_keys[f->n_contexts++] = key;
    }
    return true;
}

static bool look_at_all(struct encoder *enc, const struct message *msg, const struct json_member *m,
                        size_t n, struct found *f, bool *used)
{
    for (size_t i = 0; i < n; i++) {
        used[i] = false;
        if (UNLIKELY(is_odd(&m[i])))
            return false;
        if (keys_may_know(enc->keys, m[i].key_hash) && !look_at(enc, msg, &m[i], f, &used[i]))
            return false;
    }
    return true;
}

/* A name of GELF's that is in the message too, or twice. */
static bool names_meet(const struct record *r, const struct message *msg)
{
    if (r->n_extra > MAX_PAIRED)
        return true;
    for (size_t i = 0; i < r->n_extra; i++) {
        for (size_t k = 0; k < i; k++)
            if (r->extra[k].key_hash == r->extra[i].key_hash)
                return true;
        for (size_t k = 0; k < msg->n && !r->extra_are_labels; k++)
            if (msg->members[k].key_hash == r->extra[i].key_hash)
                return true;
    }
    return false;
}

/* Labels of GELF's that can be copied: scalars, and no two may become the same name. */
static bool labels_are_plain(const struct record *r)
{
    if (r->attrs.n)
        return false;
    for (size_t i = 0; i < r->n_extra; i++) {
        const struct json_member *m = &r->extra[i];

        if (m->type >= JSON_OBJECT || (m->flags & (JSON_KEY_ESCAPED | JSON_NEEDS_REWRITE)) ||
            m->key.n == 0 || (unsigned char)m->key.p[0] <= ' ' || m->key.n > TREE_MAX_NAME ||
            memchr(m->key.p, '/', m->key.n))
            return false;
    }
    return true;
}

static bool look(struct encoder *enc, const struct record *r, const struct message *msg,
                 struct found *f, bool *used)
{
    struct bytes own;

    if (r->n_extra && (names_meet(r, msg) || (r->extra_are_labels && !labels_are_plain(r))))
        return false;
    if (!look_at_all(enc, msg, msg->members, msg->n, f, used) ||
        (!r->extra_are_labels && !look_at_all(enc, msg, r->extra, r->n_extra, f, used + msg->n)))
        return false;
    if (msg->text.p && f->key[TARGET_MESSAGE])
        return false; /* the text is the message: GELF's member has to move */
    own = f->taken[TARGET_SERVICE].inside;
    /* A service of the record's own that is not the one has to move. */
    if (f->key[TARGET_SERVICE] && !bytes_equal(own, encoder_service(enc, r, own)))
        return false;
    return true;
}

static void find_ids(struct encoder *enc, const struct message *msg, struct found *f)
{
    struct ids *ids = &f->ids;
    struct bytes text;

    ids->request = f->key[TARGET_REQUEST_ID] ? f->taken[TARGET_REQUEST_ID].inside : BYTES_NONE;
    ids->trace = f->key[TARGET_TRACE_ID] ? f->taken[TARGET_TRACE_ID].inside : BYTES_NONE;
    ids->span = f->key[TARGET_SPAN_ID] ? f->taken[TARGET_SPAN_ID].inside : BYTES_NONE;
    if (f->key[TARGET_TRACEPARENT] && !ids->trace.n && !ids->span.n)
        request_id_traceparent(f->taken[TARGET_TRACEPARENT].inside, &ids->trace, &ids->span);
    for (size_t i = 0; i < f->n_contexts; i++)
        encoder_find_ids(enc, f->context_keys[i], f->contexts[i], ids);
    if (!ids->request.n) {
        text = f->key[TARGET_MESSAGE] ? f->taken[TARGET_MESSAGE].inside : msg->text;
        if (!request_id_in_text(text, &ids->request))
            ids->request = BYTES_NONE;
    }
}

static inline void copy_16(char *to, const char *p)
{
    memcpy(to, p, 16);
}

/* Short copies without a call; never reads or writes beyond n bytes: the last block overlaps the
 * one before. */
static inline char *put(char *to, const char *p, size_t n)
{
    if (LIKELY(n >= 16)) {
        char *end = to + n;
        const char *last = p + n - 16;

        if (UNLIKELY(n > 512)) {
            memcpy(to, p, n);
            return end;
        }
        for (; p < last - 16; p += 32, to += 32) {
            copy_16(to, p);
            copy_16(to + 16, p + 16);
        }
        if (p < last)
            copy_16(to, p);
        copy_16(end - 16, last);
        return end;
    }
    if (n >= 8) {
        uint64_t a, b;

        memcpy(&a, p, 8);
        memcpy(&b, p + n - 8, 8);
        memcpy(to, &a, 8);
        memcpy(to + n - 8, &b, 8);
    } else if (n >= 4) {
        uint32_t a, b;

        memcpy(&a, p, 4);
        memcpy(&b, p + n - 4, 4);
        memcpy(to, &a, 4);
        memcpy(to + n - 4, &b, 4);
    } else {
        for (size_t i = 0; i < n; i++)
            to[i] = p[i];
    }
    return to + n;
}

static inline char *put_bytes(char *to, struct bytes s)
{
    return put(to, s.p, s.n);
}

#define PUT(to, literal) (memcpy((to), (literal), sizeof(literal) - 1), (to) + sizeof(literal) - 1)

static inline char *put_string(char *to, struct bytes inside)
{
    *to++ = '"';
    to = put_bytes(to, inside);
    *to++ = '"';
    return to;
}

static char *put_level(char *to, enum level level)
{
#define LEVEL_TEXT(name)                                                                           \
    {                                                                                              \
        ",\"log\":{\"level\":\"" name "\"}", sizeof ",\"log\":{\"level\":\"" name "\"}" - 1        \
    }
    static const struct bytes texts[LEVEL_COUNT] = {
        {"", 0},
        LEVEL_TEXT("trace"),
        LEVEL_TEXT("debug"),
        LEVEL_TEXT("info"),
        LEVEL_TEXT("warn"),
        LEVEL_TEXT("error"),
        LEVEL_TEXT("fatal"),
    };

    return put_bytes(to, texts[level]);
}

static char *put_error(char *to, const struct found *f)
{
    static const struct {
        uint8_t target;
        const char *name;
    } leaves[] = {{TARGET_ERROR_MESSAGE, "\"message\":"},
                  {TARGET_ERROR_TYPE, "\"type\":"},
                  {TARGET_ERROR_STACK, "\"stack_trace\":"}};

    if (!f->key[TARGET_ERROR_MESSAGE] && !f->key[TARGET_ERROR_TYPE] && !f->key[TARGET_ERROR_STACK])
        return to;
    to = PUT(to, ",\"error\":{");
    for (size_t i = 0; i < ARRAY_LEN(leaves); i++) {
        if (!f->key[leaves[i].target])
            continue;
        to = put_bytes(to, bytes_str(leaves[i].name));
        to = put_string(to, f->taken[leaves[i].target].inside);
        *to++ = ',';
    }
    to[-1] = '}';
    return to;
}

static char *put_extra_labels(char *to, const struct record *r)
{
    for (size_t i = 0; i < r->n_extra; i++) {
        const struct json_member *m = &r->extra[i];

        *to++ = '"';
        for (size_t k = 0; k < m->key.n; k++)
            *to++ = m->key.p[k] == '.' ? '_' : m->key.p[k];
        to = PUT(to, "\":");
        to = put_bytes(to, m->value);
        *to++ = ',';
    }
    return to - (r->n_extra > 0);
}

static char *put_container(struct encoder *enc, const struct record *r, char *to)
{
    struct bytes container = r->origin ? r->origin->container : BYTES_NONE;
    struct bytes labels = encoder_labels(enc, r);
    bool extra = r->extra_are_labels && r->n_extra > 0;

    if (!container.n && !labels.n && !extra)
        return to;
    to = PUT(to, ",\"container\":{");
    to = put_bytes(to, container);
    if (labels.n || extra) {
        if (container.n)
            *to++ = ',';
        to = PUT(to, "\"labels\":{");
        to = extra ? put_extra_labels(to, r) : put_bytes(to, labels);
        *to++ = '}';
    }
    *to++ = '}';
    return to;
}

static char *put_tags(struct encoder *enc, const struct message *msg, const struct found *f,
                      char *to)
{
    if (f->tags) {
        bool word = f->tags->type == JSON_STRING;

        to = word ? PUT(to, ",\"tags\":[") : PUT(to, ",\"tags\":");
        to = put_bytes(to, f->tags->value);
        if (word)
            *to++ = ']';
        return to;
    }
    if (!msg->tags && !enc->enriched_tags.n)
        return to;
    to = PUT(to, ",\"tags\":[");
    to = put_bytes(to, strbuf_bytes(&enc->enriched_tags));
    if (enc->enriched_tags.n)
        *to++ = ',';
    for (size_t i = 0; i < ARRAY_LEN(encoder_tag_names); i++)
        if (msg->tags & 1u << i) {
            to = put_string(to, encoder_tag_names[i]);
            *to++ = ',';
        }
    to[-1] = ']';
    return to;
}

static char *put_service(struct encoder *enc, const struct record *r, const struct found *f,
                         char *to)
{
    struct bytes name = encoder_service(
        enc, r, f->key[TARGET_SERVICE] ? f->taken[TARGET_SERVICE].inside : BYTES_NONE);

    if (!name.n)
        return to;
    to = PUT(to, ",\"service\":{\"name\":");
    to = put_string(to, name);
    *to++ = '}';
    return to;
}

/* Members of GELF's that nobody took. Their names have lost the underscore that stood before them.
 */
static char *put_extra(char *to, const struct json_member *m, size_t n, const bool *used)
{
    for (size_t i = 0; i < n; i++) {
        if (used[i])
            continue;
        *to++ = ',';
        to = put_string(to, m[i].key);
        *to++ = ':';
        to = put_bytes(to, m[i].value);
    }
    return to;
}

/* Whether nothing, not even a line end, stands between the parts of a member. */
static inline bool is_compact(const struct json_member *m)
{
    return m->value.p == m->key.p + m->key.n + 2;
}

/* Members that nobody took; what lies side by side in the message is copied at once. */
static char *put_rest(char *to, const struct json_member *m, size_t n, const bool *used)
{
    for (size_t i = 0; i < n; i++) {
        const char *begin = m[i].key.p - 1;
        const char *end = m[i].value.p + m[i].value.n;

        if (used[i])
            continue;
        *to++ = ',';
        if (UNLIKELY(!is_compact(&m[i]))) {
            to = put_string(to, m[i].key);
            *to++ = ':';
            to = put_bytes(to, m[i].value);
            continue;
        }
        while (i + 1 < n && !used[i + 1] && m[i + 1].key.p == end + 2 && is_compact(&m[i + 1])) {
            i++;
            end = m[i].value.p + m[i].value.n;
        }
        to = put(to, begin, (size_t)(end - begin));
    }
    return to;
}

/* The document without the tree; 0 when that is not possible. */
static size_t write_fast(struct encoder *enc, const struct record *r, const struct message *msg,
                         char *to)
{
    const char *start = to;
    bool used[2 * JSON_MAX_MEMBERS];
    struct found f;
    struct bytes stream = encoder_stream_name(r->stream);

    if (enc->fields || enc->enriched_meets_ours || msg->duplicate ||
        msg->n + r->n_extra > ARRAY_LEN(used))
        return 0;
    memset(f.key, 0, sizeof f.key);
    f.n_contexts = 0;
    f.tags = NULL;
    if (!look(enc, r, msg, &f, used))
        return 0;
    find_ids(enc, msg, &f);

    to = PUT(to, "{\"@timestamp\":\"");
    to += encoder_time(r, to);
    *to++ = '"';
    if (msg->text.p || f.key[TARGET_MESSAGE]) {
        to = PUT(to, ",\"message\":");
        to = put_string(to, msg->text.p ? msg->text : f.taken[TARGET_MESSAGE].inside);
    }
    to = put_level(to, f.key[TARGET_LEVEL] ? (enum level)f.taken[TARGET_LEVEL].level
                                           : encoder_default_level(r, f.key[TARGET_MESSAGE]));
    to = put_service(enc, r, &f, to);
    if (f.ids.request.n) {
        to = PUT(to, ",\"http\":{\"request\":{\"id\":");
        to = put_string(to, f.ids.request);
        to = PUT(to, "}}");
    }
    if (f.ids.trace.n) {
        to = PUT(to, ",\"trace\":{\"id\":");
        to = put_string(to, f.ids.trace);
        *to++ = '}';
    }
    if (f.ids.span.n) {
        to = PUT(to, ",\"span\":{\"id\":");
        to = put_string(to, f.ids.span);
        *to++ = '}';
    }
    to = put_error(to, &f);
    to = put_container(enc, r, to);
    to = put_bytes(to, r->origin && r->origin->host.n ? r->origin->host : strbuf_bytes(&enc->host));
    if (stream.n) {
        to = PUT(to, ",\"stream\":");
        to = put_string(to, stream);
    }
    to = PUT(to, ",\"event\":{\"sequence\":");
    to += encoder_decimal(r->sequence, to);
    *to++ = '}';
    to = put_tags(enc, msg, &f, to);
    to = put_rest(to, msg->members, msg->n, used);
    if (!r->extra_are_labels)
        to = put_extra(to, r->extra, r->n_extra, used + msg->n);
    if (enc->enriched.n) {
        *to++ = ',';
        to = put(to, enc->enriched.p + 1, enc->enriched.n - 2);
    }
    *to++ = '}';
    return (size_t)(to - start);
}

/* ---- the record ---- */

size_t encoder_bound(const struct encoder *enc, const struct record *r)
{
    bool clean = r->text_form == TEXT_ESCAPED && !(r->text_flags & JSON_NEEDS_REWRITE);
    size_t sum = COPIED_MAX + enc->host.n + enc->service.n + enc->enriched.n + enc->enriched_tags.n;

    sum += (clean ? 2 : 6) * r->text.n + 6 * r->attrs.n;
    if (enc->fields)
        sum += fields_bound(enc->fields);
    if (r->origin)
        sum += r->origin->bytes;
    for (size_t i = 0; i < r->n_extra; i++) {
        const struct json_member *m = &r->extra[i];

        sum += (m->flags & JSON_NEEDS_REWRITE ? 6 : 2) * (m->key.n + m->value.n) + 32;
    }
    return sum;
}

static void give_back(struct strbuf *b)
{
    if (b->cap > KEEP_TEXT)
        strbuf_fini(b);
}

size_t encoder_write(struct encoder *enc, const struct record *r, char *to)
{
    struct message msg;
    size_t n;

    read_message(enc, r, &msg);
    if (enc->fields)
        apply_rules(enc, r, &msg);
    n = write_fast(enc, r, &msg, to);
    if (n == 0)
        n = encoder_write_tree(enc, r, &msg, to, encoder_bound(enc, r));
    give_back(&enc->text);
    give_back(&enc->spare);
    give_back(&enc->ruled);
    return n;
}
