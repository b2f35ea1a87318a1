/*
 * Where the frontier's own segment is gone. A recovery cuts the log, what follows goes on in a
 * segment that never reaches the disk, and the power fails again: what had been cut off must not
 * come back. And where it was deleted while an older one could not be: what follows it counts.
 * Nor may the log end where a segment was once to begin that did not come to be.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/buffer_fixture.h"
#include "tests/unit/io_crash.h"

#include "agent/base/log.h"
#include "agent/buffer/buffer_format.h"

#define DOC 900
#define DATAGRAM (1ull << 40)

static void append_lines(struct buffer *b, uint64_t from, uint64_t to)
{
    char value[32];

    for (uint64_t k = from; k < to; k++)
        assert_true(fixture_append(b, BUFFER_CAN_WAIT, 0, k, DOC));
    buffer_position_set(b, BYTES_LITERAL("lines"),
                        bytes_of(value, (size_t)snprintf(value, sizeof value, "%u", (unsigned)to)));
    assert_int_equal(buffer_commit(b), 0);
}

static bool all_durable(void *arg)
{
    struct buffer_point d = buffer_durable(arg), end = buffer_end(arg);

    return d.segment == end.segment && d.offset == end.offset;
}

/* Lines 0 to 9 durable, 10 to 19 not, and a hole where 13 was. Returns the segment's name. */
static void make_torn_log(const char *dir, const char *work, char name[64])
{
    for (bool slow = true; slow;) {
        struct buffer_point durable, now, hole;
        char path[400], zeros[64] = "";
        char names[256][64];
        struct buffer *b;
        int fd;

        files_remove(work);
        crash_start(work);
        b = fixture_open(work, 2 << 20, 1 << 20);
        append_lines(b, 0, 10);
        buffer_owe_sync(b, true);
        assert_true(fixture_wait(all_durable, b));
        durable = buffer_durable(b);
        append_lines(b, 10, 13);
        hole = buffer_end(b);
        append_lines(b, 13, 20);
        fixture_copy(work, dir);
        now = buffer_durable(b);
        slow = now.offset != durable.offset; /* a second has passed: it was synced */
        buffer_close(b);
        assert_int_equal(fixture_list(dir, ".seg", names), 1);
        snprintf(name, 64, "%s", names[0]);
        snprintf(path, sizeof path, "%s/%s", dir, name);
        fd = open(path, O_WRONLY);
        assert_int_equal(pwrite(fd, zeros, sizeof zeros, (off_t)hole.offset), sizeof zeros);
        close(fd);
    }
}

struct frontier {
    const char *dir;
    uint64_t seq;
};

/* Whether the state file on disk has that frontier. */
static bool state_has_frontier(void *arg)
{
    const struct frontier *f = arg;
    char path[400], p[BUFFER_FORMAT_STATE] = "";
    bool found = false;
    int fd;

    snprintf(path, sizeof path, "%s/state", f->dir);
    fd = open(path, O_RDONLY);
    if (read(fd, p, sizeof p) > 0)
        for (int i = 0; i < 2; i++) {
            struct buffer_state s;

            found = found || (buffer_format_slot_get(p + i * BUFFER_FORMAT_SLOT_STEP, &s) &&
                              s.books.frontier.seq == f->seq);
        }
    close(fd);
    return found;
}

static void copy_between(const char *from_dir, const char *to_dir, const char *name)
{
    char from[400], to[400];

    snprintf(from, sizeof from, "%s/%s", from_dir, name);
    snprintf(to, sizeof to, "%s/%s", to_dir, name);
    fixture_copy_file(from, to);
}

/* Finishes what is numbered below seq, and waits until the state says so. */
static void deliver_before(struct buffer *b, const char *dir, uint64_t seq)
{
    struct buffer_cursor from = buffer_frontier(b), c = from, done = from;
    static char p[1 << 20];
    struct buffer_record r;
    size_t need, n, at;
    uint64_t lost;

    while (done.seq < seq) {
        n = buffer_read(b, &c, p, sizeof p, &lost, &need);
        assert_int_not_equal(n, 0);
        for (at = 0; buffer_next(p, n, &at, &r) && r.seq < seq;)
            done = buffer_record_end(&r);
    }
    buffer_advance(b, done, &(struct buffer_outcome){.delivered = seq - from.seq});
    assert_true(fixture_wait(state_has_frontier, &(struct frontier){dir, seq}));
}

