#include "parsers/redact_find.h"

#include <arpa/inet.h>
#include <stdlib.h>

/*
 * The scan tells places; each is looked at exactly, forwards and backwards, but never before
 * f->from. What is looked at around a place is bounded, so that the whole is linear.
 */

#define EMAIL_LOCAL_MAX 64 /* RFC 5321 §4.5.3.1 */
#define EMAIL_DOMAIN_MAX 255
#define AUTHORITY_MAX 1024 /* of a URL: user, password, host */
#define NAME_MAX_BYTES 64  /* before an equals sign */
#define IP_MAX 45          /* INET6_ADDRSTRLEN without its zero */

const char *const redact_kind_names[REDACT_KINDS] = {"email",       "ip",    "card",
                                                     "national_id", "token", "password"};

/* ---- bytes ---- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return (c | 32) >= 'a' && (c | 32) <= 'z';
}

static bool is_alnum(char c)
{
    return is_digit(c) || is_letter(c);
}

static bool is_word(char c)
{
    return is_alnum(c) || c == '_';
}

static bool is_high(char c)
{
    return (unsigned char)c >= 0x80;
}

static bool is_blank(char c)
{
    return (unsigned char)c <= ' ';
}

/* The byte at i, 0 outside of the text. */
static char byte(struct bytes t, size_t i)
{
    return i < t.n ? t.p[i] : '\0';
}

/* The same for i - n. */
static char byte_before(struct bytes t, size_t i, size_t n)
{
    return i >= n && i - n < t.n ? t.p[i - n] : '\0';
}

static char folded(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 32) : c;
}

/* The text before i without the blanks, quotes, colons and the like at its end, four at most. */
static struct bytes before_gap(struct bytes t, size_t i)
{
    size_t n = i;

    while (n > 0 && i - n < 4 && t.p[n - 1] && strchr(" =:\"'\\[", t.p[n - 1]))
        n--;
    return bytes_of(t.p, n);
}

/* Whether word (small letters) stands at i, in any case. */
static bool stands_at(struct bytes t, size_t i, const char *word)
{
    for (; *word; word++, i++)
        if (i >= t.n || folded(t.p[i]) != *word)
            return false;
    return true;
}

/* Whether s ends with word (small letters), in any case. */
static bool ends_with(struct bytes s, const char *word)
{
    size_t n = strlen(word);

    return s.n >= n && stands_at(s, s.n - n, word);
}

/* ---- e-mail ---- */

/* Length of what stands for an @ at i; 0 when nothing does. */
static size_t at_sign(struct bytes t, size_t i)
{
    if (t.p[i] == '@')
        return 1;
    if (t.p[i] == '%' && byte(t, i + 1) == '4' && byte(t, i + 2) == '0')
        return 3;
    return t.p[i] == '\\' && stands_at(t, i, "\\u0040") ? 6 : 0;
}

static bool is_local(char c)
{
    return is_alnum(c) || is_high(c) || c == '.' || c == '_' || c == '-' || c == '+' || c == '\'';
}

static bool is_hex(char c)
{
    return is_digit(c) || ((c | 32) >= 'a' && (c | 32) <= 'f');
}

/* Whether the three bytes that end at i are a byte in percent-encoding. */
static bool is_encoded(struct bytes t, size_t i)
{
    return i >= 3 && t.p[i - 3] == '%' && is_hex(t.p[i - 2]) && is_hex(t.p[i - 1]);
}

/* Whether that byte may be in a name: of UTF-8, or a plus. */
static bool is_encoded_local(struct bytes t, size_t i)
{
    return t.p[i - 2] > '7' || (t.p[i - 2] == '2' && folded(t.p[i - 1]) == 'b');
}

/* Where the name before an @ at `at` begins; `at` when there is none. */
static size_t local_begin(struct bytes t, size_t from, size_t at)
{
    bool percent = t.p[at] == '%';
    size_t i = at;

    while (i > from && at - i <= EMAIL_LOCAL_MAX) {
        if (percent && is_encoded(t, i)) {
            if (i - from < 3 || !is_encoded_local(t, i))
                break;
            i -= 3;
        } else if (is_local(t.p[i - 1])) {
            i--;
        } else {
            break;
        }
    }
    if (at - i > EMAIL_LOCAL_MAX)
        return at;
    while (i < at && strchr(".-'+", t.p[i]))
        i++;
    return i;
}

