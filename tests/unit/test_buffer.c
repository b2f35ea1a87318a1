/* The buffer as its users see it: round trips, restarts, limits, holding back, tools. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/buffer_fixture.h"

#define DOC 700

/* Reads all there is from the frontier on; each record must be the one whose number is its place.
 * Returns the cursor. */
static struct buffer_cursor read_all(struct buffer *b, uint64_t first, uint64_t n,
                                     uint64_t want_lost)
{
    struct buffer_cursor c = buffer_frontier(b);
    size_t cap = 1 << 16;
    char *to = malloc(cap);
    uint64_t k = first, all_lost = 0;

    for (;;) {
        uint64_t lost;
        size_t need, at = 0, got = buffer_read(b, &c, to, cap, &lost, &need);
        struct buffer_record r;

        all_lost += lost;
        if (need) {
            cap = need;
            to = realloc(to, cap);
            continue;
        }
        if (!got)
            break;
        while (buffer_next(to, got, &at, &r))
            fixture_check(&r, k++, DOC);
    }
    assert_int_equal(k, first + n);
    assert_int_equal(all_lost, want_lost);
    free(to);
    return c;
}

static void deliver_to(struct buffer *b, struct buffer_cursor c)
{
    uint64_t was = buffer_frontier(b).seq;

    buffer_advance(b, c, &(struct buffer_outcome){.delivered = c.seq - was});
}

static void test_round_trip_and_restart(void **state)
{
    char *dir = fixture_dir();
    struct buffer *b = fixture_open(dir, 64 << 20, 0);
    struct buffer_stats s;
    (void)state;

    assert_int_equal(buffer_commit(b), 0);
    for (uint64_t k = 0; k < 1000; k++) {
        assert_true(fixture_append(b, BUFFER_CAN_WAIT, 0, k, DOC));
        if (k % 100 == 99)
            assert_int_equal(buffer_commit(b), 0);
    }
    read_all(b, 0, 1000, 0);
    buffer_close(b);

    b = fixture_open(dir, 64 << 20, 0);
    buffer_stats(b, &s);
    assert_int_equal(s.read, 1000);
    assert_int_equal(s.buffered, 1000);
    deliver_to(b, read_all(b, 0, 1000, 0));
    for (uint64_t k = 1000; k < 1010; k++)
        assert_true(fixture_append(b, BUFFER_CAN_WAIT, 0, k, DOC));
    assert_int_equal(buffer_commit(b), 0);
    buffer_close(b);

    b = fixture_open(dir, 64 << 20, 0);
    buffer_stats(b, &s);
    assert_int_equal(s.read, 1010);
    assert_int_equal(s.delivered, 1000);
    assert_int_equal(s.buffered, 10);
    deliver_to(b, read_all(b, 1000, 10, 0));
    fixture_balanced(b);
    buffer_close(b);
    fixture_done(dir);
}

/* A page shows books that balance because whoever shows them sets all of them from one
 * buffer_stats: set one by one from here, they would be caught between two. */
static void test_the_books_are_set_by_whoever_shows_them(void **state)
{
    static const enum metric books[] = {M_READ, M_DELIVERED, M_DUPLICATE,
                                        M_DEAD, M_BUFFERED,  M_DROP_BUFFER_FULL};
    char *dir = fixture_dir();
    struct buffer *b;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(books); i++)
        metric_set(books[i], 4711);
    b = fixture_open(dir, 64 << 20, 0);
    for (uint64_t k = 0; k < 100; k++)
        assert_true(fixture_append(b, BUFFER_CAN_WAIT, 0, k, DOC));
    assert_int_equal(buffer_commit(b), 0);
    deliver_to(b, read_all(b, 0, 100, 0));
    buffer_count_drop(b, BUFFER_DROP_FULL, 3);
    buffer_close(b);
    for (size_t i = 0; i < ARRAY_LEN(books); i++)
        assert_int_equal(metric_get(books[i]), 4711);
    fixture_done(dir);
}

