/*
 * What becomes of records and hosts when a request has ended. Three questions: is the host well
 * (breaker, limit); whose fault is it (host, request, index, record); what now (finished, later,
 * lane, folded, halved, dead letter).
 *
 * A record is condemned only by Elasticsearch's own error for it, or by evidence: it fails alone
 * while the host answers others.
 */
#include "outputs/elasticsearch/es_delivery.h"

#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "agent/base/metrics.h"

#include <stdio.h>

#define HANGS_BEFORE_SPLIT 3
#define BLIND_SPLITS 3
#define REWINDS 3
#define STRIKES 5
#define STRIKES_MS (10u * 60000)
#define SINGLES_ALIKE 3
#define ATTEMPTS_BEFORE_LANE 3
#define AUTH_PAUSE_MS 5000
#define PARTS_MAX 32 /* of a batch that became too large for an overloaded host */
/* Records that are to be sent again go together when they have failed since about the same time. */
#define TOGETHER_MS 60000
#define TOGETHER_RECORDS 4096

/* ---- indices that accept ---- */

/* Whether the index took something at or after since_ms. */
static bool accepted_since(const struct es *es, struct bytes index, uint64_t since_ms)
{
    for (size_t i = 0; i < es->n_accepts; i++)
        if (bytes_equal(index, bytes_of(es->accepts[i].index, es->accepts[i].n)))
            return es->accepts[i].at_ms >= since_ms;
    return false;
}

static void unpark(struct es *es, struct bytes index)
{
    if (dead_letters_unpark(es->dead, index) != 0)
        log_warn("parked records cannot be handed back", LOG_BYTES("index", index));
}

static void accepted(struct es *es, struct bytes index, uint64_t now_ms)
{
    struct es_accept *a = NULL;
    struct es_lane *lane = es_lanes_find(&es->lanes, index);

    for (size_t i = 0; i < es->n_accepts && a == NULL; i++)
        if (bytes_equal(index, bytes_of(es->accepts[i].index, es->accepts[i].n)))
            a = &es->accepts[i];
    if (a == NULL) {
        if (es->n_accepts < ES_ACCEPTS_MAX) {
            a = &es->accepts[es->n_accepts++];
        } else {
            a = &es->accepts[0];
            for (size_t i = 1; i < es->n_accepts; i++)
                if (es->accepts[i].at_ms < a->at_ms)
                    a = &es->accepts[i];
        }
        a->n = (uint8_t)index.n;
        memcpy(a->index, index.p, index.n);
        /* An earlier life may have parked some. */
        if (lane == NULL || lane->parked == 0)
            unpark(es, index);
    }
    a->at_ms = now_ms;
    if (lane == NULL)
        return;
    if (lane->state == ES_LANE_TROUBLED)
        log_info("an index accepts again", LOG_BYTES("index", index),
                 LOG_U64("waiting", lane->records), LOG_U64("parked", lane->parked));
    es_lane_accepted(lane);
    if (lane->parked > 0) {
        unpark(es, index);
        es->parked -= lane->parked;
        lane->parked = 0;
        metric_set(M_OUT_PARKED, es->parked);
    }
}

/* The lane of an index that does not accept; NULL when there are too many. */
static struct es_lane *lane_for(struct es *es, struct bytes index, const char *why, uint64_t now_ms)
{
    struct es_lane *lane = es_lanes_find(&es->lanes, index);

    if (lane != NULL)
        return lane;
    lane = es_lanes_open(&es->lanes, index, now_ms);
    if (lane == NULL) {
        log_warn("too many indices accept nothing", LOG_U64("lanes", ES_LANES_MAX));
        return NULL;
    }
    log_warn("an index accepts nothing: its records wait aside, the others go on",
             LOG_BYTES("index", index), LOG_STR("reason", why));
    es_lane_refused(lane, why, now_ms, &es->hosts.random);
    return lane;
}

/* ---- an answer that counts ---- */

struct sorting {
    struct es_batch *again, *fold, *bury;
    struct es_lane *lane; /* whose batch it is */
    bool lane_refused;
    bool overloaded; /* the host said 429 to some */
    const char *why; /* text of the last failure */
};

