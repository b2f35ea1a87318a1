/* The disk refuses: full, broken, at every single call. Nothing that was committed is lost, nothing
 * sticks, and it heals by itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/buffer_fixture.h"
#include "tests/unit/io_crash.h"

#include "agent/base/log.h"
#include "agent/buffer/buffer_format.h"
#include "agent/buffer/buffer_state.h"

#include <time.h>

#define DOC 500

/* The library's clock stays out of the program: this one may be ahead. */
static _Atomic uint64_t ahead_ms;

uint64_t clock_mono_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec + ahead_ms * 1000000u;
}

uint64_t clock_mono_ms(void)
{
    return clock_mono_ns() / 1000000u;
}

int64_t clock_wall_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static uint64_t read_from(struct buffer *b, struct buffer_cursor *c, uint64_t k)
{
    static char to[1 << 20];
    struct buffer_record r;
    uint64_t lost;
    size_t need, n, at;

    while ((n = buffer_read(b, c, to, sizeof to, &lost, &need)) > 0) {
        assert_int_equal(lost, 0);
        for (at = 0; buffer_next(to, n, &at, &r);)
            fixture_check(&r, k++, DOC);
    }
    return k;
}

static void deliver_all(struct buffer *b)
{
    struct buffer_cursor from = buffer_frontier(b), c = from;
    uint64_t k = read_from(b, &c, from.seq);

    assert_int_equal(k, c.seq);
    buffer_advance(b, c, &(struct buffer_outcome){.delivered = c.seq - from.seq});
}

static void test_full_in_the_middle_of_a_record(void **state)
{
    char *dir = fixture_dir();
    struct buffer_cursor c;
    struct buffer *b;
    uint64_t k = 0;
    (void)state;

    crash_start(dir);
    b = fixture_open(dir, 16 << 20, 0);
    c = buffer_frontier(b);
    for (; k < 10; k++)
        assert_true(fixture_append(b, BUFFER_CAN_WAIT, 0, k, DOC));
    assert_int_equal(buffer_commit(b), 0);
    for (int round = 0; round < 30; round++) {
        for (int i = 0; i < 20; i++, k++)
            assert_true(fixture_append(b, BUFFER_CAN_WAIT, 0, k, DOC));
        crash.short_writes = true;
        crash_fail(CRASH_WRITE, 1, round % 2 ? ENOSPC : EIO, true);
        assert_int_equal(buffer_commit(b), -1);
        assert_false(buffer_has_room(b, BUFFER_CAN_WAIT, 1));
        assert_null(buffer_reserve(b, BUFFER_CANNOT_WAIT, 1));
        assert_int_equal(buffer_commit(b), -1);
        crash_no_faults();
        assert_int_equal(buffer_commit(b), 0);
        assert_true(buffer_has_room(b, BUFFER_CAN_WAIT, 1));
        fixture_balanced(b);
    }
    assert_int_equal(read_from(b, &c, 0), k);
    buffer_close(b);
    b = fixture_open(dir, 16 << 20, 0);
    c = buffer_frontier(b);
    assert_int_equal(read_from(b, &c, 0), k);
    buffer_close(b);
    fixture_done(dir);
}

struct want {
    struct buffer *b;
    uint64_t bytes;
};

static bool few_bytes(void *arg)
{
    struct want *w = arg;
    struct buffer_stats s;

    buffer_commit(w->b);
    buffer_stats(w->b, &s);
    return s.bytes < w->bytes;
}

static bool writes_again(void *arg)
{
    struct buffer *b = arg;

    return buffer_commit(b) == 0 && buffer_has_room(b, BUFFER_CAN_WAIT, DOC);
}

/* Not a byte left on the disk, from before the start on: what is there is read, delivered and
 * deleted, and then it writes again. */
static void test_full_disk_heals_by_itself(void **state)
{
    (void)state;

    for (int restart = 0; restart < 2; restart++) {
        char *dir = fixture_dir();
        struct buffer *b;
        uint64_t k = 0;

        crash_start(dir);
        b = fixture_open(dir, 16 << 20, 64 << 10);
        for (; k < 2000; k++) {
            assert_true(fixture_append(b, BUFFER_CAN_WAIT, 0, k, DOC));
            if (k % 10 == 9)
                assert_int_equal(buffer_commit(b), 0);
        }
        if (restart)
            buffer_close(b);
        crash_set_room(0);
        if (restart)
            b = fixture_open(dir, 16 << 20, 64 << 10);
        if (fixture_append(b, BUFFER_CAN_WAIT, 0, k, DOC)) {
            k++;
            buffer_commit(b);
        }
        deliver_all(b);
        assert_true(fixture_wait(few_bytes, &(struct want){b, 150 << 10}));
        assert_true(fixture_wait(writes_again, b));
        assert_true(fixture_append(b, BUFFER_CAN_WAIT, 0, k, DOC));
        assert_int_equal(buffer_commit(b), 0);
        fixture_balanced(b);
        crash_no_faults();
        buffer_close(b);
        fixture_done(dir);
    }
}

/* Deleted files of the folder that are still open: their room is not free. */
static bool no_deleted_file_is_open(void *arg)
{
    const char *dir = arg;
    DIR *fds = opendir("/proc/self/fd");
    struct dirent *e;
    bool none = true;

    while ((e = readdir(fds))) {
        char to[512];
        ssize_t n = readlinkat(dirfd(fds), e->d_name, to, sizeof to - 1);

        to[n > 0 ? n : 0] = '\0';
        none = none && (strncmp(to, dir, strlen(dir)) != 0 || !strstr(to, "(deleted)"));
    }
    closedir(fds);
    return none;
}