static void append_datagram(struct buffer *b, uint64_t k)
{
    assert_true(fixture_append(b, BUFFER_CANNOT_WAIT, 0, DATAGRAM + k, DOC));
    assert_int_equal(buffer_commit(b), 0);
}

/* How far what follows the cut comes to the disk. */
enum reached {
    NO_SEGMENT,    /* of the first segment behind the cut but its delivery */
    A_LATER_ONE,   /* another segment, which follows what was never delivered */
    A_TORN_HEADER, /* the same, and all that it follows was delivered, but its positions are lost */
    REACHED
};

/* The first recovery cuts lines 13 to 19 off. Other records take their sequence numbers, in a
 * segment of which only the delivery becomes known. The next recovery must not take what was cut
 * for the log, and its position for one that was reached. */
static void run_cut_off(enum reached reached)
{
    char *dir = fixture_dir(), work[300], torn[300], last[300], name[64], path[400];
    char names[256][64];
    uint64_t seq = 22;
    struct buffer *b;
    size_t n;

    snprintf(work, sizeof work, "%s-work", dir);
    snprintf(torn, sizeof torn, "%s-torn", dir);
    snprintf(last, sizeof last, "%s-last", dir);
    make_torn_log(torn, work, name);
    fixture_copy(torn, dir);
    crash_start(dir);
    crash_fail(CRASH_DIR_SYNC, 1, EIO, true);
    crash_fail(CRASH_SYNC, 2, EIO, true); /* the first is the state's */
    b = fixture_open(dir, 2 << 20, 1 << 20);
    assert_int_equal(fixture_lines(b), 13);
    for (uint64_t k = 0; k < 15; k++)
        append_datagram(b, k);
    if (reached != A_TORN_HEADER)
        deliver_before(b, dir, seq);
    /* The segment's fsync has failed, or will: the next commit begins another. */
    for (uint64_t k = 15; reached != NO_SEGMENT && fixture_list(dir, ".seg", names) < 3; k++)
        append_datagram(b, k);
    n = fixture_list(dir, ".seg", names);
    assert_int_equal(mkdir(last, 0700), 0);
    if (reached != NO_SEGMENT)
        copy_between(dir, last, names[n - 1]);
    if (reached == A_TORN_HEADER) {
        char header[BUFFER_FORMAT_HEADER];
        struct buffer_header h;
        int fd;

        append_datagram(b, 99); /* into that one, so that the frontier stays before it */
        snprintf(path, sizeof path, "%s/%s", last, names[n - 1]);
        fd = open(path, O_RDWR);
        assert_int_equal(read(fd, header, sizeof header), sizeof header);
        assert_true(buffer_format_header_get(header, &h));
        assert_int_equal(ftruncate(fd, sizeof header), 0);
        close(fd);
        seq = h.prev.seq;
        deliver_before(b, dir, seq);
    }
    copy_between(dir, last, "state");
    copy_between(torn, last, name);
    crash_no_faults();
    buffer_close(b);

    crash_start(last);
    b = fixture_open(last, 2 << 20, 1 << 20);
    assert_true(fixture_lines(b) <= 13);
    assert_int_equal(buffer_frontier(b).seq, seq);
    fixture_balanced(b);
    buffer_close(b);
    fixture_done(dir);
}

static void test_what_was_cut_off_does_not_come_back(void **state)
{
    (void)state;
    for (int reached = NO_SEGMENT; reached < REACHED; reached++)
        run_cut_off((enum reached)reached);
}

static void zero(const char *dir, const char *name, off_t at, size_t n)
{
    static const char zeros[1024];
    char path[400];
    int fd;

    assert_true(n <= sizeof zeros);
    snprintf(path, sizeof path, "%.280s/%.63s", dir, name);
    fd = open(path, O_WRONLY);
    assert_int_equal(pwrite(fd, zeros, n, at), n);
    close(fd);
}

/* Reads all there is: lines before sequence number seq, datagrams behind it. */
static void read_lines_and_datagrams(struct buffer *b, uint64_t seq)
{
    struct buffer_cursor c = buffer_frontier(b);
    static char p[1 << 20];
    struct buffer_record r;
    size_t need, n, at;
    uint64_t lost;

    while ((n = buffer_read(b, &c, p, sizeof p, &lost, &need)) > 0 || lost > 0)
        for (at = 0; buffer_next(p, n, &at, &r);)
            fixture_check(&r, r.seq < seq ? r.seq : DATAGRAM + r.seq, DOC);
}

/* Recovery cuts the log in the second of three segments, and another one goes on, durably. The
 * third, deleted, comes back with the power; and the new one is damaged, or gone: of its positions
 * nothing is left. Those of what was cut off are none, nor are its records those of the log. */