/* Where a name such as example.no that begins at i ends; i when there is none. */
static size_t domain_end(struct bytes t, size_t i)
{
    size_t begin = i, label = i, dots = 0, end = i;

    for (; i < t.n && i - begin <= EMAIL_DOMAIN_MAX; i++) {
        size_t letters = i;

        if (t.p[i] == '.' && i > label) {
            dots++;
            label = i + 1;
            continue;
        }
        if (!is_alnum(t.p[i]) && !is_high(t.p[i]) && !(t.p[i] == '-' && i > label))
            break;
        if (dots == 0 || i != label)
            continue;
        /* A last label: two letters at least, or one in another script as xn--…. */
        while (letters < t.n && (is_letter(t.p[letters]) || is_high(t.p[letters])))
            letters++;
        if (stands_at(t, label, "xn--"))
            while (letters < t.n && (is_alnum(t.p[letters]) || t.p[letters] == '-'))
                letters++;
        if (letters - label >= 2)
            end = letters;
    }
    /* logo@2x.png is a picture for dense screens. */
    if (dots == 1 && end > begin && is_digit(t.p[begin]) && stands_at(t, begin + 1, "x."))
        return begin;
    return end;
}

static bool look_at_email(struct redact_find *f, size_t at, struct redact_match *m)
{
    struct bytes t = f->text;
    size_t sign = at_sign(t, at), begin, end;

    if (!sign)
        return false;
    begin = local_begin(t, f->from, at);
    if (begin == at)
        return false;
    end = domain_end(t, at + sign);
    if (end == at + sign)
        return false;
    *m = (struct redact_match){begin, end, REDACT_EMAIL};
    return true;
}

static size_t canonical_email(struct bytes match, char *to)
{
    size_t n = 0;

    for (size_t i = 0; i < match.n && n < REDACT_CANONICAL_MAX; i++) {
        size_t sign = at_sign(match, i);

        if (sign) {
            to[n++] = '@';
            i += sign - 1;
        } else if (match.p[i] == '%' && i + 2 < match.n) {
            char hex[3] = {match.p[i + 1], match.p[i + 2], '\0'};

            to[n++] = (char)strtoul(hex, NULL, 16);
            i += 2;
        } else {
            to[n++] = folded(match.p[i]);
        }
    }
    return n;
}

/* ---- IP addresses ---- */

struct address {
    int family;
    unsigned char bytes[16];
};

/* a.b.c.d, each of one to three digits and at most 255; what stands around it counts not. */
static bool parse_ipv4(struct bytes s, unsigned char out[4])
{
    size_t i = 0;

    for (unsigned part = 0; part < 4; part++) {
        unsigned v = 0;
        size_t begin = i;

        for (; i < s.n && is_digit(s.p[i]) && i - begin < 3; i++)
            v = 10 * v + (unsigned)(s.p[i] - '0');
        if (i == begin || v > 255 || (part < 3 && byte(s, i++) != '.'))
            return false;
        out[part] = (unsigned char)v;
    }
    return i == s.n;
}

bool redact_find_names_a_version(struct bytes name)
{
    return ends_with(name, "version") || ends_with(name, "versjon");
}

static bool parse_ip(struct bytes s, struct address *a)
{
    static const unsigned char mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    char text[IP_MAX + 1];

    a->family = AF_INET;
    if (parse_ipv4(s, a->bytes))
        return true;
    if (s.n > IP_MAX)
        return false;
    memcpy(text, s.p, s.n);
    text[s.n] = '\0';
    a->family = AF_INET6;
    if (inet_pton(AF_INET6, text, a->bytes) != 1)
        return false;
    if (memcmp(a->bytes, mapped, sizeof mapped) == 0) {
        a->family = AF_INET;
        memmove(a->bytes, a->bytes + 12, 4);
    }
    return true;
}

