#include "agent/inputs/docker_frame.h"

#include "agent/base/hash.h"
#include "agent/base/utf8.h"
#include "parsers/cri_line.h"
#include "parsers/docker_line.h"
#include "parsers/document.h"
#include "parsers/timestamp.h"

#include <endian.h>

/* One line on its way, and how many records it has made so far. */
struct framing {
    struct docker_frame *frame;
    struct docker_frame_at *at;
    uint64_t end; /* of the line */
    unsigned nth;
};

/* Whether a record that begins at position was handed on in an earlier life. */
static bool was_handed_on(const struct docker_frame_at *at, uint8_t stream, uint64_t position)
{
    return at->by_stream && position < at->from[stream];
}

/* A line that may be one of several. It is never refused: what cannot be handed on is kept. */
static __attribute__((noinline)) void hand_on_line(struct framing *now,
                                                   const struct docker_framed *r)
{
    struct docker_frame_at *at = now->at;
    unsigned nth = now->nth++;

    if (at->by_stream ? r->source == at->source && was_handed_on(at, r->stream, r->position)
                      : now->end <= at->replay_to || nth < at->made)
        return;
    tail_multi_take(now->frame->multi, r, now->frame->emit, now->frame->arg);
}

/* Every record goes through here. A line makes the same records in the same order each time, so
 * counting tells which ones were handed on before. */
static inline __attribute__((always_inline)) bool hand_on_now(struct framing *now,
                                                              const struct docker_framed *r)
{
    unsigned nth;

    if (UNLIKELY(now->frame->multi != NULL)) {
        hand_on_line(now, r);
        return true;
    }
    nth = now->nth++;
    if (UNLIKELY(now->end <= now->at->replay_to) || UNLIKELY(nth < now->at->made))
        return true;
    if (!now->frame->emit(now->frame->arg, r))
        return false;
    now->at->made++;
    return true;
}

static bool hand_on(void *arg, const struct docker_framed *r)
{
    return hand_on_now(arg, r);
}

/* Whether a text that timestamp_parse took is one that documents may carry as it stands. */
static bool is_utc_text(struct bytes time)
{
    return time.n >= 20 && time.n <= TIMESTAMP_TEXT_MAX && time.p[10] == 'T' &&
           time.p[time.n - 1] == 'Z' && (time.n == 20 || time.p[19] == '.');
}

/* Eight digits as a number; false when one of them is none. All eight at once: pairs, fours, eight.
 */
static inline bool eight_digits(const char *p, uint32_t *v)
{
    uint64_t x;

    memcpy(&x, p, 8);
    x = le64toh(x);
    /* The upper half of each byte is 3, and stays 3 when 6 is added. */
    if (((x & 0xf0f0f0f0f0f0f0f0) ^ 0x3030303030303030) |
        (((x + 0x0606060606060606) & 0xf0f0f0f0f0f0f0f0) ^ 0x3030303030303030))
        return false;
    x = (x & 0x0f0f0f0f0f0f0f0f) * (10 * 256 + 1) >> 8;
    x = (x & 0x00ff00ff00ff00ff) * (100 * 65536 + 1) >> 16;
    x = (x & 0x0000ffff0000ffff) * (10000 * 4294967296 + 1) >> 32;
    *v = (uint32_t)x;
    return true;
}

/* A time in the same second as the last one, with a fraction of one to nine digits: what nearly
 * every line has. */
static inline __attribute__((always_inline)) bool parse_fraction(const struct docker_frame *f,
                                                                 struct bytes time, int64_t *ns)
{
    static const int32_t units[] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000};
    int32_t fraction = 0;
    const char *p, *end;
    uint32_t eight;

    if (time.n < 22 || time.n > TIMESTAMP_TEXT_MAX ||
        memcmp(time.p, f->second_text, sizeof f->second_text) != 0 || time.p[19] != '.' ||
        time.p[time.n - 1] != 'Z')
        return false;
    p = time.p + 20;
    end = time.p + time.n - 1;
    if (LIKELY(end - p >= 8)) {
        if (!eight_digits(p, &eight))
            return false;
        fraction = (int32_t)eight;
        p += 8;
    }
    for (; p < end; p++) {
        unsigned digit = (unsigned)(unsigned char)*p - '0';

        if (digit > 9)
            return false;
        fraction = 10 * fraction + (int32_t)digit;
    }
    *ns = f->second_ns + (int64_t)fraction * units[TIMESTAMP_TEXT_MAX - time.n];
    return true;
}

