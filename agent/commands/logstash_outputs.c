/* elasticsearch and file; barge has one output. */
#include "agent/commands/logstash_work.h"

#include "agent/commands/logstash_hints.h"
#include "agent/config/config_value.h"
#include "outputs/elasticsearch/es_credentials.h"

#include <stdlib.h>

#define PLACE PLAN_OUTPUT

static void refuse(struct work *w, const struct logstash_value *v, const char *why)
{
    work_leave_out(w, PLACE, work_option_span(v), "elasticsearch: %.*s: %s",
                   (int)MIN(v->name.n, 60u), v->name.p, why);
}

/* ---- hosts ---- */

/* The end of ${…} at p, p when there is none. */
static const char *behind_variable(const char *p)
{
    const char *close = strncmp(p, "${", 2) == 0 ? strchr(p, '}') : NULL;

    return close ? close + 1 : p;
}

/* The end of what names the host in a URL behind its scheme; *port says whether there is one. */
static const char *end_of_host(const char *p, bool *port)
{
    bool bracket = false;

    *port = false;
    while (*p && !strchr("/?#", *p)) {
        const char *next = behind_variable(p);

        if (next > p) {
            p = next;
            continue;
        }
        bracket = (bracket || *p == '[') && *p != ']';
        if (*p == '@')
            *port = false; /* that was before a password */
        else if (*p == ':' && !bracket)
            *port = true;
        p++;
    }
    return p;
}

/* text, one of `hosts`, as the URL that Logstash makes of it. */
static void add_url(struct strbuf *to, const char *text, bool tls, const char *port_text,
                    const char *path)
{
    const char *scheme = strstr(text, "://"), *end;
    bool port;

    if (strncmp(text, "//", 2) == 0)
        text += 2;
    if (!scheme)
        strbuf_add_str(to, tls ? "https://" : "http://");
    end = end_of_host(scheme ? scheme + 3 : text, &port);
    strbuf_add(to, text, (size_t)(end - text));
    if (!port)
        strbuf_printf(to, ":%s", port_text);
    if (*path && (!*end || strcmp(end, "/") == 0))
        strbuf_printf(to, "%s%s", *path == '/' ? "" : "/", path);
    else
        strbuf_add_str(to, end);
}

struct hosts {
    bool tls;
    char *port, *path;
};

static void take_host(struct work *w, const struct logstash_value *v,
                      const struct logstash_value *option, const struct hosts *h)
{
    struct strbuf url = {0}, yaml = {0};
    struct error e;
    char *text = work_text(v, &e);
    int rc = text ? 0 : -1;

    if (text && *behind_variable(text) == '\0' && *text == '$') {
        work_leave_out(w, PLACE, work_option_span(option),
                       "elasticsearch: hosts: what the variable holds must be a whole URL for "
                       "barge, like http://localhost:9200");
        plan_add_text(&w->plan.hosts, text);
        free(text);
        return;
    }
    if (rc == 0) {
        add_url(&url, text, h->tls, h->port, h->path);
        strbuf_add_str(&yaml, "output: {elasticsearch: {hosts: [");
        config_value_add_quoted(&yaml, url.p);
        strbuf_add_str(&yaml, "]}}");
        rc = work_check(w, &yaml, &e);
    }
    if (rc < 0)
        work_leave_out(w, PLACE, work_option_span(option), "elasticsearch: hosts: %s", e.text);
    else if (plan_find_text(&w->plan.hosts, url.p) == SIZE_MAX)
        plan_add_text(&w->plan.hosts, url.p);
    strbuf_fini(&url);
    strbuf_fini(&yaml);
    free(text);
}

/* The text of an option, or otherwise; owned. */
static char *text_or(const struct logstash_value *plugin, const char *name, const char *otherwise)
{
    const struct logstash_value *v = logstash_tree_option(plugin, name);
    struct error e;
    char *text = v ? work_text(v, &e) : NULL;

    return text ? text : base_strdup(otherwise);
}

static void take_hosts(struct work *w, const struct logstash_value *plugin)
{
    const struct logstash_value *v = logstash_tree_option(plugin, "hosts");
    struct hosts h = {.tls = work_on(plugin, "ssl", work_on(plugin, "ssl_enabled", false)),
                      .port = text_or(plugin, "port", "9200"),
                      .path = text_or(plugin, "path", "")};
    bool list;

    if (!v)
        v = logstash_tree_option(plugin, "host");
    list = v && v->kind == LOGSTASH_ARRAY;
    for (const struct logstash_value *x = list ? v->first : v; x; x = list ? x->next : NULL)
        take_host(w, x, v, &h);
    if (!v) {
        struct strbuf url = {0};

        add_url(&url, "127.0.0.1", h.tls, h.port, h.path);
        plan_add_text(&w->plan.hosts, url.p);
        strbuf_fini(&url);
    }
    free(h.port);
    free(h.path);
}

