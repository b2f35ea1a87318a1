/*
 * The delivery thread: starts, stops, and decides what is sent next. It sleeps in libcurl's poll
 * until a transfer moves, something is due, or the buffer has more; with nothing to do it does not
 * wake at all.
 */
#include "outputs/elasticsearch/es_delivery.h"

#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "agent/base/metrics.h"
#include "outputs/output.h"

#include <signal.h>
#include <stdlib.h>

#define BODIES_BYTES (2u << 20)
#define FREE_BATCHES_MAX 32
/* Batches and records that wait to be sent again; beyond it nothing new is read. */
#define PENDING_MAX 64
#define PENDING_RECORDS_MAX 16384
#define UPKEEP_MS 1000
/* What neither disk nor quota took is offered to them again after so long. */
#define PARK_RETRY_MS 5000
#define FOREVER UINT64_MAX

extern const struct output_kind_ops output_elasticsearch;

/* ---- pools ---- */

struct es_batch *es_take_batch(struct es *es)
{
    struct es_batch *b = es->free_batches;

    if (b == NULL)
        return es_batch_create();
    es->free_batches = b->next;
    es->n_free_batches--;
    b->next = NULL;
    return b;
}

void es_give_batch(struct es *es, struct es_batch *b)
{
    if (es->n_free_batches == FREE_BATCHES_MAX) {
        es_batch_free(b);
        return;
    }
    es_batch_clear(b);
    b->next = es->free_batches;
    es->free_batches = b;
    es->n_free_batches++;
}

struct es_body *es_take_body(struct es *es)
{
    if (es->bodies_out == es->bodies_max || es->hosts.packed_bytes > BODIES_BYTES)
        return NULL;
    es->bodies_out++;
    if (es->n_bodies > 0)
        return es->bodies[--es->n_bodies];
    return es_body_create(es->settings->batch_bytes);
}

static void give_body(struct es *es, struct es_body *body)
{
    ASSERT(es->bodies_out > 0);
    es->bodies_out--;
    /* A record larger than any batch had it grown. */
    if (body->cap > es->settings->batch_bytes) {
        es_body_free(body);
        return;
    }
    es_body_clear(body);
    ASSERT(es->n_bodies < ARRAY_LEN(es->bodies));
    es->bodies[es->n_bodies++] = body;
}

void es_pend(struct es *es, struct es_batch *b, enum es_batch_kind kind, uint64_t due_ms)
{
    b->kind = kind;
    b->due_ms = due_ms;
    b->next = es->pending;
    es->pending = b;
    es->n_pending++;
}

static void unpend(struct es *es, struct es_batch *b)
{
    for (struct es_batch **p = &es->pending;; p = &(*p)->next) {
        ASSERT(*p != NULL);
        if (*p == b) {
            *p = b->next;
            b->next = NULL;
            es->n_pending--;
            return;
        }
    }
}

struct es_batch *es_split(struct es_batch *b, size_t from)
{
    struct es_batch *tail = es_batch_split(b, from);

    if (tail->lane != NULL)
        tail->lane->under_way++;
    return tail;
}

void es_report(const char *host, const char *what, const char *detail)
{
    struct strbuf text = {0};

    strbuf_printf(&text, "%s: %s: %s", host, what, detail);
    metric_text_set("output.last_error", strbuf_bytes(&text));
    strbuf_fini(&text);
    log_warn("not delivered, it will be tried again", LOG_STR("host", host), LOG_STR("event", what),
             LOG_STR("reason", detail));
}

/* ---- what is next ---- */

struct work {
    struct es_batch *batch; /* NULL with lane: its sample */
    struct es_lane *lane;
    struct es_body *body;
};

/* The pending batch to be sent first: what is due longest; to a host that is being tried, what has
 * failed least, or a poisoned batch could keep a healthy host shut. */
static struct es_batch *first_pending(struct es *es, bool trying, uint64_t now_ms, uint64_t *due_ms)
{
    struct es_batch *first = NULL;

