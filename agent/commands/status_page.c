#include "agent/commands/status_page.h"

#include <curl/curl.h>

#define MAX_ANSWER (1u << 20)

static size_t on_answer(char *p, size_t size, size_t n, void *arg)
{
    struct strbuf *to = arg;

    if (to->n + size * n > MAX_ANSWER)
        return 0;
    strbuf_add(to, p, size * n);
    return size * n;
}

/* An agent that listens on all addresses is asked on loopback. */
static void add_url(struct strbuf *to, const char *listen)
{
    const char *port = strrchr(listen, ':');
    int host_len = (int)(port - listen);

    if (strncmp(listen, "0.0.0.0", (size_t)host_len) == 0)
        strbuf_printf(to, "http://127.0.0.1%s/status", port);
    else if (strncmp(listen, "[::]", (size_t)host_len) == 0)
        strbuf_printf(to, "http://[::1]%s/status", port);
    else
        strbuf_printf(to, "http://%s/status", listen);
}

static int get(const char *url, long timeout_s, struct strbuf *to, struct error *e)
{
    char why[CURL_ERROR_SIZE] = "";
    CURL *curl = curl_easy_init();
    CURLcode rc;

    if (!curl)
        base_die("out of memory");
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, timeout_s);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_FAILONERROR, 1L);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, why);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_answer);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, to);
    rc = curl_easy_perform(curl);
    curl_easy_cleanup(curl);
    if (rc != CURLE_OK)
        return error_set(e, "no agent answers at %s: %s; is it running with this configuration?",
                         url, *why ? why : curl_easy_strerror(rc));
    return 0;
}

int status_page_get(const struct config *c, long timeout_s, struct strbuf *to, struct error *e)
{
    struct strbuf url = {0};
    int rc;

    strbuf_clear(to);
    if (!*c->status_listen)
        return error_set(e, "status.listen is \"\" in this configuration, so nobody can be asked");
    add_url(&url, c->status_listen);
    rc = get(url.p, timeout_s, to, e);
    strbuf_add(to, "", 0);
    strbuf_fini(&url);
    return rc;
}
