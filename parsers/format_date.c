#include "parsers/format_date.h"

#include "parsers/format_put.h"
#include "parsers/format_time.h"
#include "parsers/timestamp.h"

#include <stdlib.h>
#include <strings.h>
#include <time.h>

#define NS_PER_S 1000000000
#define PARTS_MAX 64     /* of a format */
#define MS_DIGITS_MAX 15 /* so that no number of milliseconds overflows */

enum kind { KIND_PARTS, KIND_ISO8601, KIND_UNIX, KIND_UNIX_MS };

/* A run of one letter, or one other character. */
struct part {
    char letter; /* 0: text */
    char text;
    uint8_t n;  /* how often the letter stands there */
    bool exact; /* a number that takes just so many digits, as another one follows */
};

struct form {
    enum kind kind;
    struct part parts[PARTS_MAX];
    size_t n;
};

struct format_date {
    struct form *forms;
    size_t n;
    bool local;
    int zone_s; /* east of UTC, unless local */
};

/* What was read of a time. */
struct reading {
    struct bytes rest;
    int year, month, day, hour, minute, second;
    int64_t fraction_ns;
    bool pm, am, has_zone;
    int zone_s;
};

/* ---- the formats ---- */

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_number(const struct part *p)
{
    return p->letter && strchr("yYdHhmsS", p->letter) ? true : p->letter == 'M' && p->n < 3;
}

static int add_part(struct form *f, struct part p, const char *format, struct error *e)
{
    if (f->n == PARTS_MAX)
        return error_set(e, "time_formats: \"%.60s\" is too long", format);
    if (f->n && is_number(&f->parts[f->n - 1]) && is_number(&p))
        f->parts[f->n - 1].exact = true;
    f->parts[f->n++] = p;
    return 0;
}

/* Whether a run of n of this letter is known. */
static int check_run(char letter, size_t n, const char *format, struct error *e)
{
    bool year = letter == 'y' || letter == 'Y';

    if (year && n == 2)
        return error_set(e, "time_formats: \"%.60s\": a year has four digits (yyyy)", format);
    if (!strchr("yYMdHhmsSaEZ", letter) || n > 9 || (letter == 'Z' && n > 2))
        return error_set(e,
                         "time_formats: \"%.60s\": %c is not known; there are yyyy MM MMM dd HH hh "
                         "mm ss SSS a EEE Z, ISO8601, UNIX and UNIX_MS",
                         format, letter);
    return 0;
}

/* What stands between quotes, from the first one on; two quotes are one. Returns its length, 0 with
 * *e. */
static size_t add_quoted(struct form *f, const char *p, const char *format, struct error *e)
{
    size_t i = 1;

    for (; p[i] && (p[i] != '\'' || (i > 1 && p[i + 1] == '\'')); i++) {
        if (add_part(f, (struct part){.text = p[i]}, format, e) < 0)
            return 0;
        i += p[i] == '\'';
    }
    if (!p[i]) {
        error_set(e, "time_formats: \"%.60s\": a quote has no end", format);
        return 0;
    }
    if (i == 1 && add_part(f, (struct part){.text = '\''}, format, e) < 0)
        return 0;
    return i + 1;
}

static int read_parts(struct form *f, const char *format, struct error *e)
{
    bool year = false;

    for (const char *p = format; *p;) {
        size_t n = 1;

        if (*p == '\'') {
            n = add_quoted(f, p, format, e);
            if (n == 0)
                return -1;
        } else if (is_letter(*p)) {
            while (p[n] == *p)
                n++;
            year |= *p == 'y' || *p == 'Y';
            if (check_run(*p, n, format, e) < 0 ||
                add_part(f, (struct part){.letter = *p, .n = (uint8_t)n}, format, e) < 0)
                return -1;
        } else if (add_part(f, (struct part){.text = *p}, format, e) < 0) {
            return -1;
        }
        p += n;
    }
    return year ? 0 : error_set(e, "time_formats: \"%.60s\" has no year (yyyy)", format);
}

static int read_form(struct form *f, const char *format, struct error *e)
{
    static const char *const names[] = {"", "ISO8601", "UNIX", "UNIX_MS"};

    for (unsigned i = KIND_ISO8601; i < ARRAY_LEN(names); i++)
        if (strcmp(format, names[i]) == 0) {
            f->kind = (enum kind)i;
            return 0;
        }
    return read_parts(f, format, e);
}

static int take_number(struct reading *r, size_t min, size_t max);

