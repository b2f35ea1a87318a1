#include "agent/inputs/tail_file.h"

#include "agent/base/hash.h"
#include "agent/base/io.h"
#include "agent/inputs/tail_identity.h"
#include "agent/inputs/tail_log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define HEAD_FIRST_BYTES 4096          /* where nearly every first line ends */
#define HEAD_NULS_PER_CALL (64u << 20) /* of leading NULs, when the file system knows no holes */
#define SOURCE_SEED 0x62617267u        /* part of `_id`: never to be changed */

struct tail_file *tail_file_create(struct tail_log *log)
{
    struct tail_file *f = base_calloc(1, sizeof *f);

    f->log = log;
    f->fd = -1;
    f->index = TAIL_FILE_NAMELESS;
    return f;
}

void tail_file_close(struct tail_file *f)
{
    tail_gz_close(f->gz);
    f->gz = NULL;
    if (f->fd >= 0)
        io_close(f->fd);
    f->fd = -1;
}

void tail_file_free(struct tail_file *f)
{
    tail_file_close(f);
    free(f);
}

static int64_t ns_of(struct statx_timestamp t)
{
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int tail_inode_get(int dir, const char *name, struct tail_inode *to)
{
    int flags = AT_SYMLINK_NOFOLLOW | AT_STATX_DONT_SYNC | (name ? 0 : AT_EMPTY_PATH);
    struct statx x;

    if (io_statx(dir, name ? name : "", flags, STATX_BASIC_STATS | STATX_BTIME, &x) < 0)
        return -1;
    *to = (struct tail_inode){
        .dev = (uint64_t)x.stx_dev_major << 32 | x.stx_dev_minor,
        .ino = x.stx_ino,
        .btime_ns = x.stx_mask & STATX_BTIME ? ns_of(x.stx_btime) : 0,
        .mtime_ns = ns_of(x.stx_mtime),
        .size = x.stx_size,
        .links = x.stx_nlink,
        .regular = S_ISREG(x.stx_mode),
    };
    return 0;
}

bool tail_inode_same(const struct tail_inode *a, const struct tail_inode *b)
{
    return a->ino == b->ino && a->dev == b->dev;
}

bool tail_inode_unchanged(const struct tail_inode *a, const struct tail_inode *b)
{
    return tail_inode_same(a, b) && a->btime_ns != 0 && a->btime_ns == b->btime_ns &&
           a->size == b->size && a->mtime_ns == b->mtime_ns;
}

ssize_t tail_file_pread(struct tail_file *f, void *to, size_t n, uint64_t at)
{
    if (!f->compressed)
        return io_pread(f->fd, to, n, (off_t)at);
    if (!f->gz)
        f->gz = tail_gz_open(f->fd);
    return tail_gz_pread(f->gz, to, n, at);
}

/* Where the data behind a hole begins, so that a sparse file of any size costs one call. */
static uint64_t behind_hole(const struct tail_file *f, uint64_t at)
{
    off_t data;

    if (f->compressed)
        return at;
    data = io_seek_data(f->fd, (off_t)at);
    return data > (off_t)at ? (uint64_t)data : at;
}

/* Moves head_at behind the NULs that a writer leaves who goes on at his old offset after a
 * truncation. */
static enum tail_known skip_nuls(struct tail_file *f, char *scratch)
{
    for (size_t work = 0; work < HEAD_NULS_PER_CALL;) {
        ssize_t n = tail_file_pread(f, scratch, HEAD_FIRST_BYTES, f->head_at), i = 0;

        if (n < 0)
            return TAIL_FILE_FAILED;
        if (n == 0)
            return TAIL_FILE_NOT_YET;
        while (i < n && scratch[i] == '\0')
            i++;
        f->head_at += (uint64_t)i;
        if (i < n)
            return TAIL_FILE_KNOWN;
        f->head_at = behind_hole(f, f->head_at);
        work += (size_t)n;
    }
    return TAIL_FILE_NOT_YET;
}

enum tail_known tail_file_identify(struct tail_file *f, bool final, char *scratch)
{
    enum tail_known known = skip_nuls(f, scratch);
    size_t want = HEAD_FIRST_BYTES;

    if (known != TAIL_FILE_KNOWN)
        return known;
    if (f->log->shared->kind->by_content)
        return tail_identity_find(f, final);
    for (;; want = DOCKER_LINE_MAX_BYTES) {
        ssize_t n = tail_file_pread(f, scratch, want, f->head_at);
        const char *nl;
        uint64_t h;

        if (n < 0)
            return TAIL_FILE_FAILED;
        nl = memchr(scratch, '\n', (size_t)n);
        if (nl)
            n = nl + 1 - scratch;
        else if ((size_t)n == want && want < DOCKER_LINE_MAX_BYTES)
            continue;
        else if ((size_t)n < want && !(final && n > 0))
            return TAIL_FILE_NOT_YET;
        h = hash_64(hash_64(SOURCE_SEED, f->log->id.bytes, TAIL_ID_BYTES), scratch, (size_t)n);
        f->at.source = h >> 8;
        f->identified = true;
        return TAIL_FILE_KNOWN;
    }
}

static void set_marker(struct tail_file *f, const char *end, size_t before)
{
    f->marker_n = (uint32_t)MIN(before, (size_t)TAIL_MARKER_BYTES);
    f->marker = hash_crc32c(0, end - f->marker_n, f->marker_n);
}

/* The whole of a chunk is NULs at the beginning of a line: goes on behind the hole. */
static bool jump_hole(struct tail_file *f, struct docker_frame *frame)
{
    uint64_t data = behind_hole(f, f->at.offset);

    if (data == f->at.offset)
        return false;
    if (data > f->at.replay_to)
        frame->skipped_bytes += data - f->at.offset;
    f->at.offset = data;
    return true;
}

enum tail_read tail_file_read(struct tail_file *f, struct docker_frame *frame, bool final,
                              char *scratch, size_t *n)
{
    size_t back = f->marker_n, want = TAIL_CHUNK_BYTES;
    uint64_t from = f->at.offset;
    size_t moved;
    ssize_t got;
    char *data;
    bool good;

again:
    got = tail_file_pread(f, scratch, back + want, from - back);
    if (got < 0)
        return errno == EAGAIN ? TAIL_READ_MORE : TAIL_READ_FAILED;
    if ((size_t)got < back || hash_crc32c(0, scratch, back) != f->marker)
        return TAIL_READ_CHANGED;
    data = scratch + back;
    got -= (ssize_t)back;
    /* A line that does not fit is read again with room for the longest one that counts. */
    if ((size_t)got == want && want == TAIL_CHUNK_BYTES && !f->at.in_long_line && *data != '\0' &&
        !memchr(data, '\n', want)) {
        want = DOCKER_LINE_MAX_BYTES + 1;
        goto again;
    }
    good =
        docker_frame_run(frame, &f->at, bytes_of(data, (size_t)got), final && (size_t)got < want);
    moved = (size_t)(f->at.offset - from);
    *n += moved;
    f->size = MAX(f->size, from + (uint64_t)got);
    set_marker(f, data + moved, back + moved);
    if (!good)
        return TAIL_READ_FULL;
    if ((size_t)got == want) {
        if (data[want - 1] == '\0' && moved == want && !f->at.in_long_line && jump_hole(f, frame))
            set_marker(f, data, 0);
        return TAIL_READ_MORE;
    }
    f->tail = moved < (size_t)got;
    return TAIL_READ_END;
}

static bool has_marker(struct tail_file *f, uint64_t at, uint32_t marker, uint32_t n)
{
    char before[TAIL_MARKER_BYTES];
    ssize_t got;

    do
        got = tail_file_pread(f, before, n, at - n);
    while (got < 0 && errno == EAGAIN);
    return got == (ssize_t)n && hash_crc32c(0, before, n) == marker;
}

bool tail_file_same_text(const struct tail_file *f, struct tail_file *other)
{
    return has_marker(other, f->at.offset, f->marker, f->marker_n);
}

/* What stands before at.offset now: should it be other bytes when the file is read, it was
 * truncated meanwhile. A compressed file is not, and its readers are counted. */
static void take_marker(struct tail_file *f)
{
    char before[TAIL_MARKER_BYTES];
    size_t n = (size_t)MIN(f->at.offset, (uint64_t)sizeof before);

    if (f->compressed || tail_file_pread(f, before, n, f->at.offset - n) != (ssize_t)n)
        n = 0;
    set_marker(f, before + n, n);
}

/* Begins anew at offset 0: it has other content than expected. */
static void reset(struct tail_file *f)
{
    f->at = (struct docker_frame_at){.source = f->at.source};
    f->marker = f->marker_n = 0;
    f->head_at = 0;
    f->size = 0;
    f->safe = f->mark = 0;
    f->tail = f->complete = f->settled = false;
    f->dirty = true;
}

void tail_file_continue(struct tail_file *f, const struct tail_position *p)
{
    if (!f->compressed && !has_marker(f, p->done, p->marker, p->marker_n)) {
        reset(f);
        return;
    }
    f->at = (struct docker_frame_at){
        .source = f->at.source,
        .offset = p->resume,
        .replay_to = p->done,
        .made = p->made,
        .in_long_line = p->in_long_line,
        .time_known = p->time_known,
        .time_ns = p->time_ns,
        .by_stream = p->by_stream,
    };
    _Static_assert(sizeof f->at.from == sizeof p->from, "streams of a position");
    memcpy(f->at.from, p->from, sizeof p->from);
    if (p->resume == p->done) {
        f->marker = p->marker;
        f->marker_n = p->marker_n;
    } else {
        take_marker(f);
    }
    f->complete = p->complete;
    f->settled = p->resume == p->done && !p->by_stream;
    f->safe = p->done;
    f->dirty = true;
}
