#include "agent/commands/status_view.h"

#include "agent/commands/terminal.h"

#include <stdio.h>
#include <stdlib.h>
#include <yajl/yajl_tree.h>

#define RESET "\x1b[0m"
#define DIM "\x1b[2m"
#define BOLD "\x1b[1m"
#define RED "\x1b[31m"
#define YELLOW "\x1b[33m"

#define BAR_COLUMNS 20
#define NAME_COLUMNS 11 /* of an input, with a blank */
#define SERVICES_SHOWN 8

/* ---- figures by path ---- */

static yajl_val at_path(yajl_val root, const char *path)
{
    yajl_val v = root;

    while (v && *path) {
        size_t n = strcspn(path, "."), i = 0;

        if (!YAJL_IS_OBJECT(v))
            return NULL;
        while (i < v->u.object.len &&
               (strncmp(v->u.object.keys[i], path, n) != 0 || v->u.object.keys[i][n] != '\0'))
            i++;
        v = i < v->u.object.len ? v->u.object.values[i] : NULL;
        path += n + (path[n] == '.');
    }
    return v;
}

static uint64_t number_at(yajl_val root, const char *path)
{
    yajl_val v = at_path(root, path);

    return v && YAJL_IS_INTEGER(v) && YAJL_GET_INTEGER(v) > 0 ? (uint64_t)YAJL_GET_INTEGER(v) : 0;
}

/* Texts come from other machines: nothing in them may act on a terminal. */
static void add_text(struct strbuf *to, yajl_val v)
{
    const char *text = YAJL_GET_STRING(v);

    terminal_add(to, bytes_str(text ? text : ""));
}

static bool has_text(yajl_val root, const char *path)
{
    const char *text = YAJL_GET_STRING(at_path(root, path));

    return text && *text;
}

/* ---- numbers for a person ---- */

/* Thousands apart: 1,234,567. */
static void add_grouped(struct strbuf *to, uint64_t n)
{
    char digits[32];
    int len = snprintf(digits, sizeof digits, "%llu", (unsigned long long)n);

    for (int i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0)
            strbuf_add_char(to, ',');
        strbuf_add_char(to, digits[i]);
    }
}

static void add_bytes(struct strbuf *to, uint64_t n)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double v = (double)n;
    size_t u = 0;

    while (v >= 1024 && u + 1 < ARRAY_LEN(units)) {
        v /= 1024;
        u++;
    }
    strbuf_printf(to, u && v < 100 ? "%.1f %s" : "%.0f %s", v, units[u]);
}

static void add_seconds(struct strbuf *to, uint64_t s)
{
    unsigned long long d = s / 86400, h = s / 3600 % 24, m = s / 60 % 60;

    if (d)
        strbuf_printf(to, "%llu d %llu h", d, h);
    else if (h)
        strbuf_printf(to, "%llu h %llu min", h, m);
    else if (m)
        strbuf_printf(to, "%llu min %llu s", m, (unsigned long long)s % 60);
    else
        strbuf_printf(to, "%llu s", (unsigned long long)s);
}

static void add_number(struct strbuf *to, const char *name, uint64_t n)
{
    size_t len = strlen(name);

    if (len >= 5 && strcmp(name + len - 5, "bytes") == 0)
        add_bytes(to, n);
    else if (len >= 2 && strcmp(name + len - 2, "_s") == 0)
        add_seconds(to, n);
    else
        add_grouped(to, n);
}

/* ---- lines ---- */

struct view {
    const struct status_view_options *options;
    yajl_val now, before; /* before: NULL when there are no rates */
    double seconds;
    struct strbuf *to;
    struct strbuf line; /* the one that is made */
};

/* Ends the line that was made: cut to the width, in this style. */
static void end_line(struct view *v, const char *style)
{
    if (v->options->color)
        strbuf_add_str(v->to, style);
    terminal_add_cut(v->to, strbuf_bytes(&v->line), v->options->width);
    if (v->options->color && *style)
        strbuf_add_str(v->to, RESET);
    strbuf_add_char(v->to, '\n');
    strbuf_clear(&v->line);
}

/* Blanks up to a column, at least one. */
static void fill(struct view *v, size_t column)
{
    size_t n = terminal_columns(strbuf_bytes(&v->line));

    do
        strbuf_add_char(&v->line, ' ');
    while (++n < column);
}

