#include "parsers/redact_kinds.h"
#include "parsers/text.h"

/* Prefixes and lengths as the card schemes publish them. */
static bool is_card_scheme(const char *d, size_t n)
{
    static const struct {
        unsigned first, last, digits; /* of the prefix */
        unsigned min, max;            /* of the number */
    } schemes[] = {
        {4, 4, 1, 16, 16},       /* Visa */
        {4, 4, 1, 19, 19},       /* … */
        {51, 55, 2, 16, 16},     /* Mastercard */
        {2221, 2720, 4, 16, 16}, /* … */
        {34, 34, 2, 15, 15},     /* American Express */
        {37, 37, 2, 15, 15},     /* … */
        {300, 305, 3, 14, 19},   /* Diners */
        {3095, 3095, 4, 14, 19}, /* … */
        {36, 36, 2, 14, 19},     /* … */
        {38, 39, 2, 14, 19},     /* … */
        {6011, 6011, 4, 16, 19}, /* Discover */
        {644, 659, 3, 16, 19},   /* … */
        {3528, 3589, 4, 16, 19}, /* JCB */
        {62, 62, 2, 16, 19},     /* UnionPay */
        {81, 82, 2, 16, 16},     /* RuPay */
        {2200, 2204, 4, 16, 19}, /* Mir */
        {5018, 5020, 4, 16, 19}, /* Maestro, Dankort */
        {5038, 5038, 4, 16, 19}, /* … */
        {5893, 5893, 4, 16, 19}, /* … */
        {6304, 6304, 4, 16, 19}, /* … */
        {6759, 6763, 4, 16, 19}, /* … */
        {9792, 9792, 4, 16, 16}, /* Troy */
    };
    unsigned prefix[5] = {0};

    for (unsigned i = 1; i < 5; i++)
        prefix[i] = 10 * prefix[i - 1] + (unsigned)(d[i - 1] - '0');
    for (size_t i = 0; i < ARRAY_LEN(schemes); i++)
        if (n >= schemes[i].min && n <= schemes[i].max &&
            prefix[schemes[i].digits] >= schemes[i].first &&
            prefix[schemes[i].digits] <= schemes[i].last)
            return true;
    return false;
}

static bool is_card(const char *d, size_t n)
{
    unsigned sum = 0;

    if (n < 14 || n > 19 || !is_card_scheme(d, n))
        return false;
    for (size_t i = 0; i < n; i++) {
        unsigned v = (unsigned)(d[n - 1 - i] - '0');

        v <<= i & 1;
        sum += v > 9 ? v - 9 : v;
    }
    return sum % 10 == 0;
}

/* Eleven digits: day, month, year, individual number, two check digits. */
static bool is_national_id(const char *d)
{
    static const unsigned first[] = {3, 7, 6, 1, 8, 9, 4, 5, 2, 1};
    static const unsigned second[] = {5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1};
    unsigned day = 10 * (unsigned)(d[0] - '0') + (unsigned)(d[1] - '0');
    unsigned month = 10 * (unsigned)(d[2] - '0') + (unsigned)(d[3] - '0');
    unsigned a = 0, b = 0;

    day -= day > 40 ? 40 : 0;
    month -= month > 80 ? 80 : month > 40 ? 40 : 0;
    if (day < 1 || day > 31 || month < 1 || month > 12)
        return false;
    for (size_t i = 0; i < ARRAY_LEN(first); i++)
        a += first[i] * (unsigned)(d[i] - '0');
    for (size_t i = 0; i < ARRAY_LEN(second); i++)
        b += second[i] * (unsigned)(d[i] - '0');
    return a % 11 == 0 && b % 11 == 0;
}

bool redact_number_kind(struct bytes digits, unsigned kinds, enum redact_kind *kind)
{
    if ((kinds & 1u << REDACT_NATIONAL_ID) && digits.n == 11 && is_national_id(digits.p))
        *kind = REDACT_NATIONAL_ID;
    else if ((kinds & 1u << REDACT_CARD) && is_card(digits.p, digits.n))
        *kind = REDACT_CARD;
    else
        return false;
    return true;
}

/* The end of the digits at i, but at most max further on. */
static size_t group_end(struct bytes t, size_t i, size_t max)
{
    for (; i < t.n && ascii_is_digit(t.p[i]) && max > 0; max--)
        i++;
    return i;
}

