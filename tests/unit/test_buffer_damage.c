/* What lies in the folder is not as it was left: torn, flipped, missing, strange. Never a crash,
 * never a loop, at most what was hit is lost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/buffer_fixture.h"

#include "agent/base/log.h"
#include "agent/buffer/buffer_state.h"

#define DOC 40

/* A small buffer: records 0 … n-1, five a commit, positions "k" = number of the last commit's last
 * record. */
static void fill(const char *dir, uint64_t n, uint64_t segment_bytes)
{
    struct buffer *b = fixture_open(dir, 8 << 20, segment_bytes);

    for (uint64_t k = 0; k < n; k++) {
        assert_true(fixture_append(b, BUFFER_CAN_WAIT, 0, k, DOC));
        if (k % 5 == 4 || k == n - 1) {
            char value[24];

            buffer_position_set(
                b, BYTES_LITERAL("k"),
                bytes_of(value, (size_t)sprintf(value, "%llu", (unsigned long long)k)));
            assert_int_equal(buffer_commit(b), 0);
        }
    }
    buffer_close(b);
}

struct result {
    uint64_t records, lost, first, last;
    long position; /* -1: none */
    uint64_t missing[8];
    size_t n_missing;
};

static void see_position(void *arg, struct bytes key, struct bytes value)
{
    long *p = arg;

    char text[24] = "";

    assert_true(bytes_is(key, "k"));
    assert_true(value.n < sizeof text);
    memcpy(text, value.p, value.n);
    *p = strtol(text, NULL, 10);
}

/* Opens, reads to the end, finishes everything, and checks that each record is whole, in order, at
 * most once, and that the books balance. */
static struct result drain(const char *dir)
{
    struct buffer *b = fixture_open(dir, 8 << 20, 0);
    struct result r = {.position = -1, .first = UINT64_MAX};
    struct buffer_cursor from = buffer_frontier(b), c = from;
    char to[4096];
    uint64_t next = 0;

    buffer_position_each(b, see_position, &r.position);
    for (;;) {
        uint64_t lost;
        size_t need, at = 0, n = buffer_read(b, &c, to, sizeof to, &lost, &need);
        struct buffer_record one;

        assert_int_equal(need, 0);
        r.lost += lost;
        if (n == 0)
            break;
        while (buffer_next(to, n, &at, &one)) {
            uint64_t k = fixture_number(&one);

            fixture_check(&one, k, DOC);
            assert_true(k >= next);
            for (; next < k && r.records && r.n_missing < 8; next++)
                r.missing[r.n_missing++] = next;
            next = k + 1;
            r.first = MIN(r.first, k);
            r.last = k;
            r.records++;
        }
    }
    buffer_advance(
        b, c, &(struct buffer_outcome){.delivered = c.seq - from.seq - r.lost, .damaged = r.lost});
    fixture_balanced(b);
    /* And it still works. */
    assert_true(fixture_append(b, BUFFER_CAN_WAIT, 0, 1000000, DOC));
    assert_int_equal(buffer_commit(b), 0);
    buffer_close(b);
    return r;
}

static char *only_segment(const char *dir, char path[256])
{
    char names[256][64];

    assert_int_equal(fixture_list(dir, ".seg", names), 1);
    assert_true((size_t)snprintf(path, 256, "%s/%s", dir, names[0]) < 256);
    return path;
}

static off_t size_of(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 ? st.st_size : -1;
}

static void flip(const char *path, off_t byte, int bit)
{
    int fd = open(path, O_RDWR);
    char c;

    assert_int_equal(pread(fd, &c, 1, byte), 1);
    c ^= (char)(1 << bit);
    assert_int_equal(pwrite(fd, &c, 1, byte), 1);
    close(fd);
}

/* Where text stands first in the file. */
static off_t offset_of(const char *path, const char *text)
{
    static char disk[1 << 16];
    int fd = open(path, O_RDONLY);
    ssize_t n = read(fd, disk, sizeof disk);
    char *at = memmem(disk, (size_t)n, text, strlen(text));

    close(fd);
    assert_non_null(at);
    return at - disk;
}

static void in(char path[256], const char *dir, const char *name)
{
    assert_true((size_t)snprintf(path, 256, "%s/%s", dir, name) < 256);
}

/* The newest segment cut at every length, without a durable mark: what a crash may leave. Whole
 * commits stay, with their positions. */
static void test_torn_at_every_length(void **state)
{
    char *dir = fixture_dir(), copy[256], segment[256], path[256];
    uint64_t before = 0;
    (void)state;

    fill(dir, 23, 0);
    snprintf(copy, sizeof copy, "%s2", dir);
    off_t n = size_of(only_segment(dir, segment));
    for (off_t cut = 0; cut <= n; cut++) {
        fixture_copy(dir, copy);
        in(path, copy, "state");
        assert_int_equal(unlink(path), 0);
        only_segment(copy, path);
        assert_int_equal(truncate(path, cut), 0);
        struct result r = drain(copy);
        assert_int_equal(r.lost, 0);
        assert_int_equal(r.records, r.position + 1);
        assert_true(r.records == 23 || r.records % 5 == 0);
        assert_true(r.records >= before);
        before = r.records;
    }
    assert_int_equal(before, 23);
    fixture_done(dir);
}

