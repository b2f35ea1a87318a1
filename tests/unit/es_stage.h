/*
 * A stage for tests of the whole delivery: stand-ins for buffer and dead letters, a scripted server
 * or two, and the output between them.
 *
 * With STAGE_CLOCK defined before it is included, the clock of agent/base/clock.h is the test's: it
 * runs with the real one and jumps when stage_jump says so, and the delivery thread never sleeps so
 * long that it would miss that. libcurl's own time-outs stay real.
 */
#ifndef BARGE_TEST_ES_STAGE_H
#define BARGE_TEST_ES_STAGE_H

#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "agent/base/metrics.h"
#include "outputs/output.h"
#include "tests/unit/es_server.h"
#include "tests/unit/es_standins.h"

#include <curl/curl.h>
#include <stdio.h>
#include <time.h>

#ifdef STAGE_CLOCK
static atomic_uint_fast64_t stage_skew_ms;

uint64_t clock_mono_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec +
           atomic_load(&stage_skew_ms) * 1000000u;
}

uint64_t clock_mono_ms(void)
{
    return clock_mono_ns() / 1000000u;
}

int64_t clock_wall_ns(void)
{
    return (int64_t)1542963600 * 1000000000;
}

static void stage_jump(uint64_t ms)
{
    atomic_fetch_add(&stage_skew_ms, ms);
}

CURLMcode curl_multi_poll(CURLM *multi, struct curl_waitfd *fds, unsigned n, int timeout_ms,
                          int *got)
{
    uint64_t before = clock_mono_ns();
    int ready = 0;
    CURLMcode code = curl_multi_wait(multi, fds, n, MIN(timeout_ms, 5), &ready);

    (void)got;
    /* Without a socket to wait for it does not wait at all. */
    if (ready == 0 && timeout_ms > 0 && clock_mono_ns() - before < 500000)
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    return code;
}
#endif

extern const struct output_kind_ops output_elasticsearch;

#define DEADLINE_MS 30000

struct fixture {
    struct server server, other; /* the other is only there when server_run was called for it */
    bool two;
    struct buffer *buffer;
    struct config config;
    char url[64], other_url[64];
    char *hosts[3];
    void *output;
};

static void wake(void *arg)
{
    struct fixture *f = arg;

    if (f->output != NULL)
        output_elasticsearch.wake(f->output);
}

static int set_up(void **state)
{
    struct fixture *f = base_calloc(1, sizeof *f);
    static char empty[] = "";

    letters_reset();
    f->buffer = buffer_make();
    f->buffer->on_data = wake;
    f->buffer->arg = f;
    server_start(&f->server);
    f->server.arg = f;
    snprintf(f->url, sizeof f->url, "http://127.0.0.1:%d/", f->server.port);
    f->hosts[0] = f->url;
    f->config.data_dir = empty;
    f->config.elasticsearch = (struct elasticsearch_settings){
        .hosts = f->hosts,
        .index = empty,
        .park_after_ms = 15 * 60000,
        .username = empty,
        .password_file = empty,
        .api_key_file = empty,
        .tls = {.ca_file = empty, .cert_file = empty, .key_file = empty, .verify = true},
        .proxy = empty,
        .batch_bytes = 64 << 10,
        .batch_delay_ms = 20,
        .max_in_flight = 4,
        .timeout_ms = 10000};
    *state = f;
    return 0;
}

/* A second node, with a store of its own. Before start. */
static inline void add_other(struct fixture *f)
{
    server_start(&f->other);
    f->other.arg = f;
    f->two = true;
    snprintf(f->other_url, sizeof f->other_url, "http://127.0.0.1:%d/", f->other.port);
    f->hosts[1] = f->other_url;
}

static void start_output(struct fixture *f)
{
    struct output_options o = {.config = &f->config, .buffer = f->buffer};
    struct error e;

    f->output = output_elasticsearch.start(&o, &e);
    assert_non_null(f->output);
}

static void start(struct fixture *f)
{
    server_run(&f->server);
    if (f->two)
        server_run(&f->other);
    start_output(f);
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    if (f->output != NULL)
        output_elasticsearch.stop(f->output, 0);
    server_stop(&f->server);
    if (f->two)
        server_stop(&f->other);
    buffer_unmake(f->buffer);
    letters_reset();
    free(f);
    return 0;
}

static void put(struct fixture *f, unsigned from, unsigned n, const char *index, const char *more)
{
    char document[4096];

    for (unsigned i = from; i < from + n; i++) {
        snprintf(document, sizeof document,
                 "{\"@timestamp\":\"2018-11-23T09:00:00Z\",\"n\":%u,\"event\":{\"sequence\":%u}%s}",
                 i, i, more);
        buffer_put(f->buffer, index, document);
    }
}

static bool reached(struct fixture *f, uint64_t seq)
{
    bool yes;

    pthread_mutex_lock(&f->buffer->lock);
    yes = f->buffer->frontier.seq >= seq;
    pthread_mutex_unlock(&f->buffer->lock);
    return yes;
}

/* Real time, whatever the test does to the clock. */
static inline uint64_t stage_now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

#define UNTIL_EACH(f, condition, each)                                                             \
    do {                                                                                           \
        uint64_t end_ = stage_now_ms() + DEADLINE_MS;                                              \
        while (!(condition)) {                                                                     \
            struct timespec t_ = {0, 1000000};                                                     \
            if (stage_now_ms() > end_)                                                             \
                fail_msg("not within the time: %s (frontier %llu)", #condition,                    \
                         (unsigned long long)(f)->buffer->frontier.seq);                           \
            each;                                                                                  \
            nanosleep(&t_, NULL);                                                                  \
        }                                                                                          \
    } while (0)
#define UNTIL(f, condition) UNTIL_EACH(f, condition, (void)0)

static void finish(struct fixture *f)
{
    output_elasticsearch.stop(f->output, 5000);
    f->output = NULL;
}

/* Each document 0..n exactly once at the server, but for those in except (ended by -1). */
static void check_store(struct fixture *f, unsigned n, const int *except)
{
    pthread_mutex_lock(&f->server.lock);
    for (unsigned i = 0; i < n; i++) {
        unsigned want = 1;

        for (const int *x = except; x != NULL && *x >= 0; x++)
            if ((unsigned)*x == i)
                want = 0;
        if (f->server.copies[i] != want)
            fail_msg("document %u: %u copies, not %u", i, f->server.copies[i], want);
    }
    pthread_mutex_unlock(&f->server.lock);
}

static void check_books(struct fixture *f, uint64_t delivered, uint64_t duplicate, uint64_t dead)
{
    assert_int_equal(f->buffer->total.delivered, delivered);
    assert_int_equal(f->buffer->total.duplicate, duplicate);
    assert_int_equal(f->buffer->total.dead_lettered, dead);
}

#endif
