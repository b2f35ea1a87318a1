#include "parsers/format_nginx.h"

#include "parsers/format_put.h"
#include "parsers/format_time.h"
#include "parsers/json.h"
#include "parsers/timestamp.h"

#include <arpa/inet.h>

/*
 * What nginx calls its variables is known, so that the same names are understood in a JSON log and
 * as name=value behind a combined line. "-" and nothing are no values. The message of an access is
 * its request and status, unless something in the line was not understood: then it is the line.
 */

#define MEMBERS_MAX 128
#define NAME_MAX_BYTES 64

/* What is known of one access, as slices. */
struct access {
    struct bytes method, target, status;
    bool has_message;
};

/* ---- values ---- */

static bool is_none(struct bytes s)
{
    return s.n == 0 || (s.n == 1 && s.p[0] == '-');
}

static bool is_ip(struct bytes s)
{
    char text[INET6_ADDRSTRLEN + 1];
    unsigned char to[16];

    if (s.n < 2 || s.n >= sizeof text || memchr(s.p, '\0', s.n))
        return false;
    memcpy(text, s.p, s.n);
    text[s.n] = '\0';
    return inet_pton(AF_INET, text, to) == 1 || inet_pton(AF_INET6, text, to) == 1;
}

static struct bytes before(struct bytes s, char c)
{
    const char *at = s.n ? memchr(s.p, c, s.n) : NULL;

    return at ? bytes_of(s.p, (size_t)(at - s.p)) : s;
}

static struct bytes behind(struct bytes s, size_t n)
{
    return n < s.n ? bytes_of(s.p + n, s.n - n) : BYTES_NONE;
}

/* The value of a hexadecimal digit, -1 for none. */
static int digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                  : -1;
}

/* nginx writes \xNN for what may not stand in a log. The text with that undone, in w->spare when
 * there is some. */
static struct bytes unescape(struct bytes s, struct format_work *w)
{
    char *to, *at;

    if (!s.n || !memchr(s.p, '\\', s.n))
        return s;
    strbuf_clear(&w->spare);
    to = at = strbuf_room(&w->spare, s.n);
    for (size_t i = 0; i < s.n; i++) {
        bool hex = i + 3 < s.n && s.p[i] == '\\' && s.p[i + 1] == 'x' && digit(s.p[i + 2]) >= 0 &&
                   digit(s.p[i + 3]) >= 0;

        *at++ = (char)(hex ? 16 * digit(s.p[i + 2]) + digit(s.p[i + 3]) : s.p[i]);
        i += hex ? 3 : 0;
    }
    return bytes_of(to, (size_t)(at - to));
}

/* ---- members ---- */

static void put_source(struct format_work *w, struct bytes s)
{
    format_put_string(w, is_ip(s) ? "source.ip" : "source.address", s);
}

/* The target of a request. */
static void put_target(struct format_work *w, struct bytes target)
{
    struct bytes path = before(target, '?');

    if (!target.n || target.p[0] != '/') {
        format_put_string(w, "url.original", target);
        return;
    }
    format_put_string(w, "url.path", path);
    if (path.n == target.n)
        return;
    format_put_string(w, "url.original", target);
    if (path.n + 1 < target.n)
        format_put_string(w, "url.query", behind(target, path.n + 1));
}

static bool is_method(struct bytes s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((s.p[i] < 'A' || s.p[i] > 'Z') && s.p[i] != '_' && s.p[i] != '-')
            return false;
    return s.n > 0 && s.n <= 24;
}

/* METHOD TARGET HTTP/VERSION. false when it is something else. */
static bool split_request(struct bytes s, struct access *a, struct bytes *version)
{
    struct bytes method = before(s, ' '), rest = behind(s, method.n + 1);
    const char *last = rest.n ? memrchr(rest.p, ' ', rest.n) : NULL;

    if (!is_method(method) || !last)
        return false;
    *version = behind(rest, (size_t)(last - rest.p) + 1);
    if (version->n < 6 || memcmp(version->p, "HTTP/", 5) != 0)
        return false;
    *version = behind(*version, 5);
    a->method = method;
    a->target = bytes_of(rest.p, (size_t)(last - rest.p));
    return a->target.n > 0;
}