    for (struct es_batch *b = es->pending; b != NULL; b = b->next) {
        if (b->kind != ES_SEND)
            continue;
        if (b->due_ms > now_ms)
            *due_ms = MIN(*due_ms, b->due_ms);
        else if (first == NULL ||
                 (trying ? b->attempts < first->attempts : b->due_ms < first->due_ms))
            first = b;
    }
    return first;
}

static bool from_pending(struct es *es, bool trying, uint64_t now_ms, struct work *w,
                         uint64_t *due_ms)
{
    struct es_batch *b;

    while ((b = first_pending(es, trying, now_ms, due_ms)) != NULL) {
        w->body = es_take_body(es);
        if (w->body == NULL)
            return false;
        unpend(es, b);
        w->batch = es_source_again(es, b, w->body, now_ms);
        if (w->batch != NULL)
            return true;
        give_body(es, w->body);
    }
    return false;
}

/* Whether the lane has something for us now. */
static bool lane_is_due(const struct es *es, const struct es_lane *lane, uint64_t now_ms,
                        uint64_t *due_ms)
{
    switch (lane->state) {
    case ES_LANE_DRAINING:
        return lane->records > 0;
    case ES_LANE_TROUBLED:
        if (lane->under_way > 0 || (lane->records == 0 && lane->sample.mem == NULL))
            return false;
        /* The end does not wait for it. */
        if (lane->due_ms > now_ms && !atomic_load(&es->stop))
            *due_ms = MIN(*due_ms, lane->due_ms);
        return lane->due_ms <= now_ms;
    case ES_LANE_PARKING:
        return false;
    }
    return false;
}

static bool from_lanes(struct es *es, uint64_t now_ms, struct work *w, uint64_t *due_ms)
{
    for (size_t i = 0; i < es->lanes.n; i++) {
        struct es_lane *lane = es->lanes.list[(es->next_lane + i) % es->lanes.n];
        size_t max = lane->state == ES_LANE_DRAINING ? SIZE_MAX : 1;

        if (!lane_is_due(es, lane, now_ms, due_ms))
            continue;
        w->body = es_take_body(es);
        if (w->body == NULL)
            return false;
        es->next_lane = (es->next_lane + i + 1) % es->lanes.n;
        if (lane->records > 0) {
            w->batch = es_source_lane(es, lane, max, w->body, now_ms);
            if (w->batch != NULL)
                return true;
        } else {
            es_body_add(w->body, &lane->sample.record,
                        es_body_prefix(w->body, lane->sample.record.index));
            w->lane = lane;
            lane->under_way++;
            return true;
        }
        give_body(es, w->body);
    }
    return false;
}

static size_t slots(const struct es *es)
{
    size_t n = 0;

    for (size_t i = 0; i < es->hosts.n; i++)
        n += es_limit_allowed(&es->hosts.list[i].limit);
    return n;
}

static bool may_read_on(const struct es *es)
{
    size_t waiting = 0;

    for (const struct es_batch *b = es->pending; b != NULL; b = b->next)
        waiting += b->n;
    return es->n_pending < PENDING_MAX && waiting < PENDING_RECORDS_MAX &&
           es_frontier_stretches(&es->frontier) < ES_STRETCHES_MAX &&
           es->lanes.runs < ES_LANE_RUNS_MAX;
}

static bool from_main(struct es *es, uint64_t now_ms, struct work *w, uint64_t *due_ms)
{
    if (!may_read_on(es))
        return false;
    w->batch = es_source_main(es, now_ms, &w->body, due_ms);
    return w->batch != NULL;
}

static bool next_work(struct es *es, const struct es_host *host, uint64_t now_ms, struct work *w,
                      uint64_t *due_ms)
{
    bool trying = host->breaker.state != ES_BREAKER_CLOSED;

    memset(w, 0, sizeof *w);
    if (trying || es_host_doubtful(host)) {
        struct es_batch *b = first_pending(es, true, now_ms, due_ms);

        /* What has failed already is not for trying a host with while another one is well: this may
         * be the one that swallowed it. */
        if (b != NULL && b->attempts > 0 && es_hosts_well(&es->hosts))
            return from_lanes(es, now_ms, w, due_ms) || from_main(es, now_ms, w, due_ms);
        if (trying && b != NULL && b->attempts >= 3 && from_main(es, now_ms, w, due_ms))
            return true;
    }
    return from_pending(es, trying, now_ms, w, due_ms) || from_lanes(es, now_ms, w, due_ms) ||
           from_main(es, now_ms, w, due_ms);
}

