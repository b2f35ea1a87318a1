#include "agent/inputs/docker_join.h"

#include "agent/base/hash.h"
#include "agent/base/utf8.h"
#include "parsers/document.h"
#include "parsers/json.h"

#include <stdlib.h>

/* Whether the backslash at i begins an escape: an even number of backslashes stands before it. */
static bool begins_escape(struct bytes s, size_t i)
{
    size_t run = 0;

    while (run < i && s.p[i - 1 - run] == '\\')
        run++;
    return run % 2 == 0;
}

static bool is_high_surrogate(const char *p)
{
    char nibble = (char)(p[3] | 0x20);

    return (p[2] | 0x20) == 'd' &&
           (nibble == '8' || nibble == '9' || nibble == 'a' || nibble == 'b');
}

size_t docker_join_cut(struct bytes s, size_t max)
{
    size_t k = max, back;

    if (s.n <= max)
        return s.n;
    for (back = 1; back < 6 && back <= max; back++) {
        size_t i = max - back;

        if (s.p[i] != '\\')
            continue;
        if (begins_escape(s, i)) {
            size_t length = i + 1 < s.n && s.p[i + 1] == 'u' ? 6 : 2;

            if (i + length > max)
                k = i;
        }
        break;
    }
    /* A high surrogate without its other half would decode to U+FFFD. */
    if (k >= 6 && s.p[k - 6] == '\\' && s.p[k - 5] == 'u' && begins_escape(s, k - 6) &&
        is_high_surrogate(s.p + k - 6))
        k -= 6;
    for (back = 0; back < 3 && k > 0 && ((unsigned char)s.p[k] & 0xC0) == 0x80; back++)
        k--;
    return k;
}

static void append(struct docker_join *j, struct docker_joining *s, struct bytes text)
{
    size_t room = DOCKER_JOIN_MAX_BYTES - s->n;

    if (s->truncated)
        return;
    if (text.n > room) {
        text.n = s->first.text_form == TEXT_ESCAPED ? docker_join_cut(text, room)
                                                    : utf8_cut(text.p, room);
        s->truncated = true;
    }
    if (s->n + text.n > s->cap) {
        size_t cap = MAX(s->cap * 2, MAX(s->n + text.n, (size_t)4 * DOCKER_PIECE_BYTES));

        j->bytes += cap - s->cap;
        s->text = base_realloc(s->text, cap);
        s->cap = cap;
    }
    if (text.n)
        memcpy(s->text + s->n, text.p, text.n);
    s->n += text.n;
}

static void close_stream(struct docker_join *j, struct docker_joining *s)
{
    j->bytes -= s->cap + s->attrs_n;
    free(s->text);
    free(s->attrs);
    *s = (struct docker_joining){.serial = s->serial};
}

static void open_stream(struct docker_join *j, struct docker_joining *s,
                        const struct docker_piece *piece)
{
    uint64_t serial = s->serial + 1;

    close_stream(j, s);
    s->open = true;
    s->serial = serial;
    s->first = piece->as;
    s->first.hash = hash_crc32c(0, piece->line.p, piece->line.n);
    ASSERT(piece->time.n <= sizeof s->time_text);
    s->time_n = piece->time.n;
    memcpy(s->time_text, piece->time.p, piece->time.n);
    if (piece->as.attrs.n) {
        s->attrs = base_alloc(piece->as.attrs.n);
        memcpy(s->attrs, piece->as.attrs.p, piece->as.attrs.n);
        s->attrs_n = piece->as.attrs.n;
        j->bytes += s->attrs_n;
    }
    append(j, s, piece->as.text);
}

static struct docker_framed joined(const struct docker_joining *s)
{
    struct docker_framed r = s->first;

    r.text = bytes_of(s->text, s->n);
    r.attrs = bytes_of(s->attrs, s->attrs_n);
    if (r.time_text.n)
        r.time_text = bytes_of(s->time_text, s->time_n);
    if (s->truncated)
        r.tags |= TAG_TRUNCATED;
    return r;
}