static struct es_batch *made(struct es *es, struct es_batch **b, const struct es_batch *like)
{
    if (*b == NULL) {
        *b = es_take_batch(es);
        (*b)->attempts = like->attempts;
        (*b)->first_failed_ms = like->first_failed_ms;
        (*b)->ok_then = like->ok_then;
    }
    return *b;
}

static bool index_takes_nothing(const struct es *es, const struct es_batch *b,
                                const struct es_ref *ref, enum es_fate fate)
{
    if (b->names[ref->index].accepts)
        return false;
    if (fate == ES_RETRY && b->attempts < ATTEMPTS_BEFORE_LANE)
        return false;
    /* What is no word about the index is held against it only when nothing else got through either.
     */
    return !accepted_since(es, es_batch_index(b, ref),
                           fate == ES_RETRY ? b->first_failed_ms : b->sent_ms);
}

/* Elasticsearch's reason may quote the record: the log gets the type of the error alone. */
static void tell_buried(struct bytes index, struct bytes why)
{
    const char *end = memchr(why.p, ':', why.n);

    log_warn("a record is refused for its shape, folded too: it goes to the dead letters",
             LOG_BYTES("index", index),
             LOG_BYTES("error", end ? bytes_of(why.p, (size_t)(end - why.p)) : why),
             LOG_STR("then", "barge replay"));
}

static void sort_item(struct es *es, struct es_batch *b, const struct es_ref *ref,
                      enum es_fate fate, const char *text, struct sorting *s, uint64_t now_ms)
{
    struct bytes index = es_batch_index(b, ref), why = bytes_str(text);
    struct es_lane *lane;

    if (fate == ES_REFUSED) {
        if (ref->flags & ES_REF_FOLD) {
            tell_buried(index, why);
            es_batch_add_ref(made(es, &s->bury, b), b, ref, why, ref->flags);
        } else {
            metric_add(M_OUT_REFUSED, 1);
            es_batch_add_ref(made(es, &s->fold, b), b, ref, why, ES_REF_FOLD);
        }
        return;
    }
    if (text[0] != '\0')
        s->why = text;
    if (index_takes_nothing(es, b, ref, fate) &&
        (lane = lane_for(es, index, s->why, now_ms)) != NULL) {
        es_lane_put(&es->lanes, lane, ref->at, ref->seq, ref->size);
        if (lane == s->lane)
            s->lane_refused = true;
        return;
    }
    /* The index takes others, this one never: it may not hold the buffer for ever. */
    if (b->first_failed_ms != 0 && now_ms - b->first_failed_ms >= es->settings->park_after_ms &&
        b->attempts >= ATTEMPTS_BEFORE_LANE) {
        es_batch_add_ref(made(es, &s->bury, b), b, ref, bytes_str(s->why), ES_REF_PARK);
        return;
    }
    es_batch_add_ref(made(es, &s->again, b), b, ref, es_batch_text(b, ref), ref->flags);
}

/* Queues what is to be sent again: with others that wait, or many small batches would hold up new
 * records. */
static void pend_again(struct es *es, struct es_batch *again, uint64_t due_ms)
{
    for (struct es_batch *p = es->pending; p != NULL; p = p->next) {
        if (p->kind != ES_SEND || p->lane != NULL || p->hangs > 0 || p->suspect ||
            p->attempts == 0 || again->first_failed_ms < p->first_failed_ms ||
            again->first_failed_ms - p->first_failed_ms > TOGETHER_MS ||
            p->n + again->n > TOGETHER_RECORDS ||
            es_batch_bytes(p) + es_batch_bytes(again) > es->size.bytes)
            continue;
        for (size_t i = 0; i < again->n; i++)
            es_batch_add_ref(p, again, &again->refs[i], es_batch_text(again, &again->refs[i]),
                             again->refs[i].flags);
        p->ok_then = MAX(p->ok_then, again->ok_then);
        es_give_batch(es, again);
        return;
    }
    es_pend(es, again, ES_SEND, due_ms);
}

