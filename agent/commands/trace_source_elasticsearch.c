/*
 * Elasticsearch and OpenSearch, by _search: a filter on the ids and the time, pages by
 * search_after.
 *
 * The pages are sorted by the time as the node has it (to the millisecond where its mapping is
 * `date`) and event.sequence. Several records may stand at one such place, so a page is asked for
 * from the last place of which the page before had all: what comes again is known by index and
 * `_id`. Only when one place holds a whole page, pages become larger.
 *
 * How the ids are mapped depends on the template: keyword with ours, text with a subfield keyword
 * where the node made up the mapping, a number where the first id was one. One phrase over both
 * forms finds them all (lenient: a text does not match a number), and what it finds too much,
 * trace_records leaves out.
 */
#include "agent/base/clock.h"
#include "agent/commands/raw_json.h"
#include "agent/commands/trace_source.h"
#include "agent/pipeline/index_name.h"
#include "outputs/elasticsearch/es_client.h"
#include "parsers/timestamp.h"

#include <stdlib.h>
#include <time.h>

#define PAGE 1000u
#define PAGE_MAX 10000u /* index.max_result_window */
#define NAMES_MAX 3000  /* bytes of index names in a request line; a node takes 4,096 */
#define RESPONSE_MAX (512u << 20)
#define TIMEOUT_MS 30000u
#define ATTEMPTS 4
#define PAUSE_MS 300
#define HOUR_NS 3600000000000ll
#define DAY_NS (24 * HOUR_NS)

struct es_source {
    struct elasticsearch_settings settings; /* the output's, with the trace section over it */
    struct es_client *client;
    char *pattern; /* index names with * for what is not fixed */
    char *today;   /* one name without *, to ask for rights */
    struct strbuf names;
    bool own_user; /* the trace section names one */
    int64_t since_ns;
    struct strbuf query;
    bool has_read;
    uint64_t total;  /* records at the last look for another one */
    bool incomplete; /* some shards did not answer */
};

/* ---- names ---- */

/* The pattern without %{service.name}: index_name then has only dates to put in. */
static char *without_service(const char *pattern, const char *instead)
{
    static const char service[] = "%{service.name}";
    struct strbuf to = {0};
    const char *at;
    char *made;

    while ((at = strstr(pattern, service)) != NULL) {
        strbuf_add(&to, pattern, (size_t)(at - pattern));
        strbuf_add_str(&to, instead);
        pattern = at + sizeof service - 1;
    }
    strbuf_add_str(&to, pattern);
    made = base_strndup(to.p ? to.p : "", to.n);
    strbuf_fini(&to);
    return made;
}

static char *with_stars(const char *pattern)
{
    struct strbuf to = {0};
    char *made;

    for (const char *p = pattern; *p; p++) {
        if (strncmp(p, "%{", 2) == 0 && strchr(p, '}')) {
            if (to.n == 0 || to.p[to.n - 1] != '*')
                strbuf_add_char(&to, '*');
            p = strchr(p, '}');
        } else {
            strbuf_add_char(&to, *p);
        }
    }
    made = base_strndup(to.p ? to.p : "", to.n);
    strbuf_fini(&to);
    return made;
}

static void add_name(struct strbuf *to, struct bytes name)
{
    for (size_t i = 0; i < name.n; i++) {
        if (name.p[i] == '*')
            strbuf_add_char(to, '*');
        else
            es_client_escape(to, bytes_of(name.p + i, 1));
    }
}

/* The name that the pattern has at an instant. */
static struct bytes name_at(struct index_name *n, int64_t ns)
{
    return index_name_for(n, MAX(ns, 0), BYTES_NONE);
}

/* The names of all days from `since` to tomorrow, unless they are too many: then all there are.
 * Where every event goes to its own day, tomorrow is no limit. */
