#include "outputs/elasticsearch/es_http.h"

#include "agent/base/strbuf.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* Connections last, so names are rarely asked for; and one that has moved is to be found soon. */
#define DNS_CACHE_S 5L
#define SETTING "output.elasticsearch.tls."

static char *take_part(CURLU *u, CURLUPart part, unsigned flags)
{
    char *text = NULL, *copy = NULL;

    if (curl_url_get(u, part, &text, flags) == CURLUE_OK && text != NULL)
        copy = base_strdup(text);
    curl_free(text);
    return copy;
}

int es_http_address_init(struct es_address *a, const char *url, size_t number, struct error *e)
{
    CURLU *u = curl_url();
    char *name = NULL, *port = NULL;
    struct strbuf text = {0};
    size_t n;

    memset(a, 0, sizeof *a);
    if (u == NULL || curl_url_set(u, CURLUPART_URL, url, 0) != CURLUE_OK)
        goto out;
    a->user = take_part(u, CURLUPART_USER, CURLU_URLDECODE);
    a->password = take_part(u, CURLUPART_PASSWORD, CURLU_URLDECODE);
    curl_url_set(u, CURLUPART_USER, NULL, 0);
    curl_url_set(u, CURLUPART_PASSWORD, NULL, 0);
    curl_url_set(u, CURLUPART_QUERY, NULL, 0);
    curl_url_set(u, CURLUPART_FRAGMENT, NULL, 0);
    name = take_part(u, CURLUPART_HOST, 0);
    port = take_part(u, CURLUPART_PORT, CURLU_DEFAULT_PORT);
    if (name == NULL || port == NULL)
        goto out;
    a->base = take_part(u, CURLUPART_URL, 0);
    for (n = a->base ? strlen(a->base) : 0; n > 0 && a->base[n - 1] == '/';)
        a->base[--n] = '\0';
    strbuf_printf(&text, "%s:%s", name, port);
    a->name = base_strndup(text.p, text.n);
out:
    strbuf_fini(&text);
    free(name);
    free(port);
    curl_url_cleanup(u);
    if (a->base != NULL && a->name != NULL)
        return 0;
    es_http_address_fini(a);
    return error_set(e, "output.elasticsearch.hosts: libcurl cannot use number %zu", number);
}

void es_http_address_fini(struct es_address *a)
{
    free(a->base);
    free(a->name);
    free(a->user);
    if (a->password != NULL)
        explicit_bzero(a->password, strlen(a->password));
    free(a->password);
    memset(a, 0, sizeof *a);
}

void es_http_add_header(struct curl_slist **headers, const char *line)
{
    struct curl_slist *list = curl_slist_append(*headers, line);

    if (list == NULL)
        base_die("out of memory");
    *headers = list;
}

/* Copied by libcurl: a reload may come while the request is under way. */
static void set_pem(CURL *easy, CURLoption option, const struct es_secret *pem)
{
    struct curl_blob blob = {pem->p, pem->n, CURL_BLOB_COPY};

    if (pem->p)
        curl_easy_setopt(easy, option, &blob);
}

/* From memory: libcurl compares the bytes, so that a connection made with other ones is not used
 * again. */
static void set_up_tls(CURL *easy, bool verify, const struct es_credentials *c)
{
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, verify ? 1L : 0L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, verify ? 2L : 0L);
    set_pem(easy, CURLOPT_CAINFO_BLOB, &c->ca_file);
    set_pem(easy, CURLOPT_SSLCERT_BLOB, &c->cert_file);
    set_pem(easy, CURLOPT_SSLKEY_BLOB, &c->key_file);
}