/* First all that went well, so that the rest can be judged by whether its index takes anything.
 * Returns how many there are left. */
static size_t finish_good(struct es *es, struct es_batch *b, const struct es_answer *a)
{
    size_t left = 0;

    for (size_t i = 0; i < b->n_names; i++)
        b->names[i].accepts = false;
    for (size_t i = 0; i < b->n; i++) {
        const struct es_ref *ref = &b->refs[i];

        switch ((enum es_fate)a->items[i].fate) {
        case ES_DELIVERED:
            es_frontier_finish(&es->frontier, ref->seq, ES_END_DELIVERED);
            b->names[ref->index].accepts = true;
            break;
        case ES_DUPLICATE:
            es_frontier_finish(&es->frontier, ref->seq, ES_END_DUPLICATE);
            b->names[ref->index].accepts = true;
            break;
        case ES_REFUSED:
            /* It looked at the document: so the index does work. */
            b->names[ref->index].accepts = true;
            left++;
            break;
        case ES_RETRY:
        case ES_RETRY_INDEX:
            left++;
            break;
        }
    }
    return left;
}

/* The host has more to do than it can: fewer requests at once, and where there is only one, a
 * smaller one. */
static void overloaded(struct es *es, struct es_request *r, uint64_t now_ms)
{
    if (es_limit_overloaded(&r->host->limit, r->begun_ms, now_ms))
        es_size_overloaded(&es->size);
}

static void items(struct es *es, struct es_batch *b, struct es_request *r, uint64_t now_ms)
{
    const struct es_answer *a = &r->answer;
    struct sorting s = {.lane = b->lane, .why = "no reason given"};
    size_t left = finish_good(es, b, a);

    metric_add(M_OUT_NOOP, a->noops);
    metric_add(M_OUT_FAILURE_STORE, a->failure_stored);
    for (size_t i = 0; i < b->n_names; i++)
        if (b->names[i].accepts)
            accepted(es, bytes_of(b->names[i].text, b->names[i].n), now_ms);
    for (size_t i = 0; left > 0 && i < b->n; i++) {
        enum es_fate fate = (enum es_fate)a->items[i].fate;

        s.overloaded = s.overloaded || (fate == ES_RETRY && a->items[i].status == 429);
        if (fate != ES_DELIVERED && fate != ES_DUPLICATE)
            sort_item(es, b, &b->refs[i], fate, es_answer_text(a, &a->items[i]), &s, now_ms);
    }
    if (s.lane_refused) {
        es_lane_refused(b->lane, s.why, now_ms, &es->hosts.random);
        if (b->lane->parked > 0)
            b->lane->state = ES_LANE_PARKING;
    }
    if (s.again != NULL) {
        uint64_t wait;

        /* Attempts that got some of it through do not make the wait longer. */
        if (left == b->n || s.again->attempts == 0)
            s.again->attempts++;
        wait = es_backoff_ms(s.again->attempts, ES_RETRY_MS, ES_RETRY_MAX_MS, &es->hosts.random);
        es_report(r->host->name, "records to be sent again", s.why);
        if (s.again->first_failed_ms == 0) {
            s.again->first_failed_ms = now_ms;
            s.again->ok_then = es->ok_count;
        }
        pend_again(es, s.again, now_ms + wait);
    }
    if (s.overloaded)
        overloaded(es, r, now_ms);
    if (s.fold != NULL)
        es_pend(es, s.fold, ES_SEND, now_ms);
    if (s.bury != NULL)
        es_pend(es, s.bury, ES_BURY, now_ms);
    if (b->lane != NULL)
        b->lane->under_way--;
    es_give_batch(es, b);
}

/* A copy of a record that is parked already was sent to see whether its index accepts again. */
static void sample_ended(struct es *es, struct es_request *r, uint64_t now_ms)
{
    struct es_lane *lane = r->lane;
    enum es_fate fate = r->counts ? (enum es_fate)r->answer.items[0].fate : ES_RETRY;

    lane->under_way--;
    if (fate == ES_DELIVERED || fate == ES_DUPLICATE || fate == ES_REFUSED)
        accepted(es, bytes_str(lane->index), now_ms);
    else
        es_lane_refused(lane,
                        r->counts ? es_answer_text(&r->answer, r->answer.items) : lane->reason,
                        now_ms, &es->hosts.random);
}

