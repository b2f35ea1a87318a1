#include "parsers/encoder.h"

#include "parsers/put.h"

/* The document straight from the members: one look at each name, then everything is copied to its
 * place. */

#define MAX_CONTEXTS 4 /* objects that are searched for ids */

/* What the look at the members found. */
struct found {
    const struct record *record;
    struct taken taken[TARGET_COUNT];
    const struct key *key[TARGET_COUNT]; /* NULL: nothing was found */
    const struct json_member *contexts[MAX_CONTEXTS];
    const struct key *context_keys[MAX_CONTEXTS];
    size_t n_contexts;
    const struct json_member *tags;
    struct ids ids;
    struct run *run; /* the next to be filled; those of members that nobody takes end here */
};

enum look {
    LOOK_TAKEN, /* its value has a place of its own */
    LOOK_KEPT,  /* it is copied as it stands */
    LOOK_ODD    /* nothing for this way of writing */
};

/* ---- looking ---- */

/* Whether a member cannot be written as it stands. */
static inline bool is_odd(const struct json_member *m)
{
    const uint8_t look = JSON_KEY_ESCAPED | JSON_KEY_DOTTED | JSON_NEEDS_REWRITE;

    if (UNLIKELY((m->flags & (look | JSON_KEY_PLAIN)) != JSON_KEY_PLAIN) &&
        ((m->flags & look) || m->key.n - 1 >= TREE_MAX_NAME || (unsigned char)m->key.p[0] <= ' '))
        return true;
    return m->type >= JSON_OBJECT && UNLIKELY(tree_must_open(m->value));
}

static enum look look_at_tags(const struct encoder *enc, const struct message *msg,
                              const struct json_member *m, struct found *f)
{
    if (f->tags || msg->tags || enc->enriched_tags.n ||
        !(m->type == JSON_STRING || (m->type == JSON_ARRAY && encoder_is_flat(m->value))))
        return LOOK_ODD;
    f->tags = m;
    return LOOK_TAKEN;
}

/* encoder_take for what most records have: strings that need no second look. */
static inline bool take_string(const struct key *key, const struct json_member *m,
                               struct taken *taken)
{
    if (m->type != JSON_STRING ||
        (key->target != TARGET_MESSAGE && key->target != TARGET_REQUEST_ID))
        return false;
    taken->inside = bytes_of(m->value.p + 1, m->value.n - 2);
    return key->target == TARGET_MESSAGE || request_id_usable(taken->inside);
}

static enum look look_at_target(const struct message *msg, const struct key *key,
                                const struct json_member *m, struct found *f)
{
    struct taken *taken = &f->taken[key->target];
    bool level = key->target == TARGET_LEVEL;
    bool python = level && m->type == JSON_NUMBER && encoder_is_python(f->record, msg);

    if (f->key[key->target])
        return LOOK_ODD; /* which of two it is the tree finds out */
    if (!take_string(key, m, taken) && !encoder_take(key, m, python, taken))
        return level || key->role != ROLE_NONE ? LOOK_ODD : LOOK_KEPT;
    f->key[key->target] = key;
    if (level && !taken->lossless)
        return LOOK_ODD;
    return key->target == TARGET_TRACEPARENT ? LOOK_KEPT : LOOK_TAKEN;
}

static enum look look_at_object(const struct key *key, const struct json_member *m, struct found *f)
{
    struct json_member inner;

    if (key->holds == HOLDS_NOTHING || key->holds == HOLDS_OURS)
        return LOOK_KEPT;
    if (key->holds == HOLDS_ERROR || f->n_contexts == MAX_CONTEXTS ||
        (key->holds == HOLDS_FIELDS && json_find(m->value, "message", &inner)))
        return LOOK_ODD;
    f->contexts[f->n_contexts] = m;
    f->context_keys[f->n_contexts++] = key;
    return LOOK_KEPT;
}

