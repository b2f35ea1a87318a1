/*
 * What the buffer's tests share: folders that come and go, records whose bytes follow from their
 * number, and a reader that checks them. Include after cmocka.h.
 */
#ifndef BARGE_TEST_BUFFER_FIXTURE_H
#define BARGE_TEST_BUFFER_FIXTURE_H

#include "agent/base/clock.h"
#include "agent/base/metrics.h"
#include "agent/base/strbuf.h"
#include "agent/buffer/buffer.h"
#include "tests/unit/files.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define UNUSED __attribute__((unused))

/* A folder of its own, not made yet, below one that is. */
static UNUSED char *fixture_dir(void)
{
    const char *tmp = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    char *top = malloc(128), *dir;

    snprintf(top, 128, "%s/barge-buffer-XXXXXX", tmp);
    assert_non_null(mkdtemp(top));
    dir = malloc(160);
    snprintf(dir, 160, "%s/b", top);
    free(top);
    return dir;
}

static UNUSED void fixture_done(char *dir)
{
    *strrchr(dir, '/') = '\0';
    files_remove(dir);
    free(dir);
}

static UNUSED void fixture_copy_file(const char *from, const char *to)
{
    int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    static char p[1 << 16];
    ssize_t n;

    /* It may have been deleted since it was listed: then a crash at this moment would not have left
     * it, either. */
    if (in < 0) {
        close(out);
        unlink(to);
        return;
    }
    assert_true(out >= 0);
    while ((n = read(in, p, sizeof p)) > 0)
        assert_int_equal(write(out, p, (size_t)n), n);
    close(in);
    close(out);
}

/* What kill -9 would leave: the files as they are now. */
static UNUSED void fixture_copy(const char *from, const char *to)
{
    DIR *d = opendir(from);
    struct dirent *e;

    files_remove(to);
    assert_int_equal(mkdir(to, 0700), 0);
    assert_non_null(d);
    while ((e = readdir(d))) {
        char a[512], b[512];

        if (e->d_name[0] == '.')
            continue;
        snprintf(a, sizeof a, "%s/%s", from, e->d_name);
        snprintf(b, sizeof b, "%s/%s", to, e->d_name);
        fixture_copy_file(a, b);
    }
    closedir(d);
}

/* The names with this suffix, sorted, in a list of at most 256. */
static UNUSED size_t fixture_list(const char *dir, const char *suffix, char names[][64])
{
    struct dirent **e;
    int n = scandir(dir, &e, NULL, alphasort);
    size_t found = 0;

    if (n < 0)
        return 0;
    for (int i = 0; i < n; i++) {
        size_t a = strlen(e[i]->d_name), s = strlen(suffix);

        if (found < 256 && a >= s && !strcmp(e[i]->d_name + a - s, suffix))
            snprintf(names[found++], 64, "%.63s", e[i]->d_name);
        free(e[i]);
    }
    free(e);
    return found;
}

static UNUSED uint64_t fixture_bytes(const char *dir)
{
    struct dirent *e;
    uint64_t sum = 0;
    DIR *d = opendir(dir);

    while ((e = readdir(d))) {
        struct stat st;

        if (e->d_name[0] != '.' && fstatat(dirfd(d), e->d_name, &st, 0) == 0)
            sum += (uint64_t)st.st_size;
    }
    closedir(d);
    return sum;
}

static UNUSED struct buffer *fixture_open(const char *dir, uint64_t max_bytes,
                                          uint64_t segment_bytes)
{
    struct buffer_options o = {
        .dir = dir, .max_bytes = max_bytes, .segment_bytes = segment_bytes, .sync_ms = 1};
    struct error e;
    struct buffer *b = buffer_open(&o, NULL, &e);

    if (!b)
        fail_msg("%s", e.text);
    return b;
}

/* ---- records ---- */

/* Document number k: its bytes and its length follow from k alone. */
static UNUSED size_t fixture_document(uint64_t k, size_t max_n, char *to)
{
    uint64_t x = (k + 1) * 0x9E3779B97F4A7C15ull;
    size_t n = 1 + (size_t)((x >> 40) % max_n);

    for (size_t i = 0; i < n; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        to[i] = (char)(x >> 32);
    }
    return n;
}

static UNUSED void fixture_id(uint64_t k, uint8_t id[BUFFER_ID_BYTES])
{
    memset(id, 0x5a, BUFFER_ID_BYTES);
    memcpy(id + 4, &k, sizeof k);
}

static UNUSED size_t fixture_index(uint64_t k, char to[64])
{
    return (size_t)snprintf(to, 64, "logs-%04u", (unsigned)(k % 97));
}

static UNUSED bool fixture_append(struct buffer *b, enum buffer_class class, unsigned flags,
                                  uint64_t k, size_t max_n)
{
    uint8_t id[BUFFER_ID_BYTES];
    char index[64];
    char *to = buffer_reserve(b, class, max_n);

    if (!to)
        return false;
    fixture_id(k, id);
    buffer_append(b, class, id, bytes_of(index, fixture_index(k, index)), flags,
                  fixture_document(k, max_n, to));
    return true;
}

static UNUSED uint64_t fixture_number(const struct buffer_record *r)
{
    uint64_t k;

    memcpy(&k, r->id + 4, sizeof k);
    return k;
}

static UNUSED void fixture_check(const struct buffer_record *r, uint64_t k, size_t max_n)
{
    static __thread char want[1 << 20];
    char index[64];
    uint8_t id[BUFFER_ID_BYTES];
    size_t n = fixture_document(k, max_n, want), index_n = fixture_index(k, index);

    fixture_id(k, id);
    assert_int_equal(fixture_number(r), k);
    assert_memory_equal(r->id, id, sizeof id);
    assert_int_equal(r->document.n, n);
    assert_memory_equal(r->document.p, want, n);
    assert_int_equal(r->index.n, index_n);
    assert_memory_equal(r->index.p, index, index_n);
}

static UNUSED void fixture_balanced(struct buffer *b)
{
    struct buffer_stats s;
    uint64_t sum;

    buffer_stats(b, &s);
    sum = s.delivered + s.duplicate + s.dead_lettered + s.damaged + s.buffered;
    for (int i = 0; i < BUFFER_DROP_KINDS; i++)
        sum += s.dropped[i];
    assert_int_equal(s.read, sum);
}

/* Waits until what says so, at most ten seconds. */
static UNUSED bool fixture_wait(bool (*what)(void *arg), void *arg)
{
    uint64_t deadline = clock_mono_ms() + 10000;

    while (!what(arg)) {
        if (clock_mono_ms() > deadline)
            return false;
        usleep(1000);
    }
    return true;
}

static UNUSED void fixture_see_lines(void *arg, struct bytes key, struct bytes value)
{
    uint64_t *p = arg;
    char text[32] = "";

    if (!bytes_is(key, "lines"))
        return;
    memcpy(text, value.p, MIN(value.n, sizeof text - 1));
    *p = strtoull(text, NULL, 10);
}

/* The position "lines" as a number; 0 when there is none. */
static UNUSED uint64_t fixture_lines(struct buffer *b)
{
    uint64_t n = 0;

    buffer_position_each(b, fixture_see_lines, &n);
    return n;
}

#endif