/* Loopback addresses and networks are nobody's. */
static bool is_somebodys(const struct address *a)
{
    static const unsigned char loopback[16] = {[15] = 1}, none[10] = {0};

    if (a->family == AF_INET)
        return a->bytes[0] != 127 && a->bytes[3] != 0;
    return memcmp(a->bytes, loopback, 16) != 0 && memcmp(a->bytes + 6, none, 10) != 0;
}

/* Whether the word before i says that a version follows: version=1.2.3.4 */
static bool is_version(struct bytes t, size_t i)
{
    return redact_find_names_a_version(before_gap(t, i));
}

static bool is_dotted(char c)
{
    return is_digit(c) || c == '.';
}

static bool look_at_dots(struct redact_find *f, size_t at, struct redact_match *m)
{
    struct bytes t = f->text;
    size_t begin = at, end = at;
    struct address a = {.family = AF_INET};

    while (begin > f->from && at - begin <= IP_MAX && is_dotted(t.p[begin - 1]))
        begin--;
    while (end < t.n && end - at <= IP_MAX && is_dotted(t.p[end]))
        end++;
    while (begin < end && t.p[begin] == '.')
        begin++;
    while (end > begin && t.p[end - 1] == '.')
        end--;
    if (!parse_ipv4(bytes_of(t.p + begin, end - begin), a.bytes) || !is_somebodys(&a))
        return false;
    if (is_word(byte_before(t, begin, 1)) || is_word(byte(t, end)) || is_version(t, begin))
        return false;
    if (byte(t, end) == '-' && is_letter(byte(t, end + 1)))
        return false; /* 1.2.3.4-beta */
    *m = (struct redact_match){begin, end, REDACT_IP};
    return true;
}

static bool is_ipv6(char c)
{
    return is_digit(c) || ((c | 32) >= 'a' && (c | 32) <= 'f') || c == ':' || c == '.';
}

static bool look_at_colons(struct redact_find *f, size_t at, struct redact_match *m)
{
    struct bytes t = f->text;
    size_t begin = at, end = at;
    struct address a;
    bool digit = false;

    while (begin > f->from && at - begin <= IP_MAX && is_ipv6(t.p[begin - 1]))
        begin--;
    while (end < t.n && end - at <= IP_MAX && is_ipv6(t.p[end]))
        end++;
    if (is_word(byte_before(t, begin, 1))) { /* addr:2001:db8::1 */
        while (begin < end && t.p[begin] != ':')
            begin++;
        begin++;
    } else if (byte(t, begin) == ':' && byte(t, begin + 1) != ':') {
        begin++;
    }
    while (end > begin &&
           (t.p[end - 1] == '.' || (t.p[end - 1] == ':' && end - begin > 1 && t.p[end - 2] != ':')))
        end--;
    if (end <= begin + 2 || is_word(byte(t, end)))
        return false;
    for (size_t i = begin; i < end; i++)
        digit |= is_digit(t.p[i]);
    if (!digit || !parse_ip(bytes_of(t.p + begin, end - begin), &a) || !is_somebodys(&a))
        return false;
    *m = (struct redact_match){begin, end, REDACT_IP};
    return true;
}

/* a.b.c.d with a zero behind it, as inet_ntop has it, but not through printf. Returns its length.
 */
static size_t put_ipv4(const unsigned char bytes[4], char *to)
{
    char *p = to;

    for (unsigned i = 0; i < 4; i++) {
        unsigned v = bytes[i];

        if (v >= 100)
            *p++ = (char)('0' + v / 100);
        if (v >= 10)
            *p++ = (char)('0' + v / 10 % 10);
        *p++ = (char)('0' + v % 10);
        *p++ = '.';
    }
    *--p = '\0';
    return (size_t)(p - to);
}

size_t redact_find_ip_prefix(struct bytes match, char to[64])
{
    struct address a;

    if (!parse_ip(match, &a))
        return 0;
    if (a.family == AF_INET) {
        const char *mapped = memrchr(match.p, ':', match.n);
        size_t n = mapped ? (size_t)(mapped + 1 - match.p) : 0;

        if (mapped && !memchr(mapped, '.', match.n - n))
            n = 0; /* ::ffff:102:304 */
        memcpy(to, match.p, n);
        a.bytes[3] = 0;
        return n + put_ipv4(a.bytes, to + n);
    }
    memset(a.bytes + 6, 0, 10);
    if (!inet_ntop(AF_INET6, a.bytes, to, 64))
        ASSERT(false);
    return strlen(to);
}

