/*
 * trace: the records of one request, or of some, over all services. From the output that the
 * configuration names; as a timeline, or as they are kept.
 */
#include "agent/commands/commands.h"

#include "agent/base/clock.h"
#include "agent/commands/terminal.h"
#include "agent/commands/trace_source.h"
#include "agent/commands/trace_view.h"
#include "agent/config/config.h"
#include "agent/config/config_value.h"
#include "parsers/timestamp.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define SINCE "24h"
#define POLL_MS 500u
#define POLL_SHARE 5 /* a look that takes long is followed by a pause of so many times that */
#define WIDTH_MIN 40
#define ID_MAX 1024

struct trace {
    const struct arguments *arguments;
    const struct trace_source_kind *kind;
    void *source;
    struct trace_records records;
    struct trace_view *view; /* NULL: as JSON */
    int64_t since_ns;
    uint64_t quiet_ms; /* 0: no end by itself */
    bool follow, on_terminal, trouble;
};

/* ---- arguments ---- */

/* An instant: RFC 3339, without its offset UTC; a date alone is its midnight. */
static bool parse_instant(const char *text, int64_t *ns)
{
    struct strbuf whole = {0};
    bool ok;

    strbuf_add_str(&whole, text);
    if (whole.n == 10)
        strbuf_add_str(&whole, "T00:00:00");
    else if (whole.n == 16 && strchr("Tt ", text[10]))
        strbuf_add_str(&whole, ":00");
    ok = timestamp_parse(strbuf_bytes(&whole), ns);
    if (!ok) {
        strbuf_add_char(&whole, 'Z');
        ok = timestamp_parse(strbuf_bytes(&whole), ns);
    }
    strbuf_fini(&whole);
    return ok;
}

static int parse_since(const char *text, int64_t *ns, struct error *e)
{
    int64_t now = clock_wall_ns();
    uint64_t ms;
    struct error why;

    if (parse_instant(text, ns))
        return 0;
    if (config_value_duration(text, &ms, &why) < 0 || ms == 0)
        return error_set(e,
                         "--since: \"%.60s\" is neither a duration like 24h or 7d nor a time like "
                         "2018-11-23T09:00:00Z",
                         text);
    *ns = ms < (uint64_t)now / 1000000 ? now - (int64_t)ms * 1000000 : 0;
    return 0;
}

static int parse_width(const char *text, size_t *columns, struct error *e)
{
    uint64_t n;
    struct error why;

    if (config_value_count(text, &n, &why) < 0 || (n != 0 && n < WIDTH_MIN) || n > 10000)
        return error_set(e, "--width: a number of columns from %d on, or 0 for no limit",
                         WIDTH_MIN);
    *columns = (size_t)n;
    return 0;
}

static int parse_quiet(const char *text, uint64_t *ms, struct error *e)
{
    struct error why;

    if (config_value_duration(text, ms, &why) < 0 || *ms == 0)
        return error_set(e, "--quiet: %s", *why.text ? why.text : "a duration above 0");
    return 0;
}

static int check_ids(const struct arguments *a, struct error *e)
{
    for (size_t i = 0; i < a->n_rest; i++)
        if (!*a->rest[i] || strlen(a->rest[i]) > ID_MAX)
            return error_set(e, "an id has 1 to %d bytes", ID_MAX);
    return 0;
}

static int parse(struct trace *t, struct trace_view_options *view, struct error *e)
{
    const struct arguments *a = t->arguments;
    const char *since = commands_option(a, "since"), *width = commands_option(a, "width"),
               *quiet = commands_option(a, "quiet");
    struct terminal terminal = terminal_of(STDOUT_FILENO);

    t->follow = commands_option(a, "follow") != NULL;
    t->on_terminal = terminal.is_one;
    *view = (struct trace_view_options){.width = terminal.width,
                                        .color = terminal.color,
                                        .full = commands_option(a, "full") != NULL,
                                        .wrap = commands_option(a, "wrap") != NULL};
    if (check_ids(a, e) < 0 || parse_since(since ? since : SINCE, &t->since_ns, e) < 0 ||
        (width && parse_width(width, &view->width, e) < 0) ||
        (quiet && parse_quiet(quiet, &t->quiet_ms, e) < 0))
        return -1;
    if (quiet && !t->follow)
        return error_set(e, "--quiet says when --follow ends, and --follow was not given");
    return 0;
}

