#include "outputs/elasticsearch/es_setup.h"

#include "agent/config/config_value.h"
#include "outputs/elasticsearch/es_indices.h"
#include "outputs/elasticsearch/es_template.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define DAY_MS 86400000u
#define OWN_INDICES "microservices-*" /* as the files under conf/ have it */
#define OWN_RETENTION "30d"
#define ISM_DESCRIPTION "made by barge setup: retention "

struct run {
    struct es_client *client;
    const struct es_setup_options *o;
    struct es_features features;
    bool opensearch;
    char retention[32];              /* "30d" */
    struct strbuf lifecycle;         /* name of the ILM policy; empty: none */
    struct strbuf wildcard, figures; /* of the indices */

    /* the last answer */
    long status;
    struct strbuf response;

    enum es_setup_result result; /* DONE until something else */
    struct error *e;
};

static void say(struct run *r, enum es_setup_word word, const char *fmt, ...) PRINTF_LIKE(3, 4);

static void say(struct run *r, enum es_setup_word word, const char *fmt, ...)
{
    char text[900];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    r->o->say(r->o->arg, word, text);
}

/* ---- asking ---- */

/* Whether it was no answer to the question, but a word on the node's or our own state. */
static bool is_no_answer(long status)
{
    return status == 401 || status == 408 || status == 429 || status >= 500;
}

/* Asks; false when that ends the run: nobody answers, or we may not. */
static bool ask(struct run *r, const char *method, const char *path, struct bytes body,
                const char *what)
{
    struct strbuf reason = {0};

    if (r->result != ES_SETUP_DONE)
        return false;
    if (es_client_request(r->client, method, path, body, NULL, &r->status, &r->response, r->e) <
        0) {
        r->result = ES_SETUP_AWAY;
    } else if (is_no_answer(r->status)) {
        es_client_reason(strbuf_bytes(&r->response), &reason);
        error_set(r->e, "%s: status %ld: %s", es_client_host(r->client), r->status,
                  reason.n ? reason.p : "");
        r->result = ES_SETUP_AWAY;
    } else if (r->status == 403) {
        es_client_reason(strbuf_bytes(&r->response), &reason);
        say(r, ES_SETUP_MISSING, "this user may not put %s in place: %s", what,
            reason.n ? reason.p : "");
        r->result = ES_SETUP_REFUSED;
    }
    strbuf_fini(&reason);
    return r->result == ES_SETUP_DONE;
}

static void say_refused(struct run *r, const char *what)
{
    struct strbuf reason = {0};

    es_client_reason(strbuf_bytes(&r->response), &reason);
    say(r, ES_SETUP_MISSING, "the node does not take %s: status %ld: %s", what, r->status,
        reason.n ? reason.p : "");
    strbuf_fini(&reason);
}

static const char *text_at(yajl_val v, const char *a, const char *b)
{
    const char *path[] = {a, b, NULL};
    yajl_val found = v ? yajl_tree_get(v, path, yajl_t_string) : NULL;

    return found ? YAJL_GET_STRING(found) : NULL;
}

/* The version of one of the nodes, from GET /_nodes. */
static const char *version_of_some_node(yajl_val tree)
{
    const char *path[] = {"nodes", NULL};
    yajl_val nodes = tree ? yajl_tree_get(tree, path, yajl_t_object) : NULL;

    return nodes && YAJL_GET_OBJECT(nodes)->len
               ? text_at(YAJL_GET_OBJECT(nodes)->values[0], "version", NULL)
               : NULL;
}

