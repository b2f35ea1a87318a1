#include "outputs/file/day_file.h"

#include "agent/base/folder.h"
#include "agent/base/hash.h"
#include "agent/base/io.h"
#include "agent/base/log.h"
#include "outputs/output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#define CHUNK (256u << 10)
#define KEEP_PENDING (4u << 20) /* memory for lines that is kept from batch to batch */
#define LINE_HEAD "{\"_id\":\"" /* every line begins so; the id follows */
#define LINE_HEAD_BYTES (sizeof LINE_HEAD - 1)

/* ---- opening ---- */

int day_file_make_folders(const char *path, struct error *e)
{
    const char *slash = strrchr(path, '/');
    char *folder;
    int rc;

    if (!slash || slash == path)
        return 0;
    folder = base_strndup(path, (size_t)(slash - path));
    rc = folder_make(folder, 0755, e);
    free(folder);
    return rc;
}

static int read_at(int fd, char *to, size_t n, off_t at)
{
    while (n > 0) {
        ssize_t got = io_pread(fd, to, n, at);

        if (got <= 0) {
            if (got == 0)
                errno = EIO; /* shorter than it was a moment ago */
            return -1;
        }
        to += got;
        n -= (size_t)got;
        at += got;
    }
    return 0;
}

/* The end of the last whole line within the first size bytes. -1 with errno. */
static off_t whole_lines(int fd, off_t size)
{
    char *chunk = base_alloc(CHUNK);

    while (size > 0) {
        size_t n = (size_t)MIN(size, (off_t)CHUNK);
        const char *feed;

        if (read_at(fd, chunk, n, size - (off_t)n) < 0) {
            size = -1;
            break;
        }
        feed = memrchr(chunk, '\n', n);
        if (feed) {
            size = size - (off_t)n + (feed - chunk) + 1;
            break;
        }
        size -= (off_t)n;
    }
    free(chunk);
    return size;
}

/* ---- ids ---- */

/* 64 bits under a secret key: that a record is taken for another one is less likely than the same
 * for the checksum in its `_id`. Never 0. */
static uint64_t id_hash(const struct day_file_ids *ids, const uint8_t id[BUFFER_ID_BYTES])
{
    return hash_64(ids->key, id, BUFFER_ID_BYTES) | 1;
}

/* Where h stands, or is to stand. */
static uint64_t *ids_slot(const struct day_file_ids *ids, uint64_t h)
{
    size_t i = (size_t)(h >> 1) & (ids->cap - 1);

    while (ids->slots[i] && ids->slots[i] != h)
        i = (i + 1) & (ids->cap - 1);
    return &ids->slots[i];
}

static void ids_grow(struct day_file_ids *ids)
{
    struct day_file_ids more = {.key = ids->key, .n = ids->n, .cap = MAX(2 * ids->cap, 1024u)};

    if (ids->cap == 0)
        hash_random(&more.key, sizeof more.key);
    more.slots = base_calloc(more.cap, sizeof *more.slots);
    for (size_t i = 0; i < ids->cap; i++)
        if (ids->slots[i])
            *ids_slot(&more, ids->slots[i]) = ids->slots[i];
    free(ids->slots);
    *ids = more;
}

static void ids_add(struct day_file_ids *ids, const uint8_t id[BUFFER_ID_BYTES])
{
    uint64_t h, *slot;

    if (2 * ids->n >= ids->cap)
        ids_grow(ids);
    h = id_hash(ids, id);
    slot = ids_slot(ids, h);
    ids->n += *slot == 0;
    *slot = h;
}

static void ids_free(struct day_file_ids *ids)
{
    free(ids->slots);
    *ids = (struct day_file_ids){0};
}

/* ---- what stands in it ---- */

struct window {
    off_t line; /* where the current line begins; -1: somewhere before the window */
    size_t line_n;
    bool has_nul;
    char head[LINE_HEAD_BYTES + OUTPUT_ID_CHARS];
    off_t cut; /* the first line with a NUL in it; -1: none */
};

