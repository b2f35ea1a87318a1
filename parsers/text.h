/*
 * text: looking around in a text: what stands at a place, before it, and at its end. Pure
 * functions; any thread.
 */
#ifndef BARGE_TEXT_H
#define BARGE_TEXT_H

#include "agent/base/ascii.h"
#include "agent/base/base.h"

/* The byte at i, 0 outside of the text. */
static inline char text_at(struct bytes t, size_t i)
{
    return i < t.n ? t.p[i] : '\0';
}

/* The same for i - n. */
static inline char text_before(struct bytes t, size_t i, size_t n)
{
    return i >= n && i - n < t.n ? t.p[i - n] : '\0';
}

/* Whether word (small letters) stands at i, in any case. */
static inline bool text_stands_at(struct bytes t, size_t i, const char *word)
{
    for (; *word; word++, i++)
        if (i >= t.n || ascii_fold(t.p[i]) != *word)
            return false;
    return true;
}

/* Whether t ends with word (small letters), in any case. */
static inline bool text_ends_with(struct bytes t, const char *word)
{
    size_t n = strlen(word);

    return t.n >= n && text_stands_at(t, t.n - n, word);
}

/* The text before i without the blanks, quotes, colons and the like at its end, four at most. */
static inline struct bytes text_before_gap(struct bytes t, size_t i)
{
    size_t n = i;

    while (n > 0 && i - n < 4 && t.p[n - 1] && strchr(" =:\"'\\[", t.p[n - 1]))
        n--;
    return bytes_of(t.p, n);
}

/* In JSON as it stands: whether an escape ends right before i, so that what stands there is not
 * what it seems: \n, or the digits of \u00e5. */
static inline bool text_is_behind_escape(struct bytes t, size_t i)
{
    for (size_t n = 2; n <= 6; n++)
        if (text_before(t, i, n) == '\\' && (n == 2 || text_before(t, i, n - 1) == 'u'))
            return true;
    return false;
}

#endif