void es_hurry(struct es *es, uint64_t now_ms, bool only_suspects)
{
    for (struct es_batch *b = es->pending; b != NULL; b = b->next)
        if (b->kind == ES_SEND && (b->suspect || !only_suspects))
            b->due_ms = MIN(b->due_ms, now_ms);
}

static void good(struct es *es, struct es_request *r, uint64_t now_ms)
{
    uint64_t from = r->body_sent_ms != 0 ? r->body_sent_ms : r->begun_ms;

    if (r->host->alike > 0)
        es_hurry(es, now_ms, true);
    r->host->ok_number = ++es->ok_count;
    r->host->alike = 0;
    r->host->distrust = false;
    if (es_breaker_succeeded(&r->host->breaker)) {
        log_info("host answers again", LOG_STR("host", r->host->name));
        es_hurry(es, now_ms, false);
    }
    r->host->latency_ms += ((double)(now_ms - from) - r->host->latency_ms) / 8;
    /* Small ones of the beginning would be no measure for the large ones that follow. */
    es_limit_succeeded(&r->host->limit, (double)(now_ms - from),
                       r->batch != NULL && !es_size_doubles(&es->size) &&
                           es_batch_bytes(r->batch) * 2 >= es->size.bytes,
                       r->host->in_flight + 1);
    if (r->batch != NULL) {
        es_size_taken(&es->size, es_batch_bytes(r->batch));
        items(es, r->batch, r, now_ms);
    }
}

/* ---- a request that failed whole ---- */

enum failure {
    FAILED_ABORTED,
    FAILED_REWIND,  /* a kept connection was closed, and the body is gone */
    FAILED_CONNECT, /* nothing was sent */
    FAILED_HANG,    /* sent, and no answer that counts */
    FAILED_TOO_LARGE,
    FAILED_MALFORMED,
    FAILED_AUTH,
    FAILED_BUSY,
    FAILED_BROKEN /* what a proxy says of a node that hung or broke, a node of a fault of its own */
};

static enum failure failure_of(const struct es_request *r)
{
    switch (r->result) {
    case CURLE_ABORTED_BY_CALLBACK:
        return FAILED_ABORTED;
    case CURLE_SEND_FAIL_REWIND:
        return FAILED_REWIND;
    default:
        break;
    }
    /* What the host said counts even when the connection broke while we were still sending. */
    switch (r->status == 0 ? ES_WHOLE_ODD : es_verdict_whole(r->status)) {
    case ES_WHOLE_TOO_LARGE:
        return FAILED_TOO_LARGE;
    case ES_WHOLE_MALFORMED:
        return FAILED_MALFORMED;
    case ES_WHOLE_AUTH:
        return FAILED_AUTH;
    case ES_WHOLE_BUSY:
        return FAILED_BUSY;
    case ES_WHOLE_BROKEN:
        return FAILED_BROKEN;
    case ES_WHOLE_OK:
    case ES_WHOLE_ODD:
        break;
    }
    return r->status == 0 && r->sent_bytes == 0 ? FAILED_CONNECT : FAILED_HANG;
}

/* The setting to look at when libcurl says so; NULL: none in particular. */
static const char *knob_of(CURLcode result)
{
    switch (result) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
        return "output.elasticsearch.hosts";
    case CURLE_COULDNT_RESOLVE_PROXY:
        return "output.elasticsearch.proxy";
    case CURLE_PEER_FAILED_VERIFICATION:
        return "output.elasticsearch.tls.ca_file";
    case CURLE_SSL_CONNECT_ERROR:
        return "output.elasticsearch.hosts, http or https; tls";
    case CURLE_OPERATION_TIMEDOUT:
        return "output.elasticsearch.timeout";
    default:
        return NULL;
    }
}

