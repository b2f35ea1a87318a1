#include "outputs/elasticsearch/es_host.h"

#include "agent/base/clock.h"
#include "agent/base/hash.h"
#include "agent/base/log.h"
#include "agent/base/metrics.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Status and error of each item suffice; without status, items that went well would be left out and
 * positions with them. */
#define PATH "/_bulk?filter_path=errors,items.*.status,items.*.error,items.*.failure_store"

#define CONNECT_MS 10000
#define UPLOAD_BUFFER (64L << 10)
#define RECEIVE_BUFFER (32L << 10)
#define ERROR_BODY_MAX (32u << 10)
#define RETRY_AFTER_MAX_MS 60000
#define COMPRESSION_LEVEL 1
/* What a compressed body may keep for the next one. */
#define PACKED_KEEP (512u << 10)

/* ---- hosts ---- */

static int host_init(struct es_host *host, const char *url, size_t number,
                     const struct elasticsearch_settings *settings, struct error *e)
{
    struct strbuf text = {0};

    if (es_http_address_init(&host->at, url, number, e) != 0)
        return -1;
    strbuf_printf(&text, "%s" PATH, host->at.base);
    host->url = base_strndup(text.p, text.n);
    strbuf_fini(&text);
    host->name = host->at.name;
    es_breaker_init(&host->breaker);
    /* One of several may swallow what it gets: no more than one request before it has answered. */
    es_limit_init(&host->limit, settings->hosts[1] == NULL ? 2 : 1,
                  (unsigned)MAX(1, MIN(settings->max_in_flight, 1024)));
    return 0;
}

int es_hosts_init(struct es_hosts *h, const struct elasticsearch_settings *settings,
                  struct error *e)
{
    uint64_t seed;
    size_t n = 0;

    h->settings = settings;
    if (es_credentials_read(&h->credentials, settings, NULL, e) != 0)
        return -1;
    es_credentials_warn(settings);
    if (!settings->tls.verify)
        log_warn("nodes need not prove who they are: whoever stands between can read and change "
                 "what is sent, passwords included",
                 LOG_STR("knob", "output.elasticsearch.tls.verify"));
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return error_set(e, "libcurl cannot be used");
    while (settings->hosts[n] != NULL)
        n++;
    if (n == 0)
        return error_set(e, "output.elasticsearch.hosts is empty");
    h->list = base_calloc(n, sizeof *h->list);
    for (h->n = 0; h->n < n;) {
        h->n++;
        if (host_init(&h->list[h->n - 1], settings->hosts[h->n - 1], h->n, settings, e) != 0)
            goto failed;
    }
    if (settings->gzip && deflateInit2(&h->deflate, COMPRESSION_LEVEL, Z_DEFLATED, 15 + 16, 8,
                                       Z_DEFAULT_STRATEGY) != Z_OK) {
        error_set(e, "zlib cannot be used");
        goto failed;
    }
    h->multi = curl_multi_init();
    if (h->multi == NULL)
        base_die("out of memory");
    curl_multi_setopt(h->multi, CURLMOPT_PIPELINING, CURLPIPE_NOTHING);
    hash_random(&seed, sizeof seed);
    h->random.state = seed | 1;
    return 0;
failed:
    es_hosts_fini(h);
    return -1;
}

static void request_free(struct es_request *r)
{
    curl_easy_cleanup(r->easy);
    curl_slist_free_all(r->headers);
    es_answer_fini(&r->answer);
    strbuf_fini(&r->packed);
    strbuf_fini(&r->error_body);
    free(r);
}

void es_hosts_fini(struct es_hosts *h)
{
    ASSERT(h->under_way == NULL);
    while (h->free != NULL) {
        struct es_request *r = h->free;

        h->free = r->next;
        request_free(r);
    }
    if (h->multi != NULL)
        curl_multi_cleanup(h->multi);
    if (h->deflate.state != NULL)
        deflateEnd(&h->deflate);
    for (size_t i = 0; i < h->n; i++) {
        free(h->list[i].url);
        es_http_address_fini(&h->list[i].at);
    }
    free(h->list);
    es_credentials_fini(&h->credentials);
    memset(h, 0, sizeof *h);
}

bool es_host_doubtful(const struct es_host *host)
{
    return host->ok_number == 0 || host->breaker.state != ES_BREAKER_CLOSED ||
           host->breaker.failures > 0;
}

bool es_hosts_well(const struct es_hosts *h)
{
    for (size_t i = 0; i < h->n; i++)
        if (!es_host_doubtful(&h->list[i]))
            return true;
    return false;
}