/* The next host and what to send it. NULL: nothing now, and *due_ms is lowered to when to look
 * again.
 */
static struct es_host *next_host(struct es *es, uint64_t now_ms, struct work *w, uint64_t *due_ms)
{
    uint64_t host_due_ms;
    struct es_host *host = es_hosts_pick(&es->hosts, now_ms, true, &host_due_ms);

    if (host != NULL && next_work(es, host, now_ms, w, due_ms))
        return host;
    /* Nothing to try that one with: for the others there may be. */
    if (host != NULL && es_host_doubtful(host)) {
        host = es_hosts_pick(&es->hosts, now_ms, false, &host_due_ms);
        if (host != NULL && next_work(es, host, now_ms, w, due_ms))
            return host;
    }
    *due_ms = MIN(*due_ms, host == NULL ? host_due_ms : FOREVER);
    return NULL;
}

/* The first record makes its index, and the index template should be there by then. While no host
 * may be asked anyhow, there is no need to ask for that either; and a stop waits for no template.
 */
static bool held_up(struct es *es, uint64_t now_ms, uint64_t *due_ms)
{
    uint64_t host_due_ms;

    return es->ok_count == 0 && !atomic_load(&es->stop) &&
           es_hosts_pick(&es->hosts, now_ms, true, &host_due_ms) != NULL &&
           !es_chores_allow(es->chores, now_ms, due_ms);
}

static uint64_t send_all(struct es *es, uint64_t now_ms)
{
    uint64_t due_ms = FOREVER;
    struct es_host *host;
    struct work w;

    if (es->chores != NULL && held_up(es, now_ms, &due_ms))
        return due_ms;
    while ((host = next_host(es, now_ms, &w, &due_ms)) != NULL) {
        if (w.batch != NULL)
            w.batch->sent_ms = now_ms;
        es_hosts_send(&es->hosts, host, w.body, w.batch, w.lane, now_ms);
        if (es->chores != NULL)
            es_chores_sent(es->chores);
    }
    return due_ms;
}

/* ---- dead letters, lanes, frontier ---- */

static void bury_all(struct es *es, uint64_t now_ms)
{
    struct es_batch *b = es->pending, *next;

    for (; b != NULL; b = next) {
        struct es_body *body;

        next = b->next;
        if (b->kind != ES_BURY || b->due_ms > now_ms)
            continue;
        body = es_take_body(es);
        if (body == NULL)
            return; /* the end of an upload gives one back */
        unpend(es, b);
        es_source_bury(es, b, body, now_ms);
        give_body(es, body);
    }
}

/* When the next one is due. To be asked last: all the rest of a turn may queue some. */
static uint64_t bury_due_ms(const struct es *es, uint64_t now_ms)
{
    uint64_t due_ms = FOREVER;

    for (const struct es_batch *b = es->pending; b != NULL; b = b->next)
        if (b->kind == ES_BURY)
            due_ms = MIN(due_ms, b->due_ms);
    /* Without memory to read into there is no hurry. */
    if (es->bodies_out == es->bodies_max)
        due_ms = MAX(due_ms, now_ms + ES_RETRY_MS);
    return due_ms;
}

static void start_parking(struct es_lane *lane, const char *why, uint64_t now_ms)
{
    if (lane->state != ES_LANE_TROUBLED || now_ms < lane->park_ms)
        return;
    log_warn("an index accepts nothing: its records are parked among the dead letters",
             LOG_STR("index", lane->index), LOG_STR("because", why),
             LOG_STR("reason", lane->reason), LOG_STR("knob", "output.elasticsearch.park_after"));
    lane->state = ES_LANE_PARKING;
}

/* Chooses lanes to be parked: those that accept nothing for too long, that hold half the buffer, or
 * take too much memory. */
