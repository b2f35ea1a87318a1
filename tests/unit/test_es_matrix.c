/*
 * Rules of delivery that need a clock that jumps or a second node: whose fault a failure is, and
 * how long one waits. The server and the buffer's stand-in as in test_es_delivery.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define STAGE_CLOCK
#include "outputs/elasticsearch/es_breaker.h"
#include "tests/unit/es_stage.h"

#define MINUTE 60000u
#define ILLEGAL_400                                                                                \
    "{\"error\":{\"type\":\"illegal_argument_exception\",\"reason\":\"no handler\"},\"status\":"   \
    "400}"

static bool holds(const struct server_request *r, unsigned number)
{
    for (size_t i = 0; i < r->n; i++)
        if (r->items[i].number == number)
            return true;
    return false;
}

/* ---- a host that refuses everything, beside one that is well ---- */

static struct server_reply same_to_all(struct server *s, const struct server_request *r)
{
    (void)r;
    return *(const struct server_reply *)s->script;
}

/* Each copy once over both stores. */
static void check_both(struct fixture *f, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (f->server.copies[i] + f->other.copies[i] != 1)
            fail_msg("document %u: %u and %u copies", i, f->server.copies[i], f->other.copies[i]);
}

/* That the good host answers others is no evidence on what the other one refuses. */
static void test_a_broken_host_beside_a_good_one(void **state)
{
    static const struct server_reply refusals[] = {
        {.status = 400, .body = ILLEGAL_400},
        {.status = 400, .body = "<html>Bad Request</html>"},
        {.status = 413, .body = "<html>Request Entity Too Large</html>"},
        {.status = 401, .body = "{\"error\":{\"type\":\"security_exception\",\"reason\":\"no\"}}"},
        {.status = 403, .body = "<html>Forbidden</html>"},
        {.status = 504, .body = "<html>Gateway Time-out</html>"},
        {.status = 200, .body = "<html>Welcome</html>"},
    };

    for (size_t k = 0; k < ARRAY_LEN(refusals); k++) {
        struct fixture *f = *state;

        f->config.elasticsearch.batch_bytes = 8 << 10;
        add_other(f);
        f->other.on_request = same_to_all;
        f->other.script = &refusals[k];
        start(f);
        for (unsigned i = 0; i < 20; i++) {
            put(f, i * 50, 50, "a-1", "");
            UNTIL_EACH(f, f->server.created >= (i + 1) * 50, stage_jump(200));
        }
        UNTIL_EACH(f, reached(f, 1000), stage_jump(200));
        assert_true(f->other.requests >= 1);
        finish(f);
        check_both(f, 1000);
        check_books(f, 1000, 0, 0);
        assert_int_equal(letters.n, 0);
        tear_down(state);
        set_up(state);
    }
}

static atomic_bool well;

static struct server_reply same_until_well(struct server *s, const struct server_request *r)
{
    return atomic_load(&well) ? (struct server_reply){0} : same_to_all(s, r);
}

/* A proxy that refuses whatever comes: hours of it condemn nothing, and when it ends requests have
 * their size again at once. */
static void test_a_proxy_that_refuses_everything(void **state)
{
    static const struct server_reply refusals[] = {
        {.status = 400, .body = ILLEGAL_400},
        {.status = 400, .body = "<html>Bad Request</html>"},
        {.status = 413, .body = "<html>Request Entity Too Large</html>"},
        {.status = 403, .body = "<html>Forbidden</html>"},
        {.status = 404, .body = "<html>Not Found</html>"},
        {.status = 502, .body = "<html>Bad Gateway</html>"},
        {.status = 200, .body = "<html>Log in</html>"},
        {.status = 302, .headers = "Location: http://127.0.0.1:1/\r\n"},
    };

    for (size_t k = 0; k < ARRAY_LEN(refusals); k++) {
        struct fixture *f = *state;
        unsigned before;

        atomic_store(&well, false);
        f->server.on_request = same_until_well;
        f->server.script = &refusals[k];
        /* Few, so that they are soon halved to single ones. */
        put(f, 0, 8, "a-1", "");
        start(f);
        UNTIL_EACH(f, f->server.requests >= 60, stage_jump(MINUTE / 2));
        UNTIL(f, metric_get(M_OUT_BREAKER) == ES_BREAKER_OPEN);
        assert_int_equal(letters.n, 0);
        assert_false(reached(f, 1));
        atomic_store(&well, true);
        UNTIL_EACH(f, reached(f, 8), stage_jump(MINUTE / 2));
        before = f->server.requests;
        put(f, 8, 2000, "a-1", "");
        UNTIL_EACH(f, reached(f, 2008), stage_jump(100));
        assert_true(f->server.requests - before <= 2000 / 20); /* five times that when small */
        finish(f);
        check_store(f, 2008, NULL);
        check_books(f, 2008, 0, 0);
        assert_int_equal(letters.n, 0);
        tear_down(state);
        set_up(state);
    }
}

static struct server_reply refuse_50(struct server *s, const struct server_request *r)
{
    (void)s;
    if (atomic_load(&well) && !holds(r, 50))
        return (struct server_reply){0};
    return (struct server_reply){.status = 400, .body = ILLEGAL_400};
}

/* After one that refused everything a single record that is refused is found as ever. */
static void test_a_host_is_trusted_again(void **state)
{
    static const int except[] = {50, -1};
    struct fixture *f = *state;

    atomic_store(&well, false);
    f->server.on_request = refuse_50;
    put(f, 0, 8, "a-1", "");
    start(f);
    UNTIL_EACH(f, f->server.requests >= 30, stage_jump(MINUTE / 2));
    atomic_store(&well, true);
    UNTIL_EACH(f, reached(f, 8), stage_jump(MINUTE / 2));
    put(f, 8, 92, "a-1", "");
    UNTIL_EACH(f, reached(f, 100), stage_jump(200));
    finish(f);
    check_store(f, 100, except);
    check_books(f, 99, 0, 1);
}

