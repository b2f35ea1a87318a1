/*
 * A line is made of columns: offset in ms from the first record, whose it is (with several ids),
 * service, level, message; what belongs to a message and stands below it begins where the message
 * does. Text of documents goes through terminal_add, all of it.
 */
#include "agent/commands/trace_view.h"

#include "agent/base/hash.h"
#include "agent/commands/terminal.h"
#include "parsers/timestamp.h"

#include <stdlib.h>
#include <yajl/yajl_tree.h>

#define OFFSET_COLUMNS 10  /* at least */
#define SERVICE_COLUMNS 20 /* at most */
#define LEVEL_COLUMNS 5
#define ID_COLUMNS 8
#define MESSAGE_COLUMNS 24 /* at least, however narrow the terminal is */
#define FOLD_LINES 3       /* so many are shown whole: a fold would save nothing */
#define MS_NS 1000000
#define GAP_MIN_NS (20ll * MS_NS) /* less is no gap to a person */

#define RESET "\x1b[0m"
#define DIM "\x1b[2m"
#define BOLD "\x1b[1m"

/* Colours of the 256 that can be read on black and on white; the levels' red and yellow are not
 * among them. */
static const unsigned char palette[] = {33,  35,  37,  39,  67,  69,  71,  73, 99,
                                        103, 105, 107, 133, 135, 139, 141, 65, 61};

struct service {
    char *name;
    unsigned char color;
    size_t records;
};

struct trace_view {
    struct trace_view_options options;
    char *const *ids;
    size_t n_ids;
    struct service *services;
    size_t n_services;
    size_t offset_columns, service_columns;
    int64_t zero_ns;           /* what offsets count from; TRACE_NO_TIME: not known yet */
    int64_t first_ns, last_ns; /* the earliest and latest of all; TRACE_NO_TIME: none yet */
    int64_t before_ns;         /* the record shown last; TRACE_NO_TIME: none, or without a time */
    int64_t gap_ns;            /* from here on a pause stands out */
    size_t records, errors, warnings;
};

struct trace_view *trace_view_create(const struct trace_view_options *options, char *const *ids,
                                     size_t n_ids)
{
    struct trace_view *v = base_calloc(1, sizeof *v);

    *v = (struct trace_view){.options = *options,
                             .ids = ids,
                             .n_ids = n_ids,
                             .offset_columns = OFFSET_COLUMNS,
                             .zero_ns = TRACE_NO_TIME,
                             .first_ns = TRACE_NO_TIME,
                             .last_ns = TRACE_NO_TIME,
                             .before_ns = TRACE_NO_TIME};
    return v;
}

void trace_view_destroy(struct trace_view *v)
{
    if (!v)
        return;
    for (size_t i = 0; i < v->n_services; i++)
        free(v->services[i].name);
    free(v->services);
    free(v);
}

/* ---- small parts ---- */

static void add_style(const struct trace_view *v, struct strbuf *to, const char *style)
{
    if (v->options.color)
        strbuf_add_str(to, style);
}

static void add_blanks(struct strbuf *to, size_t n)
{
    while (n-- > 0)
        strbuf_add_char(to, ' ');
}

/* Text in a column: cut, or filled with blanks. */
static void add_column(struct strbuf *to, struct bytes text, size_t columns)
{
    size_t begin = to->n;

    terminal_add_cut(to, text, columns);
    add_blanks(to,
               columns - MIN(columns, terminal_columns(bytes_of(to->p + begin, to->n - begin))));
}

/* Thousands apart: 1,234,567. */
static void add_grouped(struct strbuf *to, uint64_t n)
{
    char digits[32];
    struct strbuf text = {0};

    strbuf_printf(&text, "%llu", (unsigned long long)n);
    memcpy(digits, text.p, text.n);
    for (size_t i = 0; i < text.n; i++) {
        if (i > 0 && (text.n - i) % 3 == 0)
            strbuf_add_char(to, ',');
        strbuf_add_char(to, digits[i]);
    }
    strbuf_fini(&text);
}

/* Milliseconds to the microsecond, thousands apart. */
static void add_ms(struct strbuf *to, int64_t ns)
{
    uint64_t us = (uint64_t)(ns < 0 ? -ns : ns) / 1000;

    if (ns < 0)
        strbuf_add_char(to, '-');
    add_grouped(to, us / 1000);
    strbuf_printf(to, ".%03u", (unsigned)(us % 1000));
}