/* +hh, +hhmm or +hh:mm at the beginning of what is left. */
static bool read_offset(struct reading *r)
{
    int sign = r->rest.n && r->rest.p[0] == '-' ? -1 : 1, hours, minutes = 0;

    if (r->rest.n == 0 || (r->rest.p[0] != '+' && r->rest.p[0] != '-'))
        return false;
    r->rest = bytes_of(r->rest.p + 1, r->rest.n - 1);
    hours = take_number(r, 2, 2);
    if (r->rest.n && r->rest.p[0] == ':')
        r->rest = bytes_of(r->rest.p + 1, r->rest.n - 1);
    if (r->rest.n && r->rest.p[0] >= '0' && r->rest.p[0] <= '9')
        minutes = take_number(r, 2, 2);
    if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59)
        return false;
    r->has_zone = true;
    r->zone_s = sign * (hours * 60 + minutes) * 60;
    return true;
}

static int read_zone(struct format_date *d, const char *zone, struct error *e)
{
    struct reading r = {.rest = bytes_str(zone)};

    d->local = strcmp(zone, "local") == 0;
    if (d->local || strcmp(zone, "UTC") == 0)
        return 0;
    if (strlen(zone) != 6 || !read_offset(&r) || r.rest.n)
        return error_set(e, "time_zone: \"%.60s\" is none of local, UTC and +01:00", zone);
    d->zone_s = r.zone_s;
    return 0;
}

struct format_date *format_date_create(char *const *formats, const char *zone, struct error *e)
{
    struct format_date *d = base_calloc(1, sizeof *d);
    size_t n = 0;

    while (formats[n])
        n++;
    d->forms = base_calloc(n + 1, sizeof *d->forms);
    if (read_zone(d, zone, e) == 0) {
        while (d->n < n && read_form(&d->forms[d->n], formats[d->n], e) == 0)
            d->n++;
        if (d->n == n)
            return d;
    }
    format_date_free(d);
    return NULL;
}

void format_date_free(struct format_date *d)
{
    if (!d)
        return;
    free(d->forms);
    free(d);
}

/* ---- reading ---- */

/* The number that what is left begins with, of min to max digits; -1 when there is none. */
static int take_number(struct reading *r, size_t min, size_t max)
{
    int value = 0;
    size_t n = 0;

    for (; n < max && n < r->rest.n && r->rest.p[n] >= '0' && r->rest.p[n] <= '9'; n++)
        value = 10 * value + (r->rest.p[n] - '0');
    if (n < min)
        return -1;
    r->rest = bytes_of(r->rest.p + n, r->rest.n - n);
    return value;
}

static bool take_char(struct reading *r, char c)
{
    if (r->rest.n == 0 || r->rest.p[0] != c)
        return false;
    r->rest = bytes_of(r->rest.p + 1, r->rest.n - 1);
    return true;
}

/* The digits of a fraction: max of them at most, or all that there are. */
static bool take_fraction(struct reading *r, size_t max)
{
    int64_t unit = NS_PER_S;
    size_t n = 0;

    for (; n < max && n < r->rest.n && r->rest.p[n] >= '0' && r->rest.p[n] <= '9'; n++) {
        unit /= 10;
        r->fraction_ns += (r->rest.p[n] - '0') * unit;
    }
    r->rest = bytes_of(r->rest.p + n, r->rest.n - n);
    return n > 0;
}

static size_t letters(struct bytes s)
{
    size_t n = 0;

    while (n < s.n && is_letter(s.p[n]))
        n++;
    return n;
}

/* The name of a month, or its first three letters. */
static bool take_month(struct reading *r)
{
    static const char *const names[] = {"January",   "February", "March",    "April",
                                        "May",       "June",     "July",     "August",
                                        "September", "October",  "November", "December"};
    size_t n = letters(r->rest);

    r->month = n >= 3 ? format_time_month(r->rest.p) : 0;
    if (r->month == 0 || (n != 3 && (n != strlen(names[r->month - 1]) ||
                                     strncasecmp(r->rest.p, names[r->month - 1], n) != 0)))
        return false;
    r->rest = bytes_of(r->rest.p + n, r->rest.n - n);
    return true;
}

static bool take_half(struct reading *r)
{
    if (r->rest.n < 2 || (r->rest.p[1] | 0x20) != 'm')
        return false;
    r->am = (r->rest.p[0] | 0x20) == 'a';
    r->pm = (r->rest.p[0] | 0x20) == 'p';
    r->rest = bytes_of(r->rest.p + 2, r->rest.n - 2);
    return r->am || r->pm;
}

static bool take_zone(struct reading *r)
{
    if (take_char(r, 'Z')) {
        r->has_zone = true;
        return true;
    }
    return read_offset(r);
}

static bool take_weekday(struct reading *r)
{
    size_t n = letters(r->rest);

    r->rest = bytes_of(r->rest.p + n, r->rest.n - n);
    return n >= 3;
}