static void add_names(struct es_source *s, const struct elasticsearch_settings *es)
{
    char *pattern = without_service(es->index, "*"),
         *concrete = without_service(es->index, "barge");
    struct index_name *n = index_name_create(pattern, NULL),
                      *fixed = index_name_create(concrete, NULL);
    int64_t now = clock_wall_ns(), last = now + DAY_NS + HOUR_NS;
    struct strbuf before = {0};

    ASSERT(n && fixed); /* config has checked it */
    s->today = base_strndup(name_at(fixed, now).p, name_at(fixed, now).n);
    for (int64_t t = s->since_ns; es->index_window_ms && t < last && s->names.n <= NAMES_MAX;
         t += HOUR_NS) {
        struct bytes name = name_at(n, t);

        if (bytes_equal(name, strbuf_bytes(&before)))
            continue;
        strbuf_clear(&before);
        strbuf_add_bytes(&before, name);
        if (s->names.n)
            strbuf_add_char(&s->names, ',');
        add_name(&s->names, name);
    }
    if (s->names.n == 0 || s->names.n > NAMES_MAX) {
        strbuf_clear(&s->names);
        add_name(&s->names, bytes_str(s->pattern));
    }
    strbuf_fini(&before);
    index_name_free(n);
    index_name_free(fixed);
    free(pattern);
    free(concrete);
}

/* ---- asking ---- */

static void add_query(struct strbuf *to, char *const *ids, size_t n_ids, int64_t since_ns)
{
    char since[TIMESTAMP_TEXT_MAX];

    strbuf_printf(to,
                  "{\"bool\":{\"filter\":[{\"range\":{\"@timestamp\":{\"gte\":\"%.*s\"}}},"
                  "{\"bool\":{\"minimum_should_match\":1,\"should\":[",
                  (int)timestamp_format(since_ns, since), since);
    for (size_t i = 0; i < n_ids; i++) {
        strbuf_add_str(to, i ? ",{\"multi_match\":{\"query\":" : "{\"multi_match\":{\"query\":");
        strbuf_add_json(to, bytes_str(ids[i]));
        strbuf_add_str(to, ",\"type\":\"phrase\",\"lenient\":true,\"fields\":["
                           "\"http.request.id\",\"http.request.id.keyword\","
                           "\"trace.id\",\"trace.id.keyword\"]}}");
    }
    strbuf_add_str(to, "]}}]}}");
}

/* What an answer that is no 200 means for whoever asked. */
static int refused(const struct es_source *s, long status, const struct strbuf *answer,
                   struct error *e)
{
    struct strbuf reason = {0};
    const char *user = s->settings.username, *host = es_client_host(s->client);

    es_client_reason(strbuf_bytes(answer), &reason);
    if (status == 403)
        error_set(e,
                  "%s: %s%s may not read: the role needs the privilege `read` on the indices %s "
                  "(or the section trace: of the configuration names who may)",
                  host,
                  *user                       ? "user "
                  : *s->settings.api_key_file ? "the API key"
                                              : "who gives no name",
                  user, s->pattern);
    else if (status == 401)
        error_set(e, "%s: user or key of %s is not accepted: %.*s", host,
                  s->own_user ? "the section trace:" : "output.elasticsearch",
                  (int)MIN(reason.n, 200u), reason.n ? reason.p : "");
    else
        error_set(e, "%s answers %ld: %.*s", host, status, (int)MIN(reason.n, 300u),
                  reason.n ? reason.p : "");
    strbuf_fini(&reason);
    return -1;
}

/* 0 with any answer. A node that is busy, or moves a shard just now, is asked again. */
static int ask(struct es_source *s, const char *names, const char *options,
               const struct strbuf *body, struct strbuf *answer, long *status, struct error *e)
{
    const struct timespec pause = {.tv_nsec = PAUSE_MS * 1000000};
    struct strbuf path = {0};
    int rc, attempts = ATTEMPTS;

    strbuf_printf(&path, "/%s/_search?%s", names, options);
    do {
        if (attempts < ATTEMPTS)
            nanosleep(&pause, NULL);
        rc = es_client_request(s->client, "POST", path.p, strbuf_bytes(body), NULL, status, answer,
                               e);
    } while (rc == 0 && (*status == 429 || *status == 503) && --attempts > 0);
    strbuf_fini(&path);
    return rc;
}

/* 0 with the answer; "{}" when there is no such index. */
static int search(struct es_source *s, const struct strbuf *body, struct strbuf *answer,
                  struct error *e)
{
    struct bytes shards, failed;
    long status;