/* What kind of node it is. A user may be refused to ask that and allowed all else. */
static void look_at_node(struct run *r)
{
    const char *version = NULL, *distribution = NULL;
    yajl_val tree = NULL;

    if (es_client_request(r->client, "GET", "/", BYTES_NONE, NULL, &r->status, &r->response, r->e) <
        0) {
        r->result = ES_SETUP_AWAY;
        return;
    }
    if (r->status == 200) {
        tree = es_template_parse(strbuf_bytes(&r->response));
        version = text_at(tree, "version", "number");
        distribution = text_at(tree, "version", "distribution");
    }
    if (!version) {
        yajl_tree_free(tree);
        tree = NULL;
        if (es_client_request(r->client, "GET", "/_nodes/_local?filter_path=nodes.*.version",
                              BYTES_NONE, NULL, &r->status, &r->response, r->e) < 0) {
            r->result = ES_SETUP_AWAY;
            return;
        }
        if (r->status == 200) {
            tree = es_template_parse(strbuf_bytes(&r->response));
            version = version_of_some_node(tree);
        }
    }
    /* There is no Elasticsearch 1 to 4 that barge could write to, and no OpenSearch above that. */
    r->opensearch = (distribution && strcmp(distribution, "opensearch") == 0) ||
                    (version && version[0] >= '1' && version[0] <= '4' && version[1] == '.');
    r->features = es_features_of(version ? version : "", r->opensearch);
    yajl_tree_free(tree);
}

/* ---- the template ---- */

/* What a node may lack though its version has it: a build without the module. */
static bool do_without(struct es_features *f, const char *reason)
{
    if (f->match_only_text && strstr(reason, "match_only_text")) {
        f->match_only_text = false;
        return true;
    }
    if (f->ignore_beyond_limit && strstr(reason, "ignore_dynamic_beyond_limit")) {
        f->ignore_beyond_limit = false;
        return true;
    }
    return false;
}

static void template_path(const struct run *r, const char *name, struct strbuf *to)
{
    strbuf_clear(to);
    strbuf_printf(to, "/%s/%s", r->features.composable ? "_index_template" : "_template", name);
}

/* What the node has under our name. false: the run ends. */
static bool judge(struct run *r, const struct es_template *t, const char *name,
                  enum es_template_state *state)
{
    struct strbuf path = {0}, body = {0};
    struct es_features less;
    char hash[17];
    bool answered;

    template_path(r, name, &path);
    answered = ask(r, "GET", path.p, BYTES_NONE, "the index template");
    if (answered && r->status != 200 && r->status != 404 && r->features.composable) {
        /* A node from before composable templates takes the path for something else. */
        r->features = (struct es_features){.composable = false};
        template_path(r, name, &path);
        answered = ask(r, "GET", path.p, BYTES_NONE, "the index template");
    }
    *state = ES_TEMPLATE_ABSENT;
    if (answered && r->status == 200) {
        es_template_body(t, &r->features, &body, hash);
        *state = es_template_judge(strbuf_bytes(&r->response), r->features.composable, hash);
        /* As it was put there when the node turned out to have less. */
        less = r->features;
        while (*state == ES_TEMPLATE_OLD && (do_without(&less, "match_only_text") ||
                                             do_without(&less, "ignore_dynamic_beyond_limit"))) {
            strbuf_clear(&body);
            es_template_body(t, &less, &body, hash);
            *state = es_template_judge(strbuf_bytes(&r->response), r->features.composable, hash);
        }
    }
    strbuf_fini(&path);
    strbuf_fini(&body);
    return answered;
}

/* Other templates that the node would take for our indices, or that ours would put out of force. */
static bool find_rivals(struct run *r, const char *pattern, const char *own, struct strbuf *to)
{
    bool composable = r->features.composable, asked = true;
    struct strbuf sample = {0};

    es_indices_sample(pattern, &sample);
    if (composable) {
        asked = ask(r, "GET",
                    "/_index_template?filter_path=index_templates.name,index_templates.index_"
                    "template.index_patterns,index_templates.index_template.priority",
                    BYTES_NONE, "the index template");
        if (asked && r->status == 200)
            es_template_rivals(strbuf_bytes(&r->response), true, false, sample.p, own, to);
    }
    if (asked) {
        asked = ask(r, "GET", "/_template?filter_path=*.index_patterns,*.order", BYTES_NONE,
                    "the index template");
        /* Where a composable template matches, no legacy one counts any more. */
        if (asked && r->status == 200)
            es_template_rivals(strbuf_bytes(&r->response), false, composable, sample.p, own, to);
    }
    strbuf_fini(&sample);
    return asked;
}