/* ---- killed again and again ---- */

#define LARGE (128u << 10)

static atomic_uint hanging; /* requests that the slow node has not answered */
static atomic_ullong largest_request;

/* So slow that a life of the agent does not see the answer to a large request. */
static struct server_reply slow_node(struct server *s, const struct server_request *r)
{
    (void)s;
    if (r->bytes > atomic_load(&largest_request))
        atomic_store(&largest_request, r->bytes);
    if (r->bytes <= LARGE || atomic_load(&well))
        return (struct server_reply){0};
    hanging++;
    return (struct server_reply){.act = HANG};
}

/* Lives that all end while a large request is on its way: each gets further by what is small enough
 * to be answered. A life that goes on sends large ones. */
static void test_short_lives_get_further(void **state)
{
    struct fixture *f = *state;
    static char filler[400];
    unsigned n = 8000, lives = 0, requests;

    memset(filler, 'x', sizeof filler - 1);
    memcpy(filler, ",\"m\":\"", 6);
    filler[sizeof filler - 2] = '"';
    atomic_store(&well, false);
    atomic_store(&hanging, 0);
    atomic_store(&largest_request, 0);
    f->server.on_request = slow_node;
    f->config.elasticsearch.batch_bytes = 1 << 20;
    f->config.elasticsearch.max_in_flight = 1;
    put(f, 0, n / 2, "a-1", filler);
    start(f);
    for (uint64_t before = 0; !reached(f, n / 2); lives++) {
        unsigned hung = hanging;

        UNTIL(f, hanging > hung || reached(f, n / 2));
        output_elasticsearch.stop(f->output, 0);
        f->output = NULL;
        assert_true(f->buffer->frontier.seq > before);
        before = f->buffer->frontier.seq;
        start_output(f);
    }
    /* In steps of 64 KiB, or nearly. */
    assert_in_range(lives, 2, f->buffer->bytes / (60 << 10) + 1);
    atomic_store(&well, true);
    requests = f->server.requests;
    put(f, n / 2, n / 2, "a-1", filler);
    UNTIL(f, reached(f, n));
    assert_true(f->server.requests - requests <= 8);
    assert_true(largest_request > 1000000);
    finish(f);
    check_store(f, n, NULL);
    assert_int_equal(letters.n, 0);
}

/* ---- a record that is refused on the way, or hangs the node ---- */

static atomic_uint alone;  /* requests with record 7 and nothing else */
static atomic_uint with_7; /* requests with it */
static uint64_t failed_before;

static struct server_reply not_7(struct server *s, const struct server_request *r)
{
    if (!holds(r, 7))
        return (struct server_reply){0};
    with_7++;
    alone += r->n == 1;
    return *(const struct server_reply *)s->script;
}

/* No request with record 7 is under way: all there were have failed. */
static bool at_rest(void)
{
    return metric_get(M_OUT_FAILED) - failed_before == with_7;
}

/* What answers to a record that must not pass look like. */
static const struct server_reply rejections[] = {
    {.act = HANG},
    {.act = CLOSE_BEFORE},
    {.status = 504, .body = "<html>Gateway Time-out</html>"},
    {.status = 502, .body = "<html>Bad Gateway</html>"},
    {.status = 500, .body = "{\"error\":{\"type\":\"stack_overflow_error\"},\"status\":500}"},
    {.status = 403, .body = "<html>blocked by the firewall's rules</html>"},
    {.status = 400, .body = "<html>blocked by the firewall's rules</html>"},
    {.status = 404, .body = "<html>blocked by the firewall's rules</html>"},
};

static void start_with_7(struct fixture *f, const struct server_reply *reply)
{
    atomic_store(&alone, 0);
    atomic_store(&with_7, 0);
    failed_before = metric_get(M_OUT_FAILED);
    f->config.elasticsearch.timeout_ms = 100;
    f->config.elasticsearch.max_in_flight = 1;
    f->server.on_request = not_7;
    f->server.script = reply;
    put(f, 0, 64, "a-1", "");
    start(f);
}

/* Until it stands alone, and all others are delivered. New ones come, and are the evidence that it
 * is not the node. */
static void until_alone(struct fixture *f, unsigned *next)
{
    unsigned round = 0;

    *next = 64;
    UNTIL_EACH(f, alone >= 1 && f->server.created == *next - 1, {
        stage_jump(500);
        if (alone == 0 && *next < 1000 && round++ % 20 == 0)
            put(f, (*next)++, 1, "a-1", "");
    });
}

static void test_one_record_that_does_not_pass(void **state)
{
    static const int except[] = {7, -1};

    for (size_t k = 0; k < ARRAY_LEN(rejections); k++) {
        struct fixture *f = *state;
        unsigned next;

        start_with_7(f, &rejections[k]);
        until_alone(f, &next);
        output_elasticsearch.stop(f->output, 100);
        f->output = NULL;
        check_store(f, next, except);
        assert_int_equal(letters.n, 0);
        assert_int_equal(f->buffer->frontier.seq, 7);
        tear_down(state);
        set_up(state);
    }
}

/* Another record is answered (next: its number; NULL: none); time goes by; record 7 is tried once
 * more, and fails. */
static void strike(struct fixture *f, unsigned *next, uint64_t ms)
{
    unsigned before, created = f->server.created;

    UNTIL(f, at_rest());
    before = alone;
    if (next != NULL) {
        put(f, (*next)++, 1, "a-1", "");
        UNTIL(f, f->server.created > created);
    }
    stage_jump(ms);
    UNTIL(f, alone > before && at_rest());
}

/* What a strike leads to has happened: another record has come through since, and a turn more. */
static void settle(struct fixture *f, unsigned *next)
{
    for (unsigned i = 0; i < 2; i++) {
        unsigned created = f->server.created;

        put(f, (*next)++, 1, "a-1", "");
        UNTIL(f, f->server.created > created);
    }
}