static void choose_parking(struct es *es, uint64_t now_ms)
{
    struct buffer_stats stats;
    struct es_lane *lane;
    uint64_t seq = 0;

    for (size_t i = 0; i < es->lanes.n; i++) {
        lane = es->lanes.list[i];
        /* While no host answers it is not the index that accepts nothing. */
        if (lane->records > 0 && now_ms - lane->since_ms >= es->settings->park_after_ms &&
            now_ms - lane->refused_ms < 2 * ES_RETRY_MAX_MS)
            start_parking(lane, "nothing accepted for park_after", now_ms);
    }
    if (es->lanes.runs >= ES_LANE_RUNS_MAX && (lane = es_lanes_longest(&es->lanes)) != NULL)
        start_parking(lane, "too many records wait for it", now_ms);
    lane = es_lanes_oldest(&es->lanes, &seq);
    if (lane == NULL || seq != es_frontier_first_open(&es->frontier))
        return;
    buffer_stats(es->buffer, &stats);
    /* On a full disk the buffer is full long before half of what it may take. */
    if (stats.full || stats.bytes > stats.max_bytes / 2 ||
        es_frontier_stretches(&es->frontier) >= ES_STRETCHES_MAX)
        start_parking(lane, "it holds the buffer", now_ms);
}

static uint64_t tend_lanes(struct es *es, uint64_t now_ms)
{
    uint64_t due_ms = FOREVER;

    if (es->lanes.n == 0)
        return FOREVER;
    if (now_ms >= es->upkeep_ms) {
        es->upkeep_ms = now_ms + UPKEEP_MS;
        choose_parking(es, now_ms);
    }
    due_ms = es->upkeep_ms;
    for (size_t i = 0; i < es->lanes.n;) {
        struct es_lane *lane = es->lanes.list[i];

        if (lane->state == ES_LANE_PARKING && lane->under_way == 0) {
            struct es_body *body = lane->records > 0 ? es_take_body(es) : NULL;

            if (body != NULL) {
                if (!es_source_park(es, lane, body, now_ms)) {
                    /* It is tried on, or nobody would notice that it accepts again. */
                    lane->state = ES_LANE_TROUBLED;
                    lane->park_ms = now_ms + PARK_RETRY_MS;
                }
                give_body(es, body);
                due_ms = now_ms;
            } else if (lane->records == 0) {
                lane->state = ES_LANE_TROUBLED;
            }
        }
        if (lane->records == 0 && lane->under_way == 0 && lane->parked == 0)
            es_lanes_close(&es->lanes, lane);
        else
            i++;
    }
    return due_ms;
}

static void advance(struct es *es)
{
    struct buffer_cursor to;
    struct buffer_outcome outcome;

    if (es_frontier_advance(&es->frontier, &to, &outcome))
        buffer_advance(es->buffer, to, &outcome);
}

/* The place of an open record: it waits in a batch or in a lane. */
static struct buffer_point place_of(const struct es *es, uint64_t seq)
{
    for (const struct es_batch *b = es->pending; b != NULL; b = b->next)
        for (size_t i = 0; i < b->n; i++)
            if (b->refs[i].seq == seq)
                return b->refs[i].at;
    for (size_t i = 0; es->filling != NULL && i < es->filling->n; i++)
        if (es->filling->refs[i].seq == seq)
            return es->filling->refs[i].at;
    for (size_t i = 0; i < es->lanes.n; i++)
        for (size_t k = es->lanes.list[i]->first; k < es->lanes.list[i]->n; k++)
            if (es->lanes.list[i]->runs[k].seq == seq)
                return es->lanes.list[i]->runs[k].at;
    ASSERT(false && "an open record has a place");
    return (struct buffer_point){0};
}

/* The last word: what is finished before the first open record counts, even in the middle of a
 * stretch. */
static void advance_at_end(struct es *es)
{
    struct buffer_outcome outcome;
    struct buffer_cursor at;

    advance(es);
    at.seq = es_frontier_first_open(&es->frontier);
    if (at.seq == es->frontier.end.seq)
        return;
    at.point = place_of(es, at.seq);
    if (es_frontier_advance_partly(&es->frontier, at, &outcome))
        buffer_advance(es->buffer, at, &outcome);
}

/* ---- the thread ---- */