/* ---- index ---- */

/* The type that all records have; owned, NULL when there is none. */
static char *common_type(const struct work *w)
{
    struct error e;

    if (w->n_inputs == 0 || !w->inputs[0].when.type.p)
        return NULL;
    for (size_t i = 1; i < w->n_inputs; i++)
        if (!bytes_equal(w->inputs[0].when.type, w->inputs[i].when.type))
            return NULL;
    return work_text(logstash_tree_option(w->inputs[0].plugin, "type"), &e);
}

static void replace(struct strbuf *text, const char *what, const char *by)
{
    struct strbuf to = {0};
    const char *p = text->p, *at;

    while ((at = strstr(p, what)) != NULL) {
        strbuf_add(&to, p, (size_t)(at - p));
        strbuf_add_str(&to, by);
        p = at + strlen(what);
    }
    strbuf_add_str(&to, p);
    strbuf_fini(text);
    *text = to;
}

static void take_index(struct work *w, const struct logstash_value *plugin)
{
    const struct logstash_value *v = logstash_tree_option(plugin, "index");
    char *type = common_type(w);
    struct strbuf text = {0}, quoted = {0}, yaml = {0};
    struct error e;
    char *index = v ? work_text(v, &e) : base_strdup("logstash-%{+YYYY.MM.dd}");
    int rc = index ? 0 : -1;

    if (index) {
        strbuf_add_str(&text, index);
        if (type) {
            replace(&text, "%{type}", type);
            replace(&text, "%{[type]}", type);
        }
        plan_yaml_text(&quoted, text.p);
        strbuf_printf(&yaml, "output: {elasticsearch: {index: %s}}", quoted.p);
        rc = v ? work_check(w, &yaml, &e) : 0;
    }
    if (rc < 0)
        refuse(w, v, e.text);
    else
        plan_add_pair(&w->plan.elasticsearch, "index", quoted.p);
    if (rc == 0 && !v)
        work_remark(w, PLACE, plugin->at,
                    "elasticsearch: index: this is what Logstash takes without one, where it does "
                    "not write into a data stream");
    free(index);
    free(type);
    strbuf_fini(&text);
    strbuf_fini(&quoted);
    strbuf_fini(&yaml);
}

/* ---- the other options ---- */

/* What makes a setting of an option. -1 with *e. */
typedef int (*option_fn)(struct work *w, const struct logstash_value *v, const char *key,
                         struct error *e);

static int add_setting(struct work *w, bool tls, const char *key, const char *value,
                       struct error *e)
{
    struct plan_pairs *to = tls ? &w->plan.tls : &w->plan.elasticsearch;
    struct strbuf yaml = {0}, quoted = {0};
    int rc;

    plan_yaml_text(&quoted, value);
    strbuf_printf(&yaml, "output: {elasticsearch: {%s%s: %s%s}}", tls ? "tls: {" : "", key,
                  quoted.p, tls ? "}" : "");
    rc = work_check(w, &yaml, e);
    if (rc == 0) {
        plan_drop_pair(to, key);
        plan_add_pair(to, key, quoted.p);
    }
    strbuf_fini(&yaml);
    strbuf_fini(&quoted);
    return rc;
}

#define SECTION "output.elasticsearch."

static const char *const tls_keys[WORK_TLS_FILES] = {"ca_file", "cert_file", "key_file"};

/* A file's name; settle_tls looks at what it is. Of a list only one can be had. */
static int take_tls_file(struct work *w, const struct logstash_value *v, const char *key,
                         struct error *e)
{
    bool list = v->kind == LOGSTASH_ARRAY;
    char *text;

    if (list && (!v->first || v->first->next))
        return error_set(e, "barge takes one file, which may hold several certificates");
    text = work_text(list ? v->first : v, e);
    if (!text)
        return -1;
    free(text);
    for (size_t i = 0; i < WORK_TLS_FILES; i++)
        if (strcmp(key, tls_keys[i]) == 0)
            w->tls_files[i] = v;
    return 0;
}

static int take_verify(struct work *w, const struct logstash_value *v, const char *key,
                       struct error *e)
{
    bool off = work_is(v, "none") || work_bool(v) == 0;

