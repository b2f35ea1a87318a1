/* es_verdict, es_breaker, es_limit, es_size, es_backoff: the decisions that need no network. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "outputs/elasticsearch/es_backoff.h"
#include "outputs/elasticsearch/es_breaker.h"
#include "outputs/elasticsearch/es_limit.h"
#include "outputs/elasticsearch/es_size.h"
#include "outputs/elasticsearch/es_verdict.h"

static void test_items(void **state)
{
    static const struct {
        long status;
        const char *type, *reason;
        enum es_fate fate;
    } cases[] = {
        {201, "", "", ES_DELIVERED},
        {200, "", "", ES_DELIVERED},
        {409, "version_conflict_engine_exception", "[a1]: version conflict", ES_DUPLICATE},
        {409, "resource_already_exists_exception", "", ES_RETRY},
        {409, "", "", ES_DUPLICATE},
        {429, "es_rejected_execution_exception", "", ES_RETRY},
        {429, "circuit_breaking_exception", "", ES_RETRY},
        {429, "cluster_block_exception",
         "index [a] blocked by: [TOO_MANY_REQUESTS/12/disk usage exceeded flood-stage watermark]",
         ES_RETRY_INDEX},
        {403, "cluster_block_exception", "index [wb] blocked by: [FORBIDDEN/8/index write (api)];",
         ES_RETRY_INDEX},
        {403, "security_exception", "action [indices:data/write/bulk[s]] is unauthorized",
         ES_RETRY_INDEX},
        {404, "index_not_found_exception", "no such index [a]", ES_RETRY_INDEX},
        {400, "index_closed_exception", "closed", ES_RETRY_INDEX},
        {400, "es_rejected_execution_exception", "rejected execution", ES_RETRY},
        {400, "rejected_execution_exception", "rejected execution", ES_RETRY},
        {400, "circuit_breaking_exception", "[parent] Data too large", ES_RETRY},
        {400, "validation_exception",
         "Validation Failed: 1: this action would add [2] total shards, but this cluster currently "
         "has [1000]/[1000] maximum shards open;",
         ES_RETRY_INDEX},
        {400, "illegal_argument_exception",
         "Validation Failed: 1: this action would add [2] shards, but this cluster currently has "
         "[1000]/[1000] maximum normal shards open;",
         ES_RETRY_INDEX},
        {400, "illegal_argument_exception", "pipeline with id [x] does not exist", ES_RETRY_INDEX},
        {503, "unavailable_shards_exception", "[a][0] primary shard is not active", ES_RETRY_INDEX},
        {503, "process_cluster_event_timeout_exception", "", ES_RETRY_INDEX},
        {400, "mapper_parsing_exception", "failed to parse field [n] of type [long]", ES_REFUSED},
        {400, "document_parsing_exception", "[1:23] failed to parse", ES_REFUSED},
        {400, "illegal_argument_exception", "Limit of total fields [1000] has been exceeded",
         ES_REFUSED},
        {400, "strict_dynamic_mapping_exception", "mapping set to strict", ES_REFUSED},
        {400, "something_new_exception", "", ES_REFUSED},
        /* The index's fault, whatever the code says. */
        {400, "routing_missing_exception", "routing is required for [a]/[b]", ES_RETRY_INDEX},
        {400, "illegal_argument_exception",
         "Number of documents in the index can't exceed [2147483519]", ES_RETRY_INDEX},
        {400, "illegal_argument_exception",
         "Number of documents in shard [a][0] exceeds the limit of [2147483519] documents per "
         "shard",
         ES_RETRY_INDEX},
        {400, "illegal_argument_exception", "no write index is defined for alias [a]",
         ES_RETRY_INDEX},
        {400, "illegal_argument_exception",
         "only write ops with an op_type of create are allowed in data streams", ES_RETRY_INDEX},
        /* A refusal quotes the value: what a log says there is no reason to hold up an index. */
        {400, "document_parsing_exception",
         "failed to parse field [n]. Preview of field's value: 'maximum shards open; pipeline with "
         "id [x; Number of documents in '",
         ES_REFUSED},
        /* No error of Elasticsearch's own: nothing is condemned. */
        {400, "", "", ES_RETRY},
        {413, "x", "y", ES_RETRY},
        {500, "null_pointer_exception", "", ES_RETRY},
        {302, "", "", ES_RETRY},
        {100, "", "", ES_RETRY},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        if (es_verdict_item(cases[i].status, bytes_str(cases[i].type),
                            bytes_str(cases[i].reason)) != cases[i].fate)
            fail_msg("%ld %s %s", cases[i].status, cases[i].type, cases[i].reason);
}