/* One member whose name may be known. */
static inline enum look look_at(struct encoder *enc, const struct message *msg,
                                const struct json_member *m, struct found *f)
{
    struct key_match match = keys_find_fast(enc->keys, m->key, m->key_hash);
    const struct key *key = match.key;

    if (!key)
        return LOOK_KEPT;
    if (UNLIKELY(key_is_letter(key)))
        return LOOK_ODD;
    if (match.exact && key->role != ROLE_NONE) {
        if (key->role == ROLE_TAGS)
            return look_at_tags(enc, msg, m, f);
        if (key->role == ROLE_RESERVED || key->role == ROLE_ENRICHED)
            return LOOK_ODD;
        if (m->type == JSON_OBJECT)
            return key->role == ROLE_OBJECT && key->holds == HOLDS_NOTHING ? LOOK_KEPT : LOOK_ODD;
        if (key->target == TARGET_NONE || m->type == JSON_ARRAY)
            return LOOK_ODD;
    }
    if (m->type == JSON_OBJECT)
        return look_at_object(key, m, f);
    if (key->target == TARGET_NONE || m->type == JSON_ARRAY)
        return LOOK_KEPT;
    return look_at_target(msg, key, m, f);
}

/* Whether all between two places is blanks and at most one colon or comma: no line end. */
static bool is_gap(const char *from, const char *to)
{
    for (; from < to; from++)
        if (*from != ' ' && *from != ':' && *from != ',')
            return false;
    return true;
}

/* A member that nobody takes: what lies side by side in the message is copied at once. *end: of the
 * run that may go on, or NULL. */
static inline void keep(struct found *f, const struct json_member *m, const char **end)
{
    const char *begin = m->key.p - 1, *colon = m->key.p + m->key.n + 1;

    if (UNLIKELY(m->value.p != colon + 1 && !is_gap(colon, m->value.p))) {
        *f->run++ = (struct run){.apart = m};
        *end = NULL;
        return;
    }
    if (LIKELY(*end != NULL) && (*end + 1 == begin || (*end + 2 == begin && begin[-1] == ' '))) {
        *end = f->run[-1].end = m->value.p + m->value.n;
        return;
    }
    f->run->begin = begin;
    *end = f->run->end = m->value.p + m->value.n;
    f->run->apart = NULL;
    f->run++;
}

static bool look_at_message(struct encoder *enc, const struct message *msg, struct found *f)
{
    const char *run_end = NULL;

    for (const struct json_member *m = msg->members, *end = m + msg->n; m < end; m++) {
        if (UNLIKELY(is_odd(m)))
            return false;
        if (keys_may_know(enc->keys, m->key_hash)) {
            enum look look = look_at(enc, msg, m, f);

            if (look == LOOK_TAKEN)
                continue;
            if (UNLIKELY(look == LOOK_ODD))
                return false;
        }
        keep(f, m, &run_end);
    }
    return true;
}