/* Both slots of the state have their room before the disk is full. */
static void test_state_needs_no_new_room(void **state)
{
    char *dir = fixture_dir();
    struct buffer_state_file f = {.fd = -1};
    struct buffer_state s = {0};
    int folder;
    (void)state;

    assert_int_equal(mkdir(dir, 0700), 0);
    folder = open(dir, O_RDONLY | O_DIRECTORY);
    crash_start(dir);
    assert_int_equal(buffer_state_open(&f, folder), 0);
    crash_set_room(0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(buffer_state_write(&f, &s), 0);
    crash_no_faults();
    buffer_state_close(&f);
    close(folder);
    fixture_done(dir);
}

/* What is left of the disk goes to a turn that does not fit: all in memory, or the most of it
 * written ahead of its commit. When what was committed is delivered, it is the room of that very
 * segment that the turn needs. */
static void test_full_disk_in_the_middle_of_a_turn(void **state)
{
    static const uint64_t rooms[] = {0, 400 << 10, 3 << 20};
    (void)state;

    for (size_t i = 0; i < 2 * sizeof rooms / sizeof rooms[0]; i++) {
        bool restart = i % 2;
        char *dir = fixture_dir();
        struct buffer_cursor c, frontier;
        struct buffer *b;
        uint64_t k = 0;

        crash_start(dir);
        b = fixture_open(dir, 64 << 20, 16 << 20);
        for (; k < 3000; k++)
            assert_true(fixture_append(b, BUFFER_CAN_WAIT, 0, k, DOC));
        assert_int_equal(buffer_commit(b), 0);
        if (restart) {
            buffer_close(b);
            b = fixture_open(dir, 64 << 20, 16 << 20);
        }
        frontier = c = buffer_frontier(b);
        assert_int_equal(read_from(b, &c, 0), k);
        if (restart) /* nothing of it but in the segment that is full */
            buffer_advance(b, c, &(struct buffer_outcome){.delivered = c.seq});
        for (; restart && k < 6000; k++)
            assert_true(fixture_append(b, BUFFER_CAN_WAIT, 0, k, DOC));
        assert_int_equal(buffer_commit(b), 0);
        crash_set_room(rooms[i / 2]);
        while (k < 100000 && fixture_append(b, BUFFER_CAN_WAIT, 0, k, DOC))
            k++;
        buffer_position_set(b, BYTES_LITERAL("file"), BYTES_LITERAL("behind"));
        assert_int_equal(buffer_commit(b), -1);
        assert_false(buffer_has_room(b, BUFFER_CAN_WAIT, 1));
        frontier = buffer_frontier(b);
        c = frontier;
        read_from(b, &c, c.seq);
        buffer_advance(b, c, &(struct buffer_outcome){.delivered = c.seq - frontier.seq});
        assert_true(fixture_wait(writes_again, b));
        assert_true(fixture_wait(no_deleted_file_is_open, dir));
        assert_int_equal(read_from(b, &c, c.seq), k);
        fixture_balanced(b);
        crash_no_faults();
        buffer_close(b);
        fixture_done(dir);
    }
}

static bool all_durable(void *arg)
{
    struct buffer *b = arg;
    struct buffer_point d = buffer_durable(b), end = buffer_end(b);

    buffer_commit(b);
    return d.segment > end.segment || (d.segment == end.segment && d.offset >= end.offset);
}

static uint64_t calls(enum crash_call kind)
{
    uint64_t n;

    pthread_mutex_lock(&crash.lock);
    n = crash.calls[kind];
    pthread_mutex_unlock(&crash.lock);
    return n;
}

static bool sync_failed(void *arg)
{
    return calls(CRASH_SYNC) >= *(uint64_t *)arg;
}

/* After a failed fsync nothing counts as durable because a later one succeeded: it is written
 * again. */
static void test_failed_fsync_is_not_believed(void **state)
{
    static const enum crash_call kinds[] = {CRASH_SYNC, CRASH_DIR_SYNC};
    char *dir = fixture_dir(), cut[256];
    (void)state;

    snprintf(cut, sizeof cut, "%s-cut", dir);
    for (size_t i = 0; i < 2; i++) {
        struct buffer *b;
        struct buffer_cursor c;
        uint64_t at;

        crash_start(dir);
        b = fixture_open(dir, 16 << 20, 0);
        assert_true(fixture_append(b, BUFFER_CANNOT_WAIT, 0, 0, DOC));
        crash_fail(kinds[i], 1, EIO, false);
        at = calls(CRASH_SYNC) + (kinds[i] == CRASH_SYNC);
        assert_int_equal(buffer_commit(b), 0);
        assert_true(fixture_append(b, BUFFER_CANNOT_WAIT, 0, 1, DOC));
        assert_int_equal(buffer_commit(b), 0);
        assert_true(fixture_wait(sync_failed, &at));
        assert_true(fixture_wait(all_durable, b));
        crash_cut(cut, CRASH_NOTHING_KEPT);
        buffer_close(b);
        files_remove(dir);
        assert_int_equal(rename(cut, dir), 0);
        crash_start(dir);
        b = fixture_open(dir, 16 << 20, 0);
        c = buffer_frontier(b);
        assert_int_equal(read_from(b, &c, 0), 2);
        crash_no_faults();
        buffer_close(b);
        files_remove(dir);
    }
    mkdir(dir, 0700);
    fixture_done(dir);
}

/* Delivers what is numbered below seq. */
static void deliver_before(struct buffer *b, uint64_t seq)
{
    static char to[1 << 20];
    struct buffer_cursor from = buffer_frontier(b), c = from, upto = from;
    struct buffer_record r;
    size_t need, n, at;
    uint64_t lost;

    while (upto.seq < seq) {
        n = buffer_read(b, &c, to, sizeof to, &lost, &need);
        assert_true(n > 0);
        for (at = 0; upto.seq < seq && buffer_next(to, n, &at, &r);)
            upto = buffer_record_end(&r);
    }
    buffer_advance(b, upto, &(struct buffer_outcome){.delivered = upto.seq - from.seq});
}

static bool state_failed_twice(void *arg)
{
    uint64_t calls;
    (void)arg;

    pthread_mutex_lock(&crash.lock);
    calls = crash.calls[CRASH_WRITE];
    pthread_mutex_unlock(&crash.lock);
    return calls > crash.fail_at[CRASH_WRITE];
}

static bool two_segments(void *arg)
{
    char names[256][64];

    return fixture_list(arg, ".seg", names) <= 2;
}

/* Segments go when the state on disk says that they are finished, and not before: without them and
 * without a word about them, the next start would not believe what follows. Only when it could not
 * be written for ten seconds they go all the same: the room is needed. */
static void test_nothing_is_deleted_behind_the_states_back(void **state)
{
    char *dir = fixture_dir(), after[256], names[256][64];
    struct buffer_cursor c;
    struct buffer *b;
    uint64_t k = 0;
    size_t before;
    (void)state;

    crash_start(dir);
    b = fixture_open(dir, 16 << 20, 64 << 10);
    for (; k < 3000; k++) {
        assert_true(fixture_append(b, BUFFER_CAN_WAIT, 0, k, DOC));
        assert_true(k % 10 || buffer_commit(b) == 0);
    }
    assert_int_equal(buffer_commit(b), 0);
    before = fixture_list(dir, ".seg", names);
    assert_true(before > 3);
    /* From here on only the state is written. It fails, and not in no time. */
    crash.slow = true;
    crash_fail(CRASH_WRITE, 1, EIO, true);
    deliver_before(b, k - 100);
    assert_true(fixture_wait(state_failed_twice, NULL));
    assert_int_equal(fixture_list(dir, ".seg", names), before);
    snprintf(after, sizeof after, "%.200s-after", dir);
    crash_cut(after, CRASH_ALL_KEPT);
    ahead_ms = 11000;
    deliver_before(b, k - 99); /* which makes it look */
    assert_true(fixture_wait(two_segments, dir));
    ahead_ms = 0;
    crash_no_faults();
    buffer_close(b);
    files_remove(dir);
    assert_int_equal(rename(after, dir), 0);
    crash_start(dir);
    b = fixture_open(dir, 16 << 20, 64 << 10);
    c = buffer_frontier(b);
    assert_int_equal(read_from(b, &c, c.seq), k);
    buffer_close(b);
    fixture_done(dir);
}

/* Nothing is written any more: all that opening and appending brought about is done. */
static bool is_quiet(void *arg)
{
    uint64_t *seen = arg, now = 0;

    pthread_mutex_lock(&crash.lock);
    for (int kind = 0; kind < CRASH_CHANGES; kind++)
        now += crash.calls[kind];
    pthread_mutex_unlock(&crash.lock);
    if (now == *seen)
        return true;
    *seen = now;
    usleep(150000);
    return false;
}

static bool one_segment_file(void *arg)
{
    char names[256][64];

    return fixture_list(arg, ".seg", names) == 1;
}

static bool name_failed(void *arg)
{
    return calls(CRASH_DIR_SYNC) >= *(uint64_t *)arg;
}

/* Delivered segments stay while the head of the one behind them is not durable: theirs are the read
 * positions that are. */
static void test_nothing_is_deleted_before_a_later_head_is_durable(void **state)
{
    char *dir = fixture_dir(), cut[256], names[256][64];
    struct buffer *b;
    uint64_t at, seen = 0;
    (void)state;

    crash_start(dir);
    b = fixture_open(dir, 16 << 20, 16 << 10);
    buffer_position_set(b, BYTES_LITERAL("lines"), BYTES_LITERAL("4711"));
    assert_int_equal(buffer_commit(b), 0);
    buffer_owe_sync(b, true);
    assert_true(fixture_append(b, BUFFER_CANNOT_WAIT, 0, 0, DOC));
    assert_int_equal(buffer_commit(b), 0);
    assert_true(fixture_wait(all_durable, b));
    /* What comes next to the folder is the next segment's name. */
    crash_fail(CRASH_DIR_SYNC, 1, EIO, false);
    at = calls(CRASH_DIR_SYNC) + 1;
    for (uint64_t k = 1; k < 100; k++)
        assert_true(fixture_append(b, BUFFER_CAN_WAIT, 0, k, DOC));
    assert_int_equal(buffer_commit(b), 0); /* and begins the next segment */
    assert_true(fixture_wait(name_failed, &at));
    deliver_all(b);
    assert_true(fixture_wait(is_quiet, &seen));
    assert_int_equal(fixture_list(dir, ".seg", names), 2);
    snprintf(cut, sizeof cut, "%.200s-cut", dir);
    crash_cut(cut, CRASH_NOTHING_KEPT);
    /* With the next one all goes its way. */
    assert_true(fixture_append(b, BUFFER_CAN_WAIT, 0, 100, DOC));
    assert_int_equal(buffer_commit(b), 0);
    deliver_all(b);
    assert_int_equal(buffer_commit(b), 0);
    assert_true(fixture_wait(one_segment_file, dir));
    crash_no_faults();
    buffer_close(b);
    files_remove(dir);
    assert_int_equal(rename(cut, dir), 0);
    crash_start(dir);
    b = fixture_open(dir, 16 << 20, 0);
    assert_int_equal(fixture_lines(b), 4711);
    buffer_close(b);
    fixture_done(dir);
}

/* Reads on from the frontier; what is said to be lost is counted. */
static uint64_t read_and_lost(struct buffer *b, uint64_t *lost)
{
    static char to[1 << 20];
    struct buffer_cursor c = buffer_frontier(b);
    uint64_t next = c.seq, records = 0, missing;
    struct buffer_record r;
    size_t need, n, at;

    *lost = 0;
    for (;;) {
        n = buffer_read(b, &c, to, sizeof to, &missing, &need);
        *lost += missing;
        if (n == 0)
            return records;
        for (at = 0; buffer_next(to, n, &at, &r); records++) {
            assert_true(r.seq >= next);
            next = r.seq + 1;
            fixture_check(&r, r.seq, DOC);
        }
    }
}

/* One life in which call n fails (and those after it, when on): opening, twelve turns, delivery,
 * closing. false when there were fewer calls. */
static bool one_fails(const char *dir, uint64_t n, bool on, int error)
{
    struct buffer_options o = {
        .dir = dir, .max_bytes = 4 << 20, .segment_bytes = 4 << 10, .sync_ms = 0};
    uint64_t k = 0, committed, lost, records, frontier;
    struct buffer *b;
    struct error e;
    bool failed;

    files_remove(dir);
    crash_start(dir);
    b = buffer_open(&o, NULL, &e);
    assert_non_null(b);
    for (; k < 20; k++) {
        assert_true(fixture_append(b, BUFFER_CANNOT_WAIT, 0, k, DOC));
        assert_int_equal(buffer_commit(b), 0);
    }
    committed = k;
    buffer_close(b);
    crash_start(dir);
    crash.fail_any_errno = error;
    crash.fail_any_on = on;
    crash.short_writes = n % 2;
    crash.fail_any_at = n;
    e.text[0] = '\0';
    b = buffer_open(&o, NULL, &e);
    if (!b) {
        assert_true(crash.any_failed);
        assert_true(e.text[0]);
    } else {
        struct buffer_stats s;

        buffer_stats(b, &s);
        assert_int_equal(s.read, k);
        read_and_lost(b, &lost);
        if (lost && error != EIO)
            fail_msg("call %llu of opening, %s%s: %llu records lost", (unsigned long long)n,
                     strerror(error), on ? ", and on" : "", (unsigned long long)lost);
        for (int turn = 0; turn < 12; turn++) {
            for (int i = 0; i < 3; i++)
                if (fixture_append(b, BUFFER_CANNOT_WAIT, 0, k, DOC))
                    k++;
            if (buffer_commit(b) == 0)
                committed = k;
            usleep(300); /* for the sync thread's calls */
            if (turn == 6) {
                struct buffer_cursor c = buffer_frontier(b);

                frontier = c.seq;
                read_and_lost(b, &lost);
                if (lost == 0) {
                    read_from(b, &c, c.seq);
                    buffer_advance(b, c, &(struct buffer_outcome){.delivered = c.seq - frontier});
                }
            }
        }
        fixture_balanced(b);
    }
    failed = crash.any_failed;
    crash_no_faults();
    if (b) {
        if (buffer_commit(b) == 0)
            committed = k;
        buffer_close(b);
    }
    crash_start(dir);
    b = buffer_open(&o, NULL, &e);
    assert_non_null(b);
    frontier = buffer_frontier(b).seq;
    records = read_and_lost(b, &lost);
    if (frontier + records + lost < committed || (lost && error != EIO))
        fail_msg("call %llu, %s%s: %llu finished, %llu read, %llu lost, %llu were committed",
                 (unsigned long long)n, strerror(error), on ? ", and on" : "",
                 (unsigned long long)frontier, (unsigned long long)records,
                 (unsigned long long)lost, (unsigned long long)committed);
    fixture_balanced(b);
    assert_true(fixture_append(b, BUFFER_CANNOT_WAIT, 0, committed, DOC));
    assert_int_equal(buffer_commit(b), 0);
    buffer_close(b);
    return failed;
}

/* The Nth call of all fails, once or from then on, for every N until there is none that failed: no
 * crash, and what a commit said to be safe comes back. */
static void test_every_call_fails_once(void **state)
{
    static const int errors[] = {EIO, ENOSPC, EROFS, EDQUOT, EMFILE};
    char *dir = fixture_dir();
    (void)state;

    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++)
        for (int on = 0; on < 2; on++) {
            uint64_t n = 1;

            while (one_fails(dir, n, on, errors[i]))
                n += getenv("BUFFER_ALL") ? 1 : 1 + (n + i) % 3;
            if (getenv("BUFFER_LOG"))
                print_message("%s%s: %llu calls\n", strerror(errors[i]), on ? ", and on" : "",
                              (unsigned long long)n);
            assert_true(n > (errors[i] == EMFILE || on ? 8 : 30));
        }
    fixture_done(dir);
}

