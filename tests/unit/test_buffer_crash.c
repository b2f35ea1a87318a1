/*
 * The buffer against a model, over lives that end by close, by kill -9 or by loss of power, on a
 * disk that forgets what was not fsynced (whole, in any part) and that fails now and then.
 * BUFFER_SEED=n runs one seed, BUFFER_SEEDS=n as many.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/buffer_fixture.h"
#include "tests/unit/io_crash.h"

#include "agent/base/log.h"

#define DOC 900
#define DATAGRAM (1ull << 40) /* numbers from here on cannot be read again */
#define MAX_ENTRIES 65536

/* One record in the order of the log. */
struct entry {
    uint64_t number;
    struct buffer_point end; /* of its commit; segment 0: not committed */
};

static struct model {
    struct entry log[MAX_ENTRIES];
    size_t n, committed; /* appended, of which committed */
    size_t first_seq;    /* sequence number of log[0] */
    uint64_t next_line, next_datagram;
    uint64_t position, committed_position; /* lines before this one were appended */
    bool delivered_line[MAX_ENTRIES], delivered_datagram[MAX_ENTRIES];
    struct buffer_cursor read;
    bool faults, lenient;
    uint64_t drops, committed_drops;
    uint64_t oldest_dropped; /* known to be on disk */
} m;

static bool *delivered(uint64_t number)
{
    uint64_t i = number < DATAGRAM ? number : number - DATAGRAM;

    assert_true(i < MAX_ENTRIES);
    return number < DATAGRAM ? &m.delivered_line[i] : &m.delivered_datagram[i];
}

static struct buffer *open_it(const char *dir)
{
    struct buffer_options o = {.dir = dir,
                               .max_bytes = 2 << 20,
                               .reserve_bytes = 256 << 10,
                               .segment_bytes = 6000 + crash_random(30000),
                               .sync_ms = crash_random(4)};
    struct error e;
    struct buffer *b = buffer_open(&o, NULL, &e);

    if (!b)
        fail_msg("%s", e.text);
    return b;
}

static void append_some(struct buffer *b)
{
    for (uint64_t i = crash_random(12); i > 0 && m.n < MAX_ENTRIES - 1; i--) {
        bool datagram = crash_random(4) == 0;
        uint64_t number = datagram ? DATAGRAM + m.next_datagram : m.next_line;
        size_t max_n = crash_random(50) ? DOC : 1;
        unsigned flags = crash_random(10) == 0 ? BUFFER_DURABLE_FIRST : 0;

        /* The length follows from the number: the document is always built for DOC. */
        max_n = DOC;
        if (!fixture_append(b, datagram ? BUFFER_CANNOT_WAIT : BUFFER_CAN_WAIT, flags, number,
                            max_n)) {
            if (datagram) {
                buffer_count_drop(b, BUFFER_DROP_FULL, 1);
                m.drops++;
            }
            break;
        }
        if (datagram)
            m.next_datagram++;
        else
            m.position = ++m.next_line;
        m.log[m.n++] = (struct entry){.number = number};
    }
}

static void commit(struct buffer *b)
{
    char value[32];
    struct buffer_point end;

    if (m.position != m.committed_position || crash_random(4) == 0)
        buffer_position_set(b, BYTES_LITERAL("lines"),
                            bytes_of(value, (size_t)snprintf(value, sizeof value, "%llu",
                                                             (unsigned long long)m.position)));
    if (crash_random(8) == 0)
        buffer_position_set(b, bytes_of(&"other"[crash_random(4)], 2),
                            bytes_of("xyz", crash_random(3)));
    if (buffer_commit(b) < 0)
        return;
    end = buffer_end(b);
    for (; m.committed < m.n; m.committed++)
        m.log[m.committed].end = end;
    m.committed_position = m.position;
}

