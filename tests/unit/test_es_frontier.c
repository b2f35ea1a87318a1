/* es_frontier and es_lane against a plain array as the model. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "outputs/elasticsearch/es_frontier.h"
#include "outputs/elasticsearch/es_lane.h"

#include <stdio.h>

#define RECORDS 20000

static uint64_t random_state = 88172645463325252ull;

static uint64_t rnd(uint64_t n)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state % n;
}

static void check_outcome(const uint8_t *model, uint64_t from, uint64_t to,
                          const struct buffer_outcome *o)
{
    uint64_t n[5] = {0};

    for (uint64_t i = from; i < to; i++)
        n[model[i]]++;
    assert_int_equal(n[ES_OPEN], 0);
    assert_int_equal(o->delivered, n[ES_END_DELIVERED]);
    assert_int_equal(o->duplicate, n[ES_END_DUPLICATE]);
    assert_int_equal(o->dead_lettered, n[ES_END_DEAD]);
    assert_int_equal(o->damaged, n[ES_END_DAMAGED]);
}

/* Reads, losses and ends in random order: each advance has the exact outcome of exactly its
 * records. */
static void test_frontier(void **state)
{
    static uint8_t model[RECORDS];
    struct es_frontier f;
    struct buffer_cursor at = {{1, 0}, 0}, to;
    struct buffer_outcome o;
    uint64_t done = 0, read = 0, open_low = 0;

    (void)state;
    es_frontier_init(&f, at);
    while (done < RECORDS) {
        if (read < RECORDS && rnd(3) == 0) {
            uint64_t n = 1 + rnd(MIN(600, RECORDS - read));

            at.seq = read + n;
            at.point.offset = at.seq * 10;
            if (rnd(10) == 0) {
                es_frontier_lost(&f, at);
                memset(model + read, ES_END_DAMAGED, n);
            } else {
                es_frontier_read(&f, at);
            }
            read += n;
        }
        for (int i = 0; i < 200 && read > open_low; i++) {
            uint64_t seq = open_low + rnd(MIN(2000, read - open_low));

            if (model[seq] != ES_OPEN)
                continue;
            model[seq] = (uint8_t)(1 + rnd(4));
            es_frontier_finish(&f, seq, model[seq]);
        }
        while (open_low < read && model[open_low] != ES_OPEN)
            open_low++;
        assert_int_equal(es_frontier_first_open(&f), open_low);
        if (rnd(4) == 0) {
            to = (struct buffer_cursor){{0, 0}, 0};
            if (es_frontier_advance(&f, &to, &o)) {
                assert_true(to.seq > done && to.seq <= open_low);
                assert_int_equal(to.point.offset, to.seq * 10);
                check_outcome(model, done, to.seq, &o);
                done = to.seq;
            }
        } else if (rnd(4) == 0 && open_low < read) {
            to = (struct buffer_cursor){{1, open_low * 10}, open_low};
            if (es_frontier_advance_partly(&f, to, &o)) {
                check_outcome(model, done, open_low, &o);
                done = open_low;
            }
        }
    }
    assert_int_equal(f.open, 0);
    assert_int_equal(es_frontier_stretches(&f), 0);
    es_frontier_fini(&f);
}

/* What went in comes out, each once, in runs that never reach over a segment. */
static void test_lane(void **state)
{
    static uint8_t seen[RECORDS];
    struct es_lanes l;
    struct es_lane *a, *b;
    uint64_t in = 0, out = 0;

    (void)state;
    es_lanes_init(&l);
    a = es_lanes_open(&l, BYTES_LITERAL("a"), 5);
    b = es_lanes_open(&l, BYTES_LITERAL("b"), 5);
    assert_ptr_equal(es_lanes_find(&l, BYTES_LITERAL("a")), a);
    assert_null(es_lanes_find(&l, BYTES_LITERAL("c")));
    for (uint64_t seq = 0; seq < RECORDS; seq++) {
        struct buffer_point at = {seq / 700, (seq % 700) * 100};

        if (rnd(5) == 0)
            continue;
        es_lane_put(&l, rnd(50) == 0 ? b : a, at, seq, 90);
        in++;
    }
    assert_int_equal(a->records + b->records, in);
    while (l.runs > 0) {
        struct es_lane *lane = rnd(2) ? a : b;
        const struct es_run *run = es_lane_first(lane);
        uint64_t n;

        if (run == NULL)
            continue;
        assert_int_equal(run->at.segment, run->seq / 700);
        assert_int_equal(run->at.offset, run->seq % 700 * 100);
        assert_int_equal((run->seq + run->n - 1) / 700, run->seq / 700);
        assert_int_equal(run->span, (run->n - 1) * 100 + 90);
        n = 1 + rnd(run->n);
        for (uint64_t i = run->seq; i < run->seq + n; i++)
            assert_int_equal(seen[i]++, 0);
        out += n;
        es_lane_took(
            &l, lane,
            (struct buffer_cursor){{run->at.segment, run->at.offset + n * 100}, run->seq + n});
    }
    assert_int_equal(out, in);
    assert_int_equal(a->records + b->records, 0);
    es_lanes_close(&l, a);
    es_lanes_fini(&l);
}

static void test_lane_states(void **state)
{
    struct es_lanes l;
    struct es_lane *a;
    struct es_random r = {3};
    uint64_t seq;

    (void)state;
    es_lanes_init(&l);
    assert_null(es_lanes_oldest(&l, &seq));
    a = es_lanes_open(&l, BYTES_LITERAL("a"), 5);
    assert_int_equal(a->state, ES_LANE_TROUBLED);
    es_lane_refused(a, "closed", 1000, &r);
    assert_in_range(a->due_ms, 1010, 1200);
    assert_int_equal(a->since_ms, 5); /* it accepted nothing since then */
    for (int i = 0; i < 50; i++)
        es_lane_refused(a, "closed", 1000, &r);
    assert_in_range(a->due_ms, 1010, 31000);
    es_lane_accepted(a);
    assert_int_equal(a->state, ES_LANE_DRAINING);
    es_lane_refused(a, "closed again", 9000, &r);
    assert_int_equal(a->state, ES_LANE_TROUBLED);
    assert_int_equal(a->since_ms, 9000);
    assert_string_equal(a->reason, "closed again");
    es_lane_put(&l, a, (struct buffer_point){1, 5}, 17, 10);
    assert_ptr_equal(es_lanes_oldest(&l, &seq), a);
    assert_int_equal(seq, 17);
    for (size_t i = 1; i < ES_LANES_MAX; i++) {
        char name[16];

        snprintf(name, sizeof name, "i%zu", i);
        assert_non_null(es_lanes_open(&l, bytes_str(name), 5));
    }
    assert_null(es_lanes_open(&l, BYTES_LITERAL("one too many"), 5));
    es_lanes_fini(&l);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frontier),
        cmocka_unit_test(test_lane),
        cmocka_unit_test(test_lane_states),
    };

    return cmocka_run_group_tests_name("es_frontier", tests, NULL, NULL);
}