/* What became of the records outlasts the process, by the state or by the last commit alone. */
static void test_the_books_survive(void **state)
{
    static const struct buffer_outcome outcome = {
        .delivered = 40, .duplicate = 30, .dead_lettered = 20, .damaged = 10};
    char *dir = fixture_dir(), copy[256], path[300];
    struct buffer *b = fixture_open(dir, 64 << 20, 0);
    struct buffer_stats s;
    (void)state;

    for (uint64_t k = 0; k < 100; k++)
        assert_true(fixture_append(b, BUFFER_CAN_WAIT, 0, k, DOC));
    assert_int_equal(buffer_commit(b), 0);
    buffer_advance(b, read_all(b, 0, 100, 0), &outcome);
    buffer_count_drop(b, BUFFER_DROP_FULL, 3);
    buffer_count_drop(b, BUFFER_DROP_TOO_LARGE, 4);
    buffer_count_drop(b, BUFFER_DROP_INVALID, 5);
    assert_true(fixture_append(b, BUFFER_CAN_WAIT, 0, 100, DOC));
    assert_int_equal(buffer_commit(b), 0);
    snprintf(copy, sizeof copy, "%s2", dir);
    for (int life = 0; life < 2; life++) {
        fixture_copy(dir, copy);
        snprintf(path, sizeof path, "%s/state", copy);
        if (life == 1)
            assert_int_equal(unlink(path), 0);
        struct buffer *again = fixture_open(copy, 64 << 20, 0);
        buffer_stats(again, &s);
        assert_int_equal(s.delivered, 40);
        assert_int_equal(s.duplicate, 30);
        assert_int_equal(s.dead_lettered, 20);
        assert_int_equal(s.damaged, 10);
        assert_int_equal(s.dropped[BUFFER_DROP_FULL], 3);
        assert_int_equal(s.dropped[BUFFER_DROP_TOO_LARGE], 4);
        assert_int_equal(s.dropped[BUFFER_DROP_INVALID], 5);
        assert_int_equal(s.buffered, 1);
        buffer_close(again);
    }
    buffer_close(b);
    fixture_done(dir);
}

/* Drops alone are committed once a second; the state has them before that. */
static void test_drops_survive_without_a_commit(void **state)
{
    char *dir = fixture_dir();
    struct buffer *b = fixture_open(dir, 64 << 20, 0);
    struct buffer_stats s;
    (void)state;

    assert_true(fixture_append(b, BUFFER_CAN_WAIT, 0, 0, DOC));
    assert_int_equal(buffer_commit(b), 0);
    buffer_count_drop(b, BUFFER_DROP_FULL, 5);
    buffer_close(b);
    b = fixture_open(dir, 64 << 20, 0);
    buffer_stats(b, &s);
    assert_int_equal(s.dropped[BUFFER_DROP_FULL], 5);
    fixture_balanced(b);
    buffer_close(b);
    fixture_done(dir);
}

static void test_what_is_not_committed_is_not_seen(void **state)
{
    char *dir = fixture_dir();
    struct buffer *b = fixture_open(dir, 64 << 20, 0);
    (void)state;

    /* 2 MB: most of it goes to the file ahead of its commit. */
    for (uint64_t k = 0; k < 6000; k++)
        assert_true(fixture_append(b, BUFFER_CAN_WAIT, 0, k, DOC));
    assert_true(fixture_bytes(dir) > 1 << 20);
    read_all(b, 0, 0, 0);
    struct buffer_cursor c = buffer_frontier(b);
    static char to[1 << 16];
    uint64_t lost;
    size_t need, at = 0, n;
    struct buffer_record r;
    assert_int_equal(buffer_read(b, &c, to, sizeof to, &lost, &need), 0);
    char copy[256];
    snprintf(copy, sizeof copy, "%s2", dir);
    fixture_copy(dir, copy);
    assert_int_equal(buffer_commit(b), 0);
    read_all(b, 0, 6000, 0);
    /* Nor was it passed over. */
    n = buffer_read(b, &c, to, sizeof to, &lost, &need);
    assert_true(buffer_next(to, n, &at, &r));
    fixture_check(&r, 0, DOC);
    buffer_close(b);
    b = fixture_open(copy, 64 << 20, 0);
    read_all(b, 0, 0, 0);
    fixture_append(b, BUFFER_CAN_WAIT, 0, 0, DOC);
    assert_int_equal(buffer_commit(b), 0);
    read_all(b, 0, 1, 0);
    buffer_close(b);
    fixture_done(dir);
}