/* A name of GELF's that is in the message too, or twice. */
static bool names_meet(const struct record *r, const struct message *msg)
{
    if (r->n_extra > ENCODER_PAIRED)
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

static bool look_at_extra(struct encoder *enc, const struct record *r, const struct message *msg,
                          struct found *f)
{
    if (names_meet(r, msg))
        return false;
    if (r->extra_are_labels)
        return labels_are_plain(r);
    for (size_t i = 0; i < r->n_extra; i++) {
        enum look look = LOOK_KEPT;

        if (is_odd(&r->extra[i]))
            return false;
        if (keys_may_know(enc->keys, r->extra[i].key_hash))
            look = look_at(enc, msg, &r->extra[i], f);
        if (look == LOOK_ODD)
            return false;
        if (look == LOOK_KEPT) /* its name has lost the underscore that stood before it */
            *f->run++ = (struct run){.apart = &r->extra[i]};
    }
    return true;
}

static bool look(struct encoder *enc, const struct record *r, const struct message *msg,
                 struct found *f)
{
    memset(f->key, 0, sizeof f->key);
    f->record = r;
    f->n_contexts = 0;
    f->tags = NULL;
    f->run = enc->runs;
    if (!look_at_message(enc, msg, f) || (r->n_extra && !look_at_extra(enc, r, msg, f)))
        return false;
    if (msg->text.p && f->key[TARGET_MESSAGE])
        return false; /* the text is the message: GELF's member has to move */
    if (f->key[TARGET_SERVICE]) {
        struct bytes own = f->taken[TARGET_SERVICE].inside;

        /* A service of the record's own that is not the one has to move. */
        return bytes_equal(own, encoder_service(enc, r, own));
    }
    return true;
}

static void find_ids(struct encoder *enc, struct bytes message, struct found *f)
{
    struct ids *ids = &f->ids;

    ids->request = f->key[TARGET_REQUEST_ID] ? f->taken[TARGET_REQUEST_ID].inside : BYTES_NONE;
    ids->trace = f->key[TARGET_TRACE_ID] ? f->taken[TARGET_TRACE_ID].inside : BYTES_NONE;
    ids->span = f->key[TARGET_SPAN_ID] ? f->taken[TARGET_SPAN_ID].inside : BYTES_NONE;
    if (f->key[TARGET_TRACEPARENT] && !ids->trace.n && !ids->span.n)
        request_id_traceparent(f->taken[TARGET_TRACEPARENT].inside, &ids->trace, &ids->span);
    for (size_t i = 0; i < f->n_contexts; i++)
        encoder_find_ids(enc, f->context_keys[i], f->contexts[i], ids);
    if (!ids->request.n && !request_id_in_text(message, &ids->request))
        ids->request = BYTES_NONE;
}

/* ---- writing ---- */

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

    return put(to, texts[level].p, texts[level].n);
}

/* log.file.path, behind what put_level has written at begin. */
static __attribute__((noinline)) char *put_file(char *begin, char *to, struct bytes path)
{
    if (to == begin)
        to = PUT(to, ",\"log\":{");
    else
        to[-1] = ',';
    to = put_bytes(to, path);
    *to++ = '}';
    return to;
}

/* log.level, and log.file.path where the record is a file's. */
static inline char *put_log(char *to, enum level level, const struct record *r)
{
    char *end = put_level(to, level);

    if (r->origin && UNLIKELY(r->origin->file.n != 0))
        end = put_file(to, end, r->origin->file);
    return end;
}

static char *put_service(const struct encoder *enc, const struct record *r, const struct found *f,
                         char *to)
{
    if (f->key[TARGET_SERVICE]) {
        to = PUT(to, ",\"service\":{\"name\":");
        to = put_string(to, f->taken[TARGET_SERVICE].inside);
        *to++ = '}';
        return to;
    }
    if (enc->service_member.n)
        return put_bytes(to, strbuf_bytes(&enc->service_member));
    return r->origin ? put_bytes(to, r->origin->service_member) : to;
}

