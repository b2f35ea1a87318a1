/* The figures of base/metrics as Prometheus text and as nested JSON. */
#include "agent/status/status.h"

#include "agent/base/metrics.h"
#include "agent/base/tally.h"
#include "agent/base/version.h"

#include <stdlib.h>

/* ---- Prometheus text format 0.0.4 ---- */

static void add_metric_name(struct strbuf *to, const struct metric_info *m)
{
    strbuf_add_str(to, "barge_");
    for (const char *p = m->path; *p; p++)
        strbuf_add_char(to, *p == '.' ? '_' : *p);
    if (m->kind == METRIC_COUNTER)
        strbuf_add_str(to, "_total");
}

static void add_sample(struct strbuf *to, const struct metric_info *m, uint64_t value)
{
    struct strbuf name = {0};

    add_metric_name(&name, m);
    strbuf_printf(to, "# HELP %s %s\n# TYPE %s %s\n%s %llu\n", name.p, m->help, name.p,
                  m->kind == METRIC_COUNTER ? "counter" : "gauge", name.p,
                  (unsigned long long)value);
    strbuf_fini(&name);
}

void status_render_metrics(struct strbuf *to, uint64_t uptime_s)
{
    static const struct metric_info uptime = {METRIC_GAUGE, "uptime_s",
                                              "seconds since the agent started"};

    strbuf_add_str(to, "# HELP barge_build_info what this agent is, always 1\n"
                       "# TYPE barge_build_info gauge\n"
                       "barge_build_info{version=\"" BARGE_VERSION "\"} 1\n");
    add_sample(to, &uptime, uptime_s);
    for (size_t i = 0; i < METRIC_COUNT; i++)
        add_sample(to, &metric_infos[i], metric_get((enum metric)i));
}

/* ---- nested JSON ---- */

#define MAX_LEAVES (METRIC_COUNT + 80) /* and at most 64 texts */

struct leaf {
    const char *path;
    char *json; /* owned */
};

struct leaves {
    struct leaf list[MAX_LEAVES];
    size_t n;
};

static void add_leaf(struct leaves *l, const char *path, const struct strbuf *json)
{
    ASSERT(l->n < MAX_LEAVES);
    l->list[l->n++] = (struct leaf){path, base_strndup(json->p, json->n)};
}

static void add_text(void *arg, const char *path, const char *text)
{
    struct strbuf json = {0};

    strbuf_add_json(&json, bytes_str(text));
    add_leaf(arg, path, &json);
    strbuf_fini(&json);
}

static bool has_leaf(const struct leaves *l, const char *path)
{
    for (size_t i = 0; i < l->n; i++)
        if (strcmp(l->list[i].path, path) == 0)
            return true;
    return false;
}

static void add_metrics(struct leaves *l)
{
    static const char *const breaker[] = {"closed", "half-open", "open"};

    for (size_t i = 0; i < METRIC_COUNT; i++) {
        uint64_t v = metric_get((enum metric)i);
        struct strbuf json = {0};

        if (i == M_OUT_BREAKER)
            strbuf_add_json(&json, bytes_str(breaker[MIN(v, ARRAY_LEN(breaker) - 1)]));
        else
            strbuf_printf(&json, "%llu", (unsigned long long)v);
        add_leaf(l, metric_infos[i].path, &json);
        strbuf_fini(&json);
    }
}

/* A list: names of services are not to be taken for paths. */
static void add_services(struct leaves *l)
{
    struct tally_row rows[TALLY_TOP];
    size_t n = tally_top(rows);
    struct strbuf json = {0};

    strbuf_add_char(&json, '[');
    for (size_t i = 0; i < n; i++) {
        strbuf_add_str(&json, i ? ",{\"name\":" : "{\"name\":");
        strbuf_add_json(&json, bytes_of(rows[i].name, rows[i].n));
        strbuf_printf(&json, ",\"records\":%llu,\"bytes\":%llu}",
                      (unsigned long long)rows[i].records, (unsigned long long)rows[i].bytes);
    }
    strbuf_add_char(&json, ']');
    add_leaf(l, "services", &json);
    strbuf_fini(&json);
}

/* Whether an earlier leaf below prefix begins with the same n bytes behind it: then its object is
 * written already. */
static bool is_written(const struct leaves *l, size_t i, size_t prefix, size_t n)
{
    for (size_t k = 0; k < i; k++)
        if (strncmp(l->list[k].path, l->list[i].path, prefix + n) == 0 &&
            l->list[k].path[prefix + n] == '.')
            return true;
    return false;
}

/* Writes the object of all leaves whose path begins as that of leaf `of` does in its first prefix
 * bytes; members in the order in which they first appear. */
static void add_object(struct strbuf *to, const struct leaves *l, size_t of, size_t prefix)
{
    bool first = true;

    strbuf_add_char(to, '{');
    for (size_t i = 0; i < l->n; i++) {
        const char *path = l->list[i].path;
        size_t n;

        if (strncmp(path, l->list[of].path, prefix) != 0)
            continue;
        n = strcspn(path + prefix, ".");
        if (path[prefix + n] == '.' && is_written(l, i, prefix, n))
            continue;
        strbuf_add_str(to, first ? "" : ",");
        first = false;
        strbuf_add_json(to, bytes_of(path + prefix, n));
        strbuf_add_char(to, ':');
        if (path[prefix + n] == '.')
            add_object(to, l, i, prefix + n + 1);
        else
            strbuf_add_str(to, l->list[i].json);
    }
    strbuf_add_char(to, '}');
}

void status_render_json(struct strbuf *to, uint64_t uptime_s)
{
    struct leaves l = {.n = 0};
    struct strbuf number = {0};

    add_text(&l, "version", BARGE_VERSION);
    strbuf_printf(&number, "%llu", (unsigned long long)uptime_s);
    add_leaf(&l, "uptime_s", &number);
    strbuf_fini(&number);
    add_metrics(&l);
    metric_text_each(add_text, &l);
    add_services(&l);
    if (!has_leaf(&l, "output.last_error"))
        add_text(&l, "output.last_error", "");
    add_object(to, &l, 0, 0);
    strbuf_add_char(to, '\n');
    for (size_t i = 0; i < l.n; i++)
        free(l.list[i].json);
}
