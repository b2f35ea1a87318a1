#include "agent/config/config_value.h"

#include "agent/base/strbuf.h"

#include <ctype.h>
#include <curl/curl.h>
#include <limits.h>
#include <stdlib.h>
#include <strings.h>

#define DAY_MS 86400000u
#define NAME_MAX_BYTES                                                                             \
    255 /* of an index name, and of a path that takes its place in the buffer                      \
         */

struct unit {
    const char *name;
    uint64_t factor;
};

/* Largest first, and of two that are equal the one to be printed first. */
static const struct unit size_units[] = {
    {"TiB", 1ull << 40},   {"TB", 1000000000000ull}, {"GiB", 1ull << 30},
    {"GB", 1000000000ull}, {"MiB", 1ull << 20},      {"MB", 1000000ull},
    {"KiB", 1ull << 10},   {"KB", 1000ull},          {"B", 1},
};
static const struct unit duration_units[] = {
    {"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1},
};

/* The decimal digits at *p. -1 when there are none or they do not fit. */
static int read_number(const char **p, uint64_t *n)
{
    const char *s = *p;

    *n = 0;
    if (!isdigit((unsigned char)*s))
        return -1;
    for (; isdigit((unsigned char)*s); s++) {
        uint64_t digit = (uint64_t)(*s - '0');

        if (*n > (UINT64_MAX - digit) / 10)
            return -1;
        *n = *n * 10 + digit;
    }
    *p = s;
    return 0;
}

static int read_with_unit(const char *text, const struct unit *units, size_t n_units, uint64_t *to)
{
    const char *p = text;
    uint64_t n;

    if (read_number(&p, &n) < 0)
        return -1;
    while (*p == ' ')
        p++;
    for (size_t i = 0; i < n_units; i++) {
        if (strcasecmp(p, units[i].name) != 0)
            continue;
        if (n > (uint64_t)INT64_MAX / units[i].factor)
            return -1;
        *to = n * units[i].factor;
        return 0;
    }
    if (*p == '\0' && n <= INT64_MAX) {
        *to = n;
        return 1;
    }
    return -1;
}

int config_value_size(const char *text, uint64_t *bytes, struct error *why)
{
    if (read_with_unit(text, size_units, ARRAY_LEN(size_units), bytes) < 0)
        return error_set(why, "\"%.60s\" is no size; write one like 64MiB or 1GB", text);
    return 0;
}

int config_value_duration(const char *text, uint64_t *ms, struct error *why)
{
    int rc = read_with_unit(text, duration_units, ARRAY_LEN(duration_units), ms);

    if (rc < 0 || (rc == 1 && *ms != 0))
        return error_set(why, "\"%.60s\" is no duration; write one like 200ms, 5s, 15m, 24h or 7d",
                         text);
    return 0;
}

int config_value_share(const char *text, double *share, struct error *why)
{
    char *end;

    if (isdigit((unsigned char)text[0])) {
        double v = strtod(text, &end);

        if (end > text && strcmp(end, "%") == 0 && v <= 100 && !strpbrk(text, "xXpPeE")) {
            *share = v / 100;
            return 0;
        }
    }
    return error_set(why, "\"%.60s\" is no share; write one like 10%%, at most 100%%", text);
}

int config_value_bool(const char *text, bool *value, struct error *why)
{
    static const char *const words[] = {"false", "true", "no", "yes", "off", "on"};

    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (strcasecmp(text, words[i]) == 0) {
            *value = i % 2;
            return 0;
        }
    }
    return error_set(why, "\"%.60s\" is neither true nor false", text);
}

int config_value_count(const char *text, uint64_t *value, struct error *why)
{
    const char *p = text;

    if (read_number(&p, value) < 0 || *p)
        return error_set(why, "\"%.60s\" is no whole number", text);
    return 0;
}

static void add_with_unit(struct strbuf *to, uint64_t v, const struct unit *units, size_t n_units)
{
    size_t i = 0;

    if (v == 0) {
        strbuf_add_char(to, '0');
        return;
    }
    while (i + 1 < n_units && v % units[i].factor != 0)
        i++;
    strbuf_printf(to, "%llu%s", (unsigned long long)(v / units[i].factor), units[i].name);
}