struct es_host *es_hosts_pick(struct es_hosts *h, uint64_t now_ms, bool probes, uint64_t *due_ms)
{
    struct es_host *best = NULL;
    size_t start = es_random_next(&h->random) % h->n;

    *due_ms = UINT64_MAX;
    for (size_t i = 0; i < h->n; i++) {
        struct es_host *host = &h->list[(start + i) % h->n];

        if (host->in_flight >= es_limit_allowed(&host->limit))
            continue;
        if (!probes && es_host_doubtful(host))
            continue;
        if (!es_breaker_allows(&host->breaker, now_ms)) {
            *due_ms = MIN(*due_ms, es_breaker_due_ms(&host->breaker));
            continue;
        }
        /* A host that is to be tried first: it is a probe, and needs one request only. */
        if (best == NULL || host->in_flight < best->in_flight ||
            (host->in_flight == best->in_flight && host->breaker.state == ES_BREAKER_OPEN))
            best = host;
    }
    return best;
}

enum es_breaker_state es_hosts_worst(const struct es_hosts *h, struct strbuf *text)
{
    enum es_breaker_state worst = ES_BREAKER_CLOSED;

    for (size_t i = 0; i < h->n; i++) {
        enum es_breaker_state state = h->list[i].breaker.state;

        worst = MAX(worst, state);
        strbuf_printf(text, "%s%s %s", i > 0 ? ", " : "", h->list[i].name, es_breaker_text(state));
    }
    return worst;
}

/* ---- one transfer ---- */

static void give_body_back(struct es_request *r)
{
    struct es_body *body = r->body;

    if (body == NULL)
        return;
    r->body = NULL;
    r->hosts->body_done(r->hosts->arg, body);
}

static void drop_packed(struct es_request *r)
{
    r->hosts->packed_bytes -= r->packed.n;
    if (r->packed.cap > PACKED_KEEP)
        strbuf_fini(&r->packed);
    strbuf_clear(&r->packed);
    r->packed_at = 0;
}

static size_t on_read(char *to, size_t size, size_t count, void *arg)
{
    struct es_request *r = arg;
    size_t room = size * count, n;

    if (r->packed.n > 0) {
        n = MIN(room, r->packed.n - r->packed_at);
        memcpy(to, r->packed.p + r->packed_at, n);
        r->packed_at += n;
    } else if (r->body != NULL) {
        n = es_body_read(r->body, to, room);
    } else {
        return 0;
    }
    r->sent_bytes += n;
    metric_add(M_OUT_BYTES, n);
    if (r->sent_bytes == r->body_bytes) {
        r->body_sent_ms = clock_mono_ms();
        give_body_back(r);
        drop_packed(r);
    }
    return n;
}

/* libcurl begins again when a kept connection turns out to be closed. Possible as long as we hold
 * the body. */
static int on_seek(void *arg, curl_off_t offset, int origin)
{
    struct es_request *r = arg;

    if (origin != SEEK_SET || offset != 0)
        return CURL_SEEKFUNC_FAIL;
    if (r->sent_bytes == 0)
        return CURL_SEEKFUNC_OK;
    if (r->packed.n > 0)
        r->packed_at = 0;
    else if (r->body != NULL)
        es_body_rewind(r->body);
    else
        return CURL_SEEKFUNC_FAIL;
    r->sent_bytes = 0;
    return CURL_SEEKFUNC_OK;
}

static size_t on_write(char *p, size_t size, size_t count, void *arg)
{
    struct es_request *r = arg;
    size_t n = size * count;
    long status = 0;

    curl_easy_getinfo(r->easy, CURLINFO_RESPONSE_CODE, &status);
    if (status != 200) {
        if (r->error_body.n < ERROR_BODY_MAX)
            strbuf_add(&r->error_body, p, MIN(n, ERROR_BODY_MAX - r->error_body.n));
        /* Whoever talks on after that much is not worth listening to. */
        return r->error_body.n < ERROR_BODY_MAX ? n : CURL_WRITEFUNC_ERROR;
    }
    if (!es_answer_feed(&r->answer, p, n))
        return CURL_WRITEFUNC_ERROR;
    if (es_answer_complete(&r->answer))
        curl_easy_setopt(r->easy, CURLOPT_FORBID_REUSE, 0L);
    return n;
}