/* What add wrote, at the right end of a column of this width. */
static void add_right(struct view *v, const struct strbuf *text, size_t columns)
{
    strbuf_printf(&v->line, " %*.*s", (int)columns, (int)text->n, text->n ? text->p : "");
}

/* By how much a counter rose a second; -1: not known. */
static double rate_of(const struct view *v, const char *path)
{
    uint64_t now = number_at(v->now, path);

    if (!v->before || number_at(v->before, path) > now)
        return -1;
    return (double)(now - number_at(v->before, path)) / v->seconds;
}

/* Figures that are 0 while all is well, and what to do when they are not. */
static const struct {
    const char *path, *says;
} troubles[] = {
    {"buffer.full", "the buffer is full: files wait, datagrams are dropped; is the output slow, or "
                    "buffer.max_size too small?"},
    {"ledger.dropped.buffer_full", "dropped because the buffer was full"},
    {"ledger.dropped.damaged", "lost to damage on disk"},
    {"ledger.dropped.too_large", "dropped because no document may be that large"},
    {"ledger.dropped.invalid", "dropped because they were no GELF messages"},
    {"inputs.gelf.kernel_dropped",
     "datagrams dropped by the kernel; raise net.core.rmem_max and inputs.gelf.receive_buffer"},
    {"inputs.gelf.evicted", "chunked messages given up; raise inputs.gelf.max_pending"},
    {"inputs.docker.unreadable",
     "containers whose logs cannot be read here (another log driver, or no right to)"},
    {"inputs.docker.let_go_bytes", "of unread log given up; raise inputs.docker.max_held"},
    {"inputs.docker.missed_files",
     "log files gone before they were read to the end; let Docker keep more (max-file)"},
    {"inputs.kubernetes.unreadable", "pods' logs that barge has no right to read"},
    {"inputs.kubernetes.let_go_bytes", "of unread pods' logs given up beyond 1GiB"},
    {"inputs.kubernetes.missed_files",
     "pods' log files gone before they were read to the end; let the kubelet keep more "
     "(containerLogMaxFiles)"},
    {"inputs.files.unreadable", "log files that barge has no right to read"},
    {"inputs.files.let_go_bytes", "of unread log files given up beyond 1GiB"},
    {"inputs.files.missed_files",
     "log files gone before they were read to the end; keep more rotated ones"},
    {"output.parked", "records of indices that accept nothing are kept under dead-letters/parked"},
    {"dead_letters.bytes",
     "of refused records kept under dead-letters; mend the cause, then `barge replay`"},
};

static void add_troubles(struct view *v)
{
    const char *breaker = YAJL_GET_STRING(at_path(v->now, "output.breaker"));

    if (breaker && *breaker && strcmp(breaker, "closed") != 0) {
        strbuf_add_str(&v->line, "! the output does not take records (breaker ");
        add_text(&v->line, at_path(v->now, "output.breaker"));
        strbuf_add_char(&v->line, ')');
        if (has_text(v->now, "output.last_error")) {
            strbuf_add_str(&v->line, ": ");
            add_text(&v->line, at_path(v->now, "output.last_error"));
        }
        end_line(v, RED);
    }
    for (size_t i = 0; i < ARRAY_LEN(troubles); i++) {
        const char *path = troubles[i].path;
        uint64_t value = number_at(v->now, path);

        if (!value)
            continue;
        strbuf_add_str(&v->line, "! ");
        if (strcmp(path, "buffer.full") != 0) {
            add_number(&v->line, path, value);
            strbuf_add_char(&v->line, ' ');
        }
        strbuf_add_str(&v->line, troubles[i].says);
        end_line(v, YELLOW);
    }
}

/* ---- at a glance ---- */

static void add_rate(struct view *v, double rate, bool bytes, size_t columns)
{
    struct strbuf text = {0};

    if (rate < 0) {
        strbuf_add_char(&text, '-');
    } else if (bytes) {
        add_bytes(&text, (uint64_t)rate);
    } else {
        add_grouped(&text, (uint64_t)(rate + 0.5));
    }
    add_right(v, &text, columns);
    strbuf_fini(&text);
}

