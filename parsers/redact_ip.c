#include "parsers/redact_kinds.h"
#include "parsers/text.h"

#include <arpa/inet.h>

#define IP_MAX 45 /* INET6_ADDRSTRLEN without its zero */

struct address {
    int family;
    unsigned char bytes[16];
};

/* a.b.c.d, each of one to three digits and at most 255; what stands around it counts not. */
static bool parse_ipv4(struct bytes s, unsigned char out[4])
{
    size_t i = 0;

    for (unsigned part = 0; part < 4; part++) {
        unsigned v = 0;
        size_t begin = i;

        for (; i < s.n && ascii_is_digit(s.p[i]) && i - begin < 3; i++)
            v = 10 * v + (unsigned)(s.p[i] - '0');
        if (i == begin || v > 255 || (part < 3 && text_at(s, i++) != '.'))
            return false;
        out[part] = (unsigned char)v;
    }
    return i == s.n;
}

bool redact_ip_names_a_version(struct bytes name)
{
    return text_ends_with(name, "version") || text_ends_with(name, "versjon");
}

static bool parse_ip(struct bytes s, struct address *a)
{
    static const unsigned char mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    char text[IP_MAX + 1];

    a->family = AF_INET;
    if (parse_ipv4(s, a->bytes))
        return true;
    if (s.n > IP_MAX)
        return false;
    memcpy(text, s.p, s.n);
    text[s.n] = '\0';
    a->family = AF_INET6;
    if (inet_pton(AF_INET6, text, a->bytes) != 1)
        return false;
    if (memcmp(a->bytes, mapped, sizeof mapped) == 0) {
        a->family = AF_INET;
        memmove(a->bytes, a->bytes + 12, 4);
    }
    return true;
}

/* Loopback addresses and networks are nobody's. */
static bool is_somebodys(const struct address *a)
{
    static const unsigned char loopback[16] = {[15] = 1}, none[10] = {0};

    if (a->family == AF_INET)
        return a->bytes[0] != 127 && a->bytes[3] != 0;
    return memcmp(a->bytes, loopback, 16) != 0 && memcmp(a->bytes + 6, none, 10) != 0;
}

/* Whether the word before i says that a version follows: version=1.2.3.4 */
static bool is_version(struct bytes t, size_t i)
{
    return redact_ip_names_a_version(text_before_gap(t, i));
}

static bool is_dotted(char c)
{
    return ascii_is_digit(c) || c == '.';
}

bool redact_ip_at_dots(struct bytes t, size_t from, size_t at, struct redact_match *m)
{
    size_t begin = at, end = at;
    struct address a = {.family = AF_INET};

    while (begin > from && at - begin <= IP_MAX && is_dotted(t.p[begin - 1]))
        begin--;
    while (end < t.n && end - at <= IP_MAX && is_dotted(t.p[end]))
        end++;
    while (begin < end && t.p[begin] == '.')
        begin++;
    while (end > begin && t.p[end - 1] == '.')
        end--;
    if (!parse_ipv4(bytes_of(t.p + begin, end - begin), a.bytes) || !is_somebodys(&a))
        return false;
    if (ascii_is_word(text_before(t, begin, 1)) || ascii_is_word(text_at(t, end)) ||
        is_version(t, begin))
        return false;
    if (text_at(t, end) == '-' && ascii_is_letter(text_at(t, end + 1)))
        return false; /* 1.2.3.4-beta */
    *m = (struct redact_match){begin, end, REDACT_IP};
    return true;
}

static bool is_ipv6(char c)
{
    return ascii_is_digit(c) || ((c | 32) >= 'a' && (c | 32) <= 'f') || c == ':' || c == '.';
}

bool redact_ip_at_colons(struct bytes t, size_t from, size_t at, struct redact_match *m)
{
    size_t begin = at, end = at;
    struct address a;
    bool digit = false;

    while (begin > from && at - begin <= IP_MAX && is_ipv6(t.p[begin - 1]))
        begin--;
    while (end < t.n && end - at <= IP_MAX && is_ipv6(t.p[end]))
        end++;
    if (ascii_is_word(text_before(t, begin, 1))) { /* addr:2001:db8::1 */
        while (begin < end && t.p[begin] != ':')
            begin++;
        begin++;
    } else if (text_at(t, begin) == ':' && text_at(t, begin + 1) != ':') {
        begin++;
    }
    while (end > begin &&
           (t.p[end - 1] == '.' || (t.p[end - 1] == ':' && end - begin > 1 && t.p[end - 2] != ':')))
        end--;
    if (end <= begin + 2 || ascii_is_word(text_at(t, end)))
        return false;
    for (size_t i = begin; i < end; i++)
        digit |= ascii_is_digit(t.p[i]);
    if (!digit || !parse_ip(bytes_of(t.p + begin, end - begin), &a) || !is_somebodys(&a))
        return false;
    *m = (struct redact_match){begin, end, REDACT_IP};
    return true;
}

bool redact_ip_maybe_dots(struct bytes t, size_t at)
{
    struct redact_match m;
    size_t begin = at;

    while (begin > 0 && at - begin <= IP_MAX && is_dotted(t.p[begin - 1]))
        begin--;
    return text_is_behind_escape(t, begin) || redact_ip_at_dots(t, 0, at, &m);
}

bool redact_ip_maybe_colons(struct bytes t, size_t at)
{
    struct redact_match m;
    size_t begin = at;

    while (begin > 0 && at - begin <= IP_MAX && is_ipv6(t.p[begin - 1]))
        begin--;
    return text_is_behind_escape(t, begin) || text_is_behind_escape(t, begin + 1) ||
           redact_ip_at_colons(t, 0, at, &m);
}

/* a.b.c.d with a zero behind it, as inet_ntop has it, but not through printf. Returns its length.
 */
static size_t put_ipv4(const unsigned char bytes[4], char *to)
{
    char *p = to;

    for (unsigned i = 0; i < 4; i++) {
        unsigned v = bytes[i];

        if (v >= 100)
            *p++ = (char)('0' + v / 100);
        if (v >= 10)
            *p++ = (char)('0' + v / 10 % 10);
        *p++ = (char)('0' + v % 10);
        *p++ = '.';
    }
    *--p = '\0';
    return (size_t)(p - to);
}

size_t redact_ip_prefix(struct bytes match, char to[64])
{
    struct address a;

    if (!parse_ip(match, &a))
        return 0;
    if (a.family == AF_INET) {
        const char *mapped = memrchr(match.p, ':', match.n);
        size_t n = mapped ? (size_t)(mapped + 1 - match.p) : 0;

        if (mapped && !memchr(mapped, '.', match.n - n))
            n = 0; /* ::ffff:102:304 */
        memcpy(to, match.p, n);
        a.bytes[3] = 0;
        return n + put_ipv4(a.bytes, to + n);
    }
    memset(a.bytes + 6, 0, 10);
    if (!inet_ntop(AF_INET6, a.bytes, to, 64))
        ASSERT(false);
    return strlen(to);
}

size_t redact_ip_canonical(struct bytes match, char *to)
{
    struct address a;

    if (!parse_ip(match, &a))
        return 0;
    if (a.family == AF_INET)
        return put_ipv4(a.bytes, to);
    if (!inet_ntop(AF_INET6, a.bytes, to, REDACT_CANONICAL_MAX))
        ASSERT(false);
    return strlen(to);
}