static void end_line(struct day_file *f, struct window *w, off_t next)
{
    uint8_t id[BUFFER_ID_BYTES];

    if (w->line >= 0 && w->has_nul && w->cut < 0)
        w->cut = w->line;
    if (w->line >= 0 && w->cut < 0 && w->line_n >= sizeof w->head &&
        memcmp(w->head, LINE_HEAD, LINE_HEAD_BYTES) == 0 &&
        output_id_parse(bytes_of(w->head + LINE_HEAD_BYTES, OUTPUT_ID_CHARS), id))
        ids_add(&f->seen, id);
    w->line = next;
    w->line_n = 0;
    w->has_nul = false;
}

static void add_to_line(struct window *w, const char *p, size_t n)
{
    if (w->line_n < sizeof w->head)
        memcpy(w->head + w->line_n, p, MIN(n, sizeof w->head - w->line_n));
    w->line_n += n;
    w->has_nul = w->has_nul || memchr(p, '\0', n);
}

/* Reads the ids of the last window of f->size bytes. NULs stand where a power cut took lines that
 * were never fsynced, so nothing behind the first of them was: it is all handed out again. */
static int read_window(struct day_file *f)
{
    off_t at = f->size > (off_t)DAY_FILE_WINDOW ? f->size - (off_t)DAY_FILE_WINDOW : 0;
    struct window w = {.line = at ? -1 : 0, .cut = -1};
    char *chunk = base_alloc(CHUNK);
    int rc = 0;

    while (at < f->size && rc == 0) {
        size_t n = (size_t)MIN(f->size - at, (off_t)CHUNK), i = 0;

        rc = read_at(f->fd, chunk, n, at);
        while (rc == 0 && i < n) {
            const char *feed = memchr(chunk + i, '\n', n - i);
            size_t end = feed ? (size_t)(feed - chunk) : n;

            add_to_line(&w, chunk + i, end - i);
            i = end;
            if (feed)
                end_line(f, &w, at + (off_t)++i);
        }
        at += (off_t)n;
    }
    free(chunk);
    if (w.cut >= 0)
        f->size = w.cut;
    return rc;
}

static int look_at_contents(struct day_file *f, off_t size, struct error *e)
{
    f->size = whole_lines(f->fd, size);
    if (f->size < 0 || read_window(f) < 0)
        return error_set(e, "%s cannot be read: %s", f->path, strerror(errno));
    if (f->size != size) {
        log_warn("a daily file ended in a torn line, which was cut", LOG_STR("file", f->path),
                 LOG_U64("bytes", size - f->size));
        if (io_truncate(f->fd, f->size) < 0)
            return error_set(e, "%s cannot be cut: %s", f->path, strerror(errno));
    }
    /* Lines of a life that was killed may be in memory alone, and are to count as there. */
    if (f->size > 0 && io_fdatasync(f->fd) < 0)
        return error_set(e, "%s cannot be synced: %s", f->path, strerror(errno));
    return 0;
}

/* Opens or makes the file, looks at no contents. */
static int open_file(struct day_file *f, const char *path, off_t *size, struct error *e)
{
    struct stat st;

    *f = (struct day_file){.path = base_strdup(path), .fd = -1};
    if (day_file_make_folders(path, e) < 0)
        goto failed;
    /* O_NONBLOCK: a FIFO in its place must not hold us up. */
    f->fd = io_open(AT_FDCWD, path, O_RDWR | O_NOCTTY | O_NONBLOCK, 0);
    if (f->fd < 0 && errno == ENOENT)
        f->fd = io_open(AT_FDCWD, path, O_RDWR | O_CREAT | O_NOCTTY | O_NONBLOCK, 0644);
    if (f->fd < 0 || io_stat(f->fd, &st) < 0) {
        error_set(e, "%s cannot be opened: %s", path, strerror(errno));
        goto failed;
    }
    if (!S_ISREG(st.st_mode)) {
        error_set(e, "%s is no regular file", path);
        goto failed;
    }
    f->device = st.st_dev;
    f->inode = st.st_ino;
    *size = st.st_size;
    /* Also of one that was there: the life that made it may have been killed before it did this. */
    if (folder_sync_name(path) < 0) {
        error_set(e, "the folder of %s cannot be synced: %s", path, strerror(errno));
        goto failed;
    }
    return 0;
failed:
    day_file_close(f);
    return -1;
}

int day_file_open(struct day_file *f, const char *path, struct error *e)
{
    off_t size;

    if (open_file(f, path, &size, e) < 0)
        return -1;
    if (look_at_contents(f, size, e) < 0) {
        day_file_close(f);
        return -1;
    }
    return 0;
}