static void describe(struct es_request *r, enum failure f, struct strbuf *to, bool *own)
{
    *own = false;
    if (r->status != 0 && r->status != 200) {
        strbuf_printf(to, "HTTP %ld ", r->status);
        *own = es_answer_error(strbuf_bytes(&r->error_body), to);
    } else if (r->status == 200 && r->answer.wrong != NULL) {
        strbuf_printf(to, "answer void: %s", r->answer.wrong);
        if (r->result != CURLE_OK && r->result != CURLE_WRITE_ERROR)
            strbuf_printf(to, " (%s)", curl_easy_strerror(r->result));
    } else {
        strbuf_add_str(to, r->trouble[0] != '\0' ? r->trouble : curl_easy_strerror(r->result));
        if (knob_of(r->result))
            strbuf_printf(to, " (knob: %s)", knob_of(r->result));
    }
    if (f == FAILED_AUTH)
        strbuf_add_str(to, " (knobs: output.elasticsearch.username, password_file, api_key_file)");
}

/* Reads secrets and certificates again. true when they are others now. */
static bool new_credentials(struct es *es)
{
    struct error e;
    bool changed;

    if (es_credentials_read(&es->hosts.credentials, es->settings, &changed, &e) != 0) {
        log_warn("credentials cannot be read again: the old ones stay", LOG_STR("error", e.text));
        return false;
    }
    return changed;
}

/* Whether other credentials could have made a difference. A refused certificate looks like any
 * connection that was closed. */
static bool is_about_credentials(const struct es *es, enum failure f)
{
    return f == FAILED_AUTH ||
           ((f == FAILED_CONNECT || f == FAILED_HANG) &&
            (es->settings->tls.ca_file[0] != '\0' || es->settings->tls.cert_file[0] != '\0'));
}

/* Whether the host has answered others since then: what it does not answer is not its own fault. */
static bool answers_others(const struct es_host *host, uint64_t ok_then)
{
    return host->ok_number > ok_then;
}

/* How long a host that has too much to do is left alone, by all that waits for it. */
static uint64_t busy_pause_ms(const struct es_host *host, const struct es_request *r,
                              struct es_random *random)
{
    uint64_t pause =
        es_backoff_ms(host->breaker.failures + 1, ES_RETRY_MS, ES_RETRY_MAX_MS, random);

    return MAX(pause, r->retry_after_ms);
}

/* What the failure says of the host. */
static void judge_host(struct es *es, struct es_request *r, enum failure f, bool fresh_credentials,
                       uint64_t now_ms)
{
    struct es_host *host = r->host;
    struct es_random *random = &es->hosts.random;
    bool opened = false;

    switch (f) {
    case FAILED_ABORTED:
    case FAILED_REWIND:
        es_breaker_unknown(&host->breaker, now_ms);
        return;
    case FAILED_CONNECT:
        es_limit_overloaded(&host->limit, r->begun_ms, now_ms);
        opened = es_breaker_failed(&host->breaker, now_ms, 0, false, random);
        break;
    case FAILED_HANG:
        if (r->result == CURLE_OPERATION_TIMEDOUT)
            es_limit_overloaded(&host->limit, r->begun_ms, now_ms);
        opened = es_breaker_failed(&host->breaker, now_ms, 0, false, random);
        break;
    case FAILED_BUSY:
    case FAILED_BROKEN:
        overloaded(es, r, now_ms);
        opened = es_breaker_failed(&host->breaker, now_ms, busy_pause_ms(host, r, random), false,
                                   random);
        break;
    case FAILED_AUTH:
        if (fresh_credentials)
            es_breaker_unknown(&host->breaker, now_ms);
        else if (r->batch != NULL && r->batch->first_failed_ms != 0 &&
                 answers_others(host, r->batch->ok_then))
            /* It lets us in, but not with this: something in between looks into requests. */
            opened = es_breaker_failed(&host->breaker, now_ms, 0, false, random);
        else
            opened = es_breaker_failed(&host->breaker, now_ms, AUTH_PAUSE_MS, true, random);
        break;
    case FAILED_MALFORMED:
    case FAILED_TOO_LARGE:
        if (host->distrust) {
            opened = es_breaker_failed(&host->breaker, now_ms, 0, false, random);
            break;
        }
        /* It is well, and particular. */
        es_breaker_succeeded(&host->breaker);
        return;
    }
    if (opened) {
        /* Where another host is well, or none ever was, nothing has gone away. */
        if (es->ok_count > 0 && !es_hosts_well(&es->hosts))
            es_size_restart(&es->size);
        log_warn("host is left alone for a while", LOG_STR("host", host->name),
                 LOG_U64("ms", host->breaker.until_ms - now_ms));
    }
}