static void put_template(struct run *r, const struct es_template *t, const char *name, bool old)
{
    struct strbuf path = {0}, body = {0};
    char hash[17];
    bool answered;

    for (;;) {
        struct es_features before = r->features;

        template_path(r, name, &path);
        strbuf_clear(&body);
        es_template_body(t, &r->features, &body, hash);
        if (r->o->dry_run) {
            say(r, ES_SETUP_DID, "would %s index template %s for %s", old ? "replace" : "make",
                name, t->wildcard);
            break;
        }
        answered = ask(r, "PUT", path.p, strbuf_bytes(&body), "the index template");
        if (!answered)
            break;
        if (r->status == 200) {
            say(r, ES_SETUP_DID, "index template %s for %s was %s", name, t->wildcard,
                old ? "replaced" : "made");
            break;
        }
        if (r->status != 400 || !do_without(&r->features, r->response.p)) {
            r->features = before;
            say_refused(r, "the index template");
            break;
        }
    }
    strbuf_fini(&path);
    strbuf_fini(&body);
}

static void set_up_template(struct run *r, const struct es_template *t, const char *pattern,
                            const char *name)
{
    struct strbuf rivals = {0};
    enum es_template_state state;

    if (!judge(r, t, name, &state))
        return;
    switch (state) {
    case ES_TEMPLATE_SAME:
        say(r, ES_SETUP_SAME, "index template %s for %s is unchanged", name, t->wildcard);
        return;
    case ES_TEMPLATE_NEWER:
        say(r, ES_SETUP_SAME, "index template %s is a newer barge's and stays", name);
        return;
    case ES_TEMPLATE_CHANGED:
        say(r, ES_SETUP_LEFT,
            "index template %s was changed by hand and stays as it is; delete it to have it made "
            "anew",
            name);
        return;
    case ES_TEMPLATE_FOREIGN:
        say(r, ES_SETUP_LEFT, "index template %s was not made by barge and stays as it is", name);
        return;
    case ES_TEMPLATE_ABSENT:
    case ES_TEMPLATE_OLD:
        break;
    }
    if (!find_rivals(r, pattern, name, &rivals))
        return;
    if (rivals.n)
        say(r, ES_SETUP_LEFT,
            "no index template was put in place: %s has another one already, which stays: %s",
            t->wildcard, rivals.p);
    else
        put_template(r, t, name, state == ES_TEMPLATE_OLD);
    strbuf_fini(&rivals);
}

/* ---- retention ---- */

/* Adds text with each `from` made `to_text`. */
static void substitute(struct bytes text, const char *from, const char *to_text, struct strbuf *to)
{
    const char *p = text.p, *end = text.p + text.n, *found;

    while ((found = memmem(p, (size_t)(end - p), from, strlen(from))) != NULL) {
        strbuf_add(to, p, (size_t)(found - p));
        strbuf_add_str(to, to_text);
        p = found + strlen(from);
    }
    strbuf_add(to, p, (size_t)(end - p));
}

/* true when the node has lifecycle policies, and then that of our name is there (or the run has
 * ended). Its name says what it does, so one that is there is right, or an operator's wish. */
static bool set_up_ilm(struct run *r)
{
    struct strbuf path = {0}, body = {0};
    bool has = true;
    yajl_val answer;
    const char *type;

    strbuf_printf(&r->lifecycle, "barge-%s", r->retention);
    strbuf_printf(&path, "/_ilm/policy/%s", r->lifecycle.p);
    if (ask(r, "GET", path.p, BYTES_NONE, "retention")) {
        answer = es_template_parse(strbuf_bytes(&r->response));
        type = text_at(answer, "error", "type");
        if (r->status == 200) {
            say(r, ES_SETUP_SAME, "lifecycle policy %s is there", r->lifecycle.p);
        } else if (r->status != 404 || !type || strcmp(type, "resource_not_found_exception") != 0) {
            strbuf_clear(&r->lifecycle);
            has = false;
        } else if (r->o->dry_run) {
            say(r, ES_SETUP_DID, "would make lifecycle policy %s", r->lifecycle.p);
        } else {
            substitute(es_file(ES_FILE_ILM), OWN_RETENTION, r->retention, &body);
            if (ask(r, "PUT", path.p, strbuf_bytes(&body), "retention")) {
                if (r->status == 200) {
                    say(r, ES_SETUP_DID, "lifecycle policy %s was made", r->lifecycle.p);
                } else {
                    say_refused(r, "the lifecycle policy");
                    strbuf_clear(&r->lifecycle);
                }
            }
        }
        yajl_tree_free(answer);
    }
    strbuf_fini(&path);
    strbuf_fini(&body);
    return has;
}

