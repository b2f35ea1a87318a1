/*
 * The buffer against a model, over lives that end by close, by kill -9 or by loss of power, between
 * turns or at any call that changes the disk, recovery's own included, on a disk that forgets what
 * was not fsynced (whole, in any part) and that fails now and then. What a killed process had not
 * fsynced stays forgettable in the lives after it.
 * BUFFER_SEED=n runs one seed, BUFFER_SEEDS=n as many, from BUFFER_FIRST=n on; BUFFER_FAULTS=1
 * those on a failing disk alone, BUFFER_FAULTS=0 the others. BUFFER_KEEP=folder gets what each life
 * begins with. CRASH_JITTER=1 has the threads meet in other orders.
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
    struct buffer_point durable; /* what lies before it was said to be */
    bool all_durable;            /* and so is all that is found: a loss of power left it */
    uint64_t drops;
} m;

/* What holds at the moment at which a life ends. */
static struct {
    struct buffer *buffer; /* of the life; NULL while it opens */
    _Atomic size_t committed;
    _Atomic uint64_t position;
    size_t must; /* entries of the log */
    uint64_t must_position;
    struct buffer_point durable;
    bool all_kept, between_turns;
} end;

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
    struct buffer_point at;

    if (m.position != m.committed_position || crash_random(4) == 0)
        buffer_position_set(b, BYTES_LITERAL("lines"),
                            bytes_of(value, (size_t)snprintf(value, sizeof value, "%llu",
                                                             (unsigned long long)m.position)));
    if (crash_random(8) == 0)
        buffer_position_set(b, bytes_of(&"other"[crash_random(4)], 2),
                            bytes_of("xyz", crash_random(3)));
    if (buffer_commit(b) < 0)
        return;
    at = buffer_end(b);
    for (; m.committed < m.n; m.committed++)
        m.log[m.committed].end = at;
    m.committed_position = m.position;
    end.position = m.committed_position;
    end.committed = m.committed;
}

/* Whether all before p lies before d. */
static bool is_behind(struct buffer_point d, struct buffer_point p)
{
    return d.segment > p.segment || (d.segment == p.segment && d.offset >= p.offset);
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
            struct buffer_point behind = buffer_record_end(&r).point;

            assert_true(is_behind(d, behind));
        }
        if (!crash_stopped())
            *delivered(m.log[i].number) = true;
        upto = buffer_record_end(&r);
    }
    buffer_advance(b, upto, &(struct buffer_outcome){.delivered = upto.seq - from.seq});
}

/* After a life: what must be there, is; nothing comes twice; the positions are not ahead. The model
 * goes on from what was found. false when the process was ended anew meanwhile. */
static bool take_stock(struct buffer *b)
{
    static bool present_line[MAX_ENTRIES], present_datagram[MAX_ENTRIES];
    static struct entry found[MAX_ENTRIES];
    static char to[1 << 20];
    struct buffer_cursor c = buffer_frontier(b);
    uint64_t position = fixture_lines(b), first = c.seq;
    size_t n_found = 0;

    memset(present_line, 0, sizeof present_line);
    memset(present_datagram, 0, sizeof present_datagram);
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
            buffer_commit(b);
            buffer_owe_sync(b, true);
            usleep(500);
        }
        if (lost)
            fail_msg("%llu records are said to be damaged before %llu; frontier %llu, %zu",
                     (unsigned long long)lost, (unsigned long long)c.seq, (unsigned long long)first,
                     end.must);
        if (n == 0)
            break;
        while (buffer_next(to, n, &at, &r)) {
            uint64_t number = fixture_number(&r);
            bool *p =
                number < DATAGRAM ? &present_line[number] : &present_datagram[number - DATAGRAM];

            fixture_check(&r, number, DOC);
            assert_false(*p);
            *p = true;
            found[n_found++] = (struct entry){number, buffer_record_end(&r).point};
        }
    }
    for (size_t i = 0; i < end.must; i++) {
        uint64_t number = m.log[i].number;
        bool accepted = is_behind(end.durable, m.log[i].end);
        bool have = number < DATAGRAM ? present_line[number] : present_datagram[number - DATAGRAM];

        if (*delivered(number) || have)
            continue;
        /* A line behind the position is read again. */
        if (number < DATAGRAM && number >= position && !end.all_kept)
            continue;
        if (accepted || end.all_kept || number < DATAGRAM)
            fail_msg("record %llu (%zu of %zu) is lost; position %llu, end (%lu,%lu), durable "
                     "(%lu,%lu), kept %d",
                     (unsigned long long)number, i, end.must, (unsigned long long)position,
                     m.log[i].end.segment, m.log[i].end.offset, end.durable.segment,
                     end.durable.offset, end.all_kept);
    }
    for (uint64_t k = 0; k < position; k++)
        assert_true(m.delivered_line[k] || present_line[k]);
    if (end.all_kept) {
        if (position < end.must_position)
            fail_msg("position %llu instead of %llu; %zu of %zu found, frontier %llu; %s",
                     (unsigned long long)position, (unsigned long long)end.must_position, n_found,
                     end.must, (unsigned long long)first, crash.stop_label);
        assert_true(!end.between_turns || position == end.must_position);
    }
    fixture_balanced(b);
    if (crash_was_stopped())
        return false;
    memcpy(m.log, found, n_found * sizeof *found);
    m.n = m.committed = n_found;
    end.committed = n_found;
    m.first_seq = first;
    m.next_line = m.position = m.committed_position = position;
    end.position = position;
    if (m.all_durable)
        m.durable = buffer_end(b);
    m.all_durable = false;
    return true;
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