static void test_read_at_and_need(void **state)
{
    char *dir = fixture_dir(), *to = malloc(4 << 20), *one = malloc(4 << 20);
    struct buffer *b = fixture_open(dir, 64 << 20, 0);
    struct buffer_cursor c = buffer_frontier(b);
    struct buffer_record r, again;
    size_t need, at = 0, got;
    uint64_t lost;
    uint8_t id[BUFFER_ID_BYTES] = {1, 2, 3};
    (void)state;

    char *p = buffer_reserve(b, BUFFER_CAN_WAIT, 3 << 20);
    memset(p, 'x', 3 << 20);
    buffer_append(b, BUFFER_CAN_WAIT, id, BYTES_LITERAL("big"), BUFFER_SEEN_BEFORE, 3 << 20);
    assert_true(fixture_append(b, BUFFER_CANNOT_WAIT, 0, 7, DOC));
    buffer_commit(b);
    assert_int_equal(buffer_read(b, &c, to, 1000, &lost, &need), 0);
    assert_in_range(need, 3 << 20, (3 << 20) + 1000);
    assert_int_equal(buffer_read(b, &c, to, need - 1, &lost, &need), 0);
    got = buffer_read(b, &c, to, need, &lost, &need);
    assert_true(buffer_next(to, got, &at, &r));
    assert_int_equal(r.document.n, 3 << 20);
    assert_int_equal(r.flags, BUFFER_SEEN_BEFORE);
    assert_int_equal(r.class, BUFFER_CAN_WAIT);
    assert_int_equal(r.seq, 0);
    assert_true(bytes_is(r.index, "big"));
    assert_memory_equal(r.id, id, sizeof id);
    assert_false(buffer_next(to, got, &at, &r));
    assert_int_equal(buffer_read_at(b, r.at, 0, one, buffer_record_size(&r), &again), 0);
    assert_int_equal(again.document.n, r.document.n);
    assert_memory_equal(again.document.p, r.document.p, r.document.n);
    assert_int_equal(buffer_read_at(b, r.at, 1, one, 4 << 20, &again), -1);
    r.at.offset++;
    assert_int_equal(buffer_read_at(b, r.at, 0, one, 4 << 20, &again), -1);
    r.at.offset--;
    struct buffer_cursor end = buffer_record_end(&r);
    assert_int_equal(end.seq, 1);
    at = 0;
    got = buffer_read(b, &end, to, 4 << 20, &lost, &need);
    assert_true(buffer_next(to, got, &at, &r));
    fixture_check(&r, 7, DOC);
    assert_int_equal(r.class, BUFFER_CANNOT_WAIT);
    assert_in_range(r.age_base_s, clock_wall_ns() / 1000000000 - 60, clock_wall_ns() / 1000000000);
    buffer_close(b);
    free(to);
    free(one);
    fixture_done(dir);
}

/* ---- positions ---- */

struct seen {
    unsigned n;
    char text[4096];
};

static void see(void *arg, struct bytes key, struct bytes value)
{
    struct seen *s = arg;

    s->n++;
    snprintf(s->text + strlen(s->text), sizeof s->text - strlen(s->text), "%.*s=%.*s;", (int)key.n,
             key.p, (int)value.n, value.p);
}

static void assert_positions(struct buffer *b, unsigned n, const char *holds, const char *lacks)
{
    struct seen s = {0};

    buffer_position_each(b, see, &s);
    assert_int_equal(s.n, n);
    if (holds)
        assert_non_null(strstr(s.text, holds));
    if (lacks)
        assert_null(strstr(s.text, lacks));
}

static void test_positions_survive(void **state)
{
    char *dir = fixture_dir(), copy[256];
    struct buffer *b = fixture_open(dir, 64 << 20, 0);
    (void)state;

    buffer_position_set(b, BYTES_LITERAL("a"), BYTES_LITERAL("1"));
    buffer_position_set(b, BYTES_LITERAL("b"), BYTES_LITERAL("2"));
    buffer_position_set(b, BYTES_LITERAL("c"), BYTES_LITERAL("3"));
    assert_int_equal(buffer_commit(b), 0);
    buffer_position_set(b, BYTES_LITERAL("a"), BYTES_LITERAL("a much longer value than before"));
    buffer_position_set(b, BYTES_LITERAL("b"), BYTES_NONE);
    assert_int_equal(buffer_commit(b), 0);
    buffer_position_set(b, BYTES_LITERAL("c"), BYTES_LITERAL("not committed"));
    snprintf(copy, sizeof copy, "%s2", dir);
    fixture_copy(dir, copy);
    buffer_close(b);
    for (int life = 0; life < 3; life++) {
        b = fixture_open(copy, 64 << 20, 0);
        assert_positions(b, 2, "a=a much longer value than before;", "b=");
        assert_positions(b, 2, "c=3;", "not committed");
        buffer_close(b);
    }
    fixture_done(dir);
}

static void count_position(void *arg, struct bytes key, struct bytes value)
{
    unsigned *n = arg;
    unsigned k = (unsigned)strtoul(key.p + 1, NULL, 10);

    assert_int_equal(value.n, 8 + k % 200);
    ++*n;
}

/* Thousands of them, which come, change their length and go; the map has a ceiling, and those that
 * stand in it stay. */