static void later(struct es *es, struct es_batch *b, uint64_t at_least_ms, uint64_t now_ms)
{
    uint64_t wait = es_backoff_ms(++b->attempts, ES_RETRY_MS, ES_RETRY_MAX_MS, &es->hosts.random);

    es_pend(es, b, ES_SEND, now_ms + MAX(wait, at_least_ms));
}

/* The same in requests of the size that is right now. */
static void later_in_parts(struct es *es, struct es_batch *b, uint64_t at_least_ms, uint64_t now_ms)
{
    uint64_t parts = MIN(es_batch_bytes(b) / es->size.bytes + 1, (uint64_t)PARTS_MAX);
    size_t each = MAX(b->n / parts, (size_t)1);

    while (parts-- > 1 && b->n > each)
        later(es, es_split(b, b->n - each), at_least_ms, now_ms);
    later(es, b, at_least_ms, now_ms);
}

static void halve(struct es *es, struct es_batch *b, uint64_t now_ms)
{
    struct es_batch *tail = es_split(b, b->n / 2);

    es_pend(es, tail, ES_SEND, now_ms);
    es_pend(es, b, ES_SEND, now_ms);
}

/* Condemns the one record of b. */
static void condemn(struct es *es, struct es_batch *b, const char *why, uint64_t now_ms)
{
    struct es_batch *grave = es_take_batch(es);

    ASSERT(b->n == 1);
    log_warn("a record goes to the dead letters", LOG_BYTES("index", es_batch_index(b, b->refs)),
             LOG_STR("reason", why));
    es_batch_add_ref(grave, b, b->refs, bytes_str(why), b->refs[0].flags);
    grave->lane = b->lane;
    es_give_batch(es, b);
    es_pend(es, grave, ES_BURY, now_ms);
}

/* No answer that counts, or one that says that the node broke. Once is nobody's fault; the same
 * records again and again are halved until the one stands alone; it is condemned when it failed
 * five times over ten minutes and the host answered others in between each time. */
static void hung(struct es *es, struct es_batch *b, const struct es_host *host, const char *why,
                 uint64_t now_ms)
{
    bool evidence = answers_others(host, b->ok_then);

    b->hangs++;
    if (b->n > 1 && b->hangs >= HANGS_BEFORE_SPLIT &&
        (evidence || b->blind_splits < BLIND_SPLITS)) {
        if (!evidence)
            b->blind_splits++;
        /* The halves need no three attempts each. */
        b->hangs = HANGS_BEFORE_SPLIT - 1;
        halve(es, b, now_ms);
        return;
    }
    if (b->n == 1 && answers_others(host, MAX(b->ok_then, b->ok_strike))) {
        b->ok_strike = es->ok_count;
        if (b->strikes++ == 0)
            b->first_strike_ms = now_ms;
        if (b->strikes >= STRIKES && now_ms - b->first_strike_ms >= STRIKES_MS) {
            char text[400];

            snprintf(text, sizeof text,
                     "no answer to this record alone, %u times over ten minutes: %s", b->strikes,
                     why);
            condemn(es, b, text, now_ms);
            return;
        }
    }
    later(es, b, 0, now_ms);
}

/* A single record was refused whole, and nothing says yet that others are not: when three in a row
 * fare alike, it is the request. */
static void suspect(struct es *es, struct es_batch *b, struct es_host *host, const char *why,
                    uint64_t now_ms)
{
    b->suspect = true;
    if (++host->alike >= SINGLES_ALIKE && !host->distrust) {
        host->distrust = true;
        log_error("requests are refused whatever is in them: the records are kept",
                  LOG_STR("host", host->name), LOG_STR("reason", why),
                  LOG_STR("knob", "output.elasticsearch.hosts"));
    }
    later(es, b, 0, now_ms);
}