static void put_request(struct format_work *w, struct bytes s, struct access *a)
{
    struct bytes version;

    if (!split_request(s, a, &version)) {
        a->target = s; /* what a port scan sends, for one */
        return;
    }
    format_put_string(w, "http.request.method", a->method);
    format_put_string(w, "http.version", version);
    put_target(w, a->target);
}

/* X-Forwarded-For: addresses between commas, as a list. false when it is none. */
static bool put_forwarded(struct format_work *w, struct bytes s)
{
    struct strbuf *list = &w->text;

    strbuf_clear(list);
    for (struct bytes rest = s; rest.n;) {
        struct bytes one = before(rest, ',');

        rest = behind(rest, one.n + 1);
        while (one.n && one.p[0] == ' ')
            one = behind(one, 1);
        if (!is_ip(one))
            return false;
        strbuf_add_char(list, list->n ? ',' : '[');
        strbuf_add_json(list, one);
    }
    if (!list->n)
        return false;
    strbuf_add_char(list, ']');
    format_put_json(w, BYTES_LITERAL("nginx.access.remote_ip_list"), strbuf_bytes(list));
    return true;
}

/* GET /orders/17 200, into w->message. */
static void make_message(struct format_work *w, const struct access *a)
{
    struct bytes parts[] = {a->method, a->target, a->status};

    strbuf_clear(&w->message);
    for (size_t i = 0; i < ARRAY_LEN(parts); i++)
        if (parts[i].n) {
            strbuf_add(&w->message, " ", w->message.n > 0);
            strbuf_add_bytes(&w->message, parts[i]);
        }
}

/* ---- variables by name ---- */

enum how { AS_STRING, AS_DIGITS, AS_DURATION, AS_SOURCE, AS_VERSION, AS_FORWARDED };

static const struct variable {
    const char *name; /* nginx's */
    const char *member;
    enum how how;
} variables[] = {
    {"remote_addr", "source.ip", AS_SOURCE},
    {"remote_port", "source.port", AS_DIGITS},
    {"remote_user", "user.name", AS_STRING},
    {"status", "http.response.status_code", AS_DIGITS},
    {"body_bytes_sent", "http.response.body.bytes", AS_DIGITS},
    {"bytes_sent", "http.response.bytes", AS_DIGITS},
    {"request_length", "http.request.bytes", AS_DIGITS},
    {"request_time", "event.duration", AS_DURATION},
    {"rt", "event.duration", AS_DURATION},
    {"request_method", "http.request.method", AS_STRING},
    {"server_protocol", "http.version", AS_VERSION},
    {"http_referer", "http.request.referrer", AS_STRING},
    {"http_user_agent", "user_agent.original", AS_STRING},
    {"http_x_forwarded_for", "nginx.access.remote_ip_list", AS_FORWARDED},
    {"scheme", "url.scheme", AS_STRING},
    {"host", "url.domain", AS_STRING},
    {"http_host", "url.domain", AS_STRING},
    {"args", "url.query", AS_STRING},
    {"query_string", "url.query", AS_STRING},
    {"uri", "url.path", AS_STRING},
};

static const struct variable *variable_named(struct bytes name)
{
    for (size_t i = 0; i < ARRAY_LEN(variables); i++)
        if (bytes_is(name, variables[i].name))
            return &variables[i];
    return NULL;
}

/* false: the value is not what the name says. */
static bool put_variable(struct format_work *w, const struct variable *v, struct bytes value)
{
    switch (v->how) {
    case AS_DIGITS:
        if (!format_is_digits(value))
            return false;
        format_put_digits(w, v->member, value);
        return true;
    case AS_DURATION:
        return format_put_duration(w, v->member, value);
    case AS_SOURCE:
        put_source(w, value);
        return true;
    case AS_VERSION:
        if (value.n < 6 || memcmp(value.p, "HTTP/", 5) != 0)
            return false;
        format_put_string(w, v->member, behind(value, 5));
        return true;
    case AS_FORWARDED:
        return put_forwarded(w, value);
    default:
        format_put_string(w, v->member, value);
        return true;
    }
}

/* ---- JSON ---- */

/* What two variables of nginx both say is said once, by the one that says more. */
struct seen {
    bool request, request_uri, host;
};