/* Reads on, checks what comes, finishes some of it. */
static void deliver_some(struct buffer *b)
{
    static char to[64 << 10];
    struct buffer_cursor from = buffer_frontier(b), c = from, upto = from;
    size_t cap = 2000 + crash_random(sizeof to - 2000), need, n, at = 0;
    struct buffer_record r;
    uint64_t lost, left = crash_random(60);

    n = buffer_read(b, &c, to, cap, &lost, &need);
    assert_int_equal(lost, 0);
    while (left-- > 0 && buffer_next(to, n, &at, &r)) {
        size_t i = r.seq - m.first_seq;

        assert_true(i < m.committed);
        fixture_check(&r, m.log[i].number, DOC);
        if (r.flags & BUFFER_DURABLE_FIRST) {
            struct buffer_point d = buffer_durable(b);
            struct buffer_point end = buffer_record_end(&r).point;

            assert_true(d.segment > end.segment ||
                        (d.segment == end.segment && d.offset >= end.offset));
        }
        *delivered(m.log[i].number) = true;
        upto = buffer_record_end(&r);
    }
    buffer_advance(b, upto, &(struct buffer_outcome){.delivered = upto.seq - from.seq});
}

static void see_position(void *arg, struct bytes key, struct bytes value)
{
    uint64_t *p = arg;
    char text[32] = "";

    if (!bytes_is(key, "lines"))
        return;
    memcpy(text, value.p, MIN(value.n, sizeof text - 1));
    *p = strtoull(text, NULL, 10);
}

/* After a life: what must be there, is; nothing comes twice; the positions are not ahead. The model
 * goes on from what was found. */
static void take_stock(struct buffer *b, struct buffer_point durable, bool all_kept)
{
    static bool present_line[MAX_ENTRIES], present_datagram[MAX_ENTRIES];
    static struct entry found[MAX_ENTRIES];
    static char to[1 << 20];
    struct buffer_cursor c = buffer_frontier(b);
    uint64_t position = 0, first = c.seq;
    size_t n_found = 0;

    memset(present_line, 0, sizeof present_line);
    memset(present_datagram, 0, sizeof present_datagram);
    buffer_position_each(b, see_position, &position);
    for (;;) {
        uint64_t lost;
        size_t need, at = 0, n;
        struct buffer_record r;
        uint64_t deadline = clock_mono_ms() + 10000;

        /* Records that must be durable first are synced within a second. */
        while ((n = buffer_read(b, &c, to, sizeof to, &lost, &need)) == 0 && lost == 0) {
            struct buffer_stats s;

            buffer_stats(b, &s);
            if (c.seq == first + s.buffered)
                break;
            assert_true(clock_mono_ms() < deadline);
            buffer_owe_sync(b, true);
            usleep(500);
        }
        assert_int_equal(lost, 0);
        if (n == 0)
            break;
        while (buffer_next(to, n, &at, &r)) {
            uint64_t number = fixture_number(&r);
            bool *p =
                number < DATAGRAM ? &present_line[number] : &present_datagram[number - DATAGRAM];

            fixture_check(&r, number, DOC);
            assert_false(*p);
            *p = true;
            found[n_found++] = (struct entry){number, {1, 0}};
        }
    }
    for (size_t i = 0; i < m.committed; i++) {
        uint64_t number = m.log[i].number;
        struct buffer_point end = m.log[i].end;
        bool accepted = end.segment < durable.segment ||
                        (end.segment == durable.segment && end.offset <= durable.offset);
        bool have = number < DATAGRAM ? present_line[number] : present_datagram[number - DATAGRAM];

        if (*delivered(number) || have)
            continue;
        /* A line behind the position is read again. */
        if (number < DATAGRAM && number >= position && !all_kept)
            continue;
        if (accepted || all_kept || number < DATAGRAM)
            fail_msg("record %llu (%zu of %zu) is lost; position %llu, end (%lu,%lu), durable "
                     "(%lu,%lu), kept %d",
                     (unsigned long long)number, i, m.committed, (unsigned long long)position,
                     end.segment, end.offset, durable.segment, durable.offset, all_kept);
    }
    for (uint64_t k = 0; k < position; k++)
        assert_true(m.delivered_line[k] || present_line[k]);
    if (all_kept)
        assert_int_equal(position, m.committed_position);
    fixture_balanced(b);
    memcpy(m.log, found, n_found * sizeof *found);
    m.n = m.committed = n_found;
    m.first_seq = first;
    m.next_line = m.position = m.committed_position = position;
}