/* Record 7, from the beginning by itself. Its first failures are no strikes: nothing was answered
 * yet. After them it is tried so seldom that only the test's clock makes it. Then another record is
 * answered, the host is well, and what waits is tried at once: the first strike. */
static unsigned start_with_7_alone(struct fixture *f)
{
    unsigned first;

    atomic_store(&alone, 0);
    atomic_store(&with_7, 0);
    failed_before = metric_get(M_OUT_FAILED);
    f->config.elasticsearch.max_in_flight = 1;
    f->server.on_request = not_7;
    /* What a proxy says of a node that hangs: the same, and sooner. */
    f->server.script = &rejections[2];
    put(f, 7, 1, "a-1", "");
    start(f);
    UNTIL_EACH(f, alone >= 8 && at_rest(), stage_jump(MINUTE));
    first = alone;
    put(f, 8, 1, "a-1", "");
    stage_jump(MINUTE);
    UNTIL(f, f->server.created == 1 && alone > first && at_rest());
    return 9;
}

/* ESF-11. Condemned by time-out only alone, five times over ten minutes, the host answering others
 * in between each time. */
static void test_a_hanging_record_is_condemned_in_the_end(void **state)
{
    struct fixture *f = *state;
    unsigned next = start_with_7_alone(f);

    /* Often, but not for ten minutes yet: the tenth strike comes nine after the first. */
    for (unsigned i = 0; i < 9; i++)
        strike(f, &next, MINUTE);
    settle(f, &next);
    assert_int_equal(letters.n, 0);
    strike(f, &next, 2 * MINUTE);
    UNTIL(f, letters.n == 1 && reached(f, next - 7));
    finish(f);
    assert_int_equal(f->server.created, next - 8);
    check_books(f, next - 8, 0, 1);
    assert_int_equal(letters.list[0].seq, 0);
    assert_non_null(strstr(letters.list[0].reason, "no answer to this record alone"));
    assert_false(letters.list[0].parked);
}

static void test_four_times_is_not_five(void **state)
{
    struct fixture *f = *state;
    unsigned next = start_with_7_alone(f);

    for (unsigned i = 0; i < 3; i++)
        strike(f, &next, 20 * MINUTE);
    settle(f, &next);
    assert_int_equal(letters.n, 0);
    strike(f, &next, 20 * MINUTE);
    UNTIL(f, letters.n == 1 && reached(f, next - 7));
    finish(f);
}

static atomic_bool nobody;

static struct server_reply nobody_or_not_7(struct server *s, const struct server_request *r)
{
    struct server_reply reply = not_7(s, r);

    return atomic_load(&nobody) ? (struct server_reply){.act = HANG} : reply;
}

/* A node that answers nobody proves nothing, however long it takes. */
static void test_a_node_that_hangs_condemns_nothing(void **state)
{
    struct fixture *f = *state;

    atomic_store(&nobody, false);
    f->config.elasticsearch.timeout_ms = 100;
    start_with_7_alone(f);
    f->server.on_request = nobody_or_not_7;
    atomic_store(&nobody, true);
    for (unsigned i = 0; i < 12; i++)
        strike(f, NULL, 10 * MINUTE);
    assert_int_equal(letters.n, 0);
    output_elasticsearch.stop(f->output, 100);
    f->output = NULL;
    assert_int_equal(letters.n, 0);
}

/* ---- waits ---- */

static struct server_reply retry_after(struct server *s, const struct server_request *r)
{
    if (r->number == 0)
        return *(const struct server_reply *)s->script;
    return (struct server_reply){0};
}

/* Honoured, and capped at a minute. */
static void test_retry_after(void **state)
{
    static const struct {
        struct server_reply reply;
        uint64_t not_before_ms, at_latest_ms;
    } cases[] = {
        {{.status = 429, .headers = "Retry-After: 30\r\n"}, 29000, 45000},
        {{.status = 503, .headers = "Retry-After: 30\r\n"}, 29000, 45000},
        {{.status = 429, .headers = "Retry-After: 86400\r\n"}, 55000, 90000},
        {{.status = 429, .headers = "Retry-After: 99999999999999999999\r\n"}, 0, 90000},
        {{.status = 429, .headers = "Retry-After: Fri, 31 Dec 2100 23:59:59 GMT\r\n"},
         55000,
         90000},
        {{.status = 429, .headers = "Retry-After: Wed, 21 Oct 2015 07:28:00 GMT\r\n"}, 0, 15000},
        {{.status = 429, .headers = "Retry-After: soon\r\n"}, 0, 15000},
        {{.status = 429, .headers = "Retry-After: -5\r\n"}, 0, 15000},
        {{.status = 429, .headers = "Retry-After: 0\r\n"}, 0, 15000},
        {{.status = 429}, 0, 15000},
    };

    for (size_t k = 0; k < ARRAY_LEN(cases); k++) {
        struct fixture *f = *state;
        uint64_t began, took;

        f->server.on_request = retry_after;
        f->server.script = &cases[k].reply;
        put(f, 0, 10, "a-1", "");
        start(f);
        UNTIL(f, f->server.requests == 1 && f->buffer->frontier.seq == 0);
        began = clock_mono_ms();
        UNTIL_EACH(f, f->server.requests == 2, stage_jump(50));
        took = clock_mono_ms() - began;
        if (took < cases[k].not_before_ms || took > cases[k].at_latest_ms)
            fail_msg("%s: after %llu ms", cases[k].reply.headers, (unsigned long long)took);
        UNTIL_EACH(f, reached(f, 10), stage_jump(250));
        finish(f);
        check_store(f, 10, NULL);
        tear_down(state);
        set_up(state);
    }
}

/* ESF-32: however long it was away, it is tried again within half a minute; and what is
 * tried meanwhile is one request at a time. */
