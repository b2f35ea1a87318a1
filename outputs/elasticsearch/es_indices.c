#include "outputs/elasticsearch/es_indices.h"

#include "parsers/timestamp.h"

#include <ctype.h>
#include <stdlib.h>

#define SERVICE "%{service.name}"

/* ---- the pattern, piece by piece ---- */

struct piece {
    enum { END, LITERAL, YEAR, MONTH, DAY, HOUR, ANY_NAME } kind;
    struct bytes text; /* of a LITERAL */
};

/* Where in a pattern we are: inside %{+…} or outside. */
struct place {
    const char *p;
    bool in_date;
};

static struct piece next(struct place *at)
{
    static const struct {
        const char *token;
        int kind;
    } tokens[] = {{"YYYY", YEAR}, {"yyyy", YEAR}, {"MM", MONTH}, {"dd", DAY}, {"HH", HOUR}};
    struct piece found = {.kind = LITERAL, .text = {at->p, 1}};

    if (at->in_date && *at->p == '}') {
        at->in_date = false;
        at->p++;
        return next(at);
    }
    if (*at->p == '\0')
        return (struct piece){.kind = END};
    if (at->in_date) {
        for (size_t i = 0; i < ARRAY_LEN(tokens); i++)
            if (strncmp(at->p, tokens[i].token, strlen(tokens[i].token)) == 0) {
                at->p += strlen(tokens[i].token);
                return (struct piece){.kind = tokens[i].kind};
            }
        at->p++;
        return found;
    }
    if (strncmp(at->p, "%{+", 3) == 0) {
        at->in_date = true;
        at->p += 3;
        return next(at);
    }
    if (strncmp(at->p, SERVICE, strlen(SERVICE)) == 0) {
        at->p += strlen(SERVICE);
        return (struct piece){.kind = ANY_NAME};
    }
    at->p++;
    return found;
}

/* ---- wildcard, stem, sample ---- */

static bool is_word(struct bytes s)
{
    return s.n > 0 && isalnum((unsigned char)s.p[0]);
}

/* Takes away separators between a star and the end. */
static void trim_to_star(struct strbuf *to)
{
    size_t n = to->n;

    while (n > 0 && strchr(".-_", to->p[n - 1]))
        n--;
    if (n > 0 && to->p[n - 1] == '*') {
        to->n = n;
        to->p[n] = '\0';
    }
}

void es_indices_wildcard(const char *pattern, struct strbuf *to)
{
    struct place at = {pattern, false};
    struct piece piece;

    while ((piece = next(&at)).kind != END) {
        if (piece.kind == LITERAL) {
            strbuf_add_bytes(to, piece.text);
            continue;
        }
        trim_to_star(to);
        if (to->n == 0 || to->p[to->n - 1] != '*')
            strbuf_add_char(to, '*');
    }
}

void es_indices_stem(const char *pattern, struct strbuf *to)
{
    size_t n = strcspn(pattern, "%");

    while (n > 0 && !is_word(bytes_of(pattern + n - 1, 1)))
        n--;
    strbuf_add(to, pattern, n);
}

void es_indices_sample(const char *pattern, struct strbuf *to)
{
    struct place at = {pattern, false};
    struct piece piece;

    while ((piece = next(&at)).kind != END) {
        if (piece.kind == LITERAL)
            strbuf_add_bytes(to, piece.text);
        else
            strbuf_add_str(to, piece.kind == ANY_NAME ? "x" : piece.kind == YEAR ? "2018" : "11");
    }
}

/* ---- days ---- */

bool es_indices_daily(const char *pattern)
{
    struct place at = {pattern, false};
    unsigned seen = 0;
    struct piece piece;

    while ((piece = next(&at)).kind != END)
        seen |= 1u << piece.kind;
    return (seen & (1u << YEAR | 1u << MONTH | 1u << DAY | 1u << HOUR)) ==
           (1u << YEAR | 1u << MONTH | 1u << DAY);
}

bool es_indices_end_in_day(const char *pattern)
{
    static const char *const ends[] = {"-%{+YYYY.MM.dd}", "-%{+yyyy.MM.dd}"};

    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        const char *end = strstr(pattern, ends[i]);

        if (end && end[strlen(ends[i])] == '\0')
            return true;
    }
    return false;
}

struct date {
    int year, month, day; /* 0: not read yet */
};

/* A part of a date that is there twice must be the same twice. */
static bool take_number(const char **name, size_t digits, int *to)
{
    int v = 0;

    for (size_t i = 0; i < digits; i++) {
        if (!isdigit((unsigned char)(*name)[i]))
            return false;
        v = v * 10 + (*name)[i] - '0';
    }
    *name += digits;
    if (v == 0 || (*to != 0 && *to != v))
        return false;
    *to = v;
    return true;
}

static bool is_name_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (c && strchr("-_.", c) != NULL);
}

/* The rest of the pattern against the rest of the name. A service's name may hold what also stands
 * behind it: every length is tried, the longest first, so that a day is the last one in a name. */
static bool parse(struct place at, const char *name, struct date *date)
{
    struct piece piece = next(&at);

    switch (piece.kind) {
    case END:
        return *name == '\0';
    case LITERAL:
        return *name == piece.text.p[0] && parse(at, name + 1, date);
    case YEAR:
        return take_number(&name, 4, &date->year) && parse(at, name, date);
    case MONTH:
        return take_number(&name, 2, &date->month) && parse(at, name, date);
    case DAY:
        return take_number(&name, 2, &date->day) && parse(at, name, date);
    case ANY_NAME: {
        size_t n = 0;

        while (is_name_byte(name[n]))
            n++;
        for (; n > 0; n--) {
            struct date tried = *date;

            if (parse(at, name + n, &tried)) {
                *date = tried;
                return true;
            }
        }
        return false;
    }
    case HOUR:
        break;
    }
    return false;
}

bool es_indices_day(const char *pattern, const char *name, int64_t *day)
{
    struct date date = {0};
    int32_t days;

    ASSERT(es_indices_daily(pattern));
    if (!parse((struct place){pattern, false}, name, &date) ||
        !timestamp_date(date.year, date.month, date.day, &days))
        return false;
    *day = days;
    return true;
}