/* name, records a second, bytes a second, records in all. */
static void add_flow(struct view *v, const char *name, const char *records, const char *bytes)
{
    struct strbuf total = {0};

    strbuf_add_str(&v->line, name);
    fill(v, NAME_COLUMNS);
    if (v->before) {
        add_rate(v, rate_of(v, records), false, 12);
        if (bytes)
            add_rate(v, rate_of(v, bytes), true, 12);
        else
            strbuf_printf(&v->line, " %12s", "");
    }
    add_grouped(&total, number_at(v->now, records));
    add_right(v, &total, 16);
    strbuf_add_str(&v->line, "  ");
    strbuf_fini(&total);
}

/* ", lag 3.2 MiB": a figure by its name behind it, when it is there. */
static void add_figure(struct view *v, yajl_val of, const char *path, const char *before,
                       const char *after, bool also_zero)
{
    size_t n = v->line.n;

    if (!at_path(of, path) || (!also_zero && number_at(of, path) == 0))
        return;
    if (n < 2 || v->line.p[n - 1] != ' ' || v->line.p[n - 2] != ' ')
        strbuf_add_str(&v->line, ", ");
    strbuf_add_str(&v->line, before);
    add_number(&v->line, path, number_at(of, path));
    strbuf_add_str(&v->line, after);
}

/* Whatever inputs there are: what counts their records is called lines or messages. */
static void add_input(struct view *v, const char *name, yajl_val input)
{
    const char *records = at_path(input, "lines") ? "lines" : "messages";
    struct strbuf path = {0}, bytes = {0};

    if (!YAJL_IS_OBJECT(input) || !at_path(input, records))
        return;
    strbuf_printf(&path, "inputs.%s.%s", name, records);
    strbuf_printf(&bytes, "inputs.%s.bytes", name);
    add_flow(v, name, path.p, bytes.p);
    add_figure(v, input, "lag_bytes", "lag ", "", true);
    add_figure(v, input, "containers", "containers ", "", true);
    add_figure(v, input, "held_bytes", "held ", "", false);
    add_figure(v, input, "unreadable", "", " unreadable", false);
    add_figure(v, input, "kernel_dropped", "", " dropped by the kernel", true);
    add_figure(v, input, "incomplete", "", " incomplete", false);
    add_figure(v, input, "connections", "streams ", "", false);
    end_line(v, "");
    strbuf_fini(&path);
    strbuf_fini(&bytes);
}

static void add_flows(struct view *v)
{
    yajl_val inputs = at_path(v->now, "inputs");

    if (v->before)
        strbuf_printf(&v->line, "%*s %12s %12s %16s", NAME_COLUMNS, "", "records/s", "bytes/s",
                      "records");
    else
        strbuf_printf(&v->line, "%*s %16s", NAME_COLUMNS, "", "records");
    end_line(v, DIM);
    for (size_t i = 0; YAJL_IS_OBJECT(inputs) && i < inputs->u.object.len; i++)
        add_input(v, inputs->u.object.keys[i], inputs->u.object.values[i]);
    add_flow(v, "delivered", "ledger.delivered", "output.bytes");
    add_figure(v, v->now, "ledger.buffered", "", " on their way", true);
    add_figure(v, v->now, "ledger.duplicate", "", " there already", false);
    add_figure(v, v->now, "ledger.dead_lettered", "", " dead letters", false);
    end_line(v, "");
}

struct service {
    const char *name;
    yajl_val now;
    double records, bytes; /* a second; -1: not known */
};

/* What a service had before, or NULL. */
static yajl_val service_before(const struct view *v, const char *name)
{
    yajl_val list = at_path(v->before, "services");

    for (size_t i = 0; YAJL_IS_ARRAY(list) && i < list->u.array.len; i++) {
        const char *its = YAJL_GET_STRING(at_path(list->u.array.values[i], "name"));

        if (its && strcmp(its, name) == 0)
            return list->u.array.values[i];
    }
    return NULL;
}

static double service_rate(const struct view *v, const struct service *s, const char *path)
{
    yajl_val before = service_before(v, s->name);
    uint64_t now = number_at(s->now, path), was = number_at(before, path);

    return before && was <= now ? (double)(now - was) / v->seconds : -1;
}

/* The busiest first; where rates are not known, those with the most records. */
static int by_rate(const void *a, const void *b)
{
    const struct service *x = a, *y = b;

    if (x->records != y->records)
        return x->records < y->records ? 1 : -1;
    return strcmp(x->name, y->name);
}