    if (ask(s, s->names.p, "ignore_unavailable=true&allow_no_indices=true", body, answer, &status,
            e) < 0)
        return -1;
    if (status == 404) {
        strbuf_clear(answer);
        strbuf_add_str(answer, "{}");
        return 0;
    }
    if (status != 200)
        return refused(s, status, answer, e);
    if (!raw_json_is_valid(strbuf_bytes(answer)))
        return error_set(e, "%s: what answers is no Elasticsearch: no JSON",
                         es_client_host(s->client));
    shards = raw_json_member(strbuf_bytes(answer), "_shards");
    failed = raw_json_member(shards, "failed");
    s->incomplete = s->incomplete || (failed.n && !bytes_is(failed, "0")) ||
                    bytes_is(raw_json_member(strbuf_bytes(answer), "timed_out"), "true");
    return 0;
}

/* ---- pages ---- */

static void add_body(const struct es_source *s, size_t size, const struct strbuf *after,
                     struct strbuf *to)
{
    strbuf_clear(to);
    strbuf_printf(to,
                  "{\"size\":%zu,\"track_total_hits\":false,\"sort\":["
                  "{\"@timestamp\":{\"order\":\"asc\",\"numeric_type\":\"date_nanos\","
                  "\"unmapped_type\":\"date_nanos\"}},"
                  "{\"event.sequence\":{\"order\":\"asc\",\"unmapped_type\":\"long\"}}]",
                  size);
    if (after->n)
        strbuf_printf(to, ",\"search_after\":%s", after->p);
    strbuf_add_str(to, ",\"query\":");
    strbuf_add_bytes(to, strbuf_bytes(&s->query));
    strbuf_add_char(to, '}');
}

/* Adds a hit; its place in the sort order is returned. */
static struct bytes take_hit(struct bytes hit, struct trace_records *records)
{
    struct strbuf key = {0};

    strbuf_add_bytes(&key, raw_json_member(hit, "_index"));
    strbuf_add_bytes(&key, raw_json_member(hit, "_id"));
    trace_records_add(records, raw_json_member(hit, "_source"), strbuf_bytes(&key));
    strbuf_fini(&key);
    return raw_json_member(hit, "sort");
}

/* Takes a page: *n hits. *after becomes the last place before that of its last hit; false when all
 * hits have one place, and *after stays. */
static bool take_page(const struct strbuf *answer, struct trace_records *records,
                      struct strbuf *after, size_t *n)
{
    struct bytes hits = raw_json_member(raw_json_member(strbuf_bytes(answer), "hits"), "hits"), hit;
    struct bytes place = BYTES_NONE, before = BYTES_NONE;
    size_t at = 0;

    for (*n = 0; raw_json_next(hits, &at, &hit); ++*n) {
        struct bytes sort = take_hit(hit, records);

        if (!bytes_equal(sort, place))
            before = place;
        place = sort;
    }
    if (before.n == 0)
        return false;
    strbuf_clear(after);
    strbuf_add_bytes(after, before);
    return true;
}

static int read_pages(struct es_source *s, struct trace_records *records, struct error *e)
{
    struct strbuf body = {0}, answer = {0}, after = {0};
    size_t size = PAGE, got;
    int rc;

    do {
        got = 0;
        add_body(s, size, &after, &body);
        rc = search(s, &body, &answer, e);
        if (rc < 0 || take_page(&answer, records, &after, &got) || got < size)
            continue;
        if (size == PAGE_MAX)
            rc = error_set(e,
                           "%s has more than %u records of one instant and place in their source, "
                           "and cannot be asked for what comes behind them",
                           es_client_host(s->client), PAGE_MAX);
        size = PAGE_MAX;
        got = size;
    } while (rc == 0 && got >= size && !records->full);
    strbuf_fini(&after);
    strbuf_fini(&answer);
    strbuf_fini(&body);
    return rc;
}

/* Whether there is another number of records than last time. A cheap question where all pages would
 * be a dear one. */
static int has_changed(struct es_source *s, bool *changed, struct error *e)
{
    struct strbuf body = {0}, answer = {0};
    struct bytes total;
    uint64_t n = 0;
    int rc;

    strbuf_printf(&body, "{\"size\":0,\"track_total_hits\":true,\"query\":%.*s}", (int)s->query.n,
                  s->query.p);
    rc = search(s, &body, &answer, e);
    if (rc == 0) {
        total = raw_json_member(raw_json_member(strbuf_bytes(&answer), "hits"), "total");
        if (total.n && *total.p == '{')
            total = raw_json_member(total, "value");
        for (size_t i = 0; i < total.n && total.p[i] >= '0' && total.p[i] <= '9'; i++)
            n = n * 10 + (uint64_t)(total.p[i] - '0');
        *changed = n != s->total;
        s->total = n;
    }
    strbuf_fini(&answer);
    strbuf_fini(&body);
    return rc;
}

