#include "agent/commands/logstash_grok.h"

#include <stdlib.h>

#define DEPTH 16     /* of patterns within patterns */
#define GROUP_MAX 32 /* bytes of a group's name in PCRE2 */
#define HEX "[0-9A-Fa-f]"
#define H16 HEX "{1,4}"
#define OCTET "(?:25[0-5]|2[0-4]\\d|[01]?\\d{1,2})"
#define V4 OCTET "(?:\\." OCTET "){3}"
#define LABEL "[0-9A-Za-z][0-9A-Za-z-]{0,62}"

/* By name. What they call their fields is what Logstash's do (ecs_compatibility off). */
static const struct {
    const char *name, *pattern;
} known[] = {
    {"BASE10NUM", "(?<![\\d.+-])(?>[+-]?(?:\\d+(?:\\.\\d+)?|\\.\\d+))"},
    {"BASE16FLOAT", "\\b[+-]?(?:0x)?(?:" HEX "+(?:\\." HEX "*)?|\\." HEX "+)\\b"},
    {"BASE16NUM", "(?<!" HEX ")[+-]?(?:0x)?" HEX "+"},
    {"CISCOMAC", "(?:" HEX "{4}\\.){2}" HEX "{4}"},
    {"COMBINEDAPACHELOG", "%{COMMONAPACHELOG} %{QS:referrer} %{QS:agent}"},
    {"COMMONAPACHELOG",
     "%{IPORHOST:clientip} %{HTTPDUSER:ident} %{HTTPDUSER:auth} \\[%{HTTPDATE:timestamp}\\] "
     "\"(?:%{WORD:verb} %{NOTSPACE:request}(?: HTTP/%{NUMBER:httpversion})?|%{DATA:rawrequest})\" "
     "(?:-|%{NUMBER:response}) (?:-|%{NUMBER:bytes})"},
    {"COMMONMAC", "(?:" HEX "{2}:){5}" HEX "{2}"},
    {"CRONLOG", "%{SYSLOGBASE} \\(%{USER:user}\\) %{CRON_ACTION:action} \\(%{DATA:message}\\)"},
    {"CRON_ACTION", "[A-Z ]+"},
    {"DATA", ".*?"},
    {"DATE", "(?:%{DATE_US}|%{DATE_EU})"},
    {"DATESTAMP", "%{DATE}[- ]%{TIME}"},
    {"DATESTAMP_EVENTLOG", "%{YEAR}%{MONTHNUM2}%{MONTHDAY}%{HOUR}%{MINUTE}%{SECOND}"},
    {"DATESTAMP_OTHER", "%{DAY} %{MONTH} %{MONTHDAY} %{TIME} %{TZ} %{YEAR}"},
    {"DATESTAMP_RFC2822", "%{DAY}, %{MONTHDAY} %{MONTH} %{YEAR} %{TIME} %{ISO8601_TIMEZONE}"},
    {"DATESTAMP_RFC822", "%{DAY} %{MONTH} %{MONTHDAY} %{YEAR} %{TIME} %{TZ}"},
    {"DATE_EU", "%{MONTHDAY}[./-]%{MONTHNUM}[./-]%{YEAR}"},
    {"DATE_US", "%{MONTHNUM}[/-]%{MONTHDAY}[/-]%{YEAR}"},
    {"DAY", "(?:Mon(?:day)?|Tue(?:sday)?|Wed(?:nesday)?|Thu(?:rsday)?|Fri(?:day)?|Sat(?:urday)?|"
            "Sun(?:day)?)"},
    {"EMAILADDRESS", "%{EMAILLOCALPART}@%{HOSTNAME}"},
    {"EMAILLOCALPART", "[A-Za-z0-9][\\w.!#$%&'*+/=?^`{|}~-]*"},
    {"GREEDYDATA", ".*"},
    {"HOST", "%{HOSTNAME}"},
    {"HOSTNAME", "\\b" LABEL "(?:\\." LABEL ")*(?:\\.?|\\b)"},
    {"HOSTPORT", "%{IPORHOST}:%{POSINT}"},
    {"HOUR", "(?:2[0-3]|[01]?\\d)"},
    {"HTTPDATE", "%{MONTHDAY}/%{MONTH}/%{YEAR}:%{TIME} %{INT}"},
    {"HTTPDERROR_DATE", "%{DAY} %{MONTH} %{MONTHDAY} %{TIME} %{YEAR}"},
    {"HTTPDUSER", "(?:%{EMAILADDRESS}|%{USER})"},
    {"HTTPD_COMBINEDLOG", "%{COMBINEDAPACHELOG}"},
    {"HTTPD_COMMONLOG", "%{COMMONAPACHELOG}"},
    {"INT", "[+-]?\\d+"},
    {"IP", "(?:%{IPV6}|%{IPV4})"},
    {"IPORHOST", "(?:%{IP}|%{HOSTNAME})"},
    {"IPV4", "(?<!\\d)" V4 "(?!\\d)"},
    {"IPV6", "(?:(?:" H16 ":){6}" V4 "|(?:(?:" H16 ":){1,6}|:)(?::" H16 "){0,5}:" V4 "|(?:" H16
             ":){7}" H16 "|(?:(?:" H16 ":){1,7}|:)(?:(?::" H16 "){1,7}|:))(?:%[\\w.-]+)?"},
    {"ISO8601_HOUR", "(?:2[0-3]|[01]\\d)"},
    {"ISO8601_SECOND", "%{SECOND}"},
    {"ISO8601_TIMEZONE", "(?:Z|[+-]%{HOUR}:?%{MINUTE})"},
    {"JAVACLASS", "(?:[A-Za-z$_][\\w$]*\\.)*[A-Za-z$_][\\w$]*"},
    {"JAVAFILE", "[A-Za-z0-9_. -]+"},
    {"JAVALOGMESSAGE", ".*"},
    {"JAVAMETHOD", "(?:<(?:cl)?init>|[A-Za-z$_][\\w$]*)"},
    {"JAVASTACKTRACEPART",
     "\\s*at %{JAVACLASS:class}\\.%{JAVAMETHOD:method}\\(%{JAVAFILE:file}(?::%{INT:line})?\\)"},
    {"LOGLEVEL", "(?i:alert|trace|debug|notice|info(?:rmation)?|warn(?:ing)?|err(?:or)?|"
                 "crit(?:ical)?|fatal|severe|emerg(?:ency)?)"},
    {"MAC", "(?:%{CISCOMAC}|%{WINDOWSMAC}|%{COMMONMAC})"},
    {"MINUTE", "[0-5]\\d"},
    {"MONTH", "\\b(?:[Jj]an(?:uary)?|[Ff]eb(?:ruary)?|[Mm]ar(?:ch)?|[Aa]pr(?:il)?|[Mm]ay|[Jj]une?|"
              "[Jj]uly?|[Aa]ug(?:ust)?|[Ss]ep(?:tember)?|[Oo]ct(?:ober)?|[Nn]ov(?:ember)?|"
              "[Dd]ec(?:ember)?)\\b"},
    {"MONTHDAY", "(?:0[1-9]|[12]\\d|3[01]|[1-9])"},
    {"MONTHNUM", "(?:0?[1-9]|1[0-2])"},
    {"MONTHNUM2", "(?:0[1-9]|1[0-2])"},
    {"NONNEGINT", "\\b\\d+\\b"},
    {"NOTSPACE", "\\S+"},
    {"NUMBER", "%{BASE10NUM}"},
    {"PATH", "(?:%{UNIXPATH}|%{WINPATH})"},
    {"POSINT", "\\b[1-9]\\d*\\b"},
    {"POSTGRESQL",
     "%{DATESTAMP:timestamp} %{TZ} %{DATA:user_id} %{GREEDYDATA:connection_id} %{POSINT:pid}"},
    {"PROG", "[\\x21-\\x5a\\x5c\\x5e-\\x7e]+"},
    {"QS", "%{QUOTEDSTRING}"},
    {"QUOTEDSTRING", "(?<!\\\\)(?>\"(?>\\\\.|[^\\\\\"])*\"|'(?>\\\\.|[^\\\\'])*'|"
                     "`(?>\\\\.|[^\\\\`])*`)"},
    {"REDISLOG", "\\[%{POSINT:pid}\\] %{REDISTIMESTAMP:timestamp} \\* "},
    {"REDISTIMESTAMP", "%{MONTHDAY} %{MONTH} %{TIME}"},
    {"RUBY_LOGGER", "[DFEWI], \\[%{TIMESTAMP_ISO8601:timestamp} #%{POSINT:pid}\\] "
                    "*%{RUBY_LOGLEVEL:loglevel} -- +%{DATA:progname}: %{GREEDYDATA:message}"},
    {"RUBY_LOGLEVEL", "(?:DEBUG|FATAL|ERROR|WARN|INFO)"},
    {"SECOND", "(?:60|[0-5]?\\d)(?:[:.,]\\d+)?"},
    {"SPACE", "\\s*"},
    {"SYSLOG5424BASE",
     "%{SYSLOG5424PRI}%{NONNEGINT:syslog5424_ver} +(?:-|%{TIMESTAMP_ISO8601:syslog5424_ts}) "
     "+(?:-|%{IPORHOST:syslog5424_host}) +(?:-|%{SYSLOG5424PRINTASCII:syslog5424_app}) "
     "+(?:-|%{SYSLOG5424PRINTASCII:syslog5424_proc}) "
     "+(?:-|%{SYSLOG5424PRINTASCII:syslog5424_msgid}) +(?:-|%{SYSLOG5424SD:syslog5424_sd}|)"},
    {"SYSLOG5424LINE", "%{SYSLOG5424BASE} +%{GREEDYDATA:syslog5424_msg}"},
    {"SYSLOG5424PRI", "<%{NONNEGINT:syslog5424_pri}>"},
    {"SYSLOG5424PRINTASCII", "[!-~]+"},
    {"SYSLOG5424SD", "(?:\\[.*?\\])+"},
    {"SYSLOGBASE", "%{SYSLOGTIMESTAMP:timestamp} (?:%{SYSLOGFACILITY} )?%{SYSLOGHOST:logsource} "
                   "%{SYSLOGPROG}:"},
    {"SYSLOGFACILITY", "<%{NONNEGINT:facility}.%{NONNEGINT:priority}>"},
    {"SYSLOGHOST", "%{IPORHOST}"},
    {"SYSLOGLINE", "%{SYSLOGBASE} %{GREEDYDATA:message}"},
    {"SYSLOGPROG", "%{PROG:program}(?:\\[%{POSINT:pid}\\])?"},
    {"SYSLOGTIMESTAMP", "%{MONTH} +%{MONTHDAY} %{TIME}"},
    {"TIME", "%{HOUR}:%{MINUTE}:%{SECOND}(?!\\d)"},
    {"TIMESTAMP_ISO8601", "%{YEAR}-%{MONTHNUM}-%{MONTHDAY}[T ]%{HOUR}:?%{MINUTE}(?::?%{SECOND})?"
                          "%{ISO8601_TIMEZONE}?"},
    {"TTY", "/dev/(?:pts|tty[pq]?)(?:\\w+)?/?\\d+"},
    {"TZ", "(?:[APMCE][SD]T|UTC)"},
    {"UNIXPATH", "(?:/[\\w%!$@:.,+~-]*)+"},
    {"URI", "%{URIPROTO}://(?:%{USER}(?::[^@\\s]*)?@)?%{URIHOST}?%{URIPATHPARAM}?"},
    {"URIHOST", "(?:%{IPORHOST}(?::%{POSINT:port})?)"},
    {"URIPARAM", "(?:\\?[\\w$.+!*'|(){},~@#%&/=:;?<>\\[\\]-]*)"},
    {"URIPATH", "(?:/[\\w$.+!*'(){},~:;=@#%&-]*)+"},
    {"URIPATHPARAM", "(?:%{URIPATH}%{URIPARAM}?)"},
    {"URIPROTO", "[A-Za-z][A-Za-z0-9+.-]+"},
    {"URN", "urn:[0-9A-Za-z][0-9A-Za-z-]{0,31}:(?:%" HEX "{2}|[0-9A-Za-z()+,.:=@;$_!*'/?#-])+"},
    {"USER", "%{USERNAME}"},
    {"USERNAME", "[\\w.-]+"},
    {"UUID", HEX "{8}(?:-" HEX "{4}){3}-" HEX "{12}"},
    {"WINDOWSMAC", "(?:" HEX "{2}-){5}" HEX "{2}"},
    {"WINPATH", "(?>[A-Za-z]+:|\\\\)(?:\\\\[^\\\\?*]*)+"},
    {"WORD", "\\b\\w+\\b"},
    {"YEAR", "(?>\\d\\d){1,2}"},
};

