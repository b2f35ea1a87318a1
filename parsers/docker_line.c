#include "parsers/docker_line.h"

#include "parsers/json.h"

/* Takes the final \n off log. Its backslash is no escape when it is itself escaped, that is behind
 * an odd number of others. */
static void end_line(struct docker_line *out)
{
    struct bytes *log = &out->log;
    size_t slashes = 0;

    if (log->n < 2 || log->p[log->n - 1] != 'n')
        return;
    while (slashes < log->n - 1 && log->p[log->n - 2 - slashes] == '\\')
        slashes++;
    if (slashes % 2 == 0)
        return;
    out->ends_line = true;
    log->n -= 2;
    if (memchr(log->p, '\\', log->n) == NULL)
        out->log_flags &= (uint8_t)~JSON_VALUE_ESCAPED;
}

static uint8_t stream_of(struct bytes word)
{
    if (bytes_equal(word, BYTES_LITERAL("stdout")))
        return STREAM_STDOUT;
    if (bytes_equal(word, BYTES_LITERAL("stderr")))
        return STREAM_STDERR;
    return STREAM_NONE;
}

/* Whether what follows at p is this text; moves p behind it. */
#define TAKE(p, end, literal)                                                                      \
    ((size_t)((end) - (p)) >= sizeof(literal) - 1 &&                                               \
     memcmp((p), (literal), sizeof(literal) - 1) == 0 && ((p) += sizeof(literal) - 1, true))

/* Whether s has the length of an instant and every byte lies between '#' and '[', as all of one do:
 * neither quote nor backslash nor what needs care. */
static bool is_plain(struct bytes s)
{
    const uint64_t each = 0x0101010101010101u;
    uint64_t x[4], high = 0, low = ~0ull;

    if (s.n < 16 || s.n > 32)
        return false;
    memcpy(&x[0], s.p, 16);
    memcpy(&x[2], s.p + s.n - 16, 16);
    /* The high bit of a byte says that it is not ASCII, is not below 0x5c, is not below 0x23. (If
     * the first holds for one, the others may be wrong for its neighbour.) */
    for (int i = 0; i < 4; i++) {
        high |= x[i] | (x[i] + (0x80 - 0x5c) * each);
        low &= x[i] + (0x80 - 0x23) * each;
    }
    return ((high | ~low) & 0x80 * each) == 0;
}

/* Docker's own order without attrs: {"log":"…","stream":"std…","time":"…"}. */
static bool parse_in_order(struct bytes line, struct docker_line *out)
{
    const char *p = line.p, *end = line.p + line.n;

    if (!TAKE(p, end, "{\"log\":\""))
        return false;
    out->log.p = p;
    p = json_string_end(p, end, &out->log_flags);
    if (p == NULL)
        return false;
    out->log.n = (size_t)(p - out->log.p);
    if (TAKE(p, end, "\",\"stream\":\"stdout\""))
        out->stream = STREAM_STDOUT;
    else if (TAKE(p, end, "\",\"stream\":\"stderr\""))
        out->stream = STREAM_STDERR;
    else
        return false;
    if (!TAKE(p, end, ",\"time\":\""))
        return false;
    if (end - p < 2 || end[-2] != '"' || end[-1] != '}')
        return false;
    out->time = bytes_of(p, (size_t)(end - 2 - p));
    if (!is_plain(out->time))
        return false;
    end_line(out);
    return true;
}

static struct bytes inside(struct bytes string)
{
    return bytes_of(string.p + 1, string.n - 2);
}

/* Any object. Of members that are there twice the last one counts, as Docker's own reader has it.
 */
