#include "parsers/format_time.h"

#include "parsers/timestamp.h"

#include <stdio.h>
#include <strings.h>
#include <time.h>

#define NS_PER_S 1000000000

/* The number that n digits at s.p + at are, -1 when one is none. The first may be a blank. */
static int number(struct bytes s, size_t at, size_t n)
{
    int v = 0;

    if (at + n > s.n)
        return -1;
    for (size_t i = at; i < at + n; i++) {
        unsigned d = (unsigned)(unsigned char)s.p[i] - '0';

        if (i == at && n > 1 && s.p[i] == ' ')
            d = 0;
        if (d > 9)
            return -1;
        v = 10 * v + (int)d;
    }
    return v;
}

int format_time_month(const char *p)
{
    static const char names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

    for (int i = 0; i < 12; i++)
        if (strncasecmp(names + 3 * i, p, 3) == 0)
            return i + 1;
    return 0;
}

bool format_time_clf(struct bytes s, int64_t *ns)
{
    char text[32];
    int month;

    if (s.n != 26 || s.p[2] != '/' || s.p[6] != '/' || s.p[11] != ':' || s.p[20] != ' ' ||
        (month = format_time_month(s.p + 3)) == 0)
        return false;
    snprintf(text, sizeof text, "%.4s-%02d-%.2sT%.8s%.3s:%.2s", s.p + 7, month, s.p, s.p + 12,
             s.p + 21, s.p + 24);
    return timestamp_parse(bytes_str(text), ns);
}

/* The date that s begins with. Returns its length, 0 when there is none. */
static size_t date_of(struct bytes s, struct tm *to)
{
    bool long_year = s.n > 10 && (s.p[4] == '-' || s.p[4] == '/') && s.p[7] == s.p[4];
    size_t year_n = long_year ? 4 : 2, gap = long_year;
    int year = number(s, 0, year_n), month = number(s, year_n + gap, 2);
    int day = number(s, year_n + 2 * gap + 2, 2);

    if (year < 0 || month < 1 || month > 12 || day < 1 || day > 31)
        return 0;
    to->tm_year = year + (long_year ? -1900 : 100);
    to->tm_mon = month - 1;
    to->tm_mday = day;
    return year_n + 2 * gap + 4;
}

bool format_time_local(struct bytes s, size_t *used, int64_t *ns)
{
    struct tm tm = {.tm_isdst = -1};
    size_t at = date_of(s, &tm);
    time_t t;

    if (at == 0 || at + 9 > s.n || s.p[at] != ' ' || s.p[at + 3] != ':' || s.p[at + 6] != ':')
        return false;
    tm.tm_hour = number(s, at + 1, 2);
    tm.tm_min = number(s, at + 4, 2);
    tm.tm_sec = number(s, at + 7, 2);
    if (tm.tm_hour < 0 || tm.tm_hour > 23 || tm.tm_min < 0 || tm.tm_min > 59 || tm.tm_sec < 0 ||
        tm.tm_sec > 59)
        return false;
    *used = at + 9;
    if (!ns)
        return true;
    t = mktime(&tm);
    if (t < 0 || t >= INT64_MAX / NS_PER_S)
        return false;
    *ns = (int64_t)t * NS_PER_S;
    return true;
}
