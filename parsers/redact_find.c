#include "parsers/redact_find.h"

#include "parsers/text.h"

/*
 * The scan tells places; each is looked at exactly, forwards and backwards, but never before
 * f->from. What is looked at around a place is bounded, so that the whole is linear.
 */

const char *const redact_kind_names[REDACT_KINDS] = {"email",       "ip",    "card",
                                                     "national_id", "token", "password"};

void redact_find_begin(struct redact_find *f, struct bytes text, unsigned kinds)
{
    f->text = text;
    f->kinds = kinds;
    f->from = 0;
    f->group = 0;
    redact_scan_begin(&f->scan, text, false);
}

/* On through the groups of a run from f->group on. */
static bool look_at_groups(struct redact_find *f, struct redact_match *m)
{
    while (f->group) {
        size_t i = f->group - 1, next = redact_number_next_group(f->text, i);

        f->group = next ? next + 1 : 0;
        if (i < f->from || !redact_number_at(f->text, i, f->kinds, false, m))
            continue;
        return true;
    }
    return false;
}

static bool look_at_byte(struct redact_find *f, size_t at, struct redact_match *m)
{
    switch (f->text.p[at]) {
    case '@':
    case '%':
    case '\\':
        return (f->kinds & 1u << REDACT_EMAIL) && redact_email_at(f->text, f->from, at, m);
    case '=':
        return redact_secret_at_equals(f->text, f->from, at, f->kinds, m);
    case ':':
        return (f->kinds & 1u << REDACT_PASSWORD) && redact_secret_at_slashes(f->text, at, m);
    case 'y':
        return (f->kinds & 1u << REDACT_TOKEN) && redact_secret_at_jwt(f->text, f->from, at, m);
    case 'b':
    case 'B':
        return (f->kinds & 1u << REDACT_TOKEN) && redact_secret_at_scheme(f->text, at, m);
    default:
        return false;
    }
}

static bool look_at_place(struct redact_find *f, size_t at, unsigned what, struct redact_match *m)
{
    switch (what) {
    case SCAN_DIGITS:
        if (!(f->kinds & (1u << REDACT_CARD | 1u << REDACT_NATIONAL_ID)))
            return false;
        /* The scan tells the eleventh byte of a run, which begins with a digit. */
        at = MAX(at - 10, f->from);
        at += !ascii_is_digit(f->text.p[at]);
        f->group = ascii_is_digit(text_at(f->text, at)) ? at + 1 : 0;
        return look_at_groups(f, m);
    case SCAN_DOTS:
        return (f->kinds & 1u << REDACT_IP) && redact_ip_at_dots(f->text, f->from, at, m);
    case SCAN_COLONS:
        return (f->kinds & 1u << REDACT_IP) && redact_ip_at_colons(f->text, f->from, at, m);
    default:
        return look_at_byte(f, at, m);
    }
}

bool redact_find_next(struct redact_find *f, struct redact_match *m)
{
    bool found = look_at_groups(f, m);
    const char *at;
    unsigned what;

    while (!found && redact_scan_next(&f->scan, &at, &what)) {
        size_t i = (size_t)(at - f->text.p);

        if (i >= f->from)
            found = look_at_place(f, i, what, m);
    }
    if (found) {
        ASSERT(m->begin >= f->from && m->end > m->begin && m->end <= f->text.n);
        f->from = m->end;
    }
    return found;
}

size_t redact_find_canonical(enum redact_kind kind, struct bytes match, char *to)
{
    switch (kind) {
    case REDACT_EMAIL:
        return redact_email_canonical(match, to);
    case REDACT_IP:
        return redact_ip_canonical(match, to);
    case REDACT_CARD:
    case REDACT_NATIONAL_ID:
        return redact_number_canonical(match, to);
    default:
        ASSERT(false);
        return 0;
    }
}

/* ---- the raw text of a document ---- */

/* Whether an escape \uXXXX at i stands for something that may be part of a match. What Go and
 * others write for < > & ' and " is not. */
static bool maybe_escape(struct bytes t, size_t i)
{
    return text_at(t, i + 2) == '0' && text_at(t, i + 3) == '0' && text_at(t, i + 4) >= '2' &&
           text_at(t, i + 4) <= '7' && !text_stands_at(t, i + 2, "003c") &&
           !text_stands_at(t, i + 2, "003e") && !text_stands_at(t, i + 2, "0026") &&
           !text_stands_at(t, i + 2, "0027") && !text_stands_at(t, i + 2, "0022");
}

static bool maybe_byte(struct bytes t, size_t at, unsigned kinds)
{
    switch (t.p[at]) {
    case '@':
    case '%':
        return (kinds & 1u << REDACT_EMAIL) && redact_email_maybe(t, at);
    case '\\':
        return maybe_escape(t, at);
    case '=':
        return redact_secret_maybe_equals(t, at, kinds);
    case ':':
        return (kinds & 1u << REDACT_PASSWORD) && redact_secret_maybe_slashes(t, at);
    case 'y':
        return (kinds & 1u << REDACT_TOKEN) && text_before(t, at, 1) == 'e';
    case 'b':
    case 'B':
        return (kinds & 1u << REDACT_TOKEN) &&
               (text_stands_at(t, at, "bearer") || text_stands_at(t, at, "basic"));
    default:
        return false;
    }
}

bool redact_find_maybe(struct redact_scan *scan, struct bytes t, unsigned kinds, const char **place,
                       const char **name)
{
    const char *p;
    unsigned what;

    while (redact_scan_next(scan, &p, &what)) {
        size_t at = (size_t)(p - t.p);
        bool maybe = false;

        switch (what) {
        case SCAN_DIGITS:
            maybe = (kinds & (1u << REDACT_CARD | 1u << REDACT_NATIONAL_ID)) &&
                    redact_number_maybe(t, at, kinds);
            break;
        case SCAN_DOTS:
            maybe = (kinds & 1u << REDACT_IP) && redact_ip_maybe_dots(t, at);
            break;
        case SCAN_COLONS:
            maybe = (kinds & 1u << REDACT_IP) && redact_ip_maybe_colons(t, at);
            break;
        default:
            if (*p == '"') {
                *place = p;
                *name = p;
                return true;
            }
            maybe = maybe_byte(t, at, kinds);
        }
        if (maybe) {
            *place = p;
            *name = NULL;
            return true;
        }
    }
    return false;
}