/* The instant of a record, and its text where it may stand in the document. Senseless: the instant
 * of the good record before it. */
static inline __attribute__((always_inline)) void set_time(struct docker_frame *f,
                                                           const struct docker_frame_at *at,
                                                           struct bytes time,
                                                           struct docker_framed *r)
{
    r->time_known = true;
    r->time_text = time;
    if (LIKELY(parse_fraction(f, time, &r->time_ns)))
        return;
    if (!timestamp_parse(time, &r->time_ns)) {
        r->time_ns = at->time_ns;
        r->time_known = at->time_known;
        r->time_text = BYTES_NONE;
    } else if (!is_utc_text(time)) {
        r->time_text = BYTES_NONE;
    } else if (r->time_ns < INT64_MAX - 1000000000) {
        memcpy(f->second_text, time.p, sizeof f->second_text);
        f->second_ns = r->time_ns - r->time_ns % 1000000000;
    }
}

/* Something of this record's stream waits, or this record may. */
static bool frame_piece(struct framing *now, struct docker_piece *piece)
{
    struct docker_frame_at *at = now->at;
    uint8_t stream = piece->as.stream;
    uint64_t serial;

    switch (docker_join_add(&now->frame->join, piece, hand_on, now)) {
    case DOCKER_JOIN_FULL:
        return false;
    case DOCKER_JOINED_NOW:
        return true;
    case DOCKER_JOIN_WAITS:
        break;
    }
    serial = now->frame->join.streams[stream].serial;
    if (at->waits[stream].serial != serial) {
        at->waits[stream].serial = serial;
        at->waits[stream].offset = piece->as.position;
        at->waits[stream].time_ns = at->time_ns;
        at->waits[stream].time_known = at->time_known;
    }
    return true;
}

static bool frame_docker(struct framing *now, const struct docker_line *l, struct bytes line,
                         uint64_t position)
{
    struct docker_frame_at *at = now->at;
    struct docker_piece piece;

    piece.as.text = l->log;
    piece.as.attrs = l->attrs;
    piece.as.text_form = TEXT_ESCAPED;
    piece.as.text_flags = l->log_flags;
    piece.as.members = l->members;
    piece.as.n_members = l->n;
    piece.as.members_duplicate = l->duplicate;
    piece.as.stream = l->stream;
    piece.as.joined = piece.as.cut = false;
    piece.as.tags = 0;
    piece.as.source = at->source;
    piece.as.position = position;
    set_time(now->frame, at, l->time, &piece.as);
    if (LIKELY(l->ends_line) && LIKELY(!now->frame->join.streams[l->stream].open)) {
        piece.as.hash = hash_crc32c(0, line.p, line.n);
        if (!hand_on_now(now, &piece.as))
            return false;
    } else if (!was_handed_on(at, l->stream, position)) {
        piece.as.members = NULL;
        piece.line = line;
        piece.time = l->time;
        piece.ends_line = l->ends_line;
        piece.marked = false;
        if (!frame_piece(now, &piece))
            return false;
    }
    at->time_ns = piece.as.time_ns;
    at->time_known = piece.as.time_known;
    return true;
}

/* An entry of a CRI runtime. */
static __attribute__((noinline)) bool frame_cri(struct framing *now, const struct cri_line *l,
                                                struct bytes line, unsigned tags)
{
    struct docker_frame_at *at = now->at;
    uint64_t position = at->offset;
    struct docker_piece piece = {
        .as = {.text = l->text,
               .text_form = TEXT_LINE,
               .stream = l->stream,
               .tags = tags,
               .source = at->source,
               .position = position},
        .line = line,
        .time = l->time,
        .ends_line = !l->partial,
        .marked = true,
    };