static void random_fault(void)
{
    static const int errors[] = {ENOSPC, EIO, EDQUOT, EROFS};
    enum crash_call kind = (enum crash_call)crash_random(CRASH_READ);

    crash_fail(kind, 1 + crash_random(3), kind == CRASH_SYNC ? EIO : errors[crash_random(4)],
               crash_random(3) == 0);
    pthread_mutex_lock(&crash.lock);
    crash.short_writes = crash_random(2);
    crash.slow = crash_random(2);
    pthread_mutex_unlock(&crash.lock);
}

static void run_seed(uint64_t seed, unsigned lives, bool faults)
{
    char *dir = fixture_dir(), next[256];
    struct buffer *b;

    memset(&m, 0, sizeof m);
    crash.seed = seed * 0x9E3779B97F4A7C15ull | 1;
    for (int i = 0; i < 10; i++)
        crash_random(2);
    crash_start(dir);
    b = open_it(dir);
    for (unsigned life = 0; life < lives; life++) {
        unsigned turns = (unsigned)crash_random(120), how;
        struct buffer_point durable;

        snprintf(next, sizeof next, "%.200s-%u", dir, life);
        while (turns-- > 0) {
            if (faults && crash_random(25) == 0)
                random_fault();
            if (faults && crash_random(12) == 0)
                crash_no_faults();
            append_some(b);
            if (crash_random(3))
                commit(b);
            if (crash_random(4) == 0)
                buffer_owe_sync(b, crash_random(2));
            if (crash_random(2))
                deliver_some(b);
            if (crash_random(6) == 0)
                usleep((useconds_t)crash_random(1500));
            fixture_balanced(b);
            assert_true(faults || fixture_bytes(dir) <= 2 << 20);
        }
        how = (unsigned)crash_random(4);
        durable = buffer_durable(b);
        if (how == 0) {
            crash_no_faults();
            commit(b);
            buffer_close(b);
            crash_cut(next, CRASH_NOTHING_KEPT);
            durable.segment = UINT64_MAX;
        } else {
            crash_cut(next, how == 1   ? CRASH_ALL_KEPT
                            : how == 2 ? CRASH_SOME_KEPT
                                       : CRASH_NOTHING_KEPT);
            crash_no_faults();
            buffer_close(b);
        }
        fixture_remove(dir);
        assert_int_equal(rename(next, dir), 0);
        crash_start(dir);
        b = open_it(dir);
        take_stock(b, durable, how <= 1);
    }
    buffer_close(b);
    crash_no_faults();
    fixture_done(dir);
}

static void run_seeds(unsigned lives, bool faults)
{
    const char *one = getenv("BUFFER_SEED"), *many = getenv("BUFFER_SEEDS");
    uint64_t n = many ? strtoull(many, NULL, 10) : 60;

    if (one) {
        run_seed(strtoull(one, NULL, 10), lives, faults);
        return;
    }
    for (uint64_t seed = 1; seed <= n; seed++) {
        print_message("seed %llu\r", (unsigned long long)seed);
        run_seed(seed, lives, faults);
    }
}

static void test_lives(void **state)
{
    (void)state;
    run_seeds(12, false);
}

static void test_lives_on_a_failing_disk(void **state)
{
    (void)state;
    run_seeds(12, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lives),
        cmocka_unit_test(test_lives_on_a_failing_disk),
    };

    log_init((enum log_level)(LOG_ERROR + 1), LOG_LOGFMT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