static void test_cut_off_segments_beside_damage(void **state)
{
    char *dir = fixture_dir(), work[300], torn[300], names[256][64], now[256][64], path[400];
    struct buffer_point durable, hole;
    struct buffer *b;
    (void)state;

    snprintf(work, sizeof work, "%s-work", dir);
    snprintf(torn, sizeof torn, "%s-torn", dir);
    crash_start(work);
    b = fixture_open(work, 2 << 20, 4000);
    append_lines(b, 0, 10);
    buffer_owe_sync(b, true);
    assert_true(fixture_wait(all_durable, b));
    durable = buffer_durable(b);
    pthread_mutex_lock(&crash.lock);
    crash.hang = true;
    pthread_mutex_unlock(&crash.lock);
    append_lines(b, 10, 13);
    hole = buffer_end(b);
    append_lines(b, 13, 25);
    append_lines(b, 25, 40);
    assert_true(fixture_list(work, ".seg", names) >= 4); /* the last one is empty */
    assert_int_not_equal(durable.segment, hole.segment + 1);
    fixture_copy(work, torn);
    crash_no_faults();
    buffer_close(b);
    snprintf(path, sizeof path, "%016lx.seg", (unsigned long)hole.segment);
    zero(torn, path, (off_t)hole.offset, 64);

    for (int gone = 0; gone < 2; gone++) {
        size_t n;

        fixture_copy(torn, dir);
        crash_start(dir);
        b = fixture_open(dir, 2 << 20, 4000);
        assert_int_equal(fixture_lines(b), 13);
        append_datagram(b, 13);
        append_datagram(b, 14);
        buffer_owe_sync(b, true);
        assert_true(fixture_wait(all_durable, b));
        buffer_close(b);
        n = fixture_list(dir, ".seg", now);
        for (size_t i = 0; i < fixture_list(torn, ".seg", names); i++) {
            snprintf(path, sizeof path, "%.280s/%.63s", dir, names[i]);
            if (access(path, F_OK) < 0)
                copy_between(torn, dir, names[i]);
        }
        snprintf(path, sizeof path, "%.280s/%.63s", dir, now[n - 1]);
        if (gone)
            assert_int_equal(unlink(path), 0);
        else
            zero(dir, now[n - 1], 0, 400);
        crash_start(dir);
        b = fixture_open(dir, 2 << 20, 4000);
        assert_true(fixture_lines(b) <= 13);
        if (!gone)
            read_lines_and_datagrams(b, 13);
        fixture_balanced(b);
        buffer_close(b);
        files_remove(dir);
    }
    fixture_done(dir);
}

/* Of a buffer's first segments the names never reached the disk, those of later ones did. Nothing
 * was said to be durable, and nothing finished: the later ones do not count, and what they say of
 * positions neither. */
static void test_a_log_without_its_beginning(void **state)
{
    char *dir = fixture_dir(), cut[300], names[256][64], path[400];
    struct buffer *b;
    size_t n;
    (void)state;

    snprintf(cut, sizeof cut, "%s-cut", dir);
    crash_start(dir);
    b = fixture_open(dir, 2 << 20, 8000);
    crash_fail(CRASH_DIR_SYNC, 1, EIO, true);
    crash_fail(CRASH_SYNC, 1, EIO, true);
    for (uint64_t i = 0; i < 60; i += 4)
        append_lines(b, i, i + 4);
    fixture_copy(dir, cut);
    crash_no_faults();
    buffer_close(b);
    n = fixture_list(cut, ".seg", names);
    assert_true(n > 4);
    for (size_t i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%.280s/%.63s", cut, names[i]);
        assert_int_equal(unlink(path), 0);
    }
    crash_start(cut);
    b = fixture_open(cut, 2 << 20, 8000);
    assert_int_equal(fixture_lines(b), 0);
    fixture_balanced(b);
    buffer_close(b);
    fixture_done(dir);
}

/* Lines k to end are there, in their order. */
static void check_lines(struct buffer *b, uint64_t k, uint64_t end)
{
    struct buffer_cursor c = buffer_frontier(b);
    static char p[1 << 20];
    struct buffer_record r;
    uint64_t lost;
    size_t need, n, at;

    while ((n = buffer_read(b, &c, p, sizeof p, &lost, &need)) > 0) {
        assert_int_equal(lost, 0);
        for (at = 0; buffer_next(p, n, &at, &r); k++)
            fixture_check(&r, k, DOC);
    }
    assert_int_equal(k, end);
}