static size_t canonical_ip(struct bytes match, char *to)
{
    struct address a;

    if (!parse_ip(match, &a))
        return 0;
    if (a.family == AF_INET)
        return put_ipv4(a.bytes, to);
    if (!inet_ntop(AF_INET6, a.bytes, to, REDACT_CANONICAL_MAX))
        ASSERT(false);
    return strlen(to);
}

/* ---- numbers with check digits ---- */

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

bool redact_find_number(struct bytes digits, unsigned kinds, enum redact_kind *kind)
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
    for (; i < t.n && is_digit(t.p[i]) && max > 0; max--)
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
            if (!is_separator(byte(t, i)) || (separator && t.p[i] != separator))
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
    char before = byte_before(t, begin, 1), behind = byte(t, end);

    if (is_word(before) || is_word(behind) || before == '+')
        return false;
    if (before == '.' && is_digit(byte_before(t, begin, 2)))
        return false;
    if (behind == '.' && is_digit(byte(t, end + 1)))
        return false;
    return !dashed || (before != '-' && behind != '-');
}

bool redact_find_names_an_id(struct bytes t)
{
    static const char *const words[] = {"traceid",       "spanid", "requestid",
                                        "correlationid", "reqid",  "parentid"};
    char word[24];
    size_t n = 0;

    for (size_t i = t.n; i > 0 && n < sizeof word; i--) {
        char c = t.p[i - 1];

        if (c == '_' || c == '-' || c == '.')
            continue;
        if (!is_alnum(c))
            break;
        word[sizeof word - ++n] = folded(c);
    }
    for (size_t k = 0; k < ARRAY_LEN(words); k++)
        if (ends_with(bytes_of(word + sizeof word - n, n), words[k]))
            return true;
    return false;
}

/* Whether a number begins with the group of digits at i. anywhere: whatever stands around it. */
static bool look_at_group(struct bytes t, size_t i, unsigned kinds, bool anywhere,
                          struct redact_match *m)
{
    char digits[24];

    for (size_t k = 0; k < ARRAY_LEN(forms); k++) {
        size_t end, n = read_form(t, i, forms[k], digits, &end);
        enum redact_kind kind;

        if (!n || !redact_find_number(bytes_of(digits, n), kinds, &kind))
            continue;
        if (!anywhere && (!stand_alone(t, i, end, forms[k][1] && t.p[i + forms[k][0]] == '-') ||
                          redact_find_names_an_id(before_gap(t, i))))
            continue;
        *m = (struct redact_match){i, end, kind};
        return true;
    }
    return false;
}

/* The group of digits behind the one at i, 0 when the run ends with it. */
static size_t next_group(struct bytes t, size_t i)
{
    i = group_end(t, i, SIZE_MAX);
    return is_separator(byte(t, i)) && is_digit(byte(t, i + 1)) ? i + 1 : 0;
}

/* On through the groups of a run from f->group on. */
static bool look_at_groups(struct redact_find *f, struct redact_match *m)
{
    while (f->group) {
        size_t i = f->group - 1, next = next_group(f->text, i);

        f->group = next ? next + 1 : 0;
        if (i < f->from || !look_at_group(f->text, i, f->kinds, false, m))
            continue;
        return true;
    }
    return false;
}

static size_t canonical_number(struct bytes match, char *to)
{
    size_t n = 0;

    for (size_t i = 0; i < match.n; i++)
        if (is_digit(match.p[i]))
            to[n++] = match.p[i];
    return n;
}

/* ---- tokens ---- */

static bool is_base64url(char c)
{
    return is_alnum(c) || c == '-' || c == '_';
}

/* What RFC 6750 §2.1 lets stand behind Bearer. */
static bool is_token68(char c)
{
    return is_base64url(c) || (c && strchr(".~+/=", c));
}

static size_t run_end(struct bytes t, size_t i, bool (*is)(char))
{
    while (i < t.n && is(t.p[i]))
        i++;
    return i;
}