static void fill(struct buffer *b, uint64_t n, uint64_t each)
{
    for (uint64_t k = 0; k < n; k++) {
        assert_true(fixture_append(b, BUFFER_CAN_WAIT, 0, k, DOC));
        assert_true(k % each != each - 1 || buffer_commit(b) == 0);
    }
    assert_int_equal(buffer_commit(b), 0);
}

static bool state_says_so(void *arg)
{
    (void)arg;
    return !crash_untold();
}

/* Copies of segments that a life had begun when it was killed. */
static void leave_copies(const char *dir)
{
    char path[400], names[256][64];

    for (size_t n = fixture_list(dir, ".seg", names); n-- > 0;) {
        snprintf(path, sizeof path, "%s/%.16s.copy", dir, names[n]);
        close(open(path, O_WRONLY | O_CREAT, 0600));
    }
}

/* An fsync that failed, and was not made good before the process was killed: the next one does not
 * believe what the file says then, either. */
static void test_failed_fsync_is_not_believed_after_a_kill(void **state)
{
    char *dir = fixture_dir(), next[256];
    struct buffer *b;
    uint64_t at;
    (void)state;

    crash_start(dir);
    b = fixture_open(dir, 16 << 20, 0);
    assert_true(fixture_wait(all_durable, b));
    crash_fail(CRASH_SYNC, 1, EIO, true);
    crash_fail(CRASH_OPEN, 1, EIO, true); /* nor can it be copied */
    at = calls(CRASH_SYNC) + 1;
    assert_true(fixture_append(b, BUFFER_CANNOT_WAIT, 0, 0, DOC));
    assert_int_equal(buffer_commit(b), 0);
    assert_true(fixture_wait(sync_failed, &at));
    assert_true(fixture_wait(state_says_so, NULL));
    snprintf(next, sizeof next, "%.200s-next", dir);
    for (int i = 0; i < 2; i++) {
        enum crash_kind kind = i == 0 ? CRASH_KILLED : CRASH_NOTHING_KEPT;
        struct buffer_cursor c;

        crash_cut(next, kind);
        crash_no_faults();
        buffer_close(b);
        files_remove(dir);
        assert_int_equal(rename(next, dir), 0);
        crash_go_on(dir, kind);
        if (i == 0)
            leave_copies(dir);
        b = fixture_open(dir, 16 << 20, 0);
        c = buffer_frontier(b);
        assert_int_equal(read_from(b, &c, 0), 1);
        buffer_owe_sync(b, true);
        assert_true(fixture_wait(all_durable, b));
    }
    buffer_close(b);
    fixture_done(dir);
}

