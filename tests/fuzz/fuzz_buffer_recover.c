/*
 * The buffer's recovery, reader and tools over a folder that was whole once. The input edits it:
 * each step picks a file and flips, writes, cuts, copies, removes or renames. Whatever comes of it:
 * it opens, every record handed out is one that was written, in order and once, the books balance,
 * and it can be written to and opened again.
 */
#include "agent/base/io.h"
#include "agent/base/log.h"
#include "agent/base/strbuf.h"
#include "agent/buffer/buffer.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define RECORDS 60
#define FILES 16

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static char dir[64];
static struct {
    char name[64];
    char *p;
    size_t n;
} saved[FILES];
static size_t n_saved;

static void append(struct buffer *b, uint64_t k)
{
    uint8_t id[BUFFER_ID_BYTES] = {0};
    char *to = buffer_reserve(b, k % 3 ? BUFFER_CAN_WAIT : BUFFER_CANNOT_WAIT, 64);

    if (!to)
        return;
    memcpy(id, &k, sizeof k);
    memset(to, 'a' + (int)(k % 26), 20 + k % 40);
    buffer_append(b, k % 3 ? BUFFER_CAN_WAIT : BUFFER_CANNOT_WAIT, id, BYTES_LITERAL("i"), 0,
                  20 + k % 40);
}

static struct buffer *open_it(void)
{
    struct error e;
    struct buffer_options o = {
        .dir = dir, .max_bytes = 1 << 20, .segment_bytes = 1 << 10, .sync_off = true};

    return buffer_open(&o, NULL, &e);
}

static void clear(void)
{
    DIR *d = opendir(dir);
    struct dirent *e;

    while (d && (e = readdir(d)))
        if (e->d_name[0] != '.')
            unlinkat(dirfd(d), e->d_name, 0);
    if (d)
        closedir(d);
}

static void path_of(char to[160], const char *name)
{
    snprintf(to, 160, "%s/%s", dir, name);
}

static void put(const char *name, const char *p, size_t n)
{
    char path[160];
    int fd;

    path_of(path, name);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || write(fd, p, n) != (ssize_t)n)
        abort();
    close(fd);
}

static void prepare(void)
{
    struct buffer *b;
    DIR *d;
    struct dirent *e;

    log_init((enum log_level)(LOG_ERROR + 1), LOG_LOGFMT);
    snprintf(dir, sizeof dir, "/dev/shm/barge-fuzz-%d", (int)getpid());
    b = open_it();
    for (uint64_t k = 0; k < RECORDS; k++) {
        append(b, k);
        buffer_position_set(b, BYTES_LITERAL("key"), bytes_of(&k, sizeof k));
        if (k % 4 == 3)
            buffer_commit(b);
    }
    buffer_commit(b);
    buffer_close(b);
    d = opendir(dir);
    while ((e = readdir(d))) {
        char path[160];
        struct stat st;
        int fd;

        if (e->d_name[0] == '.' || n_saved == FILES)
            continue;
        snprintf(saved[n_saved].name, sizeof saved[n_saved].name, "%.63s", e->d_name);
        path_of(path, saved[n_saved].name);
        fd = open(path, O_RDONLY);
        fstat(fd, &st);
        saved[n_saved].n = (size_t)st.st_size;
        saved[n_saved].p = malloc(saved[n_saved].n + 1);
        if (read(fd, saved[n_saved].p, saved[n_saved].n) != (ssize_t)saved[n_saved].n)
            abort();
        close(fd);
        n_saved++;
    }
    closedir(d);
}

static void edit(const uint8_t s[6])
{
    size_t i = s[0] % n_saved, k = s[1] % n_saved, n = saved[i].n,
           at = n ? (s[2] | (size_t)s[3] << 8) % n : 0;
    char path[160], other[160];
    int fd;

    path_of(path, saved[i].name);
    path_of(other, saved[k].name);
    switch (s[5] % 8) {
    case 0:
    case 1:
    case 2: /* one byte */
        fd = open(path, O_WRONLY);
        if (fd >= 0 && pwrite(fd, &s[4], 1, (off_t)at) >= 0)
            close(fd);
        break;
    case 3: /* a piece of another file */
        fd = open(path, O_WRONLY);
        if (fd >= 0 && pwrite(fd, saved[k].p, saved[k].n - (saved[k].n ? s[4] % saved[k].n : 0),
                              (off_t)at) >= 0)
            close(fd);
        break;
    case 4:
        if (truncate(path, (off_t)at) < 0)
            break;
        break;
    case 5:
        unlink(path);
        break;
    case 6:
        rename(path, other);
        break;
    case 7: /* zeros to the end, and beyond */
        if (truncate(path, (off_t)at) == 0 && truncate(path, (off_t)(n + s[4])) == 0)
            break;
        break;
    }
}

static void seen(void *arg, const struct buffer_record *r)
{
    (void)arg;
    (void)r;
}

static void balanced(struct buffer *b)
{
    struct buffer_stats s;
    uint64_t sum;

    buffer_stats(b, &s);
    sum = s.delivered + s.duplicate + s.dead_lettered + s.damaged + s.buffered;
    for (int i = 0; i < BUFFER_DROP_KINDS; i++)
        sum += s.dropped[i];
    if (sum != s.read)
        abort();
}

static void read_all(struct buffer *b, bool fresh)
{
    struct buffer_cursor from = buffer_frontier(b), c = from;
    static char to[1 << 16];
    uint64_t all_lost = 0, lost, next = 0;
    size_t need, n, at;

    while ((n = buffer_read(b, &c, to, sizeof to, &lost, &need)) > 0 || lost) {
        struct buffer_record r;

        all_lost += lost;
        for (at = 0; buffer_next(to, n, &at, &r);) {
            uint64_t k;

            memcpy(&k, r.id, sizeof k);
            if (r.document.n != 20 + k % 40 || r.document.p[0] != (char)('a' + k % 26) ||
                (!fresh && (k < next || k >= 2 * RECORDS)))
                abort();
            next = k + 1;
        }
    }
    if (need)
        abort();
    buffer_advance(
        b, c,
        &(struct buffer_outcome){.delivered = c.seq - from.seq - all_lost, .damaged = all_lost});
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct strbuf out = {0};
    struct buffer *b;
    struct error e;

    if (n_saved == 0)
        prepare();
    clear();
    for (size_t i = 0; i < n_saved; i++)
        put(saved[i].name, saved[i].p, saved[i].n);
    for (size_t i = 0; i + 6 <= n && i < 60; i += 6)
        edit(data + i);
    buffer_tool_verify(dir, &out, &e);
    buffer_tool_status(dir, &out, &e);
    buffer_tool_export(dir, seen, NULL, &e);
    strbuf_fini(&out);
    for (int life = 0; life < 2; life++) {
        b = open_it();
        if (!b)
            abort();
        balanced(b);
        read_all(b, life > 0);
        balanced(b);
        append(b, RECORDS + (uint64_t)life);
        if (buffer_commit(b) < 0)
            abort();
        buffer_close(b);
    }
    return 0;
}