static void test_many_positions(void **state)
{
    char *dir = fixture_dir(), key[32], value[256];
    struct buffer *b = fixture_open(dir, 64 << 20, 256 << 10);
    unsigned n = 0;
    (void)state;

    memset(value, 'v', sizeof value);
    for (int round = 0; round < 3; round++) {
        for (unsigned k = 0; k < 5000; k++) {
            size_t length = round < 2 ? k % 150 + (unsigned)round : 8 + k % 200;

            if (length > 0)
                buffer_position_set(b, bytes_of(key, (size_t)snprintf(key, sizeof key, "k%u;", k)),
                                    bytes_of(value, length));
            if (k % 500 == 0)
                assert_int_equal(buffer_commit(b), 0);
        }
        assert_true(fixture_append(b, BUFFER_CAN_WAIT, 0, (uint64_t)round, DOC));
        assert_int_equal(buffer_commit(b), 0);
    }
    for (int life = 0; life < 2; life++) {
        buffer_close(b);
        b = fixture_open(dir, 64 << 20, 256 << 10);
        n = 0;
        buffer_position_each(b, count_position, &n);
        assert_int_equal(n, 5000);
    }
    buffer_close(b);

    /* 1 MiB holds 32 KiB of positions. */
    files_remove(dir);
    b = fixture_open(dir, 1, 0);
    for (unsigned k = 0; k < 1000; k++)
        buffer_position_set(b, bytes_of(key, (size_t)snprintf(key, sizeof key, "k%u;", k)),
                            bytes_of(value, 8 + k % 200));
    assert_int_equal(buffer_commit(b), 0);
    n = 0;
    buffer_position_each(b, count_position, &n);
    assert_in_range(n, (32 << 10) / 240, (32 << 10) / 100);
    buffer_close(b);
    b = fixture_open(dir, 1, 0);
    unsigned again = 0;
    buffer_position_each(b, count_position, &again);
    assert_int_equal(again, n);
    buffer_close(b);
    fixture_done(dir);
}

/* ---- segments, deletion, room ---- */

struct segments_below {
    struct buffer *b;
    uint64_t segments, bytes;
};

static bool shrunk(void *arg)
{
    struct segments_below *w = arg;
    struct buffer_stats s;

    buffer_commit(w->b);
    buffer_stats(w->b, &s);
    return s.segments <= w->segments && s.bytes <= w->bytes;
}

static void test_delivered_segments_go(void **state)
{
    char *dir = fixture_dir(), names[256][64];
    struct buffer *b = fixture_open(dir, 16 << 20, 256 << 10);
    struct segments_below w = {b, 1, 256 << 10};
    struct buffer_stats s;
    (void)state;

    for (uint64_t k = 0; k < 10000; k++) {
        assert_true(fixture_append(b, BUFFER_CAN_WAIT, 0, k, DOC));
        if (k % 50 == 49)
            assert_int_equal(buffer_commit(b), 0);
    }
    buffer_stats(b, &s);
    assert_in_range(s.segments, 10, 20);
    assert_in_range(s.bytes, 3 << 20, 5 << 20);
    assert_true(s.bytes >= fixture_bytes(dir));
    deliver_to(b, read_all(b, 0, 10000, 0));
    assert_true(fixture_wait(shrunk, &w));
    assert_in_range(fixture_list(dir, ".seg", names), 1, 2);
    fixture_balanced(b);
    buffer_close(b);
    fixture_done(dir);
}

static void test_delivered_buffer_shrinks_when_idle(void **state)
{
    char *dir = fixture_dir();
    struct buffer *b = fixture_open(dir, 64 << 20, 4 << 20);
    struct segments_below w = {b, 1, 64 << 10};
    (void)state;

    /* Far less than half a segment: only idleness replaces it. */
    for (uint64_t k = 0; k < 3000; k++)
        assert_true(fixture_append(b, BUFFER_CAN_WAIT, 0, k, DOC));
    assert_int_equal(buffer_commit(b), 0);
    deliver_to(b, read_all(b, 0, 3000, 0));
    assert_true(fixture_wait(shrunk, &w));
    buffer_close(b);
    fixture_done(dir);
}

/* The one that holds the record, and the current one. */
static bool two_segments_left(void *dir)
{
    char names[256][64];

    return fixture_list(dir, ".seg", names) == 2;
}

static void test_crash_loop_does_not_grow(void **state)
{
    char *dir = fixture_dir(), copy[256];
    struct buffer *b = fixture_open(dir, 64 << 20, 0);
    (void)state;

    assert_true(fixture_append(b, BUFFER_CAN_WAIT, 0, 0, DOC));
    buffer_position_set(b, BYTES_LITERAL("a"), BYTES_LITERAL("1"));
    assert_int_equal(buffer_commit(b), 0);
    snprintf(copy, sizeof copy, "%s2", dir);
    for (int life = 0; life < 30; life++) {
        fixture_copy(dir, copy);
        buffer_close(b);
        fixture_copy(copy, dir);
        b = fixture_open(dir, 64 << 20, 0);
        assert_positions(b, 1, "a=1;", NULL);
        read_all(b, 0, 1, 0);
    }
    assert_true(fixture_wait(two_segments_left, dir));
    buffer_close(b);
    fixture_done(dir);
}

static _Atomic int room_calls, data_calls;

static void on_room(void *arg)
{
    (void)arg;
    room_calls++;
}

static void on_data(void *arg)
{
    (void)arg;
    data_calls++;
}

static bool room_called(void *arg)
{
    (void)arg;
    return room_calls > 0;
}

