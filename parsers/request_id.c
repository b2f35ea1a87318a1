#include "parsers/request_id.h"

#include <endian.h>

#define SENTENCE_END_MAX 8 /* characters that may follow an id and would fit into one */

static bool is_lower_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

static unsigned lower(char c)
{
    unsigned u = (unsigned char)c;

    return u - 'A' < 26 ? u | 0x20 : u;
}

static bool is_alnum(char c)
{
    return lower(c) - 'a' < 26 || lower(c) - '0' < 10;
}

static bool same_word(struct bytes s, const char *word)
{
    size_t i;

    for (i = 0; i < s.n && word[i]; i++)
        if (lower(s.p[i]) != (unsigned char)word[i])
            return false;
    return i == s.n && !word[i];
}

bool request_id_usable(struct bytes s)
{
    static const char *const placeholders[] = {"null",      "nil", "none",
                                               "undefined", "n/a", "unknown"};

    if (s.n == 0 || s.n > REQUEST_ID_MAX)
        return false;
    if (s.n < 10) {
        bool any = false;

        for (size_t i = 0; i < s.n; i++)
            any |= is_alnum(s.p[i]) || (s.p[i] & 0x80);
        if (!any)
            return false;
        for (size_t i = 0; i < ARRAY_LEN(placeholders); i++)
            if (same_word(s, placeholders[i]))
                return false;
    }
    return true;
}

bool request_id_usable_trace(struct bytes s)
{
    if (!request_id_usable(s))
        return false;
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] != '0')
            return true;
    return false;
}

bool request_id_is_hex(struct bytes s)
{
    if (s.n != 16 && s.n != 32)
        return false;
    for (size_t i = 0; i < s.n; i++)
        if (!is_lower_hex((char)lower(s.p[i])))
            return false;
    return true;
}

static bool is_separator(char c)
{
    return c == '_' || c == '-' || c == '.';
}

/* Whether a key may begin at `begin`: not inside a word, and not behind another one
 * (parent_request_id is another request's) but for x_ and http_. */
static bool key_begins_at(struct bytes text, size_t begin)
{
    size_t word;

    if (begin == 0)
        return true;
    if (is_alnum(text.p[begin - 1])) {
        /* xRequestId; and the letter of an escaped line feed or tab is no letter. */
        if (lower(text.p[begin - 1]) == 'x' && (begin == 1 || !is_alnum(text.p[begin - 2])))
            return true;
        if (begin >= 2 && text.p[begin - 2] == '\\')
            return true;
        return begin >= 6 && memcmp(text.p + begin - 6, "\\u00", 4) == 0;
    }
    if (text.p[begin - 1] != '_' && text.p[begin - 1] != '-')
        return true;
    for (word = begin - 1; word > 0 && is_alnum(text.p[word - 1]); word--)
        ;
    return word == begin - 1 || same_word(bytes_of(text.p + word, begin - 1 - word), "x") ||
           same_word(bytes_of(text.p + word, begin - 1 - word), "http");
}

/* Whether [text, end of "id") ends in request_id, req_id or correlation_id. */
static bool key_ends_at(struct bytes text, size_t end)
{
    static const struct {
        const char *word;
        size_t n;
    } words[] = {{"request", 7}, {"req", 3}, {"correlation", 11}};
    size_t at = end - 2; /* where "id" begins */

    if (at > 0 && is_separator(text.p[at - 1]))
        at--;
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        size_t begin = at - words[i].n;

        if (at >= words[i].n && same_word(bytes_of(text.p + begin, words[i].n), words[i].word) &&
            key_begins_at(text, begin))
            return true;
    }
    return false;
}

static size_t skip_quote(struct bytes text, size_t i, char *quote)
{
    *quote = 0;
    if (i + 1 < text.n && text.p[i] == '\\' && text.p[i + 1] == '"')
        i++;
    if (i < text.n && (text.p[i] == '"' || text.p[i] == '\'')) {
        *quote = text.p[i];
        i++;
    }
    return i;
}

static size_t skip_blanks(struct bytes text, size_t i)
{
    while (i < text.n && text.p[i] == ' ')
        i++;
    return i;
}

