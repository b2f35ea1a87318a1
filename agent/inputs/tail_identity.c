#include "agent/inputs/tail_identity.h"

#include "agent/base/hash.h"
#include "agent/inputs/tail_log.h"

#include <errno.h>

#define SOURCE_SEED 0x62617274u /* part of `_id`: never to be changed */
#define HEAD_SEED 0x68656164u
#define INODE_SEED 0x696e6f64u

/* Reads the n bytes at `at`, or as many as there are. -1 with errno. */
static ssize_t read_at(struct tail_file *f, char *to, size_t n, uint64_t at)
{
    ssize_t got;

    do
        got = tail_file_pread(f, to, n, at);
    while (got < 0 && errno == EAGAIN && at <= TAIL_SCRATCH_BYTES);
    return got;
}

uint64_t tail_identity_inode(const struct tail_inode *i)
{
    uint64_t of[2] = {i->ino, (uint64_t)i->btime_ns};

    return i->ino ? hash_64(INODE_SEED, of, sizeof of) | 1 : 0;
}

static bool is_taken(const struct tail_file *list, const struct tail_file *f, uint64_t source)
{
    for (; list; list = list->next)
        if (list != f && list->identified && list->at.source == source)
            return true;
    return false;
}

/* The file that had this inode before: it was truncated in place. */
static const struct tail_file *before(const struct tail_file *list, const struct tail_file *f)
{
    for (; list; list = list->next)
        if (list != f && list->identified && list->inode_key == f->inode_key)
            return list;
    return NULL;
}

static void choose_source(struct tail_file *f, uint64_t first_line)
{
    const struct tail_log *log = f->log;
    const struct tail_file *old = before(log->files, f);
    uint64_t of[4] = {first_line, f->inode_key, 0, 0};
    uint64_t seed = hash_64(SOURCE_SEED, log->id.bytes, TAIL_ID_BYTES);

    if (!old)
        old = before(log->known, f);
    f->drawn = old != NULL;
    if (old) {
        of[2] = old->at.source;
        of[3] = old->at.offset;
    }
    f->at.source = hash_64(seed, of, sizeof of) >> 8;
    while (is_taken(log->files, f, f->at.source) || is_taken(log->known, f, f->at.source)) {
        f->drawn = true;
        f->at.source = hash_64(seed, &f->at.source, sizeof f->at.source) >> 8;
    }
}

static void set_head(struct tail_file *f, const char *p, size_t n)
{
    f->head_n = (uint16_t)n;
    f->head = hash_64(HEAD_SEED, p, n);
}

enum tail_known tail_identity_find(struct tail_file *f, bool final)
{
    char head[TAIL_HEAD_BYTES];
    ssize_t n = tail_file_pread(f, head, sizeof head, f->head_at);
    const char *nl;

    if (n < 0)
        return TAIL_FILE_FAILED;
    nl = memchr(head, '\n', (size_t)n);
    if (!nl && (size_t)n < sizeof head && !(final && n > 0))
        return TAIL_FILE_NOT_YET;
    if (tail_inode_get(f->fd, NULL, &f->inode) < 0)
        return TAIL_FILE_FAILED;
    set_head(f, head, (size_t)n);
    f->inode_key = tail_identity_inode(&f->inode);
    choose_source(f, hash_64(HEAD_SEED, head, nl ? (size_t)(nl + 1 - head) : (size_t)n));
    f->identified = true;
    return TAIL_FILE_KNOWN;
}

void tail_identity_grow(struct tail_file *f)
{
    char head[TAIL_HEAD_BYTES];
    uint64_t have = f->at.offset > f->head_at ? f->at.offset - f->head_at : 0;
    size_t want = (size_t)MIN(have, (uint64_t)sizeof head);

    if (want <= f->head_n || read_at(f, head, want, f->head_at) != (ssize_t)want)
        return;
    set_head(f, head, want);
}

bool tail_identity_begins_alike(const struct tail_file *f, struct tail_file *other)
{
    char head[TAIL_HEAD_BYTES];

    return f->head_n && f->head_n <= other->head_n &&
           read_at(other, head, f->head_n, other->head_at) == (ssize_t)f->head_n &&
           hash_64(HEAD_SEED, head, f->head_n) == f->head;
}

static bool same_stretch(struct tail_file *a, struct tail_file *b, uint64_t at, size_t n)
{
    char x[TAIL_HEAD_BYTES], y[TAIL_HEAD_BYTES];

    return read_at(a, x, n, at) == (ssize_t)n && read_at(b, y, n, at) == (ssize_t)n &&
           memcmp(x, y, n) == 0;
}

bool tail_identity_is_part(struct tail_file *f, struct tail_file *part)
{
    size_t head = (size_t)MIN(part->inode.size, (uint64_t)TAIL_HEAD_BYTES);
    size_t end = (size_t)MIN(part->inode.size, (uint64_t)TAIL_MARKER_BYTES);

    return f->fd >= 0 && !f->compressed && !part->compressed && same_stretch(f, part, 0, head) &&
           same_stretch(f, part, part->inode.size - end, end);
}