static void ism_body(const struct run *r, const char *retention, struct strbuf *to)
{
    struct strbuf patterns = {0}, half = {0};

    strbuf_printf(&patterns, "\"%s\"", r->wildcard.p);
    if (r->o->figures)
        strbuf_printf(&patterns, ", \"%s\"", r->figures.p);
    substitute(es_file(ES_FILE_ISM), OWN_RETENTION, retention, &half);
    substitute(strbuf_bytes(&half), "\"" OWN_INDICES "\"", patterns.p, to);
    strbuf_fini(&patterns);
    strbuf_fini(&half);
}

/* What a node adds to a policy by itself. */
static bool is_nodes_own(struct bytes line)
{
    static const char *const marks[] = {".retry.",
                                        ".last_updated_time=",
                                        "policy.policy_id=",
                                        "policy.schema_version=",
                                        "policy.error_notification=",
                                        "policy.user"};

    for (size_t i = 0; i < ARRAY_LEN(marks); i++)
        if (memmem(line.p, line.n, marks[i], strlen(marks[i])))
            return true;
    return false;
}

/* Adds the lines of the policy in an answer, or a body, without what the node adds. */
static void ism_lines(struct bytes json, struct strbuf *to)
{
    const char *path[] = {"policy", NULL};
    yajl_val tree = es_template_parse(json);
    struct strbuf all = {0};

    es_template_lines(tree ? yajl_tree_get(tree, path, yajl_t_object) : NULL, "policy", &all);
    for (size_t at = 0; at < all.n;) {
        size_t n = (size_t)((char *)memchr(all.p + at, '\n', all.n - at) - (all.p + at)) + 1;

        if (!is_nodes_own(bytes_of(all.p + at, n)))
            strbuf_add(to, all.p + at, n);
        at += n;
    }
    strbuf_fini(&all);
    yajl_tree_free(tree);
}

/* Whether the policy that the node holds is the one that we would put for that retention. */
static bool ism_is(const struct run *r, const char *retention)
{
    struct strbuf body = {0}, wanted = {0}, stored = {0};
    bool same;

    ism_body(r, retention, &body);
    ism_lines(strbuf_bytes(&body), &wanted);
    ism_lines(strbuf_bytes(&r->response), &stored);
    same = bytes_equal(strbuf_bytes(&wanted), strbuf_bytes(&stored));
    strbuf_fini(&body);
    strbuf_fini(&wanted);
    strbuf_fini(&stored);
    return same;
}

static void put_ism(struct run *r, const char *path, const char *name, bool old)
{
    struct strbuf body = {0};

    if (r->o->dry_run) {
        say(r, ES_SETUP_DID, "would %s state management policy %s", old ? "replace" : "make", name);
        return;
    }
    ism_body(r, r->retention, &body);
    if (ask(r, "PUT", path, strbuf_bytes(&body), "retention")) {
        if (r->status == 200 || r->status == 201)
            say(r, ES_SETUP_DID,
                "state management policy %s was %s; it holds for indices made from now on", name,
                old ? "replaced" : "made");
        else
            say_refused(r, "the state management policy");
    }
    strbuf_fini(&body);
}