/* How the next life ends. */
static enum crash_kind random_kind(void)
{
    static const enum crash_kind kinds[] = {CRASH_ALL_KEPT,     CRASH_SOME_KEPT, CRASH_SOME_KEPT,
                                            CRASH_NOTHING_KEPT, CRASH_KILLED,    CRASH_KILLED};

    return kinds[crash_random(sizeof kinds / sizeof kinds[0])];
}

static bool keeps_all(enum crash_kind kind)
{
    return kind == CRASH_ALL_KEPT || kind == CRASH_KILLED;
}

/* From the thread that was stopped: it may be any. */
static void note_end(void)
{
    if (!end.buffer)
        return; /* all is as the life before left it */
    end.must_position = end.position;
    end.must = end.committed;
    end.durable = buffer_durable(end.buffer);
    if (!is_behind(end.durable, m.durable))
        end.durable = m.durable;
    end.between_turns = false;
}

/* One after the other takes the place of dir. */
static void succeed(const char *dir, const char *next, enum crash_kind kind)
{
    files_remove(dir);
    assert_int_equal(rename(next, dir), 0);
    crash_go_on(dir, kind);
    end.all_kept = end.all_kept && keeps_all(kind);
    m.all_durable = m.all_durable || kind != CRASH_KILLED;
}