/* With `ignore_unavailable` a node leaves out what one may not read, and finds nothing. One name,
 * asked for alone, makes it say so: even where there is no such index. */
static int check_right(struct es_source *s, struct error *e)
{
    struct strbuf name = {0}, body = {0}, answer = {0};
    long status = 0;
    int rc;

    add_name(&name, bytes_str(s->today));
    strbuf_add_str(&body, "{\"size\":0}");
    rc = ask(s, name.p, "ignore_unavailable=false", &body, &answer, &status, e);
    if (rc == 0 && (status == 401 || status == 403))
        rc = refused(s, status, &answer, e);
    strbuf_fini(&answer);
    strbuf_fini(&body);
    strbuf_fini(&name);
    return rc;
}

/* ---- the source ---- */

/* The output's settings, and over them what the trace section says. */
static void choose_settings(struct es_source *s, const struct config *c)
{
    const struct trace_settings *t = &c->trace;

    s->settings = c->elasticsearch;
    if (t->hosts[0])
        s->settings.hosts = t->hosts;
    s->own_user = *t->username || *t->api_key_file;
    if (s->own_user) {
        s->settings.username = t->username;
        s->settings.password_file = t->password_file;
        s->settings.api_key_file = t->api_key_file;
    }
}

static void close_source(void *source)
{
    struct es_source *s = source;

    es_client_destroy(s->client);
    strbuf_fini(&s->query);
    strbuf_fini(&s->names);
    free(s->pattern);
    free(s->today);
    free(s);
}

/* Secrets are read by who knows them as the output's. */
static void name_setting(struct error *e)
{
    static const char output[] = "output.elasticsearch.";
    struct error own;

    if (e && strncmp(e->text, output, sizeof output - 1) == 0) {
        error_set(&own, "trace.%s", e->text + sizeof output - 1);
        *e = own;
    }
}

static void *open_source(const struct config *c, char *const *ids, size_t n_ids, int64_t since_ns,
                         struct error *e)
{
    const struct es_client_options options = {.timeout_ms = TIMEOUT_MS,
                                              .response_max = RESPONSE_MAX};
    struct es_source *s = base_calloc(1, sizeof *s);

    s->since_ns = since_ns;
    s->total = UINT64_MAX; /* not known */
    s->pattern = with_stars(c->elasticsearch.index);
    add_names(s, &c->elasticsearch);
    add_query(&s->query, ids, n_ids, since_ns);
    choose_settings(s, c);
    s->client = es_client_create(&s->settings, &options, e);
    if (!s->client) {
        if (s->own_user)
            name_setting(e);
        close_source(s);
        return NULL;
    }
    return s;
}

static int read_source(void *source, struct trace_records *records, struct error *e)
{
    struct es_source *s = source;
    bool changed = true;

    if (s->has_read && has_changed(s, &changed, e) < 0)
        return -1;
    if (!changed)
        return 0;
    if (read_pages(s, records, e) < 0) {
        s->has_read = false; /* asked again it is to read again */
        return -1;
    }
    s->has_read = true;
    return records->n == 0 ? check_right(s, e) : 0;
}

static void add_where(const void *source, struct strbuf *to)
{
    const struct es_source *s = source;

    strbuf_printf(to, "in the indices %s on %s", s->pattern, es_client_host(s->client));
    if (*s->settings.username)
        strbuf_printf(to, " as user %s", s->settings.username);
}

static void add_advice(const void *source, struct strbuf *to)
{
    const struct es_source *s = source;

    if (s->incomplete)
        strbuf_add_str(to, "some shards did not answer: look at the node's health\n");
}

static bool is_incomplete(const void *source)
{
    return ((const struct es_source *)source)->incomplete;
}

const struct trace_source_kind trace_source_elasticsearch = {
    open_source, read_source, add_where, add_advice, is_incomplete, close_source};