/* Each single bit of a segment that was durable: at most one record is lost, and it is counted. */
static void test_every_bit_flipped(void **state)
{
    char *dir = fixture_dir(), copy[256], path[256];
    uint64_t worst = 0, hit = 0;
    (void)state;

    fill(dir, 23, 0);
    snprintf(copy, sizeof copy, "%s2", dir);
    off_t n = size_of(only_segment(dir, path));
    for (off_t bit = 0; bit < n * 8; bit++) {
        fixture_copy(dir, copy);
        flip(only_segment(copy, path), bit / 8, (int)(bit % 8));
        struct result r = drain(copy);
        assert_int_equal(r.records + r.lost, 23);
        assert_in_range(r.lost, 0, 1);
        worst = MAX(worst, r.lost);
        hit += r.lost;
    }
    /* Most bits lie in a record. */
    assert_int_equal(worst, 1);
    assert_true(hit > (uint64_t)n * 8 / 2);
    fixture_done(dir);
}

/* The same without a state: what no commit calls durable ends the log. */
static void test_every_bit_flipped_behind_the_mark(void **state)
{
    char *dir = fixture_dir(), copy[256], path[256];
    uint64_t shorter = 0;
    (void)state;

    fill(dir, 23, 0);
    in(path, dir, "state");
    assert_int_equal(unlink(path), 0);
    snprintf(copy, sizeof copy, "%s2", dir);
    off_t n = size_of(only_segment(dir, path));
    for (off_t bit = 0; bit < n * 8; bit += 3) {
        fixture_copy(dir, copy);
        flip(only_segment(copy, path), bit / 8, (int)(bit % 8));
        struct result r = drain(copy);
        /* What a later commit knows to have been durable is damaged, and counted. */
        assert_in_range(r.lost, 0, 1);
        assert_true(r.records + r.lost <= 23);
        if (r.lost == 0)
            assert_true(r.records == 23 || r.records % 5 == 0);
        /* What is not there is read again. */
        assert_true(r.position <= (long)(r.records + r.lost) - 1);
        shorter += r.records < 22;
    }
    assert_true(shorter > 0);
    fixture_done(dir);
}

/* A durable segment cut at every length: what stands before the cut is read, the rest is counted.
 */
static void test_durable_cut_at_every_length(void **state)
{
    char *dir = fixture_dir(), copy[256], path[256];
    uint64_t before = 0;
    (void)state;

    fill(dir, 23, 0);
    snprintf(copy, sizeof copy, "%s2", dir);
    off_t n = size_of(only_segment(dir, path));
    for (off_t cut = 0; cut <= n; cut++) {
        fixture_copy(dir, copy);
        assert_int_equal(truncate(only_segment(copy, path), cut), 0);
        struct result r = drain(copy);
        assert_int_equal(r.records + r.lost, 23);
        assert_true(r.records >= before);
        assert_true(r.records == 0 || r.last == r.records - 1);
        before = r.records;
    }
    assert_int_equal(before, 23);
    fixture_done(dir);
}

/* Stretches of zeros, in one segment of several, wherever they begin: lost is what they touch. */
static void test_zeroed_stretches(void **state)
{
    static const char zeros[8192];
    char *dir = fixture_dir(), copy[256], path[256], names[256][64];
    (void)state;

    fill(dir, 600, 16 << 10);
    snprintf(copy, sizeof copy, "%s2", dir);
    size_t n = fixture_list(dir, ".seg", names);
    assert_true(n > 3);
    in(path, dir, names[1]);
    off_t size = size_of(path);
    for (size_t i = 0; i < 3; i++) {
        size_t stretch = i == 0 ? 512 : i == 1 ? 4096 : 8192;

        for (off_t at = 0; at < size; at += i == 0 ? 97 : 511) {
            fixture_copy(dir, copy);
            in(path, copy, names[1]);
            int fd = open(path, O_WRONLY);
            size_t m = MIN(stretch, (size_t)(size - at));
            assert_int_equal(pwrite(fd, zeros, m, at), m);
            close(fd);
            struct result r = drain(copy);
            assert_int_equal(r.records + r.lost, 600);
            /* A record has at least 28 + 1 + 18 + 9 bytes; one may be hit at either end. */
            assert_true(r.lost <= m / 56 + 2);
            if (m == 8192)
                assert_true(r.lost > 8192 / 200);
        }
    }
    /* Whole files of zeros, all of them. */
    fixture_copy(dir, copy);
    for (size_t k = 0; k < n; k++) {
        in(path, copy, names[k]);
        off_t whole = size_of(path);
        assert_int_equal(truncate(path, 0), 0);
        assert_int_equal(truncate(path, whole), 0);
    }
    struct result r = drain(copy);
    assert_int_equal(r.records, 0);
    fixture_done(dir);
}