struct walk {
    struct logstash_grok *out;
    unsigned number;   /* of this pattern, from 1 */
    bool alternatives; /* there is a | in this one */
    const char *twice; /* a field that was captured before in this one */
    const struct logstash_grok_definition *own;
    size_t n_own;
    struct error *e;
};

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* ---- names ---- */

/* [a][b], a.b and a-b as they are called: a.b, a.b, a-b; and as a group can be: a__b, a__b, a_b. */
static int add_names(struct bytes text, struct strbuf *field, struct strbuf *group, struct error *e)
{
    bool nested = text.n && text.p[0] == '[';

    if (memmem(text.p, text.n, "__", 2))
        return error_set(e, "%.*s: a __ in a name would nest it", (int)MIN(text.n, 60u), text.p);
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        bool dot = c == '.' || (nested && c == '[' && i > 0);

        if (nested && (c == ']' || (c == '[' && i == 0)))
            continue;
        strbuf_add_char(field, dot ? '.' : c);
        strbuf_add_str(group, dot ? "__" : (char[]){is_word(c) ? c : '_', '\0'});
    }
    if (group->n == 0 || (group->p[0] >= '0' && group->p[0] <= '9'))
        return error_set(e, "\"%.*s\" cannot be a field's name", (int)MIN(text.n, 60u), text.p);
    if (group->n > GROUP_MAX)
        return error_set(e, "%.*s: a name has at most %d characters here", (int)MIN(text.n, 60u),
                         text.p, GROUP_MAX);
    return 0;
}

