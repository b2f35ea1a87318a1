#include "parsers/format_mysql.h"

#include "parsers/format_put.h"
#include "parsers/format_time.h"
#include "parsers/request_id.h"
#include "parsers/timestamp.h"

#include <stdlib.h>

#define NAME_MAX_BYTES 40 /* of what the slow log calls a value */
#define EPOCH_S_MAX 9000000000u
#define NS_PER_S 1000000000

static struct bytes behind(struct bytes s, size_t n)
{
    return n < s.n ? bytes_of(s.p + n, s.n - n) : bytes_of(s.p + s.n, 0);
}

static struct bytes before(struct bytes s, char c)
{
    const char *at = s.n ? memchr(s.p, c, s.n) : NULL;

    return at ? bytes_of(s.p, (size_t)(at - s.p)) : s;
}

static struct bytes trim(struct bytes s)
{
    while (s.n && (unsigned char)s.p[0] <= ' ')
        s = behind(s, 1);
    while (s.n && (unsigned char)s.p[s.n - 1] <= ' ')
        s.n--;
    return s;
}

static bool begins(struct bytes s, const char *with)
{
    return bytes_starts_with(s, bytes_str(with));
}

/* The next line of *text, without its end; none is left when *text is empty. */
static struct bytes next_line(struct bytes *text)
{
    struct bytes line = before(*text, '\n');

    *text = behind(*text, line.n + 1);
    if (line.n && line.p[line.n - 1] == '\r')
        line.n--;
    return line;
}

/* ---- slow queries ---- */

struct slow {
    struct format_work *w;
    struct format_result *out;
    struct bytes explain; /* MariaDB's lines of that name */
    bool has_duration, has_schema, has_thread;
    bool local_time; /* the time is the server's local one */
};

/* root[root] @ localhost [10.0.0.7]  Id:     8 */
static void read_user(struct slow *s, struct bytes line)
{
    struct bytes user = trim(before(line, '[')), account, host, ip, id;
    const char *at = line.n ? memmem(line.p, line.n, "] @ ", 4) : NULL;

    if (!at)
        return;
    account = behind(line, user.n + 1);
    account = before(account, ']');
    line = behind(line, (size_t)(at - line.p) + 4);
    host = trim(before(line, '['));
    line = behind(line, before(line, '[').n + 1);
    ip = before(line, ']');
    line = trim(behind(line, ip.n + 1));
    if (user.n || account.n)
        format_put_string(s->w, "user.name", user.n ? user : account);
    if (host.n)
        format_put_string(s->w, "source.domain", host);
    if (ip.n)
        format_put_string(s->w, "source.ip", ip);
    if (!begins(line, "Id:"))
        return;
    id = trim(behind(line, 3));
    if (format_is_digits(id)) {
        format_put_digits(s->w, "mysql.thread_id", id);
        s->has_thread = true;
    }
}

/* mysql.slowlog.NAME, in lower case. false when name is none. */
static bool member_name(struct bytes name, char to[NAME_MAX_BYTES + 20])
{
    size_t n = strlen(strcpy(to, "mysql.slowlog."));

    if (name.n == 0 || name.n > NAME_MAX_BYTES)
        return false;
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];

        if (c >= 'A' && c <= 'Z')
            c = (char)(c | 0x20);
        else if (c != '_' && (c < 'a' || c > 'z'))
            return false;
        to[n++] = c;
    }
    to[n] = '\0';
    return true;
}

/* One Name: value of a line. */
static void take_value(struct slow *s, struct bytes name, struct bytes value)
{
    char member[NAME_MAX_BYTES + 20];

    if (bytes_is(name, "Query_time")) {
        s->has_duration = format_put_duration(s->w, "event.duration", value);
    } else if (bytes_is(name, "Lock_time") && format_is_decimal(value)) {
        format_put_json(s->w, BYTES_LITERAL("mysql.slowlog.lock_time.sec"), value);
    } else if (bytes_is(name, "Thread_id") && format_is_digits(value)) {
        if (!s->has_thread)
            format_put_digits(s->w, "mysql.thread_id", value);
        s->has_thread = true;
    } else if (bytes_is(name, "QC_hit") || bytes_is(name, "QC_Hit")) {
        format_put_json(s->w, BYTES_LITERAL("mysql.slowlog.query_cache_hit"),
                        bytes_is(value, "Yes") ? BYTES_LITERAL("true") : BYTES_LITERAL("false"));
    } else if (bytes_is(name, "Start") || bytes_is(name, "End")) {
        format_put_string(s->w, name.n == 3 ? "event.end" : "event.start", value);
    } else if (member_name(name, member)) {
        s->has_schema |= bytes_is(name, "Schema");
        if (bytes_is(name, "Schema"))
            format_put_string(s->w, member, value);
        else if (format_is_decimal(value))
            format_put_json(s->w, bytes_str(member), value);
        else if (bytes_is(value, "Yes") || bytes_is(value, "No"))
            format_put_json(s->w, bytes_str(member),
                            value.n == 3 ? BYTES_LITERAL("true") : BYTES_LITERAL("false"));
        else
            format_put_string(s->w, member, value);
    }
}