    return off ? add_setting(w, true, key, "false", e) : 0;
}

static int take_setting(struct work *w, const struct logstash_value *v, const char *key,
                        struct error *e)
{
    char *text = work_text(v, e);
    int rc = text ? add_setting(w, false, key, text, e) : -1;

    free(text);
    return rc;
}

static int take_seconds(struct work *w, const struct logstash_value *v, const char *key,
                        struct error *e)
{
    struct strbuf to = {0};
    int rc;

    if (v->kind != LOGSTASH_NUMBER)
        return error_set(e, "a number of seconds was expected");
    strbuf_add_bytes(&to, v->text);
    strbuf_add_char(&to, 's');
    rc = add_setting(w, false, key, to.p, e);
    strbuf_fini(&to);
    return rc;
}

static int take_compression(struct work *w, const struct logstash_value *v, const char *key,
                            struct error *e)
{
    bool off = work_bool(v) == 0 || work_is(v, "0");

    return add_setting(w, false, key, off ? "none" : "gzip", e);
}

static int take_template(struct work *w, const struct logstash_value *v, const char *key,
                         struct error *e)
{
    (void)key;
    (void)e;
    w->plan.no_setup = work_bool(v) == 0;
    return 0;
}

/* create is what barge does; index is what it comes to, with an _id that nobody else has. */
static int take_action(struct work *w, const struct logstash_value *v, const char *key,
                       struct error *e)
{
    (void)w;
    (void)key;
    return work_is(v, "index") || work_is(v, "create")
               ? 0
               : error_set(e, "barge makes documents, and changes none");
}

static int take_off(struct work *w, const struct logstash_value *v, const char *key,
                    struct error *e)
{
    (void)w;
    (void)key;
    return work_bool(v) == 0 ? 0 : error_set(e, "%s", logstash_hints_elasticsearch(v->name));
}

static int take_protocol(struct work *w, const struct logstash_value *v, const char *key,
                         struct error *e)
{
    (void)w;
    (void)key;
    return work_is(v, "http") ? 0 : error_set(e, "barge speaks HTTP");
}

static int remark(struct work *w, const struct logstash_value *v, const char *key, struct error *e)
{
    (void)e;
    work_remark(w, PLACE, work_option_span(v), "elasticsearch: %.*s: %s", (int)v->name.n, v->name.p,
                key);
    return 0;
}

#define SIZES "barge finds out by itself what the node takes well"

/* By the name of the option: what makes something of it; the setting, or what is said. */
static const struct {
    const char *name;
    option_fn fn;
    const char *key;
} options[] = {
    {"cacert", take_tls_file, "ca_file"},
    {"ssl_certificate_authorities", take_tls_file, "ca_file"},
    {"ssl_certificate", take_tls_file, "cert_file"},
    {"ssl_key", take_tls_file, "key_file"},
    {"ssl_certificate_verification", take_verify, "verify"},
    {"ssl_verification_mode", take_verify, "verify"},
    {"proxy", take_setting, "proxy"},
    {"timeout", take_seconds, "timeout"},
    {"http_compression", take_compression, "compression"},
    {"compression_level", take_compression, "compression"},
    {"manage_template", take_template, ""},
    {"action", take_action, ""},
    {"protocol", take_protocol, ""},
    {"data_stream", take_off, ""},
    {"ilm_enabled", take_off, ""},
    {"sniffing", take_off, ""},
    {"document_type", remark, "since Elasticsearch 7 there are no types"},
    {"template_api", remark, "barge takes what the node knows"},
    {"workers", remark, SIZES},
    {"flush_size", remark, SIZES},
    {"idle_flush_time", remark, SIZES},
    {"pool_max", remark, SIZES},
    {"pool_max_per_route", remark, SIZES},
    {"retry_initial_interval", remark, SIZES},
    {"retry_max_interval", remark, SIZES},
    {"retry_on_conflict", remark, "barge changes no document"},
    {"max_retries", remark, "barge tries until the node takes it"},
    {"resurrect_delay", remark, "a host that fails is asked again by itself"},
    {"healthcheck_path", remark, "a host that fails is asked again by itself"},
    {"validate_after_inactivity", remark, "connections are looked after by themselves"},
    {"sniffing_delay", remark, "hosts are those that are named"},
    {"sniffing_path", remark, "hosts are those that are named"},
    {"failure_type_logging_whitelist", remark, "barge logs one line for what repeats"},
    {"silence_errors_in_log", remark, "barge logs one line for what repeats"},
};