static size_t skip_blanks(struct bytes t, size_t i)
{
    while (byte(t, i) == ' ' || byte(t, i) == '\t')
        i++;
    return i;
}

/* Whether base64 from begin to end is user:password. */
static bool is_user_and_password(struct bytes s)
{
    unsigned bits = 0, have = 0;
    bool colon = false;

    while (s.n && s.p[s.n - 1] == '=')
        s.n--;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        unsigned v = c >= 'A' && c <= 'Z'   ? (unsigned)(c - 'A')
                     : c >= 'a' && c <= 'z' ? (unsigned)(c - 'a') + 26
                     : is_digit(c)          ? (unsigned)(c - '0') + 52
                     : c == '+' || c == '-' ? 62u
                     : c == '/' || c == '_' ? 63u
                                            : 64u;

        if (v == 64)
            return false;
        bits = bits << 6 | v;
        have += 6;
        if (have >= 8) {
            have -= 8;
            if ((bits >> have & 0xff) < 0x20)
                return false;
            colon |= (bits >> have & 0xff) == ':';
        }
    }
    return colon;
}

/* Behind Bearer or Basic at i. */
static bool look_at_scheme(struct redact_find *f, size_t i, struct redact_match *m)
{
    struct bytes t = f->text;
    bool bearer = stands_at(t, i, "bearer"), basic = !bearer && stands_at(t, i, "basic");
    size_t word = i + (bearer ? 6 : 5), begin = skip_blanks(t, word), end;
    bool digit = false;

    if ((!bearer && !basic) || is_word(byte_before(t, i, 1)))
        return false;
    if (begin == word && stands_at(t, begin, "%20"))
        begin += 3;
    if (begin == word)
        return false;
    end = run_end(t, begin, is_token68);
    if (basic && !is_user_and_password(bytes_of(t.p + begin, end - begin)))
        return false;
    while (end > begin && t.p[end - 1] == '.')
        end--;
    for (size_t k = begin; k < end; k++)
        digit |= is_digit(t.p[k]);
    /* "Bearer authentication failed": but in a header whatever stands there is it. */
    if (bearer && !(digit && end - begin >= 8) && end - begin < 20 &&
        !ends_with(before_gap(t, i), "authorization") && !(i == 0 && end == t.n))
        return false;
    if (end == begin)
        return false;
    *m = (struct redact_match){begin, end, REDACT_TOKEN};
    return true;
}

/* A JWT, of which the y of eyJ stands at `at`: three parts or, encrypted, five. */
static bool look_at_jwt(struct redact_find *f, size_t at, struct redact_match *m)
{
    struct bytes t = f->text;
    size_t begin = at - 1, end, dots = 0;

    if (at <= f->from || t.p[begin] != 'e' || is_base64url(byte_before(t, begin, 1)))
        return false;
    end = run_end(t, begin, is_base64url);
    if (end - begin < 10)
        return false;
    for (; dots < 4 && byte(t, end) == '.'; dots++) {
        size_t part = run_end(t, end + 1, is_base64url);

        if (dots == 0 && part - end < 5)
            return false;
        end = part;
    }
    if (dots < 2)
        return false;
    *m = (struct redact_match){begin, end, REDACT_TOKEN};
    return true;
}

/* ---- name=value ---- */

/* What a name before an equals sign tells of its value; REDACT_KINDS: nothing. */
static enum redact_kind kind_of_name(struct bytes name)
{
    static const char *const passwords[] = {"password", "passwd", "passphrase", "secret", "pwd"};
    static const char *const tokens[] = {"access_token", "accesstoken",  "refresh_token",
                                         "refreshtoken", "id_token",     "auth_token",
                                         "authtoken",    "api_key",      "apikey",
                                         "api-key",      "session_token"};

    for (size_t i = 0; i < ARRAY_LEN(passwords); i++)
        if (ends_with(name, passwords[i]))
            return REDACT_PASSWORD;
    for (size_t i = 0; i < ARRAY_LEN(tokens); i++)
        if (ends_with(name, tokens[i]))
            return REDACT_TOKEN;
    if (name.n == 5 && stands_at(name, 0, "token"))
        return REDACT_TOKEN;
    return name.n == 4 && stands_at(name, 0, "pass") ? REDACT_PASSWORD : REDACT_KINDS;
}