    _Static_assert(CRI_TIME_TEXT_MAX <= DOCKER_TIME_TEXT_MAX, "a piece's time is kept");
    set_time(now->frame, at, l->time, &piece.as);
    if (LIKELY(!l->partial) && LIKELY(!now->frame->join.streams[l->stream].open)) {
        piece.as.hash = hash_crc32c(0, line.p, line.n);
        if (!hand_on_now(now, &piece.as))
            return false;
    } else if (!was_handed_on(at, l->stream, position) && !frame_piece(now, &piece)) {
        return false;
    }
    at->time_ns = piece.as.time_ns;
    at->time_known = piece.as.time_known;
    return true;
}

static unsigned odd_tag(const struct docker_frame *f)
{
    return f->plain ? 0 : f->cri ? TAG_CRI_LINE_INVALID : TAG_DOCKER_LINE_INVALID;
}

static bool frame_raw(struct framing *now, struct bytes text, uint64_t position, unsigned tags)
{
    /* Of a line of plain text only its format can tell a time: whoever takes it says which one it
     * gets without. */
    struct docker_framed r = {
        .text = text,
        .text_form = TEXT_RAW,
        .stream = STREAM_NONE,
        .tags = tags | odd_tag(now->frame),
        .time_ns = now->at->time_ns,
        .time_known = now->at->time_known && !now->frame->plain,
        .source = now->at->source,
        .position = position,
        .hash = hash_crc32c(0, text.p, text.n),
    };

    return hand_on(now, &r);
}

static size_t trailing_nuls(struct bytes s)
{
    size_t n = 0;

    while (n < s.n && s.p[s.n - 1 - n] == '\0')
        n++;
    return n;
}

/* A line that is not Docker's: a record that is torn, or lacks nothing but its line feed, alone or
 * with the next one glued on. */
static bool frame_odd(struct framing *now, struct bytes line, uint64_t position)
{
    struct docker_line l, whole;
    size_t second = docker_line_resync(line, &l);
    struct bytes first = bytes_of(line.p, second ? second : line.n);
    size_t nuls = trailing_nuls(first);
    bool torn;

    first.n -= nuls;
    torn = first.n && !docker_line_parse(first, &whole);
    if (torn && !frame_raw(now, first, position, 0))
        return false;
    if (first.n && !torn && !frame_docker(now, &whole, first, position))
        return false;
    if (second &&
        !frame_docker(now, &l, bytes_of(line.p + second, line.n - second), position + second))
        return false;
    if (now->end > now->at->replay_to) {
        now->frame->skipped_bytes += nuls;
        now->frame->invalid_lines += torn;
    }
    return true;
}

/* A line of a CRI runtime's log; in Docker's own form where the kubelet had a Docker engine. */
static bool frame_cri_line(struct framing *now, struct bytes line)
{
    struct cri_line entry;
    struct docker_line l;
    size_t nuls;

    if (LIKELY(cri_line_parse(line, &entry)))
        return frame_cri(now, &entry, line, 0);
    if (docker_line_parse(line, &l))
        return frame_docker(now, &l, line, now->at->offset);
    nuls = trailing_nuls(line);
    if (!frame_raw(now, bytes_of(line.p, line.n - nuls), now->at->offset, 0))
        return false;
    if (now->end > now->at->replay_to) {
        now->frame->skipped_bytes += nuls;
        now->frame->invalid_lines++;
    }
    return true;
}

/* clean: line is valid UTF-8 without control characters. */
static bool frame_line(struct docker_frame *f, struct docker_frame_at *at, struct bytes line,
                       bool clean, uint64_t end)
{
    struct framing now = {.frame = f, .at = at, .end = end};
    struct docker_line l;

    if (LIKELY(clean && f->work)) {
        if (LIKELY(docker_line_parse_clean(line, f->work, &l)))
            return frame_docker(&now, &l, line, at->offset);
    } else if (f->plain) {
        return (line.n == 0 && !f->multi) || frame_raw(&now, line, at->offset, 0);
    } else if (f->cri) {
        return line.n == 0 || frame_cri_line(&now, line);
    } else if (docker_line_parse(line, &l)) {
        return frame_docker(&now, &l, line, at->offset);
    }
    return line.n == 0 || frame_odd(&now, line, at->offset);
}