void day_file_close(struct day_file *f)
{
    if (f->fd >= 0)
        io_close(f->fd);
    free(f->path);
    ids_free(&f->seen);
    strbuf_fini(&f->pending);
    *f = (struct day_file){.fd = -1};
}

/* ---- lines ---- */

bool day_file_has(const struct day_file *f, const uint8_t id[BUFFER_ID_BYTES])
{
    return f->seen.n && *ids_slot(&f->seen, id_hash(&f->seen, id));
}

void day_file_add(struct day_file *f, const uint8_t id[BUFFER_ID_BYTES], struct bytes document)
{
    char *to = strbuf_room(&f->pending, LINE_HEAD_BYTES + OUTPUT_ID_CHARS + document.n + 3),
         *p = to;
    size_t i = 1; /* its { is ours */

    while (i < document.n && document.p[i] == ' ')
        i++;
    memcpy(p, LINE_HEAD, LINE_HEAD_BYTES);
    p += LINE_HEAD_BYTES;
    output_id_text(id, p);
    p += OUTPUT_ID_CHARS;
    *p++ = '"';
    if (document.p[i] != '}')
        *p++ = ',';
    memcpy(p, document.p + i, document.n - i);
    p += document.n - i;
    *p++ = '\n';
    f->pending.n += (size_t)(p - to);
    if (!f->forgotten)
        ids_add(&f->seen, id);
}

/* Whether the path still leads to our file, and nobody else changed its length. */
static bool is_ours(const struct day_file *f)
{
    struct stat st;

    return io_stat_at(AT_FDCWD, f->path, &st, 0) == 0 && st.st_dev == f->device &&
           st.st_ino == f->inode && st.st_size == f->size;
}

/* Opens the file anew, after a failure of ours or somebody else's change. What is pending and seen
 * stays so. */
static int open_again(struct day_file *f, struct error *e)
{
    struct day_file fresh;
    off_t size;
    bool same;

    if (open_file(&fresh, f->path, &size, e) < 0)
        return -1;
    same = fresh.device == f->device && fresh.inode == f->inode;
    if (same && f->cut_owed && size > f->size) {
        if (io_truncate(fresh.fd, f->size) < 0) {
            error_set(e, "%s cannot be cut back: %s", f->path, strerror(errno));
            day_file_close(&fresh);
            return -1;
        }
        size = f->size;
    }
    if (same && size == f->size) {
        fresh.size = size;
    } else if (look_at_contents(&fresh, size, e) < 0) {
        day_file_close(&fresh);
        return -1;
    }
    ids_free(&fresh.seen);
    fresh.seen = f->seen;
    fresh.forgotten = f->forgotten;
    fresh.appended = f->appended;
    fresh.pending = f->pending;
    f->seen = (struct day_file_ids){0};
    f->pending = (struct strbuf){0};
    day_file_close(f);
    *f = fresh;
    return 0;
}

int day_file_flush(struct day_file *f, struct error *e)
{
    const char *failed = NULL;

    if (f->pending.n == 0)
        return 0;
    if ((f->fd < 0 || !is_ours(f)) && open_again(f, e) < 0)
        return -1;
    if (io_pwrite_all(f->fd, f->pending.p, f->pending.n, f->size, NULL) < 0)
        failed = "cannot be written";
    else if (io_fdatasync(f->fd) < 0)
        failed = "cannot be synced";
    if (failed) {
        error_set(e, "%s %s: %s", f->path, failed, strerror(errno));
        /* After a failed fsync nobody knows what is on the disk, and asking again would only be
         * told that all is well. So the lines are cut off and written once more, by another
         * descriptor, from what is pending. */
        f->cut_owed = io_truncate(f->fd, f->size) < 0;
        io_close(f->fd);
        f->fd = -1;
        return -1;
    }
    f->size += (off_t)f->pending.n;
    f->appended += f->pending.n;
    if (f->pending.cap > KEEP_PENDING)
        strbuf_fini(&f->pending);
    strbuf_clear(&f->pending);
    if (f->appended > DAY_FILE_WINDOW && !f->forgotten) {
        ids_free(&f->seen);
        f->forgotten = true;
    }
    return 0;
}
