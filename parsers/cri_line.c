#include "parsers/cri_line.h"

#define SECOND_BYTES 19 /* YYYY-MM-DDThh:mm:ss */
#define STREAM_BYTES 6

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Whether text has the form of this pattern, in which 0 stands for any digit. */
static bool has_form(const char *text, const char *pattern)
{
    for (; *pattern; text++, pattern++)
        if (*pattern == '0' ? !is_digit(*text) : *text != *pattern)
            return false;
    return true;
}

/* The length of the instant that the line begins with, 0 when it begins with none. */
static size_t time_length(struct bytes line)
{
    size_t n = SECOND_BYTES, digits = 0;

    if (line.n < SECOND_BYTES + 1 || !has_form(line.p, "0000-00-00T00:00:00"))
        return 0;
    if (line.p[n] == '.') {
        n++;
        while (n < line.n && is_digit(line.p[n])) {
            n++;
            digits++;
        }
        if (digits < 1 || digits > 9)
            return 0;
    }
    if (n < line.n && line.p[n] == 'Z')
        return n + 1;
    if (n + 6 <= line.n && (has_form(line.p + n, "+00:00") || has_form(line.p + n, "-00:00")))
        return n + 6;
    return 0;
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
    blank = p < end ? memchr(p, ' ', (size_t)(end - p)) : NULL;
    if (!blank || blank == p)
        return false;
    tags = (size_t)(blank - p);
    out->partial = p[0] == 'P' && (tags == 1 || p[1] == ':');
    out->time = bytes_of(line.p, n);
    out->text = bytes_of(blank + 1, (size_t)(end - blank - 1));
    return true;
}