static void test_a_long_outage(void **state)
{
    static const struct server_reply away = {.act = CLOSE_BEFORE};
    struct fixture *f = *state;
    unsigned tries;
    uint64_t back;

    atomic_store(&well, false);
    f->server.on_request = same_until_well;
    f->server.script = &away;
    put(f, 0, 1000, "a-1", "");
    failed_before = metric_get(M_OUT_FAILED);
    start(f);
    UNTIL_EACH(f, metric_get(M_OUT_FAILED) >= failed_before + 5, stage_jump(100));
    for (unsigned i = 0; i < 8 * 12; i++) {
        unsigned before = f->server.requests;

        failed_before = metric_get(M_OUT_FAILED);
        stage_jump(5 * MINUTE);
        UNTIL(f, f->server.requests > before && metric_get(M_OUT_FAILED) > failed_before);
    }
    tries = f->server.requests;
    assert_true(tries <= 8 * 12 * 2 + 10);
    atomic_store(&well, true);
    back = clock_mono_ms();
    UNTIL_EACH(f, f->server.created > 0, stage_jump(500));
    assert_true(clock_mono_ms() - back <= 30000 + 2000);
    UNTIL_EACH(f, reached(f, 1000), stage_jump(500));
    finish(f);
    check_store(f, 1000, NULL);
    assert_int_equal(letters.n, 0);
}

/* A learnt limit is tried again in time, and only then. */
static struct server_reply at_most_8k(struct server *s, const struct server_request *r)
{
    unsigned *largest = s->script_data;

    if (r->bytes > 8000 && !atomic_load(&well))
        return (struct server_reply){.status = 413};
    if (r->bytes > *largest)
        *largest = (unsigned)r->bytes;
    return (struct server_reply){0};
}

static void test_a_limit_is_learnt_and_forgotten(void **state)
{
    struct fixture *f = *state;
    unsigned largest = 0, next = 1000, requests, refused;

    atomic_store(&well, false);
    f->server.on_request = at_most_8k;
    f->server.script_data = &largest;
    put(f, 0, 1000, "a-1", "");
    start(f);
    UNTIL_EACH(f, reached(f, 1000), stage_jump(100));
    assert_true(largest > 2000 && largest <= 8000);
    requests = f->server.requests;
    put(f, next, 1000, "a-1", "");
    next += 1000;
    UNTIL_EACH(f, reached(f, next), stage_jump(100));
    refused = f->server.requests - requests;
    /* 1000 records of some 130 bytes and 60 of action line: none was refused on the way. */
    assert_true(refused <= 1000 * 200 / largest + 10);
    atomic_store(&well, true);
    for (unsigned i = 0; i < 6; i++) {
        stage_jump(61 * MINUTE);
        put(f, next, 1000, "a-1", "");
        next += 1000;
        UNTIL_EACH(f, reached(f, next), stage_jump(100));
    }
    assert_true(largest > 32000);
    finish(f);
    check_store(f, next, NULL);
}

/* ---- indices ---- */

static int midnight(struct server *s, const struct server_item *i, const char **error)
{
    (void)s;
    if (i->index.p[0] != 'b' || atomic_load(&well))
        return 0;
    *error = "{\"type\":\"validation_exception\",\"reason\":\"Validation Failed: 1: this action "
             "would add [2] shards, but this cluster currently has [1000]/[1000] maximum normal "
             "shards open;\"}";
    return 400;
}

/* ESF-14: tomorrow's index cannot be made, today's goes on; after hours of it nothing is lost. */
static void test_the_shard_limit_at_midnight(void **state)
{
    struct fixture *f = *state;

    atomic_store(&well, false);
    f->config.elasticsearch.park_after_ms = 24 * 60 * MINUTE;
    f->server.on_item = midnight;
    for (unsigned i = 0; i < 1000; i += 2) {
        put(f, i, 1, "a-2018.11.23", "");
        put(f, i + 1, 1, "b-2018.11.24", "");
    }
    start(f);
    UNTIL(f, f->server.created == 500);
    for (unsigned i = 0; i < 20; i++) {
        unsigned before = f->server.requests;

        stage_jump(10 * MINUTE);
        UNTIL(f, f->server.requests > before);
    }
    assert_int_equal(f->server.created, 500);
    assert_int_equal(letters.n, 0);
    atomic_store(&well, true);
    UNTIL_EACH(f, reached(f, 1000), stage_jump(500));
    finish(f);
    check_store(f, 1000, NULL);
    check_books(f, 1000, 0, 0);
    assert_int_equal(letters.n, 0);
}

static unsigned with_a, with_b, b_items;

static struct server_reply count_them(struct server *s, const struct server_request *r)
{
    bool a = false, b = false;

    (void)s;
    for (size_t i = 0; i < r->n; i++) {
        a = a || r->items[i].index.p[0] == 'a';
        b = b || r->items[i].index.p[0] == 'b';
        b_items += r->items[i].index.p[0] == 'b';
    }
    with_a += a;
    with_b += b;
    return (struct server_reply){0};
}

static int closed_a(struct server *s, const struct server_item *i, const char **error)
{
    (void)s;
    if (atomic_load(&well) || i->index.p[0] != 'a')
        return 0;
    *error = "{\"type\":\"index_closed_exception\",\"reason\":\"closed\"}";
    return 400;
}

/* ESF-13. What b costs does not depend on whether a is closed: as many requests, none of its
 * records twice; and a is asked with single records, rarely. */