struct copy {
    struct buffer *b;
    uint64_t renames, dir_syncs; /* before it */
};

static bool copy_was_named(void *arg)
{
    const struct copy *before = arg;

    buffer_commit(before->b);
    /* The next segment's name and the copy's; and the folder for the copy, or for what is behind.
     */
    return calls(CRASH_RENAME) >= before->renames + 2 && calls(CRASH_DIR_SYNC) > before->dir_syncs;
}

/* A copy has its segment's name only when the folder is fsynced: until then nothing in it counts as
 * durable. */
static void test_copy_counts_by_its_name(void **state)
{
    char *dir = fixture_dir(), cut[256];
    struct buffer_point record;
    struct buffer_cursor c;
    struct buffer *b;
    struct copy copy;
    (void)state;

    crash_start(dir);
    b = fixture_open(dir, 16 << 20, 0);
    assert_true(fixture_wait(all_durable, b));
    copy = (struct copy){b, calls(CRASH_RENAME), calls(CRASH_DIR_SYNC)};
    crash_fail(CRASH_SYNC, 1, EIO, false);
    crash_fail(CRASH_DIR_SYNC, 1, EIO, true);
    assert_true(fixture_append(b, BUFFER_CANNOT_WAIT, 0, 0, DOC));
    assert_int_equal(buffer_commit(b), 0);
    record = buffer_end(b);
    assert_true(fixture_wait(copy_was_named, &copy));
    assert_true(buffer_point_before(buffer_durable(b), record));
    snprintf(cut, sizeof cut, "%.200s-cut", dir);
    crash_no_faults();
    buffer_close(b); /* makes the copy */
    crash_cut(cut, CRASH_NOTHING_KEPT);
    files_remove(dir);
    assert_int_equal(rename(cut, dir), 0);
    crash_start(dir);
    b = fixture_open(dir, 16 << 20, 0);
    c = buffer_frontier(b);
    assert_int_equal(read_from(b, &c, 0), 1);
    buffer_close(b);
    fixture_done(dir);
}

/* Of a segment whose fsync had failed the power took what was not durable, which was delivered: it
 * does not keep what comes behind it from becoming durable. */
static void test_suspect_segment_that_is_cut(void **state)
{
    char *dir = fixture_dir(), next[256], path[256], to[8192], names[256][64];
    struct buffer_state_file f = {.fd = -1};
    struct buffer_cursor durable, frontier, c;
    struct buffer_state s;
    struct buffer_record r;
    size_t need, at = 0, n;
    struct buffer *b;
    uint64_t lost;
    unsigned slot;
    uint32_t newer;
    (void)state;

    for (int delivered = 0; delivered < 2; delivered++) {
        crash_start(dir);
        b = fixture_open(dir, 16 << 20, 16 << 10);
        /* No commit knows that anything is durable. */
        pthread_mutex_lock(&crash.lock);
        crash.hang = true;
        pthread_mutex_unlock(&crash.lock);
        fill(b, 300, 10);
        at = 0;
        c = buffer_frontier(b);
        n = buffer_read(b, &c, to, sizeof to, &lost, &need);
        for (int i = 0; i < 5; i++)
            assert_true(buffer_next(to, n, &at, &r));
        durable = frontier = buffer_record_end(&r);
        while (delivered && frontier.point.segment < durable.point.segment + 2) {
            at = 0;
            n = buffer_read(b, &c, to, sizeof to, &lost, &need);
            while (buffer_next(to, n, &at, &r))
                frontier = buffer_record_end(&r);
        }
        snprintf(next, sizeof next, "%.200s-next", dir);
        crash_cut(next, CRASH_KILLED);
        crash_no_faults();
        buffer_close(b);
        files_remove(dir);
        assert_int_equal(rename(next, dir), 0);
        crash_go_on(dir, CRASH_KILLED);
        assert_true(fixture_list(dir, ".seg", names) > 4);

        int folder = open(dir, O_RDONLY | O_DIRECTORY);
        assert_true(buffer_state_load(folder, &s, &slot, &newer));
        s.suspect = durable.point.segment;
        s.books.durable = durable;
        /* Beyond the first segment, or there where it is cut. */
        s.books.frontier = frontier;
        s.books.finished = (struct buffer_outcome){.delivered = s.books.frontier.seq};
        assert_int_equal(buffer_state_open(&f, folder), 0);
        for (int i = 0; i < 2; i++) /* both slots */
            assert_int_equal(buffer_state_write(&f, &s), 0);
        buffer_state_close(&f);
        f = (struct buffer_state_file){.fd = -1};
        close(folder);
        snprintf(path, sizeof path, "%.180s/%s", dir, names[0]);
        assert_int_equal(truncate(path, (off_t)durable.point.offset), 0);

        crash_start(dir);
        b = fixture_open(dir, 16 << 20, 16 << 10);
        assert_true(fixture_append(b, BUFFER_CANNOT_WAIT, BUFFER_DURABLE_FIRST, 300, DOC));
        assert_int_equal(buffer_commit(b), 0);
        assert_true(fixture_wait(all_durable, b));
        buffer_close(b);
        files_remove(dir);
    }
    mkdir(dir, 0700);
    fixture_done(dir);
}