static bool take_part(struct reading *r, const struct part *p)
{
    size_t min = p->exact ? p->n : 1, max = p->exact ? p->n : 2;

    switch (p->letter) {
    case 'y':
    case 'Y':
        return (r->year = take_number(r, 4, 4)) >= 0;
    case 'M':
        return p->n > 2 ? take_month(r) : (r->month = take_number(r, min, max)) > 0;
    case 'd':
        return (r->day = take_number(r, min, max)) > 0;
    case 'H':
    case 'h':
        r->hour = take_number(r, min, max);
        return r->hour >= 0 && (p->letter == 'H' || (r->hour >= 1 && r->hour <= 12));
    case 'm':
        return (r->minute = take_number(r, min, max)) >= 0;
    case 's':
        return (r->second = take_number(r, min, max)) >= 0;
    case 'S':
        return take_fraction(r, p->exact ? p->n : SIZE_MAX);
    case 'a':
        return take_half(r);
    case 'E':
        return take_weekday(r);
    case 'Z':
        return take_zone(r);
    default:
        return take_char(r, p->text);
    }
}

/* 2018-11-23, or with a time: T09:00, 09:00:00, 09:00:00,123 and a zone behind it or none. */
static bool read_iso8601(struct reading *r)
{
    if ((r->year = take_number(r, 4, 4)) < 0 || !take_char(r, '-') ||
        (r->month = take_number(r, 2, 2)) < 0 || !take_char(r, '-') ||
        (r->day = take_number(r, 2, 2)) < 0)
        return false;
    if (r->rest.n == 0)
        return true;
    if ((!take_char(r, 'T') && !take_char(r, ' ')) || (r->hour = take_number(r, 2, 2)) < 0 ||
        !take_char(r, ':') || (r->minute = take_number(r, 2, 2)) < 0)
        return false;
    if (take_char(r, ':') && (r->second = take_number(r, 2, 2)) < 0)
        return false;
    if ((take_char(r, '.') || take_char(r, ',')) && !take_fraction(r, SIZE_MAX))
        return false;
    return r->rest.n == 0 || take_zone(r);
}

/* What was read as an instant. */
static bool finish(const struct format_date *d, struct reading *r, int64_t *ns)
{
    int64_t s;
    int32_t day;

    if (r->am || r->pm)
        r->hour = r->hour % 12 + (r->pm ? 12 : 0);
    if (r->rest.n || r->hour > 23 || r->minute > 59 || r->second > 59 ||
        !timestamp_date(r->year, r->month, r->day, &day))
        return false;
    if (d->local && !r->has_zone) {
        struct tm tm = {.tm_year = r->year - 1900,
                        .tm_mon = r->month - 1,
                        .tm_mday = r->day,
                        .tm_hour = r->hour,
                        .tm_min = r->minute,
                        .tm_sec = r->second,
                        .tm_isdst = -1};

        s = mktime(&tm);
    } else {
        s = (int64_t)day * 86400 + (r->hour * 60 + r->minute) * 60 + r->second;
        s -= r->has_zone ? r->zone_s : d->zone_s;
    }
    if (s < 0 || s >= INT64_MAX / NS_PER_S)
        return false;
    *ns = s * NS_PER_S + r->fraction_ns;
    return true;
}

/* A whole number of milliseconds. */
static bool read_unix_ms(struct bytes s, int64_t *ns)
{
    int64_t ms = 0;

    if (!format_is_digits(s) || s.n > MS_DIGITS_MAX)
        return false;
    for (size_t i = 0; i < s.n; i++)
        ms = 10 * ms + (s.p[i] - '0');
    if (ms >= INT64_MAX / 1000000)
        return false;
    *ns = ms * 1000000;
    return true;
}

static bool read_one(const struct format_date *d, const struct form *f, struct bytes s, int64_t *ns)
{
    struct reading r = {.rest = s, .month = 1, .day = 1};

    switch (f->kind) {
    case KIND_UNIX:
        return timestamp_parse_seconds(s, ns);
    case KIND_UNIX_MS:
        return read_unix_ms(s, ns);
    case KIND_ISO8601:
        return read_iso8601(&r) && finish(d, &r, ns);
    case KIND_PARTS:
        break;
    }
    for (size_t i = 0; i < f->n; i++)
        if (!take_part(&r, &f->parts[i]))
            return false;
    return finish(d, &r, ns);
}

bool format_date_read(const struct format_date *d, struct bytes s, int64_t *ns)
{
    for (size_t i = 0; i < d->n; i++)
        if (read_one(d, &d->forms[i], s, ns))
            return true;
    return false;
}