static void test_cap_reserve_and_share(void **state)
{
    char *dir = fixture_dir();
    struct buffer_options o = {.dir = dir,
                               .max_bytes = 4 << 20,
                               .reserve_bytes = 1 << 20,
                               .cannot_wait_max_bytes = 2 << 20,
                               .segment_bytes = 256 << 10,
                               .sync_ms = 1,
                               .on_room = on_room};
    struct error e;
    struct buffer *b = buffer_open(&o, NULL, &e);
    struct buffer_stats s;
    uint64_t k = 0, can = 0, cannot = 0;
    (void)state;

    assert_non_null(b);
    /* Files fill up to the reserve. */
    while (fixture_append(b, BUFFER_CAN_WAIT, 0, k, DOC)) {
        k++;
        if (k % 64 == 0)
            assert_int_equal(buffer_commit(b), 0);
        assert_true(fixture_bytes(dir) <= o.max_bytes);
    }
    buffer_commit(b);
    buffer_stats(b, &s);
    assert_true(s.full);
    assert_in_range(s.bytes, (3 << 20) - (200 << 10), 3 << 20);
    can = k;
    /* What cannot wait goes on into the reserve. */
    assert_false(buffer_has_room(b, BUFFER_CAN_WAIT, DOC));
    while (fixture_append(b, BUFFER_CANNOT_WAIT, 0, k, DOC)) {
        k++;
        cannot++;
        if (k % 16 == 0)
            assert_int_equal(buffer_commit(b), 0);
        assert_true(fixture_bytes(dir) <= o.max_bytes);
    }
    buffer_commit(b);
    buffer_stats(b, &s);
    assert_in_range(s.cannot_wait_bytes, (1 << 20) - (200 << 10), 1 << 20);
    assert_true(s.bytes <= o.max_bytes && fixture_bytes(dir) <= o.max_bytes);
    buffer_count_drop(b, BUFFER_DROP_FULL, 17);
    fixture_balanced(b);
    room_calls = 0;
    deliver_to(b, read_all(b, 0, can + cannot, 0));
    assert_true(fixture_wait(room_called, NULL));
    struct segments_below w = {b, 1, 300 << 10};
    assert_true(fixture_wait(shrunk, &w));
    assert_true(buffer_has_room(b, BUFFER_CAN_WAIT, 1 << 20));

    /* The share of what cannot wait, and that a restart does not forget it. */
    for (cannot = 0; fixture_append(b, BUFFER_CANNOT_WAIT, 0, k, DOC); cannot++) {
        k++;
        if (k % 16 == 0)
            assert_int_equal(buffer_commit(b), 0);
    }
    buffer_commit(b);
    buffer_stats(b, &s);
    assert_in_range(s.cannot_wait_bytes, (2 << 20) - 2000, 2 << 20);
    assert_true(buffer_has_room(b, BUFFER_CAN_WAIT, 1 << 10));
    buffer_close(b);
    b = buffer_open(&o, NULL, &e);
    buffer_stats(b, &s);
    assert_in_range(s.cannot_wait_bytes, (2 << 20) - 2000, 2 << 20);
    assert_int_equal(s.dropped[BUFFER_DROP_FULL], 17);
    assert_false(buffer_has_room(b, BUFFER_CANNOT_WAIT, 2 << 10));
    fixture_balanced(b);
    buffer_close(b);
    fixture_done(dir);
}

static bool commits(void *b)
{
    return buffer_commit(b) == 0;
}

static int commit_position(struct buffer *b, unsigned k)
{
    char value[24];

    buffer_position_set(b, BYTES_LITERAL("lines"),
                        bytes_of(value, (size_t)snprintf(value, sizeof value, "%u", k)));
    return buffer_commit(b);
}

/* Nothing is delivered, and positions go on moving, without a record: they do not fill the disk.
 * The last one is written when there is room again. */
static void test_positions_alone_keep_to_the_cap(void **state)
{
    char *dir = fixture_dir();
    struct buffer *b = fixture_open(dir, 1 << 20, 32 << 10);
    uint64_t k = 0;
    unsigned position = 1;
    (void)state;

    while (fixture_append(b, BUFFER_CAN_WAIT, 0, k, DOC))
        assert_true(++k % 16 || buffer_commit(b) == 0);
    assert_int_equal(buffer_commit(b), 0);
    for (; commit_position(b, position) == 0; position++)
        assert_true(fixture_bytes(dir) <= 1 << 20);
    assert_true(fixture_bytes(dir) <= 1 << 20);
    deliver_to(b, read_all(b, 0, k, 0));
    assert_true(fixture_wait(commits, b));
    buffer_close(b);
    b = fixture_open(dir, 1 << 20, 32 << 10);
    assert_int_equal(fixture_lines(b), position);
    buffer_close(b);
    fixture_done(dir);
}