/* Any single bit of any of several segments, and a sector of one written over another's. */
static void test_random_bits_and_misdirected_sectors(void **state)
{
    char *dir = fixture_dir(), copy[256], path[256], from[256], names[256][64], sector[512];
    uint64_t x = 88172645463325252u;
    (void)state;

    fill(dir, 400, 8 << 10);
    snprintf(copy, sizeof copy, "%s2", dir);
    size_t n = fixture_list(dir, ".seg", names);
    for (int round = 0; round < 600; round++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        fixture_copy(dir, copy);
        in(path, copy, names[(x >> 8) % n]);
        in(from, copy, names[(x >> 16) % n]);
        off_t size = MIN(size_of(path), size_of(from));
        off_t at = (off_t)(x >> 24) % size;
        if (round % 2) {
            flip(path, at, (int)(x % 8));
        } else {
            int a = open(from, O_RDONLY), b = open(path, O_WRONLY);
            ssize_t got;

            at -= at % (off_t)sizeof sector;
            got = pread(a, sector, sizeof sector, at);
            assert_int_equal(pwrite(b, sector, (size_t)got, at), got);
            close(a);
            close(b);
        }
        struct result r = drain(copy); /* whole, in order, none twice */
        assert_int_equal(r.records + r.lost, 400);
        assert_true(r.lost <= (round % 2 ? 1 : 512 / 56 + 2));
    }
    fixture_done(dir);
}

/* Lengths that no writer wrote under a checksum that is right: neither memory nor time goes with
 * them. */
static void test_lengths_that_lie(void **state)
{
    static const uint32_t lengths[] = {0,       1,          17,         18,        64u << 20,
                                       1 << 20, 0x7fffffff, 0x80000000, 0xffffffff};
    char *dir = fixture_dir(), copy[256], path[256], disk[8192];
    (void)state;

    fill(dir, 23, 0);
    snprintf(copy, sizeof copy, "%s2", dir);
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        struct buffer_header header;
        struct buffer_head h;

        fixture_copy(dir, copy);
        int fd = open(only_segment(copy, path), O_RDWR);
        ssize_t have = pread(fd, disk, sizeof disk, 0);
        assert_true(buffer_format_header_get(disk, &header));
        uint32_t key = buffer_format_key(header.salt, header.number);
        uint64_t at = header.data_start;
        for (int k = 0; k < 7; k++) { /* the 8th record or commit */
            assert_true(buffer_format_head_get(disk + at, key, &h));
            at += buffer_format_size(&h);
        }
        assert_true(at + BUFFER_FORMAT_HEAD < (uint64_t)have);
        buffer_format_head_read(disk + at, &h);
        h.length = lengths[i];
        buffer_format_head_put(disk + at, key, &h);
        assert_int_equal(pwrite(fd, disk + at, BUFFER_FORMAT_HEAD, (off_t)at), BUFFER_FORMAT_HEAD);
        close(fd);
        struct result r = drain(copy);
        assert_int_equal(r.records + r.lost, 23);
        assert_in_range(r.lost, 1, 2);
    }
    fixture_done(dir);
}

/* What is damaged is kept for a look when its segment goes, and no more of it than its share. */
static void test_damaged_segments_are_kept(void **state)
{
    char *dir = fixture_dir(), path[256], names[256][64];
    uint64_t kept = 0;
    (void)state;

    fill(dir, 1200, 8 << 10);
    size_t n = fixture_list(dir, ".seg", names);
    in(path, dir, names[1]);
    off_t size = size_of(path);
    flip(path, size / 2, 3);
    struct result r = drain(dir);
    assert_int_equal(r.lost, 1);
    n = fixture_list(dir, ".bad", names);
    assert_int_equal(n, 1);
    in(path, dir, names[0]);
    assert_int_equal(size_of(path), size);

    /* All of them damaged, in a buffer of 1 MiB: an eighth of that. */
    files_remove(dir);
    struct buffer *b = fixture_open(dir, 1, 32 << 10);
    for (uint64_t k = 0; k < 4000; k++) {
        assert_true(fixture_append(b, BUFFER_CAN_WAIT, 0, k, DOC));
        assert_true(k % 10 || buffer_commit(b) == 0);
    }
    buffer_close(b);
    n = fixture_list(dir, ".seg", names);
    assert_true(n > 8);
    for (size_t i = 0; i < n; i++) {
        in(path, dir, names[i]);
        if (size_of(path) > 16 << 10)
            flip(path, 16 << 10, 3);
    }
    b = fixture_open(dir, 1, 32 << 10);
    struct buffer_cursor from = buffer_frontier(b), c = from;
    static char to[1 << 20];
    uint64_t lost, all_lost = 0;
    size_t need, got;
    do {
        got = buffer_read(b, &c, to, sizeof to, &lost, &need);
        all_lost += lost;
    } while (got > 0);
    buffer_advance(
        b, c,
        &(struct buffer_outcome){.delivered = c.seq - from.seq - all_lost, .damaged = all_lost});
    assert_true(all_lost > 6);
    buffer_close(b);
    n = fixture_list(dir, ".bad", names);
    assert_in_range(n, 2, 5);
    for (size_t i = 0; i < n; i++) {
        in(path, dir, names[i]);
        kept += (uint64_t)size_of(path);
    }
    assert_true(kept <= (1 << 20) / 8);
    fixture_done(dir);
}