void config_value_add_size(struct strbuf *to, uint64_t bytes)
{
    add_with_unit(to, bytes, size_units, ARRAY_LEN(size_units));
}

void config_value_add_duration(struct strbuf *to, uint64_t ms)
{
    add_with_unit(to, ms, duration_units, ARRAY_LEN(duration_units));
}

void config_value_add_share(struct strbuf *to, double share)
{
    strbuf_printf(to, "%.10g%%", share * 100);
}

static bool has_control(const char *s)
{
    for (; *s; s++)
        if ((unsigned char)*s < ' ' || *s == 0x7f)
            return true;
    return false;
}

int config_value_check_nonempty(const char *text, struct error *why)
{
    if (!*text)
        return error_set(why, "it must not be empty");
    if (has_control(text))
        return error_set(why, "control characters are not allowed");
    return 0;
}

int config_value_check_folder(const char *text, struct error *why)
{
    if (config_value_check_nonempty(text, why) < 0)
        return -1;
    if (text[0] != '/')
        return error_set(why, "\"%.200s\" is no absolute path; write one like /var/log/pods", text);
    if (text[strcspn(text, "*?[")])
        return error_set(why, "\"%.200s\" has a wildcard; write the folder as it stands", text);
    if (strlen(text) >= PATH_MAX / 2)
        return error_set(why, "it is longer than any folder's path");
    return 0;
}

int config_value_check_pod(const char *text, struct error *why)
{
    const char *slash = strchr(text, '/');

    if (config_value_check_nonempty(text, why) < 0)
        return -1;
    if (!slash || slash == text || slash[1] == '\0' || strchr(slash + 1, '/'))
        return error_set(
            why, "\"%.200s\" is no namespace/pod; write one like kube-system/* or */noisy-*", text);
    return 0;
}

int config_value_check_address(const char *text, struct error *why)
{
    const char *colon = strrchr(text, ':'), *p;
    size_t host_len;
    uint64_t port;

    if (!*text)
        return 0;
    if (has_control(text) || strpbrk(text, " /@") || !colon)
        goto refused;
    host_len = (size_t)(colon - text);
    if (host_len == 0)
        return error_set(why, "\"%.60s\" names no host; write 0.0.0.0%.60s for all addresses", text,
                         text);
    if (text[0] == '[' ? text[host_len - 1] != ']' || host_len < 4
                       : memchr(text, ':', host_len) != NULL)
        goto refused;
    p = colon + 1;
    if (read_number(&p, &port) < 0 || *p || port > 65535)
        goto refused;
    return 0;
refused:
    return error_set(why,
                     "\"%.60s\" is no address; write host:port, like 127.0.0.1:12201 or "
                     "[::1]:12201, or \"\" to turn it off",
                     text);
}

/* Whether text is a URL with one of the schemes (ended by NULL), with nothing behind the path. */
static int check_url(const char *text, const char *const *schemes, const char *example,
                     struct error *why)
{
    CURLU *u = curl_url();
    char *scheme = NULL, *host = NULL, *query = NULL, *fragment = NULL;
    bool known = false, ok;

    if (!u)
        base_die("out of memory");
    ok = !has_control(text) && !strchr(text, ' ') && strstr(text, "://") &&
         curl_url_set(u, CURLUPART_URL, text, CURLU_NON_SUPPORT_SCHEME) == CURLUE_OK &&
         curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
         curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK && *host;
    for (; ok && *schemes; schemes++)
        known = known || strcasecmp(scheme, *schemes) == 0;
    curl_url_get(u, CURLUPART_QUERY, &query, 0);
    curl_url_get(u, CURLUPART_FRAGMENT, &fragment, 0);
    ok = ok && known && !query && !fragment;
    curl_free(scheme);
    curl_free(host);
    curl_free(query);
    curl_free(fragment);
    curl_url_cleanup(u);
    if (ok)
        return 0;
    /* Where there is an @ there may be a password before it. */
    return error_set(why, "\"%.100s\" is no URL that can be used here; write one like %s",
                     strchr(text, '@') ? "***" : text, example);
}

int config_value_check_url(const char *text, struct error *why)
{
    static const char *const schemes[] = {"http", "https", NULL};

    return check_url(text, schemes, "https://node1:9200", why);
}