static void look_ahead(const struct json_member *m, size_t n, struct seen *seen)
{
    *seen = (struct seen){.request = false};
    for (size_t i = 0; i < n; i++) {
        seen->request |= bytes_is(m[i].key, "request") && m[i].type == JSON_STRING;
        seen->request_uri |= bytes_is(m[i].key, "request_uri");
        seen->host |= bytes_is(m[i].key, "host");
    }
}

static bool is_said_elsewhere(const struct variable *v, const struct seen *seen)
{
    bool target = seen->request || seen->request_uri;

    return (seen->request && (strcmp(v->member, "http.request.method") == 0 ||
                              strcmp(v->member, "http.version") == 0)) ||
           (target && strcmp(v->member, "url.query") == 0) ||
           (target && strcmp(v->name, "uri") == 0) ||
           (seen->host && strcmp(v->name, "http_host") == 0);
}

static void take_time(struct bytes key, struct bytes value, struct format_result *out)
{
    if (out->has_time)
        return;
    if (bytes_is(key, "time_iso8601"))
        out->has_time = timestamp_parse(value, &out->time_ns);
    else if (bytes_is(key, "time_local"))
        out->has_time = format_time_clf(value, &out->time_ns);
}

/* $msec, 1542963600.123: of the times that nginx can write the exact one, so it wins. */
static bool take_msec(struct bytes key, struct bytes value, struct format_result *out)
{
    int64_t ns;

    if (!bytes_is(key, "msec") || !format_is_decimal(value) || !timestamp_parse_seconds(value, &ns))
        return false;
    out->has_time = true;
    out->time_ns = ns;
    return true;
}

/* The value of a string or number; false for anything else, and for what cannot be unescaped. */
static bool value_of(const struct json_member *m, struct strbuf *room, struct bytes *value)
{
    *value = m->value;
    if (m->type == JSON_NUMBER)
        return true;
    if (m->type != JSON_STRING)
        return false;
    *value = bytes_of(m->value.p + 1, m->value.n - 2);
    if (m->flags & JSON_VALUE_ESCAPED) {
        char *to;
        size_t n;

        strbuf_clear(room);
        to = strbuf_room(room, value->n + 32);
        n = json_unescape(*value, to);
        if (n == SIZE_MAX)
            return false;
        *value = bytes_of(to, n);
    }
    return true;
}

/* One member: under its ECS name, or as it stands. Nothing of one without a value. */
static void put_json(struct format_work *w, const struct json_member *m, const struct seen *seen,
                     struct access *a, struct format_result *out)
{
    const struct variable *v = variable_named(m->key);
    struct bytes value;

    a->has_message |= bytes_is(m->key, "message") || bytes_is(m->key, "msg");
    if (!value_of(m, &w->spare, &value)) {
        format_put_member(w, m->key, m->value);
        return;
    }
    if (take_msec(m->key, value, out))
        return;
    take_time(m->key, value, out);
    if (v ? is_none(value) || is_said_elsewhere(v, seen) : value.n == 0)
        return; /* a variable that is not set is written as "" */
    if (v && put_variable(w, v, value))
        return;
    if (bytes_is(m->key, "request_uri") && seen->request)
        return;
    if (bytes_is(m->key, "request_uri") && value.n)
        put_target(w, value);
    else if (bytes_is(m->key, "request") && m->type == JSON_STRING)
        put_request(w, value, &(struct access){.has_message = false});
    else
        format_put_member(w, m->key, m->value);
}

/* The inside of a string, or a number, as it stands. */
static struct bytes inside(const struct json_member *m)
{
    return m->type == JSON_STRING ? bytes_of(m->value.p + 1, m->value.n - 2) : m->value;
}

/* Method, target and status from the members that have them. */
static void put_json_message(struct format_work *w, const struct json_member *m, size_t n,
                             const struct seen *seen)
{
    const char *target = seen->request ? "request" : seen->request_uri ? "request_uri" : "uri";
    struct access a = {.has_message = false};
    struct bytes version, value;

    for (size_t i = 0; i < n; i++) {
        if (bytes_is(m[i].key, "status"))
            a.status = inside(&m[i]);
        else if (bytes_is(m[i].key, "request_method") && !seen->request)
            a.method = inside(&m[i]);
        else if (bytes_is(m[i].key, target) && value_of(&m[i], &w->spare, &value) &&
                 !(seen->request && split_request(value, &a, &version)))
            a.target = value;
    }
    if (!a.target.n)
        return;
    make_message(w, &a);
    format_put_string(w, "message", strbuf_bytes(&w->message));
}