static void set_up(struct es_request *r)
{
    const struct es_hosts *h = r->hosts;
    const struct elasticsearch_settings *s = h->settings;
    CURL *easy = r->easy;

    curl_easy_reset(easy);
    curl_easy_setopt(easy, CURLOPT_URL, r->host->url);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, r);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, r->trouble);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)s->timeout_ms);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)MIN(s->timeout_ms, CONNECT_MS));
    curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, UPLOAD_BUFFER);
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, RECEIVE_BUFFER);
    /* Until the answer has proved perfect. */
    curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
    curl_easy_setopt(easy, CURLOPT_POST, 1L);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body_bytes);
    curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_read);
    curl_easy_setopt(easy, CURLOPT_READDATA, r);
    curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, on_seek);
    curl_easy_setopt(easy, CURLOPT_SEEKDATA, r);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_write);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, r);

    curl_slist_free_all(r->headers);
    r->headers = NULL;
    es_http_set_up(easy, &r->headers, s, &h->credentials, &r->host->at);
    es_http_add_header(&r->headers, "Content-Type: application/x-ndjson");
    if (s->gzip)
        es_http_add_header(&r->headers, "Content-Encoding: gzip");
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, r->headers);
}

static struct es_request *request_new(struct es_hosts *h)
{
    struct es_request *r = h->free;

    if (r != NULL) {
        h->free = r->next;
    } else {
        r = base_calloc(1, sizeof *r);
        r->hosts = h;
        r->easy = curl_easy_init();
        if (r->easy == NULL)
            base_die("out of memory");
    }
    r->next = h->under_way;
    h->under_way = r;
    return r;
}

void es_hosts_send(struct es_hosts *h, struct es_host *host, struct es_body *body,
                   struct es_batch *batch, struct es_lane *lane, uint64_t now_ms)
{
    struct es_request *r = request_new(h);

    r->host = host;
    r->batch = batch;
    r->lane = lane;
    r->body = body;
    r->items = body->n;
    r->sent_bytes = 0;
    r->result = CURLE_OK;
    r->status = 0;
    r->counts = false;
    r->retry_after_ms = 0;
    r->begun_ms = now_ms;
    r->ok_begun = host->ok_number;
    r->body_sent_ms = 0;
    r->trouble[0] = '\0';
    strbuf_clear(&r->error_body);
    es_answer_begin(&r->answer, body->n);
    if (batch != NULL)
        es_answer_check_ids(&r->answer, h->id_is, batch);
    if (h->settings->gzip) {
        es_body_deflate(body, &h->deflate, &r->packed);
        h->packed_bytes += r->packed.n;
        give_body_back(r);
        r->body_bytes = r->packed.n;
    } else {
        es_body_rewind(body);
        r->body_bytes = body->total;
    }
    set_up(r);
    es_breaker_sent(&host->breaker, now_ms);
    host->in_flight++;
    h->in_flight++;
    metric_add(M_OUT_REQUESTS, 1);
    if (curl_multi_add_handle(h->multi, r->easy) != CURLM_OK)
        base_die("libcurl does not take a request");
}

static void finish(struct es_hosts *h, struct es_request *r, CURLcode result)
{
    curl_off_t seconds = 0;

    r->result = result;
    curl_easy_getinfo(r->easy, CURLINFO_RESPONSE_CODE, &r->status);
    if (curl_easy_getinfo(r->easy, CURLINFO_RETRY_AFTER, &seconds) == CURLE_OK && seconds > 0)
        r->retry_after_ms = MIN((uint64_t)seconds, RETRY_AFTER_MAX_MS / 1000) * 1000;
    curl_multi_remove_handle(h->multi, r->easy);
    r->counts = r->status == 200 && es_answer_end(&r->answer) && result == CURLE_OK;
    give_body_back(r);
    drop_packed(r);
    r->host->in_flight--;
    h->in_flight--;
    h->ended(h->arg, r);
    for (struct es_request **p = &h->under_way;; p = &(*p)->next) {
        ASSERT(*p != NULL);
        if (*p == r) {
            *p = r->next;
            break;
        }
    }
    r->next = h->free;
    h->free = r;
}

void es_hosts_poll(struct es_hosts *h, uint64_t wait_ms)
{
    int running, left;
    CURLMsg *m;

    /* What was begun since goes out first. */
    curl_multi_perform(h->multi, &running);
    if ((unsigned)running == h->in_flight)
        curl_multi_poll(h->multi, NULL, 0, (int)MIN(wait_ms, 3600000), NULL);
    curl_multi_perform(h->multi, &running);
    while ((m = curl_multi_info_read(h->multi, &left)) != NULL) {
        struct es_request *r;

        if (m->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&r);
        finish(h, r, m->data.result);
    }
}

void es_hosts_wake(struct es_hosts *h)
{
    curl_multi_wakeup(h->multi);
}

void es_hosts_abort(struct es_hosts *h)
{
    while (h->under_way != NULL)
        finish(h, h->under_way, CURLE_ABORTED_BY_CALLBACK);
}