static void make_garbage(const char *dir, const char *name, size_t n)
{
    char path[256];
    FILE *f;

    in(path, dir, name);
    f = fopen(path, "w");
    for (size_t i = 0; i < n; i++)
        fputc((int)(i * 7919 >> 3), f);
    fclose(f);
}

/* A segment in which nothing verifies is set aside, as long as what is kept does not exceed its
 * share: an eighth of 8 MiB. */
static void test_garbage_is_kept_for_a_look(void **state)
{
    char *dir = fixture_dir(), names[256][64];
    (void)state;

    fill(dir, 23, 0);
    make_garbage(dir, "00000000000000aa.seg", 600 << 10);
    assert_int_equal(drain(dir).records, 23);
    assert_int_equal(fixture_list(dir, ".bad", names), 1);
    assert_string_equal(names[0], "00000000000000aa.bad");
    make_garbage(dir, "00000000000000ab.bad", 600 << 10);
    drain(dir);
    assert_int_equal(fixture_list(dir, ".bad", names), 1);
    fixture_done(dir);
}

/* Both slots whole: the later one, also where the number wraps; of equal ones either. */
static void test_generations(void **state)
{
    static const struct {
        uint64_t first, second;
        int newer; /* -1: either */
    } cases[] = {{1, 2, 1}, {2, 1, 0}, {UINT64_MAX, 0, 1}, {0, UINT64_MAX, 0}, {7, 7, -1}};
    char *dir = fixture_dir(), path[256], slot[BUFFER_FORMAT_SLOT];
    (void)state;

    assert_int_equal(mkdir(dir, 0700), 0);
    in(path, dir, "state");
    int folder = open(dir, O_RDONLY | O_DIRECTORY), fd = open(path, O_RDWR | O_CREAT, 0600);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buffer_state s = {.generation = cases[i].first, .reserved = 100}, got;
        uint32_t newer;
        unsigned which = 9;

        buffer_format_slot_put(slot, &s);
        assert_int_equal(pwrite(fd, slot, sizeof slot, 0), sizeof slot);
        s = (struct buffer_state){.generation = cases[i].second, .reserved = 101};
        buffer_format_slot_put(slot, &s);
        assert_int_equal(pwrite(fd, slot, sizeof slot, 4096), sizeof slot);
        assert_true(buffer_state_load(folder, &got, &which, &newer));
        assert_int_equal(newer, 0);
        assert_int_equal(got.reserved, 100 + which);
        if (cases[i].newer >= 0)
            assert_int_equal(which, cases[i].newer);
    }
    close(fd);
    close(folder);
    fixture_done(dir);
}

/* A write that is torn costs what it was to say, and nothing from before it. */
static void test_torn_state_write(void **state)
{
    struct buffer_state_file f = {.fd = -1};
    char *dir = fixture_dir(), path[256];
    struct buffer_state s = {0}, got;
    unsigned slot;
    uint32_t newer;
    (void)state;

    assert_int_equal(mkdir(dir, 0700), 0);
    int folder = open(dir, O_RDONLY | O_DIRECTORY);
    assert_int_equal(buffer_state_open(&f, folder), 0);
    in(path, dir, "state");
    for (uint64_t n = 1; n < 7; n++) {
        s.reserved = n;
        assert_int_equal(buffer_state_write(&f, &s), 0);
        assert_true(buffer_state_load(folder, &got, &slot, &newer));
        assert_int_equal(got.reserved, n);
        flip(path, (off_t)slot * 4096 + 100, 1);
        assert_int_equal(buffer_state_load(folder, &got, &slot, &newer), n > 1);
        if (n > 1)
            assert_int_equal(got.reserved, n - 1);
        flip(path, (off_t)(n - 1) % 2 * 4096 + 100, 1);
    }
    buffer_state_close(&f);
    close(folder);
    fixture_done(dir);
}

/* The same in a state slot, or with the file gone, cut or full of zeros: records may come again,
 * none is lost. */