static int note_field(struct walk *w, const char *group, const char *field, const char *type)
{
    struct logstash_grok *g = w->out;

    for (size_t i = 0; i < g->n; i++) {
        if (strcmp(g->fields[i].group, group) != 0)
            continue;
        if (strcmp(g->fields[i].field, field) != 0)
            return error_set(w->e, "%s and %s would be one name", g->fields[i].field, field);
        g->fields[i].type = type ? type : g->fields[i].type;
        if (g->fields[i].pattern == w->number)
            w->twice = g->fields[i].field;
        g->fields[i].pattern = w->number;
        return 0;
    }
    if (g->n == LOGSTASH_GROK_FIELDS)
        return error_set(w->e, "more than %d fields are too many for a pattern",
                         LOGSTASH_GROK_FIELDS);
    g->fields[g->n++] =
        (struct logstash_grok_field){base_strdup(group), base_strdup(field), type, w->number};
    return 0;
}

/* Opens a group for the field called text. */
static int open_group(struct walk *w, struct bytes text, const char *type)
{
    struct strbuf field = {0}, group = {0};
    int rc = add_names(text, &field, &group, w->e);

    if (rc == 0)
        rc = note_field(w, group.p, field.p, type);
    if (rc == 0)
        strbuf_printf(&w->out->pattern, "(?<%s>", group.p);
    strbuf_fini(&field);
    strbuf_fini(&group);
    return rc;
}