/* A segment's file, and whether it is gone. */
static bool is_gone(void *path)
{
    return access(path, F_OK) < 0;
}

/* Of the delivered segments the first cannot be deleted, the others are: the frontier's is not
 * there any more, and the records behind it are those of the life. */
static void test_an_old_segment_that_stays_takes_nothing_along(void **state)
{
    char *dir = fixture_dir(), killed[300], path[400], first[256][64];
    static char p[1 << 20];
    struct buffer_cursor c, done;
    struct buffer_record r;
    struct buffer *b;
    size_t need, n, at, segments = 0;
    uint64_t lost, k;

    (void)state;
    snprintf(killed, sizeof killed, "%s-killed", dir);
    crash_start(dir);
    b = fixture_open(dir, 2 << 20, 8000);
    crash_fail(CRASH_UNLINK, 1, EACCES, false);
    for (uint64_t i = 0; i < 60; i += 4)
        append_lines(b, i, i + 4);
    assert_true(fixture_list(dir, ".seg", first) > 4);
    /* The frontier: the end of the third segment. */
    for (c = done = buffer_frontier(b); segments < 3;) {
        n = buffer_read(b, &c, p, sizeof p, &lost, &need);
        assert_int_not_equal(n, 0);
        for (at = 0; segments < 3 && buffer_next(p, n, &at, &r);) {
            segments += buffer_record_end(&r).point.segment != done.point.segment && r.seq > 0;
            if (segments < 3)
                done = buffer_record_end(&r);
        }
    }
    k = done.seq;
    buffer_advance(b, done, &(struct buffer_outcome){.delivered = done.seq});
    snprintf(path, sizeof path, "%s/%016lx.seg", dir, (unsigned long)done.point.segment);
    assert_true(fixture_wait(is_gone, path));
    snprintf(path, sizeof path, "%s/%s", dir, first[0]);
    assert_false(is_gone(path));
    fixture_copy(dir, killed);
    crash_no_faults();
    buffer_close(b);

    crash_start(killed);
    b = fixture_open(killed, 2 << 20, 8000);
    assert_int_equal(fixture_lines(b), 60);
    check_lines(b, k, 60);
    fixture_balanced(b);
    buffer_close(b);
    fixture_done(dir);
}

/* The head of a segment that never got its name: the segment before it has grown since. Then its
 * file is used for another head, and the power fails before that one is on the disk. */
static void test_a_head_that_became_no_segment(void **state)
{
    char *dir = fixture_dir(), killed[256], work[256], cut[256];
    struct buffer *b;
    unsigned ends = 0;

    (void)state;
    snprintf(killed, sizeof killed, "%.200s-killed", dir);
    snprintf(work, sizeof work, "%.200s-work", dir);
    snprintf(cut, sizeof cut, "%.200s-cut", dir);
    crash_start(dir);
    b = fixture_open(dir, 2 << 20, 8000);
    append_lines(b, 0, 2);
    crash_fail(CRASH_RENAME, 1, EIO, true);
    crash_fail(CRASH_OPEN, 1, EIO, true); /* and no new one for now */
    append_lines(b, 2, 30);
    append_lines(b, 30, 40);
    buffer_owe_sync(b, true);
    assert_true(fixture_wait(all_durable, b));
    fixture_copy(dir, killed);
    crash_no_faults();
    buffer_close(b);
    for (unsigned round = 0; round < 200; round++) {
        fixture_copy(killed, work);
        crash_start(work);
        crash_seed(round + 1);
        crash_stop_at(1 + round % 10, false, cut, CRASH_SOME_KEPT);
        buffer_close(fixture_open(work, 2 << 20, 8000));
        if (!crash_was_stopped())
            continue;
        ends++;
        crash_start(cut);
        b = fixture_open(cut, 2 << 20, 8000);
        check_lines(b, 0, 40);
        fixture_balanced(b);
        buffer_close(b);
        files_remove(cut);
    }
    assert_true(ends > 100);
    files_remove(killed);
    files_remove(work);
    fixture_done(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_was_cut_off_does_not_come_back),
        cmocka_unit_test(test_cut_off_segments_beside_damage),
        cmocka_unit_test(test_a_log_without_its_beginning),
        cmocka_unit_test(test_an_old_segment_that_stays_takes_nothing_along),
        cmocka_unit_test(test_a_head_that_became_no_segment),
    };

    log_init((enum log_level)(LOG_ERROR + 1), LOG_LOGFMT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