/* Name: value  Name: value. A value may be missing: what follows is the next name. */
static void read_values(struct slow *s, struct bytes line)
{
    struct bytes name = BYTES_NONE;

    for (line = trim(line); line.n; line = trim(line)) {
        struct bytes word = before(line, ' ');

        line = behind(line, word.n);
        if (word.p[word.n - 1] == ':') {
            name = bytes_of(word.p, word.n - 1);
        } else if (name.n) {
            take_value(s, name, word);
            name = BYTES_NONE;
        }
    }
}

static void read_time(struct slow *s, struct bytes value)
{
    size_t used;

    value = trim(value);
    if (timestamp_parse(value, &s->out->time_ns))
        s->out->has_time = true;
    else if (s->w->want_time)
        s->local_time = s->out->has_time = format_time_local(value, &used, &s->out->time_ns);
}

/* A line that begins with #. false: it is none of the head of an entry. */
static bool read_head(struct slow *s, struct bytes line)
{
    if (begins(line, "# Time:"))
        read_time(s, behind(line, 7));
    else if (begins(line, "# User@Host:"))
        read_user(s, trim(behind(line, 12)));
    else if (begins(line, "# explain:"))
        s->explain =
            s->explain.p ? bytes_of(s->explain.p, (size_t)(line.p + line.n - s->explain.p)) : line;
    else if (begins(line, "# administrator command:"))
        return false;
    else
        read_values(s, behind(line, 1));
    return true;
}

/* SET last_insert_id=7,timestamp=1542963600; when the statement began. It counts where the entry's
 * time is none or a local one: the server's zone need not be ours. */
static void read_set(struct slow *s, struct bytes line)
{
    const char *at = memmem(line.p, line.n, "timestamp=", 10);
    struct bytes seconds = at ? behind(line, (size_t)(at - line.p) + 10) : BYTES_NONE;
    uint64_t v = 0;

    for (size_t i = 0; i < seconds.n && v <= EPOCH_S_MAX; i++) {
        if (seconds.p[i] < '0' || seconds.p[i] > '9')
            break;
        v = 10 * v + (uint64_t)(seconds.p[i] - '0');
    }
    if (v == 0 || v > EPOCH_S_MAX || (s->out->has_time && !s->local_time))
        return;
    s->out->has_time = true;
    s->out->time_ns = (int64_t)v * NS_PER_S;
}

/* use `shop`; */
static void read_use(struct slow *s, struct bytes line)
{
    struct bytes name = trim(behind(line, 4));

    if (name.n && name.p[name.n - 1] == ';')
        name.n--;
    if (name.n >= 2 && name.p[0] == '`' && name.p[name.n - 1] == '`')
        name = bytes_of(name.p + 1, name.n - 2);
    if (name.n && !s->has_schema)
        format_put_string(s->w, "mysql.slowlog.schema", name);
}

/* Of a comment as OpenTelemetry's libraries write it: traceparent='00-…'. */
static void read_trace(struct slow *s, struct bytes statement)
{
    static const char name[] = "traceparent='";
    const char *at = memmem(statement.p, statement.n, name, sizeof name - 1);
    struct bytes trace, span, value;

    if (!at)
        return;
    value = before(behind(statement, (size_t)(at - statement.p) + sizeof name - 1), '\'');
    if (!request_id_traceparent(value, &trace, &span))
        return;
    format_put_string(s->w, "trace.id", trace);
    format_put_string(s->w, "span.id", span);
}