/* Before the first segment of a buffer's life is begun, a state is on the disk that reserves its
 * number and says whose it is. */
static void test_state_before_the_first_segment(void **state)
{
    char *dir = fixture_dir(), next[256];
    uint64_t n = 0;
    (void)state;

    snprintf(next, sizeof next, "%.200s-next", dir);
    do {
        files_remove(dir);
        files_remove(next);
        crash_start(dir);
        crash_stop_at(++n, false, next, CRASH_NOTHING_KEPT);
        buffer_close(fixture_open(dir, 16 << 20, 0));
        assert_true(crash_was_stopped());
    } while (strcmp(crash.stop_label, "rename seg") != 0);
    struct buffer_state s;
    unsigned slot;
    uint32_t newer;
    int folder = open(next, O_RDONLY | O_DIRECTORY);
    assert_true(buffer_state_load(folder, &s, &slot, &newer));
    assert_true(s.reserved > 1);
    close(folder);
    fixture_done(dir);
}

static ino_t inode_of(const char *dir, const char *name)
{
    char path[256];
    struct stat st;

    snprintf(path, sizeof path, "%.200s/%s", dir, name);
    return stat(path, &st) == 0 ? st.st_ino : 0;
}

struct other_inode {
    const char *dir;
    ino_t was;
};

static bool state_is_another_file(void *arg)
{
    const struct other_inode *o = arg;
    ino_t now = inode_of(o->dir, "state");

    return now != 0 && now != o->was;
}

/* The same for the state: it is written anew. */
static void test_state_whose_fsync_failed_is_replaced(void **state)
{
    char *dir = fixture_dir();
    struct other_inode o = {.dir = dir};
    struct buffer *b;
    (void)state;

    crash_start(dir);
    b = fixture_open(dir, 16 << 20, 16 << 10);
    for (uint64_t k = 0; k < 300; k++) {
        assert_true(fixture_append(b, BUFFER_CANNOT_WAIT, 0, k, DOC));
        assert_int_equal(buffer_commit(b), 0);
    }
    buffer_owe_sync(b, true);
    assert_true(fixture_wait(all_durable, b));
    o.was = inode_of(dir, "state");
    crash_fail(CRASH_SYNC, 1, EIO, false); /* all else is durable */
    deliver_all(b);
    assert_true(fixture_wait(state_is_another_file, &o));
    crash_no_faults();
    buffer_close(b);
    fixture_done(dir);
}

/* A passing trouble with reading costs nothing; a sector that cannot be read costs the records in
 * it, in the running buffer and at a start. */
static void test_unreadable(void **state)
{
    char *dir = fixture_dir();
    uint64_t lost, records;
    struct buffer *b;
    struct buffer_cursor c;
    (void)state;

    crash_start(dir);
    b = fixture_open(dir, 16 << 20, 0);
    fill(b, 100, 10);
    crash_fail(CRASH_READ, 1, EIO, false);
    c = buffer_frontier(b);
    assert_int_equal(read_from(b, &c, 0), 100);
    for (int life = 0; life < 2; life++) {
        crash_bad_sectors(8192, 12288);
        records = read_and_lost(b, &lost);
        assert_int_equal(records + lost, 100);
        /* 4 KiB of records of 250 bytes on average, at most 567; one more at either end. */
        assert_in_range(lost, 4096 / 567, 4096 / 100);
        buffer_close(b);
        b = fixture_open(dir, 16 << 20, 0);
    }
    crash_no_faults();
    assert_int_equal(read_and_lost(b, &lost), 100);
    assert_int_equal(lost, 0);
    buffer_close(b);
    fixture_done(dir);
}

/* What the reader has open is damaged, and by the name there is another file by now, as after a
 * failed fsync: that one is read. */
static void test_a_whole_file_in_the_place_of_a_damaged_one(void **state)
{
    char *dir = fixture_dir(), path[400], fresh[400], names[256][64], to[4096], zeros[64] = "";
    struct buffer_record r;
    struct buffer_cursor c;
    uint64_t k = 0, lost;
    size_t need, at = 0, n;
    struct buffer *b;
    int fd;
    (void)state;

    crash_start(dir);
    b = fixture_open(dir, 16 << 20, 0);
    fill(b, 40, 10);
    c = buffer_frontier(b);
    n = buffer_read(b, &c, to, sizeof to, &lost, &need);
    while (buffer_next(to, n, &at, &r))
        fixture_check(&r, k++, DOC);
    assert_in_range(k, 1, 39);
    assert_int_equal(fixture_list(dir, ".seg", names), 1);
    snprintf(path, sizeof path, "%s/%s", dir, names[0]);
    snprintf(fresh, sizeof fresh, "%s/fresh", dir);
    fixture_copy_file(path, fresh);
    fd = open(path, O_WRONLY);
    assert_int_equal(rename(fresh, path), 0);
    assert_int_equal(pwrite(fd, zeros, sizeof zeros, (off_t)c.point.offset), sizeof zeros);
    close(fd);
    assert_int_equal(read_from(b, &c, k), 40);
    buffer_close(b);
    fixture_done(dir);
}

/* Five lines in one commit, with their position. */
static void append_five(struct buffer *b, uint64_t k)
{
    char value[24];

    for (uint64_t i = 0; i < 5; i++)
        assert_true(fixture_append(b, BUFFER_CAN_WAIT, 0, k + i, DOC));
    buffer_position_set(
        b, BYTES_LITERAL("lines"),
        bytes_of(value, (size_t)snprintf(value, sizeof value, "%llu", (unsigned long long)k + 5)));
    assert_int_equal(buffer_commit(b), 0);
}

/* A record that was durable is hit, and the process killed before what came behind it was fsynced:
 * the log goes on behind the damage. Where there is no state, a commit further on tells that it is
 * damage, and not the end. */
static void test_damage_before_the_mark(void **state)
{
    (void)state;

    for (int without_state = 0; without_state < 2; without_state++) {
        char *dir = fixture_dir(), killed[256], path[400], names[256][64], byte = 0;
        static char to[1 << 16];
        struct buffer_cursor c;
        struct buffer_record r;
        uint64_t lost;
        size_t need, at = 0, n;
        struct buffer *b;
        int fd;

        crash_start(dir);
        b = fixture_open(dir, 16 << 20, 0);
        fill(b, 10, 10);
        buffer_owe_sync(b, true);
        assert_true(fixture_wait(all_durable, b));
        pthread_mutex_lock(&crash.lock);
        crash.hang = true;
        pthread_mutex_unlock(&crash.lock);
        c = buffer_frontier(b);
        n = buffer_read(b, &c, to, sizeof to, &lost, &need);
        for (int i = 0; i < 4; i++)
            assert_true(buffer_next(to, n, &at, &r));
        for (uint64_t k = 10; k < 20; k++)
            assert_true(fixture_append(b, BUFFER_CAN_WAIT, 0, k, DOC));
        buffer_position_set(b, BYTES_LITERAL("lines"), BYTES_LITERAL("20"));
        assert_int_equal(buffer_commit(b), 0);
        snprintf(killed, sizeof killed, "%.200s-killed", dir);
        fixture_copy(dir, killed);
        crash_no_faults();
        buffer_close(b);
        assert_int_equal(fixture_list(killed, ".seg", names), 1);
        snprintf(path, sizeof path, "%s/%s", killed, names[0]);
        fd = open(path, O_RDWR);
        assert_int_equal(pread(fd, &byte, 1, (off_t)r.at.offset + 20), 1);
        byte ^= 1;
        assert_int_equal(pwrite(fd, &byte, 1, (off_t)r.at.offset + 20), 1);
        close(fd);
        snprintf(path, sizeof path, "%s/state", killed);
        if (without_state)
            assert_int_equal(unlink(path), 0);
        crash_start(killed);
        b = fixture_open(killed, 16 << 20, 0);
        assert_int_equal(fixture_lines(b), 20);
        assert_int_equal(read_and_lost(b, &lost), 19);
        assert_int_equal(lost, 1);
        buffer_close(b);
        fixture_done(dir);
    }
}