static void test_a_closed_index_costs_the_others_nothing(void **state)
{
    unsigned requests_b[2];

    for (unsigned closed = 0; closed < 2; closed++) {
        struct fixture *f = *state;

        with_a = with_b = b_items = 0;
        atomic_store(&well, !closed);
        f->server.on_request = count_them;
        f->server.on_item = closed_a;
        for (unsigned i = 0; i < 16000; i += 2) {
            put(f, i, 1, "a-1", "");
            put(f, i + 1, 1, "b-1", "");
        }
        start(f);
        UNTIL(f, f->server.created == (closed ? 8000 : 16000));
        requests_b[closed] = with_b;
        if (closed) {
            /* Before the lane was opened some had gone out together with a's. */
            assert_int_equal(b_items, 8000);
            assert_true(with_a <= 20);
            /* Half an hour of it: one record at a time, at most every fifteen seconds on average.
             */
            f->config.elasticsearch.park_after_ms = 24 * 60 * MINUTE;
            with_a = 0;
            for (unsigned i = 0; i < 360; i++) {
                stage_jump(5000);
                nanosleep(&(struct timespec){0, 2000000}, NULL);
            }
            assert_in_range(with_a, 30, 240);
            atomic_store(&well, true);
            UNTIL_EACH(f, reached(f, 16000), stage_jump(500));
        }
        finish(f);
        check_store(f, 16000, NULL);
        check_books(f, 16000, 0, 0);
        tear_down(state);
        set_up(state);
    }
    assert_true(requests_b[1] <= requests_b[0] + requests_b[0] / 10 + 1);
}

static unsigned most_a;

static struct server_reply count_a(struct server *s, const struct server_request *r)
{
    unsigned a = 0;

    (void)s;
    for (size_t i = 0; i < r->n; i++)
        a += r->items[i].index.p[0] == 'a';
    most_a = MAX(most_a, a);
    return (struct server_reply){0};
}

/* Its lane, once it has one. */
static void until_a_has_a_lane(struct fixture *f)
{
    atomic_store(&well, false);
    f->server.on_request = count_a;
    f->server.on_item = closed_a;
    put(f, 0, 100, "a-1", "");
    put(f, 100, 100, "b-1", "");
    start(f);
    UNTIL(f, f->server.created == 100);
    pthread_mutex_lock(&f->server.lock);
    most_a = 0;
    pthread_mutex_unlock(&f->server.lock);
}

static void test_a_lane_is_tried_with_one_record(void **state)
{
    struct fixture *f = *state;
    unsigned requests;

    until_a_has_a_lane(f);
    requests = f->server.requests;
    UNTIL_EACH(f, f->server.requests >= requests + 5, stage_jump(500));
    pthread_mutex_lock(&f->server.lock);
    assert_int_equal(most_a, 1);
    pthread_mutex_unlock(&f->server.lock);
    atomic_store(&well, true);
    UNTIL_EACH(f, reached(f, 200), stage_jump(500));
    finish(f);
    check_store(f, 200, NULL);
}

static void test_the_end_does_not_wait_for_a_lane(void **state)
{
    struct fixture *f = *state;
    unsigned requests;
    uint64_t began;

    until_a_has_a_lane(f);
    /* Until it is tried every half minute or so. */
    requests = f->server.requests;
    UNTIL_EACH(f, f->server.requests >= requests + 12, stage_jump(5000));
    began = stage_now_ms();
    output_elasticsearch.stop(f->output, 60000);
    f->output = NULL;
    assert_true(stage_now_ms() - began < 5000);
    assert_int_equal(f->buffer->frontier.seq, 0);
}

static struct server_reply second_key(struct server *s, const struct server_request *r)
{
    (void)s;
    return strstr(r->head, "Authorization: ApiKey second\r\n") != NULL
               ? (struct server_reply){0}
               : (struct server_reply){.status = 401, .body = "{}"};
}

static void write_key(const char *path, const char *key)
{
    FILE *file = fopen(path, "w");

    ASSERT(file != NULL && fputs(key, file) >= 0 && fclose(file) == 0);
}

/* ESF-12: a key file that is replaced is found without being told. */
static void test_a_new_key_is_found(void **state)
{
    struct fixture *f = *state;
    char path[] = "/tmp/barge-test-key-XXXXXX";

    close(mkstemp(path));
    write_key(path, "first\n");
    f->config.elasticsearch.api_key_file = path;
    f->server.on_request = second_key;
    put(f, 0, 10, "a-1", "");
    start(f);
    UNTIL_EACH(f, f->server.requests >= 30, stage_jump(MINUTE / 2));
    assert_int_equal(letters.n, 0);
    write_key(path, "second\n");
    UNTIL_EACH(f, reached(f, 10), stage_jump(MINUTE / 2));
    finish(f);
    unlink(path);
    check_store(f, 10, NULL);
    check_books(f, 10, 0, 0);
}

/* ---- an index that is deleted, a host that is away ---- */

static atomic_uint deletions;

/* The first request is done and its answer lost; before the second comes somebody deletes the
 * index. */
static struct server_reply deleted_in_between(struct server *s, const struct server_request *r)
{
    if (r->number == 0)
        return (struct server_reply){.act = CLOSE_AFTER, .index_first = true};
    if (atomic_fetch_add(&deletions, 1) == 0)
        memset(s->copies, 0, sizeof s->copies);
    return (struct server_reply){0};
}

static int not_made(struct server *s, const struct server_item *i, const char **error)
{
    (void)s;
    (void)i;
    if (atomic_load(&well))
        return 0;
    *error = "{\"type\":\"index_not_found_exception\",\"reason\":\"no such index [a-1]\"}";
    return 404;
}

/* ESF-29. What was not confirmed is sent again, and is in the new index once. What was confirmed
 * before an index went is not missed, and what comes while there is none waits for it. */
static void test_an_index_is_deleted_between_two_attempts(void **state)
{
    struct fixture *f = *state;

    atomic_store(&deletions, 0);
    atomic_store(&well, true);
    f->server.on_request = deleted_in_between;
    f->server.on_item = not_made;
    put(f, 0, 100, "a-1", "");
    start(f);
    UNTIL_EACH(f, reached(f, 100), stage_jump(200));
    check_store(f, 100, NULL);
    atomic_store(&well, false);
    put(f, 100, 100, "a-1", "");
    UNTIL_EACH(f, f->server.requests >= 8, stage_jump(1000));
    assert_false(reached(f, 101));
    atomic_store(&well, true);
    UNTIL_EACH(f, reached(f, 200), stage_jump(500));
    finish(f);
    check_store(f, 200, NULL);
    check_books(f, 200, 0, 0);
    assert_int_equal(letters.n, 0);
}