/* Whether the host had answered others when it was asked for these records: one that has just come
 * to its senses has, while it was asked; it is to be asked again. */
static bool asked_in_good_health(const struct es_request *r)
{
    return r->ok_begun > r->batch->ok_then;
}

static void malformed(struct es *es, struct es_request *r, const char *why, bool own,
                      uint64_t now_ms)
{
    struct es_host *host = r->host;
    struct es_batch *b = r->batch;

    if (b->n > 1 && !host->distrust)
        halve(es, b, now_ms);
    else if (b->n > 1)
        later(es, b, 0, now_ms);
    else if (own && asked_in_good_health(r))
        condemn(es, b, why, now_ms);
    else if (!own && answers_others(host, b->ok_then))
        hung(es, b, host, why, now_ms);
    else
        suspect(es, b, host, why, now_ms);
}

static void too_large(struct es *es, struct es_request *r, const char *why, uint64_t now_ms)
{
    struct es_host *host = r->host;
    struct es_batch *b = r->batch;

    if (b->n == 1) {
        char text[400];

        snprintf(text, sizeof text, "too_large: %s", why);
        if (asked_in_good_health(r))
            condemn(es, b, text, now_ms);
        else
            suspect(es, b, host, text, now_ms);
        return;
    }
    if (host->distrust) {
        later(es, b, 0, now_ms);
        return;
    }
    if (es_size_too_large(&es->size, es_batch_bytes(b), now_ms))
        log_warn("requests are too large for the host: smaller ones from now on",
                 LOG_U64("bytes", es->size.bytes), LOG_STR("knob", "http.max_content_length"));
    halve(es, b, now_ms);
}

static void bad(struct es *es, struct es_request *r, uint64_t now_ms)
{
    enum failure f = failure_of(r);
    struct es_batch *b = r->batch;
    struct strbuf why = {0};
    bool own, fresh = false;

    if (f == FAILED_ABORTED) {
        judge_host(es, r, f, false, now_ms);
        if (b != NULL)
            es_pend(es, b, ES_SEND, now_ms);
        return;
    }
    if (b != NULL && f == FAILED_REWIND && ++b->rewinds > REWINDS)
        f = FAILED_HANG;
    describe(r, f, &why, &own);
    if (f != FAILED_REWIND) {
        metric_add(M_OUT_FAILED, 1);
        es_report(r->host->name, "request failed", why.p);
    }
    if (is_about_credentials(es, f))
        fresh = new_credentials(es);
    judge_host(es, r, f, fresh, now_ms);
    if (b == NULL)
        goto out;
    if (b->first_failed_ms == 0) {
        b->first_failed_ms = now_ms;
        b->ok_then = es->ok_count;
    }
    switch (f) {
    case FAILED_ABORTED:
    case FAILED_REWIND:
        es_pend(es, b, ES_SEND, now_ms);
        break;
    case FAILED_CONNECT:
        later_in_parts(es, b, 0, now_ms);
        break;
    case FAILED_BUSY:
        later_in_parts(es, b, r->retry_after_ms, now_ms);
        break;
    case FAILED_AUTH:
        if (!answers_others(r->host, b->ok_then)) {
            later(es, b, 0, now_ms);
            break;
        }
        /* fall through */
    case FAILED_BROKEN:
    case FAILED_HANG:
        hung(es, b, r->host, why.p, now_ms);
        break;
    case FAILED_MALFORMED:
        malformed(es, r, why.p, own, now_ms);
        break;
    case FAILED_TOO_LARGE:
        too_large(es, r, why.p, now_ms);
        break;
    }
out:
    strbuf_fini(&why);
}

void es_outcome(struct es *es, struct es_request *r)
{
    uint64_t now_ms = clock_mono_ms();

    if (r->counts)
        good(es, r, now_ms);
    else
        bad(es, r, now_ms);
    if (r->lane != NULL)
        sample_ended(es, r, now_ms);
}