static void test_state_damaged(void **state)
{
    char *dir = fixture_dir(), copy[256], path[256];
    (void)state;

    fill(dir, 23, 0);
    drain(dir);
    snprintf(copy, sizeof copy, "%s2", dir);
    for (off_t bit = 0; bit < 4096 * 8; bit = bit < 256 * 8 - 1 ? bit + 1 : bit + 1237) {
        for (int both = 0; both < 2; both++) {
            fixture_copy(dir, copy);
            in(path, copy, "state");
            flip(path, bit / 8, (int)(bit % 8));
            if (both)
                flip(path, 4096 + bit / 8, (int)(bit % 8));
            struct result r = drain(copy);
            assert_int_equal(r.lost, 0);
            assert_true(r.records >= 1);
            assert_int_equal(r.last, 1000000);
        }
    }
    for (off_t cut = 0; cut < 8192; cut += 512) {
        fixture_copy(dir, copy);
        in(path, copy, "state");
        assert_int_equal(truncate(path, cut), 0);
        if (cut % 1024)
            assert_int_equal(truncate(path, 8192), 0);
        struct result r = drain(copy);
        assert_int_equal(r.lost, 0);
        assert_int_equal(r.last, 1000000);
    }
    fixture_done(dir);
}

/* Sixteen segments of which one is missing, empty, cut, all zeros or garbage: what it held is
 * counted, the others are read. */
static void test_a_segment_in_the_middle(void **state)
{
    char *dir = fixture_dir(), copy[256], path[256], names[256][64];
    (void)state;

    fill(dir, 1200, 8 << 10);
    snprintf(copy, sizeof copy, "%s2", dir);
    size_t n = fixture_list(dir, ".seg", names);
    assert_in_range(n, 10, 40);
    for (size_t i = 0; i < n; i++) {
        uint64_t missing = UINT64_MAX;

        for (int how = 0; how < 5; how++) {
            fixture_copy(dir, copy);
            in(path, copy, names[i]);
            off_t size = size_of(path);
            if (how == 0)
                unlink(path);
            if (how == 1)
                assert_int_equal(truncate(path, 0), 0);
            if (how == 2 || how == 3)
                assert_int_equal(truncate(path, how == 2 ? 127 : 0), 0);
            if (how == 3)
                assert_int_equal(truncate(path, size), 0);
            if (how == 4) {
                FILE *f = fopen(path, "w");

                for (off_t at = 0; at < size; at++)
                    fputc((int)(at * 7919 >> 3), f);
                fclose(f);
            }
            struct result r = drain(copy);
            if (i + 1 < n) {
                assert_int_equal(r.records + r.lost, 1200);
                assert_true(r.lost > 20 && r.lost < 300);
                if (missing != UINT64_MAX)
                    assert_int_equal(r.lost, missing);
                missing = r.lost;
            }
        }
    }
    /* Cut in the middle: what stands before the cut is read. */
    for (size_t i = 0; i + 1 < n; i += 3) {
        fixture_copy(dir, copy);
        in(path, copy, names[i]);
        assert_int_equal(truncate(path, size_of(path) / 2), 0);
        struct result r = drain(copy);
        assert_int_equal(r.records + r.lost, 1200);
        assert_true(r.lost > 10 && r.lost < 80);
    }
    fixture_done(dir);
}

struct two_positions {
    bool old;
    uint64_t lines;
};

static void see_two_positions(void *arg, struct bytes key, struct bytes value)
{
    struct two_positions *p = arg;

    fixture_see_lines(&p->lines, key, value);
    p->old = p->old || (bytes_is(key, "old") && bytes_is(value, "all of it"));
}

/* A file was read to its end long ago: since then, its position stands in snapshots alone. Where
 * the newest ones are damaged, it is had from an older one, and what changed since is as new as
 * ever. */
static void test_damaged_snapshots(void **state)
{
    char *dir = fixture_dir(), copy[256], path[256], names[256][64];
    struct buffer *b = fixture_open(dir, 8 << 20, 8 << 10);
    (void)state;

    buffer_position_set(b, BYTES_LITERAL("old"), BYTES_LITERAL("all of it"));
    for (uint64_t k = 1; k <= 800; k++) {
        char value[24];

        assert_true(fixture_append(b, BUFFER_CAN_WAIT, 0, k - 1, DOC));
        buffer_position_set(
            b, BYTES_LITERAL("lines"),
            bytes_of(value, (size_t)snprintf(value, sizeof value, "%llu", (unsigned long long)k)));
        assert_true(k % 5 != 0 || buffer_commit(b) == 0);
    }
    buffer_close(b);
    snprintf(copy, sizeof copy, "%s2", dir);
    size_t n = fixture_list(dir, ".seg", names);
    assert_true(n > 6);
    for (size_t hit = 0; hit <= 4; hit++) {
        for (int payload = 0; payload < 2; payload++) {
            struct two_positions p = {0};

            fixture_copy(dir, copy);
            for (size_t i = n - hit; i < n; i++) {
                in(path, copy, names[i]);
                flip(path, BUFFER_FORMAT_HEADER + (payload ? BUFFER_FORMAT_HEAD : 0) + 5, 2);
            }
            b = fixture_open(copy, 8 << 20, 0);
            buffer_position_each(b, see_two_positions, &p);
            assert_true(p.old);
            assert_int_equal(p.lines, 800);
            buffer_close(b);
        }
    }
    fixture_done(dir);
}

static void rename_in(const char *dir, const char *from, const char *to)
{
    char a[256], b[256];

    in(a, dir, from);
    in(b, dir, to);
    assert_int_equal(rename(a, b), 0);
}

