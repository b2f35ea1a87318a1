#include "outputs/elasticsearch/es_chores.h"

#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "agent/base/metrics.h"
#include "agent/base/version.h"
#include "outputs/elasticsearch/es_setup.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define TIMEOUT_MS 10000u /* of one request */
/* What the first records wait for an answer to "is the template there?" at most: several requests,
 * of a node that may have just started and takes seconds for its first ones. */
#define HOLD_MS 30000u
/* How long an attempt that found nobody speaks for what is to be sent. */
#define ALLOWED_MS 200u
#define RETRY_MS 1000u
#define RETRY_MAX_MS 30000u
#define FIGURES_MS 60000u
#define RESPONSE_MAX (8u << 20)

struct es_chores {
    const struct config *config;
    struct es_setup_options setup;
    struct es_client *client;
    const struct output_figures *figures; /* NULL: self_index is off */
    void (*on_turn)(void *arg);
    void *arg;
    uint64_t started_ms;
    pthread_t thread;

    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* under lock */
    bool stopping, asked;
    unsigned attempts; /* that have ended */
    bool settled;

    /* the thread's */
    uint64_t setup_due_ms, retry_ms, figures_due_ms;

    /* the delivery thread's */
    bool waiting;
    unsigned seen;
    uint64_t hold_until_ms, allowed_until_ms;
};

/* ---- setting up ---- */

static void say(void *arg, enum es_setup_word word, const char *text)
{
    (void)arg;
    if (word == ES_SETUP_DID || word == ES_SETUP_SAME)
        log_info("index side", LOG_STR("what", text));
    else
        LOG_EACH(LOG_WARN, "index side", LOG_STR("what", text), LOG_STR("knob", "setup"));
}

/* One attempt; true when there is no need of another. */
static bool set_up(struct es_chores *c, uint64_t now_ms)
{
    struct error e = {""};
    bool stopping;

    if (es_setup_run(c->client, &c->setup, &e) != ES_SETUP_AWAY)
        return true;
    pthread_mutex_lock(&c->lock);
    stopping = c->stopping;
    pthread_mutex_unlock(&c->lock);
    if (!stopping)
        log_warn("the index template waits for the node", LOG_STR("why", e.text));
    c->retry_ms = MIN(MAX(c->retry_ms * 2, RETRY_MS), RETRY_MAX_MS);
    c->setup_due_ms = now_ms + c->retry_ms;
    return false;
}

/* ---- figures ---- */

static void add_text_figure(void *arg, const char *path, const char *text)
{
    struct strbuf *to = arg;

    strbuf_printf(to, ",\"barge.%s\":", path);
    strbuf_add_json(to, bytes_str(text));
}

/* As of now_ns, of which tm is the second. Names with dots are objects to the node. */
static void write_figures(const struct es_chores *c, const struct tm *tm, int64_t now_ns,
                          struct strbuf *to)
{
    char at[40];

    strftime(at, sizeof at, "%Y-%m-%dT%H:%M:%S", tm);
    c->figures->fill(c->figures->arg);
    strbuf_printf(to, "{\"@timestamp\":\"%s.%03dZ\",\"host.name\":", at,
                  (int)(now_ns / 1000000 % 1000));
    strbuf_add_json(to, bytes_str(c->figures->host));
    strbuf_printf(to,
                  ",\"agent.type\":\"barge\",\"agent.version\":\"" BARGE_VERSION
                  "\",\"barge.uptime_s\":%llu",
                  (unsigned long long)((clock_mono_ms() - c->started_ms) / 1000));
    for (size_t i = 0; i < METRIC_COUNT; i++)
        strbuf_printf(to, ",\"barge.%s\":%llu", metric_infos[i].path,
                      (unsigned long long)metric_get((enum metric)i));
    metric_text_each(add_text_figure, to);
    strbuf_add_char(to, '}');
}

/* Figures are no records: what does not arrive is made up for by the next minute's. One look at the
 * clock: the index is that of their own day. */
static void send_figures(struct es_chores *c)
{
    struct strbuf body = {0}, response = {0}, reason = {0};
    struct error e = {""};
    int64_t now_ns = clock_wall_ns();
    time_t now = (time_t)(now_ns / 1000000000);
    char path[80];
    struct tm tm;
    long status;

    gmtime_r(&now, &tm);
    strftime(path, sizeof path, "/barge-figures-%Y.%m.%d/_doc?filter_path=result", &tm);
    write_figures(c, &tm, now_ns, &body);
    if (es_client_request(c->client, "POST", path, strbuf_bytes(&body), NULL, &status, &response,
                          &e) < 0) {
        log_warn("own figures could not be indexed", LOG_STR("why", e.text));
    } else if (status != 200 && status != 201) {
        es_client_reason(strbuf_bytes(&response), &reason);
        log_warn("own figures could not be indexed", LOG_I64("status", status),
                 LOG_STR("why", reason.n ? reason.p : ""), LOG_STR("knob", "self_index"));
    }
    strbuf_fini(&body);
    strbuf_fini(&response);
    strbuf_fini(&reason);
}