static bool read_slow(struct bytes text, struct format_work *w, struct format_result *out)
{
    struct slow s = {.w = w, .out = out};
    struct bytes rest = text, line;

    while (text = rest, line = next_line(&rest), begins(line, "#"))
        if (!read_head(&s, line))
            break;
    if (!s.has_duration)
        return false;
    for (;;) {
        if (begins(line, "use ") && !memchr(line.p + 4, ' ', line.n - 4))
            read_use(&s, line);
        else if (begins(line, "SET ") && memmem(line.p, line.n, "timestamp=", 10))
            read_set(&s, line);
        else
            break;
        text = rest;
        line = next_line(&rest);
    }
    text = trim(text);
    format_put_string(w, "message", text);
    if (s.explain.n)
        format_put_string(w, "mysql.slowlog.explain", s.explain);
    read_trace(&s, text);
    return true;
}

/* What the server writes when it opens a slow log, one line or all three. */
static bool read_banner(struct bytes text, struct format_work *w)
{
    static const char version[] = ", Version: ", end[] = " started with:";
    struct bytes first = before(text, '\n');

    if (!memmem(first.p, first.n, version, sizeof version - 1) ||
        !memmem(first.p, first.n, end, sizeof end - 1))
        return false;
    format_put_string(w, "log.level", BYTES_LITERAL("info"));
    format_put_string(w, "message", trim(text));
    return true;
}

/* ---- the error log ---- */

/* The time that an entry begins with. Returns its length, 0 when there is none. */
static size_t read_error_time(struct bytes line, const struct format_work *w,
                              struct format_result *out)
{
    struct bytes word = before(line, ' ');
    size_t used;

    if (word.n > 18 && timestamp_parse(word, &out->time_ns)) {
        out->has_time = true;
        return word.n;
    }
    /* The image's own script: 2018-11-23 09:00:00+00:00 */
    if (line.n > 25 && timestamp_parse(bytes_of(line.p, 25), &out->time_ns)) {
        out->has_time = true;
        return 25;
    }
    if (!format_time_local(line, &used, NULL))
        return 0;
    if (w->want_time)
        out->has_time = format_time_local(line, &used, &out->time_ns);
    return used;
}

/* [text] at the beginning of *line, and the blank behind it. */
static bool read_bracket(struct bytes *line, struct bytes *inside)
{
    if (!line->n || line->p[0] != '[')
        return false;
    *inside = before(behind(*line, 1), ']');
    if (inside->n + 2 > line->n)
        return false;
    *line = behind(*line, inside->n + 2);
    while (line->n && line->p[0] == ' ')
        *line = behind(*line, 1);
    return true;
}

/* Notes and what MySQL 8 calls System are what others call info. */
static struct bytes level_of_word(struct bytes word)
{
    return bytes_is(word, "Note") || bytes_is(word, "System") ? BYTES_LITERAL("info") : word;
}

/* Behind the time, if there is one: "09:00:00 UTC - mysqld got signal 11 ;", and what the server
 * reports of its crash. */
static bool read_crash(struct bytes rest, struct format_work *w)
{
    static const char utc[] = "UTC - ";
    struct bytes first = before(rest, '\n');
    const char *at = first.n ? memmem(first.p, first.n, utc, sizeof utc - 1) : NULL;

    if (!at || at - first.p > 9 || !memmem(first.p, first.n, " got ", 5))
        return false;
    format_put_string(w, "log.level", BYTES_LITERAL("ERROR"));
    format_put_string(w, "message", behind(rest, (size_t)(at - rest.p) + sizeof utc - 1));
    return true;
}

/* 2018-11-23T09:00:00.123456Z 0 [Warning] [MY-010068] [Server] message */
static bool read_error(struct bytes text, struct format_work *w, struct format_result *out)
{
    size_t used = read_error_time(text, w, out);
    struct bytes rest = trim(behind(text, used)), thread = before(rest, ' '), level, code, part;

    if (read_crash(rest, w))
        return true;
    if (used == 0)
        return false;
    if (format_is_digits(thread))
        rest = trim(behind(rest, thread.n));
    if (!read_bracket(&rest, &level) || level.n == 0 || level.n > 12)
        return false;
    format_put_string(w, "log.level", level_of_word(level));
    if (format_is_digits(thread))
        format_put_digits(w, "mysql.thread_id", thread);
    if (begins(rest, "[MY-") && read_bracket(&rest, &code)) {
        format_put_string(w, "event.code", code);
        if (read_bracket(&rest, &part))
            format_put_string(w, "event.provider", part);
    }
    format_put_string(w, "message", rest);
    return true;
}

bool format_mysql_read(const struct format *f, struct bytes text, struct format_work *w,
                       struct format_result *out)
{
    (void)f;
    if (text.p[0] == '#')
        return read_slow(text, w, out);
    return read_error(text, w, out) || read_banner(text, w);
}