/* Writes into the state of dir that all is durable up to c. */
static void set_durable(const char *dir, struct buffer_cursor c)
{
    int folder = open(dir, O_RDONLY | O_DIRECTORY);
    struct buffer_state_file f = {.fd = -1};
    struct buffer_state s;
    uint32_t newer;

    assert_int_equal(buffer_state_open(&f, folder), 0);
    assert_true(buffer_state_load(folder, &s, &f.next_slot, &newer));
    f.next_slot ^= 1;
    f.generation = s.generation;
    s.books.durable = c;
    assert_int_equal(buffer_state_write(&f, &s), 0);
    buffer_state_close(&f);
    close(folder);
}

/* Of three segments the second is gone, or its last five lines are; known: the state says that all
 * before the third was durable. */
static void run_damage_before_a_segment(const char *dir, bool gone, bool known)
{
    char names[256][64], path[400], header[BUFFER_FORMAT_HEADER], zeros[4096] = "";
    uint64_t begun[3] = {0}, n = 0, ends, lost;
    struct buffer_point end, last[3];
    struct buffer_header h;
    struct buffer *b;
    char killed[256];
    int fd;

    crash_start(dir);
    b = fixture_open(dir, 16 << 20, 4000);
    pthread_mutex_lock(&crash.lock);
    crash.hang = true;
    pthread_mutex_unlock(&crash.lock);
    end = buffer_end(b);
    for (int i = 0; i < 2; i++) {
        do {
            last[i] = end;
            append_five(b, n);
            n += 5;
            end = buffer_end(b);
        } while (end.segment == last[i].segment);
        begun[i + 1] = n;
    }
    append_five(b, n);
    n += 5;
    snprintf(killed, sizeof killed, "%.200s-killed", dir);
    fixture_copy(dir, killed);
    crash_no_faults();
    buffer_close(b);
    assert_int_equal(fixture_list(killed, ".seg", names), 3);

    crash_start(killed);
    snprintf(path, sizeof path, "%s/%s", killed, names[2]);
    fd = open(path, O_RDONLY);
    assert_int_equal(read(fd, header, sizeof header), sizeof header);
    close(fd);
    assert_true(buffer_format_header_get(header, &h));
    assert_int_equal(h.prev.seq, begun[2]);
    assert_true(h.prev.point.offset - last[1].offset <= sizeof zeros);
    snprintf(path, sizeof path, "%s/%s", killed, names[1]);
    fd = open(path, O_WRONLY);
    assert_true(pwrite(fd, zeros, h.prev.point.offset - last[1].offset, (off_t)last[1].offset) > 0);
    close(fd);
    if (gone)
        assert_int_equal(unlink(path), 0);
    if (known)
        set_durable(killed, h.prev);

    b = fixture_open(killed, 16 << 20, 0);
    ends = gone ? begun[1] : begun[2] - 5;
    assert_int_equal(fixture_lines(b), known ? n : ends);
    assert_int_equal(read_and_lost(b, &lost), known ? ends + 5 : ends);
    assert_int_equal(lost, known ? n - 5 - ends : 0);
    fixture_balanced(b);
    buffer_close(b);
}

/* The process was killed before anything of its last segment was fsynced. What is missing of the
 * one before is damage where the state knows that all of that one was durable, and the log goes on
 * behind it; otherwise it is where the log ends. */
static void test_damage_before_a_segment_that_was_not_durable(void **state)
{
    (void)state;

    for (int i = 0; i < 4; i++) {
        char *dir = fixture_dir();

        run_damage_before_a_segment(dir, i / 2, i % 2);
        fixture_done(dir);
    }
}

/* A segment that is not ours to read: its records are counted, the others read, and it is kept. */
static void test_not_ours_to_read(void **state)
{
    char *dir = fixture_dir(), names[256][64];
    struct buffer_options o = {.dir = dir, .max_bytes = 16 << 20, .segment_bytes = 16 << 10};
    uint64_t lost, records, kept = 0;
    struct error e;
    (void)state;

    for (uint64_t n = 1; !kept; n++) {
        struct buffer *b;

        files_remove(dir);
        crash_start(dir);
        b = fixture_open(dir, 16 << 20, 16 << 10);
        fill(b, 300, 10);
        buffer_close(b);
        crash_fail(CRASH_LOOK, n, EACCES, false);
        b = buffer_open(&o, NULL, &e);
        crash_no_faults();
        if (!b)
            continue; /* that was the folder itself */
        records = read_and_lost(b, &lost);
        assert_int_equal(records + lost, 300);
        kept = fixture_list(dir, ".bad", names);
        assert_int_equal(lost > 0, kept > 0);
        buffer_close(b);
        assert_true(n < 100);
    }
    fixture_done(dir);
}

/* While an fsync hangs, all else goes on: records go in and come out. */
static void test_hanging_fsync(void **state)
{
    char *dir = fixture_dir();
    struct buffer *b;
    struct buffer_point was;
    uint64_t k = 0, began;
    (void)state;

    crash_start(dir);
    b = fixture_open(dir, 16 << 20, 256 << 10);
    fill(b, 10, 10);
    assert_true(fixture_wait(all_durable, b));
    was = buffer_durable(b);
    pthread_mutex_lock(&crash.lock);
    crash.hang = true;
    pthread_mutex_unlock(&crash.lock);
    deliver_all(b);
    began = clock_mono_ms();
    for (k = 10; k < 4000; k++) {
        assert_true(fixture_append(b, BUFFER_CANNOT_WAIT, 0, k, DOC));
        assert_int_equal(buffer_commit(b), 0);
    }
    deliver_all(b);
    assert_int_equal(buffer_frontier(b).seq, 4000);
    /* Nothing was called fsynced meanwhile. */
    assert_true(was.segment <= buffer_durable(b).segment);
    assert_true(clock_mono_ms() - began < 10000);
    crash_no_faults();
    buffer_close(b);
    fixture_done(dir);
}

static _Atomic int rooms;

static void count_room(void *arg)
{
    (void)arg;
    rooms++;
}

static bool room_was_told(void *arg)
{
    (void)arg;
    return rooms > 0;
}

/* The disk refuses, in every way it knows; when it does no longer, the writer is told by itself and
 * nothing is lost. With no inodes left the current segment grows on. */