static void set_up_who_we_are(CURL *easy, struct curl_slist **headers, const char *username,
                              const struct es_credentials *c, const struct es_address *a)
{
    if (c->api_key.p != NULL) {
        char line[ES_SECRET_MAX + 64];

        snprintf(line, sizeof line, "Authorization: ApiKey %s", c->api_key.p);
        es_http_add_header(headers, line);
    } else if (username[0] != '\0' || a->user != NULL) {
        bool configured = username[0] != '\0';

        curl_easy_setopt(easy, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
        curl_easy_setopt(easy, CURLOPT_USERNAME, configured ? username : a->user);
        if (configured)
            curl_easy_setopt(easy, CURLOPT_PASSWORD, c->password.p ? c->password.p : "");
        else if (a->password != NULL)
            curl_easy_setopt(easy, CURLOPT_PASSWORD, a->password);
    }
}

void es_http_set_up(CURL *easy, struct curl_slist **headers,
                    const struct elasticsearch_settings *settings,
                    const struct es_credentials *credentials, const struct es_address *address)
{
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    /* A stop does not wait for a name look-up that hangs: its thread goes with the process. */
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    /* An empty proxy also keeps the environment's away. */
    curl_easy_setopt(easy, CURLOPT_PROXY, settings->proxy);
    curl_easy_setopt(easy, CURLOPT_DNS_CACHE_TIMEOUT, DNS_CACHE_S);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    set_up_tls(easy, settings->tls.verify, credentials);
    es_http_add_header(headers, "Accept: application/json");
    es_http_add_header(headers, "Expect:");
    es_http_add_header(headers, "User-Agent: barge");
    set_up_who_we_are(easy, headers, settings->username, credentials, address);
}

/* ---- without a node ---- */

/* A port of this host at which nobody answers; -1: none to be had. */
static int listen_here(char url[64])
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return -1;
    if (bind(fd, (struct sockaddr *)&at, sizeof at) < 0 || listen(fd, 1) < 0 ||
        getsockname(fd, (struct sockaddr *)&at, &n) < 0) {
        close(fd);
        return -1;
    }
    snprintf(url, 64, "https://127.0.0.1:%d/", ntohs(at.sin_port));
    return fd;
}

/* Lets the transfer come to its end, which it does when it finds that the other side says nothing.
 */
static CURLcode talk_to_nobody(CURL *easy, int listener)
{
    CURLM *multi = curl_multi_init();
    CURLcode result = CURLE_OK;
    int running = 1, left, peer = -1;
    CURLMsg *m;

    if (multi == NULL || curl_multi_add_handle(multi, easy) != CURLM_OK)
        base_die("out of memory");
    while (running > 0) {
        curl_multi_perform(multi, &running);
        if (peer < 0) {
            peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
            if (peer >= 0)
                shutdown(peer, SHUT_WR);
        }
        curl_multi_poll(multi, NULL, 0, 10, NULL);
    }
    while ((m = curl_multi_info_read(multi, &left)) != NULL)
        if (m->msg == CURLMSG_DONE)
            result = m->data.result;
    curl_multi_remove_handle(multi, easy);
    curl_multi_cleanup(multi);
    if (peer >= 0)
        close(peer);
    return result;
}

static int judge_certificates(CURLcode result, const char *trouble, const struct tls_settings *tls,
                              struct error *e)
{
    if (result == CURLE_SSL_CACERT_BADFILE)
        return error_set(e, SETTING "ca_file: %s: no certificate in it can be read", tls->ca_file);
    if (result != CURLE_SSL_CERTPROBLEM)
        return 0;
    if (strstr(trouble, "rivate key") != NULL)
        return error_set(e, SETTING "key_file: %s: cannot be read, or is not the key of %s",
                         tls->key_file, tls->cert_file);
    return error_set(e, SETTING "cert_file: %s: the certificate cannot be read", tls->cert_file);
}

/* libcurl reads certificates when it begins to talk over TLS. What comes of the talk itself says
 * nothing. */
static int try_certificates(const struct elasticsearch_settings *settings,
                            const struct es_credentials *credentials, struct error *e)
{
    static const struct es_address nobody = {0};
    struct curl_slist *headers = NULL;
    char trouble[CURL_ERROR_SIZE] = "", url[64];
    int listener = listen_here(url), rc;
    CURL *easy;

    if (listener < 0)
        return 0;
    easy = curl_easy_init();
    if (easy == NULL)
        base_die("out of memory");
    es_http_set_up(easy, &headers, settings, credentials, &nobody);
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_USERPWD, NULL);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, 10000L);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, trouble);
    rc = judge_certificates(talk_to_nobody(easy, listener), trouble, &settings->tls, e);
    curl_easy_cleanup(easy);
    curl_slist_free_all(headers);
    close(listener);
    return rc;
}

int es_http_check(const struct elasticsearch_settings *settings, struct error *e)
{
    struct es_credentials credentials = {0};
    int rc = es_credentials_read(&credentials, settings, NULL, e);

    for (size_t i = 0; rc == 0 && settings->hosts[i] != NULL; i++) {
        struct es_address address = {0};

        rc = es_http_address_init(&address, settings->hosts[i], i + 1, e);
        if (rc == 0)
            es_http_address_fini(&address);
    }
    if (rc == 0 && (credentials.ca_file.p != NULL || credentials.cert_file.p != NULL)) {
        if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
            rc = error_set(e, "libcurl cannot be used");
        else
            rc = try_certificates(settings, &credentials, e);
    }
    es_credentials_fini(&credentials);
    return rc;
}