static atomic_bool away;

static struct server_reply away_sometimes(struct server *s, const struct server_request *r)
{
    (void)s;
    (void)r;
    return (struct server_reply){.act = atomic_load(&away) ? CLOSE_BEFORE : ANSWER};
}

/* That a closed index accepts nothing is not known while nobody answers: it is not parked for that
 * time. */
static void test_a_host_that_is_away_parks_nothing(void **state)
{
    struct fixture *f = *state;

    until_a_has_a_lane(f);
    UNTIL_EACH(f, f->server.requests >= 12, stage_jump(5000));
    UNTIL(f, metric_get(M_OUT_IN_FLIGHT) == 0);
    pthread_mutex_lock(&f->server.lock);
    f->server.on_request = away_sometimes;
    pthread_mutex_unlock(&f->server.lock);
    atomic_store(&away, true);
    /* Others open the breaker, and are what the host is tried with. */
    for (unsigned i = 0; i < 3; i++) {
        uint64_t failed = metric_get(M_OUT_FAILED);

        put(f, 200 + i, 1, "b-1", "");
        UNTIL(f, metric_get(M_OUT_FAILED) > failed);
    }
    for (unsigned i = 0; i < 20; i++) {
        uint64_t failed = metric_get(M_OUT_FAILED);

        stage_jump(2 * MINUTE);
        UNTIL(f, metric_get(M_OUT_FAILED) > failed);
    }
    assert_int_equal(letters.n, 0);
    atomic_store(&away, false);
    /* It answers again, and that it still does not accept is known. */
    UNTIL_EACH(f, reached(f, 203), stage_jump(1000));
    finish(f);
    check_books(f, 103, 0, 100);
    assert_true(letters.list[0].parked);
}

static struct server_reply one_short(struct server *s, const struct server_request *r)
{
    static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n"
                                 "{\"items\":[{\"create\":{\"status\":201}}]}";

    (void)s;
    return r->number == 0 ? (struct server_reply){.act = RAW, .body = answer}
                          : (struct server_reply){0};
}

/* All of the JSON is there, and more was announced. */
static void test_an_answer_whose_end_is_missing(void **state)
{
    struct fixture *f = *state;

    f->server.on_request = one_short;
    put(f, 0, 1, "a-1", "");
    start(f);
    UNTIL_EACH(f, reached(f, 1), stage_jump(100));
    finish(f);
    check_store(f, 1, NULL);
    check_books(f, 1, 0, 0);
}

static struct server_reply busy_once(struct server *s, const struct server_request *r)
{
    (void)s;
    return (struct server_reply){.status = r->number == 2 ? 503 : 0};
}

/* ESF-25: a connection goes on after a perfect answer, and after no other. */
static void test_a_connection_goes_on_after_a_perfect_answer_alone(void **state)
{
    struct fixture *f = *state;

    f->config.elasticsearch.max_in_flight = 1;
    f->server.on_request = busy_once;
    start(f);
    for (unsigned i = 0; i < 6; i++) {
        put(f, i, 1, "a-1", "");
        UNTIL_EACH(f, reached(f, i + 1), stage_jump(100));
        assert_int_equal(f->server.n_connections, i < 2 ? 1 : 2);
    }
    finish(f);
    check_store(f, 6, NULL);
}

static int closed_but_z(struct server *s, const struct server_item *i, const char **error)
{
    (void)s;
    if (i->index.p[0] == 'z' || atomic_load(&well))
        return 0;
    *error = "{\"type\":\"cluster_block_exception\",\"reason\":\"index [i] blocked by: "
             "[FORBIDDEN/8/index write (api)];\"}";
    return 403;
}

/* More indices in trouble than there are lanes: the healthy one goes on all the same. */
static void test_more_indices_in_trouble_than_lanes(void **state)
{
    struct fixture *f = *state;
    unsigned next = 0;

    atomic_store(&well, false);
    f->server.on_item = closed_but_z;
    for (unsigned i = 0; i < 300; i++) {
        char index[16];

        snprintf(index, sizeof index, "c-%03u", i);
        put(f, next++, 1, index, "");
        put(f, next++, 1, "z-1", "");
    }
    start(f);
    UNTIL_EACH(f, f->server.created == 300, stage_jump(100));
    put(f, next, 300, "z-1", "");
    next += 300;
    UNTIL_EACH(f, f->server.created == 600, stage_jump(100));
    assert_int_equal(letters.n, 0);
    atomic_store(&well, true);
    UNTIL_EACH(f, reached(f, next), stage_jump(500));
    finish(f);
    check_store(f, next, NULL);
    check_books(f, next, 0, 0);
}

/* Not for the time, but because it holds half the buffer: parked at once. */
static void test_who_holds_half_the_buffer_is_parked(void **state)
{
    struct fixture *f = *state;

    atomic_store(&well, false);
    f->server.on_item = closed_a;
    f->config.elasticsearch.park_after_ms = 24 * 60 * MINUTE;
    put(f, 0, 100, "a-1", "");
    put(f, 100, 100, "b-1", "");
    f->buffer->max_bytes = f->buffer->bytes * 3;
    start(f);
    UNTIL(f, f->server.created == 100);
    stage_jump(3000);
    nanosleep(&(struct timespec){0, 50000000}, NULL);
    assert_int_equal(letters.n, 0);
    f->buffer->max_bytes = f->buffer->bytes * 3 / 2;
    UNTIL_EACH(f, reached(f, 200), stage_jump(500));
    finish(f);
    check_books(f, 100, 0, 100);
    assert_true(letters.list[0].parked);
}

/* ---- a disk that takes no byte more ---- */

/* 16 records a for every 500 of a segment, in the first four; the rest is b's. */
static unsigned put_segments(struct fixture *f)
{
    unsigned a = 0;

    for (unsigned i = 0; i < 10 * SEGMENT_RECORDS; i++) {
        bool is_a = i < 4 * SEGMENT_RECORDS && i % SEGMENT_RECORDS % 31 == 3;

        a += is_a;
        put(f, i, 1, is_a ? "a-1" : "b-1", "");
    }
    return a;
}