/* ---- patterns ---- */

static int add_pattern(struct walk *w, struct bytes text, unsigned depth);

static struct bytes look_up(const struct walk *w, struct bytes name)
{
    size_t low = 0, high = ARRAY_LEN(known);

    for (size_t i = w->n_own; i-- > 0;) /* the last of a name counts */
        if (bytes_equal(w->own[i].name, name))
            return w->own[i].pattern;
    while (low < high) {
        size_t middle = (low + high) / 2, n = strlen(known[middle].name);
        int order = memcmp(known[middle].name, name.p, MIN(n, name.n));

        if (order == 0 && n == name.n)
            return bytes_str(known[middle].pattern);
        if (order < 0 || (order == 0 && n < name.n))
            low = middle + 1;
        else
            high = middle;
    }
    return BYTES_NONE;
}

/* Whether s is one group, or one reference, so that it can stand where a group can. */
static bool is_one(struct bytes s)
{
    unsigned depth = 0;
    bool set = false;

    if (bytes_starts_with(s, BYTES_LITERAL("%{")))
        return memchr(s.p, '}', s.n) == s.p + s.n - 1;
    if (!bytes_starts_with(s, BYTES_LITERAL("(?:")) && !bytes_starts_with(s, BYTES_LITERAL("(?>")))
        return false;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '\\')
            i++;
        else if (set || s.p[i] == '[')
            set = s.p[i] != ']';
        else if (s.p[i] == '(')
            depth++;
        else if (s.p[i] == ')' && --depth == 0)
            return i + 1 == s.n;
    }
    return false;
}

