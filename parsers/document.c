#include "parsers/document.h"

#include "parsers/encoder.h"
#include "parsers/redact.h"

#include "agent/base/metrics.h"

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
#define COPIED_MAX 4096      /* what a document says twice, or of itself: ids, names, braces */

/* ---- set-up ---- */

static void add_inside(struct strbuf *b, struct bytes s)
{
    struct strbuf quoted = {0};

    strbuf_add_json(&quoted, s);
    strbuf_add(b, quoted.p + 1, quoted.n - 2);
    strbuf_fini(&quoted);
}

static void add_service(struct encoder *enc, struct bytes name)
{
    add_inside(&enc->service, name);
    strbuf_add_str(&enc->service_member, ",\"service\":{\"name\":\"");
    strbuf_add_bytes(&enc->service_member, strbuf_bytes(&enc->service));
    strbuf_add_str(&enc->service_member, "\"}");
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
    struct node *root = tree_reset(enc->tree, 0);
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
    enc->format_work = format_work_create();
    enc->keys = keys_create(s->request_id_keys, names, enriched_names(s, names, ARRAY_LEN(names)));
    if (read_enriched(enc, s, e) || fields_create(s, &enc->fields, e))
        return -1;
    add_inside(&enc->host_name, host_name);
    strbuf_add_str(&enc->host, ",\"host\":{\"name\":\"");
    strbuf_add_bytes(&enc->host, strbuf_bytes(&enc->host_name));
    strbuf_add_str(&enc->host, "\"}");
    if (s->service[0] && strcmp(s->service, "auto") != 0)
        add_service(enc, bytes_str(s->service));
    enc->bound = COPIED_MAX + enc->host.n + enc->service.n + enc->enriched.n +
                 enc->enriched_tags.n + (enc->fields ? fields_bound(enc->fields) : 0);
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

void encoder_free(struct encoder *enc)
{
    if (!enc)
        return;
    keys_free(enc->keys);
    fields_free(enc->fields);
    format_work_free(enc->format_work);
    tree_free(enc->tree);
    for (size_t i = 0; i < ENCODER_OURS; i++)
        encoder_free_ours(&enc->ours[i]);
    encoder_free_ours(&enc->big_ours);
    strbuf_fini(&enc->host);
    strbuf_fini(&enc->host_name);
    strbuf_fini(&enc->service);
    strbuf_fini(&enc->service_member);
    strbuf_fini(&enc->enriched);
    strbuf_fini(&enc->enriched_tags);
    strbuf_fini(&enc->text);
    strbuf_fini(&enc->spare);
    strbuf_fini(&enc->ruled);
    free(enc);
}

void encoder_redact(struct encoder *enc, struct redact *r)
{
    if (r && !enc->redact)
        enc->bound += REDACT_ROOM;
    enc->redact = r;
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
    if (form == TEXT_LINE)
        return s;
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

/* The text as bytes; in enc->text where it had escapes. */
static bool raw_text(struct encoder *enc, const struct record *r, struct bytes *to)
{
    struct bytes s = without_line_end(r->text, r->text_form);
    size_t n;

    if (r->text_form == TEXT_ESCAPED && (r->text_flags & JSON_VALUE_ESCAPED)) {
        n = json_unescape(s, room(&enc->text, s.n + 32));
        if (n == SIZE_MAX)
            return false;
        enc->text.n = n;
        s = strbuf_bytes(&enc->text);
    }
    *to = s;
    return s.n > 0;
}

/* Reads the record in the format of its origin. false when it is not in it: what the text is else,
 * is to be looked at. */
static bool read_in_format(struct encoder *enc, struct record *r, struct message *msg)
{
    const struct format *f = r->origin->format;
    struct format_result result;
    struct bytes text;

    if (f->kind == PARSER_TEXT) {
        encoder_read_text(enc, r, msg);
        return true;
    }
    format_work_trim(enc->format_work);
    enc->format_work->want_time = r->own_time;
    if (!f->read || !raw_text(enc, r, &text) || !format_read(f, text, enc->format_work, &result) ||
        json_scan(result.object, enc->members, ARRAY_LEN(enc->members), &msg->n, &msg->duplicate) !=
            JSON_OK ||
        msg->n == 0) {
        msg->n = 0;
        return false;
    }
    if (result.repaired)
        msg->tags |= TAG_UTF8_REPAIRED;
    if (r->own_time && result.has_time) {
        r->time_ns = result.time_ns;
        r->time_text = BYTES_NONE;
    }
    return true;
}

/* Takes the members that an input has cut, or cuts them. false: the message is text. */
static inline __attribute__((always_inline)) bool
read_object(struct encoder *enc, const struct record *r, struct message *msg)
{
    if (LIKELY(r->members != NULL)) {
        msg->members = r->members;
        msg->n = r->n_members;
        msg->duplicate = r->members_duplicate;
        return true;
    }
    return read_members(enc, r, without_line_end(r->text, r->text_form), msg);
}

/* A record whose origin has a format. What is not in it is read as it comes. */
static __attribute__((noinline)) void read_formatted(struct encoder *enc, struct record *r,
                                                     struct message *msg)
{
    bool lines = r->origin->format->kind == PARSER_MULTILINE;

    if (((r->joined || !lines) && read_in_format(enc, r, msg)) || read_object(enc, r, msg))
        return;
    encoder_read_text(enc, r, msg);
    if (!lines && r->text.p) {
        msg->tags |= TAG_PARSE_FAILED;
        metric_add(M_PARSE_FAILED, 1);
    }
}

static void read_message(struct encoder *enc, struct record *r, struct message *msg)
{
    *msg = (struct message){.members = enc->members, .tags = r->tags};
    if (r->origin && UNLIKELY(r->origin->format != NULL))
        read_formatted(enc, r, msg);
    else if (!read_object(enc, r, msg))
        encoder_read_text(enc, r, msg);
}

/* Adds a member of GELF's to a record whose message may have one of that name: it is then app.NAME.
 */
static void add_extra(struct encoder *enc, struct node *root, const struct json_member *m)
{
    struct node *there = tree_child(enc->tree, root, m->key);
    struct path path = {.n = 1};
    char *name;

    if (!there) {
        tree_append(enc->tree, root, m->key, NODE_JSON, m->value);
        return;
    }
    if (bytes_equal(there->value, m->value))
        return;
    name = tree_alloc(enc->tree, 4 + m->key.n);
    memcpy(name, "app.", 4);
    memcpy(name + 4, m->key.p, m->key.n);
    path.part[0] = bytes_of(name, 4 + m->key.n);
    tree_place_or_number(enc->tree, root, &path, tree_value_of(m));
}

size_t encoder_record_bytes(const struct record *r)
{
    size_t n = r->text.n;

    for (size_t i = 0; i < r->n_extra; i++)
        n += r->extra[i].value.n;
    return n;
}

/* Applies the operator's rules: the record as one object, changed, and read again. */
static void apply_rules(struct encoder *enc, const struct record *r, struct message *msg)
{
    struct node *root = tree_reset(enc->tree, encoder_record_bytes(r));
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

        add_extra(enc, root, &m);
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

/* ---- the record ---- */

size_t encoder_bound(const struct encoder *enc, const struct record *r)
{
    bool clean = r->text_form == TEXT_ESCAPED && !(r->text_flags & JSON_NEEDS_REWRITE);
    size_t sum = enc->bound + (clean ? 2 : 6) * r->text.n + 6 * r->attrs.n;

    if (r->origin) {
        sum += r->origin->bytes;
        if (UNLIKELY(r->origin->format != NULL))
            sum += format_bound(r->origin->format, r->text.n);
    }
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

size_t encoder_write(struct encoder *enc, struct record *r, char *to)
{
    struct message msg;
    size_t n;

    read_message(enc, r, &msg);
    if (enc->fields)
        apply_rules(enc, r, &msg);
    n = encoder_write_straight(enc, r, &msg, to);
    if (n == 0)
        n = encoder_write_tree(enc, r, &msg, to, encoder_bound(enc, r));
    if (UNLIKELY(enc->redact != NULL)) {
        n = redact_document(enc->redact, to, n, encoder_bound(enc, r),
                            (struct redact_own){enc->own_from, enc->own_to});
        enc->own_from = enc->own_to = 0;
    }
    if (UNLIKELY((enc->text.cap | enc->spare.cap | enc->ruled.cap) > KEEP_TEXT)) {
        give_back(&enc->text);
        give_back(&enc->spare);
        give_back(&enc->ruled);
    }
    return n;
}