static void test_smallest_buffer_never_sticks(void **state)
{
    char *dir = fixture_dir();
    struct buffer *b = fixture_open(dir, 1, 0);
    size_t limit = buffer_record_limit(b);
    uint8_t id[BUFFER_ID_BYTES] = {0};
    (void)state;

    assert_in_range(limit, 500 << 10, 1 << 20);
    /* One record of the largest size after the other: each needs nearly all there is. */
    for (int i = 0; i < 20; i++) {
        uint64_t deadline = clock_mono_ms() + 10000;
        struct buffer_cursor c = buffer_frontier(b);
        char *p, *to = malloc(2 << 20);
        uint64_t lost;
        size_t need;

        while (!(p = buffer_reserve(b, BUFFER_CAN_WAIT, limit))) {
            buffer_commit(b);
            assert_true(clock_mono_ms() < deadline);
            usleep(200);
        }
        memset(p, i, limit);
        buffer_append(b, BUFFER_CAN_WAIT, id, BYTES_LITERAL("i"), 0, limit);
        assert_int_equal(buffer_commit(b), 0);
        assert_true(fixture_bytes(dir) <= 1 << 20);
        assert_true(buffer_read(b, &c, to, 2 << 20, &lost, &need) > limit);
        deliver_to(b, c);
        free(to);
    }
    buffer_close(b);
    fixture_done(dir);
}

static void test_min_free(void **state)
{
    char *dir = fixture_dir();
    struct buffer_options o = {.dir = dir, .max_bytes = 64 << 20, .min_free_share = 1.0};
    struct error e;
    struct buffer *b = buffer_open(&o, NULL, &e);
    (void)state;

    assert_false(buffer_has_room(b, BUFFER_CAN_WAIT, 1));
    assert_false(buffer_has_room(b, BUFFER_CANNOT_WAIT, 1));
    assert_null(buffer_reserve(b, BUFFER_CAN_WAIT, 1));
    buffer_close(b);
    o.min_free_share = 0;
    o.min_free_bytes = 1;
    b = buffer_open(&o, NULL, &e);
    assert_true(buffer_has_room(b, BUFFER_CAN_WAIT, 1));
    buffer_close(b);
    fixture_done(dir);
}

/* ---- durability ---- */

static bool is_durable(void *arg)
{
    struct buffer *b = arg;
    struct buffer_point d = buffer_durable(b), end = buffer_end(b);

    return d.segment > end.segment || (d.segment == end.segment && d.offset >= end.offset);
}

static bool data_called(void *arg)
{
    (void)arg;
    return data_calls > 0;
}

static bool synced_since(void *arg)
{
    uint64_t *syncs = arg;

    return metric_get(M_BUFFER_SYNCS) > *syncs;
}

static void test_durable_first_is_held_back(void **state)
{
    char *dir = fixture_dir(), *to = malloc(1 << 16);
    struct buffer_options o = {
        .dir = dir, .max_bytes = 64 << 20, .sync_ms = 300, .on_data = on_data};
    struct error e;
    uint64_t lost, syncs = metric_get(M_BUFFER_SYNCS);
    struct buffer *b = buffer_open(&o, NULL, &e);
    struct buffer_cursor c = buffer_frontier(b);
    struct buffer_record r;
    size_t need, at = 0, got;
    (void)state;

    /* The new segment's head is synced at once; what is committed by then would go along. */
    assert_true(fixture_wait(synced_since, &syncs));
    assert_true(fixture_append(b, BUFFER_CAN_WAIT, 0, 0, DOC));
    assert_true(fixture_append(b, BUFFER_CAN_WAIT, BUFFER_DURABLE_FIRST, 1, DOC));
    assert_true(fixture_append(b, BUFFER_CAN_WAIT, 0, 2, DOC));
    uint64_t committed_ms = clock_mono_ms();
    assert_int_equal(buffer_commit(b), 0);
    got = buffer_read(b, &c, to, 1 << 16, &lost, &need);
    assert_true(buffer_next(to, got, &at, &r));
    fixture_check(&r, 0, DOC);
    assert_false(buffer_next(to, got, &at, &r));
    data_calls = 0;
    assert_int_equal(buffer_read(b, &c, to, 1 << 16, &lost, &need), 0);
    assert_true(fixture_wait(data_called, NULL));
    assert_true(is_durable(b));
    /* The group commit waited for its time. */
    assert_true(clock_mono_ms() - committed_ms >= 290);
    at = 0;
    got = buffer_read(b, &c, to, 1 << 16, &lost, &need);
    assert_true(buffer_next(to, got, &at, &r));
    fixture_check(&r, 1, DOC);
    assert_true(buffer_next(to, got, &at, &r));
    fixture_check(&r, 2, DOC);
    buffer_close(b);
    free(to);
    fixture_done(dir);
}