static void replace_ism(struct run *r, const char *path, const char *name)
{
    static const char *const seq_path[] = {"_seq_no", NULL};
    static const char *const term_path[] = {"_primary_term", NULL};
    yajl_val answer = es_template_parse(strbuf_bytes(&r->response));
    const char *description = text_at(answer, "policy", "description");
    yajl_val seq = yajl_tree_get(answer, (const char **)(uintptr_t)seq_path, yajl_t_number);
    yajl_val term = yajl_tree_get(answer, (const char **)(uintptr_t)term_path, yajl_t_number);
    size_t n = strlen(ISM_DESCRIPTION);
    struct strbuf full = {0};

    if (!description || strncmp(description, ISM_DESCRIPTION, n) != 0 ||
        !ism_is(r, description + n) || !seq || !term) {
        say(r, ES_SETUP_LEFT,
            "state management policy %s was changed by hand and stays as it is; delete it to have "
            "it made anew",
            name);
    } else {
        strbuf_printf(&full, "%s?if_seq_no=%lld&if_primary_term=%lld", path, YAJL_GET_INTEGER(seq),
                      YAJL_GET_INTEGER(term));
        put_ism(r, full.p, name, true);
    }
    strbuf_fini(&full);
    yajl_tree_free(answer);
}

/* As set_up_ilm, for OpenSearch. */
static bool set_up_ism(struct run *r, const char *base, const char *name)
{
    struct strbuf path = {0};
    bool has = true;

    strbuf_printf(&path, "/%s/_ism/policies/%s", base, name);
    if (ask(r, "GET", path.p, BYTES_NONE, "retention")) {
        if (r->status == 404)
            put_ism(r, path.p, name, false);
        else if (r->status != 200)
            has = false;
        else if (ism_is(r, r->retention))
            say(r, ES_SETUP_SAME, "state management policy %s is unchanged", name);
        else
            replace_ism(r, path.p, name);
    }
    strbuf_fini(&path);
    return has;
}

static void set_up_retention(struct run *r, const char *name)
{
    if (r->o->retention_ms == 0)
        return;
    if (!r->opensearch && set_up_ilm(r))
        return;
    if (set_up_ism(r, "_plugins", name) || set_up_ism(r, "_opendistro", name))
        return;
    say(r, ES_SETUP_MISSING,
        "this node has no lifecycle policies that could delete indices after %s: let `barge setup "
        "--prune` do it once a day",
        r->retention);
}

/* ---- all of it ---- */

static void run_init(struct run *r, struct es_client *c, const struct es_setup_options *o,
                     struct error *e)
{
    struct strbuf text = {0};

    memset(r, 0, sizeof *r);
    r->client = c;
    r->o = o;
    r->e = e;
    config_value_add_duration(&text, o->retention_ms);
    snprintf(r->retention, sizeof r->retention, "%s", text.p);
    strbuf_fini(&text);
    es_indices_wildcard(o->settings->index, &r->wildcard);
    es_indices_wildcard(ES_SETUP_FIGURES, &r->figures);
}

static void run_fini(struct run *r)
{
    strbuf_fini(&r->lifecycle);
    strbuf_fini(&r->wildcard);
    strbuf_fini(&r->figures);
    strbuf_fini(&r->response);
}

enum es_setup_result es_setup_run(struct es_client *c, const struct es_setup_options *o,
                                  struct error *e)
{
    struct strbuf name = {0}, stem = {0};
    struct es_template t = {.file = ES_FILE_TEMPLATE};
    struct run r;

    run_init(&r, c, o, e);
    es_indices_stem(o->settings->index, &stem);
    strbuf_printf(&name, "barge-%s", stem.p);
    look_at_node(&r);
    if (r.result == ES_SETUP_DONE)
        set_up_retention(&r, name.p);
    if (r.lifecycle.n)
        t.lifecycle = r.lifecycle.p;
    t.wildcard = r.wildcard.p;
    t.day_in_name = es_indices_end_in_day(o->settings->index);
    if (r.result == ES_SETUP_DONE)
        set_up_template(&r, &t, o->settings->index, name.p);
    if (r.result == ES_SETUP_DONE && o->figures) {
        t.file = ES_FILE_FIGURES_TEMPLATE;
        t.wildcard = r.figures.p;
        t.day_in_name = true;
        set_up_template(&r, &t, ES_SETUP_FIGURES, "barge-figures");
    }
    strbuf_fini(&name);
    strbuf_fini(&stem);
    run_fini(&r);
    return r.result;
}

