#include "agent/inputs/gelf_records.h"

#include "agent/base/hash.h"
#include "agent/base/metrics.h"
#include "agent/base/tally.h"
#include "agent/base/utf8.h"
#include "agent/inputs/gelf_join.h"
#include "agent/inputs/gelf_origins.h"
#include "parsers/gelf_message.h"
#include "parsers/timestamp.h"

#include <stdlib.h>

#define OWN_MEMBERS 2 /* gelf.short_message, tag */

struct gelf_records {
    struct intake *in;
    gelf_origin_fn origin;
    void *origin_arg;
    struct gelf_origins *origins;
    struct gelf_joins *joins;
    uint64_t invalid;
    struct json_member members[JSON_MAX_MEMBERS + OWN_MEMBERS];
    struct json_member joined_members[JSON_MAX_MEMBERS + OWN_MEMBERS]; /* while members is in use */
};

static void on_joined(void *arg, const struct gelf_joined *line);

struct gelf_records *gelf_records_create(struct intake *in, gelf_origin_fn origin, void *origin_arg,
                                         uint64_t max_pending_bytes, uint64_t max_message_bytes)
{
    struct gelf_records *r = base_calloc(1, sizeof *r);

    r->in = in;
    r->origin = origin;
    r->origin_arg = origin_arg;
    r->origins = gelf_origins_create(intake_formats(in));
    r->joins = gelf_joins_create(max_pending_bytes, max_message_bytes, on_joined, r);
    return r;
}

void gelf_records_free(struct gelf_records *r)
{
    if (!r)
        return;
    gelf_joins_free(r->joins);
    gelf_origins_free(r->origins);
    free(r);
}

void gelf_records_formats_changed(struct gelf_records *r)
{
    gelf_origins_free(r->origins);
    r->origins = gelf_origins_create(intake_formats(r->in));
}

/* ---- text: insides of JSON strings ---- */

/* Whether s holds nothing but blanks and line ends, escaped ones included. */
static bool is_blank(struct bytes s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == ' ' || s.p[i] == '\t' || s.p[i] == '\n' || s.p[i] == '\r')
            continue;
        if (s.p[i] != '\\' || i + 1 == s.n || !strchr("tnr", s.p[i + 1]))
            return false;
        i++;
    }
    return true;
}

/* Takes the character c (escaped as `letter`, or raw) off the end. */
static bool take_off(struct bytes *s, char c, char letter)
{
    size_t backslashes = 0;

    if (s->n >= 1 && s->p[s->n - 1] == c) {
        s->n--;
        return true;
    }
    if (s->n < 2 || s->p[s->n - 1] != letter)
        return false;
    /* An even number of backslashes: the last one is itself escaped, and the letter a letter. */
    while (backslashes + 1 < s->n && s->p[s->n - 2 - backslashes] == '\\')
        backslashes++;
    if (backslashes % 2 == 0)
        return false;
    s->n -= 2;
    return true;
}

static struct bytes without_line_end(struct bytes s)
{
    if (take_off(&s, '\n', 'n'))
        take_off(&s, '\r', 'r');
    return s;
}

/* What json_string_end says of s, which stands between its quotes in the message. */
static uint8_t string_flags(struct bytes s)
{
    uint8_t flags = 0;

    if (s.n > 0)
        json_string_end(s.p, s.p + s.n + 1, &flags);
    return flags;
}

/* A member of our own whose value is a string that stands in the message. m->extra has the room. */
static void add_member(struct gelf_message *m, struct bytes key, uint8_t flags, struct bytes inside)
{
    m->extra[m->n_extra++] = (struct json_member){.key = key,
                                                  .value = {inside.p - 1, inside.n + 2},
                                                  .key_hash = json_key_hash(key),
                                                  .type = JSON_STRING,
                                                  .flags = flags | string_flags(inside)};
}

/* ---- message to record ---- */

static enum intake_result hand_in(struct gelf_records *r, struct record *rec, uint32_t hash,
                                  unsigned flags)
{
    if (intake_message_record(r->in, rec, hash, flags) == INTAKE_FULL)
        return INTAKE_FULL;
    metric_add(M_GELF_MESSAGES, 1);
    if (rec->origin)
        tally_add(origin_tally(rec->origin), 1, 0);
    return INTAKE_TAKEN;
}

static enum intake_result ship(struct gelf_records *r, struct gelf_message *m, struct bytes text,
                               uint8_t text_flags, int64_t arrival_ns, uint32_t hash, unsigned tags,
                               unsigned flags)
{
    struct record rec = {.text = without_line_end(text),
                         .text_form = TEXT_ESCAPED,
                         .text_flags = text_flags,
                         .severity = -1,
                         .tags = tags,
                         .extra = m->extra,
                         .n_extra = m->n_extra,
                         .extra_are_labels = m->from_docker};

    if (m->from_docker && m->level == 6)
        rec.stream = STREAM_STDOUT;
    else if (m->from_docker && m->level == 3)
        rec.stream = STREAM_STDERR;
    else
        rec.severity = (int8_t)m->level;
    if (!m->timestamp.n || !timestamp_parse_seconds(m->timestamp, &rec.time_ns))
        rec.time_ns = arrival_ns;
    if (m->container_id.n && r->origin)
        rec.origin = r->origin(r->origin_arg, m->container_id);
    if (!rec.origin)
        rec.origin = gelf_origins_of(r->origins, m);
    return hand_in(r, &rec, hash, flags);
}

