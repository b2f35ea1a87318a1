#include "parsers/timestamp.h"

#define NS_PER_S 1000000000

/* The value of n digits at p, -1 when one is none. */
static int digits(const char *p, int n)
{
    int value = 0;

    for (int i = 0; i < n; i++) {
        unsigned d = (unsigned)((unsigned char)p[i]) - '0';

        if (d > 9)
            return -1;
        value = 10 * value + (int)d;
    }
    return value;
}

/* Days since 1970-01-01 of a proleptic Gregorian date: years begin in March, so that the leap day
 * is the last one. */
static int32_t days_of(int year, int month, int day)
{
    int y = year - (month <= 2);
    int era = (y >= 0 ? y : y - 399) / 400;
    int year_of_era = y - era * 400;
    int day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;

    return era * 146097 + day_of_era - 719468;
}

void timestamp_civil(int32_t day, int *year, int *month, int *day_of_month)
{
    int64_t z = (int64_t)day + 719468;
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    int day_of_era = (int)(z - era * 146097);
    int year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int march_month = (5 * day_of_year + 2) / 153;

    *day_of_month = day_of_year - (153 * march_month + 2) / 5 + 1;
    *month = march_month < 10 ? march_month + 3 : march_month - 9;
    *year = year_of_era + (int)era * 400 + (*month <= 2);
}

static int days_in_month(int year, int month)
{
    static const signed char days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

    return days[month - 1] + (month == 2 && leap);
}

bool timestamp_date(int year, int month, int day_of_month, int32_t *day)
{
    if (year < 0 || month < 1 || month > 12 || day_of_month < 1 ||
        day_of_month > days_in_month(year, month))
        return false;
    *day = days_of(year, month, day_of_month);
    return true;
}

/* s seconds and fraction nanoseconds as one number; false when it is out of range. */
static bool join(int64_t s, int64_t fraction, int64_t *ns)
{
    const int64_t last_s = INT64_MAX / NS_PER_S;

    if (s < 0 || s > last_s || (s == last_s && fraction > INT64_MAX % NS_PER_S))
        return false;
    *ns = s * NS_PER_S + fraction;
    return true;
}

bool timestamp_parse(struct bytes text, int64_t *ns)
{
    if (text.n < sizeof("YYYY-MM-DDThh:mm:ssZ") - 1)
        return false;

    const char *p = text.p, *end = text.p + text.n;

    int year = digits(p, 4), month = digits(p + 5, 2), day = digits(p + 8, 2);
    int hour = digits(p + 11, 2), minute = digits(p + 14, 2), second = digits(p + 17, 2);
    int32_t days;

    if (p[4] != '-' || p[7] != '-' || (p[10] != 'T' && p[10] != 't' && p[10] != ' ') ||
        p[13] != ':' || p[16] != ':')
        return false;
    if (!timestamp_date(year, month, day, &days) || hour < 0 || hour > 23 || minute < 0 ||
        minute > 59 || second < 0 || second > 59)
        return false;
    p += 19;

    int64_t fraction = 0;

    if (*p == '.' || *p == ',') {
        int64_t unit = NS_PER_S;
        const char *first = ++p;

        for (; p < end && *p >= '0' && *p <= '9'; p++) {
            unit /= 10;
            fraction += (*p - '0') * unit;
        }
        if (p == first || p == end)
            return false;
    }

    int64_t offset_s = 0;

    if (*p == 'Z' || *p == 'z') {
        p++;
    } else if (*p == '+' || *p == '-') {
        if (end - p < 6 || p[3] != ':')
            return false;

        int hours = digits(p + 1, 2), minutes = digits(p + 4, 2);

        if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59)
            return false;
        offset_s = (hours * 60 + minutes) * 60;
        if (*p == '-')
            offset_s = -offset_s;
        p += 6;
    } else {
        return false;
    }
    if (p != end)
        return false;
    return join((int64_t)days * 86400 + (hour * 60 + minute) * 60 + second - offset_s, fraction,
                ns);
}

/* 0.d1 d2 d3 … times ten to the power of point; only the first digits matter. */
struct decimal {
    char digits[24]; /* the first one is no zero */
    int n;
    int64_t point;
};

/* What stands before the point and behind it. Returns the end, NULL when p is no such number. */
static const char *read_digits(struct decimal *d, const char *p, const char *end)
{
    const char *begin = p;

    for (; p < end && *p >= '0' && *p <= '9'; p++) {
        if (d->n == 0 && *p == '0')
            continue;
        if (d->n < (int)sizeof d->digits)
            d->digits[d->n++] = *p;
        d->point++;
    }
    if (p == begin)
        return NULL;
    if (p == end || *p != '.')
        return p;
    for (begin = ++p; p < end && *p >= '0' && *p <= '9'; p++) {
        if (d->n == 0 && *p == '0')
            d->point--;
        else if (d->n < (int)sizeof d->digits)
            d->digits[d->n++] = *p;
    }
    return p > begin ? p : NULL;
}

/* An exponent behind its letter. The same. */
static const char *read_exponent(struct decimal *d, const char *p, const char *end)
{
    int exponent = 0, sign = 1;
    const char *begin;

    if (p < end && (*p == '+' || *p == '-'))
        sign = *p++ == '-' ? -1 : 1;
    for (begin = p; p < end && *p >= '0' && *p <= '9'; p++)
        if (exponent < 1000)
            exponent = 10 * exponent + (*p - '0');
    d->point += sign * exponent;
    return p > begin ? p : NULL;
}

bool timestamp_parse_seconds(struct bytes text, int64_t *ns)
{
    struct decimal d = {.n = 0};
    int64_t seconds = 0, fraction = 0;
    const char *p, *end;

    if (text.n == 0)
        return false;
    end = text.p + text.n;
    p = read_digits(&d, text.p, end);
    if (p && p < end && (*p == 'e' || *p == 'E'))
        p = read_exponent(&d, p + 1, end);
    if (p != end || d.point > 10)
        return false;
    /* Nanoseconds: nine places more, cut behind the point. */
    for (int64_t i = 0; i < d.point + 9; i++) {
        int digit = i < d.n ? d.digits[i] - '0' : 0;

        if (i < d.point)
            seconds = 10 * seconds + digit;
        else
            fraction = 10 * fraction + digit;
    }
    return seconds + fraction > 0 && join(seconds, fraction, ns);
}

static void put_digits(char *to, int n, int64_t value)
{
    for (int i = n - 1; i >= 0; i--) {
        to[i] = (char)('0' + value % 10);
        value /= 10;
    }
}

size_t timestamp_format(int64_t ns, char to[TIMESTAMP_TEXT_MAX])
{
    int year, month, day;
    int64_t s = ns / NS_PER_S;
    size_t n = 19;

    ASSERT(ns >= 0);
    timestamp_civil(timestamp_day(ns), &year, &month, &day);
    memcpy(to, "YYYY-MM-DDThh:mm:ss.", 20);
    put_digits(to, 4, year);
    put_digits(to + 5, 2, month);
    put_digits(to + 8, 2, day);
    put_digits(to + 11, 2, s / 3600 % 24);
    put_digits(to + 14, 2, s / 60 % 60);
    put_digits(to + 17, 2, s % 60);
    if (ns % NS_PER_S != 0) {
        put_digits(to + 20, 9, ns % NS_PER_S);
        n = 29;
        while (to[n - 1] == '0')
            n--;
    }
    to[n++] = 'Z';
    return n;
}