/* The inside of %{NAME}, %{NAME:field} or %{NAME:field:type}. */
static int add_reference(struct walk *w, struct bytes inside, unsigned depth)
{
    const char *colon = memchr(inside.p, ':', inside.n);
    struct bytes name = bytes_of(inside.p, colon ? (size_t)(colon - inside.p) : inside.n), pattern;
    struct bytes field = BYTES_NONE, type = BYTES_NONE;
    const char *as = NULL;
    bool bare;

    if (colon) {
        field = bytes_of(colon + 1, inside.n - name.n - 1);
        colon = memchr(field.p, ':', field.n);
        if (colon) {
            type = bytes_of(colon + 1, (size_t)(field.p + field.n - colon) - 1);
            field.n = (size_t)(colon - field.p);
        }
    }
    pattern = look_up(w, name);
    if (!pattern.p)
        return error_set(
            w->e, "the pattern %%{%.*s} is not known; pattern_definitions can say what it is",
            (int)MIN(name.n, 60u), name.p);
    if (depth == DEPTH)
        return error_set(w->e, "%%{%.*s}: patterns within patterns have no end",
                         (int)MIN(name.n, 60u), name.p);
    if (bytes_is(type, "int"))
        as = "long";
    else if (bytes_is(type, "float"))
        as = "double";
    else if (type.n && !bytes_is(type, "string"))
        return error_set(w->e, "%.*s is no type; grok has int, float and string",
                         (int)MIN(type.n, 60u), type.p);
    if (field.n && open_group(w, field, as) < 0)
        return -1;
    bare = !field.n && is_one(pattern);
    if (!field.n && !bare)
        strbuf_add_str(&w->out->pattern, "(?:");
    if (add_pattern(w, pattern, depth + 1) < 0)
        return -1;
    if (!bare)
        strbuf_add_char(&w->out->pattern, ')');
    return 0;
}

/* What follows a backslash at text.p[i]. Ruby's \h is a hexadecimal digit, PCRE2's a blank. */
static void add_escape(struct walk *w, char c, bool in_set)
{
    if (c == 'h' || c == 'H') {
        if (in_set && c == 'h')
            strbuf_add_str(&w->out->pattern, "0-9A-Fa-f");
        else
            strbuf_add_str(&w->out->pattern, c == 'h' ? HEX : "[^0-9A-Fa-f]");
        return;
    }
    strbuf_add_char(&w->out->pattern, '\\');
    strbuf_add_char(&w->out->pattern, c);
}

/* Behind "(?": the length of what is taken, 0 when it is to be copied as it stands, -1 with *e. */
static int add_special(struct walk *w, struct bytes s)
{
    size_t n = 0;

    if (s.n > 1 && s.p[0] == '<' && s.p[1] != '=' && s.p[1] != '!') {
        const char *close = memchr(s.p, '>', s.n);

        if (!close)
            return error_set(w->e, "(?< has no >");
        w->out->pattern.n -= 2; /* open_group writes its own */
        if (open_group(w, bytes_of(s.p + 1, (size_t)(close - s.p) - 1), NULL) < 0)
            return -1;
        return (int)(close - s.p) + 1;
    }
    while (n < s.n && (strchr("imx-", s.p[n]) && s.p[n]))
        n++;
    if (n == 0 || n == s.n || (s.p[n] != ':' && s.p[n] != ')'))
        return 0;
    for (size_t i = 0; i < n; i++) /* Ruby's m lets the dot be a line feed, too */
        strbuf_add_char(&w->out->pattern, s.p[i] == 'm' ? 's' : s.p[i]);
    return (int)n;
}