static bool is_name(char c)
{
    return is_word(c) || c == '-' || c == '.';
}

/* Bytes that end a value without quotes. */
static bool is_value(char c)
{
    return !is_blank(c) && !strchr("&;,\"'<>()[]{}|\\", c);
}

static enum redact_kind kind_before(struct bytes t, size_t from, size_t at)
{
    size_t begin = at;

    while (begin > from && at - begin < NAME_MAX_BYTES && is_name(t.p[begin - 1]))
        begin--;
    return kind_of_name(bytes_of(t.p + begin, at - begin));
}

static bool look_at_equals(struct redact_find *f, size_t at, struct redact_match *m)
{
    struct bytes t = f->text;
    enum redact_kind kind = kind_before(t, f->from, at);
    size_t begin = at + 1, end;
    char quote = byte(t, begin);

    if (kind == REDACT_KINDS || !(f->kinds & 1u << kind))
        return false;
    if (quote == '"' || quote == '\'') {
        begin++;
        for (end = begin; end < t.n && t.p[end] != quote; end++)
            end += t.p[end] == '\\' && end + 1 < t.n;
        end = MIN(end, t.n);
        if (byte(t, begin) == '<' || (byte(t, begin) && strchr(",;:)]}", t.p[begin])))
            return false; /* what we wrote; "password=", */
    } else {
        end = run_end(t, begin, is_value);
    }
    if (end == begin)
        return false;
    *m = (struct redact_match){begin, end, kind};
    return true;
}

/* ---- passwords in URLs ---- */

static bool is_authority(char c)
{
    return !is_blank(c) && !strchr("/?#\"'<>\\", c);
}

/* The last @ of what stands between :// and the next slash (passwords may hold one), behind i; 0
 * when there is none. *colon gets the first colon; 0. */
static size_t end_of_password(struct bytes t, size_t i, size_t *colon)
{
    size_t limit = MIN(t.n, i + AUTHORITY_MAX), at = 0;

    for (*colon = 0; i < limit && is_authority(t.p[i]); i++) {
        if (t.p[i] == ':' && !*colon)
            *colon = i;
        if (t.p[i] == '@')
            at = i;
    }
    return at;
}

static bool look_at_slashes(struct redact_find *f, size_t at, struct redact_match *m)
{
    struct bytes t = f->text;
    size_t begin, colon, end;

    if (!is_alnum(byte_before(t, at, 1)))
        return false;
    if (stands_at(t, at, "://"))
        begin = at + 3;
    else if (stands_at(t, at, ":\\/\\/"))
        begin = at + 5;
    else
        return false;
    end = end_of_password(t, begin, &colon);
    if (!colon || end <= colon + 1)
        return false;
    *m = (struct redact_match){colon + 1, end, REDACT_PASSWORD};
    return true;
}

/* ---- all together ---- */

void redact_find_begin(struct redact_find *f, struct bytes text, unsigned kinds)
{
    f->text = text;
    f->kinds = kinds;
    f->from = 0;
    f->group = 0;
    redact_scan_begin(&f->scan, text, false);
}

static bool look_at_byte(struct redact_find *f, size_t at, struct redact_match *m)
{
    switch (f->text.p[at]) {
    case '@':
    case '%':
    case '\\':
        return (f->kinds & 1u << REDACT_EMAIL) && look_at_email(f, at, m);
    case '=':
        return look_at_equals(f, at, m);
    case ':':
        return (f->kinds & 1u << REDACT_PASSWORD) && look_at_slashes(f, at, m);
    case 'y':
        return (f->kinds & 1u << REDACT_TOKEN) && look_at_jwt(f, at, m);
    case 'b':
    case 'B':
        return (f->kinds & 1u << REDACT_TOKEN) && look_at_scheme(f, at, m);
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
        at += !is_digit(f->text.p[at]);
        f->group = is_digit(byte(f->text, at)) ? at + 1 : 0;
        return look_at_groups(f, m);
    case SCAN_DOTS:
        return (f->kinds & 1u << REDACT_IP) && look_at_dots(f, at, m);
    case SCAN_COLONS:
        return (f->kinds & 1u << REDACT_IP) && look_at_colons(f, at, m);
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
        return canonical_email(match, to);
    case REDACT_IP:
        return canonical_ip(match, to);
    case REDACT_CARD:
    case REDACT_NATIONAL_ID:
        return canonical_number(match, to);
    default:
        ASSERT(false);
        return 0;
    }
}