static void show_figures(struct es *es)
{
    struct strbuf text = {0};
    double latency_ms = 0;
    enum es_breaker_state worst;
    uint64_t states = 1;

    metric_set(M_OUT_IN_FLIGHT, es->hosts.in_flight);
    metric_set(M_OUT_LIMIT, slots(es));
    for (size_t i = 0; i < es->hosts.n; i++) {
        states = states * 3 + es->hosts.list[i].breaker.state;
        latency_ms = MAX(latency_ms, es->hosts.list[i].latency_ms);
    }
    metric_set(M_OUT_LATENCY, (uint64_t)(latency_ms + 0.5));
    if (states == es->shown_states)
        return;
    es->shown_states = states;
    worst = es_hosts_worst(&es->hosts, &text);
    metric_set(M_OUT_BREAKER, worst);
    if (es->hosts.n > 1) /* of one, output.breaker says it */
        metric_text_set("output.hosts", strbuf_bytes(&text));
    strbuf_fini(&text);
}

static void reload(struct es *es)
{
    struct error e;

    if (es_credentials_read(&es->hosts.credentials, es->settings, NULL, &e) != 0)
        LOG_EACH(LOG_WARN, "credentials cannot be read again: the old ones stay",
                 LOG_STR("error", e.text));
    es_credentials_warn(es->settings);
    for (size_t i = 0; i < es->hosts.n; i++)
        es_breaker_init(&es->hosts.list[i].breaker);
    es_hurry(es, clock_mono_ms(), false);
}

/* Whether stopping makes sense now: nothing is under way, and nothing will be before the deadline.
 */
static bool spent(const struct es *es, uint64_t now_ms, uint64_t due_ms)
{
    uint64_t deadline_ms = atomic_load(&es->deadline_ms);

    return now_ms >= deadline_ms || (es->hosts.in_flight == 0 && due_ms >= deadline_ms);
}

/* Signals are for others. Those of our own faults stay. */
static void block_signals(void)
{
    sigset_t all;

    sigfillset(&all);
    sigdelset(&all, SIGSEGV);
    sigdelset(&all, SIGBUS);
    sigdelset(&all, SIGFPE);
    sigdelset(&all, SIGILL);
    sigdelset(&all, SIGABRT);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
}

static void *run(void *arg)
{
    struct es *es = arg;

    block_signals();
    pthread_setname_np(pthread_self(), "delivery");
    for (;;) {
        uint64_t now_ms = clock_mono_ms(), due_ms, lanes_due_ms;

        if (atomic_exchange(&es->reload, false))
            reload(es);
        es_size_unlearn(&es->size, now_ms);
        bury_all(es, now_ms);
        due_ms = send_all(es, now_ms);
        lanes_due_ms = tend_lanes(es, now_ms);
        advance(es);
        show_figures(es);
        if (atomic_load(&es->stop)) {
            if (spent(es, now_ms, due_ms))
                break;
            due_ms = MIN(due_ms, atomic_load(&es->deadline_ms));
        } else {
            uint64_t other_due_ms = bury_due_ms(es, now_ms);

            other_due_ms = MIN(other_due_ms, lanes_due_ms);
            due_ms = MIN(due_ms, other_due_ms);
        }
        es_hosts_poll(&es->hosts, due_ms == FOREVER ? FOREVER
                                  : due_ms > now_ms ? due_ms - now_ms
                                                    : 0);
    }
    es_hosts_abort(&es->hosts);
    bury_all(es, clock_mono_ms());
    advance_at_end(es);
    show_figures(es);
    return NULL;
}

/* ---- output ---- */

static bool id_is(const void *batch, size_t item, struct bytes text)
{
    const struct es_batch *b = batch;
    uint8_t id[BUFFER_ID_BYTES];

    return item < b->n && output_id_parse(text, id) && es_batch_id_check(id) == b->refs[item].check;
}

static void on_body_done(void *arg, struct es_body *body)
{
    give_body(arg, body);
}

static void on_chore(void *arg)
{
    struct es *es = arg;

    es_hosts_wake(&es->hosts);
}

static void on_ended(void *arg, struct es_request *r)
{
    es_outcome(arg, r);
}

