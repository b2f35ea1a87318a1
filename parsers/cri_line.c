#include "parsers/cri_line.h"

#include "agent/base/ascii.h"

#define SECOND_BYTES 19 /* YYYY-MM-DDThh:mm:ss */
#define STREAM_BYTES 6

#define DIGIT 0x76 /* what lifts 10 and more to 0x80 … */
#define EQUAL 0x7f /* … and 1 and more */

/* Whether eight bytes have the form of this pattern, in which 0 stands for any digit. slack: DIGIT
 * for a digit, EQUAL for what must stand there. */
static inline bool has_form(const char *p, const char form[8], const uint8_t slack[8])
{
    uint64_t x, want, more;

    memcpy(&x, p, 8);
    memcpy(&want, form, 8);
    memcpy(&more, slack, 8);
    /* A digit becomes 0 to 9, anything else there 10 or more, and what must stand there 0. (A sum
     * that carries over comes from a byte of 0x80 or more, which is seen by itself.) */
    x ^= want;
    return (((x + more) | x) & 0x8080808080808080) == 0;
}

static const uint8_t digits[8] = {DIGIT, DIGIT, DIGIT, DIGIT, DIGIT, DIGIT, DIGIT, DIGIT};

static bool is_second(const char *p)
{
    static const uint8_t day[8] = {DIGIT, DIGIT, DIGIT, DIGIT, EQUAL, DIGIT, DIGIT, EQUAL};
    static const uint8_t time[8] = {DIGIT, DIGIT, EQUAL, DIGIT, DIGIT, EQUAL, DIGIT, DIGIT};

    return has_form(p, "0000-00-", day) && has_form(p + 8, "00T00:00", time) &&
           has_form(p + SECOND_BYTES - 8, "00:00:00", time);
}

static bool is_offset(const char *p)
{
    return (p[0] == '+' || p[0] == '-') && ascii_is_digit(p[1]) && ascii_is_digit(p[2]) &&
           p[3] == ':' && ascii_is_digit(p[4]) && ascii_is_digit(p[5]);
}

/* The length of the instant that the line begins with, 0 when it begins with none. */
static inline size_t time_length(struct bytes line)
{
    size_t n = SECOND_BYTES;

    if (line.n < SECOND_BYTES + 1 || !is_second(line.p))
        return 0;
    if (line.p[n] == '.') {
        size_t begin = ++n;

        /* Nearly all have nine digits. */
        if (n + 8 <= line.n && has_form(line.p + n, "00000000", digits))
            n += 8;
        while (n < line.n && n - begin < 10 && ascii_is_digit(line.p[n]))
            n++;
        if (n == begin || n - begin > 9)
            return 0;
    }
    if (n < line.n && line.p[n] == 'Z')
        return n + 1;
    return n + 6 <= line.n && is_offset(line.p + n) ? n + 6 : 0;
}

/* The blank behind the tags, NULL when there is none or nothing before it. */
static inline const char *behind_tags(const char *p, const char *end)
{
    const char *blank;

    if (LIKELY(end - p >= 2 && p[1] == ' ' && p[0] != ' '))
        return p + 1;
    blank = p < end ? memchr(p, ' ', (size_t)(end - p)) : NULL;
    return blank == p ? NULL : blank;
}

bool cri_line_parse(struct bytes line, struct cri_line *out)
{
    size_t n = time_length(line), tags;
    const char *p = line.p + n, *end = line.p + line.n, *blank;

    if (n == 0 || end - p < 1 + STREAM_BYTES + 1 || p[0] != ' ' || p[1 + STREAM_BYTES] != ' ')
        return false;
    if (memcmp(p + 1, "stdout", STREAM_BYTES) == 0)
        out->stream = STREAM_STDOUT;
    else if (memcmp(p + 1, "stderr", STREAM_BYTES) == 0)
        out->stream = STREAM_STDERR;
    else
        return false;
    p += 1 + STREAM_BYTES + 1;
    blank = behind_tags(p, end);
    if (!blank)
        return false;
    tags = (size_t)(blank - p);
    out->partial = p[0] == 'P' && (tags == 1 || p[1] == ':');
    out->time = bytes_of(line.p, n);
    out->text = bytes_of(blank + 1, (size_t)(end - blank - 1));
    return true;
}