static bool parse_any(struct bytes line, struct docker_line *out)
{
    struct json_member m[32];
    size_t n;
    bool duplicate, known = false;

    if (json_scan(line, m, ARRAY_LEN(m), &n, &duplicate) != JSON_OK)
        return false;
    for (size_t i = 0; i < n; i++) {
        bool string = m[i].type == JSON_STRING;

        if (bytes_equal(m[i].key, BYTES_LITERAL("log"))) {
            if (!string)
                return false;
            out->log = inside(m[i].value);
            out->log_flags = m[i].flags & (JSON_VALUE_ESCAPED | JSON_NEEDS_REWRITE);
        } else if (bytes_equal(m[i].key, BYTES_LITERAL("time"))) {
            if (!string)
                return false;
            out->time = inside(m[i].value);
        } else if (bytes_equal(m[i].key, BYTES_LITERAL("stream"))) {
            out->stream = string ? stream_of(inside(m[i].value)) : STREAM_NONE;
        } else if (bytes_equal(m[i].key, BYTES_LITERAL("attrs"))) {
            out->attrs = m[i].type == JSON_OBJECT ? m[i].value : BYTES_NONE;
        } else {
            continue;
        }
        known = true;
    }
    if (known)
        end_line(out);
    return known;
}

bool docker_line_parse(struct bytes line, struct docker_line *out)
{
    *out = (struct docker_line){0};
    if (line.n == 0)
        return false;
    if (LIKELY(parse_in_order(line, out)))
        return true;
    *out = (struct docker_line){0};
    return parse_any(line, out);
}

#define LOG_BEGINS "{\"log\":\""
#define TIME_BEGINS ",\"time\":\""
/* What stands behind the log of a line in Docker's order, up to the instant. */
#define BEHIND_LOG "\",\"stream\":\"stdout\"" TIME_BEGINS
#define BEHIND_LOG_STDERR "\",\"stream\":\"stderr\"" TIME_BEGINS

/* The instant that a line in Docker's order ends with. */
static bool time_at_end(struct bytes line, struct bytes *time)
{
    const char *end = line.p + line.n - 2, *p;

    if (memcmp(end, "\"}", 2) != 0)
        return false;
    /* Nearly all have nine digits, or eight, or seven. */
    for (p = end - 30; p < end - 16; p++)
        if (memcmp(p - 2, ":\"", 2) == 0) {
            *time = bytes_of(p, (size_t)(end - p));
            return is_plain(*time);
        }
    return false;
}

/* A line in Docker's own order whose message ends as an object does: from both ends to the middle.
 */
static bool parse_object(struct bytes line, struct docker_line_work *work, struct docker_line *out)
{
    const char *close;

    if (UNLIKELY(line.n < 64) || UNLIKELY(line.n > DOCKER_LINE_CUT_MAX) ||
        memcmp(line.p, LOG_BEGINS "{", sizeof LOG_BEGINS) != 0 || !time_at_end(line, &out->time))
        return false;
    close = out->time.p - (sizeof BEHIND_LOG - 1);
    if (memcmp(close, BEHIND_LOG, sizeof BEHIND_LOG - 1) == 0)
        out->stream = STREAM_STDOUT;
    else if (memcmp(close, BEHIND_LOG_STDERR, sizeof BEHIND_LOG_STDERR - 1) == 0)
        out->stream = STREAM_STDERR;
    else
        return false;
    out->log.p = line.p + sizeof LOG_BEGINS - 1;
    /* The backslash behind the brace is no escaped one. */
    if (close - out->log.p < 4 || memcmp(close - 3, "}\\n", 3) != 0)
        return false;
    out->log.n = (size_t)(close - 2 - out->log.p);
    out->log_flags = JSON_VALUE_ESCAPED;
    out->ends_line = true;
    out->members = work->members;
    return json_scan_escaped(out->log, work->text, &work->seen, work->members, DOCKER_LINE_MEMBERS,
                             &out->n, &out->duplicate);
}

bool docker_line_parse_clean(struct bytes line, struct docker_line_work *work,
                             struct docker_line *out)
{
    *out = (struct docker_line){0};
    if (LIKELY(parse_object(line, work, out)))
        return true;
    return docker_line_parse(line, out);
}

#define RESYNC_TRIES 16

size_t docker_line_resync(struct bytes line, struct docker_line *out)
{
    int tries = 0;

    for (size_t i = line.n; i-- > 1 && tries < RESYNC_TRIES;) {
        struct bytes rest = bytes_of(line.p + i, line.n - i);

        if (*rest.p != '{' || (!bytes_starts_with(rest, BYTES_LITERAL("{\"log\":\"")) &&
                               !bytes_starts_with(rest, BYTES_LITERAL("{\"stream\":\""))))
            continue;
        if (docker_line_parse(rest, out))
            return i;
        tries++;
    }
    return 0;
}