/* The text that is to be the message; what else of it must not vanish joins the members. */
static struct bytes settle(struct gelf_message *m)
{
    struct bytes text = m->short_message;

    if (m->full_message.n && !is_blank(m->full_message)) {
        text = m->full_message;
        if (m->short_message.n && !bytes_equal(m->short_message, m->full_message))
            add_member(m, BYTES_LITERAL("gelf.short_message"), JSON_KEY_DOTTED, m->short_message);
    }
    if (m->tag.n && !bytes_starts_with(m->container_id, m->tag))
        add_member(m, BYTES_LITERAL("tag"), 0, m->tag);
    return text;
}

static void on_joined(void *arg, const struct gelf_joined *line)
{
    struct gelf_records *r = arg;
    struct gelf_message m;
    bool joined = line->pieces > 1;
    bool parsed = gelf_message_parse(line->message, r->joined_members, JSON_MAX_MEMBERS, &m);

    ASSERT(parsed); /* as it was before it was kept */
    settle(&m);
    if (ship(r, &m, line->text, line->text_flags, line->arrival_ns, line->hash,
             joined ? TAG_GELF_JOINED : 0, joined ? BUFFER_DURABLE_FIRST : 0) == INTAKE_FULL)
        intake_count_drop(r->in, BUFFER_DROP_FULL, 1);
}

/* Whether somebody may have written this for people to read: UTF-8 without control characters but
 * blanks, and not blanks alone. */
static bool is_text(struct bytes s)
{
    bool blank = true;

    for (size_t i = 0, n; i < s.n; i += n) {
        unsigned char c = (unsigned char)s.p[i];

        n = utf8_length(s.p + i, s.n - i);
        if (n == 0 || (c < ' ' && c != '\t' && c != '\n' && c != '\r'))
            return false;
        blank &= c <= ' ';
    }
    return !blank;
}

/* What is no GELF message is shipped as it stands if it is text: an object beyond the scanner's
 * ceilings or without anything that GELF knows, JSON that is none, words. The rest is dropped. */
static enum intake_result take_odd(struct gelf_records *r, struct bytes message, int64_t arrival_ns)
{
    struct record rec = {
        .text = message, .text_form = TEXT_RAW, .severity = -1, .time_ns = arrival_ns};
    size_t n;
    bool duplicate;
    enum json_result why;

    if (!is_text(message)) {
        intake_count_drop(r->in, BUFFER_DROP_INVALID, 1);
        r->invalid++;
        return INTAKE_TAKEN;
    }
    why = json_scan(message, r->members, JSON_MAX_MEMBERS, &n, &duplicate);
    if (why == JSON_INVALID || why == JSON_NOT_OBJECT)
        rec.tags = TAG_JSON_INVALID;
    rec.origin = gelf_origins_of(r->origins, &(struct gelf_message){.level = -1});
    return hand_in(r, &rec, hash_crc32c(0, message.p, message.n), 0);
}

uint64_t gelf_records_invalid(const struct gelf_records *r)
{
    return r->invalid;
}

enum intake_result gelf_records_take(struct gelf_records *r, struct bytes message,
                                     int64_t arrival_ns, uint64_t now_ms)
{
    struct gelf_message m;
    struct bytes text;
    uint8_t flags;

    if (!gelf_message_parse(message, r->members, JSON_MAX_MEMBERS, &m))
        return take_odd(r, message, arrival_ns);
    text = settle(&m);
    flags = string_flags(text);
    if (m.from_docker && !m.full_message.n) {
        struct gelf_piece piece = {.container_id = m.container_id,
                                   .level = m.level,
                                   .timestamp = m.timestamp,
                                   .message = message,
                                   .text = text,
                                   .text_flags = flags,
                                   .arrival_ns = arrival_ns};

        if (gelf_joins_add(r->joins, &piece, now_ms))
            return INTAKE_TAKEN;
    }
    return ship(r, &m, text, flags, arrival_ns, hash_crc32c(0, message.p, message.n), 0, 0);
}

void gelf_records_expire(struct gelf_records *r, uint64_t now_ms)
{
    gelf_joins_expire(r->joins, now_ms);
}

uint64_t gelf_records_next_ms(const struct gelf_records *r)
{
    return gelf_joins_next_ms(r->joins);
}

void gelf_records_flush(struct gelf_records *r)
{
    gelf_joins_flush(r->joins);
}