static void test_what_is_owed_becomes_durable(void **state)
{
    char *dir = fixture_dir();
    struct buffer_options o = {.dir = dir, .max_bytes = 64 << 20, .sync_ms = 60000};
    struct error e;
    struct buffer *b = buffer_open(&o, NULL, &e);
    (void)state;

    /* Little traffic is synced within a second or so, without anybody asking. */
    assert_true(fixture_append(b, BUFFER_CAN_WAIT, 0, 0, DOC));
    assert_int_equal(buffer_commit(b), 0);
    assert_false(is_durable(b));
    assert_true(fixture_wait(is_durable, b));
    /* Asked for, it is at once. */
    uint64_t t = clock_mono_ms();
    assert_true(fixture_append(b, BUFFER_CAN_WAIT, 0, 1, DOC));
    assert_int_equal(buffer_commit(b), 0);
    buffer_owe_sync(b, true);
    assert_true(fixture_wait(is_durable, b));
    assert_true(clock_mono_ms() - t < 900);
    buffer_close(b);

    o.sync_off = true;
    b = buffer_open(&o, NULL, &e);
    uint64_t syncs = metric_get(M_BUFFER_SYNCS);
    assert_true(fixture_append(b, BUFFER_CANNOT_WAIT, BUFFER_DURABLE_FIRST, 2, DOC));
    assert_int_equal(buffer_commit(b), 0);
    assert_true(is_durable(b));
    deliver_to(b, read_all(b, 0, 3, 0));
    buffer_close(b);
    assert_int_equal(metric_get(M_BUFFER_SYNCS), syncs);
    fixture_done(dir);
}

static void test_segment_identity(void **state)
{
    char *dir = fixture_dir();
    struct buffer *b = fixture_open(dir, 64 << 20, 256 << 10);
    uint64_t nonce, first_nonce, number, changes = 0, within = 0;
    (void)state;

    buffer_reserve(b, BUFFER_CAN_WAIT, 10);
    buffer_segment_identity(b, &first_nonce, &number);
    assert_int_equal(number, 0);
    for (uint64_t k = 0; k < 3000; k++) {
        assert_non_null(buffer_reserve(b, BUFFER_CAN_WAIT, DOC));
        buffer_segment_identity(b, &nonce, &number);
        if (nonce != first_nonce) {
            changes++;
            within = 0;
            first_nonce = nonce;
        }
        assert_int_equal(number, within++);
        assert_true(fixture_append(b, BUFFER_CAN_WAIT, 0, k, DOC));
        if (k % 10 == 0)
            buffer_commit(b);
    }
    assert_in_range(changes, 2, 8);
    buffer_close(b);
    fixture_done(dir);
}

/* ---- opening ---- */

/* A file of version 2: same magic, CRC32C of the first 12 bytes. */
static void make_version_2(const char *path)
{
    int fd = open(path, O_RDWR);
    uint32_t crc = ~0u;
    char p[16];

    assert_int_equal(pread(fd, p, 16, 0), 16);
    p[8] = 2;
    for (int i = 0; i < 12; i++) {
        crc ^= (uint8_t)p[i];
        for (int k = 0; k < 8; k++)
            crc = crc >> 1 ^ (0x82F63B78u & (0u - (crc & 1)));
    }
    crc = ~crc;
    memcpy(p + 12, &crc, 4);
    assert_int_equal(pwrite(fd, p, 16, 0), 16);
    close(fd);
}

static void test_lock_and_newer_version(void **state)
{
    char *dir = fixture_dir(), kept[256], path[256], names[256][64];
    struct buffer_options o = {.dir = dir, .max_bytes = 64 << 20};
    struct buffer *b = fixture_open(dir, 64 << 20, 0);
    struct error e;
    bool newer = true;
    (void)state;

    assert_null(buffer_open(&o, &newer, &e));
    assert_false(newer);
    assert_non_null(strstr(e.text, "another process"));
    buffer_close(b);

    fixture_list(dir, ".seg", names);
    snprintf(kept, sizeof kept, "%s-kept", dir);
    fixture_copy(dir, kept);
    for (int i = 0; i < 2; i++) {
        uint64_t before;

        snprintf(path, sizeof path, "%s/%s", dir, i == 0 ? names[0] : "state");
        make_version_2(path);
        before = fixture_bytes(dir);
        newer = false;
        assert_null(buffer_open(&o, &newer, &e));
        assert_true(newer);
        assert_non_null(strstr(e.text, "version 2"));
        assert_non_null(strstr(e.text, "version 1"));
        assert_int_equal(fixture_bytes(dir), before);
        fixture_copy(kept, dir);
    }
    fixture_done(dir);
}

static void test_no_folder(void **state)
{
    struct buffer_options o = {.dir = "/proc/no/such/place"};
    struct error e;
    bool newer;
    (void)state;

    assert_null(buffer_open(&o, &newer, &e));
    assert_non_null(strstr(e.text, "/proc/no/such/place"));
}