static bool is_separator(char c)
{
    return c == ' ' || c == '-';
}

/* How numbers are written: digits in a row, or groups with blanks or dashes between. */
static const uint8_t forms[][6] = {
    {11},        {14}, {15}, {16}, {17}, {18}, {19}, {6, 5}, {4, 6, 5}, {4, 6, 4}, {4, 4, 4, 4, 3},
    {4, 4, 4, 4}};

/* Whether groups of this form begin at i, with the same separator between all of them: the number
 * of digits, which go to `digits`; 0 when not. *end gets their end. */
static size_t read_form(struct bytes t, size_t i, const uint8_t *form, char digits[24], size_t *end)
{
    char separator = '\0';
    size_t n = 0;

    for (; *form; form++) {
        if (n > 0) {
            if (!is_separator(text_at(t, i)) || (separator && t.p[i] != separator))
                return 0;
            separator = t.p[i++];
        }
        if (t.n - i < *form || group_end(t, i, *form + 1u) != i + *form)
            return 0;
        memcpy(digits + n, t.p + i, *form);
        n += *form;
        i += *form;
    }
    *end = i;
    return n;
}

/* Whether digits may stand from begin to end: not in a word, in a decimal number, in something
 * longer with dashes, or behind the plus of a telephone number. */
static bool stand_alone(struct bytes t, size_t begin, size_t end, bool dashed)
{
    char before = text_before(t, begin, 1), behind = text_at(t, end);

    if (ascii_is_word(before) || ascii_is_word(behind) || before == '+')
        return false;
    if (before == '.' && ascii_is_digit(text_before(t, begin, 2)))
        return false;
    if (behind == '.' && ascii_is_digit(text_at(t, end + 1)))
        return false;
    return !dashed || (before != '-' && behind != '-');
}

bool redact_number_names_an_id(struct bytes t)
{
    static const char *const words[] = {"traceid",       "spanid", "requestid",
                                        "correlationid", "reqid",  "parentid"};
    char word[24];
    size_t n = 0;

    for (size_t i = t.n; i > 0 && n < sizeof word; i--) {
        char c = t.p[i - 1];

        if (c == '_' || c == '-' || c == '.')
            continue;
        if (!ascii_is_alnum(c))
            break;
        word[sizeof word - ++n] = ascii_fold(c);
    }
    for (size_t k = 0; k < ARRAY_LEN(words); k++)
        if (text_ends_with(bytes_of(word + sizeof word - n, n), words[k]))
            return true;
    return false;
}

bool redact_number_at(struct bytes t, size_t i, unsigned kinds, bool anywhere,
                      struct redact_match *m)
{
    char digits[24];

    for (size_t k = 0; k < ARRAY_LEN(forms); k++) {
        size_t end, n = read_form(t, i, forms[k], digits, &end);
        enum redact_kind kind;

        if (!n || !redact_number_kind(bytes_of(digits, n), kinds, &kind))
            continue;
        if (!anywhere && (!stand_alone(t, i, end, forms[k][1] && t.p[i + forms[k][0]] == '-') ||
                          redact_number_names_an_id(text_before_gap(t, i))))
            continue;
        *m = (struct redact_match){i, end, kind};
        return true;
    }
    return false;
}

size_t redact_number_next_group(struct bytes t, size_t i)
{
    i = group_end(t, i, SIZE_MAX);
    return is_separator(text_at(t, i)) && ascii_is_digit(text_at(t, i + 1)) ? i + 1 : 0;
}

bool redact_number_maybe(struct bytes t, size_t at, unsigned kinds)
{
    size_t i = at - 10; /* see look_at_place in redact_find.c */
    struct redact_match m;

    if (text_is_behind_escape(t, i))
        return true;
    if (ascii_is_word(text_before(t, i, 1)) && !redact_number_next_group(t, i))
        return false;
    for (i++; i; i = redact_number_next_group(t, i - 1), i += i ? 1 : 0)
        if (redact_number_at(t, i - 1, kinds, true, &m))
            return true;
    return false;
}

size_t redact_number_canonical(struct bytes match, char *to)
{
    size_t n = 0;

    for (size_t i = 0; i < match.n; i++)
        if (ascii_is_digit(match.p[i]))
            to[n++] = match.p[i];
    return n;
}