/* ---- prune ---- */

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool is_too_old(const struct run *r, const char *pattern, const char *index, uint64_t now_ms)
{
    int64_t day;

    /* The day's last moment, and never a day that is still being written. */
    return es_indices_day(pattern, index, &day) && day >= 0 &&
           ((uint64_t)day + 1) * DAY_MS <= now_ms &&
           now_ms - ((uint64_t)day + 1) * DAY_MS >= MAX(r->o->retention_ms, DAY_MS);
}

static int prune_one(struct run *r, const char *index)
{
    struct strbuf path = {0}, reason = {0};
    int rc = 0;

    strbuf_add_char(&path, '/');
    es_client_escape(&path, bytes_str(index));
    if (r->o->dry_run) {
        say(r, ES_SETUP_DID, "would delete index %s", index);
    } else if (es_client_request(r->client, "DELETE", path.p, BYTES_NONE, NULL, &r->status,
                                 &r->response, r->e) < 0) {
        rc = -1;
    } else if (r->status != 200) {
        es_client_reason(strbuf_bytes(&r->response), &reason);
        rc = error_set(r->e, "index %s cannot be deleted: status %ld: %s", index, r->status,
                       reason.n ? reason.p : "");
    } else {
        say(r, ES_SETUP_DID, "deleted index %s", index);
    }
    strbuf_fini(&path);
    strbuf_fini(&reason);
    return rc;
}

static int prune_pattern(struct run *r, const char *pattern, const char *wildcard, uint64_t now_ms)
{
    struct strbuf path = {0}, reason = {0};
    yajl_val answer = NULL;
    int rc = 0;

    strbuf_printf(&path, "/%s/_settings/index.creation_date?expand_wildcards=open,closed",
                  wildcard);
    if (es_client_request(r->client, "GET", path.p, BYTES_NONE, NULL, &r->status, &r->response,
                          r->e) < 0) {
        rc = -1;
    } else if (r->status != 200 && r->status != 404) {
        es_client_reason(strbuf_bytes(&r->response), &reason);
        rc = error_set(r->e, "indices of %s cannot be listed: status %ld: %s", wildcard, r->status,
                       reason.n ? reason.p : "");
    } else if (r->status == 200) {
        answer = es_template_parse(strbuf_bytes(&r->response));
        if (!YAJL_IS_OBJECT(answer))
            rc = error_set(r->e, "indices of %s cannot be listed: the answer is no JSON object",
                           wildcard);
    }
    if (rc == 0 && answer) {
        const char **names = YAJL_GET_OBJECT(answer)->keys;
        size_t n = YAJL_GET_OBJECT(answer)->len;

        qsort(names, n, sizeof *names, by_name);
        for (size_t i = 0; rc == 0 && i < n; i++)
            if (is_too_old(r, pattern, names[i], now_ms))
                rc = prune_one(r, names[i]);
    }
    yajl_tree_free(answer);
    strbuf_fini(&path);
    strbuf_fini(&reason);
    return rc;
}

int es_setup_prune(struct es_client *c, const struct es_setup_options *o, uint64_t now_ms,
                   struct error *e)
{
    const char *pattern = o->settings->index;
    struct run r;
    int rc;

    if (o->retention_ms == 0)
        return error_set(e, "retention is not set: there is no age beyond which to delete");
    if (!es_indices_daily(pattern))
        return error_set(e,
                         "output.elasticsearch.index: %s gives no daily indices; only those are "
                         "deleted",
                         pattern);
    run_init(&r, c, o, e);
    rc = prune_pattern(&r, pattern, r.wildcard.p, now_ms);
    if (rc == 0 && o->figures)
        rc = prune_pattern(&r, ES_SETUP_FIGURES, r.figures.p, now_ms);
    run_fini(&r);
    return rc;
}
