#include "parsers/redact_kinds.h"
#include "parsers/text.h"

#include <stdlib.h>

#define LOCAL_MAX 64 /* RFC 5321 §4.5.3.1 */
#define DOMAIN_MAX 255

static bool is_high(char c)
{
    return (unsigned char)c >= 0x80;
}

/* Length of what stands for an @ at i; 0 when nothing does. */
static size_t at_sign(struct bytes t, size_t i)
{
    if (t.p[i] == '@')
        return 1;
    if (t.p[i] == '%' && text_at(t, i + 1) == '4' && text_at(t, i + 2) == '0')
        return 3;
    return t.p[i] == '\\' && text_stands_at(t, i, "\\u0040") ? 6 : 0;
}

static bool is_local(char c)
{
    return ascii_is_alnum(c) || is_high(c) || c == '.' || c == '_' || c == '-' || c == '+' ||
           c == '\'';
}

/* Whether the three bytes that end at i are a byte in percent-encoding. */
static bool is_encoded(struct bytes t, size_t i)
{
    return i >= 3 && t.p[i - 3] == '%' && ascii_is_hex(t.p[i - 2]) && ascii_is_hex(t.p[i - 1]);
}

/* Whether that byte may be in a name: of UTF-8, or a plus. */
static bool is_encoded_local(struct bytes t, size_t i)
{
    return t.p[i - 2] > '7' || (t.p[i - 2] == '2' && ascii_fold(t.p[i - 1]) == 'b');
}

/* Where the name before an @ at `at` begins; `at` when there is none. */
static size_t local_begin(struct bytes t, size_t from, size_t at)
{
    bool percent = t.p[at] == '%';
    size_t i = at;

    while (i > from && at - i <= LOCAL_MAX) {
        if (percent && is_encoded(t, i)) {
            if (i - from < 3 || !is_encoded_local(t, i))
                break;
            i -= 3;
        } else if (is_local(t.p[i - 1])) {
            i--;
        } else {
            break;
        }
    }
    if (at - i > LOCAL_MAX)
        return at;
    while (i < at && strchr(".-'+", t.p[i]))
        i++;
    return i;
}

/* Where a name such as example.no that begins at i ends; i when there is none. */
static size_t domain_end(struct bytes t, size_t i)
{
    size_t begin = i, label = i, dots = 0, end = i;

    for (; i < t.n && i - begin <= DOMAIN_MAX; i++) {
        size_t letters = i;

        if (t.p[i] == '.' && i > label) {
            dots++;
            label = i + 1;
            continue;
        }
        if (!ascii_is_alnum(t.p[i]) && !is_high(t.p[i]) && !(t.p[i] == '-' && i > label))
            break;
        if (dots == 0 || i != label)
            continue;
        /* A last label: two letters at least, or one in another script as xn--…. */
        while (letters < t.n && (ascii_is_letter(t.p[letters]) || is_high(t.p[letters])))
            letters++;
        if (text_stands_at(t, label, "xn--"))
            while (letters < t.n && (ascii_is_alnum(t.p[letters]) || t.p[letters] == '-'))
                letters++;
        if (letters - label >= 2)
            end = letters;
    }
    /* logo@2x.png is a picture for dense screens. */
    if (dots == 1 && end > begin && ascii_is_digit(t.p[begin]) &&
        text_stands_at(t, begin + 1, "x."))
        return begin;
    return end;
}

bool redact_email_at(struct bytes t, size_t from, size_t at, struct redact_match *m)
{
    size_t sign = at_sign(t, at), begin, end;

    if (!sign)
        return false;
    begin = local_begin(t, from, at);
    if (begin == at)
        return false;
    end = domain_end(t, at + sign);
    if (end == at + sign)
        return false;
    *m = (struct redact_match){begin, end, REDACT_EMAIL};
    return true;
}

bool redact_email_maybe(struct bytes t, size_t at)
{
    return at_sign(t, at) && (is_local(text_before(t, at, 1)) || t.p[at] == '%');
}

size_t redact_email_canonical(struct bytes match, char *to)
{
    size_t n = 0;

    for (size_t i = 0; i < match.n && n < REDACT_CANONICAL_MAX; i++) {
        size_t sign = at_sign(match, i);

        if (sign) {
            to[n++] = '@';
            i += sign - 1;
        } else if (match.p[i] == '%' && i + 2 < match.n) {
            char hex[3] = {match.p[i + 1], match.p[i + 2], '\0'};

            to[n++] = (char)strtoul(hex, NULL, 16);
            i += 2;
        } else {
            to[n++] = ascii_fold(match.p[i]);
        }
    }
    return n;
}