/* Whether another piece may follow, as far as this record itself tells. */
static bool may_continue(const struct docker_piece *piece)
{
    struct bytes text = piece->as.text;

    if (piece->marked)
        return !piece->ends_line;
    if (LIKELY(piece->ends_line) || text.n < DOCKER_PIECE_BYTES)
        return false;
    if (piece->time.n == 0 || piece->time.n > DOCKER_TIME_TEXT_MAX)
        return false;
    if (!(piece->as.text_flags & JSON_VALUE_ESCAPED))
        return true;
    return json_unescaped_length(text) >= DOCKER_PIECE_BYTES;
}

/* Whether the piece belongs to the record that waits on s. Marked pieces may go on for ever, as of
 * a program that writes no line end: then no file that has one of them could be let go, and nothing
 * would come out. */
static bool continues(const struct docker_joining *s, const struct docker_piece *piece)
{
    if (piece->marked)
        return s->n + piece->as.text.n <= DOCKER_JOIN_MAX_BYTES;
    return bytes_equal(piece->time, bytes_of(s->time_text, s->time_n));
}

/* The piece belongs to the record that waits on s. */
static enum docker_joined continue_stream(struct docker_join *j, struct docker_joining *s,
                                          const struct docker_piece *piece, docker_emit_fn *emit,
                                          void *arg)
{
    size_t n = s->n;
    uint32_t hash = s->first.hash;
    uint8_t flags = s->first.text_flags;
    unsigned tags = s->first.tags;
    bool truncated = s->truncated;
    struct docker_framed r;

    append(j, s, piece->as.text);
    s->first.hash = hash_crc32c(hash, piece->line.p, piece->line.n);
    s->first.text_flags |= piece->as.text_flags;
    s->first.tags |= piece->as.tags;
    if (may_continue(piece))
        return DOCKER_JOIN_WAITS;
    r = joined(s);
    if (!emit(arg, &r)) {
        s->n = n;
        s->first.hash = hash;
        s->first.text_flags = flags;
        s->first.tags = tags;
        s->truncated = truncated;
        return DOCKER_JOIN_FULL;
    }
    close_stream(j, s);
    return DOCKER_JOINED_NOW;
}

enum docker_joined docker_join_add(struct docker_join *j, const struct docker_piece *piece,
                                   docker_emit_fn *emit, void *arg)
{
    struct docker_joining *s = &j->streams[piece->as.stream];
    struct docker_framed r;

    if (UNLIKELY(s->open)) {
        if (continues(s, piece))
            return continue_stream(j, s, piece, emit, arg);
        r = joined(s);
        r.tags |= piece->marked ? TAG_TRUNCATED : 0;
        if (!emit(arg, &r))
            return DOCKER_JOIN_FULL;
    }
    if (UNLIKELY(may_continue(piece))) {
        open_stream(j, s, piece);
        return DOCKER_JOIN_WAITS;
    }
    r = piece->as;
    r.hash = hash_crc32c(0, piece->line.p, piece->line.n);
    if (!emit(arg, &r))
        return DOCKER_JOIN_FULL;
    if (UNLIKELY(s->open))
        close_stream(j, s);
    return DOCKER_JOINED_NOW;
}

bool docker_join_flush(struct docker_join *j, docker_emit_fn *emit, void *arg)
{
    for (size_t i = 0; i < DOCKER_STREAMS; i++) {
        struct docker_joining *s = &j->streams[i];
        struct docker_framed r;

        if (!s->open)
            continue;
        r = joined(s);
        if (!emit(arg, &r))
            return false;
        close_stream(j, s);
    }
    return true;
}

bool docker_join_waits(const struct docker_join *j)
{
    return j->streams[0].open || j->streams[1].open || j->streams[2].open;
}

int64_t docker_join_youngest_ns(const struct docker_join *j)
{
    int64_t youngest = INT64_MIN;

    for (size_t i = 0; i < DOCKER_STREAMS; i++)
        if (j->streams[i].open && j->streams[i].first.time_known)
            youngest = MAX(youngest, j->streams[i].first.time_ns);
    return youngest;
}

void docker_join_forget(struct docker_join *j)
{
    for (size_t i = 0; i < DOCKER_STREAMS; i++)
        close_stream(j, &j->streams[i]);
}