/* ---- the thread ---- */

static void wait_until_ms(struct es_chores *c, uint64_t due_ms)
{
    struct timespec at = {.tv_sec = (time_t)(due_ms / 1000),
                          .tv_nsec = (long)(due_ms % 1000) * 1000000};

    pthread_cond_timedwait(&c->changed, &c->lock, &at);
}

/* With the lock held, which it gives up while it works. Returns when to look again. */
static uint64_t turn(struct es_chores *c)
{
    uint64_t now_ms = clock_mono_ms(), due_ms = UINT64_MAX;
    bool asked = c->asked;

    c->asked = false;
    if (!c->settled) {
        if (asked || now_ms >= c->setup_due_ms) {
            bool settled;

            pthread_mutex_unlock(&c->lock);
            settled = set_up(c, now_ms);
            pthread_mutex_lock(&c->lock);
            c->settled = settled;
            c->attempts++;
            pthread_mutex_unlock(&c->lock);
            c->on_turn(c->arg);
            pthread_mutex_lock(&c->lock);
            return 0;
        }
        return c->setup_due_ms;
    }
    if (c->figures) {
        if (now_ms >= c->figures_due_ms) {
            c->figures_due_ms = now_ms + FIGURES_MS;
            pthread_mutex_unlock(&c->lock);
            send_figures(c);
            pthread_mutex_lock(&c->lock);
        }
        due_ms = c->figures_due_ms;
    }
    return due_ms;
}

static void *run(void *arg)
{
    struct es_chores *c = arg;
    uint64_t due_ms;
    sigset_t all;

    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    pthread_setname_np(pthread_self(), "chores");
    pthread_mutex_lock(&c->lock);
    while (!c->stopping && (due_ms = turn(c)) != UINT64_MAX)
        if (due_ms > 0 && !c->stopping && !c->asked)
            wait_until_ms(c, due_ms);
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

int es_chores_start(const struct output_options *o, void (*on_turn)(void *arg), void *arg,
                    struct es_chores **chores, struct error *e)
{
    const struct config *config = o->config;
    pthread_condattr_t attr;
    struct es_chores *c;

    *chores = NULL;
    if (!config->setup && !config->self_index)
        return 0;
    c = base_calloc(1, sizeof *c);
    c->config = config;
    c->setup = (struct es_setup_options){
        .settings = &config->elasticsearch,
        .retention_ms = config_retention_ms(config),
        .figures = config->self_index,
        .say = say,
    };
    c->figures = config->self_index ? o->figures : NULL;
    c->settled = !config->setup;
    c->on_turn = on_turn;
    c->arg = arg;
    c->started_ms = clock_mono_ms();
    c->client = es_client_create(
        &config->elasticsearch,
        &(struct es_client_options){.timeout_ms = MIN(TIMEOUT_MS, config->elasticsearch.timeout_ms),
                                    .response_max = RESPONSE_MAX},
        e);
    if (c->client == NULL) {
        free(c);
        return -1;
    }
    pthread_mutex_init(&c->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&c->changed, &attr);
    pthread_condattr_destroy(&attr);
    if (pthread_create(&c->thread, NULL, run, c) != 0) {
        es_client_destroy(c->client);
        free(c);
        return error_set(e, "cannot start a thread");
    }
    *chores = c;
    return 0;
}

bool es_chores_allow(struct es_chores *c, uint64_t now_ms, uint64_t *due_ms)
{
    bool settled;
    unsigned attempts;

    if (now_ms < c->allowed_until_ms)
        return true;
    pthread_mutex_lock(&c->lock);
    if (!c->waiting && !c->settled) {
        c->waiting = true;
        c->seen = c->attempts;
        c->hold_until_ms = now_ms + HOLD_MS;
        c->asked = true;
        pthread_cond_signal(&c->changed);
    }
    settled = c->settled;
    attempts = c->attempts;
    pthread_mutex_unlock(&c->lock);
    if (settled || attempts != c->seen || now_ms >= c->hold_until_ms) {
        c->waiting = false;
        c->allowed_until_ms = now_ms + ALLOWED_MS;
        return true;
    }
    *due_ms = MIN(*due_ms, c->hold_until_ms);
    return false;
}

void es_chores_sent(struct es_chores *c)
{
    c->allowed_until_ms = 0;
}

void es_chores_stop(struct es_chores *c)
{
    if (c == NULL)
        return;
    pthread_mutex_lock(&c->lock);
    c->stopping = true;
    pthread_cond_signal(&c->changed);
    pthread_mutex_unlock(&c->lock);
    es_client_abort(c->client);
    pthread_join(c->thread, NULL);
    es_client_destroy(c->client);
    pthread_cond_destroy(&c->changed);
    pthread_mutex_destroy(&c->lock);
    free(c);
}