/* A time for a sentence: 40.6 ms, 2.10 s, 3 min 20 s. */
static void add_span(struct strbuf *to, int64_t ns)
{
    double ms = (double)ns / MS_NS;

    if (ms < 999.95)
        strbuf_printf(to, "%.1f ms", ms);
    else if (ms < 59995)
        strbuf_printf(to, "%.2f s", ms / 1000);
    else
        strbuf_printf(to, "%llu min %llu s", (unsigned long long)(ms / 60000),
                      (unsigned long long)(ms / 1000) % 60);
}

static struct bytes field(yajl_val document, const char *path)
{
    return trace_records_text(trace_records_field(document, path));
}

static struct bytes first_field(yajl_val document, const char *const *paths)
{
    struct bytes found = BYTES_NONE;

    for (; *paths && found.n == 0; paths++)
        found = field(document, *paths);
    return found;
}

/* ---- services ---- */

/* Its own colour: always the same for a name, unless another of these services has that already. */
static unsigned char color_for(const struct trace_view *v, const char *name)
{
    size_t at = (size_t)hash_64(0, name, strlen(name)) % ARRAY_LEN(palette);

    for (size_t k = 0; k < ARRAY_LEN(palette); k++) {
        unsigned char color = palette[(at + k) % ARRAY_LEN(palette)];
        bool taken = false;

        for (size_t i = 0; i < v->n_services && !taken; i++)
            taken = v->services[i].color == color;
        if (!taken)
            return color;
    }
    return palette[at];
}

/* The service of a document, remembered from now on. Without a name it is "-". */
static struct service *service_of(struct trace_view *v, yajl_val document)
{
    struct strbuf name = {0};
    struct bytes raw = field(document, "service.name");

    terminal_add(&name, raw.n ? raw : BYTES_LITERAL("-"));
    for (size_t i = 0; i < v->n_services; i++) {
        if (strcmp(v->services[i].name, name.p) == 0) {
            strbuf_fini(&name);
            return &v->services[i];
        }
    }
    v->services = base_realloc(v->services, (v->n_services + 1) * sizeof *v->services);
    v->services[v->n_services] =
        (struct service){.name = base_strdup(name.p), .color = color_for(v, name.p)};
    strbuf_fini(&name);
    return &v->services[v->n_services++];
}

/* ---- what a record says ---- */

struct said {
    struct strbuf message; /* one line */
    struct strbuf below;   /* further lines, each with its line feed */
};

static void said_fini(struct said *s)
{
    strbuf_fini(&s->message);
    strbuf_fini(&s->below);
}

/* Takes the first line off *text; its end, CR or not, is taken too. */
static struct bytes take_line(struct bytes *text)
{
    const char *feed = text->n ? memchr(text->p, '\n', text->n) : NULL;
    size_t n = feed ? (size_t)(feed - text->p) : text->n;
    struct bytes line = bytes_of(text->p, n);

    *text = feed ? bytes_of(feed + 1, text->n - n - 1) : BYTES_NONE;
    if (line.n > 0 && line.p[line.n - 1] == '\r')
        line.n--;
    return line;
}

/* "GET /orders/3 200", as an access log has it in its own fields. */
static bool add_access(yajl_val document, struct strbuf *to)
{
    static const char *const methods[] = {"http.request.method", "method", "request_method", "verb",
                                          NULL};
    static const char *const paths[] = {"url.original", "url.path", "uri", "path",
                                        "request_uri",  "url",      NULL};
    static const char *const statuses[] = {"http.response.status_code", "status", "status_code",
                                           NULL};
    struct bytes method = first_field(document, methods), path = first_field(document, paths),
                 status = first_field(document, statuses);

    if (method.n == 0 || path.n == 0)
        return false;
    terminal_add(to, method);
    strbuf_add_char(to, ' ');
    terminal_add(to, path);
    if (status.n) {
        strbuf_add_char(to, ' ');
        terminal_add(to, status);
    }
    return true;
}

/* Members that say where a record comes from, not what happened. */
static bool is_origin(const char *key)
{
    static const char *const keys[] = {"_id",    "@timestamp", "service", "container", "kubernetes",
                                       "host",   "stream",     "event",   "log",       "tags",
                                       "trace",  "span",       "agent",   "ecs",       "input",
                                       "labels", "barge"};

    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        if (strcmp(key, keys[i]) == 0)
            return true;
    return false;
}