static void add_service(struct view *v, const struct service *s)
{
    struct strbuf total = {0};

    strbuf_add_str(&v->line, "  ");
    if (v->before) {
        add_rate(v, s->records, false, NAME_COLUMNS + 10);
        add_rate(v, s->bytes, true, 12);
    }
    add_grouped(&total, number_at(s->now, "records"));
    add_right(v, &total, v->before ? 16 : NAME_COLUMNS + 14);
    strbuf_add_str(&v->line, "  ");
    terminal_add(&v->line, bytes_str(s->name));
    end_line(v, "");
    strbuf_fini(&total);
}

static void add_services(struct view *v)
{
    yajl_val list = at_path(v->now, "services");
    size_t n = YAJL_IS_ARRAY(list) ? list->u.array.len : 0, shown = 0;
    struct service *services = base_calloc(n + 1, sizeof *services);

    for (size_t i = 0; i < n; i++) {
        struct service *s = &services[shown];

        s->now = list->u.array.values[i];
        s->name = YAJL_GET_STRING(at_path(s->now, "name"));
        if (!s->name)
            continue;
        s->records = v->before ? service_rate(v, s, "records") : 0;
        s->bytes = v->before ? service_rate(v, s, "bytes") : 0;
        shown++;
    }
    if (v->before)
        qsort(services, shown, sizeof *services, by_rate);
    if (shown) {
        strbuf_add_str(&v->line, "services");
        end_line(v, DIM);
    }
    for (size_t i = 0; i < MIN(shown, (size_t)SERVICES_SHOWN); i++)
        add_service(v, &services[i]);
    free(services);
}

/* A bar of what is used: eighths of a column would be finer than anybody looks. */
static void add_buffer(struct view *v)
{
    uint64_t bytes = number_at(v->now, "buffer.bytes"), max = number_at(v->now, "buffer.max_bytes");
    uint64_t percent = max ? MIN(bytes * 100 / max, 100u) : 0;

    strbuf_add_str(&v->line, "buffer");
    fill(v, 11);
    for (uint64_t i = 0; i < BAR_COLUMNS; i++)
        strbuf_add_str(&v->line, i < (percent * BAR_COLUMNS + 50) / 100 ? "█" : "░");
    strbuf_printf(&v->line, " %llu %% of ", (unsigned long long)percent);
    add_bytes(&v->line, max);
    strbuf_add_str(&v->line, "  ");
    add_figure(v, v->now, "ledger.buffered", "", " records", true);
    add_figure(v, v->now, "buffer.oldest_age_s", "oldest ", "",
               number_at(v->now, "ledger.buffered"));
    end_line(v, percent >= 95 ? RED : percent >= 75 ? YELLOW : "");
}

static void add_output(struct view *v)
{
    const char *breaker = YAJL_GET_STRING(at_path(v->now, "output.breaker"));
    bool closed = breaker && strcmp(breaker, "closed") == 0;
    double rate = rate_of(v, "output.requests");

    strbuf_add_str(&v->line, "output");
    fill(v, 11);
    strbuf_add_str(&v->line, "breaker ");
    add_text(&v->line, at_path(v->now, "output.breaker"));
    strbuf_add_str(&v->line, "  ");
    add_figure(v, v->now, "output.in_flight", "", "", true);
    strbuf_printf(&v->line, " of %llu requests under way",
                  (unsigned long long)number_at(v->now, "output.concurrency"));
    if (rate >= 0)
        strbuf_printf(&v->line, ", %.1f/s", rate);
    if (number_at(v->now, "output.latency_ms"))
        strbuf_printf(&v->line, ", %llu ms each",
                      (unsigned long long)number_at(v->now, "output.latency_ms"));
    add_figure(v, v->now, "output.retries", "", " records sent again", false);
    add_figure(v, v->now, "output.parked", "", " parked", false);
    end_line(v, closed ? "" : RED);
    if (has_text(v->now, "output.hosts")) {
        fill(v, 11);
        add_text(&v->line, at_path(v->now, "output.hosts"));
        end_line(v, "");
    }
}

