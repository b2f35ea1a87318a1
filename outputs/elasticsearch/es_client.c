#include "outputs/elasticsearch/es_client.h"

#include "outputs/elasticsearch/es_http.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <yajl/yajl_tree.h>

#define TIMEOUT_MS 30000u
#define CONNECT_MS 5000u
#define RESPONSE_MAX (64u << 20)
#define REASON_MAX 300

struct es_client {
    const struct elasticsearch_settings *settings;
    struct es_client_options options;
    struct es_credentials credentials;
    struct es_address *hosts;
    size_t n_hosts, first; /* first: the one that answered last */
    size_t asked;
    CURLM *multi;
    CURL *easy;
    char trouble[CURL_ERROR_SIZE];
    atomic_bool aborted;

    /* of the request under way */
    struct strbuf *response;
    bool too_large;
};

/* One request as it was asked for. */
struct asked {
    const char *method, *path, *content_type;
    struct bytes body;
};

struct es_client *es_client_create(const struct elasticsearch_settings *settings,
                                   const struct es_client_options *options, struct error *e)
{
    struct es_client *c = base_calloc(1, sizeof *c);
    char *const *hosts = options->hosts ? options->hosts : settings->hosts;

    c->settings = settings;
    c->options = *options;
    if (c->options.timeout_ms == 0)
        c->options.timeout_ms = TIMEOUT_MS;
    if (c->options.response_max == 0)
        c->options.response_max = RESPONSE_MAX;
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        error_set(e, "libcurl cannot be used");
        goto failed;
    }
    if (es_credentials_read(&c->credentials, settings, NULL, e) != 0)
        goto failed;
    while (hosts[c->n_hosts] != NULL)
        c->n_hosts++;
    c->hosts = base_calloc(c->n_hosts, sizeof *c->hosts);
    for (size_t i = 0; i < c->n_hosts; i++)
        if (es_http_address_init(&c->hosts[i], hosts[i], i + 1, e) != 0)
            goto failed;
    c->multi = curl_multi_init();
    c->easy = curl_easy_init();
    if (c->multi == NULL || c->easy == NULL)
        base_die("out of memory");
    return c;
failed:
    es_client_destroy(c);
    return NULL;
}

void es_client_destroy(struct es_client *c)
{
    if (c == NULL)
        return;
    curl_easy_cleanup(c->easy);
    if (c->multi != NULL)
        curl_multi_cleanup(c->multi);
    for (size_t i = 0; c->hosts != NULL && i < c->n_hosts; i++)
        es_http_address_fini(&c->hosts[i]);
    free(c->hosts);
    es_credentials_fini(&c->credentials);
    free(c);
}

const char *es_client_host(const struct es_client *c)
{
    return c->hosts[c->asked].name;
}

void es_client_abort(struct es_client *c)
{
    atomic_store(&c->aborted, true);
    curl_multi_wakeup(c->multi);
}

/* ---- one attempt at one host ---- */

static size_t on_write(char *p, size_t size, size_t count, void *arg)
{
    struct es_client *c = arg;
    size_t n = size * count;

    if (c->response->n + n > c->options.response_max) {
        c->too_large = true;
        return CURL_WRITEFUNC_ERROR;
    }
    strbuf_add(c->response, p, n);
    return n;
}

static void set_up(struct es_client *c, const struct asked *a, const char *url,
                   struct curl_slist **headers)
{
    struct strbuf line = {0};
    CURL *easy = c->easy;

    curl_easy_reset(easy);
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, c->trouble);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)c->options.timeout_ms);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)MIN(c->options.timeout_ms, CONNECT_MS));
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_write);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, c);
    es_http_set_up(easy, headers, c->settings, &c->credentials, &c->hosts[c->asked]);
    if (a->body.p != NULL) {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, a->body.p);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)a->body.n);
        strbuf_printf(&line, "Content-Type: %s",
                      a->content_type ? a->content_type : "application/json");
        es_http_add_header(headers, line.p);
        strbuf_fini(&line);
    } else if (strcmp(a->method, "HEAD") == 0) {
        curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    }
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, a->method);
    for (size_t i = 0; c->options.headers != NULL && c->options.headers[i] != NULL; i++)
        es_http_add_header(headers, c->options.headers[i]);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, *headers);
}