static void test_names_mixed_up(void **state)
{
    char *dir = fixture_dir(), copy[256], a[256], b[256], names[256][64], left[256][64];
    (void)state;

    fill(dir, 1200, 8 << 10);
    snprintf(copy, sizeof copy, "%s2", dir);
    size_t n = fixture_list(dir, ".seg", names);

    /* Two names swapped: the header says which is which. */
    fixture_copy(dir, copy);
    rename_in(copy, names[3], "x");
    rename_in(copy, names[6], names[3]);
    rename_in(copy, "x", names[6]);
    struct result r = drain(copy);
    assert_int_equal(r.records, 1200);
    assert_int_equal(r.lost, 0);

    /* One twice, under a later name: it is not delivered twice. */
    fixture_copy(dir, copy);
    in(a, copy, names[4]);
    in(b, copy, "00000000000000ff.seg");
    fixture_copy_file(a, b);
    r = drain(copy);
    assert_int_equal(r.records, 1200);
    assert_int_equal(r.lost, 0);

    /* The same, but the second one is a copy that did not come to its end: the one that has its own
     * name counts, the other is kept for a look. */
    fixture_copy(dir, copy);
    fixture_copy_file(a, b);
    assert_int_equal(truncate(b, size_of(b) / 2), 0);
    r = drain(copy);
    assert_int_equal(r.records, 1200);
    assert_int_equal(r.lost, 0);
    assert_int_equal(fixture_list(copy, ".bad", left), 1);
    assert_string_equal(left[0], "00000000000000ff.bad");

    /* An old segment's bytes behind the end of the last one: recycled blocks. */
    fixture_copy(dir, copy);
    in(a, copy, names[n - 1]);
    in(b, copy, names[2]);
    FILE *from = fopen(b, "r"), *to = fopen(a, "a");
    for (int c; (c = fgetc(from)) != EOF;)
        fputc(c, to);
    fclose(from);
    fclose(to);
    r = drain(copy);
    assert_int_equal(r.records, 1200);
    assert_int_equal(r.lost, 0);
    fixture_done(dir);
}

static void test_strangers(void **state)
{
    char *dir = fixture_dir(), *other = fixture_dir(), a[256], b[256], names[256][64];
    (void)state;

    fill(dir, 100, 0);
    fill(other, 1200, 8 << 10);
    /* A segment of another buffer, with a number that could be ours. */
    assert_true(fixture_list(other, ".seg", names) > 5);
    in(a, other, names[5]);
    in(b, dir, names[5]);
    fixture_copy_file(a, b);
    in(a, dir, "0000000000000100.seg");
    assert_int_equal(symlink("/etc/passwd", a), 0);
    in(a, dir, "0000000000000101.seg");
    assert_int_equal(mkfifo(a, 0600), 0);
    in(a, dir, "0000000000000102.seg");
    assert_int_equal(mkdir(a, 0700), 0);
    for (int i = 0; i < 200; i++) {
        snprintf(b, sizeof b, "%s/garbage-%d\n\xff", dir, i);
        close(open(b, O_CREAT | O_WRONLY, 0600));
    }
    struct result r = drain(dir);
    assert_int_equal(r.records, 100);
    assert_int_equal(r.lost, 0);
    assert_int_equal(fixture_list(dir, ".foreign", names), 1);
    /* Neither looked into nor moved. */
    assert_int_equal(fixture_list(dir, ".bad", names), 0);
    in(a, dir, "0000000000000100.seg");
    assert_true(readlink(a, b, sizeof b) > 0);
    assert_int_equal(size_of("/etc/passwd") > 0, 1);
    /* Numbers go on behind them all. */
    assert_true(fixture_list(dir, ".seg", names) > 0);
    r = drain(dir);
    assert_int_equal(r.records, 1);
    in(a, dir, "0000000000000102.seg");
    rmdir(a);
    fixture_done(dir);
    fixture_done(other);
}

/* A record that a log line brings along: a whole, valid copy of another record. Where the outer one
 * is damaged, the inner one must not be taken. */