/* The segments in which a closed index has records become dead letters as they are; those behind
 * can go. */
static void test_a_full_disk_with_a_closed_index(void **state)
{
    struct fixture *f = *state;
    unsigned a = put_segments(f);

    atomic_store(&well, false);
    f->server.on_item = closed_a;
    f->buffer->full = true;
    letters.refuses = true;
    start(f);
    UNTIL_EACH(f, reached(f, 10 * SEGMENT_RECORDS), stage_jump(100));
    assert_int_equal(letters.n, 0);
    /* In whatever order, and in several steps where some of them came late. */
    for (uint64_t segment = 0; segment < 4; segment++) {
        uint64_t first = UINT64_MAX, last = 0;

        for (size_t i = 0; i < letters.n_kept; i++) {
            if (letters.kept[i].segment != segment)
                continue;
            first = MIN(first, letters.kept[i].first);
            last = MAX(last, letters.kept[i].last);
        }
        assert_int_equal(first, segment * SEGMENT_RECORDS + 3);
        assert_int_equal(last, segment * SEGMENT_RECORDS + 3 + 31 * 16);
    }
    assert_int_equal(letters.kept_records, a);
    assert_int_equal(metric_get(M_OUT_PARKED), a);
    check_books(f, 10 * SEGMENT_RECORDS - a, 0, a);
    /* It opens: a copy of one of its records shows it. */
    atomic_store(&well, true);
    UNTIL_EACH(f, metric_get(M_OUT_PARKED) == 0, stage_jump(500));
    assert_true(letters.unparked >= 1);
    finish(f);
}

/* Neither a byte nor a segment can be kept: the lane waits, and is tried on. */
static void test_nothing_can_be_parked(void **state)
{
    struct fixture *f = *state;

    put_segments(f);
    atomic_store(&well, false);
    f->server.on_item = closed_a;
    f->buffer->full = true;
    letters.refuses = letters.keeps_nothing = true;
    start(f);
    UNTIL_EACH(f, f->server.created > 4900, stage_jump(100));
    for (unsigned i = 0; i < 200; i++) {
        stage_jump(500);
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    }
    assert_false(reached(f, 4));
    assert_int_equal(letters.n + letters.n_kept, 0);
    atomic_store(&well, true);
    UNTIL_EACH(f, reached(f, 10 * SEGMENT_RECORDS), stage_jump(500));
    finish(f);
    check_store(f, 10 * SEGMENT_RECORDS, NULL);
    check_books(f, 10 * SEGMENT_RECORDS, 0, 0);
}

static int refuse_some(struct server *s, const struct server_item *i, const char **error)
{
    (void)s;
    if (i->number % 700 != 5)
        return 0;
    *error = "{\"type\":\"illegal_argument_exception\",\"reason\":\"no\"}";
    return 400;
}

/* Refused records hold the buffer no more than parked ones. Those of the segment that is written to
 * wait. */
static void test_a_full_disk_with_refused_records(void **state)
{
    struct fixture *f = *state;

    put_segments(f);
    f->server.on_item = refuse_some;
    letters.refuses = true;
    start(f);
    /* 5, 705, …, 4905: the last one lies in the last segment. */
    UNTIL_EACH(f, letters.kept_records == 7 && reached(f, 2800), stage_jump(100));
    for (size_t i = 0; i < letters.n_kept; i++) {
        assert_int_equal(letters.kept[i].first % 700, 5);
        assert_int_equal(letters.kept[i].key, 0);
    }
    assert_false(reached(f, 4906));
    letters.refuses = false;
    UNTIL_EACH(f, reached(f, 5000), stage_jump(500));
    finish(f);
    check_books(f, 5000 - 8, 0, 8);
    assert_int_equal(letters.n, 1);
    assert_int_equal(letters.list[0].seq, 4905);
}

/* What was written and not fsynced is no dead letter yet. */
static void test_a_failed_fsync_of_dead_letters(void **state)
{
    struct fixture *f = *state;

    f->server.on_item = refuse_some;
    letters.sync_fails = 3;
    put(f, 0, 10, "a-1", "");
    start(f);
    UNTIL_EACH(f, letters.failed_syncs >= 1, stage_jump(100));
    UNTIL_EACH(f, reached(f, 10), stage_jump(500));
    finish(f);
    check_books(f, 9, 0, 1);
    assert_int_equal(letters.n + letters.kept_records, 1);
}

/* ---- answers ---- */

static int odd_successes(struct server *s, const struct server_item *i, const char **error)
{
    (void)s;
    *error = NULL;
    return i->number % 10 == 3 ? 200 : i->number % 10 == 4 ? 202 : 0;
}

/* ESF-30, ESF-31: an ingest pipeline dropped it (200 to a create), the failure store has it. */
static void test_noop_and_failure_store(void **state)
{
    struct fixture *f = *state;
    uint64_t noops = metric_get(M_OUT_NOOP), stored = metric_get(M_OUT_FAILURE_STORE);

    f->server.on_item = odd_successes;
    put(f, 0, 100, "a-1", "");
    start(f);
    UNTIL_EACH(f, reached(f, 100), stage_jump(500));
    finish(f);
    check_books(f, 100, 0, 0);
    assert_int_equal(metric_get(M_OUT_NOOP) - noops, 10);
    assert_int_equal(metric_get(M_OUT_FAILURE_STORE) - stored, 10);
}

static struct server_reply ids_first(struct server *s, const struct server_request *r)
{
    (void)s;
    return r->number < 2 ? (struct server_reply){.ids = r->number == 0 ? BACKWARDS : IN_ORDER}
                         : (struct server_reply){0};
}