/* ---- showing ---- */

/* What a terminal would act on is written as JSON's \uXXXX there, which says the same. */
static void add_json(const struct trace *t, struct bytes json, struct strbuf *to)
{
    if (!t->on_terminal) {
        strbuf_add_bytes(to, json);
        return;
    }
    for (size_t i = 0; i < json.n; i++) {
        unsigned char c = (unsigned char)json.p[i];
        unsigned char next = i + 1 < json.n ? (unsigned char)json.p[i + 1] : 0;

        if (c == 0x7F) {
            strbuf_add_str(to, "\\u007f");
        } else if (c == 0xC2 && next < 0xA0 && next >= 0x80) {
            strbuf_printf(to, "\\u%04x", next);
            i++;
        } else {
            strbuf_add_char(to, (char)c);
        }
    }
}

/* Writes what has not been shown yet. Returns the number of these records; -1 when nobody reads. */
static long show(struct trace *t)
{
    struct trace_record **fresh = base_calloc(t->records.n + 1, sizeof(struct trace_record *));
    struct strbuf text = {0};
    size_t n = 0;
    bool ok;

    trace_records_sort(&t->records);
    for (size_t i = 0; i < t->records.n; i++) {
        if (t->records.list[i]->shown)
            continue;
        t->records.list[i]->shown = true;
        fresh[n++] = t->records.list[i];
    }
    if (t->view)
        trace_view_add(t->view, fresh, n, &text);
    for (size_t i = 0; i < n && !t->view; i++) {
        add_json(t, fresh[i]->json, &text);
        strbuf_add_char(&text, '\n');
    }
    free(fresh);
    ok = fwrite(text.n ? text.p : "", 1, text.n, stdout) == text.n && fflush(stdout) == 0;
    strbuf_fini(&text);
    return ok ? (long)n : -1;
}

static void show_summary(const struct trace *t)
{
    struct strbuf text = {0};

    if (!t->view || t->records.n == 0)
        return;
    trace_view_summary(t->view, &text);
    fwrite(text.p, 1, text.n, stdout);
    strbuf_fini(&text);
}

static bool was_found(const struct trace *t, size_t id)
{
    for (size_t i = 0; i < t->records.n; i++)
        if (t->records.list[i]->id == id)
            return true;
    return false;
}

/* Says what was not found, where it was looked for and what to look at. */
static void print_not_found(const struct trace *t, const char *ids)
{
    char since[TIMESTAMP_TEXT_MAX];
    struct strbuf text = {0};
    struct bytes rest;
    const char *since_option = commands_option(t->arguments, "since");

    strbuf_printf(&text, "barge: no record of %s since %.*s", ids,
                  (int)timestamp_format(t->since_ns / 1000000000 * 1000000000, since), since);
    if (!since_option || !parse_instant(since_option, &(int64_t){0}))
        strbuf_printf(&text, " (%s back)", since_option ? since_option : SINCE);
    strbuf_add_str(&text, "\nlooked ");
    t->kind->where(t->source, &text);
    strbuf_add_str(&text, "\ncheck:\n");
    t->kind->advice(t->source, &text);
    if (text.n > 0)
        strbuf_add_str(&text, "is the id whole, and written as it stands in http.request.id or "
                              "trace.id, capitals too?\n"
                              "did it happen earlier? a longer --since looks further back\n"
                              "has it arrived? `barge status` shows what waits, and whether the "
                              "output takes it\n");
    rest = strbuf_bytes(&text);
    for (bool below = false; rest.n > 0;) {
        const char *feed = memchr(rest.p, '\n', rest.n);
        struct bytes line = bytes_of(rest.p, feed ? (size_t)(feed - rest.p) : rest.n);
        struct strbuf shown = {0};

        rest = bytes_of(line.p + line.n + 1, rest.n - MIN(rest.n, line.n + 1));
        terminal_add(&shown, line);
        fprintf(stderr, "%s%.*s\n", below ? "  " : "", (int)shown.n, shown.n ? shown.p : "");
        below = below || bytes_is(line, "check:");
        strbuf_fini(&shown);
    }
    strbuf_fini(&text);
}