static void add_drops(struct view *v)
{
    yajl_val dropped = at_path(v->now, "ledger.dropped");
    uint64_t all = 0;

    strbuf_add_str(&v->line, "dropped");
    fill(v, 11);
    for (size_t i = 0; YAJL_IS_OBJECT(dropped) && i < dropped->u.object.len; i++) {
        uint64_t n = number_at(dropped, dropped->u.object.keys[i]);

        if (n == 0)
            continue;
        strbuf_add_str(&v->line, all ? ", " : "");
        add_grouped(&v->line, n);
        strbuf_add_char(&v->line, ' ');
        terminal_add(&v->line, bytes_str(dropped->u.object.keys[i]));
        all += n;
    }
    if (all == 0)
        strbuf_add_str(&v->line, "nothing");
    end_line(v, all ? YELLOW : "");
    if (has_text(v->now, "output.last_error")) {
        strbuf_add_str(&v->line, "last error");
        fill(v, 11);
        add_text(&v->line, at_path(v->now, "output.last_error"));
        end_line(v, DIM);
    }
}

int status_view_add(const char *now, const char *before, double seconds,
                    const struct status_view_options *options, struct strbuf *to, struct error *e)
{
    struct view v = {.options = options, .seconds = seconds, .to = to};
    char why[256] = "";

    v.now = yajl_tree_parse(now, why, sizeof why);
    if (!YAJL_IS_OBJECT(v.now) || !at_path(v.now, "ledger")) {
        yajl_tree_free(v.now);
        return error_set(e, "what answers is no barge%s%s", *why ? ": " : "", why);
    }
    v.before = before && seconds > 0 ? yajl_tree_parse(before, NULL, 0) : NULL;
    if (v.before && number_at(v.before, "uptime_s") > number_at(v.now, "uptime_s")) {
        yajl_tree_free(v.before); /* another life: its counters began anew */
        v.before = NULL;
    }
    strbuf_add_str(&v.line, "barge ");
    add_text(&v.line, at_path(v.now, "version"));
    strbuf_add_str(&v.line, ", up ");
    add_seconds(&v.line, number_at(v.now, "uptime_s"));
    end_line(&v, BOLD);
    add_troubles(&v);
    end_line(&v, "");
    add_flows(&v);
    add_services(&v);
    end_line(&v, "");
    add_buffer(&v);
    add_output(&v);
    add_drops(&v);
    strbuf_fini(&v.line);
    yajl_tree_free(v.before);
    yajl_tree_free(v.now);
    return 0;
}

/* ---- everything ---- */

static void add_value(struct strbuf *to, const char *name, yajl_val value, int indent)
{
    struct strbuf text = {0};

    if (YAJL_IS_INTEGER(value) && YAJL_GET_INTEGER(value) >= 0)
        add_number(&text, name, (uint64_t)YAJL_GET_INTEGER(value));
    else if (YAJL_IS_NUMBER(value))
        strbuf_add_str(&text, YAJL_GET_NUMBER(value));
    else if (YAJL_IS_STRING(value))
        add_text(&text, value);
    else
        strbuf_add_str(&text, "?");
    if (YAJL_IS_STRING(value))
        strbuf_printf(to, "%*s%-*s %s\n", indent, "", 28 - indent, name, text.n ? text.p : "-");
    else
        strbuf_printf(to, "%*s%-*s %16s\n", indent, "", 28 - indent, name, text.p);
    strbuf_fini(&text);
}

static void add_object(struct strbuf *to, yajl_val object, int indent)
{
    for (size_t i = 0; i < object->u.object.len; i++) {
        const char *name = object->u.object.keys[i];
        yajl_val value = object->u.object.values[i];

        if (!YAJL_IS_OBJECT(value) && !YAJL_IS_ARRAY(value)) {
            add_value(to, name, value, indent);
            continue;
        }
        strbuf_printf(to, "%s%*s%s\n", indent ? "" : "\n", indent, "", name);
        if (YAJL_IS_OBJECT(value))
            add_object(to, value, indent + 2);
        for (size_t k = 0; YAJL_IS_ARRAY(value) && k < value->u.array.len; k++)
            if (YAJL_IS_OBJECT(value->u.array.values[k]))
                add_object(to, value->u.array.values[k], indent + 2);
    }
}

void status_view_add_all(const char *now, struct strbuf *to)
{
    yajl_val root = yajl_tree_parse(now, NULL, 0);

    if (YAJL_IS_OBJECT(root))
        add_object(to, root, 0);
    yajl_tree_free(root);
}
