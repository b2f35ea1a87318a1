#include "parsers/format_logfmt.h"

#include "parsers/format_put.h"
#include "parsers/timestamp.h"

/*
 * key=value key="value with \"escapes\"" bare, as go-kit, logrus, zap's and Go's text handlers and
 * Heroku's router write it. There is no grammar that all of them keep; what is asked for is that
 * the line begins with a pair and has no more bare words than pairs, which prose does not.
 */

#define UNESCAPED_MAX 4        /* bytes of one escape */
#define CHARACTER_MAX 0x10ffff /* of Unicode */

struct reader {
    const char *p, *end;
    size_t pairs, bare;
};

static bool is_key(char c)
{
    return (unsigned char)c > ' ' && c != '=' && c != '"' && c != '\\' && c != 0x7f;
}

/* The number that hexadecimal digits are; -1 when one is none, or no character has it. */
static int hex(struct bytes s)
{
    int v = 0;

    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        int d = c >= '0' && c <= '9'   ? c - '0'
                : c >= 'a' && c <= 'f' ? c - 'a' + 10
                : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                       : -1;

        if (d < 0)
            return -1;
        v = 16 * v + d;
        if (v > CHARACTER_MAX)
            return -1;
    }
    return v;
}

static size_t put_utf8(unsigned c, char to[UNESCAPED_MAX])
{
    if (c < 0x80) {
        to[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        to[0] = (char)(0xc0 | c >> 6);
        to[1] = (char)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        to[0] = (char)(0xe0 | c >> 12);
        to[1] = (char)(0x80 | (c >> 6 & 0x3f));
        to[2] = (char)(0x80 | (c & 0x3f));
        return 3;
    }
    to[0] = (char)(0xf0 | c >> 18);
    to[1] = (char)(0x80 | (c >> 12 & 0x3f));
    to[2] = (char)(0x80 | (c >> 6 & 0x3f));
    to[3] = (char)(0x80 | (c & 0x3f));
    return 4;
}

/* The other half of a surrogate pair, as JSON's escapes have them, at p; 0 when it is not there. */
static unsigned low_surrogate(const char *p, const char *end)
{
    int v = end - p >= 6 && p[0] == '\\' && p[1] == 'u' ? hex(bytes_of(p + 2, 4)) : -1;

    return v >= 0xdc00 && v <= 0xdfff ? (unsigned)v : 0;
}

/* One escape at *p (a backslash), of Go's or JSON's, as bytes. *p moves behind it. One that is none
 * stays as it stands. */
static size_t unescape(const char **p, const char *end, char to[UNESCAPED_MAX])
{
    static const char letters[] = "nrtbfav\"\\/'", meaning[] = "\n\r\t\b\f\a\v\"\\/'";
    const char *letter;
    size_t digits;
    int v;

    if (end - *p < 2) {
        to[0] = *(*p)++;
        return 1;
    }
    letter = memchr(letters, (*p)[1], sizeof letters - 1);
    if (letter) {
        to[0] = meaning[letter - letters];
        *p += 2;
        return 1;
    }
    digits = (*p)[1] == 'x' ? 2 : (*p)[1] == 'u' ? 4 : (*p)[1] == 'U' ? 8 : 0;
    v = digits && (size_t)(end - *p) >= 2 + digits ? hex(bytes_of(*p + 2, digits)) : -1;
    if (v < 0) {
        to[0] = *(*p)++;
        return 1;
    }
    *p += 2 + digits;
    if (digits == 2) { /* a byte, maybe of a character that is written as several */
        to[0] = (char)v;
        return 1;
    }
    if (v >= 0xd800 && v <= 0xdbff && low_surrogate(*p, end)) {
        v = (int)(0x10000 + (((unsigned)v - 0xd800) << 10) + (low_surrogate(*p, end) - 0xdc00));
        *p += 6;
    }
    return put_utf8(v >= 0xd800 && v <= 0xdfff ? 0xfffd : (unsigned)v, to);
}

/* The text of a quoted value, whose escapes are undone in w->spare when it has some. */
static struct bytes unquote(struct bytes s, struct format_work *w)
{
    const char *p = s.p, *end = s.p + s.n;
    char *to, *at;

    if (!s.n || !memchr(s.p, '\\', s.n))
        return s;
    strbuf_clear(&w->spare);
    to = at = strbuf_room(&w->spare, s.n + UNESCAPED_MAX);
    while (p < end) {
        if (*p == '\\')
            at += unescape(&p, end, at);
        else
            *at++ = *p++;
    }
    return bytes_of(to, (size_t)(at - to));
}

/* A value behind = : false when it is none. */
static bool read_value(struct reader *r, bool *quoted, struct bytes *value)
{
    const char *begin = r->p;

    *quoted = r->p < r->end && *r->p == '"';
    if (!*quoted) {
        while (r->p < r->end && (unsigned char)*r->p > ' ')
            if (*r->p++ == '"')
                return false;
        *value = bytes_of(begin, (size_t)(r->p - begin));
        return true;
    }
    for (r->p++; r->p < r->end && *r->p != '"'; r->p++)
        if (*r->p == '\\' && r->p + 1 < r->end)
            r->p++;
    if (r->p == r->end)
        return false;
    *value = bytes_of(begin + 1, (size_t)(r->p - begin - 1));
    r->p++;
    return r->p == r->end || (unsigned char)*r->p <= ' ';
}

static bool is_json_word(struct bytes s)
{
    return bytes_is(s, "true") || bytes_is(s, "false") || bytes_is(s, "null");
}

static void put(struct format_work *w, struct bytes key, bool quoted, struct bytes value)
{
    if (quoted)
        format_put_named(w, key, unquote(value, w));
    else if (format_is_decimal(value) || is_json_word(value))
        format_put_json(w, key, value);
    else if (bytes_is(value, "<nil>"))
        format_put_json(w, key, BYTES_LITERAL("null"));
    else
        format_put_named(w, key, value);
}

static void take_time(struct bytes key, struct bytes value, struct format_result *out)
{
    if (!out->has_time && (bytes_is(key, "time") || bytes_is(key, "ts") || bytes_is(key, "t") ||
                           bytes_is(key, "timestamp")))
        out->has_time = timestamp_parse(value, &out->time_ns);
}

bool format_logfmt_read(const struct format *f, struct bytes text, struct format_work *w,
                        struct format_result *out)
{
    struct reader r = {.p = text.p, .end = text.p + text.n};

    (void)f;
    for (;;) {
        struct bytes key, value;
        const char *begin;
        bool quoted;

        while (r.p < r.end && (unsigned char)*r.p <= ' ')
            r.p++;
        if (r.p == r.end)
            return r.pairs > 0 && r.bare <= r.pairs;
        for (begin = r.p; r.p < r.end && is_key(*r.p); r.p++)
            ;
        key = bytes_of(begin, (size_t)(r.p - begin));
        if (key.n == 0)
            return false;
        if (r.p == r.end || *r.p != '=') {
            if (r.pairs == 0 || (r.p < r.end && (unsigned char)*r.p > ' '))
                return false;
            r.bare++;
            format_put_json(w, key, BYTES_LITERAL("true"));
            continue;
        }
        r.p++;
        if (!read_value(&r, &quoted, &value))
            return false;
        r.pairs++;
        put(w, key, quoted, value);
        take_time(key, value, out);
    }
}