/* The set that begins at text.p[*at], with its brackets. */
static int add_set(struct walk *w, struct bytes text, size_t *at)
{
    struct strbuf *to = &w->out->pattern;
    size_t i = *at, first;

    strbuf_add_char(to, text.p[i++]);
    if (i < text.n && text.p[i] == '^')
        strbuf_add_char(to, text.p[i++]);
    first = i;
    for (; i < text.n; i++) {
        struct bytes rest = bytes_of(text.p + i, text.n - i);

        if (text.p[i] == ']' && i > first) {
            strbuf_add_char(to, ']');
            *at = i + 1;
            return 0;
        }
        if (text.p[i] == '\\' && i + 1 < text.n) {
            if (text.p[i + 1] == 'H')
                return error_set(w->e, "\\H within [ ] is not known here");
            add_escape(w, text.p[++i], true);
        } else if (bytes_starts_with(rest, BYTES_LITERAL("[:"))) {
            const char *close = memmem(rest.p, rest.n, ":]", 2);

            if (!close)
                return error_set(w->e, "[: has no :]");
            strbuf_add(to, rest.p, (size_t)(close - rest.p) + 2);
            i += (size_t)(close - rest.p) + 1;
        } else if (text.p[i] == '[' || bytes_starts_with(rest, BYTES_LITERAL("&&"))) {
            return error_set(w->e, "a set within a set is not known here");
        } else {
            strbuf_add_char(to, text.p[i]);
        }
    }
    return error_set(w->e, "[ has no ]");
}

/* {,3} is {0,3} in Ruby, and text in PCRE2. */
static bool is_open_count(struct bytes s)
{
    size_t n = 2;

    while (n < s.n && s.p[n] >= '0' && s.p[n] <= '9')
        n++;
    return s.n > 1 && s.p[1] == ',' && n > 2 && n < s.n && s.p[n] == '}';
}

/* The character that s begins with. Returns how many were taken. */
static size_t add_plain(struct walk *w, struct bytes s)
{
    struct logstash_grok *g = w->out;

    g->begins |= s.p[0] == '^';
    w->alternatives |= s.p[0] == '|';
    if (s.p[0] == '$' && g->lines)
        strbuf_add_str(&g->pattern, "(?m:$)");
    else if (s.p[0] == '{' && is_open_count(s))
        strbuf_add_str(&g->pattern, "{0");
    else
        strbuf_add_char(&g->pattern, s.p[0]);
    return 1;
}

static int add_pattern(struct walk *w, struct bytes text, unsigned depth)
{
    struct strbuf *to = &w->out->pattern;

    for (size_t i = 0; i < text.n;) {
        struct bytes rest = bytes_of(text.p + i, text.n - i);

        if (to->n > LOGSTASH_GROK_MAX)
            return error_set(w->e, "it becomes longer than %d bytes", LOGSTASH_GROK_MAX);
        if (bytes_starts_with(rest, BYTES_LITERAL("%{"))) {
            const char *close = memchr(rest.p, '}', rest.n);

            if (!close)
                return error_set(w->e, "%%{ has no }");
            if (add_reference(w, bytes_of(rest.p + 2, (size_t)(close - rest.p) - 2), depth) < 0)
                return -1;
            i += (size_t)(close - rest.p) + 1;
        } else if (text.p[i] == '\\' && i + 1 < text.n) {
            add_escape(w, text.p[i + 1], false);
            i += 2;
        } else if (text.p[i] == '[') {
            if (add_set(w, text, &i) < 0)
                return -1;
        } else if (bytes_starts_with(rest, BYTES_LITERAL("(?"))) {
            int taken;

            strbuf_add_str(to, "(?");
            taken = add_special(w, bytes_of(rest.p + 2, rest.n - 2));
            if (taken < 0)
                return -1;
            i += 2 + (size_t)taken;
        } else {
            i += add_plain(w, rest);
        }
    }
    return 0;
}

int logstash_grok_add(struct logstash_grok *out, struct bytes pattern,
                      const struct logstash_grok_definition *own, size_t n_own, struct error *e)
{
    struct walk w = {.out = out, .own = own, .n_own = n_own, .e = e, .number = ++out->n_patterns};

    if (add_pattern(&w, pattern, 0) < 0)
        return -1;
    if (w.twice && !w.alternatives)
        out->twice = w.twice;
    return 0;
}

void logstash_grok_fini(struct logstash_grok *g)
{
    for (size_t i = 0; i < g->n; i++) {
        free(g->fields[i].group);
        free(g->fields[i].field);
    }
    strbuf_fini(&g->pattern);
    g->n = 0;
}