static void test_forged_record_inside_a_damaged_one(void **state)
{
    char *dir = fixture_dir(), path[256], disk[8192];
    struct buffer *b = fixture_open(dir, 8 << 20, 0);
    uint8_t id[BUFFER_ID_BYTES] = {0};
    struct buffer_record r;
    uint64_t lost;
    size_t need, at = 0, n;
    char to[8192];
    (void)state;

    assert_true(fixture_append(b, BUFFER_CAN_WAIT, 0, 0, DOC));
    assert_int_equal(buffer_commit(b), 0);
    only_segment(dir, path);
    int fd = open(path, O_RDWR);
    ssize_t have = pread(fd, disk, sizeof disk, 0);
    struct buffer_cursor c = buffer_frontier(b);
    n = buffer_read(b, &c, to, sizeof to, &lost, &need);
    assert_true(buffer_next(to, n, &at, &r));
    size_t whole = buffer_record_size(&r);
    assert_true((size_t)have >= r.at.offset + whole);
    /* The attacker saw the bytes of another buffer's file (its own): other salt, same shape. */
    char *other = fixture_dir(), other_path[256], stolen[8192];
    fill(other, 3, 0);
    int other_fd = open(only_segment(other, other_path), O_RDONLY);
    ssize_t stolen_n = pread(other_fd, stolen, sizeof stolen, 0);
    close(other_fd);
    char *p = buffer_reserve(b, BUFFER_CAN_WAIT, (size_t)stolen_n);
    memcpy(p, stolen, (size_t)stolen_n);
    buffer_append(b, BUFFER_CAN_WAIT, id, BYTES_LITERAL("i"), 0, (size_t)stolen_n);
    assert_true(fixture_append(b, BUFFER_CAN_WAIT, 0, 2, DOC));
    assert_int_equal(buffer_commit(b), 0);
    c = buffer_record_end(&r);
    /* Both the head and the payload of the outer record are hit. */
    char bad = 0x55;
    uint64_t outer = buffer_end(b).offset;
    (void)outer;
    struct buffer_cursor probe = c;
    at = 0;
    n = buffer_read(b, &probe, to, sizeof to, &lost, &need);
    assert_true(buffer_next(to, n, &at, &r));
    assert_int_equal(pwrite(fd, &bad, 1, (off_t)r.at.offset + 5), 1);
    close(fd);
    at = 0;
    uint64_t all_lost = 0, records = 0;
    while ((n = buffer_read(b, &c, to, sizeof to, &lost, &need)) > 0 || lost) {
        all_lost += lost;
        at = 0;
        while (buffer_next(to, n, &at, &r)) {
            fixture_check(&r, 2, DOC);
            records++;
        }
    }
    assert_int_equal(all_lost, 1);
    assert_int_equal(records, 1);
    buffer_close(b);
    fixture_done(dir);
    fixture_done(other);
}

/* State of a backup: older than the log, and newer. */
static void test_state_of_another_time(void **state)
{
    char *dir = fixture_dir(), old[256], copy[256], a[256], b[256];
    (void)state;

    fill(dir, 30, 0);
    snprintf(old, sizeof old, "%s2", dir);
    snprintf(copy, sizeof copy, "%s3", dir);
    fixture_copy(dir, old);
    assert_int_equal(drain(dir).records, 30);
    fixture_copy(dir, copy);
    in(a, old, "state");
    in(b, copy, "state");
    fixture_copy_file(a, b);
    /* The log knows better: only what came last is read. */
    struct result r = drain(copy);
    assert_int_equal(r.lost, 0);
    assert_int_equal(r.last, 1000000);
    /* The new state over the old log: all of it was delivered, and one more record was durable that
     * the log lacks. */
    in(a, dir, "state");
    in(b, old, "state");
    fixture_copy_file(a, b);
    r = drain(old);
    assert_int_equal(r.records, 0);
    assert_int_equal(r.lost, 1);
    fixture_done(dir);
}

static bool one_segment_left(void *arg)
{
    char names[256][64];

    return fixture_list(arg, ".seg", names) == 1;
}

static bool is_gone(void *path)
{
    return access(path, F_OK) < 0;
}

/* The state could not be written for long, and deletion went on without it: of the segment that is
 * left no header says that what it follows is finished, but a commit in it does. */
static void test_state_from_before_what_was_deleted(void **state)
{
    char *dir = fixture_dir(), copy[256], old[256], path[256], to[4096];
    struct buffer_cursor from, c;
    struct buffer *b;
    size_t need, n;
    uint64_t lost, k = 0;
    (void)state;

    b = fixture_open(dir, 8 << 20, 4096);
    snprintf(copy, sizeof copy, "%s2", dir);
    snprintf(old, sizeof old, "%s-state", dir);
    in(path, dir, "state");
    fixture_copy_file(path, old);
    for (; k < 200; k++) {
        assert_true(fixture_append(b, BUFFER_CAN_WAIT, 0, k, DOC));
        assert_int_equal(buffer_commit(b), 0);
    }
    from = c = buffer_frontier(b);
    while ((n = buffer_read(b, &c, to, sizeof to, &lost, &need)) > 0)
        ;
    assert_int_equal(c.seq, k);
    buffer_advance(b, c, &(struct buffer_outcome){.delivered = c.seq - from.seq});
    assert_true(fixture_wait(one_segment_left, dir));
    for (; k < 202; k++) {
        assert_true(fixture_append(b, BUFFER_CAN_WAIT, 0, k, DOC));
        assert_int_equal(buffer_commit(b), 0);
    }
    fixture_copy(dir, copy);
    buffer_close(b);
    in(path, copy, "state");
    fixture_copy_file(old, path);

    struct result r = drain(copy);
    assert_int_equal(r.lost, 0);
    assert_int_equal(r.records, 2);
    assert_int_equal(r.first, 200);
    files_remove(copy);
    fixture_done(dir);
}