/* libcurl's multi interface for one transfer: unlike the easy one, another thread can end it. */
static CURLcode transfer(struct es_client *c)
{
    CURLcode result = CURLE_ABORTED_BY_CALLBACK;
    int running = 1, left;
    CURLMsg *m;

    if (curl_multi_add_handle(c->multi, c->easy) != CURLM_OK)
        base_die("libcurl does not take a request");
    while (!atomic_load(&c->aborted)) {
        curl_multi_perform(c->multi, &running);
        if (running == 0)
            break;
        curl_multi_poll(c->multi, NULL, 0, 1000, NULL);
    }
    while ((m = curl_multi_info_read(c->multi, &left)) != NULL)
        if (m->msg == CURLMSG_DONE)
            result = m->data.result;
    curl_multi_remove_handle(c->multi, c->easy);
    return result;
}

/* 0 with *status when the host of c->asked answered; -1 with *e. */
static int ask_host(struct es_client *c, const struct asked *a, long *status,
                    struct strbuf *response, struct error *e)
{
    const char *name = c->hosts[c->asked].name;
    struct curl_slist *headers = NULL;
    struct strbuf url = {0};
    CURLcode result;

    strbuf_printf(&url, "%s%s", c->hosts[c->asked].base, a->path);
    strbuf_clear(response);
    c->response = response;
    c->too_large = false;
    c->trouble[0] = '\0';
    set_up(c, a, url.p, &headers);
    result = transfer(c);
    strbuf_add(response, "", 0); /* NUL-terminated, an empty one too */
    curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, status);
    curl_slist_free_all(headers);
    strbuf_fini(&url);
    if (result == CURLE_OK && *status != 0)
        return 0;
    if (atomic_load(&c->aborted))
        return error_set(e, "%s: given up: time to stop", name);
    if (c->too_large)
        return error_set(e, "%s: the answer has more than %zu bytes", name,
                         c->options.response_max);
    return error_set(e, "%s: %s", name, c->trouble[0] ? c->trouble : curl_easy_strerror(result));
}

/* ---- all hosts ---- */

static bool host_is_away(long status)
{
    return status == 502 || status == 503 || status == 504;
}

static int ask_all(struct es_client *c, const struct asked *a, long *status,
                   struct strbuf *response, struct error *e)
{
    int rc = -1;

    for (size_t i = 0; i < c->n_hosts && !atomic_load(&c->aborted); i++) {
        c->asked = (c->first + i) % c->n_hosts;
        rc = ask_host(c, a, status, response, e);
        if (c->too_large)
            break; /* the others would say the same */
        if (rc == 0 && !(host_is_away(*status) && i + 1 < c->n_hosts)) {
            c->first = c->asked;
            break;
        }
    }
    return rc;
}

int es_client_request(struct es_client *c, const char *method, const char *path, struct bytes body,
                      const char *content_type, long *status, struct strbuf *response,
                      struct error *e)
{
    const struct asked a = {method, path, content_type, body};
    bool changed = false;
    int rc;

    ASSERT(path[0] == '/');
    error_set(e, "given up: time to stop");
    *status = 0;
    rc = ask_all(c, &a, status, response, e);
    if (rc == 0 && *status == 401 &&
        es_credentials_read(&c->credentials, c->settings, &changed, NULL) == 0 && changed)
        rc = ask_all(c, &a, status, response, e);
    return rc;
}

/* ---- paths and answers ---- */

void es_client_escape(struct strbuf *to, struct bytes s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char b = (unsigned char)s.p[i];

        if ((b >= '0' && b <= '9') || (b >= 'A' && b <= 'Z') || (b >= 'a' && b <= 'z') ||
            (b != '\0' && strchr("-_.~", b) != NULL))
            strbuf_add_char(to, (char)b);
        else
            strbuf_printf(to, "%%%02X", b);
    }
}

void es_client_reason(struct bytes response, struct strbuf *to)
{
    static const char *const type_path[] = {"error", "type", NULL};
    static const char *const reason_path[] = {"error", "reason", NULL};
    struct strbuf text = {0};
    yajl_val tree, type, reason;

    strbuf_add_bytes(&text, response);
    strbuf_add(&text, "", 1);
    tree = yajl_tree_parse(text.p, NULL, 0);
    type = tree ? yajl_tree_get(tree, (const char **)(uintptr_t)type_path, yajl_t_string) : NULL;
    reason =
        tree ? yajl_tree_get(tree, (const char **)(uintptr_t)reason_path, yajl_t_string) : NULL;
    if (type != NULL)
        strbuf_printf(to, "%.100s: %.*s", YAJL_GET_STRING(type), REASON_MAX,
                      reason != NULL ? YAJL_GET_STRING(reason) : "");
    else
        strbuf_add(to, response.p, MIN(response.n, REASON_MAX));
    yajl_tree_free(tree);
    strbuf_fini(&text);
}