static void test_requests(void **state)
{
    (void)state;
    assert_int_equal(es_verdict_whole(200), ES_WHOLE_OK);
    assert_int_equal(es_verdict_whole(413), ES_WHOLE_TOO_LARGE);
    assert_int_equal(es_verdict_whole(400), ES_WHOLE_MALFORMED);
    assert_int_equal(es_verdict_whole(401), ES_WHOLE_AUTH);
    assert_int_equal(es_verdict_whole(403), ES_WHOLE_AUTH);
    assert_int_equal(es_verdict_whole(500), ES_WHOLE_BROKEN);
    assert_int_equal(es_verdict_whole(502), ES_WHOLE_BROKEN);
    assert_int_equal(es_verdict_whole(504), ES_WHOLE_BROKEN);
    assert_int_equal(es_verdict_whole(503), ES_WHOLE_BUSY);
    assert_int_equal(es_verdict_whole(429), ES_WHOLE_BUSY);
    assert_int_equal(es_verdict_whole(408), ES_WHOLE_BUSY);
    assert_int_equal(es_verdict_whole(425), ES_WHOLE_BUSY);
    assert_int_equal(es_verdict_whole(0), ES_WHOLE_ODD);
    assert_int_equal(es_verdict_whole(599), ES_WHOLE_ODD);
    assert_int_equal(es_verdict_whole(201), ES_WHOLE_ODD);
    assert_int_equal(es_verdict_whole(301), ES_WHOLE_ODD);
    assert_int_equal(es_verdict_whole(404), ES_WHOLE_ODD);
    assert_int_equal(es_verdict_whole(501), ES_WHOLE_ODD);
}

static void test_backoff(void **state)
{
    struct es_random r = {42};
    uint64_t most = 0;

    (void)state;
    for (unsigned attempt = 1; attempt < 100; attempt++) {
        for (int i = 0; i < 200; i++) {
            uint64_t ms = es_backoff_ms(attempt, 200, 30000, &r);
            uint64_t ceiling = attempt > 8 ? 30000 : MIN(30000, 200ull << (attempt - 1));

            assert_in_range(ms, 10, ceiling);
            most = MAX(most, ms);
        }
    }
    /* The whole width is used. */
    assert_true(most > 29000);
    assert_in_range(es_backoff_ms(UINT32_MAX, 200, 30000, &r), 10, 30000);
}

static void test_breaker(void **state)
{
    struct es_breaker b;
    struct es_random r = {7};
    uint64_t now = 1000000, pause_before = 0;

    (void)state;
    es_breaker_init(&b);
    assert_true(es_breaker_allows(&b, now));
    assert_false(es_breaker_failed(&b, now, 0, false, &r));
    assert_false(es_breaker_failed(&b, now, 0, false, &r));
    assert_false(es_breaker_succeeded(&b)); /* in a row, not in sum */
    assert_false(es_breaker_failed(&b, now, 0, false, &r));
    assert_false(es_breaker_failed(&b, now, 0, false, &r));
    assert_true(es_breaker_allows(&b, now));
    assert_true(es_breaker_failed(&b, now, 0, false, &r));
    for (int i = 0; i < 10; i++) {
        uint64_t pause = es_breaker_due_ms(&b) - now, most = MIN(30000, 1000ull << i);

        assert_int_equal(b.state, ES_BREAKER_OPEN);
        assert_in_range(pause, most / 2, most);
        if (i > 0 && most < 30000)
            assert_true(pause >= pause_before / 2);
        pause_before = pause;
        assert_false(es_breaker_allows(&b, now + pause - 1));
        /* What was under way from before says nothing new. */
        assert_false(es_breaker_failed(&b, now, 0, false, &r));
        now += pause;
        assert_true(es_breaker_allows(&b, now));
        es_breaker_sent(&b, now);
        assert_int_equal(b.state, ES_BREAKER_HALF_OPEN);
        assert_false(es_breaker_allows(&b, now)); /* one probe */
        assert_true(es_breaker_due_ms(&b) == UINT64_MAX);
        assert_true(es_breaker_failed(&b, now, 0, false, &r));
    }
    now = es_breaker_due_ms(&b);
    es_breaker_sent(&b, now);
    es_breaker_unknown(&b, now); /* aborted: another probe, at once */
    assert_true(es_breaker_allows(&b, now));
    es_breaker_sent(&b, now);
    assert_true(es_breaker_succeeded(&b));
    assert_int_equal(b.state, ES_BREAKER_CLOSED);
    /* Retry-After holds a closed breaker back; refused credentials open it at once. */
    assert_false(es_breaker_failed(&b, now, 5000, false, &r));
    assert_false(es_breaker_allows(&b, now + 4999));
    assert_true(es_breaker_allows(&b, now + 5000));
    assert_true(es_breaker_failed(&b, now, 5000, true, &r));
    assert_true(es_breaker_due_ms(&b) >= now + 5000);
}

