#include "agent/inputs/files_name.h"

#include "agent/base/ascii.h"

#define DATE_DIGITS 14                    /* YYYYMMDDhhmmss */
#define DATES (100000000000000ull * 1000) /* more than any date and number make */
#define MAX_NUMBER 99999

static bool is_separator(char c)
{
    return c == '-' || c == '_' || c == '.' || c == 'T' || c == ':';
}

/* A point and a number without leading zeros at the end of the n bytes: how many bytes, 0 for none.
 */
static size_t number_at_end(const char *p, size_t n, uint64_t *number)
{
    size_t i = n;

    while (i > 0 && ascii_is_digit(p[i - 1]))
        i--;
    if (i == n || i < 2 || p[i - 1] != '.' || n - i > 5 || p[i] == '0')
        return 0;
    *number = 0;
    for (size_t k = i; k < n; k++)
        *number = *number * 10 + (uint64_t)(p[k] - '0');
    return n - i + 1;
}

static bool is_date(const char *d, size_t n)
{
    unsigned month, day;

    if (n == 10 && d[0] == '1') /* seconds since 1970, until 2033 */
        return true;
    if (n < 8 || n > DATE_DIGITS || n % 2 ||
        !((d[0] == '1' && d[1] == '9') || (d[0] == '2' && d[1] == '0')))
        return false;
    month = (unsigned)(d[4] - '0') * 10 + (unsigned)(d[5] - '0');
    day = (unsigned)(d[6] - '0') * 10 + (unsigned)(d[7] - '0');
    return month >= 1 && month <= 12 && day >= 1 && day <= 31;
}

/* A date with a separator before it at the end of the n bytes: how many bytes, 0 for none. *date
 * has DATE_DIGITS digits. */
static size_t date_at_end(const char *p, size_t n, uint64_t *date)
{
    char digits[DATE_DIGITS]; /* from the last one on */
    char d[DATE_DIGITS];
    size_t i = n, count = 0, best = 0;

    while (i > 1 && count < DATE_DIGITS) {
        if (ascii_is_digit(p[i - 1])) {
            digits[count++] = p[--i];
        } else if (count && is_separator(p[i - 1]) && ascii_is_digit(p[i - 2])) {
            i--;
            continue;
        } else {
            break;
        }
        if (count < 8 || i < 2 || !is_separator(p[i - 1]))
            continue;
        for (size_t k = 0; k < count; k++)
            d[k] = digits[count - 1 - k];
        if (!is_date(d, count))
            continue;
        best = n - i + 1 + (i > 2 && is_separator(p[i - 2]));
        *date = 0;
        for (size_t k = 0; k < DATE_DIGITS; k++)
            *date = *date * 10 + (k < count ? (uint64_t)(d[k] - '0') : 0);
    }
    return best;
}

/* Where the extension begins: the last point with letters alone behind it; n when there is none. */
static size_t extension(const char *p, size_t n)
{
    size_t i = n;

    while (i > 0 && ((p[i - 1] >= 'a' && p[i - 1] <= 'z') || (p[i - 1] >= 'A' && p[i - 1] <= 'Z')))
        i--;
    return i > 1 && i < n && p[i - 1] == '.' ? i - 1 : n;
}

static bool ends_with(const char *p, size_t n, const char *end)
{
    size_t m = strlen(end);

    return n > m && memcmp(p + n - m, end, m) == 0;
}

bool files_name_parse(const char *name, struct tail_name *to)
{
    static const char *const foreign[] = {".bz2", ".xz", ".zst", ".lz4", ".zip", ".Z"};
    size_t n = strlen(name), cut, point, dated;
    uint64_t number = 0, date = 0;

    if (n == 0 || n > NAME_MAX || name[0] == '.')
        return false;
    for (size_t i = 0; i < ARRAY_LEN(foreign); i++)
        if (ends_with(name, n, foreign[i]))
            return false;
    to->compressed = ends_with(name, n, ".gz");
    n -= to->compressed ? 3 : 0;
    dated = date_at_end(name, n, &date);
    if (!dated) {
        n -= number_at_end(name, n, &number);
        dated = date_at_end(name, n, &date);
    }
    n -= dated;
    memcpy(to->stem, name, n);
    point = extension(name, n);
    if (!dated && point < n) {
        cut = point;
        dated = date_at_end(name, cut, &date);
        if (!dated && !number) {
            cut -= number_at_end(name, cut, &number);
            dated = date_at_end(name, cut, &date);
            number = dated ? number : 0;
        }
        if (dated) {
            cut -= dated;
            memmove(to->stem + cut, name + point, n - point);
            n = cut + (n - point);
        }
    }
    to->stem[n] = '\0';
    to->index = dated ? MAX_NUMBER + DATES - date * 1000 - MIN(number, (uint64_t)999) : number;
    return true;
}