/* The beginning of a line that is too long to be kept. */
static __attribute__((noinline)) bool frame_long(struct docker_frame *f, struct docker_frame_at *at,
                                                 const char *p)
{
    struct framing now = {.frame = f, .at = at, .end = at->offset + DOCKER_LINE_MAX_BYTES};
    size_t n = utf8_cut(p, DOCKER_LINE_MAX_BYTES);
    struct cri_line entry;

    if (f->cri && cri_line_parse(bytes_of(p, n), &entry)) {
        if (!frame_cri(&now, &entry, bytes_of(p, n), TAG_TRUNCATED))
            return false;
        if (now.end > at->replay_to)
            f->skipped_bytes += DOCKER_LINE_MAX_BYTES - n;
        return true;
    }
    if (!frame_raw(&now, bytes_of(p, n), at->offset, TAG_TRUNCATED))
        return false;
    if (now.end > at->replay_to) {
        f->skipped_bytes += DOCKER_LINE_MAX_BYTES - n;
        f->invalid_lines += !f->plain;
    }
    return true;
}

static void move(struct docker_frame_at *at, uint64_t n)
{
    at->offset += n;
    if (at->offset > at->replay_to)
        at->made = 0;
}

/* Skips what is no record: the rest of a long line, NULs at the beginning of a line. Returns how
 * many bytes. */
static size_t skip(struct docker_frame *f, struct docker_frame_at *at, const char *p,
                   const char *end)
{
    size_t n = 0, counted;

    if (at->in_long_line) {
        const char *nl = memchr(p, '\n', (size_t)(end - p));

        at->in_long_line = !nl;
        n = (size_t)((nl ? nl + 1 : end) - p);
        counted = n - (nl != NULL);
    } else {
        while (p + n < end && p[n] == '\0')
            n++;
        counted = n;
    }
    if (at->offset >= at->replay_to)
        f->skipped_bytes += counted;
    move(at, n);
    return n;
}

bool docker_frame_run(struct docker_frame *f, struct docker_frame_at *at, struct bytes chunk,
                      bool final)
{
    const char *p = chunk.p, *end = p + chunk.n;

    if (UNLIKELY(f->multi != NULL) && !tail_multi_drain(f->multi, f->emit, f->arg))
        return false;
    while (p < end) {
        size_t left = (size_t)(end - p), n;
        const char *nl;
        uint8_t flags = 0;

        if (UNLIKELY(at->in_long_line) || UNLIKELY(*p == '\0')) {
            p += skip(f, at, p, end);
            continue;
        }
        nl = json_line_end(p, end, &flags);
        n = nl ? (size_t)(nl - p) : left;
        if (UNLIKELY(n > DOCKER_LINE_MAX_BYTES)) {
            if (!frame_long(f, at, p))
                return false;
            at->in_long_line = true;
            n = DOCKER_LINE_MAX_BYTES;
        } else {
            if (!nl && !final)
                break;
            if (!frame_line(f, at, bytes_of(p, n), nl && !flags, at->offset + n + (nl != NULL)))
                return false;
            n += nl != NULL;
        }
        f->lines++;
        p += n;
        move(at, n);
        if (UNLIKELY(f->multi != NULL) && tail_multi_is_full(f->multi))
            return false;
    }
    return true;
}

static bool flush_emit(void *arg, const struct docker_framed *r)
{
    struct docker_frame *f = arg;

    if (!f->multi)
        return f->emit(f->arg, r);
    tail_multi_take(f->multi, r, f->emit, f->arg);
    return true;
}

bool docker_frame_flush(struct docker_frame *f)
{
    if (!docker_join_flush(&f->join, flush_emit, f))
        return false;
    return !f->multi || docker_frame_cut(f, ~0u);
}

bool docker_frame_cut(struct docker_frame *f, unsigned streams)
{
    tail_multi_cut(f->multi, streams);
    return tail_multi_drain(f->multi, f->emit, f->arg);
}

bool docker_frame_waits(const struct docker_frame *f)
{
    return docker_join_waits(&f->join) ||
           (f->multi && (tail_multi_pending(f->multi) || tail_multi_is_full(f->multi)));
}

size_t docker_frame_bytes(const struct docker_frame *f)
{
    return f->join.bytes + (f->multi ? tail_multi_bytes(f->multi) : 0);
}