static bool read_json(struct bytes text, struct format_work *w, struct format_result *out)
{
    struct json_member m[MEMBERS_MAX];
    struct access a = {.has_message = false};
    struct seen seen;
    bool duplicate;
    size_t n;

    if (json_scan(text, m, MEMBERS_MAX, &n, &duplicate) != JSON_OK)
        return false;
    look_ahead(m, n, &seen);
    for (size_t i = 0; i < n; i++)
        put_json(w, &m[i], &seen, &a, out);
    if (!a.has_message)
        put_json_message(w, m, n, &seen);
    return w->json.n > 0;
}

/* ---- the combined format ---- */

/* One field of a line from *at on: to the next blank, or to the closing quote. false at the end. */
static bool next_field(struct bytes line, size_t *at, bool *quoted, struct bytes *field)
{
    size_t begin;

    while (*at < line.n && line.p[*at] == ' ')
        ++*at;
    if (*at >= line.n)
        return false;
    *quoted = line.p[*at] == '"';
    begin = *at += *quoted;
    while (*at < line.n && line.p[*at] != (*quoted ? '"' : ' '))
        ++*at;
    *field = bytes_of(line.p + begin, *at - begin);
    if (*quoted && *at == line.n)
        return false; /* no quote closes it */
    *at += *quoted;
    return true;
}

/* What stands behind the combined format. false: something was not understood. */
static bool put_rest(struct format_work *w, struct bytes line, size_t at)
{
    bool quoted, understood = true, has_id = false;
    struct bytes field;

    while (next_field(line, &at, &quoted, &field)) {
        struct bytes name = before(field, '='), value = behind(field, name.n + 1);
        const struct variable *v;

        if (is_none(field))
            continue;
        if (!quoted && name.n < field.n && name.n > 0 && name.n <= NAME_MAX_BYTES) {
            if (value.n && value.p[0] == '"') { /* name="value with blanks" */
                at -= value.n;
                if (!next_field(line, &at, &quoted, &value))
                    return false;
            }
            v = variable_named(name);
            if (!is_none(value) && (!v || !put_variable(w, v, value)))
                format_put_named(w, name, unescape(value, w));
        } else if (put_forwarded(w, field)) {
            continue;
        } else if (memchr(field.p, '.', field.n) && format_is_decimal(field)) {
            understood &= format_put_duration(w, "event.duration", field);
        } else if (!has_id && !memchr(field.p, ' ', field.n)) {
            format_put_string(w, "http.request.id", unescape(field, w));
            has_id = true;
        } else {
            understood = false;
        }
    }
    return understood && at == line.n;
}

/* $remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer"
 * "$http_user_agent", and what else there is. */
static bool read_access(struct bytes line, struct format_work *w, struct format_result *out)
{
    struct bytes address = before(line, ' '), rest = behind(line, address.n + 1);
    const char *bracket = rest.n ? memmem(rest.p, rest.n, " [", 2) : NULL;
    struct bytes ident, user, time, request, status, bytes, referrer = BYTES_NONE,
                                                            agent = BYTES_NONE;
    struct access a = {.has_message = false};
    size_t at;
    bool quoted;

    if (!bracket || address.n == 0 || line.p[0] == '{')
        return false;
    ident = before(bytes_of(rest.p, (size_t)(bracket - rest.p)), ' ');
    user = behind(bytes_of(rest.p, (size_t)(bracket - rest.p)), ident.n + 1);
    at = (size_t)(bracket + 2 - line.p);
    time = before(behind(line, at), ']');
    at += time.n + 1;
    if (!format_time_clf(time, &out->time_ns) || !next_field(line, &at, &quoted, &request) ||
        !quoted || !next_field(line, &at, &quoted, &status) || status.n != 3 ||
        !format_is_digits(status) || !next_field(line, &at, &quoted, &bytes) ||
        !(is_none(bytes) || format_is_digits(bytes)))
        return false;
    out->has_time = true;
    if (at < line.n && (!next_field(line, &at, &quoted, &referrer) || !quoted ||
                        !next_field(line, &at, &quoted, &agent) || !quoted))
        return false;
    a.status = status;
    request = unescape(request, w);
    put_request(w, request, &a);
    /* The message first: the request may lie where the next value is unescaped. */
    make_message(w, &a);
    put_source(w, address);
    if (!is_none(user))
        format_put_string(w, "user.name", unescape(user, w));
    format_put_digits(w, "http.response.status_code", status);
    if (!is_none(bytes))
        format_put_digits(w, "http.response.body.bytes", bytes);
    if (!is_none(referrer))
        format_put_string(w, "http.request.referrer", unescape(referrer, w));
    if (!is_none(agent))
        format_put_string(w, "user_agent.original", unescape(agent, w));
    if (!put_rest(w, line, at) || !is_none(ident))
        format_put_string(w, "message", line);
    else
        format_put_string(w, "message", strbuf_bytes(&w->message));
    return true;
}