static void test_refusing_disk_is_tried_again(void **state)
{
    static const int errors[] = {ENOSPC, EDQUOT, EIO, EROFS, EFBIG};
    char *dir = fixture_dir();
    (void)state;

    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        struct buffer_options o = {
            .dir = dir, .max_bytes = 16 << 20, .segment_bytes = 16 << 10, .on_room = count_room};
        uint64_t k = 300, lost;
        struct buffer *b;
        struct error e;

        files_remove(dir);
        crash_start(dir);
        b = buffer_open(&o, NULL, &e);
        assert_non_null(b);
        fill(b, k, 10);
        crash_fail(CRASH_WRITE, 1, errors[i], true);
        crash_fail(CRASH_OPEN, 1, errors[i], true);
        assert_true(fixture_append(b, BUFFER_CAN_WAIT, 0, k++, DOC));
        assert_int_equal(buffer_commit(b), -1);
        assert_false(buffer_has_room(b, BUFFER_CAN_WAIT, 1));
        /* What is there goes on being delivered. */
        assert_int_equal(read_and_lost(b, &lost), 300);
        fixture_balanced(b);
        rooms = 0;
        crash_no_faults();
        assert_true(fixture_wait(room_was_told, NULL));
        assert_int_equal(buffer_commit(b), 0);
        assert_true(buffer_has_room(b, BUFFER_CAN_WAIT, 1));
        assert_int_equal(read_and_lost(b, &lost), k);
        buffer_close(b);
    }
    files_remove(dir);
    crash_start(dir);
    struct buffer *b = fixture_open(dir, 16 << 20, 16 << 10);
    uint64_t lost;
    pthread_mutex_lock(&crash.lock);
    crash.no_inodes = true;
    pthread_mutex_unlock(&crash.lock);
    fill(b, 1000, 10);
    assert_int_equal(read_and_lost(b, &lost), 1000);
    crash_no_faults();
    buffer_close(b);
    fixture_done(dir);
}

static bool one_segment(void *arg)
{
    struct buffer *b = arg;
    struct buffer_stats s;

    buffer_commit(b);
    buffer_stats(b, &s);
    return s.segments == 1;
}

/* Files that cannot be deleted are counted as long as they are there, and go with the next start.
 */
static void test_undeletable(void **state)
{
    char *dir = fixture_dir(), names[256][64];
    struct buffer_stats s;
    struct buffer *b;
    (void)state;

    crash_start(dir);
    b = fixture_open(dir, 16 << 20, 16 << 10);
    fill(b, 300, 10);
    crash_fail(CRASH_UNLINK, 1, EIO, true);
    deliver_all(b);
    assert_true(fixture_wait(one_segment, b));
    assert_true(fixture_list(dir, ".seg", names) > 4);
    buffer_stats(b, &s);
    assert_true(s.bytes >= fixture_bytes(dir));
    crash_no_faults();
    buffer_close(b);
    b = fixture_open(dir, 16 << 20, 16 << 10);
    assert_true(fixture_wait(one_segment, b));
    fill(b, 10, 10);
    assert_int_equal(buffer_commit(b), 0);
    buffer_close(b);
    assert_true(fixture_list(dir, ".seg", names) <= 2);
    fixture_done(dir);
}

/* Reads a segment's file by its own header alone: how many records there are; all are whole. */
static uint64_t records_of(int fd, struct buffer_point *fourth, struct buffer_point *sixth)
{
    struct buffer_segment_file *f = buffer_segment_file_open(fd);
    struct buffer_record r;
    uint64_t at = 0, n = 0;

    assert_non_null(f);
    while (buffer_segment_file_next(f, &at, &r)) {
        fixture_check(&r, r.seq, DOC);
        n++;
        if (n == 4)
            *fourth = r.at;
        if (n == 6)
            *sixth = r.at;
    }
    buffer_segment_file_close(f);
    return n;
}

static void flip(int fd, uint64_t at)
{
    char byte = 0;

    assert_int_equal(pread(fd, &byte, 1, (off_t)at), 1);
    byte ^= 4;
    assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
}

/* A segment gets its second name when all of it is on the disk and nobody writes to it. What it
 * holds is read there without the rest of the buffer, on behind damage. */
static void test_a_segment_changes_hands(void **state)
{
    char *dir = fixture_dir(), top[256], names[256][64];
    struct buffer_point fourth = {0}, sixth = {0};
    uint64_t first, last, records;
    struct buffer *b;
    int out, fd;
    (void)state;

    crash_start(dir);
    b = fixture_open(dir, 16 << 20, 16 << 10);
    pthread_mutex_lock(&crash.lock);
    crash.hang = true;
    pthread_mutex_unlock(&crash.lock);
    fill(b, 310, 10);
    snprintf(top, sizeof top, "%.200s/..", dir);
    out = open(top, O_RDONLY | O_DIRECTORY);
    assert_true(out >= 0);
    last = fixture_list(dir, ".seg", names);
    assert_true(last > 4);
    first = strtoull(names[0], NULL, 16);
    last = strtoull(names[last - 1], NULL, 16);
    assert_int_equal(buffer_link_segment(b, first, out, "kept"), -1);
    assert_int_equal(errno, EAGAIN);
    crash_no_faults();
    buffer_owe_sync(b, true);
    assert_true(fixture_wait(all_durable, b));
    assert_int_equal(buffer_link_segment(b, last, out, "kept"), -1);
    assert_int_equal(errno, EAGAIN);
    assert_int_equal(buffer_link_segment(b, first, out, "kept"), 0);
    deliver_all(b);
    buffer_close(b);

    fd = openat(out, "kept", O_RDWR);
    records = records_of(fd, &fourth, &sixth);
    assert_in_range(records, 20, 100);
    flip(fd, fourth.offset + BUFFER_FORMAT_HEAD + 3);
    assert_int_equal(records_of(fd, &fourth, &sixth), records - 1);
    flip(fd, sixth.offset + 1);
    assert_int_equal(records_of(fd, &fourth, &sixth), records - 2);
    flip(fd, 20);
    assert_null(buffer_segment_file_open(fd));
    close(fd);
    close(out);
    fixture_done(dir);
}

/* ---- what a life finds of the one before ---- */

/* Numbers of segments of which nothing reached the disk are not used again: their bytes may turn up
 * in other files, and would verify there. */
static void test_a_number_is_never_used_again(void **state)
{
    char *dir = fixture_dir(), killed[256], path[400], before[256][64], after[256][64];
    struct buffer *b;
    size_t n;
    (void)state;

    crash_start(dir);
    b = fixture_open(dir, 16 << 20, 8 << 10);
    fill(b, 300, 10);
    n = fixture_list(dir, ".seg", before);
    assert_true(n > 4);
    snprintf(killed, sizeof killed, "%.200s-killed", dir);
    fixture_copy(dir, killed);
    buffer_close(b);
    for (size_t i = 0; i < n; i++) {
        snprintf(path, sizeof path, "%s/%s", killed, before[i]);
        assert_int_equal(unlink(path), 0);
    }
    crash_start(killed);
    b = fixture_open(killed, 16 << 20, 8 << 10);
    assert_int_equal(fixture_list(killed, ".seg", after), 1);
    assert_true(strcmp(after[0], before[n - 1]) > 0);
    buffer_close(b);
    fixture_done(dir);
}

/* The spare file of a life that was killed while it made a segment of it: nothing of what it holds
 * stands behind the records of the next segment, or takes room that nobody counts. */