/* No state, and no commit that tells of the last deliveries: what is not there any more was
 * delivered, and is no damage. */
static void test_no_state_behind_what_was_deleted(void **state)
{
    char *dir = fixture_dir(), copy[256], path[256], to[4096], first[64], names[256][64];
    struct buffer_cursor from, c, upto;
    struct buffer_record one;
    struct buffer *b;
    uint64_t lost;
    size_t need;
    (void)state;

    b = fixture_open(dir, 8 << 20, 4096);
    for (uint64_t k = 0; k < 200; k++) {
        assert_true(fixture_append(b, BUFFER_CAN_WAIT, 0, k, DOC));
        assert_int_equal(buffer_commit(b), 0);
    }
    fixture_list(dir, ".seg", names);
    snprintf(first, sizeof first, "%s", names[0]);
    from = c = upto = buffer_frontier(b);
    while (upto.seq < 120) {
        size_t at = 0, n = buffer_read(b, &c, to, sizeof to, &lost, &need);

        assert_true(n > 0);
        while (upto.seq < 120 && buffer_next(to, n, &at, &one))
            upto = buffer_record_end(&one);
    }
    buffer_advance(b, upto, &(struct buffer_outcome){.delivered = upto.seq - from.seq});
    in(path, dir, first);
    assert_true(fixture_wait(is_gone, path));
    snprintf(copy, sizeof copy, "%s2", dir);
    fixture_copy(dir, copy);
    buffer_close(b);
    in(path, copy, "state");
    assert_int_equal(unlink(path), 0);
    struct result r = drain(copy);
    assert_int_equal(r.lost, 0);
    assert_int_equal(r.last, 199);
    assert_int_equal(r.records, 200 - r.first);
    assert_in_range(r.first, 1, 120);
    fixture_done(dir);
}

static void test_tools_on_damage(void **state)
{
    char *dir = fixture_dir(), path[256], names[256][64];
    struct strbuf out = {0};
    struct error e;
    (void)state;

    fill(dir, 300, 8 << 10);
    fixture_list(dir, ".seg", names);
    in(path, dir, names[1]);
    assert_int_equal(buffer_tool_verify(dir, &out, &e), 0);
    /* Some segment's records; 20 documents of the 97 index names pass by in each. */
    flip(path, offset_of(path, "logs-00"), 3);
    strbuf_clear(&out);
    assert_int_equal(buffer_tool_verify(dir, &out, &e), 1);
    assert_non_null(strstr(out.p, "299 records verified, 1 missing, 1 damaged places"));
    assert_non_null(strstr(out.p, names[1]));
    unlink(path);
    strbuf_clear(&out);
    assert_int_equal(buffer_tool_verify(dir, &out, &e), 1);
    assert_non_null(strstr(out.p, "is missing"));
    assert_int_equal(buffer_tool_status(dir, &out, &e), 0);
    strbuf_fini(&out);
    fixture_done(dir);
}

static void ignore_record(void *arg, const struct buffer_record *r)
{
    ++*(uint64_t *)arg;
    fixture_check(r, fixture_number(r), DOC);
}

static void test_export_of_damage(void **state)
{
    char *dir = fixture_dir(), path[256];
    struct error e;
    uint64_t n = 0;
    (void)state;

    fill(dir, 100, 0);
    only_segment(dir, path);
    flip(path, offset_of(path, "logs-0050"), 0);
    assert_int_equal(buffer_tool_export(dir, ignore_record, &n, &e), 1);
    assert_int_equal(n, 99);
    fixture_done(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_torn_at_every_length),
        cmocka_unit_test(test_every_bit_flipped),
        cmocka_unit_test(test_every_bit_flipped_behind_the_mark),
        cmocka_unit_test(test_durable_cut_at_every_length),
        cmocka_unit_test(test_zeroed_stretches),
        cmocka_unit_test(test_random_bits_and_misdirected_sectors),
        cmocka_unit_test(test_lengths_that_lie),
        cmocka_unit_test(test_damaged_segments_are_kept),
        cmocka_unit_test(test_garbage_is_kept_for_a_look),
        cmocka_unit_test(test_generations),
        cmocka_unit_test(test_torn_state_write),
        cmocka_unit_test(test_state_damaged),
        cmocka_unit_test(test_a_segment_in_the_middle),
        cmocka_unit_test(test_damaged_snapshots),
        cmocka_unit_test(test_names_mixed_up),
        cmocka_unit_test(test_strangers),
        cmocka_unit_test(test_forged_record_inside_a_damaged_one),
        cmocka_unit_test(test_state_of_another_time),
        cmocka_unit_test(test_state_from_before_what_was_deleted),
        cmocka_unit_test(test_no_state_behind_what_was_deleted),
        cmocka_unit_test(test_tools_on_damage),
        cmocka_unit_test(test_export_of_damage),
    };

    /* What it says about thousands of damaged folders is of no interest here. */
    log_init((enum log_level)(LOG_ERROR + 1), LOG_LOGFMT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
