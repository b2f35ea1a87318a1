#include "parsers/level.h"

const char *const level_names[LEVEL_COUNT] = {"",     "trace", "debug", "info",
                                              "warn", "error", "fatal"};

struct word {
    char text[8]; /* lower case, padded with NUL: compared as one number */
    uint8_t level;
    bool lossless;
};

/* The common ones first: the table is searched in order. */
static const struct word words[] = {
    {"info", LEVEL_INFO, true},       {"debug", LEVEL_DEBUG, true},
    {"warn", LEVEL_WARN, true},       {"error", LEVEL_ERROR, true},
    {"warning", LEVEL_WARN, true},    {"trace", LEVEL_TRACE, true},
    {"fatal", LEVEL_FATAL, true},     {"notice", LEVEL_INFO, false},
    {"critical", LEVEL_FATAL, false}, {"err", LEVEL_ERROR, true},
    {"inf", LEVEL_INFO, true},        {"dbg", LEVEL_DEBUG, true},
    {"wrn", LEVEL_WARN, true},        {"trc", LEVEL_TRACE, true},
    {"ftl", LEVEL_FATAL, true},       {"crit", LEVEL_FATAL, false},
    {"alert", LEVEL_FATAL, false},    {"emerg", LEVEL_FATAL, false},
    {"panic", LEVEL_FATAL, false},    {"dpanic", LEVEL_FATAL, false},
    {"severe", LEVEL_ERROR, true},    {"verbose", LEVEL_DEBUG, false},
    {"http", LEVEL_INFO, false},      {"silly", LEVEL_TRACE, false},
    {"config", LEVEL_DEBUG, false},   {"fine", LEVEL_DEBUG, false},
    {"finer", LEVEL_TRACE, false},    {"finest", LEVEL_TRACE, false},
};

static uint64_t pack(const char *p, size_t n)
{
    uint64_t v = 0;
    char low[8] = {0};

    for (size_t i = 0; i < n; i++)
        low[i] = (char)(p[i] >= 'A' && p[i] <= 'Z' ? p[i] | 0x20 : p[i]);
    memcpy(&v, low, sizeof v);
    return v;
}

static enum level of_word(struct bytes text, bool *lossless)
{
    uint64_t v;

    *lossless = true;
    if (text.n > 8) {
        if (text.n == 11 && pack(text.p, 8) == pack("informat", 8) &&
            pack(text.p + 8, 3) == pack("ion", 3))
            return LEVEL_INFO;
        if (text.n == 13 && pack(text.p, 8) == pack("informat", 8) &&
            pack(text.p + 8, 5) == pack("ional", 5))
            return LEVEL_INFO;
        *lossless = false;
        if (text.n == 9 && pack(text.p, 8) == pack("emergenc", 8) && (text.p[8] | 0x20) == 'y')
            return LEVEL_FATAL;
        return LEVEL_NONE;
    }
    v = pack(text.p, text.n);
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        uint64_t w;

        memcpy(&w, words[i].text, sizeof w);
        if (w == v) {
            *lossless = words[i].lossless;
            return (enum level)words[i].level;
        }
    }
    return LEVEL_NONE;
}

/* slog writes what lies between its levels as INFO+2, DEBUG-4. */
static enum level of_slog(struct bytes text)
{
    size_t digits = 0;
    bool lossless;
    enum level base;

    while (digits < text.n && text.p[text.n - 1 - digits] >= '0' &&
           text.p[text.n - 1 - digits] <= '9')
        digits++;
    if (digits == 0 || digits > 3 || text.n < digits + 5)
        return LEVEL_NONE;
    base = of_word(bytes_of(text.p, text.n - digits - 1), &lossless);
    if (text.p[text.n - digits - 1] == '+')
        return base;
    if (text.p[text.n - digits - 1] == '-')
        return base == LEVEL_DEBUG ? LEVEL_TRACE : base;
    return LEVEL_NONE;
}

static enum level of_number(unsigned v, bool python, bool *lossless)
{
    *lossless = true;
    if (v < 8)
        return level_of_syslog((int)v);
    *lossless = v % 10 == 0;
    if (python && v >= 10 && v < 60)
        return (enum level)(LEVEL_DEBUG + (v / 10 - 1));
    if (v >= 10 && v < 70)
        return (enum level)(LEVEL_TRACE + (v / 10 - 1));
    if (v % 50)
        return LEVEL_NONE;
    *lossless = v % 100 == 0 && v < 500;
    switch (v) { /* monolog */
    case 100:
        return LEVEL_DEBUG;
    case 200:
    case 250:
        return LEVEL_INFO;
    case 300:
        return LEVEL_WARN;
    case 400:
        return LEVEL_ERROR;
    case 500:
    case 550:
    case 600:
        return LEVEL_FATAL;
    default:
        return LEVEL_NONE;
    }
}

/* The words of most records, in lower case, without a look at the table. */
static inline enum level of_common_word(struct bytes text)
{
    uint32_t head, tail;

    if (text.n != 4 && text.n != 5)
        return LEVEL_NONE;
    memcpy(&head, text.p, 4);
    memcpy(&tail, text.p + text.n - 4, 4);
#define IS(a, b) (memcmp(&head, a, 4) == 0 && memcmp(&tail, b, 4) == 0)
    if (IS("info", "info"))
        return LEVEL_INFO;
    if (IS("debu", "ebug"))
        return LEVEL_DEBUG;
    if (IS("warn", "warn"))
        return LEVEL_WARN;
    return IS("erro", "rror") ? LEVEL_ERROR : LEVEL_NONE;
#undef IS
}

enum level level_of(struct bytes text, bool python, bool *lossless)
{
    enum level common = of_common_word(text);

    *lossless = true;
    if (common != LEVEL_NONE)
        return common;

    *lossless = false;
    if (text.n == 0 || text.n > 16)
        return LEVEL_NONE;
    if (text.p[0] >= '0' && text.p[0] <= '9') {
        unsigned v = 0;

        if (text.n > 3)
            return LEVEL_NONE;
        for (size_t i = 0; i < text.n; i++) {
            if (text.p[i] < '0' || text.p[i] > '9')
                return LEVEL_NONE;
            v = v * 10 + (unsigned)(text.p[i] - '0');
        }
        return of_number(v, python, lossless);
    }
    {
        enum level l = of_word(text, lossless);

        if (l != LEVEL_NONE)
            return l;
    }
    *lossless = false;
    return of_slog(text);
}

enum level level_of_syslog(int severity)
{
    static const uint8_t levels[8] = {LEVEL_FATAL, LEVEL_FATAL, LEVEL_FATAL, LEVEL_ERROR,
                                      LEVEL_WARN,  LEVEL_INFO,  LEVEL_INFO,  LEVEL_DEBUG};

    return severity >= 0 && severity < 8 ? (enum level)levels[severity] : LEVEL_NONE;
}