/* The exit status, after what is to be said on standard error. */
static int conclude(const struct trace *t)
{
    struct strbuf missing = {0};
    int status = t->trouble ? EXIT_FAILED : EXIT_DONE;

    for (size_t i = 0; i < t->arguments->n_rest; i++) {
        if (was_found(t, i))
            continue;
        strbuf_add_str(&missing, missing.n ? ", " : "");
        strbuf_add_str(&missing, t->arguments->rest[i]);
    }
    if (missing.n && !t->trouble) {
        print_not_found(t, missing.p);
        status = EXIT_FAILED;
    }
    if (t->records.full) {
        fprintf(stderr,
                "barge: there is more than %u records or %llu MiB of them; the rest is left out: "
                "a later --since narrows it\n",
                TRACE_MAX_RECORDS, TRACE_MAX_BYTES >> 20);
        status = EXIT_FAILED;
    }
    if (t->kind->incomplete(t->source)) {
        fprintf(stderr, "barge: some shards did not answer, so records may be missing here\n");
        status = EXIT_FAILED;
    }
    strbuf_fini(&missing);
    return status;
}

/* ---- asking ---- */

static volatile sig_atomic_t stopped;

static void on_signal(int number)
{
    (void)number;
    stopped = 1;
}

/* The first one ends what is followed, with its summary; the second one the program. */
static void catch_signals(void)
{
    struct sigaction act = {.sa_handler = on_signal, .sa_flags = SA_RESETHAND};

    sigaction(SIGINT, &act, NULL);
    sigaction(SIGTERM, &act, NULL);
}

static void wait_ms(uint64_t ms)
{
    struct timespec left = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};

    if (!stopped)
        nanosleep(&left, NULL);
}

static void print_error(const struct error *e)
{
    struct strbuf shown = {0};

    terminal_add(&shown, bytes_str(e->text));
    fprintf(stderr, "barge: %.*s\n", (int)shown.n, shown.n ? shown.p : "");
    strbuf_fini(&shown);
}

/* Looks again and again. A node that is away for a while is said once and asked on. */
static void follow(struct trace *t)
{
    uint64_t last_ms = clock_mono_ms();
    struct error e;

    while (!stopped && !t->records.full) {
        uint64_t begun_ms = clock_mono_ms(), took_ms;
        bool failed = t->kind->read(t->source, &t->records, &e) < 0;
        long n;

        if (failed && !t->trouble)
            print_error(&e);
        t->trouble = failed;
        n = show(t);
        if (n < 0)
            return;
        if (n > 0)
            last_ms = clock_mono_ms();
        if (t->quiet_ms && clock_mono_ms() - last_ms >= t->quiet_ms)
            return;
        took_ms = clock_mono_ms() - begun_ms;
        wait_ms(MIN(MAX(POLL_MS, POLL_SHARE * took_ms), t->quiet_ms ? t->quiet_ms : UINT64_MAX));
    }
}

static void look(struct trace *t)
{
    struct error e;

    if (t->kind->read(t->source, &t->records, &e) < 0) {
        print_error(&e);
        t->trouble = true;
    }
    show(t);
}

static int trace(struct trace *t, const struct config *c, const struct trace_view_options *view)
{
    const struct arguments *a = t->arguments;
    struct error e;
    int status;

    t->kind = c->output_kind == OUTPUT_FILE ? &trace_source_file : &trace_source_elasticsearch;
    t->source = t->kind->open(c, a->rest, a->n_rest, t->since_ns, &e);
    if (!t->source) {
        print_error(&e);
        return EXIT_FAILED;
    }
    trace_records_init(&t->records, a->rest, a->n_rest, t->since_ns);
    if (!commands_option(a, "json"))
        t->view = trace_view_create(view, a->rest, a->n_rest);
    if (t->follow) {
        catch_signals();
        follow(t);
    } else {
        look(t);
    }
    show_summary(t);
    status = conclude(t);
    trace_view_destroy(t->view);
    trace_records_fini(&t->records);
    t->kind->close(t->source);
    return status;
}

int command_trace(const struct arguments *a)
{
    struct trace t = {.arguments = a};
    struct trace_view_options view;
    struct config *c;
    struct error e;
    int status;

    if (parse(&t, &view, &e) < 0)
        return commands_wrong_use("trace", e.text, "");
    c = commands_load(a);
    if (!c)
        return EXIT_WRONG;
    status = trace(&t, c, &view);
    config_free(c);
    return status;
}