/* ---- the error log ---- */

/* 17#18: of the process and the thread. */
static size_t read_ids(struct bytes s, struct bytes *process, struct bytes *thread)
{
    *process = before(s, '#');
    *thread = before(behind(s, process->n + 1), ':');
    if (!format_is_digits(*process) || !format_is_digits(*thread))
        return 0;
    return process->n + 1 + thread->n + 1;
}

/* The words behind the message, `, client: 10.0.0.7, server: _, request: "GET / HTTP/1.1"`. */
static void put_context(struct format_work *w, struct bytes message)
{
    static const char first[] = ", client: ";
    const char *from = memmem(message.p, message.n, first, sizeof first - 1);
    struct access a = {.has_message = false};
    struct bytes rest;

    if (!from)
        return;
    rest = behind(message, (size_t)(from - message.p));
    while (rest.n > 2 && rest.p[0] == ',' && rest.p[1] == ' ') {
        struct bytes name = before(behind(rest, 2), ':'), value;
        size_t at = 2 + name.n + 1;
        bool quoted;

        if (!next_field(rest, &at, &quoted, &value))
            return;
        if (!quoted && value.n && value.p[value.n - 1] == ',') {
            value.n--;
            at--;
        }
        rest = behind(rest, at);
        if (bytes_is(name, "client"))
            put_source(w, value);
        else if (bytes_is(name, "request"))
            put_request(w, unescape(value, w), &a);
        else if (bytes_is(name, "host"))
            format_put_string(w, "url.domain", unescape(value, w));
        else if (bytes_is(name, "referrer"))
            format_put_string(w, "http.request.referrer", unescape(value, w));
    }
}

/* 2018/11/23 09:00:00 [error] 17#18: *19 message */
static bool read_error(struct bytes line, struct format_work *w, struct format_result *out)
{
    struct bytes level, process, thread, connection, message;
    size_t used, n;

    if (line.n < 24 || line.p[4] != '/' || !format_time_local(line, &used, NULL) ||
        used + 2 >= line.n || line.p[used] != ' ' || line.p[used + 1] != '[')
        return false;
    level = before(behind(line, used + 2), ']');
    message = behind(line, used + 2 + level.n + 2);
    n = read_ids(message, &process, &thread);
    if (n == 0 || level.n == 0 || level.n > 8)
        return false;
    message = behind(message, n);
    while (message.n && message.p[0] == ' ')
        message = behind(message, 1);
    connection = message.n && message.p[0] == '*' ? before(behind(message, 1), ' ') : BYTES_NONE;
    if (w->want_time)
        out->has_time = format_time_local(line, &used, &out->time_ns);
    format_put_string(w, "log.level", level);
    format_put_digits(w, "process.pid", process);
    format_put_digits(w, "process.thread.id", thread);
    if (format_is_digits(connection)) {
        format_put_digits(w, "nginx.error.connection_id", connection);
        message = behind(message, 1 + connection.n + 1);
    }
    format_put_string(w, "message", message);
    put_context(w, message);
    return true;
}

bool format_nginx_read(const struct format *f, struct bytes text, struct format_work *w,
                       struct format_result *out)
{
    (void)f;
    if (text.p[0] == '{')
        return read_json(text, w, out);
    return read_error(text, w, out) || read_access(text, w, out);
}