int config_value_check_proxy(const char *text, struct error *why)
{
    static const char *const schemes[] = {"http", "https", "socks5", "socks5h", NULL};

    return *text ? check_url(text, schemes, "http://proxy:3128", why) : 0;
}

/* The date part behind "%{+": its length expanded, -1 when it has anything unknown in it. */
static int date_length(const char *s, size_t n)
{
    static const char *const tokens[] = {"YYYY", "yyyy", "MM", "dd", "HH"};
    int length = 0;

    for (size_t i = 0; i < n;) {
        size_t k = 0;

        while (k < ARRAY_LEN(tokens) &&
               !bytes_starts_with(bytes_of(s + i, n - i), bytes_str(tokens[k])))
            k++;
        if (k < ARRAY_LEN(tokens)) {
            i += strlen(tokens[k]);
            length += (int)strlen(tokens[k]);
        } else if (strchr(".-_", s[i])) {
            i++;
            length++;
        } else {
            return -1;
        }
    }
    return n ? length : -1;
}

/* Walks over a pattern: adds its literal text to *literal and sums the longest that it can become.
 */
static int walk_pattern(const char *text, bool with_service, struct strbuf *literal, size_t *length,
                        struct error *why)
{
    *length = 0;
    for (const char *p = text; *p;) {
        const char *close;
        int n;

        if (strncmp(p, "%{", 2) != 0) {
            strbuf_add_char(literal, *p++);
            (*length)++;
            continue;
        }
        close = strchr(p, '}');
        if (!close)
            return error_set(why, "%%{ without its }");
        if (with_service && strncmp(p, "%{service.name}", 15) == 0) {
            *length += 100; /* where the intake cuts it */
        } else {
            n = p[2] == '+' ? date_length(p + 3, (size_t)(close - p) - 3) : -1;
            if (n < 0)
                return error_set(why, "%.*s is not known here; there %s %%{+YYYY.MM.dd}%s",
                                 (int)MIN(close - p + 1, 60), p, with_service ? "are" : "is",
                                 with_service ? " and %{service.name}" : "");
            *length += (size_t)n;
        }
        p = close + 1;
    }
    return 0;
}

static int check_index_literal(const char *text, struct bytes literal, size_t length,
                               struct error *why)
{
    if (text[0] == '\0' || text[0] == '%')
        return error_set(why, "an index name begins with fixed text, like microservices-…");
    if (strchr("-_+", text[0]) || strcmp(text, ".") == 0 || strcmp(text, "..") == 0)
        return error_set(why, "an index name must not begin with %c", text[0]);
    for (size_t i = 0; i < literal.n; i++) {
        unsigned char c = (unsigned char)literal.p[i];

        if (c >= 'A' && c <= 'Z')
            return error_set(why, "an index name is in lower case, %c is not", c);
        if (c <= ' ' || c == 0x7f || strchr("\\/*?\"<>|,#:%{}", c))
            return error_set(why, "Elasticsearch refuses %s in an index name",
                             c <= ' ' || c == 0x7f ? "blanks and control characters"
                                                   : (char[]){(char)c, '\0'});
    }
    if (length > NAME_MAX_BYTES)
        return error_set(why, "an index name has at most %d bytes, this one could become %zu",
                         NAME_MAX_BYTES, length);
    return 0;
}

int config_value_check_index(const char *text, struct error *why)
{
    struct strbuf literal = {0};
    size_t length;
    int rc = walk_pattern(text, true, &literal, &length, why);

    if (rc == 0)
        rc = check_index_literal(text, strbuf_bytes(&literal), length, why);
    strbuf_fini(&literal);
    return rc;
}

int config_value_check_retention(const char *text, struct error *why)
{
    uint64_t ms;

    if (text[0] == '\0')
        return 0;
    if (config_value_duration(text, &ms, why) < 0 || ms < DAY_MS)
        return error_set(why, "\"%.60s\" is no duration of at least a day, like 30d", text);
    return 0;
}