/* name=value of all own members. */
static void add_members(yajl_val object, const char *prefix, struct strbuf *to)
{
    for (size_t i = 0; i < object->u.object.len; i++) {
        const char *key = object->u.object.keys[i];
        yajl_val v = object->u.object.values[i];
        struct bytes text = trace_records_text(v);
        struct strbuf name = {0};

        if (!*prefix && is_origin(key))
            continue;
        strbuf_printf(&name, "%s%s%s", prefix, *prefix ? "." : "", key);
        if (YAJL_IS_OBJECT(v) && strlen(prefix) < 200) {
            add_members(v, name.p, to);
        } else if (strcmp(name.p, "http.request.id") != 0) {
            if (to->n)
                strbuf_add_char(to, ' ');
            terminal_add(to, strbuf_bytes(&name));
            strbuf_add_char(to, '=');
            terminal_add(to, YAJL_IS_TRUE(v)     ? BYTES_LITERAL("true")
                             : YAJL_IS_FALSE(v)  ? BYTES_LITERAL("false")
                             : YAJL_IS_NULL(v)   ? BYTES_LITERAL("null")
                             : YAJL_IS_ARRAY(v)  ? BYTES_LITERAL("[…]")
                             : YAJL_IS_OBJECT(v) ? BYTES_LITERAL("{…}")
                                                 : text);
        }
        strbuf_fini(&name);
    }
}

static bool is_within(struct bytes text, struct bytes part)
{
    return part.n == 0 || (text.n >= part.n && memmem(text.p, text.n, part.p, part.n) != NULL);
}

static void say(yajl_val document, struct said *s)
{
    struct bytes rest = field(document, "message"), message = take_line(&rest),
                 error = field(document, "error.message"),
                 stack = field(document, "error.stack_trace"), error_line;

    terminal_add(&s->message, message);
    if (s->message.n == 0 && !add_access(document, &s->message)) {
        message = error_line = take_line(&error);
        terminal_add(&s->message, error_line);
        if (error_line.n == 0)
            add_members(document, "", &s->message);
    }
    while (error.n > 0) {
        error_line = take_line(&error);
        if (is_within(message, error_line) || is_within(rest, error_line) ||
            is_within(stack, error_line))
            continue;
        terminal_add(&s->below, error_line);
        strbuf_add_char(&s->below, '\n');
    }
    if (is_within(rest, stack))
        stack = BYTES_NONE;
    for (struct bytes *text = &rest; text; text = text == &rest ? &stack : NULL) {
        while (text->n > 0) {
            terminal_add(&s->below, take_line(text));
            strbuf_add_char(&s->below, '\n');
        }
    }
}

/* ---- lines ---- */

/* Where the message begins. */
static size_t message_column(const struct trace_view *v)
{
    return v->offset_columns + 2 + (v->n_ids > 1 ? ID_COLUMNS + 2 : 0) + v->service_columns + 2 +
           LEVEL_COLUMNS + 2;
}

/* Columns that a message has, 0: no limit. */
static size_t message_columns(const struct trace_view *v)
{
    if (v->options.width == 0)
        return 0;
    return MAX(v->options.width - MIN(v->options.width, message_column(v)), MESSAGE_COLUMNS);
}

/* A message or a line below it: cut or wrapped to its column. */
static void add_text(const struct trace_view *v, struct strbuf *to, struct bytes text,
                     const char *style)
{
    size_t columns = message_columns(v);
    bool first = true;

    do {
        struct bytes line = text;

        if (!first)
            add_blanks(to, message_column(v));
        first = false;
        if (columns && v->options.wrap)
            line = terminal_wrap(&text, columns);
        else
            text = BYTES_NONE;
        add_style(v, to, style);
        terminal_add_cut(to, line, columns);
        add_style(v, to, *style ? RESET : "");
        strbuf_add_char(to, '\n');
    } while (text.n > 0);
}