static bool is_taken(const struct logstash_value *v)
{
    static const char *const taken[] = {"hosts",       "host",  "port", "path",     "ssl",
                                        "ssl_enabled", "index", "user", "password", "api_key"};

    for (size_t i = 0; i < ARRAY_LEN(taken); i++)
        if (bytes_is(v->name, taken[i]))
            return true;
    return false;
}

static void take_option(struct work *w, const struct logstash_value *v)
{
    struct error e;

    if (is_taken(v) || work_needs_nothing(v))
        return;
    for (size_t i = 0; i < ARRAY_LEN(options); i++)
        if (bytes_is(v->name, options[i].name)) {
            if (options[i].fn(w, v, options[i].key, &e) < 0)
                refuse(w, v, e.text);
            return;
        }
    refuse(w, v, logstash_hints_elasticsearch(v->name));
}

/* Secrets come from files. That they are there is nothing that can be done here. */
static void take_credentials(struct work *w, const struct logstash_value *plugin)
{
    const struct logstash_value *user = logstash_tree_option(plugin, "user");
    const struct logstash_value *password = logstash_tree_option(plugin, "password");
    const struct logstash_value *key = logstash_tree_option(plugin, "api_key");
    struct strbuf line = {0};
    struct error e;
    char *name = user ? work_text(user, &e) : NULL;

    if (password || user) {
        refuse(w, password ? password : user,
               "secrets come from files; put the password into one and take these two lines in");
        strbuf_add_str(&line, "username: ");
        plan_yaml_text(&line, name ? name : "");
        plan_comment(&w->plan, PLACE, line.p);
        plan_comment(&w->plan, PLACE, "password_file: /etc/barge/password");
    }
    if (key) {
        refuse(w, key,
               "secrets come from files; put the key into one, in the form of "
               "printf %s ID:KEY | base64 -w0, and take this line in");
        plan_comment(&w->plan, PLACE, "api_key_file: /etc/barge/api-key");
    }
    strbuf_fini(&line);
    free(name);
}

/* The files from first to last can be used: tls.ca_file alone, cert_file and key_file together. */
static int check_tls(const struct work *w, char *const *paths, size_t first, size_t last,
                     struct error *e)
{
    char *at[WORK_TLS_FILES] = {(char *)"", (char *)"", (char *)""};
    struct elasticsearch_settings settings = {.password_file = (char *)"",
                                              .api_key_file = (char *)""};
    struct es_credentials read = {.password = {NULL, 0}};
    int rc = 0;

    for (size_t i = first; i <= last; i++) {
        if (!paths[i])
            return error_set(e, "ssl_certificate and ssl_key belong together");
        if (strstr(paths[i], "${") || !logstash_source_is_of_host(w->source))
            return 0;
        at[i] = paths[i];
    }
    settings.tls.ca_file = at[0];
    settings.tls.cert_file = at[1];
    settings.tls.key_file = at[2];
    rc = es_credentials_read(&read, &settings, NULL, e);
    es_credentials_fini(&read);
    return rc;
}

static void settle_files(struct work *w, char *const *paths, size_t first, size_t last)
{
    struct error e = {""};
    int rc = check_tls(w, paths, first, last, &e);
    const char *text =
        strncmp(e.text, SECTION, strlen(SECTION)) ? e.text : e.text + strlen(SECTION);

    for (size_t i = first; i <= last; i++) {
        struct strbuf quoted = {0}, line = {0};

        if (!paths[i])
            continue;
        plan_yaml_text(&quoted, paths[i]);
        if (rc == 0) {
            plan_add_pair(&w->plan.tls, tls_keys[i], quoted.p);
        } else {
            work_leave_out(w, PLACE, work_option_span(w->tls_files[i]),
                           "elasticsearch: %s; then this line belongs below tls", text);
            strbuf_printf(&line, "%s: %s", tls_keys[i], quoted.p);
            plan_comment(&w->plan, PLACE, line.p);
        }
        strbuf_fini(&quoted);
        strbuf_fini(&line);
    }
}

/* Files that are not here yet are left out: what is written is to be a configuration that holds. */
static void settle_tls(struct work *w)
{
    char *paths[WORK_TLS_FILES] = {NULL, NULL, NULL};
    struct error e;

    for (size_t i = 0; i < WORK_TLS_FILES; i++) {
        const struct logstash_value *v = w->tls_files[i];

        if (v)
            paths[i] = work_text(v->kind == LOGSTASH_ARRAY ? v->first : v, &e);
    }
    if (paths[0])
        settle_files(w, paths, 0, 0);
    if (paths[1] || paths[2])
        settle_files(w, paths, 1, 2);
    for (size_t i = 0; i < WORK_TLS_FILES; i++)
        free(paths[i]);
}