static void test_a_spare_file_holds_nothing_of_before(void **state)
{
    char *dir = fixture_dir(), path[256], names[256][64];
    struct stat st;
    struct buffer *b;
    (void)state;

    crash_start(dir);
    buffer_close(fixture_open(dir, 16 << 20, 0));
    snprintf(path, sizeof path, "%.200s/spare", dir);
    assert_int_equal(truncate(path, 1 << 20), 0);
    crash_start(dir);
    b = fixture_open(dir, 16 << 20, 0);
    buffer_close(b);
    for (size_t n = fixture_list(dir, ".seg", names); n-- > 0;) {
        snprintf(path, sizeof path, "%.180s/%s", dir, names[n]);
        assert_int_equal(stat(path, &st), 0);
        assert_true(st.st_size < 1 << 20);
    }
    fixture_done(dir);
}

/* A power cut in the middle of the renaming left a segment both names: it is not emptied for being
 * the spare file, too. */
static void test_a_spare_file_that_is_a_segment(void **state)
{
    char *dir = fixture_dir(), spare[256], path[256], names[256][64];
    struct buffer_cursor c;
    struct buffer *b;
    (void)state;

    crash_start(dir);
    b = fixture_open(dir, 16 << 20, 0);
    fill(b, 100, 10);
    buffer_close(b);
    assert_int_equal(fixture_list(dir, ".seg", names), 1);
    snprintf(spare, sizeof spare, "%.200s/spare", dir);
    snprintf(path, sizeof path, "%.180s/%s", dir, names[0]);
    assert_int_equal(unlink(spare), 0);
    assert_int_equal(link(path, spare), 0);
    crash_start(dir);
    b = fixture_open(dir, 16 << 20, 0);
    c = buffer_frontier(b);
    assert_int_equal(read_from(b, &c, 0), 100);
    buffer_close(b);
    fixture_done(dir);
}

/* ---- when room comes back ---- */

/* The host's free space is what ran out, and comes back: whoever waits is told, though nothing else
 * happens in the buffer. */
static void test_free_space_is_looked_at_again(void **state)
{
    char *dir = fixture_dir();
    struct buffer_options o = {
        .dir = dir, .max_bytes = 16 << 20, .min_free_bytes = 1 << 20, .on_room = count_room};
    struct buffer *b;
    struct error e;
    uint64_t seen = 0;
    (void)state;

    crash_start(dir);
    b = buffer_open(&o, NULL, &e);
    assert_non_null(b);
    crash_set_room(1 << 20);
    assert_true(fixture_wait(is_quiet, &seen));
    assert_false(buffer_has_room(b, BUFFER_CAN_WAIT, 1));
    rooms = 0;
    crash_no_faults();
    assert_true(fixture_wait(room_was_told, NULL));
    assert_true(fixture_wait(writes_again, b));
    buffer_close(b);
    fixture_done(dir);
}

/* Bytes of the folder's segments that were fsynced. */
static size_t fsynced_bytes(const char *dir)
{
    char path[400], names[256][64];
    size_t sum = 0;

    for (size_t n = fixture_list(dir, ".seg", names); n-- > 0;) {
        struct stat st;

        snprintf(path, sizeof path, "%s/%s", dir, names[n]);
        assert_int_equal(stat(path, &st), 0);
        pthread_mutex_lock(&crash.lock);
        sum += crash_file_of(st.st_ino)->durable_n;
        pthread_mutex_unlock(&crash.lock);
    }
    return sum;
}

/* Much traffic from files is not fsynced for their positions' sake: they are their own buffer. With
 * sync off nothing is, however long it lies there. */
static void test_what_is_not_fsynced(void **state)
{
    char *dir = fixture_dir(), *off_dir = fixture_dir();
    struct buffer_options o = {
        .dir = off_dir, .max_bytes = 16 << 20, .segment_bytes = 16 << 10, .sync_off = true};
    struct buffer *b, *off;
    struct error e;
    uint64_t began;
    (void)state;

    crash_start(dir);
    off = buffer_open(&o, NULL, &e);
    assert_non_null(off);
    fill(off, 300, 10);
    b = fixture_open(dir, 64 << 20, 64 << 20);
    assert_true(fixture_wait(all_durable, b));
    began = clock_mono_ms();
    fill(b, 24000, 24000); /* 6 MB and more */
    /* The first look, after a second, sees more than is to be fsynced; the second one nothing new.
     */
    assert_true(fixture_wait(all_durable, b));
    assert_true(clock_mono_ms() - began >= 1900);
    assert_int_equal(fsynced_bytes(off_dir), 0);
    buffer_close(off);
    assert_int_equal(fsynced_bytes(off_dir), 0);
    buffer_close(b);
    fixture_done(dir);
    fixture_done(off_dir);
}

/* A start reads the heads of durable segments, and not their records. */
static void test_start_reads_little(void **state)
{
    char *dir = fixture_dir(), names[256][64];
    struct buffer *b;
    uint64_t reads, segments;
    (void)state;

    crash_start(dir);
    b = fixture_open(dir, 64 << 20, 512 << 10);
    fill(b, 40000, 100);
    buffer_close(b);
    segments = fixture_list(dir, ".seg", names);
    assert_true(segments > 15);
    crash_start(dir);
    b = fixture_open(dir, 64 << 20, 512 << 10);
    reads = calls(CRASH_READ);
    /* Two of the state, one a head, and some of the last segment, 256 KiB each. */
    assert_in_range(reads, segments, segments + 10);
    buffer_close(b);
    fixture_done(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_full_in_the_middle_of_a_record),
        cmocka_unit_test(test_full_disk_heals_by_itself),
        cmocka_unit_test(test_state_needs_no_new_room),
        cmocka_unit_test(test_full_disk_in_the_middle_of_a_turn),
        cmocka_unit_test(test_failed_fsync_is_not_believed),
        cmocka_unit_test(test_nothing_is_deleted_behind_the_states_back),
        cmocka_unit_test(test_nothing_is_deleted_before_a_later_head_is_durable),
        cmocka_unit_test(test_every_call_fails_once),
        cmocka_unit_test(test_failed_fsync_is_not_believed_after_a_kill),
        cmocka_unit_test(test_copy_counts_by_its_name),
        cmocka_unit_test(test_state_whose_fsync_failed_is_replaced),
        cmocka_unit_test(test_suspect_segment_that_is_cut),
        cmocka_unit_test(test_state_before_the_first_segment),
        cmocka_unit_test(test_unreadable),
        cmocka_unit_test(test_a_whole_file_in_the_place_of_a_damaged_one),
        cmocka_unit_test(test_damage_before_the_mark),
        cmocka_unit_test(test_damage_before_a_segment_that_was_not_durable),
        cmocka_unit_test(test_not_ours_to_read),
        cmocka_unit_test(test_hanging_fsync),
        cmocka_unit_test(test_refusing_disk_is_tried_again),
        cmocka_unit_test(test_undeletable),
        cmocka_unit_test(test_a_segment_changes_hands),
        cmocka_unit_test(test_a_number_is_never_used_again),
        cmocka_unit_test(test_a_spare_file_holds_nothing_of_before),
        cmocka_unit_test(test_a_spare_file_that_is_a_segment),
        cmocka_unit_test(test_free_space_is_looked_at_again),
        cmocka_unit_test(test_what_is_not_fsynced),
        cmocka_unit_test(test_start_reads_little),
    };

    log_init(getenv("BUFFER_LOG") ? LOG_DEBUG : (enum log_level)(LOG_ERROR + 1), LOG_LOGFMT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
