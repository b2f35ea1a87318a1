#include "parsers/redact_kinds.h"
#include "parsers/text.h"

#define AUTHORITY_MAX 1024 /* of a URL: user, password, host */
#define NAME_MAX_BYTES 64  /* before an equals sign */

static bool is_blank(char c)
{
    return (unsigned char)c <= ' ';
}

/* ---- tokens ---- */

static bool is_base64url(char c)
{
    return ascii_is_alnum(c) || c == '-' || c == '_';
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
    while (text_at(t, i) == ' ' || text_at(t, i) == '\t')
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
                     : ascii_is_digit(c)    ? (unsigned)(c - '0') + 52
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

bool redact_secret_at_scheme(struct bytes t, size_t i, struct redact_match *m)
{
    bool bearer = text_stands_at(t, i, "bearer"), basic = !bearer && text_stands_at(t, i, "basic");
    size_t word = i + (bearer ? 6 : 5), begin = skip_blanks(t, word), end;
    bool digit = false;

    if ((!bearer && !basic) || ascii_is_word(text_before(t, i, 1)))
        return false;
    if (begin == word && text_stands_at(t, begin, "%20"))
        begin += 3;
    if (begin == word)
        return false;
    end = run_end(t, begin, is_token68);
    if (basic && !is_user_and_password(bytes_of(t.p + begin, end - begin)))
        return false;
    while (end > begin && t.p[end - 1] == '.')
        end--;
    for (size_t k = begin; k < end; k++)
        digit |= ascii_is_digit(t.p[k]);
    /* "Bearer authentication failed": but in a header whatever stands there is it. */
    if (bearer && !(digit && end - begin >= 8) && end - begin < 20 &&
        !text_ends_with(text_before_gap(t, i), "authorization") && !(i == 0 && end == t.n))
        return false;
    if (end == begin)
        return false;
    *m = (struct redact_match){begin, end, REDACT_TOKEN};
    return true;
}

bool redact_secret_at_jwt(struct bytes t, size_t from, size_t at, struct redact_match *m)
{
    size_t begin = at - 1, end, dots = 0;

    if (at <= from || t.p[begin] != 'e' || is_base64url(text_before(t, begin, 1)))
        return false;
    end = run_end(t, begin, is_base64url);
    if (end - begin < 10)
        return false;
    for (; dots < 4 && text_at(t, end) == '.'; dots++) {
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
        if (text_ends_with(name, passwords[i]))
            return REDACT_PASSWORD;
    for (size_t i = 0; i < ARRAY_LEN(tokens); i++)
        if (text_ends_with(name, tokens[i]))
            return REDACT_TOKEN;
    if (name.n == 5 && text_stands_at(name, 0, "token"))
        return REDACT_TOKEN;
    return name.n == 4 && text_stands_at(name, 0, "pass") ? REDACT_PASSWORD : REDACT_KINDS;
}

static bool is_name(char c)
{
    return ascii_is_word(c) || c == '-' || c == '.';
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

bool redact_secret_at_equals(struct bytes t, size_t from, size_t at, unsigned kinds,
                             struct redact_match *m)
{
    enum redact_kind kind = kind_before(t, from, at);
    size_t begin = at + 1, end;
    char quote = text_at(t, begin);

    if (kind == REDACT_KINDS || !(kinds & 1u << kind))
        return false;
    if (quote == '"' || quote == '\'') {
        begin++;
        for (end = begin; end < t.n && t.p[end] != quote; end++)
            end += t.p[end] == '\\' && end + 1 < t.n;
        end = MIN(end, t.n);
        if (text_at(t, begin) == '<' || (text_at(t, begin) && strchr(",;:)]}", t.p[begin])))
            return false; /* what we wrote; "password=", */
    } else {
        end = run_end(t, begin, is_value);
    }
    if (end == begin)
        return false;
    *m = (struct redact_match){begin, end, kind};
    return true;
}

bool redact_secret_maybe_equals(struct bytes t, size_t at, unsigned kinds)
{
    enum redact_kind kind = kind_before(t, 0, at);

    if (kind != REDACT_KINDS)
        return kinds & 1u << kind;
    /* \npass= */
    return text_ends_with(bytes_of(t.p, at), "pass") || text_ends_with(bytes_of(t.p, at), "token");
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

bool redact_secret_at_slashes(struct bytes t, size_t at, struct redact_match *m)
{
    size_t begin, colon, end;

    if (!ascii_is_alnum(text_before(t, at, 1)))
        return false;
    if (text_stands_at(t, at, "://"))
        begin = at + 3;
    else if (text_stands_at(t, at, ":\\/\\/"))
        begin = at + 5;
    else
        return false;
    end = end_of_password(t, begin, &colon);
    if (!colon || end <= colon + 1)
        return false;
    *m = (struct redact_match){colon + 1, end, REDACT_PASSWORD};
    return true;
}

bool redact_secret_maybe_slashes(struct bytes t, size_t at)
{
    size_t colon;

    return text_stands_at(t, at, ":\\/") || text_stands_at(t, at, ":/\\") ||
           (text_stands_at(t, at, "://") && end_of_password(t, at + 3, &colon));
}