static void add_below(const struct trace_view *v, struct strbuf *to, struct bytes below)
{
    size_t n = 0, shown = SIZE_MAX;
    struct bytes rest = below;

    for (; rest.n > 0; n++)
        take_line(&rest);
    if (!v->options.full && n > FOLD_LINES)
        shown = 1;
    for (size_t i = 0; i < MIN(n, shown); i++) {
        add_blanks(to, message_column(v));
        add_text(v, to, take_line(&below), DIM);
    }
    if (n > shown) {
        struct strbuf more = {0};

        strbuf_add_str(&more, "… ");
        add_grouped(&more, n - shown);
        strbuf_add_str(&more, " more lines");
        add_blanks(to, message_column(v));
        add_text(v, to, strbuf_bytes(&more), DIM);
        strbuf_fini(&more);
    }
}

static const char *level_style(struct bytes level)
{
    if (bytes_is(level, "error") || bytes_is(level, "fatal"))
        return "\x1b[1;31m";
    if (bytes_is(level, "warn"))
        return "\x1b[33m";
    return bytes_is(level, "debug") || bytes_is(level, "trace") ? DIM : "";
}

static void count_level(struct trace_view *v, yajl_val document, struct bytes level)
{
    if (bytes_is(level, "error") || bytes_is(level, "fatal") ||
        (level.n == 0 && trace_records_field(document, "error.message")))
        v->errors++;
    else if (bytes_is(level, "warn"))
        v->warnings++;
}

static void add_offset(const struct trace_view *v, const struct trace_record *r, struct strbuf *to)
{
    struct strbuf text = {0};

    if (r->time_ns == TRACE_NO_TIME)
        strbuf_add_char(&text, '?');
    else
        add_ms(&text, r->time_ns - v->zero_ns);
    add_blanks(to, v->offset_columns - MIN(text.n, v->offset_columns));
    strbuf_add_bytes(to, strbuf_bytes(&text));
    strbuf_fini(&text);
}

static void add_record(struct trace_view *v, const struct trace_record *r, yajl_val document,
                       struct strbuf *to)
{
    struct service *service = service_of(v, document);
    struct bytes raw_level = field(document, "log.level");
    struct strbuf level = {0}, id = {0}, color = {0};
    struct said said = {0};

    v->records++;
    service->records++;
    count_level(v, document, raw_level);
    terminal_add(&level, raw_level.n ? raw_level : BYTES_LITERAL("-"));
    strbuf_printf(&color, "\x1b[38;5;%um", service->color);
    add_offset(v, r, to);
    add_blanks(to, 2);
    if (v->n_ids > 1) {
        terminal_add(&id, bytes_str(v->ids[r->id]));
        add_column(to, strbuf_bytes(&id), ID_COLUMNS);
        add_blanks(to, 2);
    }
    add_style(v, to, color.p);
    add_column(to, bytes_str(service->name), v->service_columns);
    add_style(v, to, RESET);
    add_blanks(to, 2);
    add_style(v, to, level_style(raw_level));
    add_column(to, strbuf_bytes(&level), LEVEL_COLUMNS);
    add_style(v, to, *level_style(raw_level) ? RESET : "");
    add_blanks(to, 2);
    say(document, &said);
    add_text(v, to, strbuf_bytes(&said.message), "");
    add_below(v, to, strbuf_bytes(&said.below));
    said_fini(&said);
    strbuf_fini(&color);
    strbuf_fini(&id);
    strbuf_fini(&level);
}

static void add_gap(const struct trace_view *v, const struct trace_record *r, struct strbuf *to)
{
    int64_t gap;

    if (v->before_ns == TRACE_NO_TIME || r->time_ns == TRACE_NO_TIME)
        return;
    gap = r->time_ns - v->before_ns;
    if (gap < v->gap_ns)
        return;
    add_blanks(to, v->offset_columns + 2);
    add_style(v, to, DIM);
    strbuf_add_str(to, "╌╌ ");
    add_span(to, gap);
    strbuf_add_str(to, " ╌╌");
    add_style(v, to, RESET);
    strbuf_add_char(to, '\n');
}

/* ---- batches ---- */

static void add_heading(struct trace_view *v, struct strbuf *to)
{
    char text[TIMESTAMP_TEXT_MAX];
    struct strbuf line = {0};

    for (size_t i = 0; i < v->n_ids; i++) {
        strbuf_add_str(&line, i ? ", " : "");
        terminal_add(&line, bytes_str(v->ids[i]));
    }
    add_style(v, to, BOLD);
    terminal_add_cut(to, strbuf_bytes(&line), v->options.wrap ? 0 : v->options.width);
    add_style(v, to, RESET);
    strbuf_add_char(to, '\n');
    if (v->zero_ns != TRACE_NO_TIME)
        strbuf_printf(to, "ms from %.*s\n", (int)timestamp_format(v->zero_ns, text), text);
    strbuf_add_char(to, '\n');
    strbuf_fini(&line);
}

