#include "agent/base/wildcard.h"

#include "agent/base/ascii.h"

static inline bool matches(const char *pattern, struct bytes text, bool any_case)
{
    const char *star = NULL;
    size_t i = 0, mark = 0;

    /* A mismatch goes back to the last star and lets it take one byte more: no recursion, n times m
     * at worst. */
    while (i < text.n) {
        if (*pattern == '*') {
            star = pattern++;
            mark = i;
        } else if (*pattern && (any_case ? ascii_fold(*pattern) == ascii_fold(text.p[i])
                                         : *pattern == text.p[i])) {
            pattern++;
            i++;
        } else if (star) {
            pattern = star + 1;
            i = ++mark;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return *pattern == '\0';
}

bool wildcard_matches(const char *pattern, struct bytes text)
{
    return matches(pattern, text, false);
}

bool wildcard_matches_any_case(const char *pattern, struct bytes text)
{
    return matches(pattern, text, true);
}