/* ---- tools ---- */

static void count_exported(void *arg, const struct buffer_record *r)
{
    uint64_t *k = arg;

    fixture_check(r, (*k)++, DOC);
}

static void test_tools_beside_and_behind(void **state)
{
    char *dir = fixture_dir();
    struct buffer *b = fixture_open(dir, 64 << 20, 256 << 10);
    struct strbuf out = {0};
    struct error e;
    uint64_t k = 100;
    (void)state;

    for (uint64_t i = 0; i < 3000; i++) {
        assert_true(fixture_append(b, BUFFER_CAN_WAIT, 0, i, DOC));
        if (i % 100 == 99)
            assert_int_equal(buffer_commit(b), 0);
        if (i == 99)
            deliver_to(b, read_all(b, 0, 100, 0));
    }
    for (int life = 0; life < 2; life++) {
        assert_int_equal(buffer_tool_export(dir, count_exported, &k, &e), 0);
        assert_int_equal(k, 3000);
        k = 100;
        strbuf_clear(&out);
        assert_int_equal(buffer_tool_status(dir, &out, &e), 0);
        assert_non_null(strstr(out.p, "buffered:       2900\n"));
        assert_non_null(strstr(out.p, "delivered:      100\n"));
        strbuf_clear(&out);
        assert_int_equal(buffer_tool_verify(dir, &out, &e), 0);
        assert_non_null(strstr(out.p, "3000 records verified, 0 missing"));
        if (life == 0)
            buffer_close(b);
    }
    assert_int_equal(buffer_tool_verify("/tmp/no such folder", &out, &e), -1);
    assert_int_equal(mkdir("/tmp/barge-empty-folder", 0700), 0);
    assert_int_equal(buffer_tool_verify("/tmp/barge-empty-folder", &out, &e), -1);
    rmdir("/tmp/barge-empty-folder");
    strbuf_fini(&out);
    fixture_done(dir);
}

static void one_more(void *arg, struct bytes key, struct bytes value)
{
    assert_true(key.n > 0 && value.n > 0);
    ++*(unsigned *)arg;
}

/* What an agent of format 1 left that was killed: three lines of a container, none delivered. Each
 * format that was ever released is to be read for ever; its folder lies in tests/unit/data. */
static void test_format_1(void **state)
{
    char *dir = fixture_dir(), to[4096], message[32];
    struct buffer_cursor c;
    struct buffer_record r;
    struct buffer *b;
    unsigned positions = 0, k = 0;
    uint64_t lost;
    size_t need, n, at = 0;
    (void)state;

    fixture_copy("tests/unit/data/buffer-1", dir);
    b = fixture_open(dir, 64 << 20, 0);
    assert_int_equal(buffer_frontier(b).seq, 0);
    buffer_position_each(b, one_more, &positions);
    assert_true(positions >= 1);
    c = buffer_frontier(b);
    n = buffer_read(b, &c, to, sizeof to, &lost, &need);
    assert_int_equal(lost, 0);
    while (buffer_next(to, n, &at, &r)) {
        snprintf(message, sizeof message, "\"message\":\"order %u\"", ++k);
        assert_non_null(memmem(r.document.p, r.document.n, message, strlen(message)));
    }
    assert_int_equal(k, 3);
    deliver_to(b, c);
    fixture_balanced(b);
    buffer_close(b);
    b = fixture_open(dir, 64 << 20, 0);
    assert_int_equal(buffer_frontier(b).seq, 3);
    buffer_close(b);
    fixture_done(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip_and_restart),
        cmocka_unit_test(test_the_books_are_set_by_whoever_shows_them),
        cmocka_unit_test(test_the_books_survive),
        cmocka_unit_test(test_drops_survive_without_a_commit),
        cmocka_unit_test(test_what_is_not_committed_is_not_seen),
        cmocka_unit_test(test_read_at_and_need),
        cmocka_unit_test(test_positions_survive),
        cmocka_unit_test(test_many_positions),
        cmocka_unit_test(test_delivered_segments_go),
        cmocka_unit_test(test_delivered_buffer_shrinks_when_idle),
        cmocka_unit_test(test_crash_loop_does_not_grow),
        cmocka_unit_test(test_cap_reserve_and_share),
        cmocka_unit_test(test_positions_alone_keep_to_the_cap),
        cmocka_unit_test(test_smallest_buffer_never_sticks),
        cmocka_unit_test(test_min_free),
        cmocka_unit_test(test_durable_first_is_held_back),
        cmocka_unit_test(test_what_is_owed_becomes_durable),
        cmocka_unit_test(test_segment_identity),
        cmocka_unit_test(test_lock_and_newer_version),
        cmocka_unit_test(test_no_folder),
        cmocka_unit_test(test_tools_beside_and_behind),
        cmocka_unit_test(test_format_1),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