/* Letters, digits and -_.:@/+~| */
static inline bool id_char(char c)
{
    static const bool yes[256] = {
        ['0' ... '9'] = true, ['A' ... 'Z'] = true, ['a' ... 'z'] = true, ['-'] = true,
        ['_'] = true,         ['.'] = true,         [':'] = true,         ['@'] = true,
        ['/'] = true,         ['+'] = true,         ['~'] = true,         ['|'] = true};

    return yes[(unsigned char)c];
}

/* The value behind a key that ended at i. Looks no farther than an id may be long: a text may be
 * full of keys. */
static bool value_at(struct bytes text, size_t i, struct bytes *id)
{
    char quote;
    size_t begin, stop;

    i = skip_quote(text, i, &quote);
    i = skip_blanks(text, i);
    if (i == text.n || (text.p[i] != '=' && text.p[i] != ':'))
        return false;
    i = skip_blanks(text, i + 1);
    i = skip_quote(text, i, &quote);
    begin = i;
    stop = MIN(text.n, begin + REQUEST_ID_MAX + SENTENCE_END_MAX);
    while (i < stop && id_char(text.p[i]))
        i++;
    *id = bytes_of(text.p + begin, i - begin);
    if (quote) {
        size_t close = i;

        if (close + 1 < text.n && text.p[close] == '\\')
            close++;
        if (close == text.n || text.p[close] != quote)
            return false;
    } else {
        if (i < text.n && !strchr(" ,;)]}>&\"'\\|(<[{", text.p[i]))
            return false;
        while (id->n && strchr(".:/", id->p[id->n - 1])) /* the end of a sentence */
            id->n--;
    }
    return request_id_usable(*id);
}

typedef unsigned char block __attribute__((vector_size(16)));

/* Where, at or behind i (which is at least 1), an 'i' and a 'd' of any case stand side by side: the
 * index of the 'd'; n when there are none. Sixteen bytes at a time, as plain text is searched for
 * every record. */
static size_t find_id(const char *p, size_t n, size_t i)
{
    const block case_bit = (block){} | 0x20;
    const block letter_i = (block){} | 'i';
    const block letter_d = (block){} | 'd';

    for (; i + 16 <= n; i += 16) {
        block here, before, hit;
        uint64_t any[2];

        memcpy(&here, p + i, 16);
        memcpy(&before, p + i - 1, 16);
        hit = (block)(((here | case_bit) == letter_d) & ((before | case_bit) == letter_i));
        memcpy(any, &hit, 16);
        if (any[0])
            return i + (size_t)__builtin_ctzll(le64toh(any[0])) / 8;
        if (any[1])
            return i + 8 + (size_t)__builtin_ctzll(le64toh(any[1])) / 8;
    }
    for (; i < n; i++)
        if ((p[i] | 0x20) == 'd' && (p[i - 1] | 0x20) == 'i')
            return i;
    return n;
}

bool request_id_in_text(struct bytes text, struct bytes *id)
{
    for (size_t i = 1; (i = find_id(text.p, text.n, i)) < text.n; i++)
        if (i + 1 < text.n && !is_alnum(text.p[i + 1]) && key_ends_at(text, i + 1) &&
            value_at(text, i + 1, id))
            return true;
    return false;
}

static bool all_zero(struct bytes s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] != '0')
            return false;
    return true;
}

bool request_id_traceparent(struct bytes s, struct bytes *trace, struct bytes *span)
{
    if (s.n < 55 || s.p[2] != '-' || s.p[35] != '-' || s.p[52] != '-')
        return false;
    for (size_t i = 0; i < 55; i++)
        if (i != 2 && i != 35 && i != 52 && !is_lower_hex(s.p[i]))
            return false;
    if (s.p[0] == 'f' && s.p[1] == 'f')
        return false;
    if (s.n > 55 && ((s.p[0] == '0' && s.p[1] == '0') || s.p[55] != '-'))
        return false;
    *trace = bytes_of(s.p + 3, 32);
    *span = bytes_of(s.p + 36, 16);
    return !all_zero(*trace) && !all_zero(*span);
}