/* ESF-07: items in another order, which shows when the answer has their ids. */
static void test_reordered_items(void **state)
{
    struct fixture *f = *state;

    f->server.on_request = ids_first;
    put(f, 0, 50, "a-1", "");
    start(f);
    UNTIL_EACH(f, reached(f, 50), stage_jump(500));
    finish(f);
    check_store(f, 50, NULL);
    /* The first answer did not count, the second did. */
    check_books(f, 0, 50, 0);
    assert_int_equal(f->server.requests, 2);
}

/* ---- every fate in every order ---- */

#define MANY 20000

struct plan {
    uint8_t busy; /* how often it is put off */
    bool there, poison;
};

static struct plan plans[MANY];
static uint8_t tries[MANY];
static char refusal[200];
static struct es_dice {
    uint64_t state;
} dice;

static unsigned draw(unsigned n)
{
    dice.state = dice.state * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(dice.state >> 33) % n;
}

static int by_plan(struct server *s, const struct server_item *i, const char **error)
{
    static const struct {
        int status;
        const char *error;
    } later[] = {
        {429, "{\"type\":\"es_rejected_execution_exception\",\"reason\":\"full\"}"},
        {429, "{\"type\":\"circuit_breaking_exception\",\"reason\":\"Data too large\"}"},
        {503, "{\"type\":\"unavailable_shards_exception\",\"reason\":\"not active\"}"},
        {500, "{\"type\":\"null_pointer_exception\",\"reason\":null}"},
        {400, "{\"type\":\"index_closed_exception\",\"reason\":\"closed\"}"},
        {404, "{\"type\":\"index_not_found_exception\",\"reason\":\"no such index\"}"},
        {403, "{\"type\":\"cluster_block_exception\",\"reason\":\"blocked\"}"},
        {507, "{\"type\":\"new\",\"reason\":\"what is this\"}"},
    };
    const struct plan *p = &plans[i->number];

    (void)s;
    if (tries[i->number] < p->busy) {
        unsigned k = draw(ARRAY_LEN(later));

        tries[i->number]++;
        *error = later[k].error;
        return later[k].status;
    }
    if (!p->poison)
        return 0;
    snprintf(refusal, sizeof refusal,
             "{\"type\":\"document_parsing_exception\",\"reason\":\"number %u is refused\"}",
             i->number);
    *error = refusal;
    return 400;
}

/* ESF-04. Each record has its own fate drawn; books, store and reasons must show exactly these. */
static void test_every_fate_in_random_order(void **state)
{
    struct fixture *f = *state;
    unsigned poisoned = 0, there = 0;
    uint64_t seed = getenv("SEED") ? strtoull(getenv("SEED"), NULL, 0) : 20181123;

    print_message("SEED=%llu\n", (unsigned long long)seed);
    dice.state = seed;
    memset(tries, 0, sizeof tries);
    for (unsigned i = 0; i < MANY; i++) {
        static const char *const indices[] = {"a-1", "b-1", "c-1"};

        plans[i] = (struct plan){.busy = (uint8_t)(draw(4) == 0 ? 1 + draw(3) : 0),
                                 .there = draw(10) == 0,
                                 .poison = draw(50) == 0};
        plans[i].there = plans[i].there && !plans[i].poison;
        poisoned += plans[i].poison;
        there += plans[i].there;
        f->server.copies[i] = plans[i].there;
        put(f, i, 1, indices[draw(3)], "");
    }
    f->server.on_item = by_plan;
    start(f);
    UNTIL_EACH(f, reached(f, MANY), stage_jump(200));
    finish(f);
    check_books(f, MANY - poisoned - there, there, poisoned);
    for (unsigned i = 0; i < MANY; i++)
        assert_int_equal(f->server.copies[i], !plans[i].poison);
    assert_int_equal(letters.n, poisoned);
    for (size_t i = 0; i < letters.n; i++) {
        char wanted[64];

        assert_true(plans[letters.list[i].seq].poison);
        snprintf(wanted, sizeof wanted, "number %llu is refused",
                 (unsigned long long)letters.list[i].seq);
        assert_non_null(strstr(letters.list[i].reason, wanted));
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST(test_a_broken_host_beside_a_good_one),
        TEST(test_a_proxy_that_refuses_everything),
        TEST(test_one_record_that_does_not_pass),
        TEST(test_a_hanging_record_is_condemned_in_the_end),
        TEST(test_four_times_is_not_five),
        TEST(test_a_node_that_hangs_condemns_nothing),
        TEST(test_retry_after),
        TEST(test_a_long_outage),
        TEST(test_a_limit_is_learnt_and_forgotten),
        TEST(test_a_host_is_trusted_again),
        TEST(test_a_new_key_is_found),
        TEST(test_short_lives_get_further),
        TEST(test_a_lane_is_tried_with_one_record),
        TEST(test_the_end_does_not_wait_for_a_lane),
        TEST(test_an_answer_whose_end_is_missing),
        TEST(test_a_failed_fsync_of_dead_letters),
        TEST(test_an_index_is_deleted_between_two_attempts),
        TEST(test_a_host_that_is_away_parks_nothing),
        TEST(test_a_connection_goes_on_after_a_perfect_answer_alone),
        TEST(test_the_shard_limit_at_midnight),
        TEST(test_a_closed_index_costs_the_others_nothing),
        TEST(test_more_indices_in_trouble_than_lanes),
        TEST(test_who_holds_half_the_buffer_is_parked),
        TEST(test_a_full_disk_with_a_closed_index),
        TEST(test_nothing_can_be_parked),
        TEST(test_a_full_disk_with_refused_records),
        TEST(test_noop_and_failure_store),
        TEST(test_reordered_items),
        TEST(test_every_fate_in_random_order),
    };

    log_init(getenv("TEST_FILTER") ? LOG_DEBUG : LOG_ERROR, LOG_LOGFMT);
    cmocka_set_test_filter(getenv("TEST_FILTER"));
    return cmocka_run_group_tests_name("es_matrix", tests, NULL, NULL);
}
