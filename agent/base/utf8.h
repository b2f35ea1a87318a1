/*
 * utf8: well-formed UTF-8 as RFC 3629 and the Unicode Standard's table 3-7 have it (no overlongs,
 * no surrogates, nothing above U+10FFFF).
 */
#ifndef BARGE_UTF8_H
#define BARGE_UTF8_H

#include "agent/base/base.h"

#define UTF8_REPLACEMENT "\xef\xbf\xbd"

/* Length (1..4) of the well-formed character at p, 0 when there is none within n bytes. */
static inline size_t utf8_length(const char *p, size_t n)
{
    const unsigned char *s = (const unsigned char *)p;

    if (n == 0)
        return 0;
    if (s[0] < 0x80)
        return 1;
    if (s[0] < 0xC2 || s[0] > 0xF4)
        return 0;
    if (n < 2 || (s[1] & 0xC0) != 0x80)
        return 0;
    if (s[0] < 0xE0)
        return 2;
    if (n < 3 || (s[2] & 0xC0) != 0x80)
        return 0;
    if (s[0] < 0xF0) {
        if ((s[0] == 0xE0 && s[1] < 0xA0) || (s[0] == 0xED && s[1] > 0x9F))
            return 0;
        return 3;
    }
    if (n < 4 || (s[3] & 0xC0) != 0x80)
        return 0;
    if ((s[0] == 0xF0 && s[1] < 0x90) || (s[0] == 0xF4 && s[1] > 0x8F))
        return 0;
    return 4;
}

/* n, or what is left of the n bytes at p without the beginning of a character at their end. */
static inline size_t utf8_cut(const char *p, size_t n)
{
    for (size_t back = 1; back < 4 && back <= n; back++) {
        unsigned char c = (unsigned char)p[n - back];

        if (c < 0x80)
            break;
        if (c >= 0xC0)
            return utf8_length(p + n - back, back) == 0 ? n - back : n;
    }
    return n;
}

#endif