static void test_limit(void **state)
{
    struct es_limit l;
    unsigned before;

    (void)state;
    es_limit_init(&l, 2, 8);
    assert_int_equal(es_limit_allowed(&l), 2);
    /* Not used: does not grow. */
    for (int i = 0; i < 100; i++)
        es_limit_succeeded(&l, 10, true, 1);
    assert_int_equal(es_limit_allowed(&l), 2);
    for (int i = 0; i < 100; i++)
        es_limit_succeeded(&l, 10, true, es_limit_allowed(&l));
    assert_int_equal(es_limit_allowed(&l), 8);
    assert_false(es_limit_overloaded(&l, 1000, 2000));
    assert_int_equal(es_limit_allowed(&l), 4);
    /* Seven more answers to requests sent before the cut: the same news. */
    for (int i = 0; i < 7; i++)
        es_limit_overloaded(&l, 1500, 2001);
    assert_int_equal(es_limit_allowed(&l), 4);
    assert_false(es_limit_overloaded(&l, 2500, 3000));
    assert_false(es_limit_overloaded(&l, 3500, 4000));
    assert_true(es_limit_overloaded(&l, 4500, 5000));
    assert_int_equal(es_limit_allowed(&l), 1);
    assert_false(es_limit_overloaded(&l, 4600, 5001)); /* from before the last cut */
    /* Slowly up again: others may share the host. */
    for (int i = 0; i < 60; i++)
        es_limit_succeeded(&l, 10, true, 1);
    assert_int_equal(es_limit_allowed(&l), 1);
    for (int i = 0; i < 10; i++)
        es_limit_succeeded(&l, 10, true, 1);
    assert_int_equal(es_limit_allowed(&l), 2);
    es_limit_init(&l, 2, 8);
    /* Answers that take much longer than they did: fewer at once. */
    for (int i = 0; i < 100; i++)
        es_limit_succeeded(&l, 10, true, es_limit_allowed(&l));
    before = es_limit_allowed(&l);
    for (int i = 0; i < 20; i++)
        es_limit_succeeded(&l, 500, true, es_limit_allowed(&l));
    assert_true(es_limit_allowed(&l) < before);
    es_limit_init(&l, 2, 1);
    assert_int_equal(es_limit_allowed(&l), 1);
}

/* Takes a request of the size that is right now, so many times. */
static size_t take_full(struct es_size *s, unsigned times)
{
    while (times-- > 0)
        es_size_taken(s, s->bytes);
    return s->bytes;
}

static void test_sizes(void **state)
{
    static const size_t first = 64 << 10, max = 5 << 20;
    size_t crowded;
    struct es_size s;

    (void)state;
    es_size_init(&s, 4096);
    assert_int_equal(take_full(&s, 3), 4096); /* a smaller one was asked for */
    es_size_init(&s, max);
    assert_int_equal(s.bytes, first);
    assert_true(es_size_doubles(&s));
    es_size_taken(&s, s.bytes / 2 - 1); /* says nothing of such as are full */
    assert_int_equal(s.bytes, first);
    assert_int_equal(take_full(&s, 1), 2 * first);
    assert_int_equal(take_full(&s, 9), max);
    assert_false(es_size_doubles(&s));
    /* Asked too much: half, again and again, and then slowly. */
    es_size_overloaded(&s);
    assert_int_equal(s.bytes, max / 2);
    assert_false(es_size_doubles(&s));
    assert_in_range(take_full(&s, 1), max / 2 + 1, max / 2 + max / 64);
    for (unsigned i = 0; i < 20; i++)
        es_size_overloaded(&s);
    assert_int_equal(s.bytes, first);
    crowded = take_full(&s, 20);
    assert_in_range(crowded, first * 5 / 4, first * 3 / 2);
    assert_int_equal(take_full(&s, 1000), max);
    /* It was away. */
    es_size_restart(&s);
    assert_int_equal(s.bytes, first);
    assert_false(es_size_doubles(&s));
    assert_int_equal(take_full(&s, 1000), max);
}

static void test_sizes_that_are_refused(void **state)
{
    static const uint64_t hour = 3600000;
    struct es_size s;

    (void)state;
    es_size_init(&s, 5 << 20);
    take_full(&s, 10);
    assert_true(es_size_too_large(&s, 2 << 20, 1000));
    assert_int_equal(s.bytes, 1 << 20);
    assert_int_equal(take_full(&s, 10), 1 << 20);
    assert_false(es_size_too_large(&s, 3 << 20, 2000)); /* was under way */
    assert_int_equal(s.bytes, 1 << 20);
    /* Its limit may be raised: one that large is tried, and taken. */
    es_size_unlearn(&s, 2000 + hour - 1);
    assert_int_equal(s.bytes, 1 << 20);
    es_size_unlearn(&s, 2000 + hour);
    assert_int_equal(s.bytes, 2 << 20);
    assert_int_equal(take_full(&s, 2), 5 << 20);
    /* The same at once, when a single record of that size passes. */
    es_size_too_large(&s, 2 << 20, 3000);
    es_size_taken(&s, 2 << 20);
    assert_int_equal(take_full(&s, 3), 5 << 20);
    /* Smaller than where requests begin: that is where they begin from now on. */
    es_size_too_large(&s, 32 << 10, 4000);
    es_size_overloaded(&s);
    es_size_restart(&s);
    assert_int_equal(s.bytes, 16 << 10);
    for (unsigned i = 0; i < 10; i++)
        es_size_too_large(&s, s.bytes, 5000);
    assert_int_equal(s.bytes, 1024);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_items),
        cmocka_unit_test(test_requests),
        cmocka_unit_test(test_backoff),
        cmocka_unit_test(test_breaker),
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_sizes_that_are_refused),
    };

    return cmocka_run_group_tests_name("es_policy", tests, NULL, NULL);
}