static char *put_trace(char *to, const struct ids *ids)
{
    if (ids->trace.n) {
        to = PUT(to, ",\"trace\":{\"id\":");
        to = put_string(to, ids->trace);
        *to++ = '}';
    }
    if (ids->span.n) {
        to = PUT(to, ",\"span\":{\"id\":");
        to = put_string(to, ids->span);
        *to++ = '}';
    }
    return to;
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

/* From container to event, with GELF's members as labels. */
static char *put_ours_and_labels(struct encoder *enc, const struct record *r, char *to)
{
    size_t n = 0;
    char *p;

    for (size_t i = 0; i < r->n_extra; i++)
        n += r->extra[i].key.n + r->extra[i].value.n + 4;
    strbuf_clear(&enc->spare);
    p = strbuf_room(&enc->spare, n);
    for (size_t i = 0; i < r->n_extra; i++) {
        const struct json_member *m = &r->extra[i];

        *p++ = '"';
        for (size_t k = 0; k < m->key.n; k++)
            *p++ = m->key.p[k] == '.' ? '_' : m->key.p[k];
        p = PUT(p, "\":");
        p = put_bytes(p, m->value);
        *p++ = ',';
    }
    n = (size_t)(p - enc->spare.p) - 1;
    return encoder_put_ours(enc, r, bytes_of(enc->spare.p, n), to);
}

static char *put_ours(struct encoder *enc, const struct record *r, char *to)
{
    const struct ours *ours;

    if (UNLIKELY(r->extra_are_labels && r->n_extra))
        return put_ours_and_labels(enc, r, to);
    ours = encoder_ours(enc, r);
    return put(to, ours->text.p, ours->text.n);
}

static char *put_tags(const struct encoder *enc, unsigned tags, const struct json_member *own,
                      char *to)
{
    if (own) {
        bool word = own->type == JSON_STRING;

        to = word ? PUT(to, ",\"tags\":[") : PUT(to, ",\"tags\":");
        to = put_bytes(to, own->value);
        if (word)
            *to++ = ']';
        return to;
    }
    to = PUT(to, ",\"tags\":[");
    to = put_bytes(to, strbuf_bytes(&enc->enriched_tags));
    if (enc->enriched_tags.n)
        *to++ = ',';
    for (size_t i = 0; i < ARRAY_LEN(encoder_tag_names); i++)
        if (tags & 1u << i) {
            to = put_string(to, encoder_tag_names[i]);
            *to++ = ',';
        }
    to[-1] = ']';
    return to;
}

static char *put_runs(char *to, const struct run *run, const struct run *end)
{
    for (; run < end; run++) {
        *to++ = ',';
        if (UNLIKELY(run->apart != NULL)) {
            to = put_string(to, run->apart->key);
            *to++ = ':';
            to = put_bytes(to, run->apart->value);
        } else {
            to = put(to, run->begin, (size_t)(run->end - run->begin));
        }
    }
    return to;
}

size_t encoder_write_straight(struct encoder *enc, const struct record *r,
                              const struct message *msg, char *to)
{
    const char *start = to, *own;
    struct bytes text = msg->text;
    struct found f;

    if (enc->fields || enc->enriched_meets_ours || msg->duplicate || !look(enc, r, msg, &f))
        return 0;
    if (f.key[TARGET_MESSAGE])
        text = f.taken[TARGET_MESSAGE].inside;
    find_ids(enc, text, &f);

    to = PUT(to, "{\"@timestamp\":\"");
    to = encoder_put_time(r, to);
    if (LIKELY(text.p)) {
        to = PUT(to, "\",\"message\":\"");
        to = put(to, text.p, text.n);
    }
    *to++ = '"';
    to = put_log(to,
                 f.key[TARGET_LEVEL] ? (enum level)f.taken[TARGET_LEVEL].level
                                     : encoder_default_level(r, f.key[TARGET_MESSAGE]),
                 r);
    to = put_service(enc, r, &f, to);
    if (f.ids.request.n) {
        to = PUT(to, ",\"http\":{\"request\":{\"id\":\"");
        to = put(to, f.ids.request.p, f.ids.request.n);
        to = PUT(to, "\"}}");
    }
    to = put_trace(to, &f.ids);
    to = put_error(to, &f);
    own = to;
    to = put_ours(enc, r, to);
    to = put_decimal(to, r->sequence);
    *to++ = '}';
    if (UNLIKELY(enc->redact != NULL) && !r->attrs.n && !(r->extra_are_labels && r->n_extra)) {
        enc->own_from = (size_t)(own - start);
        enc->own_to = (size_t)(to - start);
    }
    if (f.tags || msg->tags || enc->enriched_tags.n)
        to = put_tags(enc, msg->tags, f.tags, to);
    to = put_runs(to, enc->runs, f.run);
    if (enc->enriched.n) {
        *to++ = ',';
        to = put_bytes(to, bytes_of(enc->enriched.p + 1, enc->enriched.n - 2));
    }
    *to++ = '}';
    return (size_t)(to - start);
}