void docker_frame_forget(struct docker_frame *f)
{
    docker_join_forget(&f->join);
    if (f->multi)
        tail_multi_forget(f->multi);
}

/* The first record of this stream that was not handed on, where events are put together. Of plain
 * text: the first one of this file. */
static const struct docker_framed *first_waiting(const struct docker_frame *f,
                                                 const struct docker_frame_at *at, size_t stream)
{
    const struct docker_joining *s = &f->join.streams[stream];
    const struct docker_framed *first =
        f->plain ? tail_multi_first_in(f->multi, at->source) : tail_multi_first(f->multi, stream);

    return first ? first : s->open ? &s->first : NULL;
}

static bool waits(const struct docker_frame *f, const struct docker_frame_at *at, size_t stream)
{
    const struct docker_joining *s = &f->join.streams[stream];

    return s->open && s->serial == at->waits[stream].serial;
}

bool docker_frame_waits_in(const struct docker_frame *f, const struct docker_frame_at *at)
{
    for (size_t i = 0; f->multi && i < DOCKER_STREAMS; i++) {
        const struct docker_framed *first = first_waiting(f, at, i);

        if (first && first->source == at->source)
            return true;
    }
    return waits(f, at, 0) || waits(f, at, 1) || waits(f, at, 2);
}

/* Everything up to replay_to is framed once more and not handed on. */
static struct docker_frame_at restart(const struct docker_frame_at *at)
{
    return (struct docker_frame_at){
        .source = at->source,
        .replay_to = MAX(at->replay_to, at->offset),
        .made = at->made,
    };
}

static struct docker_frame_at resume_pieces(const struct docker_frame *f,
                                            const struct docker_frame_at *at)
{
    struct docker_frame_at from = {
        .source = at->source,
        .offset = at->offset,
        .replay_to = MAX(at->replay_to, at->offset),
        .made = at->made,
        .in_long_line = at->in_long_line,
        .time_known = at->time_known,
        .time_ns = at->time_ns,
    };

    for (size_t i = 0; i < DOCKER_STREAMS; i++) {
        if (!waits(f, at, i) || at->waits[i].offset >= from.offset)
            continue;
        from.offset = at->waits[i].offset;
        from.time_ns = at->waits[i].time_ns;
        from.time_known = at->waits[i].time_known;
        from.in_long_line = false;
    }
    return from;
}

/* older: which streams have something that began in an older file. Of plain text each file is by
 * itself, and at has the time that the last record of it told that was handed on. */
static struct docker_frame_at resume_streams(const struct docker_frame *f,
                                             const struct docker_frame_at *at, unsigned *older)
{
    struct docker_frame_at from = {
        .source = at->source,
        .offset = at->offset,
        .replay_to = MAX(at->replay_to, at->offset),
        .by_stream = true,
        .in_long_line = at->in_long_line,
        .time_known = at->time_known,
        .time_ns = at->time_ns,
    };

    for (size_t i = 0; i < DOCKER_STREAMS; i++) {
        const struct docker_framed *first = first_waiting(f, at, i);

        from.from[i] = at->by_stream ? MAX(at->offset, at->from[i]) : at->offset;
        if (*older >> i & 1) {
            from.from[i] = 0;
        } else if (first && first->source == at->source) {
            from.from[i] = first->position;
            *older |= (unsigned)!f->plain << i;
        }
        if (from.from[i] >= from.offset)
            continue;
        from.offset = from.from[i];
        from.in_long_line = false;
        if (f->plain)
            continue;
        /* The first line there is that record's own: should it have no time, it gets the same. */
        from.time_known = from.offset && first->time_known;
        from.time_ns = from.offset ? first->time_ns : 0;
    }
    return from;
}

struct docker_frame_at docker_frame_resume(const struct docker_frame *f,
                                           const struct docker_frame_at *at, unsigned *older)
{
    struct docker_frame_at from;

    if (f->multi && (at->by_stream || at->offset >= at->replay_to))
        return resume_streams(f, at, older);
    from = *older ? restart(at) : resume_pieces(f, at);
    if (docker_frame_waits_in(f, at))
        *older = ~0u;
    return from;
}