int config_value_check_file_path(const char *text, struct error *why)
{
    struct strbuf literal = {0};
    size_t n = strlen(text), length;
    int rc = walk_pattern(text, false, &literal, &length, why);

    if (rc == 0 && (n == 0 || text[n - 1] == '/'))
        rc = error_set(why, "it must name a file, like out/microservices-%%{+YYYY.MM.dd}.ndjson");
    else if (rc == 0 && (has_control(text) || strpbrk(text, "\"\\")))
        rc = error_set(why, "quotes, backslashes and control characters are not allowed");
    else if (rc == 0 && length > NAME_MAX_BYTES)
        rc = error_set(why, "it has at most %d bytes, this one could become %zu", NAME_MAX_BYTES,
                       length);
    strbuf_fini(&literal);
    return rc;
}

int config_value_check_field(const char *text, struct error *why)
{
    size_t n = strlen(text);

    if (n == 0 || n > 256 || text[0] == '.' || text[n - 1] == '.' || strstr(text, "..") ||
        has_control(text))
        return error_set(why,
                         "\"%.60s\" is no field name; write one like environment or "
                         "labels.team",
                         text);
    return 0;
}

int config_value_check_label(const char *text, struct error *why)
{
    const char *equals = strchr(text, '=');

    if (!equals || equals == text || memchr(text, '*', (size_t)(equals - text)))
        return error_set(why, "\"%.60s\" is no label; write one like team=payments or team=*",
                         text);
    return 0;
}

int config_value_check_convert(const char *text, struct error *why)
{
    static const char *const types[] = {"string", "long", "double", "boolean"};

    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        if (strcmp(text, types[i]) == 0)
            return 0;
    return error_set(why, "\"%.60s\" is no type; there are string, long, double and boolean", text);
}

/* The code of the character at p when it is one that config_value_is_unsafe names, else 0; *n is
 * its length. */
static unsigned unsafe_code(const char *text, size_t *n)
{
    const unsigned char *p = (const unsigned char *)text;

    *n = 1;
    if (p[0] < ' ' || p[0] == 0x7f)
        return p[0];
    *n = 2;
    if (p[0] == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0) /* C1, with NEL */
        return p[1];
    *n = 3;
    if (p[0] == 0xe2 && p[1] == 0x80 && (p[2] == 0xa8 || p[2] == 0xa9))
        return 0x2000u + p[2] - 0x80u; /* line and paragraph separators */
    if (p[0] == 0xef && ((p[1] == 0xbb && p[2] == 0xbf) || (p[1] == 0xbf && p[2] >= 0xbe)))
        return p[1] == 0xbb ? 0xfeffu : 0xffc0u + p[2] - 0x80u;
    return 0;
}

bool config_value_is_unsafe(const char *p)
{
    size_t n;

    return unsafe_code(p, &n) != 0;
}

void config_value_add_json(struct strbuf *to, const char *json)
{
    for (const char *p = json; *p;) {
        size_t n;
        unsigned code = unsafe_code(p, &n);

        if (code) {
            strbuf_printf(to, "\\u%04x", code);
            p += n;
        } else {
            strbuf_add_char(to, *p++);
        }
    }
}

void config_value_add_quoted(struct strbuf *to, const char *s)
{
    struct strbuf json = {0};

    strbuf_add_json(&json, bytes_str(s));
    config_value_add_json(to, json.p);
    strbuf_fini(&json);
}

void config_value_add_word(struct strbuf *to, const char *s)
{
    bool plain = isalnum((unsigned char)s[0]) || s[0] == '/' || s[0] == '.';
    size_t n = strlen(s);

    for (size_t i = 0; plain && i < n; i++)
        plain = isalnum((unsigned char)s[i]) || strchr("_./:+-@%", s[i]);
    if (plain && s[n - 1] != ':' && strcmp(s, "null") != 0)
        strbuf_add_str(to, s);
    else
        config_value_add_quoted(to, s);
}

void config_value_add_masked(struct strbuf *to, const char *url)
{
    const char *begin = strstr(url, "://"), *slash, *at, *colon;

    begin = begin ? begin + 3 : url;
    slash = begin + strcspn(begin, "/?#");
    for (at = slash; at > begin && at[-1] != '@';)
        at--;
    colon = memchr(begin, ':', (size_t)(at - begin));
    if (at == begin || !colon) {
        strbuf_add_str(to, url);
        return;
    }
    strbuf_add(to, url, (size_t)(colon - url));
    strbuf_add_str(to, ":***@");
    strbuf_add_str(to, at);
}