/* ---- the raw text of a document ---- */

/* Whether an escape ends right before i, so that what stands there is not what it seems: \n, or the
 * digits of \u00e5. */
static bool is_behind_escape(struct bytes t, size_t i)
{
    for (size_t n = 2; n <= 6; n++)
        if (byte_before(t, i, n) == '\\' && (n == 2 || byte_before(t, i, n - 1) == 'u'))
            return true;
    return false;
}

static bool maybe_number(struct bytes t, size_t at, unsigned kinds)
{
    size_t i = at - 10; /* see look_at_place */
    struct redact_match m;

    if (is_behind_escape(t, i))
        return true;
    if (is_word(byte_before(t, i, 1)) && !next_group(t, i))
        return false;
    for (i++; i; i = next_group(t, i - 1), i += i ? 1 : 0)
        if (look_at_group(t, i - 1, kinds, true, &m))
            return true;
    return false;
}

static bool maybe_ipv4(struct bytes t, size_t at)
{
    struct redact_find f = {.text = t};
    struct redact_match m;
    size_t begin = at;

    while (begin > 0 && at - begin <= IP_MAX && is_dotted(t.p[begin - 1]))
        begin--;
    return is_behind_escape(t, begin) || look_at_dots(&f, at, &m);
}

static bool maybe_ipv6(struct bytes t, size_t at)
{
    struct redact_find f = {.text = t};
    struct redact_match m;
    size_t begin = at;

    while (begin > 0 && at - begin <= IP_MAX && is_ipv6(t.p[begin - 1]))
        begin--;
    return is_behind_escape(t, begin) || is_behind_escape(t, begin + 1) ||
           look_at_colons(&f, at, &m);
}

/* Whether an escape \uXXXX at i stands for something that may be part of a match. What Go and
 * others write for < > & ' and " is not. */
static bool maybe_escape(struct bytes t, size_t i)
{
    return byte(t, i + 2) == '0' && byte(t, i + 3) == '0' && byte(t, i + 4) >= '2' &&
           byte(t, i + 4) <= '7' && !stands_at(t, i + 2, "003c") && !stands_at(t, i + 2, "003e") &&
           !stands_at(t, i + 2, "0026") && !stands_at(t, i + 2, "0027") &&
           !stands_at(t, i + 2, "0022");
}

static bool maybe_byte(struct bytes t, size_t at, unsigned kinds)
{
    enum redact_kind kind;
    size_t colon;

    switch (t.p[at]) {
    case '@':
    case '%':
        return (kinds & 1u << REDACT_EMAIL) && at_sign(t, at) &&
               (is_local(byte_before(t, at, 1)) || t.p[at] == '%');
    case '\\':
        return maybe_escape(t, at);
    case '=':
        kind = kind_before(t, 0, at);
        if (kind != REDACT_KINDS)
            return kinds & 1u << kind;
        /* \npass= */
        return ends_with(bytes_of(t.p, at), "pass") || ends_with(bytes_of(t.p, at), "token");
    case ':':
        return (kinds & 1u << REDACT_PASSWORD) &&
               (stands_at(t, at, ":\\/") || stands_at(t, at, ":/\\") ||
                (stands_at(t, at, "://") && end_of_password(t, at + 3, &colon)));
    case 'y':
        return (kinds & 1u << REDACT_TOKEN) && byte_before(t, at, 1) == 'e';
    case 'b':
    case 'B':
        return (kinds & 1u << REDACT_TOKEN) &&
               (stands_at(t, at, "bearer") || stands_at(t, at, "basic"));
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
                    maybe_number(t, at, kinds);
            break;
        case SCAN_DOTS:
            maybe = (kinds & 1u << REDACT_IP) && maybe_ipv4(t, at);
            break;
        case SCAN_COLONS:
            maybe = (kinds & 1u << REDACT_IP) && maybe_ipv6(t, at);
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