static void turn(struct buffer *b, const char *dir, bool faults)
{
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

/* A copy of what is to be opened, for a look when that fails. */
static void keep(const char *dir)
{
    const char *to = getenv("BUFFER_KEEP");

    if (to && access(dir, F_OK) == 0)
        fixture_copy(dir, to);
}

/* Opens what the life before left, again and again where that itself is ended. */
static struct buffer *begin_life(const char *dir, const char *next)
{
    for (;;) {
        enum crash_kind kind = random_kind();
        struct buffer *b;

        end.buffer = NULL;
        keep(dir);
        if (crash_random(3) == 0)
            crash_stop_at(1 + crash_random(20), crash_random(2), next, kind);
        b = open_it(dir);
        if (take_stock(b)) {
            end.buffer = b;
            return b;
        }
        buffer_close(b);
        succeed(dir, next, kind);
    }
}

/* Lives until its end, and leaves what it left in dir. */
static void live(struct buffer *b, const char *dir, const char *next, bool faults)
{
    unsigned turns = (unsigned)crash_random(120);
    enum crash_kind kind = random_kind();
    bool at_call = crash_random(2), closed = !at_call && crash_random(4) == 0;

    end.all_kept = keeps_all(kind) || closed;
    if (at_call)
        crash_stop_at(1 + crash_random(150), crash_random(2), next, kind);
    while (turns-- > 0 && !crash_stopped())
        turn(b, dir, faults);
    if (!crash_was_stopped()) {
        if (closed) {
            kind = random_kind();
            crash_no_faults();
            commit(b);
            note_end();
            end.durable.segment = UINT64_MAX;
            buffer_close(b);
            crash_cut(next, kind);
            b = NULL;
        } else {
            if (kind == CRASH_KILLED && crash_untold())
                kind = CRASH_ALL_KEPT;
            note_end();
            crash_cut(next, kind);
        }
        end.between_turns = true;
    }
    crash_no_faults();
    if (b)
        buffer_close(b);
    if (closed) {
        end.all_kept = true;
        files_remove(dir);
        assert_int_equal(rename(next, dir), 0);
        crash_go_on(dir, kind);
        m.all_durable = true;
    } else {
        m.durable = end.durable;
        succeed(dir, next, kind);
    }
}

static void run_seed(uint64_t seed, unsigned lives, bool faults)
{
    char *dir = fixture_dir(), next[256];
    struct buffer *b;

    memset(&m, 0, sizeof m);
    memset(&end, 0, sizeof end);
    crash_seed(seed);
    crash.on_stop = note_end;
    crash_start(dir);
    crash.nonsense = seed % 2;
    snprintf(next, sizeof next, "%.200s-next", dir);
    for (unsigned life = 0; life < lives; life++) {
        b = begin_life(dir, next);
        live(b, dir, next, faults);
    }
    crash.on_stop = NULL;
    keep(dir);
    b = open_it(dir);
    take_stock(b);
    buffer_close(b);
    crash_no_faults();
    fixture_done(dir);
}

static void run_seeds(unsigned lives, bool faults)
{
    const char *one = getenv("BUFFER_SEED"), *many = getenv("BUFFER_SEEDS");
    const char *from = getenv("BUFFER_FIRST");
    uint64_t n = many ? strtoull(many, NULL, 10) : 40, first = from ? strtoull(from, NULL, 10) : 1;

    if (one) {
        run_seed(strtoull(one, NULL, 10), lives, faults);
        return;
    }
    for (uint64_t seed = first; seed < first + n; seed++) {
        print_message("seed %llu\r", (unsigned long long)seed);
        run_seed(seed, lives, faults);
    }
}

static bool wanted(bool faults)
{
    const char *only = getenv("BUFFER_FAULTS");

    return !only || (atoi(only) != 0) == faults;
}

static void test_lives(void **state)
{
    (void)state;
    if (wanted(false))
        run_seeds(12, false);
}

static void test_lives_on_a_failing_disk(void **state)
{
    (void)state;
    if (wanted(true))
        run_seeds(12, true);
}

/* A life of a few turns, ended at its nth call that changes the disk (in the middle of it, when
 * half); its successor at its own first calls, and once more. false when there were fewer calls. */
static bool run_point(uint64_t n, bool half, enum crash_kind kind)
{
    char *dir = fixture_dir(), next[256];
    struct buffer *b;
    bool stopped;

    memset(&m, 0, sizeof m);
    memset(&end, 0, sizeof end);
    crash_seed(n);
    crash_start(dir);
    crash.on_stop = note_end;
    snprintf(next, sizeof next, "%.200s-next", dir);
    end.all_kept = keeps_all(kind);
    crash_stop_at(n, half, next, kind);
    b = open_it(dir);
    end.buffer = b;
    for (int i = 0; i < 16 && !crash_stopped(); i++) {
        /* One segment whose fsync fails: it is copied. */
        if (i == 6)
            crash_fail(CRASH_SYNC, 1, EIO, false);
        turn(b, dir, false);
        commit(b);
        buffer_owe_sync(b, true);
        usleep(200);
    }
    buffer_close(b);
    stopped = crash_was_stopped();
    crash_no_faults();
    if (stopped) {
        m.durable = end.durable;
        succeed(dir, next, kind);
        for (uint64_t again = n % 16; again < 18; again += 17) {
            end.buffer = NULL;
            crash_stop_at(1 + again, half, next, kind);
            b = open_it(dir);
            take_stock(b);
            buffer_close(b);
            if (crash_was_stopped())
                succeed(dir, next, kind);
        }
        end.buffer = NULL;
        b = open_it(dir);
        assert_true(take_stock(b));
        buffer_close(b);
    }
    crash.on_stop = NULL;
    fixture_done(dir);
    return stopped;
}

/* Every call of a life, one after the other, and the recovery after it ended twice. BUFFER_ALL=1:
 * with each kind of end. */
static void test_every_point(void **state)
{
    static const enum crash_kind kinds[] = {CRASH_KILLED, CRASH_NOTHING_KEPT, CRASH_SOME_KEPT,
                                            CRASH_ALL_KEPT};
    static const char *const points[] = {
        "mkdir b",     "dirsync outside", "open state", "write state", "sync state",
        "dirsync top", "open spare",      "open next",  "write next",  "allocate spare",
        "write spare", "rename seg",      "write seg",  "sync seg",    "unlink seg",
    };
    bool all = getenv("BUFFER_ALL");
    (void)state;

    if (getenv("BUFFER_SEED") || getenv("BUFFER_SEEDS"))
        return;
    for (uint64_t n = 1, more = 1; more; n++)
        for (size_t i = 0; i < (all ? 8 : 2); i++)
            more = run_point(n, i % 2, kinds[(all ? i / 2 : n + i) % 4]);
    crash_assert_stops(points, sizeof points / sizeof points[0], "BUFFER_SEED");
    assert_true(crash_stops("open copy") + crash_stops("write copy") + crash_stops("sync copy") >
                0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lives),
        cmocka_unit_test(test_lives_on_a_failing_disk),
        cmocka_unit_test(test_every_point),
    };

    log_init(getenv("BUFFER_LOG") ? LOG_DEBUG : (enum log_level)(LOG_ERROR + 1), LOG_LOGFMT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