/* Records that an earlier life has parked: their index is tried again at once. */
static void on_parked(void *arg, const struct buffer_record *one, uint64_t records)
{
    struct es *es = arg;
    struct es_lane *lane = es_lanes_find(&es->lanes, one->index);

    if (lane == NULL)
        lane = es_lanes_open(&es->lanes, one->index, clock_mono_ms());
    if (lane == NULL)
        return; /* too many: handed back when the index accepts its next record */
    es_lane_sample(lane, one);
    lane->parked += records;
    es->parked += records;
}

static void take_up_parked(struct es *es)
{
    dead_letters_parked(es->dead, on_parked, es);
    metric_set(M_OUT_PARKED, es->parked);
    /* Without a record that is small enough to try with, all of them are. */
    for (size_t i = 0; i < es->lanes.n; i++) {
        struct es_lane *lane = es->lanes.list[i];

        if (lane->sample.mem != NULL)
            continue;
        if (dead_letters_unpark(es->dead, bytes_str(lane->index)) == 0) {
            es->parked -= lane->parked;
            lane->parked = 0;
            lane->state = ES_LANE_DRAINING;
        }
    }
}

static void destroy(struct es *es)
{
    es_chores_stop(es->chores);
    es_hosts_fini(&es->hosts);
    if (es->dead != NULL)
        dead_letters_close(es->dead);
    es_frontier_fini(&es->frontier);
    es_lanes_fini(&es->lanes);
    es_fold_fini(&es->fold);
    while (es->pending != NULL) {
        struct es_batch *b = es->pending;

        unpend(es, b);
        es_batch_free(b);
    }
    while (es->free_batches != NULL)
        es_batch_free(es_take_batch(es));
    es_batch_free(es->filling);
    es_body_free(es->filling_body);
    while (es->n_bodies > 0)
        es_body_free(es->bodies[--es->n_bodies]);
    free(es);
}

static void *es_start(const struct output_options *o, struct error *e)
{
    struct es *es = base_calloc(1, sizeof *es);

    es->settings = &o->config->elasticsearch;
    es->buffer = o->buffer;
    es->hosts.id_is = id_is;
    es->hosts.body_done = on_body_done;
    es->hosts.ended = on_ended;
    es->hosts.arg = es;
    if (es_hosts_init(&es->hosts, es->settings, e) != 0) {
        free(es);
        return NULL;
    }
    es->dead = dead_letters_open(o->config->data_dir, &o->config->dead_letters, e);
    if (es->dead == NULL) {
        destroy(es);
        return NULL;
    }
    es->cursor = buffer_frontier(es->buffer);
    es_frontier_init(&es->frontier, es->cursor);
    es_lanes_init(&es->lanes);
    es_fold_init(&es->fold);
    take_up_parked(es);
    es_size_init(&es->size, es->settings->batch_bytes);
    es->bodies_max = MAX(2, MIN(BODIES_BYTES / es->settings->batch_bytes, ARRAY_LEN(es->bodies)));
    atomic_store(&es->deadline_ms, FOREVER);
    if (es_chores_start(o, on_chore, es, &es->chores, e) != 0) {
        destroy(es);
        return NULL;
    }
    if (pthread_create(&es->thread, NULL, run, es) != 0) {
        error_set(e, "cannot start the delivery thread");
        destroy(es);
        return NULL;
    }
    return es;
}

static void es_wake(void *output)
{
    struct es *es = output;

    if (atomic_exchange(&es->wanted, false))
        es_hosts_wake(&es->hosts);
}

static void es_stop(void *output, uint64_t timeout_ms)
{
    struct es *es = output;

    atomic_store(&es->deadline_ms, clock_mono_ms() + timeout_ms);
    atomic_store(&es->stop, true);
    es_hosts_wake(&es->hosts);
    pthread_join(es->thread, NULL);
    destroy(es);
}

static void es_reload(void *output)
{
    struct es *es = output;

    atomic_store(&es->reload, true);
    es_hosts_wake(&es->hosts);
}

const struct output_kind_ops output_elasticsearch = {
    .name = "elasticsearch",
    .start = es_start,
    .wake = es_wake,
    .stop = es_stop,
    .reload = es_reload,
};
