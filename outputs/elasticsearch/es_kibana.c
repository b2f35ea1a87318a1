#include "outputs/elasticsearch/es_kibana.h"

#include "agent/base/hash.h"
#include "outputs/elasticsearch/es_indices.h"
#include "outputs/elasticsearch/es_template.h"

#include <stdio.h>
#include <stdlib.h>

#define TIMEOUT_MS 60000u
#define OWN_INDICES "microservices-*" /* as the files under conf/kibana have it */

/* Either of the two wants its own; each ignores the other's. */
static const char *const headers[] = {"kbn-xsrf: barge", "osd-xsrf: barge", NULL};

static void say(const struct es_setup_options *o, enum es_setup_word word, const char *text)
{
    o->say(o->arg, word, text);
}

static yajl_val at(yajl_val v, const char *a, const char *b, yajl_type type)
{
    const char *path[] = {a, b, NULL};

    return v ? yajl_tree_get(v, path, type) : NULL;
}

/* Which file suits it. OpenSearch Dashboards, which counts from 1, is a child of Kibana 7.10. */
static int choose(struct es_client *c, enum es_file *file, char *version, size_t cap,
                  struct error *e)
{
    struct strbuf response = {0};
    yajl_val tree, number;
    long status;
    int rc = es_client_request(c, "GET", "/api/status", BYTES_NONE, NULL, &status, &response, e);

    if (rc == 0) {
        tree = es_template_parse(strbuf_bytes(&response));
        number = at(tree, "version", "number", yajl_t_string);
        if (status == 200 && number) {
            snprintf(version, cap, "%s", YAJL_GET_STRING(number));
            *file = atoi(version) >= 8 ? ES_FILE_KIBANA_8 : ES_FILE_KIBANA_7;
        } else {
            rc = error_set(e, "%s: /api/status answers %ld and no version: is this a Kibana?",
                           es_client_host(c), status);
        }
        yajl_tree_free(tree);
    }
    strbuf_fini(&response);
    return rc;
}

/* The objects as a form with one file, for the configured indices. */
static void form(enum es_file file, const char *wildcard, const char *boundary, struct strbuf *to)
{
    struct bytes text = es_file(file);
    const char *p = text.p, *end = text.p + text.n, *found;

    strbuf_printf(to,
                  "--%s\r\nContent-Disposition: form-data; name=\"file\"; filename=\"barge.ndjson\""
                  "\r\nContent-Type: application/ndjson\r\n\r\n",
                  boundary);
    while ((found = memmem(p, (size_t)(end - p), OWN_INDICES, strlen(OWN_INDICES))) != NULL) {
        strbuf_add(to, p, (size_t)(found - p));
        strbuf_add_str(to, wildcard);
        p = found + strlen(OWN_INDICES);
    }
    strbuf_add(to, p, (size_t)(end - p));
    strbuf_printf(to, "\r\n--%s--\r\n", boundary);
}

static const char *text_or(yajl_val v, const char *other)
{
    return v ? YAJL_GET_STRING(v) : other;
}

/* Says what became of the objects. -1 when some could not be taken for another reason than that
 * they are there. */
static int report(const struct es_setup_options *o, bool overwrite, struct bytes answer,
                  struct error *e)
{
    yajl_val tree = es_template_parse(answer);
    yajl_val count = at(tree, "successCount", NULL, yajl_t_number);
    yajl_val errors = at(tree, "errors", NULL, yajl_t_array);
    long long there = 0, taken = count && YAJL_IS_INTEGER(count) ? YAJL_GET_INTEGER(count) : 0;
    char text[300];
    int rc = 0;

    if (!tree || !count)
        rc = error_set(e, "Kibana's answer to the import cannot be understood");
    for (size_t i = 0; errors && i < YAJL_GET_ARRAY(errors)->len; i++) {
        yajl_val one = YAJL_GET_ARRAY(errors)->values[i];
        const char *type = text_or(at(one, "error", "type", yajl_t_string), "unknown");

        if (strcmp(type, "conflict") == 0) {
            there++;
            continue;
        }
        snprintf(text, sizeof text, "%.40s %.80s was not taken: %.40s",
                 text_or(at(one, "type", NULL, yajl_t_string), "object"),
                 text_or(at(one, "id", NULL, yajl_t_string), "?"), type);
        say(o, ES_SETUP_MISSING, text);
        rc = error_set(e, "not all saved objects were taken");
    }
    if (taken) {
        snprintf(text, sizeof text, "%lld saved objects were imported%s", taken,
                 overwrite ? ", over what was there" : "");
        say(o, ES_SETUP_DID, text);
    }
    if (there) {
        snprintf(text, sizeof text,
                 "%lld saved objects are there already and stay as they are; --overwrite puts them "
                 "back as they were",
                 there);
        say(o, ES_SETUP_SAME, text);
    }
    yajl_tree_free(tree);
    return rc;
}

static int import(struct es_client *c, enum es_file file, bool overwrite,
                  const struct es_setup_options *o, struct error *e)
{
    struct strbuf wildcard = {0}, body = {0}, response = {0}, reason = {0};
    char boundary[40], type[100];
    uint64_t random;
    long status;
    int rc;

    hash_random(&random, sizeof random);
    snprintf(boundary, sizeof boundary, "barge-%016llx", (unsigned long long)random);
    snprintf(type, sizeof type, "multipart/form-data; boundary=%s", boundary);
    es_indices_wildcard(o->settings->index, &wildcard);
    form(file, wildcard.p, boundary, &body);
    rc = es_client_request(c, "POST",
                           overwrite ? "/api/saved_objects/_import?overwrite=true"
                                     : "/api/saved_objects/_import",
                           strbuf_bytes(&body), type, &status, &response, e);
    if (rc == 0 && status != 200) {
        es_client_reason(strbuf_bytes(&response), &reason);
        rc = error_set(e, "%s: the import answers %ld: %s", es_client_host(c), status,
                       reason.n ? reason.p : "");
    }
    if (rc == 0)
        rc = report(o, overwrite, strbuf_bytes(&response), e);
    strbuf_fini(&wildcard);
    strbuf_fini(&body);
    strbuf_fini(&response);
    strbuf_fini(&reason);
    return rc;
}

int es_kibana_import(const char *url, bool overwrite, const struct es_setup_options *o,
                     struct error *e)
{
    char *hosts[] = {base_strdup(url), NULL}, text[200], version[40];
    struct es_client *c = es_client_create(
        o->settings,
        &(struct es_client_options){.hosts = hosts, .headers = headers, .timeout_ms = TIMEOUT_MS},
        e);
    enum es_file file = ES_FILE_KIBANA_8;
    int rc = c ? choose(c, &file, version, sizeof version, e) : -1;

    if (rc == 0 && o->dry_run) {
        snprintf(text, sizeof text, "would import conf/kibana/%s into version %s",
                 file == ES_FILE_KIBANA_8 ? "kibana-8.ndjson" : "kibana-7.10.ndjson", version);
        say(o, ES_SETUP_DID, text);
    } else if (rc == 0) {
        rc = import(c, file, overwrite, o, e);
    }
    es_client_destroy(c);
    free(hosts[0]);
    return rc;
}