/* Widens the columns for what comes. They never become narrower. */
static void measure(struct trace_view *v, const struct trace_record *r, yajl_val document)
{
    const struct service *service = service_of(v, document);
    struct strbuf offset = {0};

    v->service_columns =
        MAX(v->service_columns, MIN(terminal_columns(bytes_str(service->name)), SERVICE_COLUMNS));
    if (r->time_ns != TRACE_NO_TIME)
        add_ms(&offset, r->time_ns - v->zero_ns);
    v->offset_columns = MAX(v->offset_columns, offset.n);
    strbuf_fini(&offset);
}

static yajl_val parse(const struct trace_record *r)
{
    char *text = base_strndup(r->json.p, r->json.n);
    yajl_val document = yajl_tree_parse(text, NULL, 0);

    free(text);
    return document;
}

/* A pause stands out when it takes a fifth of the whole, or is ten times what lies between two
 * records on average. */
static int64_t gap_of(int64_t whole_ns, size_t records)
{
    int64_t parts = MAX((int64_t)records - 1, 50) / 10;

    return MAX(GAP_MIN_NS, whole_ns / parts);
}

static void span_times(struct trace_view *v, struct trace_record *const *records, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int64_t t = records[i]->time_ns;

        if (t == TRACE_NO_TIME)
            continue;
        v->first_ns = v->first_ns == TRACE_NO_TIME ? t : MIN(v->first_ns, t);
        v->last_ns = v->last_ns == TRACE_NO_TIME ? t : MAX(v->last_ns, t);
    }
    /* What comes late and was earlier has an offset below 0: those that were shown stay right. */
    if (v->zero_ns == TRACE_NO_TIME)
        v->zero_ns = v->first_ns;
    v->gap_ns = gap_of(v->last_ns - v->first_ns, v->records + n);
}

void trace_view_add(struct trace_view *v, struct trace_record *const *records, size_t n,
                    struct strbuf *to)
{
    span_times(v, records, n);
    for (size_t i = 0; i < n; i++) {
        yajl_val document = parse(records[i]);

        if (document)
            measure(v, records[i], document);
        yajl_tree_free(document);
    }
    if (v->records == 0 && n > 0)
        add_heading(v, to);
    for (size_t i = 0; i < n; i++) {
        yajl_val document = parse(records[i]);

        if (!document)
            continue;
        add_gap(v, records[i], to);
        add_record(v, records[i], document, to);
        v->before_ns = records[i]->time_ns;
        yajl_tree_free(document);
    }
}

static void add_counted(struct strbuf *to, size_t n, const char *one, const char *more)
{
    add_grouped(to, n);
    strbuf_printf(to, " %s", n == 1 ? one : more);
}

void trace_view_summary(const struct trace_view *v, struct strbuf *to)
{
    struct strbuf line = {0};
    struct bytes rest;

    add_counted(&line, v->n_services, "service", "services");
    for (size_t i = 0; i < v->n_services; i++)
        strbuf_printf(&line, "%s%s", i ? ", " : ": ", v->services[i].name);
    strbuf_add_str(&line, " · ");
    add_span(&line, v->last_ns - v->first_ns);
    strbuf_add_str(&line, " · ");
    add_counted(&line, v->errors, "error", "errors");
    if (v->warnings) {
        strbuf_add_str(&line, ", ");
        add_counted(&line, v->warnings, "warning", "warnings");
    }
    strbuf_add_str(&line, " · ");
    add_counted(&line, v->records, "record", "records");
    strbuf_add_char(to, '\n');
    rest = strbuf_bytes(&line);
    while (rest.n > 0) {
        struct bytes part = rest;

        if (v->options.width)
            part = terminal_wrap(&rest, v->options.width);
        else
            rest = BYTES_NONE;
        add_style(v, to, BOLD);
        strbuf_add_bytes(to, part);
        add_style(v, to, RESET);
        strbuf_add_char(to, '\n');
    }
    strbuf_fini(&line);
}
