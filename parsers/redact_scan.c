#include "parsers/redact_scan.h"

/* ---- plain C, for any machine ---- */

struct masks {
    uint64_t digit, separator, dot, colon, rare;
};

static bool is_rare(const char *p, bool names)
{
    unsigned char next = (unsigned char)p[1];

    switch (p[0]) {
    case '=':
    case '@':
        return true;
    case '%':
        return next == '4';
    case '\\':
        return next == 'u';
    case ':':
        return next == '/' || next == '\\';
    case 'y':
        return next == 'J';
    case 'b':
    case 'B':
        return ((next | 32) == 'e' || (next | 32) == 'a') &&
               ((p[2] | 32) == 'a' || (p[2] | 32) == 's');
    case '"':
        return names && (next == ':' || next <= ' ');
    default:
        return false;
    }
}

static inline struct masks look(const char *p, bool names)
{
    struct masks m = {0, 0, 0, 0, 0};

    for (unsigned i = 0; i < 64; i++) {
        uint64_t bit = (uint64_t)1 << i;

        if (p[i] >= '0' && p[i] <= '9')
            m.digit |= bit;
        else if (p[i] == ' ' || p[i] == '-')
            m.separator |= bit;
        else if (p[i] == '.')
            m.dot |= bit;
        if (p[i + 1] == ':' && (p[i] != '"' || p[i + 2] == ':'))
            m.colon |= bit;
        if (is_rare(p + i, names))
            m.rare |= bit;
    }
    return m;
}

#define SCAN_FILL redact_scan_fill_plain
#include "parsers/redact_scan.inc"

/* ---- one place after the other ---- */

static redact_scan_fill *fill = redact_scan_fill_plain;

__attribute__((constructor)) static void choose(void)
{
#ifdef __x86_64__
    fill = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
                   __builtin_cpu_supports("bmi2")
               ? redact_scan_fill_avx2
               : redact_scan_fill_sse2;
#endif
}

void redact_scan_begin(struct redact_scan *s, struct bytes text, bool names)
{
    *s = (struct redact_scan){.p = text.p, .end = text.p + text.n, .names = names};
    if (text.n && text.p[0] == ':')
        s->colons = (uint64_t)1 << 63; /* colons are told at the byte before */
}

bool redact_scan_next(struct redact_scan *s, const char **at, unsigned *what)
{
    uint64_t any = s->rare | s->digit | s->dot | s->colon, bit;

    if (any == 0) {
        if (!fill(s))
            return false;
        any = s->rare | s->digit | s->dot | s->colon;
    }
    bit = any & -any;
    *at = s->block + __builtin_ctzll(any);
    if (s->digit & bit) {
        *what = SCAN_DIGITS;
        s->digit &= ~bit;
    } else if (s->dot & bit) {
        *what = SCAN_DOTS;
        s->dot &= ~bit;
    } else if (s->colon & bit) {
        *what = SCAN_COLONS;
        s->colon &= ~bit;
    } else {
        *what = SCAN_BYTE;
        s->rare &= ~bit;
    }
    return true;
}