static void take_elasticsearch(struct work *w, const struct logstash_value *plugin)
{
    work_repeated(w, PLACE, plugin, NULL);
    take_hosts(w, plugin);
    take_index(w, plugin);
    take_credentials(w, plugin);
    for (const struct logstash_value *v = plugin->first; v; v = v->next)
        take_option(w, v);
    settle_tls(w);
}

/* ---- file, stdout ---- */

static bool is_lines(const struct logstash_value *codec)
{
    return !codec ||
           (codec->kind <= LOGSTASH_PLUGIN && !codec->first && bytes_is(codec->text, "json_lines"));
}

/* false: it was left out as a whole. */
static bool take_file(struct work *w, const struct logstash_value *plugin)
{
    const struct logstash_value *path = logstash_tree_option(plugin, "path");
    struct strbuf yaml = {0};
    struct error e = {"it has no path"};
    char *text = path ? work_text(path, &e) : NULL;
    int rc = -1;

    work_repeated(w, PLACE, plugin, NULL);
    if (text) {
        strbuf_add_str(&yaml, "output: {file: {path: ");
        config_value_add_quoted(&yaml, text);
        strbuf_add_str(&yaml, "}}");
        rc = work_check(w, &yaml, &e);
    }
    if (rc < 0)
        work_leave_out(w, PLACE, plugin->at, "file: %s", e.text);
    else
        plan_set(&w->plan.file_path, text);
    for (const struct logstash_value *v = plugin->first; v && rc == 0; v = v->next)
        if (!bytes_is(v->name, "path") && !work_needs_nothing(v) &&
            !(bytes_is(v->name, "codec") && is_lines(v)))
            work_leave_out(w, PLACE, work_option_span(v),
                           "file: %.*s: barge writes one document a line, as JSON",
                           (int)MIN(v->name.n, 60u), v->name.p);
    strbuf_fini(&yaml);
    free(text);
    return rc == 0;
}

/* ---- all ---- */

static bool is_for_none(const struct work *w, const struct when *states)
{
    for (size_t i = 0; i < w->n_inputs; i++)
        if (states[i].result != WHEN_NEVER)
            return false;
    return w->n_inputs > 0;
}

static bool is_for_all(const struct work *w, const struct when *states)
{
    for (size_t i = 0; i < MAX(w->n_inputs, 1u); i++)
        if (states[i].result != WHEN_ALWAYS)
            return false;
    return true;
}

static bool is_elasticsearch(const struct logstash_value *plugin)
{
    return bytes_is(plugin->text, "elasticsearch") || bytes_is(plugin->text, "opensearch");
}

void logstash_output_choose(struct work *w, const struct logstash_value *plugin,
                            const struct when *states)
{
    unsigned rank = is_elasticsearch(plugin) ? 3 : bytes_is(plugin->text, "file") ? 1 : 0;

    if (rank == 0 || is_for_none(w, states))
        return;
    rank += is_for_all(w, states);
    if (rank > w->output_rank) {
        w->output = plugin;
        w->output_rank = rank;
    }
}

void logstash_output(struct work *w, const struct logstash_value *plugin, const struct when *states)
{
    if (is_for_none(w, states)) {
        work_remark(w, PLACE, plugin->at,
                    "%.*s: its condition holds for no input that is taken over",
                    (int)MIN(plugin->text.n, 60u), plugin->text.p);
        return;
    }
    if (plugin == w->output) {
        if (!is_for_all(w, states))
            work_leave_out(w, PLACE, (struct logstash_span){plugin->at.begin, plugin->at.begin},
                           "%.*s: its condition; barge sends all documents to its one output",
                           (int)plugin->text.n, plugin->text.p);
        if (is_elasticsearch(plugin))
            take_elasticsearch(w, plugin);
        else if (!take_file(w, plugin))
            w->output = NULL;
    } else if (is_elasticsearch(plugin) || bytes_is(plugin->text, "file")) {
        work_leave_out(w, PLACE, plugin->at, "%.*s: barge has one output, and there is another",
                       (int)plugin->text.n, plugin->text.p);
    } else {
        work_leave_out(w, PLACE, plugin->at, "output %.*s: %s", (int)MIN(plugin->text.n, 60u),
                       plugin->text.p, logstash_hints_output(plugin->text));
    }
}
